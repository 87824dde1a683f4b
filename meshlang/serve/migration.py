"""A request that is being decoded moves to another worker, with a mesh of another shape, in another process.

Two ways, and in both the old owner (source) hands over to the new one (target) at one point, the `move` in the ledger:

    tokens   the target computes prompt and tokens anew, in rounds: the source goes on decoding meanwhile, and tells what is new, until the
             target is at most `gap` tokens behind. Then it pauses, and the target catches up
    keys     the source pauses, reads keys and values from its mesh and sends them; the target puts them where its own mesh wants them

No token is lost or repeated, because a token counts when it is in the ledger, and only the owner may put one there. If either side dies, the
other one sees its connection end and looks into the ledger: whoever is the owner goes on, and a dead owner's request is adopted, from its last
token. Decoding goes on with what is in the ledger, so it does not matter how far the other side had come.
"""

from __future__ import annotations

import contextlib
import json
import select
import socket
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from meshlang.diag import MeshlangError
from meshlang.models.key_values import KeyValues
from meshlang.models.runner import Runner

from .ledger import Ledger, Presence, Request, serve_error

GAP = 2  # tokens that the target may be behind when the source pauses
ROUNDS = 8  # after so many it pauses anyway
POLL = 0.02  # seconds between looks for requests without an owner
WAYS = ("tokens", "keys")


class Link:
    """Messages between two workers: an object in JSON, and bytes."""

    def __init__(self, connection: socket.socket):
        self.connection = connection

    def send(self, message: dict[str, Any], payload: bytes = b"") -> None:
        text = json.dumps(message).encode()
        self.connection.sendall(struct.pack("<IQ", len(text), len(payload)) + text)
        self.connection.sendall(payload)

    def receive(self) -> tuple[dict[str, Any], bytes]:
        """EOFError if the other side is gone, or says what is no message."""
        length, payload = struct.unpack("<IQ", self._exactly(12))
        try:
            message = json.loads(self._exactly(length))
        except ValueError:
            raise EOFError from None
        if not isinstance(message, dict):
            raise EOFError
        return message, self._exactly(payload)

    def waiting(self) -> bool:
        """Is there something to receive (or the end)?"""
        return bool(select.select([self.connection], [], [], 0)[0])

    def close(self) -> None:
        self.connection.close()

    def _exactly(self, n: int) -> bytes:
        parts = []
        while n:
            try:
                part = self.connection.recv(min(n, 1 << 20))
            except OSError:
                part = b""
            if not part:
                raise EOFError
            parts.append(part)
            n -= len(part)
        return b"".join(parts)


@dataclass
class Move:
    """What a migration took. rounds: of catching up. paused: seconds in which nobody decoded. seconds: in all. bytes: of keys
    and values. cycles: of what the target computed, or of its hand-over."""

    way: str
    rounds: int = 0
    tokens: int = 0
    bytes: int = 0
    seconds: float = 0.0
    paused: float = 0.0
    cycles: int = 0


class Decoding:
    """A request on a worker's fabric."""

    def __init__(self, ledger: Ledger, worker: str, request: Request, runner: Runner):
        self.ledger, self.worker, self.request, self.runner = ledger, worker, request, runner
        self.epoch = request.epoch
        self._random = request.sampling.generator()
        self._drawn = 0

    def catch_up(self, tokens: list[int] | None = None) -> None:
        """Let the runner have seen all tokens (the ledger's, or these) but the last one."""
        sequence = (self.request.sequence if tokens is None else tokens)[:-1]
        runner = self.runner
        while runner.tokens < len(sequence):
            end = len(sequence)
            scaling = runner.config.rotary_scaling
            if scaling is not None and scaling.kind == "dynamic":
                # a key's rotation depends on how long the sequence was when it was computed
                prompt = len(self.request.prompt)
                end = prompt if runner.tokens < prompt <= end else runner.tokens + 1
            runner.feed(sequence[runner.tokens : end])

    def step(self) -> bool:
        """Choose the next token. False if there is none any more. MS1631 if the request is not ours any more."""
        request = self.request
        if request.ended and request.owner == self.worker:
            return False
        if request.complete:
            self.ledger.end(request.id, self.worker, self.epoch)
            return False
        self.catch_up()
        logits = self.runner.feed(request.sequence[self.runner.tokens :])
        if request.sampling.temperature > 0 and self._drawn < len(request.tokens):
            self._random.random(len(request.tokens) - self._drawn)  # what others have drawn
            self._drawn = len(request.tokens)
        token = request.sampling.choose(logits, self._random)
        self._drawn += 1
        self.ledger.token(request.id, self.worker, self.epoch, len(request.tokens), token)
        return True

    def finish(self) -> None:
        while self.step():
            pass


