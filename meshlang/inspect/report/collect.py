"""What a run did, phase by phase: a collector listens to the events of a session's machine and keeps counters only."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from meshlang.fabric.engine import state as s
from meshlang.fabric.recording import KINDS, Recorder, TraceOptions, kind_mask
from meshlang.ir import isa, use

from . import counting as c

if TYPE_CHECKING:
    from meshlang.host.session import Session

RECORDED = TraceOptions(groups=("task", "op", "wavelet"))  # what a run has to record for a Collector
SIDES = ("NORTH", "SOUTH", "EAST", "WEST")


@dataclass
class Task:
    """A task (or launched function) in a phase, over all PEs: how often it started; cycles of computing and of waiting
    for its own operations on the fabric."""

    name: str
    starts: int
    compute: int
    waiting: int


@dataclass
class Phase:
    """A command of the host, up to the next: cycles [start, start + cycles).

    Arrays are int64 [h, w] in cycles, 0 where there is no code. On each PE with code compute (instructions) +
    communication (only wavelets moved) + stalled (operations under way that cannot move) + idle (nothing under way, but
    something is to come) + done (nothing comes any more in this phase) is `cycles`. moving: cycles in which wavelets
    moved, beside instructions or not. vector: of compute, operations in memory. links: wavelets that left each router
    to N, S, E, W [h, w, 4]. work: bytes read, bytes written and floating-point operations [h, w, 3], as in
    `FabricHandle.stats`. chain: hops and messages of the longest chain of wavelets, each sent after the one before
    it had come.
    """

    name: str
    start: int
    cycles: int
    compute: np.ndarray
    communication: np.ndarray
    stalled: np.ndarray
    idle: np.ndarray
    done: np.ndarray
    moving: np.ndarray
    vector: np.ndarray
    links: np.ndarray
    work: np.ndarray
    tasks: list[Task]
    chain: tuple[int, int]


@dataclass
class ColorUse:
    """A color in the whole run: wavelets sent by PEs and by the host, link traversals, hops of the longest way one of
    them took."""

    color: int
    sent: int
    from_host: int
    hops: int
    longest: int


@dataclass
class Collector:
    """Counters of one session: `of` before it runs anything; `phases` and `colors` are complete after `finish`."""

    session: Session
    phases: list[Phase] = field(default_factory=list)
    colors: list[ColorUse] = field(default_factory=list)

    @classmethod
    def of(cls, session: Session, keep: bool = False) -> Collector:
        """Listen to a session from now on. keep: the events are for a trace, too, which may record more kinds of them."""
        collector = cls(session)
        collector._listen(keep)
        return collector

    def _listen(self, keep: bool) -> None:
        machine = self.session.machine
        self.session.on_command = self._begin
        state = machine.state
        code = any(use.having(use.code_of(t), isa.Effect.ELEMENT).any() for t in machine.program.tiles)
        if machine.recorder is None:
            machine.recorder = Recorder(machine, RECORDED)
        machine.recorder.sink = self._take
        machine.recorder.keeps = keep
        groups = RECORDED.groups
        if code:  # only element accesses need to say that they wait
            groups += ("stall",)
            state.W[s.Globals.eventkinds] |= kind_mask(groups)
        self._kinds = np.array([k for k in range(len(KINDS)) if kind_mask(groups) >> k & 1], np.uint8)
        npe = machine.width * machine.height
        self._machine = machine
        self._code = machine.pes["tile"] >= 0
        self._channels = np.full(32 * npe, -1, np.int64)
        for color, grid in state.channels.items():
            self._channels[color * npe : (color + 1) * npe] = grid
        self._shadow = np.zeros(len(state.U), np.int64)
        self._pes = np.zeros(npe * int(c.SK), np.int64)
        rows = self._pes.reshape(npe, int(c.SK))
        rows[:, [c.S_TASK, c.S_MOVED]] = -1
        rows[:, c.S_KIND], self._task_names, self._names = _task_names(machine)
        self._cycles = np.zeros(npe * int(c.AK), np.int64)
        self._tasks = np.zeros(len(self._names) * int(c.NAME_K), np.int64)
        self._links = np.zeros(npe * 4, np.int64)
        self._colors = np.zeros(32 * int(c.CK), np.int64)
        self._globals = np.zeros(int(c.VK), np.int64)
        hop, ramp = machine.profile["fabric.hop"], machine.profile["fabric.ramp"]
        self._globals[c.V_HOP], self._globals[c.V_MESSAGE] = hop, 2 * ramp
        self._work = self._worked()
        self._name, self._from = "start", 0
        self._first = machine.cycle  # cycle 0 may have been left out: it belongs to the first command

    def _take(self, batch: np.ndarray) -> None:
        st = self._machine.state
        assert self._machine.recorder is not None
        if self._machine.recorder.options.groups != RECORDED.groups:
            batch = batch[np.isin(batch["kind"], self._kinds)]
        c.counter()(
            np.ascontiguousarray(batch).view(np.int64),
            len(batch),
            st.W,
            st.U,
            st.C,
            st.T,
            self._channels,
            self._task_names,
            self._shadow,
            self._pes,
            self._cycles,
            self._tasks,
            self._links,
            self._colors,
            self._globals,
        )

    def _begin(self, name: str) -> None:
        """The host starts a command: what follows belongs to it."""
        self._close()
        self._name = name

    def finish(self) -> None:
        """The run is over."""
        self._close()
        for color, (sent, hops, longest, host) in enumerate(self._colors.reshape(32, int(c.CK)).tolist()):
            if color in self._machine.state.channels:
                self.colors.append(ColorUse(color, sent, host, hops, longest))

    def _close(self) -> None:
        machine = self._machine
        if machine.recorder is not None:
            machine.recorder.drain()
        now = machine.cycle
        if now == self._from or now == self._first:
            return
        length = now - self._from
        S = self._pes.reshape(-1, int(c.SK))
        A = self._cycles.reshape(-1, int(c.AK))
        N = self._tasks.reshape(-1, int(c.NAME_K))
        state, since = S[:, c.S_STATE], S[:, c.S_SINCE]
        # what goes on is cut here; what the main thread has done ahead of the clock belongs to what follows
        running = self._code & (state != c.IDLE) & (since < now)
        names = self._task_names[S[:, c.S_KIND] * int(c.TASKS) + np.maximum(S[:, c.S_TASK], 0)]
        spent = np.where(running, now - since, 0)
        computing = state == c.COMPUTE
        A[:, c.A_COMPUTE] += np.where(computing, spent, 0)
        np.add.at(N[:, c.N_COMPUTE], names[computing & running], spent[computing & running])
        np.add.at(N[:, c.N_WAIT], names[~computing & running], spent[~computing & running])
        since[running] = now
        # (a main thread that computes has not been counted since it began, so only one that stopped can be ahead)
        ahead = np.where(self._code & ~computing & (since > now), since - now, 0)
        A[:, c.A_COMPUTE] -= ahead
        np.add.at(N[:, c.N_COMPUTE], names, -ahead)
        beyond = np.where(S[:, c.S_MOVED_END] > now, S[:, c.S_MOVED_END] - now, 0)
        A[:, c.A_EXPOSED] -= beyond
        rests = self._code & (state == c.IDLE) & (S[:, c.S_UNDER_WAY] == 0) & (S[:, c.S_IDLE] < now)
        done = np.where(rests, now - S[:, c.S_IDLE], 0)
        S[rests, c.S_IDLE] = now
        self._keep(length, A, N, done)
        A[:] = 0
        N[:] = 0
        self._links[:] = 0
        A[:, c.A_COMPUTE] += ahead
        np.add.at(N[:, c.N_COMPUTE], names[ahead > 0], ahead[ahead > 0])
        A[:, c.A_EXPOSED] += beyond
        # chains begin anew
        self._globals[c.V_CHAIN] = 0
        first, end = machine.state.channel_region
        self._shadow[first:end].reshape(-1, 16)[:, :4] = 0
        for first, end in machine.state.entry_regions:
            self._shadow[first:end] = 0
        S[:, c.S_CHAIN] = 0
        S[:, c.S_OP : c.S_OP + c.THREADS] = 0
        self._from = now

    def _worked(self) -> np.ndarray:
        """int64 [h, w, 3]: `Phase.work` of the whole run so far."""
        machine = self._machine
        columns = [machine.pes[name] for name in ("read", "written", "flops")]
        return np.stack(columns, 1).reshape(machine.height, machine.width, 3)

    def _keep(self, length: int, A: np.ndarray, N: np.ndarray, done: np.ndarray) -> None:
        machine = self._machine
        shape = (machine.height, machine.width)

        def grid(column: np.ndarray) -> np.ndarray:
            return column.astype(np.int64).reshape(shape)

        compute, exposed, idle = A[:, c.A_COMPUTE], A[:, c.A_EXPOSED], A[:, c.A_IDLE]
        stalled = np.where(self._code, length - compute - exposed - idle - done, 0)
        tasks: dict[str, Task] = {}
        for name, (starts, computed, waited) in zip(self._names, N.tolist()):
            if starts or computed or waited:
                name = name or f"{machine.command} (launched)"
                tasks[name] = Task(name, starts, computed, waited)
        chain = int(self._globals[c.V_CHAIN])
        before, self._work = self._work, self._worked()
        self.phases.append(
            Phase(
                self._name,
                self._from,
                length,
                grid(compute),
                grid(exposed),
                grid(stalled),
                grid(idle),
                grid(done),
                grid(A[:, c.A_MOVING]),
                grid(A[:, c.A_VECTOR]),
                self._links.copy().reshape(*shape, 4),
                self._work - before,
                list(tasks.values()),
                (chain >> 32, chain & int(c.MESSAGES)),
            )
        )


def _task_names(machine: Any) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """For each PE a kind; int64 [kind * 129 + task]: a number of a name; the names. "" stands for the launched
    function.

    Tile programs with the same tasks are of one kind: a wafer may have a tile program for each PE.
    """
    kinds: dict[tuple, int] = {}
    names: dict[str, int] = {"": 0}
    rows: list[np.ndarray] = []
    kind_of = np.zeros(max(1, len(machine.program.tiles)), np.int64)
    for t, tile in enumerate(machine.program.tiles):
        bound = tuple((b.id + 64 * (b.kind == "control"), b.name) for b in tile.tasks)
        if bound not in kinds:
            kinds[bound] = len(rows)
            known = dict(bound)
            rows.append(
                np.array(
                    [names.setdefault(known.get(i, f"task {i & 63}"), len(names)) for i in range(128)] + [0], np.int64
                )
            )
        kind_of[t] = kinds[bound]
    tile_of = machine.state.tile_of
    return (
        np.where(tile_of >= 0, kind_of[np.maximum(tile_of, 0)], 0),
        np.concatenate(rows or [np.zeros(129, np.int64)]),
        list(names),
    )
