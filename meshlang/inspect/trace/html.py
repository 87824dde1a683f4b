"""One HTML page: a heat map of the fabric with a time slider, details of a PE on click. It needs nothing but a browser.

The page (page.html) draws; here time is cut into frames and what PEs did is summed up. Data are JSON, arrays in it
base64.
"""

from __future__ import annotations

import base64
import html
import json
from functools import cache
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from meshlang.fabric.recording import STALLS

from .model import KIND

if TYPE_CHECKING:
    from .model import Slices, Trace

CELLS = 4_000_000  # PEs x frames of a metric: one byte each
FRAMES = 400
SLICES = 150_000  # tasks, operations and stalls with their details, in all


def write_html(trace: Trace, file: BinaryIO) -> None:
    data = json.dumps(page_data(trace), separators=(",", ":")).replace("</", "<\\/")
    page = (Path(__file__).parent / "page.html").read_text(encoding="utf-8")
    title = html.escape(PurePath(trace.program.source).parent.name or trace.program.source)
    file.write(page.replace("@TITLE@", title).replace("@DATA@", data).encode())


def page_data(trace: Trace) -> dict[str, Any]:
    """What the page shows.

    box: x0, y0, w, h around the traced PEs; edges: cycles of the frames; metrics: per name the bytes [frame, y, x]
    (255: the largest value, `top`), totals [y, x]; slices: per PE, rows start, stop, name, lane (0 main thread, 1 + id
    a microthread), kind.
    """
    ys, xs = np.nonzero(trace.mask)
    x0, y0 = int(xs.min()), int(ys.min())
    w, h = int(xs.max()) - x0 + 1, int(ys.max()) - y0 + 1
    first = trace.first if not len(trace.events) else max(trace.first, int(trace.events["cycle"][0]))
    frames = max(1, min(FRAMES, CELLS // (w * h), trace.last - first))
    edges = np.linspace(first, max(trace.last, first + frames), frames + 1).round().astype(np.int64)
    box = (x0, y0, w, h)
    ev = trace.events
    inside = trace.mask.ravel()
    moves = ev[(ev["kind"] == KIND["move"]) & inside[ev["pe"]]]
    metrics = [
        _metric("busy", "main thread busy, % of time", "%", _covered(trace, trace.tasks, edges, box), edges),
        _metric(
            "operations",
            "vector operations on the fabric that are under way",
            "at once",
            _covered(trace, trace.operations, edges, box),
            edges,
        ),
        _metric("stalled", "threads that wait", "at once", _covered(trace, trace.stalls, edges, box), edges),
        _metric(
            "wavelets",
            "wavelets the router moves",
            "a cycle",
            _counted(trace, moves, edges, box),
            edges,
        ),
    ]
    names: dict[str, int] = {}
    return {
        "program": trace.program.source,
        "profile": trace.profile,
        "size": [trace.width, trace.height],
        "box": box,
        "edges": edges.tolist(),
        "metrics": metrics,
        "tiles": [t.name for t in trace.program.tiles],
        "tile": [[int(trace.tile_of[y * trace.width + x]) for x in range(x0, x0 + w)] for y in range(y0, y0 + h)],
        "traced": trace.mask[y0 : y0 + h, x0 : x0 + w].astype(int).tolist(),
        **_slices(trace, names),
        "names": list(names),
        "full": trace.full_at,
    }


def _cells(trace: Trace, pe: np.ndarray, box: tuple[int, int, int, int]) -> np.ndarray:
    y, x = np.divmod(pe.astype(np.int64), trace.width)
    return (y - box[1]) * box[2] + (x - box[0])


def _covered(trace: Trace, slices: Slices, edges: np.ndarray, box: tuple[int, int, int, int]) -> np.ndarray:
    """Cycles that slices cover, by frame and PE: float [frames, h * w]."""
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


def _counted(trace: Trace, events: np.ndarray, edges: np.ndarray, box: tuple[int, int, int, int]) -> np.ndarray:
    frame = np.clip(np.searchsorted(edges, events["cycle"], "right") - 1, 0, len(edges) - 2)
    cells = box[2] * box[3]
    counts = np.bincount(frame * cells + _cells(trace, events["pe"], box), minlength=(len(edges) - 1) * cells)
    return counts.reshape(len(edges) - 1, cells).astype(float)


def _metric(key: str, title: str, unit: str, amount: np.ndarray, edges: np.ndarray) -> dict[str, Any]:
    """A metric's frames relative to their largest value: what there was at once or in a cycle, in the mean over a frame; of
    "%" a share of the time. factor: what makes the unit of an amount per cycle."""
    factor = 100 if unit == "%" else 1
    rate = amount / np.maximum(np.diff(edges), 1)[:, None] * factor
    top = float(rate.max()) if rate.size and rate.max() > 0 else 1.0
    return {
        "key": key,
        "title": title,
        "unit": unit,
        "factor": factor,
        "top": round(top, 4),
        "total": amount.sum(0).round().astype(int).tolist(),
        "frames": base64.b64encode(np.ceil(rate / top * 255).astype(np.uint8).tobytes()).decode(),
    }


def _slices(trace: Trace, names: dict[str, int]) -> dict[str, Any]:
    """Details of PEs: {"slices": {PE: [start, stop, name, lane, kind, ...]}, "cut": the cycle up to which they are
    there, or None}."""
    groups = ((trace.tasks, 0), (trace.operations, 1), (trace.bulk, 1), (trace.stalls, 2))
    inside = trace.mask.ravel()
    start = np.concatenate([g.start for g, _ in groups])
    pe = np.concatenate([g.pe for g, _ in groups])
    order = np.flatnonzero(inside[pe])[np.argsort(start[inside[pe]], kind="stable")]
    cut = int(start[order[SLICES]]) if len(order) > SLICES else None
    kind = np.concatenate([np.full(len(g), k) for g, k in groups])
    stop = np.concatenate([g.stop for g, _ in groups])
    lane = np.concatenate([g.thread for g, _ in groups])
    events = np.concatenate([g.events for g, _ in groups])

    @cache
    def name(which: int, tile: int, pc: int, task: int, extra: int, pe: int) -> int:
        if which == 0:
            text = trace.task_name(pe, task, pc)
        elif which == 2:
            text = STALLS[extra]
        else:
            place = trace.place(pe, pc)
            text = trace.op_name(pe, pc) + ("" if place is None else f" {PurePath(place[0]).name}:{place[1]}")
        return names.setdefault(text, len(names))

    first_of: dict[int, int] = {}  # a PE that stands for its tile program
    out: dict[int, list[int]] = {}
    for i in order[:SLICES].tolist():
        p, e, k = int(pe[i]), events[i], int(kind[i])
        tile = int(trace.tile_of[p])
        number = name(
            k,
            tile,
            int(e["pc"]) if k < 2 else 0,
            int(e["task"]) if k == 0 else 0,
            int(e["extra"]) if k == 2 else 0,
            first_of.setdefault(tile, p),
        )
        out.setdefault(p, []).extend((int(start[i]), int(stop[i]), number, int(lane[i]), k))
    return {"slices": out, "cut": cut}
