"""Loops, at compile time, unrolled and at run time, and the jumps out of them and of labelled blocks."""

from __future__ import annotations

from contextlib import contextmanager
from operator import index as plain_int
from typing import Any

import numpy as np

from ...ir.isa import Op
from ...syntax import ast
from ..model import ops
from ..model import types as T
from ..model.scopes import BreakSignal, ContinueSignal, ReturnSignal, Target
from ..model.together import LEAST_INNER, LEAST_OUTER, Apart, Lanes, Space
from ..model.values import VOID, Cell, ElemRef, Known, Mem, RangeValue, Reg
from .context import Context


class Loops(Context):
    """Walking loops; each says whether control never goes on behind it."""

    def step(self, node: Any, limit: int) -> None:
        self.steps += 1
        if self.steps > limit:
            self.fail(
                "MS0330",
                f"this comptime loop runs more than {limit} times",
                node,
                "is it endless? --max-inlined-iterations raises the limit",
            )
        self.work(node)

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
        limit = self.unit.compiler.options.comptime_limit
        while True:
            cond = self.condition(node.cond)
            if not isinstance(cond, Known):
                self.fail("MS0310", "this condition must be known at compile time", node.cond)
            if not cond.v:
                return
            self.step(node, limit)
            if self.left(node):
                return
            if node.cont is not None:
                self.sub(node.cont)

    def left(self, node) -> bool:
        """One round of a loop at compile time: does a `break` leave it? Jumps of outer loops go on to these."""
        try:
            self.sub(node.body)
        except (BreakSignal, ContinueSignal) as s:
            if s.label is not None and s.label != node.label:
                raise
            return isinstance(s, BreakSignal)
        return False

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
            self.step(node, self.unit.compiler.options.max_inlined_iterations)
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
        if isinstance(value.ty, (T.RangeType, T.ArrayType)):
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
                return self.for_together(node, value) or self.for_unrolled(node, value)
        # the elements of a tuple have types of their own, and what exists at compile time only is not in memory
        apart = isinstance(value.ty, T.StructType) or (
            isinstance(value.ty, T.ArrayType) and value.ty.elem.comptime_only
        )
        if node.inline or apart:
            return self.for_unrolled(node, value)
        return self.for_runtime(node, value)

    def for_together(self, node: ast.For, value: Any) -> bool:
        """A loop of the layout for all rounds at once, if that can be (see model/together.py). False: nothing was done."""
        compiler = self.unit.compiler
        if not (self.in_layout and compiler.options.together and isinstance(value, Known)):
            return False
        r = value.v
        if not isinstance(r, RangeValue) or id(node) in compiler.apart:
            return False
        if not all(isinstance(b, Known) for b in (r.start, r.stop, r.step)):
            return False
        outermost = compiler.space is None
        rounds = range(plain_int(r.start.v), plain_int(r.stop.v), plain_int(r.step.v))
        if len(rounds) < (LEAST_OUTER if outermost else LEAST_INNER) or abs(r.start.v) + abs(r.stop.v) >= 1 << 40:
            return False

        def body(item: Lanes, number: Lanes) -> bool:
            scope: dict[str, Any] = {}
            if node.elem != "_":
                scope[node.elem] = Known(r.elem, item)
            if node.index is not None and node.index != "_":
                scope[node.index] = Known(T.U16, number)
            self.scopes.append(scope)
            try:
                return self.left(node)
            except (BreakSignal, ContinueSignal, ReturnSignal):
                return True
            finally:
                del self.scopes[depth:]

        space = compiler.space = compiler.space or Space(compiler)
        depth, targets, loops = len(self.scopes), len(self.targets), len(space.sizes)
        try:
            with space.attempt():
                space.loop(np.arange(rounds.start, rounds.stop, rounds.step, dtype=np.int64), body)
                if outermost:
                    compiler.space = None
                    space.apply(self.unit.layout.taken)
            return True
        except Apart as e:
            if e.depth < loops and not outermost:
                raise
            compiler.apart[id(node)] = str(e)
        except Exception as e:  # whatever it is: round by round it is said of the round, or it does not happen
            if not outermost:
                raise
            compiler.apart[id(node)] = f"{type(e).__name__}: {e}"
        finally:
            if outermost:
                compiler.space = None
            del self.targets[targets:]
        return False

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
        limit = (
            self.unit.compiler.options.comptime_limit
            if fb is None
            else self.unit.compiler.options.max_inlined_iterations
        )
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
                    if self.left(node):
                        break
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
                self.fail(
                    "MS0307",
                    "a run-time loop over a range needs an integer type, found comptime_int",
                    node.iter,
                    "use @range(i16, ...) or 'inline for'",
                )
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
                place = self.element(
                    Mem(t.elem, value.base, value.offset, True, value.var), t.elem, [Reg(T.U16, counter)], (None,), node
                )
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
        r = self.builder.reg()
        self.into(self.coerce(value, t, node), r, node)
        return r

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
