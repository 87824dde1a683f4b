"""Arithmetic of a vendor script as in NumPy 1, with any NumPy.

Published host scripts were written for NumPy 1, where `np.uint16(x) << 16` is an int64. NumPy 2 (NEP 50) makes it a uint16, which
is 0: a cycle count put together from 16-bit words silently loses all above 65,535. So the operators of a script, and of the modules that lie
beside it, are compiled as calls of `calculate` below. It hands NumPy the types that NumPy 1 would have computed with, and
leaves everything that is no NumPy number alone. Calls of NumPy's functions (`np.add(a, b)`) are NumPy's own affair, but for those of numpy_1.py.
"""

from __future__ import annotations

import ast
import importlib.machinery
import operator
import site
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import CodeType
from typing import Any

import numpy as np

from . import numpy_1

NEEDED = int(np.__version__.split(".")[0]) >= 2
PYTHON_NUMBERS = (int, float, complex)
_NUMBERS = (*PYTHON_NUMBERS, np.generic, np.ndarray)
_CATEGORY = {"b": 0, "u": 1, "i": 1, "f": 2, "c": 2}  # scalars of a higher one than the array's widen it

_BINARY: dict[type[ast.operator], str] = {
    ast.Add: "add",
    ast.Sub: "sub",
    ast.Mult: "mul",
    ast.Div: "truediv",
    ast.FloorDiv: "floordiv",
    ast.Mod: "mod",
    ast.Pow: "pow",
    ast.LShift: "lshift",
    ast.RShift: "rshift",
    ast.BitOr: "or_",
    ast.BitXor: "xor",
    ast.BitAnd: "and_",
}
_COMPARE: dict[type[ast.cmpop], str] = {
    ast.Eq: "eq",
    ast.NotEq: "ne",
    ast.Lt: "lt",
    ast.LtE: "le",
    ast.Gt: "gt",
    ast.GtE: "ge",
}
_BITS = {"lshift", "rshift", "or_", "xor", "and_", "ilshift", "irshift", "ior", "ixor", "iand"}
_COMMON = {
    "add",
    "sub",
    "mul",
    *_COMPARE.values(),
}  # these look for a common type, the others for the first one that fits
NAME = "__as_numpy_1__"  # `calculate`, in the script's globals
CALLS = "__of_numpy_1__"  # the module numpy_1, there


# ---------------------------------------------------------------- what the operators of a script become


def calculate(name: str, a: Any, b: Any) -> Any:
    """`operator.NAME(a, b)` of a script: a binary operator, one in place, or a comparison."""
    if name == "mod" and isinstance(a, (str, bytes)):
        return numpy_1.formatted(a, b)
    if isinstance(a, _NUMBERS) and isinstance(b, _NUMBERS) and (_of_numpy(a) or _of_numpy(b)):
        a, b = _as_before(name, a, b)
    return getattr(operator, name)(a, b)


def _of_numpy(x: Any) -> bool:
    return isinstance(x, (np.generic, np.ndarray)) and x.dtype.kind in _CATEGORY


def _as_before(name: str, a: Any, b: Any) -> tuple[Any, Any]:
    """The operands with the types of NumPy 1."""
    if any(isinstance(x, (np.generic, np.ndarray)) and not _of_numpy(x) for x in (a, b)):
        return a, b  # dates, strings, objects
    many = [isinstance(x, np.ndarray) and x.ndim > 0 for x in (a, b)]
    if all(many):
        return a, b
    if not any(many):
        return _strong(name, a, b), _strong(name, b, a)
    if many[0]:
        return a, _beside_array(name, a, b)
    return _beside_array(name, b, a), b


def _strong(name: str, x: Any, other: Any) -> Any:
    """A Python number beside a scalar of NumPy has a type of its own: int64, float64, complex128."""
    if type(x) not in PYTHON_NUMBERS:  # bool is one of NumPy's types in all versions
        return x
    if isinstance(x, int):
        if name in _BITS and other.dtype == np.uint64:
            return x  # a TypeError in NumPy 1: there is no type for both
        for kind in (np.int64, np.uint64):
            if np.iinfo(kind).min <= x <= np.iinfo(kind).max:
                return kind(x)
        return x
    return np.float64(x) if isinstance(x, float) else np.complex128(x)


