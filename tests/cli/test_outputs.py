"""Files that commands write at their end: what is wrong with them is said before the work."""

from __future__ import annotations

import os

import pytest

from meshlang.cli import main

COMMANDS = [
    (["simulate"], "--plot", ".svg"),
    (["sweep", "program", "-p", "a=1", "-o", "r.csv"], "--plot", ".svg"),
    (["sweep", "program", "-p", "a=1"], "-o", ".csv"),
    (["paper", "table1"], "--plot", ".SVG"),
    (["paper", "table1"], "--page", None),
    (["cap", "nothing", "--mesh", "4x4"], "--svg", ".svg"),
    (["llm", "place", "nothing", "--mesh", "4x4"], "-o", None),
    (["conformance", "."], "--junit", None),
    (["cslc", "nothing.csl"], "--output-json", None),
    (["run", "program"], "--trace", ".csv"),
    (["run", "program"], "--html", ".html"),
    (["report", "program"], "--html", ".html"),
    (["run", "program", "--launch", "main"], "--get", ".NPY"),
    (["profile", "program"], "--speedscope", None),
]


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    """An empty folder; whatever a command would do in earnest fails with another message."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "program").mkdir()
    (tmp_path / "program" / "layout.csl").write_text("this is no program\n")
    for ending in (".svg", ".csv", ".NPY", ".SVG", ".html"):
        (tmp_path / f"taken{ending}").mkdir()
    return tmp_path


def said(capsys, command, option, file):
    code = main([*command, option, f"y={file}" if option == "--get" else file])
    err = capsys.readouterr().err
    assert code in (1, 2) and "Traceback" not in err
    return code, err


@pytest.mark.parametrize("command, option, ending", COMMANDS, ids=lambda v: " ".join(v) if isinstance(v, list) else v)
def test_before_the_work(command, option, ending, capsys, place, monkeypatch):
    name = f"x{ending or ''}"
    code, err = said(capsys, command, option, f"none/{name}")
    assert code == 2 and "there is no folder none" in err
    code, err = said(capsys, command, option, f"taken{ending}" if ending else "program")
    assert code == 2 and "this is a folder, expected a file" in err
    if ending:
        code, err = said(capsys, command, option, "x.nothing")
        assert code == 2 and ("expected a file that ends in" in err or "MS1005" in err)
        assert not list(place.glob("x.*"))
    # nobody may write here: the superuser would not see it
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)
    code, err = said(capsys, command, option, name)
    assert code == 1 and "MS0901" in err and "ermission denied" in err


def test_a_file_in_a_folders_place(capsys, place):
    (place / "file").write_text("")
    code, err = said(capsys, ["cslc", "nothing.csl"], "-o", "file")
    assert code == 2 and "this is a file, expected a folder" in err
