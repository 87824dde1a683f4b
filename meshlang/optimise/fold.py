"""Instructions of known operands, computed as the engine computes them (fabric/engine/scalar.py).

Registers are signed 64-bit numbers in normal form. None: not computed here (it faults, or is left to the engine's own
functions). tests/optimise/test_fold.py compares every operation with the engine.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..ir.isa import TY_SIZE, MathFn
from .numbers import (
    ADD,
    ADDI,
    AND,
    DBASE,
    DINC,
    DIV,
    DLEN,
    DSTRIDE,
    EQ,
    F2B,
    F2F,
    F2I,
    F16,
    F32,
    FADD,
    FDIV,
    FMUL,
    FNEG,
    FSUB,
    FUN1,
    I2F,
    I8,
    I16,
    I32,
    I64,
    LE,
    LNOT,
    LT,
    MOV,
    MUL,
    MULI,
    NE,
    NEG,
    NOT,
    OR,
    REM,
    SHL,
    SHR,
    SUB,
    U64,
    WRAP,
    XOR,
)

SIZE: dict[int, int] = {int(t): size for t, size in TY_SIZE.items()}  # bytes
WIDTH = {t: 8 * size for t, size in SIZE.items()}  # bits
SIGNED = frozenset((I64, I32, I16, I8))
NAN = {F16: 0x7E00, F32: 0x7FC00000}
LOW, HIGH = -(1 << 63), (1 << 63) - 1
# the registers that a value of each type may be in
RANGE: dict[int, tuple[int, int]] = {
    t: (LOW, HIGH) if w == 64 else (-(1 << w - 1), (1 << w - 1) - 1) if t in SIGNED else (0, (1 << w) - 1)
    for t, w in WIDTH.items()
}


def normal(v: int, ty: int) -> int:
    """Normal form of an integer of type ty."""
    low, high = RANGE[ty]
    if low <= v <= high:
        return v
    w = WIDTH[ty]
    v &= (1 << w) - 1
    return v - (1 << w) if v > high else v


def _float(bits: int, ty: int) -> np.floating:
    if ty == F32:
        return np.uint32(int(bits) & 0xFFFFFFFF).view(np.float32)
    return np.float32(np.uint16(int(bits) & 0xFFFF).view(np.float16))


def _bits(value: float | np.floating, ty: int) -> int:
    """One rounding, of a float32 or float64."""
    if value != value:
        return NAN[ty]
    if ty == F32:
        return int(np.float32(value).view(np.uint32))
    return int(np.float16(value).view(np.uint16))


def _quotient(a: int, b: int) -> int:
    q = abs(a) // abs(b)
    return q if (a < 0) == (b < 0) else -q


def _unsigned(v: int) -> int:
    return v & 0xFFFFFFFFFFFFFFFF


def binary(op: int, ty: int, a: int, b: int) -> int | None:
    """Operations of r[b] and r[c]."""
    x: Any
    y: Any
    if op == ADD:
        return normal(a + b, ty)
    if op == SUB:
        return normal(a - b, ty)
    if op == MUL:
        return normal(a * b, ty)
    if op == AND:
        return a & b
    if op == OR:
        return a | b
    if op == XOR:
        return a ^ b
    if op == DIV or op == REM:
        if b == 0:
            return None
        if ty == U64:
            a, b = _unsigned(a), _unsigned(b)
        q = _quotient(a, b)
        return normal(q, ty) if op == DIV else normal(a - q * b, I64)
    if op == SHL or op == SHR:
        if not 0 <= b < WIDTH[ty]:
            return None
        if op == SHL:
            return normal(normal(a << b, I64), ty)
        return normal(_unsigned(a) >> b, I64) if ty == U64 else a >> b
    if EQ <= op <= LE:
        if ty >= F16:
            x, y = _float(a, ty), _float(b, ty)
        elif ty == U64 and op >= LT:
            x, y = _unsigned(a), _unsigned(b)
        else:
            x, y = a, b
        return int(x == y if op == EQ else x != y if op == NE else x < y if op == LT else x <= y)
    if FADD <= op <= FDIV:
        with np.errstate(all="ignore"):
            x, y = _float(a, ty), _float(b, ty)
            return _bits(x + y if op == FADD else x - y if op == FSUB else x * y if op == FMUL else x / y, ty)
    if op == DBASE:
        if a & 15 == 5:  # a ring begins at its start again
            a &= ~(0xFFFF << 36)
        tag = {16: 1, 32: 2}.get(WIDTH[ty], 0)
        return a & ~(0xFFFF << 4 | 3 << 52) | (b & 0xFFFF) << 4 | tag << 52
    if op == DINC:
        return a & ~(0xFFFF << 4) | ((a >> 4 & 0xFFFF) + b * (WIDTH[ty] // 8) & 0xFFFF) << 4
    if op == DLEN:
        return a & ~(0xFFFF << 20) | (b & 0xFFFF) << 20
    if op == DSTRIDE:
        return a & ~(0xFFFF << 36) | (b & 0xFFFF) << 36
    return None


def unary(op: int, ty: int, a: int, c: int) -> int | None:
    """Operations of r[b]; c is the instruction's word."""
    if op == MOV:
        return a
    if op == ADDI:
        return normal(a + c, ty)
    if op == MULI:
        return normal(a * c, ty)
    if op == WRAP:
        return int(a != 0) if c == 1 else normal(a, ty)
    if op == LNOT:
        return int(a == 0)
    if op == NEG:
        return normal(-a, ty)
    if op == NOT:
        return normal(~a, ty)
    if op == FNEG:
        return a ^ (0x80000000 if ty == F32 else 0x8000)
    if op == FUN1:
        return _function(c, ty, a)
    if op == I2F:
        a = int(a)
        if ty == F16:
            if c == U64 and a < 0:
                return 0x7C00
            with np.errstate(all="ignore"):
                return _bits(np.float64(a), ty)
        return int(np.float32(np.uint64(_unsigned(a)) if c == U64 else np.int64(a)).view(np.uint32))
    if op == F2I:
        x = float(_float(a, c))
        if x != x:
            return 0
        bound = RANGE[ty] if ty != U64 else (0, (1 << 64) - 1)
        if math.isinf(x):
            return normal(bound[x > 0], I64)
        return normal(max(bound[0], min(bound[1], math.trunc(x))), I64)
    if op == F2F:
        with np.errstate(all="ignore"):
            return a if c == ty else _bits(_float(a, c), ty)
    if op == F2B:
        return int(_float(a, c if c >= F16 else ty) != 0.0)
    return None


