"""What moving a request costs, by tokens and by keys and values, and where they cost the same.

By tokens the target computes all of them anew: cycles of its prefill and decoding. By keys the bytes go from wafer to wafer, and where the
target holds weights for a prefill it turns them to decoding first: cycles of `settle`. At one bandwidth between the wafers both take the same
time; above it keys win.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from meshlang.models.runner import Runner

from .image import Image
from .ledger import serve_error


@dataclass(frozen=True)
class Cost:
    """Of moving after `tokens` tokens, prompt included. generated: cycles that the source took for them. computed: cycles of the
    target to compute them anew. restored: of its hand-over when they come by keys. bytes: of keys and values. same: does the
    target choose the same next tokens, computed anew, restored, and without moving?"""

    tokens: int
    generated: int
    computed: int
    restored: int
    bytes: int
    same: tuple[bool, bool]

    def bandwidth(self, clock: float) -> float:
        """Bytes per second at which both take the same time; clock: cycles per second."""
        saved = self.computed - self.restored
        return self.bytes * clock / saved if saved > 0 else float("inf")


def crossover(source: Image, target: Image, prompt: list[int], counts: list[int], ahead: int = 8) -> list[Cost]:
    """The costs of moving after so many tokens; `ahead`: tokens that are compared behind each. MS1630 if the images are not of one
    model, or a count is no longer than the prompt; MS0993 if they do not fit."""
    if source.header.weights_sha256 != target.header.weights_sha256:
        raise serve_error("MS1630", f"{source.name} and {target.name} are not of one model: their weights differ")
    if min(counts) <= len(prompt):
        raise serve_error(
            "MS1630",
            f"after {min(counts)} tokens nothing has been generated: the prompt has {len(prompt)}",
            "larger numbers for --at",
        )
    for image in (source, target):
        image.placement.check_tokens(max(counts) + ahead)
    found = []
    for count in sorted(counts):
        runner = source.runner()
        tokens = list(prompt)
        logits = runner.feed(tokens)
        while len(tokens) < count:
            tokens.append(int(logits.argmax()))
            logits = runner.feed(tokens[-1:])
        generated = runner.prefill_cycles + runner.settle_cycles + sum(runner.decode_cycles)
        kv = runner.key_values()
        want = _continue(runner, logits, ahead)

        anew = target.runner()
        logits = anew.feed(tokens)
        computed = anew.prefill_cycles + anew.settle_cycles + sum(anew.decode_cycles)

        moved = target.runner()
        moved.restore(kv)
        restored = moved.settle_cycles
        # all keys and values are there, so the first token behind them is the source's
        first = want[0]
        same = (
            _continue(anew, logits, ahead) == want,
            [first, *_continue(moved, moved.feed([first]), ahead - 1)] == want,
        )
        found.append(Cost(count, generated, computed, restored, kv.nbytes, same))
    return found


def _continue(runner: Runner, logits: np.ndarray, count: int) -> list[int]:
    tokens: list[int] = []
    while len(tokens) < count:
        tokens.append(int(logits.argmax()))
        if len(tokens) < count:
            logits = runner.feed(tokens[-1:])
    return tokens
