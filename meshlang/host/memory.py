"""Host copies: where an exported symbol's data are, and the checks before the machine's memory is touched.

Copy mode works at the pointer's value at execution time, so a program may re-point an exported `var p: [*]T` between copies.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from meshlang.diag import Diagnostic, MeshlangError

from .symbols import HostSymbol

if TYPE_CHECKING:
    from meshlang.fabric.machine import Machine
    from meshlang.ir.program import Program

Region = tuple[int, int, int, int]  # x, y, w, h in PEs


class Memory:
    """Copies between host arrays and the PEs' memories, a region of PEs at a time."""

    def __init__(self, program: Program, machine: Machine):
        self.program = program
        self.machine = machine
        self.tile_of = np.asarray(program.fabric.tile)
        self._limits = [_object_limits(t.objects) for t in program.tiles]

    def check(self, symbol: HostSymbol, region: Region) -> None:
        """MS0913 a region outside the rectangle, MS0914 a PE in it that does not export the symbol."""
        x, y, w, h = region
        width, height = self.program.fabric.width, self.program.fabric.height
        if w < 1 or h < 1 or x < 0 or y < 0 or x + w > width or y + h > height:
            raise MeshlangError(
                Diagnostic(
                    "MS0913",
                    f"the copy covers columns {x} to {x + w - 1} and rows {y} to {y + h - 1}, but the program's rectangle "
                    f"has columns 0 to {width - 1} and rows 0 to {height - 1}",
                )
            )
        tiles = self.tile_of[y : y + h, x : x + w]
        for t in np.unique(tiles):
            if t < 0 or symbol.exports[t] is None:
                self.refuse_absent(symbol, np.argwhere(tiles == t)[:, ::-1] + (x, y), int(t))

    def read(self, symbol: HostSymbol, region: Region, nbytes: int) -> np.ndarray:
        """uint8 [h, w, nbytes]. MS0918 when they run beyond the variable."""
        return self.machine.read_bytes(*region, self._addresses(symbol, region, nbytes), nbytes)

    def write(self, symbol: HostSymbol, region: Region, data: np.ndarray) -> None:
        """data uint8 [h, w, nbytes]. MS0918 when they run beyond the variable."""
        self.machine.write_bytes(*region, self._addresses(symbol, region, data.shape[2]), data)

    def extent(self, symbol: HostSymbol, region: Region) -> int:
        """Bytes from where the symbol points to the end of that variable: the least over the region's PEs."""
        address = self.machine.pointer_values(*region, symbol.name)
        return int((self._ends(region, address) - address).min())

    def _addresses(self, symbol: HostSymbol, region: Region, nbytes: int) -> np.ndarray:
        address = self.machine.pointer_values(*region, symbol.name)
        bad = address + nbytes > self._ends(region, address)
        if bad.any():
            self._refuse_extent(symbol, region, address, bad, nbytes)
        return address

    def _ends(self, region: Region, address: np.ndarray) -> np.ndarray:
        """Where the variable at each address ends; the address itself where there is none. int64 [h, w]."""
        x, y, w, h = region
        tiles = self.tile_of[y : y + h, x : x + w]
        ends = address.copy()
        for t in np.unique(tiles):
            starts, limits = self._limits[t]
            mine = tiles == t
            if len(starts):
                a = address[mine]
                at = np.maximum(np.searchsorted(starts, a, side="right") - 1, 0)
                ends[mine] = np.where((a >= starts[at]) & (a < limits[at]), limits[at], a)
        return ends

    def refuse_absent(self, symbol: HostSymbol, places: np.ndarray, tile: int) -> None:
        """MS0914; places are the (x, y) of PEs that lack the symbol."""
        what = "has no code" if tile < 0 else f"runs {self.program.tiles[tile].name}, which does not export it"
        more = f" (and {len(places) - 1} more)" if len(places) > 1 else ""
        have = [t.name for t, e in zip(self.program.tiles, symbol.exports) if e is not None]
        raise MeshlangError(
            Diagnostic(
                "MS0914",
                f"{symbol.name!r} is not on every PE concerned: PE ({places[0][0]}, {places[0][1]}){more} {what}",
                help=f"these export it: {', '.join(have[:4])}" if have else "no tile program exports it with @export_symbol",
            )
        )

    def _refuse_extent(self, symbol: HostSymbol, region: Region, address: np.ndarray, bad: np.ndarray, nbytes: int) -> None:
        j, i = np.argwhere(bad)[0]
        x, y, a = region[0] + int(i), region[1] + int(j), int(address[j, i])
        tile = self.program.tiles[int(self.tile_of[y, x])]
        found = next((o for o in tile.objects if o.address <= a < o.address + o.size), None)
        if found is None:
            detail = f"it points to address {a} there, where no variable is"
        else:
            detail = f"{found.address + found.size - a} bytes are there ({found.name}: {found.type})"
        raise MeshlangError(Diagnostic("MS0918", f"a copy of {nbytes} bytes per PE does not fit {symbol.name!r} on PE ({x}, {y}): {detail}"))


def _object_limits(objects: list) -> tuple[np.ndarray, np.ndarray]:
    ordered = sorted((o for o in objects if o.size > 0), key=lambda o: o.address)
    starts = np.array([o.address for o in ordered], np.int64)
    return starts, starts + np.array([o.size for o in ordered], np.int64)
