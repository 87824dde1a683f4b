# ruff: noqa: F403, F405
"""What one element of a vector operation computes, and the same for whole contiguous runs.

`element` is the meaning of all operations, on bit patterns. The kernels repeat the common ones as loops over contiguous
slices, which LLVM vectorises; a test compares both for every operation.
"""

from __future__ import annotations

import numpy as np

from .f16 import NAN16, NAN32, fmach, fmachs, fmacs, h_of, h_of64, half_to_f32, s_of
from .jit import f32_of, inline, jit
from .opcodes import *


@inline
def signed16(a):
    return ((np.int64(a) & 0xFFFF) ^ 0x8000) - 0x8000


@inline
def max16(a, b):
    """A NaN operand loses against a number (IEEE maxNum); the facts do not say. Of two zeros the positive one wins."""
    x = half_to_f32(a)
    y = half_to_f32(b)
    if x != x:
        return np.int64(b) if y == y else np.int64(NAN16)
    if y != y:
        return np.int64(a)
    if x == y:
        return np.int64(a) & np.int64(b)
    return np.int64(a) if x > y else np.int64(b)


@inline
def max32(a, b):
    x = f32_of(a)
    y = f32_of(b)
    if x != x:
        return np.int64(b) if y == y else np.int64(NAN32)
    if y != y:
        return np.int64(a)
    if x == y:
        return np.int64(a) & np.int64(b)
    return np.int64(a) if x > y else np.int64(b)


@jit
def float_to_int16(x):
    """Nearest integer, ties to even, saturated; NaN gives 0. (Not documented; GUESS.)"""
    if x != x:
        return np.int64(0)
    if x > 32767.0:
        return np.int64(0x7FFF)
    if x < -32768.0:
        return np.int64(0x8000)
    return np.int64(np.rint(x)) & 0xFFFF


@jit
def scale(x, n):
    """x * 2 ** n in float64, exact for the exponents of f16 and f32."""
    if n > 400:
        n = np.int64(400)
    if n < -400:
        n = np.int64(-400)
    r = np.float64(x)
    step = np.float64(2.0) if n > 0 else np.float64(0.5)
    for _ in range(abs(n)):
        r = r * step
    return r


@jit
def mantissa(x):
    """The mantissa of frexp: in [0.5, 1), sign kept; zeros, infinities and NaN unchanged."""
    r = np.float64(x)
    if r == 0.0 or r - r != 0.0:
        return r
    while abs(r) >= 1.0:
        r = r * 0.5
    while abs(r) < 0.5:
        r = r * 2.0
    return r


@jit
def leading_zeros(a, width):
    n = np.int64(0)
    for i in range(width):
        if (a >> (width - 1 - i)) & 1:
            break
        n += 1
    return n


@jit
def trailing_zeros(a, width):
    n = np.int64(0)
    for i in range(width):
        if (a >> i) & 1:
            break
        n += 1
    return n


@jit
def population(a):
    n = np.int64(0)
    for i in range(64):
        n += (a >> i) & 1
    return n


