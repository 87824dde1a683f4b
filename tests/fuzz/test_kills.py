"""A few kills of each kind of writer; `python -m tests.fuzz.kills` does as many as one likes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs processes that share what is loaded")
def test_killed_writers():
    """In a process of its own: it forks, and the engine runs uncompiled."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzz.kills", "--count", "5", "--seed", "3"],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        env={**os.environ, "NUMBA_DISABLE_JIT": "1"},
    )
    assert done.returncode == 0 and done.stdout.endswith("30 kills, 0 wrong\n"), done.stdout + done.stderr
