"""Branches: jumps to jumps go where these lead, blocks that follow each other become one.

jz r5, L; ...; L: jz r5, M        jz r5, M; ...
r5 = 1; jmp L; ...; L: jz r5, M   r5 = 1; jmp (behind L's test)
"""

from __future__ import annotations

from .flow import Block, Code, liveness, predecessors
from .numbers import (
    CALL,
    CALLR,
    JNZ,
    LDI,
    MOV,
)


def run(code: Code) -> None:
    code.clean()
    changed = True
    rounds = 0
    while changed and rounds < 8:
        changed = False
        rounds += 1
        for block in code.blocks:
            if block.test is not None and block.jump is block.next:
                block.test = block.jump = None
                changed = True
            for target in block.succs:
                new = thread(code, block, target)
                if new is not target and block.jump is not block.next:
                    block.retarget(target, new)
                    changed = True
        code.clean()
        changed |= merge(code)


def thread(code: Code, block: Block, first: Block) -> Block:
    """Where the way from `block` to `first` leads."""
    target = first
    for _ in range(16):
        follow: Block | None
        if target.ins or target is block:
            return target
        if target.test is None:
            follow = target.next
        else:
            truth = outcome(code, block, first, target.test.a)
            if truth is None:
                return target
            follow = target.jump if truth == (target.test.op == JNZ) else target.next
        if follow is None or follow is target:
            return target
        target = follow
    return target


def outcome(code: Code, block: Block, target: Block, r: int) -> bool | None:
    """Is register r nonzero on the way from `block` to `target`? None: not known."""
    t = block.test
    if t is not None and t.a == r:
        return (block.jump is target) == (t.op == JNZ)
    for i in reversed(block.ins):
        if code.writes(i) == r:
            if i.op == LDI:
                return i.b != 0
            return False if i.op == MOV and i.b == 0 else None
        if i.op == CALL or i.op == CALLR:
            return None
    return None


def merge(code: Code) -> bool:
    """Join blocks with their only successor, if that has no other predecessor."""
    count: dict[int, int] = {}
    for block in code.blocks:
        for succ in block.succs:
            count[id(succ)] = count.get(id(succ), 0) + 1
    gone: set[int] = set()
    for block in code.blocks:
        if id(block) in gone:
            continue
        while True:
            s = block.next
            if block.test is not None or s is None or s is block or count[id(s)] != 1 or s is code.entry:
                break
            block.ins = block.ins + s.ins
            block.test, block.jump, block.next = s.test, s.jump, s.next
            gone.add(id(s))
    code.blocks = [b for b in code.blocks if id(b) not in gone]
    return bool(gone)


def arms(code: Code) -> None:
    """A way that only sets constants is taken before it is known that it has to be: one jump less.

    jz r2, L; r5 = 1; jmp M; L: r5 = 0; M:        r5 = 0; jz r2, M; r5 = 1; M:
    """
    order = code.order()
    preds = predecessors(order)
    enter: list[int] | None = None
    for block in order:
        test = block.test
        if test is None:
            continue
        for arm, other in ((block.jump, block.next), (block.next, block.jump)):
            assert arm is not None and other is not None
            if not arm.ins or arm.test is not None or arm.next is None or arm is other or arm.next is other:
                continue
            if len(preds[arm.number]) != 1 or arm.next is arm or len(arm.ins) > 2:
                continue
            if any(i.op != LDI or not code.own(i.a) or i.a == test.a for i in arm.ins):
                continue
            if enter is None:
                enter, _ = liveness(code, order)
            if any(enter[other.number] >> i.a & 1 for i in arm.ins):
                continue
            block.ins += arm.ins
            block.retarget(arm, arm.next)
            arm.ins = []
            break
    code.clean()
