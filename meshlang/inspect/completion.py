"""What may come next on a line: commands, symbols, colors, tasks, source lines, coordinates, params, breakpoints, files.
Reads only what is loaded."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

from meshlang.fabric.recording import GROUPS

from . import names, registry

if TYPE_CHECKING:
    from .shell import Shell

_WORD = re.compile(r"[\w./:,~=-]*$")
_KINDS = {"pe", "symbol", "color", "taskname", "function", "file", "source", "command", "param", "breakpoint", "event"}
_OPERATOR = re.compile(r".*[-:=]")  # in an expression these begin a new name
MOST = 200
EXPRESSIONS = {"print", "display", "watch"}  # commands that compute


def completions(repl: Shell, line: str) -> list[tuple[str, int, str]]:
    """(text, how many characters of the line it replaces, what it is) for the end of a line."""
    match = _WORD.search(line)
    word = match.group() if match else ""
    before = line[: len(line) - len(word)]
    if not before.strip():
        known = {n: c.summary for n, c in registry.COMMANDS.items()}
        known |= {alias: f"short for {name}" for alias, name in registry.ALIASES.items() if len(alias) > 1}
        return [(n, len(word), what) for n, what in sorted(known.items()) if n.startswith(word)]
    first = line.split(None, 1)[0]
    name = registry.ALIASES.get(first, first)
    command = registry.COMMANDS.get(name) or next((c for n, c in registry.COMMANDS.items() if n.startswith(name)), None)
    if command is None:
        return []
    out: list[tuple[str, int, str]] = []
    kinds = command.complete
    if before.rstrip().endswith("@"):
        kinds = ("pe",)
    elif before.rstrip().endswith(">"):
        kinds = ("file", *(("symbol",) if name in EXPRESSIONS else ()))
    else:
        previous = before.split()[-1]
        # what a word of a condition wants after it
        after = {
            "task": ("taskname", "function"),
            "wavelet": ("color",),
            "line": ("source",),
            "until": tuple(k for k in kinds if k != "until"),
        }
        kinds = after.get(previous, kinds)
    if name in EXPRESSIONS and "pe" not in kinds[:1]:
        word = _OPERATOR.sub("", word)
    if "@" in command.usage and "@" not in line and len(before.split()) > 1 and not word:
        out.append(("@", 0, "of which PEs"))
    for kind in kinds:
        candidates = _candidates(repl, kind, word) if kind in _KINDS else [(kind, "")]
        out += [(text, len(word), what) for text, what in candidates if text.startswith(word) and text != word]
        if len(out) > MOST:
            break
    return list(dict.fromkeys(out))[:MOST]


def _candidates(repl: Shell, kind: str, word: str) -> Iterable[tuple[str, str]]:
    if kind == "command":
        return [(n, c.summary) for n, c in registry.COMMANDS.items()] + [(a, n) for a, n in registry.ALIASES.items()]
    if kind == "event":
        listed, comma, _ = word.partition("=")[2].rpartition(",")
        groups = (
            [(f"events={listed}{comma}{g}", "events") for g in (*GROUPS, "all")] if word.startswith("events=") else []
        )
        return [*groups, ("events=", "which events"), ("colors=", "of which colors")]
    if kind == "file":
        return _files(word)
    if not repl.loaded:
        return []
    debugger = repl.debugger
    if kind == "param":
        return [(f"{n}=", f"now {value}") for n, value in debugger.program.params.items()]
    if kind == "breakpoint":
        return [(str(n), c.text) for n, c in debugger.breaks.items()] + [("all", "all of them")]
    machine = debugger.machine
    if kind == "function":
        return [(s.name, s.type) for s in debugger.symbols.all if s.kind == "fn"]
    if kind == "symbol":
        found = {s.name: s.type for s in debugger.symbols.all if s.kind != "fn"}
        for tile in debugger.program.tiles[:64]:
            found |= {o.name: o.type for o in names.variables(tile) if o.name not in found}
        return sorted(found.items())
    if kind == "color":
        return [(str(c), "color") for c in names.colors_of(machine)]
    if kind == "taskname":
        return [(t, "task") for t in names.tasks_of(machine)]
    if kind == "source":
        files = {
            PurePath(sp.file.path).name for t in debugger.program.tiles[:64] for sp in t.spans[:2000] if sp is not None
        }
        file, colon, _ = word.partition(":")
        if colon and file in files:
            return _lines(repl, file)
        return [(f"{f}:", "source file") for f in sorted(files)]
    x, comma, _ = word.partition(",")
    if comma:
        return [(f"{x},{y}", "PE") for y in range(min(machine.height, 64))] + [(f"{x},:", "all rows")]
    return [(f"{i},", "column") for i in range(min(machine.width, 64))] + [("all", "every PE"), (":,", "all columns")]


def _lines(repl: Shell, file: str) -> list[tuple[str, str]]:
    """The lines of a source file that have code, with their text."""
    found: dict[int, str] = {}
    for tile in repl.debugger.program.tiles[:64]:
        for span in tile.spans:
            if span is not None and PurePath(span.file.path).name == file:
                line = span.line_col()[0]
                found.setdefault(line, span.file.line(line).strip())
    return [(f"{file}:{line}", text) for line, text in sorted(found.items())]


def _files(word: str) -> Iterator[tuple[str, str]]:
    folder, slash, _ = word.rpartition("/")
    base = Path(folder + slash or ".").expanduser()
    try:
        found = sorted(base.iterdir())[:1000]
    except OSError:
        return
    for path in found:
        if not path.name.startswith("."):
            yield folder + slash + path.name + ("/" if path.is_dir() else ""), "folder" if path.is_dir() else "file"
