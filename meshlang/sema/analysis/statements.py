"""Statements but loops: declarations, assignments, blocks, choices, return."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...diag import MeshlangError
from ...ir.isa import Op
from ...syntax import ast
from ..model import ops
from ..model import types as T
from ..model.scopes import ReturnSignal
from ..model.values import POISON, VOID, BitsRef, Cell, ElemRef, Fields, GlobalVar, Known, Mem, Reg, RegVar, own
from .context import Context


class Statements(Context):
    """Walking statements; each says whether control never goes on behind it."""

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
        return bool(self.STMT[node.__class__](self, node))

    def st_expr(self, node):
        value = self.ev(node.expr)
        if isinstance(node.expr, (ast.If, ast.Switch, ast.Block)):
            return False
        if not isinstance(node.expr, (ast.Call, ast.BuiltinCall, ast.ComptimeExpr)):
            self.warn("MS0327", "the value of this expression is not used", node, "assign it: _ = ...;")
        return value is None

    def st_decl(self, node: ast.Decl):
        scope = self.scopes[-1]
        for s in self.scopes:
            if node.name in s and node.name != "_":
                self.fail(
                    "MS0204",
                    f"'{node.name}' is already defined here",
                    node.name_span,
                    help="inner scopes cannot redefine a name: choose another",
                )
        t = self.type_expr(node.type) if node.type is not None else None
        if node.kind == "param":
            self.fail("MS0208", "params stand at the top level of a file", node)
        if self.fb is None or node.comptime:
            with self.comptime():
                value: Any = self.known(node.init, t) if node.init is not None else None
            if value is not None and t is not None:
                value = self.coerce(value, t, node.init)
            if value is None:
                if t is None:
                    self.fail("MS0208", f"'{node.name}' needs a type or a value", node.name_span)
                value = ops.zeroed(t)
            if node.kind == "const":
                scope[node.name] = value
            else:
                scope[node.name] = Cell(t, own(value), self.depth, node.name)
            return False
        if node.init is None:
            if node.kind == "const" or t is None:
                self.fail(
                    "MS0208",
                    f"{node.kind} '{node.name}' needs a {'value' if node.kind == 'const' else 'type or a value'}",
                    node.name_span,
                )
            scope[node.name] = self.new_local(node, t)
            return False
        start = self.builder.mark()
        value = self.rv(node.init, t)
        if t is not None:
            value = self.coerce(value, t, node.init)
        if node.kind == "const":
            if isinstance(value, Mem):  # an array, or the like: a const is a copy, whatever happens to the original
                copy = self.new_local(node, value.ty)
                self.store(copy, value, node)
                value = Mem(value.ty, 0, 0, True, copy.var)
            scope[node.name] = self.keep(value, start, node)
            return False
        t = value.ty
        if t is T.VOID or t.comptime_only:
            self.fail(
                "MS0307",
                f"a run-time variable cannot have the type {t}",
                node.name_span,
                f"give '{node.name}' a type, or make it 'comptime var'",
            )
        if (
            isinstance(value, Reg)
            and node.name not in self.address_taken
            and not (isinstance(t, T.BitsType) and t.in_memory)
        ):
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
                self.builder.release(start)
                mine = self.builder.reg()
                self.emit(node, Op.MOV, mine, r)
                return Reg(value.ty, mine)
            self.builder.release(start + 1)
            return value
        if isinstance(value, Fields):
            return Fields(value.ty, {n: self.keep_field(v, node) for n, v in value.v.items()})
        return value

    def keep_field(self, v: Any, node: Any) -> Any:
        if isinstance(v, Fields):
            return Fields(v.ty, {n: self.keep_field(f, node) for n, f in v.v.items()})
        if isinstance(v, Reg):
            r = self.builder.reg()
            self.emit(node, Op.MOV, r, v.reg)
            return Reg(v.ty, r)
        return v

    def new_local(self, node: ast.Decl, t: T.Type) -> Any:
        """Storage for a run-time local: a register, or static memory for aggregates and variables whose address is
        taken."""
        if (
            t.ty is not None
            and not t.comptime_only
            and node.name not in self.address_taken
            and not (isinstance(t, T.BitsType) and t.in_memory)
        ):
            r = self.builder.reg()
            self.emit(node, Op.MOV, r, 0)  # a register may hold what an earlier local has left
            return RegVar(t, r, node.name)
        if t in (T.BF16, T.CB16):
            self.scalar(t, node.name_span)
        if t.comptime_only or t is T.VOID:
            self.fail("MS0307", f"a run-time variable cannot have the type {t}", node.name_span)
        var = GlobalVar(
            self.module.qualified(f"{self.builder.name}.{node.name}"),
            t,
            None,
            False,
            node.name_span,
            self.alignment(node),
        )
        self.builder.statics.append((node.name, node.name_span))
        return Mem(t, 0, 0, False, var)

    def st_assign(self, node: ast.Assign):
        if isinstance(node.target, ast.Ident) and node.target.name == "_" and node.op == "=":
            self.rv(node.value)
            return False
        target = self.ev(node.target)
        if not isinstance(target, (Cell, RegVar, Mem, ElemRef, BitsRef)):
            self.fail(
                "MS0328",
                f"{self.what(node.target)} cannot be assigned to",
                node.target,
                "only 'var' variables and what they contain can change",
            )
        if isinstance(target, (Mem, BitsRef)) and target.const:
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
            self.fail(
                "MS0329",
                f"'{target.name}' is a comptime variable: it cannot change under run-time control flow",
                node,
                "leave out comptime: a var changes at run time",
            )
        if self.unit.compiler.space is not None:
            self.unit.compiler.space.assigned(self.root(node.target))
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

    def root(self, node: Any) -> Cell | None:
        """The comptime variable that an assignment to a place changes."""
        while isinstance(node, (ast.Index, ast.Field)):
            node = node.base
        found = self.lookup(node) if isinstance(node, ast.Ident) else None
        return found if isinstance(found, Cell) else None

    def store(self, place: Any, value: Any, node: Any) -> None:
        """Store a value of the place's own type."""
        if isinstance(place, RegVar):
            self.into(value, place.reg, node)
            return
        if isinstance(place, BitsRef):
            self.store_bits(place, value, node)
            return
        t = place.ty
        if T.kept_in_memory(t):
            self.store_array(place, value, node)
            return
        if isinstance(t, T.StructType):
            v = self.load(value, node).v
            for (n, ft), offset in zip(t.fields, t.offsets, strict=True):
                self.store(Mem(ft, place.base, place.offset + offset, False, place.var), v[n], node)
            return
        mark = self.builder.mark()
        r = self.to_reg(value, node)
        self.emit(node, Op.ST, r, place.base, self.place(place), self.scalar(t, node))
        self.builder.release(mark)

    def store_array(self, place: Mem, value: Any, node: Any) -> None:
        fb, t = self.builder, place.ty
        mark = fb.mark()
        if isinstance(value, Known):
            data = value.v.data if isinstance(t, T.ArrayType) else None
            if isinstance(t, T.ArrayType) and isinstance(data, np.ndarray) and t.count > 1 and (data == data[0]).all():
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
        fb = self.builder
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
        handler = self.STMT.get(node.__class__)
        if handler is not None:
            return bool(handler(self, node))
        self.ev(node)
        return False

    def st_switch(self, node):
        self.ev_switch(node, T.VOID)
        return False

    def st_return(self, node: ast.Return):
        if self.fb is None:
            if self.returns is None:
                self.fail("MS0332", "return stands in a function or task only", node)
            raise ReturnSignal(VOID if node.value is None else self.rv(node.value, self.returns))
        frame = self.frame
        assert frame is not None  # there is code, so there is a function
        t = frame.ret
        if node.value is None:
            if t is not T.VOID:
                self.fail(
                    "MS0301",
                    f"this function returns {t}: return needs a value",
                    node,
                    f"write return VALUE, of type {t}",
                )
        else:
            value = self.rv(node.value, t)
            if t is T.VOID and value.ty is not T.VOID:
                self.fail(
                    "MS0301",
                    f"this function returns void, found {value.ty}",
                    node.value,
                    "write its type before the brace in place of void, or return without a value",
                )
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
