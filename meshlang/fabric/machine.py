"""The machine: a loaded program that runs, and everything Python does with it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..diag import Diagnostic, MeshlangError
from ..ir.program import Program
from .engine import state as s
from .engine.clock import STOP_COMMANDS, STOP_FAULT, STOP_LIMIT, STOP_QUIET
from .loaded import Loaded
from .notes import left_over, lost, read_notes
from .recording import Recorder, TraceOptions
from .report import deadlock_error, fault_error
from .startup import settled
from .timing import Profile
from .waiting import Waiting, find_waiting

_PERIOD = 1 << 30  # arrival times have 32 bits: old ones are brought forward this often


@dataclass(frozen=True, slots=True)
class Stop:
    """Why a run ended: "commands_done", "stream", "quiescent" or "max_cycles", and the cycle."""

    reason: str
    cycle: int


@dataclass(frozen=True, slots=True)
class PrintRecord:
    """One record a program printed. `kind` is an ir.isa.Print, `ty` an ir.isa.Ty, `string` a text or key."""

    cycle: int
    pe: tuple[int, int]
    kind: int
    ty: int
    value: int
    string: str | None


class Machine(Loaded):
    """A program on a fabric.

    profile: the name of a timing profile, a Profile, or None for the one of the program's architecture.
    progress: called about every 0.3 s of wall time with the machine; for a progress display.
    strict: what hardware lets pass, as an access past its variable, is a fault.
    trace: what to record; `recorder` then has the events.
    sink: gets the events batch by batch instead (recording.Recorder).
    threads: how many may run it at most (bands.py): same results, cycles and reports. Recording needs one.
    """

    def __init__(
        self,
        program: Program,
        profile: Profile | str | None = None,
        *,
        progress: Callable[[Machine], None] | None = None,
        strict: bool = False,
        trace: TraceOptions | None = None,
        sink: Callable[[np.ndarray], None] | None = None,
        threads: int = 1,
    ):
        super().__init__(program, profile, threads if trace is None else 1)
        self.progress = progress
        self.state.W[s.Globals.strict] = strict
        self._print_log: list[np.ndarray] = []
        self.on_print: Callable[[], None] | None = None  # told during a run that programs have printed
        self._tails = np.full(len(self._segments), -1, np.int64)
        self._out: dict[int, list[np.ndarray]] = {c: [] for c in program.fabric.host_out}
        self._out_counts: dict[int, np.ndarray] = {
            c: np.zeros(self.width * self.height, np.int64) for c in program.fabric.host_out
        }
        self._period = 0
        self._chunk = 4096 if settled() else 8  # cycles of one call of the run loop, for about as long each
        for p in program.preloads:
            self.write_bytes(p.x, p.y, p.data.shape[1], p.data.shape[0], p.address, p.data)
        self.recorder = Recorder(self, trace, sink) if trace is not None else None

    # ------------------------------------------------------------ commands

    def launch(self, name: str, args: list[int] | tuple[int, ...] = (), after: int = 0) -> int:
        """Call an exported function on every PE whose tile program has it; returns how many do.

        args are register values (ir.isa: normal form). The call reaches PE (x, y) after the launch latency and x + y
        hops, counted from now or from cycle `after`.
        """
        W = self.state.W
        if self.commands_outstanding:
            raise MeshlangError(
                Diagnostic(
                    "MS0844",
                    f"{name!r} is launched while {self.command!r} has not finished on {self.commands_outstanding} PEs",
                    help="run until the commands are done first",
                )
            )
        called = 0
        P = self.pes
        now = max(self.cycle, after)
        for t, tile in enumerate(self.program.tiles):
            export = tile.exports.get(name)
            pes = self.state.tile_pes[t]
            if export is None or export.kind != "fn" or len(pes) == 0:
                continue
            function = tile.functions[export.function]
            if function.params != len(args) or len(args) > 15:
                raise MeshlangError(
                    Diagnostic("MS0845", f"{name!r} takes {function.params} arguments, {len(args)} were given")
                )
            y, x = np.divmod(pes, self.width)
            P["cmd"][pes] = self.state.function_base[t] + export.function * s.Function.WORDS + 1
            P["cmdtime"][pes] = (
                now + self.profile["fabric.launch_latency"] + self.profile["fabric.launch_hop"] * (x + y)
            )
            P["cmdopen"][pes] = 1
            self._wake(pes)
            called += len(pes)
        if not called:
            names = sorted({n for tile in self.program.tiles for n, e in tile.exports.items() if e.kind == "fn"})
            raise MeshlangError(
                Diagnostic(
                    "MS0846",
                    f"no PE exports a function {name!r}",
                    help=f"exported functions: {', '.join(names)}" if names else None,
                )
            )
        W[s.Globals.argn] = len(args)
        for i, value in enumerate(args):
            W[s.Globals.args + i] = _int64(value)
        W[s.Globals.cmds] = called
        self.command = name
        return called

    def _wake(self, pes: np.ndarray, routers: bool = False) -> None:
        """Visit the compute elements (or routers) of some PEs in the next cycle."""
        W = self.state.W
        slot = self.cycle & 63
        l0, l1 = int(W[s.Globals.l0]), int(W[s.Globals.l1])
        base = int(W[s.Globals.bits_r if routers else s.Globals.bits_c]) + slot * (l0 + l1)
        bits = np.zeros(l0 * 64, bool)
        bits[pes] = True
        words = np.packbits(bits, bitorder="little").view(np.int64)
        W[base : base + l0] |= words
        upper = np.zeros(l1 * 64, bool)
        upper[:l0] = words != 0
        W[base + l0 : base + l0 + l1] |= np.packbits(upper, bitorder="little").view(np.int64)
        W[s.Globals.occ_r if routers else s.Globals.occ_c] |= _int64(1 << slot)

    # ------------------------------------------------------------ running

    def run(self, until: str | tuple | None = None, max_cycles: int | None = None) -> Stop:
        """Run.

        until: "commands" (the launched function is done on all PEs), ("stream", color, x0, y0, w, h, n) (that many
        wavelets of the color can be taken from every PE of the region), "streams" (all that the host streams in is on
        the fabric), or None (until nothing happens any more).
        max_cycles: run at most so many cycles beyond this one, which counts besides: stopped so, the clock stands at
        `cycle + max_cycles + 1`, whether something was to be done up to there or not. Raises
        MeshlangError for a fault, and (exit_code 3) for a deadlock: nothing can happen, but `until` is not reached.
        """
        W = self.state.W
        limit = self.cycle + max_cycles if max_cycles is not None else 1 << 62
        if until == "commands" and self.commands_outstanding == 0:
            return Stop("commands_done", self.cycle)
        if until == "streams" and W[s.Globals.hinleft] == 0:
            return Stop("stream", self.cycle)
        W[s.Globals.until] = {"commands": 1, "streams": 4}.get(until, 0) if isinstance(until, str) else 0
        last = time.monotonic()
        while True:
            if isinstance(until, tuple):
                missing = self._stream_missing(until)
                if missing == 0:
                    return Stop("stream", self.cycle)
                W[s.Globals.until], W[s.Globals.scolor] = 2, until[1]
                W[s.Globals.starget] = W[s.Globals.scount + until[1]] + missing
            period_end = (self._period + 1) * _PERIOD
            start = self.cycle
            end = min(limit, start + self._chunk, period_end)
            W[s.Globals.limit] = end if self.recorder is None else self.recorder.before_run(start, end)
            began = time.monotonic()
            code = self._call()
            W[s.Globals.limit] = 0  # depends on wall time, so it is no part of the state that snapshots compare
            now = time.monotonic()
            if now - began < 0.1 and self.cycle - start >= self._chunk:
                self._chunk = min(self._chunk * 2, 1 << 40)
            elif now - began > 0.5:
                self._chunk = max(self._chunk // 2, 1)
            self._drain()
            if self.progress is not None and now - last >= 0.3:
                last = now
                self.progress(self)
            if self.cycle >= period_end:
                self._bring_forward()
            if code == STOP_FAULT:
                raise fault_error(self)
            if code == STOP_COMMANDS:
                return Stop("commands_done", self.cycle)
            if until == "streams" and W[s.Globals.hinleft] == 0:
                return Stop("stream", self.cycle)
            if code == STOP_QUIET:
                if until is not None and not (isinstance(until, tuple) and self._stream_missing(until) == 0):
                    have = None
                    if isinstance(until, tuple):
                        have = self._out_counts[until[1]][self._region(*until[2:6])]
                    raise deadlock_error(self, until, have, lost(self))
                return Stop("quiescent", self.cycle)
            if code == STOP_LIMIT and self.cycle >= limit:
                return Stop("max_cycles", self.cycle)

    def _bring_forward(self) -> None:
        """Arrival times are kept modulo 2^32: bring those long past up to now, before they could look like the
        future."""
        self._period = self.cycle // _PERIOD
        U, now = self.state.U, self.cycle
        old = np.uint32((now - 1) & 0xFFFFFFFF)

        def renew(times: np.ndarray) -> None:
            past = (times - np.uint32(now & 0xFFFFFFFF)).view(np.int32) < 0
            times[past] = old

        channels = self.state.buffers
        for name in ("time", "pop", "push"):
            times = channels[name].copy()
            renew(times)
            channels[name] = times
        # CH_POP == now means "left in this cycle": `old` is in the past
        for a, b in self.state.entry_regions:
            entries = s.Entry.view(U, a, (b - a) // s.Entry.WORDS)
            times = entries["time"].copy()
            renew(times)
            entries["time"] = times

    def _drain(self) -> None:
        """Take over what the engine logged."""
        W = self.state.W
        if self.recorder is not None:
            self.recorder.drain()
        n = int(W[s.Globals.plogn])
        if n:
            base = int(W[s.Globals.plog])
            self._print_log.append(s.Print.view(W, base, n).copy())
            W[s.Globals.plogn] = 0
            if self.on_print is not None:
                self.on_print()
        n = int(W[s.Globals.hlogn])
        if n:
            base = int(W[s.Globals.hlog])
            log = W[base : base + n]
            W[s.Globals.hlogn] = 0
            colors = s.HostWavelet.color.get(log)
            for color in np.unique(colors):
                part = s.HostWavelet.where.get(log[colors == color])
                self._out[int(color)].append(part)
                self._out_counts[int(color)] += np.bincount(
                    s.HostWavelet.pe.get(part), minlength=self.width * self.height
                )

    # ------------------------------------------------------------ memory

    @property
    def memory(self) -> np.ndarray:
        """All memories, uint8; PE p's begins at mem_base[p]."""
        return self.state.M8

    @property
    def mem_base(self) -> np.ndarray:
        """Where each PE's memory begins (int64 [pe])."""
        return self.pes["mem"]

    def _region(self, x0: int, y0: int, w: int, h: int) -> np.ndarray:
        self.pe(x0, y0)
        self.pe(x0 + w - 1, y0 + h - 1)
        return (np.arange(y0, y0 + h)[:, None] * self.width + np.arange(x0, x0 + w)[None, :]).ravel()

    def _bytes(self, x0: int, y0: int, w: int, h: int, address: Any, nbytes: int) -> np.ndarray:
        """First byte of each PE's part (int64 [h * w]), checked."""
        pes = self._region(x0, y0, w, h)
        address = np.broadcast_to(np.asarray(address, np.int64), (h, w)).ravel()
        P = self.pes
        bad = (address < 0) | (address + nbytes > P["memsize"][pes]) | (P["tile"][pes] < 0)
        if bad.any():
            i = int(np.argmax(bad))
            y, x = divmod(int(pes[i]), self.width)
            raise MeshlangError(
                Diagnostic(
                    "MS0847",
                    f"the host accesses {nbytes} bytes at address {int(address[i])} of PE ({x}, {y}), which has "
                    f"{int(P['memsize'][pes[i]])} bytes of memory",
                )
            )
        return P["mem"][pes] + address

    def window(self, x0: int, y0: int, w: int, h: int, address: int, nbytes: int) -> np.ndarray | None:
        """The memories themselves, uint8 [h, w, nbytes], to be written many times; None if they are not evenly spaced."""
        return self._parts(self._bytes(x0, y0, w, h, address, nbytes).reshape(h, w), nbytes)

    def _parts(self, starts: np.ndarray, nbytes: int) -> np.ndarray | None:
        """The parts that begin at starts [h, w] as a strided view [h, w, nbytes], if they are evenly spaced; else
        None."""
        across, down = _step(starts[0]), _step(starts[:, 0])
        if across is None or down is None or (starts != starts[0] + (starts[:, :1] - starts[0, 0])).any():
            return None
        return np.lib.stride_tricks.as_strided(
            self.state.M8[starts[0, 0] :], (*starts.shape, nbytes), (down, across, 1)
        )

    def read_bytes(self, x0: int, y0: int, w: int, h: int, address: Any, nbytes: int) -> np.ndarray:
        """uint8 [h, w, nbytes]; address is one number or an array [h, w]."""
        starts = self._bytes(x0, y0, w, h, address, nbytes)
        view = self._parts(starts.reshape(h, w), nbytes)
        if view is not None:
            return view.copy()
        out = np.empty((len(starts), nbytes), np.uint8)
        span = np.arange(nbytes)
        rows = max(1, (1 << 22) // max(1, nbytes))
        for i in range(0, len(starts), rows):
            out[i : i + rows] = self.state.M8[starts[i : i + rows, None] + span]
        return out.reshape(h, w, nbytes)

    def write_bytes(self, x0: int, y0: int, w: int, h: int, address: Any, data: np.ndarray) -> None:
        """data is uint8 [h, w, nbytes]; address as for `read_bytes`."""
        nbytes = data.shape[2]
        starts = self._bytes(x0, y0, w, h, address, nbytes)
        view = self._parts(starts.reshape(h, w), nbytes)
        if view is not None:
            view[:] = data
            return
        rows_of = np.ascontiguousarray(data).reshape(h * w, nbytes)
        span = np.arange(nbytes)
        rows = max(1, (1 << 22) // max(1, nbytes))
        for i in range(0, len(starts), rows):
            self.state.M8[starts[i : i + rows, None] + span] = rows_of[i : i + rows]

    def pointer_values(self, x0: int, y0: int, w: int, h: int, name: str) -> np.ndarray:
        """Byte addresses an exported name stands for, per PE (int64 [h, w]): a pointer's value, or a variable's
        address."""
        pes = self._region(x0, y0, w, h)
        addresses = np.full(len(pes), -1, np.int64)
        for t in np.unique(self.state.tile_of[pes]):
            export = self.program.tiles[int(t)].exports.get(name) if t >= 0 else None
            if export is None or export.kind == "fn":
                y, x = divmod(int(pes[self.state.tile_of[pes] == t][0]), self.width)
                raise MeshlangError(Diagnostic("MS0848", f"PE ({x}, {y}) exports no data named {name!r}"))
            mine = self.state.tile_of[pes] == t
            if export.kind == "pointer":
                at = self.pes["mem"][pes[mine]] + export.address
                addresses[mine] = self.state.M16[at >> 1]
            else:
                addresses[mine] = export.address
        return addresses.reshape(h, w)

    # ------------------------------------------------------------ streams

    def stream_in(self, color: int, x0: int, y0: int, w: int, h: int, data: np.ndarray) -> None:
        """Queue data (uint32 [h, w, n]) for a host_in color; it flows while the machine runs."""
        index = self.state.hin_index.get(color)
        if index is None:
            raise MeshlangError(Diagnostic("MS0849", f"color {color} is not streamed in by the host"))
        data = np.ascontiguousarray(data, np.uint32).reshape(h * w, -1)
        n = data.shape[1]
        if n == 0:
            return
        pes = self._region(x0, y0, w, h)
        channel = self.state.channels[color][pes]
        if (channel < 0).any():
            y, x = divmod(int(pes[np.argmax(channel < 0)]), self.width)
            raise MeshlangError(Diagnostic("MS0849", f"PE ({x}, {y}) has no route for color {color}"))
        npe = self.width * self.height
        heads = index * npe + pes
        if (self._segments[: max(1, len(self.state.hin_index)) * npe] < 0).all():
            # all consumed: start over with empty pools
            self._host_in = np.zeros(0, np.uint32)
            self._segments = self._segments[: max(1, len(self.state.hin_index)) * npe].copy()
        first = len(self._host_in)
        self._host_in = np.concatenate([self._host_in, data.ravel()])
        row0 = len(self._segments)
        rows = row0 + np.arange(h * w) * s.Segment.WORDS
        added = np.empty((h * w, s.Segment.WORDS), np.int64)
        added[:, s.Segment.position] = first + np.arange(h * w) * n
        added[:, s.Segment.end] = added[:, s.Segment.position] + n
        added[:, s.Segment.next] = -1
        self._segments = np.concatenate([self._segments, added.ravel()])
        empty = self._segments[heads] < 0
        self.state.W[s.Globals.hinleft] += int(empty.sum())
        self._segments[heads[empty]] = rows[empty]
        self._segments[self._tails[heads[~empty]] + s.Segment.next] = rows[~empty]
        self._tails[heads] = rows
        self._serve(pes, channel, "hin")

    def _serve(self, pes: np.ndarray, channel: np.ndarray, mask: str) -> None:
        """Let routers look at a channel in the next cycle: "hin" for what the host brings, "mask" for what is in it."""
        routers = self.state.routers
        slot = (channel - routers["base"][pes].astype(np.int64)) // s.Channel.WORDS
        routers[mask][pes] |= (np.int64(1) << slot).astype(np.uint32)
        self._wake(pes, routers=True)

    def hold_streams(self, colors: Iterable[int]) -> None:
        """Wavelets for the host of these colors, and of no others, wait on the fabric: the host takes none."""
        held = sum(1 << c for c in set(colors) if c in self._out_counts)
        opened = int(self.state.W[s.Globals.held]) & ~held
        self.state.W[s.Globals.held] = held
        for color, channel in self.state.channels.items():
            if opened >> color & 1:
                pes = np.flatnonzero(channel >= 0)
                pes = pes[self._wavelets(channel[pes]) > 0]
                self._serve(pes, channel[pes], "mask")

    def _wavelets(self, channel: np.ndarray) -> np.ndarray:
        """How many wavelets are in channels."""
        return s.ChannelState.count.get(self.state.buffer(channel)["state"])

    def streams_stuck(self) -> bool:
        """Are there wavelets in a router that the host could take, if it did?"""
        for color in self.held_streams:
            channel = self.state.channels[color][self.state.channels[color] >= 0]
            to_host = s.Config.tx.get(self.state.buffer(channel)["config"]) & s.TO_HOST != 0
            if (self._wavelets(channel[to_host]) > 0).any():
                return True
        return False

    def stream_in_left(self, color: int) -> int:
        """The most words of a color that are still the host's for a PE."""
        npe = self.width * self.height
        index = self.state.hin_index[color]
        at = self._segments[index * npe : (index + 1) * npe]
        left = np.zeros(npe, np.int64)
        while (at >= 0).any():
            there = np.flatnonzero(at >= 0)
            left[there] += self._segments[at[there] + s.Segment.end] - self._segments[at[there] + s.Segment.position]
            at = np.where(at >= 0, self._segments[at + s.Segment.next], -1)
        return int(left.max())

    def stream_in_on_the_way(self, color: int) -> int:
        """How many wavelets of a color that the host streams in are in routers and input queues."""
        channel = self.state.channels[color]
        count = int(self._wavelets(channel[channel >= 0]).sum())
        for a, number in self.state.input_regions:
            queues = s.Queue.view(self.state.U, a, number)
            count += int(queues["count"][queues["color"] == color].sum())
        return count

    def _stream_missing(self, target: tuple) -> int:
        _, color, x0, y0, w, h, n = target
        if color not in self._out_counts:
            raise MeshlangError(Diagnostic("MS0849", f"color {color} is not streamed out to the host"))
        have = self._out_counts[color][self._region(x0, y0, w, h)]
        return int(np.maximum(n - have, 0).sum())

    def stream_out_available(self, color: int, x: int, y: int) -> int:
        """Wavelets of a host_out color that can be taken from one PE."""
        return int(self._out_counts[color][self.pe(x, y)])

    def stream_out_take(self, color: int, x0: int, y0: int, w: int, h: int, n: int) -> np.ndarray:
        """uint32 [h, w, n], oldest first."""
        pes = self._region(x0, y0, w, h)
        short = self._out_counts[color][pes] < n
        if short.any():
            y, x = divmod(int(pes[np.argmax(short)]), self.width)
            raise MeshlangError(
                Diagnostic(
                    "MS0849",
                    f"PE ({x}, {y}) has streamed out {self.stream_out_available(color, x, y)} wavelets of color {color}, "
                    f"{n} were asked for",
                )
            )
        log = np.concatenate(self._out[color]) if self._out[color] else np.zeros(0, np.int64)
        order = np.argsort(s.HostWavelet.pe.get(log), kind="stable")
        log = log[order]
        owner = s.HostWavelet.pe.get(log)
        first = np.searchsorted(owner, pes)
        picked = first[:, None] + np.arange(n)
        out = s.HostWavelet.value.get(log[picked]).astype(np.uint32)
        left = np.ones(len(log), bool)
        left[picked.ravel()] = False
        self._out[color] = [log[left]]
        self._out_counts[color][pes] -= n
        return out.reshape(h, w, n)

    # ------------------------------------------------------------ looking

    @property
    def print_log(self) -> list[PrintRecord]:
        """What programs have printed, in order of cycle."""
        self._drain()
        return self._print_records(self._print_log)

    def take_print_log(self, before: int | None = None) -> list[PrintRecord]:
        """What programs have printed (before a cycle: PEs may run ahead of the clock) since this was called last, in
        order of cycle. It is not kept."""
        if before is None:
            self._drain()
        taken, self._print_log = self._print_log, []
        if before is not None and taken:
            log = np.concatenate(taken)
            early = log["cycle"] < before
            taken = [log[early]]
            if not early.all():
                self._print_log = [log[~early]]
        return self._print_records(taken)

    def _print_records(self, parts: list[np.ndarray]) -> list[PrintRecord]:
        if not parts:
            return []
        log = np.concatenate(parts)
        log = log[np.lexsort((log["pe"], log["cycle"]))]  # of one cycle and PE in the order in which they came
        strings = self.state.strings
        out = []
        for cycle, pe, what, value in log.tolist():
            string = s.PrintWhat.string.get(what)
            out.append(
                PrintRecord(
                    cycle,
                    (pe % self.width, pe // self.width),
                    s.PrintWhat.kind.get(what),
                    s.PrintWhat.ty.get(what),
                    value,
                    strings[string] if 0 <= string < len(strings) else None,
                )
            )
        return out

    @property
    def warnings(self) -> list[Diagnostic]:
        """What the machine has done so far that looks like a mistake and that hardware would not report; at rest also
        wavelets left over."""
        return read_notes(self) + self.left_over

    @property
    def left_over(self) -> list[Diagnostic]:
        """The warnings about wavelets that nobody has taken, in a machine that has come to rest."""
        return left_over(self)

    def waiting(self) -> list[Waiting]:
        """What the machine waits for, grouped over PEs."""
        return find_waiting(self)

    def stats(self) -> dict[str, Any]:
        """Counters of the whole run, and per-PE arrays [h, w]."""
        W, P = self.state.W, self.pes
        shape = (self.height, self.width)
        return {
            "cycles": self.cycle,
            "instructions": int(W[s.Globals.instr]),
            "vector_elements": int(W[s.Globals.vector]),
            "hops": int(W[s.Globals.hops]),
            "delivered": int(W[s.Globals.delivered]),
            "wavelets_sent": int(P["sent"].sum()),
            "wavelets_received": int(self.received().sum()),
            "tasks": int(P["tasks"].sum()),
            "bytes_read": int(P["read"].sum()),
            "bytes_written": int(P["written"].sum()),
            "flops": int(P["flops"].sum()),
            "router_visits": int(W[s.Globals.visits_r]),
            "ce_visits": int(W[s.Globals.visits_c]),
            "steps": int(W[s.Globals.steps]),
            "busy": P["busy"].reshape(shape).copy(),
            "sent": P["sent"].reshape(shape).copy(),
            "received": self.received().reshape(shape),
            "tasks_started": P["tasks"].reshape(shape).copy(),
            "read": P["read"].reshape(shape).copy(),
            "written": P["written"].reshape(shape).copy(),
            "computed": P["flops"].reshape(shape).copy(),
        }


def _step(starts: np.ndarray) -> int | None:
    """The distance between neighbours, if it is the same for all and positive; 1 for a single one."""
    if len(starts) == 1:
        return 1
    step = int(starts[1] - starts[0])
    return step if step > 0 and (np.diff(starts) == step).all() else None


def _int64(value: int) -> int:
    value = int(value) & ((1 << 64) - 1)
    return value - (1 << 64) if value >> 63 else value


__all__ = ["Machine", "PrintRecord", "Stop"]
