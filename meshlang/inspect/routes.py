"""A color's route as a graph: who sends where, where it ends, and where it leads nowhere. Routes are taken as they are
now."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from . import query
from .steps import Step, step

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
    breaks: list[Step] = field(default_factory=list)  # where it leads nowhere
    switched: bool = False  # does a switch that points elsewhere make one of the breaks?
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
            trace.breaks.append(step("no_route", pe=(x, y), color=color))
            continue
        if view.teardown:
            trace.breaks.append(step("in_teardown", color=color, pe=(x, y)))
            trace.teardown.append((x, y))
            continue
        sides = view.rx if against else view.tx
        if not sides:
            trace.breaks.append(step("from_nowhere" if against else "to_nowhere", color=color, pe=(x, y)))
        for side in sides:
            if side == "RAMP":
                trace.ends.append((x, y))
            elif side == "HOST":
                trace.host.append((x, y))
            else:
                near, wrong = _link(machine, color, (x, y), view, side, against)
                if wrong is not None:
                    trace.breaks.append(wrong)
                    trace.switched |= wrong.value("position") is not None
                elif near not in known:
                    known.add(near)
                    todo.append(near)
    return trace


def _link(
    machine: Machine, color: int, place: Place, view: query.ChannelView, side: str, against: bool
) -> tuple[Place, Step | None]:
    """The PE at the other end of a link, and what is wrong with the link, or None."""
    near = (place[0] + STEPS[side][0], place[1] + STEPS[side][1])
    does = "receives" if against else "sends"
    link: dict[str, Any] = {"pe": place, "color": color, "side": side}
    if not (0 <= near[0] < machine.width and 0 <= near[1] < machine.height):
        return near, _switched(f"{does}_off", view, link)
    other = query.channel(machine, color, *near)
    if other is None:
        return near, step(f"{does}_unrouted", **link, near=near)
    sides = other.tx if against else other.rx
    if OPPOSITE[side] in sides or other.teardown:
        return near, None
    return near, _switched(
        "receives_unsent" if against else "sends_unreceived", other, {**link, "near": near, "sides": sides}
    )


def _switched(what: str, view: query.ChannelView, values: dict[str, Any]) -> Step:
    """A step that says where the switch is, if there is one."""
    return step(what, **values) if view.position is None else step(f"{what}_switched", **values, position=view.position)


def breaks(machine: Machine, color: int, pes: Iterable[Place]) -> list[Step]:
    """Links of a region that a PE sends into and whose other end does not take it."""
    found = []
    for place in pes:
        view = query.channel(machine, color, *place)
        if view is not None:
            found += [
                wrong
                for side in view.tx
                if side in STEPS and (wrong := _link(machine, color, place, view, side, False)[1]) is not None
            ]
    return found
