"""MeshLang's Python API.

    program = meshlang.compile("layout.csl", params={"P": 8})
    with program.start() as fabric:
        fabric.write("X", x)                # [height, width, elements]
        fabric.launch("main")
        y = fabric.read("y")
        print(fabric.cycles, fabric.stats())

Every mistake of the caller is a MeshlangError (codes MS0910 to MS0929).
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np

from meshlang.diag import Diagnostic, MeshlangError
from meshlang.sema.model.options import CompileOptions

from . import arguments
from .build import build, layout_among, layout_of, source_texts
from .context import open_session, run_context, show_warnings
from .memory import Region
from .report import resource_table, resources
from .symbols import HostSymbol

if TYPE_CHECKING:
    from meshlang.fabric.recording import TraceOptions
    from meshlang.ir.program import Program


F = TypeVar("F", bound=Callable[..., Any])


def public(function: F) -> F:
    """A function that users call: its errors show their frames, not ours, and say all that is known, now that the
    machine still is as it was."""

    @functools.wraps(function)
    def call(*args: Any, **keywords: Any) -> Any:
        try:
            return function(*args, **keywords)
        except MeshlangError as error:
            error.explain()
            raise error.with_traceback(None) from None

    return cast(F, call)


@public
def compile(
    path: str | Path | None = None,
    *,
    params: Mapping[str, Any] | None = None,
    sources: Mapping[str, str] | str | None = None,
    **options: Any,
) -> CompiledProgram:
    """Compile a layout file (or a folder with a layout.csl), or source text.

    sources: texts by the names of files that they stand for, or one text in which each follows a line `// FILE: name`.
    Without `path` the one with a layout block is compiled; what is not among them is looked for in the current folder.

    Under `meshlang run` a relative path is looked up beside the host script first, then in the current directory.

    params: values of the layout's params, by name. options: fields of CompileOptions; what is left out or None is what
    `meshlang run` has been told, or else its default. arch: "wse2" (the default) or "wse3". colors: numbers of the
    layout's colors, by name. import_paths: folders in which `@import_module` looks, beside those of the command line.
    fabric_dims, fabric_offsets: (columns, rows) in PEs of the fabric that the program is for, and of the rectangle's
    corner on it. fp16_format: "f16"; the other formats of the vendor's compiler are refused (MS0399).
    max_inlined_iterations: the most that an inline loop may repeat. comptime_func_depth_limit: the most comptime calls
    inside each other. optimise: 0 or 1. cache: False compiles anew where an unchanged program would be loaded.

    Raises MeshlangError with all that is wrong; MS0901, MS0905 and MS0907 are about the path. Warnings are printed.
    """
    texts = source_texts(sources)
    if path is None and texts:
        path = layout_among(texts)
    path = arguments.path(path, "the path of a layout")
    context = run_context()
    if os.path.normpath(path) not in texts:
        if context.folder is not None and (context.folder / path).exists():
            path = context.folder / path
        path = layout_of(path)
    if not isinstance(params, (Mapping, type(None))):
        raise arguments.wrong("params", params, "a dictionary of values by name")
    folders = options.get("import_paths")
    folders = () if folders is None else folders
    if not isinstance(folders, (list, tuple)):
        raise arguments.wrong("import_paths", folders, "a list of folders")
    merged = {**context.options, **{name: value for name, value in options.items() if value is not None}}
    merged["import_paths"] = [*folders, *context.options.get("import_paths", ())]
    known = {k: _plain(v) for k, v in (params or {}).items()}
    program = build(path, CompileOptions(params=known, sources=texts, **merged))
    if program.warnings:
        from meshlang.diag.render import SHOWN, render_text

        render_text(program.warnings, most=SHOWN)
    return CompiledProgram(program)


@public
def load(folder: str | Path) -> CompiledProgram:
    """A program that `meshlang cslc -o folder` (or `CompiledProgram.save`) wrote. MS0902 for what is none, MS0903 for
    another version's."""
    from meshlang.ir import serial

    return CompiledProgram(serial.load(arguments.path(folder, "the folder of a program")))


def _plain(value: Any) -> Any:
    value = value.item() if isinstance(value, np.generic) else value
    return int(value) if isinstance(value, bool) else value


