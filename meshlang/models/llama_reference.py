"""A Llama model in numpy, double precision: what programs and tests compare the mesh with. Plain, not fast."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np

from .experts import SHARED_GATE
from .llama_config import LlamaConfig


def rms_norm(x: np.ndarray, gamma: np.ndarray, epsilon: float) -> np.ndarray:
    """[..., n] -> [..., n]: each vector divided by its root mean square, times gamma [n]."""
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + epsilon) * gamma


def softmax(x: np.ndarray) -> np.ndarray:
    """[..., n] -> [..., n]: over the last axis; -inf becomes 0."""
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def silu(x: np.ndarray) -> np.ndarray:
    """x sigmoid(x), element by element."""
    return x / (1 + np.exp(-x))


def gelu(x: np.ndarray) -> np.ndarray:
    """x / 2 (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))), element by element."""
    return x / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


LARGE = 1 << 26  # elements of all weights, half a gigabyte in float64
_PIECE = 1 << 22  # elements of a matrix that are widened at a time


def times(v: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """v [..., inputs] with a matrix [outputs, inputs] of any float type, in float64: [..., outputs]."""
    if matrix.dtype == np.float64:
        return v @ matrix.T
    step = max(1, _PIECE // matrix.shape[1])
    return np.concatenate([v @ matrix[i : i + step].astype(np.float64).T for i in range(0, len(matrix), step)], -1)


class Reference:
    """The model with its keys and values so far.

    weights: as in `LlamaConfig.shapes`, in any float type; MS1401 for others. Matrices of large models stay in theirs, and become
    float64 piece by piece where they are used. layers: how many of the model's layers (all). keys and values: a float64 array
    [kv_heads, tokens, head_size] for each layer.
    """

    def __init__(self, config: LlamaConfig, weights: Mapping[str, Any], layers: int | None = None):
        config.check_names(weights)
        self.config = config
        large = sum(np.size(w) for w in weights.values()) > LARGE
        self.weights = {
            name: np.asarray(w) if large and np.ndim(w) > 1 else np.asarray(w, np.float64)
            for name, w in weights.items()
        }
        self.layers = config.layers if layers is None else layers
        self._begin()

    def another(self) -> Reference:
        """The same model for another sequence, which has no tokens yet."""
        other = copy.copy(self)
        other._begin()
        return other

    def _begin(self) -> None:
        config = self.config
        shape = (config.kv_heads, 0, config.head_size)
        self.keys = [np.zeros(shape) for _ in range(self.layers)]
        self.values = [np.zeros(shape) for _ in range(self.layers)]
        # of models with experts, for each layer and token: the chosen ones (int [chosen]), the largest logit first
        self.routes: list[list[np.ndarray]] = [[] for _ in range(self.layers)]

    @property
    def tokens(self) -> int:
        """Tokens in the cache."""
        return self.keys[0].shape[1]

    def embed(self, tokens: Any) -> np.ndarray:
        """Token numbers [n] -> their hidden states [n, hidden_size], float64."""
        rows = self.weights["model.embed_tokens.weight"][np.asarray(tokens)]
        return rows.astype(np.float64) * self.config.embedding_scale

    def decode(self, x: Any) -> np.ndarray:
        """The next n tokens through all layers: hidden states [n, hidden_size] in and out, float64; their keys and
        values are kept."""
        x = np.asarray(x, np.float64)
        cos, sin = self.config.rotary(self.tokens + np.arange(len(x)), self.tokens + len(x))
        for i in range(self.layers):
            x = self._layer(i, x, cos, sin)
        return x

    def logits(self, x: np.ndarray) -> np.ndarray:
        """Hidden states [n, hidden_size] that `decode` returned -> [n, vocabulary], float64: final norm and output
        projection."""
        head = self.weights["model.embed_tokens.weight" if self.config.tied_embeddings else "lm_head.weight"]
        gamma = self.weights["model.norm.weight"] + self.config.norm_offset
        return times(rms_norm(x, gamma, self.config.norm_epsilon), head)

    def _layer(self, i: int, x: np.ndarray, cos: np.ndarray, sin: np.ndarray) -> np.ndarray:
        c = self.config
        w = {
            name.removeprefix(f"model.layers.{i}.").removesuffix(".weight"): v
            for name, v in self.weights.items()
            if f"layers.{i}." in name
        }

        normal = rms_norm(x, w["input_layernorm"] + c.norm_offset, c.norm_epsilon)
        q, k, v = (
            self._project(i, normal, f"self_attn.{n}_proj").reshape(len(x), heads, c.head_size).transpose(1, 0, 2)
            for n, heads in (("q", c.heads), ("k", c.kv_heads), ("v", c.kv_heads))
        )
        if c.head_norms:
            q, k = (rms_norm(t, w[f"self_attn.{n}_norm"], c.norm_epsilon) for t, n in ((q, "q"), (k, "k")))
        if c.wide_norms:
            q, k = (self._norm_wide(t, w[f"self_attn.{n}_norm"]) for t, n in ((q, "q"), (k, "k")))
        q, k = self._rotate(q, cos, sin), self._rotate(k, cos, sin)
        self.keys[i] = np.concatenate([self.keys[i], k], 1)
        self.values[i] = np.concatenate([self.values[i], v], 1)
        keys, values = (np.repeat(t, c.queries, 0) for t in (self.keys[i], self.values[i]))
        scores = q @ keys.transpose(0, 2, 1) / np.sqrt(c.head_size)
        position = np.arange(len(x))[:, None] + keys.shape[1] - len(x)
        other = np.arange(keys.shape[1])
        scores[:, position < other] = -np.inf
        if c.window is not None:
            scores[:, position - c.window >= other] = -np.inf
        mixed = (softmax(scores) @ values).transpose(1, 0, 2).reshape(len(x), -1)
        x = x + self._project(i, mixed, "self_attn.o_proj")
        normal = rms_norm(x, w["post_attention_layernorm"] + c.norm_offset, c.norm_epsilon)
        if c.experts:
            return x + self.mixture(i, normal)
        return x + self._feed(i, normal, ("mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"))

    def _project(self, i: int, v: np.ndarray, name: str) -> np.ndarray:
        full = f"model.layers.{i}.{name}"
        return times(v, self.weights[full + ".weight"]) + self.weights.get(full + ".bias", 0.0)

    def _feed(self, i: int, v: np.ndarray, names: tuple[str, str, str]) -> np.ndarray:
        gate, up, down = names
        activate = {"silu": silu, "gelu": gelu}[self.config.activation]
        return self._project(i, activate(self._project(i, v, gate)) * self._project(i, v, up), down)

    def mixture(self, i: int, v: np.ndarray) -> np.ndarray:
        """What the experts of layer i make of vectors [n, hidden_size]; their choice is added to `routes`."""
        e = self.config.experts
        assert e is not None
        out = np.zeros_like(v)
        for t, p in enumerate(softmax(self._project(i, v, e.router))):
            chosen = np.argsort(-p, kind="stable")[: e.chosen]
            self.routes[i].append(chosen)
            for j in chosen:
                out[t] += p[j] / (p[chosen].sum() if e.renormalise else 1) * self._feed(i, v[t], e.matrices(j))
        if e.shared_size:
            out += self._feed(i, v, e.matrices(e.count)) / (1 + np.exp(-self._project(i, v, SHARED_GATE)))
        return out

    def _norm_wide(self, v: np.ndarray, gamma: np.ndarray) -> np.ndarray:
        """[heads, tokens, head_size]: all heads of a token together; gamma [heads * head_size]."""
        flat = v.transpose(1, 0, 2).reshape(v.shape[1], -1)
        return rms_norm(flat, gamma, self.config.norm_epsilon).reshape(v.shape[1], len(v), -1).transpose(1, 0, 2)

    def _rotate(self, v: np.ndarray, cos: np.ndarray, sin: np.ndarray) -> np.ndarray:
        a, b = self.config.pair(np.arange(self.config.head_size // 2))
        out = np.empty_like(v)
        out[..., a] = v[..., a] * cos - v[..., b] * sin
        out[..., b] = v[..., b] * cos + v[..., a] * sin
        return out
