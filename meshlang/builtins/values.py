"""Builtins on types and values: conversions, arrays, structs, ranges, strings, modules, assertions."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from ..diag import MeshlangError
from ..ir import isa
from ..ir.isa import PE_MEMORY, Op, Sys
from ..sema.model import ops
from ..sema.model import types as T
from ..sema.model.protocol import Analysis
from ..sema.model.values import ABSENT, FALSE, TRUE, VOID, ArrayValue, Known, Pointer, RangeValue, Reg, show
from ..syntax import ast
from ..syntax.text import from_bytes, to_bytes
from .registry import builtin


@builtin("as", "T, value", doc="Convert a number, bool or enum to the type T.")
def as_(cx: Analysis, node: ast.BuiltinCall, hint: T.Type | None) -> Any:
    t = cx.type_expr(node.args[0])
    return cx.convert(cx.rv(node.args[1], t), t, node)


@builtin("bitcast", "T, value", doc="The same bits as another type of the same size.")
def bitcast(cx: Analysis, node: ast.BuiltinCall, hint: T.Type | None) -> Any:
    t = cx.type_expr(node.args[0])
    value = cx.rv(node.args[1])
    s = value.ty
    if s is T.COMPTIME_INT and isinstance(t, (T.IntType, T.FloatType, T.PtrType)):
        size = t.size * 8
        if not -(1 << (size - 1)) <= value.v < 1 << size:
            cx.fail("MS0302", f"{value.v} does not fit in the {size} bits of {t}", node)
        value, s = Known(T.int_type(size, False), value.v & ((1 << size) - 1)), T.int_type(size, False)
    if s.ty is None and not T.is_float(s) or t.ty is None and not T.is_float(t):
        cx.fail("MS0301", f"@bitcast cannot turn {s} into {t}", node)
    if s.size != t.size:
        cx.fail("MS0333", f"@bitcast needs equal sizes: {s} has {8 * s.size} bits, {t} has {8 * t.size}", node)
    if isinstance(value, Known):
        if isinstance(value.v, Pointer) and isinstance(t, T.PtrType):
            return Known(t, value.v)
        bits = cx.unit.scalar_bits(value) & ((1 << 8 * s.size) - 1)
        if isinstance(t, T.PtrType):
            if bits >= PE_MEMORY:
                register_pointer(cx, bits >> 1)
            return Known(t, Pointer(None, bits))
        return cx.known_bits(t, bits)
    if isinstance(t, T.PtrType) and not isinstance(s, T.PtrType):
        cx.unit.register_pointers = True
    if isinstance(t, T.IntType) and (t.signed or isinstance(s, T.IntType) and s.signed):
        r = cx.builder.reg()
        cx.emit(node, Op.WRAP, r, value.reg, 0, cx.scalar(t, node))
        return Reg(t, r)
    if isinstance(s, T.IntType) and s.signed:  # to a float or pointer: drop the sign extension
        r = cx.builder.reg()
        cx.emit(node, Op.WRAP, r, value.reg, 0, cx.scalar(T.int_type(8 * s.size, False), node))
        return Reg(t, r)
    return Reg(t, value.reg)


def register_pointer(cx, word: int) -> None:
    """A pointer into the configuration space. The register of a color needs a router that knows the color."""
    cx.unit.register_pointers = True
    for base in (isa.COLOR_REGISTERS, isa.SWITCH_REGISTERS):
        if 0 <= word - base < isa.COLORS and cx.fb is not None:
            cx.unit.route_colors.add(word - base)


@builtin("ptrcast", "PT, pointer", doc="A pointer of another type to the same place.")
def ptrcast(cx: Analysis, node: ast.BuiltinCall, hint: T.Type | None) -> Any:
    t = cx.type_expr(node.args[0])
    value = cx.rv(node.args[1])
    if not isinstance(t, T.PtrType) or not isinstance(value.ty, T.PtrType):
        cx.fail("MS0301", f"@ptrcast takes a pointer type and a pointer, found {t} and {value.ty}", node)
    if isinstance(value, Known):
        return Known(t, value.v)
    return Reg(t, value.reg)


@builtin("type_of", "expr", doc="The type of an expression, which is not evaluated.")
def type_of(cx: Analysis, node: ast.BuiltinCall, hint: T.Type | None) -> Any:
    return Known(T.TYPE, cx.type_of(node.args[0]))


@builtin("is_same_type", "A, B", doc="Whether two types are the same.")
def is_same_type(cx: Analysis, node: ast.BuiltinCall, hint: T.Type | None) -> Any:
    return TRUE if cx.type_expr(node.args[0]) is cx.type_expr(node.args[1]) else FALSE


@builtin("fp16", "", doc="The 16-bit float type of this program (--fp16-format).")
def fp16(cx: Analysis, node: ast.BuiltinCall, hint: T.Type | None) -> Any:
    return Known(T.TYPE, T.PREDECLARED[cx.unit.fp16])


def array_arg(cx: Analysis, node, i: int) -> T.ArrayType:
    t: Any = cx.type_expr(node.args[i])
    if not isinstance(t, T.ArrayType):
        cx.fail("MS0301", f"@{node.name} takes an array type, found {t}", node.args[i], "for example [4]f32")
    return t


@builtin("zeros", "AT", doc="An array of zeros.")
def zeros(cx: Analysis, node: ast.BuiltinCall, hint: T.Type | None) -> Any:
    t = array_arg(cx, node, 0)
    if not T.is_numeric(t.elem):
        cx.fail("MS0301", f"@zeros takes an array of numbers, found {t}", node, f"use @constants({t}, value)")
    return Known(t, ops.fill(t, 0))


@builtin("constants", "AT, value", doc="An array that repeats one value.")
def constants(cx: Analysis, node: ast.BuiltinCall, hint: T.Type | None) -> Any:
    t = array_arg(cx, node, 0)
    value = cx.coerce(cx.rv(node.args[1], t.elem), t.elem, node.args[1])
    if isinstance(value, Known):
        return Known(t, ops.fill(t, ops.element(t, value)))
    cx.fail(
        "MS0310",
        "@constants takes a value known at compile time",
        node.args[1],
        "fill the array in a loop, or with a DSD operation",
    )


@builtin("rank", "AT", doc="The number of dimensions (u16).")
def rank(cx: Analysis, node: ast.BuiltinCall, hint: T.Type | None) -> Any:
    return Known(T.U16, len(array_arg(cx, node, 0).dims))


@builtin("dimensions", "AT", doc="The dimensions, as [rank]u32.")
def dimensions(cx: Analysis, node: ast.BuiltinCall, hint: T.Type | None) -> Any:
    t = array_arg(cx, node, 0)
    return Known(T.array((len(t.dims),), T.U32), ArrayValue(np.array(t.dims, dtype=np.uint32)))


@builtin("element_count", "AT", doc="The number of elements (u32).")
def element_count(cx: Analysis, node: ast.BuiltinCall, hint: T.Type | None) -> Any:
    return Known(T.U32, array_arg(cx, node, 0).count)


@builtin("element_type", "AT", doc="The type of the elements.")
def element_type(cx: Analysis, node: ast.BuiltinCall, hint: T.Type | None) -> Any:
    return Known(T.TYPE, array_arg(cx, node, 0).elem)


@builtin("field", "struct, name", doc="The field of a struct, by name; can be assigned to.")
def field(cx: Analysis, node: ast.BuiltinCall, hint: T.Type | None) -> Any:
    name = cx.known(node.args[1])
    if name.ty is not T.COMPTIME_STRING:
        cx.fail("MS0301", f"@field takes a string, found {name.ty}", node.args[1])
    return cx.member(cx.ev(node.args[0]), name.v, node)


@builtin("has_field", "struct, name", doc="Whether a struct (value or type) or module has a field.")
def has_field(cx: Analysis, node: ast.BuiltinCall, hint: T.Type | None) -> Any:
    value, name = cx.rv(node.args[0]), cx.known(node.args[1]).v
    t = value.v if value.ty is T.TYPE else value.ty
    if t is T.MODULE:
        return TRUE if name in value.v.decls else FALSE
    names = t.index if isinstance(t, T.StructType) else t.parts if isinstance(t, T.BitsType) else ()
    return TRUE if name in names else FALSE


@builtin("concat_structs", "a, b", doc="One struct with the fields of both (1.4).")
def concat_structs(cx: Analysis, node: ast.BuiltinCall, hint: T.Type | None) -> Any:
    a, b = cx.rv(node.args[0]), cx.rv(node.args[1])
    for v, n in ((a, node.args[0]), (b, node.args[1])):
        if not isinstance(v.ty, T.StructType):
            cx.fail("MS0301", f"@concat_structs takes structs, found {v.ty}", n)
    return cx.unit.compiler.shared.get("concat", (a, b), lambda: _joined(cx, node, a, b))


def _joined(cx, node, a, b):
    if not a.v or not b.v:
        return a if not b.v else b
    if a.ty.tuple != b.ty.tuple:
        cx.fail("MS0334", "@concat_structs cannot join a tuple and a struct with named fields", node)
    if a.ty.tuple:
        return cx.make_struct({str(i): v for i, v in enumerate([*a.v.values(), *b.v.values()])}, True)
    both = [n for n in a.v if n in b.v and a.v[n] is not ABSENT and b.v[n] is not ABSENT]
    if both:
        cx.fail("MS0334", f"@concat_structs: both structs have the field '{both[0]}'", node)
    given = {n: v for n, v in b.v.items() if v is not ABSENT or n not in a.v}
    return cx.make_struct({**a.v, **given}, False)


# ---------------------------------------------------------------- ranges


@builtin(
    "range", "T, start_or_stop[, stop, step]", doc="The values 0 .. stop - 1, or start, start + step, ... before stop."
)
def range_(cx: Analysis, node: ast.BuiltinCall, hint: T.Type | None) -> Any:
    t = cx.type_expr(node.args[0])
    if not T.is_int(t):
        cx.fail("MS0301", f"@range takes an integer type, found {t}", node.args[0])
    values = []
    for a in node.args[1:]:
        v = cx.rv(a, t)
        if isinstance(v, Known) and T.is_int(v.ty):
            # bounds of any integer type are accepted: `stop` may be one past the type's largest value
            v = Known(t, v.v)
        elif not isinstance(v, Known):
            if not isinstance(v.ty, T.IntType):
                cx.fail("MS0301", f"@range takes integers, found {v.ty}", a)
            v = cx.coerce(v, t, a)
        else:
            cx.fail("MS0301", f"@range takes integers, found {v.ty}", a)
        values.append(v)
    if len(values) == 2:
        cx.fail(
            "MS0210",
            "@range takes 2 or 4 arguments, found 3",
            node,
            "the forms are @range(T, stop) and @range(T, start, stop, step)",
        )
    one, nought = Known(T.COMPTIME_INT, 1), Known(t, 0)
    start, stop, step = (nought, values[0], one) if len(values) == 1 else values
    if isinstance(step, Known) and step.v == 0:
        cx.fail("MS0335", "the step of a range cannot be 0", node.args[3])
    return Known(T.range_of(t), RangeValue(t, start, stop, step))


def _range_part(name: str):
    @builtin(f"range_{name}", "range", doc=f"The {name} of a range.")
    def part(cx: Analysis, node: ast.BuiltinCall, hint: T.Type | None) -> Any:
        value = cx.rv(node.args[0])
        if not isinstance(value.ty, T.RangeType):
            cx.fail("MS0301", f"@range_{name} takes a range, found {value.ty}", node)
        found = getattr(value.v, name)
        return Known(value.v.elem, found.v) if isinstance(found, Known) else found


for _name in ("start", "stop", "step"):
    _range_part(_name)


# ---------------------------------------------------------------- strings


def text_arg(cx: Analysis, node) -> str:
    value = cx.known(node)
    if value.ty is not T.COMPTIME_STRING:
        cx.fail("MS0301", f"expected a string, found {value.ty}", node)
    return value.v


@builtin("strcat", "a, ...", doc="Strings joined.")
def strcat(cx: Analysis, node: ast.BuiltinCall, hint: T.Type | None) -> Any:
    parts = [to_bytes(text_arg(cx, a)) for a in node.args]
    total = sum(map(len, parts))
    if total > MOST_BYTES:
        cx.fail("MS0302", f"this string has {total} bytes: the most is {MOST_BYTES}", node)
    return Known(T.COMPTIME_STRING, from_bytes(b"".join(parts)))


MOST_BYTES = 1 << 20  # of a string at compile time: 20 times a PE's memory


@builtin("strlen", "s", doc="The number of bytes of a string.")
def strlen(cx: Analysis, node: ast.BuiltinCall, hint: T.Type | None) -> Any:
    return Known(T.COMPTIME_INT, len(to_bytes(text_arg(cx, node.args[0]))))


@builtin("get_array", "s", doc="The bytes of a string, as [n]u8.")
def get_array(cx: Analysis, node: ast.BuiltinCall, hint: T.Type | None) -> Any:
    data = np.frombuffer(to_bytes(text_arg(cx, node.args[0])), dtype=np.uint8).copy()
    return Known(T.array((len(data),), T.U8), ArrayValue(data))


@builtin("get_string_from_byte", "b", doc="The one-byte string of a byte.")
def get_string_from_byte(cx: Analysis, node: ast.BuiltinCall, hint: T.Type | None) -> Any:
    byte = cx.known_int(node.args[0])
    if not 0 <= byte <= 0xFF:
        cx.fail("MS0302", f"{byte} is not a byte (0 to 255)", node.args[0])
    return Known(T.COMPTIME_STRING, from_bytes(bytes([byte])))


# ---------------------------------------------------------------- modules and the world


@builtin(
    "import_module", "path[, params]", phase="global", doc="An instance of a module, with its params bound by name."
)
def import_module(cx: Analysis, node: ast.BuiltinCall, hint: T.Type | None) -> Any:
    path = text_arg(cx, node.args[0])
    params = {}
    if len(node.args) > 1:
        value = cx.known(node.args[1])
        if not isinstance(value.ty, T.StructType) or value.ty.tuple and value.v:
            cx.fail("MS0301", f"@import_module takes a struct of params, found {value.ty}", node.args[1])
        params = value.v
    return Known(T.MODULE, cx.unit.compiler.import_module(cx, path, params, node))


_JSON_TYPES = {int: T.COMPTIME_INT, float: T.COMPTIME_FLOAT, str: T.COMPTIME_STRING, bool: T.BOOL}


def json_type(text: str) -> T.Type | None:
    """The type behind a key's colon: `u16`, `[4]f32`, `[2, 3]i16`; None if it is none."""
    dims, _, elem = text.removeprefix("[").rpartition("]") if text.startswith("[") else ("", "", text)
    t = T.named_type(elem.strip())
    sizes = [d.strip() for d in dims.split(",")] if dims else []
    if t is None or not all(d.isdigit() for d in sizes):
        return None
    return T.array(tuple(map(int, sizes)), t) if sizes else t


