"""The door for saved states: what a state read from a file must satisfy before it is put into a machine.

The engine follows what stands in its arrays: where a PE's memory begins, which queue an operation reads, the frames of
its calls. A program has been verified when it was loaded (ir/verify.py); this is the same for everything in W, U and the
host's segments that is followed without a look. What a program computes (values in registers, DSDs, memory) may be
anything: the engine checks it where it uses it.

Three kinds of rule: FIXED lists the fields that the loader has set for good, and that must be as it set them; WITHIN the
numbers of single fields; CHECKS one function per record for what fields have to do with each other. All look at all
PEs at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from ..ir.isa import Op, Operand
from ..ir.records import Record
from ..ir.words import RING, Act, DsrConfig, FifoRow, OperationRow, Walk
from .engine import state as s
from .engine.faults import Fault
from .engine.opcodes import DFILT  # type: ignore[attr-defined]  # the names there are made from the table
from .engine.trace import EV_DONE, EV_TASK

if TYPE_CHECKING:
    from .machine import Machine
    from .saved import Snapshot

_LATE = 1 << 62  # cycles and counters stay below
_ANY = range(-(1 << 63), 1 << 63)

FIXED: dict[type[Record], tuple[str, ...]] = {
    s.Globals: (
        *("npe", "width", "height", "bits_r", "bits_c", "l0", "l1", "plog", "plogcap", "hlog", "hlogcap", "nhout"),
        *("wse3", "quantum", "x", "notes", "lines", "hin", "mask", "sign", "flight", "times"),
        *("events", "eventcap", "eventpes", "far", "staging", "bands", "stage", "wordsfrom", "wordsto"),
    ),
    s.Pe: (
        *("tile", "mem", "memsize", "reg", "regend", "dsr", "ut", "iq", "oq", "system", "fifo", "plain"),
        "express",  # a state is settled before it is saved
    ),
    s.Router: ("base", "n", "iq"),
    s.Channel: ("near",),
    s.Queue: ("buf", "cap", "id", "depth", "xleft"),
}
_FLAG = range(2)
WITHIN: dict[type[Record], dict[str, range]] = {
    s.Globals: {
        "now": range(1, _LATE),
        "limit": range(_LATE + 1),
        "fault": range(max(Fault) + 1),
        "cmds": range(1 << 31),
        "until": range(4),
        "scolor": range(32),
        "plogn": range(1),
        "hlogn": range(1),
        "expressing": range(1),
        "express": _FLAG,
        "strict": _FLAG,
        "argn": range(16),
        "eventn": range(1),
        "eventpause": range(1),
        "flightn": range(_LATE),
        **dict.fromkeys(("instr", "hops", "delivered", "visits_r", "visits_c", "vector", "steps"), range(_LATE)),
    },
    s.Pe: {
        "st": range(3),
        "time": range(_LATE),
        "rr": range(64),
        "cmdtime": range(_LATE),
        "cmdopen": _FLAG,
        "tscon": _FLAG,
        "task": range(-1, int(s.COMMAND_TASK) + 1),
        "carry": _FLAG,
        "stall": _FLAG,
        "misc": range(1 << 32),
        "torn": range(1 << 32),
        "flushed": range(1 << 32),
        "transform": range(1 << 32),
        "unmasked": range(1 << 16),
        **dict.fromkeys(("busy", "sent", "tasks", "vbusy"), range(_LATE)),
    },
    s.Extension: {"current": range(4), "pop": range(4), "positions": range(1 << 11), "mark": range(16)},
    s.Fifo: {"read": range(0x8000), "write": range(0x8000), "empty": _FLAG, "full": _FLAG},
    s.Router: {"orr": range(16)},
    s.Queue: {"color": range(32), "waiter": range(4)},
}

_Wrong = Iterator[tuple[Any, str]]  # a mask of what is wrong, and what it is


class _State:
    """The arrays of a saved state, as records."""

    def __init__(self, machine: Machine, shot: Snapshot):
        st = machine.state
        self.machine, self.shot, self.state = machine, shot, st
        self.W, self.U, self.T, self.C = shot.W, shot.U, st.T, st.C
        self.npe = len(st.tile_of)
        self.G = s.Globals.at(shot.W, 0)
        self.pes = s.Pe.view(shot.W, s.P0, self.npe)
        self.routers = s.Router.view(shot.U, 0, self.npe)
        first, end = st.channel_region
        self.channels = s.Channel.view(shot.U, first, (end - first) // s.Channel.WORDS)
        count = s.Router.view(st.U, 0, self.npe)["n"].astype(np.int64)
        self.owner = np.repeat(np.arange(self.npe), count)  # of each channel


class _Tile:
    """The PEs of one tile program in a saved state: their records, which are the same for each of them, as [pe, record]."""

    def __init__(self, whole: _State, t: int):
        st = whole.state
        self.whole, self.T, self.number = whole, st.T, t
        self.operations = st.row_tiles[t][0]
        self.pes = st.tile_pes[t]
        self.tile = s.Tile.at(st.T, s.T_TILES + t * s.Tile.WORDS)
        self.program = whole.machine.program.tiles[t]
        self.code = st.code_base[t], st.code_base[t] + len(self.program.code)
        self.P = whole.pes[self.pes]
        self.R = whole.routers[self.pes]
        W, U = whole.W, whole.U
        self.threads = self.records(s.Thread, W, "ut", int(self.tile["nut"]))
        self.dsrs = self.records(s.Dsr, W, "dsr", int(self.tile["ndsr"]))
        self.fifos = self.records(s.Fifo, W, "fifo", int(self.tile["nfifos"]))
        self.inputs = self.records(s.Queue, U, "iq", int(self.tile["niq"]))
        self.outputs = self.records(s.Queue, U, "oq", int(self.tile["noq"]))

    def records(self, record: type[Record], array: np.ndarray, field: str, count: int) -> np.ndarray:
        """`count` records of each PE, which lie one PE after the other."""
        first = int(self.P[field][0])
        return record.view(array, first, len(self.pes) * count).reshape(len(self.pes), count)

    def rows(self, record: type[Record], field: str, count: int) -> np.ndarray:
        """A table of the tile program."""
        return record.view(self.T, int(self.tile[field]), count)


def state_problem(machine: Machine, shot: Snapshot) -> str | None:
    """The first thing that is wrong with a state for this machine, whose arrays have the right sizes."""
    whole = _State(machine, shot)
    if problem := _first(_fixed(whole)):
        return problem
    for check in (_globals, _wheels, _routers, _channels, _extensions, _notes, _flight, _segments, _streams):
        if problem := _first(check(whole)):
            return problem
    for t, pes in enumerate(machine.state.tile_pes):
        part = _Tile(whole, t) if len(pes) else None
        for look in (_ranges, _commands, _frames, _threads, _queues, _outputs, _dsrs, _fifos):
            if part is not None and (problem := _first(look(part))):
                return problem
    return None


def _first(found: _Wrong) -> str | None:
    return next((what for wrong, what in found if np.any(wrong)), None)


def _within(view: Any, record: type[Record]) -> _Wrong:
    """Fields outside the numbers that WITHIN gives them."""
    for name, numbers in WITHIN[record].items():
        value = view[name]
        yield (value < numbers.start) | (value > numbers.stop - 1), f"'{name}' of a {record.__name__.lower()}"


# ---------------------------------------------------------------- once


def _fixed(whole: _State) -> _Wrong:
    """What the loader has set is as it was."""
    st, npe = whole.state, whole.npe
    pairs: list[tuple[type[Record], Any, Any]] = [
        (s.Globals, whole.G, s.Globals.at(st.W, 0)),
        (s.Pe, whole.pes, s.Pe.view(st.W, s.P0, npe)),
        (s.Router, whole.routers, s.Router.view(st.U, 0, npe)),
        (s.Channel, whole.channels, st.buffers),
    ]
    for pes, tile in ((pes, s.Tile.at(st.T, s.T_TILES + t * s.Tile.WORDS)) for t, pes in enumerate(st.tile_pes)):
        for first, count in (("iq", "niq"), ("oq", "noq")):
            if len(pes):
                at, n = int(st.pes[pes[0]][first]), len(pes) * int(tile[count])
                pairs.append((s.Queue, s.Queue.view(whole.U, at, n), s.Queue.view(st.U, at, n)))
    for record, saved, loaded in pairs:
        for name in FIXED[record]:
            # what express mode has changed in the machine itself is not of the state that comes
            right = 0 if name in ("express", "xleft") else loaded[name]
            yield saved[name] != right, f"'{name}' of a {record.__name__.lower()} is not what the program says"


def _globals(whole: _State) -> _Wrong:
    G = whole.G
    yield from _within(G, s.Globals)
    yield int(G["now"]) != whole.shot.cycle or G["expressed"] > G["now"] + 64, "the clock"
    yield int(G["cmds"]) != int(whole.pes["cmdopen"].sum()), "the number of open commands"
    if G["fault"]:
        yield not (0 <= G["fpe"] < whole.npe and -1 <= G["fpc"] < len(whole.C) // 4), "the place of a fault"
        yield int(G["fault"]) not in {0, *Fault}, "the number of a fault"


def _wheels(whole: _State) -> _Wrong:
    """Wake-ups are of PEs that exist."""
    G = whole.G
    l0, l1 = int(G["l0"]), int(G["l1"])
    for name in ("bits_r", "bits_c"):
        slots = whole.W[int(G[name]) :][: 64 * (l0 + l1)].reshape(64, l0 + l1)
        for words, count in ((slots[:, :l0], whole.npe), (slots[:, l0:], l0)):
            bits = np.unpackbits(np.ascontiguousarray(words).view(np.uint8), axis=1, bitorder="little")
            yield bits[:, count:], "a wake-up of a PE that does not exist"


def _routers(whole: _State) -> _Wrong:
    R = whole.routers
    yield from _within(R, s.Router)
    yield R["rr"] >= np.maximum(R["n"], 1), "the turn of a router"
    # which channels hold something, as a mask per router
    held = s.ChannelState.count.get(whole.channels["state"].astype(np.int64)) > 0
    slot = np.arange(len(whole.owner)) - _starts(whole)
    full = np.zeros(whole.npe, np.int64)
    np.bitwise_or.at(full, whole.owner[held], np.int64(1) << slot[held])
    yield R["mask"] & ~full, "a router has to move what is not there"
    # channels with data from the host are of colors that it streams, and there is some
    color = s.Config.color.get(whole.channels["config"].astype(np.int64))
    stream = whole.G["hin"][color]
    head = np.where(stream >= 0, stream, 0) * whole.npe + whole.owner
    fed = (stream >= 0) & (head < len(whole.shot.segments))
    fed &= whole.shot.segments[np.where(fed, head, 0)] >= 0
    mask = np.zeros(whole.npe, np.int64)
    np.bitwise_or.at(mask, whole.owner[fed], np.int64(1) << slot[fed])
    yield R["hin"] & ~mask, "a router waits for data that the host does not send"
    nothing = whole.state.tile_of < 0
    yield R["oq"][nothing], "a PE without a program sends"


def _starts(whole: _State) -> np.ndarray:
    """Number of the first channel of each channel's PE."""
    first = whole.state.channel_region[0]
    base = s.Router.view(whole.state.U, 0, whole.npe)["base"].astype(np.int64)
    return (base[whole.owner] - first) // s.Channel.WORDS


