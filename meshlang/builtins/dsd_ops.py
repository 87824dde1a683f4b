"""The vector operations (@fadds, @mov32, ...) and @map: one lowering for the whole table of ir/dsdops.py."""

from __future__ import annotations

from typing import Any

from ..ir.dsdops import DSD_OPS, ELEMENT_SIZE, DsdOpCode
from ..ir.isa import Op, Operand
from ..ir.words import OperationRow
from ..sema.model import types as T
from ..sema.model.dsd_rules import fields
from ..sema.model.protocol import Analysis
from ..sema.model.values import VOID, FnValue, Known, Reg
from ..syntax import ast
from .dsd import FIFO_DSRS, dsr_index, op_config
from .registry import builtin, config


def element_types(cx: Analysis, code: str) -> tuple[T.Type, ...]:
    """The scalar types an element class of the table stands for; the first is what literals become."""
    half = T.PREDECLARED[cx.unit.fp16]
    return {"h": (half,), "s": (T.F32,), "w": (T.I16, T.U16), "d": (T.I32, T.U32)}[code]


def refuse_circbuf(cx: Analysis, node) -> None:
    cx.fail(
        "MS0518",
        "a circbuf_dsd cannot be an operand itself",
        node,
        "put it into a DSR with @load_to_dsr_xdsr, and use that",
    )


def is_vector(t: T.Type) -> bool:
    return isinstance(t, (T.DsdType, T.DsrType))


def form_of(values: list[Any]) -> str:
    first = values[0].ty
    form = "P" if isinstance(first, T.PtrType) else "D" if is_vector(first) else "?"
    return form + "".join("V" if is_vector(v.ty) else "s" for v in values[1:])


def fifo_of(cx: Analysis, node, value: Any) -> Any:
    """A DSR that holds a FIFO is the FIFO; every other value is itself."""
    if value.ty not in FIFO_DSRS:
        return value
    file = FIFO_DSRS[value.ty].name.removeprefix("dsr_")
    found = cx.unit.fifo_dsrs.get((file, value.v))
    if found is None:
        cx.fail(
            "MS0516",
            f"no FIFO of this program has DSR {value.v} of dsr_{file}",
            node,
            "give it in the FIFO's configuration: .{ .dest = ..., .src = ..., .xdsr = ... }",
        )
    return Known(T.FIFO, found)


def of_another_width(cx: Analysis, node, name: str, value: Known, size: int) -> Known:
    """A DSD for an operation on elements of `size` bytes. A step is that of the wider of the two widths (docs/language.md): a wider
    operation moves pairs of elements, a narrower one the low half of each."""
    d = value.v
    narrower = size < d.elem
    where = (
        f"takes the low {8 * size} bits of each element of this DSD of {8 * d.elem}-bit elements"
        if narrower
        else f"walks this DSD of {8 * d.elem}-bit elements in its own steps"
    )
    cx.warn(
        "MS0505",
        f"@{name} works on {8 * size}-bit elements here, and {where}",
        node,
        f"a step is {8 * max(size, d.elem)} bits: length and stride count those",
    )
    if not narrower:
        return Known(value.ty, d.with_(elem=size))
    factor = d.elem // size
    if value.ty is T.MEM4D:
        return Known(value.ty, d.with_(elem=size, strides=tuple(factor * s for s in d.strides)))
    return Known(value.ty, d.with_(elem=size, stride=factor * d.stride))


