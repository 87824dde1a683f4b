"""Operators, and the places of memory that expressions name."""

from __future__ import annotations

from typing import Any

from ...diag import did_you_mean
from ...ir.isa import Op, Ty
from ...syntax import ast
from ..model import ops
from ..model import types as T
from ..model.modules import ModuleInstance
from ..model.values import (
    FALSE,
    TRUE,
    VOID,
    Cell,
    ElemRef,
    Fields,
    FnValue,
    GlobalVar,
    Known,
    Mem,
    Pointer,
    Reg,
    RegVar,
    key,
)
from .context import Context

_INT_OPS = {
    "+": Op.ADD,
    "-": Op.SUB,
    "*": Op.MUL,
    "/": Op.DIV,
    "%": Op.REM,
    "&": Op.AND,
    "|": Op.OR,
    "^": Op.XOR,
    "<<": Op.SHL,
    ">>": Op.SHR,
}
_FLOAT_OPS = {"+": Op.FADD, "-": Op.FSUB, "*": Op.FMUL, "/": Op.FDIV}
_COMPARE = {
    "==": (Op.EQ, False),
    "!=": (Op.NE, False),
    "<": (Op.LT, False),
    "<=": (Op.LE, False),
    ">": (Op.LT, True),
    ">=": (Op.LE, True),
}


