"""The model's terms one by one, beside the evidence for each: `python tests/timing/micro.py`.

A term is measured between two time stamps; what a pair of them costs by itself is subtracted, so that the numbers are of the term alone.
"""

from __future__ import annotations

from dataclasses import dataclass

from runs import start

from programs import PE, layout, stamps

TERM = (
    PE % {"words": 6}
    + """
param first: bool;
var p: i16 = 5; var q: i16 = 7; var r: i16 = 3; var f: f32 = 1.5; var g: f32 = 2.5; var w: u32 = 0;
var A = @zeros([40]f32); var H = @zeros([72]f16);
var D: [16]f32 align(16); var X: [16]f32 align(16); var Y: [24]f32 align(16);
const d = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{16} -> D[i] });
const x = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{16} -> X[i] });
const same = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{16} -> Y[i] });
const other = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{16} -> Y[i + 1] });
const one = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{1} -> D[i] });
const dest = @get_dsr(dsr_dest, 1); const left = @get_dsr(dsr_src0, 1); const right = @get_dsr(dsr_src1, 1);
const control = @import_module("<control>");
const out_queue = @get_output_queue(2);
const loop_color = @get_color(4);
const send = @get_dsd(fabout_dsd, .{ .extent = 1, .fabric_color = loop_color, .output_queue = out_queue });
const send_16 = @get_dsd(fabout_dsd, .{ .extent = 16, .fabric_color = loop_color, .output_queue = out_queue });
const later = @get_local_task_id(9);
task done() void {}
fn nothing() void {}
comptime {
  @bind_local_task(done, later);
  if (@is_arch("wse3")) {
    if (first) { @initialize_queue(out_queue, .{ .color = loop_color }); }
    else { @initialize_queue(@get_input_queue(2), .{ .color = loop_color }); }
  }
}
var before = @zeros([3]u16);
var after = @zeros([3]u16);
fn main() void {
  if (first) { measure(); }
  sys.unblock_cmd_stream();
}
fn measure() void {
  time.enable_tsc();
  @load_to_dsr(left, one); %(setup)s
  time.get_timestamp(&before);
  %(term)s
  time.get_timestamp(&after);
  for (@range(u16, 3)) |i| { words[i] = before[i]; words[3 + i] = after[i]; }
}
"""
)


ROUTE = """@set_color_config(x, 0, @get_color(4), .{ .routes = if (x == 0) .{ .rx = .{ RAMP }, .tx = .{ EAST } }
                       else .{ .rx = .{ WEST }, .tx = .{ RAMP } } });"""


@dataclass
class Term:
    what: str
    code: str
    evidence: str
    setup: str = ""
    per: int = 1


TERMS = [
    Term("call of an empty function", "nothing();", "0: inlined"),
    Term(
        "a round of a loop of 10, p += 1",
        "for (@range(i16, 10)) |_| { p += 1; }",
        "unrolled, or a back edge of 9 to 10",
        per=10,
    ),
    Term("p = q * r, i16", "p = q * r;", ""),
    Term("p = q / r, i16", "p = q / r;", ""),
    Term("p = q / 4, i16", "p = q / 4;", "a shift"),
    Term("f = f * g, f32", "f = f * g;", "dependent floats 2 cycles"),
    Term("f = f / g, f32", "f = f / g;", ""),
    Term(
        "encode_payload of constants",
        "w = control.encode_payload(1, [1]control.opcode{ control.opcode.SWITCH_ADV }, [1]bool{ true }, true, @get_control_task_id(30));",
        "0: a constant",
    ),
    Term("@fmacs of 16, sources in one bank", "@fmacs(d, x, same, f);", "2 an element and about 8"),
    Term("@fmacs of 16, sources in two banks", "@fmacs(d, x, other, f);", "1 an element and about 8"),
    Term("@fmovs of 16", "@fmovs(d, x);", "16 / width and 6"),
    Term(
        "@fmacs of 16 on DSRs, two banks",
        "@fmacs(dest, left, right, f);",
        "1 an element and 1 (14 elements 15 cycles)",
        "@load_to_dsr(dest, d); @load_to_dsr(left, x); @load_to_dsr(right, other);",
    ),
    Term("@load_to_dsr", "@load_to_dsr(dest, d);", "1: a DSD operation is 3 DSR loads and the operation"),
    Term("synchronous send of one element", "@fmovs(send, one);", ""),
    Term("synchronous send of one element on DSRs", "@fmovs(dest, left);", "less than 6", "@load_to_dsr(dest, send);"),
    Term(
        "issue of an asynchronous send",
        "@fmovs(send_16, d, .{ .async = true, .activate = later });",
        "about 1, on DSRs",
    ),
    Term(
        "issue of an asynchronous send on DSRs",
        "@fmovs(dest, left, .{ .async = true, .activate = later });",
        "about 1",
        "@load_to_dsr(dest, send_16); @load_to_dsr(left, d);",
    ),
]

