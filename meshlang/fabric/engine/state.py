"""Where everything is: the records of the machine's state, declared once (ir/records.py says how).

State is a few flat arrays; an access of the engine is an offset and a load, and a wafer has no Python object per PE.

| array | type | holds |
|---|---|---|
| W | int64 | globals, PE records, registers, DSRs, threads of vector operations, channel extensions, FIFOs, wake-up bitmaps, logs |
| U | uint32 | router records, channels (one cache line per PE and configured color), queues and their entries |
| M8, M16, M32 | views of one uint8 array | the memories of all PEs, one after the other |
| C | int32 | code of all tile programs |
| T | int32 | tables: operations, tiles, functions, tasks, memory objects |
| HP, HS | uint32, int64 | data streamed in by the host, and its segments |

What is touched together stands together, and begins a cache line where it says so. At the end the engine gets its
constants: P_TIME for Pe.time, PK for the words of a Pe; its readers: config_color(word) for Config.color; its masks:
C_SPECIAL for Config.special; and TIME_FABRIC_HOP for the number "fabric.hop" of the timing profile.
"""

from __future__ import annotations

import numpy as np

from ...ir import isa, program
from ...ir import words as ir_words
from ...ir.records import Packed, Record, bits, byte_fields, flag, numbers, parts, word, words
from ..timing import engine_numbers
from .bits import accessors

TIMES = engine_numbers()  # names of the numbers of a timing profile that the engine can read

# ---------------------------------------------------------------- packed words


class Config(Packed, name="config", prefix="C"):
    """Configuration of a channel. From `special` on, what makes a channel special."""

    rx = bits(6, "sides it takes wavelets from: N S E W RAMP HOST; all but HOST 0 while it is closed")
    tx = bits(6, "sides it sends them to")
    color = bits(5, "the color")
    queue = bits(5, "input queue of the PE for it, 31: none")
    special = flag("has an extension record")
    teardown = flag("the color is in teardown")
    filter = flag("has a filter")
    swap = flag("E/W or N/S arrivals come from the other color of the pair")
    twin_x = flag("what arrives from E or W also comes to the other color of the pair, which alone has the swap")
    twin_y = flag("the same for N and S")
    pair = flag("colors are swapped somewhere: what waits for a place here may have either color of the pair")
    ramp = flag("what comes from the ramp goes to the other color of the pair")
    rare = bits(7, "not even a data wavelet takes the short way", at=23)
    links = bits(4, "sides it sends to that are neighbours", at=6)
    to_ramp = flag("it sends to the PE", at=10)
    rx_switched = bits(5, "what a switch decides: all but the host", at=0)
    tx_switched = bits(5, "the same of the sides it sends to", at=6)


NO_QUEUE = 31  # in Config.queue
RAMP, HOST = program.RAMP, program.HOST  # sides of a router besides N S E W
LINKS, TO_RAMP, TO_HOST = (1 << RAMP) - 1, 1 << RAMP, 1 << HOST  # in a mask of sides


class ChannelState(Packed, name="state", prefix="S"):
    """What a channel holds: up to four wavelets, in a ring."""

    head = bits(2, "place of the first wavelet")
    count = bits(3, "wavelets")
    control = bits(1, "per place: a control wavelet, or one after which the switch advances", count=4)
    waiter = flag("somebody waits for room")
    extension = bits(22, "number of the extension record")
    ring = bits(5, "head and count", at=0)


class SwitchPosition(Packed, name="switch", prefix="X"):
    """A resolved position of a switch."""

    rx = bits(5, "sides it takes wavelets from")
    tx = bits(5, "sides it sends them to")
    valid = flag("there is such a position")


class Filter(Packed, name="filter", prefix="X"):
    """What a filter does."""

    kind = bits(4, "0 none, 1 counter, 2 sparse counter, 3 range")
    count_data = flag("data wavelets count")
    count_control = flag("control wavelets count")
    filter_control = flag("only control wavelets pass")


