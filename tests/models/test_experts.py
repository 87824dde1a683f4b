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


def test_memory_is_what_the_placement_says():
    for name, more in KINDS.items():
        config = dataclasses.replace(SMALL, **more)
        for H, W, regions, dtype in ((3, 4, 1, np.float32), (2, 6, 3, np.float16)):
            place = llama.Placement(config, H, W, capacity=6, head=True, regions=regions, dtype=dtype)
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


def test_what_experts_do_not_do_yet():
    assert "decoded token by token" in refusal(llama.Placement, SMALL, 4, 4, capacity=4, prompt=4).message
    place = llama.Placement(SMALL, 3, 3, capacity=6)
    assert "experts" in refusal(place.params).message
