# ruff: noqa: F403, F405
"""What hardware lets pass without a word: the engine goes on as it would, and takes it down (notes.py makes warnings of
it)."""

from __future__ import annotations

import numpy as np

from .faults import Fault
from .jit import cold, ctz
from .state import *
from .wheel import fail

FWALK, FNOWHERE, FLENGTH = np.int64(Fault.WALK), np.int64(Fault.WALK_NOWHERE), np.int64(Fault.LENGTH)
FUNHEARD, FCMD_DOUBLE = np.int64(Fault.UNHEARD), np.int64(Fault.CMD_DOUBLE)
ZERO = np.int64(0)


@cold
def note(W, T, pe, kind, what, a, b, c):
    """Record what the machine would not report, once per source line and `what`; later times are counted."""
    key = note_with_line(note_with_what(kind, what), T[W[G_LINES] + W[P0 + pe * PK + P_PC]])
    i = record(W, key, pe, W[P0 + pe * PK + P_TASK], a, b, c)
    if i < 0:
        return
    if W[G_SCRATCH + V_FLAGS] & F_NOTED == 0:
        W[G_SCRATCH + V_FLAGS] |= F_NOTED
        W[G_NOTED] = 0
    W[G_NOTED] |= np.int64(1) << i


@cold
def record(W, key, pe, task, a, b, c):
    """Count a note, and take it down if it is the first of its key. Which of the records it is, or -1 if all are in
    use."""
    r = W[G_NOTES]
    i = np.int64(0)
    while i < NOTES and W[r + N_COUNT] != 0 and W[r + N_KEY] != key:
        r += NK + W[G_L0]
        i += 1
    if i == NOTES:
        return np.int64(-1)  # so many different ones are recorded already
    if W[r + N_COUNT] == 0:
        W[r + N_KEY] = key
        W[r + N_CYCLE] = W[G_NOW]
        W[r + N_PE] = pe
        W[r + N_TASK] = task
        W[r + N_A] = a
        W[r + N_B] = b
        W[r + N_C] = c
    W[r + N_COUNT] += 1
    W[r + NK + (pe >> 6)] |= np.int64(1) << (pe & 63)
    return i


@cold
def unnote(W):
    """The instruction comes back later: what was noted about it does not count yet."""
    while W[G_NOTED] != 0:
        i = ctz(W[G_NOTED])
        W[G_NOTED] &= W[G_NOTED] - 1
        W[W[G_NOTES] + i * (NK + W[G_L0]) + N_COUNT] -= 1


@cold
def note_lost(W, pe, config, away):
    """A wavelet leaves the rectangle to the directions of a mask. Outside is nobody: what goes there is lost."""
    color = config_color(config)
    while away != 0:
        d = ctz(away)
        away &= away - 1
        record(W, note_with_what(N_LOST, color | d << 5), pe, np.int64(-1), color, d, ZERO)


@cold
def note_unheard(W, pe, task, color):
    """A control wavelet names an id without a task, and is consumed. False if that is a fault."""
    if W[G_STRICT] != 0:
        fail(W, FUNHEARD, pe, task, color, ZERO)
        return False
    record(W, note_with_what(N_UNHEARD, task | color << 6), pe, np.int64(-1), task, color, ZERO)
    return True


@cold
def note_unblocked(W, pe, pc, call):
    """The command stream is unblocked, and no command is outstanding. `call`: where the running function was called from.
    False if that is a fault."""
    if W[G_STRICT] != 0:
        fail(W, FCMD_DOUBLE, pe, ZERO, ZERO, ZERO)
        return False
    task = W[P0 + pe * PK + P_TASK]
    record(W, note_with_what(N_UNBLOCKED, task), pe, task, pc, call, ZERO)
    return True


@cold
def note_length(W, U, T, pe, v, j):
    """The length of operand j is not that of the operation. False if that is a fault."""
    if W[G_STRICT] != 0:
        fail(W, FLENGTH, pe, W[v + V_N], W[v + V_OPERANDS + j * OK + O_LEN], j)
        return False
    d = v + V_OPERANDS
    color = np.int64(0)
    for i in range(4):
        o = d + i * OK
        if W[o + O_KIND] == K_IN:
            color = np.int64(U[W[o + O_QUEUE] + Q_COLOR]) + 1
        elif W[o + O_KIND] == K_OUT:
            ch = np.int64(U[pe * RK + R_BASE]) + W[o + O_STRIDE] * HK
            color = config_color(U[ch + CH_CONFIG]) + 1
    note(W, T, pe, np.int64(N_LENGTH), j, W[v + V_N], W[d + j * OK + O_LEN], color)
    return True


@cold
def stray(W, T, pe, base, low, high, size, writes):
    """A vector that starts at address `base` covers bytes low..high and leaves its variable. The machine does not check
    that: it goes on where the memory goes on, and is noted. Outside the PE's memory, or if the run is strict, it is a
    fault. True if the access may happen."""
    p = P0 + pe * PK
    tile = W[p + P_TILE]
    first = np.int64(T[tile + TT_OBJS])
    obj = np.int64(-1)
    for i in range(np.int64(T[tile + TT_NOBJS])):  # the variable at base, or the last one before it
        if np.int64(T[first + i * OBK + OB_ADDRESS]) > base:
            break
        obj = first + i * OBK
    if obj < 0 or base < 0 or base + size > W[p + P_MEMSIZE]:
        fail(W, FNOWHERE, pe, base, ZERO, ZERO)
        return False
    start = np.int64(T[obj + OB_ADDRESS])
    if low < np.int64(T[first + OB_ADDRESS]) or high > W[p + P_MEMSIZE] or W[G_STRICT] != 0:
        fail(W, FWALK, pe, low, high, start)
        return False
    note(W, T, pe, np.int64(N_WRITE) if writes else np.int64(N_READ), start, low, high, size)
    return True
