"""Read-only views of a stopped machine, as plain data. Nothing here changes the machine."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from meshlang.fabric.engine import state as s
from meshlang.fabric.tables import SPARE_QUEUE
from meshlang.fabric.waiting import Cause, Wait, element_wait, operation_wait
from meshlang.ir import isa
from meshlang.ir.frames import inlined_at
from meshlang.ir.program import DIRECTIONS
from meshlang.ir.words import INFINITE, RING_LENGTH, Act, Dsd, FifoRow, Walk

from . import names

if TYPE_CHECKING:
    from meshlang.fabric.machine import Machine
    from meshlang.ir.program import TileProgram

STATES = ("idle", "running", "waits for its operation")


@dataclass(frozen=True)
class Wavelet:
    value: int
    control: bool
    ready: int  # cycles until it can be taken; 0: now


@dataclass(frozen=True)
class OperandView:
    role: str  # "destination", "source 1", ...
    text: str
    kind: int  # state.K_*
    queue: int | None = None  # queue id of fabric operands
    color: int | None = None
    fifo: int | None = None  # which FIFO: its row in the machine's table


@dataclass(frozen=True)
class OperationView:
    """A running vector operation: how far it is and what it waits for, and what it works on."""

    wait: Wait
    operands: tuple[OperandView, ...]
    task: str
    span: Any
    unblocks: int | None = None  # the task id that its end unblocks


@dataclass(frozen=True)
class PEView:
    """A compute element."""

    pe: tuple[int, int]
    tile: str
    state: str
    task: str | None
    span: Any
    ahead: int  # how many cycles its own clock is ahead of the machine's
    active: tuple[tuple[int, str], ...]
    blocked: tuple[tuple[int, str], ...]
    busy: int
    sent: int
    received: int
    tasks_started: int
    command: str | None  # "not started", "open" or None
    operations: tuple[OperationView, ...]


@dataclass(frozen=True)
class QueueView:
    output: bool
    id: int
    color: int | None
    capacity: int
    contents: tuple[Wavelet, ...]
    used: bool  # an operation holds it

    @property
    def name(self) -> str:
        return f"{'output' if self.output else 'input'} queue {self.id if self.id < SPARE_QUEUE else '(chosen by the compiler)'}"


@dataclass(frozen=True)
class DsrView:
    name: str  # "dest[0]"
    text: str
    loaded: bool


@dataclass(frozen=True)
class ChannelView:
    """One color at one router, as it is now."""

    color: int
    rx: tuple[str, ...]
    tx: tuple[str, ...]
    contents: tuple[Wavelet, ...]
    queue: int | None  # input queue at the ramp
    position: int | None = None  # switch position
    positions: tuple[str, ...] = ()
    turns: bool = False  # do its switch positions differ?
    teardown: bool = False
    filtered: bool = False
    swaps: bool = False
    last_push: int = 0  # cycle in which a wavelet last came in; 0 never
    kept: int = 0  # wavelets its filter has kept from the PE


def sides(mask: int) -> tuple[str, ...]:
    return tuple((*DIRECTIONS, "HOST")[d] for d in range(6) if mask >> d & 1)


# ---------------------------------------------------------------- compute elements


def busy_cycles(machine: Machine) -> np.ndarray:
    """Cycles each PE's main thread was at work, the running task's so far included (int64 [pe])."""
    P = machine.pes
    running = (P["tile"] >= 0) & (P["st"] != s.ST_IDLE)
    return P["busy"] + np.where(running, np.maximum(0, machine.cycle - P["busyfrom"]), 0)


def pe_view(machine: Machine, x: int, y: int) -> PEView | None:
    """One PE; None where there is no code."""
    pe = machine.pe(x, y)
    tile = names.tile_of(machine, pe)
    if tile is None:
        return None
    r = machine.pes[pe]
    state = int(r["st"])
    task = names.task_name(machine, tile, int(r["task"])) if state != s.ST_IDLE else None
    running = int(r["pc"]) if state == s.ST_RUN else int(r["pc"]) - 1
    command = "not started" if r["cmd"] else "open" if r["cmdopen"] else None
    busy = int(r["busy"]) + (max(0, machine.cycle - int(r["busyfrom"])) if task else 0)
    return PEView(
        (x, y),
        tile.name,
        STATES[state],
        task,
        names.span_at(machine, pe, running) if task else None,
        max(0, int(r["time"]) - machine.cycle) if task else 0,
        tuple(names.named_ids(machine, tile, int(r["active"]))),
        tuple(names.named_ids(machine, tile, int(r["blocked"]))),
        busy,
        int(r["sent"]),
        int(machine.received()[pe]),
        int(r["tasks"]),
        command,
        tuple(operations(machine, pe)),
    )


def frames(machine: Machine, x: int, y: int) -> list[tuple[str, Any]]:
    """The functions that are under way on a PE, innermost first, with the place where each stands; the last is the task or
    launched function. Expanded functions are among them. Nothing where no task runs."""
    pe = machine.pe(x, y)
    tile = names.tile_of(machine, pe)
    r = machine.pes[pe]
    if tile is None or int(r["st"]) == s.ST_IDLE:
        return []
    W, code = machine.state.W, tile.code
    base = int(machine.state.code_base[int(machine.state.tile_of[pe])])
    fp = int(r["fp"])
    pc = int(r["pc"]) - (int(r["st"]) != s.ST_RUN)
    found: list[tuple[str, Any]] = []
    while True:
        span = names.span_at(machine, pe, pc)
        for inline in inlined_at(tile, pc - base):
            found.append((inline.name, span))
            span = inline.span
        owner = max((f for f in tile.functions if f.entry <= pc - base), key=lambda f: f.entry, default=None)
        found.append((owner.name if owner is not None else "?", span))
        back = int(W[fp - 1])
        if back < 0:
            return found
        fp -= int(code[back - base - 1][2])  # the call says how far its frame is from the caller's
        pc = back - 1


def operations(machine: Machine, pe: int) -> list[OperationView]:
    """What the vector unit of a PE works on: dense thread 0 is the main thread's."""
    st = machine.state
    tile = names.tile_of(machine, pe)
    r = machine.pes[pe]
    out: list[OperationView] = []
    if tile is None:
        return out
    if r["st"] == s.ST_RUN and r["stall"] == 1:
        out.append(_element(machine, pe, tile))
    for dense in names.ids_of(int(r["utmask"])):
        v = st.thread(pe, dense)
        operands = []
        for j, o in enumerate(v["operands"]):
            kind = int(o["kind"])
            if kind == s.K_NONE:
                continue
            operands.append(_operand(machine, pe, tile, o, "destination" if j == 0 else f"source {j}"))
        action = Act.unpack(int(v["action"]))
        out.append(
            OperationView(
                operation_wait(machine, pe, dense),
                tuple(operands),
                names.task_name(machine, tile, int(v["task"])),
                names.span_at(machine, pe, int(v["pc"])),
                action["id"] & 0x3F if action["kind"] == isa.Action.UNBLOCK else None,
            )
        )
    return out


