"""What the text of a code file says before it is compiled: its params, and the numbers it takes for itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from meshlang.syntax import ast


@dataclass(frozen=True)
class Code:
    params: dict[str, ast.Decl]
    numbers: frozenset[str]  # names that are arguments of @get_color
    colors: frozenset[int]  # literal arguments of @get_color
    tasks: frozenset[int]  # literal ids of local and control tasks

    @classmethod
    def of(cls, tree: ast.Module) -> Code:
        arguments: dict[str, list[Any]] = {"get_color": [], "get_local_task_id": [], "get_control_task_id": []}
        for call in _calls(tree):
            if call.name in arguments:
                arguments[call.name] += call.args

        def literals(*builtins: str) -> frozenset[int]:
            return frozenset(a.value for b in builtins for a in arguments[b] if isinstance(a, ast.IntLit))

        return cls(
            {d.name: d for d in tree.items if isinstance(d, ast.Decl) and d.kind in ("param", "color")},
            frozenset(a.name for a in arguments["get_color"] if isinstance(a, ast.Ident)),
            literals("get_color"),
            literals("get_local_task_id", "get_control_task_id"),
        )

    def takes_color(self, name: str) -> bool:
        """Does a param want a `color` (the dialect of SDK 1.4) rather than its number (2.10)?"""
        decl = self.params[name]
        if decl.type is None:
            return decl.kind == "color" or name not in self.numbers
        return isinstance(decl.type, ast.Ident) and decl.type.name == "color"

    def used(self, arch: str) -> frozenset[int]:
        """Values that colors of the layout should not have here: on WSE-2 a wavelet of a color also starts the task of
        that id."""
        return self.colors | self.tasks if arch == "wse2" else self.colors


def _calls(node: Any) -> Iterator[ast.BuiltinCall]:
    """All calls of builtins below a node of the tree."""
    if isinstance(node, ast.BuiltinCall):
        yield node
    for slot in getattr(node, "__slots__", ()):
        value = getattr(node, slot)
        for child in value if isinstance(value, list) else (value,):
            if isinstance(child, ast.Node):
                yield from _calls(child)
