"""A program run at every combination of parameter values.

Each point is a process of its own (`meshlang run --json`), on this machine or started by a Dask worker: whatever happens to
one happens to no other. What a point gave is a line in a journal beside the output, on the disk before the next one is
reported; a sweep that is started again takes from there what it finds. A point is known by what it depends on (version,
arguments, the program's files), so that a changed program runs anew.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from meshlang.diag import Diagnostic, MeshlangError
from meshlang.version import __version__

from . import dask_scheduler
from .extras import needs

JOURNAL = ".points"  # what is added to the output's name
_SOURCES = (".csl", ".py", ".json", ".toml")  # files that a program is made of
_ENDING = 2000  # characters of what a point printed last that a failure keeps


@dataclass(frozen=True)
class Point:
    """values: of the axes, by name. arguments: of `meshlang`, from "run" on. key: what its result depends on."""

    values: dict[str, str]
    arguments: tuple[str, ...]
    key: str


@dataclass(frozen=True)
class Plan:
    """path: the program. axes: option and texts, by name, in order. fixed: arguments of `run` that all points share;
    data: files that they name. limit: seconds for a point."""

    path: Path
    axes: dict[str, tuple[str, list[str]]]
    fixed: tuple[str, ...] = ()
    data: tuple[Path, ...] = ()
    limit: float | None = None

    def points(self) -> list[Point]:
        """Every combination, the last axis running fastest."""
        program = _digest(self.path, self.data)
        out = []
        for combination in itertools.product(*(texts for _, texts in self.axes.values())):
            values = dict(zip(self.axes, combination))
            varied = itertools.chain.from_iterable(
                (option, f"{name}={values[name]}" if option == "-p" else values[name])
                for name, (option, _) in self.axes.items()
            )
            arguments = ("run", str(self.path.absolute()), "--json", *self.fixed, *varied)
            key = hashlib.sha256(json.dumps([__version__, program, arguments, os.getcwd()]).encode()).hexdigest()[:24]
            out.append(Point(values, arguments, key))
        return out


def _digest(path: Path, data: Sequence[Path]) -> str:
    """Of the program's files: all of a folder, those beside a file; and of the data that options name."""
    if path.is_dir():
        files = [p for p in path.rglob("*") if p.suffix in _SOURCES]
    else:
        files = [path, *(p for p in path.parent.iterdir() if p.suffix in _SOURCES)]
    found = hashlib.sha256()
    for file in [*sorted(set(files)), *data]:
        if file.is_file():
            content = file.read_bytes()
            found.update(f"{file.absolute()}\0{len(content)}\0".encode() + content)
    return found.hexdigest()


# ------------------------------------------------------------ the journal


class Journal:
    """What the finished points of a sweep gave: one JSON object a line, appended and flushed to the disk.

    MS1651 if another process has it open, MS1653 if the file is none. The last line may be half of one: it is dropped.
    """

    def __init__(self, path: Path):
        self.path = path
        try:
            self._file = open(path, "a+b")
        except OSError as error:
            raise MeshlangError(Diagnostic("MS0901", f"cannot write {path}: {error.strerror}")) from None
        self._lock()
        self.records = self._read()

    def _lock(self) -> None:
        try:
            import fcntl
        except ImportError:  # no such locks on this system
            return
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(self._file.fileno()).st_nlink == 0:  # the other one has just ended, and removed it
                raise BlockingIOError
        except OSError:
            self._file.close()
            raise MeshlangError(
                Diagnostic(
                    "MS1651",
                    f"another sweep is writing {self.path}",
                    help="wait for it, or name another output with -o",
                )
            ) from None

    def _read(self) -> dict[str, dict[str, Any]]:
        self._file.seek(0)
        found, good = {}, 0
        for line in self._file:
            try:
                record = json.loads(line) if line.endswith(b"\n") else None
                if record is not None:
                    found[record["key"]] = record
            except (ValueError, TypeError, KeyError):
                raise MeshlangError(
                    Diagnostic(
                        "MS1653",
                        f"{self.path} is no journal of a sweep",
                        help="it is where finished points are kept; move it away, or name another output",
                    )
                ) from None
            if record is None:
                break
            good += len(line)
        self._file.truncate(good)
        return found

    def add(self, record: dict[str, Any]) -> None:
        self._file.write(json.dumps(record).encode() + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())
        self.records[record["key"]] = record

    def close(self) -> None:
        """A journal without a point is not left behind."""
        if not self.records:
            self.path.unlink(missing_ok=True)
        self._file.close()

    def remove(self) -> None:
        """At the end, when the output holds everything."""
        self.path.unlink(missing_ok=True)
        self.close()


# ------------------------------------------------------------ one point


@dataclass
class Child:
    """Runs points in processes, one after the other; `kill` may come from another thread, and is for good."""

    killed: bool = False
    _processes: set[subprocess.Popen[bytes]] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def run(self, arguments: Sequence[str], limit: float | None = None, folder: str | None = None) -> dict[str, Any]:
        """What a point gave: status ("ok" or "failed"), exit_code, seconds, and results, runs or diagnostics."""
        began = time.monotonic()
        with self._lock:
            if self.killed:
                return _failed("the sweep was ended", None, began)
            process = subprocess.Popen(
                [sys.executable, "-m", "meshlang.serve.point", *arguments],
                stdin=subprocess.PIPE,  # a point ends when this closes: with the process that wanted it
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd=folder,
            )
            self._processes.add(process)
        try:
            out, err = _output(process, limit)
        except subprocess.TimeoutExpired:
            return _failed(f"it was ended after {limit:g} seconds", None, began, "raise --time-limit")
        finally:
            with self._lock:
                self._processes.discard(process)
        return _record(process.returncode, out, err, began)

    def kill(self) -> None:
        with self._lock:
            self.killed = True
            for process in self._processes:
                process.kill()


