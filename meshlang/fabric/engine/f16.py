"""f16 and f32 arithmetic on bit patterns, one rounding each.

f16 add, subtract, multiply, divide and square root are done in float32 and rounded to f16: float32 has 24 >= 2 * 11 + 2
significant bits, so the second rounding is innocuous (Figueroa 1995). Multiply-add is done in float64, where the
product of two f16 is exact and every sum that could fall on an f16 rounding boundary is exact too, then goes to f16
through a float32 rounded to odd. NaN results are made canonical (0x7e00, 0x7fc00000), so that results depend neither on
the processor nor on operand order.
"""

from __future__ import annotations

import numpy as np

from . import jit as _jit
from .jit import bits_of, bits_of64, f32_of, f64_of, inline, jit, llvm_f32_to_half, llvm_fma32, llvm_half_to_f32

NAN16 = 0x7E00
NAN32 = 0x7FC00000


@jit
def soft_half_to_f32(bits):
    """Bit-twiddling widening, for processors without conversion instructions."""
    h = np.int64(bits) & 0xFFFF
    sign = (h & 0x8000) << 16
    exponent = (h >> 10) & 31
    fraction = h & 0x3FF
    if exponent == 31:
        return f32_of(sign | 0x7F800000 | (fraction << 13))
    if exponent == 0:
        # fraction * 2^-24 is exact in float32
        value = np.float32(fraction) * np.float32(5.9604644775390625e-08)
        return f32_of(bits_of(value) | sign)
    return f32_of(sign | ((exponent + 112) << 23) | (fraction << 13))


@jit
def soft_f32_to_half(value):
    """Bit-twiddling narrowing, ties to even."""
    b = bits_of(np.float32(value))
    sign = (b >> 16) & 0x8000
    m = b & 0x7FFFFFFF
    if m > 0x7F800000:
        return np.int64(sign | 0x7E00 | ((m >> 13) & 0x1FF))
    if m >= 0x47800000:  # 65536 and above, and infinity
        return np.int64(sign | 0x7C00)
    if m >= 0x38800000:  # normal f16
        m += 0xFFF + ((m >> 13) & 1)
        return np.int64(sign | ((m - 0x38000000) >> 13))
    if m < 0x33000000:  # below half of the smallest subnormal
        return np.int64(sign)
    shift = 126 - (m >> 23)  # subnormal: significand >> shift
    significand = (m & 0x7FFFFF) | 0x800000
    kept = significand >> shift
    rest = significand & ((1 << shift) - 1)
    half = 1 << (shift - 1)
    if rest > half or (rest == half and kept & 1):
        kept += 1
    return np.int64(sign | kept)


half_to_f32 = llvm_half_to_f32 if _jit.HAS_HALF or not _jit.COMPILED else soft_half_to_f32
f32_to_half = llvm_f32_to_half if _jit.HAS_HALF or not _jit.COMPILED else soft_f32_to_half


@inline
def h_of(value):
    """f16 bits of a float32, NaN canonical."""
    v = np.float32(value)
    r = f32_to_half(v)
    return r if v == v else np.int64(NAN16)


@inline
def s_of(value):
    """f32 bits of a float32, NaN canonical."""
    v = np.float32(value)
    r = bits_of(v)
    return r if v == v else np.int64(NAN32)


@inline
def odd_f32(x):
    """float64 to float32, rounded to odd: a second rounding to fewer bits is then correct."""
    y = np.float32(x)
    back = np.float64(y)
    b = bits_of(y)
    if abs(back) > abs(x):
        b = b - 1
    if back != x:
        b = b | 1
    return f32_of(b) if x == x else y


@inline
def h_of64(x):
    """f16 bits of a float64, rounded once."""
    r = f32_to_half(odd_f32(x))
    return r if x == x else np.int64(NAN16)


@inline
def s_of64(x):
    """f32 bits of a float64, rounded once."""
    return s_of(np.float32(x))


@inline
def fmach(a, b, c):
    """a + b * c on f16 bits, rounded once."""
    return h_of64(np.float64(half_to_f32(a)) + np.float64(half_to_f32(b)) * np.float64(half_to_f32(c)))


@inline
def fmachs(a, b, c):
    """a + b * c with f32 a and f16 b, c: exact product, and exact sum wherever float32 rounding could be in doubt."""
    return s_of64(np.float64(f32_of(a)) + np.float64(half_to_f32(b)) * np.float64(half_to_f32(c)))


@jit
def soft_fma32(b, c, a):
    """b * c + a on float32: exact product in float64, sum rounded to odd (two-sum gives the error), then to float32."""
    p = np.float64(b) * np.float64(c)
    x = np.float64(a)
    s = p + x
    if s - s != 0.0:  # infinity or NaN: nothing to round
        return np.float32(s)
    t = s - p
    error = (p - (s - t)) + (x - t)
    bits = bits_of64(s)
    if error != 0.0 and bits & 1 == 0:
        # s is the even neighbour: step one unit towards the exact value
        if (error > 0.0) == (s > 0.0):
            bits = bits + 1
        else:
            bits = bits - 1
    return np.float32(f64_of(bits))


fma32 = llvm_fma32 if _jit.HAS_FMA and _jit.COMPILED else soft_fma32


@inline
def fmacs(a, b, c):
    """a + b * c on f32 bits, rounded once."""
    return s_of(fma32(f32_of(b), f32_of(c), f32_of(a)))
