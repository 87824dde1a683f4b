"""The REPL in a real terminal: keys are typed into tmux, and its screen is looked at.

Nothing here waits for a time: keys are typed only when the screen shows a prompt with nothing after it (before that
they belong to the terminal, which drops some), and what they bring is waited for before the next.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 180.0  # seconds until a test gives up: a busy machine may compile the engine first
PROMPT = re.compile(r"(meshlang|cycle \d+( \d+,\d+)?)>")

pytestmark = pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed")

LAYOUT = """
const memcpy = @import_module("<memcpy/get_params>", .{ .width = 1, .height = 1 });
layout {
  @set_rectangle(1, 1);
  @set_tile_code(0, 0, "pe.csl", .{ .memcpy_params = memcpy.get_params(0) });
  @export_name("spin", fn()void);
}
"""
PE = """
param memcpy_params;
const sys = @import_module("<memcpy/memcpy>", memcpy_params);
var count: u32 = 0;
fn spin() void { while (true) { count += 1; } }
comptime { @export_symbol(spin); }
"""


class Terminal:
    """A tmux server of its own with one window of 100 x 40."""

    def __init__(self, state: Path, *arguments: str):
        self.socket = f"meshlang-{uuid.uuid4().hex[:8]}"
        environment = [f"XDG_STATE_HOME={state}", "TERM=screen-256color", f"PYTHONPATH={ROOT}"]
        # the shell stays and says how the REPL ended: tmux's own message does not always come
        ended = ["sh", "-c", '"$@"; echo "ended with $?"; exec sleep 100000', "sh"]
        command = ["env", *environment, *ended, sys.executable, "-m", "meshlang", "repl", *arguments]
        self.tmux("-f", "/dev/null", "new-session", "-d", "-x", "100", "-y", "40", "-c", str(ROOT), *command)

    def tmux(self, *arguments: str) -> str:
        return subprocess.run(
            ["tmux", "-L", self.socket, *arguments], check=True, capture_output=True, text=True
        ).stdout

    def type(self, text: str) -> None:
        self.tmux("send-keys", "-l", text)

    def keys(self, *names: str) -> None:
        self.tmux("send-keys", *names)

    def screen(self) -> str:
        return "\n".join(line.rstrip() for line in self.tmux("capture-pane", "-p", "-S", "-500").splitlines()).rstrip()

    def until(self, what: str, holds: Callable[[str], bool]) -> str:
        """The screen, as soon as something holds of it."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            screen = self.screen()
            if holds(screen):
                return screen
            time.sleep(0.05)
        raise AssertionError(f"{what} did not appear:\n{self.screen()}")

    def wait(self, text: str, times: int = 1) -> str:
        """The screen, as soon as it shows a text so many times."""
        return self.until(f"{text!r}, {times} times,", lambda screen: screen.count(text) >= times)

    def prompt(self) -> str:
        """The screen, as soon as the REPL waits for a line of which nothing is typed yet."""
        return self.until("a prompt", lambda screen: PROMPT.fullmatch(screen.rpartition("\n")[2]) is not None)

    def write(self, text: str) -> None:
        """Type a text, and wait until the line being typed ends with it."""
        self.type(text)
        self.until(f"the line {text!r}", lambda screen: screen.rpartition("\n")[2].endswith(text.rstrip()))

    def line(self, text: str, answer: str, times: int = 1) -> str:
        """Type a line at the prompt. The screen, as soon as it has answered and shows the next prompt."""
        self.prompt()
        self.write(text)
        self.keys("Enter")
        self.wait(answer, times)
        return self.prompt()


@pytest.fixture()
def terminal(tmp_path):
    open_: list[Terminal] = []

    def start(*arguments: str) -> Terminal:
        open_.append(Terminal(tmp_path / "state", *arguments))
        return open_[-1]

    yield start
    for t in open_:
        subprocess.run(["tmux", "-L", t.socket, "kill-server"], capture_output=True, check=False)


def test_typing(terminal):
    t = terminal("programs/hello")
    t.prompt()
    # completion: a name, then a symbol of the program
    t.write("lau")
    t.keys("Tab")
    t.wait("> launch")
    t.write(" ma")
    t.keys("Tab")
    t.wait("> launch main")
    t.keys("Enter")
    t.wait("main is launched on 2 PEs")
    # mistakes leave the session as it was
    t.line("frobnicate", "there is no command `frobnicate`")
    t.line("pe 7,7", "outside: the rectangle has columns 0 to 1")
    t.line("print data[3", "but this `[` is not closed")
    # editing: to the beginning, over a word, a word out of the middle
    t.write("XX until wavelet 0 @ 1,0 nonsense")
    t.keys("C-w", "C-a", "C-d", "C-d", "C-d", "C-e", "BSpace", "Enter")
    t.wait("came into the router of PE 1,0")
    t.line("data[3] + 1 @ 1,0", "PE 1,0: 1.0")
    t.line("run", "main is done on all PEs")
    # history: the line before the last, once more
    t.keys("Up", "Up")
    t.until("the line before the last", lambda screen: screen.endswith("> data[3] + 1 @ 1,0"))
    t.keys("Enter")
    t.wait("PE 1,0: 9.0")
    # Ctrl-C drops a line, Ctrl-D ends
    t.prompt()
    t.write("half a li")
    t.keys("C-c")
    t.wait("(Ctrl-D or `quit` ends the session)")
    t.prompt()
    t.keys("C-d")
    t.wait("ended with 0")


def test_history_is_kept(terminal):
    first = terminal()
    first.line("help goto", "Bring the fabric to a cycle")
    first.keys("C-d")
    first.wait("ended with 0")
    second = terminal()
    second.prompt()
    second.keys("C-r")
    second.wait("reverse-i-search")
    second.type("got")
    second.wait("help goto")
    second.keys("Enter")
    second.wait("> help goto")
    second.keys("Enter")
    second.wait("Bring the fabric to a cycle")


def test_ctrl_c_stops_a_run(terminal, tmp_path):
    (tmp_path / "layout.csl").write_text(LAYOUT)
    (tmp_path / "pe.csl").write_text(PE)
    t = terminal(str(tmp_path))
    t.line("launch spin", "spin is launched on 1 PE")
    t.write("run")
    t.keys("Enter")
    t.wait(": running, Ctrl-C stops")
    t.keys("C-c")
    screen = t.wait("interrupted (spin has not finished on 1 PE)")
    assert "Traceback" not in screen and "Ctrl-C stops" not in screen
    # the session and the fabric are whole: it goes on, and goes back to where it was
    t.line("goto 1000", "cycle 1000: stopped")
    t.line("count > 0 @ 0,0", "PE 0,0: true")
    t.line("print count @ 0,0", "PE 0,0: ", 2)
    t.line("step 100", "cycle 1100: stopped")
    t.line("back 100", "cycle 1000: stopped", 2)
    t.line("why", "slow, not hung")
    assert t.line("print count @ 0,0", "PE 0,0: ", 3).count("PE 0,0: ") >= 3
