# ruff: noqa: F403, F405
"""Routers that change: switches driven by control wavelets, filters, teardown, routes rewritten at run time.

Channels with any of these have an extension record (X_* in W, named by the upper bits of CH_STATE) and the bit
C_SPECIAL; the others never come here, except for their control wavelets.

A control wavelet is routed by the position that is current, then its first command is executed (facts 5.7). What
follows it from the same side must not get in before that, or it would be taken for something from the new side.
Hardware has a buffer a side; here a channel with a switch is closed (no rx bit in CH_CONFIG) from the arrival of a
control wavelet to its execution. So a control wavelet is always the last one in such a channel, and a wavelet at a side
that is not open waits where it is.
"""

from __future__ import annotations

import numpy as np

from ...ir import isa
from .faults import Fault
from .jit import cold, ctz, inline, jit
from .state import *
from .trace import trace_switch
from .wheel import fail, wake_ce, wake_router

ZERO = np.int64(0)
OPEN, LATER, CLOSED, NEVER_OPEN = (np.int64(i) for i in range(4))
HOLD = np.int64(-1)
ADVANCE, RESET, TEARDOWN = np.int64(1), np.int64(2), np.int64(3)
POP_ALWAYS, POP_ADVANCE, POP_ADVANCE_NOP = np.int64(1), np.int64(2), np.int64(3)
FILTER_COUNTER, FILTER_SPARSE, FILTER_RANGE = np.int64(1), np.int64(2), np.int64(3)
SYSTEM_TASK = np.int64(1 << 29)
POSITION_AT, POSITION_BITS = np.int64(isa.R_POS[0]), np.int64(isa.R_POS[1])
CURRENT_AT, RING_AT, POP_AT, TEARDOWN_AT = (
    np.int64(f[0]) for f in (isa.R_CURRENT, isa.R_RING, isa.R_POP, isa.R_TEARDOWN)
)
F_NO_COLOR = np.int64(Fault.NO_COLOR)
COLOR_REGISTERS, SWITCH_REGISTERS, COLORS = (
    np.int64(n) for n in (isa.COLOR_REGISTERS, isa.SWITCH_REGISTERS, isa.COLORS)
)
REGISTER_INVALID = np.int64(5)


@inline
def extension(W, U, ch):
    """The extension record of a channel with C_SPECIAL."""
    return W[G_X] + (np.int64(U[ch + CH_STATE]) >> S_EXTENSION) * XK


@inline
def popped(value):
    """A control payload without its first command.

    Commands are groups of three bits in one stream: bits 22..29 of the payload, then 0..15. The slot that becomes
    vacant reads NOP, not for the CE: 0x09df9249 becomes 0x091f9249 (facts 5.7).
    """
    stream = ((value >> 22) & 0xFF) | ((value & 0xFFFF) << 8)
    stream = (stream >> 3) | (np.int64(4) << 21)
    return (value & ~((np.int64(0xFF) << 22) | 0xFFFF)) | ((stream & 0xFF) << 22) | (stream >> 8)


@jit
def entrance(W, U, ch, config, side, now):
    """May a wavelet enter a channel at a side? OPEN, LATER (in the next cycle), CLOSED (when the route changes),
    NEVER_OPEN."""
    if config & C_SPECIAL == 0:
        return OPEN if (config >> side) & 1 != 0 else NEVER_OPEN
    x = extension(W, U, ch)
    if W[x + X_TURN] == now:
        return LATER  # the neighbours see a new position one cycle later, in whatever order they are visited
    if side == 5:
        return CLOSED if config & 31 == 0 and W[x + X_REACH] != 0 else OPEN
    if (config >> side) & 1 != 0:
        return OPEN
    return CLOSED if (W[x + X_REACH] >> side) & 1 != 0 else NEVER_OPEN


@inline
def passes(W, x, value, control):
    """Does the filter let a wavelet through to the CE? (facts A.6: the counter is tested first, then counts)"""
    kind = W[x + X_FILTER] & 15
    if kind == FILTER_RANGE:
        index = value >> 16
        return control != 0 or (index >= W[x + X_MIN] and index <= W[x + X_MAXIDX])
    if kind == 0:
        return True
    if W[x + X_FILTER] & X_FILTER_CONTROL != 0:
        return control != 0 and W[x + X_COUNTER] == W[x + X_MAX]
    return W[x + X_COUNTER] <= W[x + X_MAX]


