"""What jumps carry while code is walked: where `break`, `continue` and `return` go, and how they get there at compile
time."""

from __future__ import annotations

from typing import Any

from ...diag import MeshlangError
from . import types as T


class Silent(MeshlangError):
    """Raised where an error was already reported."""

    def __init__(self):
        super().__init__()


class BreakSignal(Exception):
    def __init__(self, label: str | None, value: Any):
        self.label, self.value = label, value


class ContinueSignal(Exception):
    def __init__(self, label: str | None):
        self.label = label


class ReturnSignal(Exception):
    def __init__(self, value: Any):
        self.value = value


class Target:
    """A loop or labelled block that `break` and `continue` can name, in run-time code."""

    def __init__(self, label: str | None, is_loop: bool, depth: int):
        self.label, self.is_loop, self.depth = label, is_loop, depth
        self.end: Any = None
        self.cont: Any = None
        self.types: list[T.Type] | None = None  # collecting the types of break values
        self.regs: list[int] = []  # registers of the block's value
        self.result_type: T.Type | None = None
        self.known: Any = None  # the value, if the only break is unconditional and comptime-known
        self.broke = False  # left unconditionally
        self.breaks = 0


class Frame:
    """Where `return` goes: the function itself (label None) or an inlined call."""

    def __init__(self, ret: T.Type, label: Any, depth: int):
        self.ret, self.label, self.depth = ret, label, depth
        self.regs: list[int] = []  # registers of what an inlined call returns
        self.known: Any = None
        self.jumps = 0
