"""The compiled engine and the same source uncompiled leave the same bytes; so do both half-precision routes."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from meshlang.fabric.engine import f16
from meshlang.fabric.engine.jit import COMPILED, HAS_FMA, HAS_HALF, standalone

HERE = Path(__file__).parent


def digests(*arguments, **env):
    root = str(HERE.parent.parent)
    path = os.pathsep.join(p for p in (root, os.environ.get("PYTHONPATH")) if p)
    done = subprocess.run(
        [sys.executable, str(HERE / "mode_program.py"), *arguments],
        env={**os.environ, "PYTHONPATH": path, **env},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def test_compiled_equals_uncompiled():
    compiled = digests()
    assert len(compiled.splitlines()) == 4
    assert digests(NUMBA_DISABLE_JIT="1") == compiled
    assert digests("alternate") == compiled


def _widen(function):
    def loop(bits, out):
        for i in range(bits.size):
            out[i] = function(np.int64(bits[i]))

    return standalone(loop)


def _narrow(function):
    def loop(values, out):
        for i in range(values.size):
            out[i] = function(values[i])

    return standalone(loop)


def test_half_conversions_against_numpy():
    """All f16, and floats around every f16 and every midpoint, for the hardware and the bit-twiddling route; uncompiled a part of
    them, for the latter."""
    bits = np.arange(0, 65536, 1 if COMPILED else 29, dtype=np.uint16)
    want = bits.view(np.float16).astype(np.float32)
    mid = want[np.isfinite(want)].astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        gap = np.spacing(np.abs(mid.astype(np.float16))).astype(np.float64)
    near = np.concatenate([mid, mid + gap / 2]).astype(np.float32)
    near = near[np.isfinite(near)]
    floats = np.concatenate(
        [
            near,
            np.nextafter(near, np.float32(np.inf)),
            np.nextafter(near, np.float32(-np.inf)),
            np.array([1e-8, 2.98e-8, 2.981e-8, 65519.9, 65520, 1e10, np.inf, -np.inf, np.nan], np.float32),
        ]
    )
    with np.errstate(all="ignore"):
        narrow = floats.astype(np.float16).view(np.uint16)
    for widen, back in (
        (f16.soft_half_to_f32, f16.soft_f32_to_half),
        *([(f16.llvm_half_to_f32, f16.llvm_f32_to_half)] if HAS_HALF and COMPILED else []),
    ):
        out = np.empty(bits.size, np.float32)
        _widen(widen)(bits, out)
        nan = np.isnan(want)
        assert (out.view(np.uint32)[~nan] == want.view(np.uint32)[~nan]).all() and np.isnan(out[nan]).all()
        got = np.empty(floats.size, np.int64)
        _narrow(back)(floats, got)
        ok = (got == narrow) | (np.isnan(floats) & (got & 0x7C00 == 0x7C00) & (got & 0x3FF != 0))
        assert ok.all()


@pytest.mark.skipif(not (COMPILED and HAS_FMA), reason="needs a processor with fused multiply-add")
def test_fused_multiply_add_routes_agree():
    rng = np.random.default_rng(3)
    n = 200_000
    a, b, c = (rng.integers(0, 1 << 32, n).astype(np.uint32).view(np.float32) for _ in range(3))
    with np.errstate(all="ignore"):
        a[::3] = -(b[::3].astype(np.float64) * c[::3]).astype(np.float32)  # cancellation
    b[::5] = rng.standard_normal(b[::5].size)
    c[::5] = rng.standard_normal(c[::5].size)

    def loop(a, b, c, out):
        for i in range(a.size):
            out[i, 0] = f16.s_of(f16.llvm_fma32(a[i], b[i], c[i]))
            out[i, 1] = f16.s_of(f16.soft_fma32(a[i], b[i], c[i]))

    out = np.empty((n, 2), np.int64)
    standalone(loop)(b, c, a, out)
    assert (out[:, 0] == out[:, 1]).all()
