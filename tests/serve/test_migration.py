"""Requests that move: every token once, whatever dies; and a ledger on which all agree."""

from __future__ import annotations

import json
import os
import random
import select
import signal
import socket
import sys
import time
import traceback

import numpy as np
import pytest
from checkpoints import write_model
from killing import kills, seed

from meshlang import MeshlangError
from meshlang.cli import main
from meshlang.models.checkpoint import Checkpoint
from meshlang.models.fit import place
from meshlang.models.runner import Runner
from meshlang.models.sampling import Sampling
from meshlang.serve.image import FileImage
from meshlang.serve.image_write import write_image
from meshlang.serve.ledger import Ledger, Presence, alive
from meshlang.serve.migration import Decoding, Link, Worker, connect, hand_over, take_over

PROMPT = [5, 9, 11]
NEW = 20
WAYS = ("tokens", "keys")


def code_of(action):
    with pytest.raises(MeshlangError) as found:
        action()
    return found.value.diagnostics[0].code


# ------------------------------------------------------------ the ledger


def test_ledger(tmp_path):
    one, other = Ledger(tmp_path), Ledger(tmp_path)
    one.new("r", [1, 2], 3, "a", Sampling(0.5, seed=4), (9,))
    assert code_of(lambda: other.new("r", [1], 1, "b")) == "MS1631"
    assert other.requests["r"] == one.requests["r"] and other.requests["r"].sampling.seed == 4
    one.token("r", "a", 1, 0, 7)
    for wrong in (
        ("r", "b", 1, 1, 7),
        ("r", "a", 2, 1, 7),
        ("r", "a", 1, 0, 7),
        ("r", "a", 1, 2, 7),
        ("x", "a", 1, 0, 7),
    ):
        assert code_of(lambda wrong=wrong: other.token(*wrong)) == "MS1631"
    other.move("r", "a", 1, "b")
    assert code_of(lambda: one.token("r", "a", 1, 1, 8)) == "MS1631"
    other.token("r", "b", 2, 1, 9)
    one.refresh()
    assert one.requests["r"].sequence == [1, 2, 7, 9] and one.requests["r"].complete
    assert one.requests["r"].owners == ["a", "b"]
    one.end("r", "b", 2)
    assert code_of(lambda: other.move("r", "b", 2, "a")) == "MS1631"


def test_a_dead_owner_is_followed_by_one_other(tmp_path):
    ledger = Ledger(tmp_path)
    ledger.new("r", [1], 5, "a")
    held = Presence(tmp_path, "a")
    assert alive(tmp_path, "a") and not alive(tmp_path, "nobody")
    assert code_of(lambda: Presence(tmp_path, "a")) == "MS1633"
    assert not ledger.adopt("r", "b")
    held.leave()
    others = [Ledger(tmp_path) for _ in range(3)]
    presences = [Presence(tmp_path, f"w{i}") for i in range(3)]
    assert [o.adopt("r", f"w{i}") for i, o in enumerate(others)] == [True, False, False]
    assert not ledger.adopt("r", "w0")
    del presences


def test_a_ledger_survives_half_a_line_and_refuses_others(tmp_path):
    ledger = Ledger(tmp_path)
    ledger.new("r", [1], 5, "a")
    whole = ledger.path.read_bytes()
    for n in range(1, len(whole)):
        ledger.path.write_bytes(whole + whole[:n])
        again = Ledger(tmp_path)
        again.token("r", "a", 1, 0, n)
        assert Ledger(tmp_path).requests["r"].tokens == [n]
        again.close()
    rng = random.Random(1)
    for _ in range(200):
        data = bytearray(whole)
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(7)
        ledger.path.write_bytes(data)
        if data[-1:] == b"\n":
            assert code_of(lambda: Ledger(tmp_path)) == "MS1632"
    ledger.path.write_bytes(whole)
    ledger = Ledger(tmp_path)
    ledger._append({"op": "token", "id": "r", "epoch": 1, "index": 0, "token": 3})
    assert code_of(lambda: ledger._append({"op": "pause", "id": "r"})) == code_of(lambda: Ledger(tmp_path)) == "MS1632"


# ------------------------------------------------------------ moving


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """One model on two meshes, in f32; the second is streamed, and prefills more."""
    folder = tmp_path_factory.mktemp("model")
    write_model(folder, seed=8, num_hidden_layers=2, eos_token_id=None)
    checkpoint = Checkpoint(folder)
    found = []
    for height, width, prompt, mode in ((2, 3, 3, "resident"), (3, 2, 12, "streamed")):
        path = folder / f"{height}.wimg"
        placement = place(checkpoint.config, height, width, tokens=24, prompt=prompt, dtype=np.float32, mode=mode)
        write_image(path, checkpoint, placement)
        image = FileImage(path)
        assert image.program and image.placement.prompt
        found.append(image)
    return found


