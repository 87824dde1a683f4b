"""`python -m meshlang.serve.point ARGUMENTS`: `meshlang ARGUMENTS`, which ends when its standard input is closed.

So a point of a sweep does not outlive the process that wants its result, however that one ends.
"""

from __future__ import annotations

import os
import sys
import threading


def _end_with(descriptor: int) -> None:
    while os.read(descriptor, 4096):
        pass
    os._exit(130)


def main() -> int:
    watched = os.dup(0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)  # a host script that reads finds the end at once
    os.close(nothing)
    threading.Thread(target=_end_with, args=(watched,), daemon=True).start()
    import runpy

    runpy.run_module("meshlang", run_name="__main__", alter_sys=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
