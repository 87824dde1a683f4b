"""The instruction set of tile programs: a register machine with 64-bit registers.

An instruction is four int32 words `(w, a, b, c)`; `w` holds the opcode in bits 0-7 and a `Ty` in bits 8-11, `FREE` in
bit 12 (the loader adds the cycle cost of the timing profile in bits 16-31). Registers are numbered from the frame
pointer; `r0` always reads 0.

Register contents, by type (always kept in this normal form):
  signed integers sign-extended, unsigned zero-extended to 64 bits; bool 0 or 1; f16 its 16 bits, f32 its 32 bits,
  zero-extended; pointers the byte address inside the PE's memory (functions: the index of the function); color, task
  ids, queues, ut_id, direction, enums: their number; DSDs: the packed form below; a DSR: its dense index in
  `TileProgram.dsrs`.

Calls: `CALL f, base` opens a frame at fp+base. The caller has put the arguments into r[base+1..]; the result is in
r[base+1] afterwards. r[base-1] is overwritten with the return link, so `base` must leave that register free. A task
starts with an empty frame whose return link is -1; RET through it ends the task.

Memory is byte addressed, little endian, any 2-byte alignment is legal for 16-bit and wider accesses.
"""

from __future__ import annotations

from enum import IntEnum


class Ty(IntEnum):
    """Scalar types as instructions know them."""

    I64 = 0
    U64 = 1
    I32 = 2
    U32 = 3
    I16 = 4
    U16 = 5
    I8 = 6
    U8 = 7  # also bool
    F16 = 8
    F32 = 9


TY_SIZE = {Ty.I64: 8, Ty.U64: 8, Ty.I32: 4, Ty.U32: 4, Ty.I16: 2, Ty.U16: 2, Ty.I8: 1, Ty.U8: 1, Ty.F16: 2, Ty.F32: 4}


FREE = 1 << 12  # bit of `w`: takes no cycle (loop control that the hardware or an unrolled loop does not have)


