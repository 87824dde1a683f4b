"""sdk_utils: conversions between host arrays and 32-bit words."""

from __future__ import annotations

import numpy as np

from meshlang.diag import Diagnostic, MeshlangError


def memcpy_view(arr: np.ndarray, datatype: np.dtype) -> np.ndarray:
    """A view (no copy) of the low 8, 16 or 32 bits of each 32-bit word, as `datatype`."""
    dtype = np.dtype(datatype)
    if arr.dtype.itemsize != 4:
        raise MeshlangError(
            Diagnostic("MS0912", f"memcpy_view: the array must have 32-bit elements, not {arr.dtype.name}")
        )
    if dtype.itemsize not in (1, 2, 4):
        raise MeshlangError(Diagnostic("MS0912", f"memcpy_view: {dtype.name} is wider than a word"))
    if dtype.itemsize == 4:
        return arr.view(dtype)
    # little endian: the low part of a word comes first
    return arr.view(dtype)[..., :: 4 // dtype.itemsize]


def input_array_to_u32(np_arr: np.ndarray, sentinel: int | None, fast_dim_sz: int) -> np.ndarray:
    """16-bit elements to 32-bit words, the element in the low half.

    sentinel None: the upper half is zero; else it is the element's index in the innermost dimension, 0 .. fast_dim_sz -
    1. 32-bit arrays are viewed as uint32. The result is 1-D.
    """
    if np_arr.dtype.itemsize == 4:
        return np.ascontiguousarray(np_arr).reshape(-1).view(np.uint32)
    if np_arr.dtype.itemsize != 2:
        raise MeshlangError(
            Diagnostic(
                "MS0912", f"input_array_to_u32: the array must have 16- or 32-bit elements, not {np_arr.dtype.name}"
            )
        )
    low = np.ascontiguousarray(np_arr).reshape(-1).view(np.uint16).astype(np.uint32)
    if sentinel is None:
        return low
    index = np.arange(low.size, dtype=np.uint32) % np.uint32(max(1, fast_dim_sz))
    return low | ((index & np.uint32(0xFFFF)) << np.uint32(16))


def calculate_cycles(timestamp_buf: np.ndarray) -> np.int64:
    """Cycles between two 48-bit timestamps packed into three 32-bit words: start low, mid, high, end low, mid, high."""
    words = np.ascontiguousarray(timestamp_buf).reshape(-1)
    if words.size < 3 or words.dtype.itemsize != 4:
        raise MeshlangError(
            Diagnostic("MS0911", "calculate_cycles: expected three 32-bit words (six u16 of two timestamps)")
        )
    parts = words[:3].view(np.uint16).astype(np.int64)
    start = parts[0] | parts[1] << 16 | parts[2] << 32
    end = parts[3] | parts[4] << 16 | parts[5] << 32
    return np.int64(end - start)
