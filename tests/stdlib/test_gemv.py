"""<gemv/mesh> and <gemv/grid> against numpy: both orientations, all types; successive products alternate with no
transpose."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import meshlang
from meshlang import placement

PROGRAMS = Path(__file__).resolve().parents[2] / "programs"
MESHGEMV, COMPARE_GEMV = PROGRAMS / "meshgemv/layout.csl", PROGRAMS / "compare_gemv/layout.csl"
PIPELINE, RING, TREE = range(3)

LAYOUT = """
param W: i16;
param H: i16;
param a: u16;                       // elements of x, z and r on a PE
param b: u16;
param c: u16;
param kind: i16 = 0;                // 0: f16, 1: f32, 2: f16 with f32 sums
const memcpy = @import_module("<memcpy/get_params>", .{ .width = W, .height = H });
const grid = @import_module("<comm/grid_layout>", .{ .W = W, .H = H,
  .colors = [6]color{ @get_color(0), @get_color(1), @get_color(2), @get_color(3), @get_color(4), @get_color(5) } });
layout {
  @set_rectangle(W, H);
  for (@range(i16, H)) |y| {
    for (@range(i16, W)) |x| {
      @set_tile_code(x, y, "pe.csl", .{ .memcpy_params = memcpy.get_params(0), .role = grid.get_params(), .a = a, .b = b, .c = c, .kind = kind });
      grid.set_routes(x, y);
    }
  }
  const T = if (kind == 1) f32 else f16;
  for (.{ "x", "U", "V", "r" }) |name| { @export_name(name, [*]T, true); }
  @export_name("run", fn()void);
}
"""

PE = """
param memcpy_params;
param role;
param a: u16;
param b: u16;
param c: u16;
param kind: i16;
const T = if (kind == 1) f32 else f16;
const S = if (kind == 0) f16 else f32;
const sys = @import_module("<memcpy/memcpy>", memcpy_params);
const place = @import_module("<layout>");
const grid = @import_module("<comm/grid_pe>", .{ .role = role,
  .in_queues = [6]input_queue{
    @get_input_queue(2), @get_input_queue(3), @get_input_queue(4), @get_input_queue(5), @get_input_queue(6), @get_input_queue(7) },
  .out_queues = if (@is_arch("wse3")) [6]output_queue{
    @get_output_queue(2), @get_output_queue(3), @get_output_queue(4), @get_output_queue(5), @get_output_queue(6), @get_output_queue(7) }
    else [1]output_queue{ @get_output_queue(2) } });
const gemv = @import_module("<gemv/grid>", .{ .grid = grid });
var x: [a]T;
var U: [a * b]T;
var z: [b]S;
var z_again: [b]T;
var V: [b * c]T;
var r_sum: [c]S;
var r: [c]T;
var x_ptr: [*]T = &x;
var U_ptr: [*]T = &U;
var V_ptr: [*]T = &V;
var r_ptr: [*]T = &r;
var z_ptr: [*]S = &z;
var z_again_ptr: [*]T = &z_again;
var r_sum_ptr: [*]S = &r_sum;
const z_dsd = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{b} -> z[i] });
const z_again_dsd = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{b} -> z_again[i] });
const r_sum_dsd = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{c} -> r_sum[i] });
const r_dsd = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{c} -> r[i] });

// r = (x U) V: z = x U has its parts along columns, r along rows.
fn run() void {
  grid.init(place.get_x_coord(), place.get_y_coord());
  gemv.columns(T, S, x_ptr, U_ptr, z_ptr, a, b);
  if (kind == 0) { @fmovh(z_again_dsd, z_dsd); } else if (kind == 1) { @fmovs(z_again_dsd, z_dsd); } else { @fs2h(z_again_dsd, z_dsd); }
  gemv.rows(T, S, z_again_ptr, V_ptr, r_sum_ptr, b, c);
  if (kind == 0) { @fmovh(r_dsd, r_sum_dsd); } else if (kind == 1) { @fmovs(r_dsd, r_sum_dsd); } else { @fs2h(r_dsd, r_sum_dsd); }
  sys.unblock_cmd_stream();
}
comptime {
  @export_symbol(x_ptr, "x");
  @export_symbol(U_ptr, "U");
  @export_symbol(V_ptr, "V");
  @export_symbol(r_ptr, "r");
  @export_symbol(run);
}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("gemv")
    (root / "layout.csl").write_text(LAYOUT)
    (root / "pe.csl").write_text(PE)
    return root


