"""docs/moe.md: its tables are what its commands print. The first batch of the first table is run anew, with MESHLANG_LARGE=1 of
all tables; with MESHLANG_UPDATE_GOLDEN=1 all are run in full, and written."""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path

import pytest

from meshlang.cli import main

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs/moe.md"
TABLE = re.compile(r"```sh\nmeshlang run programs/moe (.* -p table=true.*)\n```\n\n((?:\|.*\n)+)")


def tables():
    return (
        [(found[1], found[2]) for found in TABLE.finditer(PAGE.read_text(encoding="utf-8"))] if PAGE.is_file() else []
    )


def rows(options: str, capsys) -> str:
    assert main(["run", str(ROOT / "programs/moe"), *shlex.split(options)]) == 0
    return "".join(line + "\n" for line in capsys.readouterr().out.splitlines() if line.startswith("|"))


@pytest.mark.parametrize("options, table", tables(), ids=lambda value: value[:40] if value.startswith("--") else "")
def test_table(options, table, capsys):
    if not (os.environ.get("MESHLANG_LARGE") or os.environ.get("MESHLANG_UPDATE_GOLDEN")) and options != tables()[0][0]:
        pytest.skip("MESHLANG_LARGE is not set")
    if os.environ.get("MESHLANG_UPDATE_GOLDEN"):
        text = PAGE.read_text(encoding="utf-8")
        at = text.index(table, text.index(options))
        PAGE.write_text(text[:at] + rows(options, capsys) + text[at + len(table) :], encoding="utf-8")
        return
    first = re.sub(r"(batches=\d+)\S*", r"\1", options)
    printed = rows(first, capsys)
    assert table.startswith(printed) and printed.count("\n") > 2


def test_the_page_has_tables():
    assert len(tables()) >= 3
