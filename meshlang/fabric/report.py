"""From the machine's state to messages: faults, and what a stopped machine waits for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ..diag import Diagnostic, Label, MeshlangError
from ..ir import isa
from ..ir.dsdops import DsdOpCode
from ..ir.frames import inlined_at
from ..ir.program import DIRECTIONS
from ..ir.words import Control, FifoRow
from .engine import state as s
from .engine.faults import Fault
from .messages import MESSAGES
from .recording.flight import flight_notes
from .unblocking import unblock_places

if TYPE_CHECKING:
    from .loaded import Loaded

CALLS_SHOWN = 6
OPERANDS = ("destination", "source 1", "source 2", "source 3")


@dataclass
class Waiting:
    """PEs that wait for the same thing."""

    kind: str  # "operation", "element", "task", "router", "command", "output"
    text: str  # "microthread 2: mov32, 3 of 8 elements, waits for input queue 2 (color 5)"
    pes: list[tuple[int, int]] = field(default_factory=list)
    span: Any = None
    color: int | None = None
    queue: int | None = None
    task: int | None = None  # id of a local task
    returned: bool = False  # a command whose function has come to its end
    wavelets: bool = False  # wavelets in a queue or router; blocked: because the task for them is
    blocked: bool = False

    def places(self, most: int = 4) -> str:
        """The PEs in words."""
        if len(self.pes) == 1:
            return f"PE {self.pes[0]}"
        xs, ys = [p[0] for p in self.pes], [p[1] for p in self.pes]
        w, h = max(xs) - min(xs) + 1, max(ys) - min(ys) + 1
        if len(self.pes) == w * h:
            return f"{len(self.pes)} PEs, x {min(xs)}..{max(xs)}, y {min(ys)}..{max(ys)}"
        some = ", ".join(str(p) for p in self.pes[:most])
        return f"{len(self.pes)} PEs: {some}" + (", ..." if len(self.pes) > most else "")


def place_of(machine: Loaded, pe: int) -> str:
    return f"PE ({pe % machine.width}, {pe // machine.width})"


def span_of(machine: Loaded, tile: int, pc: int) -> Any:
    """Source place of an instruction number of the machine."""
    if tile < 0 or pc < 0:
        return None
    at = pc - machine.state.code_base[tile]
    spans = machine.program.tiles[tile].spans
    while 0 <= at < len(spans):
        if spans[at] is not None:
            return spans[at]
        at -= 1
    return None


def calls_of(machine: Loaded, pe: int, pc: int) -> list[Any]:
    """Source places of the calls that instruction `pc` of a PE's running code is inside of, innermost first."""
    W, C = machine.state.W, machine.state.C
    tile, fp = int(machine.state.tile_of[pe]), int(machine.pes["fp"][pe])
    base, program = machine.state.code_base[tile], machine.program.tiles[tile]
    spans = [frame.span for frame in inlined_at(program, pc - base)]
    while (link := int(W[fp - 1])) >= 0:
        spans.append(span_of(machine, tile, link - 1))
        spans += [frame.span for frame in inlined_at(program, link - 1 - base)]
        fp -= int(C[link * 4 - 2])  # word b of the call
    return spans


def task_name(machine: Loaded, tile: int, task: int) -> str | None:
    if task < 0 or tile < 0:
        return None
    if task == 128:
        return f"function {machine.command}"
    bound = [b for b in machine.program.tiles[tile].tasks if b.id == task & 63]
    # a control wavelet may also have started the data or local task of that id
    bound.sort(key=lambda b: (b.kind == "control") != (task >= 64))
    for binding in bound:
        return f"{binding.kind} task {binding.name} (id {binding.id})"
    return f"task {task & 63}"


def configured(machine: Loaded, pe: int, color: int | None) -> Any:
    """Where a color got a configuration like that of a PE first, or None if it has none."""
    fabric = machine.program.fabric
    if color is None or color not in fabric.color:
        return None
    return fabric.spans.get((color, int(fabric.color[color].reshape(-1)[pe])))