@settings(max_examples=6, deadline=None, derandomize=True)
@given(
    W=st.integers(2, 9),
    H=st.integers(2, 9),
    sizes=st.tuples(*[st.integers(1, 30)] * 3),
    kind=st.integers(0, 2),
    arch=st.sampled_from(["wse2", "wse3"]),
)
@example(16, 16, (40, 33, 20), 0, "wse3")
@example(16, 9, (40, 33, 20), 2, "wse2")
def test_successive_products_alternate(folder, W, H, sizes, kind, arch):
    """r = (x U) V on W x H PEs; nothing is moved between the two products."""
    A, B, C = sizes
    dtype = np.float32 if kind == 1 else np.float16
    rng = np.random.default_rng(A * B * C)
    x, U, V = (rng.uniform(-1, 1, shape).astype(dtype) for shape in (A, (A, B), (B, C)))
    (a, b), c = placement.tile_shape((A, B), H, W), placement.tile_shape((C, B), H, W)[0]
    with meshlang.compile(
        folder / "layout.csl", arch=arch, params={"W": W, "H": H, "a": a, "b": b, "c": c, "kind": kind}
    ).start() as fabric:
        fabric.write("x", placement.block_rows(x, H, W))
        fabric.write("U", placement.block(U, H, W))
        fabric.write("V", placement.transposed(V, H, W))
        fabric.launch("run")
        r = fabric.read("r", count=c)
    assert (r == r[:, :1]).all()  # replicated along rows
    want = x.astype(np.float64) @ U.astype(np.float64) @ V.astype(np.float64)
    # each product: as many roundings as terms; the first one's error goes through the second
    scale = float((np.abs(x).astype(np.float64) @ np.abs(U).astype(np.float64) @ np.abs(V).astype(np.float64)).max())
    bound = (A + B + 4) * float(np.finfo(dtype).eps) * scale
    assert np.abs(r[:, 0].reshape(-1)[:C] - want).max() <= bound


@settings(max_examples=8, deadline=None, derandomize=True)
@given(
    P=st.integers(2, 12),
    M=st.integers(1, 40),
    N=st.integers(1, 40),
    K=st.integers(1, 3),
    rows=st.booleans(),
    kind=st.integers(0, 2),
    arch=st.sampled_from(["wse2", "wse3"]),
)
def test_meshgemv(P, M, N, K, rows, kind, arch):
    dtype, sum_dtype = [(np.float16, np.float16), (np.float32, np.float32), (np.float16, np.float32)][kind]
    rng = np.random.default_rng(M * N)
    x, W = rng.uniform(-1, 1, M).astype(dtype), rng.uniform(-1, 1, (M, N)).astype(dtype)
    Mt, Nt = placement.tile_shape((M, N), P, P)
    params = {"P": P, "Mt": Mt, "Nt": Nt, "K": K, "along_rows": rows, "f32_data": kind == 1, "f32_sum": kind == 2}
    with meshlang.compile(MESHGEMV, arch=arch, params=params).start() as fabric:
        fabric.write("x", (placement.block_columns if rows else placement.block_rows)(x, P, P))
        fabric.write("W", (placement.transposed if rows else placement.block)(W, P, P))
        fabric.launch("run", 2)
        y = fabric.read("y", count=Nt)
    y = y.swapaxes(0, 1) if rows else y
    assert y.dtype == sum_dtype and (y == y[0]).all()
    want = x.astype(np.float64) @ W.astype(np.float64)
    bound = (
        (M + 1)
        * float(np.finfo(sum_dtype).eps)
        * float((np.abs(x).astype(np.float64) @ np.abs(W).astype(np.float64)).max())
    )
    assert np.abs(y[0].reshape(-1)[:N] - want).max() <= bound


