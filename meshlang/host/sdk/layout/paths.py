"""Routes between ports: shortest paths over routers that the net does not use otherwise.

A step over a free PE costs 1, over a PE of a code region 1 + CROSSING: routes go around regions where that is not much
longer, and else through their routers, which does not touch their code. The PEs of a port are connected in order, by
paths that share no router; where one path blocks another, they are laid again in another order.
"""

from __future__ import annotations

import heapq
from itertools import product

import numpy as np

from meshlang.ir.program import EAST, NORTH, OPPOSITE, SOUTH, WEST
from meshlang.syntax.source import Span

from .color import MAX_COLOR
from .plan import Net, Plan
from .region import PortHandle, Positions

CROSSING = 8
_HORIZONTAL_FIRST = (EAST, WEST, SOUTH, NORTH)
_VERTICAL_FIRST = (SOUTH, NORTH, EAST, WEST)
RETRIES = 16  # further orders that are tried when the simple ones fail


def connect_ports(plan: Plan) -> None:
    """Lay the routes of all connections and streams into the plan. MS0962 when one cannot be found."""
    jobs: list[tuple[PortHandle, PortHandle, Span | None]] = list(plan.layout.connections)
    for stream in plan.layout.streams:
        if stream.port is not None:
            tx, rx = (stream.port, stream.port.peer) if stream.incoming else (stream.port.peer, stream.port)
            jobs.append((tx, rx, stream.span))
    cost = np.where(plan.owner.ravel() >= 0, 1 + CROSSING, 1)
    load = np.zeros(plan.width * plan.height, np.int16)
    for net in plan.nets:
        load += net.present
    # wide ports first: they have the fewest ways
    for tx, rx, span in sorted(jobs, key=lambda job: -len(job[0].pes)):
        net = plan.net(tx.color)
        pairs = list(zip(_cells(plan, tx), _cells(plan, rx)))
        blocked = (net.route >= 0) | (load > MAX_COLOR)
        paths = _lay(plan, pairs, blocked, cost, _sides(tx.positions), _sides(rx.positions))
        if isinstance(paths, int):
            _no_path(plan, tx, rx, span, net, pairs[paths])
            continue
        for path in paths:
            _enter(plan, net, path, tx.positions, rx.positions, span)
            load[path] += ~net.present[path]
            net.present[path] = True
    plan.diagnostics.raise_if_errors()


def _cells(plan: Plan, port: PortHandle) -> list[int]:
    x, y = port.region.origin
    return [plan.cell(x + i, y + j) for i, j in port.pes]


def _sides(positions: Positions) -> int:
    """The sides that some position of a port uses already: the route takes another one."""
    sides = 0
    for rx, tx in positions:
        sides |= rx | tx
    return sides


def _lay(
    plan: Plan, pairs: list[tuple[int, int]], blocked: np.ndarray, cost: np.ndarray, tx_used: int, rx_used: int
) -> list[list[int]] | int:
    """A path for each pair, none sharing a cell; or the number of a pair for which there is none."""
    orders = [list(range(len(pairs))), list(range(len(pairs)))[::-1]]
    failed = 0
    tried: set[tuple[int, ...]] = set()
    for order, preference in product(orders, (_HORIZONTAL_FIRST, _VERTICAL_FIRST)):
        result = _attempt(plan, pairs, order, preference, blocked, cost, tx_used, rx_used)
        if not isinstance(result, int):
            return result
        failed = result
        if len(pairs) == 1:
            return failed
    order = list(orders[0])
    for _ in range(RETRIES):
        order = [failed, *(i for i in order if i != failed)]  # what failed goes first the next time
        if tuple(order) in tried:
            break
        tried.add(tuple(order))
        result = _attempt(plan, pairs, order, _HORIZONTAL_FIRST, blocked, cost, tx_used, rx_used)
        if not isinstance(result, int):
            return result
        failed = result
    return failed


def _attempt(
    plan: Plan, pairs: list[tuple[int, int]], order: list[int], preference: tuple[int, ...], blocked: np.ndarray, cost: np.ndarray,
    tx_used: int, rx_used: int,
) -> list[list[int]] | int:  # fmt: skip
    taken = blocked.copy()
    paths: list[list[int]] = [[] for _ in pairs]
    for i in order:
        path = _shortest(plan, *pairs[i], preference, taken, cost, tx_used, rx_used)
        if path is None:
            return i
        taken[path] = True
        paths[i] = path
    return paths


def _shortest(
    plan: Plan,
    start: int,
    goal: int,
    preference: tuple[int, ...],
    blocked: np.ndarray,
    cost: np.ndarray,
    tx_used: int,
    rx_used: int,
) -> list[int] | None:
    """The cells of a cheapest path, both ends included (A*; among equal ones it keeps to the preferred directions)."""
    gx, gy = plan.coordinates(goal)

    def distance(cell: int) -> int:
        x, y = plan.coordinates(cell)
        return abs(x - gx) + abs(y - gy)

    best = {start: 0}
    came: dict[int, int] = {}
    heap = [(distance(start), 0, start)]
    counter = 0
    while heap:
        _, _, cell = heapq.heappop(heap)
        if cell == goal:
            path = [cell]
            while cell != start:
                path.append(cell := came[cell])
            return path[::-1]
        for direction in reversed(preference):
            if cell == start and tx_used >> direction & 1:
                continue
            near = plan.step(cell, direction)
            if near < 0 or (near == goal and rx_used >> OPPOSITE[direction] & 1) or (near != goal and blocked[near]):
                continue
            price = best[cell] + (1 if near == goal else int(cost[near]))
            if price < best.get(near, 1 << 60):
                best[near], came[near] = price, cell
                counter -= 1
                heapq.heappush(heap, (price + distance(near), counter, near))
    return None


def direction_to(plan: Plan, a: int, b: int) -> int:
    """From a cell to its neighbour."""
    return next(d for d in (NORTH, SOUTH, EAST, WEST) if plan.step(a, d) == b)


def _enter(plan: Plan, net: Net, path: list[int], tx: Positions, rx: Positions, span: Span | None) -> None:
    """Write a path into the net: the missing side of the ports' positions, and one position at each router between."""

    def enter(cell: int, positions: Positions) -> None:
        net.route[cell] = number = plan.route_number(positions)
        plan.places.setdefault((net.number, number), span)

    out = direction_to(plan, path[0], path[1])
    enter(path[0], tuple((r, 1 << out) for r, _ in tx))
    for before, cell, after in zip(path, path[1:], path[2:]):
        come, go = OPPOSITE[direction_to(plan, before, cell)], direction_to(plan, cell, after)
        enter(cell, ((1 << come, 1 << go),))
    come = OPPOSITE[direction_to(plan, path[-2], path[-1])]
    enter(path[-1], tuple((1 << come, t) for _, t in rx))


def _no_path(plan: Plan, tx: PortHandle, rx: PortHandle, span: Span | None, net: Net, pair: tuple[int, int]) -> None:
    plan.error(
        "MS0962",
        f"there is no path left from {plan.at(pair[0])} to {plan.at(pair[1])} for color {net.name!r}",
        span,
        [(tx.span, f"from port {tx.name!r}"), (rx.span, f"to port {rx.name!r}")],
        help="every way is taken by other routes of this color, or leads out of a side that the port uses itself: place the regions further "
        "apart, or give one of them a color of its own (region.color(name))",
    )
