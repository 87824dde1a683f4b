"""A color's route as a graph: who sends where, where it ends, and where it leads nowhere. Routes are taken as they are now."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from . import query

if TYPE_CHECKING:
    from meshlang.fabric.machine import Machine

Place = tuple[int, int]
STEPS = {"NORTH": (0, -1), "SOUTH": (0, 1), "EAST": (1, 0), "WEST": (-1, 0)}
OPPOSITE = {"NORTH": "SOUTH", "SOUTH": "NORTH", "EAST": "WEST", "WEST": "EAST"}


@dataclass
class Trace:
    """Routers reached from one PE along (or against) a color."""

    ends: list[Place] = field(default_factory=list)         # PEs whose ramp the route comes from (or leads to)
    host: list[Place] = field(default_factory=list)
    breaks: list[str] = field(default_factory=list)         # where it leads nowhere, in words
    seen: list[Place] = field(default_factory=list)


def upstream(machine: Machine, color: int, start: Place) -> Trace:
    """Where wavelets of a color that reach a PE's router can come from."""
    trace = Trace()
    todo, known = deque([start]), {start}
    while todo:
        x, y = todo.popleft()
        trace.seen.append((x, y))
        view = query.channel(machine, color, x, y)
        if view is None:
            trace.breaks.append(f"PE {x},{y} has no route for color {color}")
            continue
        if not view.rx:
            trace.breaks.append(f"the route of color {color} at PE {x},{y} receives from no side")
        for side in view.rx:
            if side == "RAMP":
                trace.ends.append((x, y))
                continue
            if side == "HOST":
                trace.host.append((x, y))
                continue
            dx, dy = STEPS[side]
            near = (x + dx, y + dy)
            if not (0 <= near[0] < machine.width and 0 <= near[1] < machine.height):
                trace.breaks.append(f"PE {x},{y} receives color {color} from {side}, which is off the rectangle")
                continue
            other = query.channel(machine, color, *near)
            if other is None:
                trace.breaks.append(f"PE {x},{y} receives color {color} from {side}, but PE {near[0]},{near[1]} there has no route for it")
            elif OPPOSITE[side] not in other.tx:
                trace.breaks.append(f"PE {x},{y} receives color {color} from {side}, but PE {near[0]},{near[1]} there sends it to "
                                    f"{'+'.join(other.tx) or 'nowhere'}" + _position(other))
            elif near not in known:
                known.add(near)
                todo.append(near)
    return trace


def downstream(machine: Machine, color: int, start: Place) -> Trace:
    """Where wavelets of a color that a PE's router holds go."""
    trace = Trace()
    todo, known = deque([start]), {start}
    while todo:
        x, y = todo.popleft()
        trace.seen.append((x, y))
        view = query.channel(machine, color, x, y)
        if view is None:
            trace.breaks.append(f"PE {x},{y} has no route for color {color}")
            continue
        if not view.tx:
            trace.breaks.append(f"the route of color {color} at PE {x},{y} leads nowhere: it has no tx")
        for side in view.tx:
            if side == "RAMP":
                trace.ends.append((x, y))
            elif side == "HOST":
                trace.host.append((x, y))
            else:
                dx, dy = STEPS[side]
                near = (x + dx, y + dy)
                if not (0 <= near[0] < machine.width and 0 <= near[1] < machine.height):
                    trace.breaks.append(f"PE {x},{y} sends color {color} to {side}, off the rectangle")
                    continue
                other = query.channel(machine, color, *near)
                if other is None:
                    trace.breaks.append(f"PE {x},{y} sends color {color} to {side}, but PE {near[0]},{near[1]} there has no route for it")
                elif OPPOSITE[side] not in other.rx:
                    trace.breaks.append(f"PE {x},{y} sends color {color} to {side}, but PE {near[0]},{near[1]} there receives it from "
                                        f"{'+'.join(other.rx) or 'nowhere'}" + _position(other))
                elif near not in known:
                    known.add(near)
                    todo.append(near)
    return trace


def _position(view: query.ChannelView) -> str:
    return f" (its switch is at position {view.position})" if view.position is not None else ""


def breaks(machine: Machine, color: int, pes: Iterable[Place]) -> list[str]:
    """Links of a region whose two ends do not agree."""
    found = []
    for x, y in pes:
        view = query.channel(machine, color, x, y)
        for side in view.tx if view is not None else ():
            if side not in STEPS:
                continue
            dx, dy = STEPS[side]
            near = (x + dx, y + dy)
            if not (0 <= near[0] < machine.width and 0 <= near[1] < machine.height):
                found.append(f"PE {x},{y} sends to {side}, off the rectangle")
                continue
            other = query.channel(machine, color, *near)
            if other is None or OPPOSITE[side] not in other.rx:
                takes = "has no route for it" if other is None else f"receives from {'+'.join(other.rx) or 'nowhere'}" + _position(other)
                found.append(f"PE {x},{y} sends to {side}, but PE {near[0]},{near[1]} {takes}")
    return found
