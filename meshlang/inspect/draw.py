"""Grids of PEs as text: a color's route, and heat maps. ASCII only, so that every terminal and pipe shows the same."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from . import query
from .routes import OPPOSITE, STEPS

if TYPE_CHECKING:
    from meshlang.fabric.machine import Machine

    from .shell import Shell

_LABEL = 5  # columns of a row's label


def _link(machine: Machine, color: int, a: tuple[int, int], side: str) -> str:
    """The sign for the link from a PE to its neighbour on a side (EAST or SOUTH)."""
    forward, backward, both = (">", "<", "=") if side == "EAST" else ("v", "^", "|")
    b = (a[0] + STEPS[side][0], a[1] + STEPS[side][1])
    if not (0 <= b[0] < machine.width and 0 <= b[1] < machine.height):
        view = query.channel(machine, color, *a)
        return "x" if view is not None and side in view.tx else " "
    here, there = query.channel(machine, color, *a), query.channel(machine, color, *b)
    out = here is not None and side in here.tx
    back = there is not None and OPPOSITE[side] in there.tx
    if out and (there is None or OPPOSITE[side] not in there.rx) or back and (here is None or side not in here.rx):
        return "x"
    return both if out and back else forward if out else backward if back else " "


def _node(view: query.ChannelView | None) -> str:
    if view is None:
        return "."
    sends, delivers = "RAMP" in view.rx or "HOST" in view.rx, "RAMP" in view.tx or "HOST" in view.tx
    return ("B" if sends and delivers else "S" if sends else "D" if delivers else "+") + (
        str(len(view.contents)) if view.contents else ""
    )


def route(machine: Machine, color: int, where: tuple[int, int, int, int], width: int) -> Iterator[str]:
    """The picture of a route; rows that look like the one before are left out."""
    x0, y0, w, h = where
    shown = min(w, max(1, (width - _LABEL - 2) // 5))
    yield " " * _LABEL + "".join(f"{f'x{x}':<5}" for x in range(x0, x0 + shown)).rstrip()
    before: tuple[str, str] | None = None
    repeated = 0
    for y in range(y0, y0 + h):
        nodes, below = "", ""
        for x in range(x0, x0 + shown):
            nodes += f"{_node(query.channel(machine, color, x, y)):<2}"
            sign = _link(machine, color, (x, y), "EAST")
            nodes += {">": "-> ", "<": "<- ", "=": "<> ", "x": "-x "}.get(sign, "   ")
            below += f"{_link(machine, color, (x, y), 'SOUTH'):<5}"
        row = nodes.rstrip(), below.rstrip()
        if row == before and y != y0 + h - 1:
            repeated += 1
            continue
        if repeated:
            yield f"{'...':<{_LABEL}}{repeated} row{'s' if repeated > 1 else ''} like the one above"
            repeated = 0
        before = row
        yield f"{f'y{y}':<{_LABEL}}{row[0]}"
        if row[1]:
            yield " " * _LABEL + row[1]
    if shown < w:
        yield f"columns {x0} to {x0 + shown - 1} of {w} are shown; `route {color} @ {x0 + shown}:,{y0}:{y0 + h}` shows more"


_RAMP = (17, 18, 19, 26, 32, 34, 40, 46, 154, 190, 220, 214, 208, 202, 196)  # 256-colour codes from dark blue to red


def heat(repl: Shell, grid: np.ndarray, origin: tuple[int, int]) -> None:
    """A grid of digits, coloured on a terminal. Large grids are reduced: a cell is then the most of its block."""
    h, w = grid.shape
    block = max(1, -(-w // max(8, repl.width - _LABEL - 2)), -(-h // 60))
    if block > 1:
        padded = np.zeros((-(-h // block) * block, -(-w // block) * block), grid.dtype)
        padded[:h, :w] = grid
        grid = padded.reshape(padded.shape[0] // block, block, padded.shape[1] // block, block).max(axis=(1, 3))
        repl.say(f"a cell is the most of {block} x {block} PEs")
    most = int(grid.max())
    for j, row in enumerate(grid.tolist()):
        label = f"{f'y{origin[1] + j * block}':<{_LABEL}}"
        cells = ["." if v <= 0 else str(min(9, v * 10 // most)) for v in row]
        if repl.color:
            from rich.text import Text

            text = Text(label)
            for v, cell in zip(row, cells):
                text.append(
                    cell, f"black on color({_RAMP[min(len(_RAMP) - 1, v * len(_RAMP) // most)]})" if v > 0 else "dim"
                )
            repl.console().print(text, soft_wrap=True, highlight=False)
        else:
            repl.say(label + "".join(cells))
