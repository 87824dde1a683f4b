"""<kernels/tally>: sizes, both phases, both ways to import it, against sums in Python."""

from __future__ import annotations

import numpy as np
import pytest

import meshlang
from meshlang.diag import MeshlangError

# the kernel lies below row 0, whose PE in the last column takes the result
LAYOUT = """
param W: u16;
param H: u16;
param goal: u32;
param form: u16;
const memcpy = @import_module("<memcpy/get_params>", .{ .width = W, .height = H + 1 });
const tally = @import_module("<kernels/tally/layout>", .{
  .kernel_height = H, .kernel_width = W, .phase2_tally = goal,
  .colors = [3]color{ @get_color(1), @get_color(2), @get_color(3) }, .output_color = @get_color(9) });
layout {
  @set_rectangle(W, H + 1);
  for (@range(u16, W)) |x| {
    @set_tile_code(x, 0, "sink.csl", .{ .memcpy_params = memcpy.get_params(x), .takes = x == W - 1 });
    for (@range(u16, H)) |y| {
      @set_tile_code(x, y + 1, "pe.csl", .{ .memcpy_params = memcpy.get_params(x), .form = form, .tally_params = tally.get_params(x, y) });
    }
  }
  @export_name("bumps", [*]u32, true);
  @export_name("late", [*]u16, true);
  @export_name("result", [*]u32, true);
  @export_name("main", fn()void);
  @export_name("finish", fn()void);
}
"""
SINK = """
param memcpy_params; param takes: bool;
const sys = @import_module("<memcpy/memcpy>", memcpy_params);
const c = @get_color(9);
var result = @zeros([2]u32);
var result_ptr: [*]u32 = &result;
task take(sum: u32) void { result[0] = sum; result[1] += 1; }
fn main() void { sys.unblock_cmd_stream(); }
fn finish() void { sys.unblock_cmd_stream(); }
comptime {
  if (takes) {
    @set_local_color_config(c, .{ .routes = .{ .rx = .{ SOUTH }, .tx = .{ RAMP } } });
    @initialize_queue(@get_input_queue(2), .{ .color = c });
    @bind_data_task(take, @get_data_task_id(if (@is_arch("wse3")) @get_input_queue(2) else c));
  }
  @export_symbol(result_ptr, "result");
  @export_symbol(main);
  @export_symbol(finish);
}
"""
PE = """
param memcpy_params; param tally_params; param form: u16;
const sys = @import_module("<memcpy/memcpy>", memcpy_params);
const in = [2]u16{ 2, 3 };
const out = if (@is_arch("wse3")) [2]u16{ 4, 5 } else [2]u16{ 2, 3 };
const tally = if (form == 0) @import_module("<kernels/tally/pe>", @concat_structs(tally_params, .{ .input_queues = in, .output_queues = out }))
  else if (form == 1) @import_module("<kernels/tally/pe>", .{ .tally_params = tally_params, .input_queues = in, .output_queues = out })
  else @import_module("<kernels/tally/pe>", .{ .tally_params = tally_params, .input_queues = in, .output_queues = out,
                                              .callback = @get_local_task_id(15), .sent_task_id = @get_local_task_id(16) });
var bumps = @zeros([3]u32);
var bumps_ptr: [*]u32 = &bumps;
var late = @zeros([1]u16);
var late_ptr: [*]u16 = &late;
var result = @zeros([2]u32);
var result_ptr: [*]u32 = &result;
fn main() void {
  tally.bump_tally(bumps[0]);
  if (late[0] == 0) { tally.signal_completion(); }
  tally.bump_tally(bumps[1]);
  sys.unblock_cmd_stream();
}
fn finish() void {
  tally.bump_tally(bumps[2]);
  tally.signal_completion();
  tally.signal_completion();        // once more does no harm
  sys.unblock_cmd_stream();
}
task done() void { result[0] = tally.local_tally; result[1] += 1; }
comptime {
  if (form == 2) { @bind_local_task(done, @get_local_task_id(15)); }
  @export_symbol(bumps_ptr, "bumps");
  @export_symbol(late_ptr, "late");
  @export_symbol(result_ptr, "result");
  @export_symbol(main);
  @export_symbol(finish);
}
"""


