"""Host scripts of the vendor's that ask for traces: sim.log with every event, and simfab_traces, as its simulator leaves."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

SCRIPT = """
import numpy as np
from cerebras.sdk.runtime.sdkruntimepybind import SdkRuntime

runner = SdkRuntime("out"{options})
runner.load()
runner.run()
runner.launch("scale", np.float32(2), np.int16(2), nonblock=False)
{end}
"""


def run(program, folder: Path, options: str, *before: str, end: str = "runner.stop()", debug: str | None = None):
    program.save(folder / "out")
    (folder / "run.py").write_text(SCRIPT.format(options=options, end=end))
    environment = {k: v for k, v in os.environ.items() if k != "SIMFABRIC_DEBUG"}
    if debug is not None:
        environment["SIMFABRIC_DEBUG"] = debug
    return subprocess.run(
        [sys.executable, "-m", "meshlang", *(before or ("cs_python",)), "run.py"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
    )


def cycles(lines: list[str]) -> list[int]:
    return [int(line[1:].split()[0]) for line in lines]


@pytest.mark.parametrize("end", ["runner.stop()", "", "raise SystemExit(3)"])
def test_a_script_that_wants_a_trace_gets_one(program, tmp_path, end):
    done = run(program, tmp_path, ", suppress_simfab_trace=False", end=end)
    assert done.returncode == (3 if "raise" in end else 0), done.stderr
    lines = (tmp_path / "sim.log").read_text().splitlines()
    assert lines[0].startswith("@0 dimX=") and lines[-1].split()[1:3] == ["CTF", "Stats:"]
    assert cycles(lines) == sorted(cycles(lines))
    assert any("(hwtile): task start" in line for line in lines)
    (printed,) = [n for n, line in enumerate(lines) if line.endswith("PE(0,0): 7 00FF 0000000000000101 2.000000")]
    assert any("PE" not in line and "(hwtile)" in line for line in lines[:printed])
    columns = np.load(tmp_path / "simfab_traces" / "trace.npz")
    assert len(columns["cycle"]) > 10


@pytest.mark.parametrize("options, debug", [("", None), ("", "0"), (", suppress_simfab_trace=True", "inst_trace")])
def test_without_being_asked_nothing_is_recorded(program, tmp_path, options, debug):
    done = run(program, tmp_path, options, debug=debug)
    assert done.returncode == 0, done.stderr
    assert len((tmp_path / "sim.log").read_text().splitlines()) == 2
    assert not (tmp_path / "simfab_traces").exists()


@pytest.mark.parametrize("debug, instructions", [("inst_trace, landing", True), ("landing", False), ("1", False)])
def test_the_environment_asks_for_kinds_of_events(program, tmp_path, debug, instructions):
    done = run(program, tmp_path, "", debug=debug)
    assert done.returncode == 0, done.stderr
    log = (tmp_path / "sim.log").read_text()
    assert ("(hwtile): inst " in log) is instructions and "CTF Stats" in log


def test_an_unknown_kind_is_named(program, tmp_path):
    done = run(program, tmp_path, "", debug="landings")
    assert done.returncode == 2 and "MS1004" in done.stderr and "SIMFABRIC_DEBUG" in done.stderr


def test_meshlang_run_traces_such_a_script(program, tmp_path):
    done = run(
        program, tmp_path, "", "run", "--trace", "run.csv", "--args", "5 'a b'", end="import sys; print(sys.argv[1:])"
    )
    assert done.returncode == 0 and done.stdout == "['5', 'a b']\n", done.stderr
    assert len((tmp_path / "run.csv").read_text().splitlines()) > 10
    done = run(program, tmp_path, "", "run", "--args", "'")
    assert done.returncode == 2 and "--args" in done.stderr


def test_arguments_are_for_scripts(program, tmp_path):
    program.save(tmp_path / "out")
    done = subprocess.run(
        [sys.executable, "-m", "meshlang", "run", "out", "--args", "5"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 2 and "no host script" in done.stderr
