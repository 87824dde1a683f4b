"""Receives that a control wavelet ends: the extent is the most there can be, and only what arrives is stored."""

import numpy as np
import pytest

import meshlang
from meshlang.diag import MeshlangError

LAYOUT = """
const memcpy = @import_module("<memcpy/get_params>", .{ .width = 2, .height = 1 });
const c = @get_color(5);
layout {
  @set_rectangle(2, 1);
  for (@range(u16, 2)) |x| {
    @set_tile_code(x, 0, "pe.csl", .{ .memcpy_params = memcpy.get_params(x), .sender = x == 0, .c = c });
  }
  @set_color_config(0, 0, c, .{ .routes = .{ .rx = .{ RAMP }, .tx = .{ EAST } } });
  @set_color_config(1, 0, c, .{ .routes = .{ .rx = .{ WEST }, .tx = .{ RAMP } } });
  @export_name("go", fn(u16)void);
  @export_name("got", [*]u32, true);
}
"""
PE = """
param memcpy_params; param sender: bool; param c: color;
const sys = @import_module("<memcpy/memcpy>", memcpy_params);
const control = @import_module("<control>");
const iq = @get_input_queue(2);
const oq = @get_output_queue(2);
var got: [4]u32;
var got_ptr: [*]u32 = &got;
var behind = @constants([200]u32, 9);
const to = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{4} -> got[i] });
const from = @get_dsd(fabin_dsd, .{ .extent = EXTENT, .fabric_color = c, .input_queue = iq });
const data = @get_dsd(fabout_dsd, .{ .extent = 1, .fabric_color = c, .output_queue = oq });
const end = @get_dsd(fabout_dsd, .{ .extent = 1, .fabric_color = c, .output_queue = oq, .control = true });
const done_id = @get_local_task_id(9);
task done() void { sys.unblock_cmd_stream(); }
fn go(n: u16) void {
  behind[0] = 1;
  if (sender) {
    for (@range(u16, n)) |i| { @mov32(data, @as(u32, i + 1)); }
    @mov32(end, control.encode_single_payload(control.opcode.NOP, false, {}, 0));
    @activate(done_id);
  } else {
    @mov32(to, from, .{ .async = true, .on_control = .{ .activate = done_id } });
  }
}
comptime {
  @bind_local_task(done, done_id);
  @initialize_queue(iq, .{ .color = c });
  if (@is_arch("wse3")) { @initialize_queue(oq, .{ .color = c }); }
  @export_symbol(go); @export_symbol(got_ptr, "got");
}
"""


@pytest.fixture
def start(tmp_path):
    def make(extent: int, arch: str, **options):
        (tmp_path / "layout.csl").write_text(LAYOUT)
        (tmp_path / "pe.csl").write_text(PE.replace("EXTENT", str(extent)))
        return meshlang.compile(str(tmp_path / "layout.csl"), arch=arch).start(**options)

    return make


@pytest.mark.parametrize("arch", ["wse2", "wse3"])
@pytest.mark.parametrize("extent, n", [(4, 0), (4, 3), (100, 0), (100, 1), (100, 4), (3000, 4), (0x7FFF, 4)])
def test_what_arrives_is_stored(start, extent, arch, n):
    with start(extent, arch) as fabric:
        fabric.launch("go", np.uint16(n))
        assert fabric.read("got")[0, 1].tolist() == [*range(1, n + 1), *[0] * (4 - n)]
        assert not fabric.warnings


@pytest.mark.parametrize("arch", ["wse2", "wse3"])
def test_what_comes_past_the_vector_is_reported_or_a_fault(start, arch):
    with start(3000, arch) as fabric, pytest.raises(MeshlangError, match="MS0819"):
        fabric.launch("go", np.uint16(5))  # 3000 words are more than the PE has
    with start(0x7FFF, arch) as fabric, pytest.raises(MeshlangError, match="MS0832"):
        fabric.launch("go", np.uint16(5))
    with start(100, arch) as fabric:  # 100 words are there, in other variables
        fabric.launch("go", np.uint16(5))
        assert fabric.read("got")[0, 1].tolist() == [1, 2, 3, 4]
        found = {w.code: w for w in fabric.warnings}
        assert "MS0853" in found
        assert found["MS0853"].span.text().startswith("@mov32(to, from")
