"""How fast the engine is on this machine, with programs built by hand so that nothing else is measured.

Every row is {"what", "value", "unit", "ratio", "to"}: the ratio compares with something measured in the same run where
there is such a thing, else with the target of docs/architecture.md.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..ir import isa
from ..ir.dsdops import DSD_OPS
from ..ir.isa import DsdKind, Op, Operand, Ty
from ..ir.program import (
    EAST,
    RAMP,
    SOUTH,
    WEST,
    ColorConfig,
    Export,
    Fabric,
    Function,
    MemoryObject,
    Program,
    Queue,
    TaskBinding,
    TileProgram,
)
from ..ir.words import Dsd, DsrConfig, OperationRow, Walk
from .engine.jit import standalone
from .machine import Machine
from .recording import GROUPS, TraceOptions

_TARGET_INSTRUCTIONS, _TARGET_HOPS, _TARGET_TASKS = 100e6, 20e6, 10e6


def _tile(
    name: str,
    code: list[list[int]],
    ops: Sequence[list[int]] = (),
    memory: int = 64,
    inputs: Sequence[Queue] = (),
    outputs: Sequence[Queue] = (),
    blocked: int = 0,
) -> TileProgram:
    """A tile program of one exported function `main`."""
    return TileProgram(
        name=name,
        params={},
        code=np.array(code, np.int32),
        spans=[None] * len(code),
        functions=[Function("main", 0, 0, 40)],
        image=np.zeros(memory, np.uint8),
        objects=[MemoryObject("data", 16, memory - 16, "bytes")],
        dsd_ops=OperationRow.rows(ops),
        dsr_configs=np.zeros((0, DsrConfig.WORDS), np.int32),
        mem4d=np.zeros((0, Walk.WORDS), np.int32),
        dsrs=[],
        dsr_init=[],
        tasks=[],
        active=0,
        blocked=blocked,
        inputs=list(inputs),
        outputs=list(outputs),
        exports={"main": Export("main", "fn", "fn", function=0)},
        strings=[],
        stack_registers=64,
    )


def _program(
    grid: np.ndarray, tiles: list[TileProgram], colors: dict[int, np.ndarray], configs: list[ColorConfig]
) -> Program:
    h, w = grid.shape
    return Program("wse3", tiles, Fabric(w, h, grid, colors, configs), {}, {}, "bench")


def _const(register: int, value: int) -> list[list[int]]:
    def word(v: int) -> int:
        v &= 0xFFFFFFFF
        return v - (1 << 32) if v >> 31 else v

    return [[Op.LDI, register, word(value), 0], [Op.LDIH, register, word(value >> 32), 0]]


_DONE = [[Op.SYS, 0, 0, isa.Sys.CMD_DONE], [Op.RET, 0, 0, 0]]


def _row(name: str, dst: Operand, *sources: Operand, is_async: bool = False) -> list[int]:
    row = [0] * OperationRow.WORDS
    row[OperationRow.code], row[OperationRow.ut], row[OperationRow.async_] = DSD_OPS[name], -1, int(is_async)
    for i, operand in enumerate((dst, *sources)):
        row[OperationRow.dst + i] = operand
    return row


def _timed(machine: Machine) -> float:
    machine.launch("main")
    start = time.process_time()  # what others do on the machine meanwhile is not counted
    machine.run("commands")
    machine.run()
    return time.process_time() - start


def scalar(instructions: int = 50_000_000) -> dict[str, Any]:
    """Instructions per second of a loop of integer arithmetic."""
    ty = int(Ty.I32) << 8
    code = [
        [Op.LDI, 1, 0, 0],
        [Op.LDI, 2, instructions // 5, 0],
        [Op.LDI, 3, 1, 0],
        [Op.ADD | ty, 4, 4, 3],
        [Op.ADDI | ty, 1, 1, 1],
        [Op.XOR | ty, 5, 4, 1],
        [Op.LT | ty, 6, 1, 2],
        [Op.JNZ, 6, 3, 0],
        *_DONE,
    ]
    machine = Machine(_program(np.zeros((1, 1), np.int32), [_tile("scalar", code)], {}, []))
    seconds = _timed(machine)
    rate = machine.stats()["instructions"] / seconds
    return {
        "what": "scalar instructions",
        "value": rate,
        "unit": "1/s",
        "ratio": rate / _TARGET_INSTRUCTIONS,
        "to": "target 100 M/s",
    }


def trees(size: int, wavelets: int, deliver: bool) -> Program:
    """Two broadcast trees (two colors) from the north-west corner, down the first column and along every row. The
    colors share all links, so routers arbitrate, and each color is held back to half rate."""
    n = wavelets
    colors = (5, 6)
    send, receive = [], []
    for i, color in enumerate(colors):
        out = Dsd.pack(kind=DsdKind.FABOUT, len=n, queue=i, hasq=1, color=color, hascolor=1)
        into = Dsd.pack(kind=DsdKind.FABIN, len=n, queue=i, hasq=1)
        spot = Dsd.pack(kind=DsdKind.MEM1D, base=16 + 4 * i, len=n, tag=2)  # one word, stride 0
        send += [*_const(20, out), [Op.LDI, 21, 7, 0], [Op.DSDOP, i, 20, 0]]
        receive += [*_const(20, spot), *_const(21, into), [Op.DSDOP, i, 20, 0]]
    tiles = [
        _tile(
            "source",
            send + _DONE,
            [_row("mov32", Operand.DSD, Operand.SCALAR, is_async=True)] * 2,
            outputs=[Queue(i, c) for i, c in enumerate(colors)],
        ),
        _tile(
            "sink",
            receive + _DONE,
            [_row("mov32", Operand.DSD, Operand.DSD, is_async=True)] * 2,
            inputs=[Queue(i, c) for i, c in enumerate(colors)],
            blocked=3,
        ),
        _tile("empty", _DONE),
    ]
    grid = np.full((size, size), 1 if deliver else 2, np.int32)
    grid[:, -1] = 1
    grid[0, 0] = 0
    here = 1 << RAMP if deliver else 0
    configs = [
        ColorConfig(1 << RAMP, 1 << EAST | 1 << SOUTH),
        ColorConfig(1 << 0, 1 << EAST | 1 << SOUTH | here),
        ColorConfig(1 << 0, 1 << EAST | here),
        ColorConfig(1 << WEST, 1 << EAST | here),
        ColorConfig(1 << WEST, 1 << RAMP),
    ]
    route = np.full((size, size), 3, np.int32)
    route[:, -1] = 4
    route[:, 0] = 1
    route[-1, 0] = 2
    route[0, 0] = 0
    return _program(grid, tiles, dict.fromkeys(colors, route), configs)


def hops(size: int = 256, wavelets: int = 128, deliver: bool = True) -> dict[str, Any]:
    """Wavelet-hops per second in two broadcast trees."""
    machine = Machine(trees(size, wavelets, deliver))
    _timed(machine)  # the first time memory is touched is the operating system's
    stats = machine.stats()
    seconds = min(_timed(machine) for _ in range(3))
    rate = stats["hops"] / seconds
    what = f"wavelet-hops, {size} x {size}, " + ("every PE receives" if deliver else "edge receives")
    return {
        "what": what,
        "value": rate,
        "unit": "1/s",
        "ratio": rate / _TARGET_HOPS,
        "to": "target 20 M/s",
        "deliveries": (stats["delivered"] / seconds),
    }


def vector(n: int = 1024, times: int = 20_000) -> dict[str, Any]:
    """f16 additions per second in operations of n elements, against numpy's float16."""
    size = 2 * n

    def dsd(i: int) -> int:
        return Dsd.pack(kind=DsdKind.MEM1D, base=16 + i * size, len=n, stride=1, tag=1)

    ty = int(Ty.I32) << 8
    code = [
        *_const(20, dsd(0)),
        *_const(21, dsd(1)),
        *_const(22, dsd(2)),
        [Op.LDI, 1, 0, 0],
        [Op.LDI, 2, times, 0],
        [Op.DSDOP, 0, 20, 0],
        [Op.ADDI | ty, 1, 1, 1],
        [Op.LT | ty, 3, 1, 2],
        [Op.JNZ, 3, 8, 0],
        *_DONE,
    ]
    tile = _tile("vector", code, [_row("faddh", Operand.DSD, Operand.DSD, Operand.DSD)], memory=16 + 3 * size)
    machine = Machine(_program(np.zeros((1, 1), np.int32), [tile], {}, []))
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((2, n)).astype(np.float16)
    machine.write_bytes(0, 0, 1, 1, 16 + size, np.concatenate([a, b]).view(np.uint8)[None, None])
    seconds = _timed(machine)
    rate = n * times / seconds
    out = np.empty(n, np.float16)
    start = time.process_time()
    for _ in range(200):
        np.add(a, b, out=out)
    numpy_rate = n * 200 / (time.process_time() - start)
    same = machine.read_bytes(0, 0, 1, 1, 16, size).view(np.float16).ravel()
    assert (same == out).all()
    return {
        "what": f"f16 additions, {n} at a time",
        "value": rate,
        "unit": "1/s",
        "ratio": rate / numpy_rate,
        "to": "numpy float16",
    }


