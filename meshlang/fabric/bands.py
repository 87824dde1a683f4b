"""Several threads: how the state is shared out to bands of rows, and put together again.

`engine/bands.py` says what a band may do when. Here is what surrounds it: before a call of the run loop every band gets its
globals, wheel and logs, and after it there is one state again, the same as one thread leaves. So snapshots, stops,
reports and everything else know nothing of bands, and each call may choose anew whether threads pay.
"""

from __future__ import annotations

import contextlib
import ctypes
import math
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from .engine import state as s
from .engine.bands import MEETING
from .engine.bulk import MEMORY_START
from .engine.clock import STOP_FAULT, STOP_TURN
from .engine.jit import COMPILED
from .engine.loop import ready
from .mapped import PAGE, Mapped

LEAST_ROWS = 4  # two first and two last ones
LEAST_CYCLES = 64  # a call for fewer does not pay
ENOUGH_CYCLES = 16  # to say how much there is to do in one
# nor do cycles with fewer visits for each band: they take less than what bands have to tell each other
LEAST_VISITS = 1500
LARGE = (
    1 << 16
)  # PEs of a mesh on which two threads are the default: a dense program is 1.6 times as fast from there on
_COUNTERS = ("instr", "hops", "delivered", "visits_r", "visits_c", "vector", "steps", "expressing")
_SUMS = ("hinleft",)  # what the first band begins with, and others count from 0


def usual(pes: int) -> int:
    """How many threads run a mesh of so many PEs if nobody says: two if it is large and there are processors for them."""
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return 2 if pes >= LARGE and processors > 1 else 1


def cuts(width: int, height: int, count: int) -> list[int]:
    """The first rows of at most `count` bands, and behind them the number of rows. A band begins with a word of the wheel."""
    step = 64 // math.gcd(width, 64)
    out = [0]
    for b in range(1, count):
        row = round(b * height / count / step) * step
        if row - out[-1] >= LEAST_ROWS and height - row >= LEAST_ROWS:
            out.append(row)
    return [*out, height]


@dataclass
class _Band:
    """Where a band has what, in W. `W`: the array as it sees it; `T`: tables, in which it notes what it looked up last."""

    rows: tuple[int, int]
    globals: int
    record: int
    bits_r: int
    bits_c: int
    early: int
    late: int
    border: int
    up: int
    down: int
    plog: int
    notes: int
    hlog: int
    flight: int
    staging: int
    W: np.ndarray
    T: np.ndarray


