"""Memory that is found ahead: it is there, and holds what was written meanwhile."""

from __future__ import annotations

import platform
import re
import sys
import threading
from pathlib import Path
from threading import Thread

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
    pages._find(pages._Ahead(memory, memory.nbytes))
    assert resident() - before >= 6 * pages.STEP
    assert not memory.any()


@linux
def test_no_more_than_will_be_written():
    memory = np.zeros(64 * pages.HUGE, np.uint8)
    before = resident()
    pages._find(pages._Ahead(memory, 8 * pages.HUGE))
    assert resident() - before <= 10 * pages.HUGE


def test_what_is_written_meanwhile_stays():
    memory = np.zeros(64 * pages.HUGE // 8, np.uint64)
    finder = threading.Thread(target=pages._find, args=(pages._Ahead(memory, memory.nbytes),))
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
    monkeypatch.setattr(pages, "_find", lambda ahead: found.append(ahead.end))
    for huge in (False, True):
        monkeypatch.setattr(pages, "_in_huge_pages", lambda huge=huge: huge)
        for size in (pages.LEAST - 1, pages.LEAST):
            memory = pages.zeros(size // 8 + 100, size)
            assert memory.dtype == np.uint64 and len(memory) == size // 8 + 100 and not memory.any()
    assert found == [pages.LEAST]


def test_memory_that_is_expected(monkeypatch):
    """One machine has it, of this thread, if it is enough; what will be written of it is known better then."""
    found = []
    monkeypatch.setattr(pages.threading, "Thread", AtOnce)
    monkeypatch.setattr(pages, "_find", lambda ahead: found.append(ahead))
    monkeypatch.setattr(pages, "_in_huge_pages", lambda: True)
    words = pages.LEAST // 8
    with pages.expected(pages.LEAST, 2 * pages.LEAST):
        assert [ahead.end for ahead in found] == [pages.LEAST]
        more = pages.zeros(2 * words + 1, 0)
        assert not np.shares_memory(more, found[0].memory)
        others = []
        thread = Thread(target=lambda: others.append(pages.zeros(words, 0)))
        thread.start()
        thread.join()
        assert not np.shares_memory(others[0], found[0].memory)
        first, second = pages.zeros(2 * words, 24), pages.zeros(2 * words, 0)
        assert np.shares_memory(first, found[0].memory) and len(first) == 2 * words and found[0].end == 24
        assert not np.shares_memory(second, found[0].memory)
    assert len(found) == 1 and not np.shares_memory(pages.zeros(words, 0), found[0].memory)
    with pages.expected(pages.LEAST - 1, 2 * pages.LEAST), pages.expected(2 * pages.LEAST, pages.LEAST):
        pages.zeros(words, 0)
    with pages.expected(pages.LEAST, 1 << 62):  # there is not so much
        assert len(pages.zeros(words, 0)) == words
    assert len(found) == 1


def test_no_more_threads(monkeypatch):
    class Refused(AtOnce):
        def __init__(self, **arguments):
            raise RuntimeError("can't start new thread")

    monkeypatch.setattr(pages.threading, "Thread", Refused)
    monkeypatch.setattr(pages, "_in_huge_pages", lambda: True)
    assert len(pages.zeros(pages.LEAST // 8, pages.LEAST)) == pages.LEAST // 8


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
