# ruff: noqa: F403, F405
"""Routers: one wavelet per link, direction and cycle over all colors; per-color back-pressure; multicast all or
nothing.

A channel is the input buffer of one color at one router: 4 wavelets, enough for full rate at two cycles a hop plus one
cycle until the freed place is seen upstream. (The real depth is not published.) A blocked channel sleeps until the
place it waits for is freed, so long stalls cost nothing.

Results do not depend on the order in which PEs are visited within a cycle: a wavelet pushed now arrives later, and a
place freed now is seen by the upstream only in the next cycle (`CH_POP == now` counts as still taken).
"""

from __future__ import annotations

import numpy as np

from .express import express
from .faults import Fault
from .jit import cold, ctz, inline, jit
from .state import *
from .switch import (
    CLOSED,
    LATER,
    NEVER_OPEN,
    OPEN,
    channel_of,
    destinations,
    entrance,
    extension,
    finish,
    has_room,
    neighbour,
    outgoing,
    twin_room,
    wake_around,
    wake_channel,
)
from .tolerated import note_lost
from .trace import trace_enter, trace_held, trace_move
from .wheel import fail, wake_ce, wake_router

ZERO = np.int64(0)
F_NO_ROUTE, F_OFF_RECT = np.int64(Fault.NO_ROUTE), np.int64(Fault.OFF_RECT)
F_MISROUTED, F_TWO_SIDES, F_RAMP_SWAPPED = (
    np.int64(Fault.MISROUTED),
    np.int64(Fault.TWO_SIDES),
    np.int64(Fault.RAMP_SWAPPED),
)


@inline
def push_channel(W, U, pe, ch, value, control, arrival, now):
    """Put a wavelet into a channel that has room. False if another one came in this cycle (a fault)."""
    now32 = now & 0xFFFFFFFF
    if np.int64(U[ch + CH_PUSH]) == now32:
        return False
    state = np.int64(U[ch + CH_STATE])
    count = state_count(state)
    tail = (state_head(state) + count) & PLACES
    U[ch + CH_VALUE + tail] = np.uint32(value)
    U[ch + CH_TIME + tail] = np.uint32(arrival & 0xFFFFFFFF)
    state = state_with_control(state_with_count(state, count + 1), tail, control != 0)
    if control != 0:
        config = np.int64(U[ch + CH_CONFIG])
        if config & C_SPECIAL != 0:
            U[ch + CH_CONFIG] = np.uint32(
                config_with_rx_switched(config, ZERO)
            )  # closed until the command has been executed
    U[ch + CH_STATE] = np.uint32(state)
    U[ch + CH_PUSH] = np.uint32(now32)
    if count == 0:
        r = pe * RK
        slot = (ch - np.int64(U[r + R_BASE])) >> CH_SHIFT
        U[r + R_MASK] = np.uint32(np.int64(U[r + R_MASK]) | (np.int64(1) << slot))
        wake_router(W, pe, arrival)
    return True


@cold
def push_twin(W, U, pe, ch, value, control, arrival, now):
    """Put a wavelet that goes into `ch` into the other color of the pair as well."""
    return push_channel(W, U, pe, channel_of(U, pe, config_color(U[ch + CH_CONFIG]) ^ 1), value, control, arrival, now)


@jit
def wake_upstream(W, U, pe, ch, now):
    """A place in `ch` became free: wake all that may have been waiting for it."""
    if np.int64(U[ch + CH_CONFIG]) & C_PAIR != 0:
        wake_around(W, U, pe, ch, now)
        return
    U[ch + CH_STATE] = np.uint32(np.int64(U[ch + CH_STATE]) & ~S_WAITER)
    rx = config_rx(U[ch + CH_CONFIG])
    for direction in range(4):
        if (rx >> direction) & 1:
            near = np.int64(U[ch + CH_NEAR + direction])
            if near < OFF_RECTANGLE:
                wake_channel(W, U, neighbour(W, pe, direction), near, now + 1)
    if rx & ~LINKS != 0:
        wake_router(W, pe, now + 1)


@inline
def append(U, q, value, arrival, flags):
    """Add an entry to a queue that has room; returns how many it held."""
    cap = np.int64(U[q + Q_CAP])
    count = np.int64(U[q + Q_COUNT])
    at = np.int64(U[q + Q_HEAD]) + count
    if at >= cap:
        at -= cap
    e = np.int64(U[q + Q_BUF]) + at * EK
    U[e + E_VALUE] = np.uint32(value)
    U[e + E_TIME] = np.uint32(arrival & 0xFFFFFFFF)
    U[e + E_FLAGS] = np.uint32(flags)
    U[q + Q_COUNT] = np.uint32(count + 1)
    return count


