"""Why a program hangs: each cause is a small program, with the rule and the words its explanation must have."""

import json
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from wordless import wordless

from meshlang import MeshlangError
from meshlang.fabric.engine import state as s
from meshlang.host.build import build
from meshlang.host.session import Session
from meshlang.inspect.debugger import Debugger
from meshlang.inspect.why import RULES, Explanation, as_data, explain, explanation_lines
from meshlang.ir.program import Program

LAYOUT = """
const a = @get_color(3);
const b = @get_color(4);
const memcpy = @import_module("<memcpy/get_params>", .{ .width = 2, .height = 1%s });
layout {
  @set_rectangle(2, 1);
  @set_tile_code(0, 0, "left.csl", .{ .memcpy_params = memcpy.get_params(0) });
  @set_tile_code(1, 0, "right.csl", .{ .memcpy_params = memcpy.get_params(1) });
  %s
  @export_name("main", fn()void);
}
"""
A_EAST = """
  @set_color_config(0, 0, a, .{ .routes = .{ .rx = .{RAMP}, .tx = .{EAST} } });
  @set_color_config(1, 0, a, .{ .routes = .{ .rx = .{WEST}, .tx = .{RAMP} } });
"""
B_WEST = """
  @set_color_config(1, 0, b, .{ .routes = .{ .rx = .{RAMP}, .tx = .{WEST} } });
  @set_color_config(0, 0, b, .{ .routes = .{ .rx = .{EAST}, .tx = .{RAMP} } });
"""
PE = """
param memcpy_params;
const sys = @import_module("<memcpy/memcpy>", memcpy_params);
const a = @get_color(3);
const b = @get_color(4);
const iq = @get_input_queue(2);
const oq = @get_output_queue(3);
const next = @get_local_task_id(9);
var buf = @zeros([100]f32);
const mem = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{100} -> buf[i] });
const in_a = @get_dsd(fabin_dsd, .{ .extent = 100, .fabric_color = a, .input_queue = iq });
const in_b = @get_dsd(fabin_dsd, .{ .extent = 100, .fabric_color = b, .input_queue = iq });
const out_a = @get_dsd(fabout_dsd, .{ .extent = 100, .fabric_color = a, .output_queue = oq });
const out_b = @get_dsd(fabout_dsd, .{ .extent = 100, .fabric_color = b, .output_queue = oq });
fn main() void { %s }
%s
comptime {
  @bind_local_task(on_next, next);
  %s
  @export_symbol(main);
}
"""
IN_A, IN_B = "@initialize_queue(iq, .{ .color = a });", "@initialize_queue(iq, .{ .color = b });"
SEND = "@fmovs(out_a, mem, .{ .async = true, .activate = next });"
TAKE = "@fmovs(mem, in_a, .{ .async = true, .activate = next });"
DONE = "sys.unblock_cmd_stream();"
FIFO = "var room: [4]f32; const fifo = @allocate_fifo(room);"
ON_NEXT = "task on_next() void { sys.unblock_cmd_stream(); }"


@dataclass(frozen=True)
class Cause:
    """left, right: the code of the two PEs as (main, more, comptime). streams: further parameters of
    <memcpy/get_params>."""

    rule: str
    words: str
    routes: str
    left: tuple[str, str, str]
    right: tuple[str, str, str]
    arch: str = "wse2"
    streams: str = ""


