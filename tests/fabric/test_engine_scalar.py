"""Scalar instructions against Python and numpy."""

import math

import numpy as np
import pytest
from asm import Tile, program
from hypothesis import given, settings
from hypothesis import strategies as st

from meshlang.diag import MeshlangError
from meshlang.fabric.machine import Machine
from meshlang.ir.isa import TY_SIZE, MathFn, Op, Ty

INTS = [Ty.I64, Ty.U64, Ty.I32, Ty.U32, Ty.I16, Ty.U16, Ty.I8, Ty.U8]
FLOATS = {Ty.F16: np.float16, Ty.F32: np.float32}


def run(tile):
    tile.done()
    tile.ret()
    machine = Machine(program([[0]], [tile]))
    machine.launch("main")
    machine.run("commands", max_cycles=1_000_000)
    return machine


def results(emit_all):
    """emit_all(tile, store) emits code; store(register) appends a register to the results."""
    tile = Tile()
    out = tile.var("out", 4096, 8)
    tile.function("main", export=True)
    count = 0

    def store(register):
        nonlocal count
        tile.emit(Op.LDI, 30, out + 8 * count)
        tile.emit(Op.ST, register, 30, 0, Ty.I64)
        count += 1

    emit_all(tile, store)
    machine = run(tile)
    return machine.read_bytes(0, 0, 1, 1, out, 8 * count).view(np.int64).ravel().tolist()


def wrap(v, ty):
    bits = 8 * TY_SIZE[ty]
    v &= (1 << bits) - 1
    if ty in (Ty.I64, Ty.I32, Ty.I16, Ty.I8) and v >> (bits - 1):
        v -= 1 << bits
    return v


def signed64(v):
    return wrap(v, Ty.I64)


@settings(max_examples=8, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(INTS), st.integers(-(2**63), 2**63 - 1), st.integers(-(2**63), 2**63 - 1)),
        min_size=8,
        max_size=16,
    )
)
def test_integers(cases):
    expected = []

    def emit(tile, store):
        for ty, a, b in cases:
            a, b = wrap(a, ty), wrap(b, ty)
            tile.const(1, signed64(a))
            tile.const(2, signed64(b))
            quotient = 0 if b == 0 else abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)
            amount = abs(b) % (8 * TY_SIZE[ty])
            tile.const(3, amount)
            table = [
                (Op.ADD, a + b, 2),
                (Op.SUB, a - b, 2),
                (Op.MUL, a * b, 2),
                (Op.AND, a & b, 2),
                (Op.OR, a | b, 2),
                (Op.XOR, a ^ b, 2),
                (Op.SHL, a << amount, 3),
                (Op.SHR, a >> amount, 3),
                (Op.EQ, int(a == b), 2),
                (Op.NE, int(a != b), 2),
                (Op.LT, int(a < b), 2),
                (Op.LE, int(a <= b), 2),
                (Op.NEG, -a, 0),
                (Op.NOT, ~a, 0),
                (Op.LNOT, int(a == 0), 0),
            ]
            if b:
                table += [(Op.DIV, quotient, 2), (Op.REM, a - quotient * b, 2)]
            for op, value, other in table:
                tile.emit(op, 5, 1, other, ty if op.row.types else Ty.I64)
                store(5)
                expected.append(signed64(wrap(value, ty)))
            tile.emit(Op.ADDI, 5, 1, -77, ty)
            store(5)
            expected.append(signed64(wrap(a - 77, ty)))
            tile.emit(Op.MULI, 5, 1, 1000, ty)
            store(5)
            expected.append(signed64(wrap(a * 1000, ty)))

    assert results(emit) == expected


def test_floats():
    rng = np.random.default_rng(1)
    expected = []

    def emit(tile, store):
        for ty, dtype in FLOATS.items():
            bits = np.uint16 if ty == Ty.F16 else np.uint32
            values = [*(rng.standard_normal(6) * 10), 0.0, -0.0, 1e-7, 65504, np.inf, -np.inf, np.nan]
            for i, x in enumerate(values):
                a = dtype(x)
                b = dtype(values[(i * 5 + 3) % len(values)])
                tile.const(1, int(a.view(bits)))
                tile.const(2, int(b.view(bits)))
                with np.errstate(all="ignore"):
                    for op, r in ((Op.FADD, a + b), (Op.FSUB, a - b), (Op.FMUL, a * b), (Op.FDIV, a / b)):
                        tile.emit(op, 5, 1, 2, ty)
                        store(5)
                        expected.append(
                            0x7E00 if np.isnan(r) and ty == Ty.F16 else 0x7FC00000 if np.isnan(r) else int(r.view(bits))
                        )
                    for op, r in ((Op.EQ, a == b), (Op.NE, a != b), (Op.LT, a < b), (Op.LE, a <= b)):
                        tile.emit(op, 5, 1, 2, ty)
                        store(5)
                        expected.append(int(r))
                tile.emit(Op.FNEG, 5, 1, 0, ty)
                store(5)
                expected.append(int((-a).view(bits)))
                tile.emit(Op.F2B, 5, 1, int(ty))
                store(5)
                expected.append(int(a != 0))

    assert results(emit) == expected


