"""<comm/grid_layout> and <comm/grid_pe>: allreduce along both axes and over the rectangle on the same colors."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import meshlang

LAYOUT = """
param W: i16;
param H: i16;
param n: u16;
param K: i16 = 2;
const memcpy = @import_module("<memcpy/get_params>", .{ .width = W, .height = H });
fn pick() [2 * K + 2]color {
  var all = @constants([2 * K + 2]color, @get_color(0));
  for (@range(i16, 2 * K + 2)) |c| { all[c] = @get_color(c + 3); }
  return all;
}
const grid = @import_module("<comm/grid_layout>", .{ .W = W, .H = H, .K = K, .colors = pick() });
layout {
  @set_rectangle(W, H);
  for (@range(i16, H)) |y| {
    for (@range(i16, W)) |x| {
      @set_tile_code(x, y, "pe.csl", .{ .memcpy_params = memcpy.get_params(0), .n = n, .role = grid.get_params() });
      grid.set_routes(x, y);
    }
  }
  @export_name("half", [*]f16, true);
  @export_name("single", [*]f32, true);
  @export_name("delay", [*]u16, true);
  @export_name("setup", fn()void);
  @export_name("run", fn(u16, u16)void);
}
"""

PE = """
param memcpy_params;
param role;
param n: u16;
const sys = @import_module("<memcpy/memcpy>", memcpy_params);
const place = @import_module("<layout>");
const count = 2 * role.K + 2;
fn in_queues() [count]input_queue {
  var all = @constants([count]input_queue, @get_input_queue(0));
  for (@range(i16, count)) |q| { all[q] = @get_input_queue(7 - q); }
  return all;
}
const out_count = if (@is_arch("wse3")) count else 1;
fn out_queues() [out_count]output_queue {
  var all = @constants([out_count]output_queue, @get_output_queue(2));
  for (@range(i16, out_count)) |q| { all[q] = @get_output_queue(2 + q); }
  return all;
}
const grid = @import_module("<comm/grid_pe>", .{ .role = role, .in_queues = in_queues(), .out_queues = out_queues(),
  .task_ids = .{ @get_local_task_id(12), @get_local_task_id(13) }, .done = finished });
var half: [n]f16;
var half_ptr: [*]f16 = &half;
var single: [n]f32;
var single_ptr: [*]f32 = &single;
var delay: [1]u16;
var delay_ptr: [*]u16 = &delay;
var spent: u16 = 0;
fn finished() void { sys.unblock_cmd_stream(); }
fn setup() void {
  grid.init(place.get_x_coord(), place.get_y_coord());
  finished();
}
fn one(operation: u16) void {
  for (@range(u16, delay[0])) |i| { spent += i; }
  if (operation == 1) { grid.row_sum(f16, half_ptr, n); }
  if (operation == 2) { grid.column_sum(f16, half_ptr, n); }
  if (operation == 3) { grid.sum(f32, single_ptr, n); }
  if (operation == 4) { grid.max(f16, half_ptr, n); }
  if (operation == 5) { grid.row_max(f32, single_ptr, n); }
  if (operation == 6) { grid.column_max(f32, single_ptr, n); }
}
// Operations `first` and `second` without the host in between; 7 and 8 are asynchronous.
fn run(first: u16, second: u16) void {
  one(first);
  one(second);
  if (second == 7) { grid.start_row_sum(f16, half_ptr, n); }
  else if (second == 8) { grid.start_column_max(f32, single_ptr, n); }
  else { finished(); }
}
comptime {
  @export_symbol(half_ptr, "half");
  @export_symbol(single_ptr, "single");
  @export_symbol(delay_ptr, "delay");
  @export_symbol(setup);
  @export_symbol(run);
}
"""

OPERATIONS = {  # number: (array, axes, what)
    1: ("half", (1,), np.sum),
    2: ("half", (0,), np.sum),
    3: ("single", (0, 1), np.sum),
    4: ("half", (0, 1), np.max),
    5: ("single", (1,), np.max),
    6: ("single", (0,), np.max),
    7: ("half", (1,), np.sum),
    8: ("single", (0,), np.max),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("grid")
    (root / "layout.csl").write_text(LAYOUT)
    (root / "pe.csl").write_text(PE)
    return root


def build(folder, arch="wse3", **params):
    return meshlang.compile(folder / "layout.csl", arch=arch, params=params)


@settings(max_examples=8, deadline=None, derandomize=True)
@given(
    W=st.integers(2, 12),
    H=st.integers(2, 12),
    n=st.sampled_from([1, 4, 9]),
    K=st.integers(1, 2),
    arch=st.sampled_from(["wse2", "wse3"]),
    pairs=st.lists(st.tuples(st.integers(1, 6), st.integers(1, 8)), min_size=4, max_size=4),
    seed=st.integers(0, 99),
)
@example(16, 16, 4, 2, "wse3", [(1, 4), (6, 7), (2, 5), (3, 8)], 1)
@example(16, 5, 9, 2, "wse2", [(1, 4), (6, 7), (2, 5), (3, 8)], 2)
def test_any_order(folder, W, H, n, K, arch, pairs, seed):
    """Every PE goes on to the next axis when it has its own result, however late the others are."""
    rng = np.random.default_rng(seed)
    program = build(folder, arch, W=W, H=H, n=n, K=K)
    assert len(program.ir.tiles) == 1 and len(program.ir.fabric.color) <= 2 * K + 2
    with program.start() as fabric:
        fabric.launch("setup")
        for pair in pairs:
            want = {
                "half": rng.integers(-9, 9, (H, W, n)).astype(np.float16),
                "single": rng.integers(-99, 99, (H, W, n)).astype(np.float32),
            }
            for name, data in want.items():
                fabric.write(name, data)
            fabric.write("delay", rng.choice([0, 0, 0, 40, 400], (H, W, 1)).astype(np.uint16))
            fabric.launch("run", *pair)
            for number in pair:
                name, axes, what = OPERATIONS[number]
                want[name] = np.broadcast_to(what(want[name], axes, keepdims=True), want[name].shape)
            for name, data in want.items():
                assert np.array_equal(fabric.read(name, count=n), data), (pair, name)


@pytest.mark.parametrize("arch, outputs", [("wse2", 1), ("wse3", 6)])
def test_stated_cost(folder, arch, outputs):
    program = build(folder, arch, W=16, H=9, n=4).ir
    assert len(program.fabric.color) == 6
    (tile,) = program.tiles
    assert (len(tile.inputs), len(tile.outputs), len(tile.tasks)) == (6, outputs, 2)
    assert max(o.address + o.size for o in tile.objects) <= 4 * 2 + 4 * 4 + 160


def test_before_init(folder):
    with build(folder, W=3, H=3, n=1).start() as fabric, pytest.raises(meshlang.MeshlangError) as found:
        fabric.launch("run", 1, 2)
    assert "called before init" in found.value.diagnostics[0].message
