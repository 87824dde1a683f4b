"""The machine's limits, and which letter of PLMR (parallelism, latency, memory, routing) a program meets first.

PLMR is the device model of the WaferLLM paper (OSDI 2025, section 3): massively Parallel cores, a Latency that depends
on the way, little Memory per core, few Routing resources per core.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from meshlang.ir.isa import PE_MEMORY


@dataclass(frozen=True)
class Wafer:
    """Limits of a machine. width, height: PEs that a program with memcpy can have. reserved: queues of those that
    memcpy takes."""

    name: str
    width: int
    height: int
    memory: int
    colors: int
    input_queues: int
    output_queues: int
    reserved_queues: int


# Sizes: CSL documentation, 757 x 996 PEs for --fabric-dims on WSE-2 and 762 x 1172 on WSE-3, of which memcpy takes 7
# columns and 2 rows. Memory, colors, queues: CSL documentation. Reserved: queue 0 (WSE-2), queues 0 and 1 (WSE-3).
WAFERS = {
    "wse2": Wafer("wse2", 750, 994, PE_MEMORY, 24, 8, 6, 1),
    "wse3": Wafer("wse3", 755, 1170, PE_MEMORY, 24, 8, 8, 2),
}

FULL = 0.9  # a share of memory, colors or queues that leaves no room to grow
LETTERS = {"P": "parallelism", "L": "latency", "M": "memory", "R": "routing"}


def plmr(report: dict[str, Any], wafer: Wafer) -> dict[str, Any]:
    """The four letters of a fabric's report (see summary.py), each with a share of what there is, and the one that is
    the bottleneck.

    P and L divide the time of the PEs: computing, or done while others are not; against moving wavelets and waiting for
    them. M and R are the fullest PE's memory, and its colors or queues. These cost no time, they are limits: so the
    bottleneck is P or L, whichever is larger, unless M or R is nearly exhausted (FULL). whole_wafer: what grows with
    the mesh, on the whole wafer.
    """
    total = report["total"]
    cycles = total["cycles"]
    shares = {
        name: total[name] / cycles if cycles else 0.0
        for name in ("compute", "communication", "stalled", "idle", "done")
    }
    memory = max((m["used"] for m in report["memory"]), default=0)
    colors = report["colors_per_pe"]["max"]
    memcpy = any(m["system"] for m in report["memory"])
    free_in = wafer.input_queues - (wafer.reserved_queues if memcpy else 0)
    free_out = wafer.output_queues - (wafer.reserved_queues if memcpy else 0)
    used_in = max((q["inputs"] for q in report["queues"]), default=0)
    used_out = max((q["outputs"] for q in report["queues"]), default=0)
    routing = {
        "colors": (colors, wafer.colors),
        "input queues": (used_in, free_in),
        "output queues": (used_out, free_out),
    }
    scarce = max(routing, key=lambda name: routing[name][0] / routing[name][1])
    letters = {
        "P": {
            "share": shares["compute"] + shares["done"],
            "compute": shares["compute"],
            "done": shares["done"],
            "pes": report["pes"],
            "wafer_pes": wafer.width * wafer.height,
        },
        "L": {
            "share": shares["communication"] + shares["stalled"] + shares["idle"],
            **{name: shares[name] for name in ("communication", "stalled", "idle")},
        },
        "M": {"share": memory / wafer.memory, "used": memory, "limit": wafer.memory},
        "R": {
            "share": routing[scarce][0] / routing[scarce][1],
            "scarce": scarce,
            "used": routing[scarce][0],
            "limit": routing[scarce][1],
            "all": {name: {"used": used, "limit": limit} for name, (used, limit) in routing.items()},
        },
    }
    limit = max("MR", key=lambda letter: letters[letter]["share"])
    first = (
        limit
        if letters[limit]["share"] >= FULL or not report["ran"]
        else max("PL", key=lambda letter: letters[letter]["share"])
    )
    exceeded = [
        f"{name}: {used} of {limit}"
        for name, (used, limit) in {**routing, "memory": (memory, wafer.memory)}.items()
        if used > limit
    ]
    if report["width"] > wafer.width or report["height"] > wafer.height:
        exceeded.append(f"PEs: {report['width']} x {report['height']} of {wafer.width} x {wafer.height}")
    return {
        "machine": wafer.name,
        "letters": letters,
        "bottleneck": first,
        "exceeded": exceeded,
        "whole_wafer": _grown(report, wafer),
    }


def _grown(report: dict[str, Any], wafer: Wafer) -> dict[str, Any] | None:
    """Paths and chains on the largest mesh of the same shape, the same tile on each PE: a guess from one size.

    Taken to grow in proportion is what spans a side of the mesh now; of a mesh with sides below 4 nothing can be said. Nor
    can it of a chain as long as a side in which no single wavelet goes so far: it may cross the mesh from neighbour to
    neighbour, or go to and fro between two (`chain_grows` is None then). `growth` compares runs instead.
    """
    width, height = report["width"], report["height"]
    factor = min(wafer.width / width, wafer.height / height)
    side = max(width, height)
    if factor < 1 or side < 4 or not report["ran"]:
        return None
    longest = max((c["longest"] for c in report["colors"]), default=0)
    chain = max(
        (p["chain"] for p in report["phases"]),
        key=lambda c: c["cycles"],
        default={"hops": 0, "messages": 0, "cycles": 0},
    )

    def grown(hops: int) -> bool:
        return hops >= side - 1

    chain_grows = (True if grown(longest) else None) if grown(chain["hops"]) else False
    hops = round(chain["hops"] * factor) if chain_grows else chain["hops"]
    messages = round(chain["messages"] * factor) if chain_grows and chain["messages"] > 2 else chain["messages"]
    return {
        "width": int(width * factor),
        "height": int(height * factor),
        "longest": round(longest * factor) if grown(longest) else longest,
        "longest_grows": grown(longest),
        "chain": {"hops": hops, "messages": messages, "cycles": hops * report["hop"] + messages * report["message"]},
        "chain_grows": chain_grows,
    }


GROWS, SAME = (
    0.75,
    0.1,
)  # shares of the growth of a side: from the one on it is in proportion, up to the other it is none


def growth(reports: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """How the figures of one program differ between runs of several sizes: what, values, and grows: "in proportion" to the
    longer side of the mesh, "less", "not", or "more"."""
    sides = [max(r["width"], r["height"]) for r in reports]

    def chain(report: dict[str, Any], key: str) -> int:
        return max((p["chain"][key] for p in report["phases"]), default=0)

    figures = {
        "cycles": [r["cycles"] for r in reports],
        "longest way of a wavelet, hops": [max((c["longest"] for c in r["colors"]), default=0) for r in reports],
        "longest chain, hops": [chain(r, "hops") for r in reports],
        "longest chain, messages": [chain(r, "messages") for r in reports],
        "memory of the fullest PE, bytes": [max((m["used"] for m in r["memory"]), default=0) for r in reports],
    }
    return [{"what": what, "values": values, "grows": _how(sides, values)} for what, values in figures.items()]


def _how(sides: list[int], values: list[int]) -> str | None:
    """None where the mesh is the same, or there was nothing."""
    if sides[-1] == sides[0] or values[0] == 0:
        return None
    share = (values[-1] / values[0] - 1) / (sides[-1] / sides[0] - 1)
    return (
        "not" if abs(share) <= SAME else "less" if share < GROWS else "in proportion" if share <= 1 / GROWS else "more"
    )
