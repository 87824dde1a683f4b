"""The controller: takes requests, decides with the scheduler where they run, and sees to it that none is lost.

Everything here happens in one asyncio loop, so nothing is locked. A request is a task that gets an instance, has it loaded, and
fetches tokens in small parts; what it has so far is kept here. So when a worker dies its requests go on elsewhere, from their last
token, and a request that moves does so between two parts. Workers are actors of Dask (`worker.WaferHost`), on a LocalCluster or on
a scheduler that is there already.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import sys
import time
import traceback
from collections import deque
from collections.abc import AsyncGenerator, Coroutine, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from meshlang.diag import Diagnostic, MeshlangError
from meshlang.models import llama
from meshlang.models.checkpoint import Checkpoint
from meshlang.models.sampling import Sampling
from meshlang.models.text import Tokenizer

from . import dask_scheduler, worker
from .config import Config, ServedModel
from .extras import needs
from .metrics import Metrics
from .scheduler import POLICIES, Instance, Model, Move, Placement, Scheduler, Tier, Wafer
from .tiers import opened

GAP = 4  # tokens that a moving request may be behind when it is handed over
RETRIES = 8  # workers that a request may lose one after the other without a token between them
PART = 0.1  # seconds of generating between two looks at what has changed
POLL = 0.25  # seconds between two looks at who is there
AGAIN = 15.0  # seconds after which a worker that was lost is taken again, if it is there
ANY = 10**18  # bytes: what is on a worker's disk is said by the worker
LINK = 1e8  # bytes a second between workers, until requests have moved
TIERS = {"host": Tier.MEMORY, "disk": Tier.DISK, "remote": Tier.REMOTE}  # as loaders call them
DEFECT = "internal error; the server's log has more"
JOIN = 60.0  # seconds in which the workers of a scheduler have to be there


class Busy(Exception):
    """The queue is full: the client may try again."""


class Stopping(Exception):
    """The server is being shut down, or has no worker left."""


class Failed(Exception):
    """A request cannot be done: `code` of a diagnostic, message; late: its time is over."""

    def __init__(self, message: str, code: str | None = None, late: bool = False):
        super().__init__(message)
        self.code, self.late = code, late


class _WorkerLost(Exception):
    pass


class _Abandoned(Exception):
    """The place that was to be freed is not."""


@dataclass(eq=False)
class Request:
    """model: its number. prompt, tokens: what came, and what has been generated. switch: it is being moved."""

    number: int
    model: int
    prompt: list[int]
    sampling: Sampling
    most: int
    ends: frozenset[int]
    deadline: float
    arrived: float
    tokens: list[int] = field(default_factory=list)
    cycles: list[int] = field(default_factory=list)
    parts: asyncio.Queue[list[int] | Exception | None] = field(default_factory=asyncio.Queue)
    finished: bool = False
    cancelled: bool = False
    lost: int = 0  # workers, since its last token
    moved: int = 0
    switch: _Switch | None = None
    task: asyncio.Task[None] | None = None

    @property
    def done(self) -> bool:
        return self.finished or self.cancelled

    @property
    def ended(self) -> bool:
        return len(self.tokens) >= self.most or (bool(self.tokens) and self.tokens[-1] in self.ends)


@dataclass(eq=False)
class _Switch:
    """A request is asked to stop between two parts (paused), and told where to go on (target; None: where it is)."""

    paused: asyncio.Event = field(default_factory=asyncio.Event)
    target: asyncio.Future[Instance | None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


@dataclass(eq=False)
class _Slot:
    """A worker, as far as there is a process for it: Dask's address, which a new process has anew."""

    address: str | None = None
    actor: Any = None
    future: Any = None
    lost: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass
class Served:
    """A model with what its folder or image says: the tokens that end texts, and its tokenizer, if there is one. weights: bytes. size: of
    them, those that come through tiers (none of a folder). key_bytes: keys and values of a token; 0: they cannot be moved."""

    spec: ServedModel
    vocabulary: int
    ends: frozenset[int]
    tokenizer: Tokenizer | None
    weights: int
    size: int
    key_bytes: int


