"""A GGUF file as a Hugging Face folder: config.json, model.safetensors (float32), tokenizer.json, generation_config.json,
and tokenizer_config.json with the chat template.

Only Llama's architecture, and only if each value that could change what the model computes is understood (as
families.py has it for config.json). A file has the rows of the query and key matrices in another order, for a rotary
embedding of neighbouring elements; they go back to Hugging Face's, whose pairs are half a head apart.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from meshlang import files

from .families import model_error
from .gguf import Gguf
from .llama_config import LlamaConfig

# values that are the model's sizes, and what Hugging Face calls them
_SIZES = {
    "llama.embedding_length": "hidden_size",
    "llama.attention.head_count": "num_attention_heads",
    "llama.attention.head_count_kv": "num_key_value_heads",
    "llama.attention.key_length": "head_dim",
    "llama.feed_forward_length": "intermediate_size",
    "llama.block_count": "num_hidden_layers",
    "llama.attention.layer_norm_rms_epsilon": "rms_norm_eps",
    "llama.rope.freq_base": "rope_theta",
    "llama.context_length": "max_position_embeddings",
}
# that are one of the sizes once more, which they must equal; or change nothing at one value
_AGAIN = {"llama.rope.dimension_count": "head_dim", "llama.attention.value_length": "head_dim", "llama.vocab_size": "vocab_size"}  # fmt: skip
_HARMLESS = {"llama.rope.scaling.type": "none", "llama.expert_count": 0, "llama.expert_used_count": 0}

_TENSORS = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}
_LAYER = {
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
# how a text is cut before pairs are merged, by the names that llama.cpp gives
_BYTES = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
_CUTS: dict[str, Any] = {
    "gpt-2": _BYTES,
    "smollm": {"type": "Sequence", "pretokenizers": [{"type": "Digits", "individual_digits": True}, _BYTES]},
}
_CONTROL, _USER = 3, 4  # types of tokens: special ones, and texts that are always one token


def convert(file: str | Path, folder: str | Path) -> dict[str, Any]:
    """Write the folder; it may be there already, and files of these names are replaced. Returns what it holds: `weights`
    (bytes), `types` of the file's tensors, `license`, and `tokenizer`: None, or why there is none.

    MS1400 for another architecture or a value that is not understood, MS1401 for a tensor that is not, MS0990 and MS0994
    for sizes that contradict each other; errors of `Gguf`.
    """
    gguf = Gguf(file)
    config = _config(gguf)
    sizes = LlamaConfig.from_dict(config)
    if sizes.layers > len(gguf):  # before as many names are made
        raise model_error("MS0994", f"{gguf.file.name}: {len(gguf)} tensors are not those of {sizes.layers} layers")
    names = {_name(name): name for name in gguf}
    sizes.check_names(names)
    for name, shape in sizes.shapes().items():
        if name not in names:
            raise model_error("MS0994", f"{gguf.file.name} has no tensor for {name!r}")
        if gguf.shape(names[name]) != shape:
            raise model_error(
                "MS0994",
                f"{names[name]!r} has shape {list(gguf.shape(names[name]))}, but the sizes in {gguf.file.name} say {list(shape)}",
            )
    tokenizer, missing = _tokenizer(gguf.facts)
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise files.cannot_write(folder, error) from None

    def array(name: str) -> np.ndarray:
        found = gguf[names[name]]
        heads = {"q_proj": sizes.heads, "k_proj": sizes.kv_heads}.get(name.split(".")[-2])
        return found if heads is None else half_split(found, heads)

    said = {"format": "pt", "license": str(gguf.facts.get("general.license", "unknown")), "made_from": gguf.file.name}
    size = write_safetensors(folder / "model.safetensors", sizes.shapes(), array, said)
    _write(folder / "config.json", config)
    _write(folder / "generation_config.json", {k: config[k] for k in ("bos_token_id", "eos_token_id") if k in config})
    if tokenizer is not None:
        _write(folder / "tokenizer.json", tokenizer)
        _write(folder / "tokenizer_config.json", _tokenizer_config(gguf.facts))
    return {"weights": size, "types": gguf.kinds(), "license": said["license"], "tokenizer": missing}


def _config(gguf: Gguf) -> dict[str, Any]:
    """config.json of a file's values."""
    values = gguf.facts
    kind = values.get("general.architecture")
    if kind != "llama":
        raise model_error("MS1400", f"GGUF files of the architecture {kind!r} are not supported", "supported: llama")
    config: dict[str, Any] = {
        "model_type": "llama",
        "architectures": ["LlamaForCausalLM"],
        "hidden_act": "silu",
        "rope_theta": 10000.0,
    }
    for name, value in values.items():
        if name in _SIZES:
            config[_SIZES[name]] = value
        elif name.startswith("llama.") and name not in _AGAIN and _HARMLESS.get(name) != value:
            raise model_error(
                "MS1400",
                f"the value {name!r} of {gguf.file.name} is not supported: {value!r}",
                "it may change what the model computes",
            )
    # a number of f32 as it was meant: 1e-05, not 9.999999747378752e-06
    for name in ("rms_norm_eps", "rope_theta"):
        if isinstance(config.get(name), float):
            config[name] = float(str(np.float32(config[name])))
    if "token_embd.weight" not in gguf:
        raise model_error("MS0994", f"{gguf.file.name} has no tensor 'token_embd.weight'")
    config["vocab_size"] = gguf.shape("token_embd.weight")[0]
    config["tie_word_embeddings"] = "output.weight" not in gguf
    for name in ("bos", "eos"):
        if isinstance(token := values.get(f"tokenizer.ggml.{name}_token_id"), int):
            config[f"{name}_token_id"] = token
    sizes = LlamaConfig.from_dict(config)
    config["head_dim"] = sizes.head_size
    for name, size in _AGAIN.items():
        if name in values and values[name] != config[size]:
            raise model_error(
                "MS1400", f"the value {name!r} of {gguf.file.name} is {values[name]!r}, and {size} is {config[size]!r}",
                "supported: where they are equal",
            )  # fmt: skip
    return config


