"""What `why` has found, as plain data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

Place = tuple[int, int]


@dataclass
class Finding:
    """PEs that wait for the same thing."""

    pes: list[Place]
    text: str
    span: Any = None
    because: list[str] = field(default_factory=list)  # the walk to the root
    rule: str | None = None
    path: set[Place] = field(default_factory=set)  # PEs the walk came through


@dataclass
class Explanation:
    hung: bool
    headline: str
    findings: list[Finding]
    held: list[Finding] = field(default_factory=list)  # full queues and routers, because of the findings
    last: str = ""  # the last wavelet that moved

    def causes(self) -> list[str]:
        """Names of the rules found, the most telling first."""
        return list(dict.fromkeys(f.rule for f in self.findings if f.rule is not None))