class Bands:
    """The bands of a machine. `turns`: one thread runs them all, one after the other (tests do that: it is the same
    code, and waits for no processor). `always`: also where it does not pay."""

    turns = False
    always = False

    def __init__(self, mapped: Mapped, W_end: int, rows: list[int], T: np.ndarray, memories: np.ndarray, staging: int):
        """memories: uint64, with room for each band from byte `staging` on."""
        self.mapped = mapped
        self.memories = memories.view(np.uint8), memories.view(np.uint16), memories.view(np.uint32)
        self.visits = 0.0  # of a cycle, in the last call; 0: not known
        G = s.Globals.at(mapped.array, 0)
        self.width, self.npe = int(G["width"]), int(G["npe"])
        self.l0, self.l1 = int(G["l0"]), int(G["l1"])
        count = len(rows) - 1
        place = _Places(W_end)
        self.records = place.take(count * s.Band.WORDS, 8)
        slots = 64 * (self.l0 + self.l1)
        self.bands = []
        for b in range(count):
            block = place.take(s.GLOBALS_ROOM, PAGE)
            self.bands.append(
                _Band(
                    rows=(rows[b], rows[b + 1]),
                    globals=block,
                    record=self.records + b * s.Band.WORDS,
                    bits_r=place.take(slots, 8),
                    bits_c=place.take(slots, 8),
                    early=place.take(self.l0 + self.l1, 8),
                    late=place.take(self.l0 + self.l1, 8),
                    border=place.take(self.l0 + self.l1, 8),
                    up=place.take(self.width, 8),
                    down=place.take(self.width, 8),
                    plog=place.take(self._prints(G, count) * s.Print.WORDS, 8),
                    notes=place.take(s.NOTES * (s.Note.WORDS + self.l0), 8),
                    hlog=place.take(int(G["hlogcap"]), 8),
                    flight=place.take(s.FLIGHT * s.Flight.WORDS, 8),
                    staging=staging + b * int(MEMORY_START),
                    W=mapped.with_start(block, int(s.GLOBALS_ROOM)),
                    T=T.copy(),
                )
            )
        assert place.end <= mapped.words

    @staticmethod
    def _prints(G: Any, count: int) -> int:
        """Records of a band's print log: of all together no more than of the machine's."""
        return int(G["plogcap"]) // count

    @staticmethod
    def room(W_end: int, width: int, count: int, l0: int, l1: int, plogcap: int, hlogcap: int) -> int:
        """Words of an array that has W and all that bands have besides."""
        one = s.GLOBALS_ROOM + s.Band.WORDS + (128 + 3) * (l0 + l1) + 2 * width + plogcap * s.Print.WORDS
        one += s.NOTES * (s.Note.WORDS + l0) + hlogcap + s.FLIGHT * s.Flight.WORDS
        return int(W_end + count * (one + 2 * PAGE + 16 * 8))

    # ------------------------------------------------------------ running

    def pays(self, G: Any) -> bool:
        """Should bands run from here up to the limit?"""
        if self.always:
            return True
        busy = self.visits == 0 or self.visits >= LEAST_VISITS * len(self.bands)
        return bool(G["limit"] - G["now"] >= LEAST_CYCLES and busy and COMPILED and ready())

    @contextlib.contextmanager
    def watching(self, G: Any) -> Iterator[None]:
        """Around a call of the run loop, by one thread or all: how much there is to do in a cycle."""
        steps, visits = int(G["steps"]), int(G["visits_r"] + G["visits_c"])
        yield
        steps, visits = int(G["steps"]) - steps, int(G["visits_r"] + G["visits_c"]) - visits
        if steps >= ENOUGH_CYCLES:
            self.visits = visits / steps

    def run(self, loop: Callable[..., Any], arrays: tuple[np.ndarray, ...]) -> int:
        """A call of the run loop. arrays: U, C, HP, HS. What interrupts the caller's thread waits until there
        is one state again."""
        found: list[int] = []
        failed: list[BaseException] = []

        def conduct() -> None:
            go.wait()
            try:
                if not called_off:
                    self._share()
                    run = self._by_turns if self.turns else self._in_threads
                    found.append(self._merge(run(loop, arrays), arrays[0]))
            except BaseException as error:
                failed.append(error)
            finally:
                over.set()

        go, over = threading.Event(), threading.Event()
        called_off: list[bool] = []
        interrupted: BaseException | None = None
        # a signal's exception may come up in any line here
        try:
            threading.Thread(target=conduct, daemon=True).start()
            go.set()
        except BaseException as error:
            if not go.is_set():
                called_off.append(True)
                go.set()
                raise
            interrupted = error
        while True:
            try:
                over.wait()
                break
            except BaseException as error:
                interrupted = error
        for what in (*failed, interrupted):
            if what is not None:
                raise what
        return found[0]

    def _call(self, loop: Callable[..., Any], arrays: tuple[np.ndarray, ...], band: _Band) -> int | None:
        """One band goes on. None: it is not at the end of this call."""
        U, C, HP, HS = arrays
        with np.errstate(all="ignore"):
            code = int(loop(band.W, U, C, band.T, *self.memories, HP, HS))
        if code == STOP_TURN or code == STOP_FAULT and band.W[s.Globals.stage] != MEETING:
            return None  # its turn comes again; a fault is first told to the others
        return code

    def _by_turns(self, loop: Callable[..., Any], arrays: tuple[np.ndarray, ...]) -> int:
        codes: list[int | None] = [None] * len(self.bands)
        while None in codes:
            for b, band in enumerate(self.bands):
                if codes[b] is None:
                    codes[b] = self._call(loop, arrays, band)
        return codes[0] if codes[0] is not None else 0

    def _in_threads(self, loop: Callable[..., Any], arrays: tuple[np.ndarray, ...]) -> int:
        codes: list[int | None] = [None] * len(self.bands)

        def work(b: int) -> None:
            while codes[b] is None:
                codes[b] = self._call(loop, arrays, self.bands[b])

        threads = [threading.Thread(target=work, args=(b,), daemon=True) for b in range(1, len(self.bands))]
        for thread in threads:
            thread.start()
        work(0)
        for thread in threads:
            thread.join()
        return codes[0] if codes[0] is not None else 0

    # ------------------------------------------------------------ sharing out

    def _wheel(self, at: int) -> np.ndarray:
        """A wheel's bitmaps, [slot, word]."""
        return self.mapped.array[at : at + 64 * (self.l0 + self.l1)].reshape(64, -1)

    def _words(self, band: _Band, beyond: int = 0) -> slice:
        """The words of the wheel that a band has, or of some rows beyond."""
        first = max(0, (band.rows[0] - beyond) * self.width)
        return slice(first >> 6, min(self.l0, ((band.rows[1] + beyond) * self.width + 63) >> 6))

    def _upper(self, wheel: np.ndarray, slots: np.ndarray) -> None:
        """Make the second level of some slots of a wheel anew."""
        bits = np.zeros((len(slots), self.l1 * 64), bool)
        bits[:, : self.l0] = wheel[slots, : self.l0] != 0
        wheel[slots, self.l0 :] = np.packbits(bits, axis=1, bitorder="little").view(np.int64)

    def _share(self) -> None:
        W = self.mapped.array
        G = s.Globals.at(W, 0)
        W[self.records : self.records + len(self.bands) * s.Band.WORDS] = 0
        open_commands = self._open_commands() if G["cmds"] else None
        for b, band in enumerate(self.bands):
            W[band.globals : band.globals + s.Globals.WORDS] = W[: s.Globals.WORDS]
            own = s.Globals.at(W, band.globals)
            first, end = (row * self.width for row in band.rows)
            for name in _COUNTERS:
                own[name] = 0
            if b > 0:
                own["scount"][:] = 0
                for name in _SUMS:
                    own[name] = 0
            own["bands"], own["band"], own["turns"] = len(self.bands), b, self.turns
            own["stage"] = own["meeting"] = 0
            own["bits_r"], own["bits_c"] = band.bits_r, band.bits_c
            own["early"], own["late"], own["border"] = band.early, band.late, band.border
            own["plog"], own["plogcap"], own["plogn"] = band.plog, self._prints(G, len(self.bands)), 0
            own["hlog"], own["hlogn"] = band.hlog, 0
            own["notes"], own["flight"], own["flightn"] = band.notes, band.flight, 0
            own["staging"] = band.staging
            own["records"], own["mine"], own["giveway"] = self.records, band.record, _give_way()
            if open_commands is not None:
                own["cmds"] = open_commands[b]
            words = self._words(band)
            own["wordsfrom"], own["wordsto"] = words.start >> 6, (words.stop + 63) >> 6
            for name, occupied in (("bits_r", "occ_r"), ("bits_c", "occ_c")):
                wheel, slots = self._wheel(getattr(band, name)), _slots(G[occupied])
                wheel[slots, words] = self._wheel(int(G[name]))[slots, words]
                self._upper(wheel, slots)
            record = s.Band.at(W, band.record)
            record["globals"], record["wheel"] = band.globals, band.bits_r
            record["first"], record["end"] = first, end
            record["up"], record["down"] = band.up, band.down

    def _open_commands(self) -> list[int]:
        """PEs of each band that have not finished the command."""
        opened = s.Pe.view(self.mapped.array, s.P0, self.npe)["cmdopen"].reshape(-1, self.width)
        return [int(opened[slice(*band.rows)].sum()) for band in self.bands]

    # ------------------------------------------------------------ putting together

    def _merge(self, code: int, U: np.ndarray) -> int:
        W = self.mapped.array
        G = s.Globals.at(W, 0)
        parts = [s.Globals.at(W, band.globals) for band in self.bands]
        fault, dropped = self._first_fault()
        for name in ("occ_r", "occ_c"):
            G[name] = np.bitwise_or.reduce([part[name] for part in parts])
        for name, occupied in (("bits_r", "occ_r"), ("bits_c", "occ_c")):
            # a fault leaves behind what was not visited
            slots = np.arange(64) if fault is not None else _slots(G[occupied])
            whole = self._wheel(int(G[name]))
            whole[:] = 0
            for band in self.bands:
                wheel, words = self._wheel(getattr(band, name)), self._words(band, beyond=1)
                whole[slots, words] |= wheel[slots, words]
                wheel[slots] = 0
            self._upper(whole, slots)
        self._deliver(U)
        for name in _COUNTERS:
            G[name] += sum(part[name] for part in parts)
        for name in _SUMS:
            G[name] = sum(part[name] for part in parts)
        G["scount"][:] = sum(part["scount"] for part in parts)
        G["cmds"] = sum(part["cmds"] for part in parts)
        G["expressed"] = max(part["expressed"] for part in parts)
        G["now"] = parts[fault or 0]["now"]
        if fault is not None:
            for name in ("fault", "fpe", "fpc", "fcycle", "fa", "fb", "fc"):
                G[name] = parts[fault][name]
        self._merge_logs(G, parts, dropped)
        return code

    def _deliver(self, U: np.ndarray) -> None:
        """Letters that the bands have not read yet (engine/bands.read_letters)."""
        masks = s.Router.view(U, 0, self.npe)["mask"]
        for band in self.bands:
            first, end = (row * self.width for row in band.rows)
            for at, pe in ((band.up, first - self.width), (band.down, end)):
                letters = self.mapped.array[at : at + self.width]
                if letters.any():
                    masks[pe : pe + self.width] |= letters.astype(np.uint32)
                    letters[:] = 0

    def _merge_logs(self, G: Any, parts: list[Any], dropped: list[_Dropped]) -> None:
        W = self.mapped.array
        prints = np.concatenate(
            [
                s.Print.view(W, p["plog"], int(p["plogn"]))[_but(0, int(p["plogn"]), d.prints)]
                for p, d in zip(parts, dropped)
            ]
        )
        s.Print.view(W, G["plog"], len(prints))[:] = prints
        hosted = np.concatenate([W[int(p["hlog"]) : int(p["hlog"] + p["hlogn"])] for p in parts])
        W[int(G["hlog"]) : int(G["hlog"]) + len(hosted)] = hosted
        G["plogn"], G["hlogn"] = len(prints), len(hosted)
        self._merge_flight(G, parts, dropped)
        if any(s.Note.at(W, p["notes"])["count"] for p in parts):
            self._merge_notes(G, parts)

    def _merge_flight(self, G: Any, parts: list[Any], dropped: list[_Dropped]) -> None:
        W, length = self.mapped.array, int(s.FLIGHT)
        found = []
        for part, drop in zip(parts, dropped):
            n = int(part["flightn"])
            ring, kept = s.Flight.view(W, part["flight"], length), _but(max(0, n - length), n, drop.flight)
            found.append(ring[kept % length])
            G["flightn"] += n - len(drop.flight)
        new = in_order(np.concatenate(found))[-length:]
        n = int(G["flightn"])
        s.Flight.view(W, G["flight"], length)[np.arange(n - len(new), n) % length] = new

    def _merge_notes(self, G: Any, parts: list[Any]) -> None:
        """As if one thread had taken them down: a record for each key, in the order of its first time."""
        first: dict[int, tuple[tuple[int, ...], np.ndarray]] = {}
        size = s.Note.WORDS + self.l0
        tables = [(int(G["notes"]), True), *((int(part["notes"]), False) for part in parts)]
        for at, old in tables:
            for i in range(int(s.NOTES)):
                words = self.mapped.array[at + i * size : at + (i + 1) * size].copy()
                if not words[s.Note.count]:
                    break
                key = int(words[s.Note.key])
                element = s.NoteKey.kind.get(key) != s.N_LOST
                when = (i,) if old else (int(s.NOTES), int(words[s.Note.cycle]), element, int(words[s.Note.pe]))
                if key in first:
                    before, kept = first[key]
                    kept, other = (kept, words) if before < when else (words, kept)
                    kept[s.Note.count] += other[s.Note.count]
                    kept[s.Note.WORDS :] |= other[s.Note.WORDS :]
                    first[key] = min(before, when), kept
                else:
                    first[key] = when, words
            self.mapped.array[at : at + int(s.NOTES) * size] = 0
        at = int(G["notes"])
        for i, (_, words) in enumerate(sorted(first.values(), key=lambda row: row[0])[: int(s.NOTES)]):
            self.mapped.array[at + i * size : at + (i + 1) * size] = words

    # ------------------------------------------------------------ faults

    def _first_fault(self) -> tuple[int | None, list[_Dropped]]:
        """The band whose fault one thread would have come to. What has been logged in that cycle behind it does not
        count."""
        W = self.mapped.array
        failed = [int(s.Band.at(W, band.record)["failed"]) for band in self.bands]
        dropped = [_Dropped(range(0), range(0)) for _ in self.bands]
        if not any(failed):
            return None, dropped
        router = 1 in failed
        first = failed.index(1) if router else next(b for b, f in enumerate(failed) if f)
        clock = int(s.Band.at(W, self.records)["clock"])
        for b, (band, drop) in enumerate(zip(self.bands, dropped)):
            own = s.Globals.at(W, band.globals)
            behind = b > first
            every, some = range(self.npe), range(0)
            if router or behind:
                elements = every
                drop.prints = range(int(own["printsbefore"]), int(own["plogn"]))
                drop.flight = range(int(own["flightbefore"]), int(own["flightn"]))
            elif b == first and failed[b] == 2:  # in the first row, which comes before the others
                elements = range((band.rows[0] + 1) * self.width, self.npe)
                drop.prints = range(int(own["printsbefore"]), int(own["printsborder"]))
                drop.flight = range(int(own["flightbefore"]), int(own["flightborder"]))
            else:
                elements = some
            if router and behind:
                own["hlogn"] = own["hostedbefore"]
            self._drop_notes(int(own["notes"]), clock, elements, every if router and behind else some)
            for at in (band.early, band.late, band.border):
                W[at : at + self.l0 + self.l1] = 0
        return first, dropped

    def _drop_notes(self, at: int, clock: int, elements: range, routers: range) -> None:
        """Forget what compute elements, or routers, of some PEs have taken down for the first time in a cycle."""
        size = s.Note.WORDS + self.l0
        table = self.mapped.array[at : at + int(s.NOTES) * size].reshape(-1, size)
        pe = table[:, s.Note.pe]
        of_routers = s.NoteKey.kind.get(table[:, s.Note.key]) == s.N_LOST
        new = (table[:, s.Note.count] > 0) & (table[:, s.Note.cycle] == clock)
        new &= np.where(of_routers, _in(pe, routers), _in(pe, elements))
        if new.any():
            kept = table[~new].copy()
            table[:] = 0
            table[: len(kept)] = kept


