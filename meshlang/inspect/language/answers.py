"""What an editor shows at a place: hover, definition, references, completion, rename, tokens, outline, hints, fixes.

Places are character offsets; `server` turns them into the protocol's. Nothing here depends on it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from meshlang.diag import Diagnostic
from meshlang.paths import stdlib_dir
from meshlang.sema.model import types as T
from meshlang.syntax import ast
from meshlang.syntax.lexer import END, tokenize
from meshlang.syntax.tables import tables

from .index import LOCAL, Index, Member, Symbol
from .workspace import Workspace

Place = tuple[str, int, int]  # path, start, end

TYPES = (
    "bool void i8 i16 i32 i64 u8 u16 u32 u64 f16 f32 color comptime_int comptime_float comptime_string comptime_struct type "
    "direction input_queue output_queue local_task_id data_task_id control_task_id mem1d_dsd mem4d_dsd fabin_dsd fabout_dsd anytype"
).split()


SHORT = 40  # characters of a value that is shown in the text


class Refused(Exception):
    """A rename that cannot be done; the text says why."""


# ---------------------------------------------------------------- names


def resolve(workspace: Workspace, path: str, offset: int) -> tuple[str, Symbol] | None:
    """The file and the symbol that a name at a place means."""
    index = workspace.index(path)
    if index is None:
        return None
    found = index.at(offset)
    if isinstance(found, Member):
        target = workspace.module_of(path, found.base)
        other = workspace.index(target) if target is not None else None
        symbol = other.globals.get(found.name) if other is not None else None
        return (target, symbol) if target is not None and symbol is not None else None
    return (path, found) if found is not None else None


def definition(workspace: Workspace, path: str, offset: int) -> Place | None:
    """Where a name is declared; of a path in quotes, the file."""
    index = workspace.index(path)
    imported = index.import_at(offset) if index is not None else None
    if imported is not None:
        target = workspace.target(path, imported)
        return (target, 0, 0) if target is not None else None
    found = resolve(workspace, path, offset)
    return (found[0], found[1].start, found[1].end) if found is not None else None


def references(workspace: Workspace, path: str, offset: int) -> list[Place]:
    """Every place that means the same, the declaration first; params are given by name in other files."""
    found = resolve(workspace, path, offset)
    if found is None:
        return []
    home, symbol = found
    places = [(home, start, end) for start, end in symbol.places]
    if not symbol.is_global:
        return places
    for other in workspace.files():
        index = workspace.index(other)
        for member in index.members if index is not None else ():
            if member.name == symbol.name and workspace.module_of(other, member.base) == home:
                places.append((other, member.start, member.end))
    if symbol.kind in ("param", "color"):
        places += _given(workspace, home, symbol.name)[0]
    return list(dict.fromkeys(places))


def _given(workspace: Workspace, home: str, name: str) -> tuple[list[Place], list[str]]:
    """Where a param gets its value, `.name = ...`; and the files that give values in a form that cannot be followed."""
    places: list[Place] = []
    hidden = []
    for other, index, imported in workspace.importers(home):
        if imported.given is None:
            continue
        literals = [imported.given]
        if isinstance(imported.given, ast.BuiltinCall) and imported.given.name == "concat_structs":
            literals = list(imported.given.args)
        for literal in literals:
            if not isinstance(literal, ast.StructLit):
                hidden.append(other)
                continue
            for init in literal.fields:
                if init.name == name:
                    start = index.file.text.index(name, init.span.start)
                    places.append((other, start, start + len(name)))
    return places, hidden


def rename(workspace: Workspace, path: str, offset: int, new: str) -> dict[str, list[tuple[int, int, str]]]:
    """Edits by file. Raises Refused."""
    found = resolve(workspace, path, offset)
    if found is None:
        raise Refused("only names that are declared in a file can be renamed")
    home, symbol = found
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", new) or new in tables().words:
        raise Refused(f"'{new}' is no name")
    if home.startswith(str(stdlib_dir())):
        raise Refused(f"'{symbol.name}' belongs to a library of MeshLang")
    if symbol.kind in ("param", "color"):
        hidden = _given(workspace, home, symbol.name)[1]
        if hidden:
            raise Refused(
                f"{hidden[0]} hands over params in a struct that is put together elsewhere: whether '{symbol.name}' is among them "
                "cannot be seen"
            )
    edits: dict[str, list[tuple[int, int, str]]] = {}
    index = workspace.index(home)
    assert index is not None
    taken = [s for s in index.symbols if s.name == new and (s.is_global or symbol.is_global or s.scope == symbol.scope)]
    if taken:
        raise Refused(f"'{new}' is taken in this file")
    kept = index.exported.get(symbol)  # the host and the layout know it by its old name
    for file, start, end in references(workspace, path, offset):
        text = f'{new}, "{symbol.name}"' if (file, (start, end)) == (home, kept) else new
        edits.setdefault(file, []).append((start, end, text))
    return edits


# ---------------------------------------------------------------- hover


def hover(workspace: Workspace, path: str, offset: int) -> tuple[str, int, int] | None:
    """Markdown, and what it is about."""
    index = workspace.index(path)
    if index is None:
        return None
    name = index.builtin_at(offset)
    if name is not None:
        _, start, end = next(b for b in index.builtins if b[1] <= offset <= b[2])
        text = builtin_text(name)
        return (text, start, end) if text else None
    found = resolve(workspace, path, offset)
    if found is None:
        return None
    home, symbol = found
    here = index.at(offset)
    start, end = (here.start, here.end) if isinstance(here, Member) else (offset, offset)
    if isinstance(here, Symbol):
        start, end = next(p for p in here.places if p[0] <= offset <= p[1])
    return describe(workspace, home, symbol), start, end


def describe(workspace: Workspace, home: str, symbol: Symbol) -> str:
    index = workspace.index(home)
    assert index is not None
    parts = [f"```csl\n{_declaration(index, symbol)}\n```"]
    comment = _comment(index, symbol)
    if comment:
        parts.append(comment)
    if symbol.is_global:
        values = workspace.values(home, symbol.name)
        if values:
            parts.append("compiled: " + ", ".join(f"`{v}`" for v in values[:3]) + (", ..." if len(values) > 3 else ""))
    return "\n\n".join(parts)


def _declaration(index: Index, symbol: Symbol) -> str:
    text = index.file.text
    node = symbol.node
    if isinstance(node, ast.FnDecl):
        stop = node.body.span.start if node.body is not None else node.span.end
        return " ".join(text[node.span.start : stop].split())
    if isinstance(node, (ast.Decl, ast.Param)):
        line = " ".join(text[node.span.start : node.span.end].split())
        return line if len(line) <= 160 else line[:157] + "..."
    return f"{symbol.name}: {'loop variable' if isinstance(node, ast.For) else 'index of a tensor access'}"


def _comment(index: Index, symbol: Symbol) -> str:
    """The comment lines right above a declaration, and the one at the end of its line."""
    if symbol.kind in LOCAL:
        return ""
    line = index.file.position(symbol.whole[0])[0]
    above: list[str] = []
    while line > 1 and index.file.line(line - 1 - len(above)).lstrip().startswith("//"):
        above.insert(0, index.file.line(line - 1 - len(above)).strip())
    last = index.file.line(index.file.position(symbol.whole[1] if isinstance(symbol.node, ast.Decl) else symbol.end)[0])
    tail = re.search(r"[;{]\s*(//.*)$", last)
    return "\n".join(c.lstrip("/").strip() for c in [*above, *([tail[1]] if tail else [])])


def builtin_text(name: str) -> str | None:
    """A builtin's form, phase and machine; of a vector operation also what an element costs."""
    from meshlang.builtins import lookup
    from meshlang.builtins.registry import PHASES

    builtin = lookup(name)
    if builtin is None:
        return None
    parts = [f"```csl\n@{name}({builtin.args})\n```"]
    if builtin.doc:
        parts.append(builtin.doc)
    if PHASES.get(builtin.phase):
        parts.append(f"Can be used {PHASES[builtin.phase]} only.")
    if len(builtin.arch) == 1:
        parts.append(f"On {builtin.arch[0]} only.")
    cost = _cost(name)
    if cost:
        parts.append(cost)
    return "\n\n".join(parts)


