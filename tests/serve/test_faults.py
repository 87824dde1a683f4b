"""kill -9 at random moments, of a worker, of the controller, and of either side of a move: nothing is lost, nothing comes twice.

A short run with fixed seeds; `python -m tests.serve.faults` runs these and those of loaders (test_tiers) and of migration between
processes (test_migration) as often as it is told.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import http.client
import os
import random
import re
import signal
import socket
import threading
import time
import urllib.error
from dataclasses import replace

import numpy as np
import pytest
from checkpoints import write_model
from killing import kills, seed
from references import greedy
from serving import PATIENCE, Server, processes

from meshlang.models.checkpoint import Checkpoint
from meshlang.models.fit import place
from meshlang.models.sampling import Sampling
from meshlang.serve.config import Config, ServedModel, Workers
from meshlang.serve.controller import Controller, inspect_model
from meshlang.serve.image_write import write_image
from meshlang.serve.scheduler import Move

for library in ("distributed", "fastapi", "uvicorn", "prometheus_client", "jinja2"):
    pytest.importorskip(library, reason="the extra serve is not installed")

NEW = 40
PROMPTS = [[5, 9, 11], [6, 2], [7, 8, 3, 1]]
CONFIG = """
[server]
port = {port}
api_key_env = "TEST_KEY"
[workers]
count = 2
wafer = "8x4"
[[models]]
name = "first"
path = "first.wimg"
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("faults")
    for name, width, number in (("first", 4, 3), ("wide", 8, 4)):
        write_model(path / name, seed=number, eos_token_id=None)
        checkpoint = Checkpoint(path / name)
        where = place(checkpoint.config, 4, width, tokens=256, prompt=8, dtype=np.float32)
        write_image(path / f"{name}.wimg", checkpoint, where)
    return path


@pytest.fixture(scope="module")
def wanted(folder):
    return [greedy(folder / "first", prompt, NEW) for prompt in PROMPTS]


@pytest.fixture
def start(folder):
    """Starts servers; none is left when a test fails."""
    servers = []

    def one():
        servers.append(Server(folder))
        return servers[-1]

    yield one
    for server in servers:
        server.process.kill()


def follow(server, prompt, tokens):
    """A client: puts what it sees into `tokens`; whether it has seen the end."""
    try:
        tokens.extend(server.stream(prompt, NEW))
    except (OSError, http.client.HTTPException):
        return False  # the connection has broken
    return True


def pids(controller):
    return [nanny.pid for nanny in controller._cluster.workers.values() if nanny.pid]


async def collect(controller, request):
    return [t async for part in controller.parts(request) for t in part]


def test_workers_are_killed(folder, wanted, start):
    """Streams go on all the time, and now and then a worker dies: every other time when tokens come again, else at any time, be it
    while others start."""
    draw = random.Random(seed(1))
    (folder / "cluster.toml").write_text(CONFIG.format(port=0))
    server = start()
    stop, come = threading.Event(), threading.Event()

    def client(k):
        seen = 0
        while not stop.is_set():
            tokens = []
            try:
                for token in server.stream(PROMPTS[k], NEW):
                    tokens.append(token)
                    come.set()
            except urllib.error.HTTPError as error:  # without any worker new requests are refused
                assert error.code == 503
                time.sleep(0.1)
                continue
            assert tokens == wanted[k]
            seen += 1
        return seen

    with concurrent.futures.ThreadPoolExecutor(len(PROMPTS)) as pool:
        clients = [pool.submit(client, k) for k in range(len(PROMPTS))]
        try:
            for kill in range(kills(3)):
                come.clear()
                assert kill % 2 or come.wait(PATIENCE), "no token comes"
                time.sleep(draw.uniform(0.2, 3.0))
                until = time.monotonic() + PATIENCE
                while not (there := server.workers()):
                    assert time.monotonic() < until, "no worker comes again"
                    time.sleep(0.1)
                os.kill(draw.choice(there), signal.SIGKILL)
        finally:
            stop.set()
        seen = [client.result() for client in clients]
    assert all(seen)
    retries = re.search(r"^meshlang_retries_total (\S+)", server.ask("/metrics")[1], re.MULTILINE)
    print(f"{kills(3)} workers killed; {seen} streams complete and right; {float(retries[1]):.0f} went on elsewhere")
    assert float(retries[1]) >= 1  # a kill in the middle of a stream, not only between them
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(60) == 0


