"""How --help is laid out."""

from __future__ import annotations

import argparse
import shutil
from typing import Any

WIDTH = 112  # columns at most; a narrower terminal has fewer


class Help(argparse.RawDescriptionHelpFormatter):
    """Keeps the examples as they are written."""

    def __init__(self, prog: str):
        columns = shutil.get_terminal_size((WIDTH, 24)).columns
        super().__init__(prog, max_help_position=30, width=min(columns, WIDTH) - 2)


def subcommand(commands: Any, name: str, help: str, description: str, examples: str) -> argparse.ArgumentParser:
    """A command of a command, in which a wrong option shows its own usage. commands: what add_subparsers gave."""
    parser: argparse.ArgumentParser = commands.add_parser(
        name, help=help, description=description, epilog=examples, formatter_class=Help, allow_abbrev=False
    )
    parser.set_defaults(_parser=parser)
    return parser
