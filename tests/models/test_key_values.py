"""Keys and values from one placement to another: where the mesh has them, and that a sequence goes on as if nothing had happened."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from meshlang import MeshlangError
from meshlang.models.fit import place
from meshlang.models.key_values import KeyValues, collect, slots, spread
from meshlang.models.llama import LlamaConfig, Placement
from meshlang.models.runner import Runner

CONFIG = LlamaConfig(hidden_size=24, heads=6, kv_heads=3, head_size=8, feed_forward_size=20, layers=2, vocabulary=40)
PROMPT = [3, 11, 7, 30, 2]


def test_slots():
    """A row's tokens are consecutive, the last rows have one more, and no two are in one slot."""
    for height, first, tokens in itertools.product((1, 2, 3, 5), (0, 1, 4, 9), (0, 3, 9, 14)):
        if first > tokens:
            continue
        capacity = -(-tokens // height) + 1
        rows, at = slots(height, capacity, first, tokens)
        assert rows.tolist() == sorted(rows.tolist())
        assert np.bincount(rows, minlength=height).tolist() == [(tokens + y) // height for y in range(height)]
        assert len(set(zip(rows.tolist(), at.tolist()))) == tokens and (at < capacity).all()


@pytest.mark.parametrize("height, width", [(1, 1), (3, 2), (2, 7), (4, 24)])
def test_spread_and_collect(height, width):
    """Also where heads are split over columns, and where columns have none."""
    rng = np.random.default_rng(height)
    tokens = 2 * height + 1
    placement = Placement(CONFIG, height, width, capacity=4, dtype=np.float32)
    kv = KeyValues(*(rng.standard_normal((2, tokens, 24)).astype(np.float32) for _ in range(2)))
    arrays = spread(placement, kv)
    assert arrays[0].shape == (2, height, width, placement.kv_elements * 4)
    again = collect(placement, *arrays, tokens, tokens)
    assert np.array_equal(again.keys, kv.keys) and np.array_equal(again.values, kv.values)


def continued(runner, logits, count):
    tokens = []
    for _ in range(count):
        tokens.append(int(logits.argmax()))
        logits = runner.feed(tokens[-1:])
    return tokens, logits


@pytest.mark.parametrize("modes", [("resident", "streamed"), ("streamed", "resident")])
def test_a_sequence_goes_on_on_another_mesh(modes):
    weights = CONFIG.random_weights(2)
    one, other = (
        Runner(place(CONFIG, h, w, tokens=16, prompt=4, dtype=np.float32, mode=mode), weights)
        for (h, w), mode in zip(((2, 3), (3, 2)), modes)
    )
    logits = one.feed(PROMPT)
    tokens, logits = continued(one, logits, 4)
    kv = one.key_values()
    assert kv.tokens == len(PROMPT) + 4 and kv.nbytes == 2 * 2 * 9 * 24 * 4
    other.restore(kv)
    want, _ = continued(one, logits, 4)
    got, _ = continued(other, logits, 4)
    assert got == want and len(set(tokens + want)) > 2
    # what both have computed since is the same up to rounding, and what was moved is the same bits
    mine, theirs = one.key_values(), other.key_values()
    assert np.array_equal(mine.keys[:, : kv.tokens], kv.keys) and np.array_equal(
        theirs.values[:, : kv.tokens], kv.values
    )
    assert np.allclose(mine.keys, theirs.keys, atol=1e-5) and np.allclose(mine.values, theirs.values, atol=1e-5)


def test_refused():
    placement = Placement(CONFIG, 2, 2, capacity=4, dtype=np.float32, batch=2)
    with pytest.raises(MeshlangError) as found:
        spread(placement, KeyValues(np.zeros((2, 1, 24)), np.zeros((2, 1, 24))))
    assert found.value.diagnostics[0].code == "MS1435"