class EntryFlags(Packed, name="entry", prefix="EF"):
    """What goes with a wavelet in a queue. Of an input, only `control`."""

    control = flag("a control wavelet")
    advance = flag("the switch advances after it")
    slot = bits(24, "channel of the router it leaves through", at=8)


class Waiter(Packed, name="waiter", prefix="WAIT"):
    """Who waits for a queue."""

    room = flag("somebody waits for room")
    empty = flag("task 29 waits for it to run empty")


class Express(Packed, name="express", prefix="EX"):
    """How wavelets of a queue in express mode are stored."""

    wide = flag("elements of 32 bits")
    two = flag("two halves in a wavelet")
    stride = bits(30, "elements from one to the next, + 2^15")


EXPRESS_BIAS = 1 << 15  # in Express.stride


class Transfer(Packed, name="transfer", prefix="A", word=64):
    """How an operand on the fabric takes or sends (O_AUX)."""

    simd = bits(2, "`Simd`; 0: one 16-bit element in a wavelet")
    control = flag("sends control wavelets")
    wio = flag("the index goes into the upper half")
    prio = bits(2, "as `Dsd.prio`")
    advance = flag("the switch advances after the last wavelet")
    zero = bits(2, "source to clear as it is read")
    transform = flag("`control_transform`")


class Counters(Packed, name="counters", prefix="CO", word=64):
    """Where a walk in several dimensions is (O_AUX of mem4d operands; of a ring, the first begins where the walk
    does)."""

    index = bits(16, "per dimension, innermost first", count=4)
    wio = flag("while it is prepared: the index will be added", at=62)


class ThreadFlags(Packed, name="thread", prefix="F"):
    """What is special about a running operation."""

    accumulate = flag("the destination is a scalar that each element is added to")
    async_ = flag("asynchronous")
    endless = flag("it has no end")
    noted = flag("there is something that the machine would not report")
    checked = flag("an exception may stop the PE")
    steady = flag("until it ends, only its queues can stop it")
    open = flag("a control wavelet may end it before it leaves a memory vector that is shorter than the operation")
    plain = flag("it moves elements from memory to the fabric, or back, and nothing else (threads.plain_step)")


class Stalled(Packed, name="stalled", prefix="ST", word=64):
    """Traced runs: the stall that goes on, or 0."""

    cause = bits(3, "`trace.WAIT_...`")
    since = bits(61, "cycle")


class DsrMore(Packed, name="dsr", prefix="DM", word=64):
    """What a DSR keeps beside its DSD."""

    set = flag("it was loaded with a configuration")
    config = bits(31, "row of the configuration in T")
    action = bits(8, "task id of the action")
    onctrl = bits(8, "task id of the action on a control wavelet")


class TaskTypes(Packed, name="types", prefix="TY"):
    """Arguments of a task."""

    ty = bits(4, "per argument: `Ty`", count=4)
    pair = bits(16, "rotating task: number of the pair + 1, or 0", at=16)


class NoteKey(Packed, name="note", prefix="NOTE", word=64):
    """What a note is about."""

    kind = bits(4, "N_READ, N_WRITE, ...")
    what = bits(20, "address of the variable, operand, or as Note says")
    line = bits(40, "number of the source line")


class PrintWhat(Packed, name="print", prefix="PRINT", word=64):
    """What was printed."""

    kind = bits(8, "`Print`")
    ty = bits(8, "`Ty`")
    string = bits(48, "number of the text or key, or -1", signed=True)


class HostWavelet(Packed, name="host", prefix="HOST", word=64):
    """A wavelet for the host."""

    value = bits(32, "payload")
    pe = bits(24, "PE it comes from")
    color = bits(5, "color")
    where = bits(56, "all but the color", at=0)


