"""What is read as a model we know: a family that is supported, all of its fields understood, all of its weights taken.

Configurations of other families are refused by name, whatever they have in common with Llama. The second half builds
tiny random models with transformers (if it is installed), and wants each to be refused or equal to ours.
"""

from __future__ import annotations

import json

import numpy as np
import pytest

import meshlang
from meshlang import llama, llama_reference
from meshlang.models.checkpoint import Checkpoint
from meshlang.models.families import FAMILIES

SIZES = {
    "hidden_size": 32,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "vocab_size": 64,
    "rms_norm_eps": 1e-5,
    "hidden_act": "silu",
    "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
}
LLAMA = SIZES | {"model_type": "llama", "architectures": ["LlamaForCausalLM"]}
MISTRAL = SIZES | {"model_type": "mistral", "architectures": ["MistralForCausalLM"], "sliding_window": None}


def refusal(call, *arguments):
    with pytest.raises(meshlang.MeshlangError) as found:
        call(*arguments)
    return found.value.diagnostics[0]


def test_what_says_nothing_about_the_arithmetic_is_passed_over():
    plain = llama.LlamaConfig.from_dict(LLAMA)
    more = {
        "bos_token_id": 1,
        "eos_token_id": [2, 3],
        "attention_dropout": 0.1,
        "torch_dtype": "bfloat16",
        "transformers_version": "4.40.0",
        "use_cache": True,
        "pretraining_tp": 2,
        "_name_or_path": "somewhere",
        "attention_bias": False,
        "mlp_bias": False,
        "pruned_heads": {},
        "quantization_config": None,
        "partial_rotary_factor": 1.0,
        "layer_types": ["full_attention", "full_attention"],
    }
    assert llama.LlamaConfig.from_dict(LLAMA | more) == plain
    assert llama.LlamaConfig.from_dict(MISTRAL) == plain


@pytest.mark.parametrize(
    "change, message",
    [
        ({"model_type": None}, "the configuration has no 'model_type'"),
        ({"model_type": "granite"}, "models of type 'granite' are not supported"),
        ({"model_type": ["llama"]}, "models of type ['llama'] are not supported"),
        ({"architectures": ["LlamaForSequenceClassification"]}, "architectures ['LlamaForSequenceClassification']"),
        ({"hidden_act": "relu2"}, "hidden_act 'relu2' is not supported"),
        ({"residual_multiplier": 0.22}, "the field 'residual_multiplier' of a configuration of type 'llama' is not"),
        ({"logits_scaling": 4.0}, "'logits_scaling'"),
        ({"final_logit_softcapping": 30.0}, "'final_logit_softcapping'"),
        ({"sliding_window": 4096}, "'sliding_window'"),
        ({"partial_rotary_factor": 0.5}, "'partial_rotary_factor'"),
        ({"no_rope_layers": [1, 0]}, "'no_rope_layers'"),
        ({"layer_types": ["full_attention", "sliding_attention"]}, "'layer_types'"),
        ({"quantization_config": {"quant_method": "gptq", "bits": 4}}, "'quantization_config'"),
        ({"num_local_experts": 8}, "'num_local_experts'"),
        ({"auto_map": {"AutoModelForCausalLM": "modeling_x.X"}}, "'auto_map'"),
        ({"use_qk_norm": True}, "'use_qk_norm'"),
        ({"something_new": 3}, "'something_new'"),
        ({"something_new": False}, "'something_new'"),
        ({"rope_parameters": {"rope_type": "longrope", "factor": 4.0}}, "rotary scaling of type 'longrope'"),
        ({"rope_parameters": {"rope_type": "default", "partial_rotary_factor": 0.5}}, "'partial_rotary_factor'"),
        ({"rope_parameters": {"rope_type": "default", "mrope_section": [2, 1, 1]}}, "'mrope_section'"),
    ],
)
def test_refused_by_name(change, message):
    found = refusal(llama.LlamaConfig.from_dict, LLAMA | change)
    assert found.code == "MS1400" and message in found.message


