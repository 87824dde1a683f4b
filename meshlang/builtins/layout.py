"""Builtins of the layout, and those that advertise symbols to the host."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..ir.program import Export
from ..sema.model import types as T
from ..sema.model.protocol import Analysis
from ..sema.model.values import VOID, ArrayValue, FnValue, Known, Mem
from ..syntax import ast
from .registry import builtin
from .values import text_arg


@builtin("set_rectangle", "width, height", phase="layout", doc="The size of the program's rectangle of PEs.")
def set_rectangle(cx: Analysis, node: ast.BuiltinCall, hint: T.Type | None) -> Any:
    cx.unit.layout.refused = True  # until both arguments are known and good
    cx.unit.layout.set_rectangle(cx, node, cx.known_int(node.args[0]), cx.known_int(node.args[1]))
    return VOID


NO_PARAMS = Known(T.struct(()), {})


@builtin("set_tile_code", "x, y[, file, params]", phase="layout", doc="The program of one PE.")
def set_tile_code(cx: Analysis, node: ast.BuiltinCall, hint: T.Type | None) -> Any:
    args = node.args
    params = NO_PARAMS
    if len(args) > 3:
        value = cx.known(args[3])
        if not isinstance(value.ty, T.StructType) or value.ty.tuple and value.v:
            cx.fail("MS0301", f"@set_tile_code takes a struct of params, found {value.ty}", args[3])
        params = value
    path = text_arg(cx, args[2]) if len(args) > 2 else None
    cx.unit.layout.set_tile(cx, node, cx.known_int(args[0]), cx.known_int(args[1]), path, params)
    return VOID


@builtin(
    "set_color_config", "x, y, color, config", phase="layout", doc="The configuration of a color at one PE's router."
)
def set_color_config(cx: Analysis, node: ast.BuiltinCall, hint: T.Type | None) -> Any:
    args = node.args
    color = cx.known(args[2])
    if color.ty is not T.COLOR:
        cx.fail("MS0301", f"expected a color, found {color.ty}", args[2], "use @get_color(n)")
    cx.unit.layout.set_color(cx, node, cx.known_int(args[0]), cx.known_int(args[1]), color.v, cx.known(args[3]))
    return VOID


@builtin(
    "set_local_color_config",
    "color, config",
    phase="top",
    doc="The configuration of a color at every PE that runs this code.",
)
def set_local_color_config(cx: Analysis, node: ast.BuiltinCall, hint: T.Type | None) -> Any:
    color = cx.known(node.args[0])
    if color.ty is not T.COLOR:
        cx.fail("MS0301", f"expected a color, found {color.ty}", node.args[0], "use @get_color(n)")
    cfg = cx.unit.layout.color_config(cx, node, cx.known(node.args[1]))
    first = cx.unit.colors.get(color.v)
    if first is not None:
        cx.fail("MS0603", f"color {color.v} is configured twice", node, labels=[(first[1], "first configured here")])
    cx.unit.colors[color.v] = (cfg, node.span)
    return VOID


@builtin(
    "get_rectangle",
    "",
    phase="comptime",
    doc="The rectangle: .width, .height, .fabric.{width, height}, .offsets.{width, height}.",
)
def get_rectangle(cx: Analysis, node: ast.BuiltinCall, hint: T.Type | None) -> Any:
    layout = cx.unit.layout
    if layout is None or layout.width == 0:
        cx.fail("MS0601", "@get_rectangle needs the rectangle: @set_rectangle comes first", node)
    options = cx.unit.compiler.options

    def u16s(**kw):
        return cx.make_struct({n: Known(T.U16, v) for n, v in kw.items()}, False)

    dims = options.fabric_dims or (layout.width + 7, layout.height + 2)
    offsets = options.fabric_offsets or (4, 1)
    return cx.make_struct(
        {
            "width": Known(T.U16, layout.width),
            "height": Known(T.U16, layout.height),
            "fabric": u16s(width=dims[0], height=dims[1]),
            "offsets": u16s(width=offsets[0], height=offsets[1]),
        },
        False,
    )


# ---------------------------------------------------------------- symbols for the host


def pointee(t: T.PtrType) -> T.Type:
    """What a pointer leads to, element by element."""
    return t.elem.elem if isinstance(t.elem, T.ArrayType) else t.elem


def exportable(t: T.Type) -> bool:
    """Types @export_name takes: numbers, pointers to numbers or structs, functions (facts 3.8)."""
    if isinstance(t, T.PtrType):
        e = pointee(t)
        return (
            T.is_numeric(e)
            or e in (T.BOOL, T.COLOR)
            or isinstance(e, (T.StructType, T.BitsType))
            and not e.comptime_only
        )
    return isinstance(t, (T.IntType, T.FloatType)) and not t.comptime_only or t in (T.BOOL, T.COLOR)


@builtin("export_name", "name, T[, mutable]", phase="layout", doc="A symbol the PEs may advertise to the host.")
def export_name(cx: Analysis, node: ast.BuiltinCall, hint: T.Type | None) -> Any:
    name = text_arg(cx, node.args[0])
    t = cx.type_expr(node.args[1])
    layout = cx.unit.layout
    if isinstance(t, T.FnType):
        if len(node.args) > 2:
            cx.fail("MS0605", f"'{name}' is a function: @export_name takes no mutability for it", node.args[2])
        if len(t.params) > 15:
            cx.fail(
                "MS0605", f"'{name}' has {len(t.params)} parameters, a launched function takes at most 15", node.args[1]
            )
        mutable = False
    else:
        if not exportable(t):
            cx.fail(
                "MS0605",
                f"'{name}' has the type {t}, which cannot be advertised to the host",
                node.args[1],
                "advertise a pointer to the first element: [*]f32",
            )
        if len(node.args) < 3:
            cx.fail(
                "MS0605",
                f"'{name}' is data: @export_name needs its mutability",
                node,
                f'write @export_name("{name}", {t}, true)',
            )
        value = cx.known(node.args[2])
        if value.ty is not T.BOOL:
            cx.fail("MS0301", f"expected bool, found {value.ty}", node.args[2])
        mutable = value.v
    if name in layout.exports:
        cx.fail("MS0605", f"'{name}' is advertised twice", node, labels=[(layout.exports[name][2], "first here")])
    layout.exports[name] = (t, mutable, node.span)
    return VOID


@builtin(
    "export_symbol", "symbol[, name]", phase="top", doc="Advertise a variable or function of this PE under a name."
)
def export_symbol(cx: Analysis, node: ast.BuiltinCall, hint: T.Type | None) -> Any:
    unit = cx.unit
    target = node.args[0]
    place = cx.ev(target)
    name = text_arg(cx, node.args[1]) if len(node.args) > 1 else getattr(target, "name", target.span.text())
    if isinstance(place, Known) and place.ty is T.FN:
        fn: FnValue = place.v
        t: T.Type
        t = signature = cx.function_type(fn, node)
        mutable = False
        inst = unit.plain_instance(fn)
        export = Export(
            name, "fn", t.name, function=inst.index, params=tuple(p.name for p in signature.params), mutable=False
        )
    else:
        if isinstance(place, Known):
            if isinstance(place.ty, T.PtrType) or place.ty.ty is not None:
                place = Mem(place.ty, 0, 0, True, cx.constant_storage(place, name, node))
            else:
                cx.fail("MS0606", f"a value of type {place.ty} cannot be advertised", target)
        if not isinstance(place, Mem) or place.var is None:
            cx.fail("MS0606", "@export_symbol takes a global variable or a function", target)
        t, mutable = place.ty, not place.const
        if not exportable(t):
            cx.fail(
                "MS0606",
                f"'{name}' has the type {t}, which cannot be advertised",
                target,
                'advertise a pointer: var ptr: [*]f32 = &array; @export_symbol(ptr, "array")',
            )
        address = place.offset + unit.address_of(place.var)
        if isinstance(t, T.PtrType):
            e = pointee(t)
            # the host sees structs as the words they are made of
            words = "u32" if e.size % 4 == 0 else "u16" if e.size % 2 == 0 else "u8"
            export = Export(
                name,
                "pointer",
                t.name,
                address,
                words if isinstance(e, (T.StructType, T.BitsType)) else e.name,
                mutable,
            )
        else:
            export = Export(name, "var", t.name, address, t.name, mutable)
    if name in unit.exports:
        cx.fail("MS0606", f"'{name}' is advertised twice", node, labels=[(unit.export_spans[name], "first here")])
    unit.exports[name] = export
    unit.export_spans[name] = node.span
    if unit.layout is not None:
        unit.layout.check_export(cx, node, name, t, mutable)
    return VOID


@builtin("has_exported_tensors", "", phase="comptime", doc="Whether this program advertises data.")
def has_exported_tensors(cx: Analysis, node: ast.BuiltinCall, hint: T.Type | None) -> Any:
    return Known(T.BOOL, any(e.kind != "fn" for e in cx.unit.exports.values()))


@builtin("get_symbol_id", "symbol", phase="comptime", doc="The number of an advertised symbol.")
def get_symbol_id(cx: Analysis, node: ast.BuiltinCall, hint: T.Type | None) -> Any:
    target = node.args[0]
    place = cx.ev(target)
    name = getattr(target, "name", target.span.text())
    names = list(cx.unit.layout.exports) if cx.unit.layout is not None else []
    for n, e in cx.unit.exports.items():
        if isinstance(place, Known) and place.ty is T.FN:
            same = e.kind == "fn" and e.function == cx.unit.plain_instance(place.v).index
        elif isinstance(place, Mem) and place.var is not None:
            same = e.kind != "fn" and place.var.address >= 0 and e.address == place.offset + place.var.address
        else:
            same = n == name  # a const: its place in memory is the export's
        if same and n in names:
            return Known(T.U16, names.index(n))
    cx.fail("MS0606", f"'{name}' is not advertised", node, "advertise it with @export_symbol first")


NOWHERE = 0xFFFF  # an odd address at the end of the address space: loading a word from it is a fault


def exported(cx: Analysis, node, number, t: T.Type, wanted: str, fits) -> Mem:
    """The variable of the symbol with this number, seen as a `t`; `fits(export)` tells which symbols can be meant.

    A number that no such symbol has is an error if it is known; else it leads out of the memory, which is a fault.
    """
    names = list(cx.unit.layout.exports) if cx.unit.layout is not None else []
    found = [cx.unit.exports.get(n) for n in names]
    addresses = [e.address if e is not None and e.kind != "fn" and fits(e) else NOWHERE for e in found]
    id_ = cx.coerce(cx.rv(number, T.U16), T.U16, number)
    if isinstance(id_, Known):
        if id_.v >= len(names) or addresses[id_.v] == NOWHERE:
            cx.fail(
                "MS0606",
                f"no {wanted} is advertised under the number {id_.v}",
                number,
                "take the number from @get_symbol_id",
            )
        return Mem(t, 0, addresses[id_.v], True)
    table = Known(T.array((len(addresses),), T.U16), ArrayValue(np.array(addresses, np.uint16)))
    place = Mem(T.U16, 0, 0, True, cx.constant_storage(table, "symbols", node))
    return Mem(t, cx.to_reg(cx.load(cx.element(place, T.U16, [id_], (len(addresses),), node), node), node), 0, True)


@builtin("get_symbol_value", "T, id", phase="run", doc="The value of the advertised variable with this number.")
def get_symbol_value(cx: Analysis, node: ast.BuiltinCall, hint: T.Type | None) -> Any:
    t = cx.type_expr(node.args[0])
    return cx.load(exported(cx, node, node.args[1], t, f"variable of type {t}", lambda e: e.type == t.name), node)


@builtin("get_tensor_ptr", "id", phase="run", doc="The advertised pointer with this number, as [*]u16.")
def get_tensor_ptr(cx: Analysis, node: ast.BuiltinCall, hint: T.Type | None) -> Any:
    t = T.pointer(T.U16, many=True)
    return cx.load(exported(cx, node, node.args[0], t, "tensor", lambda e: e.kind == "pointer"), node)
