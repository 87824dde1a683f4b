"""Functions that differ in constants only are optimised once.

The tile programs of a layout have the same functions with other coordinates in them, and all that expands these functions
differs with them. Where a second one comes, its constants are *symbols* while it is optimised: numbers that note what is
computed of them, and what is asked of them. That makes a template: for other constants, if all questions have the same
answers, the code is the same but for the constants in it, which are computed anew. Otherwise the function is optimised.

A symbol is no int: what is not noted here fails, or fixes its value (`__index__`), and is never guessed.
tests/optimise/test_variants.py holds the code of templates against that of each function for itself.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .flow import Block, Code, Ins

MOST_STEPS = 6000  # of a template
MOST_TEMPLATES = 6  # of functions that differ in constants only

Step = tuple[Callable[[Any, Any], Any], int, int, bool | None]  # operation, operands; the answer, if it is a question


class TooLong(Exception):
    """A template would take longer than what it saves."""


class Trace:
    """What is computed of some numbers, and asked of them, in order."""

    def __init__(self) -> None:
        self.values: list[int | None] = []  # inputs and constants; None where a step computes it
        self.inputs = 0
        self.steps: list[Step] = []
        self.apart: list[list[int]] = []  # values that are different from each other
        self.constants: dict[int, int] = {}
        self.known: dict[tuple[Callable[[Any, Any], Any], int, int], Any] = {}

    def input(self, value: int) -> Any:
        assert len(self.values) == self.inputs, "inputs come first"
        self.values.append(value)
        self.inputs += 1
        return Symbol(self, self.inputs - 1, value)

    def place(self, x: Any) -> int:
        if type(x) is Symbol:
            return x.place
        x = int(x)
        found = self.constants.get(x)
        if found is None:
            found = self.constants[x] = len(self.values)
            self.values.append(x)
        return found

    def compute(self, operation: Callable[[Any, Any], Any], a: Any, b: Any) -> Any:
        key = (operation, self.place(a), self.place(b))
        found = self.known.get(key)
        if found is None:
            self.note((*key, None))
            found = self.known[key] = Symbol(self, len(self.values), operation(plain(a), plain(b)))
            self.values.append(None)
        return found

    def ask(self, operation: Callable[[Any, Any], Any], a: Any, b: Any) -> bool:
        key = (operation, self.place(a), self.place(b))
        found = self.known.get(key)
        if found is None:
            found = self.known[key] = bool(operation(plain(a), plain(b)))
            self.note((*key, found))
        return bool(found)

    def note(self, step: Step) -> None:
        if len(self.steps) >= MOST_STEPS:
            raise TooLong
        self.steps.append(step)

    def differ(self, keys: Iterable[Any]) -> None:
        """These were told apart by being keys of one dictionary."""
        places = [self.place(x) for x in keys]
        if any(self.values[p] is None or p < self.inputs for p in places):
            self.apart.append(places)

    def again(self, inputs: Sequence[int]) -> list[int] | None:
        """All values for other inputs, or None if a question has another answer."""
        values = self._computed_of(inputs, True)
        if values is not None and any(len({values[p] for p in places}) != len(places) for places in self.apart):
            return None
        return values

    def within(self, inputs: Sequence[Any]) -> list[Any]:
        """All values for symbols of another trace. Its questions are known to have the same answers."""
        values = self._computed_of(inputs, False)
        assert values is not None
        return values

    def _computed_of(self, inputs: Sequence[Any], asking: bool) -> list[Any] | None:
        """The values of all steps; `asking`: None if a question has another answer."""
        values: list[Any] = [*inputs, *self.values[self.inputs :]]
        at = self.computed
        n = 0
        for operation, a, b, answer in self.steps:
            if answer is None:
                values[at[n]] = operation(values[a], values[b])
                n += 1
            elif asking and operation(values[a], values[b]) is not answer:
                return None
        return values

    def close(self) -> None:
        self.computed = [n for n, v in enumerate(self.values) if v is None]


def plain(x: Any) -> Any:
    return x.value if type(x) is Symbol else x


class Symbol:
    """A number of a trace. Its operators compute and ask there."""

    __slots__ = ("trace", "place", "value")

    def __init__(self, trace: Trace, place: int, value: int):
        self.trace, self.place, self.value = trace, place, value

    def __index__(self) -> int:
        self.trace.ask(operator.eq, self, self.value)
        return self.value

    __int__ = __index__

    def __hash__(self) -> int:
        return hash(self.value)

    def __bool__(self) -> bool:
        return self.trace.ask(operator.ne, self, 0)

    def __eq__(self, other: object) -> bool:
        if other is None:
            return False
        return self is other or self.trace.ask(operator.eq, self, other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __lt__(self, other: Any) -> bool:
        return self.trace.ask(operator.lt, self, other)

    def __le__(self, other: Any) -> bool:
        return self.trace.ask(operator.le, self, other)

    def __gt__(self, other: Any) -> bool:
        return self.trace.ask(operator.gt, self, other)

    def __ge__(self, other: Any) -> bool:
        return self.trace.ask(operator.ge, self, other)

    def __add__(self, other: Any) -> Any:
        return self.trace.compute(operator.add, self, other)

    def __radd__(self, other: Any) -> Any:
        return self.trace.compute(operator.add, other, self)

    def __sub__(self, other: Any) -> Any:
        return self.trace.compute(operator.sub, self, other)

    def __rsub__(self, other: Any) -> Any:
        return self.trace.compute(operator.sub, other, self)

    def __mul__(self, other: Any) -> Any:
        return self.trace.compute(operator.mul, self, other)

    def __rmul__(self, other: Any) -> Any:
        return self.trace.compute(operator.mul, other, self)

    def __floordiv__(self, other: Any) -> Any:
        return self.trace.compute(operator.floordiv, self, other)

    def __rfloordiv__(self, other: Any) -> Any:
        return self.trace.compute(operator.floordiv, other, self)

    def __and__(self, other: Any) -> Any:
        return self.trace.compute(operator.and_, self, other)

    def __rand__(self, other: Any) -> Any:
        return self.trace.compute(operator.and_, other, self)

    def __or__(self, other: Any) -> Any:
        return self.trace.compute(operator.or_, self, other)

    def __ror__(self, other: Any) -> Any:
        return self.trace.compute(operator.or_, other, self)

    def __xor__(self, other: Any) -> Any:
        return self.trace.compute(operator.xor, self, other)

    def __rxor__(self, other: Any) -> Any:
        return self.trace.compute(operator.xor, other, self)

    def __lshift__(self, other: Any) -> Any:
        return self.trace.compute(operator.lshift, self, other)

    def __rlshift__(self, other: Any) -> Any:
        return self.trace.compute(operator.lshift, other, self)

    def __rshift__(self, other: Any) -> Any:
        return self.trace.compute(operator.rshift, self, other)

    def __rrshift__(self, other: Any) -> Any:
        return self.trace.compute(operator.rshift, other, self)

    def __neg__(self) -> Any:
        return 0 - self

    def __invert__(self) -> Any:
        return -1 - self

    def __abs__(self) -> Any:
        return -self if self < 0 else self

    def bit_length(self) -> int:
        return int(self).bit_length()

    def bit_count(self) -> int:
        return int(self).bit_count()


# ---------------------------------------------------------------- templates


@dataclass(eq=False)
class Template:
    """Of functions that differ in constants only."""

    trace: Trace
    vary: tuple[int, ...]  # which of the function's own constants are inputs; those of expanded functions follow
    fixed: list[int]  # the constants; all but those that vary are these
    callees: list[Template | int]  # of expanded functions: their template, or number
    code: Code  # with symbols in it
    holes: list[tuple[int, int, int]]  # (row, column) of the words, and the place of the value
    words: np.ndarray
    asked: list[tuple[Any, Any, bool, int | None]]  # with symbols in it

    def fill(self, constants: list[int], callees: list[tuple[Template | int, tuple[int, ...]]]) -> Filled | None:
        """The function with other constants, if that has the same code."""
        if any(a is not b and a != b for a, (b, _) in zip(self.callees, callees, strict=True)):
            return None
        inputs = []
        k = 0
        for n, (x, y) in enumerate(zip(constants, self.fixed, strict=True)):
            if k < len(self.vary) and self.vary[k] == n:
                inputs.append(x)
                k += 1
            elif x != y:
                return None
        for _, theirs in callees:
            inputs += theirs
        values = self.trace.again(inputs)
        return None if values is None else Filled(self, tuple(inputs), values)

    def body(self, values: Sequence[Any]) -> Code:
        """The code with values for the symbols in it."""
        old = self.code
        twins = {id(b): Block() for b in old.blocks}

        def value(x: Any) -> Any:
            return values[x.place] if type(x) is Symbol else x

        def copied(i: Ins) -> Ins:
            new = i.copy()
            if type(i.b) is Symbol:
                new.b = values[i.b.place]
            if type(i.c) is Symbol:
                new.c = values[i.c.place]
            if i.reach is not None:
                new.reach = (value(i.reach[0]), value(i.reach[1]))
            return new

        for b in old.blocks:
            twin = twins[id(b)]
            twin.ins = [copied(i) for i in b.ins]
            twin.test = None if b.test is None else b.test.copy()
            twin.jump = None if b.jump is None else twins[id(b.jump)]
            twin.next = None if b.next is None else twins[id(b.next)]
        new = Code(
            old.name, old.params, old.results, old.frame, list(twins.values()), old.facts, old.noinline, old.frames
        )
        new.low, new.next, new.undefined, new.windows = old.low, old.next, old.undefined, old.windows
        return new


@dataclass(eq=False)
class Filled:
    """A template with values."""

    template: Template
    inputs: tuple[int, ...]
    values: list[int]

    def words(self) -> np.ndarray:
        words = self.template.words.copy()
        for row, column, place in self.template.holes:
            words[row, column] = self.values[place]
        return words

    def asked(self) -> dict[tuple[int, int, bool], int | None]:
        values = self.values

        def value(x: Any) -> int:
            return values[x.place] if type(x) is Symbol else x

        return {(value(a), value(b), constant): answer for a, b, constant, answer in self.template.asked}

    def body(self) -> Code:
        return self.template.body(self.values)