class EventWhere(Packed, name="where", prefix="EVENT", word=64):
    """Where an event happened."""

    pe = bits(32, "PE", signed=True)
    kind = bits(8, "`trace.EV_...`")
    color = bits(8, "color, or 255")
    queue = bits(8, "queue, or 255")
    thread = bits(8, "0 main thread, 1 + id a microthread, or 255")


class EventWhat(Packed, name="what", prefix="EVENT", word=64):
    """What happened."""

    value = bits(32, "depends on the kind (recording)")
    extra = bits(32, "depends on the kind", signed=True)


class WaveletExtra(Packed, name="extra", prefix="WX"):
    """`extra` of an event about a wavelet in a router."""

    what = bits(8, "1: a control wavelet; of `held`: why")
    sides = bits(8, "the side it comes from; the mask of sides it goes to")


class EventCode(Packed, name="code", prefix="EVENT", word=64):
    """Which code did it."""

    pc = bits(32, "instruction, or -1", signed=True)
    task = bits(32, "task, or -1", signed=True)


class FlightWhen(Packed, name="when", prefix="FL", word=64):
    """When, and what."""

    kind = bits(8, "EV_TASK or EV_DONE")
    cycle = bits(56, "cycle")


class FlightWhere(Packed, name="flight", prefix="FL", word=64):
    """Who."""

    pe = bits(24, "PE")
    pc = bits(32, "instruction")
    task = bits(8, "task")


# ---------------------------------------------------------------- W


class Operand(Record, prefix="O", size="OK", array="W"):
    """An operand of a running operation. Kind and address come first (Thread)."""

    kind = word("K_NONE, K_MEM, ...")
    addr = word(
        "memory: address of the next element; a scalar's value; the held half of a packed wavelet; a FIFO's record"
    )
    stride = word("memory: bytes from one element to the next; output: slot of its color; input: color it wants")
    size = word("bytes of an element")
    queue = word("fabric: queue record in U; mem4d, FIFO: row in T")
    aux = word("fabric: `Transfer`; mem4d: `Counters`; FIFO: the PE")
    len = word("its own length in elements")


K_NONE, K_MEM, K_MEM4, K_SCALAR, K_POINTER, K_IN, K_OUT, K_FIFO = range(8)


class Thread(Record, prefix="V", size="TK", array="W", lines=True):
    """A running vector operation: of the main thread, or of a microthread.

    Who chooses among threads needs the first line only, a step of a plain operation the first three.
    """

    start = word("cycle from which on it moves", line=True)
    rank = word("priority: 6, 4, 3 (main thread), 2")
    last = word("cycle of the last step")
    step = word("elements a step")
    rate = word("cycles an element * 65536")
    k = word("elements done")
    n = word("elements in all")
    flags = word("what is special about it", ThreadFlags)
    code = word("`DsdOpCode`", line=True)
    operands = parts(Operand, 4, "destination, sources")
    zero = word("source that is cleared as it is read, 1 or 2, or 0")
    onctrl = word("what a control wavelet does, or 0", ir_words.Act)
    acc = word("value of an accumulated scalar")
    row = word("its row in T", line=True)
    action = word("what happens when it ends", ir_words.Act)
    pc = word("its instruction")
    task = word("the task that started it")
    id = word("its microthread, or -1")
    index = word("wavelet index, or -1")
    result = word("register that says whether it was completed")
    stalled = word("traced runs: the stall that goes on", Stalled)


