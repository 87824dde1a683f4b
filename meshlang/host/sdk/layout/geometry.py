"""Points and rectangles of PEs."""

from __future__ import annotations

import operator
from collections.abc import Iterator
from typing import Any

from .source import fail


class IntVector:
    """A pair of integers: coordinates, or width and height."""

    __slots__ = ("x", "y")

    def __init__(self, x: int, y: int):
        try:
            self.x, self.y = operator.index(x), operator.index(y)
        except TypeError:
            fail("MS0952", f"IntVector takes two integers, found {x!r} and {y!r}")

    def __iter__(self) -> Iterator[int]:
        return iter((self.x, self.y))

    def __add__(self, other: Any) -> IntVector:
        dx, dy = other
        return IntVector(self.x + dx, self.y + dy)

    def __sub__(self, other: Any) -> IntVector:
        dx, dy = other
        return IntVector(self.x - dx, self.y - dy)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, IntVector) and tuple(self) == tuple(other)

    def __hash__(self) -> int:
        return hash((self.x, self.y))

    def __repr__(self) -> str:
        return f"IntVector({self.x}, {self.y})"


class IntRectangle:
    """A rectangle of PEs: the north-west corner, and width and height."""

    __slots__ = ("dims", "origin")

    def __init__(self, origin: IntVector, dims: IntVector):
        self.origin, self.dims = IntVector(*origin), IntVector(*dims)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, IntRectangle) and (self.origin, self.dims) == (other.origin, other.dims)

    def __hash__(self) -> int:
        return hash((self.origin, self.dims))

    def __repr__(self) -> str:
        return f"IntRectangle({self.origin}, {self.dims})"


def within(rect: Any, width: int, height: int, region: str) -> tuple[int, int, int, int]:
    """A rectangle inside a region of width x height PEs, as x, y, w, h. MS0952 when it is not inside.

    The second vector is width and height, as documented. A published example passes the lower right corner instead
    (exclusive); so a rectangle that leaves the region as documented and fits as a pair of corners is read so.
    """
    try:
        (x, y), (a, b) = rect.origin, rect.dims
    except (AttributeError, TypeError, ValueError):
        fail("MS0952", f"expected an IntRectangle, found {rect!r}")
    for w, h in ((a, b), (a - x, b - y)):
        if 0 <= x and 0 <= y and w >= 1 and h >= 1 and x + w <= width and y + h <= height:
            return x, y, w, h
    fail(
        "MS0952",
        f"a rectangle of {a} x {b} PEs at ({x}, {y}) is not inside the code region {region!r} of {width} x {height} PEs",
        help="coordinates are the region's own, (column, row) from 0; IntRectangle(origin, dims) takes width and height",
    )


def inside(coord: Any, width: int, height: int, region: str) -> tuple[int, int]:
    """Coordinates of one PE of a region. MS0952."""
    try:
        x, y = (operator.index(v) for v in coord)
    except (TypeError, ValueError):
        fail("MS0952", f"expected coordinates, IntVector(x, y), found {coord!r}")
    if not (0 <= x < width and 0 <= y < height):
        fail(
            "MS0952",
            f"PE ({x}, {y}) is not inside the code region {region!r} of {width} x {height} PEs",
            help="coordinates are the region's own, (column, row) from 0",
        )
    return x, y
