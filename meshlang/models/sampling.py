"""Choosing the next token from logits: the largest, or at random from those that temperature, top-k and top-p leave."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from .families import model_error


@dataclass(frozen=True)
class Sampling:
    """temperature 0: the largest logit (the first of equal ones). Else logits are divided by it; top_k: of the k
    largest (0: all); top_p: of the fewest whose probabilities add up to p. In this order, as in transformers."""

    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.temperature < math.inf:
            raise model_error("MS1420", f"a temperature is 0 or a positive number, found {self.temperature}")
        if self.top_k < 0 or not 0 < self.top_p <= 1:
            raise model_error(
                "MS1420", f"top-k is 0 or positive and top-p above 0 and at most 1, found {self.top_k} and {self.top_p}"
            )
        if self.seed < 0:
            raise model_error("MS1420", f"a seed is 0 or positive, found {self.seed}")

    def generator(self) -> np.random.Generator:
        return np.random.default_rng(self.seed)

    def probabilities(self, logits: np.ndarray) -> np.ndarray:
        """float64, one for each token; temperature must be positive."""
        scores = np.asarray(logits, np.float64) / self.temperature
        if 0 < self.top_k < len(scores):
            scores = np.where(scores >= np.sort(scores)[-self.top_k], scores, -np.inf)
        p = np.exp(scores - scores.max())
        p /= p.sum()
        if self.top_p < 1:
            order = np.argsort(-p, kind="stable")
            before = np.cumsum(p[order]) - p[order]
            p[order[before >= self.top_p]] = 0
            p /= p.sum()
        return p

    def choose(self, logits: np.ndarray, generator: np.random.Generator) -> int:
        """A token number. MS1421 for logits that are no finite numbers."""
        if not np.isfinite(logits).all():
            raise model_error(
                "MS1421",
                "the logits are no finite numbers: the computation has left the range of its type",
                "use float32 (--dtype f32)",
            )
        if self.temperature == 0:
            return int(np.argmax(logits))
        return int(generator.choice(len(logits), p=self.probabilities(logits)))
