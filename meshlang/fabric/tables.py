"""The code and the tables of all tile programs, as the engine reads them: arrays C and T of the machine (state.py)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..diag import Diagnostic, MeshlangError
from ..ir import isa
from ..ir.dsdops import DSD_OPS, DsdOpCode
from ..ir.program import Program, TileProgram
from .engine import alu
from .engine import state as s
from .engine.exceptions import CHECKED, CHECKED_OPS
from .timing import Profile

O = isa.Op
_TYPE = {
    "i16": isa.Ty.I16,
    "u16": isa.Ty.U16,
    "i32": isa.Ty.I32,
    "u32": isa.Ty.U32,
    "f16": isa.Ty.F16,
    "f32": isa.Ty.F32,
    "bool": isa.Ty.U16,
}
_ELEMENT = {"h": 2, "w": 2, "s": 4, "d": 4}
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
    """MS0801 for code that names what does not exist, MS0850 for what the engine cannot do."""
    out = Tables()
    costs = operation_costs(profile)
    table = operation_table(profile)
    table += [0] * (len(program.tiles) * s.TT)
    codes: list[np.ndarray] = []
    for t, tile in enumerate(program.tiles):
        codes.append(_add_tile(out, table, t, tile, program.arch == "wse3", sum(map(len, codes)), costs))
    out.lines, line_of = _source_lines(program)
    out.line_table = len(table)
    out.T = np.concatenate([np.array(table, np.int32), *line_of])
    if codes:
        out.C = np.concatenate([c.ravel() for c in codes]).astype(np.int32)
    return out


def _add_tile(
    out: Tables, table: list[int], t: int, tile: TileProgram, wse3: bool, position: int, costs: list[int]
) -> np.ndarray:
    """Add the tables of tile program t, whose code begins at `position`, to `table` (what becomes T). Returns its
    code."""
    record = s.T_TILES + t * s.TT
    functions = len(table)
    for f in tile.functions:
        table += [position + f.entry, f.params, f.frame, 0]
    tasks = len(table)
    rows = _tasks(tile, functions)
    for pair, (task_id, _, limit) in enumerate(tile.rotating):
        rows[task_id, 3] |= (pair + 1) << 16
        table[record + s.TT_LIMIT + pair] = limit
    table += rows.ravel().tolist()
    objects = len(table)
    for o in sorted(tile.objects, key=lambda o: o.address):
        table += [o.address, o.size]
    mem4d = len(table)
    table += np.asarray(tile.mem4d, np.int32).ravel().tolist()
    operations = len(table)
    ops = np.asarray(tile.dsd_ops, np.int32).reshape(-1, isa.OP_COLUMNS)
    wide = np.zeros((len(ops), s.ROW), np.int32)
    wide[:, : isa.OP_COLUMNS] = ops
    table += wide.ravel().tolist()
    configs = len(table)
    table += np.asarray(tile.dsr_configs, np.int32).ravel().tolist()
    outputs = [(q.id, -1 if q.color is None else q.color) for q in tile.outputs]
    if not wse3:
        outputs.append((SPARE_QUEUE, -1))
    inqueues = len(table)
    for q in tile.inputs:
        table += [q.id, -1 if q.color is None else q.color]
    outqueues = len(table)
    for queue in outputs:
        table += queue
    fifos = len(table)
    table += np.asarray(tile.fifos, np.int32).ravel().tolist()
    threads = _microthreads(tile)
    elements = np.isin(np.asarray(tile.code).reshape(-1, 4)[:, 0] & 0xFF, (O.ELD, O.EST)).any()
    records = (1 + len(threads)) if len(ops) or elements else 0  # the first is the main thread's
    table[record + s.TT_FUNCS], table[record + s.TT_NFUNCS] = functions, len(tile.functions)
    table[record + s.TT_TASKS] = tasks
    table[record + s.TT_OBJS], table[record + s.TT_NOBJS] = objects, len(tile.objects)
    table[record + s.TT_MEM4D] = mem4d
    table[record + s.TT_FIFOS], table[record + s.TT_NFIFOS] = fifos, len(tile.fifos)
    table[record + s.TT_NIQ], table[record + s.TT_NOQ] = len(tile.inputs), len(outputs)
    table[record + s.TT_IQMAP], table[record + s.TT_OQMAP] = inqueues, outqueues
    table[record + s.TT_NUT], table[record + s.TT_NDSR] = records, len(tile.dsrs)
    for i in range(8):
        table[record + s.TT_UTMAP + i] = 1 + threads.index(i) if i in threads else -1
    code = _relocate(tile, position, functions, operations, configs, len(out.strings), costs)
    for _, _, config, _, _ in tile.dsr_init:
        if config >= len(np.asarray(tile.dsr_configs).reshape(-1, isa.RC_COLUMNS)):
            raise MeshlangError(Diagnostic("MS0801", f"{tile.name}: DSR configuration {config} does not exist"))
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
    kinds = {"data": 1, "local": 2, "control": 3}
    rows = np.zeros((128, s.KK), np.int64)
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
            types |= int(_TYPE[a]) << (4 * i)
        rows[task.id + (64 if task.kind == "control" else 0)] = (
            kinds[task.kind],
            functions + task.function * s.FK,
            len(task.arg_types),
            types,
        )
    return rows


def operation_costs(profile: Profile) -> list[int]:
    """Cycles of each opcode."""
    c = {
        name: int(profile[f"scalar.{name}"])
        for name in (
            "move",
            "alu",
            "load",
            "store",
            "copy",
            "multiply",
            "divide",
            "float",
            "float_divide",
            "function",
            "branch",
            "jump",
            "call",
            "ret",
            "check",
            "dsr_load",
            "dsd_edit",
            "task_control",
            "system",
        )
    }
    groups = {
        "move": (O.MOV, O.LDI, O.LDIH),
        "load": (O.LD,),
        "store": (O.ST,),
        "copy": (O.COPY,),
        "multiply": (O.MUL, O.MULI),
        "divide": (O.DIV, O.REM),
        "float": (O.FADD, O.FSUB, O.FMUL, O.I2F, O.F2I, O.F2F, O.F2B),
        "float_divide": (O.FDIV,),
        "function": (O.FUN1, O.FUN2),
        "branch": (O.JZ, O.JNZ),
        "jump": (O.JMP,),
        "call": (O.CALL, O.CALLR, O.TCALL),
        "ret": (O.RET,),
        "check": (O.NOP, O.CHK, O.ASSERT, O.TRAP, O.PRINT),
        "dsr_load": (O.DSRLD, O.DSRGET, O.DSRBASE, O.DSRADV),
        "dsd_edit": (O.DBASE, O.DINC, O.DLEN, O.DSTRIDE, O.BINS, O.DCOUNT),
        "task_control": (O.ACTIVATE, O.BLOCK, O.UNBLOCK, O.UTBLOCK, O.UTUNBLOCK),
        "system": (O.SYS,),
    }
    costs = [c["alu"]] * 256
    for name, ops in groups.items():
        for op in ops:
            costs[op] = c[name]
    costs[O.DSDOP] = 0  # its cost is computed when it runs
    return costs


def operation_table(profile: Profile) -> list[int]:
    """Rows of operation information: element sizes, rate, extra set-up, kernel, whether it accumulates, rate of a
    reduction."""
    table = np.zeros((64, s.OI), np.int64)
    for name, op in DSD_OPS.items():
        row = table[op.code]
        row[s.OI_DST] = _ELEMENT[op.dst]
        for i, letter in enumerate(op.src):
            row[s.OI_S0 + i] = _ELEMENT[letter]
        row[s.OI_RATE] = round(65536 / float(profile.get(f"dsd.width.{name}", 1)))
        row[s.OI_SETUP] = int(profile.get(f"dsd.extra.{name}", 0))
        row[s.OI_CLASS] = alu.KERNEL_CLASS.get(int(op.code), 0)
        row[s.OI_ACC] = op.accumulates
        row[s.OI_REDUCE] = round(65536 * float(profile["dsd.reduction"]))
    table[DsdOpCode.DFILT, [s.OI_S0, s.OI_RATE]] = 4, 65536  # looks at whole wavelets, one a cycle
    return table.ravel().tolist()


def _relocate(
    tile: TileProgram, code_base: int, functions: int, ops: int, configs: int, strings: int, costs: list[int]
) -> np.ndarray:
    """Absolute targets and table rows, and the cost in the upper half of w."""
    code = np.array(tile.code, np.int32).reshape(-1, 4)
    kind = code[:, 0] & 0xFF
    if len(code) and kind.max() > max(O):
        raise MeshlangError(Diagnostic("MS0801", f"{tile.name}: unknown instruction {kind.max()}"))

    def where(*wanted: O) -> np.ndarray:
        return np.isin(kind, np.array(wanted))

    def checked(rows: np.ndarray, column: int, limit: int, what: str) -> None:
        bad = rows & ((code[:, column] < 0) | (code[:, column] >= limit))
        if bad.any():
            pc = int(np.argmax(bad))
            raise MeshlangError(
                Diagnostic(
                    "MS0801",
                    f"{tile.name}: instruction {pc} names {what} {code[pc, column]} of {limit}",
                    span=tile.spans[pc] if pc < len(tile.spans) else None,
                )
            )

    n = len(code)
    checked(where(O.JMP), 1, n, "target")
    checked(where(O.JZ, O.JNZ), 2, n, "target")
    checked(where(O.CALL, O.TCALL), 1, len(tile.functions), "function")
    checked(where(O.DSDOP), 1, len(tile.dsd_ops), "operation")
    checked(where(O.DSRLD, O.DSRBASE, O.DSRADV), 1, len(tile.dsrs), "DSR")
    checked(where(O.DSRGET), 2, len(tile.dsrs), "DSR")
    code[where(O.JMP), 1] += code_base
    code[where(O.JZ, O.JNZ), 2] += code_base
    calls = where(O.CALL, O.TCALL)
    code[calls, 1] = functions + code[calls, 1] * s.FK
    rows = where(O.DSDOP)
    code[rows, 1] = ops + code[rows, 1] * s.ROW
    rows = where(O.DSRLD) & (code[:, 3] >= 0)
    code[rows, 3] = configs + code[rows, 3] * isa.RC_COLUMNS
    for op, column in ((O.ASSERT, 2), (O.TRAP, 1), (O.PRINT, 2)):
        rows = where(op) & (code[:, column] >= 0)
        code[rows, column] += strings
    cost = np.where(code[:, 0] & isa.FREE, 0, np.array(costs, np.int32)[kind])
    code[:, 0] = (code[:, 0] & 0xFFFF) | (cost << 16)
    if tile.exceptions != 0xFFFF or (where(O.SYS) & (code[:, 3] == isa.Sys.EXCEPTION_MASK)).any():
        code[where(*CHECKED_OPS), 0] |= CHECKED
    return code


def _microthreads(tile: TileProgram) -> list[int]:
    """Ids the program can use: none without asynchronous operations, else its queues' ids and those named."""
    ops = np.asarray(tile.dsd_ops, np.int32).reshape(-1, isa.OP_COLUMNS)
    configs = np.asarray(tile.dsr_configs, np.int32).reshape(-1, isa.RC_COLUMNS)
    if not (ops[:, isa.OP_ASYNC].any() or configs[:, isa.RC_ASYNC].any()):
        return []
    ids = {q.id for q in tile.inputs} | {q.id for q in tile.outputs}
    ids |= {int(u) for u in ops[:, isa.OP_UT] if u >= 0} | {int(u) for u in configs[:, isa.RC_UT] if u >= 0}
    return sorted(i for i in ids if i < 8)


def _source_lines(program: Program) -> tuple[list[Any], list[np.ndarray]]:
    """Number the source lines of vector operations and element accesses, the same line of several tile programs once: a
    span for each number, and per tile program the number for each instruction."""
    spans: list[Any] = []
    numbers: dict[Any, int] = {}
    tables = []
    for t, tile in enumerate(program.tiles):
        code = np.asarray(tile.code, np.int32).reshape(-1, 4)
        table = np.zeros(len(code), np.int32)
        for pc in np.flatnonzero(np.isin(code[:, 0] & 0xFF, (O.DSDOP, O.ELD, O.EST))).tolist():
            span = tile.spans[pc] if pc < len(tile.spans) else None
            key = (t, pc) if span is None else (span.file.path, span.line_col()[0])
            if key not in numbers:
                numbers[key] = len(spans)
                spans.append(span)
            table[pc] = numbers[key]
        tables.append(table)
    return spans, tables
