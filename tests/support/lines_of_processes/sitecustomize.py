"""Python imports this when it starts, if its folder is on the path: lines_of_tests.py puts it there for processes that tests start. Which
lines of meshlang/ the process executes goes to a file at its end; one that is killed leaves none."""

import atexit
import json
import os
import sys

_folder = os.environ.get("LINES_OF_TESTS")
if _folder and hasattr(sys, "monitoring"):
    _package = os.environ["LINES_OF_TESTS_PACKAGE"]
    _lines: dict[str, int] = {}

    def _seen(code, line):
        if code.co_filename.startswith(_package):
            _lines[code.co_filename] = _lines.get(code.co_filename, 0) | 1 << line
        return sys.monitoring.DISABLE

    def _written() -> None:
        name = os.path.join(_folder, f"{os.getpid()}")
        with open(name + ".part", "w", encoding="utf-8") as out:
            json.dump({file: f"{bits:x}" for file, bits in _lines.items()}, out)
        os.replace(name + ".part", name + ".json")

    if sys.monitoring.get_tool(sys.monitoring.COVERAGE_ID) is None:
        sys.monitoring.use_tool_id(sys.monitoring.COVERAGE_ID, "lines of tests")
        sys.monitoring.register_callback(sys.monitoring.COVERAGE_ID, sys.monitoring.events.LINE, _seen)
        sys.monitoring.set_events(sys.monitoring.COVERAGE_ID, sys.monitoring.events.LINE)
        atexit.register(_written)
