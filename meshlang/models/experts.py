"""Mixture of experts: what a sparse model has in the place of a dense feed-forward layer, and how its weights are named."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

# of a layer, behind "model.layers.N.": the router, an expert's matrices (gate, up, down), those of the shared expert and its gate
_NAMES = {
    "mlp": ("mlp.gate", "mlp.experts.{}.{}", ("gate_proj", "up_proj", "down_proj")),
    "mixtral": ("block_sparse_moe.gate", "block_sparse_moe.experts.{}.{}", ("w1", "w3", "w2")),
}
SHARED = "mlp.shared_expert.{}"
SHARED_GATE = "mlp.shared_expert_gate"


@dataclass(frozen=True)
class Experts:
    """The experts of each layer; `LlamaConfig.feed_forward_size` is the size of one.

    A token goes through the `chosen` of `count` experts with the largest router logits, the lower number first among equal
    ones. Their weights are the softmax of all logits, or, `renormalise`, divided by the sum of the chosen ones'.
    shared_size: of an expert that all tokens go through, times the logistic function of a logit of its own; 0: none.
    naming: "mlp" or "mixtral".
    """

    count: int
    chosen: int
    renormalise: bool = True
    shared_size: int = 0
    naming: str = "mlp"

    @property
    def router(self) -> str:
        return _NAMES[self.naming][0]

    @property
    def logits(self) -> int:
        """Of a token: the experts', and the shared expert's."""
        return self.count + (self.shared_size > 0)

    def matrices(self, expert: int) -> tuple[str, str, str]:
        """Names of an expert's gate, up and down projection; `count` is the shared expert."""
        pattern, parts = _NAMES[self.naming][1:]
        if expert == self.count:
            gate, up, down = (SHARED.format(part) for part in parts)
        else:
            gate, up, down = (pattern.format(expert, part) for part in parts)
        return gate, up, down

    def shapes(self, hidden: int, feed: int) -> Iterator[tuple[str, tuple[int, ...]]]:
        """Names and shapes of a layer's weights, [outputs, inputs]. feed: the size of an expert."""
        yield self.router, (self.count, hidden)
        sizes = [feed] * self.count
        if self.shared_size:
            yield SHARED_GATE, (1, hidden)
            sizes.append(self.shared_size)
        for expert, size in enumerate(sizes):
            gate, up, down = self.matrices(expert)
            yield from ((gate, (size, hidden)), (up, (size, hidden)), (down, (hidden, size)))