def start(folder, arch, **params):
    for name, text in (("layout.csl", LAYOUT), ("sink.csl", SINK), ("pe.csl", PE)):
        (folder / name).write_text(text)
    return meshlang.compile(str(folder / "layout.csl"), arch=arch, params=params).start()


@pytest.mark.parametrize("arch", ["wse2", "wse3"])
@pytest.mark.parametrize(
    "W, H, form", [(1, 1, 0), (1, 1, 2), (2, 1, 1), (1, 3, 0), (3, 2, 2), (4, 5, 0), (9, 6, 1), (6, 9, 2)]
)
def test_two_phases(tmp_path, arch, W, H, form):
    rng = np.random.default_rng(W * 100 + H)
    bumps = rng.integers(0, 1 << 20, (H, W, 3)).astype(np.uint32)
    bumps[rng.random((H, W)) < 0.3] = 0
    bumps[-1, 0, 2] = 70000
    late = (rng.random((H, W, 1)) < 0.5).astype(np.uint16)
    late[-1, 0] = 1
    where = (W - 1, 1 if form == 2 else 0)
    with start(tmp_path, arch, W=W, H=H, form=form, goal=int(bumps.sum())) as fabric:
        fabric.write("bumps", bumps, y=1)
        fabric.write("late", late, y=1)
        fabric.launch("main")
        fabric.run()
        assert fabric.read("result", *where, 1, 1)[0, 0].tolist() == [0, 0]  # neither all done nor enough
        fabric.launch("finish")
        fabric.run()
        assert fabric.read("result", *where, 1, 1)[0, 0].tolist() == [bumps.sum(), 1]


@pytest.mark.parametrize("W, H, form", [(1, 1, 0), (3, 4, 1), (4, 3, 2)])
def test_one_phase(tmp_path, W, H, form):
    """Without a goal the result is 0, and comes when the last PE has signalled, whatever is bumped."""
    for lazy in range(W * H):
        late = np.zeros((H * W, 1), np.uint16)
        late[lazy] = 1
        folder = tmp_path / str(lazy)
        folder.mkdir()
        where = (W - 1, 1 if form == 2 else 0)
        with start(folder, "wse3", W=W, H=H, form=form, goal=0) as fabric:
            fabric.write("bumps", np.full((H, W, 3), 9, np.uint32), y=1)
            fabric.write("late", late.reshape(H, W, 1), y=1)
            fabric.launch("main")
            fabric.run()
            assert fabric.read("result", *where, 1, 1)[0, 0, 1] == 0
            fabric.launch("finish")
            fabric.run()
            assert fabric.read("result", *where, 1, 1)[0, 0].tolist() == [0, 1]


def test_all_must_signal_even_when_the_goal_is_reached(tmp_path):
    late = np.zeros((2, 3, 1), np.uint16)
    late[0, 0] = 1
    with start(tmp_path, "wse2", W=3, H=2, form=1, goal=5) as fabric:
        fabric.write("bumps", np.full((2, 3, 3), 2, np.uint32), y=1)
        fabric.write("late", late, y=1)
        fabric.launch("main")
        fabric.run()
        assert fabric.read("result", 2, 0, 1, 1)[0, 0, 1] == 0
        fabric.launch("finish")
        fabric.run()
        total, times = fabric.read("result", 2, 0, 1, 1)[0, 0].tolist()
        # what the laggard bumps before it signals is there, the rest may be
        assert times == 1 and 24 + 2 <= total <= 36


def test_a_place_outside_the_kernel_is_refused(tmp_path):
    (tmp_path / "layout.csl").write_text(LAYOUT.replace("tally.get_params(x, y)", "tally.get_params(x, y + 1)"))
    (tmp_path / "sink.csl").write_text(SINK)
    (tmp_path / "pe.csl").write_text(PE)
    with pytest.raises(MeshlangError) as e:
        meshlang.compile(str(tmp_path / "layout.csl"), params={"W": 2, "H": 2, "goal": 0, "form": 0})
    assert "the row is outside the kernel" in e.value.diagnostics[0].message