def _cost(name: str) -> str:
    from meshlang.fabric.timing.profile import load_profile
    from meshlang.ir.dsdops import DsdOpCode

    if name.upper() not in DsdOpCode.__members__:
        return ""
    shown = []
    for machine in ("wse2", "wse3"):
        profile = load_profile(machine)
        if f"dsd.width.{name}" in profile.numbers:
            width = profile.numbers[f"dsd.width.{name}"].value
            shown.append(f"{machine} {width} element{'' if width == 1 else 's'} a cycle at most")
    return f"Timing: {'; '.join(shown)} (docs/timing.md)." if shown else ""


# ---------------------------------------------------------------- completion


@dataclass(frozen=True)
class Proposal:
    label: str
    kind: str
    detail: str = ""
    doc: str = ""


def completion(workspace: Workspace, path: str, offset: int) -> list[Proposal]:
    """What may stand at a place: builtins behind `@`, a module's members behind its name, libraries in `"<`, names."""
    from meshlang.builtins import lookup, names

    text = workspace.source(path).text
    before = text[text.rfind("\n", 0, offset) + 1 : offset]
    if re.search(r"//", re.sub(r'"[^"]*"', "", before)):
        return []
    if re.search(r"@\w*$", before):
        out = []
        for name in names():
            builtin = lookup(name)
            assert builtin is not None
            out.append(Proposal(f"@{name}", "builtin", f"({builtin.args})", builtin_text(name) or ""))
        return out
    if re.search(r'@(import_module|set_tile_code)\([^"]*"[^"]*$', before):
        return _files(workspace, path, library=bool(re.search(r'"<[^"]*$', before)))
    index = workspace.index(path)
    if index is None:
        return []
    member = re.search(r"(\w+)\.(\w*)$", before)
    if member is not None:
        base = index.globals.get(member[1])
        target = workspace.module_of(path, base) if base is not None else None
        other = workspace.index(target) if target is not None else None
        if other is None or target is None:
            return []
        return [_proposal(workspace, target, s) for s in other.globals.values() if s.kind != "param"]
    if re.search(r"\.\w*$", before):
        return _params(workspace, path, index, offset)
    out = [_proposal(workspace, path, s) for s in index.visible(offset)]
    out += [Proposal(t, "type") for t in TYPES]
    return out + [Proposal(w, "keyword") for w in sorted({*tables().words, "layout"} - set(TYPES))]


