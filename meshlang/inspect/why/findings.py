"""What `why` has found, as plain data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from meshlang.fabric.waiting import Wait
from meshlang.fabric.wording import wait_text
from meshlang.inspect.steps import Step, step_text

Place = tuple[int, int]


@dataclass
class Finding:
    """PEs that wait for the same thing."""

    pes: list[Place]
    what: Wait | Step
    span: Any = None
    steps: list[Step] = field(default_factory=list)  # the walk to the root
    rule: str | None = None
    path: set[Place] = field(default_factory=set)  # PEs the walk came through

    @property
    def text(self) -> str:
        return wait_text(self.what) if isinstance(self.what, Wait) else step_text(self.what)

    @property
    def because(self) -> list[str]:
        """The steps in words."""
        return [step_text(s) for s in self.steps]

    @property
    def chain(self) -> list[tuple[Place, Place]]:
        """Who waits for whom: the pairs of PEs that the walk went along, from the first PE that waits to the root."""
        pairs: list[tuple[Place, Place]] = []
        here = self.pes[0]
        for said in self.steps:
            near = said.value("pe")
            named = (near,) if isinstance(near, tuple) else said.value("pes") or ()
            pairs += [(here, place) for place in named if place != here]
            here = named[0] if named else here
        return pairs


@dataclass
class Explanation:
    hung: bool
    cycle: int
    state: str  # "nothing can move any more; ..."
    findings: list[Finding]
    held: list[Finding] = field(default_factory=list)  # full queues and routers, because of the findings
    last: str = ""  # the last wavelet that moved

    @property
    def headline(self) -> str:
        return f"cycle {self.cycle}: {self.state}"

    def causes(self) -> list[str]:
        """Names of the rules found, the most telling first."""
        return list(dict.fromkeys(f.rule for f in self.findings if f.rule is not None))
