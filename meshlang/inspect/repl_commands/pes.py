"""pe, vars, mem, tasks, queues, dsrs, list, print: what PEs hold and do."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from meshlang.fabric.wording import progress_text, reason_text, thread_text
from meshlang.inspect import arguments, expressions, names, query, values
from meshlang.inspect.mistakes import mistake
from meshlang.inspect.registry import command

if TYPE_CHECKING:
    import numpy as np

    from meshlang.inspect.shell import Shell

_PLACE = re.compile(r"all|-?\d*(:-?\d*)?,-?\d*(:-?\d*)?")
MOST_GROUPS = 24  # of PEs that differ


def _each(
    repl: Shell,
    text: str,
    describe: Callable[[int, int], list[str]],
    more: Callable[[Shell, list[tuple[int, int]]], list[str]] | None = None,
) -> None:
    """Lines for a place, with equal PEs put together. A single PE is remembered."""
    machine = repl.debugger.machine
    where = arguments.region(machine, repl.place_or(text))
    pes = arguments.pes(where)
    if len(pes) == 1:
        repl.place = pes[0]
    groups = query.grouped(pes, lambda x, y: tuple(describe(x, y)))
    for group in shown(repl, groups):
        lines = list(group.what)
        if more is not None and len(pes) > 1:
            lines += more(repl, group.pes)
        if len(lines) == 1 and len(lines[0]) < 90:
            repl.say(f"{query.places(group.pes)}: {lines[0].strip()}")
            continue
        repl.say(f"{query.places(group.pes)}:", "bold")
        for line in lines:
            repl.say(f"  {line}")


def shown(repl: Shell, groups: list[query.Group]) -> Iterator[query.Group]:
    """The groups there is room for; the rest is said to be there."""
    yield from groups[:MOST_GROUPS]
    rest = groups[MOST_GROUPS:]
    if rest:
        repl.say(
            f"and {names.counted(len(rest), 'more group')} of {names.counted(sum(len(g.pes) for g in rest), 'PE')}; name a smaller place to see them",
            "dim",
        )


def pe_lines(repl: Shell, x: int, y: int, alone: bool = True) -> list[str]:
    """What a PE does; without the figures that tell equal PEs apart when it does not stand alone."""
    view = query.pe_view(repl.debugger.machine, x, y)
    if view is None:
        return ["no code"]
    lines = [f"{view.tile}, {view.state}" + (f" in {view.task}" if view.task else "")]
    if view.span is not None:
        lines.append(f"at {names.place(view.span)}: {names.source_line(view.span)}")
    if view.ahead and alone:
        lines.append(f"its next instruction begins in {view.ahead} cycles")
    if view.command:
        lines.append(
            f"{repl.debugger.machine.command}: "
            + ("launched, not started yet" if view.command == "not started" else "not finished")
        )
    for op in view.operations:
        lines += operation_lines(op)
    if view.active:
        lines.append("active: " + ", ".join(f"{n} (id {i})" for i, n in view.active))
    if view.blocked:
        lines.append("blocked: " + ", ".join(f"{n} (id {i})" for i, n in view.blocked))
    if alone:
        lines.append(
            f"{view.busy} cycles busy, {view.tasks_started} tasks started, {view.sent} wavelets sent, {view.received} received"
        )
    return lines


def operation_lines(op: query.OperationView) -> list[str]:
    wait = op.wait
    lines = [
        f"{thread_text(wait)}: {wait.operation}, {progress_text(wait)}, {reason_text(wait)}; "
        f"started by {op.task} at {names.place(op.span)}"
    ]
    lines += [f"  {o.role}: {o.text}" for o in op.operands]
    return lines


@command(
    "pe",
    "[PLACE]",
    group="Looking at PEs",
    complete=("pe",),
    examples=("pe 1,0", "pe 0:4,0:2", "pe all"),
)
def pe(repl: Shell, text: str) -> None:
    """What PEs do: state, task, source line, running vector operations, active and blocked tasks, counters.
    PEs of which the same can be said are put together.
    """
    machine = repl.debugger.machine
    place = repl.place_or(text)
    _, _, w, h = arguments.region(machine, place)
    _each(repl, place, lambda x, y: pe_lines(repl, x, y, w * h == 1), _counters)


def _counters(repl: Shell, pes: list[tuple[int, int]]) -> list[str]:
    """The counters of a group of PEs, as ranges."""

    machine = repl.debugger.machine
    numbers = [machine.pe(x, y) for x, y in pes]
    P = machine.pes[numbers].copy()
    P["busy"] = query.busy_cycles(machine)[numbers]
    received = machine.received()[numbers]
    if len(P) == 1 and machine.width * machine.height == 1 or (P["tile"] < 0).any():
        return []

    def extent(values: np.ndarray) -> str:
        least, most = int(values.min()), int(values.max())
        return str(least) if least == most else f"{least} to {most}"

    return [
        f"{extent(P['busy'])} cycles busy, {extent(P['tasks'])} tasks started, {extent(P['sent'])} wavelets sent, "
        f"{extent(received)} received"
    ]


@command("vars", "[PLACE]", group="Looking at PEs", complete=("pe",), examples=("vars 1,0",))
def vars_(repl: Shell, text: str) -> None:
    """The variables of PEs with their values; long arrays are cut (mem shows them whole)."""
    machine = repl.debugger.machine

    def describe(x: int, y: int) -> list[str]:
        pe_ = machine.pe(x, y)
        tile = names.tile_of(machine, pe_)
        if tile is None:
            return ["no code"]
        return [
            f"{o.name}: {o.type} = {values.value_text(tile, o, values.object_value(machine, pe_, o), 8)}"
            for o in names.variables(tile)
            if o.mutable
        ] or ["no variables"]

    _each(repl, text, describe)


@command(
    "mem",
    "NAME[FIRST:END] [@ PLACE]",
    group="Looking at PEs",
    complete=("symbol", "pe"),
    examples=("mem data", "mem W[0:8] @ 0:4,0"),
)
def mem(repl: Shell, text: str) -> None:
    """The elements of a variable on PEs, all or a range of them."""
    body, place = arguments.split_place(text)
    name, bracket, rest = body.partition("[")
    name = name.strip()
    if not name:
        raise mistake("mem needs the name of a variable", help="mem data @ 1,0; vars lists the variables")
    machine = repl.debugger.machine

    def describe(x: int, y: int) -> list[str]:
        pe_ = machine.pe(x, y)
        tile = names.tile_of(machine, pe_)
        if tile is None:
            return ["no code"]
        obj = names.find_variable(tile, name)
        value = values.object_value(machine, pe_, obj)
        if not bracket:
            return [f"{obj.name}: {obj.type} = {values.value_text(tile, obj, value, 4096)}"]
        flat = value.reshape(-1)
        first, end = _bounds(rest, len(flat))
        return [f"{obj.name}[{first}:{end}] = {values.array_text(flat[first:end], 4096)}"]

    _each(repl, place or "", describe)


def _bounds(text: str, size: int) -> tuple[int, int]:
    if not text.endswith("]"):
        raise mistake("the range is incomplete", help="write for example mem data[0:4]")
    first, colon, last = text[:-1].partition(":")
    start = arguments.whole_number(first.strip(), "an index") if first.strip() else 0
    end = (arguments.whole_number(last.strip(), "an index") if last.strip() else size) if colon else start + 1
    if start >= end or end > size:
        raise mistake(f"the range {start}:{end} is outside the {size} elements")
    return start, end


@command("tasks", "[PLACE]", group="Looking at PEs", complete=("pe",), examples=("tasks 0,0", "tasks all"))
def tasks(repl: Shell, text: str) -> None:
    """The tasks of PEs: id, kind, what they are bound to, and whether they are active, blocked or running."""
    machine = repl.debugger.machine

    def describe(x: int, y: int) -> list[str]:
        view = query.pe_view(machine, x, y)
        tile = names.tile_of(machine, machine.pe(x, y))
        if view is None or tile is None:
            return ["no code"]
        active, blocked = dict(view.active), dict(view.blocked)
        lines = []
        for b in tile.tasks:
            states = [w for w, m in (("active", active), ("blocked", blocked)) if b.kind != "control" and b.id in m]
            states += ["running"] if view.task == b.name else []
            lines.append(
                f"{b.name}: {b.kind} task, id {b.id}{', ' + ', '.join(states) if states else ''}  ({names.place(b.span)})"
            )
        return lines or ["no tasks"]

    _each(repl, text, describe)


def wavelet_text(w: query.Wavelet) -> str:
    return f"{w.value:#010x}" + (" control" if w.control else "") + (f" (in {w.ready} cycles)" if w.ready else "")


@command("queues", "[PLACE]", group="Looking at PEs", complete=("pe",), examples=("queues 1,0",))
def queues(repl: Shell, text: str) -> None:
    """The input and output queues of PEs with the wavelets in them, oldest first."""
    machine = repl.debugger.machine

    def describe(x: int, y: int) -> list[str]:
        lines = []
        for q in query.queues(machine, x, y):
            color = "no color" if q.color is None else f"color {q.color}"
            held = ", ".join(wavelet_text(w) for w in q.contents) or "empty"
            lines.append(f"{q.name}: {color}, {len(q.contents)} of {q.capacity}{', in use' if q.used else ''}: {held}")
        return lines or ["no queues"]

    _each(repl, text, describe)


@command("dsrs", "[PLACE]", group="Looking at PEs", complete=("pe",), examples=("dsrs 0,0",))
def dsrs(repl: Shell, text: str) -> None:
    """The data structure registers of PEs, decoded."""
    machine = repl.debugger.machine
    _each(
        repl,
        text,
        lambda x, y: [f"{d.name}: {d.text}" for d in query.dsrs(machine, x, y)] or ["the program uses no DSRs"],
    )


@command(
    "list", "[PLACE]", group="Looking at PEs", complete=("pe",), aliases=("l",), examples=("list 1,0", "list 0:4,0")
)
def list_(repl: Shell, text: str) -> None:
    """The source around the place where PEs stand, or where their running operation was started.
    PEs at the same place are put together."""
    machine = repl.debugger.machine
    where = arguments.region(machine, repl.place_or(text))
    if where[2:] == (1, 1):
        repl.place = where[:2]
    stands: dict[tuple[str, int], Any] = {}

    def describe(x: int, y: int) -> Any:
        view = query.pe_view(machine, x, y)
        if view is None:
            return "no code"
        span = view.span or next((op.span for op in view.operations if op.span is not None), None)
        if span is None:
            return "idle: it stands nowhere in the source"
        key = span.file.path, span.line_col()[0]
        stands[key] = span
        return key

    for group in shown(repl, query.grouped(arguments.pes(where), describe)):
        if isinstance(group.what, str):
            repl.say(f"{query.places(group.pes)}: {group.what}")
            continue
        span, line = stands[group.what], group.what[1]
        repl.say(f"{names.place(span)} on {query.places(group.pes)}")
        total = len(span.file.line_starts())
        for n in range(max(1, line - 4), min(total, line + 4) + 1):
            repl.say(
                f"{'->' if n == line else '  '} {n:>4}  {span.file.line(n)}".rstrip(), "bold" if n == line else None
            )


@command(
    "where",
    "[X,Y]",
    group="Looking at PEs",
    complete=("pe",),
    aliases=("bt", "backtrace"),
    examples=("where 1,0", "bt"),
)
def where(repl: Shell, text: str) -> None:
    """Where a PE is: the functions that are under way, innermost first, and the task that they belong to."""
    machine = repl.debugger.machine
    x, y, w, h = arguments.region(machine, repl.place_or(text))
    if w * h != 1:
        raise mistake("where follows one PE", help="where X,Y")
    repl.place = (x, y)
    frames = query.frames(machine, x, y)
    if not frames:
        repl.say(f"PE {x},{y}: {'idle' if query.pe_view(machine, x, y) is not None else 'no code'}")
    for number, (name, span) in enumerate(frames):
        repl.say(f"#{number} {name} at {names.place(span)}: {names.source_line(span)}".rstrip(": "))


@command(
    "display",
    "[EXPRESSION [@ PLACE] | off]",
    group="Looking at PEs",
    complete=("symbol", "off", "pe"),
    examples=("display data[3] @ 1,0", "display", "display off"),
)
def display(repl: Shell, text: str) -> None:
    """Print an expression whenever a run stops. Without one: list them; `off` ends it."""
    if text == "off":
        repl.displays.clear()
    elif text:
        expressions.parse(arguments.split_place(text)[0])
        repl.displays.append(text)
        repl.execute(f"print {text}")
    else:
        for expression in repl.displays:
            repl.say(expression)


@command(
    "print",
    "EXPRESSION [@ PLACE]",
    group="Looking at PEs",
    complete=("symbol", "pe"),
    aliases=("p",),
    examples=("print data[3] + 1 @ 1,0", "print n < 4 @ all", "p 1,0"),
)
def print_(repl: Shell, text: str) -> None:
    """The value of an expression on PEs: global variables, literals, indices, arithmetic, comparisons.
    Integers are exact (they do not wrap around); floats are computed in double precision. Of a place: as `pe`.
    """
    if not text.strip() or _PLACE.fullmatch(text.strip()):
        pe(repl, text)
        return
    body, place = arguments.split_place(text)
    node = expressions.parse(body)
    machine = repl.debugger.machine

    def describe(x: int, y: int) -> list[str]:
        value = expressions.evaluate(machine, x, y, node)
        return [values.array_text(value) if hasattr(value, "ndim") else values.scalar_text(value)]

    _each(repl, place or "", describe)
