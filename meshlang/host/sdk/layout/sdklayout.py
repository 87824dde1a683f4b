"""SdkLayout: code regions, the connections between their ports, and streams from and to the host."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from meshlang.paths import stdlib_dir

from .artifacts import SdkCompileArtifacts
from .assemble import assemble
from .color import Color
from .directions import Edge, Route, RoutingPosition
from .drawing import Drawing, Stream
from .geometry import IntVector
from .platform import FP16TYPE, SdkExecutionPlatform, SdkTarget, platform_of
from .region import CodeRegion, PortHandle, _count
from .source import fail, here

BUFFER_LIMIT = 11_000  # words of a stream's buffer: they stand in the memory of one PE


class SdkLayout(Drawing):
    """A program layout. `platform`: what get_platform returns, or an SdkTarget. msg_level has no effect."""

    def __init__(self, platform: SdkExecutionPlatform | SdkTarget, msg_level: str = "WARNING"):
        super().__init__(platform_of(platform))

    # ------------------------------------------------------------ regions

    def create_code_region(self, source: str, name: str, width: int, height: int) -> CodeRegion:
        """A rectangle of PEs with the code of `source`. Its name is its own."""
        region = CodeRegion(os.fspath(source), name, width, height)
        for other in self.regions:
            if other.name == region.name:
                fail("MS0956", f"there is a code region {name!r} already", labels=[(other.span, "created here")])
        self.regions.append(region)
        return region

    def hstack(self, children: Sequence[CodeRegion], origin: IntVector | None = None) -> int:
        """Place regions side by side, from `origin` or from where the first one stands. Returns their width
        together."""
        return self._stack(children, origin, 0)

    def vstack(self, children: Sequence[CodeRegion], origin: IntVector | None = None) -> int:
        """Place regions one below the other. Returns their height together."""
        return self._stack(children, origin, 1)

    def _stack(self, children: Sequence[CodeRegion], origin: Any, axis: int) -> int:
        regions = list(children)
        for r in regions:
            self._own(r)
        if not regions:
            fail("MS0951", "there are no code regions to place")
        x, y = origin if origin is not None else regions[0].origin
        total = 0
        for r in regions:
            r.place(x + total * (axis == 0), y + total * (axis == 1))
            total += (r.width, r.height)[axis]
        return total

    def _own(self, region: Any) -> None:
        if not any(r is region for r in self.regions):
            fail("MS0951", f"expected a code region of this layout, found {region!r}")

    # ------------------------------------------------------------ connections

    def connect(self, tx: PortHandle, rx: PortHandle) -> None:
        """Send what leaves the output port `tx` to the input port `rx`: PE by PE along the two edges."""
        for port, output, which in ((tx, True, "first"), (rx, False, "second")):
            if not isinstance(port, PortHandle):
                fail(
                    "MS0959",
                    f"connect takes two ports, found {port!r}",
                    help="what create_output_port and create_input_port return",
                )
            self._own(port.region)
            if port.output is not output:
                fail(
                    "MS0959",
                    f"connect takes an {'output' if output else 'input'} port {which}; {port.name!r} is the other kind",
                    labels=[(port.span, "created here")],
                    help="connect(output_port, input_port)",
                )
        n, m = len(tx.pes), len(rx.pes)
        if n != m:
            fail(
                "MS0960",
                f"port {tx.name!r} has {n} PE{'s' if n > 1 else ''} and port {rx.name!r} has {m}",
                labels=[(tx.span, f"{n} PE{'s' if n > 1 else ''}"), (rx.span, f"{m} PE{'s' if m > 1 else ''}")],
                help="ports that are connected are edges of the same length; spread or gather data with a code region in between",
            )
        if tx.data_size != rx.data_size:
            fail(
                "MS0960",
                f"port {tx.name!r} has the size {tx.data_size} and port {rx.name!r} {rx.data_size}",
                labels=[(tx.span, f"size {tx.data_size}"), (rx.span, f"size {rx.data_size}")],
            )
        self._join(tx, rx)
        self._join(rx, tx)
        self.connections.append((tx, rx, here()))

    @staticmethod
    def _join(port: PortHandle, peer: Any) -> None:
        if port.peer is not None:
            fail(
                "MS0959",
                f"port {port.name!r} is connected already",
                labels=[(port.joined, "here")],
                help="a port has one connection",
            )
        port.peer, port.joined = peer, here()

    # ------------------------------------------------------------ streams

    def create_input_stream(self, port: PortHandle, io_loc: IntVector | None = None, io_buffer_size: int = 1024) -> str:
        """A stream from the host to an input port of one PE, through a buffer of `io_buffer_size` words at the PE
        `io_loc`.

        Without io_loc a free PE at the western or eastern edge of the fabric is taken. Returns the name for
        SdkRuntime.send.
        """
        return self._stream(port, io_loc, io_buffer_size, True)

    def create_output_stream(
        self, port: PortHandle, io_loc: IntVector | None = None, io_buffer_size: int = 1024
    ) -> str:
        """A stream from an output port of one PE to the host, likewise. Returns the name for SdkRuntime.receive."""
        return self._stream(port, io_loc, io_buffer_size, False)

    def _stream(self, port: Any, io_loc: Any, size: int, incoming: bool) -> str:
        kind = "input" if incoming else "output"
        if not isinstance(port, PortHandle) or port.output is incoming:
            fail("MS0959", f"create_{kind}_stream takes an {kind} port, found {port!r}")
        self._own(port.region)
        if len(port.pes) != 1:
            fail(
                "MS0960",
                f"port {port.name!r} has {len(port.pes)} PEs; a stream takes a port of one PE",
                labels=[(port.span, "created here")],
                help="spread or gather the data with a code region between the stream and this port",
            )
        size = _count(size, "the size of a stream's buffer")
        if size > BUFFER_LIMIT:
            fail(
                "MS0960",
                f"a buffer of {size} words does not fit in the memory of a PE",
                help=f"the limit is {BUFFER_LIMIT}",
            )
        stream = Stream(self._stream_name(port.name), incoming, Color(f"io {port.name}"), None, here())
        if io_loc is not None:
            stream.location = IntVector(*io_loc).x, IntVector(*io_loc).y
        region = stream.region = CodeRegion(
            str(stdlib_dir() / "system" / "stream_buffer.csl"), f"io {stream.name}", 1, 1
        )
        region.set_param_all("size", size)
        ramp_in, ramp_out = RoutingPosition().set_input([Route.RAMP]), RoutingPosition().set_output([Route.RAMP])
        region.set_param_all("rx" if incoming else "tx", stream.color)
        region.set_param_all("tx" if incoming else "rx", port.color)
        if incoming:
            stream.port = region.create_output_port(port.color, Edge.LEFT, [ramp_in], port.data_size)
        else:
            stream.port = region.create_input_port(port.color, Edge.LEFT, [ramp_out], port.data_size)
        self._join(port, stream)
        stream.port.peer = port
        self.streams.append(stream)
        return stream.name

    def create_input_stream_from_loc(self, loc: IntVector, color: Color, prefix: str = "") -> str:
        """Attach the host to a color at PE `loc`, where a code region takes what comes. Returns the name for
        SdkRuntime.send."""
        return self._attach(loc, color, prefix, True)

    def create_output_stream_from_loc(self, loc: IntVector, color: Color, prefix: str = "") -> str:
        """Attach the host to a color at PE `loc`, where a code region sends. Returns the name for
        SdkRuntime.receive."""
        return self._attach(loc, color, prefix, False)

    def _attach(self, loc: Any, color: Any, prefix: str, incoming: bool) -> str:
        if not isinstance(color, Color):
            fail("MS0954", f"expected a Color, found {color!r}")
        at = IntVector(*loc)
        name = f"{prefix}{color.get_global_name()}"
        for other in self.streams:
            if other.name == name:
                fail(
                    "MS0956",
                    f"there is a stream {name!r} already",
                    labels=[(other.span, "created here")],
                    help="give one of them a prefix",
                )
        self.streams.append(Stream(name, incoming, color, (at.x, at.y), here()))
        return name

    def _stream_name(self, base: str) -> str:
        taken = {s.name for s in self.streams}
        return next(n for n in (base, *(f"{base}_{i}" for i in range(2, len(taken) + 3))) if n not in taken)

    # ------------------------------------------------------------ compiling

    def compile(
        self,
        out_prefix: str,
        libs: Sequence[str] = (),
        cslc_prefix: str = "",
        save_port_map: bool = False,
        f16_type: FP16TYPE = FP16TYPE.F16,
    ) -> SdkCompileArtifacts:
        """Find routes and values, compile the code, and write the folder `out_prefix`. Raises MeshlangError with all
        that is wrong.

        libs: folders with libraries for imports in < >. cslc_prefix has no effect. save_port_map: write port_map.json,
        too.
        """
        if not isinstance(f16_type, FP16TYPE):
            fail("MS0951", f"expected an FP16TYPE, found {f16_type!r}")
        program, streams, colors = assemble(self, [os.fspath(p) for p in libs], f16_type.value)
        if program.warnings:
            from meshlang.diag.render import render_text

            render_text(program.warnings)
        return SdkCompileArtifacts.write(os.fspath(out_prefix), program, streams, colors, save_port_map)
