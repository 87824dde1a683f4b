"""`meshlang check`: compile, report everything that is wrong, run nothing."""

from __future__ import annotations

import argparse
import sys

from . import _compile

HELP = "find mistakes in a layout file (or a PE file) without running it"
EXAMPLES = """\
examples:
  meshlang check layout.csl                   all errors and warnings of one compilation
  meshlang check layout.csl -p P=8 -p Mt=4    with values for its parameters
  meshlang check programs/meshgemv            the layout.csl of a program folder
  meshlang check pe.csl                       PE code by itself: its syntax
  meshlang check layout.csl --listing         the instructions each tile program became
  meshlang check layout.csl --listing -O0     the same before they are optimised
  meshlang check layout.csl --json            diagnostics for an editor
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", help="layout file, or a program folder with a layout.csl")
    _compile.add_arguments(parser)
    parser.add_argument("--listing", action="store_true", help="print the compiled code of every tile program")
    parser.add_argument("--json", action="store_true", help="diagnostics as JSON on stdout")


def execute(args: argparse.Namespace) -> int:
    from meshlang.diag import MeshlangError
    from meshlang.host.build import build, layout_of
    from meshlang.host.report import resource_table

    from ._errors import print_diagnostics

    layout = layout_of(args.file)
    try:
        program = build(layout, _compile.options(args))
    except MeshlangError as error:
        if {d.code for d in error.diagnostics} != {"MS0610"} or args.listing:
            raise
        # a file without layout block: its syntax is right, or that would have been said instead
        if args.json:
            print_diagnostics([], json_output=True)
        else:
            print(
                f"{layout}: no syntax errors. It has no layout block; check the layout that uses it for names and types."
            )
        return 0
    if args.json:
        print_diagnostics(program.warnings, json_output=True)
        return 0
    print_diagnostics(program.warnings)
    if args.listing:
        from meshlang.ir.listing import listing

        text = listing(program)
        sys.stdout.write(text if text.endswith("\n") else text + "\n")
    else:
        print(resource_table(program))
        print(f"{layout}: no errors" + (f", {len(program.warnings)} warnings" if program.warnings else ""))
    return 0
