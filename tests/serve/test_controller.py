"""The controller on workers that only pretend to compute: whatever dies or moves, each request gets its tokens, each once."""

from __future__ import annotations

import asyncio
import random
import time
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("prometheus_client", reason="the extra serve is not installed")

from meshlang.models.sampling import Sampling
from meshlang.serve import controller as module
from meshlang.serve.config import Config, ServedModel, Workers
from meshlang.serve.controller import Busy, Controller, Failed, Served, Stopping, _Slot
from meshlang.serve.scheduler import Tier

VOCABULARY = 97


def following(tokens):
    """The token that follows: it depends on all before it, in their order."""
    value = 7
    for t in tokens:
        value = (value * 31 + t + 1) % 1009
    return value % VOCABULARY


def expected(prompt, new):
    tokens = list(prompt)
    for _ in range(new):
        tokens.append(following(tokens))
    return tokens[len(prompt) :]


class Host:
    """A worker: as WaferHost, with a list of tokens for a rectangle and time that passes."""

    def __init__(self, load=0.02, token=0.001):
        self.load_seconds, self.token, self.prompt, self.dead = load, token, 0.001, False
        self.rectangles, self.loads, self.most_at_once = {}, [], 0

    async def _pass(self, seconds):
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            await asyncio.sleep(0.002)
            if self.dead:
                await asyncio.sleep(60)  # a process that is gone does not answer

    async def load(self, number, model):
        self.loads.append(model.name)
        await self._pass(self.load_seconds)
        if model.path.name == "damaged":
            return {"diagnostics": [{"code": "MS1411", "message": "no complete safetensors file"}]}
        self.rectangles[number] = None
        self.most_at_once = max(self.most_at_once, len(self.rectangles))
        return {
            "seconds": self.load_seconds,
            "payload": None,
            "where": {model.name: "host"},
            "bandwidths": {"host": 1e9},
        }

    async def unload(self, number):
        self.rectangles.pop(number, None)
        return {}

    async def begin(self, number, request, tokens, sampling, drawn, ends):
        await self._pass(self.prompt)
        assert number in self.rectangles
        self.rectangles[number] = [request, list(tokens), ends]
        return {"seconds": self.prompt}

    async def keys(self, number, request):
        await self._pass(0.005)
        assert self.rectangles[number][0] == request
        return {"keys": np.array(self.rectangles[number][1]), "values": np.zeros(3)}

    async def restore(self, number, request, tokens, sampling, drawn, ends, keys, values):
        await self._pass(0.005)
        assert number in self.rectangles and keys.tolist() == list(tokens)
        self.rectangles[number] = [request, keys.tolist(), ends]
        return {}

    async def follow(self, number, request, tokens):
        await self._pass(0.001)
        assert self.rectangles[number][0] == request
        self.rectangles[number][1] += tokens
        return {}

    async def advance(self, number, request, most, seconds):
        assert self.rectangles[number][0] == request
        _, known, ends = self.rectangles[number]
        out = []
        while len(out) < min(most, 5):
            out.append(following(known))
            known.append(out[-1])
            if out[-1] in ends:
                break
        await self._pass(self.token * len(out))
        return {"tokens": out, "cycles": [1] * len(out)}


class Pretending(Controller):
    """`start` without Dask; `kill` a worker as the scheduler would notice it."""

    async def start(self):
        self.hosts = []
        self._slots = []
        for number in range(self.config.workers.count):
            self._slots.append(_Slot())
            self.scheduler.lose(number)
            self.revive(number)
        self._background(self._watch())

    async def _look(self):
        return self.alive

    def revive(self, number, **more):
        host = Host(**more)
        self.hosts[number : number + 1] = [host]
        self._slots[number] = _Slot(f"nowhere-{time.monotonic()}", host)
        self.scheduler.join(number, time.monotonic())
        for model in range(len(self.models)):
            self.scheduler.found(model, number, Tier.DISK)

    def kill(self, number):
        self.hosts[number].dead = True
        self._lose(number)

    async def close(self):
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


def served(name="m", width=4, height=4, path="m", key_bytes=0):
    spec = ServedModel(name, Path(path), width, height, "f32", 4096, 16, "wse3")
    return Served(spec, VOCABULARY, frozenset(), None, 10**6, 10**6, key_bytes)