def lower(cx: Analysis, node, name: str, op: DsdOpCode):
    values = [fifo_of(cx, a, cx.rv(a)) for a in node.args]
    cfg_node = None
    if len(values) > 1 and isinstance(values[-1].ty, T.StructType):
        cfg_node = node.args[-1]
        values.pop()
    cfg = {}
    if cfg_node is not None:
        cfg = config(cx, cfg_node, fields("operation"), f"the configuration of @{name}")
    form = form_of(values)
    if form not in op.forms:
        forms = "; ".join(describe_form(f) for f in op.forms)
        got = ", ".join(v.ty.name for v in values)
        cx.fail("MS0512", f"@{name} cannot take ({got})", node, f"its forms are: {forms}")
    sources = list(op.src)
    if form == "PsV" and name == "faddhs":
        sources = ["s", "h"]
    elements = [op.dst, *sources]
    fabric = 0
    for i, (v, e, arg) in enumerate(zip(values, elements, node.args, strict=False)):
        t = v.ty
        if t is T.FABIN and i == 0:
            cx.fail(
                "MS0503",
                "a fabin_dsd is a source: it cannot be the destination",
                arg,
                "receive from it, into memory or a fabout_dsd",
            )
        if t is T.FABOUT and i > 0:
            cx.fail(
                "MS0504",
                "a fabout_dsd is a destination: it cannot be a source",
                arg,
                "send to it, as the first argument; what is received comes from a fabin_dsd",
            )
        if t is T.CIRCBUF:
            refuse_circbuf(cx, arg)
        if t is T.FIFO and i == 1 and len(elements) > 2 and form[2:3] == "V":
            cx.fail("MS0519", "a FIFO cannot be the first of two sources", arg, "make it the second one")
        if t is T.DSR_SRC1 and i == 0:
            cx.fail("MS0513", "a destination is a dsr_dest or dsr_src0, found dsr_src1", arg)
        if t is T.DSR_DEST and i > 0:
            cx.fail("MS0513", "a source is a dsr_src0 or dsr_src1, found dsr_dest", arg)
        fabric += t in (T.FABIN, T.FABOUT)
        if isinstance(v, Known) and t in (T.MEM1D, T.MEM4D) and v.v.elem != ELEMENT_SIZE[e]:
            size, bits = ELEMENT_SIZE[e], 8 * ELEMENT_SIZE[e]
            if v.v.elem not in (2, 4):
                cx.fail(
                    "MS0505",
                    f"@{name} works on {bits}-bit elements here, this DSD has {8 * v.v.elem}-bit elements",
                    arg,
                )
            values[i] = of_another_width(cx, arg, name, v, size)
    if cx.unit.arch == "wse3" and sum(v.ty is T.FABIN for v in values) > 1:
        cx.fail(
            "MS0514", "an operation takes one fabin_dsd at most on wse3", node, "receive one of them into memory first"
        )
    columns, id_, ctl_id = op_config(cx, cfg_node or node, cfg)
    has_dsr = any(isinstance(v.ty, T.DsrType) for v in values)
    if columns["async"] and not fabric and not has_dsr:
        cx.fail(
            "MS0501",
            f"@{name} has no fabric operand, so it cannot be asynchronous",
            cfg_node or node,
            "drop '.async = true'",
        )
    if not columns["async"] and (id_ is not None) and not has_dsr:
        cx.fail(
            "MS0511",
            "'.activate' and '.unblock' belong to asynchronous operations",
            cfg_node or node,
            "add '.async = true'",
        )
    if cx.fb is None:
        cx.fail("MS0211", f"@{name} runs on the PE: it cannot be used in comptime code", node)
    fb = cx.fb
    row = OperationRow.make(code=op)
    mark = fb.mark()
    base = fb.regs(7)
    for i, (v, e, arg) in enumerate(zip(values, elements, node.args, strict=False)):
        if isinstance(v.ty, T.DsrType):
            row[OperationRow.dst + i] = Operand.DSR
            row[OperationRow.dst_dsr + i] = dsr_index(cx, v)
            continue
        if isinstance(v.ty, T.DsdType):
            row[OperationRow.dst + i] = Operand.DSD
        elif i == 0:
            row[OperationRow.dst] = Operand.POINTER
            target = v.ty.elem.elem if isinstance(v.ty.elem, T.ArrayType) else v.ty.elem
            if target not in element_types(cx, e):
                cx.fail(
                    "MS0512",
                    f"@{name} writes a {' or '.join(t.name for t in element_types(cx, e))}, the pointer is {v.ty}",
                    arg,
                )
            if v.ty.const:
                cx.fail("MS0328", f"{v.ty} is a pointer to const: it cannot be a destination", arg)
        else:
            row[OperationRow.dst + i] = Operand.SCALAR
            v = scalar(cx, arg, v, element_types(cx, e), name)
        cx.into(v, base + i, arg)
    row[OperationRow.async_], row[OperationRow.action] = columns["async"], columns["action"]
    row[OperationRow.onctrl], row[OperationRow.onctrl_set] = columns["onctrl"], columns["onctrl_set"]
    row[OperationRow.ut], row[OperationRow.prio] = columns["ut"], columns["prio"]
    if "index" in cfg:
        row[OperationRow.index] = 1
        cx.into(scalar(cx, cfg_node, cfg["index"], (T.U16,), name), base + 4, cfg_node)
    for i, v in ((5, id_), (6, ctl_id)):
        if v is not None:
            cx.into(v, base + i, node)
    fb.release(mark)
    result = fb.reg()
    fb.high = max(fb.high, base + 7)
    cx.emit(node, Op.DSDOP, cx.unit.row(cx.unit.dsd_ops, tuple(int(c) for c in row)), base, result)
    return Reg(T.BOOL, result)


