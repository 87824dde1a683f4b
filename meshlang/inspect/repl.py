"""The REPL: lines in, text out. Commands are in repl_commands; interactive input is in prompt.py.

Output is plain text unless it goes to a terminal. An error in a command never ends the session, and leaves the fabric
as it was when the error came up: a deadlock or fault can be looked at.
"""

from __future__ import annotations

import difflib
import os
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from meshlang.diag import MeshlangError

from . import registry
from .registry import ALIASES, COMMANDS, mistake

if TYPE_CHECKING:
    from meshlang.diag import Diagnostic

    from .debugger import Debugger


_NAME = re.compile(r"[A-Za-z_?]\w*")


class Quit(Exception):
    """The command `quit`."""


class Repl:
    """One session. `out` gets what commands print; `echo` repeats each input line first, as transcripts want."""

    def __init__(
        self,
        out: TextIO | None = None,
        *,
        arch: str | None = None,
        profile: str | None = None,
        params: dict[str, Any] | None = None,
        echo: bool = False,
        color: bool = False,
    ):
        registry.load_all()
        self.out = out if out is not None else sys.stdout
        self.arch, self.profile, self.params = arch, profile, dict(params or {})
        self.echo, self.color = echo, color
        self.path: str | None = None
        self._debugger: Debugger | None = None
        self.place: tuple[int, int] | None = None  # the PE that commands without a place are about
        self.failed: list[str] = []  # commands that failed

    # ------------------------------------------------------------ for commands

    @property
    def debugger(self) -> Debugger:
        if self._debugger is None:
            raise mistake("no program is loaded", help="load PATH")
        return self._debugger

    @debugger.setter
    def debugger(self, value: Debugger | None) -> None:
        self._debugger = value
        if value is not None and self.color:
            value.status = self._status

    def _status(self, cycle: int | None) -> None:
        """On a terminal: where a long run is, in a line that its outcome takes the place of."""
        self.out.write("\r\x1b[K" if cycle is None else f"\rcycle {cycle}: running, Ctrl-C stops")
        self.out.flush()

    @property
    def loaded(self) -> bool:
        return self._debugger is not None

    @property
    def width(self) -> int:
        """Columns to write in: of the terminal, or a fixed number elsewhere."""
        if self.color:
            import shutil

            return shutil.get_terminal_size().columns
        return 120

    def say(self, text: str = "", style: str | None = None) -> None:
        """Print lines; `style` is a rich style for terminals."""
        if self.color and style is not None:
            from rich.console import Console
            from rich.text import Text

            Console(file=self.out, force_terminal=True, width=max(self.width, 40)).print(
                Text(text, style=style), soft_wrap=True
            )
        else:
            print(text, file=self.out)

    def place_or(self, text: str) -> str:
        """The place a command names, or the PE last looked at."""
        if text.strip():
            return text.strip()
        if self.place is None:
            machine = self.debugger.machine
            if machine.width * machine.height == 1:
                return "0,0"
            raise mistake("which PE?", help="name a place: 0,0 or 0:4,2 or all; later commands remember the last PE")
        return f"{self.place[0]},{self.place[1]}"

    # ------------------------------------------------------------ lines

    def execute(self, line: str) -> bool:
        """Run one line. False if the command failed; the message has been printed then. Quit passes through."""
        line = line.strip()
        if not line or line.startswith("#"):
            return True
        try:
            word, _, rest = line.partition(" ")
            if self._is_expression(line):
                word, rest = "print", line
            command = self.find(word)
            if command.needs_program and self._debugger is None:
                raise mistake(f"`{command.name}` needs a program", help="load PATH")
            command.run(self, rest.strip())
            self.show_warnings()
            return True
        except Quit:
            raise
        except MeshlangError as error:
            self.flush_lines()
            self.show_warnings()
            self.show_error(error)
            if error.exit_code == 3:
                self.say("the fabric can be looked at as it stands: `why` explains the hang")
        except KeyboardInterrupt:
            self.say("interrupted", "yellow")
        except RecursionError:
            self.show_error(mistake("the expression is nested too deeply"))
        except Exception as error:  # a mistake of ours must not cost the user the session
            self.show_error(
                mistake(
                    f"internal error: {type(error).__name__}: {error}",
                    help="this is a bug in MeshLang; please report it",
                    code="MS0943",
                )
            )
            if os.environ.get("MESHLANG_DEBUG"):
                raise
        self.failed.append(line)
        return False

    def _is_expression(self, line: str) -> bool:
        """Is a line to be printed: `A[3] + x @ 2,1`? What begins like a command is one."""
        word = line.split(None, 1)[0]
        if word in COMMANDS or word in ALIASES or not self.loaded or any(n.startswith(word) for n in COMMANDS):
            return False
        from . import arguments, expressions

        body, _ = arguments.split_place(line)
        if body == word and _NAME.fullmatch(word) and not self._is_variable(word):
            return False  # an unknown word is a mistyped command
        try:
            expressions.parse(body)
        except MeshlangError:
            if _NAME.fullmatch(word):
                return False
            raise
        return True

    def _is_variable(self, name: str) -> bool:
        return any(o.name == name for tile in self.debugger.program.tiles for o in tile.objects)

    def find(self, word: str) -> registry.Command:
        """The command of a name, alias, or unambiguous beginning."""
        name = word if word in COMMANDS else ALIASES.get(word)
        if name is None:
            begins = [n for n in COMMANDS if n.startswith(word)]
            if len(begins) == 1:
                name = begins[0]
            elif begins:
                raise mistake(f"`{word}` could be {', '.join(begins)}")
            else:
                near = difflib.get_close_matches(word, [*COMMANDS, *ALIASES], n=1)
                raise mistake(
                    f"there is no command `{word}`",
                    help=f"did you mean `{near[0]}`?" if near else "help lists the commands",
                )
        return COMMANDS[name]

    def show_error(self, error: MeshlangError) -> None:
        self.show(error.diagnostics)

    def show_warnings(self) -> None:
        """Show what the run has done so far that looks like a mistake, each time only what is new."""
        if self._debugger is not None and (new := self._debugger.new_warnings()):
            self.show(new)

    def show(self, diagnostics: list[Diagnostic]) -> None:
        from meshlang.diag import render

        if self.color:
            from rich.console import Console

            render.render_text(diagnostics, Console(file=self.out, force_terminal=True, width=max(self.width, 40)))
        else:
            print(shorten(render.to_text(diagnostics)), file=self.out)

    def flush_lines(self) -> None:
        """Show what programs have printed."""
        if self._debugger is not None:
            for line in self._debugger.new_lines():
                self.say(str(line))

    def script(self, lines: Iterable[str], keep_going: bool = True) -> int:
        """Run lines; the exit code is 1 if a command failed."""
        for line in lines:
            text = line.rstrip("\n")
            if self.echo and text.strip():
                self.say(f"> {text}")
            try:
                done = self.execute(text)
            except Quit:
                break
            if not done and not keep_going:
                break
        return 1 if self.failed else 0


def shorten(text: str) -> str:
    """Source paths below the current folder, as they would be typed: transcripts are then the same on every machine."""
    here = str(Path.cwd()) + os.sep
    return text.replace(here, "")