class Expressions(Context):
    """Evaluating operators, addresses, elements and members."""

    def ev(self, node: Any, hint: T.Type | None = None) -> Any:
        return self.EV[node.__class__](self, node, hint)

    def ev_int(self, node, hint):
        return Known(T.COMPTIME_INT, node.value)

    def ev_float(self, node, hint):
        return Known(T.COMPTIME_FLOAT, node.value)

    def ev_string(self, node, hint):
        return Known(T.COMPTIME_STRING, node.value)

    def ev_bool(self, node, hint):
        return TRUE if node.value else FALSE

    def ev_void(self, node, hint):
        return VOID

    def ev_ident(self, node, hint):
        return self.lookup(node)

    def ev_unary(self, node, hint):
        x = self.rv(node.operand, hint)
        if isinstance(x, Known):
            return self.op(node, ops.unary, node.op, x)
        t = x.ty
        r = self.fb.reg()
        if node.op == "!" and t is T.BOOL:
            self.emit(node, Op.LNOT, r, x.reg)
        elif node.op == "-" and T.is_float(t):
            self.emit(node, Op.FNEG, r, x.reg, 0, t.ty)
        elif node.op == "-" and isinstance(t, T.IntType):
            self.emit(node, Op.NEG, r, x.reg, 0, t.ty)
            self.narrow(r, t, node)
        elif node.op == "~" and isinstance(t, T.IntType):
            self.emit(node, Op.NOT, r, x.reg, 0, t.ty)
            self.narrow(r, t, node)
        else:
            self.op(node, ops.unary, node.op, Known(t, 0))
            raise AssertionError
        return Reg(t, r)

    def ev_binary(self, node, hint):
        op = node.op
        if op == "and" or op == "or":
            return self.ev_logic(node)
        operand_hint = None if op in _COMPARE else hint
        a = self.rv(node.left, operand_hint)
        b = self.rv(node.right, operand_hint)
        return self.binary(node, op, a, b, hint)

    def binary(self, node: Any, op: str, a: Any, b: Any, hint: T.Type | None = None) -> Any:
        if isinstance(a, Known) and isinstance(b, Known):
            functions = a.ty is T.FN, b.ty is T.FN
            if op in ("==", "!=") and (
                all(functions) or isinstance(a.v, (Pointer, FnValue)) and isinstance(b.v, (Pointer, FnValue))
            ):
                same = key(a) == key(b)
                return TRUE if same == (op == "==") else FALSE
            return self.op(node, ops.binary, op, a, b)
        if op in ("<<", ">>"):
            return self.shift(node, op, a, b, hint)
        t = self.op(node, ops.peer, a.ty, b.ty, op)
        self.op(node, ops.check_operator, op, t)
        a, b = self.coerce(a, t, node), self.coerce(b, t, node)
        if op in _COMPARE:
            code, swap = _COMPARE[op]
            ra, rb = self.to_reg(a, node), self.to_reg(b, node)
            if swap:
                ra, rb = rb, ra
            r = self.builder.reg()
            self.emit(node, code, r, ra, rb, self.scalar(t, node))
            return Reg(T.BOOL, r)
        ty = self.scalar(t, node)
        if T.is_float(t):
            r1, r2 = self.to_reg(a, node), self.to_reg(b, node)
            r = self.builder.reg()
            self.emit(node, _FLOAT_OPS[op], r, r1, r2, ty)
            return Reg(t, r)
        if op in ("/", "%") and isinstance(b, Known) and b.v == 0:
            self.fail("MS0305", "division by zero", node)
        for first, second, ok in ((a, b, op in "+-*"), (b, a, op in "+*")):
            if ok and isinstance(second, Known) and -(1 << 31) < second.v < (1 << 31):
                n = -second.v if op == "-" else second.v
                r1 = self.to_reg(first, node)
                r = self.builder.reg()
                self.emit(node, Op.MULI if op == "*" else Op.ADDI, r, r1, n, ty)
                self.narrow(r, t, node)
                return Reg(t, r)
        r1, r2 = self.to_reg(a, node), self.to_reg(b, node)
        r = self.builder.reg()
        self.emit(node, _INT_OPS[op], r, r1, r2, ty)
        self.narrow(r, t, node)
        return Reg(t, r)

    def shift(self, node, op, a, b, hint):
        if a.ty is T.COMPTIME_INT:
            if hint is None or not isinstance(hint, T.IntType):
                self.fail("MS0307", "the left operand of a run-time shift needs a type", node, "use @as(u16, value)")
            a = self.coerce(a, hint, node)
        t = a.ty
        if not isinstance(t, T.IntType) or not T.is_int(b.ty):
            self.fail("MS0304", f"'{op}' cannot be applied to {t} and {b.ty}", node)
        if isinstance(b.ty, T.IntType) and b.ty.signed:
            self.fail("MS0304", f"the amount of '{op}' must be unsigned, found {b.ty}", node, "use @as(u16, amount)")
        if isinstance(b, Known):
            if b.v >= t.bits or b.v < 0:
                self.fail("MS0306", f"shift of {t} by {b.v}: the amount must be 0 to {t.bits - 1}", node)
            b = Known(T.U16, b.v)
        r1, r2 = self.to_reg(a, node), self.to_reg(b, node)
        r = self.fb.reg()
        self.emit(node, _INT_OPS[op], r, r1, r2, self.scalar(t, node))
        self.narrow(r, t, node)
        return Reg(t, r)

    def ev_logic(self, node):
        is_and = node.op == "and"
        a = self.condition(node.left)
        if isinstance(a, Known):
            if a.v != is_and:
                return a
            return self.condition(node.right)
        fb = self.fb
        r = fb.reg()
        self.emit(node, Op.MOV, r, a.reg)
        end = fb.label()
        fb.jump(Op.JZ if is_and else Op.JNZ, end, r)
        mark = fb.mark()
        self.depth += 1
        b = self.condition(node.right)
        self.depth -= 1
        self.into(b, r, node)
        fb.release(mark)
        fb.place(end)
        return Reg(T.BOOL, r)

    def condition(self, node: Any) -> Any:
        value = self.rv(node, T.BOOL)
        if value.ty is not T.BOOL:
            self.fail(
                "MS0301",
                f"expected bool, found {value.ty}",
                node,
                "compare with 0: (x != 0)" if T.is_numeric(value.ty) else None,
            )
        return value

    # ---------------------------------------------------------------- places

    def ev_addr(self, node, hint):
        target = node.operand
        if isinstance(target, ast.Ident):
            value = self.lookup(target)
            if isinstance(value, Known) and value.ty is T.FN:
                return self.function_pointer(value.v, node)
            value = self.stored(value, target)
            if isinstance(value, Cell):
                self.fail("MS0314", f"'{target.name}' is a comptime variable: it has no address", node)
            if isinstance(value, Known):
                self.fail(
                    "MS0314",
                    f"'{target.name}' is a {value.ty}: it has no address",
                    node,
                    "give it a type that exists at run time" if T.is_numeric(value.ty) else None,
                )
            if isinstance(value, (Reg, Fields)):
                self.fail(
                    "MS0314",
                    f"'{target.name}' is a parameter or a constant: it has no address",
                    node,
                    "copy it to a 'var' first",
                )
        else:
            value = self.ev_place(target)
        if isinstance(value, Mem):
            t = T.pointer(value.ty, const=value.const)
            if value.base == 0:
                return Known(t, Pointer(value.var, value.offset))
            r = self.fb.reg()
            self.emit(node, Op.ADDI, r, value.base, self.place(value), Ty.U16)
            return Reg(t, r)
        self.fail(
            "MS0314",
            "only variables, their elements and functions have an address",
            node,
            "store the value in a 'var' first",
        )

    def ev_place(self, node: ast.Expr, indexed: bool = False) -> Any:
        """As `ev`, of what has a name: a constant is its copy in memory, an element of one an element of that copy. indexed: what
        is wanted is an array; a pointer is as good as it is."""
        if isinstance(node, ast.Index):
            return self.indexed(self.ev_place(node.base, True), node)
        value = self.ev(node)
        if not isinstance(node, (ast.Ident, ast.Field)) or indexed and not isinstance(value.ty, T.ArrayType):
            return value
        return self.stored(value, node)

    def stored(self, value: Any, node: ast.Ident | ast.Field) -> Any:
        """A constant of a type that exists at run time as a place in memory; anything else as it is."""
        if isinstance(value, Known) and (
            T.kept_in_memory(value.ty)
            or (value.ty.ty is not None or isinstance(value.ty, T.StructType))
            and not value.ty.comptime_only
        ):
            return Mem(value.ty, 0, 0, True, self.constant_storage(value, node.name, node))
        return value

    def constant_storage(self, value: Known, name: str, node: Any) -> GlobalVar:
        """The memory copy of a const: one per value object."""
        table = self.unit.constant_table
        found = table.get(id(value))
        if found is None:
            found = (GlobalVar(self.module.qualified(name), value.ty, value, True, getattr(node, "span", None)), value)
            table[id(value)] = found
        return found[0]

    def function_type(self, fn: FnValue, node: Any) -> T.FnType:
        env = self.__class__(self.unit, fn.module)
        params = []
        for p in fn.decl.params:
            if p.comptime or p.type is None:
                self.fail("MS0315", f"'{fn.decl.name}' is generic: it has no single function type", node)
            params.append(env.type_expr(p.type))
        return T.function(tuple(params), env.type_expr(fn.decl.ret) if fn.decl.ret is not None else T.VOID)

    def function_pointer(self, fn: FnValue, node: Any) -> Known:
        if fn.decl.is_task:
            self.fail(
                "MS0402",
                f"'{fn.decl.name}' is a task: it has no address and cannot be called",
                node,
                "bind it to a task id and activate that id",
            )
        if fn.decl.inline:
            self.fail(
                "MS0314",
                f"'{fn.decl.name}' is an inline function: it has no address",
                node,
                "take 'inline' away, or call it by its name",
            )
        return Known(T.pointer(self.function_type(fn, node), const=True), fn)

    def ev_deref(self, node, hint):
        p = self.rv(node.operand)
        t = p.ty
        if not isinstance(t, T.PtrType):
            self.fail("MS0301", f"'.*' needs a pointer, found {t}", node)
        if t.many:
            self.fail("MS0316", f"{t} points to many items: '.*' has no single item to name", node, "index it: p[i]")
        return self.pointee(p, t.elem)

    def pointee(self, p: Any, elem: T.Type) -> Mem | Known:
        """What a pointer points to: a place of type `elem`, or a function."""
        if isinstance(p, Known):
            v = p.v
            if isinstance(v, FnValue):
                return Known(T.FN, v)
            assert isinstance(p.ty, T.PtrType)
            return Mem(elem, 0, v.offset, p.ty.const, v.var)
        return Mem(elem, p.reg, 0, p.ty.const)

    def ev_index(self, node, hint):
        return self.indexed(self.ev(node.base), node)

    def indexed(self, base: Any, node: ast.Index) -> Any:
        """The element or elements of `base` that an index names."""
        t = base.ty
        if (
            isinstance(base, (Mem, RegVar, Reg, Cell, ElemRef))
            and isinstance(t, T.PtrType)
            or isinstance(base, Known)
            and isinstance(t, T.PtrType)
        ):
            p = self.load(base, node)
            if not t.many and isinstance(t.elem, T.ArrayType):
                base = self.pointee(p, t.elem)
                t = t.elem
            elif not t.many:
                self.fail("MS0316", f"{t} points to a single item: it cannot be indexed", node, "use p.*")
            else:
                if len(node.indices) != 1:
                    self.fail("MS0317", f"{t} takes one index, found {len(node.indices)}", node)
                place = self.pointee(p, t.elem)
                if isinstance(place, Known):
                    self.fail("MS0301", f"{t} cannot be indexed", node)
                return self.element(place, t.elem, [self.rv(node.indices[0])], (None,), node)
        if isinstance(t, T.StructType) and t.tuple:
            i = self.known_int(node.indices[0])
            if not 0 <= i < len(t.fields):
                self.fail("MS0318", f"index {i} is outside the tuple of {len(t.fields)}", node)
            return self.member(base, str(i), node)
        if not isinstance(t, T.ArrayType):
            self.fail("MS0301", f"{t} cannot be indexed", node)
        if len(node.indices) != len(t.dims):
            self.fail("MS0317", f"{t} takes {len(t.dims)} indices, found {len(node.indices)}", node)
        idx = [self.rv(i) for i in node.indices]
        for i, (v, d) in enumerate(zip(idx, t.dims, strict=True)):
            if not T.is_int(v.ty):
                self.fail("MS0301", f"an index must be an integer, found {v.ty}", node.indices[i])
            if isinstance(v, Known) and not 0 <= v.v < d:
                self.fail(
                    "MS0318",
                    f"index {v.v} is outside the array of {d}",
                    node.indices[i],
                    f"indices are 0 to {d - 1}" if d else "the array has no elements",
                )
        if isinstance(base, (Known, Cell, ElemRef)):
            if all(isinstance(v, Known) for v in idx):
                n = 0
                for v, d in zip(idx, t.dims, strict=True):
                    n = n * d + v.v
                if isinstance(base, Known):
                    return ops.get_element(t, base.v, n)
                return self.cell_element(base, t, n)
            if isinstance(base, Known):
                if self.fb is None:
                    self.fail("MS0310", "this index must be known at compile time", node)
                name = node.base.name if isinstance(node.base, ast.Ident) else "constant"
                base = Mem(t, 0, 0, True, self.constant_storage(base, name, node))
            else:
                self.fail("MS0310", "a comptime variable takes indices known at compile time", node)
        return self.element(Mem(t.elem, base.base, base.offset, base.const, base.var), t.elem, idx, t.dims, node)

    def element(self, place: Mem, elem: T.Type, idx: list[Any], dims: tuple, node: Any) -> Mem:
        """The place of an element: constant parts go to the offset, the rest to an address register."""
        size = elem.size
        if size == 0:
            self.fail("MS0307", f"elements of type {elem} exist at compile time only", node)
        stride, offset, dynamic = size, 0, []
        for v, d in zip(reversed(idx), reversed(dims), strict=True):
            if isinstance(v, Known):
                offset += v.v * stride
            else:
                dynamic.append((v, stride, d))
            stride *= d if d is not None else 1
        if not dynamic:
            return Mem(elem, place.base, place.offset + offset, place.const, place.var)
        fb = self.fb
        if fb is None:
            self.fail("MS0310", "this index must be known at compile time", node)
        address = fb.reg()
        used = False
        for v, step, d in reversed(dynamic):
            r = self.to_reg(v, node)
            if d is not None:
                self.emit(node, Op.CHK, r, d)
            if not used:
                if step == 1:
                    self.emit(node, Op.MOV, address, r)
                else:
                    self.emit(node, Op.MULI, address, r, step)
            else:
                mark = fb.mark()
                tmp = fb.reg()
                self.emit(node, Op.MULI, tmp, r, step)
                self.emit(node, Op.ADD, address, address, tmp)
                fb.release(mark)
            used = True
        if place.base:
            self.emit(node, Op.ADD, address, address, place.base)
        return Mem(elem, address, place.offset + offset, place.const, place.var)

    def cell_element(self, base: Any, t: T.ArrayType, n: int) -> ElemRef:
        """Element n of a comptime array variable."""

        def payload():
            return (base.v if isinstance(base, Cell) else base.get()).v

        def store(value: Known) -> None:
            payload().data[n] = ops.element(t, value)

        return ElemRef(t.elem, lambda: ops.get_element(t, payload(), n), store)

    def ev_field(self, node, hint):
        base = self.ev(node.base)
        return self.member(base, node.name, node)

    def member(self, base: Any, name: str, node: Any) -> Any:
        t = base.ty
        if isinstance(base, Known):
            if t is T.MODULE:
                return self.module_member(base.v, name, node)
            if t is T.TYPE:
                return self.type_member(base.v, name, node)
        if isinstance(t, T.PtrType) and not t.many and isinstance(t.elem, (T.StructType, T.BitsType)):
            base = self.pointee(self.load(base, node), t.elem)
            t = t.elem
        if t is T.COMPTIME_STRUCT and isinstance(base, (Cell, ElemRef)):
            t = (base.v if isinstance(base, Cell) else base.get()).ty  # whatever struct it is at the moment
        if isinstance(t, T.RangeType):
            self.fail("MS0202", f"a range has no field '{name}'", node, "use @range_start, @range_stop, @range_step")
        if isinstance(t, T.BitsType) and name in t.parts:
            return self.bits_member(base, name, node)
        if not isinstance(t, (T.StructType, T.BitsType)):
            if isinstance(t, T.PtrType):
                self.fail("MS0202", f"{t} has no field '{name}'", node, "dereference it first: p.*")
            self.fail("MS0202", f"{t} has no fields: '.{name}' names nothing", node)
        names = t.parts if isinstance(t, T.BitsType) else t.index
        if name not in names:
            self.fail(
                "MS0202",
                f"{t} has no field '{name}'",
                getattr(node, "name_span", node),
                did_you_mean(name, names),
                notes=[f"fields: {', '.join(names)}"] if names else ["it has no fields"],
            )
        if isinstance(base, (Known, Fields)):
            return base.v[name]
        assert isinstance(t, T.StructType)  # the fields of a word are bits_member's
        if isinstance(base, Mem):
            i = t.index[name]
            return Mem(t.fields[i][1], base.base, base.offset + t.offsets[i], base.const, base.var)
        if isinstance(base, (Cell, ElemRef)):

            def payload():
                return (base.v if isinstance(base, Cell) else base.get()).v

            def store(value: Known) -> None:
                payload()[name] = value

            return ElemRef(t.fields[t.index[name]][1], lambda: payload()[name], store)
        self.fail("MS0202", f"{t} has no field '{name}'", node)

    def module_member(self, module: ModuleInstance, name: str, node: Any) -> Any:
        if name not in module.decls:
            self.fail(
                "MS0203",
                f"module '{module.name or module.path}' has no member '{name}'",
                getattr(node, "name_span", node),
                did_you_mean(name, module.decls),
            )
        return self.global_value(module, name, node)

    def type_member(self, t: T.Type, name: str, node: Any) -> Any:
        if isinstance(t, T.EnumType):
            if name in t.members:
                return Known(t, t.members[name])
            self.fail(
                "MS0202",
                f"{t} has no member '{name}'",
                getattr(node, "name_span", node),
                did_you_mean(name, t.members),
                notes=[f"members: {', '.join(t.members)}"],
            )
        self.fail("MS0202", f"type {t} has no member '{name}'", node)
