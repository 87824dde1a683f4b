"""<llm/rmsnorm>, <llm/softmax>, <llm/rotary>, <llm/swiglu>, <llm/vector> and <llm/product> on their own, against numpy
in float64."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

import meshlang

LAYOUT = """
param H: i16;
param n: u16;
param rows: u16;
param total: f32;
param f32_data: bool;
const memcpy = @import_module("<memcpy/get_params>", .{ .width = 2, .height = H });
const column = @import_module("<llm/line_layout>", .{ .N = H, .size = (H + 1) / 2,
  .colors = [6]color{ @get_color(0), @get_color(1), @get_color(2), @get_color(3), @get_color(4), @get_color(5) } });
layout {
  @set_rectangle(2, H);
  for (@range(i16, H)) |y| {
    for (@range(i16, 2)) |x| {
      @set_tile_code(x, y, "pe.csl", .{ .memcpy_params = memcpy.get_params(0), .role = column.get_params(y), .n = n, .rows = rows,
        .total = total, .f32_data = f32_data });
      column.set_routes(x, y, y, false);
    }
  }
  const T = if (f32_data) f32 else f16;
  @export_name("x", [*]T, true);
  @export_name("gamma", [*]T, true);
  @export_name("y", [*]T, true);
  @export_name("length", [*]u16, true);
  @export_name("norm", fn()void);
  @export_name("soft", fn()void);
}
"""

PE = """
param memcpy_params;
param role;
param n: u16;
param rows: u16;
param total: f32;
param f32_data: bool;
const T = if (f32_data) f32 else f16;
const sys = @import_module("<memcpy/memcpy>", memcpy_params);
const line = @import_module("<llm/line_pe>", .{ .role = role,
  .in_queues = [3]input_queue{ @get_input_queue(2), @get_input_queue(3), @get_input_queue(4) },
  .out_queues = [3]output_queue{ @get_output_queue(2), @get_output_queue(3), @get_output_queue(4) } });
