"""`meshlang profile`: where the cycles of a run went."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from . import run

if TYPE_CHECKING:
    from meshlang.inspect.profile import Collector, Profile

HELP = "run a program and show where its cycles went"
DESCRIPTION = """\
Run a program as `meshlang run` does, and sum up the cycles of its main threads by task, function, source line and PE, the cycles in which
threads waited by cause, and the vector operations.
"""
EXAMPLES = """\
examples:
  meshlang profile programs/meshgemm                            tables: tasks, functions, lines, stalls, operations, PEs
  meshlang profile programs/meshgemm --lines                    and the source, line by line
  meshlang profile programs/meshgemm --pes 0:4,0 --cycles 500:  four PEs, from cycle 500 on
  meshlang profile layout.csl --launch main --speedscope m.json call stacks, for speedscope.app
  meshlang profile programs/meshgemm --json                     everything, for a script
"""


def configure(parser: argparse.ArgumentParser) -> None:
    run.add_program_arguments(parser)
    parser.add_argument(
        "--pes", metavar="X0:X1,Y0:Y1", help="profile a rectangle of PEs, ends not included; several separated by ;"
    )
    parser.add_argument("--cycles", metavar="A:B", help="profile from cycle A on, up to B")
    parser.add_argument("--top", type=int, default=15, metavar="N", help="rows of each table (default 15)")
    parser.add_argument("--lines", action="store_true", help="list the source line by line")
    parser.add_argument("--speedscope", metavar="FILE", help="write call stacks as JSON for speedscope.app")
    parser.add_argument("--json", action="store_true", help="the profile as JSON on stdout")


def execute(args: argparse.Namespace) -> int:
    from meshlang.diag import usage_error
    from meshlang.host.context import RunContext, set_context
    from meshlang.inspect.profile import Collector, profile_options
    from meshlang.inspect.trace import trace_options

    from ._errors import print_run_time_warnings
    from ._outputs import output

    if args.top < 1:
        raise usage_error(f"--top {args.top}: expected at least 1")
    if args.speedscope is not None:
        output("--speedscope", args.speedscope)
    filters = trace_options(args.pes, None, args.cycles)
    context = run.prepare(args, profile_options(filters.pes, filters.cycles))
    collectors: list[Collector] = []
    context.observe = lambda session: collectors.append(Collector(session.machine))
    finished = False
    try:
        code = run.perform(args, context)
        finished = True
    finally:
        # a profile of what ran is of use after a fault or deadlock, too
        print_run_time_warnings(context)
        if collectors and (finished or not args.json):
            _show(args, [c.result() for c in collectors])
        set_context(RunContext())
    return code


def _show(args: argparse.Namespace, profiles: list[Profile]) -> None:
    from meshlang.inspect.profile import listing, report
    from meshlang.inspect.profile.report import as_data

    if args.speedscope is not None:
        _write_speedscope(args.speedscope, profiles)
    if args.json:
        print(json.dumps({"ok": True, "exit_code": 0, "runs": [as_data(p) for p in profiles]}, indent=2))
        return
    for profile in profiles:
        print()
        print(report(profile, args.top))
        if args.lines:
            print(listing(profile))


def _write_speedscope(file: str, profiles: list[Profile]) -> None:
    """The first fabric's profile to FILE, others to FILE-2, ..."""
    from meshlang import files
    from meshlang.inspect.profile import speedscope

    path = Path(file)
    for number, profile in enumerate(profiles, 1):
        where = path if number == 1 else path.with_name(f"{path.stem}-{number}{path.suffix}")
        files.write_text(where, json.dumps(speedscope(profile)))
        print(f"meshlang: call stacks in {where}", file=sys.stderr)
