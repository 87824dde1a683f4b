"""`meshlang simulate`: the scheduler of `meshlang serve` on many wafers, in simulated time."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from meshlang.serve.simulate import Outcome

HELP = "simulate a cluster of wafers that serves requests, with the scheduler of `serve`"
DESCRIPTION = """\
Requests for many models come to a cluster of wafers; where each runs is decided by the scheduler of `meshlang serve`, and by baselines: any worker
with room (random), the one with the nearest copy of the image (locality), the scheduler without moving requests (no-moves). Times come from
measured cycles and from the bandwidths that are given.
"""
EXAMPLES = """\
examples:
  meshlang simulate                                                  a small cluster, all policies
  meshlang simulate --wafers 1000 --requests 100000 --models 300 --rate 5000
  meshlang simulate --trace AzureLLMInferenceTrace_conv.csv --rate 60 --plot startup.svg
  meshlang simulate --policies no-moves,moves --zipf 1.5 --seed 3 --json

A trace is CSV with TIMESTAMP, ContextTokens, GeneratedTokens, the form of the public Azure LLM inference traces. docs/serving.md
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--wafers", type=int, default=8, metavar="N", help="workers, a wafer each (default 8)")
    parser.add_argument("--wafer", default="720x720", metavar="WxH", help="PEs of a wafer (default 720x720)")
    parser.add_argument("--models", type=int, default=64, metavar="N", help="models in the cluster (default 64)")
    parser.add_argument("--requests", type=int, default=10_000, metavar="N", help="how many (default 10000)")
    parser.add_argument("--rate", type=float, default=100.0, metavar="R", help="requests a second (default 100)")
    parser.add_argument("--zipf", type=float, default=1.0, metavar="S", help="exponent of popularity (default 1)")
    parser.add_argument("--trace", metavar="FILE", help="lengths and gaps between arrivals (default: drawn)")
    parser.add_argument("--burstiness", type=float, default=3.0, metavar="CV", help="of drawn gaps: 1 is Poisson (default 3)")  # fmt: skip
    parser.add_argument("--longest", type=int, default=4096, metavar="N", help="tokens of a request, at most (default 4096)")  # fmt: skip
    parser.add_argument("--slower", type=float, default=1.0, metavar="F", help="computing takes F times as long (default 1)")  # fmt: skip
    parser.add_argument("--copies", type=int, default=2, metavar="N", help="disks that have an image at first (default 2)")  # fmt: skip
    parser.add_argument("--memory", type=float, default=64.0, metavar="GB", help="of a worker, for images (default 64)")
    parser.add_argument("--disk", type=float, default=1000.0, metavar="GB", help="of a worker, for images (default 1000)")  # fmt: skip
    parser.add_argument(
        "--bandwidth",
        default="25,6,1.25",
        metavar="M,D,R",
        help="GB/s into a fabric from the host's memory, from disk, and from remote (default 25,6,1.25)",
    )
    parser.add_argument("--policies", default="random,locality,no-moves,moves", metavar="LIST", help="which (default: all)")  # fmt: skip
    parser.add_argument("--seed", type=int, default=0, help="of everything that is drawn (default 0)")
    parser.add_argument("--plot", metavar="FILE", help="draw how start-up times are distributed: .svg, .png or .pdf")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")


def execute(args: argparse.Namespace) -> int:
    from meshlang.diag import usage_error
    from meshlang.host.progress import busy
    from meshlang.serve import costs, workload
    from meshlang.serve.scheduler import POLICIES, Wafer
    from meshlang.serve.simulate import simulate

    _check(args)
    names = args.policies.split(",")
    for name in names:
        if name not in POLICIES:
            raise usage_error(f"--policies {args.policies}: {name!r} is none", help=f"there are {', '.join(POLICIES)}")
    width, height = _pair(args.wafer)
    bandwidth = _bandwidth(args.bandwidth)
    models = [m.slower(args.slower) for m in costs.models(args.models)]
    large = [m for m in models if m.width > width or m.height > height]
    if large:
        raise usage_error(
            f"--wafer {args.wafer}: {large[0].name} needs {large[0].width}x{large[0].height} PEs",
            help="a wafer holds at least one instance of each model",
        )
    wafers = [Wafer(width, height, int(args.memory * 1e9), int(args.disk * 1e9), bandwidth)] * args.wafers
    trace = workload.read_trace(args.trace) if args.trace else workload.drawn_trace(args.requests, args.seed, args.burstiness)  # fmt: skip
    work = workload.workload(trace, args.requests, args.rate, args.models, args.zipf, args.longest, args.seed)
    outcomes = []
    for name in names:
        with busy(f"simulating {name}"):
            outcomes.append(simulate(models, wafers, work, POLICIES[name], name, args.copies, args.seed))
        if not args.json and sys.stderr.isatty():
            print(f"meshlang: {name}: {outcomes[-1].seconds:.1f} s", file=sys.stderr)
    if args.json:
        print(json.dumps({"ok": True, "exit_code": 0, "policies": [o.summary() for o in outcomes]}, indent=2))
    else:
        print(_table(outcomes))
    if args.plot:
        _plot(Path(args.plot), outcomes)
    return 0


