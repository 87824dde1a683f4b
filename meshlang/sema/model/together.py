"""Loops of a layout, all their rounds at once.

A layout of 700 x 700 PEs calls its builtins millions of times, but does only some tens of different things. So a loop
nest is evaluated as machines that run many threads in step do it: the loop variables are arrays with an element for
each round (`Lanes`), and whatever is computed from them is one, too. One round, the representative, is walked like any
code; wherever the walk needs a plain value or makes a decision (a condition, an index, a key of a table), the rounds
in which that comes out otherwise are put aside. What remains at the end has done the same things, each to its own PE.
Then the first of the rounds put aside is walked, until none is left.

Nothing is changed before all rounds are done. Where that cannot be (a round that needs what another left behind, an
error, a value that is used in a way not known here), `Apart` ends it, and the loop runs round by round as written, so
results, numbering and messages are the same either way; tests compare both.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .values import Cell, Known, Shared

LEAST_OUTER, LEAST_INNER = 16, 4  # rounds from which on it is worth while
MOST_KINDS = 64  # kinds of rounds after which there have to be several of a kind on the average
_LARGEST = 1 << 62


class Apart(Exception):
    """These rounds cannot be done at once. `depth`: the outermost loop of the nest that has to run round by round."""

    def __init__(self, reason: str, depth: int = 0):
        super().__init__(reason)
        self.depth = depth


class Lanes:
    """An integer that differs from round to round: the payload of a Known, in the place of an int.

    `a` has an axis for each loop around, the outermost last, so that values of outer loops fit those of inner ones.
    `most`: no element is larger in magnitude. Used as a plain value, it is the representative's.
    """

    __slots__ = ("space", "a", "most")

    def __init__(self, space: Space, a: np.ndarray, most: int):
        if most > _LARGEST:
            raise Apart("numbers beyond 64 bits")
        self.space, self.a, self.most = space, a, most

    def __index__(self) -> int:
        return self.space.pin(self.a)

    __int__ = __index__

    def __float__(self) -> float:
        return float(self.space.pin(self.a))

    def __bool__(self) -> bool:
        return self.space.decide(self.a != 0)

    def __hash__(self) -> int:
        return hash(self.space.pin(self.a))

    def __str__(self) -> str:
        return str(self.space.pin(self.a))

    def __format__(self, spec: str) -> str:
        return format(self.space.pin(self.a), spec)

    def __repr__(self) -> str:
        return f"Lanes({self.a.shape})"

    def _with(self, other: Any, op: Callable[..., Any], most: Callable[[int, int], int], swapped: bool = False) -> Any:
        b: Any
        if isinstance(other, Lanes):
            b, n = other.a, other.most
        elif isinstance(other, int):
            n = abs(int(other))
            if n > _LARGEST:
                raise Apart("numbers beyond 64 bits")
            b = np.int64(other)
        else:
            return NotImplemented
        bound = most(n, self.most) if swapped else most(self.most, n)
        if bound > _LARGEST:
            raise Apart("numbers beyond 64 bits")
        return Lanes(self.space, op(b, self.a) if swapped else op(self.a, b), bound)

    def __add__(self, other: Any) -> Any:
        return self._with(other, np.add, lambda m, n: m + n)

    def __radd__(self, other: Any) -> Any:
        return self._with(other, np.add, lambda m, n: m + n, True)

    def __sub__(self, other: Any) -> Any:
        return self._with(other, np.subtract, lambda m, n: m + n)

    def __rsub__(self, other: Any) -> Any:
        return self._with(other, np.subtract, lambda m, n: m + n, True)

    def __mul__(self, other: Any) -> Any:
        return self._with(other, np.multiply, lambda m, n: m * n)

    def __rmul__(self, other: Any) -> Any:
        return self._with(other, np.multiply, lambda m, n: m * n, True)

    # the divisor is not 0: who divides asks before, and rounds in which it is are put aside, but still stand here
    def __floordiv__(self, other: Any) -> Any:
        return self._with(other, lambda a, b: a // np.where(b == 0, 1, b), lambda m, n: m + 1)

    def __rfloordiv__(self, other: Any) -> Any:
        return self._with(other, lambda a, b: a // np.where(b == 0, 1, b), lambda m, n: m + 1, True)

    def __mod__(self, other: Any) -> Any:
        return self._with(other, lambda a, b: a % np.where(b == 0, 1, b), lambda m, n: n + 1)

    def __rmod__(self, other: Any) -> Any:
        return self._with(other, lambda a, b: a % np.where(b == 0, 1, b), lambda m, n: n + 1, True)

    def __and__(self, other: Any) -> Any:
        return self._with(other, np.bitwise_and, lambda m, n: _bits(m, n))

    __rand__ = __and__

    def __or__(self, other: Any) -> Any:
        return self._with(other, np.bitwise_or, lambda m, n: _bits(m, n))

    __ror__ = __or__

    def __xor__(self, other: Any) -> Any:
        return self._with(other, np.bitwise_xor, lambda m, n: _bits(m, n))

    __rxor__ = __xor__

    # an amount of a shift is made plain: rounds with another one are another kind
    def __lshift__(self, other: Any) -> Any:
        n = int(other)
        return self._with(1 << n, np.multiply, lambda m, k: m * k) if n < 62 else NotImplemented

    def __rlshift__(self, other: int) -> int:
        return other << int(self)

    def __rshift__(self, other: Any) -> Any:
        return self._with(min(int(other), 63), np.right_shift, lambda m, n: m)

    def __rrshift__(self, other: int) -> int:
        return other >> int(self)

    def __neg__(self) -> Lanes:
        return Lanes(self.space, -self.a, self.most)

    def __invert__(self) -> Lanes:
        return Lanes(self.space, ~self.a, self.most + 1)

    def __abs__(self) -> Lanes:
        return Lanes(self.space, np.abs(self.a), self.most)

    def gather(self, data: Any) -> Any:
        """The elements of an array at these indices: Lanes, the representative's value, or None where it has to be the
        representative's index. An index is inside the array, but for rounds that are put aside."""
        if isinstance(data, list):
            if not data or any(e.__class__ is not int for e in data):
                return None
            data = np.array(data, object)
            data = data.astype(np.int64) if abs(data).max() <= _LARGEST else data
        found = data[np.clip(self.a, 0, len(data) - 1)]
        if found.dtype.kind in "iu" and found.dtype != np.uint64:
            found = found.astype(np.int64)
            return Lanes(self.space, found, int(np.abs(found).max()))
        if found.dtype.kind == "b":
            return self.space.decide(found)
        return None

    def _compare(self, other: Any, op: Callable[..., Any]) -> Any:
        if isinstance(other, Lanes):
            return Truth(self.space, op(self.a, other.a))
        if isinstance(other, float) and math.isfinite(other):
            return Truth(self.space, op(self.a.astype(np.float64), other)) if self.most < 1 << 52 else NotImplemented
        if not isinstance(other, int):
            return NotImplemented
        return Truth(self.space, op(self.a, np.int64(max(min(int(other), 2 * _LARGEST - 1), -2 * _LARGEST))))

    def __lt__(self, other: Any) -> Any:
        return self._compare(other, np.less)

    def __le__(self, other: Any) -> Any:
        return self._compare(other, np.less_equal)

    def __gt__(self, other: Any) -> Any:
        return self._compare(other, np.greater)

    def __ge__(self, other: Any) -> Any:
        return self._compare(other, np.greater_equal)

    def __eq__(self, other: Any) -> Any:
        return self._compare(other, np.equal)

    def __ne__(self, other: Any) -> Any:
        return self._compare(other, np.not_equal)


