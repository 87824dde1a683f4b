# ruff: noqa: F403, F405
"""Vector operations: operands, walks, bulk execution in memory, and element-by-element execution on the fabric.

An operation is a thread record (state.py). One whose operands are all in memory runs at once and costs set-up + elements / width cycles;
one with a fabric operand moves one wavelet per cycle, on the main thread (synchronous) or on a microthread (asynchronous).
Length: that of src0 if not zero, else src1, else the destination, else 1 (facts 6.12); 0x7fff has no end.
"""

from __future__ import annotations

import numpy as np

from ..ir import isa
from ..ir.dsdops import DsdOpCode
from .alu import (
    ADDC16,
    CLASS_HALF,
    CLASS_MOVE16,
    CLASS_MOVE32,
    CLASS_NONE,
    CLASS_SINGLE,
    CLASS_WORD,
    copy_kernel,
    element,
    half_kernel,
    single_kernel,
    word_kernel,
)
from .exceptions import stops, vector_exceptions
from .express import may_express
from .faults import Fault
from .jit import cold, ctz, inline, jit
from .router import append, wake_channel
from .state import *
from .trace import DO_ACTIVATE, DO_UNBLOCK, EV_DONE, flight, trace_control, trace_done, trace_go, trace_issue, trace_send, trace_stall, trace_take
from .wheel import fail, wake_ce, wake_router

(KIND_NONE, KIND_MEM1D, KIND_MEM4D, KIND_FABIN, KIND_FABOUT) = (np.int64(k) for k in list(isa.DsdKind)[:5])
KIND_FIFO, KIND_CIRCBUF = np.int64(isa.DsdKind.FIFO), np.int64(isa.DsdKind.CIRCBUF)
FIFO_BASE, FIFO_CAPACITY, FIFO_SIZE, FIFO_PUSH, FIFO_POP, FIFO_COLUMNS = (np.int64(i) for i in (
    isa.FIFO_BASE, isa.FIFO_CAPACITY, isa.FIFO_SIZE, isa.FIFO_PUSH, isa.FIFO_POP, isa.FIFO_COLUMNS))
OPERAND_DSD, OPERAND_DSR, OPERAND_SCALAR, OPERAND_POINTER = (np.int64(i) for i in range(1, 5))
ENDLESS = np.int64(isa.INFINITE)
OP_DST, OP_DST_DSR, OP_ASYNC, OP_ACTION, OP_ONCTRL, OP_ONCTRL_SET, OP_UT, OP_PRIO, OP_INDEX = (np.int64(i) for i in (
    isa.OP_DST, isa.OP_DST_DSR, isa.OP_ASYNC, isa.OP_ACTION, isa.OP_ONCTRL, isa.OP_ONCTRL_SET, isa.OP_UT, isa.OP_PRIO,
    isa.OP_INDEX))
RC_ASYNC, RC_ACTION, RC_ONCTRL, RC_ONCTRL_SET, RC_UT, RC_PRIO, RC_SAVE = (np.int64(i) for i in (
    isa.RC_ASYNC, isa.RC_ACTION, isa.RC_ONCTRL, isa.RC_ONCTRL_SET, isa.RC_UT, isa.RC_PRIO, isa.RC_SAVE))
M4_RANK, M4_EXT, M4_STRIDE, M4_COLUMNS, M4_RING, M4_LENGTH = (np.int64(i) for i in (
    isa.M4_RANK, isa.M4_EXT, isa.M4_STRIDE, isa.M4_COLUMNS, isa.M4_RING, isa.M4_LENGTH))
DFILT = np.int64(DsdOpCode.DFILT)
CHUNK = np.int64(256)         # elements a bulk operation stages at a time; scratch for three operands is at the start of the memories
SCRATCH = 4 * CHUNK     # bytes per operand
MEMORY_START = 4 * SCRATCH

FWIDTH, FWALK, FNOWHERE = np.int64(Fault.WIDTH), np.int64(Fault.WALK), np.int64(Fault.WALK_NOWHERE)
FNO_QUEUE, FNO_COLOR, FUNSUPPORTED = np.int64(Fault.NO_QUEUE), np.int64(Fault.NO_COLOR), np.int64(Fault.UNSUPPORTED_DSD)
FFIFO = np.int64(Fault.FIFO)
FIFO_TEST, FIFO_TERMINATE, FIFO_SUSPEND, FIFO_FAULT, FIFO_ACTIONS = (np.int64(i) for i in (
    isa.FIFO_TEST, isa.FIFO_TERMINATE, isa.FIFO_SUSPEND, isa.FIFO_FAULT, isa.FIFO_ACTIONS))
FOPERAND, FASYNC, FUT_BUSY = np.int64(Fault.OPERAND), np.int64(Fault.ASYNC_NO_FABRIC), np.int64(Fault.UT_BUSY)
FQUEUE_COLOR = np.int64(Fault.QUEUE_COLOR)
FQUEUE_BUSY, FUT_UNKNOWN, FENDLESS = np.int64(Fault.QUEUE_BUSY), np.int64(Fault.UT_UNKNOWN), np.int64(Fault.ENDLESS_WALK)

ZERO = np.int64(0)
PROGRESS, STALLED, FINISHED, FAILED = np.int64(0), np.int64(1), np.int64(2), np.int64(-1)


@inline
def field(v, first, width):
    return (v >> first) & ((1 << width) - 1)


@inline
def sfield(v, first, width):
    """Signed field."""
    half = 1 << (width - 1)
    return (((v >> first) & ((1 << width) - 1)) ^ half) - half


@inline
def load_bits(M8, M16, M32, at, size):
    """Little-endian load of 2 or 4 bytes at any even address (1 byte at any), zero-extended."""
    if size == 2:
        return np.int64(M16[at >> 1])
    if size == 4:
        if at & 3 == 0:
            return np.int64(M32[at >> 2])
        return np.int64(M16[at >> 1]) | (np.int64(M16[(at >> 1) + 1]) << 16)
    return np.int64(M8[at])


@inline
def store_bits(M8, M16, M32, at, size, v):
    if size == 2:
        M16[at >> 1] = np.uint16(v & 0xffff)
    elif size == 4:
        if at & 3 == 0:
            M32[at >> 2] = np.uint32(v & 0xffffffff)
        else:
            M16[at >> 1] = np.uint16(v & 0xffff)
            M16[(at >> 1) + 1] = np.uint16((v >> 16) & 0xffff)
    else:
        M8[at] = np.uint8(v & 0xff)


@jit
def object_of(T, tile, address):
    """Row of the memory object that contains an address, or -1 (binary search)."""
    first = np.int64(T[tile + TT_OBJS])
    lo = np.int64(0)
    hi = np.int64(T[tile + TT_NOBJS])
    while lo < hi:
        mid = (lo + hi) >> 1
        if np.int64(T[first + mid * 2]) <= address:
            lo = mid + 1
        else:
            hi = mid
    if lo == 0:
        return np.int64(-1)
    row = first + (lo - 1) * 2
    if address < np.int64(T[row]) + np.int64(T[row + 1]):
        return row
    return np.int64(-1)


