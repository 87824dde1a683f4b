"""Text to syntax tree.

    parse(file), parse_text(text), parse_file(path)  -> ast.Module
    parse_expression(text)                           -> ast.Expr

All raise MeshlangError with every syntax error found. The tree is shared between callers that parse the same text under
the same path: treat it as read-only.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..diag import Diagnostic, MeshlangError
from . import ast
from .build import Builder
from .lexer import END, Token, tokenize
from .source import SourceFile, Span, regular_file
from .tables import tables

# Deeper nesting than any person writes; later stages walk the tree recursively.
MAX_STACK = 1500

_memory: dict[tuple[str, str], ast.Module] = {}
_MEMORY_LIMIT = 256


def parse(file: SourceFile) -> ast.Module:
    """Parse one file."""
    known = _memory.get((file.path, file.text))
    if known is not None:
        return known
    module = _run(file, "module")
    if len(_memory) >= _MEMORY_LIMIT:
        _memory.clear()
    _memory[(file.path, file.text)] = module
    return module


def parse_text(text: str, path: str = "<text>") -> ast.Module:
    """Parse text that did not come from a file; `path` is what messages show."""
    return parse(SourceFile(path, text))


def parse_file(path: str | Path, read: Callable[[str], bytes] = regular_file) -> ast.Module:
    """Read and parse a file. What cannot be read raises MeshlangError with an MS09 code. read: gives what is in it."""
    return parse(read_source(path, read))


def parse_expression(text: str, path: str = "<expression>") -> ast.Expr:
    """Parse one expression."""
    return _run(SourceFile(path, text), "expression")


def read_source(path: str | Path, read: Callable[[str], bytes] = regular_file) -> SourceFile:
    """The text of a source file, which must be UTF-8."""
    shown = str(path)
    try:
        data = read(shown)
    except IsADirectoryError:
        raise MeshlangError(
            Diagnostic("MS0907", f"`{shown}` is a folder, not a source file", help="name a .csl file in it")
        ) from None
    except FileNotFoundError:
        raise MeshlangError(Diagnostic("MS0901", f"there is no file `{shown}`")) from None
    except (OSError, ValueError) as e:
        reason = getattr(e, "strerror", None) or str(e)
        raise MeshlangError(Diagnostic("MS0901", f"cannot read `{shown}`: {reason}")) from None
    lines = data.removeprefix(codecs.BOM_UTF8).split(b"\n")
    for number, line in enumerate(lines, 1):
        try:
            line.decode()
        except UnicodeDecodeError as e:
            comment = line.find(b"//", 0, e.start)
            if comment >= 0 and line.count(b'"', 0, comment) % 2 == 0:
                continue  # of an older encoding; nobody reads it
            raise MeshlangError(
                Diagnostic(
                    "MS0906",
                    f"`{shown}` is not UTF-8 text: byte 0x{line[e.start]:02x} in line {number}",
                    help="save the file as UTF-8",
                )
            ) from None
    return SourceFile(shown, b"\n".join(lines).decode("utf-8", "replace"))


def _run(file: SourceFile, start: str) -> Any:
    tokens, found = tokenize(file)
    builder = Builder(file)
    value = _drive(tokens, start, builder, found)
    if found or builder.errors:
        # What the builder says about a line that did not parse is an echo of that.
        lines = {file.position(d.span.start)[0] for d in found}
        found += [d for d in builder.errors if file.position(d.span.start)[0] not in lines]
        unique = {(d.code, d.span.start, d.message): d for d in found}
        raise MeshlangError(*_together(sorted(unique.values(), key=lambda d: (d.span.start, d.code)))[:50])
    return value


def _together(found: list[Diagnostic]) -> list[Diagnostic]:
    """What is left to fill in, and what was pasted, as one message each, which counts them."""
    out: list[Diagnostic] = []
    for d in found:
        first = next((o for o in out if o.code == d.code), None) if d.code in ("MS0133", "MS0134") else None
        if first is None:
            out.append(d)
            continue
        line = str(d.span.line_col()[0])
        if not first.notes:
            first.notes.append("the same in line")
        if first.notes[0].rsplit(" ", 1)[-1] != line:
            comma = "" if first.notes[0] == "the same in line" else ","
            first.notes[0] += f"{comma} {line}"
    return out


def _drive(tokens: list[Token], start: str, builder: Builder, found: list[Diagnostic]) -> Any:
    """The LALR automaton. At an error `Recovery` edits the stacks and says where to go on; it adds to `found`."""
    recovery = None
    t = tables()
    actions, gotos = t.actions, t.gotos
    rules = builder.rules(t)
    end_state = t.end[start]
    states = [t.start[start]]
    values: list[Any] = []
    position = 0
    token = tokens[0]
    kind = token[0]
    while True:
        action = actions[states[-1]].get(kind)
        if action is None:
            if kind == END and states[-1] == end_state:
                return values[-1]
            if recovery is None:
                from .recover import Recovery  # not needed, and so not loaded, for what is right

                recovery = Recovery(builder.file, tokens, found, builder)
            if recovery.handle(states, values, position):
                position = recovery.position
                token = recovery.token
                kind = token[0]
                continue
            return None
        if action >= 0:
            states.append(action)
            values.append(token)
            position += 1
            token = tokens[position]
            kind = token[0]
            if len(states) > MAX_STACK:
                span = Span(builder.file, values[-1][2], values[-1][3])
                found.append(
                    Diagnostic("MS0129", "this is nested too deeply", span, help="split the expression or the blocks")
                )
                return None
        else:
            n, origin, function = rules[~action]
            if function is None:
                states[-1] = gotos[states[-2]][origin]
            elif n:
                children = values[-n:]
                del values[-n:], states[-n:]
                values.append(function(children))
                states.append(gotos[states[-1]][origin])
            else:
                values.append(function([]))
                states.append(gotos[states[-1]][origin])
