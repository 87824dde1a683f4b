"""Numbers of the instruction set, as the 64-bit constants that compiled code wants. All of them come from the rows of
ir/isa.py and ir/dsdops.py: nothing is numbered here.

| names | what |
|---|---|
| `ADD`, `LD`, ... | operations |
| `ADD16`, `FMACS`, ... | vector operations |
| `I64` ... `F32` | types |
| `SYS_X`, `M_X` | functions of SYS, mathematical functions |
| `KIND_X`, `OPERAND_X`, `CLASS_X` | kinds of DSD, of operand, of kernel |
"""

from __future__ import annotations

import numpy as np

from ...ir import isa, words
from ...ir.dsdops import DsdOpCode, Kernel


def _bits(members):
    """A mask of numbers below 64."""
    mask = sum(1 << int(m) for m in members)
    return np.int64(mask - (1 << 64) if mask >> 63 else mask)


_NAMES: dict[str, int] = {}
for _prefix, _members in (
    ("", isa.Op),
    ("", DsdOpCode),
    ("", isa.Ty),
    ("SYS_", isa.Sys),
    ("M_", isa.MathFn),
    ("KIND_", isa.DsdKind),
    ("OPERAND_", isa.Operand),
    ("CLASS_", Kernel),
):
    for _member in _members:
        assert _prefix + _member.name not in _NAMES, _member
        _NAMES[_prefix + _member.name] = int(_member)
globals().update({name: np.int64(value) for name, value in _NAMES.items()})

ENDLESS = np.int64(words.INFINITE)
PLAIN, PLAIN_COUNT = np.int64(isa.PLAIN_REGISTERS), np.int64(isa.PLAIN_COUNT)

# operations that only compute r[a], from registers and DSRs: those that the loop of core.py does not have itself are in
# value_op
_VALUES = [
    op
    for op in isa.Op
    if op.words[0].role in (isa.Role.WRITE, isa.Role.UPDATE)
    and op.row.flow is isa.Flow.NEXT
    and not op.row.effect & ~isa.Effect.READ_DSR
    and set(op.row.faults) <= {"EXCEPTION"}
]
VALUE_LOW, VALUE_HIGH = _bits(o for o in _VALUES if o < 64), _bits(o - 64 for o in _VALUES if o >= 64)
# system functions that happen in their cycle
SYS_TIMED = _bits(f for f in isa.Sys if f.row.timed)
# vector operations that raise floating-point exceptions, and those whose result is an f32
RAISING = _bits(o for o in DsdOpCode if o.raises)
SINGLE = _bits(o for o in DsdOpCode if o.dst == "s")
