"""What is said about each fault: one row per fault."""

from __future__ import annotations

from .engine.faults import Fault

# fault -> (code, message with {a} {b} {c} and the names prepared by report.py, help)
MESSAGES: dict[Fault, tuple[str, str, str | None]] = {
    Fault.BAD_OPCODE: (
        "MS0801",
        "the engine met an unknown instruction {a}",
        "this is a bug in MeshLang; please report it",
    ),
    Fault.LOAD: ("MS0802", "load of {b} bytes at address {a}, outside the PE's memory of {memory} bytes", None),
    Fault.STORE: ("MS0803", "store of {b} bytes at address {a}, outside the PE's memory of {memory} bytes", None),
    Fault.DIV_ZERO: ("MS0804", "integer division by zero", None),
    Fault.SHIFT: (
        "MS0805",
        "shift by {a} bits of a {b}-bit value",
        "the amount must be less than the width of the type",
    ),
    Fault.BOUNDS: ("MS0806", "index {a} is outside an array of {b} elements", None),
    Fault.ASSERT: ("MS0807", "assertion failed{text}", None),
    Fault.TRAP: ("MS0808", "unreachable code was reached{text}", None),
    Fault.STACK: ("MS0809", "the call stack is full ({a} registers)", "recursion is too deep"),
    Fault.FUNCTION: ("MS0810", "call through a pointer that is not a function ({a})", None),
    Fault.NO_ROUTE: (
        "MS0811",
        "a wavelet of color {color} leaves {from_} to the {side}, but the router there has no route for that color",
        "configure the color on both routers, or take the direction out of tx",
    ),
    Fault.OFF_RECT: (
        "MS0812",
        "a wavelet of color {color} leaves {from_} to the {side}, off the rectangle, and is lost there",
        "take the direction out of tx on the border; with --strict this is an error",
    ),
    Fault.MISROUTED: (
        "MS0813",
        "a wavelet of color {color} arrives at {to} from the {from_side}, a side that is not in its rx",
        "add the side to rx, or {stop}",
    ),
    Fault.TWO_SIDES: (
        "MS0814",
        "two wavelets of color {color} arrive at {to} in the same cycle from two sides",
        "a color may have several rx sides only if they are never used at the same time",
    ),
    Fault.CMD_DOUBLE: (
        "MS0815",
        "the command stream is unblocked, but no command is outstanding on this PE",
        "the second call for one launch, or one without a launch, has no effect; with --strict this is an error",
    ),
    Fault.UT_BUSY: (
        "MS0816",
        "microthread {a} is started while it still runs another operation: {text}, since cycle {since}",
        "wait for the first operation's completion, or use another microthread",
    ),
    Fault.QUEUE_BUSY: (
        "MS0817",
        "{kind} queue {a} is used by two operations at once",
        "wait for the first operation's completion, or use another queue",
    ),
    Fault.WIDTH: (
        "MS0818",
        "the operation works on {b}-byte elements, but its operand {c} is a DSD of {a}-byte elements",
        "use the operation for that element type",
    ),
    Fault.WALK: (
        "MS0819",
        "the vector runs over bytes {a} to {b}, which leaves {object}{beyond}",
        "check base address, length and stride",
    ),
    Fault.WALK_NOWHERE: ("MS0820", "the vector starts at address {a}, which belongs to no variable", None),
    Fault.NO_QUEUE: (
        "MS0821",
        "the fabric operand has no {kind} queue on this PE",
        "initialise the queue for the color: @initialize_queue(queue, .{{ .color = c }})",
    ),
    Fault.NO_COLOR: (
        "MS0822",
        "a wavelet of color {a} is sent, but the PE's own router has no route for that color",
        "configure the color with @set_color_config",
    ),
    Fault.UNSUPPORTED_DSD: ("MS0823", "a DSD of kind {a} cannot be used here yet", None),
    Fault.NO_DSD: (
        "MS0835",
        "{a:#x} is no DSD of this program: it names a walk or a FIFO that does not exist",
        "the DSD variable was overwritten, or made from bits",
    ),
    Fault.ASYNC_NO_FABRIC: ("MS0824", "an asynchronous operation needs a fabric operand", None),
    Fault.OPERAND: ("MS0825", "operand {a} of the operation has no valid DSD", "the DSD variable or DSR was never set"),
    Fault.UT_UNKNOWN: ("MS0826", "the operation would run on microthread {a}, which the program never prepared", None),
    Fault.NO_TASK: ("MS0827", "task {a} is activated, but no task is bound to that id", None),
    Fault.COPY: ("MS0828", "copy of {c} bytes from {b} to {a} leaves the PE's memory of {memory} bytes", None),
    Fault.DSR_BUSY: (
        "MS0829",
        "{dsr} is loaded while an asynchronous operation that uses it is still running",
        "load it when the operation is complete, or use another DSR",
    ),
    Fault.REGISTER: (
        "MS0857",
        "there is no register at word address {a:#06x} that MeshLang models",
        "0x7f20 + color are the routes and 0x7f40 + color the switch of a color",
    ),
    Fault.FIFO: (
        "MS0858",
        "an operation finds the FIFO {state}, and its {state}_action is fault",
        "let it wait (suspend) or stop (terminate), or make the FIFO larger",
    ),
    Fault.EXCEPTION: (
        "MS0859",
        "the floating-point exception {text}, which the program has unmasked",
        "set_exception_mask says which exceptions stop a PE; all are masked at the start",
    ),
    Fault.RAMP_SWAPPED: (
        "MS0834",
        "a wavelet of color {a} is sent, but the color swap of both axes gives color {a} what is sent on color {b}, and "
        "color {b} has no such swap",
        "send on color {b}, or give both colors the swap",
    ),
    Fault.QUEUE_COLOR: (
        "MS0833",
        "{kind} queue {a} is wanted for color {b}, but wavelets of color {c} are still in it",
        "finish with the one color before the other (@queue_flush tells when a queue is empty), or use two queues",
    ),
    Fault.UNHEARD: (
        "MS0830",
        "a control wavelet of color {color} is for task {a}, and no task is bound to that id",
        "bind a task to the id, or send it with id 31, which is for no task ({{}} in <control>); with --strict this is an "
        "error",
    ),
    Fault.NO_CHANNEL: (
        "MS0831",
        "the route, switch or filter of color {a} is set, and the PE's router has none for that color",
        "give the color a configuration with @set_color_config; its routes may be empty at first",
    ),
    Fault.LENGTH: (
        "MS0851",
        "the operation has {a} elements, but its {operand} has {b}; the first source's length decides",
        None,
    ),
    Fault.ENDLESS_WALK: ("MS0832", "an operation without end runs past its memory vector of {a} elements", None),
}
