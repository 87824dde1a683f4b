"""One tile program while it is being compiled: memory, functions, tasks, queues, tables; and its assembly at the
end."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ...diag import Diagnostics
from ...ir import isa, words
from ...ir.program import Export, Function, MemoryObject, Queue, TaskBinding, TileProgram
from ...ir.use import op_of, target_word
from ...syntax.text import shown
from . import ops
from . import types as T
from .codegen import FunctionBuilder
from .values import ArrayValue, Dsd, FnValue, GlobalVar, Known, Pointer

RECURSIVE_STACK = 2048  # registers given to a program that recurses
FIRST_BLOCK, LARGEST_BLOCK = 16, 512  # blocks for single values
FIRST_ADDRESS = 16  # nothing lives at address 0, so that a zeroed pointer is caught


@dataclass(eq=False)
class Instance:
    """A function compiled for one set of comptime arguments."""

    index: int
    fn: FnValue
    env: dict[str, Any]  # comptime-known parameters by name
    params: list[tuple[str, T.Type]]  # run-time parameters
    ret: T.Type
    builder: FunctionBuilder | None = None
    task: bool = False
    parts: dict[str, Any] = field(default_factory=dict)  # arguments that are structs with fields of compile time
    span: Any = None  # the first call, for messages
    caller: Instance | None = None  # the function it stands in


@dataclass(eq=False)
class QueueState:
    color: int | None
    priority: str
    span: Any
    automatic: bool = False


@dataclass(eq=False)
class Bound:
    id: int
    kind: str
    fn: FnValue
    span: Any


@dataclass
class Unit:
    """The compilation of one tile program (or of the layout, which has no run-time part)."""

    arch: str
    fp16: str
    name: str
    diagnostics: Diagnostics
    compiler: Any  # compile.Compiler: file cache, import paths, options
    layout: Any = None  # layout.LayoutState
    is_layout: bool = False

    modules: list[Any] = field(default_factory=list)  # ModuleInstance of every file
    instances: list[Instance] = field(default_factory=list)
    by_key: dict[Any, Instance] = field(default_factory=dict)
    pending: list[Instance] = field(default_factory=list)
    vars: list[GlobalVar] = field(default_factory=list)
    image: bytearray = field(default_factory=lambda: bytearray(FIRST_ADDRESS))
    room: int = 0  # bytes kept for constants, before all that can be written to
    constants: int = 0  # bytes that constants need
    block: tuple[int, int, int] = (0, 0, FIRST_BLOCK // 2)  # of single values: the next free byte, the end, the size
    strings: dict[str, int] = field(default_factory=dict)
    dsd_ops: dict[tuple, int] = field(default_factory=dict)
    dsr_configs: dict[tuple, int] = field(default_factory=dict)
    mem4d: dict[tuple, int] = field(default_factory=dict)
    dsrs: dict[tuple[str, int], int] = field(default_factory=dict)
    # DSR -> where the program asked for it first
    dsr_spans: dict[tuple[str, int], Any] = field(default_factory=dict)
    dsr_init: list[tuple[int, int, int, int, int]] = field(default_factory=list)
    bound: dict[int, Bound] = field(default_factory=dict)
    # where control tasks got their own table (WSE-3); their keys in `bound` are 64 more then
    control_table: Any = None
    # data task id, start and limit of its counter, span
    rotating: list[tuple[int, int, int, Any]] = field(default_factory=list)
    active: int = 0
    blocks: list[tuple[int, bool]] = field(default_factory=list)  # (id, blocked) in textual order
    ut_blocked: int = 0
    high: int = 0  # task ids of high priority from the start
    inputs: dict[int, QueueState] = field(default_factory=dict)
    outputs: dict[int, QueueState] = field(default_factory=dict)
    used_inputs: dict[int, Any] = field(default_factory=dict)  # queue -> span of a DSD that uses it
    # kind, queue, color, span of fabric DSDs
    used_colors: list[tuple[str, int, int, Any]] = field(default_factory=list)
    used_outputs: dict[int, Any] = field(default_factory=dict)
    exports: dict[str, Export] = field(default_factory=dict)
    export_spans: dict[str, Any] = field(default_factory=dict)
    # local color configs: color -> (ColorConfig, span)
    colors: dict[int, tuple[Any, Any]] = field(default_factory=dict)
    host_in: dict[int, str] = field(default_factory=dict)
    host_out: dict[int, str] = field(default_factory=dict)
    fifos: list[list[int]] = field(default_factory=list)
    # (file, number) of a DSR that a FIFO was given -> the FIFO
    fifo_dsrs: dict[tuple[str, int], Dsd] = field(default_factory=dict)
    registers: dict[int, int] = field(default_factory=dict)  # @set_config of comptime blocks: word address -> value
    transform: int = 0  # mask of control_transform from the start
    exceptions: int = 0xFFFF  # mask of exceptions from the start
    teardown_handlers: dict[int, tuple[FnValue, Any]] = field(default_factory=dict)  # color -> function, span
    # queue (bit 3: output) -> function, span
    empty_handlers: dict[int, tuple[FnValue, Any]] = field(default_factory=dict)
    shared_input: int | None = None  # WSE-2: an input queue that was given out to a DSD without one
    route_colors: set[int] = field(default_factory=set)  # colors whose routes the program changes at run time
    register_pointers: bool = False  # some pointer is made of a number that may be the address of a register
    uses_memcpy: bool = False
    # rounds of loops and calls at compile time so far: outside the layout block, and in it
    work: list[int] = field(default_factory=lambda: [0, 0])
    overruns: int = 0  # how often they were too many
    param_text: dict[str, str] = field(default_factory=dict)
    pointed: set[int] = field(default_factory=set)  # functions whose address is taken
    hooks: list[Any] = field(default_factory=list)  # run after the functions, before assembly
    constant_table: dict[int, tuple] = field(default_factory=dict)  # id of a const value -> its memory copy

    # ------------------------------------------------------------ memory

    def keep_room(self, room: int) -> None:
        """Before anything is placed: the bytes at the start that are for constants."""
        self.room = room
        self.image.extend(bytes(room))

    def place_constant(self, t: T.Type, align: int) -> int | None:
        """Room for a constant, where nothing that runs past an array comes. None: there is too little of it, and the
        tile program is compiled again when it is known how much there has to be."""
        at = -(-(FIRST_ADDRESS + self.constants) // align) * align
        self.constants = at + t.size - FIRST_ADDRESS
        return at if self.constants <= self.room else None

    def place(self, t: T.Type, align: int) -> int:
        """Room for a variable. Arrays follow each other in the order of first use; single values (numbers, pointers,
        DSDs) fill blocks between them, each twice as large as the last: what runs past an array then nearly always
        meets another array, as it does where a linker separates zeroed arrays from initialised values, and no pointer
        or DSD."""
        if isinstance(t, T.ArrayType):
            at = -(-len(self.image) // align) * align
            self.image.extend(bytes(at + t.size - len(self.image)))
            return at
        at = -(-self.block[0] // align) * align
        if at + t.size > self.block[1]:
            at = -(-len(self.image) // 8) * 8
            size = max(min(2 * self.block[2], LARGEST_BLOCK), t.size)
            self.image.extend(bytes(at + size - len(self.image)))
            self.block = (at, at + size, size)
        self.block = (at + t.size, *self.block[1:])
        return at

    def address_of(self, var: GlobalVar) -> int:
        """The address of a variable; the first call lays it out and writes its initial value."""
        if var.address >= 0:
            return var.address
        t = var.type
        align = max(var.align, 4 if t.size >= 4 else t.align, 1)
        at = self.place_constant(t, align) if var.const else None
        if at is None:
            at = self.place(t, align)
        var.address = at
        self.vars.append(var)
        if var.init is not None:
            data = self.encode(t, var.init.v)
            self.image[at : at + len(data)] = data
        return at

    def encode(self, t: T.Type, v: Any) -> bytes:
        """The bytes of a comptime value in PE memory."""
        if isinstance(t, T.ArrayType):
            data = v.data
            if isinstance(data, np.ndarray):
                return data.tobytes()
            return b"".join(self.encode(t.elem, e) for e in data)
        if isinstance(t, T.StructType):
            out = bytearray(t.size)
            for (name, ft), offset in zip(t.fields, t.offsets, strict=True):
                out[offset : offset + ft.size] = self.encode(ft, v[name].v)
            return bytes(out)
        return (self.scalar_bits(Known(t, v)) & ((1 << 8 * t.size) - 1)).to_bytes(t.size, "little")

    def scalar_bits(self, value: Known) -> int:
        """The register form of a comptime scalar (isa.py)."""
        t, v = value.ty, value.v
        if T.is_float(t):
            return ops.float_bits(v, t)
        if isinstance(v, bool):
            return int(v)
        if isinstance(v, Pointer):
            return v.offset + (self.address_of(v.var) if v.var is not None else 0)
        if isinstance(v, FnValue):
            return self.function_index(v)
        if isinstance(v, Dsd):
            return self.pack(v)
        if v is None:
            return 0
        return v

    def pack(self, d: Dsd, span: Any = None) -> int:
        """A packed DSD (ir/words.py). Binding a fabric DSD to code also binds its queue, as the 1.4 compiler does on
        WSE-2."""
        if d.kind == "fifo":
            return words.Dsd.pack(kind=isa.DsdKind.FIFO, fifo=d.queue)
        if d.kind in ("mem1d", "mem4d", "circbuf"):
            base = 0 if d.base is None else self.scalar_bits(Known(T.U16, d.base))
            tag = {1: 0, 2: 1, 4: 2, 8: 3}[d.elem]
            if d.kind == "mem1d":
                return words.Dsd.pack(
                    kind=isa.DsdKind.MEM1D,
                    base=base,
                    tag=tag,
                    len=d.length,
                    stride=d.stride,
                    wio=d.wavelet_index_offset,
                )
            if d.kind == "circbuf":
                kind = isa.DsdKind.CIRCBUF
                row: tuple[int, ...] = (2, words.RING, d.wraparound, d.length, 1, 1, 1 - d.wraparound, 0, 0)
            else:
                kind = isa.DsdKind.MEM4D
                row = (len(d.extents), *(d.extents + (1,) * 4)[:4], *(d.strides + (0,) * 4)[:4])
            return words.Dsd.pack(kind=kind, base=base, tag=tag, len=self.row(self.mem4d, row))
        word = words.Dsd.pack(len=d.length, simd=d.simd, prio=d.priority, xform=d.control_transform)
        if d.color is not None:
            word |= words.Dsd.pack(color=d.color, hascolor=1)
        queue = self.queue_for(d, span)
        if queue is not None:
            word |= words.Dsd.pack(queue=queue, hasq=1)
        if d.kind == "fabin":
            return word | words.Dsd.pack(kind=isa.DsdKind.FABIN)
        return word | words.Dsd.pack(
            kind=isa.DsdKind.FABOUT,
            control=d.control,
            advance=d.advance_switch,
            zero=d.zero,
            wio=d.wavelet_index_offset,
        )

    def queue_for(self, d: Dsd, span: Any) -> int | None:
        """The queue a fabric DSD uses. WSE-2 binds input queues of DSDs on its own; a DSD without a queue gets a free
        one."""
        states, used = (self.inputs, self.used_inputs) if d.kind == "fabin" else (self.outputs, self.used_outputs)
        queue = d.queue
        if queue is None and self.arch == "wse2" and d.color is not None:
            if d.kind == "fabin":
                queue = next((q for q, s in states.items() if s.color == d.color), None)
                if queue is None:
                    queue = next((q for q in range(7, 0, -1) if q not in states and q not in used), None)
                    # operations without a queue of their own are synchronous: they can take turns
                    if queue is None:
                        queue = self.shared_input
                    else:
                        self.shared_input = queue
            # colors may share an output queue (facts 4.4): a free one of the two deep ones, or else the first
            else:
                queue = next((q for q in (3, 2, 5, 4, 1) if q not in states and q not in used), 3)
            if queue is None:
                self.error(
                    "MS0408",
                    f"no queue is left for the DSD of color {d.color}",
                    span,
                    help="give the DSD an input_queue or output_queue",
                )
                return None
        if queue is None:
            return None
        used.setdefault(queue, span)
        if d.color is not None:
            self.used_colors.append((d.kind, queue, d.color, span))
        if self.arch == "wse2" and d.kind == "fabin" and d.color is not None:
            state = states.get(queue)
            if state is None:
                states[queue] = QueueState(d.color, "", span, automatic=True)
        elif self.arch == "wse2" and d.kind == "fabout":
            states.setdefault(queue, QueueState(None, "", span, automatic=True))
        return queue

    # ------------------------------------------------------------ tables

    @staticmethod
    def row(table: dict[tuple, int], row: tuple) -> int:
        return table.setdefault(row, len(table))

    def string(self, text: str) -> int:
        """The number of a text that the run may print."""
        text = shown(text)
        return self.strings.setdefault(text, len(self.strings))

    def dsr(self, file: str, number: int) -> int:
        return self.dsrs.setdefault((file, number), len(self.dsrs))

    def error(
        self,
        code: str,
        message: str,
        span: Any,
        labels: list | None = None,
        help: str | None = None,
        severity: str = "error",
    ) -> None:
        from ...diag import Diagnostic, Label

        self.diagnostics.add(
            Diagnostic(code, message, span, severity, [Label(s, t) for s, t in labels or [] if s is not None], [], help)
        )

    # ------------------------------------------------------------ functions

    def instance(self, fn: FnValue, key: tuple, make) -> Instance:
        full = (id(fn.decl), id(fn.module), key)
        found = self.by_key.get(full)
        if found is None:
            found = make(len(self.instances))
            self.by_key[full] = found
            self.instances.append(found)
            self.pending.append(found)
        return found

    def plain_instance(self, fn: FnValue) -> Instance:
        """The instance of a function or task without comptime parameters."""
        return self.compiler.plain_instance(self, fn)

    def function_index(self, fn: FnValue) -> int:
        """The index of a plain function (no comptime parameters), compiled when first asked for."""
        inst = self.plain_instance(fn)
        self.pointed.add(inst.index)
        return inst.index

    def task_id(self, fn: FnValue) -> int | None:
        return next((b.id for b in self.bound.values() if b.fn.decl is fn.decl and b.fn.module is fn.module), None)

    def dispatcher_params(self) -> dict[str, Known] | None:
        """The params of <system/task29>, or None where the program has no handlers."""
        if not self.teardown_handlers and not self.empty_handlers:
            return None

        def table(entries: dict[int, tuple[FnValue, Any]]) -> list[Known]:
            numbers = {str(i): Known(T.U16, n) for i, n in enumerate(entries)}
            fns = {str(i): Known(T.FN, fn) for i, (fn, _) in enumerate(entries.values())}
            return [Known(T.struct(tuple((k, v.ty) for k, v in d.items()), True), d) for d in (numbers, fns)]

        colors, teardown = table(self.teardown_handlers)
        queues, empty = table(self.empty_handlers)
        return {"colors": colors, "teardown": teardown, "queues": queues, "empty": empty}

    # ------------------------------------------------------------ assembly

    def assemble(self) -> TileProgram:
        entries: list[int] = []
        code: list[list[int]] = []
        spans: list[Any] = []
        for inst in self.instances:
            fb = inst.builder
            assert fb is not None
            entries.append(len(code))
            at = len(code)
            for word in fb.code:
                i = target_word(op_of(word))
                code.append(word if i is None else [*word[:i], word[i] + at, *word[i + 1 :]])
            spans.extend(fb.spans)
        functions = [
            Function(
                i.fn.decl.name,
                e,
                sum(len(T.flatten(t)) for _, t in i.params),
                built(i).high,
                len(T.flatten(i.ret)),
                i.fn.decl.noinline,
                i.index in self.pointed,
            )
            for i, e in zip(self.instances, entries, strict=True)
        ]
        stack, recursive = self.stack_size()
        objects = [
            MemoryObject(v.name, v.address, v.type.size, v.type.name, not v.const)
            for v in sorted(self.vars, key=lambda v: v.address)
            if v.type.size
        ]
        if self.block[1] == len(self.image):
            del self.image[self.block[0] :]
        blocked = self.initial_blocked()
        tasks = []
        for b in self.bound.values():
            inst = self.by_key[(id(b.fn.decl), id(b.fn.module), ())]
            tasks.append(
                TaskBinding(b.id, b.kind, inst.index, tuple(t.name for _, t in inst.params), b.fn.decl.name, b.span)
            )
        program = TileProgram(
            name=self.name,
            params=self.param_text,
            code=np.array(code, dtype=np.int32).reshape(-1, 4),
            spans=spans,
            functions=functions,
            image=np.frombuffer(bytes(self.image), dtype=np.uint8).copy(),
            objects=objects,
            dsd_ops=words.OperationRow.rows(list(self.dsd_ops)),
            dsr_configs=words.DsrConfig.rows(list(self.dsr_configs)),
            mem4d=words.Walk.rows(list(self.mem4d)),
            dsrs=list(self.dsrs),
            dsr_init=self.dsr_init,
            tasks=tasks,
            active=self.active,
            blocked=blocked,
            inputs=[Queue(q, s.color, s.priority, s.span) for q, s in sorted(self.inputs.items())],
            outputs=[Queue(q, s.color, s.priority, s.span) for q, s in sorted(self.outputs.items())],
            exports=self.exports,
            strings=list(self.strings),
            stack_registers=stack,
            recursive=recursive,
            rotating=[(i, init, limit) for i, init, limit, _ in self.rotating],
            registers=sorted(self.registers.items()),
            transform=self.transform,
            exceptions=self.exceptions,
            control_table=self.control_table is not None,
            register_pointers=self.register_pointers,
            uses_memcpy=self.uses_memcpy,
            ut_blocked=self.ut_blocked,
            high=self.high,
            fifos=words.FifoRow.rows(self.fifos),
        )
        return program

    def initial_blocked(self) -> int:
        """Blocked bits at the start: channels without a data task (facts 5.3), then @block/@unblock in textual
        order."""
        channels = 24 if self.arch == "wse2" else 8
        blocked = 0
        for i in range(channels):
            if i not in self.bound:
                blocked |= 1 << i
        for i, state in self.blocks:
            blocked = blocked | 1 << i if state else blocked & ~(1 << i)
        return blocked

    def check_recursion(self) -> None:
        """Locals in static storage exist once, so a function that has some cannot run a second time inside itself."""
        insts = self.instances

        def type_of(inst: Instance) -> tuple:
            return tuple(t for _, t in inst.params), inst.ret

        def callees(inst: Instance) -> set[int]:
            found: set[int] = set()
            for callee, _, signature in built(inst).calls:
                found |= {callee} if callee >= 0 else {i for i in self.pointed if type_of(insts[i]) == signature}
            return found

        graph = {i.index: callees(i) for i in insts if i.builder is not None}
        for inst in insts:
            if inst.builder is None or not inst.builder.statics:
                continue
            seen: set[int] = set()
            todo = list(graph[inst.index])
            while todo:
                i = todo.pop()
                if i not in seen:
                    seen.add(i)
                    todo.extend(graph.get(i, ()))
            if inst.index in seen:
                name, span = inst.builder.statics[0]
                self.error(
                    "MS0338",
                    f"'{inst.fn.decl.name}' can call itself, and {name} is kept in memory: there is one copy of it only",
                    span,
                    labels=[(inst.fn.decl.name_span, "this function is recursive")],
                    help="hand the memory in as a pointer, or replace the recursion by a loop",
                )

    def stack_size(self) -> tuple[int, bool]:
        """Registers the deepest chain of calls needs; recursion gets a fixed stack, whose overflow is a fault."""
        need: dict[int, int] = {}
        visiting: set[int] = set()
        recursive = False
        indirect = [v.index for v in self.instances if not v.task]

        def visit(i: int) -> int:
            nonlocal recursive
            if i in need:
                return need[i]
            if i in visiting:
                recursive = True
                return 0
            visiting.add(i)
            fb = built(self.instances[i])
            size = fb.high
            for callee, base, _ in fb.calls:
                for c in [callee] if callee >= 0 else indirect:
                    size = max(size, base + visit(c))
            visiting.discard(i)
            need[i] = size
            return size

        size = max((visit(i) for i in range(len(self.instances))), default=1) + 2
        return (max(size, RECURSIVE_STACK) if recursive else size), recursive


def built(inst: Instance) -> FunctionBuilder:
    """The code of a function that has been compiled."""
    assert inst.builder is not None
    return inst.builder


def memory_map(objects: list[MemoryObject], limit: int = 12) -> list[str]:
    """The largest objects, a line each, for the message about memory."""
    rows = sorted(objects, key=lambda o: -o.size)[:limit]
    lines = [f"{o.size:>8} bytes  {o.name}: {o.type}" for o in rows]
    rest = sum(o.size for o in objects) - sum(o.size for o in rows)
    return lines + ([f"{rest:>8} bytes  {len(objects) - len(rows)} smaller objects"] if rest else [])


__all__ = ["ArrayValue", "Bound", "Instance", "QueueState", "Unit", "memory_map"]
