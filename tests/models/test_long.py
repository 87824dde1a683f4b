"""More tokens than 16 bits count: decoding behind 131,072 of them, in both forms of the cache, with a window or without."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from meshlang import llama, llama_reference
from meshlang.models import fit
from meshlang.models.key_values import KeyValues, spread
from meshlang.models.runner import Runner

CONFIG = llama.LlamaConfig(
    hidden_size=8, heads=2, kv_heads=1, head_size=4, feed_forward_size=8, layers=1, vocabulary=16
)
TOKENS = 131_070  # the third one decoded is the first behind 2 ** 17


@pytest.mark.parametrize("shift", [True, False])
@pytest.mark.parametrize("window", [None, 70_000])
def test_decoding_behind_many_tokens(shift, window):
    config = replace(CONFIG, window=window)
    weights = config.random_weights(4)
    rng = np.random.default_rng(2)
    kv = KeyValues(*(rng.standard_normal((1, TOKENS, 4)).astype(np.float32) for _ in range(2)))
    reference = llama_reference.Reference(config, weights)
    reference.keys, reference.values = ([a[0][None].astype(np.float64)] for a in (kv.keys, kv.values))
    place = llama.Placement(config, 128, 2, capacity=1030, dtype=np.float32, head=True, shift=shift)
    runner = Runner(place, weights)
    if shift:
        runner.restore(kv)
    else:  # before a token is decoded, both forms have the same tokens at the same places
        twin = llama.Placement(config, 128, 2, capacity=1030, dtype=np.float32, head=True)
        for name, array in zip(("keys", "values"), spread(twin, kv)):
            runner.fabric.write(name, array[0])
        runner.fabric.launch("start", TOKENS)
        runner.tokens, runner._first, runner._settled = TOKENS, TOKENS, True
    for token in (3, 7, 1, 12):
        got = runner.feed([token])
        want = reference.logits(reference.decode(reference.embed([token])))[-1]
        assert np.abs(got - want).max() < 1e-4 * np.abs(want).max()
    loads = runner.fabric.read("loads", count=1)[:, 0, 0].tolist()
    last = TOKENS + 4 if shift else TOKENS
    rows = [(last + y) // 128 for y in range(128)]
    assert loads == (rows if shift else [*rows[:-1], rows[-1] + 4])


def test_as_many_as_the_memory_holds():
    """No other bound: a mesh of 512 rows has a place for more than 131,072 tokens."""
    place = fit.place(CONFIG, 512, 2, tokens=400_000, dtype=np.float16)
    assert place.tokens() >= 400_000
    found = fit.report(CONFIG, 512, 2, tokens=1000, dtype=np.float16)
    assert found["resident"]["most_tokens"] > 400_000
