"""`meshlang explain CODE`: the page of a diagnostic code."""

from __future__ import annotations

import argparse

HELP = "what a diagnostic code means, why it happens and how to mend it"
EXAMPLES = """\
examples:
  meshlang explain MS0301       one code
  meshlang explain 301          the same
  meshlang explain              the list of all codes
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("code", nargs="?", help="for example MS0301; without it, the list of codes")


def execute(args: argparse.Namespace) -> int:
    import difflib

    from meshlang.diag import Diagnostic, MeshlangError, catalog

    titles = catalog.titles()
    if args.code is None:
        for code, title in titles.items():
            print(f"{code}  {title}")
        return 0
    wanted = f"MS{args.code.upper().removeprefix('MS'):0>4}"
    text = catalog.page(wanted)
    if text is None:
        near = difflib.get_close_matches(wanted, titles, n=3)
        raise MeshlangError(
            Diagnostic(
                "MS0920",
                f"no diagnostic has the code {args.code!r}",
                help=(f"did you mean {', '.join(near)}? " if near else "") + "`meshlang explain` lists all codes",
            ),
            exit_code=2,
        )
    print(text.removeprefix("## ").rstrip())
    return 0
