"""The page about the machine's state is written by its declarations, and nobody else numbers a word or a bit."""

from pathlib import Path

import meshlang
from meshlang.fabric.reference import page

ROOT = Path(meshlang.__file__).parent.parent


def test_the_page_is_current():
    """`python -m meshlang.fabric.reference docs/state.md` writes it anew."""
    assert (ROOT / "docs" / "state.md").read_text(encoding="utf-8") == page()
