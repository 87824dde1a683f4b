"""The appliance client, run on this machine (reference: the vendor's SDK Appliance API page).

What the appliance does on a worker node happens in a temporary folder here: a compile job runs cslc and packs its
output, with the files of the code folder, into an artifact (.tar.gz); a launcher unpacks an artifact and runs commands
in it. Options about the cluster (resources, namespace, versions) change nothing, and neither does `simulator`: there is
one machine.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import os
import shlex
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

from meshlang import files
from meshlang.diag import Diagnostic, MeshlangError

from . import runtime
from .stand_ins import environment, write_stand_ins

# keyword arguments of all three classes, of no effect here
CLUSTER = ("mgmt_namespace", "resource_cpu", "resource_mem", "disable_version_check", "simulator")
_SKIPPED = ("__pycache__",)


def _check(name: str, options: dict[str, Any]) -> None:
    for option in options:
        if option not in CLUSTER:
            raise TypeError(f"{name} has no option {option!r}; it has: {', '.join(CLUSTER)}")


class SdkCompiler:
    """Compile jobs. May be used as a context manager or without."""

    def __init__(self, **kwargs: Any):
        _check("SdkCompiler", kwargs)

    def __enter__(self) -> SdkCompiler:
        return self

    def __exit__(self, kind: Any, value: Any, trace: Any) -> None:
        pass

    def compile(
        self,
        codedir: str | os.PathLike | None = None,
        layout: str | None = None,
        args: str = "",
        outdir: str | os.PathLike = ".",
        *,
        app_path: str | os.PathLike | None = None,
        csl_main: str | None = None,
        options: str | None = None,
        out_path: str | os.PathLike | None = None,
    ) -> str:
        """Compile codedir/layout with cslc's arguments `args`. Returns the path of the artifact.

        outdir: a folder for it, or its file name. The keywords app_path, csl_main, options and out_path are older names
        of the four. MS0966 when compiling fails.
        """
        folder, file = Path(app_path or codedir or "."), csl_main or layout
        if file is None:
            raise TypeError("compile needs the layout file's name")
        words = shlex.split(options if options is not None else args)
        name = Path(_output_name(words)).name or "out"
        with tempfile.TemporaryDirectory(prefix="meshlang-appliance-") as scratch:
            out = Path(scratch) / name
            if not folder.is_dir():
                raise MeshlangError(Diagnostic("MS0966", f"SdkCompiler: {folder} is not a folder"))
            stand_ins = Path(scratch) / "stand-ins"
            stand_ins.mkdir()
            write_stand_ins(stand_ins)
            code = subprocess.run(
                [stand_ins / "cslc", file, *words, "-o", out], cwd=folder, env=environment(stand_ins)
            ).returncode
            if code:
                raise MeshlangError(
                    Diagnostic("MS0966", f"SdkCompiler: compiling {folder / file} failed (exit code {code})"),
                    exit_code=code,
                )
            return _pack(out, folder, Path(out_path or outdir))


def _output_name(words: list[str]) -> str:
    """The value of -o among cslc's arguments."""
    for i, word in enumerate(words):
        if word in ("-o", "--o", "--output") and i + 1 < len(words):
            return words[i + 1]
        for flag in ("-o=", "--o=", "--output="):
            if word.startswith(flag):
                return word[len(flag) :]
    return "out"


