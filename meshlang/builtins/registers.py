"""Builtins on the configuration space: words at word addresses.

MeshLang models the routes and switches of colors (fabric/engine/switch.py: which addresses, and their layout). The words from
PLAIN_REGISTERS on, where the documentation has its examples, hold what is stored in them and do nothing. No other
address is known, and none is guessed.
"""

from __future__ import annotations

from typing import Any

from ..ir import isa
from ..ir.isa import Op, Sys
from ..sema.model import types as T
from ..sema.model.protocol import Analysis
from ..sema.model.values import VOID, Known, Reg
from ..syntax import ast
from .registry import builtin

# What a comptime block may not set (facts 3.6), as far as the addresses are known.
RESERVED = (
    (isa.COLOR_REGISTERS, "routes", "@set_color_config, @set_local_color_config or <tile_config/color_config>"),
    (isa.SWITCH_REGISTERS, "switches", "'.switches' of @set_color_config, or <tile_config/switch_config>"),
)


def register(cx: Analysis, node) -> Known | Reg:
    """The address, which has to be that of a register if it is known."""
    value = cx.coerce(cx.rv(node.args[0], T.U16), T.U16, node.args[0])
    if not isinstance(value, Known) or isa.PLAIN_REGISTERS <= value.v < isa.PLAIN_REGISTERS + isa.PLAIN_COUNT:
        return value
    if 0 <= value.v - isa.TIMESTAMP_REGISTERS < isa.TIMESTAMP_COUNT:
        if node.name.startswith("set") or cx.fb is None:
            cx.fail("MS0416", "the time stamp can be read at run time only", node.args[0], "<time> starts and stops it")
        return value
    for base, what, instead in RESERVED:
        if 0 <= value.v - base < isa.COLORS:
            if cx.fb is None:
                cx.fail(
                    "MS0417",
                    f"word address {value.v:#06x} is reserved in comptime blocks: it belongs to the {what} of color {value.v - base}",
                    node.args[0],
                    f"use {instead}",
                )
            cx.unit.route_colors.add(value.v - base)
            return value
    for name, base in isa.UNMODELLED.items():
        if 0 <= value.v - base < 8:
            cx.fail(
                "MS0416",
                f"the register {name} (word address {value.v:#06x}) is not modelled: what it holds is not published",
                node.args[0],
                "use the functions of <tile_config>, or <time>",
            )
    cx.fail(
        "MS0416",
        f"there is no register at word address {value.v:#06x} that MeshLang models",
        node.args[0],
        f"{isa.COLOR_REGISTERS:#06x} + color are the routes and {isa.SWITCH_REGISTERS:#06x} + color the switch of a color; "
        f"{isa.PLAIN_REGISTERS:#06x} to {isa.PLAIN_REGISTERS + isa.PLAIN_COUNT - 1:#06x} hold words without effect",
    )


def at_compile_time(cx: Analysis, node) -> int:
    """The known address of a builtin that stands in a top-level comptime block."""
    if not cx.top_level:
        cx.fail("MS0211", f"@{node.name} can be used in top-level comptime blocks and at run time only", node)
    address = register(cx, node)
    assert isinstance(address, Known)  # comptime code has nothing else
    return address.v


def pair(cx: Analysis, node) -> int:
    """The register that holds the address, followed by one for the value."""
    value = register(cx, node)
    assert cx.fb is not None
    found = cx.fb.regs(2)
    cx.into(value, found, node)
    return found


def _set(name: str) -> None:
    @builtin(
        name,
        "address, value[, range]",
        doc="Store a word in the configuration space of this PE, or have it there from the start.",
    )
    def set_config(cx: Analysis, node: ast.BuiltinCall, hint: T.Type | None) -> Any:
        if cx.fb is None:
            address = at_compile_time(cx, node)
            cx.unit.registers[address] = cx.coerce(cx.known(node.args[1]), T.U16, node.args[1]).v
            return VOID
        first = pair(cx, node)
        cx.into(cx.coerce(cx.rv(node.args[1], T.U16), T.U16, node.args[1]), first + 1, node)
        cx.emit(node, Op.SYS, cx.fb.reg(), first, Sys.REGISTER_SET)
        return VOID


def _get(name: str) -> None:
    @builtin(name, "address[, range]", doc="A word of the configuration space of this PE.")
    def get_config(cx: Analysis, node: ast.BuiltinCall, hint: T.Type | None) -> Any:
        if cx.fb is None:
            return Known(T.U16, cx.unit.registers.get(at_compile_time(cx, node), 0))
        first = pair(cx, node)
        result = cx.fb.reg()
        cx.emit(node, Op.SYS, result, first, Sys.REGISTER_GET)
        return Reg(T.U16, result)


for _suffix in ("", "_unchecked"):  # the checks they leave out are not needed here
    _set(f"set_config{_suffix}")
    _get(f"get_config{_suffix}")
