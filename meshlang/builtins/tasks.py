"""Builtins on colors, tasks, queues and microthreads."""

from __future__ import annotations

from typing import Any

from ..ir.isa import Op
from ..sema.model import types as T
from ..sema.model.protocol import Analysis
from ..sema.model.unit import Bound, QueueState
from ..sema.model.values import VOID, FnValue, Known, Reg
from ..syntax import ast
from .registry import builtin, config

ROTATING_PAIRS = 2
CONTROL_TABLE = 64  # added to the keys of control tasks that have a table of their own
QUEUES = {"wse2": (8, 6), "wse3": (8, 8)}  # input, output (facts 4.3)


def number(cx: Analysis, node, t: T.Type, low: int, high: int, what: str):
    """An id of type `t` from an integer; range checked when known."""
    value = cx.rv(node.args[0])
    if not T.is_int(value.ty):
        cx.fail("MS0301", f"@{node.name} takes an integer, found {value.ty}", node.args[0])
    if isinstance(value, Known):
        if not low <= value.v <= high:
            tasks = t is T.COLOR and high < value.v <= 30
            cx.fail(
                "MS0404",
                f"{what} {value.v} is out of range: {cx.unit.arch} has {low} to {high}",
                node.args[0],
                f"the colors {high + 1} to 30 of old programs are local tasks: @get_local_task_id({value.v})"
                if tasks
                else f"choose one from {low} to {high}",
            )
        return Known(t, value.v)
    return Reg(t, value.reg)


@builtin("get_color", "n", doc="The color with a number, 0 to 23.")
def get_color(cx: Analysis, node: ast.BuiltinCall, hint: T.Type | None) -> Any:
    value = cx.rv(node.args[0])
    if value.ty is T.COLOR:
        return value
    return number(cx, node, T.COLOR, 0, T.COLORS - 1, "color")


@builtin("get_local_task_id", "n", doc="The id of a local task: 0 to 30 on WSE-2, 8 to 30 on WSE-3.")
def get_local_task_id(cx: Analysis, node: ast.BuiltinCall, hint: T.Type | None) -> Any:
    return number(cx, node, T.LOCAL_TASK_ID, 0 if cx.unit.arch == "wse2" else 8, 30, "local task id")


@builtin("get_control_task_id", "n", doc="The id of a control task, 0 to 63.")
def get_control_task_id(cx: Analysis, node: ast.BuiltinCall, hint: T.Type | None) -> Any:
    return number(cx, node, T.CONTROL_TASK_ID, 0, 63, "control task id")


@builtin("get_input_queue", "n", doc="An input queue, 0 to 7.")
def get_input_queue(cx: Analysis, node: ast.BuiltinCall, hint: T.Type | None) -> Any:
    return number(cx, node, T.INPUT_QUEUE, 0, QUEUES[cx.unit.arch][0] - 1, "input queue")


@builtin("get_output_queue", "n", doc="An output queue: 0 to 5 on WSE-2, 0 to 7 on WSE-3.")
def get_output_queue(cx: Analysis, node: ast.BuiltinCall, hint: T.Type | None) -> Any:
    return number(cx, node, T.OUTPUT_QUEUE, 0, QUEUES[cx.unit.arch][1] - 1, "output queue")


@builtin("get_ut_id", "n", arch=("wse3",), doc="A microthread, 0 to 7.")
def get_ut_id(cx: Analysis, node: ast.BuiltinCall, hint: T.Type | None) -> Any:
    return number(cx, node, T.UT_ID, 0, 7, "microthread")


@builtin(
    "get_data_task_id",
    "color_or_queue",
    doc="The id of a data task: from a color on WSE-2, from an input queue on WSE-3.",
)
def get_data_task_id(cx: Analysis, node: ast.BuiltinCall, hint: T.Type | None) -> Any:
    value = cx.rv(node.args[0])
    want = T.COLOR if cx.unit.arch == "wse2" else T.INPUT_QUEUE
    if value.ty is not want:
        cx.fail(
            "MS0301",
            f"on {cx.unit.arch} a data task id comes from a value of type {want}, found {value.ty}",
            node.args[0],
            'choose with @is_arch("wse2") and @is_arch("wse3")',
        )
    return Known(T.DATA_TASK_ID, value.v) if isinstance(value, Known) else Reg(T.DATA_TASK_ID, value.reg)


