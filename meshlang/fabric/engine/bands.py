# ruff: noqa: F403, F405
"""Several threads: each runs the PEs of a band of rows, in step with the others.

A band has globals, wheel and logs of its own; W is mapped once for each, with these globals in their place
(fabric/bands.py), so that no other source of the engine knows of bands. What may be visited at once:

- A router reads and writes its own record, channels, and those of its neighbours, with effect from the next cycle on. So
  two whose rows are next but one at the most are never visited at once: a band visits its first two rows before all
  others, and its last two when the band below is through with its first two.
- A compute element touches what its own router has, and so its first row waits until the band above is through with its
  routers. But if it changes a route, neighbours that wait look again: beyond the border that is a letter.

A wake-up of a router beyond the border goes into the own wheel, and its band takes it from there when the cycle comes.
A band begins with a word of the wheel, so no word belongs to two.

Between two cycles all bands meet, and the first says what is next. Nobody waits in a kernel: `give_way` is the
system's sched_yield, after a while. With `turns`, one thread runs all bands: where it would have to wait, the run loop
returns (STOP_TURN) and goes on there the next time.
"""

from __future__ import annotations

import numpy as np

from .clock import GO, STOP_FAULT, STOP_LOG, STOP_TURN, next_cycle, what_stops
from .jit import cold, give_way, load_acquire, store_release
from .state import *
from .wheel import wake_router

# parts of a cycle, in their order
START, MEETING, EARLY, MIDDLE, LATE, ELEMENTS, BORDER, FAILED = (np.int64(i) for i in range(8))
FAULT_WORDS = np.int64(G_FC - G_FAULT + 1)
PATIENCE = np.int64(500)  # looks before the processor is given to others
ZERO = np.int64(0)


@cold
def has_come(W, at, value):
    """Wait until the word at `at` has come to a value. False: it has not, and others have their turn."""
    looks = ZERO
    while load_acquire(W, at) < value:
        if W[G_TURNS] != 0:
            return False
        looks += 1
        give_way(W[G_GIVEWAY] if looks > PATIENCE else ZERO)
    return True


@cold
def next_part(W, U):
    """What the band visits next, in W[G_STAGE] and W[G_PLACE]; waits for what it needs. GO, or a STOP_ number."""
    me = W[G_MINE]
    stage = W[G_STAGE]
    if W[G_FAULT] != 0 and stage == ELEMENTS:
        keep_fault(W)
    elif W[G_FAULT] == 0 and W[G_KEPT] != 0 and stage == BORDER:
        for i in range(FAULT_WORDS):
            W[G_FAULT + i] = W[G_KEPT + i]
        W[G_NOW] = W[G_KEPT + FAULT_WORDS]
        W[me + B_FAILED] = 3
    if W[G_FAULT] != 0 and stage != MEETING:
        if W[me + B_FAILED] == 0:
            W[me + B_FAILED] = 1 if stage <= LATE else 2
        arrive(W, FAILED)
    elif stage == BORDER:
        W[G_NOW] += 1
        arrive(W, BORDER)
    elif stage == START:
        arrive(W, START)
    if W[G_STAGE] == MEETING:
        if W[G_BAND] == 0 and not decide(W):
            return STOP_TURN
        leader = W[G_RECORDS]
        if not has_come(W, leader + B_GO, W[G_MEETING]):
            return STOP_TURN
        if W[leader + B_CODE] != GO:
            return W[leader + B_CODE]
        W[G_NOW] = W[leader + B_CLOCK]
        W[G_STAGE] = EARLY
        W[G_PLACE] = W[G_EARLY]
        begin_routers(W, U)
        return GO
    through = W[G_MEETING] * 8
    store_release(W, me + B_DONE, through + stage)
    if stage == EARLY:
        W[G_STAGE] = MIDDLE
        W[G_PLACE] = slot_of(W, W[G_BITS_R])
    elif stage == MIDDLE:
        if W[G_BAND] + 1 < W[G_BANDS] and not has_come(W, me + BK + B_DONE, through + EARLY):
            return STOP_TURN
        W[G_STAGE] = LATE
        W[G_PLACE] = W[G_LATE]
    elif stage == LATE:
        # by turns, compute elements are visited band after band (is_last)
        if W[G_TURNS] != 0 and W[G_BAND] > 0 and W[me - BK + B_DONE] < through + BORDER:
            return STOP_TURN
        W[G_STAGE] = ELEMENTS
        W[G_PLACE] = slot_of(W, W[G_BITS_C])
        W[G_OCC_C] &= ~(np.int64(1) << (W[G_NOW] & 63))
        if W[G_BAND] > 0:
            set_aside(W, W[G_PLACE], W[G_BORDER], W[me + B_FIRST], W[me + B_FIRST] + W[G_WIDTH])
    else:
        if W[G_BAND] > 0 and not has_come(W, me - BK + B_DONE, through + LATE):
            return STOP_TURN
        W[G_STAGE] = BORDER
        W[G_PLACE] = W[G_BORDER]
        W[G_PRINTSBORDER] = W[G_PLOGN]
        W[G_FLIGHTBORDER] = W[G_FLIGHTN]
    return GO


