"""Read-only views of a stopped machine, as plain data. Nothing here changes the machine."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from meshlang.fabric.engine import state as s
from meshlang.ir import isa
from meshlang.ir.dsdops import DsdOpCode
from meshlang.ir.program import DIRECTIONS

from . import names

if TYPE_CHECKING:
    from meshlang.fabric.machine import Machine
    from meshlang.ir.program import TileProgram

STATES = ("idle", "running", "waits for its operation")
SPARE_QUEUE = 8  # the loader's output queue for DSDs that name none (WSE-2)


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


@dataclass(frozen=True)
class OperationView:
    """A running vector operation."""

    thread: str  # "main thread", "microthread 2"
    name: str  # "fmacs"
    done: int
    total: int | None  # None: endless
    operands: tuple[OperandView, ...]
    waits: str  # "" when it can go on
    task: str
    span: Any
    # ("in" | "out" | "fifo" | "blocked", queue id, color) it waits for
    wants: tuple[str, int | None, int | None] | None = None
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
    flags: tuple[str, ...] = ()  # "in teardown", "filter: 12 wavelets kept"
    last_push: int = 0  # cycle in which a wavelet last came in; 0 never
    kept: int = 0  # wavelets its filter has kept from the PE


def sides(mask: int) -> tuple[str, ...]:
    return tuple((*DIRECTIONS, "HOST")[d] for d in range(6) if mask >> d & 1)


# ---------------------------------------------------------------- compute elements


def busy_cycles(machine: Machine) -> np.ndarray:
    """Cycles each PE's main thread was at work, the running task's so far included (int64 [pe])."""
    P = machine.records()
    running = (P[:, s.P_TILE] >= 0) & (P[:, s.P_ST] != s.ST_IDLE)
    return P[:, s.P_BUSY] + np.where(running, np.maximum(0, machine.cycle - P[:, s.P_BUSYFROM]), 0)


def pe_view(machine: Machine, x: int, y: int) -> PEView | None:
    """One PE; None where there is no code."""
    pe = machine.pe(x, y)
    tile = names.tile_of(machine, pe)
    if tile is None:
        return None
    r = machine.records()[pe]
    state = int(r[s.P_ST])
    task = names.task_name(machine, tile, int(r[s.P_TASK])) if state != s.ST_IDLE else None
    running = int(r[s.P_PC]) if state == s.ST_RUN else int(r[s.P_PC]) - 1
    command = "not started" if r[s.P_CMD] else "open" if r[s.P_CMDOPEN] else None
    busy = int(r[s.P_BUSY]) + (max(0, machine.cycle - int(r[s.P_BUSYFROM])) if task else 0)
    return PEView(
        (x, y),
        tile.name,
        STATES[state],
        task,
        names.span_at(machine, pe, running) if task else None,
        max(0, int(r[s.P_TIME]) - machine.cycle) if task else 0,
        tuple(names.named_ids(machine, tile, int(r[s.P_ACTIVE]))),
        tuple(names.named_ids(machine, tile, int(r[s.P_BLOCKED]))),
        busy,
        int(r[s.P_SENT]),
        int(machine.received()[pe]),
        int(r[s.P_TASKS]),
        command,
        tuple(operations(machine, pe)),
    )


def operations(machine: Machine, pe: int) -> list[OperationView]:
    """What the vector unit of a PE works on: dense thread 0 is the main thread's."""
    st = machine.state
    W, U, T = st.W, st.U, st.T
    tile = names.tile_of(machine, pe)
    r = machine.records()[pe]
    out: list[OperationView] = []
    if tile is None:
        return out
    if r[s.P_ST] == s.ST_RUN and r[s.P_STALL] == 1:
        out.append(_element(machine, pe, tile))
    for dense in names.ids_of(int(r[s.P_UTMASK])):
        v = int(r[s.P_UT]) + dense * s.TK
        operands, waits, wants = [], "", None
        for j in range(4):
            o = v + s.V_OPERANDS + j * s.OK
            kind = int(W[o + s.O_KIND])
            if kind == s.K_NONE:
                continue
            view = _operand(machine, pe, tile, o, kind, "destination" if j == 0 else f"source {j}")
            operands.append(view)
            q = int(W[o + s.O_QUEUE])
            if kind == s.K_IN and U[q + s.Q_COUNT] == 0 and wants is None:
                waits, wants = f"waits for {view.text}", ("in", view.queue, view.color)
            elif kind == s.K_OUT and U[q + s.Q_COUNT] >= U[q + s.Q_CAP] and wants is None:
                waits, wants = f"waits for room in {view.text}", ("out", view.queue, view.color)
            elif kind == s.K_FIFO and wants is None:
                held = int(W[int(W[o + s.O_ADDR]) + s.FF_COUNT])
                if j == 0 and held >= int(T[q + isa.FIFO_CAPACITY]):
                    waits, wants = f"waits for room in {view.text}, which holds {held} elements", ("fifo", None, None)
                elif j > 0 and held == 0:
                    waits, wants = f"waits for {view.text}, which is empty", ("fifo", None, None)
        if int(r[s.P_UTBLOCK]) >> dense & 1:
            waits, wants = "is blocked", ("blocked", None, None)
        endless = int(W[v + s.V_FLAGS]) & s.F_ENDLESS
        out.append(
            OperationView(
                "main thread" if dense == 0 else f"microthread {int(W[v + s.V_ID])}",
                DsdOpCode(int(W[v + s.V_CODE])).name.lower(),
                int(W[v + s.V_K]),
                None if endless else int(W[v + s.V_N]),
                tuple(operands),
                waits,
                names.task_name(machine, tile, int(W[v + s.V_TASK])),
                names.span_at(machine, pe, int(W[v + s.V_PC])),
                wants,
                int(W[v + s.V_ACTION]) >> 4 & 0x3F if int(W[v + s.V_ACTION]) & 15 == isa.Action.UNBLOCK else None,
            )
        )
    return out