def run(scenario, *models, workers=2, width=8, height=4, **more):
    async def main():
        models_ = list(models) or [served()]
        there = Workers(workers, width, height, bandwidth=(1e9, 1e8, 1e7))
        config = Config([m.spec for m in models_], there, **more)
        controller = Pretending(config, models_)
        await controller.start()
        try:
            return await asyncio.wait_for(scenario(controller), 60)
        finally:
            await controller.close()

    return asyncio.run(main())


def submit(controller, prompt, new, model=0, ends=frozenset()):
    return controller.submit(model, list(prompt), Sampling(), new, ends)


async def tokens_of(controller, request):
    return [t async for part in controller.parts(request) for t in part]


async def settled(controller):
    """Nothing is left: no request, no rectangle that the scheduler does not know of."""
    until = time.monotonic() + 5
    while controller.running and time.monotonic() < until:
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.05)
    assert not controller.running and not controller.waiting
    for number, host in enumerate(controller.hosts):
        known = controller.scheduler.instances[number]
        assert set(host.rectangles) == set(known)
        assert all(i.state == "idle" for i in known.values())


class Silent:
    """Dask's client: workers at addresses, of which some never answer."""

    status = "running"

    def __init__(self, addresses, silent):
        self.scheduler, self.addresses, self.silent = self, addresses, silent

    async def identity(self):
        return {"workers": {address: {} for address in self.addresses}}

    def submit(self, what, settings, *, workers, **more):
        (address,) = workers
        answer = asyncio.get_running_loop().create_future()
        if address not in self.silent:
            answer.set_result(Host())
        answer.release = lambda: None
        return answer


def test_a_worker_that_dies_before_it_is_ready_holds_up_nobody():
    async def main():
        controller = Controller(Config([], Workers(2, 8, 8)), [])
        controller._slots = [_Slot(), _Slot()]
        client = controller._client = Silent(["one", "two"], silent=["one"])
        await asyncio.wait_for(controller._look(), 1)
        await asyncio.sleep(0.05)
        assert await controller._look() == 1
        client.addresses = ["two", "three"]
        await controller._look()
        await controller._look()
        await asyncio.sleep(0.05)
        assert await controller._look() == 2
        assert {slot.address for slot in controller._slots} == {"two", "three"}

    asyncio.run(asyncio.wait_for(main(), 5))


def test_requests_share_what_there_is():
    async def scenario(controller):
        prompts = [[k, k + 1, k * 2 % 90] for k in range(30)]
        requests = [submit(controller, p, 20 + k) for k, p in enumerate(prompts)]
        found = await asyncio.gather(*(tokens_of(controller, r) for r in requests))
        assert found == [expected(p, 20 + k) for k, p in enumerate(prompts)]
        await settled(controller)
        assert max(h.most_at_once for h in controller.hosts) <= 2  # 8 x 4 PEs hold two rectangles
        assert sum(len(h.loads) for h in controller.hosts) <= 4  # loaded models are used again

    run(scenario)


def test_models_take_turns_on_a_wafer():
    async def scenario(controller):
        requests = [submit(controller, [k], 15, k % 3) for k in range(18)]
        found = await asyncio.gather(*(tokens_of(controller, r) for r in requests))
        assert found == [expected([k], 15) for k in range(18)]
        await settled(controller)

    run(scenario, served("a"), served("b", 8, 4), served("c", 3, 3), workers=1)


def test_the_end_token_ends():
    async def scenario(controller):
        want = expected([3], 50)
        request = submit(controller, [3], 50, ends=frozenset({want[12]}))
        assert await tokens_of(controller, request) == want[: want.index(want[12]) + 1]

    run(scenario)


@pytest.mark.parametrize("seed", range(4))
def test_workers_die_at_any_moment(seed):
    """Five deaths each, at random moments, of a worker of three: no request is lost, no token is missing or there twice."""

    async def scenario(controller):
        draw = random.Random(seed)
        requests = [submit(controller, [k, seed], 60, k % 2) for k in range(16)]
        tasks = [asyncio.ensure_future(tokens_of(controller, r)) for r in requests]
        for _ in range(5):
            await asyncio.sleep(draw.random() * 0.15)
            number = draw.randrange(3)
            controller.kill(number)
            await asyncio.sleep(draw.random() * 0.05)
            controller.revive(number)
        assert await asyncio.gather(*tasks) == [expected([k, seed], 60) for k in range(16)]
        assert controller.metrics.retries._value.get() > 0
        await settled(controller)

    run(scenario, served("a"), served("b", 8, 3), workers=3)


