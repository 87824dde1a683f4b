# ruff: noqa: F403, F405
"""The compute element: the scalar machine, tasks, and the main thread's state.

The main thread may run ahead of the clock: scalar code and operations in memory touch only their own PE, so a task runs without
stopping and counts its cycles, until it ends, meets an instruction that has to happen at its proper time (a fabric operation, the
end of a command, ...), or has used up its quantum. What a microthread writes meanwhile is not seen by a task that reads it
without waiting for completion: that is a race in the program.
"""

from __future__ import annotations

import numpy as np

from ..ir import isa
from .dsd import (
    KIND_CIRCBUF,
    KIND_FABIN,
    KIND_FABOUT,
    KIND_MEM1D,
    KIND_MEM4D,
    M4_COLUMNS,
    M4_EXT,
    OPERAND_DSD,
    RC_ACTION,
    RC_ONCTRL_SET,
    bind_input,
    color_slot,
    decode,
    field,
    fifo_suspends,
    head_entry,
    load_bits,
    microthread_of,
    microthread_with,
    object_of,
    output_slot,
    pop_input,
    prepare,
    push_output,
    run_in_memory,
    save_dsr,
    start_thread,
    store_bits,
    stray,
    unnote,
    vector_phase,
    walk_length,
    walk_offset,
)
from .exceptions import CHECKED, O_FADD, O_FDIV, O_FUN2, scalar_exceptions, stops
from .express import enter_express, leave_express
from .faults import Fault
from .jit import cold, ctz, inline, jit
from .scalar import (
    F16,
    F32,
    U64,
    divide,
    equal,
    float_op,
    float_to_float,
    float_to_int,
    int_to_float,
    less,
    less_equal,
    math1,
    math2,
    remainder,
    size_of,
    to_f64,
    wrap,
)
from .state import *
from .switch import filter_field, is_register, register_load, register_store, route_get, route_set, teardown_exit
from .trace import (
    DO_ACTIVATE,
    DO_BLOCK,
    DO_UNBLOCK,
    EV_TASK,
    flight,
    trace_control,
    trace_element_wait,
    trace_end,
    trace_go,
    trace_inst,
    trace_later,
    trace_op,
    trace_task,
)
from .wheel import fail, wake_ce

(NOP, MOV, LDI, LDIH, SEL, LD, ST, COPY, ADD, SUB, MUL, DIV, REM, AND, OR, XOR, SHL, SHR, NEG, NOT, ADDI, MULI, WRAP, LNOT, EQ, NE, LT,
 LE, FADD, FSUB, FMUL, FDIV, FNEG, FUN1, FUN2, I2F, F2I, F2F, F2B, JMP, JZ, JNZ, CALL, CALLR, TCALL, RET, CHK, ASSERT, TRAP, DBASE,
 DINC, DLEN, DSTRIDE, BINS, DSRLD, DSRGET, DSRBASE, DSDOP, ELD, EST, DCOUNT, DSRADV, ACTIVATE, BLOCK, UNBLOCK, UTBLOCK, UTUNBLOCK,
 SYS, PRINT) = (np.int64(o) for o in list(isa.Op)[:69])
(SYS_CMD_DONE, SYS_TSC, SYS_TSC_ENABLE, SYS_TSC_RESET, SYS_X, SYS_Y, SYS_RANDOM16, SYS_SET_PRNG, SYS_IQ_STATUS, SYS_OQ_STATUS,
 SYS_TASK_PRIORITY, SYS_PERF, SYS_MAIN_PRIORITY, SYS_FIFO_READ, SYS_FIFO_WRITE, SYS_ROUTE_GET, SYS_ROUTE_SET, SYS_TORN, SYS_TEARDOWN_EXIT,
 SYS_FILTER_GET, SYS_FILTER_SET, SYS_FLUSH, SYS_FLUSHED, SYS_FLUSH_EXIT, SYS_QUEUE_COLOR, SYS_REGISTER_GET,
 SYS_REGISTER_SET, SYS_TRANSFORM, SYS_EXCEPTIONS) = (np.int64(s) for s in list(isa.Sys)[:29])
PLAIN, PLAIN_COUNT = np.int64(isa.PLAIN_REGISTERS), np.int64(isa.PLAIN_COUNT)
(E_BAD, E_LOAD, E_STORE, E_DIV, E_SHIFT, E_BOUNDS, E_ASSERT, E_TRAP, E_STACK, E_FUNCTION) = (np.int64(f) for f in list(Fault)[1:11])
E_CMD, E_UT_BUSY, E_ASYNC, E_UT_UNKNOWN = (
    np.int64(f) for f in (Fault.CMD_DOUBLE, Fault.UT_BUSY, Fault.ASYNC_NO_FABRIC, Fault.UT_UNKNOWN))
E_NO_TASK, E_COPY, E_QUEUE, E_NO_COLOR, E_QUEUE_COLOR = (
    np.int64(f) for f in (Fault.NO_TASK, Fault.COPY, Fault.QUEUE_BUSY, Fault.NO_COLOR, Fault.QUEUE_COLOR))