def _element(machine: Machine, pe: int, tile: TileProgram) -> OperationView:
    """@map and the like, which move element by element and wait on the fabric for one."""
    r = machine.pes[pe]
    wait = element_wait(machine, pe)
    inward = wait.cause is Cause.EMPTY_QUEUE
    return OperationView(
        wait,
        (_fabric_operand("source 1" if inward else "destination", inward, wait.queue, wait.color),),
        names.task_name(machine, tile, int(r["task"])),
        names.span_at(machine, pe, int(r["pc"])),
    )


def _fabric_operand(role: str, inward: bool, queue: int | None, color: int | None) -> OperandView:
    name = f"queue {queue}" if queue is not None and queue < SPARE_QUEUE else "queue"
    text = f"{'input' if inward else 'output'} {name}" + ("" if color is None else f" (color {color})")
    return OperandView(role, text, s.K_IN if inward else s.K_OUT, queue, color)


def _operand(machine: Machine, pe: int, tile: TileProgram, operand: Any, role: str) -> OperandView:
    kind, at = int(operand["kind"]), int(operand["queue"])
    if kind in (s.K_IN, s.K_OUT):
        queue = machine.state.queue(at)
        color = int(queue["color"])
        shown = None if color >= s.NO_COLOR else color
        if kind == s.K_OUT:
            shown = machine.state.sends_on(pe, int(operand["stride"]))  # WSE-2: the DSD names it, not the queue
        return _fabric_operand(role, kind == s.K_IN, int(queue["id"]), shown)
    if kind in (s.K_MEM, s.K_MEM4):
        next_ = element_name(tile, int(operand["addr"]), int(operand["size"]))
        return OperandView(role, f"memory, next {next_}", kind)
    if kind == s.K_FIFO:
        buffer = int(FifoRow.at(machine.state.T, at)["base"])
        return OperandView(role, f"the FIFO over {names.address_name(tile, buffer)}", kind, fifo=at)
    words = {
        s.K_SCALAR: "a scalar",
        s.K_POINTER: f"a scalar in memory ({names.address_name(tile, int(operand['addr']))})",
    }
    return OperandView(role, words.get(kind, "?"), kind)


