"""What hands that know gdb, pdb and IPython type."""

from __future__ import annotations

import io

import pytest

from meshlang.inspect.repl import Repl

LAYOUT = """
const memcpy = @import_module("<memcpy/get_params>", .{ .width = 1, .height = 1 });
layout {
  @set_rectangle(1, 1);
  @set_tile_code(0, 0, "pe.csl", .{ .memcpy_params = memcpy.get_params(0) });
  @export_name("main", fn() void);
  @export_name("n", i16, true);
}
"""
PE = """\
param memcpy_params;
const sys = @import_module("<memcpy/memcpy>", memcpy_params);
var n: i16 = 0;
noinline fn inner(k: i16) void {
  n += k;
}
noinline fn outer(k: i16) void {
  inner(k + 1);
  inner(k + 2);
}
fn small() void { outer(3); }
fn main() void {
  small();
  sys.unblock_cmd_stream();
}
comptime { @export_symbol(main); @export_symbol(n); }
"""


@pytest.fixture(params=[0, 1])
def session(tmp_path, monkeypatch, request):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "layout.csl").write_text(LAYOUT)
    (tmp_path / "pe.csl").write_text(PE)
    repl = Repl(io.StringIO(), options={"optimise": request.param})
    repl.execute("load .")

    def typed(*lines: str) -> str:
        before = len(repl.out.getvalue())
        repl.script(lines)
        return repl.out.getvalue()[before:]

    return typed


def test_a_breakpoint_names_its_pe(tmp_path, monkeypatch):
    """Commands without a place are about the PE that stands there."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "layout.csl").write_text(
        LAYOUT.replace(".width = 1", ".width = 2")
        .replace("@set_rectangle(1, 1);", "@set_rectangle(2, 1);")
        .replace('@set_tile_code(0, 0, "pe.csl", .{ .memcpy_params = memcpy.get_params(0) });',
                 'for (@range(u16, 2)) |x| { @set_tile_code(x, 0, "pe.csl", .{ .memcpy_params = memcpy.get_params(x) }); }')
    )  # fmt: skip
    (tmp_path / "pe.csl").write_text(PE)
    repl = Repl(io.StringIO())
    repl.script(["load .", "launch main", "bt"])
    assert "which PE?" in repl.out.getvalue() and repl.place is None
    repl.script(["b pe.csl:5 @ 1,0", "c", "bt"])
    assert "PE 1,0 reaches pe.csl:5" in repl.out.getvalue() and repl.place == (1, 0)
    assert "#0 inner at pe.csl:5" in repl.out.getvalue()
    repl.script(["pe 0,0", "delete", "c"])
    assert repl.place == (0, 0)  # no breakpoint has moved it


def test_stack(session):
    assert "idle" in session("bt")
    out = session("launch main", "b pe.csl:5", "c", "bt")
    assert out.splitlines()[-4:] == [
        "#0 inner at pe.csl:5: n += k;",
        "#1 outer at pe.csl:8: inner(k + 1);",
        "#2 small at pe.csl:11: fn small() void { outer(3); }",
        "#3 main at pe.csl:13: small();",
    ]
    assert "main is done" in session("continue", "continue")
    session("delete all", "launch main", "run", "run 50")
    assert "PE 0,0: idle" in session("backtrace")


def test_printing(session):
    out = session("launch main", "c", "p n", "p 0,0", "p", "p n + 1 @ 0,0")
    assert "PE 0,0: 9\n" in out and out.count("1 tasks started") == 2 and out.endswith("PE 0,0: 10\n")
    assert session("set n = 4", "p n").endswith("PE 0,0: 4\n")
    assert session("set n 5", "p n").endswith("PE 0,0: 5\n")


def test_display(session):
    out = session("display n", "launch main", "run 5", "c")
    assert "n:\nPE 0,0: 0\n" in out and "n:\nPE 0,0: 9\n" in out
    assert session("display") == "n\n"
    assert "PE 0,0" not in session("display off", "launch main", "delete all", "c")
    assert "MS0104" in session("display )")


def test_history_and_quit(session):
    session("launch main", "c")
    assert session("history 2") == "   2  c\n   3  history 2\n"
    assert session("q", "history") == ""
