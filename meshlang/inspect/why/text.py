"""An explanation for people (lines, notes of a diagnostic) and for scripts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from meshlang.fabric.waiting import Wait
from meshlang.inspect import names, query
from meshlang.inspect.steps import step_text

from .findings import Explanation
from .rules import RULES

MOST_NOTES = 5  # steps of a walk that a diagnostic shows: the first two, and those at the root


def explanation_lines(e: Explanation) -> Iterator[tuple[str, str | None]]:
    """Lines with the style a terminal gives them."""
    yield e.headline, "bold"
    for f in e.findings[:12]:
        yield f"{query.places(f.pes)}: {f.text}", None
        if f.span is not None:
            yield f"  {names.place(f.span)}: {names.source_line(f.span)}", "cyan"
        for n, said in enumerate(f.steps):
            yield f"  {'' if said.what == 'closes' else 'and ' if n else 'because '}{step_text(said)}", None
    if len(e.findings) > 12:
        yield f"and {names.counted(len(e.findings) - 12, 'more group')}", None
    if e.held:
        yield (
            "and so: "
            + "; ".join(f"{query.places(f.pes)}: {f.text}" for f in e.held[:4])
            + (f"; and {len(e.held) - 4} more" if len(e.held) > 4 else ""),
            None,
        )
    if e.last:
        yield e.last, None
    for name in e.causes():
        yield f"cause: {RULES[name].title}", "bold red"
        yield f"change: {RULES[name].change}", "green"


def annotate(diagnostic: Any, e: Explanation) -> None:
    """Add what explains a deadlock to its diagnostic: the walk to the root as notes, what to change as help. Likewise
    for a run that was stopped because it takes too long: who is at work."""
    causes = e.causes()
    if not e.hung:
        diagnostic.notes.append(e.state)
        for f in e.findings[:12]:
            diagnostic.notes.append(
                f"{query.places(f.pes)}: {f.text}" + (f" ({names.place(f.span)})" if f.span is not None else "")
            )
        if len(e.findings) > 12:
            diagnostic.notes.append(f"and {names.counted(len(e.findings) - 12, 'more group')}")
        diagnostic.notes += [*(f"cause: {RULES[name].title}" for name in causes), e.last]
        if causes:
            diagnostic.help = "; ".join(RULES[name].change for name in causes)
        return
    for name in causes[:3]:
        first = next(f for f in e.findings if f.rule == name)
        shown = (
            first.because
            if len(first.because) <= MOST_NOTES
            else [*first.because[:2], "...", *first.because[2 - MOST_NOTES :]]
        )
        diagnostic.notes += [f"because {line}" for line in shown]
        diagnostic.notes.append(f"cause: {RULES[name].title}")
    diagnostic.notes.append(e.last)
    if causes and (diagnostic.help is None or diagnostic.code == "MS0856" and causes != ["no_unblock"]):
        diagnostic.help = "; ".join(RULES[name].change for name in causes[:3])


def as_data(e: Explanation) -> dict[str, Any]:
    """The explanation as plain values, for --json."""
    return {
        "hung": e.hung,
        "headline": e.headline,
        "causes": [{"rule": name, "title": RULES[name].title, "change": RULES[name].change} for name in e.causes()],
        "groups": [
            {
                "pes": f.pes,
                "text": f.text,
                "source": names.place(f.span) if f.span is not None else None,
                "because": f.because,
                "rule": f.rule,
                "waits": _record(f.what) if isinstance(f.what, Wait) else None,
            }
            for f in e.findings
        ],
        "held_up": [{"pes": f.pes, "text": f.text} for f in e.held],
        "last_wavelet": e.last,
    }


def _record(wait: Wait) -> dict[str, Any]:
    """What a PE waits for, without what the kind of wait has not."""
    data = {name: value for name, value in asdict(wait).items() if value not in (None, "", 0, ())}
    data |= {"kind": wait.kind.value, "cause": wait.cause.value, "endless": wait.endless}
    if wait.gates:
        data["gates"] = [asdict(g) | {"cause": g.cause.value} for g in wait.gates]
    return data
