"""Loops whose rounds are known, and the shape of those that stay.

evaluate    a loop that computes with constants only is run now; what it leaves in registers is loaded
unroll      a loop of few known rounds becomes its rounds, one after the other, its counter known in each
rotate      while (c) body            if (c) { do body while (c) }: one jump a round instead of two
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

from . import fold
from .flow import (
    IN_PLACE,
    PURE,
    READS_BC,
    Block,
    Code,
    Frame,
    Ins,
    Loop,
    dominates,
    dominators,
    liveness,
    loops,
    predecessors,
)
from .numbers import (
    ADDI,
    ASSERT,
    BINS,
    CHK,
    DCOUNT,
    ELD,
    EQ,
    F16,
    FUN2,
    JNZ,
    LD,
    LDI,
    LDIH,
    LE,
    LT,
    MOV,
    NE,
    U32,
)

UNROLLED = 300  # instructions that a loop may become
ROUNDS = 64
STEPS = 20_000  # of an evaluation
LARGEST = 4000  # a function does not grow beyond


class Shape:
    """Blocks, dominators and loops of a function, and what was asked about it, until a pass changes something."""

    def __init__(self, code: Code):
        self.code = code
        self.order = code.order()
        code.blocks = list(self.order)
        self.preds = predecessors(self.order)
        self.idom = dominators(self.order, self.preds)
        self.found = loops(self.order, self.preds, self.idom)

    @staticmethod
    def of(code: Code) -> Shape:
        """That of the function as it is: passes say if they change anything (driver.py)."""
        if code.shape is None:
            code.shape = Shape(code)
        return code.shape

    def other_instructions(self) -> None:
        """Blocks and jumps are the same, instructions are not."""
        self.__dict__.pop("before", None)
        self.__dict__.pop("enter", None)

    @functools.cached_property
    def before(self) -> Before:
        return Before(self)

    @functools.cached_property
    def enter(self) -> list[int]:
        """By block: mask of the registers that are live where it begins."""
        return liveness(self.code, self.order)[0]


class Before:
    """What registers hold where a loop is entered, as far as constants go."""

    def __init__(self, shape: Shape):
        code = shape.code
        self.code, self.shape = code, shape
        self.constant: dict[int, int | None] = {}
        for i in code.instructions():
            w = code.writes(i)
            if code.own(w):
                value = i.b if i.op == LDI and w not in code.undefined else None
                self.constant[w] = value if w not in self.constant else None

    def known(self, n: int, r: int) -> int | None:
        """The constant in register r at the end of block n."""
        if r == 0:
            return 0
        value = self.constant.get(r)
        if value is not None:
            return value
        if not self.code.own(r):
            return None
        for _ in range(8):
            block = self.shape.order[n]
            for i in reversed(block.ins):
                if self.code.writes(i) == r:
                    if i.op == LDI:
                        return i.b
                    return 0 if i.op == MOV and i.b == 0 else None
            if len(self.shape.preds[n]) != 1 or n == 0:
                return None
            n = self.shape.preds[n][0]
        return None


def outside(shape: Shape, loop: Loop) -> int:
    """The only block that a loop is entered from, or -1."""
    entries = [p for p in shape.preds[loop.header] if p not in loop.body]
    return entries[0] if len(entries) == 1 else -1


# ---------------------------------------------------------------- evaluate


def evaluate(code: Code) -> bool:
    """A loop that computes with constants only is run while compiling; what it leaves in registers is loaded."""
    changed = False
    while True:
        shape = Shape.of(code)
        for loop in reversed(shape.found):
            start = outside(shape, loop)
            if start >= 0 and replace(code, shape, loop, start):
                code.shape = None
                changed = True
                break
        else:
            return changed


def replace(code: Code, shape: Shape, loop: Loop, start: int) -> bool:
    before = shape.before
    registers: dict[int, int] = {}
    written: set[int] = set()

    def value(r: int) -> int | None:
        v = registers.get(r)
        if v is None:
            v = before.known(start, r)
            if v is not None:
                registers[r] = v
        return v

    block = shape.order[loop.header]
    steps = 0
    at = block.test.at if block.test is not None else block.ins[0].at if block.ins else (None, -1)
    while block.number in loop.body:
        for i in block.ins:
            v = step(code, i, value)
            if v is None:
                return False
            if i.a and i.op not in (CHK, ASSERT):
                registers[i.a] = v
                written.add(i.a)
        steps += len(block.ins) + 1
        if steps > STEPS:
            return False
        if block.test is not None:
            v = value(block.test.a)
            if v is None:
                return False
            block = block.jump if (v != 0) == (block.test.op == JNZ) else block.next  # type: ignore[assignment]
        elif block.next is None:
            return False
        else:
            block = block.next
    live = shape.enter[block.number]
    bridge = Block()
    for r in sorted(written):
        if live >> r & 1:
            bridge.ins.append(Ins(LDI, 0, r, registers[r], 0, 0, at))
    bridge.next = block
    shape.order[start].retarget(shape.order[loop.header], bridge)
    code.blocks.insert(code.blocks.index(shape.order[loop.header]), bridge)
    code.clean()
    return True


def step(code: Code, i: Ins, value) -> int | None:  # type: ignore[no-untyped-def]
    """The value an instruction gives, None if that is not known or it does more."""
    op = i.op
    if op == LDI:
        return i.b
    if code.facts.exceptions and code.effects(i):
        return None
    if op in READS_BC and op != ELD:
        x, y = value(i.b), value(i.c)
        return None if x is None or y is None else fold.binary(op, i.ty, x, y)
    if op in IN_PLACE:
        x, y = value(i.a), value(i.b)
        if x is None or y is None or op == LDIH:
            return None
        if op == BINS:
            return fold.insert(x, y, i.c)
        return x if y else value(i.c)
    if op == CHK:
        x = value(i.a)
        return None if x is None or not 0 <= x < i.b else 0
    if op == ASSERT:
        return 0 if value(i.a) else None
    if op == LD:
        x = value(i.b)
        if x is None:
            return None
        x += i.c
        size = fold.WIDTH[i.ty] // 8
        word = code.facts.word(x, size)
        return None if word is None else fold.normal(word, i.ty if i.ty < F16 else U32)
    if op in PURE and op not in (FUN2, DCOUNT, LDIH):
        x = value(i.b)
        return None if x is None else fold.unary(op, i.ty, x, i.c)
    return None


# ---------------------------------------------------------------- unroll


def unroll(code: Code) -> bool:
    """A loop of few known rounds becomes its rounds, one after the other, inner loops first.

    Of a loop that is left in several places, the rounds come after each other once `promote` has put its stores behind it."""
    return unrolled(code, False)


def unroll_left(code: Code) -> bool:
    """The same of those, too."""
    return unrolled(code, True)


def unrolled(code: Code, left: bool) -> bool:
    """`left`: also where a loop may be left before the round ends."""
    shape = Shape.of(code)
    done: set[int] = set()
    size = -1
    changed = False
    for loop in shape.found:
        start = outside(shape, loop)
        if start < 0 or done & loop.body or len(loop.latches) != 1:
            continue
        weight = sum(code.weight(i) for n in loop.body for i in shape.order[n].ins) + len(loop.body)
        if weight > UNROLLED:
            continue
        rounds = counted(code, shape, loop, start)
        if rounds is None:
            continue
        if size < 0:
            size = code.size()
        if size > LARGEST:
            continue
        if rounds.below and not left and exits(shape, loop) > 1:
            continue
        if rounds.count * max(weight - 3, 1) > UNROLLED:
            continue
        size += weight * len(rounds.values)
        expand(code, shape, loop, start, rounds)
        done |= loop.body
        changed = True
    if changed:
        code.clean()
    return changed


def exits(shape: Shape, loop: Loop) -> int:
    return sum(s.number not in loop.body for n in loop.body for s in shape.order[n].succs)


@dataclass
class Rounds:
    """Of a loop whose rounds are known: its counter, the value with which each round begins, and the block that has the
    test. The last round goes up to the test; `below`: which is behind the increment, so that it is a whole one."""

    counter: int
    values: list[int]
    tested: Block
    below: bool

    @property
    def count(self) -> int:
        return len(self.values) - (not self.below)


def counted(code: Code, shape: Shape, loop: Loop, start: int) -> Rounds | None:
    """The rounds of a loop, if all that they hang on is known. It may also be left elsewhere, in any of them."""
    writes: dict[int, list[tuple[int, Ins]]] = {}
    for k in loop.body:
        for i in shape.order[k].ins:
            w = code.writes(i)
            if w:
                writes.setdefault(w, []).append((k, i))
    for n in sorted(loop.body):
        if not dominates(shape.idom, n, loop.latches[0]):
            continue
        rounds = counted_at(code, shape, loop, start, n, writes)
        if rounds is not None:
            return rounds
    return None


def counted_at(
    code: Code, shape: Shape, loop: Loop, start: int, n: int, writes: dict[int, list[tuple[int, Ins]]]
) -> Rounds | None:
    """The same by the test of one block that every round comes through. `writes`: in the loop, by register, with their
    blocks."""
    block = shape.order[n]
    t = block.test
    if t is None or block.jump is None or block.next is None:
        return None
    leaves = [s.number not in loop.body for s in (block.next, block.jump)]
    if leaves[0] == leaves[1]:
        return None
    stays = (t.op == JNZ) == leaves[0]  # the loop goes on while the register is nonzero
    flag = next((i for i in reversed(block.ins) if code.writes(i) == t.a), None)
    operands = (t.a,) if flag is None else (flag.b, flag.c) if flag.op in (EQ, NE, LT, LE) else ()
    counters = [r for r in operands if r in writes]
    if len(counters) != 1 or not code.own(counters[0]):
        return None
    r = counters[0]
    if len(writes[r]) != 1:
        return None
    where, increment = writes[r][0]
    if increment.op != ADDI or increment.b != r or not dominates(shape.idom, where, loop.latches[0]):
        return None
    if where == n:
        if flag is not None and position(block, increment) > position(block, flag):
            return None  # the test is of the value before, the exit has the value after
        below = True
    else:
        below = dominates(shape.idom, where, n)
        if not below and not dominates(shape.idom, n, where):
            return None
    if any(where in inner.body for inner in shape.found if inner is not loop and inner.body < loop.body):
        return None
    before = shape.before
    first = before.known(start, r)
    if first is None:
        return None
    other = None
    if flag is not None:
        # nothing in the loop writes it, it would be a counter, too
        other = before.known(start, flag.c if flag.b == r else flag.b)
        if other is None:
            return None
    values = [first]
    while True:
        v = values[-1]
        if below:
            v = fold.normal(v + increment.c, increment.ty)
        if flag is None:
            truth: int | None = v
        elif flag.b == r:
            truth = fold.binary(flag.op, flag.ty, v, other)  # type: ignore[arg-type]
        else:
            truth = fold.binary(flag.op, flag.ty, other, v)  # type: ignore[arg-type]
        if truth is None:
            return None
        if (truth != 0) != stays:
            return Rounds(r, values, block, below)
        if len(values) > ROUNDS:
            return None
        values.append(v if below else fold.normal(v + increment.c, increment.ty))


def position(block: Block, ins: Ins) -> int:
    return next(n for n, i in enumerate(block.ins) if i is ins)


def expand(code: Code, shape: Shape, loop: Loop, start: int, rounds: Rounds) -> None:
    header = shape.order[loop.header]
    body = [shape.order[n] for n in sorted(loop.body)]
    latch = shape.order[loop.latches[0]]
    tested = rounds.tested
    inside, leave = tested.next, tested.jump
    assert tested.test is not None and inside is not None and leave is not None
    if inside.number not in loop.body:
        inside, leave = leave, inside
    before, old = shape.order[start], header
    place = code.blocks.index(header)
    fresh: list[Block] = []
    frames: dict[tuple[int, int], int] = {}  # (round, frame) -> the frame that stands for the round

    def copied(i: Ins, n: int) -> Ins:
        new = i.copy()
        if n:
            span, frame = i.at
            if (n, frame) not in frames:
                frames[n, frame] = len(code.frames)
                code.frames.append(Frame("", frame, None))
            new.at = (span, frames[n, frame])
        return new

    for n, v in enumerate(rounds.values):
        last = n == len(rounds.values) - 1
        twins = {id(b): Block() for b in body}
        for b in body:
            twin = twins[id(b)]
            twin.ins = [copied(i, n) for i in b.ins]
            if b is tested:
                twin.next = leave if last else twins.get(id(inside), inside)
            else:
                twin.test = None if b.test is None else copied(b.test, n)
                twin.jump = None if b.jump is None else twins.get(id(b.jump), b.jump)
                twin.next = None if b.next is None else twins.get(id(b.next), b.next)
        twins[id(header)].ins.insert(0, Ins(LDI, 0, rounds.counter, v, 0, 0, tested.test.at))
        # the way back of the round before leads here
        before.retarget(old, twins[id(header)])
        if not last:
            before, old = twins[id(latch)], twins[id(header)]
        fresh += twins.values()
    code.blocks[place:place] = fresh


# ---------------------------------------------------------------- rotate


def rotate(code: Code) -> bool:
    """`while (c) body` becomes `if (c) { do body while (c) }`: a round has one jump instead of two."""
    shape = Shape.of(code)
    changed = False
    for loop in shape.found:
        header = shape.order[loop.header]
        if header.test is None or len(header.ins) > 12 or not header.succs:
            continue
        leaves = [s.number not in loop.body for s in header.succs]
        if leaves[0] == leaves[1] or header.jump is header or header.next is header:
            continue
        twin = Block()
        twin.ins = [i.copy() for i in header.ins]
        twin.test, twin.jump, twin.next = header.test.copy(), header.jump, header.next
        for n in loop.latches:
            shape.order[n].retarget(header, twin)
        last = max(loop.latches)
        code.blocks.insert(code.blocks.index(shape.order[last]) + 1, twin)
        changed = True
    if changed:
        code.clean()
    return changed
