"""runtime_utils of early SDKs (up to 1.0): tensors placed on PEs by port maps.

A port map says which element of a tensor lies where: `{ A[i=0:31, j=0:15] -> [PE[j//4, i//8] -> index[i%8, j%4]] }`.
Ranges include their ends; `PE[x, y]` counts columns, then rows, from the north-west PE of the rectangle; a PE keeps its
elements in the order of `index`, compared entry by entry (reference: the vendor's page on CSELFRunner, whose maps these
are). What the functions take and return is gathered from host scripts.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass

import numpy as np

from meshlang.diag import Diagnostic, MeshlangError

_MAP = re.compile(
    r"\s*\{\s*(\w+)\s*((?:\[[^\]]*\]\s*)+)->\s*\[\s*PE\s*\[([^\]]*)\]\s*->\s*index\s*\[([^\]]*)\]\s*\]\s*;?\s*\}\s*"
)
_RANGE = re.compile(r"\s*(\w+)\s*=\s*([^:]+):([^:]+)")
_OPERATORS = {
    ast.Add: np.add,
    ast.Sub: np.subtract,
    ast.Mult: np.multiply,
    ast.FloorDiv: np.floor_divide,
    ast.Mod: np.mod,
}


@dataclass(frozen=True)
class Placement:
    """A tensor on a rectangle of PEs: `order` holds, for PE (y, x) and local position k, the element's number in C
    order."""

    shape: tuple[int, ...]
    px: int
    py: int
    order: np.ndarray  # int64 [h, w, l]


def convert_input_tensor(port_map: str, tensor: np.ndarray) -> tuple[int, int, int, int, int, np.ndarray]:
    """(px, py, w, h, l, data) as memcpy_h2d takes them in ROW_MAJOR order: data is uint32 [h * w * l], 16-bit elements
    in the low half.

    Raises MS0911 for a tensor without the map's number of elements, MS0912 for elements that are not of 16 or 32 bits,
    MS0928 for the map.
    """
    placed = parse(port_map)
    array = np.ascontiguousarray(tensor).reshape(-1)
    if array.size != placed.order.size:
        raise MeshlangError(
            Diagnostic(
                "MS0911", f"the port map places a tensor of shape {list(placed.shape)}, found {list(np.shape(tensor))}"
            )
        )
    words = array.view(_unsigned(array.dtype)).astype(np.uint32)
    return *_rectangle(placed), words[placed.order].reshape(-1)


def prepare_output_tensor(port_map: str, dtype: np.dtype) -> tuple[int, int, int, int, int, np.ndarray]:
    """(px, py, w, h, l, data) for memcpy_d2h: data is uint32 [h * w * l], zero."""
    _unsigned(np.dtype(dtype))
    placed = parse(port_map)
    return *_rectangle(placed), np.zeros(placed.order.size, np.uint32)


def format_output_tensor(port_map: str, dtype: np.dtype, data: np.ndarray) -> np.ndarray:
    """The tensor of `dtype` and the map's shape from what memcpy_d2h has filled in ROW_MAJOR order."""
    placed = parse(port_map)
    words = np.ascontiguousarray(data).reshape(-1)
    if words.size != placed.order.size or words.dtype.itemsize != 4:
        raise MeshlangError(
            Diagnostic(
                "MS0911",
                f"the port map has {placed.order.size} elements; the data has {words.size} of {words.dtype.name}",
            )
        )
    out = np.zeros(placed.order.size, _unsigned(np.dtype(dtype)))
    out[placed.order.reshape(-1)] = words.view(np.uint32).astype(out.dtype)
    return out.view(dtype).reshape(placed.shape)


