"""Our own kernels beside published cycle counts of others': a section of docs/timing.md.

`python tests/timing/ours.py` prints the tables; test_ours.py checks the bounds and that the page is up to date.
"""

from __future__ import annotations

import contextlib
import io
from dataclasses import dataclass
from pathlib import Path

from meshlang.host.context import RunContext, run_context, set_context
from meshlang.host.script import run_script

ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Row:
    what: str
    published: float
    model: float

    @property
    def percent(self) -> float:
        return 100 * (self.model - self.published) / self.published


# ---------------------------------------------------------------- our programs, run as `meshlang run` does


def results(program: str, **params: object) -> dict:
    """What a program's run.py gives to `context.result`, profile wse3."""
    before = run_context()
    folder = ROOT / "programs" / program
    context = set_context(
        RunContext(
            params={name: str(value) for name, value in params.items()},
            options={"arch": "wse3"},
            folder=folder,
            active=True,
        )
    )
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            assert run_script(folder / "run.py") == 0
    finally:
        set_context(before)
    return context.results


# ---------------------------------------------------------------- MeshGEMV on WSE-3 hardware (WaferLLM's kernel, mean of 50 repeats)

# P, edge of the tile, groups, cycles; source: github.com/FxPiGaAo/WaferLLM, MeshGEMV/WSE-3/wse_result.json
GEMV = [
    (16, 1, 2, 246.95),
    (16, 8, 2, 274.96),
    (16, 1, 4, 237.96),
    (16, 8, 4, 267.95),
    (16, 1, 8, 240.96),
    (16, 8, 8, 268.95),
    (80, 1, 2, 596.96),
    (80, 1, 4, 468.95),
    (80, 1, 8, 416.96),
    (80, 2, 8, 419.96),
    (80, 3, 8, 422.96),
    (80, 8, 8, 447.95),
]


def gemv_rows(largest: int = 80) -> list[Row]:
    return [
        Row(
            f"P = {P}, tile {tile} x {tile}, {groups} groups",
            cycles,
            results("meshgemv", P=P, M=P * tile, N=P * tile, groups=groups, repeat=10)["cycles_per_gemv"],
        )
        for P, tile, groups, cycles in GEMV
        if P <= largest
    ]


# ---------------------------------------------------------------- MeshGEMM on WSE-3 hardware (WaferLLM's kernel, mean of 50 repeats)

GEMM = [  # P, edge of the tile, cycles; source: github.com/FxPiGaAo/WaferLLM, MeshGEMM/WSE-3/wse_result.json
    (16, 1, 2637.4),
    (16, 2, 3463.7),
    (16, 3, 4389.5),
    (16, 8, 10818.5),
]


def gemm_rows(largest: int = 16) -> list[Row]:
    return [
        Row(
            f"P = {P}, tile {tile} x {tile}",
            cycles,
            results("meshgemm", P=P, M=P * tile, K=P * tile, N=P * tile)["cycles"],
        )
        for P, tile, cycles in GEMM
        if P <= largest
    ]


# ---------------------------------------------------------------- allreduce of 8 f16 elements along a row


def allreduce_table(sizes: tuple[int, ...] = (16, 64, 256)) -> str:
    """Cycles by algorithm and size, and by how much the tree with two phases beats each."""
    rows = results("allreduce", sizes=",".join(map(str, sizes)))["rows"]
    cycles = {(name, n): c for n, name, c, *_ in rows}
    tree = [cycles["K-tree, K = 2", n] for n in sizes]
    lines = [
        "| algorithm | " + " | ".join(f"N = {n}" for n in sizes) + " | of K = 2 |",
        "|---|" + "---:|" * len(sizes) + "---|",
    ]
    for name in dict.fromkeys(name for name, _ in cycles):
        own = [cycles[name, n] for n in sizes]
        ratios = ", ".join(f"{a / b:.1f}" for a, b in zip(own, tree))
        lines.append(f"| {name} | " + " | ".join(map(str, own)) + f" | {ratios} |")
    return "\n".join(lines) + "\n"


def table(rows: list[Row]) -> str:
    lines = ["| what | published | model | difference |", "|---|---:|---:|---:|"]
    lines += [f"| {r.what} | {r.published:.0f} | {r.model:.0f} | {r.percent:+.0f} % |" for r in rows]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(table(gemv_rows()))
    print(table(gemm_rows()))
    print(allreduce_table())
