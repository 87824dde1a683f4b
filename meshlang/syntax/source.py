"""Source files and spans."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field


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
