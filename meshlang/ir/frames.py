"""Which function an instruction belongs to, where functions were expanded in others."""

from __future__ import annotations

from collections.abc import Iterator

from .isa import Op
from .program import InlineFrame, TileProgram


def inlined_at(tile: TileProgram, at: int) -> list[InlineFrame]:
    """The functions that were expanded around instruction `at`, innermost first."""
    row = int(tile.inlined[at]) if 0 <= at < len(tile.inlined) else -1
    found = []
    while row >= 0:
        if tile.inline_frames[row].name:
            found.append(tile.inline_frames[row])
        row = tile.inline_frames[row].caller
    return found


def round_at(tile: TileProgram, at: int) -> int:
    """Which round of unrolled loops instruction `at` belongs to: a number that differs between neighbouring rounds."""
    row = int(tile.inlined[at]) if 0 <= at < len(tile.inlined) else -1
    while row >= 0 and tile.inline_frames[row].name:
        row = tile.inline_frames[row].caller
    return row


def function_name(tile: TileProgram, at: int) -> str:
    """The function in whose text instruction `at` stands; "?" if there is none."""
    inside = inlined_at(tile, at)
    if inside:
        return inside[0].name
    found = max((f for f in tile.functions if f.entry <= at), key=lambda f: f.entry, default=None)
    return found.name if found is not None else "?"


def jumps(tile: TileProgram) -> Iterator[tuple[int, int]]:
    """Every jump: (instruction, target)."""
    for pc, (w, a, b, _) in enumerate(tile.code.tolist()):
        op = w & 0xFF
        if op in (Op.JMP, Op.JZ, Op.JNZ):
            yield pc, a if op == Op.JMP else b
