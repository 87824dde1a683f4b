"""What the optimiser gives, and what it costs: `python tests/optimise/gain.py [--larger | --compile] [--runs N]`.

On programs of csl-examples (MESHLANG_CSL_EXAMPLES): instructions that the PEs execute, seconds of the run from its start
to its stop, and of these the ones of the engine (the best of N, by turns), at -O0 and -O1. They run for milliseconds;
with --larger, those that can are run at larger sizes, after one run that does not count. With --compile, on the
folders of `programs/`: processor seconds of the compilation at both levels (the best of N, by turns), each in a process
that has compiled nothing yet (but has its modules loaded).
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import os
import shutil
import struct
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NoReturn

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "timing"))

from runs import ROOT, checkout, published

from meshlang.fabric.machine import Machine
from meshlang.host import build
from meshlang.host.kept import Kept
from meshlang.host.script import run_arguments
from meshlang.host.sdk.runtime import SdkRuntime
from meshlang.sema.model.options import CompileOptions

MEMCPY = ["--memcpy", "--channels=1", "--width-west-buf=0", "--width-east-buf=0"]
SPARSE = "--params=ncols:16,nrows:16,pcols:4,prows:4,max_local_nnz:8,max_local_nnz_cols:4,max_local_nnz_rows:4"
SPARSE += ",local_vec_sz:1,local_out_vec_sz:1,y_pad_start_row_idx:4"
PROGRAMS: dict[str, tuple[str, list[str], list[str]]] = {  # profile, arguments of cslc, of the host script
    "mandelbrot": (
        "wse3",
        ["./code.csl", "--arch=wse3", "--fabric-dims=11,6", "--fabric-offsets=4,1", "--params=MEMCPYD2H_DATA_1_ID:1"],
        ["run.py", "--name", "out"],
    ),
    "spmv-hypersparse": (
        "wse2",
        ["./src/layout.csl", "--arch=wse2", "--fabric-dims=11,6", "--fabric-offsets=4,1", SPARSE],
        ["run.py", "--num_pe_cols=4", "--num_pe_rows=4", "--latestlink", "out", "--channels=1", "--width-west-buf=0"]
        + ["--width-east-buf=0", "--is_weight_one", "--run-only", "--infile_mtx=./data/rmat4.4x4.lb.mtx"],
    ),
    "wide-multiplication": (
        "wse3",
        ["./code.csl", "--arch=wse3", "--fabric-dims=8,3", "--fabric-offsets=4,1"]
        + ["--params=num_bits:256,MEMCPYH2D_DATA_1_ID:0,MEMCPYD2H_DATA_1_ID:1"],
        ["run.py", "--name", "out"],
    ),
}


# larger sizes: what is replaced in a program's files, and in the arguments of cslc
LARGER: dict[str, tuple[dict[str, list[tuple[str, str]]], list[tuple[str, str]]]] = {
    "mandelbrot": (
        {
            "code.csl": [("const max_iters = 8;", "const max_iters = 4000;")],
            "run.py": [("max_iters = 32", "max_iters = 16000")],
        },
        [],
    ),
    "wide-multiplication": ({"run.py": [("numBits = 256", "numBits = 4096")]}, [("num_bits:256", "num_bits:4096")]),
}


@dataclass
class Run:
    instructions: int = 0
    seconds: float = 0.0
    engine: float = 0.0


@contextlib.contextmanager
def _measured(into: Run) -> Iterator[None]:
    """Note what the next runtime does from its `run` to its `stop`."""
    original = SdkRuntime.run, SdkRuntime.stop, Machine._call

    def call(self):
        start = time.perf_counter()
        try:
            return original[2](self)
        finally:
            into.engine += time.perf_counter() - start

    def run(self, *arguments, **options):
        into.seconds = -time.perf_counter()
        return original[0](self, *arguments, **options)

    def stop(self, *arguments, **options):
        into.instructions = self._session.machine.stats()["instructions"]
        result = original[1](self, *arguments, **options)
        into.seconds += time.perf_counter()
        return result

    SdkRuntime.run, SdkRuntime.stop, Machine._call = run, stop, call  # type: ignore[method-assign]
    try:
        yield
    finally:
        SdkRuntime.run, SdkRuntime.stop, Machine._call = original  # type: ignore[method-assign]


def enlarged(name: str, folder: Path) -> tuple[Path, list[str]]:
    """A copy of a program that computes for longer, and the arguments of its compilation."""
    files, arguments = LARGER[name]
    place = folder / name
    shutil.copytree(checkout("MESHLANG_CSL_EXAMPLES") / "benchmarks" / name, place)
    for file, changes in files.items():
        text = (place / file).read_text(encoding="utf-8")
        for old, new in changes:
            if old not in text:
                raise ValueError(f"{name}/{file} has no {old!r}: the program has changed, and so must LARGER")
            text = text.replace(old, new)
        (place / file).write_text(text, encoding="utf-8")
    compiler = PROGRAMS[name][1]
    for old, new in arguments:
        compiler = [a.replace(old, new) for a in compiler]
    return place, compiler


def once(name: str, level: int, larger: Path | None = None) -> Run:
    """One run of a program at a level of optimisation; `larger`: a folder in which a larger one is made."""
    profile, compiler, script = PROGRAMS[name]
    place = checkout("MESHLANG_CSL_EXAMPLES") / "benchmarks" / name
    if larger is not None:
        with tempfile.TemporaryDirectory(dir=larger) as folder:
            place, compiler = enlarged(name, Path(folder))
            return measured(place, compiler, script, profile, level)
    return measured(place, compiler, script, profile, level)


def measured(place: Path, compiler: list[str], script: list[str], profile: str, level: int) -> Run:
    out = Run()
    with _measured(out):
        published(place, [*compiler, *MEMCPY, f"-O{level}"], script, profile)
    return out


def compilation(program: str) -> tuple[str, CompileOptions]:
    """What the script of a folder of `programs/` compiles first: the layout, and what the compilation is told."""
    seen: list[tuple[str, CompileOptions]] = []

    def found(path: str, options: CompileOptions) -> NoReturn:
        seen.append((os.path.abspath(path), options))
        raise SystemExit(0)

    original, place = build._compiled, Kept.place
    build._compiled, Kept.place = found, staticmethod(lambda *_: None)  # type: ignore[assignment, method-assign]
    try:
        with contextlib.chdir(ROOT / "programs" / program):
            run_arguments(["run.py"])
    finally:
        build._compiled, Kept.place = original, place  # type: ignore[method-assign]
    return seen[0]


def cold(path: str, options: CompileOptions) -> float:
    """Processor seconds of a compilation by a process that has compiled nothing yet."""
    import meshlang.builtins
    import meshlang.ir.verify
    import meshlang.optimise
    import meshlang.sema.compiler  # noqa: F401

    read, write = os.pipe()
    child = os.fork()
    if not child:
        start = time.process_time()
        build.compile_program(path, options)
        os.write(write, struct.pack("d", time.process_time() - start))
        os._exit(0)
    os.close(write)
    seconds = os.read(read, 8)
    os.close(read)
    os.waitpid(child, 0)
    return struct.unpack("d", seconds)[0]


def compile_times(runs: int) -> None:
    """Print processor seconds of the compilation of every folder of `programs/` at both levels."""
    folders = sorted(p.parent.name for p in (ROOT / "programs").glob("*/run.py"))
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool, contextlib.redirect_stdout(None):
        compilations = list(pool.map(compilation, folders))
    print("| program | seconds -O0 | -O1 | ratio |")
    print("|---|---:|---:|---:|")
    ratios = []
    for folder, (path, options) in zip(folders, compilations, strict=True):
        pairs = [[cold(path, replace(options, optimise=level)) for level in (0, 1)] for _ in range(runs)]
        plain, optimised = (min(column) for column in zip(*pairs, strict=True))
        ratios.append(optimised / plain)
        print(f"| {folder} | {plain:.3f} | {optimised:.3f} | {ratios[-1]:.2f} |", flush=True)
    print(f"\nmean of {len(ratios)} programs: {sum(ratios) / len(ratios):.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--larger", action="store_true", help="larger sizes")
    what.add_argument("--compile", action="store_true", help="the compilation, not the run")
    args = parser.parse_args()
    if args.compile:
        compile_times(args.runs)
        return
    print("| program | instructions -O0 | -O1 | share | seconds -O0 | -O1 | share | of the engine -O0 | -O1 | share |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|")
    with tempfile.TemporaryDirectory() as folder:
        for name in LARGER if args.larger else PROGRAMS:
            larger = Path(folder) if args.larger else None
            runs = [[once(name, level, larger) for level in (0, 1)] for _ in range(args.runs + args.larger)]
            plain, optimised = runs[0]
            row = [name, str(plain.instructions), str(optimised.instructions)]
            row.append(f"{optimised.instructions / plain.instructions:.2f}")
            for seconds in ("seconds", "engine"):
                a, b = (min(getattr(r[level], seconds) for r in runs[args.larger :]) for level in (0, 1))
                row += [f"{a:.4f}", f"{b:.4f}", f"{b / a:.2f}"]
            print("| " + " | ".join(row) + " |", flush=True)


if __name__ == "__main__":
    main()
