"""A cluster of wafers in simulated time: the scheduler that `meshlang serve` uses, with events in the place of workers.

A request arrives, gets an instance (at once, after a load, after others have moved, or when something ends), computes its prompt, and
generates its tokens. Costs are those of `costs.models`: measured cycles and bytes. Events are a heap of (time, number,
function): a request that moves changes its end, which is simpler here than in processes that wait for each other.
"""

from __future__ import annotations

import heapq
import itertools
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .scheduler import Instance, Model, Move, Placement, Policy, Scheduler, Wafer
from .workload import Workload

RETRIES = 16  # models whose requests get another chance when something has changed: those that wait longest
GAP = 16  # tokens that a request may be behind when it is handed over: the pause is their recomputation


@dataclass
class _Request:
    number: int
    arrival: float
    model: int
    context: int
    generated: int
    started: float = -1.0
    end: float = 0.0
    version: int = 0  # of its end: an event of an older one is void


@dataclass
class Outcome:
    """startup [s], one a request: from arrival until its model is loaded and it begins; sources: requests by where the model was
    found (fabric, memory, disk, remote). busy: PE-seconds of requests that run, of those that there are: utilisation."""

    policy: str
    startup: np.ndarray
    sources: dict[str, int]
    moves: int
    moved_tokens: int
    evictions: int
    utilisation: float
    duration: float
    paused: float
    error: float  # of the estimated start of requests that were loaded for, the mean absolute one, s
    seconds: float  # of this process

    def percentiles(self) -> dict[str, float]:
        found = np.percentile(self.startup, [50, 95, 99])
        return {name: float(v) for name, v in zip(("p50", "p95", "p99"), found)}

    def summary(self) -> dict[str, Any]:
        cold = sum(n for name, n in self.sources.items() if name != "fabric")
        return {
            "policy": self.policy, "requests": len(self.startup), **self.percentiles(), "mean": float(self.startup.mean()),
            "cold": cold, "sources": self.sources, "moves": self.moves, "moved_tokens": self.moved_tokens,
            "evictions": self.evictions, "utilisation": self.utilisation, "duration": self.duration, "paused": self.paused,
            "estimate_error": self.error, "seconds": self.seconds,
        }  # fmt: skip


def simulate(
    models: Sequence[Model],
    wafers: Sequence[Wafer],
    work: Workload,
    policy: Policy,
    name: str = "",
    copies: int = 1,
    seed: int = 0,
) -> Outcome:
    """Run until all requests are done. At the beginning each image is on the disks of `copies` workers, and nothing in memory."""
    return _Simulation(models, wafers, work, policy, copies, seed).run(name)


@dataclass
class _Pending:
    """A placement whose place is being made free."""

    placement: Placement
    left: int
    requests: list[_Request] = field(default_factory=list)


