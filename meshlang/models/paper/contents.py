"""The tables and figures that there are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from . import energy, inference, kernels
from .lab import Lab, Row, Scale


@dataclass(frozen=True)
class Entry:
    """title: what it is about. function: makes its rows. meshes: sides at which it is run while time lasts, from small to true.
    mesh: the one that a single run takes unless another is asked for. models: that it has. given: it needs what the
    caller gives, a checkout or numbers, and is not among all without it."""

    title: str
    function: Callable[[Lab, Scale], list[Row]]
    meshes: tuple[int, ...]
    mesh: int
    models: tuple[str, ...] = ()
    given: bool = False


SQUARES = (4, 8, 16, 32, 64, 128)
LINES = (60, 720)  # one column, which is cheap at any length
TWO, FOUR = ("8B", "13B"), ("8B", "13B", "34B", "72B")

CONTENTS = {
    "table1": Entry("what a wafer has", energy.table1, (1,), 1),
    "figure6": Entry("GEMM: paths, hops and memory of a step", kernels.figure6, SQUARES, 16),
    "figure8": Entry("GEMV: stages and hops of the allreduce", kernels.figure8, LINES, 720),
    "figure9": Entry("GEMM: MeshGEMM, Cannon, allgather, SUMMA", kernels.figure9, SQUARES, 16),
    "figure10": Entry("GEMV: K-tree, pipeline, ring, collectives_2d", kernels.figure10, LINES, 720),
    "silicon": Entry("MeshGEMM and MeshGEMV at the shapes measured on a WSE-3", kernels.silicon, (16, 80, 144), 16),
    "waferllm": Entry(
        "WaferLLM's own programs, of a checkout, beside those here", kernels.waferllm, (4, 8, 16, 32), 8, given=True
    ),
    "table6": Entry("GEMV beside GPUs: time and energy", energy.table6, LINES, 720),
    "energy": Entry(
        "energy of a GEMV by its wavelets and operations", energy.counted, (4, 8, 16, 32, 64), 16, given=True
    ),
    "table5": Entry("tokens until the cache is full", inference.table5, SQUARES[:4], 16, TWO),
    "table4": Entry("decoding, tokens/s", inference.table4, (4, 8, 16, 420, 540, 660), 8, FOUR),
    "table3": Entry("prefill, tokens/s", inference.table3, (*SQUARES[:5], 480, 600, 720), 16, FOUR),
    "table2": Entry("a request from end to end, tokens/s", inference.table2, (4, 8, 16, 660, 750), 8, TWO),
    "table7": Entry("energy of a prefill beside GPUs", energy.table7, (*SQUARES[:5], 720), 16, TWO),
    "table8": Entry("energy of decoding beside GPUs", energy.table8, (4, 8, 16, 420), 8, TWO),
}
