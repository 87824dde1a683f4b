"""What families differ in, on the mesh: prompts and tokens after them against the reference in float64."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import Phase, assume, given, settings
from hypothesis import strategies as st

import meshlang
from meshlang import llama, llama_reference
from meshlang.models.rotary import RotaryScaling
from meshlang.models.runner import Runner

SMALL = llama.LlamaConfig(
    hidden_size=30, heads=4, kv_heads=2, head_size=8, feed_forward_size=44, layers=2, vocabulary=40
)
BIASES = {"qkv_bias": True, "output_bias": True, "feed_bias": True}
FAMILIES = {
    "qwen2": {"qkv_bias": True},
    "qwen3": {"head_norms": True},
    "gemma": {"activation": "gelu", "norm_offset": 1.0, "embeddings_scaled": True, "tied_embeddings": True},
    "mistral": {"window": 5},
    "llama": BIASES,
    "llama 3.1": {"rotary_scaling": RotaryScaling("llama3", 8.0, 4, 1.0, 4.0)},
    "dynamic": {"rotary_scaling": RotaryScaling("dynamic", 2.0, 6)},
    "all": BIASES | {"head_norms": True, "activation": "gelu", "window": 4},
}


def errors(config, W, H, prompt, new, dtype=np.float32, arch="wse3", streamed=False, prefill=None, shift=True):
    """Errors of the logits, relative to the largest, after a random prompt and after each of `new` greedy tokens."""
    prefilled = len(prompt) - 1 if prefill is None else prefill
    total = len(prompt) + new
    place = llama.Placement(
        config, H, W, capacity=-(-total // H) if shift else -(-total // H) + total, dtype=dtype, head=True, prompt=prefilled,
        layers=1 if streamed else None, shift=shift,
    )  # fmt: skip
    weights = config.random_weights(len(prompt), dtype)
    for name, array in weights.items():  # what is small could be left out without being missed
        if name.endswith("bias") or (config.head_norms and "_norm.weight" in name):
            weights[name] = (5 * (array - array.mean()) + array.mean()).astype(dtype)
    reference = llama_reference.Reference(config, weights)
    runner = Runner(place, weights, arch)
    tokens, out = list(prompt), []
    for _ in range(new + 1):
        got, want = runner.feed(tokens), reference.logits(reference.decode(reference.embed(tokens)))[-1]
        out.append(meshlang.largest_error(got, want, relative=True))
        tokens = [int(want.argmax())]
        if dtype == np.float32:
            assert int(got.argmax()) == tokens[0]
    return max(out)


def prompt_of(n):
    return np.random.default_rng(n).integers(0, 40, n).tolist()


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("W, H, n, dtype, streamed", [(4, 4, 9, np.float32, False), (3, 2, 6, np.float16, True)])
def test_prompt_and_tokens(name, W, H, n, dtype, streamed):
    config = dataclasses.replace(SMALL, **FAMILIES[name])
    assert errors(config, W, H, prompt_of(n), 5, dtype, streamed=streamed) <= llama.tolerance(config, dtype)


@pytest.mark.parametrize("name", ["all", "mistral"])
@pytest.mark.parametrize("W, H, n, prefill, shift, arch", [(1, 3, 4, 0, True, "wse2"), (4, 2, 7, 3, False, "wse3")])
def test_without_a_prefill_or_with_half_of_it(name, W, H, n, prefill, shift, arch):
    config = dataclasses.replace(SMALL, **FAMILIES[name])
    assert errors(config, W, H, prompt_of(n), 5, arch=arch, prefill=prefill, shift=shift) <= llama.tolerance(
        config, np.float32
    )


@settings(max_examples=5, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(data=st.data())
def test_any_shape(data):
    draw = data.draw
    kv = draw(st.integers(1, 4))
    config = llama.LlamaConfig(
        hidden_size=draw(st.integers(4, 40)),
        heads=kv * draw(st.integers(1, 3)),
        kv_heads=kv,
        head_size=2 * draw(st.integers(1, 6)),
        feed_forward_size=draw(st.integers(4, 40)),
        layers=draw(st.integers(1, 2)),
        vocabulary=40,
        activation=draw(st.sampled_from(["silu", "gelu"])),
        window=draw(st.one_of(st.none(), st.integers(1, 12))),
        qkv_bias=draw(st.booleans()),
        output_bias=draw(st.booleans()),
        feed_bias=draw(st.booleans()),
        head_norms=draw(st.booleans()),
        norm_offset=draw(st.sampled_from([0.0, 1.0])),
        embeddings_scaled=draw(st.booleans()),
        tied_embeddings=draw(st.booleans()),
    )
    W, H, n = draw(st.integers(1, 6)), draw(st.integers(1, 6)), draw(st.integers(1, 12))
    prefill = None if min(W, H) > 1 else 0
    arch, streamed = draw(st.sampled_from(["wse2", "wse3"])), draw(st.booleans())
    try:
        error = errors(
            config, W, H, prompt_of(n), 3, arch=arch, streamed=streamed and config.layers > 1, prefill=prefill
        )
    except meshlang.MeshlangError as refused:
        assume(refused.diagnostics[0].code != "MS0992")  # too much for a PE's memory
        raise
    assert error <= llama.tolerance(config, np.float32)


@pytest.mark.parametrize("window", [1, 3, 4, 7, 100])
def test_windows_of_all_sizes(window):
    """Shorter than a row's tokens, as long as the sequence, longer; over the end of the prompt."""
    config = dataclasses.replace(SMALL, window=window, layers=1)
    assert errors(config, 2, 3, prompt_of(11), 6) <= llama.tolerance(config, np.float32)


def test_memory_is_what_the_placement_says():
    config = dataclasses.replace(SMALL, **FAMILIES["all"])
    for H, W, prompt in ((4, 6, 16), (3, 3, 9), (3, 2, 0)):
        place = llama.Placement(config, H, W, capacity=6, prompt=prompt, head=True)
        program = meshlang.compile(llama.MODEL, arch="wse3", params=place.model_params()).ir
        need = max(o.address + o.size for t in program.tiles for o in t.objects)
        assert need <= sum(place.memory().values()) <= need + 700


def test_programs_of_plain_layers_refuse_others():
    for more in FAMILIES.values():
        config = dataclasses.replace(SMALL, **more)
        if not config.beyond_llama():
            continue
        place = llama.Placement(config, 3, 3, capacity=6, prompt=4)
        for call in (place.params, place.prefill_params):
            with pytest.raises(meshlang.MeshlangError, match="computes Llama's layers"):
                call()