def _name(name: str) -> str:
    """Hugging Face's name of a tensor; one that is not known keeps its own, which no configuration has."""
    if layer := re.fullmatch(r"blk\.(\d+)\.(\w+)\.(weight|bias)", name):
        if layer[2] in _LAYER:
            return f"model.layers.{int(layer[1])}.{_LAYER[layer[2]]}.{layer[3]}"
    elif (parts := name.rpartition("."))[0] in _TENSORS and parts[2] == "weight":
        return f"{_TENSORS[parts[0]]}.weight"
    return name


def half_split(matrix: np.ndarray, heads: int) -> np.ndarray:
    """Rows of each head from (pair, element of the pair) to (element, pair)."""
    rows, columns = matrix.shape
    return matrix.reshape(heads, rows // heads // 2, 2, columns).swapaxes(1, 2).reshape(rows, columns)


def write_safetensors(
    path: Path, shapes: Mapping[str, tuple[int, ...]], array: Callable[[str], np.ndarray], said: Mapping[str, str]
) -> int:
    """Float32 tensors, one in memory at a time; returns the size of the file in bytes."""
    header: dict[str, Any] = {"__metadata__": dict(said)}
    end = 0
    for name, shape in shapes.items():
        start, end = end, end + 4 * math.prod(shape)
        header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with files.replacing(path) as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name in shapes:
            file.write(np.ascontiguousarray(array(name), "<f4").data)
    return 8 + len(text) + end


def _write(path: Path, values: Mapping[str, Any]) -> None:
    files.write_text(path, json.dumps(values, indent=2, ensure_ascii=False) + "\n")


# ------------------------------------------------------------ text


def _tokenizer(values: Mapping[str, Any]) -> tuple[dict[str, Any] | None, str | None]:
    """tokenizer.json of a vocabulary of merged bytes; or why there is none."""
    kind, cut = values.get("tokenizer.ggml.model"), values.get("tokenizer.ggml.pre")
    if kind != "gpt2":
        return None, f"a tokenizer of the kind {kind!r} is not read, only 'gpt2'"
    if cut not in _CUTS:
        return None, f"how {cut!r} cuts a text is not known, only {' and '.join(map(repr, _CUTS))}"
    if values.get("tokenizer.ggml.add_space_prefix"):
        return None, "a blank before each text is not supported"
    tokens, merges, types = (_list(values, f"tokenizer.ggml.{name}") for name in ("tokens", "merges", "token_type"))
    if not tokens or len(types) != len(tokens) or not all(isinstance(t, str) for t in tokens + merges):
        return None, "its tokens, their types and merges are not complete"
    if len(set(tokens)) != len(tokens) or not all(len(merge.split(" ")) == 2 for merge in merges):
        return None, "two tokens are the same, or a merge is not of two"
    begin = None
    if values.get("tokenizer.ggml.add_bos_token"):
        number = values.get("tokenizer.ggml.bos_token_id")
        if not isinstance(number, int) or not 0 <= number < len(tokens):
            return None, "texts begin with a token that it does not have"
        begin = {
            "type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": tokens[number], "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {tokens[number]: {"id": tokens[number], "ids": [number], "tokens": [tokens[number]]}},
        }
    added = [
        {
            "id": i, "content": tokens[i], "single_word": False, "lstrip": False, "rstrip": False, "normalized": False,
            "special": type == _CONTROL,
        }
        for i, type in enumerate(types) if type in (_CONTROL, _USER)
    ]  # fmt: skip
    return {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": added, "normalizer": None,
        "pre_tokenizer": _CUTS[cut], "post_processor": begin, "decoder": _BYTES,
        "model": {
            "type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None, "end_of_word_suffix": None,
            "fuse_unk": False, "byte_fallback": False, "vocab": {token: i for i, token in enumerate(tokens)},
            "merges": [merge.split(" ") for merge in merges],
        },
    }, None  # fmt: skip


def _tokenizer_config(values: Mapping[str, Any]) -> dict[str, Any]:
    tokens: list[str] = values["tokenizer.ggml.tokens"]
    config: dict[str, Any] = {"tokenizer_class": "PreTrainedTokenizerFast"}
    for name in ("bos", "eos"):
        number = values.get(f"tokenizer.ggml.{name}_token_id")
        if isinstance(number, int) and 0 <= number < len(tokens):
            config[f"{name}_token"] = tokens[number]
    if isinstance(template := values.get("tokenizer.chat_template"), str):
        config["chat_template"] = template
    return config


def _list(values: Mapping[str, Any], name: str) -> list[Any]:
    found = values.get(name)
    return found if isinstance(found, list) else []
