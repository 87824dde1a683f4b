"""Scripted sessions, line by line as `meshlang repl -c FILE --echo` prints them.

The first line of a session names the program and its parameters. Run pytest with MESHLANG_UPDATE_GOLDEN=1 to write the
expected texts anew; read the difference before committing it.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from meshlang.cli import main

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).parent
SESSIONS = {path.stem: path for path in sorted((HERE / "sessions").glob("*.txt"))}
CODES = {"hello": 1, "meshgemv": 0, "mistakes": 1}


@pytest.mark.parametrize("name", SESSIONS)
def test_session(name, capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    path, *params = SESSIONS[name].read_text().split("\n", 1)[0].removeprefix("# ").split()
    code = main(["repl", path, *(a for p in params for a in ("-p", p)), "-c", str(SESSIONS[name]), "--echo"])
    out, err = capsys.readouterr()
    golden = HERE / "golden" / f"{name}.txt"
    if os.environ.get("MESHLANG_UPDATE_GOLDEN"):
        golden.write_text(out)
    assert out == golden.read_text()
    assert code == CODES[name] and err == "" and "internal error" not in out


def test_a_pipe(monkeypatch, capsys):
    command = [sys.executable, "-m", "meshlang", "repl", "programs/hello"]
    text = "launch main\nrun\nread data @ 1,0\n"
    fine = subprocess.run(command, input=text, capture_output=True, text=True, cwd=ROOT)
    assert fine.returncode == 0 and fine.stdout.endswith("PE 1,0: [2.0 4.0 6.0 8.0]\n") and "\x1b" not in fine.stdout

    def repl(text: str, *args: str) -> tuple[int, str]:
        monkeypatch.setattr("sys.stdin", io.StringIO(text))
        return main(["repl", *args]), capsys.readouterr().out

    monkeypatch.chdir(ROOT)
    assert repl("frob\npe 0,0\n", "programs/hello")[0] == 1
    code, out = repl("pe 0,0\nload programs/hello\npe 0,0\n")
    assert code == 1 and "`pe` needs a program" in out and "left.csl, idle" in out
    assert repl("", "nowhere")[0] == 1
    assert repl("", "programs/hello", "-c", "nowhere.txt")[0] == 1