E_DSR_BUSY, E_REGISTER = np.int64(Fault.DSR_BUSY), np.int64(Fault.REGISTER)
E_WIDTH = np.int64(Fault.WIDTH)
E_OPERAND, E_UNSUPPORTED = np.int64(Fault.OPERAND), np.int64(Fault.UNSUPPORTED_DSD)
COMMAND_TASK = np.int64(128)
NEVER = np.int64(1 << 62)
ZERO, ONE, TWO, THREE = (np.int64(i) for i in range(4))

E_NO_QUEUE = np.int64(Fault.NO_QUEUE)

# results of helpers of the machine
OK_, WAIT, BAD = np.int64(0), np.int64(1), np.int64(-1)


@jit
def issue(W, U, C, T, M8, M16, M32, pe, row, fp, base, result, t):
    """DSDOP. Returns the cycles it costs the main thread, or -1 fault, -2 the main thread now waits, -3 come back at time t."""
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
        trace_op(W, pe, v, W[p + P_PC], t, cycles)
        return cycles
    if t > now:
        if W[v + V_FLAGS] & F_NOTED != 0:
            unnote(W)
        return np.int64(-3)
    if kind == 2 and W[v + V_FLAGS] & F_ASYNC == 0 and not fifo_suspends(W, T, v):
        cycles = run_in_memory(W, T, M8, M16, M32, pe, v)
        trace_op(W, pe, v, W[p + P_PC], t, cycles)
        if cycles < 0:
            return np.int64(-1)
        if result != fp:
            W[result] = 1 if W[v + V_K] == W[v + V_N] else 0
        return cycles
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
        if not start_thread(W, U, T, pe, v, dense, now + W[G_FSETUP]):
            return np.int64(-1)
        if result != fp:
            W[result] = 1
        return W[G_ISSUE]
    W[v + V_ID] = -1
    W[v + V_RESULT] = result if result != fp else W[p + P_REG]      # the spare register below the stack takes what nobody wants
    if not start_thread(W, U, T, pe, v, np.int64(0), now + W[G_FSETUP]):
        return np.int64(-1)
    return np.int64(-2)


@jit
def element_address(W, T, pe, v, k, size, writes):
    """Address of element k of a memory DSD, or -1 after a fault."""
    p = P0 + pe * PK
    tile = W[p + P_TILE]
    base = field(v, 4, 16)
    if v & 15 == KIND_MEM1D:
        at = base + k * (((field(v, 36, 16)) ^ 0x8000) - 0x8000) * size
    elif v & 15 == KIND_CIRCBUF:
        if (np.int64(1) << field(v, 52, 2)) != size:
            fail(W, E_WIDTH, pe, np.int64(1) << field(v, 52, 2), size, ZERO if writes else ONE)
            return np.int64(-1)
        row = np.int64(T[tile + TT_MEM4D]) + field(v, 20, 16) * M4_COLUMNS
        at = base + ((field(v, 36, 16) + k) % np.int64(T[row + M4_EXT + 1])) * size
    else:
        row = np.int64(T[tile + TT_MEM4D]) + field(v, 20, 16) * M4_COLUMNS
        at = base + walk_offset(T, row, k, size)
    obj = object_of(T, tile, base)
    if obj < 0 or at < np.int64(T[obj]) or at + size > np.int64(T[obj]) + np.int64(T[obj + 1]):
        if not stray(W, T, pe, base, at, at + size, size, writes):
            return np.int64(-1)
    return at


@jit
def element_load(W, U, T, M8, M16, M32, pe, v, k, ty, result):
    """ELD: element k of a DSD into register index `result`. OK_, WAIT (nothing there yet) or BAD."""
    p = P0 + pe * PK
    size = size_of(ty)
    what = v & 15
    bits = np.int64(0)
    if what == KIND_MEM1D or what == KIND_MEM4D or what == KIND_CIRCBUF:
        at = element_address(W, T, pe, v, k, size, False)
        if at < 0:
            return BAD
        bits = load_bits(M8, M16, M32, W[p + P_MEM] + at, size)
    elif what == KIND_FABIN:
        o = np.int64(G_SCRATCH + V_OPERANDS)
        if not decode(W, T, pe, o, np.int64(OPERAND_DSD), v, size, np.int64(1)):
            return BAD
        q = W[o + O_QUEUE]
        if U[q + Q_USER] != 0:
            fail(W, E_QUEUE, pe, np.int64(U[q + Q_ID]), ZERO, ZERO)
            return BAD
        now = W[G_NOW]
        e = head_entry(U, q, now)
        if e < 0:
            trace_element_wait(W, U, pe, q, False)
            return WAIT
        trace_go(W, pe, W[p + P_UT], np.int64(-1), now)
        bits = np.int64(U[e + E_VALUE])
        if W[o + O_AUX] & A_TRANSFORM != 0 and U[e + E_FLAGS] & 1 != 0:
            bits ^= W[p + P_TRANSFORM]
        if size == 2 and W[o + O_AUX] & 3 != 0:
            if k & 1 == 1 or k == W[o + O_LEN] - 1:
                pop_input(W, U, pe, q, now)
            bits = (bits >> 16) if k & 1 == 1 else bits & 0xffff
        else:
            pop_input(W, U, pe, q, now)
            if size == 2:
                bits &= 0xffff
    else:
        fail(W, E_OPERAND if what == 0 else E_UNSUPPORTED, pe, what, ZERO, ZERO)
        return BAD
    W[result] = wrap(bits, ty)
    return OK_


