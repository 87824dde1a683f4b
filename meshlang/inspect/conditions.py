"""What a run can stop at.

    cycle N             the clock
    line FILE:LINE      a PE is about to execute the first instruction of that line
    task NAME           a task (or launched function) is about to start
    wavelet COLOR       a wavelet of the color has come into a router
    EXPRESSION          an expression over a PE's variables is true (not 0)
    change EXPRESSION   its value has changed

each with `@ X,Y` or `@ X0:X1,Y0:Y1`. Lines and tasks are Traps: exact to the instruction. The others are checked after
every cycle; compute elements run scalar code ahead of the clock, so a change of memory can be seen a few cycles early.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

import numpy as np

from meshlang.diag import did_you_mean
from meshlang.fabric.engine import state as s
from meshlang.ir.frames import inlined_at, jumps, round_at

from . import names
from .mistakes import mistake
from .values import scalar_text

if TYPE_CHECKING:
    from meshlang.fabric.machine import Machine

Region = tuple[int, int, int, int]  # x, y, w, h


class Condition:
    """`check` is asked after every cycle and says what has happened, or ""."""

    def __init__(self, text: str, region: Region):
        self.text = text
        self.region = region

    def start(self, machine: Machine) -> None:
        """The run begins here."""

    def check(self, machine: Machine) -> str:
        raise NotImplementedError

    def pes(self, machine: Machine) -> np.ndarray:
        x, y, w, h = self.region
        return (np.arange(y, y + h)[:, None] * machine.width + np.arange(x, x + w)[None, :]).ravel()

    def mask(self, machine: Machine) -> np.ndarray:
        mask = np.zeros(machine.width * machine.height, bool)
        mask[self.pes(machine)] = True
        return mask


class Trap(Condition):
    """Instructions that stop the machine before they are executed."""

    def __init__(self, text: str, region: Region, pcs: list[int], what: str):
        super().__init__(text, region)
        self._pcs = pcs
        self._what = what

    def instructions(self, machine: Machine) -> list[int]:
        del machine
        return self._pcs

    def describe(self, machine: Machine, pe: int, pc: int) -> str:
        time = int(machine.pes["time"][pe])
        ahead = f" (at cycle {time} of its own clock)" if time > machine.cycle else ""
        tile = int(machine.state.tile_of[pe])
        inside = inlined_at(machine.program.tiles[tile], pc - machine.state.code_base[tile])
        calls = "".join(f", in {f.name}, called at {names.place(f.span)}" for f in inside)
        return f"PE {pe % machine.width},{pe // machine.width} {self._what}{calls}{ahead}"


def line_trap(machine: Machine, file: str, line: int, text: str, region: Region) -> Trap:
    """A Trap at the first instruction of a source line, in every run of instructions of that line."""
    pcs: list[int] = []
    known: set[int] = set()
    for t, tile in enumerate(machine.program.tiles):
        before, turn = False, -1
        # every round of a loop begins anew, too
        entries = {f.entry for f in tile.functions} | {to for pc, to in jumps(tile) if to <= pc}
        lines: dict[Any, int] = {}  # span -> its line, if it is one of the file

        def line_of(span: Any, lines: dict[Any, int] = lines) -> int:
            number = lines.get(span)
            if number is None:
                number = lines[span] = span.line_col()[0] if PurePath(span.file.path).name == PurePath(file).name else 0
            return number

        for pc, span in enumerate(tile.spans):
            # an instruction of an expanded function stands on the line of its call, too
            spans = [span, *(f.span for f in inlined_at(tile, pc))]
            numbers = {line_of(sp) for sp in spans if sp is not None} - {0}
            known |= numbers
            now = round_at(tile, pc)
            if line in numbers and (not before or pc in entries or now != turn):
                pcs.append(machine.state.code_base[t] + pc)
            before, turn = line in numbers, now
    if not pcs:
        if not known:
            files = sorted(
                {PurePath(sp.file.path).name for t in machine.program.tiles for sp in t.spans if sp is not None}
            )
            raise mistake(f"no code comes from a file {file!r}", help=f"files with code: {', '.join(files[:8])}")
        near = min(known, key=lambda n: (abs(n - line), n))
        raise mistake(f"no instruction comes from {file}:{line}", help=f"the nearest line with code is {near}")
    return Trap(text, region, pcs, f"reaches {PurePath(file).name}:{line}")


def task_trap(machine: Machine, name: str, text: str, region: Region) -> Trap:
    """A Trap at the entry of a task or exported function."""
    pcs: list[int] = []
    for t, tile in enumerate(machine.program.tiles):
        functions = {b.function for b in tile.tasks if b.name == name}
        functions |= {e.function for e in tile.exports.values() if e.kind == "fn" and e.name == name}
        pcs += [machine.state.code_base[t] + tile.functions[f].entry for f in functions]
    if not pcs:
        exported = {e.name for t in machine.program.tiles for e in t.exports.values() if e.kind == "fn"}
        known = sorted({*names.tasks_of(machine), *exported})
        raise mistake(
            f"no task or exported function is called {name!r}; there are: {', '.join(known) or 'none'}",
            help=did_you_mean(name, known),
        )
    return Trap(text, region, sorted(set(pcs)), f"starts {name}")


class AtCycle(Condition):
    """The clock has reached a cycle."""

    def __init__(self, cycle: int, region: Region):
        super().__init__(f"cycle {cycle}", region)
        self.cycle = cycle

    def start(self, machine: Machine) -> None:
        self.armed = machine.cycle < self.cycle

    def check(self, machine: Machine) -> str:
        return self.text if self.armed and machine.cycle >= self.cycle else ""


class OnWavelet(Condition):
    """A wavelet of a color comes into a router: exact, from the time stamps that channels keep."""

    def __init__(self, color: int, text: str, region: Region, machine: Machine):
        super().__init__(text, region)
        self.color = color
        grid = machine.state.channels[color]
        self._where = self.pes(machine)[grid[self.pes(machine)] >= 0]
        self._at = grid[self._where] + s.Channel.push

    def start(self, machine: Machine) -> None:
        self._seen = machine.state.U[self._at].copy()

    def check(self, machine: Machine) -> str:
        now = machine.state.U[self._at]
        new = np.flatnonzero(now != self._seen)
        if not len(new):
            return ""
        self._seen = now.copy()
        pe = int(self._where[new[0]])
        more = f", and {names.counted(len(new) - 1, 'more router')}" if len(new) > 1 else ""
        return f"a wavelet of color {self.color} came into the router of PE {pe % machine.width},{pe // machine.width}{more}"


class OnValue(Condition):
    """An expression becomes true (was not before), or changes. Looks at every PE of the region."""

    def __init__(
        self, expression: str, evaluate: Callable[[Machine, int, int], Any], text: str, region: Region, change: bool
    ):
        super().__init__(text, region)
        self.expression, self._evaluate, self.change = expression, evaluate, change

    def _values(self, machine: Machine) -> list[Any]:
        return [self._evaluate(machine, int(pe) % machine.width, int(pe) // machine.width) for pe in self.pes(machine)]

    def start(self, machine: Machine) -> None:
        self._seen = self._values(machine)

    def check(self, machine: Machine) -> str:
        values = self._values(machine)
        for pe, old, new in zip(self.pes(machine).tolist(), self._seen, values):
            here = f"PE {pe % machine.width},{pe // machine.width}"
            if self.change and not np.array_equal(old, new):
                self._seen = values
                return f"{self.expression} of {here} changed: {_short(old)} -> {_short(new)}"
            if not self.change and np.any(new) and not np.any(old):
                self._seen = values
                return f"{self.expression} is true on {here}"
        self._seen = values
        return ""


def _short(value: Any) -> str:
    from .values import array_text

    return array_text(value, 8) if isinstance(value, np.ndarray) else scalar_text(value)
