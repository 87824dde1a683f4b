"""Routes of a color at one PE: directions, switch positions, edges."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Any

from meshlang.ir.program import DIRECTIONS, EAST, NORTH, RAMP, SOUTH, WEST

from .source import fail

MAX_POSITIONS = 4


class Route(Enum):
    RAMP = RAMP
    EAST = EAST
    WEST = WEST
    NORTH = NORTH
    SOUTH = SOUTH


class Edge(Enum):
    """A side of a code region."""

    TOP = NORTH
    BOTTOM = SOUTH
    LEFT = WEST
    RIGHT = EAST

    def pes(self, width: int, height: int) -> list[tuple[int, int]]:
        """The PEs along this edge of a width x height region: from west to east, or from north to south."""
        if self in (Edge.TOP, Edge.BOTTOM):
            y = 0 if self is Edge.TOP else height - 1
            return [(x, y) for x in range(width)]
        x = 0 if self is Edge.LEFT else width - 1
        return [(x, y) for y in range(height)]


class RoutingPosition:
    """Where a color's wavelets come from and go to. Lists of them are switch positions 0 to 3."""

    def __init__(self) -> None:
        self._input: list[Route] = []
        self._output: list[Route] = []

    def set_input(self, routes: Sequence[Route]) -> RoutingPosition:
        """Receive from these sides. Returns itself, as the next three do. MS0953 for what is no Route."""
        self._input = _routes(routes)
        return self

    def set_output(self, routes: Sequence[Route]) -> RoutingPosition:
        """Send to these sides."""
        self._output = _routes(routes)
        return self

    def add_input(self, route: Route) -> RoutingPosition:
        """Receive from this side, too."""
        self._input = _routes([*self._input, route])
        return self

    def add_output(self, route: Route) -> RoutingPosition:
        """Send to this side, too."""
        self._output = _routes([*self._output, route])
        return self

    def get_input(self) -> list[Route]:
        """The sides it receives from."""
        return list(self._input)

    def get_output(self) -> list[Route]:
        """The sides it sends to."""
        return list(self._output)

    def __repr__(self) -> str:
        return f"RoutingPosition({[r.name for r in self._input]} -> {[r.name for r in self._output]})"


class EdgeRouteInfo:
    """Routing positions for the PEs of one edge: what `get_edge_routing` makes."""

    def __init__(self, edge: Edge, routes: Sequence[RoutingPosition]):
        if not isinstance(edge, Edge):
            fail(
                "MS0953",
                f"get_edge_routing takes an Edge first, found {edge!r}",
                help="Edge.TOP, BOTTOM, LEFT or RIGHT",
            )
        self.edge, self.routes = edge, list(routes)


def get_edge_routing(edge: Edge, routes: Sequence[RoutingPosition]) -> EdgeRouteInfo:
    """Switch positions of a color on the PEs of one edge. MS0953 for what is no Edge."""
    return EdgeRouteInfo(edge, routes)


def _routes(routes: Any) -> list[Route]:
    try:
        found = list(routes)
    except TypeError:
        found = [routes]
    for r in found:
        if not isinstance(r, Route):
            fail("MS0953", f"expected a list of Route, found {r!r} in it", help="for example [Route.RAMP, Route.SOUTH]")
    return list(dict.fromkeys(found))


def mask(routes: Sequence[Route]) -> int:
    """The bits 1 << direction of ir.program."""
    return sum(1 << r.value for r in routes)


def names(bits: int) -> str:
    """The directions of a mask, for messages."""
    return ", ".join(name for i, name in enumerate(DIRECTIONS) if bits >> i & 1) or "none"


def masks(positions: Any, what: str, *, inputs: bool = True, outputs: bool = True) -> tuple[tuple[int, int], ...]:
    """Routing positions as (rx, tx) masks. `inputs`, `outputs`: whether that side must be given (True) or must not
    (False). MS0953."""
    try:
        found = list(positions)
    except TypeError:
        found = [positions]
    if not 1 <= len(found) <= MAX_POSITIONS:
        fail("MS0953", f"{what} takes 1 to {MAX_POSITIONS} routing positions, found {len(found)}")
    result = []
    for i, p in enumerate(found):
        if not isinstance(p, RoutingPosition):
            fail("MS0953", f"{what} takes a list of RoutingPosition, found {p!r} in it")
        rx, tx = mask(p.get_input()), mask(p.get_output())
        for wanted, given, side in ((inputs, rx, "input"), (outputs, tx, "output")):
            if wanted and not given:
                fail("MS0953", f"{what}: routing position {i} has no {side} routes", help=f"add .set_{side}([...])")
            if not wanted and given:
                fail(
                    "MS0953",
                    f"{what}: routing position {i} names {side} routes ({names(given)}); those are found by connect()",
                    help=f"leave set_{side} out",
                )
        if rx & tx & ~(1 << RAMP):
            fail(
                "MS0953",
                f"{what}: routing position {i} sends back to where it receives from ({names(rx & tx & ~(1 << RAMP))})",
            )
        result.append((rx, tx))
    return tuple(result)
