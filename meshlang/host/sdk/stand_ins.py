"""Stand-ins for the vendor's commands, and the environment in which they are found. Nothing is installed."""

from __future__ import annotations

import os
import re
import shlex
import stat
import sys
from pathlib import Path

from meshlang.paths import PACKAGE, sdk_site_dir

STAND_INS = ("cslc", "cs_python", "csdb", "sdk_debug_shell")

# the scripts of published SdkLayout examples have a placeholder, %python_sdk_paint, where `cs_python run.py` is meant
_PLACEHOLDER = re.compile(r"^(\s*)%[A-Za-z_]\w*", re.MULTILINE)


# `python run.py` is how scripts for the appliance are started: a script runs as with cs_python, all else as with Python
PYTHONS = ("python", "python3")


def write_stand_ins(folder: Path) -> None:
    """Write the executables. -P: a json.py in the user's folder must not be taken for Python's own."""
    own = shlex.quote(sys.executable)
    for name in (*STAND_INS, *PYTHONS):
        path = folder / name
        text = f'exec {own} -P -m meshlang {name} "$@"\n'
        if name in PYTHONS:
            text = (
                f'for a in "$@"; do case "$a" in *.py) exec {own} -P -m meshlang cs_python "$@";; -[bBEIOqsu]) ;; *) break;; '
                f'esac; done\nexec {own} "$@"\n'
            )
        path.write_text(f"#!/bin/sh\n{text}", encoding="utf-8")
        path.chmod(path.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)


def environment(folder: Path) -> dict[str, str]:
    """A command's environment: PATH with the stand-ins, PYTHONPATH with `cerebras` and this MeshLang."""
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


def without_placeholders(script: str) -> str:
    """The text of a shell script with commands that begin with % read as `cs_python run.py`."""
    return _PLACEHOLDER.sub(r"\1cs_python run.py", script)
