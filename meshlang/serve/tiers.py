"""Loading images through tiers: a server, the disk, host memory, the fabric.

Each tier is a station with threads of its own, and a chunk goes from one to the next as soon as it can, so all tiers are at work at once
(where the next station is idle, by the same thread):

    remote   fetch a range from the server into a frame of the pool        keep     write it to the folder of kept images
    disk     read a chunk of a file into a frame                            fabric   copy it into the memories of the PEs

A chunk begins at the highest tier that has it. Parallel loads share every station fairly (station.py) and the pool with it: what one has
fetched, or is fetching, the others do not fetch. A load that is cancelled leaves what has arrived in the pool and on the disk.

How long a load takes is said before it begins: for each tier q + n / b, with the bytes n it takes there, the bandwidth b measured so far, and
the time q that others who share the tier take from it. The tiers work at the same time, so the slowest one decides.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from meshlang.diag import MeshlangError

from .image import FileImage, Image, image_error, read_header
from .image_format import Chunk
from .pool import FRAME, LEAST, Frame, Pool
from .sources import FileSource, HttpSource, Kept, Source, is_url, source_of
from .station import Station, Then

TIERS = ("remote", "disk", "fabric")
THREADS = {"remote": 4, "keep": 1, "disk": 2, "fabric": 2}
BEGINNING = 1 << 16  # bytes: most headers are shorter
SAMPLE = 8  # chunks that are loaded first where a tier's bandwidth is not known yet

Write = Callable[[Chunk, np.ndarray], None]


@dataclass(eq=False)
class Load:
    """Chunks on their way. started, finished: seconds on the monotonic clock. bytes: by tier, and "host" for those that were in
    the pool. predicted: seconds by tier and in all, for what came behind the sample (None: everything was in it).
    measured: seconds for the same."""

    image: TieredImage
    write: Write
    total: int = 0
    done_bytes: int = 0
    bytes: dict[str, int] = field(default_factory=dict)
    predicted: dict[str, float] | None = None
    measured: float | None = None
    started: float = field(default_factory=time.monotonic)
    finished: float | None = None
    error: MeshlangError | None = None
    _left: int = 0
    _under_way: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _ended: threading.Event = field(default_factory=threading.Event)

    @property
    def ended(self) -> bool:
        return self._ended.is_set()

    def cancel(self) -> None:
        """Stop it. What has arrived stays where it is, and the next load goes on from there."""
        self.image.loader._end(self, image_error("MS1623", f"loading {self.image.name} was cancelled", "load it again"))

    def wait(self) -> None:
        """Until it is complete. Raises what stopped it: MS1613, MS1620, MS1621, MS1623 and others."""
        self._ended.wait()
        if self.error is not None:
            raise self.error

    def report(self) -> dict[str, Any]:
        """Bytes, seconds, prediction and its error."""
        seconds = (self.finished or time.monotonic()) - self.started
        out: dict[str, Any] = {
            "image": self.image.name,
            "bytes": self.done_bytes,
            "seconds": seconds,
            "tiers": dict(self.bytes),
        }
        if self.predicted and self.predicted["all"] and self.measured is not None:
            out |= {
                "predicted": self.predicted,
                "measured": self.measured,
                "error": self.measured / self.predicted["all"] - 1,
            }
        return out


class TieredImage(Image):
    """An image that is loaded through the tiers of a loader. Open it with `Loader.open`."""

    def __init__(self, loader: Loader, source: Source, kept_in: Path | None):
        self.loader, self.source = loader, source
        beginning = _Beginning(source)
        header, identity = read_header(beginning.read, source.size, source.name)
        super().__init__(source.name, header, identity)
        self.kept: Kept | None = None
        if isinstance(source, HttpSource) and kept_in is not None:
            self.kept = Kept(kept_in, identity, header, beginning.read(0, header.segments[0].offset))
        self.last: Load | None = None  # the last one that put a model on a fabric

    def tier(self, chunk: Chunk) -> str:
        """The highest that has it: "host", "disk" or "remote"."""
        if self.loader.pool.holds((self.identity, chunk.number)):
            return "host"
        if isinstance(self.source, FileSource) or (self.kept is not None and self.kept.has(chunk)):
            return "disk"
        return "remote"

    def lowest(self, chunks: Sequence[Chunk]) -> str:
        """The tier from which all of them can be had: that of the furthest one."""
        tiers = {self.tier(chunk) for chunk in chunks}
        return next((tier for tier in ("remote", "disk") if tier in tiers), "host")

    def data(self, chunk: Chunk) -> np.ndarray:
        return self.loader.now(self, chunk)

    def transfer(self, chunks: Sequence[Chunk], write: Write) -> None:
        self.last = self.loader.load(self, chunks, write)
        self.last.wait()

    def read_disk(self, chunk: Chunk, out: np.ndarray) -> None:
        """From the file, or from what is kept of one on a server; if that is damaged, from the server after all."""
        if self.kept is None:
            self.source.read_into(chunk.offset, out)
            return
        if self.kept.read_into(chunk, out):
            try:
                self.check(chunk, out)
                return
            except MeshlangError:
                pass
        self.kept.forget(chunk)
        self.source.read_into(chunk.offset, out)
        self.check(chunk, out)
        self.kept.keep(chunk, out)

    def close(self) -> None:
        self.source.close()
        if self.kept is not None:
            self.kept.close()


class _Beginning:
    """The first bytes of a source, each read once."""

    def __init__(self, source: Source):
        self.source = source
        self._bytes = b""

    def read(self, at: int, n: int) -> bytes:
        have = len(self._bytes)
        if at + n > have:
            more = min(max(at + n, BEGINNING), self.source.size) - have
            self._bytes += self.source.read(have, more)
        return self._bytes[at : at + n]


class Loader:
    """pool: bytes of host memory for chunks (MS1622). kept_in: a folder for what comes from servers; None: nothing is kept on
    disk. threads: of each station. once: nobody loads a chunk again. Leave it as a context manager, or `close` it."""

    def __init__(
        self,
        pool: int = 256 << 20,
        kept_in: str | Path | None = None,
        threads: dict[str, int] | None = None,
        once: bool = False,
    ):
        self.pool = Pool(pool, once)
        self.kept_in = Path(kept_in) if kept_in is not None else None
        counts = THREADS | (threads or {})
        self.remote = Station[Load]("remote", counts["remote"], self._fetch)
        self.keep = Station[Kept]("keep", counts["keep"], self._keep)
        self.disk = Station[Load]("disk", counts["disk"], self._read)
        self.fabric = Station[Load]("fabric", counts["fabric"], self._write)
        self.stations = {s.name: s for s in (self.remote, self.disk, self.fabric)}

    def __enter__(self) -> Loader:
        return self

    def __exit__(self, *what: Any) -> None:
        self.close()

    def close(self) -> None:
        """Wait for what is under way, and end the threads."""
        for station in self.stations.values():
            station.close()
        self.keep.close()

    def open(self, where: str | Path) -> TieredImage:
        """An image by path or address. MS1610 to MS1612, MS1620, MS1621."""
        return TieredImage(self, source_of(where), self.kept_in)

    # ------------------------------------------------------------ loads

    def load(self, image: TieredImage, chunks: Sequence[Chunk], write: Write) -> Load:
        """Begin to load chunks; `write` is called for each, in threads. Where a bandwidth is unknown, a few chunks come first
        and the rest is predicted."""
        load = Load(image, write, sum(chunk.size for chunk in chunks))
        load._left = len(chunks)
        if not chunks:
            self._end(load, None)
            return load
        first, rest = self._split(image, chunks)
        if first and rest:
            threading.Thread(target=self._in_two, args=(load, first, rest), daemon=True).start()
        else:
            if rest:
                self._predict(load, rest)
            self._begin(load, first + rest)
        return load

    def now(self, image: TieredImage, chunk: Chunk) -> np.ndarray:
        """A copy of one chunk's bytes, at once: for the host's parts of an image, which do not wait at the stations."""
        load = Load(image, lambda *_: None)
        settled = threading.Event()
        tier = image.tier(chunk)
        while True:
            claimed = self.pool.claim((image.identity, chunk.number), chunk.size, lambda: True)
            assert claimed is not None
            frame, mine = claimed
            if mine:
                self._read_into(load, chunk, frame, tier)
            self.pool.when_settled(frame, settled.set)
            settled.wait()
            error, data = frame.error, frame.data.copy()
            self.pool.unpin(frame)
            if error is None:
                return data
            if mine:
                raise error
            settled.clear()  # another load has failed with it

    def _split(self, image: TieredImage, chunks: Sequence[Chunk]) -> tuple[list[Chunk], list[Chunk]]:
        """A sample, evenly spread, if a tier that is needed has not been measured; and the rest."""
        needs = {image.tier(chunk) for chunk in chunks} - {"host"} | {"fabric"}
        if all(self.bandwidth(name) for name in needs):
            return [], list(chunks)
        step = max(1, len(chunks) // SAMPLE)
        sample = set(range(0, len(chunks), step))
        return [c for i, c in enumerate(chunks) if i in sample], [c for i, c in enumerate(chunks) if i not in sample]

    def _in_two(self, load: Load, first: list[Chunk], rest: list[Chunk]) -> None:
        with load._lock:
            target = load._left - len(first)
        self._begin(load, first)
        while not load.ended:
            with load._lock:
                if load._left <= target:
                    break
            time.sleep(0.001)
        self._predict(load, rest)
        self._begin(load, rest)

    def _begin(self, load: Load, chunks: list[Chunk]) -> None:
        for chunk in chunks:
            tier = self._submit(load, chunk)
            with load._lock:
                load.bytes[tier] = load.bytes.get(tier, 0) + chunk.size
        if load.ended:  # meanwhile
            self._drop(load)

    def _submit(self, load: Load, chunk: Chunk) -> str:
        """To the first station that it needs. The tier that has it."""
        frame = self.pool.take((load.image.identity, chunk.number))
        if frame is not None:
            self.fabric.submit(load, (chunk, frame), chunk.size)
            return "host"
        tier = load.image.tier(chunk)
        (self.remote if tier == "remote" else self.disk).submit(load, chunk, chunk.size)
        return tier

    def _end(self, load: Load, error: MeshlangError | None) -> None:
        """Once, by whoever is first."""
        with load._lock:
            if load.ended:
                return
            load.error = error
            load.finished = time.monotonic()
            if load.measured is not None:
                load.measured = load.finished - load.measured
            load._ended.set()
        self._drop(load)

    def _drop(self, load: Load) -> None:
        for station in self.stations.values():
            for item in station.drop(load):
                if isinstance(item, tuple):
                    self.pool.unpin(item[1])

    # ------------------------------------------------------------ stations

    def _fetch(self, load: Load, chunk: Chunk) -> tuple[int, Then | None]:
        return self._fill(load, chunk, "remote")

    def _read(self, load: Load, chunk: Chunk) -> tuple[int, Then | None]:
        return self._fill(load, chunk, "disk")

    def _fill(self, load: Load, chunk: Chunk, tier: str) -> tuple[int, Then | None]:
        """The chunk into a frame, unless somebody has done that or is doing it; then on to the fabric. Bytes that came here, and how it
        goes on."""
        key = (load.image.identity, chunk.number)
        claimed = None if load.ended else self.pool.claim(key, chunk.size, lambda: not load.ended)
        if claimed is None:
            return 0, None
        frame, mine = claimed
        if mine:
            self._read_into(load, chunk, frame, tier)
            return chunk.size if frame.full else 0, lambda: self._arrived(load, chunk, frame, True)
        self.pool.when_settled(frame, lambda: self._arrived(load, chunk, frame, False))
        return 0, None

    def _read_into(self, load: Load, chunk: Chunk, frame: Frame, tier: str) -> None:
        """Fill a frame and settle it. What comes from a server goes to the disk, too."""
        image = load.image
        try:
            if tier == "remote":
                image.source.read_into(chunk.offset, frame.data)
            else:
                image.read_disk(chunk, frame.data)
            image.check(chunk, frame.data)
        except BaseException as error:
            self.pool.settle(frame, _shown(error))
            return
        if tier == "remote" and image.kept is not None:
            self.pool.pin(frame)
            self.keep.submit(image.kept, (chunk, frame), chunk.size)
        self.pool.settle(frame)

    def _arrived(self, load: Load, chunk: Chunk, frame: Frame, mine: bool) -> None:
        """mine: this thread has filled the frame."""
        if frame.full and not load.ended:
            on = self.fabric.carry if mine else self.fabric.submit
            on(load, (chunk, frame), chunk.size)
        else:
            self.pool.unpin(frame)
            if mine and frame.error is not None:
                self._end(load, frame.error)
            elif not load.ended:  # another load has failed with it
                self._submit(load, chunk)
        if load.ended:  # meanwhile
            self._drop(load)

    def _keep(self, kept: Kept, item: tuple[Chunk, Frame]) -> tuple[int, None]:
        chunk, frame = item
        kept.keep(chunk, frame.data)
        self.pool.unpin(frame)
        return chunk.size, None

    def _write(self, load: Load, item: tuple[Chunk, Frame]) -> tuple[int, None]:
        chunk, frame = item
        try:
            if not load.ended:
                load.write(chunk, frame.data)
        except BaseException as error:
            self._end(load, _shown(error))
        finally:
            self.pool.unpin(frame)
        with load._lock:
            load.done_bytes += chunk.size
            load._left -= 1
            complete = not load._left
        if complete:
            self._end(load, None)
        return chunk.size, None

    # ------------------------------------------------------------ prediction

    def survey(self, image: TieredImage, chunks: Sequence[Chunk]) -> None:
        """Measure the tier that an image is on by a few of its chunks, which are then in host memory; nothing where that is known."""
        if chunks and not self.bandwidth(image.lowest(chunks)):
            place = np.empty(max(chunk.size for chunk in chunks), np.uint8)

            def write(chunk: Chunk, data: np.ndarray) -> None:
                place[: len(data)] = data

            self.load(image, chunks[:: max(1, -(-len(chunks) // SAMPLE))], write).wait()

    def bandwidth(self, name: str) -> float:
        """Bytes per second of a tier so far ("host": from there into the fabric); 0 before it has done anything."""
        done, seconds = self.stations["fabric" if name == "host" else name].work_done()
        return done / seconds if seconds > 0 else 0.0

    def predict(self, image: TieredImage, chunks: Sequence[Chunk]) -> dict[str, float]:
        """Seconds for each tier that chunks go through, q + n / b, and of the slowest, "all". A tier that has not been
        measured is left out."""
        sizes: dict[str, int] = {"fabric": sum(chunk.size for chunk in chunks)}
        for chunk in chunks:
            tier = image.tier(chunk)
            sizes[tier] = sizes.get(tier, 0) + chunk.size
        found = {}
        for name in TIERS:
            n, b = sizes.get(name, 0), self.bandwidth(name)
            if n and b:
                # others share the tier until they are done, or this one is
                shared = sum(min(other, n) for other in self.stations[name].waiting().values())
                found[name] = (shared + n) / b
        return found | {"all": max(found.values(), default=0.0)}

    def _predict(self, load: Load, chunks: list[Chunk]) -> None:
        load.predicted = self.predict(load.image, chunks)
        with load._lock:
            if not load.ended:
                load.measured = time.monotonic()  # until it ends: when that began


@contextlib.contextmanager
def opened(where: str | Path) -> Iterator[Image]:
    """An image to look into: a file, or as much of one on a server as is asked for. Errors as `Loader.open`."""
    if not is_url(where):
        yield FileImage(where)
        return
    with Loader(LEAST * FRAME) as loader:
        image = loader.open(where)
        try:
            yield image
        finally:
            image.close()


def _shown(error: BaseException) -> MeshlangError:
    """An error of a thread as one that can be shown."""
    if isinstance(error, MeshlangError):
        return error
    return image_error("MS1624", f"a chunk could not be loaded: {type(error).__name__}: {error}")
