"""What can go wrong at run time. The engine compiles these numbers; what is said about them is in messages.py."""

from __future__ import annotations

from enum import IntEnum


class Fault(IntEnum):
    NONE = 0
    BAD_OPCODE = 1
    LOAD = 2
    STORE = 3
    DIV_ZERO = 4
    SHIFT = 5
    BOUNDS = 6
    ASSERT = 7
    TRAP = 8
    STACK = 9
    FUNCTION = 10
    NO_ROUTE = 11
    OFF_RECT = 12
    MISROUTED = 13
    TWO_SIDES = 14
    CMD_DOUBLE = 15
    UT_BUSY = 16
    QUEUE_BUSY = 17
    WIDTH = 18
    WALK = 19
    WALK_NOWHERE = 20
    NO_QUEUE = 21
    NO_COLOR = 22
    UNSUPPORTED_DSD = 23
    ASYNC_NO_FABRIC = 24
    OPERAND = 25
    UT_UNKNOWN = 26
    NO_TASK = 27
    COPY = 28
    DSR_BUSY = 29
    UNHEARD = 30
    NO_CHANNEL = 31
    ENDLESS_WALK = 32
    QUEUE_COLOR = 33
    REGISTER = 34
    FIFO = 35
    EXCEPTION = 36
    RAMP_SWAPPED = 37
    NO_DSD = 38
    LENGTH = 39
