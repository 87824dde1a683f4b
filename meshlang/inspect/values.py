"""Bytes of PE memory as numpy values, by the type text of a memory object."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np

from meshlang.host.symbols import DTYPES

from . import names

if TYPE_CHECKING:
    from meshlang.fabric.machine import Machine
    from meshlang.ir.program import MemoryObject, TileProgram

_ARRAY = re.compile(r"^\[([\d, ]+)\](?:align\(\d+\) )?(.+)$")


def shape_and_element(type_text: str) -> tuple[tuple[int, ...], str]:
    """ "[2, 3]f32" -> ((2, 3), "f32"); a scalar has the shape ()."""
    match = _ARRAY.match(type_text)
    if match is None:
        return (), type_text
    shape = tuple(int(n) for n in match.group(1).split(","))
    inner, element = shape_and_element(match.group(2))
    return shape + inner, element


def is_pointer(element: str) -> bool:
    return element.startswith(("*", "[*]"))


def dtype_for(element: str, size: int) -> np.dtype:
    """The numpy type of an element of `size` bytes; what has no numpy counterpart is shown as unsigned numbers."""
    if element in DTYPES and np.dtype(DTYPES[element]).itemsize == size:
        return np.dtype(DTYPES[element])
    return np.dtype({1: np.uint8, 2: np.uint16, 4: np.uint32, 8: np.uint64}.get(size, np.uint8))


def object_value(machine: Machine, pe: int, obj: MemoryObject) -> np.ndarray:
    """A copy of a variable's value, in the shape of its type."""
    shape, element = shape_and_element(obj.type)
    count = int(np.prod(shape)) if shape else 1
    size = obj.size // count if count and obj.size % count == 0 else 0
    x, y = pe % machine.width, pe // machine.width
    raw = machine.read_bytes(x, y, 1, 1, obj.address, obj.size).reshape(-1)
    dtype = dtype_for(element, size)
    if dtype.itemsize != size:  # a struct: its bytes
        return raw
    return np.ascontiguousarray(raw).view(dtype).reshape(shape)


def scalar_text(value: Any) -> str:
    """A number the same everywhere: floats as numpy writes the shortest text that reads back."""
    if isinstance(value, (bool, np.bool_)):
        return "true" if value else "false"
    if isinstance(value, (float, np.floating)):
        plain = 1e-4 <= abs(float(value)) < 1e9 or value == 0
        return np.format_float_positional(value, unique=True, trim="0") if plain else f"{value!s}"
    return str(value)


def array_text(value: np.ndarray, most: int = 64) -> str:
    """An array in one line, cut in the middle when long."""
    if value.ndim == 0:
        return scalar_text(value[()])
    flat = value.reshape(-1)
    if len(flat) > most:
        head, tail = flat[: most // 2], flat[-4:]
        return f"[{' '.join(map(scalar_text, head))} ... {' '.join(map(scalar_text, tail))}] ({len(flat)} elements)"
    if value.ndim > 1:
        return "[" + "; ".join(array_text(row, most).strip("[]") for row in value) + "]"
    return f"[{' '.join(map(scalar_text, flat))}]"


def value_text(tile: TileProgram, obj: MemoryObject, value: np.ndarray, most: int = 64) -> str:
    """A variable's value as text; pointers say what they point to."""
    _, element = shape_and_element(obj.type)
    if is_pointer(element) and value.ndim == 0:
        return f"-> {names.address_name(tile, int(value))}"
    if value.dtype == np.uint8 and element not in DTYPES:
        return "bytes " + value.tobytes()[:most].hex(" ", 2) + (" ..." if value.size > most else "")
    return array_text(value, most)
