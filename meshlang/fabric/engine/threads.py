# ruff: noqa: F403, F405
"""Vector operations with an operand on the fabric, or one that waits for a FIFO: one step a cycle, on the main thread
(synchronous) or on a microthread (asynchronous).
"""

from __future__ import annotations

import numpy as np

from .alu import element
from .bulk import add_with_carry, count_work, fetch_memory
from .dsr import save_addresses
from .exceptions import stops, vector_exceptions
from .express import may_express
from .faults import Fault
from .fifos import fifo_action, fifo_fault, fifo_push, fifo_ready, fifo_stopped
from .jit import ctz, inline, jit
from .memory import beyond, load_bits, next_element, store_bits
from .opcodes import *
from .prepare import overrun
from .queues import bind_input, head_entry, pop_input, push_output
from .state import *
from .tasks import complete, is_awaited
from .trace import EV_DONE, flight, trace_done, trace_go, trace_issue, trace_stall
from .wheel import fail

PROGRESS, STALLED, FINISHED, FAILED = np.int64(0), np.int64(1), np.int64(2), np.int64(-1)
FQUEUE_BUSY, FQUEUE_COLOR, FENDLESS = (
    np.int64(Fault.QUEUE_BUSY),
    np.int64(Fault.QUEUE_COLOR),
    np.int64(Fault.ENDLESS_WALK),
)
ZERO, ONE, TWO = (np.int64(i) for i in range(3))


@jit
def microthread_of(W, U, v):
    """Id of the microthread of an asynchronous operation (facts 4.5)."""
    if W[v + V_ID] >= 0:
        return W[v + V_ID]
    d = v + V_OPERANDS
    for j in range(4):
        kind = W[d + j * OK + O_KIND]
        if kind == K_OUT or kind == K_IN:
            # the destination comes first, so on WSE-2 this is "the output queue if there is one, else the first input
            # queue"
            return np.int64(U[W[d + j * OK + O_QUEUE] + Q_ID])
    return np.int64(-1)


@jit
def claim_queues(W, U, pe, v, user):
    """Mark the operation's queues as used. False after a fault."""
    d = v + V_OPERANDS
    for j in range(4):
        o = d + j * OK
        if W[o + O_KIND] == K_IN or W[o + O_KIND] == K_OUT:
            q = W[o + O_QUEUE]
            if U[q + Q_USER] != 0:
                fail(
                    W,
                    FQUEUE_BUSY,
                    pe,
                    np.int64(U[q + Q_ID]),
                    np.int64(0 if W[o + O_KIND] == K_IN else 1),
                    np.int64(U[q + Q_COLOR]),
                )
                return False
            if (
                W[o + O_KIND] == K_IN
                and W[G_WSE3] == 0
                and W[o + O_STRIDE] >= 0
                and W[o + O_STRIDE] != np.int64(U[q + Q_COLOR])
            ):
                if U[q + Q_COUNT] != 0:
                    fail(W, FQUEUE_COLOR, pe, np.int64(U[q + Q_ID]), W[o + O_STRIDE], np.int64(U[q + Q_COLOR]))
                    return False
                bind_input(W, U, pe, q, W[o + O_STRIDE], W[G_NOW])
            U[q + Q_USER] = np.uint32(user)
    return True


@jit
def may_run_ahead(W, v):
    """Does a thread step on whatever happens, as long as its queues hold, or have room for, a wavelet?"""
    d = v + V_OPERANDS
    return (
        W[v + V_FLAGS] & (F_ENDLESS | F_OPEN | F_CHECKED) == 0
        and W[v + V_ONCTRL] == 0
        and W[v + V_CODE] != DFILT
        and W[d + O_KIND] != K_FIFO
        and W[d + OK + O_KIND] != K_FIFO
        and W[d + 2 * OK + O_KIND] != K_FIFO
    )


