"""Names the host knows: exported data and functions, their types, and which PEs have them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from meshlang.diag import Diagnostic, MeshlangError, did_you_mean

if TYPE_CHECKING:
    from meshlang.ir.program import Export, Program

# element types of exports -> numpy; 16-bit floats other than f16 travel as their bits
DTYPES: dict[str, Any] = {
    "f16": np.float16,
    "f32": np.float32,
    "i8": np.int8,
    "u8": np.uint8,
    "i16": np.int16,
    "u16": np.uint16,
    "i32": np.int32,
    "u32": np.uint32,
    "i64": np.int64,
    "u64": np.uint64,
    "bool": np.bool_,
    "cb16": np.uint16,
    "bf16": np.uint16,
    "color": np.uint16,
    "direction": np.uint16,
}


def dtype_of(element: str) -> np.dtype:
    """numpy's type for an element type of the language."""
    return np.dtype(DTYPES.get(element, np.uint16))


@dataclass(frozen=True)
class HostSymbol:
    """One exported name. `exports[t]` is tile program t's export of it, or None."""

    name: str
    id: int
    type: str
    mutable: bool
    kind: str  # "var", "pointer", "fn"
    element: str  # element type name of data
    params: tuple[str, ...]  # parameter type names of a function
    exports: tuple[Export | None, ...]

    @property
    def dtype(self) -> np.dtype:
        return dtype_of(self.element)


class Symbols:
    """The symbol table of a program. Ids are positions: first the @export_names in order, then what only PE code
    exports."""

    def __init__(self, program: Program):
        self.program = program
        names = list(program.exports)
        for tile in program.tiles:
            names += [n for n in tile.exports if n not in names]
        self.all: list[HostSymbol] = []
        for number, name in enumerate(names):
            exports = tuple(t.exports.get(name) for t in program.tiles)
            some = next((e for e in exports if e is not None), None)
            type_text, mutable = program.exports.get(name, (some.type if some else "", some.mutable if some else False))
            kind = some.kind if some is not None else "fn" if type_text.startswith("fn") else "pointer"
            element = (some.element if some is not None else "") or type_text.rpartition("]")[2].strip()
            self.all.append(
                HostSymbol(name, number, type_text, mutable, kind, element, some.params if some else (), exports)
            )
        self.by_name = {s.name: s for s in self.all}

    def data(self, key: str | int) -> HostSymbol:
        """A data symbol by name or id. MS0910 unknown."""
        symbol = self._find(key, (s for s in self.all if s.kind != "fn"), "symbol")
        if symbol.kind == "fn":
            raise MeshlangError(
                Diagnostic("MS0910", f"{symbol.name!r} is a function, not data", help=f"use launch({symbol.name!r})")
            )
        return symbol

    def function(self, name: str) -> HostSymbol:
        """A function by name. MS0915 unknown."""
        symbol = self._find(name, (s for s in self.all if s.kind == "fn"), "function", "MS0915")
        if symbol.kind != "fn":
            raise MeshlangError(Diagnostic("MS0915", f"{symbol.name!r} is data of type {symbol.type}, not a function"))
        return symbol

    def any(self, name: str) -> HostSymbol:
        """A symbol by name, data or function. MS0910 unknown."""
        return self._find(name, self.all, "symbol")

    def _find(self, key: str | int, candidates: Iterable[HostSymbol], what: str, code: str = "MS0910") -> HostSymbol:
        if isinstance(key, (int, np.integer)) and not isinstance(key, bool):
            if 0 <= key < len(self.all):
                return self.all[int(key)]
            raise MeshlangError(
                Diagnostic(
                    code,
                    f"no exported {what} has the id {key}",
                    help="ids come from get_id; a streaming copy needs streaming=True",
                )
            )
        name = str(key)
        if name in self.by_name:
            return self.by_name[name]
        names = [s.name for s in candidates]
        listed = ", ".join(names) if names else "none"
        raise MeshlangError(
            Diagnostic(
                code,
                f"the program exports no {what} {name!r}; it exports: {listed}",
                help=did_you_mean(name, names)
                if names
                else "export it with @export_name (layout) and @export_symbol (PE code)",
            )
        )


def launch_arguments(symbol: HostSymbol, args: tuple[Any, ...]) -> list[int]:
    """Check and convert a launch's arguments to register contents (the normal form of ir/isa.py).

    numpy scalars must have the parameter's type; Python numbers are taken where they fit: an integer exactly, a float
    rounded to the parameter's precision as its literal would be, if it is within its range. MS0916 count, MS0917 type.
    """
    if len(args) != len(symbol.params):
        raise MeshlangError(
            Diagnostic(
                "MS0916",
                f"{symbol.name} takes {_count(len(symbol.params), 'argument')} ({', '.join(symbol.params) or 'none'}), {len(args)} given",
            )
        )
    return [_register(symbol.name, i, kind, arg) for i, (kind, arg) in enumerate(zip(symbol.params, args))]


def _count(n: int, what: str) -> str:
    return f"{n} {what}" + ("" if n == 1 else "s")


def _register(function: str, index: int, kind: str, arg: Any) -> int:
    def refuse(reason: str) -> MeshlangError:
        shown = f"np.{np.dtype(dtype).name}"
        return MeshlangError(
            Diagnostic("MS0917", f"argument {index + 1} of {function} is {kind}, {reason}", help=f"pass {shown}(...)")
        )

    dtype = dtype_of(kind)
    if isinstance(arg, np.ndarray) and arg.ndim == 0:
        arg = arg[()]
    if isinstance(arg, np.generic):
        if arg.dtype != dtype:
            raise refuse(f"not {arg.dtype.name}")
        value = arg
    elif isinstance(arg, bool):
        if dtype != np.bool_:
            raise refuse("not bool")
        value = np.bool_(arg)
    elif isinstance(arg, int) and dtype.kind in "iu":
        info = np.iinfo(dtype)
        if not info.min <= arg <= info.max:
            raise refuse(f"and {arg} does not fit")
        value = dtype.type(arg)
    elif isinstance(arg, int) and dtype.kind == "f":
        with np.errstate(over="ignore"):
            value = dtype.type(arg if abs(arg) < 2**128 else np.inf)
        if not np.isfinite(value) or int(value) != arg:
            raise refuse(f"and {arg} is none" if abs(arg) < 2**64 else "which this integer is not")
    elif isinstance(arg, float) and dtype.kind == "f":
        with np.errstate(over="ignore", under="ignore"):
            value = dtype.type(arg)
        if np.isinf(value) and not np.isinf(arg):
            raise refuse(f"and {arg} is beyond its range of {np.finfo(dtype).max:.4g}")
    else:
        raise refuse(f"not {type(arg).__name__}")
    if dtype.kind == "f":
        return int(value.view(np.uint16 if dtype.itemsize == 2 else np.uint32))
    return int(value)