def _check(args: argparse.Namespace) -> None:
    from meshlang.diag import usage_error
    from meshlang.serve.extras import needs

    from ._outputs import PLOTS, output

    for name, least in (("wafers", 1), ("models", 1), ("requests", 1), ("copies", 0), ("seed", 0), ("longest", 2)):
        if getattr(args, name) < least:
            raise usage_error(f"--{name} {getattr(args, name)}: expected at least {least}")
    for name in ("rate", "slower", "burstiness", "memory", "disk"):
        value = getattr(args, name)
        if not 0 < value < float("inf"):
            raise usage_error(f"--{name} {value:g}: expected a number above 0")
    if not 0 <= args.zipf <= 10:
        raise usage_error(f"--zipf {args.zipf:g}: expected 0 (all alike) to 10")
    if args.plot is not None:
        output("--plot", args.plot, PLOTS)
        needs("matplotlib", "sweep", "a plot")


def _pair(text: str) -> tuple[int, int]:
    import re

    from meshlang.diag import usage_error

    found = re.fullmatch(r"([1-9]\d{0,4})x([1-9]\d{0,4})", text)
    if not found:
        raise usage_error(f"--wafer {text}: expected columns x rows, such as 720x720")
    return int(found[1]), int(found[2])


def _bandwidth(text: str) -> tuple[float, float, float]:
    from meshlang.diag import usage_error

    try:
        memory, disk, remote = (float(part) * 1e9 for part in text.split(","))
    except ValueError:
        memory = disk = remote = 0.0
    if not all(0 < b < float("inf") for b in (memory, disk, remote)):
        raise usage_error(f"--bandwidth {text}: expected three numbers of GB/s, such as 25,6,1.25")
    return memory, disk, remote


def _table(outcomes: list[Outcome]) -> str:
    head = ("policy", "P50 s", "P95 s", "P99 s", "cold", "memory", "disk", "remote", "moves", "moved tokens", "in use")
    rows: list[tuple[str, ...]] = [head]
    for o in outcomes:
        s: dict[str, Any] = o.summary()
        sources = [f"{s['sources'][name]:,}" for name in ("memory", "disk", "remote")]
        rows.append(
            (o.policy, *(f"{s[p]:.3f}" for p in ("p50", "p95", "p99")), f"{s['cold']:,}", *sources, f"{o.moves:,}",
             f"{o.moved_tokens:,}", f"{o.utilisation:.1%}")
        )  # fmt: skip
    widths = [max(len(r[i]) for r in rows) for i in range(len(head))]
    lines = ["| " + " | ".join(c.rjust(w) for c, w in zip(r, widths)) + " |" for r in rows]
    return "\n".join([lines[0], "|" + "|".join("-" * (w + 1) + ":" for w in widths) + "|", *lines[1:]])


def _plot(path: Path, outcomes: list[Outcome]) -> None:
    import numpy as np

    from meshlang import files
    from meshlang.serve.extras import needs

    figure = needs("matplotlib.figure", "sweep", "a plot").Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    for outcome in outcomes:
        times = np.sort(np.maximum(outcome.startup, 1e-3))
        axes.plot(times, 1 - np.arange(len(times)) / len(times), label=outcome.policy)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("start-up time, s (0.001 and less: at once)")
    axes.set_ylabel("share of requests that wait at least so long")
    axes.grid(alpha=0.3)
    axes.legend()
    with files.replacing(path) as file:
        figure.savefig(file, format=path.suffix.lower().removeprefix("."))