@cold
def count(W, x, control):
    """A wavelet has come to the filter."""
    flags = W[x + X_FILTER]
    kind = flags & 15
    if kind != FILTER_COUNTER and kind != FILTER_SPARSE:
        return
    if flags & (X_COUNT_CONTROL if control != 0 else X_COUNT_DATA) == 0:
        return
    if W[x + X_COUNTER] != W[x + X_LIMIT]:
        W[x + X_COUNTER] += 1
        return
    W[x + X_COUNTER] = 0
    if kind == FILTER_SPARSE:
        if W[x + X_LIMIT2] >= 0:
            W[x + X_LIMIT] = W[x + X_LIMIT2]
            W[x + X_LIMIT2] = -1
        else:
            W[x + X_FILTER] = 0  # the filter has done its work: all passes from now on


@jit
def destinations(W, U, ch, config, state):
    """Destinations of the head of a channel that is a control wavelet or comes to a filter; HOLD in teardown."""
    if config & C_TEARDOWN != 0:
        return HOLD
    tx = (config >> 6) & 63
    head = state & 3
    control = (state >> (5 + head)) & 1
    value = np.int64(U[ch + CH_VALUE + head])
    x = np.int64(0)
    if config & C_SPECIAL != 0:
        x = extension(W, U, ch)
        if (W[x + X_MARK] >> head) & 1 != 0:
            control = np.int64(0)
    if control != 0 and (value >> 24) & 1 != 0:
        tx &= ~np.int64(16)
    if tx & 16 != 0 and config & C_FILTER != 0 and not passes(W, x, value, control):
        tx &= ~np.int64(16)
    return tx


@inline
def neighbour(W, pe, direction):
    """PE number of a neighbour that is known to exist: N, S, E, W."""
    if direction == 0:
        return pe - W[G_WIDTH]
    if direction == 1:
        return pe + W[G_WIDTH]
    if direction == 2:
        return pe + 1
    return pe - 1


@inline
def wake_channel(W, U, pe, ch, at):
    """A sleeping channel of `pe` may go on."""
    if (np.int64(U[ch + CH_STATE]) >> 2) & 7 != 0:
        r = pe * RK
        slot = (ch - np.int64(U[r + R_BASE])) >> 4
        U[r + R_MASK] = np.uint32(np.int64(U[r + R_MASK]) | (np.int64(1) << slot))
        wake_router(W, pe, at)


@cold
def wake_around(W, U, pe, ch, now):
    """Whoever may wait for a channel looks again: its route has changed, or a place in it became free."""
    U[ch + CH_STATE] = np.uint32(np.int64(U[ch + CH_STATE]) & ~S_WAITER)
    config = np.int64(U[ch + CH_CONFIG])
    for direction in range(4):
        near = np.int64(U[ch + CH_NEAR + direction])
        if config & C_PAIR != 0 and near != OFF_RECTANGLE:
            other = neighbour(W, pe, np.int64(direction))
            for color in range(2):  # from which color wavelets come is the matter of the router they come to
                near = channel_of(U, other, ((config >> 12) & 31) ^ color)
                if near >= 0:
                    wake_channel(W, U, other, near, now + 1)
        elif near < OFF_RECTANGLE:
            wake_channel(W, U, neighbour(W, pe, np.int64(direction)), near, now + 1)
    wake_router(W, pe, now + 1)


# ---------------------------------------------------------------- color swaps of one color of a pair


@inline
def has_room(U, ch, now):
    """2: room; 1: full, but a wavelet left in this cycle (look again in the next); 0: full."""
    count = (np.int64(U[ch + CH_STATE]) >> 2) & 7
    if np.int64(U[ch + CH_POP]) == now & 0xFFFFFFFF:
        return 2 if count < 3 else 1
    return 2 if count < 4 else 0


