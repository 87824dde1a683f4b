"""Pictures of a run as SVG: a still one (PEs at work, load of the links, a deadlock's chain), and one that moves (the same over
time, with wavelets on their way). Plain SVG with its own colors for light and dark, so that any page can show it as an image.
"""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from meshlang.fabric.recording import EXTRA

from .flows import wavelets
from .model import KIND
from .overview import ended, frames_of, over_time

if TYPE_CHECKING:
    from .model import Trace

SIDE = 640  # pixels of the longer side of the mesh
MOST_CELL = 90
HEAD = 30  # above the mesh
FOOT = 30  # below
EDGE = 14  # beside
SECONDS = 12  # that a moving picture takes
STEPS = 60  # different shades of a PE in that time
MOST_WAVELETS = 500  # that are shown moving, spread evenly over the run
STEP = ((0, -1), (0, 1), (1, 0), (-1, 0))
STYLE = """
text{font:13px system-ui,sans-serif;fill:#17202a}.q{fill:#5b6876}.e{fill:#e4e9ef}.b{fill:#1f6fb4}.l{stroke:#44525f;fill:#44525f}
.w{stroke:#c92a2a;fill:#c92a2a}.x{stroke:#c92a2a;fill:none;stroke-width:2}.d{stroke:#fff;stroke-width:.8}.p{fill:#fff}
@media(prefers-color-scheme:dark){text{fill:#e4e9ee}.q{fill:#9aa7b4}.e{fill:#242d37}.b{fill:#4fb0e8}.l{stroke:#a9b6c3;fill:#a9b6c3}
.w{stroke:#ff6b6b;fill:#ff6b6b}.x{stroke:#ff6b6b}.d{stroke:#141a21}.p{fill:#141a21}}
"""


def write_svg(trace: Trace, file: BinaryIO) -> None:
    mesh = _Mesh(trace)
    data = over_time(trace, 1)
    span = int(data["edges"][-1] - data["edges"][0])
    share = _compute(data)["total"] / max(1, span)
    body = [*mesh.cells(lambda cell: f' fill-opacity="{share[cell]:.2f}"'), *_links(mesh, data["links"]["total"])]
    end = ended(trace)
    if end is not None:
        body += _waits(mesh, end)
    said = f"{span:,} cycles; blue: main thread at work ({100 * share.sum() / mesh.traced:.0f} % in the mean); arrows: wavelets"
    file.write(
        mesh.document(
            trace,
            said if end is None else end["title"].partition(": nothing")[0] + "; arrows: who waits for whom",
            body,
        ).encode()
    )


def write_animated_svg(trace: Trace, file: BinaryIO) -> None:
    mesh = _Mesh(trace)
    data = over_time(trace, frames_of(trace, STEPS))
    edges = data["edges"]
    first, span = int(edges[0]), int(edges[-1] - edges[0])
    busy = _compute(data)
    frames = busy["frames"] / 255 * busy["top"] / 100

    def shades(cell: int) -> str:
        return _animate("fill-opacity", [f"{v:.2g}" for v in frames[:, cell]], more=' calcMode="discrete"')

    body = [*mesh.cells(lambda cell: "", shades)]
    dots, shown, there_are = _moving(trace, mesh, first, span)
    body += dots
    part = "wavelets" if shown == there_are else f"{shown:,} of {there_are:,} wavelets"
    said = f"{span:,} cycles in {SECONDS} seconds; blue: main thread at work; dots: {part}"
    file.write(mesh.document(trace, said, body).encode())


def _compute(data: dict[str, Any]) -> dict[str, Any]:
    """How much of the time each PE's main thread was at work."""
    return next(m for m in data["metrics"] if m["key"] == "compute")


def _animate(what: str, values: list[str], times: list[str] | None = None, more: str = "") -> str:
    keys = f' keyTimes="{";".join(times)}"' if times else ""
    return (
        f'<animate attributeName="{what}" dur="{SECONDS}s" repeatCount="indefinite" '
        f'values="{";".join(values)}"{keys}{more}/>'
    )


