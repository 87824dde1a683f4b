"""What the functions of this room run programs with, and what they give back.

A function of a table or a figure gets a `Lab` and a `Scale` and returns `Row`s. It types in no result: a number comes
from a run of a program, from a formula over such numbers or over published ones, or it is None.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

# where a number comes from
MEASURED = "measured"  # a run of a program, which compares its results with numpy
ONE_LAYER = "one layer"  # one layer measured at the true mesh, times the layers, as the paper does
EXTRAPOLATED = "extrapolated"  # runs at two smaller meshes, and a straight line through them
DERIVED = "derived"  # a formula
QUOTED = "quoted"  # published only: nothing of ours stands beside it
CHECKOUT = "WaferLLM's"  # a run of a program of a checkout of WaferLLM
KINDS = (MEASURED, CHECKOUT, ONE_LAYER, EXTRAPOLATED, DERIVED, QUOTED)

THEIRS = "waferllm/"  # before the name of a program of the checkout

# name of a program, its parameters, machine, timing profile -> what the program recorded. NotRun if it gave nothing.
Runner = Callable[[str, Mapping[str, Any], str, str], Mapping[str, Any]]


class NotRun(Exception):
    """A run that gave no result: it failed, or its time was over."""


@cache
def published() -> Mapping[str, Any]:
    """published.toml."""
    return tomllib.loads((Path(__file__).parent / "published.toml").read_text(encoding="utf-8"))


@dataclass(frozen=True)
class Row:
    """A number beside the published one. published: a number, a range (two), or a text; None if there is none. how: what was
    run, or the formula."""

    what: str
    value: float | None
    published: Any
    unit: str
    kind: str
    how: str

    @property
    def difference(self) -> float | None:
        """(value - published) / published; of a range, to its nearer end, and 0 within it."""
        p = self.published
        if self.value is None or p is None or isinstance(p, str):
            return None
        if isinstance(p, (list, tuple)):
            low, high = p
            if low <= self.value <= high:
                return 0.0
            p = low if self.value < low else high
        return (self.value - p) / p

    def record(self) -> dict[str, Any]:
        return {
            "what": self.what, "value": self.value, "published": self.published, "difference": self.difference,
            "unit": self.unit, "kind": self.kind, "how": self.how,
        }  # fmt: skip


@dataclass(frozen=True)
class Scale:
    """mesh: PEs along a side of what is run. models: names in published.toml, of those that a table has."""

    mesh: int
    models: tuple[str, ...] = ("8B",)


@dataclass
class Lab:
    """Runs programs; the same run is made once. energy: names as in `energy.PARTS`. runs: all that were made: program, parameters,
    machine and profile."""

    run: Runner
    energy: Mapping[str, float] = field(default_factory=dict)  # pJ that the caller gave: of a hop, of an op
    runs: list[dict[str, Any]] = field(default_factory=list)
    _kept: dict[Any, Mapping[str, Any]] = field(default_factory=dict)

    def program(self, name: str, arch: str = "wse2", profile: str | None = None, **params: Any) -> Mapping[str, Any]:
        """What `meshlang run programs/NAME` records with these parameters."""
        profile = profile or arch
        key = (name, arch, profile, tuple(sorted(params.items())))
        if key not in self._kept:
            self._kept[key] = self.run(name, params, arch, profile)
            self.runs.append({"program": name, "params": params, "arch": arch, "profile": profile})
        return self._kept[key]


def clock() -> float:
    """Cycles a second, as the paper counts."""
    return float(published()["energy"]["clock_ghz"]["value"]) * 1e9


def line_through(points: Mapping[int, float], at: int) -> float:
    """The straight line through two measured points, elsewhere."""
    (a, u), (b, v) = sorted(points.items())
    return u + (v - u) * (at - a) / (b - a)
