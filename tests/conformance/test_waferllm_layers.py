"""WaferLLM's MeshGEMM, Prefill and Decode, run as they are by their own run_sim.sh (MeshGEMV: test_waferllm.py).

MESHLANG_WAFERLLM names a checkout of WaferLLM (2cd13b5); with MESHLANG_WAFERLLM_LARGE=1 the READMEs' sizes run too.
Prefill and Decode compare nothing themselves; here every variable of every PE is compared, bit for bit, with the numpy
models of tests/support/waferllm.py.
"""

import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest
import waferllm
from waferllm import CHECKOUT

pytestmark = pytest.mark.skipif(not CHECKOUT, reason="MESHLANG_WAFERLLM names no checkout of WaferLLM")
large = pytest.mark.skipif(
    not os.environ.get("MESHLANG_WAFERLLM_LARGE"), reason="a README's size: set MESHLANG_WAFERLLM_LARGE=1"
)

TEST_CONFIG = {
    "P": 8,
    "group_num": 2,
    "bsz": 1,
    "dim": 64,
    "n_heads": 1,
    "n_kv_heads": 1,
    "head_dim": 64,
    "seq_len": 64,
    "ffn_dim": 64,
}


def config(**changes: int) -> dict:
    return {**TEST_CONFIG, **changes}


def compare(got: dict, expected: dict) -> None:
    for name, value in expected.items():
        actual = got[name]
        same = (actual.view(np.uint16) == value.view(np.uint16)) | (np.isnan(actual) & np.isnan(value))
        assert same.all(), (
            f"{name}: PE (y, x) {np.argwhere(~same)[0][:2]} has {actual[~same][:4]}, expected {value[~same][:4]}"
        )
        assert np.isfinite(value.astype(np.float64)).all(), f"{name} overflows: nothing is compared behind it"


@pytest.mark.parametrize(
    "size", [(4, 16, 32, 24), (8, 32, 32, 32), (16, 64, 64, 64), pytest.param((64, 1024, 1024, 1024), marks=large)]
)
@pytest.mark.parametrize("arch", ["WSE-2", "WSE-3"])
def test_meshgemm(arch, size, tmp_path):
    run = waferllm.run(f"MeshGEMM/{arch}", [str(n) for n in size], tmp_path)
    expected, actual = re.search(r"Expected result:\n(.*)Actual result:\n(.*?)\n\n", run.stdout, re.S).groups()
    _, M, K, N = size

    def numbers(text):
        return np.array([float(x) for x in re.findall(r"-?[\d.]+(?:e[-+]\d+)?", text)]).reshape(M, N)

    # sums of K products of numbers in [0, 1): each side rounds to f16 after each addition, half a unit in the last
    # place of the sum
    assert (abs(numbers(actual) - numbers(expected)) <= numbers(expected) * K * 2**-11).all()


@pytest.mark.parametrize(
    ("arch", "layer"),
    [
        ("WSE-2", config()),
        ("WSE-2", config(P=4, dim=32, seq_len=32, ffn_dim=96, bsz=2)),
        ("WSE-2", config(P=16, group_num=4, ffn_dim=128)),
        ("WSE-3", config()),
        ("WSE-3", config(P=6, group_num=3, dim=24, seq_len=24, ffn_dim=48, bsz=2)),
        ("WSE-3", config(P=16, group_num=4, ffn_dim=128)),
    ],
    ids=lambda v: v if isinstance(v, str) else f"P{v['P']}",
)
def test_decode(arch, layer, tmp_path):
    (tmp_path / "layer.json").write_text(json.dumps(layer))
    run = waferllm.run(f"Decode/{arch}", [str(tmp_path / "layer.json")], tmp_path)
    with np.errstate(over="ignore"):
        compare(run.after, waferllm.decode(run.before, layer, arch == "WSE-3"))


@pytest.mark.parametrize("arch", ["WSE-2", "WSE-3"])
@pytest.mark.parametrize("groups", [1, 4])
def test_decode_needs_two_groups_of_two(arch, groups, tmp_path):
    """With one group, or groups of one PE, the root of a reduction waits for a sum that nobody sends (its second
    receive is unconditional); on WSE-3 also when the last PE is the root, to which the layout gives no broadcast route:
    4 x 4 PEs do not work there at all."""
    assert _deadlocks(arch, config(P=4, group_num=groups, dim=16, seq_len=16, ffn_dim=16), tmp_path)
    if arch == "WSE-3" and groups == 1:
        assert _deadlocks(arch, config(P=4, group_num=2, dim=16, seq_len=16, ffn_dim=16), tmp_path / "two")


def _deadlocks(arch: str, layer: dict, folder) -> bool:
    import shutil

    shutil.copytree(os.path.join(CHECKOUT, "Decode", arch), folder / "copy")
    (folder / "copy" / "layer.json").write_text(json.dumps(layer))
    done = subprocess.run(
        [sys.executable, "-m", "meshlang", "sdk", "--", "bash", "run_sim.sh", "layer.json"],
        cwd=folder / "copy",
        capture_output=True,
        text=True,
        timeout=600,
    )
    return done.returncode == 3 and "MS0860" in done.stderr


@pytest.mark.parametrize(
    "layer",
    [
        config(),
        config(P=4, dim=16, seq_len=32, ffn_dim=48),
        config(P=5, dim=20, seq_len=20, ffn_dim=20),
        config(P=16),
    ],
    ids=lambda v: f"P{v['P']}",
)
def test_prefill(layer, tmp_path):
    (tmp_path / "layer.json").write_text(json.dumps(layer))
    run = waferllm.run("Prefill/WSE-2", [str(tmp_path / "layer.json")], tmp_path)
    compare(run.after, waferllm.prefill(run.before, layer, run.at))
    # temporaries of dim / P / 2 elements are written with vectors of seq_len / P
    short = layer["dim"] // layer["P"] // 2 < layer["seq_len"] // layer["P"]
    assert ("warning[MS0853]" in run.stderr and "X_tmp_1" in run.stderr) == short
