"""The parse tables: csl.lark compiled by lark, kept as plain dictionaries, cached on disk.

lark is loaded only when no cached tables fit the grammar, so a warm run never imports it.
"""

from __future__ import annotations

import contextlib
import hashlib
import pickle
import re
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from .. import cache as kept
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


@cache
def grammar_text() -> str:
    return (Path(__file__).parent / "csl.lark").read_text(encoding="utf-8")


@cache
def tables() -> Tables:
    # Parsed trees are not cached on disk: unpickling one costs about as much as parsing its text.
    folder = kept.entry(f"grammar-{_key()}")
    data = kept.load(folder / "tables") if folder is not None else None
    if data is not None:
        with contextlib.suppress(Exception):  # what cannot be read is made anew
            found = pickle.loads(data)
            if isinstance(found, Tables):
                return found
    made = compile_grammar()
    if folder is not None:
        kept.store(folder / "tables", pickle.dumps(made, pickle.HIGHEST_PROTOCOL))
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
