# ruff: noqa: F403, F405
"""Vector operations whose operands are all in memory: each runs at once and costs elements / width cycles beside
its instruction.

Kernels (alu.py) take whole slices. Operands that are no slices are staged in chunks; where the order of elements
matters, they are computed one by one.
"""

from __future__ import annotations

import numpy as np

from .alu import copy_kernel, element, half_kernel, single_kernel, word_kernel
from .dsr import save_addresses
from .exceptions import stops, vector_exceptions
from .faults import Fault
from .fifos import fifo_action, fifo_fault, fifo_pop, fifo_push, fifo_ready, fifo_stopped
from .jit import inline, jit
from .memory import beyond, load_bits, next_element, span_of, step4, store_bits
from .opcodes import *
from .state import *
from .wheel import fail

# elements a bulk operation stages at a time; scratch for three operands is at W[G_STAGING], of one thread at the start of
# the memories
CHUNK = np.int64(256)
SCRATCH = 4 * CHUNK  # bytes per operand
MEMORY_START = 4 * SCRATCH
FENDLESS = np.int64(Fault.ENDLESS_WALK)
ZERO = np.int64(0)


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
    """May elements be read in chunks before results are written? Yes if no source overlaps the destination, or only by
    being the same walk. Otherwise the order of elements matters."""
    d = v + V_OPERANDS
    if W[d + O_KIND] != K_MEM and W[d + O_KIND] != K_MEM4:
        return False
    low, high = span_of(W, T, d, n)
    for j in range(1, 4):
        o = d + j * OK
        if W[o + O_KIND] == K_MEM or W[o + O_KIND] == K_MEM4:
            other_low, other_high = span_of(W, T, o, n)
            if other_low < high and low < other_high:
                same = (
                    W[o + O_KIND] == K_MEM
                    and W[d + O_KIND] == K_MEM
                    and W[o + O_ADDR] == W[d + O_ADDR]
                    and W[o + O_STRIDE] == W[d + O_STRIDE]
                    and abs(W[d + O_STRIDE]) >= W[d + O_SIZE]
                )
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
        xa = W[G_STAGING] + SCRATCH
        if W[a + O_KIND] == K_SCALAR:
            gather(W, T, M16, M32, a, mem, np.int64(CHUNK) if n > CHUNK else n, xa)
    if b_in_place:
        xb = mem + W[b + O_ADDR]
    else:
        xb = W[G_STAGING] + 2 * SCRATCH
        if two and W[b + O_KIND] == K_SCALAR:
            gather(W, T, M16, M32, b, mem, np.int64(CHUNK) if n > CHUNK else n, xb)
    xd = mem + W[d + O_ADDR] if d_in_place else W[G_STAGING]
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
                half_kernel(code, m, M16[i : i + m], M16[j : j + m], M16[k : k + m], c)
            elif kernel == CLASS_WORD:
                word_kernel(code, m, M16[i : i + m], M16[j : j + m], M16[k : k + m])
            else:
                copy_kernel(m, M16[i : i + m], M16[j : j + m])
        else:
            i = xd >> 2
            j = xa >> 2
            k = xb >> 2
            if kernel == CLASS_SINGLE:
                single_kernel(code, m, M32[i : i + m], M32[j : j + m], M32[k : k + m], c)
            else:
                copy_kernel(m, M32[i : i + m], M32[j : j + m])
        if not d_in_place:
            scatter(W, T, M16, d, mem, m, xd)
        else:
            xd += m * size
        if a_in_place:
            xa += m * size
        if b_in_place:
            xb += m * size
        done += m


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
    return r & 0xFFFF


@inline
def count_work(W, T, p, v, k):
    """An operation has ended after k elements: what it has read from memory, written to it, and computed. A scalar that
    it leaves behind a pointer is written once."""
    d = v + V_OPERANDS
    read = np.int64(0)
    for j in range(1, 3):
        kind = W[d + j * OK + O_KIND]
        if kind == K_MEM or kind == K_MEM4 or kind == K_FIFO:
            read += W[d + j * OK + O_SIZE]
    W[p + P_READ] += k * read
    kind = W[d + O_KIND]
    if kind == K_MEM or kind == K_MEM4 or kind == K_FIFO:
        W[p + P_WRITTEN] += k * W[d + O_SIZE]
    elif kind == K_POINTER:
        W[p + P_WRITTEN] += W[d + O_SIZE]
    W[p + P_FLOPS] += k * np.int64(T[W[v + V_CODE] * OI + OI_FLOPS])


@jit
def run_in_memory(W, T, M8, M16, M32, pe, v):
    """A whole operation without fabric operands; one with a FIFO as far as it gets at once. Returns the cycles of its elements, or -1
    after a fault."""
    p = P0 + pe * PK
    mem = W[p + P_MEM]
    code = W[v + V_CODE]
    n = W[v + V_N]
    d = v + V_OPERANDS
    kernel = np.int64(T[code * OI + OI_KERNEL])
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
                past = beyond(W, T, d, np.int64(i + 1)) if n == ENDLESS else np.int64(-1)
                if past >= 0:
                    fail(W, FENDLESS, pe, past, ZERO, ZERO)
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
            # a stopped operation leaves the scalar alone
            store_bits(M8, M16, M32, mem + W[d + O_ADDR], W[d + O_SIZE], r)
    W[v + V_K] = k
    W[G_VECTOR] += k
    count_work(W, T, p, v, k)
    cycles = (k * rate + 65535) >> 16
    if fifo and k < n:
        fifo_stopped(W, v)
    save_addresses(W, T, pe, v)
    return cycles
