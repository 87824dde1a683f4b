"""The verifier: what every program must satisfy before the engine runs it.

The engine indexes its arrays without checks: a program that passes here cannot make it read or write outside them
through a table row, a jump, a register number or a pointer that it follows as it stands. Values that a program computes
(addresses, DSDs, lengths) are checked where the engine uses them. Every `Machine` verifies its program (fabric/loader.py),
and so does the compiler, and whoever reads a saved one (serial.py).

What may be wrong is data: rows of the instruction table (verify_code.py), what the fields of a table's rows may hold
(`within` in words.py), and for the rest one small function per subject, in CHECKS and in verify_fabric.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from ..diag import Diagnostic, MeshlangError
from .dsdops import DsdOpCode
from .isa import (
    COLORS,
    PLAIN_COUNT,
    PLAIN_REGISTERS,
    Operand,
)
from .program import MOST_INPUTS, Program, TileProgram
from .records import Record
from .verify_code import Code, Problem
from .verify_fabric import fabric_problem
from .words import MOST_STEPS, RING, RING_LENGTH, DsrConfig, FifoActions, FifoRow, OperationRow, Walk

MEMORY = 1 << 16  # bytes that an address can name
STACK = 1 << 20  # registers of a PE
ARGUMENTS = 15  # of a launched function


def verify(program: Program) -> None:
    """Raise MS0790 for the first thing that is wrong (a fault of the compiler or of the file, never of the source)."""
    problem = program_problem(program)
    if problem is not None:
        raise MeshlangError(
            Diagnostic(
                "MS0790",
                problem,
                help="compile the program again with this version; if that does not help, it is a mistake in the compiler",
            )
        )


def program_problem(program: Program) -> str | None:
    if program.arch not in ("wse2", "wse3"):
        return f"there is no architecture {program.arch!r}"
    found = _shapes(program.tiles) or Code(program.tiles).problem() or _tables(program.tiles) or _others(program.tiles)
    return f"{program.tiles[found[0]].name}: {found[1]}" if found is not None else fabric_problem(program)


# ---------------------------------------------------------------- tables


def _shapes(tiles: Sequence[TileProgram]) -> Problem | None:
    """The arrays are arrays of what they should be."""
    for t, tile in enumerate(tiles):
        if tile.code.ndim != 2 or tile.code.shape[1:] != (4,) or tile.code.dtype != np.int32:
            return t, "the code is no table of instructions"
        if tile.image.ndim != 1 or tile.image.dtype != np.uint8 or len(tile.image) > MEMORY:
            return t, f"the memory is not of up to {MEMORY} bytes"
        for name, (record, _) in TABLES.items():
            table = getattr(tile, name)
            if table.ndim != 2 or table.shape[1] != record.WORDS or table.dtype != np.int32:
                return t, f"{name} is no table of {record.WORDS} columns"
        if not 0 < tile.stack_registers <= STACK:
            return t, f"there is no stack of {tile.stack_registers} registers"
    return None


def _tables(tiles: Sequence[TileProgram]) -> Problem | None:
    """Tables that instructions and DSDs name rows of, of all tile programs at once."""
    for name, (record, relations) in TABLES.items():
        tables = [getattr(t, name) for t in tiles]
        owner = np.repeat(np.arange(len(tiles)), [len(t) for t in tables])
        if not len(owner):
            continue
        rows = np.concatenate(tables).astype(np.int64)
        for field in record.FIELDS.values():
            if field.within is not None:
                part = rows[:, field : field + field.count]
                bad = ((part < field.within.start) | (part >= field.within.stop) | (part % field.within.step != 0)).any(
                    1
                )
                if bad.any():
                    i = int(np.argmax(bad))
                    return int(owner[i]), f"{name}: '{field.name}' cannot be {', '.join(map(str, part[i].tolist()))}"
        for bad, what in relations(rows, owner, tiles) if relations is not None else ():
            if bad.any():
                return int(owner[np.argmax(bad)]), f"{name}: {what}"
    return None


_Wrong = Iterator[tuple[np.ndarray, str]]  # which rows are wrong, and what is


def _forms() -> np.ndarray:
    """Operand kinds that a vector operation can have: operation, destination, sources, as one number each."""
    letters = {"D": (Operand.DSD, Operand.DSR), "V": (Operand.DSD, Operand.DSR), "s": (Operand.SCALAR,)}
    letters |= {"P": (Operand.POINTER,), "-": (Operand.NONE,)}
    found = []
    for op in DsdOpCode:
        for form in op.forms or ("-V",):
            kinds = [int(op)]
            for letter in form.ljust(4, "-"):
                kinds = [k << 3 | int(kind) for k in kinds for kind in letters[letter]]
            found += kinds
    return np.array(sorted(set(found)))


_FORMS = _forms()


def _operations(rows: np.ndarray, owner: np.ndarray, tiles: Sequence[TileProgram]) -> _Wrong:
    kinds = rows[:, OperationRow.dst : OperationRow.dst + 4]
    known = ((kinds >= 0) & (kinds < 8)).all(1) & (rows[:, OperationRow.code] >= 0) & (rows[:, OperationRow.code] < 64)
    number = rows[:, OperationRow.code]
    for i in range(4):
        number = number << 3 | kinds[:, i] & 7
    yield ~(known & np.isin(number, _FORMS)), "a vector operation does not exist with such operands"
    dsrs = np.array([len(t.dsrs) for t in tiles])[owner]
    for i in range(4):
        named = rows[:, OperationRow.dst_dsr + i]
        yield (kinds[:, i] == Operand.DSR) & ((named < 0) | (named >= dsrs)), "an operand is a DSR that does not exist"


def _walks(rows: np.ndarray, owner: np.ndarray, tiles: Sequence[TileProgram]) -> _Wrong:
    """A walk has up to four dimensions; a ring has two, one step forwards and then back to its begin."""
    ring = rows[:, Walk.ext] == RING
    around = rows[:, Walk.ext + 1]
    yield ring & (rows[:, Walk.rank] != 2), "a ring has two dimensions"
    yield ring & ((around < 1) | (around > 0x7FFF)), "there is no ring of such a length"
    yield ring & ((rows[:, RING_LENGTH] < 0) | (rows[:, RING_LENGTH] > 0x7FFF)), "a circular buffer has no such length"
    yield ring & ((rows[:, Walk.stride] != 1) | (rows[:, Walk.stride + 1] != 1 - around)), "a ring does not close"
    extents = rows[:, Walk.ext : Walk.ext + 4]
    yield ~ring & ((extents < 0) | (extents > 0xFFFF)).any(1), "a dimension has an extent of 16 bits"
    used = np.where(np.arange(4) < rows[:, Walk.rank, None], extents, 1).astype(np.float64)
    yield ~ring & (used.prod(1) > MOST_STEPS), f"a walk has more than {MOST_STEPS} steps"


def _fifos(rows: np.ndarray, owner: np.ndarray, tiles: Sequence[TileProgram]) -> _Wrong:
    memory = np.array([len(t.image) for t in tiles])[owner]
    end = rows[:, FifoRow.base] + rows[:, FifoRow.capacity] * rows[:, FifoRow.size]
    yield end > memory, "a FIFO does not lie inside the memory"
    yield FifoActions.empty.get(rows[:, FifoRow.actions]) > 3, "a FIFO has no such action"


# the tables of a tile program: how their rows are declared, and what fields have to do with each other and with the rest
TABLES: dict[str, tuple[type[Record], Callable[[np.ndarray, np.ndarray, Sequence[TileProgram]], _Wrong] | None]] = {
    "dsd_ops": (OperationRow, _operations),
    "dsr_configs": (DsrConfig, None),
    "mem4d": (Walk, _walks),
    "fifos": (FifoRow, _fifos),
}


# ---------------------------------------------------------------- the rest of a tile program


def _others(tiles: Sequence[TileProgram]) -> Problem | None:
    for t, tile in enumerate(tiles):
        for check in CHECKS:
            for problem in check(tile):
                return t, problem
    return None


def _masks(tile: TileProgram) -> Iterator[str]:
    for name, bits in (
        ("active", 64),
        ("blocked", 64),
        ("high", 64),
        ("ut_blocked", 8),
        ("transform", 6),
        ("exceptions", 16),
    ):
        if not 0 <= getattr(tile, name) < 1 << bits:
            yield f"'{name}' is no mask of {bits} bits"


def _objects(tile: TileProgram) -> Iterator[str]:
    for o in tile.objects:
        if not 0 <= o.address <= o.address + o.size <= len(tile.image):
            yield f"'{o.name}' does not lie inside the memory"


def _tasks(tile: TileProgram) -> Iterator[str]:
    for task in tile.tasks:
        if not 0 <= task.function < len(tile.functions) or not 0 <= task.id < 64:
            yield f"task {task.name} is bound to what does not exist"
        elif task.kind not in ("data", "local", "control"):
            yield f"task {task.name} is of no kind"
        elif len(task.arg_types) >= tile.functions[task.function].frame:
            yield f"task {task.name} has no room for its arguments"


def _rotating(tile: TileProgram) -> Iterator[str]:
    if len(tile.rotating) > 2:
        yield "there are more than two pairs of rotating tasks"
    kinds = {(t.kind, t.id) for t in tile.tasks}
    for task, init, limit in tile.rotating:
        if not {("data", task), ("control", 0)} <= kinds or not 0 <= init <= limit <= 0xFFFF:
            yield "rotating tasks are bound to what does not exist"


def _queues(tile: TileProgram) -> Iterator[str]:
    for word, queues, most in (("input", tile.inputs, MOST_INPUTS), ("output", tile.outputs, 8)):
        if len({q.id for q in queues}) != len(queues):
            yield f"an {word} queue is there twice"
        for q in queues:
            if not 0 <= q.id < most or q.color is not None and not 0 <= q.color < COLORS:
                yield f"{word} queue {q.id} of color {q.color} does not exist"


def _exports(tile: TileProgram) -> Iterator[str]:
    for name, e in tile.exports.items():
        if e.kind == "fn":
            if not 0 <= e.function < len(tile.functions) or tile.functions[e.function].params > ARGUMENTS:
                yield f"the export '{name}' is of a function that does not exist"
        elif e.kind not in ("var", "pointer"):
            yield f"the export '{name}' is of no kind"
        elif not 0 <= e.address <= len(tile.image) - (2 if e.kind == "pointer" else 1):
            yield f"the export '{name}' does not lie inside the memory"


def _dsrs(tile: TileProgram) -> Iterator[str]:
    for file, number in tile.dsrs:
        if file not in ("dest", "src0", "src1") or number < 0:
            yield f"there is no DSR {number} of {file}"
    for dense, packed, config, action, on_control in tile.dsr_init:
        if not (0 <= dense < len(tile.dsrs) and 0 <= packed < 1 << 64 and -1 <= config < len(tile.dsr_configs)):
            yield "what a DSR holds at the start does not exist"
        elif not (-1 <= action < 64 and -1 <= on_control < 64):
            yield "a DSR starts a task that does not exist"


def _registers(tile: TileProgram) -> Iterator[str]:
    for address, value in tile.registers:
        if not PLAIN_REGISTERS <= address < PLAIN_REGISTERS + PLAIN_COUNT or not 0 <= value <= 0xFFFF:
            yield "a word of the configuration space does not exist"


def _inlined(tile: TileProgram) -> Iterator[str]:
    rows, frames = tile.inlined, tile.inline_frames
    if len(rows) not in (0, len(tile.code)) or rows.ndim != 1 or rows.dtype != np.int32:
        yield "there is not one inlined function for each instruction"
    elif rows.min(initial=-1) < -1 or rows.max(initial=-1) >= len(frames):
        yield "an instruction belongs to an inlined function that does not exist"
    # a frame may come before the one it stands in, but no chain leads back to itself
    for f in frames:
        steps, row = 0, f.caller
        while 0 <= row < len(frames) and steps <= len(frames):
            steps, row = steps + 1, frames[row].caller
        if row != -1:
            yield f"the inlined function {f.name} stands nowhere"
            return


CHECKS: tuple[Callable[[TileProgram], Iterator[str]], ...] = (
    _masks,
    _objects,
    _tasks,
    _rotating,
    _queues,
    _exports,
    _dsrs,
    _registers,
    _inlined,
)
