"""<llm/prefill> through programs/prefill and <llm/model> against a float64 model: any prompt, hand-over,
decoding after it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import Phase, assume, given, settings
from hypothesis import strategies as st

import meshlang
from meshlang import llama, llama_reference

PROGRAMS = Path(__file__).resolve().parents[2] / "programs"
SMALL = llama.LlamaConfig(hidden_size=32, heads=4, kv_heads=2, head_size=8, feed_forward_size=48)


def prefill(config, W, H, tokens, dtype=np.float32, arch="wse3", tree=True, room=0, scale=1.0):
    """Error relative to the largest element, the placement, the reference, keys, values, cycles."""
    place = llama.Placement(config, H, W, capacity=-(-tokens // H) + room, dtype=dtype, prompt=tokens)
    weights = config.random_weights(tokens, dtype)
    for name in weights:
        if "q_proj" in name or "k_proj" in name:
            weights[name] = weights[name] * dtype(scale)
    reference = llama_reference.Reference(config, weights)
    x = np.random.default_rng(H).uniform(-1, 1, (tokens, config.hidden_size)).astype(dtype)
    program = meshlang.compile(PROGRAMS / "prefill/layout.csl", arch=arch, params=place.prefill_params(tree))
    with program.start() as fabric:
        before = {
            name.removeprefix("turned_"): array for name, array in place.weights(weights).items() if name != "norms"
        }
        for name, array in before.items():
            fabric.write(name, array)
        fabric.write("prompt", place.prompt_vectors(x))
        for name, table in zip(("prompt_cos", "prompt_sin"), place.prompt_rotary(tokens), strict=True):
            fabric.write(name, table)
        fabric.launch("prefill", tokens)
        for name, array in before.items():  # the weights are back where they were
            assert np.array_equal(fabric.read(name, count=array.shape[2]), array)
        y = place.collect_prompt(fabric.read("prompt", count=place.prompt_elements), tokens)
        n = config.layers * place.kv_elements * place.capacity
        keys, values = fabric.read("keys", count=n), fabric.read("values", count=n)
        ticks = fabric.read("ticks", count=6).astype(np.int64)
    want = reference.decode(x)
    error = np.abs(y - want).max() / np.abs(want).max()
    return error, place, reference, keys, values, int(((ticks[..., 3:] - ticks[..., :3]) @ [1, 1 << 16, 1 << 32]).max())


@pytest.mark.parametrize("dtype, arch", [(np.float32, "wse3"), (np.float16, "wse2")])
@pytest.mark.parametrize(
    "W, H, tokens",
    [(2, 2, 5), (3, 3, 3), (4, 4, 13), (5, 5, 4), (2, 4, 7), (4, 2, 5), (3, 5, 9), (5, 3, 4), (4, 6, 11), (3, 2, 4)],
)
def test_meshes(W, H, tokens, dtype, arch):
    assert prefill(SMALL, W, H, tokens, dtype, arch)[0] <= llama.tolerance(SMALL, dtype)


@settings(max_examples=6, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(data=st.data())
def test_any_heads(data):
    draw = data.draw
    kv = draw(st.integers(1, 5))
    config = llama.LlamaConfig(
        hidden_size=draw(st.integers(4, 40)),
        heads=kv * draw(st.integers(1, 3)),
        kv_heads=kv,
        head_size=2 * draw(st.integers(1, 6)),
        feed_forward_size=draw(st.integers(4, 40)),
        layers=draw(st.integers(1, 3)),
        interleaved=draw(st.booleans()),
    )
    dtype = draw(st.sampled_from([np.float32, np.float16]))
    W, H, tokens = draw(st.integers(2, 6)), draw(st.integers(2, 6)), draw(st.integers(1, 14))
    arch, tree = draw(st.sampled_from(["wse2", "wse3"])), draw(st.booleans())
    try:
        error = prefill(config, W, H, tokens, dtype, arch, tree)[0]
    except meshlang.MeshlangError as refused:
        assume(refused.diagnostics[0].code != "MS0992")  # too much for a PE's memory
        raise
    assert error <= llama.tolerance(config, dtype)


@pytest.mark.parametrize("W, H", [(16, 8), (8, 16)])
def test_large_meshes(W, H):
    config = llama.LlamaConfig(hidden_size=64, heads=8, kv_heads=4, head_size=8, feed_forward_size=96)
    assert prefill(config, W, H, 2 * H, np.float16)[0] <= llama.tolerance(config, np.float16)


def test_large_scores():
    """The running maximum keeps e^score in range in f16, whatever the order of the blocks."""
    assert prefill(SMALL, 4, 4, 12, np.float16, scale=8.0)[0] <= 8 * llama.tolerance(SMALL, np.float16)


def test_keys_and_values_are_where_decoding_wants_them():
    for W, tokens in ((4, 3), (3, 9)):
        _, place, reference, keys, values, _ = prefill(SMALL, W, 4, tokens, room=2)
        keys = keys.reshape(4, W, place.kv_elements, place.capacity)
        values = values.reshape(4, W, place.kv_heads, place.capacity, place.head_elements)
        index = place.kv_index.reshape(W, -1)
        for y, row in enumerate(place.prompt_tokens(tokens)):
            for x in range(W):
                for i, token in enumerate(row):
                    want_k, want_v = (
                        np.append(t[0].transpose(1, 0, 2)[token].ravel(), 0.0)[index[x]]
                        for t in (reference.keys, reference.values)
                    )
                    assert np.abs(keys[y, x, :, i] - want_k).max() < 1e-5
                    assert np.abs(values[y, x, :, i].ravel() - want_v).max() < 1e-5


def generate(config, W, H, prompt, new, dtype, arch, shift=True, room=0):
    """Largest relative error of the logits, and how many greedy tokens are the reference's."""
    total = prompt + new - 1
    place = llama.Placement(
        config,
        H,
        W,
        capacity=(-(-total // H) if shift else -(-prompt // H) + new) + room,
        dtype=dtype,
        head=True,
        prompt=max(prompt - 1, 1),
        shift=shift,
    )
    weights = config.random_weights(7, dtype)
    reference = llama_reference.Reference(config, weights)
    tokens = np.random.default_rng(prompt).integers(0, config.vocabulary, prompt).tolist()
    table = weights["model.embed_tokens.weight"]
    program = meshlang.compile(llama.MODEL, arch=arch, params=place.model_params())
    error, agreed = 0.0, 0
    with program.start() as fabric:
        for name, array in place.weights(weights).items():
            fabric.write(name, array)
        if prompt > 1:
            fabric.write("prompt", place.prompt_vectors(table[tokens[:-1]]))
            for name, t in zip(("prompt_cos", "prompt_sin"), place.prompt_rotary(prompt - 1), strict=True):
                fabric.write(name, t)
            fabric.launch("prefill", prompt - 1)
            reference.decode(reference.embed(tokens[:-1]))
        fabric.launch("settle", prompt - 1)
        for name, array in place.weights(weights, settled=True).items():
            assert np.array_equal(fabric.read(name, count=array.shape[2]), array), name
        for _ in range(new):
            position = len(tokens) - 1
            fabric.write("x", place.hidden_vector(table[tokens[-1]]))
            for name, t in zip(("cos", "sin"), place.rotary(position), strict=True):
                fabric.write(name, t)
            fabric.launch("decode", position)
            logits = place.collect_logits(fabric.read("logits", count=place.vocabulary))
            want = reference.logits(reference.decode(reference.embed(tokens[-1:])))[0]
            error = max(error, np.abs(logits - want).max() / np.abs(want).max())
            agreed += int(logits.argmax() == want.argmax())
            tokens.append(int(logits.argmax()))
    return error, agreed


@pytest.mark.parametrize(
    "W, H, prompt, new, shift, arch",
    [
        (4, 4, 9, 9, True, "wse3"),
        (3, 3, 5, 8, True, "wse2"),
        (5, 5, 1, 6, True, "wse3"),
        (2, 2, 2, 3, True, "wse2"),
        (4, 4, 7, 5, False, "wse3"),
        (2, 4, 9, 5, True, "wse3"),
        (4, 2, 6, 4, True, "wse2"),
        (3, 5, 8, 6, False, "wse3"),
        (8, 4, 10, 4, True, "wse3"),
        (4, 6, 7, 5, True, "wse2"),
        (5, 4, 1, 4, True, "wse3"),
        (3, 2, 3, 3, True, "wse3"),
    ],
)
def test_prefill_then_decode(W, H, prompt, new, shift, arch):
    config = llama.LlamaConfig(
        hidden_size=30,
        heads=4,
        kv_heads=2,
        head_size=6,
        feed_forward_size=50,
        layers=2,
        vocabulary=40,
        tied_embeddings=W == 3,
    )
    error, agreed = generate(config, W, H, prompt, new, np.float32, arch, shift)
    assert error <= llama.tolerance(config, np.float32) and agreed == new
    if prompt < 5 or (W, H) == (5, 5):  # half of the elements' size is another program: not twice for every mesh
        assert generate(config, W, H, prompt, new, np.float16, arch, shift)[0] <= llama.tolerance(config, np.float16)


def test_entries_in_the_wrong_order():
    """Decoding before `settle`, prefilling or settling after it, and a token out of turn stop the machine."""
    place = llama.Placement(SMALL, 2, 2, capacity=4, prompt=4, head=True)
    program = meshlang.compile(llama.MODEL, params=place.model_params())
    for calls in (
        [("decode", 0)],
        [("settle", 0), ("prefill", 2)],
        [("settle", 0), ("settle", 0)],
        [("settle", 2), ("decode", 3)],
    ):
        with pytest.raises(meshlang.MeshlangError, match="assert"), program.start() as fabric:
            for name, tokens in calls:
                fabric.launch(name, tokens)


def test_stated_cost():
    place = llama.Placement(SMALL, 8, 4, capacity=2, prompt=16)
    program = meshlang.compile(PROGRAMS / "prefill/layout.csl", params=place.prefill_params()).ir
    assert set(program.fabric.color) <= {0, 1, 2, 3, 4, 5, *range(12, 18)}
    for tile in program.tiles:
        assert len(tile.inputs) <= 5 and len(tile.tasks) == 3
    for H, W, arch, outputs in ((6, 6, "wse2", 4), (4, 6, "wse3", 6)):
        place = llama.Placement(SMALL, H, W, capacity=4, prompt=16, head=True)
        program = meshlang.compile(llama.MODEL, arch=arch, params=place.model_params()).ir
        assert max(len(t.inputs) for t in program.tiles) <= 6 and max(len(t.outputs) for t in program.tiles) <= outputs
        # what the host says a PE needs is what it needs
        need = max(o.address + o.size for t in program.tiles for o in t.objects)
        assert need <= sum(place.memory().values()) <= need + 600