class Op(IntEnum):
    """Opcodes. `r[x]` is a register, `imm` an int32 word of the instruction, `ty` the type field."""

    NOP = 0
    # moves
    MOV = 1  # r[a] = r[b]
    LDI = 2  # r[a] = imm b (sign-extended)
    LDIH = 3  # r[a] = (r[a] & 0xffffffff) | imm b << 32
    SEL = 4  # r[a] = r[a] if r[b] else r[c]
    # memory: address r[b] + imm c
    LD = 5  # r[a] = ty at r[b] + c
    ST = 6  # ty at r[b] + c = r[a]
    COPY = 7  # copy r[c] bytes from address r[b] to address r[a] (non overlapping or forwards)
    # integers: result wrapped to ty
    ADD = 8  # r[a] = r[b] + r[c]
    SUB = 9
    MUL = 10
    DIV = 11  # truncates towards zero; fault on zero
    REM = 12  # sign of the dividend; fault on zero
    AND = 13
    OR = 14
    XOR = 15
    SHL = 16  # amount r[c] >= width of ty: fault
    SHR = 17  # arithmetic for signed ty, logical for unsigned
    NEG = 18  # r[a] = -r[b]
    NOT = 19  # r[a] = ~r[b]
    ADDI = 20  # r[a] = r[b] + imm c
    MULI = 21  # r[a] = r[b] * imm c
    WRAP = 22  # r[a] = r[b] reduced to ty (integer conversion); ty U8 with c=1: to bool (r[b] != 0)
    LNOT = 23  # r[a] = 1 if r[b] == 0 else 0
    # comparisons: r[a] = 0 or 1. Integer ty compares normal forms (U64 as unsigned); F16, F32 as floats
    EQ = 24
    NE = 25
    LT = 26
    LE = 27
    # floats, ty F16 or F32: one rounding each
    FADD = 28
    FSUB = 29
    FMUL = 30
    FDIV = 31
    FNEG = 32  # r[a] = -r[b]
    FUN1 = 33  # r[a] = MathFn(c)(r[b])
    FUN2 = 34  # r[a] = MathFn(imm of c)(r[b], r[b+1])
    # conversions; ty is the result type, c the Ty of r[b]
    I2F = 35
    F2I = 36  # truncates; out of range saturates
    F2F = 37
    F2B = 38  # r[a] = r[b] != 0.0 (NaN: 1)
    # control
    JMP = 39  # pc = imm a
    JZ = 40  # if r[a] == 0: pc = imm b
    JNZ = 41
    CALL = 42  # function index imm a, base imm b
    CALLR = 43  # function index r[a], base imm b
    TCALL = 44  # like CALL, but reuses the frame: arguments already in r1..; imm a
    RET = 45
    CHK = 46  # fault unless 0 <= r[a] < imm b (array bounds)
    ASSERT = 47  # fault unless r[a]; imm b: string index of the text or -1
    TRAP = 48  # fault; imm a: string index of the reason
    # DSD values
    DBASE = 49  # r[a] = DSD r[b] with base address r[c], element size of ty, offset dropped
    DINC = 50  # r[a] = DSD r[b] with base += r[c] * size of ty
    DLEN = 51  # r[a] = DSD r[b] with length r[c]
    DSTRIDE = 52  # r[a] = DSD r[b] with stride r[c] elements
    BINS = 53  # r[a] = r[a] with bits [c & 0xff, +(c >> 8)) set from r[b]
    # DSRs
    # DSR imm a = DSD r[b] with DSR configuration imm c (row of TileProgram.dsr_configs), action ids in r[b+1], r[b+2]
    DSRLD = 54
    DSRGET = 55  # r[a] = DSD held in DSR imm b
    DSRBASE = 56  # DSR imm a: base address = r[b], element size of ty
    # vector operations
    DSDOP = 57  # row imm a of TileProgram.dsd_ops, operands from r[b], r[c] = 1 if complete
    # element access, for @map. `a` value register, r[b] DSD, r[c] step number. Block on fabric operands
    ELD = 58  # r[a] = element r[c] of DSD r[b]; ty element type
    EST = 59  # element r[c] of DSD r[b] = r[a]
    DCOUNT = 60  # r[a] = number of steps of DSD r[b]
    DSRADV = 61  # DSR imm a: save_address step after r[b] elements (no effect without save_address)
    # tasks: id in r[a]
    ACTIVATE = 62
    BLOCK = 63
    UNBLOCK = 64
    UTBLOCK = 65  # microthread id r[a]
    UTUNBLOCK = 66
    # system
    SYS = 67  # Sys(imm c); r[a] result, r[b] argument
    PRINT = 68  # output record: Print kind imm c, value r[a], string index imm b


PE_MEMORY = 48 * 1024  # bytes of a PE's memory (facts 4.1)


class Sys(IntEnum):
    """Functions of the SYS instruction."""

    CMD_DONE = 0  # unblock_cmd_stream
    TSC = 1  # r[a] = word number r[b] (0..2) of the 48-bit counter, sampled when r[b] is 0
    TSC_ENABLE = 2  # r[b]: 1 enable (and reset), 0 disable
    TSC_RESET = 3
    X = 4  # r[a] = column in the rectangle
    Y = 5
    RANDOM16 = 6
    SET_PRNG = 7
    IQ_STATUS = 8  # r[a] = bit mask; r[b] 0: empty, 1: full
    OQ_STATUS = 9
    TASK_PRIORITY = 10  # r[b] = id | level << 8
    PERF = 11  # r[a] = word r[b] & 3 of performance counter r[b] >> 2
    MAIN_PRIORITY = 12
    FIFO_READ_LENGTH = 13  # r[b] = row of TileProgram.fifos | length << 16
    FIFO_WRITE_LENGTH = 14
    ROUTE_GET = 15  # r[a] = packed route (R_*) of color r[b] at this PE's router
    ROUTE_SET = 16  # color r[b] gets the packed route r[b+1]
    TEARDOWN_PENDING = 17  # r[a] = mask of colors whose teardown was not taken notice of; reading clears it
    TEARDOWN_EXIT = 18  # color r[b] leaves teardown
    FILTER_GET = 19  # r[a] = field (r[b] >> 8) of the filter of color r[b] & 31; fields as in FILTER_FIELDS
    FILTER_SET = 20  # the same, from r[b+1]
    QUEUE_FLUSH = 21  # output or input queue r[b] (bit 3: output): handler task when empty (WSE-3)
    FLUSH_STATUS = 22  # r[a] = mask of flushed queues: inputs in bits 0-7, outputs in 8-15
    FLUSH_EXIT = 23  # queue r[b] (bit 3: output)
    QUEUE_COLOR = 24  # queue r[b] & 7 (bit 3: output) is bound to color r[b] >> 8; it must be empty
    REGISTER_GET = 25  # r[a] = the word at word address r[b] of the configuration space (fabric.engine.switch)
    REGISTER_SET = 26  # r[b + 1] is stored there
    TRANSFORM_MASK = 27  # r[b]: its low six bits are the mask of DSDs with control_transform
    EXCEPTION_MASK = 28  # r[b]: a bit that is 0 lets that exception (FP_*) stop the PE


