"""The checksum of a chunk of an image: 64 bits, at about the speed at which memory is read.

Words of eight bytes go, one after the other, into 512 lanes: lane = mix((lane ^ word) * P), with mix(x) = x ^ x >> 29. The lanes
are then put together in the same way, beginning with the number of bytes; what is missing of a full row of lanes is zeros. A step is
one to one in the lane and in the word, so a chunk in which the words of a single lane differ in one place, however many bits, never
has the same sum; other damage goes unnoticed once in 2^64. It is no protection against somebody who wants to deceive.

A CRC-32 takes twice the processor time, and loading is checking and copying.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np

LANES = 512
ROW = 8 * LANES  # bytes
P = np.uint64(0x9E3779B97F4A7C15)
SHIFT = np.uint64(29)
Mixer = Callable[[np.ndarray, np.ndarray, np.ndarray], Any]
_lock = threading.Lock()
_compiled: list[Mixer] = []


def checksum(data: Any) -> int:
    """data: anything with bytes."""
    given = np.frombuffer(data, np.uint8)
    whole = len(given) // ROW * ROW
    lanes, total = np.zeros(LANES, np.uint64), np.full(1, len(given), np.uint64)
    last = np.zeros(ROW if whole < len(given) else 0, np.uint8)
    last[: len(given) - whole] = given[whole:]
    mixer = _mixer()
    mixer(given[:whole].view(np.uint64), lanes, total[:0])
    mixer(last.view(np.uint64), lanes, total)
    return int(total[0])


def mix(words, lanes, total):  # type: ignore[no-untyped-def]
    """uint64: whole rows of words into the lanes, and these into `total`, if it has an element. It is compiled; `mix_rows` is the
    same in NumPy."""
    for row in range(0, len(words), LANES):
        for i in range(LANES):
            mixed = (lanes[i] ^ words[row + i]) * P
            lanes[i] = mixed ^ (mixed >> SHIFT)
    if len(total):
        for i in range(LANES):
            mixed = (total[0] ^ lanes[i]) * P
            total[0] = mixed ^ (mixed >> SHIFT)


def mix_rows(words: np.ndarray, lanes: np.ndarray, total: np.ndarray) -> None:
    for row in words.reshape(-1, LANES):
        lanes ^= row
        lanes *= P
        lanes ^= lanes >> SHIFT
    for lane in lanes[: LANES * len(total)]:
        total ^= lane
        total *= P
        total ^= total >> SHIFT


def _mixer() -> Mixer:
    """Compiled, or from the cache, when it is first used."""
    with _lock:
        if not _compiled:
            from meshlang.fabric.engine.jit import COMPILED, top_level

            if COMPILED:
                from numba import types

                read = types.Array(types.uint64, 1, "C", readonly=True, aligned=False)
                written = types.Array(types.uint64, 1, "C")
                _compiled.append(top_level(mix, types.none(read, written, written)))
            else:
                _compiled.append(mix_rows)
    return _compiled[0]
