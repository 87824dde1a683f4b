"""A few hundred damaged folders and states; `python -m tests.fuzz.folders` does as many as one likes."""

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from folders import fuzz


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs processes that share what is loaded")
def test_damage_is_refused_or_runs():
    assert fuzz(300, seed=11, names=["host"]) == []
