"""Text to tokens, for every text: what is wrong becomes a diagnostic and a token (or none) that lets parsing go on."""

from __future__ import annotations

import re
from functools import cache

from ..diag import Diagnostic
from .source import SourceFile, Span
from .tables import tables

# (terminal name, text, start, end). A tuple because a file has thousands of them.
Token = tuple[str, str, int, int]

END = "$END"

# What cannot be a token. These come before the grammar's terminals: `&&` and friends would otherwise split in two.
_ERRORS = r"""
    (?P<E_COMMENT> /\*(?:.|\n)*?(?:\*/|\Z) )
  | (?P<E_WORDOP> && | \|\| )
  | (?P<E_PLUSPLUS> \+\+ )
  | (?P<E_WALRUS> :=(?!=) )
  | (?P<E_BLANK> \?\?\?* )
  | (?P<E_CITE> \[cite(?:_start|_end|:[\x20\d,\-]*)\] )
  | (?P<E_FENCE> ```[^\n]* )
  | (?P<E_HASH> \#[^\n]* )
"""

_ERRORS_LAST = r"""
    (?P<E_NUMBER> [0-9][A-Za-z0-9_]*(?:\.[0-9][A-Za-z0-9_]*)? )
  | (?P<E_STRING> "[^\n]* )
  | (?P<E_CHAR> '(?:[^'\n]{0,12}')? )
  | (?P<E_STRAY> . )
"""

# Characters that word processors and web pages put in place of what was typed.
_TYPESET = {
    "\u201c": 'write `"`',
    "\u201d": 'write `"`',
    "\u2018": "write `'`",
    "\u2019": "write `'`",
    "\u2013": "write `-`",
    "\u2014": "write `-`",
    "\u2212": "write `-`",
    "\u00a0": "write a blank",
    "\u200b": "remove this invisible character",
    "\ufeff": "remove this invisible character",
}

# Words that are keywords only beside a certain neighbour, see _soft_words.
_SOFT = frozenset(
    {"layout", "packed", "noinline", "align", "linksection", "linkname", "color", "asm", "elif", "elseif", "elsif"}
)


@cache
def _scanner() -> re.Pattern[str]:
    t = tables()
    named = t.patterns
    punctuation = "|".join(re.escape(p) for p in sorted(t.punctuation, key=len, reverse=True))
    order = ["IDENT", "BUILTIN", "FLOAT", "INT", "STRING", "CHAR"]
    parts = [f"(?P<{name}>{named[name]})" for name in order[:2]]
    parts.append(re.sub(r"\s+", "", _ERRORS))
    parts += [f"(?P<{name}>{named[name]})" for name in order[2:]]
    parts += [f"(?P<{name}>{named[name]})" for name in named if name not in order]
    parts += [f"(?P<PUNCT>{punctuation})", r"(?P<END>\Z)", re.sub(r"\s+", "", _ERRORS_LAST)]
    return re.compile(r"(?:[ \t\r\n]+|//[^\n]*)*+(?:" + "|".join(parts) + ")", re.DOTALL)


def tokenize(file: SourceFile) -> tuple[list[Token], list[Diagnostic]]:
    """All tokens of the file, the last one being END, and the lexical errors."""
    t = tables()
    words, punctuation = t.words, t.punctuation
    text = file.text
    tokens: list[Token] = []
    add = tokens.append
    errors: list[Diagnostic] = []
    soft: list[int] = []
    after_dot = -1  # `.color`, `.const`: a word right behind a dot is a name, whatever the word
    for m in _scanner().finditer(text):
        kind = m.lastgroup
        start, end = m.span(kind)  # type: ignore[arg-type]
        if kind == "IDENT":
            word = text[start:end]
            if start == after_dot:
                add(("IDENT", word, start, end))
            elif word in words:
                add((words[word], word, start, end))
            else:
                if word in _SOFT:
                    soft.append(len(tokens))
                add(("IDENT", word, start, end))
        elif kind == "PUNCT":
            sign = text[start:end]
            if sign == ".":
                after_dot = end
            if sign == "{" and tokens and tokens[-1][0] == "DOT":
                # `. {`: blanks, line ends and comments may stand between the two signs of a struct value
                tokens[-1] = ("DOTLBRACE", ".{", tokens[-1][2], end)
                continue
            add((punctuation[sign], sign, start, end))
        elif kind == "END":
            add((END, "", end, end))
            break
        elif kind[0] == "E" and kind[1] == "_":  # type: ignore[index]
            _wrong(file, kind, start, end, tokens, errors)  # type: ignore[arg-type]
        else:
            add((kind, text[start:end], start, end))  # type: ignore[arg-type]
    if soft:
        _soft_words(file, tokens, soft, errors)
    return tokens, errors


