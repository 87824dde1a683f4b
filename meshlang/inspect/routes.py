"""A color's route as a graph: who sends where, where it ends, and where it leads nowhere. Routes are taken as they are
now."""

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

    ends: list[Place] = field(default_factory=list)  # PEs whose ramp the route comes from (or leads to)
    host: list[Place] = field(default_factory=list)
    breaks: list[str] = field(default_factory=list)  # where it leads nowhere, in words
    teardown: list[Place] = field(default_factory=list)  # where the color is in teardown, and so goes no further
    seen: list[Place] = field(default_factory=list)


def upstream(machine: Machine, color: int, start: Place) -> Trace:
    """Where wavelets of a color that reach a PE's router can come from."""
    return _walk(machine, color, start, against=True)


def downstream(machine: Machine, color: int, start: Place) -> Trace:
    """Where wavelets of a color that a PE's router holds go."""
    return _walk(machine, color, start, against=False)


def _walk(machine: Machine, color: int, start: Place, against: bool) -> Trace:
    trace = Trace()
    todo, known = deque([start]), {start}
    while todo:
        x, y = todo.popleft()
        trace.seen.append((x, y))
        view = query.channel(machine, color, x, y)
        if view is None:
            trace.breaks.append(f"PE {x},{y} has no route for color {color}")
            continue
        if "in teardown" in view.flags:
            trace.breaks.append(f"color {color} is in teardown at PE {x},{y}")
            trace.teardown.append((x, y))
            continue
        sides = view.rx if against else view.tx
        if not sides:
            nowhere = "receives from no side" if against else "leads nowhere: it has no tx"
            trace.breaks.append(f"the route of color {color} at PE {x},{y} {nowhere}")
        for side in sides:
            if side == "RAMP":
                trace.ends.append((x, y))
            elif side == "HOST":
                trace.host.append((x, y))
            else:
                near, wrong = _link(machine, color, (x, y), view, side, against)
                if wrong:
                    trace.breaks.append(wrong)
                elif near not in known:
                    known.add(near)
                    todo.append(near)
    return trace


def _link(
    machine: Machine, color: int, place: Place, view: query.ChannelView, side: str, against: bool
) -> tuple[Place, str]:
    """The PE at the other end of a link, and what is wrong with the link, or ""."""
    near = (place[0] + STEPS[side][0], place[1] + STEPS[side][1])
    here = f"PE {place[0]},{place[1]} " + (
        f"receives color {color} from {side}" if against else f"sends color {color} to {side}"
    )
    if not (0 <= near[0] < machine.width and 0 <= near[1] < machine.height):
        return near, f"{here}, off the rectangle{_position(view)}"
    other = query.channel(machine, color, *near)
    if other is None:
        return near, f"{here}, but PE {near[0]},{near[1]} there has no route for it"
    sides = other.tx if against else other.rx
    if OPPOSITE[side] in sides or "in teardown" in other.flags:
        return near, ""
    does = "sends it to" if against else "receives it from"
    return near, f"{here}, but PE {near[0]},{near[1]} there {does} {'+'.join(sides) or 'nowhere'}{_position(other)}"


def _position(view: query.ChannelView) -> str:
    return f" (its switch is at position {view.position})" if view.position is not None else ""


def breaks(machine: Machine, color: int, pes: Iterable[Place]) -> list[str]:
    """Links of a region that a PE sends into and whose other end does not take it."""
    found = []
    for place in pes:
        view = query.channel(machine, color, *place)
        if view is not None:
            found += [
                wrong
                for side in view.tx
                if side in STEPS and (wrong := _link(machine, color, place, view, side, False)[1])
            ]
    return found
