"""Copies of a machine's whole state: taken, put back, compared, written to a file.

State is a few arrays (see state.py), so a snapshot is their copies plus the little that Python keeps beside them. Code
(C) and tables (T) never change while a machine runs and are left out.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import files
from ..diag import Diagnostic, MeshlangError
from .door import state_problem
from .engine import state as s
from .saved import Snapshot

if TYPE_CHECKING:
    from ..ir.program import Program
    from .machine import Machine

FORMAT = 3
# what a recorder set up
_RECORDING = (
    s.Globals.events,
    s.Globals.eventcap,
    s.Globals.eventpes,
    s.Globals.eventcolors,
    s.Globals.eventkinds,
    s.Globals.eventfrom,
    s.Globals.eventto,
    s.Globals.express,
)
# how far a run was allowed to go says nothing about where the machine is
_NOT_STATE = (s.Globals.limit, s.Globals.until, s.Globals.scolor, s.Globals.starget, s.Globals.steps)


def take(machine: Machine) -> Snapshot:
    """A copy of the machine's state. The machine stays as it is."""
    st = machine.state
    machine._drain()  # moves logs from W to Python: nothing a program can see
    return Snapshot(
        machine.cycle,
        machine.command,
        st.W.copy(),
        st.U.copy(),
        st.M8.copy(),
        machine._host_in.copy(),
        machine._segments.copy(),
        machine._tails.copy(),
        {c: np.concatenate(parts) if parts else np.zeros(0, np.int64) for c, parts in machine._out.items()},
        {c: n.copy() for c, n in machine._out_counts.items()},
        _print_count(machine),
        machine._period,
    )


def put(machine: Machine, snapshot: Snapshot) -> None:
    """Bring the machine back to a snapshot of the same program. Arrays are overwritten in place: views of them stay
    valid."""
    st = machine.state
    machine._drain()
    st.W[:], st.U[:], st.M8[:] = snapshot.W, snapshot.U, snapshot.M8
    machine._host_in, machine._segments, machine._tails = (
        snapshot.host_in.copy(),
        snapshot.segments.copy(),
        snapshot.tails.copy(),
    )
    machine._out = {c: [a.copy()] if len(a) else [] for c, a in snapshot.out.items()}
    machine._out_counts = {c: a.copy() for c, a in snapshot.out_counts.items()}
    _cut_prints(machine, snapshot.prints)
    machine._period = snapshot.period
    machine.command = snapshot.command


def put_into(machine: Machine, snapshot: Snapshot) -> None:
    """Bring a machine that records to a snapshot of one that does not: its events have their place behind the state."""
    W = machine.state.W
    kept = W[list(_RECORDING)]
    put(machine, replace(snapshot, W=np.concatenate([snapshot.W, W[len(snapshot.W) :]])))
    W[list(_RECORDING)] = kept


def _print_count(machine: Machine) -> int:
    return sum(len(part) for part in machine._print_log)


def _cut_prints(machine: Machine, count: int) -> None:
    """Forget print records beyond the first `count`."""
    kept: list[np.ndarray] = []
    for part in machine._print_log:
        if count <= 0:
            break
        kept.append(part[:count])
        count -= len(part)
    machine._print_log = kept


def digest(machine: Machine) -> str:
    """A hash of everything that can influence the future, and of the counters: equal for equal states."""
    machine._drain()
    W = machine.state.W.copy()
    W[list(_NOT_STATE)] = 0
    # logs that were taken over leave their records behind
    W[int(W[s.Globals.plog]) : int(W[s.Globals.plog] + W[s.Globals.plogcap] * s.Print.WORDS)] = 0
    W[int(W[s.Globals.hlog]) : int(W[s.Globals.hlog] + W[s.Globals.hlogcap])] = 0
    h = hashlib.sha256(W.tobytes())
    for array in (machine.state.U, machine.state.M8):
        h.update(np.ascontiguousarray(array).tobytes())
    h.update(repr((machine.command, {c: n.tolist() for c, n in machine._out_counts.items()})).encode())
    return h.hexdigest()


def advance_to(machine: Machine, cycle: int) -> bool:
    """Run so that `cycle` is the next cycle to run. False if the machine came to rest before (the clock then stands
    where it did)."""
    return machine.cycle >= cycle or machine.run(None, cycle - 1 - machine.cycle).reason != "quiescent"


# ---------------------------------------------------------------- files


def _layout() -> str:
    """Which declaration of the state a file is made by."""
    return hashlib.sha256(s.NUMBERS.encode()).hexdigest()[:16]


