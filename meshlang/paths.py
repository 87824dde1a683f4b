"""Where MeshLang's own files are, installed or in a checkout."""

from __future__ import annotations

from pathlib import Path

PACKAGE = Path(__file__).resolve().parent


def stdlib_dir() -> Path:
    """The folder of the libraries written in the language (`<math>` is math.csl in it).

    A checkout has it at the top of the repository and wins, so that edits count at once; a wheel has it as `_stdlib`.
    """
    checkout = PACKAGE.parent / "stdlib"
    if checkout.is_dir() and (PACKAGE.parent / "pyproject.toml").is_file():
        return checkout
    return PACKAGE / "_stdlib"


def sdk_site_dir() -> Path:
    """The folder to put on sys.path (or PYTHONPATH) that makes `cerebras...` importable in one process."""
    return PACKAGE / "host" / "sdk" / "site"
