# ruff: noqa: F403, F405
"""Before a vector operation runs: its row of the table and its registers become a thread record (state.py), checked, with
its rate.

Length: that of src0 if not zero, else src1, else the destination, else 1 (facts 6.12); 0x7fff has no end.
"""

from __future__ import annotations

import numpy as np

from .dsd import decode, output_slot
from .faults import Fault
from .jit import cold, inline, jit
from .memory import check_walk, is_ring, walk_offset
from .opcodes import *
from .state import *
from .tolerated import note_length
from .wheel import fail

FOPERAND, FWALK, FENDLESS = np.int64(Fault.OPERAND), np.int64(Fault.WALK), np.int64(Fault.ENDLESS_WALK)
ZERO, ONE = np.int64(0), np.int64(1)
# address bits that say in which of the four banks of 32 bits a word lies
BANKS = np.int64(0b1100)


@jit
def prepare(W, U, T, pe, v, row, fp, base):
    """Fill a thread record from an operation row and its registers.

    Returns 0 for an operation in memory only, 1 for one with a fabric operand, 2 for one with a FIFO only, -1 after a
    fault.
    """
    code = np.int64(T[row])
    W[v + V_ROW] = row
    W[v + V_CODE] = code
    W[v + V_K] = 0
    W[v + V_FLAGS] = F_ASYNC if np.int64(T[row + OP_ASYNC]) != 0 else 0
    W[v + V_ACTION] = np.int64(T[row + OP_ACTION])
    if np.int64(T[row + OP_ACTION]) != 0:
        W[v + V_ACTION] = action_with_id(W[v + V_ACTION], W[fp + base + 5])
    W[v + V_ONCTRL] = 0
    if np.int64(T[row + OP_ONCTRL_SET]) != 0:
        W[v + V_ONCTRL] = action_with_id(T[row + OP_ONCTRL], W[fp + base + 6]) | ACT_SET
    W[v + V_ID] = np.int64(T[row + OP_UT])
    W[v + V_RANK] = np.int64(T[row + OP_PRIO])
    W[v + V_INDEX] = -1
    if np.int64(T[row + OP_INDEX]) != 0:
        W[v + V_INDEX] = W[fp + base + 4] & 0xFFFF
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
    incoming = W[d + OK + O_KIND] == K_IN or W[d + 2 * OK + O_KIND] == K_IN
    if code == DFILT and not incoming:
        fail(W, FOPERAND, pe, ONE, ZERO, ZERO)
        return np.int64(-1)
    fabric = np.int64(0)
    fifo = False
    step = np.int64(2)
    for j in range(4):
        o = d + j * OK
        kind = W[o + O_KIND]
        if kind == K_IN or kind == K_OUT:
            fabric = np.int64(1)
            # two 16-bit elements in a wavelet in any SIMD mode. A mode of 64 bits would want two wavelets at a time;
            # the link brings one per cycle, so it is the same rate
            if W[o + O_SIZE] != 2:
                W[o + O_AUX] = transfer_with_simd(W[o + O_AUX], ZERO)
            if transfer_simd(W[o + O_AUX]) == 0:
                step = np.int64(1)
            if (
                W[o + O_LEN] != n
                and W[o + O_LEN] != 0
                and W[o + O_LEN] != ENDLESS
                and n != ENDLESS
                and not note_length(W, U, T, pe, v, np.int64(j))
            ):
                return np.int64(-1)
            if transfer_zero(W[o + O_AUX]) != 0:
                zero_source(W, v, transfer_zero(W[o + O_AUX]))
        elif kind == K_FIFO:
            step = np.int64(1)  # an element at a time: there may be one only
            fifo = True
        elif kind == K_MEM or kind == K_MEM4:
            own = W[o + O_LEN]
            ring = kind == K_MEM4 and is_ring(T, W[o + O_QUEUE])
            if n == ENDLESS:
                if own == ENDLESS and not ring and not (kind == K_MEM and W[o + O_STRIDE] == 0):
                    fail(W, FENDLESS, pe, own, ZERO, ZERO)
                    return np.int64(-1)
                if ring or own != ENDLESS and own > 0:
                    if not check_walk(W, T, pe, o, own, np.int64(j)):
                        return np.int64(-1)
                elif kind == K_MEM and W[o + O_STRIDE] == 0 and not check_walk(W, T, pe, o, ONE, np.int64(j)):
                    return np.int64(-1)
            elif W[v + V_ONCTRL] != 0 and 0 < own < n and not ring and incoming:
                # `on_control`: the longer operand is the most there can be, and only what arrives is stored
                W[v + V_FLAGS] |= F_OPEN
                if not check_walk(W, T, pe, o, own, np.int64(j)):
                    return np.int64(-1)
            else:
                if own != n and (own != ENDLESS or kind == K_MEM4 and not ring):
                    if not note_length(W, U, T, pe, v, np.int64(j)):
                        return np.int64(-1)
                    if kind == K_MEM4 and n > own and not ring:
                        fail(W, FWALK, pe, W[o + O_ADDR], W[o + O_ADDR] + n * W[o + O_SIZE], W[o + O_ADDR])
                        return np.int64(-1)
                if not check_walk(W, T, pe, o, n, np.int64(j)):
                    return np.int64(-1)
    if fabric == 0 and n == ENDLESS and not fifo:
        fail(W, FENDLESS, pe, n, ZERO, ZERO)
        return np.int64(-1)
    if fabric == 0 and fifo:
        fabric = np.int64(2)
    if W[P0 + pe * PK + P_UNMASKED] != 0:
        W[v + V_FLAGS] |= F_CHECKED
    W[v + V_STEP] = step
    W[v + V_RATE] = rate(W, T, pe, v)
    return fabric


