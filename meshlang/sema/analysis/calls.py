"""Calls: at run time, at compile time, expanded in place; builtins."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from ...diag import MeshlangError, did_you_mean
from ...ir.isa import Op
from ...syntax import ast
from ..model import types as T
from ..model.scopes import Frame, ReturnSignal
from ..model.trail import led_here
from ..model.unit import Instance
from ..model.values import (
    VOID,
    Cell,
    FnValue,
    Known,
    Mem,
    Reg,
    RegVar,
    key,
)
from .context import PRINT, PRINTERS, Context


class Calls(Context):
    """Evaluating calls."""

    def ev_call(self, node, hint):
        callee = self.called(node.callee)
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

    def called(self, node: ast.Expr) -> Any:
        """What is called: a function or a pointer to one. `f.*(x)` is `f(x)`, since a function cannot be copied out of
        its place."""
        if isinstance(node, ast.Deref):
            pointer = self.ev(node.operand)
            if isinstance(pointer.ty, T.PtrType) and isinstance(pointer.ty.elem, T.FnType):
                return pointer
        return self.ev(node)

    def call(self, fn: FnValue, node: ast.Call) -> Any:
        decl = fn.decl
        if decl.is_task:
            self.fail(
                "MS0402",
                f"'{decl.name}' is a task: it cannot be called",
                node,
                "tasks are started by hardware; activate its id, or move the code to a function",
            )
        if len(node.args) != len(decl.params):
            self.fail(
                "MS0324",
                f"'{decl.name}' takes {len(decl.params)} argument{'s' * (len(decl.params) != 1)}, found {len(node.args)}",
                node,
                f"its parameters are {', '.join(p.name for p in decl.params)}" if decl.params else "leave them out",
                labels=[(decl.name_span, "defined here")],
            )
        return self.call_with(fn, lambda i, pt: self.rv(node.args[i], pt), node, node.args)

    def map_returns_void(self, fn: FnValue) -> bool:
        ret = fn.decl.ret
        return ret is None or isinstance(ret, ast.Ident) and ret.name == "void"

    def call_with(self, fn: FnValue, argument: Any, node: Any, nodes: list | None = None, inline: bool = False) -> Any:
        """Call `fn` with the values that `argument(index, parameter type or None)` yields; expand it here if
        `inline`."""
        decl = fn.decl
        env: dict[str, Any] = {}
        types = self.signature(fn)
        # without a signature, types depend on arguments: they are found one after the other
        scope_eval = self.__class__(self.unit, fn.module) if types is None else None
        args: list[tuple[str, Any, T.Type, bool]] = []
        for i, p in enumerate(decl.params):
            a = nodes[i] if nodes is not None else node
            pt: T.Type | None = None
            if scope_eval is None:
                assert types is not None
                pt = types[i]
            elif p.type is not None:
                pt = scope_eval.type_expr(p.type)
            v = argument(i, pt)
            if pt is not None and pt is not T.ANYTYPE:
                v = self.coerce(v, pt, a)
            fixed = (
                p.comptime
                or (pt is not None and pt.comptime_only)
                or (
                    isinstance(v, Known)
                    and (
                        v.ty.comptime_only
                        or v.ty is T.VOID
                        or v.ty is T.FN
                        or isinstance(v.ty, T.StructType)
                        and v.ty.size == 0
                    )
                )
            )
            if p.comptime and not isinstance(v, Known):
                self.fail("MS0310", f"'{p.name}' of '{decl.name}' must be known at compile time", a)
            if scope_eval is not None:
                # for @type_of in later types
                scope_eval.scopes[0][p.name] = v if isinstance(v, Known) else Reg(v.ty, 0)
            if fixed:
                env[p.name] = v
            args.append((p.name, v, v.ty, fixed))
        ret: T.Type = T.VOID
        if scope_eval is None:
            assert types is not None and types[-1] is not None
            ret = types[-1]
        elif decl.ret is not None:
            ret = scope_eval.type_expr(decl.ret)
        if self.fb is None or ret.comptime_only and all(isinstance(v, Known) for _, v, _, _ in args):
            return self.call_comptime(fn, args, ret, node)
        if decl.inline or inline or ret.comptime_only:
            return self.call_inline(fn, args, ret, node)
        run = [(n, v, t) for n, v, t, fixed in args if not fixed]
        for n, _, t in run:
            if holds_array(t):
                self.fail(
                    "MS0326",
                    f"'{n}' of '{decl.name}' is a {t}: {held(t)} cannot be passed at run time",
                    node,
                    "pass a pointer to it: &x"
                    + ("; or call it with 'comptime'" if all(isinstance(v, Known) for _, v, _, _ in args) else ""),
                    labels=[(decl.name_span, "defined here")],
                )
        if holds_array(ret):
            self.fail(
                "MS0326",
                f"'{decl.name}' returns a {ret}: {held(ret)} cannot be returned at run time",
                node,
                "let the caller pass a pointer to it, or call it with 'comptime'",
                labels=[(decl.name_span, "defined here")],
            )
        # structs with some fields that exist at compile time only
        parts = {n: v for n, v, t in run if t.comptime_only}
        cache_key = (
            tuple((n, key(v)) for n, v in env.items()),
            tuple((n, t) for n, _, t in run),
            tuple((n, part_key(v)) for n, v in parts.items()),
        )
        inst = self.unit.instance(
            fn,
            cache_key if env or any(p.type is None for p in decl.params) else (),
            lambda i: Instance(
                i,
                fn,
                dict(env),
                [(n, t) for n, _, t in run],
                ret,
                parts=parts,
                span=getattr(node, "span", None),
                caller=self.instance,
            ),
        )
        return self.emit_call(node, inst, 0, [(v, t) for _, v, t in run], ret)

    def signature(self, fn: FnValue) -> list[T.Type | None] | None:
        """The types of the parameters and of the result, if none of them depends on an argument."""
        known = fn.module.signatures
        decl = fn.decl
        if id(decl) not in known:
            names = {p.name for p in decl.params}
            exprs = [*(p.type for p in decl.params), decl.ret]
            if any(e is not None and mentions(e, names) for e in exprs):
                known[id(decl)] = None
            else:
                scope = self.__class__(self.unit, fn.module)
                types = [scope.type_expr(e) if e is not None else None for e in exprs]
                known[id(decl)] = [*types[:-1], types[-1] if decl.ret is not None else T.VOID]
        return known[id(decl)]

    def emit_call(
        self, node: Any, inst: Instance | None, pointer: int, args: list[tuple[Any, T.Type]], ret: T.Type
    ) -> Any:
        fb = self.builder
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
        """A call that used only builtins without effects (registry.PURE) is remembered: layouts ask the same of every
        row of PEs."""
        for n, v, _, _ in args:
            if not isinstance(v, Known):
                self.fail("MS0310", f"'{n}' of '{fn.decl.name}' must be known at compile time", node)
        compiler = self.unit.compiler
        parts = (fn.decl, fn.module, *(v for _, v, _, _ in args))
        effects = compiler.effects
        return compiler.calls.get(
            "call", parts, lambda: self.evaluate_call(fn, args, ret, node), lambda: compiler.effects == effects
        )

    def evaluate_call(self, fn: FnValue, args: list, ret: T.Type, node: Any) -> Known:
        inner = self.__class__(self.unit, fn.module)
        inner.top_level, inner.in_layout, inner.call_depth = self.top_level, self.in_layout, self.call_depth + 1
        if inner.call_depth > self.unit.compiler.options.comptime_func_depth_limit:
            self.fail(
                "MS0309",
                f"comptime calls are nested more than {self.unit.compiler.options.comptime_func_depth_limit} deep",
                node,
                "is the recursion endless? --comptime-func-depth-limit raises the limit",
            )
        self.work(node, 8)  # takes about as long as so many rounds
        self.unit.compiler.reached.add(id(fn.decl))
        inner.scopes = [{n: v for n, v, _, _ in args}]
        inner.returns = ret
        try:
            inner.block(fn.decl.body)
            value = VOID
        except ReturnSignal as s:
            value = s.value
        except MeshlangError as e:
            led_here(e.diagnostics, getattr(node, "span", None), f"'{fn.decl.name}' is called here")
            raise
        return self.coerce(value, ret, node) if ret is not T.ANYTYPE else value

    def call_inline(self, fn: FnValue, args: list, ret: T.Type, node: Any) -> Any:
        """Expand an inline function here: known arguments stay known (facts 1.6)."""
        if self.call_depth > 64:
            self.fail("MS0309", f"inline expansion of '{fn.decl.name}' is nested more than 64 deep", node)
        fb = self.builder
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
        self.unit.compiler.reached.add(id(fn.decl))
        frame = self.frame = Frame(ret, fb.label(), self.depth)
        frame.regs = [fb.reg() for _ in T.flatten(ret)] if not ret.comptime_only else []
        self.call_depth += 1
        reported = len(self.unit.diagnostics.items)
        try:
            self.block(fn.decl.body)
        finally:
            led_here(
                self.unit.diagnostics.items[reported:],
                getattr(node, "span", None),
                f"'{fn.decl.name}' is called here",
            )
            self.module, self.scopes, self.targets, self.frame, self.address_taken = saved
            self.call_depth -= 1
        fb.end(frame.label)
        if ret is T.VOID:
            return VOID
        if frame.known is not None and frame.jumps == 1:
            return frame.known
        if ret.comptime_only:
            self.fail("MS0310", f"the result of '{fn.decl.name}' must be known at compile time", node)
        return self.unflat(ret, list(frame.regs))

    def ev_builtin(self, node, hint):
        found = self.unit.compiler.builtins.lookup(node.name)
        if found is None:
            self.fail(
                "MS0209",
                f"there is no builtin '@{node.name}'",
                node.name_span,
                did_you_mean(node.name, self.unit.compiler.builtins.names(), "'@{}'")
                or (PRINT if node.name in PRINTERS else None),
            )
        return found.call(self, node, hint)


def mentions(node: Any, names: set[str]) -> bool:
    return isinstance(node, ast.Ident) and node.name in names or any(mentions(c, names) for c in ast.children(node))


@lru_cache(maxsize=1 << 12)  # a function is compiled for many tile programs
def taken(decl: ast.FnDecl) -> frozenset[str]:
    """Names of locals whose address is taken somewhere in a function."""
    names: set[str] = set()

    def walk(node: Any) -> None:
        if isinstance(node, ast.AddrOf):
            target = node.operand
            while isinstance(target, (ast.Index, ast.Field)):
                target = target.base
            if isinstance(target, ast.Ident):
                names.add(target.name)
        for child in ast.children(node):
            walk(child)

    if decl.body is not None:
        walk(decl.body)
    return frozenset(names)


def part_key(v: Any) -> Any:
    """The identity of the comptime-only fields of a struct value."""
    if isinstance(v.ty, T.StructType):
        return tuple(part_key(f) for f in v.v.values())
    return key(v) if v.ty.comptime_only else None


def holds_array(t: T.Type) -> bool:
    return any(T.kept_in_memory(s) for s in T.flatten(t))


def held(t: T.Type) -> str:
    """What keeps a value of the type out of registers, in words."""
    return (
        "an array"
        if any(isinstance(s, T.ArrayType) for s in T.flatten(t))
        else "a union or packed struct of more than 64 bits"
    )
