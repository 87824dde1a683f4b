"""Files in GGUF, the form in which llama.cpp keeps models: named values, then tensors.

A file is "GGUF", a version, how many tensors and values there are; the values (name, type, value); of each tensor name,
dimensions (the fastest first), type and place; and the tensors' bytes, each at a multiple of `general.alignment`. All
numbers are little-endian. Of the types of tensors those are read that need nothing but their own bytes:

    F32, F16, BF16   numbers
    Q8_0             32 elements: a scale d (f16) and 32 bytes q with signs; d q
    Q4_0             32 elements: d and 16 bytes of two 4-bit numbers; d (q - 8)
    Q4_1             32 elements: d, m (f16) and 16 bytes; d q + m

Byte j has element j in its lower four bits and element j + 16 in its upper ones. Everything becomes float32: d q is exact
there, and d q + m rounded once.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .families import model_error

MAGIC = b"GGUF"
BLOCK = 32  # elements of a block of a quantised type


@dataclass(frozen=True)
class _Kind:
    """A type of tensors: `elements` of them take `size` bytes."""

    name: str
    elements: int
    size: int


KINDS = {
    0: _Kind("F32", 1, 4),
    1: _Kind("F16", 1, 2),
    2: _Kind("Q4_0", BLOCK, 18),
    3: _Kind("Q4_1", BLOCK, 20),
    8: _Kind("Q8_0", BLOCK, 34),
    30: _Kind("BF16", 1, 2),
}
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "B", 10: "Q", 11: "q", 12: "d"}
_BOOL, _STRING, _ARRAY = 7, 8, 9


@dataclass(frozen=True)
class Tensor:
    """shape: as numpy has it, the fastest dimension last. start: in the file, in bytes."""

    kind: _Kind
    shape: tuple[int, ...]
    start: int

    @property
    def size(self) -> int:
        return math.prod(self.shape) // self.kind.elements * self.kind.size


class Gguf(Mapping[str, np.ndarray]):
    """The tensors of a file by name, each read when it is asked for, as float32; and `facts`, what else it says.

    MS0901 if it cannot be read, MS1410 for another kind of file, MS1411 for a damaged one, MS1412 for tensors of another
    type.
    """

    def __init__(self, file: str | Path):
        self.file = Path(file)
        try:
            size = self.file.stat().st_size
            # mapped, so that only what is asked for is read
            self._bytes = np.memmap(self.file, np.uint8, "r") if size else np.zeros(0, np.uint8)
        except OSError as error:
            raise model_error("MS0901", f"cannot read {file}: {(error.strerror or str(error)).lower()}") from None
        if self._bytes[:4].tobytes() != MAGIC:
            raise model_error("MS1410", f"{file} is no GGUF file", "its first four bytes would be GGUF")
        self._at = 4
        version = self._number("I")
        if version not in (2, 3):
            raise model_error("MS1411", f"{file} is GGUF of version {version}", "versions 2 and 3 are read")
        tensors, values = self._number("Q"), self._number("Q")
        self.facts: dict[str, Any] = {}
        for _ in range(values):
            name = self._string()
            if name in self.facts:
                raise self._damaged(f"it has the value {name!r} twice")
            self.facts[name] = self._value(self._number("I"))
        self._tensors = self._read_tensors(tensors)

    def _read_tensors(self, count: int) -> dict[str, Tensor]:
        found = []
        for _ in range(count):
            name = self._string()
            dimensions = [self._number("Q") for _ in range(self._number("I"))]
            found.append((name, tuple(reversed(dimensions)), self._number("I"), self._number("Q")))
        alignment = self.facts.get("general.alignment", 32)
        if not isinstance(alignment, int) or not 1 <= alignment <= 1 << 20:
            raise self._damaged(f"general.alignment is {alignment!r}")
        data = -(-self._at // alignment) * alignment
        tensors: dict[str, Tensor] = {}
        for name, shape, number, offset in found:
            kind = KINDS.get(number)
            if kind is None:
                raise model_error(
                    "MS1412",
                    f"{name!r} in {self.file.name} has elements of GGUF's type {number}",
                    f"supported: {', '.join(k.name for k in KINDS.values())}",
                )
            if not shape or shape[-1] % kind.elements:
                raise self._damaged(f"{name!r} of shape {list(shape)} is not made of blocks of {kind.elements}")
            tensor = Tensor(kind, shape, data + offset)
            if name in tensors or offset % alignment:
                raise self._damaged(f"{name!r} is there twice, or does not begin at a multiple of {alignment} bytes")
            if tensor.start + tensor.size > len(self._bytes):
                raise self._damaged(f"{name!r} ends behind the end of the file")
            tensors[name] = tensor
        places = sorted((t.start, t.start + t.size, name) for name, t in tensors.items())
        for (_, end, one), (start, _, other) in zip(places, places[1:]):
            if start < end:
                raise self._damaged(f"{one!r} and {other!r} lie over each other")
        return tensors

    def shape(self, name: str) -> tuple[int, ...]:
        return self._tensors[name].shape

    def kinds(self) -> dict[str, int]:
        """Types of the tensors, and how many tensors have each."""
        out: dict[str, int] = {}
        for tensor in self._tensors.values():
            out[tensor.kind.name] = out.get(tensor.kind.name, 0) + 1
        return out

    def __getitem__(self, name: str) -> np.ndarray:
        tensor = self._tensors[name]
        raw = np.asarray(self._bytes[tensor.start : tensor.start + tensor.size])
        return dequantised(raw, tensor.kind.name).reshape(tensor.shape)

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)

    # ------------------------------------------------------------ reading on

    def _damaged(self, what: str) -> Exception:
        return model_error("MS1411", f"{self.file} is no complete GGUF file: {what}", "fetch it again")

    def _take(self, count: int) -> bytes:
        if count > len(self._bytes) - self._at:
            raise self._damaged(f"it ends after {len(self._bytes):,} bytes, in the middle of what it says about itself")
        self._at += count
        return self._bytes[self._at - count : self._at].tobytes()

    def _number(self, kind: str) -> Any:
        return struct.unpack("<" + kind, self._take(struct.calcsize("<" + kind)))[0]

    def _string(self) -> str:
        try:
            return self._take(self._number("Q")).decode()
        except UnicodeDecodeError:
            raise self._damaged("a text in it is not UTF-8") from None

    def _value(self, kind: int) -> Any:
        if kind == _STRING:
            return self._string()
        if kind == _ARRAY:
            of, count = self._number("I"), self._number("Q")
            if of == _STRING:
                return [self._string() for _ in range(count)]
            if of not in _SCALARS:
                raise self._damaged(f"it has a list of values of type {of}")
            letter = "<" + _SCALARS[of]
            items = [n for (n,) in struct.iter_unpack(letter, self._take(count * struct.calcsize(letter)))]
            return [bool(n) for n in items] if of == _BOOL else items
        if kind not in _SCALARS:
            raise self._damaged(f"it has a value of type {kind}")
        number = self._number(_SCALARS[kind])
        return bool(number) if kind == _BOOL else number


def dequantised(raw: np.ndarray, kind: str) -> np.ndarray:
    """The bytes of a tensor as float32 numbers, see above."""
    if kind == "F32":
        return raw.view("<f4").astype(np.float32)
    if kind == "F16":
        return raw.view("<f2").astype(np.float32)
    if kind == "BF16":
        return (raw.view("<u2").astype(np.uint32) << 16).view(np.float32)
    if kind == "Q8_0":
        blocks = raw.reshape(-1, 34)
        return (_halves(blocks[:, :2]) * blocks[:, 2:].view(np.int8)).reshape(-1)
    blocks = raw.reshape(-1, {"Q4_0": 18, "Q4_1": 20}[kind])
    packed = blocks[:, -16:]
    quants = np.concatenate([packed & 15, packed >> 4], 1).astype(np.float32)
    scale = _halves(blocks[:, :2])
    if kind == "Q4_0":
        return (scale * (quants - np.float32(8))).reshape(-1)
    return (scale * quants + _halves(blocks[:, 2:4])).reshape(-1)


def _halves(raw: np.ndarray) -> np.ndarray:
    """f16 numbers, one a block, as float32 [blocks, 1]."""
    return np.ascontiguousarray(raw).view("<f2").astype(np.float32)
