"""The files an editor has open, those beside them, what imports what, and compilations of what is open."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from meshlang.diag import Diagnostic, MeshlangError
from meshlang.paths import stdlib_dir
from meshlang.sema.model.options import CompileOptions
from meshlang.syntax.parser import parse, read_source
from meshlang.syntax.source import SourceFile

from .index import Import, Index, Symbol

if TYPE_CHECKING:
    from meshlang.ir.program import Program

MOST_FILES = 2000  # of a workspace that are looked at
MOST_VALUES = 4  # different values of a name that are shown


@dataclass
class Compiled:
    """What one compilation found: diagnostics by path, and values of globals by (path, name), as text."""

    layout: str
    diagnostics: dict[str, list[Diagnostic]] = field(default_factory=dict)
    values: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    program: Program | None = None


class Workspace:
    """Paths are absolute and normalised. `texts`: what the editor has open, saved or not."""

    def __init__(self, roots: list[str] | None = None, options: dict[str, Any] | None = None):
        self.roots = roots or []
        self.options = options or {}  # fields of CompileOptions
        self.texts: dict[str, str] = {}
        self.compiled: dict[str, Compiled] = {}  # by layout
        self._indices: dict[str, tuple[Any, Index]] = {}
        self._listed: list[str] | None = None

    # ------------------------------------------------------------ files

    def source(self, path: str) -> SourceFile:
        """Raises MeshlangError for a file that cannot be read."""
        text = self.texts.get(path)
        return SourceFile(path, text) if text is not None else read_source(path)

    def index(self, path: str) -> Index | None:
        """Of the file as it is, or, while it cannot be parsed, as it was when it last could."""
        known = self._indices.get(path)
        try:
            stamp: Any = self.texts[path] if path in self.texts else os.stat(path).st_mtime_ns
            if known is not None and known[0] == stamp:
                return known[1]
            file = self.source(path)
            index = Index(file, parse(file))
        except (MeshlangError, OSError):
            return known[1] if known is not None else None
        self._indices[path] = (stamp, index)
        return index

    def files(self) -> list[str]:
        """Every .csl file of the workspace, and every open one."""
        if self._listed is None:
            found: list[str] = []
            for root in self.roots:
                for folder, folders, names in os.walk(root):
                    folders[:] = [f for f in folders if not f.startswith(".") and f not in ("node_modules", "venv")]
                    found += [os.path.join(folder, n) for n in names if n.endswith(".csl")]
                    if len(found) > MOST_FILES:
                        break
            self._listed = found[:MOST_FILES]
        return sorted({*self._listed, *self.texts})

    def forget(self) -> None:
        """Files have come or gone."""
        self._listed = None

    def target(self, path: str, imported: Import) -> str | None:
        """The file that an import of `path` names, as the compiler looks for it."""
        name = imported.path
        if name.startswith("<") and name.endswith(">"):
            full = str(stdlib_dir() / (name[1:-1] + ("" if name.endswith(".csl>") else ".csl")))
            return full if os.path.isfile(full) else None
        folders = [
            os.path.dirname(path),
            *(os.path.dirname(p) for p in self.compiled),
            *self.options.get("import_paths", ()),
        ]
        for folder in folders:
            full = os.path.normpath(os.path.join(folder, name))
            if full in self.texts or os.path.isfile(full):
                return full
        return None

    def importers(self, path: str) -> list[tuple[str, Index, Import]]:
        """The places of the workspace that import a file or make it the code of PEs."""
        found = []
        for other in self.files():
            index = self.index(other)
            for imported in index.imports if index is not None else ():
                if self.target(other, imported) == path:
                    assert index is not None
                    found.append((other, index, imported))
        return found

    def module_of(self, path: str, symbol: Symbol) -> str | None:
        """The file behind a const that holds a module."""
        index = self.index(path)
        for imported in index.imports if index is not None else ():
            if imported.symbol is not None and imported.symbol.name == symbol.name and symbol.is_global:
                return self.target(path, imported)
        return None

    def layouts(self, path: str) -> list[str]:
        """The layout files of the programs a file is part of; a layout file is its own."""
        seen = {path}
        waiting = [path]
        found = []
        while waiting:
            current = waiting.pop()
            index = self.index(current)
            if index is not None and index.has_layout:
                found.append(current)
                continue
            for other, _, _ in self.importers(current):
                if other not in seen:
                    seen.add(other)
                    waiting.append(other)
        return sorted(found)

    # ------------------------------------------------------------ compiling

    def syntax(self, path: str) -> list[Diagnostic]:
        try:
            parse(self.source(path))
        except MeshlangError as error:
            return error.diagnostics
        return []

    def compile(self, layout: str) -> Compiled:
        """Compile a program as it is in the editor, with lint's warnings where it compiles."""
        from meshlang import builtins
        from meshlang.sema import compiler
        from meshlang.sema.model.unit import Unit

        units: list[Unit] = []

        class Watched(compiler.Compiler):
            """Keeps the units, whose modules hold the values of globals."""

            def unit(self, *args: Any, **keywords: Any) -> Unit:
                units.append(super().unit(*args, **keywords))
                return units[-1]

            def print(self, text: str) -> None:  # standard output is the protocol's
                self.printed.append(text)

        options = CompileOptions(sources=dict(self.texts), **{"optimise": 0, **self.options})
        result = Compiled(layout)
        found: list[Diagnostic]
        try:
            options.check()
            with compiler.deep_recursion(options):
                program = Watched(options, builtins).compile(layout)
            result.program = program
            found = [*program.warnings, *self._lint(program)]
        except MeshlangError as error:
            found = error.diagnostics
        for d in found:
            result.diagnostics.setdefault(d.span.file.path if d.span is not None else layout, []).append(d)
        for unit in units:
            for module in unit.modules:
                for name, value in list(module.values.items()):
                    self._note(result.values.setdefault((os.path.normpath(module.path), name), []), value)
        self.compiled[layout] = result
        return result

    def _lint(self, program: Program) -> list[Diagnostic]:
        from meshlang.inspect.lint import lint
        from meshlang.ir.verify import verify

        verify(program)
        return lint(program)

    def _note(self, values: list[str], value: Any) -> None:
        from meshlang.sema.model import types as T
        from meshlang.sema.model.values import FnValue, GlobalVar, Known, show

        if isinstance(value, Known) and not isinstance(value.v, FnValue) and value.ty is not T.FN:
            try:
                text = f"{value.ty}: {show(value)}"
            except (TypeError, AttributeError, ValueError):
                return  # a value without a text of its own (a module, say)
        elif isinstance(value, GlobalVar):
            text = str(value.type)
        else:
            return
        if text not in values and len(values) <= MOST_VALUES:
            values.append(text)

    def values(self, path: str, name: str) -> list[str]:
        """`type: value`, or the type, of a global, from all programs that have been compiled; different ones each once."""
        return list(dict.fromkeys(v for c in self.compiled.values() for v in c.values.get((path, name), ())))

    def check(self, path: str) -> dict[str, list[Diagnostic]]:
        """What is wrong, by file, in the programs that a file is part of; else in its syntax."""
        wrong = self.syntax(path)
        if wrong:
            return {path: wrong}
        out: dict[str, list[Diagnostic]] = {path: []}
        for layout in self.layouts(path):
            for file, found in self.compile(layout).diagnostics.items():
                here = out.setdefault(os.path.abspath(file) if Path(file).exists() else file, [])
                known = {(d.code, d.message, d.span and d.span.start) for d in here}
                here += [d for d in found if (d.code, d.message, d.span and d.span.start) not in known]
        return out
