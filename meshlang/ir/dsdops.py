"""The vector operations: one row each. The builtins, the engine's dispatch and the docs read this table.

Element meaning: dst[i] = f(src0[i], src1[i], src2). `forms` lists the operand classes accepted after the name:
D destination vector, V source vector, s scalar, P pointer to a scalar. Facts: CSL builtins page (types and forms),
SIMD appendix (widths).
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple


class DsdOpCode(IntEnum):
    ADD16 = 0
    ADDC16 = 1
    SUB16 = 2
    AND16 = 3
    OR16 = 4
    XOR16 = 5
    SLL16 = 6
    SLR16 = 7
    SAR16 = 8
    CLZ = 9
    CTZ = 10
    POPCNT = 11
    MOV16 = 12
    MOV32 = 13
    FMOVH = 14
    FMOVS = 15
    FADDH = 16
    FADDS = 17
    FADDHS = 18
    FSUBH = 19
    FSUBS = 20
    FMULH = 21
    FMULS = 22
    FMAXH = 23
    FMAXS = 24
    FMACH = 25
    FMACS = 26
    FMACHS = 27
    FNEGH = 28
    FNEGS = 29
    FABSH = 30
    FABSS = 31
    FNORMH = 32
    FNORMS = 33
    FSCALEH = 34
    FSCALES = 35
    FH2S = 36
    FS2H = 37
    FH2XP16 = 38
    FS2XP16 = 39
    XP162FH = 40
    XP162FS = 41
    # @dfilt: drops what comes, until as many control wavelets have come as the fabin_dsd is long
    DFILT = 42


class DsdOp(NamedTuple):
    code: DsdOpCode
    dst: str  # element type: "h" f16, "s" f32, "w" any 16-bit integer, "d" any 32-bit integer
    src: tuple[str, ...]
    forms: tuple[str, ...]
    accumulates: bool = False  # form P,s,V keeps a running value


_ALU = ("DVV", "DsV", "DVs")
_FARITH = ("DVV", "DsV", "DVs", "PsV")
_MOV = ("DV", "PV", "Ds")
_UN = ("DV", "Ds")
C = DsdOpCode


def _code(name: str) -> DsdOpCode:
    return DsdOpCode[name.upper()]


DSD_OPS: dict[str, DsdOp] = {
    **{
        n: DsdOp(c, "w", ("w", "w"), _ALU)
        for n, c in [
            ("add16", C.ADD16),
            ("addc16", C.ADDC16),
            ("and16", C.AND16),
            ("or16", C.OR16),
            ("xor16", C.XOR16),
            ("sll16", C.SLL16),
            ("slr16", C.SLR16),
            ("sar16", C.SAR16),
        ]
    },
    "sub16": DsdOp(C.SUB16, "w", ("w", "w"), ("DVV", "DVs")),
    **{n: DsdOp(c, "w", ("w",), _UN) for n, c in [("clz", C.CLZ), ("ctz", C.CTZ), ("popcnt", C.POPCNT)]},
    "mov16": DsdOp(C.MOV16, "w", ("w",), _MOV),
    "mov32": DsdOp(C.MOV32, "d", ("d",), _MOV),
    "fmovh": DsdOp(C.FMOVH, "h", ("h",), _MOV),
    "fmovs": DsdOp(C.FMOVS, "s", ("s",), _MOV),
    **{
        f"{n}{t}": DsdOp(_code(f"{n}{t}"), t, (t, t), _FARITH, accumulates=True)
        for n in ("fadd", "fsub", "fmul", "fmax")
        for t in "hs"
    },
    "faddhs": DsdOp(C.FADDHS, "s", ("s", "h"), _FARITH, accumulates=True),
    "fmach": DsdOp(C.FMACH, "h", ("h", "h", "h"), ("DVVs",)),
    "fmacs": DsdOp(C.FMACS, "s", ("s", "s", "s"), ("DVVs",)),
    "fmachs": DsdOp(C.FMACHS, "s", ("s", "h", "h"), ("DVVs",)),
    **{f"{n}{t}": DsdOp(_code(f"{n}{t}"), t, (t,), _UN) for n in ("fneg", "fabs") for t in "hs"},
    "fnormh": DsdOp(C.FNORMH, "h", ("h",), ("Ps",)),
    "fnorms": DsdOp(C.FNORMS, "s", ("s",), ("Ps",)),
    "fscaleh": DsdOp(C.FSCALEH, "h", ("h", "w"), ("Pss",)),
    "fscales": DsdOp(C.FSCALES, "s", ("s", "w"), ("Pss",)),
    "fh2s": DsdOp(C.FH2S, "s", ("h",), _UN),
    "fs2h": DsdOp(C.FS2H, "h", ("s",), _UN),
    "fh2xp16": DsdOp(C.FH2XP16, "w", ("h",), ("DV", "Ds", "Ps")),
    "fs2xp16": DsdOp(C.FS2XP16, "w", ("s",), ("DV", "Ds", "Ps")),
    "xp162fh": DsdOp(C.XP162FH, "h", ("w",), _UN),
    "xp162fs": DsdOp(C.XP162FS, "s", ("w",), _UN),
}
