"""Diagnostics on their way out of the process."""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from meshlang.diag import Diagnostic, MeshlangError

if TYPE_CHECKING:
    from meshlang.host.context import RunContext


FORMATS = ("text", "json", "github", "sarif")


def add_format(parser: argparse.ArgumentParser) -> None:
    """--format and --json, of commands whose result is diagnostics."""
    parser.add_argument(
        "--format", choices=FORMATS, help="text (the default), json, github (workflow commands), or sarif (2.1.0)"
    )
    parser.add_argument("--json", action="store_true", help="the same as --format json")


def output_format(args: argparse.Namespace) -> str:
    return getattr(args, "format", None) or ("json" if getattr(args, "json", False) else "text")


def report_error(error: MeshlangError, output: str = "text") -> int:
    """Print what an error carries (text to stderr, or another format to stdout) and return the exit code."""
    more = {}
    explanation = error.explain()
    if explanation is not None:
        from meshlang.inspect.why import as_data

        more["why"] = as_data(explanation)
    print_diagnostics(error.diagnostics, output=output, exit_code=error.exit_code, more=more)
    return error.exit_code


def print_diagnostics(
    diagnostics: Sequence[Diagnostic],
    output: str = "text",
    exit_code: int = 0,
    more: dict[str, Any] | None = None,
    most: int | None = None,
) -> None:
    """`output`: one of FORMATS. `more`: further entries of the JSON object. `most`: so many warnings of a code are shown."""
    from meshlang.diag import render

    if output in ("github", "sarif"):
        from meshlang.diag.formats import to_github, to_sarif
        from meshlang.version import __version__

        text = to_sarif(diagnostics, __version__) if output == "sarif" else to_github(diagnostics)
        if text:
            print(text)
    elif output == "json":
        print(
            json.dumps(
                {
                    "ok": exit_code == 0,
                    "exit_code": exit_code,
                    "diagnostics": render.to_json(diagnostics),
                    **(more or {}),
                },
                indent=2,
            )
        )
    elif diagnostics:
        sys.stdout.flush()
        render.render_text(diagnostics, most=most)


def compact(data: Any, default: Any = None) -> str:
    """JSON with a line for each entry, but lists of numbers in one: to be read by people, too."""
    text = json.dumps(data, indent=2, default=default)
    return re.sub(r"\[\n\s*([^\[\]{}\"]+?)\n\s*\]", lambda m: "[" + re.sub(r"\s+", " ", m[1]) + "]", text)


def print_run_time_warnings(context: RunContext) -> None:
    """At the end of a command, however it ends: what the machines of its runs noted, each once, on stderr."""
    from meshlang.host.warnings import show_run_time

    show_run_time(session.machine.warnings for session in context.sessions or ())
