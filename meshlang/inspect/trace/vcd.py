"""Value change dump (IEEE 1364): one scope a PE, for waveform viewers such as GTKWave or Surfer. A cycle is 1 ns.

| signal | |
|---|---|
| busy | 1 while a task runs |
| task | id of the running task (+ 64 control, 128 launched function), x when none |
| line | source line of the vector operation or instruction last begun, x when none |
| ops | vector operations on the fabric that run |
| stalled | vector operations and element accesses that wait |
| c3_valid, c3_data | a wavelet of color 3 leaves the router in this cycle, and its payload |
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

if TYPE_CHECKING:
    from .model import Slices, Trace

_DIGITS = [chr(c) for c in range(33, 127)]


def _identifier(number: int) -> str:
    out = ""
    while True:
        number, digit = divmod(number, len(_DIGITS))
        out += _DIGITS[digit]
        if number == 0:
            return out
        number -= 1


def write_vcd(trace: Trace, file: BinaryIO) -> None:
    pes = [int(pe) for pe in np.flatnonzero(trace.mask & (trace.tile_of.reshape(trace.mask.shape) >= 0))]
    inside = trace.mask.ravel()
    ev = trace.events
    moves = trace.of_kinds("move")
    moves = moves[inside[ev["pe"][moves]]]
    colors: dict[int, list[int]] = defaultdict(list)
    for pe, color in np.unique(np.stack([ev["pe"][moves], ev["color"][moves]], 1), axis=0).tolist():
        colors[pe].append(color)
    ident: dict[tuple[int, str], str] = {}
    width: dict[str, int] = {}
    head = [
        "$comment MeshLang: " + trace.program.source.replace("$", "") + " $end",
        "$timescale 1ns $end",
        "$scope module fabric $end",
    ]
    for pe in pes:
        x, y = trace.xy(pe)
        head.append(f"$scope module pe_{x}_{y} $end")
        signals = [("busy", 1), ("task", 8), ("line", 16), ("ops", 4), ("stalled", 4)]
        signals += [s for c in colors[pe] for s in ((f"c{c}_valid", 1), (f"c{c}_data", 32))]
        for name, bits in signals:
            code = ident[pe, name] = _identifier(len(ident))
            width[code] = bits
            head.append(f"$var wire {bits} {code} {name}{'' if bits == 1 else f' [{bits - 1}:0]'} $end")
        head.append("$upscope $end")
    head += ["$upscope $end", "$enddefinitions $end"]

    # (cycle, signal) -> value; later entries of the same cycle win
    changes: dict[int, dict[str, int | None]] = defaultdict(dict)
    start = trace.first
    for (_, name), code in ident.items():
        changes[start][code] = None if name in ("task", "line") or name.endswith("_data") else 0
    # ends before beginnings: a task that begins in the cycle in which another one ends is the one that is seen
    tasks = trace.tasks
    for stop, pe in zip(tasks.stop.tolist(), tasks.pe.tolist()):
        if stop < trace.last:
            changes[stop].update({ident[pe, "busy"]: 0, ident[pe, "task"]: None, ident[pe, "line"]: None})
    for first, stop, pe, task in zip(
        tasks.start.tolist(), tasks.stop.tolist(), tasks.pe.tolist(), tasks.events["task"].tolist()
    ):
        if stop > first:
            changes[max(first, start)].update({ident[pe, "busy"]: 1, ident[pe, "task"]: task})
    for row in trace.of_kinds("op", "issue", "inst").tolist():
        e = ev[row]
        place = trace.place(int(e["pe"]), int(e["pc"]))
        if place is not None and ident[int(e["pe"]), "busy"] is not None:
            changes[int(e["cycle"])][ident[int(e["pe"]), "line"]] = place[1] & 0xFFFF
    for slices, name in ((trace.operations, "ops"), (trace.stalls, "stalled")):
        for cycle, pe, count in _counts(slices, start, trace.last):
            changes[cycle][ident[pe, name]] = min(count, 15)
    valid: dict[int, set[str]] = defaultdict(set)
    for cycle, pe, color, value in zip(*(ev[f][moves].tolist() for f in ("cycle", "pe", "color", "value"))):
        code = ident[pe, f"c{color}_valid"]
        changes[cycle].update({code: 1, ident[pe, f"c{color}_data"]: value})
        valid[cycle].add(code)
    for cycle, codes in list(valid.items()):
        for code in codes:
            changes[cycle + 1].setdefault(code, 0)
    out = head
    now: dict[str, int | None] = {}
    for cycle in sorted(changes):
        lines = []
        for code, value in changes[cycle].items():
            if cycle == start or now.get(code, 0) != value:
                now[code] = value
                lines.append(_change(code, value, width[code]))
        if cycle == start:
            out += [f"#{cycle}", "$dumpvars", *lines, "$end"]
        elif lines:
            out += [f"#{cycle}", *lines]
    out.append(f"#{max(trace.last, max(changes))}")
    file.write(("\n".join(out) + "\n").encode())


def _change(code: str, value: int | None, bits: int) -> str:
    if bits == 1:
        return f"{'x' if value is None else value}{code}"
    return f"bx {code}" if value is None else f"b{value:b} {code}"


def _counts(slices: Slices, first: int, last: int) -> list[tuple[int, int, int]]:
    """(cycle, PE, how many slices are open) at every change."""
    cycle = np.concatenate([np.maximum(slices.start, first), slices.stop])
    pe = np.concatenate([slices.pe, slices.pe])
    step = np.concatenate([np.ones(len(slices), np.int64), -np.ones(len(slices), np.int64)])
    out = []
    for one in np.unique(pe):
        mine = pe == one
        order = np.argsort(cycle[mine], kind="stable")
        when, total = cycle[mine][order], np.cumsum(step[mine][order])
        final = np.append(when[1:] != when[:-1], True)
        out += [(c, int(one), n) for c, n in zip(when[final].tolist(), total[final].tolist()) if c < last]
    return out
