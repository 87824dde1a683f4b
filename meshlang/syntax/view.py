"""Where the parser stands: the token list seen from one place, and the automaton tried out on a copy of its states."""

from __future__ import annotations

from bisect import bisect_right

from ..diag import Diagnostic, Label
from .lexer import END, Token
from .source import SourceFile, Span
from .tables import tables

_LOOKAHEAD = 5  # tokens a repair must survive

CLOSER = {"LPAR": "RPAR", "LSQB": "RSQB", "LBRACE": "RBRACE", "DOTLBRACE": "RBRACE"}
SIGN = {
    "SEMI": ";",
    "COMMA": ",",
    "RPAR": ")",
    "RSQB": "]",
    "RBRACE": "}",
    "COLON": ":",
    "EQ": "=",
    "LPAR": "(",
    "LBRACE": "{",
    "FATARROW": "=>",
    "PIPE": "|",
    "LSQB": "[",
    "ARROW": "->",
}
KEYWORDS = frozenset(
    {
        "AND",
        "ANYTYPE",
        "BREAK",
        "COMPTIME",
        "CONST",
        "CONTINUE",
        "ELSE",
        "ENUM",
        "EXPORT",
        "EXTERN",
        "FALSE",
        "FN",
        "FOR",
        "IF",
        "INLINE",
        "OR",
        "PARAM",
        "RETURN",
        "STRUCT",
        "SWITCH",
        "TASK",
        "TRUE",
        "UNION",
        "VAR",
        "WHILE",
        "LAYOUT",
        "NOINLINE",
    }
)
ITEM_WORDS = frozenset(
    {"FN", "TASK", "PARAM", "EXPORT", "EXTERN", "LAYOUT", "INLINE", "NOINLINE", "CONST", "VAR", "COMPTIME"}
)
OPERAND_END = frozenset({"IDENT", "INT", "FLOAT", "STRING", "CHAR", "TRUE", "FALSE", "RPAR", "RSQB", "RBRACE", "DEREF"})