class Globals(Record, prefix="G", size="GK", array="W", lines=True):
    """What there is once."""

    now = word("current cycle", line=True)
    limit = word("run until this cycle")
    npe = word("number of PEs")
    width = word("of the rectangle")
    height = word("")
    fault = word("`Fault` number, 0 none")
    fpe = word("of the fault: PE")
    fpc = word("instruction")
    fcycle = word("cycle", line=True)
    fa = word("first argument")
    fb = word("second argument")
    fc = word("third argument")
    occ_r = word("which of the 64 slots of the wheel hold wake-ups of routers")
    occ_c = word("and of compute elements")
    bits_r = word("bitmaps of the routers' slots")
    bits_c = word("bitmaps of the compute elements' slots")
    l0 = word("words per slot: one bit a PE", line=True)
    l1 = word("then one bit a word")
    cmds = word("PEs that have not finished the outstanding command")
    until = word(
        "1: stop when `cmds` reaches 0; 2: stop when the counter of stream `scolor` reaches `starget`; 0: run on; "
        "3: do nothing but bring operations up to date; 4: stop when `hinleft` reaches 0"
    )
    scolor = word("stream that is waited for")
    starget = word("value of its counter that is waited for")
    plog = word("print log: base")
    plogn = word("records")
    plogcap = word("capacity", line=True)
    hlog = word("log of streams to the host: base")
    hlogn = word("wavelets")
    hlogcap = word("capacity")
    nhout = word("host stream channels: room the stream log must have for one cycle")
    instr = word("instructions executed")
    hops = word("link traversals")
    delivered = word("wavelets handed to input queues")
    visits_r = word("visits to routers", line=True)
    visits_c = word("visits to compute elements")
    wse3 = word("1: a WSE-3")
    express = word("1: receives may run in express mode (express.py)")
    vector = word("vector elements processed")
    steps = word("cycles the loop visited")
    expressed = word("latest arrival of a wavelet that went the express way")
    expressing = word("PEs in express mode")
    quantum = word("instructions that a PE may run ahead", line=True)
    x = word("extension records of channels")
    strict = word("1: what the machine lets pass is a fault")
    held = word("mask of colors that stream to the host, which takes nothing of them now")
    hinleft = word("streams from the host, of a color to a PE, that are not all on the fabric")
    notes = word("records of what the machine would not report")
    noted = word("which of them the last instruction made")
    lines = word("in T: number of the source line of each instruction")
    argn = word("arguments of the outstanding command: number")
    args = words(15, "their values")
    scount = words(32, "wavelets to the host, per color")
    hin = words(32, "per color: number of the stream from the host, or -1")
    mask = words(10, "per `Ty`: normal form is ((v & mask) ^ sign) - sign")
    sign = words(10, "")
    scratch = parts(Thread, 1, "the operation that is prepared, or runs at once", line=True)
    events = word("buffer of events (trace.py), 0: none", line=True)
    eventn = word("events in it")
    eventcap = word("capacity")
    eventslost = word("events lost")
    eventkinds = word("mask of recorded kinds")
    eventcolors = word("mask of recorded colors")
    eventpes = word("bitmap of recorded PEs")
    eventfrom = word("from which cycle on", line=True)
    eventto = word("up to which")
    eventpause = word("1: the loop stopped in the middle of a cycle")
    flight = word("ring of the flight recorder")
    flightn = word("entries written to it")
    far = word("1: what compute elements need is fetched ahead (ahead.py), because it is in no cache")
    staging = word("in M8: where operands of operations in memory are staged")
    # the rest says which part of a machine a band is (bands.py)
    bands = word("bands of rows that threads run at once; 0: one thread runs all", line=True)
    band = word("number of the band")
    stage = word("part of the cycle it is in: bands.START, ...")
    meeting = word("how often all bands have met")
    place = word("bitmap of what is visited in this part")
    wordsfrom = word("of its second level: first word")
    wordsto = word("and the word behind the last")
    turns = word("1: one thread runs all bands by turns, and comes back where it would have to wait")
    records = word("records of the bands", line=True)
    mine = word("its own record")
    early = word("bitmap: routers of its first two rows")
    late = word("bitmap: routers of its last two rows")
    border = word("bitmap: compute elements of its first row")
    giveway = word("address of sched_yield, or 0")
    printsbefore = word("`plogn` when the cycle began")
    hostedbefore = word("`hlogn`")
    flightbefore = word("and `flightn`")
    printsborder = word("`plogn` when compute elements of the first row began")
    flightborder = word("and `flightn`")
    kept = words(8, "a fault that waits for that row: as from `fault` on, and `now`")
    # last, so that a new number moves nothing
    times = words(len(TIMES), "the whole numbers of the timing profile: TIME_...", line=True)


