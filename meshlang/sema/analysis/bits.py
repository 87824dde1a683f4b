"""Unions and packed structs: bits in a register or in memory, whose fields are parts of them.

A value of such a type (`types.BitsType`) of up to 64 bits is a scalar as wide as the type; of more, it is in memory as
an array is. A field that fills whole bytes of a place in memory is a place of its own there; any other field is a
`BitsRef`, read and written through the word it belongs to. At compile time all of them are Python integers.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...ir.isa import Op, Ty
from ..model import ops
from ..model import types as T
from ..model.values import ArrayValue, BitsRef, Cell, ElemRef, Fields, GlobalVar, Known, Mem, Reg, RegVar
from .context import Context


class UnionPayload(int):
    """The bits of a comptime union, and which field was given."""

    active: str


class Bits(Context):
    """Construction and fields of unions and packed structs."""

    def bits_of(self, value: Known) -> int:
        """A comptime value as unsigned bits: those it has in memory."""
        return int.from_bytes(self.unit.encode(value.ty, value.v), "little")

    def known_bits(self, t: T.Type, bits: int) -> Known:
        """The comptime value of type `t` with these bits."""
        if isinstance(t, T.ArrayType):
            width = 8 * t.elem.size
            data = [self.known_bits(t.elem, bits >> width * i & (1 << width) - 1).v for i in range(t.count)]
            dtype = ops.dtype(t.elem)
            return Known(t, ArrayValue(np.array(data, dtype=dtype) if dtype else data))
        if isinstance(t, T.StructType):
            return Known(
                t,
                {
                    n: self.known_bits(f, bits >> 8 * at & (1 << 8 * f.size) - 1)
                    for (n, f), at in zip(t.fields, t.offsets, strict=True)
                },
            )
        if T.is_float(t):
            return Known(t, ops.bits_float(bits, t))
        if isinstance(t, T.IntType):
            return Known(t, ops.wrap(bits, t))
        return Known(t, bool(bits) if t is T.BOOL else bits)

    def make_bits(self, t: T.BitsType, value: Any, node: Any) -> Any:
        """A union or packed struct from a struct literal with its fields."""
        given = value.v
        unknown = [n for n in given if n not in t.parts]
        if unknown:
            self.fail("MS0202", f"{t} has no field '{unknown[0]}'", node, notes=[f"fields: {', '.join(t.parts)}"])
        if t.union and len(given) != 1:
            self.fail(
                "MS0202",
                f"a value of the union {t} has one field, {len(given)} are given",
                node,
                "name the field that holds the value",
            )
        missing = [] if t.union else [n for n in t.parts if n not in given and n not in t.defaults]
        if missing:
            self.fail("MS0202", f"{t}: field '{missing[0]}' is missing", node)
        fields = {
            n: self.coerce(given[n], t.parts[n].type, node) if n in given else t.defaults[n]
            for n in t.parts
            if n in given or not t.union
        }
        known = 0
        for n, v in fields.items():
            if isinstance(v, Known):
                known |= (self.bits_of(v) & ((1 << t.parts[n].width) - 1)) << t.parts[n].shift
        if all(isinstance(v, Known) for v in fields.values()):
            payload = UnionPayload(known) if t.union and not t.layout else known
            if isinstance(payload, UnionPayload):
                payload.active = next(iter(fields))
            return Known(t, payload)
        if t.in_memory:
            var = GlobalVar(self.module.qualified("union" if t.union else "packed"), t, None, False, node.span)
            self.builder.statics.append(("the value", node.span))
            place = Mem(t, 0, 0, False, var)
            self.store(place, Known(t, known), node)
            for n, v in fields.items():
                if not isinstance(v, Known):
                    self.store(self.bits_member(place, n, node), v, node)
            return Mem(t, 0, 0, True, var)
        r = self.builder.reg()
        self.builder.constant(known, r)
        for n, v in fields.items():
            if not isinstance(v, Known):
                self.merge(r, v, t.parts[n], node)
        return Reg(t, r)

    def scalar_part(self, t: T.BitsType, name: str, node: Any) -> T.Part:
        """A field that is a number or the like, as a value in a register must be."""
        part = t.parts[name]
        if part.type.ty is None:
            self.fail(
                "MS0339",
                f"the field '{name}' of {t} is a {part.type}: it can be reached in memory only",
                node,
                "keep the union in a 'var', and use the field of that",
            )
        return part

    def merge(self, r: int, value: Any, part: T.Part, node: Any) -> None:
        """Put a run-time field into the word in register r, where its bits are zero."""
        mark = self.builder.mark()
        x = self.builder.reg()
        self.emit(node, Op.AND, x, self.to_reg(value, node), self.builder.constant((1 << part.width) - 1))
        if part.shift:
            self.emit(node, Op.SHL, x, x, self.builder.constant(part.shift), Ty.U64)
        self.emit(node, Op.OR, r, r, x)
        self.builder.release(mark)

    def extract(self, word: int, part: T.Part, node: Any) -> Reg:
        """The field of the word in a register, in the normal form of its type."""
        r = self.builder.reg()
        mark = self.builder.mark()
        self.emit(node, Op.MOV, r, word)
        if part.shift:
            self.emit(node, Op.SHR, r, r, self.builder.constant(part.shift), Ty.U64)
        self.emit(node, Op.AND, r, r, self.builder.constant((1 << part.width) - 1))
        self.builder.release(mark)
        if isinstance(part.type, T.IntType) and part.type.signed:
            self.emit(node, Op.WRAP, r, r, 0, self.scalar(part.type, node))
            self.narrow(r, part.type, node)
        return Reg(part.type, r)

    def bits_member(self, base: Any, name: str, node: Any) -> Any:
        """Field `name` of a union or packed struct: a value, or a place if `base` is one."""
        t: T.BitsType = base.ty
        part = t.parts[name]
        if isinstance(base, Known):
            active = getattr(base.v, "active", name)
            if active != name:
                self.fail(
                    "MS0340",
                    f"'{name}' is read of a union that holds '{active}'",
                    node,
                    "an extern or packed union may be read through any field",
                )
            return self.known_bits(part.type, (int(base.v) >> part.shift) & ((1 << part.width) - 1))
        if isinstance(base, Mem) and part.shift % 8 == 0 and part.width == 8 * part.type.size:
            return Mem(part.type, base.base, base.offset + part.shift // 8, base.const, base.var)
        if isinstance(base, Mem) and t.ty is None:
            return self.window(base, part, node)
        if isinstance(base, (Mem, RegVar, BitsRef, Reg)):
            self.scalar_part(t, name, node)
        if isinstance(base, (Mem, RegVar, BitsRef)):
            return BitsRef(part.type, base, part, getattr(base, "const", False))
        if isinstance(base, (Cell, ElemRef)):

            def current() -> Known:
                return base.v if isinstance(base, Cell) else base.get()

            def change(value: Known) -> None:
                whole = (
                    self.make_bits(t, Fields(t, {name: value}), node).v
                    if t.union
                    else (
                        int(current().v) & ~(((1 << part.width) - 1) << part.shift)
                        | (self.bits_of(value) & ((1 << part.width) - 1)) << part.shift
                    )
                )
                if isinstance(base, Cell):
                    base.v = Known(t, whole)
                else:
                    base.set(Known(t, whole))

            return ElemRef(part.type, lambda: self.bits_member(current(), name, node), change)
        return self.extract(self.to_reg(base, node), part, node)

    def window(self, base: Mem, part: T.Part, node: Any) -> BitsRef:
        """A field inside a place of more than 64 bits: part of a word of that place that holds all of it."""
        first = part.shift // 8
        size = next((s for s in (1, 2, 4, 8) if part.shift - 8 * first + part.width <= 8 * s), 0)
        if size == 0:
            self.fail(
                "MS0399",
                f"a field of {part.width} bits that begins inside a byte, in a packed struct of more than 64 bits, is not supported",
                node,
                "begin it at a multiple of 8 bits",
            )
        first = min(first, base.ty.size - size)
        word = T.int_type(8 * size, False)
        return BitsRef(
            part.type,
            Mem(word, base.base, base.offset + first, base.const, base.var),
            T.Part(part.type, part.shift - 8 * first, part.width),
            base.const,
        )

    def load_bits(self, ref: BitsRef, node: Any) -> Reg:
        return self.extract(self.to_reg(self.load(ref.place, node), node), ref.part, node)

    def store_bits(self, ref: BitsRef, value: Any, node: Any) -> None:
        mark = self.builder.mark()
        r = self.builder.reg()
        field = ((1 << ref.part.width) - 1) << ref.part.shift
        self.emit(
            node,
            Op.AND,
            r,
            self.to_reg(self.load(ref.place, node), node),
            self.builder.constant(~field & ((1 << 64) - 1)),
        )
        self.merge(r, value, ref.part, node)
        self.store(ref.place, Reg(ref.place.ty, r), node)
        self.builder.release(mark)
