"""Module instances: one per import (or per tile), each with its own globals, resolved when first used."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ...syntax import ast
from . import types as T
from .ops import Fail, convert
from .values import FnValue, Known


class Resolving:
    """Marks a global whose value is being computed: meeting it again is a cycle."""


@dataclass(eq=False, repr=False)
class ModuleInstance:
    """One instance of a source file. `unit` is the tile program (or layout) it belongs to."""

    name: str  # the variable it is bound to, "" for the top file: prefixes its symbols
    path: str
    tree: ast.Module
    unit: Any
    bindings: dict[str, Known]  # params given by the importer, tile code or command line
    decls: dict[str, Any] = field(default_factory=dict)
    values: dict[str, Any] = field(default_factory=dict)  # resolved: Known, GlobalVar
    import_span: Any = None
    signatures: dict[int, Any] = field(default_factory=dict)  # by function declaration; see Calls.signature
    _literals: dict[int, Any] | None = None

    def __repr__(self) -> str:
        return f"module {self.path}"

    def __post_init__(self) -> None:
        self.unit.modules.append(self)
        for item in self.tree.items:
            if not isinstance(item, (ast.Decl, ast.FnDecl)):
                continue
            name = item.name
            if name in self.decls:
                self.unit.error(
                    "MS0204",
                    f"'{name}' is defined twice in this file",
                    item.name_span,
                    labels=[(self.decls[name].name_span, "first defined here")],
                )
            else:
                self.decls[name] = item

    @property
    def literals(self) -> dict[int, Any]:
        """Struct literals that always have the same value, by node: a layout meets the same routes for every PE."""
        found = self._literals
        if found is None:
            found = self._literals = self.unit.compiler.literals(self.tree)
        return found

    def qualified(self, name: str) -> str:
        return f"{self.name}.{name}" if self.name else name

    def param_names(self) -> list[str]:
        return [d.name for d in self.tree.items if isinstance(d, ast.Decl) and d.kind in ("param", "color")]


def bind_param(value: Known, t: T.Type) -> Known:
    """A param given from outside: any comptime integer that fits is accepted, whatever its own type."""
    if T.is_int(value.ty) and isinstance(t, T.IntType) and not t.lo <= value.v <= t.hi:
        raise Fail(
            "MS0302",
            f"{value.v} does not fit in {t} ({t.lo} to {t.hi})",
            "give it another value, or the param a wider type",
        )
    if T.is_int(value.ty) and (isinstance(t, (T.IntType, T.FloatType)) or t is T.COMPTIME_INT):
        return convert(value, t)
    if T.is_int(value.ty) and t is T.BOOL and value.v in (0, 1):
        return Known(T.BOOL, bool(value.v))
    if T.is_int(value.ty) and isinstance(t, T.IdType):
        if not 0 <= value.v <= T.HIGHEST[t]:
            raise Fail("MS0404", f"{t} {value.v} is out of range: there are 0 to {T.HIGHEST[t]}")
        return Known(t, value.v)
    from .ops import coerce

    return coerce(value, t)


__all__ = ["FnValue", "ModuleInstance", "Resolving", "bind_param"]
