"""How programs are run for the rows of docs/timing.md: our own from text, published ones from a checkout, both compiled once.

Compiled programs are kept (`~/.cache/meshlang/timing`) under a key of their sources and of all of MeshLang that decides what code becomes; the
engine and the profiles do not, so that fitting a number compiles nothing.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import io
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import meshlang
from meshlang.host.context import RunContext, run_context, set_context
from meshlang.host.script import run_arguments

ROOT = Path(__file__).resolve().parents[2]
NOT_THE_COMPILER = {"fabric", "inspect", "commands", "models"}


class NoCheckout(Exception):
    """The checkout that a row needs is not there."""


def checkout(variable: str) -> Path:
    place = os.environ.get(variable)
    if not place:
        raise NoCheckout(variable)
    return Path(place)


@functools.cache
def _compiler() -> bytes:
    """Hash of what decides the code of a program."""
    digest = hashlib.sha256()
    files = [
        p
        for folder in (ROOT / "meshlang", ROOT / "stdlib")
        for p in folder.rglob("*")
        if p.suffix in (".py", ".lark", ".csl") and p.relative_to(folder).parts[0] not in NOT_THE_COMPILER
    ]
    for path in sorted(files):
        digest.update(str(path.relative_to(ROOT)).encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.digest()


def _kept(*parts: object) -> Path:
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "meshlang" / "timing"
    digest = hashlib.sha256(_compiler())
    for part in parts:
        digest.update(repr(part).encode() + b"\0")
    return base / digest.hexdigest()[:20]


# ---------------------------------------------------------------- our own programs


def start(files: dict[str, str], arch: str, profile: str | None = None, **params: object) -> meshlang.FabricHandle:
    """A fabric with a program given as texts; `layout.csl` is the layout."""
    folder = _kept(sorted(files.items()), arch, sorted(params.items()))
    if not folder.is_dir():
        with tempfile.TemporaryDirectory() as name:
            for path, text in files.items():
                Path(name, path).write_text(text)
            compiled = meshlang.compile(str(Path(name, "layout.csl")), arch=arch, params=params)
            folder.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=folder.parent) as new:
                compiled.save(Path(new, "out"))
                with contextlib.suppress(OSError):
                    Path(new, "out").rename(folder)
    return meshlang.load(folder).start(profile=profile or arch)


# ---------------------------------------------------------------- published programs


@contextlib.contextmanager
def _in(folder: Path, profile: str) -> Iterator[None]:
    """The state of a process that runs a vendor script there, and afterwards what it was."""
    before = run_context(), os.getcwd(), os.environ.get("MESHLANG_PROFILE"), list(sys.path), set(sys.modules)
    set_context(RunContext())
    os.chdir(folder)
    os.environ["MESHLANG_PROFILE"] = profile
    try:
        yield
    finally:
        set_context(before[0])
        os.chdir(before[1])
        sys.path[:] = before[3]
        if before[2] is None:
            del os.environ["MESHLANG_PROFILE"]
        else:
            os.environ["MESHLANG_PROFILE"] = before[2]
        for name in set(sys.modules) - before[4]:  # the next program has modules of the same names
            place = getattr(sys.modules[name], "__file__", None)
            if place and Path(place).is_relative_to(folder.resolve()):
                del sys.modules[name]


def published(
    place: Path, compiler: Sequence[str], script: Sequence[str], profile: str, beside: Sequence[str] = ()
) -> tuple[str, list[int]]:
    """Run a published program as its own script does: what it printed, and the cycles of each launch.

    compiler: the arguments of cslc without -o. The script finds the program in the folder `out`. beside: folders next to
    `place` that it reads.
    """
    folders = [place, *(place.parent / name for name in beside)]
    sources = [(str(p.relative_to(place.parent)), p.read_bytes()) for f in folders for p in sorted(f.rglob("*.csl"))]
    kept = _kept(sources, list(compiler))
    with tempfile.TemporaryDirectory() as name:
        for folder in folders:
            ignored = shutil.ignore_patterns("out", "out_*", "compile_out", ".git")
            shutil.copytree(folder, Path(name).resolve() / folder.name, ignore=ignored)
        copy = Path(name).resolve() / place.name
        if not kept.is_dir():
            done = subprocess.run(
                [sys.executable, "-m", "meshlang", "cslc", *compiler, "-o", "out"],
                cwd=copy,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                text=True,
                capture_output=True,
            )
            if done.returncode:
                raise RuntimeError(done.stdout + done.stderr)
            kept.parent.mkdir(parents=True, exist_ok=True)
            # at once: another run that finds half of it could not read the rest
            with tempfile.TemporaryDirectory(dir=kept.parent) as new:
                shutil.copytree(copy / "out", Path(new, "out"))
                with contextlib.suppress(OSError):
                    Path(new, "out").rename(kept)
        else:
            shutil.copytree(kept, copy / "out")
        printed = io.StringIO()
        launches: list[int] = []
        errors = io.StringIO()
        with (
            _in(copy, profile),
            _launches(launches),
            contextlib.redirect_stdout(printed),
            contextlib.redirect_stderr(errors),
        ):
            code = run_arguments(list(script), vendor=True)
        # some scripts compare with tolerances that hold for fewer iterations: that is theirs, the cycles are ours
        if code and "AssertionError" not in errors.getvalue():
            raise RuntimeError(f"{place}: exit code {code}\n{printed.getvalue()[-2000:]}{errors.getvalue()[-2000:]}")
    return printed.getvalue(), launches


@contextlib.contextmanager
def _launches(cycles: list[int]) -> Iterator[None]:
    """Note the cycles from the arrival of each launch at the first PE to the end of the command on the last; at the end, those
    from the first launch to the end of the last stream."""
    from meshlang.fabric.machine import Machine
    from meshlang.host.sdk.runtime import SdkRuntime

    original = SdkRuntime.launch, SdkRuntime.call, SdkRuntime.stop
    begun: list[int] = []

    def timed(method):
        def launch(self, *arguments, **options):
            machine: Machine = self._session.machine
            before = self._session.cycle
            begun.append(before)
            result = method(self, *arguments, **options)
            while self._session.commands:
                self._session.wait(self._session.commands[-1])
            cycles.append(self._session.cycle - before - int(machine.profile["fabric.launch_latency"]))
            return result

        return launch

    def stop(self):
        while self._session.receiving:
            self._session.wait(self._session.receiving[-1])
        if begun:
            latency = int(self._session.machine.profile["fabric.launch_latency"])
            cycles.append(self._session.cycle - begun[0] - latency)
        return original[2](self)

    SdkRuntime.launch, SdkRuntime.call = timed(original[0]), timed(original[1])  # type: ignore[method-assign]
    SdkRuntime.stop = stop  # type: ignore[method-assign]
    try:
        yield
    finally:
        SdkRuntime.launch, SdkRuntime.call, SdkRuntime.stop = original  # type: ignore[method-assign]
