"""`meshlang lint --fix`: what it mends, and that it takes back what does not help."""

import pytest

from meshlang.cli import main
from meshlang.diag import Diagnostic
from meshlang.inspect.lint import fixes

LAYOUT = """const memcpy = @import_module("<memcpy/get_params>", .{ .width = 1, .height = 1 });
layout {
  @set_rectangle(1, 1);
  @set_tile_code(0, 0, "pe.csl", .{ .memcpy_params = memcpy.get_params(0) });
  @set_color_config(0, 0, @get_color(3), .{ .routes = .{ .rx = .{RAMP}, .tx = .{RAMP} } });
  @export_name("main", fn()void);
}
"""
PE = """param memcpy_params;
const sys = @import_module("<memcpy/memcpy>", memcpy_params);
const oq = @get_output_queue(0);
const iq = @get_input_queue(2);
const done = @get_local_task_id(28);
const other = @get_local_task_id(8);
var x: [4]f32; var y: [4]f32;
const d = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{4} -> x[i] });
const e = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{4} -> y[i] });
const out = @get_dsd(fabout_dsd, .{ .extent = 4, .fabric_color = @get_color(3), .output_queue = @get_output_queue(0) });
const in = @get_dsd(fabin_dsd, .{ .extent = 4, .fabric_color = @get_color(3), .input_queue = iq });
fn main() void {
  x[0] + 1.0;
  @fmovs(out, d, .{ .async = true, .activate = other });
  @fmovs(e, in, .{ .async = true, .activate = done });
}
task finish() void { sys.unblock_cmd_stream(); }
task sent() void {}
comptime {
  @bind_task(finish, done);
  @bind_local_task(sent, other);
  @initialize_queue(oq, .{ .color = @get_color(3) });
  @initialize_queue(iq, .{ .color = @get_color(3) });
  @export_symbol(main);
}
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "layout.csl").write_text(LAYOUT)
    (tmp_path / "pe.csl").write_text(PE)
    return tmp_path


def test_it_mends(folder, capsys):
    assert main(["lint", "layout.csl", "--arch", "wse3"]) == 1
    capsys.readouterr()
    assert main(["lint", "layout.csl", "--arch", "wse3", "--fix"]) == 0
    said = capsys.readouterr()
    assert "nothing to warn about" in said.out and "4 findings mended" in said.err
    assert "pe.csl:22: MS0414: output queue 0 becomes 3" in said.err
    assert "pe.csl:20: MS0414: local task id 28 becomes 9" in said.err
    new = PE.replace("@get_output_queue(0)", "@get_output_queue(3)").replace("task_id(28)", "task_id(9)")
    new = new.replace("@bind_task(", "@bind_local_task(").replace("  x[0] + 1.0;", "  _ = x[0] + 1.0;")
    assert (folder / "pe.csl").read_text() == new
    assert main(["run", "layout.csl", "--arch", "wse3", "--launch", "main"]) == 0


def test_a_number_that_the_file_names_is_not_free(folder, capsys):
    """Whether or not anything is bound to it; of the same sort only, queues of both sides being one."""
    (folder / "pe.csl").write_text(
        PE + "const spare = @get_local_task_id(9);\nconst third = @get_input_queue(3);\n"
        "const sixth = @get_output_queue(5);\nconst far = @get_local_task_id(4);\n"
    )
    assert main(["lint", "layout.csl", "--arch", "wse3", "--fix"]) == 0
    said = capsys.readouterr().err
    assert "output queue 0 becomes 4" in said and "local task id 28 becomes 10" in said


def test_a_finding_of_a_kind_of_which_there_are_more_is_new():
    one, other = Diagnostic("MS0327", "a"), Diagnostic("MS1010", "b")
    assert fixes._is_new([one], [other]) and fixes._is_new([one, other], [one, one])
    assert not fixes._is_new([one, one, other], [one, other]) and not fixes._is_new([one], [])
    assert not fixes._is_new([one, other], [other, one])


def test_what_does_not_help_is_taken_back(folder, capsys, monkeypatch):
    """A change after which the program does not compile, or has another finding."""
    bad = fixes.Fix("break it", (fixes.Edit(folder / "pe.csl", 0, 5, "parma"),))
    monkeypatch.setattr(fixes, "fix_of", lambda d, program: bad)
    assert main(["lint", "layout.csl", "--fix"]) == 1
    assert "0 findings mended" in capsys.readouterr().err and (folder / "pe.csl").read_text() == PE
    worse = fixes.Fix(
        "unused", (fixes.Edit(folder / "pe.csl", PE.index("  x[0]"), PE.index("  x[0]"), "  x[1] + 2.0;"),)
    )
    monkeypatch.setattr(fixes, "fix_of", lambda d, program: worse)
    assert main(["lint", "layout.csl", "--fix"]) == 1
    assert (folder / "pe.csl").read_text() == PE


def test_a_warning_taken_back_is_not_mended(folder, capsys):
    (folder / "pe.csl").write_text(PE.replace("  x[0] + 1.0;", "  x[0] + 1.0;  // noqa"))
    main(["lint", "layout.csl", "--fix"])
    assert "  x[0] + 1.0;  // noqa" in (folder / "pe.csl").read_text()


def test_a_byte_order_mark_and_other_line_ends_stay(folder):
    (folder / "pe.csl").write_bytes(("\ufeff" + PE.replace("\n", "\r\n")).encode())
    main(["lint", "layout.csl", "--arch", "wse3", "--fix"])
    data = (folder / "pe.csl").read_bytes()
    assert data.startswith(b"\xef\xbb\xbfparam memcpy_params;\r\n") and b"@get_output_queue(3)" in data
    assert data.count(b"\r\n") == PE.count("\n")
