"""MeshlangError and the collector of diagnostics: what a caller can read of them."""

from __future__ import annotations

import pytest

from meshlang.diag import Diagnostic, Diagnostics, MeshlangError
from meshlang.diag.core import usage_error
from meshlang.syntax.source import SourceFile, Span

FILE = SourceFile("a.csl", "const a = 1;\nconst b = 2;\n")


def at(start, end, code="MS0301", message="m", severity="error", file=FILE):
    return Diagnostic(code, message, Span(file, start, end), severity)


def test_an_error_says_what_it_carries():
    error = MeshlangError(Diagnostic("MS0301", "one"), Diagnostic("MS0302", "two"))
    assert error.args == ("MS0301: one; MS0302: two",) and error.exit_code == 1
    assert str(error) == "error[MS0301]: one\n\nerror[MS0302]: two" and str(MeshlangError()) == ""
    assert usage_error("no", "do this").exit_code == 2
    assert [(d.code, d.message, d.help) for d in usage_error("no", "do this").diagnostics] == [
        ("MS0905", "no", "do this")
    ]


def test_a_machine_that_stands_still_is_explained_once(monkeypatch):
    """Looked for where there is a machine, and by somebody; the second time what was found is there."""
    asked = []

    def explain(error):
        asked.append(error)
        return f"because {len(asked)}"

    monkeypatch.setattr(MeshlangError, "explainer", explain)
    error = MeshlangError(Diagnostic("MS0856", "stands still"))
    assert error.explain() is None and asked == []
    error.machine = object()
    assert error.explain() == error.explain() == "because 1" and asked == [error]
    monkeypatch.setattr(MeshlangError, "explainer", None)
    assert error.explain() == "because 1"
    alone = MeshlangError(Diagnostic("MS0856", "stands still"))
    alone.machine = object()
    assert alone.explain() is None


def test_the_same_at_the_same_place_is_said_once():
    found = Diagnostics()
    for d in (
        at(0, 5),
        at(0, 7),  # the same place, however far it goes
        at(6, 7),
        at(0, 5, code="MS0302"),
        at(0, 5, message="other"),
        at(0, 5, file=SourceFile("b.csl", "x")),
        Diagnostic("MS0301", "m"),
        Diagnostic("MS0301", "m"),
    ):
        found.add(d)
    assert [(d.code, d.message, d.span and d.span.file.path, d.span and d.span.start) for d in found.items] == [
        ("MS0301", "m", "a.csl", 0),
        ("MS0301", "m", "a.csl", 6),
        ("MS0302", "m", "a.csl", 0),
        ("MS0301", "other", "a.csl", 0),
        ("MS0301", "m", "b.csl", 0),
        ("MS0301", "m", None, None),
    ]


def test_fifty_errors_are_enough():
    """Warnings are not counted, and are raised with the errors."""
    found = Diagnostics()
    for i in range(60):
        found.add(at(0, 1, message=f"w{i}", severity="warning"))
    found.raise_if_errors()
    for i in range(49):
        found.add(at(0, 1, message=str(i)))
    assert len(found.errors) == 49
    with pytest.raises(MeshlangError) as error:
        found.add(at(0, 1, message="49"))
    assert len(error.value.diagnostics) == 110 and error.value.diagnostics[-1].message == "49"
    few = Diagnostics(limit=1)
    with pytest.raises(MeshlangError):
        few.add(at(0, 1))


def test_a_notebook_shows_the_cells_frames_and_the_text():
    """Neither MeshLang's own frames nor IPython's."""

    def raised(file):
        names = {"fail": lambda: (_ for _ in ()).throw(MeshlangError(Diagnostic("MS0901", "m", help="a\nb")))}
        exec(compile("def cell():\n    fail()\ncell()", file, "exec"), names)

    for file, shown in (("cell.py", True), ("/site/IPython/core/x.py", False)):
        with pytest.raises(MeshlangError) as error:
            raised(file)
        lines = error.value._render_traceback_()
        assert lines[-3:] == ["error[MS0901]: m", " = help: a", "         b"]
        assert any("in cell" in line for line in lines) == shown
