"""Memory that is about to be written, which the system finds meanwhile.

New memory is zeros that nobody has yet: the system finds a page for it when it is written first, and where that is a virtual machine
its host does, too. A second for 400 MB was measured, of one thread. A thread that does nothing else can have it done while others
compute what will be written. Whoever knows that a machine is going to be made says so (`expected`), and it begins before there is a program.
"""

from __future__ import annotations

import contextlib
import ctypes
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path

import numpy as np

HUGE = 2 << 20  # bytes of a huge page
STEP = 2 * HUGE  # bytes that are asked for at a time: meanwhile nobody else can get or give back address space
LEAST = 16 * HUGE  # bytes for which it is worth a thread
_POPULATE_WRITE = 23  # madvise: find pages as if they were written, and leave what is in them
_HOW = Path("/sys/kernel/mm/transparent_hugepage/enabled")


@dataclass
class _Ahead:
    """An array, and how many of its bytes will be written soon: all of them, from the first on."""

    memory: np.ndarray
    end: int

    def find(self) -> None:
        """Begin to find the pages. What is in them stays, whoever writes there. Only if it is large, and memory comes in huge pages: of
        small ones some may never be written, and would be found in vain."""
        if self.end >= LEAST and _in_huge_pages():
            with contextlib.suppress(RuntimeError):  # the system has no more threads: nobody needs this one
                threading.Thread(target=_find, args=(self,), daemon=True).start()


_expected: ContextVar[_Ahead | None] = ContextVar("_expected", default=None)


@contextmanager
def expected(likely: int, most: int) -> Iterator[None]:
    """A machine will be made meanwhile by this thread, whose PEs have about `likely` bytes of memory, and at most `most`."""
    token = None
    if LEAST <= likely <= most and _in_huge_pages():
        with contextlib.suppress(MemoryError):
            ahead = _Ahead(np.zeros(most // 8, np.uint64), likely)
            ahead.find()
            token = _expected.set(ahead)
    try:
        yield
    finally:
        if token is not None:
            _expected.reset(token)


def zeros(words: int, end: int) -> np.ndarray:
    """Zeros, uint64, of which the first `end` bytes will be written soon. They may be those that were expected."""
    ahead = _expected.get()
    if ahead is not None and words <= len(ahead.memory):
        _expected.set(None)  # nobody else has them
        ahead.end = end
        return ahead.memory[:words]
    ahead = _Ahead(np.zeros(words, np.uint64), end)
    ahead.find()
    return ahead.memory


def _in_huge_pages() -> bool:
    """For large arrays NumPy asks for them, which is enough where the system has "madvise" chosen."""
    try:
        return sys.platform.startswith("linux") and "[never]" not in _HOW.read_text()
    except OSError:
        return False


def _find(ahead: _Ahead) -> None:
    advise = ctypes.CDLL(None).madvise
    advise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    first = ahead.memory.ctypes.data
    at = first + -first % HUGE
    while at < first + ahead.end - STEP:  # what is known of the end may change
        if advise(at, STEP, _POPULATE_WRITE):
            return  # an older system, or it has no more memory: who writes will see
        at += STEP
