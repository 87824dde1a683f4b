"""The REPL on a terminal: line editing, history and completion by prompt_toolkit."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prompt_toolkit import PromptSession
from prompt_toolkit.completion import Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.history import FileHistory, History, InMemoryHistory

from .completion import completions
from .repl import Quit, Repl

if TYPE_CHECKING:
    from prompt_toolkit.input import Input
    from prompt_toolkit.output import Output


class _Completer(Completer):
    def __init__(self, repl: Repl):
        self.repl = repl

    def get_completions(self, document: Document, complete_event: Any) -> Iterator[Completion]:
        for text, length, what in completions(self.repl, document.text_before_cursor):
            yield Completion(text, start_position=-length, display_meta=what)


def state_directory() -> Path:
    """Where the history is kept."""
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(base) / "meshlang"


def _history() -> History:
    """In a file of the user's; in memory where that cannot be written."""
    try:
        directory = state_directory()
        directory.mkdir(parents=True, exist_ok=True)
        file = directory / "repl_history"
        file.touch(mode=0o600)
    except (OSError, RuntimeError):
        return InMemoryHistory()
    return FileHistory(str(file))


def _prompt(repl: Repl) -> str:
    if not repl.loaded:
        return "meshlang> "
    place = f" {repl.place[0]},{repl.place[1]}" if repl.place is not None else ""
    return f"cycle {repl.debugger.cycle}{place}> "


def interact(repl: Repl, path: str | None = None, *, input: Input | None = None, output: Output | None = None) -> int:
    """Read lines until `quit` or end of input. Failed commands are no failure of the session: the exit code is 0.

    Ctrl-C drops the line being typed; during a run it stops the run. It never ends the session.
    """
    session: PromptSession[str] = PromptSession(
        history=_history(), completer=_Completer(repl), complete_while_typing=False, input=input, output=output
    )
    repl.say("MeshLang REPL: `help` lists the commands, Tab completes, Ctrl-D ends the session")
    if path is not None:
        repl.execute(f"load {shlex.quote(path)}")
    while True:
        try:
            line = session.prompt(_prompt(repl))
        except KeyboardInterrupt:
            repl.say("(Ctrl-D or `quit` ends the session)")
            continue
        except EOFError:
            return 0
        if line.strip():
            repl.lines.append(line.strip())
        try:
            repl.execute(line)
        except KeyboardInterrupt:  # between two commands
            continue
        except Quit:
            return 0
