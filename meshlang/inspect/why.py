"""Why nothing moves: from what waits, along the routes and the operations, to the root, with the rule and what to change.

What waits comes from the state of the machine. Each wait is followed: who could end it, and what is that PE doing? The walk ends at a
root (an idle sender, a broken route, a blocked task, a command stream that no one unblocks) or where it began (a circle).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from meshlang.fabric import state as s
from meshlang.ir import isa

from . import names, query, routes

if TYPE_CHECKING:
    from meshlang.fabric.machine import Machine

Place = tuple[int, int]
MOST_WALKS = 64         # groups whose root is looked for; beyond that, groups repeat each other


@dataclass(frozen=True)
class Rule:
    title: str
    change: str


RULES = {
    "extent": Rule("a receive is longer than what is sent",
                   "make the extents equal: the fabin_dsd must ask for as many wavelets as the fabout_dsd sends"),
    "never_sent": Rule("a receive waits for a PE that never sends",
                       "start the send on that PE: is its function launched, its task bound and activated?"),
    "circle": Rule("PEs wait for each other in a circle",
                   "make one of the operations asynchronous (.async = true), or let one side receive before it sends"),
    "no_source": Rule("nothing can reach the PE on this color",
                      "let the route begin at a PE that sends: rx = .{RAMP} there, and matching rx and tx on the way"),
    "no_ramp": Rule("the route does not lead to the PE",
                    "add RAMP to the tx of that color at the receiving PE"),
    "no_queue": Rule("wavelets arrive for which the PE has no input queue",
                     "initialise one for the color: @initialize_queue(queue, .{ .color = c })"),
    "no_taker": Rule("wavelets arrive that nothing takes",
                     "start a receive on that queue, or bind and unblock a data task for the color"),
    "data_blocked": Rule("the task for arriving wavelets is blocked",
                         "unblock it: @unblock(id), or .unblock of the operation that it should wait for"),
    "task_blocked": Rule("a task was activated, but is blocked",
                         "unblock it: @unblock(id), or .unblock of the operation that it should wait for"),
    "thread_blocked": Rule("a microthread is blocked", "unblock it: @unblock of its ut_id"),
    "no_unblock": Rule("the launched function never unblocks the command stream",
                       "call sys_mod.unblock_cmd_stream() once per launch, on every PE, when the work is done"),
    "not_activated": Rule("the command stream is unblocked in a task that was not started",
                          "activate that task: @activate(id), or .activate of the operation it follows"),
    "broken_route": Rule("the route leads nowhere", "make tx of one router and rx of the next agree"),
    "switch": Rule("a switch points elsewhere", "advance it (a control wavelet, or .advance_switch), or start at another .pos"),
    "teardown": Rule("a color is in teardown", "leave it in the teardown task: tile_config.teardown.exit(color)"),
    "send_extent": Rule("a send is longer than what is received",
                        "make the extents equal: the fabout_dsd must send as many wavelets as the fabin_dsd takes"),
    "filter": Rule("a filter keeps wavelets from the PE", "receive what the filter lets pass, or widen the filter"),
    "ring": Rule("a route goes round",
                 "break the ring: let one router of it send to its RAMP, and not on to where the wavelets came from"),
    "full": Rule("a send waits for room", "let the receiver take more, or send less"),
    "host_out": Rule("the host waits for more wavelets than the program streams out",
                     "ask for as many as the PEs send on that color, or start the task that sends the rest"),
    "host": Rule("the host sends nothing on this color", "stream data to it: `send` here, memcpy_h2d in a host script"),
    "fifo": Rule("a FIFO is empty or full, and nothing changes that", "push (or pop) as many elements on the other side"),
}


@dataclass
class Finding:
    """PEs that wait for the same thing."""

    pes: list[Place]
    text: str
    span: Any = None
    because: list[str] = field(default_factory=list)    # the walk to the root
    rule: str | None = None


@dataclass
class Explanation:
    hung: bool
    headline: str
    findings: list[Finding]
    held: list[Finding] = field(default_factory=list)   # full queues and routers, because of the findings
    last: str = ""                                      # the last wavelet that moved

    def causes(self) -> list[str]:
        """Names of the rules found, the most telling first."""
        return list(dict.fromkeys(f.rule for f in self.findings if f.rule is not None))


def explain(machine: Machine, until: Any = None) -> Explanation:
    """`until`: what the host waits for, as Machine.run takes it."""
    machine.settle()
    open_ = machine.commands_outstanding
    W = machine.state.W
    unfinished = f"; {machine.command} has not finished on {open_} of {machine.width * machine.height} PEs" if open_ else ""
    if int(W[s.G_OCC_R]) | int(W[s.G_OCC_C]):
        return Explanation(False, f"cycle {machine.cycle}: slow, not hung: there is still work to do{unfinished}",
                           [*_rings(machine), *_busy(machine)], last=_last_wavelet(machine))
    groups = machine.waiting()
    findings: list[Finding] = []
    held: list[Finding] = []
    if isinstance(until, tuple):
        findings.append(_host_waits(machine, until))
    elif not groups:
        return Explanation(False, f"cycle {machine.cycle}: at rest, and nothing waits", [])
    concerned = {p for g in groups if g.kind in ("operation", "element", "output") or g.text.startswith("local task") for p in g.pes}
    for i, g in enumerate(groups):
        if g.kind == "command" and all(p in concerned for p in g.pes):
            continue        # the function waits for what another group names
        finding = Finding(g.pes, g.text, g.span)
        if i < MOST_WALKS:
            _root(machine, g, finding)
        # a full queue or router follows from what an operation waits for, if both lead to the same root
        follows = g.kind in ("task", "output", "router") and g.span is None and (finding.rule is None or any(
            finding.rule == f.rule and (not finding.because or finding.because[-1:] == f.because[-1:]) for f in findings))
        (held if follows else findings).append(finding)
    return Explanation(True, f"cycle {machine.cycle}: nothing can move any more{unfinished}", findings, held, _last_wavelet(machine))


def _last_wavelet(machine: Machine) -> str:
    """The router that a wavelet last came into."""
    st = machine.state
    best: tuple[int, int, int] | None = None
    for color, grid in st.channels.items():
        pes = np.flatnonzero(grid >= 0)
        if not len(pes):
            continue
        times = st.U[grid[pes] + s.CH_PUSH]
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
    finding = Finding(short, f"the host waits for {n} wavelets of color {color} and got {_span(counts)}")
    ends = routes.upstream(machine, color, short[0])
    if not ends.ends:
        finding.because += ends.breaks
        finding.rule = "no_source"
        return finding
    idle = []
    for source in ends.ends:
        holding = [op for op in query.operations(machine, machine.pe(*source)) if op.wants is not None]
        if not holding:
            idle.append(source)
            continue
        op = holding[0]
        finding.because.append(f"color {color} comes from PE {source[0]},{source[1]}, where {op.thread} is at {op.name} ({names.place(op.span)}) "
                               f"and {op.waits}")
        finding.rule = _follow(machine, source, op, finding.because, {(source, op.thread)})
        return finding
    _idle_notes(machine, color, idle, finding.because)
    finding.rule = "host_out"
    return finding


def _span(numbers: list[int]) -> str:
    return str(numbers[0]) if len(numbers) == 1 else f"{numbers[0]} to {numbers[-1]}"


def _rings(machine: Machine) -> Iterator[Finding]:
    """Wavelets that go round for ever: their route is a circle that no ramp leaves."""
    for color in names.colors_of(machine):
        grid = machine.state.channels[color]
        pes = np.flatnonzero(grid >= 0)
        holding = pes[machine.state.U[grid[pes] + s.CH_STATE] >> 2 & 7 > 0]
        if not len(holding):
            continue
        y, x = divmod(int(holding[0]), machine.width)
        trace = routes.downstream(machine, color, (x, y))
        if not trace.ends and not trace.host and not trace.breaks:
            yield Finding(trace.seen, f"wavelets of color {color} go round, and never come to a ramp", rule="ring")


def _busy(machine: Machine) -> Iterator[Finding]:
    """Who still works, and with what, for a fabric that is slow and not hung."""
    P = machine.records()
    pes = np.flatnonzero((P[:, s.P_TILE] >= 0) & ((P[:, s.P_ST] != s.ST_IDLE) | (P[:, s.P_UTMASK] != 0) | (P[:, s.P_CMD] != 0)))

    def describe(x: int, y: int) -> tuple:
        view = query.pe_view(machine, x, y)
        assert view is not None
        if view.operations:
            op = view.operations[0]
            of = "" if op.total is None else f" of {op.total} elements"
            return f"{op.thread}: {op.name}{of}, started by {op.task}, {op.waits or 'under way'}", op.span
        if view.command == "not started":
            return f"{machine.command} has been launched, and starts soon", None
        return f"{view.state} in {view.task}", view.span

    for group in query.grouped([(int(p) % machine.width, int(p) // machine.width) for p in pes], describe):
        yield Finding(group.pes, *group.what)


# ---------------------------------------------------------------- the walk


def _root(machine: Machine, group: Any, finding: Finding) -> None:
    """Follow a group's first PE to the root."""
    place = group.pes[0]
    if group.kind == "operation":
        for op in query.operations(machine, machine.pe(*place)):
            if group.text.startswith(f"{op.thread}: {op.name}"):
                finding.rule = _follow(machine, place, op, finding.because, {(place, op.thread)})
                return
    elif group.kind == "element":
        op = next(o for o in query.operations(machine, machine.pe(*place)) if o.thread == "main thread")
        finding.text = f"main thread: {op.name}, {op.waits}"
        finding.rule = _follow(machine, place, op, finding.because, {(place, op.thread)})
    elif group.kind == "task":
        if group.text.startswith("local task"):
            finding.rule = "task_blocked" if "is blocked" in group.text else None
        else:
            finding.rule = _untaken(machine, group, place, finding)
    elif group.kind == "output":
        queue = next((q for q in query.queues(machine, *place) if q.output and q.id == group.queue), None)
        color = group.color if group.color is not None or queue is None else queue.color
        finding.rule = _downstream(machine, place, color, finding.because, set())
    elif group.kind == "router":
        if "teardown" in group.text:
            finding.rule = "teardown"
        elif "no input queue" in group.text:
            finding.rule = "no_queue"
        elif "switch" in group.text:
            finding.rule = "switch"
        else:
            finding.rule = _downstream(machine, place, group.color, finding.because, set())
    elif group.kind == "command":
        finding.rule = _command(machine, place, finding.because)


