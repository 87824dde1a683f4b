"""The progress line: cycles, rate and elapsed time, on a terminal or in a notebook, once something takes longer than two
seconds. It goes away when the work is done.

A command of several parts (a model: weights, layers, tokens) opens one line for all of them with `stages`, and says with
`stage` what it is at; compiling and running, which have lines of their own elsewhere, add to it.
"""

from __future__ import annotations

import contextlib
import html
import os
import sys
import threading
import time
from collections.abc import Iterator
from typing import Protocol

DELAY = 2.0  # seconds before the line appears
INTERVAL = 0.2  # between updates


def on_terminal() -> bool:
    """Whether progress is wanted on stderr: it is a terminal, and MESHLANG_QUIET is not set."""
    return sys.stderr.isatty() and not os.environ.get("MESHLANG_QUIET")


def shown() -> bool:
    """Whether progress is wanted: on a terminal or in a notebook, and MESHLANG_QUIET is not set."""
    return on_terminal() or (_in_notebook() and not os.environ.get("MESHLANG_QUIET"))


def _in_notebook() -> bool:
    """Whether a Jupyter kernel runs this."""
    ipython = sys.modules.get("IPython")
    return ipython is not None and getattr(ipython.get_ipython(), "kernel", None) is not None


class _Line(Protocol):
    """A label, and the time since the work began."""

    def say(self, label: str) -> None: ...
    def stop(self) -> None:
        """Take it away."""


def _line(label: str, began: float) -> _Line:
    """began: when the work did, as time.monotonic() has it."""
    return _Output(label, began) if _in_notebook() else _Spinner(label, began)


class _Spinner:
    """A line on the terminal."""

    def __init__(self, label: str, began: float) -> None:
        from rich.console import Console
        from rich.progress import Progress as Bar
        from rich.progress import SpinnerColumn, TextColumn, TimeElapsedColumn

        columns = SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn()
        self._bar = Bar(*columns, console=Console(stderr=True), transient=True)
        self._task = self._bar.add_task(label)
        self._bar.tasks[0].start_time = began
        self._bar.start()

    def say(self, label: str) -> None:
        self._bar.update(self._task, description=label)

    def stop(self) -> None:
        self._bar.stop()


class _Output:
    """An output of a notebook's cell, with a bar that moves. It is drawn now and then by a thread, whatever is said."""

    def __init__(self, label: str, began: float) -> None:
        from IPython.display import display

        self._label, self._began = label, began
        self._display = display(self._drawn(), raw=True, display_id=True)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._draw, daemon=True)
        self._thread.start()

    def _drawn(self) -> dict[str, str]:
        text = f"{self._label}, {time.monotonic() - self._began:.0f} s"
        return {"text/html": f"<progress></progress> {html.escape(text)}", "text/plain": text}

    def _draw(self) -> None:
        while not self._over.wait(INTERVAL):
            self._display.update(self._drawn(), raw=True)

    def say(self, label: str) -> None:
        self._label = label

    def stop(self) -> None:
        self._over.set()
        self._thread.join()
        self._display.update({"text/html": "", "text/plain": ""}, raw=True)


class _Stages:
    """One line: what a command is at, how far a run in it is, and the time."""

    def __init__(self) -> None:
        self._text = ""
        self._line: _Line | None = None
        self._lock = threading.Lock()
        self.resume()

    def resume(self) -> None:
        """Show the line after a while."""
        self.paused = False
        self._began = time.monotonic()
        self._timer = threading.Timer(DELAY, self._show)
        self._timer.daemon = True
        self._timer.start()

    def say(self, what: str) -> None:
        self._text = what
        self.add("")

    def add(self, more: str) -> None:
        with self._lock:
            if self._line is not None:
                self._line.say(f"{self._text}{more}")

    def _show(self) -> None:
        with self._lock:
            if not self.paused and self._line is None:
                self._line = _line(self._text, self._began)

    def pause(self) -> None:
        """Take the line away: something else is written to the terminal."""
        self._timer.cancel()
        with self._lock:
            self.paused = True
            if self._line is not None:
                self._line.stop()
                self._line = None


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
    lines: list[_Line] = []
    began = time.monotonic()

    def appear() -> None:
        lines.append(_line(label, began))

    timer = threading.Timer(DELAY, appear)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()  # if it was just about to appear, let it, so that it can be taken away
        for line in lines:
            line.stop()


class Progress:
    """Call `update(cycle)` as often as you like; `close()` removes the line. Nothing is said where `shown()` is False."""

    def __init__(self, label: str = "running"):
        self.label = label
        # an open line may stand in for stderr, and older versions of rich do not say that it is a terminal
        self.enabled = bool(_open) or shown()
        self._start = self._last = time.monotonic()
        self._first_cycle: int | None = None
        self._line: _Line | None = None

    def update(self, cycle: int) -> None:
        now = time.monotonic()
        if self._first_cycle is None:
            self._first_cycle = cycle
        if not self.enabled or now - self._start < DELAY or now - self._last < INTERVAL:
            return
        self._last = now
        text = f": cycle {cycle:,}, {(cycle - self._first_cycle) / (now - self._start):,.0f} cycles/s"
        if _open:
            _open[-1].add(text)
        elif self._line is None:
            self._line = _line(self.label + text, self._start)
        else:
            self._line.say(self.label + text)

    def close(self) -> None:
        if self._line is not None:
            self._line.stop()
            self._line = None