def test_without_workers_requests_wait_for_one():
    async def scenario(controller):
        request = submit(controller, [1], 30)
        task = asyncio.ensure_future(tokens_of(controller, request))
        await asyncio.sleep(0.04)
        controller.kill(0)
        with pytest.raises(Stopping):
            submit(controller, [2], 3)
        await asyncio.sleep(0.05)
        assert not task.done()
        controller.revive(0)
        assert await task == expected([1], 30)

    run(scenario, workers=1)


def test_a_request_that_kills_its_workers_is_given_up():
    async def scenario(controller):
        request = submit(controller, [1], 10_000)
        task = asyncio.ensure_future(tokens_of(controller, request))
        for _ in range(module.RETRIES + 1):
            controller.kill(0)
            controller.revive(0, load=5.0)
            while request not in controller.running:
                await asyncio.sleep(0.005)
            await asyncio.sleep(0.03)
        controller.kill(0)
        with pytest.raises(Failed, match="workers were lost under it"):
            await task

    run(scenario, workers=1)


def test_a_request_that_gets_on_is_not_given_up():
    async def scenario(controller):
        request = submit(controller, [1], 200)
        task = asyncio.ensure_future(tokens_of(controller, request))
        for _ in range(module.RETRIES + 3):
            had = len(request.tokens)
            while len(request.tokens) == had:
                await asyncio.sleep(0.001)
            controller.kill(0)
            controller.revive(0)
        assert await task == expected([1], 200)

    run(scenario, workers=1)


KEYS = {"tokens": 0, "keys": 1}  # bytes of a token: none that could be moved, or few


def fragmented(controller, way):
    """Three requests in columns of a wafer; those left and right end, the one in the middle goes on for long. By keys: it takes
    long to compute a prompt."""
    for host in controller.hosts:
        host.prompt = 0.001 if way == "tokens" else 0.2
    requests = [submit(controller, [k], new) for k, new in enumerate((5, 1500, 5))]
    return requests[1], [asyncio.ensure_future(tokens_of(controller, r)) for r in requests]


def slow_service(controller):
    controller.scheduler.any_service = 1000.0  # else waiting would be sooner by the estimate


@pytest.mark.parametrize("way", ["tokens", "keys"])
def test_a_running_request_moves_aside(way):
    async def scenario(controller):
        middle, (left, _, right) = tasks = fragmented(controller, way)
        rest = tasks[1]
        before = controller.scheduler.models[0].carry
        await asyncio.gather(left, right)
        slow_service(controller)
        wide = submit(controller, [50], 20, 1)
        assert await tokens_of(controller, wide) == expected([50], 20)
        assert middle.moved == 1 and not middle.finished  # it went on meanwhile
        assert await rest[1] == expected([1], 1500)
        await settled(controller)
        assert controller.metrics.moves.labels(way)._value.get() == 1
        learned = controller.scheduler.models[0].carry
        assert learned is None if way == "tokens" else learned != before and 0 < learned[1] < 0.05
        assert (controller.metrics.moved_bytes._value.get() > 0) == (way == "keys")

    run(scenario, served("small", key_bytes=KEYS[way]), served("wide", 8, 4), workers=1, width=12)


@pytest.mark.parametrize("way", ["tokens", "keys"])
@pytest.mark.parametrize("seed", range(5))
def test_death_while_moving(seed, way):
    """The source or the target dies at any moment of a move: one owner is left, or the request is tried again."""

    async def scenario(controller):
        draw = random.Random(seed)
        controller.hosts[1].load_seconds = 0.05
        # worker 0 alone at first: all three begin there
        controller.kill(1)
        middle, tasks = fragmented(controller, way)
        await asyncio.gather(tasks[0], tasks[2])
        controller.revive(1, load=0.05)
        slow_service(controller)
        # the second worker is full of something small, except for one place
        wide = submit(controller, [50], 20, 1)
        task = asyncio.ensure_future(tokens_of(controller, wide))
        await asyncio.sleep(draw.random() * 0.12)
        number = draw.randrange(2)
        controller.kill(number)
        await asyncio.sleep(0.02)
        controller.revive(number)
        assert await task == expected([50], 20)
        assert await tasks[1] == expected([1], 1500)
        await settled(controller)

    run(scenario, served("small", key_bytes=KEYS[way]), served("wide", 8, 4), workers=2, width=12)


