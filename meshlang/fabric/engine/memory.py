# ruff: noqa: F403, F405
"""The elements of a PE's memory, and walks over them: how long they are, what they cover, and how they go on.

Walks go in one dimension (K_MEM: an address and a stride), or as a row of a table says (K_MEM4: mem4d_dsd, and
circbuf_dsd as a walk in two dimensions).
"""

from __future__ import annotations

import numpy as np

from .jit import cold, inline, jit
from .opcodes import *
from .state import *
from .tolerated import stray

ZERO = np.int64(0)


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
        M16[at >> 1] = np.uint16(v & 0xFFFF)
    elif size == 4:
        if at & 3 == 0:
            M32[at >> 2] = np.uint32(v & 0xFFFFFFFF)
        else:
            M16[at >> 1] = np.uint16(v & 0xFFFF)
            M16[(at >> 1) + 1] = np.uint16((v >> 16) & 0xFFFF)
    else:
        M8[at] = np.uint8(v & 0xFF)


@jit
def object_of(T, tile, address):
    """Row of the memory object that contains an address, or -1 (binary search)."""
    first = np.int64(T[tile + TT_OBJS])
    lo = np.int64(0)
    hi = np.int64(T[tile + TT_NOBJS])
    while lo < hi:
        mid = (lo + hi) >> 1
        if np.int64(T[first + mid * OBK + OB_ADDRESS]) <= address:
            lo = mid + 1
        else:
            hi = mid
    if lo == 0:
        return np.int64(-1)
    row = first + (lo - 1) * OBK
    if address < np.int64(T[row + OB_ADDRESS]) + np.int64(T[row + OB_SIZE]):
        return row
    return np.int64(-1)


@inline
def object_near(T, tile, j, address):
    """object_of, which is mostly the object that operand j had the last time a PE of this tile program asked."""
    near = np.int64(T[tile + TT_NEAR + j])
    if address < np.int64(T[near + OB_ADDRESS]) or address >= np.int64(T[near + OBK + OB_ADDRESS]):
        near = object_of(T, tile, address)
        if near >= 0:
            T[tile + TT_NEAR + j] = np.int32(near)
    elif address >= np.int64(T[near + OB_ADDRESS]) + np.int64(T[near + OB_SIZE]):
        return np.int64(-1)
    return near


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
    """Byte offset of element k of a mem4d walk. Jump strides: natural step = jump + sum of inner (n - 1) * natural
    step."""
    rank = np.int64(T[row + M4_RANK])
    offset = np.int64(0)
    inner = np.int64(0)
    for d in range(rank):  # innermost first
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
        low -= counters_index(W[o + O_AUX], ZERO) * size
        high = low + (np.int64(T[W[o + O_QUEUE] + M4_EXT + 1]) - 1) * size
    else:
        row = W[o + O_QUEUE]
        rank = np.int64(T[row + M4_RANK])
        inner = np.int64(0)
        for d in range(rank):
            extent = np.int64(T[row + M4_EXT + rank - 1 - d])
            step = np.int64(T[row + M4_STRIDE + d]) + inner
            reach = step * (extent - 1) * W[o + O_STRIDE]
            if reach < 0:
                low += reach
            else:
                high += reach
            inner += step * (extent - 1)
    return low, high + size


@jit
def check_walk(W, T, pe, o, n, j):
    """The first n elements of the memory walk of operand j should stay inside the variable that contains the base
    address. False after a fault."""
    base = W[o + O_ADDR]
    low, high = span_of(W, T, o, n)
    obj = object_near(T, W[P0 + pe * PK + P_TILE], j, base)
    if (
        obj < 0
        or low < np.int64(T[obj + OB_ADDRESS])
        or high > np.int64(T[obj + OB_ADDRESS]) + np.int64(T[obj + OB_SIZE])
    ):
        return stray(W, T, pe, base, low, high, W[o + O_SIZE], j == 0)
    return True


@cold
def beyond(W, T, d, k):
    """The length of the memory vector past which an operation without end runs before it has done k elements, or -1."""
    for j in range(3):
        o = d + j * OK
        if k > W[o + O_LEN] and (
            W[o + O_KIND] == K_MEM
            and W[o + O_STRIDE] != 0
            or W[o + O_KIND] == K_MEM4
            and not is_ring(T, W[o + O_QUEUE])
        ):
            return W[o + O_LEN]
    return np.int64(-1)


@inline
def step4(W, T, o):
    """Advance a mem4d walk by one element: the innermost counter that has not ended steps by its jump stride."""
    row = W[o + O_QUEUE]
    rank = np.int64(T[row + M4_RANK])
    counters = W[o + O_AUX]
    for d in range(rank):
        c = counters_index(counters, d) + 1
        if c < np.int64(T[row + M4_EXT + rank - 1 - d]) or d == rank - 1:
            counters = counters_with_index(counters, d, c)
            W[o + O_ADDR] += np.int64(T[row + M4_STRIDE + d]) * W[o + O_STRIDE]
            break
        counters = counters_with_index(counters, d, ZERO)
    W[o + O_AUX] = counters


@inline
def next_element(W, T, o):
    if W[o + O_KIND] == K_MEM:
        W[o + O_ADDR] += W[o + O_STRIDE]
    else:
        step4(W, T, o)
