"""A report as text: rich on a terminal, plain elsewhere. Everything shown is in the dictionary of summary.py."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from meshlang.inspect.names import counted as _count

from .summary import PARTS
from .wafer import FULL, LETTERS

if TYPE_CHECKING:
    from rich.console import Console

PLAIN_WIDTH = 120  # of text that goes to a file
SHOWN_PHASES, SHOWN_TASKS, SHOWN_MAPS, SHOWN_VARIABLES = 12, 8, 4, 12
_MEANING = {
    "P": "the PEs compute, or are done before others; more PEs, a better division or quicker code would help",
    "L": "the PEs move wavelets or wait; shorter chains, or more work beside them, would help",
    "M": "hardly any memory is left; smaller tiles, on more PEs, would help",
    "R": "{used} of {limit} {scarce} are taken; streams that share them would help",
}
_SIDE = {"NORTH": "N", "SOUTH": "S", "EAST": "E", "WEST": "W"}


def _stdout() -> Console:
    import sys

    from rich.console import Console

    class Stdout(Console):
        def on_broken_pipe(self) -> None:
            """A reader that goes away (head, less) is no error here; rich would end the process with 1."""
            raise BrokenPipeError

    return Stdout(width=None if sys.stdout.isatty() else PLAIN_WIDTH, highlight=False)


def render(reports: Sequence[dict[str, Any]], number: int | None = None, console: Console | None = None) -> None:
    """One fabric in full; several as a table, or number `number` (from 1 on) in full."""
    if console is None:
        console = _stdout()
    if number is None and len(reports) > 1:
        _several(console, reports)
    else:
        _full(console, reports[(number or 1) - 1])


def _say(console: Console, text: str = "", style: str = "") -> None:
    console.print(text, style=style or None, markup=False, soft_wrap=True)


def _table(console: Console, header: Sequence[str], rows: Iterable[Sequence[str]], left: Sequence[int] = (0,)) -> None:
    """A table; the columns `left` hold text, the others numbers. A row that begins with a space is a detail of the one
    above."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for i, name in enumerate(header):
        table.add_column(name, justify="left" if i in left else "right", no_wrap=True)
    from rich.text import Text

    for row in rows:
        table.add_row(*[Text(cell) for cell in row], style="dim" if row[0].startswith(" ") else None)
    with console.capture() as captured:
        console.print(table)
    # rich fills lines with spaces up to the table's width: of no use in a file
    console.file.write(
        "".join(
            f"  {line.rstrip()}\n" if not console.is_terminal else f"  {line}\n" for line in captured.get().splitlines()
        )
    )


def _percent(share: float) -> str:
    return f"{100 * share:.1f}%"


# ---------------------------------------------------------------- one fabric


def _full(console: Console, r: dict[str, Any]) -> None:
    _say(
        console,
        f"{r['program']}: {r['width']} x {r['height']} rectangle, {_count(r['pes'], 'PE')} with code, "
        f"{_count(r['total']['cycles'])} cycles ({r['profile']} profile)",
        "bold",
    )
    if r["ran"]:
        _cycles(console, r)
        _links(console, r)
    else:
        _say(console, "\nno task ran: nothing was launched that sends or computes")
    _colors(console, r)
    _memory(console, r)
    _plmr(console, r)


