"""<comm/shift_layout> and <comm/shift_pe> against numpy: both axes at once, any size, both rings."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import meshlang
from meshlang import placement

LAYOUT = """
param W: i16;
param H: i16;
param n: u16;
param single: bool = false;
param interleave: bool = true;
const memcpy = @import_module("<memcpy/get_params>", .{ .width = W, .height = H });
const rows = @import_module("<comm/shift_layout>", .{ .N = W, .interleave = interleave,
  .colors = [3]color{ @get_color(4), @get_color(9), @get_color(2) } });
const columns = @import_module("<comm/shift_layout>", .{ .N = H, .interleave = interleave,
  .colors = [3]color{ @get_color(0), @get_color(1), @get_color(3) } });
layout {
  @set_rectangle(W, H);
  for (@range(i16, H)) |y| {
    for (@range(i16, W)) |x| {
      const a = rows.get_params(x);
      const b = columns.get_params(y);
      const r = rows.get_routes(x, true);
      const c = columns.get_routes(y, false);
      @set_tile_code(x, y, "pe.csl", .{ .memcpy_params = memcpy.get_params(0), .row = a, .column = b, .n = n, .single = single });
      @set_color_config(x, y, a.send, r.send);
      @set_color_config(x, y, a.recv, r.recv);
      if (rows.passes(x)) { @set_color_config(x, y, rows.via_color(x), r.via); }
      @set_color_config(x, y, b.send, c.send);
      @set_color_config(x, y, b.recv, c.recv);
      if (columns.passes(y)) { @set_color_config(x, y, columns.via_color(y), c.via); }
    }
  }
  const T = if (single) f32 else f16;
  @export_name("along_row", [*]T, true);
  @export_name("along_column", [*]T, true);
  @export_name("ticks", [*]u16, true);
  @export_name("run", fn(u16, u16)void);
}
"""

PE = """
param memcpy_params;
param row;
param column;
param n: u16;
param single: bool;
const T = if (single) f32 else f16;
const sys = @import_module("<memcpy/memcpy>", memcpy_params);
const time = @import_module("<time>");
const row_done_id = @get_local_task_id(8);
const column_done_id = @get_local_task_id(9);
const row_shift = @import_module("<comm/shift_pe>", .{ .T = T, .n = n, .role = row, .in_queue = @get_input_queue(2),
  .out_queue = @get_output_queue(3), .done = row_done_id });
const column_shift = @import_module("<comm/shift_pe>", .{ .T = T, .n = n, .role = column, .in_queue = @get_input_queue(4),
  .out_queue = @get_output_queue(5), .done = column_done_id });

var buffers: [4 * n]T;
var along_row: [*]T = @ptrcast([*]T, &buffers[0]);
var row_spare: [*]T = @ptrcast([*]T, &buffers[n]);
var along_column: [*]T = @ptrcast([*]T, &buffers[2 * n]);
var column_spare: [*]T = @ptrcast([*]T, &buffers[3 * n]);
var ticks: [9]u16;      // before, after the start, at the end
var ticks_ptr: [*]u16 = &ticks;
var before: [3]u16;
var after: [3]u16;
var rows_left: u16;
var columns_left: u16;

task row_done() void {
  row_shift.finish();
  const old = along_row;
  along_row = row_spare;
  row_spare = old;
  rows_left -= 1;
  if (rows_left > 0) { row_shift.start(along_row, row_spare); } else { end(); }
}

task column_done() void {
  column_shift.finish();
  const old = along_column;
  along_column = column_spare;
  column_spare = old;
  columns_left -= 1;
  if (columns_left > 0) { column_shift.start(along_column, column_spare); } else { end(); }
}

fn end() void {
  if (rows_left > 0 or columns_left > 0) { return; }
  time.get_timestamp(&after);
  for (@range(u16, 3)) |i| { ticks[i + 6] = after[i]; }
  sys.unblock_cmd_stream();
}

// Shift so many times along rows and, at the same time, along columns.
fn run(row_count: u16, column_count: u16) void {
  rows_left = row_count;
  columns_left = column_count;
  time.enable_tsc();
  time.get_timestamp(&before);
  row_shift.start(along_row, row_spare);
  column_shift.start(along_column, column_spare);
  time.get_timestamp(&after);
  for (@range(u16, 3)) |i| { ticks[i] = before[i]; ticks[i + 3] = after[i]; }
}

