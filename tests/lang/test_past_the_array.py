"""Vectors that leave their array: they run with the memory that is there, and are reported; strict runs stop."""

import json

import numpy as np
import pytest

import meshlang
from meshlang.cli import main
from meshlang.diag import MeshlangError

LAYOUT = """const memcpy = @import_module("<memcpy/get_params>", .{ .width = 2, .height = 1 });
layout {
  @set_rectangle(2, 1);
  for (@range(u16, 2)) |x| { @set_tile_code(x, 0, "pe.csl", .{ .memcpy_params = memcpy.get_params(x), .n = x }); }
  @export_name("out", [*]i16, true);
  @export_name("main", fn()void);
}
"""
# `small` is used first and `behind` next, so they are neighbours; the pointers are somewhere else
PE = """param memcpy_params; param n: u16;
const sys = @import_module("<memcpy/memcpy>", memcpy_params);
var small = [4]i16{1, 2, 3, 4};
var behind = [4]i16{5, 6, 7, 8};
var out: [8]i16;
var out_ptr: [*]i16 = &out;
const small_dsd = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{6} -> small[i] });
const four_dsd = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{4} -> small[i] });
const behind_dsd = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{4} -> behind[i] });
const out_dsd = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{6} -> out[i] });
fn plus(x: i16) i16 { return x + 1; }
fn main() void {
  @add16(four_dsd, four_dsd, 0);
  @add16(behind_dsd, behind_dsd, 0);
  BODY
  sys.unblock_cmd_stream();
}
comptime { @export_symbol(out_ptr, "out"); @export_symbol(main); }
"""
READ = "@mov16(out_dsd, small_dsd);"
WRITE = "for (@range(i16, 2)) |_| { @add16(small_dsd, small_dsd, 10); }\n  @mov16(out_dsd, small_dsd);"
MAP = "@map(plus, small_dsd, out_dsd);"
FAR = "@mov16(@set_dsd_length(small_dsd, 4000), 0);"


def start(folder, body, **options):
    (folder / "layout.csl").write_text(LAYOUT)
    (folder / "pe.csl").write_text(PE.replace("BODY", body))
    return meshlang.compile(folder / "layout.csl").start(**options)


def test_a_read_past_the_array(tmp_path):
    with start(tmp_path, READ) as fabric:
        fabric.launch("main")
        assert fabric.read("out")[0].tolist() == 2 * [[1, 2, 3, 4, 5, 6, 0, 0]]
        (warning,) = fabric.warnings
    assert (warning.code, warning.severity) == ("MS0852", "warning")
    assert "reads elements 0 to 5 of small ([4]i16)" in warning.message and "behind is there" in warning.message
    assert warning.span.text().startswith("@mov16")
    assert any("PE (0, 0)" in n for n in warning.notes) and any("2 PEs" in n for n in warning.notes)


def test_a_write_past_the_array_is_one_warning(tmp_path):
    """Both PEs have tile programs of their own, and each writes twice: one line, one array, one warning."""
    with start(tmp_path, WRITE) as fabric:
        fabric.launch("main")
        assert fabric.read("out")[0].tolist() == 2 * [[21, 22, 23, 24, 25, 26, 0, 0]]
        found = fabric.warnings
    assert [w.code for w in found] == ["MS0853", "MS0852"]
    assert "4 times on 2 PEs" in found[0].notes and "behind is there, and may be overwritten" in found[0].message


def test_elements_of_map(tmp_path):
    with start(tmp_path, MAP) as fabric:
        fabric.launch("main")
        assert fabric.read("out")[0, 0].tolist() == [2, 3, 4, 5, 6, 7, 0, 0]
        assert [w.code for w in fabric.warnings] == ["MS0852"]


@pytest.mark.parametrize("body", [READ, WRITE, MAP])
def test_strict_runs_stop(tmp_path, body):
    with start(tmp_path, body, strict=True) as fabric, pytest.raises(MeshlangError) as caught:
        fabric.launch("main")
    assert caught.value.diagnostics[0].code == "MS0819" and "small ([4]i16" in caught.value.diagnostics[0].message


def test_out_of_the_memory_is_a_fault(tmp_path):
    with start(tmp_path, FAR) as fabric, pytest.raises(MeshlangError, match="MS0819.*all variables of the program"):
        fabric.launch("main")