# ---------------------------------------------------------------- binding


def _bind(kind: str, id_type: T.Type):
    @builtin(f"bind_{kind}_task", "task, id", phase="top", doc=f"Bind a task to a {kind} task id.")
    def bind(cx: Analysis, node: ast.BuiltinCall, hint: T.Type | None) -> Any:
        task, id_ = task_arg(cx, node), cx.known(node.args[1])
        if id_.ty is not id_type:
            cx.fail("MS0301", f"@bind_{kind}_task takes a {id_type}, found {id_.ty}", node.args[1])
        bind_task(cx, node, kind, task, id_.v)
        return VOID


def task_arg(cx: Analysis, node) -> FnValue:
    task = cx.known(node.args[0])
    if not isinstance(task.v, FnValue) or not task.v.decl.is_task:
        cx.fail("MS0401", f"@{node.name} takes a task", node.args[0], "declare it with 'task' in place of 'fn'")
    return task.v


@builtin("bind_task", "task, id", phase="top", doc="Bind a task to an id, or to a color as before SDK 1.0 (WSE-2).")
def bind_any_task(cx: Analysis, node: ast.BuiltinCall, hint: T.Type | None) -> Any:
    """Colors and task ids were one thing then: a task that takes a wavelet was a data task, any other a local task."""
    fn, id_ = task_arg(cx, node), cx.known(node.args[1])
    kinds: dict[T.Type, str] = {
        T.LOCAL_TASK_ID: "local",
        T.DATA_TASK_ID: "data",
        T.CONTROL_TASK_ID: "control",
        T.COLOR: "data" if fn.decl.params else "local",
    }
    kind = kinds.get(id_.ty)
    if kind is None:
        cx.fail("MS0301", f"@bind_task takes a task id or a color, found {id_.ty}", node.args[1])
    modern = f"@bind_{kind}_task"
    if id_.ty is T.COLOR and cx.unit.arch != "wse2":
        cx.fail(
            "MS0520",
            f"@bind_task to a color: colors are no task ids on {cx.unit.arch}",
            node,
            f"use {modern} with {'@get_data_task_id(queue)' if kind == 'data' else '@get_local_task_id(n)'}",
        )
    cx.warn(
        "MS0520",
        f"@bind_task is an old form: this is {modern}",
        node,
        f"write {modern}(task, @get_{kind}_task_id({'color' if kind == 'data' else 'n'}))"
        if id_.ty is T.COLOR
        else f"write {modern}",
    )
    bind_task(cx, node, kind, fn, id_.v)
    return VOID


def bind_task(cx: Analysis, node, kind: str, fn: FnValue, number: int) -> None:
    unit = cx.unit
    decl = fn.decl
    if kind == "local" and decl.params:
        cx.fail(
            "MS0403",
            f"'{decl.name}' is bound as a local task, so it takes no arguments",
            node,
            "leave its parameters out; a task that gets wavelets is bound with @bind_data_task",
            labels=[(decl.name_span, "defined here")],
        )
    if kind == "data" and not decl.params:
        cx.fail(
            "MS0403",
            f"'{decl.name}' is bound as a data task, so it takes the wavelet: one or two arguments",
            node,
            f"write task {decl.name}(data: f32) void, with the type of what is sent",
            labels=[(decl.name_span, "defined here")],
        )
    key = number + CONTROL_TABLE if kind == "control" and unit.control_table is not None else number
    first = unit.bound.get(key)
    if first is not None:
        cx.fail(
            "MS0405",
            f"task id {number} is bound twice: to '{first.fn.decl.name}' and to '{fn.decl.name}'",
            node,
            "choose another id"
            if unit.control_table is not None
            else "data, local and control tasks share one table of ids; choose another id"
            + (
                ", or give control tasks their own: @set_control_task_table()"
                if unit.arch == "wse3" and "control" in (kind, first.kind)
                else ""
            ),
            labels=[(first.span, "first bound here")],
        )
    again = next(
        (b for b in unit.bound.values() if b.fn.decl is fn.decl and b.fn.module is fn.module and b.kind != kind), None
    )
    if again is not None:
        cx.fail(
            "MS0405",
            f"'{fn.decl.name}' is bound both as {again.kind} and as {kind} task",
            node,
            labels=[(again.span, "first bound here")],
        )
    inst = unit.plain_instance(fn)
    bits = 0
    for (name, t), p in zip(inst.params, fn.decl.params, strict=True):
        if t.size not in (2, 4) or t.ty is None or isinstance(t, (T.PtrType, T.DsdType)):
            cx.fail(
                "MS0403",
                f"parameter '{name}' of task '{fn.decl.name}' has the type {t}: a wavelet carries 16-bit and 32-bit numbers",
                p,
            )
        bits += 8 * t.size
    if bits > 32:
        cx.fail(
            "MS0403", f"the parameters of task '{fn.decl.name}' take {bits} bits, a wavelet has 32", fn.decl.name_span
        )
    if inst.ret is not T.VOID:
        cx.fail("MS0403", f"task '{fn.decl.name}' returns {inst.ret}: a task returns void", fn.decl.name_span)
    unit.bound[key] = Bound(number, kind, fn, node.span)