GLOBALS_ROOM = 2048  # words: a page of memory, so that a band can see others in their place (fabric/bands.py)


class Band(Record, prefix="B", size="BK", array="W", lines=True):
    """A band: what the others see of it. The first lines are written when it meets them."""

    arrived = word("how often it has met the others", line=True)
    occupied = word("slots of the wheel that hold wake-ups")
    cmds = word("PEs that have not finished the outstanding command")
    left = word("its part of `Globals.hinleft`")
    streamed = word("its part of the counter that is waited for")
    prints = word("1: its print log is full")
    hosted = word("wavelets in its log of streams to the host")
    expressed = word("its `Globals.expressed`")
    failed = word("0, or a fault in 1: a router, 2: a compute element of the first row, 3: another one", line=True)
    done = word("8 * `Globals.meeting` + the last part of the cycle that it is through with", line=True)
    lettersup = word("1: there are letters for the band above")
    lettersdown = word("and for the one below")
    go = word("of the first band: how often it has said what comes next", line=True)
    clock = word("the cycle that has begun last")
    code = word("-1, or why the run stops: STOP_...")
    globals = word("where its `Globals` are", line=True)
    wheel = word("its bitmaps of routers")
    first = word("its first PE")
    end = word("the PE behind its last")
    up = word("letters for the row above its first: for each PE a mask of channels that may go on")
    down = word("and for the row below its last")


class Pe(Record, prefix="P", size="PK", array="W", lines=True):
    """A PE: its compute element. The first lines are what most visits need, in this order (ahead.py)."""

    tile = word("tile record in T, -1: no code", line=True)
    st = word("ST_IDLE, ST_RUN, or ST_OP: the main thread waits for its operation")
    time = word("cycle up to which the main thread has run")
    utmask = word("mask of running threads")
    utblock = word("mask of blocked ones")
    noexpress = word("mask of threads that have to go step by step")
    vbusy = word("cycle up to which the vector unit is busy")
    express = word("1: the running operations are in express mode")
    # a step of the vector unit, and the main thread
    ut = word("thread records: dense 0 is the main thread's", line=True)
    mem = word("where its memory begins")
    oq = word("first output queue record")
    sent = word("wavelets put into output queues")
    pc = word("next instruction")
    fp = word("frame, in W")
    memsize = word("bytes of it")
    stall = word("1: the instruction at pc waits (ELD, EST)")
    # operations in memory; work, of scalar instructions, and of vector operations when they end
    dsr = word("its DSRs", line=True)
    unmasked = word("exceptions that stop the PE: bits as isa.EXCEPTIONS numbers them")
    read = word("bytes read from memory")
    written = word("bytes written to memory")
    flops = word("floating-point additions, subtractions, multiplications and divisions")
    iq = word("first input queue record")
    reg = word("where its registers begin")
    regend = word("where they end")
    # tasks
    active = word("mask of activated task ids", line=True)
    blocked = word("mask of blocked task ids")
    again = word("how often an active local task is to run once more: two bits, at its id and 32 above")
    taskprio = word("mask of task ids of high priority")
    rr = word("id of the task that was started last, for round robin")
    cmd = word("function row + 1 to start, or 0")
    cmdtime = word("when")
    task = word("running task: 0..63 data or local, 64.. control, 128 command, -1 none")
    busy = word("cycles that tasks took, up to the last end", line=True)
    busyfrom = word("start of the running task")
    tasks = word("tasks started")
    cmdopen = word("1 while the command is not finished")
    tsc = word("time stamp counter: when it was 0, or its value while it stands")
    tscon = word("1: it runs")
    tscval = word("value sampled last")
    torn = word("mask of colors whose teardown was not taken notice of")
    carry = word("carry flag of 16-bit additions", line=True)
    prng = word("state of the generator, 0: not used yet")
    misc = word("low half of a packed wavelet whose other element scalar code has not sent yet")
    system = word("1: the program has a task 29")
    fifo = word("first FIFO record")
    flushed = word("mask of queues that were flushed and ran empty: inputs, then outputs from bit 8 on")
    rotate = words(2, "starts of a rotating task since its alternate")
    plain = word("address in M8 of the words of the configuration space that are plain storage, or 0", line=True)
    transform = word("what control_transform adds to the payload of a control wavelet")


