"""Where MeshLang keeps what it can make again: compiled engines, parse tables and compiled programs.

MESHLANG_CACHE_DIR names the folder; empty, nothing is kept. Else it is in XDG_CACHE_HOME or ~/.cache, or in the folder for
temporary files where there is no home. An entry is a folder of its own, named by what its content depends on and not by
where MeshLang is installed: all environments of a user share it.

What is read may be unpickled, and may be machine code. So an entry is used only if it is the user's own and nobody else can
write to it, and a file begins with a digest of the rest: one that is damaged is thrown away, and made anew.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
import stat
import tempfile
import time
from pathlib import Path

VARIABLE = "MESHLANG_CACHE_DIR"
_DIGEST = hashlib.sha256().digest_size
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
_ABANDONED = 3600.0  # seconds after which nobody is writing a file any more
_numbers = itertools.count()


def folders() -> list[Path]:
    """Where entries may be, best first; none if nothing is to be kept."""
    chosen = os.environ.get(VARIABLE)
    if chosen is not None:
        return [Path(chosen)] if chosen else []
    places = []
    with contextlib.suppress(RuntimeError):  # no home directory
        base = os.environ.get("XDG_CACHE_HOME")
        places.append((Path(base) if base else Path.home() / ".cache") / "meshlang")
    user = os.getuid() if hasattr(os, "getuid") else "user"
    places.append(Path(tempfile.gettempdir()) / f"meshlang-{user}")
    return places


def entry(name: str) -> Path | None:
    """The folder of an entry, which is there and can be written to; None: nothing can be kept."""
    for folder in folders():
        place = folder / name
        try:
            place.mkdir(mode=0o700, parents=True, exist_ok=True)
            found = place.lstat()
            if stat.S_ISDIR(found.st_mode) and _own(found) and os.access(place, os.W_OK):
                return place
        except OSError:
            continue
    return None


def _own(found: os.stat_result) -> bool:
    """Does it belong to this user, and can nobody else write to it?"""
    if not hasattr(os, "getuid"):
        return True
    return found.st_uid == os.getuid() and not found.st_mode & _OTHERS_WRITE


def load(path: Path) -> bytes | None:
    """What `store` has written, or None. A damaged file is removed."""
    try:
        with open(path, "rb") as file:
            if not _own(os.fstat(file.fileno())):
                return None
            digest, data = file.read(_DIGEST), file.read()
    except OSError:
        return None
    if hashlib.sha256(data).digest() == digest:
        return data
    discard(path)
    return None


def store(path: Path, data: bytes) -> None:
    """Write a file of an entry: beside it, then renamed, so that other processes see all of it or nothing. Failing to is
    no error."""
    beside = path.with_name(f".{path.name}.{os.getpid()}-{next(_numbers)}.tmp")
    try:
        with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(hashlib.sha256(data).digest() + data)
        os.replace(beside, path)
    except OSError:
        discard(beside)
    _tidy(path.parent)


def used(path: Path) -> None:
    """Note that a file has been of use just now: `shrink` takes it later than others."""
    with contextlib.suppress(OSError):
        os.utime(path)


def shrink(folder: Path, most: int) -> None:
    """Remove the files of an entry that have been of no use for longest, until the others take at most so many bytes."""
    total = 0
    for _, size, path in sorted(_files(folder), reverse=True):
        total += size
        if total > most:
            discard(path)


def _tidy(folder: Path) -> None:
    """Remove what writers have left that were killed."""
    for modified, _, path in _files(folder):
        if path.suffix == ".tmp" and time.time() - modified > _ABANDONED:
            discard(path)


def _files(folder: Path) -> list[tuple[float, int, Path]]:
    """Time of the last change, bytes, and path of each."""
    found = []
    with contextlib.suppress(OSError):
        for item in os.scandir(folder):
            with contextlib.suppress(OSError):  # another process has removed it
                kind = item.stat(follow_symlinks=False)
                if stat.S_ISREG(kind.st_mode):
                    found.append((kind.st_mtime, kind.st_size, Path(item.path)))
    return found


def discard(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink()
