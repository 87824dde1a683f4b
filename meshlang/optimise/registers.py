"""Registers: values that are never needed at the same time share one again.

The last pass: a frame takes room on every PE. Values get the lowest registers, what must stand in a row comes behind
them, and a copy whose ends can share a register is left out.
"""

from __future__ import annotations

from ..ir.isa import Op
from .flow import SLOTS, WINDOWS, Code, Ins, bits, liveness
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
    first: list[int] = []
    for block, live in zip(order, leave, strict=True):
        live &= own
        if block.test is not None:
            live |= 1 << block.test.a
        live &= own
        needed: list[Ins] = []
        for i in reversed(block.ins):
            w = code.writes(i)
            if w and w < windows:
                bit = 1 << w
                if not live & bit and not code.effects(i):
                    continue  # on no way from here the value is read
                rest = live & ~bit
                if i.op == MOV:
                    rest &= ~(1 << i.b)
                near[w] = near.get(w, 0) | rest
                live &= ~bit
            if i.op == MOV and i.a < windows and i.b < windows and i.b:
                copies.append((i.a, i.b))
            for r in code.reads(i):
                if r and r < windows:
                    live |= 1 << r
            needed.append(i)
        block.ins = needed[::-1]
    for r, mask in list(near.items()):
        for other in bits(mask):
            near[other] = near.get(other, 0) | 1 << r
    one = shared(near, copies, low)
    # parameters and results keep their places
    color: dict[int, int] = {r: r for r in range(1, low + 1)}
    seen: set[int] = set(color)
    for block in order:
        for i in block.ins:
            for r in (*code.reads(i), code.writes(i)):
                r = one.get(r, r)
                if r and r < windows and r not in seen:
                    seen.add(r)
                    first.append(r)
        if block.test is not None and block.test.a:
            r = one.get(block.test.a, block.test.a)
            if r not in seen and r < windows:
                seen.add(r)
                first.append(r)
    highest = low
    for r in first:
        taken = 0
        for other in bits(near.get(r, 0)):
            c = color.get(one.get(other, other))
            if c is not None:
                taken |= 1 << c
        c = 1
        while taken >> c & 1:
            c += 1
        color[r] = c
        highest = max(highest, c)
    lowest = min(
        (bottom(code, i) for block in order for i in block.ins if i.op in WINDOWS and i.b >= windows), default=0
    )
    shift = highest + 1 - lowest
    frame = highest + 1

    def place(r: int) -> int:
        return 0 if r == 0 else color[one.get(r, r)] if r < windows else r + shift

    for block in order:
        kept: list[Ins] = []
        for i in block.ins:
            for word in SLOTS[i.op] if i.op not in WINDOWS else "":
                setattr(i, word, place(getattr(i, word)))
            if i.op in WINDOWS:
                if i.op == CALLR:
                    i.a = place(i.a)
                elif i.op in (FUN2, SYS):
                    i.a = place(i.a)
                elif i.op == DSDOP:
                    i.c = place(i.c)
                i.b = place(i.b)
                if i.op == DSDOP:
                    frame = max(frame, i.b + Op.DSDOP.words[1].count)
                elif i.op == DSRLD:
                    frame = max(frame, i.b + 3)
                elif i.op == CALL:
                    frame = max(frame, i.b + 1 + max(code.facts.params[i.a], code.facts.results[i.a]) + 1)
                elif i.op == CALLR:
                    frame = max(frame, i.b + 1 + max(code.facts.most_params, code.facts.most_results) + 1)
                elif i.op in (FUN2, SYS):
                    frame = max(frame, i.b + 2)
            elif (w := code.writes(i)) and "a" not in SLOTS[i.op]:
                i.a = place(w)
            if i.op != MOV or i.a != i.b:
                kept.append(i)
            frame = max(frame, (i.a if code.writes(i) and i.op != DSDOP else 0) + 1)
        block.ins = kept
        if block.test is not None:
            block.test.a = place(block.test.a)
    code.frame = frame
    code.windows = code.next = 0


def shared(near: dict[int, int], copies: list[tuple[int, int]], low: int) -> dict[int, int]:
    """Both ends of a copy share a register unless both are needed at a time: of each register, the one that stands for it.

    near: which cannot share, as masks; of those that stand for others it has all of theirs. Registers up to `low` have
    their places.
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
    return one


def bottom(code: Code, i: Ins) -> int:
    """The lowest register that must lie above all values: a call's link, or the first of a row."""
    return i.b - 1 if i.op == CALL or i.op == CALLR else i.b
