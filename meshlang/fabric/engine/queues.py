# ruff: noqa: F403, F405
"""Queues, seen from the compute element: looking at them, taking from them, putting into them, and the colors they are
bound to."""

from __future__ import annotations

import numpy as np

from .faults import Fault
from .jit import cold, inline, jit
from .router import append
from .state import *
from .switch import wake_channel
from .trace import trace_send, trace_take
from .wheel import fail, wake_ce, wake_router

E_QUEUE_COLOR, E_NO_COLOR = np.int64(Fault.QUEUE_COLOR), np.int64(Fault.NO_COLOR)
ZERO = np.int64(0)


@inline
def head_entry(U, q, now):
    """Index of the head entry of a queue, or -1 if there is none or it has not arrived yet."""
    if U[q + Q_COUNT] == 0:
        return np.int64(-1)
    e = np.int64(U[q + Q_BUF]) + np.int64(U[q + Q_HEAD]) * EK
    delta = (np.int64(U[e + E_TIME]) - now) & 0xFFFFFFFF
    if delta != 0 and delta < 0x80000000:
        return np.int64(-1)
    return e


@inline
def pop_input(W, U, pe, q, now):
    """Take the head of an input queue away, and wake the router if it waited for the place."""
    trace_take(W, U, pe, q, now)
    head = np.int64(U[q + Q_HEAD]) + 1
    U[q + Q_HEAD] = np.uint32(head if head < np.int64(U[q + Q_CAP]) else 0)
    U[q + Q_COUNT] = np.uint32(np.int64(U[q + Q_COUNT]) - 1)
    U[pe * RK + R_TAKEN] = np.uint32((np.int64(U[pe * RK + R_TAKEN]) + 1) & 0xFFFFFFFF)
    if U[q + Q_WAITER] != 0:
        waiter = np.int64(U[q + Q_WAITER])
        if waiter & WAIT_EMPTY != 0 and U[q + Q_COUNT] == 0:
            p = P0 + pe * PK
            W[p + P_FLUSHED] |= np.int64(1) << np.int64(U[q + Q_ID])
            W[p + P_ACTIVE] |= np.int64(1) << SYSTEM_TASK
            waiter = np.int64(0)
            wake_ce(W, pe, now + 1)
        U[q + Q_WAITER] = np.uint32(waiter & WAIT_EMPTY)
        ch = np.int64(U[q + Q_CHANNEL])
        r = pe * RK
        if state_count(U[ch + CH_STATE]) != 0:
            slot = (ch - np.int64(U[r + R_BASE])) >> CH_SHIFT
            U[r + R_MASK] = np.uint32(np.int64(U[r + R_MASK]) | (np.int64(1) << slot))
        wake_router(W, pe, now + 1)


@inline
def push_output(W, U, pe, q, value, flags, now):
    """Put a wavelet into an output queue that has room; the ramp takes it when it has come through the pipeline."""
    leaves = now + 1 + W[TIME_DSD_LATENCY]
    count = append(U, q, value & 0xFFFFFFFF, leaves, flags)
    p = P0 + pe * PK
    W[p + P_SENT] += 1
    trace_send(W, U, pe, q, value, flags, now)
    r = pe * RK
    n = (q - W[p + P_OQ]) // QK
    U[r + R_OQ] = np.uint32(np.int64(U[r + R_OQ]) | (np.int64(1) << n))
    if count == 0:
        wake_router(W, pe, leaves)


@jit
def queue_status(W, U, T, pe, outputs, full):
    """Bit mask over the eight queue ids: which are empty, or full. Queues that the program does not use, or the machine
    does not have, are empty and not full."""
    p = P0 + pe * PK
    tile = W[p + P_TILE]
    n = np.int64(T[tile + (TT_NOQ if outputs else TT_NIQ)])
    q = W[p + (P_OQ if outputs else P_IQ)]
    mask = np.int64(0) if full != 0 else np.int64(0xFF)
    for _ in range(n):
        count = np.int64(U[q + Q_COUNT])
        changed = count >= np.int64(U[q + Q_DEPTH]) if full != 0 else count > 0
        if changed and np.int64(U[q + Q_ID]) < 8:
            mask ^= np.int64(1) << np.int64(U[q + Q_ID])
        q += QK
    return mask


@jit
def color_slot(U, pe, color):
    """Slot of a color among the channels of the PE's router, or -1."""
    r = pe * RK
    for s in range(np.int64(U[r + R_N])):
        if config_color(U[np.int64(U[r + R_BASE]) + s * HK + CH_CONFIG]) == color:
            return np.int64(s)
    return np.int64(-1)


@jit
def bind_input(W, U, pe, q, color, now):
    """Bind an empty input queue to another color of this PE. WSE-2 lets operations of several colors share a queue one
    after another (WaferLLM's MeshGEMM for WSE-2 does), and <tile_config/input_queue_config> does it on both; wavelets
    of a color that has no queue wait at the router."""
    before = color_slot(U, pe, np.int64(U[q + Q_COLOR]))
    if before >= 0:
        ch = np.int64(U[pe * RK + R_BASE]) + before * HK
        U[ch + CH_CONFIG] = np.uint32(config_with_queue(U[ch + CH_CONFIG], NO_QUEUE))
    U[q + Q_COLOR] = np.uint32(color)
    slot = color_slot(U, pe, color)
    if slot >= 0:
        ch = np.int64(U[pe * RK + R_BASE]) + slot * HK
        dense = (q - W[P0 + pe * PK + P_IQ]) // QK
        U[ch + CH_CONFIG] = np.uint32(config_with_queue(U[ch + CH_CONFIG], dense))
        U[q + Q_CHANNEL] = np.uint32(ch)
        wake_channel(W, U, pe, ch, now + 1)


@cold
def rebind(W, U, pe, q, output, color, now):
    """Bind an empty queue to another color."""
    if U[q + Q_COUNT] != 0:
        fail(W, E_QUEUE_COLOR, pe, np.int64(U[q + Q_ID]) | (8 if output else 0), color, np.int64(U[q + Q_COLOR]))
        return np.int64(-1)
    if color_slot(U, pe, color) < 0:
        fail(W, E_NO_COLOR, pe, color, ZERO, ZERO)
        return np.int64(-1)
    if output:
        U[q + Q_COLOR] = np.uint32(color)
    else:
        bind_input(W, U, pe, q, color, now)
    return ZERO


@cold
def flush(W, U, pe, q, bit):
    """Task 29 when the queue is empty."""
    p = P0 + pe * PK
    if U[q + Q_COUNT] == 0:
        W[p + P_FLUSHED] |= np.int64(1) << bit
        W[p + P_ACTIVE] |= np.int64(1) << SYSTEM_TASK
    else:
        U[q + Q_WAITER] = np.uint32(np.int64(U[q + Q_WAITER]) | WAIT_EMPTY)
    return ZERO
