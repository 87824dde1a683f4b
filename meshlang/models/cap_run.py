"""The run that `meshlang cap` measures: a prompt for each sequence of a batch, then greedy tokens, one step at a time."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from meshlang.host.compare import largest_error
from meshlang.host.progress import stage

from .cap import Step
from .generate import lockstep
from .llama_reference import Reference, softmax
from .runner import Runner

COUNTED = ("bytes_read", "bytes_written", "flops")


@dataclass
class Accuracy:
    """What the mesh computes against the same weights in float64, which is given the mesh's tokens. tokens, agreed: greedy
    tokens after each prompt and step. routes, same: sets of experts that a token took in a layer. kl: KL(float64 || mesh)
    of the next token's probabilities, in nats, mean and largest. error: of a logit, relative to the largest."""

    tokens: int = 0
    agreed: int = 0
    routes: int = 0
    same: int = 0
    kl: float = 0.0
    largest_kl: float = 0.0
    error: float = 0.0

    def add(self, got: np.ndarray, want: np.ndarray) -> None:
        """Logits of one token. One that is no finite number is infinitely far away, and agrees with nothing."""
        error = largest_error(got, want, relative=True)
        self.error = max(self.error, error)
        if not math.isfinite(error):
            self.kl = self.largest_kl = math.inf
            self.tokens += 1
            return
        p, q = softmax(want), softmax(got.astype(np.float64))
        kl = max(float((p * (np.log(np.maximum(p, 1e-300)) - np.log(np.maximum(q, 1e-300)))).sum()), 0.0)
        self.kl = (self.kl * self.tokens + kl) / (self.tokens + 1)
        self.largest_kl = max(self.largest_kl, kl)
        self.tokens += 1
        self.agreed += int(got.argmax() == want.argmax())


@dataclass
class Measured:
    """steps: of decoding, after the prompts. generated: the tokens of each sequence. accuracy: None if not asked for."""

    steps: list[Step] = field(default_factory=list)
    generated: list[list[int]] = field(default_factory=list)
    accuracy: Accuracy | None = None


def measure(
    runner: Runner, weights: Mapping[str, Any], prompts: Sequence[Sequence[int]], new: int, accuracy: bool
) -> Measured:
    """Decode tokens for each prompt, as many as the runner's placement has in a batch: `new` steps behind the end of the longest. Shorter
    ones are answered meanwhile, so that all have as many tokens as each other (`generate.lockstep`)."""
    place = runner.place
    references: list[Reference] = []
    if accuracy:
        references = [Reference(runner.config, weights)]
        references += [references[0].another() for _ in prompts[1:]]
    out = Measured(accuracy=Accuracy() if accuracy else None)
    sequences, longest = [list(prompt) for prompt in prompts], max(map(len, prompts))
    before = runner.fabric.stats()
    for length, logits in lockstep(runner, sequences):
        after = runner.fabric.stats()
        if references:
            stage(f"token {length} in float64")
        for reference, sequence, got in zip(references, sequences, logits):
            want = reference.logits(reference.decode(reference.embed(sequence[reference.tokens : length])))[-1]
            if len(sequence) == length:  # not in its prompt
                assert out.accuracy is not None
                out.accuracy.add(got, want)
        if length > longest:
            work = (int(after[name] - before[name]) for name in COUNTED)
            out.steps.append(Step(runner.decode_cycles[-1], place.batch, length, activated(runner), *work))
        if length == longest + new:
            break
        for sequence, token in zip(sequences, logits.argmax(1).tolist()):
            if len(sequence) == length:
                sequence.append(token)
        before = runner.fabric.stats()
    out.generated = [sequence[len(prompt) :] for sequence, prompt in zip(sequences, prompts)]
    if out.accuracy and runner.config.experts:
        for number, reference in enumerate(references):
            want = np.sort(np.array(reference.routes).transpose(1, 0, 2))
            got = np.sort(np.array(runner.routes)[:, :, number])
            out.accuracy.routes += want.shape[0] * want.shape[1]
            out.accuracy.same += int((got == want).all(2).sum())
    return out


def activated(runner: Runner) -> tuple[int, ...]:
    """Of each layer, how many experts the last step's tokens took; a dense layer has one."""
    if not runner.config.experts:
        return (1,) * runner.config.layers
    return tuple(len(np.unique(layer)) for layer in runner.routes[-1])
