"""What a stopped machine waits for, as data: one record for each thing that is unfinished, with its cause.

Everything that has to tell one wait from another reads this record. wording.py makes texts of it, at the end.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum
from typing import TYPE_CHECKING, Any

import numpy as np

from ..ir import isa
from ..ir.dsdops import DsdOpCode
from ..ir.words import Control, Dsd, FifoRow
from .engine import state as s
from .places import span_of, task_name

if TYPE_CHECKING:
    from .loaded import Loaded


class Kind(Enum):
    """What is unfinished, in the order in which it is shown."""

    OPERATION = "operation"  # a running vector operation
    ELEMENT = "element"  # an instruction that wants one element from the fabric (@map)
    TASK = "task"  # a local task that is activated
    INPUT = "input"  # wavelets in an input queue
    OUTPUT = "output"  # wavelets in an output queue
    ROUTER = "router"  # wavelets in a router
    COMMAND = "command"  # a launched function


class Cause(Enum):
    """Why it does not go on."""

    NOTHING = "nothing"  # it can go on
    EMPTY_QUEUE = "empty_queue"
    FULL_QUEUE = "full_queue"
    EMPTY_FIFO = "empty_fifo"
    FULL_FIFO = "full_fifo"
    BLOCKED = "blocked"  # the microthread, the task, the data task for what a queue holds
    FABRIC = "fabric"  # an instruction that wants one element, wherever it comes from or goes to
    MAIN_THREAD = "main_thread"  # the main thread is not done
    UNTAKEN = "untaken"  # no operation and no task takes what a queue holds
    CONTROL_QUEUE = "control_queue"  # a control wavelet whose task, or the queue (WSE-3), is blocked
    CONTROL_COLOR = "control_color"  # a control wavelet whose task, or the color (WSE-2), is blocked
    DOWNSTREAM = "downstream"  # the next router, or the one after, takes nothing
    NO_QUEUE = "no_queue"  # the router's ramp has no input queue for the color
    TEARDOWN = "teardown"
    SWITCH = "switch"  # a switch receives from another side
    SWITCH_MOVES = "switch_moves"  # a switch is about to advance
    HOST = "host"  # the host has not begun to take a stream
    RETURNED = "returned"  # the launched function has ended, and the command stream was not unblocked
    NOT_STARTED = "not_started"


@dataclass(frozen=True)
class Gate:
    """A channel that lets nothing in at a side."""

    cause: Cause  # TEARDOWN, SWITCH, SWITCH_MOVES
    side: int  # direction that nothing comes in from
    to: int | None = None  # the direction it lies in, seen from the router that waits; None: the PE's own
    position: int = 0  # of the switch
    receives: int = 0  # mask of the sides that the switch receives from


@dataclass(frozen=True)
class Wait:
    """What a PE waits for. Equal for PEs of which the same is said. None and 0 where a kind has no such thing."""

    kind: Kind
    cause: Cause
    color: int | None = None
    queue: int | None = None  # id
    thread: int | None = None  # of an operation: the microthread's id, None: the main thread
    operation: str = ""  # "fmovs", "@map"
    done: int = 0  # elements
    total: int | None = None  # elements; None: endless
    fifo: str = ""  # the variable that a FIFO lies over, if it has a name
    count: int = 0  # wavelets in the queue, elements in the FIFO
    kept: int = 0  # wavelets that the color's filter has kept from the PE
    task: int | None = None  # id of a local task
    name: str = ""  # the task, the launched function
    blocked: bool = False  # wavelets in an input queue: the data task for them is blocked
    to: int = 0  # mask of the directions that wavelets in a router are on their way to
    gates: tuple[Gate, ...] = ()
    since: int | None = field(default=None, compare=False)  # cycle in which the operation began

    @property
    def waits(self) -> bool:
        return self.cause is not Cause.NOTHING

    @property
    def endless(self) -> bool:
        """An operation without end waits by design, where others have work to do."""
        return self.kind is Kind.OPERATION and self.total is None

    @property
    def wavelets(self) -> bool:
        """Wavelets that are on their way."""
        return self.kind in (Kind.INPUT, Kind.OUTPUT, Kind.ROUTER)


@dataclass
class Waiting:
    """PEs that wait for the same thing."""

    wait: Wait
    pes: list[tuple[int, int]] = field(default_factory=list)
    span: Any = None

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


def queue_of(machine: Loaded, at: int) -> tuple[int, int | None]:
    """Id and color of a queue, which stands at `at` in U."""
    U = machine.state.U
    color = int(U[at + s.Queue.color])
    return int(U[at + s.Queue.id]), color if color < s.NO_COLOR else None


def operation_wait(machine: Loaded, pe: int, dense: int) -> Wait:
    """A running vector operation: dense thread 0 is the main thread's."""
    st = machine.state
    W, U, T = st.W, st.U, st.T
    v = int(machine.pes["ut"][pe]) + dense * s.Thread.WORDS
    operands = [v + s.Thread.operands + j * s.Operand.WORDS for j in range(4)]
    kinds = [int(W[o + s.Operand.kind]) for o in operands]
    queues = [int(W[o + s.Operand.queue]) for o in operands]
    cause = Cause.NOTHING
    more: dict[str, Any] = {}
    # in the order in which the engine asks: input, room for output, FIFOs
    for kind, q in zip(kinds[1:], queues[1:], strict=True):
        if kind == s.K_IN and U[q + s.Queue.count] == 0:
            ident, color = queue_of(machine, q)
            cause, more = Cause.EMPTY_QUEUE, {"queue": ident, "color": color, "kept": _kept(machine, pe, color)}
            break
    if cause is Cause.NOTHING and kinds[0] == s.K_OUT:
        q = queues[0]
        if U[q + s.Queue.count] >= U[q + s.Queue.cap]:
            # WSE-2: the DSD names the color, not the queue
            color = st.sends_on(pe, int(W[operands[0] + s.Operand.stride]))
            cause, more = Cause.FULL_QUEUE, {"queue": queue_of(machine, q)[0], "color": color}
    if cause is Cause.NOTHING:
        for j in range(4):
            if kinds[j] != s.K_FIFO:
                continue
            held = int(W[int(W[operands[j] + s.Operand.addr]) + s.Fifo.count])
            full = j == 0 and held >= int(T[queues[j] + FifoRow.capacity])
            if full or (j > 0 and held == 0):
                cause = Cause.FULL_FIFO if full else Cause.EMPTY_FIFO
                more = {"count": held, "fifo": _fifo_name(machine, pe, int(T[queues[j]]))}
                break
    if int(machine.pes["utblock"][pe]) >> dense & 1:
        cause, more = Cause.BLOCKED, {}
    endless = bool(int(W[v + s.Thread.flags]) & s.ThreadFlags.endless.mask)
    return Wait(
        Kind.OPERATION,
        cause,
        thread=None if dense == 0 else int(W[v + s.Thread.id]),
        operation=DsdOpCode(int(W[v + s.Thread.code])).name.lower(),
        done=int(W[v + s.Thread.k]),
        total=None if endless else int(W[v + s.Thread.n]),
        since=int(W[v + s.Thread.start]),
        **more,
    )


