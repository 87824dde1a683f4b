"""What the vendor's simulator leaves of a run with traces: sim.log with every event, and the folder simfab_traces.

A host script asks for it with `suppress_simfab_trace=False`, its environment with SIMFABRIC_DEBUG: names of events, as in
`inst_trace,landing,stalls` (docs/traces.md), or 1 for the usual ones. sim.log then has the lines of <simprint> and those of
simlog.py, in the order of their cycles; simfab_traces/trace.npz has the columns of columns.py.
"""

from __future__ import annotations

import os
import re
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from meshlang import files
from meshlang.diag import Diagnostic, MeshlangError

from .export import export
from .model import Trace
from .options import trace_options
from .simlog import write_simlog

if TYPE_CHECKING:
    from meshlang.fabric.recording import TraceOptions
    from meshlang.host.session import Session

VARIABLE = "SIMFABRIC_DEBUG"
FOLDER = "simfab_traces"


def options(suppress: bool | None) -> TraceOptions | None:
    """What to record; None: nothing. suppress: as SdkRuntime was told, None if it was told nothing. MS1004 for a name that is
    no kind of event."""
    text = os.environ.get(VARIABLE, "").strip()
    if suppress or suppress is None and text in ("", "0"):
        return None
    try:
        return trace_options(events=None if text in ("", "0", "1") else ",".join(re.split(r"[,\s]+", text)))
    except MeshlangError as error:
        found = error.diagnostics[0]
        raise MeshlangError(
            Diagnostic(found.code, found.message.replace("--trace-events", VARIABLE), help=found.help), exit_code=2
        ) from None


def write(session: Session, folder: Path) -> None:
    """Write sim.log and simfab_traces into a folder. MS0901 if they cannot be written."""
    trace = Trace.of(session.machine, session.failed)
    log = folder / "sim.log"
    try:
        printed = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
        out = BytesIO()
        write_simlog(trace, out, _lines(printed))
        files.write_bytes(log, out.getvalue())
        (folder / FOLDER).mkdir(exist_ok=True)
    except OSError as error:
        raise MeshlangError(Diagnostic("MS0901", f"cannot write {log}: {error.strerror or error}")) from None
    export(trace, folder / FOLDER / "trace.npz")


def _lines(text: str) -> list[tuple[int, str]]:
    """The lines of <simprint>: (cycle, text). A line that does not begin with a cycle belongs to the one before."""
    found: list[tuple[int, str]] = []
    for line in text.split("\n")[:-1]:
        begins = re.match(r"@(\d+) ", line)
        if begins is not None:
            found.append((int(begins[1]), line[begins.end() :]))
        elif found:
            found[-1] = (found[-1][0], f"{found[-1][1]}\n{line}")
    return found
