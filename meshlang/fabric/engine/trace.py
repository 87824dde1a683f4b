# ruff: noqa: F403, F405
"""Events of a run, and the flight recorder.

An engine source says what happens with one line, `trace_...(W, ...)`. Whether that becomes code is decided when the
engine is compiled: the run loop exists in two versions, which differ in the *type* of W only. In the ordinary one W is
an aligned array and every one of these functions is empty; the traced one is compiled the first time somebody traces,
for an "unaligned" W (the same array: Numba lets an aligned one pass for it), and there it appends a record to the event
buffer. So what is not traced costs nothing, and takes no time to compile. Uncompiled, it looks whether there is a
buffer.

The buffer lies at the end of W. It is handed to Python when it runs full, between two visits of the run loop: it always
has room for what one visit can record (`EVENT_ROOM`). Filters (PEs, kinds, colors) apply before a record is written.

The flight recorder is always on: the last task starts and vector operations of the whole machine, in a ring of `FLIGHT`
entries.
"""

from __future__ import annotations

import numpy as np

from .jit import COMPILED, inline, jit
from .state import *

if COMPILED:
    from numba.extending import overload

# what an event says in its `kind`
(
    EV_TASK,
    EV_END,
    EV_OP,
    EV_ISSUE,
    EV_DONE,
    EV_STALL,
    EV_SEND,
    EV_ENTER,
    EV_MOVE,
    EV_TAKE,
    EV_HELD,
    EV_INST,
    EV_CONTROL,
    EV_SWITCH,
    EV_GO,
) = (np.int64(i) for i in range(1, 16))
# why a thread stalls (EV_STALL, EV_GO)
WAIT_INPUT, WAIT_OUTPUT, WAIT_FIFO_EMPTY, WAIT_FIFO_FULL = (np.int64(i) for i in range(1, 5))
# why a router holds a wavelet (EV_HELD)
HELD_LINK, HELD_QUEUE, HELD_NO_QUEUE = (np.int64(i) for i in range(1, 4))
# what a program does to a task (EV_CONTROL)
DO_ACTIVATE, DO_BLOCK, DO_UNBLOCK = (np.int64(i) for i in range(1, 4))
NOBODY = np.int64(255)  # no color, queue or thread
ZERO = np.int64(0)


def traced(function):
    """A report of what happens: nothing in the ordinary engine, `function` in the traced one. Its first parameter is
    W."""
    if not COMPILED:

        def report(W, *rest):
            if W[G_EVENTS] != 0:
                function(W, *rest)

        return report

    def report(*_):
        raise NotImplementedError

    nothing = eval(f"lambda {', '.join(f'a{i}' for i in range(function.__code__.co_argcount))}: None")
    report.__name__ = function.__name__
    overload(report, strict=False, jit_options={"_nrt": False, "error_model": "numpy"})(
        lambda W, *_: nothing if W.aligned else function
    )
    return report


# ---------------------------------------------------------------- the buffer


@inline
def visible(W, pe):
    """Is a PE traced?"""
    return (W[W[G_EVENTPES] + (pe >> 6)] >> (pe & 63)) & 1 != 0


@inline
def wanted(W, kind, cycle):
    """Are events of a kind recorded in a cycle?"""
    return (W[G_EVENTKINDS] >> kind) & 1 != 0 and cycle >= W[G_EVENTFROM] and cycle < W[G_EVENTTO]


@jit
def write(W, kind, pe, cycle, color, queue, thread, value, extra, pc, task):
    """Append an event, if its color is traced. Fields: see recording.EVENT."""
    if color < 32 and (W[G_EVENTCOLORS] >> color) & 1 == 0:
        return
    n = W[G_EVENTN]
    if n >= W[G_EVENTCAP]:
        W[G_EVENTSLOST] += 1  # cannot happen while EVENT_ROOM is kept; were it to, the trace says so
        return
    e = W[G_EVENTS] + n * EVK
    W[e + EVENT_CYCLE] = cycle
    where = where_with_color(where_with_kind(where_with_pe(ZERO, pe), kind), color)
    W[e + EVENT_WHERE] = where_with_thread(where_with_queue(where, queue), thread)
    W[e + EVENT_WHAT] = what_with_extra(what_with_value(ZERO, value), extra)
    W[e + EVENT_CODE] = code_with_task(code_with_pc(ZERO, pc), task)
    W[G_EVENTN] = n + 1


@inline
def record(W, kind, pe, cycle, color, queue, thread, value, extra, pc, task):
    """Append an event unless a filter rejects it."""
    if wanted(W, kind, cycle) and visible(W, pe):
        write(W, kind, pe, cycle, color, queue, thread, value, extra, pc, task)


