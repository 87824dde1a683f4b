"""SdkRuntime on MeshLang's machine (reference: the vendor's SdkRuntime API page; facts gathered from published host
scripts).

Arrays are 1-D (or of any shape with the right size) and of 4-byte dtypes. The logical tensor is A[h][w][l]; ROW_MAJOR
is its C order, COL_MAJOR its Fortran order. With MEMCPY_16BIT each 32-bit word carries one element in its low half
(copy mode); streams always carry whole words.
"""

from __future__ import annotations

import atexit
import os
import sys
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from meshlang import files
from meshlang.diag import Diagnostic, MeshlangError, usage_error
from meshlang.fabric.wording import wait_text
from meshlang.host import arguments
from meshlang.host.context import open_session, run_context, show_warnings
from meshlang.host.memory import Region
from meshlang.host.session import Session, Task
from meshlang.ir import serial

from .core import write_core
from .debug import read_variable, stopped
from .layout.artifacts import Port, read_ports
from .layout.platform import platform_of
from .unsupported import not_yet

if TYPE_CHECKING:
    from meshlang.fabric.recording import TraceOptions


class MemcpyDataType(Enum):
    """Size of an element of a copy."""

    MEMCPY_16BIT = 0
    MEMCPY_32BIT = 1


class MemcpyOrder(Enum):
    """Order of a copy's flat array: [h, w, elements], or [elements, w, h]."""

    ROW_MAJOR = 0
    COL_MAJOR = 1


REST_CYCLES = 20_000_000  # how long stop() waits for a program that takes no commands to come to rest


class Recording(Protocol):
    """What records a run as the vendor's simulator does (inspect/trace/vendor.py)."""

    def options(self, suppress: bool | None) -> TraceOptions | None:
        """What to record, None for nothing. suppress: the script's suppress_simfab_trace, None if it does not say."""

    def write(self, session: Session, folder: Path) -> None:
        """Write sim.log and the folder simfab_traces."""


