"""Parts of the vendor's SDK that MeshLang does not have: they say so when used."""

from __future__ import annotations

from meshlang.diag import Diagnostic, MeshlangError


def not_yet(what: str, help: str | None = None) -> MeshlangError:
    """MS0922."""
    return MeshlangError(Diagnostic("MS0922", f"not yet supported by MeshLang: {what}", help=help))
