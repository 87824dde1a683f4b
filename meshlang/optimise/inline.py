"""Inlining: the code of a small function, or of one that is called once, takes the place of its call.

    call f, 5           r7 = r6 + 1 (the body of f, its registers counted from 5)

A callee's registers lie in the caller's frame already, from the call's base on, so that they only need new numbers.
Functions that are `noinline` stay, and of functions that call each other in a circle at least one. Every instruction
keeps its span, and remembers the call.
"""

from __future__ import annotations

from collections.abc import Callable

from .flow import NAMES, Block, Code, Frame, Ins
from .numbers import (
    CALL,
    CALLR,
    DSDOP,
    DSRLD,
    FUN2,
    RET,
)

SMALL = 40  # instructions that cost something
ONCE = 100  # of a function with one call
LARGEST = 4000  # the caller does not grow beyond


def run(code: Code, callee: Callable[[int], Code | None], limit: Callable[[int], int]) -> None:
    """`callee` gives the body of a function, or None if it is not to be inlined; `limit`: how large it may be."""
    size = code.size()
    todo = list(code.blocks)
    while todo:
        block = todo.pop()
        for n, i in enumerate(block.ins):
            if i.op != CALL:
                continue
            body = callee(i.a)
            if body is None:
                continue
            grows = body.size()
            if grows > limit(i.a) or size + grows > LARGEST:
                continue
            size += grows
            after = expand(code, block, n, body)
            todo.append(after)
            break


def expand(code: Code, block: Block, at: int, body: Code) -> Block:
    """Replace the call, instruction `at` of the block. Returns the block behind it."""
    call = block.ins[at]
    base = call.b
    after = Block()
    after.ins = block.ins[at + 1 :]
    after.test, after.jump, after.next = block.test, block.jump, block.next
    outer = len(code.frames)
    code.frames.append(Frame(body.name, call.at[1], call.at[0]))
    code.frames += [Frame(f.name, outer if f.caller < 0 else f.caller + outer + 1, f.span) for f in body.frames]
    twins = {id(b): Block() for b in body.blocks}

    def place(i: Ins) -> Ins:
        new = i.copy()
        span, frame = i.at
        new.at = (span, outer if frame < 0 else outer + 1 + frame)
        for word in NAMES[i.op]:
            r = getattr(i, word)
            if r or word in WINDOW.get(i.op, ""):
                setattr(new, word, r + base)
        return new

    for b in body.blocks:
        twin = twins[id(b)]
        twin.ins = [place(i) for i in b.ins if i.op != RET]
        twin.test = None if b.test is None else place(b.test)
        twin.jump = None if b.jump is None else twins[id(b.jump)]
        twin.next = None if b.next is None else twins[id(b.next)]
        if b.ins and b.ins[-1].op == RET:
            twin.next = after
    block.ins = block.ins[:at]
    block.test = block.jump = None
    block.next = twins[id(body.entry)]
    where = code.blocks.index(block) + 1
    code.blocks[where:where] = [*(twins[id(b)] for b in body.blocks), after]
    code.frame = max(code.frame, base + body.frame)
    return after


# words that hold the number of a register, and of them those where a 0 is not r0
WINDOW: dict[int, str] = {CALL: "b", CALLR: "b", DSDOP: "b", DSRLD: "b", FUN2: "b"}
