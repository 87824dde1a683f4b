# ruff: noqa: F403, F405
"""The usual vector operations, in memory, without a thread record: mem1d_dsds and scalars, given or in DSRs, all of the
operation's length and inside their variables.

They are most of what a dense program does, and few elements long: preparing them (prepare.py) took ten times as long as
computing them. What is unusual in any way comes back untouched, and goes that way.
"""

from __future__ import annotations

import numpy as np

from .alu import copy_kernel, element, half_kernel, single_kernel, word_kernel
from .dsr import save_dsr
from .jit import inline, jit
from .memory import object_near
from .opcodes import *
from .prepare import in_one_bank, with_collisions
from .state import *

UNUSUAL, ABSENT, VECTOR, SCALAR = (np.int64(i) for i in range(-1, 3))
SHORT = np.int64(16)  # elements that are done one by one where operands are not contiguous; longer ones are staged
NOT_QUICK = np.int64(-1)
ZERO = np.int64(0)


@inline
def operand(W, T, p, tile, row, j, value, size):
    """Operand j (0 destination, 1..3 sources), whose register holds `value`: what it is, its address in the PE or its
    value, the bytes from one element to the next, its length."""
    kind = np.int64(T[row + OP_DST + j])
    if kind == 0:
        return ABSENT, ZERO, ZERO, ZERO
    if kind == OPERAND_SCALAR:
        return SCALAR, value & 0xFFFF if size == 2 else value & 0xFFFFFFFF, ZERO, ZERO
    if kind == OPERAND_POINTER:
        return UNUSUAL, ZERO, ZERO, ZERO
    if kind == OPERAND_DSR:
        d = W[p + P_DSR] + np.int64(T[row + OP_DST_DSR + j]) * DSRK
        value = W[d + DSR_VALUE]
        more = W[d + DSR_MORE]
        if dsr_set(more) != 0:
            config = dsr_config(more)
            if (
                np.int64(T[config + RC_ASYNC]) | np.int64(T[config + RC_ACTION]) | np.int64(T[config + RC_ONCTRL_SET])
                != 0
            ):
                return UNUSUAL, ZERO, ZERO, ZERO
    n = dsd_len(value)
    if dsd_kind(value) != KIND_MEM1D or dsd_wio(value) != 0 or np.int64(1) << dsd_tag(value) != size:
        return UNUSUAL, ZERO, ZERO, ZERO
    base = dsd_base(value)
    stride = dsd_stride(value) * size
    if n == 0 or n == ENDLESS or base & (size - 1) != 0:
        return UNUSUAL, ZERO, ZERO, ZERO
    low = base
    high = base
    last = base + (n - 1) * stride
    if last < low:
        low = last
    else:
        high = last
    high += size
    near = object_near(T, tile, j, base)
    if near < 0:
        return UNUSUAL, ZERO, ZERO, ZERO
    first = np.int64(T[near + OB_ADDRESS])
    if low < first or high > first + np.int64(T[near + OB_SIZE]):
        return UNUSUAL, ZERO, ZERO, ZERO
    return VECTOR, base, stride, n


@inline
def load(M16, M32, at, size):
    return np.int64(M16[at >> 1]) if size == 2 else np.int64(M32[at >> 2])


@jit
def run_quickly(W, T, M16, M32, pe, row, fp, base):
    """Run an operation if it is a usual one. Returns its cycles, or -1: nothing has happened."""
    p = P0 + pe * PK
    code = np.int64(T[row])
    if (
        np.int64(T[row + OP_ASYNC])
        | np.int64(T[row + OP_ACTION])
        | np.int64(T[row + OP_ONCTRL_SET])
        | np.int64(T[row + OP_INDEX])
        != 0
        or W[p + P_UNMASKED] | W[G_EVENTS] != 0
        or code == ADDC16
        or code == DFILT
    ):
        return NOT_QUICK
    tile = W[p + P_TILE]
    info = code * OI
    size, size_a, size_b = np.int64(T[info + OI_DST]), np.int64(T[info + OI_SRC]), np.int64(T[info + OI_SRC + 1])
    kind, d, step, n = operand(W, T, p, tile, row, ZERO, W[fp + base], size)
    if kind != VECTOR:
        return NOT_QUICK
    kind_a, a, step_a, n_a = operand(W, T, p, tile, row, np.int64(1), W[fp + base + 1], size_a)
    kind_b, b, step_b, n_b = operand(W, T, p, tile, row, np.int64(2), W[fp + base + 2], size_b)
    what = np.int64(T[row + OP_DST + 3])
    c = W[fp + base + 3]
    if (
        kind_a == UNUSUAL
        or kind_b == UNUSUAL
        or (kind_a == VECTOR and n_a != n)
        or (kind_b == VECTOR and n_b != n)
        or (what != 0 and what != OPERAND_SCALAR)
    ):
        return NOT_QUICK
    c = c & 0xFFFF if np.int64(T[info + OI_SRC + 2]) == 2 else c & 0xFFFFFFFF
    kernel = np.int64(T[info + OI_KERNEL])
    in_place = (
        kernel != CLASS_NONE
        and step == size
        and (kind_a == VECTOR and step_a == size_a)
        and (kind_b == ABSENT or step_b == size_b)
    )
    if not in_place and n > SHORT:
        return NOT_QUICK
    mem = W[p + P_MEM]
    rate = np.int64(T[info + OI_RATE])
    if kind_a == VECTOR and kind_b == VECTOR and size_a == 4 and size_b == 4:
        some = min(n, np.int64(8))
        hits = ZERO
        for k in range(some):
            if in_one_bank(a + k * step_a, b + k * step_b):
                hits += 1
        rate = with_collisions(W, rate, hits, some)
    d += mem
    if kind_a == VECTOR:
        a += mem
    if kind_b == VECTOR:
        b += mem
    if not in_place:
        for i in range(n):
            x = load(M16, M32, a + i * step_a, size_a) if kind_a == VECTOR else a
            y = load(M16, M32, b + i * step_b, size_b) if kind_b == VECTOR else b
            r = element(code, x, y, c)
            if size == 2:
                M16[(d + i * step) >> 1] = np.uint16(r & 0xFFFF)
            else:
                M32[(d + i * step) >> 2] = np.uint32(r & 0xFFFFFFFF)
    elif size == 2:
        i, j, k = d >> 1, a >> 1, b >> 1
        if kernel == CLASS_HALF:
            half_kernel(code, n, M16[i : i + n], M16[j : j + n], M16[k : k + n], c)
        elif kernel == CLASS_WORD:
            word_kernel(code, n, M16[i : i + n], M16[j : j + n], M16[k : k + n])
        else:
            copy_kernel(n, M16[i : i + n], M16[j : j + n])
    else:
        i, j, k = d >> 2, a >> 2, b >> 2
        if kernel == CLASS_SINGLE:
            single_kernel(code, n, M32[i : i + n], M32[j : j + n], M32[k : k + n], c)
        else:
            copy_kernel(n, M32[i : i + n], M32[j : j + n])
    W[G_VECTOR] += n
    W[p + P_READ] += n * ((size_a if kind_a == VECTOR else ZERO) + (size_b if kind_b == VECTOR else ZERO))
    W[p + P_WRITTEN] += n * size
    W[p + P_FLOPS] += n * np.int64(T[info + OI_FLOPS])
    for j in range(3):
        if np.int64(T[row + OP_DST + j]) == OPERAND_DSR:
            save_dsr(W, T, pe, np.int64(T[row + OP_DST_DSR + j]), n, np.int64(T[info + j]))
    return (n * rate + 65535) >> 16
