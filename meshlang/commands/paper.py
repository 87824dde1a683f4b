"""`meshlang paper`: WaferLLM's tables and figures, run or derived here, beside the published values."""

from __future__ import annotations

import argparse
import json
from typing import Any

HELP = "the tables and figures of WaferLLM (OSDI 2025) beside what runs here"
DESCRIPTION = """\
Run the programs behind a table or a figure of WaferLLM at the scale you ask for, and print each number beside the published one, with the
difference, and whether it was measured, scaled from one layer, extrapolated, derived or only quoted.
"""
EXAMPLES = """\
examples:
  meshlang paper --list                              what there is
  meshlang paper table6                              one of them, at a scale that is quick
  meshlang paper table4 --mesh 64 --models 8B,72B    on 64 x 64 PEs; what that means for 420 x 420 is extrapolated
  meshlang paper table4 --mesh 420                   one layer at true scale (memory and hours)
  meshlang paper --all --minutes 30                  all of them, each at the largest scale that fits
  MESHLANG_WAFERLLM=FOLDER meshlang paper waferllm   WaferLLM's own programs, from a checkout, beside those here
  meshlang paper energy --energy op=0.9              energy of a GEMV by its wavelets and operations, with your number for an operation
  meshlang paper --all --page paper.md --plot paper.svg --json > paper.json
"""
LARGEST = 750  # PEs along a side


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("names", nargs="*", metavar="NAME", help="table1 to table8, figure6, figure8 ... (--list)")
    parser.add_argument("--list", action="store_true", help="what there is")
    parser.add_argument("--all", action="store_true", help="all of them")
    parser.add_argument("--mesh", type=int, metavar="N", help="PEs along a side (default: what --list says)")
    parser.add_argument(
        "--minutes", type=float, metavar="N",
        help="for all that is asked for: each at the largest mesh that fits in its share (--all: 30 unless --mesh is given)",
    )  # fmt: skip
    parser.add_argument("--models", metavar="NAME,...", help="of 8B, 13B, 34B, 72B (default 8B)")
    parser.add_argument(
        "--energy",
        metavar="NAME=PJ,...",
        help="picojoules of a wavelet over a link (hop) and of a floating-point operation (op), for `energy`",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    parser.add_argument("--page", metavar="FILE", help="write a page in Markdown")
    parser.add_argument("--plot", metavar="FILE", help="draw values and published values (.svg, .png, .pdf)")


def execute(args: argparse.Namespace) -> int:
    import sys
    import time
    from pathlib import Path

    from meshlang import files
    from meshlang.diag import Diagnostic, MeshlangError
    from meshlang.models.paper import page
    from meshlang.models.paper.contents import CONTENTS
    from meshlang.models.paper.lab import Lab, NotRun
    from meshlang.models.paper.schedule import Outcome, at, within
    from meshlang.serve.extras import needs
    from meshlang.serve.paper_runs import plot, runner
    from meshlang.serve.sweep import Child

    from ._outputs import PLOTS, output

    if args.list:
        return _list(args.json)
    names = _all(args.energy) if args.all else args.names
    models = _checked(args, names)
    energy = _energy(args.energy)
    if args.page:
        output("--page", args.page)
    if args.plot:
        output("--plot", args.plot, PLOTS)
        needs("matplotlib", "scripts", "a plot")
    minutes = args.minutes or (30.0 if args.all and args.mesh is None else None)
    began, child, outcomes = time.monotonic(), Child(), []

    def told(outcome: Outcome) -> None:
        print(page.text(outcome), file=sys.stderr if args.json else sys.stdout, flush=True)

    try:
        if minutes is not None:
            outcomes = within(names, 60 * minutes, lambda limit: runner(child, limit), models, told, energy)
        else:
            lab = Lab(runner(child, None), energy)
            for name in names:
                try:
                    outcomes.append(at(name, lab, args.mesh, models))
                except NotRun as error:
                    if len(names) == 1:
                        raise MeshlangError(Diagnostic("MS1440", f"{name}: {error}")) from None
                    outcomes.append(Outcome(name, CONTENTS[name].title, left=[str(error)]))
                told(outcomes[-1])
    finally:
        child.kill()
    taken = (time.monotonic() - began) / 60
    code = 0 if all(o.rows for o in outcomes) else 1
    if args.page:
        files.write_text(Path(args.page), page.markdown(outcomes, _command(args), _machine(), taken))
    if args.plot:
        plot(Path(args.plot), outcomes)
    if args.json:
        record = {"ok": code == 0, "exit_code": code, "minutes": round(taken, 2), "machine": _machine()}
        print(json.dumps({**record, "entries": [o.record() for o in outcomes]}, indent=2))
    return code


def _all(energy: str | None) -> list[str]:
    """All but what needs something that the caller has not given."""
    import os

    from meshlang.models.paper.contents import CONTENTS
    from meshlang.serve.checkout import VARIABLE

    has = {"waferllm": os.environ.get(VARIABLE), "energy": energy}
    return [name for name, entry in CONTENTS.items() if not entry.given or has[name]]


def _checked(args: argparse.Namespace, names: list[str]) -> tuple[str, ...] | None:
    from meshlang.diag import did_you_mean, usage_error
    from meshlang.models.paper.contents import CONTENTS
    from meshlang.models.paper.lab import published

    if not names:
        raise usage_error(f"which one? {', '.join(CONTENTS)}, or --all")
    if args.all and args.names:
        raise usage_error(f"--all has {args.names[0]}, too: give one of them")
    for name in names:
        if name not in CONTENTS:
            meant = did_you_mean(name, CONTENTS, "{}")
            raise usage_error(f"there is no {name!r}" + (f"; {meant}" if meant else f": {', '.join(CONTENTS)}"))
    if args.mesh is not None and args.minutes is not None:
        raise usage_error("--minutes finds the mesh that fits, and --mesh names one: give one of them")
    if args.mesh is not None and not 4 <= args.mesh <= LARGEST:
        raise usage_error(f"--mesh {args.mesh}: expected 4 to {LARGEST} PEs along a side")
    if args.minutes is not None and not 0 < args.minutes < 1e5:
        raise usage_error(f"--minutes {args.minutes}: expected minutes, such as 30")
    if args.models is None:
        return None
    models = tuple(args.models.split(","))
    for model in models:
        if model not in published()["models"]:
            raise usage_error(f"--models {model}: expected some of {', '.join(published()['models'])}, with commas")
    for name in names:
        if not args.all and CONTENTS[name].models and not set(models) & set(CONTENTS[name].models):
            raise usage_error(f"{name} has {' and '.join(CONTENTS[name].models)}, not {args.models}")
    return models


def _energy(text: str | None) -> dict[str, float]:
    from meshlang.diag import usage_error
    from meshlang.models.paper.energy import PARTS

    out: dict[str, float] = {}
    for part in text.split(",") if text else []:
        name, _, value = part.partition("=")
        try:
            out[name] = float(value)
        except ValueError:
            out[name] = -1.0
        if name not in PARTS or not 0 <= out[name] < 1e9:
            raise usage_error(f"--energy {part}: expected picojoules of {' or '.join(PARTS)}, such as hop=1.1,op=0.9")
    return out


def _list(as_json: bool) -> int:
    from meshlang.models.paper.contents import CONTENTS

    rows: list[dict[str, Any]] = [
        {"name": name, "title": e.title, "mesh": e.mesh, "meshes": e.meshes, "models": e.models}
        for name, e in CONTENTS.items()
    ]
    if as_json:
        print(json.dumps(rows, indent=2))
        return 0
    for row in rows:
        models = f"; {', '.join(row['models'])}" if row["models"] else ""
        print(f"{row['name']:10}{row['title']} (mesh {row['mesh']}{models})")
    return 0


def _command(args: argparse.Namespace) -> str:
    parts = ["meshlang paper", *(["--all"] if args.all else args.names)]
    parts += [f"--{name} {value:g}" for name in ("mesh", "minutes") if (value := getattr(args, name)) is not None]
    parts += [f"--energy {args.energy}"] if args.energy else []
    return " ".join(parts + ([f"--models {args.models}"] if args.models else []) + ["--page docs/paper.md"])


def _machine() -> str:
    """The kind of machine, without its name."""
    import os
    import platform

    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{count} processors ({platform.machine()}), Python {platform.python_version()}"
