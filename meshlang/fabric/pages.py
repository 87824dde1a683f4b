"""Memory that is about to be written, which the system finds meanwhile.

New memory is zeros that nobody has yet: the system finds a page for it when it is written first, and where that is a virtual machine
its host does, too. A second for 400 MB was measured, of one thread. A thread that does nothing else can have it done while others
compute what will be written.
"""

from __future__ import annotations

import contextlib
import ctypes
import sys
import threading
from pathlib import Path

import numpy as np

HUGE = 2 << 20  # bytes of a huge page
STEP = 2 * HUGE  # bytes that are asked for at a time: meanwhile nobody else can get or give back address space
LEAST = 16 * HUGE  # bytes for which it is worth a thread
_POPULATE_WRITE = 23  # madvise: find pages as if they were written, and leave what is in them
_HOW = Path("/sys/kernel/mm/transparent_hugepage/enabled")


def find_ahead(memory: np.ndarray) -> None:
    """Begin to find the pages of an array which will be written soon, all over. What is in it stays, whoever writes there. Only if
    it is large, and memory comes in huge pages: of small ones some may never be written, and would be found in vain."""
    if memory.nbytes >= LEAST and _in_huge_pages():
        with contextlib.suppress(RuntimeError):  # the system has no more threads: nobody needs this one
            threading.Thread(target=_find, args=(memory,), daemon=True).start()


def _in_huge_pages() -> bool:
    """For large arrays NumPy asks for them, which is enough where the system has "madvise" chosen."""
    try:
        return sys.platform.startswith("linux") and "[never]" not in _HOW.read_text()
    except OSError:
        return False


def _find(memory: np.ndarray) -> None:
    advise = ctypes.CDLL(None).madvise
    advise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    first = memory.ctypes.data
    end = first + memory.nbytes
    for at in range(first + -first % HUGE, end - STEP, STEP):
        if advise(at, STEP, _POPULATE_WRITE):
            return  # an older system, or it has no more memory: who writes will see
