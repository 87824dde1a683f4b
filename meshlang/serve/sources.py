"""Where images lie: a file, a server, and the folder in which what came from servers is kept."""

from __future__ import annotations

import contextlib
import os
import threading
from abc import ABC, abstractmethod
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from meshlang import files

from .extras import needs
from .image import fill, image_error
from .image_format import Chunk, Header

TRIES = 3  # of a request whose connection breaks
TIMEOUT = 30.0  # seconds without a byte


class Source(ABC):
    """Bytes of an image. name: for messages. Threads may read at the same time."""

    name: str
    size: int

    @abstractmethod
    def read_into(self, offset: int, out: np.ndarray) -> None:
        """Fill `out` (uint8) with the bytes from `offset` on."""

    def read(self, offset: int, size: int) -> bytes:
        out = np.empty(size, np.uint8)
        self.read_into(offset, out)
        return out.tobytes()

    @abstractmethod
    def close(self) -> None: ...


class FileSource(Source):
    """MS1610 if it cannot be read, MS1611 if it ends too early."""

    def __init__(self, path: str | Path):
        self.name = str(path)
        try:
            self._file = os.open(path, os.O_RDONLY)
            self.size = os.fstat(self._file).st_size
        except OSError as error:
            raise image_error("MS1610", f"cannot read {path}: {error.strerror}") from None

    def read_into(self, offset: int, out: np.ndarray) -> None:
        fill(self._file, offset, out, self.name)

    def close(self) -> None:
        os.close(self._file)


class HttpSource(Source):
    """An image on a server that gives ranges. The file must stay the same while it is read, as its ETag or date says.

    MS1600 without httpx, MS1620 for a server that does not answer or refuses, MS1621 for one that gives no ranges or another
    file than at first.
    """

    def __init__(self, url: str):
        self._httpx = needs("httpx", "serve", "an image on a server")
        self.name = url
        try:
            self._client = self._httpx.Client(follow_redirects=True, timeout=TIMEOUT, verify=_certificates(self._httpx))
        except Exception as error:  # settings of proxies in the environment
            raise image_error("MS1620", f"cannot fetch {url}: {error}") from None
        self._mark: str | None = None
        out = np.empty(1, np.uint8)
        self.size = 1
        self.size = self._request(0, out)

    def read_into(self, offset: int, out: np.ndarray) -> None:
        self._request(offset, out)

    def _request(self, offset: int, out: np.ndarray) -> int:
        """Fills `out`; returns the size of the whole file."""
        for attempt in range(TRIES):
            try:
                return self._once(offset, out)
            except (self._httpx.TransportError, self._httpx.StreamError) as error:
                if attempt == TRIES - 1:
                    raise image_error(
                        "MS1620",
                        f"cannot fetch {self.name}: {type(error).__name__}: {error}",
                        "is the server there, and the address right?",
                    ) from None
            except (self._httpx.HTTPError, self._httpx.InvalidURL, ValueError) as error:
                raise image_error("MS1620", f"cannot fetch {self.name}: {error}") from None
        raise AssertionError

    def _once(self, offset: int, out: np.ndarray) -> int:
        headers = {"Range": f"bytes={offset}-{offset + len(out) - 1}", "Accept-Encoding": "identity"}
        with self._client.stream("GET", self.name, headers=headers) as answer:
            if answer.status_code == 200:
                raise image_error("MS1621", f"{self.name}: the server gives no ranges of a file")
            if answer.status_code != 206:
                raise image_error("MS1620", f"cannot fetch {self.name}: {answer.status_code} {answer.reason_phrase}")
            size = self._whole(answer.headers, offset, len(out))
            done = 0
            for block in answer.iter_raw():
                if done + len(block) > len(out):
                    raise image_error("MS1621", f"{self.name}: the server sends more than it was asked for")
                out[done : done + len(block)] = np.frombuffer(block, np.uint8)
                done += len(block)
            if done < len(out):
                raise self._httpx.ReadError(f"the answer ended after {done:,} of {len(out):,} bytes")
            return size

    def _whole(self, headers: Any, offset: int, length: int) -> int:
        """The size of the file, from Content-Range: bytes FIRST-LAST/SIZE."""
        places, _, size = headers.get("Content-Range", "").removeprefix("bytes ").partition("/")
        if places != f"{offset}-{offset + length - 1}" or not size.isdigit():
            raise image_error("MS1621", f"{self.name}: the server gives another range than it was asked for")
        mark = f"{headers.get('ETag', headers.get('Last-Modified', ''))} {size}"
        if self._mark is None:
            self._mark = mark
        elif mark != self._mark:
            raise image_error("MS1621", f"{self.name} has changed on the server", "load it again")
        return int(size)

    def close(self) -> None:
        self._client.close()


