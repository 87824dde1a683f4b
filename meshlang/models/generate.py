"""Texts from a model: turns of a conversation, each a prompt and what the model adds to it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from .runner import Runner
from .sampling import Sampling
from .text import Stream, Tokenizer


@dataclass
class Turn:
    """prompt: its tokens. tokens: those that were added, `cycles` of each. stopped: why no more came: "length", "end"
    (a token that ends texts), "stop" (one of the stop strings), and the text up to there."""

    prompt: list[int]
    tokens: list[int] = field(default_factory=list)
    cycles: list[int] = field(default_factory=list)
    text: str = ""
    stopped: str = "length"


class Generator:
    """Goes on with a sequence, turn by turn.

    end_tokens: they end a turn and are part of it. stops: texts that end a turn; what is returned ends before them.
    """

    def __init__(
        self,
        runner: Runner,
        sampling: Sampling,
        tokenizer: Tokenizer | None = None,
        end_tokens: frozenset[int] = frozenset(),
        stops: Sequence[str] = (),
    ):
        self.runner, self.sampling, self.tokenizer = runner, sampling, tokenizer
        self.end_tokens, self.stops = end_tokens, [s for s in stops if s]
        self._random = sampling.generator()
        self._pending: list[int] = []  # chosen, and not yet looked at by the model

    def turn(self, prompt: Sequence[int], new: int, turn: Turn) -> Iterator[str]:
        """Fills in `turn`, and yields its text piece by piece as it is certain ("" for a token without one)."""
        turn.prompt = list(prompt)
        stream = Stream(self.tokenizer) if self.tokenizer else None
        shown = 0
        logits = self._feed(self._pending + turn.prompt, turn) if new else np.zeros(0)
        while len(turn.tokens) < new:
            token = self.sampling.choose(logits, self._random)
            turn.tokens.append(token)
            self._pending = [token]
            if stream:
                stream.add(token)
                found = [at for at in map(stream.text.find, self.stops) if at >= 0]
                if found:
                    turn.text, turn.stopped = stream.text[: min(found)], "stop"
                    break
                # what may be the beginning of a stop string is held back
                safe = len(stream.text) - max((_overlap(stream.text, s) for s in self.stops), default=0)
                yield stream.text[shown:safe]
                shown = max(shown, safe)
            else:
                yield ""
            if token in self.end_tokens:
                turn.stopped = "end"
                break
            if len(turn.tokens) < new:
                logits = self._feed([token], turn)
        if stream and turn.stopped != "stop":
            stream.rest()
            turn.text = stream.text
        yield turn.text[shown:]

    def _feed(self, tokens: list[int], turn: Turn) -> np.ndarray:
        logits = self.runner.feed(tokens)
        turn.cycles.append(self.runner.decode_cycles[-1])
        self._pending = []
        return logits


def _overlap(text: str, stop: str) -> int:
    """How many of the last characters of a text may be the first of a stop string."""
    return next((n for n in range(min(len(stop) - 1, len(text)), 0, -1) if text.endswith(stop[:n])), 0)