def _channels(whole: _State) -> _Wrong:
    now, old = (view.astype(np.int64) for view in (whole.channels["config"], whole.state.buffers["config"]))
    state, before = (view["state"].astype(np.int64) for view in (whole.channels, whole.state.buffers))
    yield s.ChannelState.count.get(state) > int(s.PLACES) + 1, "a channel holds more than it can"
    yield s.ChannelState.extension.get(state) != s.ChannelState.extension.get(before), "the extension of a channel"
    kept = ~(s.Config.rx_switched.mask | s.Config.tx_switched.mask | s.Config.queue.mask | s.Config.teardown.mask)
    yield (now ^ old) & kept & 0xFFFFFFFF, "the configuration of a channel"
    queue = s.Config.queue.get(now)
    tile = whole.state.tile_of[whole.owner]
    inputs = np.array([len(t.inputs) for t in whole.machine.program.tiles] + [0])[tile]
    yield (queue != int(s.NO_QUEUE)) & (queue >= inputs), "the queue of a channel"


def _extensions(whole: _State) -> _Wrong:
    first = int(whole.G["x"])
    count = int(s.ChannelState.extension.get(whole.channels["state"].astype(np.int64)).max(initial=0)) + 1
    yield from _within(s.Extension.view(whole.W, first, count), s.Extension)