@pytest.fixture(scope="module")
def want(images):
    """What is generated without moving, on either mesh."""
    found = []
    for image in images:
        runner, tokens = image.runner(), []
        logits = runner.feed(PROMPT)
        for _ in range(NEW):
            tokens.append(int(logits.argmax()))
            logits = runner.feed(tokens[-1:])
        found.append(tokens)
    assert found[0] == found[1] and len(set(found[0])) > 2
    return found[0]


def child(act):
    """A process that does something, and nothing else."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        act()
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def patiently(decoding, link, way):
    """`hand_over` of a source that does not come to the end of its request before the target has answered, however long that takes:
    from half of the tokens on it waits for each answer. Behind each it decodes one more at most."""
    step = decoding.step

    def wait():
        if len(decoding.request.tokens) >= NEW // 2:
            select.select([link.connection], [], [])
        return step()

    decoding.step = wait
    try:
        return hand_over(decoding, link, "target", way)
    finally:
        del decoding.step


class Pair:
    """A source with a request and a target, each a process, and the folder of their ledger."""

    def __init__(self, folder, images, way):
        self.folder, self.images, self.way = folder, images, way
        Ledger(folder).new("r", PROMPT, NEW, "source")
        self.door = socket.socket(socket.AF_UNIX)
        self.door.bind(str(folder / "door"))
        self.door.listen()

    def worker(self, name):
        image = self.images[name == "target"]
        return Worker(Ledger(self.folder), name, lambda request: image.runner())

    def done(self, ledger):
        ledger.refresh()
        return ledger.requests["r"].ended

    def start(self):
        """The processes of target and source. The owner of a request must be there before anyone looks for dead ones."""
        source = child(self.source)
        while not alive(self.folder, "source") and not os.waitpid(source, os.WNOHANG)[0]:
            time.sleep(0.002)
        target = child(self.target)
        self.door.close()  # it is the target's alone: with it ends what waits at it
        return target, source

    def source(self):
        worker = self.worker("source")
        self.door.close()
        decoding = worker.decoding(worker.ledger.requests["r"])
        for _ in range(3):
            decoding.step()
        try:
            move = patiently(decoding, connect(str(self.folder / "door")), self.way)
        except MeshlangError as error:  # the target has been killed already
            assert error.diagnostics[0].code == "MS1635"
            move = None
        if move is None:
            decoding.finish()
        nobody = socket.socket(socket.AF_UNIX)
        nobody.bind(str(self.folder / f"source{os.getpid()}"))
        nobody.listen()
        worker.serve(nobody, lambda: self.done(worker.ledger))

    def target(self):
        worker = self.worker("target")
        worker.serve(self.door, lambda: self.done(worker.ledger))


@pytest.mark.parametrize("way", WAYS)
def test_between_processes(images, want, tmp_path, way):
    pair = Pair(tmp_path, images, way)
    assert [os.waitpid(pid, 0)[1] for pid in pair.start()] == [0, 0]
    request = Ledger(tmp_path).requests["r"]
    assert request.tokens == want and request.owners == ["source", "target"] and request.ended


def test_killed_at_any_time(images, want, tmp_path):
    """kill -9 of source or target, many times, at times spread over a whole migration: every token once, one owner after the
    other."""
    began = time.monotonic()
    pair = Pair(tmp_path, images, "tokens")
    for pid in pair.start():
        os.waitpid(pid, 0)
    whole = time.monotonic() - began
    rng = random.Random(seed(3))
    owners = set()
    for trial in range(kills(20)):
        folder = tmp_path / str(trial)
        folder.mkdir()
        pair = Pair(folder, images, WAYS[trial % 2])
        target, source = pair.start()
        killed, left = (source, target) if trial // 2 % 2 else (target, source)
        time.sleep(rng.uniform(0, whole))
        os.kill(killed, signal.SIGKILL)
        os.waitpid(killed, 0)
        assert os.waitpid(left, 0)[1] == 0
        request = Ledger(folder).requests["r"]
        assert request.ended and request.tokens == want
        assert request.epoch == len(request.owners) <= 3
        assert all(a != b for a, b in zip(request.owners, request.owners[1:]))
        owners.add(tuple(request.owners))
    assert len(owners) > 1  # kills came before and behind the hand-over


def test_killed_and_started_again(images, want, tmp_path):
    """Alone: a worker that is killed and comes back goes on with its request."""
    ledger = Ledger(tmp_path)
    ledger.new("r", PROMPT, NEW, "w")

    def run():
        worker = Worker(Ledger(tmp_path), "w", lambda request: images[0].runner())
        decoding = worker.adopt()
        if decoding is not None:
            decoding.finish()

    for pause in (0.15, 0.3, 0.6):
        pid = child(run)
        time.sleep(pause)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    run()
    assert Ledger(tmp_path).requests["r"].tokens == want


def in_threads(tmp_path, images, way, **more):
    """Both sides in one process, step by step: the source's move and the target's decoding."""
    import threading

    ledgers = [Ledger(tmp_path), Ledger(tmp_path)]
    request = ledgers[0].new("r", PROMPT, NEW, "source", **more)
    held = Presence(tmp_path, "source"), Presence(tmp_path, "target")
    ledgers[1].refresh()
    decoding = Decoding(ledgers[0], "source", request, images[0].runner())
    for _ in range(5):
        decoding.step()
    a, b = socket.socketpair()
    found: list[Decoding | None] = []
    side = threading.Thread(
        target=lambda: found.append(take_over(ledgers[1], "target", Link(b), lambda request: images[1].runner()))
    )
    side.start()
    move = patiently(decoding, Link(a), way)
    if move is None:
        a.close()
    side.join()
    for presence in held:
        presence.leave()
    return decoding, move, found[0]


@pytest.mark.parametrize("way", WAYS)
def test_drawn_tokens_go_on_as_they_would(images, tmp_path, way):
    """Sampling, too: what the target draws is what the source would have drawn."""
    drawn = Sampling(temperature=1.5, seed=7)
    alone = Ledger(tmp_path / "alone")
    request = alone.new("r", PROMPT, NEW, "w", drawn)
    Decoding(alone, "w", request, images[0].runner()).finish()
    source, move, target = in_threads(tmp_path, images, way, sampling=drawn)
    assert code_of(source.step) == "MS1631"
    target.finish()
    assert target.request.tokens == request.tokens and len(set(request.tokens)) > 4
    assert move.way == way and (move.cycles > 0) == (way == "tokens") and move.paused <= move.seconds
    fed = len(PROMPT) + 4  # all but the last, when it paused
    assert move.tokens >= fed
    if way == "keys":
        assert move.bytes == 2 * 2 * move.tokens * 16 * 4 and not move.rounds
    else:
        assert move.rounds >= 1 and not move.bytes


def test_a_target_that_cannot(images, tmp_path):
    """What does not fit on the target stays with the source, which goes on."""

    class Small(Runner):
        def feed(self, tokens):
            raise MeshlangError()

    def broken(request):
        runner = images[1].runner()
        runner.__class__ = Small
        return runner

    class Broken:
        runner = staticmethod(lambda: broken(None))

    source, move, target = in_threads(tmp_path, [images[0], Broken], "tokens")
    assert move is None and target is None
    source.finish()
    assert source.request.owners == ["source"] and len(source.request.tokens) == NEW


def test_no_such_way_and_nobody_there(images, tmp_path):
    ledger = Ledger(tmp_path)
    decoding = Decoding(ledger, "a", ledger.new("r", PROMPT, 2, "a"), images[0].runner())
    a, b = socket.socketpair()
    assert code_of(lambda: hand_over(decoding, Link(a), "b", "post")) == "MS1634"
    for nobody in (str(tmp_path / "nobody"), "/" + 200 * "x", *(("127.0.0.1", port) for port in (0, -1, 99999, "80"))):
        assert code_of(lambda nobody=nobody: connect(nobody)) == "MS1635"
    b.close()
    assert hand_over(decoding, Link(a), "b") is None
    decoding.finish()
    assert len(decoding.request.tokens) == 2


def test_what_moving_costs(images, tmp_path, capsys):
    names = [image.name for image in images]
    assert main(["llm", "move", *names, "--tokens", "5,9,11", "--at", "6,12", "--clock", "1000", "--json"]) == 0
    costs = json.loads(capsys.readouterr().out)["costs"]
    assert [c["tokens"] for c in costs] == [6, 12] and all(c["same"] == [True, True] for c in costs)
    for c in costs:
        assert c["bytes"] == 2 * 2 * c["tokens"] * 16 * 4
        assert c["computed"] > c["restored"] and c["generated"] > 0
        assert c["bandwidth"] == pytest.approx(c["bytes"] * 1e9 / (c["computed"] - c["restored"]))
    assert main(["llm", "move", *names, "--tokens", "5,9,11", "--at", "6"]) == 0
    assert "GB/s  yes and yes" in capsys.readouterr().out
    for option, code in (("3", 1), ("99", 1), ("x", 2)):
        assert main(["llm", "move", *names, "--tokens", "5,9,11", "--at", option]) == code
