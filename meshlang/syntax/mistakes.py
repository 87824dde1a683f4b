"""The common mistakes, each with a message of its own.

A rule looks at the token that does not fit and answers None, or a Finding: the diagnostic, and how to go on.
"""

from __future__ import annotations

from typing import Any

from ..diag import Diagnostic, Label
from .lexer import END, Token
from .source import Span
from .view import CLOSER, KEYWORDS, OPERAND_END, SIGN, View

_TYPES = frozenset(
    "bool void i8 i16 i32 i64 u8 u16 u32 u64 f16 f32 bf16 cb16 color direction type comptime_int "
    "comptime_float mem1d_dsd mem4d_dsd fabin_dsd fabout_dsd".split()
)
_FOR_HELP = (
    "write `for (@range(i16, n)) |i| { ... }`; with a counter of your own use `while (i < n) : (i += 1) { ... }`"
)
_C_TYPES = {
    "int": "i16",
    "float": "f32",
    "double": "f32",
    "char": "u8",
    "unsigned": "u16",
    "long": "i32",
    "short": "i16",
    "half": "f16",
    "size_t": "u16",
    "auto": "...",
    "uint": "u16",
    "int16_t": "i16",
    "uint16_t": "u16",
    "int32_t": "i32",
    "uint32_t": "u32",
    "float16": "f16",
    "float32": "f32",
}
_DECLARE = frozenset({"let", "val", "static", "mut", "volatile", "local", "global"})
_FUNCTION = frozenset({"def", "func", "function", "fun", "proc", "sub"})
_ZIG = {
    "try": "errors do not exist as values; return a `bool` and test it",
    "catch": "errors do not exist as values; return a `bool` and test it",
    "orelse": "optionals do not exist; use `if (condition) a else b`",
    "defer": "write the statement where it has to happen",
    "errdefer": "write the statement where it has to happen",
    "pub": "everything at the top level can be reached through an import; leave it out",
    "test": "there are no test blocks",
    "usingnamespace": 'bind the module to a name: `const m = @import_module("m.csl");`',
    "async": "asynchronous operations are requested in their settings: `.{ .async = true }`",
    "await": "bind a task and name it in `.activate`",
    "suspend": "a task ends by returning; another one is started with `@activate`",
    "threadlocal": "every processing element has its own memory; leave it out",
    "noalias": "leave it out",
    "goto": "use loops, labelled blocks or tasks",
}
_IMPORT = frozenset({"import", "from", "include", "using", "require"})


# What to do with the token that does not fit: ("insert", token) in front of it, ("replace", token), or ("drop", None).
Repair = tuple[str, Token | None]

# The diagnostic, a repair, and else (index of the token to go on with, whether at the top level of the file).
# With neither, the statement is skipped.
Finding = tuple[Diagnostic, Repair | None, tuple[int, bool] | None]


# Stands in front of the first token.
NOTHING: Token = ("", "", -1, -1)


