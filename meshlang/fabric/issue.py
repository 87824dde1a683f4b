"""What each instruction of a tile program costs the main thread: in order, one issue a cycle, results after a latency.

The numbers are those of the timing profile, the machine is this: an instruction takes its cycles under [scalar], and one
that needs a result waits until that is there ([scalar.latency]). Registers have 16 bits, so integers of 32 take two.
Between two instructions that nothing passes (vector operations, tasks, time stamps, calls, branches) the order is the
best a compiler finds, so that a wait is filled with what does not depend on it; only what is left is charged, to the last
instruction of such a stretch.

A DSD of a variable lies in memory, a word for its address, its length and its stride. So an edit writes one word
(an increment reads it first), and a DSR is loaded from there, after the word has arrived.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass
from heapq import heappop, heappush

import numpy as np

from ..ir import isa, use
from ..ir.isa import Flow, Op, Operand, Role
from ..ir.words import OperationRow
from .timing import Profile

MOV, LDI, LDIH, LD, ST, MULI = (int(op) for op in (Op.MOV, Op.LDI, Op.LDIH, Op.LD, Op.ST, Op.MULI))
DBASE, DINC, DLEN, DSTRIDE = (int(op) for op in (Op.DBASE, Op.DINC, Op.DLEN, Op.DSTRIDE))
DSRLD, DSDOP, DCOUNT, CHK, ASSERT, SHL = (int(op) for op in (Op.DSRLD, Op.DSDOP, Op.DCOUNT, Op.CHK, Op.ASSERT, Op.SHL))
TESTS = frozenset((int(Op.JZ), int(Op.JNZ)))
RET, SYS = int(Op.RET), int(Op.SYS)
EDITS = frozenset((DBASE, DINC, DLEN, DSTRIDE))
WIDE = frozenset((int(isa.Ty.I64), int(isa.Ty.U64)))
# what nothing passes: effects other than those of loads, stores and loads of DSRs; jumps
FIXED = frozenset(
    int(op) for op in Op if op.row.flow is not Flow.NEXT or op.row.effect and op not in (Op.LD, Op.ST, Op.DSRLD)
)
READS = {int(op): [k for k, word in enumerate(op.words, 1) if word.role.is_read] for op in Op}
WRITES = {int(op): next((k for k, word in enumerate(op.words, 1) if word.role.is_written), 0) for op in Op}
COUNTS = {int(op): {k: word.count for k, word in enumerate(op.words, 1) if word.role.is_read} for op in Op}
# by opcode
TARGETS = np.zeros(256, np.int64)  # which word is the target of a jump; 0: none
for _op in Op:
    TARGETS[_op] = use.target_word(_op) or 0
ENDS, CALLS = np.zeros(256, bool), np.zeros(256, bool)  # what ends a block; calls
ENDS[[op for op in Op if op.row.flow is not Flow.NEXT]] = True
CALLS[[Op.CALL, Op.CALLR]] = True
PLACES = (Role.TARGET, Role.FUNCTION, Role.OPERATION, Role.CONFIG, Role.STRING)
# registers have 16 bits: an integer of 32 stands in two, and is worked on half by half
PAIRS = frozenset((int(isa.Ty.I32), int(isa.Ty.U32)))
HALVES = frozenset(int(op) for op in Op if op.row.cost in ("alu", "multiply"))
# of a block: it is a loop of itself alone, it is behind a call, its last instruction ends a task
LOOPS, CALLED, FINAL = 1, 2, 4
SIZES = {int(t): size for t, size in isa.TY_SIZE.items()}


@dataclass
class Value:
    """What a register holds: when it is there, and what kind of DSD it is, if it is one."""

    ready: int = 0
    maker: int = -1  # the instruction of this stretch that gives it, by its place among them
    latency: int = 0
    stored: bool = True  # a DSD: it is in memory, where a DSR can be loaded from
    edited: bool = False


def operation_costs(profile: Profile) -> list[int]:
    """Cycles of each opcode, by its row of the instruction table."""
    costs = [0] * 256
    for op in Op:
        if op.row.cost:
            costs[op] = int(profile[f"scalar.{op.row.cost}"])
    return costs


class Costs:
    """Of one profile. `of` gives the cycles of each instruction of a tile program, before its words are relocated."""

    def __init__(self, profile: Profile):
        self.base = operation_costs(profile)
        names = ("load", "float", "multiply", "dsr", "memory", "test")
        self.late = {name: int(profile[f"scalar.latency.{name}"]) for name in names}
        self.latency = [1] * 256
        self.leave = int(profile["task.leave"])
        self.known: dict[tuple[bytes, int], list[int]] = {}  # costs of a block, by all that they depend on
        self.kinds: dict[tuple[int, ...], int] = {}  # numbers of vector operations, by what they take and are
        for op in Op:
            if op.row.cost in ("float", "multiply"):
                self.latency[op] = self.late[op.row.cost]
        self.latency[LD] = self.late["load"]

    def of(
        self,
        code: np.ndarray,
        operations: Sequence[Sequence[int]],
        issue: Sequence[int],
        ends: Set[int],
    ) -> list[int]:
        """code: the instructions [n, 4]; operations: rows of its vector operations, and what each takes to issue; ends: the
        returns that end a task."""
        op = code[:, 0] & 0xFF
        bare = code.copy()  # without what says only where something lies in its table
        for role in PLACES:
            for rows, column in use.words_with(bare, role):
                bare[rows, column] = 0
        vector = op == DSDOP
        if vector.any():  # a row of its table is what stands in it
            kinds = [self.kinds.setdefault((i, *row), len(self.kinds)) for i, row in zip(issue, operations)]
            bare[vector, 1] = np.array(kinds, np.int32)[code[vector, 1]]
        # where an instruction can jump to (-1: none), and the blocks between such places
        column = TARGETS[op]
        target = np.where(column > 0, code[np.arange(len(code)), column], -1)
        starts = np.unique(np.concatenate([[0], np.flatnonzero(ENDS[op]) + 1, target[column > 0]]))
        starts = starts[starts < len(code)]
        last = np.append(starts[1:], len(code))[: len(starts)] - 1
        # what else a block's costs depend on
        loops, called = target[last] == starts, (starts > 0) & CALLS[op[starts - 1]]
        final = np.zeros(len(code), bool)
        final[list(ends)] = True
        around = loops * LOOPS + called * CALLED + final[last] * FINAL
        text, costs = bare.tobytes(), []
        size = len(text) // max(len(code), 1)
        for first, end, more in zip(starts.tolist(), (last + 1).tolist(), around.tolist()):
            # tile programs of a layout are much alike, and so are their blocks
            key = text[size * first : size * end], more
            found = self.known.get(key)
            if found is None:
                found = self.known[key] = _Block(self, code[first:end].tolist(), operations, issue, more).run()
            costs += found
        return costs


class _Block:
    """words: its instructions. around: LOOPS and so on, of what is around it."""

    def __init__(
        self,
        machine: Costs,
        words: Sequence[Sequence[int]],
        operations: Sequence[Sequence[int]],
        issue: Sequence[int],
        around: int,
    ):
        self.m, self.words, self.operations, self.issue, self.around = machine, words, operations, issue, around
        self.costs = [0] * len(words)
        self.values: dict[int, Value] = {}
        self.dsrs: dict[
            int, tuple[int, int]
        ] = {}  # when it can be used, or the instruction of the stretch that loads it
        self.now = 0
        self.begin()

    def begin(self) -> None:
        """A new stretch."""
        self.pcs: list[int] = []
        self.cost: list[int] = []
        self.floor: list[int] = []  # the earliest cycle
        self.after: list[list[tuple[int, int]]] = []  # (what waits for it, latency)
        self.needs: list[int] = []  # how many it waits for
        self.made: list[Value] = []
        self.stores: list[tuple[int, int, int, int]] = []  # (place, base, offset, size)
        self.loads: list[tuple[int, int, int, int]] = []
        self.tested = -1  # the instruction of the stretch that gives what the branch behind it tests

    def value(self, r: int) -> Value:
        return self.values.setdefault(r, Value())

    def node(self, pc: int, cost: int) -> int:
        self.cost.append(cost)
        self.floor.append(self.now)
        self.after.append([])
        self.needs.append(0)
        self.pcs.append(pc)
        return len(self.cost) - 1

    def wait(self, n: int, value: Value, least: int = 0) -> None:
        """Instruction n needs a value, that long after the instruction that gives it."""
        if value.maker >= 0:
            self.after[value.maker].append((n, max(value.latency, least)))
            self.needs[n] += 1
        else:
            self.floor[n] = max(self.floor[n], value.ready + max(0, least - value.latency))

    def result(self, r: int, n: int, latency: int, **kind: bool) -> None:
        value = self.values[r] = Value(0, n, latency, **kind)
        self.made.append(value)

    # ------------------------------------------------------------ a block

    def run(self) -> list[int]:
        """The cycles of its instructions."""
        self.wide = self.roles()
        if self.around & LOOPS:  # DSDs that it changes come from the round before
            for row in self.words:
                if row[0] & 0xFF in EDITS:
                    self.values[row[1]] = Value(stored=False, edited=True)
        for pc, row in enumerate(self.words):
            op = row[0] & 0xFF
            if op in FIXED:
                if op in TESTS:
                    self.tested = self.value(row[1]).maker
                self.finish()
                self.fixed(pc, op, row)
            else:
                self.free(pc, op, row)
        self.finish()
        return self.costs

    def roles(self) -> dict[int, int]:
        """Loads and stores of 64 bits that are of DSDs: the words of theirs that the machine has to read or write."""
        out: dict[int, int] = {}
        loaded: dict[int, int] = {}  # register -> the load
        edits: dict[int, int] = {}  # register -> increments since
        for pc, row in enumerate(self.words):
            op = row[0] & 0xFF
            if op == MOV:
                for table in (loaded, edits):
                    if row[2] in table:
                        table[row[1]] = table[row[2]]
                    else:
                        table.pop(row[1], None)
                continue
            if op in EDITS:
                load = loaded.get(row[2])
                if load is not None:
                    out[load] = max(out.get(load, 0), int(op == DINC))
                edits[row[1]] = edits.get(row[2], 0) + (op == DINC)
                loaded.pop(row[1], None)
                continue
            if op in (DSRLD, DCOUNT) and row[2] in loaded:
                out.setdefault(loaded[row[2]], 0)
            elif op == DSDOP:
                kinds = self.operations[row[1]]
                for k in range(4):
                    if kinds[OperationRow.dst + k] == Operand.DSD and row[2] + k in loaded:
                        out.setdefault(loaded[row[2] + k], 0)
            elif op == ST and row[0] >> 8 & 15 in WIDE and row[1] in edits:
                out[pc] = min(edits[row[1]], 1)
            w = WRITES[op]
            if w and row[w]:
                edits.pop(row[w], None)
                loaded.pop(row[w], None)
                if op == LD and row[0] >> 8 & 15 in WIDE:
                    loaded[row[w]] = pc
        return out

    def free(self, pc: int, op: int, row: Sequence[int]) -> None:
        """An instruction that may be done earlier or later."""
        m = self.m
        if op == MOV or op == LDI or op == LDIH:
            if op == MOV and row[2]:
                self.values[row[1]] = self.value(row[2])
            elif op != LDIH:
                self.values[row[1]] = Value()
            return
        ty = row[0] >> 8 & 15
        if op == CHK or op == ASSERT:
            self.costs[pc] = m.base[op]
            return
        cost = 0 if row[0] & isa.FREE else m.base[op]
        if op == MULI and row[3] > 0 and row[3] & (row[3] - 1) == 0:
            cost = m.base[SHL]
        if ty in PAIRS and op in HALVES:
            cost *= 2
        if (op == LD or op == ST) and ty in WIDE:
            cost *= self.wide.get(pc, 2)
        n = self.node(pc, cost)
        if op == ST:
            value = self.value(row[1])
            if pc in self.wide:
                value.stored = True
                if not cost:
                    return  # the edits have written what is new
            self.wait(n, value)
            self.wait(n, self.value(row[2]))
            self.order(n, row, SIZES[ty], True)
            return
        if op == DSRLD:
            self.load_dsr(n, row)
            return
        for k in READS[op]:
            for r in range(row[k], row[k] + COUNTS[op][k]):
                self.wait(n, self.value(r))
        if op == LD:
            self.order(n, row, SIZES[ty], False)
            self.result(row[1], n, m.latency[op] if cost else 0)
        elif op in EDITS:
            self.result(row[1], n, 1, stored=False, edited=True)
        elif WRITES[op]:
            self.result(row[WRITES[op]], n, max(cost, m.latency[op]) if cost else 0)

    def load_dsr(self, n: int, row: Sequence[int]) -> None:
        value = self.value(row[2])
        self.spill(n, value)
        self.wait(n, value, self.m.late["memory"] if value.edited else 0)
        self.dsrs[row[1]] = (-1, n)

    def spill(self, n: int, value: Value) -> None:
        """A DSD that is only in registers is written to memory first: two stores."""
        if not value.stored:
            value.stored = True
            self.cost[n] += 2 * self.m.base[ST]

    def order(self, n: int, row: Sequence[int], size: int, store: bool) -> None:
        """Loads and stores pass each other where they are of different places."""
        base, offset = row[2], row[3]
        for table, latency in ((self.stores, 1), (self.loads, 0)) if store else ((self.stores, 1),):
            for other, b, o, s in table:
                if b != base or o < offset + size and offset < o + s:
                    self.after[other].append((n, latency))
                    self.needs[n] += 1
        (self.stores if store else self.loads).append((n, base, offset, size))

    # ------------------------------------------------------------ time

    def finish(self) -> None:
        """The end of a stretch: its instructions are put into the best order that is found going forward, those first
        that most depends on."""
        n = len(self.cost)
        if not n:
            return
        height = [0] * n
        for k in range(n - 1, -1, -1):
            least = self.m.late["test"] - 1 if k == self.tested else 0
            height[k] = self.cost[k] + max(
                [least, *(max(latency - self.cost[k], 0) + height[j] for j, latency in self.after[k])]
            )
        start = t = self.now
        issued = [0] * n
        ready: list[tuple[int, int]] = []
        later: list[tuple[int, int]] = []
        done: list[int] = [k for k in range(n) if not self.needs[k] and not self.cost[k]]
        for k in range(n):
            if self.cost[k] and not self.needs[k]:
                heappush(later, (self.floor[k], k))
        for k in done:
            issued[k] = self.floor[k]
        while done or later or ready:
            for k in done:
                for j, latency in self.after[k]:
                    self.floor[j] = max(self.floor[j], issued[k] + max(latency, self.cost[k]))
                    self.needs[j] -= 1
                    if self.needs[j]:
                        continue
                    if self.cost[j]:
                        heappush(later, (self.floor[j], j))
                    else:  # what takes no cycle waits for nothing but its operands
                        issued[j] = self.floor[j]
                        done.append(j)
            done = []
            while later and later[0][0] <= t:
                k = heappop(later)[1]
                heappush(ready, (-height[k], k))
            if ready:
                k = heappop(ready)[1]
                issued[k] = t
                t += self.cost[k]
                done = [k]
            elif later:
                t = later[0][0]
        self.now = t
        for pc, cost in zip(self.pcs, self.cost):
            self.costs[pc] = cost
        last = max((k for k in range(n) if self.cost[k]), default=-1)
        if last >= 0:
            self.costs[self.pcs[last]] += t - start - sum(self.cost)
        for value in self.made:
            if value.maker >= 0:
                value.ready = issued[value.maker] + max(value.latency, self.cost[value.maker])
                value.maker = -1
        for d, (_, maker) in self.dsrs.items():
            if maker >= 0:
                self.dsrs[d] = (issued[maker] + max(self.m.late["dsr"], self.cost[maker]), -1)
        self.begin()

    def fixed(self, pc: int, op: int, row: Sequence[int]) -> None:
        m = self.m
        cost = 0 if row[0] & isa.FREE else m.base[op]
        at = self.now
        if op == DSDOP:
            cost, at = self.operation(row)
        else:
            late = m.late["test"] - 1 if op in TESTS and cost else 0
            for k in READS[op]:
                if row[k]:
                    at = max(at, self.value(row[k]).ready + late)
        if op == RET and not pc and self.around & CALLED:
            cost = 0  # the call was a jump: what it calls returns for both
        elif pc == len(self.words) - 1 and self.around & FINAL:
            cost = m.leave
        self.costs[pc] = cost + at - self.now
        self.now = at + cost
        w = WRITES[op]
        if w and row[w]:
            # what stands in a register of the configuration space is loaded like a word of memory
            loaded = op == SYS and isa.Sys(row[3]).row.effect & isa.Effect.SYSTEM and row[3] != isa.Sys.TSC
            self.values[row[w]] = Value(at + (m.late["load"] if loaded else cost))
        if m.base[op] and ENDS[op]:
            self.values = {}

    def operation(self, row: Sequence[int]) -> tuple[int, int]:
        """Cycles of a vector operation's issue, and the time from which on they count."""
        kinds, base, at = self.operations[row[1]], row[2], self.now
        cost = self.issue[row[1]]
        end = 0  # when it can be issued at the earliest, its DSRs loaded
        for k in range(4):
            kind = kinds[OperationRow.dst + k]
            if kind == Operand.DSR:
                end = max(end, self.dsrs.get(kinds[OperationRow.dst_dsr + k], (0, -1))[0] + 1)
            elif kind == Operand.DSD:
                value = self.value(base + k)
                if value.edited:
                    if not value.stored:
                        value.stored = True
                        cost += 2 * self.m.base[ST]
                        value.ready = max(value.ready, self.now + 2 * self.m.base[ST])
                    end = max(end, value.ready + self.m.late["memory"] + self.issue[row[1]])
            elif kind != Operand.NONE:
                end = max(end, self.value(base + k).ready + 1)
        return cost, max(at, end - cost)
