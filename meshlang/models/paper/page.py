"""Outcomes as text and as a page in Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .lab import KINDS
from .schedule import Outcome

HEADER = ["", "value", "published", "difference", "from", ""]

BEGINNING = """\
# The paper's tables and figures, run here

Written by `{command}`; do not edit. WaferLLM (OSDI 2025) has tables and figures of its kernels and of models on a
WSE-2. Below, each number that could be run or derived here stands beside the published one. Where a number comes from:

| | |
|---|---|
| measured | a program of `programs/` was run, and compared with numpy, at the size that the row or its note names |
| one layer | one layer was run on the table's own mesh, and counted as often as the model has layers, as the paper does |
| extrapolated | one layer was run on smaller meshes with the load that a PE has on the true one; see below |
| derived | a formula over the others or over published numbers |
| quoted | published only: T10, Ladder and GPUs do not run here |

Decoding is extrapolated from strips of true length: (long x narrow) + (narrow x long) - (narrow x narrow), because its sums go along rows or along
columns, one after the other. Prefill is extrapolated by a straight line through two squares, which understates sums over more columns than they
have: a rough number.

Cycles are those of the profiles of [timing.md](timing.md), seconds are at 1.1 GHz, as the paper counts. Published numbers, powers and their sources
are in `meshlang/models/paper/published.toml`. A larger mesh: `meshlang paper table4 --mesh 420`.

"""


def number(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, str):
        return value
    if isinstance(value, (list, tuple)):
        return f"{number(value[0])} to {number(value[1])}"
    if abs(value) >= 1e7:
        return f"{value:.3g}"
    if value == int(value) or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.4g}"


def _cells(outcome: Outcome) -> tuple[list[list[str]], list[str]]:
    """Rows of text, and the notes that their last cells name."""
    notes: list[str] = []
    cells = []
    for row in outcome.rows:
        if row.how not in notes:
            notes.append(row.how)
        change = "" if row.difference is None else f"{100 * row.difference:+.0f} %" if row.difference else "within"
        if row.difference == 0 and not isinstance(row.published, (list, tuple)):
            change = "0 %"
        value = "-" if row.value is None else f"{number(row.value)} {row.unit}"
        cells.append([row.what, value, number(row.published), change, row.kind, f"[{notes.index(row.how) + 1}]"])
    return cells, notes


def text(outcome: Outcome) -> str:
    cells, notes = _cells(outcome)
    lines = [f"{outcome.name}: {outcome.title}"]
    if cells:
        table = [HEADER, *cells]
        widths = [max(len(row[i]) for row in table) for i in range(len(HEADER))]
        for row in table:
            parts = [c.rjust(w) if i in (1, 2, 3) else c.ljust(w) for i, (c, w) in enumerate(zip(row, widths))]
            lines.append(("  " + "  ".join(parts)).rstrip())
        lines += [f"  [{i}] {note}" for i, note in enumerate(notes, 1)]
    lines += [f"  not run: {left}" for left in outcome.left]
    lines.append(f"  {outcome.seconds:.1f} s")
    return "\n".join(lines) + "\n"


def markdown(outcomes: Sequence[Outcome], command: str, machine: str, minutes: float) -> str:
    out = [BEGINNING.format(command=command)]
    rows = [row for o in outcomes for row in o.rows]
    counts = ", ".join(f"{sum(r.kind == kind for r in rows)} {kind}" for kind in KINDS)
    out.append(f"This run took {minutes:.1f} minutes on {machine}: {counts}.\n\n")
    for outcome in outcomes:
        cells, notes = _cells(outcome)
        out.append(f"## {outcome.name}: {outcome.title}\n\n")
        if cells:
            out.append("| | value | published | difference | from | note |\n|---|---:|---:|---:|---|---|\n")
            out += [f"| {' | '.join(c.replace('|', '/') for c in row)} |\n" for row in cells]
            out.append("\n")
            out += [f"- [{i}] {note}\n" for i, note in enumerate(notes, 1)]
        out += [f"- not run: {left}\n" for left in outcome.left]
        out.append(f"\n{outcome.seconds:.1f} s.\n\n")
    return "".join(out).rstrip() + "\n"