def _notes(whole: _State) -> _Wrong:
    first, size = int(whole.G["notes"]), s.Note.WORDS + int(whole.G["l0"])
    rows = whole.W[first : first + int(s.NOTES) * size].reshape(-1, size)
    used = rows[rows[:, s.Note.count] != 0]
    key = used[:, s.Note.key]
    kind, line = s.NoteKey.kind.get(key), s.NoteKey.line.get(key)
    yield (kind < 1) | (kind > int(s.N_WIDTH)) | (key < 0), "a note is of no kind"
    yield line >= len(whole.state.lines), "a note is of a line that does not exist"
    yield (used[:, s.Note.pe] < 0) | (used[:, s.Note.pe] >= whole.npe), "a note is of a PE that does not exist"
    yield used[:, s.Note.count] < 0, "a note is of no time"
    bits = np.unpackbits(np.ascontiguousarray(used[:, s.Note.WORDS :]).view(np.uint8), axis=1, bitorder="little")
    yield bits[:, whole.npe :], "a note is of PEs that do not exist"
    widths = (rows[:, s.Note.a] < 0) | (rows[:, s.Note.a] > _LATE) | (abs(rows[:, s.Note.b]) > _LATE)
    yield widths | (rows[:, s.Note.c] < 0) | (rows[:, s.Note.c] > _LATE), "a note has no such numbers"


