"""The vector operations: one row each. The builtins, the engine's tables and constants, messages and the docs read it.

Element meaning: dst[i] = f(src0[i], src1[i], src2). Facts: CSL builtins page (types and forms), SIMD appendix (widths,
which are timing: fabric/timing/*.toml, [dsd.width]). What an operation computes is `element` of fabric/engine/alu.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class Kernel(IntEnum):
    """Which loop of fabric/engine/alu.py does a contiguous run; NONE: element by element."""

    NONE = 0
    HALF = 1
    SINGLE = 2
    WORD = 3
    MOVE16 = 4
    MOVE32 = 5


ELEMENT_SIZE = {"h": 2, "s": 4, "w": 2, "d": 4}  # bytes of an element class


@dataclass(frozen=True)
class DsdRow:
    """One vector operation. Elements: h f16, s f32, w any 16-bit integer, d any 32-bit integer."""

    number: int
    dst: str  # "": there is no destination
    src: str
    # operand classes that the builtin takes after the name: D destination vector, V source vector, s scalar, P pointer
    # to a scalar; nothing: it has a builtin of its own
    forms: tuple[str, ...]
    kernel: Kernel = Kernel.NONE
    accumulates: bool = False  # form P,s,V keeps a running value
    raises: bool = False  # floating-point exceptions
    flops: int = 0  # floating-point operations of an element: additions and multiplications
    doc: str = ""


_ALU = ("DVV", "DsV", "DVs")
_FARITH = ("DVV", "DsV", "DVs", "PsV")
_MOV = ("DV", "PV", "Ds")
_UN = ("DV", "Ds")
_H, _S, _W = Kernel.HALF, Kernel.SINGLE, Kernel.WORD


class DsdOpCode(IntEnum):
    """The vector operations by number; the builtin of NAME is @name."""

    dst: str
    src: str
    forms: tuple[str, ...]
    kernel: Kernel
    accumulates: bool
    raises: bool
    flops: int
    doc: str

    def __new__(cls, row: DsdRow | int) -> DsdOpCode:
        assert isinstance(row, DsdRow)  # by number, members are looked up
        self = int.__new__(cls, row.number)
        self._value_ = row.number
        self.dst, self.src, self.forms, self.kernel = row.dst, row.src, row.forms, row.kernel
        self.accumulates, self.raises, self.flops, self.doc = row.accumulates, row.raises, row.flops, row.doc
        return self

    # 16-bit integers
    ADD16 = DsdRow(0, "w", "ww", _ALU, _W)
    ADDC16 = DsdRow(1, "w", "ww", _ALU, doc="with the PE's carry flag, which goes on from element to element")
    SUB16 = DsdRow(2, "w", "ww", ("DVV", "DVs"), _W)
    AND16 = DsdRow(3, "w", "ww", _ALU, _W)
    OR16 = DsdRow(4, "w", "ww", _ALU, _W)
    XOR16 = DsdRow(5, "w", "ww", _ALU, _W)
    SLL16 = DsdRow(6, "w", "ww", _ALU)
    SLR16 = DsdRow(7, "w", "ww", _ALU)
    SAR16 = DsdRow(8, "w", "ww", _ALU)
    CLZ = DsdRow(9, "w", "w", _UN)
    CTZ = DsdRow(10, "w", "w", _UN)
    POPCNT = DsdRow(11, "w", "w", _UN)
    # moves
    MOV16 = DsdRow(12, "w", "w", _MOV, Kernel.MOVE16)
    MOV32 = DsdRow(13, "d", "d", _MOV, Kernel.MOVE32)
    FMOVH = DsdRow(14, "h", "h", _MOV, Kernel.MOVE16)
    FMOVS = DsdRow(15, "s", "s", _MOV, Kernel.MOVE32)
    # floats
    FADDH = DsdRow(16, "h", "hh", _FARITH, _H, accumulates=True, raises=True, flops=1)
    FADDS = DsdRow(17, "s", "ss", _FARITH, _S, accumulates=True, raises=True, flops=1)
    FADDHS = DsdRow(18, "s", "sh", _FARITH, accumulates=True, raises=True, flops=1)
    FSUBH = DsdRow(19, "h", "hh", _FARITH, _H, accumulates=True, raises=True, flops=1)
    FSUBS = DsdRow(20, "s", "ss", _FARITH, _S, accumulates=True, raises=True, flops=1)
    FMULH = DsdRow(21, "h", "hh", _FARITH, _H, accumulates=True, raises=True, flops=1)
    FMULS = DsdRow(22, "s", "ss", _FARITH, _S, accumulates=True, raises=True, flops=1)
    FMAXH = DsdRow(23, "h", "hh", _FARITH, _H, accumulates=True)
    FMAXS = DsdRow(24, "s", "ss", _FARITH, _S, accumulates=True)
    FMACH = DsdRow(25, "h", "hhh", ("DVVs",), _H, raises=True, flops=2)
    FMACS = DsdRow(26, "s", "sss", ("DVVs",), _S, raises=True, flops=2)
    FMACHS = DsdRow(27, "s", "shh", ("DVVs",), raises=True, flops=2)
    FNEGH = DsdRow(28, "h", "h", _UN)
    FNEGS = DsdRow(29, "s", "s", _UN)
    FABSH = DsdRow(30, "h", "h", _UN)
    FABSS = DsdRow(31, "s", "s", _UN)
    FNORMH = DsdRow(32, "h", "h", ("Ps",), doc="the mantissa, in [0.5, 1)")
    FNORMS = DsdRow(33, "s", "s", ("Ps",), doc="the mantissa, in [0.5, 1)")
    FSCALEH = DsdRow(34, "h", "hw", ("Pss",), raises=True, doc="times a power of two")
    FSCALES = DsdRow(35, "s", "sw", ("Pss",), raises=True, doc="times a power of two")
    # conversions
    FH2S = DsdRow(36, "s", "h", _UN)
    FS2H = DsdRow(37, "h", "s", _UN, raises=True)
    FH2XP16 = DsdRow(38, "w", "h", ("DV", "Ds", "Ps"), raises=True)
    FS2XP16 = DsdRow(39, "w", "s", ("DV", "Ds", "Ps"), raises=True)
    XP162FH = DsdRow(40, "h", "w", _UN, raises=True)
    XP162FS = DsdRow(41, "s", "w", _UN, raises=True)
    # looks at whole wavelets, one a cycle
    DFILT = DsdRow(
        42, "", "d", (), doc="@dfilt: drops what comes, until as many control wavelets have come as its source is long"
    )


# those with a builtin of their name, which builtins/dsd_ops.py makes from the row
DSD_OPS: dict[str, DsdOpCode] = {op.name.lower(): op for op in DsdOpCode if op.forms}