@cold
def note(W, T, pe, kind, what, a, b, c):
    """Record what the machine would not report, once per source line and `what`; later times are counted."""
    key = kind | what << 4 | np.int64(T[W[G_LINES] + W[P0 + pe * PK + P_PC]]) << 24
    r = W[G_NOTES]
    i = np.int64(0)
    while i < NOTES and W[r + N_COUNT] != 0 and W[r + N_KEY] != key:
        r += NK + W[G_L0]
        i += 1
    if i == NOTES:
        return                      # so many different ones are recorded already
    if W[r + N_COUNT] == 0:
        W[r + N_KEY] = key
        W[r + N_CYCLE] = W[G_NOW]
        W[r + N_PE] = pe
        W[r + N_TASK] = W[P0 + pe * PK + P_TASK]
        W[r + N_A] = a
        W[r + N_B] = b
        W[r + N_C] = c
    W[r + N_COUNT] += 1
    W[r + NK + (pe >> 6)] |= np.int64(1) << (pe & 63)
    if W[G_SCRATCH + V_FLAGS] & F_NOTED == 0:
        W[G_SCRATCH + V_FLAGS] |= F_NOTED
        W[G_NOTED] = 0
    W[G_NOTED] |= np.int64(1) << i


@cold
def unnote(W):
    """The instruction comes back later: what was noted about it does not count yet."""
    while W[G_NOTED] != 0:
        i = ctz(W[G_NOTED])
        W[G_NOTED] &= W[G_NOTED] - 1
        W[W[G_NOTES] + i * (NK + W[G_L0]) + N_COUNT] -= 1


@cold
def note_length(W, U, T, pe, v, j):
    """The length of operand j is not that of the operation."""
    d = v + V_OPERANDS
    color = np.int64(0)
    for i in range(4):
        o = d + i * OK
        if W[o + O_KIND] == K_IN:
            color = np.int64(U[W[o + O_QUEUE] + Q_COLOR]) + 1
        elif W[o + O_KIND] == K_OUT:
            ch = np.int64(U[pe * RK + R_BASE]) + W[o + O_STRIDE] * 16
            color = ((np.int64(U[ch + CH_CONFIG]) >> 12) & 31) + 1
    note(W, T, pe, np.int64(N_LENGTH), j, W[v + V_N], W[d + j * OK + O_LEN], color)


@cold
def stray(W, T, pe, base, low, high, size, writes):
    """A vector that starts at address `base` covers bytes low..high and leaves its variable. The machine does not check that: it goes on
    where the memory goes on, and is noted. Outside the PE's memory, or if the run is strict, it is a fault. True if the access may
    happen."""
    p = P0 + pe * PK
    tile = W[p + P_TILE]
    first = np.int64(T[tile + TT_OBJS])
    obj = np.int64(-1)
    for i in range(np.int64(T[tile + TT_NOBJS])):       # the variable at base, or the last one before it
        if np.int64(T[first + i * 2]) > base:
            break
        obj = first + i * 2
    if obj < 0 or base < 0 or base + size > W[p + P_MEMSIZE]:
        fail(W, FNOWHERE, pe, base, ZERO, ZERO)
        return False
    start = np.int64(T[obj])
    if low < np.int64(T[first]) or high > W[p + P_MEMSIZE] or W[G_STRICT] != 0:
        fail(W, FWALK, pe, low, high, start)
        return False
    note(W, T, pe, np.int64(N_WRITE) if writes else np.int64(N_READ), start, low, high, size)
    return True


@jit
def is_ring(T, row):
    """Is the walk of a row of the table that of a circbuf_dsd?"""
    return np.int64(T[row + M4_EXT]) == M4_RING


@jit
def walk_length(T, row):
    """Elements of a mem4d walk; a ring's walk is as long as its circbuf_dsd, and may go on."""
    if is_ring(T, row):
        return np.int64(T[row + M4_LENGTH])
    n = np.int64(1)
    for i in range(np.int64(T[row + M4_RANK])):
        n *= np.int64(T[row + M4_EXT + i])
    return n


@jit
def walk_offset(T, row, k, size):
    """Byte offset of element k of a mem4d walk. Jump strides: natural step = jump + sum of inner (n - 1) * natural step."""
    rank = np.int64(T[row + M4_RANK])
    offset = np.int64(0)
    inner = np.int64(0)
    for d in range(rank):                       # innermost first
        n = np.int64(T[row + M4_EXT + rank - 1 - d])
        step = np.int64(T[row + M4_STRIDE + d]) + inner
        if n > 0:
            offset += (k % n) * step
            k = k // n
        inner += step * (n - 1)
    return offset * size


@jit
def span_of(W, T, o, n):
    """First byte, and byte after the last, of a memory walk of n elements."""
    low = W[o + O_ADDR]
    high = low
    size = W[o + O_SIZE]
    if W[o + O_KIND] == K_MEM:
        last = low + (n - 1) * W[o + O_STRIDE]
        if last < low:
            low = last
        else:
            high = last
    elif is_ring(T, W[o + O_QUEUE]):
        low -= (W[o + O_AUX] & 0xffff) * size
        high = low + (np.int64(T[W[o + O_QUEUE] + M4_EXT + 1]) - 1) * size
    else:
        row = W[o + O_QUEUE]
        rank = np.int64(T[row + M4_RANK])
        inner = np.int64(0)
        for d in range(rank):
            extent = np.int64(T[row + M4_EXT + rank - 1 - d])
            step = np.int64(T[row + M4_STRIDE + d]) + inner
            reach = step * (extent - 1) * size
            if reach < 0:
                low += reach
            else:
                high += reach
            inner += step * (extent - 1)
    return low, high + size


@jit
def check_walk(W, T, pe, o, n, writes):
    """The first n elements of a memory walk should stay inside the variable that contains the base address. False after a fault."""
    base = W[o + O_ADDR]
    low, high = span_of(W, T, o, n)
    obj = object_of(T, W[P0 + pe * PK + P_TILE], base)
    if obj < 0 or low < np.int64(T[obj]) or high > np.int64(T[obj]) + np.int64(T[obj + 1]):
        return stray(W, T, pe, base, low, high, W[o + O_SIZE], writes)
    return True


