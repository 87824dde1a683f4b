"""Programs and fabrics as notebooks show them: a table, a map of the rectangle, heat maps. Plain HTML and SVG, no script."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from .report import PE_MEMORY, resources

if TYPE_CHECKING:
    from meshlang.ir.program import Program

SIDE = 240  # pixels of the longer side of a map
CELLS = 96  # at most so many columns and rows of a map; larger rectangles are summed up
_TILES = ("#4e79a7", "#f28e2b", "#59a14f", "#e15759", "#76b7b2", "#b07aa1", "#edc948", "#9c755f", "#ff9da7", "#bab0ac")
_COLD, _HOT = (240, 244, 250), (178, 24, 43)


def program_html(program: Program) -> str:
    """Rectangle, tile programs with their place, colors and resources."""
    r = resources(program)
    colors = ", ".join(map(str, r["colors"])) or "none"
    head = (
        f"<b>{escape(program.source)}</b>: {r['arch']}, {r['width']} x {r['height']} PEs, {r['pes']:,} with code; "
        f"colors: {escape(colors)}"
    )
    shown = sorted(range(len(r["tiles"])), key=lambda i: -r["tiles"][i]["pes"])[: len(_TILES)]
    fill = dict(zip(shown, _TILES))
    rows = [("", "tile program", "PEs", "memory", "instructions", "tasks", "queues in / out")]
    for i in shown:
        t = r["tiles"][i]
        swatch = f'<span style="display:inline-block;width:.8em;height:.8em;background:{fill[i]}"></span>'
        tasks = ", ".join(f"{n} {kind}" for kind, n in t["tasks"].items() if n) or "none"
        rows.append(
            (
                swatch,
                escape(t["name"]),
                f"{t['pes']:,}",
                f"{t['memory']:,} B ({100 * t['memory'] / PE_MEMORY:.0f}%)",
                f"{t['instructions']:,}",
                tasks,
                f"{t['input_queues']} / {t['output_queues']}",
            )
        )
    more = len(r["tiles"]) - len(shown)
    note = f"<div>and {more} more tile programs</div>" if more > 0 else ""
    tile = np.asarray(program.fabric.tile)
    picture = _svg(_thinned(tile), lambda v: fill.get(int(v), "#888") if v >= 0 else "none", "which code runs where")
    beside = "display:flex;gap:1.5em;flex-wrap:wrap;align-items:flex-start"
    return f'<div>{head}</div><div style="{beside}">{picture}<div>{_table(rows)}{note}</div></div>'


def fabric_html(name: str, cycle: int, stats: dict[str, Any], pes: int) -> str:
    """What the PEs have done so far, as heat maps."""
    maps = []
    for key, title, unit in (
        ("busy", "busy", "cycles in tasks"),
        ("sent", "sent", "wavelets"),
        ("received", "received", "wavelets"),
    ):
        maps.append(heat(np.asarray(stats[key]), title, unit))
    head = f"<b>{escape(name)}</b>: {cycle:,} cycles, {pes:,} PEs, {stats['instructions']:,} instructions, {stats['hops']:,} hops"
    return f'<div>{head}</div><div style="display:flex;gap:1.5em;flex-wrap:wrap">{"".join(maps)}</div>'


def heat(values: np.ndarray, title: str, unit: str) -> str:
    """One number for each PE [h, w], from light (the least) to dark (the most), with a legend."""
    cells = _summed(values)
    low, high = float(cells.min(initial=0)), float(cells.max(initial=0))

    def color(v: float) -> str:
        share = (v - low) / (high - low) if high > low else 0.0
        return "rgb({},{},{})".format(*(round(a + share * (b - a)) for a, b in zip(_COLD, _HOT)))

    legend = f"{low:,.0f} to {high:,.0f} {unit}"
    return f'<figure style="margin:0">{_svg(cells, color, title)}<figcaption>{escape(title)}: {escape(legend)}</figcaption></figure>'


def _factor(shape: tuple[int, ...]) -> int:
    return max(1, -(-max(shape) // CELLS))


def _thinned(values: np.ndarray) -> np.ndarray:
    n = _factor(values.shape)
    return values[::n, ::n]


def _summed(values: np.ndarray) -> np.ndarray:
    """The mean over squares, where there are more PEs than cells."""
    n = _factor(values.shape)
    if n == 1:
        return values
    rows, columns = range(0, values.shape[0], n), range(0, values.shape[1], n)
    return np.array([[values[y : y + n, x : x + n].mean() for x in columns] for y in rows])


def _svg(cells: np.ndarray, color: Any, title: str) -> str:
    h, w = cells.shape
    size = SIDE / max(h, w, 4)
    gap = 1 if size > 5 else 0
    boxes = [
        f'<rect x="{x * size:.1f}" y="{y * size:.1f}" width="{size - gap:.1f}" height="{size - gap:.1f}" fill="{color(cells[y, x])}">'
        f"<title>PE ({x}, {y}): {cells[y, x]:g}</title></rect>"
        for y in range(h)
        for x in range(w)
    ]
    box = f'viewBox="0 0 {w * size:.1f} {h * size:.1f}"'
    size_of = f'width="{w * size:.0f}" height="{h * size:.0f}" style="flex:none;max-width:100%"'
    return f'<svg role="img" aria-label="{escape(title)}" {size_of} {box}>{"".join(boxes)}</svg>'


def _table(rows: Sequence[tuple[str, ...]]) -> str:
    head, *body = rows
    out = "<tr>" + "".join(f"<th>{cell}</th>" for cell in head) + "</tr>"
    out += "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in body)
    return f"<table>{out}</table>"


def text_html(text: str) -> str:
    """Text in which columns matter."""
    return f"<pre>{escape(text)}</pre>"
