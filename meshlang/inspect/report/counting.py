# ruff: noqa: F403, F405
"""From events to counters: one compiled function that reads a batch of events once, in order.

Each PE's time is told apart like this (`docs/report.md` has the words for users):

- *compute*: the main thread runs instructions, from the start of a task to its end, but for the time it waits for a
  fabric operation;
- *communication*: none of that, but the vector unit moves wavelets between memory and queues (an operation with fabric
  operands);
- *waiting*: the rest. An operation is under way and cannot move (stalled); or nothing is under way, for now (idle) or
  any more (done).

Chains: every wavelet carries how many hops and messages lie behind it: what its sender had taken before it started the
operation that sends, and what that operation itself takes. To find a wavelet's history where it arrives, Z is a shadow
of U: where a router channel or a queue of the machine holds a value, the shadow holds its history.
"""

from __future__ import annotations

import numpy as np

from meshlang.fabric.engine import trace
from meshlang.fabric.engine.jit import inline, top_level
from meshlang.fabric.engine.state import *
from meshlang.ir import isa

(EV_TASK, EV_END, EV_ISSUE, EV_DONE, EV_STALL, EV_SEND, EV_ENTER, EV_MOVE, EV_TAKE, EV_OP) = (
    trace.EV_TASK,
    trace.EV_END,
    trace.EV_ISSUE,
    trace.EV_DONE,
    trace.EV_STALL,
    trace.EV_SEND,
    trace.EV_ENTER,
    trace.EV_MOVE,
    trace.EV_TAKE,
    trace.EV_OP,
)
DSDOP = int(isa.Op.DSDOP)
THREADS = 9  # main, and 8 microthreads
TASKS = 129  # 64 data or local, 64 control, the launched function

# per PE, in S: what it does at present
SK = 32
S_STATE, S_SINCE, S_TASK = 0, 1, 2  # of the main thread
S_UNDER_WAY = 3  # operations on the fabric
S_IDLE = 4  # since when nothing is under way
S_MOVED, S_MOVED_END = 5, 6  # cycle of the last step of the vector unit; end of its last exposed step
S_CHAIN = 7  # of all it has taken
S_KIND = 8  # of its tile program
S_STEP, S_OP = 9, 18  # per thread: cycles of a step, 0 when nothing is under way; chain of the operation
IDLE, COMPUTE, OPERATION, ELEMENT = 0, 1, 2, 3
# per PE, in A: cycles of the phase
AK = 5
A_COMPUTE, A_EXPOSED, A_MOVING, A_IDLE, A_VECTOR = range(5)
# per task name, in N
NAME_K = 3
N_STARTS, N_COMPUTE, N_WAIT = 0, 1, 2
# per color, in X
CK = 4
X_SENT, X_HOPS, X_LONGEST, X_HOST = 0, 1, 2, 3
# parameters and results, in G
V_HOP, V_MESSAGE, V_CHAIN, V_NOW = 0, 1, 2, 3
VK = 4
MESSAGES = (1 << 32) - 1  # a history: hops << 32 | messages

# as in state.py: int64 constants compile faster than literals
globals().update({name: np.int64(value) for name, value in list(globals().items()) if type(value) is int})


@inline
def longer(G, a, b):
    """The history that takes longer of two."""
    if (a >> 32) * G[V_HOP] + (a & MESSAGES) * G[V_MESSAGE] >= (b >> 32) * G[V_HOP] + (b & MESSAGES) * G[V_MESSAGE]:
        return a
    return b


@inline
def spend(A, N, names, S, pe, waits, cycles):
    """Cycles of the running task."""
    if not waits:
        A[pe * AK + A_COMPUTE] += cycles
    if S[pe * SK + S_TASK] >= 0:
        n = names[S[pe * SK + S_KIND] * TASKS + S[pe * SK + S_TASK]] * NAME_K
        N[n + (N_WAIT if waits else N_COMPUTE)] += cycles


@inline
def main_thread(A, N, names, S, pe, state, cycle):
    """The main thread goes over to a state."""
    s = pe * SK
    before = S[s + S_STATE]
    if before != IDLE:
        spend(A, N, names, S, pe, before != COMPUTE, cycle - S[s + S_SINCE])
    if state == COMPUTE and S[s + S_MOVED_END] > cycle:
        # the vector unit's last step was taken for exposed communication up to here
        A[pe * AK + A_EXPOSED] -= S[s + S_MOVED_END] - cycle
        S[s + S_MOVED_END] = cycle
    S[s + S_STATE] = state
    S[s + S_SINCE] = cycle