@jit
def is_plain(W, T, v):
    """Does a thread only move elements, from a memory vector into the fabric or from the fabric into one?"""
    d = v + V_OPERANDS
    s = d + OK
    kernel = np.int64(T[W[v + V_CODE] * OI + OI_KERNEL])
    if W[d + O_KIND] == K_OUT and W[s + O_KIND] == K_MEM:
        aux = W[d + O_AUX]
    elif W[d + O_KIND] == K_MEM and W[s + O_KIND] == K_IN:
        aux = W[s + O_AUX]
    else:
        return False
    return (
        (kernel == CLASS_MOVE16 or kernel == CLASS_MOVE32)
        and W[s + OK + O_KIND] == K_NONE
        and W[d + 3 * OK + O_KIND] == K_NONE
        and W[d + O_SIZE] == W[s + O_SIZE]
        and aux & (A_WIO | A_TRANSFORM) == 0
        and W[v + V_FLAGS] & (F_ACCUMULATE | F_ENDLESS | F_OPEN | F_CHECKED) == 0
        and W[v + V_ONCTRL] == 0
        and W[v + V_ZERO] == 0
    )


@jit
def undisturbed(W, U, pe, now):
    """Do the vector unit's next cycles, as many as the ramp takes, depend on nothing that is not known now?

    What arrives until then is already in the input queues, because the ramp takes so long. Routers notice nothing, if
    an input queue that is emptied early could not have been full, and an output queue has room for all. (Programs that
    look at queues do without, as with express delivery.)
    """
    p = P0 + pe * PK
    ramp = W[TIME_FABRIC_RAMP]
    if W[p + P_UTBLOCK] != 0 or now + ramp >= W[G_LIMIT]:
        return False
    rest = W[p + P_UTMASK]
    while rest != 0:
        v = W[p + P_UT] + ctz(rest) * TK
        rest &= rest - 1
        if W[v + V_FLAGS] & F_STEADY == 0:
            return False
        for j in range(3):
            o = v + V_OPERANDS + j * OK
            if W[o + O_KIND] == K_IN or W[o + O_KIND] == K_OUT:
                q = W[o + O_QUEUE]
                if U[q + Q_WAITER] != 0 or np.int64(U[q + Q_COUNT]) + ramp > np.int64(U[q + Q_CAP]):
                    return False
    return True


@jit
def start_thread(W, U, T, pe, scratch, dense, at):
    """Copy a prepared record to thread `dense` and let it run from cycle `at`."""
    p = P0 + pe * PK
    v = W[p + P_UT] + dense * TK
    for i in range(TK):
        W[v + i] = W[scratch + i]
    W[v + V_START] = at
    W[v + V_PC] = W[p + P_PC]
    W[v + V_TASK] = W[p + P_TASK]
    # ranks: high 6, medium 4, main thread 3, low and default 2 (facts 4.5)
    if dense == 0:
        W[v + V_RANK] = 3
    elif W[v + V_RANK] == 3:
        W[v + V_RANK] = 6
    elif W[v + V_RANK] == 2:
        W[v + V_RANK] = 4
    else:
        W[v + V_RANK] = 2
    W[v + V_LAST] = 0
    bit = np.int64(1) << dense
    W[p + P_UTMASK] |= bit
    if may_run_ahead(W, v):
        W[v + V_FLAGS] |= F_STEADY
    if is_plain(W, T, v):
        W[v + V_FLAGS] |= F_PLAIN
    if may_express(W, T, v):
        W[p + P_NOEXPRESS] &= ~bit
    else:
        W[p + P_NOEXPRESS] |= bit
    trace_issue(W, U, pe, v, at)
    return claim_queues(W, U, pe, v, dense + 1)


@jit
def finish_thread(W, U, T, M8, M16, M32, pe, dense, action, now):
    """The operation has ended: release queues, store an accumulated scalar, act."""
    p = P0 + pe * PK
    v = W[p + P_UT] + dense * TK
    d = v + V_OPERANDS
    W[p + P_UTMASK] &= ~(np.int64(1) << dense)
    W[p + P_NOEXPRESS] &= ~(np.int64(1) << dense)
    flight(W, EV_DONE, pe, now, W[v + V_PC], W[v + V_TASK])
    trace_done(W, U, pe, v, now)
    for j in range(4):
        o = d + j * OK
        if W[o + O_KIND] == K_IN or W[o + O_KIND] == K_OUT:
            U[W[o + O_QUEUE] + Q_USER] = np.uint32(0)
    if W[v + V_FLAGS] & F_ACCUMULATE != 0:
        store_bits(M8, M16, M32, W[p + P_MEM] + W[d + O_ADDR], W[d + O_SIZE], W[v + V_ACC])
    count_work(W, T, p, v, W[v + V_K])
    save_addresses(W, T, pe, v)
    complete(W, pe, action, now)
    if dense == 0 and W[p + P_ST] == ST_OP:
        W[p + P_ST] = ST_RUN
        W[p + P_TIME] = now + W[TIME_DSD_SYNC_DONE]
        W[W[v + V_RESULT]] = 1