def fault_words(machine: Loaded, fault: Fault, pe: int, a: int, b: int, c: int) -> dict[str, Any]:
    """What the messages of faults name that may be warnings as well."""
    words: dict[str, Any] = {"a": a, "b": b, "c": c}
    if fault in (Fault.NO_ROUTE, Fault.OFF_RECT):
        words.update(color=a, from_=place_of(machine, pe), side=DIRECTIONS[b])
    elif fault == Fault.UNHEARD:
        words.update(color=b)
    elif fault == Fault.LENGTH:
        words.update(operand=OPERANDS[c])
    return words


def fault_error(machine: Loaded) -> MeshlangError:
    """The exception for the fault the engine recorded."""
    machine.settle()
    W = machine.state.W
    fault = Fault(int(W[s.Globals.fault]))
    pe, pc, cycle = int(W[s.Globals.fpe]), int(W[s.Globals.fpc]), int(W[s.Globals.fcycle])
    a, b, c = int(W[s.Globals.fa]), int(W[s.Globals.fb]), int(W[s.Globals.fc])
    record = machine.pes[pe]
    tile = int(machine.state.tile_of[pe])
    words = {**fault_words(machine, fault, pe, a, b, c), "memory": int(record["memsize"]), "text": ""}
    color = words.get("color")
    labels: list[Label] = []
    if fault in (Fault.MISROUTED, Fault.TWO_SIDES):
        color = a
        sender = place_of(machine, c)
        words.update(
            color=a,
            to=place_of(machine, pe),
            from_side=DIRECTIONS[b],
            from_=sender,
            stop=f"do not send on color {a} there"
            if DIRECTIONS[b] == "RAMP"
            else f"take the direction out of tx at {sender}",
        )
    elif fault in (Fault.ASSERT, Fault.TRAP) and (a if fault == Fault.TRAP else a) >= 0:
        words["text"] = f": {machine.state.strings[a]}" if a < len(machine.state.strings) else ""
    elif fault == Fault.QUEUE_BUSY:
        words["kind"] = "output" if b else "input"
        color = c if c < 31 else None
    elif fault == Fault.DSR_BUSY and tile >= 0:
        file, number = machine.program.tiles[tile].dsrs[a]
        words["dsr"] = f"DSR {number} of dsr_{file}"
        started = span_of(machine, tile, b)
        labels += [Label(started, "the operation was started here")] if started is not None else []
    elif fault == Fault.UT_BUSY and tile >= 0:
        started, words["since"], words["text"] = _thread_of(machine, pe, a)
        labels += [Label(started, "this operation holds it")] if started is not None else []
    elif fault == Fault.EXCEPTION:
        words["text"] = " and ".join(name for bit, name in enumerate(isa.EXCEPTIONS) if a >> bit & 1)
    elif fault == Fault.FIFO:
        words["state"] = "full" if a else "empty"
    elif fault == Fault.QUEUE_COLOR:
        words.update(kind="output" if a & 8 else "input", a=a & 7)
    elif fault == Fault.NO_QUEUE:
        words["kind"] = "output" if a else "input"
    elif fault == Fault.WIDTH:
        words["c"] = f"{c} ({OPERANDS[c]})"
    elif fault == Fault.WALK and tile >= 0:
        known = [o for o in machine.program.tiles[tile].objects if o.address == c]
        inside = min((o.address for o in machine.program.tiles[tile].objects), default=0) <= a and b <= words["memory"]
        words["beyond"] = "" if inside else f" and all variables of the program, which end at byte {words['memory']}"
        words["object"] = (
            f"{known[0].name} ({known[0].type}, bytes {c} to {c + known[0].size})" if known else "its variable"
        )
    code, message, help_ = MESSAGES[fault]
    notes = [f"at {place_of(machine, pe)}, cycle {cycle}"]
    router = fault in (Fault.NO_ROUTE, Fault.OFF_RECT, Fault.MISROUTED, Fault.TWO_SIDES, Fault.UNHEARD)
    task = None if router else task_name(machine, tile, int(record["task"]))
    if task:
        notes.append(f"in {task}")
    if tile >= 0:
        notes.append(f"tile program {machine.program.tiles[tile].name}")
    if color is not None:
        notes.append(f"color {color}")
    span = configured(machine, pe, color) if router else span_of(machine, tile, pc)
    # in scalar code the calls say where in the program a library was called; what an operation does later has none
    calls = (
        calls_of(machine, pe, pc)
        if span is not None and not router and record["st"] == s.ST_RUN and record["pc"] == pc + 1
        else []
    )
    labels += [Label(call, "called from here") for call in calls[:CALLS_SHOWN] if call is not None]
    if len(calls) > CALLS_SHOWN:
        notes.append(f"{len(calls)} calls deep")
    notes += flight_notes(machine, pe, task_name)
    return MeshlangError(
        Diagnostic(
            code,
            message.format_map(words),
            span=span,
            labels=labels,
            notes=notes,
            help=help_.format_map(words) if help_ else None,
        )
    )


