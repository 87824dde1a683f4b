"""Constants that the optimiser computes: the values that the engine would have computed, in their normal form."""

from __future__ import annotations

import numpy as np
import pytest

from meshlang.ir.isa import Op, Ty
from meshlang.optimise import fold

TOP = 1 << 63


def f32(x):
    return int(np.float32(x).view(np.uint32))


def f16(x):
    return int(np.float16(x).view(np.uint16))


@pytest.mark.parametrize(
    ("op", "ty", "a", "b", "value"),
    [
        (Op.ADD, Ty.I16, 32767, 1, -32768),
        (Op.ADD, Ty.U16, 65535, 2, 1),
        (Op.SUB, Ty.U8, 0, 1, 255),
        (Op.MUL, Ty.I8, 16, 8, -128),
        (Op.AND, Ty.I32, 12, 10, 8),
        (Op.OR, Ty.I32, 12, 10, 14),
        (Op.XOR, Ty.I32, 12, 10, 6),
        (Op.DIV, Ty.I32, -7, 2, -3),
        (Op.REM, Ty.I32, -7, 2, -1),
        (Op.DIV, Ty.I32, 7, -2, -3),
        (Op.REM, Ty.I32, 7, -2, 1),
        (Op.DIV, Ty.I16, -32768, -1, -32768),
        (Op.DIV, Ty.U64, -1, 2, TOP - 1),  # the largest number, in registers -1
        (Op.REM, Ty.U64, -1, 10, 5),
        (Op.DIV, Ty.I32, 1, 0, None),
        (Op.REM, Ty.I32, 1, 0, None),
        (Op.SHL, Ty.I16, 1, 15, -32768),
        (Op.SHL, Ty.I16, 1, 16, None),
        (Op.SHL, Ty.I16, 1, -1, None),
        (Op.SHR, Ty.I16, -4, 1, -2),
        (Op.SHR, Ty.U64, -1, 63, 1),
        (Op.EQ, Ty.I32, 3, 3, 1),
        (Op.NE, Ty.I32, 3, 3, 0),
        (Op.LT, Ty.I32, -1, 0, 1),
        (Op.LE, Ty.I32, 0, 0, 1),
        (Op.LT, Ty.I32, 0, 0, 0),
        (Op.LT, Ty.U64, -1, 0, 0),
        (Op.LE, Ty.U64, 0, -1, 1),
        (Op.LT, Ty.F32, f32(-0.0), f32(0.0), 0),
        (Op.EQ, Ty.F32, f32(-0.0), f32(0.0), 1),
        (Op.NE, Ty.F32, f32("nan"), f32("nan"), 1),
        (Op.FADD, Ty.F32, f32(1.5), f32(2.25), f32(3.75)),
        (Op.FSUB, Ty.F32, f32(1.5), f32(2.25), f32(-0.75)),
        (Op.FMUL, Ty.F32, f32(3.0), f32(0.1), f32(np.float32(3) * np.float32(0.1))),
        (Op.FDIV, Ty.F32, f32(1.0), f32(3.0), f32(np.float32(1) / np.float32(3))),
        (Op.FDIV, Ty.F32, f32(1.0), f32(0.0), f32("inf")),
        (Op.FADD, Ty.F16, f16(1.5), f16(2048.0), f16(2050.0)),
        (Op.FMUL, Ty.F16, f16(300.0), f16(300.0), f16("inf")),
    ],
)
def test_two_operands(op, ty, a, b, value):
    assert fold.binary(op, ty, a, b) == value


@pytest.mark.parametrize("ty", [Ty.F16, Ty.F32])
def test_there_is_one_nan(ty):
    infinite = (f16 if ty == Ty.F16 else f32)("inf")
    assert fold.binary(Op.FSUB, ty, infinite, infinite) == fold.NAN[ty]


@pytest.mark.parametrize(
    ("op", "ty", "a", "c", "value"),
    [
        (Op.MOV, Ty.I32, 5, 9, 5),
        (Op.ADDI, Ty.I8, 127, 1, -128),
        (Op.MULI, Ty.U8, 100, 3, 44),
        (Op.WRAP, Ty.I16, 40000, 0, -25536),
        (Op.WRAP, Ty.U8, 256, 1, 1),
        (Op.WRAP, Ty.U8, 256, 0, 0),
        (Op.LNOT, Ty.I32, 0, 0, 1),
        (Op.LNOT, Ty.I32, 7, 0, 0),
        (Op.NEG, Ty.I16, -32768, 0, -32768),
        (Op.NEG, Ty.U16, 1, 0, 65535),
        (Op.NOT, Ty.I16, 5, 0, -6),
        (Op.NOT, Ty.U16, 5, 0, 65530),
    ],
)
def test_one_operand(op, ty, a, c, value):
    assert fold.unary(op, ty, a, c) == value


def test_dsds_that_change():
    """Base, offset, length and stride, each in its own bits; a ring that gets another base begins at its start again."""
    line = 1 | 0x1234 << 4 | 7 << 20 | 3 << 36
    assert fold.binary(Op.DBASE, Ty.F32, line, 0x40) == 1 | 0x40 << 4 | 7 << 20 | 3 << 36 | 2 << 52
    assert fold.binary(Op.DBASE, Ty.I16, line, 0x10040) == 1 | 0x40 << 4 | 7 << 20 | 3 << 36 | 1 << 52
    assert fold.binary(Op.DBASE, Ty.I16, 5 | 9 << 36, 2) == 5 | 2 << 4 | 1 << 52
    assert fold.binary(Op.DINC, Ty.F32, line, 3) == 1 | 0x1240 << 4 | 7 << 20 | 3 << 36
    assert fold.binary(Op.DINC, Ty.I16, line, -1) == 1 | 0x1232 << 4 | 7 << 20 | 3 << 36
    assert fold.binary(Op.DLEN, Ty.I16, line, 0x1FFFF) == 1 | 0x1234 << 4 | 0xFFFF << 20 | 3 << 36
    assert fold.binary(Op.DSTRIDE, Ty.I16, line, -2) == 1 | 0x1234 << 4 | 7 << 20 | 0xFFFE << 36