CAUSES = {
    "never sent": Cause(
        "never_sent", "nothing is running any more; it has sent 0 wavelets", A_EAST, (DONE, "", ""), (TAKE, "", IN_A)
    ),
    "receives first": Cause(
        "circle",
        "which closes the circle",
        A_EAST + B_WEST,
        ("@fmovs(mem, in_b); @fmovs(out_a, mem); " + DONE, "", IN_B),
        ("@fmovs(mem, in_a); @fmovs(out_b, mem); " + DONE, "", IN_A),
    ),
    "both send first": Cause(
        "circle",
        "which closes the circle",
        A_EAST + B_WEST,
        ("@fmovs(out_a, mem); @fmovs(mem, in_b); " + DONE, "", IN_B),
        ("@fmovs(out_b, mem); @fmovs(mem, in_a); " + DONE, "", IN_A),
    ),
    "no route at the sender": Cause(
        "no_source", "has no route for it", A_EAST.splitlines()[2], (DONE, "", ""), (TAKE, "", IN_A)
    ),
    "no route at the receiver": Cause(
        "no_ramp", "PE 1,0 has no route for color 3", A_EAST.splitlines()[1], (DONE, "", ""), (TAKE, "", IN_A)
    ),
    "no input queue": Cause("no_queue", "no input queue takes this color", A_EAST, (SEND, "", ""), (DONE, "", "")),
    "nothing takes": Cause("no_taker", "which no operation takes", A_EAST, (SEND, "", ""), (DONE, "", IN_A)),
    "data task blocked": Cause(
        "data_blocked",
        "the task for them is blocked",
        A_EAST,
        (SEND, "", ""),
        (
            DONE,
            "task got(x: f32) void { buf[0] += x; }",
            IN_A + "@bind_data_task(got, @get_data_task_id(a)); @block(@get_data_task_id(a));",
        ),
    ),
    "task blocked": Cause(
        "task_blocked",
        "local task on_next (id 9) is activated, but is blocked",
        A_EAST,
        ("@activate(next);", "", "@block(next);"),
        (DONE, "", ""),
    ),
    "sender's task blocked": Cause(
        "task_blocked",
        "the task start is activated, but blocked",
        A_EAST,
        (
            DONE + "@activate(@get_local_task_id(10));",
            "task start() void { @fmovs(out_a, mem); }",
            "@bind_local_task(start, @get_local_task_id(10)); @block(@get_local_task_id(10));",
        ),
        (TAKE, "", IN_A),
    ),
    "stream not unblocked": Cause(
        "not_activated",
        "unblock_cmd_stream is called in task on_next (id 9), which is not active; nothing in",
        A_EAST,
        ("buf[0] = 1.0;", "", ""),
        (DONE, "", ""),
    ),
    "switch elsewhere": Cause(
        "switch",
        "switch",
        """
  @set_color_config(0, 0, a, .{ .routes = .{ .rx = .{RAMP}, .tx = .{EAST} } });
  @set_color_config(1, 0, a, .{ .routes = .{ .rx = .{EAST}, .tx = .{RAMP} }, .switches = .{ .pos1 = .{ .rx = WEST } } });
""",
        (SEND, "", ""),
        (TAKE, "", IN_A),
    ),
    "too little": Cause(
        "extent",
        "it has sent 60 wavelets in all",
        A_EAST,
        ("@fmovs(out_a, @set_dsd_length(mem, 60)); " + DONE, "", ""),
        (TAKE, "", IN_A),
    ),
    "host sends nothing": Cause(
        "host", "color 3 comes from the host", "", (DONE, "", ""), (TAKE, "", IN_A), streams=", .MEMCPYH2D_1 = a"
    ),
    "never unblocked": Cause(
        "no_unblock",
        "the code there nowhere calls unblock_cmd_stream",
        A_EAST,
        ("buf[0] = 1.0;", "task on_next() void { buf[0] = 2.0; }", ""),
        (DONE, "", ""),
    ),
    "second half elsewhere": Cause(
        "switch",
        "PE 0,0 there sends it to RAMP (its switch is at position 0)",
        """
  @set_color_config(0, 0, a, .{ .routes = .{ .rx = .{RAMP}, .tx = .{RAMP} }, .switches = .{ .pos1 = .{ .tx = EAST } } });
  @set_color_config(1, 0, a, .{ .routes = .{ .rx = .{WEST}, .tx = .{RAMP} } });
""",
        (SEND, "task on_got(x: f32) void {}", IN_A + "@bind_data_task(on_got, @get_data_task_id(a));"),
        (TAKE, "", IN_A),
    ),
    "teardown": Cause(
        "teardown",
        "teardown",
        """
  @set_color_config(0, 0, a, .{ .routes = .{ .rx = .{RAMP}, .tx = .{EAST} } });
  @set_color_config(1, 0, a, .{ .routes = .{ .rx = .{WEST}, .tx = .{RAMP} }, .teardown = true });
""",
        (SEND, "", ""),
        (TAKE, "", IN_A),
    ),
    "filter": Cause(
        "filter",
        "kept",
        """
  @set_color_config(0, 0, a, .{ .routes = .{ .rx = .{RAMP}, .tx = .{EAST} } });
  @set_color_config(1, 0, a, .{ .routes = .{ .rx = .{WEST}, .tx = .{RAMP} },
                                .filter = .{ .kind = .{ .counter = true }, .count_data = true, .limit1 = 9, .max_counter = 4 } });
""",
        (SEND, "", ""),
        (TAKE, "", IN_A),
    ),
    "FIFO full": Cause(
        "fifo",
        "room",
        A_EAST,
        (SEND, "", ""),
        ("@fmovs(fifo, in_a, .{ .async = true, .activate = next });", FIFO, IN_A),
    ),
    "FIFO whose other end waits": Cause(
        "circle",
        "the FIFO over room is filled by microthread 2",
        A_EAST + B_WEST,
        (
            "@fmovs(mem, in_b, .{ .async = true, .activate = next });",
            "task on_next() void { @fmovs(out_a, mem); sys.unblock_cmd_stream(); }",
            IN_B,
        ),
        (
            "@fmovs(fifo, in_a, .{ .async = true }); @fmovs(out_b, fifo, .{ .async = true, .activate = next });",
            FIFO,
            IN_A,
        ),
    ),
    "FIFO empty": Cause(
        "fifo",
        "empty",
        A_EAST,
        ("@fmovs(out_a, fifo, .{ .async = true, .activate = next });", FIFO, ""),
        (TAKE, "", IN_A),
    ),
    "microthread blocked": Cause(
        "thread_blocked",
        "is blocked",
        A_EAST,
        (
            SEND.replace(" .async", " .ut_id = @get_ut_id(4), .async"),
            "",
            "@block(@get_ut_id(4)); @initialize_queue(oq, .{ .color = a });",
        ),
        (TAKE, "", IN_A),
        arch="wse3",
    ),
    "send longer than receive": Cause(
        "send_extent",
        "60",
        A_EAST,
        (SEND, "", ""),
        (
            "@fmovs(mem, in_60, .{ .async = true, .activate = next });",
            "const in_60 = @get_dsd(fabin_dsd, .{ .extent = 60, .fabric_color = a, .input_queue = iq });",
            IN_A,
        ),
    ),
    "a receive too many": Cause(
        "one_more",
        "what it has sent was taken by receives before this one",
        A_EAST,
        (SEND, "", ""),
        (TAKE, "task on_next() void { @fmovs(mem, in_a, .{ .async = true, .activate = next }); }", IN_A),
    ),
    "another color": Cause(
        "wrong_color",
        "color 3 leads there, and the PE has no input queue for it",
        A_EAST + B_WEST.splitlines()[1],
        (SEND, "", ""),
        (TAKE.replace("in_a", "in_b"), "", IN_B),
    ),
    "a wavelet too few for a data task": Cause(
        "too_few",
        "the data task got waits for color 3; PE 1,0 has taken 60 wavelets in all",
        A_EAST,
        ("@fmovs(out_a, @set_dsd_length(mem, 60)); " + DONE, "", ""),
        (
            "",
            "task got(x: f32) void { buf[0] += 1.0; if (buf[0] == 61.0) { sys.unblock_cmd_stream(); } }",
            IN_A + "@bind_data_task(got, @get_data_task_id(a));",
        ),
    ),
    "a data task that counts too far": Cause(
        "too_few",
        "the data task got waits for color 3; PE 1,0 has taken 100 wavelets in all",
        A_EAST,
        ("@fmovs(out_a, mem); " + DONE, "", ""),
        (
            "",
            "task got(x: f32) void { buf[0] += 1.0; if (buf[0] == 101.0) { @activate(third); } }\nconst third = @get_local_task_id(10);\n"
            "task step() void { @activate(next); }\ntask on_next() void { sys.unblock_cmd_stream(); }",
            IN_A + "@bind_data_task(got, @get_data_task_id(a)); @bind_local_task(step, third);",
        ),
    ),
    "a data task without a route": Cause(
        "no_ramp",
        "has the route WEST -> EAST, without RAMP in tx, for it",
        A_EAST.replace(".{WEST}, .tx = .{RAMP}", ".{WEST}, .tx = .{EAST}"),
        (DONE, "", ""),
        (
            "",
            "task on_next() void {} task got(x: f32) void { sys.unblock_cmd_stream(); }",
            IN_A + "@bind_data_task(got, @get_data_task_id(a));",
        ),
    ),
    "a task that took another way": Cause(
        "not_activated",
        "step (id 10) has run, and has not come to that line",
        A_EAST,
        (
            "@activate(third);",
            "const third = @get_local_task_id(10);\ntask step() void { if (buf[0] == 1.0) { @activate(next); } }",
            "@bind_local_task(step, third);",
        ),
        (DONE, "", ""),
    ),
    "a pump beside what waits": Cause(
        "never_sent",
        "PE 0,0, where no operation sends on it; it has sent 0 wavelets in all",
        A_EAST + B_WEST,
        (
            DONE + "@fmovs(fifo, endless, .{ .async = true });",
            FIFO + "const endless = @get_dsd(fabin_dsd, .{ .extent = 0x7fff, .fabric_color = b, .input_queue = iq });",
            IN_B,
        ),
        (TAKE, "", IN_A),
    ),
    "a function that does not come to its end": Cause(
        "no_unblock",
        "main calls unblock_cmd_stream, but this time did not come to that line",
        A_EAST,
        ("if (buf[1] == 1.0) { " + DONE + " }", "task on_next() void {}", ""),
        (DONE, "", ""),
    ),
    "route closed at run time": Cause(
        "broken_route",
        "the router of PE 0,0 receives color 3 from nowhere, not from RAMP",
        A_EAST,
        (
            "routes.clear_io_direction(a, routes.fabric_io.RX_RAMP); " + SEND,
            'const routes = @import_module("<tile_config>").color_config;',
            "",
        ),
        (TAKE, "", IN_A),
    ),
    "route closed at the next PE at run time": Cause(
        "broken_route",
        "PE 0,0 sends color 3 to EAST, but PE 1,0 there receives it from nowhere",
        A_EAST,
        (SEND, "", ""),
        (
            "routes.clear_io_direction(a, routes.fabric_io.RX_WEST); " + DONE,
            'const routes = @import_module("<tile_config>").color_config;',
            IN_A,
        ),
    ),
    "one wavelet": Cause(
        "never_sent",
        "main thread: @map, waits for one wavelet from input queue 2 (color 3)",
        A_EAST,
        (DONE, "", ""),
        ("@map(take, in_a); " + DONE, "fn take(x: f32) void { buf[0] += x; }", IN_A),
    ),
}


