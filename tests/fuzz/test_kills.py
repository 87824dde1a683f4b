"""A few kills of each kind of writer; `python -m tests.fuzz.kills` does as many as one likes."""

import os

import pytest
from fuzzing import run_generator


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs processes that share what is loaded")
def test_killed_writers():
    """In a process of its own: it forks, and the engine runs uncompiled."""
    done = run_generator("kills", 5, 3, NUMBA_DISABLE_JIT="1")
    assert done.returncode == 0 and done.stdout.endswith("30 kills, 0 wrong\n"), done.stdout + done.stderr
