"""From numbers in the machine's state to names in the program: tasks, source places, variables, and back."""

from __future__ import annotations

from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from meshlang.diag import Diagnostic, MeshlangError, did_you_mean

if TYPE_CHECKING:
    from meshlang.fabric.machine import Machine
    from meshlang.ir.program import MemoryObject, TileProgram

COMMAND = 128  # P_TASK of a launched function


def counted(value: float, noun: str = "") -> str:
    """ "1,234", "1 hop", "2 hops"."""
    return f"{value:,.0f}" + (f" {noun}{'' if value == 1 else 's'}" if noun else "")


def tile_of(machine: Machine, pe: int) -> TileProgram | None:
    """The tile program of a PE, None where there is no code."""
    t = int(machine.state.tile_of[pe])
    return machine.program.tiles[t] if t >= 0 else None


def task_name(machine: Machine, tile: TileProgram | None, task: int) -> str:
    """The name of what P_TASK or V_TASK holds."""
    if task == COMMAND:
        return machine.command or "a launched function"
    if tile is not None:
        for binding in tile.tasks:
            if binding.id == task & 63 and (binding.kind == "control") == (task >= 64):
                return binding.name
    return f"task {task & 63}"


def span_at(machine: Machine, pe: int, pc: int) -> Any:
    """The source place of an instruction number of the machine: its own, or the nearest before it."""
    t = int(machine.state.tile_of[pe])
    if t < 0 or pc < 0:
        return None
    spans = machine.program.tiles[t].spans
    at = pc - machine.state.code_base[t]
    while 0 <= at < len(spans):
        if spans[at] is not None:
            return spans[at]
        at -= 1
    return None


def place(span: Any) -> str:
    """ "pe.csl:12", short enough for a table."""
    return f"{PurePath(span.file.path).name}:{span.line_col()[0]}" if span is not None else "?"


def source_line(span: Any) -> str:
    return span.file.line(span.line_col()[0]).strip() if span is not None else ""


def variables(tile: TileProgram) -> list[MemoryObject]:
    return [o for o in tile.objects if o.size > 0]


def find_variable(tile: TileProgram, name: str) -> MemoryObject:
    """By full name, by exported name, or by the end of a qualified name. MS0910 unknown."""
    objects = variables(tile)
    for o in objects:
        if o.name == name:
            return o
    ends = [o for o in objects if o.name.rpartition(".")[2] == name]
    if len(ends) == 1:
        return ends[0]
    if len(ends) > 1:
        raise MeshlangError(Diagnostic("MS0910", f"{name!r} could be {', '.join(o.name for o in ends)}"))
    export = tile.exports.get(name)
    if export is not None and export.kind != "fn":
        for o in objects:
            if o.address == export.address:
                return o
    listed = ", ".join(o.name for o in objects[:12]) + (", ..." if len(objects) > 12 else "")
    raise MeshlangError(
        Diagnostic(
            "MS0910",
            f"{tile.name} has no variable {name!r}; it has: {listed or 'none'}",
            help=did_you_mean(name, [o.name for o in objects]),
        )
    )


def object_at(tile: TileProgram, address: int) -> MemoryObject | None:
    return next((o for o in tile.objects if o.address <= address < o.address + max(o.size, 1)), None)


def address_name(tile: TileProgram, address: int) -> str:
    """ "data", "data + 4 bytes", or the number."""
    o = object_at(tile, address)
    if o is None:
        return f"address {address}"
    return o.name if o.address == address else f"{o.name} + {address - o.address} bytes"


def ids_of(mask: int) -> list[int]:
    mask &= (1 << 64) - 1
    return [i for i in range(64) if mask >> i & 1]


def named_ids(machine: Machine, tile: TileProgram, mask: int) -> list[tuple[int, str]]:
    """The ids of a mask that a data or local task is bound to, with its name."""
    del machine
    names = {b.id: b.name for b in tile.tasks if b.kind != "control"}
    return [(i, names[i]) for i in ids_of(mask) if i in names]


def colors_of(machine: Machine) -> list[int]:
    return sorted(machine.state.channels)


def tasks_of(machine: Machine) -> list[str]:
    return sorted({b.name for t in machine.program.tiles for b in t.tasks})
