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
from .bands import is_foreign, write_letter
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
F_NO_CHANNEL = np.int64(Fault.NO_CHANNEL)
COLOR_REGISTERS, SWITCH_REGISTERS, COLORS = (
    np.int64(n) for n in (isa.COLOR_REGISTERS, isa.SWITCH_REGISTERS, isa.COLORS)
)
REGISTER_INVALID = np.int64(5)
TIMESTAMP, TIMESTAMP_COUNT = np.int64(isa.TIMESTAMP_REGISTERS), np.int64(isa.TIMESTAMP_COUNT)
E_REGISTER = np.int64(Fault.REGISTER)


@inline
def extension(W, U, ch):
    """The extension record of a channel with C_SPECIAL."""
    return W[G_X] + state_extension(U[ch + CH_STATE]) * XK


@inline
def popped(value):
    """A control payload without its first command.

    Commands are groups of three bits in one stream: bits 22..29 of the payload, then 0..15. The slot that becomes
    vacant reads NOP, not for the CE: 0x09df9249 becomes 0x091f9249 (facts 5.7).
    """
    stream = control_commands(value) | (control_index(value) << 8)
    stream = (stream >> 3) | (np.int64(4) << 21)
    return control_with_commands(control_with_index(value, stream >> 8), stream)


@jit
def entrance(W, U, ch, config, side, now):
    """May a wavelet enter a channel at a side? OPEN, LATER (in the next cycle), CLOSED (when the route changes),
    NEVER_OPEN."""
    if config & C_SPECIAL == 0:
        return OPEN if (config >> side) & 1 != 0 else NEVER_OPEN
    x = extension(W, U, ch)
    if W[x + X_TURN] == now:
        return LATER  # the neighbours see a new position one cycle later, in whatever order they are visited
    if side == HOST:
        return CLOSED if config_rx_switched(config) == 0 and W[x + X_REACH] != 0 else OPEN
    if (config >> side) & 1 != 0:
        return OPEN
    return CLOSED if (W[x + X_REACH] >> side) & 1 != 0 else NEVER_OPEN


@inline
def passes(W, x, value, control):
    """Does the filter let a wavelet through to the CE? (facts A.6: the counter is tested first, then counts)"""
    kind = filter_kind(W[x + X_FILTER])
    if kind == FILTER_RANGE:
        index = wavelet_index(value)
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
    kind = filter_kind(flags)
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
    tx = config_tx(config)
    head = state_head(state)
    control = state_control(state, head)
    value = np.int64(U[ch + CH_VALUE + head])
    x = np.int64(0)
    if config & C_SPECIAL != 0:
        x = extension(W, U, ch)
        if (W[x + X_MARK] >> head) & 1 != 0:
            control = np.int64(0)
    if control != 0 and control_no_ce(value) != 0:
        tx &= ~TO_RAMP
    if tx & TO_RAMP != 0 and config & C_FILTER != 0 and not passes(W, x, value, control):
        tx &= ~TO_RAMP
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
    if state_count(U[ch + CH_STATE]) != 0:
        r = pe * RK
        slot = (ch - np.int64(U[r + R_BASE])) >> CH_SHIFT
        U[r + R_MASK] = np.uint32(np.int64(U[r + R_MASK]) | (np.int64(1) << slot))
        wake_router(W, pe, at)


@cold
def wake_neighbour(W, U, pe, ch, at):
    """As `wake_channel`, of a PE that may be another band's."""
    if W[G_BANDS] != 0 and is_foreign(W, pe):
        write_letter(W, U, pe, ch, at)
    else:
        wake_channel(W, U, pe, ch, at)


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
                near = channel_of(U, other, config_color(config) ^ color)
                if near >= 0:
                    wake_neighbour(W, U, other, near, now + 1)
        elif near < OFF_RECTANGLE:
            wake_neighbour(W, U, neighbour(W, pe, np.int64(direction)), near, now + 1)
    wake_router(W, pe, now + 1)


# ---------------------------------------------------------------- color swaps of one color of a pair


@inline
def has_room(U, ch, now):
    """2: room; 1: full, but a wavelet left in this cycle (look again in the next); 0: full."""
    count = state_count(U[ch + CH_STATE])
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
    twin = channel_of(U, pe, config_color(config) ^ 1)
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
    config = config_with_tx_switched(config, switch_tx(position))
    config = config_with_rx_switched(config, switch_rx(position) if config & C_TEARDOWN == 0 else ZERO)
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
    W[p + P_TORN] |= np.int64(1) << config_color(config)
    if W[p + P_SYSTEM] != 0:
        W[p + P_ACTIVE] |= np.int64(1) << SYSTEM_TASK
        wake_ce(W, pe, W[G_NOW] + W[TIME_FABRIC_RAMP])


