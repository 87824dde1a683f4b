"""One run of a program with a host attached: an ordered queue of commands in front of a machine.

Copies, streams and launches form one queue, as the vendor's memcpy does: each begins when the one before it is
complete. A launch is complete when every PE has called `unblock_cmd_stream`; a stream to the device when it has been
taken; a stream from the device when it has come, and the device holds what it sends on that color until it begins. A
copy between two launches takes `fabric.host.copy` cycles of the profile: the second begins so much later. A
blocking call runs the machine until it is complete, and one that does not block leaves that to a later call. When the
machine has nothing left to do before that, it is a deadlock (exit code 3). Otherwise the host takes no cycles.

Programs without the memcpy library (SdkLayout's) take no commands. Their streams are independent of each other: what
the host sends is handed over at once, and what it wants is taken when it has come.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from meshlang.diag import Diagnostic, MeshlangError
from meshlang.ir.isa import Effect
from meshlang.ir.use import program_effect

from . import arguments
from .memory import Memory, Region, inside
from .printing import LogLine, Output
from .progress import Progress
from .symbols import HostSymbol, Symbols, launch_arguments
from .warnings import RunWarnings, calling_line

if TYPE_CHECKING:
    from meshlang.fabric.recording import TraceOptions
    from meshlang.ir.program import Program

BEHIND_SHOWN = 4  # commands named that wait behind one that cannot end
POLL_CYCLES = 10_000  # how far the machine runs for one is_task_done
POLL_LIMIT = 1_000  # polls of a machine with nothing to do before that is called a deadlock


@dataclass(eq=False)
class Task:
    """A command under way. `what` says it in words, for messages."""

    what: str
    done: bool = False
    started: bool = False


@dataclass(eq=False)
class Copy(Task):
    """A copy from or to the PEs' memories: `run` makes it."""

    run: Callable[[], None] = lambda: None


@dataclass(eq=False)
class Launch(Task):
    """A call of an exported function on all PEs."""

    name: str = ""
    arguments: Any = ()


@dataclass(eq=False)
class Send(Task):
    """Wavelets for the host-in stream of a color, n for each PE of a region (uint32 [h, w, n]). `pushed`: all are on
    the fabric; `taken`: the PEs have them, or there is no more to wait for."""

    color: int = 0
    region: Region = (0, 0, 1, 1)
    words: np.ndarray = field(default_factory=lambda: np.zeros((1, 1, 0), np.uint32))
    taken: bool = False


@dataclass(eq=False)
class Receive(Task):
    """Wavelets wanted from the host-out stream of a color: n from each PE of a region."""

    color: int = 0
    region: Region = (0, 0, 1, 1)
    n: int = 0
    sink: Callable[[np.ndarray], None] = lambda data: None


# Words that the way between host and PE holds for each PE and color, besides the PE's own queues. A guess on the
# generous side: a published example finds that a loop through one PE holds 14 in all, and the way is longer further in
IO_WORDS = 16
# A stream is over for the host when its last word is in a queue of the device; the next command takes a while to
# arrive, and finds it taken. So long, in steps, PEs may be at work and take none of it. Guesses
TAKEN_CYCLES, TAKEN_STEP = 20_000, 64
COPY_CYCLES = 1000  # between a command and its copy from the device. A guess: nothing is published
SETTLE_CYCLES = 200_000  # after the last command: time for what was started and not waited for