def full(W):
    """Has the event buffer to be emptied before the next visit? Never in the ordinary engine."""
    return W[G_EVENTS] != 0 and W[G_EVENTCAP] - W[G_EVENTN] < EVENT_ROOM


def resumed(W):
    """Does the loop go on in the middle of a cycle, after the buffer was emptied?"""
    again = W[G_EVENTPAUSE] != 0
    W[G_EVENTPAUSE] = 0
    return again


if COMPILED:

    def _full(W):
        return W[G_EVENTCAP] - W[G_EVENTN] < EVENT_ROOM

    def _resumed(W):
        again = W[G_EVENTPAUSE] != 0
        W[G_EVENTPAUSE] = 0
        return again

    overload(full, jit_options={"_nrt": False})(lambda W: (lambda W: False) if W.aligned else _full)
    overload(resumed, jit_options={"_nrt": False})(lambda W: (lambda W: False) if W.aligned else _resumed)


@inline
def flight(W, kind, pe, cycle, pc, task):
    """An entry of the flight recorder."""
    n = W[G_FLIGHTN]
    e = W[G_FLIGHT] + (n & (FLIGHT - 1)) * FLK
    W[e + FL_WHEN] = when_with_cycle(kind, cycle)
    W[e + FL_WHERE] = flight_with_task(flight_with_pc(pe, pc), task)
    W[G_FLIGHTN] = n + 1


# ---------------------------------------------------------------- tasks and scalar code


@traced
def trace_task(W, pe, cycle, task, pc):
    """A task or launched function starts."""
    record(W, EV_TASK, pe, cycle, NOBODY, NOBODY, NOBODY, ZERO, ZERO, pc, task)


@traced
def trace_end(W, pe, cycle):
    """The running task ends."""
    p = P0 + pe * PK
    record(W, EV_END, pe, cycle, NOBODY, NOBODY, NOBODY, ZERO, cycle - W[p + P_BUSYFROM], np.int64(-1), W[p + P_TASK])


@traced
def trace_inst(W, pe, cycle, pc, op):
    """A scalar instruction, or the issue of a vector operation, begins."""
    record(W, EV_INST, pe, cycle, NOBODY, NOBODY, ZERO, op, ZERO, pc, W[P0 + pe * PK + P_TASK])


@traced
def trace_later(W, pe, cycle, pc):
    """The instruction just recorded (unless a filter rejected it) does not happen yet: it will be recorded again."""
    n = W[G_EVENTN] - 1
    if n >= 0:
        e = W[G_EVENTS] + n * EVK
        where = W[e + EVENT_WHERE]
        same = where_pe(where) == pe and where_kind(where) == EV_INST and code_pc(W[e + EVENT_CODE]) == pc
        if W[e + EVENT_CYCLE] == cycle and same:
            W[G_EVENTN] = n


@traced
def trace_control(W, pe, cycle, what, task, pc):
    """A task id is activated, blocked or unblocked: by the running task, or (pc -1) by the end of an operation."""
    record(
        W,
        EV_CONTROL,
        pe,
        cycle,
        NOBODY,
        NOBODY,
        NOBODY,
        task,
        what,
        pc,
        W[P0 + pe * PK + P_TASK] if pc >= 0 else np.int64(-1),
    )


@traced
def trace_element_wait(W, U, pe, q, output):
    """The main thread waits for an element on the fabric (ELD, EST)."""
    stalled(
        W,
        pe,
        W[P0 + pe * PK + P_UT],
        W[G_NOW],
        color_at(U, pe, q, output),
        np.int64(U[q + Q_ID]),
        ZERO,
        WAIT_OUTPUT if output else WAIT_INPUT,
        np.int64(-1),
        W[P0 + pe * PK + P_TASK],
    )


@traced
def trace_go(W, pe, v, pc, now):
    """A thread that may have been stalled goes on, with the operation started at pc (-1: an element access)."""
    since = W[v + V_STALLED]
    if since != 0:
        W[v + V_STALLED] = 0
        main = v == W[P0 + pe * PK + P_UT]
        record(
            W,
            EV_GO,
            pe,
            now,
            NOBODY,
            NOBODY,
            ZERO if main else W[v + V_ID] + 1,
            now - stalled_since(since),
            stalled_cause(since),
            pc,
            W[P0 + pe * PK + P_TASK] if pc < 0 else W[v + V_TASK],
        )