def json_array(cx: Analysis, node, data: list, t: T.ArrayType, where: str) -> Known:
    """Nested lists of the array's shape."""
    flat: list[Any] = [data]
    for d in t.dims:
        if not all(isinstance(row, list) and len(row) == d for row in flat):
            cx.fail("MS0218", f"{where}: expected lists in the shape of {t}", node)
        flat = [item for row in flat for item in row]
    values = [ops.element(t, json_value(cx, node, item, t.elem, where)) for item in flat]
    dtype = ops.dtype(t.elem)
    return Known(t, ArrayValue(np.array(values, dtype) if dtype else values))


def json_value(cx: Analysis, node, data: Any, t: T.Type | None, where: str) -> Known:
    """A value of a JSON file as a `t`, if a type is given by its key, by the type it stands in, or by the call."""
    if isinstance(data, dict):
        wanted = dict(t.fields) if isinstance(t, T.StructType) else {}
        fields = {}
        for key, item in data.items():
            name, colon, text = (part.strip() for part in key.partition(":"))
            given = json_type(text) if colon else wanted.get(name)
            if colon and given is None:
                cx.fail(
                    "MS0218", f"{where}: the key '{key}' names no type", node, "write it as `name:u16` or `name:[4]f32`"
                )
            fields[name] = json_value(cx, node, item, given, f"{where}: {name}")
        value = cx.make_struct(fields, False)
    elif isinstance(data, list):
        if isinstance(t, T.ArrayType):
            return json_array(cx, node, data, t, where)
        value = cx.make_struct({str(i): json_value(cx, node, x, None, where) for i, x in enumerate(data)}, True)
    elif data is None:
        value = VOID
    else:
        value = Known(_JSON_TYPES[type(data)], data)
    if t is None:
        return value
    try:
        return ops.coerce(value, t)
    except ops.Fail as e:
        cx.fail("MS0218", f"{where}: {e.message}", node)