def _untaken(machine: Machine, group: Any, place: Place, finding: Finding) -> str | None:
    """Wavelets in an input queue that no operation takes."""
    if not _blocked_task(machine, place, group.queue, group.color):
        finding.text = group.text.replace("its task id is blocked", "no operation takes them")
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
    taken = int(machine.received()[machine.pe(*place)])
    if taken and not any(b.kind == "data" for b in _tasks(machine, place)):
        because.append(f"PE {place[0]},{place[1]} has taken {taken} wavelet{'' if taken == 1 else 's'} in all, and no receive is left there")
        return "send_extent"
    return "no_taker"


def _follow(machine: Machine, place: Place, op: query.OperationView, because: list[str], seen: set) -> str | None:
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
    if here is None or "RAMP" not in here.tx:
        because.append(f"the route of color {color} at PE {place[0]},{place[1]} is {query.route_text(here)}, without RAMP in tx"
                       if here is not None else f"PE {place[0]},{place[1]} has no route for color {color}")
        return "no_ramp"
    filtered = here.kept > 0
    if filtered:
        because.append(f"the filter of color {color} at PE {place[0]},{place[1]} has kept {here.kept} wavelets from the PE")
    trace = routes.upstream(machine, color, place)
    if trace.host and not trace.ends:
        because.append(f"color {color} comes from the host")
        return "host"
    if not trace.ends:
        because += trace.breaks or [f"no PE sends to PE {place[0]},{place[1]} on color {color}: the route goes round without a RAMP in rx"]
        return "switch" if any("switch" in b for b in trace.breaks) else "no_source"
    idle: list[Place] = []
    for source in trace.ends:
        ops = query.operations(machine, machine.pe(*source))
        # an operation that sends on the color comes first; else whatever holds the PE up
        sending = [o for o in ops if any(v.kind == s.K_OUT and v.color == color for v in o.operands)]
        holding = sending or [o for o in ops if o.wants is not None]
        if not holding:
            idle.append(source)
            continue
        other = holding[0]
        because.append(f"color {color} comes from PE {source[0]},{source[1]}, where {other.thread} is at {other.name} "
                       f"({names.place(other.span)}) and {other.waits or 'can go on'}")
        if (source, other.thread) in seen:
            because.append("which closes the circle")
            return "circle"
        return _follow(machine, source, other, because, seen | {(source, other.thread)})
    rule = _idle_sources(machine, color, idle, op, because)
    return "filter" if filtered and rule == "extent" else rule


