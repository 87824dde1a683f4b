"""Prints digests of the machine's whole state after programs with switches, teardown and FIFOs, and with rings, marked
control wavelets, unmasked exceptions and (on WSE-2) a color swap (see test_switching)."""

import hashlib
import sys
import tempfile
from pathlib import Path

from switching import row

GATHER = """
  const gather = .{ .pos1 = .{ .rx = RAMP }, .ring_mode = true, .pop_mode = .{ .pop_on_advance = true } };
  @set_color_config(0, 0, c, .{ .routes = .{ .rx = .{ RAMP }, .tx = .{ EAST } }, .switches = gather });
  @set_color_config(1, 0, c, .{ .routes = .{ .rx = .{ WEST }, .tx = .{ EAST } }, .switches = gather, .teardown = true });
  @set_color_config(2, 0, c, .{ .routes = .{ .rx = .{ WEST }, .tx = .{ RAMP } },
    .filter = .{ .kind = .{ .counter = true }, .count_data = true, .limit1 = 3, .max_counter = 1 } });
"""
PE = """
const tile_config = @import_module("<tile_config>");
const payload = control.encode_payload(2, [2]control.opcode{ ADV, ADV }, [2]bool{ true, true }, true, {});
var buffer: [2]u32;
const fifo = @allocate_fifo(buffer);
const end = @get_local_task_id(20);
task finish() void {
  @mov32(@get_dsd(mem1d_dsd, .{ .tensor_access = |i|{4} -> out[i] }), fifo);
  sys.unblock_cmd_stream();
}
fn main() void {
  if (x == 2) {
    @mov32(fifo, @get_dsd(fabin_dsd, .{ .extent = 2, .fabric_color = c, .input_queue = iq }), .{ .async = true, .activate = finish });
  } else {
    if (x == 1) { tile_config.teardown.exit(c); }
    for (@range(u16, 2)) |i| { send(@as(u32, 10 * x + i + 1)); }
    command(payload);
    sys.unblock_cmd_stream();
  }
}
comptime { @bind_local_task(finish, end); }
"""

SWAP = """
  @set_color_config(0, 0, c, .{ .routes = .{ .rx = .{ RAMP }, .tx = .{ EAST } } });
  @set_color_config(1, 0, c, .{ .routes = .{ .rx = .{ WEST }, .tx = .{ RAMP, EAST } } });
  @set_color_config(2, 0, c, .{ .routes = .{ .rx = .{ WEST }, .tx = .{ RAMP } } });
  @set_color_config(1, 0, d, .{ .routes = .{ .rx = .{ WEST }, .tx = .{ RAMP, EAST }SIDE } });
  @set_color_config(2, 0, d, .{ .routes = .{ .rx = .{ WEST }, .tx = .{ RAMP } } });
"""
RINGS = """
const tile_config = @import_module("<tile_config>");
const to = @get_dsr(dsr_dest, 4);
const from = @get_dsr(dsr_src1, 5);
var ring = [5]u32 { 1, 2, 3, 4, 5 };
var f = [4]f32 { 1.5, 2.0, 0.25, 3.0 };
const f_dsd = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{4} -> f[i] });
const six = @get_dsd(fabout_dsd, .{ .extent = 6, .fabric_color = c, .output_queue = oq });
const in = @get_dsd(fabin_dsd, .{ .extent = 7, .fabric_color = c, .input_queue = iq, .control_transform = true });
const d_in = @get_dsd(fabin_dsd, .{ .extent = 7, .fabric_color = d, .input_queue = iq2 });
const out_dsd = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{7} -> out[i] });
fn main() void {
  tile_config.control_transform.set_mask(0x2a);
  tile_config.exceptions.set_exception_mask(tile_config.exceptions.FP_INVALID);
  @fmacs(f_dsd, f_dsd, f_dsd, f[1] / 3.0);
  if (x == 0) {
    @load_to_dsr_xdsr(from, @get_xdsr(0), @get_dsd(circbuf_dsd, .{ .base_address = &ring, .extent = 3, .wraparound = 4 }), .{ .save_address = true });
    @mov32(@set_dsd_length(six, 3), from);
    @mov32(@set_dsd_length(six, 3), from);
    command(0x001f0009);
  } else {
    @load_to_dsr_xdsr(to, @get_xdsr(0), @get_dsd(circbuf_dsd, .{ .base_address = &ring, .extent = 7 }));
    @mov32(to, in);
    if (@is_arch("wse2")) { @mov32(out_dsd, d_in); }
  }
  for (@range(u16, 5)) |i| { out[8 + i] = ring[i]; }
  sys.unblock_cmd_stream();
}
comptime { if (@is_arch("wse2")) { @initialize_queue(iq2, .{ .color = d }); } }
"""

ARCH = sys.argv[1]
for layout, pe in ((GATHER, PE), (SWAP.replace("SIDE", ", .color_swap_x = true" if ARCH == "wse2" else ""), RINGS)):
    with tempfile.TemporaryDirectory() as folder, row(Path(folder), 3, layout, pe, ARCH) as fabric:
        fabric.launch("main")
        st = fabric.session.machine.state
        print(
            fabric.cycles,
            fabric.read("out", count=13)[0].tolist(),
            *(hashlib.sha256(a.tobytes()).hexdigest() for a in (st.W, st.U, st.M8)),
        )
