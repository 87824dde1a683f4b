"""Builtins that make and edit DSDs and DSRs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..ir import isa, words
from ..ir.isa import Action, Op, Simd
from ..ir.words import DsrConfig
from ..sema.model import ops
from ..sema.model import types as T
from ..sema.model.dsd_rules import RULES, Rule, fields
from ..sema.model.protocol import Analysis
from ..sema.model.values import VOID, Dsd, FnValue, Known, Mem, Pointer, Reg
from ..syntax import ast
from .registry import builtin, config, flag
from .tasks import action_target, check_bound

SIMD = {
    "simd_32": Simd.SIMD_32,
    "simd_64": Simd.SIMD_64,
    "simd_32_or_64": Simd.SIMD_MAX,
    "simd_max": Simd.SIMD_MAX,
    "simd_off": Simd.OFF,
}
PRIORITY = {"low": 1, "medium": 2, "high": 3}
ELEMENTS = (1, 2, 4)


def choice(cx: Analysis, node, value: Any, names: Mapping[str, int], what: str) -> int:
    """The one field set to true of a struct such as `.{ .high = true }`."""
    if not isinstance(value, Known) or not isinstance(value.ty, T.StructType) or len(value.v) != 1:
        cx.fail(
            "MS0506",
            f"'{what}' takes a struct with one field",
            node,
            f"one of {', '.join(f'.{{ .{n} = true }}' for n in names)}",
        )
    ((name, v),) = value.v.items()
    if name not in names:
        cx.fail("MS0506", f"'{what}' has no choice '{name}'", node, f"one of {', '.join(names)}")
    return names[name] if v.v else 0


def integer(cx: Analysis, node, value: Any, rule: Rule) -> Any:
    """An integer argument as its rule has it: int if known (range checked), else a Reg of the rule's type."""
    t = rule.type
    if isinstance(value, Known):
        if isinstance(value.ty, T.StructType) and value.ty.tuple and len(value.v) == 1:
            value = value.v["0"]
        if not T.is_int(value.ty):
            cx.fail("MS0301", f"{rule} must be an integer, found {value.ty}", node)
        if rule.own_type:
            check_own_type(cx, node, value, rule)
        if not rule.low <= value.v <= rule.high:
            cx.fail("MS0507", f"{rule} is {value.v}, out of range ({rule.low} to {rule.high})", node)
        return value.v
    value = cx.load(value, node)
    if not isinstance(value.ty, T.IntType):
        cx.fail("MS0301", f"{rule} must be an integer, found {value.ty}", node)
    if rule.known:
        cx.fail("MS0310", f"{rule} must be known at compile time", node, rule.instead or None)
    check_own_type(cx, node, value, rule)
    assert t is not None  # rules of numbers have a type
    return cx.coerce(value, t, node)


def check_own_type(cx: Analysis, node, value: Any, rule: Rule) -> None:
    if isinstance(value.ty, T.IntType) and rule.type is not None and not ops.widens(value.ty, rule.type):
        cx.fail(
            "MS0301",
            f"{rule} takes {rule.type}, found {value.ty}",
            node,
            f"convert it with @as({rule.type}, value)",
        )


def known_field(cx: Analysis, node, value: Any, rule: Rule) -> Any:
    if rule.known and not isinstance(value, Known):
        cx.fail("MS0310", f"{rule} must be known at compile time", node, rule.instead or None)
    return value


def element_of(cx: Analysis, node, t: T.Type) -> T.Type:
    """The element type a memory DSD gets from its base address."""
    if not isinstance(t, T.PtrType):
        cx.fail("MS0301", f"'base_address' must be a pointer, found {t}", node, "write &array")
    e = t.elem.elem if isinstance(t.elem, T.ArrayType) else t.elem
    if e.size not in ELEMENTS or e.ty is None or not (T.is_numeric(e) or e in (T.BOOL, T.COLOR)):
        cx.fail("MS0508", f"a memory DSD walks 16-bit and 32-bit numbers, found {e}", node)
    return e