class SdkRuntime:
    """A program folder on a machine. Of the options of the vendor's simulator, threads and message level have no effect.

    suppress_simfab_trace: False records the run, and so does the environment variable SIMFABRIC_DEBUG if nothing is said: when
    it ends, sim.log has every event, and there is a folder simfab_traces.
    """

    recording: Recording | None = None  # handed in by the vendor's modules, which stand above all rooms

    def __init__(
        self,
        bindir: str | os.PathLike,
        platform: Any = None,
        *,
        cmaddr: str | None = None,
        suppress_simfab_trace: bool | None = None,
        simfab_numthreads: int = 5,
        msg_level: str = "WARNING",
        memcpy_required: bool = True,
        **kwargs: Any,
    ):
        if cmaddr:
            raise not_yet(
                f"running on a real system (cmaddr={cmaddr!r})", "leave cmaddr out to run on the fabric interpreter"
            )
        if not isinstance(bindir, (str, os.PathLike)):
            raise MeshlangError(
                Diagnostic("MS0951", f"SdkRuntime takes a folder or compile artifacts, found {bindir!r}")
            )
        self.bindir = os.fspath(bindir)
        self._core = platform_of(platform).config.core if platform is not None else None
        self._program = serial.load(self.bindir)
        if platform is not None and platform_of(platform).target.arch != self._program.arch:
            raise MeshlangError(
                Diagnostic(
                    "MS0951",
                    f"{self.bindir} was compiled for {self._program.arch}, the platform is {platform_of(platform).target.arch}",
                    help="use one platform for SdkLayout and SdkRuntime",
                )
            )
        self._ports = read_ports(self.bindir)
        self._session: Session | None = None
        self._running = False
        self._suppress = suppress_simfab_trace
        self._write_trace: Callable[[], None] | None = None
        self._files: list[Callable[[], None]] = []  # receive_tofile, to be done when the run ends
        from meshlang.host.symbols import Symbols

        self._symbols = Symbols(self._program)

    # ------------------------------------------------------------ life

    def load(self) -> None:
        """Put the program on the fabric, and begin a new sim.log in the current directory."""
        profile = run_context().profile or os.environ.get("MESHLANG_PROFILE") or None
        trace = self.recording.options(self._suppress) if self.recording is not None else None
        folder = Path.cwd()
        session = self._session = open_session(
            self._program, profile, _max_cycles(), sim_log=folder / "sim.log", trace=trace
        )
        if trace is not None:
            assert self.recording is not None
            write = self.recording.write
            self._write_trace = lambda: write(session, folder)
            atexit.register(self._traced)  # also where the script ends without stop()

    def _traced(self) -> None:
        """Write what was recorded, once."""
        write, self._write_trace = self._write_trace, None
        if write is not None:
            atexit.unregister(self._traced)
            write()

    def run(self) -> None:
        """Start: commands are taken from here on."""
        if self._session is None:
            raise _order("run() comes after load()")
        self._running = True

    def stop(self) -> None:
        """Complete all commands, and end the run. A second time nothing happens: in a `with` its end stops, too."""
        try:
            self._stop()
        finally:
            self._traced()

    def _stop(self) -> None:
        if self._session is not None and not self._running and self._was_stopped():
            return
        session = self._live("stop")
        if any(tile.uses_memcpy for tile in self._program.tiles):
            session.settle()
        else:
            self._rest(session)
        self._running = False
        left = session.unconsumed()
        if left:
            notes = [f"color {c}: {n} PEs have not taken all that was streamed in" for c, n in left.items()]
            notes += [f"{g.places()}: {wait_text(g.wait)}" for g in session.machine.waiting()[:12]]
            raise MeshlangError(
                Diagnostic(
                    "MS0860",
                    f"deadlock at cycle {session.cycle}: nothing can happen any more, but data the host streams in is not consumed",
                    notes=notes,
                ),
                exit_code=3,
            )
        stopped[os.path.realpath(self.bindir)] = session
        while self._files:
            self._files.pop(0)()
        if self._core is not None:
            write_core(self._core, session)
        show_warnings(session)
        if session.warnings.total:
            print(f"meshlang: {session.warnings.summary()}", file=sys.stderr)
        if sys.stderr.isatty() or os.environ.get("MESHLANG_VERBOSE"):
            print(f"meshlang: {session.cycle:,} cycles", file=sys.stderr)

    @staticmethod
    def _rest(session: Session) -> None:
        """Let a program that takes no commands come to rest: nothing else tells the host when it is done."""
        if not session.settle(None if session.max_cycles is not None else REST_CYCLES):
            print(
                f"meshlang: stopped at cycle {session.cycle:,}, with the program still running (MESHLANG_MAX_CYCLES sets another limit)",
                file=sys.stderr,
            )

    def __enter__(self) -> SdkRuntime:
        self.load()
        self.run()
        return self

    def __exit__(self, kind: Any, value: Any, trace: Any) -> None:
        if kind is None:
            self.stop()
        else:
            self._traced()

    def _live(self, what: str) -> Session:
        if self._session is None or not self._running:
            raise _order(
                f"{what} needs load() and run() before it"
                if self._session is None or not self._was_stopped()
                else f"{what} comes after stop()"
            )
        return self._session

    def _was_stopped(self) -> bool:
        return stopped.get(os.path.realpath(self.bindir)) is self._session

    # ------------------------------------------------------------ names

    def get_id(self, symbol: str) -> int:
        """The id of an exported name. May be asked before load()."""
        return self._symbols.any(symbol).id

    # ------------------------------------------------------------ copies

    def memcpy_h2d(
        self,
        dest: int,
        src: np.ndarray,
        px: int,
        py: int,
        w: int,
        h: int,
        elem_per_pe: int,
        *,
        streaming: bool,
        data_type: MemcpyDataType,
        order: MemcpyOrder,
        nonblock: bool,
    ) -> Task:
        """Host to device: A[h][w][l] to the w x h PEs from (px, py) on."""
        (px, py, w, h), elem_per_pe = _extent(px, py, w, h, elem_per_pe)
        words = _unpack(
            self._words(src, w * h * elem_per_pe, "memcpy_h2d", (h, w, elem_per_pe)), h, w, elem_per_pe, order
        )
        return self._send(dest, words, (px, py, w, h), streaming, data_type, nonblock, "memcpy_h2d")

    def memcpy_h2d_rowbcast(
        self,
        dest: int,
        src: np.ndarray,
        px: int,
        py: int,
        w: int,
        h: int,
        elem_per_pe: int,
        *,
        streaming: bool,
        data_type: MemcpyDataType,
        order: MemcpyOrder,
        nonblock: bool,
    ) -> Task:
        """A[h][l], the data of one column of PEs, copied along each row."""
        (px, py, w, h), elem_per_pe = _extent(px, py, w, h, elem_per_pe)
        words = _unpack(
            self._words(src, h * elem_per_pe, "memcpy_h2d_rowbcast", (h, elem_per_pe)), h, 1, elem_per_pe, order
        )
        words = np.broadcast_to(words, (h, w, elem_per_pe))
        return self._send(dest, words, (px, py, w, h), streaming, data_type, nonblock, "memcpy_h2d_rowbcast")

    def memcpy_h2d_colbcast(
        self,
        dest: int,
        src: np.ndarray,
        px: int,
        py: int,
        w: int,
        h: int,
        elem_per_pe: int,
        *,
        streaming: bool,
        data_type: MemcpyDataType,
        order: MemcpyOrder,
        nonblock: bool,
    ) -> Task:
        """A[w][l], the data of one row of PEs, copied down each column."""
        (px, py, w, h), elem_per_pe = _extent(px, py, w, h, elem_per_pe)
        words = _unpack(
            self._words(src, w * elem_per_pe, "memcpy_h2d_colbcast", (w, elem_per_pe)), 1, w, elem_per_pe, order
        )
        words = np.broadcast_to(words, (h, w, elem_per_pe))
        return self._send(dest, words, (px, py, w, h), streaming, data_type, nonblock, "memcpy_h2d_colbcast")

    def memcpy_h2d_stride(
        self,
        dest: int,
        src: np.ndarray,
        px: int,
        py: int,
        w: int,
        h: int,
        elem_per_pe: int,
        row_stride: int,
        col_stride: int,
        *,
        streaming: bool,
        data_type: MemcpyDataType,
        order: MemcpyOrder,
        nonblock: bool,
    ) -> Task:
        """To every row_stride-th column and col_stride-th row: the tensor is documented as A[xi][eta][l], with
        xi = 1 + (w-1) // row_stride columns and eta = 1 + (h-1) // col_stride rows."""
        (px, py, w, h), elem_per_pe = _extent(px, py, w, h, elem_per_pe)
        row_stride = arguments.whole(row_stride, "row_stride", 1)
        col_stride = arguments.whole(col_stride, "col_stride", 1)
        xi, eta = 1 + (w - 1) // row_stride, 1 + (h - 1) // col_stride
        words = _unpack(
            self._words(src, xi * eta * elem_per_pe, "memcpy_h2d_stride", (xi, eta, elem_per_pe)),
            xi,
            eta,
            elem_per_pe,
            order,
        )
        task: Task | None = None
        for i in range(xi):
            for j in range(eta):
                task = self._send(
                    dest,
                    words[i : i + 1, j : j + 1],
                    (px + i * row_stride, py + j * col_stride, 1, 1),
                    streaming,
                    data_type,
                    nonblock,
                    "memcpy_h2d_stride",
                )
        assert task is not None  # commands are ordered: the last one done means all are
        return task

    def _words(self, array: Any, count: int, what: str, shape: tuple[int, ...]) -> np.ndarray:
        """The first `count` elements of an array as uint32 words, 1-D. MS0911 too few, MS0912 dtype, MS0872 (a warning)
        more than that."""
        if not isinstance(array, np.ndarray):
            raise MeshlangError(Diagnostic("MS0912", f"{what}: expected a numpy array, got {type(array).__name__}"))
        if array.dtype.itemsize != 4 or array.dtype.kind not in "iuf":
            raise MeshlangError(
                Diagnostic(
                    "MS0912",
                    f"{what}: the array is {array.dtype.name}; host arrays have 32-bit elements",
                    help="for 16-bit data: sdk_utils.input_array_to_u32 and memcpy_view; else array.astype(...)",
                )
            )
        product = " x ".join(map(str, shape))
        if array.size < count:
            raise MeshlangError(
                Diagnostic("MS0911", f"{what}: the array has {array.size} elements, the copy {product} = {count}")
            )
        if array.size > count:
            self._live(what).warn(
                "MS0872",
                f"{what}: the array has {array.size} elements, the copy {product} = {count}: the first {count} are "
                + ("filled" if what == "memcpy_d2h" else "sent"),
                help="count elements, not bytes, and give the copy the whole array",
            )
        return np.ascontiguousarray(array).reshape(-1).view(np.uint32)[:count]

    def _send(
        self,
        dest: int,
        words: np.ndarray,
        region: Region,
        streaming: bool,
        data_type: MemcpyDataType,
        nonblock: bool,
        what: str,
    ) -> Task:
        session = self._live(what)
        if arguments.flag(streaming, "streaming"):
            return session.stream_in(dest, region, words, block=not arguments.flag(nonblock, "nonblock"))
        if _size(data_type) == 2:
            words = words.astype(np.uint16)  # the low halves
        h, w, _ = words.shape
        data = np.ascontiguousarray(words).view(np.uint8).reshape(h, w, -1)
        return session.write(session.symbols.data(dest), region, data, block=not arguments.flag(nonblock, "nonblock"))

    def memcpy_d2h(
        self,
        dest: np.ndarray,
        src: int,
        px: int,
        py: int,
        w: int,
        h: int,
        elem_per_pe: int,
        *,
        streaming: bool,
        data_type: MemcpyDataType,
        order: MemcpyOrder,
        nonblock: bool,
    ) -> Task:
        """Device to host: from the w x h PEs from (px, py) on to A[h][w][l]. `dest` is filled when the task is done."""
        session = self._live("memcpy_d2h")
        region, elem_per_pe = _extent(px, py, w, h, elem_per_pe)
        w, h = region[2:]
        _check_order(order)
        self._words(dest, w * h * elem_per_pe, "memcpy_d2h", (h, w, elem_per_pe))
        if not dest.flags.writeable:
            raise MeshlangError(Diagnostic("MS0912", "memcpy_d2h: the host array is read-only"))
        size = _size(data_type)

        def store(words: np.ndarray) -> None:
            flat = words if order == MemcpyOrder.ROW_MAJOR else words.transpose(2, 1, 0)
            dest.flat[: words.size] = np.ascontiguousarray(flat, dtype=np.uint32).reshape(-1).view(dest.dtype)

        def store_bytes(data: np.ndarray) -> None:
            store(np.ascontiguousarray(data).view(np.uint16 if size == 2 else np.uint32))

        if arguments.flag(streaming, "streaming"):
            return session.stream_out(src, region, elem_per_pe, store, block=not arguments.flag(nonblock, "nonblock"))
        return session.read(
            session.symbols.data(src),
            region,
            elem_per_pe * size,
            store_bytes,
            block=not arguments.flag(nonblock, "nonblock"),
        )

    # ------------------------------------------------------------ launches

    def launch(self, symbol: str, *args: Any, nonblock: bool = False) -> Task:
        """Call an exported function on all PEs. Arguments must have the parameters' types (numpy scalars)."""
        return self._live("launch").launch(symbol, args, block=not arguments.flag(nonblock, "nonblock"))

    def call(self, symbol: str, params: Any = (), nonblock: bool = False) -> Task:
        """The older form of launch: arguments as 32-bit words, one for each parameter (16-bit ones in the low half)."""
        session = self._live("call")
        function = session.symbols.function(symbol)
        given = arguments.array(params, "params").ravel()
        if given.size and (given.dtype.kind not in "iu" or given.min() < 0 or given.max() > 0xFFFFFFFF):
            raise arguments.wrong(
                "params", params, "a list of 32-bit words", "a float's: np.float32(x).view(np.uint32)"
            )
        words = given.astype(np.uint32)
        args: list[Any] = []
        from meshlang.host.symbols import dtype_of

        for word, kind in zip(words, function.params):
            dtype = dtype_of(kind)
            args.append(
                np.uint32(word).view(dtype)
                if dtype.itemsize == 4
                else np.uint16(word & 0xFFFF).view(dtype)
                if dtype.itemsize == 2
                else dtype.type(word & 0xFF)
            )
        args += words[len(function.params) :].tolist()  # too many: launch says so
        return session.launch(symbol, tuple(args), block=not arguments.flag(nonblock, "nonblock"))

    # ------------------------------------------------------------ tasks

    def task_wait(self, task: Task) -> None:
        """Run until a task that was started with nonblock=True is done."""
        self._live("task_wait").wait(_task(task))

    def is_task_done(self, task: Task) -> bool:
        """Whether a task is done; the machine runs a little while one asks."""
        return self._live("is_task_done").poll(_task(task))

    # ------------------------------------------------------------ inspection

    def coord_logical_to_physical(self, coord: tuple[int, int]) -> tuple[int, int]:
        """Rectangle coordinates -> fabric coordinates."""
        dx, dy = self._program.fabric_offsets or (0, 0)
        x, y = arguments.pair(coord, "a coordinate")
        return x + dx, y + dy

    def read_symbol(self, x: int, y: int, name: str, dtype: Any = "uint8") -> np.ndarray:
        """A variable of the PE at fabric coordinates (x, y), as it is now. MS0927 unknown."""
        if self._session is None:
            raise _order("read_symbol needs load() before it")
        return read_variable(self._session, x, y, name, dtype)

    def dump_core(self, corefile: str | os.PathLike) -> None:
        """Write the state of the run to a file, for debug_util and the debugger. After a blocking call, or after
        stop()."""
        if self._session is None:
            raise _order("dump_core needs load() before it")
        write_core(corefile, self._session)

    def dump_elf_core(self, path: str) -> None:
        """Refused with MS0922: there are no ELF files."""
        raise not_yet(
            "dump_elf_core: there are no ELF files", "dump_core writes a core that debug_util and the debugger read"
        )

    # ------------------------------------------------------------ streams of SdkLayout

    def get_port_id(self, port_name: str) -> int:
        """The id of a stream, by the name that create_input_stream or create_output_stream returned."""
        return self._ports.index(self._port(port_name))

    def report_port_infos(self) -> None:
        """Print each stream's name, direction, color and PE."""
        for p in self._ports:
            print(f"{p.name}: {'input' if p.incoming else 'output'}, color {p.color}, PE ({p.x}, {p.y})")

    def send(self, port: int | str, src: np.ndarray, n_wavelets: int | None = None, *, nonblock: bool = False) -> Task:
        """Stream the first n_wavelets words of an array to the device; all of it for int32, uint32 and float32."""
        session, stream = self._live("send"), self._port(port, incoming=True)
        words = _stream_words(src, n_wavelets, "send")
        return session.stream_in(stream.color, (stream.x, stream.y, 1, 1), words.reshape(1, 1, -1).copy())

    def receive(
        self, port: int | str, dest: np.ndarray, n_wavelets: int | None = None, *, nonblock: bool = False
    ) -> Task:
        """Fill an array with n_wavelets words from the device. It is filled when the task is done."""
        session, stream = self._live("receive"), self._port(port, incoming=False)
        words = _stream_words(dest, n_wavelets, "receive")
        if not dest.flags.writeable or not np.shares_memory(words, dest):
            raise MeshlangError(Diagnostic("MS0965", "receive: the array must be writeable and contiguous"))

        def store(data: np.ndarray) -> None:
            words[:] = data.reshape(-1)

        return session.stream_out(
            stream.color, (stream.x, stream.y, 1, 1), len(words), store, block=not arguments.flag(nonblock, "nonblock")
        )

    def receive_tofile(self, port: int | str, outfile: str | os.PathLike, *, nonblock: bool = False) -> Task:
        """Write the words that come from the device to a file: all that come until nothing happens any more.

        nonblock: until stop().
        """
        session, stream = self._live("receive_tofile"), self._port(port, incoming=False)

        def store() -> None:
            n = session.machine.stream_out_available(stream.color, stream.x, stream.y)
            words = np.asarray(session.machine.stream_out_take(stream.color, stream.x, stream.y, 1, 1, n))
            files.write_bytes(outfile, words.astype("<u4").tobytes())

        task = Task(f"stream to {outfile}")
        if nonblock:
            self._files.append(store)
        else:
            session.settle()
            store()
            task.done = True
        return task

    def _port(self, key: int | str, incoming: bool | None = None) -> Port:
        """MS0965 unknown, or of the other direction."""
        listed = ", ".join(f"{p.name!r} ({'input' if p.incoming else 'output'})" for p in self._ports) or "none"
        if isinstance(key, (int, np.integer)) and not isinstance(key, bool):
            found = self._ports[int(key)] if 0 <= key < len(self._ports) else None
        else:
            name = arguments.text(key, "a stream")
            found = next((p for p in self._ports if p.name == name), None)
        if found is None:
            raise MeshlangError(Diagnostic("MS0965", f"the program has no stream {key!r}; it has: {listed}"))
        if incoming is not None and found.incoming is not incoming:
            verb, way = ("send", "from") if incoming else ("receive", "to")
            raise MeshlangError(
                Diagnostic("MS0965", f"{verb}: stream {found.name!r} goes {way} the device; streams: {listed}")
            )
        return found


