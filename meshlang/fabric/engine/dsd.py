# ruff: noqa: F403, F405
"""DSDs: the fields of their words, and the operand that one describes."""

from __future__ import annotations

import numpy as np

from .faults import Fault
from .jit import inline, jit
from .memory import object_of, walk_length
from .opcodes import *
from .queues import color_slot
from .state import *
from .tolerated import note, stray
from .wheel import fail

FWIDTH, FOPERAND, FUNSUPPORTED = np.int64(Fault.WIDTH), np.int64(Fault.OPERAND), np.int64(Fault.UNSUPPORTED_DSD)
FNO_QUEUE, FNO_COLOR = np.int64(Fault.NO_QUEUE), np.int64(Fault.NO_COLOR)
ZERO = np.int64(0)


@inline
def field(v, first, width):
    return (v >> first) & ((1 << width) - 1)


@inline
def sfield(v, first, width):
    """Signed field."""
    half = 1 << (width - 1)
    return (((v >> first) & ((1 << width) - 1)) ^ half) - half


@inline
def in_memory(v):
    """Is it a DSD of memory (and no FIFO)?"""
    what = v & 15
    return what == KIND_MEM1D or what == KIND_MEM4D or what == KIND_CIRCBUF


@jit
def edit_dsd(op, v, x, size):
    """DBASE, DINC, DLEN, DSTRIDE."""
    if op == DBASE:
        if v & 15 == KIND_CIRCBUF:
            v &= ~(np.int64(0xFFFF) << 36)  # it begins at the start of its new ring
        tag = np.int64(1) if size == 2 else np.int64(2) if size == 4 else np.int64(0)
        v = (v & ~((np.int64(0xFFFF) << 4) | (np.int64(3) << 52))) | ((x & 0xFFFF) << 4) | (tag << 52)
        return v
    if op == DINC:
        base = field(v, 4, 16) + x * size
        return (v & ~(np.int64(0xFFFF) << 4)) | ((base & 0xFFFF) << 4)
    if op == DLEN:
        return (v & ~(np.int64(0xFFFF) << 20)) | ((x & 0xFFFF) << 20)
    return (v & ~(np.int64(0xFFFF) << 36)) | ((x & 0xFFFF) << 36)


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
        W[o + O_ADDR] = v & 0xFFFF if size == 2 else v & 0xFFFFFFFF
        return True
    if kind == OPERAND_POINTER:
        W[o + O_KIND] = K_POINTER
        W[o + O_ADDR] = v
        obj = object_of(T, W[p + P_TILE], v)
        if obj < 0 or v + size > np.int64(T[obj]) + np.int64(T[obj + 1]):
            return stray(W, T, pe, v, v, v + size, size, position == 0)
        return True
    what = v & 15
    if in_memory(v):
        tag = field(v, 52, 2)
        # length and stride count the operation's elements, whatever the DSD was made for
        if (np.int64(1) << tag) != size:
            # a ring of other elements would leave its array
            if tag == 0 or what == KIND_CIRCBUF or W[G_STRICT] != 0:
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
            W[o + O_AUX] = np.int64(1) << 62  # wavelet_index_offset: the caller adds the index
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
        W[o + O_AUX] = (
            simd
            | (field(v, 41, 1) << 2)
            | (field(v, 54, 1) << 3)
            | (field(v, 38, 2) << 4)
            | (field(v, 42, 1) << 6)
            | (field(v, 44, 2) << 7)
            | (field(v, 40, 1) << 9)
        )
        W[o + O_ADDR] = 0
        W[o + O_STRIDE] = color  # of an input: the color it wants its queue to be bound to
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
    """The operand's queue: the one it names, else the one bound to its color. Position in W is found through the tile's
    tables, because the ids and colors of a queue are the tile's."""
    tile = W[P0 + pe * PK + P_TILE]
    base = tile + (TT_IQMAP if what == KIND_FABIN else TT_OQMAP)
    table = np.int64(T[base])  # rows (id, color) in dense order
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
        n = count - 1  # WSE-2: an output queue may be left to the compiler; the loader keeps a spare one
    if n < 0:
        fail(W, FNO_QUEUE, pe, np.int64(0 if what == KIND_FABIN else 1), ZERO, ZERO)
        return False
    W[o + O_QUEUE] = first + n * QK
    if what == KIND_FABOUT:
        W[o + O_STRIDE] = color  # output_slot makes a channel slot of it
    return True


@jit
def output_slot(W, U, pe, o):
    """Slot of the color that an output operand sends on: its queue's, if that is bound to one, else its own. -1 after a
    fault."""
    color = np.int64(U[W[o + O_QUEUE] + Q_COLOR])
    if color == 31:
        color = W[o + O_STRIDE]
    slot = color_slot(U, pe, color)
    if slot < 0:
        fail(W, FNO_COLOR, pe, color, ZERO, ZERO)
    return slot