class Kept:
    """The chunks of an image that came from a server, in a file: a chunk is marked when it is there. When all are, the file
    is the image. Whoever is killed in between loses the chunk that was being written."""

    def __init__(self, folder: str | Path, identity: str, header: Header, start: bytes):
        """start: the file up to the first segment."""
        self.path = Path(folder) / f"{identity}.wimg"
        self._part, self._marks = self.path.with_suffix(".part"), self.path.with_suffix(".have")
        self._lock = threading.Lock()
        self._closed = False
        self._mark_file: int | None = None  # while it is not complete
        self._count = header.count()
        self.complete = self.path.is_file()
        self._have = np.zeros(self._count, np.uint8)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(self.path if self.complete else self._part, os.O_RDWR | os.O_CREAT, 0o600)
            if self.complete:
                self._have[:] = 1
                self._forget_marks()  # of one that was killed after its last chunk
                return
            if os.fstat(self._file).st_size != header.end:
                os.truncate(self._file, header.end)
                self._forget_marks()
            os.pwrite(self._file, start, 0)
            self._mark_file = os.open(self._marks, os.O_RDWR | os.O_CREAT, 0o600)
            os.truncate(self._mark_file, self._count)
            self._have[:] = np.frombuffer(os.pread(self._mark_file, self._count, 0), np.uint8)
        except OSError as error:
            raise files.cannot_write(self.path, error) from None

    def has(self, chunk: Chunk) -> bool:
        return bool(self._have[chunk.number] == 1)

    def read_into(self, chunk: Chunk, out: np.ndarray) -> bool:
        """False if it is not there after all."""
        return os.preadv(self._file, [out.data], chunk.offset) == len(out)

    def forget(self, chunk: Chunk) -> None:
        """What is there is not the chunk."""
        self._have[chunk.number] = 0
        if self._mark_file is not None:
            os.pwrite(self._mark_file, b"\0", chunk.number)

    def keep(self, chunk: Chunk, data: np.ndarray) -> None:
        """A full disk only means that nothing is kept, and so does `close`."""
        with contextlib.suppress(OSError), self._lock:
            if self._closed or os.pwrite(self._file, data.data, chunk.offset) != len(data):
                return
            if self._mark_file is None:  # it was damaged
                self._have[chunk.number] = 1
                return
            os.pwrite(self._mark_file, b"\1", chunk.number)
            self._have[chunk.number] = 1
            if self._have.all():
                os.fsync(self._file)
                os.replace(self._part, self.path)
                self._forget_marks()
                self.complete = True

    def _forget_marks(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            self._marks.unlink()

    def close(self) -> None:
        with (
            self._lock
        ):  # a chunk that is being written, or comes later, must not go to whatever has the file's number then
            self._closed = True
            os.close(self._file)
            if self._mark_file is not None:
                os.close(self._mark_file)


@cache
def _certificates(httpx: Any) -> Any:
    """Reading them takes longer than opening a connection."""
    return httpx.create_ssl_context()


def source_of(where: str | Path) -> Source:
    """A file's path, or an address that begins with http:// or https://."""
    return HttpSource(str(where)) if is_url(where) else FileSource(where)


def is_url(where: str | Path) -> bool:
    return str(where).startswith(("http://", "https://"))