@cold
def keep_fault(W):
    """A compute element has failed, and those of the first row, which come before it in the order of PEs, have not been
    visited: they are now, and the fault waits."""
    for i in range(FAULT_WORDS):
        W[G_KEPT + i] = W[G_FAULT + i]
    W[G_KEPT + FAULT_WORDS] = W[G_NOW]
    W[G_FAULT] = 0
    W[G_NOW] = W[W[G_RECORDS] + B_CLOCK]


@cold
def arrive(W, part):
    """The band is through with a cycle, and tells what the first band needs to know. If it ends with a fault, nobody waits
    for it any more."""
    me = W[G_MINE]
    W[me + B_OCCUPIED] = W[G_OCC_R] | W[G_OCC_C]
    W[me + B_CMDS] = W[G_CMDS]
    W[me + B_LEFT] = W[G_HINLEFT]
    W[me + B_STREAMED] = W[G_SCOUNT + W[G_SCOLOR]]
    W[me + B_PRINTS] = 1 if W[G_PLOGN] >= W[G_PLOGCAP] else 0
    W[me + B_HOSTED] = W[G_HLOGN]
    W[me + B_EXPRESSED] = W[G_EXPRESSED]
    store_release(W, me + B_DONE, W[G_MEETING] * 8 + part)
    W[G_MEETING] += 1
    W[G_STAGE] = MEETING
    store_release(W, me + B_ARRIVED, W[G_MEETING])


@cold
def decide(W):
    """The first band waits for all others, and says what comes next. False: not all have come."""
    leader = W[G_RECORDS]
    if W[leader + B_GO] == W[G_MEETING]:
        return True
    occupied, cmds, left, streamed, hosted, expressed = ZERO, ZERO, ZERO, ZERO, ZERO, ZERO
    full, failed = False, False
    for b in range(W[G_BANDS]):
        r = leader + b * BK
        if not has_come(W, r + B_ARRIVED, W[G_MEETING]):
            return False
        occupied |= W[r + B_OCCUPIED]
        cmds += W[r + B_CMDS]
        left += W[r + B_LEFT]
        streamed += W[r + B_STREAMED]
        hosted += W[r + B_HOSTED]
        expressed = max(expressed, W[r + B_EXPRESSED])
        full = full or W[r + B_PRINTS] != 0
        failed = failed or W[r + B_FAILED] != 0
    code = np.int64(STOP_FAULT)
    if not failed:
        code = what_stops(W, cmds, streamed, left)
        if code == GO and (full or hosted + W[G_NHOUT] > W[G_HLOGCAP]):
            code = np.int64(STOP_LOG)
        if code == GO:
            code = next_cycle(W, occupied, expressed)
    if code == GO:
        W[leader + B_CLOCK] = W[G_NOW]
    W[leader + B_CODE] = code
    store_release(W, leader + B_GO, W[G_MEETING])
    return True


@cold
def slot_of(W, bits):
    """The bitmap of this cycle."""
    return bits + (W[G_NOW] & 63) * (W[G_L0] + W[G_L1])


@cold
def set_aside(W, place, to, first, end):
    """The wake-ups of some PEs go from one bitmap to another."""
    w = first >> 6
    while (w << 6) < end:
        mask = np.int64(-1)
        if (w << 6) < first:
            mask &= np.int64(-1) << (first & 63)
        if (w << 6) + 64 > end:
            mask &= (np.int64(1) << (end & 63)) - 1
        bits = W[place + w] & mask
        if bits != 0:
            W[place + w] &= ~mask
            W[to + w] |= bits
            W[to + W[G_L0] + (w >> 6)] |= np.int64(1) << (w & 63)
        w += 1


