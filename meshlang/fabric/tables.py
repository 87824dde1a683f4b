"""The code and the tables of all tile programs, as the engine reads them: arrays C and T of the machine (state.py)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..diag import Diagnostic, MeshlangError
from ..ir import isa, use
from ..ir.dsdops import ELEMENT_SIZE, DsdOpCode
from ..ir.isa import Effect, Op, Role
from ..ir.program import Program, TileProgram
from ..ir.words import DsrConfig, Instruction, OperationRow
from .engine import state as s
from .engine.exceptions import CHECKED
from .issue import Costs
from .timing import Profile

_TYPE = {
    "i16": isa.Ty.I16,
    "u16": isa.Ty.U16,
    "i32": isa.Ty.I32,
    "u32": isa.Ty.U32,
    "f16": isa.Ty.F16,
    "f32": isa.Ty.F32,
    "bool": isa.Ty.U16,
}
SPARE_QUEUE = 8  # id of the output queue that stands for "the compiler chooses" (WSE-2)


@dataclass
class Tables:
    """Lists are per tile program."""

    C: np.ndarray = field(default_factory=lambda: np.zeros(4, np.int32))
    T: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int32))
    strings: list[str] = field(default_factory=list)
    code_base: list[int] = field(default_factory=list)  # first instruction
    function_base: list[int] = field(default_factory=list)  # row in T of the first function
    # (row in T of the first operation, tile, how many)
    operations: list[tuple[int, int, int]] = field(default_factory=list)
    configs: list[int] = field(default_factory=list)  # row in T of the first DSR configuration
    outputs: list[list[tuple[int, int]]] = field(default_factory=list)  # (id, color or -1) of each output queue
    input_colors: list[dict[int, int]] = field(default_factory=list)  # color -> dense input queue
    threads: list[int] = field(default_factory=list)  # thread records a PE needs
    lines: list[Any] = field(default_factory=list)  # span of each source line that notes can name
    line_table: int = 0  # where T says the line of each instruction


def build_tables(program: Program, profile: Profile) -> Tables:
    """MS0850 for what the engine cannot do. The program has been verified."""
    out = Tables()
    costs = Costs(profile)
    table = operation_table(profile)
    table += [0] * (len(program.tiles) * s.Tile.WORDS)
    codes: list[np.ndarray] = []
    for t, tile in enumerate(program.tiles):
        codes.append(_add_tile(out, table, t, tile, program.arch == "wse3", sum(map(len, codes)), costs, profile))
    out.lines, line_of = _source_lines(program)
    out.line_table = len(table)
    out.T = np.concatenate([np.array(table, np.int32), *line_of])
    if codes:
        out.C = np.concatenate([c.ravel() for c in codes]).astype(np.int32)
    return out


def _add_tile(
    out: Tables,
    table: list[int],
    t: int,
    tile: TileProgram,
    wse3: bool,
    position: int,
    costs: Costs,
    profile: Profile,
) -> np.ndarray:
    """Add the tables of tile program t, whose code begins at `position`, to `table` (what becomes T). Returns its
    code."""
    record = s.T_TILES + t * s.Tile.WORDS
    functions = len(table)
    for f in tile.functions:
        table += s.Function.make(entry=position + f.entry, params=f.params, frame=f.frame)
    tasks = len(table)
    rows = _tasks(tile, functions)
    if not tile.control_table:
        # one table of ids: a control wavelet starts whatever task has the id it carries
        rows[64:] = np.where(rows[64:, :1] == 0, rows[:64], rows[64:])
    for pair, (task_id, _, limit) in enumerate(tile.rotating):
        rows[task_id, s.Task.types] = s.TaskTypes.pair.put(pair + 1, rows[task_id, s.Task.types])
        table[record + s.Tile.limit + pair] = limit
    table += rows.ravel().tolist()
    objects = len(table)
    for o in sorted(tile.objects, key=lambda o: o.address):
        table += s.Object.make(address=o.address, size=o.size)
    table += s.Object.make(address=0x7FFFFFFF, size=0)  # behind the last one: no address is there
    mem4d = len(table)
    table += np.asarray(tile.mem4d, np.int32).ravel().tolist()
    operations = len(table)
    ops = OperationRow.rows(tile.dsd_ops)
    table += ops.ravel().tolist()
    configs = len(table)
    table += np.asarray(tile.dsr_configs, np.int32).ravel().tolist()
    outputs = [(q.id, -1 if q.color is None else q.color) for q in tile.outputs]
    if not wse3:
        outputs.append((SPARE_QUEUE, -1))
    inqueues = len(table)
    for q in tile.inputs:
        table += s.QueueRow.make(id=q.id, color=-1 if q.color is None else q.color)
    outqueues = len(table)
    for ident, color in outputs:
        table += s.QueueRow.make(id=ident, color=color)
    fifos = len(table)
    table += np.asarray(tile.fifos, np.int32).ravel().tolist()
    threads = _microthreads(tile)
    elements = use.having(use.code_of(tile), Effect.ELEMENT).any()
    records = (1 + len(threads)) if len(ops) or elements else 0  # the first is the main thread's
    table[record + s.Tile.funcs], table[record + s.Tile.nfuncs] = functions, len(tile.functions)
    table[record + s.Tile.tasks] = tasks
    table[record + s.Tile.objs], table[record + s.Tile.nobjs] = objects, len(tile.objects)
    table[record + s.Tile.near : record + s.Tile.near + 4] = [objects] * 4
    table[record + s.Tile.mem4d], table[record + s.Tile.nmem4d] = mem4d, len(tile.mem4d)
    table[record + s.Tile.fifos], table[record + s.Tile.nfifos] = fifos, len(tile.fifos)
    table[record + s.Tile.niq], table[record + s.Tile.noq] = len(tile.inputs), len(outputs)
    table[record + s.Tile.iqmap], table[record + s.Tile.oqmap] = inqueues, outqueues
    table[record + s.Tile.nut], table[record + s.Tile.ndsr] = records, len(tile.dsrs)
    for i in range(8):
        table[record + s.Tile.utmap + i] = 1 + threads.index(i) if i in threads else -1
    code = _relocate(tile, position, functions, operations, configs, len(out.strings), costs, profile)
    out.code_base.append(position)
    out.function_base.append(functions)
    out.operations.append((operations, t, len(ops)))
    out.configs.append(configs)
    out.outputs.append(outputs)
    out.input_colors.append({q.color: i for i, q in reversed(list(enumerate(tile.inputs))) if q.color is not None})
    out.threads.append(records)
    out.strings += tile.strings
    return code


def _tasks(tile: TileProgram, functions: int) -> np.ndarray:
    """[128, KK]: the rows of data and local tasks, by id, and behind them those of control tasks."""
    kinds = {"data": s.TASK_DATA, "local": s.TASK_LOCAL, "control": s.TASK_CONTROL}
    rows = np.zeros((2 * int(s.CONTROL_TASKS), s.Task.WORDS), np.int64)
    for task in tile.tasks:
        if len(task.arg_types) > 2 or any(a not in _TYPE for a in task.arg_types):
            raise MeshlangError(
                Diagnostic(
                    "MS0850",
                    f"not supported by this version: task {task.name} with arguments ({', '.join(task.arg_types)})",
                )
            )
        types = 0
        for i, a in enumerate(task.arg_types):
            types = s.TaskTypes.ty.put(int(_TYPE[a]), types, i)
        rows[task.id + (int(s.CONTROL_TASKS) if task.kind == "control" else 0)] = s.Task.make(
            kind=kinds[task.kind],
            function=functions + task.function * s.Function.WORDS,
            args=len(task.arg_types),
            types=types,
        )
    return rows


def issue_costs(tile: TileProgram, profile: Profile) -> np.ndarray:
    """Cycles until a vector operation's first element, for each operation of a tile program: its DSDs are put into DSRs
    first. With all of them there already, the operation only has to be issued."""
    load, scalar, issue = (int(profile[f"dsd.{name}"]) for name in ("load", "scalar", "issue"))
    extra = np.zeros(256, np.int64)
    for op in DsdOpCode:
        extra[op] = int(profile.get(f"dsd.extra.{op.name.lower()}", 0))
    rows = OperationRow.rows(tile.dsd_ops)
    kinds = rows[:, [OperationRow.dst, *range(OperationRow.src, OperationRow.src + 3)]]
    dsds, scalars = ((kinds == kind).sum(1) for kind in (isa.Operand.DSD, isa.Operand.SCALAR))
    # the operation is issued with the last of its DSDs
    with_dsds = dsds * load + scalars * scalar + extra[rows[:, OperationRow.code]]
    return np.where(dsds > 0, with_dsds, issue).astype(np.int32)


def operation_table(profile: Profile) -> list[int]:
    """Rows of operation information: element sizes, rate, kernel, whether it accumulates, rate of a
    reduction, floating-point operations."""
    table = np.zeros((int(s.OPERATIONS), s.Operation.WORDS), np.int64)
    for op in DsdOpCode:
        name, row = op.name.lower(), table[op]
        row[s.Operation.dst] = ELEMENT_SIZE[op.dst] if op.dst else 0
        for i, letter in enumerate(op.src):
            row[s.Operation.src + i] = ELEMENT_SIZE[letter]
        row[s.Operation.rate] = round(65536 / float(profile.get(f"dsd.width.{name}", 1)))
        row[s.Operation.kernel] = op.kernel
        row[s.Operation.acc] = op.accumulates
        row[s.Operation.flops] = op.flops
        row[s.Operation.reduce] = round(65536 * float(profile["dsd.reduction"]))
    return table.ravel().tolist()


def task_ends(tile: TileProgram) -> set[int]:
    """Returns that end a task or a command: those of functions that nothing calls."""
    code = use.code_of(tile)
    op = code[:, 0] & 0xFF
    called = set(code[op == Op.CALL, 1].tolist())
    roots = {task.function for task in tile.tasks} | {e.function for e in tile.exports.values() if e.kind == "fn"}
    out: set[int] = set()
    entries = sorted((f.entry, k) for k, f in enumerate(tile.functions))
    for (entry, k), end in zip(
        entries, [*(entry for entry, _ in entries[1:]), len(code)], strict=False
    ):  # or there is none
        if k in roots and k not in called and not tile.functions[k].pointed:
            out.update((np.flatnonzero(op[entry:end] == Op.RET) + entry).tolist())
    return out


def _relocate(
    tile: TileProgram,
    code_base: int,
    functions: int,
    ops: int,
    configs: int,
    strings: int,
    costs: Costs,
    profile: Profile,
) -> np.ndarray:
    """Absolute targets and table rows, and the cost in the upper half of w."""
    code = use.code_of(tile).copy()
    # what a word of each role becomes: where the first is, how far they lie apart. -1 stays: none
    places = {
        Role.TARGET: (code_base, 1),
        Role.FUNCTION: (functions, s.Function.WORDS),
        Role.OPERATION: (ops, OperationRow.WORDS),
        Role.CONFIG: (configs, DsrConfig.WORDS),
        Role.STRING: (strings, 1),
    }
    for role, (first, step) in places.items():
        for rows, column in use.words_with(code, role):
            word = code[:, column]
            code[:, column] = np.where(rows & (word >= 0), first + word * step, word)
    plain = use.code_of(tile)
    cost = costs.of(plain, tile.dsd_ops.tolist(), issue_costs(tile, profile).tolist(), task_ends(tile))
    code[:, 0] = Instruction.cost.put(np.array(cost, np.int32), code[:, 0])
    if use.unmasks_exceptions(tile):
        code[use.where(code, lambda op: "EXCEPTION" in op.row.faults and not op.row.effect), 0] |= CHECKED
    return code


def _microthreads(tile: TileProgram) -> list[int]:
    """Ids the program can use: none without asynchronous operations, else its queues' ids and those named."""
    ops = OperationRow.rows(tile.dsd_ops)
    configs = DsrConfig.rows(tile.dsr_configs)
    if not (ops[:, OperationRow.async_].any() or configs[:, DsrConfig.async_].any()):
        return []
    ids = {q.id for q in tile.inputs} | {q.id for q in tile.outputs}
    ids |= {int(u) for u in ops[:, OperationRow.ut] if u >= 0} | {int(u) for u in configs[:, DsrConfig.ut] if u >= 0}
    return sorted(i for i in ids if i < 8)


def _source_lines(program: Program) -> tuple[list[Any], list[np.ndarray]]:
    """Number the source lines of vector operations and element accesses, the same line of several tile programs once: a
    span for each number, and per tile program the number for each instruction."""
    spans: list[Any] = []
    numbers: dict[Any, int] = {}
    keys: dict[int, Any] = {}  # of spans, by identity
    tables = []
    for t, tile in enumerate(program.tiles):
        code = use.code_of(tile)
        table = np.zeros(len(code), np.int32)
        for pc in np.flatnonzero(use.having(code, Effect.VECTOR | Effect.ELEMENT)).tolist():
            span = tile.spans[pc] if pc < len(tile.spans) else None
            key = (t, pc) if span is None else keys.get(id(span))
            if key is None and span is not None:
                key = keys[id(span)] = (span.file.path, span.line_col()[0])
            if key not in numbers:
                numbers[key] = len(spans)
                spans.append(span)
            table[pc] = numbers[key]
        tables.append(table)
    return spans, tables
