"""The progress line: cycles, rate and elapsed time, on a terminal, once something takes longer than two seconds."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

DELAY = 2.0  # seconds before the line appears
INTERVAL = 0.2  # between updates


def shown() -> bool:
    """Whether progress is wanted: stderr is a terminal, and MESHLANG_QUIET is not set."""
    return sys.stderr.isatty() and not os.environ.get("MESHLANG_QUIET")


@contextlib.contextmanager
def busy(label: str) -> Iterator[None]:
    """Show `label` and the elapsed time while the body runs, if it takes long. For work that cannot report how far it
    is."""
    if not shown():
        yield
        return
    display: list[Any] = []

    def appear() -> None:
        from rich.console import Console
        from rich.progress import Progress as Bar
        from rich.progress import SpinnerColumn, TextColumn, TimeElapsedColumn

        bar = Bar(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            TimeElapsedColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        bar.add_task(label)
        bar.start()
        display.append(bar)

    timer = threading.Timer(DELAY, appear)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()  # if it was just about to appear, let it, so that it can be taken away
        for bar in display:
            bar.stop()


class Progress:
    """Call `update(cycle)` as often as you like; `close()` removes the line.

    Nothing is printed when stderr is not a terminal, or with MESHLANG_QUIET set.
    """

    def __init__(self, label: str = "running"):
        self.label = label
        self.enabled = shown()
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
