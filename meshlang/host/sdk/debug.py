"""debug_util: variables and traces of a run that has stopped. Coordinates are the fabric's: the rectangle's plus its
offset."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np

from meshlang.diag import Diagnostic, MeshlangError, did_you_mean
from meshlang.host import arguments

if TYPE_CHECKING:
    from meshlang.host.session import Session
    from meshlang.ir.program import Program


# the last stopped run of each program folder: what debug_util looks at
stopped: dict[str, Session] = {}


def place(program: Program, x: int, y: int) -> tuple[int, int]:
    """Fabric coordinates -> rectangle coordinates. MS0927 outside."""
    x, y = arguments.pair((x, y), "a coordinate")
    dx, dy = program.fabric_offsets or (0, 0)
    width, height = program.fabric.width, program.fabric.height
    if not (0 <= x - dx < width and 0 <= y - dy < height):
        raise MeshlangError(
            Diagnostic(
                "MS0927",
                f"fabric coordinates ({x}, {y}) are outside the program: its PEs are at x {dx} to {dx + width - 1}, y {dy} to {dy + height - 1}",
                help="add the --fabric-offsets to the rectangle's coordinates",
            )
        )
    return x - dx, y - dy


def read_variable(session: Session, x: int, y: int, name: str, dtype: Any) -> np.ndarray:
    """A global variable, by its name in the source (or what an exported pointer of that name points to), as 1-D
    array."""
    px, py = place(session.program, x, y)
    name = arguments.text(name, "the name of a variable")
    tile_number = int(session.memory.tile_of[py, px])
    if tile_number < 0:
        raise MeshlangError(Diagnostic("MS0927", f"the PE at fabric coordinates ({x}, {y}) has no code"))
    tile = session.program.tiles[tile_number]
    named = [o for o in tile.objects if o.name == name] or [
        o for o in tile.objects if o.name.rpartition(".")[2] == name
    ]
    if named:
        data = session.machine.read_bytes(px, py, 1, 1, named[0].address, named[0].size)
    elif name in session.symbols.by_name and session.symbols.by_name[name].kind != "fn":
        symbol = session.symbols.data(name)
        session.memory.check(symbol, (px, py, 1, 1))
        data = session.memory.read(symbol, (px, py, 1, 1), session.memory.extent(symbol, (px, py, 1, 1)))
    else:
        names = sorted({o.name.rpartition(".")[2] for o in tile.objects} | set(tile.exports))
        raise MeshlangError(
            Diagnostic(
                "MS0927",
                f"PE ({x}, {y}) runs {tile.name}, which has no variable {name!r}",
                help=did_you_mean(name, names),
            )
        )
    kind = arguments.element(dtype, repr(name))
    if data.size % kind.itemsize:
        raise MeshlangError(
            Diagnostic("MS0912", f"{name!r} has {data.size} bytes, which are no whole number of {kind.name}")
        )
    return np.ascontiguousarray(data.reshape(-1)).view(kind)


class debug_util:
    """Looks at a run of the program in the folder `bindir`: at the one that this process has stopped, or else at a core
    file.

    core: path of a core file; None: corefile.cs1 or out.core in the current directory.
    """

    def __init__(
        self,
        bindir: str | os.PathLike,
        cmaddr: str | None = None,
        *,
        core: str | os.PathLike | None = None,
        **kwargs: Any,
    ):
        from .core import NAMES, read_core

        session = stopped.get(os.path.realpath(bindir))
        found = core if core is not None else next((n for n in NAMES if os.path.exists(n)), None)
        if core is None and session is not None:
            self._session = session
        elif found is not None:
            self._session = read_core(bindir, found)
        else:
            raise MeshlangError(
                Diagnostic(
                    "MS0927",
                    f"debug_util: no finished run of {bindir} in this process, and no core file ({' or '.join(NAMES)})",
                    help="create it after SdkRuntime.stop(), in the same script; or write a core with SdkRuntime.dump_core",
                )
            )

    def get_symbol(self, col: int, row: int, symbol: str, dtype: Any) -> np.ndarray:
        """A variable of one PE, 1-D."""
        return read_variable(self._session, col, row, symbol, dtype)

    def get_symbol_rect(
        self, rectangle: tuple[tuple[int, int], tuple[int, int]], symbol: str, dtype: Any
    ) -> np.ndarray:
        """A variable of a rectangle ((col, row), (width, height)): array [width, height, elements]."""
        corner, extent = arguments.pair_of(rectangle, "a rectangle ((col, row), (width, height))")
        (col, row), (width, height) = arguments.pair(corner, "the corner"), arguments.pair(extent, "the extent")
        if width < 1 or height < 1:
            raise arguments.wrong("the extent", extent, "at least 1 x 1")
        return np.stack(
            [
                np.stack([read_variable(self._session, col + i, row + j, symbol, dtype) for j in range(height)])
                for i in range(width)
            ]
        )

    def read_trace(self, px: int, py: int, key: str) -> list[Any]:
        """What <debug> has traced under a key, in order. MS0927 when there is nothing under that key."""
        x, y = place(self._session.program, px, py)
        key = arguments.text(key, "the key of a trace")
        self._session.take_records()
        traces = self._session.output.traces
        pe = y * self._session.program.fabric.width + x
        if (pe, key) in traces:
            return list(traces[pe, key])
        keys = sorted({k for p, k in traces if p == pe})
        strings = {s for t in self._session.program.tiles for s in t.strings}
        if key in strings:  # the program knows the key, this PE has traced nothing
            return []
        raise MeshlangError(
            Diagnostic("MS0927", f"PE ({px}, {py}) has no trace {key!r}; it has: {', '.join(keys) or 'none'}")
        )