class _Mesh:
    """Where PEs stand in the picture, in pixels."""

    def __init__(self, trace: Trace):
        self.x0, self.y0, self.w, self.h = trace.box
        self.size = min(MOST_CELL, SIDE / max(self.w, self.h))
        self.here = np.flatnonzero(trace.of_box(trace.mask.ravel()))
        self.traced = len(self.here)
        self.width = max(560.0, self.w * self.size + 2 * EDGE)
        self.left = (self.width - self.w * self.size) / 2

    def middle(self, cell: int) -> tuple[float, float]:
        y, x = divmod(int(cell), self.w)
        return self.left + (x + 0.5) * self.size, HEAD + (y + 0.5) * self.size

    def cell(self, place: tuple[int, int]) -> int | None:
        x, y = place[0] - self.x0, place[1] - self.y0
        return y * self.w + x if 0 <= x < self.w and 0 <= y < self.h else None

    def cells(self, shade: Any, inside: Any = lambda cell: "") -> Iterator[str]:
        a = self.size * (0.62 if self.size >= 16 else 0.94)
        for cell in self.here.tolist():
            x, y = self.middle(cell)
            box = f'x="{x - a / 2:.1f}" y="{y - a / 2:.1f}" width="{a:.1f}" height="{a:.1f}" rx="{a * 0.06:.1f}"'
            yield f'<rect class="e" {box}/><rect class="b" {box}{shade(cell)}>{inside(cell)}</rect>'

    def document(self, trace: Trace, said: str, body: list[str]) -> str:
        height = HEAD + self.h * self.size + FOOT
        name = PurePath(trace.program.source).parent.name or trace.program.source
        head = f"{name}, {trace.width} x {trace.height} PEs, {trace.profile}"
        lines = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width:.0f} {height:.0f}" role="img">',
            f"<title>{escape(head)}: {escape(said)}</title><style>{STYLE}</style>",
            f'<text x="{self.width / 2:.0f}" y="19" text-anchor="middle">{escape(head)}</text>',
            *body,
            f'<text class="q" x="{self.width / 2:.0f}" y="{height - 9:.0f}" text-anchor="middle" '
            f'textLength="{min(self.width - 16, len(said) * 6.4):.0f}" lengthAdjust="spacingAndGlyphs">{escape(said)}</text>',
            "</svg>",
        ]
        return "\n".join(lines) + "\n"


def _arrow(kind: str, x: float, y: float, dx: float, dy: float, width: float) -> str:
    """A line with a head, from (x, y)."""
    long = float(np.hypot(dx, dy))
    ux, uy = dx / long, dy / long
    head = min(long * 0.6, 3 + 1.6 * width)
    bx, by = x + dx - ux * head, y + dy - uy * head
    wing = head * 0.55
    return (
        f'<path class="{kind}" stroke-width="{width:.1f}" d="M{x:.1f} {y:.1f}L{bx:.1f} {by:.1f}"/>'
        f'<path class="{kind}" stroke="none" d="M{x + dx:.1f} {y + dy:.1f}L{bx - uy * wing:.1f} {by + ux * wing:.1f}'
        f'L{bx + uy * wing:.1f} {by - ux * wing:.1f}Z"/>'
    )


def _links(mesh: _Mesh, wavelets: np.ndarray) -> list[str]:
    """An arrow for each link that wavelets went over, as wide as its load. wavelets: to N, S, E, W of each cell."""
    if mesh.size < 16:
        return []
    load = wavelets.reshape(4, -1)
    top = max(1, int(load.max()))
    out = []
    for cell in mesh.here.tolist():
        x, y = mesh.middle(cell)
        for d, (dx, dy) in enumerate(STEP):
            if load[d, cell]:
                s = mesh.size
                at = (x + dx * s * 0.35 - dy * s * 0.1, y + dy * s * 0.35 + dx * s * 0.1)
                out.append(_arrow("l", *at, dx * s * 0.3, dy * s * 0.3, 0.8 + load[d, cell] / top * s * 0.07))
    return out


