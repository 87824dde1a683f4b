"""Extension records of channels, built when a program is loaded: switches, filters, teardown, color swaps (see
switch.py)."""

from __future__ import annotations

import numpy as np

from ..ir import isa
from ..ir.program import EAST, FILTER_KINDS, POP_MODES, ColorConfig, Program, TileProgram
from ..ir.use import program_effect
from ..ir.words import Position, Route
from .engine import state as s

EXTENSION_LIMIT = s.ChannelState.extension.low


def at_run_time(tile: TileProgram) -> bool:
    """Does the program change routes while it runs?"""
    return tile.register_pointers or bool(program_effect(tile.code) & isa.Effect.ROUTE)


def packed_route(cfg: ColorConfig) -> int:
    """The route as ROUTE_GET packs it: positions become changes to the position before."""
    packed = Route.pack(rx=cfg.rx, tx=cfg.tx)
    rx, tx = cfg.rx, cfg.tx
    for k, position in enumerate(cfg.positions[1:]):
        if position is None:
            continue
        change = Position.pack(valid=1)
        if position[0] != rx:
            change |= Position.pack(has_rx=1, rx=position[0])
        if position[1] != tx:
            change |= Position.pack(has_tx=1, tx=position[1])
        rx, tx = position
        packed = Route.positions.put(change, packed, k)
    return packed


def record(cfg: ColorConfig, run_time: bool) -> tuple[np.ndarray, int]:
    """The extension record of a configuration, and its flags in CH_CONFIG."""
    x = np.zeros(s.Extension.WORDS, np.int64)
    flags = s.Config.special.mask
    x[s.Extension.route] = packed_route(cfg)
    rx, tx = cfg.rx & 31, cfg.tx & 31
    reach = rx
    for k in range(4):
        position = (cfg.rx, cfg.tx) if k == 0 else cfg.positions[k] if k < len(cfg.positions) else None
        if position is not None:
            rx, tx = position[0] & 31, position[1] & 31
            reach |= rx
        x[s.Extension.positions + k] = s.SwitchPosition.pack(rx=rx, tx=tx, valid=position is not None)
    x[s.Extension.current], x[s.Extension.ring], x[s.Extension.pop] = cfg.position, cfg.ring, POP_MODES.index(cfg.pop)
    x[s.Extension.reach] = 31 if run_time else reach
    x[s.Extension.turn] = -1
    if cfg.filter is not None:
        kind, fields = cfg.filter[0], dict(cfg.filter[1])
        flags |= s.Config.filter.mask
        x[s.Extension.filter] = s.Filter.pack(
            kind=FILTER_KINDS[kind],
            **{name: bool(fields[name]) for name in ("count_data", "count_control", "filter_control")},
        )
        for index, name in (
            (s.Extension.counter, "init_counter"),
            (s.Extension.max, "max_counter"),
            (s.Extension.limit, "limit1"),
            (s.Extension.limit2, "limit2"),
            (s.Extension.min, "min_idx"),
            (s.Extension.maxidx, "max_idx"),
        ):
            x[index] = fields[name]
    if cfg.teardown:
        flags |= s.Config.teardown.mask
    if cfg.swap_x or cfg.swap_y:
        flags |= s.Config.swap.mask
    return x, flags


