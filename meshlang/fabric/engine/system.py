# ruff: noqa: F403, F405
"""SYS instructions: the PE's counters and generator, and the configuration of its router, queues and FIFOs."""

from __future__ import annotations

import numpy as np

from .faults import Fault
from .jit import cold, jit
from .opcodes import *
from .queues import flush, rebind
from .state import *
from .switch import (
    filter_field,
    is_register,
    register_load,
    register_store,
    route_get,
    route_set,
    teardown_exit,
    timestamp,
)
from .wheel import fail

E_NO_QUEUE, E_REGISTER, E_NO_DSD = np.int64(Fault.NO_QUEUE), np.int64(Fault.REGISTER), np.int64(Fault.NO_DSD)
ZERO = np.int64(0)


@jit
def system(W, pe, function, argument, t):
    """SYS instructions that need no waiting."""
    p = P0 + pe * PK
    if function == SYS_TSC:
        return timestamp(W, pe, argument, t)
    if function == SYS_TSC_ENABLE:
        if argument == 1:
            W[p + P_TSCON] = 1
            W[p + P_TSC] = t
        elif W[p + P_TSCON] != 0:
            W[p + P_TSCON] = 0
            W[p + P_TSC] = t - W[p + P_TSC]  # a stopped counter keeps its value
        return np.int64(0)
    if function == SYS_TSC_RESET:
        W[p + P_TSC] = t if W[p + P_TSCON] != 0 else np.int64(0)
        return np.int64(0)
    if function == SYS_X:
        return pe % W[G_WIDTH]
    if function == SYS_Y:
        return pe // W[G_WIDTH]
    if function == SYS_RANDOM16:
        # xorshift, period 2^64 - 1; the vendor's generator is not documented
        x = W[p + P_PRNG]
        if x == 0:
            x = np.int64(0x2545F4914F6CDD1D) ^ (pe + 1)
        x ^= x << 13
        x ^= (x >> 7) & 0x01FFFFFFFFFFFFFF
        x ^= x << 17
        W[p + P_PRNG] = x
        return (x >> 24) & 0xFFFF
    if function == SYS_SET_PRNG:
        W[p + P_PRNG] = argument ^ np.int64(0x2545F4914F6CDD1D)
        return np.int64(0)
    if function == SYS_TASK_PRIORITY:
        bit = np.int64(1) << (argument & 63)
        if (argument >> 8) != 0:
            W[p + P_TASKPRIO] |= bit
        else:
            W[p + P_TASKPRIO] &= ~bit
    elif function == SYS_PERF or function == SYS_MAIN_PRIORITY:
        pass  # nothing is counted, and the main thread keeps its rank
    return ZERO


@cold
def configure(W, U, T, M16, pe, function, argument, value):
    """SYS instructions on the PE's router, queues and FIFOs, in the cycle in which they happen. -1 after a fault."""
    p = P0 + pe * PK
    now = W[G_NOW]
    if function == SYS_ROUTE_GET:
        return route_get(W, U, pe, argument)
    if function == SYS_ROUTE_SET:
        return ZERO if route_set(W, U, pe, argument, value, now) else np.int64(-1)
    if function == SYS_TEARDOWN_EXIT:
        teardown_exit(W, U, pe, argument, now)
        return ZERO
    if function == SYS_TEARDOWN_PENDING:
        pending = W[p + P_TORN]
        W[p + P_TORN] = 0
        return pending
    if function == SYS_FILTER_GET or function == SYS_FILTER_SET:
        at = filter_field(W, U, pe, argument)
        if at < 0:
            return at
        if function == SYS_FILTER_SET:
            W[at] = value & 0xFFFF
        return W[at]
    if function == SYS_TRANSFORM_MASK:
        W[p + P_TRANSFORM] = control_with_high(ZERO, argument)
        return ZERO
    if function == SYS_EXCEPTION_MASK:
        W[p + P_UNMASKED] = ~argument & 0xFFFF
        return ZERO
    if function == SYS_REGISTER_GET or function == SYS_REGISTER_SET:
        if W[p + P_PLAIN] != 0 and argument >= PLAIN and argument < PLAIN + PLAIN_COUNT:
            at = (W[p + P_PLAIN] >> 1) + argument - PLAIN
            if function == SYS_REGISTER_SET:
                M16[at] = np.uint16(value & 0xFFFF)
            return np.int64(M16[at])
        if not is_register(argument << 1, np.int64(2)):
            fail(W, E_REGISTER, pe, argument, ZERO, ZERO)
            return np.int64(-1)
        if function == SYS_REGISTER_GET:
            return register_load(W, U, pe, argument << 1)
        return ZERO if register_store(W, U, pe, argument << 1, value & 0xFFFF) else np.int64(-1)
    if function == SYS_FIFO_READ_LENGTH or function == SYS_FIFO_WRITE_LENGTH:
        if argument & 0xFFFF >= np.int64(T[W[p + P_TILE] + TT_NFIFOS]):
            fail(W, E_NO_DSD, pe, argument & 0xFFFF, ZERO, ZERO)
            return np.int64(-1)
        f = W[p + P_FIFO] + (argument & 0xFFFF) * FFK
        W[f + (FF_READ if function == SYS_FIFO_READ_LENGTH else FF_WRITE)] = (argument >> 16) & 0x7FFF
        return ZERO
    if function == SYS_FLUSH_STATUS:
        return W[p + P_FLUSHED]
    if function == SYS_FLUSH_EXIT:
        W[p + P_FLUSHED] &= ~(np.int64(1) << (argument & 15))
        return ZERO
    output = argument & 8 != 0
    q = W[p + (P_OQ if output else P_IQ)]
    for _ in range(np.int64(T[W[p + P_TILE] + (TT_NOQ if output else TT_NIQ)])):
        if np.int64(U[q + Q_ID]) == argument & 7:
            if function == SYS_QUEUE_FLUSH:
                return flush(W, U, pe, q, argument & 15)
            if function == SYS_QUEUE_COLOR:
                return rebind(W, U, pe, q, output, argument >> 8, now)
        q += QK
    fail(W, E_NO_QUEUE, pe, np.int64(1 if output else 0), ZERO, ZERO)
    return np.int64(-1)
