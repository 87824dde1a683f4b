"""How far a result is from what it should be: the one way in which programs compare numbers.

`max(0.0, nan)` is 0.0, and an infinite bound passes everything. So a result that has a NaN or an infinity is infinitely
far away, and `RunContext.check_error` takes a finite bound only.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from meshlang.diag import Diagnostic, MeshlangError


def largest_error(got: Any, expected: Any, relative: bool = False) -> float:
    """The largest difference of two arrays of the same shape, in float64; infinite where either has an element that is
    no finite number. relative: divided by the largest element expected. MS0911 for arrays of different shapes, or empty
    ones."""
    got, expected = np.asarray(got), np.asarray(expected)
    if got.shape != expected.shape or not got.size:
        raise MeshlangError(
            Diagnostic(
                "MS0911",
                f"an array of shape {list(got.shape)} cannot be compared with one of shape {list(expected.shape)}",
            )
        )
    if not (np.isfinite(got).all() and np.isfinite(expected).all()):
        return math.inf
    error = float(np.abs(got.astype(np.float64) - expected.astype(np.float64)).max())
    if not relative or error == 0:
        return error
    largest = float(np.abs(expected).max())
    return error / largest if largest else math.inf


def passes(error: float, bound: float) -> bool:
    """Whether an error is within a bound: both finite numbers, and the error no larger."""
    return math.isfinite(error) and math.isfinite(bound) and error <= bound
