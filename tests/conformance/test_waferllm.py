"""WaferLLM's MeshGEMV (OSDI'25), run as it is: `run_sim.sh P M N groups` in a copy of its folder.

MESHLANG_WAFERLLM names a checkout of WaferLLM (2cd13b5). Nothing of it is committed here. The script prints, but does
not compare, numpy's result and the machine's; the comparison is here. WSE-3 cycles are held against the published
hardware figures for P = 16 (MeshGEMV/WSE-3/wse_result.json in WaferLLM), to 25 %.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = os.environ.get("MESHLANG_WAFERLLM")
SIZES = [(4, 16, 16, 2), (8, 64, 64, 2), (16, 128, 128, 4)]
PUBLISHED = {(16, 16, 16, 2): 246.95, (16, 128, 128, 2): 274.96, (16, 16, 16, 4): 237.96, (16, 128, 128, 4): 267.95}

# print numpy arrays whole: the script's own output abbreviates them
SITE = "import numpy, sys\nnumpy.set_printoptions(threshold=sys.maxsize)\n"


def rows(text: str) -> list[list[float]]:
    return [[float(x) for x in row.split()] for row in re.findall(r"\[([^\[\]]+)\]", text)]


def run(arch: str, size: tuple[int, ...], tmp_path: Path) -> tuple[list[float], list[list[float]], float]:
    """The expected row, the machine's rows, and the mean cycle count."""
    shutil.copytree(Path(CHECKOUT) / "MeshGEMV" / arch, tmp_path / "e")
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(SITE)
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path / "site"), os.environ.get("PYTHONPATH", "")])}
    result = subprocess.run(
        [sys.executable, "-m", "meshlang", "sdk", "--", "bash", "run_sim.sh", *map(str, size)],
        cwd=tmp_path / "e",
        capture_output=True,
        text=True,
        timeout=600,
        env=env,
    )
    assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-4000:]
    expected, actual = re.search(r"Expected result:\n(.*)Actual result:\n(.*?)\n\n", result.stdout, re.S).groups()
    cycles = float(re.search(r"Mean cycle count: ([\d.]+)", result.stdout)[1])
    return rows(expected)[0], rows(actual), cycles


@pytest.mark.skipif(not CHECKOUT, reason="MESHLANG_WAFERLLM names no checkout of WaferLLM")
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("arch", ["WSE-2", "WSE-3"])
def test_meshgemv(arch, size, tmp_path):
    expected, actual, cycles = run(arch, size, tmp_path)
    P, M, N, _ = size
    assert len(actual) == P and len(expected) == N
    for row in actual:  # every row of PEs holds the whole result
        assert len(row) == N
        # sums of M products of numbers in [0, 1), rounded to f16 after each step: at most M/2 units in the last place,
        # 2^-11
        assert all(abs(a - e) <= e * M * 2**-12 + 2**-9 for a, e in zip(row, expected))
    assert 50 < cycles < 5_000


@pytest.mark.skipif(not CHECKOUT, reason="MESHLANG_WAFERLLM names no checkout of WaferLLM")
@pytest.mark.parametrize("size", PUBLISHED)
def test_published_cycles(size, tmp_path):
    _, _, cycles = run("WSE-3", size, tmp_path)
    assert abs(cycles / PUBLISHED[size] - 1) <= 0.25, (cycles, PUBLISHED[size])
