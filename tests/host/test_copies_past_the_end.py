"""Host copies that run past their array: reported where they do no harm, refused where they would."""

import json
import subprocess
import sys

import numpy as np
import pytest

import meshlang

LAYOUT = """
const memcpy = @import_module("<memcpy/get_params>", .{ .width = 2, .height = 1 });
layout {
  @set_rectangle(2, 1);
  for (@range(u16, 2)) |x| { @set_tile_code(x, 0, "pe.csl", .{ .memcpy_params = memcpy.get_params(x), .n = 3 - x }); }
  @export_name("short", [*]u8, true);
  @export_name("tail", [*]f32, true);
  @export_name("nowhere", [*]f32, true);
}
"""
# short on PE (0, 0) has 3 bytes, an unused one is behind it, and tail comes last: pointers have a block of their own,
# before the arrays
PE = """
param memcpy_params; param n: u16;
const sys = @import_module("<memcpy/memcpy>", memcpy_params);
var short: [n]u8;
var tail: [2]f32;
var nowhere: [*]f32 = @bitcast([*]f32, @as(u16, 0));
var short_ptr: [*]u8 = &short;
var tail_ptr: [*]f32 = &tail;
comptime { @export_symbol(nowhere); @export_symbol(short_ptr, "short"); @export_symbol(tail_ptr, "tail"); }
"""


@pytest.fixture
def fabric(tmp_path):
    (tmp_path / "layout.csl").write_text(LAYOUT)
    (tmp_path / "pe.csl").write_text(PE)
    return meshlang.compile(str(tmp_path / "layout.csl")).start()


def refused(action) -> str:
    with pytest.raises(meshlang.MeshlangError) as e:
        action()
    assert e.value.diagnostics[0].code == "MS0918"
    return e.value.diagnostics[0].message


def test_reading_past_an_array_is_reported_once_and_counted(fabric, capsys):
    fabric.write("short", np.array([[[1, 2, 3]]], np.uint8))
    fabric.write("tail", np.full((1, 1, 2), 1, np.float32))
    for _ in range(3):
        got = fabric.read("short", count=8, w=1)[0, 0].tolist()
    assert got == [1, 2, 3, 0, *np.float32(1).tobytes()]
    warnings = fabric.session.warnings
    assert warnings.total == 3 and warnings.summary() == "3 warnings: MS0870 x 3"
    (record,) = warnings.to_json()
    assert record["code"] == "MS0870" and record["severity"] == "warning" and record["count"] == 3
    text = capsys.readouterr().err
    assert text.count("MS0870") == 1
    assert (
        "from 'short' of PE (0, 0) takes 8 bytes per PE, but short: [3]u8 has 3 from there: 5 bytes lie behind it"
        in text
    )
    assert "test_copies_past_the_end.py:" in text and 'fabric.read("short", count=8' in text


def test_past_the_last_variable_there_are_zeros(fabric):
    fabric.write("tail", np.full((1, 2, 2), 7, np.float32))
    assert fabric.read("tail", count=4).tolist() == [[[7, 7, 0, 0]] * 2]
    assert "PEs (0, 0) to (1, 0)" in fabric.session.warnings.items[0].message
    assert "leaves the PE's memory of 49152 bytes" in refused(lambda: fabric.read("tail", count=20000))


def test_writing_may_reach_unused_bytes_only(fabric):
    fabric.write("tail", np.array([[[1, 2]]], np.float32))
    fabric.write("short", np.array([[[1, 2, 3, 4]]], np.uint8))
    assert fabric.session.warnings.total == 1
    assert fabric.read("short", count=4, w=1)[0, 0].tolist() == [1, 2, 3, 4] and fabric.read("tail", w=1)[
        0, 0
    ].tolist() == [1, 2]
    assert "tail: [2]f32 behind it would be overwritten" in refused(
        lambda: fabric.write("short", np.zeros((1, 1, 5), np.uint8))
    )
    assert "no variable is behind it" in refused(lambda: fabric.write("tail", np.zeros((1, 1, 3), np.float32)))
    assert "no variable is" in refused(lambda: fabric.read("nowhere", count=1))
    assert fabric.read("tail", w=1)[0, 0].tolist() == [1, 2]


def test_the_report_of_a_run(tmp_path):
    (tmp_path / "layout.csl").write_text(LAYOUT)
    (tmp_path / "pe.csl").write_text(PE)
    (tmp_path / "run.py").write_text(
        'import meshlang\nwith meshlang.compile("layout.csl").start() as f:\n    f.read("tail", count=3)\n'
    )
    done = subprocess.run(
        [sys.executable, "-m", "meshlang", "run", str(tmp_path), "--json"], capture_output=True, text=True
    )
    (warning,) = json.loads(done.stdout)["runs"][0]["warnings"]
    assert warning["code"] == "MS0870" and warning["count"] == 1 and "run.py:3" in warning["notes"][0]
    assert "warning[MS0870]" in done.stderr
