"""Streams between host and PEs in the REPL: `send` and `stream`."""

from __future__ import annotations

import io

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
    assert "'main' has not finished on 1 PE" in said(repl, "run")         # the other PE gets nothing
    assert said(repl, "stream 2") == "PE 0,0: 3 words: 0x00000006 0x00000007 0x00000008\n"
    assert said(repl, "stream 2 @ 1,0") == "nothing so far\n"
    repl.execute("send 1 5 6 7 @ 1,0")
    repl.execute("run")
    assert said(repl, "stream 2") == "2 PEs 0:2,0: 3 words: 0x00000006 0x00000007 0x00000008\n"


def test_mistakes(repl):
    assert "color 1 does not lead to the host" in said(repl, "stream 1")
    assert "no router has a route for color 9" in said(repl, "stream 9")
    assert "a color should be a whole number" in said(repl, "stream")