@builtin(
    "get_dsd",
    "kind, fields",
    doc="A data structure descriptor: mem1d_dsd, mem4d_dsd, circbuf_dsd, fabin_dsd or fabout_dsd.",
)
def get_dsd(cx: Analysis, node: ast.BuiltinCall, hint: T.Type | None) -> Any:
    kind = cx.type_expr(node.args[0])
    if kind is T.MEM1D:
        return memory_dsd(cx, node, config(cx, node.args[1], fields("mem1d_dsd"), "mem1d_dsd"))
    if kind is T.MEM4D:
        return memory_dsd(cx, node, config(cx, node.args[1], fields("mem4d_dsd"), "mem4d_dsd"), four=True)
    if kind is T.FABIN:
        return fabric_dsd(cx, node, kind, config(cx, node.args[1], fields("fabin_dsd"), "fabin_dsd"))
    if kind is T.FABOUT:
        return fabric_dsd(cx, node, kind, config(cx, node.args[1], fields("fabout_dsd"), "fabout_dsd"))
    if kind is T.CIRCBUF:
        return circular_buffer(cx, node, config(cx, node.args[1], fields("circbuf_dsd"), "circbuf_dsd"))
    cx.fail("MS0301", f"@get_dsd takes a DSD type, found {kind}", node.args[0])


def memory_dsd(cx: Analysis, node, cfg: dict[str, Any], four: bool = False) -> Any:
    where = node.args[1]
    kind = "mem4d_dsd" if four else "mem1d_dsd"
    stride_rule = RULES[kind, "stride"]
    if "tensor_access" in cfg:
        # the property is an i8 (facts 6.2); nothing published says what a tensor access may need: it has 16 bits here
        stride_rule = stride_rule._replace(type=T.I16, low=T.I16.lo, high=T.I16.hi)
        access = cfg.pop("tensor_access")
        if not isinstance(access.ty, T.StructType):
            cx.fail(
                "MS0301", f"'tensor_access' must be a tensor access, found {access.ty}", where, "write |i|{n} -> A[i]"
            )
        twice = [n for n in ("base_address", "extent", "stride", "offset") if n in cfg]
        if twice:
            cx.fail("MS0509", f"'{twice[0]}' is given beside a tensor access, which has its own", where)
        cfg = {**access.v, **cfg}
    for name in ("base_address", "extent"):
        if name not in cfg:
            cx.fail("MS0510", f"the DSD needs '{name}' or 'tensor_access'", where)
    base = known_field(cx, where, cfg["base_address"], RULES[kind, "base_address"])
    elem = element_of(cx, where, base.ty)
    wio = flag(cx, cfg["wavelet_index_offset"], where) if "wavelet_index_offset" in cfg else False
    if four:
        return memory_4d(cx, where, cfg, base, elem, wio)
    for name in ("extent", "stride"):
        v = cfg.get(name)
        if v is not None and isinstance(v.ty, T.StructType) and len(v.v) != 1:
            cx.fail("MS0502", f"a mem1d_dsd has one dimension, '{name}' gives {len(v.v)}", where, "use mem4d_dsd")
    extent = integer(cx, where, cfg["extent"], RULES[kind, "extent"])
    stride = integer(cx, where, cfg["stride"], stride_rule) if "stride" in cfg else 1
    offset = integer(cx, where, cfg["offset"], RULES[kind, "offset"]) if "offset" in cfg else 0
    start = Dsd(
        "mem1d",
        None,
        extent if isinstance(extent, int) else 0,
        stride if isinstance(stride, int) else 1,
        elem.size,
        wavelet_index_offset=wio,
    )
    if isinstance(base, Known):
        moved = offset * elem.size if isinstance(offset, int) else 0
        start = start.with_(base=Pointer(base.v.var, base.v.offset + moved))
    value: Any = Known(T.MEM1D, start)
    if not isinstance(base, Known):
        value = edit(cx, node, Op.DBASE, value, base, elem.ty)
    if not isinstance(extent, int):
        value = edit(cx, node, Op.DLEN, value, extent)
    if not isinstance(stride, int):
        value = edit(cx, node, Op.DSTRIDE, value, stride)
    if not isinstance(offset, int) or (offset and not isinstance(base, Known)):
        value = edit(cx, node, Op.DINC, value, offset if not isinstance(offset, int) else Known(T.I16, offset), elem.ty)
    return value


