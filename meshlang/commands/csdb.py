"""`meshlang csdb FOLDER`: look at a run that is over, started and asked the way the vendor's csdb is."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path

HELP = "look at a core file with the debugger, started like the vendor's csdb"
DESCRIPTION = """\
Look at a core file that SdkRuntime.dump_core wrote.

The commands of csdb are there (context select, target create, rectangle select, symbol list, memory read; help on each),
and besides them those of `meshlang repl`. The exit code is 1 if a command failed.
"""
EXAMPLES = """\
examples:
  meshlang csdb .                  the compiled program and the core file (corefile.cs1 or out.core) in this folder
  meshlang csdb out --core old.core
  echo 'memory read y' | meshlang csdb .
  printf 'context select out\\ntarget create --core-file corefile.cs1\\nmemory read y\\n' | meshlang csdb .
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "folder", nargs="?", default=".", help="a compiled program, or a folder that holds one (default: this folder)"
    )
    parser.add_argument("--core", metavar="FILE", help="the core file that SdkRuntime.dump_core wrote")


def execute(args: argparse.Namespace) -> int:
    from meshlang.diag import usage_error
    from meshlang.host.sdk.core import NAMES
    from meshlang.inspect.csdb import Csdb, compiled_folders

    folder = Path(args.folder)
    programs = compiled_folders(folder)
    if not programs:
        raise usage_error(
            f"csdb: {folder} holds no compiled program", help="name its folder: meshlang csdb out", code="MS0905"
        )
    interactive = sys.stdin.isatty() and sys.stdout.isatty()
    csdb = Csdb(folder, color=interactive)
    if len(programs) == 1 or programs[0] == folder:
        program = programs[0]
        places = (folder, program, program.parent)
        core = args.core or next((str(p / n) for p in places for n in NAMES if (p / n).is_file()), None)
        csdb.program = program
        if core is not None and not csdb.execute(f"target create --core-file {shlex.quote(str(Path(core).resolve()))}"):
            return 1
        if core is None:
            csdb.say(f"there is no core file ({' or '.join(NAMES)}) here: target create --core-file FILE")
    else:
        csdb.say(f"{folder} holds {len(programs)} compiled programs: context list, context select FOLDER")
        if args.core is not None:
            raise usage_error("csdb: --core needs one program", help=f"name its folder: meshlang csdb {programs[0]}")
    if interactive:
        from meshlang.inspect.prompt import interact

        return interact(csdb)
    return csdb.script(sys.stdin)
