"""Parts of the vendor's SDK that MeshLang does not have yet: they can be imported, and say so when used."""

from __future__ import annotations

from typing import Any

from meshlang.diag import Diagnostic, MeshlangError


def not_yet(what: str, help: str | None = None) -> MeshlangError:
    """MS0922."""
    return MeshlangError(Diagnostic("MS0922", f"not yet supported by MeshLang: {what}", help=help))


def placeholder(name: str, help: str | None = None) -> type:
    """A class that raises MS0922 when it is called, or when anything of it is used."""

    class Meta(type):
        def __getattr__(cls, attribute: str) -> Any:
            if attribute.startswith("__"):
                raise AttributeError(attribute)
            raise not_yet(f"{name}.{attribute}", help)

        def __call__(cls, *args: Any, **kwargs: Any) -> Any:
            raise not_yet(name, help)

    return Meta(name.rpartition(".")[2], (), {"__doc__": f"{name}: not yet supported."})
