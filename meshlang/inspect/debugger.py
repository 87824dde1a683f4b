"""A fabric one can go back and forth on: recorded host commands, checkpoints, breakpoints.

The engine is deterministic, so any earlier cycle is a checkpoint (a copy of the state arrays) plus a replay of the
commands that came after it. Checkpoints are taken at every command and about every half second of a long run; old ones
are thinned out when they take more than CHECKPOINT_BYTES.

Breakpoints on lines and task starts are exact and cost nothing while nothing hits them: the instruction is replaced by
a trap. When a trap goes off, the fabric is taken back to before that cycle, and shown as it is at the trap. Conditions
on wavelets, memory and expressions are looked at after every cycle.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from meshlang.diag import Diagnostic, MeshlangError
from meshlang.fabric import snapshot
from meshlang.fabric.engine import state as s
from meshlang.fabric.engine.faults import Fault
from meshlang.fabric.machine import Machine
from meshlang.fabric.report import deadlock_error
from meshlang.fabric.snapshot import Snapshot
from meshlang.host.memory import Memory
from meshlang.host.printing import LogLine, Output
from meshlang.host.symbols import Symbols, launch_arguments
from meshlang.host.warnings import RunWarnings
from meshlang.ir.isa import Op

from . import names
from .conditions import Condition, Trap

if TYPE_CHECKING:
    from meshlang.fabric.recording import TraceOptions
    from meshlang.ir.program import Program

CHECKPOINT_BYTES = 512 << 20
CHECKPOINT_SECONDS = 0.5
STATUS_SECONDS = 0.5  # of a run, between two reports of where it is
# cycles: a replay leaves a checkpoint so far before its end, since one who went back often goes back further
NEAR = 64
_MARK = 0x7FFFFFF0  # operand of a breakpoint's trap: no string has this index


@dataclass(frozen=True)
class Action:
    """A command of the host, given when `cycle` was the next cycle to run."""

    cycle: int
    text: str
    apply: Callable[[], None]


@dataclass(frozen=True)
class Checkpoint:
    shot: Snapshot
    actions: int  # commands applied so far


@dataclass(frozen=True)
class Outcome:
    """Why a run stopped: "done" (the launched function), "quiet", "limit", "condition", "interrupted". pe: the one that stands
    at an instruction that was asked for."""

    reason: str
    cycle: int
    text: str = ""
    pe: int | None = None


class Debugger:
    """A program on a fabric, with its past."""

    def __init__(self, program: Program, profile: str | None = None):
        self.program = program
        self.profile = profile
        self.symbols = Symbols(program)
        self.machine = Machine(program, profile)
        self.machine.step_by_step()
        self._pending: list[Diagnostic] = []  # warnings of copies, to be shown
        self._warned: set[tuple[str, str, str]] = set()
        self._warned_at = -1  # the cycle they were last looked for in
        self.memory = Memory(program, self.machine, RunWarnings(self._pending.append))
        self.output = Output(text_at=self._text_at)
        self._prints_seen = 0
        self.last_cycle = self.machine.cycle  # the furthest the machine has been
        self.actions: list[Action] = []
        self.applied = 0  # of the actions; those after it are in the future we came back from
        self.checkpoints: list[Checkpoint] = [Checkpoint(snapshot.take(self.machine), 0)]
        self.breaks: dict[int, Condition] = {}
        self._next_break = 1
        # the last trap shown: its cycle; PE, instruction, tasks that had started, the PE's own clock
        self._stood: tuple[int, tuple[int, int, int, int]] | None = None
        self._before: Snapshot | None = None  # while the fabric is shown at a trap: the state to go on from
        self._passed = -1  # cycle whose traps were reported already
        self.stopped_by: MeshlangError | None = None  # the fault that ended the run, if one did
        # gets the cycle now and then in a long run, None at its end
        self.status: Callable[[int | None], None] = lambda cycle: None
        self._status_at = 0.0
        self._slice = 64  # cycles of one call of the engine, adapted to take 0.1 to 0.4 s
        self._stop_asked = False

    # ------------------------------------------------------------ commands of the host

    @property
    def cycle(self) -> int:
        return self.machine.cycle

    def launch(self, name: str, args: tuple[Any, ...] = ()) -> int:
        """Start an exported function. Returns the number of PEs it runs on."""
        symbol = self.symbols.function(name)
        registers = launch_arguments(symbol, args)
        called: list[int] = []
        shown = f"launch {name}" + "".join(f" {a}" for a in args)
        self._act(shown, lambda: called.append(self.machine.launch(name, registers)))
        return called[0]

    def write(self, name: str, region: tuple[int, int, int, int], data: np.ndarray) -> None:
        """Copy uint8 [h, w, bytes] to an exported symbol."""
        symbol = self.symbols.data(name)
        self.memory.check(symbol, region)
        taken = np.array(data, np.uint8, order="C")
        self._act(f"write {name}", lambda: self.memory.write(symbol, region, taken))

    def poke(self, text: str, x: int, y: int, address: int, data: np.ndarray) -> None:
        """Change bytes of one PE's memory."""
        taken = np.array(data, np.uint8).reshape(1, 1, -1)
        self._act(text, lambda: self.machine.write_bytes(x, y, 1, 1, address, taken))

    def send(self, color: int, region: tuple[int, int, int, int], words: np.ndarray) -> None:
        """Queue wavelets of a host-in color."""
        taken = np.array(words, np.uint32)
        self._act(f"send {color}", lambda: self.machine.stream_in(color, *region, taken))

    def _act(self, text: str, apply: Callable[[], None]) -> None:
        self.leave_trap()
        self._refuse_after_fault()
        apply()
        if self.applied < len(self.actions) or self.cycle < self.last_cycle:
            self._prints_seen = min(self._prints_seen, len(self.machine.print_log))
        del self.actions[self.applied :]  # a new command makes another future
        self.checkpoints = [c for c in self.checkpoints if c.actions <= self.applied and c.shot.cycle <= self.cycle]
        self.last_cycle = self.cycle
        self.actions.append(Action(self.cycle, text, apply))
        self.applied += 1
        self._checkpoint()

    def _refuse_after_fault(self) -> None:
        if self.stopped_by is not None:
            raise MeshlangError(
                Diagnostic(
                    "MS0940",
                    f"a fault has stopped the fabric in cycle {self.cycle}: it can be looked at, but not run on",
                    help="`back 1` (or `goto CYCLE`) returns to before it; `reload` starts again",
                )
            )

    # ------------------------------------------------------------ running

    def run(self, limit: int | None = None, until: Sequence[Condition] = (), stop_when_done: bool = True) -> Outcome:
        """Run to the end of the launched function (or to rest), at most `limit` cycles, or to a condition or
        breakpoint.

        Raises MeshlangError for faults and deadlocks; the machine stays where they happened.
        """
        self.leave_trap()
        self._refuse_after_fault()
        self._replay_here()
        conditions = [*until, *self.breaks.values()]
        target = self.cycle + limit if limit is not None else None
        try:
            with self._interruptible():
                return self._run(target, conditions, stop_when_done)
        except KeyboardInterrupt:
            return Outcome("interrupted", self.cycle)
        finally:
            self.last_cycle = max(self.last_cycle, self.cycle)
            if self._before is None and self.stopped_by is None:
                self._checkpoint()

    def _run(self, target: int | None, conditions: list[Condition], stop_when_done: bool) -> Outcome:
        traps = [c for c in conditions if isinstance(c, Trap)]
        watches = [c for c in conditions if not isinstance(c, Trap)]
        for c in watches:
            c.start(self.machine)
        patches = {pc: c for c in reversed(traps) for pc in c.instructions(self.machine)}
        was_open = stop_when_done and self.machine.commands_outstanding > 0
        last_checkpoint = time.monotonic()
        while True:
            now = self.cycle
            if target is not None and now >= target:
                return Outcome("limit", now)
            pending = self.actions[self.applied].cycle if self.applied < len(self.actions) else None
            if pending is not None and now >= pending:
                self._replay_here()
            end = min(
                now + (1 if watches else self._slice),
                target or 1 << 62,
                pending if pending is not None and pending > now else 1 << 62,
            )
            if patches and self._passed == now:
                end = now + 1  # reported already: go past this cycle
            began = time.monotonic()
            hit = self._advance(end, {} if self._passed == now else patches, was_open)
            took = time.monotonic() - began
            if not watches and end == now + self._slice:
                self._slice = (
                    min(self._slice * 2, 1 << 30)
                    if took < 0.1
                    else max(self._slice // 2, 64)
                    if took > 0.4
                    else self._slice
                )
            if hit is not None:
                if isinstance(hit, Outcome):
                    # a condition may have become true in the last cycles
                    return next(
                        (Outcome("condition", self.cycle, text) for c in watches if (text := c.check(self.machine))),
                        hit,
                    )
                shown = self._show_trap(hit, patches)
                if shown is not None:
                    text, pe = shown
                    return Outcome("condition", self.cycle, text, pe)
                continue
            for c in watches:
                text = c.check(self.machine)
                if text:
                    return Outcome("condition", self.cycle, text)
            if time.monotonic() - last_checkpoint > CHECKPOINT_SECONDS:
                self._checkpoint()
                last_checkpoint = time.monotonic()

    def _advance(self, end: int, patches: dict[int, Trap], was_open: bool) -> Outcome | Snapshot | None:
        """Run to cycle `end`. An Outcome if the machine stopped by itself, the Snapshot to go back to if a trap went
        off."""
        machine = self.machine
        if self._stop_asked:
            raise KeyboardInterrupt
        if time.monotonic() - self._status_at > STATUS_SECONDS:
            self._status_at = time.monotonic()
            self.status(self.cycle)
        before = snapshot.take(machine) if patches else None
        try:
            with self._patched(patches):
                if was_open:
                    stop = machine.run("commands", end - 1 - machine.cycle)
                    if stop.reason == "commands_done":
                        return Outcome("done", self.cycle)
                elif not snapshot.advance_to(machine, end):
                    if machine.commands_outstanding:
                        raise deadlock_error(machine, "commands")
                    return Outcome("quiet", self.cycle)
        except MeshlangError as error:
            if error.exit_code != 3:
                if before is not None and self._is_ours():
                    return before
                self.stopped_by = error
            raise
        finally:
            self.take_records()
        return None

    @contextmanager
    def _interruptible(self) -> Iterator[None]:
        """Ctrl-C takes effect between two calls of the engine, never while state is being copied: the fabric stays
        whole."""
        self._stop_asked = False
        self._status_at = time.monotonic()
        if threading.current_thread() is not threading.main_thread():
            try:
                yield
            finally:
                self.status(None)
            return

        def ask(*_: Any) -> None:
            self._stop_asked = True

        def look(_: Machine) -> None:
            if self._stop_asked:
                raise KeyboardInterrupt

        previous = signal.signal(signal.SIGINT, ask)
        self.machine.progress = look
        try:
            yield
        finally:
            self.machine.progress = None
            self._stop_asked = False
            signal.signal(signal.SIGINT, previous)
            self.status(None)

    def _is_ours(self) -> bool:
        W = self.machine.state.W
        return int(W[s.Globals.fault]) == Fault.TRAP and int(W[s.Globals.fa]) == _MARK

    @contextmanager
    def _patched(self, patches: dict[int, Trap]) -> Iterator[None]:
        """Traps in place of the instructions; the code is as it was afterwards."""
        C = self.machine.state.C
        saved = {pc: C[pc * 4 : pc * 4 + 4].copy() for pc in patches}
        try:
            for pc in patches:
                C[pc * 4] = int(Op.TRAP)  # no cost: the clock shows when the instruction itself would begin
                C[pc * 4 + 1] = _MARK  # the rest stays: a return reads the frame of its caller in the call
            yield
        finally:
            for pc, words in saved.items():
                C[pc * 4 : pc * 4 + 4] = words

    def _show_trap(self, before: Snapshot, patches: dict[int, Trap]) -> tuple[str, int] | None:
        """A trap went off: go to the beginning of that cycle, and show the fabric at the trap: what is there to say, and the
        PE. None: only PEs no one asked about."""
        machine = self.machine
        cycle = int(machine.state.W[s.Globals.fcycle])
        snapshot.put(machine, before)
        snapshot.advance_to(machine, cycle)
        clean = snapshot.take(machine)
        self._passed = cycle
        # PEs that no condition is about are kept still for this one look: another one may hit in the same cycle
        wanted = np.zeros(machine.width * machine.height, bool)
        for trap in patches.values():
            wanted |= trap.mask(machine)
        machine.pes["tile"][~wanted] = -1
        text = None
        try:
            with self._patched(patches):
                snapshot.advance_to(machine, cycle + 1)
        except MeshlangError:
            if self._is_ours():
                pe, pc = int(machine.state.W[s.Globals.fpe]), int(machine.state.W[s.Globals.fpc])
                text = patches[pc].describe(machine, pe, pc)
                # an instruction that has to wait for its time is come to again then: it was shown already
                stands = (pe, pc, int(machine.pes["tasks"][pe]), int(machine.pes["time"][pe]))
                again = self._stood is not None and self._stood[0] < cycle and self._stood[1] == stands
                if again or not patches[pc].mask(machine)[pe]:
                    text = None
                else:
                    self._stood = cycle, stands
        if text is None:
            snapshot.put(machine, clean)
            return None
        machine.pes["tile"][~wanted] = s.Pe.view(clean.W, s.P0, len(wanted))["tile"][~wanted]
        W = machine.state.W
        pe = int(W[s.Globals.fpe])
        machine.pes["pc"][pe] -= 1  # the instruction that was a trap comes next
        W[s.Globals.fault] = 0
        self._before = clean
        self.take_records()
        return text, pe

    def leave_trap(self) -> None:
        """Return from the view at a trap to the state before its cycle."""
        if self._before is not None:
            snapshot.put(self.machine, self._before)
            self._before = None

    def step_one(self, changed: Callable[[], bool], limit: int = 100_000) -> Outcome:
        """Run cycle by cycle until `changed()`."""
        self.leave_trap()
        self._refuse_after_fault()
        try:
            with self._interruptible():
                for _ in range(limit):
                    self._replay_here()
                    stop = self._advance(self.cycle + 1, {}, self.machine.commands_outstanding > 0)
                    if isinstance(stop, Outcome):
                        return stop
                    if changed():
                        return Outcome("condition", self.cycle)
            return Outcome("limit", self.cycle)
        except KeyboardInterrupt:
            return Outcome("interrupted", self.cycle)
        finally:
            self.last_cycle = max(self.last_cycle, self.cycle)

    # ------------------------------------------------------------ time

    def _checkpoint(self) -> None:
        if any(c.shot.cycle == self.cycle and c.actions == self.applied for c in self.checkpoints):
            return
        self.checkpoints.append(Checkpoint(snapshot.take(self.machine), self.applied))
        self.checkpoints.sort(key=lambda c: (c.shot.cycle, c.actions))
        size = self.checkpoints[0].shot.nbytes
        if len(self.checkpoints) * size > CHECKPOINT_BYTES and len(self.checkpoints) > 8:
            # every other one of the older half goes: near the end is where one looks
            half = len(self.checkpoints) // 2
            self.checkpoints = self.checkpoints[:1] + self.checkpoints[2:half:2] + self.checkpoints[half:]

    def goto(self, cycle: int) -> Outcome:
        """Bring the fabric to a cycle, earlier or later: the commands given up to it have been given, nothing of it has
        run."""
        first = self.checkpoints[0].shot.cycle
        if cycle < first:
            raise MeshlangError(Diagnostic("MS0940", f"the recording begins at cycle {first}"))
        self.leave_trap()
        if cycle < self.cycle or self.stopped_by is not None:
            best = max((c for c in self.checkpoints if c.shot.cycle <= cycle), key=lambda c: (c.shot.cycle, c.actions))
            snapshot.put(self.machine, best.shot)
            self.applied = best.actions
            self.stopped_by = None
            self._passed = -1
        try:
            with self._interruptible():
                while True:
                    self._replay_here(cycle)
                    if self.cycle >= cycle:
                        return Outcome("limit", self.cycle)
                    end = min(
                        cycle,
                        self.actions[self.applied].cycle if self.applied < len(self.actions) else cycle,
                        self.cycle + self._slice,
                    )
                    if self.cycle < cycle - NEAR < end:
                        end = cycle - NEAR
                    stop = self._advance(end, {}, False)
                    if end == cycle - NEAR:
                        self._checkpoint()
                    if isinstance(stop, Outcome):
                        return stop
        except KeyboardInterrupt:
            return Outcome("interrupted", self.cycle)
        finally:
            self.last_cycle = max(self.last_cycle, self.cycle)
            if self.stopped_by is None:
                self._checkpoint()

    def _replay_here(self, target: int | None = None) -> None:
        """Give the recorded commands of this cycle again."""
        while self.applied < len(self.actions) and self.actions[self.applied].cycle <= self.cycle:
            if target is not None and self.actions[self.applied].cycle > target:
                break
            self.actions[self.applied].apply()
            self.applied += 1

    def replay(self, options: TraceOptions, observe: Callable[[Machine], None] = lambda machine: None) -> Machine:
        """Another machine that goes the way of this one up to the present (at least as far as its recording reaches
        back), and records.

        It begins where the recording of this session begins. A fault or deadlock of the past happens again and ends it.
        """
        machine = Machine(self.program, self.profile, trace=options)
        observe(machine)
        self.leave_trap()
        here = self.cycle
        snapshot.put_into(machine, self.checkpoints[0].shot)
        kept = self.machine, self.memory
        # commands are given to these
        self.machine, self.memory = machine, Memory(self.program, machine, RunWarnings(lambda d: None))
        try:
            with self._interruptible():
                for action in self.actions[: self.applied]:
                    snapshot.advance_to(machine, action.cycle)
                    action.apply()
                snapshot.advance_to(machine, here)
        except MeshlangError:
            if self.stopped_by is None:
                raise
        finally:
            self.machine, self.memory = kept
        return machine

    def restart_history(self) -> None:
        """The machine was brought to a state from outside (restore): its past is no longer known."""
        self.actions, self.applied, self.stopped_by, self._before, self._passed = [], 0, None, None, -1
        self.checkpoints = [Checkpoint(snapshot.take(self.machine), 0)]
        self.last_cycle = self.cycle
        self._prints_seen = 0

    # ------------------------------------------------------------ conditions

    def add_break(self, condition: Condition) -> int:
        number = self._next_break
        self._next_break += 1
        self.breaks[number] = condition
        return number

    # ------------------------------------------------------------ output

    def take_records(self) -> None:
        """Turn what programs printed into lines (`output.lines`); what a replay prints again is not repeated."""
        records = self.machine.print_log
        width = self.machine.width
        new = records[self._prints_seen :]
        if new:
            self._prints_seen = len(records)
            self.output.take((r.cycle, r.pe[1] * width + r.pe[0], r.kind, r.ty, r.value, r.string) for r in new)

    def new_lines(self) -> list[LogLine]:
        """Lines printed since the last call."""
        lines = list(self.output.lines)
        self.output.lines.clear()
        return lines

    def new_warnings(self) -> list[Diagnostic]:
        """Warnings of the run (MS0852 and the like) that have not been returned before. What a replay does again is not
        repeated."""
        found, self._pending[:] = (
            [*self._pending, *(self.machine.warnings if self.cycle != self._warned_at else [])],
            [],
        )
        self._warned_at = self.cycle
        new = []
        for d in found:
            key = d.code, d.message, names.place(d.span)
            if key not in self._warned:
                self._warned.add(key)
                new.append(d)
        return new

    def _text_at(self, pe: int, index: int) -> str:
        strings = self.program.tiles[int(self.memory.tile_of.ravel()[pe])].strings
        return strings[index] if 0 <= index < len(strings) else ""