def _bits(m: int, n: int) -> int:
    """A bound of bitwise operations."""
    return (1 << max(m, n).bit_length()) if max(m, n) else 1


class Truth:
    """A comparison that differs from round to round. Whoever looks decides."""

    __slots__ = ("space", "a")

    def __init__(self, space: Space, a: np.ndarray):
        self.space, self.a = space, a

    def __bool__(self) -> bool:
        return self.space.decide(self.a)

    def __eq__(self, other: Any) -> Any:
        return bool(self) == other

    def __ne__(self, other: Any) -> Any:
        return bool(self) != other

    def __hash__(self) -> int:
        return hash(bool(self))

    def __index__(self) -> int:
        return int(bool(self))


def plain(value: Known) -> Known:
    """A value with the representative's numbers for all that differ: the same object where none does."""
    v = value.v
    if isinstance(v, Lanes):
        return Known(value.ty, int(v))
    if isinstance(v, dict):
        fields = {n: plain(f) for n, f in v.items()}
        return value if all(fields[n] is f for n, f in v.items()) else Known(value.ty, fields)
    data = getattr(v, "data", None)
    if isinstance(data, list):
        items = [plain(e) if isinstance(e, Known) else int(e) if isinstance(e, Lanes) else e for e in data]
        return value if all(a is b for a, b in zip(items, data, strict=True)) else Known(value.ty, type(v)(items))
    return value