def _element(machine: Machine, pe: int, tile: TileProgram) -> OperationView:
    """@map and the like, which move element by element and wait on the fabric for one."""
    W = machine.state.W
    r = machine.records()[pe]
    pc, fp = int(r[s.P_PC]), int(r[s.P_FP])
    op, b = int(machine.state.C[pc * 4]) & 0xFF, int(machine.state.C[pc * 4 + 2])
    packed = int(W[fp + b])
    inward = op == isa.Op.ELD
    ident = _field(packed, isa.D_QUEUE) if _field(packed, isa.D_HASQ) else None
    color = _field(packed, isa.D_COLOR) if _field(packed, isa.D_HASCOLOR) else None
    found = next(
        (
            q
            for q in _queues_of(machine, pe)
            if q.output != inward and (q.id == ident if ident is not None else q.color == color)
        ),
        None,
    )
    if found is not None:
        ident, color = found.id, found.color if color is None else color
    view = _fabric_operand("source 1" if inward else "destination", inward, ident, color)
    waits = f"waits for {'one wavelet from' if inward else 'room for one wavelet in'} {view.text}"
    return OperationView(
        "main thread",
        "@map",
        0,
        None,
        (view,),
        waits,
        names.task_name(machine, tile, int(r[s.P_TASK])),
        names.span_at(machine, pe, pc),
        ("in" if inward else "out", ident, color),
    )


def _fabric_operand(role: str, inward: bool, queue: int | None, color: int | None) -> OperandView:
    name = f"queue {queue}" if queue is not None and queue < SPARE_QUEUE else "queue"
    text = f"{'input' if inward else 'output'} {name}" + ("" if color is None else f" (color {color})")
    return OperandView(role, text, s.K_IN if inward else s.K_OUT, queue, color)


def _slot_color(machine: Machine, pe: int, slot: int) -> int:
    """The color of a channel of a PE's router, by its number there."""
    U = machine.state.U
    return int(U[int(U[pe * s.RK + s.R_BASE]) + slot * 16 + s.CH_CONFIG]) >> 12 & 31


