"""What is in a PE's memory: a map for each tile program, equal ones together."""

from __future__ import annotations

from typing import Any

import numpy as np

from meshlang.host.report import memory_bytes
from meshlang.ir.isa import PE_MEMORY
from meshlang.ir.program import Program

# A guess: the length of a hardware instruction is not published. One of ours stands for about one of the hardware's.
INSTRUCTION_BYTES = 4
# Published (third party, WSE-3, SDK 2.10): what a kernel that does nothing but answer the host takes of a PE's memory.
MEMCPY_BYTES = 4176


def memory_maps(program: Program) -> list[dict[str, Any]]:
    """One map for tile programs whose variables lie at the same places, the fullest first.

    Bytes. `data` is exact (it ends with the last variable); `code` and `system` (the host's copies) are estimates, as
    is `used`, their sum. Locals live in registers and, if they are arrays or structs, in static storage, which is among
    the variables: there is no stack in memory. `registers`: the most a PE needs at once.
    """
    pes = np.bincount(program.fabric.tile[program.fabric.tile >= 0].ravel(), minlength=len(program.tiles))
    groups: dict[tuple, list[int]] = {}
    for i, tile in enumerate(program.tiles):
        objects = tuple((o.name, o.address, o.size, o.type, o.mutable) for o in tile.objects)
        groups.setdefault((objects, memory_bytes(tile), tile.uses_memcpy), []).append(i)
    maps = []
    for (objects, data, memcpy), members in groups.items():
        tiles = [program.tiles[i] for i in members]
        instructions = max(len(np.asarray(t.code).reshape(-1, 4)) for t in tiles)
        code, system = instructions * INSTRUCTION_BYTES, MEMCPY_BYTES if memcpy else 0
        maps.append(
            {
                "tile_programs": [t.name for t in tiles],
                "pes": int(sum(pes[i] for i in members)),
                "variables": [
                    {"name": n, "address": a, "size": s, "type": t, "constant": not m}
                    for n, a, s, t, m in objects
                    if s > 0
                ],
                "data": data,
                "between": data - sum(s for _, _, s, _, _ in objects),
                "instructions": instructions,
                "code": code,
                "system": system,
                "registers": max(t.stack_registers for t in tiles),
                "used": data + code + system,
                "limit": PE_MEMORY,
            }
        )
    return sorted(maps, key=lambda m: -m["used"])
