"""Chunks of images in the host's memory: so many and no more, those used longest ago go first, shared by all models and loads."""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from meshlang.diag import MeshlangError

from .image import image_error
from .image_format import CHUNK, PAGE

FRAME = CHUNK + PAGE  # the last chunk of a row of PEs has the padding of the row
_ONFAULT = 1  # MLOCK_ONFAULT: what has not been used yet is not there
LEAST = 4  # frames: one for each step of a chunk's way

Key = tuple[str, int]  # identity of an image, number of a chunk


@dataclass(eq=False)
class Frame:
    """A place for a chunk. pins: who needs it to stay. It is filled by the one who claimed it first; `full` and `error`
    say how that went."""

    key: Key
    index: int
    data: np.ndarray
    pins: int = 1
    full: bool = False
    error: MeshlangError | None = None
    waiting: list[Callable[[], None]] = field(default_factory=list)

    @property
    def settled(self) -> bool:
        return self.full or self.error is not None


class Pool:
    """size: bytes. locked: the memory cannot be paged out (where the system allows that much). once: a chunk that nobody needs any more
    goes at once, and its frame, which is still in the processor's cache, is the next one. MS1622 if there is no room for the chunks
    of one load."""

    def __init__(self, size: int, once: bool = False):
        count = size // FRAME
        if count < LEAST:
            raise image_error(
                "MS1622",
                f"a pool of {size:,} bytes has no room for chunks",
                f"it needs at least {LEAST * FRAME:,} bytes",
            )
        self.size = count * FRAME
        self._once = once
        # memory that children share takes three times as long to be used for the first time
        private = {"flags": mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS} if hasattr(mmap, "MAP_ANONYMOUS") else {}
        self._memory = mmap.mmap(-1, self.size, **private)
        if hasattr(mmap, "MADV_HUGEPAGE"):  # using memory for the first time takes a tenth of the time
            with contextlib.suppress(OSError):
                self._memory.madvise(mmap.MADV_HUGEPAGE)
        self._bytes = np.frombuffer(self._memory, np.uint8).reshape(count, FRAME)
        self.locked = _lock(self._bytes)
        self._free = list(range(count))
        self._frames: OrderedDict[Key, Frame] = OrderedDict()  # from the one used longest ago
        self._changed = threading.Condition()

    def holds(self, key: Key) -> bool:
        with self._changed:
            frame = self._frames.get(key)
            return frame is not None and frame.full

    def take(self, key: Key) -> Frame | None:
        """The pinned frame of a chunk that is here."""
        with self._changed:
            frame = self._frames.get(key)
            if frame is None or not frame.full:
                return None
            frame.pins += 1
            self._frames.move_to_end(key)
            return frame

    def claim(self, key: Key, size: int, wanted: Callable[[], bool]) -> tuple[Frame, bool] | None:
        """The pinned frame of a chunk; True: the caller has to fill it, and says so with `settle`. Waits while all frames are
        pinned; None when the chunk is not `wanted` any more."""
        with self._changed:
            while True:
                frame = self._frames.get(key)
                if frame is not None:
                    frame.pins += 1
                    self._frames.move_to_end(key)
                    return frame, False
                index = self._free.pop() if self._free else self._evict()
                if index is not None:
                    frame = self._frames[key] = Frame(key, index, self._bytes[index, :size])
                    return frame, True
                if not wanted():
                    return None
                self._changed.wait(0.05)

    def _evict(self) -> int | None:
        for key, frame in self._frames.items():
            if not frame.pins:
                del self._frames[key]
                return frame.index
        return None

    def settle(self, frame: Frame, error: MeshlangError | None = None) -> None:
        """The frame is full, or could not be filled."""
        with self._changed:
            frame.full, frame.error = error is None, error
            if error is not None:
                del self._frames[frame.key]  # the next one who wants it tries again
            waiting, frame.waiting = frame.waiting, []
            self._changed.notify_all()
        for call in waiting:
            call()

    def when_settled(self, frame: Frame, call: Callable[[], None]) -> None:
        """Call when the frame is settled, which may be now."""
        with self._changed:
            if not frame.settled:
                frame.waiting.append(call)
                return
        call()

    def pin(self, frame: Frame) -> None:
        with self._changed:
            frame.pins += 1

    def unpin(self, frame: Frame) -> None:
        with self._changed:
            frame.pins -= 1
            if not frame.pins:
                if frame.error is not None:
                    self._free.append(frame.index)
                elif self._once:
                    del self._frames[frame.key]
                    self._free.append(frame.index)
                self._changed.notify_all()

    def used(self) -> tuple[int, int]:
        """Frames that hold something, and those of them that are pinned."""
        with self._changed:
            return len(self._frames), sum(frame.pins > 0 for frame in self._frames.values())


def _lock(memory: np.ndarray) -> bool:
    """Keep memory from being paged out once it has been used, if the system lets us."""
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        return bool(libc.mlock2(ctypes.c_void_p(memory.ctypes.data), ctypes.c_size_t(memory.nbytes), _ONFAULT) == 0)
    except (OSError, AttributeError):
        return False
