"""Builtins on FIFOs: queues in PE memory that vector operations push to and pop from."""

from __future__ import annotations

from typing import Any

from ..ir.isa import Op, Sys
from ..ir.words import FIFO_FAULT, FIFO_SUSPEND, FIFO_TERMINATE, FIFO_TEST, FifoActions, FifoRow
from ..sema.model import types as T
from ..sema.model.dsd_rules import RULES
from ..sema.model.protocol import Analysis
from ..sema.model.values import VOID, Dsd, FnValue, Known, Mem, Pointer
from ..syntax import ast
from .dsd import PRIORITY, choice, integer
from .registry import builtin, config
from .tasks import action_target, check_bound

MIN_ALIGNMENT = 16  # bytes; <tile_config>.FIFO_MIN_ALIGNMENT
ACTIONS = {"test_or_suspend": FIFO_TEST, "terminate": FIFO_TERMINATE, "suspend": FIFO_SUSPEND, "fault": FIFO_FAULT}
FIELDS = dict.fromkeys(
    ("activate_push", "activate_pop", "priority", "simd_mode", "dest", "src", "xdsr", "empty_action", "full_action"), ""
)


@builtin("allocate_fifo", "buffer[, config]", phase="global", doc="A FIFO over a global array.")
def allocate_fifo(cx: Analysis, node: ast.BuiltinCall, hint: T.Type | None) -> Any:
    unit = cx.unit
    place: Any = cx.ev(node.args[0])
    if isinstance(place, Known) and isinstance(place.v, Pointer):
        assert isinstance(place.ty, T.PtrType)
        place = Mem(place.ty.elem, 0, place.v.offset, place.ty.const, place.v.var)
    t = place.ty
    if (
        not isinstance(place, Mem)
        or not isinstance(t, T.ArrayType)
        or place.const
        or t.elem.size not in (2, 4)
        or not T.is_numeric(t.elem)
    ):
        cx.fail("MS0516", "@allocate_fifo takes a global 'var' array of 16-bit or 32-bit numbers", node.args[0])
    if place.var.align and place.var.align < MIN_ALIGNMENT:
        cx.fail(
            "MS0516",
            f"a FIFO buffer needs align({MIN_ALIGNMENT}) or more, found align({place.var.align})",
            node.args[0],
        )
    place.var.align = max(place.var.align, MIN_ALIGNMENT)
    cfg = config(cx, node.args[1], FIELDS, "the FIFO configuration") if len(node.args) > 1 else {}
    actions = 0
    for n, field in (("empty_action", FifoActions.empty), ("full_action", FifoActions.full)):
        if n in cfg:
            found = choice(cx, node.args[1], cfg[n], ACTIONS, n)
            if found >= FIFO_SUSPEND and unit.arch == "wse2":
                cx.fail("MS0516", f"'{n}' can be test_or_suspend or terminate on wse2", node.args[1])
            actions = field.put(found, actions)
    row = FifoRow.make(
        base=unit.address_of(place.var) + place.offset,
        capacity=t.count,
        size=t.elem.size,
        push=-1,
        pop=-1,
        prio=choice(cx, node.args[1], cfg["priority"], PRIORITY, "priority") if "priority" in cfg else 0,
        actions=actions,
    )
    number = len(unit.fifos)
    unit.fifos.append(row)
    dsd = Dsd("fifo", queue=number, elem=t.elem.size)
    own_registers(cx, node, cfg, dsd)
    for column, name in ((FifoRow.push, "activate_push"), (FifoRow.pop, "activate_pop")):
        value = cfg.get(name)
        if value is not None:
            # a task may be named before it is bound: the id is filled in when the comptime blocks have run
            unit.hooks.append(lambda column=column, value=value: fill(cx, row, column, value, node))
    return Known(T.FIFO, dsd)


def own_registers(cx, node, cfg: dict[str, Any], fifo: Dsd) -> None:
    """The DSRs that a program chooses for a FIFO: all three or none, the same number on both sides (facts 6.9)."""
    given = [n for n in ("dest", "src", "xdsr") if n in cfg]
    if not given:
        return
    if len(given) < 3:
        cx.fail("MS0516", "'dest', 'src' and 'xdsr' of a FIFO are given together or not at all", node.args[1])
    dest, src, xdsr = (cfg[n] for n in given)
    for name, value, want in (("dest", dest, T.DSR_DEST), ("src", src, T.DSR_SRC1), ("xdsr", xdsr, T.XDSR)):
        if value.ty is not want or not isinstance(value, Known):
            cx.fail("MS0301", f"'{name}' of a FIFO must be a {want}, found {value.ty}", node.args[1])
    if dest.v != src.v:
        cx.fail("MS0516", f"'dest' and 'src' of a FIFO need the same number, found {dest.v} and {src.v}", node.args[1])
    cx.unit.fifo_dsrs["dest", dest.v] = cx.unit.fifo_dsrs["src1", src.v] = fifo


def fill(cx: Analysis, row: list[int], column: int, value: Known, node) -> None:
    if isinstance(value.v, FnValue):
        row[column] = action_target(cx, value, node)
    elif value.ty is T.LOCAL_TASK_ID:
        row[column] = value.v
        check_bound(cx, value.v, node)
    else:
        cx.fail("MS0301", f"a FIFO activates a local task, found {value.ty}", node)


def _set_length(name: str, fn: Sys):
    @builtin(name, "fifo, n", phase="run", doc="The number of elements the FIFO takes part with in an operation.")
    def set_length(cx: Analysis, node: ast.BuiltinCall, hint: T.Type | None) -> Any:
        fifo = cx.known(node.args[0])
        if fifo.ty is not T.FIFO:
            cx.fail("MS0301", f"@{name} takes a FIFO, found {fifo.ty}", node.args[0])
        n = integer(cx, node.args[1], cx.rv(node.args[1], T.U16), RULES[f"@{name}", "n"])
        r = cx.builder.reg()
        if isinstance(n, int):
            cx.builder.constant(fifo.v.queue | n << 16, r)
        else:
            cx.emit(node, Op.MULI, r, n.reg, 1 << 16)
            cx.emit(node, Op.ADDI, r, r, fifo.v.queue)
        cx.emit(node, Op.SYS, cx.builder.reg(), r, fn)
        return VOID


_set_length("set_fifo_read_length", Sys.FIFO_READ_LENGTH)
_set_length("set_fifo_write_length", Sys.FIFO_WRITE_LENGTH)
