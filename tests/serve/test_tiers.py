"""Tiers: what is loaded is what was written, whatever way it took; nothing is fetched twice, nothing is lost."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest
from checkpoints import write_model
from killing import kills, seed
from range_server import RangeServer

from meshlang import MeshlangError
from meshlang.models.checkpoint import Checkpoint
from meshlang.models.fit import place
from meshlang.serve import image_format
from meshlang.serve.image import FileImage
from meshlang.serve.image_write import write_image
from meshlang.serve.pool import FRAME, LEAST, Pool
from meshlang.serve.station import Station
from meshlang.serve.tiers import Loader

PROMPT = [5, 9, 11]


@pytest.fixture(scope="module", autouse=True)
def small_chunks():
    """So that a tiny image has many."""
    before, image_format.CHUNK = image_format.CHUNK, 8192
    yield
    image_format.CHUNK = before


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    write_model(folder, seed=3, num_hidden_layers=4)
    checkpoint = Checkpoint(folder)
    target = folder / "model.wimg"
    write_image(target, checkpoint, place(checkpoint.config, 3, 2, tokens=8, dtype=np.float32))
    return target


@pytest.fixture
def server(path):
    pytest.importorskip("httpx", reason="the extra serve is not installed")
    with RangeServer(path.parent) as server:
        yield server


def gather(loader, image):
    """All chunks through the tiers, and what came."""
    found: dict[int, bytes] = {}
    load = loader.load(image, image.chunks, lambda chunk, data: found.__setitem__(chunk.number, data.tobytes()))
    load.wait()
    return load, found


def same(image, found, path):
    data = path.read_bytes()
    return found == {c.number: data[c.offset : c.offset + c.size] for c in image.chunks}


def code_of(action):
    with pytest.raises(MeshlangError) as found:
        action()
    return found.value.diagnostics[0].code


def test_a_model_through_tiers_computes_the_same(path, server):
    want = FileImage(path).runner().feed(PROMPT)
    with Loader(64 * FRAME) as loader:
        for where in (path, f"{server.address}/model.wimg"):
            image = loader.open(where)
            assert np.array_equal(image.runner().feed(PROMPT), want)
            report = image.last.report()
            assert report["bytes"] == sum(report["tiers"].values()) > 0
        # one model, whatever it was called: the second one's payload was in the pool
        assert set(report["tiers"]) == {"host"}


def test_every_tier_has_it_once(path, server, tmp_path):
    url = f"{server.address}/model.wimg"
    with Loader(256 * FRAME, tmp_path) as loader:
        image = loader.open(url)
        beginning = len(server.requests)
        load, found = gather(loader, image)
        assert same(image, found, path) and set(load.bytes) == {"remote"}
        assert sorted(server.requests[beginning:]) == sorted(
            ("model.wimg", c.offset, c.offset + c.size - 1) for c in image.chunks
        )
        load, found = gather(loader, image)
        assert same(image, found, path) and set(load.bytes) == {"host"}
        count = len(server.requests)
    with Loader(256 * FRAME, tmp_path) as loader:  # what was fetched is kept on the disk
        assert (tmp_path / f"{image.identity}.wimg").read_bytes() == path.read_bytes()
        image = loader.open(url)
        opened = len(server.requests)
        load, found = gather(loader, image)
        assert same(image, found, path) and set(load.bytes) == {"disk"} and len(server.requests) == opened
    assert opened == count + 2  # the size and the header, no payload
    assert sorted(p.name for p in tmp_path.iterdir()) == [f"{image.identity}.wimg"]


def test_what_is_damaged_on_the_disk_is_fetched_again(path, server, tmp_path):
    url = f"{server.address}/model.wimg"
    with Loader(256 * FRAME, tmp_path) as loader:
        gather(loader, loader.open(url))
    kept = next(tmp_path.iterdir())
    data = bytearray(kept.read_bytes())
    data[-100] ^= 1
    kept.write_bytes(data)
    with Loader(256 * FRAME, tmp_path) as loader:
        image = loader.open(url)
        before = len(server.requests)
        _, found = gather(loader, image)
        assert same(image, found, path) and len(server.requests) == before + 1
    assert kept.read_bytes() == path.read_bytes()


def test_a_small_pool_is_enough(path):
    with Loader(LEAST * FRAME) as loader:
        image = loader.open(path)
        for _ in range(2):
            _, found = gather(loader, image)
            assert same(image, found, path)
        used, pinned = loader.pool.used()
        assert used <= LEAST and pinned == 0
    assert code_of(lambda: Pool(LEAST * FRAME - 1)) == "MS1622"


def test_least_recently_used_goes_first():
    pool = Pool(4 * FRAME)
    for number in range(4):
        frame, mine = pool.claim(("a", number), 10, lambda: True)
        assert mine
        pool.settle(frame)
        pool.unpin(frame)
    again, mine = pool.claim(("a", 0), 10, lambda: True)  # the oldest is used again, and stays pinned
    assert not mine
    for number in (4, 5, 6):
        frame, _ = pool.claim(("b", number), 10, lambda: True)
        pool.settle(frame)
        pool.unpin(frame)
    assert [pool.holds(("a", n)) for n in range(4)] == [True, False, False, False]
    frames = [pool.claim(("c", n), 10, lambda: True)[0] for n in range(3)]
    assert pool.claim(("c", 9), 10, lambda: False) is None  # all pinned, and nobody waits
    pool.settle(frames[0], MeshlangError())
    assert not pool.holds(("c", 0))
    pool.unpin(frames[0])
    assert pool.claim(("c", 9), 10, lambda: False) is not None
    pool.unpin(again)


def test_a_station_serves_by_bytes():
    gate, order = threading.Event(), []

    def work(owner, item):
        gate.wait()
        order.append(owner)
        return 1, None

    station = Station("test", 1, work)
    station.submit("first", 0, 1)
    time.sleep(0.05)  # the thread waits at the gate with it
    for _ in range(6):
        station.submit("large", 0, 20)
        station.submit("small", 0, 10)
    gate.set()
    station.close()
    assert order[0] == "first"
    for n in range(3, 10):  # at any time both have had about as many bytes
        large, small = order[:n].count("large") * 20, order[:n].count("small") * 10
        assert abs(large - small) <= 20 or order[:n].count("small") == 6
    assert station.work_done()[0] == len(order) == 13


def test_who_brings_something_carries_it_on():
    """The same thread does the next station's work while that is idle; the first station does not count its time."""
    gates = [threading.Event() for _ in range(4)]
    who: dict[int, str] = {}

    def after(owner, item):
        who[item] = threading.current_thread().name
        gates[item].wait()
        return 10, None

    second = Station("second", 1, after)
    first = Station("first", 2, lambda owner, item: (1, lambda: second.carry(owner, item, 10)))
    first.submit("a", 0, 1)
    until(lambda: 0 in who)
    busy = first.work_done()
    assert busy[0] == 1 and second.work_done()[0] == 0
    first.submit("a", 1, 1)  # as many are at work in the second station as it has threads: its own does this
    until(lambda: 1 in who)
    second.submit("b", 2, 10)
    first.submit("a", 3, 1)  # somebody waits there: this does, too
    until(lambda: second.waiting()["a"] == 10)
    assert set(who) == {0, 1}
    for gate in gates:
        gate.set()
    first.close()
    second.close()
    assert who == {0: who[0], 1: "second-0", 2: "second-0", 3: "second-0"} and who[0].startswith("first")
    assert second.work_done()[0] == 40 and first.work_done()[0] == 3 and first.work_done()[1] < second.work_done()[1]