@cold
def outgoing(W, U, ch, config, state):
    """The payload of a control wavelet as the next router sees it, and bit 32 if it is not a control wavelet at all.

    Executes the command on the switch's position; the route follows in `finish`, after the wavelet has moved.
    """
    head = state_head(state)
    value = np.int64(U[ch + CH_VALUE + head])
    if config & C_SPECIAL == 0:
        return value
    x = extension(W, U, ch)
    if (W[x + X_MARK] >> head) & 1 != 0:
        W[x + X_MARK] &= ~(np.int64(1) << head)
        advance(W, x)
        return value | (np.int64(1) << 32)
    command = control_command(value)
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
    if config_to_ramp(config) != 0 and config & C_FILTER != 0 and not (control != 0 and control_no_ce(value) != 0):
        x = extension(W, U, ch)
        if not passes(W, x, value, control):
            W[x + X_EATEN] += 1
        count(W, x, control)
    if command != 0:
        if control != 0 and control_command(value) == TEARDOWN:
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
        if config_color(U[base + s * HK + CH_CONFIG]) == color:
            return base + s * HK
    return np.int64(-1)


@cold
def resolve(W, x):
    """Positions from the packed route: each valid one changes a side of the one before it (facts 3.3)."""
    packed = W[x + X_ROUTE]
    rx = route_rx(packed)
    tx = route_tx(packed)
    W[x + X_POSITIONS] = switch_with_tx(rx, tx) | X_VALID
    for k in range(3):
        position = route_positions(packed, k)
        if position & PO_VALID != 0 and position & PO_HAS_RX != 0:
            rx = position_rx(position)
        if position & PO_VALID != 0 and position & PO_HAS_TX != 0:
            tx = position_tx(position)
        W[x + X_POSITIONS + 1 + k] = switch_with_tx(rx, tx) | (X_VALID if position & PO_VALID != 0 else ZERO)


@cold
def route_get(W, U, pe, color):
    """ROUTE_GET: the packed route; that of a color which the PE has not is empty."""
    ch = channel_of(U, pe, color)
    if ch < 0 or np.int64(U[ch + CH_CONFIG]) & C_SPECIAL == 0:
        return ZERO
    x = extension(W, U, ch)
    packed = route_with_ring(route_with_current(W[x + X_ROUTE], W[x + X_CURRENT]), W[x + X_RING])
    return route_with_teardown(route_with_pop(packed, W[x + X_POP]), config_teardown(U[ch + CH_CONFIG]))


@cold
def route_set(W, U, pe, color, packed, now):
    """ROUTE_SET. The teardown bit is left alone: teardown is left by TEARDOWN_EXIT. False after a fault."""
    ch = channel_of(U, pe, color)
    if ch < 0 or np.int64(U[ch + CH_CONFIG]) & C_SPECIAL == 0:
        fail(W, F_NO_CHANNEL, pe, color, ZERO, ZERO)
        return False
    x = extension(W, U, ch)
    W[x + X_ROUTE] = route_static(packed)
    W[x + X_CURRENT] = route_current(packed)
    W[x + X_RING] = route_ring(packed)
    W[x + X_POP] = route_pop(packed)
    resolve(W, x)
    # a control wavelet that is still in the channel keeps it closed
    if not has_control(U, ch):
        apply(W, U, pe, ch, x, now)
    return True


@inline
def has_control(U, ch):
    """Is the last wavelet of a channel one that works on its switch?"""
    state = np.int64(U[ch + CH_STATE])
    n = state_count(state)
    return n != 0 and state_control(state, (state_head(state) + n - 1) & PLACES) != 0


