"""A step of a chunk's way, with threads of its own: loads that wait at it are served in turn, by bytes."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Generic, TypeVar

Owner = TypeVar("Owner")
Then = Callable[[], None]


class Station(Generic[Owner]):
    """work: called in a thread with an owner and one of its items; returns the bytes that it has moved, and what this thread does next,
    outside the station. Of the owners with something to do, the one that has had fewest bytes is next; one that comes later begins
    where the others are.

    Bandwidth is bytes by the time in which some thread was at work.
    """

    def __init__(self, name: str, threads: int, work: Callable[[Owner, Any], tuple[int, Then | None]]):
        self.name = name
        self._work = work
        self._queues: dict[Owner, deque[tuple[Any, int]]] = {}
        self._served: dict[Owner, int] = {}
        self._changed = threading.Condition()
        self._closed = False
        self._active = 0
        self._since = 0.0
        self._busy = 0.0
        self._bytes = 0
        self._threads = [threading.Thread(target=self._run, name=f"{name}-{i}", daemon=True) for i in range(threads)]
        for thread in self._threads:
            thread.start()

    def submit(self, owner: Owner, item: Any, size: int) -> None:
        with self._changed:
            self._know(owner)
            self._queues[owner].append((item, size))
            self._changed.notify()

    def carry(self, owner: Owner, item: Any, size: int) -> None:
        """Like `submit`; the calling thread does the work itself if nothing waits and a thread of the station is idle: what it
        has just brought is in its processor's cache, and nobody has to be woken."""
        with self._changed:
            here = self._active < len(self._threads) and not any(self._queues.values()) and not self._closed
            if here:
                self._know(owner)
                self._begin(owner, size)
        if not here:
            self.submit(owner, item, size)
            return
        if (then := self._do(owner, item)) is not None:
            then()

    def drop(self, owner: Owner) -> list[Any]:
        """Forget an owner; what it still had to do."""
        with self._changed:
            self._served.pop(owner, None)
            return [item for item, _ in self._queues.pop(owner, ())]

    def waiting(self) -> dict[Owner, int]:
        """Bytes that owners have waiting."""
        with self._changed:
            return {owner: sum(size for _, size in queue) for owner, queue in self._queues.items()}

    def work_done(self) -> tuple[int, float]:
        """Bytes so far, and the seconds in which some thread was at work."""
        with self._changed:
            now = time.monotonic() - self._since if self._active else 0.0
            return self._bytes, self._busy + now

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _next(self) -> tuple[Owner, Any] | None:
        with self._changed:
            while True:
                ready = [owner for owner, queue in self._queues.items() if queue]
                if ready:
                    owner = min(ready, key=lambda o: self._served[o])
                    item, size = self._queues[owner].popleft()
                    self._begin(owner, size)
                    return owner, item
                if self._closed:
                    return None
                self._changed.wait()

    def _know(self, owner: Owner) -> None:
        if owner not in self._queues:
            self._queues[owner] = deque()
            self._served[owner] = min((self._served[o] for o in self._queues if o is not owner), default=0)

    def _begin(self, owner: Owner, size: int) -> None:
        self._served[owner] += size
        if not self._active:
            self._since = time.monotonic()
        self._active += 1

    def _do(self, owner: Owner, item: Any) -> Then | None:
        moved, then = 0, None
        try:
            moved, then = self._work(owner, item)
        finally:
            with self._changed:
                self._active -= 1
                self._bytes += moved
                if not self._active:
                    self._busy += time.monotonic() - self._since
        return then

    def _run(self) -> None:
        while (task := self._next()) is not None:
            if (then := self._do(*task)) is not None:
                then()
