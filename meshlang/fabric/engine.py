# ruff: noqa: F403, F405
"""The run loop: the one compiled entry point.

A cycle has two phases, routers and then compute elements, each over the PEs that have something to do, in PE order. Cycles in
which nothing is to do are skipped.
"""

from __future__ import annotations

import numpy as np

from .core import compute
from .jit import COMPILED, ctz, jit, top_level
from .router import route
from .state import *  # noqa: F403

STOP_QUIET, STOP_LIMIT, STOP_COMMANDS, STOP_STREAM, STOP_LOG, STOP_FAULT = 0, 1, 2, 3, 4, 5


@jit
def router_phase(I, U, HP, HS, now):
    slot = now & 63
    l0 = I[G_L0]
    l1 = I[G_L1]
    base = I[G_BITS_R] + slot * (l0 + l1)
    for w in range(l1):
        words = I[base + l0 + w]
        I[base + l0 + w] = 0
        while words != 0:
            word = (w << 6) + ctz(words)
            words &= words - 1
            bits = I[base + word]
            I[base + word] = 0
            while bits != 0:
                pe = (word << 6) + ctz(bits)
                bits &= bits - 1
                I[G_VISITS_R] += 1
                route(I, U, HP, HS, pe, now)
                if I[G_FAULT] != 0:
                    return


@jit
def compute_phase(I, U, C, T, M8, M16, M32, now):
    slot = now & 63
    l0 = I[G_L0]
    l1 = I[G_L1]
    base = I[G_BITS_C] + slot * (l0 + l1)
    for w in range(l1):
        words = I[base + l0 + w]
        I[base + l0 + w] = 0
        while words != 0:
            word = (w << 6) + ctz(words)
            words &= words - 1
            bits = I[base + word]
            I[base + word] = 0
            while bits != 0:
                pe = (word << 6) + ctz(bits)
                bits &= bits - 1
                I[G_VISITS_C] += 1
                if I[P0 + pe * PK + P_TILE] >= 0:
                    compute(I, U, C, T, M8, M16, M32, pe, now)
                    if I[G_FAULT] != 0:
                        return


def run_loop(I, U, C, T, M8, M16, M32, HP, HS):
    """Run until something stops it; returns a STOP_ number. The clock then stands at the next cycle to run."""
    while True:
        now = I[G_NOW]
        if I[G_UNTIL] == 1 and I[G_CMDS] == 0:
            return STOP_COMMANDS
        if I[G_UNTIL] == 2 and I[G_SCOUNT + I[G_SCOLOR]] >= I[G_STARGET]:
            return STOP_STREAM
        if I[G_PLOGN] >= I[G_PLOGCAP] or I[G_HLOGN] + I[G_NHOUT] > I[G_HLOGCAP]:
            return STOP_LOG
        occupied = I[G_OCC_R] | I[G_OCC_C]
        if occupied == 0:
            return STOP_QUIET
        # the next occupied slot: rotate so that the current one is bit 0
        turn = now & 63
        rotated = occupied
        if turn != 0:
            rotated = ((occupied >> turn) & ((np.int64(1) << (64 - turn)) - 1)) | (occupied << (64 - turn))
        at = now + ctz(rotated)
        if at > I[G_LIMIT]:
            I[G_NOW] = I[G_LIMIT] if I[G_LIMIT] > now else now
            return STOP_LIMIT
        now = at
        I[G_NOW] = now
        I[G_STEPS] += 1
        bit = np.int64(1) << (now & 63)
        if I[G_OCC_R] & bit != 0:
            I[G_OCC_R] &= ~bit
            router_phase(I, U, HP, HS, now)
            if I[G_FAULT] != 0:
                return STOP_FAULT
        if I[G_OCC_C] & bit != 0:
            I[G_OCC_C] &= ~bit
            compute_phase(I, U, C, T, M8, M16, M32, now)
            if I[G_FAULT] != 0:
                return STOP_FAULT
        I[G_NOW] = now + 1


_compiled = None


def engine():
    """The run loop, compiled (or loaded from the cache) on first use."""
    global _compiled
    if _compiled is None:
        if COMPILED:
            from numba import types
            def arr(dtype):
                return types.Array(dtype, 1, "C")
            signature = types.int64(arr(types.int64), arr(types.uint32), arr(types.int32), arr(types.int32), arr(types.uint8),
                                    arr(types.uint16), arr(types.uint32), arr(types.uint32), arr(types.int64))
            _compiled = top_level(run_loop, signature)
        else:
            _compiled = run_loop
    return _compiled
