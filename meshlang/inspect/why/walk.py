"""From what waits, along the routes and the operations, to the root: its rule, and why.

Each wait is followed: who could end it, and what is that PE doing? The walk ends at a root (an idle sender, a broken
route, a blocked task, a command stream that no one unblocks) or where it began (a circle).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from meshlang.fabric.engine import state as s
from meshlang.inspect import names, query, routes
from meshlang.paths import stdlib_dir

from . import code
from .command import command
from .findings import Finding, Place
from .notes import idle_notes, tasks, wavelets

if TYPE_CHECKING:
    from meshlang.fabric.machine import Machine

CLOSES = "which closes the circle"


def walked(machine: Machine, group: Any, walks: int) -> list[Finding]:
    """What a group waits for, by rule: PEs at the same place may wait for different reasons. Of many PEs some are
    looked at, evenly spread."""
    if not walks:
        return [Finding(group.pes, group.text, group.span)]
    sample = group.pes[:: -(-len(group.pes) // walks)]
    found: dict[tuple, Finding] = {}
    for place in sample:
        finding = Finding([place], group.text, group.span)
        _root(machine, group, place, finding)
        first = found.setdefault((finding.rule, finding.text), finding)
        if first is not finding:
            first.pes.append(place)
            first.path |= finding.path
    if len(sample) < len(group.pes):
        # those not looked at are taken to be like the first
        others = {p for f in found.values() for p in f.pes}
        first = next(iter(found.values()))
        first.pes = sorted({*first.pes, *(p for p in group.pes if p not in others)}, key=group.pes.index)
    return list(found.values())


def _root(machine: Machine, group: Any, place: Place, finding: Finding) -> None:
    """Follow one PE of a group to the root."""
    if group.kind == "operation":
        for op in query.operations(machine, machine.pe(*place)):
            if group.text.startswith(f"{op.thread}: {op.name}"):
                _from(machine, place, op, finding)
                return
    elif group.kind == "element":
        op = next(o for o in query.operations(machine, machine.pe(*place)) if o.thread == "main thread")
        finding.text = f"main thread: {op.name}, {op.waits}"
        _from(machine, place, op, finding)
    elif group.kind == "task":
        if group.task is not None:
            if "is blocked" in group.text:
                finding.rule = "task_blocked"
                _blocked_notes(machine, place, group.task, finding.because)
        else:
            finding.rule = _untaken(machine, group, place, finding)
    elif group.kind == "output":
        queue = next((q for q in query.queues(machine, *place) if q.output and q.id == group.queue), None)
        color = group.color if group.color is not None or queue is None else queue.color
        finding.rule = _downstream(machine, place, color, finding.because, set())
    elif group.kind == "router":
        if "wait in the router: the color is in teardown" in group.text:
            finding.rule = "teardown"
            _teardown_notes(machine, place, group.color, finding.because)
        elif "no input queue" in group.text:
            finding.rule = "no_queue"
        elif "the switch there" in group.text:
            finding.rule = "switch"
        else:
            finding.rule = _downstream(machine, place, group.color, finding.because, set())
    elif group.kind == "command":
        finding.rule = command(machine, place, finding.because)


def _from(machine: Machine, place: Place, op: query.OperationView, finding: Finding) -> None:
    """Follow an operation, and keep which PEs the walk came by."""
    seen: set[tuple[Place, str]] = set()
    finding.rule = _on(machine, place, op, finding.because, seen)
    finding.path = {p for p, _ in seen}


def _untaken(machine: Machine, group: Any, place: Place, finding: Finding) -> str | None:
    """Wavelets in an input queue that no operation takes."""
    holding = [op for op in query.operations(machine, machine.pe(*place)) if op.wants is not None]
    if holding:
        # a consequence: the PE would take them later, and is held up by what another group is about
        finding.because.append(f"PE {place[0]},{place[1]} is held up: {holding[0].thread} {holding[0].waits}")
        return None
    return _no_taker(machine, place, group.queue, group.color, finding.because)


def _no_taker(machine: Machine, place: Place, queue: int | None, color: int | None, because: list[str]) -> str:
    """Why no operation and no task takes what an input queue holds."""
    blocked = _blocked_task(machine, place, queue, color)
    if blocked:
        because.append(blocked)
        return "data_blocked"
    here = query.channel(machine, color, *place) if color is not None else None
    if here is not None and here.position is not None and len({p.partition(": ")[2] for p in here.positions}) > 1:
        because.append(
            f"the switch of color {color} at PE {place[0]},{place[1]} is at position {here.position} of {', '.join(here.positions)}"
        )
        return "switch"
    taken = int(machine.received()[machine.pe(*place)])
    if taken and not any(b.kind == "data" for b in tasks(machine, place)):
        because.append(f"PE {place[0]},{place[1]} has taken {wavelets(taken)} in all, and no receive is left there")
        return "send_extent"
    return "no_taker"


def follow(machine: Machine, place: Place, op: query.OperationView, because: list[str], seen: set) -> str | None:
    """Why an operation does not go on."""
    if op.wants is None:
        return None
    kind, _, color = op.wants
    if kind == "blocked":
        return "thread_blocked"
    if kind == "fifo":
        return _fifo(machine, place, op, because, seen)
    if color is None:
        return None
    if kind == "out":
        return _downstream(machine, place, color, because, seen)
    here = query.channel(machine, color, *place)
    if here is not None and "in teardown" in here.flags:
        _teardown_notes(machine, place, color, because)
        return "teardown"
    if here is None or "RAMP" not in here.tx:
        because.append(
            f"the route of color {color} at PE {place[0]},{place[1]} is {query.route_text(here)}, without RAMP in tx"
            if here is not None
            else f"PE {place[0]},{place[1]} has no route for color {color}"
        )
        return _other_color(machine, place, because) or "no_ramp"
    filtered = here.kept > 0
    if filtered:
        because.append(
            f"the filter of color {color} at PE {place[0]},{place[1]} has kept {here.kept} wavelets from the PE"
        )
    trace = routes.upstream(machine, color, place)
    if trace.host and not trace.ends:
        because.append(f"color {color} comes from the host")
        return "host"
    if not trace.ends:
        because += trace.breaks[:4] or [
            f"no PE sends to PE {place[0]},{place[1]} on color {color}: the route goes round without a RAMP in rx"
        ]
        return _other_color(machine, place, because) or _break_rule(machine, trace, color, because) or "no_source"
    idle: list[Place] = []
    for source in trace.ends:
        other = held_up(machine, source, color)
        if other is None:
            idle.append(source)
            continue
        because.append(
            f"color {color} comes from PE {source[0]},{source[1]}, where {other.thread} is at {other.name} "
            f"({names.place(other.span)}) and {other.waits or 'can go on'}"
        )
        return _on(machine, source, other, because, seen)
    rule = _idle_sources(machine, color, idle, op, because)
    return "filter" if filtered and rule in ("extent", "one_more") else rule


def _on(machine: Machine, place: Place, op: query.OperationView, because: list[str], seen: set) -> str | None:
    """The walk goes on with an operation, unless it has been there."""
    if (place, op.thread) in seen:
        because.append(CLOSES)
        return "circle"
    seen.add((place, op.thread))
    return follow(machine, place, op, because, seen)


def held_up(machine: Machine, place: Place, color: int) -> query.OperationView | None:
    """The operation that keeps a PE from sending on a color: one that sends on it, or one that the code has to get
    past. None: there is no such."""
    ops = query.operations(machine, machine.pe(*place))
    sending = [o for o in ops if any(v.kind == s.K_OUT and v.color == color for v in o.operands)]
    if sending:
        return sending[0]
    tile = names.tile_of(machine, machine.pe(*place))
    if tile is not None and code.senders(tile, color) == code.SENDS_NOTHING.format(color=color):
        return None
    # what is endless beside the main thread is a pump, which nothing comes after
    return next((o for o in ops if o.wants is not None and (o.total is not None or o.thread == "main thread")), None)


def _other_color(machine: Machine, place: Place, because: list[str]) -> str | None:
    """Does another color lead to a PE that receives in vain, and find no queue?"""
    for color in names.colors_of(machine):
        view = query.channel(machine, color, *place)
        if view is not None and "RAMP" in view.tx and view.queue is None:
            because.append(
                f"color {color} leads there, and the PE has no input queue for it: is that the color to receive?"
            )
            return "wrong_color"
    return None


def _break_rule(machine: Machine, trace: routes.Trace, color: int, because: list[str]) -> str | None:
    """The rule for a route that is interrupted, if it is more than a mistake in the layout."""
    if trace.teardown:
        _teardown_notes(machine, trace.teardown[0], color, because)
        return "teardown"
    return "switch" if any("switch" in b for b in trace.breaks) else None


def _teardown_notes(machine: Machine, place: Place, color: int | None, because: list[str]) -> None:
    """Why a color may still be in teardown at a PE."""
    fabric = machine.program.fabric
    x, y = place
    span = None
    if color is not None and color in fabric.color:
        span = fabric.spans.get((color, int(fabric.color[color][y, x])))
    view = query.pe_view(machine, x, y)
    if view is not None and not view.operations and view.state == "idle":
        doing = (
            "nothing is running any more"
            if view.command is not None or not machine.command
            else f"{machine.command} is done"
        )
        because.append(f"on PE {x},{y}, where the color is in teardown, {doing}")
    if span is not None and Path(span.file.path).is_relative_to(stdlib_dir()):
        library = Path(span.file.path).relative_to(stdlib_dir()).with_suffix("")
        because.append(
            f"<{library}> sets the route of color {color} when it is called; here it has not been, or with other arguments than elsewhere"
        )


def _idle_sources(
    machine: Machine, color: int, idle: list[Place], op: query.OperationView, because: list[str]
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
        because.append(f"on PE {x},{y} the task {waiting[0][1]} is activated, but blocked")
        _blocked_notes(machine, (x, y), waiting[0][0], because)
        return "task_blocked"
    if view.command == "not started":
        because.append(f"{machine.command} has not been started there")
    channel = query.channel(machine, color, x, y)
    sent = channel is not None and channel.last_push > 0
    if not sent:
        if who := code.senders(tile, color):
            because.append(who)
        idle_tasks = [b for b in tile.tasks if b.kind == "local" and f" {b.name} (" in who]
        for b in idle_tasks[:2]:
            because.append(
                f"task {b.name} (id {b.id}) of PE {x},{y} is not active"
                + (f"; {how}" if (how := code.starts(tile, b)) else "")
            )
        return "never_sent"
    if op.done == 0:
        because.append("what it has sent was taken by receives before this one")
        return "one_more"
    return "extent" if op.total is not None else "never_sent"


def _blocked_notes(machine: Machine, place: Place, task: int, because: list[str]) -> None:
    """Who would unblock a task."""
    tile = names.tile_of(machine, machine.pe(*place))
    binding = next((b for b in tasks(machine, place) if b.id == task and b.kind != "control"), None)
    if tile is not None and binding is not None and (how := code.unblocks(tile, binding)):
        because.append(how)


def _fifo(machine: Machine, place: Place, op: query.OperationView, because: list[str], seen: set) -> str | None:
    """The other side of a FIFO that is full or empty."""
    pops = op.operands[0].kind != s.K_FIFO
    fifo = next(v.text for v in op.operands if v.kind == s.K_FIFO)
    others = [
        o
        for o in query.operations(machine, machine.pe(*place))
        if o.thread != op.thread
        and any(v.kind == s.K_FIFO and v.text == fifo and (v.role == "destination") == pops for v in o.operands)
    ]
    if not others:
        because.append(
            f"on PE {place[0]},{place[1]} no operation {'puts anything into' if pops else 'takes anything from'} {fifo}"
        )
        return "fifo"
    other = others[0]
    because.append(
        f"{fifo} is {'filled' if pops else 'emptied'} by {other.thread}, which is at {other.name} ({names.place(other.span)}) "
        f"and {other.waits or 'can go on'}"
    )
    return _on(machine, place, other, because, seen) or "fifo"


def _downstream(machine: Machine, place: Place, color: int | None, because: list[str], seen: set) -> str | None:
    """Why what was sent on a color cannot leave."""
    if color is None:
        return None
    here = query.channel(machine, color, *place)
    if here is not None and "in teardown" in here.flags:
        _teardown_notes(machine, place, color, because)
        return "teardown"
    if here is not None and "RAMP" not in here.rx and "HOST" not in here.rx and not here.contents:
        because.append(
            f"the router of PE {place[0]},{place[1]} receives color {color} from {'+'.join(here.rx) or 'nowhere'}, not from RAMP"
            + (f" (its switch is at position {here.position})" if here.position is not None else "")
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
            because.append(f"color {color} leads to PE {x},{y}, which has no input queue for it")
            return "no_queue"
        if len(queue.contents) < queue.capacity and not view.contents:
            continue
        ops = [
            o
            for o in query.operations(machine, machine.pe(x, y))
            if any(v.kind == s.K_IN and v.queue == queue.id for v in o.operands)
        ]
        if ops:
            because.append(
                f"color {color} leads to PE {x},{y}, where {ops[0].name} ({names.place(ops[0].span)}) {ops[0].waits or 'takes it'}"
            )
            return _on(machine, (x, y), ops[0], because, seen)
        holding = [o for o in query.operations(machine, machine.pe(x, y)) if o.wants is not None]
        because.append(
            f"color {color} leads to PE {x},{y}, whose input queue {queue.id} holds {len(queue.contents)} wavelets that nothing takes"
        )
        if holding:
            other = holding[0]
            because.append(f"there {other.thread} is at {other.name} ({names.place(other.span)}) and {other.waits}")
            return _on(machine, (x, y), other, because, seen)
        return _no_taker(machine, (x, y), queue.id, color, because)
    if not trace.ends and not trace.host:
        because.append(
            f"the route of color {color} goes round through {query.places(trace.seen)}, and never leads to a ramp"
        )
        return "ring"
    if trace.host and color in machine.held_streams:
        because.append(f"color {color} leads to the host, which takes a stream when the commands before it are over")
        return "held_stream"
    return None


def _blocked_task(machine: Machine, place: Place, queue: int | None, color: int | None) -> str:
    """The data task for a queue or color, if it is blocked, in words."""
    ident = queue if machine.state.W[s.Globals.wse3] else color
    bound = [b for b in tasks(machine, place) if b.kind == "data" and b.id == ident]
    if bound and int(machine.pes["blocked"][machine.pe(*place)]) >> bound[0].id & 1:
        return f"the data task {bound[0].name} (id {bound[0].id}) is blocked"
    return ""
