"""Dead code: what gives a value that nothing needs is left out.

    r5 = r2 + r3 (r5 is read nowhere)        gone

A load stays if its address may be outside of memory, and a division if its divisor may be zero: they would fault.
"""

from __future__ import annotations

from .flow import IN_PLACE, READS, WRITES, Code, Ins
from .numbers import (
    CALL,
    CALLR,
    DSDOP,
    MOV,
)


def run(code: Code) -> None:
    needed: set[int] = set()
    todo: list[int] = []
    defs: dict[int, list[Ins]] = {}  # what only gives the value of a register, as long as nothing needs that
    flags: list[Ins] = []  # vector operations that say if they are complete
    still = False  # something copies a register to itself
    for block in code.blocks:
        for i in block.ins:
            r = code.writes(i)
            if r and not code.effects(i):
                found = defs.get(r)
                if found is None:
                    defs[r] = [i]
                else:
                    found.append(i)
                if i.op == MOV and i.b == r:
                    still = True
                continue
            todo += code.reads(i)
            if i.op == DSDOP and r:
                flags.append(i)
        if block.test is not None:
            todo += code.reads(block.test)
    while todo:
        r = todo.pop()
        if r not in needed:
            needed.add(r)
            for i in defs.pop(r, ()):
                todo += code.reads(i)
    for i in flags:
        if i.c not in needed:
            i.c = 0
    if defs or still:
        gone = {i for found in defs.values() for i in found}
        for block in code.blocks:
            block.ins = [i for i in block.ins if i not in gone and (i.op != MOV or i.a != i.b)]


def moves(code: Code) -> None:
    """Compute a value where it is wanted: r9 = r2 + r3; r20 = r9 becomes r20 = r2 + r3 if r9 is read nowhere else."""
    moved = {i.b for block in code.blocks for i in block.ins if i.op == MOV and i.b}
    if not moved:
        return
    uses: dict[int, int] = dict.fromkeys(moved, 0)
    writes: dict[int, int] = dict.fromkeys(moved, 0)
    for i in code.instructions():
        kind = READS[i.op]
        if kind == 1:
            if i.b in uses:
                uses[i.b] += 1
        elif kind:
            for r in code.reads(i):
                if r in uses:
                    uses[r] += 1
        kind = WRITES[i.op]
        if kind:
            w = i.a if kind == 1 else i.c
            if w in writes:
                writes[w] += 1
    moved = {r for r in moved if uses[r] == writes[r] == 1 and code.own(r)}
    for block in code.blocks:
        if not any(i.op == MOV and i.b in moved for i in block.ins):
            continue
        where: dict[int, int] = {}  # register -> index of the instruction here that wrote it
        touched: dict[int, int] = {}  # register -> index of the last instruction that read or wrote it
        gone: set[int] = set()
        clobbered = -1
        for n, i in enumerate(block.ins):
            if i.op == MOV and i.b:
                at = where.get(i.b, -1)
                if at >= 0 and i.b in moved and touched.get(i.a, -1) <= at and clobbered < at:
                    source = block.ins[at]
                    if source.op not in IN_PLACE:
                        if source.op == DSDOP:
                            source.c = i.a
                        else:
                            source.a = i.a
                        gone.add(n)
                        where[i.a] = at
                        touched[i.a] = n
                        continue
            for r in code.reads(i):
                touched[r] = n
            if i.op == CALL or i.op == CALLR:
                clobbered = n
            w = code.writes(i)
            if w:
                where[w] = touched[w] = n
        if gone:
            block.ins = [i for n, i in enumerate(block.ins) if n not in gone]
