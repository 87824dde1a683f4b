"""Waits in words. Nothing reads these texts but people: what has to tell waits apart reads the record (waiting.py)."""

from __future__ import annotations

from ..ir.program import DIRECTIONS
from .tables import SPARE_QUEUE
from .waiting import Cause, Gate, Kind, Wait

# what a wait is for
REASONS: dict[tuple[Kind, Cause], str] = {
    (Kind.OPERATION, Cause.NOTHING): "can go on",
    (Kind.OPERATION, Cause.EMPTY_QUEUE): "waits for {queue}",
    (Kind.OPERATION, Cause.FULL_QUEUE): "waits for room in {queue}",
    (Kind.OPERATION, Cause.EMPTY_FIFO): "waits for the {fifo}, which is empty",
    (Kind.OPERATION, Cause.FULL_FIFO): "waits for room in the {fifo}, which holds {count} elements",
    (Kind.OPERATION, Cause.BLOCKED): "is blocked",
    (Kind.ELEMENT, Cause.FABRIC): "waits for one element on the fabric",
    (Kind.ELEMENT, Cause.EMPTY_QUEUE): "waits for one wavelet from {queue}",
    (Kind.ELEMENT, Cause.FULL_QUEUE): "waits for room for one wavelet in {queue}",
    (Kind.TASK, Cause.BLOCKED): "is activated, but is blocked",
    (Kind.TASK, Cause.MAIN_THREAD): "is activated, but waits for the main thread",
    (Kind.INPUT, Cause.BLOCKED): "and the task for them is blocked",
    (Kind.INPUT, Cause.UNTAKEN): "which no operation takes",
    (Kind.INPUT, Cause.CONTROL_QUEUE): "the first a control wavelet for {name}, and the queue or the task is blocked",
    (Kind.INPUT, Cause.CONTROL_COLOR): "the first a control wavelet for {name}, and the color or the task is blocked",
    (Kind.OUTPUT, Cause.DOWNSTREAM): "cannot be emptied",
    (Kind.ROUTER, Cause.HOST): "wait for the host, which has not begun to take them",
    (Kind.ROUTER, Cause.NO_QUEUE): "wait in the router: no input queue takes this color",
    (Kind.ROUTER, Cause.DOWNSTREAM): "are stuck in the router, on their way to {to}",
    (Kind.ROUTER, Cause.TEARDOWN): "wait in the router: the color is in teardown, and the program does not leave it",
    (Kind.COMMAND, Cause.RETURNED): "has returned, and the command stream was not unblocked",
    (Kind.COMMAND, Cause.NOT_STARTED): "has not been started",
}
# who or what waits
SUBJECTS: dict[Kind, str] = {
    Kind.OPERATION: "{thread}: {operation}, {progress}, {reason}{kept}",
    Kind.ELEMENT: "{thread}: {reason}",
    Kind.TASK: "local task {name} (id {task}) {reason}",
    Kind.INPUT: "{queue} holds {count} wavelet{s}, {reason}",
    Kind.OUTPUT: "{queue} {reason}{gates}",
    Kind.ROUTER: "wavelets of color {color} {reason}{gates}",
    Kind.COMMAND: "{name} {reason}",
}
GATES: dict[Cause, str] = {
    Cause.TEARDOWN: "the color is in teardown there, and the program does not leave it",
    Cause.SWITCH_MOVES: "the switch there is about to advance, and takes nothing until the wavelets before have left",
    Cause.SWITCH: "the switch there is at position {position} and receives from {sides}, not from {side}",
}
KEPT = "; the filter has kept {kept} wavelet{s} from the PE"


def directions(mask: int, none: str) -> str:
    return ", ".join(DIRECTIONS[d] for d in range(5) if mask >> d & 1) or none


def thread_text(wait: Wait) -> str:
    return "main thread" if wait.thread is None else f"microthread {wait.thread}"


def queue_text(wait: Wait) -> str:
    """ "input queue 2 (color 3)"."""
    inward = wait.kind is Kind.INPUT or wait.cause is Cause.EMPTY_QUEUE
    side = "input" if inward else "output"
    named = wait.queue is not None and wait.queue < SPARE_QUEUE
    return (f"{side} queue {wait.queue}" if named else f"the {side} queue") + (
        "" if wait.color is None else f" (color {wait.color})"
    )


def progress_text(wait: Wait) -> str:
    return "endless" if wait.total is None else f"{wait.done} of {wait.total} elements"


def reason_text(wait: Wait) -> str:
    """What a wait is for: "waits for input queue 2 (color 3)", "can go on"."""
    return REASONS[wait.kind, wait.cause].format(
        queue=queue_text(wait),
        fifo=f"FIFO over {wait.fifo}" if wait.fifo else "FIFO",
        count=wait.count,
        name=wait.name,
        to=directions(wait.to, "nowhere (no tx)"),
    )


def wait_text(wait: Wait) -> str:
    """A whole wait: "microthread 2: fmovs, 3 of 8 elements, waits for input queue 2 (color 5)"."""
    return SUBJECTS[wait.kind].format(
        thread=thread_text(wait),
        operation=wait.operation,
        progress=progress_text(wait),
        reason=reason_text(wait),
        kept=KEPT.format(kept=wait.kept, s="" if wait.kept == 1 else "s")
        if wait.kept and wait.cause is Cause.EMPTY_QUEUE
        else "",
        name=wait.name,
        task=wait.task,
        queue=queue_text(wait),
        count=wait.count,
        s="" if wait.count == 1 else "s",
        color=wait.color,
        gates="".join(_gate_text(gate) for gate in wait.gates),
    )


def _gate_text(gate: Gate) -> str:
    text = GATES[gate.cause].format(
        position=gate.position, sides=directions(gate.receives, "nothing"), side=DIRECTIONS[gate.side]
    )
    return f": {text}" if gate.to is None else f" ({DIRECTIONS[gate.to]}: {text})"
