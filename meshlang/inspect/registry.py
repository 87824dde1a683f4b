"""The commands of the REPL: one decorated function each. Help, completion and docs/repl.md read this registry."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from meshlang.diag import did_you_mean

from .mistakes import mistake

if TYPE_CHECKING:
    from .shell import Shell


@dataclass(frozen=True)
class Command:
    name: str
    usage: str  # arguments, as help shows them
    help: str  # first line: summary
    group: str  # heading in `help`
    run: Callable[[Shell, str], Any]
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


def find(word: str) -> Command:
    """The command of a name, alias, or unambiguous beginning."""
    name = word if word in COMMANDS else ALIASES.get(word)
    if name is None:
        begins = [n for n in COMMANDS if n.startswith(word)]
        if len(begins) == 1:
            name = begins[0]
        elif begins:
            raise mistake(f"`{word}` could be {', '.join(begins)}")
        else:
            raise mistake(
                f"there is no command `{word}`",
                help=did_you_mean(word, [*COMMANDS, *ALIASES], "`{}`") or "help lists the commands",
            )
    return COMMANDS[name]
