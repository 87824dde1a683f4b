"""From a Program to the machine's arrays.

Built with numpy throughout: a wafer of 518,400 PEs is a handful of array expressions. What is ragged (memory, registers, queues,
...) is laid out tile program by tile program, so that it is rectangular for each.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..diag import Diagnostic, MeshlangError
from ..ir import isa
from ..ir.dsdops import DSD_OPS, DsdOpCode
from ..ir.program import EAST, HOST, NORTH, RAMP, SOUTH, WEST, Program, TileProgram
from . import alu
from . import state as s
from .bulk import MEMORY_START
from .exceptions import CHECKED, CHECKED_OPS
from .extensions import EXTENSION_LIMIT, Extensions
from .timing import Profile
from .trace import FLIGHT, FLIGHT_WORDS

O = isa.Op
_TYPE = {"i16": isa.Ty.I16, "u16": isa.Ty.U16, "i32": isa.Ty.I32, "u32": isa.Ty.U32, "f16": isa.Ty.F16, "f32": isa.Ty.F32,
         "bool": isa.Ty.U16}
_ELEMENT = {"h": 2, "w": 2, "s": 4, "d": 4}
SPARE_QUEUE = 8         # id of the output queue that stands for "the compiler chooses" (WSE-2)


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
    code_base: list[int]            # first instruction of each tile program
    function_base: list[int]        # row in T of each tile program's first function
    row_tiles: list[tuple[int, int, int]]       # (first row in T, tile, number of operations)
    tile_pes: list[np.ndarray]
    tile_of: np.ndarray             # [pe]
    channels: dict[int, np.ndarray]     # color -> channel index (in U) per PE, -1 where there is none
    hin_index: dict[int, int]
    channel_region: tuple[int, int]     # in U
    entry_regions: list[tuple[int, int]]
    input_colors: list[dict[int, int]]  # tile -> color -> dense input queue
    lines: list[Any]                # span of each source line that notes can name


def unsupported(what: str) -> MeshlangError:
    return MeshlangError(Diagnostic("MS0850", f"not supported by this version: {what}"))


def operation_costs(profile: Profile) -> list[int]:
    """Cycles of each opcode."""
    c = {name: int(profile[f"scalar.{name}"]) for name in (
        "move", "alu", "load", "store", "copy", "multiply", "divide", "float", "float_divide", "function", "branch", "jump", "call",
        "ret", "check", "dsr_load", "dsd_edit", "task_control", "system")}
    groups = {
        "move": (O.MOV, O.LDI, O.LDIH), "load": (O.LD,), "store": (O.ST,), "copy": (O.COPY,),
        "multiply": (O.MUL, O.MULI), "divide": (O.DIV, O.REM), "float": (O.FADD, O.FSUB, O.FMUL, O.I2F, O.F2I, O.F2F, O.F2B),
        "float_divide": (O.FDIV,), "function": (O.FUN1, O.FUN2), "branch": (O.JZ, O.JNZ), "jump": (O.JMP,),
        "call": (O.CALL, O.CALLR, O.TCALL), "ret": (O.RET,), "check": (O.NOP, O.CHK, O.ASSERT, O.TRAP, O.PRINT),
        "dsr_load": (O.DSRLD, O.DSRGET, O.DSRBASE, O.DSRADV),
        "dsd_edit": (O.DBASE, O.DINC, O.DLEN, O.DSTRIDE, O.BINS, O.DCOUNT),
        "task_control": (O.ACTIVATE, O.BLOCK, O.UNBLOCK, O.UTBLOCK, O.UTUNBLOCK), "system": (O.SYS,),
    }
    costs = [c["alu"]] * 256
    for name, ops in groups.items():
        for op in ops:
            costs[op] = c[name]
    costs[O.DSDOP] = 0                      # its cost is computed when it runs
    return costs


def operation_table(profile: Profile) -> list[int]:
    """Rows of operation information: element sizes, rate, extra set-up, kernel, whether it accumulates, rate of a reduction."""
    table = np.zeros((64, s.OI), np.int64)
    for name, op in DSD_OPS.items():
        row = table[op.code]
        row[s.OI_DST] = _ELEMENT[op.dst]
        for i, letter in enumerate(op.src):
            row[s.OI_S0 + i] = _ELEMENT[letter]
        row[s.OI_RATE] = round(65536 / float(profile.get(f"dsd.width.{name}", 1)))
        row[s.OI_SETUP] = int(profile.get(f"dsd.extra.{name}", 0))
        row[s.OI_CLASS] = alu.KERNEL_CLASS.get(int(op.code), 0)
        row[s.OI_ACC] = op.accumulates
        row[s.OI_REDUCE] = round(65536 * float(profile["dsd.reduction"]))
    table[DsdOpCode.DFILT, [s.OI_S0, s.OI_RATE]] = 4, 65536         # looks at whole wavelets, one a cycle
    return table.ravel().tolist()


def _looks_closely(tile: TileProgram) -> bool:
    """Does the program stop microthreads or ask how full its queues are? Then no wavelet may be consumed before it has arrived."""
    code = np.array(tile.code, np.int32).reshape(-1, 4)
    kind = code[:, 0] & 0xff
    asks = (kind == O.SYS) & np.isin(code[:, 3], (isa.Sys.IQ_STATUS, isa.Sys.QUEUE_FLUSH, isa.Sys.QUEUE_COLOR))
    return bool((asks | np.isin(kind, (O.UTBLOCK, O.UTUNBLOCK))).any())


def _plain_words(tile: TileProgram) -> bool:
    """Does the program use the words of the configuration space that are plain storage? An address of run time may be one of them."""
    code = np.asarray(tile.code, np.int32).reshape(-1, 4)
    system = code[:, 0] & 0xff == O.SYS
    return bool(tile.registers) or bool((system & np.isin(code[:, 3], (isa.Sys.REGISTER_GET, isa.Sys.REGISTER_SET))).any())


def _memory_size(tile: TileProgram) -> int:
    end = max([len(tile.image), *(o.address + o.size for o in tile.objects)], default=0)
    return (end + 7) & ~7


def _relocate(tile: TileProgram, code_base: int, functions: int, ops: int, configs: int, strings: int,
              costs: list[int]) -> np.ndarray:
    """Absolute targets and table rows, and the cost in the upper half of w."""
    code = np.array(tile.code, np.int32).reshape(-1, 4)
    kind = code[:, 0] & 0xff
    if len(code) and kind.max() > max(O):
        raise MeshlangError(Diagnostic("MS0801", f"{tile.name}: unknown instruction {kind.max()}"))

    def where(*wanted: O) -> np.ndarray:
        return np.isin(kind, np.array(wanted))

    def checked(rows: np.ndarray, column: int, limit: int, what: str) -> None:
        bad = rows & ((code[:, column] < 0) | (code[:, column] >= limit))
        if bad.any():
            pc = int(np.argmax(bad))
            raise MeshlangError(Diagnostic("MS0801", f"{tile.name}: instruction {pc} names {what} {code[pc, column]} of {limit}",
                                           span=tile.spans[pc] if pc < len(tile.spans) else None))

    n = len(code)
    checked(where(O.JMP), 1, n, "target")
    checked(where(O.JZ, O.JNZ), 2, n, "target")
    checked(where(O.CALL, O.TCALL), 1, len(tile.functions), "function")
    checked(where(O.DSDOP), 1, len(tile.dsd_ops), "operation")
    checked(where(O.DSRLD, O.DSRBASE, O.DSRADV), 1, len(tile.dsrs), "DSR")
    checked(where(O.DSRGET), 2, len(tile.dsrs), "DSR")
    code[where(O.JMP), 1] += code_base
    code[where(O.JZ, O.JNZ), 2] += code_base
    calls = where(O.CALL, O.TCALL)
    code[calls, 1] = functions + code[calls, 1] * s.FK
    rows = where(O.DSDOP)
    code[rows, 1] = ops + code[rows, 1] * s.ROW
    rows = where(O.DSRLD) & (code[:, 3] >= 0)
    code[rows, 3] = configs + code[rows, 3] * isa.RC_COLUMNS
    for op, column in ((O.ASSERT, 2), (O.TRAP, 1), (O.PRINT, 2)):
        rows = where(op) & (code[:, column] >= 0)
        code[rows, column] += strings
    cost = np.where(code[:, 0] & isa.FREE, 0, np.array(costs, np.int32)[kind])
    code[:, 0] = (code[:, 0] & 0xffff) | (cost << 16)
    if tile.exceptions != 0xffff or (where(O.SYS) & (code[:, 3] == isa.Sys.EXCEPTION_MASK)).any():
        code[where(*CHECKED_OPS), 0] |= CHECKED
    return code


def _microthreads(tile: TileProgram) -> list[int]:
    """Ids the program can use: none without asynchronous operations, else its queues' ids and those named."""
    ops = np.asarray(tile.dsd_ops, np.int32).reshape(-1, isa.OP_COLUMNS)
    configs = np.asarray(tile.dsr_configs, np.int32).reshape(-1, isa.RC_COLUMNS)
    if not (ops[:, isa.OP_ASYNC].any() or configs[:, isa.RC_ASYNC].any()):
        return []
    ids = {q.id for q in tile.inputs} | {q.id for q in tile.outputs}
    ids |= {int(u) for u in ops[:, isa.OP_UT] if u >= 0} | {int(u) for u in configs[:, isa.RC_UT] if u >= 0}
    return sorted(i for i in ids if i < 8)


