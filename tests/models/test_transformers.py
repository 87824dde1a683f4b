"""Tiny random models that transformers saves, read from their folders and run on the mesh: the logits of a prompt, and 32
greedy tokens after it, of every family in its shapes. Needs the extra `llm-reference`."""

from __future__ import annotations

import json

import numpy as np
import pytest

import meshlang
from meshlang import llama
from meshlang.cli import main
from meshlang.models import fit
from meshlang.models.checkpoint import Checkpoint
from meshlang.models.runner import Runner

torch = pytest.importorskip("torch", reason="the extra llm-reference is not installed")
transformers = pytest.importorskip("transformers", reason="the extra llm-reference is not installed")

SIZES = {
    "hidden_size": 32,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 40,
    "num_hidden_layers": 2,
    "vocab_size": 64,
    "max_position_embeddings": 128,
    "initializer_range": 0.2,
    "pad_token_id": None,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
LLAMA3 = {"low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 16}


def rope(kind, factor, **more):
    return {"rope_parameters": {"rope_type": kind, "factor": factor, "rope_theta": 1e4} | more}


MODELS = {
    "llama, multi-head": ("Llama", {"num_key_value_heads": 4, "tie_word_embeddings": True}),
    "llama, one key-value head, biases": (
        "Llama",
        {"num_key_value_heads": 1, "attention_bias": True, "mlp_bias": True},
    ),
    "llama 3.1": ("Llama", rope("llama3", 8.0, **LLAMA3) | {"head_dim": 12}),
    "llama, linear": ("Llama", rope("linear", 3.0)),
    "llama, dynamic": ("Llama", rope("dynamic", 2.0) | {"max_position_embeddings": 16}),
    "llama, yarn": ("Llama", rope("yarn", 4.0, original_max_position_embeddings=16) | {"head_dim": 16}),
    "mistral": ("Mistral", {"sliding_window": None}),
    "mistral, window": ("Mistral", {"sliding_window": 6}),
    "qwen2": ("Qwen2", {}),
    "qwen2, tied": ("Qwen2", {"tie_word_embeddings": True, "num_key_value_heads": 4}),
    "qwen3": ("Qwen3", {"head_dim": 8}),
    "qwen3, biases, tied": ("Qwen3", {"head_dim": 16, "attention_bias": True, "tie_word_embeddings": True}),
    "gemma": ("Gemma", {"head_dim": 16, "num_key_value_heads": 1}),
    "gemma, multi-head": ("Gemma", {"head_dim": 8, "num_key_value_heads": 4}),
    "mixtral": ("Mixtral", {"num_local_experts": 5, "num_experts_per_tok": 2}),
    "mixtral, one of four, window": (
        "Mixtral",
        {"num_local_experts": 4, "num_experts_per_tok": 1, "sliding_window": 6, "intermediate_size": 21},
    ),
    "qwen3 moe": (
        "Qwen3Moe",
        {
            "num_experts": 7,
            "num_experts_per_tok": 3,
            "moe_intermediate_size": 18,
            "head_dim": 8,
            "norm_topk_prob": True,
        },
    ),
    "qwen3 moe, all of six, biases": (
        "Qwen3Moe",
        {
            "num_experts": 6,
            "num_experts_per_tok": 6,
            "moe_intermediate_size": 9,
            "head_dim": 12,
            "attention_bias": True,
        },
    ),
    "olmoe": ("Olmoe", {"num_experts": 6, "num_experts_per_tok": 2, "num_key_value_heads": 4}),
    "olmoe, grouped, renormalised": ("Olmoe", {"num_experts": 5, "num_experts_per_tok": 3, "norm_topk_prob": True}),
    "qwen2 moe, shared expert": (
        "Qwen2Moe",
        {
            "num_experts": 6,
            "num_experts_per_tok": 3,
            "moe_intermediate_size": 14,
            "shared_expert_intermediate_size": 27,
        },
    ),
    "qwen2 moe, renormalised": (
        "Qwen2Moe",
        {
            "num_experts": 4,
            "num_experts_per_tok": 2,
            "moe_intermediate_size": 10,
            "shared_expert_intermediate_size": 9,
            "norm_topk_prob": True,
            "qkv_bias": False,
        },
    ),
}
PROMPT = [3, 14, 15, 9, 26, 5, 35, 8, 9, 7, 32]


def save(folder, name, dtype=torch.float32):
    """A random model in a folder; biases and norms so large that none can be missed."""
    family, more = MODELS[name]
    torch.manual_seed(len(name))
    config = getattr(transformers, family + "Config")(**(SIZES | more), attn_implementation="eager")
    config._experts_implementation = "eager"  # the other ways want sizes that are multiples of 16 bytes
    model = getattr(transformers, family + "ForCausalLM")(config).eval()
    with torch.no_grad():
        for parameter, values in model.named_parameters():
            if "norm" in parameter:
                middle = 0.0 if family == "Gemma" else 1.0
                values.uniform_(middle - 0.3, middle + 0.3)
            if parameter.endswith("bias"):
                values.uniform_(-0.5, 0.5)
            if parameter.endswith(("mlp.gate.weight", "shared_expert_gate.weight")):
                values.normal_(0, 0.5)  # they begin with zeros, which choose nothing
            if family == "Gemma" and values.dim() == 2 and "layers" in parameter:
                values *= 3  # its scaled embeddings would repeat the last token for ever
    model.to(dtype).save_pretrained(folder)
    return model.float()


def greedy(model, prompt, new):
    with torch.no_grad():
        out = model.generate(torch.tensor([prompt]), max_new_tokens=new, do_sample=False, eos_token_id=-1)
    return out[0, len(prompt) :].tolist()


def routes(model, tokens):
    """The experts that transformers chooses: int [tokens, layers, chosen]."""
    chosen = []
    hooks = [
        module.register_forward_hook(lambda module, inputs, out: chosen.append(out[2]))
        for name, module in model.named_modules()
        if name.endswith("mlp.gate")
    ]
    with torch.no_grad():
        model(torch.tensor([tokens]))
    for hook in hooks:
        hook.remove()
    return torch.stack(chosen, 1).numpy()


@pytest.mark.parametrize("name", MODELS)
def test_logits_and_tokens(name, tmp_path):
    model = save(tmp_path, name)
    checkpoint = Checkpoint(tmp_path)
    place = fit.place(checkpoint.config, 4, 4, tokens=len(PROMPT) + 32, prompt=len(PROMPT), dtype=np.float32)
    runner = Runner(place, checkpoint, "wse3")
    with torch.no_grad():
        want = model(torch.tensor([PROMPT])).logits[0, -1].numpy()
    logits = runner.feed(PROMPT)
    # transformers rounds, too
    assert meshlang.largest_error(logits, want, relative=True) <= 2 * llama.tolerance(checkpoint.config, np.float32)
    tokens = []
    for _ in range(32):
        tokens.append(int(logits.argmax()))
        logits = runner.feed(tokens[-1:])
    assert tokens == greedy(model, PROMPT, 32)
    assert len(set(tokens)) > 4  # a model that says something
    if checkpoint.config.experts:
        want = routes(model, PROMPT + tokens)
        experts = checkpoint.config.experts
        assert experts.chosen == experts.count or len(np.unique(np.sort(want).reshape(-1, experts.chosen), axis=0)) > 2
        assert np.array_equal(np.array(runner.routes)[:, :, 0], want)


def test_a_sharded_bfloat16_folder_through_the_command(tmp_path, capsys):
    model = save(tmp_path, "llama 3.1", torch.bfloat16)
    model.to(torch.bfloat16).save_pretrained(tmp_path, max_shard_size="20KB")
    (tmp_path / "model.safetensors").unlink(missing_ok=True)
    assert len(list(tmp_path.glob("model-*.safetensors"))) > 1
    arguments = [
        "llm",
        "generate",
        str(tmp_path),
        "--tokens",
        ",".join(map(str, PROMPT)),
        "--new",
        "12",
        "--mesh",
        "3x4",
    ]
    assert main([*arguments, "--dtype", "f32", "--layers", "streamed", "--ignore-eos", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["tokens"] == greedy(model.float(), PROMPT, 12)
