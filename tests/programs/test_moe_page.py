"""docs/moe.md: its tables are what its commands print. The first batch of the first table of each program is run anew, with
MESHLANG_LARGE=1 of all tables; with MESHLANG_UPDATE_GOLDEN=1 all are run in full, and written."""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path

import pytest

from meshlang.cli import main

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs/moe.md"
TABLE = re.compile(r"```sh\nmeshlang run programs/(\w+ .* -p table=true.*)\n```\n\n((?:\|.*\n)+)")


def tables():
    return (
        [(found[1], found[2]) for found in TABLE.finditer(PAGE.read_text(encoding="utf-8"))] if PAGE.is_file() else []
    )


def rows(options: str, capsys) -> str:
    program, *more = shlex.split(options)
    assert main(["run", str(ROOT / "programs" / program), *more]) == 0
    return "".join(line + "\n" for line in capsys.readouterr().out.splitlines() if line.startswith("|"))


@pytest.mark.parametrize("options, table", tables(), ids=lambda value: "" if value.startswith("|") else value[:40])
def test_table(options, table, capsys):
    first = next(other for other, _ in tables() if other.split()[0] == options.split()[0])
    if not (os.environ.get("MESHLANG_LARGE") or os.environ.get("MESHLANG_UPDATE_GOLDEN")) and options != first:
        pytest.skip("MESHLANG_LARGE is not set")
    if os.environ.get("MESHLANG_UPDATE_GOLDEN"):
        text = PAGE.read_text(encoding="utf-8")
        at = text.index(table, text.index(options))
        PAGE.write_text(text[:at] + rows(options, capsys) + text[at + len(table) :], encoding="utf-8")
        return
    printed = rows(re.sub(r"((?:batches|tokens)=\d+)\S*", r"\1", options), capsys)
    assert table.startswith(printed) and printed.count("\n") > 2


def test_the_page_has_tables():
    assert len(tables()) >= 3
