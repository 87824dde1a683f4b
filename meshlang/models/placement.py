"""Placing dense arrays on a mesh of PEs, and collecting them.

The mesh arrays are those of `FabricHandle.write` and `read`: [height, width, elements], row y from north to south,
column x from west to east. Sizes that do not divide are padded with zeros at the end of each axis; the collecting
functions take the true shape and cut the padding off. Tiles are in row-major order.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from meshlang.diag import Diagnostic, MeshlangError


def tile_shape(shape: tuple[int, int], height: int, width: int) -> tuple[int, int]:
    """Rows and columns of a PE's tile of a `shape` matrix on height x width PEs, rounded up."""
    return -(-shape[0] // height), -(-shape[1] // width)


def block(matrix: Any, height: int, width: int) -> np.ndarray:
    """[M, N] -> [height, width, mt * nt]: PE (x, y) has tile (y, x) of mt x nt = `tile_shape`."""
    matrix = _dimensions(matrix, 2)
    mt, nt = tile_shape(matrix.shape, height, width)
    padded = np.zeros((height * mt, width * nt), matrix.dtype)
    padded[: matrix.shape[0], : matrix.shape[1]] = matrix
    return padded.reshape(height, mt, width, nt).transpose(0, 2, 1, 3).reshape(height, width, mt * nt)


def transposed(matrix: Any, height: int, width: int) -> np.ndarray:
    """[M, N] -> [height, width, mt * nt]: PE (x, y) has tile (x, y) of mt x nt, so M is split along x and N along y.

    As `block` with the axes of the mesh exchanged; the tiles themselves are not transposed. A GEMV along rows
    (<gemv/mesh>, <gemv/grid>) wants W like this.
    """
    return np.ascontiguousarray(block(matrix, width, height).swapaxes(0, 1))


def untransposed(tiles: Any, shape: tuple[int, int]) -> np.ndarray:
    """[height, width, mt * nt] -> [M, N] = shape: what `transposed` placed."""
    return unblock(_dimensions(tiles, 3).swapaxes(0, 1), shape)


def unblock(tiles: Any, shape: tuple[int, int]) -> np.ndarray:
    """[height, width, mt * nt] -> [M, N] = shape: what `block` placed."""
    tiles = _dimensions(tiles, 3)
    height, width, n = tiles.shape
    mt, nt = tile_shape(shape, height, width)
    if mt * nt != n:
        raise MeshlangError(
            Diagnostic(
                "MS0911",
                f"tiles of {n} elements on {height} x {width} PEs do not make a {shape[0]} x {shape[1]} "
                f"matrix, whose tiles have {mt} x {nt} = {mt * nt}",
            )
        )
    return (
        tiles.reshape(height, width, mt, nt)
        .transpose(0, 2, 1, 3)
        .reshape(height * mt, width * nt)[: shape[0], : shape[1]]
    )


def block_rows(vector: Any, height: int, width: int) -> np.ndarray:
    """[N] -> [height, width, nt]: every PE of row y has part y of the vector (split along y, replicated along x)."""
    return np.ascontiguousarray(
        np.broadcast_to(_parts(vector, height)[:, None, :], (height, width, -(-len(vector) // height)))
    )


def block_columns(vector: Any, height: int, width: int) -> np.ndarray:
    """[N] -> [height, width, nt]: every PE of column x has part x of the vector (split along x, replicated along y)."""
    return np.ascontiguousarray(
        np.broadcast_to(_parts(vector, width)[None, :, :], (height, width, -(-len(vector) // width)))
    )


def replicated(vector: Any, height: int, width: int) -> np.ndarray:
    """[N] -> [height, width, N]: every PE has all of it."""
    vector = _dimensions(vector, 1)
    return np.ascontiguousarray(np.broadcast_to(vector, (height, width, len(vector))))


def ring(n: int, interleave: bool = True) -> np.ndarray:
    """[n]: the position in the ring of each place of a line, as <comm/shift_layout> lays it.

    interleave: the two-hop ring 0 2 4 ... 5 3 1 of WaferLLM's algorithm 1; else 0 1 2 ... n-1.
    """
    if n < 2:
        raise MeshlangError(Diagnostic("MS0911", f"a ring needs at least 2 places, found {n}"))
    i = np.arange(n)
    return np.where(i % 2 == 0, i // 2, n - (i + 1) // 2) if interleave else i


def interleaved(parts: Any) -> np.ndarray:
    """[n, ...] in ring order -> [n, ...] in the order of the line: place i gets parts[ring(n)[i]]."""
    parts = np.asarray(parts)
    return parts[ring(len(parts))]


def skewed_a(matrix: Any, P: int, interleave: bool = True) -> np.ndarray:
    """A [M, K] -> [P, P, Mt * Kt] as <gemm/mesh> starts with it: PE (x, y) has tile (y, (ring(x) + ring(y)) mod P)."""
    tiles, r = block(matrix, P, P), ring(P, interleave)
    return tiles[np.arange(P)[:, None], (r[:, None] + r[None, :]) % P]


def skewed_b(matrix: Any, P: int, interleave: bool = True) -> np.ndarray:
    """B [K, N] -> [P, P, Kt * Nt] as <gemm/mesh> starts with it: PE (x, y) has tile ((ring(x) + ring(y)) mod P, x)."""
    tiles, r = block(matrix, P, P), ring(P, interleave)
    return tiles[(r[:, None] + r[None, :]) % P, np.arange(P)[None, :]]


def lcm_panels(height: int, width: int) -> tuple[int, int, int]:
    """(L, L // width, L // height): panels of a dimension that is spread over rows and columns (<gemm/panels>), of a
    PE's in each case."""
    count = math.lcm(height, width)
    return count, count // width, count // height


def rectangle_a(matrix: Any, height: int, width: int, interleave: bool = True) -> np.ndarray:
    """A [M, K] -> [height, width, (L // width) * mt * kt] as <gemm/rectangle> starts with it.

    K is cut into L = lcm(height, width) panels of kt; PE (x, y) has, for q = 0, 1, ..., row y of panel number (ring(x)
    L / width + ring(y) L / height + q) mod L, each mt x kt in row-major order. Where height = width this is `skewed_a`.
    """
    count, in_rows, _ = lcm_panels(height, width)
    tiles = block(matrix, height, count)  # [height, L, mt * kt]
    numbers = panel_numbers(height, width, in_rows, interleave)
    return tiles[np.arange(height)[:, None, None], numbers].reshape(height, width, -1)


def rectangle_b(matrix: Any, height: int, width: int, interleave: bool = True) -> np.ndarray:
    """B [K, N] -> [height, width, (L // height) * kt * nt] as <gemm/rectangle> starts with it; see `rectangle_a`."""
    count, _, in_columns = lcm_panels(height, width)
    tiles = block(matrix, count, width)  # [L, width, kt * nt]
    numbers = panel_numbers(height, width, in_columns, interleave)
    return tiles[numbers, np.arange(width)[None, :, None]].reshape(height, width, -1)


def panel_numbers(height: int, width: int, own: int, interleave: bool = True) -> np.ndarray:
    """int [height, width, own]: the first `own` panels of PE (x, y), (ring(x) L / width + ring(y) L / height + q) mod L
    for q = 0, 1, ..."""
    count, in_rows, in_columns = lcm_panels(height, width)
    x, y = ring(width, interleave) * in_rows, ring(height, interleave) * in_columns
    return (y[:, None, None] + x[None, :, None] + np.arange(own)) % count


def row_panels(matrix: Any, height: int, width: int) -> np.ndarray:
    """[N, K] -> [height, width, (L // height) * nt * kt]: B as <gemm/transposed> wants it; B [K, N] as <gemm/summa>
    does.

    The first dimension is cut into L = lcm(height, width) panels of nt rows; PE (x, y) has L // height of them, one
    after the other, and part x of the second one. Where height = width this is `block`.
    """
    matrix = _dimensions(matrix, 2)
    count, _, in_columns = lcm_panels(height, width)
    tiles = block(matrix, count, width)  # [L, width, nt * kt]
    return np.ascontiguousarray(tiles.reshape(height, in_columns, width, -1).transpose(0, 2, 1, 3)).reshape(
        height, width, -1
    )


def column_panels(matrix: Any, height: int, width: int) -> np.ndarray:
    """[M, K] -> [height, width, (L // width) * mt * kt]: A as <gemm/summa> wants it; the inverse of
    `from_column_panels`."""
    count, _, _ = lcm_panels(height, width)
    return block(matrix, height, count).reshape(height, width, -1)


def from_column_panels(tiles: Any, shape: tuple[int, int]) -> np.ndarray:
    """[height, width, (L // width) * mt * nt] -> C [M, N] = shape as <gemm/transposed> leaves it; where height = width,
    `unblock`.

    N is cut into L = lcm(height, width) panels of nt columns; PE (x, y) has L // width of them, one after the other,
    each mt x nt.
    """
    tiles = _dimensions(tiles, 3)
    height, width, n = tiles.shape
    count, in_rows, _ = lcm_panels(height, width)
    if n % in_rows:
        raise MeshlangError(Diagnostic("MS0911", f"{n} elements on each PE are no {in_rows} panels of equal size"))
    return unblock(tiles.reshape(height, count, n // in_rows), shape)


def _parts(vector: Any, count: int) -> np.ndarray:
    vector = _dimensions(vector, 1)
    n = -(-len(vector) // count)
    padded = np.zeros(count * n, vector.dtype)
    padded[: len(vector)] = vector
    return padded.reshape(count, n)


def _dimensions(array: Any, count: int) -> np.ndarray:
    array = np.asarray(array)
    if array.ndim != count or 0 in array.shape:
        raise MeshlangError(
            Diagnostic(
                "MS0911",
                f"expected a non-empty array of {count} dimension{'s' if count > 1 else ''}, got one of shape {list(array.shape)}",
            )
        )
    return array