ST_IDLE, ST_RUN, ST_OP = range(3)
COMMAND_TASK, CONTROL_TASKS = 128, 64  # in Pe.task: a launched function; the first control task
ACTION_ACTIVATE, ACTION_UNBLOCK = int(isa.Action.ACTIVATE), int(isa.Action.UNBLOCK)
SYSTEM_TASK = 29  # local task that is told of teardowns and flushed queues
FLUSHED_OUTPUTS = 8  # first bit of outputs in Pe.flushed


class Dsr(Record, prefix="DSR", size="DSRK", array="W"):
    """A DSR."""

    value = word("its DSD", ir_words.Dsd)
    more = word("what else it was loaded with", DsrMore)


class Note(Record, prefix="N", size="NK", array="W"):
    """What the machine would not report (fabric/notes.py), behind it a bitmap of PEs. Cycle, PE and task are those of
    the first time.

    read, write: a vector goes past a variable; a, b: first byte and byte after the last; c: element size. length: a, b:
    elements of the operation and of the operand; c: color of the operation + 1. width: a, b: bytes of an element of the
    DSD and of the operation.

    Without a line: lost: a wavelet leaves the rectangle; what: color | side << 5, as a and b. unheard: a control wavelet
    is for an id without a task; what: id | color << 6, as a and b. unblocked: the command stream is unblocked, and no
    command is outstanding; what: task; a: the instruction; b: the call of its function, or less than 0.
    """

    key = word("what it is about", NoteKey)
    cycle = word("cycle")
    pe = word("PE")
    task = word("task")
    a = word("depends on the kind")
    b = word("")
    c = word("")
    count = word("how many times, 0: not used")


NOTES = 64  # records, in the order in which they came first
N_READ, N_WRITE, N_LENGTH, N_WIDTH, N_LOST, N_UNHEARD, N_UNBLOCKED = range(1, 8)


class Extension(Record, prefix="X", size="XK", array="W"):
    """What a channel with a switch, a filter, teardown or a route that changes has besides (switch.py)."""

    route = word("as Sys.ROUTE_GET gives it, without its state", ir_words.Route)
    positions = words(4, "the positions, resolved", SwitchPosition)
    current = word("position in force")
    ring = word("1: ring mode")
    pop = word("pop mode")
    reach = word("sides that some position, or the program at run time, may open")
    turn = word("cycle of the last change")
    mark = word("per place: a data wavelet after which the switch advances (its control bit is set)")
    filter = word("kind of the filter", Filter)
    counter = word("its counter")
    max = word("up to which wavelets pass")
    limit = word("up to which it counts")
    limit2 = word("and after that, or -1")
    min = word("lowest index that passes")
    maxidx = word("highest index that passes")
    eaten = word("wavelets the filter has kept from the CE")


class Fifo(Record, prefix="FF", size="FFK", array="W", lines=True):
    """A FIFO."""

    head = word("first element", line=True)
    count = word("elements")
    read = word("length as a source")
    write = word("length as a destination")
    empty = word("1: a pop found it empty")
    full = word("1: a push found it full")


class Print(Record, prefix="PL", size="LK", array="W"):
    """A print record."""

    cycle = word("cycle")
    pe = word("PE")
    what = word("what was printed", PrintWhat)
    value = word("its value")


