"""Our own programs for rows whose published program is not public: each does what the publication describes.

All are one row of PEs with a launch `main`, and leave time stamps in `words` (u16, three to a stamp).
"""

from __future__ import annotations

import numpy as np
from runs import start

LAYOUT = """
param W: u16;
%(params)s
const memcpy = @import_module("<memcpy/get_params>", .{ .width = W, .height = 1 });
%(head)s
layout {
  @set_rectangle(W, 1);
  for (@range(u16, W)) |x| {
    @set_tile_code(x, 0, "pe.csl", .{ .memcpy_params = memcpy.get_params(x), %(arguments)s });
    %(routes)s
  }
  @export_name("main", fn()void);
  @export_name("words", [*]u16, true);
}
"""

PE = """
param memcpy_params;
const sys = @import_module("<memcpy/memcpy>", memcpy_params);
const time = @import_module("<time>");
var words = @zeros([%(words)s]u16);
var words_ptr: [*]u16 = &words;
comptime { @export_symbol(main); @export_symbol(words_ptr, "words"); }
"""


def layout(params: str = "", head: str = "", arguments: str = "", routes: str = "") -> str:
    return LAYOUT % {"params": params, "head": head, "arguments": arguments, "routes": routes}


def stamps(words: np.ndarray) -> np.ndarray:
    """Groups of three u16, low first, as numbers."""
    w = words.astype(np.int64).reshape(*words.shape[:-1], -1, 3)
    return w[..., 0] + (w[..., 1] << 16) + (w[..., 2] << 32)


# ---------------------------------------------------------------- STREAM

# kernel: (the operation, type). The two sources lie in different banks: the kernels are there to show the full rate.
STREAM = {
    "copy_f16": ("@fmovh(d, a);", "f16"),
    "scale_f16": ("@fmulh(d, a, s);", "f16"),
    "add_f16": ("@faddh(d, a, b);", "f16"),
    "triad_f16": ("@fmach(d, a, b, s);", "f16"),
    "copy_f32": ("@fmovs(d, a);", "f32"),
    "scale_f32": ("@fmuls(d, a, s);", "f32"),
    "triad_f32": ("@fmacs(d, a, b, s);", "f32"),
}

STREAM_PE = (
    PE % {"words": 6}
    + """
param N: u16;
const shift: i16 = if (@is_same_type(%(type)s, f16)) 4 else 2;
var D: [N]%(type)s align(16);
var A: [N]%(type)s align(16);
var B: [N + 4]%(type)s align(16);
const d = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{N} -> D[i] });
const a = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{N} -> A[i] });
const b = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{N} -> B[i + shift] });
const s: %(type)s = 2.0;
var before = @zeros([3]u16);
var after = @zeros([3]u16);
fn main() void {
  time.enable_tsc();
  time.get_timestamp(&before);
  %(op)s
  time.get_timestamp(&after);
  for (@range(u16, 3)) |i| { words[i] = before[i]; words[3 + i] = after[i]; }
  sys.unblock_cmd_stream();
}
"""
)


def stream(kernel: str, sizes: list[int], profile: str) -> dict[int, float]:
    """Cycles of a kernel for vectors of each size, its timer included: a PE for each."""
    op, kind = STREAM[kernel]
    text = ",".join(map(str, sizes))
    files = {
        "layout.csl": layout(head=f"const sizes = [{len(sizes)}]u16{{ {text} }};", arguments=".N = sizes[x]"),
        "pe.csl": STREAM_PE % {"type": kind, "op": op},
    }
    with start(files, profile.partition("-")[0], profile, W=len(sizes)) as fabric:
        fabric.launch("main")
        t = stamps(fabric.read("words", count=6)[0])
    return {n: float(b - a) for n, (a, b) in zip(sizes, t)}


# ---------------------------------------------------------------- relays