def element_name(tile: TileProgram, address: int, size: int) -> str:
    """ "data[3]" for an address in memory."""
    obj = names.object_at(tile, address)
    if obj is None or size <= 0:
        # one past the end of a variable: the vector is through
        obj = next((b for b in tile.objects if b.address + b.size == address), None)
        return f"beyond {obj.name}" if obj is not None else f"address {address}"
    index, rest = divmod(address - obj.address, size)
    return obj.name if obj.size == size else f"{obj.name}[{index}]" + (f" + {rest}" if rest else "")


# ---------------------------------------------------------------- queues and DSRs


def queues(machine: Machine, x: int, y: int) -> list[QueueView]:
    pe = machine.pe(x, y)
    return _queues_of(machine, pe) if names.tile_of(machine, pe) is not None else []


def _queues_of(machine: Machine, pe: int) -> list[QueueView]:
    return [_queue(machine, pe, q, output) for output in (False, True) for q in machine.state.queues(pe, output)]


def _queue(machine: Machine, pe: int, queue: Any, output: bool) -> QueueView:
    entries = machine.state.entries(queue)
    color = int(queue["color"])
    if output and entries:
        color = machine.state.sends_on(pe, s.EntryFlags.slot.get(int(entries[0]["flags"])))
    contents = tuple(
        Wavelet(int(e["value"]), bool(s.EntryFlags.control.get(int(e["flags"]))), _until(machine, int(e["time"])))
        for e in entries
    )
    shown = None if color >= s.NO_COLOR else color
    return QueueView(output, int(queue["id"]), shown, int(queue["cap"]), contents, bool(queue["user"]))


def _until(machine: Machine, time: int) -> int:
    """Cycles from now to a 32-bit time."""
    ahead = (time - machine.cycle) & 0xFFFFFFFF
    return ahead if 0 < ahead < 1 << 31 else 0


def dsd_text(tile: TileProgram, packed: int) -> str:
    """A packed DSD in words."""
    dsd = Dsd.unpack(packed)
    kind = isa.DsdKind(dsd["kind"]) if dsd["kind"] <= max(isa.DsdKind) else isa.DsdKind.NONE
    if kind is isa.DsdKind.NONE:
        return "nothing"
    length = dsd["len"]
    steps = "endless" if length == INFINITE else f"{length} elements"
    if kind in (isa.DsdKind.FABIN, isa.DsdKind.FABOUT):
        text = f"{kind.name.lower()}, {steps}"
        if dsd["hasq"]:
            text += f", queue {dsd['queue']}"
        if dsd["hascolor"]:
            text += f", color {dsd['color']}"
        return text + (", control" if dsd["control"] else "")
    if kind is isa.DsdKind.FIFO:
        return f"fifo {dsd['fifo']}, {steps}"
    size = 1 << dsd["tag"]
    start = element_name(tile, dsd["base"], size)
    if kind is isa.DsdKind.CIRCBUF and length < len(tile.mem4d):
        row = tile.mem4d[length]
        return (
            f"circbuf from {start}, {int(row[RING_LENGTH])} elements of {size} bytes, around {int(row[Walk.ext + 1])}, "
            f"next {dsd['position']}"
        )
    if kind is isa.DsdKind.MEM4D:
        row = tile.mem4d[length] if length < len(tile.mem4d) else None
        extents = "?" if row is None else " x ".join(str(int(row[Walk.ext + i])) for i in range(int(row[Walk.rank])))
        return f"mem4d from {start}, {extents} elements of {size} bytes"
    stride = dsd["stride"]
    return f"{kind.name.lower()} from {start}, {steps} of {size} bytes" + (f", stride {stride}" if stride != 1 else "")


def dsrs(machine: Machine, x: int, y: int) -> list[DsrView]:
    pe = machine.pe(x, y)
    tile = names.tile_of(machine, pe)
    if tile is None:
        return []
    held = s.Dsr.view(machine.state.W, machine.pes[pe]["dsr"], len(tile.dsrs))
    return [
        DsrView(f"{file}[{number}]", dsd_text(tile, int(d["value"])), Dsd.kind.get(int(d["value"])) != 0)
        for (file, number), d in zip(tile.dsrs, held, strict=True)
    ]


# ---------------------------------------------------------------- routers


