"""The compile cache: its key, a directory that cannot be written, and that importing the package stays light."""

import os
import subprocess
import sys
from pathlib import Path

from meshlang.fabric import jit

ROOT = Path(__file__).parent.parent.parent


def test_key_changes_with_the_sources(tmp_path, monkeypatch):
    before = jit.cache_key()
    assert before == jit.cache_key()
    package = tmp_path / "fabric"
    package.mkdir()
    (tmp_path / "ir").mkdir()
    (package / "core.py").write_text("a = 1\n")
    monkeypatch.setattr(jit, "__file__", str(package / "jit.py"))
    first = jit.cache_key()
    (package / "core.py").write_text("a = 2\n")
    assert len({before, first, jit.cache_key()}) == 3
    (tmp_path / "ir" / "isa.py").write_text("b = 1\n")
    second = jit.cache_key()
    monkeypatch.setattr(jit.numba, "__version__", "0.0")
    assert second != jit.cache_key()


def test_cache_directory_is_private_and_optional(tmp_path, monkeypatch):
    monkeypatch.setenv("MESHLANG_CACHE_DIR", str(tmp_path / "mine"))
    directory = jit.cache_directory()
    assert directory.parent == tmp_path / "mine"
    assert directory.stat().st_mode & 0o077 == 0
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setenv("MESHLANG_CACHE_DIR", str(blocked / "inside"))
    assert jit.cache_directory() is None


def test_a_home_that_cannot_be_written(tmp_path, monkeypatch):
    home = tmp_path / "home"
    home.write_text("")             # not even a directory
    monkeypatch.delenv("MESHLANG_CACHE_DIR", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(jit.tempfile, "tempdir", None)
    directory = jit.cache_directory()
    assert directory is None or tmp_path in directory.parents


def test_the_package_loads_no_numba():
    code = "import sys, meshlang, meshlang.fabric; sys.exit('numba' in sys.modules)"
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    assert subprocess.run([sys.executable, "-c", code], env=env, check=False).returncode == 0
