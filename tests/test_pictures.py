"""The pictures of README.md can be made again, and are those that their commands make."""

import importlib.util
import re
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = ROOT / ".ci" / "pictures.py"


@pytest.fixture(scope="module")
def pictures():
    if not SCRIPT.is_file():
        pytest.skip("the repository's .ci is not here")
    spec = importlib.util.spec_from_file_location("pictures", SCRIPT)
    module = sys.modules["pictures"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def kinds(file):
    """What a picture is made of: size, PEs, arrows, boxes of a deadlock, dots, head. Cycles may be others."""
    root = ET.parse(file).getroot()
    named = [(e.tag.rpartition("}")[2], e.get("class")) for e in root.iter()]
    return (
        root.get("viewBox"),
        root.find("{*}text").text,
        {k: named.count(k) for k in set(named) if k[0] in ("rect", "path", "circle", "text")},
    )


def test_the_pictures_can_be_made_again(pictures, tmp_path):
    pictures.make(tmp_path)
    for one in pictures.SHOWN:
        assert kinds(tmp_path / one.file) == kinds(pictures.FOLDER / one.file), one.line


def test_what_they_show(pictures):
    shown = {one.file: kinds(pictures.FOLDER / one.file)[2] for one in pictures.SHOWN}
    assert shown["meshgemv.svg"]["rect", "b"] == 64 and shown["meshgemv.svg"]["path", "l"] > 64
    assert shown["meshgemv.anim.svg"]["circle", "d"] > 36
    assert shown["ring.svg"]["rect", "x"] == 8 and shown["ring.svg"]["path", "w"] == 2 * 8
    text = (pictures.FOLDER / "meshgemv.anim.svg").read_text()
    for times in re.findall(r'keyTimes="([^"]*)"', text):
        keys = [float(t) for t in times.split(";")]
        assert keys[0] == 0 and keys[-1] == 1 and keys == sorted(keys)
    for values, times in re.findall(r'values="([^"]*)" keyTimes="([^"]*)"', text):
        assert values.count(";") == times.count(";")


def test_readme_has_a_picture_and_one_that_moves(pictures):
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for file in ("meshgemv.svg", "meshgemv.anim.svg"):
        assert f"docs/pictures/{file}" in readme