@jit
def decode(W, T, pe, o, kind, v, size, position):
    """Set up operand record `o` from a DSD, scalar or pointer. False after a fault."""
    p = P0 + pe * PK
    W[o + O_SIZE] = size
    W[o + O_LEN] = 0
    W[o + O_AUX] = 0
    W[o + O_STRIDE] = 0
    if kind == OPERAND_SCALAR:
        W[o + O_KIND] = K_SCALAR
        W[o + O_ADDR] = v & 0xffff if size == 2 else v & 0xffffffff
        return True
    if kind == OPERAND_POINTER:
        W[o + O_KIND] = K_POINTER
        W[o + O_ADDR] = v
        obj = object_of(T, W[p + P_TILE], v)
        if obj < 0 or v + size > np.int64(T[obj]) + np.int64(T[obj + 1]):
            return stray(W, T, pe, v, v, v + size, size, position == 0)
        return True
    what = v & 15
    if what == KIND_MEM1D or what == KIND_MEM4D or what == KIND_CIRCBUF:
        tag = field(v, 52, 2)
        if (np.int64(1) << tag) != size:        # length and stride count the operation's elements, whatever the DSD was made for
            if tag == 0 or what == KIND_CIRCBUF or W[G_STRICT] != 0:        # a ring of other elements would leave its array
                fail(W, FWIDTH, pe, np.int64(1) << tag, size, position)
                return False
            note(W, T, pe, np.int64(N_WIDTH), position, np.int64(1) << tag, size, ZERO)
        W[o + O_ADDR] = field(v, 4, 16)
        if what == KIND_MEM1D:
            W[o + O_KIND] = K_MEM
            W[o + O_LEN] = field(v, 20, 16)
            W[o + O_STRIDE] = sfield(v, 36, 16) * size
        else:
            W[o + O_KIND] = K_MEM4
            row = np.int64(T[W[p + P_TILE] + TT_MEM4D]) + field(v, 20, 16) * M4_COLUMNS
            W[o + O_QUEUE] = row
            W[o + O_LEN] = walk_length(T, row)
            if what == KIND_CIRCBUF:
                W[o + O_AUX] = field(v, 36, 16)
                W[o + O_ADDR] += W[o + O_AUX] * size
                return True
        if field(v, 54, 1) != 0:
            W[o + O_AUX] = np.int64(1) << 62        # wavelet_index_offset: the caller adds the index
        return True
    if what == KIND_FABIN or what == KIND_FABOUT:
        tile = W[p + P_TILE]
        count = np.int64(T[tile + (TT_NIQ if what == KIND_FABIN else TT_NOQ)])
        first = W[p + (P_IQ if what == KIND_FABIN else P_OQ)]
        wanted = -1
        if field(v, 7, 1) != 0:
            wanted = field(v, 4, 3)
        color = -1
        if field(v, 13, 1) != 0:
            color = field(v, 8, 5)
        W[o + O_LEN] = field(v, 20, 16)
        W[o + O_KIND] = K_IN if what == KIND_FABIN else K_OUT
        simd = field(v, 36, 2)
        W[o + O_AUX] = (simd | (field(v, 41, 1) << 2) | (field(v, 54, 1) << 3) | (field(v, 38, 2) << 4) | (field(v, 42, 1) << 6)
                        | (field(v, 44, 2) << 7) | (field(v, 40, 1) << 9))
        W[o + O_ADDR] = 0
        W[o + O_STRIDE] = color         # of an input: the color it wants its queue to be bound to
        return decode_queue(W, T, pe, o, wanted, color, count, first, what)
    if what == KIND_FIFO:
        n = field(v, 4, 16)
        row = np.int64(T[W[p + P_TILE] + TT_FIFOS]) + n * FIFO_COLUMNS
        if np.int64(T[row + FIFO_SIZE]) != size:
            fail(W, FWIDTH, pe, np.int64(T[row + FIFO_SIZE]), size, position)
            return False
        f = W[p + P_FIFO] + n * FFK
        W[o + O_KIND] = K_FIFO
        W[o + O_QUEUE] = row
        W[o + O_ADDR] = f
        W[o + O_AUX] = pe
        W[o + O_LEN] = W[f + (FF_WRITE if position == 0 else FF_READ)]
        return True
    if what == KIND_NONE:
        fail(W, FOPERAND, pe, position, ZERO, ZERO)
    else:
        fail(W, FUNSUPPORTED, pe, what, ZERO, ZERO)
    return False


@jit
def decode_queue(W, T, pe, o, wanted, color, count, first, what):
    """The operand's queue: the one it names, else the one bound to its color. Position in W is found through the tile's tables,
    because the ids and colors of a queue are the tile's."""
    tile = W[P0 + pe * PK + P_TILE]
    base = tile + (TT_IQMAP if what == KIND_FABIN else TT_OQMAP)
    table = np.int64(T[base])       # rows (id, color) in dense order
    n = np.int64(-1)
    for i in range(count):
        if wanted >= 0:
            if np.int64(T[table + i * 2]) == wanted:
                n = np.int64(i)
                break
        elif np.int64(T[table + i * 2 + 1]) == color and color >= 0:
            n = np.int64(i)
            break
    if n < 0 and wanted < 0 and what == KIND_FABOUT and W[G_WSE3] == 0 and count > 0:
        n = count - 1               # WSE-2: an output queue may be left to the compiler; the loader keeps a spare one
    if n < 0:
        fail(W, FNO_QUEUE, pe, np.int64(0 if what == KIND_FABIN else 1), ZERO, ZERO)
        return False
    W[o + O_QUEUE] = first + n * QK
    if what == KIND_FABOUT:
        W[o + O_STRIDE] = color     # output_slot makes a channel slot of it
    return True


@inline
def step4(W, T, o):
    """Advance a mem4d walk by one element: the innermost counter that has not ended steps by its jump stride."""
    row = W[o + O_QUEUE]
    rank = np.int64(T[row + M4_RANK])
    counters = W[o + O_AUX]
    for d in range(rank):
        shift = 16 * d
        c = ((counters >> shift) & 0xffff) + 1
        if c < np.int64(T[row + M4_EXT + rank - 1 - d]) or d == rank - 1:
            counters = (counters & ~(np.int64(0xffff) << shift)) | ((c & 0x7fff) << shift)
            W[o + O_ADDR] += np.int64(T[row + M4_STRIDE + d]) * W[o + O_SIZE]
            break
        counters &= ~(np.int64(0xffff) << shift)
    W[o + O_AUX] = counters


@inline
def next_element(W, T, o):
    if W[o + O_KIND] == K_MEM:
        W[o + O_ADDR] += W[o + O_STRIDE]
    else:
        step4(W, T, o)


# ---------------------------------------------------------------- queues, seen from the CE

@inline
def head_entry(U, q, now):
    """Index of the head entry of a queue, or -1 if there is none or it has not arrived yet."""
    if U[q + Q_COUNT] == 0:
        return np.int64(-1)
    e = np.int64(U[q + Q_BUF]) + np.int64(U[q + Q_HEAD]) * EK
    delta = (np.int64(U[e + E_TIME]) - now) & 0xffffffff
    if delta != 0 and delta < 0x80000000:
        return np.int64(-1)
    return e


