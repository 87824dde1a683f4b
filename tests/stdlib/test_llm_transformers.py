"""The mesh against Hugging Face transformers' Llama with random weights. Needs the extra `llm-reference` (torch,
transformers)."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

import meshlang
from meshlang import llama, llama_reference

torch = pytest.importorskip("torch", reason="the extra llm-reference is not installed")
transformers = pytest.importorskip("transformers", reason="the extra llm-reference is not installed")

PROGRAMS = Path(__file__).resolve().parents[2] / "programs"
SIZES = {
    "hidden_size": 48,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "intermediate_size": 80,
    "num_hidden_layers": 2,
    "vocab_size": 96,
    "rms_norm_eps": 1e-5,
    "max_position_embeddings": 128,
    "initializer_range": 0.15,
}


@pytest.fixture(
    scope="module",
    params=[{"num_key_value_heads": 2}, {"num_key_value_heads": 6, "tie_word_embeddings": True}],
    ids=["grouped", "multi-head, tied"],
)
def model(request, tmp_path_factory):
    """transformers' model, our configuration read from the config.json it saves, and its weights."""
    torch.manual_seed(5)
    config = transformers.LlamaConfig(**(SIZES | request.param), attn_implementation="eager")
    model = transformers.LlamaForCausalLM(config).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "norm" in name:
                weight.uniform_(0.9, 1.1)
    folder = tmp_path_factory.mktemp("llama")
    config.save_pretrained(folder)
    assert json.loads((folder / "config.json").read_text())["hidden_size"] == SIZES["hidden_size"]
    weights = {name: w.detach().numpy() for name, w in model.state_dict().items() if "rotary" not in name}
    return model, llama.LlamaConfig.from_json(folder / "config.json"), weights


def logits_of(model, tokens):
    with torch.no_grad():
        return model(torch.tensor([tokens])).logits[0].double().numpy()


class Session:
    """<llm/model> with a prompt of which all but the last token are prefilled."""

    def __init__(self, config, weights, prompt, new, dtype, W=4, H=4, arch="wse3"):
        total = len(prompt) + new - 1
        self.place = llama.Placement(
            config, H, W, capacity=-(-total // H), dtype=dtype, head=True, prompt=len(prompt) - 1
        )
        self.table, self.position = weights["model.embed_tokens.weight"].astype(dtype), len(prompt) - 1
        program = meshlang.compile(llama.MODEL, arch=arch, params=self.place.model_params())
        self.fabric = program.start().__enter__()
        for name, array in self.place.weights(weights).items():
            self.fabric.write(name, array)
        self.fabric.write("prompt", self.place.prompt_vectors(self.table[prompt[:-1]]))
        for name, t in zip(("prompt_cos", "prompt_sin"), self.place.prompt_rotary(len(prompt) - 1), strict=True):
            self.fabric.write(name, t)
        self.fabric.launch("prefill", len(prompt) - 1)
        self.fabric.launch("settle", len(prompt) - 1)

    def step(self, token):
        self.fabric.write("x", self.place.hidden_vector(self.table[token]))
        for name, t in zip(("cos", "sin"), self.place.rotary(self.position), strict=True):
            self.fabric.write(name, t)
        self.fabric.launch("decode", self.position)
        self.position += 1
        return self.place.collect_logits(self.fabric.read("logits", count=self.place.vocabulary))


PROMPT = [3, 14, 15, 92, 65, 35, 89, 79, 32, 38, 46]


@pytest.mark.parametrize("W, H, arch", [(4, 4, "wse2"), (4, 4, "wse3"), (6, 4, "wse3")])
def test_greedy_tokens(model, W, H, arch):
    """32 tokens after the prompt, f32: every one is transformers'; so are the logits."""
    reference, config, weights = model
    session = Session(config, weights, PROMPT, 32, np.float32, W, H, arch)
    tokens = list(PROMPT)
    for _ in range(32):
        logits, want = session.step(tokens[-1]), logits_of(reference, tokens)[-1]
        # transformers rounds, too
        assert np.abs(logits - want).max() <= 2 * llama.tolerance(config, np.float32) * np.abs(want).max()
        assert logits.argmax() == want.argmax()
        tokens.append(int(logits.argmax()))


def test_f16_logits(model):
    """f16 weights and arithmetic against transformers' f32 with the same f16 weights."""
    reference, config, weights = model
    with torch.no_grad():
        for w in reference.parameters():
            w.copy_(w.half().float())
    weights = {name: w.astype(np.float16) for name, w in weights.items()}
    session = Session(config, weights, PROMPT, 8, np.float16)
    tokens = list(PROMPT)
    for _ in range(8):
        logits, want = session.step(tokens[-1]), logits_of(reference, tokens)[-1]
        assert np.abs(logits - want).max() <= llama.tolerance(config, np.float16) * np.abs(want).max()
        tokens.append(int(want.argmax()))


def test_decoder_layer(model):
    """One layer, without embedding and output projection, in f32: hidden states after each of several tokens."""
    reference, config, weights = model
    layer = dataclasses.replace(config, layers=1)
    place = llama.Placement(layer, 4, 3, capacity=2, dtype=np.float32)
    x = np.random.default_rng(0).uniform(-1, 1, (6, config.hidden_size)).astype(np.float32)
    with torch.no_grad():
        hidden = torch.tensor(x)[None]
        position = torch.arange(6)[None]
        mask = torch.full((6, 6), float("-inf")).triu(1)[None, None]
        out = reference.model.layers[0](
            hidden,
            attention_mask=mask,
            position_ids=position,
            position_embeddings=reference.model.rotary_emb(hidden, position),
        )
        want = (out[0] if isinstance(out, tuple) else out).reshape(6, -1).numpy()
    program = meshlang.compile(PROGRAMS / "decoder/layout.csl", params=place.params())
    with program.start() as fabric:
        first = {name: w for name, w in weights.items() if not name.startswith("model.layers.") or ".layers.0." in name}
        for name, array in place.weights(first).items():
            fabric.write(name, array)
        for token in range(6):
            fabric.write("x", place.hidden_vector(x[token]))
            for name, t in zip(("cos", "sin"), place.rotary(token), strict=True):
                fabric.write(name, t)
            fabric.launch("decode", token)
            got = place.collect_hidden(fabric.read("x", count=place.hidden))
            assert np.abs(got - want[token]).max() <= 2 * llama.tolerance(layer, np.float32) * np.abs(want).max()


def test_our_reference_is_transformers(model):
    reference, config, weights = model
    ours = llama_reference.Reference(config, weights)
    want = logits_of(reference, PROMPT)
    got = ours.logits(ours.decode(ours.embed(PROMPT)))
    assert np.abs(got - want).max() <= 1e-5 * np.abs(want).max()