class CompiledProgram:
    """A compiled program, which can be started any number of times. What `compile` and `load` return; `ir` is the
    ir.program.Program."""

    def __init__(self, ir: Program):
        self.ir = ir

    @property
    def width(self) -> int:
        """Columns of the rectangle, in PEs."""
        return self.ir.fabric.width

    @property
    def height(self) -> int:
        """Rows of the rectangle, in PEs."""
        return self.ir.fabric.height

    @public
    def start(
        self,
        profile: str | None = None,
        *,
        max_cycles: int | None = None,
        sim_log: str | Path | None = None,
        echo: bool | None = None,
        strict: bool | None = None,
        trace: TraceOptions | None = None,
        threads: int | None = None,
    ) -> FabricHandle:
        """Load the program on a fabric. Tasks active from the start begin to run with the first command or `run()`.

        profile: name of a timing profile ("wse2", "wse3", "wse3-silicon") or path of a .toml file; None: the
        architecture's. max_cycles: stop with MS0919 beyond this cycle. sim_log: write lines of <simprint> to this file.
        echo: print those lines as they come (None: yes under `meshlang run`). strict: an access past its variable is a
        fault, not a warning (None: what `meshlang run --strict` or MESHLANG_STRICT says). trace: what to record
        (inspect.trace.trace_options); inspect.trace.Trace.of(fabric.session.machine) then has it. threads: how many may
        run the engine, with the same results (None: what `meshlang run --threads` or MESHLANG_THREADS says, else 2 from 65,536 PEs on).
        """
        context = run_context()
        handle = FabricHandle(
            self,
            profile if profile is not None else context.profile,
            max_cycles if max_cycles is not None else context.max_cycles,
            sim_log,
            context.active if echo is None else arguments.flag(echo, "echo"),
            None if strict is None else arguments.flag(strict, "strict"),
            trace,
            threads,
        )
        if context.active:
            context.handles.append(handle)
        return handle

    @public
    def save(self, folder: str | Path) -> Path:
        """Write the `-o` folder that `load` and host scripts read. Returns its path."""
        from meshlang.ir import serial

        return serial.save(self.ir, arguments.path(folder, "the folder to save in"))

    def resources(self) -> dict[str, Any]:
        """What the program uses: arch, width, height, pes (with code), colors, host_in and host_out (numbers), and
        tiles, a list with a dictionary for each tile program: name, pes, memory (bytes of data), instructions, tasks by
        kind, input_queues, output_queues, dsrs."""
        return resources(self.ir)

    def __repr__(self) -> str:
        return f"<CompiledProgram {self.ir.source}: {resource_table(self.ir).splitlines()[0]}>"

    def _repr_html_(self) -> str:
        from .html import program_html

        return program_html(self.ir)