@builtin(
    "import_comptime_value", "T, path", phase="comptime", doc="A value read from a JSON file; keys are `name:type`."
)
def import_comptime_value(cx: Analysis, node: ast.BuiltinCall, hint: T.Type | None) -> Any:
    t = cx.type_expr(node.args[0])
    path = text_arg(cx, node.args[1])
    compiler = cx.unit.compiler
    places = compiler.places(cx, path, node.args[1])
    full = next((p for p in places if compiler.files.is_file(p)), places[0])
    try:
        data = json.loads(compiler.files.content(full).decode("utf-8"))
    except (OSError, ValueError, RecursionError) as e:
        cx.fail("MS0901", f"cannot read {path}: {getattr(e, 'strerror', None) or e}", node.args[1])
    return json_value(cx, node, data, t, path)


@builtin("is_arch", "name", doc="Whether the program is compiled for this architecture.")
def is_arch(cx: Analysis, node: ast.BuiltinCall, hint: T.Type | None) -> Any:
    name = text_arg(cx, node.args[0])
    if name not in ("wse1", "wse2", "wse3"):
        cx.fail("MS0214", f"there is no architecture '{name}'", node.args[0], 'use "wse2" or "wse3"')
    return TRUE if name == cx.unit.arch else FALSE


@builtin("is_comptime", "", doc="Whether this code runs at compile time.")
def is_comptime(cx: Analysis, node: ast.BuiltinCall, hint: T.Type | None) -> Any:
    return TRUE if cx.fb is None else FALSE


