"""Source files and spans."""

from __future__ import annotations

import errno
import os
import stat
from bisect import bisect_right
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(eq=False)
class SourceFile:
    """The text of one file. `path` is what messages show."""

    path: str
    text: str
    _starts: list[int] = field(default_factory=list, repr=False)

    def position(self, offset: int) -> tuple[int, int]:
        """1-based (line, column) of a character offset."""
        starts = self.line_starts()
        line = bisect_right(starts, offset)
        return line, offset - starts[line - 1] + 1

    def line_starts(self) -> list[int]:
        if not self._starts:
            self._starts = [0] + [i + 1 for i, c in enumerate(self.text) if c == "\n"]
        return self._starts

    def line(self, number: int) -> str:
        """The text of a 1-based line, without its newline."""
        starts = self.line_starts()
        if not 1 <= number <= len(starts):
            return ""
        end = starts[number] - 1 if number < len(starts) else len(self.text)
        return self.text[starts[number - 1] : end].rstrip("\r")


@dataclass(slots=True, frozen=True)
class Span:
    """A half-open range of characters in one file."""

    file: SourceFile
    start: int
    end: int

    def line_col(self) -> tuple[int, int]:
        return self.file.position(self.start)

    def text(self) -> str:
        return self.file.text[self.start : self.end]

    def __str__(self) -> str:
        line, col = self.line_col()
        return f"{self.file.path}:{line}:{col}"


MOST_BYTES = 64 << 20  # of a file that is read whole


def regular_file(path: str | Path) -> bytes:
    """The content of a file. A device or pipe might have no end, or never begin. Raises OSError, also for what is no
    file or too large."""
    kind = os.stat(path)
    if stat.S_ISDIR(kind.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(kind.st_mode):
        raise OSError(errno.EINVAL, "it is no regular file", str(path))
    if kind.st_size > MOST_BYTES:
        raise OSError(errno.EFBIG, f"it has {kind.st_size} bytes; the most is {MOST_BYTES}", str(path))
    return Path(path).read_bytes()
