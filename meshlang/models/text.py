"""Text to token numbers and back, with the tokenizer of a model's folder. Needs the extra `llm` (tokenizers)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .families import model_error


class Tokenizer:
    """text: of a tokenizer.json, which stands at `path`. MS1415 if it is damaged, MS1416 without the library."""

    def __init__(self, text: str, path: str | Path):
        try:
            from tokenizers import Tokenizer as Library
        except ImportError:
            raise model_error(
                "MS1416",
                "text needs the library tokenizers, which is not installed",
                "pip install 'meshlang[llm]', or give token numbers: --tokens 5,9,11",
            ) from None
        try:
            self._library: Any = Library.from_str(text)
        except Exception as error:  # the library raises plain Exceptions
            raise model_error("MS1415", f"{path} is no tokenizer: {error}") from None

    @classmethod
    def of(cls, folder: str | Path) -> Tokenizer:
        """tokenizer.json of a folder. MS1415 if there is none or it cannot be read, and as above."""
        path = Path(folder) / "tokenizer.json"
        if not path.is_file():
            raise model_error(
                "MS1415", f"{folder} has no tokenizer.json", "give token numbers instead: --tokens 5,9,11"
            )
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise model_error("MS1415", f"{path} is no tokenizer: {error}") from None
        return cls(text, path)

    def encode(self, text: str, first: bool = True) -> list[int]:
        """Token numbers; first: at the beginning of a sequence, where many models want a token of their own."""
        return list(self._library.encode(text, add_special_tokens=first).ids)

    def decode(self, tokens: Sequence[int]) -> str:
        """The text, without special tokens."""
        return str(self._library.decode(list(tokens), skip_special_tokens=True))


class Stream:
    """The text of tokens as they come. Characters of several tokens come out once they are complete."""

    def __init__(self, tokenizer: Tokenizer):
        self._tokenizer = tokenizer
        self.tokens: list[int] = []
        self.text = ""

    def add(self, token: int) -> str:
        """What is new in the text."""
        self.tokens.append(token)
        text = self._tokenizer.decode(self.tokens)
        if text.endswith("\N{REPLACEMENT CHARACTER}") or not text.startswith(self.text):
            return ""
        new, self.text = text[len(self.text) :], text
        return new

    def rest(self) -> str:
        """What was held back, at the end."""
        text = self._tokenizer.decode(self.tokens)
        new = text[len(self.text) :] if text.startswith(self.text) else ""
        self.text = text
        return new
