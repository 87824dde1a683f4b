"""Small CSL programs on a row of PEs, for the tests of switches, filters, teardown and FIFOs.

Every PE gets the same file with its column as `x`; it exports `out`, an array of u32, and `main`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

import meshlang

LAYOUT = """
const memcpy = @import_module("<memcpy/get_params>", .{{ .width = {width}, .height = 1 }});
const c = @get_color(2);
const d = @get_color(3);
layout {{
  @set_rectangle({width}, 1);
  for (@range(u16, {width})) |x| {{
    @set_tile_code(x, 0, "pe.csl", .{{ .memcpy_params = memcpy.get_params(x), .x = x }});
  }}
{layout}
  @export_name("out", [*]u32, true);
  @export_name("main", fn()void);
}}
"""

PE = """
param memcpy_params;
param x: u16;
const sys = @import_module("<memcpy/memcpy>", memcpy_params);
const control = @import_module("<control>");
const ADV = control.opcode.SWITCH_ADV;
const c = @get_color(2);
const d = @get_color(3);
const iq = @get_input_queue(2);
const oq = @get_output_queue(3);
const iq2 = @get_input_queue(4);
const oq2 = @get_output_queue(5);
var out = @zeros([16]u32);
var out_ptr: [*]u32 = &out;
const data_out = @get_dsd(fabout_dsd, .{ .extent = 1, .fabric_color = c, .output_queue = oq });
const ctrl_out = @get_dsd(fabout_dsd, .{ .extent = 1, .fabric_color = c, .output_queue = oq, .control = true });
fn send(v: u32) void { @mov32(data_out, v); }
fn command(v: u32) void { @mov32(ctrl_out, v); }
fn advance() void { command(control.encode_single_payload(ADV, true, {}, 0)); }
fn receive(comptime n: u16) void {
  @mov32(@get_dsd(mem1d_dsd, .{ .tensor_access = |i|{n} -> out[i] }),
         @get_dsd(fabin_dsd, .{ .extent = n, .fabric_color = c, .input_queue = iq }));
}
%s
comptime {
  @export_symbol(out_ptr, "out");
  @export_symbol(main);
  @initialize_queue(iq, .{ .color = c });
  if (@is_arch("wse3")) { @initialize_queue(oq, .{ .color = c }); }
}
"""


def row(folder: Path, width: int, layout: str, pe: str, arch: str = "wse3") -> meshlang.FabricHandle:
    """The program, loaded; not launched."""
    (folder / "layout.csl").write_text(LAYOUT.format(width=width, layout=layout))
    (folder / "pe.csl").write_text(PE % pe)
    return meshlang.compile(str(folder / "layout.csl"), arch=arch).start()


def run(folder: Path, width: int, layout: str, pe: str, arch: str = "wse3") -> np.ndarray:
    """`out` of every PE after main: [x, 16]."""
    with row(folder, width, layout, pe, arch) as fabric:
        fabric.launch("main")
        return fabric.read("out", count=16)[0]
