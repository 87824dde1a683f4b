"""Rows of `meshlang bench` that need a compiled program: what the programs that come with MeshLang cost the engine.

Rows are as those of fabric/bench.py. A tile-cycle is a cycle of one PE, whatever it does in it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..fabric.machine import Machine
from .api import compile as compile_program


def loaded(programs: Path, name: str, params: dict[str, Any]) -> tuple[Machine, float]:
    """A program on its fabric, and the seconds that compiling it took."""
    began = time.perf_counter()
    program = compile_program(str(programs / name / "layout.csl"), params=params, cache=False)
    return Machine(program.ir), time.perf_counter() - began


def bytes_of_a_pe(machine: Machine) -> int:
    """Bytes of the engine's state for each PE."""
    state = machine.state
    return (state.W.nbytes + state.U.nbytes + state.M8.nbytes) // (machine.width * machine.height)


def tile_cycles(what: str, machine: Machine, rate: float, compiling: float) -> dict[str, Any]:
    """The row of a program whose engine did so many tile-cycles a second."""
    return {
        "what": what,
        "value": rate,
        "unit": "tile-cycles/s",
        "bytes a PE": bytes_of_a_pe(machine),
        "compiled in s": compiling,
    }


def gemm(programs: Path, side: int, tile: int, cycles: int) -> dict[str, Any]:
    """MeshGEMM: every PE sends, receives and multiplies all the time. Steady state: so many cycles of it, after the
    first product."""
    machine, compiling = loaded(programs, "meshgemm", _sizes(side, tile))
    _begin(machine, side, 1 + cycles // 1000)
    best = max(_rate(machine, side, cycles, time.process_time) for _ in range(3))
    return tile_cycles(f"MeshGEMM, tile {tile}, {side} x {side}", machine, best, compiling)


def threads(programs: Path, side: int, count: int, cycles: int) -> list[dict[str, Any]]:
    """MeshGEMM as above on one thread and on several, in turn, by the clock on the wall: the machine has to be at rest."""
    program = compile_program(str(programs / "meshgemm" / "layout.csl"), params=_sizes(side, 4), cache=False)
    machines = {n: Machine(program.ir, threads=n) for n in (1, count)}
    for machine in machines.values():
        _begin(machine, side, 1 + cycles // 200)
    best = dict.fromkeys(machines, 0.0)
    for _ in range(3):
        for n, machine in machines.items():
            best[n] = max(best[n], _rate(machine, side, cycles, time.perf_counter))
    what = f"MeshGEMM, tile 4, {side} x {side}"
    return [
        {"what": f"{what}, {n} thread{'s' if n > 1 else ''}", "value": rate, "unit": "tile-cycles/s"}
        | {"ratio": rate / best[1], "to": "one thread, by the clock on the wall"}
        for n, rate in best.items()
    ]


def _sizes(side: int, tile: int) -> dict[str, Any]:
    return {"P": side, "Mt": tile, "Kt": tile, "Nt": tile, "f32_data": False, "f32_sum": False, "interleave": True}


def _begin(machine: Machine, side: int, products: int) -> None:
    """MeshGEMM, until the launch has reached all and memory has been touched."""
    machine.launch("run", [products])
    machine.run("commands", max_cycles=4 * side + 400)


def _rate(machine: Machine, side: int, cycles: int, clock: Callable[[], float]) -> float:
    """Tile-cycles a second of the next so many cycles."""
    first, began = machine.cycle, clock()
    machine.run("commands", max_cycles=cycles)
    return (machine.cycle - first) * side * side / (clock() - began)


def gemv(programs: Path, side: int) -> dict[str, Any]:
    """MeshGEMV, tiles of 6 x 6: products in memory, then a tree along the columns; most PEs wait."""
    params = {"P": side, "Mt": 6, "Nt": 6, "K": 2, "groups": max(1, round(side**0.5)), "along_rows": False}
    machine, compiling = loaded(programs, "meshgemv", params | {"f32_data": False, "f32_sum": False})
    machine.launch("run", [1])
    machine.run("commands")  # memory has been touched
    machine.run()
    machine.launch("run", [2])
    first, began = machine.cycle, time.process_time()
    machine.run("commands")
    seconds = time.process_time() - began
    rate = (machine.cycle - first) * side * side / seconds
    return tile_cycles(f"MeshGEMV, tile 6, {side} x {side}", machine, rate, compiling)


def memory(programs: Path, side: int) -> dict[str, Any]:
    """What MeshGEMM with tiles of one element takes on so many PEs a side; it is only loaded."""
    params = {"P": side, "Mt": 1, "Kt": 1, "Nt": 1, "f32_data": False, "f32_sum": False, "interleave": True}
    machine, compiling = loaded(programs, "meshgemm", params)
    size = bytes_of_a_pe(machine)
    total = size * side * side / 1e9
    row = {"what": f"MeshGEMM, tile 1, {side} x {side}: state", "value": total, "unit": "GB"}
    return row | {"bytes a PE": size, "compiled in s": compiling}


def rows(programs: Path, full: bool = False) -> list[dict[str, Any]]:
    """The rows; `full`: of sizes up to a wafer's, too."""
    out = [gemm(programs, 8, 4, 40_000), gemm(programs, 64, 4, 600), gemv(programs, 64)]
    if full:
        out += [gemm(programs, 128, 4, 300), gemm(programs, 256, 4, 100), gemv(programs, 128), gemv(programs, 256)]
        out.append(memory(programs, 720))
    return out
