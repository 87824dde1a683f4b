"""What a program uses: the short resource table of `meshlang run` and `meshlang check`, computed from a Program."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from meshlang.ir.isa import PE_MEMORY

if TYPE_CHECKING:
    from meshlang.ir.program import Program, TileProgram


def memory_bytes(tile: TileProgram) -> int:
    """Bytes of PE memory a tile program's data take (its code is not counted: the engine's code is not the
    hardware's)."""
    return max([len(tile.image), *(o.address + o.size for o in tile.objects)], default=0)


def resources(program: Program) -> dict[str, Any]:
    """Figures of a program, for --json. Lists are per tile program."""
    fabric = program.fabric
    counts = np.bincount(fabric.tile[fabric.tile >= 0].ravel(), minlength=len(program.tiles))
    tiles = [
        {
            "name": t.name,
            "pes": int(n),
            "memory": memory_bytes(t),
            "instructions": len(t.code),
            "tasks": {k: sum(b.kind == k for b in t.tasks) for k in ("data", "local", "control")},
            "input_queues": len(t.inputs),
            "output_queues": len(t.outputs),
            "dsrs": len(t.dsrs),
        }
        for t, n in zip(program.tiles, counts)
    ]
    return {
        "arch": program.arch,
        "width": fabric.width,
        "height": fabric.height,
        "pes": int((fabric.tile >= 0).sum()),
        "colors": sorted(int(c) for c in fabric.color),
        "host_in": sorted(fabric.host_in),
        "host_out": sorted(fabric.host_out),
        "tiles": tiles,
    }


def resource_table(program: Program, limit: int = 12) -> str:
    """The table as text; more than `limit` tile programs are summed up in a line."""
    r = resources(program)
    colors = (
        f"{len(r['colors'])} color"
        + ("" if len(r["colors"]) == 1 else "s")
        + (f" ({', '.join(map(str, r['colors']))})" if r["colors"] else "")
    )
    if r["host_in"] or r["host_out"]:
        colors += f", {len(r['host_in'])} streams in, {len(r['host_out'])} out"
    head = f"{r['arch']}: {r['width']} x {r['height']} rectangle, {r['pes']:,} PEs with code, {colors}"
    rows = [("tile program", "PEs", "memory", "instructions", "tasks d/l/c", "queues in/out")]
    for t in sorted(r["tiles"], key=lambda t: -t["pes"])[:limit]:
        tasks = t["tasks"]
        rows.append(
            (
                t["name"],
                f"{t['pes']:,}",
                f"{t['memory']:,} B ({100 * t['memory'] / PE_MEMORY:.0f}%)",
                f"{t['instructions']:,}",
                f"{tasks['data']}/{tasks['local']}/{tasks['control']}",
                f"{t['input_queues']}/{t['output_queues']}",
            )
        )
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = [head]
    for row in rows:
        cells = [row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:]))]
        lines.append("  " + "  ".join(cells).rstrip())
    if len(r["tiles"]) > limit:
        rest = sorted(r["tiles"], key=lambda t: -t["pes"])[limit:]
        lines.append(f"  and {len(rest)} more tile programs on {sum(t['pes'] for t in rest):,} PEs")
    return "\n".join(lines)
