"""Code regions: rectangles of PEs with one source file, their params, symbols, routes and ports.

Everything is kept as arrays [height, width] over the region.
"""

from __future__ import annotations

import operator
import re
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from meshlang.syntax.source import Span

from .color import Color
from .directions import Edge, EdgeRouteInfo, RoutingPosition, masks
from .geometry import inside, within
from .source import fail, here

Positions = tuple[tuple[int, int], ...]  # (rx, tx) masks of switch positions
# what painted a PE, from wide to narrow: a narrower call replaces what a wider one has painted
ALL, RANGE, SINGLE, PORT = range(4)
_NAMES = ("paint_all", "paint_range", "paint", "a port")
_SYMBOL_TYPES = (np.int32, np.uint32, np.float32, np.int16, np.uint16)


@dataclass
class Painting:
    """The routes of one color in a region: `grid` numbers into `routes`, `calls` into `history`; -1: not painted."""

    color: Color
    grid: np.ndarray
    calls: np.ndarray
    routes: list[Positions] = field(default_factory=list)
    history: list[tuple[int, Span | None]] = field(default_factory=list)

    def number(self, positions: Positions) -> int:
        if positions not in self.routes:
            self.routes.append(positions)
        return self.routes.index(positions)


@dataclass
class Param:
    """The values of one param: `grid` holds integers, or where `color` >= 0 nothing: then it is colors[color]."""

    name: str
    given: np.ndarray  # bool
    grid: np.ndarray  # int64
    color: np.ndarray  # int32
    colors: list[Color] = field(default_factory=list)
    span: Span | None = None


@dataclass
class Symbol:
    """Initial data of a variable: `data` is [height, width, elements]."""

    name: str
    data: np.ndarray
    span: Span | None


@dataclass(eq=False)
class PortHandle:
    """A port: the PEs of one edge of a region, on one color. What it is connected to is in `peer`."""

    region: CodeRegion
    color: Color
    edge: Edge
    positions: Positions
    data_size: int
    name: str
    output: bool
    span: Span | None
    peer: Any = None  # a PortHandle, or a Stream
    joined: Span | None = None  # the call that connected it

    @property
    def pes(self) -> list[tuple[int, int]]:
        """Its PEs, in the region's coordinates."""
        return self.edge.pes(self.region.width, self.region.height)

    def __repr__(self) -> str:
        return f"<{'output' if self.output else 'input'} port {self.name!r}: {len(self.pes)} PEs, color {self.color.get_global_name()!r}>"


