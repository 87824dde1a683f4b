"""Which warnings are shown unasked, and which the source takes back."""

from __future__ import annotations

import re

from meshlang.diag import Diagnostic

# "the machine breaks here": such a program runs on MeshLang and not on the hardware, waits for ever, or computes with data that is not
# there yet. `check` and `run` show these
BREAKS = frozenset({"MS1011", "MS1016", "MS1017", "MS1018"})

# what `check` shows: a name that means nothing is a mistake like those it is for, though nothing breaks as long as nobody calls the function
CHECKED = BREAKS | {"MS1019"}

_NOQA = re.compile(r"//\s*noqa(?:\s*:\s*(MS\d{4}(?:[\s,]+MS\d{4})*))?", re.IGNORECASE)


def suppressed(diagnostic: Diagnostic) -> bool:
    """Whether the line that a warning marks, or a line of its own above it, says `// noqa`, or `// noqa: MS1012, ...`."""
    span = diagnostic.span
    if span is None or diagnostic.severity != "warning":
        return False
    line = span.file.position(span.start)[0]
    above = span.file.line(line - 1).strip()
    for text in (span.file.line(line), above if above.startswith("//") else ""):
        m = _NOQA.search(text)
        if m is not None and (m[1] is None or diagnostic.code in m[1].upper()):
            return True
    return False


def fresh(found: list[Diagnostic], said: list[Diagnostic]) -> list[Diagnostic]:
    """Lint's warnings without those about a place that the compiler has warned about itself."""
    places = {_line(d) for d in said if d.span is not None}
    return [d for d in found if d.span is None or _line(d) not in places]


def _line(d: Diagnostic) -> tuple[str, int]:
    return d.span.file.path, d.span.file.position(d.span.start)[0]
