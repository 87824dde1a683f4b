"""What pages and pictures of a run have in common: what PEs did, cut into frames of time, and why the run ended."""

from __future__ import annotations

from pathlib import PurePath
from typing import TYPE_CHECKING, Any

import numpy as np

from meshlang.fabric.recording import EXTRA
from meshlang.inspect.why.rules import RULES

from .model import KIND, Slices

if TYPE_CHECKING:
    from meshlang.inspect.why.findings import Explanation

    from .model import Trace

CELLS = 4_000_000  # PEs x frames that are looked at at most
MOST_WAITS = 60  # chains of a deadlock


def _span(trace: Trace) -> tuple[int, int]:
    """The cycles that are shown, half open: from the first event on."""
    first = trace.first if not len(trace.events) else max(trace.first, int(trace.events["cycle"][0]))
    return first, max(trace.last, first + 1)


def frames_of(trace: Trace, most: int) -> int:
    """How many frames of at least a cycle the run has: at most `most`, and fewer on large meshes."""
    first, last = _span(trace)
    return max(1, min(most, last - first, CELLS // (trace.box[2] * trace.box[3])))


def over_time(trace: Trace, frames: int) -> dict[str, Any]:
    """edges: cycles of the frames, and the end; metrics: `metric` each, the first of them compute; links: the same for
    wavelets to N, S, E, W."""
    first, last = _span(trace)
    edges = np.linspace(first, max(last, first + frames), frames + 1).round().astype(np.int64)
    ev = trace.events
    own = ev[trace.mask.ravel()[ev["pe"]]]
    stalls = trace.stalls
    busy = _covered(trace, trace.tasks, edges)
    waiting = _covered(trace, stalls, edges)
    main = _covered(trace, _only(stalls, stalls.thread == 0), edges)
    compute = np.maximum(busy - main, 0)
    sent, taken = (_counted(trace, own[own["kind"] == KIND[k]], edges) for k in ("send", "take"))
    routed = _counted(trace, trace.moves, edges)
    sides = EXTRA.sides.get(trace.moves["extra"].astype(np.int64))
    links = np.stack([_counted(trace, trace.moves[(sides >> d & 1) == 1], edges) for d in range(4)], 1)
    return {
        "edges": edges,
        "metrics": [
            metric("compute", "Compute", "main thread at work, not waiting", "%", compute, edges),
            metric("send", "Send", "wavelets the PE sends", "a cycle", sent, edges),
            metric("receive", "Receive", "wavelets the PE takes", "a cycle", taken, edges),
            metric("wait", "Wait", "threads that wait for a queue or FIFO", "at once", waiting, edges),
            metric("router", "Links", "wavelets the router moves", "a cycle", routed, edges),
        ],
        "links": metric("links", "", "", "a cycle", links.reshape(len(edges) - 1, -1), edges),
    }


def _only(slices: Slices, which: np.ndarray) -> Slices:
    return Slices(
        *(getattr(slices, name)[which] for name in ("start", "stop", "pe", "thread", "begin", "end", "events"))
    )


def _covered(trace: Trace, slices: Slices, edges: np.ndarray) -> np.ndarray:
    """Cycles that slices cover, by frame and cell: float [frames, cells]."""
    keep = trace.mask.ravel()[slices.pe]
    pe = trace.cells(slices.pe[keep])
    start, stop = (np.clip(a[keep], edges[0], edges[-1]) for a in (slices.start, slices.stop))
    n, cells = len(edges) - 1, trace.box[2] * trace.box[3]
    # a slice adds (edge - start) in its first frame, everything in the frames between, (stop - edge) in its last: the
    # integral of open slices, as differences of two ramps
    ramp = np.zeros((n + 1, cells))
    step = np.zeros((n + 1, cells))
    for at, sign in ((start, 1), (stop, -1)):
        frame = np.minimum(np.searchsorted(edges, at, "right") - 1, n)
        np.add.at(ramp, (frame, pe), sign * (edges[np.minimum(frame + 1, n)] - at))
        np.add.at(step, (np.minimum(frame + 1, n), pe), sign)
    return ramp[:n] + np.cumsum(step[:n], 0) * np.diff(edges)[:, None]


def _counted(trace: Trace, events: np.ndarray, edges: np.ndarray) -> np.ndarray:
    frame = np.clip(np.searchsorted(edges, events["cycle"], "right") - 1, 0, len(edges) - 2)
    cells = trace.box[2] * trace.box[3]
    counts = np.bincount(frame * cells + trace.cells(events["pe"]), minlength=(len(edges) - 1) * cells)
    return counts.reshape(len(edges) - 1, cells).astype(float)


def metric(key: str, name: str, title: str, unit: str, amount: np.ndarray, edges: np.ndarray) -> dict[str, Any]:
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


def ended(trace: Trace) -> dict[str, Any] | None:
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