@builtin(
    "bind_rotating_tasks",
    "main, alt, id, config",
    phase="top",
    arch=("wse3",),
    doc="Bind a data task, and the task that takes its place once in `limit` + 1 starts.",
)
def bind_rotating_tasks(cx: Analysis, node: ast.BuiltinCall, hint: T.Type | None) -> Any:
    """The alternate is control task 0. What the machine needs of a pair beside the two tasks is in `Unit.rotating`."""
    unit = cx.unit
    main, id_ = task_arg(cx, node), cx.known(node.args[2])
    alt = cx.known(node.args[1]).v
    if not isinstance(alt, FnValue) or not alt.decl.is_task:
        cx.fail("MS0401", f"@{node.name} takes two tasks", node.args[1], "declare it with 'task' in place of 'fn'")
    if id_.ty is not T.DATA_TASK_ID:
        cx.fail(
            "MS0301",
            f"@{node.name} takes a data_task_id, found {id_.ty}",
            node.args[2],
            "write @get_data_task_id(queue)",
        )
    cfg = config(cx, node.args[3], {"init": "", "limit": ""}, "the configuration of rotating tasks")
    for name in ("init", "limit"):
        if name not in cfg:
            cx.fail("MS0440", f"rotating tasks need '{name}'", node.args[3], "write .{ .init = 0, .limit = n }")
        value = cfg[name]
        if not isinstance(value, Known) or not T.is_int(value.ty) or not 0 <= value.v <= 0xFFFF:
            found = value.v if isinstance(value, Known) and T.is_int(value.ty) else value.ty
            cx.fail(
                "MS0440",
                f"'{name}' of rotating tasks is a number from 0 to 65535 known at compile time, found {found}",
                node.args[3],
            )
    init, limit = cfg["init"].v, cfg["limit"].v
    if init > limit:
        cx.fail("MS0440", f"the counter of rotating tasks starts at {init}, past its limit {limit}", node.args[3])
    if len(unit.rotating) == ROTATING_PAIRS:
        cx.fail(
            "MS0440",
            f"there are counters for {ROTATING_PAIRS} pairs of rotating tasks",
            node,
            labels=[(span, "bound here") for *_, span in unit.rotating],
        )
    bind_task(cx, node, "data", main, id_.v)
    first = unit.bound.get(CONTROL_TABLE if unit.control_table is not None else 0)
    shared = (
        first is not None and first.kind == "control" and first.fn.decl is alt.decl and first.fn.module is alt.module
    )
    if unit.rotating and not shared:
        assert first is not None  # the alternate of the other pair
        cx.fail(
            "MS0440",
            f"'{alt.decl.name}' cannot be the alternate: it would be control task 0, which is '{first.fn.decl.name}'",
            node.args[1],
            "give both pairs the same alternate",
            labels=[(first.span, "bound here")],
        )
    if not shared:
        bind_task(cx, node, "control", alt, 0)
    unit.rotating.append((id_.v, init, limit, node.span))
    return VOID


_bind("data", T.DATA_TASK_ID)
_bind("local", T.LOCAL_TASK_ID)
_bind("control", T.CONTROL_TASK_ID)


