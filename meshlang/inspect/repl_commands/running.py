"""launch, run, step, next, break, watch, delete: making time pass."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

from meshlang.fabric.engine import state as s
from meshlang.inspect import arguments, names
from meshlang.inspect.mistakes import mistake
from meshlang.inspect.registry import command

if TYPE_CHECKING:
    from meshlang.inspect.debugger import Outcome
    from meshlang.inspect.shell import Shell

CONDITIONS = ("cycle", "line", "task", "wavelet", "change")


@command(
    "launch", "NAME [ARGUMENTS]", group="Running", complete=("function",), examples=("launch main", "launch run 3")
)
def launch(repl: Shell, text: str) -> None:
    """Call an exported function on all PEs. Nothing runs before `run`, `step` or `next`."""
    try:
        name, *given = shlex.split(text) or [""]
    except ValueError as error:
        raise mistake(f"the line is incomplete: {error}") from None
    if not name:
        functions = [f.name for f in repl.debugger.symbols.all if f.kind == "fn"]
        raise mistake(
            "launch needs the name of a function", help=f"exported functions: {', '.join(functions) or 'none'}"
        )
    symbol = repl.debugger.symbols.function(name)
    args = [_argument(v, k) for v, k in zip(given, symbol.params)] + given[len(symbol.params) :]
    pes = repl.debugger.launch(name, tuple(args))
    repl.say(f"{name} is launched on {pes} PE{'s' if pes > 1 else ''}")


def _argument(text: str, kind: str) -> Any:
    from meshlang.host.values import number_or_text

    value = number_or_text(text)
    if kind == "bool" and value in (0, 1):
        return bool(value)
    return float(value) if kind.startswith("f") and isinstance(value, int) else value


def report(repl: Shell, outcome: Outcome) -> None:
    """Say why a run stopped. The PE that stands at a breakpoint is the one that commands without a place are about now."""
    repl.flush_lines()
    machine = repl.debugger.machine
    if outcome.pe is not None:
        repl.place = outcome.pe % machine.width, outcome.pe // machine.width
    for expression in repl.displays:
        repl.say(f"{expression}:", "dim")
        repl.execute(f"print {expression}")
    text = {
        "done": f"{machine.command} is done on all PEs",
        "quiet": "at rest: nothing more happens",
        "limit": "stopped",
        "condition": outcome.text or "stopped",
        "interrupted": "interrupted",
    }[outcome.reason]
    open_ = machine.commands_outstanding
    if outcome.reason in ("limit", "interrupted") and open_:
        text += f" ({machine.command} has not finished on {open_} PE{'s' if open_ > 1 else ''})"
    repl.say(
        f"cycle {outcome.cycle}: {text}",
        {"condition": "bold", "done": "green", "interrupted": "yellow"}.get(outcome.reason),
    )


@command(
    "run",
    "[CYCLES | until CONDITION]",
    group="Running",
    complete=("until", *CONDITIONS, "symbol"),
    aliases=("r", "c", "continue"),
    examples=(
        "run",
        "run 1000",
        "run until cycle 500",
        "run until task done @ 1,0",
        "run until wavelet 3",
        "run until x[0] > 1 @ 0,0",
    ),
)
def run(repl: Shell, text: str) -> None:
    """Run until the launched function is done on all PEs, or nothing can happen; or so many cycles; or to a condition.
    Conditions: cycle N, line FILE:LINE, task NAME, wavelet COLOR, an expression, change EXPRESSION; `@ PLACE` narrows
    them. Lines and tasks stop exactly before the instruction. Wavelets are exact to the cycle. Expressions are looked
    at after every cycle, and a PE computes scalar code ahead of the clock: a change can show a few cycles early.
    Breakpoints stop runs too.
    """
    word, _, rest = text.partition(" ")
    debugger = repl.debugger
    if word == "until":
        if not rest.strip():
            raise mistake(
                "until what?",
                help="run until task NAME, line FILE:LINE, wavelet COLOR, cycle N, or an expression @ X,Y",
            )
        if rest.split()[0] == "cycle":
            wanted = arguments.condition(debugger.machine, rest)
            report(repl, debugger.run(limit=max(0, wanted.cycle - debugger.cycle), stop_when_done=False))  # type: ignore[attr-defined]
            return
        report(repl, debugger.run(until=[arguments.condition(debugger.machine, rest)]))
    elif text:
        report(repl, debugger.run(limit=arguments.whole_number(text, "a number of cycles", 1), stop_when_done=False))
    else:
        report(repl, debugger.run())


@command(
    "until",
    "CONDITION",
    group="Running",
    complete=(*CONDITIONS, "symbol"),
    aliases=("u",),
    examples=("until task done @ 1,0", "until change data[3] @ 1,0", "until wavelet 3 @ 0:4,0"),
)
def until(repl: Shell, text: str) -> None:
    """Run to a condition: short for `run until`. A write to memory is `change NAME[INDEX] @ X,Y`."""
    run(repl, "until " + text)


@command("step", "[CYCLES]", group="Running", aliases=("s",), examples=("step", "step 10"))
def step(repl: Shell, text: str) -> None:
    """Run one cycle, or so many."""
    report(
        repl,
        repl.debugger.run(limit=arguments.whole_number(text or "1", "a number of cycles", 1), stop_when_done=False),
    )


@command("next", "[X,Y]", group="Running", complete=("pe",), aliases=("n",), examples=("next 1,0", "next"))
def next_(repl: Shell, text: str) -> None:
    """Run until a PE stands at another task or source line (or its task ends).
    Looked at after every cycle: several lines of scalar code may pass in one.
    """
    debugger = repl.debugger
    machine = debugger.machine
    x, y, w, h = arguments.region(machine, repl.place_or(text))
    if w * h != 1:
        raise mistake("next follows one PE", help="next X,Y")
    repl.place = (x, y)
    pe = machine.pe(x, y)

    def stand() -> tuple:
        r = machine.pes[pe]
        state = int(r["st"])
        if state == s.ST_IDLE:
            return (None,)
        span = names.span_at(machine, pe, int(r["pc"]) - (state == s.ST_OP))
        return int(r["task"]), int(r["tasks"]), names.place(span), state

    before = stand()
    outcome = debugger.step_one(lambda: stand() != before)
    report(repl, outcome)
    from .pes import pe_lines

    for line in pe_lines(repl, x, y):
        repl.say(line)


@command(
    "break",
    "CONDITION",
    group="Running",
    complete=(*CONDITIONS, "source", "symbol"),
    aliases=("b",),
    examples=("break task done", "break pe.csl:22 @ 1,0", "break"),
)
def break_(repl: Shell, text: str) -> None:
    """Stop every run at a condition (those of `run until`). Without one: list the breakpoints."""
    debugger = repl.debugger
    if not text:
        for number, c in debugger.breaks.items():
            repl.say(f"{number}: {c.text}")
        if not debugger.breaks:
            repl.say("no breakpoints")
        return
    number = debugger.add_break(arguments.condition(debugger.machine, text))
    repl.say(f"break {number}: {text}")


@command("watch", "EXPRESSION @ X,Y", group="Running", complete=("symbol", "pe"), examples=("watch data[3] @ 1,0",))
def watch(repl: Shell, text: str) -> None:
    """Stop every run when the value of an expression changes on a PE (looked at after every cycle)."""
    if not text:
        raise mistake("watch what?", help="watch data[3] @ 1,0")
    debugger = repl.debugger
    condition = "change " + text
    number = debugger.add_break(arguments.condition(debugger.machine, condition, "watch"))
    repl.say(f"break {number}: {condition}")


@command("delete", "NUMBER ... | all", group="Running", complete=("breakpoint",), examples=("delete 1", "delete all"))
def delete(repl: Shell, text: str) -> None:
    """Remove breakpoints and watches."""
    breaks = repl.debugger.breaks
    if text == "all":
        breaks.clear()
        return
    if not text:
        raise mistake("delete which?", help="delete NUMBER, or delete all")
    numbers = [arguments.whole_number(w, "a breakpoint") for w in text.split()]
    for n in numbers:
        if n not in breaks:
            raise mistake(f"there is no breakpoint {n}", help=f"there are: {', '.join(map(str, breaks)) or 'none'}")
        del breaks[n]
