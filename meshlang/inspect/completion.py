"""What may come next on a line: commands, symbols, colors, tasks, source lines, coordinates, files. Reads only what is
loaded."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

from . import names, registry

if TYPE_CHECKING:
    from .shell import Shell

_WORD = re.compile(r"[\w./:,~-]*$")
_KINDS = {"pe", "symbol", "color", "taskname", "function", "file", "source", "command"}
MOST = 200


def completions(repl: Shell, line: str) -> list[tuple[str, int, str]]:
    """(text, how many characters of the line it replaces, what it is) for the end of a line."""
    match = _WORD.search(line)
    word = match.group() if match else ""
    before = line[: len(line) - len(word)]
    if not before.strip():
        return [(n, len(word), c.summary) for n, c in sorted(registry.COMMANDS.items()) if n.startswith(word)]
    first = line.split(None, 1)[0]
    name = registry.ALIASES.get(first, first)
    command = registry.COMMANDS.get(name) or next((c for n, c in registry.COMMANDS.items() if n.startswith(name)), None)
    if command is None:
        return []
    out: list[tuple[str, int, str]] = []
    kinds = command.complete
    if before.rstrip().endswith("@"):
        kinds = ("pe",)
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
    for kind in kinds:
        candidates = _candidates(repl, kind, word) if kind in _KINDS else [(kind, "")]
        out += [(text, len(word), what) for text, what in candidates if text.startswith(word) and text != word]
        if len(out) > MOST:
            break
    return list(dict.fromkeys(out))[:MOST]


def _candidates(repl: Shell, kind: str, word: str) -> Iterable[tuple[str, str]]:
    if kind == "command":
        return [(n, c.summary) for n, c in registry.COMMANDS.items()]
    if kind == "file":
        return _files(word)
    if not repl.loaded:
        return []
    debugger = repl.debugger
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
        return [(f"{f}:", "source file") for f in sorted(files)]
    x, comma, _ = word.partition(",")
    if comma:
        return [(f"{x},{y}", "PE") for y in range(min(machine.height, 64))] + [(f"{x},:", "all rows")]
    return [(f"{i},", "column") for i in range(min(machine.width, 64))] + [("all", "every PE"), (":,", "all columns")]


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
