# ruff: noqa: F403, F405
"""The run loop: the one compiled entry point.

A cycle has two phases, routers and then compute elements, each over the PEs that have something to do, in PE order.
Cycles in which nothing is to do are skipped. With several threads each visits the PEs of its band, part by part of a cycle
(bands.py).
"""

from __future__ import annotations

import numpy as np

from .ahead import elements_ahead
from .bands import ELEMENTS, next_part
from .clock import GO, STOP_EVENTS, STOP_FAULT, STOP_LIMIT, STOP_LOG, next_cycle, what_stops
from .core import compute
from .express import leave_everywhere
from .jit import COMPILED, cache_directory, cold, ctz, top_level
from .router import route
from .state import *
from .trace import full, resumed

ZERO = np.int64(0)


@cold
def put_back(W, occupied, base, word, bits, w, words, now):
    """The loop stops in the middle of a cycle: what it has taken off the wheel and not visited goes back."""
    l0 = W[G_L0]
    W[base + word] |= bits
    W[base + l0 + w] |= words | (np.int64(1) << (word & 63))
    W[occupied] |= np.int64(1) << (now & 63)
    W[G_STEPS] -= 1
    W[G_EVENTPAUSE] = 1


def run_loop(W, U, C, T, M8, M16, M32, HP, HS):
    """Run until something stops it; returns a STOP_ number. The clock then stands at the next cycle to run."""
    l0 = W[G_L0]
    l1 = W[G_L1]
    banded = W[G_BANDS] != 0
    first = W[G_WORDSFROM]
    end = W[G_WORDSTO]
    base = ZERO
    while True:
        if banded:
            code = next_part(W, U)
            if code != GO:
                return code
            base = W[G_PLACE]
        else:
            if W[G_UNTIL] == 3:
                leave_everywhere(W, U)
                return STOP_LIMIT
            if not resumed(W):
                code = what_stops(W, W[G_CMDS], W[G_SCOUNT + W[G_SCOLOR]], W[G_HINLEFT])
                if code != GO:
                    return code
                if W[G_PLOGN] >= W[G_PLOGCAP] or W[G_HLOGN] + W[G_NHOUT] > W[G_HLOGCAP]:
                    return STOP_LOG
            code = next_cycle(W, W[G_OCC_R] | W[G_OCC_C], W[G_EXPRESSED])
            if code != GO:
                return code
        now = W[G_NOW]
        bit = np.int64(1) << (now & 63)
        if W[G_STAGE] < ELEMENTS if banded else W[G_OCC_R] & bit != 0:
            if not banded:
                W[G_OCC_R] &= ~bit
                base = W[G_BITS_R] + (now & 63) * (l0 + l1)
            for w in range(first, end):
                words = W[base + l0 + w]
                W[base + l0 + w] = 0
                while words != 0:
                    word = (w << 6) + ctz(words)
                    words &= words - 1
                    bits = W[base + word]
                    W[base + word] = 0
                    while bits != 0:
                        if full(W):
                            put_back(W, G_OCC_R, base, word, bits, w, words, now)
                            return STOP_EVENTS
                        pe = (word << 6) + ctz(bits)
                        bits &= bits - 1
                        W[G_VISITS_R] += 1
                        route(W, U, M16, M32, HP, HS, pe, now)
                        if W[G_FAULT] != 0:
                            return STOP_FAULT
        if W[G_STAGE] >= ELEMENTS if banded else W[G_OCC_C] & bit != 0:
            if not banded:
                W[G_OCC_C] &= ~bit
                base = W[G_BITS_C] + (now & 63) * (l0 + l1)
            for w in range(first, end):
                words = W[base + l0 + w]
                W[base + l0 + w] = 0
                while words != 0:
                    word = (w << 6) + ctz(words)
                    words &= words - 1
                    bits = W[base + word]
                    W[base + word] = 0
                    if W[G_FAR] != 0:
                        elements_ahead(W, U, M16, word, bits, now)
                    while bits != 0:
                        if full(W):
                            put_back(W, G_OCC_C, base, word, bits, w, words, now)
                            return STOP_EVENTS
                        pe = (word << 6) + ctz(bits)
                        bits &= bits - 1
                        W[G_VISITS_C] += 1
                        if W[P0 + pe * PK + P_TILE] >= 0:
                            compute(W, U, C, T, M8, M16, M32, pe, now)
                            if W[G_FAULT] != 0:
                                return STOP_FAULT
        if not banded:
            W[G_NOW] = now + 1


_compiled: dict[bool, object] = {}


def engine(traced: bool = False):
    """The run loop, compiled (or loaded from the cache) on first use; `traced`: the version that records events
    (trace.py)."""
    if traced not in _compiled:
        if COMPILED:
            from numba import types

            def arr(dtype, aligned=True):
                return types.Array(dtype, 1, "C", aligned=aligned)

            signature = types.int64(
                arr(types.int64, not traced),
                arr(types.uint32),
                arr(types.int32),
                arr(types.int32),
                arr(types.uint8),
                arr(types.uint16),
                arr(types.uint32),
                arr(types.uint32),
                arr(types.int64),
            )
            _compiled[traced] = top_level(run_loop, signature, _version(traced))
        else:
            _compiled[traced] = run_loop
    return _compiled[traced]


def _version(traced: bool) -> str:
    return "traced" if traced else "ordinary"


def cached(traced: bool = False) -> bool:
    """Does the cache hold the compiled version?"""
    directory = cache_directory(__file__)
    return directory is not None and (directory / _version(traced)).exists()


def ready(traced: bool = False) -> bool:
    """Has the run loop been compiled or loaded in this process?"""
    return traced in _compiled
