"""Tab in a shell, and words that are no command."""

import os
import subprocess
import sys

import pytest

from meshlang.cli import COMMANDS, ELSEWHERE, main
from meshlang.commands.completion import SHELLS

argcomplete = pytest.importorskip("argcomplete")


def completed(line, tmp_path):
    """What a shell is told for the end of a line."""
    (tmp_path / "layout.csl").write_text("")
    env = {
        **os.environ,
        "_ARGCOMPLETE": "1",
        "_ARGCOMPLETE_STDOUT_FILENAME": str(tmp_path / "out"),
        "_ARGCOMPLETE_IFS": "\n",
        "COMP_LINE": line,
        "COMP_POINT": str(len(line)),
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    done = subprocess.run([sys.executable, "-m", "meshlang"], env=env, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return [word.rstrip() for word in (tmp_path / "out").read_text().split("\n")]


@pytest.mark.parametrize(
    "line, there",
    [
        ("meshlang re", {"report", "repl"}),
        (
            "meshlang run --tra",
            {"--trace", "--trace-pes", "--trace-colors", "--trace-cycles", "--trace-events", "--trace-limit"},
        ),
        ("meshlang check --format s", {"sarif"}),
        ("meshlang examples copy short", {"short_send"}),
        ("meshlang examples l", {"list"}),
        ("meshlang run lay", {"layout.csl"}),
        ("meshlang llm gen", {"generate"}),
    ],
)
def test_tab(line, there, tmp_path):
    assert set(completed(line, tmp_path)) == there


@pytest.mark.parametrize("shell", SHELLS)
def test_what_a_shell_reads(shell, capsys):
    assert main(["completion", shell]) == 0
    assert "meshlang" in capsys.readouterr().out


def test_bash_completes(tmp_path):
    """A real bash with the printed code."""
    script = f"""
eval "$({sys.executable} -m meshlang completion bash)"
meshlang() {{ {sys.executable} -m meshlang "$@"; }}
complete -p meshlang
"""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(["bash", "--norc", "-c", script], env=env, capture_output=True, text=True)
    assert "-F _python_argcomplete meshlang" in done.stdout, done.stderr


def test_without_the_package(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "argcomplete", None)
    assert main(["completion", "bash"]) == 2
    assert "pip install 'meshlang[completion]'" in capsys.readouterr().err


@pytest.mark.parametrize(
    "args, said",
    [
        (["chek", "x"], "did you mean check?"),
        (["examples", "lst"], "did you mean list?"),
        (["llm", "genrate", "x"], "did you mean generate?"),
        (["check", "x", "--format", "jsn"], "did you mean json?"),
        (["completion", "powershell"], "choose from bash, zsh, fish"),
        *(([word], help) for word, help in ELSEWHERE.items()),
    ],
)
def test_mistyped_words(args, said, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(args)
    assert said in capsys.readouterr().err


def test_help_as_a_command(capsys):
    for args, title in ((["help"], "start here"), (["help", "run"], "usage: meshlang run")):
        with pytest.raises(SystemExit, match="0"):
            main(args)
        assert title in capsys.readouterr().out
    assert not set(ELSEWHERE) & set(COMMANDS)
