"""The types of the language. Every type is interned: equal types are the same object."""

from __future__ import annotations

from math import prod
from typing import Any, NamedTuple

from ...ir.isa import COLORS, Ty  # COLORS: those that can be routed, 0 to 23 on both machines (facts 4.3)

_interned: dict[tuple, Type] = {}


class Type:
    """A type. `name` is how messages show it.

    size, align: bytes in PE memory (0 for types that exist at compile time only).
    ty: the scalar class of instructions for types that fit one register, else None.
    """

    __slots__ = ("name", "size", "align", "ty", "comptime_only")

    def __init__(self, name: str, size: int = 0, ty: Ty | None = None, comptime_only: bool = False, align: int = 0):
        self.name = name
        self.size = size
        self.align = align or min(max(size, 1), 8)
        self.ty = ty
        self.comptime_only = comptime_only

    def __repr__(self) -> str:
        return self.name


class IntType(Type):
    __slots__ = ("bits", "signed", "lo", "hi")

    def __init__(self, bits: int, signed: bool):
        store = 1 if bits <= 8 else 2 if bits <= 16 else 4 if bits <= 32 else 8
        ty = {1: (Ty.U8, Ty.I8), 2: (Ty.U16, Ty.I16), 4: (Ty.U32, Ty.I32), 8: (Ty.U64, Ty.I64)}[store][signed]
        wide = bits > 64
        super().__init__(f"{'i' if signed else 'u'}{bits}", 0 if wide else store, None if wide else ty, wide)
        self.bits, self.signed = bits, signed
        self.lo = -(1 << (bits - 1)) if signed and bits else 0
        self.hi = (1 << (bits - 1)) - 1 if signed and bits else (1 << bits) - 1


class FloatType(Type):
    __slots__ = ()


class IdType(Type):
    """color, task ids, queues, ut_id, direction: a small number with a type of its own."""

    __slots__ = ()


class DsdType(Type):
    __slots__ = ()


class DsrType(Type):
    """dsr_dest, dsr_src0, dsr_src1: values are comptime-known register numbers."""

    __slots__ = ()


class ArrayType(Type):
    __slots__ = ("dims", "elem", "count")

    def __init__(self, dims: tuple[int, ...], elem: Type):
        self.dims, self.elem = dims, elem
        self.count = prod(dims)
        super().__init__(
            f"[{', '.join(map(str, dims))}]{elem.name}",
            self.count * elem.size,
            comptime_only=elem.comptime_only,
            align=elem.align,
        )


class PtrType(Type):
    __slots__ = ("elem", "many", "const")

    def __init__(self, elem: Type, many: bool, const: bool):
        self.elem, self.many, self.const = elem, many, const
        super().__init__(
            f"{'[*]' if many else '*'}{'const ' if const else ''}{elem.name}",
            2,
            Ty.U16,
            comptime_only=elem.comptime_only and not isinstance(elem, FnType) and elem is not ANYOPAQUE,
        )


class FnType(Type):
    __slots__ = ("params", "ret")

    def __init__(self, params: tuple[Type, ...], ret: Type):
        self.params, self.ret = params, ret
        super().__init__(f"fn({', '.join(p.name for p in params)}){ret.name}", comptime_only=True)