def _flight(whole: _State) -> _Wrong:
    ring = s.Flight.view(whole.W, int(whole.G["flight"]), int(s.FLIGHT))
    ring = ring[: min(int(whole.G["flightn"]), int(s.FLIGHT))]
    kind = s.FlightWhen.kind.get(ring["when"])
    yield (kind != EV_TASK) & (kind != EV_DONE) | (ring["when"] < 0), "the flight recorder has no such events"
    yield s.FlightWhere.pe.get(ring["where"]) >= whole.npe, "the flight recorder names a PE that does not exist"
    yield s.FlightWhere.pc.get(ring["where"]) >= len(whole.C) // 4, "the flight recorder names code that does not exist"


def _segments(whole: _State) -> _Wrong:
    """What the host streams in: per stream and PE a list of segments, each with words that exist."""
    segments, tails, data = whole.shot.segments, whole.shot.tails, whole.shot.host_in
    heads = len(tails)
    rows = segments[heads:].reshape(-1, s.Segment.WORDS)
    numbers = heads + np.arange(len(rows)) * s.Segment.WORDS

    def exists(number: np.ndarray) -> np.ndarray:
        return (number >= heads) & (number < len(segments)) & ((number - heads) % s.Segment.WORDS == 0)

    position, end, after = (rows[:, f] for f in (s.Segment.position, s.Segment.end, s.Segment.next))
    yield (position < 0) | (position > end) | (end > len(data)), "data from the host do not exist"
    # a list goes forwards, so it ends
    yield (after >= 0) & ~(exists(after) & (after > numbers)) | (after < -1), "data from the host go on nowhere"
    first = segments[:heads]
    used = first >= 0
    yield (first < -1) | used & ~exists(first) | used & ~exists(tails), "data from the host begin nowhere"
    named = np.concatenate([first[used], after[after >= 0]])
    named = named[exists(named)]
    yield segments[named] >= segments[named + int(s.Segment.end)], "data from the host are empty"


def _streams(whole: _State) -> _Wrong:
    """What was streamed out and not taken yet is of PEs that exist, and counted."""
    for color, log in whole.shot.out.items():
        owner = log >> 32
        yield (owner < 0) | (owner >= whole.npe), f"wavelets of color {color} for the host come from nowhere"
        good = owner[(owner >= 0) & (owner < whole.npe)]
        counted = np.bincount(good, minlength=whole.npe)
        yield counted != whole.shot.out_counts[color], f"the wavelets of color {color} for the host are not counted"


# ---------------------------------------------------------------- per tile program


def _ranges(part: _Tile) -> _Wrong:
    yield from _within(part.P, s.Pe)
    yield from _within(part.fifos, s.Fifo)
    for queues in (part.inputs, part.outputs):
        yield from _within(queues, s.Queue)
        yield queues["head"] >= np.maximum(queues["cap"], 1), "the head of a queue"
        yield queues["count"] > queues["cap"], "a queue holds more than it can"
        yield queues["user"] > int(part.tile["nut"]), "a queue is used by what does not exist"
    threads = (1 << int(part.tile["nut"])) - 1
    for name in ("utmask", "utblock", "noexpress"):
        yield part.P[name] & ~threads, f"'{name}' of a PE"