@cold
def twin_room(W, U, pe, config, side, now):
    """Room at the other color of the pair for a wavelet that comes to `pe` from `side`, as `has_room` says it, or 3 if
    that color does not take it; `config` is that of the channel the wavelet itself comes to."""
    if (
        side < 2
        and config & C_TWIN_Y == 0
        or (side == 2 or side == 3)
        and config & C_TWIN_X == 0
        or side == 4
        and config & (C_TWIN_X | C_TWIN_Y) != C_TWIN_X | C_TWIN_Y
    ):
        return np.int64(3)
    twin = channel_of(U, pe, ((config >> 12) & 31) ^ 1)
    gate = entrance(W, U, twin, np.int64(U[twin + CH_CONFIG]), side, now)
    if gate == NEVER_OPEN:
        return np.int64(3)
    room = np.int64(has_room(U, twin, now))
    if gate == CLOSED:
        room = ZERO
    elif gate == LATER and room == 2:
        room = np.int64(1)
    if room == 0:
        U[twin + CH_STATE] = np.uint32(np.int64(U[twin + CH_STATE]) | S_WAITER)
    return room


@cold
def apply(W, U, pe, ch, x, now):
    """Put the route of the current position into force."""
    position = W[x + X_POSITIONS + W[x + X_CURRENT]]
    config = np.int64(U[ch + CH_CONFIG])
    config &= ~(np.int64(31) | (np.int64(31) << 6))
    config |= ((position >> 5) & 31) << 6
    if config & C_TEARDOWN == 0:
        config |= position & 31
    U[ch + CH_CONFIG] = np.uint32(config)
    W[x + X_TURN] = now
    trace_switch(W, U, pe, ch, W[x + X_CURRENT], now)
    wake_around(W, U, pe, ch, now)


@cold
def advance(W, x):
    """To the next position; True if it is another one. Past the last valid one: back to the first in ring mode, else
    stay."""
    old = W[x + X_CURRENT]
    new = old + 1
    if new > 3 or W[x + X_POSITIONS + new] & X_VALID == 0:
        new = ZERO if W[x + X_RING] != 0 else old
    W[x + X_CURRENT] = new
    return new != old


@cold
def tear_down(W, U, pe, ch):
    """A color goes into teardown: nothing moves until the program lets it go on; task 29 is told."""
    config = np.int64(U[ch + CH_CONFIG])
    p = P0 + pe * PK
    U[ch + CH_CONFIG] = np.uint32(config | C_TEARDOWN)
    W[p + P_TORN] |= np.int64(1) << ((config >> 12) & 31)
    if W[p + P_SYSTEM] != 0:
        W[p + P_ACTIVE] |= SYSTEM_TASK
        wake_ce(W, pe, W[G_NOW] + W[G_RAMP])


@cold
def outgoing(W, U, ch, config, state):
    """The payload of a control wavelet as the next router sees it, and bit 32 if it is not a control wavelet at all.

    Executes the command on the switch's position; the route follows in `finish`, after the wavelet has moved.
    """
    head = state & 3
    value = np.int64(U[ch + CH_VALUE + head])
    if config & C_SPECIAL == 0:
        return value
    x = extension(W, U, ch)
    if (W[x + X_MARK] >> head) & 1 != 0:
        W[x + X_MARK] &= ~(np.int64(1) << head)
        advance(W, x)
        return value | (np.int64(1) << 32)
    command = (value >> 22) & 3
    moved = False
    if command == ADVANCE:
        moved = advance(W, x)
    elif command == RESET:
        W[x + X_CURRENT] = 0
    mode = W[x + X_POP]
    if mode == POP_ALWAYS or (mode >= POP_ADVANCE and moved) or (mode == POP_ADVANCE_NOP and command == 0):
        return popped(value)
    return value


@jit
def finish(W, U, pe, ch, config, value, control, command, now):
    """After the move: filter, and what the command changed. `control`: it was one; `command`: the wavelet works on the
    switch."""
    if (config >> 10) & 1 != 0 and config & C_FILTER != 0 and not (control != 0 and (value >> 24) & 1 != 0):
        x = extension(W, U, ch)
        if not passes(W, x, value, control):
            W[x + X_EATEN] += 1
        count(W, x, control)
    if command != 0:
        if control != 0 and (value >> 22) & 3 == TEARDOWN:
            tear_down(W, U, pe, ch)
        if config & C_SPECIAL != 0:
            apply(W, U, pe, ch, extension(W, U, ch), now)