@cold
def begin_routers(W, U):
    """A cycle begins: what other bands have for this one is taken over, and first and last rows are set aside."""
    me = W[G_MINE]
    width = W[G_WIDTH]
    first, end = W[me + B_FIRST], W[me + B_END]
    W[G_PRINTSBEFORE] = W[G_PLOGN]
    W[G_HOSTEDBEFORE] = W[G_HLOGN]
    W[G_FLIGHTBEFORE] = W[G_FLIGHTN]
    W[G_OCC_R] &= ~(np.int64(1) << (W[G_NOW] & 63))
    place = slot_of(W, W[G_BITS_R])
    if W[G_BAND] > 0:
        above = me - BK
        leave_alone(W, place, first - width, first)
        take_over(W, slot_of(W, W[above + B_WHEEL]), place, first, first + width)
        if W[above + B_LETTERSDOWN] != 0:
            W[above + B_LETTERSDOWN] = 0
            read_letters(W, U, W[above + B_DOWN], first)
    if W[G_BAND] + 1 < W[G_BANDS]:
        below = me + BK
        leave_alone(W, place, end, end + width)
        take_over(W, slot_of(W, W[below + B_WHEEL]), place, end - width, end)
        if W[below + B_LETTERSUP] != 0:
            W[below + B_LETTERSUP] = 0
            read_letters(W, U, W[below + B_UP], end - width)
        set_aside(W, place, W[G_LATE], end - 2 * width, end)
    set_aside(W, place, W[G_EARLY], first, first + 2 * width)


@cold
def leave_alone(W, place, first, end):
    """Wake-ups of another band's PEs, which it takes over itself, are none of this one's."""
    w = first >> 6
    while (w << 6) < end:
        W[place + W[G_L0] + (w >> 6)] &= ~(np.int64(1) << (w & 63))
        w += 1


@cold
def take_over(W, there, place, first, end):
    """The wake-ups in another band's wheel of PEs of this one."""
    w = first >> 6
    while (w << 6) < end:
        bits = W[there + w]
        if bits != 0:
            W[there + w] = 0
            W[place + w] |= bits
            W[place + W[G_L0] + (w >> 6)] |= np.int64(1) << (w & 63)
        w += 1


@cold
def read_letters(W, U, at, first):
    """Channels of a row that may go on."""
    for i in range(W[G_WIDTH]):
        mask = W[at + i]
        if mask != 0:
            W[at + i] = 0
            r = (first + i) * RK + R_MASK
            U[r] = np.uint32(np.int64(U[r]) | mask)


@cold
def is_foreign(W, pe):
    """Is a PE another band's, whose router may not be touched now?"""
    return W[G_STAGE] >= ELEMENTS and (pe < W[W[G_MINE] + B_FIRST] or pe >= W[W[G_MINE] + B_END])


@cold
def write_letter(W, U, pe, ch, at):
    """As `wake_channel`, of another band's PE."""
    if state_count(U[ch + CH_STATE]) == 0:
        return
    me = W[G_MINE]
    slot = (ch - np.int64(U[pe * RK + R_BASE])) >> CH_SHIFT
    if pe < W[me + B_FIRST]:
        W[me + B_LETTERSUP] = 1
        letter = W[me + B_UP] + pe - (W[me + B_FIRST] - W[G_WIDTH])
    else:
        W[me + B_LETTERSDOWN] = 1
        letter = W[me + B_DOWN] + pe - W[me + B_END]
    W[letter] |= np.int64(1) << slot
    wake_router(W, pe, at)


@cold
def is_last(W):
    """The last PE of a band has finished a command: is it the machine's last? It is, if bands below had nothing to finish
    in this cycle, and those above finish in it."""
    for b in range(W[G_BAND] + 1, W[G_BANDS]):
        if W[W[G_RECORDS] + b * BK + B_CMDS] != 0:
            return False
    for b in range(W[G_BAND]):
        r = W[G_RECORDS] + b * BK
        if (
            W[r + B_CMDS] != 0
            and has_come(W, r + B_DONE, W[G_MEETING] * 8 + BORDER)
            and W[W[r + B_GLOBALS] + G_CMDS] != 0
        ):
            return False
    return True