class _Simulation:
    def __init__(
        self, models: Sequence[Model], wafers: Sequence[Wafer], work: Workload, policy: Policy, copies: int, seed: int
    ):
        self.scheduler = Scheduler(models, wafers, policy, seed)
        self.models, self.work, self.policy = models, work, policy
        self.events: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self.numbers = itertools.count()
        self.now = 0.0
        self.waiting: dict[int, deque[_Request]] = {}
        self.count = 0  # of those that wait
        self.moving: dict[int, tuple[Move, _Pending]] = {}  # by the source's number
        self.sources: Counter[str] = Counter()
        self.moves = self.moved_tokens = self.evictions = self.done = 0
        self.busy = self.paused = 0.0
        self.errors: list[float] = []
        self.startup = np.zeros(len(work))
        self.pes = sum(w.width * w.height for w in wafers)
        for model in range(len(models)):
            for copy in range(min(copies, len(wafers))):
                self.scheduler.keep(model, (model * copies + copy) % len(wafers), memory=False)

    def run(self, name: str) -> Outcome:
        began = time.perf_counter()
        work = self.work
        arrivals = iter(zip(*(a.tolist() for a in (work.arrival, work.model, work.context, work.generated))))
        self._next(arrivals, 0)
        while self.events:
            self.now, _, what, arguments = heapq.heappop(self.events)
            what(*arguments)
        assert self.done == len(self.work) and not any(self.waiting.values()), "every request ends"
        span = max(self.now, 1e-12)
        return Outcome(
            name, self.startup, {k: self.sources[k] for k in ("fabric", "memory", "disk", "remote")}, self.moves, self.moved_tokens,
            self.evictions, self.busy / (self.pes * span), self.now, self.paused,
            float(np.mean(np.abs(self.errors))) if self.errors else 0.0, time.perf_counter() - began,
        )  # fmt: skip

    def _at(self, when: float, what: Callable[..., None], *arguments: Any) -> None:
        heapq.heappush(self.events, (when, next(self.numbers), what, arguments))

    def _next(self, arrivals: Any, number: int) -> None:
        """The next arrival: one event at a time is in the heap."""
        found = next(arrivals, None)
        if found is not None:
            self._at(found[0], self._arrive, arrivals, _Request(number, *found))

    # ------------------------------------------------------------ requests

    def _arrive(self, arrivals: Any, request: _Request) -> None:
        self._next(arrivals, request.number + 1)
        queue = self.waiting.get(request.model, ())
        if not self._try(request, len(queue), not self.count):
            self.waiting.setdefault(request.model, deque()).append(request)
            self.count += 1

    def _try(self, request: _Request, ahead: int = 0, first: bool = False) -> bool:
        placement = self.scheduler.place(request.model, request, self.now, ahead, self.count, first)
        if placement is None:
            return False
        self.evictions += len(placement.evicted)
        if placement.tier is None:
            self.sources["fabric"] += 1
            self._begin(placement.instance, request)
            return True
        expected = self.now + placement.start
        if not placement.moves:
            self.sources[placement.tier.name.lower()] += 1
            self._at(self._queue_end(placement.instance), self._loaded, placement, expected)
            return True
        pending = _Pending(placement, len(placement.moves))
        for move in placement.moves:
            self.moving[move.source.number] = move, pending
            self._at(max(move.ready, self.now), self._target_ready, move, expected)
        return True

    def _queue_end(self, instance: Instance) -> float:
        return float(self.scheduler.queue_end[instance.worker])

    def _loaded(self, placement: Placement, expected: float) -> None:
        instance = placement.instance
        self.scheduler.keep(instance.model, instance.worker)
        self.scheduler.loaded(instance, self.now)
        self.errors.append(self.now - expected)
        self._begin(instance, instance.request)

    def _begin(self, instance: Instance, request: _Request) -> None:
        model = self.models[request.model]
        request.started = self.now
        self.startup[request.number] = self.now - request.arrival
        prompt = model.resuming(request.context)
        instance.tokens, instance.began = request.context, self.now + prompt
        self._end_at(instance, request, self.now + prompt + request.generated * model.decode)

    def _end_at(self, instance: Instance, request: _Request, end: float) -> None:
        request.version += 1
        request.end = end
        self._at(end, self._finish, instance, request, request.version)

    def _finish(self, instance: Instance, request: _Request, version: int) -> None:
        if version != request.version:
            return
        self.done += 1
        self.busy += (self.now - request.started) * instance.place[2] * instance.place[3]
        if instance.state == "moving":  # it was quicker than its move: the place is free, the target has nothing to do
            move, pending = self.moving.pop(instance.number)
            self.scheduler.free(instance, self.now)
            if self.now >= move.ready:
                self.scheduler.finish(move.target, self.now)
            self._one_gone(pending)
        else:
            self.scheduler.finish(instance, self.now)
        self._retry()

    def _retry(self) -> None:
        """Something has changed: requests that wait get another chance, those whose model is loaded first, then by arrival."""
        if not self.waiting:
            return
        for model in [m for m in self.waiting if self.scheduler.idle[m]]:
            while self.waiting[model] and self.scheduler.idle[model] and self._next_of(model):
                pass
        refused = set()
        oldest = heapq.nsmallest(
            RETRIES, (m for m, q in self.waiting.items() if q), key=lambda m: self.waiting[m][0].number
        )
        for model in oldest:
            shape = self.models[model].shape
            while self.waiting[model] and shape not in refused:
                if not self._next_of(model, model == oldest[0]):
                    # where one rectangle has no place, another of the same shape has none
                    if self.scheduler.no_room and self.policy.choose != "locality":
                        refused.add(shape)
                    break
        self.waiting = {m: q for m, q in self.waiting.items() if q}

    def _next_of(self, model: int, first: bool = False) -> bool:
        if not self._try(self.waiting[model][0], first=first):
            return False
        self.waiting[model].popleft()
        self.count -= 1
        return True

    # ------------------------------------------------------------ moves

    def _target_ready(self, move: Move, expected: float) -> None:
        if not move.loaded:
            self.scheduler.keep(move.target.model, move.target.worker)
        if self.moving.get(move.source.number, (None,))[0] is not move:  # the request has ended meanwhile
            self.scheduler.finish(move.target, self.now)
            self._retry()
            return
        tokens = self.scheduler.tokens(move.source, self.now)
        self._at(self.now + self.models[move.source.model].moving(tokens), self._hand_over, move, expected)

    def _hand_over(self, move: Move, expected: float) -> None:
        if self.moving.get(move.source.number, (None,))[0] is not move:
            return
        _, pending = self.moving.pop(move.source.number)
        request, model = move.source.request, self.models[move.source.model]
        tokens = self.scheduler.tokens(move.source, self.now)
        self.scheduler.hand_over(move, self.now, tokens)
        # keys and values are carried while nobody decodes
        pause = model.moving(tokens) if model.way(tokens) == "keys" else model.resuming(min(GAP, tokens))
        move.target.began = self.now + pause
        self.moves += 1
        self.moved_tokens += int(tokens)
        self.paused += pause
        self._end_at(move.target, request, request.end + pause)
        self._one_gone(pending, expected)

    def _one_gone(self, pending: _Pending, expected: float | None = None) -> None:
        pending.left -= 1
        if pending.left == 0:
            placement = pending.placement
            end = self.scheduler.begin_loading(placement, self.now)
            assert placement.tier is not None
            self.sources[placement.tier.name.lower()] += 1
            self._at(end, self._loaded, placement, expected if expected is not None else end)
        self._retry()