class FabricHandle:
    """A program on a fabric. Use it as a context manager: leaving it completes what is under way."""

    def __init__(
        self,
        program: CompiledProgram,
        profile: str | None,
        max_cycles: int | None,
        sim_log: str | Path | None,
        echo: bool,
        strict: bool | None = None,
        trace: TraceOptions | None = None,
        threads: int | None = None,
    ):
        self.program = program
        self.session = open_session(program.ir, profile, max_cycles, sim_log, strict, trace, threads)
        if echo:
            self.session.on_lines = lambda lines: print(*lines, sep="\n")

    def __enter__(self) -> FabricHandle:
        return self

    @public
    def __exit__(self, kind: Any, value: Any, trace: Any) -> None:
        if kind is None:
            self.session.settle()
            show_warnings(self.session)

    # ------------------------------------------------------------ data

    @public
    def write(self, symbol: str, array: Any, x: int = 0, y: int = 0) -> None:
        """Copy array [h, w, n] to `symbol` of the h x w PEs from PE (x, y) on; element type as exported.

        An array of one dimension goes to PE (x, y) alone; values of another type are taken when all are exactly
        representable. MS0910 unknown symbol, MS0911 shape, MS0912 dtype, MS0913 PEs outside the rectangle, MS0914 a PE
        without the symbol, MS0918 more than fits, MS0926 a constant.
        """
        target = self.session.symbols.data(symbol)
        data = arguments.array(array, repr(symbol))
        if data.ndim == 1 or (data.ndim == 0 and target.kind == "var"):
            data = data.reshape(1, 1, -1)
        if data.ndim != 3 or 0 in data.shape:
            raise MeshlangError(
                Diagnostic(
                    "MS0911",
                    f"{symbol!r}: expected an array [height, width, elements], got one of shape {list(data.shape)}",
                    help="reshape(h, w, -1) names height and width",
                )
            )
        data = _converted(target, data)
        h, w, n = data.shape
        if target.kind == "var" and n != 1:
            raise MeshlangError(Diagnostic("MS0911", f"{symbol!r} is one {target.element} per PE, not {n}"))
        self.session.write(target, (x, y, w, h), np.ascontiguousarray(data).view(np.uint8).reshape(h, w, -1))

    @public
    def read(
        self, symbol: str, x: int = 0, y: int = 0, w: int | None = None, h: int | None = None, count: int | None = None
    ) -> np.ndarray:
        """Array [h, w, count] of `symbol`, in the element type it is exported with; the whole rectangle and the whole
        variable unless said otherwise. Errors as for `write`."""
        source = self.session.symbols.data(symbol)
        x, y = arguments.whole(x, "x", -arguments.MOST), arguments.whole(y, "y", -arguments.MOST)
        w = self.program.width - x if w is None else arguments.whole(w, "w", 1)
        h = self.program.height - y if h is None else arguments.whole(h, "h", 1)
        region: Region = (x, y, w, h)
        self.session.memory.check(source, region)
        size = source.dtype.itemsize
        if count is None and source.kind == "var":
            count = 1
        elif count is not None:
            count = arguments.whole(count, "count", 1)
        out: list[np.ndarray] = []
        if count is None:
            # how much there is depends on where the pointer points when the copy executes
            def sink(_: np.ndarray) -> None:
                nbytes = self.session.memory.extent(source, region) // size * size
                out.append(self.session.memory.read(source, region, nbytes))

            self.session.read(source, region, size, sink)
        else:
            self.session.read(source, region, count * size, out.append)
        return np.ascontiguousarray(out[0]).view(source.dtype)

    # ------------------------------------------------------------ control

    @public
    def launch(self, name: str, *args: Any, block: bool = True) -> None:
        """Call an exported function on all PEs; returns when all have called unblock_cmd_stream (unless block=False).

        MS0915 unknown function, MS0916 number of arguments, MS0917 type; exit code 3 for a deadlock.
        """
        self.session.launch(name, args, arguments.flag(block, "block"))

    @public
    def stream_in(self, color: int, array: Any, x: int = 0, y: int = 0) -> None:
        """Stream 32-bit words [h, w, n] on a color to the PEs from (x, y) on; they flow in while later commands run.

        An array of one dimension goes to PE (x, y) alone. MS0911 shape, MS0912 dtype, MS0913 PEs outside the rectangle,
        MS0924 a color that the program does not declare for it.
        """
        data = arguments.array(array, "a stream")
        if data.ndim == 1:
            data = data.reshape(1, 1, -1)
        if data.ndim != 3:
            raise MeshlangError(
                Diagnostic("MS0911", f"a stream is an array [height, width, words], not {list(data.shape)}")
            )
        if data.dtype.itemsize != 4:
            raise MeshlangError(
                Diagnostic(
                    "MS0912",
                    f"a stream carries 32-bit words, not {data.dtype.name}",
                    help="16-bit values: array.view(np.uint16).astype(np.uint32)",
                )
            )
        self.session.stream_in(color, (x, y, data.shape[1], data.shape[0]), np.ascontiguousarray(data).view(np.uint32))

    @public
    def stream_out(
        self, color: int, count: int, x: int = 0, y: int = 0, w: int = 1, h: int = 1, dtype: Any = np.uint32
    ) -> np.ndarray:
        """Wait for `count` words from each of the h x w PEs from (x, y) on; array [h, w, count] of a 32-bit dtype.

        MS0913 PEs outside the rectangle, MS0924 a color that the program does not declare for it; exit code 3 for a
        deadlock.
        """
        out: list[np.ndarray] = []
        element = _word(dtype)
        self.session.stream_out(color, (x, y, w, h), arguments.whole(count, "count", 1), out.append)
        return np.ascontiguousarray(out[0]).view(element)

    @public
    def run(self) -> None:
        """Complete all commands, then run until nothing happens any more (programs that start by themselves need
        it)."""
        self.session.settle()

    # ------------------------------------------------------------ looking

    @property
    def cycles(self) -> int:
        """The machine's clock, in cycles since the program was loaded."""
        return self.session.cycle

    @property
    def max_cycles(self) -> int | None:
        """The cycle beyond which a run stops with MS0919; None: no limit."""
        return self.session.max_cycles

    @max_cycles.setter
    def max_cycles(self, value: int | None) -> None:
        self.session.max_cycles = arguments.cycles(value, "max_cycles")

    @property
    def lines(self) -> list[str]:
        """What <simprint> has printed, as sim.log shows it: the last 200,000 lines."""
        self.session.take_records()
        return [str(line) for line in self.session.output.lines]

    def traces(self, x: int, y: int, key: str) -> list[Any]:
        """What <debug> has traced on PE (x, y) under a key, in order: numbers, texts, or cycles."""
        x = arguments.whole(x, "x", 0, self.program.width - 1)
        y = arguments.whole(y, "y", 0, self.program.height - 1)
        self.session.take_records()
        return list(self.session.output.traces.get((y * self.program.width + x, arguments.text(key, "the key")), ()))

    @property
    def warnings(self) -> list[Diagnostic]:
        """What host and program have done so far that the vendor's tools and hardware let pass without a word: MS0851
        to MS0859, MS0870."""
        return [*self.session.warnings.items, *self.session.machine.warnings]

    def stats(self) -> dict[str, Any]:
        """Counters of the run so far.

        Numbers: cycles, instructions (scalar), vector_elements, hops (wavelets over links), delivered (to input
        queues), wavelets_sent, wavelets_received, tasks (started); bytes_read and bytes_written (memory of the PEs), flops
        (floating-point additions, subtractions, multiplications, divisions; a multiply-add is two), all three of scalar
        instructions and of vector operations that have ended; router_visits, ce_visits and steps say how much work the
        engine had. int64 arrays [h, w]: busy (cycles in tasks), sent, received, tasks_started, read, written, computed.
        """
        return self.session.machine.stats()

    def __repr__(self) -> str:
        return f"<FabricHandle {self.program.ir.source}: {self.program.width} x {self.program.height}, cycle {self.cycles:,}>"

    def _repr_html_(self) -> str:
        from .html import fabric_html

        return fabric_html(
            self.program.ir.source, self.cycles, self.stats(), int((self.program.ir.fabric.tile >= 0).sum())
        )


