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


class Answer:
    """The text of tokens as they come, up to a stop string. text: what has been given out; all of it after `rest`. Without a
    tokenizer there is none."""

    def __init__(self, tokenizer: Tokenizer | None, stops: Sequence[str] = ()):
        self._stream = Stream(tokenizer) if tokenizer else None
        self._stops = [s for s in stops if s]
        self.text = ""
        self.stopped = False

    def add(self, token: int) -> str:
        """What is certain now: what may be the beginning of a stop string is held back."""
        if self._stream is None:
            return ""
        self._stream.add(token)
        text = self._stream.text
        found = [at for at in map(text.find, self._stops) if at >= 0]
        if found:
            self.stopped = True
            return ""
        return self._give(text[: len(text) - max((_overlap(text, s) for s in self._stops), default=0)])

    def ended(self, token: int, end_tokens: frozenset[int]) -> str:
        """Why no more comes behind a token that was added: "stop" or "end" as in `Turn`, or "": more may come."""
        return "stop" if self.stopped else "end" if token in end_tokens else ""

    def rest(self) -> str:
        """What was held back, at the end: after a stop string what stands before it."""
        if self._stream is None:
            return ""
        if not self.stopped:
            self._stream.rest()
        text = self._stream.text
        return self._give(text[: min((at for at in map(text.find, self._stops) if at >= 0), default=len(text))])

    def _give(self, text: str) -> str:
        new, self.text = text[len(self.text) :], max(self.text, text, key=len)
        return new


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
        self.end_tokens, self.stops = end_tokens, stops
        self._random = sampling.generator()
        self._pending: list[int] = []  # chosen, and not yet looked at by the model

    def turn(self, prompt: Sequence[int], new: int, turn: Turn) -> Iterator[str]:
        """Fills in `turn`, and yields its text piece by piece as it is certain ("" for a token without one)."""
        turn.prompt = list(prompt)
        answer = Answer(self.tokenizer, self.stops)
        logits = self._feed(self._pending + turn.prompt, turn) if new else np.zeros(0)
        while len(turn.tokens) < new:
            token = self.sampling.choose(logits, self._random)
            turn.tokens.append(token)
            self._pending = [token]
            piece = answer.add(token)
            ended = answer.ended(token, self.end_tokens)
            if ended != "stop":
                yield piece
            if ended:
                turn.stopped = ended
                break
            if len(turn.tokens) < new:
                logits = self._feed([token], turn)
        last = answer.rest()
        turn.text = answer.text
        yield last

    def _feed(self, tokens: list[int], turn: Turn) -> np.ndarray:
        logits = self.runner.feed(tokens)
        turn.cycles.append(self.runner.decode_cycles[-1])
        self._pending = []
        return logits


def lockstep(runner: Runner, sequences: list[list[int]]) -> Iterator[tuple[int, np.ndarray]]:
    """All sequences of a batch, of any lengths, token by token: yields how many tokens of each have been looked at, and the logits behind
    them, [batch, vocabulary]; first where the shortest one ends. The caller appends to those that are that long.

    So all have as many tokens in the cache as each other at any time, and a shorter prompt is answered sooner."""
    fed, upto = 0, min(map(len, sequences))
    while True:
        tokens = [sequence[fed:upto] for sequence in sequences]
        logits = runner.feed(tokens[0])[None] if runner.place.batch == 1 else runner.feed_batch(tokens)
        yield upto, logits
        fed, upto = upto, upto + 1


def together(
    runner: Runner,
    prompts: Sequence[Sequence[int]],
    new: int,
    sampling: Sampling,
    tokenizer: Tokenizer | None = None,
    end_tokens: frozenset[int] = frozenset(),
    stops: Sequence[str] = (),
) -> list[Turn]:
    """Go on with several prompts at the same time, as many as the runner's placement has in a batch, each as a `Generator` of its own
    would. A sequence that has stopped before the others goes on unseen until the last one stops."""
    turns = [Turn(list(prompt)) for prompt in prompts]
    answers = [Answer(tokenizer, stops) for _ in prompts]
    randoms = [sampling.generator() for _ in prompts]
    running = set(range(len(prompts)))
    sequences = [list(prompt) for prompt in prompts]
    for length, logits in lockstep(runner, sequences):
        for i, sequence in enumerate(sequences):
            if len(sequence) > length:
                continue  # in its prompt
            if i not in running:
                sequence.append(sequence[-1])
                continue
            turn = turns[i]
            token = sampling.choose(logits[i], randoms[i])
            sequence.append(token)
            turn.tokens.append(token)
            turn.cycles.append(runner.decode_cycles[-1])
            answers[i].add(token)
            ended = answers[i].ended(token, end_tokens)
            if ended:
                turn.stopped = ended
            elif len(turn.tokens) < new:
                continue
            running.remove(i)
        if not running:
            break
    for turn, answer in zip(turns, answers):
        answer.rest()
        turn.text = answer.text
    return turns


def _overlap(text: str, stop: str) -> int:
    """How many of the last characters of a text may be the first of a stop string."""
    return next((n for n in range(min(len(stop) - 1, len(text)), 0, -1) if text.endswith(stop[:n])), 0)