def _grouped(phases: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Phases of the same name together, in the order of the first of each."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for p in phases:
        groups.setdefault(p["name"], []).append(p)
    return list(groups.values())


def _cycles(console: Console, r: dict[str, Any]) -> None:
    _say(console, "\nCycles, as the mean over the PEs with code; tasks: cycles on a PE", "bold")
    rows = []
    groups = _grouped(r["phases"])
    for group in groups[:SHOWN_PHASES]:
        cycles = sum(p["cycles"] for p in group)
        name = group[0]["name"] + (f" ({len(group)} times)" if len(group) > 1 else "")
        rows.append((name, _count(cycles), *(_percent(sum(p[part] for p in group) / cycles) for part in PARTS), ""))
        tasks: dict[str, list[float]] = {}
        for p in group:
            for t in p["tasks"]:
                row = tasks.setdefault(t["name"], [0, 0, 0])
                for i, key in enumerate(("starts", "compute", "waiting")):
                    row[i] += t[key]
        most = sorted(tasks.items(), key=lambda item: -item[1][1] - item[1][2])
        for name, (starts, compute, waiting) in most[:SHOWN_TASKS]:
            rows.append((f"  {name}", "", _count(compute), "", _count(waiting), "", "", _count(starts)))
        if len(most) > SHOWN_TASKS:
            rows.append((f"  and {_count(len(most) - SHOWN_TASKS, 'more task')}", *[""] * 7))
    if len(groups) > SHOWN_PHASES:
        rows.append((f"  and {_count(len(groups) - SHOWN_PHASES, 'more command')}", *[""] * 7))
    total = r["total"]
    rows.append(("all", _count(total["cycles"]), *(_percent(total[part] / total["cycles"]) for part in PARTS), ""))
    _table(console, ("command of the host", "cycles", *PARTS, "starts"), rows)
    work = total["work"]
    _say(
        console,
        f"  memory: {_count(work['bytes_read'], 'byte')} read, {_count(work['bytes_written'])} written; "
        f"{_count(work['flops'], 'floating-point operation')}",
    )
    moving, exposed = total["moving"], total["communication"]
    if moving:
        _say(
            console,
            f"  wavelets moved in {_percent(moving / total['cycles'])} of the cycles, {_percent(1 - exposed / moving)} of these beside "
            f"instructions; vector operations in memory were {_percent(total['vector'] / total['compute'] if total['compute'] else 0)} "
            "of compute",
        )


def _links(console: Console, r: dict[str, Any]) -> None:
    _say(console, "\nChains and links", "bold")
    rows = []
    for group in _grouped(r["phases"]):
        p = max(group, key=lambda p: p["links"]["wavelets"])
        if not p["links"]["wavelets"] and not p["chain"]["messages"]:
            continue
        chain, links = p["chain"], p["links"]
        busiest = links["busiest"]
        where = (
            f"{busiest['pe'][0]},{busiest['pe'][1]} {_SIDE[busiest['side']]}: {_count(busiest['wavelets'])}"
            if busiest
            else "-"
        )
        least = f"{_count(chain['cycles'])} ({_percent(chain['cycles'] / p['cycles'])})"
        name = p["name"] + (f" (largest of {len(group)})" if len(group) > 1 else "")
        rows.append(
            (
                name,
                _count(chain["hops"]),
                _count(chain["messages"]),
                least,
                _count(links["wavelets"]),
                where,
                _percent(busiest["utilisation"]) if busiest else "-",
                _percent(links["mean"]),
            )
        )
    if rows:
        _table(
            console,
            (
                "command of the host",
                "hops",
                "messages",
                "cycles at least",
                "link traversals",
                "busiest link",
                "used",
                "mean",
            ),
            rows[:SHOWN_PHASES],
        )
    else:
        _say(console, "  no wavelet moved")


def _colors(console: Console, r: dict[str, Any]) -> None:
    _say(console, "\nColors and queues", "bold")
    if r["colors"]:
        _table(
            console,
            ("color", "routers", "wavelets", "link traversals", "longest way"),
            [
                (
                    str(c["color"]),
                    _count(c["pes"]),
                    _count(c["sent"] + c["from_host"]),
                    _count(c["hops"]),
                    _count(c["longest"], "hop") if c["sent"] + c["from_host"] else "unused",
                )
                for c in r["colors"]
            ],
        )
    at = r["colors_per_pe"]
    _say(
        console, f"  colors per PE: {at['max']} at most (PE {at['at'][0]},{at['at'][1]}), {at['mean']:.1f} in the mean"
    )
    _say(
        console,
        "  queues per PE: "
        + "; ".join(f"{q['inputs']} in and {q['outputs']} out on {_count(q['pes'], 'PE')}" for q in r["queues"][:4]),
    )


def _memory(console: Console, r: dict[str, Any]) -> None:
    _say(console, "\nMemory per PE, bytes (* estimated)", "bold")
    for m in r["memory"][:SHOWN_MAPS]:
        names = m["tile_programs"]
        who = names[0] + (f" and {_count(len(names) - 1, 'more tile program')}" if len(names) > 1 else "")
        rows = [
            (v["name"], str(v["address"]), _count(v["size"]), v["type"] + (", constant" if v["constant"] else ""))
            for v in sorted(m["variables"], key=lambda v: -v["size"])[:SHOWN_VARIABLES]
        ]
        left = len(m["variables"]) - len(rows)
        if left:
            shown = sum(v["size"] for v in sorted(m["variables"], key=lambda v: -v["size"])[:SHOWN_VARIABLES])
            rows.append((f"{left} smaller ones", "", _count(sum(v["size"] for v in m["variables"]) - shown), ""))
        if m["between"]:
            rows.append(("between variables", "", _count(m["between"]), "alignment"))
        rows.append(("code*", "", _count(m["code"]), f"{_count(m['instructions'])} instructions"))
        rows.append(("stack", "", "0", f"locals are in {_count(m['registers'])} registers, or static"))
        if m["system"]:
            rows.append(("memcpy*", "", _count(m["system"]), "system code and buffers"))
        rows.append(("used*", "", _count(m["used"]), f"{_percent(m['used'] / m['limit'])} of {_count(m['limit'])}"))
        _say(console, f"  {who}, on {_count(m['pes'], 'PE')}")
        _table(console, ("  variable", "address", "bytes", ""), [("  " + row[0], *row[1:]) for row in rows], (0, 3))
    rest = r["memory"][SHOWN_MAPS:]
    if rest:
        programs = sum(len(m["tile_programs"]) for m in rest)
        _say(
            console,
            f"  and {_count(len(rest), 'more map')} of {_count(programs, 'tile program')}, up to {_count(rest[0]['used'])} bytes",
        )


def _plmr(console: Console, r: dict[str, Any]) -> None:
    p = r["plmr"]
    a, machine = p["letters"], p["machine"]
    _say(console, f"\nPLMR, against a {machine.upper()[:3]}-{machine[3:]}", "bold")
    P, L, M, R = a["P"], a["L"], a["M"], a["R"]
    ran = r["ran"]
    rows = [
        (
            "P",
            LETTERS["P"],
            _percent(P["share"]) if ran else "-",
            f"of the cycles: computing {_percent(P['compute'])}, done before others "
            f"{_percent(P['done'])}; {_count(P['pes'])} of {_count(P['wafer_pes'])} PEs",
        ),
        (
            "L",
            LETTERS["L"],
            _percent(L["share"]) if ran else "-",
            f"of the cycles: moving wavelets {_percent(L['communication'])}, stalled "
            f"{_percent(L['stalled'])}, idle {_percent(L['idle'])}",
        ),
        (
            "M",
            LETTERS["M"],
            _percent(M["share"]),
            f"{_count(M['used'])} of {_count(M['limit'])} bytes on the fullest PE",
        ),
        (
            "R",
            LETTERS["R"],
            _percent(R["share"]),
            ", ".join(f"{v['used']} of {v['limit']} {name}" for name, v in R["all"].items()),
        ),
    ]
    _table(console, ("", "", "share", ""), rows, (0, 1, 3))
    for text in p["exceeded"]:
        _say(console, f"  does not fit this machine: {text}", "bold red")
    first = p["bottleneck"]
    judged = f"{first} ({LETTERS[first]}), {_percent(a[first]['share'])}"
    if ran or a[first]["share"] >= FULL:
        _say(console, f"  bottleneck: {judged}: {_MEANING[first].format_map(R)}", "bold")
    else:  # no time has passed to be divided between P and L, and no limit is near
        _say(console, f"  bottleneck: none, as nothing ran; the nearest limit is {judged}", "bold")
    big = p["whole_wafer"]
    if big is not None:
        way, chain = big["longest"], big["chain"]
        if big["chain_grows"] is None:
            about = (
                f"the longest chain ({_count(chain['hops'], 'hop')} in {_count(chain['messages'], 'message')}) may cross the mesh from neighbour "
                "to neighbour, or go to and fro: --grow NAME=SIZE,SIZE compares two sizes"
            )
        else:
            about = (
                f"the longest chain {'grows to' if big['chain_grows'] else 'stays at'} {_count(chain['hops'], 'hop')}, "
                f"{_count(chain['cycles'], 'cycle')}"
            )
        _say(
            console,
            f"  a guess for {_count(big['width'])} x {_count(big['height'])} PEs, the most in this shape, with the same tiles: the longest way "
            f"{'grows to' if big['longest_grows'] else 'stays at'} {_count(way, 'hop')}, {about}",
        )


def render_growth(titles: Sequence[str], rows: Sequence[dict[str, Any]], console: Console | None = None) -> None:
    """What `wafer.growth` has found, a column for each run."""
    if console is None:
        console = _stdout()
    _say(console, "")
    _say(console, "growth with the mesh, measured", "bold")
    words = {
        "not": "does not grow",
        "less": "grows less",
        "in proportion": "grows in proportion",
        "more": "grows more",
        None: "",
    }
    _table(
        console,
        ("", *titles, ""),
        [(r["what"], *(_count(v) for v in r["values"]), words[r["grows"]]) for r in rows],
        (0, len(titles) + 1),
    )


# ---------------------------------------------------------------- several


def _several(console: Console, reports: Sequence[dict[str, Any]]) -> None:
    _say(console, f"{len(reports)} fabrics; --fabric N shows one in full", "bold")
    rows = []
    for i, r in enumerate(reports, 1):
        total, letters = r["total"], r["plmr"]["letters"]
        cycles = max(1, total["cycles"])
        chain = max((p["chain"] for p in r["phases"]), key=lambda c: c["cycles"], default={"hops": 0, "messages": 0})
        busiest = total["links"]["busiest"]
        rows.append(
            (
                str(i),
                f"{r['width']} x {r['height']}",
                _count(total["cycles"]),
                _percent(total["compute"] / cycles),
                _percent(total["communication"] / cycles),
                _percent(sum(total[part] for part in PARTS[2:]) / cycles),
                f"{_count(chain['hops'])} in {_count(chain['messages'])}",
                _percent(busiest["utilisation"]) if busiest else "-",
                str(r["colors_per_pe"]["max"]),
                _count(letters["M"]["used"]),
                f"{r['plmr']['bottleneck']} {_percent(letters[r['plmr']['bottleneck']]['share'])}",
            )
        )
    _table(
        console,
        (
            "",
            "PEs",
            "cycles",
            "compute",
            "communication",
            "waiting",
            "chain: hops",
            "busiest link",
            "colors",
            "memory*",
            "bottleneck",
        ),
        rows,
    )
