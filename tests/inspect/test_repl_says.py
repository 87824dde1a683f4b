"""What commands of the REPL say, to the word: parameters, help, places, lists."""

from __future__ import annotations

import colorsys
import io
import re
import sys
from pathlib import Path

import pytest

from meshlang.inspect import draw, names, registry
from meshlang.inspect.completion import completions
from meshlang.inspect.debugger import Debugger
from meshlang.inspect.repl import Repl
from meshlang.ir.isa import Op, Ty

sys.path.insert(0, str(Path(__file__).parent.parent / "fabric"))
from asm import E, R, Tile, program

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


def test_a_pe_that_is_shown_alone_has_its_counters(repl):
    """After `next`, and where a place is one PE."""
    said(repl, "load .", "launch main")
    counters = r"\d+ cycles busy, \d+ tasks started, \d+ wavelets sent, \d+ received"
    assert [bool(re.search(counters, line)) for line in said(repl, "next 0,0")].count(True) == 1
    assert [bool(re.search(counters, line)) for line in said(repl, "pe 0,0")].count(True) == 1


def assembled(repl, program):
    """The REPL with a program that is put together by hand."""
    repl.debugger = Debugger(program)
    return repl


@pytest.mark.parametrize(("broken", "more"), [(8, None), (9, "1 more broken link"), (11, "3 more broken links")])
def test_links_that_end_nowhere(repl, broken, more):
    """Eight of them are shown."""
    tile = Tile()
    tile.function("main", export=True)
    tile.done()
    tile.ret()
    routes = {3: {(2 * x, 0): (R, E) for x in range(broken)}}  # to a neighbour that does not take it
    out = said(assembled(repl, program([[0] * (2 * broken)], [tile], routes)), "color 3")
    assert sum(line.startswith("broken: ") for line in out) == 8
    assert [line for line in out if line.startswith("and ")] == ([f"and {more}"] if more else [])


def test_why_after_a_fault(repl):
    """It says that nothing waits, and then the fault."""
    tile = Tile()
    tile.function("main", export=True)
    tile.emit(Op.DIV, 1, 2, 3, Ty.I32)
    tile.done()
    tile.ret()
    assembled(repl, program([[0]], [tile]))
    said(repl, "launch main", "run")
    out = said(repl, "why")
    assert out[0] == (
        f"cycle {repl.debugger.cycle}: a fault has stopped the fabric, so nothing waits: it says itself what to change"
    )
    assert out[1].startswith("error[MS0804]: ")


@pytest.mark.parametrize("seen", [63, 64])
def test_variables_of_the_first_tile_programs_complete(repl, seen):
    """Of a program with many tile programs, those of the first 64."""
    common, other = Tile(), Tile("other.csl")
    for tile, name in ((common, "common"), (other, "other")):
        tile.var(name, 1)
        tile.function("main", export=True)
        tile.done()
        tile.ret()
    assembled(repl, program([[0, 1]], [common, other]))
    tiles = repl.debugger.program.tiles
    repl.debugger.program.tiles = [tiles[0]] * seen + [tiles[1]]
    found = {text for text, _, _ in completions(repl, "print ")}
    assert "common" in found and ("other" in found) == (seen < 64)


def test_heat_goes_from_blue_to_red():
    """Pure colours of a terminal's cube, each redder or brighter than the one before."""
    keys = []
    for number in draw._RAMP:
        assert 16 <= number < 232
        rgb = [(number - 16) // k % 6 for k in (36, 6, 1)]
        assert min(rgb) == 0, f"{number} is pale"
        hue, _, bright = colorsys.rgb_to_hsv(*rgb)
        keys.append((-hue, bright))
    assert keys == sorted(set(keys)) and keys[0][0] == -2 / 3 and keys[-1] == (0, 5)


def test_so_many_of_a_noun():
    assert [names.counted(n, "hop") for n in (0, 1, 2, 1234)] == ["0 hops", "1 hop", "2 hops", "1,234 hops"]
    assert names.counted(1234.4) == "1,234"
