"""The one analysis pass: walking a function yields known values or instructions that compute them (as in Zig's Sema).

With `fb` None everything must be known: that is how comptime code (initialisers, comptime blocks, the layout) runs.
With a FunctionBuilder the walk emits code, and still computes at compile time whatever is known.
"""

from __future__ import annotations

import difflib
from contextlib import contextmanager
from typing import Any

import numpy as np

from ..diag import Diagnostic, Label, MeshlangError
from ..ir import features
from ..ir.isa import Op, Ty
from ..ir.program import DIRECTIONS
from ..syntax import ast
from . import ops
from . import types as T
from .codegen import FunctionBuilder
from .modules import ModuleInstance, Resolving, bind_param
from .ops import Fail
from .unit import Instance, Unit
from .values import (
    FALSE,
    TRUE,
    VOID,
    ArrayValue,
    Cell,
    ElemRef,
    Fields,
    FnValue,
    GlobalVar,
    Known,
    Mem,
    Pointer,
    RangeValue,
    Reg,
    RegVar,
    key,
    own,
)

FN = T.Type("function", comptime_only=True)         # the type of a bare function name
POISON = Known(T.Type("<error>"), None)             # stands for a value whose computation was reported
INLINE_LIMIT = 100_000                              # unrolled iterations and comptime loop steps without --max-inlined-iterations
LOOP_LIMIT = 20_000_000                              # steps of one comptime function or block; a wafer has half a million PEs

_INT_OPS = {"+": Op.ADD, "-": Op.SUB, "*": Op.MUL, "/": Op.DIV, "%": Op.REM, "&": Op.AND, "|": Op.OR, "^": Op.XOR,
            "<<": Op.SHL, ">>": Op.SHR}
_FLOAT_OPS = {"+": Op.FADD, "-": Op.FSUB, "*": Op.FMUL, "/": Op.FDIV}
_COMPARE = {"==": (Op.EQ, False), "!=": (Op.NE, False), "<": (Op.LT, False), "<=": (Op.LE, False), ">": (Op.LT, True),
            ">=": (Op.LE, True)}


class Silent(MeshlangError):
    """Raised where an error was already reported."""

    def __init__(self):
        super().__init__()


class BreakSignal(Exception):
    def __init__(self, label: str | None, value: Any):
        self.label, self.value = label, value


class ContinueSignal(Exception):
    def __init__(self, label: str | None):
        self.label = label


class ReturnSignal(Exception):
    def __init__(self, value: Any):
        self.value = value


class Target:
    """A loop or labelled block that `break` and `continue` can name, in run-time code."""

    def __init__(self, label: str | None, is_loop: bool, depth: int):
        self.label, self.is_loop, self.depth = label, is_loop, depth
        self.end: Any = None
        self.cont: Any = None
        self.types: list[T.Type] | None = None      # collecting the types of break values
        self.result: int | None = None              # register of the block's value
        self.result_type: T.Type | None = None
        self.known: Any = None                      # the value, if the only break is unconditional and comptime-known
        self.broke = False                          # left unconditionally
        self.breaks = 0


class Frame:
    """Where `return` goes: the function itself (label None) or an inlined call."""

    def __init__(self, ret: T.Type, label: Any, depth: int):
        self.ret, self.label, self.depth = ret, label, depth
        self.result: int | None = None
        self.known: Any = None
        self.jumps = 0


