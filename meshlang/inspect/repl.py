"""The REPL: lines in, text out. Commands are in repl_commands; interactive input is in prompt.py.

Output is plain text unless it goes to a terminal. An error in a command never ends the session, and leaves the fabric
as it was when the error came up: a deadlock or fault can be looked at.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable

from meshlang import files
from meshlang.diag import MeshlangError

from . import arguments, expressions, repl_commands  # noqa: F401  repl_commands registers the commands
from .mistakes import mistake
from .registry import ALIASES, COMMANDS, find
from .shell import Quit, Shell

_NAME = re.compile(r"[A-Za-z_?]\w*")


class Repl(Shell):
    """A Shell that takes lines."""

    def execute(self, line: str) -> bool:
        """Run one line. False if the command failed; the message has been printed then. Quit passes through."""
        line = line.strip()
        if not line or line.startswith("#"):
            return True
        try:
            self.perform(line)
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
        except OSError as error:
            self.show_error(files.refused(error))
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

    def perform(self, line: str) -> None:
        """Do what a line says. Errors are the caller's."""
        word, _, rest = line.partition(" ")
        if self._is_expression(line):
            word, rest = "print", line
        command = find(word)
        if command.needs_program and self._debugger is None:
            raise mistake(f"`{command.name}` needs a program", help="load PATH")
        command.run(self, rest.strip())
        self.show_warnings()

    def _is_expression(self, line: str) -> bool:
        """Is a line to be printed: `A[3] + x @ 2,1`? What begins like a command is one."""
        word = line.split(None, 1)[0]
        if word in COMMANDS or word in ALIASES or not self.loaded or any(n.startswith(word) for n in COMMANDS):
            return False
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

    def script(self, lines: Iterable[str], keep_going: bool = True) -> int:
        """Run lines; the exit code is 1 if a command failed."""
        for line in lines:
            text = line.rstrip("\n")
            if text.strip():
                self.lines.append(text.strip())
                if self.echo:
                    self.say(f"> {text}")
            try:
                done = self.execute(text)
            except Quit:
                break
            if not done and not keep_going:
                break
        return 1 if self.failed else 0
