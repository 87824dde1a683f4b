"""Files that a command writes at its end: what can be wrong with where they go is said before the work, not behind it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

PLOTS = (".svg", ".png", ".pdf")


def output(option: str, file: str, endings: Sequence[str] = ()) -> Path:
    """Where `option` wants a file. MS0905 for another ending than these, a folder that is not there, or a folder in the file's
    place; MS0901 where nothing may be written."""
    from meshlang import files
    from meshlang.diag import usage_error

    path = Path(file)
    if endings and path.suffix.lower() not in endings:
        *others, last = endings
        wanted = f"{', '.join(others)} or {last}" if others else last
        raise usage_error(f"{option} {file}: expected a file that ends in {wanted}")
    folder = path.absolute().parent
    if not folder.is_dir():
        raise usage_error(f"{option} {file}: there is no folder {path.parent}")
    if path.is_dir():
        raise usage_error(f"{option} {file}: this is a folder, expected a file")
    if not os.access(path if path.exists() else folder, os.W_OK):
        raise files.cannot_write(path, PermissionError(13, "Permission denied"))
    return path


def output_folder(option: str, folder: str) -> None:
    """Where `option` wants a folder, which may be there. MS0905 for a file in its place."""
    from meshlang.diag import usage_error

    if Path(folder).exists() and not Path(folder).is_dir():
        raise usage_error(f"{option} {folder}: this is a file, expected a folder")
