"""A syntax tree as compact text, for tests and for looking at trees."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from . import ast

_QUIET = frozenset({"span", "name_span"})


def dump(node: Any) -> str:
    """One line: `(Name field=value ...)`. Empty and false fields are left out; spans are not shown."""
    if isinstance(node, ast.Ident):
        return node.name
    if isinstance(node, (ast.IntLit, ast.FloatLit, ast.BoolLit)):
        return repr(node.value)
    if isinstance(node, ast.StringLit):
        return ascii(node.value)
    if isinstance(node, ast.Binary | ast.Assign):
        left, right = (node.left, node.right) if isinstance(node, ast.Binary) else (node.target, node.value)
        return f"({node.op} {dump(left)} {dump(right)})"
    if isinstance(node, ast.Node):
        parts = [type(node).__name__]
        for f in fields(node):
            if f.name in _QUIET:
                continue
            value = getattr(node, f.name)
            if value is None or value is False or value == "":
                continue
            parts.append(f.name if value is True else f"{f.name}={dump(value)}")
        return "(" + " ".join(parts) + ")"
    if isinstance(node, list):
        return "[" + " ".join(dump(x) for x in node) + "]"
    return str(node)