def _params(workspace: Workspace, path: str, index: Index, offset: int) -> list[Proposal]:
    """`.name` in the struct that an import or a tile's code gets: the params of that file."""
    for imported in index.imports:
        given = imported.given
        if given is not None and given.span.start <= offset <= given.span.end:
            target = workspace.target(path, imported)
            other = workspace.index(target) if target is not None else None
            if other is not None and target is not None:
                return [_proposal(workspace, target, s) for s in other.globals.values() if s.kind in ("param", "color")]
    return []


def _files(workspace: Workspace, path: str, library: bool) -> list[Proposal]:
    import os

    if library:
        root = stdlib_dir()
        return [
            Proposal(f"<{p.relative_to(root).with_suffix('').as_posix()}>", "file") for p in sorted(root.rglob("*.csl"))
        ]
    folder = os.path.dirname(path)
    near = [os.path.relpath(f, folder) for f in workspace.files() if f != path]
    return [Proposal(f.replace(os.sep, "/"), "file") for f in near if not f.startswith(os.path.join("..", "..", ".."))]


def _proposal(workspace: Workspace, home: str, symbol: Symbol) -> Proposal:
    index = workspace.index(home)
    assert index is not None
    return Proposal(symbol.name, symbol.kind, _declaration(index, symbol), _comment(index, symbol))


# ---------------------------------------------------------------- tokens, outline, hints

TOKEN_TYPES = (
    "keyword",
    "type",
    "function",
    "macro",
    "parameter",
    "variable",
    "property",
    "number",
    "string",
    "namespace",
)
TOKEN_MODIFIERS = ("declaration", "readonly")


