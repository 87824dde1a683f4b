"""Builtins that give task 29 its handlers: teardown of a color, a queue that has run empty."""

from __future__ import annotations

from typing import Any

from ..ir.isa import Op, Sys
from ..sema.model import types as T
from ..sema.model.protocol import Analysis
from ..sema.model.values import VOID, FnValue, Known
from ..syntax import ast
from .registry import builtin


def handler(cx: Analysis, node) -> FnValue:
    fn = cx.known(node.args[0])
    if not isinstance(fn.v, FnValue) or fn.v.decl.is_task or fn.v.decl.params:
        cx.fail("MS0412", f"@{node.name} takes a function without parameters", node.args[0])
    return fn.v


@builtin("set_teardown_handler", "fn, color", phase="top", doc="The function to call when a color goes into teardown.")
def set_teardown_handler(cx: Analysis, node: ast.BuiltinCall, hint: T.Type | None) -> Any:
    fn, color = handler(cx, node), cx.known(node.args[1])
    if color.ty is not T.COLOR:
        cx.fail("MS0301", f"expected a color, found {color.ty}", node.args[1])
    first = cx.unit.teardown_handlers.get(color.v)
    if first is not None:
        cx.fail("MS0412", f"color {color.v} has two teardown handlers", node, labels=[(first[1], "first set here")])
    cx.unit.teardown_handlers[color.v] = (fn, node.span)
    return VOID


def queue_number(cx: Analysis, node, arg) -> int:
    value = cx.known(arg)
    if value.ty not in (T.INPUT_QUEUE, T.OUTPUT_QUEUE):
        cx.fail("MS0301", f"@{node.name} takes a queue, found {value.ty}", arg)
    return value.v | (8 if value.ty is T.OUTPUT_QUEUE else 0)


@builtin(
    "set_empty_queue_handler",
    "fn, queue",
    phase="top",
    arch=("wse3",),
    doc="The function to call when a flushed queue is empty.",
)
def set_empty_queue_handler(cx: Analysis, node: ast.BuiltinCall, hint: T.Type | None) -> Any:
    fn, queue = handler(cx, node), queue_number(cx, node, node.args[1])
    first = cx.unit.empty_handlers.get(queue)
    if first is not None:
        cx.fail("MS0412", f"queue {queue & 7} has two handlers", node, labels=[(first[1], "first set here")])
    cx.unit.empty_handlers[queue] = (fn, node.span)
    return VOID


@builtin("queue_flush", "queue", phase="run", arch=("wse3",), doc="Start task 29 when the queue is empty.")
def queue_flush(cx: Analysis, node: ast.BuiltinCall, hint: T.Type | None) -> Any:
    number = queue_number(cx, node, node.args[0])
    cx.emit(node, Op.SYS, cx.builder.reg(), cx.to_reg(Known(T.U16, number), node), Sys.QUEUE_FLUSH)
    return VOID
