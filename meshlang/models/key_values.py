"""The keys and values of a sequence, apart from any mesh: read from the rows and columns of one placement, put on those of another.

Where <llm/kv_cache> has a token is a function of the number of tokens and of how many were there when it was told so (`reset`): rows hold
consecutive tokens, the last rows one more than the first, and a row's slots are a ring that turns as tokens are passed on.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .families import model_error
from .llama import Placement


@dataclass(frozen=True)
class KeyValues:
    """keys, values: [layers, tokens, kv_heads * head_size], keys turned by their positions."""

    keys: np.ndarray
    values: np.ndarray

    @property
    def tokens(self) -> int:
        return int(self.keys.shape[1])

    @property
    def nbytes(self) -> int:
        return self.keys.nbytes + self.values.nbytes


def slots(height: int, capacity: int, first: int, tokens: int) -> tuple[np.ndarray, np.ndarray]:
    """(rows, slots), int [tokens] each: where a shifting cache has every token, if it was told of the `first` ones and took the
    rest one by one."""
    y = np.arange(height)
    order = np.tile(np.arange(capacity), (height, 1))
    oldest = np.zeros(height, np.int64)
    count = (first + y) // height
    for token in range(first, tokens):
        turn = height - 1 - token % height
        slot = np.zeros(height, np.int64)
        slot[turn] = count[turn]
        sends = y > turn
        slot[sends] = order[sends, oldest[sends]]
        oldest[sends] = (oldest[sends] + 1) % capacity
        count[sends] -= 1
        takes = y >= turn
        order[takes, (oldest[takes] + count[takes]) % capacity] = slot[takes]
        count[takes] += 1
    rows = np.repeat(y, count)
    ends = np.cumsum(count)
    nth = np.arange(tokens) - (ends - count)[rows]
    return rows, order[rows, (oldest[rows] + nth) % capacity]


def collect(place: Placement, keys: np.ndarray, values: np.ndarray, first: int, tokens: int) -> KeyValues:
    """From the mesh arrays of all layers, [layers, H, W, elements], as the symbols `keys` and `values` have them."""
    _movable(place)
    layers = len(keys)
    heads, n, capacity = place.kv_heads, place.head_elements, place.capacity
    rows, at = slots(place.height, capacity, first, tokens)
    k = keys.reshape(layers, place.height, place.width, heads * n, capacity)[:, rows, :, :, at]
    v = values.reshape(layers, place.height, place.width, heads, capacity, n)[:, rows, :, :, at]
    # the slots' axis comes first: [tokens, layers, W, elements]
    total = place.config.kv_heads * place.config.head_size
    index = place.kv_index.reshape(place.width, -1)
    known = index >= 0
    out = []
    for part in (k, v):
        dense = np.zeros((layers, tokens, total), place.dtype)
        flat = part.reshape(tokens, layers, place.width, heads * n)
        dense[:, :, index[known]] = flat[:, :, known].swapaxes(0, 1)
        out.append(dense)
    return KeyValues(*out)


def spread(place: Placement, kv: KeyValues) -> tuple[np.ndarray, np.ndarray]:
    """To the mesh arrays of all layers, for a cache that is then told of all tokens; what `collect` reads."""
    _movable(place)
    layers, tokens = kv.keys.shape[:2]
    heads, n, capacity = place.kv_heads, place.head_elements, place.capacity
    rows, at = slots(place.height, capacity, tokens, tokens)
    index = place.kv_index.reshape(place.width, -1)
    shape = (layers, place.height, place.width)
    keys = np.zeros((*shape, heads * n, capacity), place.dtype)
    values = np.zeros((*shape, heads, capacity, n), place.dtype)
    for part, out in ((kv.keys, keys), (kv.values, values)):
        padded = np.concatenate([part.astype(place.dtype), np.zeros((layers, tokens, 1), place.dtype)], 2)
        tiles = padded[:, :, index].swapaxes(0, 1)  # [tokens, layers, W, elements]; -1 is the zero at the end
        if out is keys:
            out[:, rows, :, :, at] = tiles
        else:
            out[:, rows, :, :, at] = tiles.reshape(tokens, layers, place.width, heads, n)
    return keys.reshape(*shape, -1), values.reshape(*shape, -1)


def _movable(place: Placement) -> None:
    if place.batch > 1 or not place.shift:
        raise model_error(
            "MS1435",
            "keys and values are moved of one sequence in a cache that shifts",
            "a batch of one, and shift=True",
        )
