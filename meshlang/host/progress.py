"""The progress line: cycles, rate and elapsed time, on a terminal, once something takes longer than two seconds.

A command of several parts (a model: weights, layers, tokens) opens one line for all of them with `stages`, and says with
`stage` what it is at; compiling and running, which have lines of their own elsewhere, add to it.
"""

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


class _Stages:
    """One line: what a command is at, how far a run in it is, and the time."""

    def __init__(self) -> None:
        self._text = ""
        self._bar: Any = None
        self._lock = threading.Lock()
        self.resume()

    def resume(self) -> None:
        """Show the line after a while."""
        self.paused = False
        self._timer = threading.Timer(DELAY, self._show)
        self._timer.daemon = True
        self._timer.start()

    def say(self, what: str) -> None:
        self._text = what
        self.add("")

    def add(self, more: str) -> None:
        with self._lock:
            if self._bar is not None:
                self._bar.update(self._bar.task_ids[0], description=f"{self._text}{more}")

    def _show(self) -> None:
        with self._lock:
            if not self.paused and self._bar is None:
                self._bar = _spinner(self._text)

    def pause(self) -> None:
        """Take the line away: something else is written to the terminal."""
        self._timer.cancel()
        with self._lock:
            self.paused = True
            if self._bar is not None:
                self._bar.stop()
                self._bar = None


def _spinner(label: str) -> Any:
    """A line with a label and the time, which has begun."""
    from rich.console import Console
    from rich.progress import Progress as Bar
    from rich.progress import SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn()
    bar = Bar(*columns, console=Console(stderr=True), transient=True)
    bar.add_task(label)
    bar.start()
    return bar


_open: list[_Stages] = []  # the line of the command that runs, if it has one


@contextlib.contextmanager
def stages(what: str) -> Iterator[None]:
    """One line for all that the body does, which begins with `what`."""
    if not shown() or _open:
        yield
        return
    line = _Stages()
    line.say(what)
    _open.append(line)
    try:
        yield
    finally:
        _open.pop().pause()


def stage(what: str) -> None:
    """What is done now, for the line that is open, if any is."""
    if _open:
        _open[-1].say(what)


def pause() -> None:
    """From here on the command's own output says how far it is, on the same terminal, until `resume`."""
    if _open and not _open[-1].paused:
        _open[-1].pause()


def resume() -> None:
    if _open and _open[-1].paused:
        _open[-1].resume()


@contextlib.contextmanager
def busy(label: str) -> Iterator[None]:
    """Show `label` and the elapsed time while the body runs, if it takes long. For work that cannot report how far it
    is."""
    if _open or not shown():
        stage(label)
        yield
        return
    display: list[Any] = []

    def appear() -> None:
        display.append(_spinner(label))

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
        if _open:
            _open[-1].add(f": cycle {cycle:,}, {rate:,.0f} cycles/s {note}".rstrip())
            return
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
