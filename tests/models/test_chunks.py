"""Prompts in chunks, behind tokens that are in the cache and after decoding, in all modes: resident, streamed, as a pipeline; against the
reference in float64."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from checkpoints import write_model

import meshlang
from meshlang import llama, llama_reference
from meshlang.cli import main
from meshlang.models.runner import Runner

CONFIG = llama.LlamaConfig(
    hidden_size=24, heads=4, kv_heads=2, head_size=8, feed_forward_size=20, layers=2, vocabulary=40
)
OTHER = {"head_norms": True, "qkv_bias": True, "output_bias": True, "feed_bias": True, "activation": "gelu"}
# a first prompt of three chunks, one token, a second prompt of two chunks, and a few tokens that are decoded
TURNS = ((5, 9, 11, 30, 2, 17, 4, 8, 1, 3, 22), (7,), (13, 14, 15, 16, 17, 18, 2, 39), (21, 6))


def placed(config, height, width, mode, shift=True, dtype=np.float32, pieces=1):
    tokens = sum(map(len, TURNS))
    return llama.Placement(
        config, height, width, capacity=-(-tokens // height) if shift else tokens, dtype=dtype, shift=shift, head=True, prompt=4,
        layers=config.layers if mode == "resident" else 1, pieces=pieces,
    )  # fmt: skip


@pytest.mark.parametrize(
    "height, width, mode, more, kind",
    [
        (2, 2, "resident", {}, {}),
        (3, 2, "streamed", {}, {"pieces": 3}),
        (2, 4, "pipeline", {}, {"pieces": 2}),  # several panels of weights on a PE
        (4, 2, "resident", {}, {}),  # no chunk behind others is shorter than the rows
        (2, 3, "resident", {}, {"shift": False}),
        (2, 3, "resident", {"window": 5} | OTHER, {}),
        (2, 2, "pipeline", {"window": 3}, {"dtype": np.float16}),
    ],
)
def test_turns(height, width, mode, more, kind):
    config = replace(CONFIG, **more)
    weights = config.random_weights(2)
    reference = llama_reference.Reference(config, weights)
    place = placed(config, height, width, mode, **kind)
    runner = Runner(place, weights, pipeline=mode == "pipeline")
    prefilled = []
    bound = llama.tolerance(config, place.dtype)
    for turn in TURNS:
        got = runner.feed(turn).astype(np.float64)
        want = reference.logits(reference.decode(reference.embed(turn)))[-1]
        assert np.abs(got - want).max() <= bound * np.abs(want).max()
        prefilled.append(runner.prefilled)
    # all but the last token, except for what would leave a row without a token
    first = 4 + sum(n for n in ([4, 2] if height <= 2 else [4]))
    second = sum(n for n in ([4, 3] if height <= 3 else [4]))
    assert prefilled == [first, first, first + second, first + second]
    assert len(runner.decode_cycles) == sum(map(len, TURNS)) - runner.prefilled
    if place.shift:
        kv = runner.key_values()
        for got, want in ((kv.keys, reference.keys), (kv.values, reference.values)):
            want = np.stack([w.swapaxes(0, 1).reshape(len(w[0]), -1) for w in want])
            assert np.abs(got - want).max() <= bound * np.abs(want).max()


def test_all_modes_are_the_same_to_the_last_bit():
    """What a layer computes does not depend on which fabric it is on, nor how it came there."""
    weights, logits, cycles = CONFIG.random_weights(3), [], []
    for mode in ("resident", "streamed", "pipeline"):
        runner = Runner(placed(CONFIG, 2, 2, mode, pieces=2), weights, pipeline=mode == "pipeline")
        logits.append([runner.feed(turn) for turn in TURNS])
        cycles.append(runner.decode_cycles)
    for other in logits[1:]:
        assert all(np.array_equal(a, b) for a, b in zip(logits[0], other))
    # the pieces of a pipeline's projection are worked on at the same time
    assert all(p <= s for s, p in zip(cycles[1], cycles[2])) and cycles[2][-1] < cycles[1][-1]


def test_one_token_turns_no_weights():
    weights = CONFIG.random_weights(2)
    reference = llama_reference.Reference(CONFIG, weights)
    for mode in ("resident", "pipeline"):
        runner = Runner(placed(CONFIG, 2, 2, mode), weights, pipeline=mode == "pipeline")
        got = runner.feed([7])
        want = reference.another()
        want = want.logits(want.decode(want.embed([7])))[-1]
        assert runner.settle_cycles == 0 and np.abs(got - want).max() < 1e-5 * np.abs(want).max()
        runner.feed(list(range(9)))  # and these are prefilled
        assert runner.prefilled == 8 and runner.settle_cycles > 0


def test_pipeline_command(tmp_path, capsys):
    write_model(tmp_path, "F32", seed=3)
    results = []
    for mode in ("streamed", "pipeline"):
        given = [
            "--tokens",
            "5,9,11,30,17,2",
            "--tokens",
            "8,6,4,3",
            "--new",
            "3",
            "--mesh",
            "3x2",
            "--dtype",
            "f32",
            "--layers",
            mode,
        ]
        assert main(["llm", "generate", str(tmp_path), *given, "--ignore-eos", "--json"]) == 0
        results.append(json.loads(capsys.readouterr().out))
    assert results[0]["tokens"] == results[1]["tokens"] and results[1]["layers"] == "pipeline"
    assert results[1]["prefill_tokens"] == results[0]["prefill_tokens"] == 5 + 4


def test_what_is_no_pipeline():
    with pytest.raises(meshlang.MeshlangError) as found:
        Runner(placed(CONFIG, 2, 2, "resident"), CONFIG.random_weights(2), pipeline=True)
    assert found.value.diagnostics[0].code == "MS0991"
