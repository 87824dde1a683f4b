"""Generators of tests/fuzz in a process of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def run_generator(name: str, count: int, seed: int, **environment: str) -> subprocess.CompletedProcess[str]:
    """`python -m tests.fuzz.NAME`, with its output."""
    return subprocess.run(
        [sys.executable, "-m", f"tests.fuzz.{name}", "--count", str(count), "--seed", str(seed)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
    )
