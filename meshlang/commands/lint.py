"""`meshlang lint`: compile, and warn about what hardware would let pass silently."""

from __future__ import annotations

import argparse
from dataclasses import replace

from . import _compile, _errors

HELP = "warn about what compiles and still cannot work: colors, tasks, queues, vectors"
EXAMPLES = """\
examples:
  meshlang lint programs/meshgemm             a program folder, or a layout file
  meshlang lint layout.csl -p P=8 --arch wse3
  meshlang lint layout.csl --json             diagnostics for a script
  meshlang lint layout.csl --format github    for GitHub Actions; sarif: for its code scanning and other services
  meshlang explain MS1012                     what a warning means

exit code 1 if there is a warning

A line that ends in `// noqa: MS1012` (or `// noqa`, for all codes), or that has such a comment above it, is not warned about.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", help="layout file, or a program folder with a layout.csl")
    _compile.add_arguments(parser)
    _errors.add_format(parser)


def execute(args: argparse.Namespace) -> int:
    from meshlang.host.build import build, layout_of
    from meshlang.inspect.lint import fresh, lint, suppressed

    layout = layout_of(args.file)
    # what the code says for certain is clearest before it is optimised
    program = build(layout, replace(_compile.options(args), optimise=0))
    warnings = [d for d in program.warnings if not suppressed(d)]
    found = [*warnings, *fresh(lint(program), warnings)]
    code = 1 if found else 0
    output = _errors.output_format(args)
    _errors.print_diagnostics(found, output=output, exit_code=code)
    if output == "text":
        print(
            f"{layout}: {len(found)} warning{'' if len(found) == 1 else 's'}"
            if found
            else f"{layout}: nothing to warn about"
        )
    return code
