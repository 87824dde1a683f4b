"""The line of a command that takes long: when it is there, what it says, and that it makes room. Texts as a program's sources."""

from __future__ import annotations

import pytest

from meshlang.diag import MeshlangError
from meshlang.host import progress
from meshlang.host.build import is_data, layout_among


class Line:
    def __init__(self, text, began):
        self.said, self.stopped, self.began = [text], False, began

    def say(self, text):
        self.said.append(text)

    def stop(self):
        self.stopped = True


@pytest.fixture
def lines(monkeypatch):
    made = []

    def line(text, began):
        made.append(Line(text, began))
        return made[-1]

    monkeypatch.setattr(progress, "_line", line)
    monkeypatch.setattr(progress, "DELAY", 1000)  # shown when the test says so
    monkeypatch.setattr(progress, "shown", lambda: True)
    monkeypatch.setattr(progress, "_open", [])
    return made


def test_a_line_that_is_there_says_what_comes(lines):
    stages = progress._Stages()
    stages.say("one")
    assert lines == []
    stages._show()
    (line,) = lines
    assert line.said == ["one"] and line.began == stages._began
    stages.add(": cycle 5")
    stages.say("two")
    assert line.said == ["one", "one: cycle 5", "two"]
    stages._show()  # it is there already
    assert len(lines) == 1
    stages.pause()
    assert line.stopped and stages.paused
    stages.say("three")
    stages._show()  # something else is on the terminal
    assert len(lines) == 1 and line.said[-1] == "two"
    stages.resume()
    stages._show()
    assert not stages.paused and lines[1].said == ["three"] and not lines[1].stopped
    stages.pause()


def test_the_line_of_a_command(lines):
    """The outermost has it; stages in it say what they are at; it is gone at the end, whatever ends it."""
    progress.stage("nobody listens")
    with pytest.raises(ZeroDivisionError), progress.stages("begin"):
        (stages,) = progress._open
        stages._show()
        with progress.stages("inside"):
            assert len(progress._open) == 1
        progress.stage("next")
        progress.pause()
        progress.pause()
        assert stages.paused and lines[0].stopped
        progress.resume()
        began = stages._began
        progress.resume()
        assert not stages.paused and stages._began == began
        _ = 1 / 0
    assert progress._open == [] and lines[0].said == ["begin", "next"] and stages.paused


def test_where_nobody_looks_there_is_no_line(lines, monkeypatch):
    monkeypatch.setattr(progress, "shown", lambda: False)
    with progress.stages("begin"):
        assert progress._open == []


@pytest.mark.parametrize(("name", "data"), [("a.csl", False), ("a/b", False), ("a.json", True), ("a.csl.txt", True)])
def test_what_is_data(name, data):
    assert is_data(name) == data


def test_the_layout_among_texts():
    """The one with a layout block; data is not looked at."""
    layout = "layout { @set_rectangle(1, 1); }"
    assert layout_among({"a.csl": "", "values.json": "{ layout", "b": layout}) == "b"
    with pytest.raises(MeshlangError, match="MS0610.*no text has a layout block"):
        layout_among({"a.csl": "", "values.json": layout})
    with pytest.raises(MeshlangError, match="MS0610.*several of the texts have a layout block: a, b.csl"):
        layout_among({"a": layout, "b.csl": layout})
    with pytest.raises(MeshlangError) as error:
        layout_among({"a": "(", "b": ")", "c": layout})
    assert [d.span.file.path for d in error.value.diagnostics] == ["a", "b"]
