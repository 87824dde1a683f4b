"""Why nothing moves: what waits, each with the root that walk.py comes to; what only follows from others stands
apart."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from meshlang.fabric.engine import state as s
from meshlang.fabric.waiting import Kind, Wait
from meshlang.inspect import names, query, routes
from meshlang.inspect.steps import step

from . import code
from .findings import Explanation, Finding, Place
from .moving import busy, rings
from .notes import idle_notes
from .walk import follow, held_up, walked

if TYPE_CHECKING:
    from meshlang.fabric.machine import Machine

MOST_WALKS = 64  # groups whose root is looked for; beyond that, groups repeat each other


def explain(machine: Machine, until: Any = None) -> Explanation:
    """`until`: what the host waits for, as Machine.run takes it."""
    machine.settle()
    open_ = machine.commands_outstanding
    W = machine.state.W
    unfinished = (
        f"; {machine.command} has not finished on {open_} of {machine.width * machine.height} PEs" if open_ else ""
    )
    if int(W[s.Globals.occ_r]) | int(W[s.Globals.occ_c]):
        return Explanation(
            False,
            machine.cycle,
            f"slow, not hung: there is still work to do{unfinished}",
            [*rings(machine), *busy(machine)],
            last=_last_wavelet(machine),
        )
    groups = machine.waiting()
    findings: list[Finding] = []
    held: list[Finding] = []
    if isinstance(until, tuple):
        findings.append(_host_waits(machine, until))
    elif not groups:
        return Explanation(False, machine.cycle, "at rest, and nothing waits", [])
    concerned = {
        p for g in groups if g.wait.kind in (Kind.OPERATION, Kind.ELEMENT, Kind.OUTPUT, Kind.TASK) for p in g.pes
    }
    share = max(1, MOST_WALKS // max(1, len(groups)))
    circles: set[Place] = set()
    for i, g in enumerate(sorted(groups, key=lambda g: g.wait.endless)):
        if g.wait.endless and any(f.rule for f in findings):
            continue  # it waits by design
        if g.wait.kind is Kind.COMMAND and all(p in concerned for p in g.pes):
            continue  # the function waits for what another group names
        for finding in walked(machine, g, share if i < MOST_WALKS else 0):
            (held if _follows(machine, g.wait, finding, findings) else findings).append(finding)
            if finding.rule == "circle":
                if finding.pes[0] in circles:
                    finding.steps = [step("same_circle")]
                circles |= finding.path
    return Explanation(
        True, machine.cycle, f"nothing can move any more{unfinished}", findings, held, _last_wavelet(machine)
    )


def _follows(machine: Machine, wait: Wait, finding: Finding, others: list[Finding]) -> bool:
    """Is it a consequence of what other findings say?"""
    if wait.kind is Kind.TASK and finding.rule == "task_blocked":
        # a running operation will unblock the task: what that operation waits for is the cause
        return all(
            any(op.unblocks == wait.task and op.wait.waits for op in query.operations(machine, machine.pe(*place)))
            for place in finding.pes
        )
    if finding.rule == "no_queue":
        return any(f.rule == "wrong_color" and set(f.pes) & set(finding.pes) for f in others)
    # a full queue or router follows from what an operation waits for, if both lead to the same root
    return wait.wavelets and (
        finding.rule is None
        or any(finding.rule == f.rule and (not finding.steps or finding.steps[-1:] == f.steps[-1:]) for f in others)
    )


def _last_wavelet(machine: Machine) -> str:
    """The router that a wavelet last came into."""
    st = machine.state
    best: tuple[int, int, int] | None = None
    for color, grid in st.channels.items():
        pes = np.flatnonzero(grid >= 0)
        if not len(pes):
            continue
        times = st.buffer(grid[pes])["push"]
        ages = (np.int64(machine.cycle) - times) & 0xFFFFFFFF
        ages[times == 0] = 1 << 32
        i = int(np.argmin(ages))
        if ages[i] < 1 << 31 and (best is None or ages[i] < best[0]):
            best = int(ages[i]), color, int(pes[i])
    if best is None:
        return "no wavelet has moved"
    age, color, pe = best
    return f"the last wavelet moved in cycle {machine.cycle - age}: color {color}, into the router of PE {pe % machine.width},{pe // machine.width}"


def _host_waits(machine: Machine, until: tuple) -> Finding:
    """The host waits for a stream, and nothing will send it."""
    _, color, x0, y0, w, h, n = until
    got = {(x, y): machine.stream_out_available(color, x, y) for y in range(y0, y0 + h) for x in range(x0, x0 + w)}
    short = [place for place, have in got.items() if have < n]
    counts = sorted({got[place] for place in short})
    finding = Finding(short, step("host_waits", wanted=n, color=color, got=_span(counts)))
    ends = routes.upstream(machine, color, short[0])
    if not ends.ends:
        finding.steps += ends.breaks
        finding.rule = "no_source"
        return finding
    idle = []
    for source in ends.ends:
        op = held_up(machine, source, color)
        if op is None:
            idle.append(source)
            continue
        finding.steps.append(
            step("comes_from_waiting", color=color, pe=source, wait=op.wait, place=names.place(op.span))
        )
        finding.rule = follow(machine, source, op, finding.steps, {(source, op.wait.thread)})
        return finding
    idle_notes(machine, color, idle, finding.steps)
    tile = names.tile_of(machine, machine.pe(*idle[0]))
    if tile is not None and (who := code.senders(tile, color)):
        finding.steps.append(who)
    finding.rule = "host_out"
    return finding


def _span(numbers: list[int]) -> str:
    return str(numbers[0]) if len(numbers) == 1 else f"{numbers[0]} to {numbers[-1]}"
