"""Which of the things that can go wrong at run time stop a run, and which are warnings, with the reason: the verdicts
of the faults (engine/faults.py, which says the rule), and of what is found while compiling, when nothing moves any more, and by the host.

`python -m meshlang.fabric.verdicts docs/language.md` writes the table there; a test sees that every code of a running
program has a row.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from meshlang import files

from .engine.faults import FAULT, WARNING, Fault, Verdict


@dataclass(frozen=True)
class Row:
    codes: tuple[str, ...]
    verdict: Verdict


# codes of a run that are no faults of the engine
_OTHERS = (
    Row(
        ("MS0407",),
        Verdict(
            WARNING,
            "a DSD of another color than the queue it names (while compiling)",
            "one of the two has no effect: on WSE-3 the DSD's (D: 2.10 leaves it out), on WSE-2 that of an output queue (D)",
        ),
    ),
    Row(
        ("MS0411",),
        Verdict(
            WARNING,
            "WSE-3: a data task on a queue that is not initialised (while compiling)",
            "it never runs, and harms nothing: roles that do not receive share the code",
        ),
    ),
    Row(
        ("MS0413",),
        Verdict(
            WARNING,
            "WSE-2: a task id that is a received color (while compiling)",
            "it works as long as the two do not meet",
        ),
    ),
    Row(
        ("MS0852", "MS0853"),
        Verdict(
            WARNING,
            "a vector that leaves its array, within the memory of the PE",
            "the machine does not check. Two published programs do it",
        ),
    ),
    Row(
        ("MS0854", "MS0855"),
        Verdict(WARNING, "wavelets that nobody has taken at the end of a run", "the program has got what it asked for"),
    ),
    Row(("MS0856", "MS0860"), Verdict(FAULT, "nothing can happen any more, and the host waits", "the machine hangs")),
    Row(
        ("MS0870",),
        Verdict(
            WARNING,
            "a copy of the host past the end of its array, where it harms no other variable",
            "the vendor's tools let it pass. A published program does it",
        ),
    ),
    Row(
        ("MS0871",),
        Verdict(
            WARNING,
            "an operation of another width than its DSD",
            "it walks in its own steps (E). A published FFT does it",
        ),
    ),
    Row(
        ("MS0872",),
        Verdict(
            WARNING,
            "an array of the host that is longer than the copy",
            "the first elements are taken; one that is too short is an error (MS0911)",
        ),
    ),
)


def rows() -> list[Row]:
    """All verdicts, in the order of their first code."""
    codes: dict[Verdict, list[str]] = {}
    for fault in Fault:
        codes.setdefault(fault.verdict, []).append(fault.code)
    found = [*_OTHERS, *(Row(tuple(sorted(c)), verdict) for verdict, c in codes.items())]
    return sorted(found, key=lambda row: row.codes[0])


def table() -> str:
    """All rows as a Markdown table."""
    lines = [f"| {', '.join(r.codes)} | {r.verdict.kind} | {r.verdict.what} | {r.verdict.why} |" for r in rows()]
    return "\n".join(["| code | | what | why |", "|---|---|---|---|", *lines]) + "\n"


BEGIN, END = "<!-- written by meshlang.fabric.verdicts -->", "<!-- end of the verdicts -->"


def updated(page: str) -> str:
    """A page with the table written anew."""
    head, rest = page.split(BEGIN)
    return f"{head}{BEGIN}\n\n{table()}\n{END}{rest.split(END)[1]}"


if __name__ == "__main__":
    path = Path(sys.argv[1])
    files.write_text(path, updated(path.read_text(encoding="utf-8")))
