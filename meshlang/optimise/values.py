"""Values: what is known, what is equal, and what need not be computed again.

Every value gets a number; an operation of the same operands has the same number wherever the first one dominates the
second. From that follow, in one walk down the dominator tree:

    constants         r5 = 3; r6 = r5 * 4                    r6 = 12
    copies            r6 = r5; use r6                        use r5
    common parts      r6 = r2 + r3; r7 = r2 + r3             r7 = r6
    simpler forms     r6 = r5 / 8 (unsigned)                 r6 = r5 >> 3
    ranges            chk r5, 10 twice, or r5 < 10 before    once, or not at all
    memory            st r5, [20]; r6 = ld [20]              r6 = r5
    branches          jz of a value that is known            jmp

What is known about memory where ways part holds where they meet again, if nothing on them writes there.
"""

from __future__ import annotations

from ..ir.isa import Sys
from . import fold
from .flow import (
    CHECKED,
    COMMUTES,
    CONSTANT,
    READS_BC,
    WRITES,
    Block,
    Code,
    Ins,
    clobbers,
    dominators,
    loops,
    predecessors,
)
from .fold import HIGH, LOW, RANGE, SIZE
from .numbers import (
    ACTIVATE,
    ADD,
    ADDI,
    AND,
    ASSERT,
    BINS,
    BLOCK,
    CALL,
    CALLR,
    CHK,
    COPY,
    DCOUNT,
    DIV,
    DSDOP,
    DSRADV,
    DSRBASE,
    ELD,
    EQ,
    EST,
    F2B,
    F2F,
    F2I,
    F16,
    FADD,
    FDIV,
    FNEG,
    FUN1,
    FUN2,
    I2F,
    I64,
    JNZ,
    JZ,
    LD,
    LDI,
    LE,
    LNOT,
    LT,
    MOV,
    MUL,
    MULI,
    NE,
    NEG,
    NOT,
    OR,
    PRINT,
    REM,
    SEL,
    SHL,
    SHR,
    ST,
    SUB,
    SYS,
    U16,
    U32,
    U64,
    UNBLOCK,
    UTBLOCK,
    UTUNBLOCK,
    WRAP,
    XOR,
)

BOOLS = (0, 1)
UNARY = frozenset((ADDI, MULI, WRAP, LNOT, NEG, NOT, FNEG, FUN1, I2F, F2I, F2F, F2B))
COMPARES = frozenset((EQ, NE, LT, LE))
WRAPPING = frozenset((ADDI, MULI, WRAP, LD, NEG, NOT, SHL))  # their results are reduced to the type
# what changes memory behind the back of the walk, or lets time pass in which it may change
FORGETS = frozenset((COPY, CALL, CALLR, DSDOP, ELD, EST))
MOST_MEMORY = 64  # places whose contents are followed


Place = tuple[int, int, int]  # (number of the base or -1, offset, Ty)


def run(code: Code) -> None:
    Values(code).run()


def forgets(i: Ins) -> bool:
    """Is nothing known about memory behind this instruction?"""
    return i.op in FORGETS or i.op == SYS and i.c != Sys.TSC and i.c not in CONSTANT


def fits(value: int) -> bool:
    """Into a word of an instruction."""
    return -(1 << 31) <= value < 1 << 31


def between(order: list[Block], preds: list[list[int]], first: int, last: int) -> list[Block] | None:
    """The blocks on the ways from block `first` to `last`, these two apart. None if there is a loop among them: it may be
    waiting for what an operation in the background writes."""
    found: set[int] = set()
    todo = list(preds[last])
    while todo:
        n = todo.pop()
        if n == last or any(p >= n for p in preds[n]) and n != first:
            return None
        if n != first and n not in found:
            found.add(n)
            todo.extend(preds[n])
    return [order[n] for n in found]


