"""Where MeshLang's own files are, installed or in a checkout."""

from __future__ import annotations

from pathlib import Path

PACKAGE = Path(__file__).resolve().parent


def _beside(name: str) -> Path:
    """A folder of the repository's top. A checkout's wins, so that edits count at once; a wheel has it as `_name`."""
    checkout = PACKAGE.parent / name
    if checkout.is_dir() and (PACKAGE.parent / "pyproject.toml").is_file():
        return checkout
    return PACKAGE / f"_{name}"


def stdlib_dir() -> Path:
    """The folder of the libraries written in the language (`<math>` is math.csl in it)."""
    return _beside("stdlib")


def programs_dir() -> Path:
    """The folder of the example programs."""
    return _beside("programs")


def sdk_site_dir() -> Path:
    """The folder to put on sys.path (or PYTHONPATH) that makes `cerebras...` importable in one process."""
    return PACKAGE / "host" / "sdk" / "site"
