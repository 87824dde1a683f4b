"""Every published cycle count there is a program for, beside the model: `python tests/timing/rows.py --profile wse2 --source stream`.

A row is what the published program itself measures, its own timer and all: nothing is subtracted. Where the program is not
public, one of ours does what the publication describes (programs.py).

Options: --profile NAME, --source PATTERN (found in the name of a source: `csl|mesh`), --what WORD (part of a row's text), --quick (a few
rows of each source), --json, --summary. Rows whose checkout is not named (MESHLANG_CSL_EXAMPLES, MESHLANG_WAFERLLM) are left out.
"""

from __future__ import annotations

import argparse
import csv
import json
import re
import statistics
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from runs import NoCheckout, checkout, published

import programs
from meshlang.fabric.timing import profile_names
from meshlang.serve.checkout import run as run_checkout

DATA = Path(__file__).parent / "published"


@dataclass
class Row:
    source: str
    profile: str
    what: str
    published: float
    model: float

    @property
    def percent(self) -> float:
        return 100 * (self.model - self.published) / self.published


@dataclass
class Source:
    """Rows of one publication. quick: no checkout and seconds of work."""

    name: str
    origin: str
    profiles: tuple[str, ...]
    rows: Callable[
        [str, Callable[[str], bool]], Iterator[tuple[str, float, float]]
    ]  # profile, wanted(what) -> what, published, model
    few: str = ""  # a pattern: the rows that --quick takes


def table(name: str) -> list[dict[str, str]]:
    with (DATA / f"{name}.csv").open() as file:
        return list(csv.DictReader(line for line in file if not line.startswith("#")))


Wanted = Callable[[str], bool]
Found = Iterator[tuple[str, float, float]]

# ---------------------------------------------------------------- STREAM


def stream(target: str) -> Callable[[str, Wanted], Found]:
    def rows(profile: str, wanted: Wanted) -> Found:
        lines: dict[str, dict[int, float]] = {}
        for line in table("stream_cs2"):
            n = int(line["n"])
            if line["target"] == target and wanted(f"{line['kernel']} n = {n}"):
                lines.setdefault(line["kernel"], {})[n] = (float(line["min_cycles"]) + float(line["max_cycles"])) / 2
        for kernel, cycles in lines.items():
            model = programs.stream(kernel, list(cycles), profile)
            for n, value in cycles.items():
                yield f"{kernel} n = {n}", value, model[n]

    return rows


# ---------------------------------------------------------------- WaferLLM


def waferllm(kernel: str, profile: str, **sizes: int) -> float:
    checkout("MESHLANG_WAFERLLM")
    return run_checkout(kernel, sizes, "wse3", profile, None)["mean"]


def gemv(profile: str, wanted: Wanted) -> Found:
    for line in table("gemv_wse3"):
        P, M, N, groups = (int(line[k]) for k in ("P", "M", "N", "group_num"))
        what = f"P = {P}, tile {M // P}, {groups} groups"
        if not wanted(what):
            continue
        yield what, float(line["cycles"]), waferllm("MeshGEMV", profile, P=P, M=M, N=N, group_num=groups)


def gemm(profile: str, wanted: Wanted) -> Found:
    for line in table("gemm_wse3_square"):
        P, M = int(line["P"]), int(line["M"])
        what = f"P = {P}, tile {M // P}"
        if not wanted(what):
            continue
        yield what, float(line["cycles"]), waferllm("MeshGEMM", profile, P=P, M=M, K=M, N=M)


# ---------------------------------------------------------------- csl-examples, WSE-3 simulator

GRID = ["-m=5", "-n=5", "-k=5", "--latestlink", "out", "--channels=1", "--width-west-buf=0", "--width-east-buf=0"]
GRID += ["--zDim=5", "--run-only"]
GRID_COMPILER = ["--arch", "wse3", "--fabric-dims=12,7", "--fabric-offsets=4,1"]
GRID_COMPILER += ["--params=width:5,height:5,MAX_ZDIM:5", "--params=BLOCK_SIZE:2", "--params=C0_ID:0"]
GRID_COMPILER += [f"--params=C{i}_ID:{i}" for i in range(1, 9)]
MEMCPY = ["--memcpy", "--channels=1", "--width-west-buf=0", "--width-east-buf=0"]
SEND = re.compile(r"cycles_send = ([0-9.]+)")


@dataclass
class Example:
    folder: str
    cycles: float
    script: list[str]
    compiler: list[str]
    timer: str = (
        "script"  # prints cycles_send; "launch": the cycles of its one launch; "run": to the end of the last stream
    )


