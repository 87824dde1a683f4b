"""A published pair of appliance scripts, run as it is on this machine: a compile job, then SdkRuntime on its artifact.

MESHLANG_CSL_EXAMPLES names a checkout of github.com/Cerebras/csl-examples (162e0f3). Nothing of it is committed here.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = os.environ.get("MESHLANG_CSL_EXAMPLES")


@pytest.mark.skipif(not CHECKOUT, reason="MESHLANG_CSL_EXAMPLES names no checkout of csl-examples")
def test_single_tile_matvec(tmp_path):
    folder = tmp_path / "example"
    shutil.copytree(Path(CHECKOUT) / "benchmarks" / "single-tile-matvec", folder)
    for arguments in (
        ["compile.appliance.py"],
        ["run.appliance.py", "--verify", "--nb", "25", "--width", "2", "--height", "2", "--simulator"],
    ):
        command = [sys.executable, "-m", "meshlang", "cs_python", *arguments]
        result = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=600)
        assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-4000:]
    assert "SUCCESS" in result.stdout
