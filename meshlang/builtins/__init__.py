"""The builtins. One decorated function each; analysis, docs and completion read the one registry.

A builtin is `@builtin("name", "arg, arg[, optional]", phase=..., arch=..., doc=...)` over `fn(cx, node, hint)`, where
`cx` is the Analyzer and `node` the ast.BuiltinCall. Its family's file is imported when a name is first looked up.
"""

from __future__ import annotations

from . import registry
from .registry import Builtin, builtin

_loaded = False


def _load() -> None:
    global _loaded
    if not _loaded:
        _loaded = True
        from . import dsd, dsd_ops, fifo, handlers, layout, registers, system, tasks, values  # noqa: F401


def lookup(name: str) -> Builtin | None:
    _load()
    return registry.BUILTINS.get(name)


def names() -> list[str]:
    """The public builtins, sorted."""
    _load()
    return sorted(n for n in registry.BUILTINS if not n.startswith("__"))


__all__ = ["Builtin", "builtin", "lookup", "names"]
