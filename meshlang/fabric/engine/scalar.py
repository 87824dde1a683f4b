# ruff: noqa: F403, F405
"""Scalar arithmetic of the instruction set: normal forms, floats, mathematical functions, conversions.

Every float result is computed in a format wide enough that one rounding follows (see f16.py for f16), and is then
rounded once. The functions of the host's C library are used for exp, log, ..., in both modes of the engine, guarded
where Python's would raise.
"""

from __future__ import annotations

import math

import numpy as np

from .alu import leading_zeros, population, trailing_zeros
from .f16 import h_of, h_of64, half_to_f32, s_of, s_of64
from .jit import f32_of, inline, jit
from .opcodes import *

TOP = np.int64(-0x8000000000000000)  # the sign bit


@inline
def wrap(v, ty):
    """Normal form of an integer of type ty."""
    if ty == I32:
        return ((v & 0xFFFFFFFF) ^ 0x80000000) - 0x80000000
    if ty == U32:
        return v & 0xFFFFFFFF
    if ty == I16:
        return ((v & 0xFFFF) ^ 0x8000) - 0x8000
    if ty == U16:
        return v & 0xFFFF
    if ty == I8:
        return ((v & 0xFF) ^ 0x80) - 0x80
    if ty == U8:
        return v & 0xFF
    return v


@inline
def size_of(ty):
    if ty <= U64:
        return np.int64(8)
    if ty <= U32 or ty == F32:
        return np.int64(4)
    if ty == I8 or ty == U8:
        return np.int64(1)
    return np.int64(2)