def _thread_of(machine: Loaded, pe: int, ut: int) -> tuple[Any, int, str]:
    """The operation that runs on a microthread: its place, since when, and in words how far it is."""
    running = int(machine.pes[pe]["utmask"])
    for dense in range(1, running.bit_length()):
        thread = machine.state.thread(pe, dense)
        if running >> dense & 1 and thread["id"] == ut:
            endless = int(thread["flags"]) & s.ThreadFlags.endless.mask
            of = "without end" if endless else f"{thread['k']} of {thread['n']} elements"
            return (
                span_of(machine, int(machine.state.tile_of[pe]), int(thread["pc"])),
                int(thread["start"]),
                f"{DsdOpCode(int(thread['code'])).name.lower()}, {of}",
            )
    raise AssertionError(f"microthread {ut} is at rest")


def _function_span(machine: Loaded, tile: int) -> Any:
    """The first source place in the code of the launched function."""
    program = machine.program.tiles[tile]
    export = program.exports.get(machine.command or "")
    if export is None:
        return None
    return span_of(machine, tile, machine.state.code_base[tile] + program.functions[export.function].entry)


def _pes(count: int) -> str:
    return f"{count} PE{'' if count == 1 else 's'}"


def _unblock_notes(machine: Loaded) -> list[str]:
    """Where the code of the PEs that are not done would unblock the command stream."""
    found: dict[str, list[str]] = {}
    for t in np.unique(machine.state.tile_of[machine.pes["cmdopen"] == 1]):
        tile = machine.program.tiles[int(t)]
        places = ", ".join(unblock_places(tile)) or "nowhere"
        found.setdefault(places, []).append(tile.name)
    return [
        f"{', '.join(names)}: the command stream is unblocked {'in ' if p != 'nowhere' else ''}{p}"
        for p, names in found.items()
    ]


