"""The warnings, one function each, MS1010 to MS1019."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from meshlang import builtins
from meshlang.diag import Diagnostic, Label, MeshlangError, did_you_mean
from meshlang.inspect.language.index import Index, Symbol
from meshlang.ir import use
from meshlang.ir.isa import DsdKind, Effect, Flow
from meshlang.ir.program import DIRECTIONS, RAMP, Program
from meshlang.ir.words import INFINITE, OperationRow
from meshlang.paths import stdlib_dir
from meshlang.sema.model.types import PREDECLARED, named_type
from meshlang.syntax.parser import parse_text
from meshlang.syntax.source import Span

from .facts import Dsd, Facts, Operation, facts_of
from .kinds import suppressed

# What <memcpy/memcpy> keeps for itself, by the comments of published programs, but for what programs that ran on
# hardware use beside it: local tasks 22 and 23 on WSE-3 (WaferLLM's MeshGEMM; colors have no ids there) and output
# queue 0 on WSE-2 (25-pt-stencil, histogram-torus; an output queue serves several colors there).
MEMCPY_TASKS = {"wse2": frozenset((21, 22, 23, 27, 28, 30)), "wse3": frozenset((27, 28, 30))}
MEMCPY_COLORS = frozenset((21, 22, 23))
MEMCPY_QUEUES = {
    ("wse2", "input"): frozenset((0,)),
    ("wse3", "input"): frozenset((0, 1)),
    ("wse3", "output"): frozenset((0, 1)),
}
SYSTEM_TASK = 29  # activated by the machine: teardown, queue flush


@dataclass
class Subject:
    """A program with the facts of its tile programs; `pes`: where each is, int [n, 2] of x, y."""

    program: Program
    facts: list[Facts]
    pes: list[np.ndarray]


def lint(program: Program) -> list[Diagnostic]:
    """All warnings, each once: equal ones of several tile programs are one, with their PEs. Without those that a `// noqa`
    takes back."""
    tile = program.fabric.tile
    subject = Subject(
        program,
        [facts_of(t) for t in program.tiles],
        [np.argwhere(tile == i)[:, ::-1] for i in range(len(program.tiles))],
    )
    merged: dict[Any, tuple[Diagnostic, list[np.ndarray]]] = {}
    for check in CHECKS:
        for diagnostic, pes in check(subject):
            key = (diagnostic.code, diagnostic.message, str(diagnostic.span))
            merged.setdefault(key, (diagnostic, []))[1].append(pes)
    out = []
    library = stdlib_dir()
    for diagnostic, parts in merged.values():
        if diagnostic.span is not None and Path(diagnostic.span.file.path).is_relative_to(library):
            continue  # the standard library knows what it does; the user cannot change it
        if suppressed(diagnostic):
            continue
        pes = np.unique(np.concatenate(parts), axis=0)
        if len(pes):
            diagnostic.notes.append("on " + places(pes))
        out.append(diagnostic)
    return sorted(out, key=lambda d: (d.code, str(d.span)))


Found = Iterator[tuple[Diagnostic, np.ndarray]]


def _warning(code: str, message: str, span: Any, help_: str) -> Diagnostic:
    return Diagnostic(code, message, span=span, severity="warning", help=help_)


def places(pes: np.ndarray) -> str:
    """PEs in words."""
    if len(pes) == 1:
        return f"PE ({pes[0, 0]}, {pes[0, 1]})"
    low, high = pes.min(0), pes.max(0)
    if len(pes) == (high - low + 1).prod():
        return f"{len(pes)} PEs, x {low[0]}..{high[0]}, y {low[1]}..{high[1]}"
    return (
        f"{len(pes)} PEs: " + ", ".join(f"({x}, {y})" for x, y in pes[:4].tolist()) + (", ..." if len(pes) > 4 else "")
    )


def _span(facts: Facts, pc: int) -> Any:
    spans = facts.tile.spans
    while 0 <= pc < len(spans):
        if spans[pc] is not None:
            return spans[pc]
        pc -= 1
    return None


# ---------------------------------------------------------------- colors and routes


def unused_colors(subject: Subject) -> Found:
    """MS1010: routes for a color that no PE with such a route sends or receives on."""
    fabric = subject.program.fabric
    for color, grid in fabric.color.items():
        if color in fabric.host_in or color in fabric.host_out:
            continue
        configured = np.asarray(grid) >= 0
        here = np.unique(fabric.tile[configured])
        if any(_may_use(subject.facts[t], color, subject.program.arch) for t in here if t >= 0):
            continue
        yield (
            _warning(
                "MS1010",
                f"color {color} has routes, and no PE sends or receives on it",
                None,
                "remove the routes, or check the colors of the queues and DSDs: is another color meant?",
            ),
            np.argwhere(configured)[:, ::-1],
        )


def _may_use(facts: Facts, color: int, arch: str) -> bool:
    tile = facts.tile
    return (
        color in facts.mentioned
        or facts.recolors
        or any(q.color == color for q in (*tile.inputs, *tile.outputs))
        or arch == "wse2"
        and any(t.kind == "data" and t.id == color for t in tile.tasks)
    )


def two_sides(subject: Subject) -> Found:
    """MS1017: WSE-3, where a route that is set at run time has one receive direction: a configuration with several."""
    program = subject.program
    if program.arch != "wse3":
        return
    several = [
        any(bin(rx & 31).count("1") > 1 for rx in (cfg.rx, *(p[0] for p in cfg.positions if p is not None)))
        for cfg in program.fabric.configs
    ]
    flags = np.array([*several, False])
    for color, grid in program.fabric.color.items():
        where = flags[np.asarray(grid)]
        for config in np.unique(np.asarray(grid)[where]).tolist():
            yield (
                _warning(
                    "MS1017",
                    f"color {color} receives from several directions at once",
                    program.fabric.spans.get((color, config)),
                    "give each side a color of its own, or switch positions that take turns",
                ),
                np.argwhere(np.asarray(grid) == config)[:, ::-1],
            )


def receives_without_ramp(subject: Subject) -> Found:
    """MS1011: an operation or data task receives on a color whose route never leads to the ramp of the PE.

    Code that serves PEs in several roles has receives that run on some of them only. So what a condition of run time
    may leave out is reported only if it cannot receive on any PE.
    """
    reached = functools.cache(lambda color: _reaches_ramp(subject.program, color))
    # place, who, color, PEs without a route, certain
    receives: list[tuple[Any, str, int, np.ndarray, bool]] = []
    # places of receives that some PE has a route for
    served: set[str] = set()
    for facts, pes in zip(subject.facts, subject.pes):
        if facts.recolors or not len(pes):
            continue
        wanted: list[tuple[int, Any, str, bool]] = []
        for pc, dsd in facts.fabric:
            color = facts.color_of(dsd)
            if dsd.kind is DsdKind.FABIN and color is not None and pc >= 0:
                wanted.append((color, _span(facts, pc), "an operation receives", pc in facts.certain))
        for task in facts.tile.tasks:
            if task.kind == "data":
                color = (
                    task.id
                    if subject.program.arch == "wse2"
                    else next((q.color for q in facts.tile.inputs if q.id == task.id), None)
                )
                if color is not None:
                    wanted.append((color, task.span, f"data task {task.name} waits for wavelets", True))
        for color, span, who, certain in wanted:
            missing = pes[~reached(color)[pes[:, 1], pes[:, 0]]]
            if len(missing) < len(pes):
                served.add(str(span))
            if len(missing):
                receives.append((span, who, color, missing, certain))
    for span, who, color, missing, certain in receives:
        if certain or str(span) not in served:
            yield (
                _warning(
                    "MS1011",
                    f"{who} on color {color}, and no route of the color leads to the ramp",
                    span,
                    f"if it runs there it waits for ever: give color {color} a route with .tx = .{{ RAMP }} on these PEs",
                ),
                missing,
            )


def _reaches_ramp(program: Program, color: int) -> np.ndarray:
    """Where some route (or switch position) of a color delivers to the PE: bool [h, w]."""
    fabric = program.fabric
    to_ramp = np.array(
        [any(tx >> RAMP & 1 for _, tx in ((c.rx, c.tx), *filter(None, c.positions))) for c in fabric.configs] + [False]
    )
    grid = fabric.color.get(color)
    routed = np.zeros((fabric.height, fabric.width), bool) if grid is None else to_ramp[np.asarray(grid)]
    if color in fabric.host_in:
        # a stream from the host goes to the PE where the program gives it no other way
        routed = routed | (np.ones_like(routed) if grid is None else np.asarray(grid) < 0)
    return routed


def shared_queues(subject: Subject) -> Found:
    """MS1014: DSDs of two colors name the same queue. One warning a queue, with the colors of all PEs."""
    shared: dict[tuple[DsdKind, int], tuple[Any, set[int], list[np.ndarray]]] = {}
    for facts, pes in zip(subject.facts, subject.pes):
        if facts.recolors or not len(pes):
            continue
        colors: dict[tuple[DsdKind, int], dict[int, int]] = {}  # (side, queue) -> color -> where
        for kind, queues in ((DsdKind.FABIN, facts.tile.inputs), (DsdKind.FABOUT, facts.tile.outputs)):
            for q in queues:
                if q.color is not None:
                    colors[kind, q.id] = {q.color: -1}
        for pc, dsd in facts.fabric:
            if dsd.queue is not None and dsd.color is not None:
                colors.setdefault((dsd.kind, dsd.queue), {}).setdefault(dsd.color, pc)
        for place, found in colors.items():
            if len(found) > 1:
                second = next((pc for pc in list(found.values())[1:] if pc >= 0), max(found.values()))
                _, all_colors, where = shared.setdefault(place, (_span(facts, second), set(), []))
                all_colors.update(found)
                where.append(pes)
    for (kind, queue), (span, all_colors, where) in shared.items():
        side = "input" if kind is DsdKind.FABIN else "output"
        *most, last = (str(c) for c in sorted(all_colors))
        yield (
            _warning(
                "MS1014",
                f"{side} queue {queue} serves several colors: {', '.join(most)} and {last}",
                span,
                "what one color holds up, the other waits for; give each color a queue of its own",
            ),
            np.concatenate(where),
        )


# ---------------------------------------------------------------- tasks


def unreachable_tasks(subject: Subject) -> Found:
    """MS1012: a local task that nothing activates, on any PE: code in several roles binds tasks that one role does
    without."""
    idle: list[tuple[Any, np.ndarray]] = []
    used: set[str] = set()
    for facts, pes in zip(subject.facts, subject.pes):
        if not len(pes):
            continue
        for task in facts.tile.tasks:
            if task.kind == "local" and task.id != SYSTEM_TASK:
                if facts.unknown_ids or task.id in facts.activated or facts.tile.active >> task.id & 1:
                    used.add(str(task.span))
                else:
                    idle.append((task, pes))
    for task, pes in idle:
        if str(task.span) not in used:
            yield (
                _warning(
                    "MS1012",
                    f"local task {task.name} (id {task.id}) never runs: nothing activates it",
                    task.span,
                    "activate it with @activate, with .activate of an operation, or remove it",
                ),
                pes,
            )


def unwaited_operations(subject: Subject) -> Found:
    """MS1013: an asynchronous operation that ends without telling anyone."""
    for facts, pes in zip(subject.facts, subject.pes):
        for op in facts.operations if len(pes) else ():
            row = op.row
            if not row[OperationRow.async_] or row[OperationRow.action] or row[OperationRow.onctrl_set] or op.unknown:
                continue
            fabric = [d for d in op.operands if d is not None]
            if any(d.length == INFINITE or d.kind is DsdKind.FIFO for d in fabric):
                continue  # a pump: it has no end to wait for
            if any(d.kind is DsdKind.FABOUT and facts.color_of(d) in subject.program.fabric.host_out for d in fabric):
                continue  # the host takes what it sends, and so knows its end
            if _runs_once(facts, op):
                continue
            yield (
                _warning(
                    "MS1013",
                    "nothing waits for the end of this asynchronous operation",
                    _span(facts, op.pc),
                    "its memory may still be in use, and its queue busy, when the program goes on: add .activate or .unblock",
                ),
                pes,
            )


def _runs_once(facts: Facts, op: Operation) -> bool:
    """Does an operation start once for all, in a task that is active at the start and that nothing activates again, on
    queues of its own and with memory that no other operation uses?"""
    owner = max((f.entry, i) for i, f in enumerate(facts.tile.functions) if f.entry <= op.pc)[1]
    if facts.unknown_ids or not any(
        b.function == owner and facts.tile.active >> b.id & 1 and b.id not in facts.activated for b in facts.tile.tasks
    ):
        return False

    def uses(dsd: Dsd) -> tuple[Any, ...]:
        return (
            (dsd.kind, dsd.queue, facts.color_of(dsd))
            if dsd.kind in (DsdKind.FABIN, DsdKind.FABOUT)
            else ("memory", dsd.base)
        )

    mine = {uses(d) for d in op.operands if d is not None}
    return not any(uses(d) in mine for o in facts.operations if o is not op for d in o.operands if d is not None)


def reserved_ids(subject: Subject) -> Found:
    """MS1016: ids that <memcpy/memcpy> uses itself."""
    program = subject.program
    for facts, pes in zip(subject.facts, subject.pes):
        tile = facts.tile
        if not tile.uses_memcpy or not len(pes):
            continue
        help_ = "this machine lets it pass; on hardware the command stream breaks. Choose another one"
        for task in tile.tasks:
            if task.id in MEMCPY_TASKS.get(program.arch, ()):
                yield (
                    _warning(
                        "MS1016",
                        f"{task.kind} task {task.name} has id {task.id}, which <memcpy/memcpy> uses itself",
                        task.span,
                        help_,
                    ),
                    pes,
                )
        for queue, side in [(q, "input") for q in tile.inputs] + [(q, "output") for q in tile.outputs]:
            if queue.id in MEMCPY_QUEUES.get((program.arch, side), ()):
                yield (
                    _warning("MS1016", f"{side} queue {queue.id} is used by <memcpy/memcpy> itself", queue.span, help_),
                    pes,
                )
    memcpy = np.isin(program.fabric.tile, [i for i, t in enumerate(program.tiles) if t.uses_memcpy])
    for color, grid in program.fabric.color.items():
        used = (np.asarray(grid) >= 0) & memcpy
        if color in MEMCPY_COLORS and used.any():
            yield (
                _warning("MS1016", f"color {color} is used by <memcpy/memcpy> itself", None, "choose one of 0 to 20"),
                np.argwhere(used)[:, ::-1],
            )


# ---------------------------------------------------------------- memory


def long_vectors(subject: Subject) -> Found:
    """MS1015: a DSD that reaches beyond its array."""
    for facts, pes in zip(subject.facts, subject.pes):
        if not len(pes):
            continue
        used = (
            [(o.pc, d) for o in facts.operations for d in o.operands if d is not None] + facts.elements + facts.loaded
        )
        for pc, dsd in used:
            if dsd.kind is not DsdKind.MEM1D or dsd.length == INFINITE or dsd.length < 2 or dsd.indexed:
                continue
            found = _beyond(facts, dsd)
            if found is not None:
                yield (
                    _warning(
                        "MS1015",
                        f"a vector of {dsd.length} elements of {dsd.size} bytes{_stride(dsd)} leaves {found}",
                        _span(facts, pc),
                        "shorten the access, or enlarge the array",
                    ),
                    pes,
                )


def _stride(dsd: Dsd) -> str:
    return "" if dsd.stride == 1 else f", {dsd.stride} elements apart,"


def _beyond(facts: Facts, dsd: Dsd) -> str | None:
    """The object that a vector begins in and does not stay in."""
    last = dsd.base + (dsd.length - 1) * dsd.stride * dsd.size
    low, high = min(dsd.base, last), max(dsd.base, last) + dsd.size
    for o in facts.tile.objects:
        if o.address <= dsd.base < o.address + o.size:
            return (
                None
                if o.address <= low and high <= o.address + o.size
                else f"{o.name}, which is {o.type} ({o.size} bytes)"
            )
    return None


def early_uses(subject: Subject) -> Found:
    """MS1018: memory of an asynchronous operation is used before anything can have waited for its end.

    Only straight code behind the operation is looked at, up to a branch, a call, or something that waits for a wavelet: that
    may have come because the operation is over.
    """
    for facts, pes in zip(subject.facts, subject.pes):
        if not len(pes):
            continue
        code = use.code_of(facts.tile).tolist()
        at = {o.pc: o for o in facts.operations}
        for op in facts.operations:
            if not op.row[OperationRow.async_]:
                continue
            written, read = _memory(op)
            for pc in range(op.pc + 1, len(code)):
                if use.flow(code[pc]) is not Flow.NEXT or use.effect(code[pc]) & Effect.ELEMENT:
                    break
                writes, reads = _touched(facts, at, pc)
                found = _both(facts, written, reads), _both(facts, written, writes), _both(facts, read, writes)
                told = next((i for i, name in enumerate(found) if name is not None), None)
                if told is not None:
                    this, before = (("reads", "written"), ("writes", "written"), ("writes", "read"))[told]
                    warning = _warning(
                        "MS1018",
                        f"this {this} {found[told]}, which an asynchronous operation may not have {before} yet",
                        _span(facts, pc),
                        "wait for its end: do it in a task that its .activate starts or its .unblock lets run",
                    )
                    warning.labels.append(Label(_span(facts, op.pc), "begins here, and goes on beside the task"))
                    yield warning, pes
                    break
                later = at.get(pc)
                if later is not None and not later.row[OperationRow.async_] and _waits(later):
                    break


def _waits(op: Operation) -> bool:
    """Whether it takes wavelets, for all that is known."""
    return op.unknown or any(d is not None and d.kind in (DsdKind.FABIN, DsdKind.FIFO) for d in op.operands)


def _memory(op: Operation) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """The places in memory that an operation writes, and those that it reads: addresses of bytes."""
    places = [_bytes(d) if d is not None else None for d in op.operands]
    return [p for p in places[:1] if p is not None], [p for p in places[1:] if p is not None]


def _touched(facts: Facts, operations: dict[int, Operation], pc: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """The same of an instruction."""
    if pc in operations:
        return _memory(operations[pc])
    if pc not in facts.scalars:
        return [], []
    address, size, writes = facts.scalars[pc]
    place = [np.arange(address, address + size)]
    return (place, []) if writes else ([], place)


def _bytes(dsd: Dsd) -> np.ndarray | None:
    if dsd.kind is not DsdKind.MEM1D or dsd.length == INFINITE or dsd.indexed:
        return None
    first = dsd.base + np.arange(dsd.length) * dsd.stride * dsd.size
    return (first[:, None] + np.arange(dsd.size)).ravel()


def _both(facts: Facts, some: list[np.ndarray], others: list[np.ndarray]) -> str | None:
    """The variable that places of both lists are in."""
    for a in some:
        for b in others:
            both = np.intersect1d(a, b)
            if len(both):
                return next((o.name for o in facts.tile.objects if o.address <= both[0] < o.address + o.size), "memory")
    return None


def unknown_names(subject: Subject) -> Found:
    """MS1019: a name in a function that nothing reaches means nothing. The compiler looks at no such function, and a name that
    is wrong in one would be found when it is called first."""
    by_file: dict[str, list[Span]] = {}
    for span in subject.program.unreached:
        by_file.setdefault(span.file.path, []).append(span)
    nowhere = np.empty((0, 2), np.int64)
    for path, spans in by_file.items():
        file = spans[0].file
        try:
            index = Index(file, parse_text(file.text, path))
        except MeshlangError:
            continue  # it is another file by now
        starts = {span.start for span in spans}
        functions = [s for s in index.symbols if s.is_global and s.start in starts]
        said = set()
        for name, start, end in names_nothing(index):
            within = next((f for f in functions if f.whole[0] <= start < f.whole[1]), None)
            if within is None or (within.name, name) in said:
                continue
            said.add((within.name, name))
            if name.startswith("@"):
                message, known = f"there is no builtin '{name}'", {f"@{n}" for n in builtins.names()}
            else:
                message = f"'{name}' is not defined"
                known = {s.name for s in index.visible(start)} | set(PREDECLARED)
            warning = _warning(
                "MS1019", message, Span(file, start, end), did_you_mean(name, sorted(known)) or _undefined(within)
            )
            warning.labels.append(
                Label(Span(file, within.start, within.end), "nothing calls this, so it is not compiled")
            )
            yield warning, nowhere


def names_nothing(index: Index) -> list[tuple[str, int, int]]:
    """The names of a file that are declared nowhere and the builtins that do not exist, in the order of the text: name, start, end."""
    names = {u for u in index.unknown if not _predeclared(u[0])}
    names |= {(f"@{n}", start, end) for n, start, end in index.builtins if builtins.lookup(n) is None}
    return sorted(names, key=lambda u: u[1])


def _undefined(within: Symbol) -> str:
    return f"'{within.name}' will not compile where it is called: define the name, or remove the function"


def _predeclared(name: str) -> bool:
    return name == "_" or name in DIRECTIONS or named_type(name) is not None


CHECKS: tuple[Callable[[Subject], Found], ...] = (
    unused_colors,
    two_sides,
    receives_without_ramp,
    unreachable_tasks,
    unwaited_operations,
    shared_queues,
    long_vectors,
    early_uses,
    reserved_ids,
    unknown_names,
)