def semantic_tokens(workspace: Workspace, path: str) -> list[tuple[int, int, str, tuple[str, ...]]]:
    """(start, length, type, modifiers) in textual order, of what cannot be told by its form alone, and the words."""
    index = workspace.index(path)
    if index is None or index.file.text != workspace.source(path).text:
        return []
    out: dict[int, tuple[int, int, str, tuple[str, ...]]] = {}

    def add(start: int, end: int, kind: str, *modifiers: str) -> None:
        out[start] = (start, end - start, kind, modifiers)

    words = set(tables().words.values()) | {"LAYOUT", "PACKED", "NOINLINE", "ATTR", "COLORDECL"}
    for kind, text, start, end in tokenize(index.file)[0]:
        if kind == "IDENT" and text in TYPES:
            add(start, end, "type")
        elif kind in words:
            add(start, end, "keyword")
        elif kind == "BUILTIN":
            add(start, end, "macro")
        elif kind in ("INT", "FLOAT", "CHAR"):
            add(start, end, "number")
        elif kind == "STRING":
            add(start, end, "string")
        elif kind == END:
            break
    modules = {i.symbol.name for i in index.imports if i.symbol is not None}
    for symbol in index.symbols:
        kind = {"fn": "function", "task": "function", "argument": "parameter", "param": "parameter"}.get(
            symbol.kind, "variable"
        )
        if symbol.is_global and symbol.name in modules:
            kind = "namespace"
        constant = ("readonly",) if symbol.kind in ("const", "param", "color", "argument", "capture") else ()
        for start, end in symbol.places:
            add(start, end, kind, *(("declaration",) if start == symbol.start else ()), *constant)
    for _, start, end in index.fields:
        add(start, end, "property")
    for member in index.members:
        add(member.start, member.end, "property")
    return [out[start] for start in sorted(out)]


def hints(workspace: Workspace, path: str) -> list[tuple[int, str]]:
    """(place, text): the value of each global const and param that does not show it itself, if it is the same everywhere."""
    index = workspace.index(path)
    out: list[tuple[int, str]] = []
    for symbol in index.globals.values() if index is not None else ():
        node = symbol.node
        if not isinstance(node, ast.Decl) or node.kind not in ("const", "param", "color"):
            continue
        if isinstance(node.init, (ast.IntLit, ast.FloatLit, ast.BoolLit, ast.StringLit)) and node.kind == "const":
            continue
        values = workspace.values(path, symbol.name)
        kind, _, value = values[0].partition(": ") if len(values) == 1 else ("", "", "")
        if not 0 < len(value) <= SHORT or index is None or kind == T.MODULE.name:  # the import says which module
            continue
        if node.init is None:
            out.append((node.span.end, f" = {value}"))
        elif index.file.text[node.init.span.start : node.init.span.end] != value:
            out.append((node.span.end, f" -> {value}"))
    return out


# ---------------------------------------------------------------- fixes

_MEANT = re.compile(r"did you mean '?@?<?([\w/]+)>?'?\?")
_AS = re.compile(r"convert it with (@as\((.+), value\))")
_WRITE = re.compile(r"^write `([^`]+)`")
_WHOLE = frozenset({"MS0114", "MS0106", "MS0113", "MS0120"})  # where `write X` replaces exactly what is marked


def fix(d: Diagnostic) -> tuple[str, int, int, str] | None:
    """(title, start, end, text): the edit that a diagnostic's help describes, where it is a mechanical one."""
    if d.span is None:
        return None
    start, end = d.span.start, d.span.end
    marked = d.span.file.text[start:end]
    if d.code == "MS0101":
        return ("add `;`", end, end, ";") if not marked else ("add `;`", start, start, ";")
    if not d.help:
        return None
    meant = _MEANT.search(d.help)
    if meant is not None and re.search(r"\w+", marked):
        named = re.search(r"'@?<?([\w/]+)>?'", d.message) or re.search(r"<([\w/]+)>", d.message)
        if named is not None and named[1] in marked:
            at = start + marked.index(named[1])
            return f"replace it with {meant[1]}", at, at + len(named[1]), meant[1]
    convert = _AS.search(d.help)
    if convert is not None and marked:
        return f"convert it to {convert[2]}", start, end, f"@as({convert[2]}, {marked})"
    write = _WRITE.match(d.help)
    if write is not None and d.code in _WHOLE and marked and "value" not in write[1]:
        return f"write {write[1]}", start, end, write[1]
    return None
