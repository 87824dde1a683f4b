# ruff: noqa: F403, F405
"""Tasks: what makes them ready, which one is next, and how it starts."""

from __future__ import annotations

import numpy as np

from .jit import cold, ctz, jit
from .queues import head_entry, pop_input
from .scalar import size_of, wrap
from .state import *
from .tolerated import note_unheard
from .trace import DO_ACTIVATE, DO_UNBLOCK, EV_TASK, flight, trace_control, trace_task


@jit
def act(W, pe, action, now):
    """Activate or unblock."""
    p = P0 + pe * PK
    kind = action_kind(action)
    task = action_id(action) & 63
    bit = np.int64(1) << task
    if kind == ACTION_ACTIVATE:
        W[p + P_ACTIVE] |= bit
        trace_control(W, pe, now, DO_ACTIVATE, task, np.int64(-1))
    elif kind == ACTION_UNBLOCK:
        W[p + P_BLOCKED] &= ~bit
        trace_control(W, pe, now, DO_UNBLOCK, task, np.int64(-1))
    else:
        return
    # the task picker sees it after the completion latency
    if W[p + P_ST] == ST_IDLE and W[p + P_TIME] < now + W[TIME_TASK_COMPLETION]:
        W[p + P_TIME] = now + W[TIME_TASK_COMPLETION]


@jit
def complete(W, pe, action, now):
    """What an operation does at its end. A task that it activates and that is ready already runs once more: whether the
    one completion came before or after the task's start is a matter of cycles, and programs count such runs."""
    p = P0 + pe * PK
    if action_kind(action) == ACTION_ACTIVATE:
        task = action_id(action) & 31
        if (W[p + P_ACTIVE] & ~W[p + P_BLOCKED]) >> task & 1 != 0:
            run_again(W, p, task)
    act(W, pe, action, now)


@cold
def run_again(W, p, task):
    one, two = np.int64(1) << task, np.int64(1) << (task + 32)  # a number of two bits, which stays at 3
    if W[p + P_AGAIN] & one == 0:
        W[p + P_AGAIN] |= one
    elif W[p + P_AGAIN] & two == 0:
        W[p + P_AGAIN] ^= one | two


@cold
def one_less(W, p, task):
    """A task starts that is to run again."""
    one, two = np.int64(1) << task, np.int64(1) << (task + 32)
    if W[p + P_AGAIN] & one != 0:
        W[p + P_AGAIN] ^= one
    else:
        W[p + P_AGAIN] ^= one | two


