"""What the code of a PE could do: who would send, who would activate or unblock a task, who would unblock the
command stream.

It says only what the code says for certain (lint/facts.py), and nothing where an id or DSD is computed at run time.
"""

from __future__ import annotations

from collections.abc import Iterable

from meshlang.inspect import names
from meshlang.inspect.lint.facts import Facts, facts_of
from meshlang.inspect.steps import Step, step
from meshlang.ir.frames import function_name
from meshlang.ir.isa import DsdKind
from meshlang.ir.program import TaskBinding, TileProgram

MOST = 3  # places named


def place(tile: TileProgram, pc: int) -> str:
    """ "on_x (pe.csl:22)": the function and the line of an instruction."""
    span = next((tile.spans[i] for i in range(pc, -1, -1) if tile.spans[i] is not None), None)
    return f"{function_name(tile, pc)} ({names.place(span)})"


def _listed(tile: TileProgram, pcs: Iterable[int]) -> str:
    """Places, each once, in words."""
    found = list(dict.fromkeys(place(tile, pc) for pc in pcs if pc >= 0))
    return ", ".join(found[:MOST]) + (" and elsewhere" if len(found) > MOST else "")


def sends(tile: TileProgram, color: int) -> list[int] | None:
    """The instructions that send on a color: none, if the code certainly sends nothing there. None: that cannot be
    told."""
    facts = facts_of(tile)
    pcs = [pc for pc, dsd in facts.fabric if dsd.kind is DsdKind.FABOUT and facts.color_of(dsd) == color]
    if pcs:
        return pcs
    if facts.recolors or color in facts.may_send or any(o.unknown for o in facts.operations):
        return None
    return []


def senders(tile: TileProgram, color: int) -> Step | None:
    """Where the code sends on a color, or that it does not. None if that cannot be told."""
    pcs = sends(tile, color)
    if pcs is None:
        return None
    if not pcs:
        return step("sends_nothing", color=color)
    return step("sends_in", color=color, where=where) if (where := _listed(tile, pcs)) else None


def activators(tile: TileProgram, task: TaskBinding) -> list[TaskBinding]:
    """The tasks whose own code activates a local task."""
    functions = {
        max((f.entry, i) for i, f in enumerate(tile.functions) if f.entry <= pc)[1]
        for pc in facts_of(tile).activated.get(task.id, [])
        if pc >= 0
    }
    return [b for b in tile.tasks if b.function in functions]


def starts(tile: TileProgram, task: TaskBinding) -> Step | None:
    """Who would activate a local task. None if that cannot be told."""
    facts = facts_of(tile)
    return _doers(tile, facts, facts.activated.get(task.id, []), "never_activated", "activated_in")


def unblocks(tile: TileProgram, task: TaskBinding) -> Step | None:
    """Who would unblock a task. None if that cannot be told."""
    facts = facts_of(tile)
    return _doers(tile, facts, facts.unblocked.get(task.id, []), "never_unblocked", "unblocked_in")


def is_never_activated(tile: TileProgram, task: TaskBinding) -> bool:
    """Is it certain that nothing activates a local task?"""
    facts = facts_of(tile)
    return not facts.activated.get(task.id) and not facts.unknown_ids


def _doers(tile: TileProgram, facts: Facts, pcs: list[int], nobody: str, somebody: str) -> Step | None:
    if where := _listed(tile, pcs):
        return step(somebody, where=where)
    return None if pcs or facts.unknown_ids else step(nobody)
