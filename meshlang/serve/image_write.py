"""Making wafer images: a model is placed, compiled and written, a layer at a time."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from meshlang import files
from meshlang.host import api
from meshlang.host.progress import stage
from meshlang.ir import serial
from meshlang.models.checkpoint import Checkpoint
from meshlang.models.llama import MODEL, VERSION, Placement
from meshlang.models.llama_config import read_object
from meshlang.models.runner import Weights
from meshlang.version import __version__

from .checksum import checksum
from .image import image_error, needed, symbol_places
from .image_format import DIGITS, PREFIX, Header, Part, Segment, aligned, encode

TABLE_ROWS = 4096  # of the embedding table, converted at a time


def write_image(path: str | Path, checkpoint: Checkpoint, place: Placement, arch: str = "wse3") -> Header:
    """Compile the program of a placement and write the image. The file is replaced in one step when it is complete: MS0901,
    and everything that can be wrong with weights and placement, leave it as it was."""
    program = api.compile(MODEL, arch=arch, params=place.model_params())
    text, arrays = serial.pack(program.ir)
    hosts: list[tuple[str, bytes]] = [("program", text.encode()), ("arrays", arrays)]
    tokenizer = checkpoint.folder / "tokenizer.json"
    if tokenizer.is_file() and (content := tokenizer.read_bytes()):
        hosts.append(("tokenizer", content))
    try:
        places = symbol_places(program.ir)
    except ValueError as error:
        raise image_error("MS1615", f"this model cannot be placed in an image: {error}") from None
    store = Weights(place, checkpoint)
    table = checkpoint.config.vocabulary * checkpoint.config.hidden_size * place.dtype.itemsize
    weights_sha256 = checkpoint.digest()
    layer = _sizes(store.place.layer_weights(store.weights, 0, place.prompt == 0), places)
    sizes = {
        "layers": [(name, place.layers * size) for name, size in layer],
        "layer": layer,
        "head": _sizes(store.place.head_weights(store.weights, 0), places),
    }

    def header(start: int, checksums: str) -> Header:
        segments = []
        at = start
        for kind, content in hosts:
            segments.append(Segment(kind, 0, False, at, len(content)))
            at += aligned(len(content))
        for kind, number, settled in needed(place):
            parts = _parts(sizes[kind], places)
            size = parts[-1].offset + parts[-1].bytes
            segments.append(Segment(kind, number, settled, at, size, parts))
            at += place.height * aligned(place.width * size)
        segments.append(Segment("embeddings", 0, False, at, table))
        return Header(
            made_by=__version__,
            arch=arch,
            dtype=place.dtype.name,
            width=place.width,
            height=place.height,
            config=read_object(checkpoint.folder / "config.json"),
            config_sha256=hashlib.sha256((checkpoint.folder / "config.json").read_bytes()).hexdigest(),
            weights_sha256=weights_sha256,
            ends=tuple(sorted(checkpoint.end_tokens())),
            placement={"version": VERSION, **place.arguments()},
            segments=tuple(segments),
            checksums=checksums,
        )

    # the length of the header depends on how many digits its numbers have, and the numbers on its length
    start, count = PREFIX, 0
    while True:
        found = header(start, "0" * (DIGITS * count))
        count = found.count()
        length = len(encode(header(start, "0" * (DIGITS * count))))
        if length == start:
            break
        start = length
    blank = header(start, "0" * (DIGITS * count))
    with files.replacing(path, "w+b") as file:
        file.write(bytes(start))
        writer = _Writer(file, blank)
        for segment in blank.segments:
            stage(f"writing the image: {segment.kind} {segment.number}")
            if segment.kind == "layers":
                with writer.mapped(segment) as rows:
                    _put_layers(rows, blank, segment, store)
            elif segment.mesh:
                rows = np.zeros((blank.height, blank.row_bytes(segment)), np.uint8)
                if segment.kind == "layer":
                    _put(rows, blank, segment, place.layer_weights(store.weights, segment.number, segment.settled))
                else:
                    _put(rows, blank, segment, place.head_weights(store.weights, segment.number))
                writer.write(rows)
            else:
                if segment.kind == "embeddings":
                    for rows in _table(store, checkpoint):
                        writer.write(rows)
                else:
                    writer.write(dict(hosts)[segment.kind])
                writer.write(bytes(aligned(segment.bytes) - segment.bytes))
        done = header(start, "".join(f"{c:0{DIGITS}x}" for c in writer.checksums))
        file.seek(0)
        file.write(encode(done))
    return done


class _Writer:
    """Writes segments one after the other, and sums up their chunks."""

    def __init__(self, file: Any, header: Header):
        self.file, self.header = file, header
        self.sizes = [chunk.size for chunk in header.chunks()]
        self.checksums: list[int] = []
        self._chunk = bytearray()  # what there is of the one that is being written

    def write(self, data: Any) -> None:
        view = memoryview(data).cast("B")
        while len(view):
            part = view[: self.sizes[len(self.checksums)] - len(self._chunk)]
            self._chunk += part
            view = view[len(part) :]
            if len(self._chunk) == self.sizes[len(self.checksums)]:
                self.file.write(self._chunk)
                self.checksums.append(checksum(self._chunk))
                self._chunk.clear()

    @contextlib.contextmanager
    def mapped(self, segment: Segment) -> Iterator[np.ndarray]:
        """The rows of bytes of a segment of the mesh, to be written in any order: they are in the file, and need not fit in memory."""
        size = self.header.size_of(segment)
        self.file.flush()
        if hasattr(os, "posix_fallocate"):  # a full disk is found here, and not as a signal
            os.posix_fallocate(self.file.fileno(), segment.offset, size)
        else:
            os.truncate(self.file.fileno(), segment.offset + size)
        rows = np.memmap(
            self.file, np.uint8, "r+", segment.offset, (self.header.height, self.header.row_bytes(segment))
        )
        yield rows
        data, at = rows.reshape(-1), 0
        while at < size:
            end = at + self.sizes[len(self.checksums)]
            self.checksums.append(checksum(data[at:end]))
            at = end
        rows.flush()
        self.file.seek(segment.offset + size)


def _sizes(arrays: Iterator[tuple[str, np.ndarray]], places: dict[str, tuple[int, int]]) -> list[tuple[str, int]]:
    """Symbols and bytes of a PE, by address."""
    found = [(name, array.shape[2] * array.itemsize) for name, array in arrays]
    return sorted(found, key=lambda part: places[part[0]])


def _parts(sizes: list[tuple[str, int]], places: dict[str, tuple[int, int]]) -> tuple[Part, ...]:
    parts = []
    at = 0
    for name, size in sizes:
        parts.append(Part(name, at, size, places[name][0]))
        at += size
    return tuple(parts)


def _put_layers(rows: np.ndarray, header: Header, segment: Segment, store: Weights) -> None:
    for layer in range(store.place.layers):
        stage(f"writing the image: layer {layer + 1} of {store.place.layers}")
        _put(rows, header, segment, store.place.layer_weights(store.weights, layer, segment.settled), layer)


def _put(
    rows: np.ndarray, header: Header, segment: Segment, arrays: Iterable[tuple[str, np.ndarray]], number: int = 0
) -> None:
    """Arrays into the bytes of a segment of the mesh. number: among those that stand one after the other there."""
    block = rows[:, : header.width * segment.bytes].reshape(header.height, header.width, segment.bytes)
    parts = {part.symbol: part for part in segment.parts}
    for name, array in arrays:
        data = np.ascontiguousarray(array).view(np.uint8)
        at = parts[name].offset + number * data.shape[2]
        block[:, :, at : at + data.shape[2]] = data  # the block is a view of `rows`


def _table(store: Weights, checkpoint: Checkpoint) -> Iterator[np.ndarray]:
    """The embedding table in the type of the mesh."""
    for first in range(0, checkpoint.config.vocabulary, TABLE_ROWS):
        yield np.ascontiguousarray(store.embeddings(slice(first, first + TABLE_ROWS)))