def _soft_words(file: SourceFile, tokens: list[Token], places: list[int], errors: list[Diagnostic]) -> None:
    """Decide, by the neighbours, which of the words in _SOFT are keywords here."""
    removed = 0
    for place in places:
        i = place - removed
        _, word, start, end = tokens[i]
        following, after = tokens[i + 1][0], tokens[min(i + 2, len(tokens) - 1)][0]
        before = tokens[i - 1][0] if i else ""
        kind = "IDENT"
        if (
            word == "layout"
            and following == "LBRACE"
            and (before in ("", "SEMI", "RBRACE") or file.line(file.position(start)[0])[:6] == "layout")
        ):
            kind = "LAYOUT"  # in the first column also where the `;` in front of it is missing
        elif word == "packed" and following in ("STRUCT", "UNION"):
            kind = "PACKED"
        elif word == "noinline" and following in ("FN", "TASK"):
            kind = "NOINLINE"
        elif (
            word in ("align", "linksection", "linkname")
            and following == "LPAR"
            and before not in ("FN", "TASK", "SEMI", "LBRACE", "EQ", "COMMA", "LPAR")
        ):
            kind = "ATTR"
        elif word == "color" and following == "IDENT" and after == "SEMI":
            kind = "COLORDECL"
        elif word == "asm" and (following == "LPAR" or (following == "IDENT" and tokens[i + 1][1] == "volatile")):
            stop = _closing(tokens, i + 1 + (following == "IDENT"))
            end = tokens[stop][3]
            tokens[i : stop + 1] = [("ASM", file.text[start:end], start, end)]
            removed += stop - i
            # What the assembly text swallowed needs no decision any more.
            places[:] = [p for p in places if p <= place or p - removed > i]
            continue
        elif word in ("elif", "elseif", "elsif") and following == "LPAR" and before in ("RBRACE", "SEMI"):
            errors.append(
                Diagnostic(
                    "MS0120", f"`{word}` is not a word of the language", Span(file, start, end), help="write `else if`"
                )
            )
            tokens[i : i + 1] = [("ELSE", "else", start, end), ("IF", "if", start, end)]
            removed -= 1
            continue
        if kind != "IDENT":
            tokens[i] = (kind, word, start, end)


def _closing(tokens: list[Token], i: int) -> int:
    """The index of the bracket that closes the one at or after `i`, or of the last token before END."""
    depth = 0
    while i < len(tokens) - 1:
        if tokens[i][0] == "LPAR":
            depth += 1
        elif tokens[i][0] == "RPAR":
            depth -= 1
            if depth <= 0:
                return i
        i += 1
    return len(tokens) - 2


