"""Results as objects, cells in CSL, and docs/notebook.ipynb executed."""

from __future__ import annotations

import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

import meshlang

NOTEBOOK = Path(__file__).resolve().parents[2] / "docs" / "notebook.ipynb"
LAYOUT = """
param W: u16 = 3;
const memcpy = @import_module("<memcpy/get_params>", .{ .width = W, .height = 2 });
layout {
  @set_rectangle(W, 2);
  for (@range(u16, W)) |x| {
    for (@range(u16, 2)) |y| { @set_tile_code(x, y, "pe.csl", .{ .memcpy_params = memcpy.get_params(x), .n = x + 1 }); }
  }
  @export_name("total", f32, true);
  @export_name("main", fn() void);
  @export_name("hang", fn() void);
}
"""
PE = """
param memcpy_params;
param n: u16;
const sys = @import_module("<memcpy/memcpy>", memcpy_params);
var total: f32 = 0.0;
fn main() void {
  for (@range(u16, n)) |i| { total += 1.0; }
  sys.unblock_cmd_stream();
}
fn hang() void {}
comptime { @export_symbol(total); @export_symbol(main); @export_symbol(hang); }
"""
SOURCES = {"layout.csl": LAYOUT, "pe.csl": PE}


@pytest.fixture(scope="module")
def program():
    return meshlang.compile(sources=SOURCES)


def work(fabric):
    fabric.launch("main")
    return fabric.read("total")[..., 0]