def _task(value: Any) -> Task:
    if not isinstance(value, Task):
        raise arguments.wrong("the task", value, "what a copy or launch has returned")
    return value


def _max_cycles() -> int | None:
    limit = os.environ.get("MESHLANG_MAX_CYCLES")
    if not limit:
        return None
    if not limit.strip().isdecimal():
        raise usage_error(f"MESHLANG_MAX_CYCLES={limit}: expected a number of cycles")
    return int(limit)


def _order(message: str) -> MeshlangError:
    return MeshlangError(
        Diagnostic(
            "MS0925",
            f"SdkRuntime: {message}",
            help="the order is SdkRuntime(name), load(), run(), copies and launches, stop()",
        )
    )


def _size(data_type: MemcpyDataType) -> int:
    if not isinstance(data_type, MemcpyDataType):
        raise MeshlangError(Diagnostic("MS0912", f"data_type is {data_type!r}; it must be a MemcpyDataType"))
    return 2 if data_type == MemcpyDataType.MEMCPY_16BIT else 4


def _stream_words(array: Any, count: int | None, what: str) -> np.ndarray:
    """The words of an array that a stream fills or takes, uint32 and 1-D; a view if the array is contiguous. MS0965."""
    if not isinstance(array, np.ndarray):
        raise MeshlangError(Diagnostic("MS0965", f"{what}: expected a numpy array, found {type(array).__name__}"))
    if count is None:
        if array.dtype.type not in (np.int32, np.uint32, np.float32):
            raise MeshlangError(
                Diagnostic(
                    "MS0965",
                    f"{what}: the number of wavelets is needed for an array of {array.dtype.name}",
                    help="a wavelet is 32 bits",
                )
            )
        count = array.size
    if array.nbytes % 4 or not 0 < count <= array.nbytes // 4:
        raise MeshlangError(
            Diagnostic(
                "MS0965",
                f"{what}: {count} wavelets are {4 * count} bytes, the array has {array.nbytes} ({array.size} {array.dtype.name})",
                help="a wavelet is 32 bits",
            )
        )
    return np.ascontiguousarray(array).reshape(-1).view(np.uint32)[:count]


def _unpack(words: np.ndarray, h: int, w: int, n: int, order: MemcpyOrder) -> np.ndarray:
    """1-D host data -> [h, w, n]."""
    _check_order(order)
    if order == MemcpyOrder.ROW_MAJOR:
        return words.reshape(h, w, n)
    return words.reshape(n, w, h).transpose(2, 1, 0)


def _check_order(order: Any) -> None:
    if not isinstance(order, MemcpyOrder):
        raise MeshlangError(Diagnostic("MS0912", f"order is {order!r}; it must be a MemcpyOrder"))


def _extent(px: Any, py: Any, w: Any, h: Any, elem_per_pe: Any) -> tuple[Region, int]:
    """The PEs of a copy, and the elements for each. MS0929."""
    return arguments.region(px, py, w, h), arguments.whole(elem_per_pe, "elem_per_pe")
