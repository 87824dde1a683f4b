"""Invariants: what is the same in every round is computed once, before the loop.

    do { r5 = 4; r6 = r2 * r5; ... } while      r5 = 4; r6 = r2 * r5; do { ... } while

Only what cannot fault is moved, since a loop may be left before it would have been computed. A load is moved if its
address is fixed, nothing in the loop may write there, and the rounds are counted: a loop may also be waiting for what an
operation in the background writes.
"""

from __future__ import annotations

from . import fold
from .flow import IN_PLACE, PURE, WINDOWS, Block, Code, Ins
from .loops import Before, Shape
from .numbers import (
    ASSERT,
    CALL,
    CALLR,
    CHK,
    DIV,
    LD,
    REM,
    SHL,
    SHR,
    ST,
)

# nothing of these writes memory or lets time pass
QUIET = PURE | {LD, ST, CHK, ASSERT, DIV, REM, SHL, SHR}


def run(code: Code) -> bool:
    shape = Shape.of(code)
    if not shape.found:
        return False
    before, enter = shape.before, shape.enter
    changed = False
    for loop in reversed(shape.found):
        changed |= hoist(code, shape, before, loop.header, loop.body, enter[loop.header])
    return changed


def hoist(code: Code, shape: Shape, before: Before, header: int, body: set[int], live: int) -> bool:
    writes: dict[int, int] = {}
    quiet, stores, clobbered = True, [], 1 << 30
    for n in body:
        for i in shape.order[n].ins:
            if i.op == CALL or i.op == CALLR:
                clobbered = min(clobbered, i.b - 1)
            w = code.writes(i)
            if w:
                writes[w] = writes.get(w, 0) + 1
            if i.op == ST:
                stores.append(i)
            elif i.op not in QUIET:
                quiet = False
    quiet = quiet and waits_for_nothing(code, shape, body, writes)
    moved: list[Ins] = []
    changed = True
    while changed:
        changed = False
        for n in sorted(body):
            block = shape.order[n]
            keep = []
            for i in block.ins:
                w = code.writes(i)
                if (
                    w
                    and writes.get(w) == 1
                    and not live >> w & 1
                    and w < clobbered
                    and movable(code, before, i, quiet, stores)
                    and all(r not in writes and r < clobbered for r in code.reads(i))
                ):
                    moved.append(i)
                    del writes[w]
                    changed = True
                else:
                    keep.append(i)
            block.ins = keep
    if not moved:
        return False
    top = shape.order[header]
    bridge = Block()
    bridge.ins, bridge.next = moved, top
    for n, block in enumerate(shape.order):
        if n not in body:
            block.retarget(top, bridge)
    code.blocks.insert(code.blocks.index(top), bridge)
    return True


def movable(code: Code, before: Before, i: Ins, quiet: bool, stores: list[Ins]) -> bool:
    op = i.op
    if op in PURE:
        return op not in IN_PLACE and op not in WINDOWS and not code.effects(i)
    if op in (SHL, SHR, DIV, REM):
        amount = before.constant.get(i.c)
        if amount is None:
            return False
        return amount != 0 if op in (DIV, REM) else 0 <= amount < fold.WIDTH[i.ty]
    if op == LD and quiet and i.b == 0 and i.safe:
        size = fold.SIZE[i.ty]
        return all(s.b == 0 and (s.c + fold.SIZE[s.ty] <= i.c or i.c + size <= s.c) for s in stores)
    return False


def waits_for_nothing(code: Code, shape: Shape, body: set[int], writes: dict[int, int]) -> bool:
    """Does the number of rounds hang on registers alone that no load in the loop has a part in?"""
    source: dict[int, list[Ins]] = {}
    for n in body:
        for i in shape.order[n].ins:
            w = code.writes(i)
            if w:
                source.setdefault(w, []).append(i)
    for n in body:
        block = shape.order[n]
        if block.test is None or all(s.number in body for s in block.succs):
            continue
        todo, seen = [block.test.a], set()
        while todo:
            r = todo.pop()
            if r in seen:
                continue
            seen.add(r)
            for i in source.get(r, ()):
                if i.op == LD:
                    return False
                todo.extend(code.reads(i))
    return True