def parse(port_map: str) -> Placement:
    """MS0928 for a map that cannot be read, or whose PEs are not a rectangle with equally many elements each."""
    found = _MAP.fullmatch(port_map)
    if found is None:
        raise _wrong(port_map, "cannot be read", "it has the form { A[i=0:3] -> [PE[0, 0] -> index[i]] }")
    texts = [r for part in re.findall(r"\[([^\]]*)\]", found[2]) for r in part.split(",")]
    ranges = [r for r in map(_RANGE.fullmatch, texts) if r]
    if len(ranges) < len(texts):
        raise _wrong(
            port_map, f"has the ranges {found[2].strip()}", "a range is written i=0:31, and both ends belong to it"
        )
    bounds = [(r[1], int(_value(port_map, r[2], {})), int(_value(port_map, r[3], {}))) for r in ranges]
    if any(low != 0 or high < 0 for _, low, high in bounds):
        raise _wrong(port_map, "has a range that does not begin at 0, or is empty", "the whole tensor is placed")
    shape = tuple(high + 1 for _, _, high in bounds)
    grid = np.indices(shape, np.int64).reshape(len(shape), -1)
    names = {name: grid[k] for k, (name, _, _) in enumerate(bounds)}
    place = _tuple(port_map, found[3], names)
    if len(place) != 2:
        raise _wrong(port_map, f"has PE[{found[3].strip()}]", "a PE is PE[column, row]")
    x, y = place
    index = _tuple(port_map, found[4], names)
    px, py, w, h = int(x.min()), int(y.min()), int(np.ptp(x)) + 1, int(np.ptp(y)) + 1
    if px < 0 or py < 0:
        raise _wrong(
            port_map,
            f"names PE ({px}, {py})",
            "memory copies reach PEs of the rectangle only; streams at its edge are not supported",
        )
    counts = np.bincount((y - py) * w + (x - px), minlength=w * h)
    if len(set(counts.tolist())) != 1:
        raise _wrong(
            port_map,
            f"puts {counts.min()} to {counts.max()} elements on the PEs of {w} x {h}",
            "every PE of a copy has equally many",
        )
    order = np.lexsort((*index[::-1], x, y))
    return Placement(shape, px, py, order.reshape(h, w, -1))


def _rectangle(placed: Placement) -> tuple[int, int, int, int, int]:
    h, w, n = placed.order.shape
    return placed.px, placed.py, w, h, n


def _unsigned(dtype: np.dtype) -> np.dtype:
    if dtype.itemsize not in (2, 4):
        raise MeshlangError(Diagnostic("MS0912", f"a port map places elements of 16 or 32 bits, not {dtype.name}"))
    return np.dtype(f"u{dtype.itemsize}")


def _tuple(port_map: str, text: str, names: dict[str, np.ndarray]) -> list[np.ndarray]:
    n = next(iter(names.values())).size
    return [np.broadcast_to(_value(port_map, part, names), n) for part in text.split(",")]


def _value(port_map: str, text: str, names: dict[str, np.ndarray]) -> np.ndarray:
    """An expression of + - * // / % mod, numbers and the map's indices. A division rounds down."""
    source = re.sub(r"\bmod\b", "%", text).strip()
    source = re.sub(r"(?<!/)/(?!/)", "//", source)
    try:
        return _walk(ast.parse(source, mode="eval").body, names)
    except (SyntaxError, KeyError, TypeError):
        known = f"it is made of numbers, {', '.join(names) or 'no index'}, + - * // mod and brackets"
        raise _wrong(port_map, f"has the expression {text.strip()}", known) from None


def _walk(node: ast.expr, names: dict[str, np.ndarray]) -> np.ndarray:
    if isinstance(node, ast.Constant) and type(node.value) is int:
        return np.asarray(node.value, np.int64)
    if isinstance(node, ast.Name):
        return names[node.id]
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return np.negative(_walk(node.operand, names))
    if isinstance(node, ast.BinOp):
        left, right = _walk(node.left, names), _walk(node.right, names)
        if isinstance(node.op, (ast.FloorDiv, ast.Mod)) and not np.all(right):
            raise TypeError
        return _OPERATORS[type(node.op)](left, right)
    raise TypeError


def _wrong(port_map: str, what: str, help: str) -> MeshlangError:
    return MeshlangError(Diagnostic("MS0928", f"the port map {port_map.strip()!r} {what}", help=help))
