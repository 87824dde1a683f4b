"""How often Python looks for circles of objects that nobody holds any more."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def rarely_collected() -> Iterator[None]:
    """Compiling and loading programs make many objects that live long and few circles: looking for these as often as Python does takes
    an eighth of the time."""
    thresholds = gc.get_threshold()
    gc.set_threshold(max(200_000, thresholds[0]) if thresholds[0] else 0, *thresholds[1:])
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)