def test_defaults_are_the_familys():
    """Mistral's window is 4096 where the file does not say otherwise: not the same as no window."""
    without = {k: v for k, v in MISTRAL.items() if k != "sliding_window"}
    assert llama.LlamaConfig.from_dict(without).window == 4096
    grouped = {k: v for k, v in MISTRAL.items() if k != "num_key_value_heads"} | {"num_attention_heads": 16}
    assert llama.LlamaConfig.from_dict(grouped).kv_heads == 8
    many = {k: v for k, v in LLAMA.items() if k != "num_key_value_heads"} | {"num_attention_heads": 16}
    assert llama.LlamaConfig.from_dict(many).kv_heads == 16


@pytest.mark.parametrize(
    "name",
    [
        "model.layers.0.self_attn.q_proj.bias",
        "model.layers.1.self_attn.q_norm.weight",
        "model.layers.2.mlp.up_proj.weight",
    ],
)
def test_weights_that_nothing_takes(name):
    config = llama.LlamaConfig.from_dict(LLAMA)
    weights = config.random_weights() | {name: np.ones(8, np.float32)}
    place = llama.Placement(config, 4, 4, capacity=4, dtype=np.float32)
    for call in (place.weights, lambda w: llama_reference.Reference(config, w)):
        found = refusal(call, weights)
        assert found.code == "MS1401" and repr(name) in found.message


def test_weights_that_follow_from_the_others():
    config = llama.LlamaConfig.from_dict(LLAMA | {"tie_word_embeddings": True})
    weights = config.random_weights()
    copies = {
        "lm_head.weight": weights["model.embed_tokens.weight"],
        "model.layers.0.self_attn.rotary_emb.inv_freq": np.ones(4),
    }
    place = llama.Placement(config, 4, 4, capacity=4, dtype=np.float32, head=True)
    place.weights(weights | copies)
    other = copies | {"lm_head.weight": weights["model.embed_tokens.weight"] + 1}
    found = refusal(place.weights, weights | other)
    assert found.code == "MS1401" and "lm_head.weight" in found.message


# ---------------------------------------------------------------- against transformers

TINY = {
    "hidden_size": 32,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "vocab_size": 64,
    "rms_norm_eps": 1e-5,
    "max_position_embeddings": 64,
    "initializer_range": 0.2,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}


def rope(kind, factor=4.0, theta=1e4, **more):
    return {"rope_parameters": {"rope_type": kind, "factor": factor, "rope_theta": theta} | more}


