"""The ground of the analysis: errors with places, names, values, conversions, and what jumps carry."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn

from ...diag import Diagnostic, Label, MeshlangError, did_you_mean
from ...ir.isa import Op, Ty
from ...ir.program import DIRECTIONS
from ...syntax import ast
from ..model import ops
from ..model import types as T
from ..model.codegen import FunctionBuilder
from ..model.modules import ModuleInstance, Resolving, bind_param
from ..model.ops import Fail
from ..model.scopes import Frame, Silent, Target
from ..model.trail import led_here
from ..model.unit import Instance, Unit
from ..model.values import (
    POISON,
    VOID,
    BitsRef,
    Cell,
    ElemRef,
    Fields,
    FnValue,
    GlobalVar,
    Known,
    Mem,
    Reg,
    RegVar,
    own,
)

# names that other languages print with, and what there is in their place
PRINTERS = frozenset(
    "print printf println puts putchar echo console std cout cerr stdout fprintf sprintf log debug trace System".split()
)
PRINT = 'import <simprint>: const print = @import_module("<simprint>"); print.fmt("x is {d}", .{x});'


class Context:
    """What every part of the analysis stands on: errors, names, values, conversions."""

    EV: dict[type, Any] = {}  # node class -> method; filled by analyzer.py
    STMT: dict[type, Any] = {}

    def __init__(self, unit: Unit, module: ModuleInstance, fb: FunctionBuilder | None = None):
        self.unit = unit
        self.module = module
        self.fb = fb
        self.scopes: list[dict[str, Any]] = [{}]
        self.targets: list[Target] = []
        self.frame: Frame | None = None
        self.depth = 0  # nesting in run-time control flow
        self.address_taken: frozenset[str] = frozenset()
        self.top_level = False  # in a top-level comptime block (or a function called from one)
        self.in_layout = False
        self.import_name = ""  # the global const being initialised
        self.instance: Instance | None = None  # the function that is compiled
        self.returns: T.Type | None = None  # comptime calls: what the function returns
        self.steps = 0
        self.call_depth = 0

    if TYPE_CHECKING:
        # parts of the Analyzer (analyzer.py puts them together) that others use
        binary: Callable[..., Any]
        bits_member: Callable[..., Any]
        block: Callable[..., Any]
        comptime: Callable[..., Any]
        condition: Callable[..., Any]
        constant_storage: Callable[..., Any]
        ev: Callable[..., Any]
        ev_block: Callable[..., Any]
        function_pointer: Callable[..., Any]
        load_bits: Callable[..., Any]
        make_bits: Callable[..., Any]
        stmt: Callable[..., Any]
        store: Callable[..., Any]
        store_bits: Callable[..., Any]
        sub: Callable[..., Any]

    @property
    def builder(self) -> FunctionBuilder:
        """Where code is emitted; asked for only where there is such a function (`fb` is not None)."""
        assert self.fb is not None
        return self.fb

    # ================================================================ errors

    def fail(
        self,
        code: str,
        message: str,
        node: Any,
        help: str | None = None,
        labels: list | None = None,
        notes: list[str] | None = None,
    ) -> NoReturn:
        span = getattr(node, "span", node)
        raise MeshlangError(
            Diagnostic(code, message, span, "error", [Label(s, t) for s, t in labels or []], notes or [], help)
        )

    def warn(self, code: str, message: str, node: Any, help: str | None = None) -> None:
        self.unit.error(code, message, getattr(node, "span", node), help=help, severity="warning")

    def work(self, node: Any, amount: int = 1) -> None:
        """A round of a loop or a call at compile time: together they have a limit, which endless code of any kind reaches,
        outside the layout block in seconds."""
        unit, options = self.unit, self.unit.compiler.options
        limit = options.layout_limit if self.in_layout else options.work_limit
        unit.work[self.in_layout] += amount
        if unit.work[self.in_layout] > limit:
            # whatever else there is gets a chance, of half the room each time: all together take twice the limit
            unit.overruns += 1
            unit.work[self.in_layout] = limit - (limit >> unit.overruns)
            self.fail(
                "MS0330",
                f"the code that runs at compile time takes more than {limit} rounds of loops and calls",
                node,
                "is it endless? --max-inlined-iterations raises the limit",
            )

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
        hint = did_you_mean(name, names)
        if name in ("null", "undefined", "unreachable"):
            hint = f"the language has no '{name}'"
        elif name in PRINTERS and not hint:
            hint = PRINT
        self.fail("MS0201", f"'{name}' is not defined", node, hint)

    def global_value(self, module: ModuleInstance, name: str, node: Any) -> Any:
        """The value of a global: Known for const, param and functions; Mem for var."""
        found = module.values.get(name)
        if found is None:
            module.values[name] = Resolving()
            compiler = self.unit.compiler
            space, compiler.space = compiler.space, None  # a global is the same in all rounds of a loop
            try:
                found = module.values[name] = self.__class__(self.unit, module).resolve(module.decls[name], node)
            except MeshlangError as e:
                module.values[name] = POISON
                led_here(e.diagnostics, getattr(node, "span", None), f"'{name}' is used here")
                led_here(e.diagnostics, module.import_span, "imported here")
                for d in e.diagnostics:
                    self.unit.diagnostics.add(d)
                raise Silent() from None
            finally:
                compiler.space = space
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
        if decl.extern:
            return self.exported(decl, node)
        if isinstance(decl, ast.FnDecl):
            return Known(T.FN, FnValue(decl, module))
        if decl.kind in ("param", "color"):
            t = T.COLOR if decl.kind == "color" else self.type_expr(decl.type) if decl.type is not None else None
            value = module.bindings.get(decl.name)
            if value is None:
                if decl.init is None:
                    self.fail(
                        "MS0207",
                        f"param '{decl.name}' has no value",
                        node,
                        "give it in the import, the tile code or with --params, or give it a default",
                        labels=[(decl.name_span, "declared here")],
                    )
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
            self.fail(
                found[0],
                f"param '{decl.name}': {found[1]}",
                decl.name_span,
                labels=[(module.import_span, "given here")] if module.import_span else None,
            )
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
            self.fail(
                "MS0307",
                f"a variable cannot have the type {t}, which exists at compile time only",
                decl.name_span,
                f"give '{decl.name}' a type, for example i16 or f32",
            )
        return GlobalVar(
            module.qualified(decl.name), t, value, False, decl.name_span, self.alignment(decl), module=module
        )

    def exported(self, decl: Any, node: Any) -> Any:
        """What an extern declaration stands for: the export of the same symbol in a module of this program."""
        symbol = self.symbol(decl)
        for module in self.unit.modules:
            for d in module.tree.items:
                if getattr(d, "export", False) and self.__class__(self.unit, module).symbol(d) == symbol:
                    value = self.global_value(module, d.name, node)
                    t = self.type_expr(decl.type) if isinstance(decl, ast.Decl) and decl.type is not None else value.ty
                    if value.ty is not t:
                        self.fail(
                            "MS0301",
                            f"'{decl.name}' is a {t} here and a {value.ty} where it is exported",
                            decl.name_span,
                            labels=[(d.name_span, "exported here")],
                        )
                    return value
        self.fail(
            "MS0325",
            f"'{decl.name}' is extern, and no module of this program exports '{symbol}'",
            node,
            labels=[(decl.name_span, "declared here")],
        )

    def symbol(self, decl: Any) -> str:
        """The name of a declaration in the program's symbol table."""
        if decl.linkname is None:
            return decl.name
        return self.known(decl.linkname).v

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
            self.fail(
                "MS0310",
                "this value must be known at compile time",
                node,
                "use literals, consts, params, or 'comptime' variables",
            )
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
        value = self.EV[node.__class__](self, node, hint)
        if value.__class__ is Known or isinstance(value, (Reg, Fields)):
            return value
        return self.load(value, node)

    def load(self, value: Any, node: Any) -> Any:
        if isinstance(value, Cell):
            return own(value.v)
        if isinstance(value, ElemRef):
            return own(value.get())
        if isinstance(value, RegVar):
            return Reg(value.ty, value.reg)
        if isinstance(value, BitsRef):
            return self.load_bits(value, node)
        if isinstance(value, Mem):
            if self.fb is None:
                var = value.var
                if var is not None and var.const and var.init is not None and value.base == 0:
                    found = ops.part_at(var.init, value.offset, value.ty)
                    if found is not None:
                        return found
                    self.fail("MS0311", f"there is no {value.ty} at this place of {self.named(value)}", node)
                self.fail(
                    "MS0311",
                    f"{self.named(value)} is in memory: its value is not known at compile time",
                    node,
                    "comptime code cannot read a 'var'; use a const or a param",
                )
            if T.kept_in_memory(value.ty):
                return value
            if isinstance(value.ty, T.StructType):
                return Fields(
                    value.ty,
                    {
                        n: self.load(Mem(t, value.base, value.offset + o, value.const, value.var), node)
                        for (n, t), o in zip(value.ty.fields, value.ty.offsets, strict=True)
                    },
                )
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
                self.fail(
                    "MS0312",
                    f"{t} is not the 16-bit float type of this program ({self.unit.fp16})",
                    node,
                    f"compile with --fp16-format={t}",
                )
            self.fail("MS0307", f"a value of type {t} exists at compile time only", node)
        return t.ty

    def emit(self, node: Any, op: Op, a: int = 0, b: int = 0, c: int = 0, ty: Ty = Ty.I64) -> None:
        self.builder.span = getattr(node, "span", None)
        self.builder.emit(op, a, b, c, ty)

    def to_reg(self, value: Any, node: Any) -> int:
        """A register that holds a scalar value (existing or new)."""
        if isinstance(value, Reg):
            return value.reg
        if isinstance(value, Known):
            if value.ty is T.COMPTIME_INT or value.ty is T.COMPTIME_FLOAT:
                self.fail("MS0307", f"a run-time value needs a type: this is {value.ty}", node, "use @as(TYPE, value)")
            self.builder.span = getattr(node, "span", None)
            self.scalar(value.ty, node)
            if isinstance(value.ty, T.DsdType):
                return self.builder.constant(self.unit.pack(value.v, getattr(node, "span", None)))
            return self.builder.constant(self.unit.scalar_bits(value))
        value = self.load(value, node)
        if isinstance(value, (Reg, Known)):
            return self.to_reg(value, node)
        self.fail("MS0301", f"a value of type {value.ty} cannot be used here", node)

    def into(self, value: Any, reg: int, node: Any) -> None:
        """Put a scalar into a given register."""
        if isinstance(value, Known):
            self.scalar(value.ty, node)
            self.builder.span = getattr(node, "span", None)
            bits = (
                self.unit.pack(value.v, self.builder.span)
                if isinstance(value.ty, T.DsdType)
                else self.unit.scalar_bits(value)
            )
            self.builder.constant(bits, reg)
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
        """A value of type `t` from registers, consuming them from the front. `part` has the fields that exist at
        compile time only."""
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
        if (
            isinstance(t, T.BitsType)
            and isinstance(value, (Known, Fields))
            and isinstance(value.ty, T.StructType)
            and value.ty.tag is None
        ):
            return self.make_bits(t, value, node)
        if isinstance(value, Known):
            if value.ty is T.FN and isinstance(t, T.PtrType) and isinstance(t.elem, T.FnType):
                return self.coerce(self.function_pointer(value.v, node), t, node)
            if value.ty is T.FN and isinstance(t, T.FnType):
                return Known(t, value.v)
            return self.op(node, ops.coerce, value, t)
        value = self.load(value, node)
        if value.ty is t:
            return value
        if (
            isinstance(value, Fields)
            and isinstance(t, T.StructType)
            and value.ty.tag is None
            and set(value.v) <= set(t.index) <= set(value.v) | set(t.defaults)
        ):
            given = {**t.defaults, **value.v}
            return Fields(t, {n: self.coerce(given[n], f, node) for n, f in t.fields})
        s = value.ty
        if isinstance(t, T.PtrType) and isinstance(s, T.PtrType):
            if ops.pointer_converts(s, t):
                return Reg(t, value.reg)
        elif ops.widens(s, t):
            return self.convert(value, t, node)
        self.fail(
            "MS0301",
            f"expected {t}, found {s}",
            node,
            f"convert it with @as({t}, value)" if T.is_numeric(s) and T.is_numeric(t) else None,
        )

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
        r = self.builder.reg()
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
            self.saturate(r, t, node)
        elif T.is_float(t) and T.is_float(s):
            self.emit(node, Op.F2F, r, value.reg, s.ty, self.scalar(t, node))
        else:
            self.fail("MS0301", f"@as cannot convert {s} to {t}", node)
        return Reg(t, r)

    def narrow(self, r: int, t: T.Type, node: Any) -> None:
        """Reduce a register to an integer type whose width is not that of its container (2.10: u5, i12, ...)."""
        t = t.base if isinstance(t, T.EnumType) else t
        if not isinstance(t, T.IntType) or t.bits == 8 * t.size:
            return
        mark = self.builder.mark()
        if t.signed and t.bits:
            n = self.builder.constant(64 - t.bits)
            self.emit(node, Op.SHL, r, r, n, Ty.I64)
            self.emit(node, Op.SHR, r, r, n, Ty.I64)
        else:
            self.emit(node, Op.AND, r, r, self.builder.constant((1 << t.bits) - 1), Ty.I64)
        self.builder.release(mark)

    def saturate(self, r: int, t: T.Type, node: Any) -> None:
        """Bring what a float was cut to (F2I saturates to the container) into such a type: its nearest value."""
        t = t.base if isinstance(t, T.EnumType) else t
        if not isinstance(t, T.IntType) or t.bits == 8 * t.size:
            return
        mark = self.builder.mark()
        for limit, below in ((t.hi, True), (t.lo, False)) if t.signed else ((t.hi, True),):
            bound, inside = self.builder.constant(limit), self.builder.reg()
            low, high = (r, bound) if below else (bound, r)
            self.emit(node, Op.LE, inside, low, high, self.scalar(t, node))
            self.emit(node, Op.SEL, r, inside, bound)
        self.builder.release(mark)
