"""`meshlang bench`: the engine's speed on this machine, as ratios within one run."""

from __future__ import annotations

import argparse
import json

HELP = "measure the engine on this machine"
EXAMPLES = """\
examples:
  meshlang bench            a table: scalar instructions, wavelet hops, f16 vectors, MeshGEMM and MeshGEMV; `turns`: what one of them
                            costs, in turns of a compiled loop that was timed in the same run
  meshlang bench --full     and sizes up to a wafer's, and layers of LLaMA3-8B (some minutes)
  meshlang bench --trace    and what recording costs
  meshlang bench --off      and what flight recorder and tracing cost while nobody traces (compiles two more engines the first time)
  meshlang bench --threads 2   only what several threads gain; the machine has to be at rest
  meshlang bench --json     the same numbers for a script
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--trace", action="store_true", help="what recording costs, too")
    parser.add_argument(
        "--off", action="store_true", help="what the flight recorder costs, and tracing while it is off, too"
    )
    parser.add_argument("--full", action="store_true", help="sizes up to a wafer's, too")
    parser.add_argument(
        "--threads",
        type=int,
        metavar="N",
        help="instead: MeshGEMM on 256 x 256 and 512 x 512 PEs with one thread and with N",
    )
    parser.add_argument("--json", action="store_true", help="numbers as JSON on stdout")


def execute(args: argparse.Namespace) -> int:
    from meshlang.diag import usage_error
    from meshlang.fabric import bench, overhead
    from meshlang.host import bench as programs
    from meshlang.paths import programs_dir

    if args.threads is not None and args.threads < 2:
        raise usage_error(f"--threads {args.threads}: expected at least 2")
    rate = bench.yardstick()
    if args.threads is not None:
        rows = [row for side in (256, 512) for row in programs.threads(programs_dir(), side, args.threads, 100)]
    else:
        rows = bench.run(args.trace) + programs.rows(programs_dir(), args.full)
    if args.full:
        from meshlang.models import bench as models

        rows += models.rows(programs_dir())
    rows += overhead.overhead() if args.off else []
    bench.in_turns(rows, rate)
    rows.append({"what": "yardstick: turns of a xorshift generator", "value": rate, "unit": "1/s"})
    if args.json:
        print(json.dumps(rows, indent=2, default=str))
        return 0
    print(table(rows))
    return 0


def table(rows: list[dict]) -> str:
    """Rows are dictionaries; the columns are their keys in order of appearance."""
    columns: list[str] = []
    for row in rows:
        columns += [k for k in row if k not in columns]
    cells = [columns] + [[_cell(row.get(c, "")) for c in columns] for row in rows]
    widths = [max(len(line[i]) for line in cells) for i in range(len(columns))]
    return "\n".join("  ".join(text.ljust(w) for text, w in zip(line, widths)).rstrip() for line in cells)


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:,.3g}" if abs(value) < 1000 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
