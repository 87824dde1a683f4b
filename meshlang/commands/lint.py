"""`meshlang lint`: compile, and warn about what hardware would let pass silently."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

from . import _compile, _errors

if TYPE_CHECKING:
    from meshlang.diag import Diagnostic
    from meshlang.ir.program import Program

HELP = "warn about what compiles and still cannot work: colors, tasks, queues, vectors"
EXAMPLES = """\
examples:
  meshlang lint programs/meshgemm             a program folder, or a layout file
  meshlang lint layout.csl -p P=8 --arch wse3
  meshlang lint layout.csl --json             diagnostics for a script
  meshlang lint layout.csl --format github    for GitHub Actions; sarif: for its code scanning and other services
  meshlang lint layout.csl --fix              change what a mechanical change mends, and show the rest
  meshlang explain MS1012                     what a warning means

exit code 1 if there is a warning (with --fix: if one is left)

--fix gives queues and tasks that memcpy keeps for itself another number, writes today's name for @bind_task, and assigns values that are not
used to _. Each change is tried: where the program does not compile after it, or has another finding, it is taken back.

A line that ends in `// noqa: MS1012` (or `// noqa`, for all codes), or that has such a comment above it, is not warned about.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", help="layout file, or a program folder with a layout.csl")
    parser.add_argument("--fix", action="store_true", help="mend in the files what a mechanical change mends")
    _compile.add_arguments(parser)
    _errors.add_format(parser)


def execute(args: argparse.Namespace) -> int:
    from meshlang.host.build import build, layout_of
    from meshlang.inspect.lint import fix_all, fresh, lint, suppressed

    layout = layout_of(args.file)

    def look() -> tuple[Program, list[Diagnostic], list[Diagnostic]]:
        # what the code says for certain is clearest before it is optimised
        program = build(layout, replace(_compile.options(args), optimise=0))
        return program, [d for d in program.warnings if not suppressed(d)], lint(program)

    if args.fix:
        made = fix_all(look)
        for d, fix in made:
            print(f"{d.span.file.path}:{d.span.line_col()[0]}: {d.code}: {fix.title}", file=sys.stderr)
        print(f"{layout}: {len(made)} finding{'' if len(made) == 1 else 's'} mended", file=sys.stderr)
    _, warnings, found = look()
    found = [*warnings, *fresh(found, warnings)]
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