class Values:
    def __init__(self, code: Code):
        self.code = code
        self.facts = code.facts
        self.const: list[int | None] = [0]
        self.lo: list[int] = [0]
        self.hi: list[int] = [0]
        self.form: list[tuple[int, ...] | None] = [None]  # (op, ty, x, y or word): how a value was computed
        self.constants: dict[int, int] = {0: 0}  # value -> its number
        self.holders: dict[int, list[int]] = {0: [0]}
        self.table: dict[tuple[int, ...], int] = {}
        self.log: list[tuple[object, object, object]] = []  # what to put back when the walk leaves a subtree
        self.val: dict[int, int] = {0: 0}  # register -> number of what it holds here
        self.loose: set[int] = set()  # of these, registers that are not written exactly once
        self.memory: dict[Place, int] = {}  # -> number
        self.out: list[Ins] = []
        self.at: Ins
        self.defs: dict[int, int] = {}
        self.hull: dict[int, tuple[int, int]] = {}

    # ------------------------------------------------------------ the walk

    def run(self) -> None:
        code = self.code
        order = code.order()
        code.blocks = order
        preds = predecessors(order)
        idom = dominators(order, preds)
        children: list[list[int]] = [[] for _ in order]
        for n in range(len(order) - 1, 0, -1):
            children[idom[n]].append(n)
        self.count()
        floors = self.floors(order, preds, idom)
        stack: list[tuple[int, int, set[int], dict[Place, int]]] = [(0, 0, set(), {})]
        while stack:
            n, mark, loose, memory = stack.pop()
            self.restore(mark)
            block = order[n]
            if n == 0:
                pass
            elif len(preds[n]) == 1:
                self.loose, self.memory = set(loose), dict(memory)
                self.learn(order[idom[n]], block)
            else:
                before = {r: self.val.get(r) for r in floors.get(n, ())}
                for r in loose:
                    self.drop(r)
                self.loose = set()
                self.memory = self.kept(memory, between(order, preds, idom[n], n))
                for r, floor in floors.get(n, {}).items():
                    lo, hi = self.hull.get(r, (LOW, HIGH))
                    old = before[r]
                    v = self.new(max(lo, min(floor, self.lo[old])) if old is not None else lo, hi)
                    self.put(r, v)
            self.walk(block)
            here = len(self.log)
            for child in children[n]:
                stack.append((child, here, self.loose, self.memory))
        if self.facts.trace is not None:
            self.facts.trace.differ(self.constants)

    def count(self) -> None:
        """How often each register is written, and the hull of what is written to it."""
        code = self.code
        defs, hull, low, windows = self.defs, self.hull, code.low, code.windows
        for block in code.blocks:
            for i in block.ins:
                op = i.op
                kind = WRITES[op]
                r = i.a if kind == 1 else i.c if kind else 0
                if not low < r < windows:
                    continue
                defs[r] = defs.get(r, 0) + 1
                if op == LDI:
                    span = (i.b, i.b)
                elif op in COMPARES or op == LNOT or op == WRAP and i.c == 1 or op == F2B:
                    span = BOOLS
                elif op == MOV and i.b == 0:
                    span = (0, 0)
                elif ADD <= op <= MUL or op in WRAPPING:
                    span = RANGE[i.ty]
                elif op == DSDOP:
                    span = BOOLS
                else:
                    span = (LOW, HIGH)
                old = hull.get(r)
                hull[r] = span if old is None else (min(old[0], span[0]), max(old[1], span[1]))
        for r in code.undefined:
            if low < r < windows:  # results of calls are read, too, and nothing writes them: they are loose
                defs[r] = defs.get(r, 0) + 1

    def floors(self, order: list[Block], preds: list[list[int]], idom: list[int]) -> dict[int, dict[int, int]]:
        """Counters of loops by header: registers that only grow there, with the most that they can have started from
        besides the value before the loop (a counter starts where it is set)."""
        found: dict[int, dict[int, int]] = {}
        code = self.code
        for loop in loops(order, preds, idom):
            if sum(p not in loop.body for p in preds[loop.header]) != 1:
                continue
            header = order[loop.header]
            body = [order[n] for n in loop.body]
            written = [code.writes(i) for block in body for i in block.ins]
            rows: dict[int, int] = {}
            for i in [i for block in body if block is not header for i in block.ins if i.op == ADDI and i.a == i.b]:
                r = i.a
                if not code.own(r) or written.count(r) != 1 or i.c <= 0:
                    continue
                if i.ty == I64 or i.c == 1 and header.jump not in body and self.guarded(header, r, i.ty):
                    rows[r] = HIGH
            found[loop.header] = rows
        return found

    def guarded(self, header: Block, r: int, ty: int) -> bool:
        """Is the loop left unless r < something, so that r + 1 is in range? (The increment is the only write.)"""
        t = header.test
        if t is None or t.op != JZ:
            return False
        flag = next((i for i in reversed(header.ins) if self.code.writes(i) == t.a), None)
        return flag is not None and flag.op == LT and flag.b == r and flag.ty == ty

    def restore(self, mark: int) -> None:
        log = self.log
        while len(log) > mark:
            where, key, old = log.pop()
            if old is None:
                del where[key]  # type: ignore[attr-defined]
            else:
                where[key] = old  # type: ignore[index]

    def remember(self, key: tuple[int, ...], v: int) -> None:
        self.log.append((self.table, key, self.table.get(key)))
        self.table[key] = v

    def narrow(self, v: int, lo: int, hi: int) -> None:
        """Value v is known to lie in lo..hi from here on."""
        if lo > self.lo[v]:
            self.log.append((self.lo, v, self.lo[v]))
            self.lo[v] = lo
        if hi < self.hi[v]:
            self.log.append((self.hi, v, self.hi[v]))
            self.hi[v] = hi

    def learn(self, before: Block, block: Block) -> None:
        """What follows from having come here from the branch at the end of `before`."""
        t = before.test
        if t is None or before.jump is before.next:
            return
        v = self.val.get(t.a)
        if v is None or self.const[v] is not None:
            return
        holds = (block is before.jump) == (t.op == JNZ)
        self.know(v, holds)

    def know(self, v: int, holds: bool) -> None:
        if not holds:
            self.narrow(v, 0, 0)
        elif self.lo[v] == 0:
            self.narrow(v, 1, self.hi[v])
        form = self.form[v]
        if form is None:
            return
        op, ty, x, y = form
        if op == LNOT:
            self.know(x, not holds)
        elif op in COMPARES and ty < F16:
            lo, hi = self.lo, self.hi
            if op == EQ or op == NE:
                if (op == EQ) == holds:
                    self.narrow(x, lo[y], hi[y])
                    self.narrow(y, lo[x], hi[x])
                elif self.const[y] == 0 and self.lo[x] == 0:
                    self.narrow(x, 1, hi[x])
                return
            if ty == U64 and (lo[x] < 0 or lo[y] < 0):
                return
            strict = op == LT
            if not holds:  # y <= x, or y < x
                x, y, strict = y, x, not strict
            if hi[y] > LOW:
                self.narrow(x, LOW, hi[y] - strict)
            if lo[x] < HIGH:
                self.narrow(y, lo[x] + strict, HIGH)

    # ------------------------------------------------------------ values

    def new(self, lo: int, hi: int, form: tuple[int, ...] | None = None) -> int:
        self.const.append(None)
        self.lo.append(lo)
        self.hi.append(hi)
        self.form.append(form)
        return len(self.const) - 1

    def number(self, value: int) -> int:
        """The number of a constant."""
        v = self.constants.get(value)
        if v is None:
            v = self.constants[value] = self.new(value, value)
            self.const[v] = value
        return v

    def of(self, r: int) -> int:
        v = self.val.get(r)
        if v is None:
            lo, hi = self.hull.get(r, (LOW, HIGH))
            v = self.new(lo, hi)
            self.put(r, v)
        return v

    def put(self, r: int, v: int) -> None:
        val = self.val
        self.log.append((val, r, val.get(r)))
        val[r] = v
        if self.defs.get(r) != 1:
            self.loose.add(r)
        held = self.holders.get(v)
        if held is None:
            self.holders[v] = [r]
        else:
            held.append(r)

    def known(self, v: int) -> int | None:
        c = self.const[v]
        if c is None and self.lo[v] == self.hi[v]:
            return self.lo[v]
        return c

    def drop(self, r: int) -> None:
        """What register r holds is not known any more."""
        old = self.val.pop(r, None)
        if old is not None:
            self.log.append((self.val, r, old))

    def holder(self, v: int) -> int:
        """A register of its own that holds the value here, or -1."""
        if self.known(v) == 0:
            return 0
        val, low, windows = self.val, self.code.low, self.code.windows
        for r in self.holders.get(v, ()):
            if val.get(r) == v and low < r < windows:
                return r
        return -1

    def best(self, r: int) -> int:
        v = self.val.get(r)
        if v is None:
            v = self.of(r)
        h = self.holder(v)
        return r if h < 0 else h

    # ------------------------------------------------------------ instructions

    def walk(self, block: Block) -> None:
        self.out = out = []
        for i in block.ins:
            self.at = i
            op = i.op
            if op == LDI:
                v = self.number(i.b)
                if self.val.get(i.a) != v:
                    self.put(i.a, v)
                    out.append(i)
            elif op == MOV:
                self.move(i, self.of(i.b))
            elif op in READS_BC and op != ELD:
                i.b, i.c = self.best(i.b), self.best(i.c)
                self.binary(i)
            elif op in UNARY:
                i.b = self.best(i.b)
                self.unary(i)
            elif op == LD:
                i.b = self.best(i.b)
                self.load(i)
            elif op == ST:
                i.a, i.b = self.best(i.a), self.best(i.b)
                self.store(i)
            elif op == CHK:
                self.check(i)
            elif op == ASSERT:
                i.a = self.best(i.a)
                v = self.of(i.a)
                if self.lo[v] > 0 or self.hi[v] < 0:
                    continue
                out.append(i)
                self.know(v, True)
            elif op == SEL:
                self.select(i)
            elif op == BINS:
                self.insert(i)
            elif op == SYS and i.c in CONSTANT:
                self.reuse(i, (SYS, i.c), 0, 0xFFFF)
            elif op == FUN2 and not self.facts.exceptions:
                self.reuse(i, (FUN2, i.ty, self.of(i.b), self.of(i.b + 1), i.c), *RANGE[i.ty])
            elif op == DCOUNT:
                i.b = self.best(i.b)
                self.reuse(i, (DCOUNT, self.of(i.b)), LOW, HIGH)
            else:
                self.other(i)
        block.ins = out
        if block.test is not None:
            self.test(block, block.test)

    def move(self, i: Ins, v: int) -> None:
        """r[a] = the value numbered v."""
        if self.val.get(i.a) == v:
            return
        c = self.known(v)
        if c is not None and c != 0:
            i.op, i.ty, i.b, i.c = LDI, 0, c, 0
        else:
            h = self.holder(v)
            i.op, i.ty, i.b, i.c = MOV, 0, i.b if h < 0 else h, 0
        self.put(i.a, v)
        self.out.append(i)

    def constant(self, i: Ins, value: int) -> None:
        i.op, i.ty, i.b, i.c = LDI, 0, value, 0
        v = self.number(value)
        if self.val.get(i.a) != v:
            self.put(i.a, v)
            self.out.append(i)

    def reuse(self, i: Ins, key: tuple[int, ...], lo: int, hi: int, form: tuple[int, ...] | None = None) -> None:
        """An instruction whose value depends on `key` alone: again, or for the first time."""
        v = self.table.get(key)
        if v is not None:
            h = self.holder(v)
            if h >= 0 or self.known(v) is not None:
                i.b = h
                self.move(i, v)
                return
        else:
            v = self.new(lo, hi, form)
            self.remember(key, v)
        self.put(i.a, v)
        self.out.append(i)

    def emit(self, op: int, ty: int, b: int, c: int) -> int:
        """One more instruction before this one: the register with its value, or 0 if there is none left."""
        r = self.code.fresh()
        if r:
            i = Ins(op, ty, r, b, c, self.at.free, self.at.at)
            self.defs[r] = 1
            if op in READS_BC:
                self.binary(i)
            elif op == LDI:
                self.constant(i, b)
            else:
                self.unary(i)
        return r

    def held(self, value: int) -> int:
        """A register with a constant."""
        h = self.holder(self.number(value))
        return h if h >= 0 else self.emit(LDI, 0, value, 0)

    def binary(self, i: Ins) -> None:
        op, ty = i.op, i.ty
        if op in COMMUTES and op < FADD and self.known(self.of(i.b)) is not None:
            i.b, i.c = i.c, i.b
        x, y = self.of(i.b), self.of(i.c)
        p, q = self.known(x), self.known(y)
        checked = self.facts.exceptions and op in CHECKED
        if p is not None and q is not None and not checked:
            value = fold.binary(op, ty, p, q)
            if value is not None:
                self.constant(i, value)
                return
        if not checked and self.simpler(i, x, y, p, q):
            return
        lo, hi = self.bounds(op, ty, x, y)
        if lo == hi and op not in (DIV, REM, SHL, SHR):
            self.constant(i, lo)
            return
        if checked:
            self.put(i.a, self.new(lo, hi))
            self.out.append(i)
            return
        if op == DIV or op == REM:
            i.safe = self.lo[y] > 0 or self.hi[y] < 0
        elif op == SHL or op == SHR:
            i.safe = self.lo[y] >= 0 and self.hi[y] < fold.WIDTH[ty]
        if op in COMMUTES and x > y:
            key = (op, ty, y, x)
        else:
            key = (op, ty, x, y)
        self.reuse(i, key, lo, hi, (op, ty, x, y))

    def simpler(self, i: Ins, x: int, y: int, p: int | None, q: int | None) -> bool:
        """A simpler way to the same value. True if the instruction is done with."""
        op, ty = i.op, i.ty
        if op == ADD and q is not None and fits(q):
            i.op, i.c = ADDI, q
            self.unary(i)
            return True
        if op == SUB and q is not None and fits(-q):
            i.op, i.c = ADDI, -q
            self.unary(i)
            return True
        if op == SUB and x == y:
            self.constant(i, 0)
            return True
        if op == MUL and q is not None and fits(q):
            i.op, i.c = MULI, q
            self.unary(i)
            return True
        if op == AND:
            if q == 0:
                self.constant(i, 0)
                return True
            if x == y or q is not None and q & (q + 1) == 0 and self.lo[x] >= 0 and self.hi[x] <= q or q == -1:
                self.move(i, x)
                return True
        if op == OR and (q == 0 or x == y):
            self.move(i, x)
            return True
        if op == XOR:
            if q == 0:
                self.move(i, x)
                return True
            if x == y:
                self.constant(i, 0)
                return True
        if op in (SHL, SHR) and q == 0:
            if op == SHR:
                self.move(i, x)
            else:
                i.op, i.c = WRAP, 0
                self.unary(i)
            return True
        if op in COMPARES and x == y and ty < F16:
            self.constant(i, int(op in (EQ, LE)))
            return True
        if op == NE and q == 0 and ty < F16 and self.lo[x] >= 0 and self.hi[x] <= 1:
            self.move(i, x)
            return True
        if op == EQ and q == 0 and ty < F16:
            i.op, i.ty, i.c = LNOT, 0, 0
            self.unary(i)
            return True
        if (op == DIV or op == REM) and q is not None and q > 0 and self.divide(i, x, q):
            return True
        return False

    def divide(self, i: Ins, x: int, d: int) -> bool:
        """r[b] / d and r[b] % d, d known and positive, without a division."""
        if self.code.windows - self.code.next < 12:
            return False  # no registers left
        lo, hi = self.lo[x], self.hi[x]
        op = i.op
        if d == 1:
            if op == DIV:
                self.move(i, x)
            else:
                self.constant(i, 0)
            return True
        if i.ty == U64 and lo < 0:
            return False
        if 0 <= lo and hi < d:
            if op == DIV:
                self.constant(i, 0)
            else:
                self.move(i, x)
            return True
        shift = d.bit_length() - 1
        power = d == 1 << shift
        if lo < 0:
            if not power or op != DIV or i.ty not in fold.SIGNED:
                return False
            # towards zero: negative numbers are rounded up by adding d - 1 first
            bits = fold.WIDTH[i.ty]
            sign = self.emit(SHR, i.ty, i.b, self.held(bits - 1))
            bias = sign and self.emit(AND, i.ty, sign, self.held(d - 1))
            total = bias and self.emit(ADD, I64, i.b, bias)
            amount = total and self.held(shift)
            if not amount:
                return False
            i.op, i.b, i.c = SHR, total, amount
            self.binary(i)
            return True
        if power:
            if op == DIV:
                amount = self.held(shift)
                if not amount:
                    return False
                i.op, i.c = SHR, amount
            else:
                mask = self.held(d - 1)
                if not mask:
                    return False
                i.op, i.c = AND, mask
            self.binary(i)
            return True
        if op == REM and not fits(d):
            return False  # the quotient times d is one MULI
        # x * m >> k with m = ceil(2**k / d) is exact while x * (m * d - 2**k) < 2**k
        for k in range(shift + 1, 48):
            m = -(-(1 << k) // d)
            if m >= 1 << 31 or hi * m >= 1 << 63:
                return False
            if hi * (m * d - (1 << k)) < 1 << k:
                break
        else:
            return False
        product = self.emit(MULI, I64, i.b, m)
        amount = product and self.held(k)
        if not amount:
            return False
        if op == DIV:
            i.op, i.ty, i.b, i.c = SHR, I64, product, amount
            self.binary(i)
            return True
        q = self.emit(SHR, I64, product, amount)
        back = q and self.emit(MULI, I64, q, d)
        if not back:
            return False
        i.op, i.ty, i.c = SUB, I64, back
        v = self.new(0, min(hi, d - 1))
        self.put(i.a, v)
        self.out.append(i)
        return True

    def bounds(self, op: int, ty: int, x: int, y: int) -> tuple[int, int]:
        """The range of an operation's value."""
        a, b, c, d = self.lo[x], self.hi[x], self.lo[y], self.hi[y]
        whole = RANGE[ty]
        if a > b or c > d:
            return whole  # no value passed the tests before it: this is never executed
        if op == ADD:
            r = (a + c, b + d)
        elif op == SUB:
            r = (a - d, b - c)
        elif op == MUL:
            ends = (a * c, a * d, b * c, b * d)
            r = (min(ends), max(ends))
        elif op == AND:
            if c >= 0 or a >= 0:
                return (0, min(v for v, low in ((b, a), (d, c)) if low >= 0))
            return (LOW, HIGH)
        elif op == OR or op == XOR:
            if a >= 0 and c >= 0:
                return (0, (1 << max(b, d).bit_length()) - 1)
            return whole if whole[0] <= min(a, c) and max(b, d) <= whole[1] else (LOW, HIGH)
        elif op in COMPARES:
            if ty >= F16 or ty == U64 and (a < 0 or c < 0):
                return BOOLS
            if op == EQ or op == NE:
                apart = b < c or d < a
                return (int(op == NE),) * 2 if apart else BOOLS
            if b < c or op == LE and b <= c:
                return (1, 1)
            if a > d or op == LT and a >= d:
                return (0, 0)
            return BOOLS
        elif op == SHR:
            if ty == U64 and a < 0:
                return (LOW, HIGH)
            if c >= 0 and d < 64:
                return (a >> c if a < 0 else a >> d, b >> c if b >= 0 else b >> d)
            return (min(a, 0), max(b, 0)) if ty != U64 else (LOW, HIGH)
        elif op == DIV:
            if ty != U64 and a >= 0 and c > 0:
                return (a // d, b // c)
            return whole
        elif op == REM:
            if ty != U64 and c > 0:
                return (0 if a >= 0 else max(a, 1 - d), min(b, d - 1) if b >= 0 else 0)
            return whole if ty != U64 else (LOW, HIGH)
        elif op == SHL:
            if c >= 0 and d < 64:
                r = (min(a << c, a << d), max(b << c, b << d))
            else:
                return whole
        elif FADD <= op <= FDIV:
            return whole
        else:
            return (LOW, HIGH)
        return r if whole[0] <= r[0] and r[1] <= whole[1] else whole

    def unary(self, i: Ins) -> None:
        op, ty, c = i.op, i.ty, i.c
        x = self.of(i.b)
        p = self.known(x)
        checked = self.facts.exceptions and op in CHECKED
        if p is not None and not checked:
            value = fold.unary(op, ty, p, c)
            if value is not None:
                self.constant(i, value)
                return
        a, b = self.lo[x], self.hi[x]
        whole = lo, hi = RANGE[ty]
        if op == ADDI or op == MULI:
            ends = (a + c, b + c) if op == ADDI else (min(a * c, b * c), max(a * c, b * c))
            if whole[0] <= ends[0] and ends[1] <= whole[1]:
                lo, hi = ends
                ty = i.ty = I64  # nothing to reduce
            if op == MULI and c == 0:
                self.constant(i, 0)
                return
            if c == (0 if op == ADDI else 1):
                i.op, i.c = WRAP, 0
                self.unary(i)
                return
            form = self.form[x]
            if form is not None and form[0] == op and (form[1] == ty or form[1] == I64):
                inner = self.holder(form[2])
                total = form[3] + c if op == ADDI else form[3] * c
                if inner >= 0 and fits(total):
                    i.b, i.c = inner, total
                    self.unary(i)
                    return
            if form is not None and op == MULI and form[0] == ADDI and ty == form[1] == I64:
                # (z + k) * c: z * c is often there already
                again = self.table.get((MULI, I64, form[2], c))
                h = -1 if again is None else self.holder(again)
                if h > 0 and fits(form[3] * c):
                    i.op, i.b, i.c = ADDI, h, form[3] * c
                    self.unary(i)
                    return
        elif op == WRAP:
            if c == 1:
                lo, hi = BOOLS
            if lo <= a and b <= hi:
                self.move(i, x)
                return
            if c == 1:
                if a > 0 or b < 0:
                    self.constant(i, 1)
                    return
        elif op == LNOT:
            lo, hi = BOOLS
            if a > 0 or b < 0:
                self.constant(i, 0)
                return
            form = self.form[x]
            if form is not None and form[0] == LNOT and self.lo[form[2]] >= 0 and self.hi[form[2]] <= 1:
                self.move(i, form[2])
                return
        elif op == F2B:
            lo, hi = BOOLS
        elif op == NOT or op == NEG:
            pass
        elif op == FUN1 and ty < F16:
            lo, hi = (0, 64) if c > 13 else whole
        if checked:
            self.put(i.a, self.new(lo, hi))
            self.out.append(i)
            return
        self.reuse(i, (op, ty, x, i.c), lo, hi, (op, ty, x, i.c))

    def select(self, i: Ins) -> None:
        """r[a] = r[a] if r[b] else r[c]."""
        i.b, i.c = self.best(i.b), self.best(i.c)
        old, test, other = self.of(i.a), self.of(i.b), self.of(i.c)
        if self.lo[test] > 0 or self.hi[test] < 0 or old == other:
            return
        if self.known(test) == 0:
            self.move(i, other)
            return
        v = self.new(min(self.lo[old], self.lo[other]), max(self.hi[old], self.hi[other]))
        self.put(i.a, v)
        self.out.append(i)

    def insert(self, i: Ins) -> None:
        i.b = self.best(i.b)
        p, q = self.known(self.of(i.a)), self.known(self.of(i.b))
        if p is not None and q is not None:
            self.constant(i, fold.insert(p, q, i.c))
            return
        self.put(i.a, self.new(LOW, HIGH))
        self.out.append(i)

    # ------------------------------------------------------------ memory

    def place(self, i: Ins) -> tuple[int, int, int, int]:
        """Of a load or store: base number (-1: a known address), offset, and the range of addresses."""
        b, c = self.of(i.b), i.c
        p = self.known(b)
        if p is not None:
            return -1, p + c, p + c, p + c
        form = self.form[b]
        if form is not None and form[0] == ADDI and form[1] == I64:
            inner = self.holder(form[2])
            if inner >= 0 and fits(c + form[3]):
                i.b, i.c = inner, c + form[3]
                return self.place(i)
        return b, c, self.lo[b] + c, self.hi[b] + c

    def reach(self, i: Ins, low: int, end: int) -> tuple[int, int]:
        """Where a load or store may be: also within what was known of it before (a check may have gone since)."""
        if i.reach is not None:
            low, end = max(low, i.reach[0]), min(end, i.reach[1])
        i.reach = (low, end)
        return i.reach

    def load(self, i: Ins) -> None:
        base, offset, low, high = self.place(i)
        size = SIZE[i.ty]
        if base < 0 and i.b and fits(offset):
            i.b, i.c = 0, offset
        inside = self.facts.inside(*self.reach(i, low, high + size))
        i.safe = inside
        if inside:
            word = self.facts.word(offset, size) if base < 0 else None
            if word is not None:
                self.constant(i, fold.normal(word, i.ty if i.ty < F16 else U32))
                return
            v = self.memory.get((base, offset, i.ty))
            if v is not None:
                h = self.holder(v)
                if h >= 0 or self.known(v) is not None:
                    i.b = h
                    i.safe = False
                    self.move(i, v)
                    return
        v = self.new(*RANGE[i.ty])
        if inside and len(self.memory) < MOST_MEMORY:
            self.memory[base, offset, i.ty] = v
        self.put(i.a, v)
        self.out.append(i)

    def store(self, i: Ins) -> None:
        base, offset, low, high = self.place(i)
        size = SIZE[i.ty]
        if base < 0 and i.b and fits(offset):
            i.b, i.c = 0, offset
        self.out.append(i)
        low, end = self.reach(i, low, high + size)
        inside = self.facts.inside(low, end)
        if self.memory:
            for key in list(self.memory):
                other, at, ty = key
                if other == base:
                    apart = at + SIZE[ty] <= offset or offset + size <= at
                else:
                    first, last = (at, at) if other < 0 else (self.lo[other] + at, self.hi[other] + at)
                    apart = last + SIZE[ty] <= low or end <= first
                if not apart:
                    del self.memory[key]
        v = self.of(i.a)
        whole = RANGE[i.ty]
        if inside and len(self.memory) < MOST_MEMORY and whole[0] <= self.lo[v] and self.hi[v] <= whole[1]:
            self.memory[base, offset, i.ty] = v

    def kept(self, memory: dict[Place, int], ways: list[Block] | None) -> dict[Place, int]:
        """Of what is known about memory where ways part, what still holds where they meet. A register may have changed on
        the way, so of places only those with known addresses are looked at."""
        out = {key: v for key, v in memory.items() if key[0] < 0}
        for block in [] if ways is None else ways:
            for i in block.ins if out else ():
                if i.op == ST and i.reach is not None:
                    first, end = i.reach
                    out = {key: v for key, v in out.items() if key[1] + SIZE[key[2]] <= first or end <= key[1]}
                elif i.op == ST or forgets(i):
                    out = {}
        return {} if ways is None else out

    def check(self, i: Ins) -> None:
        i.a = self.best(i.a)
        v = self.of(i.a)
        if self.lo[v] >= 0 and self.hi[v] < i.b:
            return
        self.out.append(i)
        self.narrow(v, 0, i.b - 1)

    def other(self, i: Ins) -> None:
        """Everything else: operands may be copies, what it writes is new."""
        op, code = i.op, self.code
        if op in (ACTIVATE, BLOCK, UNBLOCK, UTBLOCK, UTUNBLOCK, PRINT):
            i.a = self.best(i.a)
        elif op == DSRBASE or op == DSRADV:
            i.b = self.best(i.b)
        elif op == ELD:
            i.b, i.c = self.best(i.b), self.best(i.c)
        elif op == EST or op == COPY:
            i.a, i.b, i.c = self.best(i.a), self.best(i.b), self.best(i.c)
        elif op == CALLR:
            i.a = self.best(i.a)
        elif op == SYS and len(tuple(code.window(i))) == 1 and i.b:
            i.b = self.best(i.b)
        if forgets(i):
            self.memory = {}
        self.out.append(i)
        first = clobbers(i)
        if first:
            for r in self.loose:
                if r >= first:
                    self.drop(r)
            return
        r = code.writes(i)
        if r:
            lo, hi = BOOLS if op == DSDOP else RANGE[i.ty] if op == ELD else (LOW, HIGH)
            if op == SYS and i.c == Sys.TSC:
                lo, hi = RANGE[U16]
            self.put(r, self.new(lo, hi))

    # ------------------------------------------------------------ the end of a block

    def test(self, block: Block, t: Ins) -> None:
        v = self.of(t.a)
        form = self.form[v]
        while form is not None and self.known(v) is None:
            zero = form[0] in (NE, EQ) and form[1] < F16 and self.known(form[3]) == 0
            if form[0] == LNOT or zero or form[0] == WRAP and form[3] == 1:
                if self.holder(form[2]) < 0:
                    break
                if form[0] in (LNOT, EQ):
                    t.op = JZ + JNZ - t.op
                v = form[2]
                t.a = self.holder(v)
                form = self.form[v]
            else:
                break
        t.a = self.best(t.a)
        nonzero = self.lo[v] > 0 or self.hi[v] < 0
        if nonzero or self.known(v) == 0:
            if nonzero == (t.op == JNZ):
                block.next = block.jump
            block.test = block.jump = None