def memory_4d(cx, where, cfg, base, elem, wio):
    def ints(name):
        items = cfg[name].v.values() if isinstance(cfg[name].ty, T.StructType) else [cfg[name]]
        return tuple(integer(cx, where, v, RULES["mem4d_dsd", name]) for v in items)

    extents = ints("extent")
    strides = ints("stride") if "stride" in cfg else (1,) * len(extents)
    if len(strides) != len(extents) or len(extents) > 4:
        cx.fail(
            "MS0502",
            f"a mem4d_dsd has up to 4 dimensions: {len(extents)} extents and {len(strides)} strides are given",
            where,
        )
    offset = integer(cx, where, cfg["offset"], RULES["mem4d_dsd", "offset"]) if "offset" in cfg else 0
    d = Dsd("mem4d", None, 0, 1, elem.size, extents, strides, wavelet_index_offset=wio)
    moved = offset * elem.size if isinstance(offset, int) else 0
    value = Known(T.MEM4D, d.with_(base=Pointer(base.v.var, base.v.offset + moved)))
    return value if isinstance(offset, int) else edit(cx, where, Op.DINC, value, offset, elem.ty)


def circular_buffer(cx: Analysis, node, cfg: dict[str, Any]) -> Known:
    """A circbuf_dsd: all of it is known at compile time (facts 6.5). A ring is at least as long as one element, and no
    longer than what its base address is known to point to."""
    where = node.args[1]
    for name in ("base_address", "extent"):
        if name not in cfg:
            cx.fail("MS0510", f"the circbuf_dsd needs '{name}'", where)
    for name, value in cfg.items():
        known_field(cx, where, value, RULES["circbuf_dsd", name])
    base, elem = cfg["base_address"], element_of(cx, where, cfg["base_address"].ty)
    if elem.size == 1:
        cx.fail("MS0508", f"a circbuf_dsd walks 16-bit and 32-bit numbers, found {elem}", where)
    room = None
    if base.v.var is not None:
        room = (base.v.var.type.size - base.v.offset) // elem.size
    elif isinstance(base.ty.elem, T.ArrayType):
        room = base.ty.elem.count
    if "wraparound" not in cfg and room is None:
        cx.fail(
            "MS0510", "the circbuf_dsd needs 'wraparound': its base address does not say how long the buffer is", where
        )
    extent = integer(cx, where, cfg["extent"], RULES["circbuf_dsd", "extent"])
    given = cfg.get("wraparound")
    ring: Any = room if given is None else integer(cx, where, given, RULES["circbuf_dsd", "wraparound"])
    if room is not None and ring > room:
        cx.fail(
            "MS0517",
            f"the circbuf_dsd wraps around after {ring} elements, its buffer has {room}",
            where,
            f"'wraparound' is {room} at most",
        )
    return Known(T.CIRCBUF, Dsd("circbuf", base.v, extent, 1, elem.size, wraparound=ring))


def fabric_dsd(cx: Analysis, node, kind: T.Type, cfg: dict[str, Any]) -> Any:
    where = node.args[1]
    incoming = kind is T.FABIN
    if "extent" not in cfg:
        cx.fail("MS0510", f"the {kind} needs 'extent'", where)
    extent = integer(cx, where, cfg["extent"], RULES[kind.name, "extent"])
    queue_field, queue_type = ("input_queue", T.INPUT_QUEUE) if incoming else ("output_queue", T.OUTPUT_QUEUE)
    queue = color = None
    run_color = None
    if queue_field in cfg:
        value = cfg[queue_field]
        if value.ty is not queue_type or not isinstance(value, Known):
            cx.fail(
                "MS0301",
                f"'{queue_field}' must be an {queue_type} known at compile time, found {value.ty}",
                where,
                f"use @get_{queue_type}(n)",
            )
        queue = value.v
    if "fabric_color" in cfg:
        value = cfg["fabric_color"]
        if value.ty is not T.COLOR:
            cx.fail("MS0301", f"'fabric_color' must be a color, found {value.ty}", where, "use @get_color(n)")
        if isinstance(value, Known):
            color = value.v
        else:
            run_color = cx.load(value, where)
    if queue is None and color is None and run_color is None:
        cx.fail("MS0510", f"the {kind} needs '{queue_field}' or 'fabric_color'", where)
    if cx.unit.arch == "wse3" and queue is None:
        cx.fail("MS0510", f"the {kind} needs '{queue_field}' on wse3", where)
    zero = 0
    if "zero" in cfg:
        zero = choice(cx, where, cfg["zero"], {"first_source": 1, "second_source": 2}, "zero")
    flags: dict[str, Any] = {
        n: flag(cx, cfg[n], where)
        for n in ("control", "advance_switch", "wavelet_index_offset", "control_transform")
        if n in cfg
    }
    d = Dsd(
        kind.name.removesuffix("_dsd"),
        None,
        extent,
        queue=queue,
        color=color,
        simd=choice(cx, where, cfg["simd_mode"], SIMD, "simd_mode")
        if "simd_mode" in cfg
        else cx.unit.compiler.options.simd,
        priority=choice(cx, where, cfg["priority"], PRIORITY, "priority") if "priority" in cfg else 0,
        zero=zero,
        **flags,
    )
    result: Any = Known(kind, d)
    if run_color is not None:
        r = copy_reg(cx, node, result)
        assert cx.fb is not None  # a color of run time
        for field, register in ((words.Dsd.color, run_color.reg), (words.Dsd.hascolor, cx.fb.constant(1))):
            cx.emit(node, Op.BINS, r, register, field.first | field.width << 8)
        result = Reg(kind, r)
    return result


