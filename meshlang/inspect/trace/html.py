"""One HTML page of a run: the mesh, the run over time, links, routes, wavelets that move, lanes of a PE, and why it ended. It
needs nothing but a browser.

The files of `page` draw; here and in overview.py what PEs did is summed up. What takes room is thinned out until
the page is small enough to be sent: fewer frames, fewer wavelets, lanes of fewer PEs; the page says so.
"""

from __future__ import annotations

import base64
import gzip
import html
import json
from collections.abc import Callable
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from meshlang.fabric.recording import EXTRA, HOLDS, NOBODY, STALLS

from .model import KIND
from .overview import ended, frames_of, over_time

if TYPE_CHECKING:
    from .model import Trace

FRAMES = 400
WAVELETS = 400_000  # hops of wavelets that can be shown moving
SLICES = 300_000  # tasks, operations and stalls with their details, in all
# Bytes of each part, compressed. In base64 they are a third more, and sums and code come to them: 1 MB in all
ROOM = {"frames": 360_000, "wavelets": 130_000, "slices": 150_000}


def write_html(trace: Trace, file: BinaryIO) -> None:
    folder = Path(__file__).parent / "page"
    page, style, script = ((folder / name).read_text(encoding="utf-8") for name in ("page.html", "page.css", "page.js"))
    title = html.escape(PurePath(trace.program.source).parent.name or trace.program.source)
    data = base64.b64encode(packed(page_data(trace))).decode()
    for mark, text in (("@STYLE@", style), ("@SCRIPT@", script), ("@TITLE@", title), ("@DATA@", data)):
        page = page.replace(mark, text)
    file.write(page.encode())


