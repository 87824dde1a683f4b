# ruff: noqa: F403, F405
"""Express delivery: while a PE does nothing but receive into memory, its router writes the wavelets there itself.

A compute element whose running operations are all plain receives (`may_express`) consumes each wavelet in the cycle in
which it arrives, because the ramp brings one a cycle. Then neither the input queue nor a visit to the compute element
is needed: the router stores the element. Results and cycle counts are the same; only that memory holds an element up to
a ramp's latency before it arrives, which no program can see without a race. Whoever shows single cycles switches it off
(`Machine.step_by_step`).

All that a delivery needs is in the queue record (Q_X...), one cache line; the thread record is brought up to date when
the PE leaves express mode, which every visit to the compute element does first.

What makes it exact:
- the last wavelet of an operation, and control wavelets, always take the queue, and those behind them until it is
  empty;
- an operation that starts cannot move before everything that is under way has arrived, because beside others a fabric
  operation begins later than the ramp takes (instructions.py);
- programs that look at queues or block microthreads do without (the loader looks for such instructions).

Measured: receiving on all of 256 x 256 PEs is three times faster.
"""

from __future__ import annotations

import numpy as np

from .jit import ctz, inline, jit
from .opcodes import CLASS_MOVE16, CLASS_MOVE32
from .state import *


@jit
def may_express(W, T, v):
    """Is the operation a receive into a memory vector, one wavelet a cycle?"""
    d = v + V_OPERANDS
    kernel = np.int64(T[W[v + V_CODE] * OI + OI_KERNEL])
    return (
        W[d + O_KIND] == K_MEM
        and W[d + OK + O_KIND] == K_IN
        and W[d + 2 * OK + O_KIND] == K_NONE
        and W[d + 3 * OK + O_KIND] == K_NONE
        and (kernel == CLASS_MOVE16 or kernel == CLASS_MOVE32)
        and W[v + V_FLAGS] & (F_ACCUMULATE | F_ENDLESS | F_OPEN) == 0
        and W[v + V_ZERO] == 0
        and W[d + O_ADDR] & (W[d + O_SIZE] - 1) == 0
        and W[v + V_STEP] * W[v + V_RATE] <= 65536
    )


@inline
def express(U, M16, M32, q, value, arrival):
    """Store the payload of a data wavelet of an express queue (Q_XLEFT is not 0, the queue is empty)."""
    U[q + Q_XLEFT] = np.uint32(np.int64(U[q + Q_XLEFT]) - 1)
    U[q + Q_XLAST] = np.uint32(arrival & 0xFFFFFFFF)
    mode = np.int64(U[q + Q_XMODE])
    at = np.int64(U[q + Q_XAT])
    stride = express_stride(mode) - EXPRESS_BIAS
    if mode & EX_WIDE != 0:
        M32[at] = np.uint32(value)
    else:
        M16[at] = np.uint16(value & 0xFFFF)
        if mode & EX_TWO != 0:
            at += stride
            M16[at] = np.uint16(value >> 16)
    U[q + Q_XAT] = np.uint32(at + stride)


@jit
def wavelets_left(W, v):
    """How many wavelets an operation still takes, but for the last."""
    step = W[v + V_STEP]
    return (W[v + V_N] - W[v + V_K] + step - 1) // step - 1


@jit
def enter_express(W, U, M16, M32, pe, now):
    """All running operations of a PE are plain receives: go over to express mode if nothing is waiting to be
    consumed."""
    p = P0 + pe * PK
    if W[p + P_UTBLOCK] != 0 or W[p + P_VBUSY] > now + 1:
        return
    rest = W[p + P_UTMASK]
    while rest != 0:
        v = W[p + P_UT] + ctz(rest) * TK
        rest &= rest - 1
        q = W[v + V_OPERANDS + OK + O_QUEUE]
        if W[v + V_START] > now + 1 or U[q + Q_WAITER] != 0:
            return
        if U[q + Q_COUNT] != 0:
            e = np.int64(U[q + Q_BUF]) + np.int64(U[q + Q_HEAD]) * EK
            ahead = (np.int64(U[e + E_TIME]) - now) & 0xFFFFFFFF
            if ahead == 0 or ahead >= 0x80000000:
                return
    W[p + P_EXPRESS] = 1
    W[G_EXPRESSING] += 1
    rest = W[p + P_UTMASK]
    while rest != 0:
        v = W[p + P_UT] + ctz(rest) * TK
        rest &= rest - 1
        d = v + V_OPERANDS
        q = W[d + OK + O_QUEUE]
        size = W[d + O_SIZE]
        U[q + Q_XLEFT] = np.uint32(wavelets_left(W, v))
        U[q + Q_XAT] = np.uint32((W[p + P_MEM] + W[d + O_ADDR]) // size)
        mode = (EX_TWO if W[v + V_STEP] == 2 else np.int64(0)) | (EX_WIDE if size == 4 else np.int64(0))
        U[q + Q_XMODE] = np.uint32(express_with_stride(mode, W[d + O_STRIDE] // size + EXPRESS_BIAS))
        U[q + Q_XLAST] = np.uint32(W[v + V_LAST] & 0xFFFFFFFF)
        # what is on its way over the ramp
        while U[q + Q_COUNT] != 0 and U[q + Q_XLEFT] != 0:
            head = np.int64(U[q + Q_HEAD])
            e = np.int64(U[q + Q_BUF]) + head * EK
            if U[e + E_FLAGS] != 0:
                break
            arrival = now + ((np.int64(U[e + E_TIME]) - now) & 0xFFFFFFFF)
            express(U, M16, M32, q, np.int64(U[e + E_VALUE]), arrival)
            if arrival > W[G_EXPRESSED]:
                W[G_EXPRESSED] = arrival
            W[G_VECTOR] += W[v + V_STEP]
            U[pe * RK + R_TAKEN] = np.uint32((np.int64(U[pe * RK + R_TAKEN]) + 1) & 0xFFFFFFFF)
            head += 1
            U[q + Q_HEAD] = np.uint32(head if head < np.int64(U[q + Q_CAP]) else 0)
            U[q + Q_COUNT] = np.uint32(np.int64(U[q + Q_COUNT]) - 1)


@jit
def leave_express(W, U, pe, now):
    """Bring the PE's operations up to date; from now on wavelets go through the queues again."""
    p = P0 + pe * PK
    W[p + P_EXPRESS] = 0
    W[G_EXPRESSING] -= 1
    rest = W[p + P_UTMASK]
    while rest != 0:
        v = W[p + P_UT] + ctz(rest) * TK
        rest &= rest - 1
        q = W[v + V_OPERANDS + OK + O_QUEUE]
        done = (wavelets_left(W, v) - np.int64(U[q + Q_XLEFT])) * W[v + V_STEP]
        U[q + Q_XLEFT] = np.uint32(0)
        if done > 0:
            W[v + V_K] += done
            W[v + V_OPERANDS + O_ADDR] += done * W[v + V_OPERANDS + O_STRIDE]
            W[v + V_LAST] = now + (((np.int64(U[q + Q_XLAST]) - now) & 0xFFFFFFFF) ^ 0x80000000) - 0x80000000


@jit
def leave_everywhere(W, U):
    """Bring the operations of all PEs up to date, for those who look at them from outside."""
    for pe in range(W[G_NPE]):
        if W[P0 + pe * PK + P_EXPRESS] != 0:
            leave_express(W, U, pe, W[G_NOW])