@dataclass(eq=False)
class Rounds:
    """Rounds of a kind: a mask for each loop around, outermost first, and one over all of them where that is not enough
    (axes as in Lanes)."""

    masks: list[np.ndarray] = field(default_factory=list)
    all: np.ndarray | None = None

    def first(self) -> tuple[int, ...]:
        """The first of them in order, as the numbers of the rounds of the loops around."""
        if self.all is None:
            return tuple(int(m.argmax()) for m in self.masks)
        whole = self.whole()
        return tuple(int(i) for i in np.unravel_index(int(whole.argmax()), whole.shape))

    def whole(self) -> np.ndarray:
        """One mask over all loops around, outermost first."""
        n = len(self.masks)
        out = np.ones([len(m) for m in self.masks], bool)
        for k, m in enumerate(self.masks):
            out &= m.reshape([-1 if j == k else 1 for j in range(n)])
        return out if self.all is None else out & np.broadcast_to(self.all, out.shape[::-1]).T

    def of(self, a: np.ndarray | np.integer) -> np.ndarray:
        """The elements of a value in these rounds, flat."""
        shape = tuple(len(m) for m in reversed(self.masks))
        a = np.broadcast_to(a, shape)
        if self.all is None:
            return a[np.ix_(*reversed(self.masks))].ravel()
        return a[self.whole().T]


@dataclass(eq=False)
class Effect:
    """A call that changes the layout: `apply(places)` does it, in the order of `key`."""

    table: Any  # what must not be set twice at a place
    x: Any  # Lanes or int: the PE; its place is y * width + x
    y: Any
    width: int
    apply: Callable[[np.ndarray], None]
    rounds: Rounds
    steps: tuple[int, ...]  # which statement of the loops around it was, outermost first

    def key(self) -> tuple[int, ...]:
        return tuple(n for pair in zip(self.rounds.first(), self.steps, strict=True) for n in pair)

    def places(self) -> np.ndarray:
        x, y = (self.rounds.of(v.a if isinstance(v, Lanes) else np.int64(v)) for v in (self.x, self.y))
        return y * self.width + x