@jit
def divide(a, b, ty):
    """Quotient towards zero."""
    if ty == U64:
        return np.int64(np.uint64(a) // np.uint64(b))
    if b == -1:
        return wrap(-a, ty)
    q = a // b
    if q < 0 and q * b != a:  # numpy and Numba both round down
        q += 1
    return wrap(q, ty)


@jit
def remainder(a, b, ty):
    """Remainder with the sign of the dividend."""
    if ty == U64:
        return np.int64(np.uint64(a) % np.uint64(b))
    if b == -1:
        return np.int64(0)
    q = a // b
    if q < 0 and q * b != a:
        q += 1
    return a - q * b


@jit
def less(a, b, ty):
    """a < b, for the types whose registers do not compare like numbers."""
    if ty == F32:
        return f32_of(a) < f32_of(b)
    if ty == F16:
        return half_to_f32(a) < half_to_f32(b)
    return a ^ TOP < b ^ TOP


@jit
def less_equal(a, b, ty):
    if ty == F32:
        return f32_of(a) <= f32_of(b)
    if ty == F16:
        return half_to_f32(a) <= half_to_f32(b)
    return a ^ TOP <= b ^ TOP


@jit
def equal(a, b, ty):
    if ty == F32:
        return f32_of(a) == f32_of(b)
    if ty == F16:
        return half_to_f32(a) == half_to_f32(b)
    return a == b


@inline
def to_f64(v, ty):
    return np.float64(f32_of(v)) if ty == F32 else np.float64(half_to_f32(v))


@inline
def from_f64(x, ty):
    return s_of64(x) if ty == F32 else h_of64(x)


@jit
def float_op(op, a, b, ty):
    """0 add, 1 subtract, 2 multiply, 3 divide."""
    if ty == F32:
        x = f32_of(a)
        y = f32_of(b)
    else:
        x = half_to_f32(a)
        y = half_to_f32(b)
    if op == 0:
        r = x + y
    elif op == 1:
        r = x - y
    elif op == 2:
        r = x * y
    else:
        r = np.float32(x / y)
    return s_of(r) if ty == F32 else h_of(r)


@jit
def math1(function, v, ty):
    """FUN1: one function of one value."""
    if function == M_POPCNT or function == M_CLZ or function == M_CTZ:
        width = size_of(ty) * 8
        u = v if width == 64 else v & ((np.int64(1) << width) - 1)
        if function == M_POPCNT:
            return population(u)
        if function == M_CLZ:
            return leading_zeros(u, width)
        return trailing_zeros(u, width)
    if function == M_ABS and ty != F32 and ty != F16:
        return wrap(abs(v), ty)
    x = to_f64(v, ty)
    finite = x - x == 0.0
    r = x
    if function == M_SQRT:
        r = math.sqrt(x) if x >= 0.0 else np.float64(np.nan) if x != 0.0 else x
        r = np.float64(np.inf) if x == np.inf else r
    elif function == M_EXP:
        if x > 709.0:
            r = np.float64(np.inf)
        elif x < -745.0:
            r = np.float64(0.0)
        elif finite:
            r = math.exp(x)
    elif function == M_LOG:
        if x > 0.0 and finite:
            r = math.log(x)
        elif x == 0.0:
            r = np.float64(-np.inf)
        elif x < 0.0:
            r = np.float64(np.nan)
    elif function == M_SIN:
        r = math.sin(x) if finite else np.float64(np.nan)
    elif function == M_COS:
        r = math.cos(x) if finite else np.float64(np.nan)
    elif function == M_TANH:
        r = math.tanh(x)
    elif function == M_FLOOR:
        r = np.floor(x)
    elif function == M_CEIL:
        r = np.ceil(x)
    elif function == M_ABS:
        r = abs(x)
    elif function == M_INVSQRT:
        if x > 0.0:
            r = np.float64(1.0) / np.float64(math.sqrt(x)) if finite else np.float64(0.0)
        elif x == 0.0:
            r = np.float64(np.inf)
        else:
            r = np.float64(np.nan)
    elif function == M_INV:
        r = np.float64(1.0) / x
    elif function == M_NORM:
        if x != 0.0 and finite:
            while abs(r) >= 1.0:
                r = r * 0.5
            while abs(r) < 0.5:
                r = r * 2.0
    return from_f64(np.float64(r), ty)


@jit
def math2(function, a, b, ty):
    """FUN2: power, and scaling by a power of two (the exponent is an integer)."""
    x = to_f64(a, ty)
    if function == M_FSCALE:
        n = b
        if n > 400:
            n = np.int64(400)
        if n < -400:
            n = np.int64(-400)
        step = np.float64(2.0) if n > 0 else np.float64(0.5)
        for _ in range(abs(n)):
            x = x * step
        return from_f64(x, ty)
    if function == M_POW:
        x = x ** to_f64(b, ty)
    return from_f64(x, ty)


@jit
def int_to_float(v, source, ty):
    """One rounding from any integer type."""
    if ty == F16:
        return h_of64(np.float64(v)) if source != U64 or v >= 0 else np.int64(0x7C00)
    if source == U64:
        return s_of(np.float32(np.uint64(v)))
    return s_of(np.float32(v))


@jit
def float_to_int(v, source, ty):
    """Truncates; saturates to the type; NaN gives 0."""
    x = to_f64(v, source)
    if x != x:
        return np.int64(0)
    if ty == I64 or ty == U64:
        if ty == U64:
            if x <= 0.0:
                return np.int64(0)
            if x >= 18446744073709551616.0:
                return np.int64(-1)
            if x >= 9223372036854775808.0:
                return np.int64(x - 9223372036854775808.0) ^ np.int64(-0x8000000000000000)
            return np.int64(x)
        if x >= 9223372036854775808.0:
            return np.int64(0x7FFFFFFFFFFFFFFF)
        if x <= -9223372036854775808.0:
            return np.int64(-0x8000000000000000)
        return np.int64(x)
    bits = size_of(ty) * 8
    if ty == I32 or ty == I16 or ty == I8:
        low = -(np.int64(1) << (bits - 1))
        high = (np.int64(1) << (bits - 1)) - 1
    else:
        low = np.int64(0)
        high = (np.int64(1) << bits) - 1
    if x <= np.float64(low):
        return low
    if x >= np.float64(high):
        return high
    return np.int64(x)


@jit
def float_to_float(v, source, ty):
    if source == ty:
        return v
    if ty == F32:
        return s_of(half_to_f32(v))
    return h_of(f32_of(v))