class Analyzer:
    def __init__(self, unit: Unit, module: ModuleInstance, fb: FunctionBuilder | None = None):
        self.unit = unit
        self.module = module
        self.fb = fb
        self.scopes: list[dict[str, Any]] = [{}]
        self.targets: list[Target] = []
        self.frame: Frame | None = None
        self.depth = 0                  # nesting in run-time control flow
        self.address_taken: set[str] = set()
        self.top_level = False          # in a top-level comptime block (or a function called from one)
        self.in_layout = False
        self.import_name = ""           # the global const being initialised
        self.instance: Instance | None = None   # the function that is compiled
        self.returns: T.Type | None = None      # comptime calls: what the function returns
        self.steps = 0
        self.call_depth = 0

    # ================================================================ errors

    def fail(self, code: str, message: str, node: Any, help: str | None = None, labels: list | None = None,
             notes: list[str] | None = None):
        span = getattr(node, "span", node)
        raise MeshlangError(Diagnostic(code, message, span, "error", [Label(s, t) for s, t in labels or []], notes or [], help))

    def warn(self, code: str, message: str, node: Any, help: str | None = None) -> None:
        self.unit.error(code, message, getattr(node, "span", node), help=help, severity="warning")

    def need(self, feature: str, node: Any) -> None:
        """Refuse a hardware feature that the engine does not have."""
        if feature not in features.ENGINE:
            self.fail("MS0399", f"{feature} {'are' if feature.endswith('s') and feature != features.ZERO else 'is'} not supported yet", node)

    def op(self, node: Any, fn, *args):
        """Call a function of `ops`, giving its failure a place."""
        try:
            return fn(*args)
        except Fail as e:
            self.fail(e.code, e.message, node, e.help)

    # ================================================================ names

    def lookup(self, node: ast.Ident) -> Any:
        name = node.name
        for scope in reversed(self.scopes):
            found = scope.get(name)
            if found is not None:
                if found is POISON:
                    raise Silent()
                return found
        if name in self.module.decls:
            return self.global_value(self.module, name, node)
        t = T.named_type(name)
        if t is not None:
            return Known(T.TYPE, t)
        if name in DIRECTIONS:
            return Known(T.DIRECTION, DIRECTIONS.index(name))
        names = {n for s in self.scopes for n in s} | set(self.module.decls) | set(T.PREDECLARED)
        close = difflib.get_close_matches(name, names, 1)
        hint = f"did you mean '{close[0]}'?" if close else None
        if name in ("null", "undefined", "unreachable"):
            hint = f"the language has no '{name}'"
        self.fail("MS0201", f"'{name}' is not defined", node, hint)

    def global_value(self, module: ModuleInstance, name: str, node: Any) -> Any:
        """The value of a global: Known for const, param and functions; Mem for var."""
        found = module.values.get(name)
        if found is None:
            module.values[name] = Resolving()
            try:
                found = module.values[name] = Analyzer(self.unit, module).resolve(module.decls[name], node)
            except MeshlangError as e:
                module.values[name] = POISON
                for d in e.diagnostics:
                    self.unit.diagnostics.add(d)
                raise Silent() from None
        if isinstance(found, Resolving):
            del module.values[name]
            self.fail("MS0205", f"the value of '{name}' depends on itself", node)
        if found is POISON:
            raise Silent()
        if isinstance(found, GlobalVar):
            return Mem(found.type, 0, 0, found.const, found)
        return found

    def resolve(self, decl: Any, node: Any) -> Any:
        """Evaluate a global declaration (run in an analyzer of its module)."""
        module = self.module
        if isinstance(decl, ast.FnDecl):
            return Known(FN, FnValue(decl, module))
        if decl.kind in ("param", "color"):
            t = T.COLOR if decl.kind == "color" else self.type_expr(decl.type) if decl.type is not None else None
            value = module.bindings.get(decl.name)
            if value is None:
                if decl.init is None:
                    self.fail("MS0207", f"param '{decl.name}' has no value", node,
                              "give it in the import, the tile code or with --params, or give it a default",
                              labels=[(decl.name_span, "declared here")])
                value = self.known(decl.init)
                return value if t is None else self.coerce(value, t, decl.init)
            if t is None:
                return value
            try:
                return bind_param(value, t) if T.is_int(value.ty) else self.coerce(value, t, decl.name_span)
            except Fail as e:
                found = e.code, e.message
            except MeshlangError as e:
                found = e.diagnostics[0].code, e.diagnostics[0].message
            self.fail(found[0], f"param '{decl.name}': {found[1]}", decl.name_span,
                      labels=[(module.import_span, "given here")] if module.import_span else None)
        self.import_name = decl.name
        t = self.type_expr(decl.type) if decl.type is not None else None
        value = None
        if decl.init is not None:
            value = self.known(decl.init, t)
            if t is not None:
                value = self.coerce(value, t, decl.init)
        if decl.kind == "const":
            if value is None:
                self.fail("MS0208", f"const '{decl.name}' needs a value", decl.name_span)
            return value
        t = t or (value.ty if value else None)
        if t is None:
            self.fail("MS0208", f"var '{decl.name}' needs a type or a value", decl.name_span)
        if t in (T.BF16, T.CB16):
            self.scalar(t, decl.name_span)
        if t is T.COMPTIME_INT or t is T.COMPTIME_FLOAT or t.comptime_only or t is T.VOID:
            self.fail("MS0307", f"a variable cannot have the type {t}, which exists at compile time only", decl.name_span,
                      f"give '{decl.name}' a type, for example i16 or f32")
        return GlobalVar(module.qualified(decl.name), t, value, False, decl.name_span, self.alignment(decl), module=module)

    def alignment(self, decl: ast.Decl) -> int:
        if decl.align is None:
            return 0
        n = self.known_int(decl.align)
        if n <= 0 or n & (n - 1):
            self.fail("MS0308", f"align({n}): the alignment must be a power of two", decl.align)
        return n

    # ================================================================ values

    def known(self, node: ast.Expr, hint: T.Type | None = None) -> Known:
        """The value of an expression that must be comptime-known."""
        value = self.rv(node, hint)
        if not isinstance(value, Known):
            self.fail("MS0310", "this value must be known at compile time", node,
                      "use literals, consts, params, or 'comptime' variables")
        return value

    def known_int(self, node: ast.Expr) -> int:
        value = self.known(node)
        if not T.is_int(value.ty):
            self.fail("MS0301", f"expected an integer, found {value.ty}", node)
        return value.v

    def type_expr(self, node: ast.Expr) -> T.Type:
        value = self.known(node)
        if value.ty is not T.TYPE:
            self.fail("MS0301", f"expected a type, found a value of type {value.ty}", node)
        return value.v

    def rv(self, node: ast.Expr, hint: T.Type | None = None) -> Any:
        """Evaluate to a value (Known, Reg or Fields; arrays in memory stay Mem)."""
        value = self.ev(node, hint)
        if isinstance(value, (Known, Reg, Fields)):
            return value
        return self.load(value, node)

    def load(self, value: Any, node: Any) -> Any:
        if isinstance(value, Cell):
            return own(value.v)
        if isinstance(value, ElemRef):
            return own(value.get())
        if isinstance(value, RegVar):
            return Reg(value.ty, value.reg)
        if isinstance(value, Mem):
            if self.fb is None:
                var = value.var
                if var is not None and var.const and var.init is not None and value.ty is var.type:
                    return var.init
                self.fail("MS0311", f"{self.named(value)} is in memory: its value is not known at compile time", node,
                          "comptime code cannot read a 'var'; use a const or a param")
            if isinstance(value.ty, T.ArrayType):
                return value
            if isinstance(value.ty, T.StructType):
                return Fields(value.ty, {n: self.load(Mem(t, value.base, value.offset + o, value.const, value.var), node)
                                         for (n, t), o in zip(value.ty.fields, value.ty.offsets, strict=True)})
            r = self.fb.reg()
            self.emit(node, Op.LD, r, value.base, self.place(value), self.scalar(value.ty, node))
            return Reg(value.ty, r)
        return value

    def place(self, m: Mem) -> int:
        return m.offset + (self.unit.address_of(m.var) if m.var is not None else 0)

    def named(self, m: Any) -> str:
        var = getattr(m, "var", None)
        return f"'{var.name}'" if var is not None else "this place"

    def scalar(self, t: T.Type, node: Any) -> Ty:
        if t.ty is None:
            if t in (T.BF16, T.CB16):
                self.fail("MS0312", f"{t} is not the 16-bit float type of this program ({self.unit.fp16})", node,
                          f"compile with --fp16-format={t}")
            self.fail("MS0307", f"a value of type {t} exists at compile time only", node)
        return t.ty

    def emit(self, node: Any, op: Op, a: int = 0, b: int = 0, c: int = 0, ty: Ty = Ty.I64) -> None:
        self.fb.span = getattr(node, "span", None)
        self.fb.emit(op, a, b, c, ty)

    def to_reg(self, value: Any, node: Any) -> int:
        """A register that holds a scalar value (existing or new)."""
        if isinstance(value, Reg):
            return value.reg
        if isinstance(value, Known):
            if value.ty is T.COMPTIME_INT or value.ty is T.COMPTIME_FLOAT:
                self.fail("MS0307", f"a run-time value needs a type: this is {value.ty}", node, "use @as(TYPE, value)")
            self.fb.span = getattr(node, "span", None)
            self.scalar(value.ty, node)
            if isinstance(value.ty, T.DsdType):
                return self.fb.constant(self.unit.pack(value.v, getattr(node, "span", None)))
            return self.fb.constant(self.unit.scalar_bits(value))
        value = self.load(value, node)
        if isinstance(value, (Reg, Known)):
            return self.to_reg(value, node)
        self.fail("MS0301", f"a value of type {value.ty} cannot be used here", node)

    def into(self, value: Any, reg: int, node: Any) -> None:
        """Put a scalar into a given register."""
        if isinstance(value, Known):
            self.scalar(value.ty, node)
            self.fb.span = getattr(node, "span", None)
            bits = self.unit.pack(value.v, self.fb.span) if isinstance(value.ty, T.DsdType) else self.unit.scalar_bits(value)
            self.fb.constant(bits, reg)
        else:
            r = self.to_reg(value, node)
            if r != reg:
                self.emit(node, Op.MOV, reg, r)

    def flat(self, value: Any, t: T.Type, node: Any) -> list[Any]:
        """The scalars of a value of type `t`, in the order of T.flatten."""
        if isinstance(t, T.StructType):
            v = self.load(value, node).v
            return [s for n, f in t.fields for s in self.flat(v[n], f, node)]
        return [] if t is T.VOID or t.comptime_only else [value]

    def unflat(self, t: T.Type, regs: list[int], part: Any = None) -> Any:
        """A value of type `t` from registers, consuming them from the front. `part` has the fields that exist at compile time only."""
        if isinstance(t, T.StructType):
            return Fields(t, {n: self.unflat(f, regs, None if part is None else part.v[n]) for n, f in t.fields})
        if t is T.VOID:
            return VOID
        return part if t.comptime_only else Reg(t, regs.pop(0))

    # ---------------------------------------------------------------- conversions

    def coerce(self, value: Any, t: T.Type, node: Any) -> Any:
        """Implicit conversion to `t`, or an error."""
        if t is T.ANYTYPE or value.ty is t:
            return value
        if isinstance(value, Known):
            if value.ty is FN and isinstance(t, T.PtrType) and isinstance(t.elem, T.FnType):
                return self.coerce(self.function_pointer(value.v, node), t, node)
            if value.ty is FN and isinstance(t, T.FnType):
                return Known(t, value.v)
            return self.op(node, ops.coerce, value, t)
        value = self.load(value, node)
        if value.ty is t:
            return value
        if isinstance(value, Fields) and isinstance(t, T.StructType) and value.ty.tag is None and set(value.v) == set(t.index):
            return Fields(t, {n: self.coerce(value.v[n], f, node) for n, f in t.fields})
        s = value.ty
        if isinstance(t, T.PtrType) and isinstance(s, T.PtrType):
            if ops.pointer_converts(s, t):
                return Reg(t, value.reg)
        elif ops.widens(s, t):
            return self.convert(value, t, node)
        self.fail("MS0301", f"expected {t}, found {s}", node,
                  f"convert it with @as({t}, value)" if T.is_numeric(s) and T.is_numeric(t) else None)

    def convert(self, value: Any, t: T.Type, node: Any) -> Any:
        """`@as(t, value)`."""
        if isinstance(value, Known):
            return self.op(node, ops.convert, value, t)
        value = self.load(value, node)
        s = value.ty
        if s is t:
            return value
        src_int = isinstance(s, (T.IntType, T.EnumType)) or s is T.BOOL
        if not isinstance(value, Reg):
            self.fail("MS0301", f"a value of type {s} cannot be converted to {t}", node)
        r = self.fb.reg()
        if t is T.BOOL and T.is_float(s):
            self.emit(node, Op.F2B, r, value.reg, s.ty)
        elif t is T.BOOL and src_int:
            self.emit(node, Op.WRAP, r, value.reg, 1, Ty.U8)
        elif isinstance(t, (T.IntType, T.EnumType)) and src_int:
            self.emit(node, Op.WRAP, r, value.reg, 0, self.scalar(t, node))
            self.narrow(r, t, node)
        elif T.is_float(t) and src_int:
            self.emit(node, Op.I2F, r, value.reg, s.ty, self.scalar(t, node))
        elif isinstance(t, (T.IntType, T.EnumType)) and T.is_float(s):
            self.emit(node, Op.F2I, r, value.reg, s.ty, self.scalar(t, node))
        elif T.is_float(t) and T.is_float(s):
            self.emit(node, Op.F2F, r, value.reg, s.ty, self.scalar(t, node))
        else:
            self.fail("MS0301", f"@as cannot convert {s} to {t}", node)
        return Reg(t, r)

    def narrow(self, r: int, t: T.Type, node: Any) -> None:
        """Reduce a register to an integer type whose width is not that of its container (2.10: u5, i12, ...)."""
        if not isinstance(t, T.IntType) or t.bits == 8 * t.size:
            return
        mark = self.fb.mark()
        if t.signed:
            n = self.fb.constant(64 - t.bits)
            self.emit(node, Op.SHL, r, r, n, Ty.I64)
            self.emit(node, Op.SHR, r, r, n, Ty.I64)
        else:
            self.emit(node, Op.AND, r, r, self.fb.constant((1 << t.bits) - 1), Ty.I64)
        self.fb.release(mark)

    # ================================================================ expressions

    def ev(self, node: Any, hint: T.Type | None = None) -> Any:
        return _EV[node.__class__](self, node, hint)

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
            functions = a.ty is FN, b.ty is FN
            if op in ("==", "!=") and (all(functions) or isinstance(a.v, (Pointer, FnValue)) and isinstance(b.v, (Pointer, FnValue))):
                same = key(a) == key(b)
                return TRUE if same == (op == "==") else FALSE
            return self.op(node, ops.binary, op, a, b)
        if op in ("<<", ">>"):
            return self.shift(node, op, a, b, hint)
        t = self.op(node, ops.peer, a.ty, b.ty, op)
        self.op(node, ops.check_operator, op, t)
        a, b = self.coerce(a, t, node), self.coerce(b, t, node)
        fb = self.fb
        if op in _COMPARE:
            code, swap = _COMPARE[op]
            ra, rb = self.to_reg(a, node), self.to_reg(b, node)
            if swap:
                ra, rb = rb, ra
            r = fb.reg()
            self.emit(node, code, r, ra, rb, self.scalar(t, node))
            return Reg(T.BOOL, r)
        ty = self.scalar(t, node)
        if T.is_float(t):
            r1, r2 = self.to_reg(a, node), self.to_reg(b, node)
            r = fb.reg()
            self.emit(node, _FLOAT_OPS[op], r, r1, r2, ty)
            return Reg(t, r)
        if op in ("/", "%") and isinstance(b, Known) and b.v == 0:
            self.fail("MS0305", "division by zero", node)
        for first, second, ok in ((a, b, op in "+-*"), (b, a, op in "+*")):
            if ok and isinstance(second, Known) and -(1 << 31) < second.v < (1 << 31):
                n = -second.v if op == "-" else second.v
                r1 = self.to_reg(first, node)
                r = fb.reg()
                self.emit(node, Op.MULI if op == "*" else Op.ADDI, r, r1, n, ty)
                self.narrow(r, t, node)
                return Reg(t, r)
        r1, r2 = self.to_reg(a, node), self.to_reg(b, node)
        r = fb.reg()
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
            self.fail("MS0301", f"expected bool, found {value.ty}", node, "compare with 0: (x != 0)" if T.is_numeric(value.ty) else None)
        return value

    # ---------------------------------------------------------------- places

    def ev_addr(self, node, hint):
        target = node.operand
        if isinstance(target, ast.Ident):
            value = self.lookup(target)
            if isinstance(value, Known) and value.ty is FN:
                return self.function_pointer(value.v, node)
            if isinstance(value, Known) and (isinstance(value.ty, T.ArrayType) or
                                             (value.ty.ty is not None and not value.ty.comptime_only)):
                var = self.constant_storage(value, target.name, node)
                return Known(T.pointer(value.ty, const=True), Pointer(var, 0))
            if isinstance(value, Cell):
                self.fail("MS0314", f"'{target.name}' is a comptime variable: it has no address", node)
            if isinstance(value, Known):
                self.fail("MS0314", f"'{target.name}' is a {value.ty}: it has no address", node,
                          "give it a type that exists at run time" if T.is_numeric(value.ty) else None)
            if isinstance(value, (Reg, Fields)):
                self.fail("MS0314", f"'{target.name}' is a parameter or a constant: it has no address", node, "copy it to a 'var' first")
        else:
            value = self.ev(target)
        if isinstance(value, Mem):
            t = T.pointer(value.ty, const=value.const)
            if value.base == 0:
                return Known(t, Pointer(value.var, value.offset))
            r = self.fb.reg()
            self.emit(node, Op.ADDI, r, value.base, self.place(value), Ty.U16)
            return Reg(t, r)
        self.fail("MS0314", "only variables, their elements and functions have an address", node,
                  "store the value in a 'var' first")

    def constant_storage(self, value: Known, name: str, node: Any) -> GlobalVar:
        """The memory copy of a const: one per value object."""
        table = self.unit.constant_table
        found = table.get(id(value))
        if found is None:
            found = (GlobalVar(self.module.qualified(name), value.ty, value, True, getattr(node, "span", None)), value)
            table[id(value)] = found
        return found[0]

    def function_type(self, fn: FnValue, node: Any) -> T.FnType:
        env = Analyzer(self.unit, fn.module)
        params = []
        for p in fn.decl.params:
            if p.comptime or p.type is None:
                self.fail("MS0315", f"'{fn.decl.name}' is generic: it has no single function type", node)
            params.append(env.type_expr(p.type))
        return T.function(tuple(params), env.type_expr(fn.decl.ret) if fn.decl.ret is not None else T.VOID)

    def function_pointer(self, fn: FnValue, node: Any) -> Known:
        if fn.decl.is_task:
            self.fail("MS0402", f"'{fn.decl.name}' is a task: it has no address and cannot be called", node,
                      "bind it to a task id and activate that id")
        return Known(T.pointer(self.function_type(fn, node), const=True), fn)

    def ev_deref(self, node, hint):
        p = self.rv(node.operand)
        t = p.ty
        if not isinstance(t, T.PtrType):
            self.fail("MS0301", f"'.*' needs a pointer, found {t}", node)
        if t.many:
            self.fail("MS0316", f"{t} points to many items: '.*' has no single item to name", node, "index it: p[i]")
        return self.pointee(p, t.elem, 0, node)

    def pointee(self, p: Any, elem: T.Type, offset: int, node: Any) -> Mem:
        if isinstance(p, Known):
            v = p.v
            if isinstance(v, FnValue):
                return Known(FN, v)
            return Mem(elem, 0, v.offset + offset, p.ty.const, v.var)
        return Mem(elem, p.reg, offset, p.ty.const)

    def ev_index(self, node, hint):
        base = self.ev(node.base)
        t = base.ty
        if isinstance(base, (Mem, RegVar, Reg, Cell, ElemRef)) and isinstance(t, T.PtrType) or \
                isinstance(base, Known) and isinstance(t, T.PtrType):
            p = self.load(base, node)
            if not t.many and isinstance(t.elem, T.ArrayType):
                base = self.pointee(p, t.elem, 0, node)
                t = t.elem
            elif not t.many:
                self.fail("MS0316", f"{t} points to a single item: it cannot be indexed", node, "use p.*")
            else:
                if len(node.indices) != 1:
                    self.fail("MS0317", f"{t} takes one index, found {len(node.indices)}", node)
                return self.element(self.pointee(p, t.elem, 0, node), t.elem, [self.rv(node.indices[0])], (None,), node)
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
                self.fail("MS0318", f"index {v.v} is outside the array of {d}", node.indices[i])
        if isinstance(base, (Known, Cell, ElemRef)):
            if all(isinstance(v, Known) for v in idx):
                n = 0
                for v, d in zip(idx, t.dims, strict=True):
                    n = n * d + v.v
                if isinstance(base, Known):
                    return ops.get_element(t, base.v, n)
                return self.cell_element(base, t, n, node)
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

    def cell_element(self, base: Any, t: T.ArrayType, n: int, node: Any) -> ElemRef:
        """Element n of a comptime array variable."""
        def payload():
            return (base.v if isinstance(base, Cell) else base.get()).v

        def store(value: Known) -> None:
            payload().data[n] = value.v

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
        if isinstance(t, T.PtrType) and not t.many and isinstance(t.elem, T.StructType):
            base = self.pointee(self.load(base, node), t.elem, 0, node)
            t = t.elem
        if isinstance(t, T.RangeType):
            self.fail("MS0202", f"a range has no field '{name}'", node, "use @range_start, @range_stop, @range_step")
        if not isinstance(t, T.StructType):
            if isinstance(t, T.PtrType):
                self.fail("MS0202", f"{t} has no field '{name}'", node, "dereference it first: p.*")
            self.fail("MS0202", f"{t} has no fields: '.{name}' names nothing", node)
        if name not in t.index:
            close = difflib.get_close_matches(name, t.index, 1)
            self.fail("MS0202", f"{t} has no field '{name}'", getattr(node, "name_span", node),
                      f"did you mean '{close[0]}'?" if close else None,
                      notes=[f"fields: {', '.join(t.index)}"] if t.index else ["it has no fields"])
        if isinstance(base, (Known, Fields)):
            return base.v[name]
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
            close = difflib.get_close_matches(name, module.decls, 1)
            self.fail("MS0203", f"module '{module.name or module.path}' has no member '{name}'", getattr(node, "name_span", node),
                      f"did you mean '{close[0]}'?" if close else None)
        return self.global_value(module, name, node)

    def type_member(self, t: T.Type, name: str, node: Any) -> Any:
        if isinstance(t, T.EnumType):
            if name in t.members:
                return Known(t, t.members[name])
            close = difflib.get_close_matches(name, t.members, 1)
            self.fail("MS0202", f"{t} has no member '{name}'", getattr(node, "name_span", node),
                      f"did you mean '{close[0]}'?" if close else None, notes=[f"members: {', '.join(t.members)}"])
        self.fail("MS0202", f"type {t} has no member '{name}'", node)

    # ---------------------------------------------------------------- literals and types

    def ev_struct(self, node, hint):
        fixed = self.module.literals.get(id(node))
        if fixed is not None:
            if fixed.__class__ is not Known:
                fixed = self.module.literals[id(node)] = self.make_struct({f.name: self.rv(f.value) for f in node.fields}, False)
            return fixed
        t = None
        if node.type is not None:
            t = self.type_expr(node.type)
            if not isinstance(t, T.StructType):
                self.fail("MS0301", f"expected a struct type, found {t}", node.type)
        fields: dict[str, Any] = {}
        want = t or (hint if isinstance(hint, T.StructType) else None)
        for f in node.fields:
            if f.name in fields:
                self.fail("MS0206", f"field '{f.name}' is given twice", f)
            ft = want.fields[want.index[f.name]][1] if want and f.name in want.index else None
            fields[f.name] = self.rv(f.value, ft)
        value = self.make_struct(fields, False)
        if t is not None:
            unknown = [n for n in fields if n not in t.index]
            missing = [n for n in t.index if n not in fields and n not in t.defaults]
            if unknown or missing:
                what = [f"no field '{n}'" for n in unknown] + [f"field '{n}' is missing" for n in missing]
                self.fail("MS0202", f"{t}: {', '.join(what)}", node)
            return self.coerce(value, t, node)
        return value

    def make_struct(self, fields: dict[str, Any], is_tuple: bool) -> Any:
        t = T.struct(tuple((n, v.ty) for n, v in fields.items()), is_tuple)
        if all(isinstance(v, Known) for v in fields.values()):
            return Known(t, fields)
        return Fields(t, fields)

    def ev_tuple(self, node, hint):
        fixed = self.module.literals.get(id(node))
        if fixed is not None:
            if fixed.__class__ is not Known:
                fixed = self.module.literals[id(node)] = self.make_struct({str(i): self.rv(e) for i, e in enumerate(node.elems)}, True)
            return fixed
        return self.make_struct({str(i): self.rv(e) for i, e in enumerate(node.elems)}, True)

    def ev_array(self, node, hint):
        t = self.type_expr(node.type)
        if isinstance(t, T.StructType) and t.tuple:
            return self.coerce(self.make_struct({str(i): self.rv(e) for i, e in enumerate(node.elems)}, True), t, node)
        if not isinstance(t, T.ArrayType):
            self.fail("MS0301", f"expected an array type, found {t}", node.type)
        if len(node.elems) != t.count:
            self.fail("MS0317", f"{t} takes {t.count} elements, found {len(node.elems)}", node)
        values = [self.coerce(self.rv(e, t.elem), t.elem, e) for e in node.elems]
        if all(isinstance(v, Known) for v in values):
            d = ops.dtype(t.elem)
            data = [v.v for v in values]
            return Known(t, ArrayValue(np.array(data, dtype=d) if d else data))
        if self.fb is None:
            self.fail("MS0310", "the elements must be known at compile time", node)
        var = GlobalVar(self.module.qualified("array"), t, None, False, node.span)
        self.fb.statics.append(("the array", node.span))
        for i, v in enumerate(values):
            self.store(Mem(t.elem, 0, i * t.elem.size, False, var), v, node)
        return Mem(t, 0, 0, True, var)

    def ev_array_type(self, node, hint):
        dims = []
        for d in node.dims:
            n = self.known_int(d)
            if n < 0:
                self.fail("MS0302", f"an array dimension cannot be negative: {n}", d)
            dims.append(n)
        elem = self.type_expr(node.elem)
        if isinstance(elem, T.ArrayType):
            self.fail("MS0319", f"the elements of an array cannot be arrays ({elem})", node.elem,
                      f"write one array of more dimensions: [{', '.join(map(str, [*dims, *elem.dims]))}]{elem.elem}")
        return Known(T.TYPE, T.array(tuple(dims), elem))

    def ev_ptr_type(self, node, hint):
        return Known(T.TYPE, T.pointer(self.type_expr(node.elem), node.many, node.const))

    def ev_fn_type(self, node, hint):
        return Known(T.TYPE, T.function(tuple(self.type_expr(p) for p in node.params), self.type_expr(node.ret)))

    def ev_struct_type(self, node, hint):
        fields = tuple((f.name if f.name is not None else str(i), self.type_expr(f.type)) for i, f in enumerate(node.fields))
        is_tuple = bool(node.fields) and node.fields[0].name is None
        name = self.import_name or "struct"
        t = T.struct(fields, is_tuple, (node.span.file.path, node.span.start), name, node.layout)
        for f in node.fields:
            if f.default is not None:
                t.defaults[f.name] = self.coerce(self.known(f.default), t.fields[t.index[f.name]][1], f.default)
        return Known(T.TYPE, t)

    def ev_enum_type(self, node, hint):
        base = self.type_expr(node.base) if node.base is not None else T.U16
        if not isinstance(base, T.IntType):
            self.fail("MS0301", f"the base of an enum must be an integer type, found {base}", node.base)
        given: dict[str, int] = {}
        for m in node.members:
            if m.name in given:
                self.fail("MS0206", f"member '{m.name}' is given twice", m)
            if m.value is not None:
                given[m.name] = self.coerce(self.known(m.value), base, m.value).v
            else:
                given[m.name] = -1 << 70
        used, following = {v for v in given.values() if v != -1 << 70}, 0
        for name, v in given.items():
            if v == -1 << 70:
                while following in used:
                    following += 1
                given[name] = following
                following += 1
        return Known(T.TYPE, T.enum(base, tuple(given.items()), (node.span.file.path, node.span.start), self.import_name or "enum"))

    def ev_union_type(self, node, hint):
        self.fail("MS0399", "unions are not supported yet", node)

    def ev_asm(self, node, hint):
        self.fail("MS0399", "inline assembly is not supported", node, "write the operation in the language")

    def ev_comptime(self, node, hint):
        with self.comptime():
            return self.known(node.expr, hint)

    @contextmanager
    def comptime(self):
        """Everything inside runs at compile time."""
        fb, self.fb = self.fb, None
        targets = self.targets
        if fb is not None:
            self.targets = []       # a break cannot leave comptime code for run-time code
        try:
            yield
        finally:
            self.fb, self.targets = fb, targets

    def ev_tensor(self, node, hint):
        """`|i| {n} -> A[i]`: an anonymous struct with base_address, offset, extent and stride (facts 6.3)."""
        lengths = []
        for ln in node.lengths:
            n = self.known_int(ln)
            if n < 0:
                self.fail("MS0502", f"a length cannot be negative: {n}", ln)
            lengths.append(n)
        if len(lengths) != len(node.vars):
            self.fail("MS0502", f"{len(node.vars)} induction variables, but {len(lengths)} lengths", node)
        if not 1 <= len(lengths) <= 4:
            self.fail("MS0502", f"a tensor access takes 1 to 4 induction variables, found {len(lengths)}", node)
        target, name = node.target, "tensor"
        if isinstance(target, ast.Ident):
            name = target.name
        place = self.ev(target)
        t = place.ty
        if isinstance(t, T.PtrType):
            if isinstance(t.elem, T.ArrayType) and not t.many:
                place = self.pointee(self.load(place, node), t.elem, 0, node)
                t = t.elem
            elif t.many:
                place = self.pointee(self.load(place, node), t.elem, 0, node)
                t = T.array((0x7fff,), t.elem)
        if not isinstance(t, T.ArrayType):
            self.fail("MS0502", f"a tensor access needs an array, found {t}", target)
        if len(node.indices) != len(t.dims):
            self.fail("MS0502", f"{t} has {len(t.dims)} dimensions, the access gives {len(node.indices)} indices", node,
                      "write one affine expression per dimension")
        total = (0, [0] * len(node.vars))
        step = 1
        for expr, dim in zip(reversed(node.indices), reversed(t.dims), strict=True):
            c, coeffs = self.affine(expr, node.vars)
            total = (total[0] + c * step, [a + b * step for a, b in zip(total[1], coeffs, strict=True)])
            step *= dim
        if isinstance(place, Known):
            pointer = Known(T.pointer(t, const=True), Pointer(self.constant_storage(place, name, node), 0))
        elif isinstance(place, Mem) and place.base == 0:
            pointer = Known(T.pointer(t, const=place.const), Pointer(place.var, place.offset))
        elif isinstance(place, Mem):
            r = self.fb.reg()
            self.emit(node, Op.ADDI, r, place.base, self.place(place), Ty.U16)
            pointer = Reg(T.pointer(t), r)
        else:
            self.fail("MS0502", "a tensor access needs an array in memory", target)
        coeffs = total[1]
        n = len(lengths)
        # jump strides (facts A.1): the step of a dimension includes the reset of all inner ones
        jumps = [coeffs[d] - sum(coeffs[e] * (lengths[e] - 1) for e in range(d + 1, n)) for d in range(n)]

        def ints(seq):
            return self.make_struct({str(i): Known(T.COMPTIME_INT, v) for i, v in enumerate(seq)}, True)

        return self.make_struct({"base_address": pointer, "offset": Known(T.COMPTIME_INT, total[0]),
                                 "stride": ints(reversed(jumps)), "extent": ints(lengths)}, False)

    def affine(self, node: Any, names: list[str]) -> tuple[int, list[int]]:
        """An index as constant + coefficients of the induction variables."""
        zero = [0] * len(names)
        if isinstance(node, ast.Ident) and node.name in names:
            return 0, [int(n == node.name) for n in names]
        if isinstance(node, ast.Unary) and node.op == "-":
            c, k = self.affine(node.operand, names)
            return -c, [-x for x in k]
        if isinstance(node, ast.Binary) and node.op in "+-*":
            (c, k), (d, m) = self.affine(node.left, names), self.affine(node.right, names)
            if node.op == "*":
                if any(k) and any(m):
                    self.fail("MS0502", "an index must be affine: a product of two induction variables is not", node)
                return c * d, [x * d + y * c for x, y in zip(k, m, strict=True)]
            s = 1 if node.op == "+" else -1
            return c + s * d, [x + s * y for x, y in zip(k, m, strict=True)]
        if isinstance(node, ast.BuiltinCall) and node.name == "as" and len(node.args) == 2:
            return self.affine(node.args[1], names)
        self.scopes.append(dict.fromkeys(names, POISON))
        try:
            return self.known_int(node), zero
        except Silent:
            self.fail("MS0502", "an index must be an affine expression of the induction variables", node)
        finally:
            self.scopes.pop()

    # ---------------------------------------------------------------- if, switch, blocks as expressions

    def ev_if(self, node, hint):
        cond = self.condition(node.cond)
        if isinstance(cond, Known):
            branch = node.then if cond.v else node.orelse
            return VOID if branch is None else self.branch_value(branch, hint)
        if node.orelse is None:
            self.run_if(node, cond)
            return VOID
        t = self.unify([node.then, node.orelse], hint, node)
        fb = self.fb
        regs = [fb.reg() for _ in T.flatten(t)]
        other, end = fb.label(), fb.label()
        fb.jump(Op.JZ, other, cond.reg)
        self.depth += 1
        for branch, label in ((node.then, other), (node.orelse, end)):
            mark = fb.mark()
            self.store_result(branch, t, regs)
            fb.release(mark)
            if branch is node.then:
                fb.jump(Op.JMP, end)
            fb.place(label)
        self.depth -= 1
        return self.unflat(t, list(regs))

    def branch_value(self, node: Any, hint: T.Type | None) -> Any:
        if isinstance(node, (ast.ExprStmt,)):
            node = node.expr
        if isinstance(node, (ast.Assign, ast.Return, ast.Break, ast.Continue, ast.While, ast.For, ast.Decl)):
            self.stmt(node)
            return VOID
        return self.rv(node, hint)

    def store_result(self, node: Any, t: T.Type, regs: list[int]) -> None:
        value = self.branch_value(node, t)
        if t is T.VOID:
            return
        value = self.coerce(value, t, node)
        for r, v in zip(regs, self.flat(value, t, node), strict=True):
            self.into(v, r, node)

    def unify(self, branches: list[Any], hint: T.Type | None, node: Any) -> T.Type:
        """The common run-time type of several branches, found by a dry run."""
        t: T.Type | None = None
        for b in branches:
            self.depth += 1         # the branches are under run-time control
            s = self.type_of(b, hint)
            self.depth -= 1
            if hint is not None and s is not hint and not hint.comptime_only:
                s = hint
            t = s if t is None else self.op(node, ops.peer, t, s, "if")
        t = t or T.VOID
        if t is not T.VOID and (t.comptime_only or t is T.COMPTIME_INT):
            self.fail("MS0320", f"a run-time choice needs values with a run-time type, these are {t}", node,
                      "give the target a type, or use @as(TYPE, value)")
        return t

    def type_of(self, node: Any, hint: T.Type | None = None) -> T.Type | None:
        """The type an expression would have; it is analysed, but neither its code nor its effects stay."""
        with self.dry_run():
            return self.branch_value(node, hint).ty

    @contextmanager
    def dry_run(self):
        """Analyse without a trace, except for errors: code, static storage and comptime variables are put back.

        Errors stay, because a global whose value was in error is reported once only; the walk that follows would be silent.
        """
        fb, unit = self.fb, self.unit
        saved = None
        if fb is not None:
            saved = (len(fb.code), fb.next, fb.high, len(fb.calls), len(fb.labels), fb.span, len(fb.statics),
                     [(lb, len(lb.uses), lb.pc) for lb in fb.labels])
        memory = len(unit.image), len(unit.vars)
        cells = [(c, c.ty, own(c.v)) for scope in self.scopes for c in scope.values() if isinstance(c, Cell)]
        targets = list(self.targets)
        state = [(t, t.broke, t.known, t.breaks) for t in self.targets]
        frame_state = (self.frame.known, self.frame.jumps) if self.frame else None
        depth = self.depth
        try:
            yield
        finally:
            self.depth = depth
            self.targets = targets
            for t, broke, known, breaks in state:
                t.broke, t.known, t.breaks = broke, known, breaks
            if frame_state:
                self.frame.known, self.frame.jumps = frame_state
            for c, ty, v in cells:
                c.ty, c.v = ty, v
            for var in unit.vars[memory[1]:]:
                var.address = -1
            del unit.vars[memory[1]:], unit.image[memory[0]:]
            if saved:
                del fb.code[saved[0]:], fb.spans[saved[0]:], fb.calls[saved[3]:], fb.labels[saved[4]:], fb.statics[saved[6]:]
                fb.next, fb.high, fb.span = saved[1], saved[2], saved[5]
                for lb, uses, pc in saved[7]:
                    del lb.uses[uses:]
                    lb.pc = pc

    def ev_switch(self, node, hint):
        value = self.rv(node.value)
        t = value.ty
        if not (T.is_int(t) or isinstance(t, (T.EnumType, T.IdType)) or t is T.BOOL):
            self.fail("MS0321", f"switch takes an integer or an enum, found {t}", node.value)
        seen: dict[int, Any] = {}
        arms: list[tuple[list[int], Any]] = []
        other = None
        for p in node.prongs:
            if not p.values:
                if other is not None:
                    self.fail("MS0321", "a switch has one 'else' at most", p)
                other = p.body
                continue
            numbers = []
            for v in p.values:
                k = self.known(v)
                n = self.coerce(k, t, v).v if t is not T.COMPTIME_INT else k.v
                if n in seen:
                    self.fail("MS0321", f"case {v.span.text()} is given twice", v, labels=[(seen[n].span, "first given here")])
                seen[n] = v
                numbers.append(n)
            arms.append((numbers, p.body))
        if other is None:
            if isinstance(t, T.EnumType):
                missing = [n for n, v in t.members.items() if v not in seen]
            elif isinstance(t, T.IntType) and t.hi - t.lo < 1 << 16:
                missing = [str(n) for n in range(t.lo, t.hi + 1) if n not in seen][:4]
            else:
                missing = ["other values"] if t is not T.BOOL or len(seen) < 2 else []
            if missing:
                self.fail("MS0321", f"the switch does not cover {', '.join(missing[:4])}{', ...' if len(missing) > 4 else ''}", node,
                          "add the cases or an 'else'")
        if isinstance(value, Known):
            for numbers, body in arms:
                if value.v in numbers:
                    return self.branch_value(body, hint)
            return VOID if other is None else self.branch_value(other, hint)
        bodies = [b for _, b in arms] + ([other] if other is not None else [])
        t_out = self.unify(bodies, hint, node)
        fb = self.fb
        regs = [fb.reg() for _ in T.flatten(t_out)]
        r = self.to_reg(value, node)
        end, labels = fb.label(), [fb.label() for _ in arms]
        for (numbers, _), label in zip(arms, labels, strict=True):
            for n in numbers:
                mark = fb.mark()
                flag = fb.reg()
                self.emit(node, Op.EQ, flag, r, fb.constant(n), self.scalar(t, node))
                fb.jump(Op.JNZ, label, flag)
                fb.release(mark)
        self.depth += 1
        mark = fb.mark()
        if other is not None:
            self.store_result(other, t_out, regs)
        fb.release(mark)
        fb.jump(Op.JMP, end)
        for (_, body), label in zip(arms, labels, strict=True):
            fb.place(label)
            self.store_result(body, t_out, regs)
            fb.release(mark)
            fb.jump(Op.JMP, end)
        fb.place(end)
        self.depth -= 1
        return self.unflat(t_out, list(regs))

    def ev_block(self, node, hint):
        if node.label is None:
            self.block(node)
            return VOID
        if self.fb is None:
            with self.inside(node.label, False):
                try:
                    self.block(node)
                except BreakSignal as s:
                    if s.label != node.label:
                        raise
                    return s.value
            return VOID
        # two walks: the first finds the types of the break values
        probe = Target(node.label, False, self.depth)
        probe.types = []
        probe.result_type = hint
        self.targets.append(probe)
        self.type_of_block(node)
        self.targets.pop()
        t = None
        for s in probe.types:
            s = hint if hint is not None and s.comptime_only and not hint.comptime_only else s
            t = s if t is None else self.op(node, ops.peer, t, s, "if")
        t = t or T.VOID
        target = Target(node.label, False, self.depth)
        target.end = self.fb.label()
        target.result_type = t
        single = len(probe.types) == 1
        if not t.comptime_only:
            target.regs = [self.fb.reg() for _ in T.flatten(t)]
        elif not single:
            self.fail("MS0320", f"a run-time choice needs values with a run-time type, these are {t}", node)
        self.targets.append(target)
        terminated = self.block(node)
        self.targets.pop()
        self.fb.place(target.end)
        if single and target.broke and target.known is not None:
            return target.known
        if t.comptime_only:
            self.fail("MS0320", f"a run-time choice needs values with a run-time type, these are {t}", node)
        if not terminated and t is not T.VOID:
            self.fail("MS0322", f"this block yields {t} on some paths only", node, f"end it with 'break :{node.label} value;'")
        return self.unflat(t, list(target.regs))

    def type_of_block(self, node: ast.Block) -> None:
        """A dry run of a labelled block, for the types of its break values."""
        try:
            with self.dry_run():
                self.block(node)
        except MeshlangError:
            pass            # the walk that follows meets it again

    # ================================================================ calls

    def ev_call(self, node, hint):
        callee = self.ev(node.callee)
        if isinstance(callee, Known) and isinstance(callee.v, FnValue):
            return self.call(callee.v, node)
        if callee.ty is T.TYPE and isinstance(callee, Known):
            self.fail("MS0323", f"{callee.v} is a type, not a function", node, "use @as(TYPE, value) to convert")
        value = self.load(callee, node)
        t = value.ty
        if isinstance(t, T.PtrType) and isinstance(t.elem, T.FnType) and isinstance(value, Reg):
            f = t.elem
            if len(node.args) != len(f.params):
                self.fail("MS0324", f"{t} takes {len(f.params)} arguments, found {len(node.args)}", node)
            args = [self.coerce(self.rv(a, p), p, a) for a, p in zip(node.args, f.params, strict=True)]
            return self.emit_call(node, None, value.reg, list(zip(args, f.params, strict=True)), f.ret)
        self.fail("MS0323", f"a value of type {t} cannot be called", node)

    def call(self, fn: FnValue, node: ast.Call) -> Any:
        decl = fn.decl
        if decl.is_task:
            self.fail("MS0402", f"'{decl.name}' is a task: it cannot be called", node,
                      "tasks are started by hardware; activate its id, or move the code to a function")
        if len(node.args) != len(decl.params):
            self.fail("MS0324", f"'{decl.name}' takes {len(decl.params)} argument{'s' * (len(decl.params) != 1)}, found {len(node.args)}",
                      node, labels=[(decl.name_span, "defined here")])
        if decl.body is None:
            self.fail("MS0325", f"'{decl.name}' is extern: it has no body here", node)
        return self.call_with(fn, lambda i, pt: self.rv(node.args[i], pt), node, node.args)

    def map_returns_void(self, fn: FnValue) -> bool:
        ret = fn.decl.ret
        return ret is None or isinstance(ret, ast.Ident) and ret.name == "void"

    def call_with(self, fn: FnValue, argument: Any, node: Any, nodes: list | None = None, inline: bool = False) -> Any:
        """Call `fn` with the values that `argument(index, parameter type or None)` yields; expand it here if `inline`."""
        decl = fn.decl
        env: dict[str, Any] = {}
        scope_eval = Analyzer(self.unit, fn.module)
        args: list[tuple[str, Any, T.Type, bool]] = []
        for i, p in enumerate(decl.params):
            a = nodes[i] if nodes is not None else node
            pt = scope_eval.type_expr(p.type) if p.type is not None else None
            v = argument(i, pt)
            if pt is not None and pt is not T.ANYTYPE:
                v = self.coerce(v, pt, a)
            fixed = p.comptime or (pt is not None and pt.comptime_only) or (isinstance(v, Known) and (
                v.ty.comptime_only or v.ty is T.VOID or v.ty is FN or isinstance(v.ty, T.StructType) and v.ty.size == 0))
            if p.comptime and not isinstance(v, Known):
                self.fail("MS0310", f"'{p.name}' of '{decl.name}' must be known at compile time", a)
            scope_eval.scopes[0][p.name] = v if isinstance(v, Known) else Reg(v.ty, 0)     # for @type_of in later types
            if fixed:
                env[p.name] = v
            args.append((p.name, v, v.ty, fixed))
        ret = scope_eval.type_expr(decl.ret) if decl.ret is not None else T.VOID
        if self.fb is None or ret.comptime_only and all(isinstance(v, Known) for _, v, _, _ in args):
            return self.call_comptime(fn, args, ret, node)
        if decl.inline or inline or ret.comptime_only:
            return self.call_inline(fn, args, ret, node)
        run = [(n, v, t) for n, v, t, fixed in args if not fixed]
        for n, _, t in run:
            if holds_array(t):
                self.fail("MS0326", f"'{n}' of '{decl.name}' is a {t}: an array cannot be passed at run time", node, "pass a pointer: &array",
                          labels=[(decl.name_span, "defined here")])
        if holds_array(ret):
            self.fail("MS0326", f"'{decl.name}' returns a {ret}: an array cannot be returned at run time", node,
                      "let the caller pass a pointer to it, or call it with 'comptime'", labels=[(decl.name_span, "defined here")])
        parts = {n: v for n, v, t in run if t.comptime_only}        # structs with some fields that exist at compile time only
        cache_key = (tuple((n, key(v)) for n, v in env.items()), tuple((n, t) for n, _, t in run),
                     tuple((n, part_key(v)) for n, v in parts.items()))
        inst = self.unit.instance(fn, cache_key if env or any(p.type is None for p in decl.params) else (),
                                  lambda i: Instance(i, fn, dict(env), [(n, t) for n, _, t in run], ret, parts=parts,
                                                     span=getattr(node, "span", None), caller=self.instance))
        return self.emit_call(node, inst, 0, [(v, t) for _, v, t in run], ret)

    def emit_call(self, node: Any, inst: Instance | None, pointer: int, args: list[tuple[Any, T.Type]], ret: T.Type) -> Any:
        fb = self.fb
        values = []
        for v, t in args:
            values.extend(self.flat(v, t, node))
        outs = T.flatten(ret)
        base = fb.next + 1
        mark = fb.mark()
        need = max(len(values), len(outs))
        fb.regs(need + 2)
        for i, v in enumerate(values):
            self.into(v, base + 1 + i, node)
        if inst is not None:
            self.emit(node, Op.CALL, inst.index, base)
        else:
            self.emit(node, Op.CALLR, pointer, base)
        fb.calls.append((inst.index if inst else -1, base, None if inst else (tuple(t for _, t in args), ret)))
        fb.release(mark)
        result = [fb.reg() for _ in outs]
        for i, r in enumerate(result):
            if r != base + 1 + i:
                self.emit(node, Op.MOV, r, base + 1 + i)
        return self.unflat(ret, list(result))

    def call_comptime(self, fn: FnValue, args: list, ret: T.Type, node: Any) -> Known:
        for n, v, _, _ in args:
            if not isinstance(v, Known):
                self.fail("MS0310", f"'{n}' of '{fn.decl.name}' must be known at compile time", node)
        inner = Analyzer(self.unit, fn.module)
        inner.top_level, inner.in_layout, inner.call_depth = self.top_level, self.in_layout, self.call_depth + 1
        if inner.call_depth > self.unit.compiler.options.comptime_depth:
            self.fail("MS0309", f"comptime calls are nested more than {self.unit.compiler.options.comptime_depth} deep", node,
                      "is the recursion endless? --comptime-func-depth-limit raises the limit")
        inner.scopes = [{n: v for n, v, _, _ in args}]
        inner.returns = ret
        try:
            inner.block(fn.decl.body)
            value = VOID
        except ReturnSignal as s:
            value = s.value
        return self.coerce(value, ret, node) if ret is not T.ANYTYPE else value

    def call_inline(self, fn: FnValue, args: list, ret: T.Type, node: Any) -> Any:
        """Expand an inline function here: known arguments stay known (facts 1.6)."""
        if self.call_depth > 64:
            self.fail("MS0309", f"inline expansion of '{fn.decl.name}' is nested more than 64 deep", node)
        fb = self.fb
        saved = (self.module, self.scopes, self.targets, self.frame, self.address_taken)
        scope = {}
        for n, v, _, _ in args:
            if isinstance(v, (RegVar, Mem, Cell)):
                v = self.load(v, node)
            if isinstance(v, Reg):
                r = fb.reg()
                self.emit(node, Op.MOV, r, v.reg)
                v = Reg(v.ty, r)
            scope[n] = v
        self.module, self.scopes, self.targets = fn.module, [scope], []
        self.address_taken = taken(fn.decl)
        frame = self.frame = Frame(ret, fb.label(), self.depth)
        frame.regs = [fb.reg() for _ in T.flatten(ret)] if not ret.comptime_only else []
        self.call_depth += 1
        try:
            self.block(fn.decl.body)
        finally:
            self.module, self.scopes, self.targets, self.frame, self.address_taken = saved
            self.call_depth -= 1
        fb.place(frame.label)
        if ret is T.VOID:
            return VOID
        if frame.known is not None and frame.jumps == 1:
            return frame.known
        if ret.comptime_only:
            self.fail("MS0310", f"the result of '{fn.decl.name}' must be known at compile time", node)
        return self.unflat(ret, list(frame.regs))

    def ev_builtin(self, node, hint):
        from ..builtins import lookup
        found = lookup(node.name)
        if found is None:
            from ..builtins import names
            close = difflib.get_close_matches(node.name, names(), 1)
            self.fail("MS0209", f"there is no builtin '@{node.name}'", node.name_span, f"did you mean '@{close[0]}'?" if close else None)
        return found.call(self, node, hint)

    # ================================================================ statements

    def block(self, node: ast.Block) -> bool:
        """Walk a block in a scope of its own; True if control never reaches its end."""
        self.scopes.append({})
        try:
            if self.fb is None:
                for s in node.stmts:
                    self.stmt(s)
                return False
            for s in node.stmts:
                mark = self.fb.mark()
                try:
                    terminated = self.stmt(s)
                except MeshlangError as e:
                    if isinstance(s, ast.Decl):
                        self.scopes[-1][s.name] = POISON
                    for d in e.diagnostics:
                        self.unit.diagnostics.add(d)
                    terminated = False
                if not isinstance(s, ast.Decl):
                    self.fb.release(mark)
                if terminated:
                    return True
            return False
        finally:
            self.scopes.pop()

    def stmt(self, node: Any) -> bool:
        return bool(_STMT[node.__class__](self, node))

    def st_expr(self, node):
        value = self.ev(node.expr)
        if isinstance(node.expr, (ast.If, ast.Switch, ast.Block)):
            return False
        if not isinstance(node.expr, (ast.Call, ast.BuiltinCall, ast.ComptimeExpr)):
            self.fail("MS0327", "the value of this expression is not used", node, "assign it: _ = ...;")
        return value is None

    def st_decl(self, node: ast.Decl):
        scope = self.scopes[-1]
        for s in self.scopes:
            if node.name in s and node.name != "_":
                self.fail("MS0204", f"'{node.name}' is already defined here", node.name_span,
                          help="inner scopes cannot redefine a name: choose another")
        t = self.type_expr(node.type) if node.type is not None else None
        if node.kind == "param":
            self.fail("MS0208", "params stand at the top level of a file", node)
        if self.fb is None or node.comptime:
            with self.comptime():
                value = self.known(node.init, t) if node.init is not None else None
            if value is not None and t is not None:
                value = self.coerce(value, t, node.init)
            if value is None:
                if t is None:
                    self.fail("MS0208", f"'{node.name}' needs a type or a value", node.name_span)
                value = Known(t, ops.zero(t))
            if node.kind == "const":
                scope[node.name] = value
            else:
                scope[node.name] = Cell(t, own(value), self.depth, node.name)
            return False
        if node.init is None:
            if node.kind == "const" or t is None:
                self.fail("MS0208", f"{node.kind} '{node.name}' needs a {'value' if node.kind == 'const' else 'type or a value'}",
                          node.name_span)
            scope[node.name] = self.new_local(node, t)
            return False
        start = self.fb.mark()
        value = self.rv(node.init, t)
        if t is not None:
            value = self.coerce(value, t, node.init)
        if node.kind == "const":
            if isinstance(value, Mem):      # an array: a const is a copy, whatever happens to the original
                copy = self.new_local(node, value.ty)
                self.store(copy, value, node)
                value = Mem(value.ty, 0, 0, True, copy.var)
            scope[node.name] = self.keep(value, start, node)
            return False
        t = value.ty
        if t is T.VOID or t.comptime_only:
            self.fail("MS0307", f"a run-time variable cannot have the type {t}", node.name_span,
                      f"give '{node.name}' a type, or make it 'comptime var'")
        if isinstance(value, Reg) and node.name not in self.address_taken:
            kept = self.keep(value, start, node)
            scope[node.name] = RegVar(t, kept.reg, node.name)
            return False
        place = self.new_local(node, t)
        self.store(place, value, node)
        scope[node.name] = place
        return False

    def keep(self, value: Any, start: int, node: Any) -> Any:
        """Move a run-time value to registers of its own just above `start`, freeing the temporaries."""
        if isinstance(value, Reg):
            r = value.reg
            if r < start or r != start:
                self.fb.release(start)
                mine = self.fb.reg()
                self.emit(node, Op.MOV, mine, r)
                return Reg(value.ty, mine)
            self.fb.release(start + 1)
            return value
        if isinstance(value, Fields):
            return Fields(value.ty, {n: self.keep_field(v, node) for n, v in value.v.items()})
        return value

    def keep_field(self, v: Any, node: Any) -> Any:
        if isinstance(v, Fields):
            return Fields(v.ty, {n: self.keep_field(f, node) for n, f in v.v.items()})
        if isinstance(v, Reg):
            r = self.fb.reg()
            self.emit(node, Op.MOV, r, v.reg)
            return Reg(v.ty, r)
        return v

    def new_local(self, node: ast.Decl, t: T.Type) -> Any:
        """Storage for a run-time local: a register, or static memory for aggregates and variables whose address is taken."""
        if t.ty is not None and not t.comptime_only and node.name not in self.address_taken:
            return RegVar(t, self.fb.reg(), node.name)
        if t in (T.BF16, T.CB16):
            self.scalar(t, node.name_span)
        if t.comptime_only or t is T.VOID:
            self.fail("MS0307", f"a run-time variable cannot have the type {t}", node.name_span)
        var = GlobalVar(self.module.qualified(f"{self.fb.name}.{node.name}"), t, None, False, node.name_span, self.alignment(node))
        self.fb.statics.append((node.name, node.name_span))
        return Mem(t, 0, 0, False, var)

    def st_assign(self, node: ast.Assign):
        if isinstance(node.target, ast.Ident) and node.target.name == "_" and node.op == "=":
            self.rv(node.value)
            return False
        target = self.ev(node.target)
        if not isinstance(target, (Cell, RegVar, Mem, ElemRef)):
            self.fail("MS0328", f"{self.what(node.target)} cannot be assigned to", node.target,
                      "only 'var' variables and what they contain can change")
        if isinstance(target, Mem) and target.const:
            self.fail("MS0328", f"{self.what(node.target)} is const: it cannot be assigned to", node.target)
        if isinstance(target, (Cell, ElemRef)):
            self.assign_comptime(node, target)
            return False
        if self.fb is None:
            self.fail("MS0311", f"{self.named(target)} is in memory: comptime code cannot assign to it", node)
        t = target.ty
        if node.op == "=":
            value = self.coerce(self.rv(node.value, t), t, node.value)
        else:
            old = self.load(target, node)
            value = self.binary(node, node.op[:-1], old, self.rv(node.value, t), t)
            value = self.coerce(value, t, node)
        self.store(target, value, node)
        return False

    def what(self, node: Any) -> str:
        return f"'{node.span.text()}'"

    def assign_comptime(self, node: ast.Assign, target: Any) -> None:
        if isinstance(target, Cell) and self.depth > target.depth:
            self.fail("MS0329", f"'{target.name}' is a comptime variable: it cannot change under run-time control flow", node)
        t = target.ty
        with self.comptime():
            value = self.known(node.value, t)
            if node.op != "=":
                value = self.op(node, ops.binary, node.op[:-1], self.load(target, node), value)
        if isinstance(target, Cell) and target.open:
            target.ty = t = value.ty
        if value.ty is not t:
            value = self.coerce(value, t, node.value)
        value = own(value)
        if isinstance(target, Cell):
            target.v = value
        else:
            target.set(value)

    def store(self, place: Any, value: Any, node: Any) -> None:
        """Store a value of the place's own type."""
        if isinstance(place, RegVar):
            self.into(value, place.reg, node)
            return
        t = place.ty
        if isinstance(t, T.ArrayType):
            self.store_array(place, value, node)
            return
        if isinstance(t, T.StructType):
            v = self.load(value, node).v
            for (n, ft), offset in zip(t.fields, t.offsets, strict=True):
                self.store(Mem(ft, place.base, place.offset + offset, False, place.var), v[n], node)
            return
        mark = self.fb.mark()
        r = self.to_reg(value, node)
        self.emit(node, Op.ST, r, place.base, self.place(place), self.scalar(t, node))
        self.fb.release(mark)

    def store_array(self, place: Mem, value: Any, node: Any) -> None:
        fb, t = self.fb, place.ty
        mark = fb.mark()
        if isinstance(value, Known):
            data = value.v.data
            if isinstance(data, np.ndarray) and t.count and (data == data[0]).all() and t.count > 1:
                # one repeated value: a loop of stores
                elem = Known(t.elem, data[0].item())
                r, i, step = self.to_reg(elem, node), fb.reg(), fb.reg()
                self.emit(node, Op.ADDI, i, place.base, self.place(place))
                self.emit(node, Op.ADDI, step, i, t.size)
                loop = fb.label()
                fb.place(loop)
                self.emit(node, Op.ST, r, i, 0, self.scalar(t.elem, node))
                self.emit(node, Op.ADDI, i, i, t.elem.size)
                flag = fb.reg()
                self.emit(node, Op.LT, flag, i, step)
                fb.jump(Op.JNZ, loop, flag)
                fb.release(mark)
                return
            value = Mem(t, 0, 0, True, self.constant_storage(value, "constant", node))
        src, dst = fb.reg(), fb.reg()
        self.emit(node, Op.ADDI, src, value.base, self.place(value))
        self.emit(node, Op.ADDI, dst, place.base, self.place(place))
        self.emit(node, Op.COPY, dst, src, fb.constant(t.size))
        fb.release(mark)

    # ---------------------------------------------------------------- control flow

    def st_block(self, node: ast.Block):
        if node.label is None or self.fb is None:
            if node.label is None:
                return self.block(node)
            self.ev_block(node, None)
            return False
        self.ev_block(node, None)
        return False

    def st_comptime(self, node):
        with self.comptime():
            self.block(node.body)

    def st_if(self, node: ast.If):
        cond = self.condition(node.cond)
        if isinstance(cond, Known):
            branch = node.then if cond.v else node.orelse
            return False if branch is None else self.sub(branch)
        return self.run_if(node, cond)

    def run_if(self, node: ast.If, cond: Reg) -> bool:
        fb = self.fb
        other = fb.label()
        fb.span = node.cond.span
        fb.jump(Op.JZ, other, cond.reg)
        self.depth += 1
        mark = fb.mark()
        first = self.sub(node.then)
        fb.release(mark)
        second = False
        if node.orelse is not None:
            end = fb.label()
            if not first:
                fb.jump(Op.JMP, end)
            fb.place(other)
            second = self.sub(node.orelse)
            fb.release(mark)
            fb.place(end)
        else:
            fb.place(other)
        self.depth -= 1
        return first and second

    def sub(self, node: Any) -> bool:
        """A branch or loop body: any statement or expression."""
        if isinstance(node, ast.Block) and node.label is None:
            return self.block(node)
        handler = _STMT.get(node.__class__)
        if handler is not None:
            return bool(handler(self, node))
        self.ev(node)
        return False

    def step(self, node: Any, limit: int) -> None:
        self.steps += 1
        if self.steps > limit:
            self.fail("MS0330", f"this comptime loop runs more than {limit} times", node,
                      "is it endless? --max-inlined-iterations raises the limit")

    def st_while(self, node: ast.While):
        if self.fb is None:
            return self.while_comptime(node)
        if node.inline:
            return self.while_inline(node)
        fb = self.fb
        target = Target(node.label, True, self.depth + 1)
        target.end, target.cont = fb.label(), fb.label()
        top = fb.label()
        fb.place(top)
        self.depth += 1
        mark = fb.mark()
        cond = self.condition(node.cond)
        if isinstance(cond, Known):
            if not cond.v:
                self.depth -= 1
                fb.place(target.cont)
                fb.place(target.end)
                return False
        else:
            fb.span = node.cond.span
            fb.jump(Op.JZ, target.end, cond.reg)
        fb.release(mark)
        self.targets.append(target)
        self.sub(node.body)
        self.targets.pop()
        fb.release(mark)
        fb.place(target.cont)
        if node.cont is not None:
            self.sub(node.cont)
            fb.release(mark)
        fb.jump(Op.JMP, top)
        fb.place(target.end)
        self.depth -= 1
        return isinstance(cond, Known) and target.breaks == 0

    @contextmanager
    def inside(self, label: str | None, is_loop: bool):
        """In a loop or labelled block of comptime code."""
        self.targets.append(Target(label, is_loop, self.depth))
        try:
            yield
        finally:
            self.targets.pop()

    def while_comptime(self, node):
        with self.inside(node.label, True):
            self.while_steps(node)

    def while_steps(self, node):
        limit = self.unit.compiler.options.loop_limit
        while True:
            cond = self.condition(node.cond)
            if not isinstance(cond, Known):
                self.fail("MS0310", "this condition must be known at compile time", node.cond)
            if not cond.v:
                return
            self.step(node, limit)
            try:
                self.sub(node.body)
            except BreakSignal as s:
                if s.label is not None and s.label != node.label:
                    raise
                return
            except ContinueSignal as s:
                if s.label is not None and s.label != node.label:
                    raise
            if node.cont is not None:
                self.sub(node.cont)

    def while_inline(self, node):
        fb = self.fb
        target = Target(node.label, True, self.depth)
        target.end = fb.label()
        self.targets.append(target)
        while not target.broke:
            cond = self.condition(node.cond)
            if not isinstance(cond, Known):
                self.fail("MS0310", "the condition of an inline while must be known at compile time", node.cond)
            if not cond.v:
                break
            self.step(node, self.unit.compiler.options.inline_limit)
            target.cont = fb.label()
            self.sub(node.body)
            fb.place(target.cont)
            if node.cont is not None and not target.broke:
                self.sub(node.cont)
        self.targets.pop()
        fb.place(target.end)
        return False

    def iteration(self, node: ast.For) -> Any:
        value = self.ev(node.iter)
        if isinstance(value, (Cell, ElemRef)):
            value = self.load(value, node.iter)
        if isinstance(value.ty, T.RangeType) or isinstance(value.ty, T.ArrayType):
            if isinstance(value.ty, T.ArrayType) and len(value.ty.dims) != 1:
                self.fail("MS0331", f"for takes an array of one dimension, found {value.ty}", node.iter)
            return value
        if isinstance(value.ty, T.StructType) and value.ty.tuple:
            return value
        self.fail("MS0331", f"for takes an array or a range, found {value.ty}", node.iter, "use @range(TYPE, stop)")

    def st_for(self, node: ast.For):
        value = self.iteration(node)
        if self.fb is None:
            with self.inside(node.label, True):
                return self.for_unrolled(node, value)
        if node.inline:
            return self.for_unrolled(node, value)
        return self.for_runtime(node, value)

    def known_items(self, value: Any, node: Any):
        if isinstance(value, Known) and isinstance(value.v, RangeValue):
            r = value.v
            if not all(isinstance(x, Known) for x in (r.start, r.stop, r.step)):
                self.fail("MS0310", "the bounds of this range must be known at compile time", node)
            t = r.elem
            for i in range(r.start.v, r.stop.v, r.step.v):
                yield Known(t, i)
        elif isinstance(value.ty, T.StructType):
            for n, _ in value.ty.fields:
                yield value.v[n]
        elif isinstance(value, Known):
            for i in range(value.ty.count):
                yield ops.get_element(value.ty, value.v, i)
        elif self.fb is not None:
            for i in range(value.ty.count):
                t = value.ty.elem
                yield self.load(Mem(t, value.base, value.offset + i * t.size, True, value.var), node)
        else:
            self.load(value, node)

    def for_unrolled(self, node, value):
        fb = self.fb
        target = Target(node.label, True, self.depth)
        limit = self.unit.compiler.options.loop_limit if fb is None else self.unit.compiler.options.inline_limit
        if fb is not None:
            target.end = fb.label()
            self.targets.append(target)
        for i, item in enumerate(self.known_items(value, node.iter)):
            self.step(node, limit)
            scope = {}
            if node.elem != "_":
                scope[node.elem] = item
            if node.index is not None and node.index != "_":
                scope[node.index] = Known(T.U16, i)
            self.scopes.append(scope)
            try:
                if fb is None:
                    try:
                        self.sub(node.body)
                    except BreakSignal as s:
                        if s.label is not None and s.label != node.label:
                            raise
                        break
                    except ContinueSignal as s:
                        if s.label is not None and s.label != node.label:
                            raise
                else:
                    target.cont = fb.label()
                    mark = fb.mark()
                    terminated = self.sub(node.body)
                    fb.release(mark)
                    fb.place(target.cont)
                    if target.broke or (terminated and not target.cont.uses):
                        break
            finally:
                self.scopes.pop()
        if fb is not None:
            self.targets.pop()
            fb.place(target.end)
        return False

    def for_runtime(self, node, value):
        fb = self.fb
        t = value.ty
        ranged = isinstance(t, T.RangeType)
        counter = fb.reg()
        if ranged:
            r = value.v
            if r.elem is T.COMPTIME_INT:
                self.fail("MS0307", "a run-time loop over a range needs an integer type, found comptime_int", node.iter,
                          "use @range(i16, ...) or 'inline for'")
            self.into(self.coerce(r.start, r.elem, node.iter), counter, node)
            stop = self.keep_reg(r.stop, r.elem, node)
            step = r.step
        else:
            if isinstance(value, Known):
                value = Mem(t, 0, 0, True, self.constant_storage(value, "constant", node))
            fb.constant(0, counter)
            stop = self.keep_reg(Known(T.U16, t.count), T.U16, node)
            step = Known(T.I16, 1)
        index = None
        if node.index is not None and node.index != "_":
            index = fb.reg() if ranged else counter
            if ranged:
                fb.constant(0, index)
        top, target = fb.label(), Target(node.label, True, self.depth + 1)
        target.end, target.cont = fb.label(), fb.label()
        step_reg = None if isinstance(step, Known) else self.keep_reg(step, step.ty, node)
        fb.place(top)
        mark = fb.mark()
        flag = fb.reg()
        if step_reg is None:
            pair = (counter, stop) if step.v > 0 else (stop, counter)
            self.emit(node, Op.LT, flag, *pair)
        else:
            down, sign, both = fb.reg(), fb.reg(), fb.reg()
            self.emit(node, Op.LT, flag, counter, stop)
            self.emit(node, Op.LT, down, stop, counter)
            self.emit(node, Op.LT, sign, 0, step_reg)
            self.emit(node, Op.MOV, both, flag)
            self.emit(node, Op.SEL, both, sign, down)
            flag = both
        fb.jump(Op.JZ, target.end, flag)
        fb.release(mark)
        scope = {}
        if node.elem != "_":
            scope[node.elem] = Reg(t.elem, counter)
            if not ranged:
                place = self.element(Mem(t.elem, value.base, value.offset, True, value.var), t.elem, [Reg(T.U16, counter)], (None,), node)
                scope[node.elem] = self.load(place, node)
        if index is not None:
            scope[node.index] = Reg(T.U16, index)
        self.scopes.append(scope)
        self.targets.append(target)
        self.depth += 1
        self.sub(node.body)
        self.depth -= 1
        self.targets.pop()
        self.scopes.pop()
        fb.release(mark)
        fb.place(target.cont)
        fb.span = node.span
        if step_reg is None:
            fb.emit(Op.ADDI, counter, counter, step.v)
        else:
            fb.emit(Op.ADD, counter, counter, step_reg)
        if index is not None and index != counter:
            fb.emit(Op.ADDI, index, index, 1)
        fb.jump(Op.JMP, top)
        fb.place(target.end)
        return False

    def keep_reg(self, value: Any, t: T.Type, node: Any) -> int:
        r = self.fb.reg()
        self.into(self.coerce(value, t, node), r, node)
        return r

    def st_switch(self, node):
        self.ev_switch(node, T.VOID)
        return False

    def find_target(self, node: Any, need_loop: bool) -> Target:
        for t in reversed(self.targets):
            if (node.label is None and t.is_loop) or (node.label is not None and t.label == node.label):
                if need_loop and not t.is_loop:
                    self.fail("MS0332", f"'{node.label}' is a block: 'continue' needs a loop", node)
                return t
        if node.label is None:
            self.fail("MS0332", "there is no loop here to leave", node)
        self.fail("MS0332", f"there is no label '{node.label}' around this place", node)

    def st_break(self, node: ast.Break):
        target = self.find_target(node, False)
        if self.fb is None:
            raise BreakSignal(node.label, VOID if node.value is None else self.rv(node.value))
        target.breaks += 1
        if target.types is not None:
            target.types.append(T.VOID if node.value is None else self.rv(node.value, target.result_type).ty)
            return True
        if node.value is not None:
            t = target.result_type or T.VOID
            value = self.rv(node.value, t)
            if self.depth == target.depth and isinstance(value, Known):
                target.known = self.coerce(value, t, node.value) if not t.comptime_only else value
            if not t.comptime_only:
                value = self.coerce(value, t, node.value)
                for r, v in zip(target.regs, self.flat(value, t, node), strict=True):
                    self.into(v, r, node)
        if self.depth == target.depth:
            target.broke = True
        self.fb.jump(Op.JMP, target.end)
        return True

    def st_continue(self, node):
        target = self.find_target(node, True)
        if self.fb is None:
            raise ContinueSignal(node.label)
        self.fb.jump(Op.JMP, target.cont)
        return True

    def st_return(self, node: ast.Return):
        frame = self.frame
        if self.fb is None:
            if self.returns is None:
                self.fail("MS0332", "return stands in a function or task only", node)
            raise ReturnSignal(VOID if node.value is None else self.rv(node.value, self.returns))
        t = frame.ret
        if node.value is None:
            if t is not T.VOID:
                self.fail("MS0301", f"this function returns {t}: return needs a value", node)
        else:
            value = self.rv(node.value, t)
            if t is T.VOID and value.ty is not T.VOID:
                self.fail("MS0301", f"this function returns void, found {value.ty}", node.value)
            value = self.coerce(value, t, node.value)
            if frame.label is not None and isinstance(value, Known) and self.depth == frame.depth:
                frame.known = value
            if not t.comptime_only and t is not T.VOID:
                values = self.flat(value, t, node)
                if frame.label is None:
                    first = 1
                    if len(values) > 1:
                        values = [self.keep_field(v, node) for v in values]
                    for i, v in enumerate(values):
                        self.into(v, first + i, node)
                else:
                    for r, v in zip(frame.regs, values, strict=True):
                        self.into(v, r, node)
        frame.jumps += 1
        if frame.label is None:
            self.emit(node, Op.RET)
        else:
            self.fb.jump(Op.JMP, frame.label)
        return True


