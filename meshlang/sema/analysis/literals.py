"""Literals, type expressions and tensor accesses."""

from __future__ import annotations

from contextlib import contextmanager
from typing import Any

import numpy as np

from ...ir.isa import PE_MEMORY
from ...syntax import ast
from ..model import ops
from ..model import types as T
from ..model.dsd_rules import RULES
from ..model.scopes import Silent
from ..model.values import (
    POISON,
    ArrayValue,
    Fields,
    GlobalVar,
    Known,
    Mem,
    Pointer,
)
from .calls import mentions
from .context import Context

MOST_ELEMENTS = 1 << 24  # of an array of comptime code; every element is kept


class Literals(Context):
    """Evaluating literals and types."""

    def ev_struct(self, node, hint):
        fixed = self.module.literals.get(id(node))
        if fixed is not None:
            if fixed.__class__ is not Known:
                fixed = self.module.literals[id(node)] = self.make_struct(
                    {f.name: self.rv(f.value) for f in node.fields}, False
                )
            return fixed
        t = None
        if node.type is not None:
            t = self.type_expr(node.type)
            if isinstance(t, T.BitsType):
                given = {
                    f.name: self.rv(f.value, t.parts[f.name].type if f.name in t.parts else None) for f in node.fields
                }
                if len(given) < len(node.fields):
                    self.fail("MS0206", "a field is given twice", node)
                return self.make_bits(t, self.make_struct(given, False), node)
            if not isinstance(t, T.StructType):
                self.fail("MS0301", f"expected a struct type, found {t}", node.type)
        fields: dict[str, Any] = {}
        want = t or (hint if isinstance(hint, T.StructType) else None)
        for f in node.fields:
            if f.name in fields:
                self.fail("MS0206", f"field '{f.name}' is given twice", f)
            ft = want.fields[want.index[f.name]][1] if want and f.name in want.index else None
            fields[f.name] = self.rv(f.value, ft)
        if t is None:
            return self.unit.compiler.shared.get(
                id(node), tuple(fields.values()), lambda: self.make_struct(fields, False)
            )
        unknown = [n for n in fields if n not in t.index]
        missing = [n for n in t.index if n not in fields and n not in t.defaults]
        if unknown or missing:
            what = [f"no field '{n}'" for n in unknown] + [f"field '{n}' is missing" for n in missing]
            self.fail("MS0202", f"{t}: {', '.join(what)}", node)
        return self.coerce(self.make_struct(fields, False), t, node)

    def make_struct(self, fields: dict[str, Any], is_tuple: bool) -> Any:
        t = T.struct(tuple((n, v.ty) for n, v in fields.items()), is_tuple)
        if all(isinstance(v, Known) for v in fields.values()):
            return Known(t, fields)
        return Fields(t, fields)

    def ev_tuple(self, node, hint):
        fixed = self.module.literals.get(id(node))
        if fixed is not None:
            if fixed.__class__ is not Known:
                fixed = self.module.literals[id(node)] = self.make_struct(
                    {str(i): self.rv(e) for i, e in enumerate(node.elems)}, True
                )
            return fixed
        fields = {str(i): self.rv(e) for i, e in enumerate(node.elems)}
        return self.unit.compiler.shared.get(id(node), tuple(fields.values()), lambda: self.make_struct(fields, True))

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
            data = [ops.element(t, v) for v in values]
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
            self.fail(
                "MS0319",
                f"the elements of an array cannot be arrays ({elem})",
                node.elem,
                f"write one array of more dimensions: [{', '.join(map(str, [*dims, *elem.dims]))}]{elem.elem}",
            )
        t = T.array(tuple(dims), elem)
        if t.count > MOST_ELEMENTS:
            self.fail(
                "MS0701",
                f"an array of {t.count} elements: a PE has {PE_MEMORY} bytes of memory",
                node,
                f"arrays of comptime code have up to {MOST_ELEMENTS} elements",
            )
        return Known(T.TYPE, t)

    def ev_ptr_type(self, node, hint):
        return Known(T.TYPE, T.pointer(self.type_expr(node.elem), node.many, node.const))

    def ev_fn_type(self, node, hint):
        return Known(T.TYPE, T.function(tuple(self.type_expr(p) for p in node.params), self.type_expr(node.ret)))

    def ev_struct_type(self, node, hint):
        fields = tuple(
            (f.name if f.name is not None else str(i), self.type_expr(f.type)) for i, f in enumerate(node.fields)
        )
        is_tuple = bool(node.fields) and node.fields[0].name is None
        name = self.import_name or "struct"
        if node.layout == "packed":
            return Known(T.TYPE, self.bits_type(node, fields, False))
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
        return Known(
            T.TYPE,
            T.enum(base, tuple(given.items()), (node.span.file.path, node.span.start), self.import_name or "enum"),
        )

    def ev_union_type(self, node, hint):
        return Known(T.TYPE, self.bits_type(node, tuple((f.name, self.type_expr(f.type)) for f in node.fields), True))

    def bits_type(self, node: Any, fields: tuple, union: bool) -> T.BitsType:
        """A union or a packed struct."""
        what = "union" if union else "packed struct"
        for f, (name, t) in zip(node.fields, fields, strict=True):
            if name is None or sum(n == name for n, _ in fields) > 1:
                self.fail("MS0206", f"each field of a {what} needs a name of its own", f)
            if t.comptime_only or t.size == 0:
                self.fail("MS0307", f"a field of a {what} cannot have the type {t}: it exists at compile time only", f)
            if node.layout == "packed" and t.ty is None:
                self.fail("MS0301", f"a field of a packed type is a number, bool, enum or pointer, found {t}", f)
        t = T.bits(fields, union, node.layout, (node.span.file.path, node.span.start), self.import_name or what)
        for f in node.fields:
            if f.default is not None:
                t.defaults[f.name] = self.coerce(self.known(f.default), t.parts[f.name].type, f.default)
        return t

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
            self.targets = []  # a break cannot leave comptime code for run-time code
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
                place = self.pointee(self.load(place, node), t.elem)
                t = t.elem
            elif t.many:
                place = self.pointee(self.load(place, node), t.elem)
                t = T.array((0x7FFF,), t.elem)
        if isinstance(place, Mem) and place.base:
            self.fail(
                "MS0502",
                f"where {self.what(target)} lies is not known at compile time: a tensor access takes a variable, or a pointer "
                "that is known",
                target,
                "make the DSD of its parts: .{ .base_address = pointer, .extent = n, .stride = s }",
            )
        if not isinstance(t, T.ArrayType):
            self.fail("MS0502", f"a tensor access needs an array, found {t}", target)
        if len(node.indices) != len(t.dims):
            self.fail(
                "MS0502",
                f"{t} has {len(t.dims)} dimensions, the access gives {len(node.indices)} indices",
                node,
                "write one affine expression per dimension",
            )
        total = (0, [0] * len(node.vars))
        step = 1
        for expr, dim in zip(reversed(node.indices), reversed(t.dims), strict=True):
            c, coeffs = self.affine(expr, node.vars)
            total = (total[0] + c * step, [a + b * step for a, b in zip(total[1], coeffs, strict=True)])
            step *= dim
        if isinstance(place, Known):
            pointer = Known(T.pointer(t, const=True), Pointer(self.constant_storage(place, name, node), 0))
        elif isinstance(place, Mem):
            pointer = Known(T.pointer(t, const=place.const), Pointer(place.var, place.offset))
        else:
            self.fail("MS0502", "a tensor access needs an array in memory", target)
        coeffs = total[1]
        n = len(lengths)
        # jump strides (facts A.1): the step of a dimension includes the reset of all inner ones
        jumps = [coeffs[d] - sum(coeffs[e] * (lengths[e] - 1) for e in range(d + 1, n)) for d in range(n)]

        def ints(seq):
            return self.make_struct({str(i): Known(T.COMPTIME_INT, v) for i, v in enumerate(seq)}, True)

        return self.make_struct(
            {
                "base_address": pointer,
                "offset": Known(T.COMPTIME_INT, total[0]),
                "stride": ints(reversed(jumps)),
                "extent": ints(lengths),
            },
            False,
        )

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
        if (
            isinstance(node, ast.BuiltinCall)
            and node.name == "as"
            and len(node.args) == 2
            and mentions(node, set(names))
        ):
            self.check_index(self.type_expr(node.args[0]), node)
            return self.affine(node.args[1], names)
        self.scopes.append(dict.fromkeys(names, POISON))
        try:
            value = self.known(node)
            if not T.is_int(value.ty):
                self.fail("MS0301", f"expected an integer, found {value.ty}", node)
            self.check_index(value.ty, node)
            return value.v, zero
        except Silent:
            self.fail("MS0502", "an index must be an affine expression of the induction variables", node)
        finally:
            self.scopes.pop()

    def check_index(self, t: T.Type, node: Any) -> None:
        """The parts of an index are of the induction variables' type, or of one that converts to it."""
        rule = RULES["tensor access", "indices"]
        assert rule.type is not None
        if isinstance(t, T.IntType) and not ops.widens(t, rule.type):
            self.fail(
                "MS0301",
                f"the index of a tensor access takes {rule.type}, found {t}",
                node,
                f"convert it with @as({rule.type}, value)",
            )