@jit
def stalled(W, pe, v, now, color, queue, done, cause, pc, task):
    """A stall begins, or its cause changes; the rest of a stall is not recorded."""
    since = W[v + V_STALLED]
    if stalled_cause(since) == cause:
        return
    main = v == W[P0 + pe * PK + P_UT]
    if since != 0:
        record(
            W,
            EV_GO,
            pe,
            now,
            NOBODY,
            NOBODY,
            ZERO if main else W[v + V_ID] + 1,
            now - stalled_since(since),
            stalled_cause(since),
            pc,
            task,
        )
    W[v + V_STALLED] = stalled_with_since(cause, now)
    record(W, EV_STALL, pe, now, color, queue, ZERO if main else W[v + V_ID] + 1, done, cause, pc, task)


# ---------------------------------------------------------------- vector operations


@jit
def color_at(U, pe, q, output):
    """The color of a queue. On WSE-2 an output queue has none of its own: that of its first wavelet."""
    color = np.int64(U[q + Q_COLOR])
    if output and U[q + Q_COUNT] != 0:
        e = np.int64(U[q + Q_BUF]) + np.int64(U[q + Q_HEAD]) * EK
        color = config_color(U[np.int64(U[pe * RK + R_BASE]) + entry_slot(U[e + E_FLAGS]) * HK + CH_CONFIG])
    return color if color < NO_COLOR else NOBODY


@jit
def fabric_operand(W, U, pe, v):
    """Color | queue << 8 of an operation: of its destination, else of its first source on the fabric."""
    for j in range(4):
        o = v + V_OPERANDS + j * OK
        color = np.int64(-1)
        if W[o + O_KIND] == K_OUT:
            color = config_color(U[np.int64(U[pe * RK + R_BASE]) + W[o + O_STRIDE] * HK + CH_CONFIG])
        elif W[o + O_KIND] == K_IN:
            color = np.int64(U[W[o + O_QUEUE] + Q_COLOR])
        if color >= 0:
            return (color if color < NO_COLOR else NOBODY) | (np.int64(U[W[o + O_QUEUE] + Q_ID]) << 8)
    return NOBODY | (NOBODY << 8)


@traced
def trace_op(W, pe, v, pc, cycle, cycles):
    """A vector operation in memory, which runs at once."""
    if cycles >= 0:
        record(W, EV_OP, pe, cycle, NOBODY, NOBODY, ZERO, W[v + V_K], cycles, pc, W[P0 + pe * PK + P_TASK])


@traced
def trace_issue(W, U, pe, v, cycle):
    """A vector operation on the fabric (or an asynchronous one on a FIFO) is started; it works from `cycle` on."""
    W[v + V_STALLED] = 0  # the record held another operation before
    where = fabric_operand(W, U, pe, v)
    record(
        W, EV_ISSUE, pe, cycle, where & 255, where >> 8, W[v + V_ID] + 1, W[v + V_N], ZERO, W[v + V_PC], W[v + V_TASK]
    )


@traced
def trace_done(W, U, pe, v, now):
    """A vector operation on the fabric has ended."""
    where = fabric_operand(W, U, pe, v)
    record(
        W,
        EV_DONE,
        pe,
        now,
        where & 255,
        where >> 8,
        W[v + V_ID] + 1,
        W[v + V_K],
        now - W[v + V_START],
        W[v + V_PC],
        W[v + V_TASK],
    )


@traced
def trace_stall(W, U, T, pe, v, now):
    """An operation that is ready to work cannot: what does it wait for?"""
    if not visible(W, pe):
        return
    cause = ZERO
    color = NOBODY
    queue = NOBODY
    for j in range(4):
        o = v + V_OPERANDS + j * OK
        q = W[o + O_QUEUE]
        kind = W[o + O_KIND]
        why = ZERO
        if kind == K_IN:
            why = WAIT_INPUT
            if U[q + Q_COUNT] != 0:
                e = np.int64(U[q + Q_BUF]) + np.int64(U[q + Q_HEAD]) * EK
                delta = (np.int64(U[e + E_TIME]) - now) & 0xFFFFFFFF
                if delta == 0 or delta >= 0x80000000:
                    why = ZERO
        elif kind == K_OUT:
            if U[q + Q_COUNT] >= U[q + Q_CAP]:
                why = WAIT_OUTPUT
        elif kind == K_FIFO:
            if j == 0 and W[W[o + O_ADDR] + FF_COUNT] >= np.int64(T[q + FIFO_CAPACITY]):
                why = WAIT_FIFO_FULL
            elif j > 0 and W[W[o + O_ADDR] + FF_COUNT] == 0:
                why = WAIT_FIFO_EMPTY
        if why != 0 and cause == 0:
            cause = why
            if kind != K_FIFO:
                color = color_at(U, pe, q, kind == K_OUT)
                queue = np.int64(U[q + Q_ID])
    if cause != 0:
        stalled(W, pe, v, now, color, queue, W[v + V_K], cause, W[v + V_PC], W[v + V_TASK])


