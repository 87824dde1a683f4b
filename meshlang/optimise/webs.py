"""Webs: every value gets a register of its own.

The analysis hands registers out as a stack, so that one register holds many values that have nothing to do with each
other, and later passes would take them for one variable. Here definitions and uses that belong together (a *web*) are
renamed to a register of their own. What must stand in a row (operands of vector operations, arguments and results of
calls) stays where it is, above all others.

    r4 = 1; use r4; r4 = 2; use r4      becomes      r5 = 1; use r5; r6 = 2; use r6
"""

from __future__ import annotations

from .flow import IN_PLACE, SLOTS, WINDOWS, WRITES, Block, Code, Ins, liveness
from .numbers import (
    CALL,
    CALLR,
    MOV,
    RET,
    SYS,
)

SLACK = 256  # registers that the passes before the next renaming may take


def isolate(code: Code) -> None:
    """Give parameters and results, whose places are fixed, copies that are free to move."""
    first = Block()
    first.next = code.entry
    at = code.entry.ins[0].at if code.entry.ins else (None, -1)
    spare = code.frame
    for r in range(1, code.params + 1):
        first.ins.append(Ins(MOV, 0, spare + r, r, 0, 0, at))
        first.ins.append(Ins(MOV, 0, r, spare + r, 0, 0, at))
    code.frame += code.params + 1
    code.blocks.insert(0, first)
    if code.results:
        spare = code.frame
        code.frame += code.results + 1
        for block in code.blocks:
            if block.ins and block.ins[-1].op == RET:
                ret = block.ins.pop()
                for r in range(1, code.results + 1):
                    block.ins.append(Ins(MOV, 0, spare + r, r, 0, 0, ret.at))
                for r in range(1, code.results + 1):
                    block.ins.append(Ins(MOV, 0, r, spare + r, 0, 0, ret.at))
                block.ins.append(ret)


def run(code: Code) -> None:
    order = code.order()
    code.blocks = order
    enter, _ = liveness(code, order)
    low = max(code.params, code.results)
    raw = code.windows  # windows begin here, or 0: registers are as the analysis gave them
    # a node is a value that a register may hold: what an instruction writes there, or what comes into a block
    parent: list[int] = []
    number: list[int] = []  # its register
    pinned: list[int] = []  # nodes in a row
    fixed: list[int] = []  # parameters and results
    starts: list[dict[int, int]] = []
    for mask in enter:
        start: dict[int, int] = {}
        mask &= ~1
        while mask:
            bit = mask & -mask
            mask ^= bit
            r = bit.bit_length() - 1
            start[r] = len(parent)
            parent.append(len(parent))
            number.append(r)
        starts.append(start)
    fixed += [n for r, n in starts[0].items() if r <= code.params]
    marks: list[tuple[Ins, str, int]] = []  # (instruction, word, node)
    windows: list[Ins] = []
    ends: list[dict[int, int]] = []
    for block, start in zip(order, starts, strict=True):
        now = dict(start)
        for i in block.ins:
            op = i.op
            if op in WINDOWS:
                row = code.window(i)
                words = ""
                if op == SYS and len(row) < 2:
                    words = "b" if row and i.b else ""
                elif op == RET:
                    fixed += [now[r] for r in row if r in now]
                else:
                    windows.append(i)
                    if op == CALLR:
                        words, row = "a", row[1:]
                    pinned += [now[r] for r in row if r in now]
            else:
                words = SLOTS[op]
            for word in words:
                r = i.a if word == "a" else i.b if word == "b" else i.c
                if r:
                    n = now.get(r, -1)
                    if n < 0:  # nothing has been written there: any value will do
                        n = now[r] = len(parent)
                        parent.append(n)
                        number.append(r)
                    marks.append((i, word, n))
            kind = WRITES[op]
            if kind:
                r = i.a if kind == 1 else i.c
                if r:
                    if op in IN_PLACE:
                        n = now[r]  # the value that was read is changed
                    else:
                        n = now[r] = len(parent)
                        parent.append(n)
                        number.append(r)
                        marks.append((i, "a" if kind == 1 else "c", n))
            elif op == CALL or op == CALLR:
                first = i.b - 1
                for r in [r for r in now if r >= first]:
                    del now[r]
                results = code.facts.results[i.a] if op == CALL else code.facts.most_results
                for r in range(i.b + 1, i.b + 1 + results):
                    n = now[r] = len(parent)
                    parent.append(n)
                    number.append(r)
                    pinned.append(n)
        test = block.test
        if test is not None and test.a:
            n = now.get(test.a, -1)
            if n < 0:
                n = len(parent)
                parent.append(n)
                number.append(test.a)
            marks.append((test, "a", n))
        ends.append(now)

    def find(n: int) -> int:
        while parent[n] != n:
            parent[n] = parent[parent[n]]
            n = parent[n]
        return n

    for block, now in zip(order, ends, strict=True):
        for succ in block.succs:
            for r, n in starts[succ.number].items():
                m = now.get(r)
                if m is not None:
                    x, y = find(n), find(m)
                    if x != y:
                        parent[y] = x
    stay = {find(n): 0 for n in pinned}
    names: dict[int, int] = {find(n): number[n] for n in fixed}
    count = low
    for _, _, n in marks:
        while parent[n] != n:
            n = parent[n]
        if n not in names and n not in stay:
            count += 1
            names[n] = count
    base = (count + SLACK + 63) & ~63
    high, shift = base, base - raw
    for root in stay:
        names[root] = number[root] + shift
        high = max(high, names[root])
    for i, word, n in marks:
        while parent[n] != n:
            n = parent[n]
        if word == "a":
            i.a = names[n]
        elif word == "b":
            i.b = names[n]
        else:
            i.c = names[n]
    for i in windows:
        i.b += shift
        high = max(high, i.b + 8)
    code.undefined = frozenset(names[root] for root in map(find, starts[0].values()) if root in names)
    code.windows, code.low, code.next, code.frame = base, low, count + 1, high + 8
