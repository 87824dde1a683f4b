"""The timing model beside published cycle counts: the rows of docs/timing.md.

`python tests/timing/ours.py` prints the tables; test_published.py checks the bounds and that the page is up to
date.
"""

from __future__ import annotations

import contextlib
import io
import tempfile
from dataclasses import dataclass
from pathlib import Path

import meshlang
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


# ---------------------------------------------------------------- STREAM (github.com/leightonw-cerebras/stream, results, simulator column)

# kernel: (operation on d, a, b and scalar s; type; cycles of n elements on the vendor's simulator, WSE-2)
STREAM = {
    "copy f16": ("@fmovh(d, a);", "f16", lambda n: n / 4 + 10),
    "scale f16": ("@fmulh(d, a, s);", "f16", lambda n: n / 4 + 11),
    "add f16": ("@faddh(d, a, b);", "f16", lambda n: n / 4 + 12),
    "triad f16": ("@fmach(d, a, b, s);", "f16", lambda n: n / 4 + 13),
    "copy f32": ("@fmovs(d, a);", "f32", lambda n: n / 2 + 10),
    "scale f32": ("@fmuls(d, a, s);", "f32", lambda n: n + 11),
    "triad f32": ("@fmacs(d, a, b, s);", "f32", lambda n: n + 12),
}

LAYOUT = """
param N: u16;
const memcpy = @import_module("<memcpy/get_params>", .{ .width = 1, .height = 1 });
layout {
  @set_rectangle(1, 1);
  @set_tile_code(0, 0, "pe.csl", .{ .memcpy_params = memcpy.get_params(0), .N = N });
  @export_name("main", fn()void);
  @export_name("words", [*]u16, true);
}
"""
PE = """
param memcpy_params;
const sys = @import_module("<memcpy/memcpy>", memcpy_params);
const time = @import_module("<time>");
param N: u16;
var D: [N]%(type)s; var A: [N]%(type)s; var B: [N]%(type)s;
const d = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{N} -> D[i] });
const a = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{N} -> A[i] });
const b = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{N} -> B[i] });
const s: %(type)s = 2.0;
var t0: [3]u16; var t1: [3]u16; var t2: [3]u16;
var words: [3]u16;
var words_ptr: [*]u16 = &words;
fn main() void {
  time.enable_tsc();
  time.get_timestamp(&t0);
  time.get_timestamp(&t1);      // the cost of taking the time
  %(op)s
  time.get_timestamp(&t2);
  words[0] = t0[0]; words[1] = t1[0]; words[2] = t2[0];
  sys.unblock_cmd_stream();
}
comptime { @export_symbol(main); @export_symbol(words_ptr, "words"); }
"""


def stream_rows(sizes: tuple[int, ...] = (64, 1024)) -> list[Row]:
    rows = []
    for name, (op, type_name, formula) in STREAM.items():
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "layout.csl").write_text(LAYOUT)
            Path(folder, "pe.csl").write_text(PE % {"type": type_name, "op": op})
            for n in sizes:
                with meshlang.compile(str(Path(folder, "layout.csl")), arch="wse2", params={"N": n}).start() as fabric:
                    fabric.launch("main")
                    t = fabric.read("words", count=3)[0, 0].astype(int)
                rows.append(Row(f"{name}, n = {n}", formula(n), float((t[2] - t[1]) - (t[1] - t[0]))))
    return rows


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
    (144, 1, 8, 601.95),
    (144, 8, 8, 631.95),
    (208, 1, 8, 784.96),
    (208, 8, 8, 815.95),
    (272, 1, 8, 970.95),
    (272, 8, 8, 998.96),
]


def gemv_rows(largest: int = 272) -> list[Row]:
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
    (80, 1, 12828.4),
    (80, 2, 17051.0),
    (80, 3, 21818.1),
    (80, 8, 53526.4),
]


def gemm_rows(largest: int = 80) -> list[Row]:
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
    print(table(stream_rows()))
    print(table(gemv_rows()))
    print(table(gemm_rows()))
    print(allreduce_table())
