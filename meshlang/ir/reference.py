"""docs/isa.md: the instruction set as a page, from its tables.

`python -m meshlang.ir.reference docs/isa.md` writes it anew.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator

from .. import files
from .dsdops import DsdOpCode
from .isa import ELEMENTS, FLOATS, INTEGERS, NUMBERS, Effect, Flow, MathFn, Op, Print, Role, Sys, Ty

_TYPES = {(): "", NUMBERS: "any", INTEGERS: "integers", FLOATS: "floats", ELEMENTS: "elements"}
_ROLES = {
    Role.READ: "register",
    Role.WRITE: "result",
    Role.UPDATE: "register and result",
    Role.RESULT: "result or r0",
    Role.IMMEDIATE: "number",
    Role.LIMIT: "number",
    Role.FLAG: "0 or 1",
    Role.BITS: "bits",
    Role.TARGET: "target",
    Role.FUNCTION: "function",
    Role.FRAME: "frame",
    Role.OPERATION: "vector operation",
    Role.DSR: "DSR",
    Role.CONFIG: "DSR configuration or -1",
    Role.STRING: "text or -1",
    Role.INTEGER: "integer type",
    Role.FLOAT: "float type",
    Role.FUNCTION1: "function",
    Role.FUNCTION2: "function",
    Role.SYSTEM: "system function",
    Role.PRINTED: "kind",
}


def _table(head: str, rows: Iterable[Iterable[str]]) -> Iterator[str]:
    names = head.split(" | ")
    yield f"| {' | '.join(names)} |"
    yield "|" + "---|" * len(names)
    for row in rows:
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |"
    yield ""


def _words(op: Op) -> str:
    """The operands of an operation: "a result, b..b+1 register"."""
    parts = []
    for letter, word in zip("abc", op.words, strict=True):
        if word.role is not Role.UNUSED:
            span = letter if word.count == 1 else f"{letter}..{letter}+{word.count - 1}"
            parts.append(f"{span} {_ROLES[word.role]}")
    return ", ".join(parts)


def _effect(effect: Effect) -> str:
    return ", ".join(str(e.name).lower().replace("_", " ") for e in effect)


def page() -> str:
    lines = [
        "# The instruction set",
        "",
        "Written by `python -m meshlang.ir.reference docs/isa.md` from the tables in `meshlang/ir`; a test sees that it is",
        "current. How instructions and registers look, and what a call does: the head of `meshlang/ir/isa.py`.",
        "",
        "## Operations",
        "",
        "`a`, `b` and `c` are the words of an instruction, `ty` is its type. Cost is a key under `[scalar]` of a timing",
        "profile (docs/timing.md); a vector operation's is computed when it runs. Faults are those of",
        "`meshlang/fabric/engine/faults.py`. An operation without an effect computes a value and does nothing else.",
        "",
    ]
    lines += _table(
        "number | name | words | meaning | types | cost | faults | effect | control",
        (
            (
                str(int(op)),
                f"`{op.name}`",
                _words(op),
                op.row.doc,
                _TYPES[op.row.types],
                op.row.cost,
                ", ".join(f.lower() for f in op.row.faults),
                _effect(op.row.effect),
                "" if op.row.flow is Flow.NEXT else op.row.flow.name.lower(),
            )
            for op in Op
        ),
    )
    lines += ["## Types", ""]
    lines += _table("number | name", ((str(int(ty)), ty.name.lower()) for ty in Ty))
    lines += ["## System functions (`SYS`)", ""]
    lines += _table(
        "number | name | reads | meaning | result | effect",
        (
            (
                str(int(f)),
                f"`{f.name}`",
                ("nothing", "r[b]", "r[b], r[b+1]")[f.row.arguments],
                f.row.doc,
                "r[a]" if f.row.result else "",
                _effect(f.row.effect),
            )
            for f in Sys
        ),
    )
    lines += ["## Mathematical functions (`FUN1`, `FUN2`)", ""]
    lines += _table(
        "number | name | arguments | types | meaning",
        (
            (str(int(f)), f"`{f.name}`", str(f.row.arguments), _TYPES[f.row.types], f.row.doc or f.name.lower())
            for f in MathFn
        ),
    )
    lines += ["## Kinds of output record (`PRINT`)", ""]
    lines += _table("number | name", ((str(int(k)), f"`{k.name}`") for k in Print))
    lines += [
        "## Vector operations (`DSDOP`)",
        "",
        "Elements: `h` f16, `s` f32, `w` any 16-bit integer, `d` any 32-bit integer. Forms: `D` destination vector, `V`",
        "source vector, `s` scalar, `P` pointer to a scalar. Widths are timing: `[dsd.width]` of a profile.",
        "",
    ]
    lines += _table(
        "number | name | destination | sources | forms | kernel | accumulates | exceptions | meaning",
        (
            (
                str(int(op)),
                f"`{op.name.lower()}`",
                op.dst,
                ", ".join(op.src),
                " ".join(op.forms),
                op.kernel.name.lower() if op.kernel else "",
                "yes" if op.accumulates else "",
                "yes" if op.raises else "",
                op.doc,
            )
            for op in DsdOpCode
        ),
    )
    return "\n".join(lines).rstrip() + "\n"


if __name__ == "__main__":
    files.write_text(sys.argv[1], page())
