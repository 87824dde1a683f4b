# ruff: noqa: F403, F405
"""DSDs: the fields of their words, and the operand that one describes."""

from __future__ import annotations

import numpy as np

from .faults import Fault
from .jit import inline, jit
from .memory import is_ring, object_of, walk_length
from .opcodes import *
from .queues import color_slot
from .state import *
from .tolerated import note, stray
from .wheel import fail

FWIDTH, FOPERAND, FUNSUPPORTED = np.int64(Fault.WIDTH), np.int64(Fault.OPERAND), np.int64(Fault.UNSUPPORTED_DSD)
FNO_QUEUE, FNO_COLOR = np.int64(Fault.NO_QUEUE), np.int64(Fault.NO_COLOR)
FNO_DSD, FNOWHERE = np.int64(Fault.NO_DSD), np.int64(Fault.WALK_NOWHERE)
ZERO = np.int64(0)


@inline
def in_memory(v):
    """Is it a DSD of memory (and no FIFO)?"""
    what = dsd_kind(v)
    return what == KIND_MEM1D or what == KIND_MEM4D or what == KIND_CIRCBUF


@jit
def edit_dsd(op, v, x, size):
    """DBASE, DINC, DLEN, DSTRIDE."""
    if op == DBASE:
        if dsd_kind(v) == KIND_CIRCBUF:
            v = dsd_with_position(v, ZERO)  # it begins at the start of its new ring
        tag = np.int64(1) if size == 2 else np.int64(2) if size == 4 else np.int64(0)
        return dsd_with_tag(dsd_with_base(v, x), tag)
    if op == DINC:
        return dsd_with_base(v, dsd_base(v) + x * size)
    if op == DLEN:
        return dsd_with_len(v, x)
    if op == DSTRIDE:
        return dsd_with_stride(v, x)
    return v


@inline
def step_unit(v, size):
    """Bytes that a step of 1 in a DSD of memory means to an operation on elements of `size` bytes."""
    return max(size, np.int64(1) << dsd_tag(v))


@jit
def find_walk(W, T, pe, v):
    """Row in T of the walk that a mem4d_dsd or circbuf_dsd goes, or -1: the word is no DSD of this program."""
    tile = W[P0 + pe * PK + P_TILE]
    n = dsd_len(v)
    if n >= np.int64(T[tile + TT_NMEM4D]):
        return np.int64(-1)
    row = np.int64(T[tile + TT_MEM4D]) + n * M4_COLUMNS
    if is_ring(T, row):
        return row if dsd_kind(v) == KIND_CIRCBUF and dsd_position(v) < np.int64(T[row + M4_EXT + 1]) else np.int64(-1)
    return row if dsd_kind(v) == KIND_MEM4D else np.int64(-1)


@jit
def walk_of(W, T, pe, v):
    """find_walk; a word that is no DSD is a fault."""
    row = find_walk(W, T, pe, v)
    if row < 0:
        fail(W, FNO_DSD, pe, v, ZERO, ZERO)
    return row


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
        if v < 0 or v > W[p + P_MEMSIZE] - size:
            fail(W, FNOWHERE, pe, v, ZERO, ZERO)
            return False
        obj = object_of(T, W[p + P_TILE], v)
        if obj < 0 or v + size > np.int64(T[obj + OB_ADDRESS]) + np.int64(T[obj + OB_SIZE]):
            return stray(W, T, pe, v, v, v + size, size, position == 0)
        return True
    what = dsd_kind(v)
    if in_memory(v):
        tag = dsd_tag(v)
        # length and stride count elements of the wider of the two widths: a wider operation moves groups of the DSD's
        # elements, a narrower one the low part of each
        if (np.int64(1) << tag) != size:
            # a ring of other elements would leave its array
            if tag == 0 or what == KIND_CIRCBUF or W[G_STRICT] != 0:
                fail(W, FWIDTH, pe, np.int64(1) << tag, size, position)
                return False
            note(W, T, pe, np.int64(N_WIDTH), position, np.int64(1) << tag, size, ZERO)
        W[o + O_ADDR] = dsd_base(v)
        if what == KIND_MEM1D:
            W[o + O_KIND] = K_MEM
            W[o + O_LEN] = dsd_len(v)
            W[o + O_STRIDE] = dsd_stride(v) * step_unit(v, size)
        else:
            W[o + O_KIND] = K_MEM4
            W[o + O_STRIDE] = step_unit(v, size)
            row = walk_of(W, T, pe, v)
            if row < 0:
                return False
            W[o + O_QUEUE] = row
            W[o + O_LEN] = walk_length(T, row)
            if what == KIND_CIRCBUF:
                W[o + O_AUX] = dsd_position(v)
                W[o + O_ADDR] += W[o + O_AUX] * size
                return True
        if dsd_wio(v) != 0:
            W[o + O_AUX] = CO_WIO  # wavelet_index_offset: the caller adds the index
        return True
    if what == KIND_FABIN or what == KIND_FABOUT:
        tile = W[p + P_TILE]
        count = np.int64(T[tile + (TT_NIQ if what == KIND_FABIN else TT_NOQ)])
        first = W[p + (P_IQ if what == KIND_FABIN else P_OQ)]
        wanted = -1
        if dsd_hasq(v) != 0:
            wanted = dsd_queue(v)
        color = -1
        if dsd_hascolor(v) != 0:
            color = dsd_color(v)
        W[o + O_LEN] = dsd_len(v)
        W[o + O_KIND] = K_IN if what == KIND_FABIN else K_OUT
        aux = transfer_with_control(dsd_simd(v), dsd_control(v))
        aux = transfer_with_prio(transfer_with_wio(aux, dsd_wio(v)), dsd_prio(v))
        aux = transfer_with_zero(transfer_with_advance(aux, dsd_advance(v)), dsd_zero(v))
        W[o + O_AUX] = transfer_with_transform(aux, dsd_xform(v))
        W[o + O_ADDR] = 0
        W[o + O_STRIDE] = color  # of an input: the color it wants its queue to be bound to
        return decode_queue(W, T, pe, o, wanted, color, count, first, what)
    if what == KIND_FIFO:
        n = dsd_fifo(v)
        if n >= np.int64(T[W[p + P_TILE] + TT_NFIFOS]):
            fail(W, FNO_DSD, pe, v, ZERO, ZERO)
            return False
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
            if np.int64(T[table + i * QRK + QR_ID]) == wanted:
                n = np.int64(i)
                break
        elif np.int64(T[table + i * QRK + QR_COLOR]) == color and color >= 0:
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
    """Slot of the color that an output operand sends on: on WSE-2 its own, if it has one, and else its queue's; on WSE-3
    it is the other way round. -1 after a fault."""
    color = np.int64(U[W[o + O_QUEUE] + Q_COLOR])
    if color == NO_COLOR or W[G_WSE3] == 0 and W[o + O_STRIDE] >= 0:
        color = W[o + O_STRIDE]
    slot = color_slot(U, pe, color)
    if slot < 0:
        fail(W, FNO_COLOR, pe, color, ZERO, ZERO)
    return slot
