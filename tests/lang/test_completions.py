"""Operations that end while the task they activate is ready already: each end is a run of the task."""

import numpy as np
import pytest

import meshlang

LAYOUT = """const memcpy = @import_module("<memcpy/get_params>", .{ .width = 1, .height = 1 });
layout {
  @set_rectangle(1, 1);
  @set_tile_code(0, 0, "pe.csl", .{ .memcpy_params = memcpy.get_params(0) });
  @export_name("runs", [*]u32, true);
  @export_name("main", fn(u16)void);
  @export_name("rest", fn()void);
}
"""
# what is sent leaves the rectangle, and ends long before `main` does
PE = """param memcpy_params;
const sys = @import_module("<memcpy/memcpy>", memcpy_params);
const t_id = @get_local_task_id(20);
var runs = @zeros([1]u32); var runs_ptr: [*]u32 = &runs;
var x = @zeros([4]u32);
const x_dsd = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{4} -> x[i] });
fn out(comptime n: u16) fabout_dsd {
  return @get_dsd(fabout_dsd, .{ .extent = 4, .fabric_color = @get_color(n), .output_queue = @get_output_queue(n) });
}
var large = @zeros([1000]u32);
const large_dsd = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{1000} -> large[i] });
fn wait() void { @mov32(large_dsd, 1); }
task t() void { runs[0] += 1; }
fn main(n: u16) void {
  BODY
  wait();
  AFTER
  sys.unblock_cmd_stream();
}
fn rest() void { sys.unblock_cmd_stream(); }
comptime {
  @bind_local_task(t, t_id);
  inline for (@range(u16, 2, 6, 1)) |n| {
    @set_local_color_config(@get_color(n), .{ .routes = .{ .rx = .{ RAMP }, .tx = .{ EAST } } });
    if (@is_arch("wse3")) { @initialize_queue(@get_output_queue(n), .{ .color = @get_color(n) }); }
  }
  @export_symbol(runs_ptr, "runs"); @export_symbol(main); @export_symbol(rest);
}
"""
SENDS = "inline for (@range(u16, 2, 6, 1)) |k| { if (k < n + 2) { @mov32(out(k), x_dsd, .{ .async = true, .activate = t }); } }"


def runs(folder, arch: str, sends: int, body: str = SENDS, after: str = "") -> int:
    (folder / "layout.csl").write_text(LAYOUT)
    (folder / "pe.csl").write_text(PE.replace("BODY", body).replace("AFTER", after))
    with meshlang.compile(folder / "layout.csl", arch=arch).start() as fabric:
        fabric.launch("main", np.uint16(sends))
        fabric.run()
        first = int(fabric.read("runs")[0, 0, 0])
        fabric.launch("rest")  # nothing is left over
        fabric.run()
        assert int(fabric.read("runs")[0, 0, 0]) == first
    return first


@pytest.mark.parametrize("arch", ["wse2", "wse3"])
@pytest.mark.parametrize("sends", [0, 1, 2, 3, 4])
def test_each_end_is_a_run(tmp_path, arch, sends):
    assert runs(tmp_path, arch, sends) == sends


def test_a_ready_task_and_an_end(tmp_path):
    assert runs(tmp_path, "wse3", 1, "@activate(t_id); " + SENDS) == 2


def test_a_blocked_task_runs_once(tmp_path):
    """The idiom of two operations, of which one activates and the other unblocks, has one run."""
    assert runs(tmp_path, "wse3", 4, "@block(t_id); " + SENDS, "@unblock(t_id);") == 1


def test_activate_sets_a_bit(tmp_path):
    assert runs(tmp_path, "wse3", 0, "@activate(t_id); @activate(t_id);", "@activate(t_id);") == 1
