"""The one analysis pass: walking a function yields known values or instructions that compute them (as in Zig's Sema).

With `fb` None everything must be known: that is how comptime code (initialisers, comptime blocks, the layout) runs.
With a FunctionBuilder the walk emits code, and still computes at compile time whatever is known.
"""

from __future__ import annotations

from typing import Any

from ...diag import Label, MeshlangError
from ...ir.isa import Op
from ...syntax import ast
from ..model import types as T
from ..model.codegen import FunctionBuilder
from ..model.scopes import Frame
from ..model.trail import led_here
from ..model.unit import Instance, Unit
from ..model.values import FnValue
from .bits import Bits
from .calls import Calls, holds_array, taken
from .choices import Choices
from .expressions import Expressions
from .literals import Literals
from .loops import Loops
from .statements import Statements


def runs_through(node: Any) -> bool:
    """Does a statement plainly go on to what follows: an assignment, an `if` without `else`, a block that ends in one? Of
    loops, switches and calls nothing is said."""
    match node:
        case ast.Block(stmts=[*_, last], label=None):
            return runs_through(last)
        case ast.If(orelse=None) | ast.Assign() | ast.Block(stmts=[]):
            return True
        case ast.If(then=then, orelse=orelse):
            return runs_through(then) or runs_through(orelse)
    return False


class Analyzer(Expressions, Literals, Bits, Choices, Calls, Statements, Loops):
    """One walk over one function, block or initialiser. See `context.Context` for its state."""


Analyzer.EV = {
    ast.IntLit: Analyzer.ev_int,
    ast.FloatLit: Analyzer.ev_float,
    ast.StringLit: Analyzer.ev_string,
    ast.BoolLit: Analyzer.ev_bool,
    ast.VoidLit: Analyzer.ev_void,
    ast.Ident: Analyzer.ev_ident,
    ast.Unary: Analyzer.ev_unary,
    ast.Binary: Analyzer.ev_binary,
    ast.AddrOf: Analyzer.ev_addr,
    ast.Deref: Analyzer.ev_deref,
    ast.Index: Analyzer.ev_index,
    ast.Field: Analyzer.ev_field,
    ast.Call: Analyzer.ev_call,
    ast.BuiltinCall: Analyzer.ev_builtin,
    ast.StructLit: Analyzer.ev_struct,
    ast.TupleLit: Analyzer.ev_tuple,
    ast.ArrayLit: Analyzer.ev_array,
    ast.ComptimeExpr: Analyzer.ev_comptime,
    ast.TensorAccess: Analyzer.ev_tensor,
    ast.ArrayType: Analyzer.ev_array_type,
    ast.PtrType: Analyzer.ev_ptr_type,
    ast.FnType: Analyzer.ev_fn_type,
    ast.StructType: Analyzer.ev_struct_type,
    ast.UnionType: Analyzer.ev_union_type,
    ast.EnumType: Analyzer.ev_enum_type,
    ast.If: Analyzer.ev_if,
    ast.Switch: Analyzer.ev_switch,
    ast.Block: Analyzer.ev_block,
    ast.Asm: Analyzer.ev_asm,
}
Analyzer.STMT = {
    ast.Decl: Analyzer.st_decl,
    ast.Assign: Analyzer.st_assign,
    ast.ExprStmt: Analyzer.st_expr,
    ast.If: Analyzer.st_if,
    ast.While: Analyzer.st_while,
    ast.For: Analyzer.st_for,
    ast.Switch: Analyzer.st_switch,
    ast.Break: Analyzer.st_break,
    ast.Continue: Analyzer.st_continue,
    ast.Return: Analyzer.st_return,
    ast.Block: Analyzer.st_block,
    ast.ComptimeBlock: Analyzer.st_comptime,
}


def plain_instance(unit: Unit, fn: FnValue) -> Instance:
    """The instance of a function or task without comptime parameters."""

    def make(index: int) -> Instance:
        env = Analyzer(unit, fn.module)
        params = [(p.name, env.type_expr(p.type)) for p in fn.decl.params]
        ret = env.type_expr(fn.decl.ret) if fn.decl.ret is not None else T.VOID
        for n, t in [*params, ("the result", ret)]:
            if holds_array(t):
                env.fail(
                    "MS0326",
                    f"'{fn.decl.name}' cannot be called at run time: {n} is a {t}",
                    fn.decl.name_span,
                    "use a pointer to the array",
                )
        return Instance(index, fn, {}, params, ret, task=fn.decl.is_task)

    return unit.instance(fn, (), make)


def compile_instance(unit: Unit, inst: Instance) -> None:
    decl = inst.fn.decl
    flat = [s for _, t in inst.params for s in T.flatten(t)]
    fb = inst.builder = FunctionBuilder(decl.name, len(flat))
    a = Analyzer(unit, inst.fn.module, fb)
    a.address_taken = taken(decl)
    unit.compiler.reached.add(id(decl))
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
    caller: Instance | None = inst
    # the arguments of a generic may be what is wrong
    while caller is not None and (caller.env or caller.parts) and caller.span is not None:
        for d in unit.diagnostics.items[reported:]:
            d.labels.append(Label(caller.span, f"'{caller.fn.decl.name}' is called here"))
        caller = caller.caller
    caller = inst
    while caller is not None:
        led_here(unit.diagnostics.items[reported:], caller.span, f"'{caller.fn.decl.name}' is called here")
        caller = caller.caller
    if not terminated:
        if inst.ret is not T.VOID:
            # control cannot be proven to stop before the end: reaching it is a fault, not a made-up value
            if runs_through(decl.body):
                unit.error(
                    "MS0341",
                    f"'{decl.name}' can end without returning a {inst.ret}",
                    decl.name_span,
                    help="end every way through it with a return; one that cannot come about, with @assert(false)",
                    severity="warning",
                )
            fb.emit(Op.TRAP, unit.string(f"'{decl.name}' ended without returning a {inst.ret}"))
        fb.span = None if fb.code else decl.name_span  # a function of nothing else has a place, too
        fb.emit(Op.RET)
    elif not fb.code:
        fb.emit(Op.RET)
    if not unit.diagnostics.errors:  # a statement in error may have left labels without a place
        fb.finish()