def _commands(part: _Tile) -> _Wrong:
    """The function that a PE is to start takes the arguments there are."""
    row = part.P["cmd"] - 1 - int(part.tile["funcs"])
    number = row // s.Function.WORDS
    waiting = part.P["cmd"] != 0
    exists = (row >= 0) & (row % s.Function.WORDS == 0) & (number < int(part.tile["nfuncs"]))
    yield waiting & ~exists, "a PE starts a function that does not exist"
    functions = part.rows(s.Function, "funcs", int(part.tile["nfuncs"]))
    if waiting.any():
        frame = functions["frame"][np.where(waiting & exists, number, 0)]
        yield waiting & (int(part.whole.G["argn"]) >= frame), "a PE starts a function with too many arguments"


def _frames(part: _Tile) -> _Wrong:
    """A task that runs has a chain of frames on its stack: from the call of each, the function it was called from."""
    W, C = part.whole.W, part.whole.C.reshape(-1, 4)
    first, end = part.code
    idle = part.P["st"] == int(s.ST_IDLE)
    pc = part.P["pc"]
    yield idle & ((pc < -1) | (pc >= len(C))), "the place of a PE that is idle"
    yield (part.P["st"] == int(s.ST_OP)) & (part.P["utmask"] & 1 == 0), "a PE waits for an operation that is not there"
    functions = part.rows(s.Function, "funcs", int(part.tile["nfuncs"]))
    entries = functions["entry"].astype(np.int64)
    run = np.flatnonzero(~idle)
    pc, fp = pc[run], part.P["fp"][run]
    bottom, top = part.P["reg"][run] + 2, part.P["regend"][run]
    while len(run):
        yield (pc < first) | (pc >= end) | (len(entries) == 0), "a PE runs code that does not exist"
        f = np.searchsorted(entries, pc, side="right") - 1
        yield f < 0, "a PE runs no function"
        yield (fp < bottom) | (fp + functions["frame"][f] > top), "a frame lies outside the stack"
        yield W[fp] != 0, "r0 of a frame is not 0"
        link = W[fp - 1]
        yield (link < 0) & ((fp != bottom) | (link != -1)), "a task returns to nowhere"
        on = link >= 0
        run, fp, link, f, bottom, top = (a[on] for a in (run, fp, link, f, bottom, top))
        yield (link <= first) | (link >= end), "a function returns to nowhere"
        call = C[link - 1]
        kind = call[:, 0] & 0x7F
        direct = kind == Op.CALL
        yield ~direct & (kind != Op.CALLR), "a function returns to where no call is"
        row = int(part.tile["funcs"]) + f * s.Function.WORDS
        yield direct & (call[:, 1] != row), "a function returns to the call of another one"
        pc, fp = link - 1, fp - call[:, 2]