def element_wait(machine: Loaded, pe: int) -> Wait:
    """The instruction of a PE's main thread that waits for one element (@map)."""
    st = machine.state
    r = machine.pes[pe]
    pc, fp = int(r["pc"]), int(r["fp"])
    inward = int(st.C[pc * 4]) & 0xFF == isa.Op.ELD
    dsd = Dsd.unpack(int(st.W[fp + int(st.C[pc * 4 + 2])]))
    ident = dsd["queue"] if dsd["hasq"] else None
    color = dsd["color"] if dsd["hascolor"] else None
    for q in st.queues(pe, not inward):
        its = None if int(q["color"]) >= s.NO_COLOR else int(q["color"])
        if (int(q["id"]) == ident) if ident is not None else its == color:
            ident, color = int(q["id"]), its if color is None else color
            break
    cause = Cause.EMPTY_QUEUE if inward else Cause.FULL_QUEUE
    return Wait(Kind.ELEMENT, cause, color=color, queue=ident, operation="@map")


def _fifo_name(machine: Loaded, pe: int, address: int) -> str:
    tile = machine.program.tiles[int(machine.state.tile_of[pe])]
    return next((m.name for m in tile.objects if m.address == address), "")


def _extension(machine: Loaded, ch: int) -> int:
    """The words of a channel that only switches, filters and the like have, in W."""
    st = machine.state
    number = s.ChannelState.extension.get(int(st.U[ch + s.Channel.state]))
    return int(st.W[s.Globals.x]) + number * s.Extension.WORDS


