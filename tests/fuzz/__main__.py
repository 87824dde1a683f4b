"""The standing fuzz: every generator there is, for as long as there is time.

    python -m tests.fuzz --minutes 60                 # all kinds, equally long
    python -m tests.fuzz --minutes 10 --kinds sources folders

Prints the seed, how many cases of each kind were tried, and each failure with the number that makes it again; exits with
1 if there was one. Seeds differ from day to day unless --seed says otherwise, so that nights add up.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests" / "support"), str(ROOT / "tests" / "fabric"), str(ROOT / "tests" / "fuzz")]

Outcome = tuple[int, list[str]]  # cases tried, and what went wrong
Kind = Callable[[int, float], Outcome]  # of a seed and the moment to end


def sources(seed: int, until: float) -> Outcome:
    """Mutated source texts: compiled, and run."""
    from . import sources

    return sources.fuzz(1 << 30, seed, until)


def folders(seed: int, until: float) -> Outcome:
    """Damaged compiled folders and saved states: refused, or run to some end."""
    from .folders import fuzz

    done, wrong = 0, []
    while time.monotonic() < until:
        wrong += fuzz(200, seed * 1000 + done, say=lambda _: None)
        done += 200
    return done, wrong


def optimiser(seed: int, until: float) -> Outcome:
    """Random functions at -O0 and -O1 on the engine, some on the reference interpreter and the uncompiled engine, too."""
    from .optimiser import Difference, Refused, compare, compare_uncompiled

    done, wrong = 0, []
    with tempfile.TemporaryDirectory() as name:
        first = number = seed * 1_000_000
        while time.monotonic() < until:
            try:
                done += compare(number, Path(name))[0]
            except (Difference, Refused) as failure:
                wrong.append(str(failure))
            number += 1
            if number - first == 500:
                wrong += compare_uncompiled(range(first, number), Path(name))
                first = number
        wrong += compare_uncompiled(range(first, number)[:20], Path(name))
    return done, wrong


def express(seed: int, until: float) -> Outcome:
    """Random fabric programs, with wavelets delivered at once and step by step."""
    import numpy as np
    from test_express import build, outcome

    from meshlang.fabric.machine import Machine

    done, wrong = 0, []
    number = seed * 1_000_000
    while time.monotonic() < until:
        parts = np.random.default_rng(number).integers(1, 60, 6).tolist()
        fast, slow = Machine(build(number)), Machine(build(number))
        slow.step_by_step()
        if outcome(fast, parts) != outcome(slow, parts):
            wrong.append(f"build({number}) of tests/fabric/test_express.py: other memory, cycles or reports")
        done += 1
        number += 1
    return done, wrong


def devices(seed: int, until: float) -> Outcome:
    """Random programs with @map, @dfilt, SIMD, circular buffers, FIFOs and switches under load, against models in Python."""
    from .devices import fuzz

    done, wrong = fuzz(1 << 30, seed, until=until)
    return sum(done.values()), wrong


def calls(seed: int, until: float) -> Outcome:
    """Random sequences of right and wrong calls of the Python API and of SdkRuntime, against a model in numpy."""
    from .calls import fuzz

    return fuzz(1 << 30, seed * 1_000_000, until)


def kills(seed: int, until: float) -> Outcome:
    """Writers of folders, states, traces and caches, and compilations, killed at random moments."""
    from . import kills

    done, wrong = 0, []
    while time.monotonic() < until:
        more, found = kills.fuzz(5, seed * 1000 + done, list(kills.KINDS), until)
        done, wrong = done + more, wrong + found
    return done, wrong


KINDS: dict[str, Kind] = {f.__name__: f for f in (sources, folders, optimiser, express, devices, calls, kills)}


def run(minutes: float, seed: int, kinds: list[str]) -> list[str]:
    """Each kind for its share of the time; what went wrong."""
    wrong: list[str] = []
    for name in kinds:
        until = time.monotonic() + 60 * minutes / len(kinds)
        try:
            done, found = KINDS[name](seed, until)
        except Exception:  # a generator's own end must not cost the others theirs
            done, found = 0, [traceback.format_exc()]
        wrong += [f"{name}: {text}" for text in found]
        for text in found:
            print(f"{name}: {text}", flush=True)
        print(f"{done:>8} cases of {name}: {(KINDS[name].__doc__ or '').strip()} {len(found)} wrong", flush=True)
    return wrong


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--seed", type=int, default=int(time.time() // 86400), help="default: the number of the day")
    parser.add_argument("--kinds", nargs="+", choices=list(KINDS), default=list(KINDS))
    options = parser.parse_args()
    os.environ.setdefault("MESHLANG_KEEP_PROGRAMS", "0")  # nothing of it is of use again
    print(f"seed {options.seed}", flush=True)
    return 1 if run(options.minutes, options.seed, options.kinds) else 0


if __name__ == "__main__":
    sys.exit(main())
