"""Where a request runs: the worker and the rectangle where it can start first, perhaps after running requests have moved.

Nothing here waits or measures: time comes in as a number, and decisions go out. The server and the simulation call the same.

A worker is a wafer with a host. An *instance* is a model's rectangle on a wafer; it serves one request at a time, and stays
loaded until its place is wanted. An image is on a worker's disk, in its host's memory, or remote only. As in ServerlessLLM
(OSDI'24, section 6), with rectangles in the place of GPUs:

- loading is estimated as q + n / b: the loads that wait on the worker, the image's bytes, the bandwidth of its tier; and what a model's
  fabric takes to be set up, wherever the image is;
- resuming a moved request is a tokens + b: it is computed anew by the target while it goes on at the source; or c tokens + d, when its
  keys and values are carried there. The way that is sooner is taken;
- waiting for a running request to end is estimated by the mean time that requests have taken. On GPUs that is long beside a load; on
  wafers, which generate a thousand tokens a second and hold tens of gigabytes, it often is not, and loading then makes things worse;
- moving is chosen when it lets the new request start sooner. Which requests go where is a dynamic program over the targets
  (`_assign`). A wafer whose free PEs are in pieces is put in order by the same means: the target may be the same wafer.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum
from itertools import combinations
from typing import Any

import numpy as np

from . import packing
from .packing import Rectangle

PLANS = 4  # workers on which moving is thought through for a request: those with the least loading time
WINDOWS = 4  # places on each of them
VICTIMS = 3  # requests that move for one place, at most
TARGETS = 3  # workers without an idle instance that are looked at for a request that moves


class Tier(IntEnum):
    MEMORY = 0
    DISK = 1
    REMOTE = 2


@dataclass(frozen=True)
class Model:
    """width, height: PEs of the rectangle. size: bytes of the image. decode: seconds a token. resume: (a, b), seconds to compute
    n tokens anew are a n + b. carry: (c, d), seconds to move their keys and values are c n + d; None: they cannot be moved.
    setup: seconds of a load beside its bytes'."""

    name: str
    width: int
    height: int
    size: int
    decode: float
    resume: tuple[float, float]
    carry: tuple[float, float] | None = None
    setup: float = 0.0

    @property
    def shape(self) -> tuple[int, int]:
        return self.width, self.height

    def slower(self, factor: float) -> Model:
        a, b = self.resume
        return replace(self, decode=self.decode * factor, resume=(a * factor, b * factor))

    def resuming(self, tokens: float) -> float:
        return self.resume[0] * tokens + self.resume[1]

    def carrying(self, tokens: float) -> float:
        """Infinite where keys and values cannot be moved."""
        return math.inf if self.carry is None else self.carry[0] * tokens + self.carry[1]

    def way(self, tokens: float) -> str:
        """How a request of so many tokens moves: by "keys" and values, or by "tokens", whichever is sooner."""
        return "keys" if self.carrying(tokens) < self.resuming(tokens) else "tokens"

    def moving(self, tokens: float) -> float:
        return min(self.resuming(tokens), self.carrying(tokens))


@dataclass(frozen=True)
class Wafer:
    """A worker: PEs, bytes of images that its host's memory and disk hold, bytes a second of each tier."""

    width: int
    height: int
    memory: int
    disk: int
    bandwidth: tuple[float, float, float]  # by Tier; from memory, disk, remote into the fabric


@dataclass
class Instance:
    """state: "waiting" (others are moving out), "loading", "idle", "running", "moving" (runs, and is on its way elsewhere).

    tokens: of the running request's context when `began`, the time from which it adds one every `model.decode` seconds.
    """

    number: int
    model: int
    worker: int
    place: Rectangle
    state: str = "loading"
    request: Any = None
    tokens: float = 0
    began: float = 0.0
    used: float = 0.0  # when it was last given a request or became idle
    since: float = 0.0  # when its request began to run, here or where it has come from


@dataclass
class Move:
    """A running request leaves `source` for `target`, which is loaded first unless it was idle. ready: when the target will be
    loaded, done: when the request will have been handed over, by the estimate."""

    source: Instance
    target: Instance
    loaded: bool
    ready: float
    done: float