_EV = {
    ast.IntLit: Analyzer.ev_int, ast.FloatLit: Analyzer.ev_float, ast.StringLit: Analyzer.ev_string, ast.BoolLit: Analyzer.ev_bool,
    ast.VoidLit: Analyzer.ev_void, ast.Ident: Analyzer.ev_ident, ast.Unary: Analyzer.ev_unary, ast.Binary: Analyzer.ev_binary,
    ast.AddrOf: Analyzer.ev_addr, ast.Deref: Analyzer.ev_deref, ast.Index: Analyzer.ev_index, ast.Field: Analyzer.ev_field,
    ast.Call: Analyzer.ev_call, ast.BuiltinCall: Analyzer.ev_builtin, ast.StructLit: Analyzer.ev_struct, ast.TupleLit: Analyzer.ev_tuple,
    ast.ArrayLit: Analyzer.ev_array, ast.ComptimeExpr: Analyzer.ev_comptime, ast.TensorAccess: Analyzer.ev_tensor,
    ast.ArrayType: Analyzer.ev_array_type, ast.PtrType: Analyzer.ev_ptr_type, ast.FnType: Analyzer.ev_fn_type,
    ast.StructType: Analyzer.ev_struct_type, ast.UnionType: Analyzer.ev_union_type, ast.EnumType: Analyzer.ev_enum_type,
    ast.If: Analyzer.ev_if, ast.Switch: Analyzer.ev_switch, ast.Block: Analyzer.ev_block, ast.Asm: Analyzer.ev_asm,
}
_STMT = {
    ast.Decl: Analyzer.st_decl, ast.Assign: Analyzer.st_assign, ast.ExprStmt: Analyzer.st_expr, ast.If: Analyzer.st_if,
    ast.While: Analyzer.st_while, ast.For: Analyzer.st_for, ast.Switch: Analyzer.st_switch, ast.Break: Analyzer.st_break,
    ast.Continue: Analyzer.st_continue, ast.Return: Analyzer.st_return, ast.Block: Analyzer.st_block,
    ast.ComptimeBlock: Analyzer.st_comptime,
}


