"""Rows of `meshlang bench --full` about layers of LLaMA3-8B. Rows are as those of host/bench.py.

Every PE gets what it would have of the model on the true mesh, as in `meshlang paper`. Weights and activations are zeros: a
PE does the same whatever they are.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np

from ..host.bench import loaded, tile_cycles
from .llama import Placement
from .llama_config import LlamaConfig
from .paper.inference import shape

DECODER = 420  # PEs along a side of the true mesh
PREFILL, PROMPT = 600, 4096  # the same, and tokens


def _config(true: int, side: int) -> LlamaConfig:
    sizes = shape("8B", true, side, side)
    return LlamaConfig(sizes["hidden"], sizes["heads"], sizes["kv_heads"], sizes["head_size"], sizes["feed"])


def decoder(programs: Path, side: int) -> dict[str, Any]:
    """A decoder layer, one token, the second: the first has touched the memory."""
    place = Placement(_config(DECODER, side), side, side, capacity=2, dtype=np.float16)
    machine, compiling = loaded(programs, "decoder", place.params())
    for token in range(2):
        machine.launch("decode", [token])
        first, began = machine.cycle, time.process_time()
        machine.run("commands")
        seconds, cycles = time.process_time() - began, machine.cycle - first
    what = f"decoder layer, load of LLaMA3-8B on {DECODER} x {DECODER}, {side} x {side}"
    return tile_cycles(what, machine, cycles * side * side / seconds, compiling) | {"run in s": seconds}


def prefill(programs: Path, sides: tuple[int, int]) -> list[dict[str, Any]]:
    """A decoder layer for a whole prompt, on two small meshes, and hours for the true one. A PE has side-many steps of each
    product to do, and besides what depends on the side little or not at all: a side^2 + b side^3, from the two."""
    rows, taken = [], []
    for side in sides:
        tokens = side * -(-PROMPT // PREFILL)
        place = Placement(_config(PREFILL, side), side, side, capacity=tokens // side, dtype=np.float16, prompt=tokens)
        machine, compiling = loaded(programs, "prefill", place.prefill_params())
        machine.launch("prefill", [tokens])
        began = time.process_time()
        machine.run("commands")
        taken.append(time.process_time() - began)
        what = f"prefill, load of {PROMPT} tokens on {PREFILL} x {PREFILL}, {side} x {side}"
        rate = machine.cycle * side * side / taken[-1]
        rows.append(tile_cycles(what, machine, rate, compiling) | {"run in s": taken[-1]})
    hours = extrapolated(sides, (taken[0], taken[1]), PREFILL) / 3600
    what = f"prefill of {PROMPT} tokens, one layer, {PREFILL} x {PREFILL}: extrapolated"
    return [*rows, {"what": what, "value": hours, "unit": "hours of one core"}]


def extrapolated(sides: tuple[int, int], seconds: tuple[float, float], true: int) -> float:
    """a side^2 + b side^3 at `true`, through two measurements."""
    (m, n), per_pe = sides, [t / s**2 for s, t in zip(sides, seconds, strict=True)]
    slope = (per_pe[1] - per_pe[0]) / (n - m)
    return (per_pe[0] + slope * (true - m)) * true**2


def rows(programs: Path) -> list[dict[str, Any]]:
    return [*(decoder(programs, side) for side in (32, 64, 128)), *prefill(programs, (16, 32))]
