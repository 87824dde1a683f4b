"""The one cache: what is in it is the user's own, whole, and found by content."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from meshlang import cache

posix = pytest.mark.skipif(not hasattr(os, "getuid"), reason="owners and modes are those of POSIX")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("MESHLANG_CACHE_DIR", str(tmp_path / "cache"))
    return cache.entry("thing-1")


def test_kept(folder):
    assert folder.name == "thing-1" and cache.load(folder / "a") is None
    cache.store(folder / "a", b"content")
    assert cache.load(folder / "a") == b"content"
    assert [p.name for p in folder.iterdir()] == ["a"]  # nothing is left beside it


@pytest.mark.parametrize("damage", [lambda b: b[:-1], lambda b: b[:10], lambda b: b"", lambda b: b[:-1] + b"!"])
def test_what_is_damaged_is_thrown_away(folder, damage):
    cache.store(folder / "a", b"content")
    (folder / "a").write_bytes(damage((folder / "a").read_bytes()))
    assert cache.load(folder / "a") is None and not (folder / "a").exists()


def test_empty_is_off(monkeypatch):
    monkeypatch.setenv("MESHLANG_CACHE_DIR", "")
    assert cache.folders() == [] and cache.entry("thing") is None


def test_where_entries_may_be(tmp_path, monkeypatch):
    """The user's cache folder first, then one of the user's own among temporary files; of those the first that can be made."""
    monkeypatch.delenv("MESHLANG_CACHE_DIR", raising=False)
    monkeypatch.setattr(cache.tempfile, "gettempdir", lambda: str(tmp_path / "temporary"))
    last = tmp_path / "temporary" / (f"meshlang-{os.getuid()}" if hasattr(os, "getuid") else "meshlang-user")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    assert cache.folders() == [tmp_path / "caches" / "meshlang", last]
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(cache.Path, "home", lambda: tmp_path / "home")
    assert cache.folders() == [tmp_path / "home" / ".cache" / "meshlang", last]
    (tmp_path / "home").touch()  # a file: nothing can be in it
    (tmp_path / "temporary").mkdir()
    assert cache.entry("thing") == last / "thing"


def test_a_folder_that_cannot_be(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("MESHLANG_CACHE_DIR", str(tmp_path / "file" / "below"))
    assert cache.entry("thing") is None


@posix
def test_entries_are_private(folder):
    assert folder.stat().st_mode & 0o077 == 0
    cache.store(folder / "a", b"content")
    assert (folder / "a").stat().st_mode & 0o077 == 0


@posix
@pytest.mark.parametrize("mode", [0o777, 0o770, 0o720])
def test_others_may_not_write(folder, mode):
    cache.store(folder / "a", b"content")
    (folder / "a").chmod(mode & 0o666)
    assert cache.load(folder / "a") is None
    folder.chmod(mode)
    assert cache.entry("thing-1") is None


def test_an_entry_that_cannot_be_written_to(folder, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, how: how != os.W_OK)
    assert cache.entry("thing-1") is None


def test_without_a_home(tmp_path, monkeypatch):
    def homeless():
        raise RuntimeError

    monkeypatch.delenv("MESHLANG_CACHE_DIR", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(cache.Path, "home", homeless)
    monkeypatch.setattr(cache.tempfile, "gettempdir", lambda: str(tmp_path))
    (only,) = cache.folders()
    assert only.parent == tmp_path and cache.entry("thing") == only / "thing"


def test_what_was_of_no_use_for_longest_goes_first(folder):
    """Until the others take at most so many bytes; a use counts, subfolders do not."""
    (folder / "below").mkdir()
    for i, name in enumerate("abcd"):
        (folder / name).write_bytes(bytes(10))
        os.utime(folder / name, (1000 + i, 1000 + i))
    cache.used(folder / "a")
    cache.shrink(folder, 40)
    assert sorted(p.name for p in folder.iterdir()) == ["a", "b", "below", "c", "d"]
    cache.shrink(folder, 39)
    assert sorted(p.name for p in folder.iterdir()) == ["a", "below", "c", "d"]
    cache.shrink(folder, 20)
    assert sorted(p.name for p in folder.iterdir()) == ["a", "below", "d"]


def test_what_a_killed_writer_left_goes_after_an_hour(folder):
    now = cache.time.time()
    for name, age in ((".a.1-0.tmp", 3700), (".a.2-0.tmp", 3500), ("old", 3700)):
        (folder / name).touch()
        os.utime(folder / name, (now - age, now - age))
    cache.store(folder / "new", b"x")
    assert sorted(p.name for p in folder.iterdir()) == [".a.2-0.tmp", "new", "old"]


@posix
def test_a_foreign_owner(folder, monkeypatch):
    cache.store(folder / "a", b"content")
    monkeypatch.setattr(os, "getuid", lambda: os.stat(folder).st_uid + 1)
    assert cache.load(folder / "a") is None and cache.entry("thing-1") is None


@posix
def test_a_link_is_no_entry(folder, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (folder.parent / "thing-2").symlink_to(tmp_path / "elsewhere")
    assert cache.entry("thing-2") is None


def test_processes_that_meet(folder):
    """Several write the same file while others read: whoever reads sees one of them, whole."""
    code = """
import os, sys
from pathlib import Path
from meshlang import cache
file, letter = Path(sys.argv[1]), sys.argv[2].encode()
for _ in range(40):
    cache.store(file, letter * 200_000)
    data = cache.load(file)
    assert data is not None and len(set(data)) == 1 and len(data) == 200_000
"""
    processes = [subprocess.Popen([sys.executable, "-c", code, str(folder / "a"), letter]) for letter in "xyz"]
    assert [p.wait() for p in processes] == [0, 0, 0]
    assert sorted(p.name for p in folder.iterdir()) == ["a"]


def test_the_digest_is_checked_before_anything_is_read():
    source = Path(cache.__file__).read_text()
    assert "pickle" not in source.replace("unpickled", "") and hashlib.sha256().digest_size == 32
