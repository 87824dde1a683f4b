"""A tiny assembler: tile programs by hand, for tests of the engine."""

from __future__ import annotations

import numpy as np

from meshlang.ir import isa
from meshlang.ir.dsdops import DSD_OPS
from meshlang.ir.isa import DsdKind, Op, Operand, Ty
from meshlang.ir.program import (
    ColorConfig,
    Export,
    Fabric,
    Function,
    MemoryObject,
    Program,
    Queue,
    TaskBinding,
    TileProgram,
)
from meshlang.ir.words import Dsd, DsrConfig, OperationRow, Walk

N, S, E, W, R = 1, 2, 4, 8, 16  # masks of the directions


def mem(base, length, stride=1, size=4, wio=0):
    """Packed mem1d DSD."""
    return Dsd.pack(kind=DsdKind.MEM1D, base=base, len=length, stride=stride, tag=size.bit_length() - 1, wio=wio)


def mem4(base, row, size=4):
    return Dsd.pack(kind=DsdKind.MEM4D, base=base, len=row, tag=size.bit_length() - 1)


def _fabric(kind, length, queue, color, simd, prio):
    v = Dsd.pack(kind=kind, len=length, simd=simd, prio=prio)
    if queue is not None:
        v |= Dsd.pack(queue=queue, hasq=1)
    if color is not None:
        v |= Dsd.pack(color=color, hascolor=1)
    return v


def fabin(length, queue=None, color=None, simd=0, prio=0):
    return _fabric(DsdKind.FABIN, length, queue, color, simd, prio)


def fabout(length, queue=None, color=None, simd=0, prio=0, control=0, wio=0):
    return _fabric(DsdKind.FABOUT, length, queue, color, simd, prio) | Dsd.pack(control=control, wio=wio)