def on_grid(folder: str, cycles: float, script: str, layout: str, *more: str) -> Example:
    return Example(folder, cycles, [script, *GRID, *more], [f"./src/{layout}", *GRID_COMPILER, *MEMCPY])


def single(folder: str, cycles: float, layout: str, dims: str, params: str, *script: str) -> Example:
    compiler = [
        f"./{layout}",
        "--arch=wse3",
        f"--fabric-dims={dims}",
        "--fabric-offsets=4,1",
        f"--params={params}",
        *MEMCPY,
    ]
    return Example(folder, cycles, ["run.py", "--name", "out", *script], compiler, timer="launch")


EXAMPLES = {  # programs with their own timers
    "7pt-stencil-spmv": on_grid("7pt-stencil-spmv", 2129, "run.py", "layout.csl"),
    "power-method, 1": on_grid("power-method", 4877, "run.py", "layout.csl", "--max-ite=1"),
    "power-method on the device, 10": on_grid(
        "power-method", 43436, "device_run.py", "layout_power.csl", "--max-ite=10"
    ),
    "conjugate-gradient, 2": on_grid("conjugate-gradient", 14958, "run.py", "layout.csl", "--max-ite=2"),
    "conjugate-gradient on the device, 2": on_grid(
        "conjugate-gradient", 11635, "device_run.py", "layout_cg.csl", "--max-ite=2"
    ),
    "preconditioned-conjugate-gradient, 2": on_grid(
        "preconditioned-conjugate-gradient", 17197, "run.py", "layout.csl", "--max-ite=2"
    ),
    "preconditioned-conjugate-gradient on the device, 2": on_grid(
        "preconditioned-conjugate-gradient", 13826, "device_run.py", "layout_pcg.csl", "--max-ite=2"
    ),
    "bicgstab, 2": on_grid("bicgstab", 25970, "run.py", "layout.csl", "--max-ite=2"),
    "bicgstab on the device, 20": on_grid("bicgstab", 59385, "device_run.py", "layout_bicgstab.csl", "--max-ite=20"),
}
TIMED = {  # with timers added by the measurer, who does not say where
    "game-of-life": single(
        "game-of-life", 7838, "layout.csl", "19,14", "x_dim:12,y_dim:12", "--initial-state", "glider", "--iters", "20"
    ),
    "gemm-collectives_2d": single("gemm-collectives_2d", 51580, "layout.csl", "11,6", "P:4,Mt:14,Kt:14,Nt:14"),
    "gemv-collectives_2d": single(
        "gemv-collectives_2d", 3835, "layout.csl", "11,6", "kernel_rows:4,kernel_cols:4,matrix_rows:32,matrix_cols:16"
    ),
    "cholesky": single("cholesky", 12479, "layout.csl", "17,12", "P:10,Nt:4"),
    "residual": single("residual", 674, "layout.csl", "9,4", "width:2,height:2,LOCAL_OUT_SZ:3,LOCAL_IN_SZ:2"),
    "wide-multiplication": single(
        "wide-multiplication",
        81739,
        "code.csl",
        "8,3",
        "num_bits:256,MEMCPYH2D_DATA_1_ID:0,MEMCPYD2H_DATA_1_ID:1",
    ),
}
TIMED["wide-multiplication"].timer = "run"  # its launch only says how many numbers come


def examples(programs: dict[str, Example]) -> Callable[[str, Wanted], Found]:
    return lambda profile, wanted: run_examples(programs, profile, wanted)


def run_examples(programs: dict[str, Example], profile: str, wanted: Wanted) -> Found:
    for name, example in programs.items():
        if not wanted(name):
            continue
        place = checkout("MESHLANG_CSL_EXAMPLES") / "benchmarks" / example.folder
        printed, launches = published(place, example.compiler, example.script, profile, beside=["benchmark-libs"])
        if example.timer == "script":
            model = float(SEND.findall(printed)[-1])
        else:
            model = float(launches[-1] if example.timer == "run" else max(launches[:-1]))
        yield name, example.cycles, model


# ---------------------------------------------------------------- closed forms


def store_and_forward(profile: str, wanted: Wanted) -> Found:
    for N in (2, 4, 8):
        for B in (8, 32, 128):
            what = f"{N} stages, {B} wavelets"
            if wanted(what):
                yield what, 1.001 * N * B + 16.1 * N + 16.5, programs.store_and_forward(N, B, profile)


