"""The engine room once more, as plain Python: `meshlang.fabric.uncompiled.loop` is `engine/loop.py`, not compiled.

There is no source here: the modules are those of `fabric/engine`, under this name, and `engine/jit.py` compiles nothing
for it. It runs while the compiled engine is being made (`fabric/startup.py`), on the same arrays and to the same bits.
"""

from pathlib import Path

__path__ = [str(Path(__file__).resolve().parent.parent / "engine")]
