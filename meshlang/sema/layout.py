"""What a layout block builds: the rectangle, the program of each PE, the configuration of each color."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..ir.program import DIRECTIONS, RAMP, ColorConfig
from . import types as T
from .values import Known, KeyedCache

MAX_WIDTH, MAX_HEIGHT = 1024, 1280      # above any wafer (762 x 1172, facts 4.7); guards against absurd requests
CONFIG_FIELDS = ("routes", "switches", "filter", "teardown")
ROUTE_FIELDS = ("rx", "tx", "color_swap_x", "color_swap_y")
POP_MODES = ("no_pop", "always_pop", "pop_on_advance", "pop_on_advance_nop")
SWITCH_COLORS_WSE3 = frozenset([*range(10), 12, 13, 16, 17, 20, 21])


@dataclass
class TileSpec:
    """A tile program to compile: one per distinct (file, params)."""
    path: str
    params: dict[str, Known]
    span: Any
    count: int = 0


@dataclass
class LayoutState:
    arch: str
    width: int = 0
    height: int = 0
    rectangle_span: Any = None
    tile: Any = None                                        # array("i"), y * width + x -> spec or -1
    specs: list[TileSpec] = field(default_factory=list)
    spec_of: dict[str | None, KeyedCache] = field(default_factory=dict)     # file -> params -> number of its spec
    colors: dict[int, Any] = field(default_factory=dict)    # color -> array("i") of config numbers or -1
    configs: list[ColorConfig] = field(default_factory=list)
    config_of: dict[ColorConfig, int] = field(default_factory=dict)
    exports: dict[str, tuple[T.Type, bool, Any]] = field(default_factory=dict)
    _parsed: KeyedCache = field(default_factory=KeyedCache)

    def set_rectangle(self, cx, node, w: int, h: int) -> None:
        if self.width:
            cx.fail("MS0601", "@set_rectangle is called twice", node, labels=[(self.rectangle_span, "first here")])
        if not (1 <= w <= MAX_WIDTH and 1 <= h <= MAX_HEIGHT):
            cx.fail("MS0601", f"a rectangle of {w} x {h} PEs is not possible", node, f"the limits are 1 x 1 to {MAX_WIDTH} x {MAX_HEIGHT}")
        dims = cx.unit.compiler.options.fabric_dims
        offsets = cx.unit.compiler.options.fabric_offsets or (0, 0)
        if dims is not None and (w + offsets[0] > dims[0] or h + offsets[1] > dims[1]):
            cx.fail("MS0601", f"a rectangle of {w} x {h} PEs at offset {offsets[0]},{offsets[1]} does not fit in a fabric of "
                    f"{dims[0]} x {dims[1]}", node, "raise --fabric-dims (with memcpy: width + 7, height + 2)")
        self.width, self.height, self.rectangle_span = w, h, node.span
        self.tile = array("i", [-1]) * (w * h)

    def place(self, cx, node, x: int, y: int) -> int:
        if not self.width:
            cx.fail("MS0601", f"@{node.name} needs the rectangle: @set_rectangle comes first", node)
        if not (0 <= x < self.width and 0 <= y < self.height):
            cx.fail("MS0602", f"PE ({x}, {y}) is outside the rectangle of {self.width} x {self.height}", node,
                    "coordinates are (column, row) and start at 0")
        return y * self.width + x

    def set_tile(self, cx, node, x: int, y: int, path: str | None, params: Any) -> None:
        at = self.place(cx, node, x, y)
        if self.tile[at] >= 0:
            cx.fail("MS0604", f"PE ({x}, {y}) gets its code twice", node, labels=[(self.specs[self.tile[at]].span, "its program was first used here")])
        cache = self.spec_of.get(path)
        if cache is None:
            cache = self.spec_of[path] = KeyedCache()

        def make() -> int:
            self.specs.append(TileSpec(cx.unit.compiler.tile_path(cx, path, node), params.v, node.span))
            return len(self.specs) - 1

        number = cache.get(params, make)
        self.tile[at] = number
        self.specs[number].count += 1

    def set_color(self, cx, node, x: int, y: int, color: int, value: Known) -> None:
        at = self.place(cx, node, x, y)
        cfg = self.color_config(cx, node, value)
        number = self.config_of[cfg]
        table = self.colors.get(color)
        if table is None:
            table = self.colors[color] = array("i", [-1]) * (self.width * self.height)
        if table[at] >= 0:
            cx.fail("MS0603", f"color {color} of PE ({x}, {y}) is configured twice", node,
                    "at most one configuration per PE and color; join them into one")
        if cfg.positions and self.arch == "wse3" and color not in SWITCH_COLORS_WSE3:
            cx.warn("MS0608", f"color {color} has no switch on wse3", node, "use one of 0-9, 12, 13, 16, 17, 20, 21")
        table[at] = number

    def intern(self, cfg: ColorConfig) -> ColorConfig:
        number = self.config_of.get(cfg)
        if number is None:
            number = self.config_of[cfg] = len(self.configs)
            self.configs.append(cfg)
        return self.configs[number]

    # ------------------------------------------------------------ configurations

    def color_config(self, cx, node, value: Known) -> ColorConfig:
        return self._parsed.get(value, lambda: self.intern(self.parse_config(cx, node, value)))

    def parse_config(self, cx, node, value: Known) -> ColorConfig:
        where = node.args[-1]
        if not isinstance(value.ty, T.StructType):
            cx.fail("MS0609", f"a color configuration is a struct, found {value.ty}", where, "write .{ .routes = .{ .rx = .{WEST}, .tx = .{RAMP} } }")
        cfg = value.v
        if "routes" in cfg:
            routes = cfg["routes"].v if isinstance(cfg["routes"].ty, T.StructType) else None
            if routes is None:
                cx.fail("MS0609", "'routes' is a struct", where, "write .{ .rx = .{WEST}, .tx = .{RAMP} }")
            self.check_fields(cx, where, cfg, CONFIG_FIELDS, "a color configuration")
            self.check_fields(cx, where, routes, ROUTE_FIELDS, "'routes'")
            rest = cfg
        elif "rx" in cfg or "tx" in cfg:        # the flat form of old programs
            routes = {n: v for n, v in cfg.items() if n in ROUTE_FIELDS}
            rest = {n: v for n, v in cfg.items() if n not in ROUTE_FIELDS}
            self.check_fields(cx, where, rest, (*CONFIG_FIELDS, "pos1", "pos2", "pos3"), "a color configuration")
        else:
            cx.fail("MS0609", "a color configuration needs 'routes'", where)
        rx = self.directions(cx, where, routes.get("rx"), "rx")
        tx = self.directions(cx, where, routes.get("tx"), "tx")
        for n in ("color_swap_x", "color_swap_y"):
            if n in routes and routes[n].v:
                cx.fail("MS0399", "color swap is not supported yet", where)
        if "filter" in rest:
            cx.fail("MS0399", "filters are not supported yet", where)
        if "teardown" in rest and rest["teardown"].v:
            cx.fail("MS0399", "teardown is not supported yet", where)
        if "switches" in rest or any(n in rest for n in ("pos1", "pos2", "pos3")):
            cx.fail("MS0399", "switches are not supported yet", where)
        return ColorConfig(rx, tx)

    @staticmethod
    def check_fields(cx, where, fields: dict, allowed: tuple[str, ...], what: str) -> None:
        for n in fields:
            if n not in allowed:
                cx.fail("MS0609", f"{what} has no field '{n}'", where, notes=[f"fields: {', '.join(allowed)}"])

    @staticmethod
    def directions(cx, where, value: Known | None, what: str) -> int:
        """A mask from one direction or a tuple of different directions."""
        if value is None:
            return 0
        items = list(value.v.values()) if isinstance(value.ty, T.StructType) else [value]
        mask = 0
        for item in items:
            if item.ty is not T.DIRECTION:
                cx.fail("MS0609", f"'{what}' takes directions, found {item.ty}", where, "NORTH, SOUTH, EAST, WEST, RAMP")
            bit = 1 << item.v
            if mask & bit:
                cx.fail("MS0609", f"'{what}' names {DIRECTIONS[item.v]} twice", where)
            mask |= bit
        return mask

    # ------------------------------------------------------------ the end

    def check_export(self, cx, node, name: str, t: T.Type, mutable: bool) -> None:
        declared = self.exports.get(name)
        if declared is None:
            import difflib
            close = difflib.get_close_matches(name, self.exports, 1)
            cx.fail("MS0607", f"'{name}' is advertised here, but the layout has no @export_name for it", node,
                    f"did you mean '{close[0]}'?" if close else f'add @export_name("{name}", {t}{"" if isinstance(t, T.FnType) else ", true"}) '
                    "to the layout block")
        if declared[0] is not t:
            cx.fail("MS0607", f"'{name}' has the type {t} here and {declared[0]} in the layout", node, labels=[(declared[2], "declared here")])
        if not isinstance(t, T.FnType) and declared[1] != mutable:
            words = ("mutable", "immutable")
            cx.fail("MS0607", f"'{name}' is {words[not mutable]} here ({'var' if mutable else 'const'}) and {words[not declared[1]]} in the layout",
                    node, "make the variable 'var' for true, 'const' for false", labels=[(declared[2], "declared here")])

    def missing_tiles(self) -> list[tuple[int, int]]:
        tiles = np.frombuffer(self.tile, dtype=np.int32)
        return [(int(i) % self.width, int(i) // self.width) for i in np.flatnonzero(tiles < 0)[:20]]

    def grid(self, table: Any) -> np.ndarray:
        return np.frombuffer(table, dtype=np.int32).reshape(self.height, self.width).copy()


__all__ = ["LayoutState", "RAMP", "TileSpec"]
