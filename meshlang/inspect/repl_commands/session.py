"""help, history, why, stats, quit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meshlang.inspect import registry
from meshlang.inspect.registry import command
from meshlang.inspect.shell import Quit

if TYPE_CHECKING:
    from meshlang.inspect.shell import Shell


@command(
    "help",
    "[COMMAND]",
    group="Session",
    complete=("command",),
    program=False,
    aliases=("?", "h"),
    examples=("help", "help run"),
)
def help_(repl: Shell, text: str) -> None:
    """The commands, or one of them in full."""
    if text:
        c = registry.find(text)
        repl.say(f"{c.name} {c.usage}".strip(), "bold")
        repl.say(c.help)
        if c.aliases:
            repl.say(f"also: {', '.join(c.aliases)}")
        for example in c.examples:
            repl.say(f"  {example}")
        return
    for group in registry.GROUPS:
        repl.say(f"{group}:", "bold")
        for c in registry.COMMANDS.values():
            if c.group == group:
                repl.say(f"  {c.name:<10} {c.summary}")
    repl.say("PLACE is X,Y or X0:X1,Y0:Y1 (ends not included) or all; names may be shortened; help COMMAND tells more")


@command("quit", "", group="Session", program=False, aliases=("exit", "q"), examples=("quit",))
def quit_(repl: Shell, text: str) -> None:
    """End the session."""
    del repl, text
    raise Quit


@command("history", "[COUNT]", group="Session", program=False, examples=("history", "history 5"))
def history(repl: Shell, text: str) -> None:
    """The lines of this session, numbered; the last so many."""
    from meshlang.inspect import arguments

    count = arguments.whole_number(text, "a number of lines", 1) if text else len(repl.lines)
    first = max(0, len(repl.lines) - count)
    for number, line in enumerate(repl.lines[first:], first + 1):
        repl.say(f"{number:>4}  {line}")


@command("why", "", group="Running", aliases=("w",), examples=("why",))
def why(repl: Shell, text: str) -> None:
    """Why nothing moves: everything that waits, what it waits for, where in the source, and what to change."""
    del text
    from meshlang.inspect.why import explain, explanation_lines

    if (fault := repl.debugger.stopped_by) is not None:
        repl.say(
            f"cycle {repl.debugger.cycle}: a fault has stopped the fabric, so nothing waits: it says itself what to change",
            "bold",
        )
        repl.show_error(fault)
        return
    for line, style in explanation_lines(explain(repl.debugger.machine)):
        repl.say(line, style)


@command("stats", "", group="Running", examples=("stats",))
def stats(repl: Shell, text: str) -> None:
    """Counters of the run so far: cycles, instructions, wavelets, memory accesses, and how busy the PEs were."""
    del text
    import numpy as np

    machine = repl.debugger.machine
    st = machine.stats()
    for name in (
        "cycles",
        "instructions",
        "vector_elements",
        "hops",
        "delivered",
        "wavelets_sent",
        "wavelets_received",
        "tasks",
        "bytes_read",
        "bytes_written",
        "flops",
    ):
        repl.say(f"{name.replace('_', ' '):<18} {st[name]:,}")
    busy = st["busy"][machine.state.tile_of.reshape(st["busy"].shape) >= 0]
    if busy.size:
        repl.say(
            f"{'busy cycles per PE':<18} least {int(busy.min()):,}, mean {np.mean(busy):,.1f}, most {int(busy.max()):,}"
        )