@inline
def fetch_fabric(W, U, T, M8, M16, M32, pe, o, mem, k, last, now):
    """Element k of an operand; input from the fabric is known to be there."""
    if W[o + O_KIND] != K_IN:
        return fetch_memory(W, T, M8, M16, M32, o, mem)
    q = W[o + O_QUEUE]
    e = np.int64(U[q + Q_BUF]) + np.int64(U[q + Q_HEAD]) * EK
    value = np.int64(U[e + E_VALUE])
    if W[o + O_AUX] & A_TRANSFORM != 0 and entry_control(U[e + E_FLAGS]) != 0:
        value ^= W[P0 + pe * PK + P_TRANSFORM]
    if W[o + O_SIZE] == 4:
        pop_input(W, U, pe, q, now)
        return value
    if transfer_simd(W[o + O_AUX]) == 0:
        pop_input(W, U, pe, q, now)
        return value & 0xFFFF
    if k & 1 == 0:
        if last:
            pop_input(W, U, pe, q, now)
        return value & 0xFFFF
    pop_input(W, U, pe, q, now)
    return value >> 16


@inline
def plain_step(W, U, M8, M16, M32, pe, v, now):
    """thread_step of a plain operation (is_plain), which looks at its destination and its source only: PROGRESS, STALLED
    or FINISHED, and then it has still to be ended."""
    p = P0 + pe * PK
    d = v + V_OPERANDS
    s = d + OK
    k = W[v + V_K]
    rest = W[v + V_N] - k
    step = W[v + V_STEP]
    size = W[d + O_SIZE]
    both = step == 2 and rest > 1  # two elements in the wavelet
    if W[d + O_KIND] == K_OUT:
        q = W[d + O_QUEUE]
        if U[q + Q_COUNT] >= U[q + Q_CAP]:
            U[q + Q_WAITER] = np.uint32(np.int64(U[q + Q_WAITER]) | WAIT_ROOM)
            return STALLED
        at = W[p + P_MEM] + W[s + O_ADDR]
        value = load_bits(M8, M16, M32, at, size)
        if both:
            value |= load_bits(M8, M16, M32, at + W[s + O_STRIDE], size) << 16
            W[s + O_ADDR] += W[s + O_STRIDE]
        W[s + O_ADDR] += W[s + O_STRIDE]
        aux = W[d + O_AUX]
        flags = entry_with_slot(transfer_control(aux), W[d + O_STRIDE])
        if rest <= step:
            flags = entry_with_advance(flags, transfer_advance(aux))
        push_output(W, U, pe, q, value, flags, now)
    else:
        q = W[s + O_QUEUE]
        e = head_entry(U, q, now)
        if e < 0:
            return STALLED
        value = np.int64(U[e + E_VALUE])
        pop_input(W, U, pe, q, now)
        at = W[p + P_MEM] + W[d + O_ADDR]
        store_bits(M8, M16, M32, at, size, value)
        if both:
            store_bits(M8, M16, M32, at + W[d + O_STRIDE], size, value >> 16)
            W[d + O_ADDR] += W[d + O_STRIDE]
        W[d + O_ADDR] += W[d + O_STRIDE]
    done = TWO if both else ONE
    W[G_VECTOR] += done
    W[v + V_K] = k + done
    return PROGRESS if done < rest else FINISHED


