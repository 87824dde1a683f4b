"""WSE-2: operations of several colors may use one input queue, one after the other; a queue that still holds the other
color is a fault."""

from __future__ import annotations

import numpy as np
import pytest

import meshlang
from meshlang.diag import MeshlangError

LAYOUT = """
const memcpy = @import_module("<memcpy/get_params>", .{ .width = 2, .height = 1 });
const a = @get_color(1);
const b = @get_color(2);
layout {
  @set_rectangle(2, 1);
  @set_tile_code(0, 0, "left.csl", .{ .memcpy_params = memcpy.get_params(0), .a = a, .b = b });
  @set_tile_code(1, 0, "right.csl", .{ .memcpy_params = memcpy.get_params(1), .a = a, .b = b });
  const out = .{ .routes = .{ .rx = .{RAMP}, .tx = .{EAST} } };
  const in = .{ .routes = .{ .rx = .{WEST}, .tx = .{RAMP} } };
  @set_color_config(0, 0, a, out);
  @set_color_config(0, 0, b, out);
  @set_color_config(1, 0, a, in);
  @set_color_config(1, 0, b, in);
  @export_name("main", fn(u16)void);
  @export_name("got", [*]u32, true);
}
"""
LEFT = """
param memcpy_params; param a: color; param b: color;
const sys = @import_module("<memcpy/memcpy>", memcpy_params);
var got: [6]u32; var got_ptr: [*]u32 = &got;
const out_a = @get_dsd(fabout_dsd, .{ .extent = 1, .fabric_color = a, .output_queue = @get_output_queue(2) });
const out_b = @get_dsd(fabout_dsd, .{ .extent = 1, .fabric_color = b, .output_queue = @get_output_queue(3) });
fn main(n: u16) void {
  for (@range(u16, 3)) |i| { @mov32(out_b, 20 + @as(u32, i)); }     // the color that is received last is sent first
  for (@range(u16, n)) |i| { @mov32(out_a, 10 + @as(u32, i)); }
  sys.unblock_cmd_stream();
}
comptime { @export_symbol(main); @export_symbol(got_ptr, "got"); }
"""
RIGHT = """
param memcpy_params; param a: color; param b: color;
const sys = @import_module("<memcpy/memcpy>", memcpy_params);
var got: [6]u32; var got_ptr: [*]u32 = &got;
const first = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{3} -> got[i] });
const second = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{3} -> got[i + 3] });
const in_a = @get_dsd(fabin_dsd, .{ .extent = 3, .fabric_color = a, .input_queue = @get_input_queue(2) });
const in_b = @get_dsd(fabin_dsd, .{ .extent = 3, .fabric_color = b, .input_queue = @get_input_queue(2) });
var waited: u16 = 0;
fn main(n: u16) void {
  @mov32(first, in_a);
  for (@range(u16, 100)) |i| { waited += i; }     // what is still coming on the first color arrives
  @mov32(second, in_b);
  sys.unblock_cmd_stream();
}
comptime { @export_symbol(main); @export_symbol(got_ptr, "got"); }
"""


@pytest.fixture
def program(tmp_path):
    for name, text in (("layout", LAYOUT), ("left", LEFT), ("right", RIGHT)):
        (tmp_path / f"{name}.csl").write_text(text)
    return meshlang.compile(str(tmp_path / "layout.csl"), arch="wse2")


def test_two_colors_take_turns(program):
    with program.start() as fabric:
        fabric.launch("main", 3)
        np.testing.assert_array_equal(fabric.read("got", count=6)[0, 1], [10, 11, 12, 20, 21, 22])


def test_wavelets_of_the_other_color_are_in_the_way(program):
    with program.start() as fabric, pytest.raises(MeshlangError) as error:
        fabric.launch("main", 5)
    assert error.value.diagnostics[0].code == "MS0833"
