"""What a model says, in float64."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from meshlang import llama_reference
from meshlang.models.checkpoint import Checkpoint


def greedy(folder: Path, prompt: Sequence[int], new: int) -> list[int]:
    """The most likely tokens behind a prompt."""
    checkpoint = Checkpoint(folder)
    model = llama_reference.Reference(checkpoint.config, checkpoint)
    logits, out = model.logits(model.decode(model.embed(list(prompt))))[-1], []
    for _ in range(new):
        out.append(int(logits.argmax()))
        logits = model.logits(model.decode(model.embed(out[-1:])))[-1]
    return out
