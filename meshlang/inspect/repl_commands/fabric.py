"""router, color, route, wavelets, heat: the network, and the fabric as a whole."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from meshlang.inspect import arguments, draw, names, query, routes
from meshlang.inspect.mistakes import mistake
from meshlang.inspect.registry import command
from meshlang.inspect.steps import step_text

from .pes import _each, shown, wavelet_text

if TYPE_CHECKING:
    from meshlang.inspect.shell import Shell

HEAT = ("busy", "sent", "received", "tasks", "stalled", "memory")


@command("router", "[PLACE]", group="Looking at the fabric", complete=("pe",), examples=("router 0,0", "router all"))
def router(repl: Shell, text: str) -> None:
    """The routers of PEs: every color with its route as it is now, switch position, and the wavelets it holds."""
    machine = repl.debugger.machine

    def describe(x: int, y: int) -> list[str]:
        lines = []
        for color in names.colors_of(machine):
            view = query.channel(machine, color, x, y)
            if view is not None:
                lines += channel_lines(view)
        return lines or ["no colors"]

    _each(repl, text, describe)


def channel_lines(view: query.ChannelView) -> list[str]:
    queue = f", input queue {view.queue}" if view.queue is not None and "RAMP" in view.tx else ""
    held = f", holds {', '.join(wavelet_text(w) for w in view.contents)}" if view.contents else ""
    said = [
        *(["in teardown"] if view.teardown else []),
        *([f"filter: {view.kept} wavelets kept from the PE"] if view.filtered else []),
        *(["color swap"] if view.swaps else []),
    ]
    flags = f" ({'; '.join(said)})" if said else ""
    lines = [f"color {view.color}: {query.route_text(view)}{queue}{flags}{held}"]
    if view.position is not None:
        lines.append(f"  switch at position {view.position} of {'; '.join(view.positions)}")
    return lines


@command(
    "color",
    "[COLOR [@ PLACE]]",
    group="Looking at the fabric",
    complete=("color", "pe"),
    aliases=("colors",),
    examples=("color", "color 3", "color 3 @ :,0"),
)
def color(repl: Shell, text: str) -> None:
    """A color over the fabric: its configurations and where they are, and whether routers agree.
    Without one: all colors in short."""
    machine = repl.debugger.machine
    if not text:
        fabric = repl.debugger.program.fabric
        for c in names.colors_of(machine):
            grid = machine.state.channels[c]
            where = query.places([(int(p) % machine.width, int(p) // machine.width) for p in np.flatnonzero(grid >= 0)])
            host = f", from the host ({fabric.host_in[c]})" if c in fabric.host_in else ""
            host += f", to the host ({fabric.host_out[c]})" if c in fabric.host_out else ""
            repl.say(f"color {c}: {where}{host}")
        if not names.colors_of(machine):
            repl.say("the program has no colors")
        return
    body, place = arguments.split_place(text)
    c = arguments.color(machine, body)
    pes = arguments.pes(arguments.region(machine, place or "all"))

    def describe(x: int, y: int) -> tuple[str, ...]:
        view = query.channel(machine, c, x, y)
        return tuple(channel_lines(view)) if view is not None else ("no route",)

    for group in shown(repl, query.grouped(pes, describe)):
        repl.say(f"{query.places(group.pes)}: {group.what[0]}")
        for line in group.what[1:]:
            repl.say(f"  {line}")
    broken = routes.breaks(machine, c, pes)
    for wrong in broken[:8]:
        repl.say(f"broken: {step_text(wrong)}", "red")
    if len(broken) > 8:
        repl.say(f"and {names.counted(len(broken) - 8, 'more broken link')}", "red")


@command(
    "route",
    "COLOR [@ PLACE]",
    group="Looking at the fabric",
    complete=("color", "pe"),
    examples=("route 0", "route 2 @ 0:16,0:4"),
)
def route(repl: Shell, text: str) -> None:
    """Draw a color's path over the fabric, with routes as they are now.
    S sends (from the ramp), D delivers (to the ramp), B both, + passes on, . has no route; > < ^ v are links, = and |
    links in both directions, x a link whose other end does not take it; a number counts the wavelets in the router.
    """
    body, place = arguments.split_place(text)
    machine = repl.debugger.machine
    if not body:
        raise mistake(
            "which color?", help=f"colors of the program: {', '.join(map(str, names.colors_of(machine))) or 'none'}"
        )
    c = arguments.color(machine, body)
    where = arguments.region(machine, place or "all")
    for line in draw.route(machine, c, where, repl.width):
        repl.say(line)
    for wrong in routes.breaks(machine, c, arguments.pes(where))[:8]:
        repl.say(f"broken: {step_text(wrong)}", "red")


@command(
    "wavelets", "[PLACE]", group="Looking at the fabric", complete=("pe",), examples=("wavelets", "wavelets 0:4,0:4")
)
def wavelets(repl: Shell, text: str) -> None:
    """Every wavelet in routers and queues of a place (all PEs unless said otherwise), by color."""
    machine = repl.debugger.machine
    pes = arguments.pes(arguments.region(machine, text or "all"))
    found: dict[tuple, int] = {}
    for x, y in pes:
        for c in names.colors_of(machine):
            view = query.channel(machine, c, x, y)
            if view is not None and view.contents:
                found[c, f"router of PE {x},{y}", ", ".join(wavelet_text(w) for w in view.contents)] = len(
                    view.contents
                )
        for q in query.queues(machine, x, y):
            if q.contents:
                found[
                    -1 if q.color is None else q.color,
                    f"{q.name} of PE {x},{y}",
                    ", ".join(wavelet_text(w) for w in q.contents),
                ] = len(q.contents)
    for (c, where, held), _ in sorted(found.items(), key=lambda item: item[0][0])[:200]:
        repl.say(f"{f'color {c}' if c >= 0 else 'no color'}, {where}: {held}")
    total = sum(found.values())
    repl.say(
        f"{total} wavelet{'' if total == 1 else 's'} in {len(found)} place{'' if len(found) == 1 else 's'}"
        if found
        else "no wavelets anywhere"
    )


@command(
    "heat",
    "[busy|sent|received|tasks|stalled|memory] [@ PLACE]",
    group="Looking at the fabric",
    complete=(*HEAT, "pe"),
    examples=("heat", "heat sent", "heat busy @ 0:32,0:32"),
)
def heat(repl: Shell, text: str) -> None:
    """A figure over the mesh as a grid.
    Cycles busy, wavelets sent or received, tasks started, cycles since start not busy, memory. A digit is tenths of the
    largest value; a dot is zero. On a terminal the cells are coloured.
    """

    body, place = arguments.split_place(text)
    what = body or "busy"
    if what not in HEAT:
        raise mistake(f"heat of what? {what!r} is not known", help=f"one of {', '.join(HEAT)}")
    machine = repl.debugger.machine
    P = machine.pes
    columns = {"sent": "sent", "tasks": "tasks", "memory": "memsize"}
    if what in columns:
        values = P[columns[what]].copy()
    else:
        values = machine.received() if what == "received" else query.busy_cycles(machine)
    if what == "stalled":
        values = np.where(P["tasks"] > 0, machine.cycle - values, 0)
    x, y, w, h = arguments.region(machine, place or "all")
    grid = values.reshape(machine.height, machine.width)[y : y + h, x : x + w]
    unit = {
        "busy": "cycles busy",
        "stalled": "cycles not busy",
        "sent": "wavelets sent",
        "received": "wavelets received",
        "tasks": "tasks started",
        "memory": "bytes of memory",
    }[what]
    repl.say(f"{unit}: least {int(grid.min()):,}, mean {grid.mean():,.1f}, most {int(grid.max()):,}")
    draw.heat(repl, grid, (x, y))