def load(program: Program, profile: Profile) -> State:
    """Build the machine's arrays."""
    fabric = program.fabric
    width, height = fabric.width, fabric.height
    npe = width * height
    wse3 = program.arch == "wse3"
    tile_of = np.asarray(fabric.tile, np.int64).reshape(npe)
    tile_pes = [np.flatnonzero(tile_of == t) for t in range(len(program.tiles))]
    ramp = int(profile["fabric.ramp"])
    depths_in, depths_out = profile["queues.input"], profile["queues.output"]

    # ------------------------------------------------------------ tables and code
    costs = operation_costs(profile)
    table = operation_table(profile)
    table += [0] * (len(program.tiles) * s.TT)
    strings: list[str] = []
    codes: list[np.ndarray] = []
    code_base, function_base, row_tiles, input_colors, memory_sizes, uts = [], [], [], [], [], []
    outputs_of = []
    position = 0
    for t, tile in enumerate(program.tiles):
        record = s.T_TILES + t * s.TT
        functions = len(table)
        for f in tile.functions:
            table += [position + f.entry, f.params, f.frame, 0]
        tasks = len(table)
        kinds = {"data": 1, "local": 2, "control": 3}
        rows = np.zeros((128, s.KK), np.int64)
        for task in tile.tasks:
            if len(task.arg_types) > 2 or any(a not in _TYPE for a in task.arg_types):
                raise unsupported(f"task {task.name} with arguments ({', '.join(task.arg_types)})")
            types = 0
            for i, a in enumerate(task.arg_types):
                types |= int(_TYPE[a]) << (4 * i)
            rows[task.id + (64 if task.kind == "control" else 0)] = (
                kinds[task.kind], functions + task.function * s.FK, len(task.arg_types), types)
        for pair, (task_id, _, limit) in enumerate(tile.rotating):
            rows[task_id, 3] |= (pair + 1) << 16
            table[record + s.TT_LIMIT + pair] = limit
        table += rows.ravel().tolist()
        objects = len(table)
        ordered = sorted(tile.objects, key=lambda o: o.address)
        for o in ordered:
            table += [o.address, o.size]
        mem4d = len(table)
        table += np.asarray(tile.mem4d, np.int32).ravel().tolist()
        operations = len(table)
        ops = np.asarray(tile.dsd_ops, np.int32).reshape(-1, isa.OP_COLUMNS)
        wide = np.zeros((len(ops), s.ROW), np.int32)
        wide[:, :isa.OP_COLUMNS] = ops
        table += wide.ravel().tolist()
        row_tiles.append((operations, t, len(ops)))
        configs = len(table)
        table += np.asarray(tile.dsr_configs, np.int32).ravel().tolist()
        inputs = list(tile.inputs)
        outputs = [(q.id, -1 if q.color is None else q.color) for q in tile.outputs]
        if not wse3:
            outputs.append((SPARE_QUEUE, -1))
        outputs_of.append(outputs)
        inqueues = len(table)
        for q in inputs:
            table += [q.id, -1 if q.color is None else q.color]
        outqueues = len(table)
        for q in outputs:
            table += list(q)
        fifos = len(table)
        table += np.asarray(tile.fifos, np.int32).ravel().tolist()
        threads = _microthreads(tile)
        elements = np.isin(np.asarray(tile.code).reshape(-1, 4)[:, 0] & 0xff, (O.ELD, O.EST)).any()
        uts.append((1 + len(threads)) if len(ops) or elements else 0)       # the first is the main thread's
        table[record + s.TT_FUNCS], table[record + s.TT_NFUNCS] = functions, len(tile.functions)
        table[record + s.TT_TASKS] = tasks
        table[record + s.TT_OBJS], table[record + s.TT_NOBJS] = objects, len(ordered)
        table[record + s.TT_MEM4D] = mem4d
        table[record + s.TT_FIFOS], table[record + s.TT_NFIFOS] = fifos, len(tile.fifos)
        table[record + s.TT_NIQ], table[record + s.TT_NOQ] = len(inputs), len(outputs)
        table[record + s.TT_IQMAP], table[record + s.TT_OQMAP] = inqueues, outqueues
        table[record + s.TT_NUT], table[record + s.TT_NDSR] = uts[-1], len(tile.dsrs)
        for i in range(8):
            table[record + s.TT_UTMAP + i] = 1 + threads.index(i) if i in threads else -1
        codes.append(_relocate(tile, position, functions, operations, configs, len(strings), costs))
        code_base.append(position)
        function_base.append(functions)
        position += len(codes[-1])
        strings += tile.strings
        input_colors.append({q.color: i for i, q in reversed(list(enumerate(inputs))) if q.color is not None})
        memory_sizes.append(_memory_size(tile))
        table_configs = configs
        for dense, packed, config, action, on_control in tile.dsr_init:
            del dense, packed, action, on_control
            if config >= len(np.asarray(tile.dsr_configs).reshape(-1, isa.RC_COLUMNS)):
                raise MeshlangError(Diagnostic("MS0801", f"{tile.name}: DSR configuration {config} does not exist"))
        row_tiles[-1] = (operations, t, len(ops), table_configs)
    lines, line_of = _source_lines(program)
    line_table = len(table)
    T = np.concatenate([np.array(table, np.int32), *line_of])
    C = np.concatenate([c.ravel() for c in codes] or [np.zeros(4, np.int32)]).astype(np.int32)

    # ------------------------------------------------------------ channels
    present, config_of, index_of = _routes(program, tile_of)
    extensions = Extensions(program, tile_of, present, index_of)
    colors = sorted(present)
    count = np.zeros(npe, np.int64)
    slot = {}
    for color in colors:
        slot[color] = count.copy()
        count += present[color]
    first_channel = (npe * s.RK + 15) & ~15
    base = first_channel + (np.cumsum(count) - count) * 16
    total = int(count.sum())
    queue_start = first_channel + total * 16

    # ------------------------------------------------------------ sizes of the ragged parts
    I_end = s.P0 + npe * s.PK
    U_end = queue_start
    M_end = MEMORY_START
    layout = []
    regions = []
    for t, tile in enumerate(program.tiles):
        n = len(tile_pes[t])
        registers = tile.stack_registers + 4
        caps_in = [int(depths_in[q.id]) + ramp for q in tile.inputs]
        caps_out = [int(depths_out[i]) if i < len(depths_out) else int(depths_out[0]) for i, _ in outputs_of[t]]
        row = {"registers": registers, "reg": I_end, "caps_in": caps_in, "caps_out": caps_out}
        I_end += n * registers
        row["dsr"], I_end = I_end, I_end + n * 2 * len(tile.dsrs)
        row["ut"] = (I_end + 7) & ~7            # on cache lines
        I_end = row["ut"] + n * s.TK * uts[t]
        row["fifo"], I_end = I_end, I_end + n * s.FFK * len(tile.fifos)
        row["iq"] = (U_end + 15) & ~15          # on cache lines
        U_end = row["iq"] + n * s.QK * len(caps_in)
        row["oq"], U_end = U_end, U_end + n * s.QK * len(caps_out)
        row["entries"] = U_end
        U_end += n * s.EK * (sum(caps_in) + sum(caps_out))
        regions.append((row["entries"], U_end))
        room = memory_sizes[t] + (2 * isa.PLAIN_COUNT if _plain_words(tile) else 0)       # its words lie behind the memory
        row["room"], row["mem"], M_end = room, M_end, M_end + n * room
        layout.append(row)
    extension_start, I_end = I_end, I_end + s.XK * (extensions.total + 1)
    # wheels and logs
    l0 = (npe + 63) // 64
    l1 = (l0 + 63) // 64
    bits_r, I_end = I_end, I_end + 64 * (l0 + l1)
    bits_c, I_end = I_end, I_end + 64 * (l0 + l1)
    hosts_out = sum(int(present[c].sum()) for c in fabric.host_out if c in present)
    plog_cap = 1 << 14
    hlog_cap = max(1 << 16, 2 * hosts_out) if hosts_out else 1
    plog, I_end = I_end, I_end + plog_cap * s.LK
    notes, I_end = I_end, I_end + s.NOTES * (s.NK + l0)
    hlog, I_end = I_end, I_end + hlog_cap
    flight, I_end = I_end, I_end + FLIGHT * FLIGHT_WORDS
    if U_end >= s.OFF_RECTANGLE or extensions.total > EXTENSION_LIMIT:
        raise MeshlangError(Diagnostic("MS0842", f"the fabric of {npe} PEs with {total} channels is too large for this engine"))

    W = _on_cache_lines(I_end, np.int64)
    U = _on_cache_lines(U_end, np.uint32)
    M64 = np.zeros((M_end + 64) // 8, np.uint64)
    M8, M16, M32 = M64.view(np.uint8), M64.view(np.uint16), M64.view(np.uint32)

    # ------------------------------------------------------------ globals
    W[s.G_NOW] = 1
    W[s.G_NPE], W[s.G_WIDTH], W[s.G_HEIGHT] = npe, width, height
    W[s.G_L0], W[s.G_L1], W[s.G_BITS_R], W[s.G_BITS_C] = l0, l1, bits_r, bits_c
    W[s.G_PLOG], W[s.G_PLOGCAP], W[s.G_HLOG], W[s.G_HLOGCAP], W[s.G_NHOUT] = plog, plog_cap, hlog, hlog_cap, hosts_out
    W[s.G_FLIGHT] = flight
    W[s.G_WSE3] = wse3
    W[s.G_NOTES], W[s.G_LINES] = notes, line_table
    W[s.G_X] = extension_start
    for index, name in ((s.G_HOP, "fabric.hop"), (s.G_RAMP, "fabric.ramp"), (s.G_SETUP, "dsd.setup"), (s.G_SETUP_DSR, "dsd.setup_dsr"),
                        (s.G_SETUP_V, "dsd.setup_vector"), (s.G_SETUP_S, "dsd.setup_scalar"), (s.G_FSETUP, "dsd.fabric_setup"),
                        (s.G_ISSUE, "dsd.issue"), (s.G_TASK_START, "task.start"), (s.G_TASK_END, "task.end"),
                        (s.G_DONE, "task.completion"), (s.G_TAKEN, "scalar.taken"), (s.G_LAUNCH, "fabric.launch_latency"),
                        (s.G_LAUNCHHOP, "fabric.launch_hop"), (s.G_SYNCDONE, "dsd.sync_done")):
        W[index] = int(profile[name])
    if not (1 <= W[s.G_HOP] <= 2 and 2 <= W[s.G_RAMP] <= 8):
        raise MeshlangError(Diagnostic("MS0840", f"profile {profile.name}: the engine needs a hop of 1 or 2 and a ramp of 2 to 8 cycles"))
    W[s.G_QUANTUM] = 20_000
    small = M_end >> 1 < 1 << 32                     # Q_XAT has 32 bits
    W[s.G_EXPRESS] = small and W[s.G_FSETUP] > W[s.G_RAMP] and not any(_looks_closely(tile) for tile in program.tiles)
    for ty, size in isa.TY_SIZE.items():
        W[s.G_MASK + ty] = _signed((1 << 8 * size) - 1)
        W[s.G_SIGN + ty] = 1 << (8 * size - 1) if ty in (isa.Ty.I32, isa.Ty.I16, isa.Ty.I8) else 0
    W[s.G_HIN:s.G_HIN + 32] = -1
    hin_index = {color: i for i, color in enumerate(sorted(c for c in fabric.host_in if c in present))}
    for color, i in hin_index.items():
        W[s.G_HIN + color] = i

    # ------------------------------------------------------------ routers
    R = U[:npe * s.RK].reshape(npe, s.RK)
    R[:, s.R_BASE], R[:, s.R_N] = base, count
    H = U[first_channel:queue_start].reshape(total, 16)
    pe_y, pe_x = np.divmod(np.arange(npe), width)
    channels = {}
    iq_of = np.full((len(program.tiles) + 1, 32), 15, np.int64)
    for t, known in enumerate(input_colors):
        for color, q in known.items():
            iq_of[t, color] = q
    for color in colors:
        has = present[color]
        channel = np.where(has, base + slot[color] * 16, -1)
        channels[color] = channel
    for color in colors:
        pes = np.flatnonzero(present[color])
        rows = (channels[color][pes] - first_channel) // 16
        cfg = config_of[color][pes]
        H[rows, s.CH_CONFIG] = cfg | (color << 12) | (iq_of[tile_of[pes], color] << 17)
        H[rows, s.CH_POP] = 0           # the clock starts at 1: long ago
        H[rows, s.CH_PUSH] = 0
        for direction, dx, dy in ((NORTH, 0, -1), (SOUTH, 0, 1), (EAST, 1, 0), (WEST, -1, 0)):
            x, y = pe_x[pes] + dx, pe_y[pes] + dy
            inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
            there = np.where(inside, y * width + x, 0)
            near = extensions.arrivals(channels, color, direction, there)
            H[rows, s.CH_NEAR + direction] = np.where(inside, np.where(near >= 0, near, s.NO_CHANNEL), s.OFF_RECTANGLE)

    extensions.fill(W, H, channels, first_channel)

    # ------------------------------------------------------------ PEs
    P = W[s.P0:s.P0 + npe * s.PK].reshape(npe, s.PK)
    P[:, s.P_TILE] = -1
    P[:, s.P_TASK] = -1
    for t, tile in enumerate(program.tiles):
        pes, row = tile_pes[t], layout[t]
        n = len(pes)
        if n == 0:
            continue
        index = np.arange(n)
        P[pes, s.P_TILE] = s.T_TILES + t * s.TT
        P[pes, s.P_ACTIVE], P[pes, s.P_BLOCKED] = _signed(tile.active), _signed(tile.blocked)
        P[pes, s.P_RR] = 63
        P[pes, s.P_MEM], P[pes, s.P_MEMSIZE] = row["mem"] + index * row["room"], memory_sizes[t]
        if row["room"] != memory_sizes[t]:
            P[pes, s.P_PLAIN] = P[pes, s.P_MEM] + memory_sizes[t]
        P[pes, s.P_TRANSFORM], P[pes, s.P_UNMASKED] = tile.transform << 26, ~tile.exceptions & 0xffff
        P[pes, s.P_REG] = row["reg"] + index * row["registers"]
        P[pes, s.P_REGEND] = row["reg"] + (index + 1) * row["registers"]
        P[pes, s.P_DSR] = row["dsr"] + index * 2 * len(tile.dsrs)
        P[pes, s.P_UT] = row["ut"] + index * s.TK * uts[t]
        P[pes, s.P_TSCON] = 0
        P[pes, s.P_FIFO] = row["fifo"] + index * s.FFK * len(tile.fifos)
        P[pes, s.P_SYSTEM] = any(task.kind == "local" and task.id == 29 for task in tile.tasks)
        nin, nout = len(row["caps_in"]), len(row["caps_out"])
        P[pes, s.P_IQ] = row["iq"] + index * s.QK * nin
        P[pes, s.P_OQ] = row["oq"] + index * s.QK * nout
        R[pes, s.R_IQ] = P[pes, s.P_IQ]
        ut_blocked = 0
        for i in range(8):
            dense = int(T[s.T_TILES + t * s.TT + s.TT_UTMAP + i])
            if tile.ut_blocked >> i & 1 and dense >= 0:
                ut_blocked |= 1 << dense
        P[pes, s.P_UTBLOCK] = ut_blocked
        P[pes, s.P_TASKPRIO] = _signed(tile.high)
        for pair, (_, init, _) in enumerate(tile.rotating):
            P[pes, s.P_ROTATE + pair] = init
        image = np.asarray(tile.image, np.uint8)
        memories = M8[row["mem"]:row["mem"] + n * row["room"]].reshape(n, row["room"])
        if image.any():
            memories[:, :len(image)] = image
        for address, value in tile.registers:
            memories[:, memory_sizes[t] + 2 * (address - isa.PLAIN_REGISTERS):][:, :2] = (value & 0xff, value >> 8)
        entries = row["entries"] + index * s.EK * (sum(row["caps_in"]) + sum(row["caps_out"]))
        for which, queues, caps in (("iq", [(q.id, q.color) for q in tile.inputs], row["caps_in"]),
                                    ("oq", outputs_of[t], row["caps_out"])):
            block = U[row[which]:row[which] + n * s.QK * len(caps)].reshape(n, len(caps), s.QK)
            for i, ((ident, color), cap) in enumerate(zip(queues, caps, strict=True)):
                block[:, i, s.Q_BUF] = entries
                block[:, i, s.Q_CAP] = cap
                block[:, i, s.Q_ID] = ident
                block[:, i, s.Q_COLOR] = 31 if color is None or color < 0 else color
                block[:, i, s.Q_DEPTH] = cap - ramp if which == "iq" else cap
                if which == "iq" and color in channels:
                    block[:, i, s.Q_CHANNEL] = np.maximum(channels[color][pes], 0)
                entries = entries + cap * s.EK
        configs = row_tiles[t][3]
        block = W[row["dsr"]:row["dsr"] + n * 2 * len(tile.dsrs)].reshape(n, -1)
        for dense, packed, config, action, on_control in tile.dsr_init:
            block[:, 2 * dense] = _signed(packed)
            if config >= 0:
                block[:, 2 * dense + 1] = (1 | ((configs + config * isa.RC_COLUMNS) << 1) | ((action & 0xff) << 32)
                                           | ((on_control & 0xff) << 40))

    # every PE gets a first visit: tasks that are active from the start
    bits = np.zeros(l0 * 64, bool)
    bits[:npe] = tile_of >= 0
    words = np.packbits(bits, bitorder="little").view(np.int64)
    at = bits_c + 1 * (l0 + l1)
    W[at:at + l0] = words
    upper = np.zeros(l1 * 64, bool)
    upper[:l0] = words != 0
    W[at + l0:at + l0 + l1] = np.packbits(upper, bitorder="little").view(np.int64)
    W[s.G_OCC_C] = 2 if bits.any() else 0
    return State(W, U, C, T, M8, M16, M32, strings, code_base, function_base, [r[:3] for r in row_tiles], tile_pes, tile_of,
                 channels, hin_index, (first_channel, queue_start), regions, input_colors, lines)


def _on_cache_lines(n: int, dtype: Any) -> np.ndarray:
    """n zeros, the first of them at the start of a cache line."""
    size = np.dtype(dtype).itemsize
    raw = np.zeros(n + 64 // size, dtype)
    shift = (-raw.ctypes.data % 64) // size
    return raw[shift:shift + n]


def _signed(mask: int) -> int:
    """A 64-bit mask as a signed number."""
    mask &= (1 << 64) - 1
    return mask - (1 << 64) if mask >> 63 else mask


def _source_lines(program: Program) -> tuple[list[Any], list[np.ndarray]]:
    """Number the source lines of vector operations and element accesses, the same line of several tile programs once: a span for each
    number, and per tile program the number for each instruction."""
    spans: list[Any] = []
    numbers: dict[Any, int] = {}
    tables = []
    for t, tile in enumerate(program.tiles):
        code = np.asarray(tile.code, np.int32).reshape(-1, 4)
        table = np.zeros(len(code), np.int32)
        for pc in np.flatnonzero(np.isin(code[:, 0] & 0xff, (O.DSDOP, O.ELD, O.EST))).tolist():
            span = tile.spans[pc] if pc < len(tile.spans) else None
            key = (t, pc) if span is None else (span.file.path, span.line_col()[0])
            if key not in numbers:
                numbers[key] = len(spans)
                spans.append(span)
            table[pc] = numbers[key]
        tables.append(table)
    return spans, tables


def _routes(program: Program, tile_of: np.ndarray) -> tuple[dict[int, np.ndarray], dict[int, np.ndarray], dict[int, np.ndarray]]:
    """Which PEs have a channel of each color, its base rx | tx << 6, and the number of its configuration or -1."""
    fabric = program.fabric
    npe = fabric.width * fabric.height
    words = []
    for config in fabric.configs:
        words.append(config.rx | (config.tx << 6))
    table = np.array(words + [0], np.int64)
    present, config_of, index_of = {}, {}, {}
    for color, array in fabric.color.items():
        index = np.asarray(array).reshape(npe)
        present[color] = index >= 0
        index_of[color] = index.astype(np.int64)
        config_of[color] = np.where(index >= 0, table[index], 0)
    for colors, default, extra in ((fabric.host_in, (1 << HOST) | (1 << RAMP) << 6, 1 << HOST),
                                   (fabric.host_out, (1 << RAMP) | (1 << HOST) << 6, (1 << HOST) << 6)):
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


