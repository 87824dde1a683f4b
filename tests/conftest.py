"""The suite tests the compiled engine from its first program on, compiles each program itself, and starts no process that
outlives it."""

import os
import subprocess
import sys

os.environ.setdefault("MESHLANG_BACKGROUND", "0")
os.environ.setdefault("MESHLANG_KEEP_PROGRAMS", "0")


def pytest_configure(config):
    """With several workers (-n), both versions of the engine are compiled before they start: each once, not each in every
    worker."""
    if getattr(config.option, "numprocesses", None) and os.environ.get("NUMBA_DISABLE_JIT", "0") == "0":
        command = [sys.executable, "-m", "meshlang.fabric.startup"]
        for process in [subprocess.Popen(command), subprocess.Popen([*command, "traced"])]:
            process.wait()
