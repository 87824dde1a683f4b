"""Comptime arithmetic and conversions. Pure functions on Known values; errors are raised through `Fail`."""

from __future__ import annotations

import math
import struct as _struct
from typing import Any

import numpy as np

from . import types as T
from .together import Lanes
from .values import FALSE, TRUE, ArrayValue, FnValue, Known, Pointer


def _wider(v: int) -> str:
    """Which integer type would hold a value."""
    sign = "i" if v < 0 else "u"
    bits = next((b for b in (8, 16, 32, 64) if -(1 << b - 1) <= v < (1 << b - (sign == "i"))), None)
    return f"take a smaller value, or a type that holds it: {sign}{bits}" if bits else "take a smaller value"


class Fail(Exception):
    """An error without a place; the analyzer adds the span. (code, message, help)"""

    def __init__(self, code: str, message: str, help: str | None = None):
        super().__init__(message)
        self.code, self.message, self.help = code, message, help


# ---------------------------------------------------------------- floats


def round_float(v: float, t: T.Type) -> float:
    if t is T.COMPTIME_FLOAT:
        return v
    if t is T.F32:
        with np.errstate(all="ignore"):
            return float(np.float32(v))
    if t is T.F16:
        with np.errstate(all="ignore"):
            return float(np.float16(v))
    return _decode16(_encode16(v, t), t)


_FORMAT16: dict[T.Type, tuple[int, int, int]] = {
    T.BF16: (8, 7, 127),
    T.CB16: (6, 9, 42),
}  # exponent bits, mantissa bits, bias


def _encode16(v: float, t: T.Type) -> int:
    ebits, mbits, bias = _FORMAT16[t]
    sign = 0x8000 if math.copysign(1.0, v) < 0 else 0
    top = (1 << ebits) - 1
    if math.isnan(v):
        return sign | (top << mbits) | (1 << (mbits - 1))
    a = abs(v)
    if math.isinf(a):
        return sign | (top << mbits)
    if a == 0:
        return sign
    e = max(math.frexp(a)[1] - 1, 1 - bias)
    q = round(math.ldexp(a, mbits - e))  # half to even
    field = q + ((e + bias - 1) << mbits)
    return sign | min(field, top << mbits)


def _decode16(bits: int, t: T.Type) -> float:
    ebits, mbits, bias = _FORMAT16[t]
    sign = -1.0 if bits & 0x8000 else 1.0
    e, m = (bits >> mbits) & ((1 << ebits) - 1), bits & ((1 << mbits) - 1)
    if e == (1 << ebits) - 1:
        return sign * math.inf if m == 0 else math.nan
    if e == 0:
        return sign * math.ldexp(m, 1 - bias - mbits)
    return sign * math.ldexp(m + (1 << mbits), e - bias - mbits)


def float_bits(v: float, t: T.Type) -> int:
    if t is T.F32:
        try:
            return _struct.unpack("<I", _struct.pack("<f", v))[0]
        except OverflowError:
            return 0x7F800000 | (0x80000000 if v < 0 else 0)
    if t is T.F16:
        with np.errstate(all="ignore"):
            return int(np.float16(v).view(np.uint16))
    return _encode16(v, t)


def bits_float(bits: int, t: T.Type) -> float:
    if t is T.F32:
        return _struct.unpack("<f", _struct.pack("<I", bits & 0xFFFFFFFF))[0]
    if t is T.F16:
        return float(np.array(bits & 0xFFFF, dtype=np.uint16).view(np.float16))
    return _decode16(bits & 0xFFFF, t)


# ---------------------------------------------------------------- conversions


def wrap(v: int, t: T.IntType) -> int:
    v &= (1 << t.bits) - 1
    return v - (1 << t.bits) if t.signed and v > t.hi else v


def fits(v: int, t: T.Type) -> bool:
    return t is T.COMPTIME_INT or (isinstance(t, T.IntType) and t.lo <= v <= t.hi)


def widens(a: T.Type, b: T.Type) -> bool:
    """Implicit widening (2.10): every value of `a` is a value of `b`."""
    if isinstance(a, T.IntType) and isinstance(b, T.IntType):
        return a.lo >= b.lo and a.hi <= b.hi
    return a is T.F16 and b is T.F32


def pointer_converts(a: T.PtrType, b: T.PtrType) -> bool:
    """Implicit pointer conversion: adding const; array pointer to many-item pointer (any rank); *T to *[1]T and to
    *anyopaque."""
    if a.const and not b.const:
        return False
    ae, be = a.elem, b.elem
    if a.many == b.many:
        if ae is be or not a.many and be is T.ANYOPAQUE:
            return True
        return not a.many and isinstance(be, T.ArrayType) and be.dims == (1,) and be.elem is ae
    if b.many and isinstance(ae, T.ArrayType):
        return ae.elem is be
    return False