def compiled(folder: Path, cause: Cause) -> Program:
    (folder / "layout.csl").write_text(LAYOUT % (cause.streams, cause.routes))
    for file, (main, more, comptime) in (("left.csl", cause.left), ("right.csl", cause.right)):
        (folder / file).write_text(PE % (main, more if "on_next()" in more else f"{ON_NEXT}\n{more}", comptime))
    return build(str(folder / "layout.csl"), arch=cause.arch)


def classified(e: Explanation) -> tuple:
    """All of an explanation that is not words: groups, their rules, and which of them only follow from others."""
    return (
        e.hung,
        [[(f.pes, f.rule, [s.what for s in f.steps]) for f in findings] for findings in (e.findings, e.held)],
        e.causes(),
    )


@pytest.mark.parametrize("name", CAUSES)
def test_cause(name, tmp_path):
    cause = CAUSES[name]
    debugger = Debugger(compiled(tmp_path, cause))
    debugger.launch("main")
    try:
        debugger.run()
        debugger.run()
    except MeshlangError as error:
        assert error.exit_code == 3, error
    e = explain(debugger.machine)
    text = "\n".join(line for line, _ in explanation_lines(e))
    with wordless():
        told = explain(debugger.machine)
        assert classified(told) == classified(e)
        assert {f.text for f in told.findings} == {"x"}  # there really were no words
    assert e.hung and cause.rule in e.causes(), text
    assert cause.words in text, text
    assert f"cause: {RULES[cause.rule].title}" in text
    data = json.loads(json.dumps(as_data(e)))
    assert data["causes"][0]["rule"] == e.causes()[0]
    assert all(g["waits"] is None or g["waits"]["kind"] and g["waits"]["cause"] for g in data["groups"])