@inline
def pop_input(W, U, pe, q, now):
    """Take the head of an input queue away, and wake the router if it waited for the place."""
    trace_take(W, U, pe, q, now)
    head = np.int64(U[q + Q_HEAD]) + 1
    U[q + Q_HEAD] = np.uint32(head if head < np.int64(U[q + Q_CAP]) else 0)
    U[q + Q_COUNT] = np.uint32(np.int64(U[q + Q_COUNT]) - 1)
    U[pe * RK + R_TAKEN] = np.uint32((np.int64(U[pe * RK + R_TAKEN]) + 1) & 0xffffffff)
    if U[q + Q_WAITER] != 0:
        waiter = np.int64(U[q + Q_WAITER])
        if waiter & 2 != 0 and U[q + Q_COUNT] == 0:
            p = P0 + pe * PK
            W[p + P_FLUSHED] |= np.int64(1) << np.int64(U[q + Q_ID])
            W[p + P_ACTIVE] |= np.int64(1 << 29)
            waiter = np.int64(0)
            wake_ce(W, pe, now + 1)
        U[q + Q_WAITER] = np.uint32(waiter & 2)
        ch = np.int64(U[q + Q_CHANNEL])
        r = pe * RK
        if (np.int64(U[ch + CH_STATE]) >> 2) & 7 != 0:
            slot = (ch - np.int64(U[r + R_BASE])) >> 4
            U[r + R_MASK] = np.uint32(np.int64(U[r + R_MASK]) | (np.int64(1) << slot))
        wake_router(W, pe, now + 1)


@inline
def push_output(W, U, pe, q, value, flags, now):
    """Put a wavelet into an output queue that has room; the ramp takes it from the next cycle on."""
    count = append(U, q, value & 0xffffffff, now + 1, flags)
    p = P0 + pe * PK
    W[p + P_SENT] += 1
    trace_send(W, U, pe, q, value, flags, now)
    r = pe * RK
    n = (q - W[p + P_OQ]) // QK
    U[r + R_OQ] = np.uint32(np.int64(U[r + R_OQ]) | (np.int64(1) << n))
    if count == 0:
        wake_router(W, pe, now + 1)


@jit
def color_slot(U, pe, color):
    """Slot of a color among the channels of the PE's router, or -1."""
    r = pe * RK
    for s in range(np.int64(U[r + R_N])):
        if (np.int64(U[np.int64(U[r + R_BASE]) + s * 16 + CH_CONFIG]) >> 12) & 31 == color:
            return np.int64(s)
    return np.int64(-1)


@jit
def output_slot(W, U, pe, o):
    """Slot of the color that an output operand sends on: its queue's, if that is bound to one, else its own. -1 after a fault."""
    color = np.int64(U[W[o + O_QUEUE] + Q_COLOR])
    if color == 31:
        color = W[o + O_STRIDE]
    slot = color_slot(U, pe, color)
    if slot < 0:
        fail(W, FNO_COLOR, pe, color, ZERO, ZERO)
    return slot


@jit
def bind_input(W, U, pe, q, color, now):
    """Bind an empty input queue to another color of this PE. WSE-2 lets operations of several colors share a queue one after another
    (WaferLLM's MeshGEMM for WSE-2 does), and <tile_config/input_queue_config> does it on both; wavelets of a color that has no
    queue wait at the router."""
    before = color_slot(U, pe, np.int64(U[q + Q_COLOR]))
    if before >= 0:
        ch = np.int64(U[pe * RK + R_BASE]) + before * 16
        U[ch + CH_CONFIG] = np.uint32(np.int64(U[ch + CH_CONFIG]) | (15 << 17))
    U[q + Q_COLOR] = np.uint32(color)
    slot = color_slot(U, pe, color)
    if slot >= 0:
        ch = np.int64(U[pe * RK + R_BASE]) + slot * 16
        dense = (q - W[P0 + pe * PK + P_IQ]) // QK
        U[ch + CH_CONFIG] = np.uint32((np.int64(U[ch + CH_CONFIG]) & ~np.int64(15 << 17)) | (dense << 17))
        U[q + Q_CHANNEL] = np.uint32(ch)
        wake_channel(W, U, pe, ch, now + 1)


# ---------------------------------------------------------------- issue

@jit
def make_operand(W, U, T, pe, v, j, row, fp, base):
    """Operand j (0 destination, 1..3 sources) of operation row `row`. False after a fault."""
    o = v + V_OPERANDS + j * OK
    kind = np.int64(T[row + OP_DST + j])
    W[o + O_KIND] = K_NONE
    W[o + O_LEN] = 0                            # an absent operand has no length; the record held another operation before
    if kind == 0:
        return True
    code = np.int64(T[row])
    size = np.int64(T[code * OI + j])
    value = W[fp + base + j]
    if kind == OPERAND_DSR:
        dsr = np.int64(T[row + OP_DST_DSR + j])
        d = W[P0 + pe * PK + P_DSR] + dsr * 2
        value = W[d]
        if W[d + 1] & 1 != 0:                   # configuration row << 1 | 1, then action ids
            config = (W[d + 1] >> 1) & 0x7fffffff
            if np.int64(T[config + RC_ASYNC]) != 0:
                W[v + V_FLAGS] |= F_ASYNC
            if np.int64(T[config + RC_ACTION]) != 0:
                W[v + V_ACTION] = np.int64(T[config + RC_ACTION]) | (((W[d + 1] >> 32) & 0xff) << 4)
            if np.int64(T[config + RC_ONCTRL_SET]) != 0:
                W[v + V_ONCTRL] = np.int64(T[config + RC_ONCTRL]) | (((W[d + 1] >> 40) & 0xff) << 4) | (1 << 12)
            if np.int64(T[config + RC_UT]) >= 0:
                W[v + V_ID] = np.int64(T[config + RC_UT])
            if np.int64(T[config + RC_PRIO]) != 0:
                W[v + V_RANK] = np.int64(T[config + RC_PRIO])
    if not decode(W, T, pe, o, kind if kind != OPERAND_DSR else np.int64(OPERAND_DSD), value, size, np.int64(j)):
        return False
    what = W[o + O_KIND]
    if (what == K_MEM or what == K_MEM4) and W[o + O_AUX] >> 62 != 0:
        W[o + O_AUX] = 0
        if np.int64(T[row + OP_INDEX]) != 0:
            W[o + O_ADDR] += (W[fp + base + 4] & 0xffff) * 2        # in words
    if what == K_OUT:
        if j != 0:
            fail(W, FOPERAND, pe, np.int64(j), ZERO, ZERO)
            return False
        slot = output_slot(W, U, pe, o)
        if slot < 0:
            return False
        W[o + O_STRIDE] = slot
    if what == K_IN and j == 0:
        fail(W, FOPERAND, pe, ZERO, ZERO, ZERO)
        return False
    if (what == K_IN or what == K_OUT) and W[v + V_RANK] == 0:
        W[v + V_RANK] = (W[o + O_AUX] >> 4) & 3
    return True