def _idle_notes(machine: Machine, color: int, idle: list[Place], because: list[str]) -> None:
    P = machine.records()
    for group in query.grouped(idle, lambda x, y: (query.pe_view(machine, x, y) is not None, int(P[machine.pe(x, y), s.P_SENT]))):
        has_code, sent = group.what
        who = query.places(group.pes)
        if not has_code:
            because.append(f"color {color} comes from {who}, where no code is")
            continue
        because.append(f"color {color} comes from {who}, where nothing is running any more; "
                       f"{'it has' if len(group.pes) == 1 else 'each has'} sent {sent} wavelet{'' if sent == 1 else 's'} in all")


def _idle_sources(machine: Machine, color: int, idle: list[Place], op: query.OperationView, because: list[str]) -> str | None:
    """Nothing runs on the PEs a color comes from."""
    _idle_notes(machine, color, idle, because)
    x, y = idle[0]
    view = query.pe_view(machine, x, y)
    if view is None:
        return "no_source"
    waiting = [n for i, n in view.active if (i, n) in view.blocked]
    if waiting:
        because.append(f"on PE {x},{y} the task {waiting[0]} is activated, but blocked")
        return "task_blocked"
    if view.command == "not started":
        because.append(f"{machine.command} has not been started there")
    if op.done == 0 and view.sent == 0:
        tile = names.tile_of(machine, machine.pe(x, y))
        idle_tasks = [f"{b.name} (id {b.id})" for b in tile.tasks if b.kind == "local"] if tile is not None else []
        if idle_tasks:
            because.append(f"tasks of PE {x},{y} that are not active: {', '.join(idle_tasks)}")
        return "never_sent"
    return "extent" if op.total is not None else "never_sent"


