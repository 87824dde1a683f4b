"""The format of a wafer image (.wimg): a model placed for one mesh, its program, and checksums.

    8 bytes    MESHWIMG
    4 bytes    number of the format
    4 bytes    length of the header
    32 bytes   SHA-256 of the header
    header     JSON, then zeros up to a multiple of 4096
    segments   one after the other, each a multiple of 4096

A segment of the mesh holds a part of each PE's memory (all resident layers, a layer of a streamed model, a piece of the output
projection): row after row of PEs, each row aligned to 4096; in a row PE after PE; of a PE its arrays, by address, so that what lies
together in its memory lies together in the file. A segment of the host is a text or a table. All segments are cut into chunks of
about 1 MiB, whole rows of PEs or whole PEs, and the header has a checksum of each (checksum.py): a chunk is what is read, checked and
written to the fabric at a time. The digest of the header, which has all checksums in it, is the image's identity.

Numbers are little-endian. Everything that a header says is checked (`decode`): a file that is accepted has no byte that nothing vouches
for.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from typing import Any

MAGIC = b"MESHWIMG"
FORMAT = 3
PREFIX = 48  # bytes before the header
PAGE = 4096
CHUNK = 1 << 20
DIGITS = 16  # of a checksum
LONGEST_HEADER = 1 << 28

MESH_KINDS = ("layers", "layer", "head")
HOST_KINDS = ("program", "arrays", "tokenizer", "embeddings")


def aligned(n: int) -> int:
    """n, rounded up to whole pages."""
    return -(-n // PAGE) * PAGE


@dataclass(frozen=True)
class Part:
    """An array in a PE's part of a segment: `bytes` of them from `offset` on, which go to `address` of its memory. Of resident layers it
    holds all of them, one after the other, each as long as the others."""

    symbol: str
    offset: int
    bytes: int
    address: int


@dataclass(frozen=True)
class Segment:
    """kind: "layers" (all that are resident), "layer" (number `number`), both where decoding wants them if `settled`, else where a
    prefill does; "head" (a piece of the output projection), or one of the host's. offset: in the file. bytes: of a PE, or of the host's segment."""

    kind: str
    number: int
    settled: bool
    offset: int
    bytes: int
    parts: tuple[Part, ...] = ()

    @property
    def mesh(self) -> bool:
        return self.kind in MESH_KINDS

    @property
    def name(self) -> str:
        """For messages."""
        if self.kind in ("layers", "layer"):
            which = "the layers" if self.kind == "layers" else f"layer {self.number}"
            return f"{which}{', settled' if self.settled else ''}"
        return f"piece {self.number} of the output projection" if self.kind == "head" else f"the {self.kind}"


@dataclass(frozen=True)
class Chunk:
    """A piece of a segment: `size` bytes of the file from `offset` on. Of the mesh: `columns` PEs from x on, in `rows` rows
    from y on."""

    number: int
    segment: Segment
    offset: int
    size: int
    y: int = 0
    rows: int = 0
    x: int = 0
    columns: int = 0

    @property
    def name(self) -> str:
        place = f", rows {self.y} to {self.y + self.rows - 1}" if self.rows else ""
        return f"{self.segment.name}{place}"


@dataclass(frozen=True)
class Header:
    """What an image says about itself. width, height: of the mesh, in PEs. config: the model's config.json. placement:
    arguments of models.llama.Placement, and under "version" what it was when the image was made. ends: tokens that end a
    text. config_sha256, weights_sha256: of config.json's bytes, and of all tensors (`Checkpoint.digest`). checksums:
    of each chunk, sixteen hexadecimal digits each."""

    made_by: str
    arch: str
    dtype: str
    width: int
    height: int
    config: dict[str, Any]
    config_sha256: str
    weights_sha256: str
    ends: tuple[int, ...]
    placement: dict[str, Any]
    segments: tuple[Segment, ...]
    checksums: str

    def row_bytes(self, segment: Segment) -> int:
        """Bytes of the file that a row of PEs takes in a segment of the mesh."""
        return aligned(self.width * segment.bytes)

    def size_of(self, segment: Segment) -> int:
        """Bytes of the file that a segment takes."""
        return self.height * self.row_bytes(segment) if segment.mesh else aligned(segment.bytes)

    def chunks(self) -> list[Chunk]:
        """All chunks, in the order of the file."""
        found: list[Chunk] = []
        for segment in self.segments:
            for offset, size, y, rows, x, columns in self._pieces(segment):
                found.append(Chunk(len(found), segment, offset, size, y, rows, x, columns))
        return found

    def _pieces(self, segment: Segment) -> Iterator[tuple[int, int, int, int, int, int]]:
        if not segment.mesh:
            total = aligned(segment.bytes)
            for at in range(0, total, CHUNK):
                yield segment.offset + at, min(CHUNK, total - at), 0, 0, 0, 0
            return
        row = self.row_bytes(segment)
        if row <= CHUNK:
            step = CHUNK // row
            for y in range(0, self.height, step):
                rows = min(step, self.height - y)
                yield segment.offset + y * row, rows * row, y, rows, 0, self.width
            return
        step = max(1, CHUNK // segment.bytes)
        for y in range(self.height):
            for x in range(0, self.width, step):
                at = x * segment.bytes
                columns = min(step, self.width - x)
                size = columns * segment.bytes if x + columns < self.width else row - at
                yield segment.offset + y * row + at, size, y, 1, x, columns

    def count(self) -> int:
        """How many chunks there are, without making them."""
        return sum(self._count(segment) for segment in self.segments)

    def _count(self, segment: Segment) -> int:
        if not segment.mesh:
            return -(-aligned(segment.bytes) // CHUNK)
        row = self.row_bytes(segment)
        if row <= CHUNK:
            return -(-self.height // (CHUNK // row))
        return self.height * -(-self.width // max(1, CHUNK // segment.bytes))

    def checksum(self, chunk: Chunk) -> int:
        return int(self.checksums[DIGITS * chunk.number : DIGITS * (chunk.number + 1)], 16)

    def find(self, kind: str, number: int = 0, settled: bool = False) -> Segment | None:
        for segment in self.segments:
            if (segment.kind, segment.number, segment.settled) == (kind, number, settled):
                return segment
        return None

    @property
    def end(self) -> int:
        """The size of the file."""
        last = self.segments[-1]
        return last.offset + self.size_of(last)


def encode(header: Header) -> bytes:
    """The beginning of the file, up to the first segment."""
    text = json.dumps(asdict(header), separators=(",", ":"), sort_keys=True).encode()
    return sealed(text)


def sealed(text: bytes) -> bytes:
    start = (
        MAGIC + FORMAT.to_bytes(4, "little") + len(text).to_bytes(4, "little") + hashlib.sha256(text).digest() + text
    )
    return start + bytes(aligned(len(start)) - len(start))


def decode(text: bytes) -> Header:
    """The header in its JSON. ValueError with what is wrong for anything that `encode` would not write."""
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        raise ValueError("its header is not JSON") from None
    _fields(values, Header, "the header")
    segments = values["segments"]
    if not isinstance(segments, list) or not segments:
        raise ValueError("it has no segments")
    values["segments"] = tuple(_segment(s, i) for i, s in enumerate(segments))
    if not isinstance(values["ends"], list) or not all(map(_whole, values["ends"])):
        raise ValueError("the tokens that end a text are no numbers")
    values["ends"] = tuple(values["ends"])
    for name in ("made_by", "arch", "dtype", "config_sha256", "weights_sha256", "checksums"):
        if not isinstance(values[name], str):
            raise ValueError(f"{name} is no text")
    for name in ("config", "placement"):
        if not isinstance(values[name], dict):
            raise ValueError(f"{name} is no object")
    for name in ("width", "height"):
        if not _whole(values[name]) or not 1 <= values[name] < 1 << 15:
            raise ValueError(f"its {name} is {values[name]!r}")
    if values["arch"] not in ("wse2", "wse3") or values["dtype"] not in ("float16", "float32"):
        raise ValueError(f"it is for {values['arch']!r} in {values['dtype']!r}")
    header = Header(**values)
    _check_places(header, aligned(PREFIX + len(text)))
    if len(header.checksums) != DIGITS * header.count() or not set(header.checksums) <= set("0123456789abcdef"):
        raise ValueError(f"its {header.count()} chunks have no checksum each")
    return header


def _fields(values: Any, kind: type, what: str) -> None:
    names = {f.name for f in fields(kind)}
    if not isinstance(values, dict) or set(values) != names:
        found = sorted(values) if isinstance(values, dict) else values
        raise ValueError(f"{what} has not the fields of this format: {str(found)[:200]}")


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 48


def _segment(values: Any, number: int) -> Segment:
    what = f"segment {number}"
    _fields(values, Segment, what)
    if values["kind"] not in MESH_KINDS + HOST_KINDS:
        raise ValueError(f"{what} is of kind {values['kind']!r}")
    if not all(_whole(values[name]) for name in ("number", "offset", "bytes")) or not isinstance(
        values["settled"], bool
    ):
        raise ValueError(f"{what} has no place")
    if not isinstance(values["parts"], list) or bool(values["parts"]) != (values["kind"] in MESH_KINDS):
        raise ValueError(f"{what} has no arrays, or should have none")
    parts = []
    end = 0
    for part in values["parts"]:
        _fields(part, Part, f"an array of {what}")
        if not isinstance(part["symbol"], str) or not all(
            _whole(part[name]) for name in ("offset", "bytes", "address")
        ):
            raise ValueError(f"an array of {what} has no place")
        if part["offset"] != end or not part["bytes"]:
            raise ValueError(f"{part['symbol']!r} of {what} is not behind the array before it")
        end += part["bytes"]
        parts.append(Part(**part))
    if parts and end != values["bytes"]:
        raise ValueError(f"{what} has {values['bytes']} bytes of a PE, and arrays of {end}")
    if not values["bytes"]:
        raise ValueError(f"{what} is empty")
    return Segment(**{**values, "parts": tuple(parts)})


def _check_places(header: Header, start: int) -> None:
    """Segments lie one after the other, and each is there once."""
    seen = set()
    at = start
    for segment in header.segments:
        key = (segment.kind, segment.number, segment.settled)
        if key in seen:
            raise ValueError(f"{segment.name} is there twice")
        seen.add(key)
        if segment.offset != at:
            raise ValueError(f"{segment.name} begins at {segment.offset}, and {at} was expected")
        at += header.size_of(segment)
        if at >= 1 << 48:
            raise ValueError(f"{segment.name} is larger than any file")
