"""A slow, plain interpreter of the scalar instructions (meshlang/ir/isa.py), written from their description only.

It runs one function of a tile program on a copy of its memory. Language tests compare it with the engine and with
values computed by hand, so that a mistake in lowering and a mistake in the engine look different. No tasks, DSDs or
queues.
"""

from __future__ import annotations

import numpy as np

from meshlang.ir.isa import TY_SIZE, Op, Ty
from meshlang.ir.program import TileProgram

_SIGNED = (Ty.I8, Ty.I16, Ty.I32, Ty.I64)
_FLOATS = {Ty.F16: (np.float16, np.uint16), Ty.F32: (np.float32, np.uint32)}
_DTYPE = {
    "i8": np.int8,
    "u8": np.uint8,
    "i16": np.int16,
    "u16": np.uint16,
    "i32": np.int32,
    "u32": np.uint32,
    "i64": np.int64,
    "u64": np.uint64,
    "f16": np.float16,
    "f32": np.float32,
    "bool": np.bool_,
}


class Fault(Exception):
    pass


def wrap(v: int, ty: Ty) -> int:
    """As a register holds it: a signed number of 64 bits."""
    bits = 8 * TY_SIZE[ty]
    v &= (1 << bits) - 1
    return v - (1 << bits) if (ty in _SIGNED or ty is Ty.U64) and v >> (bits - 1) else v


def to_float(bits: int, ty: Ty):
    f, u = _FLOATS[ty]
    return u(bits & (0xFFFF if u is np.uint16 else 0xFFFFFFFF)).view(f)


def from_float(x, ty: Ty) -> int:
    f, u = _FLOATS[ty]
    if x != x:
        return 0x7E00 if ty is Ty.F16 else 0x7FC00000  # one NaN, whatever it came from
    with np.errstate(all="ignore"):
        return int(f(x).view(u))


