"""Why nothing moves: the groups of Machine.waiting() with source, rule and advice."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from . import names, query

if TYPE_CHECKING:
    from meshlang.fabric.machine import Machine


@dataclass
class Finding:
    """PEs that wait for the same thing."""

    pes: list[tuple[int, int]]
    text: str
    span: Any = None
    because: list[str] = field(default_factory=list)


@dataclass
class Explanation:
    headline: str
    findings: list[Finding]
    rule: str | None = None
    change: str | None = None


def explain(machine: Machine) -> Explanation:
    findings = [Finding(g.pes, g.text, g.span) for g in machine.waiting()]
    return Explanation(f"cycle {machine.cycle}", findings)


def explanation_lines(e: Explanation) -> Iterator[tuple[str, str | None]]:
    yield e.headline, "bold"
    for f in e.findings:
        yield f"{query.places(f.pes)}: {f.text}", None
        if f.span is not None:
            yield f"  {names.place(f.span)}: {names.source_line(f.span)}", None
