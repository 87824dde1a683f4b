"""However a host script ends: the exit code, and what is printed of it."""

import pytest

from meshlang.host.script import run_script


@pytest.mark.parametrize(
    ("ending", "code", "printed"),
    [
        ("", 0, ""),
        ("raise SystemExit", 0, ""),
        ("raise SystemExit(None)", 0, ""),
        ("raise SystemExit(0)", 0, ""),
        ("raise SystemExit(3)", 3, ""),
        ("raise SystemExit('results differ')", 1, "results differ\n"),
        ("raise SystemExit([1, 2])", 1, "[1, 2]\n"),
        ("raise KeyboardInterrupt", 130, ""),
    ],
)
def test_a_script_that_ends(tmp_path, capsys, ending, code, printed):
    script = tmp_path / "run.py"
    script.write_text(f"print('begun')\n{ending}\nprint('behind')\n")
    assert run_script(script) == code
    said = capsys.readouterr()
    assert said.err == printed
    assert said.out == ("begun\n" if ending else "begun\nbehind\n")


def test_an_exception_is_shown_from_the_script_on(tmp_path, capsys):
    script = tmp_path / "run.py"
    script.write_text("def half(n):\n    return 1 / n\n\n\nhalf(0)\n")
    assert run_script(script) == 1
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "Traceback (most recent call last):" and lines[-1] == "ZeroDivisionError: division by zero"
    assert [line.strip() for line in lines if line.startswith("  File ")] == [
        f'File "{script}", line 5, in <module>',
        f'File "{script}", line 2, in half',
    ]


def test_a_reader_that_has_gone_is_no_mistake_of_the_script(tmp_path):
    script = tmp_path / "run.py"
    script.write_text("raise BrokenPipeError\n")
    with pytest.raises(BrokenPipeError):
        run_script(script)
