"""How --help is laid out."""

from __future__ import annotations

import argparse


class Help(argparse.RawDescriptionHelpFormatter):
    """Keeps the examples as they are written."""

    def __init__(self, prog: str):
        super().__init__(prog, max_help_position=30, width=110)
