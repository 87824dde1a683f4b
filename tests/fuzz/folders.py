"""Damage to saved programs and saved states: a damaged file is refused with a diagnostic, or it runs, and nothing else.

`python -m tests.fuzz.folders --count 20000 --seed 1` flips that many words, one at a time: in arrays and numbers of a
saved folder, in arrays of a saved state, and bytes of the files. What still loads runs for some cycles, with any result.
Children do it, so that a signal is seen. It prints how it went, and every flip that ended in a signal, a Python
traceback or a hang; then it exits with 1.
"""

from __future__ import annotations

import argparse
import collections
import copy
import io
import json
import os
import pickle
import random
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import meshlang
from meshlang.diag import MeshlangError
from meshlang.fabric import snapshot
from meshlang.fabric.machine import Machine
from meshlang.ir import serial
from meshlang.ir.program import Program

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests" / "support"), str(ROOT / "tests" / "fabric")]
from host_programs import write_program  # noqa: E402
from mode_program import build  # noqa: E402

CYCLES = 3_000  # that a damaged program may run
SECONDS = 60  # that one flip may take
REFUSALS = {"MS0790", "MS0902", "MS0903", "MS0942", "MS0850", "MS0842"}  # of files; a run may end in any diagnostic
PER_CHILD = 40


class Case:
    """A program, its folder as texts and arrays, and states of it on the way."""

    def __init__(self, name: str, program: Program, folder: Path):
        self.name, self.folder = name, folder / name
        serial.save(program, self.folder)
        text = (self.folder / "bin" / "program.json").read_text(encoding="utf-8")
        self.document = json.loads(text)
        self.document.pop("digest")
        with np.load(self.folder / "bin" / "program.npz") as file:
            self.arrays = {n: file[n] for n in file.files}
        self.program = program
        self.states: list[dict[str, np.ndarray]] = []
        machine = Machine(program)
        for cycles in (1, 40, 200, 1000):
            start(machine)
            try:
                machine.run(None, cycles)
            except MeshlangError:
                break
            path = folder / f"{name}.state"
            snapshot.save(path, machine)
            with np.load(path) as file:
                self.states.append({n: file[n] for n in file.files})
        self.bytes = {p: (self.folder / "bin" / p).read_bytes() for p in ("program.json", "program.npz")}
        self.state_bytes = (folder / f"{name}.state").read_bytes()


def start(machine: Machine) -> None:
    """Launch the first exported function that there is, unless one is under way."""
    if machine.commands_outstanding:
        return
    for tile in machine.program.tiles:
        for e in tile.exports.values():
            if e.kind == "fn":
                machine.launch(e.name, [3] * tile.functions[e.function].params)
                return


def run(machine: Machine) -> None:
    """Use a machine as a command would: run it, and look at everything."""
    start(machine)
    for color in machine.program.fabric.host_in:
        if color in machine.state.hin_index:
            machine.stream_in(color, 0, 0, 1, 1, np.ones((1, 1, 2), np.uint32))
    machine.run(None, CYCLES)
    machine.run("commands", CYCLES)
    machine.warnings, machine.waiting(), machine.print_log, machine.stats()


# ---------------------------------------------------------------- kinds of damage


def flip(array: np.ndarray, random: random.Random) -> str:
    """One word of an array gets a bit flipped, or another value."""
    flat = array.reshape(-1)
    if not flat.size:
        return "nothing"
    used = np.flatnonzero(flat) if random.random() < 0.7 else np.zeros(0, int)
    i = int(random.choice(used)) if len(used) else random.randrange(flat.size)
    bits = 8 * flat.itemsize
    value = int(flat[i]) & ((1 << bits) - 1)
    way = random.random()
    if way < 0.6:
        value ^= 1 << random.randrange(bits)
    elif way < 0.8:
        value = random.getrandbits(bits)
    else:
        value = random.choice([0, 1, (1 << bits) - 1, 1 << (bits - 1), value + 1, value - 1]) & ((1 << bits) - 1)
    unsigned = flat.view(f"u{flat.itemsize}")
    before = int(unsigned[i])
    unsigned[i] = value
    return f"word {i}: {before:#x} became {value:#x}"


