"""Rectangles of PEs on a wafer: where another one has room, and which ones would have to go for it.

A rectangle is (x, y, width, height) in PEs. An optimal packing is not looked for (it is NP-hard, and requests come one by one):
a new rectangle goes to the topmost, then leftmost of the places that touch others or the border on two sides. Among those are all
places that matter: whatever fits somewhere fits at one of them, because it can be pushed up and left until it touches.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache

Rectangle = tuple[int, int, int, int]
Occupied = tuple[Rectangle, ...]  # sorted, so that equal layouts are found again


def layout(rectangles: Iterable[Rectangle]) -> Occupied:
    return tuple(sorted(rectangles))


def overlap(a: Rectangle, b: Rectangle) -> bool:
    return a[0] < b[0] + b[2] and b[0] < a[0] + a[2] and a[1] < b[1] + b[3] and b[1] < a[1] + a[3]


@lru_cache(1 << 16)
def find(width: int, height: int, occupied: Occupied, w: int, h: int) -> Rectangle | None:
    """Where a w x h rectangle goes on a width x height wafer; None: nowhere."""
    if width * height - sum(r[2] * r[3] for r in occupied) < w * h:
        return None
    for place in _places(width, height, occupied, w, h):
        if not any(overlap(place, other) for other in occupied):
            return place
    return None


def _places(width: int, height: int, occupied: Occupied, w: int, h: int) -> Iterator[Rectangle]:
    xs = sorted({0, *(r[0] + r[2] for r in occupied)})
    for y in sorted({0, *(r[1] + r[3] for r in occupied)}):
        if y + h > height:
            return
        for x in xs:
            if x + w <= width:
                yield x, y, w, h


@lru_cache(1 << 14)
def windows(width: int, height: int, occupied: Occupied, w: int, h: int) -> tuple[tuple[Rectangle, Occupied], ...]:
    """Places for a w x h rectangle that are taken, each with the rectangles that lie in it: fewest first, then least area. Of
    places with the same rectangles in them the first; sides touch others' sides or the border."""
    xs = {0, width - w, *(r[0] + r[2] for r in occupied), *(r[0] for r in occupied), *(r[0] - w for r in occupied)}
    ys = {0, height - h, *(r[1] + r[3] for r in occupied), *(r[1] for r in occupied), *(r[1] - h for r in occupied)}
    found: dict[Occupied, Rectangle] = {}
    for y in sorted(ys):
        for x in sorted(xs):
            if 0 <= x <= width - w and 0 <= y <= height - h:
                place = (x, y, w, h)
                found.setdefault(tuple(r for r in occupied if overlap(place, r)), place)
    ranked = sorted(found.items(), key=lambda item: (len(item[0]), sum(r[2] * r[3] for r in item[0])))
    return tuple((place, inside) for inside, place in ranked)