@jit
def element_store(W, U, T, M8, M16, M32, pe, v, k, ty, bits):
    """EST: store into element k of a DSD."""
    p = P0 + pe * PK
    size = size_of(ty)
    what = v & 15
    if what == KIND_MEM1D or what == KIND_MEM4D or what == KIND_CIRCBUF:
        at = element_address(W, T, pe, v, k, size, True)
        if at < 0:
            return BAD
        store_bits(M8, M16, M32, W[p + P_MEM] + at, size, bits)
        return OK_
    if what == KIND_FABOUT:
        o = np.int64(G_SCRATCH + V_OPERANDS)
        if not decode(W, T, pe, o, np.int64(OPERAND_DSD), v, size, np.int64(0)):
            return BAD
        q = W[o + O_QUEUE]
        if U[q + Q_USER] != 0:
            fail(W, E_QUEUE, pe, np.int64(U[q + Q_ID]), np.int64(1), np.int64(0))
            return BAD
        if U[q + Q_COUNT] >= U[q + Q_CAP]:
            U[q + Q_WAITER] = np.uint32(1)
            trace_element_wait(W, U, pe, q, True)
            return WAIT
        trace_go(W, pe, W[p + P_UT], np.int64(-1), W[G_NOW])
        slot = output_slot(W, U, pe, o)
        if slot < 0:
            return BAD
        bits = bits & 0xffff if size == 2 else bits & 0xffffffff
        flags = ((W[o + O_AUX] >> 2) & 1) | (slot << 8)
        if size == 2 and W[o + O_AUX] & 3 != 0:
            # packed: the low half is held in the queue record of the PE until its partner comes
            if k & 1 == 0 and k != W[o + O_LEN] - 1:
                W[p + P_MISC] = bits
                return OK_
            if k & 1 == 1:
                bits = W[p + P_MISC] | (bits << 16)
        if W[o + O_AUX] & A_TRANSFORM != 0 and flags & 1 != 0:
            bits ^= W[p + P_TRANSFORM]
        push_output(W, U, pe, q, bits, flags, W[G_NOW])
        return OK_
    fail(W, E_OPERAND if what == 0 else E_UNSUPPORTED, pe, what, ZERO, ZERO)
    return BAD


@jit
def queue_status(W, U, T, pe, outputs, full):
    """Bit mask over queue ids: which are empty, or full."""
    p = P0 + pe * PK
    tile = W[p + P_TILE]
    n = np.int64(T[tile + (TT_NOQ if outputs else TT_NIQ)])
    q = W[p + (P_OQ if outputs else P_IQ)]
    mask = np.int64(0)
    for _ in range(n):
        count = np.int64(U[q + Q_COUNT])
        hit = count >= np.int64(U[q + Q_DEPTH]) if full != 0 else count == 0
        if hit and np.int64(U[q + Q_ID]) < 8:
            mask |= np.int64(1) << np.int64(U[q + Q_ID])
        q += QK
    return mask


@jit
def system(W, U, T, pe, function, argument, t):
    """SYS instructions that need no waiting."""
    p = P0 + pe * PK
    if function == SYS_TSC:
        if argument == 0:
            W[p + P_TSCVAL] = t - W[p + P_TSC] if W[p + P_TSCON] != 0 else W[p + P_TSC]
        return (W[p + P_TSCVAL] >> (16 * (argument & 3))) & 0xffff
    if function == SYS_TSC_ENABLE:
        if argument == 1:
            W[p + P_TSCON] = 1
            W[p + P_TSC] = t
        elif W[p + P_TSCON] != 0:
            W[p + P_TSCON] = 0
            W[p + P_TSC] = t - W[p + P_TSC]         # a stopped counter keeps its value
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
            x = np.int64(0x2545f4914f6cdd1d) ^ (pe + 1)
        x ^= x << 13
        x ^= (x >> 7) & 0x01ffffffffffffff
        x ^= x << 17
        W[p + P_PRNG] = x
        return (x >> 24) & 0xffff
    if function == SYS_SET_PRNG:
        W[p + P_PRNG] = argument ^ np.int64(0x2545f4914f6cdd1d)
        return np.int64(0)
    if function == SYS_TASK_PRIORITY:
        bit = np.int64(1) << (argument & 63)
        if (argument >> 8) != 0:
            W[p + P_TASKPRIO] |= bit
        else:
            W[p + P_TASKPRIO] &= ~bit
    return np.int64(0)


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
        return ZERO if teardown_exit(W, U, pe, argument, now) else np.int64(-1)
    if function == SYS_TORN:
        pending = W[p + P_TORN]
        W[p + P_TORN] = 0
        return pending
    if function == SYS_FILTER_GET or function == SYS_FILTER_SET:
        at = filter_field(W, U, pe, argument)
        if at < 0:
            return at
        if function == SYS_FILTER_SET:
            W[at] = value & 0xffff
        return W[at]
    if function == SYS_TRANSFORM:
        W[p + P_TRANSFORM] = (argument & 63) << 26
        return ZERO
    if function == SYS_EXCEPTIONS:
        W[p + P_UNMASKED] = ~argument & 0xffff
        return ZERO
    if function == SYS_REGISTER_GET or function == SYS_REGISTER_SET:
        if W[p + P_PLAIN] != 0 and argument >= PLAIN and argument < PLAIN + PLAIN_COUNT:
            at = (W[p + P_PLAIN] >> 1) + argument - PLAIN
            if function == SYS_REGISTER_SET:
                M16[at] = np.uint16(value & 0xffff)
            return np.int64(M16[at])
        if not is_register(argument << 1, np.int64(2)):
            fail(W, E_REGISTER, pe, argument, ZERO, ZERO)
            return np.int64(-1)
        if function == SYS_REGISTER_GET:
            return register_load(W, U, pe, argument << 1)
        return ZERO if register_store(W, U, pe, argument << 1, value & 0xffff) else np.int64(-1)
    if function == SYS_FIFO_READ or function == SYS_FIFO_WRITE:
        f = W[p + P_FIFO] + (argument & 0xffff) * FFK
        W[f + (FF_READ if function == SYS_FIFO_READ else FF_WRITE)] = (argument >> 16) & 0x7fff
        return ZERO
    if function == SYS_FLUSHED:
        return W[p + P_FLUSHED]
    if function == SYS_FLUSH_EXIT:
        W[p + P_FLUSHED] &= ~(np.int64(1) << (argument & 15))
        return ZERO
    output = argument & 8 != 0
    q = W[p + (P_OQ if output else P_IQ)]
    for _ in range(np.int64(T[W[p + P_TILE] + (TT_NOQ if output else TT_NIQ)])):
        if np.int64(U[q + Q_ID]) == argument & 7:
            return flush(W, U, pe, q, argument & 15) if function == SYS_FLUSH else rebind(W, U, pe, q, output, argument >> 8, now)
        q += QK
    fail(W, E_NO_QUEUE, pe, np.int64(1 if output else 0), ZERO, ZERO)
    return np.int64(-1)


