"""A model on a fabric, from a folder or an image, in this process: for `python -m tests.serve.tables start`, which runs it several times.

Prints, in JSON, elapsed and processor seconds of: Python and imports, the program, a fabric, the weights on it, all. BEGAN (in the
environment) is when the process was started. Only what a start needs is imported.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from meshlang.host.api import CompiledProgram
from meshlang.models.runner import Runner, Store, Weights
from meshlang.serve.image import FileImage, ImageStore


def main() -> None:
    marks = [(float(os.environ["BEGAN"]), 0.0)]

    def mark() -> None:
        marks.append((time.time(), time.process_time()))

    def marked(owner: type, name: str, after: bool) -> None:
        """Mark when a method begins, and, if `after`, when it has ended."""
        method: Callable[..., Any] = getattr(owner, name)

        def call(*args: Any, **more: Any) -> Any:
            mark()
            out = method(*args, **more)
            if after:
                mark()
            return out

        setattr(owner, name, call)

    folder = Path(sys.argv[1])
    store: type[Store] = Weights if folder.is_dir() else ImageStore
    marked(CompiledProgram, "start", False)
    marked(store, "write_model", True)
    mark()
    if folder.is_dir():
        import numpy as np

        from meshlang.models.checkpoint import Checkpoint
        from meshlang.models.fit import place

        checkpoint = Checkpoint(folder)
        Runner(place(checkpoint.config, 96, 96, tokens=1536, prompt=1536, dtype=np.float16), checkpoint)
    else:
        FileImage(folder).runner()
    print(json.dumps([[b - a for a, b in zip(*pair)] for pair in [*zip(marks, marks[1:]), (marks[0], marks[-1])]]))


if __name__ == "__main__":
    main()
