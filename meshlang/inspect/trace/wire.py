"""Protobuf's wire format for many messages of one shape: columns in, bytes out.

Numbers are padded varints of a fixed length (the format allows it), so that all messages of a shape have the same
length and are built by numpy, column by column.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

VARINT, FIXED64, BYTES = 0, 1, 2


@dataclass(frozen=True)
class Varint:
    """A column as varints of `width` bytes: values below 1 << 7 * width."""

    values: np.ndarray
    width: int


@dataclass(frozen=True)
class Fixed64:
    values: np.ndarray


Part = bytes | Varint | Fixed64


def varint(value: int) -> bytes:
    """The shortest form of one number."""
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def tag(number: int, kind: int) -> bytes:
    return varint(number << 3 | kind)


def field(number: int, value: int | str | bytes) -> bytes:
    """One field: a varint, text or a message."""
    if isinstance(value, int):
        return tag(number, VARINT) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return tag(number, BYTES) + varint(len(data)) + data


def size(parts: Sequence[Part]) -> int:
    return sum(len(p) if isinstance(p, bytes) else p.width if isinstance(p, Varint) else 8 for p in parts)


def message(number: int, parts: Sequence[Part]) -> list[Part]:
    """Parts as a message in field `number` of another one."""
    return [tag(number, BYTES) + varint(size(parts)), *parts]


def rows(n: int, parts: Sequence[Part]) -> np.ndarray:
    """n messages, uint8 [n, bytes]."""
    out = np.empty((n, size(parts)), np.uint8)
    at = 0
    for part in parts:
        if isinstance(part, bytes):
            out[:, at : at + len(part)] = np.frombuffer(part, np.uint8)
            at += len(part)
        elif isinstance(part, Varint):
            values = part.values.astype(np.int64)
            if n and (int(values.min()) < 0 or int(values.max()) >> 7 * part.width):
                raise ValueError(f"a value does not fit into a varint of {part.width} bytes")
            for i in range(part.width):
                out[:, at + i] = (values >> 7 * i & 0x7F) | (0x80 if i < part.width - 1 else 0)
            at += part.width
        else:
            out[:, at : at + 8] = np.ascontiguousarray(part.values, "<u8").view(np.uint8).reshape(n, 8)
            at += 8
    return out
