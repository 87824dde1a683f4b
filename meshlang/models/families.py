"""Which model families are understood, and every field of their Hugging Face configurations by name.

A configuration is read only if each of its fields is known: what the model computes with it (`Family.read` and the
sizes), or that it changes nothing (NEUTRAL), or that it changes nothing at this value (HARMLESS). Everything else is
refused by its name, so that a model that differs in one field from those we know never runs as if it did not.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from meshlang.diag import Diagnostic, MeshlangError

from .experts import Experts


def model_error(code: str, message: str, help: str | None = None) -> MeshlangError:
    """A mistake in what is said about a model (MS099x, MS14xx)."""
    return MeshlangError(Diagnostic(code, message, help=help))


# What says nothing about the arithmetic of a forward pass: tokens, training, how results are returned, how and with what
# it was written. A prefix "_" marks what transformers keeps for itself.
NEUTRAL = frozenset(
    """
    architectures attention_dropout attn_dropout embd_dropout resid_dropout hidden_dropout dropout classifier_dropout
    initializer_range use_cache transformers_version torch_dtype dtype pretraining_tp max_position_embeddings
    bos_token_id eos_token_id pad_token_id sep_token_id cls_token_id mask_token_id unk_token_id image_token_id
    decoder_start_token_id forced_bos_token_id forced_eos_token_id suppress_tokens begin_suppress_tokens
    return_dict output_hidden_states output_attentions output_scores return_dict_in_generate torchscript
    use_bfloat16 tf_legacy_loss chunk_size_feed_forward is_decoder tokenizer_class prefix problem_type
    finetuning_task task_specific_params id2label label2id num_labels remove_invalid_values exponential_decay_length_penalty
    max_length min_length do_sample early_stopping num_beams num_beam_groups diversity_penalty temperature top_k top_p
    typical_p repetition_penalty length_penalty no_repeat_ngram_size encoder_no_repeat_ngram_size bad_words_ids
    num_return_sequences name_or_path unsloth_version unsloth_fixed rope_theta rope_scaling rope_parameters
    """.split()
)

# Fields with values that leave the arithmetic as it is, in whatever family they stand.
HARMLESS: dict[str, tuple[Any, ...]] = {
    "attention_bias": (False,),
    "mlp_bias": (False,),
    "use_bias": (False,),
    "partial_rotary_factor": (1.0,),
    "use_sliding_window": (False,),
    "sliding_window": (None,),
    "use_bidirectional_attention": (False,),
    "is_encoder_decoder": (False,),
    "add_cross_attention": (False,),
    "tie_encoder_decoder": (False,),
    "cross_attention_hidden_size": (None,),
    "residual_multiplier": (1.0,),
    "embedding_multiplier": (1.0,),
    "logits_scaling": (1.0,),
    "logit_scale": (1.0,),
    "use_qk_norm": (False,),
    "quantization_config": (None,),
    "num_experts": (0,),
    "num_local_experts": (0,),
}


# values of hidden_act: SiLU, and GELU approximated by tanh
ACTIVATIONS = {"silu": "silu", "swish": "silu", "gelu_pytorch_tanh": "gelu", "gelu_new": "gelu"}


@dataclass(frozen=True)
class Family:
    """A `model_type`: what of its configuration is read, and what is assumed where a field is not there."""

    name: str
    architecture: str  # the class whose weights we know
    fields: frozenset[str] = frozenset()  # fields that `read` takes, beside the sizes
    defaults: Mapping[str, Any] = field(default_factory=dict)  # of fields that may be missing
    # further arguments of LlamaConfig from all fields
    read: Callable[[Mapping[str, Any]], dict[str, Any]] = lambda values: {}
    # values of hidden_act, and what they mean; "gelu" alone would be the one with erf
    activations: Mapping[str, str] = field(default_factory=lambda: ACTIVATIONS)


# the fields that all families have, which LlamaConfig.from_dict takes
SIZES = frozenset(
    """
    model_type hidden_size num_attention_heads num_key_value_heads head_dim intermediate_size num_hidden_layers vocab_size
    rms_norm_eps hidden_act tie_word_embeddings rope_interleaved
    """.split()
)


def _window(values: Mapping[str, Any]) -> int | None:
    window = values.get("sliding_window")
    if window is not None and (isinstance(window, bool) or not isinstance(window, int) or window < 1):
        raise model_error("MS0990", f"sliding_window must be null or a positive integer, found {window!r}")
    return window


def _flag(values: Mapping[str, Any], name: str) -> bool:
    value = values.get(name)
    if value is not None and not isinstance(value, bool):
        raise model_error("MS0990", f"{name} must be true or false, found {value!r}")
    return bool(value)


def _attention_bias(values: Mapping[str, Any]) -> dict[str, Any]:
    return dict.fromkeys(("qkv_bias", "output_bias"), _flag(values, "attention_bias"))


def _llama(values: Mapping[str, Any]) -> dict[str, Any]:
    return _attention_bias(values) | {"feed_bias": _flag(values, "mlp_bias")}


def _mistral(values: Mapping[str, Any]) -> dict[str, Any]:
    return {"window": _window(values)}


def _qwen_window(values: Mapping[str, Any]) -> int | None:
    """The window of all layers; some with and some without are not supported."""
    window = _window(values) if _flag(values, "use_sliding_window") else None
    layers = values.get("num_hidden_layers")
    kinds = values.get("layer_types")
    if not isinstance(layers, int):
        return None  # refused with the sizes
    if kinds is None:
        first = values["max_window_layers"]
        if not isinstance(first, int):
            raise model_error("MS0990", f"max_window_layers must be an integer, found {first!r}")
        kinds = ["sliding_attention" if window is not None and i >= first else "full_attention" for i in range(layers)]
    if not isinstance(kinds, list) or len(kinds) != layers or not set(kinds) <= {"full_attention", "sliding_attention"}:
        raise model_error("MS1400", f"layer_types is not supported: {_short(kinds)}")
    if "sliding_attention" not in kinds:
        return None
    if "full_attention" in kinds or window is None:
        raise model_error(
            "MS1400",
            f"layer_types is not supported: {kinds.count('sliding_attention')} of {layers} layers have a window of {window}",
            "supported: the same window in all layers, or none",
        )
    return window


def _qwen2(values: Mapping[str, Any]) -> dict[str, Any]:
    return {"qkv_bias": True, "window": _qwen_window(values)}


def _qwen3(values: Mapping[str, Any]) -> dict[str, Any]:
    return _attention_bias(values) | {"head_norms": True, "window": _qwen_window(values)}


def _gemma(values: Mapping[str, Any]) -> dict[str, Any]:
    # the files of the first Gemma say "gelu" and mean the approximation by tanh; hidden_activation, if there, says so
    if values.get("hidden_activation") not in (None, "gelu_pytorch_tanh"):
        raise model_error("MS1400", f"hidden_activation {values['hidden_activation']!r} is not supported")
    return _attention_bias(values) | {"norm_offset": 1.0, "embeddings_scaled": True}


def _experts(values: Mapping[str, Any], count: str, size: str, **more: Any) -> dict[str, Any]:
    """The experts of every layer. count, size: the fields with their number and the size of one."""
    for name in (count, size, "num_experts_per_tok"):
        if values.get(name) is None:
            raise model_error("MS0990", f"the configuration has no {name!r}")
    return {
        "feed_forward_size": values[size],
        "experts": Experts(values[count], values["num_experts_per_tok"], **more),
    }


def _mixtral(values: Mapping[str, Any]) -> dict[str, Any]:
    experts = _experts(values, "num_local_experts", "intermediate_size", naming="mixtral")
    return experts | {"window": _window(values)}


def _qwen_experts(values: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    """Layers with and without experts in one model are not supported."""
    if values["decoder_sparse_step"] != 1 or values.get("mlp_only_layers"):
        field = "mlp_only_layers" if values.get("mlp_only_layers") else "decoder_sparse_step"
        raise model_error(
            "MS1400", f"{field} {values[field]!r} is not supported", "supported: experts in all layers (1, no others)"
        )
    given = {name: values[name] for name in ("num_experts", "num_local_experts") if values.get(name) is not None}
    if len(set(given.values())) > 1:
        raise model_error("MS0990", f"num_experts and num_local_experts are the same, found {given}")
    count = next(iter(given), "num_experts")
    return _experts(
        values, count, "moe_intermediate_size", renormalise=_flag(values, "norm_topk_prob"), **more
    )  # fmt: skip


def _qwen2_moe(values: Mapping[str, Any]) -> dict[str, Any]:
    bias = {"qkv_bias": _flag(values, "qkv_bias"), "window": _qwen_window(values)}
    return _qwen_experts(values, shared_size=values["shared_expert_intermediate_size"]) | bias


def _qwen3_moe(values: Mapping[str, Any]) -> dict[str, Any]:
    return _qwen_experts(values) | _qwen3(values)


def _olmoe(values: Mapping[str, Any]) -> dict[str, Any]:
    if values.get("clip_qkv") is not None:
        raise model_error("MS1400", f"clip_qkv {values['clip_qkv']!r} is not supported", "supported: null")
    experts = _experts(values, "num_experts", "intermediate_size", renormalise=_flag(values, "norm_topk_prob"))
    return experts | _attention_bias(values) | {"wide_norms": True}


# of what is learned, and what is returned: the loss of the router, its logits, its noise
_ROUTER = frozenset({"num_experts_per_tok", "output_router_logits", "router_aux_loss_coef", "router_jitter_noise"})
_QWEN_EXPERTS = _ROUTER | {
    "num_experts", "num_local_experts", "moe_intermediate_size", "norm_topk_prob", "decoder_sparse_step", "mlp_only_layers",
}  # fmt: skip
_QWEN_WINDOW = frozenset({"use_sliding_window", "sliding_window", "max_window_layers", "layer_types"})

FAMILIES = {
    family.name: family
    for family in (
        Family("llama", "LlamaForCausalLM", frozenset({"attention_bias", "mlp_bias"}), {}, _llama),
        Family(
            "mistral",
            "MistralForCausalLM",
            frozenset({"sliding_window"}),
            {"num_key_value_heads": 8, "sliding_window": 4096},
            _mistral,
        ),
        Family(
            "qwen2",
            "Qwen2ForCausalLM",
            _QWEN_WINDOW,
            {"num_key_value_heads": 32, "sliding_window": 4096, "max_window_layers": 28},
            _qwen2,
        ),
        Family(
            "qwen3",
            "Qwen3ForCausalLM",
            _QWEN_WINDOW | {"attention_bias"},
            {"num_key_value_heads": 32, "head_dim": 128, "sliding_window": 4096, "max_window_layers": 28},
            _qwen3,
        ),
        Family(
            "gemma",
            "GemmaForCausalLM",
            frozenset({"attention_bias", "hidden_activation"}),
            {
                "num_key_value_heads": 16,
                "head_dim": 256,
                "tie_word_embeddings": True,
                "hidden_act": "gelu_pytorch_tanh",
            },
            _gemma,
            ACTIVATIONS | {"gelu": "gelu"},
        ),
        Family(
            "mixtral",
            "MixtralForCausalLM",
            _ROUTER | {"num_local_experts", "sliding_window"},
            {"num_key_value_heads": 8, "num_local_experts": 8, "num_experts_per_tok": 2},
            _mixtral,
        ),
        Family(
            "olmoe",
            "OlmoeForCausalLM",
            _ROUTER | {"attention_bias", "num_experts", "norm_topk_prob", "clip_qkv"},
            {"num_experts": 64, "num_experts_per_tok": 8},
            _olmoe,
        ),
        Family(
            "qwen2_moe",
            "Qwen2MoeForCausalLM",
            _QWEN_WINDOW | _QWEN_EXPERTS | {"qkv_bias", "shared_expert_intermediate_size"},
            {
                "num_key_value_heads": 16,
                "sliding_window": 4096,
                "max_window_layers": 28,
                "num_experts": 60,
                "num_experts_per_tok": 4,
                "moe_intermediate_size": 1408,
                "shared_expert_intermediate_size": 5632,
                "decoder_sparse_step": 1,
                "qkv_bias": True,
            },
            _qwen2_moe,
        ),
        Family(
            "qwen3_moe",
            "Qwen3MoeForCausalLM",
            _QWEN_WINDOW | _QWEN_EXPERTS | {"attention_bias"},
            {
                "num_key_value_heads": 4,
                "sliding_window": 4096,
                "max_window_layers": 28,
                "num_experts_per_tok": 8,
                "moe_intermediate_size": 768,
                "decoder_sparse_step": 1,
            },
            _qwen3_moe,
        ),
    )
}


def family_of(values: Mapping[str, Any]) -> Family:
    """The family that a configuration names, all of whose fields are known. MS1400 for a family or a field that is
    not supported, by its name."""
    name = values.get("model_type")
    if name is None:
        raise model_error(
            "MS1400",
            "the configuration has no 'model_type': what its fields mean depends on the family",
            f"supported: {', '.join(sorted(FAMILIES))}",
        )
    family = FAMILIES.get(name) if isinstance(name, str) else None
    if family is None:
        raise model_error(
            "MS1400", f"models of type {name!r} are not supported", f"supported: {', '.join(sorted(FAMILIES))}"
        )
    architectures = values.get("architectures")
    if architectures and architectures != [family.architecture]:
        raise model_error(
            "MS1400",
            f"architectures {architectures!r} is not supported: a model of type {name!r} is read as {family.architecture}",
        )
    for key in sorted(values):
        if not isinstance(key, str) or not _known(family, key, values[key]):
            raise model_error(
                "MS1400",
                f"the field {key!r} of a configuration of type {name!r} is not supported: {_short(values[key])}",
                f"supported: {', '.join(map(repr, HARMLESS[key]))}"
                if key in HARMLESS
                else "it may change what the model computes; if it does not, take it out of config.json",
            )
    return family


def _known(family: Family, key: str, value: Any) -> bool:
    if key in SIZES or key in family.fields or key in NEUTRAL or key.startswith("_"):
        return True
    if value is None or value in ([], {}, ""):
        return True
    if key == "layer_types":
        return isinstance(value, list) and all(kind == "full_attention" for kind in value)
    return key in HARMLESS and any(
        value == good and isinstance(value, bool) == isinstance(good, bool) for good in HARMLESS[key]
    )


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def is_number(value: Any) -> bool:
    """A number of a configuration: JSON's true and false are none, nor are NaN and infinity."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
