"""Limits on what a run may take: seconds and memory, watched from a thread beside it; and what --untrusted means."""

from __future__ import annotations

import _thread
import argparse
import contextlib
import os
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from meshlang.diag import Diagnostic, MeshlangError, usage_error

POLL = 0.05  # seconds between two looks
GRACE = 10.0  # seconds for the run to stop by itself, so that what it has is written

# --untrusted without limits of its own
SECONDS = 60
MEGABYTES = 4096
MAX_CYCLES = 1_000_000_000
COMPTIME_STEPS = 2_000_000  # rounds of one loop of a layout: four visits of each PE of a wafer, some seconds


def add_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("limits")
    group.add_argument("--max-seconds", type=int, metavar="N", help="stop after so many seconds, compiling included")
    group.add_argument("--max-memory", type=int, metavar="MB", help="stop when the process holds more memory")
    group.add_argument(
        "--untrusted",
        action="store_true",
        help=f"for programs of unknown people: no host script, nothing read outside the program's folder, and limits "
        f"(unless given: {SECONDS} s, {MEGABYTES} MB, {MAX_CYCLES:,} cycles)",
    )


def check(args: argparse.Namespace) -> None:
    """MS0905 for limits below 1; fills in those of --untrusted, and confines the compilation to the program's folder."""
    if args.untrusted:
        path = Path(args.path)
        if path.suffix == ".py" or (path / "run.py").is_file():
            raise usage_error(
                f"--untrusted runs no host script, and {path if path.suffix else path / 'run.py'} is one",
                help=f"name the layout file to do without it: meshlang run {path if path.is_dir() else path.parent}/layout.csl",
            )
        args.max_seconds = SECONDS if args.max_seconds is None else args.max_seconds
        args.max_memory = MEGABYTES if args.max_memory is None else args.max_memory
        args.max_cycles = MAX_CYCLES if args.max_cycles is None else args.max_cycles
    for name in ("max_seconds", "max_memory"):
        value = getattr(args, name)
        if value is not None and value < 1:
            raise usage_error(f"--{name.replace('_', '-')} {value}: expected at least 1")


def confinement(args: argparse.Namespace) -> dict[str, object]:
    """Fields of CompileOptions that --untrusted sets."""
    if not args.untrusted:
        return {}
    path = Path(args.path)
    folder = path if path.is_dir() else path.parent
    return {"confined_to": os.path.realpath(folder), "max_comptime_steps": COMPTIME_STEPS}


def resident_megabytes() -> int | None:
    """Memory that this process holds, in MB; None where the system does not say."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") >> 20
    except (OSError, ValueError):
        pass
    try:
        import resource
    except ImportError:  # Windows
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> (20 if sys.platform == "darwin" else 10)


@contextlib.contextmanager
def limited(seconds: int | None, megabytes: int | None) -> Iterator[None]:
    """Stop the block with MS0930 when it has taken too long or too much."""
    if seconds is None and megabytes is None:
        yield
        return
    if megabytes is not None and resident_megabytes() is None:
        raise usage_error("--max-memory: this system does not say how much memory a process holds")
    watch = _Watch(seconds, megabytes)
    try:
        try:
            watch.start()
            yield
        finally:
            watch.done.set()
            watch.join()
    except (KeyboardInterrupt, MemoryError):
        if watch.reached is None:
            raise
    if watch.reached is not None:  # also where the program itself has caught the interrupt
        raise MeshlangError(watch.reached)


class _Watch(threading.Thread):
    def __init__(self, seconds: int | None, megabytes: int | None):
        super().__init__(daemon=True)
        self.seconds = seconds
        self.megabytes = megabytes
        self.done = threading.Event()
        self.reached: Diagnostic | None = None

    def run(self) -> None:
        began = time.monotonic()
        while not self.done.is_set():
            held = resident_megabytes() if self.megabytes is not None else None
            if self.seconds is not None and time.monotonic() - began > self.seconds:
                self.reached = Diagnostic(
                    "MS0930",
                    f"stopped after {self.seconds} s (--max-seconds)",
                    help="raise --max-seconds, or look for a loop that does not end",
                )
            elif self.megabytes is not None and held is not None and held > self.megabytes:
                self.reached = Diagnostic(
                    "MS0930",
                    f"stopped: the process holds {held:,} MB, the limit is {self.megabytes:,} (--max-memory)",
                    help="raise --max-memory, or run a smaller rectangle",
                )
            if self.reached is not None:
                _thread.interrupt_main()
                if not self.done.wait(GRACE):
                    print(f"error[MS0930]: {self.reached.message}", file=sys.stderr, flush=True)
                    os._exit(1)
                return
            self.done.wait(POLL)