@builtin("rpc", "id", phase="top", doc="The RPC server of old programs; memcpy has its own, so this does nothing.")
def rpc(cx: Analysis, node: ast.BuiltinCall, hint: T.Type | None) -> Any:
    cx.rv(node.args[0])
    return VOID


# ---------------------------------------------------------------- state


@builtin("activate", "id", doc="Make a local task ready to run.")
def activate(cx: Analysis, node: ast.BuiltinCall, hint: T.Type | None) -> Any:
    value = cx.rv(node.args[0])
    if isinstance(value, Known) and isinstance(value.v, FnValue):
        value = Known(T.LOCAL_TASK_ID, action_target(cx, value, node.args[0]))
    if value.ty is T.COLOR and cx.unit.arch == "wse2":  # before SDK 1.0 colors were task ids
        value = Known(T.LOCAL_TASK_ID, value.v) if isinstance(value, Known) else Reg(T.LOCAL_TASK_ID, value.reg)
    if value.ty is not T.LOCAL_TASK_ID:
        cx.fail(
            "MS0406",
            f"@activate takes a local_task_id, found {value.ty}",
            node.args[0],
            "data and control tasks are started by wavelets",
        )
    if cx.fb is None:
        need_top(cx, node)
        number = cx.known(node.args[0]).v if not isinstance(value, Known) else value.v
        cx.unit.active |= 1 << number
        cx.unit.hooks.append(lambda: check_bound(cx, number, node))
        return VOID
    if isinstance(value, Known):
        cx.unit.hooks.append(lambda: check_bound(cx, value.v, node))
    cx.emit(node, Op.ACTIVATE, cx.to_reg(value, node))
    return VOID


def check_bound(cx: Analysis, number: int, node) -> None:
    """Activated ids must be bound to a local task by the end of the program's comptime blocks."""
    bound = cx.unit.bound.get(number)
    if bound is None or bound.kind != "local":
        what = (
            "is not bound to a task" if bound is None else f"is bound to the {bound.kind} task '{bound.fn.decl.name}'"
        )
        cx.unit.error(
            "MS0406",
            f"local task id {number} is activated, but it {what}",
            node.span,
            help="bind a task to it: @bind_local_task(task, id)",
        )


def need_top(cx: Analysis, node) -> None:
    if not cx.top_level:
        cx.fail("MS0211", f"@{node.name} can be used in top-level comptime blocks and at run time only", node)


def channel(cx, node):
    """The operand of @block and @unblock: a task id, or the channel (color on WSE-2, input queue on WSE-3)."""
    value = cx.rv(node.args[0])
    if isinstance(value, Known) and isinstance(value.v, FnValue):
        value = Known(T.LOCAL_TASK_ID, action_target(cx, value, node.args[0]))
    ids = (T.LOCAL_TASK_ID, T.DATA_TASK_ID, T.CONTROL_TASK_ID, T.COLOR if cx.unit.arch == "wse2" else T.INPUT_QUEUE)
    if value.ty is T.UT_ID and cx.unit.arch == "wse3":
        return value, True
    if value.ty not in ids:
        cx.fail(
            "MS0301", f"@{node.name} takes a task id or, on {cx.unit.arch}, a {ids[3]}; found {value.ty}", node.args[0]
        )
    return value, False


def _block(name: str, blocked: bool):
    @builtin(
        name,
        "id",
        doc=f"{'Keep' if blocked else 'Allow'} the tasks of an id {'from starting' if blocked else 'to start again'}.",
    )
    def block(cx: Analysis, node: ast.BuiltinCall, hint: T.Type | None) -> Any:
        value, ut = channel(cx, node)
        if cx.fb is None:
            need_top(cx, node)
            if ut:
                bit = 1 << value.v
                cx.unit.ut_blocked = cx.unit.ut_blocked | bit if blocked else cx.unit.ut_blocked & ~bit
            else:
                cx.unit.blocks.append((value.v, blocked))
            return VOID
        op = (Op.UTBLOCK if blocked else Op.UTUNBLOCK) if ut else (Op.BLOCK if blocked else Op.UNBLOCK)
        cx.emit(node, op, cx.to_reg(value, node))
        return VOID