def start() -> dict[str, Any]:
    """Seconds until the engine can run: from the cache, or compiled if it is the first time."""
    from .engine.loop import engine

    began = time.perf_counter()
    engine()
    seconds = time.perf_counter() - began
    return {
        "what": "engine ready",
        "value": seconds,
        "unit": "s",
        "ratio": 35 / max(seconds, 1e-9),
        "to": "target 35 s compiling",
    }


def task_starts(times: int) -> Program:
    """A local task that counts, and activates itself again."""
    ty = int(Ty.I32) << 8
    code = [
        [Op.LDI, 1, 8, 0],
        [Op.ACTIVATE, 1, 0, 0],
        *_DONE,
        [Op.LD | ty, 2, 0, 16],
        [Op.ADDI | ty, 2, 2, 1],
        [Op.ST | ty, 2, 0, 16],
        [Op.LDI, 3, times, 0],
        [Op.LT | ty, 4, 2, 3],
        [Op.JZ, 4, 12, 0],
        [Op.LDI, 1, 8, 0],
        [Op.ACTIVATE, 1, 0, 0],
        [Op.RET, 0, 0, 0],
    ]
    tile = _tile("tasks", code)
    tile.functions.append(Function("again", 4, 0, 8))
    tile.tasks = [TaskBinding(8, "local", 1, (), "again")]
    return _program(np.zeros((1, 1), np.int32), [tile], {}, [])