class Print(IntEnum):
    """Kinds of output record: what host-side formatting makes of the value."""

    TEXT = 0  # string table entry
    DEC = 1  # integer in decimal, its Ty in the type field
    HEX = 2
    BIN = 3
    FLOAT = 4
    FLUSH = 5  # end of a simprint line
    TRACE = 16  # <debug>: value with its Ty in the type field; string index = key
    TRACE_TEXT = 17
    TRACE_TIME = 18
    TRACE_BOOL = 19


class MathFn(IntEnum):
    """Functions of FUN1/FUN2; results are the correctly rounded (or best double) value, rounded once to ty."""

    SQRT = 0
    EXP = 1
    LOG = 2
    SIN = 3
    COS = 4
    TANH = 5
    FLOOR = 6
    CEIL = 7
    ABS = 8
    INVSQRT = 9
    INV = 10
    POW = 11  # FUN2
    FSCALE = 12  # FUN2: r[b] * 2 ** r[b+1]
    NORM = 13  # mantissa of frexp, in [0.5, 1)
    POPCNT = 14  # integers of ty
    CLZ = 15
    CTZ = 16


# ---------------------------------------------------------------- DSD values


class DsdKind(IntEnum):
    """Bits 0-3 of a packed DSD."""

    NONE = 0
    MEM1D = 1
    MEM4D = 2
    FABIN = 3
    FABOUT = 4
    CIRCBUF = 5
    FIFO = 6


# (first bit, width) of each field of a packed DSD
D_KIND = (0, 4)
D_BASE = (4, 16)  # mem: byte address
D_LEN = (20, 16)  # steps; 0x7fff is endless. mem4d, circbuf: row of TileProgram.mem4d
D_STRIDE = (36, 16)  # mem1d: elements, signed
D_POSITION = (36, 16)  # circbuf: element of the ring at which it begins
D_TAG = (52, 2)  # mem: log2 of the element size in bytes
D_WIO = (54, 1)  # mem, fabout: wavelet_index_offset
D_QUEUE = (4, 3)  # fabric
D_HASQ = (7, 1)
D_COLOR = (8, 5)
D_HASCOLOR = (13, 1)
D_SIMD = (36, 2)  # Simd
D_PRIO = (38, 2)  # 0 default, 1 low, 2 medium, 3 high
D_XFORM = (40, 1)  # control_transform
D_CONTROL = (41, 1)
D_ADVANCE = (42, 1)
D_ZERO = (44, 2)  # 1 first source, 2 second source

INFINITE = 0x7FFF
RECORD_REGISTERS = 7  # registers from the base of a DSDOP: operands, index, two action ids


D_FIFO = (4, 16)  # FIFO: row of TileProgram.fifos

# a packed route (Sys.ROUTE_GET, ROUTE_SET): base masks, three switch positions as changes to the position before,
# state. A mask has bits NORTH, SOUTH, EAST, WEST, RAMP as program.py numbers them.
R_RX, R_TX = (0, 5), (5, 5)
R_POS = (10, 13)  # position k at bit 10 + 13 * (k - 1): valid 1, rx given 1, rx mask 5, tx given 1, tx mask 5
R_CURRENT = (49, 2)
R_RING = (51, 1)
R_POP = (52, 2)  # no_pop, always_pop, pop_on_advance, pop_on_advance_nop
R_TEARDOWN = (54, 1)

