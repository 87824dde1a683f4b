# ruff: noqa: F403, F405
"""What the clock does between two cycles: why a run stops, and which cycle is next."""

from __future__ import annotations

import numpy as np

from .jit import ctz, inline
from .state import *

GO = np.int64(-1)
STOP_QUIET, STOP_LIMIT, STOP_COMMANDS, STOP_STREAM, STOP_LOG, STOP_FAULT, STOP_EVENTS, STOP_TURN = (
    np.int64(i) for i in range(8)
)


@inline
def what_stops(W, cmds, streamed, left):
    """What a run was to wait for has come: a STOP_ number, or GO."""
    if W[G_UNTIL] == 1 and cmds == 0:
        return STOP_COMMANDS
    if W[G_UNTIL] == 2 and streamed >= W[G_STARGET]:
        return STOP_STREAM
    if W[G_UNTIL] == 4 and left == 0:
        return STOP_STREAM
    return GO


@inline
def next_cycle(W, occupied, expressed):
    """Set the clock to the next cycle in which something is to do. `occupied`: slots of the wheel that hold wake-ups."""
    now = W[G_NOW]
    if occupied == 0:
        # an express arrival counts as if it had been visited: in its cycle, and once more in vain
        last = expressed + 1
        limited = last > W[G_LIMIT]
        last = (W[G_LIMIT] if limited else last) + 1
        if last > now:
            W[G_NOW] = last
        return STOP_LIMIT if limited else STOP_QUIET
    # the next occupied slot: rotate so that the current one is bit 0
    turn = now & 63
    rotated = occupied
    if turn != 0:
        rotated = ((occupied >> turn) & ((np.int64(1) << (64 - turn)) - 1)) | (occupied << (64 - turn))
    at = now + ctz(rotated)
    if at > W[G_LIMIT]:
        # behind the limit, whether something was visited in that cycle or not: there are visits in vain (wheel.py)
        W[G_NOW] = W[G_LIMIT] + 1 if W[G_LIMIT] >= now else now
        return STOP_LIMIT
    W[G_NOW] = at
    W[G_STEPS] += 1
    return GO
