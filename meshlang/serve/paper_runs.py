"""The runs that `meshlang paper` makes: each a process of its own, as a point of a sweep is; and its plots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from meshlang import files
from meshlang.models.paper.lab import THEIRS, NotRun, Runner
from meshlang.models.paper.schedule import Outcome
from meshlang.paths import programs_dir

from . import checkout
from .extras import needs
from .sweep import Child


def runner(child: Child, limit: float | None) -> Runner:
    """Runs programs of MeshLang, and those of a checkout of WaferLLM, in processes, which end after `limit` seconds (None: never)."""

    def run(name: str, params: Mapping[str, Any], arch: str, profile: str) -> Mapping[str, Any]:
        if name.startswith(THEIRS):
            return checkout.run(name.removeprefix(THEIRS), params, arch, profile, limit)
        arguments = ["run", str(programs_dir() / name), "--arch", arch, "--profile", profile, "--json"]
        for key, value in params.items():
            arguments += ["-p", f"{key}={str(value).lower() if isinstance(value, bool) else value}"]
        record = child.run(arguments, limit)
        if record["status"] != "ok":
            errors = [d["message"] for d in record["diagnostics"] if d["severity"] == "error"]
            shown = " ".join(f"{key}={value}" for key, value in params.items())
            raise NotRun(f"programs/{name} ({shown}): {errors[0] if errors else 'no result'}")
        return record["results"]

    return run


def plot(path: Path, outcomes: Sequence[Outcome]) -> bool:
    """Values and published values as bars, a picture for each entry and unit below the last. False if there is no value.
    MS1600 without matplotlib."""
    figure_of = needs("matplotlib.figure", "scripts", "a plot").Figure
    groups: dict[tuple[str, str], list[Any]] = {}
    for outcome in outcomes:
        for row in outcome.rows:
            if row.value is not None:
                groups.setdefault((outcome.name, row.unit), []).append(row)
    if not groups:
        return False
    heights = [0.6 + 0.35 * len(rows) for rows in groups.values()]
    figure = figure_of(figsize=(11, sum(heights) + 0.5), layout="constrained")
    axes = figure.subplots(len(groups), 1, squeeze=False, gridspec_kw={"height_ratios": heights})[:, 0]
    for ax, ((name, unit), rows) in zip(axes, groups.items()):
        for i, row in enumerate(rows):
            ax.barh(i - 0.2, row.value, 0.36, color="#1b6ca8" if row.kind != "extrapolated" else "#8db6d3")
            said = row.published
            if isinstance(said, (int, float)):
                ax.barh(i + 0.2, said, 0.36, color="#c0392b")
            elif isinstance(said, (list, tuple)):
                ax.barh(i + 0.2, said[1] - said[0], 0.36, left=said[0], color="#c0392b")
        ax.set_yticks(range(len(rows)), [row.what for row in rows], fontsize=7)
        ax.invert_yaxis()
        ax.set_title(f"{name}, {unit} (blue: here, pale: extrapolated; red: published)", fontsize=9)
        if min(row.value for row in rows) > 0 and max(row.value for row in rows) > 50 * min(row.value for row in rows):
            ax.set_xscale("log")
    with files.replacing(path) as file:
        figure.savefig(file, format=path.suffix.lower().removeprefix("."))
    return True
