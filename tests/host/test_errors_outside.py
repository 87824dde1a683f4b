"""Errors where no command of ours prints them: in a script, in a notebook, in somebody's test."""

import subprocess
import sys

import pytest

import meshlang

LAYOUT = """const memcpy = @import_module("<memcpy/get_params>", .{ .width = 1, .height = 1 });
layout {
  @set_rectangle(1, 1);
  @set_tile_code(0, 0, "pe.csl", .{ .memcpy_params = memcpy.get_params(0) });
  @export_name("main", fn()void);
}
"""
PE = """param memcpy_params;
const sys = @import_module("<memcpy/memcpy>", memcpy_params);
fn main() void { }
comptime { @export_symbol(main); }
"""
SCRIPT = """import sys
import meshlang


def work():
    program = meshlang.compile("layout.csl")
    with program.start(echo=False) as fabric:
        fabric.launch("main")


work()
"""


@pytest.fixture
def hanging(tmp_path):
    (tmp_path / "layout.csl").write_text(LAYOUT)
    (tmp_path / "pe.csl").write_text(PE)
    (tmp_path / "script.py").write_text(SCRIPT)
    return tmp_path


def test_the_text_has_place_caret_and_help(tmp_path):
    (tmp_path / "layout.csl").write_text("layout { @set_rectangle(1, 1); @set_tile_code(0, 0, nothing); }\n")
    with pytest.raises(meshlang.MeshlangError) as caught:
        meshlang.compile(tmp_path / "layout.csl")
    text = str(caught.value)
    assert text.startswith("error[MS0201]: 'nothing' is not defined") and "layout.csl:1:" in text and "^^^^^^^" in text
    assert [d.code for d in caught.value.diagnostics] == ["MS0201"]


def test_a_deadlock_is_explained(hanging):
    program = meshlang.compile(hanging / "layout.csl")
    with pytest.raises(meshlang.MeshlangError) as caught, program.start(echo=False) as fabric:
        fabric.launch("main")
    text = str(caught.value)
    assert caught.value.exit_code == 3 and "unblock_cmd_stream" in text and "help:" in text
    assert str(caught.value) == text  # explained once


def test_a_plain_traceback(hanging):
    done = subprocess.run([sys.executable, "script.py"], cwd=hanging, capture_output=True, text=True, check=False)
    lines = done.stderr.splitlines()
    frames = [line for line in lines if line.startswith("  File ")]
    assert ["script.py" in f for f in frames[:2]] == [True, True] and len(frames) == 3  # the last: what was called
    assert any(line.startswith("meshlang.MeshlangError: error[MS08") for line in lines)
    assert "help:" in done.stderr and "unblock_cmd_stream" in done.stderr


def test_a_notebook_shows_the_callers_frames_only(hanging):
    try:
        exec(compile(SCRIPT.replace("layout.csl", str(hanging / "layout.csl")), "cell.py", "exec"), {})
    except meshlang.MeshlangError as error:
        shown = error._render_traceback_()
    places = [line for line in shown if line.startswith("  File ")]
    assert all("cell.py" in p or "test_errors_outside" in p for p in places) and len(places) == 3
    assert any(line.startswith("error[MS08") for line in shown) and any("help:" in line for line in shown)