comptime {
  @bind_local_task(row_done, row_done_id);
  @bind_local_task(column_done, column_done_id);
  @export_symbol(along_row);
  @export_symbol(along_column);
  @export_symbol(ticks_ptr, "ticks");
  @export_symbol(run);
}
"""


@pytest.fixture(scope="module")
def build(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shift")
    (folder / "layout.csl").write_text(LAYOUT)
    (folder / "pe.csl").write_text(PE)

    def compile_(arch="wse2", **params):
        return meshlang.compile(folder / "layout.csl", arch=arch, params=params)

    return compile_


def moved(data: np.ndarray, axis: int, count: int, interleave: bool) -> np.ndarray:
    """Blocks along an axis after `count` shifts."""
    places = np.argsort(placement.ring(data.shape[axis], interleave))
    in_order = np.roll(np.take(data, places, axis), count, axis)
    out = np.empty_like(data)
    out[(slice(None),) * axis + (places,)] = in_order
    return out


def run(program, n, counts, single, interleave):
    rng = np.random.default_rng(1)
    shape = (program.height, program.width, n)
    data = [rng.integers(-2000, 2000, shape).astype(np.float32 if single else np.float16) for _ in range(2)]
    with program.start() as fabric:
        fabric.write("along_row", data[0])
        fabric.write("along_column", data[1])
        fabric.launch("run", *counts)
        out = [fabric.read("along_row", count=n), fabric.read("along_column", count=n)]
        ticks = fabric.read("ticks", count=9).astype(int)
    for axis, (got, start, count) in enumerate(zip(out, data, counts, strict=True)):
        assert np.array_equal(got, moved(start, 1 - axis, count, interleave)), (program, axis)
    # cycles from the start of each PE: until all is done, until `start` returned
    return (ticks[..., 6] - ticks[..., 0]) % 65536, (ticks[..., 3] - ticks[..., 0]) % 65536


@settings(max_examples=12, deadline=None)
@given(
    W=st.integers(2, 9),
    H=st.integers(2, 9),
    n=st.sampled_from([1, 2, 3, 5, 8, 33]),
    counts=st.tuples(st.integers(1, 10), st.integers(1, 10)),
    single=st.booleans(),
    interleave=st.booleans(),
    arch=st.sampled_from(["wse2", "wse3"]),
)
@example(16, 16, 3, (17, 5), False, True, "wse3")
@example(16, 7, 2, (3, 9), True, False, "wse2")
def test_shift(build, W, H, n, counts, single, interleave, arch):
    run(build(arch, W=W, H=H, n=n, single=single, interleave=interleave), n, counts, single, interleave)


@pytest.mark.parametrize("arch", ["wse2", "wse3"])
def test_every_small_size(build, arch):
    for size in range(2, 9):
        run(build(arch, W=size, H=11 - size, n=3, single=False, interleave=True), 3, (size, 1), False, True)


def test_start_returns_at_once(build):
    """Both blocks move while the PE goes on: `start` takes a few cycles, the shift hundreds."""
    cycles, issue = run(build("wse3", W=4, H=4, n=512, single=True, interleave=True), 512, (1, 1), True, True)
    assert issue.max() < 60
    assert cycles.min() > 512


def test_time_does_not_depend_on_the_line(build):
    """A further interleaved shift costs the same on any line; one around a wrap-around ring takes the way back, 2
    cycles a hop."""

    def cycles(size, interleave, count=1):
        program = build("wse3", W=size, H=2, n=4, single=False, interleave=interleave)
        return run(program, 4, (count, 1), False, interleave)[0].max()

    assert abs(cycles(6, True, 5) - cycles(12, True, 5)) <= 8
    assert cycles(100, False) - cycles(60, False) >= 2 * 40
    assert abs(cycles(60, True, 5) - cycles(6, True, 5)) <= 8


def test_stated_cost(build):
    """The header's figures: three colors a line, one input and one output queue, no memory of its own, two hops."""
    n = 16
    program = build("wse2", W=9, H=8, n=n, single=False, interleave=True).ir
    fabric = program.fabric
    assert sorted(fabric.color) == [0, 1, 2, 3, 4, 9]
    for c in (4, 9, 2):
        assert (fabric.color[c] >= 0).sum() <= 9 * 8
    for tile in program.tiles:
        assert len(tile.inputs) == 2 and len(tile.outputs) == 2 and len(tile.tasks) == 2  # two shifts
        buffers = 4 * n * 2
        # pointers, counters, time stamps
        assert max(o.address + o.size for o in tile.objects) - buffers <= 80
    # colors per PE: send, receive, and one to pass on in the inside
    used = sum((fabric.color[c] >= 0).astype(int) for c in (4, 9, 2))
    assert used[:, 1:-1].min() == 3 and used[:, 1:-1].max() == 3 and used[:, [0, -1]].max() == 2
    for size in range(2, 40):
        order = np.argsort(placement.ring(size))
        assert np.abs(np.diff(np.append(order, order[0]))).max() <= 2


@pytest.mark.parametrize(
    "params, message",
    [
        ({"W": 1, "H": 2, "n": 1}, "a line of at least 2 PEs"),
        ({"W": 2, "H": 2, "n": 0}, "1 to 32766 elements"),
    ],
)
def test_mistakes(build, params, message):
    with pytest.raises(meshlang.MeshlangError) as found:
        build("wse2", **params)
    assert any(message in d.message for d in found.value.diagnostics)
