"""The abstract syntax tree: plain dataclasses, every node with a span, nothing of lark in it.

Types are expressions (as in Zig): a type position holds an ordinary expression node. Statements that can
also stand as expressions (`if`, `switch`, labelled blocks) have one node for both uses.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from .source import Span


@dataclass(slots=True, eq=False)
class Node:
    span: Span


def children(node: Node) -> Iterator[Node]:
    """The nodes right below `node`, in textual order of their fields."""
    for slot in node.__slots__:
        child = getattr(node, slot)
        if isinstance(child, Node):
            yield child
        elif isinstance(child, list):
            yield from (c for c in child if isinstance(c, Node))


# ---------------------------------------------------------------- top level


@dataclass(slots=True, eq=False)
class Module(Node):
    """One source file. `items` keeps textual order."""

    items: list[Item]


@dataclass(slots=True, eq=False)
class Decl(Node):
    """A variable of any storage class, global or local.

    kind: "const", "var", "param" or "color" (the old `color name;` form).
    """

    kind: str
    name: str
    name_span: Span
    type: Expr | None = None
    init: Expr | None = None
    align: Expr | None = None
    linksection: Expr | None = None
    linkname: Expr | None = None
    export: bool = False
    extern: bool = False
    comptime: bool = False  # `comptime var`


@dataclass(slots=True, eq=False)
class Param(Node):
    """A function parameter. `type` is None for `anytype`."""

    name: str
    type: Expr | None
    comptime: bool = False


@dataclass(slots=True, eq=False)
class FnDecl(Node):
    """`fn` or `task`. `body` is None for `extern fn`; `ret` is None where the source omits it (void)."""

    name: str
    name_span: Span
    params: list[Param]
    ret: Expr | None
    body: Block | None
    is_task: bool = False
    inline: bool = False
    noinline: bool = False
    export: bool = False
    extern: bool = False
    linkname: Expr | None = None
    linksection: Expr | None = None


@dataclass(slots=True, eq=False)
class ComptimeBlock(Node):
    """`comptime { ... }`, at top level or as a statement."""

    body: Block


@dataclass(slots=True, eq=False)
class LayoutBlock(Node):
    body: Block


# ---------------------------------------------------------------- statements


@dataclass(slots=True, eq=False)
class Block(Node):
    """`{ ... }`, with a label when written `name: { ... }`. Also an expression."""

    stmts: list[Stmt]
    label: str | None = None


@dataclass(slots=True, eq=False)
class Assign(Node):
    """`target op value`; op is "=", "+=", "-=", ... `target` is the discard Ident `_` in `_ = x`."""

    target: Expr
    op: str
    value: Expr


@dataclass(slots=True, eq=False)
class ExprStmt(Node):
    expr: Expr


@dataclass(slots=True, eq=False)
class If(Node):
    """Statement or expression. The branches are any statement or expression node."""

    cond: Expr
    then: Node
    orelse: Node | None = None


@dataclass(slots=True, eq=False)
class While(Node):
    cond: Expr
    cont: Node | None  # Assign or ExprStmt of `: (...)`
    body: Node
    label: str | None = None
    inline: bool = False


@dataclass(slots=True, eq=False)
class For(Node):
    """`for (iter) |elem, index| body`. `elem` may be `_`; `index` is None if not captured."""

    iter: Expr
    elem: str
    index: str | None
    body: Node
    label: str | None = None
    inline: bool = False


@dataclass(slots=True, eq=False)
class Prong(Node):
    """One switch arm. `values` is empty for `else`."""

    values: list[Expr]
    body: Node


@dataclass(slots=True, eq=False)
class Switch(Node):
    value: Expr
    prongs: list[Prong]


@dataclass(slots=True, eq=False)
class Break(Node):
    label: str | None = None
    value: Expr | None = None


@dataclass(slots=True, eq=False)
class Continue(Node):
    label: str | None = None


@dataclass(slots=True, eq=False)
class Return(Node):
    value: Expr | None = None


# ---------------------------------------------------------------- expressions


@dataclass(slots=True, eq=False)
class IntLit(Node):
    """Decimal, 0x, 0b and character literals (`'a'` is its code point)."""

    value: int


@dataclass(slots=True, eq=False)
class FloatLit(Node):
    value: float


@dataclass(slots=True, eq=False)
class StringLit(Node):
    """A byte string; `value` has the escapes resolved, in the form of text.py."""

    value: str


@dataclass(slots=True, eq=False)
class BoolLit(Node):
    value: bool


@dataclass(slots=True, eq=False)
class VoidLit(Node):
    """`{}` in expression position: the value of type void."""


@dataclass(slots=True, eq=False)
class Ident(Node):
    name: str


@dataclass(slots=True, eq=False)
class Unary(Node):
    """op: "-", "~", "!"."""

    op: str
    operand: Expr


@dataclass(slots=True, eq=False)
class Binary(Node):
    """op: + - * / % << >> & | ^ == != < <= > >= and or."""

    op: str
    left: Expr
    right: Expr


@dataclass(slots=True, eq=False)
class AddrOf(Node):
    operand: Expr


@dataclass(slots=True, eq=False)
class Deref(Node):
    """`p.*`"""

    operand: Expr


@dataclass(slots=True, eq=False)
class Index(Node):
    """`a[i]`, `a[i, j]`"""

    base: Expr
    indices: list[Expr]


@dataclass(slots=True, eq=False)
class Field(Node):
    base: Expr
    name: str
    name_span: Span


@dataclass(slots=True, eq=False)
class Call(Node):
    callee: Expr
    args: list[Expr]


@dataclass(slots=True, eq=False)
class BuiltinCall(Node):
    """`@name(args)`; `name` without the `@`."""

    name: str
    name_span: Span
    args: list[Expr]


@dataclass(slots=True, eq=False)
class FieldInit(Node):
    name: str
    value: Expr


@dataclass(slots=True, eq=False)
class StructLit(Node):
    """`.{ .a = 1 }` (type is None) or `Name { .a = 1 }`. `.{}` and `Name {}` have no fields."""

    type: Expr | None
    fields: list[FieldInit]


@dataclass(slots=True, eq=False)
class TupleLit(Node):
    """`.{ a, b }`, at least one element."""

    elems: list[Expr]


@dataclass(slots=True, eq=False)
class ArrayLit(Node):
    """`[2, n]f32 { ... }`: flat, row-major."""

    type: ArrayType
    elems: list[Expr]


@dataclass(slots=True, eq=False)
class ComptimeExpr(Node):
    """`comptime expr`"""

    expr: Expr


@dataclass(slots=True, eq=False)
class TensorAccess(Node):
    """`|i, j| {n, m} -> A[i + j, 2 * i]`. `target` is the expression before the index bracket."""

    vars: list[str]
    lengths: list[Expr]
    target: Expr
    indices: list[Expr]


@dataclass(slots=True, eq=False)
class ArrayType(Node):
    """`[N, M]T`"""

    dims: list[Expr]
    elem: Expr


@dataclass(slots=True, eq=False)
class PtrType(Node):
    """`*T`, `*const T` (many=False); `[*]T`, `[*]const T` (many=True). `[*]align(N) T` keeps `align`."""

    many: bool
    const: bool
    elem: Expr
    align: Expr | None = None


@dataclass(slots=True, eq=False)
class FnType(Node):
    """`fn(T, U) R`, and `task(T) void`, the type of a task that is handed to a module."""

    params: list[Expr]
    ret: Expr
    is_task: bool = False


@dataclass(slots=True, eq=False)
class FieldDecl(Node):
    """A struct or union field; `name` is None for the nameless fields of a tuple type."""

    name: str | None
    type: Expr
    default: Expr | None = None


@dataclass(slots=True, eq=False)
class StructType(Node):
    """`struct { a: T, ... }`; layout: "", "packed" or "extern"."""

    fields: list[FieldDecl]
    layout: str = ""


@dataclass(slots=True, eq=False)
class UnionType(Node):
    fields: list[FieldDecl]
    layout: str = ""


@dataclass(slots=True, eq=False)
class EnumMember(Node):
    name: str
    value: Expr | None = None


@dataclass(slots=True, eq=False)
class EnumType(Node):
    base: Expr | None
    members: list[EnumMember] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class Asm(Node):
    """`asm volatile(...)`: parsed so that the message can name it, rejected by analysis."""

    text: str


Item = Decl | FnDecl | ComptimeBlock | LayoutBlock
Stmt = Decl | Assign | ExprStmt | If | While | For | Switch | Break | Continue | Return | Block | ComptimeBlock
Expr = (
    IntLit
    | FloatLit
    | StringLit
    | BoolLit
    | VoidLit
    | Ident
    | Unary
    | Binary
    | AddrOf
    | Deref
    | Index
    | Field
    | Call
    | BuiltinCall
    | StructLit
    | TupleLit
    | ArrayLit
    | ComptimeExpr
    | TensorAccess
    | ArrayType
    | PtrType
    | FnType
    | StructType
    | UnionType
    | EnumType
    | If
    | Switch
    | Block
    | Asm
)
