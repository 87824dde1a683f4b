"""How far wavelets go: following the routes of a compiled fabric."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from meshlang.diag import Diagnostic, MeshlangError
from meshlang.ir.program import EAST, NORTH, RAMP, SOUTH, WEST

MOVES = {EAST: (0, 1), WEST: (0, -1), SOUTH: (1, 0), NORTH: (-1, 0)}
OPPOSITE = {EAST: WEST, WEST: EAST, NORTH: SOUTH, SOUTH: NORTH}


def longest_route(program: Any, colors: Iterable[int] | None = None) -> int:
    """Hops of the longest way a wavelet takes from one PE to another by the routes of a compiled program.

    program: what `meshlang.compile` returns; colors: the numbers of the colors to look at (all, if None). Routes set
    while the program runs do not count; a router with switch positions counts with all of them. MS0980 if a route ends
    at a router that does not take it.
    """
    fabric = program.ir.fabric
    longest = 0
    for color, configured in fabric.color.items():
        if colors is not None and color not in colors:
            continue
        for y, x in zip(*np.nonzero(configured >= 0), strict=True):
            if not _sides(fabric.configs[configured[y, x]])[0] >> RAMP & 1:
                continue
            at = [(y, x, RAMP, 0)]
            while at:
                cy, cx, side, hops = at.pop()
                inside = 0 <= cy < configured.shape[0] and 0 <= cx < configured.shape[1] and configured[cy, cx] >= 0
                rx, tx = _sides(fabric.configs[configured[cy, cx]]) if inside else (0, 0)
                if not rx >> side & 1:
                    raise MeshlangError(
                        Diagnostic(
                            "MS0980",
                            f"color {color}, sent by PE {x},{y}, ends at {cx},{cy}, whose router does not take it",
                        )
                    )
                if hops and tx >> RAMP & 1:
                    longest = max(longest, hops)
                at += [
                    (cy + dy, cx + dx, OPPOSITE[d], hops + 1)
                    for d, (dy, dx) in MOVES.items()
                    if tx >> d & 1 and d != side
                ]
    return longest


def _sides(config: Any) -> tuple[int, int]:
    """Receiving and sending sides, in any switch position."""
    rx, tx = config.rx, config.tx
    for position in config.positions:
        if position is not None:
            rx |= position[0]
            tx |= position[1]
    return rx, tx


def ktree_chains(N: int, K: int, groups: int = 0) -> list[int]:
    """[K]: software stages of each phase of <comm/ktree_layout> on a line of N PEs, the longer chain of the largest
    group."""
    chains, rest = [], N
    for k in range(K):
        size = -(-N // groups) if k == 0 and groups else next(s for s in range(1, N + 1) if s ** (K - k) >= rest)
        chains.append(min(size, rest) // 2)
        rest = -(-rest // size)
    return chains
