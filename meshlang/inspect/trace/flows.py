"""Which events are of one wavelet: from the CE that sends it, over the routers, to the CEs that take it.

Events carry no identity: what passes a queue or a router's channel leaves it in the order in which it came, so counting
is enough. What was there when recording began (`Start`) or comes from PEs that are not traced is counted as well, and
has no past.
"""

from __future__ import annotations

from collections import defaultdict, deque
from typing import TYPE_CHECKING

import numpy as np

from meshlang.fabric.recording import EXTRA

from .model import KIND

if TYPE_CHECKING:
    from .model import Trace

UNKNOWN = 0


def wavelets(trace: Trace) -> np.ndarray:
    """Number of the wavelet of each event, int64 [events]: from 1 on, 0 for events of other kinds and where it is not
    known.

    A wavelet that a router copies to several sides keeps its number.
    """
    ev = trace.events
    out = np.zeros(len(ev), np.int64)
    sent: dict[tuple[int, int], deque[int]] = defaultdict(deque)  # (PE, output queue)
    channel: dict[tuple[int, int], deque[int]] = defaultdict(deque)  # (PE, color)
    arrived: dict[tuple[int, int], deque[int]] = defaultdict(deque)  # (PE, input queue)
    inside = trace.mask.ravel()
    if trace.start is not None:
        for store, counts in (
            (channel, trace.start.channels),
            (arrived, trace.start.inputs),
            (sent, trace.start.outputs),
        ):
            for key, n in counts.items():
                if inside[key[0]]:
                    store[key].extend([UNKNOWN] * n)
    step = (-trace.width, trace.width, 1, -1)
    number = 0
    rows = trace.of_kinds("send", "enter", "move", "take")
    send, enter, move = int(KIND["send"]), int(KIND["enter"]), int(KIND["move"])
    for row, pe, kind, color, queue, extra in zip(
        rows.tolist(), *(ev[f][rows].tolist() for f in ("pe", "kind", "color", "queue", "extra")), strict=True
    ):
        if kind == send:
            number += 1
            out[row] = number
            sent[pe, queue].append(number)
        elif kind == enter:
            waiting = sent[pe, queue]
            w = waiting.popleft() if waiting else UNKNOWN
            if w == UNKNOWN:
                number += 1
                w = number
            out[row] = w
            channel[pe, color].append(w)
        elif kind == move:
            held = channel[pe, color] if inside[pe] else ()
            w = held.popleft() if held else UNKNOWN
            if w == UNKNOWN:
                number += 1
                w = number
            out[row] = w
            sides = EXTRA.sides.get(extra)
            for d in range(4):
                if sides >> d & 1 and inside[pe + step[d]]:
                    channel[pe + step[d], trace.color_beside(pe + step[d], color, d)].append(w)
            if sides >> 4 & 1 and inside[pe]:
                arrived[pe, queue].append(w)
        else:
            waiting = arrived[pe, queue]
            out[row] = waiting.popleft() if waiting else UNKNOWN
    return out
