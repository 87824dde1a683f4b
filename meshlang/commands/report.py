"""`meshlang report`: run a program, and say where its cycles went and what it uses of the machine."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING

from . import _trace, run

if TYPE_CHECKING:
    from meshlang.inspect.report import Collector

HELP = "run a program, and report its cycles, links, colors and memory (PLMR)"
DESCRIPTION = """\
Run a program as `meshlang run` does, and report for each fabric it starts: the cycles of each command of the host and of
its tasks (compute, communication, waiting), the longest chain of wavelets, links, colors and queues, a map of the PE's
memory; and which letter of PLMR (parallelism, latency, memory, routing) is the bottleneck on the machine.
"""
EXAMPLES = """\
examples:
  meshlang report programs/meshgemm
  meshlang report programs/meshgemv -p P=16 --wafer wse3       against the limits of another machine
  meshlang report layout.csl --set x=random --launch main      options as for `meshlang run`
  meshlang report programs/meshgemv --grow P=8,16              two sizes, and what grows with the mesh
  meshlang report programs/compare_gemm                        several fabrics: a line for each
  meshlang report programs/compare_gemm --fabric 3             the third of them in full
  meshlang report programs/meshgemm --html mesh.html           and a page of the run, to look at in a browser
  meshlang report programs/meshgemm --json                     all numbers, for a script

The run is recorded, which needs a second version of the engine (compiled once, about a minute); cycles and results are
the same. docs/report.md explains each number.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    run.add_program_arguments(parser)
    parser.add_argument(
        "--wafer", choices=("wse2", "wse3"), help="machine to compare with (default: the one it is compiled for)"
    )
    parser.add_argument("--fabric", type=int, metavar="N", help="of several fabrics, show the Nth in full")
    parser.add_argument(
        "--grow", metavar="NAME=V,V", help="run with several values of a parameter, and say what grows with the mesh"
    )
    parser.add_argument("--json", action="store_true", help="the report as JSON on stdout")
    _trace.add_html(parser)


def execute(args: argparse.Namespace) -> int:
    from meshlang.diag import Diagnostic, MeshlangError, usage_error

    if args.fabric is not None and args.fabric < 1:
        raise usage_error(f"--fabric {args.fabric}: fabrics are counted from 1 on")
    if args.grow is not None:
        if args.html is not None:
            raise usage_error(
                "--html has no use with --grow: there are several runs", help="meshlang report PATH --html FILE"
            )
        return _grow(args)
    collectors, code = _collect(args)
    if code:
        return code
    if args.fabric is not None and args.fabric > len(collectors):
        raise MeshlangError(
            Diagnostic("MS1041", f"--fabric {args.fabric}: the program has started {len(collectors)}"), exit_code=2
        )
    _show(args, collectors, args.fabric)
    return 0


def _collect(args: argparse.Namespace) -> tuple[list[Collector], int]:
    """Run the program; what was counted for each fabric, and the exit code."""
    from meshlang.diag import Diagnostic, MeshlangError
    from meshlang.host.context import RunContext, set_context
    from meshlang.inspect.report import RECORDED, Collector
    from meshlang.inspect.trace import trace_options

    from ._errors import print_run_time_warnings

    collectors: list[Collector] = []
    files = _trace.files_of(args)
    context = run.prepare(args, trace_options() if files else RECORDED)
    context.observe = lambda session: collectors.append(Collector.of(session, keep=bool(files)))
    try:
        code = run.perform(args, context)
    except MeshlangError:
        if collectors and not args.json:  # what ran until then is of use after a fault or deadlock, too
            _show(args, collectors[-1:], None)
        raise
    finally:
        print_run_time_warnings(context)
        _trace.write_traces(files, context)
        set_context(RunContext())
    if code:
        return collectors, code
    if not collectors:
        raise MeshlangError(
            Diagnostic(
                "MS1040",
                f"{args.path} has started no fabric: there is nothing to report",
                help="the script has to start a program in its own process: meshlang.compile(...).start(), or the SDK's SdkRuntime",
            )
        )
    return collectors, 0


def _grow(args: argparse.Namespace) -> int:
    """Run the program at several sizes, and compare."""
    from meshlang.diag import usage_error
    from meshlang.inspect.report import growth, render, render_growth, summarize

    name, eq, texts = args.grow.partition("=")
    values = texts.split(",")
    if not eq or not name or len(values) < 2 or not all(values):
        raise usage_error(
            f"--grow {args.grow}: expected NAME=VALUE,VALUE", help="--grow P=8,16 runs with P = 8 and P = 16"
        )
    given = list(args.param or ())
    reports = []
    for value in values:
        args.param = [*given, f"{name}={value}"]
        collectors, code = _collect(args)
        if code:
            return code
        for collector in collectors:
            collector.finish()
        reports.append(summarize(collectors[(args.fabric or len(collectors)) - 1], args.wafer))
    rows = growth(reports)
    if args.json:
        sizes = [{"value": v, "report": r} for v, r in zip(values, reports)]
        print(json.dumps({"ok": True, "exit_code": 0, "param": name, "runs": sizes, "growth": rows}, indent=2))
        return 0
    print()
    render(reports[-1:])
    render_growth([f"{name} = {v}" for v in values], rows)
    return 0


def _show(args: argparse.Namespace, collectors: list[Collector], number: int | None) -> None:
    from meshlang.inspect.report import render, summarize

    for collector in collectors:
        collector.finish()
    reports = [summarize(collector, args.wafer) for collector in collectors]
    if args.json:
        print(json.dumps({"ok": True, "exit_code": 0, "fabrics": reports}, indent=2))
    else:
        print()
        render(reports, number)
