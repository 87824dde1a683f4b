"""The checksum of chunks: compiled and in NumPy alike, as its description says, and sensitive to what happens to files."""

from __future__ import annotations

import random

import numpy as np
import pytest

from meshlang.serve import checksum as module
from meshlang.serve.checksum import LANES, ROW, checksum


def described(data):
    """As the module's text says it, in Python's numbers."""
    p, mask = 0x9E3779B97F4A7C15, (1 << 64) - 1

    def step(lane, word):
        x = (lane ^ word) * p & mask
        return x ^ x >> 29

    padded = data + bytes(-len(data) % ROW)
    lanes = [0] * LANES
    for at in range(0, len(padded), 8):
        lane = at // 8 % LANES
        lanes[lane] = step(lanes[lane], int.from_bytes(padded[at : at + 8], "little"))
    total = len(data)
    for lane in lanes:
        total = step(total, lane)
    return total


@pytest.mark.parametrize("size", [0, 1, 7, 8, ROW - 1, ROW, ROW + 1, 3 * ROW + 100])
def test_as_described(size, monkeypatch):
    data = random.Random(size).randbytes(size)
    compiled = checksum(data)
    assert compiled == described(data) == checksum(bytearray(data)) == checksum(memoryview(data))
    # where it lies does not matter, nor that it may not be written to
    shifted = np.frombuffer(b"abc" + data, np.uint8)[3:]
    assert checksum(shifted) == compiled
    monkeypatch.setattr(module, "_compiled", [module.mix_rows])
    assert checksum(data) == compiled


def test_what_happens_to_files():
    data = bytearray(random.Random(1).randbytes(5 * ROW))
    seen = {checksum(data)}

    def new(changed):
        found = checksum(changed)
        assert found not in seen
        seen.add(found)

    for bit in random.Random(2).sample(range(8 * len(data)), 300):
        data[bit // 8] ^= 1 << bit % 8
        new(data)
        data[bit // 8] ^= 1 << bit % 8
    for bit in (7, 63):  # the same bit of two words of one lane
        for row in (1, 2):
            changed = bytearray(data)
            changed[bit // 8] ^= 1 << bit % 8
            changed[row * ROW + bit // 8] ^= 1 << bit % 8
            new(changed)
    for n in (1, 8, ROW):
        new(data[:-n])
        new(data + bytes(n))
    new(data[ROW : 2 * ROW] + data[:ROW] + data[2 * ROW :])  # rows change places
    new(data[8:16] + data[:8] + data[16:])  # words do
    new(data[:ROW] + bytes(ROW) + data[2 * ROW :])  # a page was never written
    assert len({checksum(bytes(n)) for n in range(500)}) == 500
