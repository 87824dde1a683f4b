"""A function while it is optimised: blocks of instructions, what they read and write, liveness, dominators, loops.

The code stays the instruction set of ir/isa.py with its numbered registers. Two things differ from the words that run:
a constant is one LDI whatever its size, and the last jumps of a block are the block's `test`, `jump` and `next`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ..ir import isa
from ..ir.isa import Flow, Op, Operand, Role, Sys, Ty
from ..ir.program import Function
from ..ir.words import DsrConfig, OperationRow
from .numbers import (
    ADD,
    AND,
    CALL,
    CALLR,
    CHK,
    DSDOP,
    DSRLD,
    EQ,
    FADD,
    FMUL,
    FUN2,
    JMP,
    JNZ,
    JZ,
    LDI,
    LDIH,
    MOV,
    MUL,
    NE,
    NOP,
    OR,
    RET,
    SYS,
    TRAP,
    XOR,
)

# the instruction table (ir/isa.py), as the passes ask for it
_WORDS = {int(op): list(zip("abc", op.words, strict=True)) for op in Op}
# instructions with registers that stand one after the other, or whose registers depend on more than their words
WINDOWS = frozenset((DSDOP, DSRLD, FUN2, SYS, CALL, CALLR, RET))
IN_PLACE = frozenset(op for op, words in _WORDS.items() if any(w.role is Role.UPDATE for _, w in words))
# words that name registers; of those, the ones that are read
NAMES = {op: "".join(n for n, w in words if w.role.is_register or w.role is Role.FRAME) for op, words in _WORDS.items()}
SLOTS = {op: "".join(n for n, w in words if w.role.is_read) for op, words in _WORDS.items()}
# by opcode, how `reads` and `writes` answer
READS, WRITES = [0] * 256, [0] * 256
for _op, _words in _WORDS.items():
    READS[_op] = 6 if _op in WINDOWS else ("", "b", "bc", "a", "ab", "abc").index(SLOTS[_op])
    WRITES[_op] = {"": 0, "a": 1, "c": 2}["".join(n for n, w in _words if w.role.is_written)]
READS_BC = frozenset(op for op in _WORDS if READS[op] == 2)
# no effect but the result, and no fault: may go if the result is not needed, and be done earlier or twice
PURE = frozenset(
    int(op)
    for op in Op
    if op.row.flow is Flow.NEXT and not op.row.effect and set(op.row.faults) <= {"EXCEPTION"} and op is not Op.NOP
)
ARGUMENTS = {int(function): function.row.arguments for function in Sys}
CONSTANT = frozenset(
    int(function) for function in Sys if not function.row.effect
)  # functions that always give the same
CHECKED = frozenset(op for op in PURE if Op(op).row.faults)  # may stop the PE in programs that unmask exceptions
COMMUTES = frozenset((ADD, MUL, AND, OR, XOR, EQ, NE, FADD, FMUL))


class Ins:
    """One instruction. `at` is where it comes from: (span, inlined frame or -1)."""

    __slots__ = ("op", "ty", "a", "b", "c", "free", "at", "safe", "reach")

    def __init__(self, op: int, ty: int, a: int, b: int, c: int, free: int, at: tuple[Any, int], safe: bool = False):
        self.op, self.ty, self.a, self.b, self.c, self.free, self.at = op, ty, a, b, c, free, at
        self.safe = safe  # known not to fault where it stands
        # of a load or store: (first address, end) of what it may touch; None: not known yet
        self.reach: tuple[int, int] | None = None

    def copy(self) -> Ins:
        new = Ins(self.op, self.ty, self.a, self.b, self.c, self.free, self.at, self.safe)
        new.reach = self.reach
        return new

    def __repr__(self) -> str:
        return f"{Op(self.op).name.lower()}.{Ty(self.ty).name.lower()} {self.a}, {self.b}, {self.c}"


class Block:
    """Straight code. Then: where `test` (JZ or JNZ) holds to `jump`, else to `next`; no `next`: the last instruction
    is RET or TRAP."""

    __slots__ = ("ins", "test", "jump", "next", "number")

    def __init__(self) -> None:
        self.ins: list[Ins] = []
        self.test: Ins | None = None
        self.jump: Block | None = None
        self.next: Block | None = None
        self.number = -1

    @property
    def succs(self) -> tuple[Block, ...]:
        if self.test is not None:
            assert self.jump is not None and self.next is not None
            return (self.next, self.jump)
        return () if self.next is None else (self.next,)

    def retarget(self, old: Block, new: Block) -> None:
        if self.next is old:
            self.next = new
        if self.jump is old:
            self.jump = new


class Frame(NamedTuple):
    """A function that was inlined: its name, in which frame of the same table it stands (-1: in the function itself),
    and where it was called. One without a name is another round of an unrolled loop."""

    name: str
    caller: int
    span: Any


@dataclass
class Facts:
    """What the passes have to know of the tile program around a function. Functions go by the numbers of driver.py,
    which are the same for all tile programs. `asked` keeps the questions and answers about memory: another tile
    program for which they are the same can share the result."""

    params: list[int]  # by function
    results: list[int]
    most_params: int
    most_results: int
    dsd_ops: list[list[int]]
    dsr_configs: list[list[int]]
    memory: int  # bytes
    constant: list[tuple[int, int]]  # (first, end) of memory that never changes
    image: bytes
    exceptions: bool  # float operations may stop the PE
    asked: dict[tuple[int, int, bool], int | None] = field(default_factory=dict)
    trace: Any = None  # of variants.py, while a function is optimised for other constants, too

    def inside(self, low: int, high: int) -> bool:
        """Do addresses low to high - 1 lie in memory?"""
        answer = 0 <= low and high <= self.memory
        self.asked[low, high, False] = answer
        return answer

    def word(self, at: int, size: int) -> int | None:
        """What is at an address, if it never changes."""
        answer = None
        if any(a <= at and at + size <= e for a, e in self.constant):
            answer = int.from_bytes(self.image[at : at + size], "little")
        self.asked[at, size, True] = answer
        return answer

    def same(self, asked: dict[tuple[int, int, bool], int | None]) -> bool:
        """Are the answers to these questions the same here?"""
        return all(
            (self.word(a, b) if constant else self.inside(a, b)) == answer for (a, b, constant), answer in asked.items()
        )


@dataclass
class Code:
    """One function. `frames`: the functions inlined in it."""

    name: str
    params: int
    results: int
    frame: int
    blocks: list[Block]
    facts: Facts
    noinline: bool = False
    frames: list[Frame] = field(default_factory=list)
    # after webs.py: 1 to low are parameters and results, from there to `windows` every value has a register of its own
    # (`next` is the first that is not taken), and what must stand in a row stands from `windows` on
    low: int = 0
    next: int = 0
    undefined: frozenset[int] = frozenset()  # registers that may be read before they are written
    windows: int = 0
    shape: Any = None  # what loops.py knows of it, until a pass changes something

    def fresh(self) -> int:
        """A register that nothing uses; 0 if there is none before the next renaming."""
        if self.next >= self.windows:
            return 0
        self.next += 1
        return self.next - 1

    def own(self, r: int) -> bool:
        """Does the register hold one value or variable, which may move?"""
        return self.low < r < self.windows

    @property
    def entry(self) -> Block:
        return self.blocks[0]

    def instructions(self) -> Iterator[Ins]:
        for block in self.blocks:
            yield from block.ins
            if block.test is not None:
                yield block.test

    def size(self) -> int:
        """Instructions that cost something."""
        return sum(1 for i in self.instructions() if i.op not in (MOV, LDI, LDIH))

    def weight(self, i: Ins) -> int:
        """What an instruction counts where loops are unrolled: a vector operation more for each DSD, which is a struct."""
        if i.op == DSDOP:
            row = self.facts.dsd_ops[i.a]
            return 1 + 5 * sum(row[OperationRow.dst + j] == Operand.DSD for j in range(4))
        return i.op not in (MOV, LDI, LDIH, CHK)

    def order(self) -> list[Block]:
        """Reachable blocks in reverse postorder, of two successors `next` first, as in the source; numbers them."""
        seen: set[Block] = set()
        out: list[Block] = []
        stack: list[Block | None] = [self.entry]  # None: the block behind it has all its successors in `out`
        while stack:
            block = stack.pop()
            if block is None:
                out.append(stack.pop())  # type: ignore[arg-type]
            elif block not in seen:
                seen.add(block)
                stack += (block, None)
                if block.next is not None:
                    stack.append(block.next)
                    if block.jump is not None:
                        stack.append(block.jump)
        out.reverse()
        for n, block in enumerate(out):
            block.number = n
        return out

    def clean(self) -> None:
        """Forget blocks that cannot be reached; the others keep their order."""
        reached = set(self.order())
        self.blocks = [b for b in self.blocks if b in reached]

    # ------------------------------------------------------------ registers

    def reads(self, i: Ins) -> Sequence[int]:
        """Registers an instruction reads (r0 may be among them)."""
        kind = READS[i.op]
        if kind == 1:
            return (i.b,)
        if kind == 2:
            return (i.b, i.c)
        if kind == 0:
            return ()
        if kind == 3:
            return (i.a,)
        if kind == 4:
            return (i.a, i.b)
        if kind == 5:
            return (i.a, i.b, i.c)
        return self.window(i)

    def window(self, i: Ins) -> Sequence[int]:
        """Registers that have to stand one after the other, as the instruction reads them."""
        op = i.op
        if op == DSDOP:
            row = self.facts.dsd_ops[i.a]
            found = [i.b + j for j in range(4) if row[OperationRow.dst + j] not in (Operand.NONE, Operand.DSR)]
            if row[OperationRow.index]:
                found.append(i.b + 4)
            if row[OperationRow.action]:
                found.append(i.b + 5)
            if row[OperationRow.onctrl_set]:
                found.append(i.b + 6)
            return found
        if op == DSRLD:
            found = [i.b]
            if i.c >= 0:
                config = self.facts.dsr_configs[i.c]
                if config[DsrConfig.action]:
                    found.append(i.b + 1)
                if config[DsrConfig.onctrl_set]:
                    found.append(i.b + 2)
            return found
        if op == FUN2:
            return (i.b, i.b + 1)
        if op == SYS:
            return range(i.b, i.b + ARGUMENTS[i.c])
        if op == CALL:
            return range(i.b + 1, i.b + 1 + self.facts.params[i.a])
        if op == CALLR:
            return (i.a, *range(i.b + 1, i.b + 1 + self.facts.most_params))
        if op == RET:
            return range(1, self.results + 1)
        return ()

    def writes(self, i: Ins) -> int:
        """The register an instruction writes, or 0. (A call leaves its results where `clobbers` begins.)"""
        kind = WRITES[i.op]
        return i.a if kind == 1 else 0 if kind == 0 else i.c

    def effects(self, i: Ins) -> bool:
        """Does an instruction do more than give a value?"""
        op = i.op
        if op in PURE:
            return self.facts.exceptions and op in CHECKED
        return not (i.safe or op == SYS and i.c in CONSTANT)


def clobbers(i: Ins) -> int:
    """The first of the registers that a call leaves without meaning (its results apart), or 0."""
    return i.b - 1 if i.op == CALL or i.op == CALLR else 0


# ---------------------------------------------------------------- from and to words


def split(f: Function, words: list[list[int]], spans: list[Any], facts: Facts) -> Code:
    """A function whose words are given, jump targets counted from its start."""
    first, end = 0, len(words)
    leaders = {first}
    for pc in range(first, end):
        w, a, b, _ = words[pc]
        op = w & 0xFF
        if op == JMP:
            leaders.add(a)
            leaders.add(pc + 1)
        elif op == JZ or op == JNZ:
            leaders.add(b)
            leaders.add(pc + 1)
        elif op == RET or op == TRAP:
            leaders.add(pc + 1)
    starts = sorted(pc for pc in leaders if pc < end)
    blocks = {pc: Block() for pc in starts}
    for n, pc in enumerate(starts):
        block = blocks[pc]
        stop = starts[n + 1] if n + 1 < len(starts) else end
        for at in range(pc, stop):
            w, a, b, c = words[at]
            op = w & 0xFF
            if op == JMP:
                block.next = blocks[a]
            elif op == JZ or op == JNZ:
                block.test = Ins(op, w >> 8 & 15, a, 0, 0, w & isa.FREE, (spans[at], -1))
                block.jump, block.next = blocks[b], blocks[at + 1]
            elif op == LDIH and block.ins and block.ins[-1].op == LDI and block.ins[-1].a == a:
                block.ins[-1].b = (block.ins[-1].b & 0xFFFFFFFF) | b << 32
            elif op == SYS:
                block.ins.append(Ins(op, 0, a, b if ARGUMENTS[c] else 0, c, w & isa.FREE, (spans[at], -1)))
            elif op != NOP:
                block.ins.append(Ins(op, w >> 8 & 15, a, b, c, w & isa.FREE, (spans[at], -1)))
        last = words[stop - 1][0] & 0xFF
        if last not in (JMP, JZ, JNZ, RET, TRAP):
            block.next = blocks[stop]
    return Code(f.name, f.params, f.results, f.frame, [blocks[pc] for pc in starts], facts, f.noinline)


def join(code: Code) -> tuple[list[list[int]], list[tuple[Any, int]]]:
    """The words of a function, jump targets counted from its start, and where each comes from."""
    order = layout(code)
    words: list[list[int]] = []
    where: list[tuple[Any, int]] = []
    start: dict[int, int] = {}
    fixes: list[tuple[int, int, Block]] = []
    for n, block in enumerate(order):
        start[id(block)] = len(words)
        for i in block.ins:
            w = i.op | i.ty << 8 | i.free
            if i.op == LDI:
                low = i.b & 0xFFFFFFFF
                low = low - (1 << 32) if low >> 31 else low
                words.append([w, i.a, low, 0])
                if low != i.b:
                    where.append(i.at)
                    words.append([LDIH, i.a, i.b >> 32, 0])
            else:
                words.append([w, i.a, i.b, i.c])
            where.append(i.at)
        following = order[n + 1] if n + 1 < len(order) else None
        at = block.ins[-1].at if block.ins else (None, -1)
        if block.test is not None:
            t = block.test
            op, jump, after = t.op, block.jump, block.next
            if jump is following and after is not following:
                op, jump, after = JZ + JNZ - op, after, jump
            assert jump is not None
            fixes.append((len(words), 2, jump))
            words.append([op | t.ty << 8 | t.free, t.a, 0, 0])
            where.append(t.at)
            at = t.at
        else:
            after = block.next
        if after is not None and after is not following and len(after.ins) == 1 and after.ins[0].op == RET:
            words.append([RET, 0, 0, 0])  # the jump leads to a return: return
            where.append(after.ins[0].at)
        elif after is not None and after is not following:
            fixes.append((len(words), 1, after))
            words.append([JMP, 0, 0, 0])
            where.append(at)
    for pc, column, block in fixes:
        words[pc][column] = start[id(block)]
    return words, where


def layout(code: Code) -> list[Block]:
    """The order in which blocks stand: each before its `next` where that is still free."""
    out: list[Block] = []
    placed: set[int] = set()
    rank = {id(b): n for n, b in enumerate(code.blocks)}
    waiting = [code.entry]
    while waiting:
        block: Block | None = waiting.pop()
        while block is not None and id(block) not in placed:
            placed.add(id(block))
            out.append(block)
            follow = [b for b in (block.jump, block.next) if b is not None and id(b) not in placed]
            if not follow:
                break
            # the way on is the one that stands first in the source; the other one waits
            follow.sort(key=lambda b: -rank[id(b)])
            waiting.extend(follow[:-1])
            block = follow[-1]
    return out


# ---------------------------------------------------------------- analyses


def predecessors(order: list[Block]) -> list[list[int]]:
    preds: list[list[int]] = [[] for _ in order]
    for block in order:
        for succ in dict.fromkeys(block.succs):
            preds[succ.number].append(block.number)
    return preds


def dominators(order: list[Block], preds: list[list[int]]) -> list[int]:
    """The immediate dominator of each block, by number (Cooper, Harvey, Kennedy). The entry's is itself."""
    idom = [-1] * len(order)
    idom[0] = 0
    changed = True
    while changed:
        changed = False
        for n in range(1, len(order)):
            new = -1
            for p in preds[n]:
                if idom[p] < 0:
                    continue
                if new < 0:
                    new = p
                    continue
                x, y = p, new
                while x != y:
                    while x > y:
                        x = idom[x]
                    while y > x:
                        y = idom[y]
                new = x
            if idom[n] != new:
                idom[n] = new
                changed = True
    return idom


