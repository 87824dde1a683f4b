"""What the code of a tile program says for certain: operations with their constant operands, task ids, and which colors
it may use.

Registers that hold constants are followed along straight code, and forgotten at every place that something jumps to.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from meshlang.ir import use, words
from meshlang.ir.isa import TY_SIZE, Action, DsdKind, Effect, Flow, Op, Operand
from meshlang.ir.program import TileProgram
from meshlang.ir.words import DsrConfig, FifoRow, OperationRow

_KINDS = frozenset(int(kind) for kind in DsdKind) - {int(DsdKind.NONE)}


@dataclass(frozen=True)
class Dsd:
    """A packed DSD, unpacked as far as the checks need it."""

    kind: DsdKind
    base: int
    length: int
    stride: int
    size: int
    queue: int | None
    color: int | None
    indexed: bool

    @staticmethod
    @functools.lru_cache(4096)  # tile programs of one layout have mostly the same
    def of(packed: int) -> Dsd | None:
        kind = words.Dsd.kind.get(packed)
        if kind not in _KINDS:
            return None
        f = words.Dsd.unpack(packed)
        return Dsd(
            DsdKind(kind),
            f["base"],
            f["len"],
            f["stride"],
            1 << f["tag"],
            f["queue"] if f["hasq"] else None,
            f["color"] if f["hascolor"] else None,
            bool(f["wio"]),
        )


@dataclass
class Operation:
    """A vector operation. operands: constant DSDs of destination and sources, None where not a DSD or not known."""

    pc: int
    row: Any
    operands: list[Dsd | None]
    unknown: bool  # some DSD is not known
    action: int | None  # id to activate or unblock, if known


@dataclass
class Facts:
    """Of one tile program. `unknown_ids`: a task id computed at run time is activated or unblocked."""

    tile: TileProgram
    operations: list[Operation] = field(default_factory=list)
    elements: list[tuple[int, Dsd]] = field(default_factory=list)  # (pc, DSD) of element accesses
    # scalar loads and stores at known places: pc -> (address, bytes, whether it writes)
    scalars: dict[int, tuple[int, int, bool]] = field(default_factory=dict)
    # (pc, DSD) loaded into DSRs; pc -1: while compiling
    loaded: list[tuple[int, Dsd]] = field(default_factory=list)
    # task id -> where (pc; -1: set up while compiling)
    activated: dict[int, list[int]] = field(default_factory=dict)
    unblocked: dict[int, list[int]] = field(default_factory=dict)
    unknown_ids: bool = False
    mentioned: set[int] = field(default_factory=set)  # colors of anything that may be a fabric DSD
    may_send: set[int] = field(default_factory=set)  # those of them that may be a fabout_dsd
    # binds queues to other colors, or changes routes, at run time
    recolors: bool = False
    # pcs that run whenever the program is launched: nothing decides it at run time
    certain: set[int] = field(default_factory=set)

    @property
    def fabric(self) -> list[tuple[int, Dsd]]:
        """(pc, DSD) of all fabric operands that are known."""
        ops = [(o.pc, d) for o in self.operations for d in o.operands if d is not None]
        return [(pc, d) for pc, d in [*ops, *self.elements, *self.loaded] if d.kind in (DsdKind.FABIN, DsdKind.FABOUT)]

    def color_of(self, dsd: Dsd) -> int | None:
        """The color of a fabric DSD: its own, or its queue's."""
        queues = self.tile.inputs if dsd.kind is DsdKind.FABIN else self.tile.outputs
        bound = next((q.color for q in queues if q.id == dsd.queue), None)
        return dsd.color if dsd.color is not None else bound


