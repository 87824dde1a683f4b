"""@bind_rotating_tasks: which wavelets start the alternate."""

import numpy as np
import pytest

import meshlang

LAYOUT = """const memcpy = @import_module("<memcpy/get_params>", .{ .width = 2, .height = 1 });
layout {
  @set_rectangle(2, 1);
  for (@range(u16, 2)) |x| { @set_tile_code(x, 0, "pe.csl", .{ .memcpy_params = memcpy.get_params(x), .x = x }); }
  for (@range(u16, 5, 7, 1)) |c| {
    @set_color_config(0, 0, @get_color(c), .{ .routes = .{ .rx = .{RAMP}, .tx = .{EAST} } });
    @set_color_config(1, 0, @get_color(c), .{ .routes = .{ .rx = .{WEST}, .tx = .{RAMP} } });
  }
  @export_name("got", [*]u32, true);
  @export_name("main", fn()void);
}
"""
PE = """param memcpy_params; param x: u16;
const sys = @import_module("<memcpy/memcpy>", memcpy_params);
var got = @zeros([24]u32);
var got_ptr: [*]u32 = &got;
var n: i16 = 0;
var data = [8]u32{ 1, 2, 3, 4, 5, 6, 7, 8 };
const all = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{8} -> data[i] });
const a = @get_dsd(fabout_dsd, .{ .extent = 8, .fabric_color = @get_color(5), .output_queue = @get_output_queue(2) });
const b = @get_dsd(fabout_dsd, .{ .extent = 8, .fabric_color = @get_color(6), .output_queue = @get_output_queue(3) });
const stop = @get_dsd(fabout_dsd, .{ .extent = 1, .fabric_color = @get_color(5), .output_queue = @get_output_queue(2), .control = true });
comptime {
  @initialize_queue(@get_input_queue(2), .{ .color = @get_color(5) });
  @initialize_queue(@get_input_queue(3), .{ .color = @get_color(6) });
  @initialize_queue(@get_output_queue(2), .{ .color = @get_color(5) });
  @initialize_queue(@get_output_queue(3), .{ .color = @get_color(6) });
  @export_symbol(got_ptr, "got"); @export_symbol(main);
}
fn keep(v: u32) void { got[n] = v; n += 1; }
task first(v: u32) void { keep(v); }
task second(v: u32) void { keep(1000 + v); }
"""


def run(folder, text: str, body: str) -> list[int]:
    """What PE 1 kept, in order, when PE 0 did `body`."""
    (folder / "layout.csl").write_text(LAYOUT)
    (folder / "pe.csl").write_text(
        PE + text + f"fn main() void {{ if (x == 0) {{ {body} }} sys.unblock_cmd_stream(); }}\n"
    )
    program = meshlang.compile(folder / "layout.csl", arch="wse3")
    program.save(folder / "out")
    fabric = meshlang.load(folder / "out").start()
    fabric.launch("main")
    fabric.run()
    got: np.ndarray = fabric.read("got")[0][1]
    return got[: np.count_nonzero(got)].tolist()


def pair(main: str, queue: int, init: int, limit: int) -> str:
    return f"@bind_rotating_tasks({main}, other, @get_data_task_id(@get_input_queue({queue})), .{{ .init = {init}, .limit = {limit} }});"


@pytest.mark.parametrize("table", ["", "@set_control_task_table();"])
@pytest.mark.parametrize(("init", "limit"), [(0, 2), (1, 3), (2, 2), (0, 0), (0, 8)])
def test_every_so_many_wavelets_start_the_alternate(tmp_path, table, init, limit):
    got = run(
        tmp_path,
        f"task other(v: u32) void {{ keep(100 + v); }} comptime {{ {table} {pair('first', 2, init, limit)} }}\n",
        "@mov32(a, all);",
    )
    count, expected = init, []
    for v in range(1, 9):
        expected.append(100 + v if count == limit else v)
        count = 0 if count == limit else count + 1
    assert got == expected


def test_the_alternate_splits_the_wavelet_among_its_own_arguments(tmp_path):
    text = f"task other(low: u16, high: u16) void {{ keep(@as(u32, low) + 500); keep(@as(u32, high)); }} comptime {{ {pair('first', 2, 0, 1)} }}\n"
    assert run(tmp_path, text, "data[1] = (7 << 16) | 2; @mov32(a, @set_dsd_length(all, 3));") == [1, 502, 7, 3]


def test_two_pairs_have_a_counter_each(tmp_path):
    text = f"task other(v: u32) void {{ keep(100 + v); }} comptime {{ {pair('first', 2, 0, 1)} {pair('second', 3, 0, 2)} }}\n"
    got = run(tmp_path, text, "@mov32(a, @set_dsd_length(all, 5)); @mov32(b, all);")
    assert sorted(got) == sorted([1, 102, 3, 104, 5] + [1001, 1002, 103, 1004, 1005, 106, 1007, 1008])


def test_a_control_wavelet_starts_the_alternate_without_counting(tmp_path):
    text = f"task other(v: u16) void {{ keep(100 + @as(u32, v)); }} comptime {{ {pair('first', 2, 0, 2)} }}\n"
    body = "@mov32(a, @set_dsd_length(all, 1)); @mov32(stop, 50); @mov32(a, @set_dsd_length(all, 3));"
    assert run(tmp_path, text, body) == [1, 150, 1, 102, 3]
