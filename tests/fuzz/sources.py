"""Damage to source texts: a mutated program is refused with a diagnostic, or it compiles and runs to any end that has
one, and nothing else.

`python -m tests.fuzz.sources --count 5000 --seed 1` takes a program of programs/ or tests/inspect/programs, changes one
of its files (tokens left out, doubled, exchanged, replaced by others of the file, numbers made strange; characters
changed; the end cut off), compiles it, and runs what compiles for some cycles.
"""

from __future__ import annotations

import argparse
import random
import re
import shutil
import signal
import sys
import tempfile
import traceback
from pathlib import Path

import meshlang
from meshlang.diag import MeshlangError

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 60  # that one mutant may take
CYCLES = 5_000  # that one may run
TOKEN = re.compile(r"[A-Za-z_@]\w*|0[xb]\w+|\d+|\"[^\"\n]*\"|//[^\n]*|\s+|[^\w\s]{1,2}?")
NUMBERS = [
    "0",
    "-1",
    "1",
    "255",
    "256",
    "0x7fff",
    "65535",
    "65536",
    "4294967296",
    "1e300",
    "0.5",
    "99999999999999999999",
]
WORDS = [
    "if",
    "comptime",
    "anytype",
    "void",
    "while",
    ";",
    "{",
    "}",
    "(",
    ")",
    ".",
    "&",
    "*",
    "param",
    "@zeros",
    "inline",
]


class Slow(Exception):
    """A mutant that took too long."""


def folders() -> list[Path]:
    """Programs whose layout compiles as it is, without values for params."""
    found = [p.parent for p in (ROOT / "programs").glob("*/layout.csl")]
    found += [p.parent for p in (ROOT / "tests" / "inspect" / "programs").glob("*/layout.csl")]
    return sorted(found)


def mutated(text: str, pick: random.Random) -> str:
    """The text with one to three changes."""
    for _ in range(pick.randint(1, 3)):
        tokens = TOKEN.findall(text)
        real = [i for i, t in enumerate(tokens) if not t.isspace() and not t.startswith("//")]
        if not real:
            return text
        i, j = pick.choice(real), pick.choice(real)
        kind = pick.randrange(9)
        if kind == 0:
            tokens[i] = ""
        elif kind == 1:
            tokens[i] += " " + tokens[i]
        elif kind == 2:
            tokens[i], tokens[j] = tokens[j], tokens[i]
        elif kind == 3:
            tokens[i] = tokens[j]
        elif kind == 4:
            numbers = [k for k in real if tokens[k][0].isdigit()] or [i]
            tokens[pick.choice(numbers)] = pick.choice(NUMBERS)
        elif kind == 5:
            tokens[i] += " " + pick.choice(WORDS)
        elif kind == 6:
            tokens[i] = pick.choice(WORDS)
        elif kind == 7:
            at = pick.randrange(len(text))
            return text[:at] + chr(pick.choice([0, 9, 34, 39, 92, 127, 0xE9, 0x2028, 0x1F600])) + text[at + 1 :]
        else:
            return text[: pick.randrange(len(text))]
        text = "".join(tokens)
    return text


def one(seed: int, place: Path, programs: list[Path]) -> str:
    """Make a mutant and see what becomes of it; how it ended. Raises what is a defect of ours."""
    pick = random.Random(seed)
    folder = pick.choice(programs)
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(folder, place, ignore=shutil.ignore_patterns("*.py", "*.md"))
    file = pick.choice(sorted(place.rglob("*.csl")))
    file.write_text(mutated(file.read_text(encoding="utf-8"), pick), encoding="utf-8")
    arch = pick.choice(("wse2", "wse3"))
    try:
        program = meshlang.compile(place, arch=arch, max_comptime_steps=200_000, max_comptime_work=50_000, cache=False)
    except MeshlangError as error:
        assert error.diagnostics, "an error without a diagnostic"
        assert len(str(error)) < 200_000, "a message without end"
        return "refused"
    fabric = program.start(echo=False, max_cycles=CYCLES)
    functions = [s.name for s in fabric.session.symbols.all if s.kind == "fn" and not s.params]
    try:
        for name in functions[:2]:
            fabric.launch(name)
        fabric.run()
    except MeshlangError as error:
        assert error.diagnostics and str(error), "an error without a diagnostic"
        return "ended with a diagnostic"
    return "ran"


def _too_slow(*_: object) -> None:
    raise Slow


def fuzz(count: int, seed: int, until: float | None = None) -> tuple[int, list[str]]:
    """`count` mutants, or as many as there is time for (`until`, of time.monotonic): how many, and what went wrong."""
    import contextlib
    import io
    import time

    wrong: list[str] = []
    programs = folders()
    done = 0
    signal.signal(signal.SIGALRM, _too_slow)
    with tempfile.TemporaryDirectory() as name:
        for number in range(seed * 1_000_000, seed * 1_000_000 + count):
            if until is not None and time.monotonic() > until:
                break
            signal.alarm(SECONDS)
            try:
                with contextlib.redirect_stderr(io.StringIO()):
                    one(number, Path(name) / "mutant", programs)
            except (Exception, RecursionError):
                wrong.append(f"mutant {number}: {traceback.format_exc()}")
                print(wrong[-1], flush=True)
            finally:
                signal.alarm(0)
            done += 1
    return done, wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    done, wrong = fuzz(options.count, options.seed)
    print(f"{done} mutants, {len(wrong)} wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
