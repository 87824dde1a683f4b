"""Mixture of experts on the mesh: hidden vectors and the chosen experts against the reference in float64; mistakes."""

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
    hidden_size=30,
    heads=4,
    kv_heads=2,
    head_size=8,
    feed_forward_size=22,
    layers=2,
    vocabulary=40,
    experts=Experts(6, 3),
)
KINDS = {
    "renormalised": {},
    "one of all": {"experts": Experts(6, 1)},
    "all": {"experts": Experts(6, 6, renormalise=False)},
    "shared": {"experts": Experts(6, 2, renormalise=False, shared_size=13), "qkv_bias": True},
    "wide norms": {"experts": Experts(6, 3, renormalise=False), "wide_norms": True},
}
PROMPT = [1, 5, 7]


def weights_of(config, seed=0, dtype=np.float32):
    weights = config.random_weights(seed, dtype)
    for name in weights:
        if name.endswith("gate.weight"):
            weights[name] = 4 * weights[name]  # routers that know what they want
    return weights


def run(config, H, W, new=3, dtype=np.float32, arch="wse3", streamed=False, regions=1, seed=0):
    """Errors of the logits relative to the largest, the routes, and the reference's: [tokens, layers, chosen]."""
    place = llama.Placement(
        config, H, W, capacity=-(-(len(PROMPT) + new) // H), dtype=dtype, head=True, layers=1 if streamed else None,
        regions=regions,
    )  # fmt: skip
    weights = weights_of(config, seed, dtype)
    reference, runner = llama_reference.Reference(config, weights), Runner(place, weights, arch)
    tokens, errors = PROMPT, []
    for _ in range(new):
        got, want = runner.feed(tokens), reference.logits(reference.decode(reference.embed(tokens)))[-1]
        errors.append(meshlang.largest_error(got, want, relative=True))
        tokens = [int(want.argmax())]
    return max(errors), np.array(runner.routes)[:, :, 0], np.array(reference.routes).transpose(1, 0, 2)


SLICED, REGIONS = (4, 3, False, 1, "wse2"), (5, 2, True, 2, "wse3")  # where one column is left over


@pytest.mark.parametrize(
    "name, mesh", [*((name, SLICED) for name in KINDS), *((name, REGIONS) for name in ("renormalised", "shared"))]
)
def test_tokens_and_routes(name, mesh):
    W, H, streamed, regions, arch = mesh
    config = dataclasses.replace(SMALL, **KINDS[name])
    error, got, want = run(config, H, W, streamed=streamed, regions=regions, arch=arch)
    assert error <= llama.tolerance(config, np.float32)
    assert np.array_equal(got, want)


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_regions_choose_the_same_and_are_equal_within_rounding(dtype):
    config = dataclasses.replace(SMALL, experts=Experts(6, 3, shared_size=8))
    results = [run(config, 2, 6, dtype=dtype, regions=regions) for regions in (1, 3, 6)]
    for error, routes, _ in results:
        assert error <= llama.tolerance(config, dtype)
        assert np.array_equal(routes, results[0][1])


def test_equal_logits_go_to_the_lower_number():
    """Experts 1, 2 and 4 have the same router, which is the best one or the worst one."""
    weights = weights_of(SMALL)
    for i in range(SMALL.layers):
        router = weights[f"model.layers.{i}.mlp.gate.weight"]
        router[[1, 2, 4]] = router[1]
    place = llama.Placement(SMALL, 2, 2, capacity=8, dtype=np.float32, head=True)
    reference, runner = llama_reference.Reference(SMALL, weights), Runner(place, weights, "wse3")
    tokens = list(range(10))
    runner.feed(tokens)
    reference.decode(reference.embed(tokens))
    got = np.array(runner.routes)[:, :, 0]
    assert np.array_equal(got, np.array(reference.routes).transpose(1, 0, 2))
    assert {tuple(sorted(set(way) & {1, 2, 4})) for way in got.reshape(-1, 3).tolist()} >= {(1, 2, 4), (1, 2)}


def prefill(config, H, W, tokens, *, dtype=np.float32, arch="wse3", streamed=False, regions=1, weights=None):
    """A prompt, all but its last token prefilled, and two tokens behind it: errors of the logits relative to the largest, the routes,
    the reference's, and the runner."""
    place = llama.Placement(
        config, H, W, capacity=-(-(tokens + 1) // H), dtype=dtype, head=True, layers=1 if streamed else None, regions=regions,
        prompt=tokens - 1,
    )  # fmt: skip
    weights = weights or weights_of(config, 0, dtype)
    reference, runner = llama_reference.Reference(config, weights), Runner(place, weights, arch)
    prompt = np.random.default_rng(tokens).integers(0, config.vocabulary, tokens).tolist()
    errors = []
    for _ in range(2):
        got, want = runner.feed(prompt), reference.logits(reference.decode(reference.embed(prompt)))[-1]
        errors.append(meshlang.largest_error(got, want, relative=True))
        prompt = [int(want.argmax())]
    assert runner.prefill_cycles > 0
    return max(errors), np.array(runner.routes)[:, :, 0], np.array(reference.routes).transpose(1, 0, 2), runner


# one and several panels of weights and of tokens on a PE, rows without a token, columns left over by the regions
@pytest.mark.parametrize(
    "name, H, W, tokens, regions, streamed, arch",
    [
        ("renormalised", 3, 4, 11, 1, False, "wse3"),
        ("renormalised", 2, 5, 7, 2, False, "wse2"),
        ("one of all", 4, 4, 3, 3, True, "wse3"),
        ("all", 2, 4, 9, 1, False, "wse3"),
        ("shared", 4, 2, 6, 2, False, "wse3"),
        ("wide norms", 3, 4, 9, 1, True, "wse2"),
    ],
)
def test_a_prompt_and_its_routes(name, H, W, tokens, regions, streamed, arch):
    config = dataclasses.replace(SMALL, **KINDS[name])
    error, got, want, runner = prefill(config, H, W, tokens, streamed=streamed, regions=regions, arch=arch)
    assert error <= llama.tolerance(config, np.float32)
    assert np.array_equal(got, want)
    if not streamed:  # the weights are where decoding wants them
        for layer in range(config.layers):
            runner.fabric.launch("select", layer)
            for symbol, array in runner.place.layer_weights(runner.store.weights, layer, settled=True):
                assert np.array_equal(runner.fabric.read(symbol, count=array.shape[2]), array), symbol


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_a_prompt_token_by_token_and_prefilled(dtype):
    """The same routes and the same logits within rounding, sliced and in regions."""
    config = dataclasses.replace(SMALL, experts=Experts(6, 3, shared_size=8))
    weights = weights_of(config, 0, dtype)
    decoded = Runner(llama.Placement(config, 2, 4, capacity=5, dtype=dtype, head=True), weights, "wse3")
    prompt = np.random.default_rng(8).integers(0, config.vocabulary, 8).tolist()
    want = decoded.feed(prompt)
    for regions in (1, 2):
        place = llama.Placement(config, 2, 4, capacity=5, dtype=dtype, head=True, regions=regions, prompt=7)
        runner = Runner(place, weights, "wse3")
        got = runner.feed(prompt)
        assert meshlang.largest_error(got, want, relative=True) <= llama.tolerance(config, dtype)
        assert np.array_equal(runner.routes, decoded.routes)


# a prompt of three chunks, one token, which turns the weights for decoding, and a prompt of two chunks behind it, which turns them back
@pytest.mark.parametrize(
    "name, H, W, regions, mode, dtype",
    [
        ("renormalised", 2, 4, 1, "resident", np.float32),  # several panels of weights on a PE
        ("shared", 2, 4, 2, "resident", np.float16),
        ("all", 3, 2, 1, "streamed", np.float32),
        ("wide norms", 2, 3, 3, "pipeline", np.float32),
    ],
)
def test_chunks_behind_other_tokens(name, H, W, regions, mode, dtype):
    config = dataclasses.replace(SMALL, **KINDS[name])
    turns = [5, 9, 11, 30, 2, 17, 4, 8, 1, 3, 22, 31], [7], [13, 14, 15, 16, 17, 18, 2, 39]
    tokens = sum(map(len, turns))
    place = llama.Placement(
        config, H, W, capacity=-(-tokens // H), dtype=dtype, head=True, layers=config.layers if mode == "resident" else 1,
        regions=regions, prompt=4,
    )  # fmt: skip
    weights = weights_of(config, 0, dtype)
    reference, runner = llama_reference.Reference(config, weights), Runner(place, weights, pipeline=mode == "pipeline")
    for turn in turns:
        got, want = runner.feed(turn), reference.logits(reference.decode(reference.embed(turn)))[-1]
        assert meshlang.largest_error(got, want, relative=True) <= llama.tolerance(config, dtype)
    assert runner.prefilled == 11 + 7
    assert np.array_equal(np.array(runner.routes)[:, :, 0], np.array(reference.routes).transpose(1, 0, 2))


def test_no_token_is_dropped():
    """All tokens of a prompt want the same two experts of the first of three regions: each gets both of them."""
    weights = weights_of(dataclasses.replace(SMALL, experts=Experts(6, 2)))
    for i in range(SMALL.layers):
        weights[f"model.layers.{i}.post_attention_layernorm.weight"][:] = 0
        weights[f"model.layers.{i}.post_attention_layernorm.weight"][0] = 1
    weights["model.embed_tokens.weight"][:, 0] = (
        50  # one element is large in all layers: the experts' sign follows from it
    )
    for i in range(SMALL.layers):
        router = weights[f"model.layers.{i}.mlp.gate.weight"]
        router[:, 0] = [3, 2, -1, -2, -3, -4]
    error, got, want, runner = prefill(
        dataclasses.replace(SMALL, experts=Experts(6, 2)), 2, 6, 13, regions=3, weights=weights
    )
    assert error <= llama.tolerance(SMALL, np.float32)
    assert np.array_equal(got, want) and got.shape == (14, 2, 2) and (np.sort(got, 2) == [0, 1]).all()


def test_memory_is_what_the_placement_says():
    meshes = ((3, 4, 1, np.float32, 0), (2, 6, 3, np.float16, 0), (2, 4, 2, np.float16, 9))
    for i, (name, more) in enumerate(KINDS.items()):
        config = dataclasses.replace(SMALL, **more)
        H, W, regions, dtype, prompt = meshes[i % 3]
        place = llama.Placement(config, H, W, capacity=6, head=True, regions=regions, dtype=dtype, prompt=prompt)
        program = meshlang.compile(llama.MODEL, arch="wse3", params=place.model_params()).ir
        need = max(o.address + o.size for t in program.tiles for o in t.objects)
        assert need <= sum(place.memory().values()) <= need + 700, name


def refusal(call, *args, **more):
    with pytest.raises(meshlang.MeshlangError) as caught:
        call(*args, **more)
    return caught.value.diagnostics[0]


@pytest.mark.parametrize(
    "experts, code, message",
    [
        (Experts(4, 5), "MS1430", "a token goes through 5 experts, but there are 4"),
        (Experts(0, 0), "MS0990", "the number of experts must be a positive integer, found 0"),
        (Experts(4, 0), "MS0990", "the number of experts of a token must be a positive integer, found 0"),
        (Experts(4, 2, shared_size=-1), "MS0990", "the size of the shared expert"),
        (Experts(4.0, 2), "MS0990", "found 4.0"),
    ],
)
def test_experts_that_cannot_be(experts, code, message):
    found = refusal(dataclasses.replace, SMALL, experts=experts)
    assert found.code == code and message in found.message


@pytest.mark.parametrize(
    "regions, message",
    [
        (4, "6 experts do not divide among 4 regions"),
        (7, "6 columns cannot be 7 regions"),
        (0, "6 columns cannot be 0"),
    ],
)
def test_regions_that_cannot_be(regions, message):
    found = refusal(llama.Placement, SMALL, 2, 6, capacity=4, regions=regions)
    assert found.code == "MS1431" and message in found.message
    dense = dataclasses.replace(SMALL, experts=None)
    assert refusal(llama.Placement, dense, 2, 6, capacity=4, regions=2).code == "MS1431"


def test_more_experts_than_a_pe_holds():
    many = dataclasses.replace(SMALL, hidden_size=64, feed_forward_size=64, experts=Experts(64, 2))
    found = refusal(fit.place, many, 2, 2, tokens=4, dtype=np.float16)
    assert found.code == "MS0992" and "weights" in found.message


def test_programs_that_have_no_experts():
    place = llama.Placement(SMALL, 3, 3, capacity=6)
    assert "experts" in refusal(place.params).message
