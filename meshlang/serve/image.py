"""Wafer images: reading them, and a model's weights from them straight into the memories of PEs.

The payload of an image lies as the memories of the PEs do (image_format.py), so loading permutes nothing: a chunk is read, checked and
copied into the fabric while it is in the processor's cache, by several threads, each with one place for all its chunks.
"""

from __future__ import annotations

import contextlib
import hashlib
import inspect
import json
import math
import os
import threading
import weakref
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from meshlang.diag import Diagnostic, MeshlangError
from meshlang.fabric.pages import expected
from meshlang.host.api import CompiledProgram, FabricHandle
from meshlang.ir import serial
from meshlang.ir.isa import PE_MEMORY, PLAIN_COUNT
from meshlang.ir.program import Program
from meshlang.ir.verify import verify
from meshlang.models.llama import VERSION, Placement
from meshlang.models.llama_config import LlamaConfig
from meshlang.models.runner import Runner, Store
from meshlang.models.text import Tokenizer
from meshlang.version import __version__

from .checksum import checksum
from .image_format import CHUNK, FORMAT, LONGEST_HEADER, MAGIC, PREFIX, Chunk, Header, Part, Segment, aligned, decode

# Threads that read, check and copy chunks. No more than processors: their places share caches.
THREADS = max(2, min(4, os.cpu_count() or 1))
SAMPLE = 8  # chunks that are looked at to know whether a file is in the system's cache
ENGINE_ROOM = 16 << 20  # bytes that the engine has behind the PEs' memories for itself, and more
MOST = 512  # pieces of a call that reads ahead (systems take 1024)


def image_error(code: str, message: str, help: str | None = None) -> MeshlangError:
    """A mistake about an image (MS161x)."""
    return MeshlangError(Diagnostic(code, message, help=help))


def damaged(name: str | Path, what: str) -> MeshlangError:
    """MS1611."""
    return image_error("MS1611", f"{name} is damaged: {what}", "place the model again, or fetch the image again")


def fill(file: int, offset: int, out: np.ndarray, name: str | Path) -> None:
    """Bytes of an open file, from `offset` on, into `out` (uint8). MS1610 if it cannot be read, MS1611 if it ends too early."""
    done = 0
    while done < len(out):
        try:
            n = os.preadv(file, [out[done:].data], offset + done)
        except OSError as error:
            raise image_error("MS1610", f"cannot read {name}: {error.strerror}") from None
        if not n:
            raise damaged(name, f"it ends after {offset + done:,} bytes")
        done += n


def read_header(read: Callable[[int, int], bytes], size: int, name: str | Path) -> tuple[Header, str]:
    """The header of an image of `size` bytes and the image's identity; `read` gives bytes from a place on, so many. MS1610 no
    image, MS1611 damaged, MS1612 of another version."""
    start = read(0, min(PREFIX, size))
    if start[:8] != MAGIC:
        raise image_error(
            "MS1610",
            f"{name} is no wafer image",
            "make one: meshlang llm place FOLDER --mesh 16x16 -o model.wimg",
        )
    if len(start) < PREFIX:
        raise damaged(name, f"it ends after {size:,} bytes")
    made = int.from_bytes(start[8:12], "little")
    if made != FORMAT:
        raise image_error(
            "MS1612", f"{name} has format {made}, and this version reads {FORMAT}", "place the model again"
        )
    length = int.from_bytes(start[12:16], "little")
    first = aligned(PREFIX + length)
    if length > LONGEST_HEADER or first > size:
        raise damaged(name, f"it has {size:,} bytes, and a header of {length:,} should be in it")
    rest = read(PREFIX, first - PREFIX)
    text, padding = rest[:length], rest[length:]
    digest = hashlib.sha256(text).digest()
    if digest != start[16:48]:
        raise damaged(name, "the digest of its header differs")
    if len(rest) != first - PREFIX or any(padding):
        raise damaged(name, "there is something behind its header")
    try:
        header = decode(text)
    except ValueError as error:
        raise damaged(name, str(error)) from None
    if header.end != size:
        raise damaged(name, f"it has {size:,} bytes, and {header.end:,} were written")
    return header, digest.hex()


