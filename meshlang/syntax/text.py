"""Strings of the language are bytes. They are kept as Python text: what is UTF-8 as its characters, every other byte as
the lone surrogate that Python's `surrogateescape` makes of it. Equal bytes are equal text."""

from __future__ import annotations


def to_bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def from_bytes(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def shown(text: str) -> str:
    """For output: bytes that are no UTF-8 become the replacement character."""
    return text if text.isascii() else to_bytes(text).decode("utf-8", "replace")