class Extensions:
    """Which channels get a record, and what is in them."""

    def __init__(
        self, program: Program, tile_of: np.ndarray, present: dict[int, np.ndarray], index_of: dict[int, np.ndarray]
    ):
        configs = program.fabric.configs
        special = np.array(
            [c.teardown or c.filter is not None or c.swap_x or c.swap_y or bool(c.positions) for c in configs] + [False]
        )
        changing = np.array([at_run_time(tile) for tile in program.tiles] + [False])
        self.program, self.tile_of, self.index_of, self.changing = program, tile_of, index_of, changing
        self.swaps = {axis: np.array([getattr(c, f"swap_{axis}") for c in configs] + [False]) for axis in "xy"}
        self.any_swap = any(v.any() for v in self.swaps.values())
        self.nowhere = np.full(len(tile_of), -1)
        self.pes: dict[int, np.ndarray] = {}
        self.total = 0
        for color in sorted(present):
            index = index_of[color]
            twin = self.flags(color) & (s.Config.twin_x.mask | s.Config.twin_y.mask) != 0
            pes = np.flatnonzero(present[color] & (special[index] | (changing[tile_of] & (index >= 0)) | twin))
            self.pes[color] = pes
            self.total += len(pes)

    def flags(self, color: int) -> np.ndarray:
        """The flags in CH_CONFIG that say what color swaps do at each PE (facts 3.7). A color with the swap of an axis
        takes what arrives with the other color of its pair, also where that one has no swap and takes it, too (a
        twin)."""
        found = np.zeros(len(self.tile_of), np.int64)
        if not self.any_swap:
            return found
        own, other = (self.index_of.get(c, self.nowhere) for c in (color, color ^ 1))
        both_axes = np.ones(len(own), bool)
        for axis, twin in (("x", s.Config.twin_x.mask), ("y", s.Config.twin_y.mask)):
            mine, its = self.swaps[axis][own], self.swaps[axis][other]
            both_axes &= mine
            found |= np.where(its & ~mine, twin, 0)
        found |= np.where(both_axes, s.Config.ramp.mask, 0)
        if any(swap[index].any() for swap in self.swaps.values() for index in (own, other)):
            found |= s.Config.pair.mask
        return found

    def arrivals(self, channels: dict[int, np.ndarray], color: int, direction: int, there: np.ndarray) -> np.ndarray:
        """The channels that wavelets of a color come into when they leave in a direction and arrive at `there`; -1:
        none."""
        near = channels[color][there]
        if not self.any_swap:
            return near
        swap = self.swaps["x" if direction >= EAST else "y"]
        own, other = (swap[self.index_of.get(c, self.nowhere)][there] for c in (color, color ^ 1))
        pair = channels[color ^ 1][there] if color ^ 1 in channels else np.full(len(there), -1)
        # with the swap, a color does not take what comes as itself: that is the pair's, if it has the swap, and else
        # nobody's
        return np.where(other & (own | (near < 0)), pair, np.where(own, -1, near))

    def fill(self, W: np.ndarray, H: np.ndarray, channels: dict[int, np.ndarray], first_channel: int) -> None:
        """Write the records; H: the channel records, already with their base routes."""
        first = W[s.Globals.x]
        X = W[first : first + s.Extension.WORDS * (self.total + 1)].reshape(-1, s.Extension.WORDS)
        number = 1
        default = ColorConfig(0, 0)
        for color, pes in self.pes.items():
            if len(pes) == 0:
                continue
            rows = (channels[color][pes] - first_channel) // s.Channel.WORDS
            numbers = np.arange(number, number + len(pes))
            H["state"][rows] |= s.ChannelState.extension.put(numbers).astype(np.uint32)
            kinds = self.index_of[color][pes] * 2 + self.changing[self.tile_of[pes]]
            for kind in np.unique(kinds):
                cfg = self.program.fabric.configs[kind >> 1] if kind >= 0 else default
                x, flags = record(cfg, bool(kind & 1))
                at = np.flatnonzero(kinds == kind)
                X[number + at] = x
                position = int(x[s.Extension.positions + cfg.position])
                config = H["config"][rows[at]].astype(np.int64)
                config = s.Config.tx_switched.put(s.SwitchPosition.tx.get(position), config)
                config = s.Config.rx_switched.put(0 if cfg.teardown else s.SwitchPosition.rx.get(position), config)
                H["config"][rows[at]] = (config | flags).astype(np.uint32)
            number += len(pes)
        for color, channel in channels.items():
            special = self.flags(color)
            pes = np.flatnonzero((channel >= 0) & (special != 0))
            H["config"][(channel[pes] - first_channel) // s.Channel.WORDS] |= special[pes].astype(np.uint32)