def until(condition):
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.001)


def test_a_pool_that_nobody_uses_again(path):
    """A frame is free as soon as nobody needs it, and it is the next one: few are ever touched."""
    pool = Pool(LEAST * FRAME, once=True)
    frame, mine = pool.claim(("a", 0), 10, lambda: True)
    pool.settle(frame)
    other, again = pool.claim(("a", 0), 10, lambda: True)
    assert mine and not again and other is frame
    pool.unpin(frame)
    assert pool.holds(("a", 0))  # somebody still needs it
    pool.unpin(frame)
    assert not pool.holds(("a", 0))
    assert pool.claim(("a", 1), 10, lambda: True)[0].index == frame.index
    with Loader(256 * FRAME, once=True) as loader:
        image = loader.open(path)
        for _ in range(2):
            load, found = gather(loader, image)
            assert same(image, found, path) and set(load.bytes) == {"disk"}
        assert loader.pool.used() == (0, 0)
        touched = loader.pool._bytes.any(axis=1).sum()
        assert 0 < touched < min(len(image.chunks), 16)


def test_a_load_that_has_ended_brings_nothing(path):
    """Nothing counts as work of a station, and no frame is taken."""
    with Loader(64 * FRAME) as loader:
        image = loader.open(path)
        load = SimpleNamespace(image=image, ended=True)
        assert loader._fill(load, image.chunks[0], "disk") == (0, None)
        assert not loader.pool.holds((image.identity, image.chunks[0].number)) and loader.pool.used() == (0, 0)


