"""The compile cache: its key covers what compiled code depends on and nothing else, and its directory may be
missing."""

import ast
import importlib
import os
import shutil
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest

import meshlang
from meshlang import cache
from meshlang.fabric import sources
from meshlang.fabric.engine import faults, jit, state
from meshlang.fabric.engine import loop as engine
from meshlang.inspect.report import counting

ROOT = Path(meshlang.__file__).parent.parent  # of the package that runs: a checkout, or where it is installed
BY_VALUE = {ROOT / "meshlang" / name for name in sources.BY_VALUE}
ENTRIES = {"engine": engine.run_loop, "counter of the report": counting.count_events}


def own_file(module: str) -> Path | None:
    """The file of a module of ours."""
    return Path(importlib.import_module(module).__file__) if module.split(".")[0] == "meshlang" else None


def reached(function: types.FunctionType) -> set[Path]:
    """Files of everything that a function's code names, followed through the live objects (not through the text, as the
    cache does)."""
    files: set[Path] = set()
    todo, seen = [function], set()
    while todo:
        f = todo.pop()
        f = getattr(f, "py_func", f)
        if not isinstance(f, types.FunctionType) or f in seen or own_file(f.__module__) is None:
            continue
        seen.add(f)
        files.add(own_file(f.__module__))
        todo += [cell.cell_contents for cell in f.__closure__ or ()]
        codes = [f.__code__]
        while codes:
            code = codes.pop()
            codes += [c for c in code.co_consts if isinstance(c, types.CodeType)]
            for name in code.co_names:
                value = f.__globals__.get(name)
                if isinstance(value, types.ModuleType) and value.__name__.startswith("meshlang"):
                    files.add(Path(value.__file__))
                    todo += [v for n in code.co_names if callable(v := getattr(value, n, None))]
                elif isinstance(value, type) and (file := own_file(value.__module__)):
                    files.add(file)
                else:
                    todo.append(value)
    return files


@pytest.mark.parametrize("name", ENTRIES)
def test_all_that_the_code_names_is_in_the_key(name):
    function = ENTRIES[name]
    found = reached(function)
    assert Path(function.__code__.co_filename) in found and (name != "engine" or len(found) > 8)
    assert found <= set(sources.sources(Path(function.__code__.co_filename))) | BY_VALUE


@pytest.mark.parametrize("name", ENTRIES)
def test_imports_are_read_as_python_reads_them(name):
    """No import of a source is missed, however it is written; and none is hidden from the reader."""
    files = sources.sources(Path(ENTRIES[name].__code__.co_filename))
    for path in files:
        package = ".".join(path.relative_to(ROOT).parent.parts)
        for node in ast.walk(ast.parse(path.read_text())):
            modules = []
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                above = package.rsplit(".", node.level - 1)[0] if node.level else ""
                base = ".".join(filter(None, (above, node.module)))
                modules = [
                    base,
                    *(
                        f"{base}.{alias.name}"
                        for alias in node.names
                        if (ROOT / base.replace(".", "/") / f"{alias.name}.py").exists()
                    ),
                ]
            elif isinstance(node, ast.Name):
                assert node.id not in ("__import__", "exec", "importlib"), f"{path}: an import that cannot be followed"
            for module in modules:
                known = own_file(module) is None or own_file(module) in files or own_file(module) in BY_VALUE
                assert known, f"{path.name} imports {module}"


def test_what_is_declared_is_in_the_key():
    """The numbers of a declaration are there in place of its text."""
    assert state.NUMBERS in jit._DEPENDS_ON and faults.NUMBERS in jit._DEPENDS_ON
    assert all(f"('{fault.name}', {int(fault)})" in faults.NUMBERS for fault in faults.Fault)
    for name in ("P_TIME", "CH_CONFIG", "C_SPECIAL", "TIME_FABRIC_HOP", "K_MEM", "PK"):
        assert f"('{name}', {int(getattr(state, name))})" in state.NUMBERS
    for packed in state.PACKED:
        for field in packed.FIELDS.values():
            assert f"('{packed.NAME}', '{field.name}', {field.first}, {field.width}, " in state.NUMBERS
    # what the engine sees of these modules is a number, or an accessor made from what is checked above
    accessors = {f"{p.NAME}_{w}{f}" for p in state.PACKED for f in p.FIELDS for w in ("", "with_")}
    numbers = {name for name in state.__all__ if isinstance(getattr(state, name), np.int64)}
    assert set(state.__all__) == numbers | accessors


def test_texts_are_not_in_the_key():
    names = {path.name for path in sources.sources(Path(engine.__file__))}
    assert {
        "loop.py",
        "core.py",
        "dsd.py",
        "router.py",
        "trace.py",
        "bits.py",
        "isa.py",
        "dsdops.py",
        "jit.py",
        "f16.py",
    } <= names
    assert not names & {
        "state.py",
        "records.py",
        "report.py",
        "wording.py",
        "waiting.py",
        "notes.py",
        "machine.py",
        "loader.py",
        "tables.py",
        "bench.py",
        "listing.py",
        "verify.py",
        "program.py",
    }


