"""The sizes of Llama-like models, and their weights by name and shape, as Hugging Face has them."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from meshlang.diag import MeshlangError

from .experts import Experts
from .families import family_of, is_number
from .families import model_error as llama_error
from .rotary import RotaryScaling, rotary_of


@dataclass(frozen=True)
class LlamaConfig:
    """The sizes of a Llama-like model, in elements, heads, layers and tokens. MS0990 for what contradicts itself."""

    hidden_size: int
    heads: int
    kv_heads: int
    head_size: int
    feed_forward_size: int
    layers: int = 1
    vocabulary: int = 256
    norm_epsilon: float = 1e-5
    rotary_base: float = 10000.0
    # the rotary embedding pairs elements 2 i and 2 i + 1 (Meta); else i and i + head_size / 2 (Hugging Face)
    interleaved: bool = False
    tied_embeddings: bool = False  # the output projection is the embedding table
    rotary_scaling: RotaryScaling | None = None
    # what families differ in
    activation: str = "silu"  # or "gelu", approximated by tanh
    window: int | None = None  # tokens that a token sees, itself included
    qkv_bias: bool = False
    output_bias: bool = False
    feed_bias: bool = False  # of gate, up and down
    head_norms: bool = False  # RMSNorm of each query and key head
    wide_norms: bool = False  # RMSNorm of all query heads together, and of all key heads
    experts: Experts | None = None  # in the place of the feed-forward layer; its size is that of one of them
    norm_offset: float = 0.0  # what is added to the norms' weights
    embeddings_scaled: bool = False  # by the square root of the hidden size, on the way in

    def __post_init__(self) -> None:
        for name in ("hidden_size", "heads", "kv_heads", "head_size", "feed_forward_size", "layers", "vocabulary"):
            value = getattr(self, name)
            if not _positive(value):
                raise llama_error("MS0990", f"the model's {name} must be a positive integer, found {value!r}")
        if self.heads % self.kv_heads:
            raise llama_error(
                "MS0990",
                f"{self.heads} query heads do not divide among {self.kv_heads} key-value heads",
                "the number of query heads is a multiple of the number of key-value heads",
            )
        if self.head_size % 2:
            raise llama_error(
                "MS0990", f"the rotary embedding turns pairs of elements: a head size of {self.head_size} is odd"
            )
        if not 0 < self.norm_epsilon < math.inf or not 1 < self.rotary_base < math.inf:
            raise llama_error(
                "MS0990",
                f"norm_epsilon must be positive and rotary_base above 1, found {self.norm_epsilon} and {self.rotary_base}",
            )

        if self.activation not in ("silu", "gelu"):
            raise llama_error("MS0990", f"an activation is silu or gelu, found {self.activation!r}")
        if self.window is not None and not _positive(self.window):
            raise llama_error("MS0990", f"a window is a positive number of tokens, found {self.window!r}")
        self._check_experts()

    def _check_experts(self) -> None:
        e = self.experts
        if e is None:
            return
        for what, value, least in (
            ("number of experts", e.count, 1),
            ("number of experts of a token", e.chosen, 1),
            ("size of the shared expert", e.shared_size, 0),
        ):
            if not _positive(value) and not (isinstance(value, int) and value == least == 0):
                raise llama_error("MS0990", f"the {what} must be a positive integer, found {value!r}")
        if e.chosen > e.count:
            raise llama_error(
                "MS1430",
                f"a token goes through {e.chosen} experts, but there are {e.count}",
                "num_experts_per_tok is at most the number of experts",
            )
        if self.feed_bias:
            raise llama_error("MS1400", "experts with biases are not supported")

    @property
    def queries(self) -> int:
        """Query heads for each key-value head."""
        return self.heads // self.kv_heads

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> LlamaConfig:
        """From the fields of a Hugging Face `config.json`. MS0990 for missing and contradictory fields, MS1400 for a
        family or a field that is not supported (families.py)."""
        family = family_of(values)
        values = {**family.defaults, **values}

        def need(name: str) -> Any:
            if values.get(name) is None:
                raise llama_error(
                    "MS0990", f"the configuration has no {name!r}", f"it has: {', '.join(sorted(values)) or 'nothing'}"
                )
            return values[name]

        activation = values.get("hidden_act", "silu")
        if not isinstance(activation, str) or activation not in family.activations:
            raise llama_error(
                "MS1400",
                f"hidden_act {activation!r} is not supported by {family.name}",
                f"supported: {', '.join(family.activations)}",
            )
        base, scaling = rotary_of(values)
        hidden, heads = need("hidden_size"), need("num_attention_heads")
        head_size = values.get("head_dim")
        if head_size is None:
            if not _positive(hidden) or not _positive(heads) or hidden % heads:
                raise llama_error(
                    "MS0990",
                    f"the hidden size {hidden!r} does not divide among {heads!r} heads, and 'head_dim' is not given",
                )
            head_size = hidden // heads
        kv_heads = values.get("num_key_value_heads")
        special = family.read(values)
        return cls(
            hidden_size=hidden,
            heads=heads,
            kv_heads=heads if kv_heads is None else kv_heads,
            head_size=head_size,
            layers=need("num_hidden_layers"),
            vocabulary=need("vocab_size"),
            norm_epsilon=_number(values, "rms_norm_eps", 1e-6),
            rotary_base=base,
            rotary_scaling=scaling,
            activation=family.activations[activation],
            interleaved=_flag(values, "rope_interleaved"),
            tied_embeddings=_flag(values, "tie_word_embeddings"),
            **({} if "feed_forward_size" in special else {"feed_forward_size": need("intermediate_size")}),
            **special,
        )

    @classmethod
    def from_json(cls, path: str | Path) -> LlamaConfig:
        """Read a Hugging Face `config.json`. MS0901 if it cannot be read, MS0990 for a file that is no JSON object, and what
        `from_dict` says, with the file before it."""
        values = read_object(path)
        try:
            return cls.from_dict(values)
        except MeshlangError as error:
            named = (replace(d, message=f"{path}: {d.message}") for d in error.diagnostics)
            raise MeshlangError(*named) from None

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The names and shapes of all weights; matrices are [outputs, inputs]."""
        E, F = self.hidden_size, self.feed_forward_size
        q, kv = self.heads * self.head_size, self.kv_heads * self.head_size
        out: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (self.vocabulary, E)}
        for i in range(self.layers):
            p = f"model.layers.{i}."
            out |= {p + "input_layernorm.weight": (E,), p + "post_attention_layernorm.weight": (E,)}
            out |= {p + f"self_attn.{n}_proj.weight": (size, E) for n, size in (("q", q), ("k", kv), ("v", kv))}
            out |= {p + "self_attn.o_proj.weight": (E, q)}
            if self.qkv_bias:
                out |= {p + f"self_attn.{n}_proj.bias": (size,) for n, size in (("q", q), ("k", kv), ("v", kv))}
            if self.output_bias:
                out |= {p + "self_attn.o_proj.bias": (E,)}
            if self.head_norms:
                out |= {p + f"self_attn.{n}_norm.weight": (self.head_size,) for n in "qk"}
            if self.feed_bias:
                out |= {p + f"mlp.{n}_proj.bias": (size,) for n, size in (("gate", F), ("up", F), ("down", E))}
            if self.wide_norms:
                out |= {p + f"self_attn.{n}_norm.weight": (size,) for n, size in (("q", q), ("k", kv))}
            if self.experts:
                out |= {f"{p}{name}.weight": shape for name, shape in self.experts.shapes(E, F)}
            else:
                out |= {
                    p + "mlp.gate_proj.weight": (F, E),
                    p + "mlp.up_proj.weight": (F, E),
                    p + "mlp.down_proj.weight": (E, F),
                }
        out["model.norm.weight"] = (E,)
        if not self.tied_embeddings:
            out["lm_head.weight"] = (self.vocabulary, E)
        return out

    def check_names(self, names: Iterable[str]) -> None:
        """MS1401 for weights that the model does not use: what they would do would be left out."""
        unknown = [name for name in names if name not in self.shapes() and not self._redundant(name)]
        if unknown:
            more = f" and {len(unknown) - 4} more" if len(unknown) > 4 else ""
            raise llama_error(
                "MS1401",
                f"nothing takes the weight{'s' if len(unknown) > 1 else ''} {', '.join(map(repr, sorted(unknown)[:4]))}{more}",
                "the model computes something with them that this configuration does not say",
            )

    def _redundant(self, name: str) -> bool:
        """A copy of the embedding table as output projection, and the rotary embedding's frequencies, which older
        versions of transformers saved: both follow from the configuration."""
        return (self.tied_embeddings and name == "lm_head.weight") or name.endswith("rotary_emb.inv_freq")

    @property
    def embedding_scale(self) -> float:
        """What a row of the embedding table is multiplied with."""
        return math.sqrt(self.hidden_size) if self.embeddings_scaled else 1.0

    def beyond_llama(self) -> list[str]:
        """What the layers have that Llama's do not."""
        words = {
            "a window": self.window, "biases": self.qkv_bias or self.output_bias or self.feed_bias,
            "head norms": self.head_norms or self.wide_norms, "GELU": self.activation == "gelu", "experts": self.experts,
        }  # fmt: skip
        return [word for word, there in words.items() if there]

    def random_weights(self, seed: int = 0, dtype: Any = np.float32, vocabulary: bool = True) -> dict[str, np.ndarray]:
        """Weights as `shapes` names them, whose layers keep the size of what goes through them: uniform, of variance 1
        / inputs; norms around 1, biases around 0. vocabulary: False leaves out the embedding table and the output
        projection, which no layer needs; the others are the same."""
        numbers = np.random.PCG64(seed)  # default_rng's
        rng = np.random.Generator(numbers)
        weights = {}
        for name, shape in self.shapes().items():
            if not vocabulary and name in ("model.embed_tokens.weight", "lm_head.weight"):
                numbers.advance(math.prod(shape))  # one number for each element
                continue
            bound = math.sqrt(3 / shape[-1])
            if len(shape) == 1:
                middle = 0.0 if name.endswith("bias") else 1 - self.norm_offset
                values = middle + rng.uniform(-0.1, 0.1, shape)
            else:
                values = rng.uniform(-bound, bound, shape)
            weights[name] = values.astype(dtype)
        return weights

    def rotary(self, positions: Any, length: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """cos and sin for each position and pair: float64 [positions, head_size / 2]. length: tokens of the sequence
        when they are computed (up to the last position), which the dynamic scaling depends on."""
        positions = np.asarray(positions, np.float64)
        scaling = self.rotary_scaling or RotaryScaling("linear", 1.0)
        last = int(positions.max()) + 1 if length is None else length
        angle = positions[:, None] * scaling.frequencies(self.rotary_base, self.head_size, last)
        return scaling.amplitude * np.cos(angle), scaling.amplitude * np.sin(angle)

    def pair(self, p: Any) -> tuple[Any, Any]:
        """The two elements of a head that pair number p joins."""
        return (2 * p, 2 * p + 1) if self.interleaved else (p, p + self.head_size // 2)


def read_object(path: str | Path, code: str = "MS0990") -> dict[str, Any]:
    """A file with a JSON object. MS0901 if it cannot be read, `code` if it is none."""
    try:
        values = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise llama_error("MS0901", f"cannot read {path}: {(error.strerror or str(error)).lower()}") from None
    except (ValueError, RecursionError) as error:
        raise llama_error(code, f"{path} is not JSON: {error}") from None
    if not isinstance(values, dict):
        raise llama_error(code, f"{path} holds no JSON object")
    return values


def _positive(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _number(values: Mapping[str, Any], name: str, default: float) -> float:
    value = values.get(name)
    if value is None:
        return default
    if not is_number(value):
        raise llama_error("MS0990", f"{name} must be a number, found {value!r}")
    return float(value)


def _flag(values: Mapping[str, Any], name: str) -> bool:
    value = values.get(name)
    if value is not None and not isinstance(value, bool):
        raise llama_error("MS0990", f"{name} must be true or false, found {value!r}")
    return bool(value)
