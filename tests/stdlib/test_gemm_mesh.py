"""<gemm/mesh> through programs/meshgemm: any size, both machines, all types; its stated cost; its cycles."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import meshlang
from meshlang import placement

LAYOUT = Path(__file__).resolve().parents[2] / "programs/meshgemm/layout.csl"
KINDS = {"f16": (np.float16, np.float16), "f32": (np.float32, np.float32), "mixed": (np.float16, np.float32)}


def build(P, tile, kind="f16", arch="wse2", interleave=True):
    Mt, Kt, Nt = tile
    return meshlang.compile(
        LAYOUT,
        arch=arch,
        params={
            "P": P,
            "Mt": Mt,
            "Kt": Kt,
            "Nt": Nt,
            "f32_data": kind == "f32",
            "f32_sum": kind == "mixed",
            "interleave": interleave,
        },
    )


def multiply(P, M, K, N, kind="f16", arch="wse2", interleave=True, repeat=1, launches=1):
    """C of the mesh, numpy's, the error bound, and the cycles of a repetition."""
    dtype, sum_dtype = KINDS[kind]
    rng = np.random.default_rng(M * 10000 + K * 100 + N)
    A, B = rng.uniform(-1, 1, (M, K)).astype(dtype), rng.uniform(-1, 1, (K, N)).astype(dtype)
    tile = (*placement.tile_shape((M, K), P, P), placement.tile_shape((K, N), P, P)[1])
    with build(P, tile, kind, arch, interleave).start() as fabric:
        fabric.write("A", placement.skewed_a(A, P, interleave))
        fabric.write("B", placement.skewed_b(B, P, interleave))
        for _ in range(launches):
            fabric.launch("run", repeat)
        C = placement.unblock(fabric.read("C", count=tile[0] * tile[2]), (M, N))
        ticks = fabric.read("ticks", count=6).astype(np.int64)
        # A and B are back where they were
        assert np.array_equal(fabric.read("A", count=tile[0] * tile[1]), placement.skewed_a(A, P, interleave))
        assert np.array_equal(fabric.read("B", count=tile[1] * tile[2]), placement.skewed_b(B, P, interleave))
    a, b = A.astype(np.float64), B.astype(np.float64)
    bound = K * float(np.finfo(sum_dtype).eps) / 2 * float((np.abs(a) @ np.abs(b)).max())
    cycles = float((ticks[..., 3] + (ticks[..., 4] << 16) - ticks[..., 0] - (ticks[..., 1] << 16)).mean()) / repeat
    return C, a @ b, bound, cycles


@settings(max_examples=15, deadline=None)
@given(
    P=st.integers(2, 9),
    sizes=st.tuples(*[st.integers(1, 30)] * 3),
    kind=st.sampled_from(sorted(KINDS)),
    arch=st.sampled_from(["wse2", "wse3"]),
    interleave=st.booleans(),
    repeat=st.integers(1, 2),
)
def test_against_numpy(P, sizes, kind, arch, interleave, repeat):
    C, expected, bound, _ = multiply(P, *sizes, kind, arch, interleave, repeat)
    assert np.abs(C - expected).max() <= bound


@pytest.mark.parametrize("arch", ["wse2", "wse3"])
@pytest.mark.parametrize("P", range(2, 10))
def test_every_mesh(P, arch):
    C, expected, bound, _ = multiply(P, 2 * P - 1, 13, P + 1, arch=arch, launches=2)
    assert np.abs(C - expected).max() <= bound


def test_f16_is_exact_to_the_order_of_the_sums():
    """Each element is the sum of its products in the order the steps bring them, fused and rounded once each."""
    P, n = 3, 6
    rng = np.random.default_rng(7)
    A, B = (rng.uniform(-1, 1, (n, n)).astype(np.float16) for _ in range(2))
    with build(P, (2, 2, 2)).start() as fabric:
        fabric.write("A", placement.skewed_a(A, P))
        fabric.write("B", placement.skewed_b(B, P))
        fabric.launch("run", 1)
        C = placement.unblock(fabric.read("C", count=4), (n, n))
    r = placement.ring(P)
    want = np.zeros((n, n), np.float16)
    for y in range(n):
        for x in range(n):
            for step in range(P):
                block = (r[x // 2] + r[y // 2] - step) % P
                for k in (2 * block, 2 * block + 1):
                    want[y, x] = np.float16(np.float64(want[y, x]) + np.float64(A[y, k]) * np.float64(B[k, x]))
    assert np.array_equal(C, want)


def test_cycles_per_step_do_not_grow():
    """WaferLLM section 5: two hops a step whatever P is (WSE-3 hardware: 159.25 P + 88 cycles for tiles of one
    element)."""
    for tile, sizes in ((1, (8, 16, 32, 64)), (4, (8, 16, 32))):
        cycles = {P: multiply(P, tile * P, tile * P, tile * P, arch="wse3")[3] for P in sizes}
        slopes = [(cycles[2 * P] - cycles[P]) / P for P in sizes[:-1]]
        assert slopes == pytest.approx([slopes[0]] * len(slopes), rel=0.03)
        a_step = [cycles[P] / P for P in sizes]
        assert a_step == sorted(a_step, reverse=True)  # the start is shared by more steps


def test_communication_overlaps_computation():
    """A step takes little more than the longer of its product and its wavelets, not their sum."""
    P, m, k, n = 4, 1, 128, 8  # 128 multiply-adds of 8 elements; 64 wavelets of A and 512 of B, out and in
    cycles = multiply(P, P * m, P * k, P * n, arch="wse3")[3] / P
    product, wavelets = 128 * 6, 2 * (64 + 512)
    assert wavelets < cycles < wavelets + 0.25 * product


def test_stated_cost():
    """The header's figures: 6 colors, 2 + 2 queues, 3 local tasks, the buffers and little more; two hops."""
    Mt, Kt, Nt = 5, 6, 7
    for kind, element, sum_element in (("f16", 2, 2), ("f32", 4, 4), ("mixed", 2, 4)):
        program = build(9, (Mt, Kt, Nt), kind).ir
        assert len(program.fabric.color) == 6
        buffers = element * 2 * (Mt * Kt + Kt * Nt) + sum_element * Mt * Nt
        for tile in program.tiles:
            assert (len(tile.inputs), len(tile.outputs), len(tile.tasks)) == (2, 2, 3)
            assert buffers <= max(o.address + o.size for o in tile.objects) <= buffers + 96
    assert len(program.tiles) <= 36  # tile programs do not grow with the mesh either
    assert len(build(16, (1, 1, 1)).ir.fabric.color) == 6


@pytest.mark.parametrize(
    "params, message",
    [
        ({"P": 1}, "at least 2 PEs"),
        ({"P": 4, "Mt": 0}, "one row and one column"),
        ({"P": 4, "Mt": 100, "Kt": 100, "Nt": 100}, "40 KB"),
    ],
)
def test_mistakes(params, message):
    with pytest.raises(meshlang.MeshlangError) as found:
        meshlang.compile(LAYOUT, params=params)
    assert any(message in d.message for d in found.value.diagnostics)