const rmsnorm = @import_module("<llm/rmsnorm>", .{ .T = T, .n = n, .total = total, .epsilon = 1.0e-5, .rows = rows, .line = line });
const vector = @import_module("<llm/vector>", .{ .T = T, .n = 8 });
const softmax = @import_module("<llm/softmax>", .{ .T = T, .rows = rows, .line = line, .vector = vector });
var x: [rows * n]T;
var gamma: [n]T;
var y: [rows * n]T;
var length: [1]u16;
var x_ptr: [*]T = &x;
var gamma_ptr: [*]T = &gamma;
var y_ptr: [*]T = &y;
var length_ptr: [*]u16 = &length;
fn norm() void { rmsnorm.normalise(x_ptr, gamma_ptr, y_ptr); sys.unblock_cmd_stream(); }
fn soft() void { softmax.normalise(x_ptr, length[0]); sys.unblock_cmd_stream(); }
comptime {
  @export_symbol(x_ptr, "x");
  @export_symbol(gamma_ptr, "gamma");
  @export_symbol(y_ptr, "y");
  @export_symbol(length_ptr, "length");
  @export_symbol(norm);
  @export_symbol(soft);
}
"""

TYPES = {np.float16: "f16", np.float32: "f32"}
QUICK = [Phase.explicit, Phase.reuse, Phase.generate]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("llm_modules")
    (root / "layout.csl").write_text(LAYOUT)
    (root / "pe.csl").write_text(PE)
    return root


def build(folder, H, n, rows, total, dtype, arch):
    return meshlang.compile(
        folder / "layout.csl",
        arch=arch,
        params={"H": H, "n": n, "rows": rows, "total": float(total), "f32_data": dtype == np.float32},
    )


@settings(max_examples=10, deadline=None, phases=QUICK)
@given(
    H=st.integers(1, 6),
    n=st.integers(1, 9),
    rows=st.integers(1, 3),
    dtype=st.sampled_from([np.float16, np.float32]),
    scale=st.sampled_from([1e-3, 1.0, 300.0]),
    arch=st.sampled_from(["wse2", "wse3"]),
    cut=st.integers(0, 3),
)
def test_rmsnorm(folder, H, n, rows, dtype, scale, arch, cut):
    """One rounding to the type, one of the product with gamma; squares far beyond f16 do not matter."""
    total = max(1, H * n - cut)
    rng = np.random.default_rng(H * n)
    x = np.zeros((rows, H * n), dtype)
    x[:, :total] = (rng.uniform(-1, 1, (rows, total)) * scale).astype(dtype)
    gamma = rng.uniform(0.5, 2, H * n).astype(dtype)
    with build(folder, H, n, rows, total, dtype, arch).start() as fabric:
        fabric.write("x", np.repeat(x.reshape(rows, H, 1, n).transpose(1, 2, 0, 3).reshape(H, 1, -1), 2, 1))
        fabric.write("gamma", np.repeat(gamma.reshape(H, 1, n), 2, 1))
        fabric.launch("norm")
        y = fabric.read("y", count=rows * n)
    assert np.array_equal(y[:, 0], y[:, 1])
    y = y[:, 0].reshape(H, rows, n).transpose(1, 0, 2).reshape(rows, -1)
    wide = x.astype(np.float64)
    want = wide / np.sqrt((wide * wide).sum(1, keepdims=True) / total + 1e-5) * gamma
    eps = float(np.finfo(dtype).eps)
    smallest = float(np.finfo(dtype).smallest_subnormal)
    assert (
        np.abs(y - want) <= (1.1 if dtype == np.float16 else 4 + H * n / 4) * eps * np.abs(want) + 2 * smallest
    ).all()


@settings(max_examples=12, deadline=None, phases=QUICK)
@given(
    H=st.integers(1, 6),
    n=st.integers(1, 12),
    rows=st.integers(1, 3),
    dtype=st.sampled_from([np.float16, np.float32]),
    scale=st.sampled_from([1.0, 30.0, 3000.0]),
    arch=st.sampled_from(["wse2", "wse3"]),
    data=st.data(),
)
def test_softmax(folder, H, n, rows, dtype, scale, arch, data):
    """Parts of different lengths, empty ones too; scores that e^x could not take."""
    lengths = [data.draw(st.integers(0, n)) for _ in range(H)]
    lengths[0] = max(lengths[0], 1)
    rng = np.random.default_rng(H * n)
    parts = [(rng.uniform(-1, 1, (rows, k)) * scale).astype(dtype) for k in lengths]
    x = np.zeros((H, 2, rows * n), dtype)
    for y, part in enumerate(parts):
        x[y, :, : part.size] = part.ravel()
    with build(folder, H, n, rows, 1, dtype, arch).start() as fabric:
        fabric.write("x", x)
        fabric.write("length", np.repeat(np.array(lengths, np.uint16).reshape(H, 1, 1), 2, 1))
        fabric.launch("soft")
        out = fabric.read("x", count=rows * n)
    all_x = np.concatenate(parts, 1).astype(np.float64)
    e = np.exp(all_x - all_x.max(1, keepdims=True))
    want = e / e.sum(1, keepdims=True)
    got = np.concatenate([out[y, 0, : rows * k].reshape(rows, k) for y, k in enumerate(lengths)], 1)
    assert np.array_equal(out[:, 0], out[:, 1])
    # x - max rounds to the type, which changes e^x by as much; then e^x, 1 / sum and the product round
    eps = float(np.finfo(dtype).eps)
    distance = np.minimum(np.abs(all_x - all_x.max(1, keepdims=True)), 20)
    assert (
        np.abs(got - want)
        <= (3 + distance + sum(lengths) * (dtype == np.float32)) * eps * want + float(np.finfo(dtype).eps) ** 2
    ).all()
    assert np.abs(got.astype(np.float64).sum(1) - 1).max() <= (2 + np.sqrt(sum(lengths))) * eps


@pytest.mark.parametrize("interleaved", [False, True])
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_rotary(one_pe, dtype, interleaved):
    heads, n, t = 3, 10, TYPES[dtype]
    rng = np.random.default_rng(1)
    v = rng.uniform(-2, 2, (heads, n)).astype(dtype)
    angle = rng.uniform(-4, 4, n // 2)
    cos, sin = np.cos(angle).astype(dtype), np.sin(angle).astype(dtype)
    out = one_pe(
        f"""const r = @import_module("<llm/rotary>", .{{ .T = {t}, .heads = {heads}, .n = {n}, .interleaved = {str(interleaved).lower()} }});
