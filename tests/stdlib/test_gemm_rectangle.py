"""<gemm/rectangle> and <gemm/transposed> against numpy: any rectangle, any shape, all types; their stated cost."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import meshlang
from meshlang import placement

LAYOUT = """
param W: i16;
param H: i16;
param Mt: u16;
param Kt: u16;
param Nt: u16;
param transposed: bool;             // <gemm/transposed>, else <gemm/rectangle>
param kind: i16 = 0;                // 0: f16, 1: f32, 2: f16 with f32 sums
param interleave: bool = true;
const memcpy = @import_module("<memcpy/get_params>", .{ .width = W, .height = H });
const six = [6]color{ @get_color(0), @get_color(1), @get_color(2), @get_color(3), @get_color(4), @get_color(5) };
const seven = [7]color{ @get_color(0), @get_color(1), @get_color(2), @get_color(3), @get_color(4), @get_color(5), @get_color(6) };
const gemm = if (transposed) @import_module("<gemm/transposed_layout>", .{ .W = W, .H = H, .colors = seven })
  else @import_module("<gemm/rectangle_layout>", .{ .W = W, .H = H, .interleave = interleave, .colors = six });
layout {
  @set_rectangle(W, H);
  for (@range(i16, H)) |y| {
    for (@range(i16, W)) |x| {
      @set_tile_code(x, y, "pe.csl", .{ .memcpy_params = memcpy.get_params(0), .role = gemm.get_params(x, y), .W = W, .H = H,
        .Mt = Mt, .Kt = Kt, .Nt = Nt, .transposed = transposed, .kind = kind });
      gemm.set_routes(x, y);
    }
  }
  const T = if (kind == 1) f32 else f16;
  const S = if (kind == 0) f16 else f32;
  @export_name("A", [*]T, true);
  @export_name("B", [*]T, true);
  @export_name("C", [*]S, true);
  @export_name("ticks", [*]u16, true);
  @export_name("run", fn()void);
}
"""

PE = """
param memcpy_params;
param role;
param W: u16;
param H: u16;
param Mt: u16;
param Kt: u16;
param Nt: u16;
param transposed: bool;
param kind: i16;
const T = if (kind == 1) f32 else f16;
const S = if (kind == 0) f16 else f32;
const sys = @import_module("<memcpy/memcpy>", memcpy_params);
const time = @import_module("<time>");
const place = @import_module("<layout>");
const panels = @import_module("<gemm/panels>", .{ .W = W, .H = H });
const gemm = if (transposed) @import_module("<gemm/transposed>", .{ .T = T, .sum_type = S, .W = W, .H = H, .Mt = Mt, .Kt = Kt, .Nt = Nt, .role = role,
    .in_queues = [3]input_queue{ @get_input_queue(2), @get_input_queue(3), @get_input_queue(4) },
    .out_queues = [3]output_queue{ @get_output_queue(2), @get_output_queue(3), @get_output_queue(5) },
    .task_ids = [3]local_task_id{ @get_local_task_id(10), @get_local_task_id(11), @get_local_task_id(12) }, .done = finished })
  else @import_module("<gemm/rectangle>", .{ .T = T, .sum_type = S, .W = W, .H = H, .Mt = Mt, .Kt = Kt, .Nt = Nt, .role = role,
    .in_queues = [2]input_queue{ @get_input_queue(2), @get_input_queue(3) },
    .out_queues = [2]output_queue{ @get_output_queue(4), @get_output_queue(5) },
    .task_ids = [3]local_task_id{ @get_local_task_id(10), @get_local_task_id(11), @get_local_task_id(12) }, .done = finished });
