"""What the optimiser gives on programs of csl-examples: `python tests/optimise/gain.py [--runs N]`.

Instructions that the PEs execute, and seconds of the run from its start to its stop (the best of N, by turns), at -O0 and
-O1. Needs MESHLANG_CSL_EXAMPLES.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "timing"))

from runs import checkout, published

from meshlang.host.sdk.runtime import SdkRuntime

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


@dataclass
class Run:
    instructions: int = 0
    seconds: float = 0.0


@contextlib.contextmanager
def _measured(into: Run) -> Iterator[None]:
    """Note what the next runtime does from its `run` to its `stop`."""
    original = SdkRuntime.run, SdkRuntime.stop

    def run(self, *arguments, **options):
        into.seconds = -time.perf_counter()
        return original[0](self, *arguments, **options)

    def stop(self, *arguments, **options):
        into.instructions = self._session.machine.stats()["instructions"]
        result = original[1](self, *arguments, **options)
        into.seconds += time.perf_counter()
        return result

    SdkRuntime.run, SdkRuntime.stop = run, stop  # type: ignore[method-assign]
    try:
        yield
    finally:
        SdkRuntime.run, SdkRuntime.stop = original  # type: ignore[method-assign]


def once(name: str, level: int) -> Run:
    """One run of a program at a level of optimisation."""
    profile, compiler, script = PROGRAMS[name]
    place = checkout("MESHLANG_CSL_EXAMPLES") / "benchmarks" / name
    out = Run()
    with _measured(out):
        published(place, [*compiler, *MEMCPY, f"-O{level}"], script, profile)
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    args = parser.parse_args()
    print("| program | instructions -O0 | -O1 | share | seconds -O0 | -O1 | share |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for name in PROGRAMS:
        runs = [(once(name, 0), once(name, 1)) for _ in range(args.runs)]
        plain, optimised = runs[0]
        a, b = (min(pair[level].seconds for pair in runs) for level in (0, 1))
        share = optimised.instructions / plain.instructions
        print(
            f"| {name} | {plain.instructions} | {optimised.instructions} | {share:.2f} | {a:.3f} | {b:.3f} | {b / a:.2f} |"
        )


if __name__ == "__main__":
    main()
