"""Output records of the machine -> lines of sim.log and traces.

<simprint> records are pieces of a line; a FLUSH record ends it. A line is written as the vendor's simulator does:
`@cycle text`, with the cycle of the newline (the log printed in the README of tutorial topic-13 of the vendor's
examples shows lines of one PE 182 cycles apart, formatting included, which fits the flush). Unflushed text is lost.
<debug> records are kept per PE and key.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from meshlang.ir.isa import TY_SIZE, Print, Ty

_SIGNED = {Ty.I8, Ty.I16, Ty.I32, Ty.I64}


def value_of(ty: int, bits: int) -> int | float:
    """A register's content as a Python number; floats are exact."""
    ty = Ty(ty)
    if ty == Ty.F16:
        return float(np.uint16(bits & 0xFFFF).view(np.float16))
    if ty == Ty.F32:
        return float(np.uint32(bits & 0xFFFFFFFF).view(np.float32))
    width = 8 * TY_SIZE[ty]
    bits &= (1 << width) - 1
    if ty in _SIGNED and bits >> (width - 1):
        bits -= 1 << width
    return bits


def text_of(kind: int, ty: int, bits: int) -> str:
    """What one record prints: {d}; {X}, upper case and zero padded; {b}, zero padded; {f} with six decimals as C's
    %f."""
    width = 8 * TY_SIZE[Ty(ty)]
    if kind == Print.HEX:
        return f"{bits & ((1 << width) - 1):0{width // 4}X}"
    if kind == Print.BIN:
        return f"{bits & ((1 << width) - 1):0{width}b}"
    value = value_of(ty, bits)
    return f"{value:f}" if kind == Print.FLOAT else str(value)


@dataclass(slots=True, frozen=True)
class LogLine:
    """One line of simulator output. `pe` is y * width + x in the rectangle."""

    cycle: int
    pe: int
    text: str

    def __str__(self) -> str:
        return f"@{self.cycle} {self.text}"


LINES_KEPT = 200_000  # a program that prints without end must not fill the host's memory


@dataclass
class Output:
    """Collects the records of a run.

    records: (cycle, pe, kind, ty, value, string): `string` is text or None; for TRACE kinds it is the key, and for
    TRACE_TEXT `value` is an index into the strings of the PE's tile program, which `text_at(pe, index)` looks up.
    """

    text_at: Any = None
    path: Path | None = None  # sim.log; None keeps the lines in memory only
    lines: deque[LogLine] = field(default_factory=lambda: deque(maxlen=LINES_KEPT))  # the last ones; sim.log has all
    traces: dict[tuple[int, str], list[Any]] = field(default_factory=lambda: defaultdict(list))
    _partial: dict[int, list[str]] = field(default_factory=dict)
    _started: bool = False

    def take(self, records: Iterable[Sequence[Any]]) -> list[LogLine]:
        """Add records; returns the lines they completed, in the order of their cycles, and appends them to sim.log."""
        done: list[LogLine] = []
        for cycle, pe, kind, ty, value, string in records:
            cycle, pe, kind, value = int(cycle), int(pe), int(kind), int(value)
            if kind == Print.TEXT:
                self._partial.setdefault(pe, []).append(string or "")
            elif kind == Print.FLUSH:
                done.append(LogLine(cycle, pe, "".join(self._partial.pop(pe, ()))))
            elif kind < Print.TRACE:
                self._partial.setdefault(pe, []).append(text_of(kind, ty, value))
            else:
                self.traces[pe, string or ""].append(self._traced(kind, ty, value, cycle, pe))
        done.sort(key=lambda line: line.cycle)  # stable: within a cycle the machine's order
        self.lines += done
        self._write(done)
        return done

    def _traced(self, kind: int, ty: int, value: int, cycle: int, pe: int) -> Any:
        if kind == Print.TRACE_TEXT:
            return self.text_at(pe, value) if self.text_at is not None else ""
        if kind == Print.TRACE_TIME:
            return cycle
        if kind == Print.TRACE_BOOL:
            return bool(value)
        return value_of(ty, value)

    def start(self) -> None:
        """Begin a new sim.log: one of an earlier run must not be taken for this one's."""
        if self.path is not None and not self._started:
            self._started = True
            self._write_text("", "w")

    def _write(self, lines: list[LogLine]) -> None:
        if self.path is not None and lines:
            self.start()
            self._write_text("".join(f"{line}\n" for line in lines), "a")

    def _write_text(self, text: str, mode: str) -> None:
        from meshlang.diag import Diagnostic, MeshlangError

        assert self.path is not None
        try:
            with open(self.path, mode, encoding="utf-8") as file:
                file.write(text)
        except OSError as error:
            raise MeshlangError(Diagnostic("MS0901", f"cannot write {self.path}: {error.strerror or error}")) from None
