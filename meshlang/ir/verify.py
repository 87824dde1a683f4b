"""The verifier: what every tile program must satisfy before the engine runs it.

The engine indexes arrays without checks; a program that passes here cannot make it read outside them through a table
index, a jump or a register number. Run on freshly compiled and on loaded programs.
"""

from __future__ import annotations

from ..diag import Diagnostic, MeshlangError
from .dsdops import DsdOpCode
from .isa import (
    PLAIN_COUNT,
    PLAIN_REGISTERS,
    RECORD_REGISTERS,
    Action,
    Op,
    Operand,
    Ty,
)
from .listing import SHAPES
from .program import Program, TileProgram
from .words import RING, OperationRow, Walk


def verify(program: Program) -> None:
    """Raise MS0790 for the first thing that is wrong (a fault of the compiler or of the file, never of the source)."""
    for tile in program.tiles:
        problem = tile_problem(tile)
        if problem:
            raise MeshlangError(
                Diagnostic(
                    "MS0790",
                    f"{tile.name}: {problem}",
                    help="compile the program again with this version; if that "
                    "does not help, it is a mistake in the compiler",
                )
            )
    tiles = program.fabric.tile
    if (
        tiles.shape != (program.fabric.height, program.fabric.width)
        or tiles.min(initial=0) < -1
        or tiles.max(initial=0) >= len(program.tiles)
    ):
        raise MeshlangError(Diagnostic("MS0790", "the table of tile programs does not fit the rectangle"))


def tile_problem(tile: TileProgram) -> str | None:
    n = len(tile.code)
    if len(tile.spans) != n:
        return f"{len(tile.spans)} spans for {n} instructions"
    frame_of, first_of, end_of = [0] * n, [0] * n, [0] * n  # of the function an instruction belongs to
    ends = [*(f.entry for f in tile.functions[1:]), n][: len(tile.functions)]  # a program may have no functions
    for f, end in zip(tile.functions, ends, strict=True):
        if not 0 <= f.entry < end <= n:
            return f"function {f.name} does not lie inside the code"
        for of, value in ((frame_of, f.frame), (first_of, f.entry), (end_of, end)):
            of[f.entry : end] = [value] * (end - f.entry)
        last = Op(int(tile.code[end - 1, 0]) & 0xFF)
        if last not in (Op.RET, Op.JMP, Op.TRAP, Op.TCALL):
            return f"function {f.name} does not end"
    for pc, (w, *words) in enumerate(tile.code.tolist()):
        if w & 0xFF not in Op._value2member_map_ or w >> 8 & 0xF not in Ty._value2member_map_:
            return f"instruction {pc} has no opcode"
        op = Op(w & 0xFF)
        for shape, word in zip(SHAPES[op], words, strict=True):
            bad = (
                shape in "rw"
                and not 0 <= word < frame_of[pc]
                or shape == "w"
                and word == 0
                and op is not Op.SYS
                or shape == "t"
                and not first_of[pc] <= word < end_of[pc]
                or shape == "f"
                and not 0 <= word < len(tile.functions)
            )
            if bad:
                return f"instruction {pc} names what does not exist: {op.name.lower()} {', '.join(map(str, words))}"
        if op is Op.DSDOP and not (0 <= words[0] < len(tile.dsd_ops) and words[1] + RECORD_REGISTERS <= frame_of[pc]):
            return f"instruction {pc}: no such vector operation"
        if op is Op.DSRLD and not (
            0 <= words[0] < len(tile.dsrs) and 0 <= words[2] < len(tile.dsr_configs) and words[1] + 3 <= frame_of[pc]
        ):
            return f"instruction {pc}: no such DSR"
        if op in (Op.DSRGET, Op.DSRBASE, Op.DSRADV) and not 0 <= words[1 if op is Op.DSRGET else 0] < len(tile.dsrs):
            return f"instruction {pc}: no such DSR"
    for row in tile.dsd_ops:
        if int(row[OperationRow.code]) not in DsdOpCode._value2member_map_:
            return "a row of the vector operations has no operation"
        for i in range(4):
            if int(row[OperationRow.dst + i]) not in Operand._value2member_map_:
                return "a row of the vector operations has no such operand"
            if row[OperationRow.dst + i] == Operand.DSR and not 0 <= row[OperationRow.dst_dsr + i] < len(tile.dsrs):
                return "a row of the vector operations names no DSR"
    for row in tile.dsr_configs:
        if int(row[1]) not in Action._value2member_map_:
            return "a DSR configuration has no such action"
    for t in tile.tasks:
        if not 0 <= t.function < len(tile.functions) or not 0 <= t.id < 64:
            return f"task {t.name} is bound to what does not exist"
    if len(tile.rotating) > 2:
        return "there are more than two pairs of rotating tasks"
    for task, init, limit in tile.rotating:
        kinds = {(t.kind, t.id) for t in tile.tasks}
        if not {("data", task), ("control", 0)} <= kinds or not 0 <= init <= limit <= 0xFFFF:
            return "rotating tasks are bound to what does not exist"
    for row in tile.mem4d:
        rank, outer, ring = (int(row[i]) for i in (Walk.rank, Walk.ext, Walk.ext + 1))
        if not 1 <= rank <= 4 or outer == RING and (rank != 2 or ring < 1):
            return "a walk has no such dimensions"
    for address, value in tile.registers:
        if not PLAIN_REGISTERS <= address < PLAIN_REGISTERS + PLAIN_COUNT or not 0 <= value <= 0xFFFF:
            return "a word of the configuration space does not exist"
    for o in tile.objects:
        if not 0 <= o.address <= o.address + o.size <= len(tile.image):
            return f"'{o.name}' does not lie inside the memory"
    return None