CHAIN_HEAD = "const even: color = @get_color(0); const odd: color = @get_color(1);"
CHAIN_ROUTES = """
    const out = if (x % 2 == 0) even else odd;
    const in = if (x % 2 == 0) odd else even;
    if (x + 1 < W) { @set_color_config(x, 0, out, .{ .routes = .{ .rx = .{ RAMP }, .tx = .{ EAST } } }); }
    if (x > 0) { @set_color_config(x, 0, in, .{ .routes = .{ .rx = .{ WEST }, .tx = .{ RAMP } } }); }
"""
CHAIN_ARGUMENTS = """.B = B, .first = x == 0, .last = x == W - 1,
      .in = if (x % 2 == 0) odd else even, .out = if (x % 2 == 0) even else odd"""

CHAIN_PE = (
    PE % {"words": 6}
    + """
param B: u16;
param first: bool;
param last: bool;
param in: color;
param out: color;
var buffer: [B]f32 align(16);
const memory = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{B} -> buffer[i] });
const input = @get_dsd(fabin_dsd, .{ .extent = B, .fabric_color = in, .input_queue = @get_input_queue(2) });
const output = @get_dsd(fabout_dsd, .{ .extent = B, .fabric_color = out, .output_queue = @get_output_queue(2) });
comptime {
  if (@is_arch("wse3")) {
    if (!first) { @initialize_queue(@get_input_queue(2), .{ .color = in }); }
    if (!last) { @initialize_queue(@get_output_queue(2), .{ .color = out }); }
  }
}
var before = @zeros([3]u16);
var after = @zeros([3]u16);
fn end() void {
  time.get_timestamp(&after);
  for (@range(u16, 3)) |i| { words[i] = before[i]; words[3 + i] = after[i]; }
  sys.unblock_cmd_stream();
}
"""
)

# a PE receives the whole message; the task that this starts sends it on
STORE_AND_FORWARD = """
const received = @get_local_task_id(8);
const sent = @get_local_task_id(9);
task on_received() void {
  if (last) { end(); } else { @fmovs(output, memory, .{ .async = true, .activate = sent }); }
}
task on_sent() void { end(); }
comptime { @bind_local_task(on_received, received); @bind_local_task(on_sent, sent); }
fn main() void {
  time.enable_tsc();
  time.get_timestamp(&before);
  if (first) { @fmovs(output, memory, .{ .async = true, .activate = sent }); }
  else { @fmovs(memory, input, .{ .async = true, .activate = received }); }
}
"""

# a PE adds its own vector to what comes, element by element
CHAIN_REDUCE = """
fn main() void {
  time.enable_tsc();
  time.get_timestamp(&before);
  if (first) { @fmovs(output, memory); } else if (last) { @fadds(memory, input, memory); } else { @fadds(output, input, memory); }
  end();
}
"""


def chain(W: int, B: int, code: str, profile: str) -> float:
    """Cycles from the first PE's first time stamp to the last PE's last, by the machine's clock."""
    files = {
        "layout.csl": layout("param B: u16;", CHAIN_HEAD, CHAIN_ARGUMENTS, CHAIN_ROUTES),
        "pe.csl": CHAIN_PE + code,
    }
    with start(files, profile.partition("-")[0], profile, W=W, B=B) as fabric:
        fabric.launch("main")
        t = stamps(fabric.read("words", count=6)[0])
        machine = fabric.session.machine
        # each PE's clock begins when it enables it: as its launch reaches it
        skew = int(machine.profile["fabric.launch_hop"]) * (W - 1)
    return float(t[-1, 1] + skew - t[0, 0])


def store_and_forward(N: int, B: int, profile: str) -> float:
    """N stages: a PE that sends, N - 1 that relay, one that receives."""
    return chain(N + 1, B, STORE_AND_FORWARD, profile)


def chain_reduce(P: int, B: int, profile: str) -> float:
    return chain(P, B, CHAIN_REDUCE, profile)
