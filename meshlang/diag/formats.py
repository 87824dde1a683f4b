"""Diagnostics in the forms that services read: GitHub's workflow commands, and SARIF 2.1.0."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from typing import Any

from . import catalog
from .records import Diagnostic
from .render import to_json

_GITHUB = {"error": "error", "warning": "warning", "note": "notice"}
_SARIF = {"error": "error", "warning": "warning", "note": "note"}


def to_github(diagnostics: Sequence[Diagnostic]) -> str:
    """A line for each, which GitHub Actions shows at the line of the file."""
    lines = []
    for d, plain in zip(diagnostics, to_json(diagnostics)):
        span = plain["span"]
        where = [f"title={_property(d.code)}"]
        if span is not None:
            where = [
                f"file={_property(_relative(span['path']))}",
                f"line={span['line']}",
                f"endLine={span['end_line']}",
                *(
                    [f"col={span['column']}", f"endColumn={span['end_column']}"]
                    if span["line"] == span["end_line"]
                    else []
                ),
                *where,
            ]
        lines.append(f"::{_GITHUB.get(d.severity, 'notice')} {','.join(where)}::{_data(_text(d))}")
    return "\n".join(lines)


def to_sarif(diagnostics: Sequence[Diagnostic], version: str) -> str:
    """One run of the tool `meshlang`, with a rule for each code."""
    titles = catalog.titles()
    codes = sorted({d.code for d in diagnostics})
    rules = [{"id": code, "shortDescription": {"text": titles.get(code, code)}} for code in codes]
    results = []
    for d, plain in zip(diagnostics, to_json(diagnostics)):
        result: dict[str, Any] = {
            "ruleId": d.code,
            "ruleIndex": codes.index(d.code),
            "level": _SARIF.get(d.severity, "note"),
            "message": {"text": _text(d)},
        }
        if plain["span"] is not None:
            result["locations"] = [_location(plain["span"])]
        related = [
            {**_location(label["span"]), "message": {"text": label["text"]}}
            for label in plain["labels"]
            if label["span"] is not None
        ]
        if related:
            result["relatedLocations"] = related
        results.append(result)
    driver = {"name": "meshlang", "version": version, "rules": rules}
    log = {
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": results}],
    }
    return json.dumps(log, indent=2)


def _text(d: Diagnostic) -> str:
    return "\n".join([d.message, *d.notes, *([f"help: {d.help}"] if d.help else [])])


def _relative(path: str) -> str:
    """Below the current folder, as these services name files of a repository; else as it is."""
    try:
        relative = os.path.relpath(path)
    except ValueError:  # another drive
        return path
    return (path if relative.startswith("..") else relative).replace(os.sep, "/")


def _location(span: dict[str, Any]) -> dict[str, Any]:
    return {
        "physicalLocation": {
            "artifactLocation": {"uri": _relative(span["path"])},
            "region": {
                "startLine": span["line"],
                "startColumn": span["column"],
                "endLine": span["end_line"],
                "endColumn": span["end_column"],
            },
        }
    }


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
