"""Some mutated sources; `python -m tests.fuzz` does as many as there is time for."""

import os

import pytest
from fuzzing import run_generator

from meshlang.cli import main


@pytest.mark.skipif(os.name == "nt", reason="needs an alarm")
def test_a_mutant_is_refused_or_ends():
    """In a process of its own: the alarm is the whole process's."""
    done = run_generator("sources", 40, 3)
    assert done.returncode == 0, done.stdout
    assert done.stdout == "40 mutants, 0 wrong\n"


def test_texts_without_an_end(tmp_path, capsys):
    """Ten megabytes of one thing are refused, or read, and never a traceback."""
    file = tmp_path / "layout.csl"
    for text in (
        "(" * 100_000,
        "const a = 1;\n" * 300_000,
        "// " + "x" * 10_000_000,
        '"' + "a" * 1_000_000,
        "-" * 50_000 + "1",
    ):
        file.write_text(text)
        assert main(["check", str(file)]) in (0, 1)
        assert len(capsys.readouterr().err) < 10_000