class Session:
    """A machine running `program`, and the commands it was given.

    profile: name of a timing profile or path of a .toml file; None: the architecture's.
    max_cycles: MS0919 when the machine's clock passes it.
    sim_log: where the lines of <simprint> go; None: only to `output`.
    strict: what hardware lets pass is a fault.
    trace: what to record; `machine.recorder` has it.
    threads: how many may run the engine at most.

    `context.open_session` makes one as the command that runs the host script wants it.
    """

    def __init__(
        self,
        program: Program,
        profile: str | None = None,
        max_cycles: int | None = None,
        sim_log: str | Path | None = None,
        strict: bool = False,
        trace: TraceOptions | None = None,
        threads: int = 1,
    ):
        from meshlang.fabric.machine import Machine

        self.program = program
        self.symbols = Symbols(program)
        self.max_cycles = arguments.cycles(max_cycles, "max_cycles")
        if profile is not None:
            profile = arguments.path(profile, "a timing profile")
        if sim_log is not None:
            sim_log = arguments.path(sim_log, "sim_log")
        self.machine = Machine(
            program,
            profile,
            strict=strict,
            trace=trace,
            threads=arguments.whole(threads, "threads", 1),
        )
        self.warnings = RunWarnings()
        self.memory = Memory(program, self.machine, self.warnings)
        self.output = Output(text_at=self._text_at, path=Path(sim_log) if sim_log is not None else None)
        self.output.start()
        self.on_lines: Callable[[list[LogLine]], None] | None = None
        self.commands: deque[Task] = deque()
        self.receiving: deque[Receive] = deque()  # where commands have no queue
        self.ordered = any(tile.uses_memcpy for tile in program.tiles)
        if self.ordered:
            self.machine.hold_streams(program.fabric.host_out)
        self._copied = -1  # until this cycle the host copies; below 0 before the first launch
        self._seeped = 0  # words that each PE got rid of for the oldest command in that way
        self._prints = any(program_effect(t.code) & Effect.OUTPUT for t in program.tiles)
        if self._prints:
            self.machine.on_print = lambda: self._take_records(self.machine.cycle)
        self._idle_polls = 0
        # what stopped the machine: it does not go on after a fault or deadlock
        self.failed: MeshlangError | None = None
        self.on_command: Callable[[str], None] | None = None  # told what begins: "launch of 'main'"

    @property
    def cycle(self) -> int:
        """The machine's clock."""
        return int(self.machine.cycle)

    # ------------------------------------------------------------ commands

    def write(self, symbol: HostSymbol, region: Region, data: np.ndarray, block: bool = True) -> Task:
        """Copy to the device. data uint8 [h, w, bytes], taken as it is now."""
        region = arguments.region(*region)
        self.memory.check(symbol, region)
        if symbol.kind == "var" and not symbol.mutable:
            raise MeshlangError(
                Diagnostic(
                    "MS0926",
                    f"{symbol.name!r} is exported as immutable and cannot be written",
                    help="export it with true as the third argument of @export_name",
                )
            )
        taken = np.array(data, dtype=np.uint8, order="C")
        origin = calling_line()
        return self._submit(
            Copy(f"copy to {symbol.name!r}", run=lambda: self.memory.write(symbol, region, taken, origin)), block
        )

    def read(
        self, symbol: HostSymbol, region: Region, nbytes: int, sink: Callable[[np.ndarray], None], block: bool = True
    ) -> Task:
        """Copy from the device: `sink` is called with uint8 [h, w, nbytes] when the command executes."""
        region = arguments.region(*region)
        self.memory.check(symbol, region)
        origin = calling_line()

        def run() -> None:
            self._settle()
            sink(self.memory.read(symbol, region, nbytes, origin))

        return self._submit(Copy(f"copy from {symbol.name!r}", run=run), block)

    def _settle(self) -> None:
        """Copies take their time: what the PEs have still under way happens before them."""
        while not self.ordered and any(self.machine.stream_in_pending(c) for c in self.machine.state.hin_index):
            if self.machine.run(max_cycles=COPY_CYCLES).reason == "quiescent":
                break
        self.machine.run(max_cycles=COPY_CYCLES)

    def launch(self, name: str, args: tuple[Any, ...] = (), block: bool = True) -> Task:
        """Start an exported function on every PE. MS0914-MS0917."""
        symbol = self.symbols.function(name)
        arguments = launch_arguments(symbol, args)
        for t, tile in enumerate(self.program.tiles):
            if symbol.exports[t] is None and tile.uses_memcpy and (self.memory.tile_of == t).any():
                self.memory.refuse_absent(symbol, np.argwhere(self.memory.tile_of == t)[:, ::-1], t)
        return self._submit(Launch(f"launch of {name!r}", name=name, arguments=arguments), block)

    def stream_in(self, color: int, region: Region, words: np.ndarray, block: bool = False) -> Task:
        """Send uint32 words [h, w, n] into the PEs of a region on a host-in color. They are taken as they are now."""
        color, region = arguments.whole(color, "the color of a stream"), arguments.region(*region)
        self._check_stream(color, self.program.fabric.host_in, "in", region)
        taken = np.array(words, dtype=np.uint32, order="C")
        task = Send(f"stream to color {color}", color=color, region=region, words=taken)
        if self.ordered:
            return self._submit(task, block)
        self._start(task)
        return task

    def stream_out(
        self, color: int, region: Region, n: int, sink: Callable[[np.ndarray], None], block: bool = True
    ) -> Task:
        """Receive n wavelets from each PE of a region: `sink` is called with uint32 [h, w, n]."""
        color, region = arguments.whole(color, "the color of a stream"), arguments.region(*region)
        self._check_stream(color, self.program.fabric.host_out, "out", region)
        task = Receive(f"stream of {n} wavelets per PE from color {color}", color=color, region=region, n=n, sink=sink)
        if self.ordered:
            return self._submit(task, block)
        self.receiving.append(task)
        self._begins(task)
        if block:
            self.wait(task)
        return task

    # ------------------------------------------------------------ waiting

    def wait(self, task: Task) -> None:
        """Run until a task is done. Without a queue of commands, a stream to the device counts as done when the machine
        holds it."""
        self._advance()
        while not task.done and (self.ordered or not isinstance(task, Send)):
            if isinstance(task, Receive) and not self.ordered:
                # the oldest request on the task's color
                first = next(t for t in self.receiving if t.color == task.color)
                self._run(("stream", first.color, *first.region, first.n), task)
            else:
                self._proceed(self.commands[0] if self.commands else task)
            self._advance()

    def poll(self, task: Task) -> bool:
        """Whether a task is done. The machine runs a little, for hosts that ask until it is."""
        self._advance()
        if isinstance(task, Send) and not self.ordered:
            task.done = task.done or self.machine.stream_in_pending(task.color) == 0
        if task.done:
            self._idle_polls = 0
            return True
        before = self.cycle
        resting = self._run(None, task, cycles=POLL_CYCLES) == "quiescent"
        head = self.commands[0] if self.commands else None
        if isinstance(head, Send) and self._pushed(head):
            head.taken = resting or not self.machine.stream_in_on_the_way(head.color)
        elif head is not None and resting:
            self._seeps()
        self._advance()
        self._idle_polls = self._idle_polls + 1 if self.cycle == before else 0
        if self._idle_polls > POLL_LIMIT:
            self.wait(task)  # reports what is waited for
        return task.done

    def settle(self, cycles: int | None = SETTLE_CYCLES) -> bool:
        """Complete every command, then let what is still under way end, within bounds: a program may run for ever.

        Whether the program came to rest within so many cycles (None: no bound but max_cycles).
        """
        if self.failed is not None:
            return True
        while self.commands:
            self.wait(self.commands[-1])
        while self.receiving:
            self.wait(self.receiving[-1])
        resting = self._run(None, Task("the program"), cycles) == "quiescent"
        if self.machine.strict:
            left = [replace(d, severity="error") for d in self.machine.left_over]
            if left:
                self.failed = MeshlangError(*left)
                raise self.failed
        return resting

    def warn(self, code: str, message: str, help: str | None = None, key: Any = None) -> None:
        """A warning about what the host script asks for at this line; an error in a strict run. key: what it has in
        common with others that are to be told once (default: the line)."""
        origin = calling_line()
        self.warnings.report(
            Diagnostic(code, message, severity="warning", notes=[origin] if origin else [], help=help),
            (code, key, origin),
            self.machine.strict,
        )

    def unconsumed(self) -> dict[int, int]:
        """Host-in colors whose data the program has not taken: color -> PEs."""
        pending = {
            c: self.machine.stream_in_pending(c)
            for c in self.program.fabric.host_in
            if c in self.machine.state.hin_index and self.machine.stream_in_left(c) > (IO_WORDS if self.ordered else 0)
        }
        return {c: n for c, n in pending.items() if n}

    # ------------------------------------------------------------ inside

    def _submit(self, task: Task, block: bool) -> Task:
        self.commands.append(task)
        if block:
            self.wait(task)
        else:
            self._advance()
        return task

    def _begins(self, task: Task) -> None:
        if self.on_command is not None:
            self.on_command(task.what)

    def _start(self, task: Task) -> None:
        self._begins(task)
        task.started = True
        if isinstance(task, Launch):
            self.machine.launch(task.name, task.arguments, self._copied)
            self._copied = max(self._copied, 0)
        elif isinstance(task, Copy):
            begin = max(self.cycle, self._copied)
            task.run()
            if self._copied >= 0:
                self._copied = begin + int(self.machine.profile.get("fabric.host.copy", 0))
        elif isinstance(task, Send):
            self.machine.stream_in(task.color, *task.region, task.words)
        elif isinstance(task, Receive):
            self.machine.hold_streams(set(self.program.fabric.host_out) - {task.color})

    def _complete(self, task: Task) -> bool:
        """Is a task that was started done? A stream from the device is handed over."""
        if isinstance(task, Launch):
            return self.machine.commands_outstanding == 0
        if isinstance(task, Send):
            return task.taken
        if isinstance(task, Receive):
            if self._missing(task):
                return False
            task.sink(np.asarray(self.machine.stream_out_take(task.color, *task.region, task.n)))
            self.machine.hold_streams(self.program.fabric.host_out)
        return True

    def _advance(self) -> None:
        """Start and finish whatever can be, without running the machine."""
        while self.commands:
            head = self.commands[0]
            if not head.started:
                try:
                    self._start(head)
                except BaseException:
                    self.commands.popleft()  # a refused command must not be tried again by the next call
                    raise
            if not self._complete(head):
                break
            head.done = True
            self.commands.popleft()
            self._seeped = 0
        self._receive()

    def _proceed(self, head: Task) -> None:
        """Run the machine towards the end of the oldest command."""
        if isinstance(head, Receive):
            self._run(("stream", head.color, *head.region, head.n), head)
        elif isinstance(head, Send):
            self._run("streams", head)
            least, last = 1 << 62, 0
            while self._pushed(head) and not head.taken:
                words = self.machine.stream_in_on_the_way(head.color)
                if words < least:
                    least, last = words, self.cycle + TAKEN_CYCLES
                head.taken = not words or self.cycle >= last or self._run(None, head, TAKEN_STEP) == "quiescent"
        else:
            self._run("commands", head)

    def _seeps(self) -> bool:
        """At rest: whether anything moves because the way between host and PEs holds some words itself, in both
        directions."""
        head = self.commands[0] if self.commands else None
        if isinstance(head, Send) and 0 < self.machine.stream_in_left(head.color) <= IO_WORDS:
            head.taken = True
            return True
        held = self.machine.held_streams
        if self._seeped >= IO_WORDS or not self.machine.streams_stuck():
            return False
        self._seeped += 1
        self.machine.hold_streams(())
        self.machine.run(max_cycles=1)  # a word of each PE
        self.machine.hold_streams(held)
        return True

    def _pushed(self, task: Send) -> bool:
        return self.machine.stream_in_pending(task.color) == 0

    def _missing(self, task: Receive) -> bool:
        return self.machine._stream_missing(("stream", task.color, *task.region, task.n)) > 0

    def _receive(self) -> None:
        """Without a queue of commands: hand over what has come, in order of request for each color."""
        waiting: set[int] = set()
        for task in list(self.receiving):
            if task.color in waiting or self._missing(task):
                waiting.add(task.color)
                continue
            self.receiving.remove(task)
            task.sink(np.asarray(self.machine.stream_out_take(task.color, *task.region, task.n)))
            task.done = True

    def _run(self, until: Any, task: Task, cycles: int | None = None) -> str:
        """Run the machine; returns the reason for which it stopped."""
        if self.failed is not None:
            raise self.failed
        limit = cycles
        if self.max_cycles is not None:
            left = self.max_cycles - self.cycle
            limit = left if cycles is None else min(left, cycles)
            if left <= 0:
                raise self._too_long(task)
        progress = Progress()
        self.machine.progress = lambda machine: progress.update(machine.cycle)
        try:
            stop = self.machine.run(until, limit)
        except MeshlangError as error:
            if error.exit_code == 3 and self.ordered and self._seeps():
                return "quiescent"
            behind = [t.what for t in list(self.commands)[1 : BEHIND_SHOWN + 2]]
            if error.exit_code == 3 and behind:
                more = ", ..." if len(behind) > BEHIND_SHOWN else ""
                error.diagnostics[0].notes.append(f"behind it wait: {', '.join(behind[:BEHIND_SHOWN])}{more}")
            self.failed = error
            raise
        finally:
            progress.close()
            self.take_records()
        if stop.reason == "max_cycles" and self.max_cycles is not None and self.cycle >= self.max_cycles:
            raise self._too_long(task)
        return stop.reason

    def _too_long(self, task: Task) -> MeshlangError:
        error = MeshlangError(
            Diagnostic(
                "MS0919",
                f"{task.what} is not complete after {self.max_cycles:,} cycles",
                help="raise --max-cycles (max_cycles=), or look for a loop that does not end",
            )
        )
        error.machine = self.machine  # for inspect.why: who is still at work when the error is shown
        return error

    def _check_stream(self, color: int, known: dict[int, str], way: str, region: Region) -> None:
        if not inside(self.program, region):
            x, y, w, h = region
            width, height = self.program.fabric.width, self.program.fabric.height
            raise MeshlangError(
                Diagnostic(
                    "MS0913",
                    f"the stream covers columns {x} to {x + w - 1} and rows {y} to {y + h - 1}; the program's rectangle is {width} x {height} PEs",
                )
            )
        if color not in known:
            listed = ", ".join(f"{c} ({n})" for c, n in known.items()) or "none"
            raise MeshlangError(
                Diagnostic(
                    "MS0924",
                    f"color {color} does not stream {way}; colors of the program that do: {listed}",
                    help=f"name it in <memcpy/get_params> as MEMCPY{'H2D' if way == 'in' else 'D2H'}_1",
                )
            )

    def _text_at(self, pe: int, index: int) -> str:
        strings = self.program.tiles[int(self.memory.tile_of.ravel()[pe])].strings
        return strings[index] if 0 <= index < len(strings) else ""

    def take_records(self) -> None:
        """Turn what programs have printed since the last time into lines and traces."""
        if self._prints:
            self._take_records(None)

    def _take_records(self, before: int | None) -> None:
        records = self.machine.take_print_log(before)
        width = self.program.fabric.width
        lines = self.output.take((r.cycle, r.pe[1] * width + r.pe[0], r.kind, r.ty, r.value, r.string) for r in records)
        if lines and self.on_lines is not None:
            self.on_lines(lines)
