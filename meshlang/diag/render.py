"""Diagnostics as text (plain or coloured) and as JSON.

    to_text(diagnostics)      plain text, the same everywhere: for golden tests, pipes, log files
    render_text(diagnostics)  the same text on a rich console, coloured when that is a terminal
    to_json(diagnostics)      dictionaries for tools

Spans are duck-typed (`file.path`, `file.position`, `file.line`, `start`, `end`): this package imports no other.
"""

from __future__ import annotations

import os
import sys
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from .records import Diagnostic

_TAB = 4
WIDEST = 240  # characters of a source line; of a longer one the part at the mark is shown
_BEFORE = 60  # of them before it
SHOWN = 3  # warnings of one code in a list that is to stay short
_SEVERITY_STYLE = {"error": "bold red", "warning": "bold yellow", "note": "bold cyan"}
_FRAME = "blue"

# One output line: pieces of (text, style).
Line = list[tuple[str, str]]


def to_text(diagnostics: Diagnostic | Iterable[Diagnostic]) -> str:
    """All diagnostics as plain text, with a blank line between two. No trailing newline."""
    return "\n".join("".join(text for text, _ in line).rstrip() for line in _lines(diagnostics))


def render_text(diagnostics: Diagnostic | Iterable[Diagnostic], console: Any = None, most: int | None = None) -> None:
    """Print the diagnostics on a rich console, by default one on standard error. most: so many warnings of a code are
    shown, and the others counted."""
    lines = list(_lines(diagnostics if most is None else summed_up(_listed(diagnostics), most)))
    if console is None:
        if not sys.stderr.isatty() and not os.environ.get("FORCE_COLOR"):
            print("\n".join("".join(text for text, _ in line).rstrip() for line in lines), file=sys.stderr)
            return
        from rich.console import Console

        console = Console(stderr=True, force_jupyter=False)
    from rich.text import Text

    for line in lines:
        console.print(Text.assemble(*(piece for piece in line if piece[0])), soft_wrap=True, highlight=False)


def summed_up(diagnostics: Sequence[Diagnostic], most: int = SHOWN) -> list[Diagnostic]:
    """The diagnostics, with the warnings of a code beyond so many replaced by one that counts them, at the end."""
    counts: Counter[str] = Counter()
    out = []
    for d in diagnostics:
        counts[d.code] += d.severity == "warning"
        if d.severity != "warning" or counts[d.code] <= most:
            out.append(d)
    for code, n in counts.items():
        if n > most:
            out.append(
                Diagnostic(code, f"{n - most} more warning{'s' if n - most > 1 else ''} of this kind", None, "warning")
            )
    return out


def to_json(diagnostics: Diagnostic | Iterable[Diagnostic]) -> list[dict[str, Any]]:
    """The diagnostics as dictionaries of plain values. Lines and columns count from 1; `end` is exclusive."""
    result = []
    for d in _listed(diagnostics):
        result.append(
            {
                "code": d.code,
                "severity": d.severity,
                "message": d.message,
                "span": _json_span(d.span),
                "labels": [{"span": _json_span(label.span), "text": label.text} for label in d.labels],
                "notes": list(d.notes),
                "help": d.help,
            }
        )
    return result


def _listed(diagnostics: Diagnostic | Iterable[Diagnostic]) -> list[Diagnostic]:
    return [diagnostics] if isinstance(diagnostics, Diagnostic) else list(diagnostics)


def _json_span(span: Any) -> dict[str, Any] | None:
    if span is None:
        return None
    line, column = span.file.position(span.start)
    end_line, end_column = span.file.position(span.end)
    return {
        "path": span.file.path,
        "start": span.start,
        "end": span.end,
        "line": line,
        "column": column,
        "end_line": end_line,
        "end_column": end_column,
    }


def _lines(diagnostics: Diagnostic | Iterable[Diagnostic]) -> Iterable[Line]:
    for number, d in enumerate(_listed(diagnostics)):
        if number:
            yield []
        yield from _one(d)


