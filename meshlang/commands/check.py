"""`meshlang check`: compile, report everything that is wrong, run nothing."""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

from . import _compile, _errors

if TYPE_CHECKING:
    from meshlang.diag import Diagnostic
    from meshlang.ir.program import Program
    from meshlang.sema.model.options import CompileOptions

HELP = "find mistakes in a layout file (or a PE file) without running it"
EXAMPLES = """\
examples:
  meshlang check layout.csl                   all errors and warnings of one compilation
  meshlang check layout.csl -p P=8 -p Mt=4    with values for its parameters
  meshlang check programs/meshgemv            the layout.csl of a program folder
  meshlang check pe.csl                       PE code by itself: its syntax
  meshlang check layout.csl --listing         the instructions each tile program became
  meshlang check layout.csl --listing -O0     the same before they are optimised
  meshlang check layout.csl --json            diagnostics for a script
  meshlang check layout.csl --format github   for GitHub Actions; sarif: for its code scanning and other services
  generator | meshlang check --stdin          what a program prints: one file, or several, each behind `// FILE: name`
  meshlang check --stdin src/layout.csl <text the text in place of what is in that file

What compiles and breaks on the machine, and names that mean nothing in functions that nothing calls (some of `meshlang lint`), are shown
too; `// noqa` behind a line takes a warning back.
exit codes: 0 no errors (there may be warnings), 1 errors, 2 usage
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", nargs="?", help="layout file, or a program folder with a layout.csl")
    _compile.add_arguments(parser)
    parser.add_argument(
        "--stdin", action="store_true", help="read the text from standard input; FILE, if given, is its name"
    )
    parser.add_argument("--listing", action="store_true", help="print the compiled code of every tile program")
    parser.add_argument("--no-lint", action="store_true", help="say nothing of what compiles and breaks on the machine")
    _errors.add_format(parser)


def execute(args: argparse.Namespace) -> int:
    from meshlang.diag import MeshlangError, usage_error
    from meshlang.host.build import layout_of

    options = _compile.options(args)
    if args.stdin:
        options.sources = _stream(args.file or "<stdin>")
        paths = list(options.sources)
    elif args.file is None:
        raise usage_error("check: which file?", help="name a layout file, or --stdin")
    else:
        paths = [os.path.normpath(layout_of(args.file))]
    layouts = _layouts(paths, options.sources)
    if args.listing and not layouts:
        layouts = paths  # refused as what has no layout block
    options.check()
    output = _errors.output_format(args)
    found: list[Diagnostic] = []
    programs: list[Program] = []
    others = 0
    for path in layouts:
        try:
            program, warnings, more = _compiled(path, options, not args.no_lint)
        except MeshlangError as error:
            found += error.diagnostics
        else:
            programs.append(program)
            found += warnings
            others += more
    if any(d.severity == "error" for d in found):
        raise MeshlangError(*found)
    _errors.print_diagnostics(found, output=output)
    if output != "text":
        return 0
    for program in programs:
        _show(program, args.listing, len(found))
    if others:
        command = f"meshlang lint {args.file}" if args.file and not args.stdin else "meshlang lint"
        print(f"and {others} warning{'' if others == 1 else 's'} of lint: {command}", file=sys.stderr)
    for path in [] if layouts else paths:
        print(f"{path}: no syntax errors. It has no layout block; check the layout that uses it for names and types.")
    return 0


def _compiled(path: str, options: CompileOptions, linted: bool) -> tuple[Program, list[Diagnostic], int]:
    """The program; its warnings, with those of lint about what breaks on the machine; how many others lint has."""
    from meshlang.host.build import build, finish
    from meshlang.inspect.lint import CHECKED, fresh, lint, suppressed

    program = build(path, replace(options, optimise=0))
    warnings = [d for d in program.warnings if not suppressed(d)]
    found = fresh(lint(program), warnings) if linted else []  # before it is optimised, when the code says most
    broken = [d for d in found if d.code in CHECKED]
    return finish(program, options), warnings + broken, len(found) - len(broken)


def _stream(path: str) -> dict[str, str]:
    """The files that come from standard input. `path`: the name of a text without marks, and the folder of others."""
    from meshlang.diag import Diagnostic, MeshlangError, usage_error
    from meshlang.syntax.stream import split

    try:
        text = sys.stdin.buffer.read().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise MeshlangError(Diagnostic("MS0906", f"standard input is not UTF-8 text: byte {error.start}")) from None
    if not text.strip():
        raise usage_error("check --stdin: nothing came from standard input")
    return split(text, path)


def _layouts(paths: list[str], sources: dict[str, str]) -> list[str]:
    """Those of the files that have a layout block. Syntax errors of all of them are raised at once."""
    from meshlang.diag import MeshlangError
    from meshlang.host.build import is_data
    from meshlang.syntax import ast
    from meshlang.syntax.parser import parse_file, parse_text

    errors: list[Diagnostic] = []
    layouts = []
    for path in paths:
        if path in sources and is_data(path):
            continue
        try:
            tree = parse_text(sources[path], path) if path in sources else parse_file(path)
        except MeshlangError as error:
            errors += error.diagnostics
            continue
        if any(isinstance(item, ast.LayoutBlock) for item in tree.items):
            layouts.append(path)
    if errors:
        raise MeshlangError(*errors)
    return layouts


def _show(program: Program, listing: bool, warnings: int) -> None:
    from meshlang.host.report import resource_table

    if listing:
        from meshlang.ir.listing import listing as text_of

        text = text_of(program)
        sys.stdout.write(text if text.endswith("\n") else text + "\n")
    else:
        print(resource_table(program))
        print(
            f"{program.source}: no errors" + (f", {warnings} warning{'' if warnings == 1 else 's'}" if warnings else "")
        )
