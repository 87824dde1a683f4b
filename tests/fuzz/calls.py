"""Random sequences of calls of the host, right and wrong ones, against a model in numpy.

    python -m tests.fuzz.calls --count 1000 --first 1

A case is a fabric of tests/support/host_programs.py and some forty calls of the Python API or of SdkRuntime. A call with
right arguments does to the memory of the PEs what the model does; one with something wrong in an argument's place is a MeshlangError that
changes nothing, or means a number that a right call could have given; no other exception ever.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))
from host_programs import write_program

import meshlang
from meshlang import MeshlangError
from meshlang.host.sdk.runtime import MemcpyDataType, MemcpyOrder, SdkRuntime

W, H = 3, 2
CALLS = 40  # of a case
WRONG: list[Any] = [
    None, True, -1, 2**31, 2**63, -(2**63), 10**30, 0.5, 2.0, float("nan"), float("inf"), 1e300, 1 + 2j, "", "a", "x\0y", b"a",
    [], [1], [[1], [2, 3]], ["a"], (), {"a": 1}, object(), int, np.float32(1.5), np.int64(-5), np.uint64(2**64 - 1), np.array(3), np.array([]),
    np.zeros((2, 3, 4)), np.zeros((0, 1, 1)), np.zeros((1, 1, 99)), np.array(["x"]), np.array([None]), np.array(["2020-01-01"], "datetime64[s]"),
    np.ma.masked,
]  # fmt: skip


class Model:
    """What the memory of the PEs holds, [row, column, element]."""

    def __init__(self) -> None:
        self.a = np.tile(np.arange(1, 5, dtype=np.float32), (H, W, 1))
        self.other = np.tile(np.arange(10, 50, 10, dtype=np.float32), (H, W, 1))
        self.swapped = False
        self.plain = {
            "b": np.zeros((H, W, 6), np.uint16),
            "half": np.zeros((H, W, 2), np.float16),
            "n": np.full((H, W, 1), -5, np.int16),
        }

    def __getitem__(self, symbol: str) -> np.ndarray:
        """What the host sees under a name: `a` is a pointer, which `swap` moves."""
        if symbol == "a":
            return self.other if self.swapped else self.a
        return self.plain[symbol]

    def scale(self, by: np.float32, times: int) -> None:
        for _ in range(times):
            self.a *= by


class Wrong(Exception):
    """What is not as it should be."""


def _region(pick: random.Random) -> tuple[int, int, int, int]:
    x, y = pick.randrange(W), pick.randrange(H)
    return x, y, pick.randint(1, W - x), pick.randint(1, H - y)


def _values(pick: random.Random, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    bits = np.random.default_rng(pick.getrandbits(32)).integers(0, 1000, shape)
    return bits.astype(dtype)


def _same(found: np.ndarray, expected: np.ndarray, what: str) -> None:
    if found.dtype != expected.dtype or found.shape != expected.shape or found.tobytes() != expected.tobytes():
        raise Wrong(f"{what}: {found.tolist()} instead of {expected.tolist()}")


# One call: what to call, its arguments by name, and what to do when it was right: compare its result, change the model.
Step = tuple[Callable[..., Any], dict[str, Any], Callable[[Any], None]]


def _api(fabric: Any, model: Model, pick: random.Random) -> Step:
    """A right call of the Python API."""
    kind = pick.choice(("write", "read", "scale", "echo", "swap"))
    x, y, w, h = _region(pick)
    symbol = pick.choice(("a", "b", "half", "n"))
    whole = model[symbol]
    if kind == "write":
        count = pick.randint(1, whole.shape[2])
        data = _values(pick, (h, w, count), whole.dtype)

        def wrote(_: Any) -> None:
            model[symbol][y : y + h, x : x + w, :count] = data

        return fabric.write, {"symbol": symbol, "array": data, "x": x, "y": y}, wrote
    if kind == "read":
        count = pick.randint(1, whole.shape[2])

        def read(result: np.ndarray) -> None:
            _same(result, model[symbol][y : y + h, x : x + w, :count], f"read {symbol}")

        return fabric.read, {"symbol": symbol, "x": x, "y": y, "w": w, "h": h, "count": count}, read
    if kind == "scale":
        by, times = np.float32(pick.choice((0.5, 2.0, -1.0, 1.5))), pick.randint(0, 3)
        arguments = {"by": float(by), "times": times}
        return lambda by, times: fabric.launch("scale", by, times), arguments, lambda _: model.scale(by, times)
    if kind == "swap":

        def swapped(_: Any) -> None:
            model.swapped = True

        return lambda: fabric.launch("swap"), {}, swapped
    words, times = _values(pick, (H, W, 2), np.uint32), pick.randrange(1000)

    def echo() -> np.ndarray:
        fabric.stream_in(1, words)
        fabric.launch("echo", times)
        return fabric.stream_out(2, 2, 0, 0, W, H)

    def echoed(result: np.ndarray) -> None:
        _same(result, words, "echo")
        model.plain["n"][:] = times

    return echo, {}, echoed


def _packed(data: np.ndarray, order: MemcpyOrder) -> np.ndarray:
    """[rows, columns, elements] as an order lays them out, one 32-bit word each."""
    words = data if data.dtype.itemsize == 4 else data.view(np.uint16).astype(np.uint32)
    return np.ascontiguousarray(words if order == MemcpyOrder.ROW_MAJOR else words.transpose(2, 1, 0)).ravel()


def _sdk(runner: SdkRuntime, model: Model, pick: random.Random) -> Step:
    """A right call of SdkRuntime."""
    kind = pick.choice(("h2d", "rows", "columns", "d2h", "d2h", "scale"))
    x, y, w, h = _region(pick)
    if kind == "scale":
        by, times = np.float32(pick.choice((0.5, 2.0, -1.0, 1.5))), pick.randint(0, 3)
        arguments = {"by": by, "times": np.int16(times)}
        return (
            lambda by, times: runner.launch("scale", by, times, nonblock=False),
            arguments,
            lambda _: model.scale(by, times),
        )
    symbol = pick.choice(("a", "b", "half"))
    whole = model[symbol]
    count = pick.randint(1, whole.shape[2])
    order = pick.choice((MemcpyOrder.ROW_MAJOR, MemcpyOrder.COL_MAJOR))
    size = MemcpyDataType.MEMCPY_32BIT if whole.dtype.itemsize == 4 else MemcpyDataType.MEMCPY_16BIT
    region = {"px": x, "py": y, "w": w, "h": h, "elem_per_pe": count}
    how = {"streaming": False, "data_type": size, "order": order, "nonblock": pick.random() < 0.3}
    here = (slice(y, y + h), slice(x, x + w), slice(0, count))
    number = runner.get_id(symbol)
    if kind == "d2h":
        room = np.zeros(w * h * count, np.float32 if symbol == "a" else np.uint32)

        def got(task: Any) -> None:
            runner.task_wait(task)
            _same(room, _packed(model[symbol][here], order), f"memcpy_d2h {symbol} {order}")

        return runner.memcpy_d2h, {"dest": room, "src": number, **region, **how}, got
    shape = {"h2d": (h, w, count), "rows": (h, 1, count), "columns": (1, w, count)}[kind]
    call = {
        "h2d": runner.memcpy_h2d,
        "rows": runner.memcpy_h2d_rowbcast,
        "columns": runner.memcpy_h2d_colbcast,
    }[kind]
    data = _values(pick, shape, whole.dtype)

    def sent(_: Any) -> None:
        model[symbol][here] = data

    return call, {"dest": number, "src": _packed(data, order), **region, **how}, sent


def _everything(model: Model, read: Callable[[str], np.ndarray], what: str) -> None:
    for symbol in ("a", "b", "half", "n"):
        _same(read(symbol), model[symbol], f"{symbol} after {what}")


# the call was a right one, of something else (streaming=True: of a color), and then nothing could happen any more
_RAN = ("MS0860", "MS0861")


def _spoiled(call: Callable[..., Any], good: dict[str, Any], pick: random.Random) -> tuple[str, bool]:
    """A right call with something wrong in an argument's place: what it was, and whether it was refused."""
    name, value = pick.choice(sorted(good)), pick.choice(WRONG)
    what = f"{getattr(call, '__name__', 'call')}({name}={value!r})"
    try:
        call(**{**good, name: value})
    except MeshlangError as error:
        if not error.diagnostics or not str(error):
            raise Wrong(f"{what}: an error that says nothing") from error
        return what, error.diagnostics[0].code not in _RAN
    except Exception as error:
        raise Wrong(f"{what}: {type(error).__name__}: {error}") from error
    return what, False


