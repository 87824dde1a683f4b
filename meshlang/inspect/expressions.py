"""Expressions of the language over the global variables of one PE: literals, variables, indices, arithmetic,
comparisons."""

from __future__ import annotations

import math
import operator
from typing import TYPE_CHECKING, Any

import numpy as np

from meshlang.diag import Diagnostic, MeshlangError
from meshlang.syntax import ast
from meshlang.syntax.parser import parse_expression

from . import names
from .mistakes import mistake
from .values import dtype_for, is_pointer, object_value, shape_and_element

if TYPE_CHECKING:
    from meshlang.fabric.machine import Machine
    from meshlang.ir.program import TileProgram

_OPERATORS = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "&": operator.and_,
    "|": operator.or_,
    "^": operator.xor,
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "<<": operator.lshift,
    ">>": operator.rshift,
}


def parse(text: str) -> ast.Expr:
    """One expression; syntax errors are MeshlangErrors with a caret."""
    if not text.strip():
        raise mistake("an expression is missing", help="for example: print A[3] + x @ 2,1")
    return parse_expression(text)


class Evaluator:
    """Evaluates expressions on one PE. Integers are exact (they do not wrap), floats are computed in double
    precision."""

    def __init__(self, machine: Machine, x: int, y: int):
        self.machine = machine
        self.pe = machine.pe(x, y)
        tile = names.tile_of(machine, self.pe)
        if tile is None:
            raise mistake(f"PE {x},{y} has no code, so it has no variables", code="MS0941")
        self.tile: TileProgram = tile

    def value(self, node: Any) -> Any:
        """A Python number, bool, or numpy array."""
        if isinstance(node, (ast.IntLit, ast.FloatLit, ast.BoolLit)):
            return node.value
        if isinstance(node, ast.Ident):
            return self._variable(node.name)
        if isinstance(node, ast.Field):
            return self._variable(self._path(node))
        if isinstance(node, ast.Unary):
            v = self.value(node.operand)
            return -v if node.op == "-" else ~v if node.op == "~" else not v
        if isinstance(node, ast.Binary):
            return self._binary(node)
        if isinstance(node, ast.Index):
            return self._index(node)
        if isinstance(node, ast.Deref):
            return self._pointed(node.operand, 1)[0]
        what = "a builtin" if isinstance(node, ast.BuiltinCall) else "a call" if isinstance(node, ast.Call) else "this"
        raise self._refuse(
            node, f"{what} is not possible here", "literals, global variables, indices, arithmetic and comparisons are"
        )

    @staticmethod
    def _refuse(node: Any, message: str, help: str | None = None) -> Exception:
        return MeshlangError(Diagnostic("MS0941", message, span=node.span, help=help), exit_code=2)

    def _path(self, node: Any) -> str:
        if isinstance(node, ast.Ident):
            return node.name
        if isinstance(node, ast.Field):
            return f"{self._path(node.base)}.{node.name}"
        raise self._refuse(node, "only names can be qualified")

    def _variable(self, name: str) -> Any:
        value = object_value(self.machine, self.pe, names.find_variable(self.tile, name))
        return value.item() if value.ndim == 0 else value

    def _binary(self, node: Any) -> Any:
        left = self.value(node.left)
        if node.op in ("and", "or"):
            return bool(left and self.value(node.right)) if node.op == "and" else bool(left or self.value(node.right))
        right = self.value(node.right)
        if isinstance(left, np.ndarray) and left.dtype.kind == "f":
            left = left.astype(np.float64)
        if isinstance(right, np.ndarray) and right.dtype.kind == "f":
            right = right.astype(np.float64)
        try:
            if node.op in "/%":
                return self._divide(node.op, left, right)
            if node.op in ("<<", ">>") and not 0 <= np.max(right) < 64:
                raise self._refuse(node.right, f"a shift by {right} is outside 0 to 63")
            with np.errstate(all="ignore"):
                value = _OPERATORS[node.op](left, right)
            if type(value) is int and value.bit_length() > 256:  # nobody's variable, and too long to print
                raise self._refuse(node, "the value is too large")
            return value
        except ZeroDivisionError:
            raise self._refuse(node, "division by zero") from None
        except (TypeError, ValueError, OverflowError) as error:
            raise self._refuse(node, f"`{node.op}` is not possible on these values: {error}") from None

    @staticmethod
    def _divide(op: str, left: Any, right: Any) -> Any:
        if isinstance(left, int) and isinstance(right, int):
            # towards zero, as in the language
            quotient = abs(left) // abs(right) * (1 if (left < 0) == (right < 0) else -1)
            return quotient if op == "/" else left - quotient * right
        return left / right if op == "/" else math.fmod(left, right)

    def _index(self, node: Any) -> Any:
        index = [self.value(i) for i in node.indices]
        if not all(isinstance(i, int) and not isinstance(i, bool) for i in index):
            raise self._refuse(node, "an index must be an integer")
        if isinstance(node.base, (ast.Ident, ast.Field)):
            obj = names.find_variable(self.tile, self._path(node.base))
            if is_pointer(obj.type):
                if len(index) != 1:
                    raise self._refuse(node, "a pointer takes one index")
                return self._pointed(node.base, index[0] + 1)[index[0]]
        base = self.value(node.base)
        if not isinstance(base, np.ndarray) or len(index) > base.ndim:
            raise self._refuse(node, "this has no such index")
        for i, n in zip(index, base.shape):
            if not 0 <= i < n:
                raise self._refuse(node, f"index {i} is outside an array of {n} elements")
        value = base[tuple(index)]
        return value.item() if value.ndim == 0 else value

    def _pointed(self, node: Any, count: int) -> list[Any]:
        """The first `count` elements a pointer variable points to."""
        obj = names.find_variable(self.tile, self._path(node))
        if not is_pointer(obj.type):
            raise self._refuse(node, f"{obj.name} is {obj.type}, no pointer")
        address = int(object_value(self.machine, self.pe, obj))
        target = names.object_at(self.tile, address)
        element = obj.type.rpartition("*]" if obj.type.startswith("[*]") else "*")[2].removeprefix("const ").strip()
        _, kind = shape_and_element(target.type if target is not None else element)
        size = np.dtype(
            dtype_for(
                kind, {"f32": 4, "i32": 4, "u32": 4, "u8": 1, "i8": 1, "bool": 1, "i64": 8, "u64": 8}.get(kind, 2)
            )
        )
        if target is None or count < 1 or address + count * size.itemsize > target.address + target.size:
            raise self._refuse(
                node, f"{obj.name} points to {names.address_name(self.tile, address)}; that element is outside it"
            )
        x, y = self.pe % self.machine.width, self.pe // self.machine.width
        raw = self.machine.read_bytes(x, y, 1, 1, address, count * size.itemsize).reshape(-1)
        return np.ascontiguousarray(raw).view(size).tolist()


def evaluate(machine: Machine, x: int, y: int, node: ast.Expr) -> Any:
    return Evaluator(machine, x, y).value(node)