def inspect_model(spec: ServedModel, all_of_it: bool = False) -> Served:
    """What can be wrong with a model is found here, before anything runs. all_of_it: the weights of an image, too, which a load checks."""
    if spec.folder is None:
        with opened(spec.path) as image:
            (image.verify if all_of_it else image.verify_program)()
            size = sum(chunk.size for chunk in image.payload())
            keys = _key_bytes(image.placement)
            ends = frozenset(image.header.ends)
            return Served(spec, image.config.vocabulary, ends, image.tokenizer, image.header.end, size, keys)
    checkpoint = Checkpoint(spec.folder)
    place = worker.placement(spec, checkpoint.config)
    tokenizer = Tokenizer.of(spec.folder) if (spec.folder / "tokenizer.json").exists() else None
    weights = place.memory()["weights"] * spec.width * spec.height
    vocabulary = checkpoint.config.vocabulary
    return Served(spec, vocabulary, checkpoint.end_tokens(), tokenizer, weights, 0, _key_bytes(place))


def _key_bytes(place: llama.Placement) -> int:
    """Of a token; 0 if they cannot be moved."""
    config = place.config
    movable = place.batch == 1 and place.shift
    return 2 * config.layers * config.kv_heads * config.head_size * place.dtype.itemsize if movable else 0