def copy_reg(cx: Analysis, node, value) -> int:
    r = cx.fb.reg() if cx.fb is not None else 0
    cx.into(value, r, node)
    return r


def edit(cx: Analysis, node, op: Op, dsd: Any, argument: Any, ty=isa.Ty.I64) -> Reg:
    """A run-time edit of a DSD."""
    if cx.fb is None:
        cx.fail("MS0310", "this DSD must be known at compile time", node)
    fb = cx.fb
    r1 = cx.to_reg(dsd, node)
    r2 = cx.to_reg(
        argument if not isinstance(argument, Known) or argument.ty is not T.COMPTIME_INT else Known(T.I32, argument.v),
        node,
    )
    r = fb.reg()
    cx.emit(node, op, r, r1, r2, ty)
    return Reg(dsd.ty, r)


# ---------------------------------------------------------------- editing


def dsd_arg(cx: Analysis, node, kinds: tuple[T.Type, ...]) -> Any:
    value = cx.rv(node.args[0])
    if value.ty not in kinds:
        cx.fail("MS0301", f"@{node.name} takes a {' or '.join(k.name for k in kinds)}, found {value.ty}", node.args[0])
    return value


@builtin("set_dsd_base_addr", "dsd, array_or_pointer", doc="The DSD with another base address; its offset is dropped.")
def set_dsd_base_addr(cx: Analysis, node: ast.BuiltinCall, hint: T.Type | None) -> Any:
    dsd = dsd_arg(cx, node, (T.MEM1D, T.MEM4D))
    base = address_arg(cx, node.args[1])
    elem = element_of(cx, node.args[1], base.ty)
    if isinstance(dsd, Known) and isinstance(base, Known):
        return Known(dsd.ty, dsd.v.with_(base=base.v, elem=elem.size))
    return edit(cx, node, Op.DBASE, dsd, base, elem.ty)


def address_arg(cx: Analysis, node) -> Any:
    """A pointer, or the address of an array that is named itself."""
    place = cx.ev(node)
    if isinstance(place, Known) and isinstance(place.ty, T.ArrayType):
        return Known(T.pointer(place.ty, const=True), Pointer(cx.constant_storage(place, "constant", node), 0))
    if isinstance(place, Mem) and isinstance(place.ty, T.ArrayType):
        t = T.pointer(place.ty, const=place.const)
        if place.base == 0:
            return Known(t, Pointer(place.var, place.offset))
        assert cx.fb is not None  # a place of run time
        r = cx.fb.reg()
        cx.emit(node, Op.ADDI, r, place.base, cx.place(place), isa.Ty.U16)
        return Reg(t, r)
    value = cx.load(place, node)
    if not isinstance(value.ty, T.PtrType):
        cx.fail("MS0301", f"expected an array or a pointer, found {value.ty}", node)
    return value


