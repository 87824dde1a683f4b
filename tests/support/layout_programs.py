"""Code files for tests of SdkLayout; each PE sends, receives or passes on 16- or 32-bit words."""

SEND = """
param tx: color;
param n: u16;
param first: u16;
const q = @get_output_queue(2);
var data = @zeros([n]u32);
const from = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{n} -> data[i] });
const to = @get_dsd(fabout_dsd, .{ .extent = n, .fabric_color = tx, .output_queue = q });
const id = @get_local_task_id(28);
task start() void {
  for (@range(u16, n)) |i| { data[i] = @as(u32, first + i); }
  @mov32(to, from, .{ .async = true });
}
comptime { @bind_local_task(start, id); @activate(id); @initialize_queue(q, .{ .color = tx }); }
"""

RECEIVE = """
param rx: color;
param n: u16;
const q = @get_input_queue(2);
export var got = @zeros([n]u32);
const to = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{n} -> got[i] });
const from = @get_dsd(fabin_dsd, .{ .extent = n, .fabric_color = rx, .input_queue = q });
const id = @get_local_task_id(28);
task start() void { @mov32(to, from, .{ .async = true }); }
comptime { @bind_local_task(start, id); @activate(id); @initialize_queue(q, .{ .color = rx }); }
"""

# passes n words on, each plus `add`
PASS = """
param rx: color;
param tx: color;
param n: u16;
param add: u16 = 0;
const iq = @get_input_queue(2);
const oq = @get_output_queue(3);
var held = @zeros([n]u32);
const mem = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{n} -> held[i] });
const from = @get_dsd(fabin_dsd, .{ .extent = n, .fabric_color = rx, .input_queue = iq });
const to = @get_dsd(fabout_dsd, .{ .extent = n, .fabric_color = tx, .output_queue = oq });
const receive = @get_local_task_id(28);
const forward = @get_local_task_id(29);
task start() void { @mov32(mem, from, .{ .async = true, .activate = send }); }
task send() void {
  for (@range(u16, n)) |i| { held[i] += @as(u32, add); }
  @mov32(to, mem, .{ .async = true, .activate = start });
}
comptime {
  @bind_local_task(start, receive);
  @bind_local_task(send, forward);
  @activate(receive);
  @initialize_queue(iq, .{ .color = rx });
  @initialize_queue(oq, .{ .color = tx });
}
"""

FILES = {"send.csl": SEND, "receive.csl": RECEIVE, "pass.csl": PASS}


def write_files(folder, **more):
    """Put the files (and `more`: name without .csl -> text) into a folder."""
    for name, text in {**FILES, **{f"{n}.csl": t for n, t in more.items()}}.items():
        (folder / name).write_text(text)
