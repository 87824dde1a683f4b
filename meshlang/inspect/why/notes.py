"""Lines about PEs that the walks share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meshlang.inspect import names, query
from meshlang.ir.program import TaskBinding

from .findings import Place

if TYPE_CHECKING:
    from meshlang.fabric.machine import Machine


def wavelets(count: int) -> str:
    return f"{count} wavelet{'' if count == 1 else 's'}"


def tasks(machine: Machine, place: Place) -> list[TaskBinding]:
    """The tasks bound on a PE."""
    tile = names.tile_of(machine, machine.pe(*place))
    return tile.tasks if tile is not None else []


def idle_notes(machine: Machine, color: int, idle: list[Place], because: list[str]) -> None:
    """PEs that a color comes from, and that do nothing about it."""
    P = machine.pes

    def describe(x: int, y: int) -> tuple[bool, bool, int]:
        pe = machine.pe(x, y)
        return query.pe_view(machine, x, y) is not None, bool(query.operations(machine, pe)), int(P["sent"][pe])

    for group in query.grouped(idle, describe):
        has_code, works, sent = group.what
        who = query.places(group.pes)
        if not has_code:
            because.append(f"color {color} comes from {who}, where no code is")
            continue
        because.append(
            f"color {color} comes from {who}, where {'no operation sends on it' if works else 'nothing is running any more'}; "
            f"{'it has' if len(group.pes) == 1 else 'each has'} sent {wavelets(sent)} in all"
        )
