"""The tables of cycles in docs/stdlib-*.md are what their programs print. A small row of each is run anew, with MESHLANG_LARGE=1 all of them;
with MESHLANG_UPDATE_GOLDEN=1 all are run, and written."""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from meshlang.cli import main

ROOT = Path(__file__).resolve().parents[2]
UPDATE = bool(os.environ.get("MESHLANG_UPDATE_GOLDEN"))
ALL = UPDATE or bool(os.environ.get("MESHLANG_LARGE"))

Run = Callable[..., str]  # a program and its params: what it prints
Row = dict[str, str]


def number(pattern: str, text: str) -> float:
    found = re.search(pattern, text)
    assert found, f"no {pattern!r} in {text!r}"
    return float(found[1].replace(",", ""))


def meshgemm(row: Row, run: Run) -> Row:
    P, tile = int(row["P"]), int(row["tile"])
    printed = run("meshgemm", P=P, M=P * tile, K=P * tile, N=P * tile)
    cycles, step = number(r": ([\d,]+) cycles, ", printed), number(r" cycles, ([\d.,]+) a step", printed)
    theirs = {(r["what"], r["profile"]): r["model"] for r in measured()}.get((f"P = {P}, tile {tile}", "wse3"))
    return {
        "ours": f"{cycles:.0f}",
        "ours, a step": f"{step:.1f}",
        "WaferLLM's under `wse3`, a step": f"{float(theirs) / P:.1f}" if theirs else "",
    }


def measured() -> list[Row]:
    """MeshGEMM's rows of the timing page: cycles of the published program."""
    with (ROOT / "tests/timing/measured.csv").open(encoding="utf-8") as file:
        return [r for r in csv.DictReader(file) if r["source"] == "meshgemm"]


def against_cannon(row: Row, run: Run, **more: object) -> dict[str, list[str]]:
    """By algorithm: cycles, and cycles of a step."""
    printed = run("compare_gemm", sizes=row["P"], tile=row.get("tile", "1"), **more)
    return {m[1]: [m[2], m[3]] for m in re.finditer(r"^ *\d+ +(\w+) +(\d+) +([\d.]+)", printed, re.M)}


def cannon(row: Row, run: Run) -> Row:
    found = against_cannon(row, run)
    return {name: found[name][0] for name in ("MeshGEMM", "Cannon")}


def cannon_in_step(row: Row, run: Run) -> Row:
    found = against_cannon(row, run, sync="true")
    return {name: f"{float(found[name][1]):.0f}" for name in ("MeshGEMM", "Cannon")}


def gemv(row: Row, run: Run) -> Row:
    printed = run("compare_gemv", sizes=row["P"])
    found = {m[1].strip(): m[2] for m in re.finditer(r"^ *\d+  (\S+(?: \S+)*)  +(\d+)", printed, re.M)}
    names = {"`<collectives_2d>` (f32 sums)": "collectives_2d", **{f"K = {k}": f"K-tree, K = {k}" for k in (1, 2, 3)}}
    return {title: found[names.get(title, title)] for title in row if title != "P"}


def layer(row: Row, run: Run) -> Row:
    W, H = row["mesh"].split(" x ")
    heads = re.fullmatch(r"(\d+) of (\d+), (\d+) key-value", row["heads"])
    assert heads
    sizes = {"hidden": row["hidden"], "heads": heads[1], "head_size": heads[2], "kv_heads": heads[3]}
    printed = run("decoder", W=W, H=H, feed=row["feed-forward"], tokens=2, **sizes)
    cycles = number(r"cycles of a token: (\d+) with an empty cache", printed)
    return {"cycles": f"{cycles:,.0f}"}


def prompt(row: Row, run: Run) -> Row:
    W, H = row["W x H"].split(" x ")
    hidden = int(row["hidden"])
    heads = {64: 4, 128: 8, 256: 16, 512: 16}[hidden]
    sizes = {"hidden": hidden, "heads": heads, "kv_heads": heads // 2, "head_size": hidden // heads}
    printed = run("prefill", W=W, H=H, feed=row["feed-forward"], tokens=row["tokens"], **sizes)
    cycles, each = number(r"tokens: (\d+) cycles", printed), number(r"cycles, (\d+) a token", printed)
    return {"cycles": f"{cycles:,.0f}", "a token": f"{each:,.0f}"}


@dataclass(frozen=True)
class Table:
    page: str
    header: str  # how its first line begins
    found: Callable[[Row, Run], Row]
    nth: int = 0  # among those that begin so
    small: int = 1  # rows that every run of the tests looks at

    def lines(self) -> tuple[list[str], int, int]:
        """The page's lines, and where the table's rows begin and end."""
        lines = (ROOT / "docs" / self.page).read_text(encoding="utf-8").split("\n")
        first = [i for i, line in enumerate(lines) if line.startswith(self.header)][self.nth]
        end = next(i for i in range(first, len(lines)) if not lines[i].startswith("|"))
        return lines, first, end


TABLES = {
    "meshgemm": Table("stdlib-gemm.md", "| P | tile | ours |", meshgemm),
    "cannon": Table("stdlib-gemm.md", "| P | tile | MeshGEMM | Cannon |", cannon),
    "cannon in step": Table("stdlib-gemm.md", "| P | MeshGEMM | Cannon |", cannon_in_step),
    "gemv": Table("stdlib-comm.md", "| P | pipeline | ring |", gemv),
    "decoder": Table("stdlib-llm.md", "| mesh | hidden | heads |", layer),
    "prefill": Table("stdlib-llm.md", "| W x H | hidden | feed-forward |", prompt),
}


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def printed(program: str, **params: object) -> str:
        given = [word for name, value in params.items() for word in ("-p", f"{name}={value}")]
        assert main(["run", str(ROOT / "programs" / program), "--arch", "wse3", *given]) == 0
        return capsys.readouterr().out

    return printed


@pytest.mark.parametrize("name", TABLES)
def test_table(name: str, run: Run) -> None:
    table = TABLES[name]
    lines, first, end = table.lines()
    titles = cells(lines[first])
    for at in range(first + 2, end if ALL else first + 2 + table.small):
        row = dict(zip(titles, cells(lines[at]), strict=True))
        new = {**row, **table.found(row, run)}
        if UPDATE:
            lines[at] = "| " + " | ".join(new[title] for title in titles) + " |"
        else:
            assert new == row
    if UPDATE:
        (ROOT / "docs" / table.page).write_text("\n".join(lines), encoding="utf-8")


def test_algorithms_of_products(run: Run) -> None:
    """The comparison of all algorithms, as it is printed."""
    page = ROOT / "docs/stdlib-gemm.md"
    text = page.read_text(encoding="utf-8")
    command = re.search(r"`meshlang run programs/compare_gemm -p sizes=(\S+) -p tile=(\d) --arch wse3`", text)
    assert command
    block = re.compile(r"```\n( +P  algorithm .*\n(?: .*\n)+)```\n").search(text, command.end())
    assert block
    sizes = command[1] if ALL else command[1].split(",")[0]
    printed = run("compare_gemm", sizes=sizes, tile=command[2])
    rows = "".join(f"{line}\n" for line in printed[: printed.index("\n\n")].split("\n"))
    if UPDATE:
        page.write_text(text[: block.start(1)] + rows + text[block.end(1) :], encoding="utf-8")
    else:
        assert block[1].startswith(rows) and rows.count("\n") > 4