class Image(ABC):
    """A placed model. `name` is what messages call it; `identity` is the same for equal images only.

    What an image says must fit itself, and this version of MeshLang: MS1611, MS1612.
    """

    def __init__(self, name: str, header: Header, identity: str):
        self.name, self.header, self.identity = name, header, identity
        self.chunks = header.chunks()
        self._of: dict[Segment, list[Chunk]] = {segment: [] for segment in header.segments}
        for chunk in self.chunks:
            self._of[chunk.segment].append(chunk)

    @abstractmethod
    def data(self, chunk: Chunk) -> np.ndarray:
        """The bytes of a chunk, uint8, checked. MS1613 if they are not those that were written."""

    def chunks_of(self, *segments: Segment) -> list[Chunk]:
        return [chunk for segment in segments for chunk in self._of[segment]]

    def payload(self) -> list[Chunk]:
        """What goes to the fabric before anything runs."""
        place = self.placement
        needs = [("layers", 0, place.prompt == 0)] if place.layers == place.config.layers else []
        needs += [("head", 0, False)] if place.head_stays else []
        return self.chunks_of(*(s for key in needs if (s := self.header.find(*key)) is not None))

    @abstractmethod
    def transfer(self, chunks: Sequence[Chunk], write: Callable[[Chunk, np.ndarray], None]) -> None:
        """Call `write` with each chunk's bytes, checked, in threads."""

    def check(self, chunk: Chunk, data: Any) -> None:
        """MS1613 if these are not the bytes that were written."""
        if checksum(data) != self.header.checksum(chunk):
            raise image_error(
                "MS1613",
                f"{self.name} is damaged in {chunk.name}: {chunk.size:,} bytes from {chunk.offset:,} on are not what was written",
                "place the model again, or fetch the image again",
            )

    def verify(self) -> None:
        """Check all of it, as loading does part by part."""
        for chunk in self.chunks:
            self.data(chunk)
        self.verify_program()

    def verify_program(self) -> None:
        """The program and the placement fit the image and each other, and the engine can run it."""
        verify(self.program.ir)

    def host_bytes(self, kind: str) -> bytes | None:
        """A segment of the host; None if there is none."""
        segment = self.header.find(kind)
        if segment is None:
            return None
        data = b"".join(self.data(chunk).tobytes() for chunk in self._of[segment])
        if any(data[segment.bytes :]):
            raise damaged(self.name, f"there is something behind {segment.name}")
        return data[: segment.bytes]

    # ------------------------------------------------------------ what it says

    @cached_property
    def config(self) -> LlamaConfig:
        config = LlamaConfig.from_dict(self.header.config)
        # sizes are believed only if their weights have room in the image
        room = self.header.end // np.dtype(self.header.dtype).itemsize
        if config.layers * config.hidden_size > room or sum(map(math.prod, config.shapes().values())) > room:
            raise damaged(self.name, "the weights of its configuration have no room in it")
        return config

    @cached_property
    def placement(self) -> Placement:
        """MS1612 if this version places otherwise."""
        arguments = dict(self.header.placement)
        version = arguments.pop("version", None)
        header = self.header
        same = {"width": header.width, "height": header.height, "dtype": header.dtype}
        if any(arguments.get(name) != value for name, value in same.items()):
            raise damaged(self.name, f"its placement is not for {header.width} x {header.height} PEs in {header.dtype}")
        named = set(inspect.signature(Placement).parameters) - {"config", "advise"}
        if version != VERSION or set(arguments) != named:
            raise image_error(
                "MS1612",
                f"{self.name} was placed by MeshLang {header.made_by} (placement {version} with {', '.join(sorted(arguments))}), and this "
                f"version, {__version__}, places otherwise (placement {VERSION} with {', '.join(sorted(named))})",
                "place the model again",
            )
        numbers = [value for name, value in arguments.items() if name != "dtype"]
        if not all(isinstance(n, int) and 0 <= n < 1 << 24 for n in numbers) or not arguments.get("pieces"):
            raise damaged(self.name, "its placement has something else than numbers")
        found = Placement(self.config, **arguments)
        if found.arguments() != arguments:
            raise damaged(self.name, "its placement contradicts itself")
        return found

    @cached_property
    def program(self) -> CompiledProgram:
        """MS0902 and MS0903 as `meshlang.load`, MS1611 if it is not the placement's. MS0790 when it is started."""
        text, arrays = self.host_bytes("program"), self.host_bytes("arrays")
        if text is None or arrays is None:
            raise damaged(self.name, "it has no program")
        try:
            decoded = text.decode()
        except UnicodeDecodeError:
            raise damaged(self.name, "its program is no text") from None
        program = serial.unpack(decoded, arrays, f"the program of {self.name}")
        if program.arch != self.header.arch:
            raise damaged(self.name, f"it is for {self.header.arch}, and its program for {program.arch}")
        self._check_program(program)
        return CompiledProgram(program)

    def _check_program(self, program: Program) -> None:
        """Every array is where the program has it, and all that this version would write is there."""
        if (program.fabric.width, program.fabric.height) != (self.header.width, self.header.height):
            raise damaged(self.name, "its program is for another mesh")
        try:
            places = symbol_places(program)
        except ValueError as error:
            raise damaged(self.name, str(error)) from None
        for segment in self.header.segments:
            for part in segment.parts:
                start, end = places.get(part.symbol, (0, 0))
                if not start <= part.address <= part.address + part.bytes <= end:
                    raise damaged(self.name, f"its program has no room for {part.symbol!r} of {segment.name}")
        for kind, number, settled in needed(self.placement):
            if self.header.find(kind, number, settled) is None:
                raise damaged(self.name, f"it has no {kind} {number}{', settled' if settled else ''}")
        table = self.header.find("embeddings")
        size = self.config.vocabulary * self.config.hidden_size * self.placement.dtype.itemsize
        if table is None or table.bytes != size:
            raise damaged(self.name, f"it has no embeddings of {size:,} bytes")

    @property
    def tokenizer(self) -> Tokenizer | None:
        """None if the model's folder had none. MS1415, MS1416 as `Tokenizer`."""
        text = self.host_bytes("tokenizer")
        return None if text is None else Tokenizer(text.decode(errors="replace"), f"the tokenizer of {self.name}")

    def expect(self, **wanted: Any) -> None:
        """MS1614 if it was made for something else. wanted: mesh (width, height), arch, dtype, sums, regions, layers ("resident" or
        "streamed"); None: whatever it is."""
        place = self.placement
        have = {
            "mesh": (place.width, place.height),
            "arch": self.header.arch,
            "dtype": place.dtype.name,
            "layers": "resident" if place.layers == self.config.layers else "streamed",
            "regions": place.regions,
            "sums": "f32" if place.f32_sums or place.dtype.itemsize == 4 else "f16",
        }
        for name, value in wanted.items():
            if value is not None and value != have[name]:
                one, other = (" x ".join(map(str, v)) if isinstance(v, tuple) else v for v in (have[name], value))
                raise image_error(
                    "MS1614",
                    f"{self.name} was placed with {name} {one}, and {other} is asked for",
                    "leave the option out, or place the model again",
                )

    def runner(self, profile: str | None = None, pipeline: bool = False) -> Runner:
        """The model on a fabric of its own, or, streamed, on one for each layer."""
        pes = self.header.width * self.header.height
        # no more than the image has itself: it is believed to the end only when its program has been read
        likely = min(pes * sum(self.placement.memory().values()), 2 * self.header.end)
        with expected(likely, pes * (PE_MEMORY + 2 * PLAIN_COUNT) + ENGINE_ROOM):
            program = self.program  # checks the whole image first
            return Runner(self.placement, ImageStore(self), self.header.arch, profile, program, pipeline)