def test_functions_and_conversions():
    expected = []
    one = {
        MathFn.SQRT: math.sqrt,
        MathFn.EXP: math.exp,
        MathFn.LOG: math.log,
        MathFn.SIN: math.sin,
        MathFn.COS: math.cos,
        MathFn.TANH: math.tanh,
        MathFn.FLOOR: math.floor,
        MathFn.CEIL: math.ceil,
        MathFn.ABS: abs,
        MathFn.INVSQRT: lambda x: 1 / math.sqrt(x),
        MathFn.INV: lambda x: 1 / x,
        MathFn.NORM: lambda x: math.frexp(x)[0],
    }

    def emit(tile, store):
        for ty, dtype in FLOATS.items():
            bits = np.uint16 if ty == Ty.F16 else np.uint32
            for x in (0.3, 1.0, 2.75, 7.5):
                a = dtype(x)
                tile.const(1, int(a.view(bits)))
                for function, meaning in one.items():
                    tile.emit(Op.FUN1, 5, 1, function, ty)
                    store(5)
                    expected.append(int(dtype(meaning(float(a))).view(bits)))
                tile.const(2, int(dtype(1.5).view(bits)))
                tile.emit(Op.FUN2, 5, 1, MathFn.POW, ty)
                store(5)
                expected.append(int(dtype(float(a) ** 1.5).view(bits)))
                for to in INTS:
                    tile.emit(Op.F2I, 5, 1, int(ty), to)
                    store(5)
                    expected.append(int(x))
            tile.const(1, int(dtype(-70000.0 if ty == Ty.F32 else -60000.0).view(bits)))
            for to, low in ((Ty.I16, -32768), (Ty.U16, 0), (Ty.I8, -128)):
                tile.emit(Op.F2I, 5, 1, int(ty), to)
                store(5)
                expected.append(low)
            for v in (-7, 3, 2049, 123456789):
                tile.const(1, v)
                tile.emit(Op.I2F, 5, 1, int(Ty.I32), ty)
                store(5)
                with np.errstate(over="ignore"):
                    expected.append(int(dtype(v).view(bits)))
        tile.const(1, 0x3C01)
        tile.emit(Op.F2F, 5, 1, int(Ty.F16), Ty.F32)
        store(5)
        expected.append(int(np.float32(np.uint16(0x3C01).view(np.float16)).view(np.uint32)))
        tile.const(1, int(np.float32(1.0009).view(np.uint32)))
        tile.emit(Op.F2F, 5, 1, int(Ty.F32), Ty.F16)
        store(5)
        expected.append(int(np.float16(np.float32(1.0009)).view(np.uint16)))
        for function, value in ((MathFn.POPCNT, 5), (MathFn.CLZ, 10), (MathFn.CTZ, 1)):
            tile.const(1, 0b111110 if function != MathFn.CLZ else 0b111110)
            tile.emit(Op.FUN1, 5, 1, function, Ty.U16)
            store(5)
            expected.append(value)

    assert results(emit) == expected


def test_memory_is_byte_addressed_with_any_alignment():
    def emit(tile, store):
        at = tile.var("m", 16, 1)
        tile.const(1, at)
        tile.const(2, -2)
        for offset, ty in ((0, Ty.I32), (6, Ty.I32), (3, Ty.I16), (11, Ty.U8)):
            tile.emit(Op.ST, 2, 1, offset, ty)
            tile.emit(Op.LD, 5, 1, offset, ty)
            store(5)
        tile.emit(Op.LD, 5, 1, 0, Ty.U16)
        store(5)

    assert results(emit) == [-2, -2, -2, 254, 0xFFFE]


def test_calls_and_loops():
    tile = Tile()
    out = tile.var("out", 1, 4)
    square = tile.function("square", 1)
    tile.emit(Op.MUL, 1, 1, 1, Ty.I32)
    tile.ret()
    tile.function("main", export=True)
    tile.const(1, 0)
    tile.const(2, 0)
    tile.const(3, 10)
    tile.label("loop")
    tile.emit(Op.MOV, 11, 2)
    tile.emit(Op.CALL, square, 10)
    tile.emit(Op.ADD, 1, 1, 11, Ty.I32)
    tile.emit(Op.ADDI, 2, 2, 1, Ty.I32)
    tile.emit(Op.LT, 4, 2, 3, Ty.I32)
    tile.emit(Op.JNZ, 4, "loop")
    tile.const(5, square)
    tile.emit(Op.LDI, 11, 100)
    tile.emit(Op.CALLR, 5, 10)
    tile.emit(Op.ADD, 1, 1, 11, Ty.I32)
    tile.const(6, out)
    tile.emit(Op.ST, 1, 6, 0, Ty.I32)
    machine = run(tile)
    assert machine.read_bytes(0, 0, 1, 1, out, 4).view(np.int32).item() == sum(i * i for i in range(10)) + 10000


def test_an_endless_loop_respects_max_cycles():
    tile = Tile()
    tile.function("main", export=True)
    tile.label("here")
    tile.emit(Op.JMP, "here")
    machine = Machine(program([[0]], [tile]))
    machine.launch("main")
    assert machine.run("commands", max_cycles=100_000).reason == "max_cycles"


def test_arguments_and_print():
    tile = Tile()
    tile.strings = ["value"]
    tile.function("main", 2, export=True)
    tile.emit(Op.SUB, 3, 1, 2, Ty.I32)
    tile.emit(Op.PRINT, 3, 0, 1, Ty.I32)
    tile.done()
    tile.ret()
    machine = Machine(program([[0, 0]], [tile]))
    machine.launch("main", [40, 42])
    machine.run("commands")
    log = machine.print_log
    assert [(r.pe, r.value, r.string, r.kind) for r in log] == [((0, 0), -2, "value", 1), ((1, 0), -2, "value", 1)]
    with pytest.raises(MeshlangError, match="takes 2 arguments"):
        machine.launch("main", [1])
