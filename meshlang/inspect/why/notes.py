"""Steps about PEs that the walks share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meshlang.inspect import names, query
from meshlang.inspect.steps import Step, step
from meshlang.ir.program import TaskBinding

from .findings import Place

if TYPE_CHECKING:
    from meshlang.fabric.machine import Machine


def tasks(machine: Machine, place: Place) -> list[TaskBinding]:
    """The tasks bound on a PE."""
    tile = names.tile_of(machine, machine.pe(*place))
    return tile.tasks if tile is not None else []


def idle_notes(machine: Machine, color: int, idle: list[Place], because: list[Step]) -> None:
    """PEs that a color comes from, and that do nothing about it."""
    P = machine.pes

    def describe(x: int, y: int) -> tuple[bool, bool, int]:
        pe = machine.pe(x, y)
        return query.pe_view(machine, x, y) is not None, bool(query.operations(machine, pe)), int(P["sent"][pe])

    for group in query.grouped(idle, describe):
        has_code, works, sent = group.what
        pes = tuple(group.pes)
        if not has_code:
            because.append(step("comes_from_no_code", color=color, pes=pes))
            continue
        comes = "comes" if len(pes) == 1 else "come"
        because.append(step(f"{comes}_from_{'other' if works else 'idle'}", color=color, pes=pes, sent=sent))