@builtin("comptime_assert", "condition[, message]", doc="A compile error unless the condition holds.")
def comptime_assert(cx: Analysis, node: ast.BuiltinCall, hint: T.Type | None) -> Any:
    with cx.comptime():  # as Zig's: its condition is evaluated at compile time wherever it stands
        value = cx.known(node.args[0])
    if value.ty is not T.BOOL:
        cx.fail("MS0301", f"expected bool, found {value.ty}", node.args[0])
    if not value.v:
        text = text_arg(cx, node.args[1]) if len(node.args) > 1 else node.args[0].span.text()
        cx.fail("MS0336", f"assertion failed: {text}", node, notes=_numbers(cx, node.args[0]))
    return VOID


def _numbers(cx: Analysis, condition) -> list[str]:
    """What the names in a condition stand for: one note, "P is 1, groups is 3"."""
    names: dict[str, str] = {}

    def walk(node) -> None:
        if isinstance(node, (ast.Ident, ast.Field)):
            value = cx.known(node)
            if isinstance(value.v, (int, float)) and not isinstance(value.v, bool):
                names[node.span.text()] = show(value)
        elif isinstance(node, ast.Binary):
            walk(node.left)
            walk(node.right)
        elif isinstance(node, ast.Unary):
            walk(node.operand)
        elif isinstance(node, ast.BuiltinCall):
            for argument in node.args[1 if node.name == "as" else 0 :]:
                walk(argument)
        elif isinstance(node, ast.Index):
            for index in node.indices:
                walk(index)

    try:
        walk(condition)
    except MeshlangError:  # a part that is not evaluated, such as the right side of `and`
        pass
    return [", ".join(f"{name} is {value}" for name, value in names.items())] if names else []