class CodeRegion:
    """A width x height rectangle of PEs with the code of one file. Not placed, it is at (0, 0)."""

    def __init__(self, source: str, name: str, width: int, height: int):
        self.source, self.name = str(source), str(name)
        self.width, self.height = (
            _count(width, f"the width of code region {name!r}"),
            _count(height, f"the height of code region {name!r}"),
        )
        self.origin: tuple[int, int] = (0, 0)
        self.paintings: dict[str, Painting] = {}
        self.params: dict[str, Param] = {}
        self.symbols: dict[str, Symbol] = {}
        self.ports: list[PortHandle] = []
        self.span = self.placed = here()

    def __repr__(self) -> str:
        return f"<CodeRegion {self.name!r}: {self.width} x {self.height} at {self.origin}, {self.source}>"

    def place(self, x: int, y: int) -> None:
        """Put the region's north-west corner at (x, y) of the fabric."""
        try:
            self.origin = operator.index(x), operator.index(y)
        except TypeError:
            fail("MS0952", f"place takes two integers, found {x!r} and {y!r}")
        self.placed = here()

    def color(self, name: str, value: int | None = None) -> Color:
        """A color of this region only: its global name has the region's in front."""
        return Color(name, value, _region=self.name)

    # ------------------------------------------------------------ params and symbols

    def set_param(self, coord: Any, name: Any = None, value: Any = None, *, color: Color | None = None) -> None:
        """Of one PE. (coord, name, integer), (coord, color): the param of the color's name, (coord, name, color)."""
        x, y = inside(coord, self.width, self.height, self.name)
        self._param((x, y, 1, 1), name, value, color)

    def set_param_all(self, name: Any = None, value: Any = None, *, color: Color | None = None) -> None:
        """Of all PEs: (name, integer), (color), (name, color)."""
        self._param((0, 0, self.width, self.height), name, value, color)

    def set_param_range(self, rect: Any, name: Any = None, value: Any = None, *, color: Color | None = None) -> None:
        """Of the PEs of an IntRectangle. A later call replaces values of an earlier one."""
        self._param(within(rect, self.width, self.height, self.name), name, value, color)

    def _param(self, where: tuple[int, int, int, int], name: Any, value: Any, color: Color | None) -> None:
        if color is not None:
            name, value = (color, None) if name is None else (name, color)
        if isinstance(name, Color) and value is None:
            name, value = name.get_local_param_name(), name
        if not isinstance(name, str):
            fail("MS0957", f"expected the name of a param or a Color, found {name!r}")
        shape = (self.height, self.width)
        p = self.params.get(name)
        if p is None:
            p = self.params[name] = Param(
                name, np.zeros(shape, bool), np.zeros(shape, np.int64), np.full(shape, -1, np.int32)
            )
        x, y, w, h = where
        part = np.s_[y : y + h, x : x + w]
        if isinstance(value, Color):
            if value not in p.colors:
                p.colors.append(value)
            p.color[part] = p.colors.index(value)
        else:
            try:
                p.grid[part] = operator.index(value)
            except (TypeError, OverflowError):
                fail(
                    "MS0957",
                    f"param {name!r} takes an integer or a Color, found {value!r}",
                    help="params of SdkLayout are integers",
                )
            p.color[part] = -1
        p.given[part] = True
        p.span = here()

    def set_symbol_all(self, symbol: str, data: Any, width: int, height: int) -> None:
        """Initial data of an exported variable: a matrix of `height` rows and `width` columns, cut into a tile per PE,
        rows first."""
        array = np.asarray(data)
        if array.dtype.type not in _SYMBOL_TYPES:
            fail(
                "MS0958",
                f"the data of {symbol!r} are {array.dtype.name}; a symbol takes int32, uint32, float32, int16 or uint16",
                help="convert them: data.astype(np.float32); f16 values: data.view(np.uint16)",
            )
        if array.size != width * height:
            fail("MS0958", f"the data of {symbol!r} have {array.size} elements, which is not {width} x {height}")
        if width % self.width or height % self.height:
            fail(
                "MS0958",
                f"a matrix of {height} rows and {width} columns does not divide into {self.height} x {self.width} equal tiles, one for each PE",
                help="its rows and columns must be multiples of the region's",
            )
        h, w = height // self.height, width // self.width
        tiles = (
            array.reshape(self.height, h, self.width, w).transpose(0, 2, 1, 3).reshape(self.height, self.width, h * w)
        )
        self.symbols[symbol] = Symbol(symbol, tiles.copy(), here())

    # ------------------------------------------------------------ routes

    def paint(self, coord: Any, color: Color, routes: list[RoutingPosition]) -> None:
        """The routes of a color at one PE."""
        x, y = inside(coord, self.width, self.height, self.name)
        self._paint(SINGLE, (x, y, 1, 1), color, masks(routes, "paint"))

    def paint_range(self, rect: Any, color: Color, routes: list[RoutingPosition]) -> None:
        """The routes of a color at the PEs of an IntRectangle. A later call replaces routes of an earlier one."""
        self._paint(RANGE, within(rect, self.width, self.height, self.name), color, masks(routes, "paint_range"))

    def paint_all(
        self, color: Color, routes: list[RoutingPosition], edge_routes: list[EdgeRouteInfo] | None = None
    ) -> None:
        """The routes of a color at all PEs; other ones at the PEs of some edges (a corner takes the last of its
        edges)."""
        self._paint(ALL, (0, 0, self.width, self.height), color, masks(routes, "paint_all"))
        painting = self.paintings[color.get_global_name()]
        for info in edge_routes or ():
            if not isinstance(info, EdgeRouteInfo):
                fail("MS0953", f"paint_all: edge_routes is a list of what get_edge_routing makes, found {info!r} in it")
            xs, ys = zip(*info.edge.pes(self.width, self.height))
            painting.grid[ys, xs] = painting.number(masks(info.routes, "paint_all, edge_routes"))

    def _paint(self, level: int, where: tuple[int, int, int, int], color: Color, positions: Positions) -> None:
        if not isinstance(color, Color):
            fail("MS0954", f"expected a Color, found {color!r}")
        name = color.get_global_name()
        p = self.paintings.get(name)
        if p is None:
            shape = (self.height, self.width)
            p = self.paintings[name] = Painting(color, np.full(shape, -1, np.int32), np.full(shape, -1, np.int32))
        x, y, w, h = where
        part = np.s_[y : y + h, x : x + w]
        number = p.number(positions)
        for call in np.unique(p.calls[part]):
            if call < 0:
                continue
            before, span = p.history[call]
            # ranges may overlap, the last one counts: a published example sweeps over a region that way
            if before < level or before == level == RANGE:
                continue
            clash = (p.calls[part] == call) & ((p.grid[part] != number) | (before == PORT))
            if clash.any():
                j, i = map(int, np.argwhere(clash)[0])
                fail(
                    "MS0955",
                    f"color {name!r} is painted twice at PE ({x + i}, {y + j}) of code region {self.name!r}: by {_NAMES[before]}, then by "
                    f"{_NAMES[level]}",
                    labels=[(span, "first here")],
                    help="go from wide to narrow: paint_all, then paint_range, then paint, then ports; each PE once by calls of one kind",
                )
        p.grid[part] = number
        p.calls[part] = len(p.history)
        p.history.append((level, here()))

    # ------------------------------------------------------------ ports

    def create_input_port(
        self, color: Color, edge: Edge, routes: list[RoutingPosition], data_size: int, prefix: str = ""
    ) -> PortHandle:
        """A port for data coming in: the routing positions have outputs only, where they come from is found by
        connect()."""
        return self._port(color, edge, masks(routes, "create_input_port", inputs=False), data_size, prefix, False)

    def create_output_port(
        self, color: Color, edge: Edge, routes: list[RoutingPosition], data_size: int, prefix: str = ""
    ) -> PortHandle:
        """A port for data going out: the routing positions have inputs only, where they go to is found by connect()."""
        return self._port(color, edge, masks(routes, "create_output_port", outputs=False), data_size, prefix, True)

    def _port(
        self, color: Color, edge: Edge, positions: Positions, data_size: int, prefix: str, output: bool
    ) -> PortHandle:
        if not isinstance(color, Color):
            fail("MS0954", f"expected a Color, found {color!r}")
        if not isinstance(edge, Edge):
            fail("MS0953", f"expected an Edge, found {edge!r}", help="Edge.TOP, BOTTOM, LEFT or RIGHT")
        name = re.sub(r"_+", "_", f"{prefix}_{self.name}_{color.get_local_param_name()}").strip("_")
        for port in self.ports:
            if port.name == name:
                fail(
                    "MS0956",
                    f"code region {self.name!r} has a port {name!r} already",
                    labels=[(port.span, "created here")],
                    help="give one of them a prefix",
                )
        port = PortHandle(self, color, edge, positions, _count(data_size, "the size of a port"), name, output, here())
        for x, y in port.pes:
            self._paint(PORT, (x, y, 1, 1), color, positions)
        self.ports.append(port)
        return port


def _count(value: Any, what: str) -> int:
    try:
        number = operator.index(value)
    except TypeError:
        fail("MS0951", f"{what} is an integer, found {value!r}")
    if number < 1:
        fail("MS0951", f"{what} must be at least 1, found {number}")
    return number
