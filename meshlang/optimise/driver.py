"""Which passes run, in which order, over which functions; and what tile programs share.

A function is optimised after those it calls. It is known by a number that stands for all that its code depends on, so
that the many tile programs of a layout, which differ in a role, have each function optimised once. Those that differ in
constants, as in a coordinate, share what variants.py keeps.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ..ir import isa
from ..ir.program import Function, InlineFrame, Program, TileProgram
from . import branches, dead, inline, invariants, loops, registers, stores, values, webs
from .flow import Code, Facts, Frame, join, split
from .loops import Shape
from .numbers import (
    ADDI,
    CALL,
    CALLR,
    DSDOP,
    DSRLD,
    JMP,
    JNZ,
    JZ,
    LD,
    LDI,
    LDIH,
    MULI,
    RET,
    ST,
    SYS,
)
from .variants import MOST_TEMPLATES, Filled, Symbol, Template, TooLong, Trace

ROUNDS = 6  # of unrolling and evaluating

# [operation, word]: is it a constant that may be another in the same function of another tile program?
CONSTANTS = np.zeros((256, 4), bool)
CONSTANTS[[LDI, LDIH], 2] = CONSTANTS[[ADDI, MULI, LD, ST], 3] = True

# passes that say whether they have changed anything
TELL = frozenset(("evaluate", "unroll", "rotate", "invariants", "promote"))

WORDS = 6  # which part of what a function is known by are its words

PASSES = (
    "inline",
    "evaluate",
    "values",
    "overwritten",
    "branches",
    "dead",
    "unroll",
    "rotate",
    "invariants",
    "promote",
    "arms",
    "moves",
)


@dataclass
class Done:
    """An optimised function. Calls name functions by number; jumps count from its start."""

    words: np.ndarray
    spans: list[Any]
    inlined: np.ndarray
    frames: list[Frame]
    frame: int
    calls: list[tuple[int, int]]  # (number or -1 for a call through a pointer, base)
    asked: dict[tuple[int, int, bool], int | None]
    size: int  # of the code
    others: list[int]  # numbers that stand for functions it calls and does not inline, in the order of its calls
    noinline: bool
    family: int  # the same for functions that differ in constants only
    holes: list[tuple[int, int, int]]  # where the words had symbols: row, column, place of the value
    code: Code | None = None  # what others inline; None: it is made of `filled` when it is wanted
    filled: Filled | None = None

    def template(self, number: int) -> tuple[Template | int, tuple[int, ...]]:
        """What stands for it in the templates of functions that it is expanded in, and their inputs for it."""
        return (number, ()) if self.filled is None else (self.filled.template, self.filled.inputs)

    def body(self) -> Code:
        if self.code is None:
            assert self.filled is not None
            self.code = self.filled.body()
        return self.code


@dataclass
class Family:
    """Functions that differ in constants only."""

    number: int
    first: list[int]  # the constants of one of them
    vary: set[int] = field(default_factory=set)  # which are not the same in all
    templates: list[tuple[Template, Done]] = field(default_factory=list)  # and what each was made of
    most: int = MOST_TEMPLATES


class Rows:
    """Rows of a table of all tile programs, each once. Instructions name them by their number here while functions are
    optimised, so that functions are the same that name the same rows."""

    def __init__(self) -> None:
        self.rows: list[list[int]] = []
        self.numbers: dict[tuple[int, ...], int] = {}

    def of(self, table: np.ndarray) -> list[int]:
        """The numbers of a tile program's rows. Rows of one table that are the same have different ones."""
        found: dict[tuple[int, ...], int] = {}
        out = []
        for row in table.tolist():
            row.append(found.setdefault(tuple(row), 0))
            found[tuple(row[:-1])] += 1
            number = self.numbers.setdefault(tuple(row), len(self.rows))
            if number == len(self.rows):
                self.rows.append(row[:-1])
            out.append(number)
        return out


@dataclass
class Optimiser:
    """Of one program. `passes`: those that are on. `check`, if given, is called after every pass."""

    passes: frozenset[str] = frozenset(PASSES)
    check: Callable[[str, Code], None] | None = None
    preloaded: bool = False  # PEs begin with memory of their own
    keys: dict[Any, list[int]] = field(default_factory=dict)  # what a function depends on -> numbers
    done: dict[int, Done] = field(default_factory=dict)  # by number
    families: dict[Any, Family] = field(default_factory=dict)
    params: list[int] = field(default_factory=list)
    results: list[int] = field(default_factory=list)
    dsd_ops: Rows = field(default_factory=Rows)
    dsr_configs: Rows = field(default_factory=Rows)

    def tile(self, tile: TileProgram) -> TileProgram:
        return _Tile(self, tile).run()