fn main() void {{ r.rotate(v_ptr, c_ptr, s_ptr); sys.unblock_cmd_stream(); }}""",
        {"v": (t, v.size), "c": (t, n // 2), "s": (t, n // 2)},
        {"v": v, "c": cos, "s": sin},
    )["v"].reshape(heads, n)
    first, second = (slice(0, None, 2), slice(1, None, 2)) if interleaved else (slice(0, n // 2), slice(n // 2, None))
    a, b, c, s = v[:, first].astype(float), v[:, second].astype(float), cos.astype(float), sin.astype(float)
    want = np.empty(v.shape)
    want[:, first], want[:, second] = a * c - b * s, b * c + a * s
    # two products and a sum, each rounded once
    assert np.abs(out - want).max() <= 2 * np.finfo(dtype).eps * np.abs(v).max()


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_swiglu(one_pe, dtype):
    t, n = TYPES[dtype], 37  # not a multiple of the block
    rng = np.random.default_rng(2)
    gate, up = (rng.uniform(-9, 9, n).astype(dtype) for _ in range(2))
    out = one_pe(
        f"""const vector = @import_module("<llm/vector>", .{{ .T = {t}, .n = 16 }});
const s = @import_module("<llm/swiglu>", .{{ .T = {t}, .vector = vector }});
fn main() void {{ s.activate(g_ptr, u_ptr, {n}); sys.unblock_cmd_stream(); }}""",
        {"g": (t, n), "u": (t, n)},
        {"g": gate, "u": up},
    )["g"]
    g = gate.astype(np.float64)
    want = g / (1 + np.exp(-g)) * up
    assert (
        np.abs(out - want)
        <= (1.1 if dtype == np.float16 else 5) * np.finfo(dtype).eps * np.abs(want) + np.finfo(dtype).smallest_subnormal
    ).all()


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize("K, N", [(1, 1), (7, 5), (20, 33)])
def test_product(one_pe, dtype, K, N):
    t = TYPES[dtype]
    rng = np.random.default_rng(K)
    x, w, y = (
        rng.uniform(-1, 1, K).astype(dtype),
        rng.uniform(-1, 1, (K, N)).astype(dtype),
        rng.uniform(-1, 1, N).astype(dtype),
    )
    out = one_pe(
        f"""const p = @import_module("<llm/product>", .{{ .T = {t} }});