class Space:
    """A loop nest that is being evaluated at once."""

    def __init__(self, compiler: Any):
        self.compiler = compiler
        self.sizes: list[int] = []  # rounds of the loops around, outermost first
        self.representative: list[int] = []
        self.rounds = Rounds()  # those that have done the same so far
        self.began: list[int] = []  # Cell.count when the body of each loop around was entered
        self.steps: list[int] = []
        self.effects: list[Effect] = []
        self.kinds: list[Rounds] = []

    # ------------------------------------------------------------ decisions

    def _chosen(self, a: np.ndarray) -> Any:
        last = a.ndim - 1
        return a[tuple(0 if n == 1 else self.representative[last - axis] for axis, n in enumerate(a.shape))]

    def pin(self, a: np.ndarray) -> int:
        """The representative's value; rounds with another one are put aside."""
        value = self._chosen(a)
        self._keep(a == value)
        return int(value)

    def decide(self, a: np.ndarray) -> bool:
        """The representative's truth; rounds with the other one are put aside."""
        value = bool(self._chosen(a))
        self._keep(a if value else ~a)
        return value

    def _keep(self, same: np.ndarray) -> None:
        if same.all():
            return
        varying = [axis for axis, n in enumerate(same.shape) if n > 1]
        if len(varying) == 1:
            k = same.ndim - 1 - varying[0]
            self.rounds.masks[k] = self.rounds.masks[k] & same.ravel()
        else:
            self.rounds.all = same if self.rounds.all is None else self.rounds.all & same

    # ------------------------------------------------------------ loops

    def loop(self, values: np.ndarray, body: Callable[[Lanes, Lanes], bool]) -> None:
        """Walk `body(value, number of the round)` once for each kind of rounds; it returns whether it leaves the loop."""
        depth, n = len(self.sizes), len(values)
        outer = self.rounds
        if depth:
            self.steps[-1] += 1
        self.sizes.append(n)
        self.began.append(Cell.count)
        self.steps.append(0)
        self.representative.append(0)
        chosen = list(self.representative)
        compiler = self.compiler
        caches = compiler.shared, compiler.calls
        shape = (n,) + (1,) * depth
        lanes = Lanes(self, values.reshape(shape), int(np.abs(values).max()))
        number = Lanes(self, np.arange(n).reshape(shape), n)
        left = Rounds([*outer.masks, np.ones(n, bool)], outer.all).whole()
        total, kinds = left.size, 0
        try:
            while True:
                at = int(left.argmax())
                if not left.flat[at]:
                    return
                kinds += 1
                if kinds > MOST_KINDS and kinds * 4 > total - np.count_nonzero(left):
                    raise Apart("nearly every round is of its own kind")
                self.representative[:] = (int(i) for i in np.unravel_index(at, left.shape))
                self.rounds = rounds = Rounds([*outer.masks, np.ones(n, bool)], outer.all)
                self.steps[-1] = 0
                # what is kept for reuse holds in rounds of this kind only
                compiler.shared, compiler.calls = Shared(), Shared()
                inner = len(self.kinds)
                self.kinds.append(rounds)
                if body(lanes, number):
                    raise Apart("a round ends the loop", depth)
                for kind in self.kinds[inner + 1 :]:
                    kind.masks[: depth + 1] = [
                        a & b for a, b in zip(kind.masks[: depth + 1], rounds.masks, strict=True)
                    ]
                    if rounds.all is not None:
                        kind.all = rounds.all if kind.all is None else kind.all & rounds.all
                if rounds.all is None:
                    left[np.ix_(*rounds.masks)] = False
                else:
                    left &= ~rounds.whole()
        finally:
            compiler.shared, compiler.calls = caches
            self.rounds = outer
            self.representative[:] = chosen
            for stack in (self.sizes, self.began, self.steps, self.representative):
                stack.pop()

    @contextlib.contextmanager
    def attempt(self) -> Iterator[None]:
        """Calls of loops that come to nothing leave nothing behind."""
        effects, kinds = len(self.effects), len(self.kinds)
        try:
            yield
        except BaseException:
            del self.effects[effects:], self.kinds[kinds:]
            raise

    # ------------------------------------------------------------ effects

    def assigned(self, cell: Cell | None) -> None:
        """A comptime variable is about to change. One from outside the rounds would carry something from round to round."""
        for depth in range(len(self.began) - 1, -1, -1):
            if cell is None or cell.born <= self.began[depth]:
                raise Apart("a variable from outside the loop changes", depth)
            return

    def effect(self, table: Any, x: Any, y: Any, width: int, apply: Callable[[np.ndarray], None]) -> None:
        """To be done at a PE in each of the present rounds, when all have been walked."""
        self.steps[-1] += 1
        self.effects.append(Effect(table, x, y, width, apply, self.rounds, tuple(self.steps)))

    def apply(self, taken: Callable[[Any], np.ndarray]) -> None:
        """Do everything, in the order in which the loops as written do it. `taken(table)`: which places are set.
        Numbering goes by first use, so only the first places of the kinds have to be in order."""
        where = [(e, e.places()) for e in self.effects]
        seen: dict[Any, np.ndarray] = {}
        for e, places in where:
            table = seen.get(e.table)
            if table is None:
                table = seen[e.table] = taken(e.table).copy()
            before = np.count_nonzero(table)
            table[places] = True
            if np.count_nonzero(table) - before != len(places):
                raise Apart("a place is set twice")
        for e, places in sorted(where, key=lambda pair: pair[0].key()):
            if len(places):
                e.apply(places)