# fields of Sys.FILTER_GET and FILTER_SET
FILTER_FIELDS = ("counter", "max_counter", "limit1")

# word addresses of the configuration space that are registers: a color's routes, and its switch (layout:
# fabric/engine/switch.py)
COLOR_REGISTERS, SWITCH_REGISTERS, COLORS = 0x7F20, 0x7F40, 24
# and words that only hold what is stored in them
PLAIN_REGISTERS, PLAIN_COUNT = 0x7E00, 0x100

# bits of an exception mask, by number (facts 8.15)
EXCEPTIONS = (
    "PERF_CNT_0_OVERFLOW",
    "PERF_CNT_1_OVERFLOW",
    "SW_EXCEPTION",
    "FP_UNDERFLOW",
    "FP_OVERFLOW",
    "FP_INEXACT",
    "FP_INVALID",
    "FP_DIV_BY_0",
)

# columns of TileProgram.fifos (int32): buffer address, capacity in elements, element bytes, task ids or -1, WSE-3
# priority, actions
FIFO_BASE, FIFO_CAPACITY, FIFO_SIZE, FIFO_PUSH, FIFO_POP, FIFO_PRIO, FIFO_ACTIONS = range(7)
FIFO_COLUMNS = 7
FIFO_TEST, FIFO_TERMINATE, FIFO_SUSPEND, FIFO_FAULT = range(4)  # FIFO_ACTIONS: when empty | when full << 4


class Simd(IntEnum):
    OFF = 0
    SIMD_32 = 1
    SIMD_64 = 2
    SIMD_MAX = 3  # simd_32_or_64 (WSE-2), simd_max (WSE-3)


# ---------------------------------------------------------------- rows of the tables an instruction names

# columns of TileProgram.dsd_ops (int32)
OP_CODE = 0  # DsdOpCode
OP_DST, OP_S0, OP_S1, OP_S2 = 1, 2, 3, 4  # Operand kinds
OP_DST_DSR, OP_S0_DSR, OP_S1_DSR, OP_S2_DSR = 5, 6, 7, 8  # dense DSR index where the kind is DSR
OP_ASYNC = 9
OP_ACTION = 10  # Action; its id is in r[base + 5]
OP_ONCTRL = 11  # Action on a control wavelet; its id is in r[base + 6]
OP_ONCTRL_SET = 12  # 1 if on_control was given (terminate = Action.NONE)
OP_UT = 13  # explicit microthread or -1
OP_PRIO = 14  # as D_PRIO
OP_INDEX = 15  # 1: wavelet index in r[base + 4]
OP_COLUMNS = 16
# operands: r[base] destination, r[base+1..3] sources (DSD value, scalar or pointer according to kind)


class Operand(IntEnum):
    NONE = 0
    DSD = 1
    DSR = 2
    SCALAR = 3
    POINTER = 4


class Action(IntEnum):
    NONE = 0
    ACTIVATE = 1
    UNBLOCK = 2


# columns of TileProgram.dsr_configs (int32); action ids come from r[b+1] and r[b+2] of DSRLD
RC_ASYNC, RC_ACTION, RC_ONCTRL, RC_ONCTRL_SET, RC_UT, RC_PRIO, RC_SAVE, RC_SINGLE_STEP = range(8)
RC_COLUMNS = 8

# columns of TileProgram.mem4d (int32): number of dimensions, extents outermost first, jump strides innermost first
# (elements)
M4_RANK, M4_EXT, M4_STRIDE = 0, 1, 5
# A circbuf_dsd is a walk in two dimensions, round after round of its ring, that begins somewhere in the ring: its outer
# extent is M4_RING, which no mem4d_dsd has, its inner one the ring's; M4_LENGTH holds its own extent.
M4_RING, M4_LENGTH = 0x7FFFFFFF, M4_EXT + 2
M4_COLUMNS = 9