def test_the_queue_is_bounded():
    async def scenario(controller):
        requests = [submit(controller, [k], 40) for k in range(2 + 3)]
        with pytest.raises(Busy, match="3 requests wait already"):
            submit(controller, [9], 40)
        assert await asyncio.gather(*(tokens_of(controller, r) for r in requests)) == [
            expected([k], 40) for k in range(5)
        ]
        assert await tokens_of(controller, submit(controller, [9], 4)) == expected([9], 4)

    run(scenario, workers=1, queue=3)


def test_time_is_limited_and_cancelled_requests_make_room():
    async def scenario(controller):
        long = [submit(controller, [k], 100_000) for k in range(3)]  # two run, one waits
        started = time.monotonic()
        for request in long:
            with pytest.raises(Failed) as found:
                await tokens_of(controller, request)
            assert found.value.late
        assert time.monotonic() - started < 20
        await settled(controller)
        # somebody stops reading
        parts = controller.parts(submit(controller, [5], 100_000))
        await anext(parts)
        await parts.aclose()
        await settled(controller)
        assert await tokens_of(controller, submit(controller, [6], 5)) == expected([6], 5)

    run(scenario, workers=1, timeout=2)


def test_a_model_that_cannot_be_loaded():
    async def scenario(controller):
        with pytest.raises(Failed, match="no complete safetensors file") as found:
            await tokens_of(controller, submit(controller, [1], 5, 1))
        assert found.value.code == "MS1411"
        assert await tokens_of(controller, submit(controller, [1], 5)) == expected([1], 5)
        await settled(controller)

    run(scenario, served("good"), served("bad", path="damaged"))


def test_stopping():
    async def scenario(controller):
        quick, endless = submit(controller, [1], 50), submit(controller, [2], 10**6)
        waiting = submit(controller, [3], 5)
        tasks = [asyncio.ensure_future(tokens_of(controller, r)) for r in (quick, endless, waiting)]
        await asyncio.sleep(0.05)
        await controller.finish()
        assert await tasks[0] == expected([1], 50)
        for task in tasks[1:]:
            with pytest.raises(Stopping):
                await task
        with pytest.raises(Stopping):
            submit(controller, [4], 5)

    run(scenario, workers=1, grace=0.5)


def test_stopping_while_a_worker_is_lost():
    """What ran there goes on elsewhere in the time that is left, or is told; nobody waits for ever."""

    async def scenario(controller):
        quick, endless = submit(controller, [1], 100), submit(controller, [2], 10**6)
        tasks = [asyncio.ensure_future(tokens_of(controller, r)) for r in (quick, endless)]
        await asyncio.sleep(0.05)
        stopping = asyncio.ensure_future(controller.finish())
        await asyncio.sleep(0.01)
        controller.kill(0)
        await asyncio.sleep(0.05)
        controller.revive(0)
        assert await tasks[0] == expected([1], 100)
        controller.kill(0)  # nobody comes back this time
        await stopping
        with pytest.raises(Stopping):
            await asyncio.wait_for(tasks[1], 1)
        assert not controller.waiting and not controller.running

    run(scenario, workers=1, grace=2)


def test_our_mistakes_are_told(capsys):
    """Neither a request nor the loop that looks for workers ends without a word."""

    async def scenario(controller):
        looks = []

        async def look():
            looks.append(1)
            raise RuntimeError("of the library")

        controller._look = look
        controller.hosts[0].advance = controller.hosts[1].advance = nothing
        with pytest.raises(Failed, match="log has more"):
            await asyncio.wait_for(tokens_of(controller, submit(controller, [1], 10)), 5)
        until = time.monotonic() + 5
        while len(looks) < 2 and time.monotonic() < until:
            await asyncio.sleep(0.01)
        assert len(looks) >= 2
        await settled(controller)

    async def nothing(*arguments):
        return {}

    run(scenario)
    said = capsys.readouterr().err
    assert "KeyError: 'tokens'" in said and "RuntimeError: of the library" in said


def test_what_is_measured_is_learned():
    async def scenario(controller):
        before = controller.scheduler.loading(0, 0)
        await tokens_of(controller, submit(controller, [1, 2, 3], 100))
        kind = controller.scheduler.models[0]
        assert 0.001 <= kind.decode < 0.02 and kind.resuming(3) < 0.08
        assert controller.scheduler.tier(0, 0) is Tier.MEMORY
        return before

    run(scenario, workers=1)
