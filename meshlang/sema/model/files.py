"""The files of one compilation, and what it has learnt of them.

With the same answers to the same questions (is there such a file, what is in it), another compilation with the same
options comes to the same program: that is what a kept program is good for (host/kept.py).
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping

from ...syntax.source import regular_file

CHANGED = "changed"  # no file has this digest


class Files:
    """`texts`: those that stand for files, by normalised path; nothing is asked of the system about them."""

    def __init__(self, texts: Mapping[str, str]):
        self.texts = texts
        self.there: dict[str, bool] = {}  # path -> whether it was a file when it was asked
        # path -> digest of what was read; "": it could not be read; CHANGED: not the same each time
        self.digests: dict[str, str] = {}

    def is_file(self, path: str) -> bool:
        if path in self.texts:
            return True
        return self.there.setdefault(path, os.path.isfile(path))

    def content(self, path: str) -> bytes:
        """What is in a regular file, or in the text that stands for one. Where it cannot be read: OSError, or ValueError for a
        name that none can have."""
        if path in self.texts:
            return self.texts[path].encode()
        found = ""
        try:
            data = regular_file(path)
            found = digest(data)
            return data
        finally:
            if self.digests.setdefault(path, found) != found:
                self.digests[path] = CHANGED


def unchanged(there: Mapping[str, bool], digests: Mapping[str, str]) -> bool:
    """Would a compilation learn the same of its files now?"""
    return all(os.path.isfile(path) == was for path, was in there.items()) and all(
        _digest_of(path) == was for path, was in digests.items()
    )


def _digest_of(path: str) -> str:
    try:
        return digest(regular_file(path))
    except (OSError, ValueError):
        return ""


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
