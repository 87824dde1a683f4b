"""What a layout script has drawn: regions, connections between ports, streams. The plan is made from it."""

from __future__ import annotations

from dataclasses import dataclass

from meshlang.syntax.source import Span

from .color import Color
from .platform import FABRIC, SdkExecutionPlatform
from .region import CodeRegion, PortHandle


@dataclass(eq=False)
class Stream:
    """A stream between the host and the fabric.

    With a port, the PE at `location` passes it on through a buffer: `region` is its code, `port` the port beside the
    user's. Without, the host is attached to `color` at `location`.
    """

    name: str
    incoming: bool
    color: Color
    location: tuple[int, int] | None
    span: Span | None
    region: CodeRegion | None = None
    port: PortHandle | None = None


class Drawing:
    """The parts of a layout, in the order in which they were drawn."""

    def __init__(self, platform: SdkExecutionPlatform):
        self.platform = platform
        self.regions: list[CodeRegion] = []
        self.connections: list[tuple[PortHandle, PortHandle, Span | None]] = []
        self.streams: list[Stream] = []

    @property
    def limits(self) -> tuple[int, int]:
        """Width and height of the fabric there may be."""
        return FABRIC[self.platform.target]