class View:
    """Questions about the tokens of a file. Places are indices into `tokens`, `states` is the automaton's stack."""

    def __init__(self, file: SourceFile, tokens: list[Token]):
        self.file = file
        self.tokens = tokens

    def line(self, offset: int) -> int:
        return bisect_right(self.file.line_starts(), offset)

    def column(self, token: Token) -> int:
        return self.file.position(token[2])[1]

    def first_in_line(self, i: int) -> bool:
        return i == 0 or self.line(self.tokens[i - 1][2]) < self.line(self.tokens[i][2])

    def indent(self, token: Token) -> int:
        text = self.file.line(self.line(token[2]))
        return len(text) - len(text.lstrip())

    def span(self, token: Token) -> Span:
        if token[0] == END:
            last = self.tokens[-2] if len(self.tokens) > 1 else token
            return Span(self.file, last[3], last[3])
        return Span(self.file, token[2], token[3])

    def d(
        self,
        code: str,
        message: str,
        token: Token | Span,
        help: str | None = None,
        labels: list[Label] | None = None,
        notes: list[str] | None = None,
    ) -> Diagnostic:
        span = token if isinstance(token, Span) else self.span(token)
        return Diagnostic(code, message, span, labels=labels or [], notes=notes or [], help=help)

    def openers(self, i: int) -> list[int]:
        """Indices of the brackets that are open in front of token i."""
        stack: list[int] = []
        for j in range(i):
            kind = self.tokens[j][0]
            if kind in CLOSER:
                stack.append(j)
            elif kind in ("RPAR", "RSQB", "RBRACE") and stack:
                stack.pop()
        return stack

    def unclosed_brace(self, i: int) -> Token | None:
        """The `{` in front of token i that most likely lacks its `}`, judged by indentation."""
        stack: list[Token] = []
        suspect: Token | None = None
        for j in range(i):
            token = self.tokens[j]
            if token[0] in ("LBRACE", "DOTLBRACE"):
                stack.append(token)
            elif token[0] == "RBRACE" and stack:
                opener = stack.pop()
                if self.first_in_line(j) and self.indent(opener) > self.indent(token) and suspect is None:
                    suspect = opener
        if not stack:
            return None
        return suspect if suspect is not None and suspect[2] > stack[0][2] else stack[-1]

    def early_close(self, i: int) -> Token | None:
        """A `}` in front of token i that stands further right than the line of the `{` it closes."""
        stack: list[Token] = []
        for j in range(i):
            token = self.tokens[j]
            if token[0] in ("LBRACE", "DOTLBRACE"):
                stack.append(token)
            elif token[0] == "RBRACE" and stack:
                opener = stack.pop()
                if self.first_in_line(j) and self.indent(token) > self.indent(opener):
                    return token
        return None

    def matching_open(self, i: int) -> int:
        """The index of the bracket that token i closes, -1 if there is none."""
        depth = 0
        for j in range(i, -1, -1):
            kind = self.tokens[j][0]
            if kind in ("RPAR", "RSQB", "RBRACE"):
                depth += 1
            elif kind in CLOSER:
                depth -= 1
                if depth == 0:
                    return j
        return -1

    def matching_close(self, i: int) -> int:
        depth = 0
        for j in range(i, len(self.tokens)):
            kind = self.tokens[j][0]
            if kind in CLOSER:
                depth += 1
            elif kind in ("RPAR", "RSQB", "RBRACE"):
                depth -= 1
                if depth == 0:
                    return j
        return -1

    def same_line(self, i: int, kind: str) -> int:
        line = self.line(self.tokens[i][2])
        for j in range(i, len(self.tokens)):
            if self.tokens[j][0] == END or self.line(self.tokens[j][2]) != line:
                return -1
            if self.tokens[j][0] == kind:
                return j
        return -1

    def after_semicolon(self, i: int) -> int:
        """Behind the `;` that ends the line of token i, or just behind the token."""
        semicolon = self.same_line(i, "SEMI")
        return (semicolon if semicolon > 0 else i) + 1

    def next_item(self, i: int) -> int:
        while self.tokens[i][0] != END:
            i += 1
            if self.tokens[i][0] in ITEM_WORDS and self.first_in_line(i) and self.column(self.tokens[i]) == 1:
                break
        return i

    def statement_start(self, i: int) -> int:
        depth = 0
        for j in range(i - 1, -1, -1):
            kind = self.tokens[j][0]
            if kind in ("RPAR", "RSQB", "RBRACE"):
                depth += 1
                if kind == "RBRACE" and depth == 1 and self.first_in_line(j + 1):
                    return j + 1
            elif kind in CLOSER:
                if depth == 0:
                    return j + 1
                depth -= 1
            elif kind == "SEMI" and depth == 0:
                return j + 1
        return 0

    def survives(self, states: list[int], stream: list[str]) -> int:
        """How many of the terminals can be shifted, starting from these states."""
        t = tables()
        stack = list(states)
        for count, kind in enumerate(stream):
            while True:
                action = t.actions[stack[-1]].get(kind)
                if action is None:
                    return count + (kind == END and stack[-1] in t.end.values())
                if action >= 0:
                    stack.append(action)
                    break
                n, origin, _ = t.rules[~action]
                if n:
                    del stack[-n:]
                stack.append(t.gotos[stack[-1]][origin])
        return len(stream)

    def accepts(self, states: list[int], kind: str) -> bool:
        return self.survives(states, [kind]) == 1

    def ahead(self, i: int) -> list[str]:
        """The next terminals, at most to the end of the statement: behind it the next mistake may wait."""
        kinds = []
        for token in self.tokens[i : i + _LOOKAHEAD]:
            kinds.append(token[0])
            if token[0] in ("SEMI", "RBRACE"):
                break
        return kinds

    def passes(self, states: list[int], stream: list[str]) -> bool:
        return self.survives(states, stream) == len(stream)

    def block_level(self, states: list[int], item: bool = False) -> int:
        """The height of the stack at which a statement or (item) a top-level item can follow, -1 if there is none."""
        gotos = tables().gotos
        for level in range(len(states) - 1, -1, -1):
            goto = gotos[states[level]]
            if "item" in goto or (not item and "block_item" in goto):
                return level
        return -1

    def at_statement(self, states: list[int]) -> bool:
        goto = tables().gotos[states[-1]]
        return "block_item" in goto or "stmts" in goto

    def level_is_item(self, states: list[int]) -> bool:
        level = self.block_level(states)
        return level == len(states) - 1 and level >= 0 and "item" in tables().gotos[states[level]]