class ReferenceVM:
    def __init__(self, tile: TileProgram, limit: int = 300_000):
        self.tile = tile
        self.memory = bytearray(tile.image.tobytes())
        self.limit = limit
        self.pc = 0  # of the instruction that runs

    # ------------------------------------------------------------ results

    def read(self, name: str) -> np.ndarray:
        """A global variable by name, as a flat array (or a single value)."""
        o = next(o for o in self.tile.objects if o.name == name)
        element = o.type.rpartition("]")[2]
        return np.frombuffer(bytes(self.memory[o.address : o.address + o.size]), dtype=_DTYPE[element])

    def export(self, name: str) -> np.ndarray:
        e = self.tile.exports[name]
        return np.frombuffer(
            bytes(self.memory[e.address : e.address + np.dtype(_DTYPE[e.element]).itemsize]), dtype=_DTYPE[e.element]
        )

    # ------------------------------------------------------------ running

    def call(self, name: str, *args: int) -> None:
        function = next(f for f in self.tile.functions if f.name == name)
        r = [0] * 20000
        for i, a in enumerate(args):
            r[1 + i] = a
        code = self.tile.code.tolist()
        fp, pc, links = 0, function.entry, []
        for _ in range(self.limit):
            w, a, b, c = code[pc]
            self.pc = pc
            op, ty = Op(w & 0xFF), Ty(w >> 8 & 0xF)
            pc += 1
            r[fp] = 0
            if op is Op.RET:
                if not links:
                    return
                pc, fp = links.pop()
            elif op is Op.CALL or op is Op.CALLR:
                links.append((pc, fp))
                pc = self.tile.functions[a if op is Op.CALL else r[fp + a]].entry
                fp += b
                r[fp - 1] = -99  # the link: a caller that keeps something there would lose it
            elif op is Op.JMP:
                pc = a
            elif op is Op.JZ:
                pc = b if r[fp + a] == 0 else pc
            elif op is Op.JNZ:
                pc = b if r[fp + a] != 0 else pc
            else:
                self.step(op, ty, r, fp, a, b, c)
        raise Fault("the program does not end")

    def step(self, op: Op, ty: Ty, r: list[int], fp: int, a: int, b: int, c: int) -> None:
        if op in _ARITHMETIC:
            # constants are loaded with a sign
            x, y = ((v & (1 << 64) - 1 if ty is Ty.U64 else v) for v in (r[fp + b], r[fp + c]))
            r[fp + a] = wrap(_ARITHMETIC[op](x, y, ty), ty)
        elif op in _FLOAT_ARITHMETIC:
            with np.errstate(all="ignore"):
                r[fp + a] = from_float(_FLOAT_ARITHMETIC[op](to_float(r[fp + b], ty), to_float(r[fp + c], ty)), ty)
        elif op in _COMPARE:
            x, y = (
                to_float(r[fp + n], ty) if ty in _FLOATS else r[fp + n] & (1 << 64) - 1 if ty is Ty.U64 else r[fp + n]
                for n in (b, c)
            )
            r[fp + a] = int(_COMPARE[op](x, y))
        elif op is Op.ADDI:
            r[fp + a] = wrap(r[fp + b] + c, ty)
        elif op is Op.MULI:
            r[fp + a] = wrap(r[fp + b] * c, ty)
        elif op is Op.MOV:
            r[fp + a] = r[fp + b]
        elif op is Op.LDI:
            r[fp + a] = b
        elif op is Op.LDIH:
            r[fp + a] = wrap((r[fp + a] & 0xFFFFFFFF) | b << 32, Ty.I64)
        elif op is Op.SEL:
            r[fp + a] = r[fp + a] if r[fp + b] else r[fp + c]
        elif op is Op.LD:
            at, size = r[fp + b] + c, TY_SIZE[ty]
            self.check(at, size)
            r[fp + a] = wrap(int.from_bytes(self.memory[at : at + size], "little"), ty)
        elif op is Op.ST:
            at, size = r[fp + b] + c, TY_SIZE[ty]
            self.check(at, size)
            self.memory[at : at + size] = (r[fp + a] & ((1 << 8 * size) - 1)).to_bytes(size, "little")
        elif op is Op.COPY:
            for i in range(r[fp + c]):
                self.memory[r[fp + a] + i] = self.memory[r[fp + b] + i]
        elif op is Op.NEG:
            r[fp + a] = wrap(-r[fp + b], ty)
        elif op is Op.NOT:
            r[fp + a] = wrap(~r[fp + b], ty)
        elif op is Op.LNOT:
            r[fp + a] = int(r[fp + b] == 0)
        elif op is Op.WRAP:
            r[fp + a] = int(r[fp + b] != 0) if ty is Ty.U8 and c == 1 else wrap(r[fp + b], ty)
        elif op is Op.FNEG:
            r[fp + a] = r[fp + b] ^ (0x8000 if ty is Ty.F16 else 0x80000000)
        elif op is Op.I2F:
            v = r[fp + b] & (1 << 64) - 1 if c == Ty.U64 else r[fp + b]
            r[fp + a] = from_float(float(v) if ty is Ty.F16 else np.float32(v), ty)
        elif op is Op.F2I:
            r[fp + a] = wrap(self.truncate(to_float(r[fp + b], Ty(c)), ty), ty)
        elif op is Op.F2F:
            r[fp + a] = from_float(to_float(r[fp + b], Ty(c)), ty)
        elif op is Op.F2B:
            r[fp + a] = int(to_float(r[fp + b], Ty(c)) != 0)
        elif op is Op.CHK:
            if not 0 <= r[fp + a] < b:
                raise Fault(f"index {r[fp + a]} of {b}")
        elif op is Op.ASSERT:
            if not r[fp + a]:
                raise Fault(self.tile.strings[b])
        elif op is Op.TRAP:
            raise Fault(self.tile.strings[a])
        elif op is not Op.NOP:
            raise NotImplementedError(op)

    def check(self, at: int, size: int) -> None:
        if not 16 <= at <= len(self.memory) - size:
            raise Fault(f"address {at}")

    @staticmethod
    def truncate(x, ty: Ty) -> int:
        bits = 8 * TY_SIZE[ty]
        low, high = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if ty in _SIGNED else (0, (1 << bits) - 1)
        if np.isnan(x):
            return 0
        return low if float(x) <= low else high if float(x) >= high else int(x)


def _divide(x: int, y: int, ty: Ty) -> int:
    if y == 0:
        raise Fault("division by zero")
    q = abs(x) // abs(y)
    return q if (x < 0) == (y < 0) else -q


def _shift(left: bool):
    def shift(x: int, n: int, ty: Ty) -> int:
        if not 0 <= n < 8 * TY_SIZE[ty]:
            raise Fault("shift amount")
        return x << n if left else x >> n

    return shift


_ARITHMETIC = {
    Op.ADD: lambda x, y, t: x + y,
    Op.SUB: lambda x, y, t: x - y,
    Op.MUL: lambda x, y, t: x * y,
    Op.DIV: _divide,
    Op.REM: lambda x, y, t: x - _divide(x, y, t) * y,
    Op.AND: lambda x, y, t: x & y,
    Op.OR: lambda x, y, t: x | y,
    Op.XOR: lambda x, y, t: x ^ y,
    Op.SHL: _shift(True),
    Op.SHR: _shift(False),
}
_FLOAT_ARITHMETIC = {
    Op.FADD: lambda x, y: x + y,
    Op.FSUB: lambda x, y: x - y,
    Op.FMUL: lambda x, y: x * y,
    Op.FDIV: lambda x, y: x / y,
}
_COMPARE = {
    Op.EQ: lambda x, y: x == y,
    Op.NE: lambda x, y: x != y,
    Op.LT: lambda x, y: x < y,
    Op.LE: lambda x, y: x <= y,
}