def dominates(idom: list[int], a: int, b: int) -> bool:
    while b > a:
        b = idom[b]
    return a == b


@dataclass
class Loop:
    """A natural loop by block numbers."""

    header: int
    latches: list[int]
    body: set[int]  # with the header


def loops(order: list[Block], preds: list[list[int]], idom: list[int]) -> list[Loop]:
    """Natural loops, inner ones before those around them."""
    found: list[Loop] = []
    for n in range(len(order)):
        latches = [p for p in preds[n] if p >= n and dominates(idom, n, p)]
        if not latches:
            continue
        body = {n}
        todo = list(latches)
        while todo:
            b = todo.pop()
            if b not in body:
                body.add(b)
                todo.extend(preds[b])
        found.append(Loop(n, latches, body))
    found.sort(key=lambda lp: len(lp.body))
    return found


def use_def(code: Code, block: Block) -> tuple[int, int]:
    """Masks: registers read before they are written, and registers written (or clobbered)."""
    written: set[int] = {0}  # r0 is never read for its value, nor written
    use: set[int] = set()
    above = 1 << 62  # registers from there on have been written, or clobbered
    for i in block.ins:
        op = i.op
        kind = READS[op]
        if kind == 1:
            if i.b not in written and i.b < above:
                use.add(i.b)
        elif kind == 2:
            if i.b not in written and i.b < above:
                use.add(i.b)
            if i.c not in written and i.c < above:
                use.add(i.c)
        elif kind:
            use.update([r for r in code.reads(i) if r not in written and r < above])
        kind = WRITES[op]
        if kind == 1:
            written.add(i.a)
        elif kind == 2:
            written.add(i.c)
        elif op == CALL or op == CALLR:
            above = min(above, i.b - 1)
    if block.test is not None and block.test.a not in written and block.test.a < above:
        use.add(block.test.a)
    return mask(use), mask(written) if above == 1 << 62 else mask(written) | -1 << above


def liveness(code: Code, order: list[Block]) -> tuple[list[int], list[int]]:
    """Masks of the registers that are live where each block begins and where it ends."""
    n = len(order)
    pairs = [use_def(code, b) for b in order]
    enter, leave = [0] * n, [0] * n
    changed = True
    while changed:
        changed = False
        for k in range(n - 1, -1, -1):
            out = 0
            for succ in order[k].succs:
                out |= enter[succ.number]
            use, written = pairs[k]
            new = use | out & ~written
            leave[k] = out
            if new != enter[k]:
                enter[k] = new
                changed = True
    return enter, leave


def mask(registers: Iterable[int]) -> int:
    found = 0
    for r in registers:
        found |= 1 << r
    return found


def bits(mask: int) -> Iterator[int]:
    while mask:
        low = mask & -mask
        yield low.bit_length() - 1
        mask ^= low
