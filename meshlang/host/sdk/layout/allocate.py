"""Values for nets: different ones wherever two nets meet at a PE."""

from __future__ import annotations

from typing import NoReturn

import numpy as np

from meshlang.diag import Diagnostic, Label, MeshlangError
from meshlang.sema.model.layout import SWITCH_COLORS_WSE3

from .color import MAX_COLOR
from .plan import STEPS, Net, Plan, first


def occupied(plan: Plan, net: Net) -> np.ndarray:
    """[cells] where a net must be alone with its value: its PEs, and PEs that it sends to (a stray wavelet would be
    taken for another's)."""
    found = net.present.reshape(plan.height, plan.width).copy()
    sends = np.array([sum(1 << d for d in STEPS if any(tx >> d & 1 for _, tx in p)) for p in plan.routes] + [0])
    out = sends[net.route].reshape(plan.height, plan.width)
    for direction, (dx, dy) in STEPS.items():
        y, x = np.nonzero(out >> direction & 1)
        inside = (x + dx >= 0) & (x + dx < plan.width) & (y + dy >= 0) & (y + dy < plan.height)
        found[y[inside] + dy, x[inside] + dx] = True
    return found.ravel()


def conflicts(plan: Plan) -> list[set[int]]:
    """For each net the numbers of the nets that it meets somewhere."""
    where = [occupied(plan, net) for net in plan.nets]
    words = [np.zeros(plan.width * plan.height, np.int64) for _ in range(len(where) // 62 + 1)]
    for i, cells in enumerate(where):
        words[i // 62] |= cells.astype(np.int64) << (i % 62)
    combinations = np.unique(np.stack(words, axis=1), axis=0).tolist()
    met: list[set[int]] = [set() for _ in where]
    for row in combinations:
        together = [i for i in range(len(where)) if row[i // 62] >> (i % 62) & 1]
        for i in together:
            met[i].update(together)
    for i, others in enumerate(met):
        others.discard(i)
    return met


def allocate(plan: Plan, met: list[set[int]], banned: dict[int, set[int]]) -> list[int]:
    """A value for each net. `banned`: values that a net must not get. MS0954 two given values clash, MS0963 none is
    left.

    Nets are taken in order of how few values are left to them (DSATUR); each gets the lowest.
    """
    arch = plan.layout.platform.target.arch
    switched = {
        i for i, net in enumerate(plan.nets) if any(len(plan.routes[n]) > 1 for n in np.unique(net.route) if n >= 0)
    }
    values: dict[int, int] = {}
    for i, net in enumerate(plan.nets):
        if net.value is None:
            continue
        for j in met[i]:
            if values.get(j) == net.value:
                _clash(plan, plan.nets[j], net)
        values[i] = net.value

    def left(i: int) -> list[int]:
        taken = {values[j] for j in met[i] if j in values} | banned.get(i, set())
        return [
            v
            for v in range(MAX_COLOR + 1)
            if v not in taken and (arch != "wse3" or i not in switched or v in SWITCH_COLORS_WSE3)
        ]

    open_ = [i for i in range(len(plan.nets)) if i not in values]
    while open_:
        choices = {i: left(i) for i in open_}
        i = min(open_, key=lambda i: (len(choices[i]), -len(met[i]), i))
        if not choices[i]:
            _none_left(plan, i, met, switched, arch, banned.get(i, set()))
        values[i] = choices[i][0]
        open_.remove(i)
    return [values[i] for i in range(len(plan.nets))]


def _clash(plan: Plan, a: Net, b: Net) -> NoReturn:
    cell = first(occupied(plan, a) & occupied(plan, b))
    assert a.given is not None and b.given is not None
    raise MeshlangError(
        Diagnostic(
            "MS0955",
            f"colors {a.name!r} and {b.name!r} both have the value {b.value} and meet at {plan.at(cell)}",
            b.given.span,
            labels=[Label(a.given.span, "the other one")] if a.given.span is not None else [],
            help="give them different values, or none: the compiler then chooses",
        )
    )


def _none_left(plan: Plan, i: int, met: list[set[int]], switched: set[int], arch: str, banned: set[int]) -> NoReturn:
    net = plan.nets[i]
    others = sorted(plan.nets[j].name for j in met[i])
    notes = [f"it meets {len(others)} other colors: {', '.join(others[:30])}{', ...' if len(others) > 30 else ''}"]
    if i in switched and arch == "wse3":
        notes.append(
            f"it has switch positions, and on wse3 only the colors {', '.join(map(str, sorted(SWITCH_COLORS_WSE3)))} have switches"
        )
    if banned:
        notes.append(
            f"code at its PEs uses {', '.join(map(str, sorted(banned)))} itself, as colors{' or task ids' if arch == 'wse2' else ''}"
        )
    raise MeshlangError(
        Diagnostic(
            "MS0963",
            f"no value is left for color {net.name!r}: there are {MAX_COLOR + 1} colors",
            net.colors[0].span,
            notes=notes,
            help="use fewer colors at one PE, or place the regions so that fewer routes cross there",
        )
    )
