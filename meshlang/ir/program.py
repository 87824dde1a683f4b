"""A compiled program: tile programs, and the fabric that places and connects them.

A `TileProgram` is shared by every PE that has the same file and the same parameter values. What differs between PEs
is in arrays of the `Fabric`, indexed [y, x].
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ..diag import Diagnostic
from ..syntax.source import Span

# directions, as bits of route masks and as numbers (the order of `Fabric` neighbours)
NORTH, SOUTH, EAST, WEST, RAMP = range(5)
DIRECTIONS = ("NORTH", "SOUTH", "EAST", "WEST", "RAMP")
OPPOSITE = (SOUTH, NORTH, WEST, EAST, RAMP)
# what a configuration can say about switches and filters
POP_MODES = ("no_pop", "always_pop", "pop_on_advance", "pop_on_advance_nop")
FILTER_KINDS = {"counter": 1, "sparse_counter": 2, "range": 3}
FILTER_FIELDS = {  # and their defaults
    "init_counter": 0,
    "max_counter": 0xFFFF,
    "limit1": 0xFFFF,
    "limit2": -1,
    "count_data": 0,
    "count_control": 0,
    "filter_control": 0,
    "min_idx": 0,
    "max_idx": 0xFFFF,
}
# route masks have one bit per direction, 1 << NORTH .. 1 << RAMP; host streaming adds a sixth port
HOST = 5


@dataclass(slots=True)
class MemoryObject:
    """A global variable or constant in PE memory (also the static storage of a local aggregate)."""

    name: str  # "module.name" as messages show it; export or linkname if given
    address: int  # bytes
    size: int  # bytes
    type: str  # "[16]f32"
    mutable: bool = True


@dataclass(slots=True)
class Export:
    """What a tile program advertises to the host under a name."""

    name: str
    kind: str  # "var": `address` holds the value; "pointer": `address` holds a pointer to elements; "fn"
    type: str  # "[*]f32", "fn(i16) void"
    address: int = 0  # byte address of the variable (pointer variable for "pointer")
    element: str = ""  # element type name for "pointer" and scalar type for "var"
    mutable: bool = True
    function: int = -1  # index in TileProgram.functions
    params: tuple[str, ...] = ()  # parameter type names of a function


@dataclass(slots=True)
class Function:
    name: str
    entry: int  # pc
    params: int
    frame: int  # registers used, including r0 and outgoing calls' link slots
    results: int = 0  # registers from r1 on that hold something when it returns
    noinline: bool = False  # `noinline fn`: nothing may expand it where it is called
    pointed: bool = False  # its address is taken: it may be called through a pointer


@dataclass(slots=True)
class InlineFrame:
    """A function that was expanded where it is called; one without a name is a further round of an unrolled loop."""

    name: str
    caller: int  # row of TileProgram.inline_frames it stands in, -1: in the function itself
    span: Span | None  # the call


@dataclass(slots=True)
class TaskBinding:
    """kind: "data", "local" or "control"."""

    id: int
    kind: str
    function: int
    arg_types: tuple[str, ...]  # "u16", "f32", ...; payload split as CSL says
    name: str
    span: Span | None = None


@dataclass(slots=True)
class Queue:
    """An initialised queue. `color` is None for a WSE-2 output queue (the DSD names the color)."""

    id: int
    color: int | None
    priority: str = ""
    span: Span | None = None


# input queues of a PE: the machine's, by number, and behind them those of data tasks alone; what the engine tells apart
MOST_INPUTS = 31


@dataclass
class TileProgram:
    name: str  # file name, with a number if parameters make several
    params: dict[str, str]  # as text, for listings
    code: np.ndarray  # int32 [n, 4]
    spans: list[Span | None]  # span per instruction (None where generated)
    functions: list[Function]
    image: np.ndarray  # uint8: initial memory, address 0 upwards
    objects: list[MemoryObject]  # sorted by address
    dsd_ops: np.ndarray  # int32 [n, OP_COLUMNS]
    dsr_configs: np.ndarray  # int32 [n, RC_COLUMNS]
    mem4d: np.ndarray  # int32 [n, M4_COLUMNS]
    dsrs: list[tuple[str, int]]  # dense index -> (file "dest"|"src0"|"src1", number)
    # comptime @load_to_dsr: dense index, packed DSD, config row, action id, on_control id
    dsr_init: list[tuple[int, int, int, int, int]]
    tasks: list[TaskBinding]
    active: int  # initial bit masks over task ids
    blocked: int
    inputs: list[Queue]
    outputs: list[Queue]
    exports: dict[str, Export]
    strings: list[str]
    stack_registers: int  # size of the register stack
    recursive: bool = False
    uses_memcpy: bool = False  # imports <memcpy/memcpy>: takes part in the command stream
    # pointers into the configuration space may exist: registers of the router are read and written through them
    register_pointers: bool = False
    ut_blocked: int = 0  # initial @block(ut_id) mask
    high: int = 0  # task ids of high priority from the start
    # data task id, start and limit of the counter; instead: control task 0
    rotating: list[tuple[int, int, int]] = field(default_factory=list)
    fifos: np.ndarray = field(default_factory=lambda: np.zeros((0, 7), np.int32))  # int32 [n, FIFO_COLUMNS]
    # plain words of the configuration space: address, initial value
    registers: list[tuple[int, int]] = field(default_factory=list)
    transform: int = 0  # initial mask of control_transform
    exceptions: int = 0xFFFF  # initial mask of exceptions: a 0 lets one stop the PE
    inline_frames: list[InlineFrame] = field(default_factory=list)
    # int32 [n]: row of inline_frames each instruction belongs to, or -1; empty: -1 for all
    inlined: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int32))
    control_table: bool = False  # control tasks have a table of ids of their own


@dataclass(frozen=True, slots=True)
class ColorConfig:
    """One color's configuration at a router. Masks over 1 << direction.

    Interned: equal configurations are one object. `positions` holds the (rx, tx) masks of switch positions 0..3 after
    the cumulative rule; an invalid position is None.
    """

    rx: int
    tx: int
    positions: tuple[tuple[int, int] | None, ...] = ()
    position: int = 0
    ring: bool = False
    pop: str = "no_pop"
    filter: tuple[str, tuple[tuple[str, int], ...]] | None = (
        None  # (kind, ((field, value), ...)), by FILTER_KINDS and FILTER_FIELDS
    )
    teardown: bool = False
    swap_x: bool = False
    swap_y: bool = False


@dataclass
class Fabric:
    """The rectangle. `tile[y, x]` is an index into Program.tiles (-1: empty), `color[c][y, x]` one into `configs` (-1:
    none)."""

    width: int
    height: int
    tile: np.ndarray  # int32 [h, w]
    color: dict[int, np.ndarray]  # live colors only: int16 or int32 [h, w]
    configs: list[ColorConfig]
    host_in: dict[int, str] = field(default_factory=dict)  # color -> name (MEMCPYH2D_n): streams from the host
    host_out: dict[int, str] = field(default_factory=dict)  # color -> name (MEMCPYD2H_n)
    # (color, config) -> where that color got it first
    spans: dict[tuple[int, int], Span | None] = field(default_factory=dict)
    host_ports: bool = False  # the host is attached only where a configuration names HOST


@dataclass
class Preload:
    """Initial memory that differs from PE to PE of one tile program: bytes for the PEs from (x, y) on."""

    x: int
    y: int
    address: np.ndarray  # int32 [h, w]
    data: np.ndarray  # uint8 [h, w, n]


@dataclass
class Program:
    arch: str  # "wse2", "wse3"
    tiles: list[TileProgram]
    fabric: Fabric
    exports: dict[str, tuple[str, bool]]  # @export_name: name -> (type text, mutable)
    params: dict[str, str]  # resolved params of the top file, as text
    source: str  # path of the top file
    fabric_dims: tuple[int, int] | None = None  # --fabric-dims
    fabric_offsets: tuple[int, int] | None = None
    warnings: list[Diagnostic] = field(default_factory=list)
    preloads: list[Preload] = field(default_factory=list)
    unreached: list[Span] = field(default_factory=list)  # names of functions that are not analysed, in the user's files