def deadlock_error(
    machine: Loaded, until: Any, have: np.ndarray | None = None, lost: Sequence[str] = ()
) -> MeshlangError:
    """The exception for a machine in which nothing can happen any more, while something is expected. have: how many
    wavelets each PE has sent of the stream that `until` is about. lost: what has come and found nobody."""
    if until == "commands":
        what = f"{machine.command!r} has not finished on {_pes(machine.commands_outstanding)}"
    elif until == "streams":
        counts = {c: n for c in machine.state.hin_index if (n := machine.stream_in_pending(c))}
        what = "what the host streams in is not taken: " + ", ".join(
            f"color {c} by {_pes(n)}" for c, n in counts.items()
        )
    else:
        assert have is not None
        got = f"{have.min()}" if have.min() == have.max() else f"{have.min()} to {have.max()}"
        what = f"the host waits for {until[6]} wavelets of color {until[1]} from {'each of ' if have.size > 1 else ''}{_pes(have.size)} and got {got}"
    groups = find_waiting(machine)
    notes = [f"{g.places()}: {g.text}" for g in groups[:12]]
    if until == "commands" and groups and all(g.returned for g in groups):
        error = MeshlangError(
            Diagnostic(
                "MS0856",
                f"{machine.command!r} has returned on {_pes(machine.commands_outstanding)}, where nothing has unblocked the command stream",
                span=next((g.span for g in groups if g.span is not None), None),
                notes=[f"cycle {machine.cycle}", *notes, *_unblock_notes(machine), *lost],
                help="call unblock_cmd_stream() of <memcpy/memcpy> once on every PE, in the task that comes last",
            ),
            exit_code=3,
        )
        error.machine = machine
        return error
    notes += lost
    if len(groups) > 12:
        notes.append(f"and {len(groups) - 12} more groups")
    if until == "commands" and any(g.kind == "router" and g.color in machine.held_streams for g in groups):
        notes.append(
            "commands and copies are one queue: the host takes a stream when the launch before it is over, and this launch is "
            "not over before its data have left"
        )
    if not groups:
        notes.append(
            "no PE waits for anything: a function ended without unblocking the command stream, or nothing is sent"
        )
    # an endless operation waits by design: the place that is shown is another one, if there is
    first = next((g.span for g in sorted(groups, key=lambda g: ", endless, " in g.text) if g.span is not None), None)
    error = MeshlangError(
        Diagnostic(
            "MS0860",
            f"deadlock at cycle {machine.cycle}: nothing can happen any more, but {what}",
            span=first,
            notes=notes,
        ),
        exit_code=3,
    )
    error.machine, error.until = machine, until  # for inspect.why, which looks for the root when the error is shown
    return error


def _data_task(machine: Loaded, tile: int, channel: int | None) -> bool:
    return any(b.kind == "data" and b.id == channel for b in machine.program.tiles[tile].tasks)