@cold
def teardown_exit(W, U, pe, color, now):
    """TEARDOWN_EXIT: nothing happens to a color that is not in teardown."""
    ch = channel_of(U, pe, color)
    if ch < 0:
        return
    config = np.int64(U[ch + CH_CONFIG])
    if config & C_TEARDOWN != 0:
        U[ch + CH_CONFIG] = np.uint32(config & ~C_TEARDOWN)
        r = pe * RK
        state = np.int64(U[ch + CH_STATE])
        if state_count(state) != 0:
            U[r + R_MASK] = np.uint32(
                np.int64(U[r + R_MASK]) | (np.int64(1) << ((ch - np.int64(U[r + R_BASE])) >> CH_SHIFT))
            )
        if config & C_SPECIAL != 0 and not has_control(U, ch):
            apply(W, U, pe, ch, extension(W, U, ch), now)
        wake_router(W, pe, now + 1)


@cold
def filter_field(W, U, pe, selector):
    """Where a field of a color's filter is kept (FILTER_GET, FILTER_SET), or -1 after a fault."""
    ch = channel_of(U, pe, selector & 31)
    if ch < 0 or np.int64(U[ch + CH_CONFIG]) & C_FILTER == 0:
        fail(W, F_NO_CHANNEL, pe, selector & 31, ZERO, ZERO)
        return np.int64(-1)
    return extension(W, U, ch) + X_COUNTER + ((selector >> 8) & 3)


# ---------------------------------------------------------------- registers
#
# Public code also reads and writes the configuration of a color at its address (WSE-2): Register and SwitchRegister in
# ir/words.py.


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
            or word >= TIMESTAMP
            and word < TIMESTAMP + TIMESTAMP_COUNT
        )
    )


@inline
def turned(mask):
    """A mask of directions in the other order: N S E W <-> W E S N."""
    return (mask & 16) | ((mask & 1) << 3) | ((mask & 2) << 1) | ((mask & 4) >> 1) | ((mask & 8) >> 3)


@jit
def timestamp(W, pe, word, t):
    """A word of the PE's counter. The lowest takes the sample, the others read it."""
    p = P0 + pe * PK
    if word == 0:
        W[p + P_TSCVAL] = t - W[p + P_TSC] if W[p + P_TSCON] != 0 else W[p + P_TSC]
    return (W[p + P_TSCVAL] >> (16 * (word & 3))) & 0xFFFF


@cold
def register_load(W, U, pe, address):
    """The word of a register."""
    word = address >> 1
    if word < TIMESTAMP + TIMESTAMP_COUNT:
        return timestamp(W, pe, word - TIMESTAMP, W[G_NOW])
    packed = route_get(W, U, pe, (word - COLOR_REGISTERS) & 31)
    if word < SWITCH_REGISTERS:
        r = register_with_rx(turned(route_tx(packed)), turned(route_rx(packed)))
        return register_with_teardown(register_with_pop(r, route_pop(packed)), route_teardown(packed))
    r = switch_register_with_current(switch_register_with_ring(ZERO, route_ring(packed)), route_current(packed))
    for k in range(3):
        position = route_positions(packed, k)
        mask = turned(position_rx(position) if position & PO_HAS_RX != 0 else position_tx(position))
        direction = ctz(mask) if position & PO_VALID != 0 and mask != 0 else REGISTER_INVALID
        shown = switch_position_with_input(direction, position_has_rx(position))
        r = switch_register_with_positions(r, k, shown)
    return r


@cold
def register_store(W, U, pe, address, value):
    """False after a fault."""
    word = address >> 1
    if word < TIMESTAMP + TIMESTAMP_COUNT:
        fail(W, E_REGISTER, pe, word, ZERO, ZERO)
        return False
    color = (word - COLOR_REGISTERS) & 31
    packed = route_get(W, U, pe, color)
    if word < SWITCH_REGISTERS:
        packed = route_with_tx(route_with_rx(packed, turned(register_rx(value))), turned(register_tx(value)))
        packed = route_with_pop(packed, register_pop(value))
    else:
        packed = route_with_pop(route_base(packed), route_pop(packed))
        packed = route_with_ring(packed, switch_register_ring(value))
        packed = route_with_current(packed, switch_register_current(value))
        for k in range(3):
            shown = switch_register_positions(value, k)
            inward = switch_position_input(shown)
            position = position_with_has_rx(ZERO, inward)  # an invalid position keeps its side
            if switch_position_direction(shown) < REGISTER_INVALID:
                mask = turned(np.int64(1) << switch_position_direction(shown))
                if inward != 0:
                    position = position_with_rx(position, mask) | PO_VALID
                else:
                    position = position_with_tx(PO_VALID | PO_HAS_TX, mask)
            packed = route_with_positions(packed, k, position)
    return route_set(W, U, pe, color, packed, W[G_NOW])
