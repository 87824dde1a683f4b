"""Models for the simulation, with costs that were measured: `costs.toml`."""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from meshlang.fabric.timing.profile import load_profile

from .scheduler import Model


@cache
def _classes() -> list[tuple[dict[str, Any], Model]]:
    table = tomllib.loads((Path(__file__).parent / "costs.toml").read_text(encoding="utf-8"))
    second = load_profile(table["profile"])["machine.clock_mhz"] * 1e6
    entries = {entry["name"]: entry for entry in table["model"]}
    out = []
    for entry in entries.values():
        width, height = entry["mesh"]
        measured = entries[entry.get("prefill_like", entry["name"])]
        per_layer = [part * entry["decode"] / measured["decode"] for part in line(measured["prefill"])]
        out.append(
            (
                entry,
                Model(
                    entry["name"],
                    width,
                    height,
                    entry["bytes_per_pe"] * width * height,
                    entry["layers"] * entry["decode"] / second,
                    (entry["layers"] * per_layer[0] / second, entry["layers"] * per_layer[1] / second),
                ),
            )
        )
    return out


def line(points: list[list[float]]) -> tuple[float, float]:
    """(a, b) of the line a n + b through (n, value) by least squares; through the origin for one point. b is not below 0."""
    n, value = np.asarray(points, float).T
    if len(points) > 1:
        a, b = np.polyfit(n, value, 1)
        if b >= 0:
            return float(a), float(b)
    return float((n @ value) / (n @ n)), 0.0


def models(count: int) -> list[Model]:
    """So many models of the measured sizes, in the proportion of their shares; sizes alternate, so that popularity (the first is the
    most wanted) does not depend on size."""
    classes = [(entry["share"], model) for entry, model in _classes()]
    given, out = [0] * len(classes), []
    for number in range(count):
        # the class that is furthest behind its share
        k = min(range(len(classes)), key=lambda i: ((given[i] + 1) / classes[i][0], i))
        given[k] += 1
        m = classes[k][1]
        out.append(Model(f"{m.name}-{number}", m.width, m.height, m.size, m.decode, m.resume))
    return out