@builtin("increment_dsd_offset", "dsd, n, T", doc="The DSD moved by n elements of T.")
def increment_dsd_offset(cx: Analysis, node: ast.BuiltinCall, hint: T.Type | None) -> Any:
    dsd = dsd_arg(cx, node, (T.MEM1D, T.MEM4D))
    t = cx.type_expr(node.args[2])
    if t.size not in ELEMENTS:
        cx.fail("MS0508", f"a memory DSD walks 16-bit and 32-bit numbers, found {t}", node.args[2])
    n = integer(cx, node.args[1], cx.rv(node.args[1], T.I16), RULES["@increment_dsd_offset", "n"])
    if isinstance(dsd, Known) and isinstance(n, int):
        base = dsd.v.base
        return Known(dsd.ty, dsd.v.with_(base=Pointer(base.var, base.offset + n * t.size)))
    return edit(cx, node, Op.DINC, dsd, Known(T.I32, n) if isinstance(n, int) else n, t.ty)


@builtin("set_dsd_length", "dsd, n", doc="The DSD with another number of steps.")
def set_dsd_length(cx: Analysis, node: ast.BuiltinCall, hint: T.Type | None) -> Any:
    dsd = dsd_arg(cx, node, (T.MEM1D, T.FABIN, T.FABOUT, T.CIRCBUF))
    n = integer(cx, node.args[1], cx.rv(node.args[1], T.U16), RULES["@set_dsd_length", "n"])
    if isinstance(dsd, Known) and isinstance(n, int):
        return Known(dsd.ty, dsd.v.with_(length=n))
    if dsd.ty is T.CIRCBUF:
        cx.fail("MS0310", "the length of a circbuf_dsd must be known at compile time", node)
    return edit(cx, node, Op.DLEN, dsd, Known(T.U16, n) if isinstance(n, int) else n)


@builtin("set_dsd_stride", "dsd, n", doc="The DSD with another stride, in elements.")
def set_dsd_stride(cx: Analysis, node: ast.BuiltinCall, hint: T.Type | None) -> Any:
    dsd = dsd_arg(cx, node, (T.MEM1D,))
    n = integer(cx, node.args[1], cx.rv(node.args[1], T.I8), RULES["@set_dsd_stride", "n"])
    if isinstance(dsd, Known) and isinstance(n, int):
        return Known(dsd.ty, dsd.v.with_(stride=n))
    return edit(cx, node, Op.DSTRIDE, dsd, Known(T.I16, n) if isinstance(n, int) else n)


# ---------------------------------------------------------------- DSRs


FIFO_DSRS = {T.DSR_FIFO_DEST: T.DSR_DEST, T.DSR_FIFO_SRC1: T.DSR_SRC1}


@builtin("get_dsr", "dsr_type, n", phase="comptime", doc="A data structure register, by number.")
def get_dsr(cx: Analysis, node: ast.BuiltinCall, hint: T.Type | None) -> Any:
    t = cx.type_expr(node.args[0])
    if not isinstance(t, T.DsrType):
        cx.fail("MS0301", f"@get_dsr takes dsr_dest, dsr_src0 or dsr_src1, found {t}", node.args[0])
    if t in FIFO_DSRS:
        dsr = cx.known(node.args[1])
        if dsr.ty is not FIFO_DSRS[t]:
            cx.fail("MS0301", f"@get_dsr of {t} takes a {FIFO_DSRS[t]}, found {dsr.ty}", node.args[1])
        return Known(t, dsr.v)
    n, rule = cx.known_int(node.args[1]), RULES["@get_dsr", "n"]
    if not rule.low <= n <= rule.high:
        cx.fail("MS0404", f"DSR {n} is out of range ({rule.low} to {rule.high})", node.args[1])
    cx.unit.dsr_spans.setdefault((t.name.removeprefix("dsr_"), n), node.span)
    return Known(t, n)


def dsr_index(cx: Analysis, value: Known) -> int:
    return cx.unit.dsr(value.ty.name.removeprefix("dsr_"), value.v)


@builtin(
    "get_xdsr",
    "n",
    phase="comptime",
    doc="An extended DSR, by number. MeshLang needs none: they are accepted and ignored.",
)
def get_xdsr(cx: Analysis, node: ast.BuiltinCall, hint: T.Type | None) -> Any:
    return Known(T.XDSR, cx.known_int(node.args[0]))


@builtin(
    "get_sr",
    "n",
    phase="comptime",
    doc="A stride register, by number. MeshLang needs none: they are accepted and ignored.",
)
def get_sr(cx: Analysis, node: ast.BuiltinCall, hint: T.Type | None) -> Any:
    return Known(T.SR, cx.known_int(node.args[0]))