@inline
def thread_step(W, U, T, M8, M16, M32, pe, dense, now):
    """Try to move one step of a fabric operation: PROGRESS, STALLED, FINISHED or FAILED."""
    p = P0 + pe * PK
    v = W[p + P_UT] + dense * TK
    if W[v + V_FLAGS] & F_PLAIN != 0:
        r = plain_step(W, U, M8, M16, M32, pe, v, now)
        if r == FINISHED:
            finish_thread(W, U, T, M8, M16, M32, pe, dense, W[v + V_ACTION], now)
        return r
    d = v + V_OPERANDS
    k = W[v + V_K]
    n = W[v + V_N]
    step = W[v + V_STEP]
    if W[v + V_CODE] == DFILT:
        q = W[d + OK + O_QUEUE]
        e = head_entry(U, q, now)
        if e < 0:
            return STALLED
        W[v + V_K] = k + (entry_control(U[e + E_FLAGS]))
        pop_input(W, U, pe, q, now)
        if W[v + V_K] < n or n == ENDLESS:
            return PROGRESS
        finish_thread(W, U, T, M8, M16, M32, pe, dense, W[v + V_ACTION], now)
        return FINISHED
    # is everything there?
    for j in range(1, 3):
        o = d + j * OK
        if W[o + O_KIND] == K_IN:
            q = W[o + O_QUEUE]
            e = head_entry(U, q, now)
            if e < 0:
                return STALLED
            if W[v + V_ONCTRL] != 0 and entry_control(U[e + E_FLAGS]) != 0:
                # it stays for its task, if it has one
                if not is_awaited(W, T, pe, np.int64(U[e + E_VALUE])):
                    pop_input(W, U, pe, q, now)
                finish_thread(W, U, T, M8, M16, M32, pe, dense, action_what(W[v + V_ONCTRL]), now)
                return FINISHED
    if W[d + O_KIND] == K_OUT:
        q = W[d + O_QUEUE]
        if U[q + Q_COUNT] >= U[q + Q_CAP]:
            U[q + Q_WAITER] = np.uint32(np.int64(U[q + Q_WAITER]) | WAIT_ROOM)
            return STALLED
    if (W[d + O_KIND] == K_FIFO or W[d + OK + O_KIND] == K_FIFO or W[d + 2 * OK + O_KIND] == K_FIFO) and not fifo_ready(
        W, T, v
    ):
        action = fifo_action(W, T, v)
        if action == FIFO_FAULT:
            fifo_fault(W, pe, v)
            W[G_FPC] = W[v + V_PC]
            return FAILED
        if action == FIFO_SUSPEND or action == FIFO_TEST and (dense != 0 or n == ENDLESS):
            return STALLED
        if dense != 0:
            # terminate: the operation ends as if it were complete
            finish_thread(W, U, T, M8, M16, M32, pe, dense, W[v + V_ACTION], now)
            return FINISHED
        # a synchronous operation does not wait for a FIFO: it stops, and says so
        fifo_stopped(W, v)
        finish_thread(W, U, T, M8, M16, M32, pe, dense, ZERO, now)
        W[W[v + V_RESULT]] = 0
        return FINISHED
    if W[v + V_FLAGS] & F_ENDLESS != 0:
        past = beyond(W, T, d, k + step)
        if past >= 0:
            fail(W, FENDLESS, pe, past, ZERO, ZERO)
            W[G_FPC] = W[v + V_PC]
            return FAILED
    elif W[v + V_FLAGS] & F_OPEN != 0 and not overrun(W, U, T, pe, v, d, k):
        W[G_FPC] = W[v + V_PC]
        return FAILED
    mem = W[p + P_MEM]
    code = W[v + V_CODE]
    c = W[d + 3 * OK + O_ADDR]
    cleared = W[v + V_ZERO]  # 0: none; 1, 2: that source is cleared as it is read
    for _ in range(step):
        last = k == n - 1 and n != ENDLESS
        at = W[d + cleared * OK + O_ADDR]
        if W[v + V_FLAGS] & F_ACCUMULATE != 0:
            a = W[v + V_ACC]
        else:
            a = fetch_fabric(W, U, T, M8, M16, M32, pe, d + OK, mem, k, last, now)
        b = fetch_fabric(W, U, T, M8, M16, M32, pe, d + 2 * OK, mem, k, last, now)
        if cleared != 0:
            store_bits(M8, M16, M32, mem + at, W[d + cleared * OK + O_SIZE], ZERO)
            W[p + P_WRITTEN] += W[d + cleared * OK + O_SIZE]
        if code == ADDC16:
            r = add_with_carry(W, p, a, b)
        else:
            r = element(code, a, b, c)
        if W[v + V_FLAGS] & F_CHECKED != 0 and stops(W, pe, vector_exceptions(code, a, b, c, r)):
            W[G_FPC] = W[v + V_PC]
            return FAILED
        kind = W[d + O_KIND]
        if kind == K_OUT:
            aux = W[d + O_AUX]
            flags = entry_with_slot(transfer_control(aux), W[d + O_STRIDE])
            if last:
                flags = entry_with_advance(flags, transfer_advance(aux))
            q = W[d + O_QUEUE]
            mark = W[p + P_TRANSFORM] if aux & A_TRANSFORM != 0 and entry_control(flags) != 0 else ZERO
            if transfer_simd(aux) == 0:
                if aux & A_WIO != 0 and W[v + V_INDEX] >= 0:
                    r = (r & 0xFFFF) | (W[v + V_INDEX] << 16)
                push_output(W, U, pe, q, r ^ mark, flags, now)
            elif k & 1 == 0:
                if last:
                    push_output(W, U, pe, q, r ^ mark, flags, now)
                else:
                    W[d + O_ADDR] = r
            else:
                push_output(W, U, pe, q, (W[d + O_ADDR] | (r << 16)) ^ mark, flags, now)
        elif W[v + V_FLAGS] & F_ACCUMULATE != 0:
            W[v + V_ACC] = r
        elif kind == K_POINTER:
            store_bits(M8, M16, M32, mem + W[d + O_ADDR], W[d + O_SIZE], r)
        elif kind == K_FIFO:
            fifo_push(W, T, M8, M16, M32, d, mem, r)
        else:
            store_bits(M8, M16, M32, mem + W[d + O_ADDR], W[d + O_SIZE], r)
            next_element(W, T, d)
        W[G_VECTOR] += 1
        k += 1
        if last:
            break
    W[v + V_K] = k
    if k == n and n != ENDLESS:
        finish_thread(W, U, T, M8, M16, M32, pe, dense, W[v + V_ACTION], now)
        return FINISHED
    return PROGRESS


