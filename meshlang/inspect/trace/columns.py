"""Events as columns: .npz for numpy and pandas, .csv for everything else. One row an event, by cycle."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from meshlang.fabric.recording import CONTROLS, HOLDS, KINDS, NOBODY, STALLS

if TYPE_CHECKING:
    from .model import Trace


def _codes(trace: Trace) -> tuple[np.ndarray, list[str], np.ndarray, list[str], np.ndarray]:
    """Per event: file (number), line, operation (number); and the files and operations the numbers stand for. -1:
    none."""
    ev = trace.events
    rows = np.flatnonzero(ev["pc"] >= 0)
    tiles = trace.tile_of[ev["pe"][rows]].astype(np.int64)
    key, first, where = np.unique(tiles << 32 | ev["pc"][rows].astype(np.int64), return_index=True, return_inverse=True)
    files: dict[str, int] = {}
    ops: dict[str, int] = {}
    of_file, of_line, of_op = (np.full(len(key), -1, np.int32) for _ in range(3))
    for i, row in enumerate(rows[first]):
        pe, pc = int(ev["pe"][row]), int(ev["pc"][row])
        place = trace.place(pe, pc)
        if place is not None:
            of_file[i], of_line[i] = files.setdefault(place[0], len(files)), place[1]
        of_op[i] = ops.setdefault(trace.op_name(pe, pc), len(ops))
    file, line, op = (np.full(len(ev), -1, np.int32) for _ in range(3))
    file[rows], line[rows], op[rows] = of_file[where], of_line[where], of_op[where]
    is_op = np.isin(ev["kind"], [KINDS.index(k) for k in ("op", "issue", "done", "stall", "go", "inst")])
    op[~is_op] = -1
    return file, list(files), line, list(ops), op


def write_npz(trace: Trace, file: BinaryIO) -> None:
    """Columns cycle, x, y, kind, color, queue, thread, value, extra, task, source, line, op (int arrays; -1: none), and
    the names behind the numbers: kinds, sources, ops, stalls, holds, controls (text arrays). `about`: program, profile,
    width, height, first and last cycle."""
    ev = trace.events
    path, files, line, ops, op = _codes(trace)
    y, x = np.divmod(ev["pe"], trace.width)
    none = {
        f: np.where(ev[f] == NOBODY, -1, ev[f].astype(np.int16)).astype(np.int16) for f in ("color", "queue", "thread")
    }
    about = [
        trace.program.source,
        trace.profile,
        *(str(n) for n in (trace.width, trace.height, trace.first, trace.last)),
    ]
    np.savez_compressed(
        file,
        cycle=ev["cycle"],
        x=x.astype(np.int16),
        y=y.astype(np.int16),
        kind=ev["kind"],
        color=none["color"],
        queue=none["queue"],
        thread=none["thread"],
        value=ev["value"],
        extra=ev["extra"],
        task=ev["task"].astype(np.int16),
        source=path,
        line=line,
        op=op,
        kinds=np.array(KINDS),
        sources=np.array(files, str),
        ops=np.array(ops, str),
        stalls=np.array(STALLS),
        holds=np.array(HOLDS),
        controls=np.array(CONTROLS),
        about=np.array(about),
    )


CSV_COLUMNS = ("cycle", "x", "y", "kind", "color", "queue", "thread", "value", "extra", "task", "op", "file", "line")


def write_csv(trace: Trace, file: BinaryIO) -> None:
    """The same as text; empty where a column means nothing. Names with a comma or quote are quoted as RFC 4180 says."""
    ev = trace.events
    path, files, line, ops, op = _codes(trace)
    files = [f'"{f.replace(chr(34), chr(34) * 2)}"' if "," in f or '"' in f or "\n" in f else f for f in files]
    out = io.TextIOWrapper(file, encoding="utf-8", newline="", write_through=True)
    out.write(",".join(CSV_COLUMNS) + "\r\n")
    chunk = 100_000
    for at in range(0, len(ev), chunk):
        part = ev[at : at + chunk]
        y, x = np.divmod(part["pe"], trace.width)
        lines = []
        for cycle, px, py, kind, color, queue, thread, value, extra, task, o, f, n in zip(
            part["cycle"].tolist(),
            x.tolist(),
            y.tolist(),
            part["kind"].tolist(),
            part["color"].tolist(),
            part["queue"].tolist(),
            part["thread"].tolist(),
            part["value"].tolist(),
            part["extra"].tolist(),
            part["task"].tolist(),
            op[at : at + chunk].tolist(),
            path[at : at + chunk].tolist(),
            line[at : at + chunk].tolist(),
            strict=True,
        ):
            lines.append(
                f"{cycle},{px},{py},{KINDS[kind]},{_or_empty(color)},{_or_empty(queue)},{_or_empty(thread)},{value},{extra},"
                f"{task if task >= 0 else ''},{ops[o] if o >= 0 else ''},{files[f] if f >= 0 else ''},{n if n >= 0 else ''}\r\n"
            )
        out.write("".join(lines))
    out.flush()
    out.detach()


def _or_empty(number: int) -> str:
    return "" if number == NOBODY else str(number)
