"""What commands of the REPL say, to the word: parameters, help, places, lists."""

from __future__ import annotations

import io

import pytest

from meshlang.inspect import registry
from meshlang.inspect.repl import Repl

LAYOUT = """param n: i16 = 3;
param unused: i16 = 1;
const memcpy = @import_module("<memcpy/get_params>", .{ .width = 2, .height = 1 });
layout {
  @set_rectangle(2, 1);
  for (@range(u16, 2)) |x| {
    @set_tile_code(x, 0, "pe.csl", .{ .memcpy_params = memcpy.get_params(x), .n = n });
  }
  @export_name("main", fn() void);
  @export_name("v", i16, true);
}
"""
PE = """\
param memcpy_params; param n: i16;
const sys = @import_module("<memcpy/memcpy>", memcpy_params);
var v: i16 = 0;
fn main() void {
  v = n;
  sys.unblock_cmd_stream();
}
comptime { @export_symbol(main); @export_symbol(v); }
"""


@pytest.fixture
def repl(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "layout.csl").write_text(LAYOUT)
    (tmp_path / "pe.csl").write_text(PE)
    return Repl(io.StringIO())


def said(repl, *lines):
    """The lines that commands print."""
    before = len(repl.out.getvalue())
    repl.script(lines)
    return repl.out.getvalue()[before:].splitlines()


def test_parameters(repl, tmp_path):
    """Those given for the next load, those of the program, none."""
    assert said(repl, "params") == ["no parameters"]
    assert said(repl, "params n=5", "params unused=2") == ["for the next load: n=5", "for the next load: n=5 unused=2"]
    assert said(repl, "params") == ["n = 5", "unused = 2"]
    assert said(repl, "load .")[0].startswith("loaded .: 2 x 1 PEs, ")
    assert said(repl, "load . n=7", "params")[1:] == ["n = 7", "unused = 2"]
    assert said(repl, "launch main", "run", "read v @ 0,0")[-1] == "PE 0,0: [7]"
    assert said(repl, "reload n=8", "params")[-2:] == ["n = 8", "unused = 2"]


def test_breakpoints_are_kept_where_they_make_sense(repl, tmp_path):
    said(repl, "load .", "break pe.csl:5", "break task main")
    (tmp_path / "pe.csl").write_text(PE.replace("  v = n;\n", "").replace("main", "start"))
    (tmp_path / "layout.csl").write_text(LAYOUT.replace("main", "start"))
    out = said(repl, "reload")
    assert out[0].endswith("to launch: start") and out[1] == "break 1: pe.csl:5"
    assert out[2].startswith("dropped break task main: no task or exported function is called 'main'") and len(out) == 3


def test_warnings_of_a_program_are_shown_when_it_is_loaded(repl, tmp_path):
    assert said(repl, "load .")[1:] == []
    (tmp_path / "layout.csl").write_text(LAYOUT.replace(".n = n", ".n = n, .m = n"))
    assert "MS0216" in "\n".join(said(repl, "load .")[1:])


def test_help_names_every_command_once(repl):
    out = said(repl, "help")
    for c in registry.COMMANDS.values():
        assert out.count(f"  {c.name:<10} {c.summary}") == 1
    assert [line[:-1] for line in out if line.endswith(":") and not line.startswith(" ")] == list(registry.GROUPS)
    assert len(out) == len(registry.COMMANDS) + len(registry.GROUPS) + 1
    known = registry.COMMANDS["list"]
    one = said(repl, "help list")
    assert one[0] == "list [PLACE]" and "also: l" in one and one[-2:] == [f"  {e}" for e in known.examples]
    assert not any(line.startswith("also") for line in said(repl, "help params"))


def test_a_place_that_was_named_is_the_one_that_is_meant(repl):
    """One PE; a rectangle of several names none."""
    said(repl, "load .", "launch main")
    assert repl.place is None and "which PE?" in "\n".join(said(repl, "list"))
    said(repl, "list 0:2,0")
    assert repl.place is None
    said(repl, "list 1,0")
    assert repl.place == (1, 0)
    said(repl, "pe 0,0")
    assert repl.place == (0, 0)


def test_the_last_lines(repl):
    """Numbered from the first of the session on; the command itself is the last."""
    assert said(repl, "params", "history") == ["no parameters", "   1  params", "   2  history"]
    assert said(repl, "history 2") == ["   2  history", "   3  history 2"]
    assert said(repl, "history 9") == ["   1  params", "   2  history", "   3  history 2", "   4  history 9"]


def test_info(repl):
    said(repl, "load .")
    out = said(repl, "info")
    assert out[-2:] == ["  export main: fn()void", "  export v: i16"]
    assert "2 x 1 rectangle, 2 PEs with code" in out[0]
