"""What stops a run and what is a warning: every code of a running program has one row, and the documentation shows them."""

import re
from pathlib import Path

import pytest

import meshlang
from meshlang.fabric.engine.faults import FAULT, WARNING, Fault
from meshlang.fabric.verdicts import rows, updated

ROWS = {code: row.verdict for row in rows() for code in row.codes}
PACKAGE = Path(meshlang.__file__).parent
TESTS = Path(__file__).parents[1]


def test_every_code_of_a_run_has_one_row():
    assert sum(len(row.codes) for row in rows()) == len(ROWS)
    faults = {fault.code for fault in Fault}
    # what deadlocks and the end of a run say, and the host's warnings
    others = {"MS0854", "MS0855", "MS0856", "MS0860", "MS0852", "MS0853", "MS0870", "MS0871", "MS0872"}
    assert {c for c in ROWS if c >= "MS08"} == faults | others


def test_the_rows_say_how_a_code_is_reported():
    """A warning's page says so in its first words, and a fault's does not."""
    pages = "".join(p.read_text(encoding="utf-8") for p in PACKAGE.glob("*/catalog*.md"))
    for code, row in ROWS.items():
        text = re.search(rf"^## {code} [^\n]*\n\n(.*)", pages, re.MULTILINE)[1]
        assert text.startswith("A warning") == (row.kind == WARNING), code
    assert {verdict.kind for verdict in ROWS.values()} == {FAULT, WARNING}


@pytest.mark.skipif(not (TESTS.parent / "docs").is_dir(), reason="no docs beside the tests")
def test_the_documentation_shows_them():
    """`python -m meshlang.fabric.verdicts docs/language.md` writes the table anew."""
    page = (Path(__file__).parents[2] / "docs" / "language.md").read_text(encoding="utf-8")
    assert updated(page) == page


def test_every_fault_is_raised_documented_and_tested():
    engine = "".join(p.read_text(encoding="utf-8") for p in (PACKAGE / "fabric" / "engine").glob("*.py"))
    pages = (PACKAGE / "fabric" / "catalog.md").read_text(encoding="utf-8")
    tests = "".join(
        p.read_text(encoding="utf-8") for room in ("fabric", "lang") for p in TESTS.joinpath(room).glob("test_*.py")
    )
    for fault in Fault:
        assert f"Fault.{fault.name}" in engine, f"nothing raises {fault.name}"
        assert re.search(rf"^## {fault.code} ", pages, re.MULTILINE), f"{fault.name} has no page"
        assert f"Fault.{fault.name}" in tests or fault.code in tests, f"no test comes to {fault.name}"