class StructType(Type):
    """fields: (name, type) in order; tuples have names "0", "1", .... Named structs are nominal: `tag` tells them
    apart."""

    __slots__ = ("fields", "index", "offsets", "tuple", "tag", "layout", "defaults")

    def __init__(self, fields: tuple[tuple[str, Type], ...], is_tuple: bool, tag: Any, name: str, layout: str):
        self.fields, self.tuple, self.tag, self.layout = fields, is_tuple, tag, layout
        self.index = {n: i for i, (n, _) in enumerate(fields)}
        self.defaults: dict[str, Any] = {}
        offset, align = 0, 1
        self.offsets = []
        for _, t in fields:
            align = max(align, t.align)
            offset = -(-offset // t.align) * t.align
            self.offsets.append(offset)
            offset += t.size
        comptime = any(t.comptime_only for _, t in fields)
        if not name:
            inner = ", ".join(t.name if is_tuple else f"{n}: {t.name}" for n, t in fields)
            name = f"struct {{ {inner} }}"
        super().__init__(name, 0 if comptime else -(-offset // align) * align, comptime_only=comptime, align=align)


class Part(NamedTuple):
    """A field of a BitsType: its type, and where its bits are."""

    type: Type
    shift: int
    width: int


class BitsType(Type):
    """A union, or a packed struct: bits whose fields are parts of them (see bits.py). Up to 64 bits are a word, which
    can be in a register (`ty`); more are in memory, like an array."""

    __slots__ = ("parts", "union", "layout", "defaults", "tag")

    def __init__(self, parts: dict[str, Part], union: bool, layout: str, tag: Any, name: str, size: int):
        unsigned = int_type(8 * size, False)
        align = (
            0 if unsigned.ty is not None else max([2, *(p.type.align for p in parts.values() if layout != "packed")])
        )
        super().__init__(name, size, unsigned.ty, align=align)
        self.parts, self.union, self.layout, self.tag = parts, union, layout, tag
        self.defaults: dict[str, Any] = {}

    @property
    def in_memory(self) -> bool:
        """Is it, or has it fields that are, reached in memory only?"""
        return self.ty is None or any(p.type.ty is None for p in self.parts.values())


def bit_width(t: Type) -> int:
    """Bits a value takes in a packed struct."""
    return (
        1 if t is BOOL else t.bits if isinstance(t, IntType) else t.base.bits if isinstance(t, EnumType) else 8 * t.size
    )


class EnumType(Type):
    __slots__ = ("base", "members", "tag")

    def __init__(self, base: IntType, members: tuple[tuple[str, int], ...], tag: Any, name: str):
        super().__init__(name, base.size, base.ty)
        self.base, self.members, self.tag = base, dict(members), tag


class RangeType(Type):
    __slots__ = ("elem",)

    def __init__(self, elem: Type):
        self.elem = elem
        super().__init__(f"range of {elem.name}", comptime_only=True)


def _intern(key: tuple, make) -> Any:
    found = _interned.get(key)
    if found is None:
        found = _interned[key] = make()
    return found


def int_type(bits: int, signed: bool) -> IntType:
    return _intern(("int", bits, signed), lambda: IntType(bits, signed))


def bits(fields: tuple[tuple[str, Type], ...], union: bool, layout: str, tag: Any, name: str) -> BitsType:
    """A union or packed struct. Its size is 1, 2, 4 or 8 bytes, or else as many words of 16 bits as it needs, rounded
    up to its alignment."""
    parts, at, widest = {}, 0, 0
    for n, t in fields:
        width = bit_width(t) if layout == "packed" else 8 * t.size
        parts[n] = Part(t, 0 if union else at, width)
        at += width
        widest = max(widest, width)
    total = widest if union else at
    size = next((s for s in (1, 2, 4, 8) if total <= 8 * s), 0)
    if size == 0:
        align = max([2, *(t.align for _, t in fields if layout != "packed")])
        size = -(-total // (8 * align)) * align
    return _intern(("bits", fields, union, layout, tag), lambda: BitsType(parts, union, layout, tag, name, size))


def array(dims: tuple[int, ...], elem: Type) -> ArrayType:
    return _intern(("array", dims, elem), lambda: ArrayType(dims, elem))


def pointer(elem: Type, many: bool = False, const: bool = False) -> PtrType:
    return _intern(("ptr", elem, many, const), lambda: PtrType(elem, many, const))


def function(params: tuple[Type, ...], ret: Type) -> FnType:
    return _intern(("fn", params, ret), lambda: FnType(params, ret))


def struct(
    fields: tuple[tuple[str, Type], ...], is_tuple: bool = False, tag: Any = None, name: str = "", layout: str = ""
) -> StructType:
    return _intern(("struct", fields, is_tuple, tag), lambda: StructType(fields, is_tuple, tag, name, layout))


def enum(base: IntType, members: tuple[tuple[str, int], ...], tag: Any, name: str) -> EnumType:
    return _intern(("enum", base, members, tag), lambda: EnumType(base, members, tag, name))


def range_of(elem: Type) -> RangeType:
    return _intern(("range", elem), lambda: RangeType(elem))


BOOL = Type("bool", 1, Ty.U8)
VOID = Type("void", 0, None)
I8, I16, I32, I64 = (int_type(n, True) for n in (8, 16, 32, 64))
U8, U16, U32, U64 = (int_type(n, False) for n in (8, 16, 32, 64))
F16 = FloatType("f16", 2, Ty.F16)
F32 = FloatType("f32", 4, Ty.F32)
BF16 = FloatType("bf16", 2, None, True)
CB16 = FloatType("cb16", 2, None, True)
COMPTIME_INT = Type("comptime_int", comptime_only=True)
COMPTIME_FLOAT = FloatType("comptime_float", comptime_only=True)
COMPTIME_STRING = Type("comptime_string", comptime_only=True)
COMPTIME_STRUCT = Type("comptime_struct", comptime_only=True)
TYPE = Type("type", comptime_only=True)
MODULE = Type("imported_module", comptime_only=True)
ANYTYPE = Type("anytype", comptime_only=True)
ANYOPAQUE = Type("anyopaque", comptime_only=True)
RANGE = Type("range", comptime_only=True)
FN = Type("function", comptime_only=True)  # the type of a bare function name

DIRECTION = IdType("direction", 2, Ty.U16)
COLOR = IdType("color", 2, Ty.U16)
DATA_TASK_ID = IdType("data_task_id", 2, Ty.U16)
LOCAL_TASK_ID = IdType("local_task_id", 2, Ty.U16)
CONTROL_TASK_ID = IdType("control_task_id", 2, Ty.U16)
INPUT_QUEUE = IdType("input_queue", 2, Ty.U16)
OUTPUT_QUEUE = IdType("output_queue", 2, Ty.U16)
UT_ID = IdType("ut_id", 2, Ty.U16)

MEM1D = DsdType("mem1d_dsd", 8, Ty.I64)
MEM4D = DsdType("mem4d_dsd", 8, Ty.I64)
CIRCBUF = DsdType("circbuf_dsd", 8, Ty.I64)
FABIN = DsdType("fabin_dsd", 8, Ty.I64)
FABOUT = DsdType("fabout_dsd", 8, Ty.I64)
FIFO = DsdType("fifo", 8, Ty.I64)

DSR_DEST = DsrType("dsr_dest", comptime_only=True)
DSR_SRC0 = DsrType("dsr_src0", comptime_only=True)
DSR_SRC1 = DsrType("dsr_src1", comptime_only=True)
# DSRs that hold a FIFO
DSR_FIFO_DEST = DsrType("dsr_fifo_dest", comptime_only=True)
DSR_FIFO_SRC1 = DsrType("dsr_fifo_src1", comptime_only=True)
XDSR = IdType("xdsr", comptime_only=True)
SR = IdType("sr", comptime_only=True)

# the largest number of each kind of id on either machine (facts 4.3); what one of them has less is checked where the id
# is used
HIGHEST = {
    DIRECTION: 4,
    COLOR: COLORS - 1,
    DATA_TASK_ID: COLORS - 1,
    LOCAL_TASK_ID: 30,
    CONTROL_TASK_ID: 63,
    INPUT_QUEUE: 7,
    OUTPUT_QUEUE: 7,
    UT_ID: 7,
    XDSR: 15,
    SR: 15,
}

PREDECLARED: dict[str, Type] = {
    t.name: t
    for t in [
        BOOL,
        VOID,
        F16,
        F32,
        BF16,
        CB16,
        COMPTIME_INT,
        COMPTIME_FLOAT,
        COMPTIME_STRING,
        COMPTIME_STRUCT,
        TYPE,
        MODULE,
        RANGE,
        DIRECTION,
        COLOR,
        DATA_TASK_ID,
        LOCAL_TASK_ID,
        CONTROL_TASK_ID,
        INPUT_QUEUE,
        OUTPUT_QUEUE,
        UT_ID,
        MEM1D,
        MEM4D,
        CIRCBUF,
        FABIN,
        FABOUT,
        DSR_DEST,
        DSR_SRC0,
        DSR_SRC1,
        DSR_FIFO_DEST,
        DSR_FIFO_SRC1,
        XDSR,
        SR,
        ANYTYPE,
        ANYOPAQUE,
    ]
}


def named_type(name: str) -> Type | None:
    """A predeclared type; integer types of any width up to 16777215 bits (2.10)."""
    found = PREDECLARED.get(name)
    if found is None and len(name) > 1 and name[0] in "iu" and name[1:].isdigit():
        bits = int(name[1:])
        if bits <= 16777215 and (name[1] != "0" or bits == 0):
            found = PREDECLARED[name] = int_type(bits, name[0] == "i")
    return found


def kept_in_memory(t: Type) -> bool:
    """Is a run-time value of the type always a place in memory?"""
    return isinstance(t, ArrayType) or isinstance(t, BitsType) and t.ty is None


def is_int(t: Type) -> bool:
    return isinstance(t, IntType) or t is COMPTIME_INT


def is_float(t: Type) -> bool:
    return isinstance(t, FloatType)


def is_numeric(t: Type) -> bool:
    return isinstance(t, (IntType, FloatType)) or t is COMPTIME_INT


def flatten(t: Type) -> list[Type]:
    """The scalars a value of type `t` takes in registers: a struct is its fields, one after the other; what exists at
    compile time only takes none."""
    if isinstance(t, StructType):
        return [s for _, f in t.fields for s in flatten(f)]
    return [] if t is VOID or t.comptime_only else [t]
