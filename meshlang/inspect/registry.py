"""The commands of the REPL: one decorated function each. Help, completion and docs/repl.md read this registry."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from meshlang.diag import Diagnostic, MeshlangError

if TYPE_CHECKING:
    from .repl import Repl


@dataclass(frozen=True)
class Command:
    name: str
    usage: str  # arguments, as help shows them
    help: str  # first line: summary
    group: str  # heading in `help`
    run: Callable[[Repl, str], Any]
    complete: tuple[str, ...]  # what may follow: kinds of completion.py ("pe", "symbol", ...), or literal words
    needs_program: bool
    aliases: tuple[str, ...]
    examples: tuple[str, ...]

    @property
    def summary(self) -> str:
        return self.help.split("\n", 1)[0]


COMMANDS: dict[str, Command] = {}
ALIASES: dict[str, str] = {}
GROUPS = ("Program", "Running", "Looking at PEs", "Looking at the fabric", "Time", "Session")


def command(
    name: str,
    usage: str = "",
    *,
    group: str,
    complete: tuple[str, ...] = (),
    program: bool = True,
    aliases: tuple[str, ...] = (),
    examples: tuple[str, ...] = (),
) -> Callable[[Callable], Callable]:
    """Register a command. Its docstring is its help; the function gets the REPL and the rest of the line."""
    assert group in GROUPS, group

    def register(function: Callable) -> Callable:
        text = "\n".join(line.strip() for line in (function.__doc__ or "").strip().splitlines())
        COMMANDS[name] = Command(name, usage, text, group, function, complete, program, aliases, examples)
        for alias in aliases:
            ALIASES[alias] = name
        return function

    return register


def load_all() -> None:
    """Import every file of commands."""
    from . import repl_commands  # noqa: F401


def mistake(message: str, help: str | None = None, code: str = "MS0940") -> MeshlangError:
    """Something typed that cannot be understood."""
    return MeshlangError(Diagnostic(code, message, help=help), exit_code=2)
