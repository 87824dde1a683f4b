"""How --help is laid out."""

from __future__ import annotations

import argparse
from typing import Any


class Help(argparse.RawDescriptionHelpFormatter):
    """Keeps the examples as they are written."""

    def __init__(self, prog: str):
        super().__init__(prog, max_help_position=30, width=110)


def subcommand(commands: Any, name: str, help: str, description: str, examples: str) -> argparse.ArgumentParser:
    """A command of a command, in which a wrong option shows its own usage. commands: what add_subparsers gave."""
    parser: argparse.ArgumentParser = commands.add_parser(
        name, help=help, description=description, epilog=examples, formatter_class=Help, allow_abbrev=False
    )
    parser.set_defaults(_parser=parser)
    return parser
