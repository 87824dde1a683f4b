"""GGUF files for tests: a random Llama as llama.cpp keeps it, written number by number."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np

KINDS = {"F32": 0, "F16": 1, "Q4_0": 2, "Q4_1": 3, "Q8_0": 8, "BF16": 30}
CONTROL, NORMAL = 3, 1

# the characters that stand for bytes in a vocabulary of bytes: printable ones for themselves, the others from 256 on
_PLAIN = [*range(33, 127), *range(161, 173), *range(174, 256)]
BYTES = {b: chr(b) for b in _PLAIN} | {b: chr(256 + i) for i, b in enumerate(sorted(set(range(256)) - set(_PLAIN)))}


def quantise(numbers: np.ndarray, kind: str) -> tuple[bytes, np.ndarray]:
    """The bytes of a tensor, and the numbers that they stand for, worked out in plain Python from the nearest scale."""
    flat = [float(n) for n in numbers.reshape(-1)]
    if kind == "F32":
        return struct.pack(f"<{len(flat)}f", *flat), numbers.astype(np.float32)
    if kind == "F16":
        data = struct.pack(f"<{len(flat)}e", *flat)
        return data, np.array(struct.unpack(f"<{len(flat)}e", data), np.float32).reshape(numbers.shape)
    if kind == "BF16":
        halves = [struct.pack("<f", n)[2:] for n in flat]
        meant = [struct.unpack("<f", b"\0\0" + h)[0] for h in halves]
        return b"".join(halves), np.array(meant, np.float32).reshape(numbers.shape)
    data, meant = b"", []
    for i in range(0, len(flat), 32):
        part = flat[i : i + 32]
        least, most = min(part), max(part)
        if kind == "Q4_1":
            d, m = _half((most - least) / 15), _half(least)
            q = [min(15, max(0, round((n - m) / d))) if d else 0 for n in part]
            data += struct.pack("<ee", d, m) + _nibbles(q)
            meant += [d * n + m for n in q]
        elif kind == "Q4_0":
            d = _half(max(map(abs, part)) / 8)
            q = [min(15, max(0, round(n / d) + 8)) if d else 8 for n in part]
            data += struct.pack("<e", d) + _nibbles(q)
            meant += [d * (n - 8) for n in q]
        else:
            d = _half(max(map(abs, part)) / 127)
            q = [min(127, max(-128, round(n / d))) if d else 0 for n in part]
            data += struct.pack("<e32b", d, *q)
            meant += [d * n for n in q]
    return data, np.array(meant, np.float64).astype(np.float32).reshape(numbers.shape)


def _half(number: float) -> float:
    return float(struct.unpack("<e", struct.pack("<e", number))[0])


def _nibbles(q: list[int]) -> bytes:
    return bytes(low | high << 4 for low, high in zip(q[:16], q[16:]))


def _text(text: str) -> bytes:
    return struct.pack("<Q", len(text.encode())) + text.encode()


def _value(value: Any) -> bytes:
    """With its type; lists of texts or of i32."""
    if isinstance(value, bool):
        return struct.pack("<I?", 7, value)
    if isinstance(value, int):
        return struct.pack("<II", 4, value)
    if isinstance(value, float):
        return struct.pack("<If", 6, value)
    if isinstance(value, str):
        return struct.pack("<I", 8) + _text(value)
    if value and isinstance(value[0], str):
        return struct.pack("<IIQ", 9, 8, len(value)) + b"".join(map(_text, value))
    return struct.pack(f"<IIQ{len(value)}i", 9, 5, len(value), *value)


def write_gguf(
    file: Path, values: dict[str, Any], tensors: dict[str, tuple[np.ndarray, str]], alignment: int = 32
) -> dict[str, np.ndarray]:
    """Returns what the tensors stand for."""
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(values))
    head += b"".join(_text(name) + _value(value) for name, value in values.items())
    data, meant = b"", {}
    for name, (numbers, kind) in tensors.items():
        raw, meant[name] = quantise(numbers, kind)
        head += _text(name) + struct.pack(f"<I{numbers.ndim}Q", numbers.ndim, *reversed(numbers.shape))
        head += struct.pack("<IQ", KINDS[kind], len(data))
        data += raw + b"\0" * (-len(raw) % alignment)
    file.write_bytes(head + b"\0" * (-len(head) % alignment) + data)
    return meant


SIZES = {"hidden": 64, "heads": 4, "kv_heads": 2, "head": 16, "feed": 96, "layers": 2}


def vocabulary() -> tuple[list[str], list[str], list[int]]:
    """Tokens, merges and types: three special ones, all bytes, and some merged pairs."""
    special = ["<|end|>", "<|start|>", "<|stop|>"]
    merges = ["t h", "th e", "Ġ the", "o n", "1 2"]
    tokens = special + [BYTES[b] for b in range(256)] + [m.replace(" ", "") for m in merges]
    return tokens, merges, [CONTROL] * 3 + [NORMAL] * (len(tokens) - 3)


def random_llama(seed: int = 0, tied: bool = True) -> tuple[dict[str, Any], dict[str, tuple[np.ndarray, str]]]:
    """Values and tensors of a file. Rows of queries and keys are those of pairs of neighbours."""
    s, rng = SIZES, np.random.default_rng(seed)
    tokens, merges, types = vocabulary()

    def matrix(rows: int, columns: int) -> np.ndarray:
        return rng.uniform(-1, 1, (rows, columns)) * (3 / columns) ** 0.5

    def gamma() -> np.ndarray:
        return rng.uniform(0.9, 1.1, s["hidden"])

    tensors = {"token_embd.weight": (matrix(len(tokens), s["hidden"]), "Q8_0")}
    q, kv = s["heads"] * s["head"], s["kv_heads"] * s["head"]
    for i in range(s["layers"]):
        blk = f"blk.{i}."
        tensors |= {blk + "attn_norm.weight": (gamma(), "F32"), blk + "ffn_norm.weight": (gamma(), "F32")}
        for name, rows, columns, kind in (
            ("attn_q", q, s["hidden"], "Q4_1"), ("attn_k", kv, s["hidden"], "Q4_1"), ("attn_v", kv, s["hidden"], "Q4_0"),
            ("attn_output", s["hidden"], q, "F16"), ("ffn_gate", s["feed"], s["hidden"], "Q4_1"),
            ("ffn_up", s["feed"], s["hidden"], "BF16"), ("ffn_down", s["hidden"], s["feed"], "Q8_0"),
        ):  # fmt: skip
            tensors[f"{blk}{name}.weight"] = (matrix(rows, columns), kind)
    tensors["output_norm.weight"] = (gamma(), "F32")
    if not tied:
        tensors["output.weight"] = (matrix(len(tokens), s["hidden"]), "Q8_0")
    values = {
        "general.architecture": "llama",
        "general.license": "apache-2.0",
        "llama.block_count": s["layers"],
        "llama.context_length": 128,
        "llama.embedding_length": s["hidden"],
        "llama.feed_forward_length": s["feed"],
        "llama.attention.head_count": s["heads"],
        "llama.attention.head_count_kv": s["kv_heads"],
        "llama.rope.freq_base": 100000.0,
        "llama.rope.dimension_count": s["head"],
        "llama.attention.layer_norm_rms_epsilon": 1e-5,
        "llama.vocab_size": len(tokens),
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "smollm",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": types,
        "tokenizer.ggml.merges": merges,
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
        "tokenizer.ggml.add_bos_token": False,
        "tokenizer.chat_template": "{% for m in messages %}<|start|>{{ m['content'] }}<|stop|>{% endfor %}",
    }
    return values, tensors
