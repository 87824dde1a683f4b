"""Writers that are killed: what they leave is what was there before, all of the new, or refused, and the next run works.

    python -m tests.fuzz.kills --count 200                         # of each kind
    python -m tests.fuzz.kills --count 200 --kind save compile --seed 7

A child writes over and over, now one thing, now another, and is killed (SIGKILL) at a random moment of its first three writes.
Then this process reads what is there, uses it, writes itself, and reads again. Prints how often what was found, and exits with
1 if anything else was. The engine runs uncompiled: what is tested is on the disk.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import io
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

os.environ.setdefault("NUMBA_DISABLE_JIT", "1")

import numpy as np

import meshlang
from meshlang import cache
from meshlang.diag import MeshlangError
from meshlang.fabric import snapshot
from meshlang.fabric.machine import Machine
from meshlang.host import build, kept
from meshlang.host.api import CompiledProgram
from meshlang.ir import serial
from meshlang.ir.program import Program
from meshlang.sema.model.files import Files
from meshlang.sema.model.options import CompileOptions
from meshlang.syntax import parser, tables

LAYOUT = """param k: i16;
const memcpy = @import_module("<memcpy/get_params>", .{ .width = 1, .height = 1 });
layout {
  @set_rectangle(1, 1);
  @set_tile_code(0, 0, "pe.csl", .{ .memcpy_params = memcpy.get_params(0), .k = k });
  @export_name("main", fn()void); @export_name("out", [*]i16, true);
}
"""
PE = """param memcpy_params; param k: i16;
const sys = @import_module("<memcpy/memcpy>", memcpy_params);
var out = @zeros([64]i16); var out_ptr: [*]i16 = &out;
fn main() void { for (@range(i16, 64)) |i| { out[i] = k * (i + 1); } sys.unblock_cmd_stream(); }
comptime { @export_symbol(main); @export_symbol(out_ptr, "out"); }
"""
VALUES = (3, 7)  # of k, in what is written in turns
LIMIT = 120.0  # seconds that a child may take


def sources(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "layout.csl").write_text(LAYOUT)
    (folder / "pe.csl").write_text(PE)
    return folder / "layout.csl"


def compiled(folder: Path, k: int) -> Program:
    return build.build(sources(folder), CompileOptions(params={"k": k}, cache=False))


def result(program: Program) -> list[int]:
    """What the program computes."""
    with CompiledProgram(program).start(echo=False) as fabric:
        fabric.launch("main")
        return [int(v) for v in fabric.read("out")[0, 0]]


def number_of(program: Program) -> int:
    """Which of the two programs it is, all of it."""
    k = int(program.params["k"])
    assert result(program) == [k * (i + 1) for i in range(64)], "a mixture of two programs"
    return VALUES.index(k)


class Writer(ABC):
    """What is written, and what may be found."""

    processes = 1  # children that write the same at the same time
    longest = 3.0  # writes that a child may begin before it is killed

    def __init__(self, folder: Path):
        self.folder = folder

    def prepare(self) -> float:
        """Before the children start; the seconds that a write takes."""
        began = time.perf_counter()
        self.write(0)
        return time.perf_counter() - began

    @abstractmethod
    def write(self, which: int) -> None:
        """Write the one or the other: what a child does, over and over."""

    @abstractmethod
    def found(self) -> str:
        """What is there: "0", "1", "refused CODE", "nothing". AssertionError for a mixture."""

    def again(self) -> None:
        """The next run works."""
        self.write(0)
        assert self.found() == "0", f"after the next run: {self.found()}"


class Save(Writer):
    """Compiled folders."""

    def __init__(self, folder: Path):
        super().__init__(folder)
        self.programs = [compiled(folder / "sources", k) for k in VALUES]

    def write(self, which: int) -> None:
        serial.save(self.programs[which], self.folder / "out")

    def found(self) -> str:
        try:
            return str(number_of(serial.load(self.folder / "out")))
        except MeshlangError as error:
            assert error.diagnostics[0].code == "MS0902"
            return "refused MS0902"


class Snapshots(Writer):
    """Saved fabrics, of two moments of a run."""

    def __init__(self, folder: Path):
        super().__init__(folder)
        self.program = compiled(folder / "sources", VALUES[0])
        self.machines = [self.machine(cycles) for cycles in (150, 300)]
        self.cycles = [m.cycle for m in self.machines]
        self.end = self.memory(self.machine(0))

    def machine(self, cycles: int) -> Machine:
        machine = Machine(self.program)
        machine.launch("main", [])
        if cycles:
            machine.run("commands", cycles)
        return machine

    @staticmethod
    def memory(machine: Machine) -> Any:
        machine.run("commands")
        return machine.state.M8.copy()

    def write(self, which: int) -> None:
        snapshot.save(self.folder / "state.npz", self.machines[which])

    def found(self) -> str:
        machine = Machine(self.program)
        try:
            snapshot.restore(self.folder / "state.npz", machine)
        except MeshlangError as error:
            assert error.diagnostics[0].code in ("MS0901", "MS0942")
            return f"refused {error.diagnostics[0].code}"
        which = self.cycles.index(machine.cycle)
        assert np.array_equal(self.memory(machine), self.end), "the run goes on differently"
        return str(which)


class Traces(Writer):
    """Traces in every format."""

    ENDINGS = (".html", ".svg", ".perfetto-trace", ".log", ".vcd", ".npz", ".csv")

    def __init__(self, folder: Path):
        super().__init__(folder)
        program = CompiledProgram(compiled(folder / "sources", VALUES[0]))
        self.traces = [meshlang.trace(program, lambda fabric, n=n: self.work(fabric, n)) for n in (1, 2)]
        self.turn = 0
        self.contents: dict[str, list[bytes]] = {}
        for ending in self.ENDINGS:
            self.contents[ending] = []
            for trace in self.traces:
                trace.save(folder / f"t{ending}")
                self.contents[ending].append((folder / f"t{ending}").read_bytes())
            assert self.contents[ending][0] != self.contents[ending][1]

    @staticmethod
    def work(fabric: Any, times: int) -> None:
        for _ in range(times):
            fabric.launch("main")

    def prepare(self) -> float:
        self.turn += 1
        return super().prepare()

    @property
    def ending(self) -> str:
        return self.ENDINGS[self.turn % len(self.ENDINGS)]

    def write(self, which: int) -> None:
        self.traces[which].save(self.folder / f"t{self.ending}")

    def found(self) -> str:
        there = (self.folder / f"t{self.ending}").read_bytes()
        assert there in self.contents[self.ending], "half of a trace, or a mixture"
        return str(self.contents[self.ending].index(there))


class Caches(Writer):
    """Files of the cache: a kept program, and some bytes."""

    def __init__(self, folder: Path):
        super().__init__(folder)
        self.programs = [compiled(folder / "sources", k) for k in VALUES]
        place = cache.entry(kept.ENTRY)
        assert place is not None
        self.kept, self.bytes = kept.Kept(place / "program"), place / "bytes"
        self.data = [bytes([k]) * 200_000 for k in VALUES]

    def write(self, which: int) -> None:
        cache.store(self.bytes, self.data[which])
        self.kept.store(self.programs[which], Files({}), [str(VALUES[which])], 1e9)

    def found(self) -> str:
        data, program = cache.load(self.bytes), self.kept.load()
        assert data is None or data in self.data, "a mixture of bytes"
        if program is None:
            return "nothing"
        which = number_of(program[0])
        assert program[1] == [str(VALUES[which])]
        return str(which)


class Compile(Writer):
    """A compilation with a cold cache, which writes parse tables, the program, and a compiled folder."""

    longest = 1.3

    def __init__(self, folder: Path):
        super().__init__(folder)
        self.layout = sources(folder / "sources")
        self.expected = serial.pack(compiled(folder / "sources", VALUES[0]))
        self.cold = Path(os.environ["MESHLANG_CACHE_DIR"])
        self.seconds: float | None = None

    def prepare(self) -> float:
        shutil.rmtree(self.cold, ignore_errors=True)
        shutil.rmtree(self.folder / "out", ignore_errors=True)
        self.forget()
        if self.seconds is None:  # with a cold cache it is long, and the same each time
            began = time.perf_counter()
            self.write(0)
            self.seconds = min(self.processes, 2) * (time.perf_counter() - began)  # on two cores
            self.prepare()
        return self.seconds

    @staticmethod
    def forget() -> None:
        """As a new process: nothing is known that is in the cache."""
        tables.tables.cache_clear()
        parser._memory.clear()

    def program(self) -> Program:
        return build.build(self.layout, CompileOptions(params={"k": VALUES[0]}))

    def write(self, which: int) -> None:
        self.forget()
        serial.save(self.program(), self.folder / "out")

    def found(self) -> str:
        try:
            program = serial.load(self.folder / "out")
        except MeshlangError as error:
            assert error.diagnostics[0].code == "MS0902"
            return "refused MS0902"
        assert serial.pack(program) == self.expected
        return str(number_of(program))

    def again(self) -> None:
        self.forget()
        assert serial.pack(self.program()) == self.expected, "the next compilation gives another program"
        self.forget()
        assert serial.pack(self.program()) == self.expected, "what it kept is another program"
        super().again()


class Together(Compile):
    """Three compilations at once on one cold cache; one is killed, or all are."""

    processes = 3


KINDS: dict[str, type[Writer]] = {
    "save": Save,
    "snapshot": Snapshots,
    "trace": Traces,
    "cache": Caches,
    "compile": Compile,
    "together": Together,
}


def child(writer: Writer, once: bool, wrong: Path) -> int:
    """A process that writes until it is killed; `once`: one time. What goes wrong in it is written to a file."""
    pid = os.fork()
    if pid:
        return pid
    signal.alarm(int(LIMIT))
    try:
        number = 1
        while True:
            writer.write(number % 2)
            if once:
                os._exit(0)
            number += 1
    except BaseException:
        wrong.write_text(traceback.format_exc())
        os._exit(1)


def kill(writer: Writer, choice: random.Random, wrong: Path) -> str:
    """One kill: what was found. AssertionError: something that should not be."""
    seconds = writer.prepare()
    survivors = writer.processes > 1 and choice.random() < 0.5
    children = [child(writer, survivors, wrong) for _ in range(writer.processes)]
    time.sleep(choice.uniform(0, writer.longest * seconds))
    victims = children[:1] if survivors else children
    for pid in victims:
        os.kill(pid, signal.SIGKILL)
    for pid in children:
        status = os.waitpid(pid, 0)[1]
        ended = os.WIFEXITED(status) and os.WEXITSTATUS(status) == 0 and survivors
        assert ended or pid in victims and os.WIFSIGNALED(status), f"{status}: {wrong.read_text() if wrong.exists() else ''}"  # fmt: skip
    found = writer.found()
    assert not survivors or found == "0", f"two have got through, and left {found}"
    writer.again()
    return found


def fuzz(count: int, seed: int, kinds: list[str], until: float = float("inf")) -> tuple[int, list[str]]:
    """`count` kills of each kind, or as many as there is time for: how many, and what went wrong."""
    done, wrong = 0, []
    before = os.environ.get("MESHLANG_CACHE_DIR"), os.environ.pop(kept.VARIABLE, None)
    try:
        for name in kinds:
            tally: collections.Counter[str] = collections.Counter()
            with tempfile.TemporaryDirectory() as place, contextlib.redirect_stderr(io.StringIO()):
                os.environ["MESHLANG_CACHE_DIR"] = str(Path(place) / "cache")
                kept.LEAST_SECONDS, least = 0.0, kept.LEAST_SECONDS
                writer = KINDS[name](Path(place))
                for number in range(count):
                    if time.monotonic() > until:
                        break
                    try:
                        tally[kill(writer, random.Random(seed * 100_000 + number), Path(place) / "wrong")] += 1
                    except Exception:
                        wrong.append(f"{name}, seed {seed}, number {number}: {traceback.format_exc()}")
                        tally["WRONG"] += 1
                    done += 1
                kept.LEAST_SECONDS = least
            print(f"{name}: {', '.join(f'{what} {n}' for what, n in sorted(tally.items()))}", flush=True)
    finally:
        for variable, value in zip(("MESHLANG_CACHE_DIR", kept.VARIABLE), before, strict=True):
            os.environ.pop(variable, None)
            if value is not None:
                os.environ[variable] = value
    return done, wrong


def main() -> int:
    options = argparse.ArgumentParser(prog="python -m tests.fuzz.kills", description=__doc__.splitlines()[0])
    options.add_argument("--count", type=int, default=200)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--kind", nargs="+", choices=list(KINDS), default=list(KINDS))
    given = options.parse_args()
    done, wrong = fuzz(given.count, given.seed, given.kind)
    print(*wrong, f"{done} kills, {len(wrong)} wrong", sep="\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