class Tile:
    """Builds a TileProgram. Code is emitted in order; labels are strings and resolved at the end."""

    def __init__(self, name="pe.csl"):
        self.name = name
        self.code, self.labels, self.fix = [], {}, []
        self.functions, self.tasks, self.exports = [], [], {}
        self.objects, self.top = [], 16
        self.ops, self.configs, self.m4, self.dsrs, self.dsr_init = [], [], [], [], []
        self.inputs, self.outputs, self.strings = [], [], []
        self.active = self.blocked = self.ut_blocked = 0
        self.data = {}
        self.frame = 64

    def var(self, name, count, size=4, values=None):
        """Allocate an array; returns its address."""
        at = self.top
        self.top = (at + count * size + 7) & ~7
        self.objects.append(MemoryObject(name, at, count * size, f"[{count}]u{size * 8}"))
        if values is not None:
            self.data[at] = np.asarray(values).tobytes()
        return at

    def emit(self, op, a=0, b=0, c=0, ty=Ty.I64):
        words = [int(op) | int(ty) << 8, a, b, c]
        for i, (word, kind) in enumerate(zip(words[1:], op.words, strict=True), 1):
            if isinstance(word, str):
                assert kind.role is isa.Role.TARGET, f"{op.name.lower()} has no target there"
                self.fix.append((len(self.code), i, word))
                words[i] = 0
        self.code.append(words)

    def label(self, name):
        self.labels[name] = len(self.code)

    def const(self, register, value):
        """64-bit constant."""
        low = value & 0xFFFFFFFF
        self.emit(Op.LDI, register, low - (1 << 32) if low >> 31 else low)
        high = value >> 32
        if not -(1 << 31) <= value < 1 << 31:
            high &= 0xFFFFFFFF
            self.emit(Op.LDIH, register, high - (1 << 32) if high >> 31 else high)

    def function(self, name, params=0, export=False):
        self.functions.append(Function(name, len(self.code), params, 40))
        if export:
            self.exports[name] = Export(name, "fn", "fn", function=len(self.functions) - 1)
        return len(self.functions) - 1

    def task(self, ident, kind, name, args=()):
        """Begin the body of a task here."""
        f = self.function(name, len(args))
        self.tasks.append(TaskBinding(ident, kind, f, tuple(args), name))

    def ret(self):
        self.emit(Op.RET)

    def done(self):
        self.emit(Op.SYS, 0, 0, isa.Sys.CMD_DONE)

    def op(
        self,
        name,
        dst,
        *sources,
        base=20,
        result=0,
        action=None,
        on_control=None,
        ut=-1,
        index=None,
        is_async=False,
        prio=0,
    ):
        """Emit a vector operation. Operands: ("dsd", packed) ("dsr", dense) ("scalar", bits) ("pointer", address), or
        ("reg", kind, r)."""
        row = [0] * OperationRow.WORDS
        row[OperationRow.code] = DSD_OPS[name]
        row[OperationRow.ut] = ut
        row[OperationRow.async_] = int(is_async)
        row[OperationRow.prio] = prio
        kinds = {"dsd": Operand.DSD, "dsr": Operand.DSR, "scalar": Operand.SCALAR, "pointer": Operand.POINTER}
        for j, operand in enumerate([dst, *sources]):
            kind, value = operand[0], operand[1]
            if kind == "reg":
                row[OperationRow.dst + j] = kinds[operand[1]]
                self.emit(Op.MOV, base + j, operand[2])
                continue
            row[OperationRow.dst + j] = kinds[kind]
            if kind == "dsr":
                row[OperationRow.dst_dsr + j] = value
            else:
                self.const(base + j, value)
        if action is not None:
            row[OperationRow.action] = action[0]
            self.const(base + 5, action[1])
        if on_control is not None:
            row[OperationRow.onctrl_set], row[OperationRow.onctrl] = 1, on_control[0]
            self.const(base + 6, on_control[1])
        if index is not None:
            row[OperationRow.index] = 1
            self.const(base + 4, index)
        self.ops.append(row)
        self.emit(Op.DSDOP, len(self.ops) - 1, base, result)

    def build(self):
        for at, word, name in self.fix:
            self.code[at][word] = self.labels[name]
        image = np.zeros(self.top, np.uint8)
        for at, raw in self.data.items():
            image[at : at + len(raw)] = np.frombuffer(raw, np.uint8)
        return TileProgram(
            name=self.name,
            params={},
            code=np.array(self.code or [[Op.RET, 0, 0, 0]], np.int32),
            spans=[None] * len(self.code),
            functions=self.functions,
            image=image,
            objects=self.objects,
            dsd_ops=OperationRow.rows(self.ops),
            dsr_configs=DsrConfig.rows(self.configs),
            mem4d=Walk.rows(self.m4),
            dsrs=self.dsrs,
            dsr_init=self.dsr_init,
            tasks=self.tasks,
            active=self.active,
            blocked=self.blocked,
            inputs=[Queue(i, c) for i, c in self.inputs],
            outputs=[Queue(i, c) for i, c in self.outputs],
            exports=self.exports,
            strings=self.strings,
            stack_registers=200,
            ut_blocked=self.ut_blocked,
        )


def program(grid, tiles, routes=None, arch="wse3", host_in=(), host_out=()):
    """grid: rows of tile indices. routes: color -> {(x, y): (rx, tx)}."""
    grid = np.array(grid, np.int32)
    h, w = grid.shape
    configs, colors = [], {}
    for color, places in (routes or {}).items():
        array = np.full((h, w), -1, np.int32)
        for (x, y), (rx, tx) in places.items():
            config = ColorConfig(rx, tx)
            if config not in configs:
                configs.append(config)
            array[y, x] = configs.index(config)
        colors[color] = array
    fabric = Fabric(w, h, grid, colors, configs, {c: f"in{c}" for c in host_in}, {c: f"out{c}" for c in host_out})
    return Program(arch, [t.build() if isinstance(t, Tile) else t for t in tiles], fabric, {}, {}, "layout.csl")