@jit
def pick(W, U, T, pe, now):
    """Start a task if one is ready: high priority first, then round robin over ids. True if one was started."""
    p = P0 + pe * PK
    if W[p + P_CMD] != 0 and W[p + P_CMDTIME] <= now:
        fp = begin(W, T, pe, W[p + P_CMD] - 1, COMMAND_TASK, now)
        W[p + P_RR] = 0
        for i in range(W[G_ARGN]):
            W[fp + 1 + i] = W[G_ARGS + i]
        W[p + P_CMD] = 0
        return True
    tile = W[p + P_TILE]
    table = np.int64(T[tile + TT_TASKS])
    blocked = W[p + P_BLOCKED]
    ready = W[p + P_ACTIVE] & ~blocked
    control = np.int64(0)  # ids ready through a control wavelet
    nq = np.int64(T[tile + TT_NIQ])
    q = W[p + P_IQ]
    i = np.int64(0)
    while i < nq:
        e = head_entry(U, q, now)
        if e >= 0 and U[q + Q_USER] == 0:
            channel = np.int64(U[q + Q_ID]) if W[G_WSE3] != 0 else np.int64(U[q + Q_COLOR])
            if (blocked >> channel) & 1 == 0:
                if entry_control(U[e + E_FLAGS]) == 0:
                    if np.int64(T[table + channel * KK + TA_KIND]) == TASK_DATA:
                        ready |= np.int64(1) << channel
                else:
                    task = control_task(U[e + E_VALUE])
                    kind = np.int64(T[table + (CONTROL_TASKS + task) * KK + TA_KIND])
                    if kind == 0:
                        # nobody waits for this id: consumed
                        if task != NO_TASK and not note_unheard(W, pe, task, np.int64(U[q + Q_COLOR])):
                            return False
                        pop_input(W, U, pe, q, now)
                        continue  # look at the next entry of this queue
                    if kind == TASK_CONTROL or (blocked >> task) & 1 == 0:
                        control |= np.int64(1) << task
        q += QK
        i += 1
    both = ready | control
    if both == 0:
        return False
    if both & W[p + P_TASKPRIO] != 0:
        both &= W[p + P_TASKPRIO]
    first = (W[p + P_RR] + 1) & 63
    later = both & ~((np.int64(1) << first) - 1)
    task = ctz(later) if later != 0 else ctz(both)
    if (ready >> task) & 1 != 0:
        entry = table + task * KK
        if np.int64(T[entry + TA_KIND]) == TASK_LOCAL:
            if W[p + P_AGAIN] & (np.int64(0x100000001) << task) != 0:
                one_less(W, p, task)
            else:
                W[p + P_ACTIVE] &= ~(np.int64(1) << task)
            begin(W, T, pe, np.int64(T[entry + TA_FUNCTION]), task, now)
            return True
        if np.int64(T[entry + TA_KIND]) == 0:
            return False  # an action has activated an id that nothing is bound to
    else:
        entry = table + (CONTROL_TASKS + task) * KK
    # find the wavelet
    q = W[p + P_IQ]
    wanted_control = (ready >> task) & 1 == 0
    for _ in range(nq):
        e = head_entry(U, q, now)
        if e >= 0 and U[q + Q_USER] == 0:
            channel = np.int64(U[q + Q_ID]) if W[G_WSE3] != 0 else np.int64(U[q + Q_COLOR])
            is_control = entry_control(U[e + E_FLAGS]) != 0
            value = np.int64(U[e + E_VALUE])
            hit = control_task(value) == task if is_control else channel == task
            if (blocked >> channel) & 1 == 0 and is_control == wanted_control and hit:
                pop_input(W, U, pe, q, now)
                pair = types_pair(T[entry + TA_TYPES])
                if pair != 0 and rotate(W, T, p, pair):
                    entry = table + CONTROL_TASKS * KK
                    task = np.int64(0)
                    is_control = True
                fp = begin(
                    W, T, pe, np.int64(T[entry + TA_FUNCTION]), task + CONTROL_TASKS if is_control else task, now
                )
                arguments(W, T, fp, entry, value)
                return True
        q += QK
    return False


@cold
def rotate(W, T, p, pair):
    """Count a start of a rotating task, pair 1 or 2. True if it is the alternate's turn: control task 0, with the same
    wavelet."""
    count = p + P_ROTATE + pair - 1
    if W[count] == np.int64(T[W[p + P_TILE] + TT_LIMIT + pair - 1]):
        W[count] = 0
        return True
    W[count] += 1
    return False


@jit
def is_awaited(W, T, pe, value):
    """Is there a task that a control wavelet with this payload starts?"""
    table = np.int64(T[W[P0 + pe * PK + P_TILE] + TT_TASKS])
    return np.int64(T[table + (CONTROL_TASKS + control_task(value)) * KK + TA_KIND]) != 0


@jit
def begin(W, T, pe, function, task, t):
    """Open the empty frame of a task or command at time t."""
    p = P0 + pe * PK
    fp = W[p + P_REG] + 2  # below: a spare register and the return link
    W[fp - 1] = -1
    W[fp] = 0
    W[p + P_FP] = fp
    W[p + P_PC] = np.int64(T[function + FN_ENTRY])
    W[p + P_ST] = ST_RUN
    W[p + P_TASK] = task
    W[p + P_BUSYFROM] = t
    W[p + P_TIME] = t + W[TIME_TASK_START]
    W[p + P_TASKS] += 1
    W[p + P_RR] = task & 63
    flight(W, EV_TASK, pe, t, W[p + P_PC], task)
    trace_task(W, pe, t, task, W[p + P_PC])
    return fp


@jit
def arguments(W, T, fp, entry, value):
    """Split a payload equally among the arguments: low half first (facts 5.2)."""
    n = np.int64(T[entry + TA_ARGS])
    types = np.int64(T[entry + TA_TYPES])
    for i in range(n):
        ty = types_ty(types, i)
        v = value
        if size_of(ty) == 2:
            v = (value >> (16 * i)) & 0xFFFF
        W[fp + 1 + i] = wrap(v, ty)