def optimise(program: Program, passes: frozenset[str] = frozenset(PASSES)) -> Program:
    """The program with the code of its tile programs optimised; everything else is the same."""
    optimiser = Optimiser(passes, preloaded=bool(program.preloads))
    return replace(program, tiles=[optimiser.tile(tile) for tile in program.tiles])


class _Tile:
    def __init__(self, optimiser: Optimiser, tile: TileProgram):
        self.o, self.t = optimiser, tile
        starts = [f.entry for f in tile.functions]
        order = sorted(range(len(starts)), key=lambda i: starts[i])
        self.end = [0] * len(starts)
        for k, i in enumerate(order):
            self.end[i] = starts[order[k + 1]] if k + 1 < len(order) else len(tile.code)
        self.code = tile.code.copy()
        self.kind = self.code[:, 0] & 0xFF
        # (operation, column of the word that names a row, the numbers of the tile program's rows)
        self.rows = [
            (DSDOP, 1, optimiser.dsd_ops.of(tile.dsd_ops)),
            (DSRLD, 3, optimiser.dsr_configs.of(tile.dsr_configs)),
        ]
        for op, column, numbers in self.rows:
            where = np.flatnonzero((self.kind == op) & (self.code[:, column] >= 0))
            if len(where):
                self.code[where, column] = np.array(numbers, np.int32)[self.code[where, column]]
        # jumps count from the start of their function
        entries = np.array(sorted(starts) or [0], np.int32)
        first = entries[np.searchsorted(entries, np.arange(len(self.code)), side="right") - 1]
        jumps, branches = self.kind == JMP, (self.kind == JZ) | (self.kind == JNZ)
        self.code[jumps, 1] -= first[jumps]
        self.code[branches, 2] -= first[branches]
        self.places = np.fromiter(map(id, tile.spans), np.int64, len(tile.spans))
        self.through = np.flatnonzero(self.kind == CALLR)
        self.numbers = [-1] * len(starts)
        self.stands: dict[int, int] = {}  # number that stands for a function -> the function
        self.facts = self.describe()

    def describe(self) -> Facts:
        t = self.t
        memory = max([len(t.image), *(o.address + o.size for o in t.objects)], default=0)
        return Facts(
            self.o.params,
            self.o.results,
            max((f.params for f in t.functions), default=0),
            max((f.results for f in t.functions), default=0),
            self.o.dsd_ops.rows,
            self.o.dsr_configs.rows,
            (memory + 7) & ~7,
            [(o.address, o.address + o.size) for o in t.objects if not o.mutable and not self.o.preloaded],
            t.image.tobytes(),
            t.exceptions != 0xFFFF or bool(((self.kind == SYS) & (t.code[:, 3] == isa.Sys.EXCEPTION_MASK)).any()),
        )

    def run(self) -> TileProgram:
        t = self.t
        callers = np.flatnonzero(self.kind == CALL)
        callees = t.code[callers, 1].tolist()
        where = np.searchsorted(callers, [f.entry for f in t.functions])
        ends = np.searchsorted(callers, self.end)
        calls = [callees[a:b] for a, b in zip(where.tolist(), ends.tolist(), strict=True)]
        count = np.bincount(np.array(callees, np.int64), minlength=len(t.functions)).tolist()
        roots = {b.function for b in t.tasks} | {e.function for e in t.exports.values() if e.kind == "fn"}
        self.kept = roots | {i for i, f in enumerate(t.functions) if f.pointed}
        self.once = [n == 1 and i not in self.kept for i, n in enumerate(count)]
        for i in bottom_up(calls):
            self.function(i, calls[i])
        return self.assemble()

    def function(self, i: int, calls: list[int]) -> None:
        """Optimise function i, unless the same is done already."""
        t, o, facts = self.t, self.o, self.facts
        f, end = t.functions[i], self.end[i]
        words, kind, spans = self.code[f.entry : end], self.kind[f.entry : end], t.spans[f.entry : end]
        # what is not inlined matters by its parameters and results only: any function may stand there
        others = [c for c in dict.fromkeys(calls) if not self.inlines(c)]
        if calls:
            place = {c: -1 - k for k, c in enumerate(others)}
            words[kind == CALL, 1] = [place.get(c, self.numbers[c]) for c in calls]
        key = (
            f.name,
            f.params,
            f.results,
            f.noinline,
            facts.exceptions,
            (facts.most_params, facts.most_results) if self.calls_through(f.entry, end) else 0,
            words.tobytes(),
            self.places[f.entry : end].tobytes(),
            tuple((t.functions[c].params, t.functions[c].results) for c in others),
        )
        same = o.keys.setdefault(key, [])
        for number in same:
            done = o.done[number]
            stands = dict(zip(done.others, others, strict=True))
            if all(self.stands.get(n, c) == c for n, c in stands.items()) and facts.same(done.asked):
                self.numbers[i] = number
                self.stands.update(stands)
                return
        number = self.numbers[i] = self.number(f)
        same.append(number)
        o.done[number] = self.variant(f, words, kind, spans, key, calls, others)

    def calls_through(self, entry: int, end: int) -> bool:
        """Do these instructions call through a pointer?"""
        a, b = np.searchsorted(self.through, (entry, end)).tolist() if len(self.through) else (0, 0)
        return a < b

    def variant(
        self,
        f: Function,
        words: np.ndarray,
        kind: np.ndarray,
        spans: list[Any],
        key: tuple[Any, ...],
        calls: list[int],
        others: list[int],
    ) -> Done:
        """The function optimised, or made of one that differs in constants only."""
        o = self.o
        expanded = [self.numbers[c] for c in dict.fromkeys(calls) if c not in others]
        where = np.nonzero(CONSTANTS[kind])  # rows, and columns
        constants = words[where].tolist()
        shape = words.copy()
        shape[where] = 0
        rows = np.flatnonzero(kind == CALL)
        shape[rows, 1] = [n if n < 0 else o.done[n].family for n in words[rows, 1].tolist()]
        name = (*key[:WORDS], shape.tobytes(), *key[WORDS + 1 :])
        family = o.families.get(name)
        if family is None:
            family = o.families[name] = Family(len(o.families), constants)
            trace = None
        else:
            callees = [o.done[n].template(n) for n in expanded]
            for template, done in family.templates:
                stands = dict(zip(done.others, others, strict=True))
                filled = template.fill(constants, callees)
                if (
                    filled is not None
                    and all(self.stands.get(n, c) == c for n, c in stands.items())
                    and self.facts.same(asked := filled.asked())
                ):
                    self.stands.update(stands)
                    return replace(done, words=filled.words(), asked=asked, code=None, filled=filled)
            family.vary |= {n for n, (x, y) in enumerate(zip(constants, family.first, strict=True)) if x != y}
            trace = Trace() if len(family.templates) < family.most else None
        new = [self.number(self.t.functions[c]) for c in others]
        self.stands.update(zip(new, others, strict=True))
        words[rows, 1] = [n if n >= 0 else new[-1 - n] for n in words[rows, 1].tolist()]
        once = {self.numbers[c] for c in calls if self.once[c]}
        if trace is not None:
            traced = self.traced(
                trace, family, f, words, spans, np.argwhere(CONSTANTS[kind]).tolist(), expanded, once, new
            )
            if traced is not None:
                return traced
        self.facts.asked = {}
        code = split(f, words.tolist(), spans, self.facts)
        self.passes(code, once, {})
        return finished(code, new, family.number)

    def traced(
        self,
        trace: Trace,
        family: Family,
        f: Function,
        words: np.ndarray,
        spans: list[Any],
        places: list[list[int]],
        expanded: list[int],
        once: set[int],
        others: list[int],
    ) -> Done | None:
        """The function optimised, and a template made of it; None if that takes too long."""
        o, facts = self.o, self.facts
        vary = sorted(family.vary)
        table = words.tolist()
        constants = [table[row][column] for row, column in places]
        for n in vary:
            row, column = places[n]
            table[row][column] = trace.input(constants[n])
        filled = {n: o.done[n].filled for n in expanded}
        inputs = {n: [trace.input(x) for x in d.inputs] for n, d in filled.items() if d is not None}
        facts.asked, facts.trace = {}, trace
        try:
            bodies = {
                n: d.template.body(d.template.trace.within(inputs[n])) for n, d in filled.items() if d is not None
            }
            code = split(f, table, spans, facts)
            self.passes(code, once, bodies)
            done = finished(code, others, family.number)
        except TooLong:
            family.most = 0
            return None
        finally:
            facts.trace = None
        trace.close()
        callees = [o.done[n].template(n) for n in expanded]
        asked = [(a, b, constant, answer) for (a, b, constant), answer in done.asked.items()]
        assert done.code is not None
        named = [c for c, _ in callees]
        template = Template(trace, tuple(vary), constants, named, done.code, done.holes, done.words, asked)
        own = template.fill(constants, callees)
        assert own is not None, f"{f.name}: asked again, other answers"
        done.asked, done.code, done.filled = own.asked(), None, own
        if any(n in o.done for n, _ in done.calls):
            done.code, done.filled = own.body(), None  # it calls what others of the family would not
        else:
            family.templates.append((template, done))
        return done

    def inlines(self, i: int) -> bool:
        """Is function i inlined where it is called? Of functions that call each other in a circle, each is inlined in those
        that are optimised after it."""
        if self.numbers[i] < 0:
            return False
        done = self.o.done[self.numbers[i]]
        limit = inline.ONCE if self.once[i] else inline.SMALL
        return "inline" in self.o.passes and not done.noinline and done.size <= limit

    def number(self, f: Function) -> int:
        self.o.params.append(f.params)
        self.o.results.append(f.results)
        return len(self.o.params) - 1

    def passes(self, code: Code, once: set[int], bodies: dict[int, Code]) -> None:
        """`bodies`: of functions that have symbols in them."""
        on, check = self.o.passes, self.o.check

        def body(number: int) -> Code | None:
            done = self.o.done.get(number)
            return None if done is None or done.noinline else bodies.get(number) or done.body()

        def step(name: str, run: Callable[[Code], Any]) -> bool:
            if name not in on and name != "webs":
                return False
            changed = bool(run(code))
            if name == "moves" and code.shape is not None:
                code.shape.other_instructions()
            elif changed or name not in TELL:
                code.shape = None
            if check is not None:
                check(name, code)
            return changed

        def tidy() -> None:
            step("webs", webs.run)
            step("values", values.run)
            step("overwritten", stores.overwritten)
            step("branches", branches.run)
            step("dead", dead.run)

        step("inline", lambda c: inline.run(c, body, lambda n: inline.ONCE if n in once else inline.SMALL))
        webs.isolate(code)
        tidy()
        if Shape.of(code).found:
            for _ in range(ROUNDS):
                step("moves", dead.moves)  # i = i + 1 is one instruction
                changed = step("evaluate", loops.evaluate)
                changed |= step("unroll", loops.unroll)
                if not changed:
                    break
                tidy()
            changed = step("rotate", loops.rotate)
            changed |= step("invariants", invariants.run)
            if changed:
                step("branches", branches.run)
                tidy()
            changed = step("promote", stores.promote)
            changed |= step("unroll", loops.unroll_left)
            if changed:
                tidy()
        step("arms", branches.arms)
        step("moves", dead.moves)
        registers.run(code)
        if check is not None:
            check("registers", code)
        step("branches", branches.run)

    def assemble(self) -> TileProgram:
        t, o = self.t, self.o
        index: dict[int, int] = {}
        for i, number in enumerate(self.numbers):
            index.setdefault(number, i)

        def function(number: int) -> int:
            found = self.stands.get(number)
            return index[number] if found is None else found

        def calls(i: int) -> list[tuple[int, int]]:
            return [(c if c < 0 else function(c), base) for c, base in o.done[self.numbers[i]].calls]

        called: set[int] = set()
        todo = list(self.kept) or list(range(len(t.functions)))
        while todo:
            i = todo.pop()
            if i not in called:
                called.add(i)
                todo.extend(c for c, _ in calls(i) if c >= 0)
        keep = list(range(len(t.functions))) if any(f.pointed for f in t.functions) else sorted(called)
        renumber = np.full(len(t.functions), -1, np.int32)
        renumber[keep] = np.arange(len(keep))
        own = [(op, column, {number: k for k, number in enumerate(numbers)}) for op, column, numbers in self.rows]
        code: list[np.ndarray] = []
        spans: list[Any] = []
        functions: list[Function] = []
        frames: list[InlineFrame] = []
        inlined: list[np.ndarray] = []
        entry = 0
        for i in keep:
            done, f = o.done[self.numbers[i]], t.functions[i]
            if i not in called:  # only its number is needed, for those that have one in a pointer
                code.append(np.array([[RET, 0, 0, 0]], np.int32))
                spans.append(None)
                inlined.append(np.full(1, -1, np.int32))
                functions.append(replace(f, entry=entry))
                entry += 1
                continue
            words = done.words.copy()
            kind = words[:, 0] & 0xFF
            words[kind == JMP, 1] += entry
            words[(kind == JZ) | (kind == JNZ), 2] += entry
            for op, column, place in own:
                rows = np.flatnonzero((kind == op) & (words[:, column] >= 0))
                if len(rows):
                    words[rows, column] = [place[n] for n in words[rows, column].tolist()]
            rows = np.flatnonzero(kind == CALL)
            if len(rows):
                targets = words[rows, 1].tolist()
                words[rows, 1] = renumber[[function(c) for c in targets]]
            code.append(words)
            spans.extend(done.spans)
            inlined.append(np.where(done.inlined < 0, -1, done.inlined + len(frames)).astype(np.int32))
            first = len(frames)
            frames.extend(
                InlineFrame(g.name, g.caller if g.caller < 0 else g.caller + first, g.span) for g in done.frames
            )
            functions.append(replace(f, entry=entry, frame=done.frame))
            entry += len(words)
        return replace(
            t,
            code=np.concatenate(code).astype(np.int32) if code else t.code,
            spans=spans,
            functions=functions,
            inline_frames=frames,
            inlined=np.concatenate(inlined) if inlined else np.zeros(0, np.int32),
            tasks=[replace(b, function=int(renumber[b.function])) for b in t.tasks],
            exports={
                n: replace(e, function=int(renumber[e.function])) if e.kind == "fn" else e for n, e in t.exports.items()
            },
            stack_registers=t.stack_registers if t.recursive else self.stack_size(calls),
        )

    def stack_size(self, calls: Callable[[int], list[tuple[int, int]]]) -> int:
        """Registers the deepest chain of calls needs."""
        need: dict[int, int] = {}
        pointed = [i for i, f in enumerate(self.t.functions) if f.pointed]
        busy: set[int] = set()

        def visit(i: int) -> int:
            if i in need or i in busy:
                return need.get(i, 0)
            busy.add(i)
            size = self.o.done[self.numbers[i]].frame
            for callee, base in calls(i):
                for c in [callee] if callee >= 0 else pointed:
                    size = max(size, base + visit(c))
            busy.discard(i)
            need[i] = size
            return size

        return max((visit(i) for i in range(len(self.t.functions))), default=1) + 2


