"""Diagnostics on their way out of the process."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any

from meshlang.diag import Diagnostic, MeshlangError


def report_error(error: MeshlangError, json_output: bool = False) -> int:
    """Print what an error carries (text to stderr, or one JSON object to stdout) and return the exit code."""
    print_diagnostics(error.diagnostics, json_output=json_output, exit_code=error.exit_code)
    return error.exit_code


def print_diagnostics(diagnostics: Sequence[Diagnostic], json_output: bool = False, exit_code: int = 0) -> None:
    from meshlang.diag import render
    if json_output:
        items: list[Any] = [render.to_json(d) for d in diagnostics]
        items = [json.loads(i) if isinstance(i, str) else i for i in items]
        print(json.dumps({"ok": exit_code == 0, "exit_code": exit_code, "diagnostics": items}, indent=2))
        return
    if diagnostics:
        sys.stdout.flush()
        text = "\n".join(render.to_text(d) for d in diagnostics)
        print(text.rstrip("\n"), file=sys.stderr)


def usage_error(message: str, help: str | None = None, code: str = "MS0905") -> MeshlangError:
    """An option that cannot be understood: exit code 2."""
    return MeshlangError(Diagnostic(code, message, help=help), exit_code=2)
