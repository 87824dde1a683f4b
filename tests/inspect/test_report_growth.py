"""What grows with the mesh: guessed from one run where it can be, measured with --grow."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from meshlang.cli import main
from meshlang.inspect.report.wafer import _how

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture()
def grow(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    page = (ROOT / "docs" / "stencil.md").read_text(encoding="utf-8")
    Path("stencil").mkdir()
    for name, text in re.findall(r"```(?:csl|python)\n(?://|#) (\w+/\w+\.\w+)\n(.*?)```\n", page, re.DOTALL):
        Path(name).write_text(text, encoding="utf-8")

    def run(*args, code=0):
        assert main(["report", *args]) == code
        return capsys.readouterr()

    return run


def test_a_stencil_does_not_grow(grow):
    """Its chain is as long as the steps are many, which one run takes for as long as the mesh is wide."""
    args = ["stencil", "-p", "H=4", "-p", "n=4", "-p", "steps=4"]
    assert "may cross the mesh" in " ".join(grow(*args, "-p", "W=6").out.split())
    found = json.loads(grow(*args, "--grow", "W=6,12", "--json").out)
    assert [run["value"] for run in found["runs"]] == ["6", "12"] and found["runs"][1]["report"]["width"] == 12
    assert found["runs"][0]["report"]["plmr"]["whole_wafer"]["chain_grows"] is None
    rows = {row["what"]: row for row in found["growth"]}
    assert rows["longest way of a wavelet, hops"]["values"] == [1, 1]
    assert {rows[f"longest chain, {what}"]["grows"] for what in ("hops", "messages")} == {"not"}


def test_a_broadcast_grows(grow):
    out = grow(str(ROOT / "programs" / "allreduce"), "-p", "algorithms=pipeline", "--grow", "N=6,12", code=2).err
    assert "MS0904" in out  # the value that is varied is not the mistake
    out = grow(str(ROOT / "programs" / "meshgemv"), "--grow", "P=4,8").out
    assert (
        "P = 4" in out
        and "P = 8" in out
        and re.search(r"longest way of a wavelet, hops .* grows in proportion|grows", out)
    )


def test_mistakes(grow):
    for text in ("W", "W=", "W=4", "W=4,", "=4,8"):
        assert "expected NAME=VALUE,VALUE" in grow("stencil", "--grow", text, code=2).err


@pytest.mark.parametrize(
    "values, how",
    [
        ([10, 10], "not"),
        ([20, 21], "not"),
        ([10, 15], "less"),
        ([10, 20], "in proportion"),
        ([10, 40], "more"),
        ([0, 5], None),
    ],
)
def test_how(values, how):
    assert _how([8, 16], values) == how
    assert _how([8, 8], values) is None
