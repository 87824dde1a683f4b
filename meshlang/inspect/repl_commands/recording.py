"""trace, profile: the run so far, recorded. It is replayed on a second machine, which records; the one that is looked
at stays as it is."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

from meshlang.inspect import arguments
from meshlang.inspect.mistakes import mistake
from meshlang.inspect.registry import command

if TYPE_CHECKING:
    from meshlang.inspect.shell import Shell

_CYCLES = re.compile(r"\d*:\d*$")
_OPTION = re.compile(r"(colors|events|limit|top)=(.+)$")


def _words(
    repl: Shell, text: str, allowed: tuple[str, ...]
) -> tuple[list[str], str | None, str | None, dict[str, str]]:
    """(other words, rectangle as the filters want it, cycles, options) of a command line."""
    body, place = arguments.split_place(text)
    try:
        given = shlex.split(body)
    except ValueError as error:
        raise mistake(f"the line is incomplete: {error}") from None
    rest, cycles, options = [], None, {}
    for word in given:
        option = _OPTION.match(word)
        if option is not None and option[1] in allowed:
            options[option[1]] = option[2]
        elif _CYCLES.match(word):
            cycles = word
        else:
            rest.append(word)
    rectangle = None
    if place is not None:
        x, y, w, h = arguments.region(repl.debugger.machine, place)
        rectangle = f"{x}:{x + w},{y}:{y + h}"
    return rest, rectangle, cycles, options


@command(
    "trace",
    "FILE [FIRST:END] [colors=C,...] [events=KIND,...] [@ PLACE]",
    group="Time",
    complete=("file", "event"),
    examples=(
        "trace run.html",
        "trace run.perfetto-trace 100:200 @ 0:4,0",
        "trace run.csv colors=3 events=wavelet,stall",
    ),
)
def trace(repl: Shell, text: str) -> None:
    """Record the run so far (or cycles of it) and write it to a file; its ending chooses the format: docs/traces.md.
    The past is replayed for it on a second machine. Events: task, op, stall, wavelet, control, switch, inst, or all.
    """
    from meshlang.inspect.trace import Trace, export, trace_options, writer_for

    rest, rectangle, cycles, options = _words(repl, text, ("colors", "events", "limit"))
    if len(rest) != 1:
        raise mistake(
            "trace needs the name of one file" if not rest else f"what is {rest[1]!r}?",
            help="trace FILE [FIRST:END] [colors=C,...] [events=KIND,...] [@ PLACE]",
        )
    writer_for(rest[0])
    limit = arguments.whole_number(options["limit"], "a limit", 1) if "limit" in options else None
    chosen = trace_options(rectangle, options.get("colors"), cycles, options.get("events"), limit)
    recorded = Trace.of(repl.debugger.replay(chosen))
    export(recorded, rest[0])
    count = len(recorded.events)
    full = f", up to cycle {recorded.full_at:,}: the limit is reached" if recorded.full_at else ""
    repl.say(f"{count:,} event{'' if count == 1 else 's'} in {rest[0]}{full}")


@command(
    "profile",
    "[FIRST:END] [lines] [top=N] [@ PLACE]",
    group="Time",
    complete=("lines", "top="),
    examples=("profile", "profile 100:200 @ 0:4,0", "profile lines"),
)
def profile(repl: Shell, text: str) -> None:
    """Where the cycles of the run so far went: by task, function, source line and PE, and what was waited for.
    `lines` adds the source, line by line. The past is replayed for it on a second machine.
    """
    from meshlang.inspect.profile import Collector, listing, profile_options, report
    from meshlang.inspect.trace import trace_options

    rest, rectangle, cycles, options = _words(repl, text, ("top",))
    if rest not in ([], ["lines"]):
        raise mistake(
            f"what is {next(w for w in rest if w != 'lines')!r}?", help="profile [FIRST:END] [lines] [top=N] [@ PLACE]"
        )
    top = arguments.whole_number(options.get("top", "15"), "a number of rows", 1)
    filters = trace_options(rectangle, None, cycles)
    collectors: list[Collector] = []
    repl.debugger.replay(
        profile_options(filters.pes, filters.cycles), lambda machine: collectors.append(Collector(machine))
    )
    result = collectors[0].result()
    repl.say(report(result, top))
    if rest:
        repl.say(listing(result))
