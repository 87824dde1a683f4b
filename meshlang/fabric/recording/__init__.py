"""Recorded events as numpy arrays, and what is to be recorded.

An event is one row of dtype EVENT. What its fields mean depends on its kind (trace.EV_*; names in KINDS):

| kind | color, queue | thread | value | extra | pc, task |
|---|---|---|---|---|---|
| task | | | | | entry; id (+ 64 control, 128 launched function) |
| end | | | | cycles since the start | task |
| op | | 0 | elements | cycles it takes | of the operation |
| issue | of the operation | 0 main, 1 + microthread | elements wanted | | of the operation |
| done | of the operation | as issue | elements done | cycles since the issue | of the operation |
| stall | waited for | as issue | elements done | STALLS | of the operation |
| go | | as issue | cycles stalled | STALLS | of the operation |
| send | | as issue | payload | 1 control | |
| enter | queue it comes from | | payload | EXTRA: control; side (4 ramp, 5 host) | |
| move | input queue, if to the ramp | | payload | EXTRA: control; sides it goes to | |
| take | | as issue | payload | 1 control | |
| held | color | | payload | EXTRA: HOLDS; sides it wants | |
| inst | | 0 | opcode | | of the instruction; task |
| control | | | task id | CONTROLS | of the instruction, -1: end of an operation |
| switch | color | | position | | |

Empty fields are 255 (color, queue, thread), 0 or -1.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from ...diag import Diagnostic, MeshlangError
from ..engine import state as s

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..loaded import Loaded

EVENT = s.EVENT_FIELDS
EXTRA = s.WaveletExtra  # `extra` of enter, move and held
KINDS = (
    "none",
    "task",
    "end",
    "op",
    "issue",
    "done",
    "stall",
    "send",
    "enter",
    "move",
    "take",
    "held",
    "inst",
    "control",
    "switch",
    "go",
)
STALLS = ("", "input queue empty", "output queue full", "FIFO empty", "FIFO full")
HOLDS = ("", "next router full", "input queue full", "no input queue takes the color")
CONTROLS = ("", "activate", "block", "unblock")
NOBODY = 255
GROUPS = {
    "task": ("task", "end"),
    "op": ("op", "issue", "done"),
    "stall": ("stall", "go", "held"),
    "wavelet": ("send", "enter", "move", "take"),
    "inst": ("inst",),
    "control": ("control",),
    "switch": ("switch",),
}
DEFAULT_GROUPS = ("task", "op", "stall", "wavelet", "control", "switch")
NO_END = 1 << 62


def kind_mask(groups: tuple[str, ...]) -> int:
    """Bits of the kinds in some groups."""
    return sum(1 << KINDS.index(kind) for group in groups for kind in GROUPS[group])


@dataclass(frozen=True)
class TraceOptions:
    """What is recorded. Ranges are half open.

    pes: rectangles (x0, x1, y0, y1), None: all. colors: None: all; events without a color are not affected. groups:
    names in GROUPS. limit: recording ends with the cycle in which so many events are there.
    """

    pes: tuple[tuple[int, int, int, int], ...] | None = None
    colors: frozenset[int] | None = None
    cycles: tuple[int, int] = (0, NO_END)
    groups: tuple[str, ...] = DEFAULT_GROUPS
    limit: int = 20_000_000


@dataclass
class Start:
    """What was under way when recording began, for the traced PEs: what is recorded later refers to it."""

    cycle: int
    channels: dict[tuple[int, int], int] = field(default_factory=dict)  # (PE, color) -> wavelets at the router
    inputs: dict[tuple[int, int], int] = field(default_factory=dict)  # (PE, queue) -> wavelets
    outputs: dict[tuple[int, int], int] = field(default_factory=dict)
    tasks: dict[int, tuple[int, int]] = field(default_factory=dict)  # PE -> (task, cycle of its start)


class Recorder:
    """Takes events over from the engine.

    sink: gets each batch (EVENT[n], in the order in which they happened on each PE) instead of `events` keeping it;
    with `keeps` they are kept as well, up to the limit.
    """

    def __init__(self, machine: Loaded, options: TraceOptions, sink: Callable[[np.ndarray], None] | None = None):
        self.machine, self.options, self.sink = machine, options, sink
        self.keeps = False
        self.active = machine.recording = True
        self.count = 0
        self.lost = 0
        self.full_at: int | None = None  # the cycle in which the limit was reached
        self.start: Start | None = None
        self._parts: list[np.ndarray] = []
        machine.step_by_step()  # express deliveries would not be seen
        for x0, _, y0, _ in options.pes or ():
            if x0 >= machine.width or y0 >= machine.height:
                raise MeshlangError(
                    Diagnostic(
                        "MS1001",
                        f"PEs from ({x0}, {y0}) on are to be traced; the program's rectangle is {machine.width} x {machine.height} PEs",
                        help=f"x is 0 to {machine.width - 1}, y is 0 to {machine.height - 1}",
                    ),
                    exit_code=2,
                )
        npe = machine.width * machine.height
        words = (npe + 63) // 64
        capacity = 2 * s.EVENT_ROOM
        state = machine.state
        base = len(state.W)
        state.W = W = np.concatenate([state.W, np.zeros(words + capacity * s.Event.WORDS, np.int64)])
        bits = np.zeros(words * 64, bool)
        bits[:npe] = self.mask.ravel()
        W[base : base + words] = np.packbits(bits, bitorder="little").view(np.int64)
        W[s.Globals.eventpes], W[s.Globals.events], W[s.Globals.eventcap] = base, base + words, capacity
        W[s.Globals.eventcolors] = 0xFFFFFFFF if options.colors is None else sum(1 << c for c in options.colors)
        W[s.Globals.eventkinds] = kind_mask(options.groups)
        W[s.Globals.eventfrom], W[s.Globals.eventto] = options.cycles

    @property
    def mask(self) -> np.ndarray:
        """Which PEs are traced, bool [h, w]."""
        m = self.machine
        if self.options.pes is None:
            return np.ones((m.height, m.width), bool)
        mask = np.zeros((m.height, m.width), bool)
        for x0, x1, y0, y1 in self.options.pes:
            mask[y0:y1, x0:x1] = True
        return mask

    def before_run(self, cycle: int, limit: int) -> int:
        """Called before the loop runs from `cycle` on; the cycle it may run up to (inclusive) before asking again."""
        first, end = self.options.cycles
        if self.active and cycle >= end:
            self.stop()
        if not self.active:
            return limit
        if self.start is None:
            if cycle < first - 1:
                return min(limit, first - 1)
            self.start = self._under_way(max(cycle, first))
        return min(limit, end)  # not end - 1: the clock may stop at the limit, and must come to `end` to go on

    def drain(self) -> None:
        """Take over what the engine has recorded."""
        W = self.machine.state.W
        n = int(W[s.Globals.eventn])
        self.lost += int(W[s.Globals.eventslost])
        W[s.Globals.eventslost] = 0
        if n == 0:
            return
        base = int(W[s.Globals.events])
        batch = W[base : base + n * s.Event.WORDS].copy().view(EVENT)
        W[s.Globals.eventn] = 0
        self.count += n
        if self.sink is not None:
            self.sink(batch)
            if not self.keeps:
                return
        self._parts.append(batch)
        if self.count >= self.options.limit:
            self.full_at = self.machine.cycle
            self.keeps = False
            if self.sink is None:
                self.stop()

    def stop(self) -> None:
        """Record no more; the machine goes on with the ordinary engine."""
        if self.active:
            self.active = self.machine.recording = False
            self.machine.state.W[s.Globals.eventkinds] = 0
            self.drain()

    @property
    def events(self) -> np.ndarray:
        """All events so far, EVENT[n], by cycle (and of one cycle and PE in the order in which they happened)."""
        self.drain()
        if len(self._parts) > 1 or not self._parts:
            self._parts = [np.concatenate(self._parts) if self._parts else np.zeros(0, EVENT)]
        all_events = self._parts[0]
        return all_events[np.argsort(all_events["cycle"], kind="stable")]

    def _under_way(self, cycle: int) -> Start:
        m, st = self.machine, self.machine.state
        start = Start(cycle)
        P = m.pes
        mask = self.mask
        # the routers beside the traced PEs as well: what they send into the region was there before
        near = mask.copy()
        near[1:] |= mask[:-1]
        near[:-1] |= mask[1:]
        near[:, 1:] |= mask[:, :-1]
        near[:, :-1] |= mask[:, 1:]
        for color, grid in st.channels.items():
            pes = np.flatnonzero(near.ravel() & (grid >= 0))
            held = s.ChannelState.count.get(st.buffer(grid[pes])["state"])
            start.channels |= {(int(pe), color): int(n) for pe, n in zip(pes[held > 0], held[held > 0])}
        for pe in np.flatnonzero(mask.ravel() & (P["tile"] >= 0)):
            for counts, output in ((start.inputs, False), (start.outputs, True)):
                for q in st.queues(int(pe), output):
                    if q["count"]:
                        counts[int(pe), int(q["id"])] = int(q["count"])
            if P["st"][pe] != s.ST_IDLE:
                start.tasks[int(pe)] = int(P["task"][pe]), int(P["busyfrom"][pe])
        return start