@dataclass
class _Dropped:
    """Which entries of a band's logs one thread would not have made."""

    prints: range
    flight: range


def _in(numbers: np.ndarray, some: range) -> np.ndarray:
    return (numbers >= some.start) & (numbers < some.stop)


def _but(first: int, end: int, dropped: range) -> np.ndarray:
    """The numbers from first to end but for some."""
    numbers = np.arange(first, end)
    return numbers[(numbers < dropped.start) | (numbers >= dropped.stop)]


class _Places:
    """Hands out words behind an array's end."""

    def __init__(self, end: int):
        self.end = end

    def take(self, words: int, multiple: int) -> int:
        at = -(-self.end // multiple) * multiple
        self.end = at + words
        return at


def in_order(entries: np.ndarray) -> np.ndarray:
    """Entries of the flight recorder by cycle and PE."""
    cycle, pe = s.FlightWhen.cycle.get(entries["when"]), s.FlightWhere.pe.get(entries["where"])
    return entries[np.lexsort((pe, cycle))]


def _slots(occupied: Any) -> np.ndarray:
    """Numbers of the bits of a mask."""
    return np.flatnonzero(np.unpackbits(np.array([occupied], "<i8").view(np.uint8), bitorder="little"))


def _give_way() -> int:
    """The address of the system's function that lets others have the processor, or 0."""
    function = getattr(ctypes.CDLL(None), "sched_yield", None)
    return ctypes.cast(function, ctypes.c_void_p).value or 0 if function is not None else 0