def test_what_comes_after_closing_is_not_kept(path, server, tmp_path):
    """The number of the folder's file may belong to another file by then."""
    with Loader(64 * FRAME, tmp_path) as loader:
        image = loader.open(f"{server.address}/model.wimg")
        kept = image.kept
        image.close()
        other = tmp_path / "other"
        with other.open("wb+") as file:
            os.dup2(file.fileno(), kept._file)
            kept.keep(image.chunks[0], np.ones(image.chunks[0].size, np.uint8))
            os.close(kept._file)
        assert other.read_bytes() == b"" and not kept.has(image.chunks[0])


def test_parallel_loads_share(path, server, tmp_path):
    """Two models at once through a slow line: each chunk comes once for both of one model, and both models end at about the
    same time."""
    other = path.parent / "other.wimg"
    folder = path.parent
    checkpoint = Checkpoint(folder)
    write_image(other, checkpoint, place(checkpoint.config, 2, 3, tokens=8, dtype=np.float32))
    server.rate = 1e6
    with Loader(512 * FRAME) as loader:
        images = [loader.open(f"{server.address}/{name}.wimg") for name in ("model", "model", "other")]
        before = len(server.requests)
        loads = [loader.load(image, image.chunks, lambda *_: None) for image in images]
        for load in loads:
            load.wait()
        assert len(server.requests) - before == len(images[0].chunks) + len(images[2].chunks)
        ends = [load.finished - load.started for load in loads]
        assert min(ends) > 0.5 * max(ends)


def test_the_time_is_predicted(path, server):
    server.rate = 1e6
    with Loader(512 * FRAME) as loader:
        image = loader.open(f"{server.address}/model.wimg")
        load, _ = gather(loader, image)
        report = load.report()
        assert report["predicted"]["all"] == max(report["predicted"][t] for t in ("remote", "fabric"))
        # the server gives so much a second and no more; what the machine does beside this can only make it longer
        least = 0.8 * report["bytes"] / server.rate
        assert report["seconds"] > least and report["error"] == report["measured"] / report["predicted"]["all"] - 1
        assert report["predicted"]["all"] > 0.5 * least
        # all of it is in the pool: the fabric alone is left
        assert set(loader.predict(image, image.chunks)) == {"fabric", "all"}


def test_a_prediction_counts_those_who_share(path, monkeypatch):
    with Loader(512 * FRAME) as loader:
        image = loader.open(path)
        n = sum(chunk.size for chunk in image.chunks)
        monkeypatch.setattr(loader.disk, "work_done", lambda: (1000, 2.0))
        monkeypatch.setattr(loader.fabric, "work_done", lambda: (1000, 1.0))
        monkeypatch.setattr(loader.disk, "waiting", lambda: {"small": 5000, "large": 10 * n})
        # a small load takes what it needs, a large one as much as this one
        assert loader.predict(image, image.chunks) == {
            "disk": (5000 + n + n) / 500,
            "fabric": n / 1000,
            "all": (5000 + 2 * n) / 500,
        }


def test_cancelling_loses_nothing(path, server, tmp_path):
    server.rate = 3e6
    url = f"{server.address}/model.wimg"
    with Loader(512 * FRAME, tmp_path) as loader:
        image = loader.open(url)
        before = len(server.requests)
        loads = [loader.load(image, image.chunks, lambda *_: None) for _ in range(2)]
        time.sleep(0.1)
        loads[0].cancel()
        assert code_of(loads[0].wait) == "MS1623"
        time.sleep(0.02)
        loads[1].cancel()
        assert code_of(loads[1].wait) == "MS1623"
        server.rate = 0
        load, found = gather(loader, image)
        assert same(image, found, path)
        fetched = server.requests[before:]
        assert len(fetched) == len(set(fetched)) == len(image.chunks)
    assert loader.pool.used()[1] == 0
    assert next(tmp_path.iterdir()).read_bytes() == path.read_bytes()


