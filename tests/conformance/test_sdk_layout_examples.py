"""The vendor's SdkLayout examples in the 2.10 dialect, run as they are; their scripts have a placeholder for `cs_python
run.py`.

MESHLANG_SDK_EXAMPLES names a checkout of github.com/Cerebras/sdk-examples (2.10). Nothing of it is committed here.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = os.environ.get("MESHLANG_SDK_EXAMPLES")
EXAMPLES = ["01-introduction", "02-routing", "03-ports-and-connections", "04-h2d-d2h", "05-gemv"]


@pytest.mark.skipif(not CHECKOUT, reason="MESHLANG_SDK_EXAMPLES names no checkout of sdk-examples")
@pytest.mark.parametrize("arch", ["wse2", "wse3"])
@pytest.mark.parametrize("example", EXAMPLES)
def test_example(example, arch, tmp_path):
    folder = tmp_path / "example"
    shutil.copytree(Path(CHECKOUT) / "tutorials" / f"sdklayout-{example}", folder)
    command = [sys.executable, "-m", "meshlang", "sdk", "--", "bash", f"commands_{arch}.sh"]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=600)
    assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-4000:]
    assert "SUCCESS" in result.stdout