@settings(max_examples=10, deadline=None, derandomize=True)
@given(
    algorithm=st.sampled_from([PIPELINE, RING, TREE]),
    P=st.integers(2, 8),
    lines=st.integers(2, 8),
    M=st.integers(1, 30),
    N=st.integers(1, 30),
    rows=st.booleans(),
    kind=st.integers(0, 2),
    how=st.sampled_from(["replicated", "distributed", "asynchronous"]),
    arch=st.sampled_from(["wse2", "wse3"]),
)
@example(PIPELINE, 16, 16, 40, 33, True, 0, "asynchronous", "wse3")
@example(RING, 16, 5, 40, 33, False, 2, "distributed", "wse2")
@example(TREE, 16, 9, 40, 33, True, 1, "distributed", "wse3")
def test_baselines(algorithm, P, lines, M, N, rows, kind, how, arch):
    """Replicated, or as the algorithm leaves it: at the last place, part i at place i, in the middle of the tree."""
    dtype, sum_dtype = [(np.float16, np.float16), (np.float32, np.float32), (np.float16, np.float32)][kind]
    rng = np.random.default_rng(M * N)
    x, W = rng.uniform(-1, 1, M).astype(dtype), rng.uniform(-1, 1, (M, N)).astype(dtype)
    Mt, Nt = placement.tile_shape((M, N), P, lines)
    height, width = (lines, P) if rows else (P, lines)
    part = -(-Nt // P)
    count = part * P if algorithm == RING else Nt
    params = {
        "P": P,
        "lines": lines,
        "Mt": Mt,
        "Nt": Nt,
        "algorithm": algorithm,
        "along_rows": rows,
        "single": kind == 1,
        "single_sum": kind == 2,
        "replicated": how != "distributed",
        "asynchronous": how == "asynchronous",
    }
    with meshlang.compile(COMPARE_GEMV, arch=arch, params=params).start() as fabric:
        fabric.write("x", (placement.block_columns if rows else placement.block_rows)(x, height, width))
        fabric.write("W", (placement.transposed if rows else placement.block)(W, height, width))
        fabric.launch("run")
        y = fabric.read("y", count=count)
    y = y.swapaxes(0, 1) if rows else y  # [place in the line, line, elements]
    if how != "distributed":
        assert (y == y[0]).all()
        y = y[0]
    elif algorithm == PIPELINE:
        y = y[-1]
    elif algorithm == RING:
        y = np.einsum("ijin->jin", y.reshape(P, lines, P, part)).reshape(lines, count)
    else:
        first = next(s for s in range(1, P + 1) if s * s >= P)
        group = (-(-P // first)) // 2
        y = y[(group * first + min((group + 1) * first, P) - 1) // 2]
    want = x.astype(np.float64) @ W.astype(np.float64)
    bound = (
        (M + 1)
        * float(np.finfo(sum_dtype).eps)
        * float((np.abs(x).astype(np.float64) @ np.abs(W).astype(np.float64)).max())
    )
    assert y.dtype == sum_dtype and np.abs(y[:, :Nt].reshape(-1)[:N] - want).max() <= bound


@pytest.mark.parametrize(
    "params, message",
    [
        ({"P": 1}, "at least 2 PEs"),
        ({"P": 4, "groups": 5}, "must be 1 to N"),
        ({"P": 4, "Mt": 0}, "one row and one column"),
        ({"P": 4, "Mt": 200, "Nt": 200}, "40 KB"),
    ],
)
def test_mistakes(params, message):
    with pytest.raises(meshlang.MeshlangError) as found:
        meshlang.compile(MESHGEMV, params=params)
    assert any(message in d.message for d in found.value.diagnostics), found.value.diagnostics
