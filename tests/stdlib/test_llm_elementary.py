"""<llm/elementary>: every f16 argument, samples of f32 over the whole range, in units in the last place of the exact
result."""

from __future__ import annotations

import numpy as np
import pytest

SOURCE = """const e = @import_module("<llm/elementary>");
fn main() void {
  for (@range(u16, %d)) |i| { y_exp[i] = e.exp(x[i]); y_rsqrt[i] = e.rsqrt(x[i]); y_silu[i] = e.silu(x[i]); }
  sys.unblock_cmd_stream();
}"""
NAMES = ("exp", "rsqrt", "silu")


def evaluate(one_pe, x, type_name):
    out = one_pe(SOURCE % len(x), {n: (type_name, len(x)) for n in ("x", *(f"y_{n}" for n in NAMES))}, {"x": x})
    return {n: out[f"y_{n}"] for n in NAMES}


def exact(x):
    x = x.astype(np.longdouble)
    with np.errstate(all="ignore"):
        return {"exp": np.exp(x), "rsqrt": 1 / np.sqrt(x), "silu": np.where(np.isneginf(x), 0, x / (1 + np.exp(-x)))}


def test_every_f16(one_pe):
    every = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    wrong = dict.fromkeys(NAMES, 0)
    for part in np.split(every, 16):
        got, want = evaluate(one_pe, part, "f16"), exact(np.where(np.isnan(part), np.nan, part.astype(np.float64)))
        for name in NAMES:
            with np.errstate(all="ignore"):
                w = want[name].astype(np.float16)
            g = got[name]
            assert np.array_equal(np.isnan(g), np.isnan(w))
            differs = (g != w) & ~np.isnan(w)
            wrong[name] += int(differs.sum())
            if differs.any():
                np.testing.assert_array_max_ulp(g[differs], w[differs], maxulp=1)
    assert wrong["exp"] == 0 and wrong["rsqrt"] == 0 and wrong["silu"] <= 1


@pytest.mark.parametrize("name, ulp", [("exp", 1.0), ("rsqrt", 1.0), ("silu", 2.5)])
def test_f32(one_pe, name, ulp):
    rng = np.random.default_rng(0)
    if name == "rsqrt":
        x = np.concatenate([2.0 ** rng.uniform(-149, 128, 2500), [0, 1, 2, 4, 1e-45, 3.4e38, np.inf]])
    else:
        x = np.concatenate(
            [
                rng.uniform(-110, 90, 2000),
                rng.uniform(-1, 1, 500),
                [0, 88.72283, 88.7229, -87.4, -103.97, -103.98, -137, 1e-30, -np.inf],
            ]
        )
    x = x.astype(np.float32)
    got, want = evaluate(one_pe, x, "f32")[name], exact(x)[name]
    with np.errstate(all="ignore"):
        rounded = want.astype(np.float32)
    finite = np.isfinite(rounded)
    assert np.array_equal(got[~finite], rounded[~finite])
    error = np.abs(got[finite].astype(np.longdouble) - want[finite]) / np.spacing(np.abs(rounded[finite]))
    assert error.max() <= ulp, (x[finite][error.argmax()], error.max())