# ---------------------------------------------------------------- from the program


@cold
def channel_of(U, pe, color):
    """Channel of a color at a PE, or -1."""
    r = pe * RK
    base = np.int64(U[r + R_BASE])
    for s in range(np.int64(U[r + R_N])):
        if (np.int64(U[base + s * 16 + CH_CONFIG]) >> 12) & 31 == color:
            return base + s * 16
    return np.int64(-1)


@cold
def resolve(W, x):
    """Positions from the packed route: each valid one changes a side of the one before it (facts 3.3)."""
    packed = W[x + X_ROUTE]
    rx = packed & 31
    tx = (packed >> 5) & 31
    W[x + X_POSITIONS] = rx | (tx << 5) | X_VALID
    for k in range(1, 4):
        field = (packed >> (POSITION_AT + POSITION_BITS * (k - 1))) & 0x1FFF
        if field & 3 == 3:
            rx = (field >> 2) & 31
        if field & 129 == 129:
            tx = (field >> 8) & 31
        W[x + X_POSITIONS + k] = rx | (tx << 5) | (X_VALID if field & 1 != 0 else ZERO)


@cold
def route_get(W, U, pe, color):
    """ROUTE_GET: the packed route, or -1 after a fault."""
    ch = channel_of(U, pe, color)
    if ch < 0 or np.int64(U[ch + CH_CONFIG]) & C_SPECIAL == 0:
        fail(W, F_NO_COLOR, pe, color, ZERO, ZERO)
        return np.int64(-1)
    x = extension(W, U, ch)
    packed = W[x + X_ROUTE] | (W[x + X_CURRENT] << CURRENT_AT) | (W[x + X_RING] << RING_AT) | (W[x + X_POP] << POP_AT)
    if np.int64(U[ch + CH_CONFIG]) & C_TEARDOWN != 0:
        packed |= np.int64(1) << TEARDOWN_AT
    return packed


@cold
def route_set(W, U, pe, color, packed, now):
    """ROUTE_SET. The teardown bit is left alone: teardown is left by TEARDOWN_EXIT. False after a fault."""
    ch = channel_of(U, pe, color)
    if ch < 0 or np.int64(U[ch + CH_CONFIG]) & C_SPECIAL == 0:
        fail(W, F_NO_COLOR, pe, color, ZERO, ZERO)
        return False
    x = extension(W, U, ch)
    W[x + X_ROUTE] = packed & ((np.int64(1) << CURRENT_AT) - 1)
    W[x + X_CURRENT] = (packed >> CURRENT_AT) & 3
    W[x + X_RING] = (packed >> RING_AT) & 1
    W[x + X_POP] = (packed >> POP_AT) & 3
    resolve(W, x)
    # a control wavelet that is still in the channel keeps it closed
    if not has_control(U, ch):
        apply(W, U, pe, ch, x, now)
    return True


@inline
def has_control(U, ch):
    """Is the last wavelet of a channel one that works on its switch?"""
    state = np.int64(U[ch + CH_STATE])
    n = (state >> 2) & 7
    return n != 0 and (state >> (5 + ((state + n - 1) & 3))) & 1 != 0


@cold
def teardown_exit(W, U, pe, color, now):
    """TEARDOWN_EXIT. False after a fault."""
    ch = channel_of(U, pe, color)
    if ch < 0:
        fail(W, F_NO_COLOR, pe, color, ZERO, ZERO)
        return False
    config = np.int64(U[ch + CH_CONFIG])
    if config & C_TEARDOWN != 0:
        U[ch + CH_CONFIG] = np.uint32(config & ~C_TEARDOWN)
        r = pe * RK
        state = np.int64(U[ch + CH_STATE])
        if (state >> 2) & 7 != 0:
            U[r + R_MASK] = np.uint32(np.int64(U[r + R_MASK]) | (np.int64(1) << ((ch - np.int64(U[r + R_BASE])) >> 4)))
        if config & C_SPECIAL != 0 and not has_control(U, ch):
            apply(W, U, pe, ch, extension(W, U, ch), now)
        wake_router(W, pe, now + 1)
    return True


