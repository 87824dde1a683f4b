"""Why a program hangs: each cause is a small program, with the rule and the words its explanation must have."""

from pathlib import Path

import pytest

from meshlang.host.build import build
from meshlang.inspect.debugger import Debugger
from meshlang.inspect.why import RULES, as_data, explain, explanation_lines

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
task on_next() void { sys.unblock_cmd_stream(); }
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
# name: (rule, words, routes, left (main, more, comptime), right)
CAUSES = {
    "never sent": ("never_sent", "nothing is running any more; it has sent 0 wavelets", A_EAST, (DONE, "", ""), (TAKE, "", IN_A)),
    "receives first": ("circle", "which closes the circle", A_EAST + B_WEST,
                       ("@fmovs(mem, in_b); @fmovs(out_a, mem); " + DONE, "", IN_B), ("@fmovs(mem, in_a); @fmovs(out_b, mem); " + DONE, "", IN_A)),
    "both send first": ("circle", "which closes the circle", A_EAST + B_WEST,
                        ("@fmovs(out_a, mem); @fmovs(mem, in_b); " + DONE, "", IN_B), ("@fmovs(out_b, mem); @fmovs(mem, in_a); " + DONE, "", IN_A)),
    "no route at the sender": ("no_source", "has no route for it", A_EAST.splitlines()[2], (DONE, "", ""), (TAKE, "", IN_A)),
    "no route at the receiver": ("no_ramp", "PE 1,0 has no route for color 3", A_EAST.splitlines()[1], (DONE, "", ""), (TAKE, "", IN_A)),
    "no input queue": ("no_queue", "no input queue takes this color", A_EAST, (SEND, "", ""), (DONE, "", "")),
    "nothing takes": ("no_taker", "no operation takes them", A_EAST, (SEND, "", ""), (DONE, "", IN_A)),
    "data task blocked": ("data_blocked", "its task id is blocked", A_EAST, (SEND, "", ""),
                          (DONE, "task got(x: f32) void { buf[0] += x; }",
                           IN_A + "@bind_data_task(got, @get_data_task_id(a)); @block(@get_data_task_id(a));")),
    "task blocked": ("task_blocked", "local task on_next (id 9) is activated, but is blocked", A_EAST,
                     ("@activate(next);", "", "@block(next);"), (DONE, "", "")),
    "sender's task blocked": ("task_blocked", "the task start is activated, but blocked", A_EAST,
                              (DONE + "@activate(@get_local_task_id(10));", "task start() void { @fmovs(out_a, mem); }",
                               "@bind_local_task(start, @get_local_task_id(10)); @block(@get_local_task_id(10));"), (TAKE, "", IN_A)),
    "stream not unblocked": ("not_activated", "tasks of left.csl that are not active: on_next (id 9)", A_EAST,
                             ("buf[0] = 1.0;", "", ""), (DONE, "", "")),
    "switch elsewhere": ("switch", "switch", """
  @set_color_config(0, 0, a, .{ .routes = .{ .rx = .{RAMP}, .tx = .{EAST} } });
  @set_color_config(1, 0, a, .{ .routes = .{ .rx = .{EAST}, .tx = .{RAMP} }, .switches = .{ .pos1 = .{ .rx = WEST } } });
""", (SEND, "", ""), (TAKE, "", IN_A)),
    "too little": ("extent", "it has sent 60 wavelets in all", A_EAST,
                   ("@fmovs(out_a, @set_dsd_length(mem, 60)); " + DONE, "", ""), (TAKE, "", IN_A)),
    "host sends nothing": ("host", "color 3 comes from the host", "", (DONE, "", ""), (TAKE, "", IN_A)),
    "one wavelet": ("element", "waits for one element on the fabric", A_EAST, (DONE, "", ""),
                    ("@map(take, in_a); " + DONE, "fn take(x: f32) void { buf[0] += x; }", IN_A)),
}


def hang(folder: Path, name: str, arch: str = "wse2") -> Debugger:
    _, _, routes, left, right = CAUSES[name]
    (folder / "layout.csl").write_text(LAYOUT % (", .MEMCPYH2D_1 = a" if name.startswith("host") else "", routes))
    for file, parts in (("left.csl", left), ("right.csl", right)):
        (folder / file).write_text(PE % parts)
    return Debugger(build(str(folder / "layout.csl"), arch=arch))


@pytest.mark.parametrize("name", CAUSES)
def test_cause(name, tmp_path):
    from meshlang import MeshlangError

    rule, words, *_ = CAUSES[name]
    debugger = hang(tmp_path, name)
    debugger.launch("main")
    try:
        debugger.run()
        debugger.run()
    except MeshlangError as error:
        assert error.exit_code == 3, error
    e = explain(debugger.machine)
    text = "\n".join(line for line, _ in explanation_lines(e))
    assert e.hung and rule in e.causes(), text
    assert words in text, text
    assert f"cause: {RULES[rule].title}" in text
    assert as_data(e)["causes"][0]["rule"] == e.causes()[0]


def test_slow_is_not_hung(tmp_path):
    debugger = hang(tmp_path, "too little")
    debugger.launch("main")
    debugger.run(limit=130)
    e = explain(debugger.machine)
    assert not e.hung and e.findings and "not hung" in e.headline


def test_every_command_names_the_cause(capsys, monkeypatch):
    import json

    from meshlang.cli import main

    folder = str(Path(__file__).parent / "programs" / "short_send")
    assert main(["run", folder]) == 3
    err = capsys.readouterr().err
    assert "cause: a receive is longer than what is sent" in err and "make the extents equal" in err
    assert main(["run", folder, "--json"]) == 3
    (diagnostic,) = json.loads(capsys.readouterr().out)["diagnostics"]
    assert "cause: a receive is longer than what is sent" in diagnostic["notes"] and diagnostic["help"].startswith("make the extents")