def taken(decl: ast.FnDecl) -> set[str]:
    """Names of locals whose address is taken somewhere in a function."""
    names: set[str] = set()

    def walk(node: Any) -> None:
        if isinstance(node, ast.AddrOf):
            target = node.operand
            while isinstance(target, (ast.Index, ast.Field)):
                target = target.base
            if isinstance(target, ast.Ident):
                names.add(target.name)
        for slot in getattr(node, "__slots__", ()):
            child = getattr(node, slot)
            if isinstance(child, ast.Node):
                walk(child)
            elif isinstance(child, list):
                for c in child:
                    if isinstance(c, ast.Node):
                        walk(c)

    if decl.body is not None:
        walk(decl.body)
    return names


def part_key(v: Any) -> Any:
    """The identity of the comptime-only fields of a struct value."""
    if isinstance(v.ty, T.StructType):
        return tuple(part_key(f) for f in v.v.values())
    return key(v) if v.ty.comptime_only else None


def holds_array(t: T.Type) -> bool:
    return any(isinstance(s, T.ArrayType) for s in T.flatten(t))


def plain_instance(unit: Unit, fn: FnValue) -> Instance:
    """The instance of a function or task without comptime parameters."""
    def make(index: int) -> Instance:
        env = Analyzer(unit, fn.module)
        params = [(p.name, env.type_expr(p.type)) for p in fn.decl.params]
        ret = env.type_expr(fn.decl.ret) if fn.decl.ret is not None else T.VOID
        for n, t in [*params, ("the result", ret)]:
            if holds_array(t):
                env.fail("MS0326", f"'{fn.decl.name}' cannot be called at run time: {n} is a {t}", fn.decl.name_span, "use a pointer to the array")
        return Instance(index, fn, {}, params, ret, task=fn.decl.is_task)
    return unit.instance(fn, (), make)


