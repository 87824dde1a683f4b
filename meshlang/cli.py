"""The `meshlang` command: finds the subcommand, turns errors into text and exit codes. Nothing else lives here.

A subcommand is a module of `meshlang.commands` with

    HELP        one line
    EXAMPLES    text printed below its --help
    configure(parser)
    execute(args) -> int        the exit code

Modules are imported on demand, and import what is heavy (numpy, numba, lark, rich) inside functions only.
Exit codes: 0 fine, 1 the program is wrong or failed, 2 usage, 3 deadlock, 70 a defect of MeshLang itself.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any, NoReturn

from .commands._help import Help
from .version import __version__

COMMANDS = (
    "init",
    "examples",
    "run",
    "report",
    "repl",
    "check",
    "lint",
    "fmt",
    "lsp",
    "explain",
    "completion",
    "profile",
    "bench",
    "sweep",
    "simulate",
    "serve",
    "llm",
    "cap",
    "paper",
    "cslc",
    "cs_python",
    "csdb",
    "sdk_debug_shell",
    "sdk",
    "conformance",
)

DESCRIPTION = """\
A CSL-compatible language and fabric interpreter for wafer-scale machines.

A program is a layout file (which code runs on which PE, and how colors are routed), PE code, and optionally a host
script in Python. MeshLang compiles it and runs it on a model of the wafer, cycle by cycle.
"""

EXAMPLES = """\
start here:
  meshlang init first                           a program of your own in a new folder: layout, PE code, host script, test
  meshlang run first                            compile and run a program folder
  meshlang run first -p W=16                    the same on 16 PEs (-p gives a parameter)
  meshlang report first                         where the cycles went, and what is used of the machine
  meshlang examples                             the programs that come with MeshLang, to copy
  meshlang check layout.csl                     find mistakes without running
  meshlang check layout.csl --listing           see the code each PE program became
  meshlang explain MS0301                       what an error code means, with an example

programs written for the vendor's SDK run untouched:
  meshlang sdk -- bash commands_wse2.sh         cslc and cs_python are MeshLang's in that process
  meshlang cslc layout.csl --params=P:8 -o out --memcpy --channels 1
  meshlang cs_python run.py --name out

exit codes: 0 fine, 1 the program is wrong or failed, 2 usage, 3 deadlock, 70 a defect of MeshLang itself
"""

# below the examples of a command that name the example programs, which an installed package does not put anywhere
PROGRAMS = """
programs/... are the examples that come with MeshLang: `meshlang examples copy all --to programs` puts them there.
"""


# what other tools call it, or what the word makes one expect: what to say here
ELSEWHERE = {
    "compile": "meshlang check FILE finds mistakes; run compiles and runs; cslc compiles into a folder",
    "build": "meshlang check FILE finds mistakes; run compiles and runs; cslc compiles into a folder",
    "new": "meshlang init NAME begins a program",
    "create": "meshlang init NAME begins a program",
    "test": "meshlang init NAME writes a program with a test for pytest",
    "exec": "meshlang run PATH",
    "start": "meshlang run PATH",
    "format": "meshlang fmt PATH",
    "debug": "meshlang repl PATH steps through a program; run --html FILE draws its run",
    "gdb": "meshlang repl PATH steps through a program",
    "why": "a run that hangs is explained at once; meshlang repl PATH has `why`",
    "trace": "meshlang run PATH --html FILE, or --trace FILE",
    "visualize": "meshlang run PATH --html FILE",
    "install": "meshlang examples copies the programs that come with it; pip installs",
    "version": "meshlang --version",
}


class Parser(argparse.ArgumentParser):
    """Names what was likely meant by a word that is none of the choices; its commands' parsers do, too."""

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        from .diag import did_you_mean

        if action.choices is not None and value not in action.choices:
            choices = [str(c) for c in action.choices]
            more = did_you_mean(str(value), choices, "{}") or f"choose from {', '.join(choices)}"
            raise argparse.ArgumentError(action, f"invalid choice: {value!r}; {more}")


def build_parser(names: Sequence[str] = COMMANDS) -> argparse.ArgumentParser:
    """The parser of these subcommands. Imports their modules, none of the heavy libraries."""
    parser = Parser(prog="meshlang", description=DESCRIPTION, epilog=EXAMPLES, formatter_class=Help)
    parser.add_argument("--version", action="version", version=f"meshlang {__version__}")
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", dest="command")
    for name in names:
        module = import_module(f"meshlang.commands.{name}")
        sub = subparsers.add_parser(
            name,
            help=module.HELP,
            description=getattr(module, "DESCRIPTION", module.HELP),
            epilog=module.EXAMPLES + (PROGRAMS if "programs/" in module.EXAMPLES else ""),
            formatter_class=Help,
            allow_abbrev=False,
        )
        module.configure(sub)
        sub.set_defaults(_execute=module.execute, _parser=sub)
    return parser


