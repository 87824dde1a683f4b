"""From a Program to the machine's arrays.

Built with numpy throughout: a wafer of 518,400 PEs is a handful of array expressions. What is ragged (memory,
registers, queues, ...) is laid out tile program by tile program, so that it is rectangular for each. What all PEs of a
tile program read is in tables.py.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..diag import Diagnostic, MeshlangError
from ..ir import isa
from ..ir.isa import Effect
from ..ir.program import EAST, HOST, NORTH, RAMP, SOUTH, WEST, Program, TileProgram
from ..ir.use import program_effect
from ..ir.verify import verify
from ..ir.words import Control, DsrConfig
from .bands import Bands, cuts
from .engine import state as s
from .engine.bulk import MEMORY_START
from .extensions import EXTENSION_LIMIT, Extensions
from .mapped import Mapped
from .pages import zeros
from .tables import Tables, build_tables
from .timing import Profile

PLOG_RECORDS = 1 << 14
EVEN = 1.25  # how much more room evenly spaced memories may take
NEAR = 1 << 20  # bytes of state that a core has quickly at hand


@dataclass
class State:
    """The arrays of a loaded machine, and what Python needs to find its way in them."""

    W: np.ndarray
    U: np.ndarray
    C: np.ndarray
    T: np.ndarray
    M8: np.ndarray
    M16: np.ndarray
    M32: np.ndarray
    strings: list[str]
    code_base: list[int]  # first instruction of each tile program
    function_base: list[int]  # row in T of each tile program's first function
    row_tiles: list[tuple[int, int, int]]  # (first row in T, tile, number of operations)
    config_base: list[int]  # row in T of each tile program's first DSR configuration
    tile_pes: list[np.ndarray]
    tile_of: np.ndarray  # [pe]
    channels: dict[int, np.ndarray]  # color -> channel index (in U) per PE, -1 where there is none
    hin_index: dict[int, int]
    channel_region: tuple[int, int]  # in U
    entry_regions: list[tuple[int, int]]
    input_regions: list[tuple[int, int]]  # per tile program: the first input queue of its PEs, in U, and how many
    input_colors: list[dict[int, int]]  # tile -> color -> dense input queue
    lines: list[Any]  # span of each source line that notes can name
    bands: Bands | None  # for several threads

    @property
    def globals(self) -> Any:
        """What there is once: `globals["now"]`. Views are of the arrays as they are: what is written is there."""
        return s.Globals.at(self.W, 0)

    @property
    def pes(self) -> np.ndarray:
        """The PE records: `pes["time"]`, or `pes[pe]["time"]`."""
        return s.Pe.view(self.W, s.P0, len(self.tile_of))

    @property
    def routers(self) -> np.ndarray:
        """The router records."""
        return s.Router.view(self.U, 0, len(self.tile_of))

    @property
    def buffers(self) -> np.ndarray:
        """The channels of all routers."""
        first, end = self.channel_region
        return s.Channel.view(self.U, first, (end - first) // s.Channel.WORDS)

    def buffer(self, at: int | np.ndarray) -> Any:
        """The channel records at some words of U, as `channels` has them."""
        return self.buffers[(at - self.channel_region[0]) // s.Channel.WORDS]

    def extension(self, channel: Any) -> Any:
        """The extension record of a channel that has one."""
        number = int(s.ChannelState.extension.get(channel["state"]))
        return s.Extension.at(self.W, self.globals["x"] + number * s.Extension.WORDS)

    def thread(self, pe: int, dense: int) -> Any:
        """A running operation of a PE."""
        return s.Thread.at(self.W, self.pes[pe]["ut"] + dense * s.Thread.WORDS)

    def queues(self, pe: int, output: bool) -> np.ndarray:
        """The input or output queues of a PE with code."""
        record = self.pes[pe]
        count = s.Tile.at(self.T, record["tile"])["noq" if output else "niq"]
        return s.Queue.view(self.U, record["oq" if output else "iq"], int(count))

    def queue(self, at: int) -> Any:
        """The queue at a word of U."""
        return s.Queue.at(self.U, at)

    def entries(self, queue: Any) -> list[Any]:
        """What a queue holds, first to last."""
        places = s.Entry.view(self.U, queue["buf"], int(queue["cap"]))
        return [places[(int(queue["head"]) + i) % len(places)] for i in range(int(queue["count"]))]

    def sends_on(self, pe: int, slot: int) -> int:
        """The color of a channel of a PE's router, by its number there."""
        channel = s.Channel.at(self.U, self.routers[pe]["base"] + slot * s.Channel.WORDS)
        return int(s.Config.color.get(channel["config"]))


