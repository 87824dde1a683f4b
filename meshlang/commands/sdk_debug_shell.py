"""`meshlang sdk_debug_shell compile ...`: the vendor's wrapper around its tools, as far as scripts use it."""

from __future__ import annotations

import argparse

from . import csdb, cslc

HELP = "the vendor's wrapper of its tools: compile, debug"
DESCRIPTION = """\
What scripts for the vendor's SDK call: `sdk_debug_shell compile ARGS` is `cslc ARGS`, and `sdk_debug_shell debug ARGS` is
`csdb ARGS`. There is no `visualize`: `meshlang run --html mesh.html` shows a run in a browser.
"""
EXAMPLES = """\
examples:
  meshlang sdk_debug_shell compile layout.csl --fabric-dims=8,3 --fabric-offsets=4,1 --memcpy --channels=1 -o out
  meshlang sdk_debug_shell debug .
"""
TOOLS = {"compile": cslc, "debug": csdb}


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "arguments", nargs=argparse.REMAINDER, metavar="compile|debug ...", help="the tool and its arguments"
    )


def execute(args: argparse.Namespace) -> int:
    from meshlang.diag import usage_error

    if not args.arguments or args.arguments[0] not in TOOLS:
        found = args.arguments[0] if args.arguments else "nothing"
        raise usage_error(
            f"sdk_debug_shell: there are {' and '.join(TOOLS)}, found {found}",
            help="in place of visualize: meshlang run --html mesh.html, or meshlang repl",
        )
    name = args.arguments[0]
    parser = argparse.ArgumentParser(prog=f"sdk_debug_shell {name}")
    TOOLS[name].configure(parser)
    return TOOLS[name].execute(parser.parse_args(args.arguments[1:]))
