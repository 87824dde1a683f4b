"""The diagnostic record."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Label:
    """A second place that belongs to a message ("first bound here")."""

    span: Any  # syntax.source.Span; Any keeps diag free of imports
    text: str


@dataclass(slots=True)
class Diagnostic:
    code: str  # "MS0301"
    message: str  # one line: what is wrong, with the values in it
    span: Any = None  # syntax.source.Span or None
    severity: str = "error"  # "error", "warning", "note"
    labels: list[Label] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)  # further facts, a line each
    help: str | None = None  # what to do about it
