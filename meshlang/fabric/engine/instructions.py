# ruff: noqa: F403, F405
"""The instructions that are not in the loop of core.py: the less common ones that compute a value, and those that touch
more than registers and memory.
"""

from __future__ import annotations

import numpy as np

from .bands import is_last
from .bulk import run_in_memory
from .dsd import edit_dsd, walk_of
from .dsr import load_dsr, microthread_with, save_dsr
from .elements import BAD, WAIT, element_load, element_store
from .exceptions import CHECKED, scalar_exceptions, stops
from .faults import Fault
from .fifos import fifo_suspends
from .jit import cold, jit
from .memory import walk_length
from .opcodes import *
from .prepare import prepare
from .queues import queue_status
from .scalar import (
    divide,
    float_op,
    float_to_float,
    float_to_int,
    int_to_float,
    math1,
    math2,
    remainder,
    size_of,
    to_f64,
)
from .state import *
from .system import configure, system
from .threads import microthread_of, start_thread
from .tolerated import note_unblocked, unnote
from .trace import DO_ACTIVATE, DO_BLOCK, DO_UNBLOCK, trace_control, trace_op
from .wheel import fail, wake_ce

E_BAD, E_FUNCTION, E_COPY = (np.int64(f) for f in (Fault.BAD_OPCODE, Fault.FUNCTION, Fault.COPY))
E_UT_BUSY, E_ASYNC, E_UT_UNKNOWN = (np.int64(f) for f in (Fault.UT_BUSY, Fault.ASYNC_NO_FABRIC, Fault.UT_UNKNOWN))
E_NO_TASK, E_DSR_BUSY = np.int64(Fault.NO_TASK), np.int64(Fault.DSR_BUSY)
ZERO, ONE, TWO, THREE = (np.int64(i) for i in range(4))

# what special() returns besides cycles
R_FAULT, R_WAIT, R_LATER, R_STALL, R_LAST = (np.int64(i) for i in (-1, -2, -3, -4, -5))


@jit
def value_op(W, T, p, op, ty, fp, a, b, c):
    """Instructions that only compute a value, apart from the common ones. Returns it."""
    v = W[fp + b]
    if op == DIV:
        return divide(v, W[fp + c], ty)
    if op == REM:
        return remainder(v, W[fp + c], ty)
    if op == FUN1:
        return math1(c, v, ty)
    if op == FUN2:
        return math2(c, v, W[fp + b + 1], ty)
    if op == I2F:
        return int_to_float(v, c, ty)
    if op == F2I:
        return float_to_int(v, c, ty)
    if op == F2F:
        return float_to_float(v, c, ty)
    if op == F2B:
        return np.int64(1) if to_f64(v, c) != 0.0 else np.int64(0)
    if op == BINS:
        shift = c & 0xFF
        width = (c >> 8) & 0xFF
        m = np.int64(-1) if width >= 64 else ((np.int64(1) << width) - 1)
        return (W[fp + a] & ~(m << shift)) | ((v & m) << shift)
    if op == DSRGET:
        return W[W[p + P_DSR] + b * DSRK + DSR_VALUE]
    return edit_dsd(op, v, W[fp + c], size_of(ty))


@cold
def count_steps(W, T, pe, v):
    """DCOUNT, or -1 after a fault."""
    if dsd_kind(v) == KIND_MEM4D or dsd_kind(v) == KIND_CIRCBUF:
        row = walk_of(W, T, pe, v)
        return walk_length(T, row) if row >= 0 else np.int64(-1)
    return dsd_len(v)


@cold
def checked(W, T, pe, op, ty, fp, a, b, c):
    """An instruction on floats of a program that may unmask exceptions (exceptions.py). Its extra cycles, or
    R_FAULT."""
    two = op == FADD or op == FSUB or op == FMUL or op == FDIV
    if two:
        which = ZERO if op == FADD else ONE if op == FSUB else TWO if op == FMUL else THREE
        r = float_op(which, W[fp + b], W[fp + c], ty)
        W[P0 + pe * PK + P_FLOPS] += 1
    else:
        r = value_op(W, T, P0 + pe * PK, op, ty, fp, a, b, c)
    if W[P0 + pe * PK + P_UNMASKED] != 0:
        y = W[fp + b + 1] if op == FUN2 else W[fp + c] if two else ZERO
        if stops(W, pe, scalar_exceptions(op, ty, c, W[fp + b], y, r)):
            return R_FAULT
    W[fp + a] = r
    return ZERO


