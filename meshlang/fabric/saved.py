"""What a saved state is: the record that snapshots make and the door examines."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Snapshot:
    """The state of a machine between two cycles. Treat the arrays as read-only."""

    cycle: int
    command: str | None
    W: np.ndarray
    U: np.ndarray
    M8: np.ndarray
    host_in: np.ndarray
    segments: np.ndarray
    tails: np.ndarray
    out: dict[int, np.ndarray]
    out_counts: dict[int, np.ndarray]
    prints: int  # how many print records there were (they are only ever added)
    period: int

    @property
    def nbytes(self) -> int:
        arrays = (
            self.W,
            self.U,
            self.M8,
            self.host_in,
            self.segments,
            self.tails,
            *self.out.values(),
            *self.out_counts.values(),
        )
        return sum(a.nbytes for a in arrays)
