"""A tile program as readable text: memory, tasks, queues, tables, code with source lines."""

from __future__ import annotations

from collections.abc import Iterator

from .dsdops import DsdOpCode
from .isa import Action, MathFn, Op, Operand, Print, Role, Sys, Ty
from .program import Program, TileProgram
from .words import OperationRow

# what a number stands for, by the role of its word
_NAMED: dict[Role, type[Sys] | type[MathFn] | type[Print] | type[Ty]] = {
    Role.SYSTEM: Sys,
    Role.FUNCTION1: MathFn,
    Role.FUNCTION2: MathFn,
    Role.PRINTED: Print,
    Role.INTEGER: Ty,
    Role.FLOAT: Ty,
}


def instruction(tile: TileProgram, pc: int) -> str:
    """One instruction as text."""
    w, *words = (int(x) for x in tile.code[pc])
    op, ty = Op(w & 0xFF), Ty(w >> 8 & 0xF)
    texts = (operand(tile, word.role, number) for word, number in zip(op.words, words, strict=True))
    name = op.name.lower() + (f".{ty.name.lower()}" if ty or op.row.types else "")
    return f"{name:<12} {', '.join(text for text in texts if text)}".rstrip()


def operand(tile: TileProgram, role: Role, number: int) -> str:
    """A word of an instruction as text; "" for one that is not used."""
    if role is Role.UNUSED:
        return ""
    if role.is_register:
        return f"r{number}"
    if role is Role.TARGET:
        return f"@{number}"
    if role is Role.FUNCTION:
        return tile.functions[number].name
    if role is Role.OPERATION:
        return operation(tile, number)
    if role is Role.DSR:
        return dsr(tile, number)
    if role is Role.STRING and 0 <= number < len(tile.strings):
        return repr(tile.strings[number])
    if role in _NAMED:
        return _NAMED[role](number).name
    return str(number)


def dsr(tile: TileProgram, number: int) -> str:
    file, index = tile.dsrs[number]
    return f"{file}[{index}]"


def operation(tile: TileProgram, row: int) -> str:
    """One row of the table of vector operations."""
    d = [int(x) for x in tile.dsd_ops[row]]
    operands = []
    for i in range(4):
        kind = Operand(d[OperationRow.dst + i])
        if kind is Operand.DSR:
            operands.append(dsr(tile, d[OperationRow.dst_dsr + i]))
        elif kind is not Operand.NONE:
            operands.append(kind.name.lower())
    flags = []
    if d[OperationRow.async_]:
        flags.append("async")
    if d[OperationRow.action]:
        flags.append(Action(d[OperationRow.action]).name.lower())
    if d[OperationRow.onctrl_set]:
        flags.append("on_control")
    if d[OperationRow.ut] >= 0:
        flags.append(f"ut{d[OperationRow.ut]}")
    return f"{DsdOpCode(d[OperationRow.code]).name.lower()}({', '.join(operands)}){''.join(' ' + f for f in flags)}"


def tile_listing(tile: TileProgram) -> Iterator[str]:
    yield f"tile program {tile.name}"
    for n, v in tile.params.items():
        yield f"  param {n} = {v if len(v) <= 100 else v[:97] + '...'}"
    yield f"memory: {len(tile.image)} bytes, stack: {tile.stack_registers} registers{' (recursive)' if tile.recursive else ''}"
    for o in tile.objects:
        yield f"  {o.address:>5} {o.size:>6}  {o.name}: {o.type}{'' if o.mutable else '  const'}"
    for b in tile.tasks:
        yield f"task {b.id:>2} {b.kind:<7} {b.name}({', '.join(b.arg_types)})"
    for task, init, limit in tile.rotating:
        yield f"task {task:>2} rotates: control task 0 at {limit}, from {init}"
    for word, queues in (("input", tile.inputs), ("output", tile.outputs)):
        for q in queues:
            yield f"{word} queue {q.id}: {'any color' if q.color is None else f'color {q.color}'}"
    ids = [i for i in range(64) if tile.blocked >> i & 1]
    yield f"blocked at start: {', '.join(map(str, ids)) or 'none'}; active: {', '.join(str(i) for i in range(64) if tile.active >> i & 1) or 'none'}"
    for e in tile.exports.values():
        yield f"export {e.name}: {e.type}"
    starts = {f.entry: f for f in tile.functions}
    last = None
    for pc in range(len(tile.code)):
        f = starts.get(pc)
        if f is not None:
            yield f"{f.name}: {f.params} parameter registers, frame {f.frame}"
        span = tile.spans[pc]
        where = ""
        if span is not None:
            line = span.line_col()[0]
            if (span.file.path, line) != last:
                last = (span.file.path, line)
                where = f"  ; {span.file.path.rsplit('/', 1)[-1]}:{line}  {span.file.line(line).strip()}"
        yield f"  {pc:>5}  {instruction(tile, pc):<48}{where}".rstrip()


def listing(program: Program) -> str:
    """Every tile program, and the colors of the fabric."""
    f = program.fabric
    lines = [f"{program.source} for {program.arch}: {f.width} x {f.height} PEs, {len(program.tiles)} tile programs"]
    for c, grid in f.color.items():
        used = grid[grid >= 0]
        lines.append(
            f"color {c}: {used.size} PEs, {len(set(used.tolist()))} configurations"
            + (f", from the host ({f.host_in[c]})" if c in f.host_in else "")
            + (f", to the host ({f.host_out[c]})" if c in f.host_out else "")
        )
    for t in program.tiles:
        lines.append("")
        lines.extend(tile_listing(t))
    return "\n".join(lines) + "\n"
