"""`meshlang lsp`: the language server, for editors."""

from __future__ import annotations

import argparse

HELP = "the language server for editors (Language Server Protocol on standard input and output)"
EXAMPLES = """\
examples:
  pip install 'meshlang[editor]'      the packages it needs
  meshlang lsp                        what an editor starts
  meshlang lsp --tcp 2087             for one that connects to a port of this machine

docs/editor.md has the settings of some editors.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--stdio", action="store_true", help="standard input and output (the default)")
    parser.add_argument("--tcp", type=int, metavar="PORT", help="listen on a port of this machine instead")


def execute(args: argparse.Namespace) -> int:
    from meshlang.diag import Diagnostic, MeshlangError

    try:
        from meshlang.inspect.language.server import make
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("pygls", "lsprotocol"):
            raise
        raise MeshlangError(
            Diagnostic("MS1416", f"the language server needs {error.name}", help="pip install 'meshlang[editor]'")
        ) from None
    server = make()
    if args.tcp is not None:
        server.start_tcp("127.0.0.1", args.tcp)
    else:
        server.start_io()
    return 0