def _fifo(machine: Machine, place: Place, op: query.OperationView, because: list[str], seen: set) -> str | None:
    """The other side of a FIFO that is full or empty."""
    pops = op.operands[0].kind != s.K_FIFO
    fifo = next(v.text for v in op.operands if v.kind == s.K_FIFO)
    others = [o for o in query.operations(machine, machine.pe(*place)) if o.thread != op.thread and any(
        v.kind == s.K_FIFO and v.text == fifo and (v.role == "destination") == pops for v in o.operands)]
    if not others:
        because.append(f"on PE {place[0]},{place[1]} no operation {'puts anything into' if pops else 'takes anything from'} {fifo}")
        return "fifo"
    other = others[0]
    because.append(f"{fifo} is {'filled' if pops else 'emptied'} by {other.thread}, which is at {other.name} ({names.place(other.span)}) "
                   f"and {other.waits or 'can go on'}")
    if (place, other.thread) in seen:
        because.append("which closes the circle")
        return "circle"
    return _follow(machine, place, other, because, seen | {(place, other.thread)}) or "fifo"


def _downstream(machine: Machine, place: Place, color: int | None, because: list[str], seen: set) -> str | None:
    """Why what was sent on a color cannot leave."""
    if color is None:
        return "full"
    here = query.channel(machine, color, *place)
    if here is not None and here.flags and "in teardown" in here.flags:
        return "teardown"
    if here is not None and "RAMP" not in here.rx and "HOST" not in here.rx and not here.contents:
        because.append(f"the router of PE {place[0]},{place[1]} receives color {color} from {'+'.join(here.rx) or 'nowhere'}, not from RAMP"
                       + (f" (its switch is at position {here.position})" if here.position is not None else ""))
        return "switch" if here.position is not None else "broken_route"
    trace = routes.downstream(machine, color, place)
    if trace.breaks:
        because += trace.breaks[:4]
        return "switch" if any("switch" in b for b in trace.breaks) else "broken_route"
    for x, y in trace.ends:
        view = query.channel(machine, color, x, y)
        assert view is not None
        if "in teardown" in view.flags:
            because.append(f"color {color} is in teardown at PE {x},{y}")
            return "teardown"
        queue = next((q for q in query.queues(machine, x, y) if not q.output and q.id == view.queue), None)
        if queue is None:
            because.append(f"color {color} leads to PE {x},{y}, which has no input queue for it")
            return "no_queue"
        if len(queue.contents) < queue.capacity and not view.contents:
            continue
        ops = [o for o in query.operations(machine, machine.pe(x, y)) if any(v.kind == s.K_IN and v.queue == queue.id for v in o.operands)]
        if ops:
            because.append(f"color {color} leads to PE {x},{y}, where {ops[0].name} ({names.place(ops[0].span)}) {ops[0].waits or 'takes it'}")
            if ((x, y), ops[0].thread) in seen:
                because.append("which closes the circle")
                return "circle"
            return _follow(machine, (x, y), ops[0], because, seen | {((x, y), ops[0].thread)})
        holding = [o for o in query.operations(machine, machine.pe(x, y)) if o.wants is not None]
        because.append(f"color {color} leads to PE {x},{y}, whose input queue {queue.id} holds {len(queue.contents)} wavelets that nothing takes")
        if holding:
            other = holding[0]
            because.append(f"there {other.thread} is at {other.name} ({names.place(other.span)}) and {other.waits}")
            if ((x, y), other.thread) in seen:
                because.append("which closes the circle")
                return "circle"
            return _follow(machine, (x, y), other, because, seen | {((x, y), other.thread)})
        return _no_taker(machine, (x, y), queue.id, color, because)
    if not trace.ends and not trace.host:
        because.append(f"the route of color {color} goes round through {query.places(trace.seen)}, and never leads to a ramp")
        return "ring"
    return "full"


