"""A fabric that is slow, not hung: who still works and with what, and wavelets that go round for ever."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from meshlang.fabric.engine import state as s
from meshlang.inspect import names, query, routes
from meshlang.inspect.steps import Step, step

from .findings import Finding
from .notes import tasks

if TYPE_CHECKING:
    from meshlang.fabric.machine import Machine

LOOPING = 10_000  # cycles of one task after which others that wait for it are worth a word


def rings(machine: Machine) -> Iterator[Finding]:
    """Wavelets that go round for ever: their route is a circle that no ramp leaves."""
    for color in names.colors_of(machine):
        grid = machine.state.channels[color]
        pes = np.flatnonzero(grid >= 0)
        holding = pes[s.ChannelState.count.get(machine.state.buffer(grid[pes])["state"]) > 0]
        if not len(holding):
            continue
        y, x = divmod(int(holding[0]), machine.width)
        trace = routes.downstream(machine, color, (x, y))
        if not trace.ends and not trace.host and not trace.breaks:
            yield Finding(trace.seen, step("ring", color=color), rule="ring")


def busy(machine: Machine) -> Iterator[Finding]:
    """Who still works, and with what, for a fabric that is slow and not hung."""
    P = machine.pes
    pes = np.flatnonzero((P["tile"] >= 0) & ((P["st"] != s.ST_IDLE) | (P["utmask"] != 0) | (P["cmd"] != 0)))

    def describe(x: int, y: int) -> tuple:
        view = query.pe_view(machine, x, y)
        assert view is not None
        if view.operations:
            op = view.operations[0]
            wait = replace(op.wait, done=0)  # which differs from PE to PE
            of = "" if wait.total is None else step("of_elements", total=wait.total)
            return step("busy_operation" if wait.waits else "under_way", wait=wait, of=of, task=op.task), op.span
        if view.command == "not started":
            return step("starts_soon", command=machine.command), None
        kept = _kept_waiting(machine, view)
        if kept is None:
            return step("at_work", state=view.state, task=view.task), view.span
        return step("keeps_waiting", state=view.state, task=view.task, cycles=LOOPING, kept=kept), view.span

    for group in query.grouped([(int(p) % machine.width, int(p) // machine.width) for p in pes], describe):
        what, span = group.what
        yield Finding(group.pes, what, span, rule="busy_wait" if what.what == "keeps_waiting" else None)


def _kept_waiting(machine: Machine, view: query.PEView) -> Step | None:
    """The task that could start if the one that has been running for long came to its end."""
    record = machine.pes[machine.pe(*view.pe)]
    if machine.cycle - int(record["busyfrom"]) <= LOOPING:
        return None
    for i, name in view.active:
        if (i, name) not in view.blocked:
            return step("kept_task", task=name, id=i)
    blocked = int(record["blocked"])
    for q in query.queues(machine, *view.pe):
        ident = q.id if machine.state.W[s.Globals.wse3] else q.color
        for b in tasks(machine, view.pe):
            if (
                not q.output
                and q.contents
                and not q.used
                and b.kind == "data"
                and b.id == ident
                and not blocked >> b.id & 1
            ):
                return step("kept_data_task", task=b.name, id=b.id)
    return None