@cold
def flush(W, U, pe, q, bit):
    """Task 29 when the queue is empty."""
    p = P0 + pe * PK
    if U[q + Q_COUNT] == 0:
        W[p + P_FLUSHED] |= np.int64(1) << bit
        W[p + P_ACTIVE] |= np.int64(1 << 29)
    else:
        U[q + Q_WAITER] = np.uint32(np.int64(U[q + Q_WAITER]) | 2)
    return ZERO


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


@inline
def normal(W, v, ty):
    """Normal form of an integer of type ty, without a branch: mask and sign come from a table."""
    sign = W[G_SIGN + ty]
    return ((v & W[G_MASK + ty]) ^ sign) - sign


@inline
def load_scalar(W, M8, M16, M32, at, ty, size):
    """LD: value in normal form."""
    if at & (size - 1) == 0 and size != 8:
        if size == 4:
            return normal(W, np.int64(M32[at >> 2]), ty)
        if size == 2:
            return normal(W, np.int64(M16[at >> 1]), ty)
        return normal(W, np.int64(M8[at]), ty)
    return normal(W, load_bytes(M8, at, size), ty)


@jit
def load_bytes(M8, at, size):
    r = np.int64(0)
    for i in range(size):
        r |= np.int64(M8[at + i]) << (8 * i)
    return r


@jit
def store_bytes(M8, at, size, v):
    for i in range(size):
        M8[at + i] = np.uint8((v >> (8 * i)) & 0xff)


@inline
def store_scalar(M8, M16, M32, at, size, v):
    """ST."""
    if at & (size - 1) == 0 and size != 8:
        if size == 4:
            M32[at >> 2] = np.uint32(v & 0xffffffff)
        elif size == 2:
            M16[at >> 1] = np.uint16(v & 0xffff)
        else:
            M8[at] = np.uint8(v & 0xff)
    else:
        store_bytes(M8, at, size, v)


@jit
def edit_dsd(op, v, x, size):
    """DBASE, DINC, DLEN, DSTRIDE."""
    if op == DBASE:
        if v & 15 == KIND_CIRCBUF:
            v &= ~(np.int64(0xffff) << 36)          # it begins at the start of its new ring
        tag = np.int64(1) if size == 2 else np.int64(2) if size == 4 else np.int64(0)
        v = (v & ~((np.int64(0xffff) << 4) | (np.int64(3) << 52))) | ((x & 0xffff) << 4) | (tag << 52)
        return v
    if op == DINC:
        base = field(v, 4, 16) + x * size
        return (v & ~(np.int64(0xffff) << 4)) | ((base & 0xffff) << 4)
    if op == DLEN:
        return (v & ~(np.int64(0xffff) << 20)) | ((x & 0xffff) << 20)
    return (v & ~(np.int64(0xffff) << 36)) | ((x & 0xffff) << 36)


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
        return np.int64(1) if to_f64(v, c if c >= F16 else ty) != 0.0 else np.int64(0)
    if op == BINS:
        shift = c & 0xff
        width = (c >> 8) & 0xff
        m = np.int64(-1) if width >= 64 else ((np.int64(1) << width) - 1)
        return (W[fp + a] & ~(m << shift)) | ((v & m) << shift)
    if op == DSRGET:
        return W[W[p + P_DSR] + b * 2]
    if op == DCOUNT:
        if v & 15 == KIND_MEM4D or v & 15 == KIND_CIRCBUF:
            row = np.int64(T[W[p + P_TILE] + TT_MEM4D]) + field(v, 20, 16) * M4_COLUMNS
            return walk_length(T, row)
        return field(v, 20, 16)
    return edit_dsd(op, v, W[fp + c], size_of(ty))