@inline
def push_input(W, U, pe, q, value, control, arrival):
    """Hand a wavelet to an input queue that has room."""
    append(U, q, value, arrival, control)
    W[G_DELIVERED] += 1
    wake_ce(W, pe, arrival)


@jit
def refill_from_host(W, U, HP, HS, pe, now):
    """Colors streamed in by the host: at most one wavelet per color and cycle."""
    r = pe * RK
    mask = np.int64(U[r + R_HIN])
    again = False
    rest = mask
    while rest != 0:
        slot = ctz(rest)
        rest &= rest - 1
        ch = np.int64(U[r + R_BASE]) + (slot << CH_SHIFT)
        room = has_room(U, ch, now)
        config = np.int64(U[ch + CH_CONFIG])
        if config & C_SPECIAL != 0:
            gate = entrance(W, U, ch, config, HOST, now)
            if gate != OPEN:
                room = np.int64(0) if gate == CLOSED else np.int64(1)
        if room < 2:
            if room == 0:
                U[ch + CH_STATE] = np.uint32(np.int64(U[ch + CH_STATE]) | S_WAITER)
            else:
                again = True
            continue
        color = config_color(config)
        head = W[G_HIN + color] * W[G_NPE] + pe
        segment = HS[head]
        position = HS[segment + SG_POSITION]
        push_channel(W, U, pe, ch, np.int64(HP[position]), np.int64(0), now + 1, now)
        trace_enter(W, U, pe, ch, HOST, np.int64(255), np.int64(HP[position]), ZERO, now)
        position += 1
        HS[segment + SG_POSITION] = position
        if position == HS[segment + SG_END]:
            HS[head] = HS[segment + SG_NEXT]
            if HS[segment + SG_NEXT] < 0:
                mask &= ~(np.int64(1) << slot)
                W[G_HINLEFT] -= 1
                continue
        again = True
    U[r + R_HIN] = np.uint32(mask)
    if again:
        wake_router(W, pe, now + 1)


@inline
def serve_ramp(W, U, pe, now):
    """Move one wavelet from the output queues onto the router: the ramp carries one per cycle."""
    r = pe * RK
    p = P0 + pe * PK
    queues = np.int64(U[r + R_OQ])
    first = np.int64(U[r + R_ORR])
    wake = np.int64(0)
    moved = False
    for i in range(16):
        n = (first + i) & 15
        if (queues >> n) & 1 == 0:
            continue
        q = W[p + P_OQ] + n * QK
        e = np.int64(U[q + Q_BUF]) + np.int64(U[q + Q_HEAD]) * EK
        delta = (np.int64(U[e + E_TIME]) - now) & 0xFFFFFFFF
        if delta != 0 and delta < 0x80000000:
            at = now + delta
            if wake == 0 or at < wake:
                wake = at
            continue
        if moved:
            wake = now + 1
            break
        flags = np.int64(U[e + E_FLAGS])
        ch = np.int64(U[r + R_BASE]) + (entry_slot(flags) << CH_SHIFT)
        config = np.int64(U[ch + CH_CONFIG])
        if config & C_RAMP != 0:
            pair = channel_of(U, pe, config_color(config) ^ 1)
            if pair < 0 or np.int64(U[pair + CH_CONFIG]) & C_RAMP == 0:
                fail(W, F_RAMP_SWAPPED, pe, config_color(config), config_color(config) ^ 1, ZERO)
                return
            ch = pair
            config = np.int64(U[ch + CH_CONFIG])
        room = has_room(U, ch, now)
        mark = np.int64(0)
        twin = np.int64(3)
        if (config >> RAMP) & 1 == 0 or config & C_SPECIAL != 0:
            gate = entrance(W, U, ch, config, RAMP, now)
            if gate == NEVER_OPEN:
                fail(W, F_MISROUTED, pe, config_color(config), RAMP, pe)
                return
            if gate != OPEN:
                room = np.int64(0) if gate == CLOSED else np.int64(1)
            elif flags & EF_ADVANCE != 0:
                mark = np.int64(1)
            if config & (C_TWIN_X | C_TWIN_Y) != 0:
                twin = twin_room(W, U, pe, config, RAMP, now)
                room = min(room, twin)
        if room == 0:
            U[ch + CH_STATE] = np.uint32(np.int64(U[ch + CH_STATE]) | S_WAITER)
            continue
        if room == 1:
            wake = now + 1
            continue
        if mark != 0:
            # a data wavelet after which the switch advances looks like a control wavelet in the channel
            state = np.int64(U[ch + CH_STATE])
            W[extension(W, U, ch) + X_MARK] |= np.int64(1) << ((state_head(state) + state_count(state)) & PLACES)
        if not push_channel(
            W, U, pe, ch, np.int64(U[e + E_VALUE]), (entry_control(flags)) | mark, now + W[TIME_FABRIC_RAMP] - 1, now
        ):
            fail(W, F_TWO_SIDES, pe, config_color(U[ch + CH_CONFIG]), RAMP, ZERO)
            return
        if twin < 3:
            push_twin(W, U, pe, ch, np.int64(U[e + E_VALUE]), entry_control(flags), now + W[TIME_FABRIC_RAMP] - 1, now)
        moved = True
        trace_enter(W, U, pe, ch, RAMP, np.int64(U[q + Q_ID]), np.int64(U[e + E_VALUE]), entry_control(flags), now)
        U[r + R_ORR] = np.uint32((n + 1) & 15)
        head = np.int64(U[q + Q_HEAD]) + 1
        U[q + Q_HEAD] = np.uint32(head if head < np.int64(U[q + Q_CAP]) else 0)
        count = np.int64(U[q + Q_COUNT]) - 1
        U[q + Q_COUNT] = np.uint32(count)
        if count == 0:
            U[r + R_OQ] = np.uint32(np.int64(U[r + R_OQ]) & ~(np.int64(1) << n))
        else:
            e = np.int64(U[q + Q_BUF]) + np.int64(U[q + Q_HEAD]) * EK
            delta = (np.int64(U[e + E_TIME]) - now) & 0xFFFFFFFF
            at = now + 1
            if delta > 1 and delta < 0x80000000:
                at = now + delta
            if wake == 0 or at < wake:
                wake = at
        waiter = np.int64(U[q + Q_WAITER])
        if waiter != 0:
            if waiter & WAIT_EMPTY != 0 and count == 0:
                W[p + P_FLUSHED] |= np.int64(1) << (FLUSHED_OUTPUTS + np.int64(U[q + Q_ID]))
                W[p + P_ACTIVE] |= np.int64(1) << SYSTEM_TASK
                waiter = np.int64(0)
            U[q + Q_WAITER] = np.uint32(waiter & WAIT_EMPTY)
            wake_ce(W, pe, now)  # the CE phase of this cycle comes after this one
    if wake != 0:
        wake_router(W, pe, wake)