def fingerprint(program: Program) -> str:
    """What a saved state must have in common with the program it is put into."""
    h = hashlib.sha256(f"{program.arch} {program.fabric.width} {program.fabric.height}".encode())
    h.update(np.ascontiguousarray(program.fabric.tile).tobytes())
    for tile in program.tiles:
        h.update(f"{tile.name} {tile.params}".encode())
        h.update(np.ascontiguousarray(tile.code).tobytes())
        h.update(np.ascontiguousarray(tile.image).tobytes())
    for color, grid in sorted(program.fabric.color.items()):
        h.update(f"{color}".encode() + np.ascontiguousarray(grid).tobytes())
    return h.hexdigest()


_ARRAYS: dict[str, type[np.generic]] = {
    "W": np.int64,
    "U": np.uint32,
    "M8": np.uint8,
    "host_in": np.uint32,
    "segments": np.int64,
    "tails": np.int64,
}


def save(path: str | Path, machine: Machine, extra: dict[str, Any] | None = None) -> None:
    """Write the state to a file (.npz, no code in it)."""
    machine.settle()
    shot = take(machine)
    meta = {
        "format": FORMAT,
        "layout": _layout(),
        "program": fingerprint(machine.program),
        "profile": machine.profile.name,
        "command": shot.command,
        "period": shot.period,
        "extra": extra or {},
    }
    arrays: dict[str, Any] = {name: getattr(shot, name) for name in _ARRAYS}
    arrays |= {f"out{c}": a for c, a in shot.out.items()} | {f"outn{c}": a for c, a in shot.out_counts.items()}
    with files.replacing(path) as file:
        np.savez_compressed(file, meta=np.frombuffer(json.dumps(meta).encode(), np.uint8), **arrays)


def restore(path: str | Path, machine: Machine) -> dict[str, Any]:
    """Bring the machine to a saved state; returns the `extra` it was saved with. What programs had printed is not in
    the file. Errors: MS0901 no such file, MS0942 none of this program, or a damaged one (door.py)."""
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise MeshlangError(Diagnostic("MS0901", f"cannot read {path}: {error.strerror or error}")) from None
    try:
        arrays = files.read_arrays(content)
        meta = json.loads(arrays["meta"].tobytes())
    except (ValueError, KeyError, RecursionError):
        raise MeshlangError(
            Diagnostic("MS0942", f"{path} is no saved fabric", help="files come from the command `save`")
        ) from None
    same = isinstance(meta, dict) and (
        meta.get("format") == FORMAT
        and meta.get("layout") == _layout()
        and meta.get("program") == fingerprint(machine.program)
        and meta.get("profile") == machine.profile.name
    )
    if not same:
        raise MeshlangError(
            Diagnostic(
                "MS0942",
                f"{path} was saved from another program, profile or version",
                help="load the program with the parameters it had then",
            )
        )
    problem = _shape_problem(machine, arrays, meta)
    if problem is None:
        colors = list(machine.program.fabric.host_out)
        shot = Snapshot(
            int(arrays["W"][s.Globals.now]),
            meta["command"],
            **{name: arrays[name] for name in _ARRAYS},
            out={c: arrays[f"out{c}"] for c in colors},
            out_counts={c: arrays[f"outn{c}"] for c in colors},
            prints=0,
            period=meta["period"],
        )
        machine.settle()
        problem = state_problem(machine, shot)
    if problem is not None:
        raise MeshlangError(
            Diagnostic("MS0942", f"{path} is damaged: {problem}", help="run the program to that cycle again")
        )
    put(machine, shot)
    return dict(meta["extra"])


def _shape_problem(machine: Machine, arrays: dict[str, Any], meta: dict[str, Any]) -> str | None:
    """The parts of a saved state are there, and are of the sizes they have in this machine."""
    st, npe = machine.state, machine.width * machine.height
    heads = max(1, len(st.hin_index)) * npe
    sizes = {"W": len(st.W), "U": len(st.U), "M8": len(st.M8), "tails": heads}
    wanted: dict[str, tuple[type[np.generic], int | None]] = {n: (t, sizes.get(n)) for n, t in _ARRAYS.items()}
    for color in machine.program.fabric.host_out:
        wanted |= {f"out{color}": (np.int64, None), f"outn{color}": (np.int64, npe)}
    for name, (dtype, size) in wanted.items():
        array = arrays.get(name)
        if array is None or array.dtype != dtype or array.ndim != 1 or size is not None and len(array) != size:
            return f"{name} is not what it should be"
    if len(arrays["segments"]) < heads or (len(arrays["segments"]) - heads) % s.Segment.WORDS:
        return "segments is not what it should be"
    command, period, extra = (meta.get(name) for name in ("command", "period", "extra"))
    if not (command is None or isinstance(command, str)) or not isinstance(extra, dict):
        return "what belongs to the arrays is missing"
    if type(period) is not int or not 0 <= period < 1 << 32:
        return "the period of the clock is missing"
    return None