def _wrong(file: SourceFile, kind: str, start: int, end: int, tokens: list[Token], errors: list[Diagnostic]) -> None:
    """Report one lexical error, and add the token that was most likely meant."""
    text = file.text[start:end]
    span = Span(file, start, end)
    before = tokens[-1][0] if tokens else ""

    def report(code: str, message: str, help: str | None = None, at: Span = span) -> None:
        errors.append(Diagnostic(code, message, at, help=help))

    if kind == "E_COMMENT":
        report(
            "MS0107", "there are no block comments", "start every comment line with `//`", Span(file, start, start + 2)
        )
    elif kind == "E_WORDOP":
        word = "and" if text == "&&" else "or"
        report("MS0114", f"`{text}` is not an operator here", f"write `{word}`")
        tokens.append((word.upper(), word, start, end))
    elif kind == "E_PLUSPLUS":
        line = file.line(file.position(start)[0])
        if ";" in line and re.match(r"[ \t}]*(inline\s+)?for\b", line):
            return  # the parser will have more to say about such a loop
        rest = file.text[end:].lstrip()
        if rest[:1] in tuple(";),}]") or before not in ("IDENT", "RPAR", "RSQB", "RBRACE", "STRING", "DEREF", "INT"):
            report("MS0112", "there is no `++` operator", "write `x += 1`, as a statement of its own")
        else:
            report(
                "MS0112",
                "there is no `++` operator",
                "arrays and strings cannot be joined with an operator; `@concat_structs` joins two anonymous structs",
            )
            tokens.append(("BINOP", "+", start, end))
    elif kind == "E_WALRUS":
        report(
            "MS0113",
            "`:=` does not declare a variable",
            "write `var name = value;` (or `const`); to assign, write `name = value;`",
        )
        tokens.append(("EQ", "=", start, end))
    elif kind == "E_HASH":
        report(
            "MS0106",
            "unexpected character `#`",
            "there is no preprocessor; use `const` and `@import_module`"
            if re.match(r"#\s*(include|define|if|pragma|endif|import)", text)
            else "comments start with `//`",
            Span(file, start, start + 1),
        )
    elif kind == "E_NUMBER":
        report("MS0108", f"`{text}` is not a number", _number_help(text))
        tokens.append(("INT", "0", start, end))
    elif kind == "E_STRING":
        report(
            "MS0105",
            "this string is not closed on its line",
            'add the closing `"`; a line break inside is written `\\n`',
            Span(file, start, len(text.rstrip()) + start),
        )
        tokens.append(("STRING", '""', start, end))
    elif kind == "E_CHAR":
        if len(text) > 2:
            report("MS0109", f"{text} is more than one character", 'strings are written with double quotes: "text"')
        elif text == "''":
            report("MS0109", "an empty character literal", "write the character between the quotes: 'a'")
        else:
            report("MS0105", "this character literal is not closed", "a character literal is one character: 'a', '\\n'")
        tokens.append(("CHAR", "'?'", start, end))
    elif kind == "E_BLANK":
        report("MS0133", f"a blank to fill in: `{text}`", "write what belongs there")
        tokens.append(("IDENT", "_", start, end))
    elif kind in ("E_CITE", "E_FENCE"):
        report("MS0134", f"text pasted from elsewhere: `{text.strip()}` is no part of the language", "remove it")
    elif text == "?":
        report(
            "MS0125", "`?` has no meaning here", "choose with `if (condition) a else b`; optional types do not exist"
        )
    elif text == "@":
        report("MS0106", "`@` without the name of a builtin", "write the name right behind it: `@range(...)`")
    elif text == "\\":
        report("MS0106", "unexpected character `\\`", "lines need no continuation mark")
    else:
        shown = text if text.isprintable() else f"U+{ord(text):04X}"
        hint = "outside comments and strings only ASCII characters are allowed" if ord(text) > 126 else None
        if text in _TYPESET:
            hint = f"{_TYPESET[text]}: text pasted from a page or a document has such characters"
        report("MS0106", f"unexpected character `{shown}`", hint)


def _number_help(text: str) -> str:
    if re.fullmatch(r"[0-9][0-9.]*[fFuUlL]+", text):
        return "numbers have no type suffix; write `@as(f32, 1.0)` or give the variable a type"
    if text[:2] in ("0X", "0B", "0O"):
        return f"write the prefix in lower case: `{text[:2].lower()}{text[2:]}`"
    return "numbers are written 42, 0x2a, 0b101, 1.5 or 1e-3"