@inline
def route(W, U, M16, M32, HP, HS, pe, now):
    """One cycle of one router."""
    r = pe * RK
    mask = np.int64(U[r + R_MASK])
    if mask != 0:
        base = np.int64(U[r + R_BASE])
        now32 = now & 0xFFFFFFFF
        rr = np.int64(U[r + R_RR])
        low = (np.int64(1) << rr) - 1
        wake = now + 1000
        used = np.int64(0)
        served = np.int64(-1)
        rest = mask & ~low
        second = mask & low
        while True:
            if rest == 0:
                if second == 0:
                    break
                rest = second
                second = np.int64(0)
            slot = ctz(rest)
            rest &= rest - 1
            ch = base + (slot << CH_SHIFT)
            state = np.int64(U[ch + CH_STATE])
            head = state_head(state)
            delta = (np.int64(U[ch + CH_TIME + head]) - now32) & 0xFFFFFFFF
            if delta != 0 and delta < 0x80000000:
                if now + delta < wake:
                    wake = now + delta
                continue
            config = np.int64(U[ch + CH_CONFIG])
            tx = config_tx(config)
            rare = config_rare(config) | state_control(state, head)
            if rare != 0:
                tx = destinations(W, U, ch, config, state)
                if tx < 0:
                    mask &= ~(np.int64(1) << slot)
                    continue
            if tx & used != 0:
                wake = now + 1
                continue
            # is there room at every destination?
            ready = True
            asleep = False
            twins = np.int64(0)
            away = np.int64(0)
            links = tx & LINKS
            while links != 0:
                d = ctz(links)
                links &= links - 1
                near = np.int64(U[ch + CH_NEAR + d])
                if near >= OFF_RECTANGLE:
                    if near == OFF_RECTANGLE and W[G_STRICT] == 0:
                        away |= np.int64(1) << d
                        continue
                    fault = F_OFF_RECT if near == OFF_RECTANGLE else F_NO_ROUTE
                    fail(W, fault, pe, config_color(config), d, ZERO)
                    return
                room = has_room(U, near, now)
                other = np.int64(U[near + CH_CONFIG])
                if (other >> (d ^ 1)) & 1 == 0 or other & C_SPECIAL != 0:
                    gate = entrance(W, U, near, other, d ^ 1, now)
                    if gate == NEVER_OPEN:
                        fail(W, F_MISROUTED, neighbour(W, pe, d), config_color(config), d ^ 1, pe)
                        return
                    if gate == CLOSED:
                        room = np.int64(0)
                    elif gate == LATER and room == 2:
                        room = np.int64(1)
                    if other & (C_TWIN_X | C_TWIN_Y) != 0:
                        twin = twin_room(W, U, neighbour(W, pe, d), other, d ^ 1, now)
                        if twin < 3:
                            twins |= np.int64(1) << d
                            room = min(room, twin)
                if room < 2:
                    ready = False
                    if room == 0:
                        U[near + CH_STATE] = np.uint32(np.int64(U[near + CH_STATE]) | S_WAITER)
                        asleep = True
            q = np.int64(0)
            if tx & TO_RAMP != 0:
                n = config_queue(config)
                if n == NO_QUEUE:
                    ready = False  # no queue takes this color: the wavelet stays, and a hang report shows it
                    asleep = True
                else:
                    q = np.int64(U[r + R_IQ]) + n * QK
                    if U[q + Q_COUNT] >= U[q + Q_CAP]:
                        ready = False
                        asleep = True
                        U[q + Q_WAITER] = np.uint32(WAIT_ROOM)
            if tx & TO_HOST != 0 and (W[G_HELD] >> config_color(config)) & 1 != 0:
                ready = False
                asleep = True
            if not ready:
                if asleep:
                    trace_held(W, U, pe, ch, config, tx, now)
                    mask &= ~(np.int64(1) << slot)
                else:
                    wake = now + 1
                continue
            # move
            value = np.int64(U[ch + CH_VALUE + head])
            control = state_control(state, head)
            trace_move(W, U, pe, config, q, value, control, tx, now)
            sent = value
            passed = control
            if control != 0:
                sent = outgoing(W, U, ch, config, state)
                if sent >> 32 != 0:
                    sent = value
                    passed = ZERO
            if away != 0:
                note_lost(W, pe, config, away)
            links = tx & LINKS & ~away
            while links != 0:
                d = ctz(links)
                links &= links - 1
                near = np.int64(U[ch + CH_NEAR + d])
                if not push_channel(W, U, neighbour(W, pe, d), near, sent, passed, now + W[TIME_FABRIC_HOP], now):
                    fail(W, F_TWO_SIDES, neighbour(W, pe, d), config_color(config), d ^ 1, ZERO)
                    return
                if (twins >> d) & 1 != 0 and not push_twin(
                    W, U, neighbour(W, pe, d), near, sent, passed, now + W[TIME_FABRIC_HOP], now
                ):
                    fail(W, F_TWO_SIDES, neighbour(W, pe, d), config_color(config) ^ 1, d ^ 1, ZERO)
                    return
                W[G_HOPS] += 1
            if tx & TO_RAMP != 0:
                if U[q + Q_XLEFT] == 0 or U[q + Q_COUNT] != 0 or passed != 0:
                    push_input(W, U, pe, q, value, passed, now + W[TIME_FABRIC_RAMP])
                else:
                    express(U, M16, M32, q, value, now + W[TIME_FABRIC_RAMP])
                    W[G_EXPRESSED] = now + W[TIME_FABRIC_RAMP]
                    W[G_DELIVERED] += 1
                    W[G_VECTOR] += 1 + express_two(U[q + Q_XMODE])
                    U[r + R_TAKEN] = np.uint32((np.int64(U[r + R_TAKEN]) + 1) & 0xFFFFFFFF)
            if tx & TO_HOST != 0:
                color = config_color(config)
                W[W[G_HLOG] + W[G_HLOGN]] = host_with_color(host_with_pe(value, pe), color)
                W[G_HLOGN] += 1
                W[G_SCOUNT + color] += 1
            used |= tx
            if served < 0:
                served = slot
            count = (state_count(state)) - 1
            # the state is read again: a push into this very channel (a loop through the own ramp) cannot happen here,
            # but a waiter may have been noted
            U[ch + CH_STATE] = np.uint32(state_with_count(state_with_head(state, head + 1), count))
            U[ch + CH_POP] = np.uint32(now32)
            if state & S_WAITER != 0:
                wake_upstream(W, U, pe, ch, now)
            if rare != 0:
                finish(W, U, pe, ch, config, value, passed, control, now)
            if count == 0:
                mask &= ~(np.int64(1) << slot)
            else:
                head = (head + 1) & PLACES
                delta = (np.int64(U[ch + CH_TIME + head]) - now32) & 0xFFFFFFFF
                at = now + 1
                if delta > 1 and delta < 0x80000000:
                    at = now + delta
                if at < wake:
                    wake = at
        U[r + R_MASK] = np.uint32(mask)
        if served >= 0:
            served += 1
            U[r + R_RR] = np.uint32(served if served < np.int64(U[r + R_N]) else 0)
        if wake < now + 1000:
            wake_router(W, pe, wake)
    if U[r + R_OQ] != 0:
        serve_ramp(W, U, pe, now)
    if U[r + R_HIN] != 0:
        refill_from_host(W, U, HP, HS, pe, now)
