"""<gemm/allgather>, <gemm/summa> and Cannon's rings through programs/compare_gemm: any tile, both machines; their stated cost."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import meshlang
from meshlang import placement

LAYOUT = Path(__file__).resolve().parents[2] / "programs/compare_gemm/layout.csl"
MESH, CANNON, ALLGATHER, SUMMA = range(4)


KINDS = {"f16": (np.float16, np.float16), "f32": (np.float32, np.float32), "mixed": (np.float16, np.float32)}


def build(algorithm, P, tile=(2, 2, 2), arch="wse2", kind="f16", synchronous=False):
    Mt, Kt, Nt = tile
    return meshlang.compile(LAYOUT, arch=arch, params={"P": P, "algorithm": algorithm, "Mt": Mt, "Kt": Kt, "Nt": Nt, "single": kind == "f32",
                                                       "single_sum": kind == "mixed", "synchronous": synchronous})


def multiply(algorithm, P, tile, arch="wse2", kind="f16"):
    Mt, Kt, Nt = tile
    rng = np.random.default_rng(P)
    A, B = (rng.integers(-3, 4, shape).astype(KINDS[kind][0]) for shape in ((P * Mt, P * Kt), (P * Kt, P * Nt)))
    with build(algorithm, P, tile, arch, kind).start() as fabric:
        ring = algorithm != CANNON
        fabric.write("A", placement.block(A, P, P) if algorithm == SUMMA else placement.skewed_a(A, P, ring))
        fabric.write("B", placement.block(B, P, P) if algorithm == SUMMA else placement.skewed_b(B, P, ring))
        fabric.launch("run")
        C = placement.unblock(fabric.read("C", count=Mt * Nt), (P * Mt, P * Nt))
        ticks = fabric.read("ticks", count=6).astype(np.int64)
    return C, A.astype(int) @ B.astype(int), (ticks[..., 3] + (ticks[..., 4] << 16) - ticks[..., 0] - (ticks[..., 1] << 16)).max()


@settings(max_examples=12, deadline=None, derandomize=True)
@given(kind=st.sampled_from(sorted(KINDS)),
       algorithm=st.sampled_from([CANNON, ALLGATHER, SUMMA]), P=st.integers(2, 8), tile=st.tuples(*[st.integers(1, 5)] * 3),
       arch=st.sampled_from(["wse2", "wse3"]))
def test_against_numpy(algorithm, P, tile, arch, kind):
    C, expected, _ = multiply(algorithm, P, tile, arch, kind)
    assert C.dtype == KINDS[kind][1] and np.array_equal(C, expected)          # small integers: exact in f16


def test_meshgemm_wins():
    """WaferLLM section 5: SUMMA and allgather lose to MeshGEMM at P = 16; Cannon's algorithm is not faster."""
    cycles = {a: multiply(a, 16, (2, 2, 2), "wse3")[2] for a in range(4)}
    assert cycles[MESH] <= cycles[CANNON] and 1.2 * cycles[MESH] < cycles[ALLGATHER] and 3 * cycles[MESH] < cycles[SUMMA]


def synchronous_step(algorithm, P):
    """Cycles of the slowest PE's step where all begin together (the barrier is not counted)."""
    with build(algorithm, P, (1, 1, 1), "wse3", synchronous=True).start() as fabric:
        fabric.launch("run")
        return int(fabric.read("step_cycles", count=1).max()) / P


def test_cannons_steps_grow_with_the_mesh():
    """WaferLLM section 5: P - 1 hops (of 2 cycles) where MeshGEMM takes 2; what is hidden behind a product does not show."""
    mesh, cannon = {P: synchronous_step(MESH, P) for P in (6, 24)}, {P: synchronous_step(CANNON, P) for P in (20, 24)}
    assert mesh[24] == mesh[6]
    assert cannon[24] - cannon[20] == pytest.approx(2 * 4, abs=1) and cannon[24] > mesh[24]


@pytest.mark.parametrize("arch, outputs", [("wse2", 2), ("wse3", 4)])
def test_summa_stated_cost(arch, outputs):
    tile = (3, 4, 5)
    program = build(SUMMA, 9, tile, arch).ir
    assert len(program.fabric.color) == 8 and len(program.tiles) == 4
    for t in program.tiles:
        assert (len(t.inputs), len(t.outputs), len(t.tasks)) == (4, outputs, 3)
        buffers = 2 * (2 * 12 + 2 * 20 + 15)
        assert buffers <= max(o.address + o.size for o in t.objects) <= buffers + 96


def test_allgather_stated_cost():
    """Its memory grows with P, as the paper says: O(1/P) of the matrices."""
    for P in (4, 8):
        program = build(ALLGATHER, P, (3, 4, 5)).ir
        assert len(program.fabric.color) == 6
        buffers = 2 * (P * (12 + 20) + 15)
        for t in program.tiles:
            assert (len(t.inputs), len(t.outputs), len(t.tasks)) == (2, 2, 3)
            assert buffers <= max(o.address + o.size for o in t.objects) <= buffers + 96
