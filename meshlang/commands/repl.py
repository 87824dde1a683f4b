"""`meshlang repl`: look into a fabric while it runs, or after it hung."""

from __future__ import annotations

import argparse
import sys

from . import _compile

HELP = "run a program step by step and look into the fabric"
DESCRIPTION = """\
Load a program, launch its functions, stop anywhere, look at any PE, queue or router, go back, and ask why it hangs.

Without PATH the session starts empty (`load PATH`). Commands come from the terminal, from a file (-c) or from a pipe;
in the last two cases the output is plain text, and the exit code is 1 if a command failed.
"""
EXAMPLES = """\
examples:
  meshlang repl programs/hello                     then: launch main, run, pe all, why, help
  meshlang repl programs/meshgemv -p P=4 --arch wse3
  meshlang repl programs/hello -c session.txt      the commands of a file
  echo 'launch main
  run
  read data' | meshlang repl programs/hello        the same from a pipe
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "path", nargs="?", metavar="PATH", help="program folder, layout file, or folder that cslc wrote"
    )
    _compile.add_arguments(parser)
    parser.add_argument("--profile", help="timing profile: wse2, wse2-silicon, wse3, wse3-silicon, or a .toml file")
    parser.add_argument("-c", "--commands", metavar="FILE", help="take commands from a file (- for standard input)")
    parser.add_argument("--echo", action="store_true", help="repeat each command before its output (with -c or a pipe)")


def execute(args: argparse.Namespace) -> int:
    from meshlang.host.build import unreadable
    from meshlang.host.values import name_values, number_or_text
    from meshlang.inspect.repl import Repl

    params = {k: number_or_text(v) for k, v in name_values(args.param).items()}
    interactive = args.commands is None and sys.stdin.isatty() and sys.stdout.isatty()
    lines: list[str] = []
    if args.commands not in (None, "-"):
        try:
            with open(args.commands, encoding="utf-8") as file:
                lines = file.readlines()
        except (OSError, UnicodeDecodeError) as error:
            raise unreadable(args.commands, error) from None
    repl = Repl(options=_compile.given(args), profile=args.profile, params=params, echo=args.echo, color=interactive)
    if interactive:
        from meshlang.inspect.prompt import interact

        return interact(repl, args.path)
    if args.path is not None and not repl.execute(f"load {_quoted(args.path)}"):
        return 1
    return repl.script(lines if args.commands not in (None, "-") else sys.stdin)


def _quoted(path: str) -> str:
    import shlex

    return shlex.quote(path)