def coerce(value: Known, t: T.Type) -> Known:
    """Implicit conversion of a comptime value to `t`; raises Fail where the language refuses it."""
    s = value.ty
    if s is t or t is T.ANYTYPE:
        return value
    v = value.v
    if isinstance(t, T.IntType) and (s is T.COMPTIME_INT or isinstance(s, T.IntType)):
        # a comptime-known integer of any type converts if it fits (docs/language.md, conversions)
        if not t.lo <= v <= t.hi:
            raise Fail("MS0302", f"{v} does not fit in {t} ({t.lo} to {t.hi})", _wider(v))
        return Known(t, v)
    if isinstance(t, T.FloatType):
        if s is T.COMPTIME_FLOAT or (s is T.F16 and t is T.F32):
            return Known(t, round_float(v, t))
        if s is T.COMPTIME_INT:
            return Known(t, round_float(float(v), t))
    if s is T.COMPTIME_INT and t is T.COMPTIME_INT:
        return value
    if t is T.COMPTIME_STRUCT and isinstance(s, T.StructType) and s.tag is None:
        return value
    if t is T.TYPE and s is T.TYPE:
        return value
    if isinstance(t, T.PtrType):
        if isinstance(s, T.PtrType) and pointer_converts(s, t):
            return Known(t, v)
        if isinstance(v, FnValue) and isinstance(t.elem, T.FnType) and s is t.elem:
            return Known(t, v)
    if isinstance(t, T.StructType) and isinstance(s, T.StructType) and s.tag is None:
        if t.tuple == s.tuple and (
            set(t.index) == set(s.index)
            or (set(s.index) <= set(t.index) and set(t.index) - set(s.index) <= set(t.defaults))
        ):
            return Known(t, {n: coerce(v[n], ft) if n in v else t.defaults[n] for n, ft in t.fields})
    if t is T.RANGE and isinstance(s, T.RangeType):
        return value
    raise Fail("MS0301", f"expected {t}, found {s}{describe(value)}")


def describe(value: Any) -> str:
    if isinstance(value, Known) and value.ty in (T.COMPTIME_INT, T.COMPTIME_FLOAT):
        return f" ({value.v})"
    return ""


def convert(value: Known, t: T.Type) -> Known:
    """`@as(t, value)` at compile time."""
    s, v = value.ty, value.v
    if s is t:
        return value
    if t is T.BOOL and T.is_numeric(s):
        return TRUE if v != 0 else FALSE
    if s is T.BOOL and T.is_numeric(t):
        return coerce(Known(T.COMPTIME_INT, int(v)), t)
    if T.is_int(s) and isinstance(t, T.IntType):
        if s is T.COMPTIME_INT and not t.lo <= v <= t.hi:
            raise Fail("MS0302", f"{v} does not fit in {t} ({t.lo} to {t.hi})", _wider(v))
        return Known(t, wrap(v, t))
    if T.is_int(s) and t is T.COMPTIME_INT:
        return Known(t, v)
    if T.is_int(s) and T.is_float(t):
        return Known(t, round_float(float(v), t))
    if T.is_float(s) and T.is_float(t):
        return Known(t, round_float(v, t))
    if T.is_float(s) and (isinstance(t, T.IntType) or t is T.COMPTIME_INT):
        if not math.isfinite(v):
            raise Fail("MS0302", f"{v} has no value in {t}")
        n = math.trunc(v)
        if isinstance(t, T.IntType) and not t.lo <= n <= t.hi:
            raise Fail("MS0302", f"{v} does not fit in {t} ({t.lo} to {t.hi})", _wider(v))
        return Known(t, n)
    if isinstance(t, T.EnumType) and T.is_int(s):
        if v not in t.members.values():
            raise Fail("MS0302", f"{v} is not a value of {t}")
        return Known(t, v)
    if isinstance(s, T.EnumType) and T.is_numeric(t):
        return convert(Known(s.base, v), t)
    return coerce(value, t)


# ---------------------------------------------------------------- operators

_COMPARE = {
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}
_EQUATABLE = (T.IdType, T.EnumType, T.DsrType)


