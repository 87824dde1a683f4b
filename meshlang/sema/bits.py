"""Unions and packed structs: one word in a register or in memory, whose fields are parts of it.

A value of such a type (`types.BitsType`) is a scalar as wide as the type. A field that fills whole bytes of a place in memory is a
place of its own there; any other field is a `BitsRef`, read and written through the word it belongs to.
"""

from __future__ import annotations

from typing import Any

from ..ir.isa import Op, Ty
from . import ops
from . import types as T
from .context import Context
from .values import BitsRef, Cell, ElemRef, Fields, Known, Mem, Reg, RegVar


class UnionPayload(int):
    """The bits of a comptime union, and which field was given."""
    active: str


class Bits(Context):
    """Construction and fields of unions and packed structs."""

    def bits_of(self, value: Known) -> int:
        """A comptime scalar as unsigned bits."""
        return int(self.unit.scalar_bits(value)) & ((1 << 8 * value.ty.size) - 1)

    def known_bits(self, t: T.Type, bits: int) -> Known:
        """The comptime value of type `t` with these bits."""
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
            self.fail("MS0202", f"a value of the union {t} has one field, {len(given)} are given", node, "name the field that holds the value")
        missing = [] if t.union else [n for n in t.parts if n not in given and n not in t.defaults]
        if missing:
            self.fail("MS0202", f"{t}: field '{missing[0]}' is missing", node)
        fields = {n: self.coerce(given[n], t.parts[n].type, node) if n in given else t.defaults[n] for n in t.parts if n in given or not t.union}
        for n in fields:
            self.scalar_part(t, n, node)
        known = 0
        for n, v in fields.items():
            if isinstance(v, Known):
                known |= (self.bits_of(v) & ((1 << t.parts[n].width) - 1)) << t.parts[n].shift
        if all(isinstance(v, Known) for v in fields.values()):
            payload = UnionPayload(known) if t.union and not t.layout else known
            if isinstance(payload, UnionPayload):
                payload.active = next(iter(fields))
            return Known(t, payload)
        r = self.fb.reg()
        self.fb.constant(known, r)
        for n, v in fields.items():
            if not isinstance(v, Known):
                self.merge(r, v, t.parts[n], node)
        return Reg(t, r)

    def scalar_part(self, t: T.BitsType, name: str, node: Any) -> T.Part:
        """A field that is a number or the like, as a value in a register must be."""
        part = t.parts[name]
        if part.type.ty is None:
            self.fail("MS0339", f"the field '{name}' of {t} is a {part.type}: it can be reached in memory only", node,
                      "keep the union in a 'var', and use the field of that")
        return part

    def merge(self, r: int, value: Any, part: T.Part, node: Any) -> None:
        """Put a run-time field into the word in register r, where its bits are zero."""
        mark = self.fb.mark()
        x = self.fb.reg()
        self.emit(node, Op.AND, x, self.to_reg(value, node), self.fb.constant((1 << part.width) - 1))
        if part.shift:
            self.emit(node, Op.SHL, x, x, self.fb.constant(part.shift), Ty.U64)
        self.emit(node, Op.OR, r, r, x)
        self.fb.release(mark)

    def extract(self, word: int, part: T.Part, node: Any) -> Reg:
        """The field of the word in a register, in the normal form of its type."""
        r = self.fb.reg()
        mark = self.fb.mark()
        self.emit(node, Op.MOV, r, word)
        if part.shift:
            self.emit(node, Op.SHR, r, r, self.fb.constant(part.shift), Ty.U64)
        self.emit(node, Op.AND, r, r, self.fb.constant((1 << part.width) - 1))
        self.fb.release(mark)
        if isinstance(part.type, T.IntType) and part.type.signed:
            self.emit(node, Op.WRAP, r, r, 0, part.type.ty)
            self.narrow(r, part.type, node)
        return Reg(part.type, r)

    def bits_member(self, base: Any, name: str, node: Any) -> Any:
        """Field `name` of a union or packed struct: a value, or a place if `base` is one."""
        t: T.BitsType = base.ty
        part = t.parts[name]
        if isinstance(base, Known):
            active = getattr(base.v, "active", name)
            if active != name:
                self.fail("MS0340", f"'{name}' is read of a union that holds '{active}'", node,
                          "an extern or packed union may be read through any field")
            self.scalar_part(t, name, node)
            return self.known_bits(part.type, (int(base.v) >> part.shift) & ((1 << part.width) - 1))
        if isinstance(base, Mem) and part.shift % 8 == 0 and part.width == 8 * part.type.size:
            return Mem(part.type, base.base, base.offset + part.shift // 8, base.const, base.var)
        self.scalar_part(t, name, node)
        if isinstance(base, (Mem, RegVar, BitsRef)):
            return BitsRef(part.type, base, part, getattr(base, "const", False))
        if isinstance(base, (Cell, ElemRef)):
            def current() -> Known:
                return base.v if isinstance(base, Cell) else base.get()

            def change(value: Known) -> None:
                whole = self.make_bits(t, Fields(t, {name: value}), node).v if t.union else (
                    int(current().v) & ~(((1 << part.width) - 1) << part.shift)
                    | (self.bits_of(value) & ((1 << part.width) - 1)) << part.shift)
                if isinstance(base, Cell):
                    base.v = Known(t, whole)
                else:
                    base.set(Known(t, whole))
            return ElemRef(part.type, lambda: self.bits_member(current(), name, node), change)
        return self.extract(self.to_reg(base, node), part, node)

    def load_bits(self, ref: BitsRef, node: Any) -> Reg:
        return self.extract(self.to_reg(self.load(ref.place, node), node), ref.part, node)

    def store_bits(self, ref: BitsRef, value: Any, node: Any) -> None:
        mark = self.fb.mark()
        r = self.fb.reg()
        field = ((1 << ref.part.width) - 1) << ref.part.shift
        self.emit(node, Op.AND, r, self.to_reg(self.load(ref.place, node), node), self.fb.constant(~field & ((1 << 64) - 1)))
        self.merge(r, value, ref.part, node)
        self.store(ref.place, Reg(ref.place.ty, r), node)
        self.fb.release(mark)
