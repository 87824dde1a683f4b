"""What instructions work with besides registers: packed words (DSDs, routes, actions) and the rows of a tile program's
tables. How they are declared: records.py."""

from __future__ import annotations

from .records import Packed, Record, bits, flag, word, words

INFINITE = 0x7FFF  # a length without end


class Instruction(Packed, name="instruction", prefix="IW"):
    """The first word of an instruction."""

    op = bits(8, "`Op`")
    ty = bits(4, "`Ty`")
    free = flag("takes no cycle (`isa.FREE`)")
    cost = bits(16, "cycles, from the timing profile; filled in by the loader", at=16)


class Dsd(Packed, name="dsd", prefix="DSD", word=64):
    """A DSD in a register. Which fields there are depends on the kind."""

    kind = bits(4, "`DsdKind`")
    base = bits(16, "memory: byte address", at=4)
    len = bits(16, "steps, 0x7fff without end; mem4d, circbuf: row of `mem4d`", at=20)
    stride = bits(16, "mem1d: elements from one to the next", at=36, signed=True)
    position = bits(16, "circbuf: element of the ring at which it begins", at=36)
    tag = bits(2, "memory: log2 of the bytes of an element", at=52)
    wio = flag("memory, fabout: `wavelet_index_offset`", at=54)
    queue = bits(3, "fabric: id of its queue", at=4)
    hasq = flag("fabric: it names a queue", at=7)
    color = bits(5, "fabric: its color", at=8)
    hascolor = flag("fabric: it names a color", at=13)
    simd = bits(2, "fabric: `Simd`", at=36)
    prio = bits(2, "fabric: 0 default, 1 low, 2 medium, 3 high", at=38)
    xform = flag("fabric: `control_transform`", at=40)
    control = flag("fabout: sends control wavelets", at=41)
    advance = flag("fabout: the switch advances after the last wavelet", at=42)
    zero = bits(2, "fabout: clear 1 the first, 2 the second source as it is read", at=44)
    fifo = bits(16, "FIFO: row of `fifos`", at=4)


class Act(Packed, name="action", prefix="ACT"):
    """What happens when an operation ends."""

    kind = bits(4, "`Action`")
    id = bits(8, "task id")
    set = flag("`on_control` was given (its kind may be NONE: terminate)")
    what = bits(12, "kind and id", at=0)


class Position(Packed, name="position", prefix="PO"):
    """A switch position in a packed route, as changes to the position before it."""

    valid = flag("there is such a position")
    has_rx = flag("it changes the inputs")
    rx = bits(5, "inputs: bits NORTH, SOUTH, EAST, WEST, RAMP as program.py numbers them")
    has_tx = flag("it changes the outputs")
    tx = bits(5, "outputs")


class Route(Packed, name="route", prefix="RO", word=64):
    """A route as `Sys.ROUTE_GET` and `ROUTE_SET` pack it."""

    rx = bits(5, "inputs at position 0")
    tx = bits(5, "outputs at position 0")
    positions = bits(13, "positions 1 to 3: `Position`", count=3)
    current = bits(2, "the position in force")
    ring = flag("after the last position comes the first")
    pop = bits(2, "no_pop, always_pop, pop_on_advance, pop_on_advance_nop")
    teardown = flag("the color is in teardown")
    base = bits(10, "inputs and outputs at position 0", at=0)
    static = bits(49, "all but the state", at=0)


class Wavelet(Packed, name="wavelet", prefix="WV"):
    """The payload of a wavelet with an index."""

    data = bits(16, "an element")
    index = bits(16, "`wavelet_index_offset`, or what a range filter looks at")


class Control(Packed, name="control", prefix="CONTROL"):
    """The payload of a control wavelet."""

    index = bits(16, "data for the task; also commands for the switches that follow", at=0)
    task = bits(6, "task id", at=16)
    command = bits(2, "command for the first switch: 0 nothing, 1 advance, 2 reset, 3 teardown", at=22)
    no_ce = flag("not for the compute element", at=24)
    commands = bits(8, "with `index` behind it, a stream of commands of 3 bits", at=22)
    high = bits(6, "`control_transform`", at=26)


class FifoActions(Packed, name="fifo_actions", prefix="FA"):
    """What an operation does when a FIFO has no element, or no room: `FIFO_TEST`, ..."""

    empty = bits(4, "when it is empty")
    full = bits(4, "when it is full")


FIFO_TEST, FIFO_TERMINATE, FIFO_SUSPEND, FIFO_FAULT = range(4)


# what fields of the rows may hold
_FLAG = range(2)
_ACTIONS = range(3)  # isa.Action
_TASK = range(-1, 64)  # an id, or none
_MICROTHREAD = range(-1, 8)
_PRIORITY = range(4)