def _one(d: Diagnostic) -> Iterable[Line]:
    style = _SEVERITY_STYLE.get(d.severity, "bold")
    yield [(f"{d.severity}[{d.code}]", style), (f": {d.message}", "bold")]
    groups = _groups(d)
    widest = max((line for _, marks in groups for line, *_ in marks), default=0)
    margin = " " * len(str(widest)) if groups else ""
    for number, (file, marks) in enumerate(groups):
        line, column = marks[0][0], marks[0][1]
        yield [(f"{margin}{'-->' if number == 0 else ':::'} ", _FRAME), (f"{file.path}:{line}:{column}", "")]
        yield from _snippet(file, marks, margin, style)
    for note in d.notes:
        yield from _trailer(margin, "note", note)
    if d.help:
        yield from _trailer(margin, "help", d.help)


def _trailer(margin: str, word: str, text: str) -> Iterable[Line]:
    first, *rest = text.split("\n")
    yield [(f"{margin} = ", _FRAME), (f"{word}: ", "bold"), (first, "")]
    for line in rest:
        yield [(f"{margin}   {' ' * len(word)}  {line}", "")]


def _groups(d: Diagnostic) -> list[tuple[Any, list[tuple[int, int, int, str, bool]]]]:
    """Per file, in order of mention: (line, column, end column, text, is primary). The primary mark is first."""
    groups: list[tuple[Any, list]] = []
    places = [(d.span, "", True)] + [(label.span, label.text, False) for label in d.labels]
    for span, text, primary in places:
        if span is None:
            continue
        line, column = span.file.position(span.start)
        end_line, end_column = span.file.position(span.end)
        if end_line != line:
            end_column = len(span.file.line(line)) + 1
        mark = (line, column, max(end_column, column + 1), text, primary)
        for file, marks in groups:
            if file.path == span.file.path:
                marks.append(mark)
                break
        else:
            groups.append((span.file, [mark]))
    return groups


def _snippet(file: Any, marks: list[tuple[int, int, int, str, bool]], margin: str, style: str) -> Iterable[Line]:
    yield [(f"{margin} |", _FRAME)]
    lines = sorted({mark[0] for mark in marks})
    before = None
    for line in lines:
        if before is not None and line == before + 2:
            yield _source(_part(file.line(before + 1), 0)[0], before + 1, margin)
        elif before is not None and line > before + 1:
            yield [("...", _FRAME)]
        before = line
        here = sorted((m for m in marks if m[0] == line), key=lambda m: (not m[4], m[1]))
        text, left_out = _part(file.line(line), here[0][1] - 1)
        yield _source(text, line, margin)
        for _, column, end, label, primary in here:
            column, end = max(column - left_out, 1), max(min(end - left_out, len(text) + 1), 1)
            offset = _width(text[: column - 1])
            length = max(_width(text[column - 1 : end - 1]), 1)
            sign = ("^" if primary else "-") * length
            yield [
                (f"{margin} | ", _FRAME),
                (" " * offset, ""),
                (f"{sign} {label}".rstrip(), style if primary else "bold blue"),
            ]


def _part(text: str, at: int) -> tuple[str, int]:
    """The line, or the part of a long one round a column, and how many characters before it are not shown."""
    if len(text) <= WIDEST:
        return text, 0
    first = max(min(at - _BEFORE, len(text) - WIDEST), 0)
    shown = text[first : first + WIDEST] + (" ..." if first + WIDEST < len(text) else "")
    return (f"... {shown}", first - 4) if first else (shown, 0)


def _source(text: str, line: int, margin: str) -> Line:
    shown = []
    for c in text:
        # A control character would move the cursor, so that the mark below stood in the wrong place.
        shown.append(" " * _TAB if c == "\t" else c if c.isprintable() else "\N{REPLACEMENT CHARACTER}")
    return [(f"{line:>{len(margin)}} | ", _FRAME), ("".join(shown), "")]


def _width(text: str) -> int:
    """Columns the text takes on a screen."""
    return sum(
        _TAB if c == "\t" else 0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1
        for c in text
    )
