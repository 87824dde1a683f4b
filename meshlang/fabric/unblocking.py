"""Who unblocks the command stream, as far as the code of a tile program says it."""

from __future__ import annotations

from pathlib import Path, PurePath
from typing import Any

import numpy as np

from ..ir import isa, use
from ..ir.frames import inlined_at
from ..ir.isa import Op
from ..ir.program import TaskBinding, TileProgram
from ..paths import stdlib_dir


class _Code:
    """Which function each instruction belongs to, and who calls whom."""

    def __init__(self, tile: TileProgram):
        self.tile = tile
        words = use.code_of(tile)
        ops = words[:, 0] & 0xFF
        self._entries = sorted((f.entry, i) for i, f in enumerate(tile.functions))
        self.calls: dict[int, list[int]] = {}  # function -> instructions that call it
        for pc in np.flatnonzero(ops == Op.CALL).tolist():
            self.calls.setdefault(int(words[pc, 1]), []).append(pc)
        self.unblocks = np.flatnonzero((ops == Op.SYS) & (words[:, 3] == isa.Sys.CMD_DONE)).tolist()

    def owner(self, pc: int) -> int:
        return max((e, i) for e, i in self._entries if e <= pc)[1]

    def span(self, pc: int) -> Any:
        """The place of an instruction in the program's own text: there, or where a library is called that was expanded
        there. None in the code of a library."""
        return own_place(self.tile, pc)


def own_place(tile: TileProgram, pc: int) -> Any:
    """The place of an instruction in the program's own text, or None in the code of a library."""
    spans = tile.spans
    here = next((spans[i] for i in range(min(pc, len(spans) - 1), -1, -1) if spans[i] is not None), None)
    found = (here, *(frame.span for frame in inlined_at(tile, pc)))
    return next((s for s in found if s is not None and not Path(s.file.path).is_relative_to(stdlib_dir())), None)


def stream_unblockers(tile: TileProgram, command: str) -> tuple[bool, bool, list[TaskBinding]]:
    """Who calls unblock_cmd_stream: anything at all, the launched function, and which tasks."""
    code = _Code(tile)
    todo = {code.owner(pc) for pc in code.unblocks}
    reach: set[int] = set()
    while todo:
        f = todo.pop()
        if f not in reach:
            reach.add(f)
            todo |= {code.owner(pc) for pc in code.calls.get(f, ())}
    export = tile.exports.get(command)
    return bool(reach), export is not None and export.function in reach, [b for b in tile.tasks if b.function in reach]


def unblock_places(tile: TileProgram) -> list[str]:
    """Every place of the program that unblocks the stream: "control task stop (id 41) at pe.csl:12"."""
    code = _Code(tile)
    found: dict[str, None] = {}
    todo, seen = list(code.unblocks), set()
    while todo:
        pc = todo.pop(0)
        if pc in seen:
            continue
        seen.add(pc)
        span, function = code.span(pc), code.owner(pc)
        if span is None:
            todo += code.calls.get(function, ())  # the library itself: whoever calls it
            continue
        bound = [f"{b.kind} task {b.name} (id {b.id})" for b in tile.tasks if b.function == function]
        for who in bound or [f"function {tile.functions[function].name}"]:
            found[f"{who} at {PurePath(span.file.path).name}:{span.line_col()[0]}"] = None
    return list(found)
