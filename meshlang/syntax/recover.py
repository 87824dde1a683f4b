"""How to go on behind a syntax error, so that one run reports them all.

The automaton calls `Recovery.handle` when a token does not fit. A mistake known by name (mistakes.py) brings its own
way on. Otherwise small repairs are tried out on a copy of the state stack (insert, drop or replace one token): the
first that lets the next tokens pass is taken, and it also tells what was expected. Where none helps, the rest of the
statement or item is skipped. Trees built behind an error are thrown away, so a repair only has to keep the automaton
going.
"""

from __future__ import annotations

from typing import Any

from ..diag import Diagnostic, Label
from .build import Builder
from .lexer import END, Token
from .mistakes import Mistakes, Repair
from .source import SourceFile, Span
from .tables import tables
from .view import CLOSER, ITEM_WORDS, KEYWORDS, OPERAND_END, SIGN

_LIMIT = 50  # errors in one file

_STATEMENT_WORDS = frozenset(
    {"CONST", "VAR", "RETURN", "FOR", "WHILE", "BREAK", "CONTINUE", "FN", "TASK", "PARAM", "EXPORT"}
)
_OPERATORS = frozenset({"BINOP", "AND", "OR", "STAR", "MINUS", "AMP", "PIPE", "ASSIGNOP"})