def packed(data: dict[str, Any]) -> bytes:
    """JSON and arrays as the page reads them, gzip: length of the JSON (8 bytes), the JSON, the arrays. An array stands in the
    JSON as {"$": [offset behind the JSON, elements, type]}; everything begins at multiples of 8 bytes."""
    parts: list[bytes] = []
    at = 0

    def placed(value: Any) -> Any:
        nonlocal at
        if isinstance(value, dict):
            return {key: placed(v) for key, v in value.items()}
        if isinstance(value, (list, tuple)):
            return [placed(v) for v in value]
        if not isinstance(value, np.ndarray):
            return value
        raw = value.tobytes()
        said = {"$": [at, value.size, value.dtype.name]}
        parts.append(raw + bytes(-len(raw) % 8))
        at += len(parts[-1])
        return said

    text = json.dumps(placed(data), separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return gzip.compress(b"".join((len(text).to_bytes(8, "little"), text, *parts)), 9, mtime=0)


def page_data(trace: Trace) -> dict[str, Any]:
    """What the page shows; cells are PEs of the box, row by row.

    edges, metrics, links: as `overview.over_time` has them; colors: routes as the layout sets them and hops, in all and on each
    link; wavelets: hops in order; lanes: per PE what its threads did; stalls: cycles by cause and color; ended: what ended the
    run, and who waited for whom.
    """
    return {
        "program": trace.program.source,
        "profile": trace.profile,
        "size": [trace.width, trace.height],
        "box": trace.box,
        "hop": trace.hop,
        **_fitted("frames", frames_of(trace, FRAMES), lambda n: over_time(trace, n)),
        "tiles": [t.name for t in trace.program.tiles],
        "tile": trace.of_box(trace.tile_of.astype(np.int32)),
        "traced": trace.of_box(trace.mask.ravel().astype(np.uint8)),
        "colors": _colors(trace),
        "wavelets": _fitted("wavelets", min(len(trace.moves), WAVELETS), lambda n: _hops(trace, n)),
        "lanes": _lanes(trace),
        "stalls": _stalls(trace),
        "ended": ended(trace),
        "full": trace.full_at,
    }


def _fitted(part: str, count: int, make: Callable[[int], dict[str, Any]]) -> dict[str, Any]:
    """What `make` makes of as many things, at most `count`, as there is room for."""
    while True:
        data = make(count)
        size = len(packed(data))
        if size <= ROOM[part] or count <= 2:
            return data
        # names and the like do not become less with it: a step is not longer than a half
        count = max(2, min(count - 1, max(count // 2, int(count * ROOM[part] / size * 0.95))))


# ---------------------------------------------------------------- colors and wavelets


def _colors(trace: Trace) -> list[dict[str, Any]]:
    """Per color that has a route or wavelets: route, uint16 [cells], the sides (N, S, E, W, ramp, host) it comes from and, six
    bits higher, goes to, of all positions of its switch together; turns: whether there are several; links: hops [4, cells]."""
    fabric, moves = trace.program.fabric, trace.moves
    sides = EXTRA.sides.get(moves["extra"].astype(np.int64))
    cells = trace.box[2] * trace.box[3]
    where = trace.cells(moves["pe"])
    out = []
    for color in sorted({*fabric.color, *np.unique(moves["color"]).tolist()}):
        route = np.zeros(cells, np.uint16)
        turns = False
        if color in fabric.color:
            ways = []
            for config in fabric.configs:
                masks = [(config.rx, config.tx), *(p for p in config.positions if p is not None)]
                ways.append(int(np.bitwise_or.reduce([rx | tx << 6 for rx, tx in masks])))
            index = trace.of_box(np.asarray(fabric.color[color]).ravel())
            route = np.where(index >= 0, np.array(ways or [0], np.uint16)[index], 0).astype(np.uint16)
            turns = any(len({*fabric.configs[i].positions} - {None}) > 1 for i in np.unique(index[index >= 0]).tolist())
        mine = moves["color"] == color
        links = np.stack([np.bincount(where[mine & (sides >> d & 1 == 1)], minlength=cells) for d in range(4)])
        name = fabric.host_in.get(color) or fabric.host_out.get(color) or ""
        out.append(
            {
                "color": color,
                "name": name,
                "moves": int(mine.sum()),
                "turns": turns,
                "route": route,
                "links": links.astype(np.uint32),
            }
        )
    return out


def _hops(trace: Trace, count: int) -> dict[str, Any]:
    """The first hops of wavelets: cycle after the one before, cell, color, sides. cut: the cycle up to which they are
    there, None: all."""
    some = trace.moves[:count]
    cycle = some["cycle"].astype(np.int64)
    return {
        "first": int(cycle[0]) if count else 0,
        "later": np.diff(cycle, prepend=cycle[:1]).astype(np.uint32),
        "cell": trace.cells(some["pe"]).astype(np.uint32),
        "color": some["color"].astype(np.uint8),
        "sides": EXTRA.sides.get(some["extra"].astype(np.int64)).astype(np.uint8),
        "cut": int(trace.moves["cycle"][count]) if count < len(trace.moves) else None,
    }


# ---------------------------------------------------------------- threads


def _lanes(trace: Trace) -> dict[str, Any]:
    """What threads did, PE by PE and by start: cells and how many slices each has; start (after the one before), length, name,
    lane (0 main thread, 1 + id a microthread), kind (0 task, 1 operation, 2 wait). names: [text, place in the source]. Of
    many PEs, those that stand for their tile programs come first; all: whether every PE is there."""
    groups = ((trace.tasks, 0), (trace.operations, 1), (trace.bulk, 1), (trace.stalls, 2))
    inside = trace.mask.ravel()
    start, stop, pe, lane, events = (
        np.concatenate([getattr(g, name) for g, _ in groups]) for name in ("start", "stop", "pe", "thread", "events")
    )
    kind = np.concatenate([np.full(len(g), k) for g, k in groups])
    keep = np.flatnonzero(inside[pe])
    cell = trace.cells(pe[keep])
    order = np.lexsort((kind[keep], start[keep], cell))
    keep, cell = keep[order], cell[order]
    cells, begins, counts = np.unique(cell, return_index=True, return_counts=True)
    # rank of a PE among those of its tile program: the first of each come first
    tile = trace.of_box(trace.tile_of)[cells]
    by_tile = np.argsort(tile, kind="stable")
    heads = np.searchsorted(tile[by_tile], tile[by_tile])
    rank = np.empty(len(cells), np.int64)
    rank[by_tile] = np.arange(len(cells)) - heads
    preferred = np.lexsort((cells, rank))

    def make(most: int) -> dict[str, Any]:
        fit = int(np.searchsorted(np.cumsum(counts[preferred]), most, "right"))
        chosen = np.sort(preferred[: max(1, fit)])
        rows = [keep[begins[c] : begins[c] + min(counts[c], most)] for c in chosen]
        row = np.concatenate(rows) if rows else keep[:0]
        later = np.diff(start[row].astype(np.int64), prepend=0)
        heads = np.cumsum([0, *(len(r) for r in rows)])[: len(rows)]
        later[heads] = start[row[heads]]
        number, names = _names(trace, pe[row], kind[row], events[row])
        return {
            "cells": cells[chosen].astype(np.uint32),
            "counts": np.array([len(r) for r in rows], np.uint32),
            "later": later.astype(np.uint32),
            "length": (stop[row].astype(np.int64) - start[row]).astype(np.uint32),
            "name": number,
            "lane": lane[row].astype(np.uint8),
            "kind": kind[row].astype(np.uint8),
            "names": names,
            "all": len(row) == len(keep),
        }

    return _fitted("slices", min(len(keep), SLICES), make)


def _names(trace: Trace, pe: np.ndarray, kind: np.ndarray, events: np.ndarray) -> tuple[np.ndarray, list[list[str]]]:
    """Number of each slice's name, and the names: what it is, and the line that it comes from."""
    tile = trace.tile_of[pe].astype(np.int64)
    of = np.stack(
        [
            kind,
            tile,
            events["pc"],
            np.where(kind == 0, events["task"], 0),
            np.where(kind == 2, events["extra"], 0),
            np.where(kind == 2, events["color"], 0),
        ]
    ).astype(np.int64)
    _, at, number = np.unique(of, axis=1, return_index=True, return_inverse=True)
    names: dict[tuple[str, str], int] = {}
    renumbered = []
    for i in at.tolist():
        what, pc = int(kind[i]), int(events["pc"][i])
        if what == 0:
            text = trace.task_name(int(pe[i]), int(events["task"][i]), pc)
        elif what == 2:
            color = int(events["color"][i])
            text = STALLS[int(events["extra"][i])] + (f", color {color}" if color != NOBODY else "")
        else:
            text = trace.op_name(int(pe[i]), pc)
        renumbered.append(names.setdefault((text, _place(trace, int(pe[i]), pc)), len(names)))
    out = np.array(renumbered, np.uint16 if len(names) < 1 << 16 else np.uint32)[number.reshape(-1)]
    return out, [list(name) for name in names]


def _place(trace: Trace, pe: int, pc: int) -> str:
    place = trace.place(pe, pc)
    return "" if place is None else f"{PurePath(place[0]).name}:{place[1]}"


def _stalls(trace: Trace) -> list[dict[str, Any]]:
    """Waiting by cause and color, the longest first: cycles of threads, and how often a wavelet could not leave a router
    (unit). per: uint32 [cells]."""
    stalls = trace.stalls
    keep = trace.mask.ravel()[stalls.pe]
    cells = trace.box[2] * trace.box[3]
    ev = trace.events
    held = ev[(ev["kind"] == KIND["held"]) & trace.mask.ravel()[ev["pe"]]]
    of = (
        (STALLS, "cycles", stalls.events[keep], (stalls.stop - stalls.start)[keep]),
        (HOLDS, "times", held, np.ones(len(held), np.int64)),
    )
    out = []
    for words, unit, events, amount in of:
        why = events["extra"].astype(np.int64) & 0xFF
        key = why << 8 | events["color"]
        for k in np.unique(key).tolist():
            mine = key == k
            per = np.bincount(trace.cells(events["pe"][mine]), amount[mine], minlength=cells)
            color = k & 0xFF
            out.append(
                {
                    "cause": words[k >> 8],
                    "color": None if color == NOBODY else color,
                    "unit": unit,
                    "total": int(per.sum()),
                    "per": per.astype(np.uint32),
                }
            )
    return sorted(out, key=lambda s: (s["unit"], -s["total"]))
