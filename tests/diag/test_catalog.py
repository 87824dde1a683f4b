"""Every code has a page, and the pages keep their simple form."""

import re
from pathlib import Path

import meshlang
from meshlang.diag.catalog import page, titles

PACKAGE = Path(meshlang.__file__).parent


def test_every_code_in_use_has_a_page():
    used = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        for code in re.findall(r"""["'](MS[01]\d{3})["']""", path.read_text(encoding="utf-8")):
            used.setdefault(code, path.relative_to(PACKAGE))
    missing = {code: str(path) for code, path in sorted(used.items()) if page(code) is None}
    assert not missing


def test_pages():
    assert page("ms0101").startswith("## MS0101 Missing semicolon\n")
    assert page("MS0999") is None
    assert list(titles()) == sorted(titles())
    for code, title in titles().items():
        assert title and not title.endswith("."), code
        assert len(page(code).splitlines()) > 2, code


def test_headings_are_sorted_and_unique():
    for path in PACKAGE.glob("*/catalog*.md"):
        text = path.read_text(encoding="utf-8")
        codes = re.findall(r"^## (MS\d{4}) ", text, re.MULTILINE)
        assert codes == sorted(set(codes)), path
        assert len(re.findall(r"^#+ MS\d{4}", text, re.MULTILINE)) == len(codes), path