def _threads(part: _Tile) -> _Wrong:
    """Operations that run: rows of the table, and operands that lie where they may."""
    mask = part.P["utmask"]
    number = np.arange(part.threads.shape[1])
    pe, dense = np.nonzero(mask[:, None] >> number & 1)
    if not len(pe):
        return
    V = part.threads[pe, dense]
    first, end = part.code
    start, count = part.operations, len(part.program.dsd_ops)
    yield count == 0, "an operation is of no row of the table"
    rows = OperationRow.view(part.T, start, count)
    index = (V["row"] - start) // OperationRow.WORDS
    exists = (V["row"] >= start) & ((V["row"] - start) % OperationRow.WORDS == 0) & (index < count)
    yield ~exists, "an operation is of no row of the table"
    row = rows[np.where(exists, index, 0)]
    info = s.Operation.view(part.T, 0, int(s.OPERATIONS))
    yield V["code"] != row["code"], "an operation does something else than its row says"
    yield V["rate"] != info["rate"][row["code"]], "an operation has another rate"
    n, k = V["n"], V["k"]
    endless = n == 0x7FFF
    yield (n < 1) | (n > 0x7FFFFFFF) | (k < 0) | ~endless & (k > n) | (k >= _LATE), "how far an operation is"
    flags = V["flags"]
    yield flags & ~sum(f.mask for f in s.ThreadFlags.FIELDS.values()), "an operation has flags that do not exist"
    yield (s.ThreadFlags.endless.get(flags) != 0) != endless, "an operation has no end, or has one"
    yield (V["step"] != 1) & (V["step"] != 2), "the step of an operation"
    yield (V["zero"] < 0) | (V["zero"] > 2), "an operation clears a source that it does not have"
    yield V["onctrl"] & ~(Act.what.mask | Act.set.mask), "what an operation does on a control wavelet"
    yield V["action"] & ~Act.what.mask, "what an operation does at its end"
    yield (V["pc"] < first) | (V["pc"] >= end), "an operation was started nowhere"
    yield (V["task"] < -1) | (V["task"] > int(s.COMMAND_TASK)), "an operation was started by no task"
    yield (V["id"] < -1) | (V["id"] > 7), "the microthread of an operation"
    yield (V["index"] < -1) | (V["index"] > 0xFFFF), "the wavelet index of an operation"
    owner = part.P[pe]
    yield (dense == 0) & ((V["result"] < owner["reg"]) | (V["result"] >= owner["regend"])), "the result of an operation"
    yield (V["start"] < 0) | (V["start"] >= _LATE) | (V["last"] < 0) | (V["last"] >= _LATE), "when an operation runs"
    kinds = np.stack([row["dst"], *(row["src"][:, i] for i in range(3))], 1)
    sizes = np.stack([info["dst"][row["code"]], *(info["src"][row["code"], i] for i in range(3))], 1)
    for j in range(4):
        o = V["operands"][:, j]
        yield from _operand(part, pe, V, o, j, kinds[:, j], sizes[:, j].astype(np.int64), dense)
    cleared = V["operands"]["kind"][np.arange(len(V)), np.clip(V["zero"], 0, 2)]
    yield (V["zero"] > 0) & (cleared != int(s.K_MEM)) & (cleared != int(s.K_MEM4)), "an operation clears no vector"
    scalar = s.ThreadFlags.accumulate.get(flags) != 0
    yield scalar & (V["operands"]["kind"][:, 0] != int(s.K_POINTER)), "an operation accumulates into no scalar"
    yield (V["code"] == DFILT) & (V["operands"]["kind"][:, 1] != int(s.K_IN)), "a filter has no input"
    # only receives into memory may go the express way (engine/express.py)
    slow = part.P["noexpress"][pe] >> dense & 1 != 0
    yield ~slow & ~_may_express(V, info), "an operation cannot go the express way"
    # only what nothing but its queues can stop may go ahead of the clock (engine/threads.py)
    yield (s.ThreadFlags.steady.get(flags) != 0) & ~_may_run_ahead(V), "an operation cannot go ahead of the clock"


def _may_run_ahead(V: np.ndarray) -> np.ndarray:
    """As engine.threads.may_run_ahead."""
    stopped = s.ThreadFlags.endless.mask | s.ThreadFlags.open.mask | s.ThreadFlags.checked.mask
    fifo = (V["operands"]["kind"][:, :3] == int(s.K_FIFO)).any(1)
    return (V["flags"] & stopped == 0) & (V["onctrl"] == 0) & (V["code"] != DFILT) & ~fifo


def _may_express(V: np.ndarray, info: np.ndarray) -> np.ndarray:
    """As engine.express.may_express."""
    d, a, b, c = (V["operands"][:, j] for j in range(4))
    kernel = info["kernel"][V["code"]]
    plain = ~(s.ThreadFlags.accumulate.mask | s.ThreadFlags.endless.mask | s.ThreadFlags.open.mask)
    good = (d["kind"] == int(s.K_MEM)) & (a["kind"] == int(s.K_IN)) & (b["kind"] == 0) & (c["kind"] == 0)
    good &= ((kernel == 4) | (kernel == 5)) & (V["flags"] & ~plain == 0) & (V["zero"] == 0)
    return good & (d["addr"] & (d["size"] - 1) == 0) & (V["step"] * V["rate"] <= 65536)