@builtin(
    "assert",
    "condition[, message]",
    doc="A fault at run time unless the condition holds; in comptime code a compile error.",
)
def assert_(cx: Analysis, node: ast.BuiltinCall, hint: T.Type | None) -> Any:
    if cx.fb is None:
        return comptime_assert(cx, node, hint)
    value = cx.condition(node.args[0])
    if isinstance(value, Known) and value.v:
        return VOID
    text = text_arg(cx, node.args[1]) if len(node.args) > 1 else node.args[0].span.text()
    cx.emit(node, Op.ASSERT, cx.to_reg(value, node), cx.unit.string(text))
    return VOID


@builtin("comptime_print", "value, ...", doc="Print values while compiling.")
def comptime_print(cx: Analysis, node: ast.BuiltinCall, hint: T.Type | None) -> Any:
    cx.unit.compiler.print(" ".join(show(cx.rv(a)) for a in node.args))
    return VOID


@builtin("random16", "", phase="run", doc="A pseudo-random u16 from the PE's shift register.")
def random16(cx: Analysis, node: ast.BuiltinCall, hint: T.Type | None) -> Any:
    r = cx.builder.reg()
    cx.emit(node, Op.SYS, r, 0, Sys.RANDOM16)
    return Reg(T.U16, r)


@builtin("set_active_prng", "n", phase="run", doc="Choose generator n, modulo their number: MeshLang has one.")
def set_active_prng(cx: Analysis, node: ast.BuiltinCall, hint: T.Type | None) -> Any:
    cx.coerce(cx.rv(node.args[0], T.U16), T.U16, node.args[0])
    return VOID


@builtin("get_int", "value", doc="The number of a color, id, queue or enum value.")
def get_int(cx: Analysis, node: ast.BuiltinCall, hint: T.Type | None) -> Any:
    value = cx.rv(node.args[0])
    t = value.ty
    if isinstance(t, T.IntType) or t is T.COMPTIME_INT:
        return value
    if isinstance(t, T.EnumType):
        t2 = t.base
    elif isinstance(t, (T.IdType, T.DsrType)):
        t2 = T.U16
    else:
        cx.fail("MS0301", f"@get_int cannot take a value of type {t}", node)
    return Known(t2, value.v) if isinstance(value, Known) else Reg(t2, value.reg)


__all__ = ["text_arg"]
