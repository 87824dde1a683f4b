"""Small things that people try."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from meshlang.cli import main
from meshlang.commands._errors import compact

sys.path.insert(0, str(Path(__file__).parent.parent / "support"))
from host_programs import write_program


@pytest.fixture()
def folder(tmp_path, monkeypatch):
    write_program(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_script_run_by_python_takes_params(folder):
    (folder / "run.py").write_text("import meshlang\nprint(meshlang.params(steps=1, a=0.5))\n")

    def python(*args):
        return subprocess.run([sys.executable, "run.py", *args], capture_output=True, text=True)

    assert python().stdout == "{'steps': 1, 'a': 0.5}\n"
    for args in (
        ["-p", "steps=3"],
        ["-psteps=3"],
        ["--param", "steps=3"],
        ["--param=steps=3"],
        ["-v", "-p", "steps=3", "x"],
    ):
        assert python(*args).stdout == "{'steps': 3, 'a': 0.5}\n", args
    done = python("-p", "step=3")
    assert done.returncode == 1 and "MS0904" in done.stderr and "did you mean steps?" in done.stderr


def test_set_a_number_and_get_by_ending(folder, capsys):
    args = ["run", "layout.csl", "--launch", "none", "--set", "a=1.5", "--set", "b=7"]
    for name in ("a.npy", "a.txt", "a.csv", "a.json"):
        args += ["--get", f"a={name}"]
    assert main([*args, "--get", "b"]) == 0
    assert "7 7 7" in capsys.readouterr().out
    a = np.load("a.npy")
    assert a.shape == (2, 3, 4) and (a == 1.5).all()
    assert (np.loadtxt("a.txt") == a.reshape(6, 4)).all() and (
        np.loadtxt("a.csv", delimiter=",") == a.reshape(6, 4)
    ).all()
    assert json.loads(Path("a.json").read_text()) == a.tolist()
    assert main(["run", "layout.csl", "--launch", "none", "--get", "a=a.xyz"]) == 2
    assert main(["run", "layout.csl", "--launch", "none", "--set", "b=70000"]) == 1
    assert "MS0912" in capsys.readouterr().err


def test_compact_json(folder, capsys):
    data = {"a": [[1, 2], [3.5, None]], "b": ["x", "[ 1 ]"], "c": {}, "d": []}
    assert json.loads(compact(data)) == data
    assert "[1, 2]" in compact(data)
    main(["run", "layout.csl", "--launch", "none", "--get", "a", "--json"])
    assert "[1.0, 2.0, 3.0, 4.0]" in capsys.readouterr().out


def test_colors_where_they_are_asked_for(folder):
    import os

    (folder / "wrong.csl").write_text("const = 1;\n")
    command = [sys.executable, "-m", "meshlang", "check", "wrong.csl"]
    env = {k: v for k, v in os.environ.items() if k not in ("FORCE_COLOR", "NO_COLOR")}
    assert "\x1b[" not in subprocess.run(command, capture_output=True, text=True, env=env).stderr
    assert "\x1b[" in subprocess.run(command, capture_output=True, text=True, env={**env, "FORCE_COLOR": "1"}).stderr


def test_what_was_meant(folder, capsys):
    layout = (folder / "layout.csl").read_text()
    (folder / "layout.csl").write_text(layout.replace(".memcpy_params = memcpy", ".memcpy_parms = memcpy"))
    main(["check", "layout.csl"])
    assert "did you mean 'memcpy_params'?" in capsys.readouterr().err
    (folder / "layout.csl").write_text(layout)
    (folder / "pe.csl").write_text("comptime { print(1); }\n")
    main(["check", "layout.csl"])
    assert "import <simprint>" in capsys.readouterr().err


def test_a_function_that_forgets_to_unblock_is_marked(folder, capsys):
    pe = (folder / "pe.csl").read_text()
    (folder / "pe.csl").write_text(pe.replace("fn forget() void {", "fn forget() void {\n  n += 1;"))
    assert main(["run", "layout.csl", "--launch", "forget"]) == 3
    err = capsys.readouterr().err
    line = next(n for n, text in enumerate((folder / "pe.csl").read_text().splitlines(), 1) if "n += 1;" in text)
    assert "MS0856" in err and f"--> pe.csl:{line}:" in err, err
