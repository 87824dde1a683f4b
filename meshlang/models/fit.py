"""How a model goes on a mesh: all layers resident or one at a time, how much of a prompt is prefilled, in how many
pieces the output projection comes. What fits best is found by trying."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

from meshlang.diag import MeshlangError
from meshlang.ir.isa import PE_MEMORY

from .families import model_error
from .llama import Placement
from .llama_config import LlamaConfig

MODES = ("auto", "resident", "streamed", "pipeline")


def prompts(tokens: int, rows: int) -> Iterator[int]:
    """Lengths of a prefill worth trying, from all of a prompt's tokens but the last down to none."""
    length = tokens - 1
    while length >= rows or length == tokens - 1 > 0:
        yield length
        length //= 2
    yield 0


def place(
    config: LlamaConfig,
    height: int,
    width: int,
    *,
    tokens: int,
    prompt: int = 1,
    dtype: Any,
    mode: str = "auto",
    regions: int = 1,
    batch: int = 1,
    f32_sums: bool = False,
) -> Placement:
    """For `tokens` tokens in all, the first `prompt` of which are there at the beginning; of each of `batch` sequences.

    Resident layers before streamed ones; then a prefill as long as is worth its memory: each of its tokens saves a pass
    through all layers, and each piece more in which the output projection comes costs about as much as a layer, for every
    token that follows. The refusal of the least demanding one (MS0992) if nothing fits, or MS1432 if fewer sequences would;
    MS0991, MS0993, MS1431, MS1432 as `Placement`.
    """
    if not 1 <= prompt <= tokens:
        raise model_error(
            "MS1422", f"a prompt of {prompt} tokens, and {tokens} tokens in all: there must be at least one"
        )

    options = {"dtype": dtype, "regions": regions, "f32_sums": f32_sums}

    def attempt(sequences: int) -> Placement:
        return _place(config, height, width, tokens, prompt, mode, sequences, options)

    try:
        return attempt(batch)
    except MeshlangError as error:
        if batch == 1 or not _takes_too_much(error):
            raise
        most = _largest(0, batch - 1, lambda sequences: _fits(lambda: attempt(sequences)))
        if most == 0:
            raise
        raise model_error(
            "MS1432",
            f"a batch is too large: {error.diagnostics[0].message}",
            f"sequences of {tokens} tokens that would fit: {most}; more on a larger mesh, or of fewer tokens",
        ) from None


def _place(
    config: LlamaConfig,
    height: int,
    width: int,
    tokens: int,
    prompt: int,
    mode: str,
    batch: int,
    options: dict[str, Any],
) -> Placement:
    """options: what `Placement` gets as it is."""
    refused: MeshlangError | None = None
    for layers in {"auto": (config.layers, 1), "resident": (config.layers,), "streamed": (1,), "pipeline": (1,)}[mode]:
        found = []
        for length in prompts(prompt if min(height, width) > 1 and batch == 1 else 1, height):
            try:
                found.append(_fewest_pieces(config, height, width, tokens, length, layers, batch, options))
            except MeshlangError as error:
                if not _takes_too_much(error):
                    raise
                refused = error
        if found:
            new = tokens - prompt + 1
            return max(found, key=lambda p: p.prompt * config.layers - p.pieces * new)
    assert refused is not None
    raise refused


def _fewest_pieces(
    config: LlamaConfig,
    height: int,
    width: int,
    tokens: int,
    prompt: int,
    layers: int,
    batch: int,
    options: dict[str, Any],
) -> Placement:
    def attempt(pieces: int) -> Placement:
        found = Placement(
            config, height, width, capacity=-(-tokens // height), layers=layers, head=True, prompt=prompt, pieces=pieces, batch=batch,
            advise=False, **options,
        )  # fmt: skip
        found.check_tokens(tokens, prompt)
        return found

    column = -(-config.vocabulary // width)  # logits of a column
    best = attempt(column)  # one logit at a time takes least; MS0992 if even that does not fit
    pieces = 1
    while pieces < column:
        try:
            return attempt(pieces)
        except MeshlangError as error:
            if not _takes_too_much(error):
                raise
            # logits that the bytes which are left would hold, at least
            spare = best.head_room() // (best.dtype.itemsize * (best.hidden + batch)) + best.vocabulary
            pieces = max(pieces + 1, math.ceil(column / spare) if spare < column else 1)
    return best


def report(
    config: LlamaConfig,
    height: int,
    width: int,
    *,
    tokens: int,
    dtype: Any,
    prompt: int | None = None,
    regions: int = 1,
    f32_sums: bool = False,
) -> dict[str, Any]:
    """What fits where: for each mode a dictionary with `fits`, and what is placed (memory by part, pieces, prefill, the
    most tokens) or `why` not; and how many layers can be resident."""
    options: dict[str, Any] = {"dtype": dtype, "regions": regions, "f32_sums": f32_sums}
    out: dict[str, Any] = {"mesh": [width, height], "tokens": tokens}
    for mode in ("resident", "streamed"):

        def attempt(total: int, mode: str = mode, first: int = 1) -> Placement:
            return place(config, height, width, tokens=total, prompt=first, mode=mode, **options)

        try:
            found = attempt(tokens, first=tokens if prompt is None else prompt)
        except MeshlangError as error:
            out[mode] = {"fits": False, "why": error.diagnostics[0].message}
            continue
        most = _largest(tokens, height * PE_MEMORY, lambda total: _fits(lambda: attempt(total)))
        out[mode] = {
            "fits": True, "layers": found.layers, "memory": found.memory(), "free": found.free(),
            "output_pieces": found.pieces, "prefill": found.prompt, "most_tokens": most,
        }  # fmt: skip

    def layers(n: int) -> Placement:
        return Placement(config, height, width, capacity=-(-tokens // height), layers=n, **options)

    out["layers_resident"] = _largest(0, config.layers, lambda n: _fits(lambda: layers(n)))
    return out


def _takes_too_much(error: MeshlangError) -> bool:
    """Of a PE's memory."""
    return error.diagnostics[0].code == "MS0992"


def _fits(attempt: Callable[[], Placement]) -> bool:
    try:
        attempt()
    except MeshlangError as error:
        if error.diagnostics[0].code not in ("MS0992", "MS0993"):
            raise
        return False
    return True


def _largest(least: int, most: int, fits: Callable[[int], bool]) -> int:
    """The largest number for which `fits`, by halving; it does for `least`, and for all below one for which it does."""
    while least < most:
        middle = (least + most + 1) // 2
        if fits(middle):
            least = middle
        else:
            most = middle - 1
    return least