@builtin("dfilt", "fabin, config", phase="run", doc="Drop data wavelets until `extent` control wavelets have come.")
def dfilt(cx: Analysis, node: ast.BuiltinCall, hint: T.Type | None) -> Any:
    source = cx.rv(node.args[0])
    if source.ty not in (T.FABIN, T.DSR_SRC1):
        cx.fail("MS0512", f"@dfilt takes a fabin_dsd or a dsr_src1, found {source.ty}", node.args[0])
    cfg = config(
        cx,
        node.args[1],
        dict.fromkeys(("async", "activate", "unblock", "priority", "ut_id"), ""),
        "the configuration of @dfilt",
    )
    columns, id_, _ = op_config(cx, node.args[1], cfg)
    if not columns["async"]:
        cx.fail("MS0511", "@dfilt is asynchronous", node.args[1], "add '.async = true'")
    fb = cx.builder
    row = OperationRow.make(code=DsdOpCode.DFILT, async_=1, **{k: columns[k] for k in ("action", "ut", "prio")})
    mark = fb.mark()
    base = fb.regs(7)
    if source.ty is T.FABIN:
        row[OperationRow.src] = Operand.DSD
        cx.into(source, base + 1, node)
    else:
        row[OperationRow.src], row[OperationRow.src_dsr] = Operand.DSR, dsr_index(cx, source)
    if id_ is not None:
        cx.into(id_, base + 5, node)
    fb.release(mark)
    result = fb.reg()
    fb.high = max(fb.high, base + 7)
    cx.emit(node, Op.DSDOP, cx.unit.row(cx.unit.dsd_ops, tuple(int(c) for c in row)), base, result)
    return Reg(T.BOOL, result)


def scalar(cx: Analysis, node, value: Any, allowed: tuple[T.Type, ...], name: str) -> Any:
    if isinstance(value, Known) and value.ty in (T.COMPTIME_INT, T.COMPTIME_FLOAT):
        for t in allowed:
            if not isinstance(t, T.IntType) or value.ty is T.COMPTIME_INT and t.lo <= value.v <= t.hi:
                return cx.coerce(value, t, node)
        cx.coerce(value, allowed[-1], node)
    value = cx.load(value, node)
    if value.ty not in allowed:
        cx.fail(
            "MS0301", f"@{name} takes a scalar of type {' or '.join(t.name for t in allowed)}, found {value.ty}", node
        )
    return value


def describe_form(form: str) -> str:
    words = {"D": "DSD", "V": "DSD", "P": "pointer", "s": "scalar"}
    return "(" + ", ".join(words[c] for c in form) + ")"


def _register(name: str, op: DsdOpCode) -> None:
    longest = max(len(f) for f in op.forms)
    args = ", ".join(["dest", *(f"src{i}" for i in range(longest - 1))]) + "[, config]"

    @builtin(name, args, doc=f"Vector operation, forms {'; '.join(describe_form(f) for f in op.forms)}.")
    def run(cx: Analysis, node: ast.BuiltinCall, hint: T.Type | None) -> Any:
        return lower(cx, node, name, op)


for _name, _op in DSD_OPS.items():
    _register(_name, _op)


def is_small(decl: Any) -> bool:
    """Whether a mapped function is expanded in the loop: a few plain statements, as any compiler would."""
    stmts = decl.body.stmts
    return (
        not decl.noinline
        and len(stmts) <= 4
        and all(isinstance(s, (ast.ExprStmt, ast.Assign, ast.Return, ast.Decl)) for s in stmts)
    )


