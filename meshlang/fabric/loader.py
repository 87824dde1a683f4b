"""From a Program to the machine's arrays.

Built with numpy throughout: a wafer of 518,400 PEs is a handful of array expressions. What is ragged (memory,
registers, queues, ...) is laid out tile program by tile program, so that it is rectangular for each. What all PEs of a
tile program read is in tables.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..diag import Diagnostic, MeshlangError
from ..ir import isa
from ..ir.program import EAST, HOST, NORTH, RAMP, SOUTH, WEST, Program, TileProgram
from .engine import state as s
from .engine.bulk import MEMORY_START
from .engine.trace import FLIGHT, FLIGHT_WORDS
from .extensions import EXTENSION_LIMIT, Extensions
from .tables import Tables, build_tables
from .timing import Profile

O = isa.Op
PLOG_RECORDS = 1 << 14


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
    tile_pes: list[np.ndarray]
    tile_of: np.ndarray  # [pe]
    channels: dict[int, np.ndarray]  # color -> channel index (in U) per PE, -1 where there is none
    hin_index: dict[int, int]
    channel_region: tuple[int, int]  # in U
    entry_regions: list[tuple[int, int]]
    input_colors: list[dict[int, int]]  # tile -> color -> dense input queue
    lines: list[Any]  # span of each source line that notes can name


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


@dataclass
class _Room:
    """Where the PEs of a tile program have what, one PE after the other; `room` and `memory` are bytes of a PE."""

    caps_in: list[int]
    caps_out: list[int]
    registers: int
    memory: int
    room: int  # memory, and the words of the configuration space behind it
    reg: int = 0
    dsr: int = 0
    ut: int = 0
    fifo: int = 0
    iq: int = 0
    oq: int = 0
    entries: int = 0
    entries_end: int = 0
    mem: int = 0


def _looks_closely(tile: TileProgram) -> bool:
    """Does the program stop microthreads or ask how full its queues are? Then no wavelet may be consumed before it has
    arrived."""
    code = np.array(tile.code, np.int32).reshape(-1, 4)
    kind = code[:, 0] & 0xFF
    asks = (kind == O.SYS) & np.isin(code[:, 3], (isa.Sys.IQ_STATUS, isa.Sys.QUEUE_FLUSH, isa.Sys.QUEUE_COLOR))
    return bool((asks | np.isin(kind, (O.UTBLOCK, O.UTUNBLOCK))).any())


def _plain_words(tile: TileProgram) -> bool:
    """Does the program use the words of the configuration space that are plain storage? An address of run time may be
    one of them."""
    code = np.asarray(tile.code, np.int32).reshape(-1, 4)
    system = code[:, 0] & 0xFF == O.SYS
    return bool(tile.registers) or bool(
        (system & np.isin(code[:, 3], (isa.Sys.REGISTER_GET, isa.Sys.REGISTER_SET))).any()
    )


def _memory_size(tile: TileProgram) -> int:
    end = max([len(tile.image), *(o.address + o.size for o in tile.objects)], default=0)
    return (end + 7) & ~7


def load(program: Program, profile: Profile) -> State:
    """Build the machine's arrays. MS0840 for a profile that the engine cannot follow, MS0842 for a fabric that is too
    large; see build_tables."""
    fabric = program.fabric
    npe = fabric.width * fabric.height
    tile_of = np.asarray(fabric.tile, np.int64).reshape(npe)
    tile_pes = [np.flatnonzero(tile_of == t) for t in range(len(program.tiles))]
    tables = build_tables(program, profile)
    present, config_of, index_of = _routes(program, tile_of)
    extensions = Extensions(program, tile_of, present, index_of)
    channels = _channels(npe, present, config_of)
    rooms, W_end, U_end, M_end = _rooms(program, profile, tables, tile_pes, channels.end)

    extension_start, W_end = W_end, W_end + s.XK * (extensions.total + 1)
    # wheels and logs
    l0 = (npe + 63) // 64
    l1 = (l0 + 63) // 64
    bits_r, W_end = W_end, W_end + 64 * (l0 + l1)
    bits_c, W_end = W_end, W_end + 64 * (l0 + l1)
    hosts_out = sum(int(present[c].sum()) for c in fabric.host_out if c in present)
    hlog_cap = max(1 << 16, 2 * hosts_out) if hosts_out else 1
    plog, W_end = W_end, W_end + PLOG_RECORDS * s.LK
    notes, W_end = W_end, W_end + s.NOTES * (s.NK + l0)
    hlog, W_end = W_end, W_end + hlog_cap
    flight, W_end = W_end, W_end + FLIGHT * FLIGHT_WORDS
    if U_end >= s.OFF_RECTANGLE or extensions.total > EXTENSION_LIMIT:
        raise MeshlangError(
            Diagnostic(
                "MS0842",
                f"the fabric of {npe} PEs with {int(channels.count.sum())} channels is too large for this engine",
            )
        )

    W = _on_cache_lines(W_end, np.int64)
    U = _on_cache_lines(U_end, np.uint32)
    M64 = np.zeros((M_end + 64) // 8, np.uint64)
    M8, M16, M32 = M64.view(np.uint8), M64.view(np.uint16), M64.view(np.uint32)
    W[s.G_NOW] = 1
    W[s.G_NPE], W[s.G_WIDTH], W[s.G_HEIGHT] = npe, fabric.width, fabric.height
    W[s.G_L0], W[s.G_L1], W[s.G_BITS_R], W[s.G_BITS_C] = l0, l1, bits_r, bits_c
    W[s.G_PLOG], W[s.G_PLOGCAP], W[s.G_HLOG], W[s.G_HLOGCAP], W[s.G_NHOUT] = (
        plog,
        PLOG_RECORDS,
        hlog,
        hlog_cap,
        hosts_out,
    )
    W[s.G_FLIGHT] = flight
    W[s.G_WSE3] = program.arch == "wse3"
    W[s.G_NOTES], W[s.G_LINES] = notes, tables.line_table
    W[s.G_X] = extension_start
    _set_timing(W, profile)
    small = M_end >> 1 < 1 << 32  # Q_XAT has 32 bits
    W[s.G_EXPRESS] = small and W[s.G_FSETUP] > W[s.G_RAMP] and not any(_looks_closely(tile) for tile in program.tiles)
    for ty, size in isa.TY_SIZE.items():
        W[s.G_MASK + ty] = _signed((1 << 8 * size) - 1)
        W[s.G_SIGN + ty] = 1 << (8 * size - 1) if ty in (isa.Ty.I32, isa.Ty.I16, isa.Ty.I8) else 0
    W[s.G_HIN : s.G_HIN + 32] = -1
    hin_index = {color: i for i, color in enumerate(sorted(c for c in fabric.host_in if c in present))}
    for color, i in hin_index.items():
        W[s.G_HIN + color] = i

    _fill_routers(U, program, tables, channels, extensions, tile_of)
    extensions.fill(W, U[channels.first : channels.end].reshape(-1, 16), channels.index, channels.first)
    P = W[s.P0 : s.P0 + npe * s.PK].reshape(npe, s.PK)
    P[:, s.P_TILE] = -1
    P[:, s.P_TASK] = -1
    for t, (tile, pes, room) in enumerate(zip(program.tiles, tile_pes, rooms, strict=True)):
        if len(pes):
            _fill_records(P, tables, t, tile, pes, room)
            U[: npe * s.RK].reshape(npe, s.RK)[pes, s.R_IQ] = P[pes, s.P_IQ]
            _fill_memory(M8, tile, len(pes), room)
            _fill_queues(U, tables, t, tile, pes, room, channels.index, int(profile["fabric.ramp"]))
            _fill_dsrs(W, tables, t, tile, len(pes), room)
    _visit_all(W, tile_of >= 0)
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
        tile_pes,
        tile_of,
        channels.index,
        hin_index,
        (channels.first, channels.end),
        [(r.entries, r.entries_end) for r in rooms],
        tables.input_colors,
        tables.lines,
    )


def _channels(npe: int, present: dict[int, np.ndarray], config_of: dict[int, np.ndarray]) -> _Channels:
    """Lay the channels out behind the router records."""
    count = np.zeros(npe, np.int64)
    slot = {}
    for color in sorted(present):
        slot[color] = count.copy()
        count += present[color]
    first = (npe * s.RK + 15) & ~15
    base = first + (np.cumsum(count) - count) * 16
    index = {color: np.where(present[color], base + slot[color] * 16, -1) for color in sorted(present)}
    return _Channels(present, config_of, count, base, index, first, first + int(count.sum()) * 16)


def _rooms(
    program: Program, profile: Profile, tables: Tables, tile_pes: list[np.ndarray], U_end: int
) -> tuple[list[_Room], int, int, int]:
    """Lay out what is ragged. Returns a _Room for each tile program, and where W, U and the memories end so far."""
    depths_in, depths_out, ramp = profile["queues.input"], profile["queues.output"], int(profile["fabric.ramp"])
    W_end = s.P0 + program.fabric.width * program.fabric.height * s.PK
    M_end = MEMORY_START
    rooms = []
    for t, tile in enumerate(program.tiles):
        n, memory = len(tile_pes[t]), _memory_size(tile)
        row = _Room(
            caps_in=[int(depths_in[q.id]) + ramp for q in tile.inputs],
            caps_out=[int(depths_out[i]) if i < len(depths_out) else int(depths_out[0]) for i, _ in tables.outputs[t]],
            registers=tile.stack_registers + 4,
            memory=memory,
            room=memory + (2 * isa.PLAIN_COUNT if _plain_words(tile) else 0),
        )
        row.reg, W_end = W_end, W_end + n * row.registers
        row.dsr, W_end = W_end, W_end + n * 2 * len(tile.dsrs)
        row.ut = (W_end + 7) & ~7  # on cache lines
        W_end = row.ut + n * s.TK * tables.threads[t]
        row.fifo, W_end = W_end, W_end + n * s.FFK * len(tile.fifos)
        row.iq = (U_end + 15) & ~15  # on cache lines
        U_end = row.iq + n * s.QK * len(row.caps_in)
        row.oq, U_end = U_end, U_end + n * s.QK * len(row.caps_out)
        row.entries, U_end = U_end, U_end + n * s.EK * (sum(row.caps_in) + sum(row.caps_out))
        row.entries_end = U_end
        row.mem, M_end = M_end, M_end + n * row.room
        rooms.append(row)
    return rooms, W_end, U_end, M_end


def _set_timing(W: np.ndarray, profile: Profile) -> None:
    """The cycle numbers that the engine reads while it runs."""
    for index, name in (
        (s.G_HOP, "fabric.hop"),
        (s.G_RAMP, "fabric.ramp"),
        (s.G_SETUP, "dsd.setup"),
        (s.G_SETUP_DSR, "dsd.setup_dsr"),
        (s.G_SETUP_V, "dsd.setup_vector"),
        (s.G_SETUP_S, "dsd.setup_scalar"),
        (s.G_FSETUP, "dsd.fabric_setup"),
        (s.G_ISSUE, "dsd.issue"),
        (s.G_TASK_START, "task.start"),
        (s.G_TASK_END, "task.end"),
        (s.G_DONE, "task.completion"),
        (s.G_TAKEN, "scalar.taken"),
        (s.G_LAUNCH, "fabric.launch_latency"),
        (s.G_LAUNCHHOP, "fabric.launch_hop"),
        (s.G_SYNCDONE, "dsd.sync_done"),
    ):
        W[index] = int(profile[name])
    if not (1 <= W[s.G_HOP] <= 2 and 2 <= W[s.G_RAMP] <= 8):
        raise MeshlangError(
            Diagnostic(
                "MS0840", f"profile {profile.name}: the engine needs a hop of 1 or 2 and a ramp of 2 to 8 cycles"
            )
        )
    W[s.G_QUANTUM] = 20_000


def _fill_routers(
    U: np.ndarray, program: Program, tables: Tables, channels: _Channels, extensions: Extensions, tile_of: np.ndarray
) -> None:
    """Router records, and channels with their base routes and neighbours."""
    width, height = program.fabric.width, program.fabric.height
    npe = width * height
    R = U[: npe * s.RK].reshape(npe, s.RK)
    R[:, s.R_BASE], R[:, s.R_N] = channels.base, channels.count
    H = U[channels.first : channels.end].reshape(-1, 16)
    pe_y, pe_x = np.divmod(np.arange(npe), width)
    queue_of = np.full((len(program.tiles) + 1, 32), 15, np.int64)
    for t, known in enumerate(tables.input_colors):
        for color, q in known.items():
            queue_of[t, color] = q
    for color, index in channels.index.items():
        pes = np.flatnonzero(channels.present[color])
        rows = (index[pes] - channels.first) // 16
        H[rows, s.CH_CONFIG] = channels.config_of[color][pes] | (color << 12) | (queue_of[tile_of[pes], color] << 17)
        H[rows, s.CH_POP] = 0  # the clock starts at 1: long ago
        H[rows, s.CH_PUSH] = 0
        for direction, dx, dy in ((NORTH, 0, -1), (SOUTH, 0, 1), (EAST, 1, 0), (WEST, -1, 0)):
            x, y = pe_x[pes] + dx, pe_y[pes] + dy
            inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
            there = np.where(inside, y * width + x, 0)
            near = extensions.arrivals(channels.index, color, direction, there)
            H[rows, s.CH_NEAR + direction] = np.where(inside, np.where(near >= 0, near, s.NO_CHANNEL), s.OFF_RECTANGLE)


def _fill_records(P: np.ndarray, tables: Tables, t: int, tile: TileProgram, pes: np.ndarray, room: _Room) -> None:
    """The PE records of the PEs of tile program t."""
    index = np.arange(len(pes))
    P[pes, s.P_TILE] = s.T_TILES + t * s.TT
    P[pes, s.P_ACTIVE], P[pes, s.P_BLOCKED] = _signed(tile.active), _signed(tile.blocked)
    P[pes, s.P_RR] = 63
    P[pes, s.P_MEM], P[pes, s.P_MEMSIZE] = room.mem + index * room.room, room.memory
    if room.room != room.memory:
        P[pes, s.P_PLAIN] = P[pes, s.P_MEM] + room.memory
    P[pes, s.P_TRANSFORM], P[pes, s.P_UNMASKED] = tile.transform << 26, ~tile.exceptions & 0xFFFF
    P[pes, s.P_REG] = room.reg + index * room.registers
    P[pes, s.P_REGEND] = room.reg + (index + 1) * room.registers
    P[pes, s.P_DSR] = room.dsr + index * 2 * len(tile.dsrs)
    P[pes, s.P_UT] = room.ut + index * s.TK * tables.threads[t]
    P[pes, s.P_FIFO] = room.fifo + index * s.FFK * len(tile.fifos)
    P[pes, s.P_SYSTEM] = any(task.kind == "local" and task.id == 29 for task in tile.tasks)
    P[pes, s.P_IQ] = room.iq + index * s.QK * len(room.caps_in)
    P[pes, s.P_OQ] = room.oq + index * s.QK * len(room.caps_out)
    ut_blocked = 0
    for i in range(8):
        dense = int(tables.T[s.T_TILES + t * s.TT + s.TT_UTMAP + i])
        if tile.ut_blocked >> i & 1 and dense >= 0:
            ut_blocked |= 1 << dense
    P[pes, s.P_UTBLOCK] = ut_blocked
    P[pes, s.P_TASKPRIO] = _signed(tile.high)
    for pair, (_, init, _) in enumerate(tile.rotating):
        P[pes, s.P_ROTATE + pair] = init


def _fill_memory(M8: np.ndarray, tile: TileProgram, n: int, room: _Room) -> None:
    """The initial memories of n PEs, and the words of the configuration space behind them."""
    image = np.asarray(tile.image, np.uint8)
    memories = M8[room.mem : room.mem + n * room.room].reshape(n, room.room)
    if image.any():
        memories[:, : len(image)] = image
    for address, value in tile.registers:
        memories[:, room.memory + 2 * (address - isa.PLAIN_REGISTERS) :][:, :2] = (value & 0xFF, value >> 8)


def _fill_queues(
    U: np.ndarray,
    tables: Tables,
    t: int,
    tile: TileProgram,
    pes: np.ndarray,
    room: _Room,
    channel_of: dict[int, np.ndarray],
    ramp: int,
) -> None:
    """The queue records of the PEs of tile program t."""
    n = len(pes)
    entries = room.entries + np.arange(n) * s.EK * (sum(room.caps_in) + sum(room.caps_out))
    for incoming, start, queues, caps in (
        (True, room.iq, [(q.id, q.color) for q in tile.inputs], room.caps_in),
        (False, room.oq, tables.outputs[t], room.caps_out),
    ):
        block = U[start : start + n * s.QK * len(caps)].reshape(n, len(caps), s.QK)
        for i, ((ident, color), cap) in enumerate(zip(queues, caps, strict=True)):
            block[:, i, s.Q_BUF] = entries
            block[:, i, s.Q_CAP] = cap
            block[:, i, s.Q_ID] = ident
            block[:, i, s.Q_COLOR] = 31 if color is None or color < 0 else color
            block[:, i, s.Q_DEPTH] = cap - ramp if incoming else cap
            if incoming and color in channel_of:
                block[:, i, s.Q_CHANNEL] = np.maximum(channel_of[color][pes], 0)
            entries = entries + cap * s.EK


def _fill_dsrs(W: np.ndarray, tables: Tables, t: int, tile: TileProgram, n: int, room: _Room) -> None:
    """What DSRs hold from the start on n PEs."""
    block = W[room.dsr : room.dsr + n * 2 * len(tile.dsrs)].reshape(n, -1)
    for dense, packed, config, action, on_control in tile.dsr_init:
        block[:, 2 * dense] = _signed(packed)
        if config >= 0:
            block[:, 2 * dense + 1] = (
                1
                | ((tables.configs[t] + config * isa.RC_COLUMNS) << 1)
                | ((action & 0xFF) << 32)
                | ((on_control & 0xFF) << 40)
            )


def _visit_all(W: np.ndarray, has_code: np.ndarray) -> None:
    """Every PE with code gets a first visit: tasks that are active from the start."""
    l0, l1 = int(W[s.G_L0]), int(W[s.G_L1])
    bits = np.zeros(l0 * 64, bool)
    bits[: len(has_code)] = has_code
    words = np.packbits(bits, bitorder="little").view(np.int64)
    at = int(W[s.G_BITS_C]) + 1 * (l0 + l1)
    W[at : at + l0] = words
    upper = np.zeros(l1 * 64, bool)
    upper[:l0] = words != 0
    W[at + l0 : at + l0 + l1] = np.packbits(upper, bitorder="little").view(np.int64)
    W[s.G_OCC_C] = 2 if bits.any() else 0


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
    table = np.array([*(config.rx | (config.tx << 6) for config in fabric.configs), 0], np.int64)
    present, config_of, index_of = {}, {}, {}
    for color, array in fabric.color.items():
        index = np.asarray(array).reshape(npe)
        present[color] = index >= 0
        index_of[color] = index.astype(np.int64)
        config_of[color] = np.where(index >= 0, table[index], 0)
    for colors, default, extra in (
        (fabric.host_in, (1 << HOST) | (1 << RAMP) << 6, 1 << HOST),
        (fabric.host_out, (1 << RAMP) | (1 << HOST) << 6, (1 << HOST) << 6),
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
                extra_of = np.where(own >> 6 == 0, extra, 0)
            else:
                extra_of = extra
            config_of[color] = np.where(present[color], own | extra_of, np.where(missing, default, 0))
            present[color] = present[color] | missing
    return {c: p for c, p in present.items() if p.any()}, config_of, index_of