def peer(a: T.Type, b: T.Type, op: str) -> T.Type:
    """The common type of two operands (peer type resolution)."""
    if a is b:
        return a
    if a is T.COMPTIME_INT and T.is_numeric(b):
        return b
    if b is T.COMPTIME_INT and T.is_numeric(a):
        return a
    if a is T.COMPTIME_FLOAT and isinstance(b, T.FloatType):
        return b
    if b is T.COMPTIME_FLOAT and isinstance(a, T.FloatType):
        return a
    if widens(a, b):
        return b
    if widens(b, a):
        return a
    if isinstance(a, T.PtrType) and isinstance(b, T.PtrType):
        if pointer_converts(a, b):
            return b
        if pointer_converts(b, a):
            return a
        if (
            isinstance(a.elem, T.ArrayType)
            and isinstance(b.elem, T.ArrayType)
            and a.elem.elem is b.elem.elem
            and len(a.elem.dims) == len(b.elem.dims) == 1
            and not a.many
            and not b.many
        ):
            return T.pointer(a.elem.elem, True, a.const or b.const)
    if isinstance(a, T.StructType) and isinstance(b, T.StructType):
        return T.COMPTIME_STRUCT if op == "if" else _mismatch(a, b, op)
    return _mismatch(a, b, op)


def _mismatch(a: T.Type, b: T.Type, op: str) -> T.Type:
    where = "the branches have" if op == "if" else f"operands of '{op}' have"
    raise Fail("MS0303", f"{where} different types, {a} and {b}", "convert one of them with @as(TYPE, value)")


def unary(op: str, x: Known) -> Known:
    t, v = x.ty, x.v
    if op == "!":
        if t is not T.BOOL:
            raise Fail("MS0304", f"'!' takes a bool, found {t}", "compare with 0, or use '~' for bits")
        return FALSE if v else TRUE
    if op == "-":
        if T.is_float(t):
            return Known(t, -v)
        if t is T.COMPTIME_INT:
            return Known(t, -v)
        if isinstance(t, T.IntType):
            return Known(t, wrap(-v, t))
    if op == "~" and isinstance(t, T.IntType):
        return Known(t, wrap(~v, t))
    raise Fail("MS0304", f"'{op}' cannot be applied to {t}")


def check_operator(op: str, t: T.Type) -> None:
    """Which operand types an operator takes (facts 1.9)."""
    if op in ("==", "!="):
        ok = T.is_numeric(t) or t in (T.BOOL, T.COMPTIME_STRING, T.TYPE) or isinstance(t, _EQUATABLE + (T.PtrType,))
    elif op in ("<", "<=", ">", ">=", "+", "-", "*", "/"):
        ok = T.is_numeric(t)
    else:
        ok = T.is_int(t)
    if not ok:
        raise Fail("MS0304", f"'{op}' cannot be applied to {t}")


def binary(op: str, a: Known, b: Known) -> Known:
    if op in ("<<", ">>"):
        return _shift(op, a, b)
    t = a.ty
    if t is not b.ty:
        t = peer(t, b.ty, op)
        a, b = coerce(a, t), coerce(b, t)
    x, y = a.v, b.v
    if t is T.COMPTIME_INT or t.__class__ is T.IntType:
        if op == "+":
            r = x + y
        elif op == "-":
            r = x - y
        elif op == "*":
            if t is T.COMPTIME_INT and x.__class__ is y.__class__ is int:
                check_size(x.bit_length() + y.bit_length())
            r = x * y
        elif op in _COMPARE:
            return TRUE if _COMPARE[op](x, y) else FALSE
        elif op in ("/", "%"):
            if y == 0:
                raise Fail("MS0305", f"division by zero: {x} {op} 0")
            q = abs(x) // abs(y)
            q = q if (x < 0) == (y < 0) else -q
            r = q if op == "/" else x - q * y
        elif op == "&":
            r = x & y
        elif op == "|":
            r = x | y
        else:
            r = x ^ y
        if isinstance(t, T.IntType) and not t.lo <= r <= t.hi:
            # typed arithmetic wraps, at compile time as at run time (docs/language.md)
            r = wrap(r, t)
        return Known(t, r)
    check_operator(op, t)
    if op in _COMPARE:
        return TRUE if _COMPARE[op](x, y) else FALSE
    if op == "/" and y == 0:
        if t is T.COMPTIME_FLOAT:
            raise Fail("MS0305", f"division by zero: {x} / 0")
        r = math.nan if x == 0 or math.isnan(x) else math.copysign(math.inf, x) * math.copysign(1, y)
    else:
        try:
            r = x + y if op == "+" else x - y if op == "-" else x * y if op == "*" else x / y
        except OverflowError:
            r = math.inf
    if t is T.COMPTIME_FLOAT and math.isnan(r):
        raise Fail("MS0305", f"{x} {op} {y} is not a number")
    return Known(t, round_float(r, t))