@pytest.mark.parametrize(("kept", "said"), [(0, None), (1, "1 wavelet"), (2, "2 wavelets")])
def test_what_a_filter_has_kept(kept, said, tmp_path):
    """Be it a single wavelet: it may be the one that is missing."""
    debugger = Debugger(compiled(tmp_path, CAUSES["filter"]))
    debugger.launch("main")
    with pytest.raises(MeshlangError):
        debugger.run()
    state = debugger.machine.state
    state.extension(state.buffer(state.channels[3][1]))["eaten"] = kept
    text = "\n".join(line for line, _ in explanation_lines(explain(debugger.machine)))
    told = [line for line in text.splitlines() if "the filter of color 3" in line]
    assert bool(told) == bool(kept)
    assert all(f"the filter of color 3 at PE 1,0 has kept {said} from the PE" in line for line in told)
    assert (f"; the filter has kept {said} from the PE" in text) == bool(kept)
    assert ("filter" in explain(debugger.machine).causes()) == bool(kept)


# what stops the machine, or the compiler, at once is no hang: there the message itself must name the rule and what to
# change
FAULTS = {
    "queue not initialised": (
        "MS0821",
        "the fabric operand has no input queue on this PE",
        "initialise the queue for the color: @initialize_queue(queue, .{ .color = c })",
        Cause("", "", A_EAST, (SEND, "", "@initialize_queue(oq, .{ .color = a });"), (TAKE, "", ""), arch="wse3"),
    ),
    "route leaves the rectangle": (
        "MS0812",
        "a wavelet of color 3 leaves PE (0, 0) to the WEST, off the rectangle, and is lost there",
        "take the direction out of tx on the border; with --strict this is an error",
        Cause("", "", A_EAST.replace("RAMP}, .tx = .{EAST", "RAMP}, .tx = .{WEST"), (SEND, "", ""), (TAKE, "", IN_A)),
    ),
    "command stream unblocked twice": (
        "MS0815",
        "the command stream is unblocked, but no command is outstanding on this PE",
        "the second call for one launch, or one without a launch, has no effect; with --strict this is an error",
        Cause("", "", A_EAST, (DONE + DONE, "", ""), (DONE, "", "")),
    ),
    "route arrives at a side that is closed": (
        "MS0813",
        "a wavelet of color 3 arrives at PE (1, 0) from the WEST, a side that is not in its rx",
        "add the side to rx, or take the direction out of tx at PE (0, 0)",
        Cause("", "", A_EAST.replace(".{WEST}", ".{NORTH}"), (SEND, "", ""), (TAKE, "", IN_A)),
    ),
    "route that does not begin at the ramp": (
        "MS0813",
        "a wavelet of color 3 arrives at PE (0, 0) from the RAMP, a side that is not in its rx",
        "add the side to rx, or do not send on color 3 there",
        Cause("", "", A_EAST.replace("RAMP}, .tx = .{EAST", "EAST}, .tx = .{EAST"), (SEND, "", ""), (DONE, "", "")),
    ),
    "no route at the next router": (
        "MS0811",
        "a wavelet of color 3 leaves PE (0, 0) to the EAST, but the router there has no route for that color",
        "configure the color on both routers, or take the direction out of tx",
        Cause("", "", A_EAST.splitlines()[1], (SEND, "", ""), (DONE, "", "")),
    ),
    "no route at the sender's router": (
        "MS0822",
        "a wavelet of color 3 is sent, but the PE's own router has no route for that color",
        "configure the color with @set_color_config",
        Cause("", "", "", (SEND, "", ""), (DONE, "", "")),
    ),
    "ring that its own sender feeds": (
        "MS0814",
        "two wavelets of color 3 arrive at PE (0, 0) in the same cycle from two sides",
        "a color may have several rx sides only if they are never used at the same time",
        Cause(
            "",
            "",
            """
  @set_color_config(0, 0, a, .{ .routes = .{ .rx = .{ RAMP, EAST }, .tx = .{EAST} } });
  @set_color_config(1, 0, a, .{ .routes = .{ .rx = .{WEST}, .tx = .{WEST} } });
""",
            (SEND, "", ""),
            (DONE, "", ""),
        ),
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_fault(name, tmp_path):
    code, message, help_, cause = FAULTS[name]
    with pytest.raises(MeshlangError) as raised:
        debugger = Debugger(compiled(tmp_path, cause))
        debugger.machine.state.W[s.G_STRICT] = 1
        debugger.launch("main")
        debugger.run()
        debugger.run()
    (d,) = raised.value.diagnostics
    assert raised.value.exit_code == 1 and (d.code, d.message) == (code, message)
    assert d.help == help_


def test_a_fault_in_a_library_shows_who_called(tmp_path):
    *_, cause = FAULTS["command stream unblocked twice"]
    debugger = Debugger(compiled(tmp_path, cause))
    debugger.machine.state.W[s.G_STRICT] = 1
    debugger.launch("main")
    with pytest.raises(MeshlangError) as raised:
        debugger.run()
        debugger.run()
    (d,) = raised.value.diagnostics
    assert d.span.file.path.endswith("memcpy.csl")
    assert [(label.text, label.span.file.line(label.span.line_col()[0])) for label in d.labels] == [
        ("called from here", "fn main() void { %s }" % (DONE * 2))
    ]


RING_LAYOUT = """
const memcpy = @import_module("<memcpy/get_params>", .{ .width = 2, .height = 2 });
const lanes = [2]color{ @get_color(3), @get_color(4) };
// clockwise: each PE sends on one color and receives on the other
fn place(x: u16, y: u16, from: direction, to: direction, k: u16) void {
  @set_tile_code(x, y, "pe.csl", .{ .memcpy_params = memcpy.get_params(x), .to_next = lanes[k], .from_last = lanes[1 - k] });
  @set_color_config(x, y, lanes[k], .{ .routes = .{ .rx = .{RAMP}, .tx = .{to} } });
  @set_color_config(x, y, lanes[1 - k], .{ .routes = .{ .rx = .{from}, .tx = .{RAMP} } });
}
layout {
  @set_rectangle(2, 2);
  place(0, 0, SOUTH, EAST, 0);
  place(1, 0, WEST, SOUTH, 1);
  place(1, 1, NORTH, WEST, 0);
  place(0, 1, EAST, NORTH, 1);
  @export_name("main", fn()void);
}
"""
RING_PE = """
param memcpy_params;
param to_next: color;
param from_last: color;
const sys = @import_module("<memcpy/memcpy>", memcpy_params);
var buf = @zeros([100]f32);
const mem = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{100} -> buf[i] });
const in = @get_dsd(fabin_dsd, .{ .extent = 100, .fabric_color = from_last, .input_queue = @get_input_queue(2) });
const out = @get_dsd(fabout_dsd, .{ .extent = 100, .fabric_color = to_next, .output_queue = @get_output_queue(3) });
fn main() void { @fmovs(out, mem); @fmovs(mem, in); sys.unblock_cmd_stream(); }
comptime { @initialize_queue(@get_input_queue(2), .{ .color = from_last }); @export_symbol(main); }
"""


def test_a_ring_of_full_buffers(tmp_path):
    """Four PEs in a ring, each of which sends more than the buffers hold before it receives."""
    (tmp_path / "layout.csl").write_text(RING_LAYOUT)
    (tmp_path / "pe.csl").write_text(RING_PE)
    debugger = Debugger(build(str(tmp_path / "layout.csl")))
    debugger.launch("main")
    with pytest.raises(MeshlangError):
        debugger.run()
    e = explain(debugger.machine)
    with wordless():
        assert classified(explain(debugger.machine)) == classified(e)
    assert e.causes() == ["circle"] and e.findings[0].because[-1] == "which closes the circle"
    records = [g["waits"] for g in as_data(e)["groups"] if g["waits"]["kind"] == "operation"]
    assert sorted((w["cause"], w["color"], w["queue"], w["operation"], w["total"]) for w in records) == [
        ("full_queue", color, 3, "fmovs", 100) for color in (3, 4)
    ]
    assert sum("leads to PE" in line for line in e.findings[0].because) == 4
    assert any("output queue 3" in f.text for f in e.held)


def test_slow_is_not_hung(tmp_path):
    debugger = Debugger(compiled(tmp_path, CAUSES["too little"]))
    debugger.launch("main")
    debugger.run(limit=180)
    e = explain(debugger.machine)
    assert not e.hung and "slow, not hung" in e.headline
    assert [f.text for f in e.findings] == [
        "main thread: fmovs of 60 elements, started by main, under way",
        "microthread 2: fmovs of 100 elements, started by main, under way",
    ]
    assert "color 3, into the router of PE" in e.last


def test_wavelets_that_go_round(tmp_path):
    *_, ring = FAULTS["ring that its own sender feeds"]
    debugger = Debugger(
        compiled(tmp_path, replace(ring, left=("@fmovs(out_a, @set_dsd_length(mem, 1)); " + DONE, "", "")))
    )
    debugger.launch("main")
    debugger.run()
    debugger.run(limit=2000)
    e = explain(debugger.machine)
    assert not e.hung and e.causes() == ["ring"]
    assert e.findings[0].text == "wavelets of color 3 go round, and never come to a ramp"
    assert sorted(e.findings[0].pes) == [(0, 0), (1, 0)]


@pytest.mark.parametrize(
    ("right", "arch", "words"),
    [
        (
            (
                "while (buf[0] == 0.0) {}" + DONE,
                "task got(x: f32) void { buf[0] = x; }",
                IN_A + "@bind_data_task(got, @get_data_task_id(a));",
            ),
            "wse2",
            "data task got (id 3), for which a wavelet has come, cannot run",
        ),
        (
            (
                "while (buf[0] == 0.0) {}" + DONE,
                "task got(x: f32) void { buf[0] = x; }",
                IN_A + "@bind_data_task(got, @get_data_task_id(iq));",
            ),
            "wse3",
            "data task got (id 2), for which a wavelet has come, cannot run",
        ),
        (
            (
                TAKE + "while (buf[0] == 0.0) {}",
                "task on_next() void { buf[0] = 1.0; sys.unblock_cmd_stream(); }",
                IN_A,
            ),
            "wse2",
            "task on_next (id 9) cannot run",
        ),
    ],
)
def test_a_loop_that_keeps_a_task_from_running(right, arch, words, tmp_path):
    debugger = Debugger(
        compiled(
            tmp_path,
            Cause(
                "",
                "",
                A_EAST,
                ("@fmovs(out_a, mem); " + DONE, "", "@initialize_queue(oq, .{ .color = a });"),
                right,
                arch,
            ),
        )
    )
    debugger.launch("main")
    debugger.run(limit=5000)
    assert not explain(debugger.machine).causes()  # a task may well take that long
    debugger.run(limit=10_000)
    e = explain(debugger.machine)
    assert not e.hung and e.causes() == ["busy_wait"]
    with wordless():
        assert classified(explain(debugger.machine)) == classified(e)
    (finding,) = (f for f in e.findings if f.rule)
    assert finding.pes == [(1, 0)] and finding.text.endswith(words)


# the host waits for `wanted` wavelets of color b from PE 0,0: what the left PE does, the rule and the words
HOST_WAITS = {
    "never sent": ("host_out", "got 0", DONE, ""),
    "too few": (
        "host_out",
        "it has sent 60 wavelets in all",
        DONE + "@fmovs(out_b, @set_dsd_length(mem, 60), .{ .async = true });",
        "",
    ),
    "launch not over": ("held_stream", "color 4 leads to the host", "@fmovs(out_b, mem); " + DONE, ""),
    "sender waits": (
        "never_sent",
        "waits for input queue 2 (color 3)",
        "@fmovs(out_b, in_a, .{ .async = true, .activate = next });",
        IN_A,
    ),
}


def test_every_rule_has_a_program():
    """A rule is in the table only if a program here comes to it: "ring" and "busy_wait" have tests of their own, since
    they never rest."""
    tested = {c.rule for c in CAUSES.values()} | {rule for rule, *_ in HOST_WAITS.values()} | {"ring", "busy_wait"}
    assert tested == set(RULES)


@pytest.mark.parametrize("name", HOST_WAITS)
def test_the_host_waits_for_a_stream(name, tmp_path, capsys):
    from meshlang.commands._errors import report_error

    rule, words, main, comptime = HOST_WAITS[name]
    a_west = (
        A_EAST.replace("EAST", "east")
        .replace("WEST", "EAST")
        .replace("(0, 0", "(9, 0")
        .replace("(1, 0", "(0, 0")
        .replace("(9, 0", "(1, 0")
    )
    cause = Cause(
        "", "", a_west.replace("east", "WEST"), (main, "", comptime), (DONE, "", ""), streams=", .MEMCPYD2H_1 = b"
    )
    session = Session(compiled(tmp_path, cause))
    session.launch("main", block=False)
    with pytest.raises(MeshlangError) as raised:
        session.stream_out(4, (0, 0, 1, 1), 100, lambda data: None)
    assert raised.value.exit_code == 3
    assert report_error(raised.value, "json") == 3
    shown = json.loads(capsys.readouterr().out)
    assert shown["why"]["causes"][0]["rule"] == rule and words in json.dumps(shown["why"])


def test_max_cycles_says_who_is_busy(tmp_path, capsys):
    from meshlang.cli import main

    cause = Cause("", "", A_EAST, ("while (true) { buf[1] += 1.0; }", "", ""), (TAKE, "", IN_A))
    compiled(tmp_path, cause)
    command = ["run", str(tmp_path / "layout.csl"), "--max-cycles", "5000"]
    assert main(command) == 1
    err = capsys.readouterr().err
    assert (
        "error[MS0919]" in err
        and "slow, not hung: there is still work to do; main has not finished on 2 of 2 PEs" in err
    )
    assert "PE 0,0: running in main (left.csl:15)" in err
    assert (
        "PE 1,0: microthread 2: fmovs of 100 elements, started by main, waits for input queue 2 (color 3) (right.csl:15)"
        in err
    )
    assert main([*command, "--json"]) == 1
    shown = json.loads(capsys.readouterr().out)
    assert not shown["why"]["hung"] and [g["text"] for g in shown["why"]["groups"]][0] == "running in main"


def test_every_command_names_the_cause(capsys):
    from meshlang.cli import main

    folder = str(Path(__file__).parents[2] / "programs" / "short_send")
    assert main(["run", folder]) == 3
    err = capsys.readouterr().err
    assert "cause: a receive is longer than what is sent" in err and "make the extents equal" in err
    assert main(["run", folder, "--json"]) == 3
    (diagnostic,) = json.loads(capsys.readouterr().out)["diagnostics"]
    assert "cause: a receive is longer than what is sent" in diagnostic["notes"] and diagnostic["help"].startswith(
        "make the extents"
    )