def action(cx: Analysis, node, cfg: dict[str, Any]) -> tuple[Action, Any]:
    """`.activate` or `.unblock` of a configuration: the action and its id."""
    if "activate" in cfg and "unblock" in cfg:
        cx.fail("MS0511", "give '.activate' or '.unblock', not both", node)
    for name, code in (("activate", Action.ACTIVATE), ("unblock", Action.UNBLOCK)):
        value = cfg.get(name)
        if value is None:
            continue
        if isinstance(value, Known) and isinstance(value.v, FnValue):
            return code, Known(T.U16, action_target(cx, value, node))
        wse2 = cx.unit.arch == "wse2"
        allowed: tuple[T.Type, ...] = (
            T.LOCAL_TASK_ID,
            T.DATA_TASK_ID,
            T.CONTROL_TASK_ID,
            T.COLOR if wse2 else T.INPUT_QUEUE,
        )
        if code is Action.ACTIVATE:
            # before SDK 1.0 a color was a task id
            allowed = (T.LOCAL_TASK_ID, T.COLOR) if wse2 else (T.LOCAL_TASK_ID,)
        if value.ty not in allowed:
            cx.fail("MS0301", f"'.{name}' takes a {allowed[0]} or a task, found {value.ty}", node)
        if code is Action.ACTIVATE and isinstance(value, Known):
            cx.unit.hooks.append(lambda v=value: check_bound(cx, v.v, node))
        return code, value
    return Action.NONE, None


def op_config(cx: Analysis, node, cfg: dict[str, Any]) -> tuple[dict[str, int], Any, Any]:
    """The columns of an operation's configuration that DSRs have too, and the two action ids."""
    on_control = cfg.get("on_control")
    ctl_action, ctl_id = Action.NONE, None
    if on_control is not None:
        fields = on_control.v if isinstance(on_control.ty, T.StructType) else {}
        if len(fields) != 1 or next(iter(fields)) not in ("terminate", "activate", "unblock"):
            cx.fail(
                "MS0511",
                "'on_control' takes one of terminate, activate and unblock",
                node,
                "for example .{ .terminate = true }",
            )
        if "terminate" not in fields:
            ctl_action, ctl_id = action(cx, node, fields)
    code, id_ = action(cx, node, cfg)
    ut = -1
    if "ut_id" in cfg:
        value = cfg["ut_id"]
        if value.ty is not T.UT_ID or not isinstance(value, Known):
            cx.fail(
                "MS0301", f"'ut_id' must be a ut_id known at compile time, found {value.ty}", node, "use @get_ut_id(n)"
            )
        ut = value.v
    columns = {
        "async": int(flag(cx, cfg["async"], node)) if "async" in cfg else 0,
        "action": code,
        "onctrl": ctl_action,
        "onctrl_set": int(on_control is not None),
        "ut": ut,
        "prio": choice(cx, node, cfg["priority"], PRIORITY, "priority") if "priority" in cfg else 0,
    }
    return columns, id_, ctl_id


@builtin("load_to_dsr", "dsr, dsd[, config]", doc="Put a DSD into a DSR.")
def load_to_dsr(cx: Analysis, node: ast.BuiltinCall, hint: T.Type | None) -> Any:
    return load(cx, node, node.args[1], node.args[2] if len(node.args) > 2 else None)


@builtin("load_to_dsr_xdsr", "dsr, xdsr, circbuf[, config]", doc="Put a circbuf_dsd into a DSR with its extension.")
def load_to_dsr_xdsr(cx: Analysis, node: ast.BuiltinCall, hint: T.Type | None) -> Any:
    xdsr_arg(cx, node)
    return load(cx, node, node.args[2], node.args[3] if len(node.args) > 3 else None, (T.CIRCBUF,))


def xdsr_arg(cx: Analysis, node) -> None:
    if cx.known(node.args[1]).ty is not T.XDSR:
        cx.fail("MS0301", "the second argument must be an xdsr", node.args[1], "use @get_xdsr(n)")