@jit
def element(op, a, b, c):
    """Result bits of one element: op(a, b, c) on bit patterns."""
    if op == MOV16 or op == MOV32 or op == FMOVH or op == FMOVS:
        return a
    if op == ADD16:
        return (a + b) & 0xFFFF
    if op == SUB16:
        return (a - b) & 0xFFFF
    if op == AND16:
        return a & b
    if op == OR16:
        return a | b
    if op == XOR16:
        return a ^ b
    if op == CLZ:
        return leading_zeros(a, 16)
    if op == CTZ:
        return trailing_zeros(a, 16)
    if op == POPCNT:
        return population(a)
    if op == SLL16:
        return (a << min(b, 16)) & 0xFFFF
    if op == SLR16:
        return a >> min(b, 16)
    if op == SAR16:
        return (signed16(a) >> min(b, 16)) & 0xFFFF
    if op == FADDH:
        return h_of(half_to_f32(a) + half_to_f32(b))
    if op == FSUBH:
        return h_of(half_to_f32(a) - half_to_f32(b))
    if op == FMULH:
        return h_of(half_to_f32(a) * half_to_f32(b))
    if op == FMAXH:
        return max16(a, b)
    if op == FMACH:
        return fmach(a, b, c)
    if op == FADDS:
        return s_of(f32_of(a) + f32_of(b))
    if op == FSUBS:
        return s_of(f32_of(a) - f32_of(b))
    if op == FMULS:
        return s_of(f32_of(a) * f32_of(b))
    if op == FMAXS:
        return max32(a, b)
    if op == FMACS:
        return fmacs(a, b, c)
    if op == FADDHS:
        return s_of(f32_of(a) + half_to_f32(b))
    if op == FMACHS:
        return fmachs(a, b, c)
    if op == FNEGH:
        return a ^ 0x8000
    if op == FNEGS:
        return a ^ 0x80000000
    if op == FABSH:
        return a & 0x7FFF
    if op == FABSS:
        return a & 0x7FFFFFFF
    if op == FH2S:
        return s_of(half_to_f32(a))
    if op == FS2H:
        return h_of(f32_of(a))
    if op == FH2XP16:
        return float_to_int16(np.float64(half_to_f32(a)))
    if op == FS2XP16:
        return float_to_int16(np.float64(f32_of(a)))
    if op == XP162FH:
        return h_of(np.float32(signed16(a)))
    if op == XP162FS:
        return s_of(np.float32(signed16(a)))
    if op == FSCALEH:
        return h_of64(scale(np.float64(half_to_f32(a)), signed16(b)))
    if op == FSCALES:
        return s_of(np.float32(scale(np.float64(f32_of(a)), signed16(b))))
    if op == FNORMH:
        return h_of64(mantissa(np.float64(half_to_f32(a))))
    if op == FNORMS:
        return s_of(np.float32(mantissa(np.float64(f32_of(a)))))
    return np.int64(0)  # ADDC16 and DFILT need more than their elements: threads.py, bulk.py


@jit
def half_kernel(op, n, d, a, b, c):
    """f16 operations on contiguous uint16 slices."""
    if op == FADDH:
        for i in range(n):
            d[i] = np.uint16(h_of(half_to_f32(a[i]) + half_to_f32(b[i])))
    elif op == FSUBH:
        for i in range(n):
            d[i] = np.uint16(h_of(half_to_f32(a[i]) - half_to_f32(b[i])))
    elif op == FMULH:
        for i in range(n):
            d[i] = np.uint16(h_of(half_to_f32(a[i]) * half_to_f32(b[i])))
    elif op == FMAXH:
        for i in range(n):
            d[i] = np.uint16(max16(a[i], b[i]))
    else:
        for i in range(n):
            d[i] = np.uint16(fmach(a[i], b[i], c))


@jit
def single_kernel(op, n, d, a, b, c):
    """f32 operations on contiguous uint32 slices."""
    if op == FADDS:
        for i in range(n):
            d[i] = np.uint32(s_of(f32_of(a[i]) + f32_of(b[i])))
    elif op == FSUBS:
        for i in range(n):
            d[i] = np.uint32(s_of(f32_of(a[i]) - f32_of(b[i])))
    elif op == FMULS:
        for i in range(n):
            d[i] = np.uint32(s_of(f32_of(a[i]) * f32_of(b[i])))
    elif op == FMAXS:
        for i in range(n):
            d[i] = np.uint32(max32(a[i], b[i]))
    else:
        for i in range(n):
            d[i] = np.uint32(fmacs(a[i], b[i], c))


@jit
def word_kernel(op, n, d, a, b):
    """16-bit integer operations on contiguous uint16 slices."""
    if op == ADD16:
        for i in range(n):
            d[i] = np.uint16((np.int64(a[i]) + np.int64(b[i])) & 0xFFFF)
    elif op == SUB16:
        for i in range(n):
            d[i] = np.uint16((np.int64(a[i]) - np.int64(b[i])) & 0xFFFF)
    elif op == AND16:
        for i in range(n):
            d[i] = a[i] & b[i]
    elif op == OR16:
        for i in range(n):
            d[i] = a[i] | b[i]
    else:
        for i in range(n):
            d[i] = a[i] ^ b[i]


@jit
def copy_kernel(n, d, a):
    for i in range(n):
        d[i] = a[i]