@inline
def active(A, S, pe, cycle, until):
    """The PE is active from `cycle` up to `until` at least: if nothing was under way before, it was idle."""
    s = pe * SK
    if S[s + S_STATE] == IDLE and S[s + S_UNDER_WAY] == 0 and cycle > S[s + S_IDLE]:
        A[pe * AK + A_IDLE] += cycle - S[s + S_IDLE]
    if until > S[s + S_IDLE]:
        S[s + S_IDLE] = until


@inline
def moves(A, S, pe, thread, cycle):
    """The vector unit moves wavelets in a step that begins now."""
    s = pe * SK
    if S[s + S_MOVED] == cycle:
        return
    S[s + S_MOVED] = cycle
    step = S[s + S_STEP + thread]
    if step == 0:
        step = np.int64(1)  # not an operation: a task takes its wavelet
    A[pe * AK + A_MOVING] += step
    since = S[s + S_SINCE]
    hidden = cycle >= since if S[s + S_STATE] == COMPUTE else cycle < since
    if hidden:
        return
    active(A, S, pe, cycle, cycle + step)
    if S[s + S_MOVED_END] > cycle:
        A[pe * AK + A_EXPOSED] -= S[s + S_MOVED_END] - cycle
    A[pe * AK + A_EXPOSED] += step
    S[s + S_MOVED_END] = cycle + step


@inline
def queue_of(W, U, T, pe, ident, output):
    """Record of a queue."""
    p = P0 + pe * PK
    q = W[p + (P_OQ if output else P_IQ)]
    for _ in range(np.int64(T[W[p + P_TILE] + (TT_NOQ if output else TT_NIQ)])):
        if np.int64(U[q + Q_ID]) == ident:
            break
        q += QK
    return q


@inline
def put(U, Z, q, history):
    """A wavelet's history into the shadow of a queue."""
    cap = np.int64(U[q + Q_CAP])
    Z[np.int64(U[q + Q_BUF]) + (Z[q + Q_HEAD] + Z[q + Q_COUNT]) % cap * EK] = history
    if Z[q + Q_COUNT] < cap:
        Z[q + Q_COUNT] += 1


@inline
def get(U, Z, q):
    """Place of the oldest history in the shadow of a queue, which gives it up; 0 (always empty) if there is none."""
    if Z[q + Q_COUNT] == 0:
        return np.int64(0)
    e = np.int64(U[q + Q_BUF]) + Z[q + Q_HEAD] * EK
    Z[q + Q_COUNT] -= 1
    Z[q + Q_HEAD] = (Z[q + Q_HEAD] + 1) % np.int64(U[q + Q_CAP])
    return e


@inline
def put_channel(Z, ch, history, own):
    """A history into the shadow of a router's channel; `own`: hops of the wavelet itself."""
    i = (Z[ch + CH_STATE] + Z[ch + CH_CONFIG]) & PLACES
    Z[ch + CH_VALUE + i] = history
    Z[ch + CH_TIME + i] = own
    if Z[ch + CH_CONFIG] < CHANNEL_PLACES:
        Z[ch + CH_CONFIG] += 1