@jit
def prepare(W, U, T, pe, v, row, fp, base):
    """Fill a thread record from an operation row and its registers.

    Returns 0 for an operation in memory only, 1 for one with a fabric operand, 2 for one with a FIFO only, -1 after a fault.
    """
    code = np.int64(T[row])
    W[v + V_ROW] = row
    W[v + V_CODE] = code
    W[v + V_K] = 0
    W[v + V_FLAGS] = F_ASYNC if np.int64(T[row + OP_ASYNC]) != 0 else 0
    W[v + V_ACTION] = np.int64(T[row + OP_ACTION])
    if np.int64(T[row + OP_ACTION]) != 0:
        W[v + V_ACTION] |= (W[fp + base + 5] & 0xff) << 4
    W[v + V_ONCTRL] = 0
    if np.int64(T[row + OP_ONCTRL_SET]) != 0:
        W[v + V_ONCTRL] = np.int64(T[row + OP_ONCTRL]) | ((W[fp + base + 6] & 0xff) << 4) | (1 << 12)
    W[v + V_ID] = np.int64(T[row + OP_UT])
    W[v + V_RANK] = np.int64(T[row + OP_PRIO])
    W[v + V_INDEX] = -1
    if np.int64(T[row + OP_INDEX]) != 0:
        W[v + V_INDEX] = W[fp + base + 4] & 0xffff
    W[v + V_ZERO] = 0
    for j in range(4):
        if not make_operand(W, U, T, pe, v, np.int64(j), row, fp, base):
            return np.int64(-1)
    # length
    d = v + V_OPERANDS
    n = W[d + OK + O_LEN]
    if n == 0:
        n = W[d + 2 * OK + O_LEN]
    if n == 0:
        n = W[d + O_LEN]
    if n == 0:
        n = np.int64(1)
    if n == ENDLESS:
        W[v + V_FLAGS] |= F_ENDLESS
    W[v + V_N] = n
    if W[d + O_KIND] == K_POINTER and np.int64(T[code * OI + OI_ACC]) != 0 and W[d + OK + O_KIND] == K_SCALAR:
        W[v + V_FLAGS] |= F_ACCUMULATE
        W[v + V_ACC] = W[d + OK + O_ADDR]
    fabric = np.int64(0)
    fifo = False
    step = np.int64(2)
    for j in range(4):
        o = d + j * OK
        kind = W[o + O_KIND]
        if kind == K_IN or kind == K_OUT:
            fabric = np.int64(1)
            # two 16-bit elements in a wavelet in any SIMD mode. A mode of 64 bits would want two wavelets at a time; the link brings
            # one per cycle, so it is the same rate
            if W[o + O_SIZE] != 2:
                W[o + O_AUX] &= ~np.int64(3)
            if W[o + O_AUX] & 3 == 0:
                step = np.int64(1)
            if W[o + O_LEN] != n and W[o + O_LEN] != 0 and W[o + O_LEN] != ENDLESS and n != ENDLESS:
                note_length(W, U, T, pe, v, np.int64(j))
            if W[o + O_AUX] & (3 << 7) != 0:
                zero_source(W, v, (W[o + O_AUX] >> 7) & 3)
        elif kind == K_FIFO:
            step = np.int64(1)      # an element at a time: there may be one only
            fifo = True
        elif kind == K_MEM or kind == K_MEM4:
            own = W[o + O_LEN]
            ring = kind == K_MEM4 and is_ring(T, W[o + O_QUEUE])
            if n == ENDLESS:
                if own == ENDLESS and not ring and not (kind == K_MEM and W[o + O_STRIDE] == 0):
                    fail(W, FENDLESS, pe, own, ZERO, ZERO)
                    return np.int64(-1)
                if (ring or own != ENDLESS and own > 0) and not check_walk(W, T, pe, o, own, j == 0):
                    return np.int64(-1)
            else:
                if own != n and own != ENDLESS:
                    note_length(W, U, T, pe, v, np.int64(j))
                    if kind == K_MEM4 and n > own and not ring:
                        fail(W, FWALK, pe, W[o + O_ADDR], W[o + O_ADDR] + n * W[o + O_SIZE], W[o + O_ADDR])
                        return np.int64(-1)
                if not check_walk(W, T, pe, o, n, j == 0):
                    return np.int64(-1)
    if fabric == 0 and n == ENDLESS and not fifo:
        fail(W, FENDLESS, pe, n, ZERO, ZERO)
        return np.int64(-1)
    if fabric == 0 and fifo:
        fabric = np.int64(2)
    if W[P0 + pe * PK + P_UNMASKED] != 0:
        W[v + V_FLAGS] |= F_CHECKED
    W[v + V_STEP] = step
    W[v + V_RATE] = np.int64(T[code * OI + OI_RATE])
    return fabric


@cold
def zero_source(W, v, which):
    """`zero` of a fabout_dsd: the memory vector of the first or second source is cleared, each element when it has been read. An
    operation with one source has it as its second (facts 6.7)."""
    a = W[v + V_OPERANDS + OK + O_KIND]
    b = W[v + V_OPERANDS + 2 * OK + O_KIND]
    if which == 2 and (b == K_MEM or b == K_MEM4):
        W[v + V_ZERO] = 2
    elif (which == 1 or b == K_NONE) and (a == K_MEM or a == K_MEM4):
        W[v + V_ZERO] = 1


@jit
def setup_cost(W, T, v):
    """Set-up cycles of an operation in memory: a base, plus a share per vector and per scalar source (STREAM rows: copy 10,
    scale 11, add 12, triad 13), plus what the operation itself adds."""
    row = W[v + V_ROW]
    loaded = True       # every vector already is in a DSR: nothing to set up but the operation itself
    for j in range(4):
        if np.int64(T[row + OP_DST + j]) == OPERAND_DSD:
            loaded = False
    if loaded:
        return W[G_SETUP_DSR]
    t = W[G_SETUP] + np.int64(T[W[v + V_CODE] * OI + OI_SETUP])
    for j in range(1, 4):
        kind = W[v + V_OPERANDS + j * OK + O_KIND]
        if kind == K_MEM or kind == K_MEM4 or kind == K_IN:
            t += W[G_SETUP_V]
        elif kind == K_SCALAR:
            t += W[G_SETUP_S]
    return t


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
    d = W[P0 + pe * PK + P_DSR] + dsr * 2
    if W[d + 1] & 1 == 0:
        return
    config = (W[d + 1] >> 1) & 0x7fffffff
    if np.int64(T[config + RC_SAVE]) == 0:
        return
    v = W[d]
    what = v & 15
    if what == KIND_MEM1D:
        base = field(v, 4, 16) + n * sfield(v, 36, 16) * size
    elif what == KIND_MEM4D:
        row = np.int64(T[W[P0 + pe * PK + P_TILE] + TT_MEM4D]) + field(v, 20, 16) * M4_COLUMNS
        rank = np.int64(T[row + M4_RANK])
        inner = np.int64(0)
        step = np.int64(0)
        extent = np.int64(0)
        for k in range(rank):
            extent = np.int64(T[row + M4_EXT + rank - 1 - k])
            step = np.int64(T[row + M4_STRIDE + k]) + inner
            inner += step * (extent - 1)
        base = field(v, 4, 16) + extent * step * size
    elif what == KIND_CIRCBUF:
        row = np.int64(T[W[P0 + pe * PK + P_TILE] + TT_MEM4D]) + field(v, 20, 16) * M4_COLUMNS
        position = (field(v, 36, 16) + n) % np.int64(T[row + M4_EXT + 1])
        W[d] = (v & ~(np.int64(0xffff) << 36)) | (position << 36)
        return
    else:
        return
    W[d] = (v & ~(np.int64(0xffff) << 4)) | ((base & 0xffff) << 4)


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


