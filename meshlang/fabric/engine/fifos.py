# ruff: noqa: F403, F405
"""FIFOs as operands: their elements, whether there is one to take or room for one, and what happens if not (facts 6.9,
A.7)."""

from __future__ import annotations

import numpy as np

from .faults import Fault
from .jit import cold
from .memory import load_bits, store_bits
from .opcodes import *
from .state import *
from .tasks import act
from .wheel import fail, wake_ce

FFIFO = np.int64(Fault.FIFO)
ZERO = np.int64(0)


@cold
def fifo_pop(W, T, M8, M16, M32, o, mem):
    """Take an element that is there; a push that found no room is told (facts A.7)."""
    f = W[o + O_ADDR]
    row = W[o + O_QUEUE]
    head = W[f + FF_HEAD]
    v = load_bits(M8, M16, M32, mem + np.int64(T[row + FIFO_BASE]) + head * W[o + O_SIZE], W[o + O_SIZE])
    head += 1
    W[f + FF_HEAD] = head if head < np.int64(T[row + FIFO_CAPACITY]) else ZERO
    W[f + FF_COUNT] -= 1
    if W[f + FF_FULL] != 0:
        W[f + FF_FULL] = 0
        fifo_event(W, W[o + O_AUX], np.int64(T[row + FIFO_POP]))
    return v


@cold
def fifo_push(W, T, M8, M16, M32, o, mem, v):
    """Add an element for which there is room; a pop that found nothing is told."""
    f = W[o + O_ADDR]
    row = W[o + O_QUEUE]
    capacity = np.int64(T[row + FIFO_CAPACITY])
    at = W[f + FF_HEAD] + W[f + FF_COUNT]
    if at >= capacity:
        at -= capacity
    store_bits(M8, M16, M32, mem + np.int64(T[row + FIFO_BASE]) + at * W[o + O_SIZE], W[o + O_SIZE], v)
    W[f + FF_COUNT] += 1
    if W[f + FF_EMPTY] != 0:
        W[f + FF_EMPTY] = 0
        fifo_event(W, W[o + O_AUX], np.int64(T[row + FIFO_PUSH]))


@cold
def fifo_event(W, pe, task):
    """The event for which `activate_push` or `activate_pop` names a task."""
    if task >= 0:
        act(W, pe, action_with_id(ACTION_ACTIVATE, task), W[G_NOW])
    wake_ce(W, pe, W[G_NOW] + 1)  # suspended microthreads look again


@cold
def fifo_ready(W, T, v):
    """Can the FIFO operands of an operation take part in a step? Remembers who found it empty or full."""
    d = v + V_OPERANDS
    ready = True
    for j in range(3):
        o = d + j * OK
        if W[o + O_KIND] == K_FIFO:
            f = W[o + O_ADDR]
            if j == 0 and W[f + FF_COUNT] >= np.int64(T[W[o + O_QUEUE] + FIFO_CAPACITY]):
                W[f + FF_FULL] = 1
                ready = False
            elif j > 0 and W[f + FF_COUNT] == 0:
                W[f + FF_EMPTY] = 1
                ready = False
    return ready


@cold
def fifo_action(W, T, v):
    """What an operation does whose FIFO is empty or full: the FIFO's action."""
    d = v + V_OPERANDS
    for j in range(3):
        o = d + j * OK
        if W[o + O_KIND] == K_FIFO:
            f = W[o + O_ADDR]
            actions = np.int64(T[W[o + O_QUEUE] + FIFO_ACTIONS])
            if j == 0 and W[f + FF_COUNT] >= np.int64(T[W[o + O_QUEUE] + FIFO_CAPACITY]):
                return fifo_actions_full(actions)
            if j > 0 and W[f + FF_COUNT] == 0:
                return fifo_actions_empty(actions)
    return FIFO_TEST


@cold
def fifo_suspends(W, T, v):
    """May the operation have to wait for a FIFO although it is synchronous?"""
    d = v + V_OPERANDS
    for j in range(3):
        o = d + j * OK
        if W[o + O_KIND] == K_FIFO:
            actions = np.int64(T[W[o + O_QUEUE] + FIFO_ACTIONS])
            if (fifo_actions_full(actions) if j == 0 else fifo_actions_empty(actions)) == FIFO_SUSPEND:
                return True
    return False


@cold
def fifo_fault(W, pe, v):
    """The FIFO's action is a fault: of a full one if the destination is the FIFO that stops the operation."""
    d = v + V_OPERANDS
    full = W[d + O_KIND] == K_FIFO and W[W[d + O_ADDR] + FF_FULL] != 0
    fail(W, FFIFO, pe, np.int64(1 if full else 0), ZERO, ZERO)


@cold
def fifo_stopped(W, v):
    """A synchronous operation has to stop: what is left is the FIFO's length (facts 6.9)."""
    d = v + V_OPERANDS
    left = W[v + V_N] - W[v + V_K]
    for j in range(3):
        o = d + j * OK
        if W[o + O_KIND] == K_FIFO and W[o + O_LEN] != 0 and W[v + V_N] != ENDLESS:
            W[W[o + O_ADDR] + (FF_WRITE if j == 0 else FF_READ)] = left