def _beside_array(name: str, array: Any, x: Any) -> Any:
    """A scalar beside an array widens it only if it is of another category, or if its value does not fit."""
    scalar: Any = x if isinstance(x, (np.generic, np.ndarray)) else np.asarray(x)
    if scalar.dtype.kind not in _CATEGORY:
        return x  # a Python int of more than 64 bits
    if _CATEGORY[scalar.dtype.kind] > _CATEGORY[array.dtype.kind]:
        return scalar.astype(np.promote_types(array.dtype, scalar.dtype))[()]
    smallest = np.min_scalar_type(scalar[()])
    wider = smallest.itemsize > array.dtype.itemsize and name.lstrip("i") not in _COMMON
    if smallest.kind == "u" and (array.dtype.kind != "u" or wider):
        # the signed type of the same size, where it is enough
        signed = np.dtype(f"i{smallest.itemsize}")
        if scalar <= np.iinfo(signed).max:
            smallest = signed
    return scalar.astype(np.promote_types(array.dtype, smallest))[()]


# ---------------------------------------------------------------- how a script is compiled


def compiled(source: str | bytes, path: str) -> CodeType:
    """A script or module, with its operators as in NumPy 1. Its code finds them under NAME among its globals."""
    tree = ast.parse(source, path)
    if NEEDED:
        tree = ast.fix_missing_locations(_Operators().visit(tree))
        at = 0
        body = tree.body
        if body and isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant):
            at = 1  # the doc string stays the first
        while at < len(body) and isinstance(body[at], ast.ImportFrom) and body[at].module == "__future__":  # type: ignore[attr-defined]
            at += 1
        package = __name__.rpartition(".")[0]
        first = ast.parse(f"from {__name__} import calculate as {NAME}; from {package} import numpy_1 as {CALLS}").body
        body[at:at] = first
    return compile(tree, path, "exec", dont_inherit=True)


def _simple(node: ast.expr) -> bool:
    """May the expression be evaluated twice?"""
    if isinstance(node, (ast.Name, ast.Constant)):
        return True
    if isinstance(node, ast.Attribute):
        return _simple(node.value)
    if isinstance(node, ast.Subscript):
        return _simple(node.value) and _simple(node.slice)
    if isinstance(node, ast.BinOp):
        return _simple(node.left) and _simple(node.right)
    if isinstance(node, ast.UnaryOp):
        return _simple(node.operand)
    if isinstance(node, ast.Tuple):
        return all(_simple(e) for e in node.elts)
    if isinstance(node, ast.Slice):
        return all(e is None or _simple(e) for e in (node.lower, node.upper, node.step))
    return False