@cold
def filter_field(W, U, pe, selector):
    """Where a field of a color's filter is kept (FILTER_GET, FILTER_SET), or -1 after a fault."""
    ch = channel_of(U, pe, selector & 31)
    if ch < 0 or np.int64(U[ch + CH_CONFIG]) & C_FILTER == 0:
        fail(W, F_NO_COLOR, pe, selector & 31, ZERO, ZERO)
        return np.int64(-1)
    return extension(W, U, ch) + X_COUNTER + ((selector >> 8) & 3)


# ---------------------------------------------------------------- registers
#
# Public code also reads and writes the configuration of a color at its address (WSE-2; layout as its comments give it):
# 0x7f20 + color: outputs W E S N RAMP (bits 0-4), inputs (5-9), pop mode (12-13), teardown (14); 0x7f40 + color:
# position k in bits 4(k-1)..: direction W E S N RAMP or 5 for invalid, then 1 if it is the input; ring mode (12),
# current position (13-14).


@cold
def is_register(address, size):
    word = address >> 1
    return (
        size == 2
        and address & 1 == 0
        and (
            word >= COLOR_REGISTERS
            and word < COLOR_REGISTERS + COLORS
            or word >= SWITCH_REGISTERS
            and word < SWITCH_REGISTERS + COLORS
        )
    )


@inline
def turned(mask):
    """A mask of directions in the other order: N S E W <-> W E S N."""
    return (mask & 16) | ((mask & 1) << 3) | ((mask & 2) << 1) | ((mask & 4) >> 1) | ((mask & 8) >> 3)


@cold
def register_load(W, U, pe, address):
    """The word of a register, or -1 after a fault."""
    word = address >> 1
    packed = route_get(W, U, pe, (word - COLOR_REGISTERS) & 31)
    if packed < 0:
        return packed
    if word < SWITCH_REGISTERS:
        return (
            turned((packed >> 5) & 31)
            | (turned(packed & 31) << 5)
            | (((packed >> POP_AT) & 3) << 12)
            | (((packed >> TEARDOWN_AT) & 1) << 14)
        )
    r = (((packed >> RING_AT) & 1) << 12) | (((packed >> CURRENT_AT) & 3) << 13)
    for k in range(3):
        field = (packed >> (POSITION_AT + POSITION_BITS * k)) & 0x1FFF
        mask = turned((field >> 2) & 31 if field & 2 != 0 else (field >> 8) & 31)
        direction = ctz(mask) if field & 1 != 0 and mask != 0 else REGISTER_INVALID
        r |= (direction | (((field >> 1) & 1) << 3)) << (4 * k)
    return r


@cold
def register_store(W, U, pe, address, value):
    """False after a fault."""
    word = address >> 1
    color = (word - COLOR_REGISTERS) & 31
    packed = route_get(W, U, pe, color)
    if packed < 0:
        return False
    if word < SWITCH_REGISTERS:
        packed &= ~(np.int64(0x3FF) | (np.int64(3) << POP_AT))
        packed |= turned((value >> 5) & 31) | (turned(value & 31) << 5) | (((value >> 12) & 3) << POP_AT)
    else:
        packed &= np.int64(0x3FF) | (np.int64(3) << POP_AT)
        packed |= (((value >> 12) & 1) << RING_AT) | (((value >> 13) & 3) << CURRENT_AT)
        for k in range(3):
            position = (value >> (4 * k)) & 15
            field = (position >> 3) << 1  # an invalid position keeps its side
            if position & 7 < REGISTER_INVALID:
                mask = turned(np.int64(1) << (position & 7))
                field = 3 | (mask << 2) if position & 8 != 0 else 129 | (mask << 8)
            packed |= field << (POSITION_AT + POSITION_BITS * k)
    return route_set(W, U, pe, color, packed, W[G_NOW])
