"""`meshlang examples` and `meshlang init`: what is copied runs as it is, and nothing is overwritten."""

import subprocess
import sys
from pathlib import Path

import pytest

from meshlang.cli import main
from meshlang.commands import examples, init
from meshlang.paths import programs_dir


def run(capsys, *args: str, code: int = 0) -> tuple[str, str]:
    try:
        got = main(list(args))
    except SystemExit as exit_:
        got = exit_.code
    out, err = capsys.readouterr()
    assert got == code, (got, out, err)
    return out, err


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_each_program_is_listed_with_what_it_does(capsys):
    names = {p.name for p in programs_dir().iterdir() if (p / "run.py").is_file()}
    assert len(names) > 8 and set(examples.summaries()) == names
    assert all(len(summary) > 20 for summary in examples.summaries().values())
    out, _ = run(capsys, "examples")
    assert all(f"  {name} " in out for name in names) and f"{len(names)} programs" in out


def test_a_copy_runs(capsys):
    assert run(capsys, "examples", "copy", "hello", "gemv", "--to", "mine")[0].splitlines() == [
        f"{Path('mine', name)}: meshlang run {Path('mine', name)}" for name in ("hello", "gemv")
    ]
    assert "right [2. 4. 6. 8.]" in run(capsys, "run", "mine/hello")[0]
    assert not list(Path("mine").rglob("__pycache__"))


def test_all_are_copied(capsys):
    run(capsys, "examples", "copy", "all", "--to", "programs")
    assert {p.name for p in Path("programs").iterdir()} == set(examples.summaries())


@pytest.mark.parametrize(
    "args, message",
    [
        (("copy",), "which program"),
        (("list", "hello"), "meshlang examples copy hello"),
        (("copy", "hallo"), "did you mean hello?"),
        (("copy", "hello", "xyzzy"), "MS1501"),
    ],
)
def test_mistakes(capsys, args, message):
    assert message in run(capsys, "examples", *args, code=2)[1]
    assert not list(Path().iterdir())


def test_nothing_is_overwritten(capsys):
    run(capsys, "examples", "copy", "hello")
    Path("hello/run.py").write_text("mine")
    err = run(capsys, "examples", "copy", "gemv", "hello", code=2)[1]
    assert "MS1500" in err and not Path("gemv").exists()
    assert "MS1500" in run(capsys, "init", "hello", code=2)[1]
    assert Path("hello/run.py").read_text() == "mine"
    Path("file").write_text("")
    assert "MS1500" in run(capsys, "init", "file", code=2)[1]
    assert "MS1502" in run(capsys, "init", "file/below", code=1)[1]
    assert "MS1502" in run(capsys, "examples", "copy", "hello", "--to", "file", code=1)[1]


def test_an_example_that_is_not_copied_yet_is_named(capsys):
    assert "meshlang examples copy hello --to programs" in run(capsys, "run", "programs/hello", code=1)[1]
    assert "meshlang examples copy hello\n" in run(capsys, "run", "hello", code=1)[1]
    assert "examples" not in run(capsys, "run", "nothing", code=1)[1]


def test_a_new_program_runs_at_once(capsys):
    out, _ = run(capsys, "init", "first")
    assert "meshlang run first" in out and {p.name for p in Path("first").iterdir()} == set(init.FILES)
    assert set(init.FILES) == {p.name for p in init.TEMPLATE.iterdir() if p.is_file()}
    assert "4 x 1 rectangle" in run(capsys, "run", "first")[0]
    assert "6 x 1 rectangle" in run(capsys, "run", "first", "-p", "W=6", "--arch", "wse3")[0]
    assert "no errors" in run(capsys, "check", "first")[0]
    assert "nothing to warn about" in run(capsys, "lint", "first")[0]
    run(capsys, "fmt", "--check", "first")
    Path("empty").mkdir()
    run(capsys, "init", "empty")
    done = subprocess.run([sys.executable, "-m", "pytest", "-q", "first"], capture_output=True, text=True)
    assert done.returncode == 0 and "3 passed" in done.stdout, done.stdout


def test_a_mistyped_command(capsys):
    assert "did you mean report?" in run(capsys, "reprot", code=2)[1]
    assert "meshlang run x.csl" in run(capsys, "x.csl", code=2)[1]
    assert "conformance" in run(capsys, "qqqq", code=2)[1]


def test_help_names_all_profiles(capsys):
    from meshlang.fabric.timing.profile import profile_names

    for command in ("run", "repl"):
        with pytest.raises(SystemExit):
            main([command, "--help"])
        text = " ".join(capsys.readouterr().out.split())
        assert f"timing profile: {', '.join(profile_names())}, or a .toml file" in text


def test_help_names_what_exists(capsys):
    for name in ("run", "lint", "report"):
        assert "meshlang examples copy all --to programs" in " ".join(run(capsys, name, "--help")[0].split())


def test_the_one_that_hangs(capsys):
    """docs/repl.md begins with it; the page shows it without a clone."""
    run(capsys, "examples", "copy", "short_send")
    assert "a receive is longer than what is sent" in run(capsys, "run", "short_send", code=3)[1]
    assert "[1. 2. 3. 4.]" in run(capsys, "run", "short_send", "-p", "count=4")[0]