@jit
def issue(W, U, T, M8, M16, M32, pe, row, fp, base, result, t, cost):
    """DSDOP, whose operands are put into DSRs in `cost` cycles from t on. Returns the cycles it costs the main thread
    besides, or -1 fault, -2 the main thread now waits, -3 come back at time t."""
    p = P0 + pe * PK
    now = W[G_NOW]
    v = np.int64(G_SCRATCH)
    kind = prepare(W, U, T, pe, v, row, fp, base)
    if kind < 0:
        return np.int64(-1)
    if kind == 0:
        if W[v + V_FLAGS] & F_ASYNC != 0:
            fail(W, E_ASYNC, pe, ZERO, ZERO, ZERO)
            return np.int64(-1)
        if result != fp:
            W[result] = 1
        cycles = run_in_memory(W, T, M8, M16, M32, pe, v)
        trace_op(W, pe, v, W[p + P_PC], t, cost + cycles)
        return cycles
    if t > now:
        if W[v + V_FLAGS] & F_NOTED != 0:
            unnote(W)
        return np.int64(-3)
    if kind == 2 and W[v + V_FLAGS] & F_ASYNC == 0 and not fifo_suspends(W, T, v):
        cycles = run_in_memory(W, T, M8, M16, M32, pe, v)
        trace_op(W, pe, v, W[p + P_PC], t, cost + cycles)
        if cycles < 0:
            return np.int64(-1)
        if result != fp:
            W[result] = 1 if W[v + V_K] == W[v + V_N] else 0
        return cycles
    first = now + cost
    if W[p + P_UTMASK] != 0 and cost <= W[TIME_FABRIC_RAMP]:
        # what is on its way over the ramp to other operations goes first (express.py counts on it)
        first = now + W[TIME_FABRIC_RAMP] + 1
    if W[v + V_FLAGS] & F_ASYNC != 0:
        ut = microthread_of(W, U, v)
        tile = W[p + P_TILE]
        dense = np.int64(-1)
        if ut >= 0 and ut < 8:
            dense = np.int64(T[tile + TT_UTMAP + ut])
        if dense < 0:
            fail(W, E_UT_UNKNOWN, pe, ut, ZERO, ZERO)
            return np.int64(-1)
        if (W[p + P_UTMASK] >> dense) & 1 != 0:
            fail(W, E_UT_BUSY, pe, ut, ZERO, ZERO)
            return np.int64(-1)
        W[v + V_ID] = ut
        if not start_thread(W, U, T, pe, v, dense, first):
            return np.int64(-1)
        if result != fp:
            W[result] = 1
        return ZERO
    W[v + V_ID] = -1
    # the spare register below the stack takes what nobody wants
    W[v + V_RESULT] = result if result != fp else W[p + P_REG]
    if not start_thread(W, U, T, pe, v, np.int64(0), first):
        return np.int64(-1)
    return np.int64(-2)


