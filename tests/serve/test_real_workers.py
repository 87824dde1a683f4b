"""The controller with real workers: processes of Dask with simulated wafers, images through tiers, requests that move, kills."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager

import numpy as np
import pytest
from checkpoints import write_model
from range_server import RangeServer
from references import greedy

from meshlang.models.checkpoint import Checkpoint
from meshlang.models.fit import place
from meshlang.models.sampling import Sampling
from meshlang.serve.config import Config, ServedModel, Workers
from meshlang.serve.controller import Controller, inspect_model
from meshlang.serve.image_write import write_image
from meshlang.serve.scheduler import Tier

for library in ("distributed", "prometheus_client", "httpx"):
    pytest.importorskip(library, reason="the extra serve is not installed")

PROMPT = [5, 9, 11]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model of 4 x 4 PEs, small.wimg, and one of 8 x 4, wide.wimg."""
    path = tmp_path_factory.mktemp("models")
    for seed, name, width in ((3, "small", 4), (4, "wide", 8)):
        write_model(path / name, seed=seed, eos_token_id=None)
        checkpoint = Checkpoint(path / name)
        write_image(
            path / f"{name}.wimg",
            checkpoint,
            place(checkpoint.config, 4, width, tokens=512, prompt=16, dtype=np.float32),
        )
    return path


@pytest.fixture
def server(folder):
    with RangeServer(folder) as found:
        yield found


def served(name, path):
    width = 8 if name == "wide" else 4
    return ServedModel(name, path, width, 4, "f32", 512, 16, "wse3")


@asynccontextmanager
async def cluster(models, count=1, width=12, **more):
    config = Config(models, Workers(count, width, 4, **more), grace=1.0)
    controller = Controller(config, [inspect_model(m) for m in models])
    await controller.start()
    try:
        yield controller
    finally:
        await controller.finish()
        await controller.close()


def submit(controller, model, new, prompt=PROMPT):
    return controller.submit(model, list(prompt), Sampling(), new, frozenset())


async def tokens_of(controller, request):
    return [t async for part in controller.parts(request) for t in part]


async def until(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        await asyncio.sleep(0.02)


def value(metric, *labels):
    return (metric.labels(*labels) if labels else metric)._value.get()


def test_images_come_through_tiers(folder, server, tmp_path):
    """From a server, which keeps it on the disk and in memory; from memory; in a new process from the disk. What is expected
    stands beside what was measured."""
    want = greedy(folder / "small", PROMPT, 6)
    models = [served("small", f"{server.address}/small.wimg"), served("wide", folder / "wide.wimg")]

    async def main():
        async with cluster(models, width=8, images=tmp_path) as controller:
            await until(lambda: controller.metrics.bandwidth._metrics)  # workers have measured what they found
            fetched = len(server.requests)
            assert controller.scheduler.tier(1, 0) in (Tier.DISK, Tier.MEMORY)
            for model in (0, 1, 0):  # the wide one needs the place of the small one
                found = await tokens_of(controller, submit(controller, model, 6))
                assert found == (want if model == 0 else greedy(folder / "wide", PROMPT, 6))
            assert controller.scheduler.tier(0, 0) is Tier.MEMORY
            loads = {tier: value(controller.metrics.loads, tier) for tier in ("remote", "disk", "memory")}
            assert sum(loads.values()) == 3 and loads["memory"] >= 1
            assert len(server.requests) - fetched <= len(models) * 10  # the second load fetched nothing
            text = controller.metrics.text().decode()
            for name in ("load_seconds", "load_predicted_seconds"):
                counts = [line for line in text.splitlines() if line.startswith(f"meshlang_{name}_count")]
                assert sum(float(line.split()[-1]) for line in counts) == 3
            assert 'meshlang_tier_bytes_per_second{tier="remote",worker="0"}' in text
            # what a load is expected to take follows what loads have taken
            assert 0 < controller.scheduler.loading(0, 0) < 20
        async with cluster(models, width=8, images=tmp_path) as controller:
            await until(lambda: controller.scheduler.tier(0, 0) is not Tier.REMOTE)
            before = len(server.requests)
            assert await tokens_of(controller, submit(controller, 0, 6)) == want
            assert len(server.requests) == before

    asyncio.run(asyncio.wait_for(main(), 240))


@pytest.mark.parametrize("way", ["tokens", "keys"])
def test_a_running_request_moves(folder, way):
    """The middle one of three goes aside for a wide one, while it runs: its tokens are those of a single run. It stops at half of them
    until it is to go, however long the other needs to be there."""
    want, wide = greedy(folder / "small", PROMPT, 120), greedy(folder / "wide", PROMPT, 4)
    models = [served(name, folder / f"{name}.wimg") for name in ("small", "wide")]

    async def main():
        async with cluster(models) as controller:
            small = controller.scheduler.models[0]
            assert small.carry is not None
            requests = [submit(controller, 0, new) for new in (3, 120, 3)]
            hold(controller, requests[1], 60)
            tasks = [asyncio.ensure_future(tokens_of(controller, r)) for r in requests]
            await asyncio.gather(tasks[0], tasks[2])
            await until(lambda: len(requests[1].tokens) > 3)
            controller.scheduler.any_service = 1000.0  # else waiting for its end would be sooner
            _prefer(controller, way)
            assert await tokens_of(controller, submit(controller, 1, 4)) == wide
            assert requests[1].moved == 1
            assert await tasks[1] == want
            assert value(controller.metrics.moves, way) == 1
            assert (value(controller.metrics.moved_bytes) > 0) == (way == "keys")

    asyncio.run(asyncio.wait_for(main(), 240))


def hold(controller, request, count):
    """From so many tokens on the request waits until it is to move; up to there it comes in parts of ten."""
    call = controller._call

    async def held(number, method, *arguments, **more):
        if method == "advance" and arguments[1] == request.number and not request.moved:
            arguments = (*arguments[:2], min(arguments[2], 10), *arguments[3:])
            if len(request.tokens) >= count:
                await until(lambda: request.switch is not None, 200)
        return await call(number, method, *arguments, **more)

    controller._call = held


def _prefer(controller, way):
    """As if the other way had been slow so far."""
    from dataclasses import replace

    kind = controller.scheduler.models[0]
    slow, quick = (1.0, 1.0), (0.0, 0.001)
    resume, carry = (slow, quick) if way == "keys" else (quick, slow)
    controller.scheduler.models[0] = replace(kind, resume=resume, carry=carry)