class Balanced(HTMLParser):
    """Every element that is opened is closed."""

    def __init__(self, text: str):
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.feed(text)
        assert not self.open, self.open

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)
        self.seen.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_from_source_text(program, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert (program.width, program.height) == (3, 2)
    assert meshlang.compile(sources=SOURCES, params={"W": 5}).width == 5
    assert meshlang.compile(sources=f"// FILE: layout\n{LAYOUT}// FILE: pe\n{PE}").width == 3
    (tmp_path / "pe.csl").write_text(PE)  # what is not among the texts is a file
    assert meshlang.compile("layout.csl", sources={"layout.csl": LAYOUT}).width == 3
    table = (
        PE
        + '\nconst table = @import_comptime_value([2]i16, "table.json");\ncomptime { @comptime_assert(table[1] == 7); }\n'
    )
    assert meshlang.compile(sources={"layout.csl": LAYOUT, "pe.csl": table, "table.json": "[3, 7]"}).width == 3
    for sources, code in [
        ({"pe.csl": PE}, "MS0610"),
        ({"a.csl": LAYOUT, "b.csl": LAYOUT}, "MS0610"),
        ({"a.csl": "const = ;"}, "MS0102"),
        ({"a.csl": b"bytes"}, "MS0951"),
    ]:
        with pytest.raises(meshlang.MeshlangError) as raised:
            meshlang.compile(sources=sources)
        assert raised.value.diagnostics[0].code == code


def test_programs_and_fabrics_show_themselves(program):
    page = program._repr_html_()
    assert Balanced(page).seen.count("rect") == 6 and "3 x 2 PEs" in page and page.count("pe.csl") >= 3
    with program.start() as fabric:
        work(fabric)
    page = fabric._repr_html_()
    assert Balanced(page).seen.count("svg") == 3 and f"{fabric.cycles:,} cycles" in page
    assert f"cycle {fabric.cycles:,}" in repr(fabric)


def test_large_rectangles_are_summed_up():
    from meshlang.host.html import CELLS, heat

    values = np.zeros((300, 200))
    values[299, 199] = 16.0
    page = heat(values, "busy", "cycles")
    assert Balanced(page).seen.count("rect") == 75 * 50 <= CELLS**2 and "0 to 1 cycles" in page


def test_report(program):
    report = meshlang.report(program, work)
    assert (report.result == [[1, 2, 3]] * 2).all()
    assert report.data["pes"] == 6 and "PLMR" in str(report) and report._repr_html_().startswith("<pre>")
    assert report.data["cycles"] == meshlang.report(program, work).data["cycles"]


def test_profile(program, tmp_path):
    profile = meshlang.profile(program, work)
    assert profile.data["tasks"][0]["task"] == "main (launched)" and profile.data["tasks"][0]["starts"] == 6
    assert "total += 1.0" in profile.lines
    profile.speedscope(tmp_path / "p.json")
    assert (tmp_path / "p.json").read_text().startswith("{")


def test_trace(program, tmp_path):
    trace = meshlang.trace(program, work)
    assert len(trace.events) and f"{len(trace.events):,} events" in str(trace)
    trace.save(tmp_path / "t.html")
    assert "<html" in (tmp_path / "t.html").read_text() and trace._repr_html_().startswith("<iframe")


@pytest.mark.parametrize("recorded", [meshlang.trace, meshlang.report, meshlang.profile])
def test_a_run_that_ends_badly_gives_what_was_recorded(program, recorded, tmp_path):
    with pytest.warns(UserWarning, match="the run ended with MS0856") as warned:
        found = recorded(program, lambda fabric: [work(fabric), fabric.launch("hang")])
    assert warned[0].filename == __file__ and found.result is None
    assert found.error.exit_code == 3 and meshlang.why(found.error).hung
    if recorded is meshlang.trace:
        found.save(tmp_path / "t.svg")
        assert "MS0856" in (tmp_path / "t.svg").read_text() and len(found.trace.tasks) >= 12
    with pytest.raises(meshlang.MeshlangError, match="MS0910"):  # a mistake of the caller's
        recorded(program, lambda fabric: fabric.read("nothing"))
    assert recorded(program, work).error is None


def test_lint_why_explain(program):
    assert meshlang.lint(program) == [] and str(meshlang.lint(program)) == "nothing to warn about"
    fabric = program.start()
    with pytest.raises(meshlang.MeshlangError) as raised:
        fabric.launch("hang")
    why = meshlang.why(raised.value)
    assert why.hung and why.causes and why.data["hung"] and "cause:" in str(why)
    assert str(meshlang.why(fabric)) == str(why)
    assert meshlang.why(meshlang.MeshlangError(meshlang.Diagnostic("MS0301", "x"))) is None
    page = meshlang.explain(301)
    assert page.startswith("## MS0301") and page == meshlang.explain("MS0301") == meshlang.explain("ms301")
    assert page._repr_markdown_() == page
    with pytest.raises(meshlang.MeshlangError, match="MS0920"):
        meshlang.explain("MS0999")
    with pytest.raises(meshlang.MeshlangError, match="compiled already"):
        meshlang.report(program, work, arch="wse3")


def test_the_public_names():
    assert dir(meshlang) == sorted(meshlang.__all__)
    for name in meshlang.__all__:
        assert getattr(meshlang, name) is not None
        assert name == "__version__" or getattr(meshlang, name).__doc__, name


def test_cells(program):
    from meshlang.inspect import notebook

    notebook._files.clear()
    assert notebook.cell("", f"// FILE: pe\n{PE}") == ("program", None)
    name, made = notebook.cell("mine -p W=4 --arch wse3", f"// FILE: layout\n{LAYOUT}")
    assert name == "mine" and made.width == 4 and made.ir.arch == "wse3"
    for line in ("1x", "a b", "-p", "--nothing"):
        with pytest.raises(meshlang.MeshlangError, match="%%csl"):
            notebook.cell(line, LAYOUT)


def test_magic():
    pytest.importorskip("IPython")
    code = (
        "from IPython.testing.globalipapp import start_ipython; shell = start_ipython();"
        "shell.run_line_magic('load_ext', 'meshlang');"
        f"shell.run_cell_magic('csl', 'p -p W=2', {'// FILE: layout' + chr(10) + LAYOUT + '// FILE: pe' + chr(10) + PE!r});"
        "print('width', shell.user_ns['p'].width)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "width 2", done.stderr


def test_the_notebook_in_docs(tmp_path):
    nbclient = pytest.importorskip("nbclient")
    nbformat = pytest.importorskip("nbformat")
    pytest.importorskip("ipykernel")
    book = nbformat.read(NOTEBOOK, as_version=4)
    assert all(not cell.get("outputs") for cell in book.cells)  # what is committed has no outputs
    nbclient.NotebookClient(book, timeout=180, resources={"metadata": {"path": str(tmp_path)}}).execute()
    shown = [out for cell in book.cells for out in cell.get("outputs", ())]
    assert sum("text/html" in out.get("data", {}) for out in shown) >= 3
    (report,) = (
        html for out in shown if "Chains" in (html := out.get("data", {}).get("text/html", ""))
    )  # all of it is one
    assert report.startswith("<pre>layout.csl: 6 x 1 rectangle") and "compute" in report and "bottleneck" in report
    text = "".join(out.get("text", "") for out in shown)
    assert "MS0215" in text and "events of layout.csl" in text