def chain_reduce(profile: str, wanted: Wanted) -> Found:
    for P in (4, 8, 16, 32, 64, 128):
        for B in (16, 64, 256):
            what = f"{P} PEs, {B} wavelets"
            if wanted(what):
                yield what, B + 6 * (P - 1), programs.chain_reduce(P, B, profile)


SOURCES = [
    Source(
        "stream",
        "github.com/leightonw-cerebras/stream, results/*.csv: one operation on one PE, vendor's simulator of the WSE-2",
        ("wse2",),
        stream("sim"),
    ),
    Source(
        "stream-cs2",
        "the same on a CS-2, 750 x 994 PEs; mean of the fastest and the slowest PE",
        ("wse2-silicon",),
        stream("cs2"),
    ),
    Source(
        "meshgemv",
        "WaferLLM's MeshGEMV, unmodified; github.com/FxPiGaAo/WaferLLM, MeshGEMV/WSE-3/wse_result.json, mean of 50 repeats",
        ("wse3", "wse3-silicon"),
        gemv,
        few="P = (16|80),",
    ),
    Source(
        "meshgemm",
        "WaferLLM's MeshGEMM, unmodified; github.com/FxPiGaAo/WaferLLM, MeshGEMM/WSE-3/wse_result.json, mean of 50 repeats",
        ("wse3", "wse3-silicon"),
        gemm,
        few="P = 16,",
    ),
    Source(
        "store-and-forward",
        "1.001 N B + 16.1 N + 16.5 cycles (third-party, WSE-3 simulator, SDK 2.10)",
        ("wse3",),
        store_and_forward,
    ),
    Source(
        "chain-reduce",
        "B + (2 T_R + 2) (P - 1) cycles, T_R = 2 (Near-Optimal Wafer-Scale Reduce, HPDC'24)",
        ("wse2",),
        chain_reduce,
    ),
    Source(
        "csl-examples",
        "programs of github.com/Cerebras/csl-examples, WSE-3 simulator, SDK 1.4 (a third party's baselines)",
        ("wse3",),
        examples(EXAMPLES),
    ),
    Source(
        "csl-examples-timed",
        "programs without timers: the measurer added some, it is not said where; here the cycles of the launch",
        ("wse3",),
        examples(TIMED),
    ),
]


def measure(profile: str | None = None, source: str = "", what: str = "", quick: bool = False) -> Iterator[Row]:
    """The rows asked for, as they are measured. Sources whose checkout is missing say so on stderr."""
    for entry in SOURCES:
        if not re.search(source, entry.name):
            continue
        for name in entry.profiles:
            if profile is not None and name != profile or name not in profile_names():
                continue

            def wanted(text: str, few: str = entry.few) -> bool:
                return what in text and (not quick or re.match(few, text) is not None)

            try:
                for text, value, model in entry.rows(name, wanted):
                    yield Row(entry.name, name, text, value, float(model))
            except NoCheckout as missing:
                print(f"{entry.name}: {missing} names no checkout", file=sys.stderr)


def summary(rows: Iterable[Row]) -> str:
    """Median, 90th percentile and shares, by source and profile."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.source, row.profile), []).append(row)
        groups.setdefault(("all", row.profile), []).append(row)
    lines = [
        "| rows | profile | n | median | 90th percentile | within 10 % | within 15 % | mean (signed) |",
        "|---|---|---:|---:|---:|---:|---:|---:|",
    ]
    for (source, profile), group in sorted(groups.items(), key=lambda item: (item[0][0] == "all", item[0])):
        errors = sorted(abs(r.percent) for r in group)
        ninth = errors[min(len(errors) - 1, int(0.9 * len(errors)))]
        close = [sum(e <= bound for e in errors) for bound in (10, 15)]
        signed = statistics.mean(r.percent for r in group)
        lines.append(
            f"| {source} | {profile} | {len(group)} | {statistics.median(errors):.1f} % | {ninth:.1f} % | {close[0]} | {close[1]} | {signed:+.1f} % |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--profile")
    parser.add_argument("--source", default="")
    parser.add_argument("--what", default="")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--summary", action="store_true", help="no single rows")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    rows = []
    for row in measure(args.profile, args.source, args.what, args.quick):
        rows.append(row)
        if not args.json and not args.summary:
            print(
                f"{row.profile:13} {row.source:18} {row.what:50} {row.published:10.1f} {row.model:10.1f} {row.percent:+7.1f} %",
                flush=True,
            )
    if args.json:
        json.dump([asdict(r) | {"percent": r.percent} for r in rows], sys.stdout, indent=1)
    else:
        print()
        print(summary(rows), end="")


if __name__ == "__main__":
    main()
