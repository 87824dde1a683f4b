"""What the commands of the REPL see of it: the program that is loaded, and where output goes."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from meshlang.diag import MeshlangError

from .mistakes import mistake

if TYPE_CHECKING:
    from rich.console import Console

    from meshlang.diag import Diagnostic

    from .debugger import Debugger


class Quit(Exception):
    """The command `quit`."""


class Shell:
    """One session. `out` gets what commands print; `echo` repeats each input line first, as transcripts want."""

    def __init__(
        self,
        out: TextIO | None = None,
        *,
        options: dict[str, Any] | None = None,
        profile: str | None = None,
        params: dict[str, Any] | None = None,
        echo: bool = False,
        color: bool = False,
    ):
        self.out = out if out is not None else sys.stdout
        self.options, self.profile, self.params = dict(options or {}), profile, dict(params or {})
        self.echo, self.color = echo, color
        self.path: str | None = None
        self._debugger: Debugger | None = None
        self.place: tuple[int, int] | None = None  # the PE that commands without a place are about
        self.failed: list[str] = []  # commands that failed
        self.lines: list[str] = []  # what was typed
        self.displays: list[str] = []  # expressions that are printed whenever a run stops

    def execute(self, line: str) -> bool:
        """Run a line; a mistake in it is printed. False if it failed."""
        raise NotImplementedError

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

    def console(self) -> Console:
        """For what is colored: a terminal, also where a notebook's kernel runs this."""
        from rich.console import Console

        return Console(file=self.out, force_terminal=True, force_jupyter=False, width=max(self.width, 40))

    def say(self, text: str = "", style: str | None = None) -> None:
        """Print lines; `style` is a rich style for terminals."""
        if self.color and style is not None:
            from rich.text import Text

            self.console().print(Text(text, style=style), soft_wrap=True)
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
            raise mistake(
                "which PE?",
                help="name a place: 0,0 or 0:4,2 or all; later commands remember the last PE, and a breakpoint names its own",
            )
        return f"{self.place[0]},{self.place[1]}"

    def show_error(self, error: MeshlangError) -> None:
        self.show(error.diagnostics)

    def show_warnings(self) -> None:
        """Show what the run has done so far that looks like a mistake, each time only what is new."""
        if self._debugger is not None and (new := self._debugger.new_warnings()):
            self.show(new)

    def show(self, diagnostics: list[Diagnostic]) -> None:
        from meshlang.diag import render

        if self.color:
            render.render_text(diagnostics, self.console())
        else:
            print(shorten(render.to_text(diagnostics)), file=self.out)

    def flush_lines(self) -> None:
        """Show what programs have printed."""
        if self._debugger is not None:
            for line in self._debugger.new_lines():
                self.say(str(line))


def shorten(text: str) -> str:
    """Source paths below the current folder, as they would be typed: transcripts are then the same on every machine."""
    here = str(Path.cwd()) + os.sep
    return text.replace(here, "")
