"""From the machine's state to messages: faults, and what a stopped machine waits for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..diag import Diagnostic, Label, MeshlangError
from ..ir import isa
from ..ir.dsdops import DsdOpCode
from ..ir.program import DIRECTIONS
from .engine import state as s
from .engine.faults import Fault
from .places import calls_of, configured, place_of, span_of, task_name
from .recording.flight import flight_notes
from .unblocking import unblock_places
from .waiting import Cause, Kind, find_waiting
from .wording import wait_text

if TYPE_CHECKING:
    from .loaded import Loaded

CALLS_SHOWN = 6
OPERANDS = ("destination", "source 1", "source 2", "source 3")


def fault_words(machine: Loaded, fault: Fault, pe: int, a: int, b: int, c: int) -> dict[str, Any]:
    """What the messages of faults name that may be warnings as well."""
    words: dict[str, Any] = {"a": a, "b": b, "c": c}
    if fault in (Fault.NO_ROUTE, Fault.OFF_RECT):
        words.update(color=a, from_=place_of(machine, pe), side=DIRECTIONS[b])
    elif fault == Fault.UNHEARD:
        words.update(color=b)
    elif fault == Fault.LENGTH:
        words.update(operand=OPERANDS[c])
    return words


def fault_error(machine: Loaded) -> MeshlangError:
    """The exception for the fault the engine recorded."""
    machine.settle()
    W = machine.state.W
    fault = Fault.numbered(int(W[s.Globals.fault]))
    pe, pc, cycle = int(W[s.Globals.fpe]), int(W[s.Globals.fpc]), int(W[s.Globals.fcycle])
    a, b, c = int(W[s.Globals.fa]), int(W[s.Globals.fb]), int(W[s.Globals.fc])
    record = machine.pes[pe]
    tile = int(machine.state.tile_of[pe])
    words = {**fault_words(machine, fault, pe, a, b, c), "memory": int(record["memsize"]), "text": ""}
    color = words.get("color")
    labels: list[Label] = []
    if fault in (Fault.MISROUTED, Fault.TWO_SIDES):
        color = a
        sender = place_of(machine, c)
        words.update(
            color=a,
            to=place_of(machine, pe),
            from_side=DIRECTIONS[b],
            from_=sender,
            stop=f"do not send on color {a} there"
            if DIRECTIONS[b] == "RAMP"
            else f"take the direction out of tx at {sender}",
        )
    elif fault in (Fault.ASSERT, Fault.TRAP) and (a if fault == Fault.TRAP else a) >= 0:
        words["text"] = f": {machine.state.strings[a]}" if a < len(machine.state.strings) else ""
    elif fault == Fault.QUEUE_BUSY:
        words["kind"] = "output" if b else "input"
        color = c if c < 31 else None
    elif fault == Fault.DSR_BUSY and tile >= 0:
        file, number = machine.program.tiles[tile].dsrs[a]
        words["dsr"] = f"DSR {number} of dsr_{file}"
        started = span_of(machine, tile, b)
        labels += [Label(started, "the operation was started here")] if started is not None else []
    elif fault == Fault.UT_BUSY and tile >= 0:
        started, words["since"], words["text"] = _thread_of(machine, pe, a)
        labels += [Label(started, "this operation holds it")] if started is not None else []
    elif fault == Fault.EXCEPTION:
        words["text"] = " and ".join(name for bit, name in enumerate(isa.EXCEPTIONS) if a >> bit & 1)
    elif fault == Fault.FIFO:
        words["state"] = "full" if a else "empty"
    elif fault == Fault.QUEUE_COLOR:
        words.update(kind="output" if a & 8 else "input", a=a & 7)
    elif fault == Fault.NO_QUEUE:
        words["kind"] = "output" if a else "input"
    elif fault == Fault.WIDTH:
        words["c"] = f"{c} ({OPERANDS[c]})"
    elif fault == Fault.WALK and tile >= 0:
        known = [o for o in machine.program.tiles[tile].objects if o.address == c]
        inside = min((o.address for o in machine.program.tiles[tile].objects), default=0) <= a and b <= words["memory"]
        words["beyond"] = "" if inside else f" and all variables of the program, which end at byte {words['memory']}"
        words["object"] = (
            f"{known[0].name} ({known[0].type}, bytes {c} to {c + known[0].size})" if known else "its variable"
        )
    notes = [f"at {place_of(machine, pe)}, cycle {cycle}"]
    router = fault in (Fault.NO_ROUTE, Fault.OFF_RECT, Fault.MISROUTED, Fault.TWO_SIDES, Fault.UNHEARD)
    task = None if router else task_name(machine, tile, int(record["task"]))
    if task:
        notes.append(f"in {task}")
    if tile >= 0:
        notes.append(f"tile program {machine.program.tiles[tile].name}")
    if color is not None:
        notes.append(f"color {color}")
    span = configured(machine, pe, color) if router else span_of(machine, tile, pc)
    # in scalar code the calls say where in the program a library was called; what an operation does later has none
    calls = (
        calls_of(machine, pe, pc)
        if span is not None and not router and record["st"] == s.ST_RUN and record["pc"] == pc + 1
        else []
    )
    labels += [Label(call, "called from here") for call in calls[:CALLS_SHOWN] if call is not None]
    if len(calls) > CALLS_SHOWN:
        notes.append(f"{len(calls)} calls deep")
    notes += flight_notes(machine, pe, task_name)
    return MeshlangError(
        Diagnostic(
            fault.code,
            fault.message.format_map(words),
            span=span,
            labels=labels,
            notes=notes,
            help=fault.help.format_map(words) if fault.help else None,
        )
    )


def _thread_of(machine: Loaded, pe: int, ut: int) -> tuple[Any, int, str]:
    """The operation that runs on a microthread: its place, since when, and in words how far it is."""
    running = int(machine.pes[pe]["utmask"])
    for dense in range(1, running.bit_length()):
        thread = machine.state.thread(pe, dense)
        if running >> dense & 1 and thread["id"] == ut:
            endless = int(thread["flags"]) & s.ThreadFlags.endless.mask
            of = "without end" if endless else f"{thread['k']} of {thread['n']} elements"
            return (
                span_of(machine, int(machine.state.tile_of[pe]), int(thread["pc"])),
                int(thread["start"]),
                f"{DsdOpCode(int(thread['code'])).name.lower()}, {of}",
            )
    raise AssertionError(f"microthread {ut} is at rest")


def _pes(count: int) -> str:
    return f"{count} PE{'' if count == 1 else 's'}"


def _unblock_notes(machine: Loaded) -> list[str]:
    """Where the code of the PEs that are not done would unblock the command stream."""
    found: dict[str, list[str]] = {}
    for t in np.unique(machine.state.tile_of[machine.pes["cmdopen"] == 1]):
        tile = machine.program.tiles[int(t)]
        places = ", ".join(unblock_places(tile)) or "nowhere"
        found.setdefault(places, []).append(tile.name)
    return [
        f"{', '.join(names)}: the command stream is unblocked {'in ' if p != 'nowhere' else ''}{p}"
        for p, names in found.items()
    ]


def deadlock_error(
    machine: Loaded, until: Any, have: np.ndarray | None = None, lost: Sequence[str] = ()
) -> MeshlangError:
    """The exception for a machine in which nothing can happen any more, while something is expected. have: how many
    wavelets each PE has sent of the stream that `until` is about. lost: what has come and found nobody."""
    if until == "commands":
        what = f"{machine.command!r} has not finished on {_pes(machine.commands_outstanding)}"
    elif until == "streams":
        counts = {c: n for c in machine.state.hin_index if (n := machine.stream_in_pending(c))}
        what = "what the host streams in is not taken: " + ", ".join(
            f"color {c} by {_pes(n)}" for c, n in counts.items()
        )
    else:
        assert have is not None
        got = f"{have.min()}" if have.min() == have.max() else f"{have.min()} to {have.max()}"
        what = f"the host waits for {until[6]} wavelets of color {until[1]} from {'each of ' if have.size > 1 else ''}{_pes(have.size)} and got {got}"
    groups = find_waiting(machine)
    notes = [f"{g.places()}: {wait_text(g.wait)}" for g in groups[:12]]
    if until == "commands" and groups and all(g.wait.cause is Cause.RETURNED for g in groups):
        error = MeshlangError(
            Diagnostic(
                "MS0856",
                f"{machine.command!r} has returned on {_pes(machine.commands_outstanding)}, where nothing has unblocked the command stream",
                span=next((g.span for g in groups if g.span is not None), None),
                notes=[f"cycle {machine.cycle}", *notes, *_unblock_notes(machine), *lost],
                help="call unblock_cmd_stream() of <memcpy/memcpy> once on every PE, in the task that comes last",
            ),
            exit_code=3,
        )
        error.machine = machine
        return error
    notes += lost
    if len(groups) > 12:
        notes.append(f"and {len(groups) - 12} more groups")
    if until == "commands" and any(g.wait.kind is Kind.ROUTER and g.wait.color in machine.held_streams for g in groups):
        notes.append(
            "commands and copies are one queue: the host takes a stream when the launch before it is over, and this launch is "
            "not over before its data have left"
        )
    if not groups:
        notes.append(
            "no PE waits for anything: a function ended without unblocking the command stream, or nothing is sent"
        )
    # an endless operation waits by design: the place that is shown is another one, if there is
    first = next((g.span for g in sorted(groups, key=lambda g: g.wait.endless) if g.span is not None), None)
    error = MeshlangError(
        Diagnostic(
            "MS0860",
            f"deadlock at cycle {machine.cycle}: nothing can happen any more, but {what}",
            span=first,
            notes=notes,
        ),
        exit_code=3,
    )
    error.machine, error.until = machine, until  # for inspect.why, which looks for the root when the error is shown
    return error
