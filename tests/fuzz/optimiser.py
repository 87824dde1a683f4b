"""The optimiser changes nothing but the number of instructions: random programs at -O0 and -O1.

    python -m tests.fuzz.optimiser --count 50000 --seed 1

Every function of a program runs on the reference interpreter, on fresh memory, at both levels: memory afterwards, and
the fault and its source line, must be the same. With --engine the functions run one after the other on the engine
instead, with vector operations among them (compiled, or not, with NUMBA_DISABLE_JIT=1).
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "support"))

from compiling import compile_files
from reference_vm import Fault, ReferenceVM

from meshlang.diag import MeshlangError
from meshlang.ir.program import Program, TileProgram
from meshlang.optimise import optimise

from .programs import Generator

FUNCTIONS = 20  # of one program
LAYOUT = """
const memcpy = @import_module("<memcpy/get_params>", .{ .width = 1, .height = 1 });
layout {
  @set_rectangle(1, 1);
  @set_tile_code(0, 0, "pe.csl", .{ .memcpy_params = memcpy.get_params(0) });
  @export_name("run", fn()void);
}
"""


class Difference(AssertionError):
    pass


class Refused(Exception):
    """A mistake that the analysis sees: the generator is to make few of them."""


def source(generator: Generator, functions: int) -> str:
    exports = "".join(f"  @export_symbol(run{k});\n" for k in range(functions))
    return f"{generator.program(functions)}\ncomptime {{\n{exports}}}\n"


def plain(folder: Path, text: str, layout: str) -> Program:
    return compile_files(folder, {"pe.csl": text, "layout.csl": layout}, optimise=0)


def outcome(tile: TileProgram, name: str) -> tuple[bytes, str, int]:
    """Memory after a call, the fault, and the line of the instruction that faulted."""
    vm = ReferenceVM(tile)
    try:
        vm.call(name)
    except Fault as fault:
        if "does not end" in str(fault):
            return b"", str(fault), 0
        span = tile.spans[vm.pc]
        return bytes(vm.memory), str(fault), span.line_col()[0] if span is not None else -1
    return bytes(vm.memory), "", 0


def compare(seed: int, folder: Path, functions: int = FUNCTIONS, faults: float = 0.1) -> tuple[int, int]:
    """Compare the functions of one program. How many there were, and how many of them faulted."""
    text = source(Generator(seed, faults), functions)
    names = "".join(f'  @export_name("run{k}", fn()void);\n' for k in range(functions))
    try:
        program = plain(
            folder, text, f'layout {{\n  @set_rectangle(1, 1);\n  @set_tile_code(0, 0, "pe.csl");\n{names}}}\n'
        )
    except MeshlangError as error:
        raise Refused(f"seed {seed}: {error}") from None
    optimised = optimise(program)
    faulted = 0
    for k in range(functions):
        before, after = (outcome(p.tiles[0], f"run{k}") for p in (program, optimised))
        faulted += bool(before[1])
        if before != after:
            where = [i for i, (x, y) in enumerate(zip(before[0], after[0])) if x != y]
            raise Difference(f"seed {seed}, run{k}: {before[1:]} and {after[1:]}, memory differs at {where[:8]}")
    return functions, faulted


def compare_on_the_engine(seed: int, folder: Path, functions: int = FUNCTIONS) -> int:
    """The functions of one program, without faults, one after the other on the engine."""
    import meshlang

    text = Generator(seed, 0.0, vectors=True).program(functions)
    calls = " ".join(f"run{k}();" for k in range(functions))
    text = (
        'param memcpy_params;\nconst sys = @import_module("<memcpy/memcpy>", memcpy_params);\n'
        f"{text}\nfn run() void {{ {calls} sys.unblock_cmd_stream(); }}\ncomptime {{ @export_symbol(run); }}\n"
    )
    (folder / "layout.csl").write_text(LAYOUT, encoding="utf-8")
    (folder / "pe.csl").write_text(text, encoding="utf-8")
    results = []
    for level in (0, 1):
        program = meshlang.compile(str(folder / "layout.csl"), optimise=level)
        with program.start() as fabric:
            fault = ""
            try:
                fabric.launch("run")
            except MeshlangError as error:
                d = error.diagnostics[0]
                fault = f"{d.code} {d.message} {d.span.line_col() if d.span is not None else None}"
            machine = fabric.session.machine
            results.append((machine.memory.tobytes(), fault))
    if results[0] != results[1]:
        where = [i for i, (x, y) in enumerate(zip(results[0][0], results[1][0])) if x != y]
        raise Difference(f"seed {seed}: {results[0][1]!r} and {results[1][1]!r}, memory differs at {where[:8]}")
    return functions


def seeds(count: int, seed: int, each: int) -> Iterator[int]:
    yield from range(seed * 1_000_000, seed * 1_000_000 + -(-count // each))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--count", type=int, default=1000, help="functions to compare")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--engine", action="store_true", help="on the engine, with vector operations")
    parser.add_argument("--stop", action="store_true", help="stop at the first difference")
    args = parser.parse_args()
    start = time.monotonic()
    done = faulted = bad = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for n, seed in enumerate(seeds(args.count, args.seed, FUNCTIONS)):
            try:
                if args.engine:
                    done += compare_on_the_engine(seed, folder)
                else:
                    some, fault = compare(seed, folder)
                    done, faulted = done + some, faulted + fault
            except Refused as refused:
                bad += 1
                print(refused, flush=True)
            except Difference as difference:
                bad += 1
                print(difference, flush=True)
                if args.stop:
                    return 1
            if n % 100 == 99:
                print(f"{done} functions, {faulted} faults, {time.monotonic() - start:.0f} s", flush=True)
    print(f"{done} functions compared, {faulted} of them faulted, {bad} programs differ")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
