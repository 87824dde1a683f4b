"""<comm/ktree_layout> and <comm/ktree_pe> along rows and columns, against numpy; their stated cost."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import meshlang

ALLREDUCE = Path(__file__).resolve().parents[2] / "programs/allreduce/layout.csl"
PIPELINE, RING, TREE = range(3)

LAYOUT = """
param W: i16;
param H: i16;
param n: u16;
param K: i16 = 2;
param groups: i16 = 0;
param rows: bool = true;            // along rows, else along columns
param shared: bool = false;
const N = if (rows) W else H;
const memcpy = @import_module("<memcpy/get_params>", .{ .width = W, .height = H });
fn pick() [2 * K + 1]color {
  var all = @constants([2 * K + 1]color, @get_color(20));
  for (@range(i16, 2 * K)) |c| { all[c] = @get_color(c); }
  return all;
}
const tree = @import_module("<comm/ktree_layout>", .{ .N = N, .K = K, .groups = groups, .colors = pick() });
layout {
  @set_rectangle(W, H);
  for (@range(i16, H)) |y| {
    for (@range(i16, W)) |x| {
      const i = if (rows) x else y;
      @set_tile_code(x, y, "pe.csl", .{ .memcpy_params = memcpy.get_params(0), .n = n, .rows = rows,
        .role = if (shared) tree.shared_params() else tree.get_params(i) });
      tree.set_routes(x, y, i, rows);
    }
  }

  @export_name("half", [*]f16, true);
  @export_name("single", [*]f32, true);
  @export_name("setup", fn()void);
  for (.{ "sum16", "max16", "sum32", "max32", "start_sum16", "start_max16", "start_sum32", "start_max32", "reduce", "broadcast" }) |name| {
    @export_name(name, fn()void);
  }
}
"""

PE = """
param memcpy_params;
param role;
param n: u16;
param rows: bool;
const sys = @import_module("<memcpy/memcpy>", memcpy_params);
const place = @import_module("<layout>");
fn in_queues() [2 * role.K + @as(i16, !role.known)]input_queue {
  var all = @constants([2 * role.K + @as(i16, !role.known)]input_queue, @get_input_queue(0));
  for (@range(i16, @element_count(@type_of(all)))) |q| { all[q] = @get_input_queue(7 - q); }
  return all;
}
const single_output = role.known or !@is_arch("wse3");
fn out_queues() [if (single_output) 1 else 2 * role.K + 1]output_queue {
  var all = @constants([if (single_output) 1 else 2 * role.K + 1]output_queue, @get_output_queue(2));
  for (@range(i16, @element_count(@type_of(all)))) |q| { all[q] = @get_output_queue(2 + q); }
  return all;
}
const tree = @import_module("<comm/ktree_pe>", .{ .role = role, .in_queues = in_queues(), .out_queues = out_queues(),
  .task_id = @get_local_task_id(12), .done = finished });
var half: [n]f16;
var half_ptr: [*]f16 = &half;
var single: [n]f32;
var single_ptr: [*]f32 = &single;
fn finished() void { sys.unblock_cmd_stream(); }
fn setup() void {
  if (!role.known) { tree.init(if (rows) place.get_x_coord() else place.get_y_coord()); }
  finished();
}
fn sum16() void { tree.sum(f16, half_ptr, n); finished(); }
fn max16() void { tree.max(f16, half_ptr, n); finished(); }
fn sum32() void { tree.sum(f32, single_ptr, n); finished(); }
fn max32() void { tree.max(f32, single_ptr, n); finished(); }
fn start_sum16() void { tree.start_sum(f16, half_ptr, n); }
fn start_max16() void { tree.start_max(f16, half_ptr, n); }
fn start_sum32() void { tree.start_sum(f32, single_ptr, n); }
fn start_max32() void { tree.start_max(f32, single_ptr, n); }
fn reduce() void { tree.reduce_sum(f32, single_ptr, n); finished(); }
fn broadcast() void { tree.broadcast(f32, single_ptr, n); finished(); }
comptime {
  @export_symbol(half_ptr, "half");
  @export_symbol(single_ptr, "single");
  @export_symbol(setup);
  @export_symbol(sum16);
  @export_symbol(max16);
  @export_symbol(sum32);
  @export_symbol(max32);
  @export_symbol(start_sum16);
  @export_symbol(start_max16);
  @export_symbol(start_sum32);
  @export_symbol(start_max32);
  @export_symbol(reduce);
  @export_symbol(broadcast);
}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("ktree")
    (root / "layout.csl").write_text(LAYOUT)
    (root / "pe.csl").write_text(PE)
    return root


def build(folder, arch="wse3", **params):
    return meshlang.compile(folder / "layout.csl", arch=arch, params=params)