def tasks(times: int = 1_000_000) -> dict[str, Any]:
    """Task starts per second: each is an entry of the flight recorder."""
    machine = Machine(task_starts(times))
    seconds = _timed(machine)
    assert machine.stats()["tasks"] == times + 1
    rate = times / seconds
    return {"what": "task starts", "value": rate, "unit": "1/s", "ratio": rate / _TARGET_TASKS, "to": "target 10 M/s"}


def recording() -> list[dict[str, Any]]:
    """How long a run takes that records nothing (all events rejected), and everything (and throws it away), beside one
    that does not record. Compiles the recording engine if that has not been done."""
    rows = []
    for what, program in (("tasks", task_starts(300_000)), ("wavelets", trees(64, 512, True))):

        def seconds(groups: tuple[str, ...] | None, program: Program = program) -> tuple[float, int]:
            options = None if groups is None else TraceOptions(groups=groups)
            machine = Machine(program, trace=options, sink=lambda events: None)
            if groups is None:
                machine.step_by_step()  # as a run that records
            return _timed(machine), machine.recorder.count if machine.recorder is not None else 0

        seconds(("switch",))  # the first time is the compiler's
        plain = min(seconds(None)[0] for _ in range(3))
        for label, groups in (("no event passes", ("switch",)), ("all events", tuple(GROUPS))):
            best = min((seconds(groups) for _ in range(3)), key=lambda found: found[0])
            rows.append(
                {
                    "what": f"recording, {what}: {label}",
                    "value": best[1] / best[0],
                    "unit": "events/s",
                    "ratio": plain / best[0],
                    "to": "the same run without",
                }
            )
    return rows


def yardstick(turns: int = 50_000_000) -> float:
    """Turns per second of a compiled loop of six dependent shifts and exclusive ors (a xorshift generator), six clock
    cycles or so: what the other rows are compared with, because processors differ, and are slower when others use them."""
    loop = standalone(_turns)
    loop(10)  # compiles
    best = 0.0
    for _ in range(3):
        began = time.process_time()
        loop(turns)
        best = max(best, turns / (time.process_time() - began))
    return best


def _turns(n):  # type: ignore[no-untyped-def]  # compiled
    x = np.uint64(88172645463325252)
    for _ in range(n):
        x ^= x << np.uint64(13)
        x ^= x >> np.uint64(7)
        x ^= x << np.uint64(17)
    return x


def in_turns(rows: list[dict[str, Any]], rate: float) -> None:
    """Add to rows that are rates how many turns of the yardstick one of what they count takes."""
    for row in rows:
        if str(row["unit"]).endswith("/s"):
            row["turns"] = rate / row["value"]


def run(trace: bool = False) -> list[dict[str, Any]]:
    """All rows; if asked for, those of recording."""
    return [start(), scalar(), tasks(), hops(), hops(deliver=False), vector(), *(recording() if trace else [])]
