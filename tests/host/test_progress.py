"""What is said on a terminal and in a notebook while something is at work."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

SCRIPT = """
import sys, time
from meshlang.host import progress
progress.DELAY = progress.INTERVAL = 0.0
with progress.stages("reading"):
    with progress.busy("compiling"):
        time.sleep(0.3)
    progress.stage("layer 3 of 8")
    run = progress.Progress()
    run.update(0)
    time.sleep(0.2)
    run.update(5000)
    time.sleep(0.3)
    run.close()
    progress.pause()
    progress.stage("meanwhile")
    time.sleep(0.3)
    progress.resume()
    time.sleep(0.3)
    progress.stage("the second turn")
    time.sleep(0.8)
"""


def seen(script: str, **environment: str) -> str:
    """What a script writes to stderr, which is a terminal."""
    pty = pytest.importorskip("pty")
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", script], stderr=theirs, stdin=subprocess.DEVNULL, env=os.environ | {"TERM": "xterm"} | environment
    )  # fmt: skip
    os.close(theirs)
    text = b""
    try:
        while block := os.read(ours, 4096):
            text += block
    except OSError:  # the other end is closed
        pass
    os.close(ours)
    assert process.wait(60) == 0
    return text.decode()


def test_one_line_for_all_parts():
    text = seen(SCRIPT, MESHLANG_QUIET="")
    assert "layer 3 of 8: cycle 5,000, " in text and "0:00:01" in text
    assert text.index("compiling") < text.index("layer 3 of 8") < text.index("the second turn")
    assert text.count("\x1b[?25l") == 2  # twice a line has been begun: no other stands beside it


def test_quiet():
    assert seen(SCRIPT, MESHLANG_QUIET="1") == ""


def test_in_a_notebook():
    nbclient = pytest.importorskip("nbclient")
    nbformat = pytest.importorskip("nbformat")
    pytest.importorskip("ipykernel")
    script = SCRIPT.replace("INTERVAL = 0.0", "INTERVAL = 0.05")
    script += "text = 'line <3>'\nwith progress.busy(text):\n    time.sleep(0.3)\n"
    shown: list[str] = []

    class Client(nbclient.NotebookClient):
        def process_message(self, message, cell, cell_index):
            if message["msg_type"] in ("display_data", "update_display_data"):
                shown.append(message["content"]["data"]["text/html"])
            return super().process_message(message, cell, cell_index)

    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(script)])
    Client(book, timeout=60).execute()
    text = "\n".join(shown)
    assert "<progress></progress> layer 3 of 8: cycle 5,000, " in text
    assert re.search(r"</progress> line &lt;3&gt;, \d+ s", text)
    assert text.index("compiling") < text.index("layer 3 of 8") < text.index("the second turn") < text.index("line")
    outputs = book.cells[0].outputs
    assert len(outputs) == 3 and {o["data"]["text/html"] for o in outputs} == {""}  # all of it goes away


@pytest.mark.parametrize(
    "command",
    [
        "cap nothing --mesh 4x4",
        "llm generate nothing --tokens 5 --mesh 4x4",
        "llm place nothing --mesh 4x4 -o x.wimg",
        "llm load nothing.wimg",
        "llm move nothing.wimg nothing.wimg --tokens 5",
    ],
)
def test_commands_that_take_long_say_what_they_are_at(command, monkeypatch, tmp_path, capsys):
    """All of the work is inside a line: already that there is no model."""
    from meshlang.cli import main
    from meshlang.host import progress

    said = []
    real = progress.stages
    monkeypatch.setattr(progress, "stages", lambda what: said.append(what) or real(what))
    monkeypatch.chdir(tmp_path)
    assert main(command.split()) != 0
    assert len(said) == 1 and "MS" in capsys.readouterr().err
