"""One HTML page of a run: the mesh, the run over time, links, routes, wavelets that move, lanes of a PE, and why it ended. It
needs nothing but a browser.

The files of `page` draw; here time is cut into frames and what PEs did is summed up. What takes room is thinned out until
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
from meshlang.inspect.why.rules import RULES

from .model import KIND, Slices

if TYPE_CHECKING:
    from meshlang.inspect.why.findings import Explanation

    from .model import Trace

FRAMES = 400
CELLS = 4_000_000  # PEs x frames that are looked at at most
WAVELETS = 400_000  # hops of wavelets that can be shown moving
SLICES = 300_000  # tasks, operations and stalls with their details, in all
MOST_WAITS = 60  # chains of a deadlock
# Bytes of each part, compressed. In base64 they are a third more, and sums and code come to them: 1 MB in all
ROOM = {"frames": 360_000, "wavelets": 130_000, "slices": 150_000}
Box = tuple[int, int, int, int]  # x0, y0, width, height around the traced PEs


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

    edges: cycles of the frames; metrics: `_metric` each; links: the same for wavelets to N, S, E, W; colors: routes as the layout
    sets them and hops, in all and on each link; wavelets: hops in order; lanes: per PE what its threads did; stalls: cycles by
    cause and color; ended: what ended the run, and who waited for whom.
    """
    ys, xs = np.nonzero(trace.mask)
    x0, y0 = int(xs.min()), int(ys.min())
    box = (x0, y0, int(xs.max()) - x0 + 1, int(ys.max()) - y0 + 1)
    ev = trace.events
    moves = ev[(ev["kind"] == KIND["move"]) & trace.mask.ravel()[ev["pe"]]]
    cells = box[2] * box[3]
    first = trace.first if not len(ev) else max(trace.first, int(ev["cycle"][0]))
    last = max(trace.last, first + 1)
    frames = max(1, min(FRAMES, CELLS // cells, last - first))
    return {
        "program": trace.program.source,
        "profile": trace.profile,
        "size": [trace.width, trace.height],
        "box": box,
        "hop": trace.hop,
        **_fitted("frames", frames, lambda n: _over_time(trace, moves, box, first, last, n)),
        "tiles": [t.name for t in trace.program.tiles],
        "tile": _of_box(trace.tile_of.astype(np.int32), trace, box),
        "traced": _of_box(trace.mask.ravel().astype(np.uint8), trace, box),
        "colors": _colors(trace, moves, box),
        "wavelets": _fitted("wavelets", min(len(moves), WAVELETS), lambda n: _hops(trace, moves, box, n)),
        "lanes": _lanes(trace, box),
        "stalls": _stalls(trace, box),
        "ended": _ended(trace),
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


def _of_box(values: np.ndarray, trace: Trace, box: Box) -> np.ndarray:
    """The box's part of an array [pe], row by row."""
    x0, y0, w, h = box
    return np.ascontiguousarray(values.reshape(trace.height, trace.width)[y0 : y0 + h, x0 : x0 + w]).ravel()


def _cells(trace: Trace, pe: np.ndarray, box: Box) -> np.ndarray:
    y, x = np.divmod(pe.astype(np.int64), trace.width)
    return (y - box[1]) * box[2] + (x - box[0])


# ---------------------------------------------------------------- over time


def _over_time(trace: Trace, moves: np.ndarray, box: Box, first: int, last: int, frames: int) -> dict[str, Any]:
    edges = np.linspace(first, max(last, first + frames), frames + 1).round().astype(np.int64)
    ev = trace.events
    own = ev[trace.mask.ravel()[ev["pe"]]]
    stalls = trace.stalls
    busy = _covered(trace, trace.tasks, edges, box)
    waiting = _covered(trace, stalls, edges, box)
    main = _covered(trace, _only(stalls, stalls.thread == 0), edges, box)
    compute = np.maximum(busy - main, 0)
    sent, taken = (_counted(trace, own[own["kind"] == KIND[k]], edges, box) for k in ("send", "take"))
    routed = _counted(trace, moves, edges, box)
    sides = EXTRA.sides.get(moves["extra"].astype(np.int64))
    links = np.stack([_counted(trace, moves[(sides >> d & 1) == 1], edges, box) for d in range(4)], 1)
    return {
        "edges": edges,
        "metrics": [
            _metric("compute", "Compute", "main thread at work, not waiting", "%", compute, edges),
            _metric("send", "Send", "wavelets the PE sends", "a cycle", sent, edges),
            _metric("receive", "Receive", "wavelets the PE takes", "a cycle", taken, edges),
            _metric("wait", "Wait", "threads that wait for a queue or FIFO", "at once", waiting, edges),
            _metric("router", "Links", "wavelets the router moves", "a cycle", routed, edges),
        ],
        "links": _metric("links", "", "", "a cycle", links.reshape(len(edges) - 1, -1), edges),
    }


def _only(slices: Slices, which: np.ndarray) -> Slices:
    return Slices(
        *(getattr(slices, name)[which] for name in ("start", "stop", "pe", "thread", "begin", "end", "events"))
    )


def _covered(trace: Trace, slices: Slices, edges: np.ndarray, box: Box) -> np.ndarray:
    """Cycles that slices cover, by frame and cell: float [frames, cells]."""
    keep = trace.mask.ravel()[slices.pe]
    pe = _cells(trace, slices.pe[keep], box)
    start, stop = (np.clip(a[keep], edges[0], edges[-1]) for a in (slices.start, slices.stop))
    n, cells = len(edges) - 1, box[2] * box[3]
    # a slice adds (edge - start) in its first frame, everything in the frames between, (stop - edge) in its last: the
    # integral of open slices, as differences of two ramps
    ramp = np.zeros((n + 1, cells))
    step = np.zeros((n + 1, cells))
    for at, sign in ((start, 1), (stop, -1)):
        frame = np.minimum(np.searchsorted(edges, at, "right") - 1, n)
        np.add.at(ramp, (frame, pe), sign * (edges[np.minimum(frame + 1, n)] - at))
        np.add.at(step, (np.minimum(frame + 1, n), pe), sign)
    return ramp[:n] + np.cumsum(step[:n], 0) * np.diff(edges)[:, None]


def _counted(trace: Trace, events: np.ndarray, edges: np.ndarray, box: Box) -> np.ndarray:
    frame = np.clip(np.searchsorted(edges, events["cycle"], "right") - 1, 0, len(edges) - 2)
    cells = box[2] * box[3]
    counts = np.bincount(frame * cells + _cells(trace, events["pe"], box), minlength=(len(edges) - 1) * cells)
    return counts.reshape(len(edges) - 1, cells).astype(float)


def _metric(key: str, name: str, title: str, unit: str, amount: np.ndarray, edges: np.ndarray) -> dict[str, Any]:
    """A metric's frames relative to their largest value `top`: what there was at once or in a cycle, in the mean over a frame; of
    "%" a share of the time. frames: uint8 [frames, cells], 255 is `top` and 0 nothing at all; total: cycles or wavelets in the
    whole run; factor: what makes the unit of an amount per cycle."""
    factor = 100 if unit == "%" else 1
    rate = amount / np.maximum(np.diff(edges), 1)[:, None] * factor
    top = float(rate.max()) if rate.size and rate.max() > 0 else 1.0
    level = np.maximum(np.round(rate / top * 255), rate > 0)
    return {
        "key": key,
        "name": name,
        "title": title,
        "unit": unit,
        "factor": factor,
        "top": round(top, 4),
        "total": amount.sum(0).round().astype(np.uint32),
        "frames": level.astype(np.uint8),
    }


# ---------------------------------------------------------------- colors and wavelets


def _colors(trace: Trace, moves: np.ndarray, box: Box) -> list[dict[str, Any]]:
    """Per color that has a route or wavelets: route, uint16 [cells], the sides (N, S, E, W, ramp, host) it comes from and, six
    bits higher, goes to, of all positions of its switch together; turns: whether there are several; links: hops [4, cells]."""
    fabric = trace.program.fabric
    sides = EXTRA.sides.get(moves["extra"].astype(np.int64))
    cells = box[2] * box[3]
    where = _cells(trace, moves["pe"], box)
    out = []
    for color in sorted({*fabric.color, *np.unique(moves["color"]).tolist()}):
        route = np.zeros(cells, np.uint16)
        turns = False
        if color in fabric.color:
            ways = []
            for config in fabric.configs:
                masks = [(config.rx, config.tx), *(p for p in config.positions if p is not None)]
                ways.append(int(np.bitwise_or.reduce([rx | tx << 6 for rx, tx in masks])))
            index = _of_box(np.asarray(fabric.color[color]).ravel(), trace, box)
            route = np.where(index >= 0, np.array(ways or [0], np.uint16)[index], 0).astype(np.uint16)
            turns = any(len(set(fabric.configs[i].positions)) > 1 for i in np.unique(index[index >= 0]).tolist())
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


def _hops(trace: Trace, moves: np.ndarray, box: Box, count: int) -> dict[str, Any]:
    """The first hops of wavelets: cycle after the one before, cell, color, sides. cut: the cycle up to which they are
    there, None: all."""
    some = moves[:count]
    cycle = some["cycle"].astype(np.int64)
    return {
        "first": int(cycle[0]) if count else 0,
        "later": np.diff(cycle, prepend=cycle[:1]).astype(np.uint32),
        "cell": _cells(trace, some["pe"], box).astype(np.uint32),
        "color": some["color"].astype(np.uint8),
        "sides": EXTRA.sides.get(some["extra"].astype(np.int64)).astype(np.uint8),
        "cut": int(moves["cycle"][count]) if count < len(moves) else None,
    }


# ---------------------------------------------------------------- threads


def _lanes(trace: Trace, box: Box) -> dict[str, Any]:
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
    cell = _cells(trace, pe[keep], box)
    order = np.lexsort((kind[keep], start[keep], cell))
    keep, cell = keep[order], cell[order]
    cells, begins, counts = np.unique(cell, return_index=True, return_counts=True)
    # rank of a PE among those of its tile program: the first of each come first
    tile = _of_box(trace.tile_of, trace, box)[cells]
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


def _stalls(trace: Trace, box: Box) -> list[dict[str, Any]]:
    """Waiting by cause and color, the longest first: cycles of threads, and how often a wavelet could not leave a router
    (unit). per: uint32 [cells]."""
    stalls = trace.stalls
    keep = trace.mask.ravel()[stalls.pe]
    cells = box[2] * box[3]
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
            per = np.bincount(_cells(trace, events["pe"][mine], box), amount[mine], minlength=cells)
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


# ---------------------------------------------------------------- the end


def _ended(trace: Trace) -> dict[str, Any] | None:
    """A fault or deadlock: title and text, and for each wait the PEs, the words, and the pairs of PEs that the walk to the
    root went along."""
    if trace.failed is None:
        return None
    why: Explanation | None = trace.failed.explain()
    diagnostic = trace.failed.diagnostics[0]
    out: dict[str, Any] = {
        "title": f"{diagnostic.code}: {diagnostic.message}",
        "text": [*diagnostic.notes, *([f"help: {diagnostic.help}"] if diagnostic.help else [])],
        "waits": [],
    }
    if why is not None:
        out["text"] = [f"{RULES[name].title}: {RULES[name].change}" for name in why.causes()]
        for found in why.findings[:MOST_WAITS]:
            place = f"{PurePath(found.span.file.path).name}:{found.span.line_col()[0]}" if found.span else ""
            out["waits"].append(
                {"pes": found.pes[:200], "text": found.text, "place": place, "why": found.because, "chain": found.chain}
            )
    return out
