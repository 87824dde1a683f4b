"""An array that is mapped several times, each time with other words at its start.

For several threads (bands.py): the engine finds what there is once at fixed places of W, and what a thread counts there
must be its own. So W lies in a file without a name, in memory, and each thread sees all of it, but for the first pages: in
their place it sees pages from further behind.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import sys
import tempfile
import weakref

import numpy as np

WORD = 8
PAGE = mmap.PAGESIZE // WORD  # words
_READ_WRITE = 3
_SHARED, _PRIVATE, _FIXED = 0x1, 0x2, 0x10
_ANONYMOUS = 0x20 if sys.platform.startswith("linux") else 0x1000
_FAILED = ctypes.c_void_p(-1).value


class Mapped:
    """`words` zeros, int64. `array` shows them as they are, `with_start` with others at the start. Raises OSError where the
    system has no such mappings."""

    def __init__(self, words: int):
        if os.name != "posix":
            raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
        self.words = words + -words % PAGE
        self._file = _file_without_name()
        os.ftruncate(self._file, self.words * WORD)
        self.array: np.ndarray = np.frombuffer(mmap.mmap(self._file, self.words * WORD), np.int64)
        self._library = _library()
        weakref.finalize(self, os.close, self._file)

    def with_start(self, start: int, count: int) -> np.ndarray:
        """The array with its words from `start` on in place of the first `count` (both whole pages)."""
        if start % PAGE or count % PAGE:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        size, hidden = self.words * WORD, count * WORD
        # the whole length first, so that both parts lie one behind the other
        base = self._map(None, size, _PRIVATE | _ANONYMOUS, -1, 0)
        self._map(base, hidden, _SHARED | _FIXED, self._file, start * WORD)
        self._map(base + hidden, size - hidden, _SHARED | _FIXED, self._file, hidden)
        owner = (ctypes.c_char * size).from_address(base)
        weakref.finalize(owner, self._library.munmap, base, size)
        return np.frombuffer(memoryview(owner), np.int64)

    def _map(self, at: int | None, size: int, flags: int, file: int, offset: int) -> int:
        base = self._library.mmap(at, size, _READ_WRITE, flags, file, offset)
        if base == _FAILED:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        return int(base)


def _file_without_name() -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create("meshlang")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def _library() -> ctypes.CDLL:
    library = ctypes.CDLL(None, use_errno=True)
    library.mmap.restype = ctypes.c_void_p
    library.mmap.argtypes = [
        *(ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int),
        *(ctypes.c_int, ctypes.c_int, ctypes.c_int64),
    ]
    library.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    return library
