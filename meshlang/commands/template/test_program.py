"""`pytest` in this folder."""

import numpy as np
import pytest
from run import axpy


@pytest.mark.parametrize("width, n", [(1, 1), (3, 10), (8, 64)])
def test_axpy(width, n):
    x = np.arange(width * n, dtype=np.float32).reshape(width, n)
    y = np.ones((width, n), np.float32)
    result, cycles = axpy(2.0, x, y)
    assert (result == 2 * x + 1).all()
    assert cycles > n