def _waits(mesh: _Mesh, end: dict[str, Any]) -> list[str]:
    """Who waits for whom: a box around each PE that waits, numbered arrows along the walk to the root."""
    out = []
    s = mesh.size
    for wait in end["waits"]:
        for cell in [c for place in wait["pes"] if (c := mesh.cell(place)) is not None]:
            x, y = mesh.middle(cell)
            out.append(
                f'<rect class="x" x="{x - s * 0.4:.1f}" y="{y - s * 0.4:.1f}" width="{s * 0.8:.1f}" height="{s * 0.8:.1f}"/>'
            )
        for n, (a, b) in enumerate(wait["chain"], 1):
            here, there = mesh.cell(a), mesh.cell(b)
            if here is None or there is None:
                continue
            (ax, ay), (bx, by) = mesh.middle(here), mesh.middle(there)
            long = float(np.hypot(bx - ax, by - ay))
            ux, uy = (bx - ax) / long, (by - ay) / long
            o, gap = s * 0.16, s * 0.22
            at = (ax + ux * gap - uy * o, ay + uy * gap + ux * o)
            out.append(_arrow("w", *at, bx - ax - 2 * ux * gap, by - ay - 2 * uy * gap, max(1.5, min(4, s * 0.05))))
            if s >= 24:
                tx, ty = (ax + bx) / 2 - uy * o * 2.4, (ay + by) / 2 + ux * o * 2.4
                out.append(
                    f'<text class="w" stroke="none" x="{tx:.1f}" y="{ty + 4:.1f}" text-anchor="middle">{n}</text>'
                )
    return out


def _moving(trace: Trace, mesh: _Mesh, first: int, span: int) -> tuple[list[str], int, int]:
    """A dot for each wavelet that moves over links; how many are shown, and how many there are. A wavelet that is copied to several sides
    is a dot for each link."""
    ev = trace.events
    rows = np.flatnonzero((ev["kind"] == KIND["move"]) & trace.mask.ravel()[ev["pe"]])
    number = wavelets(trace)[rows]
    sides = EXTRA.sides.get(ev["extra"][rows].astype(np.int64))
    paths: dict[int, list[tuple[int, int, int]]] = {}
    for n, cycle, pe, mask in zip(number.tolist(), ev["cycle"][rows].tolist(), ev["pe"][rows].tolist(), sides.tolist()):
        x, y = trace.xy(pe)
        cell = mesh.cell((x, y))
        for d in range(4):
            if mask >> d & 1 and cell is not None:
                paths.setdefault(n, []).append((cycle, cell, d))
    chosen = list(paths)
    if len(chosen) > MOST_WAVELETS:
        chosen = [chosen[i] for i in np.linspace(0, len(chosen) - 1, MOST_WAVELETS).astype(int)]
    color_of = dict(zip(number.tolist(), ev["color"][rows].tolist()))
    dots = [dot for n in chosen for dot in _dots(mesh, paths[n], color_of[n], first, span, trace.hop)]
    return dots, len(chosen), len(paths)


def _dots(mesh: _Mesh, path: list[tuple[int, int, int]], color: int, first: int, span: int, hop: int) -> Iterator[str]:
    """The dots of one wavelet: one for a path without branches, else one a link."""
    cells = [cell for _, cell, _ in path]
    steps = [path] if len(set(cells)) == len(cells) else [[hop_] for hop_ in path]
    r = max(2.0, min(6.0, mesh.size * 0.07))
    least = 0.012  # of the time: a hop of one cycle would not be seen
    for part in steps:
        times, xs, ys = ["0"], ["-9"], ["-9"]

        def at(time: float, x: float, y: float, times=times, xs=xs, ys=ys) -> None:
            times.append(f"{min(max(time, float(times[-1])), 1.0):.4f}")
            xs.append(f"{x:.1f}")
            ys.append(f"{y:.1f}")

        for i, (cycle, cell, d) in enumerate(part):
            start = (cycle - first) / span
            end = max((cycle + hop - first) / span, start + least)
            if i + 1 < len(part):
                end = max(start, min(end, (part[i + 1][0] - first) / span))
            x, y = mesh.middle(cell)
            if i == 0:
                at(start, -9, -9)
            at(start, x, y)
            at(end, x + STEP[d][0] * mesh.size, y + STEP[d][1] * mesh.size)
        at(float(times[-1]), -9, -9)
        at(1, -9, -9)
        fill = f"hsl({(color * 137 + 20) % 360} 75% 50%)"
        yield (
            f'<circle class="d" r="{r:.1f}" cx="-9" cy="-9" fill="{fill}">'
            f"{_animate('cx', xs, times)}{_animate('cy', ys, times)}</circle>"
        )
