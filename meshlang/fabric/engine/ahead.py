# ruff: noqa: F403, F405
"""Fetching ahead: before the compute elements of a word of the wheel are visited, the lines that their visits will need.

A visit finds what it needs along chains (PE record, thread, queue, entry), so a large mesh would wait for memory several
times a visit. Here each link of the chains is fetched for all PEs of the word before the next one is. `bits`: which PEs.
Nothing depends on any of this. (Measured: MeshGEMM on 128 x 128 PEs is a third faster. The same for routers, whose
records lie one after the other and which processors fetch by themselves, costs a fifth.)
"""

from __future__ import annotations

import numpy as np

from .jit import ctz, jit, prefetch
from .state import *

LINE = np.int64(8)  # words of W
LINES_OF_PE = np.int64(3)  # those of a PE record that most visits need
LINES_OF_THREAD = np.int64(3)  # those of a thread record that a step needs
LINES_OF_FRAME = np.int64(3)


@jit
def elements_ahead(W, U, M16, word, bits, now):
    """PE records; threads, registers and queues; what threads point to."""
    rest = bits
    while rest != 0:
        p = P0 + ((word << 6) + ctz(rest)) * PK
        rest &= rest - 1
        for i in range(LINES_OF_PE):
            prefetch(W, p + i * LINE)
    rest = bits
    while rest != 0:
        p = P0 + ((word << 6) + ctz(rest)) * PK
        rest &= rest - 1
        running = W[p + P_UTMASK]
        while running != 0:
            v = W[p + P_UT] + ctz(running) * TK
            running &= running - 1
            for i in range(LINES_OF_THREAD):
                prefetch(W, v + i * LINE)
        if W[p + P_ST] != ST_OP and W[p + P_TIME] <= now:
            for i in range(LINES_OF_FRAME):
                prefetch(W, W[p + P_FP] + i * LINE)
        for i in range(2):
            prefetch(U, W[p + P_IQ] + i * QK)
            prefetch(U, W[p + P_OQ] + i * QK)
    rest = bits
    while rest != 0:
        p = P0 + ((word << 6) + ctz(rest)) * PK
        rest &= rest - 1
        running = W[p + P_UTMASK]
        while running != 0:
            d = W[p + P_UT] + ctz(running) * TK + V_OPERANDS
            running &= running - 1
            for j in range(2):
                o = d + j * OK
                if W[o + O_KIND] == K_MEM:
                    prefetch(M16, (W[p + P_MEM] + W[o + O_ADDR]) >> 1)
                elif W[o + O_KIND] == K_IN or W[o + O_KIND] == K_OUT:
                    q = W[o + O_QUEUE]
                    prefetch(U, np.int64(U[q + Q_BUF]) + np.int64(U[q + Q_HEAD]) * EK)