def test_workers_that_dask_has_given_up_come_again(folder, wanted):
    """Dask gives up a worker whose process is not there again after `lost-worker-timeout`, and one that could not start."""
    dask = pytest.importorskip("dask")
    model = ServedModel("first", folder / "first.wimg", 4, 4, "f32", 256, 8, "wse3")

    async def main():
        controller = Controller(Config([model], Workers(2, 4, 4)), [inspect_model(model)])
        await controller.start()
        try:
            before = there(controller)
            with lost_after("1ms"):
                for process in pids(controller):
                    os.kill(process, signal.SIGKILL)
                while controller.alive or before & there(controller):
                    await asyncio.sleep(0.1)
            with lost_after("1h"):
                await until_all_are_there(controller)
                failed = controller._cluster.workers[0]
                await failed.close()  # as Dask does when a start fails
                while failed in there(controller):
                    await asyncio.sleep(0.1)
                await until_all_are_there(controller)
            request = controller.submit(0, PROMPTS[0], Sampling(), NEW, frozenset())
            assert await collect(controller, request) == wanted[0]
        finally:
            await controller.finish()
            await controller.close()

    def lost_after(time):
        return dask.config.set({"distributed.deploy.lost-worker-timeout": time})

    def there(controller):
        return set(controller._cluster.workers.values())

    async def until_all_are_there(controller):
        while controller.alive < 2:
            await asyncio.sleep(0.1)

    asyncio.run(asyncio.wait_for(main(), 120))


def test_the_controller_is_killed(folder, wanted, start):
    """Clients have the right tokens so far and a broken connection; nobody is left; a server at the same port knows nothing of
    before; asked to go on behind what they have, it gives the rest: no token is missing, none comes twice."""
    draw = random.Random(seed(2))
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    (folder / "cluster.toml").write_text(CONFIG.format(port=port))
    server = start()
    broken = 0
    for _ in range(kills(2)):
        seen = [[] for _ in PROMPTS]
        with concurrent.futures.ThreadPoolExecutor(len(PROMPTS)) as pool:
            clients = [pool.submit(follow, server, prompt, tokens) for prompt, tokens in zip(PROMPTS, seen)]
            time.sleep(draw.uniform(0.0, 6.0))
            everything = processes(server.process.pid)
            server.process.kill()
            server.process.wait()
            complete = [client.result(60) for client in clients]
        until = time.monotonic() + 60
        while left := [p for p in everything if p in processes(p)]:
            assert time.monotonic() < until, left
            time.sleep(0.1)
        server = start()
        health = server.ask("/health", key=None)[1]
        assert health["running"] == health["waiting"] == 0
        print(f"{[len(tokens) for tokens in seen]} tokens seen, ended: {complete}")
        for prompt, tokens, ended, want in zip(PROMPTS, seen, complete, wanted):
            assert tokens == want[: len(tokens)] and (not ended or len(tokens) == NEW)
            broken += not ended
            rest = NEW - len(tokens)
            assert not rest or server.complete([*prompt, *tokens], rest) == want[len(tokens) :]
    assert broken
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(60) == 0


def test_either_side_of_a_move_is_killed(folder, wanted):
    """A request is told to move to another worker, and one of both dies meanwhile."""
    draw = random.Random(seed(3))
    model = ServedModel("first", folder / "first.wimg", 4, 4, "f32", 256, 8, "wse3")

    async def main():
        controller = Controller(Config([model], Workers(2, 4, 4)), [inspect_model(model)])
        await controller.start()
        try:
            for trial in range(kills(2)):
                await one(controller, trial)
            assert controller.metrics.lost._value.get() >= 1
        finally:
            await controller.finish()
            await controller.close()

    async def one(controller, trial):
        while controller.alive < 2:
            await asyncio.sleep(0.1)
        slow, quick = (1.0, 1.0), (0.0, 0.001)  # as if the other way had been slow
        resume, carry = ((slow, quick), (quick, slow))[trial % 2]
        controller.scheduler.models[0] = replace(controller.scheduler.models[0], resume=resume, carry=carry)
        request = controller.submit(0, PROMPTS[0], Sampling(), NEW, frozenset())
        task = asyncio.ensure_future(collect(controller, request))
        while len(request.tokens) < 3 and not task.done():
            await asyncio.sleep(0.01)
        source = next((i for i in instances(controller) if i.request is request), None)
        if source is not None:
            moving = asyncio.ensure_future(controller._move(away(controller.scheduler, source)))
            await asyncio.sleep(draw.uniform(0.0, 2.0))
            os.kill(draw.choice(pids(controller)), signal.SIGKILL)
            await moving
        assert await task == wanted[0]

    def away(scheduler, source):
        """To the other worker, where the model is loaded or has to be."""
        now, other = time.monotonic(), 1 - source.worker
        source.state = "moving"
        for target in scheduler.instances[other].values():
            scheduler.idle[0].pop(target.number)
            scheduler._copies[0] += 1
            target.state = "loading"
            return Move(source, target, True, now, now)
        return Move(source, scheduler._add(0, other, (0, 0, 4, 4), None, now), False, now, now)

    def instances(controller):
        return [i for there in controller.scheduler.instances for i in there.values()]

    asyncio.run(asyncio.wait_for(main(), 120 + 60 * kills(2)))
