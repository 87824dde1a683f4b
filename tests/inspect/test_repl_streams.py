"""Streams between host and PEs in the REPL: `send` and `stream`."""

from __future__ import annotations

import io

import numpy as np
import pytest

from meshlang.inspect.repl import Repl

LAYOUT = """
const memcpy = @import_module("<memcpy/get_params>", .{ .width = 2, .height = 1, .MEMCPYH2D_1 = @get_color(1), .MEMCPYD2H_1 = @get_color(2) });
layout {
  @set_rectangle(2, 1);
  for (@range(u16, 2)) |x| { @set_tile_code(x, 0, "pe.csl", .{ .memcpy_params = memcpy.get_params(x) }); }
  @export_name("main", fn()void);
}
"""
PE = """
param memcpy_params;
const sys = @import_module("<memcpy/memcpy>", memcpy_params);
const in = @get_dsd(fabin_dsd, .{ .extent = 3, .fabric_color = @get_color(1), .input_queue = @get_input_queue(2) });
const out = @get_dsd(fabout_dsd, .{ .extent = 3, .fabric_color = @get_color(2), .output_queue = @get_output_queue(3) });
const done = @get_local_task_id(9);
fn main() void { @add16(out, in, 1, .{ .async = true, .activate = done }); }
task finish() void { sys.unblock_cmd_stream(); }
comptime {
  @bind_local_task(finish, done);
  @initialize_queue(@get_input_queue(2), .{ .color = @get_color(1) });
  @export_symbol(main);
}
"""


@pytest.fixture()
def repl(tmp_path):
    (tmp_path / "layout.csl").write_text(LAYOUT)
    (tmp_path / "pe.csl").write_text(PE)
    repl = Repl(io.StringIO())
    assert repl.execute(f"load {tmp_path}")
    return repl


def said(repl: Repl, line: str) -> str:
    repl.out.seek(0)
    repl.out.truncate()
    repl.execute(line)
    return repl.out.getvalue()


def test_streams(repl):
    repl.execute("launch main")
    assert said(repl, "stream 2") == "nothing so far\n"
    repl.execute("send 1 5 6 7 @ 0,0")
    assert "'main' has not finished on 1 PE" in said(repl, "run")  # the other PE gets nothing
    assert said(repl, "stream 2") == "PE 0,0: 3 words: 0x00000006 0x00000007 0x00000008\n"
    assert said(repl, "stream 2 @ 1,0") == "nothing so far\n"
    repl.execute("send 1 5 6 7 @ 1,0")
    repl.execute("run")
    repl.execute("run 10")  # the last word is on its way when main has finished
    assert said(repl, "stream 2") == "2 PEs 0:2,0: 3 words: 0x00000006 0x00000007 0x00000008\n"


def test_mistakes(repl):
    assert "color 1 does not lead to the host" in said(repl, "stream 1")
    assert "no router has a route for color 9" in said(repl, "stream 9")
    assert "stream needs a color" in said(repl, "stream") and "a color should be a whole number" in said(
        repl, "stream x"
    )


STRAY = """
param memcpy_params;
const sys = @import_module("<memcpy/memcpy>", memcpy_params);
var a: [4]f32;
var after: [8]f32;
const long = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{6} -> a[i] });
const short = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{6} -> after[i] });
fn main() void { a[0] = 2.0; @fadds(short, long, 1.0); sys.unblock_cmd_stream(); }
comptime { @export_symbol(main); }
"""


def test_warnings_of_a_run_are_shown_once(tmp_path, capsys):
    """What `meshlang run` warns of, the REPL shows where it happens, in its own output; a replay does not repeat it."""
    (tmp_path / "layout.csl").write_text(LAYOUT)
    (tmp_path / "pe.csl").write_text(STRAY)
    repl = Repl(io.StringIO())
    repl.execute(f"load {tmp_path}")
    assert "MS0852" not in said(repl, "launch main")
    shown = said(repl, "run")
    assert (
        shown.count(
            "warning[MS0852]: the vector reads elements 0 to 5 of a ([4]f32), which has elements 0 to 3: after is there"
        )
        == 1
    )
    assert "pe.csl:8" in shown and shown.index("is done on all PEs") < shown.index("MS0852")
    assert "MS0852" not in said(repl, "back 20") + said(repl, "run") + said(repl, "run")
    assert repl.execute("reload") and repl.execute("launch main") and "MS0852" in said(repl, "run")
    assert capsys.readouterr() == ("", "")


def test_wavelets_left_over_are_shown(repl):
    """At rest with wavelets that nothing takes: the launch is done, and more was sent than it receives."""
    repl.execute("launch main")
    for place in ("0,0", "1,0"):
        repl.execute(f"send 1 5 6 7 8 @ {place}")
    assert "MS0854" not in said(repl, "run")
    assert "warning[MS0854]: when everything had come to rest, 2 PEs" in said(repl, "run")


@pytest.mark.parametrize(
    ("line", "said_"),
    [
        ("send 1 5 @ 0,0", "1 word queued for color 1 on 1 PE"),
        ("send 1 5 1.5", "2 words queued for color 1 on 2 PEs"),
        ("send 1 data.npy @ all", "4 words queued for color 1 on 2 PEs"),
    ],
)
def test_what_send_says(repl, tmp_path, monkeypatch, line, said_):
    monkeypatch.chdir(tmp_path)
    np.save("data.npy", np.arange(4, dtype=np.uint32))
    place = "" if "@" in line else " @ all"
    assert said(repl, line + place) == said_ + "\n"