# ---------------------------------------------------------------- bulk execution

@jit
def gather(W, T, M16, M32, o, mem, n, at):
    """Stage n elements of an operand in scratch at byte `at`."""
    size = W[o + O_SIZE]
    if W[o + O_KIND] == K_SCALAR:
        if size == 2:
            for i in range(n):
                M16[(at >> 1) + i] = np.uint16(W[o + O_ADDR])
        else:
            for i in range(n):
                M32[(at >> 2) + i] = np.uint32(W[o + O_ADDR])
        return
    if W[o + O_KIND] == K_MEM:
        address = mem + W[o + O_ADDR]
        stride = W[o + O_STRIDE]
        if size == 2:
            for i in range(n):
                M16[(at >> 1) + i] = M16[(address + i * stride) >> 1]
        else:
            for i in range(n):
                x = (address + i * stride) >> 1
                M16[(at >> 1) + 2 * i] = M16[x]
                M16[(at >> 1) + 2 * i + 1] = M16[x + 1]
        W[o + O_ADDR] += n * stride
        return
    for i in range(n):
        x = (mem + W[o + O_ADDR]) >> 1
        if size == 2:
            M16[(at >> 1) + i] = M16[x]
        else:
            M16[(at >> 1) + 2 * i] = M16[x]
            M16[(at >> 1) + 2 * i + 1] = M16[x + 1]
        step4(W, T, o)


@jit
def scatter(W, T, M16, o, mem, n, at):
    """Write n staged elements to the destination walk."""
    size = W[o + O_SIZE]
    for i in range(n):
        x = (mem + W[o + O_ADDR]) >> 1
        if size == 2:
            M16[x] = M16[(at >> 1) + i]
        else:
            M16[x] = M16[(at >> 1) + 2 * i]
            M16[x + 1] = M16[(at >> 1) + 2 * i + 1]
        next_element(W, T, o)


@inline
def contiguous(W, o, mem):
    """Can the operand's elements be used in place as a slice of their natural alignment?"""
    size = W[o + O_SIZE]
    return W[o + O_KIND] == K_MEM and W[o + O_STRIDE] == size and (mem + W[o + O_ADDR]) & (size - 1) == 0


@jit
def independent(W, T, v, n):
    """May elements be read in chunks before results are written? Yes if no source overlaps the destination, or only by being the
    same walk. Otherwise the order of elements matters."""
    d = v + V_OPERANDS
    if W[d + O_KIND] != K_MEM and W[d + O_KIND] != K_MEM4:
        return False
    low, high = span_of(W, T, d, n)
    for j in range(1, 4):
        o = d + j * OK
        if W[o + O_KIND] == K_MEM or W[o + O_KIND] == K_MEM4:
            other_low, other_high = span_of(W, T, o, n)
            if other_low < high and low < other_high:
                same = (W[o + O_KIND] == K_MEM and W[d + O_KIND] == K_MEM and W[o + O_ADDR] == W[d + O_ADDR]
                        and W[o + O_STRIDE] == W[d + O_STRIDE] and abs(W[d + O_STRIDE]) >= W[d + O_SIZE])
                if not same:
                    return False
    return True


@jit
def bulk(W, T, M16, M32, v, mem, kernel):
    """Run an operation in memory with a kernel, 256 elements at a time; operands that are not contiguous are staged."""
    d = v + V_OPERANDS
    a = d + OK
    b = d + 2 * OK
    c = W[d + 3 * OK + O_ADDR]
    code = W[v + V_CODE]
    n = W[v + V_N]
    done = np.int64(0)
    d_in_place = contiguous(W, d, mem)
    a_in_place = contiguous(W, a, mem)
    b_in_place = contiguous(W, b, mem)
    two = kernel != CLASS_MOVE16 and kernel != CLASS_MOVE32
    size = W[d + O_SIZE]
    half = size == 2
    chunk_max = np.int64(CHUNK)
    if d_in_place and a_in_place and (b_in_place or not two):
        chunk_max = n
    if a_in_place:
        xa = mem + W[a + O_ADDR]
    else:
        xa = np.int64(SCRATCH)
        if W[a + O_KIND] == K_SCALAR:
            gather(W, T, M16, M32, a, mem, np.int64(CHUNK) if n > CHUNK else n, xa)
    if b_in_place:
        xb = mem + W[b + O_ADDR]
    else:
        xb = np.int64(2 * SCRATCH)
        if two and W[b + O_KIND] == K_SCALAR:
            gather(W, T, M16, M32, b, mem, np.int64(CHUNK) if n > CHUNK else n, xb)
    xd = mem + W[d + O_ADDR] if d_in_place else np.int64(0)
    while done < n:
        m = n - done
        if m > chunk_max:
            m = chunk_max
        if not a_in_place and W[a + O_KIND] != K_SCALAR:
            gather(W, T, M16, M32, a, mem, m, xa)
        if two and not b_in_place and W[b + O_KIND] != K_SCALAR:
            gather(W, T, M16, M32, b, mem, m, xb)
        if half:
            i = xd >> 1
            j = xa >> 1
            k = xb >> 1
            if kernel == CLASS_HALF:
                half_kernel(code, m, M16[i:i + m], M16[j:j + m], M16[k:k + m], c)
            elif kernel == CLASS_WORD:
                word_kernel(code, m, M16[i:i + m], M16[j:j + m], M16[k:k + m])
            else:
                copy_kernel(m, M16[i:i + m], M16[j:j + m])
        else:
            i = xd >> 2
            j = xa >> 2
            k = xb >> 2
            if kernel == CLASS_SINGLE:
                single_kernel(code, m, M32[i:i + m], M32[j:j + m], M32[k:k + m], c)
            else:
                copy_kernel(m, M32[i:i + m], M32[j:j + m])
        if not d_in_place:
            scatter(W, T, M16, d, mem, m, xd)
        else:
            xd += m * size
        if a_in_place:
            xa += m * size
        if b_in_place:
            xb += m * size
        done += m


@cold
def fifo_event(W, T, pe, task):
    """The event for which `activate_push` or `activate_pop` names a task."""
    if task >= 0:
        act(W, T, pe, 1 | (task << 4), W[G_NOW])
    wake_ce(W, pe, W[G_NOW] + 1)        # suspended microthreads look again


@cold
def fifo_pop(W, T, M8, M16, M32, o, mem):
    """Take an element that is there; a push that found no room is told (facts A.7)."""
    f = W[o + O_ADDR]
    row = W[o + O_QUEUE]
    head = W[f + FF_HEAD]
    v = load_bits(M8, M16, M32, mem + np.int64(T[row + FIFO_BASE]) + head * W[o + O_SIZE], W[o + O_SIZE])
    head += 1
    W[f + FF_HEAD] = head if head < np.int64(T[row + FIFO_CAPACITY]) else ZERO
    W[f + FF_COUNT] -= 1
    if W[f + FF_FULL] != 0:
        W[f + FF_FULL] = 0
        fifo_event(W, T, W[o + O_AUX], np.int64(T[row + FIFO_POP]))
    return v


