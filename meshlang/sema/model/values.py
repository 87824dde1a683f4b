"""What an expression yields: a value known at compile time, one in a register, or a place in memory."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ...ir.program import DIRECTIONS
from ...syntax.text import shown
from . import types as T


class Known:
    """A comptime-known value: type and Python payload.

    Payloads: int (integers, ids, enums, DSR numbers), float (rounded to its type), bool, str, Type, None (void),
    dict name -> Known (structs and tuples), ArrayValue, RangeValue, Pointer, FnValue, Dsd, ModuleInstance.
    """

    __slots__ = ("ty", "v")

    def __init__(self, ty: T.Type, v: Any):
        self.ty = ty
        self.v = v

    def __repr__(self) -> str:
        return f"Known({self.ty}, {self.v!r})"


class Reg:
    """A run-time scalar in a register of the current frame."""

    __slots__ = ("ty", "reg")

    def __init__(self, ty: T.Type, reg: int):
        self.ty, self.reg = ty, reg


class Fields:
    """A run-time struct held as its fields (each Known, Reg or Fields)."""

    __slots__ = ("ty", "v")

    def __init__(self, ty: T.StructType | T.BitsType, v: dict[str, Any]):
        self.ty, self.v = ty, v


class Mem:
    """A place in PE memory: register `base` (0: none) + `offset`. `const` places cannot be stored to."""

    __slots__ = ("ty", "base", "offset", "const", "var")

    def __init__(self, ty: T.Type, base: int, offset: int, const: bool = False, var: Any = None):
        self.ty, self.base, self.offset, self.const, self.var = ty, base, offset, const, var


class RegVar:
    """A run-time `var` kept in a register."""

    __slots__ = ("ty", "reg", "name")

    def __init__(self, ty: T.Type, reg: int, name: str):
        self.ty, self.reg, self.name = ty, reg, name


class BitsRef:
    """A field of a union or packed struct that is not a place of its own: read and written through the word `place`."""

    __slots__ = ("ty", "place", "part", "const")

    def __init__(self, ty: T.Type, place: Any, part: T.Part, const: bool):
        self.ty, self.place, self.part, self.const = ty, place, part, const


class Cell:
    """A `comptime var` (or any `var` of comptime code). `v` is Known; `open`: no type was declared, later values may
    change it."""

    __slots__ = ("ty", "v", "depth", "name", "open", "born")
    count = 0  # how many there have been

    def __init__(self, ty: T.Type | None, v: Known, depth: int, name: str):
        Cell.count += 1
        self.born = Cell.count
        self.ty, self.v, self.depth, self.name = ty or v.ty, v, depth, name
        self.open = ty is None and v.ty.comptime_only


class ElemRef:
    """An element or field of a comptime variable: assignable, reads and writes through `get` and `set`."""

    __slots__ = ("ty", "get", "set")

    def __init__(self, ty: T.Type, get, set):
        self.ty, self.get, self.set = ty, get, set


@dataclass(eq=False, slots=True, repr=False)
class GlobalVar:
    """A variable (or constant with an address) in PE memory. `address` is given at first run-time use."""

    name: str
    type: T.Type
    init: Known | None
    const: bool
    span: Any
    align: int = 0
    address: int = -1
    module: Any = None

    def __repr__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True, repr=False)
class Pointer:
    """A comptime-known pointer: into a global variable (`var`), or a plain address."""

    var: GlobalVar | None
    offset: int  # bytes

    def __repr__(self) -> str:
        if self.var is None:
            return f"address {self.offset}"
        return f"&{self.var}" + (f" + {self.offset} bytes" if self.offset else "")


@dataclass(eq=False, slots=True, repr=False)
class FnValue:
    decl: Any  # ast.FnDecl
    module: Any  # ModuleInstance

    def __repr__(self) -> str:
        return self.decl.name


@dataclass(slots=True, repr=False)
class RangeValue:
    elem: T.Type
    start: Any  # Known or Reg
    stop: Any
    step: Any

    def __repr__(self) -> str:
        return (
            f"@range({self.elem}, {', '.join(str(getattr(x, 'v', '?')) for x in (self.start, self.stop, self.step))})"
        )


class ArrayValue:
    """A comptime array: numpy data for numeric elements, a list of payloads otherwise. Copied on assignment.

    An element whose own type is not the array's (a struct in an array of comptime_struct) is kept as a Known."""

    __slots__ = ("data",)

    def __init__(self, data: Any):
        self.data = data

    def copy(self) -> ArrayValue:
        if isinstance(self.data, np.ndarray):
            return ArrayValue(self.data.copy())
        return ArrayValue([_own_element(e) for e in self.data])


@dataclass(frozen=True, slots=True)
class Dsd:
    """A comptime-known DSD. Memory: base, length, stride (elements), element bytes. Fabric: queue, color, flags."""

    kind: str  # "mem1d", "mem4d", "circbuf", "fabin", "fabout", "fifo"
    base: Pointer | None = None
    length: int = 0
    stride: int = 1
    elem: int = 2  # bytes
    extents: tuple[int, ...] = ()  # mem4d: outermost first
    strides: tuple[int, ...] = ()  # mem4d: innermost first, jumps in elements
    wraparound: int = 0  # circbuf: elements of the ring
    queue: int | None = None
    color: int | None = None
    simd: int = 0
    priority: int = 0
    control_transform: bool = False
    control: bool = False
    advance_switch: bool = False
    wavelet_index_offset: bool = False
    zero: int = 0

    def with_(self, **changes) -> Dsd:
        return replace(self, **changes)


