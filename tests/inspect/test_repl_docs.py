"""docs/repl.md: its transcripts are what the REPL prints, its reference is what the registry holds.

Run pytest with MESHLANG_UPDATE_GOLDEN=1 to write both anew; read the difference before committing it.
"""

from __future__ import annotations

import io
import os
import re
import shlex
from pathlib import Path

import pytest

from meshlang.inspect import reference
from meshlang.inspect.registry import COMMANDS
from meshlang.inspect.repl import Repl

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "repl.md"
BLOCK = re.compile(r"```text\n(\$ meshlang repl [^\n]*)\n(.*?)```\n", re.DOTALL)


def played(line: str, body: str) -> str:
    """What a session prints: `line` starts it, the lines of `body` that begin with > are typed."""
    words = shlex.split(line)[3:]
    path, rest = words[0], [w for w in words[1:] if w not in ("--echo", "-p")]
    out = io.StringIO()
    repl = Repl(out, params={k: int(v) for k, v in (w.split("=") for w in rest)}, echo=True)
    repl.execute(f"load {path}")
    repl.script(text.removeprefix("> ") for text in body.splitlines() if text.startswith("> "))
    return out.getvalue()


def test_page(monkeypatch):
    monkeypatch.chdir(ROOT)
    page = PAGE.read_text(encoding="utf-8")
    new = BLOCK.sub(lambda m: f"```text\n{m.group(1)}\n{played(m.group(1), m.group(2))}```\n", page)
    new = reference.updated(new)
    if os.environ.get("MESHLANG_UPDATE_GOLDEN"):
        PAGE.write_text(new, encoding="utf-8")
    assert new == PAGE.read_text(encoding="utf-8")


def test_the_tutorial_takes_three_commands():
    first = BLOCK.search(PAGE.read_text(encoding="utf-8"))
    typed = [line for line in first.group(2).splitlines() if line.startswith("> ")]
    assert typed == ["> launch main", "> run", "> why"]
    assert "cause: a receive is longer than what is sent" in first.group(2)


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_is_documented(name):
    assert COMMANDS[name].summary.endswith((".", ":")) and COMMANDS[name].examples
    assert f"`{name}" in PAGE.read_text(encoding="utf-8")
