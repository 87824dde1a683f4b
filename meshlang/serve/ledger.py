"""Who owns a request, and which tokens it has: one journal on which all workers agree.

A line is a record with a checksum. Whoever writes one locks the file, reads what others have written meanwhile, checks that it may write, and
appends; so all see the same records in the same order, and of two who want the same thing one comes first. A worker that is killed while it
writes leaves part of a line, which the next one cuts off: it was not written.

    new    a request begins, with its first owner, in epoch 1
    token  the owner has chosen a token, number `index` of the request
    move   another owner, in the next epoch
    end    complete; nothing follows

Ownership changes by `move` alone, which only the owner may write, or anyone if the owner is dead. It is the one point at which a hand-over
happens: before it the old owner goes on, behind it the new one. A worker is alive as long as it holds the lock of its file, which the system
lets go when the process ends, however it ends.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from meshlang import files
from meshlang.diag import Diagnostic, MeshlangError
from meshlang.models.sampling import Sampling

ASKED = 5  # tries to get a name that seems to be taken


def serve_error(code: str, message: str, help: str | None = None) -> MeshlangError:
    """What goes wrong between workers (MS163x)."""
    return MeshlangError(Diagnostic(code, message, help=help))


@dataclass
class Request:
    """prompt, tokens: numbers. new: how many are wanted at most. ends: tokens that end it."""

    id: str
    prompt: list[int]
    new: int
    owner: str
    sampling: Sampling = field(default_factory=Sampling)
    ends: tuple[int, ...] = ()
    epoch: int = 1
    tokens: list[int] = field(default_factory=list)
    ended: bool = False
    owners: list[str] = field(default_factory=list)  # one after the other

    @property
    def sequence(self) -> list[int]:
        return self.prompt + self.tokens

    @property
    def complete(self) -> bool:
        """Has it all the tokens that it can have?"""
        return len(self.tokens) >= self.new or bool(self.tokens and self.tokens[-1] in self.ends)


class Presence:
    """This process is alive under a name, until it ends or leaves. MS1633 if another one is."""

    def __init__(self, folder: str | Path, name: str):
        self.name = name
        try:
            Path(folder).mkdir(parents=True, exist_ok=True)
            self._file = os.open(_presence(folder, name), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            for left in range(ASKED, -1, -1):
                try:
                    fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:  # or somebody only asks whether we are alive
                    if not left:
                        raise
                    time.sleep(0.01)
        except BlockingIOError:
            raise serve_error(
                "MS1633", f"there is a worker {name!r} already", "give each worker a name of its own"
            ) from None
        except OSError as error:
            raise files.cannot_write(_presence(folder, name), error) from None

    def leave(self) -> None:
        os.close(self._file)


def alive(folder: str | Path, name: str) -> bool:
    """Is there a worker of that name?"""
    try:
        file = os.open(_presence(folder, name), os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(file)
    return False


def _presence(folder: str | Path, name: str) -> Path:
    return Path(folder) / f"{name}.alive"


class Ledger:
    """The journal in a folder, and what it says. MS1632 for a file that is none; MS0901 if it cannot be written."""

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)
        self.path = self.folder / "requests.journal"
        self.requests: dict[str, Request] = {}
        self._read = 0  # bytes that are known
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise files.cannot_write(self.path, error) from None
        self.refresh()

    def close(self) -> None:
        os.close(self._file)

    # ------------------------------------------------------------ what a worker does

    def new(
        self,
        id: str,
        prompt: list[int],
        new: int,
        owner: str,
        sampling: Sampling | None = None,
        ends: tuple[int, ...] = (),
    ) -> Request:
        """A request begins. MS1631 if there is one of that id."""
        sampling = sampling or Sampling()
        with self._locked():
            if id in self.requests:
                raise serve_error("MS1631", f"there is a request {id!r} already")
            self._append(
                {
                    "op": "new", "id": id, "prompt": list(prompt), "new": new, "owner": owner, "ends": list(ends),
                    "sampling": [sampling.temperature, sampling.top_k, sampling.top_p, sampling.seed],
                },
                sync=True,
            )  # fmt: skip
        return self.requests[id]

    def token(self, id: str, owner: str, epoch: int, index: int, token: int) -> None:
        """The owner has chosen a token. MS1631 if it is not the owner any more, or the token is not the next one."""
        with self._locked():
            request = self._own(id, owner, epoch)
            if index != len(request.tokens) or request.complete:
                raise serve_error(
                    "MS1631", f"token {index} of request {id!r} is not the next one: it has {len(request.tokens)}"
                )
            self._append({"op": "token", "id": id, "epoch": epoch, "index": index, "token": token})

    def move(self, id: str, owner: str, epoch: int, to: str) -> None:
        """From here on `to` is the owner, in the next epoch. MS1631 as `token`."""
        with self._locked():
            self._own(id, owner, epoch)
            self._append({"op": "move", "id": id, "epoch": epoch + 1, "owner": to}, sync=True)

    def end(self, id: str, owner: str, epoch: int) -> None:
        """The request is complete. MS1631 as `token`."""
        with self._locked():
            self._own(id, owner, epoch)
            self._append({"op": "end", "id": id, "epoch": epoch}, sync=True)

    def adopt(self, id: str, by: str) -> bool:
        """Take a request over whose owner is dead. False if that is not so, or somebody else was first."""
        with self._locked():
            request = self.requests.get(id)
            if request is None or request.ended or request.owner == by or alive(self.folder, request.owner):
                return False
            self._append({"op": "move", "id": id, "epoch": request.epoch + 1, "owner": by}, sync=True)
            return True

    def refresh(self) -> None:
        """Read what others have written."""
        with self._locked():
            pass

    # ------------------------------------------------------------ the file

    def _own(self, id: str, owner: str, epoch: int) -> Request:
        request = self.requests.get(id)
        if request is None:
            raise serve_error("MS1631", f"there is no request {id!r}")
        if request.ended or (request.owner, request.epoch) != (owner, epoch):
            state = "is complete" if request.ended else f"belongs to {request.owner!r} (epoch {request.epoch})"
            raise serve_error("MS1631", f"request {id!r} {state}, not to {owner!r} (epoch {epoch})")
        return request

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        fcntl.flock(self._file, fcntl.LOCK_EX)
        try:
            self._take()
            yield
        finally:
            fcntl.flock(self._file, fcntl.LOCK_UN)

    def _take(self) -> None:
        """Read new records. The file is locked, so a part of a line at the end is of somebody who was killed."""
        size = os.fstat(self._file).st_size
        data = os.pread(self._file, size - self._read, self._read)
        whole = data.rfind(b"\n") + 1
        for line in data[:whole].splitlines():
            self._apply(self._record(line))
        self._read += whole
        if whole < len(data):
            os.ftruncate(self._file, self._read)

    def _record(self, line: bytes) -> dict[str, Any]:
        checksum, _, text = line.partition(b" ")
        try:
            if int(checksum, 16) == zlib.crc32(text):
                record = json.loads(text)
                if isinstance(record, dict):
                    return record
        except ValueError:
            pass
        raise serve_error(
            "MS1632", f"{self.path} is no journal of requests: {line[:80]!r}", "is it another program's file?"
        )

    def _append(self, record: dict[str, Any], sync: bool = False) -> None:
        text = json.dumps(record, separators=(",", ":")).encode()
        line = b"%08x %s\n" % (zlib.crc32(text), text)
        try:
            if os.pwrite(self._file, line, self._read) != len(line):
                raise OSError(28, "No space left on device")
            if sync:  # who owns a request outlives the machine; a token can be chosen again
                os.fsync(self._file)
        except OSError as error:
            raise files.cannot_write(self.path, error) from None
        self._read += len(line)
        self._apply(record)

    def _apply(self, record: dict[str, Any]) -> None:
        try:
            op, id = record["op"], record["id"]
            if op == "new":
                sampling = Sampling(*record["sampling"])
                owner = record["owner"]
                self.requests[id] = Request(
                    id, record["prompt"], record["new"], owner, sampling, tuple(record["ends"]), owners=[owner]
                )
                return
            request = self.requests[id]
            if op == "token":
                request.tokens.append(record["token"])
            elif op == "move":
                request.owner, request.epoch = record["owner"], record["epoch"]
                request.owners.append(request.owner)
            elif op == "end":
                request.ended = True
            else:
                raise KeyError(op)
        except (KeyError, TypeError) as error:
            raise serve_error("MS1632", f"{self.path} has a record that is none: {error}") from None
