"""What the builtins of DSDs, DSRs and vector operations take: a row for each argument and field.

The builtins and the analysis of tensor accesses read the rows; `python -m meshlang.sema.model.dsd_rules docs/language.md`
prints them there.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NamedTuple

from ... import files
from . import types as T


class Rule(NamedTuple):
    """One argument. Numbers have a `type` and limits; what the others take is in words."""

    owner: str  # what it belongs to: a kind of DSD, a builtin, or a configuration
    name: str
    takes: str = ""
    type: T.IntType | None = None
    low: int = 0
    high: int = 0
    known: bool = True  # it must be known at compile time
    own_type: bool = False  # also a known integer must be of a type that converts; else any that fits
    default: str = ""  # if it may be left out: what it is then
    mark: str = "D"  # how sure: see the head of docs/language.md
    instead: str = ""  # help where a value of run time is refused

    def __str__(self) -> str:
        return f"'{self.name}' of {'' if self.owner.startswith('@') else 'a '}{self.owner}"


def _number(owner: str, name: str, type: T.IntType, low: int | None = None, high: int | None = None, **more) -> Rule:
    return Rule(owner, name, "", type, type.lo if low is None else low, type.hi if high is None else high, **more)


LONGEST = 0x7FFF  # of a fabric DSD, a FIFO and a circular buffer: 15 bits; it means endless
_POINTER = "pointer to 16-bit or 32-bit elements"
_LATER = "set it where it is known: @set_dsd_length(dsd, n)"
_NONE = "none"

ROWS = (
    Rule("tensor access", "lengths", "integers of 0 and more"),
    # published programs cast their u16 sizes in these two places, and were refused where they did not
    _number("tensor access", "indices", T.I16, own_type=True, mark="E"),
    Rule("tensor access", "array", "variable, or pointer known at compile time", mark="E"),
    Rule("mem1d_dsd", "tensor_access", "tensor access of one variable, or a struct of the four next", default=_NONE),
    Rule("mem1d_dsd", "base_address", _POINTER, known=False),
    _number("mem1d_dsd", "extent", T.U16, known=False),
    _number("mem1d_dsd", "stride", T.I8, known=False, default="1"),
    _number("mem1d_dsd", "offset", T.I16, known=False, default="0"),
    Rule("mem1d_dsd", "wavelet_index_offset", "bool", default="false"),
    Rule("mem4d_dsd", "tensor_access", "tensor access, or a struct of the four next", default=_NONE),
    Rule(
        "mem4d_dsd",
        "base_address",
        _POINTER,
        instead="make it with an array's address; @set_dsd_base_addr gives it another at run time",
    ),
    _number("mem4d_dsd", "extent", T.U16),
    _number("mem4d_dsd", "stride", T.I16, default="1 each"),
    _number("mem4d_dsd", "offset", T.I16, known=False, default="0"),
    Rule("mem4d_dsd", "wavelet_index_offset", "bool", default="false"),
    Rule("circbuf_dsd", "base_address", _POINTER),
    _number("circbuf_dsd", "extent", T.U16, high=LONGEST),
    _number("circbuf_dsd", "wraparound", T.U16, low=1, high=LONGEST, default="length of the array"),
    _number("fabin_dsd", "extent", T.U16, high=LONGEST, mark="E", instead=_LATER),
    Rule("fabin_dsd", "input_queue", "input_queue", default="WSE-2: one of the color"),
    Rule("fabin_dsd", "fabric_color", "color", known=False, default="the queue's"),
    Rule("fabin_dsd", "priority", "`.{ .low, .medium or .high = true }`", default="low"),
    Rule("fabin_dsd", "simd_mode", "`.{ .simd_32, .simd_64, ... = true }`", default="off"),
    Rule("fabin_dsd", "control_transform", "bool", default="false"),
    _number("fabout_dsd", "extent", T.U16, high=LONGEST, mark="E", instead=_LATER),
    Rule("fabout_dsd", "output_queue", "output_queue", default="WSE-2: one of the color"),
    Rule("fabout_dsd", "fabric_color", "color", known=False, default="the queue's"),
    Rule("fabout_dsd", "priority", "`.{ .low, .medium or .high = true }`", default="low"),
    Rule("fabout_dsd", "simd_mode", "`.{ .simd_32, .simd_64, ... = true }`", default="off"),
    Rule("fabout_dsd", "control_transform", "bool", default="false"),
    Rule("fabout_dsd", "control", "bool", default="false"),
    Rule("fabout_dsd", "advance_switch", "bool", default="false"),
    Rule("fabout_dsd", "wavelet_index_offset", "bool", default="false"),
    Rule("fabout_dsd", "zero", "`.{ .first_source or .second_source = true }`", default=_NONE),
    Rule("@set_dsd_base_addr", "dsd", "mem1d_dsd, mem4d_dsd", known=False),
    Rule("@set_dsd_base_addr", "address", "array, or pointer to 16-bit or 32-bit elements", known=False),
    Rule("@increment_dsd_offset", "dsd", "mem1d_dsd, mem4d_dsd", known=False),
    _number("@increment_dsd_offset", "n", T.I16, known=False, own_type=True, mark="E"),
    Rule("@increment_dsd_offset", "T", "type of 16 or 32 bits"),
    Rule("@set_dsd_length", "dsd", "mem1d_dsd, fabin_dsd, fabout_dsd, circbuf_dsd", known=False),
    _number("@set_dsd_length", "n", T.U16, known=False),
    Rule("@set_dsd_stride", "dsd", "mem1d_dsd", known=False),
    _number("@set_dsd_stride", "n", T.I8, known=False),
    _number("@set_fifo_read_length", "n", T.U16, high=LONGEST, known=False),
    _number("@set_fifo_write_length", "n", T.U16, high=LONGEST, known=False),
    _number("@get_dsr", "n", T.U16, high=15, mark="M"),
    Rule("@set_dsr_base_addr", "address", "array, or pointer to 16-bit or 32-bit elements", known=False, mark="E"),
    Rule("operation", "async", "bool", default="false"),
    Rule("operation", "activate", "local_task_id, or a task", known=False, default=_NONE),
    Rule(
        "operation",
        "unblock",
        "id of a task, or color (WSE-2), input_queue (WSE-3), or a task",
        known=False,
        default=_NONE,
    ),
    Rule("operation", "priority", "`.{ .low, .medium or .high = true }`", default="low"),
    Rule(
        "operation",
        "on_control",
        "`.{ .terminate = true }`, `.{ .activate = id }`, `.{ .unblock = id }`",
        default=_NONE,
    ),
    Rule("operation", "ut_id", "ut_id", default="the queue's"),
    Rule("operation", "index", "u16, of operands with wavelet_index_offset", known=False, default="0"),
    Rule("@load_to_dsr", "save_address", "bool", default="false"),
    Rule("@load_to_dsr", "single_step", "bool", default="false"),
)

RULES = {(r.owner, r.name): r for r in ROWS}


def fields(*owners: str) -> dict[str, str]:
    """The names a configuration struct may have, in the form `registry.config` takes."""
    return dict.fromkeys((r.name for r in ROWS if r.owner in owners), "")


BEGIN, END = "<!-- written by meshlang.sema.model.dsd_rules -->", "<!-- end of the rules -->"


def table() -> str:
    lines = ["| of | argument | takes | known | left out | |", "|---|---|---|---|---|---|"]
    for r in ROWS:
        takes = r.takes
        if r.type is not None:
            takes = f"{r.type}" if (r.low, r.high) == (r.type.lo, r.type.hi) else f"{r.type}, {r.low} to {r.high}"
            takes += ", of that type or one that converts" if r.own_type else ""
        lines.append(
            f"| {r.owner} | {r.name} | {takes} | {'while compiling' if r.known else ''} | {r.default} | {r.mark} |"
        )
    return "\n".join(lines)


def updated(page: str) -> str:
    head, rest = page.split(BEGIN)
    return f"{head}{BEGIN}\n\n{table()}\n\n{END}{rest.split(END)[1]}"


if __name__ == "__main__":
    for name in sys.argv[1:]:
        files.write_text(name, updated(Path(name).read_text(encoding="utf-8")))
