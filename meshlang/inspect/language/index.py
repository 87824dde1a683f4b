"""The names of one file: where each is declared, from where it is seen, and every place that means it.

This reads the tree and evaluates nothing: the language has no overloading and no shadowing tricks that would need it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from meshlang.syntax import ast
from meshlang.syntax.source import SourceFile

# kinds of symbols: const, var, param, color, fn, task, argument, capture, comptime var
LOCAL = ("argument", "capture")


@dataclass(eq=False)
class Symbol:
    name: str
    kind: str
    start: int  # of the name where it is declared
    end: int
    node: ast.Node
    whole: tuple[int, int]  # the declaration
    scope: tuple[int, int]  # from where it is seen
    is_global: bool
    places: list[tuple[int, int]] = field(default_factory=list)  # every use, the declaration first


@dataclass(frozen=True)
class Member:
    """`base.name`, where `base` is a name of this file."""

    base: Symbol
    name: str
    start: int
    end: int


@dataclass(frozen=True)
class Import:
    """`@import_module("path", .{...})`, or the file of `@set_tile_code`."""

    path: str
    start: int  # of the text between the quotes
    end: int
    symbol: Symbol | None  # the const that holds the module
    given: ast.Node | None  # the params


class Index:
    """`symbols` in textual order; `globals` by name; `members`, `imports`, `builtins` (name, start, end)."""

    def __init__(self, file: SourceFile, tree: ast.Module):
        self.file = file
        self.tree = tree
        self.symbols: list[Symbol] = []
        self.globals: dict[str, Symbol] = {}
        self.members: list[Member] = []
        self.imports: list[Import] = []
        self.builtins: list[tuple[str, int, int]] = []
        self.fields: list[tuple[str, int, int]] = []  # names behind a dot that are no members of a module
        # names that no scope of the file has; predeclared ones are among them
        self.unknown: list[tuple[str, int, int]] = []
        self.exported: dict[
            Symbol, tuple[int, int]
        ] = {}  # `@export_symbol(x)` without a name of its own: where x stands
        self.has_layout = any(isinstance(i, ast.LayoutBlock) for i in tree.items)
        self._scopes: list[dict[str, Symbol]] = [self.globals]
        self._ends: list[int] = []  # of the scopes inside the file's
        whole = (0, len(file.text))
        for item in tree.items:
            if isinstance(item, ast.Decl):
                self._declare(item.name, item.kind, item.name_span.start, item, whole, True)
            elif isinstance(item, ast.FnDecl):
                self._declare(item.name, "task" if item.is_task else "fn", item.name_span.start, item, whole, True)
        for item in tree.items:
            self._node(item)
        self.symbols.sort(key=lambda s: s.start)

    # ------------------------------------------------------------ questions

    def at(self, offset: int) -> Symbol | Member | None:
        """The name at a place, which may be just behind it."""
        for symbol in self.symbols:
            if any(start <= offset <= end for start, end in symbol.places):
                return symbol
        return next((m for m in self.members if m.start <= offset <= m.end), None)

    def import_at(self, offset: int) -> Import | None:
        return next((i for i in self.imports if i.start <= offset <= i.end), None)

    def builtin_at(self, offset: int) -> str | None:
        return next((name for name, start, end in self.builtins if start <= offset <= end), None)

    def visible(self, offset: int) -> list[Symbol]:
        """Names that can be used at a place; an inner one hides an outer one of its name."""
        found: dict[str, Symbol] = {}
        for symbol in self.symbols:
            if symbol.is_global or symbol.scope[0] <= offset <= symbol.scope[1]:
                found[symbol.name] = symbol
        return list(found.values())

    # ------------------------------------------------------------ walking

    def _declare(
        self, name: str, kind: str, start: int, node: ast.Node, scope: tuple[int, int], is_global: bool = False
    ) -> None:
        end = start + len(name)
        if name == "_":
            return
        symbol = Symbol(
            name, kind, start, end, node, (node.span.start, node.span.end), scope, is_global, [(start, end)]
        )
        self.symbols.append(symbol)
        self._scopes[-1].setdefault(name, symbol)

    def _find(self, name: str, start: int) -> int:
        """Where a word stands, from a place on."""
        m = re.compile(rf"\b{re.escape(name)}\b").search(self.file.text, start)
        return m.start() if m else start

    def _use(self, name: str, start: int, end: int) -> Symbol | None:
        for scope in reversed(self._scopes):
            symbol = scope.get(name)
            if symbol is not None:
                if (start, end) not in symbol.places:
                    symbol.places.append((start, end))
                return symbol
        self.unknown.append((name, start, end))
        return None

    def _all(self, node: ast.Node) -> None:
        for child in ast.children(node):
            self._node(child)

    def _node(self, node: ast.Node) -> None:
        if isinstance(node, ast.Ident):
            start = self._find(node.name, node.span.start)  # parentheses belong to the span
            self._use(node.name, start, start + len(node.name))
        elif isinstance(node, ast.FnDecl):
            self._function(node)
        elif isinstance(node, ast.Decl):
            self._all(node)
            if len(self._scopes) > 1:
                kind = "comptime var" if node.comptime and node.kind == "var" else node.kind
                self._declare(node.name, kind, node.name_span.start, node, (node.span.end, self._ends[-1]))
            elif isinstance(node.init, ast.BuiltinCall):
                self._import(node.init, self.globals.get(node.name))
        elif isinstance(node, (ast.Block, ast.ComptimeBlock, ast.LayoutBlock)):
            self._scoped(node)
        elif isinstance(node, ast.For):
            self._node(node.iter)
            self._enter(node)
            place = self.file.text.index("|", node.iter.span.end)
            for name in (node.elem, node.index):
                if name is not None:
                    place = self._find(name, place)
                    self._declare(name, "capture", place, node, (place, node.span.end))
                    place += len(name)
            self._node(node.body)
            self._leave()
        elif isinstance(node, ast.TensorAccess):
            for length in node.lengths:
                self._node(length)
            self._enter(node)
            place = self.file.text.index("|", node.span.start)
            for name in node.vars:
                place = self._find(name, place)
                self._declare(name, "capture", place, node, (place, node.span.end))
                place += len(name)
            for part in (node.target, *node.indices):
                self._node(part)
            self._leave()
        elif isinstance(node, ast.Field):
            self._field(node)
        elif isinstance(node, ast.BuiltinCall):
            self._builtin(node)
        elif isinstance(node, ast.FieldInit):
            start = self._find(node.name, node.span.start)
            self.fields.append((node.name, start, start + len(node.name)))
            self._node(node.value)
        else:
            self._all(node)

    def _enter(self, node: ast.Node) -> None:
        self._scopes.append({})
        self._ends.append(node.span.end)

    def _leave(self) -> None:
        self._scopes.pop()
        self._ends.pop()

    def _scoped(self, node: ast.Node) -> None:
        self._enter(node)
        self._all(node)
        self._leave()

    def _function(self, node: ast.FnDecl) -> None:
        self._enter(node)
        for param in node.params:
            if param.type is not None:
                self._node(param.type)
            place = param.span.start
            if param.comptime:
                place += len("comptime")
            self._declare(
                param.name, "argument", self._find(param.name, place), param, (node.span.start, node.span.end)
            )
        for part in (node.ret, node.linkname, node.linksection, node.body):
            if part is not None:
                self._node(part)
        self._leave()

    def _field(self, node: ast.Field) -> None:
        self._node(node.base)
        start, end = node.name_span.start, node.name_span.end
        if isinstance(node.base, ast.Ident):
            base = next((s[node.base.name] for s in reversed(self._scopes) if node.base.name in s), None)
            if base is not None:
                self.members.append(Member(base, node.name, start, end))
                return
        self.fields.append((node.name, start, end))

    def _builtin(self, node: ast.BuiltinCall) -> None:
        self.builtins.append((node.name, node.name_span.start, node.name_span.end))
        if not any(i.start - 1 == arg.span.start for i in self.imports for arg in node.args[:1]):
            self._import(node, None)
        if node.name == "export_symbol" and len(node.args) == 1 and isinstance(node.args[0], ast.Ident):
            name = node.args[0].name
            start = self._find(name, node.args[0].span.start)
            symbol = self._use(name, start, start + len(name))
            if symbol is not None and symbol.is_global:
                self.exported[symbol] = (start, start + len(name))
            return
        for arg in node.args:
            self._node(arg)

    def _import(self, call: ast.BuiltinCall, symbol: Symbol | None) -> None:
        place = {"import_module": 0, "set_tile_code": 2}.get(call.name)
        if place is None or len(call.args) <= place or not isinstance(call.args[place], ast.StringLit):
            return
        literal = call.args[place]
        assert isinstance(literal, ast.StringLit)
        start = self.file.text.index('"', literal.span.start) + 1
        known = next((i for i in self.imports if i.start == start), None)
        if known is not None:
            if symbol is not None:
                self.imports[self.imports.index(known)] = Import(
                    known.path, known.start, known.end, symbol, known.given
                )
            return
        given = call.args[place + 1] if len(call.args) > place + 1 else None
        self.imports.append(Import(literal.value, start, start + len(literal.value), symbol, given))
