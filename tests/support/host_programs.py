"""Small programs for tests of the host side."""

from pathlib import Path

LAYOUT = """
param W: u16 = 3;
param H: u16 = 2;
const memcpy = @import_module("<memcpy/get_params>", .{ .width = W, .height = H, .MEMCPYH2D_1 = @get_color(1),
                                                       .MEMCPYD2H_1 = @get_color(2) });
layout {
  @set_rectangle(W, H);
  for (@range(u16, H)) |y| { for (@range(u16, W)) |x| {
    @set_tile_code(x, y, "pe.csl", .{ .memcpy_params = memcpy.get_params(x) });
  } }
  @export_name("a", [*]f32, true);
  @export_name("b", [*]u16, true);
  @export_name("half", [*]f16, true);
  @export_name("n", i16, true);
  @export_name("limit", u32, false);
  @export_name("swap", fn()void);
  @export_name("scale", fn(f32, i16)void);
  @export_name("echo", fn(u16)void);
  @export_name("forget", fn()void);
  @export_name("spin", fn()void);
}
"""

PE = """
param memcpy_params;
const sys = @import_module("<memcpy/memcpy>", memcpy_params);
const print = @import_module("<simprint>");
const trace = @import_module("<debug>", .{ .key = "steps", .buffer_size = 10 });
const layout_mod = @import_module("<layout>");

var a = [4]f32{ 1.0, 2.0, 3.0, 4.0 };
var other = [4]f32{ 10.0, 20.0, 30.0, 40.0 };
var a_ptr: [*]f32 = &a;
var b: [6]u16;
var b_ptr: [*]u16 = &b;
var half: [2]f16;
var half_ptr: [*]f16 = &half;
var n: i16 = -5;
const limit: u32 = 70000;

var words: [8]u32;
const words_in = @get_dsd(fabin_dsd, .{ .extent = 2, .fabric_color = @get_color(1), .input_queue = @get_input_queue(2) });
const words_out = @get_dsd(fabout_dsd, .{ .extent = 2, .fabric_color = @get_color(2), .output_queue = @get_output_queue(3) });
const words_dsd = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{2} -> words[i] });

fn swap() void {
  a_ptr = &other;
  sys.unblock_cmd_stream();
}

fn scale(by: f32, times: i16) void {
  for (@range(i16, times)) |_| {
    for (@range(i16, 4)) |i| { a[i] = a[i] * by; }
    trace.trace_i16(times);
  }
  trace.trace_string("done");
  if (layout_mod.get_x_coord() == 0) { print.fmt_with_coords("{d} {X} {b} {f}", .{ @as(u16, 7), @as(u16, 255), @as(u16, 5), by }); }
  sys.unblock_cmd_stream();
}

// two words from the host go back to it
const received = @get_local_task_id(8);
const sent = @get_local_task_id(9);
fn echo(times: u16) void {
  n = @as(i16, times);
  @mov32(words_dsd, words_in, .{ .async = true, .activate = received });
}
task on_received() void { @mov32(words_out, words_dsd, .{ .async = true, .activate = sent }); }
task on_sent() void { sys.unblock_cmd_stream(); }

fn forget() void { }

fn spin() void { while (n < 0) { n = -1; } sys.unblock_cmd_stream(); }

comptime {
  @bind_local_task(on_received, received);
  @bind_local_task(on_sent, sent);
  @initialize_queue(@get_input_queue(2), .{ .color = @get_color(1) });
  @export_symbol(a_ptr, "a");
  @export_symbol(b_ptr, "b");
  @export_symbol(half_ptr, "half");
  @export_symbol(n);
  @export_symbol(limit);
  @export_symbol(swap);
  @export_symbol(scale);
  @export_symbol(echo);
  @export_symbol(forget);
  @export_symbol(spin);
}
"""


def write_program(folder: Path) -> Path:
    """The files of the program; returns the layout."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "layout.csl").write_text(LAYOUT)
    (folder / "pe.csl").write_text(PE)
    return folder / "layout.csl"
