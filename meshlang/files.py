"""Writing files so that nobody ever finds half of one.

What is written goes to a file beside the target, which takes the target's place in one step when it is complete. Whatever
ends the process or fills the disk in between, the target holds what it held before or all of the new content.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import os
import re
import stat
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .diag import Diagnostic, MeshlangError

if TYPE_CHECKING:
    import zipfile

_numbers = itertools.count()


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str], mode: str = "wb") -> Iterator[Any]:
    """A file to write to ("wb", or "w" for UTF-8 text) that becomes `path` when the block ends without an error.

    Devices and pipes are written to as they are: there is nothing in them to keep. Errors: MS0901, with `path` as it was.
    """
    try:
        target = Path(os.path.realpath(path))  # a link goes on pointing to the file that is replaced
        with _open(target, mode) as file:
            yield file
    except OSError as error:
        raise cannot_write(path, error) from None


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Replace a file by UTF-8 text. Errors: MS0901, with the file as it was."""
    with replacing(path, "w") as file:
        file.write(text)


def write_bytes(path: str | os.PathLike[str], data: bytes) -> None:
    """Replace a file by bytes. Errors: MS0901, with the file as it was."""
    with replacing(path) as file:
        file.write(data)


_DEFLATED = 8  # zipfile.ZIP_DEFLATED
# how most arrays begin in an .npz file: version 1.0, the length of the rest, a type in one word, the shape
_ARRAY = re.compile(
    rb"\x93NUMPY\x01\x00(..)\{'descr': '([<|][biuf]\d)', 'fortran_order': False, 'shape': \(([\d, ]*)\), \} *\n",
    re.DOTALL,
)


def read_arrays(content: bytes) -> dict[str, Any]:
    """The arrays of an .npz file. ValueError for anything that is none: a damaged one makes its readers fail in many
    ways, and nothing in it is executed. A program has hundreds of them: `numpy.load` takes three times as long."""
    import zipfile

    try:
        with zipfile.ZipFile(io.BytesIO(content)) as file:
            unpacked: dict[bytes, bytes] = {}  # many are alike
            return {
                i.filename.removesuffix(".npy"): _array(_member(file, i, content, unpacked)) for i in file.infolist()
            }
    except Exception as error:
        raise ValueError(f"{type(error).__name__}: {error}") from None


def _member(file: zipfile.ZipFile, info: zipfile.ZipInfo, content: bytes, unpacked: dict[bytes, bytes]) -> bytes:
    """The bytes of a member, checked. unpacked: what is known of others, by their compressed bytes."""
    at = info.header_offset
    name, more = struct.unpack_from("<HH", content, at + 26)
    at += 30 + name + more
    packed = content[at : at + info.compress_size]
    if info.compress_type != _DEFLATED or info.flag_bits & 1:
        return file.read(info)
    data = unpacked.get(packed)
    if data is None:
        data = unpacked[packed] = zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed, info.file_size)
    if len(data) != info.file_size or zlib.crc32(data) != info.CRC:
        raise ValueError(f"{info.filename} is not what was written")
    return data


def _array(data: bytes) -> Any:
    """An array from its .npy form; it may be written to."""
    import numpy as np

    found = _ARRAY.match(data)
    if found is None or int.from_bytes(found[1], "little") != found.end() - 10:
        return np.lib.format.read_array(io.BytesIO(data), allow_pickle=False)
    shape = [int(n) for n in found[3].split(b",") if n.strip()]
    return np.frombuffer(data, found[2].decode(), offset=found.end()).reshape(shape).copy()


def cannot_write(path: str | os.PathLike[str], error: OSError) -> MeshlangError:
    return MeshlangError(Diagnostic("MS0901", f"cannot write {path}: {error.strerror or error}"))


def refused(error: OSError) -> MeshlangError:
    """MS0901 for what the operating system has refused where nobody expected it: a folder that may not be entered, a full disk."""
    reason = (error.strerror or str(error)).lower()
    if error.filename is None:
        return MeshlangError(Diagnostic("MS0901", f"cannot go on: {reason}"))
    help = (
        "it, or a folder on the way to it, is not open to you: see `ls -ld`"
        if isinstance(error, PermissionError)
        else None
    )
    return MeshlangError(Diagnostic("MS0901", f"cannot reach {os.fsdecode(error.filename)}: {reason}", help=help))


@contextlib.contextmanager
def _open(target: Path, mode: str) -> Iterator[Any]:
    encoding = None if "b" in mode else "utf-8"
    try:
        before = target.stat()
    except FileNotFoundError:
        before = None
    if before is not None and not stat.S_ISREG(before.st_mode):
        with open(target, mode, encoding=encoding) as file:
            yield file
        return
    if before is not None and not os.access(target, os.W_OK):
        raise PermissionError(13, "Permission denied", str(target))  # renaming over it would not ask
    beside = target.with_name(f".{target.name[:100]}.{os.getpid()}-{next(_numbers)}.tmp")
    try:
        with open(beside, mode.replace("w", "x"), encoding=encoding) as file:
            if before is not None:
                os.chmod(beside, stat.S_IMODE(before.st_mode))
            yield file
            file.flush()
            os.fsync(file.fileno())  # else the name may reach the disk before the content does
        os.replace(beside, target)
    except BaseException:
        with contextlib.suppress(OSError):
            beside.unlink()
        raise
