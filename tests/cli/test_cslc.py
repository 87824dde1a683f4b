"""`meshlang cslc`: what memcpy needs around a program, and flags that are checked."""

from __future__ import annotations

import json

import pytest

from meshlang.cli import main

LAYOUT = """param k: i16 = 1;
layout {
  @set_rectangle(2, 1);
  for (@range(i16, 2)) |x| { @set_tile_code(x, 0, "pe.csl", .{ .k = k }); }
}
"""


@pytest.fixture
def cslc(tmp_path, monkeypatch, capsys):
    (tmp_path / "layout.csl").write_text(LAYOUT)
    (tmp_path / "pe.csl").write_text("param k: i16;\n")
    monkeypatch.chdir(tmp_path)

    def run(*words):
        code = main(["cslc", "layout.csl", *words])
        return code, capsys.readouterr().err

    return run


@pytest.mark.parametrize(
    ("dims", "offsets", "more", "wrong"),
    [
        ("9,3", "4,1", (), None),  # 4 + 2 + 3 columns, 1 + 1 + 1 rows: as little as there may be
        ("9,3", None, (), None),  # the offsets are those, if none are given
        ("9,3", "3,1", (), "--fabric-offsets=3,1: memcpy needs 4 columns west and 1 row north"),
        ("9,3", "4,0", (), "--fabric-offsets=4,0: memcpy needs 4 columns west and 1 row north"),
        ("8,3", "4,1", (), "--fabric-dims=8,3: memcpy needs 3 columns east and 1 row south"),
        ("9,2", "4,1", (), "--fabric-dims=9,2: memcpy needs 3 columns east and 1 row south"),
        ("10,4", "5,2", (), None),
        ("9,4", "5,2", (), "at least --fabric-dims=10,4"),
        ("10,3", "5,2", (), "at least --fabric-dims=10,4"),
        ("12,3", "5,1", ("--width-west-buf", "1", "--width-east-buf", "2"), None),
        ("12,3", "4,1", ("--width-west-buf", "1"), "at least --fabric-offsets=5,1"),
        ("11,3", "5,1", ("--width-west-buf", "1", "--width-east-buf", "2"), "memcpy needs 5 columns east"),
    ],
)
def test_what_memcpy_needs_around_a_program(cslc, dims, offsets, more, wrong):
    place = [f"--fabric-dims={dims}", *([f"--fabric-offsets={offsets}"] if offsets else []), *more]
    code, text = cslc(*place, "--memcpy")
    if wrong is None:
        assert (code, text) == (0, "")
    else:
        assert code == 2 and wrong in text
    assert cslc(*place)[0] == 0  # without memcpy nothing is needed


@pytest.mark.parametrize(("text", "right"), [("1", True), ("16", True), ("0", False), ("17", False), ("x", False)])
def test_channels_are_1_to_16(cslc, text, right):
    code, err = cslc("--channels", text)
    assert code == (0 if right else 2) and ("expected a number from 1 to 16" in err) == (not right)


def test_warnings_as_errors(cslc, tmp_path):
    (tmp_path / "pe.csl").write_text("")
    code, text = cslc("-o", "a")
    assert code == 0 and "MS0216" in text and (tmp_path / "a").is_dir()
    code, text = cslc("-o", "b", "--warnings-as-errors")
    assert code == 1 and "1 warnings, and --warnings-as-errors was given" in text and not (tmp_path / "b").exists()
    (tmp_path / "pe.csl").write_text("param k: i16;\n")
    assert cslc("-o", "b", "--warnings-as-errors") == (0, "")


def test_outputs(cslc, tmp_path):
    code, text = cslc("-o", "a", "--output-json", "meta.json", "--params=k:3", "--verbose")
    assert code == 0 and text == "compiled layout.csl into a\n"
    assert (tmp_path / "meta.json").read_bytes() == (tmp_path / "a" / "out.json").read_bytes()
    document = json.loads((tmp_path / "a" / "bin" / "program.json").read_text())
    assert document["what"] == "meshlang program" or "program" in document
    assert cslc("-o", "b")[1] == ""