def _operand(machine: Machine, pe: int, tile: TileProgram, o: int, kind: int, role: str) -> OperandView:
    W, U = machine.state.W, machine.state.U
    if kind in (s.K_IN, s.K_OUT):
        q = int(W[o + s.O_QUEUE])
        ident, color = int(U[q + s.Q_ID]), int(U[q + s.Q_COLOR])
        shown = None if color >= 31 else color
        if kind == s.K_OUT:
            shown = _slot_color(machine, pe, int(W[o + s.O_STRIDE]))  # WSE-2: the DSD names it, not the queue
        return _fabric_operand(role, kind == s.K_IN, ident, shown)
    if kind in (s.K_MEM, s.K_MEM4):
        address, size = int(W[o + s.O_ADDR]), int(W[o + s.O_SIZE])
        return OperandView(role, f"memory, next {element_name(tile, address, size)}", kind)
    if kind == s.K_FIFO:
        return OperandView(
            role, f"the FIFO over {names.address_name(tile, int(machine.state.T[int(W[o + s.O_QUEUE])]))}", kind
        )
    words = {
        s.K_SCALAR: "a scalar",
        s.K_POINTER: f"a scalar in memory ({names.address_name(tile, int(W[o + s.O_ADDR]))})",
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
    st = machine.state
    r = machine.records()[pe]
    tile = int(r[s.P_TILE])
    out = []
    for output, first, count in ((False, s.P_IQ, s.TT_NIQ), (True, s.P_OQ, s.TT_NOQ)):
        for i in range(int(st.T[tile + count])):
            q = int(r[first]) + i * s.QK
            out.append(_queue(machine, pe, q, output))
    return out


def _queue(machine: Machine, pe: int, q: int, output: bool) -> QueueView:
    U = machine.state.U
    buf, cap, head, count = (int(U[q + f]) for f in (s.Q_BUF, s.Q_CAP, s.Q_HEAD, s.Q_COUNT))
    color = int(U[q + s.Q_COLOR])
    if output and count:
        color = _slot_color(machine, pe, int(U[buf + head * s.EK + s.E_FLAGS]) >> 8)
    contents = []
    for k in range(count):
        e = buf + (head + k) % cap * s.EK
        contents.append(
            Wavelet(int(U[e + s.E_VALUE]), bool(U[e + s.E_FLAGS] & 1), _until(machine, int(U[e + s.E_TIME])))
        )
    return QueueView(
        output, int(U[q + s.Q_ID]), None if color >= 31 else color, cap, tuple(contents), bool(U[q + s.Q_USER])
    )


def _until(machine: Machine, time: int) -> int:
    """Cycles from now to a 32-bit time."""
    ahead = (time - machine.cycle) & 0xFFFFFFFF
    return ahead if 0 < ahead < 1 << 31 else 0


def _field(packed: int, place: tuple[int, int], signed: bool = False) -> int:
    value = packed >> place[0] & (1 << place[1]) - 1
    return value - (1 << place[1]) if signed and value >> place[1] - 1 else value


def dsd_text(tile: TileProgram, packed: int) -> str:
    """A packed DSD in words."""
    packed &= (1 << 64) - 1
    kind = isa.DsdKind(packed & 15) if packed & 15 <= max(isa.DsdKind) else isa.DsdKind.NONE
    if kind is isa.DsdKind.NONE:
        return "nothing"
    length = _field(packed, isa.D_LEN)
    steps = "endless" if length == isa.INFINITE else f"{length} elements"
    if kind in (isa.DsdKind.FABIN, isa.DsdKind.FABOUT):
        text = f"{kind.name.lower()}, {steps}"
        if _field(packed, isa.D_HASQ):
            text += f", queue {_field(packed, isa.D_QUEUE)}"
        if _field(packed, isa.D_HASCOLOR):
            text += f", color {_field(packed, isa.D_COLOR)}"
        return text + (", control" if _field(packed, isa.D_CONTROL) else "")
    if kind is isa.DsdKind.FIFO:
        return f"fifo {_field(packed, isa.D_FIFO)}, {steps}"
    size = 1 << _field(packed, isa.D_TAG)
    start = element_name(tile, _field(packed, isa.D_BASE), size)
    if kind is isa.DsdKind.CIRCBUF and length < len(tile.mem4d):
        row = tile.mem4d[length]
        return (
            f"circbuf from {start}, {int(row[isa.M4_LENGTH])} elements of {size} bytes, around {int(row[isa.M4_EXT + 1])}, "
            f"next {_field(packed, isa.D_POSITION)}"
        )
    if kind is isa.DsdKind.MEM4D:
        row = tile.mem4d[length] if length < len(tile.mem4d) else None
        extents = (
            "?" if row is None else " x ".join(str(int(row[isa.M4_EXT + i])) for i in range(int(row[isa.M4_RANK])))
        )
        return f"mem4d from {start}, {extents} elements of {size} bytes"
    stride = _field(packed, isa.D_STRIDE, signed=True)
    return f"{kind.name.lower()} from {start}, {steps} of {size} bytes" + (f", stride {stride}" if stride != 1 else "")


def dsrs(machine: Machine, x: int, y: int) -> list[DsrView]:
    pe = machine.pe(x, y)
    tile = names.tile_of(machine, pe)
    if tile is None:
        return []
    base = int(machine.records()[pe][s.P_DSR])
    out = []
    for dense, (file, number) in enumerate(tile.dsrs):
        packed = int(machine.state.W[base + 2 * dense])
        out.append(DsrView(f"{file}[{number}]", dsd_text(tile, packed), packed & 15 != 0))
    return out


# ---------------------------------------------------------------- routers


def channel(machine: Machine, color: int, x: int, y: int) -> ChannelView | None:
    """A color at a router; None without a route for it."""
    grid = machine.state.channels.get(color)
    ch = -1 if grid is None else int(grid[machine.pe(x, y)])
    if ch < 0:
        return None
    st = machine.state
    W, U = st.W, st.U
    config, state = int(U[ch + s.CH_CONFIG]), int(U[ch + s.CH_STATE])
    rx, tx = config & 63, config >> 6 & 63
    position, positions, flags, kept = None, [], [], 0
    if config & s.C_SPECIAL:
        e = int(W[s.G_X]) + (state >> int(s.S_EXTENSION)) * int(s.XK)
        position = int(W[e + s.X_CURRENT])
        for k in range(4):
            p = int(W[e + s.X_POSITIONS + k])
            if p & s.X_VALID:
                positions.append(f"{k}: {_arrow(p & 31, p >> 5 & 31)}")
        now = int(W[e + s.X_POSITIONS + position])
        rx = rx & 32 | now & 31  # the engine's mask is 0 while the channel is closed
        if config & s.C_TEARDOWN:
            flags.append("in teardown")
        if config & s.C_FILTER:
            kept = int(W[e + s.X_EATEN])
            flags.append(f"filter: {kept} wavelets kept from the PE")
        if config & s.C_SWAP:
            flags.append("color swap")
        if len(positions) < 2:
            position, positions = None, []
    head, count = state & 3, state >> 2 & 7
    contents = []
    for k in range(count):
        i = (head + k) & 3
        contents.append(
            Wavelet(int(U[ch + s.CH_VALUE + i]), bool(state >> 5 + i & 1), _until(machine, int(U[ch + s.CH_TIME + i])))
        )
    queue = config >> 17 & 15
    dense = None
    if queue != 15:
        pe = machine.pe(x, y)
        dense = int(U[int(machine.records()[pe][s.P_IQ]) + queue * s.QK + s.Q_ID])
    return ChannelView(
        color,
        sides(rx),
        sides(tx),
        tuple(contents),
        dense,
        position,
        tuple(positions),
        tuple(flags),
        int(U[ch + s.CH_PUSH]),
        kept,
    )


def _arrow(rx: int, tx: int) -> str:
    return f"{'+'.join(sides(rx)) or 'nothing'} -> {'+'.join(sides(tx)) or 'nowhere'}"


def route_text(view: ChannelView) -> str:
    return f"{'+'.join(view.rx) or 'nothing'} -> {'+'.join(view.tx) or 'nowhere'}"


def streamed_out(machine: Machine, color: int, x: int, y: int) -> np.ndarray:
    """What a PE has streamed to the host on a color and the host has not taken, uint32 [n], oldest first."""
    machine._drain()
    parts = [part[part >> 32 == machine.pe(x, y)] for part in machine._out[color]]
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