def _function(function: int, ty: int, a: int) -> int | None:
    width = WIDTH[ty]
    u = a & (1 << width) - 1
    if function == MathFn.POPCNT:
        return u.bit_count()
    if function == MathFn.CLZ:
        return width - u.bit_length()
    if function == MathFn.CTZ:
        return (u & -u).bit_length() - 1 if u else width
    if ty < F16:
        return normal(abs(a), ty) if function == MathFn.ABS else None
    x = float(_float(a, ty))
    with np.errstate(all="ignore"):
        if function == MathFn.SQRT:
            return _bits(np.float64(math.sqrt(x) if x > 0.0 else x if x == 0.0 else math.nan), ty)
        if function == MathFn.FLOOR:
            return _bits(np.floor(np.float64(x)), ty)
        if function == MathFn.CEIL:
            return _bits(np.ceil(np.float64(x)), ty)
        if function == MathFn.ABS:
            return _bits(np.float64(abs(x)), ty)
        if function == MathFn.INV:
            return _bits(np.float64(1.0) / np.float64(x), ty)
    return None


def insert(a: int, b: int, c: int) -> int:
    """BINS."""
    shift, width = c & 0xFF, c >> 8 & 0xFF
    mask = -1 if width >= 64 else (1 << width) - 1
    return normal(a & ~(mask << shift) | (b & mask) << shift, I64)