@builtin(
    "load_to_dsr_xdsr_sr",
    "dsr, xdsr, srs, mem4d[, config]",
    doc="Put a mem4d_dsd into a DSR with its extension and strides.",
)
def load_to_dsr_xdsr_sr(cx: Analysis, node: ast.BuiltinCall, hint: T.Type | None) -> Any:
    xdsr_arg(cx, node)
    strides = cx.known(node.args[2])
    if not isinstance(strides.ty, T.StructType) or any(v.ty is not T.SR for v in strides.v.values()):
        cx.fail("MS0301", "the third argument must be a tuple of stride registers", node.args[2], "use .{ @get_sr(n) }")
    return load(cx, node, node.args[3], node.args[4] if len(node.args) > 4 else None, (T.MEM4D,))


def load(cx: Analysis, node, dsd_node, cfg_node, kinds: tuple[T.Type, ...] = (T.MEM1D, T.MEM4D, T.FABIN, T.FABOUT)):
    unit = cx.unit
    dsr = cx.known(node.args[0])
    if not isinstance(dsr.ty, T.DsrType) or dsr.ty in FIFO_DSRS:
        cx.fail("MS0301", f"@{node.name} takes a DSR, found {dsr.ty}", node.args[0])
    dsd = cx.rv(dsd_node)
    if dsd.ty is T.CIRCBUF and dsd.ty not in kinds:
        cx.fail(
            "MS0518",
            f"@{node.name} cannot load a circbuf_dsd, which needs an extension",
            node,
            "use @load_to_dsr_xdsr(dsr, xdsr, circbuf)",
        )
    if dsd.ty not in kinds:
        cx.fail("MS0301", f"@{node.name} takes a {' or '.join(k.name for k in kinds)}, found {dsd.ty}", dsd_node)
    if dsd.ty is T.FABIN and dsr.ty is T.DSR_DEST:
        cx.fail("MS0503", "a fabin_dsd is a source: it cannot be loaded to a dsr_dest", node)
    if dsd.ty is T.FABOUT and dsr.ty is T.DSR_SRC1:
        cx.fail("MS0504", "a fabout_dsd is a destination: it cannot be loaded to a dsr_src1", node)
    cfg = (
        config(cx, cfg_node, fields("operation", "@load_to_dsr"), "the DSR configuration")
        if cfg_node is not None
        else {}
    )
    columns, id_, ctl_id = op_config(cx, node, cfg)
    if columns["async"] and dsd.ty not in (T.FABIN, T.FABOUT):
        cx.fail("MS0501", "only a fabric DSD can be asynchronous", node)
    save = int(flag(cx, cfg["save_address"], node)) if "save_address" in cfg else 0
    single = int(flag(cx, cfg["single_step"], node)) if "single_step" in cfg else 0
    row = unit.row(
        unit.dsr_configs,
        tuple(
            DsrConfig.make(
                async_=columns["async"],
                **{key: columns[key] for key in ("action", "onctrl", "onctrl_set", "ut", "prio")},
                save=save,
                single_step=single,
            )
        ),
    )
    index = dsr_index(cx, dsr)
    if cx.fb is None:
        if not cx.top_level:
            cx.fail("MS0211", "@load_to_dsr can be used in top-level comptime blocks and at run time only", node)
        ids: list[Any] = [
            0 if v is None else cx.known(node) if not isinstance(v, Known) else v.v for v in (id_, ctl_id)
        ]
        unit.dsr_init.append((index, unit.pack(dsd.v, node.span), row, ids[0], ids[1]))
        return VOID
    fb = cx.fb
    base = fb.regs(3)
    cx.into(dsd, base, node)
    for i, v in enumerate((id_, ctl_id)):
        if v is not None:
            cx.into(v, base + 1 + i, node)
    cx.emit(node, Op.DSRLD, index, base, row)
    return VOID


@builtin("set_dsr_base_addr", "dsr, pointer", phase="run", doc="Another base address for the DSD a DSR holds.")
def set_dsr_base_addr(cx: Analysis, node: ast.BuiltinCall, hint: T.Type | None) -> Any:
    dsr = cx.known(node.args[0])
    if not isinstance(dsr.ty, T.DsrType):
        cx.fail("MS0301", f"@set_dsr_base_addr takes a DSR, found {dsr.ty}", node.args[0])
    base = address_arg(cx, node.args[1])
    elem = element_of(cx, node.args[1], base.ty)
    cx.emit(node, Op.DSRBASE, dsr_index(cx, dsr), cx.to_reg(base, node), 0, cx.scalar(elem, node))
    return VOID


__all__ = ["dsr_index", "op_config"]
