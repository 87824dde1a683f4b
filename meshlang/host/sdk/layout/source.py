"""Where in the user's script something was said, and the errors of SdkLayout."""

from __future__ import annotations

import linecache
import os
import sys
from itertools import islice
from pathlib import Path
from typing import NoReturn

from meshlang.diag import Diagnostic, Label, MeshlangError
from meshlang.syntax.source import SourceFile, Span

_OWN = str(Path(__file__).resolve().parents[3]) + os.sep  # the meshlang package
_files: dict[str, SourceFile] = {}


def here() -> Span | None:
    """The call in the user's script that is under way; None when its text cannot be found (an interactive session)."""
    frame = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename.startswith(_OWN):
        frame = frame.f_back  # type: ignore[assignment]
    if frame is None:
        return None
    path = frame.f_code.co_filename
    lines = linecache.getlines(path)
    if not lines:
        return None
    file = _files.get(path)
    if file is None:
        file = _files[path] = SourceFile(path, "".join(lines))
    starts = file.line_starts()
    first, last, begin, end = next(islice(frame.f_code.co_positions(), frame.f_lasti // 2, None), (None,) * 4)
    if first is None or last is None or begin is None or end is None or last > len(starts):
        line = min(frame.f_lineno, len(starts))
        return Span(file, starts[line - 1], starts[line - 1] + len(file.line(line)))
    # columns are in bytes
    begin = len(file.line(first).encode()[:begin].decode(errors="replace"))
    end = len(file.line(last).encode()[:end].decode(errors="replace"))
    return Span(file, starts[first - 1] + begin, starts[last - 1] + end)


def fail(
    code: str,
    message: str,
    span: Span | None = None,
    *,
    labels: list[tuple[Span | None, str]] | None = None,
    notes: list[str] | None = None,
    help: str | None = None,
) -> NoReturn:
    """Refuse with a diagnostic. `span` None: the call under way."""
    at = span if span is not None else here()
    raise MeshlangError(
        Diagnostic(
            code, message, at, "error", [Label(s, t) for s, t in labels or [] if s is not None], notes or [], help
        )
    )
