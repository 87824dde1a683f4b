"""Model folders for tests: a configuration, random weights in safetensors files, a tokenizer of single characters."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from meshlang import llama

CONFIG: dict[str, Any] = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 32,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "vocab_size": 64,
    "rms_norm_eps": 1e-5,
    "hidden_act": "silu",
    "eos_token_id": 2,
}
KINDS = {"F64": np.float64, "F32": np.float32, "F16": np.float16}


def encode(array: np.ndarray, kind: str) -> bytes:
    """An array as the bytes of a tensor; BF16: cut off, not rounded."""
    if kind == "BF16":
        return (array.astype(np.float32).view(np.uint32) >> 16).astype(np.uint16).tobytes()
    return array.astype(KINDS[kind]).tobytes()


def write_safetensors(file: Path, arrays: dict[str, np.ndarray], kind: str = "F32") -> None:
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    data = b""
    for name, array in arrays.items():
        part = encode(array, kind)
        header[name] = {"dtype": kind, "shape": list(array.shape), "data_offsets": [len(data), len(data) + len(part)]}
        data += part
    text = json.dumps(header).encode()
    file.write_bytes(len(text).to_bytes(8, "little") + text + data)


def write_model(
    folder: Path,
    kind: str = "F32",
    shards: int = 1,
    seed: int = 0,
    weights: dict[str, np.ndarray] | None = None,
    **more: Any,
) -> dict[str, np.ndarray]:
    """A folder with a model (more: fields of its configuration); returns the weights as they stand in the files."""
    folder.mkdir(exist_ok=True)
    values = {k: v for k, v in (CONFIG | more).items() if v is not ...}
    (folder / "config.json").write_text(json.dumps(values))
    if weights is None:
        weights = llama.LlamaConfig.from_dict(values).random_weights(seed, np.float32)
    if kind == "BF16":
        weights = {n: (w.view(np.uint32) & 0xFFFF0000).view(np.float32) for n, w in weights.items()}
    elif kind in KINDS:
        weights = {n: w.astype(KINDS[kind]) for n, w in weights.items()}
    if shards == 1:
        write_safetensors(folder / "model.safetensors", weights, kind)
        return weights
    names = list(weights)
    where = {}
    for i in range(shards):
        file = f"model-{i + 1:05}-of-{shards:05}.safetensors"
        part = names[i::shards]
        write_safetensors(folder / file, {n: weights[n] for n in part}, kind)
        where |= dict.fromkeys(part, file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": where}))
    return weights


# token 0 is unknown, 1 begins a text, 2 ends it; then a blank and letters
LETTERS = " abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.,!?-:;"


def write_tokenizer(folder: Path) -> None:
    """Characters are tokens, 3 to 63; a text begins with token 1. As the library tokenizers keeps it."""
    vocabulary = {"<unk>": 0, "<s>": 1, "</s>": 2} | {c: i + 3 for i, c in enumerate(LETTERS)}
    special = [
        {
            "id": i,
            "content": c,
            "single_word": False,
            "lstrip": False,
            "rstrip": False,
            "normalized": False,
            "special": True,
        }
        for i, c in enumerate(("<unk>", "<s>", "</s>"))
    ]
    (folder / "tokenizer.json").write_text(
        json.dumps(
            {
                "version": "1.0",
                "truncation": None,
                "padding": None,
                "added_tokens": special,
                "normalizer": None,
                "pre_tokenizer": {"type": "Split", "pattern": {"Regex": "."}, "behavior": "Isolated", "invert": False},
                "post_processor": {
                    "type": "TemplateProcessing",
                    "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
                    "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
                    "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}},
                },
                "decoder": {"type": "Fuse"},
                "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": "<unk>"},
            }
        )
    )
