"""A profile as text, as plain data, and as a listing of the source."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path, PurePath
from typing import Any

import numpy as np

from meshlang.fabric.recording import STALLS

from .collect import Node, Profile

Place = tuple[str, int]


def task_title(profile: Profile, node: int) -> str:
    """ "done (local task 8)", "main (launched)" for the root of a task."""
    found = profile.nodes[node]
    if found is None:
        return "before the recording"
    if found.task == 128:
        return f"{found.name} (launched)"
    kind = next(
        (
            b.kind
            for b in profile.trace.program.tiles[found.tile].tasks
            if b.id == found.task & 63 and (b.kind == "control") == (found.task >= 64)
        ),
        "task",
    )
    return f"{found.name} ({kind} task {found.task & 63})"


def by_task(profile: Profile) -> list[dict[str, Any]]:
    """Per task: cycles (with all that it calls) and starts, most cycles first."""
    cycles: dict[str, int] = defaultdict(int)
    starts: dict[str, int] = defaultdict(int)
    root = np.array([profile.stack(n)[0] for n in range(len(profile.nodes))])
    for node, total in _sums(root[profile.node], profile.cycles):
        cycles[task_title(profile, node)] += total
    for node, n in profile.starts.items():
        starts[task_title(profile, node)] += n
    return [{"task": name, "cycles": c, "starts": starts[name]} for name, c in _most(cycles)]


def by_function(profile: Profile) -> list[dict[str, Any]]:
    """Per function: its own cycles, and with all that it calls."""
    own: dict[str, int] = defaultdict(int)
    total: dict[str, int] = defaultdict(int)
    calls: dict[str, int] = defaultdict(int)
    for node, cycles in _sums(profile.node, profile.cycles):
        names = [_function(profile.nodes[n]) for n in profile.stack(node)]
        own[names[-1]] += cycles
        for name in set(names):
            total[name] += cycles
    for node, n in profile.starts.items():
        calls[_function(profile.nodes[node])] += n
    for node, n in _entries(profile):
        calls[_function(profile.nodes[node])] += n
    return [{"function": name, "self": c, "total": total[name], "calls": calls[name]} for name, c in _most(own)]


def by_line(profile: Profile) -> dict[Place, tuple[int, int]]:
    """Per source line: cycles of main threads, and how often its busiest instruction ran."""
    out: dict[Place, list[int]] = defaultdict(lambda: [0, 0])
    key = profile.node << 24 | profile.pc
    keys, where = np.unique(key, return_inverse=True)
    cycles, times = (np.bincount(where, a, len(keys)).astype(np.int64) for a in (profile.cycles, profile.times))
    runs: dict[tuple[Place, int, int], int] = {}
    for k, c, n in zip(keys.tolist(), cycles.tolist(), times.tolist()):
        node, pc = k >> 24, k & (1 << 24) - 1
        place = profile.place(node, pc)
        if place is None:
            continue
        out[place][0] += c
        here = (place, profile.tile_at(node), pc)
        runs[here] = runs.get(here, 0) + n
    most: dict[tuple[Place, int], int] = {}
    for (place, tile, _), n in runs.items():
        most[place, tile] = max(most.get((place, tile), 0), n)
    for (place, _), n in most.items():
        out[place][1] += n
    return {place: (c, n) for place, (c, n) in out.items()}


def by_stall(profile: Profile) -> list[dict[str, Any]]:
    """Per cause, thread and source line: cycles waited."""
    out: dict[tuple[str, str, str], int] = defaultdict(int)
    for (pe, micro, pc, cause), cycles in profile.stalls.items():
        place = _place_of(profile, pe, pc)
        out[STALLS[cause], "microthreads" if micro else "main thread", _short(place)] += cycles
    return [{"cause": c, "thread": t, "place": p, "cycles": n} for (c, t, p), n in _most(out)]


def by_operation(profile: Profile) -> list[dict[str, Any]]:
    """Per vector operation of the source: how often, elements, cycles from its start to its end, and those it
    waited."""
    out: dict[tuple[str, str, str], list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    for (pe, pc, micro), (n, elements, cycles) in profile.operations.items():
        row = out[_operation(profile, pe, pc), "microthread" if micro else "main", _short(_place_of(profile, pe, pc))]
        row[0] += n
        row[1] += elements
        row[2] += cycles
    for (pe, micro, pc, _), waited in profile.stalls.items():
        name = (_operation(profile, pe, pc), "microthread" if micro else "main", _short(_place_of(profile, pe, pc)))
        if name in out:
            out[name][3] += waited
    rows = [
        {"operation": o, "thread": t, "place": p, "times": r[0], "elements": r[1], "cycles": r[2], "waited": r[3]}
        for (o, t, p), r in out.items()
    ]
    return sorted(rows, key=lambda r: (-r["cycles"], r["place"], r["operation"]))


def by_pe(profile: Profile) -> list[dict[str, Any]]:
    """Per PE: busy cycles of its main thread, and cycles its threads waited (None where PEs are not told apart)."""
    waited: dict[int, int] = defaultdict(int)
    for (pe, _, _, _), cycles in profile.stalls.items():
        waited[pe] += cycles
    apart = -1 not in waited
    out = []
    for pe in np.flatnonzero(profile.trace.mask.ravel() & (profile.trace.tile_of >= 0)).tolist():
        x, y = profile.trace.xy(pe)
        out.append({"x": x, "y": y, "busy": int(profile.busy[y, x]), "waited": waited[pe] if apart else None})
    return out


def as_data(profile: Profile) -> dict[str, Any]:
    """All of it, for --json."""
    lines = [{"file": f, "line": n, "cycles": c, "times": t} for (f, n), (c, t) in sorted(by_line(profile).items())]
    return {
        "program": profile.trace.program.source,
        "profile": profile.trace.profile,
        "first_cycle": profile.first,
        "last_cycle": profile.last,
        "busy_cycles": profile.total,
        "tasks": by_task(profile),
        "functions": by_function(profile),
        "lines": lines,
        "stalls": by_stall(profile),
        "operations": by_operation(profile),
        "pes": by_pe(profile),
    }


# ---------------------------------------------------------------- text


def report(profile: Profile, top: int = 15) -> str:
    """Tables: tasks, functions, lines, stalls, operations, PEs. At most `top` rows of each."""
    pes = by_pe(profile)
    span = max(1, profile.last - profile.first)
    out = [
        f"{profile.trace.program.source}: {len(pes):,} PEs, cycles {profile.first:,} to {profile.last:,} ({profile.trace.profile} profile)"
    ]
    if not profile.total:
        return out[0] + "\nno task ran"
    busy = [p["busy"] for p in pes]
    out.append(
        f"main threads busy {100 * sum(busy) / (span * max(1, len(pes))):.1f}% of the time: {profile.total:,} cycles; "
        f"per PE {min(busy):,} to {max(busy):,}, median {int(np.median(busy)):,}"
    )

    def share(cycles: int) -> str:
        return f"{100 * cycles / profile.total:.1f}%"

    out += _table(
        "tasks",
        ("cycles", "share", "starts", "a start", "task"),
        by_task(profile),
        top,
        lambda r: (
            f"{r['cycles']:,}",
            share(r["cycles"]),
            f"{r['starts']:,}",
            f"{r['cycles'] / r['starts']:,.0f}" if r["starts"] else "",
            r["task"],
        ),
    )
    out += _table(
        "functions",
        ("self", "share", "total", "calls", "function"),
        by_function(profile),
        top,
        lambda r: (f"{r['self']:,}", share(r["self"]), f"{r['total']:,}", f"{r['calls']:,}", r["function"]),
    )
    lines = sorted(((c, n, place) for place, (c, n) in by_line(profile).items()), key=lambda r: (-r[0], r[2]))
    out += _table(
        "source lines",
        ("cycles", "share", "times", "place", "line"),
        lines,
        top,
        lambda r: (f"{r[0]:,}", share(r[0]), f"{r[1]:,}", _short(r[2]), _source(profile, r[2])),
    )
    out += _table(
        "stalls: cycles in which a thread waited",
        ("cycles", "thread", "place", "cause"),
        by_stall(profile),
        top,
        lambda r: (f"{r['cycles']:,}", r["thread"], r["place"], r["cause"]),
    )
    out += _table(
        "vector operations",
        ("cycles", "waited", "times", "elements", "thread", "place", "operation"),
        by_operation(profile),
        top,
        lambda r: (
            f"{r['cycles']:,}",
            f"{r['waited']:,}",
            f"{r['times']:,}",
            f"{r['elements']:,}",
            r["thread"],
            r["place"],
            r["operation"],
        ),
    )
    out += _table(
        "PEs",
        ("busy", "of time", "waited", "PE"),
        sorted(pes, key=lambda p: (-p["busy"], p["y"], p["x"])),
        top,
        lambda p: (
            f"{p['busy']:,}",
            f"{100 * p['busy'] / span:.1f}%",
            "" if p["waited"] is None else f"{p['waited']:,}",
            f"{p['x']},{p['y']}",
        ),
    )
    return "\n".join(out)


def listing(profile: Profile) -> str:
    """Every source file that ran, line by line: cycles, share and how often."""
    found = by_line(profile)
    out = []
    for path in sorted({f for f, _ in found}):
        lines = _text(profile, path)
        out.append(f"\n{path}")
        for number in range(1, max([len(lines), *(n for f, n in found if f == path)]) + 1):
            cycles, times = found.get((path, number), (0, 0))
            cells = (
                (f"{cycles:,}", f"{100 * cycles / profile.total:.1f}%", f"{times:,}")
                if cycles or times
                else ("", "", "")
            )
            text = lines[number - 1] if number <= len(lines) else ""
            out.append(f"{cells[0]:>12} {cells[1]:>6} {cells[2]:>9} {number:>5}  {text}".rstrip())
    return "\n".join(out)


def _table(
    title: str, heads: tuple[str, ...], rows: Iterable[Any], top: int, cells: Callable[[Any], tuple[str, ...]]
) -> list[str]:
    rows = list(rows)
    if not rows:
        return []
    shown = [heads, *(cells(r) for r in rows[:top])]
    widths = [max(len(r[i]) for r in shown) for i in range(len(heads))]
    text = {"task", "function", "place", "line", "thread", "cause", "operation", "PE"}
    out = ["", title]
    out += [
        "  " + "  ".join(c.ljust(w) if h in text else c.rjust(w) for c, w, h in zip(r, widths, heads)).rstrip()
        for r in shown
    ]
    if len(rows) > top:
        out.append(f"  and {len(rows) - top:,} more")
    return out


# ---------------------------------------------------------------- names


def _function(node: Node | None) -> str:
    return node.name if node is not None else "before the recording"


def _entries(profile: Profile) -> list[tuple[int, int]]:
    """(node, how often it was called): how often its first instruction ran."""
    entry = np.array([n.entry if n is not None and n.parent else -1 for n in profile.nodes])
    mine = profile.pc == entry[profile.node]
    return _sums(profile.node[mine], profile.times[mine])


def _operation(profile: Profile, pe: int, pc: int) -> str:
    return profile.trace.op_name(_someone(profile, pe, pc), pc)


def _place_of(profile: Profile, pe: int, pc: int) -> Place | None:
    return profile.trace.place(_someone(profile, pe, pc), pc)


def _someone(profile: Profile, pe: int, pc: int) -> int:
    """The PE, or one that runs the tile program of an instruction."""
    if pe >= 0:
        return pe
    bases = profile.trace.code_base
    tile = next((t for t, base in enumerate(bases) if base <= pc < base + len(profile.trace.program.tiles[t].spans)), 0)
    return int(np.argmax(profile.trace.tile_of == tile))


def _short(place: Place | None) -> str:
    return "" if place is None else f"{PurePath(place[0]).name}:{place[1]}"


def _text(profile: Profile, path: str) -> list[str]:
    """The text that was compiled."""
    for tile in profile.trace.program.tiles:
        for span in tile.spans:
            if span is not None and str(span.file.path) == path:
                return str(span.file.text).splitlines()
    return Path(path).read_text(encoding="utf-8").splitlines() if Path(path).is_file() else []


def _source(profile: Profile, place: Place) -> str:
    lines = _text(profile, place[0])
    return lines[place[1] - 1].strip() if place[1] <= len(lines) else ""


def _sums(keys: np.ndarray, values: np.ndarray) -> list[tuple[int, int]]:
    found, where = np.unique(keys, return_inverse=True)
    return list(zip(found.tolist(), np.bincount(where, values, len(found)).astype(np.int64).tolist()))


def _most(sums: dict[Any, int]) -> list[tuple[Any, int]]:
    return sorted(sums.items(), key=lambda item: (-item[1], item[0]))
