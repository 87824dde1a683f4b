"""The parse tables: csl.lark compiled by lark, kept as plain dictionaries, cached on disk.

lark is loaded only when no cached tables fit the grammar, so a warm run never imports it.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import re
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from ..version import __version__

FORMAT = "1"  # raise it when the layout of Tables changes


@dataclass(slots=True)
class Tables:
    """LALR tables.

    actions[state][terminal] is a state to shift to when >= 0, else ~rule to reduce by.
    gotos[state][rule origin] is the state after a reduction.
    rules[i] = (length, origin, name of the builder function or "").
    """

    actions: list[dict[str, int]]
    gotos: list[dict[str, int]]
    rules: list[tuple[int, str, str]]
    start: dict[str, int]
    end: dict[str, int]
    words: dict[str, str]
    punctuation: dict[str, str]
    patterns: dict[str, str]


def cache_dir() -> Path | None:
    """Where MeshLang keeps what it can rebuild; None when caching is switched off (MESHLANG_CACHE_DIR="")."""
    chosen = os.environ.get("MESHLANG_CACHE_DIR")
    if chosen is not None:
        return Path(chosen) if chosen else None
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return Path(base) / "meshlang"


def load_cached(name: str) -> Any:
    """The object stored under `name`, or None."""
    folder = cache_dir()
    if folder is None:
        return None
    try:
        return pickle.loads((folder / name).read_bytes())
    except Exception:  # a missing, torn or outdated file: all mean "build it again"
        return None


def store_cached(name: str, value: Any) -> None:
    """Pickle `value` under `name`; failing to is not an error. The rename keeps concurrent readers safe."""
    folder = cache_dir()
    if folder is None:
        return
    temporary = folder / f"{name}.{os.getpid()}.tmp"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(pickle.dumps(value, pickle.HIGHEST_PROTOCOL))
        temporary.replace(folder / name)
    except (OSError, RecursionError, pickle.PicklingError):
        try:
            temporary.unlink(missing_ok=True)
        except OSError:
            pass


@cache
def grammar_text() -> str:
    return (Path(__file__).parent / "csl.lark").read_text(encoding="utf-8")


@cache
def tables() -> Tables:
    # Parsed trees are not cached on disk: unpickling one costs about as much as parsing its text.
    name = f"grammar-{_key()}.pickle"
    found = load_cached(name)
    if isinstance(found, Tables):
        return found
    made = compile_grammar()
    store_cached(name, made)
    return made


def _key() -> str:
    """Identifies what the tables are made from: grammar, table layout, MeshLang, Python."""
    return hashlib.sha256("\0".join((FORMAT, __version__, sys.version, grammar_text())).encode()).hexdigest()[:24]


def compile_grammar() -> Tables:
    """Run lark over the grammar and flatten its tables."""
    from lark import Lark
    from lark.lexer import PatternStr

    parser = Lark(grammar_text(), parser="lalr", lexer="basic", start=["module", "expression"])
    table = parser.parse_interactive("", start="module").parser_state.parse_conf.parse_table
    numbers: dict[int, int] = {}
    rules: list[tuple[int, str, str]] = []
    actions: list[dict[str, int]] = []
    gotos: list[dict[str, int]] = []
    terminals = {t.name for t in parser.terminals} | {
        "LAYOUT",
        "PACKED",
        "NOINLINE",
        "ATTR",
        "COLORDECL",
        "ASM",
        "$END",
    }
    for state in range(len(table.states)):
        shifts: dict[str, int] = {}
        jumps: dict[str, int] = {}
        for symbol, (action, argument) in table.states[state].items():
            if action.name == "Shift":
                (shifts if symbol in terminals else jumps)[symbol] = argument
            else:
                if id(argument) not in numbers:
                    numbers[id(argument)] = len(rules)
                    rules.append((len(argument.expansion), str(argument.origin.name), argument.alias or ""))
                shifts[symbol] = ~numbers[id(argument)]
        actions.append(shifts)
        gotos.append(jumps)

    words, punctuation, patterns = {}, {}, {}
    for terminal in parser.terminals:
        value = terminal.pattern.value
        if not isinstance(terminal.pattern, PatternStr):
            patterns[terminal.name] = value
        elif re.fullmatch(r"\w+", value):
            words[value] = terminal.name
        else:
            punctuation[value] = terminal.name
    return Tables(actions, gotos, rules, dict(table.start_states), dict(table.end_states), words, punctuation, patterns)