class _Operators(ast.NodeTransformer):
    """`a + b` becomes `calculate("add", a, b)`; calls and assignments that NumPy 1 understood otherwise go through
    numpy_1.

    What stays: constants among each other; chains of comparisons, and assignments in place to a target that must be
    evaluated once (`f(x)[0] += 1`).
    """

    def _call(self, name: str, a: ast.expr, b: ast.expr, at: ast.expr | ast.stmt) -> ast.expr:
        call = ast.Call(ast.Name(NAME, ast.Load()), [ast.Constant(name), a, b], [])
        return ast.copy_location(call, at)

    def visit_BinOp(self, node: ast.BinOp) -> ast.expr:
        self.generic_visit(node)
        name = _BINARY.get(type(node.op))
        if name is None or isinstance(node.left, ast.Constant) and isinstance(node.right, ast.Constant):
            return node
        return self._call(name, node.left, node.right, node)

    def visit_Compare(self, node: ast.Compare) -> ast.expr:
        self.generic_visit(node)
        name = _COMPARE.get(type(node.ops[0]))
        if name is None or len(node.ops) != 1:
            return node
        return self._call(name, node.left, node.comparators[0], node)

    def _of_numpy_1(self, name: str, args: list[ast.expr], node: ast.expr, call: ast.Call | None = None) -> ast.expr:
        function = ast.Attribute(ast.Name(CALLS, ast.Load()), name, ast.Load())
        args = args + (call.args if call else [])
        return ast.copy_location(ast.Call(function, args, call.keywords if call else []), node)

    def visit_Call(self, node: ast.Call) -> ast.expr:
        self.generic_visit(node)
        function = node.func
        if isinstance(function, ast.Name):
            one = len(node.args) == 1 and not node.keywords and not isinstance(node.args[0], ast.Starred)
            if function.id in numpy_1.NUMBERS and one:
                return self._of_numpy_1("number", [function], node, node)
            if function.id in numpy_1.MAKERS:  # from numpy import uint16
                return self._of_numpy_1("make", [function], node, node)
        elif isinstance(function, ast.Attribute):
            if function.attr in numpy_1.METHODS:
                return self._of_numpy_1("method", [function.value, ast.Constant(function.attr)], node, node)
            if function.attr in numpy_1.MAKERS:
                return self._of_numpy_1("make", [function], node, node)
        return node

    def visit_Assign(self, node: ast.Assign) -> ast.stmt:
        target = node.targets[0]
        fits = None
        if len(node.targets) == 1 and isinstance(target, ast.Subscript) and _simple(target.value):
            fits = self._again(target.value)
        self.generic_visit(node)
        if fits is not None:
            node.value = self._of_numpy_1("fitting", [node.value, fits], node.value)
        return node

    @staticmethod
    def _again(node: ast.expr) -> ast.expr:
        """A copy, to be evaluated: one node may not stand at two places."""
        copy = ast.parse(ast.unparse(node), mode="eval").body
        for part in ast.walk(copy):
            ast.copy_location(part, node)
        return copy

    def visit_AugAssign(self, node: ast.AugAssign) -> ast.stmt:
        name = _BINARY.get(type(node.op))
        if name is None or not _simple(node.target):
            self.generic_visit(node)
            return node
        old = self._again(node.target)
        self.generic_visit(node)
        value = self._call("i" + name.rstrip("_"), self.visit(old), node.value, node)
        return ast.copy_location(ast.Assign([node.target], value), node)


# ---------------------------------------------------------------- the modules of a script


class _Loader(importlib.machinery.SourceFileLoader):
    """Compiles a module of the script; keeps nothing in __pycache__, where other Pythons would find it."""

    def path_stats(self, path: Any) -> Any:
        raise OSError

    def source_to_code(self, data: Any, path: Any, *, _optimize: int = -1) -> CodeType:  # type: ignore[override]
        return compiled(data, str(path))


class _Finder:
    """Finds what Python finds, and takes over source files that belong to no installation."""

    def __init__(self) -> None:
        from meshlang.paths import PACKAGE, sdk_site_dir

        installed = {*sysconfig.get_paths().values(), *site.getsitepackages(), site.getusersitepackages()}
        self.others = [Path(p).resolve() for p in installed] + [PACKAGE.resolve(), sdk_site_dir().resolve()]

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> importlib.machinery.ModuleSpec | None:
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is None or type(spec.loader) is not importlib.machinery.SourceFileLoader or spec.origin is None:
            return None
        place = Path(spec.origin).resolve()
        if any(place.is_relative_to(other) for other in self.others):
            return None
        spec.loader = _Loader(spec.loader.name, spec.loader.path)
        spec.cached = None
        return spec


@contextmanager
def modules_of_the_script() -> Iterator[None]:
    """While it is open, modules that are no installed ones are compiled with `compiled`."""
    if not NEEDED:
        with numpy_1.names():
            yield
        return
    finder = _Finder()
    sys.meta_path.insert(0, finder)  # type: ignore[arg-type]
    try:
        with numpy_1.names():
            yield
    finally:
        sys.meta_path.remove(finder)  # type: ignore[arg-type]