class Event(Record, prefix="EVENT", size="EVK", array="W"):
    """A recorded event (trace.py)."""

    cycle = word("cycle")
    where = word("where", EventWhere)
    what = word("what", EventWhat)
    code = word("code", EventCode)


EVENT_FIELDS = byte_fields(Event)
# records that one visit of the run loop may write: two per instruction of a quantum, and some
EVENT_ROOM = 50_000


class Flight(Record, prefix="FL", size="FLK", array="W"):
    """An entry of the flight recorder."""

    when = word("when, and what", FlightWhen)
    where = word("who", FlightWhere)


FLIGHT = 256  # entries it has

# ---------------------------------------------------------------- U


class Router(Record, prefix="R", size="RK", array="U", lines=True):
    """The router of PE p, at p * RK."""

    base = word("first channel", line=True)
    n = word("channels")
    mask = word("channels that have something to do")
    rr = word("channel that is looked at first")
    oq = word("mask of output queues that hold something")
    hin = word("mask of channels with data from the host")
    orr = word("output queue that is looked at first")
    iq = word("the PE's first input queue record")
    taken = word("wavelets the CE has taken from its input queues, modulo 2^32")


class Channel(Record, prefix="CH", size="HK", array="U", lines=True):
    """The buffer of a color at a router."""

    value = words(4, "payloads", line=True)
    time = words(4, "cycles of arrival, modulo 2^32")
    state = word("what it holds", ChannelState)
    config = word("its configuration", Config)
    pop = word("cycle in which a wavelet left last")
    push = word("cycle in which one came last")
    near = words(4, "channels of the neighbours N S E W that wavelets go to, NO_CHANNEL or OFF_RECTANGLE")


CHANNEL_PLACES = Channel.time - Channel.value
PLACES = CHANNEL_PLACES - 1  # a place is a number in so many bits
NO_CHANNEL, OFF_RECTANGLE = 0xFFFFFFFF, 0xFFFFFFFE


class Queue(Record, prefix="Q", size="QK", array="U", lines=True):
    """An input or output queue of a PE. The x... are those of an input in express mode."""

    buf = word("its entries", line=True)
    cap = word("capacity: its depth, and what is under way on the ramp")
    head = word("first entry")
    count = word("entries")
    channel = word("input: channel it takes from")
    color = word("color it is bound to, 31: none")
    id = word("its number")
    waiter = word("who waits", Waiter)
    user = word("operation that uses it: thread + 1, or 0")
    depth = word("depth as the program sees it")
    xleft = word("wavelets that may still go the express way, 0: none")
    xat = word("where the next element goes, an index of M16 or M32")
    xmode = word("how", Express)
    xlast = word("arrival of the last one")


NO_COLOR = 31  # in Queue.color
NO_TASK = 31  # id of a control wavelet that is for no task


class Entry(Record, prefix="E", size="EK", array="U"):
    """An entry of a queue."""

    value = word("payload")
    time = word("cycle of arrival, modulo 2^32")
    flags = word("what goes with it", EntryFlags)


# ---------------------------------------------------------------- T, HS


class Operation(Record, prefix="OI", size="OI", array="T"):
    """What is known about a vector operation, at code * OI."""

    dst = word("bytes of an element of the destination")
    src = words(3, "and of the sources")
    rate = word("cycles an element * 65536")
    kernel = word("kind of kernel: alu.CLASS_...")
    acc = word("1: it accumulates into a scalar")
    reduce = word("as `rate`, of a reduction")
    flops = word("floating-point operations of an element")


OPERATIONS = 64


