"""`meshlang cs_python SCRIPT ARGS`: run a host script with the vendor's host modules importable."""

from __future__ import annotations

import argparse
import sys

HELP = "run a host script written for the vendor's SDK"
EXAMPLES = """\
examples:
  meshlang cs_python run.py --name out
  meshlang cs_python -m package.module
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "arguments", nargs=argparse.REMAINDER, metavar="SCRIPT ...", help="the script and its arguments"
    )


def execute(args: argparse.Namespace) -> int:
    from meshlang.diag import usage_error
    from meshlang.host.context import RunContext, set_context
    from meshlang.host.script import run_arguments

    from ._errors import print_run_time_warnings

    if not args.arguments and sys.stdin.isatty():
        raise usage_error("cs_python: which script?", help="for example: meshlang cs_python run.py --name out")
    context = set_context(RunContext(sessions=[]))
    try:
        return run_arguments(args.arguments, vendor=True)
    finally:
        print_run_time_warnings(context)
        set_context(RunContext())