class OperationRow(Record, prefix="OP", size="OP_COLUMNS", array="T"):
    """A vector operation of the program: `TileProgram.dsd_ops`. Operands come from registers: r[base] destination,
    r[base + 1..3] sources (DSD, scalar or pointer), r[base + 4] index, r[base + 5..6] action ids."""

    code = word("`DsdOpCode`")
    dst = word("`Operand` kind of the destination")
    src = words(3, "and of the sources")
    dst_dsr = word("dense index of the DSR where the kind is DSR")
    src_dsr = words(3, "the same of the sources")
    async_ = word("1: asynchronous", within=_FLAG)
    action = word("`Action`; its id is in r[base + 5]", within=_ACTIONS)
    onctrl = word("`Action` on a control wavelet; its id is in r[base + 6]", within=_ACTIONS)
    onctrl_set = word("1: `on_control` was given (terminate = Action.NONE)", within=_FLAG)
    ut = word("explicit microthread, or -1", within=_MICROTHREAD)
    prio = word("as `Dsd.prio`", within=_PRIORITY)
    index = word("1: wavelet index in r[base + 4]", within=_FLAG)


class DsrConfig(Record, prefix="RC", size="RC_COLUMNS", array="T"):
    """What a DSR is loaded with beside a DSD: `TileProgram.dsr_configs`. Action ids come from r[b + 1] and r[b + 2] of
    DSRLD."""

    async_ = word("1: operations with it are asynchronous", within=_FLAG)
    action = word("`Action` when such an operation ends", within=_ACTIONS)
    onctrl = word("`Action` on a control wavelet", within=_ACTIONS)
    onctrl_set = word("1: `on_control` was given", within=_FLAG)
    ut = word("microthread, or -1", within=_MICROTHREAD)
    prio = word("as `Dsd.prio`", within=_PRIORITY)
    save = word("`save_address`", within=_FLAG)
    single_step = word("`single_step`", within=_FLAG)


class Walk(Record, prefix="M4", size="M4_COLUMNS", array="T"):
    """A walk in several dimensions: `TileProgram.mem4d`.

    A circbuf_dsd is a walk in two dimensions, round after round of its ring, that begins somewhere in the ring: its
    outer extent is RING, which no mem4d_dsd has, its inner one the ring's, and the one behind holds its own length.
    """

    rank = word("number of dimensions", within=range(1, 5))
    ext = words(4, "extents, outermost first; of a ring: RING, its extent, the length of the circbuf_dsd")
    stride = words(4, "jump strides in elements, innermost first", within=range(-0x10000, 0x10000))


MOST_STEPS = 0x7FFFFFFF  # of a walk: with these strides no address leaves 64 bits
RING = 0x7FFFFFFF
RING_LENGTH = Walk.ext + 2


class FifoRow(Record, prefix="FIFO", size="FIFO_COLUMNS", array="T"):
    """A FIFO of the program: `TileProgram.fifos`."""

    base = word("byte address of its buffer", within=range(1 << 16))
    capacity = word("elements it has room for", within=range(1, 1 << 16))
    size = word("bytes of an element", within=range(2, 5, 2))
    push = word("task that an element after emptiness activates, or -1", within=_TASK)
    pop = word("task that room after fullness activates, or -1", within=_TASK)
    prio = word("WSE-3: priority", within=_PRIORITY)
    actions = word("what happens when it is empty or full", FifoActions, within=range(1 << 6))


class Register(Packed, name="register", prefix="CR", word=16):
    """A color's routes at word address COLOR_REGISTERS + color (WSE-2; layout as comments of public code give it).
    Directions are in the order W E S N RAMP."""

    tx = bits(5, "outputs")
    rx = bits(5, "inputs")
    pop = bits(2, "pop mode", at=12)
    teardown = flag("the color is in teardown", at=14)


class SwitchRegister(Packed, name="switch_register", prefix="SR", word=16):
    """A color's switch at word address SWITCH_REGISTERS + color."""

    positions = bits(4, "positions 1 to 3: `SwitchPosition`", count=3)
    ring = flag("ring mode")
    current = bits(2, "the position in force")


class SwitchPosition(Packed, name="switch_position", prefix="SP", word=4):
    """A position in a switch register."""

    direction = bits(3, "W E S N RAMP, or 5: no such position")
    input = flag("it changes the input, else the output")


PACKED = (
    Instruction,
    Dsd,
    Act,
    Position,
    Route,
    Wavelet,
    Control,
    FifoActions,
    Register,
    SwitchRegister,
    SwitchPosition,
)
ROWS = (OperationRow, DsrConfig, Walk, FifoRow)