@jit
def special(W, U, T, M8, M16, M32, pe, op, ty, a, b, c, fp, pc, t, cost):
    """Instructions that touch more than registers and memory. t is the time before the instruction, cost what it takes
    in any case.

    Returns the extra cycles, or: R_FAULT, R_WAIT (the main thread waits for its vector operation), R_LATER (the
    instruction has to run at time t, which has not come), R_STALL (nothing there yet: try again when woken), R_LAST
    (done; leave the rest for the next cycle).
    """
    p = P0 + pe * PK
    now = W[G_NOW]
    x = fp + a
    if op == DSDOP:
        W[p + P_PC] = pc  # threads remember where they were started
        return issue(W, U, T, M8, M16, M32, pe, a, fp, b, fp + c, t, cost)
    if op == ELD or op == EST:
        v = W[fp + b]
        W[p + P_PC] = pc
        if (dsd_kind(v) == KIND_FABIN or dsd_kind(v) == KIND_FABOUT) and t > now:
            return R_LATER
        if op == ELD:
            r = element_load(W, U, T, M8, M16, M32, pe, v, W[fp + c], ty, x)
        else:
            r = element_store(W, U, T, M8, M16, M32, pe, v, W[fp + c], ty, W[x])
        if r == BAD:
            return R_FAULT
        return R_STALL if r == WAIT else np.int64(0)
    if op == ACTIVATE:
        v = W[x] & 63
        if np.int64(T[np.int64(T[W[p + P_TILE] + TT_TASKS]) + v * KK + TA_KIND]) == 0:
            fail(W, E_NO_TASK, pe, v, ZERO, ZERO)
            return R_FAULT
        W[p + P_ACTIVE] |= np.int64(1) << v
        trace_control(W, pe, t, DO_ACTIVATE, v, pc)
        return ZERO
    if op == BLOCK:
        W[p + P_BLOCKED] |= np.int64(1) << (W[x] & 63)
        trace_control(W, pe, t, DO_BLOCK, W[x] & 63, pc)
        return ZERO
    if op == UNBLOCK:
        if t > now:
            return R_LATER  # operations that end before it find the task blocked (tasks.complete)
        W[p + P_BLOCKED] &= ~(np.int64(1) << (W[x] & 63))
        trace_control(W, pe, t, DO_UNBLOCK, W[x] & 63, pc)
        return ZERO
    if op == SYS:
        if c == SYS_CMD_DONE:
            if t > now:
                return R_LATER
            # the stream is blocked from the start of a command on
            if W[p + P_CMDOPEN] == 0 or W[p + P_CMD] != 0:
                return ZERO if note_unblocked(W, pe, pc, W[fp - 1] - 1) else R_FAULT
            W[p + P_CMDOPEN] = 0
            W[G_CMDS] -= 1
            # the clock stops at the end of this cycle: the host sees the rest of the task still to run
            if W[G_UNTIL] == 1 and W[G_CMDS] == 0 and (W[G_BANDS] == 0 or is_last(W)):
                return R_LAST
            return ZERO
        if c == SYS_IQ_STATUS or c == SYS_OQ_STATUS:
            if t > now:
                return R_LATER
            v = queue_status(W, U, T, pe, c == SYS_OQ_STATUS, W[fp + b])
            if a != 0:
                W[x] = v
            return ZERO
        if (SYS_TIMED >> c) & 1 != 0:
            if t > now:
                return R_LATER
            r = configure(W, U, T, M16, pe, c, W[fp + b], W[fp + b + 1])
            if W[G_FAULT] != 0:
                return R_FAULT
            if a != 0:
                W[x] = r
            return ZERO
        r = system(W, pe, c, W[fp + b], t)
        if a != 0:
            W[x] = r
        return ZERO
    if op == PRINT:
        if W[G_PLOGN] >= W[G_PLOGCAP]:
            return R_LATER  # the loop hands the log over before the next cycle
        log = W[G_PLOG] + W[G_PLOGN] * LK
        W[log + PL_CYCLE] = t
        W[log + PL_PE] = pe
        W[log + PL_WHAT] = print_with_string(print_with_ty(c, ty), b)
        W[log + PL_VALUE] = W[x]
        W[G_PLOGN] += 1
        return ZERO
    if (op == DSRLD or op == DSRBASE) and W[p + P_UTMASK] > 1:
        user = microthread_with(W, T, pe, a)
        if user != 0:
            if t > now:
                return R_LATER  # the operation may have ended by then
            fail(W, E_DSR_BUSY, pe, a, user - 1, ZERO)
            return R_FAULT
    if op == DSRLD:
        load_dsr(W, T, p, a, fp, b, c)
        return ZERO
    if op == DSRBASE:
        d = W[p + P_DSR] + a * DSRK + DSR_VALUE
        W[d] = edit_dsd(DBASE, W[d], W[fp + b], size_of(ty))
        return ZERO
    if op == DCOUNT:
        v = count_steps(W, T, pe, W[fp + b])
        if v < 0:
            return R_FAULT
        W[x] = v
        return ZERO
    if op == DSRADV:
        save_dsr(W, T, pe, a, W[fp + b], np.int64(1) << dsd_tag(W[W[p + P_DSR] + a * DSRK + DSR_VALUE]))
        return ZERO
    if op == UTBLOCK or op == UTUNBLOCK:
        if t > now:
            return R_LATER
        dense = np.int64(T[W[p + P_TILE] + TT_UTMAP + (W[x] & 7)])
        if dense >= 0:
            if op == UTBLOCK:
                W[p + P_UTBLOCK] |= np.int64(1) << dense
            else:
                W[p + P_UTBLOCK] &= ~(np.int64(1) << dense)
                wake_ce(W, pe, now + 1)
        return ZERO
    if op == COPY:
        n = W[fp + c]
        to = W[x]
        at = W[fp + b]
        size = W[p + P_MEMSIZE]
        if n < 0 or n > size or to < 0 or at < 0 or to > size - n or at > size - n:
            fail(W, E_COPY, pe, to, at, n)
            return R_FAULT
        mem = W[p + P_MEM]
        for i in range(n):
            M8[mem + to + i] = M8[mem + at + i]
        W[p + P_READ] += n
        W[p + P_WRITTEN] += n
        return n >> 2
    if op == CALLR:
        # resolved here, called there
        f = W[x]
        tile = W[p + P_TILE]
        if f < 0 or f >= np.int64(T[tile + TT_NFUNCS]):
            fail(W, E_FUNCTION, pe, f, ZERO, ZERO)
            return R_FAULT
        return np.int64(T[tile + TT_FUNCS]) + f * FK
    if op >= CHECKED:
        return checked(W, T, pe, op - CHECKED, ty, fp, a, b, c)
    fail(W, E_BAD, pe, op, ZERO, ZERO)
    return R_FAULT