@dataclass
class Placement:
    """A request's instance. start: seconds until it can begin, by the estimate. tier: where the image comes from (None: it is loaded).
    evicted: instances that are gone. moves: what has to happen before it may be loaded."""

    instance: Instance
    start: float
    tier: Tier | None
    evicted: list[Instance] = field(default_factory=list)
    moves: list[Move] = field(default_factory=list)


@dataclass(frozen=True)
class Policy:
    """estimate: the least q + n / b; locality: the least n / b, busy or not; random: any worker with room. moves: running requests
    may move."""

    choose: str = "estimate"
    moves: bool = True


POLICIES = {
    "random": Policy("random", moves=False),
    "locality": Policy("locality", moves=False),
    "no-moves": Policy("estimate", moves=False),
    "moves": Policy("estimate", moves=True),
}


class _Images:
    """Which images a tier of one worker holds, the least recently used first to go."""

    def __init__(self, capacity: int):
        self.capacity, self.used = capacity, 0
        self.sizes: OrderedDict[int, int] = OrderedDict()

    def add(self, model: int, size: int) -> list[int]:
        """Returns what had to go. One that does not fit at all is not kept."""
        if model in self.sizes:
            self.sizes.move_to_end(model)
            return []
        if size > self.capacity:
            return []
        gone = []
        while self.used + size > self.capacity:
            other, freed = self.sizes.popitem(last=False)
            self.used -= freed
            gone.append(other)
        self.sizes[model] = size
        self.used += size
        return gone


