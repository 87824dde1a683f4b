# ruff: noqa: F403, F405
"""Single elements of DSDs, read and written by scalar code (ELD and EST)."""

from __future__ import annotations

import numpy as np

from .dsd import decode, in_memory, output_slot, step_unit, walk_of
from .faults import Fault
from .jit import jit
from .memory import load_bits, object_of, store_bits, walk_offset
from .opcodes import *
from .queues import head_entry, pop_input, push_output
from .scalar import size_of, wrap
from .state import *
from .tolerated import stray
from .trace import trace_element_wait, trace_go
from .wheel import fail

E_WIDTH, E_QUEUE = np.int64(Fault.WIDTH), np.int64(Fault.QUEUE_BUSY)
E_WALK = np.int64(Fault.WALK)
E_OPERAND, E_UNSUPPORTED = np.int64(Fault.OPERAND), np.int64(Fault.UNSUPPORTED_DSD)
ZERO, ONE = np.int64(0), np.int64(1)
OK_, WAIT, BAD = np.int64(0), np.int64(1), np.int64(-1)
ELEMENT = np.int64(G_SCRATCH + V_OPERANDS)  # operand record of the element's DSD


@jit
def element_address(W, T, pe, v, k, size, writes):
    """Address of element k of a memory DSD, or -1 after a fault."""
    p = P0 + pe * PK
    tile = W[p + P_TILE]
    base = dsd_base(v)
    if k < 0 or k > MOST_STEPS:
        fail(W, E_WALK, pe, k, k, base)
        return np.int64(-1)
    if dsd_kind(v) == KIND_MEM1D:
        at = base + k * dsd_stride(v) * step_unit(v, size)
    elif dsd_kind(v) == KIND_CIRCBUF:
        if (np.int64(1) << dsd_tag(v)) != size:
            fail(W, E_WIDTH, pe, np.int64(1) << dsd_tag(v), size, ZERO if writes else ONE)
            return np.int64(-1)
        row = walk_of(W, T, pe, v)
        if row < 0:
            return np.int64(-1)
        at = base + ((dsd_position(v) + k) % np.int64(T[row + M4_EXT + 1])) * size
    else:
        row = walk_of(W, T, pe, v)
        if row < 0:
            return np.int64(-1)
        at = base + walk_offset(T, row, k, step_unit(v, size))
    obj = object_of(T, tile, base)
    if (
        obj < 0
        or at < np.int64(T[obj + OB_ADDRESS])
        or at + size > np.int64(T[obj + OB_ADDRESS]) + np.int64(T[obj + OB_SIZE])
    ):
        if not stray(W, T, pe, base, at, at + size, size, writes):
            return np.int64(-1)
    return at


@jit
def element_queue(W, U, T, pe, v, size, writes):
    """The queue of a fabric DSD, whose operand goes to ELEMENT. -1 after a fault: an operation is using the queue, or
    there is none."""
    if not decode(W, T, pe, ELEMENT, OPERAND_DSD, v, size, ZERO if writes else ONE):
        return np.int64(-1)
    q = W[ELEMENT + O_QUEUE]
    if U[q + Q_USER] != 0:
        fail(W, E_QUEUE, pe, np.int64(U[q + Q_ID]), ONE if writes else ZERO, ZERO)
        return np.int64(-1)
    return q


@jit
def wrong_kind(W, pe, v):
    """The DSD is of a kind that has no elements to read, or to write."""
    fail(W, E_OPERAND if dsd_kind(v) == KIND_NONE else E_UNSUPPORTED, pe, dsd_kind(v), ZERO, ZERO)
    return BAD


@jit
def element_load(W, U, T, M8, M16, M32, pe, v, k, ty, result):
    """ELD: element k of a DSD into register index `result`. OK_, WAIT (nothing there yet) or BAD."""
    p = P0 + pe * PK
    size = size_of(ty)
    if in_memory(v):
        at = element_address(W, T, pe, v, k, size, False)
        if at < 0:
            return BAD
        bits = load_bits(M8, M16, M32, W[p + P_MEM] + at, size)
        W[p + P_READ] += size
    elif dsd_kind(v) == KIND_FABIN:
        now = W[G_NOW]
        q = element_queue(W, U, T, pe, v, size, False)
        if q < 0:
            return BAD
        e = head_entry(U, q, now)
        if e < 0:
            trace_element_wait(W, U, pe, q, False)
            return WAIT
        trace_go(W, pe, W[p + P_UT], np.int64(-1), now)
        bits = np.int64(U[e + E_VALUE])
        if W[ELEMENT + O_AUX] & A_TRANSFORM != 0 and entry_control(U[e + E_FLAGS]) != 0:
            bits ^= W[p + P_TRANSFORM]
        if size == 2 and transfer_simd(W[ELEMENT + O_AUX]) != 0:
            if k & 1 == 1 or k == W[ELEMENT + O_LEN] - 1:
                pop_input(W, U, pe, q, now)
            bits = (bits >> 16) if k & 1 == 1 else bits & 0xFFFF
        else:
            pop_input(W, U, pe, q, now)
            if size == 2:
                bits &= 0xFFFF
    else:
        return wrong_kind(W, pe, v)
    W[result] = wrap(bits, ty)
    return OK_


@jit
def element_store(W, U, T, M8, M16, M32, pe, v, k, ty, bits):
    """EST: store into element k of a DSD. OK_, WAIT (no room yet) or BAD."""
    p = P0 + pe * PK
    size = size_of(ty)
    if in_memory(v):
        at = element_address(W, T, pe, v, k, size, True)
        if at < 0:
            return BAD
        store_bits(M8, M16, M32, W[p + P_MEM] + at, size, bits)
        W[p + P_WRITTEN] += size
    elif dsd_kind(v) == KIND_FABOUT:
        q = element_queue(W, U, T, pe, v, size, True)
        if q < 0:
            return BAD
        if U[q + Q_COUNT] >= U[q + Q_CAP]:
            U[q + Q_WAITER] = np.uint32(WAIT_ROOM)
            trace_element_wait(W, U, pe, q, True)
            return WAIT
        trace_go(W, pe, W[p + P_UT], np.int64(-1), W[G_NOW])
        slot = output_slot(W, U, pe, ELEMENT)
        if slot < 0:
            return BAD
        bits = bits & 0xFFFF if size == 2 else bits & 0xFFFFFFFF
        flags = entry_with_slot(transfer_control(W[ELEMENT + O_AUX]), slot)
        if size == 2 and transfer_simd(W[ELEMENT + O_AUX]) != 0:
            # packed: the low half is held in the PE's record until its partner comes
            if k & 1 == 0 and k != W[ELEMENT + O_LEN] - 1:
                W[p + P_MISC] = bits
                return OK_
            if k & 1 == 1:
                bits = W[p + P_MISC] | (bits << 16)
        if W[ELEMENT + O_AUX] & A_TRANSFORM != 0 and entry_control(flags) != 0:
            bits ^= W[p + P_TRANSFORM]
        push_output(W, U, pe, q, bits, flags, W[G_NOW])
    else:
        return wrong_kind(W, pe, v)
    return OK_
