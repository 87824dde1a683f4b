"""docs/tutorial.md and docs/stencil.md: their files are written out as they stand, and its commands print what stands behind them.

Run pytest with MESHLANG_UPDATE_GOLDEN=1 to write the output anew; read the difference before committing it.
"""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path

import pytest

from meshlang.cli import main
from meshlang.fabric.engine.loop import engine

DOCS = Path(__file__).resolve().parents[2] / "docs"
FILE = re.compile(r"```(?:csl|python)\n(?://|#) (\w+/\w+\.\w+)\n(.*?)```\n", re.DOTALL)
CONSOLE = re.compile(r"```console\n(.*?)```\n", re.DOTALL)


@pytest.mark.parametrize("name", ["tutorial.md", "stencil.md"])
def test_page(name, monkeypatch, tmp_path, capsys):
    path = DOCS / name
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    page = path.read_text(encoding="utf-8")
    for file, text in FILE.findall(page):
        Path(file).parent.mkdir(exist_ok=True)
        Path(file).write_text(text, encoding="utf-8")
    engine()  # whoever comes first compiles the engine, and is told so
    engine(traced=True)
    capsys.readouterr()

    def played(block: re.Match) -> str:
        lines = []
        for command in (line for line in block[1].splitlines() if line.startswith("$ ")):
            assert command.startswith("$ meshlang ")
            main(shlex.split(command)[2:])
            printed = capsys.readouterr()
            lines += [command, *(printed.out + printed.err).rstrip("\n").splitlines()]
        return "```console\n" + "\n".join(line.rstrip() for line in lines) + "\n```\n"

    new = CONSOLE.sub(played, page)
    if os.environ.get("MESHLANG_UPDATE_GOLDEN"):
        path.write_text(new, encoding="utf-8")
    assert new == path.read_text(encoding="utf-8")
