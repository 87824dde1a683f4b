"""The flight recorder, read: the last task starts and completed fabric operations of a machine, and how a fault shows
them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ...ir.dsdops import DsdOpCode
from ...ir.words import OperationRow
from ..bands import in_order
from ..engine import state as s
from . import KINDS

if TYPE_CHECKING:
    from ..loaded import Loaded

SHOWN = 6  # entries of the PE at fault
SHOWN_ELSEWHERE = 3


@dataclass(frozen=True)
class FlightEntry:
    """kind "task" (it starts) or "done" (a vector operation on the fabric has ended); pc: the machine's instruction
    number."""

    cycle: int
    kind: str
    pe: int
    pc: int
    task: int


def flight(machine: Loaded) -> list[FlightEntry]:
    """What the flight recorder holds, by cycle and PE."""
    W: Any = machine.state.W
    n, length = int(W[s.Globals.flightn]), int(s.FLIGHT)
    ring = s.Flight.view(W, W[s.Globals.flight], length)
    out = []
    for entry in in_order(ring[np.arange(max(0, n - length), n) % length]):
        when, who = s.FlightWhen.unpack(int(entry["when"])), s.FlightWhere.unpack(int(entry["where"]))
        out.append(FlightEntry(when["cycle"], KINDS[when["kind"]], who["pe"], who["pc"], who["task"]))
    return out


def flight_notes(machine: Loaded, pe: int, name: Any) -> list[str]:
    """Notes for a fault at a PE: what it did last, and what other PEs did last. name(tile, task): a task in words."""
    entries = flight(machine)
    own = [e for e in entries if e.pe == pe][-SHOWN:]
    other = [e for e in entries if e.pe != pe][-SHOWN_ELSEWHERE:]
    notes = []
    if own:
        notes.append("what this PE did last: " + "; ".join(_words(machine, e, name) for e in own))
    if other:
        notes.append(
            "what others did last: "
            + "; ".join(
                f"PE ({e.pe % machine.width}, {e.pe // machine.width}) {_words(machine, e, name)}" for e in other
            )
        )
    return notes


def _words(machine: Loaded, entry: FlightEntry, name: Any) -> str:
    tile = int(machine.state.tile_of[entry.pe])
    if entry.kind == "task":
        return f"cycle {entry.cycle}: {name(machine, tile, entry.task)} starts"
    return f"cycle {entry.cycle}: {_operation(machine, tile, entry.pc)} done"


def _operation(machine: Loaded, tile: int, pc: int) -> str:
    program = machine.program.tiles[tile]
    code = np.asarray(program.code).reshape(-1, 4)
    row = int(code[pc - machine.state.code_base[tile], 1])
    return DsdOpCode(int(OperationRow.rows(program.dsd_ops)[row, OperationRow.code])).name.lower()
