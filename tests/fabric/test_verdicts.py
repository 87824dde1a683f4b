"""What stops a run and what is a warning: every code of a running program has one row, and the documentation shows them."""

import re
from pathlib import Path

import pytest

import meshlang
from meshlang.fabric.messages import MESSAGES
from meshlang.fabric.verdicts import FAULT, VERDICTS, WARNING, updated

ROWS = {code: v for v in VERDICTS for code in v.codes}
PACKAGE = Path(meshlang.__file__).parent


def test_every_code_of_a_run_has_one_row():
    assert sum(len(v.codes) for v in VERDICTS) == len(ROWS)
    faults = {code for code, *_ in MESSAGES.values()}
    # what deadlocks and the end of a run say, and the host's warnings
    others = {"MS0854", "MS0855", "MS0856", "MS0860", "MS0852", "MS0853", "MS0870", "MS0871", "MS0872"}
    assert {c for c in ROWS if c >= "MS08"} == faults | others


def test_the_rows_say_how_a_code_is_reported():
    """A warning's page says so in its first words, and a fault's does not."""
    pages = "".join(p.read_text(encoding="utf-8") for p in PACKAGE.glob("*/catalog*.md"))
    for code, row in ROWS.items():
        text = re.search(rf"^## {code} [^\n]*\n\n(.*)", pages, re.MULTILINE)[1]
        assert text.startswith("A warning") == (row.kind == WARNING), code
    assert {v.kind for v in VERDICTS} == {FAULT, WARNING}


@pytest.mark.skipif(not (Path(__file__).parents[2] / "docs").is_dir(), reason="no docs beside the tests")
def test_the_documentation_shows_them():
    """`python -m meshlang.fabric.verdicts docs/language.md` writes the table anew."""
    page = (Path(__file__).parents[2] / "docs" / "language.md").read_text(encoding="utf-8")
    assert updated(page) == page
