"""What `meshlang bench --full` extrapolates, and that its rows of models are rows."""

import pytest

from meshlang.models import bench
from meshlang.paths import programs_dir


def test_extrapolation_is_exact_for_what_it_assumes():
    """a side^2 + b side^3."""

    def seconds(side: int) -> float:
        return 3e-4 * side**2 + 5e-5 * side**3

    assert bench.extrapolated((16, 32), (seconds(16), seconds(32)), 600) == pytest.approx(seconds(600))


def test_rows():
    rows = [bench.decoder(programs_dir(), 2), *bench.prefill(programs_dir(), (2, 3))]
    assert [row["unit"] for row in rows] == ["tile-cycles/s"] * 3 + ["hours of one core"]
    assert "extrapolated" in rows[-1]["what"]  # from milliseconds here: a busy machine makes anything of it
    assert all(row["value"] > 0 and row["bytes a PE"] > 1000 and row["run in s"] > 0 for row in rows[:-1])
