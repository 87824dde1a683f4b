"""The layout over the fabric: where regions stand, which colors are one, and the routes of each at every router.

A *net* is what gets one value: colors of one name, and colors that connect() joins (a route keeps its value from port
to port).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from meshlang.diag import Diagnostic, Diagnostics, Label, MeshlangError
from meshlang.ir.program import HOST, NORTH, RAMP, SOUTH, WEST
from meshlang.syntax.source import Span

from .color import Color
from .directions import names
from .region import CodeRegion, Positions

if TYPE_CHECKING:
    from .drawing import Drawing, Stream

MARGIN = 2  # free columns and rows beyond the regions, for routes and for the PEs of streams
STEPS = {NORTH: (0, -1), SOUTH: (0, 1), 2: (1, 0), WEST: (-1, 0)}


@dataclass(eq=False)
class Net:
    """Colors that share a value."""

    colors: list[Color]
    names: list[str]  # global names, in order of first mention
    value: int | None  # given by the script
    given: Color | None  # the color that gives it
    number: int = 0  # its place in Plan.nets
    route: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int32))  # [cells] number in Plan.routes, -1: none
    # [cells] the value means something to this PE
    present: np.ndarray = field(default_factory=lambda: np.zeros(0, bool))

    @property
    def name(self) -> str:
        return " = ".join(self.names)


class Plan:
    """Cells are numbered y * width + x."""

    def __init__(self, layout: Drawing, margin: int = MARGIN):
        self.layout, self.margin = layout, margin
        self.diagnostics = Diagnostics()
        self.regions: list[CodeRegion] = list(layout.regions)
        self.routes: list[Positions] = []
        # (net, route) -> where the script gives that net that route first
        self.places: dict[tuple[int, int], Span | None] = {}
        self._route_numbers: dict[Positions, int] = {}
        if not self.regions:
            raise MeshlangError(
                Diagnostic("MS0951", "the layout has no code regions", help="create one with create_code_region")
            )
        self._check_ports()
        self._extents()
        self._place_streams()
        self._join_nets()
        self.diagnostics.raise_if_errors()
        self._paint()
        self.diagnostics.raise_if_errors()

    def error(
        self,
        code: str,
        message: str,
        span: Span | None,
        labels: list[tuple[Span | None, str]] | None = None,
        help: str | None = None,
    ) -> None:
        self.diagnostics.add(
            Diagnostic(code, message, span, "error", [Label(s, t) for s, t in labels or [] if s is not None], [], help)
        )

    # ------------------------------------------------------------ places

    def cell(self, x: int, y: int) -> int:
        return y * self.width + x

    def coordinates(self, cell: int) -> tuple[int, int]:
        return int(cell) % self.width, int(cell) // self.width

    def step(self, cell: int, direction: int) -> int:
        """The neighbouring cell, -1 outside the fabric."""
        dx, dy = STEPS[direction]
        x, y = cell % self.width + dx, cell // self.width + dy
        return y * self.width + x if 0 <= x < self.width and 0 <= y < self.height else -1

    def cells_of(self, region: CodeRegion) -> np.ndarray:
        """[height, width] cells of a region."""
        x, y = region.origin
        return (np.arange(y, y + region.height)[:, None] * self.width + np.arange(x, x + region.width)[None, :]).astype(
            np.int64
        )

    def _check_ports(self) -> None:
        for region in self.regions:
            for port in region.ports:
                if port.peer is None:
                    kind = "output" if port.output else "input"
                    self.error(
                        "MS0959",
                        f"the {kind} port {port.name!r} of code region {region.name!r} is not connected",
                        port.span,
                        help=f"connect it with connect() or create_{kind}_stream()",
                    )
        self.diagnostics.raise_if_errors()

    def _extents(self) -> None:
        """The fabric: as large as needed. MS0950 regions outside of it or on top of each other."""
        limit_x, limit_y = self.layout.limits
        target = self.layout.platform.target.name
        right = bottom = 0
        rectangles = [(r.origin, r.width, r.height, f"code region {r.name!r}", r.placed) for r in self.regions]
        rectangles += [
            (s.location, 1, 1, f"the host's end of stream {s.name!r}", s.span)
            for s in self.layout.streams
            if s.location is not None
        ]
        for (x, y), w, h, what, span in rectangles:
            if x < 0 or y < 0 or x + w > limit_x or y + h > limit_y:
                place = f"({x}, {y})" if w == h == 1 else f"({x}, {y}) to ({x + w - 1}, {y + h - 1})"
                self.error(
                    "MS0950",
                    f"{what} is outside the fabric: {place}; {target} has the PEs (0, 0) to ({limit_x - 1}, {limit_y - 1})",
                    span,
                )
            right, bottom = max(right, x + w), max(bottom, y + h)
        self.diagnostics.raise_if_errors()
        self.width, self.height = min(right + self.margin, limit_x), min(bottom + self.margin, limit_y)
        self.owner = np.full((self.height, self.width), -1, np.int32)
        for i, region in enumerate(self.regions):
            self._claim(i, region)
        self.diagnostics.raise_if_errors()

    def _claim(self, number: int, region: CodeRegion) -> None:
        x, y = region.origin
        part = self.owner[y : y + region.height, x : x + region.width]
        taken = part[part >= 0]
        if len(taken):
            other = self.regions[int(taken[0])]
            j, i = map(int, np.argwhere(part == taken[0])[0])
            unplaced = [r.name for r in (other, region) if r.placed is r.span]
            self.error(
                "MS0950",
                f"code regions {other.name!r} and {region.name!r} overlap at PE ({x + i}, {y + j})",
                region.placed,
                [(other.placed, f"{other.name!r} is {other.width} x {other.height} at {other.origin}")],
                help=f"{unplaced[0]!r} is not placed, so it stands at (0, 0): call place(x, y)"
                if unplaced
                else "move one of them with place(x, y)",
            )
            return
        part[:] = number

    def _place_streams(self) -> None:
        """Give each stream with a buffer its PE: the one asked for, else the nearest free one at the western or eastern
        edge."""
        streams = [s for s in self.layout.streams if s.region is not None]
        for stream in sorted(streams, key=lambda s: s.location is None):
            assert stream.region is not None and stream.port is not None
            x, y = stream.location or self._free_edge_pe(stream)
            stream.region.origin, stream.region.placed = (x, y), stream.span
            self.regions.append(stream.region)
            self._claim(len(self.regions) - 1, stream.region)
        self.diagnostics.raise_if_errors()

    def _free_edge_pe(self, stream: Stream) -> tuple[int, int]:
        assert stream.port is not None
        port = stream.port.peer
        ox, oy = port.region.origin
        px, py = ox + port.pes[0][0], oy + port.pes[0][1]
        free = [(x, int(y)) for x in (0, self.width - 1) for y in np.flatnonzero(self.owner[:, x] < 0)]
        if not free:
            self.error(
                "MS0962",
                f"there is no free PE at an edge of the fabric for stream {stream.name!r}",
                stream.span,
                help="give it an io_loc",
            )
            self.diagnostics.raise_if_errors()
        return min(free, key=lambda p: (abs(p[0] - px) + abs(p[1] - py), p))

    # ------------------------------------------------------------ nets

    def _mentions(self) -> list[Color]:
        """Every color the layout uses."""
        found: list[Color] = []
        for region in self.regions:
            for p in region.params.values():
                found += p.colors
            found += [p.color for p in region.paintings.values()]
        return found + [s.color for s in self.layout.streams]

    def _join_nets(self) -> None:
        parent: dict[str, str] = {}

        def root(name: str) -> str:
            while parent[name] != name:
                parent[name] = name = parent[parent[name]]
            return name

        colors: dict[str, list[Color]] = {}
        for color in self._mentions():
            name = color.get_global_name()
            parent.setdefault(name, name)
            colors.setdefault(name, []).append(color)
        for tx, rx, span in self.layout.connections:
            del span
            parent[root(rx.color.get_global_name())] = root(tx.color.get_global_name())
        self.nets: list[Net] = []
        self.net_of: dict[str, Net] = {}
        by_root: dict[str, Net] = {}
        for name, mine in colors.items():
            net = by_root.get(root(name))
            if net is None:
                net = by_root[root(name)] = Net([], [], None, None, len(self.nets))
                self.nets.append(net)
            self.net_of[name] = net
            net.names.append(name)
            for color in mine:
                if color in net.colors:
                    continue
                net.colors.append(color)
                value = color._value
                if value is None:
                    continue
                if net.given is not None and net.value != value:
                    self.error(
                        "MS0961",
                        f"color {name!r} has the value {value}, and color {net.given.get_global_name()!r} {net.value}, but they must be equal",
                        color.span,
                        [(net.given.span, f"{net.value} here")],
                        help="colors of one name are one color, and so are those of ports that are connected: a route keeps its color",
                    )
                net.value, net.given = value, color

    def net(self, color: Color) -> Net:
        return self.net_of[color.get_global_name()]

    # ------------------------------------------------------------ routes

    def route_number(self, positions: Positions) -> int:
        if positions not in self._route_numbers:
            self._route_numbers[positions] = len(self.routes)
            self.routes.append(positions)
        return self._route_numbers[positions]

    def _paint(self) -> None:
        """Lay the regions' paintings and params out over the fabric."""
        cells = self.width * self.height
        for net in self.nets:
            net.route, net.present = np.full(cells, -1, np.int32), np.zeros(cells, bool)
        for region in self.regions:
            where = self.cells_of(region)
            for param in region.params.values():
                for i, color in enumerate(param.colors):
                    self.net(color).present[where[param.given & (param.color == i)]] = True
            owner: dict[int, tuple[str, np.ndarray]] = {}
            for name, painting in region.paintings.items():
                net = self.net_of[name]
                mask = painting.grid >= 0
                before = owner.get(id(net))
                if before is not None and (before[1] & mask).any():
                    j, i = map(int, np.argwhere(before[1] & mask)[0])
                    span = next((s for _, s in reversed(painting.history) if s is not None), None)
                    self.error(
                        "MS0955",
                        f"colors {before[0]!r} and {name!r} are both painted at PE ({i}, {j}) of code region {region.name!r}, but connect() makes "
                        "them one color",
                        span,
                        help="a route keeps its color from port to port: receive on one color and send on another only where they are not connected "
                        "to each other",
                    )
                owner[id(net)] = (name, mask if before is None else before[1] | mask)
                numbers = np.array([self.route_number(p) for p in painting.routes], np.int32)
                net.route[where[mask]] = numbers[painting.grid[mask]]
                for number in np.unique(painting.grid[mask]):
                    call = int(painting.calls[painting.grid == number][0])
                    self.places.setdefault((net.number, int(numbers[number])), painting.history[call][1])
        for stream in self.layout.streams:
            self._attach_host(stream)
        for net in self.nets:
            net.present |= net.route >= 0

    def _attach_host(self, stream: Stream) -> None:
        """The host's side of a stream: at the PE of its buffer, or at a PE of the user's."""
        assert stream.location is not None or stream.region is not None
        x, y = stream.region.origin if stream.region is not None else stream.location  # type: ignore[misc]
        cell = self.cell(x, y)
        net = self.net(stream.color)
        host = 1 << HOST
        old = net.route[cell]
        if old < 0:
            positions: Positions = (((host, 1 << RAMP) if stream.incoming else (1 << RAMP, host)),)
            if stream.region is None and self.owner[y, x] < 0:
                self.error(
                    "MS0962",
                    f"there is no code at PE ({x}, {y}), where stream {stream.name!r} meets the fabric",
                    stream.span,
                )
        elif len(self.routes[old]) > 1:
            self.error(
                "MS0962",
                f"stream {stream.name!r} is attached to PE ({x}, {y}), where color {net.name!r} has switch positions",
                stream.span,
                help="attach it to a PE with one routing position in front of it",
            )
            return
        else:
            (rx, tx), *_ = self.routes[old]
            # data of the host come in where the route leaves the program, and go out there
            outside = sum(1 << d for d in STEPS if (n := self.step(cell, d)) < 0 or net.route[n] < 0)
            positions = ((rx & ~outside | host, tx),) if stream.incoming else ((rx, tx & ~outside | host),)
        net.route[cell] = number = self.route_number(positions)
        self.places.setdefault((net.number, number), stream.span)

    def show(self, positions: Positions) -> str:
        """Routing positions for messages."""
        return "; ".join(f"{names(rx)} -> {names(tx)}" for rx, tx in positions)

    def at(self, cell: int) -> str:
        """A PE for messages, with its region."""
        x, y = self.coordinates(cell)
        number = int(self.owner[y, x])
        return f"PE ({x}, {y})" + (f" of code region {self.regions[number].name!r}" if number >= 0 else "")


def first(mask: np.ndarray) -> int:
    return int(np.argmax(mask))
