"""From parser reductions to syntax tree nodes: one method per `-> name` of csl.lark.

A method gets the values of its alternative's symbols: token tuples, nodes, and lists of them. What the grammar cannot
say (comparisons do not chain, `const` needs a value, ...) is checked here and reported without stopping.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..diag import Diagnostic, Label
from . import ast
from .source import SourceFile, Span
from .tables import Tables
from .text import from_bytes, to_bytes

# Tight to loose; operators of one row associate to the left.
_LEVELS = (
    ("*", "/", "%"),
    ("+", "-"),
    ("<<", ">>"),
    ("&", "^", "|"),
    ("==", "!=", "<", "<=", ">", ">="),
    ("and",),
    ("or",),
)
PRECEDENCE = {op: len(_LEVELS) - level for level, ops in enumerate(_LEVELS) for op in ops}
COMPARISON = PRECEDENCE["=="]

# Words of the family that this language leaves out; as a name they can only be a mistake.
ABSENT_VALUES = {
    "undefined": "leave the initializer out: `var x: T;` starts out as zeros",
    "null": "there are no null pointers and no optionals; use a `bool` beside the pointer",
    "unreachable": "use `@assert(false)`",
}

_ESCAPE = re.compile(r"\\(x[0-9a-fA-F]{2}|u\{[0-9a-fA-F]{1,6}\}|.)", re.DOTALL)
_BYTE = 0xDC00  # of the surrogates that stand for bytes (text.py)
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "\\": "\\", "'": "'", '"': '"', "0": "\0"}


@dataclass(slots=True, eq=False)
class Attr(ast.Node):
    """align(..), linksection(..) or linkname(..)."""

    kind: str
    value: Any


def _begin(x: Any) -> int:
    return x[2] if type(x) is tuple else x.span.start


def _finish(x: Any) -> int:
    return x[3] if type(x) is tuple else x.span.end


class Builder:
    """Builds the tree of one file. `errors` collects what the methods have to say."""

    def __init__(self, file: SourceFile):
        self.file = file
        self.errors: list[Diagnostic] = []

    def rules(self, tables: Tables) -> list[tuple[int, str, Callable[[list], Any] | None]]:
        """The table's rules with their methods; one without has one symbol and hands its value through."""
        return [(n, origin, getattr(self, name) if name else None) for n, origin, name in tables.rules]

    def _span(self, c: list) -> Span:
        return Span(self.file, _begin(c[0]), _finish(c[-1]))

    def _at(self, token: tuple) -> Span:
        return Span(self.file, token[2], token[3])

    def _report(
        self, code: str, message: str, span: Span, help: str | None = None, labels: list[Label] | None = None
    ) -> None:
        self.errors.append(Diagnostic(code, message, span, labels=labels or [], help=help))

    # ------------------------------------------------------------ plumbing

    def list_new(self, c: list) -> list:
        return []

    def list_one(self, c: list) -> list:
        return c

    def list_add(self, c: list) -> list:
        if c[1] is not None:
            c[0].append(c[1])
        return c[0]

    def list_more(self, c: list) -> list:
        c[0].append(c[2])
        return c[0]

    def none(self, c: list) -> None:
        return None

    nothing = none

    def second(self, c: list) -> Any:
        return c[1]

    def third(self, c: list) -> Any:
        return c[2]

    def module(self, c: list) -> ast.Module:
        return ast.Module(Span(self.file, 0, len(self.file.text)), c[0])

    # ------------------------------------------------------------ declarations

    def storage(self, c: list) -> tuple:
        return c[0]

    def storage_comptime(self, c: list) -> tuple:
        return ("COMPTIME", c[1][1], c[0][2], c[1][3])

    def attr(self, c: list) -> Attr:
        return Attr(self._span(c), c[0][1], c[2])

    def if_type(self, c: list) -> ast.If:
        return ast.If(self._span(c), c[2], c[4], c[6])

    def decl(self, c: list) -> ast.Decl:
        storage, name, type_, attrs, init = c
        last = init or (attrs[-1] if attrs else None) or type_ or name
        kind = "color" if storage[0] == "COLORDECL" else storage[1]
        node = ast.Decl(
            Span(self.file, storage[2], _finish(last)),
            kind,
            name[1],
            self._at(name),
            type_,
            init,
            comptime=storage[0] == "COMPTIME",
        )
        self._set_attrs(node, attrs)
        return node

    def _set_attrs(self, node: Any, attrs: list[Attr]) -> None:
        for attr in attrs:
            if not hasattr(node, attr.kind):
                self._report("MS0127", f"a function cannot have `{attr.kind}`", attr.span)
            elif getattr(node, attr.kind) is not None:
                self._report("MS0127", f"`{attr.kind}` is given twice", attr.span)
            else:
                setattr(node, attr.kind, attr.value)

    def _check_decl(self, d: ast.Decl) -> None:
        if d.extern:
            if d.init is not None:
                self._report(
                    "MS0127",
                    f"`extern` declares what is defined elsewhere: `{d.name}` cannot have a value here",
                    d.init.span,
                    "remove the value, or write `export` to define it here",
                )
            return
        if d.kind == "const" and d.init is None:
            self._report(
                "MS0117",
                f"`const {d.name}` needs a value",
                d.name_span,
                f"write `const {d.name} = ...;`, or `var` if it gets its value later",
            )
        elif d.kind == "var" and d.init is None and d.type is None:
            self._report(
                "MS0117",
                f"`var {d.name}` needs a type or a value",
                d.name_span,
                f"write `var {d.name}: i16;` or `var {d.name} = 0;`",
            )

    def first(self, c: list) -> Any:
        if type(c[0]) is ast.Decl:
            self._check_decl(c[0])
        return c[0]

    def local_decl(self, c: list) -> ast.Decl:
        d = c[0]
        self._check_decl(d)
        if d.kind in ("param", "color"):
            self._report(
                "MS0124",
                f"`{d.kind}` is only possible at the top level of a file",
                d.span,
                f"use `const {d.name} = ...;`, or move the declaration out of the block",
            )
        elif d.linkname is not None or d.linksection is not None:
            self._report("MS0124", f"`{d.name}` is local; `linkname` and `linksection` are for globals", d.name_span)
        return d

    def item_export(self, c: list) -> Any:
        node = c[1]
        node.span = Span(self.file, c[0][2], node.span.end)
        node.export = True
        if type(node) is ast.Decl:
            self._check_decl(node)
            if node.kind in ("param", "color") or node.comptime:
                self._report("MS0127", f"`{'comptime ' * node.comptime}{node.kind}` cannot be exported", self._at(c[0]))
        else:
            self._check_fn(node)
        return node

    def item_extern(self, c: list) -> Any:
        node = c[1]
        node.span = Span(self.file, c[0][2], node.span.end)
        node.extern = True
        if type(node) is ast.Decl:
            self._check_decl(node)
        else:
            self._check_fn(node)
        return node

    def item_inline(self, c: list) -> ast.FnDecl:
        node = c[1]
        node.span = Span(self.file, c[0][2], node.span.end)
        node.inline = True
        self._check_fn(node)
        return node

    def item_export_inline(self, c: list) -> ast.FnDecl:
        self._report("MS0127", "an `inline` function has no address and cannot be exported", self._at(c[0]))
        return self.item_inline(c[1:])

    def item_noinline(self, c: list) -> ast.FnDecl:
        node = c[1]
        node.span = Span(self.file, c[0][2], node.span.end)
        node.noinline = True
        self._check_fn(node)
        return node

    def item_export_noinline(self, c: list) -> ast.FnDecl:
        c[2].noinline = True
        return self.item_export([c[0], c[2]])

    def fn_head(self, c: list) -> ast.FnDecl:
        kw, name, params = c[0], c[1], c[3]
        attrs, ret = c[5], None
        last: Any = c[4]
        if len(c) == 8:
            ret = last = c[6]
            attrs = attrs + c[7]
        if attrs:
            last = max((last, *attrs), key=_finish)
        node = ast.FnDecl(
            Span(self.file, kw[2], _finish(last)), name[1], self._at(name), params, ret, None, is_task=kw[0] == "TASK"
        )
        self._set_attrs(node, attrs)
        if ret is None and not node.is_task:
            self._report(
                "MS0115",
                f"`fn {name[1]}` needs a return type",
                Span(self.file, c[4][2], c[4][3]),
                f"write it behind the parentheses: `fn {name[1]}(...) void`",
            )
        return node

    def fn_body(self, c: list) -> ast.FnDecl:
        c[0].body = c[1]
        c[0].span = self._span(c)
        return c[0]

    def fn_nobody(self, c: list) -> ast.FnDecl:
        return c[0]

    def _check_fn(self, f: ast.FnDecl) -> None:
        word = "task" if f.is_task else "fn"
        if f.extern and f.body is not None:
            self._report(
                "MS0127",
                f"`extern {word} {f.name}` cannot have a body",
                f.name_span,
                "end the declaration with `;`, or write `export` to define it here",
            )
        elif not f.extern and f.body is None:
            self._report(
                "MS0127",
                f"`{word} {f.name}` has no body",
                f.name_span,
                "write the body in braces; only `extern` declarations go without",
            )
        if f.is_task and f.inline:
            self._report("MS0127", "a task cannot be `inline`: only the hardware starts it", f.name_span)

    def item_fn(self, c: list) -> ast.FnDecl:
        self._check_fn(c[0])
        return c[0]

    def fn_param(self, c: list) -> ast.Param:
        return ast.Param(self._span(c), c[0][1], c[2])

    def fn_param_any(self, c: list) -> ast.Param:
        return ast.Param(self._span(c), c[0][1], None)

    def fn_param_comptime(self, c: list) -> ast.Param:
        return ast.Param(self._span(c), c[1][1], c[3], comptime=True)

    def fn_param_any_comptime(self, c: list) -> ast.Param:
        return ast.Param(self._span(c), c[1][1], None, comptime=True)

    def comptime_block(self, c: list) -> ast.ComptimeBlock:
        return ast.ComptimeBlock(self._span(c), c[1])

    def comptime_stmt(self, c: list) -> ast.ComptimeBlock:
        """`comptime if (...) ...` and the like: the statement, all of it at compile time."""
        return ast.ComptimeBlock(self._span(c), ast.Block(c[1].span, [c[1]]))

    def layout_block(self, c: list) -> ast.LayoutBlock:
        return ast.LayoutBlock(self._span(c), c[1])

    # ------------------------------------------------------------ statements

    def block(self, c: list) -> ast.Block:
        return ast.Block(self._span(c), c[1])

    def labelled_block(self, c: list) -> ast.Block:
        return ast.Block(self._span(c), c[2].stmts, c[0][1])

    def block_expr(self, c: list) -> Any:
        return c[0] if c[0].stmts else ast.VoidLit(c[0].span)

    def simple_stmt(self, c: list) -> Any:
        return c[0]

    def expr_stmt(self, c: list) -> ast.ExprStmt:
        return ast.ExprStmt(c[0].span, c[0])

    def assign(self, c: list) -> ast.Assign:
        target = c[0]
        field = isinstance(target, ast.BuiltinCall) and target.name == "field"  # @field(s, "name") = value;
        if type(target) not in (ast.Ident, ast.Index, ast.Field, ast.Deref) and not field:
            self._report(
                "MS0126", "only a variable, an element, a field or `pointer.*` can be assigned to", target.span
            )
        return ast.Assign(self._span(c), target, c[1][1], c[2])

    def branch_assign(self, c: list) -> ast.Assign:
        return self.assign([self.chain_end([c[0]]), c[1], c[2]])

    def jump_break(self, c: list) -> ast.Break:
        return ast.Break(self._span(c), c[2][1] if len(c) > 2 else None, c[3] if len(c) > 3 else None)

    def jump_continue(self, c: list) -> ast.Continue:
        return ast.Continue(self._span(c), c[2][1] if len(c) > 2 else None)

    def jump_return(self, c: list) -> ast.Return:
        return ast.Return(self._span(c), c[1] if len(c) > 1 else None)

    def if_head(self, c: list) -> tuple:
        return ("IF", c[2], c[0][2], c[3][3])

    def if_stmt(self, c: list) -> ast.If:
        return ast.If(self._span(c), c[0][1], c[1])

    def if_stmt_else(self, c: list) -> ast.If:
        if isinstance(c[1], (ast.Assign, ast.ExprStmt, ast.Break, ast.Continue, ast.Return)):
            self._report(
                "MS0120",
                "no `;` in front of `else`",
                Span(self.file, c[1].span.end, c[1].span.end + 1),
                "remove the `;`, or put the statement in braces",
                [Label(self._at(c[2]), "this `else` belongs to the `if` before it")],
            )
        return ast.If(self._span(c), c[0][1], c[1], c[3])

    def if_simple_else(self, c: list) -> ast.If:
        return ast.If(self._span(c), c[0][1], c[1], c[3])

    def for_head(self, c: list) -> ast.For:
        return ast.For(self._span(c), c[2], c[5][1], c[7][1] if len(c) > 7 else None, None)  # type: ignore[arg-type]

    def while_head(self, c: list) -> ast.While:
        cont = c[6] if len(c) > 4 else None
        if cont is not None and not isinstance(cont, (ast.Assign, ast.ExprStmt)):
            self._report("MS0102", "the continue part of `while` must be an assignment or a call", cont.span)
        return ast.While(self._span(c), c[2], cont, None)  # type: ignore[arg-type]

    def loop_head_inline(self, c: list) -> Any:
        c[1].inline = True
        c[1].span = self._span(c)
        return c[1]

    def loop(self, c: list) -> Any:
        c[0].body = _unvoid(c[1])
        c[0].span = self._span(c)
        return c[0]

    def labelled_loop(self, c: list) -> Any:
        loop = c[2]
        loop.body = _unvoid(c[3])
        loop.label = c[0][1]
        loop.span = self._span(c)
        return loop

    def switch_empty(self, c: list) -> ast.Switch:
        return ast.Switch(self._span(c), c[2], [])

    def switch(self, c: list) -> ast.Switch:
        return ast.Switch(self._span(c), c[2], c[5])

    def prong(self, c: list) -> ast.Prong:
        return ast.Prong(Span(self.file, _begin(c[0][0]), _finish(c[-1])), c[0], _unvoid(c[-1]))

    def prong_else(self, c: list) -> ast.Prong:
        return ast.Prong(self._span(c), [], _unvoid(c[2]))

    def branch(self, c: list) -> Any:
        return c[0]

    # ------------------------------------------------------------ expressions

    def chain_end(self, c: list) -> Any:
        chain = c[0]
        return chain[0] if len(chain) == 1 else self._climb(chain)

    def chain_tail(self, c: list) -> Any:
        c[0].append(c[1])
        return self._climb(c[0])

    def _climb(self, chain: list) -> Any:
        """Resolve `a op b op c ...` by precedence: operator stack and operand stack."""
        operands = [chain[0]]
        ops: list[tuple] = []
        for i in range(1, len(chain), 2):
            op = chain[i]
            level = PRECEDENCE[op[1]]
            while ops and PRECEDENCE[ops[-1][1]] >= level:
                if level == COMPARISON and PRECEDENCE[ops[-1][1]] == level:
                    self._report(
                        "MS0110",
                        f"comparisons do not chain: `{ops[-1][1]}` and `{op[1]}`",
                        self._at(op),
                        "join two comparisons with `and`, or put parentheses around one",
                        [Label(self._at(ops[-1]), "the first comparison")],
                    )
                self._fold(operands, ops)
            ops.append(op)
            operands.append(chain[i + 1])
        while ops:
            self._fold(operands, ops)
        return operands[0]

    def _fold(self, operands: list, ops: list[tuple]) -> None:
        right = operands.pop()
        left = operands[-1]
        operands[-1] = ast.Binary(Span(self.file, left.span.start, right.span.end), ops.pop()[1], left, right)

    def if_expr(self, c: list) -> ast.If:
        return ast.If(self._span(c), c[0][1], _unvoid(c[1]))

    def if_expr_else(self, c: list) -> ast.If:
        return ast.If(self._span(c), c[0][1], _unvoid(c[1]), _unvoid(c[3]))

    def tensor_access(self, c: list) -> ast.TensorAccess:
        target: Any = c[7]
        indices: list = []
        if type(target) is ast.Index:
            target, indices = target.base, target.indices
        else:
            self._report(
                "MS0128", "a tensor access ends in the indices of an array", target.span, "write `|i| {n} -> array[i]`"
            )
        return ast.TensorAccess(self._span(c), [v[1] for v in c[1]], c[4], target, indices)

    def unary(self, c: list) -> ast.Unary:
        return ast.Unary(self._span(c), c[0][1], c[1])

    def addr_of(self, c: list) -> ast.AddrOf:
        return ast.AddrOf(self._span(c), c[1])

    def comptime_expr(self, c: list) -> ast.ComptimeExpr:
        return ast.ComptimeExpr(self._span(c), c[1])

    def index(self, c: list) -> ast.Index:
        return ast.Index(self._span(c), c[0], c[2])

    def field(self, c: list) -> ast.Field:
        return ast.Field(self._span(c), c[0], c[2][1], self._at(c[2]))

    def deref(self, c: list) -> ast.Deref:
        return ast.Deref(self._span(c), c[0])

    def call(self, c: list) -> ast.Call:
        return ast.Call(self._span(c), c[0], c[2] if len(c) > 3 else [])

    def builtin(self, c: list) -> ast.BuiltinCall:
        return ast.BuiltinCall(self._span(c), c[0][1][1:], self._at(c[0]), c[2] if len(c) > 3 else [])

    def paren(self, c: list) -> Any:
        c[1].span = self._span(c)
        return c[1]

    # ------------------------------------------------------------ literals

    def ident(self, c: list) -> ast.Ident:
        name = c[0][1]
        if name in ABSENT_VALUES:
            self._report("MS0119", f"there is no `{name}` in the language", self._at(c[0]), ABSENT_VALUES[name])
        return ast.Ident(self._at(c[0]), name)

    def int_lit(self, c: list) -> ast.IntLit:
        digits = c[0][1].replace("_", "")
        if digits[:2] in ("0x", "0b", "0o"):
            if len(digits) > 2:
                return ast.IntLit(self._at(c[0]), int(digits, 0))
            self._report("MS0108", f"`{c[0][1]}` has no digits", self._at(c[0]))
            return ast.IntLit(self._at(c[0]), 0)
        if len(digits) > 4000:  # Python refuses longer ones, and no machine has such a number
            self._report("MS0108", "this number is too long", self._at(c[0]))
            digits = "0"
        return ast.IntLit(self._at(c[0]), int(digits))

    def float_lit(self, c: list) -> ast.FloatLit:
        return ast.FloatLit(self._at(c[0]), float(c[0][1]))

    def bool_lit(self, c: list) -> ast.BoolLit:
        return ast.BoolLit(self._at(c[0]), c[0][0] == "TRUE")

    def string_lit(self, c: list) -> ast.StringLit:
        return ast.StringLit(self._at(c[0]), self._unescape(c[0]))

    def char_lit(self, c: list) -> ast.IntLit:
        value = self._unescape(c[0])
        number = ord(value[0]) if value else 0
        return ast.IntLit(self._at(c[0]), number - _BYTE if _BYTE <= number <= _BYTE + 0xFF else number)

    def _unescape(self, token: tuple) -> str:
        body = token[1][1:-1]
        if "\\" not in body:
            return body

        def resolve(m: re.Match[str]) -> str:
            code = m.group(1)
            if len(code) > 1:
                number = int(code.strip("xu{}"), 16)
                if code[0] == "x" and number > 0x7F:
                    return chr(_BYTE + number)
                if number < 0x110000 and not 0xD800 <= number < 0xE000:
                    return chr(number)
            elif code in _ESCAPES:
                return _ESCAPES[code]
            at = token[2] + 1 + m.start()
            help = (
                "a byte is written with two hexadecimal digits: `\\x0a`"
                if code == "x"
                else ("known escapes: \\n \\r \\t \\\\ \\' \\\" \\0 \\xNN")
            )
            self._report("MS0109", f"unknown escape `{m.group(0)}`", Span(self.file, at, at + len(m.group(0))), help)
            return ""

        value = _ESCAPE.sub(resolve, body)
        return value if value.isascii() or len(value) == 1 else from_bytes(to_bytes(value))

    def asm(self, c: list) -> ast.Asm:
        return ast.Asm(self._at(c[0]), c[0][1])

    def inits_values(self, c: list) -> list:
        return c[0]

    def inits_fields(self, c: list) -> list:
        return c[0]

    def field_init(self, c: list) -> ast.FieldInit:
        return ast.FieldInit(self._span(c), c[1][1], c[3])

    def anon_empty(self, c: list) -> ast.StructLit:
        return ast.StructLit(self._span(c), None, [])

    def anon(self, c: list) -> Any:
        if type(c[1][0]) is ast.FieldInit:
            return ast.StructLit(self._span(c), None, c[1])
        return ast.TupleLit(self._span(c), c[1])

    def literal_empty(self, c: list) -> Any:
        if type(c[0]) is ast.ArrayType:
            return ast.ArrayLit(self._span(c), c[0], [])
        return ast.StructLit(self._span(c), c[0], [])

    def literal(self, c: list) -> Any:
        if type(c[2][0]) is ast.FieldInit:
            return ast.StructLit(self._span(c), c[0], c[2])
        return ast.ArrayLit(self._span(c), c[0], c[2])

    # ------------------------------------------------------------ types

    def ptr_type(self, c: list) -> ast.PtrType:
        align = next((x.value for x in c if type(x) is Attr), None)
        const = any(type(x) is tuple and x[0] == "CONST" for x in c)
        return ast.PtrType(self._span(c), False, const, c[-1], align)

    def many_ptr_type(self, c: list) -> ast.PtrType:
        align = next((x.value for x in c if type(x) is Attr), None)
        const = any(type(x) is tuple and x[0] == "CONST" for x in c)
        return ast.PtrType(self._span(c), True, const, c[-1], align)

    def array_type(self, c: list) -> ast.ArrayType:
        return ast.ArrayType(self._span(c), c[1], c[3])

    def fn_type_empty(self, c: list) -> ast.FnType:
        return ast.FnType(self._span(c), [], c[3], c[0][0] == "TASK")

    def fn_type(self, c: list) -> ast.FnType:
        return ast.FnType(self._span(c), c[2], c[-1], c[0][0] == "TASK")

    def struct_type(self, c: list) -> ast.StructType:
        return ast.StructType(self._span(c), c[-2], c[0][1] if len(c) > 4 else "")

    def union_type(self, c: list) -> ast.UnionType:
        return ast.UnionType(self._span(c), c[-2], c[0][1] if len(c) > 4 else "")

    def field_decl(self, c: list) -> ast.FieldDecl:
        return ast.FieldDecl(Span(self.file, c[0][2], _finish(c[3] or c[2])), c[0][1], c[2], c[3])

    def field_nameless(self, c: list) -> ast.FieldDecl:
        return ast.FieldDecl(c[0].span, None, c[0])

    def enum_type(self, c: list) -> ast.EnumType:
        return ast.EnumType(self._span(c), c[2] if len(c) > 4 else None, c[-2])

    def member(self, c: list) -> ast.EnumMember:
        return ast.EnumMember(self._span(c), c[0][1], c[2] if len(c) > 1 else None)


def _unvoid(node: Any) -> Any:
    """`{}` as a branch or body is an empty block, not the void value."""
    return ast.Block(node.span, []) if type(node) is ast.VoidLit else node