fn main() void {{ p.add(x_ptr, w_ptr, y_ptr, {K}, {N}); p.multiply(x_ptr, w_ptr, z_ptr, {K}, {N}); p.add(x_ptr, w_ptr, y_ptr, 0, {N});
  sys.unblock_cmd_stream(); }}""",
        {"x": (t, K), "w": (t, K * N), "y": (t, N), "z": (t, N)},
        {"x": x, "w": w, "y": y},
    )
    want = x.astype(np.float64) @ w.astype(np.float64)
    bound = K * np.finfo(dtype).eps / 2 * (np.abs(x).astype(np.float64) @ np.abs(w).astype(np.float64) + 1)
    assert (np.abs(out["z"] - want) <= bound).all() and (np.abs(out["y"] - (want + y)) <= 2 * bound).all()


VECTOR = """const e = @import_module("<llm/vector>", .{ .T = %s, .n = 64 });
fn main() void { e.exponential(y_exp_ptr, %d); e.silu(y_silu_ptr, %d); sys.unblock_cmd_stream(); }"""


def vector(one_pe, x, t):
    return one_pe(
        VECTOR % (t, len(x), len(x)), {n: (t, len(x)) for n in ("y_exp", "y_silu")}, {"y_exp": x, "y_silu": x}
    )


def exact(x):
    x = x.astype(np.longdouble)
    with np.errstate(all="ignore"):
        return {"y_exp": np.exp(x), "y_silu": x / (1 + np.exp(-x))}


def test_vector_every_f16(one_pe):
    every = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    for part in np.split(every[np.isfinite(every)], 16):
        got = vector(one_pe, part, "f16")
        with np.errstate(all="ignore"):
            for name, want in exact(part).items():
                np.testing.assert_array_equal(got[name], want.astype(np.float16))


def test_vector_f32(one_pe):
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.uniform(-87.3, 88.7, 2000), rng.uniform(-1, 1, 500), [0, 1e-30, -200, 200]]).astype(
        np.float32
    )
    got = vector(one_pe, x, "f32")
    for name, ulp, inside in (("y_exp", 1, np.abs(x) < 100), ("y_silu", 4, x >= -80)):
        want = exact(x)[name][inside]
        assert (
            np.abs(got[name][inside].astype(np.longdouble) - want) / np.spacing(np.abs(want.astype(np.float32)))
        ).max() <= ulp
    assert got["y_exp"][-2] == pytest.approx(1.2e-38, rel=0.1) and got["y_exp"][-1] == pytest.approx(3.3e38, rel=0.02)
    assert (
        np.abs(got["y_silu"][x < -80]).max() <= 2e-32
        and np.abs(got["y_silu"][x < -80] - exact(x)["y_silu"][x < -80]).max() <= 5e-33
    )


@pytest.mark.parametrize(
    "source, message",
    [
        (
            'const r = @import_module("<llm/rotary>", .{ .T = f16, .heads = 1, .n = 3 });\nfn main() void { r.rotate(x_ptr, x_ptr, x_ptr); }',
            "a PE needs an even number of a head's elements",
        ),
        (
            'const r = @import_module("<llm/vector>", .{ .T = i16, .n = 3 });\nfn main() void { r.silu(x_ptr, 1); }',
            "vector functions work on f16 or f32",
        ),
        (
            'const r = @import_module("<llm/vector>", .{ .T = f16, .n = 0 });\nfn main() void { r.silu(x_ptr, 1); }',
            "a block has at least one element",
        ),
    ],
)
def test_mistakes(one_pe, source, message):
    with pytest.raises(meshlang.MeshlangError) as found:
        one_pe(source, {"x": ("f16", 4)})
    assert any(message in d.message for d in found.value.diagnostics)


GELU = """const e = @import_module("<llm/vector>", .{ .T = %s, .n = 64 });
fn main() void { e.gelu(y_ptr, %d); sys.unblock_cmd_stream(); }"""


def test_gelu(one_pe):
    """Every f16 argument; f32 beside the exact value of the same formula."""

    def exact_gelu(x):
        x = x.astype(np.longdouble)
        return x / (1 + np.exp(-2 * np.sqrt(2 / np.longdouble(np.pi)) * (x + np.longdouble("0.044715") * x**3)))

    every = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    wrong = 0
    for part in np.split(every[np.isfinite(every)], 16):
        got = one_pe(GELU % ("f16", len(part)), {"y": ("f16", len(part))}, {"y": part})["y"]
        with np.errstate(all="ignore"):
            want = exact_gelu(part).astype(np.float16)
        wrong += int((got != want).sum())
        np.testing.assert_array_max_ulp(got, want, maxulp=1)
    assert wrong <= 4
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.uniform(-12, 12, 2000), rng.uniform(-1, 1, 500), [0, 1e-30, -1e-30, -1e20, 1e20, 200]])
    x = x.astype(np.float32)
    got = one_pe(GELU % ("f32", len(x)), {"y": ("f32", len(x))}, {"y": x})["y"].astype(np.longdouble)
    with np.errstate(all="ignore"):
        want = exact_gelu(x)
    error = np.abs(got - want)
    near = x >= -1
    assert (error[near] <= 2.5 * np.spacing(np.abs(want[near].astype(np.float32)))).all()
    assert (error[~near] <= 2.5e-8 * np.abs(x[~near])).all()
