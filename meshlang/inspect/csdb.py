"""The debugger with the commands of the vendor's csdb: a context, a target, a rectangle of PEs, and their memory.

Everything else that is typed is a command of the REPL.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from meshlang.host.sdk.core import NAMES, profile_of
from meshlang.host.sdk.debug import place

from . import names
from .mistakes import mistake
from .repl import Repl

WORD = 2  # bytes of a word of the machine
ROW = 8  # elements a line
DEFAULT_COUNT = 16
_SIGNED = {1: np.int8, 2: np.int16, 4: np.int32}
_UNSIGNED = {1: np.uint8, 2: np.uint16, 4: np.uint32}
_FLOAT = {2: np.float16, 4: np.float32}


@dataclass(frozen=True)
class Command:
    usage: str
    help: str
    run: Callable[[Csdb, list[str]], None]


def compiled_folders(folder: Path) -> list[Path]:
    """The compiled programs in a folder: itself, or those in it that may be read."""
    itself = [folder] if (folder / "bin" / "program.json").is_file() else []
    return itself + [p for p in sorted(folder.glob("*/")) if os.path.isfile(p / "bin" / "program.json")]


class Csdb(Repl):
    """A session in a folder. `program` is the compiled folder that the context selects."""

    def __init__(self, folder: Path, color: bool = False):
        super().__init__(color=color)
        self.folder = folder
        self.program: Path | None = None
        self.rectangle: tuple[int, int, int, int] | None = None  # x, y, width, height on the fabric

    def perform(self, line: str) -> None:
        words = shlex.split(line)
        if (
            words[0] == "help"
            and len(words) > 1
            and (known := [n for n in COMMANDS if n.startswith(" ".join(words[1:]))])
        ):
            self._help(known)
            return
        groups = {n.split()[0] for n in COMMANDS}
        if words[0] not in groups:
            super().perform(line)
            if words == ["help"]:
                self._help(list(COMMANDS))
            return
        name = " ".join(words[:2])
        if name not in COMMANDS:
            mine = [n for n in COMMANDS if n.startswith(words[0] + " ")]
            if len(words) == 1 or words[1] in ("help", "-h", "--help"):
                self._help(mine)
                return
            raise mistake(f"there is no command `{name}`", help=f"there are: {', '.join(mine)}")
        if {"-h", "--help"} & set(words[2:]):
            self._help([name])
            return
        COMMANDS[name].run(self, words[2:])
        self.show_warnings()

    def _help(self, found: list[str]) -> None:
        for name in found:
            command = COMMANDS[name]
            self.say(f"{name} {command.usage}".rstrip())
            self.say(f"    {command.help}")

    # ------------------------------------------------------------ the commands

    def context_list(self, words: list[str]) -> None:
        for p in compiled_folders(self.folder):
            self.say(f"{'*' if p == self.program else ' '} {p}")

    def context_select(self, words: list[str]) -> None:
        known = compiled_folders(self.folder)
        if len(words) != 1:
            raise mistake("context select takes a folder", help=f"here are: {', '.join(map(str, known)) or 'none'}")
        wanted = [self.folder / words[0], Path(words[0])]
        found = next((p for p in wanted if compiled_folders(p)[:1] == [p]), None)
        if found is None:
            raise mistake(
                f"{words[0]} holds no compiled program", help=f"here are: {', '.join(map(str, known)) or 'none'}"
            )
        self.program, self.debugger, self.rectangle = found, None, None
        self.say(f"context: {found}")

    def target_create(self, words: list[str]) -> None:
        values, rest = options(words, {"--core-file": str, "-c": str})
        core = values.get("--core-file") or values.get("-c") or (rest[0] if len(rest) == 1 else None)
        if core is None:
            raise mistake("target create takes a core file", help="target create --core-file corefile.cs1")
        if self.program is None:
            known = compiled_folders(self.folder)
            if len(known) != 1 and known[:1] != [self.folder]:
                raise mistake(
                    "which program is it?", help="select a context first: context list, context select FOLDER"
                )
            self.program = known[0]
        file = next((p for p in (self.folder / core, Path(core)) if p.is_file()), Path(core))
        self.profile = profile_of(file)
        super().perform(f"load {shlex.quote(str(self.program))}")
        super().perform(f"restore {shlex.quote(str(file))}")
        x, y, w, h = self.all_pes()
        self.say(f"target: {w} x {h} PEs, at fabric coordinates x {x} to {x + w - 1}, y {y} to {y + h - 1}")

    def all_pes(self) -> tuple[int, int, int, int]:
        program = self.debugger.program
        return (*(program.fabric_offsets or (0, 0)), program.fabric.width, program.fabric.height)

    def rectangle_select(self, words: list[str]) -> None:
        numbers = [int(n) for n in re.findall(r"\d+", " ".join(words))]
        if len(numbers) not in (2, 4):
            raise mistake(
                "rectangle select takes the place of a PE, or also width and height",
                help="fabric coordinates: rectangle select 4,1 or rectangle select 4,1 2,2",
            )
        x, y, w, h = (*numbers, 1, 1)[:4]
        if w < 1 or h < 1:
            raise mistake("a rectangle has at least one PE")
        for corner in ((x, y), (x + w - 1, y + h - 1)):
            place(self.debugger.program, *corner)
        self.rectangle = x, y, w, h
        self.say(f"{w * h} PE{'' if w * h == 1 else 's'}, from fabric coordinates {x},{y} on")

    def rectangle_show(self, words: list[str]) -> None:
        x, y, w, h = self.rectangle or self.all_pes()
        self.say(f"fabric coordinates {x},{y}, {w} x {h} PEs{'' if self.rectangle else ' (all)'}")

    def symbol_list(self, words: list[str]) -> None:
        for x, y in self._first_of_each_program():
            tile = self._tile(x, y)
            self.say(f"PE {x},{y} and others that run {tile.name}:")
            for o in tile.objects:
                if o.size:
                    self.say(f"  {where(o.address)}  {o.size:5} bytes  {o.name}: {o.type}")

    def memory_read(self, words: list[str]) -> None:
        values, rest = options(words, {"--count": int, "--size": int, "--format": str})
        if len(rest) != 1:
            raise mistake(
                "memory read takes the name of a variable or a byte address",
                help="memory read y; memory read 0x40 --count 8 --size 2",
            )
        size, form = values.get("--size"), values.get("--format", "")
        if size not in (None, 1, 2, 4) or form not in ("", "x", "d", "u", "f"):
            raise mistake("--size is 1, 2 or 4 bytes, --format one of x, d, u, f")
        x0, y0, w, h = self.rectangle or self.all_pes()
        for y in range(y0, y0 + h):
            for x in range(x0, x0 + w):
                self._read(x, y, rest[0], values.get("--count"), size, form)

    def _tile(self, x: int, y: int) -> Any:
        machine = self.debugger.machine
        return names.tile_of(machine, machine.pe(*place(self.debugger.program, x, y)))

    def _first_of_each_program(self) -> list[tuple[int, int]]:
        x0, y0, w, h = self.rectangle or self.all_pes()
        first: dict[str, tuple[int, int]] = {}
        for y in range(y0, y0 + h):
            for x in range(x0, x0 + w):
                if (tile := self._tile(x, y)) is not None:
                    first.setdefault(tile.name, (x, y))
        return list(first.values())

    def _read(self, x: int, y: int, what: str, count: int | None, size: int | None, form: str) -> None:
        tile = self._tile(x, y)
        if tile is None:
            self.say(f"PE {x},{y}: no code")
            return
        if re.fullmatch(r"(0[xX])?[0-9a-fA-F]+", what) and what[0].isdigit():
            address, title, kind = int(what, 0), "", ""
            size, count = size or WORD, count or DEFAULT_COUNT
        else:
            o = names.find_variable(tile, what)
            address, title, kind = o.address, f"{o.name}: {o.type}, ", o.type.rpartition("]")[2]
            own = {"8": 1, "6": 2, "2": 4}.get(kind[-1:], WORD) if kind[:1] in "iuf" else WORD
            size = size or (own if o.size % own == 0 else 1)
            count = count or max(1, o.size // size)
        machine = self.debugger.machine
        here = machine.read_bytes(*place(self.debugger.program, x, y), 1, 1, address, count * size).ravel()
        form = form or {"f": "f", "i": "d", "u": "u"}.get(kind[:1], "x")
        if form == "f" and size not in _FLOAT:
            raise mistake("floats have 2 or 4 bytes")
        data = here.view((_FLOAT if form == "f" else _SIGNED if form == "d" else _UNSIGNED)[size])
        self.say(f"PE {x},{y}: {title}{where(address)}, {count} element{'' if count == 1 else 's'} of {size} bytes")
        for i in range(0, count, ROW):
            row = data[i : i + ROW].tolist()
            shown = " ".join(f"{v:#0{2 + 2 * size}x}" if form == "x" else str(v) for v in row)
            self.say(f"  {where(address + i * size)}: {shown}")


def where(address: int) -> str:
    """An address, plainly: pointers of programs count bytes, the machine's memory is of 16-bit words."""
    return f"byte {address:#06x} (word {address // WORD:#06x}{'' if address % WORD == 0 else ', upper half'})"


