"""load, reload, params, info, write, read, send, receive: the program and its data."""

from __future__ import annotations

import shlex
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from meshlang import files
from meshlang.diag import Diagnostic, MeshlangError
from meshlang.inspect import arguments, names, query
from meshlang.inspect.mistakes import mistake
from meshlang.inspect.registry import command
from meshlang.inspect.values import array_text

if TYPE_CHECKING:
    from meshlang.host.symbols import HostSymbol
    from meshlang.inspect.shell import Shell


def words(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError as error:
        raise mistake(f"the line is incomplete: {error}") from None


def _params(items: list[str]) -> dict[str, Any]:
    from meshlang.host.values import name_values, number_or_text

    return {k: number_or_text(v) for k, v in name_values(items, "parameter").items()}


@command(
    "load",
    "PATH [NAME=VALUE ...]",
    group="Program",
    complete=("file", "param"),
    program=False,
    examples=("load programs/hello", "load programs/meshgemv/layout.csl P=4"),
)
def load(repl: Shell, text: str) -> None:
    """Compile a program folder, a layout file or a folder that cslc wrote, and put it on a fabric.
    Nothing runs yet. A host script (run.py) is not run: launch, write and read take its place.
    """
    path, *given = words(text) or [""]
    if not path:
        raise mistake("load needs a path", help="load programs/hello")
    params = {**repl.params, **_params(given)} if given or repl.path in (None, path) else _params(given)
    open_program(repl, path, params)


def open_program(repl: Shell, path: str, params: dict[str, Any]) -> None:
    from meshlang.host.build import build, layout_of
    from meshlang.inspect.debugger import Debugger
    from meshlang.ir import serial
    from meshlang.sema.model.options import CompileOptions

    if (Path(path) / "bin" / "program.json").is_file():
        program = serial.load(path)
    else:
        program = build(layout_of(path), CompileOptions(params=params, **repl.options))
    repl.debugger = Debugger(program, repl.profile)
    repl.path, repl.params = path, params
    repl.place = None
    functions = [s.name for s in repl.debugger.symbols.all if s.kind == "fn"]
    fabric = program.fabric
    repl.say(
        f"loaded {path}: {fabric.width} x {fabric.height} PEs, {program.arch}"
        + (f"; to launch: {', '.join(functions)}" if functions else "")
    )
    if program.warnings:
        repl.show(program.warnings)


@command("reload", "[NAME=VALUE ...]", group="Program", complete=("param",), examples=("reload", "reload P=8"))
def reload(repl: Shell, text: str) -> None:
    """Compile the program again, with the same parameters unless others are given, and start from cycle 1.
    Breakpoints are kept where they still make sense.
    """
    if repl.path is None:
        raise mistake("nothing was loaded")
    kept = [c.text for c in repl.debugger.breaks.values()]
    open_program(repl, repl.path, {**repl.params, **_params(words(text))})
    for text_ in kept:
        try:
            number = repl.debugger.add_break(arguments.condition(repl.debugger.machine, text_))
            repl.say(f"break {number}: {text_}")
        except MeshlangError as error:
            repl.say(f"dropped break {text_}: {error.diagnostics[0].message}")


@command(
    "params", "[NAME=VALUE ...]", group="Program", program=False, complete=("param",), examples=("params P=4 Mt=2",)
)
def params(repl: Shell, text: str) -> None:
    """Show the program's parameters, or set some for the next load or reload."""
    given = _params(words(text))
    if given:
        repl.params.update(given)
        repl.say("for the next load: " + " ".join(f"{k}={v}" for k, v in repl.params.items()))
        return
    shown = repl.debugger.program.params if repl.loaded else repl.params
    for name, value in shown.items():
        repl.say(f"{name} = {value}")
    if not shown:
        repl.say("no parameters")


@command("info", "", group="Program", examples=("info",))
def info(repl: Shell, text: str) -> None:
    """The program in short: size, tile programs, tasks, colors, exported symbols and functions."""
    del text
    from meshlang.host.report import resource_table

    program = repl.debugger.program
    repl.say(resource_table(program))
    tasks: dict[tuple[str, str, int], list[str]] = {}
    for tile in program.tiles:
        for b in tile.tasks:
            tasks.setdefault((b.name, b.kind, b.id), []).append(tile.name)
    for (name, kind, number), tiles in tasks.items():
        repl.say(
            f"  task {name} of {tiles[0]}{f' and {len(tiles) - 1} more' if len(tiles) > 1 else ''}: {kind}, id {number}"
        )
    for symbol in repl.debugger.symbols.all:
        repl.say(f"  export {symbol.name}: {symbol.type}")


# ---------------------------------------------------------------- data


def _target(repl: Shell, symbol: HostSymbol, place: str | None) -> arguments.Region:
    """The PEs meant: those named, or all that export the symbol when these form a rectangle."""
    machine = repl.debugger.machine
    if place is not None:
        return arguments.region(machine, place)
    tiles = repl.debugger.memory.tile_of
    has = np.isin(tiles, [t for t, e in enumerate(symbol.exports) if e is not None])
    rows, columns = np.flatnonzero(has.any(axis=1)), np.flatnonzero(has.any(axis=0))
    if not len(rows):
        return 0, 0, machine.width, machine.height
    x, y, w, h = int(columns[0]), int(rows[0]), int(columns[-1] - columns[0]) + 1, int(rows[-1] - rows[0]) + 1
    return (x, y, w, h) if has[y : y + h, x : x + w].all() else (0, 0, machine.width, machine.height)


@command(
    "read",
    "SYMBOL [@ PLACE] [> FILE.npy]",
    group="Program",
    complete=("symbol", "pe"),
    examples=("read y", "read y @ 0:4,0", "read y > y.npy"),
)
def read(repl: Shell, text: str) -> None:
    """What an exported symbol holds now, PE by PE, as a copy to the host would bring it. No cycle passes.
    PEs with equal contents are put together; `> FILE.npy` saves an array [height, width, elements].
    """
    body, arrow, file = text.partition(">")
    name, place = arguments.split_place(body.strip())
    debugger = repl.debugger
    if not name:
        raise mistake("read needs a symbol", help="read y, or read y @ 0:4,0; info lists the exported symbols")
    symbol = debugger.symbols.data(name)
    where = _target(repl, symbol, place)
    debugger.memory.check(symbol, where)
    size = symbol.dtype.itemsize
    nbytes = size if symbol.kind == "var" else debugger.memory.extent(symbol, where) // size * size
    value = np.ascontiguousarray(debugger.memory.read(symbol, where, nbytes)).view(symbol.dtype)
    if arrow:
        _save(file.strip(), value)
        repl.say(f"{name}: {symbol.element} {list(value.shape)} written to {file.strip()}")
        return

    from .pes import shown

    x0, y0 = where[:2]
    for group in shown(repl, query.grouped(arguments.pes(where), lambda x, y: value[y - y0, x - x0].tobytes())):
        x, y = group.pes[0]
        repl.say(f"{query.places(group.pes)}: {array_text(value[y - y0, x - x0])}")


def _save(file: str, value: np.ndarray) -> None:
    if not file:
        raise mistake("a file name is missing after >")
    with files.replacing(file) as out:
        np.save(out, value)


@command(
    "write",
    "SYMBOL VALUE [@ PLACE]",
    group="Program",
    complete=("symbol", "file"),
    aliases=("set",),
    examples=(
        "write x 1.5 @ 0,0",
        "set n = 4",
        "write x 1 2 3 4",
        "write W W.npy",
        "write x random",
        "write x zeros @ :,0",
    ),
)
def write(repl: Shell, text: str) -> None:
    """Copy values to an exported symbol.
    Values are a number for every element, one number per element, a .npy file, random or zeros.
    The file holds an array [height, width, elements] for the place, or [elements] for each of its PEs.
    """
    body, place = arguments.split_place(text)
    name, *values = words(body) or [""]
    if values[:1] == ["="]:
        values = values[1:]
    if not name or not values:
        raise mistake("write needs a symbol and a value", help="write x 1.5 @ 0,0")
    from meshlang.host.api import _converted

    debugger = repl.debugger
    symbol = debugger.symbols.data(name)
    where = _target(repl, symbol, place)
    debugger.memory.check(symbol, where)
    _, _, w, h = where
    count = 1 if symbol.kind == "var" else debugger.memory.extent(symbol, where) // symbol.dtype.itemsize
    data = _values(values, symbol, (h, w, count))
    data = np.broadcast_to(_converted(symbol, data), (h, w, data.shape[-1]))
    debugger.write(name, where, np.ascontiguousarray(data).view(np.uint8).reshape(h, w, -1))
    repl.say(f"wrote {data.shape[-1]} x {symbol.element} on {names.counted(w * h, 'PE')}")


def _values(given: list[str], symbol: HostSymbol, shape: tuple[int, int, int]) -> np.ndarray:
    h, w, count = shape
    dtype = symbol.dtype
    if given == ["zeros"]:
        return np.zeros(shape, dtype)
    if given == ["random"]:
        rng = np.random.default_rng([0, zlib.crc32(symbol.name.encode())])
        return (rng.uniform(-1, 1, shape) if dtype.kind == "f" else rng.integers(0, 100, shape)).astype(dtype)
    if len(given) == 1 and given[0].endswith(".npy"):
        data = _load(given[0])
        if data.ndim == 1:
            data = data.reshape(1, 1, -1)
        if data.ndim != 3 or data.shape[:2] not in ((1, 1), (h, w)):
            raise MeshlangError(
                Diagnostic(
                    "MS0911",
                    f"{symbol.name!r}: expected an array [{h}, {w}, elements] or [elements], "
                    f"got one of shape {list(data.shape)}",
                )
            )
        return data
    try:
        numbers = [float(v) if dtype.kind == "f" else int(v, 0) for v in given]
    except ValueError:
        raise mistake(
            f"{' '.join(given)!r} is not made of numbers of type {symbol.element}",
            help="numbers, FILE.npy, random or zeros",
        ) from None
    try:
        array = (
            np.array(numbers * count if len(numbers) == 1 else numbers).astype(dtype)
            if dtype.kind == "f"
            else np.array(numbers * count if len(numbers) == 1 else numbers, dtype=np.int64)
        )
    except OverflowError:
        raise mistake(f"a number does not fit {symbol.element}") from None
    if array.size > count:
        raise MeshlangError(
            Diagnostic("MS0911", f"{symbol.name!r} has {count} elements per PE, {array.size} were given")
        )
    return array.reshape(1, 1, -1)


def _load(file: str) -> np.ndarray:
    try:
        return np.load(file, allow_pickle=False)
    except OSError as error:
        raise MeshlangError(Diagnostic("MS0901", f"cannot read {file}: {error.strerror or error}")) from None
    except ValueError as error:
        raise MeshlangError(
            Diagnostic("MS0901", f"cannot read {file}: it is no .npy file of numbers ({error})")
        ) from None


@command(
    "send",
    "COLOR VALUES|FILE.npy [@ PLACE]",
    group="Program",
    complete=("color", "file"),
    examples=("send 1 1 2 3 @ 0,0",),
)
def send(repl: Shell, text: str) -> None:
    """Stream 32-bit words from the host to PEs on a color that the program declares for it (MEMCPYH2D_n).
    They flow in while the machine runs.
    """
    body, place = arguments.split_place(text)
    first, *values = words(body) or [""]
    if not values:
        raise mistake("send needs a color and values", help="send 1 1 2 3 @ 0,0")
    machine = repl.debugger.machine
    color = arguments.whole_number(first, "a color")
    x, y, w, h = arguments.region(machine, repl.place_or(place or ""))
    if len(values) == 1 and values[0].endswith(".npy"):
        data = _load(values[0])
    else:
        data = np.array(
            [np.float32(v).view(np.uint32) if "." in v else arguments.whole_number(v, "a word") for v in values],
            np.uint32,
        )
    if data.dtype.itemsize != 4:
        raise MeshlangError(Diagnostic("MS0912", f"a stream carries 32-bit words, not {data.dtype.name}"))
    data = np.broadcast_to(data if data.ndim == 3 else data.reshape(1, 1, -1), (h, w, data.shape[-1]))
    repl.debugger.send(color, (x, y, w, h), np.ascontiguousarray(data).view(np.uint32))
    repl.say(f"{names.counted(data.shape[-1], 'word')} queued for color {color} on {names.counted(w * h, 'PE')}")


@command(
    "stream", "COLOR [@ PLACE]", group="Program", complete=("color", "pe"), examples=("stream 2", "stream 2 @ 0,0")
)
def stream(repl: Shell, text: str) -> None:
    """The 32-bit words that PEs have streamed to the host so far.
    The color is one that the program declares for it (MEMCPYD2H_n)."""
    body, place = arguments.split_place(text)
    machine = repl.debugger.machine
    declared = ", ".join(map(str, repl.debugger.program.fabric.host_out)) or "none"
    if not body:
        raise mistake("stream needs a color", help=f"colors of the program that lead to the host: {declared}")
    color = arguments.color(machine, body)
    if color not in repl.debugger.program.fabric.host_out:
        raise mistake(f"color {color} does not lead to the host", help=f"colors of the program that do: {declared}")
    pes = arguments.pes(arguments.region(machine, place or "all"))
    shown = False
    for group in query.grouped(pes, lambda x, y: tuple(query.streamed_out(machine, color, x, y).tolist())):
        words_ = " ".join(f"{w:#010x}" for w in group.what[:16])
        if group.what:
            shown = True
            repl.say(
                f"{query.places(group.pes)}: {len(group.what)} word{'' if len(group.what) == 1 else 's'}"
                + (f": {words_}" if words_ else "")
                + (" ..." if len(group.what) > 16 else "")
            )
    if not shown:
        repl.say("nothing so far")
