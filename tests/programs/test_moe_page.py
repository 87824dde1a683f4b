"""docs/moe.md: its tables are what its commands print. The first batch of the first table of each program's folder is run anew, with
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
TABLE = re.compile(r"```sh\nmeshlang run programs/([\w/.]+ .* -p table=true.*)\n```\n\n((?:\|.*\n)+)")


def tables():
    return (
        [(found[1], found[2]) for found in TABLE.finditer(PAGE.read_text(encoding="utf-8"))] if PAGE.is_file() else []
    )


def folder(options: str) -> str:
    return options.split()[0].split("/")[0]


def rows(options: str, capsys) -> str:
    program, *more = shlex.split(options)
    assert main(["run", str(ROOT / "programs" / program), *more]) == 0
    return "".join(line + "\n" for line in capsys.readouterr().out.splitlines() if line.startswith("|"))


@pytest.mark.parametrize("options, table", tables(), ids=lambda value: "" if value.startswith("|") else value[:40])
def test_table(options, table, capsys):
    first = next(other for other, _ in tables() if folder(other) == folder(options))
    if not (os.environ.get("MESHLANG_LARGE") or os.environ.get("MESHLANG_UPDATE_GOLDEN")) and options != first:
        pytest.skip("MESHLANG_LARGE is not set")
    if os.environ.get("MESHLANG_UPDATE_GOLDEN"):
        text = PAGE.read_text(encoding="utf-8")
        at = text.index(table, text.index(options))
        PAGE.write_text(text[:at] + rows(options, capsys) + text[at + len(table) :], encoding="utf-8")
        return
    printed = rows(re.sub(r"((?:batches|tokens)=\d+)\S*", r"\1", options), capsys)
    assert table.startswith(printed) and printed.count("\n") > 2


def test_a_prompt_on_a_small_mesh(capsys):
    sizes = "hidden=8 heads=2 kv_heads=1 head_size=4 feed=4 experts=4 W=2 H=2 tokens=3 regions=2 table=true"
    more = [word for size in sizes.split() for word in ("-p", size)]
    (row,) = rows(shlex.join(["moe/prefill.py", *more]), capsys).splitlines()[2:]
    assert re.fullmatch(r"\| 2 of 4 experts of 4 \| 2 regions \| 3 \|( [1-9][\d,]+ \|){3}", row)


def test_the_page_has_tables():
    assert len(tables()) >= 3
