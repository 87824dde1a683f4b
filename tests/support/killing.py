"""How often tests kill processes, and when: as their own numbers say, or MESHLANG_KILLS and MESHLANG_SEED (tests/serve/faults.py)."""

from __future__ import annotations

import os


def kills(default: int) -> int:
    return int(os.environ.get("MESHLANG_KILLS", default))


def seed(default: int) -> int:
    """MESHLANG_SEED is added, so that tests still differ from each other."""
    return default + int(os.environ.get("MESHLANG_SEED", 0))