def numbers_of(value: Any, found: list[tuple[Any, Any]]) -> None:
    """All places in a JSON document that hold a number, a text, a flag or nothing."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in items:
        if isinstance(item, (dict, list)):
            numbers_of(item, found)
        else:
            found.append((value, key))


def damage_array(case: Case, random: random.Random, folder: Path) -> str:
    arrays = {n: a.copy() for n, a in case.arrays.items()}
    name = random.choice(sorted(arrays))
    what = flip(arrays[name], random)
    write_folder(case, case.document, arrays, folder)
    return f"{name}, {what}"


def damage_number(case: Case, random: random.Random, folder: Path) -> str:
    document = copy.deepcopy(case.document)
    places: list[tuple[Any, Any]] = []
    numbers_of([document["parts"], document["program"]], places)
    holder, key = random.choice(places)
    before = holder[key]
    if isinstance(before, int) and not isinstance(before, bool) and random.random() < 0.8:
        holder[key] = random.choice([before ^ 1 << random.randrange(64), -before, before + 1, before - 1, 0, -1])
    else:
        holder[key] = random.choice([None, True, 0, -1, 1 << 70, "", "x", 1.5, [], {}, {"$t": []}, {"$a": "a0"}])
    write_folder(case, document, case.arrays, folder)
    return f"{key}: {before!r} became {holder[key]!r}"


def damage_shape(case: Case, random: random.Random, folder: Path) -> str:
    """An array is missing, of another type, or of another shape."""
    arrays = dict(case.arrays)
    name = random.choice(sorted(arrays))
    array = arrays[name]
    what = random.choice(["missing", "type", "shape", "part"])
    if what == "missing":
        del arrays[name]
    elif what == "type":
        arrays[name] = array.astype(random.choice([np.int64, np.float32, np.uint8, np.bool_, "U3"]))
    elif what == "shape":
        arrays[name] = array.reshape(-1)
    else:
        arrays[name] = array[: len(array) // 2] if array.ndim else array
    write_folder(case, case.document, arrays, folder)
    return f"{name}: {what}"


def damage_bytes(case: Case, random: random.Random, folder: Path) -> str:
    name = random.choice(sorted(case.bytes))
    other = next(n for n in case.bytes if n != name)
    (folder / "bin").mkdir(parents=True, exist_ok=True)
    (folder / "bin" / other).write_bytes(case.bytes[other])
    data, what = damaged_bytes(case.bytes[name], random)
    (folder / "bin" / name).write_bytes(data)
    return f"{name}: {what}"


def damaged_bytes(data: bytes, random: random.Random) -> tuple[bytes, str]:
    if random.random() < 0.2:
        n = random.randrange(len(data))
        return data[:n], f"cut off at {n}"
    i = random.randrange(len(data))
    return data[:i] + bytes([data[i] ^ 1 << random.randrange(8)]) + data[i + 1 :], f"byte {i}"


def write_folder(case: Case, document: Any, arrays: dict[str, np.ndarray], folder: Path) -> None:
    packed = io.BytesIO()
    np.savez(packed, **arrays)
    (folder / "bin").mkdir(parents=True, exist_ok=True)
    (folder / "bin" / "program.npz").write_bytes(packed.getvalue())
    (folder / "bin" / "program.json").write_text(
        serial.sealed(json.dumps(document), packed.getvalue()), encoding="utf-8"
    )


def damage_state(case: Case, random: random.Random, folder: Path) -> str:
    arrays = {n: a.copy() for n, a in random.choice(case.states).items()}
    name = random.choice([n for n in sorted(arrays) if n != "meta"] + ["W", "U"] * 4)
    if random.random() < 0.03:
        del arrays[name]
        what = "missing"
    else:
        what = flip(arrays[name], random)
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder / "state.npz", **arrays)
    return f"{name}, {what}"


def damage_state_bytes(case: Case, random: random.Random, folder: Path) -> str:
    data, what = damaged_bytes(case.state_bytes, random)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "state.npz").write_bytes(data)
    return what


def load_folder(case: Case, folder: Path) -> Machine:
    return Machine(serial.load(folder))


def load_state(case: Case, folder: Path) -> Machine:
    machine = Machine(case.program)
    snapshot.restore(folder / "state.npz", machine)
    return machine


Damage = Callable[[Case, random.Random, Path], str]
# name, share, damage, how it is loaded again
KINDS: list[tuple[str, int, Damage, Callable[[Case, Path], Machine]]] = [
    ("word of a folder's arrays", 30, damage_array, load_folder),
    ("number of a folder", 15, damage_number, load_folder),
    ("array of a folder", 2, damage_shape, load_folder),
    ("byte of a folder", 5, damage_bytes, load_folder),
    ("word of a state", 45, damage_state, load_state),
    ("byte of a state", 3, damage_state_bytes, load_state),
]


def one(case: Case, kind: int, seed: int, folder: Path) -> str:
    """One flip: "refused CODE", "ended CODE" or "ran"; anything else raises."""
    _, _, damage, load = KINDS[kind]
    damage(case, random.Random(seed), folder)
    try:
        machine = load(case, folder)
    except MeshlangError as error:
        code = error.diagnostics[0].code
        assert code in REFUSALS, f"refused with {code}"
        return f"refused {code}"
    try:
        run(machine)
    except MeshlangError as error:
        str(error)
        return "ended with a diagnostic"
    return "ran"


# ---------------------------------------------------------------- children


def child(cases: list[Case], work: list[tuple[int, int, int]], out: int, folder: Path) -> None:
    """Do some flips, and say of each how it went."""
    with os.fdopen(out, "wb") as pipe:
        for case, kind, seed in work:
            signal.alarm(SECONDS)
            try:
                result = one(cases[case], kind, seed, folder)
            except BaseException:
                result = "TRACEBACK\n" + traceback.format_exc()
            pickle.dump(result, pipe)
            pipe.flush()
    os._exit(0)


def attempt(cases: list[Case], work: list[tuple[int, int, int]], folder: Path) -> list[str]:
    """Results of a child, the last one of how it died if it did not get through."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(read)
        child(cases, work, write, folder)
    os.close(write)
    results = []
    with os.fdopen(read, "rb") as pipe:
        while len(results) < len(work):
            try:
                results.append(pickle.load(pipe))
            except EOFError:
                break
    _, status = os.waitpid(pid, 0)
    if len(results) < len(work):
        sign = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
        results.append("HANG" if sign == signal.SIGALRM else f"SIGNAL {sign}")
    return results