@jit
def make_operand(W, U, T, pe, v, j, row, fp, base):
    """Operand j (0 destination, 1..3 sources) of operation row `row`. False after a fault."""
    o = v + V_OPERANDS + j * OK
    kind = np.int64(T[row + OP_DST + j])
    W[o + O_KIND] = K_NONE
    # an absent operand has no length; the record held another operation before
    W[o + O_LEN] = 0
    if kind == 0:
        return True
    code = np.int64(T[row])
    size = np.int64(T[code * OI + j])
    value = W[fp + base + j]
    if kind == OPERAND_DSR:
        dsr = np.int64(T[row + OP_DST_DSR + j])
        d = W[P0 + pe * PK + P_DSR] + dsr * DSRK
        value = W[d + DSR_VALUE]
        more = W[d + DSR_MORE]
        if dsr_set(more) != 0:
            config = dsr_config(more)
            if np.int64(T[config + RC_ASYNC]) != 0:
                W[v + V_FLAGS] |= F_ASYNC
            if np.int64(T[config + RC_ACTION]) != 0:
                W[v + V_ACTION] = action_with_id(T[config + RC_ACTION], dsr_action(more))
            if np.int64(T[config + RC_ONCTRL_SET]) != 0:
                W[v + V_ONCTRL] = action_with_id(T[config + RC_ONCTRL], dsr_onctrl(more)) | ACT_SET
            if np.int64(T[config + RC_UT]) >= 0:
                W[v + V_ID] = np.int64(T[config + RC_UT])
            if np.int64(T[config + RC_PRIO]) != 0:
                W[v + V_RANK] = np.int64(T[config + RC_PRIO])
    if not decode(W, T, pe, o, kind if kind != OPERAND_DSR else np.int64(OPERAND_DSD), value, size, np.int64(j)):
        return False
    what = W[o + O_KIND]
    if (what == K_MEM or what == K_MEM4) and W[o + O_AUX] & CO_WIO != 0:
        W[o + O_AUX] = 0
        if np.int64(T[row + OP_INDEX]) != 0:
            W[o + O_ADDR] += (W[fp + base + 4] & 0xFFFF) * 2  # in words
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
        W[v + V_RANK] = transfer_prio(W[o + O_AUX])
    return True


