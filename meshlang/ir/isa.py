"""The instruction set of tile programs: a register machine with 64-bit registers. THE table: one row per operation.

An instruction is four int32 words `(w, a, b, c)`; `w` holds the opcode in bits 0-7 and a `Ty` in bits 8-11, `FREE` in
bit 12 (the loader adds the cycle cost of the timing profile in bits 16-31). Registers are numbered from the frame
pointer; `r0` always reads 0.

Register contents, by type (always kept in this normal form):
  signed integers sign-extended, unsigned zero-extended to 64 bits; bool 0 or 1; f16 its 16 bits, f32 its 32 bits,
  zero-extended; pointers the byte address inside the PE's memory (functions: the index of the function); color, task
  ids, queues, ut_id, direction, enums: their number; DSDs: the packed form of words.py; a DSR: its dense index in
  `TileProgram.dsrs`.

Calls: `CALL f, base` opens a frame at fp+base. The caller has put the arguments into r[base+1..]; the results are in
r[base+1..] afterwards. r[base-1] is overwritten with the return link, so `base` must leave that register free. A task
starts with an empty frame whose return link is -1; RET through it ends the task.

Memory is byte addressed, little endian, any 2-byte alignment is legal for 16-bit and wider accesses.

Everything that has to know an operation reads its row: the verifier, the listing, where code is put together and
loaded, register use (use.py), the engine's constants, the page docs/isa.md. What a row does is written in fabric/engine.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, Flag, IntEnum, auto

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

# in `w`: takes no cycle (loop control that the hardware or an unrolled loop does not have)
FREE = Instruction.free.mask

PE_MEMORY = 48 * 1024  # bytes of a PE's memory (facts 4.1)


# ---------------------------------------------------------------- what a row says


class Role(Enum):
    """What a word of an instruction is. The value is the letter that stands for it in a row; a digit behind the letter
    counts registers from there on (`r2`: r[b] and r[b+1])."""

    UNUSED = "-"
    READ = "r"  # a register that is read
    WRITE = "w"  # a register that is written; never r0
    UPDATE = "u"  # a register that is read and written
    RESULT = "o"  # a register that is written, or r0 for nobody
    IMMEDIATE = "i"
    LIMIT = "l"  # an immediate above 0
    FLAG = "1"  # 0 or 1
    BITS = "n"  # first bit | number of bits << 8 of a 64-bit word
    TARGET = "t"  # instruction of the same function
    FUNCTION = "f"
    FRAME = "b"  # where a call opens its frame
    OPERATION = "v"  # row of TileProgram.dsd_ops
    DSR = "d"  # dense index in TileProgram.dsrs
    CONFIG = "c"  # row of TileProgram.dsr_configs, or -1
    STRING = "s"  # entry of TileProgram.strings, or -1
    INTEGER = "I"  # a Ty, of an integer
    FLOAT = "F"  # a Ty, of a float
    FUNCTION1 = "m"  # a MathFn of one argument
    FUNCTION2 = "M"  # a MathFn of two
    SYSTEM = "x"  # a Sys
    PRINTED = "p"  # a Print

    @property
    def is_read(self) -> bool:
        return self in (Role.READ, Role.UPDATE)

    @property
    def is_written(self) -> bool:
        return self in (Role.WRITE, Role.UPDATE, Role.RESULT)

    @property
    def is_register(self) -> bool:
        return self.is_read or self.is_written


@dataclass(frozen=True)
class Word:
    """A word of an instruction; `count` registers for a role of registers."""

    role: Role
    count: int = 1


class Flow(Enum):
    """Where control goes."""

    NEXT = auto()
    JUMP = auto()
    BRANCH = auto()  # to the target or to the next instruction
    CALL = auto()  # and comes back to the next instruction
    RETURN = auto()
    END = auto()  # nowhere: it is a fault


class Effect(Flag):
    """What an operation does, and depends on, besides its registers. Nothing: it computes a value."""

    NONE = 0
    READ_MEMORY = auto()
    WRITE_MEMORY = auto()
    READ_DSR = auto()
    WRITE_DSR = auto()
    VECTOR = auto()  # an operation of the vector unit: queues, FIFOs, waiting
    ELEMENT = auto()  # single elements of DSDs, which may be on the fabric: it may wait, and is tried again
    TASK = auto()  # starts, blocks or unblocks tasks or microthreads
    SYSTEM = auto()  # the PE's counters, its router and queues, the host
    OUTPUT = auto()  # what a program prints
    CALL = auto()  # whatever the called function does
    # looks at queues or stops microthreads, so that no wavelet may be consumed before it has arrived
    QUEUE = auto()
    ROUTE = auto()  # asks for, or changes, what the PE's router does
    BINDING = auto()  # changes which color goes where: queues, routes
    REGISTER = auto()  # words of the configuration space
    UNMASK = auto()  # lets floating-point exceptions stop the PE


INTEGERS = (Ty.I64, Ty.U64, Ty.I32, Ty.U32, Ty.I16, Ty.U16, Ty.I8, Ty.U8)
FLOATS = (Ty.F16, Ty.F32)
NUMBERS = INTEGERS + FLOATS
ELEMENTS = (Ty.I32, Ty.U32, Ty.I16, Ty.U16, Ty.F16, Ty.F32)  # what DSDs are made of


@dataclass(frozen=True)
class Row:
    """One operation. `types`: what the type field may be (nothing: it is not used); `cost`: its key under [scalar] in
    fabric/timing/*.toml ("": what it takes is found when it runs); `faults`: names of fabric.engine.faults.Fault."""

    number: int
    shape: str
    doc: str
    types: tuple[Ty, ...] = ()
    cost: str = "alu"
    faults: tuple[str, ...] = ()
    effect: Effect = Effect.NONE
    flow: Flow = Flow.NEXT


_E = Effect


class Op(IntEnum):
    """Opcodes. `r[x]` is a register, a, b, c are the words of the instruction, `ty` is its type field."""

    row: Row
    words: tuple[Word, Word, Word]

    def __new__(cls, row: Row | int) -> Op:
        assert isinstance(row, Row)  # by number, members are looked up
        self = int.__new__(cls, row.number)
        self._value_ = row.number
        self.row = row
        a, b, c = (Word(Role(part[0]), int(part[1:] or 1)) for part in row.shape.split())
        self.words = (a, b, c)
        return self

    NOP = Row(0, "- - -", "nothing", cost="check")
    # moves
    MOV = Row(1, "w r -", "r[a] = r[b]", cost="move")
    LDI = Row(2, "w i -", "r[a] = b, sign-extended", cost="move")
    LDIH = Row(3, "u i -", "r[a] = r[a] & 0xffffffff | b << 32", cost="move")
    SEL = Row(4, "u r r", "r[a] = r[a] if r[b] else r[c]")
    # memory
    LD = Row(
        5, "w r i", "r[a] = ty at address r[b] + c", NUMBERS, "load", ("LOAD", "NO_COLOR"), _E.READ_MEMORY | _E.SYSTEM
    )
    ST = Row(
        6,
        "r r i",
        "ty at address r[b] + c = r[a]",
        NUMBERS,
        "store",
        ("STORE", "NO_COLOR"),
        _E.WRITE_MEMORY | _E.SYSTEM,
    )
    COPY = Row(
        7,
        "r r r",
        "copy r[c] bytes from address r[b] to address r[a], forwards",
        (),
        "copy",
        ("COPY",),
        _E.READ_MEMORY | _E.WRITE_MEMORY,
    )
    # integers: the result is wrapped to ty
    ADD = Row(8, "w r r", "r[a] = r[b] + r[c]", INTEGERS)
    SUB = Row(9, "w r r", "r[a] = r[b] - r[c]", INTEGERS)
    MUL = Row(10, "w r r", "r[a] = r[b] * r[c]", INTEGERS, "multiply")
    DIV = Row(11, "w r r", "r[a] = r[b] / r[c], towards zero", INTEGERS, "divide", ("DIV_ZERO",))
    REM = Row(12, "w r r", "r[a] = remainder of r[b] / r[c], sign of r[b]", INTEGERS, "divide", ("DIV_ZERO",))
    AND = Row(13, "w r r", "r[a] = r[b] & r[c]", INTEGERS)
    OR = Row(14, "w r r", "r[a] = r[b] | r[c]", INTEGERS)
    XOR = Row(15, "w r r", "r[a] = r[b] ^ r[c]", INTEGERS)
    SHL = Row(16, "w r r", "r[a] = r[b] << r[c]; the amount must be less than the width", INTEGERS, faults=("SHIFT",))
    SHR = Row(17, "w r r", "r[a] = r[b] >> r[c], with the sign of a signed ty", INTEGERS, faults=("SHIFT",))
    NEG = Row(18, "w r -", "r[a] = -r[b]", INTEGERS)
    NOT = Row(19, "w r -", "r[a] = ~r[b]", INTEGERS)
    ADDI = Row(20, "w r i", "r[a] = r[b] + c", INTEGERS)
    MULI = Row(21, "w r i", "r[a] = r[b] * c", INTEGERS, "multiply")
    WRAP = Row(22, "w r 1", "r[a] = r[b] reduced to ty; with c = 1 to bool (r[b] != 0)", INTEGERS)
    LNOT = Row(23, "w r -", "r[a] = 1 if r[b] == 0 else 0")
    # comparisons: r[a] = 0 or 1; integers by their normal forms (U64 as unsigned), floats as floats
    EQ = Row(24, "w r r", "r[a] = r[b] == r[c]", NUMBERS)
    NE = Row(25, "w r r", "r[a] = r[b] != r[c]", NUMBERS)
    LT = Row(26, "w r r", "r[a] = r[b] < r[c]", NUMBERS)
    LE = Row(27, "w r r", "r[a] = r[b] <= r[c]", NUMBERS)
    # floats: one rounding each
    FADD = Row(28, "w r r", "r[a] = r[b] + r[c]", FLOATS, "float", ("EXCEPTION",))
    FSUB = Row(29, "w r r", "r[a] = r[b] - r[c]", FLOATS, "float", ("EXCEPTION",))
    FMUL = Row(30, "w r r", "r[a] = r[b] * r[c]", FLOATS, "float", ("EXCEPTION",))
    FDIV = Row(31, "w r r", "r[a] = r[b] / r[c]", FLOATS, "float_divide", ("EXCEPTION",))
    FNEG = Row(32, "w r -", "r[a] = -r[b]", FLOATS)
    FUN1 = Row(33, "w r m", "r[a] = MathFn c of r[b]", NUMBERS, "function", ("EXCEPTION",))
    FUN2 = Row(34, "w r2 M", "r[a] = MathFn c of r[b], r[b+1]", FLOATS, "function", ("EXCEPTION",))
    # conversions: ty is the type of the result, c that of r[b]
    I2F = Row(35, "w r I", "r[a] = r[b] as a float", FLOATS, "float", ("EXCEPTION",))
    F2I = Row(
        36, "w r F", "r[a] = r[b] as an integer: truncates, saturates, NaN gives 0", INTEGERS, "float", ("EXCEPTION",)
    )
    F2F = Row(37, "w r F", "r[a] = r[b] as a float of ty", FLOATS, "float", ("EXCEPTION",))
    F2B = Row(38, "w r F", "r[a] = r[b] != 0.0 (NaN: 1)", cost="float")
    # control
    JMP = Row(39, "t - -", "go on at a", cost="jump", flow=Flow.JUMP)
    JZ = Row(40, "r t -", "go on at b if r[a] == 0", cost="branch", flow=Flow.BRANCH)
    JNZ = Row(41, "r t -", "go on at b if r[a] != 0", cost="branch", flow=Flow.BRANCH)
    CALL = Row(42, "f b -", "call function a with its frame at b", (), "call", ("STACK",), _E.CALL, Flow.CALL)
    CALLR = Row(
        43,
        "r b -",
        "call function number r[a] with its frame at b",
        (),
        "call",
        ("STACK", "FUNCTION"),
        _E.CALL,
        Flow.CALL,
    )
    RET = Row(45, "- - -", "return, or end the task", cost="ret", flow=Flow.RETURN)
    CHK = Row(46, "r l -", "fault unless 0 <= r[a] < b (array bounds)", (), "check", ("BOUNDS",))
    ASSERT = Row(47, "r s -", "fault with text b unless r[a]", (), "check", ("ASSERT",))
    TRAP = Row(48, "s - -", "fault with text a", (), "check", ("TRAP",), flow=Flow.END)
    # DSDs
    DBASE = Row(49, "w r r", "r[a] = DSD r[b] with base address r[c], elements of ty, no offset", NUMBERS, "dsd_edit")
    DINC = Row(50, "w r r", "r[a] = DSD r[b] with its base r[c] elements of ty further", NUMBERS, "dsd_edit")
    DLEN = Row(51, "w r r", "r[a] = DSD r[b] with length r[c]", cost="dsd_edit")
    DSTRIDE = Row(52, "w r r", "r[a] = DSD r[b] with a stride of r[c] elements", cost="dsd_edit")
    BINS = Row(53, "u r n", "bits [c & 0xff, + c >> 8) of r[a] = r[b]", cost="dsd_edit")
    # DSRs
    DSRLD = Row(
        54,
        "d r3 c",
        "DSR a = DSD r[b] with configuration c, ids of its actions in r[b+1] and r[b+2]",
        (),
        "dsr_load",
        ("DSR_BUSY",),
        _E.WRITE_DSR,
    )
    DSRGET = Row(55, "w d -", "r[a] = the DSD in DSR b", (), "dsr_load", effect=_E.READ_DSR)
    DSRBASE = Row(
        56,
        "d r -",
        "DSR a gets base address r[b], elements of ty",
        NUMBERS,
        "dsr_load",
        ("DSR_BUSY",),
        _E.READ_DSR | _E.WRITE_DSR,
    )
    # vector operations
    DSDOP = Row(
        57,
        "v r7 o",
        "operation a on r[b..b+3], wavelet index r[b+4], ids of its actions r[b+5] and r[b+6]; r[c] = 1 if complete",
        (),
        "",
        (
            "WIDTH",
            "WALK",
            "WALK_NOWHERE",
            "NO_QUEUE",
            "NO_COLOR",
            "UNSUPPORTED_DSD",
            "NO_DSD",
            "OPERAND",
            "ASYNC_NO_FABRIC",
            "UT_UNKNOWN",
            "UT_BUSY",
            "QUEUE_BUSY",
            "QUEUE_COLOR",
            "ENDLESS_WALK",
            "FIFO",
            "EXCEPTION",
        ),
        _E.VECTOR | _E.READ_MEMORY | _E.WRITE_MEMORY | _E.READ_DSR | _E.WRITE_DSR | _E.TASK,
    )
    # elements, for @map
    ELD = Row(
        58,
        "w r r",
        "r[a] = element r[c] of DSD r[b]",
        ELEMENTS,
        "alu",
        ("WIDTH", "WALK", "WALK_NOWHERE", "NO_QUEUE", "QUEUE_BUSY", "OPERAND", "UNSUPPORTED_DSD", "NO_DSD"),
        _E.ELEMENT | _E.READ_MEMORY,
    )
    EST = Row(
        59,
        "r r r",
        "element r[c] of DSD r[b] = r[a]",
        ELEMENTS,
        "alu",
        ("WIDTH", "WALK", "WALK_NOWHERE", "NO_QUEUE", "NO_COLOR", "QUEUE_BUSY", "OPERAND", "UNSUPPORTED_DSD", "NO_DSD"),
        _E.ELEMENT | _E.WRITE_MEMORY,
    )
    DCOUNT = Row(60, "w r -", "r[a] = number of steps of DSD r[b]", cost="map", faults=("NO_DSD",))
    DSRADV = Row(
        61,
        "d r -",
        "DSR a goes on behind r[b] elements, if it was loaded with save_address",
        (),
        "dsr_load",
        effect=_E.READ_DSR | _E.WRITE_DSR,
    )
    # tasks
    ACTIVATE = Row(62, "r - -", "activate task r[a]", (), "task_control", ("NO_TASK",), _E.TASK)
    BLOCK = Row(63, "r - -", "block task r[a]", (), "task_control", effect=_E.TASK)
    UNBLOCK = Row(64, "r - -", "unblock task r[a]", (), "task_control", effect=_E.TASK)
    UTBLOCK = Row(65, "r - -", "block microthread r[a]", (), "task_control", effect=_E.TASK | _E.QUEUE)
    UTUNBLOCK = Row(66, "r - -", "unblock microthread r[a]", (), "task_control", effect=_E.TASK | _E.QUEUE)
    # system
    SYS = Row(
        67,
        "o r2 x",
        "r[a] = Sys c of r[b], r[b+1]",
        (),
        "system",
        ("CMD_DOUBLE", "NO_COLOR", "NO_QUEUE", "NO_DSD", "QUEUE_COLOR", "REGISTER"),
        _E.SYSTEM,
    )
    PRINT = Row(68, "r s p", "print r[a] as c, text b", NUMBERS, "check", effect=_E.OUTPUT)


# ---------------------------------------------------------------- functions that an instruction names


@dataclass(frozen=True)
class SysRow:
    """A function of the SYS instruction. `arguments`: registers it reads from r[b] on; `result`: it gives one;
    `timed`: it happens in its cycle, while the rest of the fabric stands at the same one."""

    number: int
    doc: str
    arguments: int = 1
    result: bool = False
    timed: bool = False
    effect: Effect = Effect.SYSTEM


class Sys(IntEnum):
    """Functions of the SYS instruction."""

    row: SysRow

    def __new__(cls, row: SysRow | int) -> Sys:
        assert isinstance(row, SysRow)  # by number, members are looked up
        self = int.__new__(cls, row.number)
        self._value_ = row.number
        self.row = row
        return self

    CMD_DONE = SysRow(0, "unblock_cmd_stream", 0, timed=True)
    TSC = SysRow(1, "word number r[b] (0..2) of the 48-bit counter, sampled when r[b] is 0", result=True)
    TSC_ENABLE = SysRow(2, "r[b]: 1 enable (and reset), 0 disable")
    TSC_RESET = SysRow(3, "the counter begins again", 0)
    X = SysRow(4, "column in the rectangle", 0, True, effect=Effect.NONE)
    Y = SysRow(5, "row in the rectangle", 0, True, effect=Effect.NONE)
    RANDOM16 = SysRow(6, "16 random bits", 0, True)
    SET_PRNG = SysRow(7, "r[b] is the state of the generator")
    IQ_STATUS = SysRow(8, "mask of input queues; r[b] 0: empty, 1: full", 1, True, True, effect=_E.SYSTEM | _E.QUEUE)
    OQ_STATUS = SysRow(9, "the same of output queues", 1, True, True)
    TASK_PRIORITY = SysRow(10, "r[b] = id | level << 8")
    PERF = SysRow(11, "word r[b] & 3 of performance counter r[b] >> 2", result=True)
    MAIN_PRIORITY = SysRow(12, "priority r[b] of the main thread")
    FIFO_READ_LENGTH = SysRow(13, "r[b] = row of TileProgram.fifos | length << 16", timed=True)
    FIFO_WRITE_LENGTH = SysRow(14, "the same, as a destination", timed=True)
    ROUTE_GET = SysRow(
        15, "packed route (words.Route) of color r[b] at this PE's router", 1, True, True, effect=_E.SYSTEM | _E.ROUTE
    )
    ROUTE_SET = SysRow(
        16, "color r[b] gets the packed route r[b+1]", 2, timed=True, effect=_E.SYSTEM | _E.ROUTE | _E.BINDING
    )
    TEARDOWN_PENDING = SysRow(
        17,
        "mask of colors whose teardown was not taken notice of; reading clears it",
        0,
        True,
        True,
        effect=_E.SYSTEM | _E.ROUTE,
    )
    TEARDOWN_EXIT = SysRow(18, "color r[b] leaves teardown", timed=True, effect=_E.SYSTEM | _E.ROUTE)
    FILTER_GET = SysRow(
        19, "field r[b] >> 8 of the filter of color r[b] & 31; fields as in FILTER_FIELDS", 1, True, True
    )
    FILTER_SET = SysRow(20, "the same, from r[b+1]", 2, timed=True)
    QUEUE_FLUSH = SysRow(
        21, "queue r[b] (bit 3: output): handler task when empty (WSE-3)", timed=True, effect=_E.SYSTEM | _E.QUEUE
    )
    FLUSH_STATUS = SysRow(22, "mask of flushed queues: inputs in bits 0-7, outputs in 8-15", 0, True, True)
    FLUSH_EXIT = SysRow(23, "queue r[b] (bit 3: output)", timed=True)
    QUEUE_COLOR = SysRow(
        24,
        "queue r[b] & 7 (bit 3: output) is bound to color r[b] >> 8; it must be empty",
        timed=True,
        effect=_E.SYSTEM | _E.QUEUE | _E.BINDING,
    )
    REGISTER_GET = SysRow(
        25,
        "word at word address r[b] of the configuration space (fabric.engine.switch)",
        1,
        True,
        True,
        effect=_E.SYSTEM | _E.ROUTE | _E.REGISTER,
    )
    REGISTER_SET = SysRow(
        26, "r[b+1] is stored there", 2, timed=True, effect=_E.SYSTEM | _E.ROUTE | _E.REGISTER | _E.BINDING
    )
    TRANSFORM_MASK = SysRow(27, "r[b]: its low six bits are the mask of DSDs with control_transform", timed=True)
    EXCEPTION_MASK = SysRow(
        28, "r[b]: a bit that is 0 lets that exception (FP_*) stop the PE", timed=True, effect=_E.SYSTEM | _E.UNMASK
    )


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


@dataclass(frozen=True)
class MathRow:
    number: int
    types: tuple[Ty, ...] = FLOATS
    arguments: int = 1
    doc: str = ""


class MathFn(IntEnum):
    """Functions of FUN1 and FUN2; results are the correctly rounded (or best double) value, rounded once to ty."""

    row: MathRow

    def __new__(cls, row: MathRow | int) -> MathFn:
        assert isinstance(row, MathRow)  # by number, members are looked up
        self = int.__new__(cls, row.number)
        self._value_ = row.number
        self.row = row
        return self

    SQRT = MathRow(0)
    EXP = MathRow(1)
    LOG = MathRow(2)
    SIN = MathRow(3)
    COS = MathRow(4)
    TANH = MathRow(5)
    FLOOR = MathRow(6)
    CEIL = MathRow(7)
    ABS = MathRow(8, NUMBERS)
    INVSQRT = MathRow(9)
    INV = MathRow(10)
    POW = MathRow(11, arguments=2)
    FSCALE = MathRow(12, arguments=2, doc="r[b] * 2 ** r[b+1]")
    NORM = MathRow(13, doc="mantissa of frexp, in [0.5, 1)")
    POPCNT = MathRow(14, INTEGERS)
    CLZ = MathRow(15, INTEGERS)
    CTZ = MathRow(16, INTEGERS)


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


# fields of Sys.FILTER_GET and FILTER_SET
FILTER_FIELDS = ("counter", "max_counter", "limit1")

# word addresses of the configuration space that are registers: a color's routes, and its switch (layout:
# fabric/engine/switch.py)
COLOR_REGISTERS, SWITCH_REGISTERS, COLORS = 0x7F20, 0x7F40, 24
# and words that only hold what is stored in them
PLAIN_REGISTERS, PLAIN_COUNT = 0x7E00, 0x100
# the counter of <time>, three words; its place is a choice, since programs ask <tile_config>.addresses for it
TIMESTAMP_REGISTERS, TIMESTAMP_COUNT = 0x7D00, 3
# registers with a name and no model: what stands there is not published (places: choices, but for the output queues)
UNMODELLED = {"PERF_COUNTER_CONTROL": 0x7D10, "INPUT_QUEUE_CONFIG": 0x7B00, "OUTPUT_QUEUE_CONFIG": 0x7B80}

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