@dataclass
class _Channels:
    """The channels of all routers: those of a PE one after the other, by color."""

    present: dict[int, np.ndarray]  # color -> has the PE one?
    config_of: dict[int, np.ndarray]  # color -> base rx | tx << 6
    count: np.ndarray  # [pe]
    base: np.ndarray  # [pe]: the first, in U
    index: dict[int, np.ndarray]  # color -> the PE's channel, in U, or -1
    first: int  # the region, in U
    end: int

    @property
    def total(self) -> int:
        return (self.end - self.first) // s.Channel.WORDS


@dataclass
class _Room:
    """Where the PEs of a tile program have what, one PE after the other. Memories are apart from that: they lie in the order of
    the PEs (`_memories`)."""

    caps_in: list[int]
    caps_out: list[int]
    registers: int
    reg: int = 0
    dsr: int = 0
    ut: int = 0
    fifo: int = 0
    iq: int = 0
    oq: int = 0
    entries: int = 0
    entries_end: int = 0


def _looks_closely(tile: TileProgram) -> bool:
    """Does the program stop microthreads or ask how full its queues are? Then no wavelet may be consumed before it has
    arrived."""
    return bool(program_effect(tile.code) & Effect.QUEUE)


def _plain_words(tile: TileProgram) -> bool:
    """Does the program use the words of the configuration space that are plain storage? An address of run time may be
    one of them."""
    return bool(tile.registers) or bool(program_effect(tile.code) & Effect.REGISTER)


BEHIND = 128  # bytes behind the last variable


@dataclass(frozen=True)
class _Space:
    """Bytes of a PE. memory: its variables and a little behind them; the machine's 48 KB do not end there, so a vector that runs past
    the last variable by a few elements meets memory, as one that runs past another does. room: memory, and the words of the
    configuration space behind it."""

    memory: int
    room: int

    @staticmethod
    def of(tile: TileProgram) -> _Space:
        end = (max([len(tile.image), *(o.address + o.size for o in tile.objects)], default=0) + 7) & ~7
        memory = max(end, min(end + BEHIND, isa.PE_MEMORY))
        return _Space(memory, memory + (2 * isa.PLAIN_COUNT if _plain_words(tile) else 0))