@cold
def fifo_push(W, T, M8, M16, M32, o, mem, v):
    """Add an element for which there is room; a pop that found nothing is told."""
    f = W[o + O_ADDR]
    row = W[o + O_QUEUE]
    capacity = np.int64(T[row + FIFO_CAPACITY])
    at = W[f + FF_HEAD] + W[f + FF_COUNT]
    if at >= capacity:
        at -= capacity
    store_bits(M8, M16, M32, mem + np.int64(T[row + FIFO_BASE]) + at * W[o + O_SIZE], W[o + O_SIZE], v)
    W[f + FF_COUNT] += 1
    if W[f + FF_EMPTY] != 0:
        W[f + FF_EMPTY] = 0
        fifo_event(W, T, W[o + O_AUX], np.int64(T[row + FIFO_PUSH]))


@cold
def fifo_ready(W, T, v):
    """Can the FIFO operands of an operation take part in a step? Remembers who found it empty or full."""
    d = v + V_OPERANDS
    ready = True
    for j in range(3):
        o = d + j * OK
        if W[o + O_KIND] == K_FIFO:
            f = W[o + O_ADDR]
            if j == 0 and W[f + FF_COUNT] >= np.int64(T[W[o + O_QUEUE] + FIFO_CAPACITY]):
                W[f + FF_FULL] = 1
                ready = False
            elif j > 0 and W[f + FF_COUNT] == 0:
                W[f + FF_EMPTY] = 1
                ready = False
    return ready


@cold
def fifo_action(W, T, v):
    """What an operation does whose FIFO is empty or full: the FIFO's action."""
    d = v + V_OPERANDS
    for j in range(3):
        o = d + j * OK
        if W[o + O_KIND] == K_FIFO:
            f = W[o + O_ADDR]
            actions = np.int64(T[W[o + O_QUEUE] + FIFO_ACTIONS])
            if j == 0 and W[f + FF_COUNT] >= np.int64(T[W[o + O_QUEUE] + FIFO_CAPACITY]):
                return actions >> 4
            if j > 0 and W[f + FF_COUNT] == 0:
                return actions & 15
    return FIFO_TEST


@cold
def fifo_suspends(W, T, v):
    """May the operation have to wait for a FIFO although it is synchronous?"""
    d = v + V_OPERANDS
    for j in range(3):
        o = d + j * OK
        if W[o + O_KIND] == K_FIFO:
            actions = np.int64(T[W[o + O_QUEUE] + FIFO_ACTIONS])
            if (actions >> 4 if j == 0 else actions & 15) == FIFO_SUSPEND:
                return True
    return False


@cold
def fifo_fault(W, pe, v):
    """The FIFO's action is a fault: of a full one if the destination is the FIFO that stops the operation."""
    d = v + V_OPERANDS
    full = W[d + O_KIND] == K_FIFO and W[W[d + O_ADDR] + FF_FULL] != 0
    fail(W, FFIFO, pe, np.int64(1 if full else 0), ZERO, ZERO)


@cold
def fifo_stopped(W, v):
    """A synchronous operation has to stop: what is left is the FIFO's length (facts 6.9)."""
    d = v + V_OPERANDS
    left = W[v + V_N] - W[v + V_K]
    for j in range(3):
        o = d + j * OK
        if W[o + O_KIND] == K_FIFO and W[o + O_LEN] != 0 and W[v + V_N] != ENDLESS:
            W[W[o + O_ADDR] + (FF_WRITE if j == 0 else FF_READ)] = left


@cold
def beyond(W, T, d, k):
    """Does an operation without end run past one of its memory vectors?"""
    for j in range(3):
        o = d + j * OK
        if k >= W[o + O_LEN] and (W[o + O_KIND] == K_MEM and W[o + O_STRIDE] != 0
                                  or W[o + O_KIND] == K_MEM4 and not is_ring(T, W[o + O_QUEUE])):
            return True
    return False


@inline
def fetch_memory(W, T, M8, M16, M32, o, mem):
    """Next element of a memory vector or a scalar."""
    kind = W[o + O_KIND]
    if kind == K_SCALAR:
        return W[o + O_ADDR]
    if kind == K_MEM or kind == K_MEM4:
        r = load_bits(M8, M16, M32, mem + W[o + O_ADDR], W[o + O_SIZE])
        next_element(W, T, o)
        return r
    if kind == K_FIFO:
        return fifo_pop(W, T, M8, M16, M32, o, mem)
    return np.int64(0)


@jit
def add_with_carry(W, p, a, b):
    """16-bit add with the PE's carry flag. The flag goes on from element to element (GUESS: multi-word addition)."""
    r = a + b + W[p + P_CARRY]
    W[p + P_CARRY] = r >> 16
    return r & 0xffff


@jit
def run_in_memory(W, T, M8, M16, M32, pe, v):
    """A whole operation without fabric operands; one with a FIFO as far as it gets at once. Returns its cycles, or -1 after a fault."""
    p = P0 + pe * PK
    mem = W[p + P_MEM]
    code = W[v + V_CODE]
    n = W[v + V_N]
    d = v + V_OPERANDS
    cycles = setup_cost(W, T, v)
    kernel = np.int64(T[code * OI + OI_CLASS])
    rate = W[v + V_RATE]
    fifo = W[d + O_KIND] == K_FIFO or W[d + OK + O_KIND] == K_FIFO or W[d + 2 * OK + O_KIND] == K_FIFO
    k = n
    if W[v + V_FLAGS] & F_ACCUMULATE != 0:
        rate = np.int64(T[code * OI + OI_REDUCE])
    checked = W[v + V_FLAGS] & F_CHECKED != 0
    if not fifo and not checked and kernel != CLASS_NONE and independent(W, T, v, n):
        bulk(W, T, M16, M32, v, mem, kernel)
    else:
        accumulate = W[v + V_FLAGS] & F_ACCUMULATE != 0
        c = W[d + 3 * OK + O_ADDR] if W[d + 3 * OK + O_KIND] == K_SCALAR else np.int64(0)
        r = np.int64(0)
        for i in range(n):
            if fifo:
                if not fifo_ready(W, T, v):
                    if fifo_action(W, T, v) == FIFO_FAULT:
                        fifo_fault(W, pe, v)
                        return np.int64(-1)
                    k = np.int64(i)
                    break
                if n == ENDLESS and beyond(W, T, d, i):
                    fail(W, FENDLESS, pe, np.int64(i), ZERO, ZERO)
                    return np.int64(-1)
            a = W[v + V_ACC] if accumulate else fetch_memory(W, T, M8, M16, M32, d + OK, mem)
            b = fetch_memory(W, T, M8, M16, M32, d + 2 * OK, mem)
            if code == ADDC16:
                r = add_with_carry(W, p, a, b)
            else:
                r = element(code, a, b, c)
            if checked and stops(W, pe, vector_exceptions(code, a, b, c, r)):
                return np.int64(-1)
            if accumulate:
                W[v + V_ACC] = r
            elif W[d + O_KIND] == K_FIFO:
                fifo_push(W, T, M8, M16, M32, d, mem, r)
            elif W[d + O_KIND] != K_POINTER:
                store_bits(M8, M16, M32, mem + W[d + O_ADDR], W[d + O_SIZE], r)
                next_element(W, T, d)
        if W[d + O_KIND] == K_POINTER and k == n:
            store_bits(M8, M16, M32, mem + W[d + O_ADDR], W[d + O_SIZE], r)      # a stopped operation leaves the scalar alone
    W[v + V_K] = k
    W[G_VECTOR] += k
    cycles += (k * rate + 65535) >> 16
    if fifo and k < n:
        fifo_stopped(W, v)
    save_addresses(W, T, pe, v)
    return cycles


