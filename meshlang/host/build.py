"""Paths on the command line -> compiled programs."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from meshlang.collection import rarely_collected
from meshlang.diag import Diagnostic, MeshlangError
from meshlang.sema.model.options import CompileOptions

from .kept import Kept
from .progress import busy

if TYPE_CHECKING:
    from meshlang.ir.program import Program
    from meshlang.sema.compiler import Compiler


def unreadable(path: str | Path, error: OSError | UnicodeDecodeError) -> MeshlangError:
    """MS0901 for a file that cannot be read."""
    reason = "it is not UTF-8 text" if isinstance(error, UnicodeDecodeError) else (error.strerror or str(error)).lower()
    return MeshlangError(Diagnostic("MS0901", f"cannot read {path}: {reason}"))


def layout_of(path: str | Path) -> str:
    """A layout file itself, or the `layout.csl` (or the only .csl with a layout block's usual name) of a folder."""
    p = Path(path)
    try:
        return _layout_of(p) or str(path)
    except OSError as error:
        raise unreadable(p, error) from None


def _layout_of(p: Path) -> str | None:
    """The layout file of a folder; None for one that is named itself."""
    if p.is_dir():
        for name in ("layout.csl", "src/layout.csl"):
            if (p / name).is_file():
                return str(p / name)
        found = sorted(f.name for f in p.glob("*.csl"))
        raise MeshlangError(
            Diagnostic(
                "MS0907",
                f"{p}: no layout.csl in this folder",
                help=f"name the layout file itself: {', '.join(found[:6])}" if found else None,
            )
        )
    if not p.exists():
        raise unreadable(p, FileNotFoundError(2, "No such file or directory"))
    if p.suffix != ".csl":
        raise MeshlangError(
            Diagnostic(
                "MS0905",
                f"{p} is no layout file: the name of one ends in .csl",
                help="a host script's name ends in .py",
            ),
            exit_code=2,
        )
    return None


def source_texts(sources: Mapping[str, str] | str | None) -> dict[str, str]:
    """Texts that stand for files, by normalised path. MS0951 for what is no text, MS1503 for a stream that is none."""
    from meshlang.syntax.stream import split

    if sources is None:
        return {}
    if isinstance(sources, str):
        return split(sources, "<text>")
    texts = dict(sources)
    for name, text in texts.items():
        if not isinstance(name, str) or not isinstance(text, str):
            raise MeshlangError(
                Diagnostic("MS0951", f"sources: expected texts by name, found {type(text).__name__} for {name!r}")
            )
    return {os.path.normpath(name): text for name, text in texts.items()}


def is_data(path: str) -> bool:
    """Whether one of some texts is data that the program reads (`@import_comptime_value`), by its name; what has no ending is code."""
    return Path(path).suffix not in ("", ".csl")


def layout_among(texts: dict[str, str]) -> str:
    """The one that has a layout block. Syntax errors of all of them; MS0610 if none has one, or several have."""
    from meshlang.syntax import ast
    from meshlang.syntax.parser import parse_text

    errors: list[Diagnostic] = []
    found = []
    for path, text in texts.items():
        if is_data(path):
            continue
        try:
            items = parse_text(text, path).items
        except MeshlangError as error:
            errors += error.diagnostics
        else:
            found += [path] if any(isinstance(item, ast.LayoutBlock) for item in items) else []
    if errors:
        raise MeshlangError(*errors)
    if len(found) != 1:
        what = (
            f"several of the texts have a layout block: {', '.join(found)}" if found else "no text has a layout block"
        )
        raise MeshlangError(Diagnostic("MS0610", what, help="name the layout: compile(path, sources=...)"))
    return found[0]


def compile_program(path: str, options: CompileOptions) -> Program:
    """Compile a top file: the analysis with its builtins. Raises MeshlangError with every error found."""
    return _compiled(path, options)[0]


def _compiled(path: str, options: CompileOptions) -> tuple[Program, Compiler]:
    """The program, and the compiler, which knows what it has read and printed."""
    from meshlang import builtins
    from meshlang.sema.compiler import Compiler, deep_recursion

    options.check()
    compiler = Compiler(options, builtins)
    with deep_recursion(options), rarely_collected():
        return finish(compiler.compile(path), options), compiler


def finish(program: Program, options: CompileOptions) -> Program:
    """What follows the analysis: the optimiser, and the verifier."""
    from meshlang.ir.verify import verify

    if options.optimise:
        from meshlang.optimise import optimise

        program = optimise(program)
    verify(program)
    return program


def build(path: str | Path, options: CompileOptions | None = None, **fields: Any) -> Program:
    """Compile a layout file, or load it if it has been compiled before (kept.py). Raises MeshlangError with everything
    that is wrong.

    fields: those of CompileOptions, in place of `options`.
    """
    if options is None:
        options = CompileOptions(**fields)
    if os.path.normpath(path) not in options.sources:
        try:
            with open(path, "rb") as file:
                file.read(1)
        except OSError as error:
            raise unreadable(path, error) from None
    options.check()
    kept = Kept.place(str(path), options)
    found = kept.load() if kept is not None else None
    if found is not None:
        program, printed = found
        for line in printed:
            print(line)
        return program
    try:
        began = time.perf_counter()
        with busy(f"compiling {path}"):
            program, compiler = _compiled(str(path), options)
        seconds = time.perf_counter() - began
    except UnicodeDecodeError as error:
        raise unreadable(path, error) from None
    if kept is not None:
        kept.store(program, compiler.files, compiler.printed, seconds)
    return program
