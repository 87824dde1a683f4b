"""A tile program as readable text: memory, tasks, queues, tables, code with source lines."""

from __future__ import annotations

from collections.abc import Iterator

from .dsdops import DsdOpCode
from .isa import Action, MathFn, Op, Operand, Print, Sys, Ty
from .program import Program, TileProgram
from .words import OperationRow

# how the words a, b, c of each opcode read: r register, w register written, i immediate, t target pc, f function, -
# unused
SHAPES: dict[Op, str] = {
    Op.NOP: "---",
    Op.MOV: "wr-",
    Op.LDI: "wi-",
    Op.LDIH: "wi-",
    Op.SEL: "wrr",
    Op.LD: "wri",
    Op.ST: "rri",
    Op.COPY: "rrr",
    **dict.fromkeys(
        (
            Op.ADD,
            Op.SUB,
            Op.MUL,
            Op.DIV,
            Op.REM,
            Op.AND,
            Op.OR,
            Op.XOR,
            Op.SHL,
            Op.SHR,
            Op.EQ,
            Op.NE,
            Op.LT,
            Op.LE,
            Op.FADD,
            Op.FSUB,
            Op.FMUL,
            Op.FDIV,
        ),
        "wrr",
    ),
    Op.NEG: "wr-",
    Op.NOT: "wr-",
    Op.ADDI: "wri",
    Op.MULI: "wri",
    Op.WRAP: "wri",
    Op.LNOT: "wr-",
    Op.FNEG: "wr-",
    Op.FUN1: "wri",
    Op.FUN2: "wri",
    Op.I2F: "wri",
    Op.F2I: "wri",
    Op.F2F: "wri",
    Op.F2B: "wri",
    Op.JMP: "t--",
    Op.JZ: "rt-",
    Op.JNZ: "rt-",
    Op.CALL: "fi-",
    Op.CALLR: "ri-",
    Op.TCALL: "f--",
    Op.RET: "---",
    Op.CHK: "ri-",
    Op.ASSERT: "ri-",
    Op.TRAP: "i--",
    Op.DBASE: "wrr",
    Op.DINC: "wrr",
    Op.DLEN: "wrr",
    Op.DSTRIDE: "wrr",
    Op.BINS: "wri",
    Op.DSRLD: "iri",
    Op.DSRGET: "wi-",
    Op.DSRBASE: "ir-",
    Op.DSDOP: "irw",
    Op.ELD: "wrr",
    Op.EST: "rrr",
    Op.DCOUNT: "wr-",
    Op.DSRADV: "ir-",
    Op.ACTIVATE: "r--",
    Op.BLOCK: "r--",
    Op.UNBLOCK: "r--",
    Op.UTBLOCK: "r--",
    Op.UTUNBLOCK: "r--",
    Op.SYS: "wri",
    Op.PRINT: "rii",
}
_NAMED = {
    Op.SYS: Sys,
    Op.FUN1: MathFn,
    Op.FUN2: MathFn,
    Op.PRINT: Print,
    Op.I2F: Ty,
    Op.F2I: Ty,
    Op.F2F: Ty,
    Op.F2B: Ty,
}


def instruction(tile: TileProgram, pc: int) -> str:
    """One instruction as text."""
    w, *words = (int(x) for x in tile.code[pc])
    op, ty = Op(w & 0xFF), Ty(w >> 8 & 0xF)
    parts = []
    for shape, word in zip(SHAPES[op], words, strict=True):
        if shape in "rw":
            parts.append(f"r{word}")
        elif shape == "t":
            parts.append(f"@{word}")
        elif shape == "f":
            parts.append(tile.functions[word].name)
        elif shape == "i":
            parts.append(str(word))
    if op in _NAMED:
        parts[-1] = _NAMED[op](words[2]).name
    if op is Op.DSDOP:
        parts[0] = operation(tile, words[0])
    if op in (Op.ASSERT, Op.TRAP, Op.PRINT):
        index = words[0] if op is Op.TRAP else words[1]
        if 0 <= index < len(tile.strings):
            parts[0 if op is Op.TRAP else 1] = repr(tile.strings[index])
    name = op.name.lower() + (f".{ty.name.lower()}" if ty or op in (Op.LD, Op.ST, Op.ADD) else "")
    return f"{name:<12} {', '.join(parts)}"


def operation(tile: TileProgram, row: int) -> str:
    """One row of the table of vector operations."""
    d = [int(x) for x in tile.dsd_ops[row]]
    operands = []
    for i in range(4):
        kind = Operand(d[OperationRow.dst + i])
        if kind is Operand.DSR:
            file, number = tile.dsrs[d[OperationRow.dst_dsr + i]]
            operands.append(f"{file}[{number}]")
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
