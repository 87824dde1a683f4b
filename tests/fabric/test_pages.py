"""Memory that is found ahead: it is there, and holds what was written meanwhile."""

from __future__ import annotations

import platform
import re
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from meshlang.fabric import pages

linux = pytest.mark.skipif(
    not sys.platform.startswith("linux") or tuple(map(int, re.findall(r"\d+", platform.release())[:2])) < (5, 14),
    reason="madvise finds pages since Linux 5.14",
)


def resident() -> int:
    """Bytes of this process that are in memory."""
    return int(re.findall(r"Rss: +(\d+) kB", Path("/proc/self/smaps_rollup").read_text())[0]) << 10


@linux
def test_pages_are_there_before_anybody_writes():
    memory = np.zeros(8 * pages.STEP, np.uint8)
    before = resident()
    pages._find(memory)
    assert resident() - before >= 6 * pages.STEP
    assert not memory.any()


def test_what_is_written_meanwhile_stays():
    memory = np.zeros(64 * pages.HUGE // 8, np.uint64)
    finder = threading.Thread(target=pages._find, args=(memory,))
    finder.start()
    want = np.arange(len(memory), dtype=np.uint64)
    for i in range(0, len(memory), 100_000):
        memory[i : i + 100_000] = want[i : i + 100_000]
    finder.join()
    assert np.array_equal(memory, want)


class AtOnce:
    """In place of a thread."""

    def __init__(self, target, args, daemon):
        assert daemon
        self.start = lambda: target(*args)


def test_only_what_is_large_and_in_huge_pages(monkeypatch):
    found = []
    monkeypatch.setattr(pages.threading, "Thread", AtOnce)
    monkeypatch.setattr(pages, "_find", lambda memory: found.append(memory.nbytes))
    for huge in (False, True):
        monkeypatch.setattr(pages, "_in_huge_pages", lambda huge=huge: huge)
        for size in (pages.LEAST - 1, pages.LEAST):
            pages.find_ahead(np.zeros(size, np.uint8))
    assert found == [pages.LEAST]


def test_no_more_threads(monkeypatch):
    class Refused(AtOnce):
        def __init__(self, **arguments):
            raise RuntimeError("can't start new thread")

    monkeypatch.setattr(pages.threading, "Thread", Refused)
    monkeypatch.setattr(pages, "_in_huge_pages", lambda: True)
    pages.find_ahead(np.zeros(pages.LEAST, np.uint8))


def test_how_the_system_has_them(monkeypatch, tmp_path):
    file = tmp_path / "enabled"
    monkeypatch.setattr(pages, "_HOW", file)
    monkeypatch.setattr(sys, "platform", "linux")
    assert not pages._in_huge_pages()
    for text, huge in (
        ("always [madvise] never", True),
        ("[always] madvise never", True),
        ("always madvise [never]", False),
    ):
        file.write_text(text + "\n")
        assert pages._in_huge_pages() is huge