def _tasks(machine: Machine, place: Place) -> list[Any]:
    tile = names.tile_of(machine, machine.pe(*place))
    return tile.tasks if tile is not None else []


def _blocked_task(machine: Machine, place: Place, queue: int | None, color: int | None) -> str:
    """The data task for a queue or color, if it is blocked, in words."""
    ident = queue if machine.state.W[s.G_WSE3] else color
    bound = [b for b in _tasks(machine, place) if b.kind == "data" and b.id == ident]
    if bound and int(machine.records()[machine.pe(*place), s.P_BLOCKED]) >> bound[0].id & 1:
        return f"the data task {bound[0].name} (id {bound[0].id}) is blocked"
    return ""


def _command(machine: Machine, place: Place, because: list[str]) -> str | None:
    """A function has returned, and nothing goes on on the PE."""
    pe = machine.pe(*place)
    tile = names.tile_of(machine, pe)
    if tile is None or machine.records()[pe, s.P_CMD]:
        return None
    code = np.asarray(tile.code, np.int32).reshape(-1, 4)
    unblocks = ((code[:, 0] & 0xFF) == isa.Op.SYS) & (code[:, 3] == isa.Sys.CMD_DONE)
    if not unblocks.any():
        because.append(f"{tile.name} nowhere calls unblock_cmd_stream")
        return "no_unblock"
    local = [b for b in tile.tasks if b.kind == "local"]
    if local:
        because.append(f"tasks of {tile.name} that are not active: " + ", ".join(f"{b.name} (id {b.id})" for b in local))
        return "not_activated"
    return "no_unblock"


# ---------------------------------------------------------------- as text


def explanation_lines(e: Explanation) -> Iterator[tuple[str, str | None]]:
    """Lines with the style a terminal gives them."""
    yield e.headline, "bold"
    for f in e.findings[:12]:
        yield f"{query.places(f.pes)}: {f.text}", None
        if f.span is not None:
            yield f"  {names.place(f.span)}: {names.source_line(f.span)}", "cyan"
        for line in f.because:
            yield f"  because {line}", None
    if len(e.findings) > 12:
        yield f"and {len(e.findings) - 12} more groups", None
    if e.held:
        yield "so these are full: " + "; ".join(f"{query.places(f.pes)}: {f.text}" for f in e.held[:4]) + (
            f"; and {len(e.held) - 4} more" if len(e.held) > 4 else ""), None
    if e.last:
        yield e.last, None
    for name in e.causes():
        yield f"cause: {RULES[name].title}", "bold red"
        yield f"change: {RULES[name].change}", "green"


def annotate(diagnostic: Any, e: Explanation) -> None:
    """Add what explains a deadlock to its diagnostic: the walk to the root as notes, what to change as help. Likewise for a run that was
    stopped because it takes too long: who is at work."""
    causes = e.causes()
    if not e.hung:
        diagnostic.notes.append(e.headline.partition(": ")[2])
        for f in e.findings[:12]:
            diagnostic.notes.append(f"{query.places(f.pes)}: {f.text}" + (f" ({names.place(f.span)})" if f.span is not None else ""))
        if len(e.findings) > 12:
            diagnostic.notes.append(f"and {len(e.findings) - 12} more groups")
        diagnostic.notes += [*(f"cause: {RULES[name].title}" for name in causes), e.last]
        if causes:
            diagnostic.help = "; ".join(RULES[name].change for name in causes)
        return
    for name in causes[:3]:
        first = next(f for f in e.findings if f.rule == name)
        diagnostic.notes += [f"because {line}" for line in first.because[:4]]
        diagnostic.notes.append(f"cause: {RULES[name].title}")
    diagnostic.notes.append(e.last)
    if causes and diagnostic.help is None:
        diagnostic.help = "; ".join(RULES[name].change for name in causes[:3])


def as_data(e: Explanation) -> dict[str, Any]:
    """The explanation as plain values, for --json."""
    return {
        "hung": e.hung, "headline": e.headline,
        "causes": [{"rule": name, "title": RULES[name].title, "change": RULES[name].change} for name in e.causes()],
        "groups": [{"pes": f.pes, "text": f.text, "source": names.place(f.span) if f.span is not None else None,
                    "because": f.because, "rule": f.rule} for f in e.findings],
        "held_up": [{"pes": f.pes, "text": f.text} for f in e.held], "last_wavelet": e.last,
    }
