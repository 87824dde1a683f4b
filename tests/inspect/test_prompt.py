"""The interactive prompt: keys in, text out; completion and its speed."""

from __future__ import annotations

import io
import time
from pathlib import Path

import pytest
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput

from meshlang.inspect.completion import completions
from meshlang.inspect.prompt import interact
from meshlang.inspect.registry import COMMANDS
from meshlang.inspect.repl import Repl

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture()
def typed(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.chdir(ROOT)

    def play(keys: str, path: str | None = "programs/hello") -> tuple[int, str]:
        out = io.StringIO()
        with create_pipe_input() as pipe:
            pipe.send_text(keys)
            code = interact(Repl(out), path, input=pipe, output=DummyOutput())
        return code, out.getvalue()

    return play


def test_keys(typed, tmp_path):
    code, out = typed("launch main\rrun\rread data @ 1,0\rquit\r")
    assert code == 0 and out.endswith("PE 1,0: [2.0 4.0 6.0 8.0]\n")
    assert "+launch main" in (tmp_path / "meshlang" / "repl_history").read_text()


def test_editing(typed):
    _, out = typed("launch mian\x08\x08\x08ain\r\x04")
    assert out.count("main is launched") == 1


def test_ctrl_c_drops_the_line_and_ctrl_d_ends(typed):
    code, out = typed("pe 9,9\x03pe 0,0\r\x04")
    assert code == 0 and "outside" not in out and "left.csl, idle" in out


def test_ctrl_c_never_ends_the_session(typed):
    code, out = typed("\x03\x03\x03pe 0,0\r\x03\x03history\rq\r")
    assert code == 0 and out.count("ends the session)") == 5 and "left.csl, idle" in out
    assert out.endswith("   1  pe 0,0\n   2  history\n")


def test_errors_keep_the_session(typed):
    code, out = typed("frob\rprint (\rload nowhere\rpe 0,0\r\x04", None)
    assert code == 0 and "there is no command `frob`" in out and "needs a program" in out
    code, out = typed("frob\rprint (1\rload nowhere\rpe 0,0\r\x04")
    assert "left.csl, idle" in out and "is not closed" in out


@pytest.fixture(scope="module")
def repl():
    repl = Repl(io.StringIO())
    assert repl.execute(f"load {ROOT / 'programs/meshgemv'} P=16")
    assert repl.execute("break cycle 900")
    return repl


@pytest.mark.parametrize(
    "line, wanted",
    [
        ("he", {"help", "heat"}),
        ("launch ", {"run"}),
        ("read ", {"x", "W", "y", "ticks"}),
        ("mem be", {"before"}),
        ("route ", {"0", "1", "2", "3", "4"}),
        ("run until ", {"task", "line", "wavelet", "cycle", "change"}),
        ("break task ", {"run"}),
        ("run until wavelet ", {"3"}),
        ("break line ", {"pe.csl:"}),
        ("pe 1", {"1,", "10,"}),
        ("pe 3,1", {"3,10", "3,11"}),
        ("print x[0] @ ", {"all", "0,"}),
        ("help ro", {"route", "router"}),
        ("heat ", {"busy", "sent", "stalled"}),
        ("con", {"continue"}),
        ("ba", {"back", "backtrace"}),
        ("help bt", set()),
        ("help con", {"continue"}),
        ("p n", set()),
        ("p x[0] + ti", {"ticks"}),
        ("p 2-ti", {"ticks"}),
        ("p 3<ti", {"ticks"}),
        ("display x[0] ", {"@", "off", "ticks"}),
        ("watch ti", {"ticks"}),
        ("b pe", {"pe.csl:"}),
        ("b pe.csl:4", {"pe.csl:41", "pe.csl:47"}),
        ("delete ", {"1", "all"}),
        ("reload ", {"P=", "K="}),
        ("params P", {"P="}),
        ("trace run.html ev", {"events="}),
        ("trace run.html events=st", {"events=stall"}),
        ("trace run.html events=stall,wa", {"events=stall,wavelet"}),
        ("profile ", {"lines", "top="}),
        ("frob ", set()),
    ],
)
def test_completion(repl, line, wanted):
    best = 9.0
    for _ in range(3):
        start = time.process_time()
        found = {text for text, _, _ in completions(repl, line)}
        best = min(best, time.process_time() - start)
    assert wanted <= found
    assert best < 0.05


def test_files_complete(repl, monkeypatch):
    monkeypatch.chdir(ROOT)
    assert "programs/hello/" in {text for text, _, _ in completions(repl, "load programs/h")}
    assert completions(Repl(io.StringIO()), "pe 0") == []


def test_every_command_that_takes_something_completes_it(repl, monkeypatch):
    """Of what a usage names there is something to choose, but for numbers."""
    monkeypatch.chdir(ROOT)
    numbers = {"back", "goto", "step", "history"}
    for name, command in COMMANDS.items():
        if command.usage and name not in numbers:
            assert completions(repl, f"{name} "), name


def test_a_file_behind_a_bracket(repl, monkeypatch):
    monkeypatch.chdir(ROOT)
    assert "programs/" in {text for text, _, _ in completions(repl, "read y > pro")}
    assert "ticks" in {text for text, _, _ in completions(repl, "print 3 > ti")}