# what special() returns besides cycles
R_FAULT, R_WAIT, R_LATER, R_STALL, R_LAST = (np.int64(i) for i in (-1, -2, -3, -4, -5))


@cold
def checked(W, T, pe, op, ty, fp, a, b, c):
    """An instruction on floats of a program that may unmask exceptions (exceptions.py). Its extra cycles, or R_FAULT."""
    if op >= O_FADD and op <= O_FDIV:
        r = float_op(op - O_FADD, W[fp + b], W[fp + c], ty)
    else:
        r = value_op(W, T, P0 + pe * PK, op, ty, fp, a, b, c)
    if W[P0 + pe * PK + P_UNMASKED] != 0:
        y = W[fp + b + 1] if op == O_FUN2 else W[fp + c] if op <= O_FDIV else ZERO
        if stops(W, pe, scalar_exceptions(op, ty, c, W[fp + b], y, r)):
            return R_FAULT
    W[fp + a] = r
    return ZERO


@jit
def special(W, U, C, T, M8, M16, M32, pe, op, ty, a, b, c, fp, pc, t):
    """Instructions that touch more than registers and memory. t is the time before the instruction.

    Returns the extra cycles, or: R_FAULT, R_WAIT (the main thread waits for its vector operation), R_LATER (the instruction has to
    run at time t, which has not come), R_STALL (nothing there yet: try again when woken), R_LAST (done; leave the rest for the next
    cycle).
    """
    p = P0 + pe * PK
    now = W[G_NOW]
    x = fp + a
    if op == DSDOP:
        W[p + P_PC] = pc            # threads remember where they were started
        return issue(W, U, C, T, M8, M16, M32, pe, a, fp, b, fp + c, t)
    if op == ELD or op == EST:
        v = W[fp + b]
        W[p + P_PC] = pc
        if (v & 15 == KIND_FABIN or v & 15 == KIND_FABOUT) and t > now:
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
        if np.int64(T[np.int64(T[W[p + P_TILE] + TT_TASKS]) + v * KK]) == 0:
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
        W[p + P_BLOCKED] &= ~(np.int64(1) << (W[x] & 63))
        trace_control(W, pe, t, DO_UNBLOCK, W[x] & 63, pc)
        return ZERO
    if op == SYS:
        if c == SYS_CMD_DONE:
            if t > now:
                return R_LATER
            if W[p + P_CMDOPEN] == 0:
                fail(W, E_CMD, pe, ZERO, ZERO, ZERO)
                return R_FAULT
            W[p + P_CMDOPEN] = 0
            W[G_CMDS] -= 1
            # the clock stops at the end of this cycle: the host sees the rest of the task still to run
            return R_LAST if W[G_UNTIL] == 1 and W[G_CMDS] == 0 else ZERO
        if c == SYS_IQ_STATUS or c == SYS_OQ_STATUS:
            if t > now:
                return R_LATER
            W[x] = queue_status(W, U, T, pe, c == SYS_OQ_STATUS, W[fp + b])
            return ZERO
        if c >= SYS_FIFO_READ:
            if t > now:
                return R_LATER
            r = configure(W, U, T, M16, pe, c, W[fp + b], W[fp + b + 1])
            if W[G_FAULT] != 0:
                return R_FAULT
            if a != 0:
                W[x] = r
            return ZERO
        r = system(W, U, T, pe, c, W[fp + b], t)
        if a != 0:
            W[x] = r
        return ZERO
    if op == PRINT:
        if W[G_PLOGN] >= W[G_PLOGCAP]:
            return R_LATER          # the loop hands the log over before the next cycle
        log = W[G_PLOG] + W[G_PLOGN] * LK
        W[log] = t
        W[log + 1] = pe
        W[log + 2] = c | (ty << 8) | (b << 16)
        W[log + 3] = W[x]
        W[G_PLOGN] += 1
        return ZERO
    if (op == DSRLD or op == DSRBASE) and W[p + P_UTMASK] > 1:
        user = microthread_with(W, T, pe, a)
        if user != 0:
            if t > now:
                return R_LATER      # the operation may have ended by then
            fail(W, E_DSR_BUSY, pe, a, user - 1, ZERO)
            return R_FAULT
    if op == DSRLD:
        d = W[p + P_DSR] + a * 2
        W[d] = W[fp + b]
        W[d + 1] = 0
        if c >= 0:
            config = 1 | (c << 1)
            if np.int64(T[c + RC_ACTION]) != 0:
                config |= (W[fp + b + 1] & 0xff) << 32
            if np.int64(T[c + RC_ONCTRL_SET]) != 0:
                config |= (W[fp + b + 2] & 0xff) << 40
            W[d + 1] = config
        return ZERO
    if op == DSRBASE:
        d = W[p + P_DSR] + a * 2
        W[d] = edit_dsd(DBASE, W[d], W[fp + b], size_of(ty))
        return ZERO
    if op == DSRADV:
        save_dsr(W, T, pe, a, W[fp + b], np.int64(1) << field(W[W[p + P_DSR] + a * 2], 52, 2))
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
        if n < 0 or to < 0 or at < 0 or to + n > size or at + n > size:
            fail(W, E_COPY, pe, to, at, n)
            return R_FAULT
        mem = W[p + P_MEM]
        for i in range(n):
            M8[mem + to + i] = M8[mem + at + i]
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