def facts_of(tile: TileProgram) -> Facts:
    facts = Facts(tile)
    code = use.code_of(tile).tolist()
    ops = OperationRow.rows(tile.dsd_ops).tolist()
    configs = DsrConfig.rows(tile.dsr_configs)
    leaders = {f.entry for f in tile.functions}
    leaders |= {where for word in code if (where := use.target(word)) is not None}
    known: dict[int, int] = {0: 0}
    for pc, word in enumerate(code):
        _, a, b, c = word
        op = use.op_of(word)
        if pc in leaders:
            known = {0: 0}
        result = None  # what the instruction leaves in r[a], if that is a constant
        if op is Op.LDI:
            result = b
        elif op is Op.LDIH and a in known:
            result = known[a] & 0xFFFFFFFF | b << 32
        elif op is Op.MOV:
            result = known.get(b)
        elif op is Op.DSDOP:
            _operation(facts, pc, ops[a], known, b)
        elif op in (Op.LD, Op.ST):
            if b in known:
                facts.scalars[pc] = (known[b] + c, TY_SIZE[use.type_of(word)], op is Op.ST)
        elif op is Op.ACTIVATE:
            _note(facts, facts.activated, known.get(a), pc)
        elif op is Op.UNBLOCK:
            _note(facts, facts.unblocked, known.get(a), pc)
        elif op.row.effect & Effect.ELEMENT:
            dsd = Dsd.of(known[b]) if b in known else None
            if dsd is not None:
                facts.elements.append((pc, dsd))
        elif op is Op.DSRLD:
            dsd = Dsd.of(known[b]) if b in known else None
            if dsd is not None:
                facts.loaded.append((pc, dsd))
            if c >= 0:
                _action(facts, configs[c, DsrConfig.action], known.get(b + 1), pc)
                if configs[c, DsrConfig.onctrl_set]:
                    _action(facts, configs[c, DsrConfig.onctrl], known.get(b + 2), pc)
        facts.recolors |= bool(use.effect(word) & Effect.BINDING)
        gone = use.clobbers(word)
        if gone is not None:
            known = {r: v for r, v in known.items() if r < gone}
        for r in use.writes(word, tile):
            known.pop(r, None)
        if result is not None:
            known[a] = result
            if op is not Op.MOV:
                _mention(facts, result)
        known[0] = 0
    for _, packed, config, action, on_control in tile.dsr_init:
        dsd = Dsd.of(packed)
        if dsd is not None:
            facts.loaded.append((-1, dsd))
            _mention(facts, packed)
        if config >= 0:
            for task in (action, on_control):
                _note(facts, facts.activated, task, -1)
    for row in FifoRow.rows(tile.fifos):
        for task in (int(row[FifoRow.push]), int(row[FifoRow.pop])):
            if task >= 0:
                _note(facts, facts.activated, task, -1)
    image = np.asarray(tile.image, np.uint8)
    facts.certain = _certain(facts, code)
    for o in tile.objects:
        if "dsd" in o.type:
            part = image[o.address : o.address + o.size]
            for word in part[: len(part) // 8 * 8].view("<u8").tolist():
                _mention(facts, word)
    return facts


def _certain(facts: Facts, code: list[list[int]]) -> set[int]:
    """Instructions that no branch, no early return and no condition of an activation or call can leave out, from
    exported functions and tasks that are active at the start. (Whether a wavelet comes, and with it a data or control
    task, is not certain.)"""
    tile = facts.tile
    order = sorted(range(len(tile.functions)), key=lambda i: tile.functions[i].entry)
    straight: dict[int, list[int]] = {}  # function -> its pcs that it cannot leave out
    for i, f in enumerate(order):
        begin, end = tile.functions[f].entry, tile.functions[order[i + 1]].entry if i + 1 < len(order) else len(code)
        pcs: list[int] = []
        skipped = begin  # up to here something may have been jumped over
        for pc in range(begin, end):
            if pc >= skipped:
                pcs.append(pc)
            where = use.target(code[pc])
            if where is not None:
                skipped = max(skipped, where)
            elif use.flow(code[pc]) is Flow.RETURN:
                break
        straight[f] = pcs
    todo = [e.function for e in tile.exports.values() if e.kind == "fn"] + [
        b.function for b in tile.tasks if tile.active >> b.id & 1
    ]
    reached: set[int] = set()
    certain: set[int] = set()
    while todo:
        f = todo.pop()
        if f in reached or f not in straight:
            continue
        reached.add(f)
        certain |= set(straight[f])
        todo += [code[pc][1] for pc in straight[f] if use.op_of(code[pc]) is Op.CALL]
        todo += [
            b.function
            for b in tile.tasks
            if b.kind == "local" and any(pc in certain for pc in facts.activated.get(b.id, ()))
        ]
    return certain


def _operation(facts: Facts, pc: int, row: Any, known: dict[int, int], base: int) -> None:
    operands: list[Dsd | None] = []
    unknown = False
    for j in range(4):
        dsd = None
        if row[OperationRow.dst + j] == Operand.DSD:
            dsd = Dsd.of(known[base + j]) if base + j in known else None
            unknown |= dsd is None
        unknown |= row[OperationRow.dst + j] == Operand.DSR
        operands.append(dsd)
    action = known.get(base + 5) if row[OperationRow.action] else None
    _action(facts, row[OperationRow.action], action, pc)
    if row[OperationRow.onctrl_set]:
        _action(facts, row[OperationRow.onctrl], known.get(base + 6), pc)
    facts.operations.append(Operation(pc, row, operands, unknown, action))


def _action(facts: Facts, action: int, task: int | None, pc: int) -> None:
    """What an operation does at its end."""
    if action == Action.ACTIVATE:
        _note(facts, facts.activated, task, pc)
    elif action == Action.UNBLOCK:
        _note(facts, facts.unblocked, task, pc)


def _note(facts: Facts, where: dict[int, list[int]], task: int | None, pc: int) -> None:
    if task is None:
        facts.unknown_ids = True
    else:
        where.setdefault(task & 63, []).append(pc)


def _mention(facts: Facts, value: int) -> None:
    """Any constant that has the form of a fabric DSD may be one: its color counts as used."""
    dsd = Dsd.of(value)
    if dsd is not None and dsd.kind in (DsdKind.FABIN, DsdKind.FABOUT):
        color = facts.color_of(dsd)
        if color is not None:
            facts.mentioned.add(color)
            if dsd.kind is DsdKind.FABOUT:
                facts.may_send.add(color)
