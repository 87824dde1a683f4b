"""A worker: a process with a simulated wafer, on which models' rectangles are loaded and requests generate their tokens.

`WaferHost` is an actor of Dask: it lives in one worker process, and the controller calls its methods from afar. Each rectangle is a
fabric of its own, as rectangles of one wafer do not touch. Images come through tiers (tiers.py), with a pool in this process; a model's
folder is placed and written anew each time. Calls return what went wrong as data: an exception would be Dask's own.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
import traceback
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

import numpy as np

from meshlang.diag import MeshlangError
from meshlang.diag.render import to_json
from meshlang.models.checkpoint import Checkpoint
from meshlang.models.fit import place
from meshlang.models.key_values import KeyValues
from meshlang.models.llama import Placement
from meshlang.models.runner import Runner
from meshlang.models.sampling import Sampling

from .config import ServedModel, Workers
from .tiers import Loader, TieredImage

COMPILED = 8  # models whose placement and program a worker remembers
_THREADS = 2  # so that a load does not hold up all that generates


@dataclass
class _Generating:
    """What a rectangle generates, for one request: its choice of tokens, and the logits after what it has been fed."""

    request: int
    sampling: Sampling
    random: np.random.Generator
    ends: frozenset[int]
    logits: np.ndarray
    pending: list[int] = field(default_factory=list)  # chosen, and not yet looked at by the model


@dataclass
class _Rectangle:
    runner: Runner
    fresh: Any  # the machine's state after loading
    lock: Any = field(default_factory=Lock)
    sequence: _Generating | None = None


def placement(model: ServedModel, config: Any) -> Placement:
    """Where a model goes that is served; MS0992 and others if it does not fit its mesh."""
    dtype = {"f16": np.float16, "f32": np.float32}[model.dtype]
    return place(config, model.height, model.width, tokens=model.context, prompt=model.prompt, dtype=dtype)


class WaferHost:
    """The rectangles of one wafer, by the numbers that the controller gives them."""

    def __init__(self, settings: Workers) -> None:
        self._loader = Loader(settings.memory, settings.images)
        self._rectangles: dict[int, _Rectangle] = {}
        self._unloaded: set[int] = set()  # perhaps while they were being loaded
        self._compiled: OrderedDict[ServedModel, tuple[Checkpoint, Placement, Any]] = OrderedDict()
        self._images: dict[ServedModel, TieredImage] = {}
        self._threads = ThreadPoolExecutor(_THREADS)
        self._changing = Lock()  # of the two above
        self._loading = Lock()  # one after the other, as the scheduler's estimates have it

    async def survey(self, models: Sequence[ServedModel]) -> dict[str, Any]:
        """Look at images, and measure the tiers that they are on: as `_state`. What cannot be opened is left out: a load will say why."""

        def work() -> dict[str, Any]:
            with self._loading:
                for model in models:
                    with contextlib.suppress(MeshlangError):
                        image = self._image(model)
                        self._loader.survey(image, image.payload())
                return self._state()

        return await self._do(work)

    async def load(self, number: int, model: ServedModel) -> dict[str, Any]:
        """seconds; payload: of an image, what `Load.report` says; and `_state`."""

        def work() -> dict[str, Any]:
            began = time.monotonic()
            with self._loading:
                image = None if model.folder else self._image(model)
                runner = self._placed(model) if image is None else image.runner()
                payload = image.last.report() if image is not None and image.last is not None else None
                state = self._state()
            runner.fabric.run()
            rectangle = _Rectangle(runner, _take(runner))
            with self._changing:
                if number not in self._unloaded:
                    self._rectangles[number] = rectangle
            return {"seconds": time.monotonic() - began, "payload": payload, **state}

        return await self._do(work)

    async def unload(self, number: int) -> dict[str, Any]:
        with self._changing:
            self._unloaded.add(number)
            self._rectangles.pop(number, None)
        return {}

    async def begin(
        self, number: int, request: int, tokens: Sequence[int], sampling: Sampling, drawn: int, ends: frozenset[int]
    ) -> dict[str, Any]:
        """A request's sequence begins with these tokens, of which the last `drawn` were chosen here or elsewhere before. seconds."""

        def work(rectangle: _Rectangle) -> dict[str, Any]:
            began = time.monotonic()
            _put(rectangle)
            logits = rectangle.runner.feed(tokens)
            rectangle.sequence = _Generating(request, sampling, _drawn(sampling, drawn), ends, logits)
            return {"seconds": time.monotonic() - began}

        return await self._on(number, work)

    async def keys(self, number: int, request: int) -> dict[str, Any]:
        """keys, values: of the tokens that the model has looked at. The sequence can go on here all the same."""

        def work(rectangle: _Rectangle) -> dict[str, Any]:
            _of(rectangle, request)
            found = rectangle.runner.key_values()
            return {"keys": found.keys, "values": found.values}

        return await self._on(number, work)

    async def restore(
        self,
        number: int,
        request: int,
        tokens: Sequence[int],
        sampling: Sampling,
        drawn: int,
        ends: frozenset[int],
        keys: np.ndarray,
        values: np.ndarray,
    ) -> dict[str, Any]:
        """As `begin`, with the keys and values of the first tokens, which another worker has computed; two tokens at least."""  # fmt: skip

        def work(rectangle: _Rectangle) -> dict[str, Any]:
            _put(rectangle)
            known = min(keys.shape[1], len(tokens) - 1)  # the last one is looked at here, for its logits
            rectangle.runner.restore(KeyValues(keys[:, :known], values[:, :known]))
            rectangle.sequence = _Generating(
                request, sampling, _drawn(sampling, drawn), ends, np.zeros(0), list(tokens[known:])
            )
            return {}

        return await self._on(number, work)

    async def follow(self, number: int, request: int, tokens: Sequence[int]) -> dict[str, Any]:
        """Tokens that another worker has chosen: the sequence goes on behind them."""

        def work(rectangle: _Rectangle) -> dict[str, Any]:
            sequence = _of(rectangle, request)
            sequence.logits = rectangle.runner.feed(tokens)
            if sequence.sampling.temperature > 0:
                sequence.random.random(len(tokens))
            return {}

        return await self._on(number, work)

    async def advance(self, number: int, request: int, most: int, seconds: float) -> dict[str, Any]:
        """Up to `most` tokens, as many as come in about so many seconds, none behind one that ends texts: tokens, cycles of each."""

        def work(rectangle: _Rectangle) -> dict[str, Any]:
            sequence, runner = _of(rectangle, request), rectangle.runner
            until = time.monotonic() + seconds
            tokens: list[int] = []
            cycles: list[int] = []
            while len(tokens) < most:
                if sequence.pending:
                    sequence.logits = runner.feed(sequence.pending)
                cycles.append(runner.decode_cycles[-1])
                token = sequence.sampling.choose(sequence.logits, sequence.random)
                tokens.append(token)
                sequence.pending = [token]
                if token in sequence.ends or time.monotonic() > until:
                    break
            return {"tokens": tokens, "cycles": cycles}

        return await self._on(number, work)

    async def _on(self, number: int, work: Callable[[_Rectangle], dict[str, Any]]) -> dict[str, Any]:
        def alone() -> dict[str, Any]:
            rectangle = self._rectangles[number]
            with rectangle.lock:  # what nobody waits for any more may still be under way
                return work(rectangle)

        return await self._do(alone)

    async def _do(self, work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        def guarded() -> dict[str, Any]:
            try:
                return work()
            except MeshlangError as error:
                return {"diagnostics": to_json(error.diagnostics)}
            except (
                Exception
            ) as error:  # a mistake of ours, which the controller must not take for the end of the worker
                return {"defect": "".join(traceback.format_exception(error))}

        return await asyncio.get_running_loop().run_in_executor(self._threads, guarded)

    def _image(self, model: ServedModel) -> TieredImage:
        if model not in self._images:
            self._images[model] = self._loader.open(model.path)
        return self._images[model]

    def _placed(self, model: ServedModel) -> Runner:
        """A folder's model. What was read and compiled for it before is used again."""
        assert model.folder is not None
        if model in self._compiled:
            self._compiled.move_to_end(model)
            checkpoint, where, program = self._compiled[model]
            return Runner(where, checkpoint, model.arch, program=program)
        checkpoint = Checkpoint(model.folder)
        where = placement(model, checkpoint.config)
        runner = Runner(where, checkpoint, model.arch)
        self._compiled[model] = checkpoint, where, runner.program
        if len(self._compiled) > COMPILED:
            self._compiled.popitem(last=False)
        return runner

    def _state(self) -> dict[str, Any]:
        """where: the tier from which all of a model's image can be had, by the names of models; bandwidths: bytes a second of
        the tiers that have been measured."""
        where = {model.name: image.lowest(image.payload()) for model, image in self._images.items()}
        bandwidths = {tier: b for tier in ("host", "disk", "remote") if (b := self._loader.bandwidth(tier))}
        return {"where": where, "bandwidths": bandwidths}


def _take(runner: Runner) -> Any:
    from meshlang.fabric import snapshot

    return snapshot.take(runner.fabric.session.machine)


def _put(rectangle: _Rectangle) -> None:
    """The rectangle as it was after loading: weights where a prompt wants them, an empty cache."""
    from meshlang.fabric import snapshot

    runner = rectangle.runner
    snapshot.put(runner.fabric.session.machine, rectangle.fresh)
    runner.restart()


def _drawn(sampling: Sampling, count: int) -> np.random.Generator:
    """Behind so many choices."""
    random = sampling.generator()
    if sampling.temperature > 0:
        random.random(count)
    return random


def _of(rectangle: _Rectangle, request: int) -> _Generating:
    sequence = rectangle.sequence
    assert sequence is not None and sequence.request == request, "the rectangle is this request's"
    return sequence