@cold
def zero_source(W, v, which):
    """`zero` of a fabout_dsd: the memory vector of the first or second source is cleared, each element when it has been
    read. An operation with one source has it as its second (facts 6.7)."""
    a = W[v + V_OPERANDS + OK + O_KIND]
    b = W[v + V_OPERANDS + 2 * OK + O_KIND]
    if which == 2 and (b == K_MEM or b == K_MEM4):
        W[v + V_ZERO] = 2
    elif (which == 1 or b == K_NONE) and (a == K_MEM or a == K_MEM4):
        W[v + V_ZERO] = 1


@jit
def rate(W, T, pe, v):
    """Cycles an element * 65536. Two memory sources of 32 bits take a read each: one element a cycle, and more where both
    lie in one bank."""
    r = np.int64(T[W[v + V_CODE] * OI + OI_RATE])
    a = v + V_OPERANDS + OK
    b = a + OK
    if W[a + O_SIZE] != 4 or W[b + O_SIZE] != 4:
        return r
    if (W[a + O_KIND] != K_MEM and W[a + O_KIND] != K_MEM4) or (W[b + O_KIND] != K_MEM and W[b + O_KIND] != K_MEM4):
        return r
    for j in range(1, 3):
        o = v + V_OPERANDS + j * OK
        if W[o + O_KIND] == K_MEM4 and is_ring(T, W[o + O_QUEUE]):
            return r if r > 65536 else np.int64(65536)
    # strides are even numbers of bytes: the banks repeat after eight elements
    n = W[v + V_N]
    if n > 8:
        n = np.int64(8)
    hits = np.int64(0)
    for k in range(n):
        if in_one_bank(operand_address(W, T, a, np.int64(k)), operand_address(W, T, b, np.int64(k))):
            hits += 1
    return with_collisions(W, r, hits, n)


@inline
def in_one_bank(x, y):
    """Do the words at two addresses lie in one bank?"""
    return (x ^ y) & BANKS == 0


@inline
def with_collisions(W, r, hits, n):
    """The rate of an operation with two memory sources of 32 bits, of whose first n pairs of elements `hits` lie in one
    bank; r: without them."""
    if r < 65536:
        r = np.int64(65536)
    return r + hits * W[TIME_DSD_COLLISION] * 65536 // n


@inline
def operand_address(W, T, o, k):
    """Address of element k of a memory operand that has not begun."""
    if W[o + O_KIND] == K_MEM:
        return W[o + O_ADDR] + k * W[o + O_STRIDE]
    return W[o + O_ADDR] + walk_offset(T, W[o + O_QUEUE], k, W[o + O_SIZE])


@cold
def overrun(W, U, T, pe, v, d, k):
    """An operation marked F_OPEN goes past a memory vector in the step from element k: from here on it is like any
    other of its length. False after a fault."""
    n = W[v + V_N]
    pc = W[P0 + pe * PK + P_PC]
    W[P0 + pe * PK + P_PC] = W[v + V_PC]  # of the operation, not of what runs now: notes name its line
    good = True
    for j in range(3):
        o = d + j * OK
        own = W[o + O_LEN]
        if (
            good
            and (W[o + O_KIND] == K_MEM or W[o + O_KIND] == K_MEM4 and not is_ring(T, W[o + O_QUEUE]))
            and 0 < own < k + W[v + V_STEP]
            and own < n
        ):
            W[v + V_FLAGS] &= ~F_OPEN
            good = note_length(W, U, T, pe, v, np.int64(j))
            at = W[o + O_ADDR]
            if good and W[o + O_KIND] == K_MEM4:
                fail(W, FWALK, pe, at, at + (n - k) * W[o + O_SIZE], at)
                good = False
            elif good:
                W[o + O_ADDR] = at - k * W[o + O_STRIDE]
                good = check_walk(W, T, pe, o, n, np.int64(j))
                W[o + O_ADDR] = at
    W[P0 + pe * PK + P_PC] = pc
    return good
