# ruff: noqa: F403, F405
"""Floating-point exceptions: which ones an operation raises, and whether one of them stops its PE.

Asked for only while a program has unmasked one (<tile_config/exceptions>): the loader marks the scalar instructions of
programs that can (CHECKED), and a vector operation that starts then is marked by F_CHECKED and goes element by element.
Flags are those of IEEE 754: every exact result fits float64, or its error does. Underflow means inexact and, once
rounded, smaller than the smallest normal number. The functions of <math>, which the machine computes in software, raise
invalid, overflow and division by zero only; square root is exact.
"""

from __future__ import annotations

import numpy as np

from ...ir import isa
from .alu import float_to_int16, scale, signed16
from .f16 import half_to_f32
from .faults import Fault
from .jit import cold, f32_of
from .opcodes import *
from .scalar import TOP, to_f64
from .state import *
from .wheel import fail

CHECKED = np.int64(0x80)  # added to an opcode: its exceptions may stop the PE
UNDERFLOW, OVERFLOW, INEXACT, INVALID, DIVISION = (
    np.int64(1 << isa.EXCEPTIONS.index(n))
    for n in ("FP_UNDERFLOW", "FP_OVERFLOW", "FP_INEXACT", "FP_INVALID", "FP_DIV_BY_0")
)
NONE = np.int64(0)
F_EXCEPTION = np.int64(Fault.EXCEPTION)
SMALLEST_HALF, SMALLEST_SINGLE = np.float64(np.finfo(np.float16).tiny), np.float64(np.finfo(np.float32).tiny)
HALF_64 = np.float64(1 << 63)


@cold
def stops(W, pe, flags):
    """Does one of the exceptions stop the PE? Then it is a fault."""
    flags &= W[P0 + pe * PK + P_UNMASKED]
    if flags == 0:
        return False
    fail(W, F_EXCEPTION, pe, flags, NONE, NONE)
    return True


@cold
def rounded(exact, error, r, single):
    """Flags of a finite value `exact` + `error` that was rounded to r."""
    if r - r != 0.0:
        return OVERFLOW | INEXACT
    if exact == r and error == 0.0:
        return NONE
    return INEXACT | UNDERFLOW if abs(r) < (SMALLEST_SINGLE if single else SMALLEST_HALF) else INEXACT


@cold
def finite(x):
    return x - x == 0.0


@cold
def sum_exceptions(x, y, r, single):
    """x + y = r; the two-sum gives the error of a sum in float64."""
    if r != r:
        return INVALID if x == x and y == y else NONE
    if not finite(x) or not finite(y):
        return NONE
    s = x + y
    t = s - x
    return rounded(s, (x - (s - t)) + (y - t), r, single)


@cold
def product_exceptions(x, y, r, single):
    if r != r:
        return INVALID if x == x and y == y else NONE
    return rounded(x * y, np.float64(0.0), r, single) if finite(x) and finite(y) else NONE


@cold
def quotient_exceptions(x, y, r, single):
    """r * y is exact in float64 where it matters, so x / y = r was exact if it is x."""
    if r != r:
        return INVALID if x == x and y == y else NONE
    if not finite(x) or not finite(y):
        return NONE
    if y == 0.0:
        return DIVISION
    return NONE if r * y == x else rounded(r, np.float64(1.0), r, single)


@cold
def function_exceptions(function, x, r, single):
    """r = function(x)."""
    if x != x:
        return NONE
    if r != r:
        return INVALID
    if not finite(x):
        return NONE
    if not finite(r):
        return (
            DIVISION
            if x == 0.0 and (function == M_LOG or function == M_INV or function == M_INVSQRT)
            else OVERFLOW | INEXACT
        )
    if function == M_SQRT and r * r != x:
        return rounded(r, np.float64(1.0), r, single)
    return NONE


@cold
def scalar_exceptions(op, ty, function, a, b, r):
    """Flags of a scalar instruction: operands a and b (FUN2: the second argument), result r; `function` is the
    instruction's word c."""
    single = ty == F32
    if op == F2I:
        x = to_f64(a, function)
        t = np.trunc(x)
        if not finite(x):
            return INVALID
        if ty == U64:
            fits = t >= 0.0 and t < HALF_64 * 2.0
        elif ty == I64:
            fits = t >= -HALF_64 and t < HALF_64
        else:
            fits = t == np.float64(r)  # else it was saturated
        return INVALID if not fits else NONE if t == x else INEXACT
    if op == I2F:
        y = to_f64(r, ty)
        if function == I64 or function == U64:
            if finite(y) and abs(y) < HALF_64 and np.int64(y) == a:
                return NONE
            if function == U64 and a < 0 and y >= HALF_64 and y < HALF_64 * 2.0 and np.int64(y - HALF_64) == a ^ TOP:
                return NONE
            return rounded(y, np.float64(1.0), y, single)
        return rounded(np.float64(a), np.float64(0.0), y, single)
    if op == FUN1 and ty != F32 and ty != F16:
        return NONE
    x = to_f64(a, function if op == F2F else ty)
    y = to_f64(r, ty)
    if op == F2F:
        return rounded(x, np.float64(0.0), y, single) if finite(x) else NONE
    if op == FUN2 and function == M_FSCALE:
        return rounded(scale(x, b), np.float64(0.0), y, single) if finite(x) else NONE
    if op == FUN1:
        return function_exceptions(function, x, y, single)
    z = to_f64(b, ty)
    if op == FUN2:  # a power; of 0 to a negative one, the inverse of 0
        return function_exceptions(M_INV, x, y, single) if z == z and finite(z) else NONE
    if op == FMUL:
        return product_exceptions(x, z, y, single)
    if op == FDIV:
        return quotient_exceptions(x, z, y, single)
    return sum_exceptions(x, z if op == FADD else -z, y, single)


@cold
def wide(bits, single):
    return np.float64(f32_of(bits)) if single else np.float64(half_to_f32(bits))


@cold
def vector_exceptions(code, a, b, c, r):
    """Flags of one element of a vector operation: r = code(a, b, c), as bits."""
    if (RAISING >> code) & 1 == 0:
        return NONE
    single = (SINGLE >> code) & 1 != 0
    if code == FH2XP16 or code == FS2XP16:
        x = wide(a, code == FS2XP16)
        if not finite(x) or np.float64(signed16(float_to_int16(x))) != np.rint(x):
            return INVALID
        return NONE if np.rint(x) == x else INEXACT
    if code == XP162FH or code == XP162FS:
        return rounded(np.float64(signed16(a)), np.float64(0.0), wide(r, single), single)
    y = wide(r, single)
    if code == FS2H:
        x = wide(a, True)
        return rounded(x, np.float64(0.0), y, single) if finite(x) else NONE
    x = wide(a, single)
    if code == FSCALEH or code == FSCALES:
        return rounded(scale(x, signed16(b)), np.float64(0.0), y, single) if finite(x) else NONE
    z = wide(b, single and code != FADDHS and code != FMACHS)
    if code == FMACH or code == FMACS or code == FMACHS:
        w = wide(c, code == FMACS)
        if y != y:
            return INVALID if x == x and z == z and w == w else NONE
        return sum_exceptions(x, z * w, y, single) if finite(z) and finite(w) else NONE
    if code == FMULH or code == FMULS:
        return product_exceptions(x, z, y, single)
    return sum_exceptions(x, -z if code == FSUBH or code == FSUBS else z, y, single)
