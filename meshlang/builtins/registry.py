"""The registry of builtins and the checks they share: argument count, phase, architecture."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..diag import did_you_mean
from ..sema.model import types as T
from ..sema.model.protocol import Analysis
from ..sema.model.together import Apart
from ..sema.model.values import Known

BUILTINS: dict[str, Builtin] = {}

PHASES = {
    "any": "",
    "comptime": "at compile time",
    "global": "to initialise a global const",
    "layout": "in the layout block",
    "top": "in a top-level comptime block of a PE's file",
    "run": "at run time, in a function or task",
}


# Builtins that give a value and do nothing else, whatever happened before: a comptime call that uses no others is
# evaluated once for equal arguments. One that is missing here costs time only.
PURE = frozenset(
    """
    as bitcast ptrcast type_of is_same_type fp16 zeros constants rank dimensions element_count element_type field has_field concat_structs
    range range_start range_stop range_step strcat strlen get_array get_string_from_byte is_arch is_comptime comptime_assert get_int
    get_color get_local_task_id get_control_task_id get_data_task_id get_input_queue get_output_queue get_ut_id __math __direction
""".split()
)


# Builtins besides those that may stand in a layout loop which is evaluated for all rounds at once.
TOGETHER = frozenset(("set_tile_code", "set_color_config", "get_rectangle"))


@dataclass(slots=True)
class Builtin:
    name: str
    args: str  # "T, value[, config]"
    least: int
    most: int
    phase: str
    arch: tuple[str, ...]
    doc: str
    fn: Callable[[Any, Any, Any], Any]
    pure: bool

    def call(self, cx: Analysis, node: Any, hint: Any) -> Any:
        n = len(node.args)
        if not self.least <= n <= self.most:
            want = str(self.least) if self.least == self.most else f"{self.least} to {self.most}"
            cx.fail(
                "MS0210",
                f"@{self.name} takes {want} argument{'s' * (want != '1')}, found {n}",
                node,
                f"the form is @{self.name}({self.args})",
            )
        if (
            self.phase == "layout"
            and not cx.in_layout
            or self.phase == "top"
            and (cx.fb is not None or not cx.top_level)
            or self.phase == "global"
            and (cx.fb is not None or not cx.import_name)
            or self.phase == "run"
            and cx.fb is None
        ):
            what = "what this function of a library does" if self.name.startswith("__") else f"@{self.name}"
            cx.fail("MS0211", f"{what} can be used {PHASES[self.phase]} only", node)
        if cx.unit.arch not in self.arch:
            cx.fail(
                "MS0212",
                f"@{self.name} exists on {' and '.join(self.arch)} only, this program is for {cx.unit.arch}",
                node,
            )
        if not self.pure:
            cx.unit.compiler.effects += 1
            if cx.unit.compiler.space is not None and self.name not in TOGETHER:
                raise Apart(f"@{self.name}")
        return self.fn(cx, node, hint)


def builtin(name: str, args: str = "", *, phase: str = "any", arch: tuple[str, ...] = ("wse2", "wse3"), doc: str = ""):
    """Register a builtin. In `args`, what stands in brackets is optional; `...` takes any number."""
    required, _, optional = args.partition("[")
    least = len([a for a in required.split(",") if a.strip() and "..." not in a])
    most = (
        99
        if "..." in args
        else least + len([a for a in optional.replace("]", "").replace("[", ",").split(",") if a.strip()])
    )

    def register(fn):
        BUILTINS[name] = Builtin(
            name, args, least, most, phase, arch, doc or (fn.__doc__ or "").strip(), fn, name in PURE
        )
        return fn

    return register


# ---------------------------------------------------------------- reading arguments


def config(cx: Analysis, node: Any, allowed: dict[str, str], what: str) -> dict[str, Any]:
    """A configuration struct as a dict of values (Known or run-time). Unknown fields are errors."""
    value = cx.rv(node)
    if not isinstance(value.ty, T.StructType):
        cx.fail("MS0301", f"{what} takes a struct, found {value.ty}", node, "write .{ .field = value }")
    if value.ty.tuple and value.ty.fields:
        cx.fail("MS0301", f"{what} takes named fields", node, "write .{ .field = value }")
    for name in value.v:
        if name not in allowed:
            span = next((f.span for f in getattr(node, "fields", []) if f.name == name), node)
            cx.fail(
                "MS0213",
                f"{what} has no field '{name}'",
                span,
                did_you_mean(name, allowed),
                notes=[f"fields: {', '.join(allowed)}"],
            )
    return dict(value.v)


def flag(cx: Analysis, value: Any, node: Any) -> bool:
    if not isinstance(value, Known) or value.ty is not T.BOOL:
        cx.fail("MS0301", "expected a bool known at compile time", node)
    return value.v
