"""Stores that nothing sees, and variables of memory that a loop keeps in registers.

overwritten   st r5, [20]; r6 = r5 + r2; st r6, [20]     the first store is left out
promote       do { r5 = ld [20]; r5 += r2; st r5, [20] } while
                                                         r5 = ld [20]; do { r5 += r2 } while; st r5, [20]

A store is seen by what reads memory, by what may fault (the memory of a PE that stops is part of the result), and by
all that lets time pass or that other parts of the machine take part in.
"""

from __future__ import annotations

from . import fold
from .flow import PURE, Block, Code, Ins, Loop
from .invariants import waits_for_nothing
from .loops import Before, Shape, outside
from .numbers import DIV, F16, F32, LD, LDI, MOV, REM, SHL, SHR, ST, U16, U32, WRAP

MOST_PLACES = 8  # of a loop that get a register

Place = tuple[int, int]  # (address, Ty)


def overlap(a: tuple[int, int], b: tuple[int, int]) -> bool:
    """Of (first address, end)."""
    return a[0] < b[1] and b[0] < a[1]


def harmless(code: Code, i: Ins) -> bool:
    """Neither faults nor touches anything but registers and, if it is a load or store, memory inside of the PE's."""
    if i.op == LD or i.op == ST:
        return i.reach is not None and code.facts.inside(*i.reach)
    return i.op in PURE and not code.effects(i)


# ---------------------------------------------------------------- overwritten


def overwritten(code: Code) -> None:
    """A store is left out if the same block stores there again before anything can see it."""
    for block in code.blocks:
        if sum(i.op == ST for i in block.ins) < 2:
            continue
        later: list[tuple[int, int]] = []  # what is stored anew further down
        keep = []
        for i in reversed(block.ins):
            if later and not harmless(code, i):
                later = []
            if i.op == ST and i.b == 0:
                span = (i.c, i.c + fold.SIZE[i.ty])
                if any(first <= span[0] and span[1] <= end for first, end in later):
                    continue
                if harmless(code, i):
                    later.append(span)
            elif i.op == LD and later:
                reach = i.reach
                later = [span for span in later if reach is not None and not overlap(span, reach)]
            keep.append(i)
        keep.reverse()
        block.ins = keep


# ---------------------------------------------------------------- promote


def promote(code: Code) -> bool:
    """A variable of memory that a loop stores in every round stands in a register there, and is stored behind the loop.

    Nothing in the loop may fault or let time pass, and its rounds must not hang on what is loaded in it: a loop may be
    waiting for what an operation in the background writes.
    """
    changed = False
    while one_loop(code):
        code.shape = None
        changed = True
    return changed


def one_loop(code: Code) -> bool:
    shape = Shape.of(code)
    for loop in shape.found:
        places = eligible(code, shape, shape.before, loop)
        if places:
            keep_in_registers(code, shape, loop, places)
            return True
    return False


def eligible(code: Code, shape: Shape, before: Before, loop: Loop) -> list[Place]:
    """The places of a loop that may stand in registers."""
    if outside(shape, loop) < 0:
        return []
    touched: set[tuple[int, int, int]] = set()  # (first address, end, Ty or -1: the address is not fixed)
    stores: dict[Place, list[int]] = {}  # -> blocks
    writes: dict[int, int] = {}
    for n in loop.body:
        for i in shape.order[n].ins:
            w = code.writes(i)
            if w:
                writes[w] = writes.get(w, 0) + 1
            if i.op in (SHL, SHR, DIV, REM):
                amount = before.constant.get(i.c)
                if amount is None or not (amount > 0 if i.op in (DIV, REM) else 0 <= amount < fold.WIDTH[i.ty]):
                    return []
            elif not harmless(code, i):
                return []
            if i.op in (LD, ST) and i.reach is not None:
                if i.b:
                    touched.add((*i.reach, -1))
                else:
                    touched.add((i.c, i.c + fold.SIZE[i.ty], i.ty))
                    if i.op == ST:
                        stores.setdefault((i.c, i.ty), []).append(n)
    ends = any(s.number not in loop.body for n in loop.body for s in shape.order[n].succs)
    if not stores or not ends or not waits_for_nothing(code, shape, loop.body, writes):
        return []
    found = []
    for (address, ty), blocks in sorted(stores.items()):
        own = (address, address + fold.SIZE[ty], ty)
        alone = not any(overlap(own[:2], other[:2]) for other in touched if other != own)
        if alone and not leaves_without(shape, loop, blocks):
            found.append((address, ty))
    return found[:MOST_PLACES] if code.windows - code.next > MOST_PLACES else []


def leaves_without(shape: Shape, loop: Loop, stores: list[int]) -> bool:
    """Is there a way through a round and out of the loop without these blocks?"""
    todo, seen = [loop.header], set(stores)
    while todo:
        n = todo.pop()
        if n in seen:
            continue
        seen.add(n)
        for s in shape.order[n].succs:
            if s.number not in loop.body:
                return True
            todo.append(s.number)
    return False


def keep_in_registers(code: Code, shape: Shape, loop: Loop, places: list[Place]) -> None:
    registers = {place: code.fresh() for place in places}
    origin: dict[Place, Ins] = {}
    for n in loop.body:
        for i in shape.order[n].ins:
            place = (i.c, i.ty)
            if i.op not in (LD, ST) or i.b or place not in registers:
                continue
            r = registers[place]
            if i.op == LD:
                i.op, i.ty, i.b, i.c, i.safe = MOV, 0, r, 0, False
            else:
                origin.setdefault(place, i.copy())
                # what is loaded has the width of what was stored
                ty = U32 if i.ty == F32 else U16 if i.ty == F16 else i.ty
                i.op, i.ty, i.a, i.b, i.c = (WRAP, ty, r, i.a, 0) if i.a else (LDI, 0, r, 0, 0)
            i.reach = None
    top = shape.order[loop.header]
    bridge = Block()
    bridge.next = top
    for (address, ty), r in registers.items():
        load = Ins(LD, ty, r, 0, address, 0, origin[address, ty].at, True)
        load.reach = (address, address + fold.SIZE[ty])
        bridge.ins.append(load)
    shape.order[outside(shape, loop)].retarget(top, bridge)
    code.blocks.insert(code.blocks.index(top), bridge)
    targets = {s.number for n in loop.body for s in shape.order[n].succs if s.number not in loop.body}
    for number in sorted(targets):
        target, behind = shape.order[number], Block()
        behind.next = target
        for place, r in registers.items():
            store = origin[place].copy()
            store.a = r
            behind.ins.append(store)
        for n in loop.body:
            shape.order[n].retarget(target, behind)
        code.blocks.insert(code.blocks.index(target), behind)