def _word(dtype: Any) -> np.dtype:
    """numpy's type of a stream's words. MS0912 for any that has not 32 bits."""
    element = arguments.element(dtype, "a stream")
    if element.itemsize != 4:
        raise MeshlangError(Diagnostic("MS0912", f"a stream has 32-bit words, not {element.name}"))
    return element


def _converted(symbol: HostSymbol, data: np.ndarray) -> np.ndarray:
    """`data` in the symbol's element type, refusing what would change a value (floats may be rounded between float
    types only when asked: MS0912)."""
    dtype = symbol.dtype
    if data.dtype == dtype:
        return data
    if data.dtype.kind in "iub" and dtype.kind in "iufb" or data.dtype.kind == "f" and dtype.kind == "f":
        with np.errstate(over="ignore", invalid="ignore"):
            converted = data.astype(dtype)
        if np.array_equal(converted.astype(data.dtype), data, equal_nan=data.dtype.kind == "f"):
            return converted
        why = "and some values do not fit exactly"
    else:
        why = "which does not convert"
    raise MeshlangError(
        Diagnostic(
            "MS0912",
            f"{symbol.name!r} holds {symbol.element}; the array is {data.dtype.name}, {why}",
            help=f"convert it: array.astype(np.{dtype.name})",
        )
    )
