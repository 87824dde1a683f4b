"""Core files: the whole state of a run in one file, in the form of the debugger's `save`, with the traces of <debug>.

`debug_util` reads them in a later process, and `meshlang repl FOLDER` with `restore FILE` looks at all the rest.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from meshlang import files
from meshlang.diag import Diagnostic, MeshlangError
from meshlang.fabric import snapshot
from meshlang.host.context import open_session
from meshlang.ir import serial

if TYPE_CHECKING:
    from meshlang.host.session import Session

NAMES = ("corefile.cs1", "out.core")  # the documented name, and SimfabConfig's default


def write_core(path: str | os.PathLike, session: Session) -> None:
    """Write the state of a run. MS0901."""
    session.take_records()
    traces = [[pe, key, [_plain(v) for v in values]] for (pe, key), values in session.output.traces.items()]
    snapshot.save(Path(path), session.machine, {"traces": traces})


def profile_of(path: str | os.PathLike) -> str:
    """The timing profile a core was written with. MS0901, MS0942."""
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise MeshlangError(Diagnostic("MS0901", f"cannot read {path}: {error.strerror or error}")) from None
    try:
        return str(json.loads(files.read_arrays(content)["meta"].tobytes())["profile"])
    except (ValueError, KeyError, TypeError, RecursionError):
        raise MeshlangError(
            Diagnostic("MS0942", f"{path} is no core file", help="SdkRuntime.dump_core writes them")
        ) from None


def read_core(folder: str | os.PathLike, path: str | os.PathLike) -> Session:
    """The program of `folder` in the state of a core file. MS0901, MS0942 not a core of that program."""
    session = open_session(serial.load(Path(folder)), profile_of(path))
    extra = snapshot.restore(Path(path), session.machine)
    for pe, key, values in extra.get("traces", ()):
        session.output.traces[pe, key] = values
    return session


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
