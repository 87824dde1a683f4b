"""A plugin of pytest that writes down which lines of meshlang/ each test executes, for tests/mutants.py.

    pytest -p tests.support.lines_of_tests --lines-of-tests FILE

Needs Python 3.12 or later: sys.monitoring reports a line once a test, so that the tests run at nearly their usual speed. Processes that a
test starts are seen when they end by themselves (lines_of_processes/); what Numba has compiled is not (NUMBA_DISABLE_JIT=1 shows
that). Each line of FILE is one test: its name, the seconds it took, and for each source file a number in hexadecimal whose bit n
stands for line n. With several workers each writes a FILE of its own, with its name at the end.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from types import CodeType

import pytest

ROOT = Path(__file__).resolve().parents[2]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--lines-of-tests", metavar="FILE", help="write the lines of meshlang/ that each test executes")


def pytest_configure(config: pytest.Config) -> None:
    file = config.getoption("--lines-of-tests")
    if file and not getattr(config.option, "numprocesses", None):  # with workers, each of them has a plugin
        config.pluginmanager.register(Recorder(Path(file + os.environ.get("PYTEST_XDIST_WORKER", ""))))


class Recorder:
    """Records each test into a file."""

    def __init__(self, file: Path):
        self.lines: dict[str, int] = defaultdict(int)
        self.file = file
        self.package = f"{ROOT / 'meshlang'}{os.sep}"
        file.write_text("")
        self.folder = Path(tempfile.mkdtemp())
        os.environ["LINES_OF_TESTS"], os.environ["LINES_OF_TESTS_PACKAGE"] = str(self.folder), self.package
        beside = str(Path(__file__).with_name("lines_of_processes"))
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (beside, os.environ.get("PYTHONPATH"))))
        tool, monitoring = sys.monitoring.COVERAGE_ID, sys.monitoring
        monitoring.use_tool_id(tool, "lines of tests")
        monitoring.register_callback(tool, monitoring.events.LINE, self.seen)
        monitoring.set_events(tool, monitoring.events.LINE)

    def pytest_unconfigure(self) -> None:
        sys.monitoring.set_events(sys.monitoring.COVERAGE_ID, 0)
        sys.monitoring.free_tool_id(sys.monitoring.COVERAGE_ID)
        shutil.rmtree(self.folder)

    def seen(self, code: CodeType, line: int) -> object:
        if code.co_filename.startswith(self.package):
            self.lines[code.co_filename] |= 1 << line
        return sys.monitoring.DISABLE

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item):
        self.lines.clear()
        sys.monitoring.restart_events()
        began = time.monotonic()
        result = yield
        seconds = round(time.monotonic() - began, 3)
        for file in self.folder.glob("*.json"):
            for source, bits in json.loads(file.read_text()).items():
                self.lines[source] |= int(bits, 16)
            file.unlink()
        lines = {str(Path(f).relative_to(ROOT)): f"{bits:x}" for f, bits in self.lines.items()}
        with self.file.open("a") as out:
            out.write(json.dumps([item.nodeid, seconds, lines]) + "\n")
        return result