class Recovery(Mistakes):
    """Reports and repairs the syntax errors of one file.

    After `handle` returned True the automaton goes on with `token`, which stands at `position` of the token list.
    """

    def __init__(self, file: SourceFile, tokens: list[Token], found: list[Diagnostic], builder: Builder):
        super().__init__(file, tokens)
        self.builder = builder
        self.errors = found
        self.position = 0
        self.token: Token = tokens[0]
        # One error a line: what follows a mistake on its line is mostly its echo.
        self._reported = {file.position(d.span.start)[0] for d in found}
        self._resumed = -10
        self._visits: dict[int, int] = {}
        self._total = 0

    def handle(self, states: list[int], values: list[Any], i: int) -> bool:
        self._total += 1
        visits = self._visits[i] = self._visits.get(i, 0) + 1
        if len(self.errors) >= _LIMIT or self._total > 2000:
            return False
        self._finish_pending(states, values)
        self._enter_list(states, values)
        special = self.mistake(states, i) if visits == 1 else None
        repair: Repair | None = None
        if special is not None:
            diagnostic, repair, skip = special
        else:
            repair = self._try_repairs(states, i) if visits <= 2 else None
            diagnostic, skip = self._general(states, i, repair), None
        if diagnostic is not None:
            self._add(diagnostic, i)
        if self.tokens[i][0] == END and (repair is None or repair[0] == "drop"):
            return False
        if repair is not None and visits <= 3:
            self._apply(repair, i)
            return True
        if skip is not None:
            return self._resume(states, values, skip[0], skip[1])
        return self._skip(states, values, i, visits > 3)

    def _add(self, d: Diagnostic, i: int) -> None:
        line = self.line(d.span.start)
        echo = i - self._resumed < 2 and self.errors
        if line not in self._reported and not echo:
            self.errors.append(d)
        self._reported.add(line)

    def _apply(self, repair: Repair, i: int) -> None:
        what, token = repair
        if what == "insert":
            self.position, self.token = i - 1, token  # type: ignore[assignment]
        elif what == "replace":
            self.position, self.token = i, token  # type: ignore[assignment]
        else:
            self.position, self.token = i + 1, self.tokens[i + 1]
        self._resumed = i if what == "insert" else i + 1

    def _finish_pending(self, states: list[int], values: list[Any]) -> None:
        """Make the reductions that are certain whatever comes next, so that the stacks show what is complete."""
        t = tables()
        rules = self.builder.rules(t)
        while True:
            choices = set(t.actions[states[-1]].values())
            if len(choices) != 1 or (rule := choices.pop()) >= 0:
                return
            n, origin, function = rules[~rule]
            if n == 0:
                return
            children = values[-n:]
            del values[-n:], states[-n:]
            values.append(function(children) if function else children[0])
            states.append(t.gotos[states[-1]][origin])

    def _enter_list(self, states: list[int], values: list[Any]) -> None:
        """In front of the first item or statement, reduce the empty list, as any token that fits would have done."""
        goto = tables().gotos[states[-1]]
        for name in ("items", "stmts"):
            if name in goto and "inits" not in goto:
                states.append(goto[name])
                values.append([])

    def _try_repairs(self, states: list[int], i: int) -> Repair | None:
        token = self.tokens[i]
        kind = token[0]
        place = self.tokens[i - 1][3] if i else 0
        ahead = self.ahead(i)

        def insert(name: str) -> Repair | None:
            if self.passes(states, [name, *ahead]):
                return "insert", (name, SIGN[name], place, place)
            return None

        order = ["SEMI", "COMMA"] if self.first_in_line(i) else ["COMMA", "SEMI"]
        openers = self.openers(i)
        if openers:
            order.append(CLOSER[self.tokens[openers[-1]][0]])
        if len(ahead) > 2:
            order += ["LPAR", "EQ", "COLON", "PIPE", "FATARROW"]
        for name in order:
            found = insert(name)
            if found:
                return found
        if openers:
            # Both the bracket and the `;` are missing; the next error, at the same token, inserts the latter.
            closer = CLOSER[self.tokens[openers[-1]][0]]
            if self.passes(states, [closer, "SEMI", *ahead]):
                return "insert", (closer, SIGN[closer], place, place)
        for wrong, right in (
            ("COLON", "EQ"),
            ("EQ", "COLON"),
            ("SEMI", "COMMA"),
            ("COMMA", "SEMI"),
            ("COLON", "FATARROW"),
            ("ARROW", "FATARROW"),
            ("EQ", "FATARROW"),
            ("FATARROW", "ARROW"),
            ("DOTLBRACE", "LBRACE"),
        ):
            if kind == wrong and self.passes(states, [right, *ahead[1:]]):
                return "replace", (right, token[1], token[2], token[3])
        if kind != END and self.passes(states, self.ahead(i + 1)) and not self.first_in_line(i):
            return "drop", None
        return None

    def _skip(self, states: list[int], values: list[Any], i: int, force: bool) -> bool:
        """Give up the statement (or item) token i stands in; go on behind it."""
        tokens = self.tokens
        level = self.block_level(states)
        if level < 0:
            return False
        opened: list[str] = []
        for value in values[level:]:
            if type(value) is tuple and len(value) == 4:
                if value[0] in CLOSER:
                    opened.append(value[0])
                elif value[0] in ("RPAR", "RSQB", "RBRACE") and opened:
                    opened.pop()
        j = i
        if force:
            j += 1
        to_item = False
        while tokens[j][0] != END:
            kind = tokens[j][0]
            if j > i and self.first_in_line(j):
                if (
                    kind in ITEM_WORDS
                    and self.column(tokens[j]) == 1
                    and (kind not in ("CONST", "VAR", "COMPTIME") or not opened)
                ):
                    to_item = True
                    break
                if kind in _STATEMENT_WORDS and "LBRACE" not in opened and "DOTLBRACE" not in opened:
                    break
                if kind in ("IF", "SWITCH", "COMPTIME", "LAYOUT", "BUILTIN") and not opened:
                    break
            if kind in CLOSER:
                opened.append(kind)
            elif kind in ("RPAR", "RSQB", "RBRACE"):
                if kind == "RBRACE":
                    while opened and opened[-1] in ("LPAR", "LSQB"):
                        opened.pop()
                    if not opened:
                        break
                    opened.pop()
                    if not opened and tokens[j + 1][0] not in ("SEMI", "ELSE", "COMMA", "RPAR", "RSQB", "DOT"):
                        j += 1
                        break
                elif opened and opened[-1] in ("LPAR", "LSQB"):
                    opened.pop()
            elif kind == "SEMI" and "LBRACE" not in opened and "DOTLBRACE" not in opened:
                j += 1
                break
            j += 1
        if tokens[j][0] == "RBRACE" and "item" in tables().gotos[states[level]]:
            j += 1  # nothing is open at the top level: this one only belonged to the skipped text
        return self._resume(states, values, j, to_item)

    def _resume(self, states: list[int], values: list[Any], j: int, to_item: bool) -> bool:
        """Cut the stacks back and continue at token j."""
        level = self.block_level(states, to_item)
        if level < 0:
            return False
        del states[level + 1 :], values[level:]
        self.position, self.token = j, self.tokens[j]
        self._resumed = j - 2  # an error at token j itself is no echo
        return True

    def _general(self, states: list[int], i: int, repair: Repair | None) -> Diagnostic:
        token = self.tokens[i]
        before = self.tokens[i - 1] if i else token
        if repair is not None and repair[0] == "insert" and i:
            kind = repair[1][0]  # type: ignore[index]
            after = Span(self.file, before[3], before[3] + 1)
            if kind == "SEMI":
                return self.d("MS0101", f"expected `;` after {_describe(before)}", after, "add the missing `;`")
            if kind in ("RPAR", "RSQB", "RBRACE"):
                opener = self.tokens[self.openers(i)[-1]]
                return self.d(
                    "MS0103",
                    f"this `{opener[1]}` is not closed: expected `{SIGN[kind]}`, found {_describe(token)}",
                    opener,
                    f"add the missing `{SIGN[kind]}`",
                    [Label(after, f"`{SIGN[kind]}` expected here")],
                )
            return self.d("MS0102", f"expected `{SIGN[kind]}`, found {_describe(token)}", token)
        if (
            token[0] != END
            and self.first_in_line(i)
            and self.accepts(states, "SEMI")
            and i
            and before[0] in OPERAND_END
        ):
            return self.d(
                "MS0101",
                f"expected `;` after {_describe(before)}",
                Span(self.file, before[3], before[3] + 1),
                "add the missing `;`",
            )
        return self.d("MS0102", f"expected {self._expected(states)}, found {_describe(token)}", token)

    def _expected(self, states: list[int]) -> str:
        """What could stand here, in words."""
        t = tables()
        names = {name for name in t.actions[states[-1]] if self.accepts(states, name)}
        if "LAYOUT" in names and "FN" in names:
            return "a declaration (const, var, param, fn, task, comptime, layout)"
        if "RETURN" in names and "VAR" in names:
            return "a statement"
        if {"IDENT", "INT", "STRING"} <= names:
            if "RETURN" in names:
                return "a statement"
            return (
                "an expression"
                if "IF" in names and "SWITCH" in names
                else "a type"
                if "MINUS" not in names
                else "an expression"
            )
        if names & {"BINOP"} and len(names) > 2:
            wanted = [n for n in ("SEMI", "COMMA", "RPAR", "RSQB", "RBRACE", "FATARROW") if n in names]
            names = set(wanted) if wanted else {"BINOP"}
        words = []
        for name in sorted(names - _OPERATORS - {"ATTR", "DEREF", "DOT"} or names):
            words.append(
                {"IDENT": "a name", "BINOP": "an operator", END: "the end", "STRING": "a string", "VAR": "`var`"}.get(
                    name
                )
                or f"`{SIGN.get(name, name.lower())}`"
            )
        words = words[:5]
        return (
            words[0] if len(words) == 1 else ", ".join(words[:-1]) + " or " + words[-1] if words else "something else"
        )


def _describe(token: Token) -> str:
    kind, text = token[0], token[1]
    if kind == END:
        return "the end of the file"
    if kind == "STRING":
        return "a string"
    if kind in KEYWORDS:
        return f"the keyword `{text}`"
    return f"`{text if len(text) <= 40 else text[:37] + '...'}`"