@builtin("map", "fn, operands, ...", phase="run", doc="Call a function for each step of its vector operands.")
def map_(cx: Analysis, node: ast.BuiltinCall, hint: T.Type | None) -> Any:
    fn = cx.known(node.args[0]).v
    if not isinstance(fn, FnValue) or fn.decl.is_task:
        cx.fail("MS0515", "@map takes a function", node.args[0])
    decl = fn.decl
    ret_void = cx.map_returns_void(fn)
    want = len(decl.params) + (0 if ret_void else 1)
    operands = node.args[1:]
    if len(operands) != want:
        cx.fail(
            "MS0515",
            f"@map of '{decl.name}' takes {want} operands ({len(decl.params)} inputs{'' if ret_void else ' and the output'}), "
            f"found {len(operands)}",
            node,
        )
    fb = cx.builder
    start = fb.mark()
    values = [cx.rv(a) for a in operands]
    if not any(is_vector(v.ty) for v in values):
        cx.fail("MS0515", "@map needs a DSD or DSR among its operands", node)
    dsrs: list[int] = []
    held: list[tuple[Any, bool]] = []
    for i, v in enumerate(values):
        is_out = not ret_void and i == want - 1
        if v.ty is T.FABIN and is_out:
            cx.fail("MS0503", "a fabin_dsd is a source: it cannot be the output of @map", operands[i])
        if v.ty is T.CIRCBUF:
            refuse_circbuf(cx, operands[i])
        if v.ty is T.FIFO:
            cx.fail("MS0515", "@map cannot take a FIFO", operands[i])
        if v.ty is T.FABOUT and not is_out:
            cx.fail("MS0504", "a fabout_dsd is a destination: it cannot be an input of @map", operands[i])
        if isinstance(v.ty, T.DsrType):
            r = fb.reg()
            cx.emit(node, Op.DSRGET, r, dsr_index(cx, v))
            dsrs.append(dsr_index(cx, v))
            held.append((Reg(T.MEM1D, r), True))
        elif isinstance(v.ty, T.DsdType):
            held.append((Reg(v.ty, cx.keep_reg(v, v.ty, node)), True))
        elif isinstance(v, Reg):
            held.append((Reg(v.ty, cx.keep_reg(v, v.ty, node)), False))
        else:
            held.append((v, False))
    count, i = fb.reg(), fb.reg()
    first = True
    for v, vector in held:
        if not vector:
            continue
        if first:
            cx.emit(node, Op.DCOUNT, count, v.reg)
            first = False
            continue
        mark = fb.mark()
        other, smaller = fb.reg(), fb.reg()
        cx.emit(node, Op.DCOUNT, other, v.reg)
        cx.emit(node, Op.LE, smaller, count, other)
        cx.emit(node, Op.SEL, count, smaller, other)
        fb.release(mark)
    # counting and branching cost nothing, nor does fetching an element: the operands' DSRs step by themselves
    fb.free = True
    fb.constant(0, i)
    top, end = fb.label(), fb.label()
    fb.place(top)
    mark = fb.mark()
    flag = fb.reg()
    cx.emit(node, Op.LT, flag, i, count)
    fb.jump(Op.JZ, end, flag)
    fb.free = False

    def argument(k: int, want_type: T.Type | None) -> Any:
        v, vector = held[k]
        if not vector:
            return v
        t = want_type
        if t is None or t.ty is None or t.size not in (2, 4):
            cx.fail(
                "MS0515",
                f"'{decl.params[k].name}' of '{decl.name}' must have a 16-bit or 32-bit number type to be mapped",
                operands[k],
            )
        assert t is not None and t.ty is not None
        r = fb.reg()
        fb.free = True
        cx.emit(node, Op.ELD, r, v.reg, i, t.ty)
        fb.free = False
        return Reg(t, r)

    cx.depth += 1
    result = cx.call_with(fn, argument, node, inline=is_small(decl))
    cx.depth -= 1
    if not ret_void:
        v, vector = held[-1]
        if vector:
            cx.emit(node, Op.EST, cx.to_reg(result, node), v.reg, i, cx.scalar(result.ty, node))
        elif isinstance(v.ty, T.PtrType):
            target = v.ty.elem
            cx.store(cx.pointee(v, target), cx.coerce(result, target, node), node)
        else:
            cx.fail("MS0515", f"the output of @map is a DSD, a DSR or a pointer, found {v.ty}", operands[-1])
    fb.release(mark)
    fb.free = True
    cx.emit(node, Op.ADDI, i, i, 1)
    fb.jump(Op.JMP, top)
    fb.free = False
    fb.place(end)
    for index in dsrs:
        cx.emit(node, Op.DSRADV, index, count)
    fb.release(start)
    return VOID