class Mistakes(View):
    """Recognises the mistakes. `mistake` asks all rules in turn."""

    def mistake(self, states: list[int], i: int) -> Finding | None:
        """What the first rule that knows the mistake has to say; None when all pass."""
        for rule in (
            self._end,
            self._nested_function,
            self._closers,
            self._for_header,
            self._while_header,
            self._conditions,
            self._signs,
            self._words,
            self._names,
            self._literals,
            self._switch_arms,
            self._functions,
            self._top_level,
        ):
            found = rule(states, i)
            if found is not None:
                return found
        return None

    def _end(self, states: list[int], i: int) -> Finding | None:
        token = self.tokens[i]
        if token[0] != END:
            return None
        if len(self.tokens) == 1:
            return self.d("MS0102", "expected an expression, found nothing", token), None, None
        openers = self.openers(i)
        if not openers:
            return None
        opener = self.tokens[openers[-1]]
        if opener[0] in ("LBRACE", "DOTLBRACE"):
            opener = self.unclosed_brace(i) or opener
        closer = SIGN[CLOSER[opener[0]]]
        return (
            self.d(
                "MS0103",
                f"the file ends, but this `{opener[1]}` is not closed",
                opener,
                f"add the missing `{closer}`",
                [Label(self.span(token), f"`{closer}` is missing before the end of the file")],
            ),
            None,
            None,
        )

    def _nested_function(self, states: list[int], i: int) -> Finding | None:
        if i and self.tokens[i - 1][0] in ("FN", "TASK") and self.tokens[i][0] == "IDENT":
            i -= 1  # `fn` alone could have begun a type, so the name is what does not fit
            states = states[:-1]
        token = self.tokens[i]
        if token[0] not in ("FN", "TASK", "EXPORT", "LAYOUT", "INLINE", "EXTERN") or not self.first_in_line(i):
            return None
        openers = self.openers(i)
        if not openers:
            return None
        word = token[1]
        opener = self.tokens[openers[-1]]
        outer = self.tokens[openers[0]]
        if self.indent(token) <= self.indent(outer):
            if opener[0] in ("LBRACE", "DOTLBRACE"):
                opener = self.unclosed_brace(i) or opener
            closer = SIGN[CLOSER[opener[0]]]
            return (
                self.d(
                    "MS0103",
                    f"`{word}` starts here, but this `{opener[1]}` is not closed",
                    opener,
                    f"add the missing `{closer}`",
                    [Label(self.span(token), "the next declaration")],
                ),
                None,
                (i, True),
            )
        if opener[0] == "LBRACE" and token[0] in ("FN", "TASK", "INLINE", "EXPORT") and self.at_statement(states):
            kind = self.tokens[i + (token[0] == "EXPORT")][0]
            variable = kind in ("VAR", "CONST")
            what = "a task" if kind == "TASK" else "an exported variable" if variable else "a function"
            stop = "SEMI" if variable else "LBRACE"
            body = next((j for j in range(i, len(self.tokens)) if self.tokens[j][0] == stop), -1)
            end = body if variable else self.matching_close(body) if body > 0 else -1
            return (
                self.d(
                    "MS0124",
                    f"{what} cannot be declared inside a block",
                    token,
                    "move the declaration to the top level of the file",
                ),
                None,
                (end + 1, False) if end > 0 else None,
            )
        return None

    def _closers(self, states: list[int], i: int) -> Finding | None:
        token = self.tokens[i]
        if token[0] not in ("RPAR", "RSQB", "RBRACE"):
            return None
        openers = self.openers(i)
        if not openers:
            suspect = self.early_close(i) if token[0] == "RBRACE" else None
            labels = [Label(self.span(suspect), "this one may stand too early")] if suspect else []
            return (
                self.d(
                    "MS0104",
                    f"this `{token[1]}` closes nothing",
                    token,
                    "remove it, or add what it should close",
                    labels,
                ),
                ("drop", None),
                None,
            )
        opener = self.tokens[openers[-1]]
        wanted = CLOSER[opener[0]]
        if wanted == token[0]:
            return None
        sign = SIGN[wanted]
        if wanted == "RBRACE":
            return (
                self.d(
                    "MS0104",
                    f"this `{token[1]}` closes nothing",
                    token,
                    "remove it, or add what it should close",
                    [Label(self.span(opener), f"the innermost open bracket is this `{opener[1]}`")],
                ),
                ("drop", None),
                None,
            )
        # `f(a, b }`: the bracket is missing, provided the closer in hand has a partner further out.
        place = self.tokens[i - 1][3]
        outer = any(CLOSER[self.tokens[o][0]] == token[0] for o in openers)
        repair: Any = (
            ("insert", (wanted, sign, place, place)) if outer else ("replace", (wanted, sign, token[2], token[3]))
        )
        if not self.accepts(states, wanted):
            repair = None
        return (
            self.d(
                "MS0103",
                f"this `{opener[1]}` is not closed: expected `{sign}`, found `{token[1]}`",
                opener,
                f"add the missing `{sign}`",
                [Label(self.span(token), f"`{sign}` expected here")],
            ),
            repair,
            None,
        )

    def _conditions(self, states: list[int], i: int) -> Finding | None:
        tokens = self.tokens
        token, before = tokens[i], tokens[i - 1] if i else NOTHING
        if before[0] in ("IF", "WHILE", "SWITCH", "FOR") and token[0] != "LPAR" and i:
            word = before[1]
            what = "what it runs over" if word == "for" else "the value" if word == "switch" else "the condition"
            diagnostic = self.d(
                "MS0121",
                f"`{word}` needs {what} in parentheses",
                token,
                _FOR_HELP if word == "for" else f"write `{word} (...)`",
            )
            brace = self.same_line(i, "LBRACE")
            if brace > i and word != "for":
                place = tokens[brace - 1][3]
                tokens.insert(brace, ("RPAR", ")", place, place))
                return diagnostic, ("insert", ("LPAR", "(", token[2], token[2])), None
            return diagnostic, None, None
        if token[0] == "EQ":
            openers = self.openers(i)
            opener = openers[-1] if openers else -1
            if opener > 0 and tokens[opener][0] == "LPAR" and tokens[opener - 1][0] in ("IF", "WHILE"):
                return (
                    self.d("MS0111", "`=` assigns; it cannot stand in a condition", token, "to compare, write `==`"),
                    ("replace", ("BINOP", "==", token[2], token[3])),
                    None,
                )
            if self.accepts(states, "BINOP") and (not openers or tokens[opener][0] in ("LPAR", "LSQB", "LBRACE")):
                if (
                    opener > 0
                    and tokens[opener][0] in ("LBRACE", "DOTLBRACE")
                    and tokens[opener - 1][0] != "RPAR"
                    and (tokens[i - 2][0] in ("LBRACE", "DOTLBRACE", "COMMA"))
                ):
                    return None  # `.{ a = 1 }`, see _literals
                return (
                    self.d(
                        "MS0111",
                        "an assignment is a statement and has no value",
                        token,
                        "to compare, write `==`; to assign twice, write two statements",
                    ),
                    ("replace", ("BINOP", "==", token[2], token[3])),
                    None,
                )
        if token[0] == "ASSIGNOP" and self.accepts(states, "BINOP"):
            return (
                self.d(
                    "MS0111",
                    "an assignment is a statement and has no value",
                    token,
                    "write it as a statement of its own",
                ),
                ("replace", ("BINOP", "+", token[2], token[3])),
                None,
            )
        if token[0] == "ELSE" and before[0] in ("SEMI", "RBRACE"):
            return (
                self.d("MS0120", "`else` without an `if`", token, "an `else` follows the body of its `if` directly"),
                ("drop", None),
                None,
            )
        return None

    def _while_header(self, states: list[int], i: int) -> Finding | None:
        tokens = self.tokens
        openers = self.openers(i)
        if (
            tokens[i][0] not in ("SEMI", "COMMA")
            or not openers
            or tokens[openers[-1]][0] != "LPAR"
            or (tokens[openers[-1] - 1][0] not in ("WHILE", "IF", "SWITCH"))
        ):
            return None
        word = tokens[openers[-1] - 1][1]
        close = self.matching_close(openers[-1])
        help = "the step of a loop follows in its own parentheses: `while (i < n) : (i += 1) { ... }`"
        return (
            self.d(
                "MS0121", f"`{word}` takes one value in its parentheses", tokens[i], help if word == "while" else None
            ),
            ("drop", None) if close < 0 else None,
            (close + 1, False) if close > 0 else None,
        )

    def _for_header(self, states: list[int], i: int) -> Finding | None:
        tokens = self.tokens
        for opener in reversed(self.openers(i)):
            if tokens[opener][0] == "LPAR":
                if opener and tokens[opener - 1][0] == "FOR":
                    header = [t[0] for t in tokens[opener : i + 3]]
                    close = self.matching_close(opener)
                    if close > 0 and (
                        "SEMI" in header
                        or "EQ" in header
                        or tokens[i][1] in ("in", "of")
                        or tokens[i][0] in ("VAR", "CONST", "COLON")
                        or (tokens[i][0] == "IDENT" and tokens[i - 1][0] == "IDENT")
                    ):
                        return (
                            self.d("MS0122", "a `for` loop runs over an array or a range", tokens[i], _FOR_HELP),
                            None,
                            (close + 1, False),
                        )
                return None
            if tokens[opener][0] == "LBRACE":
                break
        if i and tokens[i - 1][0] == "RPAR" and tokens[i][0] != "PIPE":
            opener = self.matching_open(i - 1)
            if opener > 0 and tokens[opener - 1][0] == "FOR":
                return (
                    self.d("MS0122", "a `for` loop names its element between bars", tokens[i], _FOR_HELP),
                    None,
                    (i, False),
                )
        return None

    def _signs(self, states: list[int], i: int) -> Finding | None:
        tokens = self.tokens
        token, before = tokens[i], tokens[i - 1] if i else NOTHING
        adjacent = i > 0 and before[3] == token[2]
        if token[0] == "RSQB" and before[0] == "LSQB":
            zero = ("insert", ("INT", "0", token[2], token[2]))
            span = Span(self.file, before[2], token[3])
            if i > 1 and tokens[i - 2][0] in OPERAND_END and tokens[i - 2][3] == before[2]:
                return self.d("MS0102", "expected an index between `[` and `]`", span), zero, None
            return (
                self.d(
                    "MS0118",
                    "there are no slices: `[]T` is not a type",
                    span,
                    "use `[n]T` for an array, `*[n]T` or `[*]T` for a pointer to elements",
                ),
                zero,
                None,
            )
        if (
            before[0] == "MINUS"
            and i > 1
            and tokens[i - 2][0] in ("MINUS", *OPERAND_END)
            and token[0] in ("SEMI", "RPAR", "COMMA", "RBRACE")
            and tokens[i - 2][1] == "-"
            and tokens[i - 2][3] == before[2]
        ):
            return (
                self.d(
                    "MS0112",
                    "there is no `--` operator",
                    Span(self.file, tokens[i - 2][2], before[3]),
                    "write `x -= 1`, as a statement of its own",
                ),
                ("insert", ("INT", "0", token[2], token[2])),
                None,
            )
        if adjacent and before[0] in ("DOT", "DEREF") and token[0] == "DOT":
            return (
                self.d(
                    "MS0125",
                    "there are no `..` ranges",
                    Span(self.file, before[2], token[3]),
                    "count with `@range(T, start, stop)`; in a `switch` list the values one by one",
                ),
                None,
                None,
            )
        if adjacent and before[0] == "BINOP" and before[1] in ("==", "!=") and token[0] == "EQ":
            return (
                self.d(
                    "MS0102",
                    f"`{before[1]}=` is not an operator",
                    Span(self.file, before[2], token[3]),
                    f"write `{before[1]}`",
                ),
                ("drop", None),
                None,
            )
        if adjacent and before[1] == "<" and token[1] == ">":
            return (
                self.d("MS0102", "`<>` is not an operator", Span(self.file, before[2], token[3]), "write `!=`"),
                ("drop", None),
                None,
            )
        if token[1] == "+" and self.passes(states, self.ahead(i + 1)):
            return (
                self.d("MS0102", "there is no sign `+` in front of a value", token, "leave it out"),
                ("drop", None),
                None,
            )
        if before[0] == "DOT" and token[0] in ("INT", "FLOAT"):
            return (
                self.d("MS0132", "elements of a tuple have no names", token, f"write `[{token[1]}]` without the dot"),
                ("replace", ("IDENT", "_", token[2], token[3])),
                None,
            )
        if before[0] == "BUILTIN" and token[0] != "LPAR":
            return (
                self.d(
                    "MS0102", f"`{before[1]}` is a builtin and has to be called", before, f"write `{before[1]}(...)`"
                ),
                None,
                None,
            )
        return None

    def _words(self, states: list[int], i: int) -> Finding | None:
        """Words of other languages, and declarations that begin with the type."""
        tokens = self.tokens
        token, before = tokens[i], tokens[i - 1] if i else NOTHING
        drop = ("drop", None)
        word = (
            before[1]
            if i
            and before[0] == "IDENT"
            and (token[0] in ("IDENT", "LBRACE", "STRING", "FN", "CONST", "VAR", "BUILTIN") or token[1] == "*")
            else ""
        )
        own = token[1] if token[0] == "IDENT" else ""
        for name, at in ((own, token), (word, before)):
            if name in _ZIG:
                skip = None if name in ("catch", "orelse") or at is before else drop
                return self.d("MS0119", f"there is no `{name}` in the language", at, _ZIG[name]), skip, None
        if own and self.level_is_item(states):
            if own in _FUNCTION:
                return (
                    self.d(
                        "MS0116",
                        f"`{own}` does not declare a function",
                        token,
                        "write `fn name(argument: T) R { ... }`",
                    ),
                    None,
                    None,
                )
            if own in _IMPORT:
                return (
                    self.d(
                        "MS0116",
                        f"`{own}` does not import anything",
                        token,
                        'write `const m = @import_module("file.csl");`',
                    ),
                    None,
                    None,
                )
            if own in _DECLARE or own in _C_TYPES or own in _TYPES:
                name = tokens[i + 1][1] if tokens[i + 1][0] == "IDENT" else "name"
                kind = _C_TYPES.get(own, own if own in _TYPES else "")
                help = (
                    f"write `fn {name}(...) {kind} {{ ... }}`"
                    if tokens[i + 2 if i + 2 < len(tokens) else i][0] == "LPAR"
                    else (_declare(name, kind))
                )
                return self.d("MS0116", f"`{own}` does not begin a declaration", token, help), None, None
            if own in ("class", "typedef", "enum", "interface", "trait", "impl"):
                return (
                    self.d(
                        "MS0116",
                        f"`{own}` does not begin a declaration",
                        token,
                        "a type is a value: `const Name = struct { a: i16 };`",
                    ),
                    None,
                    None,
                )
        if before[0] != "IDENT" or token[0] != "IDENT" or self.first_in_line(i):
            if (
                token[0] == "IDENT"
                and before[0] == "RPAR"
                and i > 2
                and tokens[i - 2][0] == "IDENT"
                and (tokens[i - 3][0] == "LPAR" and (tokens[i - 2][1] in _TYPES or tokens[i - 2][1] in _C_TYPES))
            ):
                kind = _C_TYPES.get(tokens[i - 2][1], tokens[i - 2][1])
                return (
                    self.d(
                        "MS0116",
                        "there is no cast in parentheses",
                        Span(self.file, tokens[i - 3][2], before[3]),
                        f"write `@as({kind}, {token[1]})`",
                    ),
                    drop,
                    None,
                )
            return None
        word = before[1]
        if word in _FUNCTION:
            return (
                self.d(
                    "MS0116",
                    f"`{word}` does not declare a function",
                    before,
                    f"write `fn {token[1]}(argument: T) R {{ ... }}`, at the top level",
                ),
                None,
                None,
            )
        if word in _IMPORT:
            return (
                self.d(
                    "MS0116",
                    f"`{word}` does not import anything",
                    before,
                    'write `const m = @import_module("file.csl");`',
                ),
                None,
                None,
            )
        at_start = i < 2 or tokens[i - 2][0] in ("SEMI", "LBRACE", "RBRACE", "STAR", "RSQB")
        follows = tokens[i + 1][0] in ("EQ", "SEMI", "COLON", "LSQB", "COMMA")
        in_params = self._in_params(i)
        if in_params and (word in _TYPES or word in _C_TYPES):
            kind = _C_TYPES.get(word, word)
            return (
                self.d("MS0116", "a parameter's name comes before its type", before, f"write `{token[1]}: {kind}`"),
                None,
                None,
            )
        if (
            word in _DECLARE
            or word in _C_TYPES
            or word in _TYPES
            or (at_start and follows and tokens[i + 1][0] != "COMMA")
        ):
            if word in _DECLARE or at_start:
                kind = "" if word in _DECLARE else _C_TYPES.get(word, word)
                start = before
                return (
                    self.d(
                        "MS0116",
                        f"`{word} {token[1]}` does not declare a variable",
                        Span(self.file, start[2], token[3]),
                        _declare(token[1], kind),
                    ),
                    drop,
                    None,
                )
        if word == "not":
            return self.d("MS0114", "`not` is not an operator", before, "write `!`"), drop, None
        return None

    def _in_params(self, i: int) -> bool:
        openers = self.openers(i)
        if not openers or self.tokens[openers[-1]][0] != "LPAR" or openers[-1] < 2:
            return False
        return self.tokens[openers[-1] - 2][0] in ("FN", "TASK")

    def _names(self, states: list[int], i: int) -> Finding | None:
        token = self.tokens[i]
        if token[0] == "COLON" and i and self.tokens[i - 1][0] in KEYWORDS and self._in_params(i):
            previous = self.tokens[i - 1]
            return (
                self.d("MS0130", f"`{previous[1]}` is a keyword and cannot be a name", previous, "choose another name"),
                ("insert", ("IDENT", previous[1], previous[3], previous[3])),
                None,
            )
        if token[0] in KEYWORDS and self.passes(states, ["IDENT", *self.ahead(i + 1)]) and i:
            before = self.tokens[i - 1][0]
            following = self.tokens[i + 1][0]
            if (
                before in ("CONST", "VAR", "PARAM", "FN", "TASK", "DOT", "PIPE")
                or (before == "COMMA" or before == "LPAR")
                and (following in ("COLON", "COMMA", "RPAR"))
            ):
                return (
                    self.d("MS0130", f"`{token[1]}` is a keyword and cannot be a name", token, "choose another name"),
                    ("replace", ("IDENT", token[1], token[2], token[3])),
                    None,
                )
        if token[0] == "COMMA" and i > 1 and not self._openers_in_statement(i):
            if self._statement_starts_with(i, ("CONST", "VAR", "PARAM")) and self.accepts(states, "SEMI"):
                return (
                    self.d("MS0116", "one declaration declares one name", token, "write a declaration for each name"),
                    None,
                    None,
                )
        if (
            self.tokens[i - 1][0] == "BREAK"
            and i
            and token[0] in OPERAND_END | {"BUILTIN", "LPAR", "MINUS"}
            and not (self.first_in_line(i))
        ):
            return (
                self.d(
                    "MS0102", "`break` with a value needs the label of its block", token, "write `break :label value;`"
                ),
                None,
                None,
            )
        return None

    def _statement_starts_with(self, i: int, kinds: tuple[str, ...]) -> bool:
        start = self.tokens[self.statement_start(i)][0]
        return start in kinds or (start in ("EXPORT", "COMPTIME") and kinds[0] == "CONST")

    def _openers_in_statement(self, i: int) -> bool:
        openers = self.openers(i)
        return bool(openers) and self.tokens[openers[-1]][0] != "LBRACE"

    def _literals(self, states: list[int], i: int) -> Finding | None:
        tokens = self.tokens
        token = tokens[i]
        openers = self.openers(i)
        if i > 1 and openers and tokens[openers[-1]][0] in ("LBRACE", "DOTLBRACE") and tokens[i - 1][0] == "COMMA":
            mixed = (
                token[0] == "DOT" and tokens[i + 2][0] == "EQ"
                if tokens[i + 1][0] == "IDENT"
                else (token[0] != "DOT" and self.accepts(states, "DOT") and not self.accepts(states, "IDENT"))
            )
            if mixed or (
                token[0] == "IDENT"
                and self.accepts(states, "DOT")
                and not self.accepts(states, "IDENT")
                and tokens[i + 1][0] != "EQ"
            ):
                return (
                    self.d(
                        "MS0132",
                        "a struct value has either named or nameless fields, not both",
                        token,
                        "give every field a name: `.{ .a = 1, .b = 2 }`",
                    ),
                    None,
                    None,
                )
        if i < 2 or token[0] not in ("COLON", "EQ", "SEMI"):
            return None
        if not openers or tokens[openers[-1]][0] not in ("LBRACE", "DOTLBRACE"):
            return None
        opener = openers[-1]
        before, second = tokens[i - 1], tokens[i - 2]
        is_type = opener and (
            tokens[opener - 1][0] in ("STRUCT", "UNION", "ENUM")
            or (
                tokens[opener - 1][0] == "RPAR"
                and self.matching_open(opener - 1) > 0
                and tokens[self.matching_open(opener - 1) - 1][0] == "ENUM"
            )
        )
        if is_type:
            word = "enum" if tokens[opener - 1][0] in ("ENUM", "RPAR") else tokens[opener - 1][1]
            if token[0] == "SEMI":
                return (
                    self.d(
                        "MS0132", f"the members of `{word}` are separated by commas", token, "write `,` instead of `;`"
                    ),
                    ("replace", ("COMMA", ",", token[2], token[3])),
                    None,
                )
            return None
        if token[0] == "SEMI" and tokens[opener][0] == "DOTLBRACE" and self.accepts(states, "COMMA"):
            if self.first_in_line(i + 1) and tokens[i + 1][0] not in ("DOT", "RBRACE"):
                return None  # the statement was to end here: the brace is missing
            return (
                self.d("MS0132", "the values of a struct are separated by commas", token, "write `,` instead of `;`"),
                ("replace", ("COMMA", ",", token[2], token[3])),
                None,
            )
        if tokens[opener][0] == "LBRACE" and opener and tokens[opener - 1][1] in ("do", "loop", "repeat", "unsafe"):
            close = self.matching_close(opener)
            return (
                self.d(
                    "MS0116",
                    f"`{tokens[opener - 1][1]}` does not begin a statement",
                    tokens[opener - 1],
                    "a loop is written `while (condition) { ... }`",
                ),
                None,
                (self.after_semicolon(close), False) if close > 0 else None,
            )
        if token[0] == "COLON" and before[0] == "IDENT" and second[0] == "DOT":
            return (
                self.d(
                    "MS0132",
                    f"a field gets its value with `=`: `.{before[1]} = ...`",
                    token,
                    "write `=` instead of `:`",
                ),
                ("replace", ("EQ", "=", token[2], token[3])),
                None,
            )
        starts_value = second[0] in ("LBRACE", "DOTLBRACE", "COMMA") and before[0] == "IDENT"
        if starts_value and (tokens[opener][0] == "DOTLBRACE" or tokens[opener - 1][0] in ("IDENT", "RPAR")):
            if tokens[opener][0] == "LBRACE" and tokens[opener - 1][0] == "RPAR":
                return None
            return (
                self.d(
                    "MS0132",
                    f"a field of a struct value begins with a dot: `.{before[1]} = ...`",
                    before,
                    f"write `.{before[1]} = value`",
                ),
                ("replace", ("BINOP", "==", token[2], token[3])),
                None,
            )
        return None

    def _switch_arms(self, states: list[int], i: int) -> Finding | None:
        tokens = self.tokens
        token = tokens[i]
        openers = self.openers(i)
        if (
            not openers
            or tokens[openers[-1]][0] != "LBRACE"
            or tokens[openers[-1] - 1][0] != "RPAR"
            or openers[-1] == 0
        ):
            return None
        head = self.matching_open(openers[-1] - 1)
        if head < 1 or tokens[head - 1][0] != "SWITCH":
            return None
        before = tokens[i - 1]
        if before[1] in ("case", "default") or token[1] in ("case", "default"):
            at = before if before[1] in ("case", "default") else token
            help = "the arm for all other values is `else => ...`" if at[1] == "default" else "write `value => ...,`"
            close = self.matching_close(openers[-1])
            return (
                self.d("MS0131", f"there is no `{at[1]}` in a `switch`", at, help),
                None,
                (close + 1, False) if close > 0 else None,
            )
        if token[0] in ("COLON", "ARROW", "EQ") and self.accepts(states, "FATARROW"):
            return (
                self.d("MS0131", "the values of a `switch` arm are followed by `=>`", token, "write `value => ...,`"),
                ("replace", ("FATARROW", "=>", token[2], token[3])),
                None,
            )
        if token[0] == "SEMI" and self.accepts(states, "COMMA"):
            return (
                self.d(
                    "MS0131",
                    "the arms of a `switch` are separated by commas",
                    token,
                    "write `,` instead of `;`, or put statements in braces",
                ),
                ("replace", ("COMMA", ",", token[2], token[3])),
                None,
            )
        if self.passes(states, ["COMMA", *self.ahead(i)]):
            place = before[3]
            return (
                self.d("MS0131", "expected `,` between the arms of a `switch`", Span(self.file, place, place + 1)),
                ("insert", ("COMMA", ",", place, place)),
                None,
            )
        return None

    def _functions(self, states: list[int], i: int) -> Finding | None:
        tokens = self.tokens
        token = tokens[i]
        before = tokens[i - 1] if i else NOTHING
        if token[0] in ("ARROW", "COLON") and before[0] == "RPAR":
            opener = self.matching_open(i - 1)
            if opener > 1 and tokens[opener - 2][0] in ("FN", "TASK"):
                return (
                    self.d(
                        "MS0115",
                        f"no `{token[1]}` in front of the return type",
                        token,
                        f"write `fn {tokens[opener - 1][1]}(...) T {{ ... }}`",
                    ),
                    ("drop", None),
                    None,
                )
        if before[0] in ("FN", "TASK") and token[0] == "LPAR" and self.level_is_item(states[:-1]):
            return (
                self.d("MS0102", "expected the name of the function", token),
                ("insert", ("IDENT", "_", token[2], token[2])),
                None,
            )
        if (
            token[0] in ("COMMA", "RPAR")
            and before[0] == "IDENT"
            and self._in_params(i)
            and self.accepts(states, "COLON")
        ):
            return (
                self.d(
                    "MS0115",
                    f"parameter `{before[1]}` needs a type",
                    before,
                    f"write `{before[1]}: T`, or `{before[1]}: anytype`",
                ),
                None,
                None,
            )
        return None

    def _top_level(self, states: list[int], i: int) -> Finding | None:
        token = self.tokens[i]
        level = self.block_level(states)
        # `name: f32 = 1;` and `x = 1;` at the top level fail at the name already.
        if not self.level_is_item(states) or level < 0:
            return None
        if token[0] in (
            "IF",
            "FOR",
            "WHILE",
            "SWITCH",
            "RETURN",
            "BREAK",
            "CONTINUE",
            "BUILTIN",
            "IDENT",
            "LBRACE",
            "LPAR",
            "STAR",
            "ELSE",
        ):
            labels = []
            suspect = self.early_close(i)
            if suspect is not None:
                labels.append(Label(self.span(suspect), "this `}` may stand too early"))
            name = f"`{token[1]}`"
            if (
                token[0] == "IDENT"
                and self.tokens[i + 1][0] == "COLON"
                and self.tokens[i + 2][0] in ("IDENT", "STAR", "LSQB")
            ):
                return (
                    self.d(
                        "MS0116",
                        f"{name} is declared without `const`, `var` or `param`",
                        token,
                        f"write `var {token[1]}: ...;`",
                    ),
                    None,
                    None,
                )
            return (
                self.d(
                    "MS0123",
                    f"a statement cannot stand at the top level of a file: {name}",
                    token,
                    "put it into a `fn`, a `task`, or a `comptime { }` or `layout { }` block",
                    labels,
                ),
                None,
                (self.next_item(i), True) if labels or self.column(token) > 1 else None,
            )
        return None


def _declare(name: str, kind: str) -> str:
    if not kind or kind == "...":
        return f"write `var {name} = ...;` or `const {name} = ...;`"
    return f"the type comes behind the name: `var {name}: {kind} = ...;`"