def finished(code: Code, others: list[int], family: int) -> Done:
    words, where = join(code)
    holes: list[tuple[int, int, int]] = []
    if code.facts.trace is not None:
        for row, word in enumerate(words):
            for column in (2, 3):
                if type(word[column]) is Symbol:
                    holes.append((row, column, word[column].place))
                    word[column] = word[column].value
    used: dict[int, int] = {}
    for _, frame in where:
        while frame >= 0 and frame not in used:
            used[frame] = 0
            frame = code.frames[frame].caller
    for n, old in enumerate(sorted(used)):
        used[old] = n
    # frames of which nothing is left are forgotten
    code.frames = [f._replace(caller=used.get(f.caller, -1)) for k, f in enumerate(code.frames) if k in used]
    for i in code.instructions():
        i.at = (i.at[0], used.get(i.at[1], -1))
    calls = [(i.a if i.op == CALL else -1, i.b) for i in code.instructions() if i.op in (CALL, CALLR)]
    table = np.array(words, np.int32).reshape(-1, 4)
    inlined = np.array([used.get(k, -1) for _, k in where], np.int32)
    return Done(
        table,
        [s for s, _ in where],
        inlined,
        code.frames,
        code.frame,
        calls,
        code.facts.asked,
        code.size(),
        others,
        code.noinline,
        family,
        holes,
        code,
    )


def bottom_up(calls: list[list[int]]) -> list[int]:
    """Functions, each after those it calls."""
    out: list[int] = []
    seen: set[int] = set()
    for root in range(len(calls)):
        stack = [(root, iter(calls[root]))] if root not in seen else []
        seen.add(root)
        while stack:
            i, rest = stack[-1]
            for c in rest:
                if c not in seen:
                    seen.add(c)
                    stack.append((c, iter(calls[c])))
                    break
            else:
                out.append(i)
                stack.pop()
    return out


__all__ = ["PASSES", "Optimiser", "optimise"]