# ---------------------------------------------------------------- wavelets


@jit
def thread_of(W, U, pe, q):
    """Who works on a queue: 0 the main thread, 1 + id a microthread."""
    user = np.int64(U[q + Q_USER])
    if user < 2:
        return ZERO
    return W[W[P0 + pe * PK + P_UT] + (user - 1) * TK + V_ID] + 1


@traced
def trace_send(W, U, pe, q, value, flags, now):
    """The CE puts a wavelet into an output queue."""
    color = config_color(U[np.int64(U[pe * RK + R_BASE]) + entry_slot(flags) * HK + CH_CONFIG])
    record(
        W,
        EV_SEND,
        pe,
        now,
        color,
        np.int64(U[q + Q_ID]),
        thread_of(W, U, pe, q),
        value,
        entry_control(flags),
        np.int64(-1),
        np.int64(-1),
    )


@traced
def trace_take(W, U, pe, q, now):
    """The CE takes the head of an input queue."""
    e = np.int64(U[q + Q_BUF]) + np.int64(U[q + Q_HEAD]) * EK
    record(
        W,
        EV_TAKE,
        pe,
        now,
        np.int64(U[q + Q_COLOR]),
        np.int64(U[q + Q_ID]),
        thread_of(W, U, pe, q),
        np.int64(U[e + E_VALUE]),
        entry_control(U[e + E_FLAGS]),
        np.int64(-1),
        np.int64(-1),
    )


@traced
def trace_enter(W, U, pe, ch, side, queue, value, control, now):
    """A wavelet enters the PE's router from the ramp (side 4; `queue` it comes from) or from the host (5)."""
    record(
        W,
        EV_ENTER,
        pe,
        now,
        config_color(U[ch + CH_CONFIG]),
        queue,
        NOBODY,
        value,
        extra_with_sides(control, side),
        np.int64(-1),
        np.int64(-1),
    )


@traced
def trace_move(W, U, pe, config, q, value, control, tx, now):
    """The router of `pe` sends a wavelet to the sides `tx` (4: its CE, 5: the host). It is at a neighbour's router a
    hop later, in the input queue q a ramp later. Recorded when the PE or a neighbour that gets the wavelet is
    traced."""
    if not wanted(W, EV_MOVE, now):
        return
    seen = (
        visible(W, pe)
        or (tx & 1 != 0 and visible(W, pe - W[G_WIDTH]))
        or (tx & 2 != 0 and visible(W, pe + W[G_WIDTH]))
        or (tx & 4 != 0 and visible(W, pe + 1))
        or (tx & 8 != 0 and visible(W, pe - 1))
    )
    if seen:
        queue = np.int64(U[q + Q_ID]) if tx & TO_RAMP != 0 else NOBODY
        write(
            W,
            EV_MOVE,
            pe,
            now,
            config_color(config),
            queue,
            NOBODY,
            value,
            extra_with_sides(control, tx),
            np.int64(-1),
            np.int64(-1),
        )


@traced
def trace_held(W, U, pe, ch, config, tx, now):
    """A wavelet cannot leave the router, and waits to be woken."""
    why = HELD_LINK
    if tx & TO_RAMP != 0:
        n = config_queue(config)
        if n == NO_QUEUE:
            why = HELD_NO_QUEUE
        else:
            q = W[P0 + pe * PK + P_IQ] + n * QK
            if U[q + Q_COUNT] >= U[q + Q_CAP]:
                why = HELD_QUEUE
    head = state_head(U[ch + CH_STATE])
    record(
        W,
        EV_HELD,
        pe,
        now,
        config_color(config),
        NOBODY,
        NOBODY,
        np.int64(U[ch + CH_VALUE + head]),
        extra_with_sides(why, tx),
        np.int64(-1),
        np.int64(-1),
    )


@traced
def trace_switch(W, U, pe, ch, position, now):
    """The route of a color has changed: the switch position now in force."""
    record(
        W,
        EV_SWITCH,
        pe,
        now,
        config_color(U[ch + CH_CONFIG]),
        NOBODY,
        NOBODY,
        position,
        ZERO,
        np.int64(-1),
        np.int64(-1),
    )