def channel(machine: Machine, color: int, x: int, y: int) -> ChannelView | None:
    """A color at a router; None without a route for it."""
    grid = machine.state.channels.get(color)
    ch = -1 if grid is None else int(grid[machine.pe(x, y)])
    if ch < 0:
        return None
    st = machine.state
    record = st.buffer(ch)
    config, state = s.Config.unpack(int(record["config"])), int(record["state"])
    rx, tx = config["rx"], config["tx"]
    position, positions, kept, turns = None, [], 0, False
    if config["special"]:
        more = st.extension(record)
        position = int(more["current"])
        valid = [(k, p) for k, p in enumerate(more["positions"].tolist()) if s.SwitchPosition.valid.get(p)]
        positions = [f"{k}: {_arrow(s.SwitchPosition.rx.get(p), s.SwitchPosition.tx.get(p))}" for k, p in valid]
        turns = len({(s.SwitchPosition.rx.get(p), s.SwitchPosition.tx.get(p)) for _, p in valid}) > 1
        # the engine's mask is 0 while the channel is closed
        rx = s.Config.rx_switched.put(s.SwitchPosition.rx.get(int(more["positions"][position])), rx)
        if config["filter"]:
            kept = int(more["eaten"])
        if len(positions) < 2:
            position, positions = None, []
    contents = []
    for k in range(s.ChannelState.count.get(state)):
        i = (s.ChannelState.head.get(state) + k) % s.CHANNEL_PLACES
        control = bool(s.ChannelState.control.get(state, i))
        contents.append(Wavelet(int(record["value"][i]), control, _until(machine, int(record["time"][i]))))
    dense = None
    if config["queue"] != s.NO_QUEUE:
        dense = int(st.queues(machine.pe(x, y), False)[config["queue"]]["id"])
    return ChannelView(
        color,
        sides(rx),
        sides(tx),
        tuple(contents),
        dense,
        position,
        tuple(positions),
        turns and position is not None,
        bool(config["special"] and config["teardown"]),
        bool(config["special"] and config["filter"]),
        bool(config["special"] and config["swap"]),
        int(record["push"]),
        kept,
    )


def _arrow(rx: int, tx: int) -> str:
    return f"{'+'.join(sides(rx)) or 'nothing'} -> {'+'.join(sides(tx)) or 'nowhere'}"


def route_text(view: ChannelView) -> str:
    return f"{'+'.join(view.rx) or 'nothing'} -> {'+'.join(view.tx) or 'nowhere'}"


def streamed_out(machine: Machine, color: int, x: int, y: int) -> np.ndarray:
    """What a PE has streamed to the host on a color and the host has not taken, uint32 [n], oldest first."""
    machine._drain()
    parts = [part[s.HostWavelet.pe.get(part) == machine.pe(x, y)] for part in machine._out[color]]
    return (np.concatenate(parts) if parts else np.zeros(0, np.int64)).astype(np.uint32)


# ---------------------------------------------------------------- rectangles


K = TypeVar("K", bound=Hashable)
Place = tuple[int, int]


@dataclass
class Group:
    """PEs of which the same can be said."""

    what: Any
    pes: list[Place] = field(default_factory=list)


def grouped(pes: Iterable[Place], describe: Callable[[int, int], Hashable]) -> list[Group]:
    """Groups of PEs with equal descriptions, in the order of their first PE."""
    groups: dict[Hashable, Group] = {}
    for x, y in pes:
        what = describe(x, y)
        group = groups.get(what)
        if group is None:
            group = groups[what] = Group(what)
        group.pes.append((x, y))
    return list(groups.values())


def places(pes: list[Place], most: int = 4) -> str:
    """ "PE 2,1", "12 PEs 0:4,0:3", "5 PEs 0,0 2,1 ..."; rectangles in the form that commands take."""
    if len(pes) == 1:
        return f"PE {pes[0][0]},{pes[0][1]}"
    array = np.array(pes)
    (x0, y0), (x1, y1) = array.min(axis=0).tolist(), array.max(axis=0).tolist()
    if len(pes) == (x1 - x0 + 1) * (y1 - y0 + 1):
        return f"{len(pes)} PEs {_range(x0, x1)},{_range(y0, y1)}"
    some = " ".join(f"{x},{y}" for x, y in pes[:most])
    return f"{len(pes)} PEs {some}" + (" ..." if len(pes) > most else "")


def _range(a: int, b: int) -> str:
    return str(a) if a == b else f"{a}:{b + 1}"