def _operand(
    part: _Tile,
    pe: np.ndarray,
    V: np.ndarray,
    o: np.ndarray,
    j: int,
    declared: np.ndarray,
    size: np.ndarray,
    dense: np.ndarray,
) -> _Wrong:
    """Operand j of operations V that run on the PEs `pe` of the part: of the kind that the row declares, and inside what
    is there."""
    kind, owner = o["kind"], part.P[pe]
    K = {
        name: int(getattr(s, f"K_{name}")) for name in ("NONE", "MEM", "MEM4", "SCALAR", "POINTER", "IN", "OUT", "FIFO")
    }
    plain = {Operand.NONE: K["NONE"], Operand.SCALAR: K["SCALAR"], Operand.POINTER: K["POINTER"]}
    for of, wanted in plain.items():
        yield (declared == of) & (kind != wanted), "an operand is of another kind than its row says"
    vector = (declared == Operand.DSD) | (declared == Operand.DSR)
    able = {K["MEM"], K["MEM4"], K["FIFO"], K["OUT"] if j == 0 else K["IN"]}
    yield vector & ~np.isin(kind, list(able)), "an operand is of no kind"
    yield (declared != Operand.NONE) & (o["size"] != size), "an operand has elements of another size"
    room = owner["memsize"]
    yield (kind == K["POINTER"]) & ((o["addr"] < 0) | (o["addr"] > room - size)), "an operand lies outside the memory"
    left = _elements_left(V, o)
    yield (o["len"] < 0) | (o["len"] > 0x7FFFFFFF), "the length of an operand"
    at, step = o["addr"], o["stride"]
    line = kind == K["MEM"]
    yield line & (abs(step) > 0x20000) | line & (abs(at) > 1 << 40), "an operand lies outside the memory"
    low = np.minimum(at, at + (left - 1) * np.where(line, step, 0))
    high = np.maximum(at, at + (left - 1) * np.where(line, step, 0))
    yield line & (left > 0) & ((low < 0) | (high > room - size)), "an operand lies outside the memory"
    for wanted, name, queues in ((K["IN"], "iq", part.inputs), (K["OUT"], "oq", part.outputs)):
        here = kind == wanted
        q = o["queue"] - owner[name]
        index = q // s.Queue.WORDS
        exists = (q >= 0) & (q % s.Queue.WORDS == 0) & (index < queues.shape[1])
        yield here & ~exists, "the queue of an operand"
        yield here & (o["aux"] & ~((1 << 10) - 1) != 0), "how an operand takes or sends"
        at = np.flatnonzero(here)
        user = part.whole.U[o["queue"][at] + int(s.Queue.user)]
        yield user != dense[at] + 1, "the queue of an operand is used by another operation"
    slots = part.R["n"][pe]
    sends = kind == K["OUT"]
    yield sends & ((o["stride"] < 0) | (o["stride"] >= slots)), "an operand sends on a channel that does not exist"
    yield from _walk_operand(part, o, kind == K["MEM4"], left, room, size)
    yield from _fifo_operand(part, pe, o, kind == K["FIFO"])


def _elements_left(V: np.ndarray, o: np.ndarray) -> np.ndarray:
    """How many elements of a memory operand an operation still takes before it looks again."""
    endless = V["n"] == 0x7FFF
    open_ = s.ThreadFlags.open.get(V["flags"]) != 0
    most = np.where(endless | open_ & (o["len"] > 0) & (o["len"] < V["n"]), o["len"], V["n"])
    left = np.maximum(most - V["k"], 0)
    return np.where(endless & (o["stride"] == 0), 1, left)


