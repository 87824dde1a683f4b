"""Diagnostics on their way out of the process."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from meshlang.diag import Diagnostic, MeshlangError

if TYPE_CHECKING:
    from meshlang.host.context import RunContext


def report_error(error: MeshlangError, json_output: bool = False) -> int:
    """Print what an error carries (text to stderr, or one JSON object to stdout) and return the exit code."""
    more = {}
    explanation = error.explain()
    if explanation is not None:
        from meshlang.inspect.why import as_data

        more["why"] = as_data(explanation)
    print_diagnostics(error.diagnostics, json_output=json_output, exit_code=error.exit_code, more=more)
    return error.exit_code


def print_diagnostics(
    diagnostics: Sequence[Diagnostic],
    json_output: bool = False,
    exit_code: int = 0,
    more: dict[str, Any] | None = None,
    most: int | None = None,
) -> None:
    """`more`: further entries of the JSON object. `most`: so many warnings of a code are shown."""
    from meshlang.diag import render

    if json_output:
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


def print_run_time_warnings(context: RunContext) -> None:
    """At the end of a command, however it ends: what the machines of its runs noted, each once, on stderr."""
    from meshlang.host.warnings import show_run_time

    show_run_time(session.machine.warnings for session in context.sessions or ())