class Scheduler:
    """The state of a cluster as its controller knows it, and the choice. All times in seconds, from any zero."""

    def __init__(self, models: Sequence[Model], wafers: Sequence[Wafer], policy: Policy | None = None, seed: int = 0):
        self.models, self.wafers, self.policy = list(models), list(wafers), policy or Policy()
        self.random = np.random.default_rng(seed)
        self.instances: list[dict[int, Instance]] = [{} for _ in self.wafers]  # by worker, then number
        self.idle: list[dict[int, Instance]] = [{} for _ in self.models]  # by model; the one used last at the end
        self.alive = np.ones(len(self.wafers), bool)
        self.queue_end = np.zeros(len(self.wafers))  # when the loads that a worker has to do will be done
        self._inverse = np.array([[1 / b for b in w.bandwidth] for w in self.wafers])  # [worker, tier]
        self._tier = np.full((len(self.models), len(self.wafers)), Tier.REMOTE, np.int8)
        self._memory = [_Images(w.memory) for w in self.wafers]
        self._disk = [_Images(w.disk) for w in self.wafers]
        self._shapes = {shape: i for i, shape in enumerate(dict.fromkeys(m.shape for m in self.models))}
        self._fits = np.zeros((len(self._shapes), len(self.wafers)), bool)
        self._stale = set(range(len(self.wafers)))  # workers whose `_fits` is out of date
        self._rows = np.arange(len(self.wafers))
        self.service = np.full(
            len(self.models), math.inf
        )  # mean seconds that a model's requests run; inf: not known yet
        self.any_service = math.inf
        self._copies = np.zeros(len(self.models), int)  # instances of a model that are not idle
        self.no_room = (
            False  # why `place` gave None last: nobody can have such a rectangle, rather than waiting is better
        )
        self._numbers = 0

    # ------------------------------------------------------------ what is where

    def tier(self, model: int, worker: int) -> Tier:
        return Tier(int(self._tier[model, worker]))

    def keep(self, model: int, worker: int, memory: bool = True) -> None:
        """The image is on a worker's disk now, and in its host's memory, by its way there (workers that say so: `found`)."""
        size = self.models[model].size
        for images, wanted in ((self._disk[worker], True), (self._memory[worker], memory)):
            if wanted:
                for other in (*images.add(model, size), model):
                    self._set_tier(other, worker)

    def _set_tier(self, model: int, worker: int) -> None:
        held = model in self._memory[worker].sizes, model in self._disk[worker].sizes
        self._tier[model, worker] = Tier.MEMORY if held[0] else Tier.DISK if held[1] else Tier.REMOTE

    def observe(self, worker: int, tier: Tier, size: int, seconds: float, weight: float = 0.3) -> None:
        """Bytes of an image took so long: the estimate of the bandwidth follows."""
        if size > 0 and seconds > 0:
            old = self._inverse[worker, tier]
            self._inverse[worker, tier] = old + weight * (seconds / size - old)

    def found(self, model: int, worker: int, tier: Tier) -> None:
        """A worker says where it has an image."""
        self._tier[model, worker] = tier

    def loading(self, model: int, worker: int) -> float:
        """Seconds that a load takes, once it is its turn: n / b, and to set up."""
        kind = self.models[model]
        return float(kind.setup + kind.size * self._inverse[worker, self._tier[model, worker]])

    def _transfer(self, model: int) -> np.ndarray:
        """`loading` on each worker."""
        kind = self.models[model]
        return np.asarray(kind.setup + kind.size * self._inverse[self._rows, self._tier[model]])

    def lose(self, worker: int) -> list[Instance]:
        """A worker is gone, with what its memory and disk held. Returns the instances that were on it."""
        self.alive[worker] = False
        lost = list(self.instances[worker].values())
        for instance in lost:
            self._drop(instance)
        self._memory[worker], self._disk[worker] = (
            _Images(n) for n in (self.wafers[worker].memory, self.wafers[worker].disk)
        )
        self._tier[:, worker] = Tier.REMOTE
        return lost

    def join(self, worker: int, now: float) -> None:
        """A worker that was lost is there again, empty."""
        self.alive[worker] = True
        self.queue_end[worker] = now
        self._stale.add(worker)

    # ------------------------------------------------------------ what happens

    def place(
        self, model: int, request: Any, now: float, ahead: int = 0, waiting: int = 0, first: bool = True
    ) -> Placement | None:
        """Give a request its instance. None: it has to wait until something changes, because there is no room, or because what
        runs now will have ended before a load has. ahead: requests that wait for the same model before it; waiting: that wait
        for any; first: it is the one that others may move for (or a long queue would have everybody think about moving)."""
        idle = self._warm(model)
        if idle is not None:
            self.start(idle, request, now)
            return Placement(idle, 0.0, None)
        self._refresh()
        room = self._fits[self._shapes[self.models[model].shape]] & self.alive
        transfer = self._transfer(model)
        queued = np.maximum(self.queue_end - now, 0.0)
        worker = self._choose(room, transfer, queued)
        start = math.inf if worker is None else float(transfer[worker] + queued[worker])
        limit = min(start, self._waiting(model, room, transfer, queued, ahead, waiting))
        if self.policy.moves and first:
            moved = self._moving(model, request, now, room, transfer + queued, limit)
            if moved is not None:
                return moved
        self.no_room = worker is None
        if worker is None or limit < start:
            return None
        return self._load(model, worker, request, now, start)

    def _waiting(
        self, model: int, room: np.ndarray, transfer: np.ndarray, queued: np.ndarray, ahead: int, waiting: int
    ) -> float:
        """Seconds until a request would begin that waits for an instance of its model, or for a place on a worker without one."""
        if self.policy.choose != "estimate":
            return math.inf
        copies, running = int(self._copies[model]), int(self._copies.sum())
        same = self.service[model] * (ahead + 1) / copies if copies else math.inf
        full = self.alive & ~room
        if not full.any() or not running:
            return same
        free = self.any_service * (1 + waiting / running)
        return min(same, float((transfer + np.maximum(queued, free))[full].min()))

    def _warm(self, model: int) -> Instance | None:
        idle = self.idle[model]
        if not idle:
            return None
        if self.policy.choose == "random":  # it knows of nothing: a warm instance is chance
            worker = int(self.random.integers(len(self.wafers)))
            return next((i for i in idle.values() if i.worker == worker), None)
        return idle[next(reversed(idle))]

    def _choose(self, room: np.ndarray, transfer: np.ndarray, waiting: np.ndarray) -> int | None:
        if self.policy.choose == "locality":
            nearest = self.alive & (transfer <= transfer[self.alive].min(initial=math.inf) * (1 + 1e-9))
            room = room & nearest
        if not room.any():
            return None
        if self.policy.choose == "random":
            return int(self.random.choice(np.flatnonzero(room)))
        cost = waiting if self.policy.choose == "locality" else transfer + waiting
        return int(np.argmin(np.where(room, cost, math.inf)))

    def start(self, instance: Instance, request: Any, now: float, tokens: float = 0) -> None:
        """An instance that is idle or loaded gets a request."""
        if self.idle[instance.model].pop(instance.number, None) is not None:
            self._copies[instance.model] += 1
        instance.state, instance.request, instance.used = "running", request, now
        instance.tokens, instance.began, instance.since = tokens, now, now
        self._stale.add(instance.worker)

    def loaded(self, instance: Instance, now: float) -> None:
        """Its image is on the fabric. If that was the last load of its worker, nothing waits there any more, whatever was expected."""
        self._load_ended(instance, now)
        if instance.request is None:
            self.finish(instance, now)
        else:
            self.start(instance, instance.request, now)

    def finish(self, instance: Instance, now: float) -> None:
        """Its request is done, or has gone elsewhere: the instance is idle."""
        self._served(instance, now)
        self._copies[instance.model] -= 1
        instance.state, instance.request, instance.used = "idle", None, now
        self.idle[instance.model][instance.number] = instance
        self._stale.add(instance.worker)

    def _served(self, instance: Instance, now: float) -> None:
        if instance.state in ("running", "moving"):
            took = now - instance.since
            self.service[instance.model] = _mean(float(self.service[instance.model]), took)
            self.any_service = _mean(self.any_service, took)

    def free(self, instance: Instance, now: float) -> None:
        """Its place is free: its request has ended, or its load has failed."""
        self._served(instance, now)
        if instance.state == "loading":
            self._load_ended(instance, now)
        self._drop(instance)

    def _load_ended(self, instance: Instance, now: float) -> None:
        worker = instance.worker
        if not any(i.state == "loading" for i in self.instances[worker].values() if i is not instance):
            self.queue_end[worker] = min(self.queue_end[worker], now)

    def begin_loading(self, placement: Placement, now: float) -> float:
        """The place is free at last: when it will be loaded, by the estimate."""
        instance = placement.instance
        instance.state = "loading"
        placement.tier = self.tier(instance.model, instance.worker)
        return self._enqueue(instance.model, instance.worker, now)

    def hand_over(self, move: Move, now: float, tokens: float) -> None:
        """The request runs on the target now, with so many tokens; its old place is free."""
        request, since = move.source.request, move.source.since
        self._drop(move.source)
        self.start(move.target, request, now, tokens)
        move.target.since = since

    # ------------------------------------------------------------ loading

    def _load(self, model: int, worker: int, request: Any, now: float, start: float) -> Placement:
        place, evicted = self._room(model, worker)
        tier = self.tier(model, worker)
        instance = self._add(model, worker, place, request, now)
        self._enqueue(model, worker, now)
        return Placement(instance, start, tier, evicted)

    def _room(self, model: int, worker: int) -> tuple[Rectangle, list[Instance]]:
        """A place, and the idle instances that are evicted for it: as few of those used last as will do."""
        mine = self.instances[worker].values()
        idle = sorted((i for i in mine if i.state == "idle"), key=lambda i: i.used)
        busy = [i.place for i in mine if i.state != "idle"]
        for count in range(len(idle) + 1):
            place = self._find(worker, [*busy, *(i.place for i in idle[count:])], self.models[model].shape)
            if place is not None:
                evicted = [i for i in idle[:count] if packing.overlap(i.place, place)]
                for instance in evicted:
                    self._drop(instance)
                return place, evicted
        raise AssertionError("there was room")

    def _find(self, worker: int, taken: Iterable[Rectangle], shape: tuple[int, int]) -> Rectangle | None:
        wafer = self.wafers[worker]
        return packing.find(wafer.width, wafer.height, packing.layout(taken), *shape)

    def _enqueue(self, model: int, worker: int, now: float) -> float:
        end = max(float(self.queue_end[worker]), now) + self.loading(model, worker)
        self.queue_end[worker] = end
        return end

    def _add(
        self, model: int, worker: int, place: Rectangle, request: Any, now: float, state: str = "loading"
    ) -> Instance:
        self._numbers += 1
        instance = Instance(self._numbers, model, worker, place, state, request, used=now)
        self.instances[worker][instance.number] = instance
        self._copies[model] += 1
        self._stale.add(worker)
        return instance

    def _drop(self, instance: Instance) -> None:
        self.instances[instance.worker].pop(instance.number, None)
        if self.idle[instance.model].pop(instance.number, None) is None:
            self._copies[instance.model] -= 1
        self._stale.add(instance.worker)

    def _busy(self, worker: int) -> list[Rectangle]:
        return [i.place for i in self.instances[worker].values() if i.state != "idle"]

    def _refresh(self) -> None:
        for worker in self._stale:
            busy = packing.layout(self._busy(worker))
            wafer = self.wafers[worker]
            for shape, number in self._shapes.items():
                self._fits[number, worker] = packing.find(wafer.width, wafer.height, busy, *shape) is not None
        self._stale.clear()

    # ------------------------------------------------------------ moving

    def tokens(self, instance: Instance, now: float) -> float:
        """Of the running request's context, by the time it has run."""
        return instance.tokens + max(now - instance.began, 0.0) / self.models[instance.model].decode

    def _moving(
        self, model: int, request: Any, now: float, room: np.ndarray, loading: np.ndarray, start: float
    ) -> Placement | None:
        """A placement on a wafer without room, sooner than `start`, after others have moved."""
        able = self.alive & ~room & (loading < start)
        if not able.any():
            return None
        workers = np.flatnonzero(able)
        if len(workers) > PLANS:
            workers = workers[np.argpartition(loading[workers], PLANS)[:PLANS]]
        best: tuple[float, int, Rectangle, list[tuple[Instance, _Target]]] | None = None
        for worker in workers[np.argsort(loading[workers], kind="stable")]:
            limit = start if best is None else best[0]
            load = self.loading(model, int(worker))
            for place, victims in self._windows(int(worker), model):
                if load + max(self.models[v.model].moving(self.tokens(v, now)) for v in victims) >= limit:
                    continue
                found = self._assign(victims, place, int(worker), now)
                if found is None:
                    continue
                done, assigned = found
                queued = max(done, float(self.queue_end[worker]) - now, 0.0)
                total = queued + load
                if total < limit:
                    best, limit = (total, int(worker), place, assigned), total
        if best is None:
            return None
        return self._carry_out(model, request, now, *best)

    def _windows(self, worker: int, model: int) -> list[tuple[Rectangle, list[Instance]]]:
        wafer, shape = self.wafers[worker], self.models[model].shape
        busy = {i.place: i for i in self.instances[worker].values() if i.state != "idle"}
        if shape[0] > wafer.width or shape[1] > wafer.height or any(i.state == "waiting" for i in busy.values()):
            return []  # one place is being made free already: places that overlap would confuse whose turn it is
        out = []
        for place, inside in packing.windows(wafer.width, wafer.height, packing.layout(busy), *shape):
            victims = [busy[r] for r in inside]
            if len(victims) <= VICTIMS and all(v.state == "running" for v in victims):
                out.append((place, victims))
                if len(out) == WINDOWS:
                    break
        return out

    def _assign(
        self, victims: Sequence[Instance], place: Rectangle, worker: int, now: float
    ) -> tuple[float, list[tuple[Instance, _Target]]] | None:
        """Which running request goes where, so that all have gone as soon as possible: seconds until then.

        best[S] for a set S of victims is the least time in which the targets looked at so far can take S; a target takes any
        subset T of it that has room there: best'[S] = min over T of max(best[S - T], time of T on the target).
        """
        targets = dict.fromkeys(t for v in victims for t in self._targets(v, worker, now))
        everyone = frozenset(range(len(victims)))
        subsets = [frozenset(c) for n in range(1, len(victims) + 1) for c in combinations(everyone, n)]
        best: dict[frozenset[int], tuple[float, list[tuple[Instance, _Target]]]] = {frozenset(): (0.0, [])}
        for target in (worker, *targets):  # the same wafer has the least to load, if there is another place on it
            takes = {
                s: self._taking(target, [victims[i] for i in s], place if target == worker else None, now)
                for s in subsets
            }
            after = dict(best)
            for gone, (time, assigned) in best.items():
                for subset, taken in takes.items():
                    if taken is None or gone & subset:
                        continue
                    total = max(time, taken[0])
                    if total < after.get(gone | subset, (math.inf,))[0]:
                        after[gone | subset] = (total, [*assigned, *taken[1]])
            best = after
        return best.get(everyone)

    def _targets(self, victim: Instance, but: int, now: float) -> list[int]:
        """Workers that a request might go to: with an idle instance of its model, or the least loading time."""
        warm = [i.worker for i in list(self.idle[victim.model].values())[-TARGETS:] if i.worker != but]
        room = self._fits[self._shapes[self.models[victim.model].shape]] & self.alive
        cost = np.where(room, self._transfer(victim.model) + np.maximum(self.queue_end - now, 0), math.inf)
        cost[but] = math.inf
        near = np.argpartition(cost, TARGETS)[:TARGETS] if len(cost) > TARGETS else self._rows
        return [*warm, *(int(w) for w in near if cost[w] < math.inf)]

    def _taking(
        self, target: int, victims: Sequence[Instance], reserved: Rectangle | None, now: float
    ) -> tuple[float, list[tuple[Instance, _Target]]] | None:
        """Seconds until a worker has taken over some requests, and where; None if it has no room for all of them. Those that take
        longest to resume are loaded first, which is the best order while loads come one after the other (Jackson's rule)."""
        victims = sorted(victims, key=lambda v: -self.models[v.model].moving(self.tokens(v, now)))
        mine = self.instances[target].values()
        taken = [i.place for i in mine if i.state != "idle"] + ([reserved] if reserved else [])
        end, last = max(float(self.queue_end[target]) - now, 0.0), 0.0
        used: set[int] = set()
        out: list[tuple[Instance, _Target]] = []
        for victim in victims:
            idle = next(
                (
                    i
                    for i in mine
                    if i.state == "idle"
                    and i.model == victim.model
                    and i.number not in used
                    and not any(packing.overlap(i.place, r) for r in taken)
                ),
                None,
            )
            ready = 0.0
            if idle is not None:
                place: Rectangle | None = idle.place
                used.add(idle.number)
            else:
                place = self._find(target, taken, self.models[victim.model].shape)
                end += self.loading(victim.model, target)
                ready = end
            if place is None:
                return None
            taken.append(place)
            last = max(last, ready + self.models[victim.model].moving(self.tokens(victim, now + ready)))
            out.append((victim, _Target(target, place, idle)))
        return last, out

    def _carry_out(
        self,
        model: int,
        request: Any,
        now: float,
        start: float,
        worker: int,
        place: Rectangle,
        assigned: list[tuple[Instance, _Target]],
    ) -> Placement:
        evicted = self._clear(
            worker, place, {v.number for v, _ in assigned} | {t.idle.number for _, t in assigned if t.idle}
        )
        moves = []
        for victim, target in assigned:
            loaded = target.idle is not None
            if target.idle is not None:
                instance, ready = target.idle, now
                self.idle[instance.model].pop(instance.number)
                self._copies[instance.model] += 1
                instance.state = "loading"  # nobody else gets it
                self._stale.add(instance.worker)
            else:
                evicted += self._clear(target.worker, target.place, {v.number for v, _ in assigned})
                instance = self._add(victim.model, target.worker, target.place, None, now)
                ready = self._enqueue(victim.model, target.worker, now)
            victim.state = "moving"
            done = ready + self.models[victim.model].moving(self.tokens(victim, ready))
            moves.append(Move(victim, instance, loaded, ready, done))
        instance = self._add(model, worker, place, request, now, "waiting" if moves else "loading")
        placement = Placement(instance, start, self.tier(model, worker), evicted, moves)
        if not moves:
            self._enqueue(model, worker, now)
        return placement

    def _clear(self, worker: int, place: Rectangle, spared: set[int]) -> list[Instance]:
        """Evict the idle instances in a place."""
        gone = [
            i
            for i in self.instances[worker].values()
            if i.state == "idle" and i.number not in spared and packing.overlap(i.place, place)
        ]
        for instance in gone:
            self._drop(instance)
        return gone


def _mean(old: float, new: float) -> float:
    """A running mean, of about the last ten."""
    return new if old == math.inf else old + 0.1 * (new - old)


@dataclass(frozen=True)
class _Target:
    worker: int
    place: Rectangle
    idle: Instance | None = None
