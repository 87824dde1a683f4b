"""meshlang.llama: configurations, placement and collection, and what it refuses."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import meshlang
from meshlang import llama, llama_reference

HF = {
    "model_type": "llama",
    "hidden_size": 64,
    "num_attention_heads": 8,
    "num_key_value_heads": 2,
    "intermediate_size": 128,
    "num_hidden_layers": 3,
    "vocab_size": 100,
    "rms_norm_eps": 1e-6,
    "rope_theta": 500000.0,
    "hidden_act": "silu",
    "tie_word_embeddings": True,
    "rope_scaling": None,
    "attention_bias": False,
}


def code_of(call, *arguments, **more):
    with pytest.raises(meshlang.MeshlangError) as found:
        call(*arguments, **more)
    return found.value.diagnostics[0].code, found.value.diagnostics[0].message


def test_config_json(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(HF))
    c = llama.LlamaConfig.from_json(tmp_path / "config.json")
    assert c == llama.LlamaConfig(64, 8, 2, 8, 128, 3, 100, 1e-6, 500000.0, False, True) and c.queries == 4
    # the form of transformers 5, a head size of its own, defaults
    newer = {k: v for k, v in HF.items() if k not in ("rope_theta", "rms_norm_eps", "num_key_value_heads")} | {
        "head_dim": 16,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1234.0},
    }
    c = llama.LlamaConfig.from_dict(newer)
    assert (c.head_size, c.kv_heads, c.rotary_base, c.norm_epsilon) == (16, 8, 1234.0, 1e-6)
    assert "lm_head.weight" not in c.shapes()


@pytest.mark.parametrize(
    "change, message",
    [
        ({"hidden_size": None}, "has no 'hidden_size'"),
        ({"num_attention_heads": 6}, "64 does not divide among 6 heads"),
        ({"num_key_value_heads": 3}, "8 query heads do not divide among 3"),
        ({"head_dim": 7}, "a head size of 7 is odd"),
        ({"hidden_size": "64"}, "the hidden size '64' does not divide"),
        ({"num_key_value_heads": 0}, "kv_heads must be a positive integer, found 0"),
        ({"tie_word_embeddings": "yes"}, "tie_word_embeddings must be true or false, found 'yes'"),
        ({"rms_norm_eps": float("nan")}, "rms_norm_eps must be a number, found nan"),
        ({"rms_norm_eps": "1e-6"}, "rms_norm_eps must be a number, found '1e-6'"),
        ({"rope_theta": float("inf")}, "rope_theta must be a number, found inf"),
        ({"rope_theta": 1.0}, "rotary_base above 1"),
        ({"rope_scaling": {"type": "linear"}}, "rotary scaling of type 'linear' has no 'factor'"),
        ({"rope_scaling": {"type": "linear", "factor": 0.5}}, "factor must be at least 1, found 0.5"),
        ({"rope_scaling": {"type": "linear", "factor": "4"}}, "'factor' must be a number, found '4'"),
        ({"rope_scaling": {"type": "dynamic", "factor": 4.0}}, "needs max_position_embeddings, found None"),
        ({"rope_scaling": [4.0]}, "rope_scaling is [4.0], not an object"),
        ({"num_hidden_layers": 0}, "layers must be a positive integer, found 0"),
        ({"intermediate_size": 1.5}, "feed_forward_size must be a positive integer, found 1.5"),
        ({"rms_norm_eps": 0.0}, "norm_epsilon must be positive"),
    ],
)
def test_config_refused(change, message):
    code, text = code_of(llama.LlamaConfig.from_dict, HF | change)
    assert code == "MS0990" and message in text


def test_config_files_refused(tmp_path):
    assert code_of(llama.LlamaConfig.from_json, tmp_path / "none.json")[0] == "MS0901"
    for text in ("{", "[1]"):
        (tmp_path / "config.json").write_text(text)
        assert code_of(llama.LlamaConfig.from_json, tmp_path / "config.json")[0] == "MS0990"


SMALL = llama.LlamaConfig(hidden_size=30, heads=6, kv_heads=3, head_size=6, feed_forward_size=44)


@pytest.mark.parametrize(
    "arguments, code, message",
    [
        ({"height": 0, "width": 4, "capacity": 4}, "MS0991", "4 x 0 PEs"),
        ({"height": 4, "width": 4, "capacity": 0}, "MS0991", "0 tokens per PE"),
        ({"height": 4, "width": 4, "capacity": 4, "layers": 2}, "MS0991", "2 of 1 layers"),
        ({"height": 4, "width": 4, "capacity": 4, "dtype": np.float64}, "MS0991", "not float64"),
        (
            {"height": 4, "width": 1, "capacity": 4, "prompt": 8},
            "MS0991",
            "at least 2 x 2 PEs, whose rows and columns are rings; found 1 x 4",
        ),
        (
            {"height": 2, "width": 2, "capacity": 3, "prompt": 7},
            "MS0993",
            "a prompt of 7 tokens puts 4 on a row, but a PE's cache holds 3",
        ),
        ({"height": 1, "width": 1, "capacity": 3000}, "MS0992", "on 1 x 1 PEs take"),
        ({"height": 2, "width": 2, "capacity": 80, "prompt": 160}, "MS0992", "of a PE's 49,152 bytes (weights"),
    ],
)
def test_placement_refused(arguments, code, message):
    found = code_of(lambda: llama.Placement(SMALL, **arguments))
    assert found[0] == code and message in found[1]


def test_cache_full():
    shift, concat = (llama.Placement(SMALL, 4, 2, capacity=5, shift=s) for s in (True, False))
    shift.check_tokens(20)
    concat.check_tokens(5)
    concat.check_tokens(11, prefilled=8)  # two on each row, and three more on the last
    for place, tokens, prefilled in ((shift, 21, 0), (concat, 6, 0), (concat, 12, 8)):
        code, message = code_of(place.check_tokens, tokens, prefilled)
        assert code == "MS0993" and f"{tokens} tokens, but 5 per PE on 4 rows hold {tokens - 1}" in message
    assert shift.tokens() == 4 * concat.tokens()


def test_random_weights_of_layers_alone_are_the_same():
    every, layers = SMALL.random_weights(5), SMALL.random_weights(5, vocabulary=False)
    assert set(every) - set(layers) == {"model.embed_tokens.weight", "lm_head.weight"}
    assert all((layers[name] == every[name]).all() for name in layers)


def test_weights_refused():
    place = llama.Placement(SMALL, 4, 4, capacity=4, head=True)
    weights = SMALL.random_weights()
    name = "model.layers.0.self_attn.k_proj.weight"
    assert code_of(place.weights, {n: w for n, w in weights.items() if n != name}) == (
        "MS0994",
        f"the weights have no {name!r}",
    )
    code, message = code_of(place.weights, weights | {name: weights[name].T})
    assert code == "MS0994" and "has shape [30, 18], but the configuration says [18, 30]" in message


def test_prompt_refused():
    place = llama.Placement(SMALL, 4, 4, capacity=4, prompt=8)
    for n in (0, 9):
        code, message = code_of(place.prompt_vectors, np.zeros((n, 30)))
        assert code == "MS0991" and f"a prompt of {n} tokens" in message


@settings(max_examples=40, deadline=None)
@given(
    H=st.integers(1, 7),
    W=st.integers(1, 9),
    kv=st.integers(1, 6),
    queries=st.integers(1, 3),
    pairs=st.integers(1, 5),
    interleaved=st.booleans(),
    E=st.integers(1, 40),
)
def test_placement_is_complete(H, W, kv, queries, pairs, interleaved, E):
    """Every query, key and value element is on exactly one column, keys with the queries that need them, pairs
    together."""
    config = llama.LlamaConfig(
        hidden_size=E,
        heads=kv * queries,
        kv_heads=kv,
        head_size=2 * pairs,
        feed_forward_size=10,
        interleaved=interleaved,
    )
    place = llama.Placement(config, H, W, capacity=1, dtype=np.float32)
    for index, total in ((place.kv_index, kv), (place.q_index, kv * queries)):
        assert sorted(index[index >= 0].tolist()) == list(range(total * 2 * pairs))
    head, element = place.kv_index // (2 * pairs), place.kv_index % (2 * pairs)
    q_head, q_element = place.q_index // (2 * pairs), place.q_index % (2 * pairs)
    known = place.q_index >= 0
    assert np.array_equal(known, np.broadcast_to((place.kv_index >= 0)[:, :, None, :], known.shape))
    assert ((q_head // queries == head[:, :, None, :]) & (q_element == element[:, :, None, :]))[known].all()
    n = place.head_elements
    first, second = (slice(0, None, 2), slice(1, None, 2)) if interleaved else (slice(0, n // 2), slice(n // 2, None))
    ok = place.kv_index[..., first] >= 0
    assert (element[..., second] - element[..., first] == (1 if interleaved else pairs))[ok].all()
    # groups of columns share heads, and the line's groups are these
    for x in range(W):
        mine = set(head[x][place.kv_index[x] >= 0].tolist())
        assert mine <= {(x // place.group) * place.kv_heads + j for j in range(place.kv_heads)}
    # and no column of a group is without elements
    assert (place.pairs[: place.group] >= 0).any(axis=1).all()
    x = np.random.default_rng(E).uniform(-1, 1, E).astype(np.float32)
    assert np.array_equal(place.collect_hidden(place.hidden_vector(x)), x)


@settings(max_examples=20, deadline=None)
@given(W=st.integers(2, 7), H=st.integers(2, 7), tokens=st.integers(1, 20), E=st.integers(1, 90))
def test_prompts_come_back(W, H, tokens, E):
    config = llama.LlamaConfig(hidden_size=E, heads=2, kv_heads=1, head_size=4, feed_forward_size=6)
    place = llama.Placement(config, H, W, capacity=tokens, dtype=np.float32, prompt=tokens)
    x = np.random.default_rng(tokens).uniform(-1, 1, (tokens, E)).astype(np.float32)
    assert np.array_equal(place.collect_prompt(place.prompt_vectors(x), tokens), x)
    # a row has each element once, and so has a column of weights
    for index in (*place.turned_index, *place.turned_weights.swapaxes(0, 1)):
        assert sorted(i for i in index.ravel() if i >= 0) == list(range(E))
    lengths = [len(r) for r in place.prompt_tokens(tokens)]
    assert sum(lengths) == tokens and max(lengths) - min(lengths) <= 1 and lengths == sorted(lengths)


def test_reference_one_by_one_or_at_once():
    config = llama.LlamaConfig(hidden_size=12, heads=4, kv_heads=2, head_size=6, feed_forward_size=20, layers=2)
    weights = config.random_weights(3)
    x = np.random.default_rng(0).uniform(-1, 1, (5, 12))
    at_once, single = llama_reference.Reference(config, weights), llama_reference.Reference(config, weights)
    want = at_once.decode(x)
    assert np.allclose(want, np.concatenate([single.decode(row[None]) for row in x]), rtol=1e-12)
    assert at_once.tokens == single.tokens == 5


def test_a_prefill_that_does_not_fit_names_a_rectangle_that_does():
    """15 rows and 16 columns have 240 panels of two elements, most of them padded; 14 and 16 have 112 of three."""
    config = llama.LlamaConfig(hidden_size=256, heads=8, kv_heads=8, head_size=32, feed_forward_size=512)
    sizes = {"capacity": 20, "dtype": np.float32, "prompt": 280}
    with pytest.raises(meshlang.MeshlangError) as found:
        llama.Placement(config, 15, 16, **sizes)
    (refused,) = found.value.diagnostics
    assert refused.code == "MS0992" and refused.help.startswith("it would fit on ")
    width, height = (int(n) for n in re.findall(r"on (\d+) x (\d+) PEs", refused.help)[0])
    assert height <= 15 and width <= 16 and "lcm(16, 15) = 240 panels" in refused.help
    llama.Placement(config, height, width, **(sizes | {"capacity": -(-20 * 15 // height)}))
    with pytest.raises(meshlang.MeshlangError) as found:  # without panels there is nothing to advise
        llama.Placement(config, 2, 2, capacity=20)
    assert found.value.diagnostics[0].help.startswith("use a larger mesh")


def test_matrices_of_large_models_stay_narrow_in_the_reference(monkeypatch):
    """... and become float64 a few rows at a time: the same hidden states and logits, without a matrix in double precision."""
    config = llama.LlamaConfig(
        hidden_size=32, heads=4, kv_heads=2, head_size=8, feed_forward_size=48, layers=2, vocabulary=50
    )
    weights = config.random_weights(3, np.float16)
    plain = llama_reference.Reference(config, weights)
    monkeypatch.setattr(llama_reference, "LARGE", 0)
    monkeypatch.setattr(llama_reference, "_PIECE", 5 * 32)
    narrow = llama_reference.Reference(config, weights)
    assert {w.dtype for w in narrow.weights.values() if w.ndim > 1} == {np.dtype(np.float16)}
    x = plain.embed([3, 1, 4])
    assert (narrow.embed([3, 1, 4]) == x).all()
    y, other = plain.decode(x), narrow.decode(x)
    np.testing.assert_allclose(other, y, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(narrow.logits(other), plain.logits(y), rtol=1e-12, atol=1e-12)
