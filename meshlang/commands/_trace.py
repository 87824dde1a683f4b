"""The --trace options of `meshlang run`: what is recorded, and where it goes."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from meshlang.fabric.recording import TraceOptions
    from meshlang.host.context import RunContext


def add_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group(
        "traces", "filters apply while recording; docs/traces.md has the events and formats"
    )
    group.add_argument(
        "--trace",
        metavar="FILE",
        help="record the run; the ending chooses the format: .perfetto-trace .html .svg .anim.svg .log .vcd .npz .csv",
    )
    add_html(group)
    group.add_argument(
        "--trace-pes",
        metavar="X0:X1,Y0:Y1",
        help="record a rectangle of PEs, ends not included; several separated by ;",
    )
    group.add_argument("--trace-colors", metavar="C,...", help="record wavelets, operations and stalls of some colors")
    group.add_argument("--trace-cycles", metavar="A:B", help="record from cycle A on, up to B")
    group.add_argument(
        "--trace-events",
        metavar="KIND,...",
        help="task, op, stall, wavelet, control, switch, inst, or all (default: all but inst)",
    )
    group.add_argument(
        "--trace-limit", type=int, metavar="N", help="record no more than about N events (default 20,000,000)"
    )


def add_html(parser: argparse._ActionsContainer) -> None:
    parser.add_argument(
        "--html", metavar="FILE", help="record the run, and write a page to look at in a browser and to send to others"
    )


def files_of(args: argparse.Namespace) -> list[str]:
    """Where the recording goes. MS0901 or MS0905 for what cannot be written, MS1005 for an unknown ending."""
    from meshlang.inspect.trace import writer_for

    from ._outputs import output

    files = []
    if getattr(args, "trace", None) is not None:
        writer_for(args.trace)
        output("--trace", args.trace)
        files.append(args.trace)
    if args.html is not None:
        output("--html", args.html, (".html",))
        files.append(args.html)
    return files


def trace_options(args: argparse.Namespace) -> TraceOptions | None:
    """What to record, None without --trace and --html. MS1001 to MS1005, MS0905 (an unwritable place is known before the run)."""
    from meshlang.diag import usage_error

    given = [
        f"--trace-{name}"
        for name in ("pes", "colors", "cycles", "events", "limit")
        if getattr(args, f"trace_{name}") is not None
    ]
    if not files_of(args):
        if given:
            raise usage_error(
                f"{given[0]} has no use without --trace or --html",
                help="--trace FILE or --html FILE says where the recording goes",
            )
        return None
    from meshlang.inspect.trace import options

    if args.trace_limit is not None and args.trace_limit < 1:
        raise usage_error(f"--trace-limit {args.trace_limit}: expected at least 1")
    return options.trace_options(
        args.trace_pes, args.trace_colors, args.trace_cycles, args.trace_events, args.trace_limit
    )


def write_traces(files: list[str], context: RunContext) -> None:
    """Write what each fabric of the run has recorded to each file: the first to FILE, others to FILE-2, ... Also after a
    fault or deadlock."""
    from meshlang.diag import Diagnostic
    from meshlang.diag.render import render_text
    from meshlang.inspect.trace import Trace, ending_of, export

    recorded = [session for session in context.sessions or () if session.machine.recorder is not None] if files else []
    for number, session in enumerate(recorded, 1):
        machine = session.machine
        trace = Trace.of(machine, session.failed)
        written = []
        for path in map(Path, files):
            ending = len(ending_of(path) or "")
            numbered = f"{path.name[:-ending]}-{number}{path.name[-ending:]}"
            written.append(path if number == 1 else path.with_name(numbered))
            export(trace, written[-1])
        if trace.full_at is not None:
            render_text(
                [
                    Diagnostic(
                        "MS1006",
                        f"the recording ends at cycle {trace.full_at:,}: the limit of events is reached",
                        severity="warning",
                        help="narrow it down with --trace-pes, --trace-cycles and --trace-events, or raise --trace-limit",
                    )
                ]
            )
        if not len(trace.events):
            render_text(
                [
                    Diagnostic(
                        "MS1007",
                        "nothing was recorded: no event passed the filters",
                        severity="warning",
                        help=f"the run took cycles 0 to {machine.cycle:,} on {machine.width} x {machine.height} PEs",
                    )
                ]
            )
        print(f"meshlang: {len(trace.events):,} events in {' and '.join(map(str, written))}", file=sys.stderr)
