"""Diagnostics where people look: unasked in check and run, taken back in the source, as GitHub and SARIF read them."""

from __future__ import annotations

import json

import pytest

from meshlang.cli import main

LAYOUT = """\
const memcpy = @import_module("<memcpy/get_params>", .{ .width = 1, .height = 1 });
const c = @get_color(0);
layout {
  @set_rectangle(1, 1);
  @set_tile_code(0, 0, "pe.csl", .{ .memcpy_params = memcpy.get_params(0), .c = c });
  @set_color_config(0, 0, c, .{ .routes = .{ .rx = .{WEST}, .tx = .{EAST} } });
  @export_name("main", fn() void);
}
"""
PE = """\
param memcpy_params;
param c: color;
const sys = @import_module("<memcpy/memcpy>", memcpy_params);
const in = @get_dsd(fabin_dsd, .{ .extent = 1, .fabric_color = c, .input_queue = @get_input_queue(2) });
var x: [1]f32;
const x_dsd = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{1} -> x[i] });
var receive: bool = false;
task never() void {}
fn main() void {
  if (receive) { @fmovs(x_dsd, in); }
  sys.unblock_cmd_stream();
}
comptime {
  @bind_local_task(never, @get_local_task_id(9));
  @initialize_queue(@get_input_queue(2), .{ .color = c });
  @export_symbol(main);
}
"""


@pytest.fixture()
def program(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "layout.csl").write_text(LAYOUT)

    def run(*args, pe=PE, code=0):
        (tmp_path / "pe.csl").write_text(pe)
        assert main(list(args)) == code
        return capsys.readouterr()

    return run


def test_check_shows_what_breaks(program):
    out, err = program("check", "layout.csl")
    assert "warning[MS1011]" in err and "MS1012" not in err and "1 warning of lint: meshlang lint layout.csl" in err
    assert "layout.csl: no errors, 1 warning\n" in out
    out, err = program("check", "layout.csl", "--no-lint")
    assert err == "" and "no errors\n" in out


def test_run_shows_what_breaks(program):
    err = program("run", "layout.csl")[1]
    assert "warning[MS1011]" in err and "MS1012" not in err


@pytest.mark.parametrize("comment", ["// noqa", "// noqa: MS1012", "// NOQA:MS1011, MS1012"])
def test_a_line_takes_its_warning_back(program, comment):
    assert "MS1012" in program("lint", "layout.csl", code=1)[1]
    lines = PE.splitlines()
    for number in (n for n, line in enumerate(lines) if "never" in line):
        lines[number] += "  " + comment
    assert "MS1012" not in program("lint", "layout.csl", pe="\n".join(lines), code=1)[1]
    other = PE.replace("task never() void {}", "task never() void {}  // noqa: MS1010")
    assert "MS1012" in program("lint", "layout.csl", pe=other, code=1)[1]


def test_what_the_compiler_has_said_is_not_said_twice(program):
    pe = PE.replace("task_id(9)", "task_id(30)")
    out, err = program("lint", "layout.csl", pe=pe, code=1)
    assert "MS0414" in err and "MS1016" not in err


def test_github(program):
    out, err = program("lint", "layout.csl", "--format", "github", code=1)
    lines = out.splitlines()
    assert err == "" and len(lines) == 2 and all(line.startswith("::warning file=pe.csl,line=") for line in lines)
    assert "title=MS1011::" in lines[0] and "%0Ahelp: " in lines[0]
    out, _ = program("check", "layout.csl", "--format", "github", pe="comptime { @assert(y); }\n", code=1)
    line = next(line for line in out.splitlines() if "MS0201" in line)
    assert line.startswith("::error file=pe.csl,line=1,endLine=1,col=20,endColumn=21,title=MS0201::'y' is not defined")


def test_sarif(program):
    out, _ = program("lint", "layout.csl", "--format", "sarif", code=1)
    log = json.loads(out)
    (run,) = log["runs"]
    rules = run["tool"]["driver"]["rules"]
    assert log["version"] == "2.1.0" and [r["id"] for r in rules] == ["MS1011", "MS1012"]
    found = json.loads(program("lint", "layout.csl", "--format", "json", code=1)[0])["diagnostics"]
    assert [r["ruleId"] for r in run["results"]] == [d["code"] for d in found] and len(found) > 1
    for result in run["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"] and result["level"] == "warning"
        assert result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == "pe.csl"
        assert result["locations"][0]["physicalLocation"]["region"]["startLine"] > 1
    empty = json.loads(program("check", "layout.csl", "--format", "sarif", "--no-lint")[0])
    assert empty["runs"][0]["results"] == []
    assert json.loads(program("lint", "layout.csl", "--format", "json", code=1)[0])["exit_code"] == 1
