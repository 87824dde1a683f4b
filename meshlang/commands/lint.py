"""`meshlang lint`: compile, and warn about what hardware would let pass silently."""

from __future__ import annotations

import argparse
from dataclasses import replace

from . import _compile

HELP = "warn about what compiles and still cannot work: colors, tasks, queues, vectors"
EXAMPLES = """\
examples:
  meshlang lint programs/meshgemm             a program folder, or a layout file
  meshlang lint layout.csl -p P=8 --arch wse3
  meshlang lint layout.csl --json             diagnostics for an editor
  meshlang explain MS1012                     what a warning means

exit code 1 if there is a warning
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", help="layout file, or a program folder with a layout.csl")
    _compile.add_arguments(parser)
    parser.add_argument("--json", action="store_true", help="diagnostics as JSON on stdout")


def execute(args: argparse.Namespace) -> int:
    from meshlang.host.build import build, layout_of
    from meshlang.inspect.lint import lint

    from ._errors import print_diagnostics

    layout = layout_of(args.file)
    # what the code says for certain is clearest before it is optimised
    program = build(layout, replace(_compile.options(args), optimise=0))
    found = [*program.warnings, *lint(program)]
    code = 1 if found else 0
    print_diagnostics(found, json_output=args.json, exit_code=code)
    if not args.json:
        print(
            f"{layout}: {len(found)} warning{'' if len(found) == 1 else 's'}"
            if found
            else f"{layout}: nothing to warn about"
        )
    return code