def hand_over(decoding: Decoding, link: Link, to: str, way: str = "tokens", gap: int = GAP) -> Move | None:
    """The source's side: move a request to the worker `to` at the other end of the link, decoding meanwhile. None if it stays,
    because it has ended meanwhile or the other side is gone."""
    if way not in WAYS:
        raise serve_error("MS1634", f"a request moves by {' or '.join(WAYS)}, not {way!r}")
    request, ledger = decoding.request, decoding.ledger
    move = Move(way)
    began = paused = time.monotonic()
    try:
        link.send({"do": "take", "id": request.id, "way": way})
        if not _decode_until_answer(decoding, link):
            return None
        if way == "tokens":
            known, last = 0, len(request.sequence) + 1
            # a target that is no faster than the source does not come nearer: then the source pauses at once
            while gap < (behind := len(request.sequence) - known) < last and move.rounds < ROUNDS:
                known, last = len(request.sequence), behind
                link.send({"do": "compute", "tokens": request.sequence})
                if not _decode_until_answer(decoding, link):
                    return None
                move.rounds += 1
            paused = time.monotonic()
            link.send({"do": "compute", "tokens": request.sequence})
        else:
            decoding.catch_up()
            paused = time.monotonic()
            kv = decoding.runner.key_values()
            move.bytes = kv.nbytes
            shape = {"shape": list(kv.keys.shape), "dtype": kv.keys.dtype.str}
            link.send({"do": "restore", **shape}, kv.keys.tobytes() + kv.values.tobytes())
        answer, _ = link.receive()
        move.tokens, move.cycles = int(answer["tokens"]), int(answer["cycles"])
        ledger.move(request.id, decoding.worker, decoding.epoch, to)
        link.send({"do": "go"})
    except (EOFError, OSError, KeyError):
        ledger.refresh()
        if request.owner == decoding.worker:
            return None
    move.seconds, move.paused = time.monotonic() - began, time.monotonic() - paused
    return move


def _decode_until_answer(decoding: Decoding, link: Link) -> bool:
    """False if the request has ended before the answer came."""
    while not link.waiting():
        if not decoding.step():
            link.send({"do": "forget"})
            return False
    answer, _ = link.receive()
    return "error" not in answer


def take_over(ledger: Ledger, worker: str, link: Link, open_runner: Callable[[Request], Runner]) -> Decoding | None:
    """The target's side: prepare for a request that the other end wants to hand over, and take it. None if it stays there. If the
    other side dies, what the ledger says holds: see `Worker.adopt`."""
    decoding: Decoding | None = None
    try:
        while True:
            message, payload = link.receive()
            do = message.get("do")
            if do == "take":
                ledger.refresh()
                request = ledger.requests.get(str(message.get("id")))
                if request is None:
                    link.send({"error": "unknown"})
                    return None
                decoding = Decoding(ledger, worker, request, open_runner(request))
                link.send({"ok": True})
            elif decoding is None or do in (None, "forget"):
                return None
            elif do == "go":
                break
            else:
                runner = decoding.runner
                before = sum(runner.decode_cycles) + runner.prefill_cycles + runner.settle_cycles
                if do == "compute":
                    decoding.catch_up(list(message["tokens"]))
                else:
                    runner.restore(_key_values(message, payload))
                cycles = sum(runner.decode_cycles) + runner.prefill_cycles + runner.settle_cycles - before
                link.send({"tokens": runner.tokens, "cycles": cycles})
    except MeshlangError as error:  # it does not fit here, say
        with contextlib.suppress(OSError):
            link.send({"error": str(error)})
        return None
    except (EOFError, OSError, KeyError, TypeError, ValueError):
        pass
    if decoding is None:
        return None
    ledger.refresh()
    decoding.epoch = decoding.request.epoch
    if decoding.request.owner != worker and not ledger.adopt(decoding.request.id, worker):
        return None
    decoding.epoch = decoding.request.epoch
    return decoding


def _key_values(message: dict[str, Any], payload: bytes) -> KeyValues:
    shape = tuple(map(int, message["shape"]))
    both = np.frombuffer(payload, np.dtype(message["dtype"])).reshape(2, *shape)
    return KeyValues(both[0], both[1])


class Worker:
    """A worker that decodes requests of a ledger, one at a time, hands them over and takes them over. open_runner: makes a runner for
    a request, with nothing in it."""

    def __init__(self, ledger: Ledger, name: str, open_runner: Callable[[Request], Runner]):
        self.ledger, self.name, self.open_runner = ledger, name, open_runner
        self.presence = Presence(ledger.folder, name)

    def decoding(self, request: Request) -> Decoding:
        return Decoding(self.ledger, self.name, request, self.open_runner(request))

    def adopt(self) -> Decoding | None:
        """A request that is ours and waits (we were killed with it), or whose owner is dead."""
        self.ledger.refresh()
        for request in list(self.ledger.requests.values()):
            if request.ended:
                continue
            if request.owner == self.name or self.ledger.adopt(request.id, self.name):
                return self.decoding(request)
        return None

    def serve(self, door: socket.socket, until: Callable[[], bool]) -> None:
        """Take over what comes through the door, and adopt what has lost its owner, until `until`."""
        while not until():
            if select.select([door], [], [], POLL)[0]:
                link = Link(door.accept()[0])
                try:
                    decoding = take_over(self.ledger, self.name, link, self.open_runner)
                finally:
                    link.close()
            else:
                decoding = self.adopt()
            if decoding is not None:
                decoding.finish()


def connect(address: tuple[str, int] | str, timeout: float = 10.0) -> Link:
    """A link to a worker's door: (host, port), or the path of a socket. MS1635 if nobody is there, or nobody could be."""
    if not isinstance(address, str) and not (isinstance(address[1], int) and 1 <= address[1] <= 65535):
        raise serve_error("MS1635", f"no worker can be at {address}", "expected a host and a port from 1 to 65535")
    kind = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
    connection = socket.socket(kind, socket.SOCK_STREAM)
    try:
        connection.settimeout(timeout)
        connection.connect(address)
        connection.settimeout(None)
    except OSError as error:
        connection.close()
        raise serve_error("MS1635", f"no worker answers at {address}: {error}", "is it running?") from None
    return Link(connection)
