"""What NumPy 1 has and NumPy 2 has not, for scripts of the vendor's SDK.

Published host scripts were written for the NumPy of their time: `np.float_`, `np.product` and `np.int` exist there, `np.uint16(-1)` is 65535, and an
array of one element is a number (`int(np.array([3]))`). promotion.py compiles a script so that its calls and assignments come here;
modules that are installed see NumPy as it is, but for names that it does not have.
"""

from __future__ import annotations

import builtins
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from typing import Any

import numpy as np

# methods of arrays that are gone; a script's call of one of these names comes to `method`
METHODS = ("itemset", "newbyteorder", "ptp", "tostring")
# functions whose integers need not fit, and those with arguments that have changed
_INTEGERS = tuple(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64))
MAKERS = (*_INTEGERS, "array", "asarray", "full", "full_like", "fill", "reshape", "fromstring")
# of Python: they take arrays of one element
NUMBERS = ("int", "float", "complex")


def _names() -> dict[str, Any]:
    inf, nan = math.inf, math.nan
    return {
        # of Python, up to 1.23
        "int": builtins.int,
        "float": builtins.float,
        "complex": builtins.complex,
        "object": builtins.object,
        "str": builtins.str,
        "bool": builtins.bool,
        "long": builtins.int,
        "unicode": builtins.str,
        "math": math,
        # types and constants
        "float_": np.float64,
        "complex_": np.complex128,
        "cfloat": np.complex128,
        "singlecomplex": np.complex64,
        "longfloat": np.longdouble,
        "string_": np.bytes_,
        "unicode_": np.str_,
        "bool8": np.bool_,
        "int0": np.intp,
        "uint0": np.uintp,
        **dict.fromkeys(("Inf", "Infinity", "infty", "PINF"), inf),
        **dict.fromkeys(("NaN", "NAN"), nan),
        "NINF": -inf,
        "PZERO": 0.0,
        "NZERO": -0.0,
        # functions
        "product": np.prod,
        "cumproduct": np.cumprod,
        "alltrue": np.all,
        "sometrue": np.any,
        "round_": np.round,
        "row_stack": np.vstack,
        "mat": np.asmatrix,
        "trapz": getattr(np, "trapezoid", None),
        "in1d": lambda a, b, assume_unique=False, invert=False: np.isin(
            np.ravel(a), b, assume_unique=assume_unique, invert=invert
        ),
        "msort": lambda a: np.sort(a, axis=0),
        "asscalar": lambda a: np.asarray(a).item(),
        "asfarray": lambda a, dtype=np.float64: np.asarray(
            a, dtype if np.issubdtype(dtype, np.inexact) else np.float64
        ),
        "find_common_type": lambda arrays, scalars: np.result_type(*map(np.dtype, arrays or scalars)),
    }


@contextmanager
def names() -> Iterator[None]:
    """While it is open, NumPy has the names that NumPy 1 had, and shows numbers in lists as it did: `[1]`, not `[np.int64(1)]`."""
    given = vars(np)
    added = {name: value for name, value in _names().items() if name not in given and value is not None}
    given.update(added)
    shown = nullcontext() if np.__version__.startswith("1.") else np.printoptions(legacy="1.25")
    try:
        with shown:
            yield
    finally:
        for name in added:
            del given[name]


# ---------------------------------------------------------------- what calls and assignments of a script become


def one(value: Any) -> Any:
    """An array of one element as the number it was."""
    return value.item() if isinstance(value, np.ndarray) and value.ndim and value.size == 1 else value


def number(kind: Callable[..., Any], value: Any) -> Any:
    """`int(value)`, `float(value)`, `complex(value)`."""
    return kind(one(value) if kind in (int, float, complex) else value)


def method(owner: Any, name: str, *args: Any, **keywords: Any) -> Any:
    """`owner.NAME(...)` of a method in METHODS."""
    if not isinstance(owner, (np.ndarray, np.generic)) or hasattr(owner, name):
        return getattr(owner, name)(*args, **keywords)
    if name == "tostring":
        return owner.tobytes(*args, **keywords)
    if name == "ptp":
        return np.ptp(owner, *args, **keywords)
    if name == "newbyteorder":
        return owner.view(owner.dtype.newbyteorder(*args, **keywords))
    np.asarray(owner)[args[0] if len(args) > 1 else ...] = args[-1]  # itemset
    return None


def make(function: Any, *args: Any, **keywords: Any) -> Any:
    """`np.NAME(...)`, or a method of an array, of a name in MAKERS."""
    if function is np.array and keywords.get("copy", True) is False:
        keywords["copy"] = None  # "if need be"
    elif function is np.reshape and "newshape" in keywords:
        keywords["shape"] = keywords.pop("newshape")
    elif function is np.fromstring and not (keywords.get("sep") or len(args) > 3):
        keywords.pop("sep", None)
        return np.frombuffer(*args, **keywords).copy()
    try:
        return function(*args, **keywords)
    except OverflowError:
        again = _wrapped(function, args, keywords)
        if again is None:
            raise
        return again()


def _wrapped(function: Any, args: tuple[Any, ...], keywords: dict[str, Any]) -> Callable[[], Any] | None:
    """The call with integers that wrap, if that is what it failed for."""

    def kind(position: int) -> np.dtype[Any] | None:
        with suppress(TypeError):
            dtype = np.dtype(keywords.get("dtype", args[position] if len(args) > position else None))
            return dtype if dtype.kind in "iu" and keywords.get("dtype", args[position:]) else None
        return None

    if isinstance(function, type) and issubclass(function, np.integer) and len(args) == 1:
        return lambda: _cast(args[0], np.dtype(function))[()]
    if function in (np.array, np.asarray) and args and kind(1) is not None:
        return lambda: _cast(args[0], kind(1))
    if function is np.full and len(args) > 1 and kind(2) is not None:
        return lambda: np.full(args[0], _cast(args[1], kind(2)), kind(2))
    if function is np.full_like and len(args) > 1:
        return lambda: np.full_like(args[0], fitting(args[1], args[0]))
    owner = getattr(function, "__self__", None)
    if isinstance(owner, np.ndarray) and function.__name__ == "fill":
        return lambda: owner.fill(fitting(args[0], owner))
    return None


def _cast(value: Any, dtype: Any) -> np.ndarray:
    """Python integers of any size, kept to the low bits of an integer type."""
    whole = np.array(value, dtype=object)
    low = np.array([int(v) & ((1 << 8 * dtype.itemsize) - 1) for v in whole.ravel()], f"u{dtype.itemsize}")
    return low.astype(dtype).reshape(whole.shape)


def fitting(value: Any, target: Any) -> Any:
    """What an assignment to an element or slice of `target` assigns."""
    if isinstance(target, np.ndarray) and target.dtype.kind in "iu":
        if type(value) is int:
            limits = np.iinfo(target.dtype)
            return value if limits.min <= value <= limits.max else _cast(value, target.dtype)[()]
        if isinstance(value, (list, tuple)):
            try:
                return np.array(value, target.dtype)
            except OverflowError:
                return _cast(value, target.dtype)
            except (TypeError, ValueError):
                return value
    return one(value) if isinstance(target, np.ndarray) and isinstance(value, np.ndarray) and value.size == 1 else value


def formatted(text: str | bytes, values: Any) -> Any:
    """`text % values`, where an array of one element may stand for a number."""
    try:
        return text % values
    except TypeError:
        return text % (tuple(map(one, values)) if isinstance(values, tuple) else one(values))
