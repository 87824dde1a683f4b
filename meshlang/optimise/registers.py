"""Registers: values that are never needed at the same time share one again.

The last pass: a frame takes room on every PE. Values get the lowest registers, what must stand in a row comes behind
them, and a copy whose ends can share a register is left out.
"""

from __future__ import annotations

from ..ir.isa import Op
from .flow import NAMES, READS, WINDOWS, WRITES, Code, Ins, bits, liveness
from .numbers import (
    CALL,
    CALLR,
    DSDOP,
    DSRLD,
    FUN2,
    MOV,
    SYS,
)


def run(code: Code) -> None:
    order = code.order()
    code.blocks = order
    _, leave = liveness(code, order)
    windows, low = code.windows, code.low
    own = ((1 << windows) - 1) & ~1
    near: dict[int, int] = {}  # register -> those it cannot share with
    copies: list[tuple[int, int]] = []
    for block, live in zip(order, leave, strict=True):
        if block.test is not None:
            live |= 1 << block.test.a
        live &= own
        needed: list[Ins] = []
        for i in reversed(block.ins):
            op = i.op
            kind = WRITES[op]
            w = i.a if kind == 1 else i.c if kind else 0
            if w and w < windows:
                bit = 1 << w
                if live & bit:
                    live ^= bit
                elif not code.effects(i):
                    continue  # on no way from here the value is read
                near[w] = near.get(w, 0) | (live & ~(1 << i.b) if op == MOV else live)
            if op == MOV and i.a < windows and i.b < windows and i.b:
                copies.append((i.a, i.b))
            kind = READS[op]
            if kind == 1:
                if i.b < windows:
                    live |= 1 << i.b
            elif kind:
                for r in code.reads(i):
                    if r < windows:
                        live |= 1 << r
            needed.append(i)
        needed.reverse()
        block.ins = needed
    one, members = shared(near, copies, low)
    # parameters and results keep their places
    color: dict[int, int] = {r: r for r in range(low + 1)}
    first: dict[int, None] = {}
    for block in order:
        for i in block.ins:
            for r in code.reads(i):
                first[r] = None
            first[code.writes(i)] = None
        if block.test is not None:
            first[block.test.a] = None
    highest = low
    # by color: masks of the registers that have it, and of those that these cannot share with
    having, kept_off = [0], [0]
    for r in range(1, low + 1):
        having.append(members.get(r, 1 << r))
        kept_off.append(near.get(r, 0))
    for r in first:
        r = one.get(r, r)
        if r in color or r >= windows:
            continue
        ours, off = members.get(r, 1 << r), near.get(r, 0)
        for c in range(1, len(having)):
            if not (having[c] & off or kept_off[c] & ours):
                having[c] |= ours
                kept_off[c] |= off
                break
        else:
            c = len(having)
            having.append(ours)
            kept_off.append(off)
        color[r] = c
        highest = max(highest, c)
    rows = [bottom(code, i) for block in order for i in block.ins if i.op in WINDOWS and i.b >= windows]
    # a value may still stand where the row of a call was that has gone since
    lowest = min(rows + [r for r in first if r >= windows], default=0)
    shift = highest + 1 - lowest
    frame = highest + 1

    at = color | {r: color[other] for r, other in one.items() if other in color}

    def place(r: int) -> int:
        return at[r] if r < windows else r + shift

    for block in order:
        for i in block.ins:
            op = i.op
            if op in WINDOWS:
                if op in (CALLR, FUN2, SYS):
                    i.a = place(i.a)
                elif op == DSDOP:
                    i.c = place(i.c)
                i.b = place(i.b)
                if op == DSDOP:
                    frame = max(frame, i.b + Op.DSDOP.words[1].count)
                elif op == DSRLD:
                    frame = max(frame, i.b + 3)
                elif op == CALL:
                    frame = max(frame, i.b + 1 + max(code.facts.params[i.a], code.facts.results[i.a]) + 1)
                elif op == CALLR:
                    frame = max(frame, i.b + 1 + max(code.facts.most_params, code.facts.most_results) + 1)
                elif op in (FUN2, SYS):
                    frame = max(frame, i.b + 2)
            else:
                names = NAMES[op]
                if "a" in names:
                    i.a = place(i.a)
                if "b" in names:
                    i.b = place(i.b)
                if "c" in names:
                    i.c = place(i.c)
            if i.a >= frame and WRITES[op] == 1:
                frame = i.a + 1
        block.ins = [i for i in block.ins if i.op != MOV or i.a != i.b]
        if block.test is not None:
            block.test.a = place(block.test.a)
    code.frame = frame
    code.windows = code.next = 0


def shared(near: dict[int, int], copies: list[tuple[int, int]], low: int) -> tuple[dict[int, int], dict[int, int]]:
    """Both ends of a copy share a register unless both are needed at a time: of each register, the one that stands for it,
    and of that one, a mask of all for which it does.

    near: which cannot share, as masks, each pair at one of the two at least; of those that stand for others it has all of
    theirs. Registers up to `low` have their places.
    """
    one: dict[int, int] = {}
    members: dict[int, int] = {}
    for a, b in copies:
        a, b = one.get(a, a), one.get(b, b)
        if a > b:
            a, b = b, a
        ours, theirs = members.get(a, 1 << a), members.get(b, 1 << b)
        if a == b or b <= low or near.get(a, 0) & theirs or near.get(b, 0) & ours:
            continue
        near[a] = near.get(a, 0) | near.get(b, 0)
        members[a] = ours | theirs
        for r in bits(theirs):
            one[r] = a
    return one, members


def bottom(code: Code, i: Ins) -> int:
    """The lowest register that must lie above all values: a call's link, or the first of a row."""
    return i.b - 1 if i.op == CALL or i.op == CALLR else i.b
