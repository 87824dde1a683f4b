"""Builtins on the configuration space: words at word addresses. MeshLang models the routes and switches of colors
(fabric/switch.py: which addresses, and their layout)."""

from __future__ import annotations

from ..ir import features, isa
from ..ir.isa import Op, Sys
from ..sema import types as T
from ..sema.values import VOID, Known, Reg
from .registry import builtin


def address(cx, node) -> int:
    """The register that holds the address, followed by one for the value."""
    cx.need(features.RECONFIGURATION, node)
    value = cx.coerce(cx.rv(node.args[0], T.U16), T.U16, node.args[0])
    if isinstance(value, Known):
        color = next((value.v - base for base in (isa.COLOR_REGISTERS, isa.SWITCH_REGISTERS) if 0 <= value.v - base < isa.COLORS), None)
        if color is None:
            cx.fail("MS0416", f"there is no register at word address {value.v:#06x} that MeshLang models", node.args[0],
                    f"{isa.COLOR_REGISTERS:#06x} + color are the routes and {isa.SWITCH_REGISTERS:#06x} + color the switch of a color")
        cx.unit.route_colors.add(color)
    pair = cx.fb.regs(2)
    cx.into(value, pair, node)
    return pair


def _set(name: str) -> None:
    @builtin(name, "address, value[, range]", phase="run", doc="Store a word in the configuration space of this PE.")
    def set_config(cx, node, hint):
        pair = address(cx, node)
        cx.into(cx.coerce(cx.rv(node.args[1], T.U16), T.U16, node.args[1]), pair + 1, node)
        cx.emit(node, Op.SYS, cx.fb.reg(), pair, Sys.REGISTER_SET)
        return VOID


def _get(name: str) -> None:
    @builtin(name, "address[, range]", phase="run", doc="A word of the configuration space of this PE.")
    def get_config(cx, node, hint):
        pair = address(cx, node)
        result = cx.fb.reg()
        cx.emit(node, Op.SYS, result, pair, Sys.REGISTER_GET)
        return Reg(T.U16, result)


for _suffix in ("", "_unchecked"):      # the checks they leave out are not needed here
    _set(f"set_config{_suffix}")
    _get(f"get_config{_suffix}")
