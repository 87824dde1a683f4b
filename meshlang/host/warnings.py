"""Warnings of a run: what the vendor's tools let pass silently inside a PE's own memory runs here too, and is reported.

A warning of the host is printed when it first happens, those of the machine at the end; both are counted, and are in
the run's summary and its JSON. Of many warnings of one kind a few are printed.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from meshlang.diag import Diagnostic, MeshlangError
from meshlang.diag.render import SHOWN, render_text, to_json

_PACKAGE = str(Path(__file__).resolve().parent.parent)


class RunWarnings:
    """The warnings of one session. `show` gets each when it comes up for the first time."""

    def __init__(self, show: Callable[[Diagnostic], object] = render_text) -> None:
        self._shown: Counter[str] = Counter()  # by code
        self._show = show
        self.items: list[Diagnostic] = []
        self.counts: list[int] = []
        self._at: dict[Any, int] = {}

    def add(self, diagnostic: Diagnostic, key: Any = None, times: int = 1) -> None:
        """Report a warning. One with the same key (default: code and message) was printed already and is only
        counted."""
        key = (diagnostic.code, diagnostic.message) if key is None else key
        at = self._at.get(key)
        if at is not None:
            self.counts[at] += times
            return
        self._at[key] = len(self.items)
        self.items.append(diagnostic)
        self.counts.append(times)
        self._shown[diagnostic.code] += 1
        if self._shown[diagnostic.code] <= SHOWN:
            sys.stdout.flush()
            self._show(diagnostic)

    def report(self, diagnostic: Diagnostic, key: Any, strict: bool) -> None:
        """A warning, or an error in a strict run."""
        if strict:
            raise MeshlangError(replace(diagnostic, severity="error"))
        self.add(diagnostic, key)

    @property
    def total(self) -> int:
        """How often anything was warned of."""
        return sum(self.counts)

    def summary(self) -> str:
        """One line, or nothing: `3 warnings: MS0870 x 2, MS0871`."""
        if not self.items:
            return ""
        by_code: dict[str, int] = {}
        for d, n in zip(self.items, self.counts):
            by_code[d.code] = by_code.get(d.code, 0) + n
        listed = ", ".join(code if n == 1 else f"{code} x {n}" for code, n in sorted(by_code.items()))
        return f"{self.total} warning{'' if self.total == 1 else 's'}: {listed}"

    def to_json(self) -> list[dict[str, Any]]:
        """The warnings as records for --json, with `count`."""
        return [{**record, "count": n} for record, n in zip(to_json(self.items), self.counts)]


def show_run_time(runs: Iterable[Iterable[Diagnostic]]) -> None:
    """Print what the machines of some runs have noted, each place once, on stderr."""
    seen: set[tuple[str, str, str]] = set()
    found: list[Diagnostic] = []
    for warnings in runs:
        for d in warnings:
            # messages of places name the first PE: what has a place in the source is told by it
            key = d.code, str(d.span), d.message if d.span is None else ""
            if key not in seen:
                seen.add(key)
                found.append(d)
    if found:
        sys.stdout.flush()
        render_text(found, most=SHOWN)


def calling_line() -> str | None:
    """Where the host script is: `run.py:12: the line`, the innermost frame outside this package."""
    import linecache

    frame = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        if frame.f_back is None:
            return None
        frame = frame.f_back
    path, number = frame.f_code.co_filename, frame.f_lineno
    text = linecache.getline(path, number).strip()
    return f"from {path}:{number}" + (f": {text}" if text else "")