# a data task that handles each wavelet with a small helper; how long for `count` of them
ROUND = (
    PE % {"words": 6}
    + """
param first: bool;
param count: u16;
const channel = @get_color(4);
const queue_in = @get_input_queue(2);
const queue_out = @get_output_queue(2);
const id = if (@is_arch("wse3")) @get_data_task_id(queue_in) else @get_data_task_id(channel);
var data = @zeros([count]u32);
var kept = @zeros([count]u32);
var n: u16 = 0;
var before = @zeros([3]u16);
var after = @zeros([3]u16);
const send = @get_dsd(fabout_dsd, .{ .extent = count, .fabric_color = channel, .output_queue = queue_out });
const memory = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{count} -> data[i] });
fn keep(value: u32) void { kept[n] = value; n += 1; }
task arrived(value: u32) void {
  keep(value);
  if (n == count) {
    time.get_timestamp(&after);
    for (@range(u16, 3)) |i| { words[i] = before[i]; words[3 + i] = after[i]; }
    sys.unblock_cmd_stream();
  }
}
fn main() void {
  time.enable_tsc();
  time.get_timestamp(&before);
  if (first) { @mov32(send, memory); sys.unblock_cmd_stream(); }
}
comptime {
  if (!first) { @bind_data_task(arrived, id); }
  if (@is_arch("wse3")) {
    if (first) { @initialize_queue(queue_out, .{ .color = channel }); } else { @initialize_queue(queue_in, .{ .color = channel }); }
  }
}
"""
)


def round_of_a_data_task(arch: str, profile: str) -> float:
    """Cycles from a wavelet's task to the next one's: 20 wavelets less 10 of them."""
    files = {"layout.csl": layout("param count: u16;", "", ".first = x == 0, .count = count", ROUTE), "pe.csl": ROUND}
    cycles = []
    for count in (10, 20):
        with start(files, arch, profile, W=2, count=count) as fabric:
            fabric.launch("main")
            before, after = stamps(fabric.read("words", count=6)[0, 1])
            cycles.append(int(after - before))
    return (cycles[1] - cycles[0]) / 10


def between(code: str, setup: str, arch: str, profile: str) -> int:
    files = {
        "layout.csl": layout(arguments=".first = x == 0", routes=ROUTE),
        "pe.csl": TERM % {"term": code, "setup": setup},
    }
    with start(files, arch, profile, W=2) as fabric:
        fabric.launch("main")
        before, after = stamps(fabric.read("words", count=6)[0, 0])
    return int(after - before)


def measure(profile: str) -> dict[str, tuple[float, str]]:
    """Cycles of each term under a profile, and its evidence."""
    arch = profile.partition("-")[0]
    timer = between("", "", arch, profile)
    out: dict[str, tuple[float, str]] = {"get_timestamp after get_timestamp": (timer, "4 to 6")}
    for term in TERMS:
        out[term.what] = ((between(term.code, term.setup, arch, profile) - timer) / term.per, term.evidence)
    out["a data task's round, one wavelet to the next"] = (
        round_of_a_data_task(arch, profile),
        "31 to 32, of a longer body",
    )
    return out


def table(profiles: tuple[str, ...] = ("wse2", "wse3")) -> str:
    columns = {name: measure(name) for name in profiles}
    lines = ["| term | " + " | ".join(profiles) + " | evidence |", "|---|" + "---:|" * len(profiles) + "---|"]
    for what, (_, evidence) in columns[profiles[0]].items():
        values = " | ".join(f"{columns[name][what][0]:g}" for name in profiles)
        lines.append(f"| {what} | {values} | {evidence} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(table(), end="")