def test_key_changes_with_each_source(tmp_path, monkeypatch):
    """In a copy of the package: a byte more in a source is another key, in another file it is not."""
    package = tmp_path / "meshlang"
    for folder in ("fabric", "ir"):
        shutil.copytree(ROOT / "meshlang" / folder, package / folder, ignore=shutil.ignore_patterns("__pycache__"))
    expected = {
        path.relative_to(ROOT / "meshlang")
        for path in sources.sources(Path(engine.__file__))
        if path.parent.name in ("fabric", "engine", "ir")
    }
    monkeypatch.setattr(sources, "__file__", str(package / "fabric" / "sources.py"))
    entry = package / "fabric" / "engine" / "loop.py"
    keys = {sources.key(entry, ["1.0"]), sources.key(entry, ["1.1"])}
    copies = {path.relative_to(package) for path in sources.sources(entry)}
    assert copies == expected
    for path in sorted(package.rglob("*.py")):
        before = sources.key(entry, ["1.0"])
        path.write_text(path.read_text() + "\n")
        assert (sources.key(entry, ["1.0"]) != before) == (path.relative_to(package) in copies), path
        keys.add(sources.key(entry, ["1.0"]))
    assert len(keys) == len(copies) + 2


def test_cache_directory_is_private_and_optional(tmp_path, monkeypatch):
    monkeypatch.setenv("MESHLANG_CACHE_DIR", str(tmp_path / "mine"))
    directory = jit.cache_directory(engine.__file__)
    assert directory.parent == tmp_path / "mine" and directory != jit.cache_directory(counting.__file__)
    assert directory.stat().st_mode & 0o077 == 0
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setenv("MESHLANG_CACHE_DIR", str(blocked / "inside"))
    assert jit.cache_directory(engine.__file__) is None


def test_a_home_that_cannot_be_written(tmp_path, monkeypatch):
    home = tmp_path / "home"
    home.write_text("")  # not even a directory
    monkeypatch.delenv("MESHLANG_CACHE_DIR", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(cache.tempfile, "tempdir", None)
    directory = jit.cache_directory(engine.__file__)
    assert directory is None or tmp_path in directory.parents


def test_the_package_loads_no_numba():
    code = "import sys, meshlang, meshlang.fabric; sys.exit('numba' in sys.modules)"
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    assert subprocess.run([sys.executable, "-c", code], env=env, check=False).returncode == 0


# ---------------------------------------------------------------- compiled code in the cache

compiled = pytest.mark.skipif(not jit.COMPILED, reason="nothing is compiled here")


def third(a):
    return a[2] + 1


def compile_third():
    from numba import types

    return jit.top_level(third, types.int64(types.Array(types.int64, 1, "C")))


@pytest.fixture
def kept(tmp_path, monkeypatch):
    """The file in which the compiled function is kept."""
    monkeypatch.setenv("MESHLANG_CACHE_DIR", str(tmp_path))
    return jit.cache_directory(__file__) / "compiled"


@compiled
def test_compiled_once(kept):
    data = np.arange(4)
    first = compile_third()
    assert first(data) == 3 and kept.exists() and not first.stats.cache_hits
    written = kept.stat().st_mtime_ns
    second = compile_third()
    assert second(data) == 3 and kept.stat().st_mtime_ns == written
    assert sum(second.stats.cache_hits.values()) == 1 and not second.stats.cache_misses


@compiled
@pytest.mark.parametrize("content", [b"", b"damaged", None])
def test_a_damaged_file_is_made_anew(kept, content):
    """Also one that is whole and holds something else."""
    compile_third()
    if content is None:
        cache.store(kept, b"no pickle")
    else:
        kept.write_bytes(content)
    found = compile_third()
    assert found(np.arange(4)) == 3 and not found.stats.cache_hits
    assert sum(compile_third().stats.cache_hits.values()) == 1


@compiled
def test_an_installation_elsewhere_compiles_nothing(tmp_path):
    """The same sources at another path, written at another time, find what the first has compiled."""
    code = """
import sys
from meshlang.fabric.engine import jit, scalar
from numba import types
found = jit.top_level(scalar.wrap.py_func, types.int64(types.int64, types.int64))
print(scalar.__file__, sum(found.stats.cache_hits.values()), found(300, 1))
"""
    said = []
    for name in ("one", "two"):
        target = tmp_path / name / "meshlang"
        shutil.copytree(
            ROOT / "meshlang", target, ignore=shutil.ignore_patterns("__pycache__"), copy_function=shutil.copy
        )
        env = {**os.environ, "PYTHONPATH": str(tmp_path / name), "MESHLANG_CACHE_DIR": str(tmp_path / "cache")}
        done = subprocess.run(
            [sys.executable, "-c", code], env=env, cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        said.append(done.stdout.split())
    assert said[0][0] != said[1][0] and [s[1] for s in said] == ["0", "1"] and said[0][2] == said[1][2]


@compiled
@pytest.mark.parametrize(
    "module, missing", [("arrayobj", ""), ("codegen", ""), ("targetconfig", ""), ("codegen", "method")]
)
def test_a_numba_without_what_is_replaced(kept, monkeypatch, module, missing):
    """Three internals of Numba are replaced while the engine is compiled. Without one of them only speed is lost."""
    stand_in = types.SimpleNamespace(CPUCodeLibrary=type("Library", (), {})) if missing else types.SimpleNamespace()
    monkeypatch.setattr(jit, module, stand_in)
    found = compile_third()
    assert found(np.arange(4)) == 3 and not found.stats.cache_hits