MOST_BITS = 1 << 16  # of a comptime_int: what is larger is a mistake, and would take all memory in a few steps


def check_size(bits: int) -> None:
    if bits > MOST_BITS:
        raise Fail("MS0302", f"this comptime_int has some {bits} bits: the most is {MOST_BITS}")


def _shift(op: str, a: Known, b: Known) -> Known:
    t = a.ty
    if not T.is_int(t) or not T.is_int(b.ty):
        raise Fail("MS0304", f"'{op}' cannot be applied to {t} and {b.ty}")
    if b.v < 0 or (isinstance(b.ty, T.IntType) and b.ty.signed):
        raise Fail(
            "MS0304", f"the amount of '{op}' must be unsigned, found {b.ty}{describe(b)}", "use @as(u16, amount)"
        )
    if isinstance(t, T.IntType) and b.v >= t.bits:
        raise Fail("MS0306", f"shift of {t} by {b.v}: the amount must be 0 to {t.bits - 1}")
    if op == "<<" and a.v.__class__ is int:
        check_size(a.v.bit_length() + int(b.v))
    r = a.v << b.v if op == "<<" else a.v >> b.v
    return Known(t, wrap(r, t) if isinstance(t, T.IntType) else r)


# ---------------------------------------------------------------- memory images

_DTYPES = {
    T.I8: np.int8,
    T.U8: np.uint8,
    T.I16: np.int16,
    T.U16: np.uint16,
    T.I32: np.int32,
    T.U32: np.uint32,
    T.I64: np.int64,
    T.U64: np.uint64,
    T.F16: np.float16,
    T.F32: np.float32,
    T.BOOL: np.bool_,
}


def dtype(t: T.Type) -> Any:
    """The numpy dtype of array elements of type `t`, or None."""
    found = _DTYPES.get(t)
    if found is None and isinstance(t, T.IntType) and t.ty is not None:
        found = np.dtype(f"{'i' if t.signed else 'u'}{t.size}").type
    return found


def fill(t: T.ArrayType, v: Any) -> ArrayValue:
    d = dtype(t.elem)
    return ArrayValue(np.full(t.count, v, dtype=d) if d else [v] * t.count)


def element(t: T.ArrayType, value: Known) -> Any:
    """What an array of type `t` keeps of an element. A comptime_struct is as it was given: a struct of its own type."""
    return value.v if value.ty is t.elem else value


def get_element(t: T.ArrayType, value: ArrayValue, i: int) -> Known:
    if i.__class__ is Lanes:
        found = i.gather(value.data)
        if found is not None:
            return Known(t.elem, found)
    v = value.data[i]
    if v.__class__ is Known:
        return v
    return Known(t.elem, v.item() if isinstance(v, np.generic) else v)


def part_at(value: Known, offset: int, t: T.Type) -> Known | None:
    """The element or field of type `t` that lies `offset` bytes behind the beginning of a constant in memory; None if none does."""
    while value.ty is not t or offset != 0:
        if isinstance(value.ty, T.ArrayType):
            n, offset = divmod(offset, value.ty.elem.size)
            if not 0 <= n < value.ty.count:
                return None
            value = get_element(value.ty, value.v, n)
        elif isinstance(value.ty, T.StructType) and isinstance(value.v, dict):
            starts = [(at, name) for at, (name, _) in zip(value.ty.offsets, value.ty.fields) if at <= offset]
            if not starts:
                return None
            at, name = max(starts)
            value, offset = value.v[name], offset - at
        else:
            return None
    return value


def zeroed(t: T.Type) -> Known:
    """The value of an uninitialised comptime variable."""
    return Known(T.struct(()), {}) if t is T.COMPTIME_STRUCT else Known(t, zero(t))


def zero(t: T.Type) -> Any:
    """The payload of an uninitialised variable (memory starts zeroed)."""
    if isinstance(t, T.ArrayType):
        if dtype(t.elem) is not None:
            return fill(t, 0)
        return ArrayValue([element(t, zeroed(t.elem)) for _ in range(t.count)])
    if isinstance(t, T.StructType):
        return {n: zeroed(f) for n, f in t.fields}
    if T.is_float(t):
        return 0.0
    if t is T.BOOL:
        return False
    if isinstance(t, T.PtrType):
        return Pointer(None, 0)
    if isinstance(t, T.DsdType):
        return None
    return 0
