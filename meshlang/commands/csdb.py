"""`meshlang csdb FOLDER`: the debugger on a run that is over, started the way the vendor's csdb is.

The commands are those of `meshlang repl`, not csdb's.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path

HELP = "look at a core file with the debugger, started like the vendor's csdb"
EXAMPLES = """\
examples:
  meshlang csdb .                  the compiled program and the core file (corefile.cs1 or out.core) in this folder
  meshlang csdb out --core old.core
  echo 'vars 0,0' | meshlang csdb .
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "folder", nargs="?", default=".", help="a compiled program, or a folder that holds one (default: this folder)"
    )
    parser.add_argument("--core", metavar="FILE", help="the core file that SdkRuntime.dump_core wrote")


def execute(args: argparse.Namespace) -> int:
    from meshlang.diag import usage_error
    from meshlang.inspect.repl import Repl

    folder = Path(args.folder)
    programs = [p for p in (folder, *sorted(folder.glob("*/"))) if (p / "bin" / "program.json").is_file()]
    if len(programs) != 1 and programs[:1] != [folder]:
        found = ", ".join(map(str, programs)) or "none"
        raise usage_error(
            f"csdb: {folder} must hold one compiled program; found: {found}", help="name its folder: meshlang csdb out"
        )
    program = programs[0]
    places = (folder, program, program.parent)
    core = args.core or next((str(p / n) for p in places for n in _names() if (p / n).is_file()), None)
    if core is None:
        raise usage_error(
            "csdb: there is no core file (corefile.cs1 or out.core)",
            help='write one with runner.dump_core("corefile.cs1")',
        )
    interactive = sys.stdin.isatty() and sys.stdout.isatty()
    repl = Repl(profile=_profile(core), color=interactive)
    for line in (f"load {shlex.quote(str(program))}", f"restore {core}"):
        if not repl.execute(line):
            return 1
    if interactive:
        from meshlang.inspect.prompt import interact

        return interact(repl)
    return repl.script(sys.stdin)


def _names() -> tuple[str, ...]:
    from meshlang.host.sdk.core import NAMES

    return NAMES


def _profile(core: str) -> str:
    from meshlang.host.sdk.core import profile_of

    return profile_of(core)
