"""From what waits, along the routes and the operations, to the root: its rule, and why.

Each wait is followed: who could end it, and what is that PE doing? The walk ends at a root (an idle sender, a broken
route, a blocked task, a command stream that no one unblocks) or where it began (a circle).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from meshlang.fabric.engine import state as s
from meshlang.fabric.waiting import Cause, Kind, Wait, Waiting
from meshlang.inspect import names, query, routes
from meshlang.inspect.steps import Step, step
from meshlang.ir.frames import function_name
from meshlang.paths import stdlib_dir

from . import code
from .command import command
from .findings import Finding, Place
from .notes import idle_notes, tasks

if TYPE_CHECKING:
    from meshlang.fabric.machine import Machine


def walked(machine: Machine, group: Waiting, walks: int) -> list[Finding]:
    """What a group waits for, by rule: PEs at the same place may wait for different reasons. Of many PEs some are
    looked at, evenly spread."""
    if not walks:
        return [Finding(group.pes, group.wait, group.span)]
    sample = group.pes[:: -(-len(group.pes) // walks)]
    found: dict[tuple, Finding] = {}
    for place in sample:
        finding = Finding([place], group.wait, group.span)
        finding.rule = _root(machine, group.wait, place, finding)
        first = found.setdefault((finding.rule, finding.what), finding)
        if first is not finding:
            first.pes.append(place)
            first.path |= finding.path
    if len(sample) < len(group.pes):
        # those not looked at are taken to be like the first
        others = {p for f in found.values() for p in f.pes}
        first = next(iter(found.values()))
        first.pes = sorted({*first.pes, *(p for p in group.pes if p not in others)}, key=group.pes.index)
    return list(found.values())


def _root(machine: Machine, wait: Wait, place: Place, finding: Finding) -> str | None:
    """The rule for what one PE of a group waits for: the walk is in the finding."""
    match wait.kind:
        case Kind.OPERATION | Kind.ELEMENT:
            running = query.operations(machine, machine.pe(*place))
            op = next(o for o in running if (o.wait.kind, o.wait.thread) == (wait.kind, wait.thread))
            if wait.kind is Kind.ELEMENT:
                finding.what = step("element", wait=op.wait)
            return _from(machine, place, op, finding)
        case Kind.TASK:
            assert wait.task is not None
            if wait.cause is not Cause.BLOCKED:
                return None
            _blocked_notes(machine, place, wait.task, finding.steps)
            return "task_blocked"
        case Kind.INPUT:
            return _untaken(machine, wait, place, finding)
        case Kind.OUTPUT:
            queue = next((q for q in query.queues(machine, *place) if q.output and q.id == wait.queue), None)
            color = wait.color if wait.color is not None or queue is None else queue.color
            return _downstream(machine, place, color, finding.steps, set())
        case Kind.ROUTER:
            if wait.cause is Cause.TEARDOWN:
                _teardown_notes(machine, place, wait.color, finding.steps)
                return "teardown"
            if wait.cause is Cause.NO_QUEUE:
                return "no_queue"
            if any(g.cause is not Cause.TEARDOWN for g in wait.gates):
                return "switch"
            return _downstream(machine, place, wait.color, finding.steps, set())
        case Kind.COMMAND:
            return command(machine, place, finding.steps)


def _from(machine: Machine, place: Place, op: query.OperationView, finding: Finding) -> str | None:
    """Follow an operation, and keep which PEs the walk came by."""
    seen: set[tuple[Place, int | None]] = set()
    rule = _on(machine, place, op, finding.steps, seen)
    finding.path = {p for p, _ in seen}
    return rule


def _untaken(machine: Machine, wait: Wait, place: Place, finding: Finding) -> str | None:
    """Wavelets in an input queue that no operation takes."""
    holding = [op for op in query.operations(machine, machine.pe(*place)) if op.wait.waits]
    if holding:
        # a consequence: the PE would take them later, and is held up by what another group is about
        finding.steps.append(step("held_up", pe=place, wait=holding[0].wait))
        return None
    return _no_taker(machine, place, wait.queue, wait.color, finding.steps)


def _no_taker(machine: Machine, place: Place, queue: int | None, color: int | None, because: list[Step]) -> str:
    """Why no operation and no task takes what an input queue holds."""
    blocked = _blocked_task(machine, place, queue, color)
    if blocked is not None:
        because.append(blocked)
        return "data_blocked"
    here = query.channel(machine, color, *place) if color is not None else None
    if here is not None and here.turns:
        because.append(
            step("switch_at", color=color, pe=place, position=here.position, positions=", ".join(here.positions))
        )
        return "switch"
    taken = int(machine.received()[machine.pe(*place)])
    if taken and not any(b.kind == "data" for b in tasks(machine, place)):
        because.append(step("taken_all", pe=place, taken=taken))
        return "send_extent"
    return "no_taker"


def follow(machine: Machine, place: Place, op: query.OperationView, because: list[Step], seen: set) -> str | None:
    """Why an operation does not go on."""
    cause, color = op.wait.cause, op.wait.color
    if cause is Cause.BLOCKED:
        return "thread_blocked"
    if cause in (Cause.EMPTY_FIFO, Cause.FULL_FIFO):
        return _fifo(machine, place, op, because, seen)
    if cause is Cause.NOTHING or color is None:
        return None
    if cause is Cause.FULL_QUEUE:
        return _downstream(machine, place, color, because, seen)
    here = query.channel(machine, color, *place)
    if here is not None and here.teardown:
        _teardown_notes(machine, place, color, because)
        return "teardown"
    if here is None or "RAMP" not in here.tx:
        because.append(
            step("no_ramp_tx", color=color, pe=place, route=query.route_text(here))
            if here is not None
            else step("no_route", pe=place, color=color)
        )
        return _other_color(machine, place, because) or "no_ramp"
    filtered = here.kept > 0
    if filtered:
        because.append(step("filtered", color=color, pe=place, kept=here.kept))
    trace = routes.upstream(machine, color, place)
    if trace.host and not trace.ends:
        because.append(step("comes_from_host", color=color))
        return "host"
    if not trace.ends:
        because += trace.breaks[:4] or [step("no_sender", pe=place, color=color)]
        return _other_color(machine, place, because) or _break_rule(machine, trace, color, because) or "no_source"
    idle: list[Place] = []
    for source in trace.ends:
        other = held_up(machine, source, color)
        if other is None:
            idle.append(source)
            continue
        because.append(
            step("comes_from_waiting", color=color, pe=source, wait=other.wait, place=names.place(other.span))
        )
        return _on(machine, source, other, because, seen)
    rule = _idle_sources(machine, color, idle, op, because)
    return "filter" if filtered and rule in ("extent", "one_more") else rule


def _on(machine: Machine, place: Place, op: query.OperationView, because: list[Step], seen: set) -> str | None:
    """The walk goes on with an operation, unless it has been there."""
    if (place, op.wait.thread) in seen:
        because.append(step("closes"))
        return "circle"
    seen.add((place, op.wait.thread))
    return follow(machine, place, op, because, seen)


def held_up(machine: Machine, place: Place, color: int) -> query.OperationView | None:
    """The operation that keeps a PE from sending on a color: one that sends on it, or one that the code has to get
    past. None: there is no such."""
    ops = query.operations(machine, machine.pe(*place))
    sending = [o for o in ops if any(v.kind == s.K_OUT and v.color == color for v in o.operands)]
    if sending:
        return sending[0]
    tile = names.tile_of(machine, machine.pe(*place))
    if tile is not None and code.sends(tile, color) == []:
        return None
    # what is endless beside the main thread is a pump, which nothing comes after
    return next((o for o in ops if o.wait.waits and (o.wait.total is not None or o.wait.thread is None)), None)


def _other_color(machine: Machine, place: Place, because: list[Step]) -> str | None:
    """Does another color lead to a PE that receives in vain, and find no queue?"""
    for color in names.colors_of(machine):
        view = query.channel(machine, color, *place)
        if view is not None and "RAMP" in view.tx and view.queue is None:
            because.append(step("other_color", color=color))
            return "wrong_color"
    return None


def _break_rule(machine: Machine, trace: routes.Trace, color: int, because: list[Step]) -> str | None:
    """The rule for a route that is interrupted, if it is more than a mistake in the layout."""
    if trace.teardown:
        _teardown_notes(machine, trace.teardown[0], color, because)
        return "teardown"
    return "switch" if trace.switched else None


def _teardown_notes(machine: Machine, place: Place, color: int | None, because: list[Step]) -> None:
    """Why a color may still be in teardown at a PE."""
    fabric = machine.program.fabric
    x, y = place
    span = None
    if color is not None and color in fabric.color:
        span = fabric.spans.get((color, int(fabric.color[color][y, x])))
    view = query.pe_view(machine, x, y)
    if view is not None and not view.operations and view.task is None:
        over = view.command is not None or not machine.command
        because.append(step("over", pe=place) if over else step("command_over", pe=place, command=machine.command))
    if span is not None and Path(span.file.path).is_relative_to(stdlib_dir()):
        library = Path(span.file.path).relative_to(stdlib_dir()).with_suffix("")
        because.append(step("library_sets", library=library.as_posix(), color=color))


def _idle_sources(
    machine: Machine, color: int, idle: list[Place], op: query.OperationView, because: list[Step]
) -> str | None:
    """Nothing runs on the PEs a color comes from."""
    idle_notes(machine, color, idle, because)
    x, y = idle[0]
    view = query.pe_view(machine, x, y)
    if view is None:
        return "no_source"
    tile = names.tile_of(machine, machine.pe(x, y))
    assert tile is not None
    waiting = [(i, n) for i, n in view.active if (i, n) in view.blocked]
    if waiting:
        because.append(step("task_is_blocked", pe=(x, y), task=waiting[0][1]))
        _blocked_notes(machine, (x, y), waiting[0][0], because)
        return "task_blocked"
    if view.command == "not started":
        because.append(step("not_started", command=machine.command))
    channel = query.channel(machine, color, x, y)
    sent = channel is not None and channel.last_push > 0
    if not sent:
        if who := code.senders(tile, color):
            because.append(who)
        senders = {function_name(tile, pc) for pc in code.sends(tile, color) or () if pc >= 0}
        for b in [b for b in tile.tasks if b.kind == "local" and b.name in senders][:2]:
            because.append(step("task_inactive", code.starts(tile, b), task=b.name, id=b.id, pe=(x, y)))
        return "never_sent"
    if op.wait.done == 0:
        because.append(step("taken_before"))
        return "one_more"
    return "extent" if op.wait.total is not None else "never_sent"


def _blocked_notes(machine: Machine, place: Place, task: int, because: list[Step]) -> None:
    """Who would unblock a task."""
    tile = names.tile_of(machine, machine.pe(*place))
    binding = next((b for b in tasks(machine, place) if b.id == task and b.kind != "control"), None)
    if tile is not None and binding is not None and (how := code.unblocks(tile, binding)) is not None:
        because.append(how)


def _fifo(machine: Machine, place: Place, op: query.OperationView, because: list[Step], seen: set) -> str | None:
    """The other side of a FIFO that is full or empty."""
    pops = op.operands[0].kind != s.K_FIFO
    fifo, name = next((v.fifo, v.text) for v in op.operands if v.fifo is not None)
    others = [
        o
        for o in query.operations(machine, machine.pe(*place))
        if o.wait.thread != op.wait.thread
        and any(v.fifo == fifo and (v.role == "destination") == pops for v in o.operands)
    ]
    if not others:
        because.append(step("fifo_untouched" if pops else "fifo_undrained", pe=place, fifo=name))
        return "fifo"
    other = others[0]
    because.append(
        step("fifo_filled" if pops else "fifo_emptied", fifo=name, wait=other.wait, place=names.place(other.span))
    )
    return _on(machine, place, other, because, seen) or "fifo"


def _downstream(machine: Machine, place: Place, color: int | None, because: list[Step], seen: set) -> str | None:
    """Why what was sent on a color cannot leave."""
    if color is None:
        return None
    here = query.channel(machine, color, *place)
    if here is not None and here.teardown:
        _teardown_notes(machine, place, color, because)
        return "teardown"
    if here is not None and "RAMP" not in here.rx and "HOST" not in here.rx and not here.contents:
        at: dict[str, Any] = {"pe": place, "color": color, "sides": here.rx}
        because.append(
            step("no_ramp_rx", **at)
            if here.position is None
            else step("no_ramp_rx_switched", **at, position=here.position)
        )
        return "switch" if here.position is not None else "broken_route"
    trace = routes.downstream(machine, color, place)
    if trace.breaks:
        because += trace.breaks[:4]
        return _break_rule(machine, trace, color, because) or "broken_route"
    for x, y in trace.ends:
        view = query.channel(machine, color, x, y)
        assert view is not None
        queue = next((q for q in query.queues(machine, x, y) if not q.output and q.id == view.queue), None)
        if queue is None:
            because.append(step("leads_to_no_queue", color=color, pe=(x, y)))
            return "no_queue"
        if len(queue.contents) < queue.capacity and not view.contents:
            continue
        ops = [
            o
            for o in query.operations(machine, machine.pe(x, y))
            if any(v.kind == s.K_IN and v.queue == queue.id for v in o.operands)
        ]
        if ops:
            taker = ops[0]
            leads = "leads_to_waiting" if taker.wait.waits else "leads_to_taker"
            because.append(step(leads, color=color, pe=(x, y), wait=taker.wait, place=names.place(taker.span)))
            return _on(machine, (x, y), taker, because, seen)
        holding = [o for o in query.operations(machine, machine.pe(x, y)) if o.wait.waits]
        because.append(step("leads_to_full", color=color, pe=(x, y), queue=queue.id, count=len(queue.contents)))
        if holding:
            other = holding[0]
            because.append(step("there_is", wait=other.wait, place=names.place(other.span)))
            return _on(machine, (x, y), other, because, seen)
        return _no_taker(machine, (x, y), queue.id, color, because)
    if not trace.ends and not trace.host:
        because.append(step("leads_round", color=color, pes=tuple(trace.seen)))
        return "ring"
    if trace.host and color in machine.held_streams:
        because.append(step("leads_to_host", color=color))
        return "held_stream"
    return None


def _blocked_task(machine: Machine, place: Place, queue: int | None, color: int | None) -> Step | None:
    """The data task for a queue or color, if it is blocked."""
    ident = queue if machine.state.W[s.Globals.wse3] else color
    bound = [b for b in tasks(machine, place) if b.kind == "data" and b.id == ident]
    if bound and int(machine.pes["blocked"][machine.pe(*place)]) >> bound[0].id & 1:
        return step("data_task_blocked", task=bound[0].name, id=bound[0].id)
    return None
