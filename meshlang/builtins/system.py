"""Internal builtins, named with two underscores: what the standard library needs and the language cannot express.

They are not part of the language; programs outside stdlib/ should not use them.
"""

from __future__ import annotations

import re
from typing import Any

from ..ir.isa import MathFn, Op, Print, Sys, Ty
from ..ir.program import HOST, RAMP, ColorConfig
from ..sema.model import ops
from ..sema.model import types as T
from ..sema.model.protocol import Analysis
from ..sema.model.values import ABSENT, VOID, Known, Reg
from ..syntax import ast
from .registry import builtin
from .values import text_arg


@builtin("__use_memcpy", "", phase="top", doc="This PE takes part in the host's command stream.")
def use_memcpy(cx: Analysis, node: ast.BuiltinCall, hint: T.Type | None) -> Any:
    cx.unit.uses_memcpy = True
    return VOID


def _host_stream(name: str, table: str, cfg: ColorConfig):
    @builtin(name, "color, name", phase="top", doc="Route a color between the host and this PE.")
    def stream(cx: Analysis, node: ast.BuiltinCall, hint: T.Type | None) -> Any:
        value = cx.known(node.args[0])
        if value.ty is T.VOID:
            return VOID
        color = value.v
        label = text_arg(cx, node.args[1])
        if not isinstance(color, int) or not 0 <= color < T.COLORS:
            cx.fail("MS0404", f"{label}: color {color} is out of range (0 to {T.COLORS - 1})", node.args[0])
        unit = cx.unit
        getattr(unit, table)[color] = label
        config = unit.layout.intern(cfg)
        first = unit.colors.get(color)
        if first is not None and first[0] is not config:
            cx.fail(
                "MS0603",
                f"color {color} is used for host streaming as {label}, and configured elsewhere",
                node,
                labels=[(first[1], "configured here")],
            )
        unit.colors[color] = (config, node.span)
        return VOID


_host_stream("__host_in", "host_in", ColorConfig(1 << HOST, 1 << RAMP))
_host_stream("__host_out", "host_out", ColorConfig(1 << RAMP, 1 << HOST))


@builtin("__sys", "name[, argument]", phase="run", doc="A function of the SYS instruction.")
def sys_(cx: Analysis, node: ast.BuiltinCall, hint: T.Type | None) -> Any:
    fn = Sys[text_arg(cx, node.args[0])]
    argument = 0
    if len(node.args) > 1:
        value = cx.rv(node.args[1], T.U16)
        argument = cx.to_reg(cx.coerce(value, T.U16, node) if isinstance(value, Known) else value, node)
    r = cx.builder.reg()
    cx.emit(node, Op.SYS, r, argument, fn)
    return Reg(T.U16, r)


@builtin("__sys32", "name[, argument]", phase="run", doc="As __sys, with a 32-bit result.")
def sys32(cx: Analysis, node: ast.BuiltinCall, hint: T.Type | None) -> Any:
    return Reg(T.U32, sys_(cx, node, hint).reg)


@builtin("__high_priority", "id, high", phase="top", doc="The priority a task id has from the start.")
def high_priority(cx: Analysis, node: ast.BuiltinCall, hint: T.Type | None) -> Any:
    bit = 1 << cx.known_int(node.args[0])
    cx.unit.high = cx.unit.high | bit if cx.known(node.args[1]).v else cx.unit.high & ~bit
    return VOID


@builtin("__transform", "mask", phase="top", doc="The mask of control_transform from the start.")
def transform(cx: Analysis, node: ast.BuiltinCall, hint: T.Type | None) -> Any:
    cx.unit.transform = cx.known_int(node.args[0]) & 63
    return VOID


@builtin("__exceptions", "mask", phase="top", doc="The mask of exceptions from the start.")
def exceptions(cx: Analysis, node: ast.BuiltinCall, hint: T.Type | None) -> Any:
    cx.unit.exceptions = cx.known_int(node.args[0])
    return VOID


@builtin(
    "__unsupported",
    "what",
    doc="Refuses the program: a library function that MeshLang has the name of and not the effect.",
)
def unsupported(cx: Analysis, node: ast.BuiltinCall, hint: T.Type | None) -> Any:
    cx.fail("MS0399", f"{text_arg(cx, node.args[0])} is not supported", node)


@builtin("__absent", "", doc="The value `{}` of a field that @concat_structs may fill in.")
def absent(cx: Analysis, node: ast.BuiltinCall, hint: T.Type | None) -> Any:
    return ABSENT