@inline
def vector_phase(W, U, T, M8, M16, M32, pe, now):
    """One cycle of the vector unit: of the threads that can move, the one of highest rank; among equals the one that
    has waited longest.

    Returns the next cycle at which it is worth looking again, or 0.
    """
    p = P0 + pe * PK
    if W[p + P_VBUSY] > now:
        return W[p + P_VBUSY]
    running = W[p + P_UTMASK] & ~W[p + P_UTBLOCK]
    base = W[p + P_UT]
    ready = np.int64(0)
    wake = np.int64(0)
    rest = running
    while rest != 0:
        i = ctz(rest)
        rest &= rest - 1
        start = W[base + i * TK + V_START]
        if start <= now:
            ready |= np.int64(1) << i
        elif wake == 0 or start < wake:
            wake = start
    while ready != 0:
        best = np.int64(-1)
        rank = np.int64(-1)
        last = np.int64(-1)
        rest = ready
        while rest != 0:
            i = ctz(rest)
            rest &= rest - 1
            r = W[base + i * TK + V_RANK]
            at = W[base + i * TK + V_LAST]
            if r > rank or (r == rank and at < last):
                rank = r
                last = at
                best = i
        ready &= ~(np.int64(1) << best)
        step = W[base + best * TK + V_STEP]
        rate = W[base + best * TK + V_RATE]
        result = thread_step(W, U, T, M8, M16, M32, pe, best, now)
        if result == FAILED:
            return np.int64(0)
        if result != STALLED:
            trace_go(W, pe, base + best * TK, W[base + best * TK + V_PC], now)
            W[base + best * TK + V_LAST] = now
            busy = (step * rate + 65535) >> 16
            if busy < 1:
                busy = np.int64(1)
            W[p + P_VBUSY] = now + busy
            return now + busy if W[p + P_UTMASK] != 0 else np.int64(0)
        trace_stall(W, U, T, pe, base + best * TK, now)
    return wake
