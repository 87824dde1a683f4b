"""If, switch and labelled blocks as expressions: one value from several paths."""

from __future__ import annotations

from contextlib import contextmanager
from typing import Any

from ...diag import MeshlangError
from ...ir.isa import Op
from ...syntax import ast
from ..model import ops
from ..model import types as T
from ..model.codegen import FunctionBuilder
from ..model.scopes import BreakSignal, Silent, Target
from ..model.values import (
    VOID,
    Cell,
    Known,
    own,
)
from .context import Context


class Choices(Context):
    """Evaluating choices; a dry run finds their common type."""

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
            self.depth += 1  # the branches are under run-time control
            s = self.type_of(b, hint)
            self.depth -= 1
            t = self.common(t, s, hint, node)
        t = self.settled(t, hint)
        if t is not T.VOID and (t.comptime_only or t is T.COMPTIME_INT):
            self.fail(
                "MS0320",
                f"a run-time choice needs values with a run-time type, these are {t}",
                node,
                "give the target a type, or use @as(TYPE, value)",
            )
        return t

    def common(self, t: T.Type | None, s: T.Type, hint: T.Type | None, node: Any) -> T.Type:
        """The common type of the values met so far and one of type `s`.

        The hint (the type of the target) settles structs and pointers. Numbers, bools and enums find their own common
        type: the hint may come from an @as, which converts the result.
        """
        if (
            hint is not None
            and not hint.comptime_only
            and not (T.is_numeric(s) or s is T.BOOL or isinstance(s, T.EnumType))
        ):
            s = hint
        return s if t is None else self.op(node, ops.peer, t, s, "if")

    @staticmethod
    def settled(t: T.Type | None, hint: T.Type | None) -> T.Type:
        """Literals take the type of the target."""
        if t in (T.COMPTIME_INT, T.COMPTIME_FLOAT) and hint is not None and T.is_numeric(hint):
            return hint
        return t or T.VOID

    def type_of(self, node: Any, hint: T.Type | None = None) -> T.Type:
        """The type an expression would have; it is analysed, but neither its code nor its effects stay.

        What needs values of run time has a type at compile time too: it is analysed as code that no one keeps.
        """
        code = self.fb is None and self.of_run_time(node)
        if code:
            self.fb = FunctionBuilder("@type_of", 0)
        try:
            with self.dry_run():
                return self.branch_value(node, hint).ty
        finally:
            if code:
                self.fb = None

    def of_run_time(self, node: Any) -> bool:
        """Does an expression name a value that exists at run time only: a variable, an argument without a value, or a
        pointer, whose address may be known and not what is there?"""
        if isinstance(node, ast.Ident):
            local = next((scope[node.name] for scope in reversed(self.scopes) if node.name in scope), None)
            found = self.module.decls.get(node.name)
            if local is None and isinstance(found, ast.Decl):
                if found.kind == "var":
                    return True
                local = self.lookup(node)
            if isinstance(local, Known):
                return isinstance(local.ty, T.PtrType) and not isinstance(local.ty.elem, T.FnType)
            return local is not None and not isinstance(local, Cell)
        return any(self.of_run_time(child) for child in ast.children(node))

    @contextmanager
    def dry_run(self):
        """Analyse without a trace, except for errors: code, static storage and comptime variables are put back.

        Errors stay, because a global whose value was in error is reported once only; the walk that follows would be
        silent.
        """
        fb, unit = self.fb, self.unit
        saved = None
        if fb is not None:
            saved = (
                len(fb.code),
                fb.next,
                fb.high,
                len(fb.calls),
                len(fb.labels),
                fb.span,
                len(fb.statics),
                [(lb, len(lb.uses), lb.pc) for lb in fb.labels],
            )
        memory = len(unit.image), len(unit.vars), unit.block, unit.constants
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
            for var in unit.vars[memory[1] :]:
                var.address = -1
            del unit.vars[memory[1] :], unit.image[memory[0] :]
            unit.block, unit.constants = memory[2:]
            if saved:
                del (
                    fb.code[saved[0] :],
                    fb.spans[saved[0] :],
                    fb.calls[saved[3] :],
                    fb.labels[saved[4] :],
                    fb.statics[saved[6] :],
                )
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
                    self.fail(
                        "MS0321", f"case {v.span.text()} is given twice", v, labels=[(seen[n].span, "first given here")]
                    )
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
                self.fail(
                    "MS0321",
                    f"the switch does not cover {', '.join(missing[:4])}{', ...' if len(missing) > 4 else ''}",
                    node,
                    "add the cases or an 'else'",
                )
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
        reported = len(self.unit.diagnostics.errors)
        self.type_of_block(node)
        self.targets.pop()
        if len(self.unit.diagnostics.errors) > reported:
            raise Silent()
        t = None
        for found in probe.types:
            t = self.common(t, found, hint, node)
        t = self.settled(t, hint)
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
        self.fb.end(target.end)
        if single and target.broke and target.known is not None:
            return target.known
        if t.comptime_only:
            self.fail("MS0320", f"a run-time choice needs values with a run-time type, these are {t}", node)
        if not terminated and t is not T.VOID:
            self.fail(
                "MS0322", f"this block yields {t} on some paths only", node, f"end it with 'break :{node.label} value;'"
            )
        return self.unflat(t, list(target.regs))

    def type_of_block(self, node: ast.Block) -> None:
        """A dry run of a labelled block, for the types of its break values."""
        try:
            with self.dry_run():
                self.block(node)
        except MeshlangError:
            pass  # the walk that follows meets it again