def _pack(out: Path, code: Path, target: Path) -> str:
    """Write the artifact: the compiled folder `out`, and the files of the code folder beside it."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for base, prefix in ((out, out.name), (code, "")):
            for path in sorted(base.rglob("*")):
                relative = path.relative_to(base)
                hidden = any(part.startswith(".") or part in _SKIPPED for part in relative.parts)
                again = not prefix and relative.parts[0] == out.name
                if path.is_file() and not hidden and not again and not path.name.endswith(".tar.gz"):
                    archive.add(path, str(Path(prefix) / relative), filter=_plain)
    content = gzip.compress(buffer.getvalue(), mtime=0)
    if not target.name.endswith(".tar.gz"):
        target = target / f"cs_{hashlib.sha256(content).hexdigest()[:16]}.tar.gz"
    target.parent.mkdir(parents=True, exist_ok=True)
    files.write_bytes(target, content)
    return str(target)


def _plain(info: tarfile.TarInfo) -> tarfile.TarInfo:
    """Equal contents make equal artifacts."""
    info.mtime = info.uid = info.gid = 0
    info.uname = info.gname = ""
    return info


def _stays_inside(member: tarfile.TarInfo) -> None:
    """TarError for what is no file or folder below the one into which it is unpacked."""
    path = Path(member.name)
    if not (member.isreg() or member.isdir()) or path.is_absolute() or ".." in path.parts:
        raise tarfile.TarError(f"{member.name} would lie outside the folder")


def unpack(artifact: str | os.PathLike, folder: Path) -> None:
    """An artifact into a folder; a folder is copied. MS0966."""
    path = Path(artifact)
    try:
        if path.is_dir():
            shutil.copytree(path, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns(".git", *_SKIPPED))
            return
        with tarfile.open(path) as archive:
            if hasattr(tarfile, "data_filter"):
                archive.extractall(folder, filter="data")
            else:  # Python before 3.11.4
                for member in archive:
                    _stays_inside(member)
                archive.extractall(folder)
    except (OSError, tarfile.TarError) as error:
        raise MeshlangError(
            Diagnostic("MS0966", f"{path} is no artifact: {error}", help="pass what SdkCompiler.compile returned")
        ) from None


def program_folder(folder: Path) -> Path:
    """The compiled program in an unpacked artifact. MS0966."""
    found = sorted(folder.rglob("bin/program.json"), key=lambda p: len(p.parts))
    if not found:
        raise MeshlangError(
            Diagnostic(
                "MS0966", "the artifact holds no program compiled by MeshLang", help="compile it with SdkCompiler"
            )
        )
    return found[0].parent.parent


class SdkRuntime(runtime.SdkRuntime):
    """SdkRuntime on an artifact: entering the context loads and starts the program, leaving it stops it."""

    def __init__(self, artifact_path: str | os.PathLike, **kwargs: Any):
        _check("SdkRuntime", kwargs)
        self._stack = contextlib.ExitStack()
        folder = Path(artifact_path)
        if not (folder / "bin" / "program.json").is_file():
            folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="meshlang-appliance-")))
            unpack(artifact_path, folder)
        super().__init__(program_folder(folder))
        self.bindir = os.fspath(artifact_path)  # what debug_util is asked for

    def start(self) -> None:
        """Load the program and let it run."""
        self.load()
        self.run()

    def __exit__(self, kind: Any, value: Any, trace: Any) -> None:
        with self._stack:
            super().__exit__(kind, value, trace)


class SdkLauncher:
    """Commands in the folder of an unpacked artifact. cslc and cs_python are MeshLang's there; %CMADDR% becomes an
    empty argument."""

    def __init__(self, artifact_path: str | os.PathLike, **kwargs: Any):
        _check("SdkLauncher", kwargs)
        self._artifact = artifact_path
        self._stack = contextlib.ExitStack()
        self._folder: Path | None = None

    def __enter__(self) -> SdkLauncher:
        base = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="meshlang-appliance-")))
        self._folder, self._stand_ins = base / "work", base / "stand-ins"
        self._folder.mkdir()
        self._stand_ins.mkdir()
        write_stand_ins(self._stand_ins)
        unpack(self._artifact, self._folder)
        return self

    def __exit__(self, kind: Any, value: Any, trace: Any) -> None:
        self._folder = None
        self._stack.close()

    def _work(self, what: str) -> Path:
        if self._folder is None:
            raise MeshlangError(
                Diagnostic(
                    "MS0966",
                    f"SdkLauncher.{what} outside of its context",
                    help="with SdkLauncher(artifact, ...) as launcher: ...",
                )
            )
        return self._folder

    def stage(self, artifact_path: str | os.PathLike) -> None:
        """Copy a file or folder into the working folder."""
        source, work = Path(artifact_path), self._work("stage")
        try:
            if source.is_dir():
                shutil.copytree(source, work / source.resolve().name, dirs_exist_ok=True)
            else:
                shutil.copy2(source, work / source.name)
        except OSError as error:
            raise MeshlangError(Diagnostic("MS0966", f"SdkLauncher: cannot stage {source}: {error.strerror}")) from None

    def run(self, *commands: str) -> str:
        """Run shell commands one after the other, and return what they printed. MS0966 when one fails."""
        work, output = self._work("run"), []
        for command in commands:
            if not isinstance(command, str):
                raise TypeError(f"SdkLauncher.run takes strings, found {command!r}")
            text = command.replace("%CMADDR%", "''")
            done = subprocess.run(
                ["bash", "-c", text], cwd=work, env=environment(self._stand_ins), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT, text=True, errors="replace",
            )  # fmt: skip
            output.append(done.stdout)
            if done.returncode:
                sys.stdout.flush()
                sys.stderr.write("".join(output))
                raise MeshlangError(
                    Diagnostic("MS0966", f"SdkLauncher: {command!r} failed with exit code {done.returncode}"),
                    exit_code=done.returncode,
                )
        return "".join(output)

    def download_artifact(self, artifact_name: str, out_path: str | os.PathLike) -> str:
        """Copy a file of the working folder to out_path; a folder as out_path.tar.gz. Returns the name of the file
        written."""
        source, target = self._work("download_artifact") / artifact_name, Path(out_path)
        if not source.exists():
            raise MeshlangError(Diagnostic("MS0966", f"SdkLauncher: there is no {artifact_name} in the working folder"))
        if target.is_dir():
            target = target / source.name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            if not target.name.endswith(".tar.gz"):
                target = target.with_name(target.name + ".tar.gz")
            with files.replacing(target) as file, tarfile.open(fileobj=file, mode="w:gz") as archive:
                archive.add(source, source.name)
        else:
            with files.replacing(target) as file, open(source, "rb") as content:
                shutil.copyfileobj(content, file)
            shutil.copystat(source, target)
        return str(target)