def _kept(machine: Loaded, pe: int, color: int | None) -> int:
    """Wavelets of a color that its filter has kept from a PE."""
    places = machine.state.channels.get(color) if color is not None else None
    ch = -1 if places is None else int(places[pe])
    if ch < 0 or not int(machine.state.U[ch + s.Channel.config]) & s.Config.filter.mask:
        return 0
    return int(machine.state.W[_extension(machine, ch) + s.Extension.eaten])


def _gate(machine: Loaded, ch: int, side: int, to: int | None = None) -> Gate | None:
    """Why a channel lets nothing in at a side."""
    config = int(machine.state.U[ch + s.Channel.config])
    if config & s.Config.teardown.mask:
        return Gate(Cause.TEARDOWN, side, to)
    if not config & s.Config.special.mask or config >> side & 1:
        return None
    W, x = machine.state.W, _extension(machine, ch)
    current = int(W[x + s.Extension.current])
    position = int(W[x + s.Extension.positions + current])
    if position >> side & 1:
        return Gate(Cause.SWITCH_MOVES, side, to)
    return Gate(Cause.SWITCH, side, to, current, position & 31)


def _function_span(machine: Loaded, tile: int) -> Any:
    """The first source place in the code of the launched function."""
    program = machine.program.tiles[tile]
    export = program.exports.get(machine.command or "")
    if export is None:
        return None
    return span_of(machine, tile, machine.state.code_base[tile] + program.functions[export.function].entry)