def count_events(E, n, W, U, C, T, channels, names, Z, S, A, N, L, X, G):
    """Read n events (rows of 4 words of E) into the counters."""
    npe = W[G_NPE]
    for i in range(n):
        e = i * EVK
        cycle = E[e + EVENT_CYCLE]
        where = E[e + EVENT_WHERE]
        extra = what_extra(E[e + EVENT_WHAT])
        pc = code_pc(E[e + EVENT_CODE])
        task = code_task(E[e + EVENT_CODE])
        pe = where_pe(where)
        kind = where_kind(where)
        color = where_color(where)
        queue = where_queue(where)
        thread = where_thread(where)
        s = pe * SK
        if kind == EV_MOVE:
            ch = channels[color * npe + pe]
            history = np.int64(0)
            own = np.int64(0)
            if Z[ch + CH_CONFIG] != 0:
                head = Z[ch + CH_STATE]
                history = Z[ch + CH_VALUE + head]
                own = Z[ch + CH_TIME + head]
                Z[ch + CH_STATE] = (head + 1) & PLACES
                Z[ch + CH_CONFIG] -= 1
            tx = extra_sides(extra)
            for d in range(4):
                if (tx >> d) & 1 != 0:
                    L[pe * 4 + d] += 1
                    X[color * CK + X_HOPS] += 1
                    put_channel(Z, np.int64(U[ch + CH_NEAR + d]), history + (np.int64(1) << 32), own + 1)
            if tx & (TO_RAMP | TO_HOST) != 0 and own > X[color * CK + X_LONGEST]:
                X[color * CK + X_LONGEST] = own
            if tx & TO_HOST != 0:
                G[V_CHAIN] = longer(G, G[V_CHAIN], history)
            if tx & TO_RAMP != 0:
                put(U, Z, queue_of(W, U, T, pe, queue, False), history)
        elif kind == EV_ENTER:
            history = np.int64(0)
            if extra_sides(extra) == RAMP:
                e = get(U, Z, queue_of(W, U, T, pe, queue, True))
                history = Z[e]
                X[color * CK + X_SENT] += 1
            else:
                X[color * CK + X_HOST] += 1
            put_channel(Z, channels[color * npe + pe], history, np.int64(0))
        elif kind == EV_TAKE or kind == EV_SEND:
            if thread == 0 and S[s + S_STATE] == ELEMENT:
                main_thread(A, N, names, S, pe, COMPUTE, cycle)
            moves(A, S, pe, thread, cycle)
            if kind == EV_TAKE:
                history = Z[get(U, Z, queue_of(W, U, T, pe, queue, False))]
                G[V_CHAIN] = longer(G, G[V_CHAIN], history)
                at = s + S_OP + thread if S[s + S_STEP + thread] != 0 else s + S_CHAIN
                S[at] = longer(G, S[at], history)
            else:
                at = s + S_OP + thread if S[s + S_STEP + thread] != 0 else s + S_CHAIN
                put(U, Z, queue_of(W, U, T, pe, queue, True), S[at] + 1)
        elif kind == EV_ISSUE:
            if thread == 0:
                main_thread(A, N, names, S, pe, OPERATION, cycle)
            S[s + S_UNDER_WAY] += 1
            S[s + S_OP + thread] = S[s + S_CHAIN]
            step = np.int64(1)
            if np.int64(C[pc * 4]) & 255 == DSDOP:
                info = np.int64(T[np.int64(C[pc * 4 + 1])]) * OI
                elements = np.int64(1) if np.int64(T[info + OI_SRC]) == 4 else np.int64(2)
                step = (elements * np.int64(T[info + OI_RATE]) + 65535) >> 16
                if step < 1:
                    step = np.int64(1)
            S[s + S_STEP + thread] = step
        elif kind == EV_DONE:
            if thread == 0:
                main_thread(A, N, names, S, pe, COMPUTE, cycle + 1)
            S[s + S_UNDER_WAY] -= 1
            if cycle + 1 > S[s + S_IDLE]:
                S[s + S_IDLE] = cycle + 1
            S[s + S_CHAIN] = longer(G, S[s + S_CHAIN], S[s + S_OP + thread])
            S[s + S_STEP + thread] = 0
        elif kind == EV_TASK:
            active(A, S, pe, cycle, cycle)
            main_thread(A, N, names, S, pe, COMPUTE, cycle)
            S[s + S_TASK] = task
            N[names[S[s + S_KIND] * TASKS + task] * NAME_K + N_STARTS] += 1
        elif kind == EV_END:
            main_thread(A, N, names, S, pe, IDLE, cycle)
            if cycle > S[s + S_IDLE]:
                S[s + S_IDLE] = cycle
        elif kind == EV_OP:
            A[pe * AK + A_VECTOR] += extra
        elif kind == EV_STALL:
            if thread == 0 and pc < 0 and S[s + S_STATE] == COMPUTE:
                main_thread(A, N, names, S, pe, ELEMENT, cycle)
    return np.int64(0)


_compiled: list = []


def counter():
    """`count_events`, compiled (or from the cache) on first use."""
    if not _compiled:
        from meshlang.fabric.engine.jit import COMPILED

        if COMPILED:
            from numba import types

            words, half = types.Array(types.int64, 1, "C"), types.Array(types.int32, 1, "C")
            signature = types.int64(
                words, types.int64, words, types.Array(types.uint32, 1, "C"), half, half, *[words] * 9
            )
            _compiled.append(top_level(count_events, signature))
        else:
            _compiled.append(count_events)
    return _compiled[0]
