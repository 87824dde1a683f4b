"""Libraries that only some users need: asked for when they are needed, with the extra that has them."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from meshlang.diag import Diagnostic, MeshlangError


def needs(module: str, extra: str, purpose: str) -> Any:
    """The module, imported. MS1600 if it is not installed."""
    try:
        return import_module(module)
    except ImportError:
        library = module.partition(".")[0]
        raise MeshlangError(
            Diagnostic(
                "MS1600",
                f"{purpose} needs the library {library}, which is not installed",
                help=f"pip install 'meshlang[{extra}]'",
            )
        ) from None