def _walk_operand(
    part: _Tile, o: np.ndarray, here: np.ndarray, left: np.ndarray, room: np.ndarray, size: np.ndarray
) -> _Wrong:
    """A walk in several dimensions is somewhere on its way, and all of it lies in the memory."""
    if not here.any():
        return
    o, left, room, size = o[here], left[here], room[here], size[here]
    start, count = int(part.tile["mem4d"]), int(part.tile["nmem4d"])
    index = (o["queue"] - start) // Walk.WORDS
    exists = (o["queue"] >= start) & ((o["queue"] - start) % Walk.WORDS == 0) & (index < count)
    yield ~exists, "a walk does not exist"
    row = Walk.view(part.T, start, count)[index]
    ring = row["ext"][:, 0] == RING
    rank = row["rank"].astype(np.int64)
    at = np.zeros(len(o), np.int64)  # bytes from the begin of the walk
    done, total = np.zeros(len(o), np.int64), np.ones(len(o), np.int64)
    inner = np.zeros(len(o), np.int64)
    low, high = np.zeros(len(o), np.int64), np.zeros(len(o), np.int64)
    for d in range(4):
        used = d < rank
        extent = np.where(used, row["ext"][np.arange(len(o)), np.maximum(rank - 1 - d, 0)], 1).astype(np.int64)
        step = np.where(used, row["stride"][:, d] + inner, 0)
        c = s.Counters.index.get(o["aux"], d)
        outer = d == rank - 1
        yield used & ~outer & (c >= extent), "a walk is past its end"
        at += np.where(used & ~(ring & outer), c * step, 0)
        done += np.where(used, np.minimum(c, extent) * total, 0)
        total = total * np.where(ring & outer, 1, extent)
        reach = np.where(ring & outer, 0, step * (extent - 1))
        low, high = low + np.minimum(reach, 0), high + np.maximum(reach, 0)
        inner = inner + np.where(ring & outer, 0, step * (extent - 1))
    begin = o["addr"] - at * size
    yield (
        (abs(o["addr"]) > 1 << 40) | (begin + low * size < 0) | (begin + (high + 1) * size > room),
        "a walk leaves the memory",
    )
    yield ~ring & (left > total - done), "a walk goes on past its end"


def _fifo_operand(part: _Tile, pe: np.ndarray, o: np.ndarray, here: np.ndarray) -> _Wrong:
    record = o["addr"] - part.P["fifo"][pe]
    number = record // s.Fifo.WORDS
    exists = (record >= 0) & (record % s.Fifo.WORDS == 0) & (number < int(part.tile["nfifos"]))
    yield here & ~exists, "a FIFO does not exist"
    yield here & (o["queue"] != int(part.tile["fifos"]) + number * FifoRow.WORDS), "a FIFO is another one"
    yield here & (o["aux"] != part.pes[pe]), "a FIFO is of another PE"


def _queues(part: _Tile) -> _Wrong:
    """An input queue takes from a channel of its PE, or from none."""
    base = part.R["base"].astype(np.int64)[:, None]
    n = part.R["n"].astype(np.int64)[:, None]
    channel = part.inputs["channel"].astype(np.int64)
    off = channel - base
    yield (
        (channel != 0) & ((off < 0) | (off % s.Channel.WORDS != 0) | (off // s.Channel.WORDS >= n)),
        "the channel of a queue",
    )
    yield (channel == 0) & (part.inputs["count"] > 0), "a queue that nothing comes to holds something"


def _outputs(part: _Tile) -> _Wrong:
    """A router sends from output queues that hold something, on channels that it has."""
    full = np.zeros(len(part.pes), np.int64)
    n = part.R["n"].astype(np.int64)
    for i in range(part.outputs.shape[1]):
        queue = part.outputs[:, i]
        full |= (queue["count"] > 0).astype(np.int64) << i
        cap = int(queue["cap"][0])
        where = queue["buf"].astype(np.int64)[:, None] + np.arange(cap) * s.Entry.WORDS + int(s.Entry.flags)
        slot = s.EntryFlags.slot.get(part.whole.U[where].astype(np.int64))
        held = (np.arange(cap) - queue["head"].astype(np.int64)[:, None]) % cap < queue["count"].astype(np.int64)[
            :, None
        ]
        yield held & (slot >= n[:, None]), "a wavelet leaves through a channel that does not exist"
    yield part.R["oq"] & ~full, "a router sends what is not there"


def _dsrs(part: _Tile) -> _Wrong:
    more = part.dsrs["more"]
    if not more.size:
        return
    config = s.DsrMore.config.get(more) - part.whole.state.config_base[part.number]
    count = len(part.program.dsr_configs)
    loaded = s.DsrMore.set.get(more) != 0
    exists = (config >= 0) & (config % DsrConfig.WORDS == 0) & (config // DsrConfig.WORDS < count)
    yield loaded & ~exists, "a DSR was loaded with a configuration that does not exist"


def _fifos(part: _Tile) -> _Wrong:
    rows = part.rows(FifoRow, "fifos", int(part.tile["nfifos"]))
    if not len(rows):
        return
    yield (part.fifos["head"] < 0) | (part.fifos["head"] >= rows["capacity"]), "the head of a FIFO"
    yield (part.fifos["count"] < 0) | (part.fifos["count"] > rows["capacity"]), "a FIFO holds more than it can"
