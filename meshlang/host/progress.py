"""The progress line: cycles, rate and elapsed time, on a terminal, once something takes longer than two seconds."""

from __future__ import annotations

import os
import sys
import time
from typing import Any

DELAY = 2.0  # seconds before the line appears
INTERVAL = 0.2  # between updates


class Progress:
    """Call `update(cycle)` as often as you like; `close()` removes the line.

    Nothing is printed when stderr is not a terminal, or with MESHLANG_QUIET set.
    """

    def __init__(self, label: str = "running"):
        self.label = label
        self.enabled = sys.stderr.isatty() and not os.environ.get("MESHLANG_QUIET")
        self._start = self._last = time.monotonic()
        self._first_cycle: int | None = None
        self._status: Any = None

    def update(self, cycle: int, note: str = "") -> None:
        now = time.monotonic()
        if self._first_cycle is None:
            self._first_cycle = cycle
        if not self.enabled or now - self._start < DELAY or now - self._last < INTERVAL:
            return
        self._last = now
        elapsed = now - self._start
        rate = (cycle - self._first_cycle) / elapsed
        text = f"{self.label}: cycle {cycle:,}, {rate:,.0f} cycles/s, {elapsed:.0f} s {note}".rstrip()
        if self._status is None:
            from rich.console import Console

            self._status = Console(stderr=True).status(text)
            self._status.start()
        self._status.update(text)

    def close(self) -> None:
        if self._status is not None:
            self._status.stop()
            self._status = None
