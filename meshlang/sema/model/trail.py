"""The user's own line in messages about a library: an error there was led to from somewhere."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Any

from ...diag import Diagnostic, Label
from ...paths import stdlib_dir


@cache
def _root() -> str:
    return f"{stdlib_dir()}/"


def in_library(span: Any) -> bool:
    return span is not None and str(span.file.path).startswith(_root())


def led_here(diagnostics: Iterable[Diagnostic], span: Any, text: str) -> None:
    """Add the place `span` to what is about a library and has no place of the user's yet."""
    if span is None or in_library(span):
        return
    for d in diagnostics:
        if in_library(d.span) and all(in_library(label.span) for label in d.labels):
            d.labels.append(Label(span, text))