def find_waiting(machine: Loaded) -> list[Waiting]:
    """All that is unfinished, grouped: operations, stuck instructions, tasks, output queues, wavelets in routers,
    commands."""
    machine.settle()
    st = machine.state
    W, U, T = st.W, st.U, st.T
    P = machine.pes
    groups: dict[tuple, Waiting] = {}

    def add(
        pe: int, kind: str, text: str, span: Any = None, color: int | None = None, queue: int | None = None
    ) -> Waiting:
        # by source place: PEs with parameters of their own have a tile program each, but run the same code
        key = kind, text, (span.file.path, span.start) if span is not None else None
        group = groups.get(key)
        if group is None:
            group = groups[key] = Waiting(kind, text, [], span, color, queue)
        group.pes.append((pe % machine.width, pe // machine.width))
        return group

    def queue_words(record: int, output: bool) -> tuple[str, int | None, int]:
        ident, color = int(U[record + s.Queue.id]), int(U[record + s.Queue.color])
        kind = "output" if output else "input"
        name = f"{kind} queue {ident}" if ident < 8 else f"the {kind} queue"
        return name + (f" (color {color})" if color < s.NO_COLOR else ""), color if color < s.NO_COLOR else None, ident

    def channel_of(pe: int, color: int | None) -> int:
        channel = st.channels.get(color) if color is not None else None
        return -1 if channel is None else int(channel[pe])

    def gate(ch: int, side: int) -> str:
        """Why a channel lets nothing in at a side, or ""."""
        config = int(U[ch + s.Channel.config])
        if config & s.Config.teardown.mask:
            return "the color is in teardown there, and the program does not leave it"
        if config & s.Config.special.mask and not config >> side & 1:
            x = extension(ch)
            position = int(W[x + s.Extension.positions + W[x + s.Extension.current]])
            if position >> side & 1:
                return "the switch there is about to advance, and takes nothing until the wavelets before have left"
            sides = ", ".join(DIRECTIONS[d] for d in range(5) if position >> d & 1) or "nothing"
            return f"the switch there is at position {int(W[x + s.Extension.current])} and receives from {sides}, not from {DIRECTIONS[side]}"
        return ""

    def extension(ch: int) -> int:
        return int(W[s.Globals.x]) + s.ChannelState.extension.get(int(U[ch + s.Channel.state])) * s.Extension.WORDS

    def eaten(pe: int, color: int | None) -> str:
        ch = channel_of(pe, color)
        if (
            ch < 0
            or not int(U[ch + s.Channel.config]) & s.Config.filter.mask
            or not W[extension(ch) + s.Extension.eaten]
        ):
            return ""
        return f"; the filter has kept {int(W[extension(ch) + s.Extension.eaten])} wavelets from the PE"

    def fifo_name(tile: int, o: int) -> str:
        address = int(T[int(W[o + s.Operand.queue])])
        return next(
            (f"FIFO over {m.name}" for m in machine.program.tiles[tile].objects if m.address == address), "FIFO"
        )

    # operations
    for pe in np.flatnonzero(P["utmask"]):
        tile = int(st.tile_of[pe])
        mask = int(P["utmask"][pe])
        for dense in range(16):
            if not mask >> dense & 1:
                continue
            v = int(P["ut"][pe]) + dense * s.Thread.WORDS
            code, n, k, pc = (int(W[v + f]) for f in (s.Thread.code, s.Thread.n, s.Thread.k, s.Thread.pc))
            who = "main thread" if dense == 0 else f"microthread {int(W[v + s.Thread.id])}"
            waits, color, queue = "", None, None
            for j in range(4):
                o = v + s.Thread.operands + j * s.Operand.WORDS
                q = int(W[o + s.Operand.queue])
                if W[o + s.Operand.kind] == s.K_IN and U[q + s.Queue.count] == 0:
                    words, color, queue = queue_words(q, False)
                    waits = f"waits for {words}{eaten(int(pe), color)}"
                    break
                if W[o + s.Operand.kind] == s.K_FIFO:
                    held = int(W[int(W[o + s.Operand.addr]) + s.Fifo.count])
                    if j == 0 and held >= int(T[int(W[o + s.Operand.queue]) + FifoRow.capacity]):
                        waits = f"waits for room in the {fifo_name(tile, o)}, which holds {held} elements"
                    elif j > 0 and held == 0:
                        waits = f"waits for the {fifo_name(tile, o)}, which is empty"
                if W[o + s.Operand.kind] == s.K_OUT and U[q + s.Queue.count] >= U[q + s.Queue.cap]:
                    words, color, queue = queue_words(q, True)
                    waits = f"waits for room in {words}"
            if int(P["utblock"][pe]) >> dense & 1:
                waits = "is blocked"
            of = "endless" if int(W[v + s.Thread.flags]) & s.ThreadFlags.endless.mask else f"{k} of {n} elements"
            text = f"{who}: {DsdOpCode(code).name.lower()}, {of}, {waits or 'can go on'}"
            add(int(pe), "operation", text, span_of(machine, tile, pc), color, queue)
    # @map and friends
    for pe in np.flatnonzero((P["stall"] == 1) & (P["st"] == s.ST_RUN)):
        tile, pc = int(st.tile_of[pe]), int(P["pc"][pe])
        text = "main thread: waits for one element on the fabric"
        add(int(pe), "element", text, span_of(machine, tile, pc))
    # tasks
    for pe in np.flatnonzero(P["tile"] >= 0):
        if P["active"][pe] == 0:
            continue
        tile = int(st.tile_of[pe])
        active, blocked = int(P["active"][pe]), int(P["blocked"][pe])
        for binding in machine.program.tiles[tile].tasks:
            if binding.kind == "local" and active >> binding.id & 1:
                state = "is blocked" if blocked >> binding.id & 1 else "waits for the main thread"
                text = f"local task {binding.name} (id {binding.id}) is activated, but {state}"
                add(int(pe), "task", text, binding.span).task = binding.id
    # queues
    wse3 = bool(W[s.Globals.wse3])
    for t, pes in enumerate(st.tile_pes):
        record = s.T_TILES + t * s.Tile.WORDS
        for i in range(int(T[record + s.Tile.niq])):
            q = P["iq"][pes] + i * s.Queue.WORDS
            for pe in pes[U[q + s.Queue.count] > 0]:
                base = int(P["iq"][pe]) + i * s.Queue.WORDS
                if U[base + s.Queue.user]:
                    continue
                words, color, ident = queue_words(base, False)
                channel = ident if wse3 else color
                blocked = (
                    channel is not None
                    and bool(int(P["blocked"][pe]) >> channel & 1)
                    and _data_task(machine, t, channel)
                )
                count = int(U[base + s.Queue.count])
                what = "and the task for them is blocked" if blocked else "which no operation takes"
                head = int(U[base + s.Queue.buf]) + int(U[base + s.Queue.head]) * s.Entry.WORDS
                if s.EntryFlags.control.get(int(U[head + s.Entry.flags])):
                    task = Control.task.get(int(U[head + s.Entry.value]))
                    what = (
                        f"the first a control wavelet for {task_name(machine, t, s.CONTROL_TASKS + task)}, and "
                        f"the {'queue' if wse3 else 'color'} or the task is blocked"
                    )
                text = f"{words} holds {count} wavelet{'s' if count > 1 else ''}, {what}"
                group = add(int(pe), "task", text, None, color, ident)
                group.wavelets, group.blocked = True, blocked
        for i in range(int(T[record + s.Tile.noq])):
            q = P["oq"][pes] + i * s.Queue.WORDS
            for pe in pes[U[q + s.Queue.count] > 0]:
                record_ = int(P["oq"][pe]) + i * s.Queue.WORDS
                words, color, ident = queue_words(record_, True)
                entry = int(U[record_ + s.Queue.buf]) + int(U[record_ + s.Queue.head]) * s.Entry.WORDS
                slot = s.EntryFlags.slot.get(int(U[entry + s.Entry.flags]))
                ch = int(U[pe * s.Router.WORDS + s.Router.base]) + slot * s.Channel.WORDS
                why = gate(ch, 4)
                text = f"{words} cannot be emptied" + (f": {why}" if why else "")
                add(int(pe), "output", text, None, color, ident).wavelets = True
    # routers
    first, _ = st.channel_region
    count = s.ChannelState.count.get(st.buffers["state"])
    for number, places in st.channels.items():
        has = places >= 0
        stuck = np.zeros(len(places), bool)
        stuck[has] = count[(places[has] - first) // s.Channel.WORDS] > 0
        for pe in np.flatnonzero(stuck):
            config = int(U[places[pe] + s.Channel.config])
            tx = s.Config.tx.get(config)
            if tx & s.TO_HOST and number in machine.held_streams:
                text = f"wavelets of color {number} wait for the host, which has not begun to take them"
            elif tx & s.TO_RAMP and s.Config.queue.get(config) == s.NO_QUEUE:
                text = f"wavelets of color {number} wait in the router: no input queue takes this color"
            else:
                to = ", ".join(DIRECTIONS[d] for d in range(5) if tx >> d & 1) or "nowhere (no tx)"
                text = f"wavelets of color {number} are stuck in the router, on their way to {to}"
                if config & s.Config.teardown.mask:
                    text = f"wavelets of color {number} wait in the router: the color is in teardown, and the program does not leave it"
                for d in range(4):
                    near = int(U[places[pe] + s.Channel.near + d])
                    if tx >> d & 1 and near < s.OFF_RECTANGLE and gate(near, d ^ 1):
                        text += f" ({DIRECTIONS[d]}: {gate(near, d ^ 1)})"
            add(int(pe), "router", text, None, number).wavelets = True
    # commands
    for pe in np.flatnonzero(P["cmdopen"] == 1):
        tile = int(st.tile_of[pe])
        if P["st"][pe] == s.ST_IDLE and P["utmask"][pe] == 0 and P["cmd"][pe] == 0:
            text = f"{machine.command!r} has returned, and the command stream was not unblocked"
            add(int(pe), "command", text, _function_span(machine, tile)).returned = True
        elif P["cmd"][pe] != 0:
            text = f"{machine.command!r} has not been started"
            add(int(pe), "command", text)
    order = {"operation": 0, "element": 1, "task": 2, "output": 3, "router": 4, "command": 5}
    return sorted(groups.values(), key=lambda g: order[g.kind])
