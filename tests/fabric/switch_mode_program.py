"""Prints a digest of the machine's whole state after programs with switches, teardown and FIFOs (see test_switching)."""

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

with tempfile.TemporaryDirectory() as folder, row(Path(folder), 3, GATHER, PE, sys.argv[1]) as fabric:
    fabric.launch("main")
    st = fabric.session.machine.state
    print(fabric.cycles, fabric.read("out", count=4)[0].tolist(), *(hashlib.sha256(a.tobytes()).hexdigest() for a in (st.W, st.U, st.M8)))