class Tile(Record, prefix="TT", size="TT", array="T"):
    """A tile program: where its tables are, and how long."""

    funcs = word("functions")
    tasks = word("tasks")
    objs = word("memory objects")
    nobjs = word("number of memory objects")
    mem4d = word("walks")
    nmem4d = word("number of walks")
    niq = word("input queues")
    noq = word("output queues")
    nut = word("thread records of a PE")
    utmap = words(8, "per microthread: dense number of its thread record, or -1")
    iqmap = word("ids and colors of the input queues")
    oqmap = word("and of the output queues")
    ndsr = word("number of DSRs")
    nfuncs = word("number of functions")
    fifos = word("FIFOs")
    nfifos = word("number of FIFOs")
    limit = words(2, "limits of the counters of rotating tasks")
    near = words(4, "per operand: the memory object that an operation had last (memory.object_near)")


class Function(Record, prefix="FN", size="FK", array="T"):
    """A function."""

    entry = word("first instruction")
    params = word("number of parameters")
    frame = word("registers of its frame")


class Task(Record, prefix="TA", size="KK", array="T"):
    """A task id: 64 rows of data and local tasks by id, then 64 of control tasks."""

    kind = word("1 data, 2 local, 3 control, 0 none")
    function = word("its function")
    args = word("number of arguments")
    types = word("their types", TaskTypes)


TASK_DATA, TASK_LOCAL, TASK_CONTROL = range(1, 4)


class Object(Record, prefix="OB", size="OBK", array="T"):
    """A variable in memory. They stand in the order of their addresses."""

    address = word("first byte")
    size = word("bytes")


class QueueRow(Record, prefix="QR", size="QRK", array="T"):
    """A queue of a tile program, in dense order."""

    id = word("its number")
    color = word("color it is bound to at the start, or -1")


class Segment(Record, prefix="SG", size="SGK", array="HS"):
    """Data that the host streams to a PE."""

    position = word("next word, in HP")
    end = word("word behind the last")
    next = word("next segment, or -1")


# ---------------------------------------------------------------- for the engine

RECORDS = (Globals, Band, Pe, Thread, Operand, Dsr, Fifo, Extension, Note, Print, Event, Flight)
RECORDS += (Router, Channel, Queue, Entry, Operation, Tile, Function, Task, Object, QueueRow)
RECORDS += (*ir_words.ROWS, Segment)
PACKED = (Config, ChannelState, SwitchPosition, Filter, EntryFlags, Waiter, Express, Transfer, Counters, ThreadFlags)
PACKED += (Stalled, DsrMore, TaskTypes, NoteKey, PrintWhat, HostWavelet, EventWhere, EventWhat, WaveletExtra, EventCode)
PACKED += (FlightWhen, FlightWhere, *ir_words.PACKED)


def time_slot(name: str) -> int:
    """Where in W a number of the timing profile is kept."""
    return Globals.times + TIMES.index(name)


P0 = GLOBALS_ROOM  # PE records start here
assert P0 >= Globals.WORDS
T_TILES = OPERATIONS * Operation.WORDS  # tile records start here
CH_SHIFT = Channel.WORDS.bit_length() - 1  # a channel's number among those of its PE is its distance >> CH_SHIFT
M4_RING, M4_LENGTH, MOST_STEPS = ir_words.RING, ir_words.RING_LENGTH, ir_words.MOST_STEPS
FIFO_TEST, FIFO_TERMINATE, FIFO_SUSPEND, FIFO_FAULT = range(4)

# Numba gives a plain int constant a literal type and resolves every operation with it twice; int64 constants halve type
# inference
_numbers = numbers(*RECORDS, *PACKED) | {name: v for name, v in list(globals().items()) if type(v) is int}
_numbers |= {f"TIME_{name.replace('.', '_').upper()}": Globals.times + i for i, name in enumerate(TIMES)}
globals().update({name: np.int64(value) for name, value in _numbers.items()})
_readers = accessors(*PACKED)
globals().update(_readers)
__all__ = [*_numbers, *_readers]
# what compiled code takes from here: part of the key of its cache, in place of this file's text
NUMBERS = repr(sorted((name, int(value)) for name, value in _numbers.items())) + repr(
    [(d.NAME, f.name, f.first, f.width, f.signed, f.count) for d in PACKED for f in d.FIELDS.values()]
)