@jit
def execute(W, U, C, T, M8, M16, M32, pe):
    """Run the main thread from its saved state, and save it again.

    The chain below tests one opcode at a time, by equality only: LLVM makes one jump table of it. (Ranges broke it into pieces
    and cost two thirds of the speed.)
    """
    p = P0 + pe * PK
    now = W[G_NOW]
    pc = W[p + P_PC]
    fp = W[p + P_FP]
    t = W[p + P_TIME]
    mem = W[p + P_MEM]
    memsize = W[p + P_MEMSIZE]
    fuel = W[G_QUANTUM]
    taken = W[G_TAKEN]
    fault = ZERO
    x = ZERO
    y = ZERO
    ra = ZERO
    cost = ZERO
    W[p + P_ST] = ST_RUN
    if W[p + P_STALL] != 0:
        t = now             # it waited for an element on the fabric until now
        W[p + P_STALL] = 0
    while fuel > 0:
        w = pc * 4
        a = np.int64(C[w + 1])
        b = np.int64(C[w + 2])
        c = np.int64(C[w + 3])
        w = np.int64(C[w])
        op = w & 0xff
        ty = (w >> 8) & 15
        trace_inst(W, pe, t, pc, op & ~CHECKED)
        pc += 1
        cost = w >> 16
        t += cost
        fuel -= 1
        ra = fp + a
        if op == MOV:
            W[ra] = W[fp + b]
        elif op == LDI:
            W[ra] = b
        elif op == LDIH:
            W[ra] = (W[ra] & 0xffffffff) | (b << 32)
        elif op == SEL:
            if W[fp + b] == 0:
                W[ra] = W[fp + c]
        elif op == LD:
            x = W[fp + b] + c
            y = size_of(ty)
            if x < 0 or x + y > memsize:
                fault = E_LOAD
                break
            W[ra] = load_scalar(W, M8, M16, M32, mem + x, ty, y)
        elif op == ST:
            x = W[fp + b] + c
            y = size_of(ty)
            if x < 0 or x + y > memsize:
                fault = E_STORE
                break
            store_scalar(M8, M16, M32, mem + x, y, W[ra])
        elif op == ADD:
            W[ra] = normal(W, W[fp + b] + W[fp + c], ty)
        elif op == SUB:
            W[ra] = normal(W, W[fp + b] - W[fp + c], ty)
        elif op == MUL:
            W[ra] = normal(W, W[fp + b] * W[fp + c], ty)
        elif op == ADDI:
            W[ra] = normal(W, W[fp + b] + c, ty)
        elif op == MULI:
            W[ra] = normal(W, W[fp + b] * c, ty)
        elif op == AND:
            W[ra] = W[fp + b] & W[fp + c]
        elif op == OR:
            W[ra] = W[fp + b] | W[fp + c]
        elif op == XOR:
            W[ra] = W[fp + b] ^ W[fp + c]
        elif op == NEG:
            W[ra] = normal(W, -W[fp + b], ty)
        elif op == NOT:
            W[ra] = normal(W, ~W[fp + b], ty)
        elif op == SHL:
            x = W[fp + c]
            y = size_of(ty) * 8
            if x < 0 or x >= y:
                fault = E_SHIFT
                break
            W[ra] = normal(W, W[fp + b] << x, ty)
        elif op == SHR:
            x = W[fp + c]
            y = size_of(ty) * 8
            if x < 0 or x >= y:
                fault = E_SHIFT
                break
            # normal forms: zero- and sign-extended values shift alike; only U64 has its sign bit in the way
            v = W[fp + b] >> x
            if ty == U64 and x > 0:
                v &= (np.int64(1) << (64 - x)) - 1
            W[ra] = v
        elif op == WRAP:
            if c == 1:
                W[ra] = 1 if W[fp + b] != 0 else 0
            else:
                W[ra] = normal(W, W[fp + b], ty)
        elif op == LNOT:
            W[ra] = 1 if W[fp + b] == 0 else 0
        elif op == EQ:
            if ty < F16:
                W[ra] = 1 if W[fp + b] == W[fp + c] else 0
            else:
                W[ra] = 1 if equal(W[fp + b], W[fp + c], ty) else 0
        elif op == NE:
            if ty < F16:
                W[ra] = 1 if W[fp + b] != W[fp + c] else 0
            else:
                W[ra] = 0 if equal(W[fp + b], W[fp + c], ty) else 1
        elif op == LT:
            if ty < F16 and ty != U64:
                W[ra] = 1 if W[fp + b] < W[fp + c] else 0
            else:
                W[ra] = 1 if less(W[fp + b], W[fp + c], ty) else 0
        elif op == LE:
            if ty < F16 and ty != U64:
                W[ra] = 1 if W[fp + b] <= W[fp + c] else 0
            else:
                W[ra] = 1 if less_equal(W[fp + b], W[fp + c], ty) else 0
        elif op == FADD:
            W[ra] = float_op(ZERO, W[fp + b], W[fp + c], ty)
        elif op == FSUB:
            W[ra] = float_op(ONE, W[fp + b], W[fp + c], ty)
        elif op == FMUL:
            W[ra] = float_op(TWO, W[fp + b], W[fp + c], ty)
        elif op == FDIV:
            W[ra] = float_op(THREE, W[fp + b], W[fp + c], ty)
        elif op == FNEG:
            W[ra] = W[fp + b] ^ (0x80000000 if ty == F32 else 0x8000)
        elif op == JMP:
            pc = a
        elif op == JZ:
            if W[ra] == 0:
                pc = b
                t += taken
        elif op == JNZ:
            if W[ra] != 0:
                pc = b
                t += taken
        elif op == CALL:
            if fp + b + np.int64(T[a + 2]) > W[p + P_REGEND]:
                x = W[p + P_REGEND] - W[p + P_REG]
                fault = E_STACK
                break
            fp += b
            W[fp - 1] = pc
            W[fp] = 0
            pc = np.int64(T[a])
        elif op == TCALL:
            if fp + np.int64(T[a + 2]) > W[p + P_REGEND]:
                x = W[p + P_REGEND] - W[p + P_REG]
                fault = E_STACK
                break
            pc = np.int64(T[a])
        elif op == RET:
            pc = W[fp - 1]
            if pc < 0:
                # end of the task
                t += W[G_TASK_END]
                trace_end(W, pe, t)
                W[p + P_ST] = ST_IDLE
                W[p + P_BUSY] += t - W[p + P_BUSYFROM]
                W[p + P_TASK] = -1
                break
            fp -= np.int64(C[pc * 4 - 2])        # word b of the call
        elif op == CHK:
            x = W[ra]
            y = b
            if x < 0 or x >= y:
                fault = E_BOUNDS
                break
        elif op == ASSERT:
            if W[ra] == 0:
                x = b
                fault = E_ASSERT
                break
        elif op == TRAP:
            x = a
            fault = E_TRAP
            break
        elif op == NOP:
            pass
        elif op == DIV or op == REM:
            if W[fp + c] == 0:
                fault = E_DIV
                break
            W[ra] = value_op(W, T, p, op, ty, fp, a, b, c)
        elif op >= FUN1 and op <= F2B or op >= DBASE and op <= BINS or op == DSRGET or op == DCOUNT:
            W[ra] = value_op(W, T, p, op, ty, fp, a, b, c)
        else:
            r = special(W, U, C, T, M8, M16, M32, pe, op, ty, a, b, c, fp, pc - 1, t - cost)
            if op == CALLR and r >= 0:
                if fp + b + np.int64(T[r + 2]) > W[p + P_REGEND]:
                    x = W[p + P_REGEND] - W[p + P_REG]
                    fault = E_STACK
                    break
                fp += b
                W[fp - 1] = pc
                W[fp] = 0
                pc = np.int64(T[r])
            elif r >= 0:
                t += r
            elif r == R_LATER:
                pc -= 1
                t -= cost
                trace_later(W, pe, t, pc)
                break
            elif r == R_STALL:
                pc -= 1
                t = now
                W[p + P_STALL] = 1
                break
            elif r == R_WAIT:
                W[p + P_ST] = ST_OP
                break
            elif r == R_LAST:
                break
            else:
                W[G_FPC] = pc - 1
                break
    if (fault == E_LOAD or fault == E_STORE) and is_register(x, y):
        # not memory after all: a register of the router, in the cycle in which it is accessed
        if t - cost > now:
            pc -= 1
            t -= cost
        elif fault == E_LOAD:
            W[ra] = register_load(W, U, pe, x)
        else:
            register_store(W, U, pe, x, W[ra] & 0xffff)
        fault = ZERO
        if W[G_FAULT] != 0:
            W[G_FPC] = pc - 1
    if fault != 0:
        fail(W, fault, pe, x, y, ZERO)
        W[G_FPC] = pc - 1
    W[p + P_PC] = pc
    W[p + P_FP] = fp
    W[p + P_TIME] = t
    W[G_INSTR] += W[G_QUANTUM] - fuel


