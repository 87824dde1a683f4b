"""Where something is: PEs, source places, calls and tasks, from the numbers of the machine's state."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..ir.frames import inlined_at

if TYPE_CHECKING:
    from .loaded import Loaded


def place_of(machine: Loaded, pe: int) -> str:
    return f"PE ({pe % machine.width}, {pe // machine.width})"


def span_of(machine: Loaded, tile: int, pc: int) -> Any:
    """Source place of an instruction number of the machine: of the instruction itself or, if it has none, of the one before it
    in its function, else after it."""
    if tile < 0 or pc < 0:
        return None
    at = pc - machine.state.code_base[tile]
    program = machine.program.tiles[tile]
    if 0 <= at < len(program.spans) and program.spans[at] is not None:
        return program.spans[at]
    first = max((f.entry for f in program.functions if f.entry <= at), default=0)
    end = min((f.entry for f in program.functions if f.entry > at), default=len(program.spans))
    known = (span for span in (*reversed(program.spans[first : at + 1]), *program.spans[at:end]) if span is not None)
    return next(known, None)


def calls_of(machine: Loaded, pe: int, pc: int) -> list[Any]:
    """Source places of the calls that instruction `pc` of a PE's running code is inside of, innermost first."""
    W, C = machine.state.W, machine.state.C
    tile, fp = int(machine.state.tile_of[pe]), int(machine.pes["fp"][pe])
    base, program = machine.state.code_base[tile], machine.program.tiles[tile]
    spans = [frame.span for frame in inlined_at(program, pc - base)]
    while (link := int(W[fp - 1])) >= 0:
        spans.append(span_of(machine, tile, link - 1))
        spans += [frame.span for frame in inlined_at(program, link - 1 - base)]
        fp -= int(C[link * 4 - 2])  # word b of the call
    return spans


def task_name(machine: Loaded, tile: int, task: int) -> str | None:
    if task < 0 or tile < 0:
        return None
    if task == 128:
        return f"function {machine.command}"
    bound = [b for b in machine.program.tiles[tile].tasks if b.id == task & 63]
    # a control wavelet may also have started the data or local task of that id
    bound.sort(key=lambda b: (b.kind == "control") != (task >= 64))
    for binding in bound:
        return f"{binding.kind} task {binding.name} (id {binding.id})"
    return f"task {task & 63}"


def configured(machine: Loaded, pe: int, color: int | None) -> Any:
    """Where a color got a configuration like that of a PE first, or None if it has none."""
    fabric = machine.program.fabric
    if color is None or color not in fabric.color:
        return None
    return fabric.spans.get((color, int(fabric.color[color].reshape(-1)[pe])))
