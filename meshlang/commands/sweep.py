"""`meshlang sweep`: a program at every combination of parameter values."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import _compile, run

if TYPE_CHECKING:
    from meshlang.serve.sweep import Journal, Plan, Point

HELP = "run a program at every combination of parameter values"
DESCRIPTION = """\
Run a program, as `meshlang run` does, at every combination of the values given to -p, --arch, --profile, --seed and -O, which may all be lists with
commas. Each point is a process; what finished points gave is kept in OUTPUT.points until the sweep is complete, so that the same
command goes on where it was interrupted.
"""
EXAMPLES = """\
examples:
  meshlang sweep programs/meshgemv -p P=8,16,32 -p K=1,2,3 --arch wse2,wse3 -o results.csv
  meshlang sweep programs/meshgemm -p P=4,8,16 -o results.json --metric cycles --jobs 2
  meshlang sweep layout.csl -p W=2,4 --launch main --seed 0,1,2 -o results.parquet
  meshlang sweep programs/compare_gemv -p 'sizes=4\\,8' -p tile=2,4 -o r.csv      a comma that belongs to a value
  meshlang sweep programs/meshgemv -p P=8,16 -o r.csv --scheduler tcp://10.0.0.1:8786   on the workers of a Dask cluster

OUTPUT is .csv, .json or .parquet (pip install 'meshlang[sweep]', which also has what plots need). docs/sweep.md
"""


def configure(parser: argparse.ArgumentParser) -> None:
    run.add_program_arguments(parser, lists=True)
    parser.add_argument(
        "-o", "--output", metavar="OUTPUT", required=True, help="where the results go: .csv, .json or .parquet"
    )
    parser.add_argument("--jobs", type=int, metavar="N", help="points at a time (default: as many as processors)")
    parser.add_argument("--scheduler", metavar="ADDRESS", help="run the points on the workers of this Dask scheduler")
    parser.add_argument("--time-limit", type=float, metavar="SECONDS", help="end a point that takes longer")
    parser.add_argument("--metric", metavar="NAME", help="the number to show (default: cycles)")
    parser.add_argument(
        "--plot", metavar="FILE", help="draw the metric, .svg, .png or .pdf (default: OUTPUT.svg with matplotlib)"
    )
    parser.add_argument("--no-plot", action="store_true", help="draw nothing")


def execute(args: argparse.Namespace) -> int:
    from meshlang.serve import sweep, sweep_results
    from meshlang.serve.extras import needs

    from ._outputs import output

    plan, results = _plan(args), output("-o", args.output, sweep_results.KINDS)
    if results.suffix.lower() == ".parquet":
        needs("pyarrow", "sweep", "a Parquet file")
    picture = _picture(args, results)
    points = plan.points()
    journal = sweep.Journal(results.with_name(results.name + sweep.JOURNAL))
    progress = _Progress(points, journal)
    try:
        sweep.run_points(
            points,
            journal,
            jobs=args.jobs or _processors(),
            scheduler=args.scheduler,
            limit=plan.limit,
            report=progress.report,
        )
        records = [journal.records[p.key] for p in points]
        sweep_results.write(results, plan, points, records)
        journal.remove()
    except KeyboardInterrupt:
        progress.close()
        kept = f"{progress.done} of {len(points)} points are in {journal.path}; the same command goes on"
        print(f"meshlang: {kept if journal.records else 'no point was finished'}", file=sys.stderr)
        raise
    finally:
        progress.close()
        journal.close()
    return _show(args, plan, [sweep_results.row(p, r) for p, r in zip(points, records)], picture)


def _show(args: argparse.Namespace, plan: Plan, rows: list[dict[str, Any]], picture: Path | None) -> int:
    from meshlang.serve import sweep_results

    failed = sum(r["status"] != "ok" for r in rows)
    metric = sweep_results.metric_of(rows, None if failed == len(rows) else args.metric)
    print(sweep_results.table(list(plan.axes), rows, metric))
    drawn = picture is not None and sweep_results.plot(picture, list(plan.axes), rows, metric)
    print(
        f"meshlang: {len(rows)} points, {failed} failed, in {args.output}" + (f"; plot in {picture}" if drawn else ""),
        file=sys.stderr,
    )
    return 1 if failed == len(rows) else 0


def _plan(args: argparse.Namespace) -> Plan:
    from meshlang.diag import usage_error
    from meshlang.host.build import unreadable
    from meshlang.serve.sweep import Plan

    path = Path(args.path)
    if not path.exists():
        raise unreadable(path, FileNotFoundError(2, "No such file or directory"))
    for option, value in (
        ("--jobs", args.jobs),
        ("--time-limit", args.time_limit),
        ("--max-cycles", args.max_cycles),
        ("--threads", args.threads),
    ):
        if value is not None and not value > 0:
            raise usage_error(f"{option} {value}: expected more than 0")
    axes: dict[str, tuple[str, list[str]]] = {}
    for item in args.param or ():
        name, eq, text = item.partition("=")
        if not eq or not name.strip().isidentifier():
            raise usage_error(f"-p {item}: expected NAME=VALUE,VALUE,...", help="write for example -p P=8,16,32")
        if name.strip() in axes:
            raise usage_error(f"-p {name.strip()} is given twice", help="write all of its values in one list")
        axes[name.strip()] = ("-p", _values(f"-p {item}", text))
    for name, option, allowed in (
        ("arch", "--arch", r"wse2|wse3"),
        ("profile", "--profile", r".+"),
        ("seed", "--seed", r"\d+"),
        ("optimise", "-O", r"[01]"),
    ):
        text = getattr(args, name)
        if text is None:
            continue
        values = _values(f"{option} {text}", text)
        for value in values:
            if not re.fullmatch(allowed, value):
                raise usage_error(f"{option} {text}: {value!r} is not what `meshlang run {option}` takes")
        if name in axes:
            raise usage_error(f"the program's parameter {name!r} and {option} would be the same column")
        axes[name] = (option, values)
    if not axes:
        raise usage_error("there is nothing to sweep over", help="give values: -p P=8,16,32 or --arch wse2,wse3")
    files = [Path(s.partition("=")[2]) for s in args.sets or ()] + [Path(p) for p in axes.get("profile", ("", []))[1]]
    return Plan(path, axes, tuple(_fixed(args)), tuple(files), args.time_limit)


def _values(what: str, text: str) -> list[str]:
    """`8,16,32`; a comma behind a backslash belongs to the value."""
    from meshlang.diag import usage_error

    values = [v.replace("\\,", ",").strip() for v in re.split(r"(?<!\\),", text)]
    twice = [v for i, v in enumerate(values) if v in values[:i]]
    if not all(values) or twice:
        raise usage_error(f"{what}: " + (f"{twice[0]} is there twice" if twice else "a value is empty"))
    return values


def _fixed(args: argparse.Namespace) -> list[str]:
    """The options of `run` that all points share, as they were given."""
    out: list[str] = []
    for option, items in (("--launch", args.launch), ("--set", args.sets), ("--get", args.get)):
        out += [part for item in items or () for part in (option, item)]
    if args.max_cycles is not None:
        out += ["--max-cycles", str(args.max_cycles)]
    out += ["--threads", str(args.threads or 1)]  # points run side by side already
    return out + (["--strict"] if args.strict else []) + _compile.as_arguments(args, without=("arch", "optimise"))


def _picture(args: argparse.Namespace, results: Path) -> Path | None:
    """Where the plot goes: where it is asked for, or beside the output if it can be drawn."""
    from importlib.util import find_spec

    from meshlang.serve.extras import needs

    from ._outputs import PLOTS, output

    if args.no_plot:
        return None
    if args.plot is None:
        return results.with_suffix(".svg") if find_spec("matplotlib") else None
    path = output("--plot", args.plot, PLOTS)
    needs("matplotlib", "sweep", "a plot")
    return path


def _processors() -> int:
    import os

    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class _Progress:
    """A bar on a terminal, a line for each point elsewhere (stderr)."""

    def __init__(self, points: list[Point], journal: Journal):
        from meshlang.host.progress import on_terminal

        self.total, self.done = len(points), sum(p.key in journal.records for p in points)
        self._bar: Any = None
        if self.done:
            print(f"meshlang: {self.done} of {self.total} points are there already ({journal.path})", file=sys.stderr)
        if on_terminal():
            from rich.console import Console
            from rich.progress import MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

            self._bar = Progress(
                TextColumn("{task.description}"), MofNCompleteColumn(), *Progress.get_default_columns()[1:2],
                TimeElapsedColumn(), TimeRemainingColumn(), console=Console(stderr=True), transient=True,
            )  # fmt: skip
            self._task = self._bar.add_task("points", total=self.total, completed=self.done)
            self._bar.start()

    def report(self, point: Point, record: Mapping[str, Any]) -> None:
        self.done += 1
        values = " ".join(f"{name}={value}" for name, value in point.values.items())
        if record["status"] == "ok":
            what = f"{sum(r['cycles'] for r in record['runs']):,} cycles"
        else:
            d = record["diagnostics"][0]
            what = f"failed, {d['code']}: {d['message']}"
        if self._bar is None:
            print(f"{self.done}/{self.total}  {values}  {what}  {record['seconds']:.1f} s", file=sys.stderr)
            return
        if record["status"] != "ok":
            self._bar.console.print(f"{values}  {what}", markup=False, highlight=False)
        self._bar.update(self._task, completed=self.done)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.stop()
