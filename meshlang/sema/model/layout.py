"""What a layout block builds: the rectangle, the program of each PE, the configuration of each color."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ...diag import MeshlangError, did_you_mean
from ...ir.program import DIRECTIONS, FILTER_FIELDS, FILTER_KINDS, POP_MODES, ColorConfig
from . import types as T
from .protocol import Analysis
from .together import plain
from .values import KeyedCache, Known

MAX_WIDTH, MAX_HEIGHT = 1024, 1280  # above any wafer (762 x 1172, facts 4.7); guards against absurd requests
CONFIG_FIELDS = ("routes", "switches", "filter", "teardown")
ROUTE_FIELDS = ("rx", "tx", "color_swap_x", "color_swap_y")
SWITCH_FIELDS = ("pos1", "pos2", "pos3", "current_switch_pos", "ring_mode", "pop_mode")
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
    refused: bool = False  # a wrong @set_rectangle was reported
    tile: Any = None  # array("i"), y * width + x -> spec or -1
    specs: list[TileSpec] = field(default_factory=list)
    spec_of: dict[str | None, KeyedCache] = field(default_factory=dict)  # file -> params -> number of its spec
    colors: dict[int, Any] = field(default_factory=dict)  # color -> array("i") of config numbers or -1
    configs: list[ColorConfig] = field(default_factory=list)
    config_of: dict[ColorConfig, int] = field(default_factory=dict)
    # (color, config) -> its first @set_color_config
    config_spans: dict[tuple[int, int], Any] = field(default_factory=dict)
    exports: dict[str, tuple[T.Type, bool, Any]] = field(default_factory=dict)
    _parsed: KeyedCache = field(default_factory=KeyedCache)

    def set_rectangle(self, cx: Analysis, node, w: int, h: int) -> None:
        if self.width:
            cx.fail("MS0601", "@set_rectangle is called twice", node, labels=[(self.rectangle_span, "first here")])
        if not (1 <= w <= MAX_WIDTH and 1 <= h <= MAX_HEIGHT):
            cx.fail(
                "MS0601",
                f"a rectangle of {w} x {h} PEs is not possible",
                node,
                f"the limits are 1 x 1 to {MAX_WIDTH} x {MAX_HEIGHT}",
            )
        dims = cx.unit.compiler.options.fabric_dims
        offsets = cx.unit.compiler.options.fabric_offsets or (0, 0)
        if dims is not None and (w + offsets[0] > dims[0] or h + offsets[1] > dims[1]):
            cx.fail(
                "MS0601",
                f"a rectangle of {w} x {h} PEs at offset {offsets[0]},{offsets[1]} does not fit in a fabric of "
                f"{dims[0]} x {dims[1]}",
                node,
                "raise --fabric-dims (with memcpy: width + 7, height + 2)",
            )
        self.width, self.height, self.rectangle_span, self.refused = w, h, node.span, False
        self.tile = array("i", [-1]) * (w * h)

    def check_place(self, cx: Analysis, node, x: int, y: int) -> None:
        if self.refused:
            raise MeshlangError()  # reported where the rectangle was set
        if not self.width:
            cx.fail("MS0601", f"@{node.name} needs the rectangle: @set_rectangle comes first", node)
        if not (0 <= x < self.width and 0 <= y < self.height):
            cx.fail(
                "MS0602",
                f"PE ({x}, {y}) is outside the rectangle of {self.width} x {self.height}",
                node,
                "coordinates are (column, row) and start at 0",
            )

    def set_tile(self, cx: Analysis, node, x: int, y: int, path: str | None, params: Any) -> None:
        self.check_place(cx, node, x, y)
        space = cx.unit.compiler.space
        if space is not None:
            params = plain(params)
            cx.unit.compiler.tile_path(cx, path, node)  # an error comes out now
            space.effect("tile", x, y, self.width, lambda places: self.set_tiles(cx, node, places, path, params))
            return
        at = y * self.width + x
        if self.tile[at] >= 0:
            cx.fail(
                "MS0604",
                f"PE ({x}, {y}) gets its code twice",
                node,
                labels=[(self.specs[self.tile[at]].span, "its program was first used here")],
            )
        number = self.spec_number(cx, node, path, params)
        self.tile[at] = number
        self.specs[number].count += 1

    def set_tiles(self, cx: Analysis, node, places: np.ndarray, path: str | None, params: Any) -> None:
        """`set_tile` for many places that have no code yet."""
        number = self.spec_number(cx, node, path, params)
        np.frombuffer(self.tile, np.int32)[places] = number
        self.specs[number].count += len(places)

    def spec_number(self, cx: Analysis, node, path: str | None, params: Any) -> int:
        cache = self.spec_of.get(path)
        if cache is None:
            cache = self.spec_of[path] = KeyedCache()

        def make() -> int:
            self.specs.append(TileSpec(cx.unit.compiler.tile_path(cx, path, node), params.v, node.span))
            return len(self.specs) - 1

        return cache.get(params, make)

    def taken(self, table: Any) -> np.ndarray:
        """Which PEs have their code ("tile") or a configuration of a color."""
        rows = self.tile if table == "tile" else self.colors.get(table)
        return np.zeros(self.width * self.height, bool) if rows is None else np.frombuffer(rows, np.int32) >= 0

    def set_color(self, cx: Analysis, node, x: int, y: int, color: int, value: Known) -> None:
        self.check_place(cx, node, x, y)
        space = cx.unit.compiler.space
        if space is not None:
            color = int(color)
            parsed = self.parse_config(cx, node, plain(value))
            space.effect(color, x, y, self.width, lambda places: self.set_colors(cx, node, places, color, parsed))
            return
        at = y * self.width + x
        cfg = self.color_config(cx, node, value)
        number = self.config_of[cfg]
        table = self.color_table(color)
        if table[at] >= 0:
            cx.fail(
                "MS0603",
                f"color {color} of PE ({x}, {y}) is configured twice",
                node,
                "at most one configuration per PE and color; join them into one",
            )
        table[at] = number
        self.configured(cx, node, color, number)

    def set_colors(self, cx: Analysis, node, places: np.ndarray, color: int, cfg: ColorConfig) -> None:
        """`set_color` for many places at which the color has no configuration yet."""
        number = self.config_of[self.intern(cfg)]
        np.frombuffer(self.color_table(color), np.int32)[places] = number
        self.configured(cx, node, color, number)

    def color_table(self, color: int) -> Any:
        table = self.colors.get(color)
        if table is None:
            table = self.colors[color] = array("i", [-1]) * (self.width * self.height)
        return table

    def configured(self, cx: Analysis, node, color: int, number: int) -> None:
        if self.configs[number].positions and self.arch == "wse3" and color not in SWITCH_COLORS_WSE3:
            cx.warn("MS0608", f"color {color} has no switch on wse3", node, "use one of 0-9, 12, 13, 16, 17, 20, 21")
        self.config_spans.setdefault((color, number), node.span)

    def intern(self, cfg: ColorConfig) -> ColorConfig:
        number = self.config_of.get(cfg)
        if number is None:
            number = self.config_of[cfg] = len(self.configs)
            self.configs.append(cfg)
        return self.configs[number]

    # ------------------------------------------------------------ configurations

    def color_config(self, cx: Analysis, node, value: Known) -> ColorConfig:
        return self._parsed.get(value, lambda: self.intern(self.parse_config(cx, node, value)))

    def parse_config(self, cx: Analysis, node, value: Known) -> ColorConfig:
        where = node.args[-1]
        if not isinstance(value.ty, T.StructType):
            cx.fail(
                "MS0609",
                f"a color configuration is a struct, found {value.ty}",
                where,
                "write .{ .routes = .{ .rx = .{WEST}, .tx = .{RAMP} } }",
            )
        cfg = value.v
        if "routes" in cfg:
            routes = self.sides(cx, where, cfg["routes"], ROUTE_FIELDS, "routes")
            self.check_fields(cx, where, cfg, CONFIG_FIELDS, "a color configuration")
            rest = cfg
        elif "rx" in cfg or "tx" in cfg:  # the flat form of old programs
            routes = {n: v for n, v in cfg.items() if n in ROUTE_FIELDS}
            rest = {n: v for n, v in cfg.items() if n not in ROUTE_FIELDS}
            self.check_fields(cx, where, rest, (*CONFIG_FIELDS, *SWITCH_FIELDS), "a color configuration")
        else:
            cx.fail("MS0609", "a color configuration needs 'routes'", where)
        rx = self.directions(cx, where, routes.get("rx"), "rx")
        tx = self.directions(cx, where, routes.get("tx"), "tx")
        swaps = {
            f"swap_{axis}": bool(routes[f"color_swap_{axis}"].v) for axis in "xy" if f"color_swap_{axis}" in routes
        }
        if self.arch != "wse2" and any(swaps.values()):
            cx.fail("MS0609", f"color swaps exist on wse2 only, this program is for {self.arch}", where)
        switches = rest.get("switches")
        if switches is None and any(n in rest for n in ("pos1", "pos2", "pos3")):
            switches = Known(T.COMPTIME_STRUCT, {n: v for n, v in rest.items() if n in SWITCH_FIELDS})
        positions, position, ring, pop = (
            self.switches(cx, where, rx, tx, switches.v) if switches is not None else ((), 0, False, "no_pop")
        )
        return ColorConfig(
            rx,
            tx,
            positions,
            position,
            ring,
            pop,
            self.filter(cx, where, rest["filter"].v) if "filter" in rest else None,
            "teardown" in rest and bool(rest["teardown"].v),
            **swaps,
        )

    def switches(self, cx: Analysis, where, rx: int, tx: int, cfg: dict) -> tuple:
        """Switch positions are cumulative: each replaces the named side of the position before it (facts 3.3)."""
        self.check_fields(cx, where, cfg, SWITCH_FIELDS, "'switches'")
        positions: list[tuple[int, int] | None] = [(rx, tx)]
        for n in ("pos1", "pos2", "pos3"):
            sides = self.sides(cx, where, cfg[n], ("rx", "tx", "invalid"), n) if n in cfg else {}
            if not sides or "invalid" in sides and sides["invalid"].v:
                positions.append(None)
                continue
            if "rx" in sides and "tx" in sides and self.arch == "wse2":
                cx.fail("MS0609", f"'{n}' sets rx and tx: a switch position changes one of them on wse2", where)
            if "rx" in sides:
                rx = self.directions(cx, where, sides["rx"], "rx")
            if "tx" in sides:
                tx = self.directions(cx, where, sides["tx"], "tx")
            positions.append((rx, tx))
        position = cfg["current_switch_pos"].v if "current_switch_pos" in cfg else 0
        if not 0 <= position <= 3 or positions[position] is None:
            cx.fail("MS0609", f"switch position {position} is not configured", where)
        ring = "ring_mode" in cfg and bool(cfg["ring_mode"].v)
        pop = "no_pop"
        if "pop_mode" in cfg:
            modes = [n for n, v in cfg["pop_mode"].v.items() if v.v]
            if len(modes) != 1 or modes[0] not in POP_MODES:
                cx.fail(
                    "MS0609",
                    "'pop_mode' takes one mode",
                    where,
                    f"one of {', '.join(f'.{{ .{m} = true }}' for m in POP_MODES)}",
                )
            pop = modes[0]
        return tuple(positions), position, ring, pop

    def filter(self, cx: Analysis, where, cfg: dict) -> tuple:
        """A filter as (kind, ((field, value), ...)) with every field, so that equal filters are equal."""
        self.check_fields(cx, where, cfg, ("kind", "fast_mode", *FILTER_FIELDS), "'filter'")
        kinds = [n for n, v in cfg["kind"].v.items() if v.v] if "kind" in cfg else []
        if len(kinds) != 1 or kinds[0] not in FILTER_KINDS:
            cx.fail(
                "MS0609",
                "'filter' needs its 'kind'",
                where,
                f"one of {', '.join(f'.{{ .{kind} = true }}' for kind in FILTER_KINDS)}",
            )
        return kinds[0], tuple((n, int(cfg[n].v) if n in cfg else default) for n, default in FILTER_FIELDS.items())

    @staticmethod
    def check_fields(cx: Analysis, where, fields: dict, allowed: tuple[str, ...], what: str) -> None:
        for n in fields:
            if n not in allowed:
                cx.fail("MS0609", f"{what} has no field '{n}'", where, notes=[f"fields: {', '.join(allowed)}"])

    def sides(self, cx: Analysis, where, value: Known, allowed: tuple[str, ...], what: str) -> dict[str, Known]:
        """The fields of a route or switch position. The 2.10 form is a number, a sum of the bits of <directions>: rx
        from bit 0, tx from bit 5; it becomes fields with masks, and 0 is no field at all."""
        if isinstance(value.ty, T.StructType):
            self.check_fields(cx, where, value.v, allowed, f"'{what}'")
            return value.v
        if not T.is_int(value.ty):
            cx.fail(
                "MS0609",
                f"'{what}' is a struct or a bit vector, found {value.ty}",
                where,
                "write .{ .rx = .{WEST}, .tx = .{RAMP} }, or bits of <directions>",
            )
        if not 0 <= value.v < 1 << 2 * len(DIRECTIONS):
            cx.fail(
                "MS0609",
                f"'{what}' has bits that name no direction: 0x{value.v:x}",
                where,
                "use RX_WEST, TX_RAMP, ... of <directions>",
            )
        masks = {"rx": value.v & (1 << len(DIRECTIONS)) - 1, "tx": value.v >> len(DIRECTIONS)}
        return {n: Known(T.U16, mask) for n, mask in masks.items() if mask}

    @staticmethod
    def directions(cx: Analysis, where, value: Known | None, what: str) -> int:
        """A mask from one direction or a tuple of different directions; a number is a mask already."""
        if value is None:
            return 0
        if value.ty is T.U16:
            return value.v
        items = list(value.v.values()) if isinstance(value.ty, T.StructType) else [value]
        mask = 0
        for item in items:
            if item.ty is not T.DIRECTION:
                cx.fail(
                    "MS0609", f"'{what}' takes directions, found {item.ty}", where, "NORTH, SOUTH, EAST, WEST, RAMP"
                )
            bit = 1 << item.v
            if mask & bit:
                cx.fail("MS0609", f"'{what}' names {DIRECTIONS[item.v]} twice", where)
            mask |= bit
        return mask

    # ------------------------------------------------------------ the end

    def check_export(self, cx: Analysis, node, name: str, t: T.Type, mutable: bool) -> None:
        declared = self.exports.get(name)
        if declared is None:
            cx.fail(
                "MS0607",
                f"'{name}' is advertised here, but the layout has no @export_name for it",
                node,
                did_you_mean(name, self.exports)
                or f'add @export_name("{name}", {t}{"" if isinstance(t, T.FnType) else ", true"}) to the layout block',
            )
        if declared[0] is not t:
            cx.fail(
                "MS0607",
                f"'{name}' has the type {t} here and {declared[0]} in the layout",
                node,
                "write the same type in both places",
                labels=[(declared[2], "declared here")],
            )
        if not isinstance(t, T.FnType) and declared[1] != mutable:
            words = ("mutable", "immutable")
            cx.fail(
                "MS0607",
                f"'{name}' is {words[not mutable]} here ({'var' if mutable else 'const'}) and {words[not declared[1]]} in the layout",
                node,
                "make the variable 'var' for true, 'const' for false",
                labels=[(declared[2], "declared here")],
            )

    def missing_tiles(self) -> list[tuple[int, int]]:
        tiles = np.frombuffer(self.tile, dtype=np.int32)
        return [(int(i) % self.width, int(i) // self.width) for i in np.flatnonzero(tiles < 0)[:20]]

    def grid(self, table: Any) -> np.ndarray:
        return np.frombuffer(table, dtype=np.int32).reshape(self.height, self.width).copy()


__all__ = ["LayoutState", "TileSpec"]