@jit
def begin(W, T, pe, function, task, t):
    """Open the empty frame of a task or command at time t."""
    p = P0 + pe * PK
    fp = W[p + P_REG] + 2           # below: a spare register and the return link
    W[fp - 1] = -1
    W[fp] = 0
    W[p + P_FP] = fp
    W[p + P_PC] = np.int64(T[function])
    W[p + P_ST] = ST_RUN
    W[p + P_TASK] = task
    W[p + P_BUSYFROM] = t
    W[p + P_TIME] = t + W[G_TASK_START]
    W[p + P_TASKS] += 1
    W[p + P_RR] = task & 63
    flight(W, EV_TASK, pe, t, W[p + P_PC], task)
    trace_task(W, pe, t, task, W[p + P_PC])
    return fp


@cold
def rotate(W, T, p, pair):
    """Count a start of a rotating task, pair 1 or 2. True if it is the alternate's turn: control task 0, with the same wavelet."""
    count = p + P_ROTATE + pair - 1
    if W[count] == np.int64(T[W[p + P_TILE] + TT_LIMIT + pair - 1]):
        W[count] = 0
        return True
    W[count] += 1
    return False


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
    control = np.int64(0)       # ids ready through a control wavelet
    nq = np.int64(T[tile + TT_NIQ])
    q = W[p + P_IQ]
    i = np.int64(0)
    while i < nq:
        e = head_entry(U, q, now)
        if e >= 0 and U[q + Q_USER] == 0:
            channel = np.int64(U[q + Q_ID]) if W[G_WSE3] != 0 else np.int64(U[q + Q_COLOR])
            if (blocked >> channel) & 1 == 0:
                if np.int64(U[e + E_FLAGS]) & 1 == 0:
                    if np.int64(T[table + channel * KK]) == 1:
                        ready |= np.int64(1) << channel
                else:
                    task = (np.int64(U[e + E_VALUE]) >> 16) & 63
                    if np.int64(T[table + (64 + task) * KK]) != 0:
                        control |= np.int64(1) << task
                    else:
                        pop_input(W, U, pe, q, now)     # nobody waits for this id: consumed
                        continue                        # look at the next entry of this queue
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
        if np.int64(T[entry]) == 2:             # local
            W[p + P_ACTIVE] &= ~(np.int64(1) << task)
            begin(W, T, pe, np.int64(T[entry + 1]), task, now)
            return True
    else:
        entry = table + (64 + task) * KK
    # find the wavelet
    q = W[p + P_IQ]
    wanted_control = (ready >> task) & 1 == 0
    for _ in range(nq):
        e = head_entry(U, q, now)
        if e >= 0 and U[q + Q_USER] == 0:
            channel = np.int64(U[q + Q_ID]) if W[G_WSE3] != 0 else np.int64(U[q + Q_COLOR])
            is_control = np.int64(U[e + E_FLAGS]) & 1 != 0
            value = np.int64(U[e + E_VALUE])
            hit = (value >> 16) & 63 == task if is_control else channel == task
            if (blocked >> channel) & 1 == 0 and is_control == wanted_control and hit:
                pop_input(W, U, pe, q, now)
                if np.int64(T[entry + 3]) >> 16 != 0 and rotate(W, T, p, np.int64(T[entry + 3]) >> 16):
                    entry = table + 64 * KK
                    task = np.int64(0)
                    is_control = True
                fp = begin(W, T, pe, np.int64(T[entry + 1]), task + 64 if is_control else task, now)
                arguments(W, T, fp, entry, value)
                return True
        q += QK
    return False