# ---------------------------------------------------------------- fabric operations

@jit
def microthread_of(W, U, v):
    """Id of the microthread of an asynchronous operation (facts 4.5)."""
    if W[v + V_ID] >= 0:
        return W[v + V_ID]
    d = v + V_OPERANDS
    for j in range(4):
        kind = W[d + j * OK + O_KIND]
        if kind == K_OUT or kind == K_IN:
            # the destination comes first, so on WSE-2 this is "the output queue if there is one, else the first input queue"
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
                fail(W, FQUEUE_BUSY, pe, np.int64(U[q + Q_ID]), np.int64(0 if W[o + O_KIND] == K_IN else 1), np.int64(U[q + Q_COLOR]))
                return False
            if W[o + O_KIND] == K_IN and W[G_WSE3] == 0 and W[o + O_STRIDE] >= 0 and W[o + O_STRIDE] != np.int64(U[q + Q_COLOR]):
                if U[q + Q_COUNT] != 0:
                    fail(W, FQUEUE_COLOR, pe, np.int64(U[q + Q_ID]), W[o + O_STRIDE], np.int64(U[q + Q_COLOR]))
                    return False
                bind_input(W, U, pe, q, W[o + O_STRIDE], W[G_NOW])
            U[q + Q_USER] = np.uint32(user)
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
    if may_express(W, T, v):
        W[p + P_NOEXPRESS] &= ~bit
    else:
        W[p + P_NOEXPRESS] |= bit
    trace_issue(W, U, pe, v, at)
    return claim_queues(W, U, pe, v, dense + 1)


@jit
def act(W, T, pe, action, now):
    """A completion action: activate or unblock. The packed form is kind | id << 4."""
    p = P0 + pe * PK
    kind = action & 15
    bit = np.int64(1) << ((action >> 4) & 63)
    if kind == 1:
        W[p + P_ACTIVE] |= bit
        trace_control(W, pe, now, DO_ACTIVATE, (action >> 4) & 63, np.int64(-1))
    elif kind == 2:
        W[p + P_BLOCKED] &= ~bit
        trace_control(W, pe, now, DO_UNBLOCK, (action >> 4) & 63, np.int64(-1))
    else:
        return
    # the task picker sees it after the completion latency
    if W[p + P_ST] == ST_IDLE and W[p + P_TIME] < now + W[G_DONE]:
        W[p + P_TIME] = now + W[G_DONE]


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
    save_addresses(W, T, pe, v)
    act(W, T, pe, action, now)
    if dense == 0 and W[p + P_ST] == ST_OP:
        W[p + P_ST] = ST_RUN
        W[p + P_TIME] = now + W[G_SYNCDONE]
        W[W[v + V_RESULT]] = 1


@inline
def fetch_fabric(W, U, T, M8, M16, M32, pe, o, mem, k, last, now):
    """Element k of an operand; input from the fabric is known to be there."""
    if W[o + O_KIND] != K_IN:
        return fetch_memory(W, T, M8, M16, M32, o, mem)
    q = W[o + O_QUEUE]
    e = np.int64(U[q + Q_BUF]) + np.int64(U[q + Q_HEAD]) * EK
    value = np.int64(U[e + E_VALUE])
    if W[o + O_AUX] & A_TRANSFORM != 0 and U[e + E_FLAGS] & 1 != 0:
        value ^= W[P0 + pe * PK + P_TRANSFORM]
    if W[o + O_SIZE] == 4:
        pop_input(W, U, pe, q, now)
        return value
    if W[o + O_AUX] & 3 == 0:
        pop_input(W, U, pe, q, now)
        return value & 0xffff
    if k & 1 == 0:
        if last:
            pop_input(W, U, pe, q, now)
        return value & 0xffff
    pop_input(W, U, pe, q, now)
    return value >> 16


@inline
def thread_step(W, U, T, M8, M16, M32, pe, dense, now):
    """Try to move one step of a fabric operation: PROGRESS, STALLED, FINISHED or FAILED."""
    p = P0 + pe * PK
    v = W[p + P_UT] + dense * TK
    d = v + V_OPERANDS
    k = W[v + V_K]
    n = W[v + V_N]
    step = W[v + V_STEP]
    if W[v + V_CODE] == DFILT:
        q = W[d + OK + O_QUEUE]
        e = head_entry(U, q, now)
        if e < 0:
            return STALLED
        W[v + V_K] = k + (np.int64(U[e + E_FLAGS]) & 1)
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
            if W[v + V_ONCTRL] != 0 and np.int64(U[e + E_FLAGS]) & 1 != 0:
                pop_input(W, U, pe, q, now)
                finish_thread(W, U, T, M8, M16, M32, pe, dense, W[v + V_ONCTRL] & 0xfff, now)
                return FINISHED
    if W[d + O_KIND] == K_OUT:
        q = W[d + O_QUEUE]
        if U[q + Q_COUNT] >= U[q + Q_CAP]:
            U[q + Q_WAITER] = np.uint32(np.int64(U[q + Q_WAITER]) | 1)
            return STALLED
    if (W[d + O_KIND] == K_FIFO or W[d + OK + O_KIND] == K_FIFO or W[d + 2 * OK + O_KIND] == K_FIFO) and not fifo_ready(W, T, v):
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
        if beyond(W, T, d, k):
            fail(W, FENDLESS, pe, k, ZERO, ZERO)
            W[G_FPC] = W[v + V_PC]
            return FAILED
    mem = W[p + P_MEM]
    code = W[v + V_CODE]
    c = W[d + 3 * OK + O_ADDR]
    cleared = W[v + V_ZERO]         # 0: none; 1, 2: that source is cleared as it is read
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
            flags = ((aux >> 2) & 1) | (W[d + O_STRIDE] << 8)
            if last:
                flags |= (aux >> 5) & 2         # advance_switch
            q = W[d + O_QUEUE]
            mark = W[p + P_TRANSFORM] if aux & A_TRANSFORM != 0 and flags & 1 != 0 else ZERO
            if aux & 3 == 0:
                if aux & 8 != 0 and W[v + V_INDEX] >= 0:
                    r = (r & 0xffff) | (W[v + V_INDEX] << 16)
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
    """One cycle of the vector unit: of the threads that can move, the one of highest rank; among equals the one that has waited longest.

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