class _Groups:
    """Waits as they are found, put together."""

    def __init__(self, machine: Loaded):
        self.machine = machine
        self.found: dict[tuple, Waiting] = {}

    def add(self, pe: int, wait: Wait, span: Any = None) -> None:
        # by source place: PEs with parameters of their own have a tile program each, but run the same code
        key = wait, (span.file.path, span.start) if span is not None else None
        group = self.found.get(key)
        if group is None:
            group = self.found[key] = Waiting(wait, [], span)
        group.pes.append((pe % self.machine.width, pe // self.machine.width))


def find_waiting(machine: Loaded) -> list[Waiting]:
    """All that is unfinished, grouped: operations, stuck instructions, tasks, queues, wavelets in routers, commands."""
    machine.settle()
    groups = _Groups(machine)
    _operations(machine, groups)
    _tasks(machine, groups)
    for t, pes in enumerate(machine.state.tile_pes):
        _inputs(machine, groups, t, pes)
        _outputs(machine, groups, t, pes)
    _routers(machine, groups)
    _commands(machine, groups)
    order = {kind: i for i, kind in enumerate(Kind)}
    return sorted(groups.found.values(), key=lambda g: order[g.wait.kind])


def _operations(machine: Loaded, groups: _Groups) -> None:
    st, P = machine.state, machine.pes
    for pe in np.flatnonzero(P["utmask"]).tolist():
        mask = int(P["utmask"][pe])
        for dense in range(16):
            if mask >> dense & 1:
                pc = int(st.W[int(P["ut"][pe]) + dense * s.Thread.WORDS + s.Thread.pc])
                wait = operation_wait(machine, pe, dense)
                # how far an endless operation is says nothing, and differs from PE to PE
                wait = replace(wait, done=0) if wait.endless else wait
                groups.add(pe, wait, span_of(machine, int(st.tile_of[pe]), pc))
    for pe in np.flatnonzero((P["stall"] == 1) & (P["st"] == s.ST_RUN)).tolist():
        span = span_of(machine, int(st.tile_of[pe]), int(P["pc"][pe]))
        groups.add(pe, Wait(Kind.ELEMENT, Cause.FABRIC, operation="@map"), span)


def _tasks(machine: Loaded, groups: _Groups) -> None:
    P = machine.pes
    for pe in np.flatnonzero((P["tile"] >= 0) & (P["active"] != 0)).tolist():
        active, blocked = int(P["active"][pe]), int(P["blocked"][pe])
        for binding in machine.program.tiles[int(machine.state.tile_of[pe])].tasks:
            if binding.kind == "local" and active >> binding.id & 1:
                cause = Cause.BLOCKED if blocked >> binding.id & 1 else Cause.MAIN_THREAD
                groups.add(pe, Wait(Kind.TASK, cause, task=binding.id, name=binding.name), binding.span)


def _inputs(machine: Loaded, groups: _Groups, t: int, pes: np.ndarray) -> None:
    U, P = machine.state.U, machine.pes
    wse3 = bool(machine.state.W[s.Globals.wse3])
    data = {b.id for b in machine.program.tiles[t].tasks if b.kind == "data"}
    for i in range(int(machine.state.T[s.T_TILES + t * s.Tile.WORDS + s.Tile.niq])):
        q = P["iq"][pes] + i * s.Queue.WORDS
        for pe in pes[(U[q + s.Queue.count] > 0) & (U[q + s.Queue.user] == 0)].tolist():
            base = int(P["iq"][pe]) + i * s.Queue.WORDS
            ident, color = queue_of(machine, base)
            channel = ident if wse3 else color
            blocked = channel is not None and bool(int(P["blocked"][pe]) >> channel & 1) and channel in data
            cause, name = Cause.BLOCKED if blocked else Cause.UNTAKEN, ""
            head = int(U[base + s.Queue.buf]) + int(U[base + s.Queue.head]) * s.Entry.WORDS
            if s.EntryFlags.control.get(int(U[head + s.Entry.flags])):
                cause = Cause.CONTROL_QUEUE if wse3 else Cause.CONTROL_COLOR
                task = Control.task.get(int(U[head + s.Entry.value]))
                name = task_name(machine, t, s.CONTROL_TASKS + task) or ""
            count = int(U[base + s.Queue.count])
            groups.add(pe, Wait(Kind.INPUT, cause, color, ident, count=count, name=name, blocked=blocked))


def _outputs(machine: Loaded, groups: _Groups, t: int, pes: np.ndarray) -> None:
    U, P = machine.state.U, machine.pes
    for i in range(int(machine.state.T[s.T_TILES + t * s.Tile.WORDS + s.Tile.noq])):
        q = P["oq"][pes] + i * s.Queue.WORDS
        for pe in pes[U[q + s.Queue.count] > 0].tolist():
            base = int(P["oq"][pe]) + i * s.Queue.WORDS
            ident, color = queue_of(machine, base)
            entry = int(U[base + s.Queue.buf]) + int(U[base + s.Queue.head]) * s.Entry.WORDS
            slot = s.EntryFlags.slot.get(int(U[entry + s.Entry.flags]))
            gate = _gate(machine, int(U[pe * s.Router.WORDS + s.Router.base]) + slot * s.Channel.WORDS, 4)
            groups.add(pe, Wait(Kind.OUTPUT, Cause.DOWNSTREAM, color, ident, gates=(gate,) if gate else ()))


def _routers(machine: Loaded, groups: _Groups) -> None:
    st = machine.state
    U = st.U
    first, _ = st.channel_region
    count = s.ChannelState.count.get(st.buffers["state"])
    for number, places in st.channels.items():
        has = places >= 0
        stuck = np.zeros(len(places), bool)
        stuck[has] = count[(places[has] - first) // s.Channel.WORDS] > 0
        for pe in np.flatnonzero(stuck).tolist():
            config = int(U[places[pe] + s.Channel.config])
            tx = s.Config.tx.get(config)
            gates: tuple[Gate, ...] = ()
            if tx & s.TO_HOST and number in machine.held_streams:
                cause = Cause.HOST
            elif tx & s.TO_RAMP and s.Config.queue.get(config) == s.NO_QUEUE:
                cause = Cause.NO_QUEUE
            else:
                cause = Cause.TEARDOWN if config & s.Config.teardown.mask else Cause.DOWNSTREAM
                near = {d: int(U[places[pe] + s.Channel.near + d]) for d in range(4) if tx >> d & 1}
                found = (_gate(machine, at, d ^ 1, d) for d, at in near.items() if at < s.OFF_RECTANGLE)
                gates = tuple(g for g in found if g is not None)
            groups.add(
                pe, Wait(Kind.ROUTER, cause, number, to=int(tx) & 31 if cause is Cause.DOWNSTREAM else 0, gates=gates)
            )


def _commands(machine: Loaded, groups: _Groups) -> None:
    P = machine.pes
    name = repr(machine.command)
    for pe in np.flatnonzero(P["cmdopen"] == 1).tolist():
        if P["st"][pe] == s.ST_IDLE and P["utmask"][pe] == 0 and P["cmd"][pe] == 0:
            span = _function_span(machine, int(machine.state.tile_of[pe]))
            groups.add(pe, Wait(Kind.COMMAND, Cause.RETURNED, name=name), span)
        elif P["cmd"][pe] != 0:
            groups.add(pe, Wait(Kind.COMMAND, Cause.NOT_STARTED, name=name))
