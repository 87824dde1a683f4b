"""What the code of a PE could do, in words: who would send, who would activate or unblock a task, who would unblock the
command stream.

It says only what the code says for certain (lint/facts.py), and nothing where an id or DSD is computed at run time.
"""

from __future__ import annotations

from collections.abc import Iterable

from meshlang.inspect import names
from meshlang.inspect.lint.facts import Facts, facts_of
from meshlang.ir.frames import function_name
from meshlang.ir.isa import DsdKind
from meshlang.ir.program import TaskBinding, TileProgram

MOST = 3  # places named
SENDS_NOTHING = "the code there sends nothing on color {color}"
NOBODY = "nothing in the code there activates it"


def place(tile: TileProgram, pc: int) -> str:
    """ "on_x (pe.csl:22)": the function and the line of an instruction."""
    span = next((tile.spans[i] for i in range(min(pc, len(tile.spans) - 1), -1, -1) if tile.spans[i] is not None), None)
    return f"{function_name(tile, pc)} ({names.place(span)})"


def _listed(tile: TileProgram, pcs: Iterable[int]) -> str:
    """Places, each once, in words."""
    found = list(dict.fromkeys(place(tile, pc) for pc in pcs if pc >= 0))
    return ", ".join(found[:MOST]) + (" and elsewhere" if len(found) > MOST else "")


def senders(tile: TileProgram, color: int) -> str:
    """Where the code sends on a color, or that it does not. "" if that cannot be told."""
    facts = facts_of(tile)
    pcs = [pc for pc, dsd in facts.fabric if dsd.kind is DsdKind.FABOUT and facts.color_of(dsd) == color]
    if pcs:
        where = _listed(tile, pcs)
        return f"color {color} is sent in {where}" if where else ""
    if facts.recolors or color in facts.may_send or any(o.unknown for o in facts.operations):
        return ""
    return SENDS_NOTHING.format(color=color)


def activators(tile: TileProgram, task: TaskBinding) -> list[TaskBinding]:
    """The tasks whose own code activates a local task."""
    functions = {
        max((f.entry, i) for i, f in enumerate(tile.functions) if f.entry <= pc)[1]
        for pc in facts_of(tile).activated.get(task.id, [])
        if pc >= 0
    }
    return [b for b in tile.tasks if b.function in functions]


def starts(tile: TileProgram, task: TaskBinding) -> str:
    """Who would activate a local task. "" if that cannot be told."""
    facts = facts_of(tile)
    return _doers(tile, facts, facts.activated.get(task.id, []), NOBODY, "it is activated in")


def unblocks(tile: TileProgram, task: TaskBinding) -> str:
    """Who would unblock a task. "" if that cannot be told."""
    facts = facts_of(tile)
    return _doers(
        tile, facts, facts.unblocked.get(task.id, []), "nothing in the code there unblocks it", "it is unblocked in"
    )


def _doers(tile: TileProgram, facts: Facts, pcs: list[int], nobody: str, somebody: str) -> str:
    if where := _listed(tile, pcs):
        return f"{somebody} {where}"
    return "" if pcs or facts.unknown_ids else nobody
