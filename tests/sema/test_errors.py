"""Bad programs, each with the diagnostics it must get: the chunks of errors/*.csl (notation: tests/support/compiling.py)."""

import re
from pathlib import Path

import pytest
from compiling import check, diagnostics, read_chunks

import meshlang
from meshlang.diag.catalog import titles

ERRORS = Path(__file__).parent / "errors"
CHUNKS = [c for path in sorted(ERRORS.glob("*.csl")) for c in read_chunks(path)]


@pytest.mark.parametrize("chunk", CHUNKS, ids=lambda c: c.name)
def test_chunk(chunk, tmp_path):
    check(chunk, diagnostics(tmp_path, chunk))


def codes_used() -> set[str]:
    root = Path(meshlang.__file__).parent
    text = "".join(p.read_text(encoding="utf-8") for d in ("sema", "builtins") for p in sorted((root / d).glob("*.py")))
    return {c for c in re.findall(r'"(MS0[2-7]\d\d)"', text)}


def test_every_code_has_a_chunk():
    assert codes_used() - {e.code for c in CHUNKS for e in c.expected} == set()


def test_every_code_has_a_page():
    assert codes_used() - set(titles()) == set()
