"""What a sweep found: as rows, in files (CSV, JSON, Parquet), as a table, and as a plot."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from meshlang import files
from meshlang.diag import usage_error
from meshlang.version import __version__

from .extras import needs
from .sweep import Plan, Point

KINDS = (".csv", ".json", ".parquet")
_STATS = ("instructions", "vector_elements", "hops")  # of `run.`, beside cycles, colors and memory
_MARKERS = "osD^v<>*"

Row = dict[str, Any]


def row(point: Point, record: Mapping[str, Any]) -> Row:
    """A point as one flat row: its values; status, error, seconds; `results.NAME` of what the program recorded, where
    that is a number or a text; `run.NAME` of the fabric (cycles are the sum of all fabrics, the others the most of one)."""
    out: Row = {name: _value(text) for name, text in point.values.items()}
    out["status"] = record["status"]
    errors = [d for d in record.get("diagnostics", ()) if d["severity"] == "error"]
    out["error"] = f"{errors[0]['code']}: {errors[0]['message']}" if errors else None
    out["seconds"] = record["seconds"]
    out.update(_flat("results", record.get("results", {})))
    runs = record.get("runs", [])
    if runs:
        out["run.fabrics"] = len(runs)
        out["run.cycles"] = sum(r["cycles"] for r in runs)
        out["run.pes"] = max(r["resources"]["pes"] for r in runs)
        out["run.colors"] = max(len(r["resources"]["colors"]) for r in runs)
        out["run.memory"] = max((t["memory"] for r in runs for t in r["resources"]["tiles"]), default=0)
        for name in _STATS:
            out[f"run.{name}"] = max(r["stats"][name] for r in runs)
        out["run.profile"] = runs[0]["profile"]
    return out


def _value(text: str) -> int | float | str:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _flat(name: str, value: Any) -> Row:
    if isinstance(value, Mapping):
        return {k: v for key, part in value.items() for k, v in _flat(f"{name}.{key}", part).items()}
    return {name: value} if isinstance(value, (int, float, str)) else {}


def columns(rows: Sequence[Row]) -> list[str]:
    """Of all rows, in the order in which they come."""
    return list(dict.fromkeys(name for r in rows for name in r))


# ------------------------------------------------------------ files


def write(path: Path, plan: Plan, points: Sequence[Point], records: Sequence[Mapping[str, Any]]) -> None:
    """The output, as its name says; a JSON file has everything, the others the rows. MS0901."""
    rows = [row(p, r) for p, r in zip(points, records)]
    if path.suffix.lower() == ".json":
        content = {
            "meshlang": __version__,
            "path": str(plan.path),
            "axes": {name: [_value(t) for t in texts] for name, (_, texts) in plan.axes.items()},
            "points": [
                {**{k: v for k, v in r.items() if k != "key"}, "values": {n: _value(t) for n, t in p.values.items()}}
                for p, r in zip(points, records)
            ],
        }
        files.write_text(path, json.dumps(content, indent=1) + "\n")
    elif path.suffix.lower() == ".csv":
        with files.replacing(path, "w") as file:
            writer = csv.DictWriter(file, columns(rows), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
    else:
        arrow, parquet = (needs(m, "sweep", "a Parquet file") for m in ("pyarrow", "pyarrow.parquet"))
        with files.replacing(path) as file:
            parquet.write_table(arrow.table({name: _column(rows, name) for name in columns(rows)}), file)


def _column(rows: Sequence[Row], name: str) -> list[Any]:
    """A column of a Parquet file has one type: texts and numbers together become texts."""
    found = [r.get(name) for r in rows]
    kinds = {type(v) for v in found if v is not None}
    if len(kinds) > 1 and str in kinds:
        return [None if v is None else str(v) for v in found]
    return [None if v is None else float(v) for v in found] if len(kinds) > 1 else found


# ------------------------------------------------------------ to look at


def metric_of(rows: Sequence[Row], wanted: str | None) -> str:
    """The column to show: the one that is asked for, else the program's own cycles, else those of its fabrics. MS0905."""
    numbers = [c for c in columns(rows) if any(isinstance(r.get(c), (int, float)) for r in rows)]
    if wanted is None:
        return next((c for c in ("results.cycles", "run.cycles") if c in numbers), "seconds")
    for name in (wanted, f"results.{wanted}", f"run.{wanted}"):
        if name in numbers:
            return name
    shown = ", ".join(c for c in numbers if c.startswith(("results.", "run."))) or "none"
    raise usage_error(
        f"--metric {wanted}: no point has such a number", help=f"the output is written; its numbers are {shown}"
    )


def table(axes: Sequence[str], rows: Sequence[Row], metric: str) -> str:
    """Markdown: the axes that vary, the metric, and the error of points that have none."""
    varying = [a for a in axes if len({r[a] for r in rows}) > 1] or list(axes)
    body = [
        [_shown(r[a]) for a in varying] + [_shown(r.get(metric)) if r["status"] == "ok" else r["error"]] for r in rows
    ]
    head = [*varying, metric.removeprefix("results.").removeprefix("run.")]
    widths = [max(len(line[i]) for line in [head, *body]) for i in range(len(head))]
    widths[-1] = min(widths[-1], 100)

    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cell.rjust(width) for cell, width in zip(cells, widths)) + " |"

    return "\n".join([line(head), "|" + "|".join("-" * (w + 1) + ":" for w in widths) + "|", *map(line, body)])


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    return "" if value is None else f"{value:,}" if isinstance(value, int) else str(value)


def plot(path: Path, axes: Sequence[str], rows: Sequence[Row], metric: str) -> bool:
    """The metric over the numeric axis with the most values, a line for each combination of the others. False if there is
    nothing to draw. MS1600 without matplotlib."""
    good = [r for r in rows if r["status"] == "ok" and isinstance(r.get(metric), (int, float))]
    across = {a: {r[a] for r in good} for a in axes if all(isinstance(r[a], (int, float)) for r in good)}
    if not good or not across or max(map(len, across.values())) < 2:
        return False
    axis = max(across, key=lambda a: len(across[a]))
    others = [a for a in axes if a != axis and len({r[a] for r in good}) > 1]
    figure = needs("matplotlib.figure", "sweep", "a plot").Figure(figsize=(7, 4.5), layout="constrained")
    axes_of_plot = figure.subplots()
    lines: dict[tuple[Any, ...], list[tuple[float, float]]] = {}
    for r in good:
        lines.setdefault(tuple(r[a] for a in others), []).append((r[axis], r[metric]))
    for number, (values, places) in enumerate(lines.items()):
        label = ", ".join(f"{a} {v}" for a, v in zip(others, values))
        axes_of_plot.plot(*zip(*sorted(places)), marker=_MARKERS[number % len(_MARKERS)], label=label or None)
    axes_of_plot.set_xlabel(axis)
    axes_of_plot.set_ylabel(metric)
    axes_of_plot.set_ylim(bottom=0)
    axes_of_plot.grid(alpha=0.3)
    if others:
        axes_of_plot.legend(fontsize="small")
    with files.replacing(path) as file:
        figure.savefig(file, format=path.suffix.lower().removeprefix("."))
    return True