const a_count: u16 = if (transposed) Mt * Kt else (panels.in_rows + 1) * (Mt * Kt);
const b_count: u16 = (panels.in_columns + 1) * (Kt * Nt);
const c_count: u16 = (if (transposed) panels.in_rows else 1) * (Mt * Nt);
var A: [a_count]T;
var B: [b_count]T;
var C: [c_count]S;
var partial: [if (transposed) 2 * Mt * Nt else 1]S;
var ticks: [6]u16;
var A_ptr: [*]T = &A;
var B_ptr: [*]T = &B;
var C_ptr: [*]S = &C;
var partial_ptr: [*]S = &partial;
var ticks_ptr: [*]u16 = &ticks;
var before: [3]u16;
var after: [3]u16;
fn run() void {
  time.enable_tsc();
  time.get_timestamp(&before);
  if (transposed) { gemm.gemm(place.get_x_coord(), place.get_y_coord(), A_ptr, B_ptr, C_ptr, partial_ptr); } else { gemm.gemm(A_ptr, B_ptr, C_ptr); }
}
fn finished() void {
  time.get_timestamp(&after);
  for (@range(u16, 3)) |i| {
    ticks[i] = before[i];
    ticks[i + 3] = after[i];
  }
  sys.unblock_cmd_stream();
}
comptime {
  @export_symbol(A_ptr, "A");
  @export_symbol(B_ptr, "B");
  @export_symbol(C_ptr, "C");
  @export_symbol(ticks_ptr, "ticks");
  @export_symbol(run);
}
"""

KINDS = ((np.float16, np.float16), (np.float32, np.float32), (np.float16, np.float32))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("rectangle")
    (root / "layout.csl").write_text(LAYOUT)
    (root / "pe.csl").write_text(PE)
    return root


def build(folder, W, H, tile, transposed, kind=0, interleave=True, arch="wse3"):
    Mt, Kt, Nt = tile
    return meshlang.compile(
        folder / "layout.csl",
        arch=arch,
        params={
            "W": W,
            "H": H,
            "Mt": Mt,
            "Kt": Kt,
            "Nt": Nt,
            "transposed": transposed,
            "kind": kind,
            "interleave": interleave,
        },
    )


def multiply(folder, W, H, sizes, transposed, kind=0, interleave=True, arch="wse3"):
    """C of the mesh, numpy's, the error bound and the cycles."""
    M, K, N = sizes
    dtype, sum_dtype = KINDS[kind]
    rng = np.random.default_rng(M * 10000 + K * 100 + N)
    A, B = rng.uniform(-1, 1, (M, K)).astype(dtype), rng.uniform(-1, 1, (N, K) if transposed else (K, N)).astype(dtype)
    L = math.lcm(W, H)
    tile = (-(-M // H), -(-K // (W if transposed else L)), -(-N // (L if transposed else W)))
    a = placement.block(A, H, W) if transposed else placement.rectangle_a(A, H, W, interleave)
    b = placement.row_panels(B, H, W) if transposed else placement.rectangle_b(B, H, W, interleave)
    count = tile[0] * tile[2] * (L // W if transposed else 1)
    with build(folder, W, H, tile, transposed, kind, interleave, arch).start() as fabric:
        fabric.write("A", a)
        fabric.write("B", b)
        fabric.launch("run")
        fabric.launch("run")
        C = fabric.read("C", count=count)
        ticks = fabric.read("ticks", count=6).astype(np.int64)
    C = placement.from_column_panels(C, (M, N)) if transposed else placement.unblock(C, (M, N))
    assert C.dtype == sum_dtype
    a, b = A.astype(np.float64), (B.T if transposed else B).astype(np.float64)
    bound = (K + W) * float(np.finfo(sum_dtype).eps) / 2 * float((np.abs(a) @ np.abs(b)).max())
    return C, a @ b, bound, (ticks[..., 3:6] @ [1, 1 << 16, 1 << 32] - ticks[..., 0:3] @ [1, 1 << 16, 1 << 32]).max()


@settings(max_examples=12, deadline=None, derandomize=True)
@given(
    W=st.integers(2, 7),
    H=st.integers(2, 7),
    sizes=st.tuples(*[st.integers(1, 30)] * 3),
    transposed=st.booleans(),
    kind=st.integers(0, 2),
    interleave=st.booleans(),
    arch=st.sampled_from(["wse2", "wse3"]),
)
def test_against_numpy(folder, W, H, sizes, transposed, kind, interleave, arch):
    C, expected, bound, _ = multiply(folder, W, H, sizes, transposed, kind, interleave, arch)
    assert np.abs(C - expected).max() <= bound


@pytest.mark.parametrize("W, H", [(2, 2), (2, 3), (6, 4), (9, 3), (16, 8)])
@pytest.mark.parametrize("transposed", [False, True])
def test_rectangles(folder, W, H, transposed):
    C, expected, bound, _ = multiply(folder, W, H, (2 * H - 1, 25, 2 * W + 1), transposed)
    assert np.abs(C - expected).max() <= bound


def test_square_placement_is_the_skewed_one():
    matrix = np.arange(99 * 70).reshape(99, 70)
    for P in (2, 5, 8):
        assert np.array_equal(placement.rectangle_a(matrix, P, P), placement.skewed_a(matrix, P))
        assert np.array_equal(placement.rectangle_b(matrix, P, P, False), placement.skewed_b(matrix, P, False))
        assert np.array_equal(placement.row_panels(matrix, P, P), placement.block(matrix, P, P))


def test_sums_overlap_the_product(folder):
    """A step of C = A B^T takes less than its parts one after the other: the product, clearing, the sum's wavelets, and
    what a tiny step takes."""
    P, m = 8, 24

    def step(Mt, Kt, Nt):
        return multiply(folder, P, P, (P * Mt, P * Kt, P * Nt), True)[3] / P

    short, long = step(m, 6, m), step(m, 12, m)
    product, clearing, wavelets = long - short, m * m / 8, m * m / 2
    assert product < short < product + clearing + wavelets + step(1, 1, 1)


def test_steps_cost_the_same_on_any_mesh(folder):
    for transposed in (False, True):
        cycles = {P: multiply(folder, P, P, (2 * P, 2 * P, 2 * P), transposed)[3] / P for P in (5, 8, 14)}
        assert cycles[14] <= 1.05 * cycles[5]


@pytest.mark.parametrize("transposed, colors, queues, tasks", [(False, 6, 2, 3), (True, 7, 3, 3)])
def test_stated_cost(folder, transposed, colors, queues, tasks):
    W, H, (Mt, Kt, Nt) = 9, 6, (5, 6, 7)  # L = 18: 2 panels of a PE along rows, 3 along columns
    program = build(folder, W, H, (Mt, Kt, Nt), transposed).ir
    assert len(program.fabric.color) == colors
    buffers = Mt * Kt + 4 * Nt * Kt + 4 * Mt * Nt if transposed else 3 * Mt * Kt + 4 * Kt * Nt + Mt * Nt
    for tile in program.tiles:
        assert len(tile.inputs) <= queues and len(tile.outputs) <= queues and len(tile.tasks) <= tasks
        assert 2 * buffers <= max(o.address + o.size for o in tile.objects) <= 2 * buffers + 96


@pytest.mark.parametrize(
    "params, message",
    [
        ({"W": 1, "H": 4}, "at least 2 PEs"),
        ({"W": 1, "H": 4, "transposed": True}, "at least 2 x 2 PEs"),
        ({"W": 4, "H": 4, "tile": (0, 1, 1)}, "one row and one column"),
        ({"W": 4, "H": 4, "tile": (2, 128, 2), "transposed": True}, "less than 128 columns"),
    ],
)
def test_mistakes(folder, params, message):
    with pytest.raises(meshlang.MeshlangError) as found:
        build(folder, **{"tile": (2, 2, 2), "transposed": False, **params})
    assert any(message in d.message for d in found.value.diagnostics), found.value.diagnostics


@pytest.mark.parametrize(
    "T, S, message",
    [
        ("i16", "i16", "A and B of a GEMM are f16 or f32"),
        ("f32", "f16", "C of a GEMM is f32 where A and B are"),
        ("f16", "i16", "C of a GEMM is f16 or f32"),
    ],
)
@pytest.mark.parametrize("transposed", [False, True])
def test_wrong_types(tmp_path, T, S, message, transposed):
    types = ("const T = if (kind == 1) f32 else f16;", "const S = if (kind == 0) f16 else f32;")
    layout, pe = (
        text.replace(types[0], f"const T = {T};").replace(types[1], f"const S = {S};") for text in (LAYOUT, PE)
    )
    (tmp_path / "layout.csl").write_text(layout)
    (tmp_path / "pe.csl").write_text(pe)
    with pytest.raises(meshlang.MeshlangError) as found:
        build(tmp_path, 3, 2, (2, 2, 2), transposed)
    assert any(message in d.message for d in found.value.diagnostics), [d.message for d in found.value.diagnostics]