@builtin("__direction", "d", doc="The number of a direction, as masks count them.")
def direction(cx: Analysis, node: ast.BuiltinCall, hint: T.Type | None) -> Any:
    value = cx.rv(node.args[0])
    if value.ty is not T.DIRECTION:
        cx.fail("MS0301", f"expected a direction, found {value.ty}", node.args[0])
    return Known(T.U16, value.v) if isinstance(value, Known) else Reg(T.U16, value.reg)


@builtin(
    "__route", "color[, value]", phase="run", doc="The packed route of a color at this PE (ir.isa, R_*), or a new one."
)
def route(cx: Analysis, node: ast.BuiltinCall, hint: T.Type | None) -> Any:
    color = cx.rv(node.args[0])
    if isinstance(color, Known):
        cx.unit.route_colors.add(color.v)
    pair = cx.builder.regs(2)
    cx.into(color, pair, node)
    return get_or_set(cx, node, pair, T.U64, Sys.ROUTE_GET, Sys.ROUTE_SET)


def get_or_set(cx: Analysis, node, pair: int, t: T.Type, get: Sys, set_: Sys):
    """Read what register `pair` says, or write the builtin's second argument there (by the register behind it)."""
    assert cx.fb is not None
    result = cx.fb.reg()
    if len(node.args) == 1:
        cx.emit(node, Op.SYS, result, pair, get)
        return Reg(t, result)
    cx.into(cx.coerce(cx.rv(node.args[1], t), t, node), pair + 1, node)
    cx.emit(node, Op.SYS, result, pair, set_)
    return VOID


@builtin(
    "__filter",
    "selector[, value]",
    phase="run",
    doc="A field of a filter of this PE: selector = color | field << 8 (ir.isa.FILTER_FIELDS).",
)
def filter_(cx: Analysis, node: ast.BuiltinCall, hint: T.Type | None) -> Any:
    pair = cx.builder.regs(2)
    cx.into(cx.coerce(cx.rv(node.args[0], T.U16), T.U16, node), pair, node)
    return get_or_set(cx, node, pair, T.U16, Sys.FILTER_GET, Sys.FILTER_SET)


@builtin("get_filter_id", "color", phase="comptime", doc="The filter of a color, as <tile_config/filters> names it.")
def get_filter_id(cx: Analysis, node: ast.BuiltinCall, hint: T.Type | None) -> Any:
    color = cx.known(node.args[0])
    if color.ty is not T.COLOR:
        cx.fail("MS0301", f"expected a color, found {color.ty}", node.args[0])
    unit = cx.unit
    own = unit.colors.get(color.v)
    numbers = set(unit.layout.colors.get(color.v, ())) - {-1}
    if not (own is not None and own[0].filter) and not any(unit.layout.configs[n].filter for n in numbers):
        cx.fail(
            "MS0609", f"color {color.v} has no filter", node.args[0], "give it one with '.filter' in @set_color_config"
        )
    return Known(T.U16, color.v)


_PYTHON = {
    "SQRT": "sqrt",
    "EXP": "exp",
    "LOG": "log",
    "SIN": "sin",
    "COS": "cos",
    "TANH": "tanh",
    "FLOOR": "floor",
    "CEIL": "ceil",
    "ABS": "fabs",
}


def math_value(fn: str, t: T.Type, *args: float) -> float:
    """A function of <math> at compile time: the double result, rounded once."""
    import math

    try:
        if fn == "INV":
            r = 1.0 / args[0] if args[0] else math.copysign(math.inf, args[0])
        elif fn == "INVSQRT":
            r = 1.0 / math.sqrt(args[0]) if args[0] > 0 else (math.inf if args[0] == 0 else math.nan)
        elif fn == "POW":
            r = math.pow(*args)
        elif fn == "FSCALE":
            r = math.ldexp(args[0], int(args[1]))
        elif fn in ("FLOOR", "CEIL") and not math.isfinite(args[0]):
            r = args[0]
        else:
            r = float(getattr(math, _PYTHON[fn])(*args))
    except ValueError:
        r = -math.inf if fn == "LOG" and args[0] == 0 else math.nan
    except OverflowError:
        r = math.inf
    return ops.round_float(r, t)