def _output(process: subprocess.Popen[bytes], limit: float | None) -> tuple[bytes, bytes]:
    """stdout and stderr. `communicate` would close stdin, which is what tells a point to end."""
    parts: dict[str, bytes] = {}

    def read(name: str, stream: Any) -> None:
        parts[name] = stream.read()

    readers = [
        threading.Thread(target=read, args=(name, getattr(process, name)), daemon=True) for name in ("stdout", "stderr")
    ]
    for reader in readers:
        reader.start()
    try:
        process.wait(limit)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise
    finally:
        for reader in readers:
            reader.join()
        for stream in (process.stdin, process.stdout, process.stderr):
            assert stream is not None
            stream.close()
    return parts["stdout"], parts["stderr"]


def _record(code: int, out: bytes, err: bytes, began: float) -> dict[str, Any]:
    try:
        found = json.loads(out)
    except ValueError:
        found = None
    if code == 0 and isinstance(found, dict):
        return {
            "status": "ok",
            "exit_code": 0,
            "seconds": round(time.monotonic() - began, 3),
            "results": found["results"],
            "runs": [
                {k: v for k, v in run.items() if k in ("cycles", "profile", "accuracy", "stats", "resources")}
                for run in found["runs"]
            ],
        }
    if isinstance(found, dict) and found.get("diagnostics"):
        return {
            "status": "failed",
            "exit_code": code,
            "seconds": round(time.monotonic() - began, 3),
            "diagnostics": found["diagnostics"],
        }
    text = err.decode(errors="replace").strip()
    last = text.splitlines()[-1] if text else "it printed nothing"
    how = f"signal {-code} ended it" if code < 0 else f"it ended with exit code {code}: {last}"
    return _failed(how, code, began, output=text[-_ENDING:])


def _failed(
    message: str, code: int | None, began: float, help: str | None = None, output: str | None = None
) -> dict[str, Any]:
    """A point without diagnostics of its own."""
    from meshlang.diag.render import to_json

    record = {
        "status": "failed",
        "exit_code": code,
        "seconds": round(time.monotonic() - began, 3),
        "diagnostics": to_json([Diagnostic("MS1654", f"a point gave no result: {message}", help=help)]),
    }
    return record | ({"output": output} if output else {})


# ------------------------------------------------------------ all points


def run_points(
    points: Sequence[Point],
    journal: Journal,
    *,
    jobs: int,
    scheduler: str | None = None,
    limit: float | None = None,
    report: Callable[[Point, Mapping[str, Any]], None] = lambda point, record: None,
) -> None:
    """Run what the journal does not have, and add it there. `report` is called for each point after it has been added.

    MS1652 if the scheduler does not answer. An exception (Ctrl-C) ends the points that are under way.
    """
    wanted = [p for p in points if p.key not in journal.records]
    with _on_cluster(scheduler, limit) if scheduler is not None else _local(jobs, limit) as submit:
        for point, record in submit(wanted):
            record = {"key": point.key, "values": point.values, **record}
            journal.add(record)
            report(point, record)


Finished = Iterator[tuple[Point, dict[str, Any]]]


@contextlib.contextmanager
def _local(jobs: int, limit: float | None) -> Iterator[Callable[[Sequence[Point]], Finished]]:
    child, pool = Child(), ThreadPoolExecutor(jobs)

    def submit(points: Sequence[Point]) -> Finished:
        waiting: dict[Future[dict[str, Any]], Point] = {
            pool.submit(child.run, point.arguments, limit): point for point in points
        }
        while waiting:
            for future in wait(waiting, return_when=FIRST_COMPLETED).done:
                yield waiting.pop(future), future.result()

    try:
        yield submit
    finally:
        child.kill()
        pool.shutdown(cancel_futures=True)


@contextlib.contextmanager
def _on_cluster(address: str, limit: float | None) -> Iterator[Callable[[Sequence[Point]], Finished]]:
    distributed = needs("distributed", "serve", "a sweep with --scheduler")
    dask_scheduler.look_for(address)
    try:
        client = distributed.Client(address, timeout="5s", set_as_default=False)
    except (OSError, ValueError) as error:
        raise dask_scheduler.missing(f"no Dask scheduler answers at {address}: {error}") from None

    def submit(points: Sequence[Point]) -> Finished:
        # a point is a process: it does not matter to Dask that it was here before, and its result is in the journal
        waiting = {
            client.submit(_on_worker, point.arguments, limit, os.getcwd(), key=f"sweep-{point.key}", pure=False): point
            for point in points
        }
        for future in distributed.as_completed(list(waiting), loop=client.loop):
            if future.cancelled():
                raise dask_scheduler.missing(f"the Dask scheduler at {address} has gone")
            point, began = waiting.pop(future), time.monotonic()
            error = future.exception()
            yield point, future.result() if error is None else _failed(f"{type(error).__name__}: {error}", None, began)
            future.release()

    try:
        yield submit
    finally:
        client.close()


def _on_worker(arguments: tuple[str, ...], limit: float | None, folder: str) -> dict[str, Any]:
    """What a Dask worker does for a point. Paths are those of the machine that asked: the folder has to be there, too."""
    if not os.path.isdir(folder):
        return _failed(
            f"the worker has no folder {folder}", None, time.monotonic(), "share the folder between machines"
        )
    return Child().run(arguments, limit, folder)