def _no_such_command(name: str) -> str:
    from .diag import did_you_mean

    if name.endswith((".csl", ".py")) or os.path.isdir(name):
        return f"invalid choice: {name!r}; to run it: meshlang run {name}"
    if name in ELSEWHERE:
        return f"there is no command {name!r}: {ELSEWHERE[name]}"
    more = did_you_mean(name, COMMANDS, "{}") or f"the commands are {', '.join(COMMANDS)}"
    return f"invalid choice: {name!r}; {more}"


def _refuse(parser: argparse.ArgumentParser, unknown: list[str]) -> NoReturn:
    """Leave through the usage of the command, which argparse itself would not name; a mistyped option names the one that was meant."""
    from .diag import did_you_mean

    options = re.findall(r"--[\w-]+", parser.format_usage())
    meant = did_you_mean(unknown[0].partition("=")[0], options, "{}")
    parser.error("; ".join(filter(None, [f"unrecognized arguments: {' '.join(unknown)}", meant])))


def _complete() -> None:
    """Answer a shell that asks what may come next (argcomplete), and leave."""
    import argcomplete

    typed = os.environ.get("COMP_LINE", "")[: int(os.environ.get("COMP_POINT") or 0)].split()
    names = typed[1:2] if typed[1:2] and typed[1] in COMMANDS else COMMANDS
    argcomplete.autocomplete(build_parser(names), always_complete_options="long")


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point. Returns the exit code; --help and usage errors leave through SystemExit (0 and 2)."""
    if "_ARGCOMPLETE" in os.environ:
        _complete()
    args_list = list(sys.argv[1:] if argv is None else argv)
    if args_list[:1] in (["--version"], ["-V"]):  # the quickest path: no command module is imported
        print(f"meshlang {__version__}")
        return 0
    if args_list[:1] in (["cs_python"], ["sdk"]) and args_list[1:2] not in ([], ["-h"], ["--help"]):
        # what follows belongs to the script or command, options included: argparse must not look at it
        module = import_module(f"meshlang.commands.{args_list[0]}")
        args = argparse.Namespace(command=args_list[0], arguments=args_list[1:], _execute=module.execute)
    else:
        if args_list[:1] == ["help"]:  # as other tools have it
            args_list = [*args_list[1:2], "--help"]
        first = args_list[0] if args_list else ""
        parser = build_parser((first,) if first in COMMANDS else COMMANDS)  # one command needs the module of one
        if not args_list:
            parser.print_help(sys.stderr)
            return 2
        if first not in COMMANDS and not first.startswith("-"):
            parser.error(_no_such_command(first))
        args, unknown = parser.parse_known_args(args_list)
        if unknown:
            _refuse(getattr(args, "_parser", parser), unknown)
        if args.command is None:
            parser.print_help(sys.stderr)
            return 2
    from .diag import MeshlangError

    try:
        return args._execute(args)
    except MeshlangError as error:
        from .commands._errors import output_format, report_error

        return report_error(error, output_format(args))
    except KeyboardInterrupt:
        print("meshlang: interrupted", file=sys.stderr)
        return 130
    except MemoryError:
        print("meshlang: out of memory; a smaller rectangle, or a machine with more, would do", file=sys.stderr)
        return 1
    except (
        RecursionError,
        AssertionError,
        LookupError,
        AttributeError,
        TypeError,
        ValueError,
        ArithmeticError,
    ) as error:
        # whatever the user wrote, these are mistakes of ours; the traceback is for us
        if os.environ.get("MESHLANG_TRACEBACK"):
            raise
        print(
            f"meshlang: internal error: {type(error).__name__}: {error}\n"
            "This is a defect of MeshLang, not of the program. Please report it with the program and the output of the same command under "
            "MESHLANG_TRACEBACK=1.",
            file=sys.stderr,
        )
        return 70
    except BrokenPipeError:
        # the reader of our output (head, less) has gone: that is no error, but stdout must not be flushed again
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 0
    except OSError as error:
        # a folder that may not be entered, a full disk: the message names it, a traceback helps nobody
        if os.environ.get("MESHLANG_TRACEBACK"):
            raise
        from .commands._errors import output_format, report_error
        from .files import refused

        return report_error(refused(error), output_format(args))
