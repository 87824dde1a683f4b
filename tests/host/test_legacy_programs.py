"""Programs in the forms of early SDKs: task colors, @rpc with LAUNCH, streaming colors, <memcpy_multi/...>."""

import numpy as np
import pytest

import meshlang

LAYOUT = """
param LAUNCH_ID: u16 = 8;
param main_color: color;
const LAUNCH: color = @get_color(LAUNCH_ID);
const IN: color = @get_color(2);
const OUT: color = @get_color(3);
const memcpy = @import_module("<LIBRARY/get_params>", .{ .width = 2, .height = 1, .LAUNCH = LAUNCH, .MEMCPYH2D_1 = IN, .MEMCPYD2H_1 = OUT });
layout {
  @set_rectangle(2, 1);
  for (@range(i16, 2)) |x| {
    @set_tile_code(x, 0, "pe.csl", .{ .memcpy_params = memcpy.get_params(x), .main_color = main_color, .in = IN });
  }
  @export_name("total", [*]u32, true);
  @export_name("start", fn(u32)void);
}
"""
PE = """
param memcpy_params: comptime_struct;
param main_color: color;
param in: color;
const sys_mod = @import_module("<LIBRARY/memcpy>", memcpy_params);
const end_color = @get_color(10);
var total = @zeros([1]u32);
var total_ptr: [*]u32 = &total;
var factor: u32 = 0;
const out = @get_dsd(fabout_dsd, .{ .extent = 1, .fabric_color = memcpy_params.MEMCPYD2H_1, .output_queue = @get_output_queue(2) });
fn start(f: u32) void { factor = f; @activate(main_color); }
task main() void { @unblock(in); }
task add(x: u32) void {
  total[0] += factor * x;
  if (x == 0) { @mov32(out, total[0], .{ .async = true, .activate = end_color }); }
}
task end() void { sys_mod.unblock_cmd_stream(); }
comptime {
  @bind_task(main, main_color);
  @bind_task(end, end_color);
  @bind_task(add, in);
  @block(in);
  @export_symbol(total_ptr, "total");
  @export_symbol(start);
  @rpc(@get_data_task_id(sys_mod.LAUNCH));
}
"""


@pytest.mark.parametrize("library", ["memcpy", "memcpy_multi"])
def test_a_program_for_an_early_sdk(tmp_path, library):
    (tmp_path / "layout.csl").write_text(LAYOUT.replace("LIBRARY", library))
    (tmp_path / "pe.csl").write_text(PE.replace("LIBRARY", library))
    program = meshlang.compile(str(tmp_path / "layout.csl"), arch="wse2", colors={"main_color": 9})
    assert {w.code for w in program.ir.warnings} == {"MS0520"}
    data = np.array([[[5, 6, 7, 0], [1, 2, 3, 0]]], np.uint32)
    with program.start() as fabric:
        fabric.stream_in(2, data)
        fabric.launch("start", 10, block=False)
        assert fabric.stream_out(3, 1, w=2).ravel().tolist() == [180, 60]
        fabric.run()
        assert fabric.read("total").ravel().tolist() == [180, 60]


@pytest.mark.parametrize(
    "library, more",
    [
        *((library, more) for library in ("memcpy", "memcpy_multi") for more in ("", ".LAUNCH = launch")),
        ("memcpy_multi", ".LAUNCH = launch, .data_type = f32"),
    ],
)
def test_the_program_adds_parameters_itself(tmp_path, library, more):
    """What get_params gives can be put together with LAUNCH, and with the type of the data."""
    (tmp_path / "layout.csl").write_text(f"""
    const memcpy = @import_module("<{library}/get_params>", .{{ .width = 1, .height = 1, .MEMCPYH2D_1 = @get_color(3) }});
    layout {{
      @set_rectangle(1, 1);
      @set_tile_code(0, 0, "pe.csl", .{{ .memcpy_params = memcpy.get_params(0) }});
      @export_name("y", [*]f32, true);
      @export_name("main", fn()void);
    }}""")
    (tmp_path / "pe.csl").write_text(f"""
    param memcpy_params: comptime_struct;
    const launch = @get_color(8);
    const sys = @import_module("<{library}/memcpy>", @concat_structs(memcpy_params, .{{ {more} }}));
    var y = @zeros([1]f32);
    var y_ptr: [*]f32 = &y;
    fn main() void {{ y[0] += 1.0; sys.unblock_cmd_stream(); }}
    task got(v: f32) void {{ y[0] += v; }}
    comptime {{
      @bind_data_task(got, @get_data_task_id(sys.MEMCPYH2D_1));
      @export_symbol(y_ptr, "y"); @export_symbol(main); @rpc(launch);
    }}""")
    with meshlang.compile(str(tmp_path / "layout.csl")).start() as fabric:
        fabric.stream_in(3, np.array([2], np.float32))
        fabric.launch("main")
        assert fabric.read("y").item() == 3