_block("block", True)
_block("unblock", False)


def action_target(cx: Analysis, value, node) -> int:
    """The id of a task that is named directly (`.activate = task`)."""
    found = cx.unit.task_id(value.v)
    if found is None:
        cx.fail(
            "MS0406", f"'{value.v.decl.name}' is not bound to a task id", node, "bind it: @bind_local_task(task, id)"
        )
    return found


# ---------------------------------------------------------------- queues


@builtin("initialize_queue", "queue[, config]", phase="top", doc="Bind a queue to its color.")
def initialize_queue(cx: Analysis, node: ast.BuiltinCall, hint: T.Type | None) -> Any:
    unit = cx.unit
    queue = cx.known(node.args[0])
    if queue.ty not in (T.INPUT_QUEUE, T.OUTPUT_QUEUE):
        cx.fail("MS0301", f"@initialize_queue takes a queue, found {queue.ty}", node.args[0])
    is_input = queue.ty is T.INPUT_QUEUE
    fields = {"color": "", "priority": "", "ctrl_table_id": ""}
    cfg = config(cx, node.args[1], fields, "the queue configuration") if len(node.args) > 1 else {}
    color = None
    if "color" in cfg:
        value = cfg["color"]
        if not isinstance(value, Known) or value.ty is not T.COLOR:
            cx.fail(
                "MS0301",
                f"'color' must be a color known at compile time, found {value.ty}",
                node.args[1],
                "use @get_color(n)",
            )
        color = value.v
    elif unit.arch == "wse3" or is_input:
        cx.fail(
            "MS0409",
            f"{'input' if is_input else 'output'} queue {queue.v} needs a color on {unit.arch}",
            node,
            "write @initialize_queue(queue, .{ .color = c })",
        )
    if "priority" in cfg and unit.arch == "wse3":
        cx.fail("MS0409", "queues have no priority on wse3", node.args[1], "give the priority in the DSD")
    states = unit.inputs if is_input else unit.outputs
    first = states.get(queue.v)
    if first is not None and not first.automatic:
        cx.fail(
            "MS0410",
            f"{'input' if is_input else 'output'} queue {queue.v} is initialised twice",
            node,
            labels=[(first.span, "first initialised here")],
        )
    if is_input and color is not None:
        other = next((q for q, s in states.items() if s.color == color and q != queue.v and not s.automatic), None)
        if other is not None:
            cx.fail(
                "MS0410",
                f"color {color} is bound to input queues {other} and {queue.v}",
                node,
                labels=[(states[other].span, "first bound here")],
            )
    if "ctrl_table_id" in cfg and cfg["ctrl_table_id"].v != 0:
        cx.fail("MS0415", f"there is one control task table, 0: found {cfg['ctrl_table_id'].v}", node.args[1])
    priority = next((n for n, v in cfg["priority"].v.items() if v.v), "") if "priority" in cfg else ""
    states[queue.v] = QueueState(color, priority, node.span)
    return VOID


@builtin(
    "set_control_task_table",
    "[config]",
    phase="top",
    arch=("wse3",),
    doc="Give control tasks a table of ids of their own.",
)
def set_control_task_table(cx: Analysis, node: ast.BuiltinCall, hint: T.Type | None) -> Any:
    """One table for all queues. How many instructions an entry has, and how far apart they are, has no effect here."""
    unit = cx.unit
    cfg = config(cx, node.args[0], {"instructions": "", "stride": ""}, "the control task table") if node.args else {}
    for name, allowed in (("instructions", (2, 4, 8)), ("stride", range(1, 8))):
        if name in cfg and cfg[name].v not in allowed:
            cx.fail(
                "MS0415",
                f"'{name}' of a control task table is one of {', '.join(map(str, allowed))}, found {cfg[name].v}",
                node.args[0],
            )
    if unit.control_table is not None:
        cx.fail("MS0415", "the control task table is set twice", node, labels=[(unit.control_table, "first set here")])
    early = next((b for b in unit.bound.values() if b.kind == "control"), None)
    if early is not None:
        cx.fail(
            "MS0415",
            "the control task table is set after a control task is bound",
            node,
            "set it before",
            labels=[(early.span, "bound here")],
        )
    unit.control_table = node.span
    return VOID