def test_snapshots_keep_the_notes(tmp_path):
    from meshlang.fabric.snapshot import put, take

    with start(tmp_path, READ) as fabric:
        machine = fabric.session.machine
        shot = take(machine)
        fabric.launch("main")
        assert len(fabric.warnings) == 1
        put(machine, shot)
        assert fabric.warnings == []


def test_the_command_shows_them_at_its_end(tmp_path, capsys):
    start(tmp_path, READ)
    assert main(["run", str(tmp_path / "layout.csl"), "--launch", "main"]) == 0
    assert "warning[MS0852]" in capsys.readouterr().err
    assert main(["run", str(tmp_path / "layout.csl"), "--launch", "main", "--json"]) == 0
    shown = capsys.readouterr().out
    assert [w["code"] for w in json.loads(shown)["runs"][0]["warnings"]] == ["MS0852"]
    assert main(["run", str(tmp_path / "layout.csl"), "--launch", "main", "--strict"]) == 1
    assert "error[MS0819]" in capsys.readouterr().err


def test_pointers_are_apart_from_arrays(tmp_path):
    with start(tmp_path, WRITE) as fabric:
        tile = fabric.program.ir.tiles[0]
        at = {o.name.rsplit(".")[-1]: o.address for o in tile.objects}
        assert at["behind"] == at["small"] + 8
        assert not at["small"] < at["out_ptr"] < at["out"] + 16
        assert np.asarray(tile.image).size >= 40


CONSTANTS = """param memcpy_params; param n: u16;
const sys = @import_module("<memcpy/memcpy>", memcpy_params);
var first = [4]i16{1, 2, 3, 4};
const factors = [4]i16{5, 6, 7, 8};
const text = @get_array("abcd");
const one: i16 = 9;
var big: [64]i16;
var out: [6]i16; var out_ptr: [*]i16 = &out;
const run = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{40} -> first[i] });
fn at(p: [*]const i16, i: i16) i16 { return p[i]; }
fn main() void {
  first[0] = 0;
  for (@range(i16, 4)) |i| { out[i] = at(&factors, i); }
  const p = &one;
  out[4] = p.*;
  big[0] = 1;
  @mov16(run, 77);
  for (@range(i16, 4)) |i| { out[i] = factors[i] + @as(i16, text[i]) - 97; }
  out[4] = p.*;
  out[5] = @as(i16, n);
  @comptime_print("compiled");
  sys.unblock_cmd_stream();
}
comptime { @export_symbol(out_ptr, "out"); @export_symbol(main); }
"""


def test_constants_stand_before_what_is_written(tmp_path, capsys):
    (tmp_path / "layout.csl").write_text(LAYOUT)
    (tmp_path / "pe.csl").write_text(CONSTANTS)
    with meshlang.compile(tmp_path / "layout.csl").start() as fabric:
        assert capsys.readouterr().out.count("compiled") == 2  # once for each tile program
        for tile in fabric.program.ir.tiles:
            constants = [o for o in tile.objects if not o.mutable]
            assert {o.name for o in constants} >= {"factors", "text", "one"}
            assert max(o.address + o.size for o in constants) <= min(o.address for o in tile.objects if o.mutable)
        fabric.launch("main")
        assert fabric.read("out")[0].tolist() == [[5, 7, 9, 11, 9, 0], [5, 7, 9, 11, 9, 1]]
        assert [w.code for w in fabric.warnings] == ["MS0853"]


def test_behind_the_last_variable_is_memory(tmp_path):
    """A few elements past the last variable go where nothing is, as on the machine, whose memory does not end there."""
    body = "@mov16(@set_dsd_length(behind_dsd, 40), 3);\n  @mov16(out_dsd, behind_dsd);"
    with start(tmp_path, body) as fabric:
        fabric.launch("main")
        assert fabric.read("out").tolist() == [2 * [[3, 3, 3, 3, 0, 0, 0, 0]]]
        found = [w for w in fabric.warnings if w.code == "MS0853"]
    assert len(found) == 1 and "elements 0 to 39 of behind" in found[0].message
    assert "nothing else is there" in found[0].message
    with start(tmp_path, body, strict=True) as fabric, pytest.raises(MeshlangError, match="MS0819"):
        fabric.launch("main")
