"""A profile for speedscope (speedscope.app): call stacks and their cycles, all PEs together and, if they are few, each
of them."""

from __future__ import annotations

from collections import defaultdict
from pathlib import PurePath
from typing import Any

import numpy as np

from meshlang.version import __version__

from .collect import Profile
from .report import task_title

SINGLE = 64  # up to so many PEs get a profile each


def speedscope(profile: Profile) -> dict[str, Any]:
    """The file's content, of the schema speedscope.app/file-format-schema.json. The unit is a cycle; the innermost
    frame is a line."""
    frames: dict[tuple[str, str | None, int | None], int] = {}

    def frame(name: str, file: str | None, line: int | None) -> int:
        return frames.setdefault((name, file, line), len(frames))

    def stack(node: int, pc: int) -> tuple[int, ...]:
        out = []
        for number in profile.stack(node):
            found = profile.nodes[number]
            place = None if found is None else profile.place(number, found.entry)
            name = task_title(profile, number) if found is None or not found.parent else found.name
            out.append(frame(name, *(place or (None, None))))
        place = profile.place(node, pc)
        if place is not None:
            out.append(frame(f"{PurePath(place[0]).name}:{place[1]}", *place))
        return tuple(out)

    key = profile.node << 24 | profile.pc
    stacks = {k: stack(k >> 24, k & (1 << 24) - 1) for k in np.unique(key).tolist()}

    def sampled(name: str, rows: np.ndarray) -> dict[str, Any]:
        sums: dict[tuple[int, ...], int] = defaultdict(int)
        for k, cycles in zip(key[rows].tolist(), profile.cycles[rows].tolist()):
            sums[stacks[k]] += cycles
        samples = sorted((s, c) for s, c in sums.items() if c > 0)
        return {
            "type": "sampled",
            "name": name,
            "unit": "none",
            "startValue": 0,
            "endValue": sum(c for _, c in samples),
            "samples": [list(s) for s, _ in samples],
            "weights": [c for _, c in samples],
        }

    pes = [int(p) for p in np.unique(profile.pe) if p >= 0]
    every = np.ones(len(key), bool)
    profiles = [sampled(f"all {len(pes) or int(profile.trace.mask.sum()):,} PEs", every)]
    if 1 < len(pes) <= SINGLE:
        for pe in pes:
            x, y = profile.trace.xy(pe)
            profiles.append(sampled(f"PE {x},{y}", profile.pe == pe))
    return {
        "$schema": "https://www.speedscope.app/file-format-schema.json",
        "name": profile.trace.program.source,
        "exporter": f"meshlang {__version__}",
        "activeProfileIndex": 0,
        "shared": {
            "frames": [
                {"name": n, **({} if f is None else {"file": f}), **({} if line is None else {"line": line})}
                for n, f, line in frames
            ]
        },
        "profiles": profiles,
    }
