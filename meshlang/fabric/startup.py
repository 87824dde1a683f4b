"""An answer at once: which run loop there is, while the compiled one is being made.

The engine's sources run uncompiled too, to the same bits on the same arrays. So where the cache holds no compiled engine,
a process of its own compiles it into the cache, once for all who wait, and goes on when the command that started it has
ended. Meanwhile programs run uncompiled, and change over in the middle of a run, between two calls of the run loop.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from .. import paths
from .engine import jit, loop

SWITCH = "MESHLANG_BACKGROUND"  # 0: compile before the first run and make it wait
LOOK = 0.2  # seconds between two looks for what the other process makes

RunLoop = Callable[..., Any]


class _Waiting:
    """What this process knows of an engine that somebody is compiling."""

    process: subprocess.Popen[bytes] | None = None
    next_look = 0.0
    given_up = False


_waiting = {False: _Waiting(), True: _Waiting()}


def run_loop(traced: bool = False) -> RunLoop:
    """The best run loop there is now; `traced`: the version that records events."""
    if loop.ready(traced) or not jit.COMPILED or _waiting[traced].given_up:
        return loop.engine(traced)
    state = _waiting[traced]
    now = time.monotonic()
    if now < state.next_look:
        return uncompiled()  # a look asks the file system: not at every call
    if loop.cached(traced):
        return loop.engine(traced)
    if os.environ.get(SWITCH, "1") == "0" or jit.cache_directory(loop.__file__) is None:
        _announce("compiling the fabric engine for this machine (once; less than a minute)")
        return loop.engine(traced)
    state.next_look = now + LOOK
    _look(state, traced)
    return loop.engine(traced) if state.given_up else uncompiled()


def settled(traced: bool = False) -> bool:
    """Will `run_loop` give the same from now on?"""
    return loop.ready(traced) or not jit.COMPILED


def uncompiled() -> RunLoop:
    """The run loop as plain Python."""
    from .uncompiled import loop as plain  # type: ignore[attr-defined]  # the modules of engine/ under another name

    return plain.run_loop


def _look(state: _Waiting, traced: bool) -> None:
    """See to it that somebody compiles."""
    if state.process is None:
        _announce(
            "the fabric engine is being compiled in the background (once for this machine, about a minute); "
            "until then programs run slowly"
        )
    elif state.process.poll() is None:
        return
    elif state.process.returncode != 0:
        state.given_up = True  # compiled here then, where an error is seen
        return
    # none yet, or it left the work to one that was at it already and has gone without an engine
    try:
        state.process = subprocess.Popen(
            [sys.executable, "-m", __name__, *(["traced"] if traced else [])],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": _python_path()},
            cwd=paths.PACKAGE.parent,
            start_new_session=True,  # Ctrl-C of the command is not for it
        )
    except OSError:
        state.given_up = True


def _python_path() -> str:
    return os.pathsep.join(filter(None, [str(paths.PACKAGE.parent), os.environ.get("PYTHONPATH")]))


def _announce(text: str) -> None:
    print(f"meshlang: {text}", file=sys.stderr, flush=True)


# ---------------------------------------------------------------- the process that compiles


@contextlib.contextmanager
def _alone(directory: Path, traced: bool = False) -> Iterator[None]:
    """Be the only process that compiles a version of the engine for a cache directory: wait, asleep, for one that is at it."""
    try:
        import fcntl
    except ImportError:  # not on this system: two may do the same work
        yield
        return
    with open(directory / ("lock-traced" if traced else "lock"), "a", encoding="utf-8") as file:
        with contextlib.suppress(OSError):  # a file system without locks: two may do the same work
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def main(arguments: list[str]) -> int:
    """Compile into the cache, or wait until another process has."""
    traced = arguments == ["traced"]
    directory = jit.cache_directory(loop.__file__)
    if directory is None:
        return 1
    with _alone(directory, traced):
        if not loop.cached(traced):
            loop.engine(traced)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
