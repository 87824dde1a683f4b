"""<comm/broadcast_*>, <comm/reduce_*> and <comm/barrier_*> along rows and columns, against numpy."""

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
param single: bool = false;
param maximum: bool = false;
param rows: bool = true;            // along rows, else along columns
param root: i16 = 0;
const N = if (rows) W else H;
const memcpy = @import_module("<memcpy/get_params>", .{ .width = W, .height = H });
const reduce = @import_module("<comm/reduce_layout>", .{ .N = N, .root = root, .colors = [2]color{ @get_color(5), @get_color(2) } });
const bcast = @import_module("<comm/broadcast_layout>", .{ .N = N, .root = root, .line_color = @get_color(7) });
layout {
  @set_rectangle(W, H);
  for (@range(i16, H)) |y| {
    for (@range(i16, W)) |x| {
      const i = if (rows) x else y;
      const p = reduce.get_params(i);
      const r = reduce.get_routes(i, rows);
      @set_tile_code(x, y, "pe.csl", .{ .memcpy_params = memcpy.get_params(0), .reduce_role = p, .bcast_role = bcast.get_params(i),
        .n = n, .single = single, .maximum = maximum });
      if (p.uses_a) { @set_color_config(x, y, p.color_a, r.a); }
      if (p.uses_b) { @set_color_config(x, y, p.color_b, r.b); }
      if (!p.is_root) { @set_color_config(x, y, p.color_out, r.out); }
      @set_color_config(x, y, @get_color(7), bcast.get_route(i, rows));
    }
  }
  const T = if (single) f32 else f16;
  @export_name("v", [*]T, true);
  @export_name("reduce", fn()void);
  @export_name("reduce_async", fn()void);
  @export_name("broadcast", fn()void);
  @export_name("broadcast_async", fn()void);
}
"""

PE = """
param memcpy_params;
param reduce_role;
param bcast_role;
param n: u16;
param single: bool;
param maximum: bool;
const T = if (single) f32 else f16;
const sys = @import_module("<memcpy/memcpy>", memcpy_params);
const up = @import_module("<comm/reduce_pe>", .{ .T = T, .n = n, .role = reduce_role, .maximum = maximum,
  .in_queues = [2]input_queue{ @get_input_queue(2), @get_input_queue(3) }, .out_queue = @get_output_queue(4),
  .task_id = @get_local_task_id(12), .done = finished });
const down = @import_module("<comm/broadcast_pe>", .{ .T = T, .n = n, .role = bcast_role,
  .in_queue = @get_input_queue(6), .out_queue = @get_output_queue(5), .task_id = @get_local_task_id(13), .done = finished });
var v: [n]T;
var v_ptr: [*]T = &v;
fn finished() void { sys.unblock_cmd_stream(); }
fn reduce() void { up.reduce(v_ptr); finished(); }
fn reduce_async() void { up.start(v_ptr); }
fn broadcast() void { down.broadcast(v_ptr); finished(); }
fn broadcast_async() void { down.start(v_ptr); }
comptime {
  @export_symbol(v_ptr, "v");
  @export_symbol(reduce);
  @export_symbol(reduce_async);
  @export_symbol(broadcast);
  @export_symbol(broadcast_async);
}
"""

BARRIER_LAYOUT = """
param W: i16;
param H: i16;
const memcpy = @import_module("<memcpy/get_params>", .{ .width = W, .height = H });
const row = @import_module("<comm/barrier_layout>", .{ .N = W, .colors = [3]color{ @get_color(0), @get_color(1), @get_color(2) } });
const column = @import_module("<comm/barrier_layout>", .{ .N = H, .colors = [3]color{ @get_color(3), @get_color(4), @get_color(5) } });
layout {
  @set_rectangle(W, H);
  for (@range(i16, H)) |y| {
    for (@range(i16, W)) |x| {
      @set_tile_code(x, y, "pe.csl", .{ .memcpy_params = memcpy.get_params(0), .row_role = row.get_params(x), .column_role = column.get_params(y) });
      row.set_routes(x, y, x, true);
      column.set_routes(x, y, y, false);
    }
  }
  @export_name("delay", [*]u16, true);
  @export_name("ticks", [*]u16, true);
  @export_name("run", fn()void);
  @export_name("run_async", fn()void);
}
"""

BARRIER_PE = """
param memcpy_params;
param row_role;
param column_role;
const sys = @import_module("<memcpy/memcpy>", memcpy_params);
const time = @import_module("<time>");
const row = @import_module("<comm/barrier_pe>", .{ .role = row_role,
  .in_queues = [2]input_queue{ @get_input_queue(2), @get_input_queue(3) }, .out_queue = @get_output_queue(2),
  .task_ids = [2]local_task_id{ @get_local_task_id(10), @get_local_task_id(11) }, .done = row_done });
const column = @import_module("<comm/barrier_pe>", .{ .role = column_role,
  .in_queues = [2]input_queue{ @get_input_queue(4), @get_input_queue(5) }, .out_queue = @get_output_queue(3),
  .task_ids = [2]local_task_id{ @get_local_task_id(12), @get_local_task_id(13) }, .done = finished });