@contextmanager
def _inside(folder: Path) -> Iterator[None]:
    """In a folder, where the files of a runtime (sim.log and the like) go."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def case(program: Any, folder: Path, seed: int) -> int:
    """One case; how many calls it made. Raises Wrong."""
    pick = random.Random(seed)
    if pick.random() < 0.5:
        return _calls(program.start(max_cycles=1_000_000), None, pick)
    with _inside(folder):
        runner = SdkRuntime("out")
        runner.load()
        runner.run()
        done = _calls(None, runner, pick)
        if done == CALLS:
            runner.stop()
        return done


def _calls(fabric: Any, runner: SdkRuntime | None, pick: random.Random) -> int:
    model = Model()

    def read(symbol: str) -> np.ndarray:
        if runner is None:
            return fabric.read(symbol)
        return np.stack([[_of(runner, x, y, symbol, model) for x in range(W)] for y in range(H)])

    for done in range(CALLS):
        call, good, after = _sdk(runner, model, pick) if runner is not None else _api(fabric, model, pick)
        if good and pick.random() < 0.4:
            what, refused = _spoiled(call, good, pick)
            if not refused:
                return done  # it meant something: what it did, or waits for, is not known
            if runner is None or pick.random() < 0.2:
                _everything(model, read, what)
            continue
        try:
            after(call(**good))
        except MeshlangError as error:
            raise Wrong(f"a right call was refused: {good}: {error}") from error
    _everything(model, read, "all calls")
    return CALLS


def _of(runner: SdkRuntime, x: int, y: int, symbol: str, model: Model) -> np.ndarray:
    """A variable of a PE, copied from the device."""
    whole = model[symbol]
    if symbol == "n":
        return whole[y, x]  # one word, no copy of 16 bits reaches it alone
    room = np.zeros(whole.shape[2], np.float32 if symbol == "a" else np.uint32)
    size = MemcpyDataType.MEMCPY_32BIT if symbol == "a" else MemcpyDataType.MEMCPY_16BIT
    order = MemcpyOrder.ROW_MAJOR
    runner.memcpy_d2h(
        room, runner.get_id(symbol), x, y, 1, 1, whole.shape[2],
        streaming=False, data_type=size, order=order, nonblock=False,
    )  # fmt: skip
    return room if symbol == "a" else room.astype(np.uint16).view(whole.dtype)


def fuzz(count: int, first: int, until: float = float("inf")) -> tuple[int, list[str]]:
    """Cases tried, of the numbers from `first` on, and what went wrong."""
    wrong: list[str] = []
    done = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        program = meshlang.compile(write_program(folder / "source"))
        program.save(folder / "out")
        while done < count and time.monotonic() < until:
            try:
                case(program, folder, first + done)
            except (Wrong, MeshlangError) as failure:
                wrong.append(f"tests.fuzz.calls --first {first + done} --count 1: {failure}")
            done += 1
    return done, wrong


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.calls", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--first", type=int, default=1, help="the number of the first case")
    options = parser.parse_args()
    done, wrong = fuzz(options.count, options.first)
    print(f"{done} cases", *wrong, sep="\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