VOID = Known(T.VOID, None)
ABSENT = Known(T.VOID, None)  # a field that a library's struct has so that it can be read; @concat_structs fills it in
POISON = Known(T.Type("<error>"), None)  # stands for a value whose computation was reported
TRUE, FALSE = Known(T.BOOL, True), Known(T.BOOL, False)


def own(value: Known) -> Known:
    """A copy that shares nothing that can change: what a comptime variable holds, and what is read out of one."""
    v = value.v
    if isinstance(v, ArrayValue):
        return Known(value.ty, v.copy())
    if isinstance(v, dict):
        return Known(value.ty, {n: own(f) for n, f in v.items()})
    return value


def _own_element(e: Any) -> Any:
    """The same for what an array keeps of an element."""
    if isinstance(e, Known):
        return own(e)
    return {n: own(f) for n, f in e.items()} if isinstance(e, dict) else e


class KeyedCache:
    """Results by a value's identity of content, with a short cut for the very same object: layouts pass one struct for
    hundreds of thousands of PEs. The short cut keeps its values alive, so that an id cannot be reused."""

    def __init__(self, short: int = 4096):
        self.by_key: dict[Any, Any] = {}
        self.by_id: dict[int, tuple[Any, Any]] = {}
        self.short = short

    def get(self, value: Any, make: Any) -> Any:
        hit = self.by_id.get(id(value))
        if hit is not None:
            return hit[1]
        k = key(value)
        if k in self.by_key:
            found = self.by_key[k]
        else:
            found = self.by_key[k] = make()
        if len(self.by_id) >= self.short:
            self.by_id.clear()
        self.by_id[id(value)] = (value, found)
        return found


class Shared:
    """Values made from others: what is made from the very same ones again is the very same value, and a KeyedCache that
    gets it takes its short cut. In a layout's inner loop most structs are. Numbers are the same if they are equal. The
    entries keep their parts alive, so that an id cannot be reused."""

    def __init__(self, most: int = 1 << 14):
        self.entries: dict[tuple, tuple[tuple, Known]] = {}
        self.most = most

    def get(self, what: Any, parts: tuple, make: Any, keep: Any = None) -> Any:
        """`what` and `parts` decide; `make()` builds. Kept are Known values, if `keep()` says so afterwards."""
        k = (what, *[(p.ty, p.v) if p.__class__ is Known and p.v.__class__ is int else id(p) for p in parts])
        hit = self.entries.get(k)
        if hit is not None:
            return hit[1]
        value = make()
        if value.__class__ is Known and (keep is None or keep()):
            if len(self.entries) >= self.most:
                self.entries.clear()
            self.entries[k] = (parts, value)
        return value


def key(value: Any) -> Any:
    """A hashable identity of a comptime value: equal keys mean indistinguishable values (used to share tile
    programs)."""
    v = value.v
    if isinstance(v, dict):
        return (value.ty, tuple((n, key(f)) for n, f in v.items()))
    if isinstance(v, ArrayValue):
        data = v.data
        if isinstance(data, np.ndarray):
            return (value.ty, data.tobytes())
        return (value.ty, tuple(key(e if isinstance(e, Known) else Known(value.ty.elem, e)) for e in data))
    if isinstance(v, FnValue):
        return (value.ty, id(v.decl), id(v.module))
    if isinstance(v, float):
        return (value.ty, v.hex())
    if v.__hash__ is None:
        return (value.ty, id(v))
    return (value.ty, v)


def show(value: Any) -> str:
    """A comptime value as text, for messages and @comptime_print."""
    if not isinstance(value, Known):
        return f"<run-time {value.ty}>"
    v = value.v
    if isinstance(v, dict):
        inner = ", ".join(
            show(f) if isinstance(value.ty, T.StructType) and value.ty.tuple else f".{n} = {show(f)}"
            for n, f in v.items()
        )
        return f".{{ {inner} }}" if inner else ".{}"
    if isinstance(v, ArrayValue):
        elem = value.ty.elem if isinstance(value.ty, T.ArrayType) else None
        first = v.data[:64].tolist() if isinstance(v.data, np.ndarray) else v.data[:64]
        items = ", ".join(show(e if isinstance(e, Known) or elem is None else Known(elem, e)) for e in first)
        return f"{value.ty} {{ {items}{', ...' if len(v.data) > 64 else ''} }}"
    if isinstance(v, bool):
        return "true" if v else "false"
    if isinstance(value.ty, T.EnumType):
        return next((n for n, m in value.ty.members.items() if m == v), str(v))
    if value.ty is T.DIRECTION:
        return DIRECTIONS[v]
    if v is None:
        return "{}"
    return shown(str(v))
