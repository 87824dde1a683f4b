"""The vendor's public examples, run as they are: `meshlang sdk -- bash commands_wse2.sh` in a copy of each folder.

MESHLANG_CSL_EXAMPLES names a checkout of github.com/Cerebras/csl-examples (162e0f3). Nothing of it is committed here.
"""

import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

CHECKOUT = os.environ.get("MESHLANG_CSL_EXAMPLES")

# folder -> how the script says that its own comparison succeeded
EXAMPLES = {
    **{
        f"tutorials/{name}": "SUCCESS"
        for name in (
            "gemv-01-complete-program",
            "gemv-02-memory-dsds",
            "gemv-03-memcpy",
            "gemv-04-params",
            "gemv-05-multiple-pes",
            "gemv-06-routes-1",
            "gemv-07-routes-2",
            "gemv-08-routes-3",
            "gemv-09-streaming",
            "pipeline-01-basic",
            "pipeline-02-fifo",
            "pipeline-03-multiple",
            "topic-01-arrays-and-pointers",
            "topic-02-libraries",
            "topic-03-streaming-wavelet-data",
            "topic-04-sparse-tensors",
            "topic-05-sentinels",
            "topic-06-switches",
            "topic-07-switches-entrypt",
            "topic-08-filters",
            "topic-09-fifos",
            "topic-10-map-builtin",
            "topic-11-collectives",
            "topic-12-debug-library",
            "topic-13-simprint",
            "topic-14-color-swap",
            "topic-15-wse3-microthreads",
            "sdklayout-01-introduction",
            "sdklayout-02-routing",
            "sdklayout-03-ports-and-connections",
            "sdklayout-04-h2d-d2h",
            "sdklayout-05-gemv",
        )
    },
    **{f"benchmarks/{name}": "SUCCESS" for name in ("residual", "mandelbrot", "wide-multiplication", "game-of-life")},
    **{
        f"benchmarks/{name}": "SUCCESS"
        for name in (
            "7pt-stencil-spmv",
            "bicgstab",
            "cholesky",
            "conjugate-gradient",
            "gemm-collectives_2d",
            "gemv-checkerboard-pattern",
            "gemv-collectives_2d",
            "power-method",
            "preconditioned-conjugate-gradient",
            "25-pt-stencil",
            "fft-1d-2d",
            "fft-3d",
            "histogram-torus",
        )
    },
    "benchmarks/single-tile-matvec": "PetaFLOPS",
    "benchmarks/spmv-hypersparse": "PASS",
    "benchmarks/row-col-broadcast": "bandwidth",
    "benchmarks/bandwidth-test": "bandwidth",
}
NEEDS = {
    "benchmarks/game-of-life": "matplotlib",
    "benchmarks/spmv-hypersparse": "pandas",
    **{
        f"benchmarks/{n}": "scipy"
        for n in (
            "7pt-stencil-spmv",
            "bicgstab",
            "conjugate-gradient",
            "power-method",
            "preconditioned-conjugate-gradient",
        )
    },
}


@pytest.mark.skipif(not CHECKOUT, reason="MESHLANG_CSL_EXAMPLES names no checkout of csl-examples")
@pytest.mark.parametrize("arch", ["wse2", "wse3"])
@pytest.mark.parametrize("example", EXAMPLES)
def test_example(example, arch, tmp_path):
    source = Path(CHECKOUT) / example
    assert source.is_dir(), f"{CHECKOUT} has no {example}"
    if not (source / f"commands_{arch}.sh").is_file():
        pytest.skip(f"{example} has no commands_{arch}.sh")
    if example in NEEDS and find_spec(NEEDS[example]) is None:
        pytest.skip(f"{example} needs {NEEDS[example]}")
    # everything: examples share files with their neighbours
    shutil.copytree(CHECKOUT, tmp_path / "checkout", ignore=shutil.ignore_patterns(".git", "images"))
    folder = tmp_path / "checkout" / example
    result = subprocess.run(
        [sys.executable, "-m", "meshlang", "sdk", "--", "bash", f"commands_{arch}.sh"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-4000:]
    assert EXAMPLES[example] in result.stdout
    if example.endswith("topic-13-simprint"):
        lines = (folder / "sim.log").read_text().splitlines()
        texts = [line.partition(" ")[2] for line in lines]
        cycles = [int(line.partition(" ")[0].removeprefix("@")) for line in lines]
        assert cycles == sorted(cycles)
        assert texts[0] == "PE(0,0): sender beginning main_fn"
        assert [t for t in texts if t.startswith("PE(3,0)")] == [
            f"PE(3,0): recv_task: in_data = {i}, global = {i * (i + 1)}" for i in range(5)
        ]


# bandwidth-test measures, and compares nothing: what its copies carry is checked here
COPIES = """
import numpy as np
from cerebras.sdk.runtime.sdkruntimepybind import MemcpyDataType, MemcpyOrder, SdkRuntime
runner = SdkRuntime("out")
a = runner.get_id("A")
runner.load()
runner.run()
x = np.random.default_rng(5).random(5 * 5 * 5, np.float32)
tensor = x.reshape(5, 5, 5)         # [h][w][l]
for there, back in ((MemcpyOrder.ROW_MAJOR, MemcpyOrder.COL_MAJOR), (MemcpyOrder.COL_MAJOR, MemcpyOrder.ROW_MAJOR)):
    out = np.zeros(125, np.float32)
    options = dict(streaming=False, data_type=MemcpyDataType.MEMCPY_32BIT)
    runner.memcpy_h2d(a, x, 0, 0, 5, 5, 5, order=there, nonblock=True, **options)
    runner.memcpy_d2h(out, a, 0, 0, 5, 5, 5, order=back, nonblock=False, **options)
    want = tensor.transpose(2, 1, 0).ravel() if there == MemcpyOrder.ROW_MAJOR else x.reshape(5, 5, 5).transpose(2, 1, 0).ravel()
    assert np.array_equal(out, want), (out, want)
part = np.zeros(6, np.float32)
runner.memcpy_d2h(part, a, 3, 1, 2, 1, 3, order=MemcpyOrder.ROW_MAJOR, nonblock=False, **options)
held = x.reshape(5, 5, 5).transpose(2, 1, 0)       # written in column order last
assert np.array_equal(part, held[1, 3:5, :3].ravel())
runner.stop()
print("COPIES ARRIVE")
"""


@pytest.mark.skipif(not CHECKOUT, reason="MESHLANG_CSL_EXAMPLES names no checkout of csl-examples")
@pytest.mark.parametrize("arch", ["wse2", "wse3"])
def test_data_of_the_bandwidth_test(arch, tmp_path):
    folder = tmp_path / "example"
    shutil.copytree(Path(CHECKOUT) / "benchmarks" / "bandwidth-test", folder)
    (folder / "copies.py").write_text(COPIES)
    command = [
        sys.executable,
        "-m",
        "meshlang",
        "sdk",
        "--",
        "bash",
        "-c",
        f"bash commands_{arch}.sh && cs_python copies.py",
    ]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=600)
    assert result.returncode == 0 and "COPIES ARRIVE" in result.stdout, result.stdout[-2000:] + result.stderr[-4000:]
    cycles = int(next(line for line in result.stdout.splitlines() if line.startswith("cycles_send")).split()[2])
    assert cycles > 0
