"""meshlang.placement: dense arrays onto the mesh and back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import meshlang
from meshlang import placement

sizes = st.integers(1, 9)


@given(rows=st.integers(1, 20), columns=st.integers(1, 20), height=sizes, width=sizes)
def test_block_and_back(rows, columns, height, width):
    matrix = np.arange(1, rows * columns + 1, dtype=np.float32).reshape(rows, columns)
    tiles = placement.block(matrix, height, width)
    mt, nt = placement.tile_shape((rows, columns), height, width)
    assert tiles.shape == (height, width, mt * nt)
    assert tiles.sum() == matrix.sum()  # the padding is zero
    y, x = rows // mt if rows % mt else rows // mt - 1, 0
    assert tiles[y, x].reshape(mt, nt)[0, 0] == matrix[y * mt, 0]
    assert np.array_equal(placement.unblock(tiles, (rows, columns)), matrix)


@given(rows=st.integers(1, 20), columns=st.integers(1, 20), height=sizes, width=sizes)
def test_transposed_and_back(rows, columns, height, width):
    """PE (x, y) has what `block` on the mesh with its axes exchanged gives to PE (y, x)."""
    matrix = np.arange(1, rows * columns + 1, dtype=np.float32).reshape(rows, columns)
    tiles, exchanged = placement.transposed(matrix, height, width), placement.block(matrix, width, height)
    assert all(np.array_equal(tiles[y, x], exchanged[x, y]) for y in range(height) for x in range(width))
    assert np.array_equal(placement.untransposed(tiles, (rows, columns)), matrix)


def test_vectors():
    v = np.arange(5)
    rows = placement.block_rows(v, 2, 3)
    assert rows.shape == (2, 3, 3) and rows[0, 2].tolist() == [0, 1, 2] and rows[1, 0].tolist() == [3, 4, 0]
    columns = placement.block_columns(v, 2, 3)
    assert columns.shape == (2, 3, 2) and columns[1, 2].tolist() == [4, 0] and columns[0, 1].tolist() == [2, 3]
    assert placement.replicated(v, 2, 3)[1, 2].tolist() == v.tolist()


@given(n=st.integers(2, 50))
def test_ring_is_one_cycle_of_short_hops(n):
    order = np.argsort(placement.ring(n))  # the places, in ring order
    assert sorted(order) == list(range(n))
    hops = np.abs(np.diff(np.append(order, order[0])))
    assert hops.max() == min(2, n - 1)
    assert placement.ring(n, interleave=False).tolist() == list(range(n))


def test_ring_is_the_papers():
    assert np.argsort(placement.ring(6)).tolist() == [0, 2, 4, 5, 3, 1]
    assert np.argsort(placement.ring(5)).tolist() == [0, 2, 4, 3, 1]
    assert placement.interleaved(["a", "b", "c", "d", "e"]).tolist() == ["a", "e", "b", "d", "c"]


@given(P=st.integers(2, 7), M=sizes, K=sizes, N=sizes, interleave=st.booleans())
def test_skewed_tiles_meet(P, M, K, N, interleave):
    """What a PE multiplies over P steps, each tile moving on to the next place of its ring, is the product."""
    rng = np.random.default_rng(0)
    A, B = rng.integers(-9, 9, (M, K)), rng.integers(-9, 9, (K, N))
    (mt, kt), nt = placement.tile_shape((M, K), P, P), placement.tile_shape((K, N), P, P)[1]
    a = placement.skewed_a(A, P, interleave).reshape(P, P, mt, kt)
    b = placement.skewed_b(B, P, interleave).reshape(P, P, kt, nt)
    places = np.argsort(placement.ring(P, interleave))
    following = np.empty(P, int)
    following[places] = np.roll(places, -1)
    c = np.zeros((P, P, mt, nt), int)
    for _ in range(P):
        c += a @ b
        moved_a, moved_b = a.copy(), b.copy()
        moved_a[:, following] = a
        moved_b[following] = b
        a, b = moved_a, moved_b
    assert np.array_equal(placement.unblock(c.reshape(P, P, -1), (M, N)), A @ B)


def test_mistakes():
    with pytest.raises(meshlang.MeshlangError, match="at least 2 places"):
        placement.ring(1)
    with pytest.raises(meshlang.MeshlangError, match="2 dimensions"):
        placement.block(np.zeros(3), 2, 2)
    with pytest.raises(meshlang.MeshlangError, match="do not make a 5 x 5"):
        placement.unblock(np.zeros((2, 2, 4)), (5, 5))