@builtin("__math", "name, x[, y]", doc="A function of <math>: correctly rounded from the double result.")
def math_(cx: Analysis, node: ast.BuiltinCall, hint: T.Type | None) -> Any:
    fn = text_arg(cx, node.args[0])
    x = cx.rv(node.args[1])
    if x.ty is T.COMPTIME_INT:
        x = cx.coerce(x, T.COMPTIME_FLOAT, node)
    y = cx.rv(node.args[2]) if len(node.args) > 2 else None
    t = x.ty
    if not T.is_float(t) and fn not in ("POPCNT", "CLZ", "CTZ"):
        cx.fail("MS0301", f"expected a float, found {t}", node)
    if isinstance(x, Known) and (y is None or isinstance(y, Known)):
        return Known(t, math_value(fn, t, x.v, *([y.v] if y is not None else [])))
    fb = cx.builder
    if y is None:
        rx = cx.to_reg(x, node)
        r = fb.reg()
        cx.emit(node, Op.FUN1, r, rx, MathFn[fn], cx.scalar(t, node))
        return Reg(t, r)
    if y.ty is T.COMPTIME_INT:
        y = cx.coerce(y, T.I16, node)
    pair = fb.regs(2)
    cx.into(x, pair, node)
    cx.into(y, pair + 1, node)
    r = fb.reg()
    cx.emit(node, Op.FUN2, r, pair, MathFn[fn], cx.scalar(t, node))
    return Reg(t, r)


# ---------------------------------------------------------------- output records


def emit_print(cx: Analysis, node, kind: Print, value=None, text: str = "") -> None:
    r, ty = 0, Ty(0)
    if value is not None:
        r = cx.to_reg(value, node)
        ty = cx.scalar(value.ty, node)
    cx.emit(node, Op.PRINT, r, cx.unit.string(text), kind, ty)


@builtin(
    "__print",
    "kind, value[, key]",
    phase="run",
    doc="An output record for the host: a kind of ir.isa.Print, with a value.",
)
def print_(cx: Analysis, node: ast.BuiltinCall, hint: T.Type | None) -> Any:
    kind = Print[text_arg(cx, node.args[0])]
    key = text_arg(cx, node.args[2]) if len(node.args) > 2 else ""
    if kind in (Print.TEXT, Print.TRACE_TEXT):
        text = text_arg(cx, node.args[1])
        if kind is Print.TRACE_TEXT:
            cx.emit(
                node, Op.PRINT, cx.builder.constant(cx.unit.string(text), cx.builder.reg()), cx.unit.string(key), kind
            )
        else:
            print_text(cx, node, text)
    elif kind in (Print.FLUSH, Print.TRACE_TIME):
        emit_print(cx, node, kind, None, key)
    else:
        value = cx.rv(node.args[1])
        if value.ty is T.COMPTIME_INT:
            value = cx.coerce(value, T.I32, node)
        elif value.ty is T.COMPTIME_FLOAT:
            value = cx.coerce(value, T.F32, node)
        emit_print(cx, node, kind, value, key)
    return VOID


def print_text(cx: Analysis, node, text: str) -> None:
    """Text with newlines: every newline ends a line of the log."""
    for i, part in enumerate(text.split("\n")):
        if i:
            emit_print(cx, node, Print.FLUSH)
        if part:
            emit_print(cx, node, Print.TEXT, None, part)


_SPEC = re.compile(r"\{\{|\}\}|\{(\w*)\}")


@builtin(
    "__format",
    "text, args",
    phase="run",
    doc="Formatted output of <simprint>: {d} {X} {b} {f}, {{ and }} stand for braces.",
)
def format_(cx: Analysis, node: ast.BuiltinCall, hint: T.Type | None) -> Any:
    text = text_arg(cx, node.args[0])
    value = cx.rv(node.args[1])
    args = list(value.v.values()) if isinstance(value.ty, T.StructType) else [] if value.ty is T.VOID else [value]
    at, used = 0, 0
    kinds = {"d": Print.DEC, "X": Print.HEX, "b": Print.BIN, "f": Print.FLOAT}
    pending = ""
    for m in _SPEC.finditer(text):
        pending += text[at : m.start()]
        at = m.end()
        if m.group() in ("{{", "}}"):
            pending += m.group()[0]
            continue
        if m.group(1) not in kinds:
            cx.fail("MS0337", f"there is no format '{m.group()}'", node.args[0], "use {d}, {X}, {b} or {f}")
        if used >= len(args):
            cx.fail("MS0337", f"the format names more values than the {len(args)} given", node.args[0])
        print_text(cx, node, pending)
        pending = ""
        v = args[used]
        used += 1
        if v.ty is T.COMPTIME_INT:
            v = cx.coerce(v, T.U32 if v.v >= 0 else T.I32, node)
        elif v.ty is T.COMPTIME_FLOAT:
            v = cx.coerce(v, T.F32, node)
        if (m.group(1) == "f") != T.is_float(v.ty):
            cx.fail("MS0337", f"'{m.group()}' cannot print a {v.ty}", node.args[0])
        emit_print(cx, node, kinds[m.group(1)], v)
    if used < len(args):
        cx.fail("MS0337", f"{len(args)} values are given, the format names {used}", node.args[1])
    print_text(cx, node, pending + text[at:])
    return VOID
