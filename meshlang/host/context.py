"""What `meshlang run` tells a host script: parameters, architecture, seed, limits; and what the script tells back.

A host script run by plain `python run.py` finds the defaults, so it works either way.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from meshlang.collection import rarely_collected
from meshlang.diag import Diagnostic, MeshlangError, did_you_mean

if TYPE_CHECKING:
    from meshlang.fabric.recording import TraceOptions
    from meshlang.ir.program import Program

    from .session import Session


class Started(Protocol):
    """A fabric that a script has started (api.FabricHandle), as commands report it afterwards."""

    session: Session

    @property
    def program(self) -> Any: ...
    @property
    def cycles(self) -> int: ...
    @property
    def lines(self) -> list[str]: ...
    def stats(self) -> dict[str, Any]: ...


@dataclass
class RunContext:
    """The options of one `meshlang run`. `params` holds the -p values still as text."""

    params: dict[str, str] = field(default_factory=dict)
    # fields of CompileOptions that the command line gives; the script's own choice comes first
    options: dict[str, Any] = field(default_factory=dict)
    profile: str | None = None  # None: the profile named like the architecture
    seed: int | None = None
    max_cycles: int | None = None
    json: bool = False
    folder: Path | None = None  # the program folder
    trace: TraceOptions | None = None  # what every fabric records
    active: bool = False  # started by `meshlang run`
    used: set[str] = field(default_factory=set)
    results: dict[str, Any] = field(default_factory=dict)
    handles: list[Started] = field(default_factory=list)
    strict: bool = field(default_factory=lambda: os.environ.get("MESHLANG_STRICT", "") not in ("", "0"))
    threads: int | None = None  # None: MESHLANG_THREADS
    observe: Callable[[Session], None] | None = None  # called with each new session, before it runs anything
    sessions: list[Session] | None = None  # a command that shows run-time warnings at its end keeps the sessions here

    def result(self, **values: Any) -> None:
        """Record named results (numbers, text, arrays): `meshlang run --json` prints them."""
        self.results.update(values)

    def check(self, ok: bool, message: str) -> None:
        """Fail the run (exit code 1, MS0923) unless `ok`."""
        if not ok:
            raise MeshlangError(Diagnostic("MS0923", f"the program's own check failed: {message}"))

    def check_error(self, error: float, bound: float, what: str = "") -> None:
        """`check` that an error (`meshlang.largest_error`) is within a bound. NaN and infinity never are."""
        from .compare import passes

        self.check(
            passes(error, bound),
            f"{what + ': ' if what else ''}the largest error {error:.3e} is above the bound {bound:.3e}",
        )


_current = RunContext()


def run_context() -> RunContext:
    """The context of this process. One per process: a host script is a process's one program."""
    return _current


def set_context(context: RunContext) -> RunContext:
    """Install the context of a `meshlang run` (the command line and tests do)."""
    global _current
    _current = context
    return context


def show_warnings(session: Session) -> None:
    """At the end of a run: print what the machine has noted, unless a command does that for all its runs."""
    from .warnings import show_run_time

    if _current.sessions is None:
        show_run_time([session.machine.warnings])


def open_session(
    program: Program,
    profile: str | None = None,
    max_cycles: int | None = None,
    sim_log: str | Path | None = None,
    strict: bool | None = None,
    trace: TraceOptions | None = None,
    threads: int | None = None,
) -> Session:
    """A Session as the command wants it, which gets to see it. strict, trace, threads: None is what the command says, or
    MESHLANG_STRICT and MESHLANG_THREADS; if nothing says how many threads, the size of the mesh does."""
    with rarely_collected():
        from meshlang.fabric.bands import usual

        from .session import Session

        strict = _current.strict if strict is None else strict
        fabric = program.fabric
        usually = usual(fabric.width * fabric.height)
        session = Session(
            program,
            profile,
            max_cycles,
            sim_log,
            strict,
            _current.trace if trace is None else trace,
            next(n for n in (threads, _current.threads, _threads(), usually) if n is not None),
        )
    if _current.sessions is not None:
        _current.sessions.append(session)
    if _current.observe is not None:
        _current.observe(session)
    return session


def _threads() -> int | None:
    """MESHLANG_THREADS."""
    text = os.environ.get("MESHLANG_THREADS", "")
    if not text:
        return None
    if not text.isdecimal() or int(text) < 1:
        raise MeshlangError(
            Diagnostic("MS0929", f"MESHLANG_THREADS is {text!r}", help="give a number of threads, 1 or more")
        )
    return int(text)


def params(defaults: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """A host script's parameters: the defaults, replaced by the `-p NAME=VALUE` of the command line, that of
    `meshlang run` or, where the script is run by itself, that of `python run.py`.

    Values take the type of their default (int, float, bool, str). Errors: MS0904 for a -p name that is not among the
    defaults, MS0905 for a value of another type.
    """
    known = {**(defaults or {}), **more}
    out = dict(known)
    given = _current.params if _current.active else {**_of_plain_python(sys.argv[1:]), **_current.params}
    for name, text in given.items():
        if name not in known:
            raise unknown_param(name, known)
        out[name] = _convert(name, text, known[name])
    _current.used.update(known)
    return out


def _of_plain_python(arguments: list[str]) -> dict[str, str]:
    """The -p NAME=VALUE among a script's own arguments; the others are the script's."""
    found = {}
    waiting = False
    for text in arguments:
        if waiting or text.startswith("--param="):
            name, eq, value = text.removeprefix("--param=").partition("=")
        elif text.startswith("-p") and "=" in text:
            name, eq, value = text[2:].partition("=")
        else:
            name = eq = value = ""
        waiting = text in ("-p", "--param") and not waiting
        if eq and name.isidentifier():
            found[name] = value
    return found


def unknown_param(name: str, known: Any) -> MeshlangError:
    """MS0904, naming what there is."""
    names = ", ".join(sorted(known)) or "none"
    return MeshlangError(
        Diagnostic(
            "MS0904",
            f"this program has no parameter {name!r}; it has: {names}",
            help=did_you_mean(name, known, "{}"),
        ),
        exit_code=2,
    )


def _convert(name: str, text: str, default: Any) -> Any:
    try:
        if isinstance(default, bool):
            return {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}[text.lower()]
        if isinstance(default, int):
            return int(text, 0)
        if isinstance(default, float):
            return float(text)
    except (ValueError, KeyError):
        kind = {bool: "true or false", int: "an integer", float: "a number"}[type(default)]
        raise MeshlangError(Diagnostic("MS0905", f"-p {name}={text}: expected {kind}"), exit_code=2) from None
    return text