def test_killed_at_any_time(path, server, tmp_path):
    """kill -9 of the loading process, many times: the next one goes on with what was kept."""
    url = f"{server.address}/model.wimg"
    rng, times = random.Random(seed(2)), kills(20)
    server.rate = 6e6
    for _ in range(times):
        child = os.fork()
        if not child:
            try:
                with Loader(64 * FRAME, tmp_path) as loader:
                    gather(loader, loader.open(url))
            finally:
                os._exit(0)
        time.sleep(rng.uniform(0.0, 0.1))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    server.rate = 0
    with Loader(64 * FRAME, tmp_path) as loader:
        image = loader.open(url)
        _, found = gather(loader, image)
        assert same(image, found, path)
        payload = [r for r in server.requests if r[1] >= image.chunks[0].offset]
        # a kill loses at most what was on its way: a chunk for each thread, and those that waited to be written
        assert len(payload) <= len(image.chunks) + times * 8
    assert [p.read_bytes() for p in tmp_path.iterdir()] == [path.read_bytes()]


def test_killed_behind_the_last_chunk(path, server, tmp_path):
    """The image is whole, its marks were not taken away any more: the next one does it, and fetches nothing."""
    url = f"{server.address}/model.wimg"
    with Loader(64 * FRAME, tmp_path) as loader:
        image = loader.open(url)
        gather(loader, image)
    image.kept.path.with_suffix(".have").write_bytes(bytes([1] * len(image.chunks)))
    before = len(server.requests)
    with Loader(64 * FRAME, tmp_path) as loader:
        image = loader.open(url)
        assert same(image, gather(loader, image)[1], path)
    assert not [r for r in server.requests[before:] if r[1] >= image.chunks[0].offset]
    assert [p.read_bytes() for p in tmp_path.iterdir()] == [path.read_bytes()]


@pytest.mark.parametrize(
    "fault, code",
    [("ranges", "MS1621"), ("change", "MS1621"), ("flip", "MS1613"), ("cut", "MS1620"), ("missing", "MS1620")],
)
def test_servers_that_fail(path, server, fault, code):
    with Loader(64 * FRAME) as loader:
        image = loader.open(f"{server.address}/model.wimg")
        server.fault = fault
        if fault != "flip":
            assert (
                code_of(lambda: image.source.read_into(0, np.empty(100, np.uint8)) or image.source.read(1, 9)) == code
            )
        assert code_of(lambda: gather(loader, image)) == code
        server.fault = None
        _, found = gather(loader, image)
        assert same(image, found, path)
    assert loader.pool.used()[1] == 0


def test_addresses_that_are_none(path):
    pytest.importorskip("httpx", reason="the extra serve is not installed")
    with Loader(64 * FRAME) as loader:
        for where in ("http://127.0.0.1:1/x.wimg", "http://", "http://[/x"):
            assert code_of(lambda where=where: loader.open(where)) == "MS1620"
        assert code_of(lambda: loader.open(path.parent / "nothing.wimg")) == "MS1610"
        assert code_of(lambda: loader.open(path.parent / "config.json")) == "MS1610"


def test_a_writer_that_fails_ends_the_load(path):
    def write(chunk, data):
        raise ValueError("no")

    with Loader(64 * FRAME) as loader:
        image = loader.open(path)
        assert code_of(loader.load(image, image.chunks, write).wait) == "MS1624"
        _, found = gather(loader, image)
        assert same(image, found, path)


def test_a_broken_connection_is_tried_again(tmp_path, monkeypatch):
    """So often, and then it is MS1620."""
    httpx = pytest.importorskip("httpx")

    from meshlang.serve.sources import TRIES, HttpSource

    (tmp_path / "image").write_bytes(bytes(range(100)))
    with RangeServer(tmp_path) as server:
        source = HttpSource(f"{server.address}/image")
        once, failures = HttpSource._once, []

        def broken(self, offset, out):
            if len(failures) < allowed:
                failures.append(offset)
                raise httpx.ReadError("gone")
            return once(self, offset, out)

        monkeypatch.setattr(HttpSource, "_once", broken)
        out = np.empty(5, np.uint8)
        allowed = TRIES - 1
        source.read_into(10, out)
        assert out.tolist() == [10, 11, 12, 13, 14] and failures == [10] * (TRIES - 1)
        allowed = 2 * TRIES
        with pytest.raises(MeshlangError, match="MS1620.*ReadError: gone"):
            source.read_into(20, out)
        assert failures[TRIES - 1 :] == [20] * TRIES
