"""back, goto, save, restore, log: earlier cycles."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meshlang.fabric import snapshot
from meshlang.inspect import arguments
from meshlang.inspect.mistakes import mistake
from meshlang.inspect.registry import command

from .running import report

if TYPE_CHECKING:
    from meshlang.inspect.shell import Shell


@command("back", "[CYCLES]", group="Time", examples=("back", "back 100"))
def back(repl: Shell, text: str) -> None:
    """Return to an earlier cycle: one back, or so many. The fabric is then exactly as it was.
    Running on repeats what happened, commands of the host included; a new launch or write makes another future.
    """
    count = arguments.whole_number(text or "1", "a number of cycles", 1)
    first = repl.debugger.checkpoints[0].shot.cycle
    report(repl, repl.debugger.goto(max(first, repl.debugger.cycle - count)))


@command("goto", "CYCLE", group="Time", examples=("goto 120",))
def goto(repl: Shell, text: str) -> None:
    """Bring the fabric to a cycle, earlier or later; commands given on the way are repeated."""
    report(repl, repl.debugger.goto(arguments.whole_number(text, "a cycle")))


@command("log", "", group="Time", examples=("log",))
def log(repl: Shell, text: str) -> None:
    """The commands the host has given, with their cycles.
    Those after the present are repeated when the machine runs on."""
    del text
    debugger = repl.debugger
    for i, action in enumerate(debugger.actions):
        repl.say(f"cycle {action.cycle}: {action.text}" + ("" if i < debugger.applied else "  (in the future)"))
    repl.say(f"now at cycle {debugger.cycle}; the furthest was {debugger.last_cycle}")


@command("save", "FILE", group="Time", complete=("file",), examples=("save before.npz",))
def save(repl: Shell, text: str) -> None:
    """Write the state of the fabric to a file."""
    if not text:
        raise mistake("save needs a file name", help="save before.npz")
    repl.debugger.leave_trap()
    snapshot.save(text, repl.debugger.machine)
    repl.say(f"cycle {repl.debugger.cycle} saved in {text}")


@command("restore", "FILE", group="Time", complete=("file",), examples=("restore before.npz",))
def restore(repl: Shell, text: str) -> None:
    """Bring the fabric to a state that `save` wrote, for the same program and parameters.
    The recording begins anew there."""
    if not text:
        raise mistake("restore needs a file name", help="restore before.npz")
    repl.debugger.leave_trap()
    snapshot.restore(text, repl.debugger.machine)
    repl.debugger.restart_history()
    repl.say(f"cycle {repl.debugger.cycle}, from {text}")
