"""Perfetto's protobuf format, for ui.perfetto.dev and its trace processor. A cycle is 1 ns.

A group of tracks a PE: its main thread (tasks, with the vector operations and stalls inside), its microthreads, and its
router. A wavelet is a flow: arrows lead from the operation that sends it over the routers to the one that takes it. Its
value stands where it begins, and that it comes from the ramp into the first router goes without saying: a long trace
has a third fewer bytes so.

The messages (perfetto/trace/trace_packet.proto and what it includes) need few fields, numbered below. All packets but
the first are in compressed batches, which Perfetto reads as they are.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from pathlib import PurePath
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from meshlang.fabric.recording import CONTROLS, EXTRA, HOLDS, STALLS
from meshlang.ir.program import DIRECTIONS, HOST

from . import wire
from .flows import wavelets
from .wire import Fixed64, Part, Varint

if TYPE_CHECKING:
    from .model import Slices, Trace

# field numbers
TRACE_PACKET = 1
TIMESTAMP, SEQUENCE, TRACK_EVENT, INTERNED, FLAGS, COMPRESSED, DESCRIPTOR = 8, 10, 11, 12, 13, 50, 60
UUID, TRACK_NAME, PARENT, ORDERING, RANK = 1, 2, 5, 11, 12
EVENT_ANNOTATION, EVENT_TYPE, EVENT_NAME, EVENT_TRACK, EVENT_FLOWS = 4, 9, 10, 11, 47
INTERNED_NAMES, INTERNED_ANNOTATIONS = 2, 3
ANNOTATION_NAME, ANNOTATION_UINT = 1, 3
SLICE_BEGIN, SLICE_END, INSTANT = 1, 2, 3
STATE_CLEARED, STATE_NEEDED = 1, 2
EXPLICIT = 3
# the annotations that events have
PAYLOAD, ELEMENTS, TASK = 1, 2, 3
ANNOTATIONS = {PAYLOAD: "payload", ELEMENTS: "elements", TASK: "task id"}
BATCH = 1 << 22  # bytes that are compressed together
# tracks of PE p have the numbers 32 p + these
GROUP, MAIN, ROUTER, THREADS = 1, 2, 3, 8


class _Names:
    """Interned names: text -> number."""

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}

    def of(self, text: str) -> int:
        return self.numbers.setdefault(text, len(self.numbers) + 1)


class _Rows:
    """Rows of several shapes, written in one common order."""

    def __init__(self) -> None:
        # time, rank, second key, messages
        self.parts: list[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]] = []

    def add(self, time: np.ndarray, rank: int, second: np.ndarray, parts: list[Part]) -> None:
        if len(time):
            packet = wire.message(TRACE_PACKET, parts)
            self.parts.append((time, np.full(len(time), rank), second, wire.rows(len(time), packet)))

    def write(self, out: Callable[[bytes], None]) -> None:
        """In order of time, then of rank; a batch of bytes at a time."""
        if not self.parts:
            return
        time, rank, second = (np.concatenate([p[i] for p in self.parts]) for i in range(3))
        shape = np.concatenate([np.full(len(p[0]), i) for i, p in enumerate(self.parts)])
        row = np.concatenate([np.arange(len(p[0])) for p in self.parts])
        order = np.lexsort((row, second, rank, time))
        lengths = np.array([p[3].shape[1] for p in self.parts])
        per_batch = max(1, BATCH // int(lengths.max()))
        for at in range(0, len(order), per_batch):
            picked = order[at : at + per_batch]
            size = lengths[shape[picked]]
            offset = np.cumsum(size) - size
            data = np.empty(int(size.sum()), np.uint8)
            for i, part in enumerate(self.parts):
                mine = np.flatnonzero(shape[picked] == i)
                if len(mine):
                    data[offset[mine][:, None] + np.arange(lengths[i])] = part[3][row[picked][mine]]
            out(data.tobytes())


def write_perfetto(trace: Trace, file: BinaryIO) -> None:
    names = _Names()
    rows = _Rows()
    tracks: dict[int, set[int]] = {int(pe): set() for pe in np.flatnonzero(trace.mask)}
    _slices(
        trace,
        trace.tasks,
        names,
        rows,
        tracks,
        TASK,
        lambda e, row: trace.task_name(int(e["pe"]), int(e["task"]), int(e["pc"])),
    )
    for slices in (trace.operations, trace.bulk):
        _slices(
            trace,
            slices,
            names,
            rows,
            tracks,
            ELEMENTS,
            lambda e, row: trace.op_name(int(e["pe"]), int(e["pc"])) + _at(trace, e),
        )
    _slices(trace, trace.stalls, names, rows, tracks, None, lambda e, row: "stall: " + STALLS[int(e["extra"])])
    _instants(trace, names, rows, tracks)

    head = wire.field(SEQUENCE, 1) + wire.field(FLAGS, STATE_CLEARED)
    interned = b"".join(
        wire.field(INTERNED_NAMES, wire.field(1, number) + wire.field(2, text))
        for text, number in names.numbers.items()
    )
    interned += b"".join(
        wire.field(INTERNED_ANNOTATIONS, wire.field(1, number) + wire.field(2, text))
        for number, text in ANNOTATIONS.items()
    )
    file.write(wire.field(TRACE_PACKET, head + wire.field(INTERNED, interned)))
    _compressed(file, _descriptors(trace, tracks))
    rows.write(lambda data: _compressed(file, data))


def _compressed(file: BinaryIO, packets: bytes) -> None:
    file.write(wire.field(TRACE_PACKET, wire.field(COMPRESSED, zlib.compress(packets, 7))))


def _at(trace: Trace, event: np.void) -> str:
    place = trace.place(int(event["pe"]), int(event["pc"]))
    return "" if place is None else f" {PurePath(place[0]).name}:{place[1]}"


def _descriptors(trace: Trace, tracks: dict[int, set[int]]) -> bytes:
    out = []
    for pe, used in tracks.items():
        x, y = trace.xy(pe)
        tile = trace.tile(pe)
        out.append(
            _descriptor(32 * pe + GROUP, f"PE {x},{y}" + (f" {tile.name}" if tile is not None else ""), None, pe)
        )
        for track in sorted(used):
            name = {MAIN: "main thread", ROUTER: "router"}.get(track, f"microthread {track - THREADS - 1}")
            out.append(_descriptor(32 * pe + track, name, 32 * pe + GROUP, track))
    return b"".join(out)


def _descriptor(uuid: int, name: str, parent: int | None, rank: int) -> bytes:
    body = wire.field(UUID, uuid) + wire.field(TRACK_NAME, name) + wire.field(RANK, rank)
    if parent is None:
        body += wire.field(ORDERING, EXPLICIT)
    else:
        body += wire.field(PARENT, parent)
    return wire.field(
        TRACE_PACKET, wire.field(SEQUENCE, 1) + wire.field(FLAGS, STATE_NEEDED) + wire.field(DESCRIPTOR, body)
    )


def _packet(time: np.ndarray, event: list[Part]) -> list[Part]:
    return [
        wire.tag(TIMESTAMP, wire.VARINT),
        Varint(time, 6),
        wire.field(SEQUENCE, 1),
        wire.field(FLAGS, STATE_NEEDED),
        *wire.message(TRACK_EVENT, event),
    ]


def _event(
    kind: int,
    track: np.ndarray,
    name: np.ndarray | None,
    annotation: int | None,
    value: np.ndarray | None,
    flow: np.ndarray | None,
) -> list[Part]:
    parts: list[Part] = [wire.field(EVENT_TYPE, kind)]
    if name is not None:
        parts += [wire.tag(EVENT_NAME, wire.VARINT), Varint(name, 3)]
    if annotation is not None and value is not None:
        parts += wire.message(
            EVENT_ANNOTATION,
            [wire.field(ANNOTATION_NAME, annotation), wire.tag(ANNOTATION_UINT, wire.VARINT), Varint(value, 5)],
        )
    # what differs from event to event stands together: a quarter of the compressed bytes
    parts += [wire.tag(EVENT_TRACK, wire.VARINT), Varint(track, 4)]
    if flow is not None:
        parts += [wire.tag(EVENT_FLOWS, wire.FIXED64), Fixed64(flow)]
    return parts


def _slices(
    trace: Trace,
    slices: Slices,
    names: _Names,
    rows: _Rows,
    tracks: dict[int, set[int]],
    annotation: int | None,
    name_of: Callable[[np.void, int], str],
) -> None:
    """Ends come first in a cycle, then beginnings, longer ones first, then what takes no time: so slices on a track
    nest."""
    keep = trace.mask.ravel()[slices.pe]
    events = slices.events[keep]
    pe, thread = slices.pe[keep].astype(np.int64), slices.thread[keep].astype(np.int64)
    start, stop = slices.start[keep], np.minimum(slices.stop[keep], trace.last)
    offset = np.where(thread == 0, MAIN, THREADS + thread)
    for p, t in np.unique(np.stack([pe, offset], 1), axis=0).tolist():
        tracks[p].add(t)
    # few different names: found once per kind of event
    key = np.stack(
        [
            trace.tile_of[pe].astype(np.int64),
            events["pc"].astype(np.int64),
            events["task"].astype(np.int64),
            events["extra"].astype(np.int64) if annotation is None else np.zeros(len(pe), np.int64),
        ],
        1,
    )
    _, first, where = np.unique(key, axis=0, return_index=True, return_inverse=True)
    name = (
        np.array([names.of(name_of(events[i], int(i))) for i in first], np.int64)[where.reshape(-1)]
        if len(pe)
        else np.zeros(0, np.int64)
    )
    value = events["task" if annotation == TASK else "value"].astype(np.int64)
    track = 32 * pe + offset
    long = stop > start
    for chosen, kind, rank in ((long, SLICE_BEGIN, 1), (~long, INSTANT, 2)):
        rows.add(
            start[chosen],
            rank,
            -stop[chosen],
            _packet(
                start[chosen],
                _event(
                    kind, track[chosen], name[chosen], annotation, None if annotation is None else value[chosen], None
                ),
            ),
        )
    rows.add(stop[long], 0, track[long], _packet(stop[long], _event(SLICE_END, track[long], None, None, None, None)))


def _instants(trace: Trace, names: _Names, rows: _Rows, tracks: dict[int, set[int]]) -> None:
    ev = trace.events
    number = wavelets(trace)
    inside = np.flatnonzero(trace.mask.ravel()[ev["pe"]] & (number > 0))
    # the first event of a wavelet on the PEs that are shown, which has its value
    begins = np.zeros(len(ev), bool)
    begins[inside[np.unique(number[inside], return_index=True)[1]]] = True
    for rank, kind in enumerate(("send", "enter", "move", "held", "take", "control", "switch")):
        at = trace.of_kinds(kind)
        at = at[trace.mask.ravel()[ev["pe"][at]]]
        if kind == "enter":
            at = at[EXTRA.sides.get(ev["extra"][at]) == HOST]
        part = ev[at]
        if not len(at):
            continue
        if kind in ("send", "take"):
            offset = np.where(part["thread"] == 0, MAIN, THREADS + part["thread"].astype(np.int64))
        else:
            offset = np.full(len(at), MAIN if kind == "control" else ROUTER)
        pe = part["pe"].astype(np.int64)
        for p, t in np.unique(np.stack([pe, offset], 1), axis=0).tolist():
            tracks[p].add(t)
        # task names depend on the PE's program
        own = trace.tile_of[pe].astype(np.int64) if kind == "control" else np.zeros(len(at), np.int64)
        detail = part["value"].astype(np.int64) if kind in ("control", "switch") else np.zeros(len(at), np.int64)
        key = np.stack([own, part["color"].astype(np.int64), part["extra"].astype(np.int64), detail], 1)
        _, first, where = np.unique(key, axis=0, return_index=True, return_inverse=True)
        name = np.array([names.of(_instant_name(trace, kind, part[i])) for i in first], np.int64)[where.reshape(-1)]
        value = part["value"].astype(np.int64)
        track = 32 * pe + offset
        order = rank << 52 | name << 32 | pe  # like events of a cycle one after the other: they compress best so
        flow, first, wavelet = number[at], begins[at], kind not in ("control", "switch")
        for chosen, shows, flows in (
            (flow == 0, wavelet, False),
            ((flow > 0) & first, True, True),
            ((flow > 0) & ~first, False, True),
        ):
            rows.add(
                part["cycle"][chosen],
                3,
                order[chosen],
                _packet(
                    part["cycle"][chosen],
                    _event(
                        INSTANT,
                        track[chosen],
                        name[chosen],
                        PAYLOAD if shows else None,
                        value[chosen] if shows else None,
                        flow[chosen] if flows else None,
                    ),
                ),
            )


def _instant_name(trace: Trace, kind: str, e: np.void) -> str:
    color, extra = int(e["color"]), int(e["extra"])
    control = " control" if EXTRA.what.get(extra) & 1 and kind in ("send", "take", "enter", "move") else ""
    sides = "+".join((*DIRECTIONS, "HOST")[d] for d in range(6) if EXTRA.sides.get(extra) >> d & 1)
    if kind in ("send", "take"):
        return f"{kind} C{color}{control}"
    if kind == "enter":
        return f"C{color}{control} from the host"
    if kind == "move":
        return f"C{color}{control} to {sides or 'nowhere'}"
    if kind == "held":
        return f"C{color} held: {HOLDS[EXTRA.what.get(extra)]}"
    if kind == "switch":
        return f"C{color} switch position {int(e['value'])}"
    return f"{CONTROLS[extra]} {trace.task_name(int(e['pe']), int(e['value']))}"
