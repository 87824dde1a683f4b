"""The instruction set of tile programs: a register machine with 64-bit registers.

An instruction is four int32 words `(w, a, b, c)`; `w` holds the opcode in bits 0-7 and a `Ty` in bits 8-11, `FREE` in
bit 12 (the loader adds the cycle cost of the timing profile in bits 16-31). Registers are numbered from the frame
pointer; `r0` always reads 0.

Register contents, by type (always kept in this normal form):
  signed integers sign-extended, unsigned zero-extended to 64 bits; bool 0 or 1; f16 its 16 bits, f32 its 32 bits,
  zero-extended; pointers the byte address inside the PE's memory (functions: the index of the function); color, task
  ids, queues, ut_id, direction, enums: their number; DSDs: the packed form of words.py; a DSR: its dense index in
  `TileProgram.dsrs`.

Calls: `CALL f, base` opens a frame at fp+base. The caller has put the arguments into r[base+1..]; the result is in
r[base+1] afterwards. r[base-1] is overwritten with the return link, so `base` must leave that register free. A task
starts with an empty frame whose return link is -1; RET through it ends the task.

Memory is byte addressed, little endian, any 2-byte alignment is legal for 16-bit and wider accesses.
"""

from __future__ import annotations

from enum import IntEnum

from .words import Instruction


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


FREE = (
    Instruction.free.mask
)  # in `w`: takes no cycle (loop control that the hardware or an unrolled loop does not have)


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
    ROUTE_GET = 15  # r[a] = packed route (words.Route) of color r[b] at this PE's router
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
    """What a DSD is: `kind` of words.Dsd."""

    NONE = 0
    MEM1D = 1
    MEM4D = 2
    FABIN = 3
    FABOUT = 4
    CIRCBUF = 5
    FIFO = 6


RECORD_REGISTERS = 7  # registers from the base of a DSDOP: operands, index, two action ids


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


class Simd(IntEnum):
    OFF = 0
    SIMD_32 = 1
    SIMD_64 = 2
    SIMD_MAX = 3  # simd_32_or_64 (WSE-2), simd_max (WSE-3)


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