class Controller:
    """start, submit and follow requests, close."""

    def __init__(self, config: Config, models: Sequence[Served], scheduler_address: str | None = None):
        self.config, self.models, self.address = config, list(models), scheduler_address
        self.metrics = Metrics([m.spec.name for m in models])
        self.waiting: deque[Request] = deque()
        self.running: set[Request] = set()
        self.stopping = False
        self._numbers = itertools.count(1)
        self._tasks: set[asyncio.Task[Any]] = set()
        self._slots: list[_Slot] = []
        self._cluster: Any = None  # of this machine
        self._gone: dict[str, float] = {}  # addresses of workers that were lost, and when
        # computing times are learned from the first request on; sizes are known
        kinds = [
            Model(
                m.spec.name, m.spec.width, m.spec.height, m.size, 0.02, (0.01, 0.05),
                (m.key_bytes / LINK, 0.05) if m.key_bytes else None, 0.1,
            )
            for m in models
        ]  # fmt: skip
        there = config.workers
        wafer = Wafer(there.width, there.height, there.memory, ANY, there.bandwidth)
        self.scheduler = Scheduler(kinds, [wafer] * there.count, POLICIES[config.policy])

    # ------------------------------------------------------------ beginning and end

    async def start(self) -> None:
        """MS1652 if no scheduler is at the address, MS1662 if its workers do not come, MS1600 without Dask."""
        distributed = needs("distributed", "serve", "meshlang serve")
        if self.address is not None:
            dask_scheduler.look_for(self.address)
        else:
            self._cluster = await distributed.LocalCluster(
                n_workers=self.config.workers.count, threads_per_worker=1, processes=True, asynchronous=True, host="127.0.0.1",
                dashboard_address="127.0.0.1:0", scheduler_kwargs={"dashboard": False}, worker_dashboard_address="127.0.0.1:0", silence_logs=50,
                memory_limit=0,
            )  # fmt: skip
        try:
            await self._connect("10s")
        except (OSError, ValueError) as error:
            raise dask_scheduler.missing(f"no Dask scheduler answers at {self.address}: {error}") from None
        self._slots = [_Slot() for _ in range(self.config.workers.count)]
        for number in range(self.config.workers.count):
            self.scheduler.lose(number)  # until there is a process
        until = time.monotonic() + JOIN
        while await self._look() < self.config.workers.count:
            if time.monotonic() > until:
                there = sum(s.actor is not None for s in self._slots)
                await self.close()
                raise MeshlangError(
                    Diagnostic(
                        "MS1662",
                        f"{there} of {self.config.workers.count} workers are at {self.address or 'this machine'} after {JOIN:.0f} s",
                        help="start more with `dask worker ADDRESS`, or lower workers.count",
                    )
                )
            await asyncio.sleep(POLL)
        self._background(self._watch())

    async def _connect(self, timeout: str) -> None:
        """OSError, if the scheduler does not answer."""
        distributed = needs("distributed", "serve", "meshlang serve")
        target = self._cluster or self.address
        self._client = await distributed.Client(target, asynchronous=True, timeout=timeout, direct_to_workers=True)

    async def finish(self) -> None:
        """What runs gets `grace` seconds to end; then it is told that the server stops. What waits is told at once, but for what has lost
        its worker meanwhile, which runs elsewhere if there is time."""
        self.stopping = True
        for request in list(self.waiting):
            self._fail(request, Stopping("the server stops"))
        self.waiting.clear()
        until = time.monotonic() + self.config.grace
        while (self.running or self.waiting) and time.monotonic() < until:
            await asyncio.sleep(0.02)
        for request in [*self.running, *self.waiting]:
            self._fail(request, Stopping("the server stops"))
        self.waiting.clear()

    async def close(self) -> None:
        """After `finish`: everything ends."""
        self.stopping = True
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._client.close()
        if self._cluster is not None:
            await self._cluster.close()

    def _background(self, what: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(what)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    @property
    def alive(self) -> int:
        return sum(s.actor is not None for s in self._slots)

    # ------------------------------------------------------------ workers

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(POLL)
            try:
                if await self._look() < len(self._slots) and self._cluster is not None:
                    self._replace()
            except OSError:  # the scheduler is gone, and with it all workers; perhaps it comes again
                for number in range(len(self._slots)):
                    self._lose(number)
            except Exception as error:  # Dask's: without this loop nobody would ever notice anything again
                self._note(f"workers cannot be looked for: {type(error).__name__}: {error}")
            now = time.monotonic()
            for request in [r for r in self.waiting if now > r.deadline]:
                self.waiting.remove(request)
                self._fail(request, Failed("the request's time is over", late=True))
            self._pump()

    async def _look(self) -> int:
        """Who is there: lost workers are noticed, new processes take their places. Returns how many there are. OSError, if the
        scheduler does not answer."""
        if self._client.status != "running":
            await self._connect("2s")
        there = (await asyncio.wait_for(self._client.scheduler.identity(), 10))["workers"]
        found = [address for address, info in there.items() if info.get("status") in (None, "running")]
        for number, slot in enumerate(self._slots):
            if slot.address is not None and slot.address not in found:
                self._lose(number)
        known = {s.address for s in self._slots}
        # Dask needs a while to see that a process is gone; one that only seemed to be may come again later
        self._gone = {i: since for i, since in self._gone.items() if time.monotonic() - since < AGAIN}
        fresh = [a for a in found if a not in known and a not in self._gone]
        for number, slot in enumerate(self._slots):
            if slot.address is None and fresh:
                slot = self._slots[number] = _Slot(fresh.pop(0))
                self._background(self._hire(number, slot))
        return self.alive

    def _replace(self) -> None:
        """Dask starts a lost worker's process again, but gives the worker up if that start fails, or if `lost-worker-timeout` after
        a loss it is not there just then, be it for another loss since. Those that Dask has given up are started anew."""
        workers = self._cluster.workers
        for name, nanny in list(workers.items()):
            if nanny.status.name in ("closed", "failed"):
                del workers[name]
        if len(workers) < len(self._slots):
            self._cluster.scale(len(self._slots))

    async def _hire(self, number: int, slot: _Slot) -> None:
        """A process that has come gets its wafer, unless it dies before: then it never answers."""
        slot.future = self._client.submit(
            worker.WaferHost, self.config.workers, actor=True, workers=[slot.address], key=f"wafer-{next(self._numbers)}", pure=False
        )  # fmt: skip
        asked = asyncio.ensure_future(_result(slot.future))
        try:
            ready = await _ends(asked, slot, JOIN)
        except _WorkerLost:
            return
        try:
            if not ready:
                raise TimeoutError(f"no answer for {JOIN:.0f} s")
            slot.actor = asked.result()
        except (Exception, asyncio.CancelledError) as error:  # Dask's
            self._note(f"worker {number} cannot be used: {type(error).__name__}: {error}")
            self._lose(number)
            return
        self.scheduler.join(number, time.monotonic())
        for model, served in enumerate(self.models):  # files are there for every worker
            if isinstance(served.spec.path, Path):
                self.scheduler.found(model, number, Tier.DISK)
        self._background(self._survey(number))

    async def _survey(self, number: int) -> None:
        """What a new worker finds, and its bandwidths."""
        images = [m.spec for m in self.models if m.spec.folder is None]
        if images:
            with contextlib.suppress(_WorkerLost, Failed):
                answer = await self._call(number, "survey", images)
                for tier, bandwidth in answer["bandwidths"].items():
                    self.scheduler.observe(number, TIERS[tier], 1, 1 / bandwidth, weight=1.0)
                self._note_state(number, answer)

    def _note_state(self, number: int, answer: dict[str, Any]) -> None:
        """What a worker says of its tiers."""
        for model, served in enumerate(self.models):
            if (tier := answer["where"].get(served.spec.name)) is not None:
                self.scheduler.found(model, number, TIERS[tier])
        for name, bandwidth in answer["bandwidths"].items():
            self.metrics.bandwidth.labels(str(number), name).set(bandwidth)

    def _lose(self, number: int) -> None:
        slot = self._slots[number]
        if slot.address is None:
            return
        self._slots[number] = _Slot()
        self._gone[slot.address] = time.monotonic()
        self.scheduler.lose(number)
        self.metrics.lost.inc()
        slot.lost.set()
        if slot.future is not None:
            slot.future.release()

    async def _call(self, number: int, method: str, *arguments: Any, deadline: float | None = None) -> dict[str, Any]:
        """Call a worker. _WorkerLost; Failed for a diagnostic, and when it takes longer than the request has."""
        slot = self._slots[number]
        if slot.actor is None:
            raise _WorkerLost

        async def call() -> dict[str, Any]:
            return dict(await getattr(slot.actor, method)(*arguments))

        left = max(deadline - time.monotonic(), 0.0) if deadline is not None else None
        asked = asyncio.ensure_future(call())
        if not await _ends(asked, slot, left):
            raise Failed("the request's time is over", late=True)
        try:
            answer = asked.result()
        except Exception as error:  # Dask's: the process is gone, or the actor in it
            self._note(f"worker {number} is lost: {type(error).__name__}: {error}")
            if self._slots[number] is slot:
                self._lose(number)
            raise _WorkerLost from None
        if "defect" in answer:
            print(answer["defect"], file=sys.stderr)
            raise Failed(DEFECT)
        if "diagnostics" in answer:
            first = answer["diagnostics"][0]
            raise Failed(first["message"], first["code"])
        return answer

    def _note(self, text: str) -> None:
        print(f"meshlang: {text}", file=sys.stderr, flush=True)

    # ------------------------------------------------------------ requests

    def submit(self, model: int, prompt: list[int], sampling: Sampling, most: int, ends: frozenset[int]) -> Request:
        """Busy if more wait than may; Stopping."""
        if self.stopping:
            raise Stopping("the server stops")
        if not self.alive:
            raise Stopping("no worker is there")
        now = time.monotonic()
        request = Request(next(self._numbers), model, prompt, sampling, most, ends, now + self.config.timeout, now)
        self.metrics.requests.labels(self.models[model].spec.name).inc()
        others = any(r.model == model for r in self.waiting)  # none overtakes another of the same model
        if others or not self._try(request, 0, not self.waiting):
            if len(self.waiting) >= self.config.queue:
                self.metrics.refused.inc()
                raise Busy(f"{len(self.waiting)} requests wait already")
            self.waiting.append(request)
        self._gauges()
        return request

    async def parts(self, request: Request) -> AsyncGenerator[list[int], None]:
        """The request's tokens as they come. Failed, Stopping. Leaving the loop early cancels the request."""
        try:
            while (part := await request.parts.get()) is not None:
                if isinstance(part, Exception):
                    raise part
                yield part
        finally:
            self.cancel(request)

    def cancel(self, request: Request) -> None:
        """Nobody wants it any more; where it runs, that is noticed after its next part."""
        if not request.done:
            request.cancelled = True
            self.metrics.outcome("cancelled")
            with contextlib.suppress(ValueError):
                self.waiting.remove(request)

    def _fail(self, request: Request, error: Exception) -> None:
        if not request.done:
            request.finished = True
            self.metrics.outcome("failed")
            request.parts.put_nowait(error)

    def _finish(self, request: Request) -> None:
        if not request.done:
            request.finished = True
            self.metrics.outcome("done")
            request.parts.put_nowait(None)

    def _pump(self) -> None:
        """Something has changed: requests that wait get another chance, those whose model is loaded first, then by arrival."""
        for request in [r for r in self.waiting if self.scheduler.idle[r.model]]:
            if self.scheduler.idle[request.model] and self._try(request, 0, False):
                self.waiting.remove(request)
        refused: set[int] = set()
        for place, request in enumerate(list(self.waiting)):
            if request.model in refused:
                continue
            if self._try(request, 0, place == 0):
                self.waiting.remove(request)
            else:
                refused.add(request.model)
        self._gauges()

    def _try(self, request: Request, ahead: int, first: bool) -> bool:
        placement = self.scheduler.place(request.model, request, time.monotonic(), ahead, len(self.waiting), first)
        if placement is None:
            return False
        self.running.add(request)
        request.task = self._background(self._serve(request, placement))
        return True

    async def _serve(self, request: Request, placement: Placement) -> None:
        again = False
        try:
            await self._prepare(request, placement)
            self.metrics.startup.observe(time.monotonic() - request.arrived)
            await self._generate(request, placement.instance)
            self._finish(request)
        except _WorkerLost:
            request.lost += 1
            again = request.lost <= RETRIES
            if not again:
                self._fail(request, Failed(f"{request.lost} workers were lost under it, one after the other"))
        except _Abandoned:
            request.lost += 1
            again = request.lost <= RETRIES
            if not again:
                self._fail(request, Failed("no place could be made for it"))
        except Failed as error:
            self._fail(request, error)
        except Exception:  # a mistake of ours: whoever waits for the request is told all the same
            traceback.print_exc()
            self._fail(request, Failed(DEFECT))
        finally:
            self.running.discard(request)
            if request.switch is not None:
                request.switch.paused.set()
            self._release(request)
            if again and not request.done:
                self.metrics.retries.inc()
                self.waiting.appendleft(request)
            if not self.stopping:
                self._pump()

    def _release(self, request: Request) -> None:
        """The instances that a request has had are idle, or their places free if they never were loaded or must go."""
        now = time.monotonic()
        for instances in self.scheduler.instances:
            for instance in [i for i in instances.values() if i.request is request]:
                if instance.state == "running":
                    self.scheduler.finish(instance, now)
                else:
                    self.scheduler.free(instance, now)
                    self._background(self._unload(instance))

    async def _unload(self, instance: Instance) -> None:
        with contextlib.suppress(_WorkerLost, Failed):
            await self._call(instance.worker, "unload", instance.number)

    # ------------------------------------------------------------ loading and generating

    async def _prepare(self, request: Request, placement: Placement) -> None:
        instance = placement.instance
        if placement.moves:
            for task in [self._background(self._move(move)) for move in placement.moves]:
                await asyncio.wait([task])
            if any(m.source.number in self.scheduler.instances[m.source.worker] for m in placement.moves):
                raise _Abandoned
        for gone in placement.evicted:
            await self._unload(gone)
        if instance.number not in self.scheduler.instances[instance.worker]:
            raise _WorkerLost
        if placement.moves:
            self.scheduler.begin_loading(placement, time.monotonic())
        if placement.tier is not None:
            await self._load(instance, request.deadline)
            self.scheduler.loaded(instance, time.monotonic())

    async def _load(self, instance: Instance, deadline: float | None = None) -> None:
        number, model = instance.worker, instance.model
        predicted = self.scheduler.loading(model, number)
        answer = await self._call(number, "load", instance.number, self.models[model].spec, deadline=deadline)
        if instance.number not in self.scheduler.instances[number]:
            raise _WorkerLost
        seconds, payload = answer["seconds"], answer["payload"]
        name, spent = "folder", 0.0
        if payload is not None and payload["bytes"]:
            tier = max(payload["tiers"], key=payload["tiers"].get)  # most of it came from there
            name, spent = TIERS[tier].name.lower(), payload["seconds"]
            self.scheduler.observe(number, TIERS[tier], payload["bytes"], spent)
            if "predicted" in payload:
                self.metrics.payload_seconds.labels(name).observe(payload["measured"])
                self.metrics.payload_predicted.labels(name).observe(payload["predicted"]["all"])
        self._learn_setup(model, seconds - spent)
        self.metrics.loads.labels(name).inc()
        self.metrics.load_seconds.labels(name).observe(seconds)
        self.metrics.load_predicted.labels(name).observe(predicted)
        self._note_state(number, answer)

    async def _generate(self, request: Request, instance: Instance) -> None:
        """All tokens that are wanted."""
        if request.ended or request.done:
            return
        known = [*request.prompt, *request.tokens]
        instance.tokens, instance.began = len(known), time.monotonic()
        answer = await self._begin(instance, request)
        self._learn_prompt(request.model, len(known), answer["seconds"])
        while not request.ended and not request.done:
            if request.switch is not None:
                switch, request.switch = request.switch, None
                switch.paused.set()
                instance = await switch.target or instance
                if instance.number not in self.scheduler.instances[instance.worker]:
                    raise _WorkerLost
            began = time.monotonic()
            answer = await self._call(
                instance.worker,
                "advance",
                instance.number,
                request.number,
                request.most - len(request.tokens),
                PART,
                deadline=request.deadline,
            )
            tokens = answer["tokens"]
            request.tokens += tokens
            request.lost = 0
            request.cycles += answer["cycles"]
            now = time.monotonic()
            self._learn_token(request.model, (now - began) / len(tokens))
            instance.tokens, instance.began = len(request.prompt) + len(request.tokens), now
            self.metrics.tokens.labels(self.models[request.model].spec.name).inc(len(tokens))
            if not request.done:
                request.parts.put_nowait(tokens)

    async def _begin(self, instance: Instance, request: Request) -> dict[str, Any]:
        known = [*request.prompt, *request.tokens]
        return await self._call(
            instance.worker, "begin", instance.number, request.number, known, request.sampling, len(request.tokens), request.ends,
            deadline=request.deadline,
        )  # fmt: skip

    def _learn_setup(self, model: int, seconds: float) -> None:
        kind = self.scheduler.models[model]
        self.scheduler.models[model] = replace(kind, setup=kind.setup + 0.5 * (max(seconds, 0.0) - kind.setup))

    def _learn_token(self, model: int, seconds: float) -> None:
        kind = self.scheduler.models[model]
        self.scheduler.models[model] = replace(kind, decode=kind.decode + 0.1 * (seconds - kind.decode))

    def _learn_prompt(self, model: int, tokens: int, seconds: float) -> None:
        """What a prompt took is what resuming takes."""
        kind = self.scheduler.models[model]
        self.scheduler.models[model] = replace(kind, resume=_followed(kind.resume, tokens, seconds))

    def _learn_carry(self, model: int, tokens: int, seconds: float) -> None:
        kind = self.scheduler.models[model]
        assert kind.carry is not None
        self.scheduler.models[model] = replace(kind, carry=_followed(kind.carry, tokens, seconds))

    # ------------------------------------------------------------ moving

    async def _move(self, move: Move) -> None:
        """A running request goes to another instance. By tokens: the target computes what there is while the source goes on, then what
        has come meanwhile, until it is a few tokens behind; then the request pauses, and goes on there. By keys and values: it
        pauses, they are carried there, and it goes on. Either way the source owns it until the target can go on."""
        source, target, request = move.source, move.target, move.source.request
        here = self.scheduler.instances
        switch: _Switch | None = None
        handed = False
        try:
            if not move.loaded:
                await self._load(target)
            length = len(request.prompt) + len(request.tokens)
            # of a request that has no token yet there is nothing that would not be computed anyway
            way = self.scheduler.models[request.model].way(length) if request.tokens else "tokens"
            known = 0 if way == "keys" else await self._ahead(source, target, request)
            if not self._still(request, source):
                return
            switch = request.switch = _Switch()
            await switch.paused.wait()
            if self._still(request, source):
                if way == "keys":
                    await self._carry(source, target, request)
                elif len(request.tokens) > known:
                    await self._follow(target, request, known)
                if self._still(request, source) and target.number in here[target.worker]:
                    now = time.monotonic()
                    self.scheduler.hand_over(move, now, len(request.prompt) + len(request.tokens))
                    handed = True
                    request.moved += 1
                    self.metrics.moves.labels(way).inc()
                    switch.target.set_result(target)
                    self._background(self._unload(source))
        except (_WorkerLost, Failed):
            pass  # the request goes on where it is, or is tried again if that is what was lost
        finally:
            if request.switch is switch and switch is not None:
                request.switch = None
            if switch is not None and not switch.target.done():
                switch.target.set_result(None)
            if not handed:
                if source.number in here[source.worker] and source.state == "moving":
                    source.state = "running"
                if target.number in here[target.worker] and target.request is None:
                    self.scheduler.free(target, time.monotonic())
                    self._background(self._unload(target))

    async def _ahead(self, source: Instance, target: Instance, request: Request) -> int:
        """The target computes tokens anew while the source goes on, until it is a few behind. How many it has computed."""
        known = len(request.tokens)
        await self._begin(target, request)
        while len(request.tokens) - known > GAP and self._still(request, source):
            known = await self._follow(target, request, known)
        return known

    async def _carry(self, source: Instance, target: Instance, request: Request) -> None:
        """Keys and values go from worker to worker, while the request pauses."""
        began = time.monotonic()
        known = [*request.prompt, *request.tokens]
        found = await self._call(source.worker, "keys", source.number, request.number, deadline=request.deadline)
        await self._call(
            target.worker, "restore", target.number, request.number, known, request.sampling, len(request.tokens), request.ends,
            found["keys"], found["values"], deadline=request.deadline,
        )  # fmt: skip
        self.metrics.moved_bytes.inc(found["keys"].nbytes + found["values"].nbytes)
        self._learn_carry(request.model, len(known), time.monotonic() - began)

    def _still(self, request: Request, source: Instance) -> bool:
        return not request.done and not request.ended and source.number in self.scheduler.instances[source.worker]

    async def _follow(self, target: Instance, request: Request, known: int) -> int:
        tokens = request.tokens[known:]
        await self._call(target.worker, "follow", target.number, request.number, tokens, deadline=request.deadline)
        return known + len(tokens)

    def _gauges(self) -> None:
        self.metrics.waiting.set(len(self.waiting))
        self.metrics.running.set(len(self.running))
        self.metrics.workers.set(self.alive)


async def _ends(asked: asyncio.Future[Any], slot: _Slot, timeout: float | None) -> bool:
    """Whether it is done in time; else it is cancelled. _WorkerLost, if the worker is lost meanwhile."""
    gone = asyncio.ensure_future(slot.lost.wait())
    try:
        await asyncio.wait([asked, gone], timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        if slot.lost.is_set():
            raise _WorkerLost
        return asked.done()
    finally:
        asked.cancel()
        gone.cancel()
        await asyncio.gather(asked, gone, return_exceptions=True)


async def _result(future: Any) -> Any:
    return await future


def _followed(line: tuple[float, float], n: int, seconds: float) -> tuple[float, float]:
    """The line a n + b after another measurement, by the normalised gradient."""
    a, b = line
    step = 0.3 * (seconds - (a * n + b)) / (n * n + 1)
    return max(a + step * n, 0.0), max(b + step, 0.0)