def load(program: Program, profile: Profile, threads: int = 1) -> State:
    """Build the machine's arrays; for several threads so that each can run a band of rows. MS0790 for a program that is
    damaged (ir/verify.py), MS0840 for a profile that the engine cannot follow, MS0842 for a fabric that is too large; see
    build_tables."""
    verify(program)
    fabric = program.fabric
    npe = fabric.width * fabric.height
    tile_of = np.asarray(fabric.tile, np.int64).reshape(npe)
    tile_pes = [np.flatnonzero(tile_of == t) for t in range(len(program.tiles))]
    spaces = [_Space.of(tile) for tile in program.tiles]
    memories, sizes = _memories(spaces, tile_of)
    M_end = int(memories[-1] + sizes[-1])
    rows = cuts(fabric.width, fabric.height, threads)
    count = len(rows) - 1
    staging = M_end + -M_end % 64
    written = all(np.any(tile.image) for tile, pes in zip(program.tiles, tile_pes, strict=True) if len(pes))
    all64 = zeros((staging + (count if count > 1 else 1) * int(MEMORY_START)) // 8, M_end if written else 0)
    M64 = all64[: (M_end + 64) // 8]
    M8, M16, M32 = M64.view(np.uint8), M64.view(np.uint16), M64.view(np.uint32)
    tables = build_tables(program, profile)
    present, config_of, index_of = _routes(program, tile_of)
    extensions = Extensions(program, tile_of, present, index_of)
    channels = _channels(npe, present, config_of)
    rooms, W_end, U_end = _rooms(program, profile, tables, tile_pes, channels.end)

    extension_start, W_end = W_end, W_end + s.Extension.WORDS * (extensions.total + 1)
    # wheels and logs
    l0 = (npe + 63) // 64
    l1 = (l0 + 63) // 64
    bits_r, W_end = W_end, W_end + 64 * (l0 + l1)
    bits_c, W_end = W_end, W_end + 64 * (l0 + l1)
    hosts_out = sum(int(present[c].sum()) for c in fabric.host_out if c in present)
    hlog_cap = max(1 << 16, 2 * hosts_out) if hosts_out else 1
    plog, W_end = W_end, W_end + PLOG_RECORDS * s.Print.WORDS
    notes, W_end = W_end, W_end + s.NOTES * (s.Note.WORDS + l0)
    hlog, W_end = W_end, W_end + hlog_cap
    flight, W_end = W_end, W_end + s.FLIGHT * s.Flight.WORDS
    if U_end >= s.OFF_RECTANGLE or extensions.total > EXTENSION_LIMIT:
        raise MeshlangError(
            Diagnostic(
                "MS0842",
                f"the fabric of {npe} PEs with {int(channels.count.sum())} channels is too large for this engine",
            )
        )

    mapped = None
    if count > 1:
        words = Bands.room(W_end, fabric.width, count, l0, l1, PLOG_RECORDS, hlog_cap)
        with contextlib.suppress(OSError):  # this system has no such mappings: one thread
            mapped = Mapped(words)
    W = _on_cache_lines(W_end, np.int64) if mapped is None else mapped.array[:W_end]
    U = _on_cache_lines(U_end, np.uint32)
    G = s.Globals.at(W, 0)
    G["now"] = 1
    G["npe"], G["width"], G["height"] = npe, fabric.width, fabric.height
    G["l0"], G["l1"], G["bits_r"], G["bits_c"] = l0, l1, bits_r, bits_c
    G["plog"], G["plogcap"] = plog, PLOG_RECORDS
    G["hlog"], G["hlogcap"], G["nhout"] = hlog, hlog_cap, hosts_out
    G["flight"] = flight
    G["wordsto"] = l1
    G["wse3"] = program.arch == "wse3"
    G["notes"], G["lines"] = notes, tables.line_table
    G["x"] = extension_start
    _set_timing(G, profile)
    G["far"] = 8 * W_end + 4 * U_end + M_end > NEAR
    small = M_end >> 1 < 1 << 32  # Q_XAT has 32 bits
    G["express"] = small and not any(_looks_closely(tile) for tile in program.tiles)
    for ty, size in isa.TY_SIZE.items():
        G["mask"][ty] = _signed((1 << 8 * size) - 1)
        G["sign"][ty] = 1 << (8 * size - 1) if ty in (isa.Ty.I32, isa.Ty.I16, isa.Ty.I8) else 0
    G["hin"][:] = -1
    hin_index = {color: i for i, color in enumerate(sorted(c for c in fabric.host_in if c in present))}
    for color, i in hin_index.items():
        G["hin"][color] = i

    _fill_routers(U, program, tables, channels, extensions, tile_of)
    extensions.fill(W, s.Channel.view(U, channels.first, channels.total), channels.index, channels.first)
    P = s.Pe.view(W, s.P0, npe)
    P["tile"] = -1
    P["task"] = -1
    for t, (tile, pes, room, space) in enumerate(zip(program.tiles, tile_pes, rooms, spaces, strict=True)):
        if len(pes):
            _fill_records(P, tables, t, tile, pes, room, space, memories)
            s.Router.view(U, 0, npe)["iq"][pes] = P["iq"][pes]
            _fill_memory(M8, tile, memories, sizes, pes, space.memory)
            _fill_queues(U, tables, t, tile, pes, room, channels.index, profile)
            _fill_dsrs(W, tables, t, tile, len(pes), room)
    _visit_all(W, tile_of >= 0)
    bands = None
    if mapped is not None:
        with contextlib.suppress(OSError):
            bands = Bands(mapped, W_end, rows, tables.T, all64, staging)
    return State(
        W,
        U,
        tables.C,
        tables.T,
        M8,
        M16,
        M32,
        tables.strings,
        tables.code_base,
        tables.function_base,
        tables.operations,
        tables.configs,
        tile_pes,
        tile_of,
        channels.index,
        hin_index,
        (channels.first, channels.end),
        [(r.entries, r.entries_end) for r in rooms],
        [(r.iq, len(pes) * len(r.caps_in)) for r, pes in zip(rooms, tile_pes, strict=True)],
        tables.input_colors,
        tables.lines,
        bands,
    )


def _channels(npe: int, present: dict[int, np.ndarray], config_of: dict[int, np.ndarray]) -> _Channels:
    """Lay the channels out behind the router records."""
    count = np.zeros(npe, np.int64)
    slot = {}
    for color in sorted(present):
        slot[color] = count.copy()
        count += present[color]
    first = -(-npe * s.Router.WORDS // s.Channel.WORDS) * s.Channel.WORDS
    base = first + (np.cumsum(count) - count) * s.Channel.WORDS
    index = {color: np.where(present[color], base + slot[color] * s.Channel.WORDS, -1) for color in sorted(present)}
    return _Channels(present, config_of, count, base, index, first, first + int(count.sum()) * s.Channel.WORDS)


def _rooms(
    program: Program, profile: Profile, tables: Tables, tile_pes: list[np.ndarray], U_end: int
) -> tuple[list[_Room], int, int]:
    """Lay out what is ragged. Returns a _Room for each tile program, and where W and U end so far."""
    depths_in, depths_out, ramp = profile["queues.input"], profile["queues.output"], int(profile["fabric.ramp"])
    latency = int(profile["dsd.latency"])  # what is in the pipeline has its place already
    W_end = s.P0 + program.fabric.width * program.fabric.height * s.Pe.WORDS
    rooms = []
    for t, tile in enumerate(program.tiles):
        n = len(tile_pes[t])
        row = _Room(
            # a queue that is no operation's has no number of the machine's, and is as short as its shortest
            caps_in=[int(depths_in[q.id] if q.id < len(depths_in) else min(depths_in)) + ramp for q in tile.inputs],
            caps_out=[
                int(depths_out[i] if i < len(depths_out) else depths_out[0]) + latency for i, _ in tables.outputs[t]
            ],
            registers=tile.stack_registers + 4,
        )
        row.reg, W_end = W_end, W_end + n * row.registers
        row.dsr, W_end = W_end, W_end + n * s.Dsr.WORDS * len(tile.dsrs)
        row.ut = (W_end + 7) & ~7  # on cache lines
        W_end = row.ut + n * s.Thread.WORDS * int(tables.threads[t])
        row.fifo, W_end = W_end, W_end + n * s.Fifo.WORDS * len(tile.fifos)
        row.iq = -(-U_end // s.Queue.WORDS) * s.Queue.WORDS  # on cache lines
        U_end = row.iq + n * s.Queue.WORDS * len(row.caps_in)
        row.oq, U_end = U_end, U_end + n * s.Queue.WORDS * len(row.caps_out)
        row.entries, U_end = U_end, U_end + n * s.Entry.WORDS * (sum(row.caps_in) + sum(row.caps_out))
        row.entries_end = U_end
        rooms.append(row)
    return rooms, W_end, U_end


def _memories(spaces: list[_Space], tile_of: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where each PE's memory begins, in the order of the PEs, and how much room it has. If that takes little more, all
    have as much as the largest: a copy from or to a rectangle of PEs is then one strided view."""
    sizes = np.array([*((space.room + 7) & ~7 for space in spaces), 0], np.int64)[tile_of]
    largest = int(sizes.max())
    if len(sizes) * largest <= EVEN * int(sizes.sum()):
        sizes[:] = largest
    return int(MEMORY_START) + np.cumsum(sizes) - sizes, sizes


def _set_timing(G: Any, profile: Profile) -> None:
    """The cycle numbers that the engine reads while it runs."""
    for i, name in enumerate(s.TIMES):
        if int(profile[name]) != profile[name]:
            raise MeshlangError(
                Diagnostic(
                    "MS0840", f"profile {profile.name}: {name} is {profile[name]}, and the engine counts whole cycles"
                )
            )
        G["times"][i] = profile[name]
    if not (1 <= profile["fabric.hop"] <= 2 and 2 <= profile["fabric.ramp"] <= 8):
        raise MeshlangError(
            Diagnostic(
                "MS0840", f"profile {profile.name}: the engine needs a hop of 1 or 2 and a ramp of 2 to 8 cycles"
            )
        )
    G["quantum"] = 20_000


def _fill_routers(
    U: np.ndarray, program: Program, tables: Tables, channels: _Channels, extensions: Extensions, tile_of: np.ndarray
) -> None:
    """Router records, and channels with their base routes and neighbours."""
    width, height = program.fabric.width, program.fabric.height
    npe = width * height
    R = s.Router.view(U, 0, npe)
    R["base"], R["n"] = channels.base, channels.count
    H = s.Channel.view(U, channels.first, channels.total)
    pe_y, pe_x = np.divmod(np.arange(npe), width)
    queue_of = np.full((len(program.tiles) + 1, 32), s.NO_QUEUE, np.int64)
    for t, known in enumerate(tables.input_colors):
        for color, q in known.items():
            queue_of[t, color] = q
    for color, index in channels.index.items():
        pes = np.flatnonzero(channels.present[color])
        rows = (index[pes] - channels.first) // s.Channel.WORDS
        config = s.Config.color.put(color, channels.config_of[color][pes])
        H["config"][rows] = s.Config.queue.put(queue_of[tile_of[pes], color], config)
        H["pop"][rows] = H["push"][rows] = 0  # the clock starts at 1: long ago
        for direction, dx, dy in ((NORTH, 0, -1), (SOUTH, 0, 1), (EAST, 1, 0), (WEST, -1, 0)):
            x, y = pe_x[pes] + dx, pe_y[pes] + dy
            inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
            there = np.where(inside, y * width + x, 0)
            near = extensions.arrivals(channels.index, color, direction, there)
            there = np.where(near >= 0, near, int(s.NO_CHANNEL))
            H["near"][rows, direction] = np.where(inside, there, int(s.OFF_RECTANGLE))


def _fill_records(
    P: np.ndarray,
    tables: Tables,
    t: int,
    tile: TileProgram,
    pes: np.ndarray,
    room: _Room,
    space: _Space,
    memories: np.ndarray,
) -> None:
    """The PE records of the PEs of tile program t."""
    index = np.arange(len(pes))
    P["tile"][pes] = s.T_TILES + t * s.Tile.WORDS
    P["active"][pes], P["blocked"][pes] = _signed(tile.active), _signed(tile.blocked)
    P["rr"][pes] = 63
    P["mem"][pes], P["memsize"][pes] = memories[pes], space.memory
    if space.room != space.memory:
        P["plain"][pes] = P["mem"][pes] + space.memory
    P["transform"][pes], P["unmasked"][pes] = Control.high.put(tile.transform), ~tile.exceptions & 0xFFFF
    P["reg"][pes] = room.reg + index * room.registers
    P["regend"][pes] = room.reg + (index + 1) * room.registers
    P["dsr"][pes] = room.dsr + index * s.Dsr.WORDS * len(tile.dsrs)
    P["ut"][pes] = room.ut + index * s.Thread.WORDS * tables.threads[t]
    P["fifo"][pes] = room.fifo + index * s.Fifo.WORDS * len(tile.fifos)
    P["system"][pes] = any(task.kind == "local" and task.id == s.SYSTEM_TASK for task in tile.tasks)
    P["iq"][pes] = room.iq + index * s.Queue.WORDS * len(room.caps_in)
    P["oq"][pes] = room.oq + index * s.Queue.WORDS * len(room.caps_out)
    ut_blocked = 0
    for i in range(8):
        dense = int(s.Tile.at(tables.T, s.T_TILES + t * s.Tile.WORDS)["utmap"][i])
        if tile.ut_blocked >> i & 1 and dense >= 0:
            ut_blocked |= 1 << dense
    P["utblock"][pes] = ut_blocked
    P["taskprio"][pes] = _signed(tile.high)
    for pair, (_, init, _) in enumerate(tile.rotating):
        P["rotate"][pes, pair] = init


def _fill_memory(
    M8: np.ndarray, tile: TileProgram, memories: np.ndarray, sizes: np.ndarray, pes: np.ndarray, plain: int
) -> None:
    """The initial memories of PEs, and from `plain` on the words of their configuration space. Memory is zeros so far,
    and pages that stay so are not touched."""
    image = np.asarray(tile.image, np.uint8)
    there = np.flatnonzero(image)
    last = np.flatnonzero(np.diff(there, append=1 << 40) > 64)  # of each piece that has no long gap
    pieces = [
        (int(there[a]), image[there[a] : there[b] + 1]) for a, b in zip([0, *(last[:-1] + 1).tolist()], last.tolist())
    ]
    for address, value in tile.registers:
        pieces.append((plain + 2 * (address - isa.PLAIN_REGISTERS), np.array([value & 0xFF, value >> 8], np.uint8)))
    even = bool((sizes == sizes[0]).all())
    for at, data in pieces:
        if even:
            M8[memories[0] : memories[-1] + sizes[-1]].reshape(len(sizes), -1)[pes, at : at + len(data)] = data
            continue
        step = max(1, (1 << 22) // len(data))
        for i in range(0, len(pes), step):
            M8[memories[pes[i : i + step], None] + np.arange(at, at + len(data))] = data


def _fill_queues(
    U: np.ndarray,
    tables: Tables,
    t: int,
    tile: TileProgram,
    pes: np.ndarray,
    room: _Room,
    channel_of: dict[int, np.ndarray],
    profile: Profile,
) -> None:
    """The queue records of the PEs of tile program t."""
    n = len(pes)
    entries = room.entries + np.arange(n) * s.Entry.WORDS * (sum(room.caps_in) + sum(room.caps_out))
    for incoming, start, queues, caps in (
        (True, room.iq, [(q.id, q.color) for q in tile.inputs], room.caps_in),
        (False, room.oq, tables.outputs[t], room.caps_out),
    ):
        block = s.Queue.view(U, start, n * len(caps)).reshape(n, len(caps))
        for i, ((ident, color), cap) in enumerate(zip(queues, caps, strict=True)):
            queue = block[:, i]
            queue["buf"] = entries
            queue["cap"] = cap
            queue["id"] = ident
            queue["color"] = s.NO_COLOR if color is None or color < 0 else color
            queue["depth"] = cap - int(profile["fabric.ramp" if incoming else "dsd.latency"])
            if incoming and color in channel_of:
                queue["channel"] = np.maximum(channel_of[color][pes], 0)
            entries = entries + cap * s.Entry.WORDS


def _fill_dsrs(W: np.ndarray, tables: Tables, t: int, tile: TileProgram, n: int, room: _Room) -> None:
    """What DSRs hold from the start on n PEs."""
    block = s.Dsr.view(W, room.dsr, n * len(tile.dsrs)).reshape(n, -1)
    for dense, packed, config, action, on_control in tile.dsr_init:
        block["value"][:, dense] = _signed(packed)
        if config >= 0:
            row = tables.configs[t] + config * DsrConfig.WORDS
            block["more"][:, dense] = s.DsrMore.pack(set=1, config=row, action=action, onctrl=on_control)


def _visit_all(W: np.ndarray, has_code: np.ndarray) -> None:
    """Every PE with code gets a first visit: tasks that are active from the start."""
    G = s.Globals.at(W, 0)
    l0, l1 = int(G["l0"]), int(G["l1"])
    bits = np.zeros(l0 * 64, bool)
    bits[: len(has_code)] = has_code
    words = np.packbits(bits, bitorder="little").view(np.int64)
    at = int(G["bits_c"]) + 1 * (l0 + l1)
    W[at : at + l0] = words
    upper = np.zeros(l1 * 64, bool)
    upper[:l0] = words != 0
    W[at + l0 : at + l0 + l1] = np.packbits(upper, bitorder="little").view(np.int64)
    G["occ_c"] = 2 if bits.any() else 0


def _on_cache_lines(n: int, dtype: Any) -> np.ndarray:
    """n zeros, the first of them at the start of a cache line."""
    size = np.dtype(dtype).itemsize
    raw = np.zeros(n + 64 // size, dtype)
    shift = (-raw.ctypes.data % 64) // size
    return raw[shift : shift + n]


def _signed(mask: int) -> int:
    """A 64-bit mask as a signed number."""
    mask &= (1 << 64) - 1
    return mask - (1 << 64) if mask >> 63 else mask


def _routes(
    program: Program, tile_of: np.ndarray
) -> tuple[dict[int, np.ndarray], dict[int, np.ndarray], dict[int, np.ndarray]]:
    """Which PEs have a channel of each color, its base rx | tx << 6, and the number of its configuration or -1."""
    fabric = program.fabric
    npe = fabric.width * fabric.height
    table = np.array([*(s.Config.pack(rx=config.rx, tx=config.tx) for config in fabric.configs), 0], np.int64)
    present, config_of, index_of = {}, {}, {}
    for color, array in fabric.color.items():
        index = np.asarray(array).reshape(npe)
        present[color] = index >= 0
        index_of[color] = index.astype(np.int64)
        config_of[color] = np.where(index >= 0, table[index], 0)
    for colors, default, extra in (
        (fabric.host_in, s.Config.pack(rx=1 << HOST, tx=1 << RAMP), s.Config.pack(rx=1 << HOST)),
        (fabric.host_out, s.Config.pack(rx=1 << RAMP, tx=1 << HOST), s.Config.pack(tx=1 << HOST)),
    ):
        for color in colors:
            if color not in present:
                present[color] = np.zeros(npe, bool)
                config_of[color] = np.zeros(npe, np.int64)
                index_of[color] = np.full(npe, -1)
            if fabric.host_ports:
                continue
            # PEs for which the program gives no route get the direct one; where it gives a route, the host may feed it,
            # and takes what has no other destination
            missing = ~present[color] & (tile_of >= 0)
            own = config_of[color]
            if extra != 1 << HOST:
                extra_of = np.where(s.Config.tx.get(own) == 0, extra, 0)
            else:
                extra_of = extra
            config_of[color] = np.where(present[color], own | extra_of, np.where(missing, default, 0))
            present[color] = present[color] | missing
    return {c: p for c, p in present.items() if p.any()}, config_of, index_of
