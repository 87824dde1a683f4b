"""The verifier's part about the fabric: where tile programs lie, the colors' configurations, memory that differs from PE
to PE."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from .isa import COLORS
from .program import FILTER_FIELDS, FILTER_KINDS, HOST, POP_MODES, ColorConfig, Fabric, Preload, Program

LARGEST = 1 << 12  # PEs on a side; no wafer has as many
_MASKS = 1 << (HOST + 1)  # route masks: one bit a direction, and the host's
_FILTER_VALUES = range(-(1 << 31), 1 << 31)


def fabric_problem(program: Program) -> str | None:
    """The first thing that is wrong with the fabric of a program."""
    fabric = program.fabric
    if not (1 <= fabric.width <= LARGEST and 1 <= fabric.height <= LARGEST):
        return f"there is no rectangle of {fabric.width} x {fabric.height} PEs"
    if not _numbers_below(fabric.tile, fabric, len(program.tiles)):
        return "the table of tile programs does not fit the rectangle"
    return next(
        (
            problem
            for check in (_colors, _hosts, _configs, _preloads)
            for problem in check(program)
            if problem is not None
        ),
        None,
    )


def _numbers_below(grid: Any, fabric: Fabric, limit: int) -> bool:
    """Is it an array over the rectangle with numbers from -1 to below the limit?"""
    return (
        isinstance(grid, np.ndarray)
        and grid.shape == (fabric.height, fabric.width)
        and grid.dtype.kind == "i"
        and int(grid.min(initial=0)) >= -1
        and int(grid.max(initial=-1)) < limit
    )


def _colors(program: Program) -> Iterator[str | None]:
    fabric = program.fabric
    for color, grid in fabric.color.items():
        if not 0 <= color < COLORS:
            yield f"there is no color {color}"
        if not _numbers_below(grid, fabric, len(fabric.configs)):
            yield f"the configurations of color {color} do not fit the rectangle"


def _hosts(program: Program) -> Iterator[str | None]:
    """Streams are of colors, and a wavelet that goes to the host is of a color that is streamed out."""
    fabric = program.fabric
    for color in (*fabric.host_in, *fabric.host_out):
        if not 0 <= color < COLORS:
            yield f"there is no color {color}, which is streamed"
    to_host = np.array([bool(c.tx >> HOST & 1) for c in fabric.configs] + [False])
    for color, grid in fabric.color.items():
        if color not in fabric.host_out and to_host[grid].any():
            yield f"color {color} goes to the host, but is not streamed out"


def _configs(program: Program) -> Iterator[str | None]:
    for number, config in enumerate(program.fabric.configs):
        problem = _config_problem(config)
        yield problem and f"color configuration {number}: {problem}"


def _config_problem(config: ColorConfig) -> str | None:
    masks = [(config.rx, config.tx), *(p for p in config.positions if p is not None)]
    if not all(0 <= mask < _MASKS for pair in masks for mask in pair):
        return "a route has directions that do not exist"
    if len(config.positions) > 4 or not 0 <= config.position < 4:
        return "a switch has four positions"
    if config.position and not (config.position < len(config.positions) and config.positions[config.position]):
        return "the switch stands at a position that is not there"
    if config.pop not in POP_MODES:
        return f"there is no pop mode {config.pop!r}"
    if config.filter is not None:
        kind, fields = config.filter
        if kind not in FILTER_KINDS or sorted(name for name, _ in fields) != sorted(FILTER_FIELDS):
            return "the filter is of no kind that exists"
        if not all(value in _FILTER_VALUES for _, value in fields):
            return "a field of the filter is out of range"
    return None


def _preloads(program: Program) -> Iterator[str | None]:
    memory = np.array([len(t.image) for t in program.tiles] + [0], np.int64)  # the last: of a PE without a program
    for preload in program.preloads:
        yield _preload_problem(preload, program.fabric, memory)


def _preload_problem(preload: Preload, fabric: Fabric, memory: np.ndarray) -> str | None:
    data, address = preload.data, preload.address
    if data.ndim != 3 or data.dtype != np.uint8 or address.shape != data.shape[:2] or address.dtype.kind != "i":
        return "what a PE's memory holds at the start is no table of bytes"
    h, w, n = data.shape
    x, y = preload.x, preload.y
    if not (0 <= x and 0 <= y and 0 < w and 0 < h and x + w <= fabric.width and y + h <= fabric.height):
        return "what a PE's memory holds at the start is of PEs outside the rectangle"
    room = memory[fabric.tile[y : y + h, x : x + w]]
    if bool(((address < 0) | (address.astype(np.int64) + n > room)).any()):
        return "what a PE's memory holds at the start does not lie inside its memory"
    return None
