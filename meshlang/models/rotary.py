"""The frequencies of the rotary embedding, and how models of long contexts scale them.

A pair p of a head's elements turns by position times base^(-2 p / head_size). The scalings change these frequencies, so
on the mesh they are other numbers in the tables that the host writes:

    linear    all divided by a factor (position interpolation)
    dynamic   a larger base as soon as a sequence is longer than the model was trained for (NTK); by the length of the
              sequence when a token is computed, as transformers does with a cache
    llama3    low frequencies divided by a factor, high ones as they are, between them a mixture (Llama 3.1)
    yarn      the same with other borders, and sines and cosines scaled (YaRN, arXiv:2309.00071)
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from .families import is_number, model_error

# the fields of each type, and those of them that must be there
_FIELDS: dict[str, tuple[frozenset[str], frozenset[str]]] = {
    "default": (frozenset(), frozenset()),
    "linear": (frozenset({"factor"}), frozenset({"factor"})),
    "dynamic": (frozenset({"factor"}), frozenset({"factor"})),
    "llama3": (
        frozenset({"factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings"}),
        frozenset({"factor", "low_freq_factor", "high_freq_factor"}),
    ),
    "yarn": (
        frozenset(
            "factor original_max_position_embeddings attention_factor beta_fast beta_slow mscale mscale_all_dim "
            "truncate".split()
        ),
        frozenset(),
    ),
}


@dataclass(frozen=True)
class RotaryScaling:
    """How the frequencies are scaled. trained: positions the model was trained for. Fields that a kind does not use keep
    their defaults."""

    kind: str
    factor: float
    trained: int = 0
    low: float = 1.0  # llama3: wavelengths above trained / low are divided; yarn: rotations (beta_slow)
    high: float = 4.0  # llama3: wavelengths below trained / high stay; yarn: rotations (beta_fast)
    amplitude: float = 1.0  # yarn: of sines and cosines
    truncate: bool = True  # yarn: borders are whole pairs

    def frequencies(self, base: float, size: int, length: int) -> np.ndarray:
        """float64 [size / 2], for a sequence of `length` tokens so far."""
        plain = base ** (-2.0 * np.arange(size // 2) / size)
        if self.kind == "linear":
            return plain / self.factor
        if self.kind == "dynamic":
            if size == 2:
                return plain  # the one frequency is 1 whatever the base
            stretch = self.factor * max(length, self.trained) / self.trained - (self.factor - 1)
            return (base * stretch ** (size / (size - 2))) ** (-2.0 * np.arange(size // 2) / size)
        if self.kind == "llama3":
            # the share of the frequency that stays
            stays = (self.trained * plain / (2 * math.pi) - self.low) / (self.high - self.low)
            stays = np.clip(stays, 0, 1)
        else:
            first, last = (self._pair(base, size, rotations) for rotations in (self.high, self.low))
            if self.truncate:
                first, last = math.floor(first), math.ceil(last)
            first, last = max(first, 0), min(last, size - 1)
            if first == last:
                last += 0.001
            stays = 1 - np.clip((np.arange(size // 2) - first) / (last - first), 0, 1)
        return plain * stays + plain / self.factor * (1 - stays)

    def _pair(self, base: float, size: int, rotations: float) -> float:
        """The pair that turns `rotations` times over the trained positions."""
        return size * math.log(self.trained / (rotations * 2 * math.pi)) / (2 * math.log(base))


def rotary_of(values: Mapping[str, Any]) -> tuple[float, RotaryScaling | None]:
    """Base and scaling, from a configuration in whatever form they stand there. MS1400 for a scaling or a field of it
    that is not supported, MS0990 for what is missing or no number."""
    parts = []
    for key in ("rope_scaling", "rope_parameters"):
        part = values.get(key)
        if part is not None and not isinstance(part, Mapping):
            raise model_error("MS0990", f"{key} is {part!r}, not an object")
        parts.append({k: v for k, v in (part or {}).items() if v is not None})
    if all(parts) and parts[0] != parts[1]:
        raise model_error("MS0990", "rope_scaling and rope_parameters say different things", "keep one of them")
    rope = parts[0] or parts[1]
    kind = rope.pop("rope_type", rope.get("type", "default"))
    rope.pop("type", None)
    base = rope.pop("rope_theta", values.get("rope_theta"))
    if rope.get("partial_rotary_factor") == 1.0:
        del rope["partial_rotary_factor"]
    if not isinstance(kind, str) or kind not in _FIELDS:
        raise model_error(
            "MS1400", f"rotary scaling of type {kind!r} is not supported", f"supported: {', '.join(_FIELDS)}"
        )
    fields, needed = _FIELDS[kind]
    for name in sorted(set(rope) - fields):
        raise model_error(
            "MS1400", f"the rotary embedding's {name!r} is not supported with type {kind!r}: {rope[name]!r}"
        )
    for name in sorted(needed - set(rope)):
        raise model_error("MS0990", f"rotary scaling of type {kind!r} has no {name!r}")
    for name, value in rope.items():
        if not is_number(value) and not (name == "truncate" and isinstance(value, bool)):
            raise model_error("MS0990", f"the rotary embedding's {name!r} must be a number, found {value!r}")
    if base is None:
        base = 10000.0
    if not is_number(base):
        raise model_error("MS0990", f"rope_theta must be a number, found {base!r}")
    return float(base), None if kind == "default" else _scaling(kind, rope, values)


def _scaling(kind: str, rope: Mapping[str, Any], values: Mapping[str, Any]) -> RotaryScaling:
    longest = values.get("max_position_embeddings")
    trained: Any = rope.get("original_max_position_embeddings", longest)
    if kind == "linear":
        trained = 0
    else:
        if not is_number(trained) or not trained >= 1:
            raise model_error(
                "MS0990", f"rotary scaling of type {kind!r} needs max_position_embeddings, found {trained!r}"
            )
    factor = rope.get("factor")
    if factor is None:  # yarn
        if not is_number(longest):
            raise model_error("MS0990", f"rotary scaling of type {kind!r} has no 'factor'")
        factor = longest / trained
    if not 1 <= factor < math.inf:
        raise model_error("MS0990", f"a rotary scaling's factor must be at least 1, found {factor!r}")
    if kind == "llama3":
        low, high = float(rope["low_freq_factor"]), float(rope["high_freq_factor"])
        if not 0 < low < high < math.inf:
            raise model_error("MS0990", f"low_freq_factor must be positive and below high_freq_factor: {low}, {high}")
        return RotaryScaling(kind, float(factor), int(trained), low, high)
    if kind == "yarn":
        fast, slow = float(rope.get("beta_fast") or 32), float(rope.get("beta_slow") or 1)
        if not 0 < slow <= fast < math.inf:
            raise model_error("MS0990", f"beta_slow must be positive and at most beta_fast, found {slow} and {fast}")
        amplitude = rope.get("attention_factor")
        if amplitude is None:
            one, all_dim = rope.get("mscale"), rope.get("mscale_all_dim")
            amplitude = _amplitude(factor, one) / _amplitude(factor, all_dim) if one and all_dim else _amplitude(factor)
        return RotaryScaling(
            kind, float(factor), int(trained), slow, fast, float(amplitude), rope.get("truncate", True)
        )
    return RotaryScaling(kind, float(factor), int(trained))


def _amplitude(factor: float, weight: float = 1.0) -> float:
    return 0.1 * weight * math.log(factor) + 1.0 if factor > 1 else 1.0