def sizes(N: int, K: int, groups: int = 0) -> list[int]:
    """Members of a group of each phase, as the layout chooses them."""
    out, rest = [], N
    for k in range(K):
        out.append(-(-N // groups) if k == 0 and groups else next(s for s in range(1, N + 1) if s ** (K - k) >= rest))
        rest = -(-rest // out[-1])
    return out


def middle(N: int, K: int, groups: int = 0) -> int:
    size, counts = sizes(N, K, groups), [N]
    for s in size:
        counts.append(-(-counts[-1] // s))
    place = 0
    for k in reversed(range(K)):
        place = (place * size[k] + min((place + 1) * size[k], counts[k]) - 1 + k % 2) // 2
    return place


@settings(max_examples=14, deadline=None, derandomize=True)
@given(
    W=st.integers(2, 20),
    H=st.integers(2, 5),
    flip=st.booleans(),
    n=st.sampled_from([1, 2, 3, 21]),
    K=st.integers(1, 3),
    shared=st.booleans(),
    rows=st.booleans(),
    arch=st.sampled_from(["wse2", "wse3"]),
    groups=st.floats(0, 1),
)
@example(16, 16, False, 3, 2, False, True, "wse3", 0.3)
def test_allreduce(folder, W, H, flip, n, K, shared, rows, arch, groups):
    if flip:
        W, H = H, W
    N = W if rows else H
    groups = round(groups * N) if K == 2 else 0
    if shared and (arch == "wse3" or K == 3):
        K = min(K, 2)  # a shared program has a queue for each color
    rng = np.random.default_rng(W * H + n)
    axis = 1 if rows else 0
    program = build(folder, arch, W=W, H=H, n=n, K=K, shared=shared, rows=rows, groups=groups)
    assert len(program.ir.fabric.color) <= 2 * K + 1
    with program.start() as fabric:
        fabric.launch("setup")
        for entry in ("sum16", "max32", "start_max16", "start_sum32", "sum32", "max16", "start_sum16", "start_max32"):
            name, dtype = ("half", np.float16) if entry.endswith("16") else ("single", np.float32)
            data = rng.integers(-100, 100, (H, W, n)).astype(dtype)  # integers: exact in any order
            fabric.write(name, data)
            fabric.launch(entry)
            want = data.max(axis, keepdims=True) if "max" in entry else data.sum(axis, keepdims=True)
            assert np.array_equal(fabric.read(name, count=n), np.broadcast_to(want, data.shape)), entry
        data = rng.integers(-100, 100, (H, W, n)).astype(np.float32)
        fabric.write("single", data)
        fabric.launch("reduce")
        root = middle(N, K, groups)
        at = (slice(None), root) if rows else root
        assert np.array_equal(fabric.read("single", count=n)[at], data.sum(axis))
        fabric.launch("broadcast")
        assert np.array_equal(
            fabric.read("single", count=n), np.broadcast_to(data.sum(axis, keepdims=True), data.shape)
        )


@pytest.mark.parametrize("N", [4, 16, 30])
@pytest.mark.parametrize("K", [1, 2, 3])
def test_stated_cost(folder, N, K):
    """2 K + 1 colors, at most 2 K input queues and one output queue, no vector but the caller's, whatever N is."""
    program = build(folder, W=N, H=1, n=8, K=K).ir
    assert len(program.fabric.color) <= 2 * K + 1
    used = np.sum([c >= 0 for c in program.fabric.color.values()], axis=0)
    assert used.max() <= 2 * K + 1
    for tile in program.tiles:
        assert len(tile.inputs) <= 2 * K and len(tile.outputs) == 1 and len(tile.tasks) == 1
        assert max(o.address + o.size for o in tile.objects) <= 8 * (2 + 4) + 64
    if N == 30 and K > 1:  # what a PE does has few kinds, so that PEs share their programs
        assert len(program.tiles) < 16


def allreduce_cycles(algorithm, N, K=2):
    program = meshlang.compile(ALLREDUCE, arch="wse3", params={"N": N, "n": 2, "algorithm": algorithm, "K": K})
    with program.start() as fabric:
        fabric.launch("run")
        ticks = fabric.read("ticks", count=6).astype(np.int64)
    return (ticks[..., 3:6] @ [1, 1 << 16, 1 << 32] - ticks[..., 0:3] @ [1, 1 << 16, 1 << 32]).max()


def test_the_tree_wins_by_a_growing_factor():
    """WaferLLM section 6: K N^(1/K) / 2 software stages instead of N."""
    for baseline in (PIPELINE, RING):
        factor = [allreduce_cycles(baseline, N) / allreduce_cycles(TREE, N) for N in (4, 16, 64)]
        assert 1.0 < factor[0] < factor[1] < factor[2]


def test_too_many_phases_for_the_queues():
    with pytest.raises(meshlang.MeshlangError) as found:
        meshlang.compile(ALLREDUCE, params={"N": 54, "n": 2, "algorithm": TREE, "K": 4})
    assert any("receives more colors than it has input queues" in d.message for d in found.value.diagnostics)


@pytest.mark.parametrize(
    "params, message",
    [
        ({"W": 1, "H": 2, "n": 1}, "a line of at least 2 PEs"),
        ({"W": 8, "H": 1, "n": 1, "groups": 9}, "must be 1 to N"),
        ({"W": 8, "H": 1, "n": 1, "K": 0}, "1 to 11 phases"),
    ],
)
def test_mistakes(folder, params, message):
    with pytest.raises(meshlang.MeshlangError) as found:
        build(folder, **params)
    assert any(message in d.message for d in found.value.diagnostics)


def test_before_init(folder):
    with build(folder, W=3, H=1, n=1, shared=True).start() as fabric, pytest.raises(meshlang.MeshlangError) as found:
        fabric.launch("sum16")
    assert "called before init" in found.value.diagnostics[0].message


def test_two_operations_at_once_are_refused(tmp_path):
    """A second start before the first is done, and one after it, which is allowed."""
    (tmp_path / "layout.csl").write_text(LAYOUT)
    twice = "fn start_sum32() void { tree.start_sum(f32, single_ptr, n); tree.start_max(f32, single_ptr, n); }"
    (tmp_path / "pe.csl").write_text(PE.replace("fn start_sum32() void { tree.start_sum(f32, single_ptr, n); }", twice))
    program = meshlang.compile(tmp_path / "layout.csl", arch="wse3", params={"W": 4, "H": 1, "n": 2})
    with program.start() as fabric:
        fabric.launch("setup")
        fabric.launch("start_max32")
        fabric.launch("start_max32")
        with pytest.raises(meshlang.MeshlangError, match="MS0807.*a K-tree does one operation at a time"):
            fabric.launch("start_sum32")
