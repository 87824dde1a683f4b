"""Several sequences at the same time: each as the reference says, and mistakes."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import meshlang
from meshlang import llama, llama_reference
from meshlang.models import fit
from meshlang.models.experts import Experts
from meshlang.models.runner import Runner

SMALL = llama.LlamaConfig(
    hidden_size=30, heads=4, kv_heads=2, head_size=8, feed_forward_size=44, layers=2, vocabulary=40
)
KINDS = {
    "plain": {},
    "all options": {
        "qkv_bias": True, "output_bias": True, "feed_bias": True, "head_norms": True, "activation": "gelu", "window": 4,
    },
    "experts": {"experts": Experts(6, 3, renormalise=False, shared_size=13), "wide_norms": True},
}  # fmt: skip


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize(
    "W, H, batch, dtype, arch, more",
    [(4, 3, 4, np.float32, "wse3", {"pieces": 2}), (5, 2, 3, np.float16, "wse2", {"layers": 1})],
)
def test_each_sequence(name, W, H, batch, dtype, arch, more):
    """Resident with the output projection in two pieces, and streamed; experts in regions."""
    config = dataclasses.replace(SMALL, **KINDS[name])
    regions = 2 if config.experts and W == 5 else 1
    place = llama.Placement(config, H, W, capacity=3, dtype=dtype, head=True, batch=batch, regions=regions, **more)
    weights = config.random_weights(4, dtype)  # none of whose routers has two logits that f16 takes for each other
    for key in weights:
        if key.endswith("gate.weight"):
            weights[key] = 4 * weights[key]
    runner = Runner(place, weights, arch)
    references = [llama_reference.Reference(config, weights) for _ in range(batch)]
    tokens = np.random.default_rng(0).integers(0, 40, (batch, 3)).tolist()
    for _ in range(3):
        got = runner.feed_batch(tokens)
        want = np.stack([r.logits(r.decode(r.embed(t)))[-1] for r, t in zip(references, tokens)])
        for one, expected in zip(got, want):
            assert meshlang.largest_error(one, expected, relative=True) <= llama.tolerance(config, dtype)
        tokens = want.argmax(1)[:, None].tolist()
    if config.experts:
        routes = np.array([r.routes for r in references])  # [batch, layers, tokens, chosen]
        assert np.array_equal(np.array(runner.routes), routes.transpose(2, 1, 0, 3))


def test_memory_is_what_the_placement_says():
    for name, more in KINDS.items():
        config = dataclasses.replace(SMALL, **more)
        place = llama.Placement(config, 3, 4, capacity=6, head=True, batch=5)
        program = meshlang.compile(llama.MODEL, arch="wse3", params=place.model_params()).ir
        need = max(o.address + o.size for t in program.tiles for o in t.objects)
        assert need <= sum(place.memory().values()) <= need + 700, name


def refusal(call, *args, **more):
    with pytest.raises(meshlang.MeshlangError) as caught:
        call(*args, **more)
    return caught.value.diagnostics[0]


def test_batches_that_cannot_be():
    found = refusal(llama.Placement, SMALL, 3, 3, capacity=4, batch=0)
    assert found.code == "MS1432" and "at least one sequence, found 0" in found.message
    found = refusal(llama.Placement, SMALL, 3, 3, capacity=4, batch=2, prompt=4)
    assert found.code == "MS1432" and "decoded token by token" in found.message
    found = refusal(fit.place, SMALL, 3, 3, tokens=12, dtype=np.float32, batch=200)
    assert found.code == "MS0992" and "of 200 sequences" in found.message and "a smaller batch" in found.help


def test_sequences_that_cannot_be():
    place = llama.Placement(SMALL, 3, 3, capacity=4, dtype=np.float32, head=True, batch=2)
    runner = Runner(place, SMALL.random_weights(), "wse3")
    for sequences, code, message in (
        ([[1, 2], [3]], "MS1432", "found 2 sequences with 1 and 2 tokens"),
        ([[1]], "MS1432", "found 1 sequences with 1 tokens"),
        ([[1], [40]], "MS1422", "token 40 is not one of the model's 40"),
        ([[], []], "MS1422", "no token to start from"),
        ([[0] * 13, [0] * 13], "MS0993", "13 tokens"),
    ):
        found = refusal(runner.feed_batch, sequences)
        assert found.code == code and message in found.message
