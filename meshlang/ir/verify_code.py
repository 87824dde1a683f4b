"""The verifier's part about code: every word of every instruction is what the row of its operation says (isa.py).

All tile programs are looked at together, as a few arrays: a layout may have thousands of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from . import use
from .isa import FLOATS, INTEGERS, Flow, MathFn, Op, Print, Role, Sys, Ty
from .program import TileProgram

Problem = tuple[int, str]  # number of the tile program, what is wrong with it


def _set(members: Iterable[int], size: int = 256) -> np.ndarray:
    """Membership of small numbers."""
    table = np.zeros(size, bool)
    table[[int(m) for m in members]] = True
    return table


def _type_table(rows: Iterable[tuple[int, Iterable[Ty]]]) -> np.ndarray:
    """[number, Ty]: may it have the type?"""
    table = np.zeros((256, 16), bool)
    for number, types in rows:
        table[number, [int(ty) for ty in types]] = True
    return table


_TYPES = _type_table((op, op.row.types or (Ty.I64,)) for op in Op)
_MATH_TYPES = _type_table((f, f.row.types) for f in MathFn)
# numbers that a word may be, by its role
_NUMBERS = {
    Role.FLAG: _set((0, 1)),
    Role.INTEGER: _set(INTEGERS),
    Role.FLOAT: _set(FLOATS),
    Role.FUNCTION1: _set(f for f in MathFn if f.row.arguments == 1),
    Role.FUNCTION2: _set(f for f in MathFn if f.row.arguments == 2),
    Role.SYSTEM: _set(Sys),
    Role.PRINTED: _set(Print),
}
_SYS_ARGUMENTS = np.zeros(256, np.int64)
_SYS_ARGUMENTS[[int(f) for f in Sys]] = [f.row.arguments for f in Sys]
_COUNTS = np.ones((256, 4), np.int64)  # registers that a word names: [opcode, word]
for _op in Op:
    _COUNTS[_op, 1:] = [word.count for word in _op.words]
_RUNS_ON = _set(op for op in Op if op.row.flow in (Flow.NEXT, Flow.BRANCH, Flow.CALL))
# roles that name a row of the tile program: what it is called, whether -1 stands for none
_ROWS = {
    Role.FUNCTION: ("a function", "functions", 0),
    Role.OPERATION: ("a vector operation", "dsd_ops", 0),
    Role.DSR: ("a DSR", "dsrs", 0),
    Role.CONFIG: ("a DSR configuration", "dsr_configs", -1),
    Role.STRING: ("a text", "strings", -1),
}


class Code:
    """The code of all tile programs, one after the other, and where each instruction stands."""

    def __init__(self, tiles: Sequence[TileProgram]):
        self.tiles = tiles
        codes = [use.code_of(t) for t in tiles]
        lengths = np.array([len(c) for c in codes], np.int64)
        self.start = np.cumsum(lengths) - lengths  # of each tile program
        self.words = np.concatenate(codes) if codes else np.zeros((0, 4), np.int32)
        self.tile = np.repeat(np.arange(len(tiles)), lengths)
        self.kind, self.ty = self.words[:, 0] & 0xFF, self.words[:, 0] >> 8 & 15
        # of the function that an instruction stands in
        self.frame, self.first, self.end = (np.zeros(len(self.words), np.int64) for _ in range(3))

    def problem(self) -> Problem | None:
        for check in (self._spans, self._opcodes, self._functions, self._words):
            found = check()
            if found is not None:
                return found
        return None

    def _spans(self) -> Problem | None:
        for t, tile in enumerate(self.tiles):
            if len(tile.spans) != len(tile.code):
                return t, f"{len(tile.spans)} spans for {len(tile.code)} instructions"
        return None

    def _opcodes(self) -> Problem | None:
        bad = ~_TYPES[self.kind, self.ty]
        if bad.any():
            i = int(np.argmax(bad))
            return int(self.tile[i]), f"instruction {self._pc(i)} has no opcode and type that exist"
        return None

    def _functions(self) -> Problem | None:
        """Functions follow each other, do not run into the next, and have room for what they are given."""
        count = np.array([len(t.functions) for t in self.tiles], np.int64)
        tile = np.repeat(np.arange(len(self.tiles)), count)
        rows = [(f.entry, f.params, f.frame, f.results) for t in self.tiles for f in t.functions]
        if not rows:
            return None
        try:
            entry, params, frame, results = np.array(rows, np.int64).T
        except OverflowError:
            return int(tile[0]), "a function lies nowhere"
        size = np.array([len(t.code) for t in self.tiles], np.int64)[tile]
        stack = np.array([t.stack_registers for t in self.tiles], np.int64)[tile]
        last = np.append(tile[1:] != tile[:-1], True)
        end = np.where(last, size, np.append(entry[1:], 0))
        at = self.start[tile]
        inside = (entry >= 0) & (entry < end) & (end <= size)
        final = self.kind[np.where(inside, at + end - 1, 0)]
        most = np.maximum(params, results)
        for bad, what in (
            (~inside, "does not lie inside the code"),
            (inside & _RUNS_ON[final], "does not end"),
            ((params < 0) | (results < 0) | (most >= frame), "has no room for its arguments"),
            (frame > stack + 2, "has no room on the stack"),
        ):
            if bad.any():
                i = int(np.argmax(bad))
                t = int(tile[i])
                f = self.tiles[t].functions[i - int(count[:t].sum())]
                return t, f"function {f.name} {what}"
        # what lies before the first function of a tile program belongs to none, and has no registers
        length = end - entry
        where = np.repeat(at + entry, length) + _ramp(length)
        self.frame[where] = np.repeat(frame, length)
        self.first[where], self.end[where] = np.repeat(entry, length), np.repeat(end, length)
        return None

    def _words(self) -> Problem | None:
        """The first word of an instruction that is not what its row says."""
        worst, says = len(self.words), ""
        for role in Role:
            if role in (Role.UNUSED, Role.IMMEDIATE):
                continue
            for rows, column in use.words_with(self.words, role):
                at = np.flatnonzero(rows)
                bad = at[~self._good(role, at, column)]
                if len(bad) and bad[0] < worst:
                    worst, says = int(bad[0]), _says(role)
        if not says:
            return None
        text = f"{Op(int(self.kind[worst])).name.lower()} {', '.join(map(str, self.words[worst, 1:].tolist()))}"
        return int(self.tile[worst]), f"instruction {self._pc(worst)} {says}: {text}"

    def _good(self, role: Role, at: np.ndarray, column: int) -> np.ndarray:
        """Which of the instructions `at` have a word of a role that is as it should be."""
        word = self.words[at, column].astype(np.int64)
        if role.is_register:
            least = 1 if role in (Role.WRITE, Role.UPDATE) else 0
            return (word >= least) & (word + self._count(at, column) <= self.frame[at])
        if role is Role.TARGET:
            return (word >= self.first[at]) & (word < self.end[at])
        if role is Role.FRAME:
            return (word >= 2) & (word <= self.frame[at])  # r[word - 1] takes the return link
        if role in _ROWS:
            _, name, least = _ROWS[role]
            rows = np.array([len(getattr(t, name)) for t in self.tiles], np.int64)
            return (word >= least) & (word < rows[self.tile[at]])
        if role is Role.BITS:
            first, count = word & 0xFF, word >> 8
            return (count >= 1) & (first + count <= 64)
        if role is Role.LIMIT:
            return word >= 0
        good = (word >= 0) & (word < 256)
        number = np.where(good, word, 0)
        good &= _NUMBERS[role][number]
        if role in (Role.FUNCTION1, Role.FUNCTION2):
            good &= _MATH_TYPES[number, self.ty[at]]
        return good

    def _count(self, at: np.ndarray, column: int) -> np.ndarray:
        """How many registers a word of each of the instructions `at` names."""
        kinds = self.kind[at]
        found = _COUNTS[kinds, column]
        # SYS reads as many as its function does (one that does not exist is found elsewhere)
        system = (kinds == Op.SYS) & (found > 1)
        return np.where(system, np.maximum(_SYS_ARGUMENTS[np.clip(self.words[at, 3], 0, 255)], 1), found)

    def _pc(self, i: int) -> int:
        return i - int(self.start[self.tile[i]])


def _says(role: Role) -> str:
    if role.is_register:
        return "names a register that does not exist"
    if role in _ROWS:
        return f"names {_ROWS[role][0]} that does not exist"
    return "goes to where nothing is" if role is Role.TARGET else "has a word that cannot be"


def _ramp(lengths: np.ndarray) -> np.ndarray:
    """0, 1, .. length - 1 for each length, one after the other."""
    return np.arange(int(lengths.sum())) - np.repeat(np.cumsum(lengths) - lengths, lengths)