LLAMA3 = {"low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 32}
MODELS = {
    "llama": ("Llama", {}, True),
    "llama tied": ("Llama", {"tie_word_embeddings": True}, True),
    "llama head size": ("Llama", {"head_dim": 12}, True),
    "mistral": ("Mistral", {"sliding_window": None, "head_dim": 8}, True),
    "mistral window": ("Mistral", {"sliding_window": 4, "head_dim": 8}, True),
    "llama biases": ("Llama", {"attention_bias": True, "mlp_bias": True}, True),
    "llama gelu": ("Llama", {"hidden_act": "gelu_pytorch_tanh"}, True),
    "llama gelu with erf": ("Llama", {"hidden_act": "gelu"}, False),
    "llama linear": ("Llama", rope("linear"), True),
    "llama dynamic": ("Llama", rope("dynamic", 2.0) | {"max_position_embeddings": 12, "head_dim": 16}, True),
    "llama dynamic, short": ("Llama", rope("dynamic", 2.0), True),
    "llama 3.1": ("Llama", rope("llama3", 8.0, **LLAMA3) | {"head_dim": 16}, True),
    "llama yarn": ("Llama", rope("yarn", original_max_position_embeddings=16) | {"head_dim": 16}, True),
    "llama yarn, all fields": (
        "Llama",
        rope(
            "yarn",
            8.0,
            original_max_position_embeddings=32,
            beta_fast=4.0,
            beta_slow=2,
            truncate=False,
            mscale=0.7,
            mscale_all_dim=0.4,
        )
        | {"head_dim": 20},
        True,
    ),
    "llama yarn, attention factor": ("Llama", rope("yarn", attention_factor=1.3), True),
    "qwen2": ("Qwen2", {}, True),
    "qwen2 tied": ("Qwen2", {"tie_word_embeddings": True}, True),
    "qwen2 window": ("Qwen2", {"use_sliding_window": True, "sliding_window": 5, "max_window_layers": 0}, True),
    "qwen2 windows": ("Qwen2", {"use_sliding_window": True, "sliding_window": 5, "max_window_layers": 1}, False),
    "qwen3": ("Qwen3", {"head_dim": 8}, True),
    "qwen3 biases": ("Qwen3", {"head_dim": 12, "attention_bias": True, "tie_word_embeddings": True}, True),
    "gemma": ("Gemma", {"head_dim": 8}, True),
    "gemma biases": ("Gemma", {"head_dim": 16, "attention_bias": True, "tie_word_embeddings": False}, True),
    "gemma2": ("Gemma2", {"head_dim": 8}, False),
    "granite": ("Granite", {"residual_multiplier": 0.22, "attention_multiplier": 0.05, "logits_scaling": 4.0}, False),
    "smollm3": ("SmolLM3", {}, False),
    "olmo": ("Olmo", {}, False),
    "olmo2": ("Olmo2", {}, False),
    "phi3": ("Phi3", {}, False),
    "mixtral": ("Mixtral", {"num_local_experts": 4}, True),
    "qwen3moe": ("Qwen3Moe", {"moe_intermediate_size": 16, "num_experts": 6, "num_experts_per_tok": 3}, True),
    "qwen3moe, some layers": ("Qwen3Moe", {"moe_intermediate_size": 16, "mlp_only_layers": [0]}, False),
    "qwen2moe, some layers": ("Qwen2Moe", {"moe_intermediate_size": 16, "decoder_sparse_step": 2}, False),
    "olmoe, clipped": ("Olmoe", {"clip_qkv": 8.0}, False),
    "phimoe": ("Phimoe", {}, False),
    "granitemoe": ("GraniteMoe", {}, False),
    "cohere": ("Cohere", {}, False),
    "stablelm": ("StableLm", {}, False),
    "helium": ("Helium", {"head_dim": 8}, False),
    "glm": ("Glm", {"head_dim": 8}, False),
    "starcoder2": ("Starcoder2", {}, False),
    "seed_oss": ("SeedOss", {"head_dim": 8}, False),
    "arcee": ("Arcee", {}, False),
}


@pytest.mark.parametrize("name", MODELS)
def test_right_or_refused(name, tmp_path):
    """supported True: must be right; False: must be refused; None: may be either, but nothing else."""
    torch = pytest.importorskip("torch", reason="the extra llm-reference is not installed")
    transformers = pytest.importorskip("transformers", reason="the extra llm-reference is not installed")
    family, more, supported = MODELS[name]
    torch.manual_seed(0)
    config = getattr(transformers, family + "Config")(**(TINY | more), attn_implementation="eager")
    model = getattr(transformers, family + "ForCausalLM")(config).eval().double()
    with torch.no_grad():
        for parameter, values in model.named_parameters():
            if "norm" in parameter:
                values.uniform_(0.5, 1.5)
            if parameter.endswith("bias"):
                values.uniform_(-1, 1)
    config._experts_implementation = "eager"
    model.save_pretrained(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["model_type"] == config.model_type
    try:
        weights = Checkpoint(tmp_path)
        ours = weights.config
        llama.Placement(ours, 4, 4, capacity=8, dtype=np.float32, head=True, prompt=0 if ours.experts else 4).weights(
            weights
        )
        reference = llama_reference.Reference(ours, weights)
    except meshlang.MeshlangError as refused:
        assert not supported, refused
        assert refused.diagnostics[0].code in ("MS1400", "MS1401")
        return
    assert supported is not False
    tokens = list(range(3, 23))
    with torch.no_grad():
        want = model(torch.tensor([tokens])).logits[0].numpy()
    got = reference.logits(reference.decode(reference.embed(tokens)))
    assert meshlang.largest_error(got, want, relative=True) < 1e-5  # transformers' frequencies are float32


def test_fields_that_families_with_experts_read():
    """Of the experts, of what chooses them, and of what only training reads."""
    router = {"num_experts_per_tok", "output_router_logits", "router_aux_loss_coef", "router_jitter_noise"}
    own = {"num_experts", "num_local_experts", "moe_intermediate_size", "norm_topk_prob"}
    for name in ("qwen2_moe", "qwen3_moe"):
        assert router | own | {"decoder_sparse_step", "mlp_only_layers"} <= FAMILIES[name].fields
    assert router <= FAMILIES["mixtral"].fields and router <= FAMILIES["olmoe"].fields
    assert not own & FAMILIES["qwen3"].fields
