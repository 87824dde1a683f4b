"""`meshlang sdk -- COMMAND`: run a command that expects the vendor's SDK.

The command sees stand-ins named cslc and cs_python first on its PATH, and any Python below it can import `cerebras...`.
Both end with the command: nothing is installed.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import signal
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

HELP = "run a command (a shell script, say) that expects the vendor's SDK"
EXAMPLES = """\
examples:
  meshlang sdk -- bash commands_wse2.sh
  meshlang sdk -- bash run_sim.sh 4 16 16 2
  meshlang sdk -- python sweep.py
"""

STAND_INS = ("cslc", "cs_python")

# the scripts of published SdkLayout examples have a placeholder, %python_sdk_paint, where `cs_python run.py` is meant
_PLACEHOLDER = re.compile(r"^(\s*)%[A-Za-z_]\w*", re.MULTILINE)


def without_placeholders(script: str) -> str:
    """The text of a shell script with commands that begin with % read as `cs_python run.py`."""
    return _PLACEHOLDER.sub(r"\1cs_python run.py", script)


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("arguments", nargs=argparse.REMAINDER, metavar="-- COMMAND ...", help="the command and its arguments")


def write_stand_ins(folder: Path) -> None:
    """Write the executables. -P: a json.py in the user's folder must not be taken for Python's own."""
    for name in STAND_INS:
        path = folder / name
        path.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -P -m meshlang {name} "$@"\n', encoding="utf-8")
        path.chmod(path.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)


def environment(folder: Path) -> dict[str, str]:
    """The command's environment: PATH with the stand-ins, PYTHONPATH with `cerebras` and this MeshLang."""
    from meshlang.paths import PACKAGE, sdk_site_dir

    env = dict(os.environ)
    path = [str(folder)]
    if sys.prefix != sys.base_prefix:  # a `python` in the command is then the one that has MeshLang
        path.append(str(Path(sys.executable).parent))
    env["PATH"] = os.pathsep.join([*path, env.get("PATH", os.defpath)])
    extra = [str(sdk_site_dir())]
    if (PACKAGE.parent / "pyproject.toml").is_file():  # run from a checkout that may not be installed
        extra.append(str(PACKAGE.parent))
    env["PYTHONPATH"] = os.pathsep.join([*extra, *filter(None, [env.get("PYTHONPATH")])])
    return env


def _readable(command: list[str]) -> list[str]:
    """`bash SCRIPT ARGS`, with the text handed over where the script has placeholders; $0 stays the script."""
    if Path(command[0]).name not in ("bash", "sh") or len(command) < 2 or not Path(command[1]).is_file():
        return command
    text = Path(command[1]).read_text(encoding="utf-8", errors="surrogateescape")
    fixed = without_placeholders(text)
    return command if fixed == text else [command[0], "-c", fixed, *command[1:]]


def execute(args: argparse.Namespace) -> int:
    from meshlang.diag import Diagnostic, MeshlangError

    from ._errors import usage_error

    command = args.arguments[1:] if args.arguments[:1] == ["--"] else args.arguments
    if not command:
        raise usage_error("sdk: which command?", help="for example: meshlang sdk -- bash commands_wse2.sh")
    with tempfile.TemporaryDirectory(prefix="meshlang-sdk-") as name:
        folder = Path(name)
        write_stand_ins(folder)
        if command[0] in STAND_INS:
            command[0] = str(folder / command[0])
        command = _readable(command)
        try:
            process = subprocess.Popen(command, env=environment(folder))
        except FileNotFoundError:
            raise MeshlangError(Diagnostic("MS0921", f"sdk: no command named {command[0]!r}"), exit_code=2) from None
        except PermissionError:
            raise MeshlangError(
                Diagnostic("MS0921", f"sdk: {command[0]!r} is not executable", help=f"for a shell script: meshlang sdk -- bash {command[0]}"),
                exit_code=2,
            ) from None
        while True:
            try:
                code = process.wait()
                break
            except KeyboardInterrupt:  # the terminal sent it to the command as well: let it end in its own way
                process.send_signal(signal.SIGINT)
    return code if code >= 0 else 128 - code