def options(words: list[str], known: dict[str, type]) -> tuple[dict[str, Any], list[str]]:
    """Options with values, `--name value` or `--name=value`, and what is left."""
    values: dict[str, Any] = {}
    rest: list[str] = []
    todo = list(words)
    while todo:
        name, equals, value = todo.pop(0).partition("=")
        if not name.startswith("-"):
            rest.append(name + equals + value)
            continue
        if name not in known:
            raise mistake(f"there is no option {name}", help=f"there are: {', '.join(known)}")
        if not equals:
            if not todo:
                raise mistake(f"{name} takes a value")
            value = todo.pop(0)
        try:
            values[name] = int(value, 0) if known[name] is int else value
        except ValueError:
            raise mistake(f"{name} takes a number, not {value!r}") from None
        if known[name] is int and values[name] < 1:
            raise mistake(f"{name} is at least 1")
    return values, rest


COMMANDS: dict[str, Command] = {
    "context list": Command(
        "", "the compiled programs in this folder; * is the one that is selected", Csdb.context_list
    ),
    "context select": Command("FOLDER", "the compiled program that the core is of", Csdb.context_select),
    "target create": Command(
        "--core-file FILE",
        f"look at a core file, which runner.dump_core wrote ({' or '.join(NAMES)})",
        Csdb.target_create,
    ),
    "rectangle select": Command(
        "X,Y [WIDTH,HEIGHT]",
        "the PEs that the commands below are about, by fabric coordinates: those of the program plus --fabric-offsets",
        Csdb.rectangle_select,
    ),
    "rectangle show": Command("", "which PEs are selected", Csdb.rectangle_show),
    "symbol list": Command("", "the variables of the selected PEs and their addresses", Csdb.symbol_list),
    "memory read": Command(
        "NAME|ADDRESS [--count N] [--size 1|2|4] [--format x|d|u|f]",
        "the memory of the selected PEs: a variable, or N elements of SIZE bytes from a byte address on (default: 16 words of 2 bytes)",
        Csdb.memory_read,
    ),
}
