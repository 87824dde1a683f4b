"""Something typed that cannot be understood."""

from __future__ import annotations

from meshlang.diag import Diagnostic, MeshlangError


def mistake(message: str, help: str | None = None, code: str = "MS0940") -> MeshlangError:
    return MeshlangError(Diagnostic(code, message, help=help), exit_code=2)