def programs(folder: Path) -> dict[str, Program]:
    """Small programs that have something of everything."""
    path = write_program(folder)
    return {
        "host": meshlang.compile(path, params={"W": 3}).ir,
        "modes2": build("wse2", 1),
        "modes3": build("wse3", 1),
        "allreduce": meshlang.compile(ROOT / "programs" / "allreduce" / "layout.csl").ir,
        "gemv": meshlang.compile(ROOT / "programs" / "gemv" / "layout.csl").ir,
    }


def fuzz(count: int, seed: int, names: list[str] | None = None, say: Callable[[str], None] = print) -> list[str]:
    """Flip `count` words; returns what went wrong."""
    wrong: list[str] = []
    tally: collections.Counter[tuple[str, str]] = collections.Counter()
    with tempfile.TemporaryDirectory() as place:
        cases = [
            Case(n, p, Path(place)) for n, p in programs(Path(place) / "sources").items() if names is None or n in names
        ]
        pick = random.Random(seed)
        shares = [k[1] for k in KINDS]
        todo = [
            (pick.randrange(len(cases)), pick.choices(range(len(KINDS)), shares)[0], pick.getrandbits(48))
            for _ in range(count)
        ]
        done = 0
        while done < len(todo):
            work = todo[done : done + PER_CHILD]
            results = attempt(cases, work, Path(place) / "damaged")
            for (case, kind, number), result in zip(work, results, strict=False):
                tally[KINDS[kind][0], result.splitlines()[0]] += 1
                if result[:4] in ("TRAC", "HANG", "SIGN"):
                    what = KINDS[kind][2](cases[case], random.Random(number), Path(place) / "again")
                    wrong.append(f"{cases[case].name}, {KINDS[kind][0]} ({number}): {what}: {result}")
                    say(wrong[-1])
            done += len(results)
    for (kind, result), n in sorted(tally.items()):
        say(f"{n:>7}  {kind}: {result}")
    say(f"{done} flips, {len(wrong)} wrong")
    return wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--programs", nargs="*")
    options = parser.parse_args()
    return 1 if fuzz(options.count, options.seed, options.programs, lambda text: print(text, flush=True)) else 0


if __name__ == "__main__":
    sys.exit(main())
