# ruff: noqa: F403, F405
"""DSRs: those that go on behind the last element when an operation ends, and those that an operation is using."""

from __future__ import annotations

import numpy as np

from .dsd import find_walk, step_unit
from .jit import cold, ctz, inline, jit
from .opcodes import *
from .state import *


@inline
def load_dsr(W, T, p, dsr, fp, b, config):
    """DSRLD of a DSR that no operation is using: its DSD and its actions are in registers from fp + b on."""
    d = W[p + P_DSR] + dsr * DSRK
    W[d + DSR_VALUE] = W[fp + b]
    more = np.int64(0)
    if config >= 0:
        more = dsr_with_config(DM_SET, config)
        if np.int64(T[config + RC_ACTION]) != 0:
            more = dsr_with_action(more, W[fp + b + 1])
        if np.int64(T[config + RC_ONCTRL_SET]) != 0:
            more = dsr_with_onctrl(more, W[fp + b + 2])
    W[d + DSR_MORE] = more


@jit
def save_addresses(W, T, pe, v):
    """DSRs loaded with save_address go on after the last element (facts A.1)."""
    row = W[v + V_ROW]
    n = W[v + V_K]
    for j in range(4):
        if np.int64(T[row + OP_DST + j]) == OPERAND_DSR:
            save_dsr(W, T, pe, np.int64(T[row + OP_DST_DSR + j]), n, W[v + V_OPERANDS + j * OK + O_SIZE])


@jit
def save_dsr(W, T, pe, dsr, n, size):
    """Advance one DSR by n elements of `size` bytes if it was loaded with save_address."""
    d = W[P0 + pe * PK + P_DSR] + dsr * DSRK
    if dsr_set(W[d + DSR_MORE]) == 0:
        return
    config = dsr_config(W[d + DSR_MORE])
    if np.int64(T[config + RC_SAVE]) == 0:
        return
    v = W[d + DSR_VALUE]
    what = dsd_kind(v)
    size = step_unit(v, size)
    if what == KIND_MEM1D:
        base = dsd_base(v) + n * dsd_stride(v) * size
    elif what == KIND_MEM4D:
        row = find_walk(W, T, pe, v)
        if row < 0:
            return  # it was overwritten: whoever uses it says so
        rank = np.int64(T[row + M4_RANK])
        inner = np.int64(0)
        step = np.int64(0)
        extent = np.int64(0)
        for k in range(rank):
            extent = np.int64(T[row + M4_EXT + rank - 1 - k])
            step = np.int64(T[row + M4_STRIDE + k]) + inner
            inner += step * (extent - 1)
        base = dsd_base(v) + extent * step * size
    elif what == KIND_CIRCBUF:
        row = find_walk(W, T, pe, v)
        if row < 0:
            return
        position = (dsd_position(v) + n) % np.int64(T[row + M4_EXT + 1])
        W[d + DSR_VALUE] = dsd_with_position(v, position)
        return
    else:
        return
    W[d + DSR_VALUE] = dsd_with_base(v, base)


@cold
def microthread_with(W, T, pe, dsr):
    """Where the microthread was started that uses a DSR: its instruction + 1, or 0."""
    p = P0 + pe * PK
    rest = W[p + P_UTMASK] & ~np.int64(1)
    while rest != 0:
        v = W[p + P_UT] + ctz(rest) * TK
        rest &= rest - 1
        row = W[v + V_ROW]
        for j in range(4):
            if np.int64(T[row + OP_DST + j]) == OPERAND_DSR and np.int64(T[row + OP_DST_DSR + j]) == dsr:
                return W[v + V_PC] + 1
    return np.int64(0)