def compile_instance(unit: Unit, inst: Instance) -> None:
    decl = inst.fn.decl
    flat = [s for _, t in inst.params for s in T.flatten(t)]
    fb = inst.builder = FunctionBuilder(decl.name, len(flat))
    a = Analyzer(unit, inst.fn.module, fb)
    a.address_taken = taken(decl)
    regs = list(range(1, len(flat) + 1))
    scope: dict[str, Any] = dict(inst.env)
    fb.regs(max(0, len(T.flatten(inst.ret)) - len(flat)))
    for name, t in inst.params:
        scope[name] = a.unflat(t, regs, inst.parts.get(name))
    a.scopes = [scope]
    a.frame = Frame(inst.ret, None, 0)
    a.instance = inst
    reported = len(unit.diagnostics.items)
    try:
        terminated = a.block(decl.body)
    except MeshlangError as e:
        for d in e.diagnostics:
            unit.diagnostics.add(d)
        terminated = True
    caller = inst
    while caller is not None and (caller.env or caller.parts) and caller.span is not None:    # the arguments of a generic may be what is wrong
        for d in unit.diagnostics.items[reported:]:
            d.labels.append(Label(caller.span, f"'{caller.fn.decl.name}' is called here"))
        caller = caller.caller
    if not terminated:
        if inst.ret is not T.VOID:
            # control cannot be proven to stop before the end: reaching it is a fault, not a made-up value
            fb.emit(Op.TRAP, unit.string(f"'{decl.name}' ended without returning a {inst.ret}"))
        fb.span = None
        fb.emit(Op.RET)
    elif not fb.code:
        fb.emit(Op.RET)
    if not unit.diagnostics.errors:     # a statement in error may have left labels without a place
        fb.finish()
