"""A trace: events, and the names and source places their numbers stand for."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from meshlang.fabric.recording import KINDS, Start
from meshlang.inspect import names
from meshlang.ir import isa
from meshlang.ir.dsdops import DsdOpCode
from meshlang.ir.program import EAST, WEST
from meshlang.ir.words import OperationRow

if TYPE_CHECKING:
    from meshlang.diag import MeshlangError
    from meshlang.fabric.machine import Machine
    from meshlang.ir.program import Program, TileProgram

KIND = {name: np.uint8(i) for i, name in enumerate(KINDS)}
OPS = {int(op): op.name.lower() for op in isa.Op}
DSDOP = int(isa.Op.DSDOP)


@dataclass(frozen=True)
class Slices:
    """Stretches of time on PEs, one row each. All arrays have the same length.

    `begin`, `end`: rows of `Trace.events`, -1 where that end lies outside the trace.
    """

    start: np.ndarray  # first cycle
    stop: np.ndarray  # cycle after the last
    pe: np.ndarray
    thread: np.ndarray  # 0 main, 1 + microthread
    begin: np.ndarray
    end: np.ndarray
    events: np.ndarray  # the event that describes the slice: `begin`, or `end` where there is none

    def __len__(self) -> int:
        return len(self.start)


@dataclass
class Trace:
    """events: EVENT[n] by cycle; first, last: cycles of the recording, half open; mask: traced PEs, bool [h, w]."""

    program: Program
    profile: str
    width: int
    height: int
    events: np.ndarray
    start: Start | None
    first: int
    last: int
    hop: int
    ramp: int
    tile_of: np.ndarray  # [pe], -1: no code
    code_base: list[int]
    mask: np.ndarray
    full_at: int | None
    lost: int
    failed: MeshlangError | None = None  # the fault or deadlock that ended the run

    @staticmethod
    def of(machine: Machine, failed: MeshlangError | None = None) -> Trace:
        """What a machine's recorder has. failed: what ended the run (`Session.failed`)."""
        recorder = machine.recorder
        assert recorder is not None
        events = recorder.events
        first = max(recorder.options.cycles[0], 0)
        last = min(recorder.options.cycles[1], machine.cycle + 1 if recorder.full_at is None else recorder.full_at)
        if len(events):
            last = max(last, int(events["cycle"][-1]) + 1)
        return Trace(
            machine.program,
            machine.profile.name,
            machine.width,
            machine.height,
            events,
            recorder.start,
            min(first, last),
            last,
            int(machine.profile["fabric.hop"]),
            int(machine.profile["fabric.ramp"]),
            machine.state.tile_of,
            machine.state.code_base,
            recorder.mask,
            recorder.full_at,
            recorder.lost,
            failed,
        )

    # ------------------------------------------------------------ names

    def xy(self, pe: int) -> tuple[int, int]:
        y, x = divmod(int(pe), self.width)
        return x, y

    def tile(self, pe: int) -> TileProgram | None:
        t = int(self.tile_of[pe])
        return self.program.tiles[t] if t >= 0 else None

    def _code(self, pe: int, pc: int) -> tuple[int, int] | None:
        """(tile, instruction in its code) of an instruction of the machine."""
        t = int(self.tile_of[pe])
        if t < 0 or pc < 0:
            return None
        at = int(pc) - self.code_base[t]
        return (t, at) if 0 <= at < len(self.program.tiles[t].spans) else None

    def place(self, pe: int, pc: int) -> tuple[str, int] | None:
        """(path, line) an instruction was compiled from, or the nearest before it."""
        found = self._code(pe, pc)
        return None if found is None else self._places[found[0]][found[1]]

    @cached_property
    def _places(self) -> list[list[tuple[str, int] | None]]:
        return [places(tile) for tile in self.program.tiles]

    def task_name(self, pe: int, task: int, pc: int = -1) -> str:
        """The name of a task; of a launched function by its first instruction `pc`."""
        tile = self.tile(pe)
        if task == names.COMMAND and tile is not None:
            found = self._code(pe, pc)
            if found is not None:
                return next((f.name for f in tile.functions if f.entry == found[1]), "launched function")
            return "launched function"
        for binding in tile.tasks if tile is not None else ():
            if binding.id == task & 63 and (binding.kind == "control") == (task >= 64):
                return binding.name
        return f"task {task & 63}"

    def op_name(self, pe: int, pc: int) -> str:
        """ "fmacs" for a vector operation, "add" for a scalar instruction."""
        return self._op_names.get((int(self.tile_of[pe]), int(pc))) or self._name_op(pe, pc)

    @cached_property
    def _op_names(self) -> dict[tuple[int, int], str]:
        return {}

    def _name_op(self, pe: int, pc: int) -> str:
        found = self._code(pe, pc)
        if found is None:
            return "element access"
        t, at = found
        code = self.program.tiles[t].code[at]
        op = int(code[0]) & 0xFF
        name = OPS.get(op, "?")
        if op == DSDOP:
            name = DsdOpCode(
                int(OperationRow.rows(self.program.tiles[t].dsd_ops)[int(code[1]), OperationRow.code])
            ).name.lower()
        self._op_names[t, int(pc)] = name
        return name

    def color_beside(self, pe: int, color: int, direction: int) -> int:
        """The color at PE `pe` of a wavelet that comes in `direction` with `color`: another one where the colors are
        swapped. (Where only the other one has the swap, both receive it: its own.)"""
        if not self._swaps:
            return color

        def swap(c: int) -> bool | None:
            grid = self.program.fabric.color.get(c)
            index = -1 if grid is None else int(np.asarray(grid).reshape(-1)[pe])
            config = self.program.fabric.configs[index] if index >= 0 else None
            return None if config is None else config.swap_x if direction in (EAST, WEST) else config.swap_y

        return color ^ 1 if swap(color ^ 1) and swap(color) is not False else color

    @cached_property
    def _swaps(self) -> bool:
        return any(c.swap_x or c.swap_y for c in self.program.fabric.configs)

    # ------------------------------------------------------------ the traced PEs

    @cached_property
    def box(self) -> tuple[int, int, int, int]:
        """x, y, width and height of the rectangle around the traced PEs. Its PEs, row by row, are the cells of pages and
        pictures."""
        ys, xs = np.nonzero(self.mask)
        x, y = int(xs.min()), int(ys.min())
        return x, y, int(xs.max()) - x + 1, int(ys.max()) - y + 1

    def of_box(self, values: np.ndarray) -> np.ndarray:
        """The box's part of an array [pe], by cell."""
        x, y, w, h = self.box
        return np.ascontiguousarray(values.reshape(self.height, self.width)[y : y + h, x : x + w]).ravel()

    def cells(self, pe: np.ndarray) -> np.ndarray:
        """The cells of PEs."""
        x0, y0, w, _ = self.box
        y, x = np.divmod(pe.astype(np.int64), self.width)
        return (y - y0) * w + (x - x0)

    @cached_property
    def moves(self) -> np.ndarray:
        """Events of wavelets that a traced PE's router moved."""
        return self.events[(self.events["kind"] == KIND["move"]) & self.mask.ravel()[self.events["pe"]]]

    # ------------------------------------------------------------ slices

    def of_kinds(self, *kinds: str) -> np.ndarray:
        """Rows of events of some kinds, in order."""
        return np.flatnonzero(np.isin(self.events["kind"], [KIND[k] for k in kinds]))

    @cached_property
    def tasks(self) -> Slices:
        """What the main thread ran."""
        return self._paired("task", "end", by_thread=False)

    @cached_property
    def operations(self) -> Slices:
        """Vector operations on the fabric."""
        return self._paired("issue", "done", by_thread=True, inclusive=1)

    @cached_property
    def bulk(self) -> Slices:
        """Vector operations in memory."""
        rows = self.of_kinds("op")
        ev = self.events[rows]
        return Slices(ev["cycle"], ev["cycle"] + ev["extra"], ev["pe"], ev["thread"], rows, rows, ev)

    @cached_property
    def stalls(self) -> Slices:
        """Threads that could not go on."""
        return self._paired("stall", "go", by_thread=True)

    def _paired(self, begin: str, end: str, by_thread: bool, inclusive: int = 0) -> Slices:
        """Beginnings and ends of the same PE (and thread), each with the next other one. inclusive: 1: the end's cycle
        is part of it."""
        rows = self.of_kinds(begin, end)
        ev = self.events[rows]
        thread = ev["thread"].astype(np.int64) if by_thread else np.zeros(len(ev), np.int64)
        key = ev["pe"].astype(np.int64) * 256 + thread
        is_end = ev["kind"] == KIND[end]
        # of one cycle, an end stands before the next beginning, unless it ends what begins in that cycle: the order
        # they happened in
        order = np.argsort(key, kind="stable")
        rows, key, is_end, ev, thread = rows[order], key[order], is_end[order], ev[order], thread[order]
        n = len(rows)
        same = np.zeros(n, bool)  # the row before is of the same key
        same[1:] = key[1:] == key[:-1]
        opens = np.zeros(n, bool)  # a beginning stands right before
        opens[1:] = ~is_end[:-1] & same[1:]
        ends = np.flatnonzero(is_end)
        lone = np.flatnonzero(~is_end & ~np.append(opens[1:] & is_end[1:], False))  # never ended
        closed = ends[opens[ends]]
        early = ends[~opens[ends]]  # began before the recording
        length = ev["value"].astype(np.int64) if end == "go" else ev["extra"].astype(np.int64)
        start = np.concatenate([ev["cycle"][closed - 1], ev["cycle"][early] - length[early], ev["cycle"][lone]])
        stop = np.concatenate(
            [ev["cycle"][closed] + inclusive, ev["cycle"][early] + inclusive, np.full(len(lone), self.last)]
        )
        begins = np.concatenate([rows[closed - 1], np.full(len(early), -1), rows[lone]])
        finishes = np.concatenate([rows[closed], rows[early], np.full(len(lone), -1)])
        of = np.where(begins >= 0, begins, finishes)
        described = self.events[of]
        place = np.concatenate([closed, early, lone])
        sort = np.lexsort((place, start))
        return Slices(
            start[sort],
            stop[sort],
            described["pe"][sort],
            np.concatenate([thread[closed], thread[early], thread[lone]])[sort],
            begins[sort],
            finishes[sort],
            described[sort],
        )


def places(tile: TileProgram) -> list[tuple[str, int] | None]:
    """(path, line) per instruction; generated ones belong to the line before."""
    out: list[tuple[str, int] | None] = []
    known: dict[Any, tuple[str, int]] = {}
    last = None
    for span in tile.spans:
        if span is not None:
            last = known.get(span)
            if last is None:
                last = known[span] = (str(span.file.path), span.line_col()[0])
        out.append(last)
    return out
