"""Host copies: where an exported symbol's data are, and the checks before the machine's memory is touched.

Copy mode works at the pointer's value at execution time, so a program may re-point an exported `var p: [*]T` between
copies.

A copy may run past the end of its variable, as it may with the vendor's tools, as long as it stays in the PE's memory
and overwrites no other variable; that is a warning (MS0870). Past the last variable there are only zeros to read, and
nothing can be written.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from meshlang.diag import Diagnostic, MeshlangError
from meshlang.ir.isa import PE_MEMORY

from .report import memory_bytes
from .symbols import HostSymbol
from .warnings import RunWarnings

if TYPE_CHECKING:
    from meshlang.fabric.machine import Machine
    from meshlang.ir.program import MemoryObject, Program, TileProgram

Region = tuple[int, int, int, int]  # x, y, w, h in PEs


def inside(program: Program, region: Region) -> bool:
    """Has the region PEs, and all of them in the program's rectangle?"""
    x, y, w, h = region
    return w >= 1 and h >= 1 and x >= 0 and y >= 0 and x + w <= program.fabric.width and y + h <= program.fabric.height


class Memory:
    """Copies between host arrays and the PEs' memories, a region of PEs at a time."""

    def __init__(self, program: Program, machine: Machine, warnings: RunWarnings | None = None):
        self.program = program
        self.machine = machine
        self.warnings = warnings or RunWarnings()
        self.tile_of = np.asarray(program.fabric.tile)
        self._limits = [_object_limits(t.objects) for t in program.tiles]
        self._sizes = np.array([memory_bytes(t) for t in program.tiles], np.int64)

    def check(self, symbol: HostSymbol, region: Region) -> None:
        """MS0913 a region outside the rectangle, MS0914 a PE in it that does not export the symbol."""
        x, y, w, h = region
        if not inside(self.program, region):
            width, height = self.program.fabric.width, self.program.fabric.height
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

    def read(self, symbol: HostSymbol, region: Region, nbytes: int, origin: str | None = None) -> np.ndarray:
        """uint8 [h, w, nbytes]. MS0918 when they leave the PE's memory, MS0870 (a warning) when only the variable.

        origin: the line of the host script, for messages.
        """
        address = self._addresses(symbol, region, nbytes, writes=False, origin=origin)
        x, y, w, h = region
        there = np.minimum(self._sizes[self.tile_of[y : y + h, x : x + w]] - address, nbytes)
        least = int(there.min())
        if least == nbytes:
            return self.machine.read_bytes(*region, address, nbytes)
        data = np.zeros((h, w, nbytes), np.uint8)
        data[:, :, :least] = self.machine.read_bytes(*region, address, least)
        for j, i in np.argwhere(there > least):
            n = int(there[j, i])
            data[j, i, :n] = self.machine.read_bytes(x + int(i), y + int(j), 1, 1, int(address[j, i]), n)
        return data

    def write(self, symbol: HostSymbol, region: Region, data: np.ndarray, origin: str | None = None) -> None:
        """data uint8 [h, w, nbytes]. MS0918 when they leave the PE's memory or would overwrite another variable, else
        as `read`."""
        address = self._addresses(symbol, region, data.shape[2], writes=True, origin=origin)
        self.machine.write_bytes(*region, address, data)

    def extent(self, symbol: HostSymbol, region: Region) -> int:
        """Bytes from where the symbol points to the end of that variable: the least over the region's PEs."""
        address = self.machine.pointer_values(*region, symbol.name)
        return int((self._ends(region, address) - address).min())

    def _addresses(
        self, symbol: HostSymbol, region: Region, nbytes: int, writes: bool, origin: str | None
    ) -> np.ndarray:
        address = self.machine.pointer_values(*region, symbol.name)
        ends = self._ends(region, address)
        beyond = address + nbytes > ends
        if beyond.any():
            limit = self._next_starts(region, address) if writes else np.full_like(address, PE_MEMORY)
            bad = (ends == address) | (address + nbytes > limit)
            if bad.any():
                self._refuse_extent(symbol, region, address, bad, nbytes, writes)
            self._report_extent(symbol, region, address, beyond, nbytes, writes, origin)
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

    def _next_starts(self, region: Region, address: np.ndarray) -> np.ndarray:
        """Where the variable after the one at each address begins, or what there is of memory ends. int64 [h, w]."""
        x, y, w, h = region
        tiles = self.tile_of[y : y + h, x : x + w]
        out = address.copy()
        for t in np.unique(tiles):
            starts, _ = self._limits[t]
            mine = tiles == t
            out[mine] = np.append(starts, self._sizes[t])[np.searchsorted(starts, address[mine], side="right")]
        return out

    def refuse_absent(self, symbol: HostSymbol, places: np.ndarray, tile: int) -> None:
        """MS0914; places are the (x, y) of PEs that lack the symbol."""
        what = "has no code" if tile < 0 else f"runs {self.program.tiles[tile].name}, which does not export it"
        more = f" (and {len(places) - 1} more)" if len(places) > 1 else ""
        have = [t.name for t, e in zip(self.program.tiles, symbol.exports) if e is not None]
        raise MeshlangError(
            Diagnostic(
                "MS0914",
                f"{symbol.name!r} is not on every PE concerned: PE ({places[0][0]}, {places[0][1]}){more} {what}",
                help=f"these export it: {', '.join(have[:4])}"
                if have
                else f"no tile program exports it: write @export_symbol({symbol.name}); in a comptime block of {self.program.tiles[tile].name}"
                if tile >= 0
                else "no tile program exports it with @export_symbol",
            )
        )

    def _at(
        self, region: Region, address: np.ndarray, where: np.ndarray
    ) -> tuple[int, int, int, MemoryObject | None, TileProgram]:
        """The first PE of a mask: its place, the address there, the variable at it and the PE's tile program."""
        j, i = np.argwhere(where)[0]
        x, y, a = region[0] + int(i), region[1] + int(j), int(address[j, i])
        tile = self.program.tiles[int(self.tile_of[y, x])]
        return x, y, a, next((o for o in tile.objects if o.address <= a < o.address + o.size), None), tile

    def _refuse_extent(
        self, symbol: HostSymbol, region: Region, address: np.ndarray, bad: np.ndarray, nbytes: int, writes: bool
    ) -> None:
        x, y, a, found, tile = self._at(region, address, bad)
        if found is None:
            detail = f"it points to address {a} there, where no variable is"
        else:
            detail = f"{found.address + found.size - a} bytes are there ({found.name}: {found.type})"
            after = min(
                (o for o in tile.objects if o.size > 0 and o.address >= found.address + found.size),
                key=lambda o: o.address,
                default=None,
            )
            if writes and after is not None:
                detail += f", and {after.name}: {after.type} behind it would be overwritten"
            elif a + nbytes > PE_MEMORY:
                detail += f", and the copy leaves the PE's memory of {PE_MEMORY} bytes"
            else:
                detail += ", and no variable is behind it"
        raise MeshlangError(
            Diagnostic(
                "MS0918", f"a copy of {nbytes} bytes per PE does not fit {symbol.name!r} on PE ({x}, {y}): {detail}"
            )
        )

    def _report_extent(
        self,
        symbol: HostSymbol,
        region: Region,
        address: np.ndarray,
        beyond: np.ndarray,
        nbytes: int,
        writes: bool,
        origin: str | None,
    ) -> None:
        _, _, a, found, _ = self._at(region, address, beyond)
        assert found is not None
        left = found.address + found.size - a
        x, y, w, h = region
        places = f"PE ({x}, {y})" if w == h == 1 else f"PEs ({x}, {y}) to ({x + w - 1}, {y + h - 1})"
        self.warnings.report(
            Diagnostic(
                "MS0870",
                f"a copy {'to' if writes else 'from'} {symbol.name!r} of {places} takes {nbytes} bytes per PE, but {found.name}: {found.type} "
                f"has {left} from there: {nbytes - left} bytes lie behind it",
                severity="warning",
                notes=[origin] if origin else [],
                help="the machine lets it pass; what lies behind an array is of no use to the host",
            ),
            ("MS0870", symbol.name, nbytes, origin),
            self.machine.strict,
        )


def _object_limits(objects: list) -> tuple[np.ndarray, np.ndarray]:
    ordered = sorted((o for o in objects if o.size > 0), key=lambda o: o.address)
    starts = np.array([o.address for o in ordered], np.int64)
    return starts, starts + np.array([o.size for o in ordered], np.int64)
