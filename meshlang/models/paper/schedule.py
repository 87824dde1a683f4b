"""Which scale fits: an entry is run at its meshes one after the other, while the time lasts that is its share."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .contents import CONTENTS, Entry
from .lab import Lab, NotRun, Row, Runner, Scale

# of the time from one mesh to the next, before it is known: starting takes most of a small one's. A run that takes longer is
# ended, and what the smaller mesh gave stays
FIRST_GROWTH = 2.0

# a Runner whose runs end after so many seconds (None: never)
Limited = Callable[[float | None], Runner]


@dataclass
class Outcome:
    """What an entry gave. mesh: the largest that was run; None if none was. seconds: of all of its runs. left: what was not run,
    and why."""

    name: str
    title: str
    mesh: int | None = None
    rows: list[Row] = field(default_factory=list)
    runs: list[dict[str, Any]] = field(default_factory=list)
    seconds: float = 0.0
    left: list[str] = field(default_factory=list)

    def record(self) -> dict[str, Any]:
        return {
            "name": self.name, "title": self.title, "mesh": self.mesh, "seconds": round(self.seconds, 1),
            "rows": [row.record() for row in self.rows], "runs": self.runs, "left": self.left,
        }  # fmt: skip


def at(name: str, lab: Lab, mesh: int | None, models: tuple[str, ...] | None) -> Outcome:
    """One entry at one mesh (None: the entry's own). NotRun if a run of it gave nothing."""
    entry = CONTENTS[name]
    chosen = _models(entry, models)
    out = Outcome(name, entry.title, entry.mesh if mesh is None else mesh)
    assert out.mesh is not None
    began, before = time.monotonic(), len(lab.runs)
    out.rows = entry.function(lab, Scale(out.mesh, chosen))
    out.seconds, out.runs = time.monotonic() - began, lab.runs[before:]
    return out


def within(
    names: Sequence[str],
    seconds: float,
    limited: Limited,
    models: tuple[str, ...] | None,
    told: Callable[[Outcome], None],
    energy: Mapping[str, float] | None = None,
) -> list[Outcome]:
    """Each entry at the largest of its meshes that fits, `seconds` for all: what one leaves is shared among those after it.
    told: called with each outcome as it comes. energy: of the Lab."""
    end, outcomes = time.monotonic() + seconds, []
    lab = Lab(limited(None), energy or {})
    for number, name in enumerate(names):
        share = max(end - time.monotonic(), 0.0) / (len(names) - number)
        outcome = _largest(name, lab, share, limited, models)
        told(outcome)
        outcomes.append(outcome)
    return outcomes


def _largest(name: str, lab: Lab, share: float, limited: Limited, models: tuple[str, ...] | None) -> Outcome:
    entry = CONTENTS[name]
    out = Outcome(name, entry.title)
    end, last, growth = time.monotonic() + share, 0.0, FIRST_GROWTH
    for number, mesh in enumerate(entry.meshes):
        rest = end - time.monotonic()
        sides = ", ".join(str(m) for m in entry.meshes[number:])
        if last * growth > rest:
            out.left.append(
                f"{sides} PEs a side: the next would take about {last * growth:.0f} s, {max(rest, 0):.0f} s were left"
            )
            break
        lab.run = limited(max(rest, 1.0))
        began = time.monotonic()
        try:
            found = at(name, lab, mesh, models)
        except NotRun as error:
            out.seconds += time.monotonic() - began
            out.left.append(f"{sides} PEs a side: {error}")
            break
        if last:
            growth = max(found.seconds / last, 1.5)
        last = max(found.seconds, 0.1)
        out.mesh, out.rows = found.mesh, found.rows
        out.runs += found.runs
        out.seconds += found.seconds
    return out


def _models(entry: Entry, asked: tuple[str, ...] | None) -> tuple[str, ...]:
    if asked is None:
        return entry.models[:1]
    return tuple(m for m in entry.models if m in asked)
