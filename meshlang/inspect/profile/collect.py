"""From events to sums, while the machine runs: events are folded batch by batch and not kept.

A main thread's cycles belong to the instruction that has begun last; what runs before the first one of a task (its
start) belongs to the task's entry. So all cycles of all tasks are accounted for: their sum is the machine's busy
cycles. A tree of calls (node: who called whom, the root is the task) is shared by all PEs of a tile program.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from meshlang.fabric.engine import state as s
from meshlang.fabric.recording import KINDS, TraceOptions
from meshlang.inspect.trace.model import Trace
from meshlang.ir.isa import Effect, Flow, Op

if TYPE_CHECKING:
    from meshlang.fabric.machine import Machine

KIND = {name: i for i, name in enumerate(KINDS)}
GROUPS = ("task", "op", "stall", "inst")
CALLS = [int(op) for op in Op if op.row.flow is Flow.CALL]
RETURNS = [int(op) for op in Op if op.row.flow is Flow.RETURN]
AGAIN = [int(op) for op in Op if op.row.effect & Effect.ELEMENT]  # recorded anew when they have waited
PER_PE = 4096  # up to so many PEs are told apart; more are summed up
# a key: PE + 1 (0: all of a tile program) | node | instruction
_NODE_AT, _PE_AT = 24, 44
_MERGE = 4_000_000  # pending rows that make the sums be brought together


def profile_options(
    pes: tuple[tuple[int, int, int, int], ...] | None = None, cycles: tuple[int, int] | None = None
) -> TraceOptions:
    """What a profile needs recorded."""
    return (
        TraceOptions(pes=pes, groups=GROUPS) if cycles is None else TraceOptions(pes=pes, groups=GROUPS, cycles=cycles)
    )


@dataclass(frozen=True)
class Node:
    """A function in the tree of calls; of the root of a task: its id."""

    parent: int  # 0: the task itself
    tile: int
    entry: int  # first instruction (of the machine)
    task: int  # -1: called
    name: str


@dataclass
class Profile:
    """Sums over the run. Rows of the main threads: pe (-1 where PEs are not told apart), node, pc, cycles, times.

    stalls: (PE, thread is a microthread, pc, cause) -> cycles waited. operations: (PE, pc, microthread) -> [operations,
    elements, cycles]. busy: cycles of main threads per PE [h, w].
    """

    trace: Trace
    nodes: list[Node | None]
    pe: np.ndarray
    node: np.ndarray
    pc: np.ndarray
    cycles: np.ndarray
    times: np.ndarray
    stalls: dict[tuple[int, bool, int, int], int]
    operations: dict[tuple[int, int, bool], list[int]]
    busy: np.ndarray
    starts: dict[int, int]  # node of a task -> how often it started
    first: int
    last: int

    @property
    def total(self) -> int:
        """Cycles of all main threads."""
        return int(self.cycles.sum())

    def tile_at(self, node: int) -> int:
        found = self.nodes[node]
        return found.tile if found is not None else -1

    def place(self, node: int, pc: int) -> tuple[str, int] | None:
        """Source place of a row."""
        tile = self.tile_at(node)
        at = pc - self.trace.code_base[tile] if tile >= 0 else -1
        places = self.trace._places[tile] if tile >= 0 else []
        return places[at] if 0 <= at < len(places) else None

    def stack(self, node: int) -> list[int]:
        """Nodes from the task to this one."""
        out = [node]
        while (found := self.nodes[out[-1]]) is not None and found.parent:
            out.append(found.parent)
        return out[::-1]


class Collector:
    """Takes the events of a machine over (as its recorder's sink) and sums them up."""

    def __init__(self, machine: Machine):
        assert machine.recorder is not None
        self.machine = machine
        machine.recorder.sink = self.fold
        self.per_pe = int(machine.recorder.mask.sum()) <= PER_PE
        self.nodes: list[Node | None] = [None]
        self.children: dict[tuple[int, int, int, int], int] = {}
        self.inside: dict[tuple[int, int], int] = {}  # (node, pc) -> node
        self.expanded: set[int] = set()  # nodes of functions that were expanded where they are called
        self.at: dict[int, int] = {}  # PE -> node of its pending event
        self.pending = np.zeros(0, machine.recorder.events.dtype)
        self.keys: list[np.ndarray] = []
        self.sums: list[np.ndarray] = []  # [n, 2] cycles, times
        self.rows = 0
        self.stalls: dict[tuple[int, bool, int, int], int] = defaultdict(int)
        self.operations: dict[tuple[int, int, bool], list[int]] = defaultdict(lambda: [0, 0, 0])
        self.busy = np.zeros(machine.width * machine.height, np.int64)
        self.starts: dict[int, int] = defaultdict(int)
        self.first = self.last = -1
        self.trace = Trace.of(machine)

    # ------------------------------------------------------------ folding

    def fold(self, events: np.ndarray) -> None:
        """Add a batch."""
        if self.first < 0:
            self.first = int(events["cycle"].min())
        self.last = max(self.last, int(events["cycle"].max()))
        tasks = events[events["kind"] == KIND["task"]]
        for (tile, pc, task), n in zip(
            *np.unique(
                np.stack([self.trace.tile_of[tasks["pe"]], tasks["pc"], tasks["task"]], 1), axis=0, return_counts=True
            )
        ):
            self.starts[self._child(0, int(tile), int(pc), int(task))] += int(n)
        self._main(events[np.isin(events["kind"], (KIND["task"], KIND["inst"], KIND["end"]))])
        for e in events[events["kind"] == KIND["go"]].tolist():
            _, pe, _, _, _, thread, waited, cause, pc, _ = e
            self.stalls[self._pe(pe), thread > 0, self._shared(pe, pc), cause] += waited
        for e in events[np.isin(events["kind"], (KIND["done"], KIND["op"]))].tolist():
            _, pe, kind, _, _, thread, elements, extra, pc, _ = e
            row = self.operations[self._pe(pe), self._shared(pe, pc), thread > 0]
            row[0] += 1
            row[1] += elements
            row[2] += extra + (kind == KIND["done"])

    def _pe(self, pe: int) -> int:
        return pe if self.per_pe else -1

    def _shared(self, pe: int, pc: int) -> int:
        """An element access has no operation: it counts for the instruction that waits."""
        if pc < 0:
            waiting = np.flatnonzero(self.pending["pe"] == pe)
            return int(self.pending["pc"][waiting[0]]) if len(waiting) else -1
        return pc

    def _main(self, events: np.ndarray) -> None:
        rows = np.concatenate([self.pending, events])
        if not len(rows):
            return
        rows = rows[np.argsort(rows["pe"], kind="stable")]
        n = len(rows)
        last = np.ones(n, bool)  # of its PE: its length is not known yet
        last[:-1] = rows["pe"][1:] != rows["pe"][:-1]
        start = np.zeros(n, bool)
        start[0] = True
        start[1:] = last[:-1]
        is_task = rows["kind"] == KIND["task"]
        is_inst = rows["kind"] == KIND["inst"]
        turn = ~last & is_inst & np.isin(rows["value"], CALLS + RETURNS)
        where, node_there = self._walk(rows, np.flatnonzero(turn | start | is_task), start, is_task, turn)
        node = node_there[np.searchsorted(where, np.arange(n), "right") - 1]
        for i in np.flatnonzero(last):
            self.at[int(rows["pe"][i])] = int(node[i])
        self.pending = rows[last]
        counted = np.flatnonzero(~last & (rows["kind"] != KIND["end"]))
        cycles = (rows["cycle"][counted + 1] - rows["cycle"][counted]).astype(np.int64)
        pe, pc = rows["pe"][counted].astype(np.int64), rows["pc"][counted].astype(np.int64)
        times = is_inst[counted].astype(np.int64)
        again = (
            np.isin(rows["value"][counted], AGAIN)
            & is_inst[counted]
            & (rows["pc"][counted + 1] == pc)
            & is_inst[counted + 1]
        )
        times[again] = 0
        np.add.at(self.busy, pe, cycles)
        key = pc | node[counted] << _NODE_AT | ((pe + 1) if self.per_pe else 0) << _PE_AT
        self._add(key, np.stack([cycles, times], 1))

    def _walk(
        self, rows: np.ndarray, stops: np.ndarray, start: np.ndarray, is_task: np.ndarray, turn: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Follow calls and returns: (rows from which on a node is current, the node). stops: rows that matter; start:
        the first of a PE; turn: a call or return whose target is known."""
        where, nodes = [], []
        current = 0
        pes, ops, pcs, ids = rows["pe"].tolist(), rows["value"].tolist(), rows["pc"].tolist(), rows["task"].tolist()
        tile_of = self.trace.tile_of
        for i, first, task, turns in zip(
            stops.tolist(), start[stops].tolist(), is_task[stops].tolist(), turn[stops].tolist()
        ):
            if first:
                current = self.at.get(pes[i], 0)
                where.append(i)
                nodes.append(current)
            if task:
                current = self._child(0, int(tile_of[pes[i]]), pcs[i], ids[i])
                where.append(i)
            elif turns:
                if ops[i] in CALLS:
                    current = self._child(self._inside(current, pcs[i]), int(tile_of[pes[i]]), pcs[i + 1], -1)
                else:
                    current = self._parent(current)
                where.append(i + 1)
            else:
                continue
            nodes.append(current)
        return np.array(where, np.int64), np.array(nodes, np.int64)

    def _parent(self, node: int) -> int:
        """The node that `node` returns to."""
        while True:
            found = self.nodes[node]
            node = found.parent if found is not None else 0
            if node not in self.expanded:
                return node

    def _child(self, parent: int, tile: int, entry: int, task: int) -> int:
        key = (parent, tile, entry, task)
        number = self.children.get(key)
        if number is None:
            number = self.children[key] = len(self.nodes)
            at = entry - self.trace.code_base[tile]
            name = next((f.name for f in self.machine.program.tiles[tile].functions if f.entry == at), "?")
            self.nodes.append(Node(parent, tile, entry, task, name))
        return number

    def _add(self, key: np.ndarray, sums: np.ndarray) -> None:
        keys, where = np.unique(key, return_inverse=True)
        total = np.stack([np.bincount(where, sums[:, k], len(keys)) for k in (0, 1)], 1).astype(np.int64)
        self.keys.append(keys)
        self.sums.append(total)
        self.rows += len(keys)
        if self.rows > _MERGE and len(self.keys) > 1:
            self._merge()

    def _merge(self) -> None:
        key, sums = np.concatenate(self.keys), np.concatenate(self.sums)
        keys, where = np.unique(key, return_inverse=True)
        total = np.zeros((len(keys), 2), np.int64)
        np.add.at(total, where, sums)
        self.keys, self.sums, self.rows = [keys], [total], 0

    # ------------------------------------------------------------ the end

    def result(self) -> Profile:
        """The profile of the run so far."""
        recorder = self.machine.recorder
        assert recorder is not None
        recorder.drain()
        self._open_stalls()
        if self.keys:
            self._merge()
        else:
            self.keys, self.sums = [np.zeros(0, np.int64)], [np.zeros((0, 2), np.int64)]
        key, sums = self._inlined(self.keys[0]), self.sums[0]
        mask = (1 << _NODE_AT) - 1
        last = min(max(self.last, self.machine.cycle), recorder.options.cycles[1])
        return Profile(
            self.trace,
            self.nodes,
            (key >> _PE_AT) - 1,
            key >> _NODE_AT & (1 << _PE_AT - _NODE_AT) - 1,
            key & mask,
            sums[:, 0],
            sums[:, 1],
            dict(self.stalls),
            {k: list(v) for k, v in self.operations.items()},
            self.busy.reshape(self.machine.height, self.machine.width),
            dict(self.starts),
            max(self.first, 0),
            last,
        )

    def _inlined(self, key: np.ndarray) -> np.ndarray:
        """The keys with instructions of expanded functions in nodes of their own."""
        mask = (1 << _NODE_AT) - 1
        pc, node = key & mask, key >> _NODE_AT & (1 << _PE_AT - _NODE_AT) - 1
        pairs, where = np.unique(node << _NODE_AT | pc, return_inverse=True)
        new = np.array([self._inside(n >> _NODE_AT, n & mask) for n in pairs.tolist()], np.int64)
        return key + ((new[where] - node) << _NODE_AT) if len(key) else key

    def _inside(self, node: int, pc: int) -> int:
        """The node of an instruction of the function of `node`: that of a function expanded there, or the same."""
        number = self.inside.get((node, pc))
        if number is None:
            number = self.inside[node, pc] = self._expanded(node, pc)
        return number

    def _expanded(self, node: int, pc: int) -> int:
        found = self.nodes[node]
        if found is None:
            return node
        tile = self.machine.program.tiles[found.tile]
        base = self.trace.code_base[found.tile]
        row = int(tile.inlined[pc - base]) if pc - base < len(tile.inlined) else -1
        chain = []
        while row >= 0:
            if tile.inline_frames[row].name:
                chain.append(row)
            row = tile.inline_frames[row].caller
        for row in reversed(chain):
            key = (node, found.tile, -1 - row, -1)
            number = self.children.get(key)
            if number is None:
                number = self.children[key] = len(self.nodes)
                first = int(np.argmax(tile.inlined == row))
                self.nodes.append(Node(node, found.tile, base + first, -1, tile.inline_frames[row].name))
                self.expanded.add(number)
            node = number
        return node

    def _open_stalls(self) -> None:
        """Threads that wait still (the run hangs, or was stopped)."""
        m = self.machine
        P = m.pes
        assert m.recorder is not None
        for pe in np.flatnonzero(m.recorder.mask.ravel() & (P["utmask"] != 0)):
            for dense in range(16):
                if not int(P["utmask"][pe]) >> dense & 1:
                    continue
                thread = m.state.thread(int(pe), dense)
                stall = s.Stalled.unpack(int(thread["stalled"]))
                if stall["cause"]:
                    key = self._pe(int(pe)), dense > 0, int(thread["pc"]), stall["cause"]
                    self.stalls[key] += max(0, m.cycle - stall["since"])
                    thread["stalled"] = s.Stalled.since.put(m.cycle, thread["stalled"])
