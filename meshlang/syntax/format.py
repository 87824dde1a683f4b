"""The formatter: blanks and indentation are put in order, line breaks stay where the author has put them.

No token and no comment is added, removed or moved to another line, so that a formatted file is the same program by
construction; `format_text` compares all the same. How a line looks:

- two blanks of indentation for each line with open brackets, and for what continues a statement; four inside the
  parentheses of `if`, loops and functions, below which a body follows, and in brackets that an `else` follows;
- one blank around operators, none inside parentheses, one inside braces but for a single value (`.{RAMP}`) and the
  lengths of a tensor access (`|i|{n} -> a[i]`);
- comments at the ends of neighbouring lines stand below each other; at most one empty line, none inside a brace's ends;
- what stands between `// fmt: off` and `// fmt: on` is left alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from . import ast
from .lexer import END, Token, tokenize
from .parser import parse
from .source import SourceFile

INDENT = 2
HANGING = 4
COMMENT_GAP = 2
LONG = 100  # a line of so many characters does not move the comments of its neighbours

_GAP = re.compile(r"//[^\n]*|\n")
_OFF = re.compile(r"//\s*fmt:\s*off\b")
_ON = re.compile(r"//\s*fmt:\s*on\b")
_CLOSERS = {"RPAR", "RSQB", "RBRACE"}
_OPENERS = {"LPAR", "LSQB", "LBRACE", "DOTLBRACE"}
_HEADERS = {"IF", "WHILE", "FOR", "SWITCH"}
_OPERAND_END = {"IDENT", "INT", "FLOAT", "STRING", "CHAR", "TRUE", "FALSE", "RPAR", "RSQB", "RBRACE", "DEREF"}
# what goes on with an expression or statement whose last token was a `}`
_AFTER_BRACE = {
    "AMP",
    "AND",
    "ARROW",
    "ASSIGNOP",
    "BINOP",
    "COLON",
    "COMMA",
    "DEREF",
    "DOT",
    "ELSE",
    "EQ",
    "LSQB",
    "MINUS",
    "OR",
    "PIPE",
    "RBRACE",
    "RPAR",
    "RSQB",
    "SEMI",
    "STAR",
}
# what can be the element of an array or pointer type, right behind its `]`
_ELEMENT = {
    "ANYTYPE",
    "ATTR",
    "BUILTIN",
    "COMPTIME",
    "CONST",
    "ENUM",
    "EXTERN",
    "FN",
    "IDENT",
    "LPAR",
    "LSQB",
    "PACKED",
    "STAR",
    "STRUCT",
    "TASK",
    "UNION",
}
_CALLED = {"IDENT", "BUILTIN", "RPAR", "RSQB", "FN", "TASK", "ENUM", "ATTR", "DEREF", "ANYTYPE"}


def format_text(text: str, path: str = "<text>") -> str:
    """The text, formatted. Raises MeshlangError with all syntax errors: what cannot be read is not formatted."""
    file = SourceFile(path, text.replace("\r\n", "\n"))
    tree = parse(file)
    tokens, _ = tokenize(file)
    out = "\n".join(_rendered(_lines(file, tokens), _Shape(tree, tokens), file))
    out = out + "\n" if out else ""
    _compare(file, tokens, out)
    return out


def _compare(file: SourceFile, tokens: list[Token], out: str) -> None:
    """A formatter that changes a program is worse than none."""
    after, _ = tokenize(SourceFile(file.path, out))
    same = [t[:2] for t in tokens] == [t[:2] for t in after]
    if not same or _comments(file.text, tokens) != _comments(out, after):
        raise AssertionError(f"formatting would change {file.path}")


def _comments(text: str, tokens: list[Token]) -> list[str]:
    found = []
    end = 0
    for token in tokens:
        found += [m[0].rstrip() for m in _GAP.finditer(text[end : token[2]]) if m[0] != "\n"]
        if token[0] == "DOTLBRACE":
            found += [m[0].rstrip() for m in _GAP.finditer(text[token[2] : token[3]]) if m[0] != "\n"]
        end = token[3]
    return found


# ---------------------------------------------------------------- lines


@dataclass(slots=True)
class _Line:
    tokens: list[int] = field(default_factory=list)  # indices
    comment: str = ""
    column: int = 0  # where the comment began
    blank: bool = False  # an empty line stood before
    number: int = 0  # in the source, from 1


def _lines(file: SourceFile, tokens: list[Token]) -> list[_Line]:
    text = file.text
    lines: list[_Line] = []
    line = _Line()
    newlines = 0

    def gap(start: int, end: int) -> None:
        nonlocal line, newlines
        for m in _GAP.finditer(text, start, end):
            if m[0] == "\n":
                newlines += 1
                if line.tokens or line.comment:
                    lines.append(line)
                    line, newlines = _Line(), 1
                else:
                    line.blank = newlines > 1
            else:
                line.number, line.column = file.position(m.start())
                line.comment = m[0].rstrip()

    end = 0
    for i, token in enumerate(tokens):
        gap(end, token[2])
        end = token[3]
        if token[0] == END:
            break
        if not line.tokens:
            line.number = file.position(token[2])[0]
        line.tokens.append(i)
        if token[0] == "DOTLBRACE":
            gap(token[2], token[3])  # a comment may stand between its two signs
    if line.tokens or line.comment:
        lines.append(line)
    return lines


# ---------------------------------------------------------------- what the tokens are for


def _walk(node: ast.Node) -> Iterator[ast.Node]:
    stack = [node]
    while stack:
        node = stack.pop()
        yield node
        stack.extend(ast.children(node))


class _Shape:
    """What the tree knows of single tokens. All sets are of indices into `tokens`."""

    def __init__(self, tree: ast.Module, tokens: list[Token]):
        self.tokens = tokens
        self.at = {token[2]: i for i, token in enumerate(tokens)}
        self.opener: dict[int, int] = {}
        self.closer: dict[int, int] = {}
        stack: list[int] = []
        for i, token in enumerate(tokens):
            if token[0] in _OPENERS:
                stack.append(i)
            elif token[0] in _CLOSERS:
                self.opener[i] = stack.pop()
                self.closer[self.opener[i]] = i
        self.unary: set[int] = set()
        self.results: set[int] = set()  # first tokens of the types that functions return
        self.tight: set[int] = set()  # and of function types: `fn()void`, as published programs have it
        self.literals: set[int] = set()  # braces of `T{ ... }`
        self.lengths: set[int] = set()  # braces of tensor accesses
        self.opening: set[int] = set()  # bars of captures
        self.closing: set[int] = set()
        for node in _walk(tree):
            self._look(node)
        self.captures = {i for a, b in zip(sorted(self.opening), sorted(self.closing)) for i in range(a, b)}
        self.heads = {
            i for i in self.closer if i and tokens[i][0] == "LPAR" and tokens[i - 1][0] in _HEADERS
        }  # parentheses of `if`, loops and `switch`
        self.headers = {self.closer[i] for i in self.heads}
        self.headers |= {
            close for i, close in self.closer.items() if i > 1 and tokens[i - 1][0] == "COLON" and i - 2 in self.headers
        }  # `while (...) : (...)`
        # and those of functions, behind which a body follows too
        self.heads |= {i + 2 for i, t in enumerate(tokens) if t[0] in ("FN", "TASK") and tokens[i + 2][0] == "LPAR"}

    def _look(self, node: ast.Node) -> None:
        kind = type(node)
        if kind in (ast.Unary, ast.AddrOf) or (isinstance(node, ast.PtrType) and not node.many):
            i = self.at[node.span.start]
            while self.tokens[i][0] == "LPAR":  # parentheses belong to the span
                i += 1
            self.unary.add(i)
        elif isinstance(node, ast.FnDecl):
            if node.ret is not None:
                self.results.add(self.at[node.ret.span.start])
        elif isinstance(node, ast.FnType):
            self.tight.add(self.at[node.ret.span.start])
        elif isinstance(node, (ast.ArrayLit, ast.StructLit)):
            if node.type is not None:
                self.literals.add(self._after(node.type.span.end))
        elif isinstance(node, ast.TensorAccess):
            brace = self.at[node.lengths[0].span.start] - 1
            self.lengths.add(brace)
            self.closing.add(brace - 1)
            bar = brace - 2
            while self.tokens[bar][0] != "PIPE":
                bar -= 1
            self.opening.add(bar)
        elif isinstance(node, ast.For):
            bar = self._after(node.iter.span.end)
            while self.tokens[bar][0] != "PIPE":
                bar += 1
            self.opening.add(bar)
            bar += 1
            while self.tokens[bar][0] != "PIPE":
                bar += 1
            self.closing.add(bar)

    def _after(self, end: int) -> int:
        """The first token at or behind a place."""
        low, high = 0, len(self.tokens) - 1
        while low < high:
            middle = (low + high) // 2
            if self.tokens[middle][2] < end:
                low = middle + 1
            else:
                high = middle
        return low

    def padded(self, opener: int) -> bool:
        """Whether a blank stands inside a pair of braces."""
        if opener in self.lengths:
            return False
        if self.tokens[opener][0] == "LBRACE" and opener not in self.literals:
            return True
        i, close = opener + 1, self.closer[opener]
        if self.tokens[i][0] == "DOT":
            return True
        while i < close:
            if self.tokens[i][0] == "COMMA":
                return True
            i = self.closer.get(i, i) + 1
        return False

    def blank(self, i: int) -> bool:
        """Whether a blank stands in front of token i, which follows another on its line."""
        kind, before = self.tokens[i][0], self.tokens[i - 1][0]
        if (
            i in self.tight
            or kind in ("COMMA", "SEMI", "RPAR", "RSQB")
            or before in ("LPAR", "LSQB", "DOT")
            or i - 1 in self.unary
        ):
            return False
        if before in ("DOTLBRACE", "LBRACE"):
            return kind != "RBRACE" and self.padded(i - 1)
        if kind == "RBRACE":
            return self.padded(self.opener[i])
        if i in self.opening or i - 1 in self.opening or i in self.closing:
            return i in self.opening
        if i - 1 in self.closing:
            return i not in self.lengths
        if kind in ("DOT", "DEREF"):
            return before not in _OPERAND_END
        if kind == "COLON":
            return before in ("BREAK", "CONTINUE") or i - 1 in self.headers
        if before == "COLON":
            return self.tokens[i - 2][0] not in ("BREAK", "CONTINUE")
        if i in self.results or i - 1 in self.headers:
            return True
        if i in self.literals:
            return False
        if before == "RSQB" and kind in _ELEMENT and (kind != "STAR" or i in self.unary):
            return False
        if kind == "LPAR":
            return before not in _CALLED
        if kind == "LSQB":
            return before not in _OPERAND_END
        return True


# ---------------------------------------------------------------- indentation


@dataclass(slots=True)
class _Frame:
    """An open bracket, or the file."""

    line: int = 0  # indentation of the line it stands on
    inner: int = 0  # of the lines in it
    braces: bool = True  # statements or elements on lines of their own: what continues one stands further in
    before: int = -1  # the last token in it, not deeper
    base: int = 0  # what the lines in it stand further in than
    level: int = 0  # heads of statements whose body began on a line of its own
    ifs: list[int] = field(default_factory=list)  # the level of each `if` of the statement


class _Indenter:
    """The indentation of one line after the other."""

    def __init__(self, shape: _Shape):
        self.shape = shape
        self.tokens = shape.tokens
        self.frames = [_Frame()]

    def of_comment(self, following: int | None) -> int:
        """Of a comment on a line of its own; `following`: the first token below it."""
        frame = self.frames[-1]
        if following is None or self._ends(frame, following) or self.tokens[following][0] in _CLOSERS:
            return frame.inner
        return frame.inner + (INDENT * (frame.level + 1) if frame.braces else 0)

    def of_line(self, indices: list[int]) -> int:
        first = indices[0]
        closers = 0
        while closers < len(indices) and self.tokens[indices[closers]][0] in _CLOSERS:
            closers += 1
        if closers:
            indent = self.frames[-closers].line
        else:
            frame = self.frames[-1]
            indent = frame.inner + INDENT * self._continued(frame, first)
        opened: list[tuple[_Frame, int]] = []
        for i in indices:
            kind = self.tokens[i][0]
            frame = self.frames[-1]
            if kind in _CLOSERS:
                self.frames.pop()
                self.frames[-1].before = i
                continue
            if self._ends(frame, i):
                frame.level = 0
                frame.ifs.clear()
            if kind == "IF":
                frame.ifs.append(self._level_of_if(frame, i, (indent - frame.inner) // INDENT if i == first else None))
            elif kind == "ELSE" and frame.ifs:
                frame.level = frame.ifs.pop()
            frame.before = i
            if kind in _OPENERS:
                base = frame.base if any(frame is f for f, _ in opened) else indent
                if i != indices[-1] and frame.ifs and base == indent:
                    base = max(base, frame.inner + INDENT * frame.ifs[-1])  # further in than the `else` to come
                self.frames.append(_Frame(indent, base=base))
                opened.append((self.frames[-1], i))
        for frame, i in opened:
            last = i == indices[-1]
            block = self.tokens[i][0] == "LBRACE" and i not in self.shape.literals
            frame.inner = frame.base + (HANGING if i in self.shape.heads and not last else INDENT)
            frame.braces = last or block
        return indent

    def _level_of_if(self, frame: _Frame, i: int, continued: int | None) -> int:
        """Where the `else` of an `if` stands; `continued`: of an `if` that begins its line."""
        if self._ends(frame, i) or self.tokens[frame.before][0] == "ELSE":
            return frame.level
        return frame.level + 1 if continued is None else continued

    def _ends(self, frame: _Frame, i: int) -> bool:
        """Whether token i begins a statement or an element, rather than going on with one."""
        if frame.before < 0:
            return True
        before = self.tokens[frame.before][0]
        if before in ("SEMI", "COMMA"):
            return frame.before not in self.shape.captures
        if before != "RBRACE" or self.tokens[i][0] in _AFTER_BRACE:
            return False
        opener = self.shape.opener[frame.before]
        return self.tokens[opener][0] == "LBRACE" and opener not in self.shape.lengths

    def _continued(self, frame: _Frame, i: int) -> int:
        """How many steps a line that begins with token i stands further in than a statement would."""
        kind = self.tokens[i][0]
        if self._ends(frame, i):
            return 0
        if kind == "ELSE" and frame.ifs:
            return frame.ifs[-1]
        if not frame.braces:
            return 0
        if kind == "LBRACE" and i not in self.shape.literals:
            return frame.level
        before = frame.before
        if (
            before in self.shape.headers
            or before in self.shape.closing
            or self.tokens[before][0] in ("ELSE", "FATARROW")
        ):
            frame.level += 1
            return frame.level
        return frame.level + 1


# ---------------------------------------------------------------- text


@dataclass(slots=True)
class _Out:
    code: str
    comment: str = ""
    column: int = 0  # of the comment in the source
    run: bool = True  # may stand below the comment of the line before


def _rendered(lines: list[_Line], shape: _Shape, file: SourceFile) -> list[str]:
    indenter = _Indenter(shape)
    out: list[_Out] = []
    off = False
    for k, line in enumerate(lines):
        first = line.tokens[0] if line.tokens else next((o.tokens[0] for o in lines[k + 1 :] if o.tokens), None)
        if off:
            if line.tokens:
                indenter.of_line(line.tokens)
            on = bool(_ON.match(line.comment)) and not line.tokens
            until = line.number if on or k + 1 == len(lines) else lines[k + 1].number - 1
            out += [_Out(file.line(n).rstrip(), run=False) for n in range(line.number, until + 1)]
            off = not on
            continue
        opened = k > 0 and bool(lines[k - 1].tokens) and shape.tokens[lines[k - 1].tokens[-1]][0] in _OPENERS
        closes = bool(line.tokens) and shape.tokens[line.tokens[0]][0] in _CLOSERS
        blank = line.blank and k > 0 and not (opened and not lines[k - 1].comment) and not closes
        if blank:
            out.append(_Out("", run=False))
        if not line.tokens:
            previous = out[-1] if out else None
            if previous is not None and previous.run and previous.comment and line.column == previous.column:
                out.append(_Out("", line.comment, line.column))  # goes on below the comment at the end of a line
            else:
                out.append(_Out(" " * indenter.of_comment(first) + line.comment, run=False))
            if _OFF.match(line.comment):
                off = True
                after = lines[k + 1].number if k + 1 < len(lines) else line.number + 1
                out += [_Out(file.line(n).rstrip(), run=False) for n in range(line.number + 1, after)]
            continue
        code = " " * indenter.of_line(line.tokens) + _joined(line.tokens, shape)
        out.append(_Out(code, line.comment, line.column))
    return _aligned(out)


def _joined(indices: list[int], shape: _Shape) -> str:
    pieces = []
    for n, i in enumerate(indices):
        if n and shape.blank(i):
            pieces.append(" ")
        pieces.append(shape.tokens[i][1])
    return "".join(pieces)


def _aligned(out: list[_Out]) -> list[str]:
    """The lines, with the comments of neighbouring lines below each other."""
    texts = []
    k = 0
    while k < len(out):
        end = k
        while end < len(out) and out[end].run and out[end].comment:
            end += 1
        if end == k:
            texts.append(out[k].code)
            k += 1
            continue
        run = out[k:end]
        width = max((len(o.code) for o in run if len(o.code) <= LONG), default=0)
        for o in run:
            texts.append(o.code.ljust(width) + " " * COMMENT_GAP + o.comment)
        k = end
    return texts
