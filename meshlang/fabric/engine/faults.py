"""What can go wrong at run time: one entry for each fault. Its number is what the engine compiles; code, message and help
are what the user reads (report.py), and the verdict is a row of the table in docs/language.md (verdicts.py).

A new fault is an entry here, the line of the engine that raises it, a page in catalog.md and a test; tests refuse an entry
without one of these. Of this file only names and numbers are in the key of compiled code (NUMBERS), so that a change of a text compiles
nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

FAULT, WARNING = "fault", "warning"


@dataclass(frozen=True)
class Verdict:
    """kind: a *fault* is what makes results meaningless, or would hang or corrupt the machine. What the machine does
    without a word, and with a meaning, is a *warning*: counted, once for each kind and place, and a fault with --strict.
    """

    kind: str
    what: str
    why: str


_OUTSIDE = Verdict(
    FAULT,
    "a load, a store or a copy outside the memory of the PE",
    "there is nothing to read, and a write goes to registers or nowhere",
)
_MEANINGLESS = Verdict(FAULT, "division by zero, a shift by the width or more", "the result has no meaning")
_SAID_SO = Verdict(FAULT, "a failed assertion, unreachable code", "the program says so")
_UNROUTED = Verdict(
    FAULT,
    "a wavelet for a router inside the rectangle that has no route for its color, or none from that side",
    "undefined: it would block the link's color, or get lost on its way to a PE that waits",
)
_IN_USE = Verdict(
    FAULT,
    "a microthread, a queue or a DSR that another operation is using",
    "the two would mix (D: the program's duty)",
)
_NOT_WALKED = Verdict(FAULT, "an operand that the operation cannot walk", "there is no meaning to choose")
_ASTRAY = Verdict(
    FAULT,
    "a vector outside the memory of the PE, at no variable, or without end over a vector that has one",
    "it reads nothing, and overwrites everything",
)
_NOT_SET_UP = Verdict(
    FAULT, "a fabric operation whose queue, route or microthread was never set up", "it would wait for ever"
)
_NOT_MODELLED = Verdict(FAULT, "a register that MeshLang does not model", "the effect is not known here")
_OTHER_COLOR = Verdict(
    FAULT,
    "another color for a queue that is not empty, or for what a color swap gives away",
    "wavelets of one color would be taken for those of the other",
)
_ASKED_FOR = Verdict(FAULT, "a FIFO's `fault`, an exception that is unmasked", "the program asks for it")


class Fault(IntEnum):
    """number, code, verdict, message, help. In message and help {a} {b} {c} are the three numbers that the engine gives,
    and other names what report.py makes of them."""

    code: str
    verdict: Verdict
    message: str
    help: str | None

    def __new__(cls, number: int, code: str, verdict: Verdict, message: str, help: str | None = None) -> Fault:
        fault = int.__new__(cls, number)
        fault._value_ = number
        fault.code, fault.verdict, fault.message, fault.help = code, verdict, message, help
        return fault

    @classmethod
    def numbered(cls, number: int) -> Fault:
        return next(fault for fault in cls if fault == number)

    BAD_OPCODE = (
        1,
        "MS0801",
        Verdict(FAULT, "code that does not exist", "a damaged program"),
        "the engine met an unknown instruction {a}",
        "this is a bug in MeshLang; please report it",
    )
    LOAD = 2, "MS0802", _OUTSIDE, "load of {b} bytes at address {a}, outside the PE's memory of {memory} bytes"
    STORE = 3, "MS0803", _OUTSIDE, "store of {b} bytes at address {a}, outside the PE's memory of {memory} bytes"
    DIV_ZERO = (
        4,
        "MS0804",
        _MEANINGLESS,
        "integer division by zero",
        "test the divisor before it divides",
    )
    SHIFT = (
        5,
        "MS0805",
        _MEANINGLESS,
        "shift by {a} bits of a {b}-bit value",
        "the amount must be less than the width of the type",
    )
    BOUNDS = (
        6,
        "MS0806",
        Verdict(
            FAULT,
            "an index `a[i]` outside its array",
            "what is read has no meaning, and what is written corrupts other data; no published program was found to do it on purpose",
        ),
        "index {a} is outside an array of {b} elements",
        "indices begin at 0; test the index before, or make the array longer",
    )
    ASSERT = 7, "MS0807", _SAID_SO, "assertion failed{text}"
    TRAP = (
        8,
        "MS0808",
        _SAID_SO,
        "unreachable code was reached{text}",
        "every way through a function that gives a value has to end in a return",
    )
    STACK = (
        9,
        "MS0809",
        Verdict(FAULT, "a full call stack", "the machine's would grow into data"),
        "the call stack is full ({a} registers)",
        "recursion is too deep",
    )
    FUNCTION = (
        10,
        "MS0810",
        Verdict(FAULT, "a call through a pointer that is no function", "the machine would run data as code"),
        "call through a pointer that is not a function ({a})",
    )
    NO_ROUTE = (
        11,
        "MS0811",
        _UNROUTED,
        "a wavelet of color {color} leaves {from_} to the {side}, but the router there has no route for that color",
        "configure the color on both routers, or take the direction out of tx",
    )
    OFF_RECT = (
        12,
        "MS0812",
        Verdict(
            WARNING,
            "a wavelet that leaves the rectangle",
            "nobody is there: it is lost, and the sender goes on. Published programs do it at the end of a line",
        ),
        "a wavelet of color {color} leaves {from_} to the {side}, off the rectangle, and is lost there",
        "take the direction out of tx on the border; with --strict this is an error",
    )
    MISROUTED = (
        13,
        "MS0813",
        _UNROUTED,
        "a wavelet of color {color} arrives at {to} from the {from_side}, a side that is not in its rx",
        "add the side to rx, or {stop}",
    )
    TWO_SIDES = (
        14,
        "MS0814",
        Verdict(
            FAULT, "wavelets of a color from two sides at once", "undefined (D): their order, or one of them, is lost"
        ),
        "two wavelets of color {color} arrive at {to} in the same cycle from two sides",
        "a color may have several rx sides only if they are never used at the same time",
    )
    CMD_DOUBLE = (
        15,
        "MS0815",
        Verdict(
            WARNING,
            "`unblock_cmd_stream` with no command outstanding",
            "the stream is not blocked: nothing happens. Published programs do it",
        ),
        "the command stream is unblocked, but no command is outstanding on this PE",
        "the second call for one launch, or one without a launch, has no effect; with --strict this is an error",
    )
    UT_BUSY = (
        16,
        "MS0816",
        _IN_USE,
        "microthread {a} is started while it still runs another operation: {text}, since cycle {since}",
        "wait for the first operation's completion, or use another microthread",
    )
    QUEUE_BUSY = (
        17,
        "MS0817",
        _IN_USE,
        "{kind} queue {a} is used by two operations at once",
        "wait for the first operation's completion, or use another queue",
    )
    WIDTH = (
        18,
        "MS0818",
        _NOT_WALKED,
        "the operation works on {b}-byte elements, but its operand {c} is a DSD of {a}-byte elements",
        "use the operation for that element type",
    )
    WALK = (
        19,
        "MS0819",
        _ASTRAY,
        "the vector runs over bytes {a} to {b}, which leaves {object}{beyond}",
        "check base address, length and stride",
    )
    WALK_NOWHERE = 20, "MS0820", _ASTRAY, "the vector starts at address {a}, which belongs to no variable"
    NO_QUEUE = (
        21,
        "MS0821",
        _NOT_SET_UP,
        "the fabric operand has no {kind} queue on this PE",
        "initialise the queue for the color: @initialize_queue(queue, .{{ .color = c }})",
    )
    NO_COLOR = (
        22,
        "MS0822",
        _NOT_SET_UP,
        "a wavelet of color {a} is sent, but the PE's own router has no route for that color",
        "configure the color with @set_color_config",
    )
    UNSUPPORTED_DSD = 23, "MS0823", _NOT_WALKED, "a DSD of kind {a} cannot be used here yet"
    ASYNC_NO_FABRIC = (
        24,
        "MS0824",
        Verdict(FAULT, "an asynchronous operation in memory", "the machine has none (D)"),
        "an asynchronous operation needs a fabric operand",
    )
    OPERAND = (
        25,
        "MS0825",
        _NOT_WALKED,
        "operand {a} of the operation has no valid DSD",
        "the DSD variable or DSR was never set",
    )
    UT_UNKNOWN = (
        26,
        "MS0826",
        _NOT_SET_UP,
        "the operation would run on microthread {a}, which the program never prepared",
    )
    NO_TASK = (
        27,
        "MS0827",
        Verdict(FAULT, "`@activate` of an id without a task", "the machine would start what stands in its task table"),
        "task {a} is activated, but no task is bound to that id",
    )
    COPY = 28, "MS0828", _OUTSIDE, "copy of {c} bytes from {b} to {a} leaves the PE's memory of {memory} bytes"
    DSR_BUSY = (
        29,
        "MS0829",
        _IN_USE,
        "{dsr} is loaded while an asynchronous operation that uses it is still running",
        "load it when the operation is complete, or use another DSR",
    )
    UNHEARD = (
        30,
        "MS0830",
        Verdict(
            WARNING,
            "a control wavelet for an id without a task",
            "it is consumed. Programs send such wavelets to move switches on the way",
        ),
        "a control wavelet of color {color} is for task {a}, and no task is bound to that id",
        "bind a task to the id, or send it with id 31, which is for no task ({{}} in <control>); with --strict this is an error",
    )
    NO_CHANNEL = (
        31,
        "MS0831",
        _NOT_MODELLED,
        "the route, switch or filter of color {a} is set, and the PE's router has none for that color",
        "give the color a configuration with @set_color_config; its routes may be empty at first",
    )
    ENDLESS_WALK = 32, "MS0832", _ASTRAY, "an operation without end runs past its memory vector of {a} elements"
    QUEUE_COLOR = (
        33,
        "MS0833",
        _OTHER_COLOR,
        "{kind} queue {a} is wanted for color {b}, but wavelets of color {c} are still in it",
        "finish with the one color before the other (@queue_flush tells when a queue is empty), or use two queues",
    )
    REGISTER = (
        34,
        "MS0857",
        _NOT_MODELLED,
        "there is no register at word address {a:#06x} that MeshLang models",
        "0x7f20 + color are the routes and 0x7f40 + color the switch of a color",
    )
    FIFO = (
        35,
        "MS0858",
        _ASKED_FOR,
        "an operation finds the FIFO {state}, and its {state}_action is fault",
        "let it wait (suspend) or stop (terminate), or make the FIFO larger",
    )
    EXCEPTION = (
        36,
        "MS0859",
        _ASKED_FOR,
        "the floating-point exception {text}, which the program has unmasked",
        "set_exception_mask says which exceptions stop a PE; all are masked at the start",
    )
    RAMP_SWAPPED = (
        37,
        "MS0834",
        _OTHER_COLOR,
        "a wavelet of color {a} is sent, but the color swap of both axes gives color {a} what is sent on color {b}, and color {b} has no such swap",
        "send on color {b}, or give both colors the swap",
    )
    NO_DSD = (
        38,
        "MS0835",
        _NOT_WALKED,
        "{a:#x} is no DSD of this program: it names a walk or a FIFO that does not exist",
        "the DSD variable was overwritten, or made from bits",
    )
    LENGTH = (
        39,
        "MS0851",
        Verdict(
            WARNING,
            "operands of different lengths",
            "the first source's length decides (E); published programs rely on it",
        ),
        "the operation has {a} elements, but its {operand} has {b}; the first source's length decides",
    )


NUMBERS = repr([(fault.name, int(fault)) for fault in Fault])
