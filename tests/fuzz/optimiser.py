"""The optimiser changes nothing but the number of instructions: random programs at -O0 and -O1.

    python -m tests.fuzz.optimiser --count 50000 --seed 1

Every function of a program runs on the engine, on fresh memory, at both levels: memory afterwards, and the fault and its
source line, must be the same. Every second program has vector operations; every tenth has parameters and lies on several
PEs, so that functions are made of others that differ in constants. Of every twentieth the functions run on the
reference interpreter, too, and of another twentieth on the uncompiled engine. A program is compiled once, and
loaded once for each level.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "support"))

from compiling import compile_files
from reference_vm import Fault, ReferenceVM

from meshlang.diag import MeshlangError
from meshlang.fabric import snapshot
from meshlang.fabric.machine import Machine
from meshlang.ir.program import Program, TileProgram
from meshlang.ir.verify import verify
from meshlang.optimise import optimise

from .programs import Generator

FUNCTIONS = 20  # of one program
LONGEST = 3_000_000  # cycles of a function at -O0
LONGEST_SLOW = 30_000  # of a function that also runs uncompiled, or on the reference interpreter
SAMPLE = 20  # of so many programs one is compared on the reference interpreter, and one on the uncompiled engine
PARAMS = ("k0", "k1", "k2")
TILES = [(0, 1, 5), (1, 1, 5), (3, 2, 6), (7, 2, 120)]  # values of the parameters on each PE


class Difference(AssertionError):
    pass


class Refused(Exception):
    """A mistake that the analysis sees: the generator is to make few of them."""


@dataclass(frozen=True)
class Outcome:
    """Of a call on fresh memory. What faulted, and the line of the instruction that did."""

    memory: bytes
    fault: str
    line: int

    def short(self) -> str:
        return hashlib.sha256(repr((self.memory, self.fault, self.line)).encode()).hexdigest()


@dataclass(frozen=True)
class Case:
    """What a seed stands for."""

    seed: int
    functions: int = FUNCTIONS
    faults: float = 0.1

    @property
    def vectors(self) -> bool:
        return self.seed % 2 == 1

    @property
    def params(self) -> tuple[str, ...]:
        return PARAMS if self.seed % 10 == 3 else ()

    @property
    def interpreted(self) -> bool:
        """Also on the reference interpreter, which has no vectors."""
        return self.seed % SAMPLE == 0

    @property
    def uncompiled(self) -> bool:
        return self.seed % SAMPLE == SAMPLE // 2 + 1

    def source(self) -> str:
        faults = 0.0 if self.params else self.faults  # which PE is the first to fault hangs on cycles
        text = Generator(self.seed, faults, self.vectors, self.params).program(self.functions)
        exports = "".join(f"  @export_symbol(run{k});\n" for k in range(self.functions))
        return f"{text}\ncomptime {{\n{exports}}}\n"

    def layout(self) -> str:
        tiles = TILES if self.params else [()]
        places = "".join(
            f'  @set_tile_code({x}, 0, "pe.csl", .{{ {", ".join(f".{n} = {v}" for n, v in zip(PARAMS, values))} }});\n'
            for x, values in enumerate(tiles)
        )
        names = "".join(f'  @export_name("run{k}", fn()void);\n' for k in range(self.functions))
        return f"layout {{\n  @set_rectangle({len(tiles)}, 1);\n{places}{names}}}\n"

    def plain(self, folder: Path) -> Program:
        try:
            return compile_files(folder, {"pe.csl": self.source(), "layout.csl": self.layout()}, optimise=0)
        except MeshlangError as error:
            raise Refused(f"seed {self.seed}: {error}") from None


def on_the_engine(program: Program, functions: int, most: int) -> list[Outcome | None]:
    """What each function leaves; None: it does not end in that many cycles."""
    machine = Machine(program)
    fresh = snapshot.take(machine)
    out: list[Outcome | None] = []
    for k in range(functions):
        if k:
            snapshot.put(machine, fresh)
        machine.launch(f"run{k}")
        fault, line = "", 0
        try:
            stop = machine.run(max_cycles=most)
        except MeshlangError as error:
            d = error.diagnostics[0]
            fault, line = f"{d.code} {d.message}", d.span.line_col()[0] if d.span is not None else -1
        else:
            if stop.reason == "max_cycles":
                out.append(None)
                continue
        out.append(Outcome(machine.memory.tobytes(), fault, line))
    return out


def interpreted(tile: TileProgram, name: str) -> Outcome | None:
    """A function on the reference interpreter."""
    vm = ReferenceVM(tile, LONGEST_SLOW)
    try:
        vm.call(name)
    except Fault as fault:
        if "does not end" in str(fault):
            return None
        span = tile.spans[vm.pc]
        return Outcome(bytes(vm.memory), str(fault), span.line_col()[0] if span is not None else -1)
    return Outcome(bytes(vm.memory), "", 0)


def same(case: Case, k: int, how: str, before: Outcome | None, after: Outcome | None) -> None:
    """Raises Difference. What is too long at -O0 may be short enough at -O1."""
    if before is not None and before != after:
        if after is None:
            raise Difference(f"seed {case.seed}, run{k}, {how}: ends at -O0 only")
        where = [i for i, (x, y) in enumerate(zip(before.memory, after.memory)) if x != y]
        raise Difference(
            f"seed {case.seed}, run{k}, {how}: {before.fault!r} at {before.line} and {after.fault!r} at {after.line}, "
            f"memory differs at {where[:8]}"
        )


def compare(seed: int, folder: Path, functions: int = FUNCTIONS, faults: float = 0.1) -> tuple[int, int]:
    """Compare the functions of one program at both levels. How many there were, and how many of them faulted."""
    case = Case(seed, functions, faults)
    programs = [case.plain(folder)]
    try:
        programs.append(optimise(programs[0]))
        verify(programs[1])
    except Exception as error:
        raise Difference(f"seed {seed}: the optimiser fails: {error!r} {error}") from error
    before, after = (on_the_engine(p, functions, LONGEST) for p in programs)
    for k in range(functions):
        same(case, k, "engine", before[k], after[k])
    if case.interpreted:
        for k in range(functions):
            same(case, k, "reference", *(interpreted(p.tiles[0], f"run{k}") for p in programs))
    return functions, sum(o is not None and bool(o.fault) for o in before)


def digests(seed: int, folder: Path, functions: int = FUNCTIONS) -> list[list[str]]:
    """By level and function, a hash of what it leaves on the engine as this process runs it; "" for long ones."""
    case = Case(seed, functions)
    program = case.plain(folder)
    return [
        ["" if o is None else o.short() for o in on_the_engine(p, functions, LONGEST_SLOW)]
        for p in (program, optimise(program))
    ]


def compare_uncompiled(some: Iterable[int], folder: Path) -> list[str]:
    """Programs on the engine as plain Python, in a process of its own, and compiled: what differs."""
    wanted = [seed for seed in some if Case(seed).uncompiled]
    if not wanted:
        return []
    command = [sys.executable, "-m", "tests.fuzz.optimiser", "--digests", *map(str, wanted)]
    root = Path(__file__).parents[2]
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1", "PYTHONPATH": str(root)}
    plain = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True)
    lines = plain.stdout.splitlines()
    if plain.returncode or len(lines) != len(wanted):
        return [f"uncompiled engine, seeds {wanted}: {plain.stderr[-2000:]}"]
    out = []
    for seed, line in zip(wanted, lines, strict=True):
        here = digest_line(seed, folder)
        if line != here:
            pairs = zip(line.split(), here.split())
            out.append(
                f"seed {seed}: the uncompiled engine differs from the compiled one: {next(p for p in pairs if p[0] != p[1])}"
            )
    return out


def digest_line(seed: int, folder: Path) -> str:
    try:
        return " ".join([str(seed), *(d or "long" for level in digests(seed, folder) for d in level)])
    except Refused:
        return f"{seed} refused"


def seeds(count: int, seed: int, each: int) -> Iterator[int]:
    yield from range(seed * 1_000_000, seed * 1_000_000 + -(-count // each))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--count", type=int, default=1000, help="functions to compare")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--stop", action="store_true", help="stop at the first difference")
    parser.add_argument(
        "--digests", nargs="+", type=int, metavar="SEED", help="print hashes of what these programs leave"
    )
    args = parser.parse_args()
    start = time.monotonic()
    done = faulted = bad = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if args.digests:
            for seed in args.digests:
                print(digest_line(seed, folder), flush=True)
            return 0
        everything = list(seeds(args.count, args.seed, FUNCTIONS))
        for n, seed in enumerate(everything):
            wrong: list[str] = []
            try:
                some, fault = compare(seed, folder)
                done, faulted = done + some, faulted + fault
            except (Refused, Difference) as problem:
                wrong.append(str(problem))
            if n % 500 == 499 or n == len(everything) - 1:
                wrong += compare_uncompiled(everything[n - n % 500 : n + 1], folder)
            for text in wrong:
                print(text, flush=True)
            bad += len(wrong)
            if wrong and args.stop:
                return 1
            if n % 100 == 99:
                print(f"{done} functions, {faulted} faults, {time.monotonic() - start:.0f} s", flush=True)
    print(f"{done} functions compared, {faulted} of them faulted, {bad} programs differ")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