@jit
def arguments(W, T, fp, entry, value):
    """Split a payload equally among the arguments: low half first (facts 5.2)."""
    n = np.int64(T[entry + 2])
    types = np.int64(T[entry + 3])
    for i in range(n):
        ty = (types >> (4 * i)) & 15
        v = value
        if size_of(ty) == 2:
            v = (value >> (16 * i)) & 0xffff
        W[fp + 1 + i] = wrap(v, ty)


@inline
def compute(W, U, C, T, M8, M16, M32, pe, now):
    """One visit to a compute element: the vector unit moves, then the main thread goes on or picks a task."""
    p = P0 + pe * PK
    wake = np.int64(NEVER)
    if W[p + P_EXPRESS] != 0:
        leave_express(W, U, pe, now)
    if W[p + P_UTMASK] != 0:
        next_step = vector_phase(W, U, T, M8, M16, M32, pe, now)
        if W[G_FAULT] != 0:
            return
        if next_step > now and next_step < wake:
            wake = next_step
    threads = W[p + P_UTMASK]
    while True:
        state = W[p + P_ST]
        if state == ST_OP:
            break
        if W[p + P_TIME] > now:
            if W[p + P_TIME] < wake:
                wake = W[p + P_TIME]
            break
        if state == ST_IDLE:
            if not pick(W, U, T, pe, now):
                if W[p + P_CMD] != 0 and W[p + P_CMDTIME] < wake:
                    wake = W[p + P_CMDTIME]
                break
        execute(W, U, C, T, M8, M16, M32, pe)
        if W[G_FAULT] != 0:
            return
        if W[p + P_ST] == ST_RUN and W[p + P_TIME] <= now:
            if W[p + P_STALL] == 0:
                wake = now + 1          # free instructions only, a full log, or the end of the command: go on next cycle
            break
    started = W[p + P_UTMASK] & ~threads
    while started != 0:
        i = ctz(started)
        started &= started - 1
        at = W[W[p + P_UT] + i * TK + V_START]
        if at <= now:
            at = now + 1
        if at < wake:
            wake = at
    if wake < NEVER:
        wake_ce(W, pe, wake)
    if W[p + P_NOEXPRESS] == 0 and W[p + P_UTMASK] != 0 and W[G_EXPRESS] != 0:
        enter_express(W, U, M16, M32, pe, now)