var delay: [1]u16;
var delay_ptr: [*]u16 = &delay;
var ticks: [6]u16;
var ticks_ptr: [*]u16 = &ticks;
var before: [3]u16;
var after: [3]u16;
var sum: u16 = 0;

// Work for a while, then wait for everybody.
fn work() void {
  time.enable_tsc();
  for (@range(u16, delay[0])) |i| { sum += i; }
  time.get_timestamp(&before);
}

fn run() void {
  work();
  row.barrier();
  column.barrier();
  finished();
}

fn run_async() void {
  work();
  row.start();
  returned[0] = 1;
}

fn row_done() void {
  @assert(returned[0] == 1);            // `start` has returned first
  column.start();
}

var returned: [1]u16;

fn finished() void {
  time.get_timestamp(&after);
  for (@range(u16, 3)) |i| { ticks[i] = before[i]; ticks[i + 3] = after[i]; }
  sys.unblock_cmd_stream();
}
comptime {
  @export_symbol(delay_ptr, "delay");
  @export_symbol(ticks_ptr, "ticks");
  @export_symbol(run);
  @export_symbol(run_async);
}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("lines")
    for name, layout, pe in (("lines", LAYOUT, PE), ("barrier", BARRIER_LAYOUT, BARRIER_PE)):
        (root / name).mkdir()
        (root / name / "layout.csl").write_text(layout)
        (root / name / "pe.csl").write_text(pe)
    return root


@settings(max_examples=15, deadline=None)
@given(
    W=st.integers(2, 8),
    H=st.integers(2, 8),
    n=st.sampled_from([1, 2, 3, 8, 21]),
    rows=st.booleans(),
    where=st.floats(0, 1),
    single=st.booleans(),
    maximum=st.booleans(),
    late=st.booleans(),
    arch=st.sampled_from(["wse2", "wse3"]),
)
@example(16, 16, 3, True, 0.4, False, False, True, "wse3")
@example(7, 16, 3, False, 1.0, True, True, False, "wse2")
def test_reduce_and_broadcast(folder, W, H, n, rows, where, single, maximum, late, arch):
    N = W if rows else H
    root = round(where * (N - 1))
    params = {"W": W, "H": H, "n": n, "single": single, "maximum": maximum, "rows": rows, "root": root}
    data = np.random.default_rng(W * H + n).integers(-100, 100, (H, W, n)).astype(np.float32 if single else np.float16)
    axis = 1 if rows else 0
    with meshlang.compile(folder / "lines/layout.csl", arch=arch, params=params).start() as fabric:
        for _ in range(2):
            fabric.write("v", data)
            fabric.launch("reduce_async" if late else "reduce")
            want = data.copy()
            index = (slice(None), root) if rows else root
            want[index] = data.max(axis) if maximum else data.sum(axis)  # integers: exact in any order
            assert np.array_equal(fabric.read("v", count=n), want)
            fabric.launch("broadcast_async" if late else "broadcast")
            want = np.broadcast_to(np.expand_dims(want[index], axis), want.shape)
            assert np.array_equal(fabric.read("v", count=n), want)


@pytest.mark.parametrize("arch", ["wse2", "wse3"])
@pytest.mark.parametrize("entry", ["run", "run_async"])
@pytest.mark.parametrize("W, H", [(2, 2), (3, 5), (8, 4), (16, 16)])
def test_barrier(folder, W, H, entry, arch):
    """Whoever is last, nobody goes on before."""
    program = meshlang.compile(folder / "barrier/layout.csl", arch=arch, params={"W": W, "H": H})
    assert len(program.ir.fabric.color) <= 6
    for last in ((0, 0), (W - 1, H - 1), (W // 2, 0)):
        delay = np.ones((H, W, 1), np.uint16)
        delay[last[1], last[0]] = 300
        with program.start() as fabric:
            fabric.write("delay", delay)
            fabric.launch(entry)
            t = fabric.read("ticks", count=6).astype(np.int64)
        before, after = t[..., 0] + (t[..., 1] << 16), t[..., 3] + (t[..., 4] << 16)
        assert before.argmax() == last[1] * W + last[0]
        assert after.min() >= before.max() - 4 * (W + H)  # the PEs' counters start a few cycles apart


def test_stated_cost(folder):
    for root in (0, 3, 6):
        program = meshlang.compile(folder / "lines/layout.csl", params={"W": 7, "H": 2, "n": 4, "root": root}).ir
        assert sorted(program.fabric.color) == [2, 5, 7]
        for tile in program.tiles:
            assert len(tile.inputs) <= 2 and len(tile.outputs) <= 2 and len(tile.tasks) == 2
            assert max(o.address + o.size for o in tile.objects) <= 4 * 2 + 32


@pytest.mark.parametrize(
    "params, message",
    [
        ({"W": 1, "H": 2, "n": 1}, "a line of at least 2 PEs"),
        ({"W": 4, "H": 2, "n": 1, "root": 4}, "one of the places 0 to N - 1"),
    ],
)
def test_mistakes(folder, params, message):
    with pytest.raises(meshlang.MeshlangError) as found:
        meshlang.compile(folder / "lines/layout.csl", params=params)
    assert any(message in d.message for d in found.value.diagnostics)
