"""<kernels/fft> against numpy: sizes, distributions, types, normalisations, both modules; and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest

import meshlang
from meshlang.diag import MeshlangError

LAYOUT = """
param N: u16;
param W: i16;
param half: bool;
const memcpy = @import_module("<memcpy/get_params>", .{ .width = W, .height = W });
const fft = @import_module("<kernels/fft/fft3d_layout>", .{ .width = W, .memcpy = memcpy });
layout {
  @set_rectangle(W, W);
  fft.FFT_kernel(W, N, if (half) f16 else f32);
}
"""
# the module below it, with colors, ids and a host interface of the program's own
OWN_LAYOUT = """
param N: u16;
param W: u16;
param half: bool;
const memcpy = @import_module("<memcpy/get_params>", .{ .width = W, .height = W });
const fft = @import_module("<kernels/fft/get_params>", .{ .width = W,
  .colors = [4]color{ @get_color(9), @get_color(8), @get_color(7), @get_color(6) },
  .task_ids = [5]local_task_id{ @get_local_task_id(14), @get_local_task_id(15), @get_local_task_id(16), @get_local_task_id(17),
                                @get_local_task_id(18) } });
layout {
  @set_rectangle(W, W);
  for (@range(u16, W)) |x| { for (@range(u16, W)) |y| {
    @set_tile_code(x, y, "pe.csl", .{ .memcpy_params = memcpy.get_params(x), .fft_params = fft.get_params(x, y), .N = N, .W = W });
  } }
  @export_name("X", [*]f32, true);
  @export_name("twiddle_array", [*]f32, true);
  @export_name("twice", fn()void);
}
"""
OWN_PE = """
param memcpy_params; param fft_params; param N: u16; param W: u16;
const sys = @import_module("<memcpy/memcpy>", memcpy_params);
const m = N / W;
var X: [2 * N * m * m]f32;
var twiddle: [N]f32;
const fft = @import_module("<kernels/fft/fft3d>", .{ .fft_params = fft_params, .N = N, .T = f32, .X = &X, .twiddle = &twiddle });
const done_id = @get_local_task_id(10);
var X_ptr: [*]f32 = &X;
var twiddle_ptr: [*]f32 = &twiddle;
var runs: u16 = 0;
fn twice() void { fft.init(); fft.fft3d(1, false, done_id); }
task done() void {
  runs += 1;
  if (runs < 2) { fft.fft3d(1, true, done_id); } else { sys.unblock_cmd_stream(); }
}
comptime {
  @bind_local_task(done, done_id);
  @export_symbol(X_ptr, "X");
  @export_symbol(twiddle_ptr, "twiddle_array");
  @export_symbol(twice);
}
"""
NORMS = ("backward", "ortho", "forward")


def twiddles(N: int, dtype) -> np.ndarray:
    k = 2 * np.pi * np.arange(N // 2) / N
    return np.stack([np.cos(k), np.sin(k)], axis=1).ravel().astype(dtype)


def scatter(x: np.ndarray, W: int, dtype) -> np.ndarray:
    """complex [z, y, x] -> what each PE holds, [W, W, 2 N m m]: [py, px] has [z][y][x][re, im]."""
    N = len(x)
    m = N // W
    parts = np.stack([x.real, x.imag], axis=-1).astype(dtype)
    return parts.reshape(N, W, m, W, m, 2).transpose(1, 3, 0, 2, 4, 5).reshape(W, W, -1)


def gather(data: np.ndarray, N: int) -> np.ndarray:
    W = len(data)
    m = N // W
    parts = data.astype(np.float64).reshape(W, W, N, m, m, 2).transpose(2, 0, 3, 1, 4, 5).reshape(N, N, N, 2)
    return parts[..., 0] + 1j * parts[..., 1]


def numbers(N: int, dtype) -> np.ndarray:
    rng = np.random.default_rng(N)
    return rng.uniform(-1, 1, (N, N, N)).astype(dtype) + 1j * rng.uniform(-1, 1, (N, N, N)).astype(dtype)


def start(folder, N, W, half=False, arch="wse3"):
    (folder / "layout.csl").write_text(LAYOUT)
    fabric = meshlang.compile(str(folder / "layout.csl"), arch=arch, params={"N": N, "W": W, "half": half}).start()
    dtype = np.float16 if half else np.float32
    fabric.write("twiddle_array", np.broadcast_to(twiddles(N, dtype), (W, W, N)))
    return fabric, dtype


def close(got: np.ndarray, want: np.ndarray, dtype) -> None:
    """Errors grow with the logarithm of the size; relative to the root mean square of the result."""
    rms = np.sqrt(np.mean(abs(want) ** 2))
    assert abs(got - want).max() < 8 * np.log2(want.size) * np.finfo(dtype).eps * rms


@pytest.mark.parametrize(
    "arch, N, W, half",
    [
        ("wse2", 2, 1, False),
        ("wse3", 2, 2, False),
        ("wse2", 4, 2, False),
        ("wse3", 8, 8, False),
        ("wse3", 8, 1, True),
        ("wse2", 8, 2, True),
        ("wse3", 16, 4, False),
        ("wse3", 32, 8, False),
        ("wse2", 4, 4, True),
    ],
)
def test_forwards_and_backwards(tmp_path, arch, N, W, half):
    fabric, dtype = start(tmp_path, N, W, half, arch)
    x = numbers(N, dtype)
    for norm, name in enumerate(NORMS):  # one transform after another on the same fabric
        fabric.write("X", scatter(x, W, dtype))
        fabric.launch("csfftExecC2C", norm, 0)
        close(gather(fabric.read("X"), N), np.fft.fftn(x, norm=name), dtype)
        fabric.write("X", scatter(x, W, dtype))
        fabric.launch("csfftExecC2C", norm, 1)
        close(gather(fabric.read("X"), N), np.fft.ifftn(x, norm=name), dtype)
    assert fabric.session.warnings.total == 0


def test_real_transforms(tmp_path):
    N, W = 8, 2
    fabric, dtype = start(tmp_path, N, W)
    x = numbers(N, dtype)
    fabric.write("X", scatter(x, W, dtype))  # with imaginary parts, which do not count
    fabric.launch("csfftExecR2C", 0)
    spectrum = gather(fabric.read("X"), N)
    close(spectrum, np.fft.fftn(x.real), dtype)
    fabric.launch("csfftExecC2R", 0)
    close(gather(fabric.read("X"), N), x.real, dtype)
    words = fabric.read("fft_time")[0, 0].astype(np.int64)
    assert 1000 < words[0] + (words[1] << 16) + (words[2] << 32) < fabric.cycles


@pytest.mark.parametrize("arch", ["wse2", "wse3"])
def test_the_module_for_programs_of_their_own(tmp_path, arch):
    N, W = 8, 4
    (tmp_path / "layout.csl").write_text(OWN_LAYOUT)
    (tmp_path / "pe.csl").write_text(OWN_PE)
    fabric = meshlang.compile(str(tmp_path / "layout.csl"), arch=arch, params={"N": N, "W": W, "half": False}).start()
    x = numbers(N, np.float32)
    fabric.write("twiddle_array", np.broadcast_to(twiddles(N, np.float32), (W, W, N)))
    fabric.write("X", scatter(x, W, np.float32))
    fabric.launch("twice")
    close(gather(fabric.read("X"), N), x, np.float32)


@pytest.mark.parametrize("N, W, text", [(12, 2, "power of two"), (8, 3, "multiple of the width")])
def test_sizes_it_cannot_do_are_refused(tmp_path, N, W, text):
    with pytest.raises(MeshlangError) as e:
        start(tmp_path, N, W)
    assert text in e.value.diagnostics[0].message