class FileImage(Image):
    """An image in a file. It is read and not mapped: what has been checked is what is used, and a file that is cut off meanwhile is an
    error (a mapped one would end the process). MS1610 if it cannot be read, and as `read_header`."""

    def __init__(self, path: str | Path):
        try:
            self._file = os.open(path, os.O_RDONLY)
            weakref.finalize(self, os.close, self._file)
            size = os.fstat(self._file).st_size
            header, identity = read_header(lambda at, n: os.pread(self._file, n, at), size, path)
        except OSError as error:
            raise image_error("MS1610", f"cannot read {path}: {error.strerror}") from None
        super().__init__(str(path), header, identity)

    def data(self, chunk: Chunk) -> np.ndarray:
        return self._read(chunk, np.empty(chunk.size, np.uint8))

    def _read(self, chunk: Chunk, place: np.ndarray) -> np.ndarray:
        """The chunk's bytes, checked, at the beginning of `place`."""
        data = place[: chunk.size]
        fill(self._file, chunk.offset, data, self.name)
        self.check(chunk, data)
        return data

    def runner(self, profile: str | None = None, pipeline: bool = False) -> Runner:
        self.read_ahead()
        return super().runner(profile, pipeline)

    def read_ahead(self) -> None:
        """The payload, in a thread, from the disk into the system's cache, if it is not there: a model will be started. What is read
        now is not what is used: that is read again, and checked."""
        chunks = self.payload()
        if len(chunks) >= 2 * THREADS:
            with contextlib.suppress(RuntimeError):  # the system has no more threads: nobody needs this one
                threading.Thread(target=self._read_ahead, args=(chunks,), daemon=True).start()

    def _read_ahead(self, chunks: Sequence[Chunk]) -> None:
        place = np.empty(CHUNK, np.uint8).data  # stays in the processor's cache
        first, end = chunks[0].offset, chunks[-1].offset + chunks[-1].size
        with contextlib.suppress(OSError):  # whoever reads it to use it says what is wrong
            if all(self._at_hand(chunk) for chunk in chunks[:: -(-len(chunks) // SAMPLE)]):
                return
            for at in range(first, end, MOST * CHUNK):
                # one call for many pieces: between two calls Python would wait for its turn
                os.preadv(self._file, [place] * min(MOST, -(-(end - at) // CHUNK)), at)

    def _at_hand(self, chunk: Chunk) -> bool:
        """Is its beginning in the system's cache?"""
        try:
            os.preadv(self._file, [bytearray(1)], chunk.offset, getattr(os, "RWF_NOWAIT", 0))
        except BlockingIOError:
            return False
        return True

    def transfer(self, chunks: Sequence[Chunk], write: Callable[[Chunk, np.ndarray], None]) -> None:
        left = deque(chunks)
        largest = max((chunk.size for chunk in chunks), default=0)

        def work() -> None:
            place = np.empty(largest, np.uint8)
            while True:
                try:
                    chunk = left.popleft()
                except IndexError:
                    return
                try:
                    write(chunk, self._read(chunk, place))
                except BaseException:
                    left.clear()  # the others need not go on
                    raise

        if len(chunks) < 2 * THREADS:  # a layer of a small model, say
            work()
            return
        with ThreadPoolExecutor(THREADS) as pool:
            for done in [pool.submit(work) for _ in range(THREADS)]:
                done.result()


class ImageStore(Store):
    """The weights of an image."""

    def __init__(self, image: Image):
        self.image = image
        table = image.header.find("embeddings")
        assert table is not None  # _check_program
        self._table = image.chunks_of(table)

    def write_model(self, fabric: FabricHandle) -> None:
        self._write(fabric, self.image.payload())

    def write_layer(self, fabric: FabricHandle, layer: int, settled: bool) -> None:
        # without a prefill there is one form of weights, the one that decoding wants
        segment = self.image.header.find("layer", layer, settled or self.image.placement.prompt == 0)
        assert segment is not None
        self._write(fabric, self.image.chunks_of(segment))

    def write_head(self, fabric: FabricHandle, piece: int) -> None:
        segment = self.image.header.find("head", piece)
        assert segment is not None
        self._write(fabric, self.image.chunks_of(segment))

    def embeddings(self, tokens: Sequence[int]) -> np.ndarray:
        place = self.image.placement
        row = place.config.hidden_size * place.dtype.itemsize
        out = np.empty((len(tokens), row), np.uint8)
        have, data = -1, np.empty(0, np.uint8)
        for i in np.argsort(tokens, kind="stable"):  # so that each chunk is read once
            done = 0
            while done < row:  # a row may lie in several chunks
                number, at = divmod(int(tokens[i]) * row + done, self._table[0].size)
                if number != have:
                    have, data = number, self.image.data(self._table[number])
                part = data[at : at + row - done]
                out[i, done : done + len(part)] = part
                done += len(part)
        return out.view(place.dtype)

    def _write(self, fabric: FabricHandle, chunks: list[Chunk]) -> None:
        self.image.transfer(chunks, ChunkWriter(self.image.header, fabric).write)


class ChunkWriter:
    """Chunks of an image into the memories of a fabric. Threads may share one."""

    def __init__(self, header: Header, fabric: FabricHandle):
        self.header = header
        self.machine = fabric.session.machine
        self._places: dict[Segment, list[tuple[Part, np.ndarray | None]]] = {}

    def _place(self, segment: Segment) -> list[tuple[Part, np.ndarray | None]]:
        """What goes where: for each part the memories of all PEs there [height, width, bytes], found once for all chunks; None if they
        are not evenly spaced."""
        if segment not in self._places:
            whole = 0, 0, self.header.width, self.header.height
            self._places[segment] = [
                (part, self.machine.window(*whole, part.address, part.bytes)) for part in joined(segment.parts)
            ]
        return self._places[segment]

    def write(self, chunk: Chunk, data: np.ndarray) -> None:
        """data: all bytes of the chunk, as in the file."""
        segment = chunk.segment
        row = self.header.row_bytes(segment) if chunk.columns == self.header.width else len(data)
        used = chunk.columns * segment.bytes
        block = data.reshape(chunk.rows, row)[:, :used].reshape(chunk.rows, chunk.columns, segment.bytes)
        for part, window in self._place(segment):
            taken = block[:, :, part.offset : part.offset + part.bytes]
            if window is not None:
                window[chunk.y : chunk.y + chunk.rows, chunk.x : chunk.x + chunk.columns] = taken
            else:
                self.machine.write_bytes(chunk.x, chunk.y, chunk.columns, chunk.rows, part.address, taken)


def joined(parts: Iterable[Part]) -> list[Part]:
    """Arrays that follow each other in a PE's memory, too, are one."""
    found: list[Part] = []
    for part in parts:
        last = found[-1] if found else None
        if last is not None and last.address + last.bytes == part.address:
            found[-1] = Part(last.symbol, last.offset, last.bytes + part.bytes, last.address)
        else:
            found.append(part)
    return found


def needed(place: Placement) -> list[tuple[str, int, bool]]:
    """The segments that a placement takes: kind, number, settled. A streamed model with a prefill has each layer twice."""
    layers = [("layers", 0, place.prompt == 0)]
    if place.layers < place.config.layers:
        forms = [False, True] if place.prompt else [True]
        layers = [("layer", i, settled) for i in range(place.config.layers) for settled in forms]
    return layers + [("head", i, False) for i in range(place.pieces)]


def symbol_places(program: Program) -> dict[str, tuple[int, int]]:
    """Where each exported array begins and ends in a PE's memory, as the program starts. ValueError if PEs differ in
    it."""
    found: dict[str, tuple[int, int]] = {}
    for tile in program.tiles:
        image = np.asarray(tile.image, np.uint8)
        for name, export in tile.exports.items():
            if export.kind != "pointer":
                continue
            start = int.from_bytes(image[export.address : export.address + 2].tobytes(), "little")
            inside = (o for o in tile.objects if o.address <= start < o.address + o.size)
            end = next((o.address + o.size for o in inside), start)
            if found.setdefault(name, (start, end)) != (start, end):
                raise ValueError(f"{name!r} has not the same address on all PEs")
    return found


def describe(image: Image) -> dict[str, Any]:
    """What `meshlang llm info` says of an image."""
    header, place = image.header, image.placement
    return {
        "image": image.name,
        "identity": image.identity,
        "made_by": header.made_by,
        "bytes": header.end,
        "chunks": len(image.chunks),
        "arch": header.arch,
        "config_sha256": header.config_sha256,
        "weights_sha256": header.weights_sha256,
        "placement": json.loads(json.dumps(header.placement)),
        "tokens": place.tokens(),
        "memory": place.memory(),
        "segments": [
            {"kind": s.kind, "number": s.number, "settled": s.settled, "offset": s.offset, "bytes": header.size_of(s)}
            for s in header.segments
        ],
    }
