"""Arguments of the host's calls, checked at the door: what is no number, or none that can be meant, is MS0929."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from meshlang.diag import Diagnostic, MeshlangError

MOST = 2**31 - 1  # of coordinates, counts and extents: what index arithmetic on 64 bits multiplies without overflow
MOST_CYCLES = 2**62  # of cycles: the machine's clock has 63 bits


def wrong(name: str, value: Any, expected: str, help: str | None = None) -> MeshlangError:
    """MS0929 for an argument, naming what is expected."""
    shown = repr(value)
    if len(shown) > 60:
        shown = f"{shown[:57]}..."
    return MeshlangError(
        Diagnostic("MS0929", f"{name} is {expected}, not {shown} ({type(value).__name__})", help=help), exit_code=1
    )


def whole(value: Any, name: str, low: int = 0, high: int = MOST) -> int:
    """An integer of Python or numpy between two bounds. Nothing is rounded: a float is refused, even 2.0."""
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value[()]
    if not isinstance(value, (int, np.integer)) or isinstance(value, (bool, np.timedelta64)):
        help = "divide with //" if isinstance(value, (float, np.floating)) else None
        raise wrong(name, value, "an integer", help)
    number = int(value)
    if number < low:
        raise wrong(name, value, f"at least {low}")
    if number > high:
        raise wrong(name, value, f"at most {high:,}")
    return number


def region(x: Any, y: Any, w: Any, h: Any) -> tuple[int, int, int, int]:
    """The PEs of a copy, as integers. Whether they are in the program's rectangle is for the copy to say (MS0913)."""
    return (
        whole(x, "x", -MOST),
        whole(y, "y", -MOST),
        whole(w, "the width w", 1),
        whole(h, "the height h", 1),
    )


def pair_of(value: Any, name: str) -> tuple[Any, Any]:
    """Two things."""
    try:
        first, second = value
    except (TypeError, ValueError):
        raise wrong(name, value, "a pair") from None
    return first, second


def pair(value: Any, name: str) -> tuple[int, int]:
    """Two integers."""
    first, second = pair_of(value, name)
    return whole(first, name, -MOST), whole(second, name, -MOST)


def cycles(value: Any, name: str) -> int | None:
    """A number of cycles; None is no limit."""
    return None if value is None else whole(value, name, 0, MOST_CYCLES)


def flag(value: Any, name: str) -> bool:
    """True or False, or the numbers 1 and 0."""
    if not isinstance(value, (bool, np.bool_, int)) or value not in (0, 1):
        raise wrong(name, value, "True or False")
    return bool(value)


def text(value: Any, name: str) -> str:
    """A text."""
    if not isinstance(value, str):
        raise wrong(name, value, "a text")
    return str(value)


def path(value: Any, name: str) -> str:
    """The path of a file or folder."""
    if not isinstance(value, (str, os.PathLike)):
        raise wrong(name, value, "a path")
    written = os.fspath(value)
    if not isinstance(written, str) or "\0" in written or not written:
        raise wrong(name, value, "a path")
    return written


def array(value: Any, what: str) -> np.ndarray:
    """A host array of numbers. MS0911 for nested lists of different lengths, MS0912 for what holds no numbers."""
    try:
        data = np.asarray(value)
    except ValueError:
        raise MeshlangError(
            Diagnostic("MS0911", f"{what}: the rows of the array have different lengths, so it has no shape")
        ) from None
    if data.dtype.kind not in "biufc":
        raise MeshlangError(Diagnostic("MS0912", f"{what}: expected an array of numbers, got {data.dtype.name}"))
    return data


def element(dtype: Any, what: str) -> np.dtype:
    """A numpy type of numbers. MS0912 for anything else."""
    try:
        kind = np.dtype(dtype)
    except (TypeError, ValueError):
        kind = np.dtype(object)
    if kind.kind not in "biufc" or kind.itemsize == 0:
        raise MeshlangError(Diagnostic("MS0912", f"{what}: {dtype!r} is no numpy type of numbers"))
    return kind
