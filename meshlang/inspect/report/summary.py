"""A session's counters as one dictionary: what --json prints, and what the text is made of. docs/report.md describes
it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from .collect import SIDES, Collector, Phase
from .memory import memory_maps
from .wafer import WAFERS, plmr

PARTS = ("compute", "communication", "stalled", "idle", "done")
WORK = ("bytes_read", "bytes_written", "flops")


def summarize(collector: Collector, wafer: str | None = None) -> dict[str, Any]:
    """The report of one fabric. wafer: the machine to compare with; None: the one it is compiled for. Call
    `collector.finish()` before."""
    session = collector.session
    machine, program = session.machine, session.program
    code = np.asarray(program.fabric.tile) >= 0
    hop, message = int(machine.profile["fabric.hop"]), 2 * int(machine.profile["fabric.ramp"])
    placed = np.zeros(code.shape, np.int64)
    for grid in program.fabric.color.values():
        placed += np.asarray(grid) >= 0
    y, x = np.unravel_index(int(placed.argmax()), placed.shape)
    phases = [_phase(p, code, hop, message) for p in collector.phases]
    report: dict[str, Any] = {
        "program": _short_path(program.source),
        "arch": program.arch,
        "profile": machine.profile.name,
        "width": machine.width,
        "height": machine.height,
        "pes": int(code.sum()),
        "cycles": machine.cycle,
        "hop": hop,
        "message": message,
        "ran": any(p["tasks"] or p["links"]["wavelets"] for p in phases),
        "phases": phases,
        "total": _total(phases, collector.phases, code),
        "colors": [
            {
                "color": c.color,
                "pes": int((np.asarray(program.fabric.color[c.color]) >= 0).sum()),
                "sent": c.sent,
                "from_host": c.from_host,
                "hops": c.hops,
                "longest": c.longest,
            }
            for c in collector.colors
        ],
        "colors_per_pe": {
            "max": int(placed.max()),
            "mean": float(placed[code].mean()) if code.any() else 0.0,
            "at": [int(x), int(y)],
        },
        "queues": _queues(program),
        "memory": memory_maps(program),
    }
    report["plmr"] = plmr(report, WAFERS[wafer or program.arch])
    return report


def _short_path(source: str) -> str:
    """Relative to the current directory, if that is shorter."""
    try:
        relative = os.path.relpath(source)
    except ValueError:  # another drive
        return source
    return Path(min(relative, source, key=len)).as_posix()


def _mean(values: np.ndarray, code: np.ndarray) -> float:
    return float(values[code].mean()) if code.any() else 0.0


def _phase(phase: Phase, code: np.ndarray, hop: int, message: int) -> dict[str, Any]:
    n = max(1, int(code.sum()))
    y, x = np.unravel_index(int(np.where(code, phase.compute, -1).argmax()), code.shape)
    hops, messages = phase.chain
    return {
        "name": phase.name,
        "start": phase.start,
        "cycles": phase.cycles,
        **{part: _mean(getattr(phase, part), code) for part in PARTS},
        "moving": _mean(phase.moving, code),
        "vector": _mean(phase.vector, code),
        "work": dict(zip(WORK, phase.work.sum((0, 1)).tolist())),
        "most_compute": {"pe": [int(x), int(y)], "cycles": int(phase.compute[y, x])},
        "tasks": [
            {"name": t.name, "starts": t.starts, "compute": t.compute / n, "waiting": t.waiting / n}
            for t in phase.tasks
        ],
        "chain": {"hops": hops, "messages": messages, "cycles": hops * hop + messages * message},
        "links": _links(phase.links, phase.cycles),
    }


def _links(links: np.ndarray, cycles: int) -> dict[str, Any]:
    """Utilisation: wavelets by cycles, as a link takes one a cycle. The mean is over all links between PEs of the
    rectangle."""
    h, w, _ = links.shape
    count = 2 * (h * (w - 1) + w * (h - 1))
    y, x, d = np.unravel_index(int(links.argmax()), links.shape)
    busiest = int(links[y, x, d])
    return {
        "wavelets": int(links.sum()),
        "used": int((links > 0).sum()),
        "links": count,
        "mean": float(links.sum()) / (count * cycles) if count and cycles else 0.0,
        "busiest": {"pe": [int(x), int(y)], "side": SIDES[d], "wavelets": busiest, "utilisation": busiest / cycles}
        if busiest
        else None,
    }


def _total(phases: list[dict[str, Any]], raw: list[Phase], code: np.ndarray) -> dict[str, Any]:
    cycles = sum(p["cycles"] for p in phases)
    links = sum((p.links for p in raw), np.zeros((*code.shape, 4), np.int64))
    return {
        "cycles": cycles,
        **{part: sum(p[part] for p in phases) for part in (*PARTS, "moving", "vector")},
        "work": {name: sum(p["work"][name] for p in phases) for name in WORK},
        "links": _links(links, cycles),
    }


def _queues(program: Any) -> list[dict[str, Any]]:
    """Queues of the program's own, alike tile programs together."""
    pes = np.bincount(program.fabric.tile[program.fabric.tile >= 0].ravel(), minlength=len(program.tiles))
    counts: dict[tuple[int, int], int] = {}
    for tile, n in zip(program.tiles, pes.tolist()):
        key = len({q.id for q in tile.inputs}), len({q.id for q in tile.outputs})
        counts[key] = counts.get(key, 0) + n
    return [{"inputs": i, "outputs": o, "pes": n} for (i, o), n in sorted(counts.items(), key=lambda item: -item[1])]
