"""A text log in the frame of the vendor's sim.log.

What published logs show is followed: every line begins with `@<cycle>`; the head gives the dimensions, the trace flags,
and for each tile `P<x>.<y> (hwtile) tile trace flag: ...`; the end gives `CTF Stats`. Their event lines are in a binary
trace beside the log and are not published as text, so the form of the lines for instructions, landings and stalls
(facts: the flags inst_trace, landing, stalls) is ours:

    @105 P4.1 (hwtile): inst 0x001b T128 dsdop fmuls pe.csl:16
    @124 P5.1 (hwtile): landing C0 from link W, data=0x3f800000, ctrl=0
    @110 P5.1 (hwtile): stall UT2 input queue 2 empty, C0
    @124 P5.1 (hwtile): resume UT2 after 14 cycles
    @125 P4.1 (hwtile): task start T8 finish

Tiles have fabric coordinates: with --fabric-offsets 4,1 the first PE is P4.1.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from meshlang.fabric.recording import CONTROLS, EXTRA, HOLDS, KINDS, NOBODY, STALLS
from meshlang.ir.program import RAMP

from .model import DSDOP, KIND, OPS

if TYPE_CHECKING:
    from .model import Trace

LINKS = "NSEWRH"  # the side a wavelet comes from; R the ramp, H the host
ARCHITECTURES = {"wse2": "FYN"}  # as published logs name it; no log of a WSE-3 run was found


def write_simlog(trace: Trace, file: BinaryIO, printed: Sequence[tuple[int, str]] = ()) -> None:
    """printed: lines of <simprint>, (cycle, text), to stand among the events."""
    offset_x, offset_y = trace.program.fabric_offsets or (0, 0)
    dims = trace.program.fabric_dims or (trace.width + 2 * offset_x, trace.height + 2 * offset_y)
    names = {
        int(pe): f"P{x + offset_x}.{y + offset_y}" for pe in np.flatnonzero(trace.mask) for x, y in [trace.xy(int(pe))]
    }
    found = {k: int(n) for k, n in zip(KINDS, np.bincount(trace.events["kind"], minlength=len(KINDS)))}
    flags = [
        name
        for name, kinds in (
            ("inst_trace", ("inst", "op", "issue")),
            ("landing", ("move", "enter")),
            ("stalls", ("stall",)),
        )
        if any(found[k] for k in kinds)
    ]
    head = [
        f"dimX={dims[0]}, dimY={dims[1]}",
        "SimTraceCtf, flags:  "
        + " ".join(
            f"{n}={int(bool(b))}"
            for n, b in (
                ("wavelets", found["send"]),
                ("landing", "landing" in flags),
                ("inst", "inst_trace" in flags),
                ("switch_positions", found["switch"]),
                ("stalls", "stalls" in flags),
            )
        ),
        *(
            f"{name} ({'hwtile' if trace.tile_of[pe] >= 0 else 'nul'}) tile trace flag: {','.join(flags)}"
            for pe, name in names.items()
        ),
        f"Architecture is: {ARCHITECTURES.get(trace.program.arch, trace.program.arch)}",
        "Simtile is: hwtile",
    ]
    file.write("".join(f"@0 {line}\n" for line in head).encode())
    lines = [*_lines(trace, names), *printed]
    lines.sort(key=lambda pair: pair[0])
    file.write("".join(f"@{cycle} {text}\n" for cycle, text in lines).encode())
    stats = (
        ("num_stalls_", "stall"),
        ("num_wavelets", "move"),
        ("num_inst_dispatch", "inst"),
        ("num_switch_pos", "switch"),
    )
    end = [*(f"CTF Stats: {name:17} = {found[kind]:12}" for name, kind in stats)]
    if trace.full_at is not None:
        end.insert(0, "Recording ended here: the limit of events was reached")
    file.write("".join(f"@{trace.last} {line}\n" for line in end).encode())


def _lines(trace: Trace, names: dict[int, str]) -> list[tuple[int, str]]:
    ev = trace.events
    step = (-trace.width, trace.width, 1, -1)
    out: list[tuple[int, str]] = []
    move, enter, inst, stall, go = (int(KIND[k]) for k in ("move", "enter", "inst", "stall", "go"))
    task, end, op, issue, done, control, switch, held = (
        int(KIND[k]) for k in ("task", "end", "op", "issue", "done", "control", "switch", "held")
    )
    entry: dict[int, int] = {}
    for e in ev.tolist():
        cycle, pe, kind, color, queue, thread, value, extra, pc, id_ = e
        who = names.get(pe)
        if kind == move:
            for d in range(4):
                if EXTRA.sides.get(extra) >> d & 1 and (near := names.get(pe + step[d])) is not None:
                    other = trace.color_beside(pe + step[d], color, d)
                    out.append(
                        (
                            cycle + trace.hop,
                            f"{near} (hwtile): landing C{other} from link {LINKS[d ^ 1]}, data=0x{value:08x}, ctrl={EXTRA.what.get(extra)}",
                        )
                    )
            continue
        if who is None:
            continue
        text = None
        if kind == enter:
            side = EXTRA.sides.get(extra)
            arrival = cycle + (trace.ramp - 1 if side == RAMP else 1)
            out.append(
                (
                    arrival,
                    f"{who} (hwtile): landing C{color} from link {LINKS[side]}, data=0x{value:08x}, ctrl={EXTRA.what.get(extra)}",
                )
            )
        elif kind == inst:
            name = OPS[value] + (f" {trace.op_name(pe, pc)}" if value == DSDOP else "")
            text = f"inst 0x{pc - trace.code_base[int(trace.tile_of[pe])]:04x} T{id_} {name}{_at(trace, pe, pc)}"
        elif kind == op:
            text = f"op main {trace.op_name(pe, pc)} {value} elements in {extra} cycles{_at(trace, pe, pc)}"
        elif kind == issue:
            text = f"op {_thread(thread)} {trace.op_name(pe, pc)} {value} elements begins{_color(color)}{_at(trace, pe, pc)}"
        elif kind == done:
            text = f"op {_thread(thread)} {trace.op_name(pe, pc)} done after {value} elements{_color(color)}{_at(trace, pe, pc)}"
        elif kind == stall:
            what = STALLS[extra].replace("queue ", f"queue {queue} ") if queue != NOBODY else STALLS[extra]
            text = f"stall {_thread(thread)} {what}{_color(color)}"
        elif kind == go:
            text = f"resume {_thread(thread)} after {value} cycles"
        elif kind == task:
            entry[pe] = pc
            text = f"task start T{id_} {trace.task_name(pe, id_, pc)}"
        elif kind == end:
            text = f"task end T{id_} {trace.task_name(pe, id_, entry.get(pe, -1))} after {extra} cycles"
        elif kind == control:
            text = f"task {CONTROLS[extra]} T{value} {trace.task_name(pe, value)}"
        elif kind == switch:
            text = f"switch C{color} position {value}"
        elif kind == held:
            text = f"held C{color}: {HOLDS[EXTRA.what.get(extra)]}"
        if text is not None:
            out.append((cycle, f"{who} (hwtile): {text}"))
    return out


def _thread(thread: int) -> str:
    return "main" if thread in (0, NOBODY) else f"UT{thread - 1}"


def _color(color: int) -> str:
    return "" if color == NOBODY else f", C{color}"


def _at(trace: Trace, pe: int, pc: int) -> str:
    place = trace.place(pe, pc)
    return "" if place is None else f" {PurePath(place[0]).name}:{place[1]}"
