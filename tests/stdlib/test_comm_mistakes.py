"""What is wrong between modules: colors and queues given twice, wrong types, missing arguments. Each is an error that
names numbers."""

from __future__ import annotations

import numpy as np
import pytest

import meshlang
from meshlang import placement

LAYOUT = """
const memcpy = @import_module("<memcpy/get_params>", .{ .width = 3, .height = 2 });
const c = [7]color{ @get_color(0), @get_color(1), @get_color(2), @get_color(3), @get_color(4), @get_color(5), @get_color(6) };
%(modules)s
layout {
  @set_rectangle(3, 2);
  for (@range(i16, 2)) |y| {
    for (@range(i16, 3)) |x| {
      @set_tile_code(x, y, "pe.csl", .{ .memcpy_params = memcpy.get_params(0), .first = first.get_params(x), .second = %(second)s });
%(routes)s
    }
  }
  @export_name("run", fn()void);
}
"""

PE = """
param memcpy_params;
param first;
param second;
const sys = @import_module("<memcpy/memcpy>", memcpy_params);
var v: [8]%(type)s;
var v_ptr: [*]%(type)s = &v;
fn finished() void { sys.unblock_cmd_stream(); }
%(modules)s
fn run() void {
%(run)s
}
comptime { @export_symbol(run); }
"""

TREES = """
const first = @import_module("<comm/ktree_layout>", .{ .N = 3, .K = 1, .colors = [3]color{ c[0], c[1], c[2] } });
const second = @import_module("<comm/ktree_layout>", .{ .N = 2, .K = 1, .colors = [3]color{ c[%d], c[4], c[5] } });
"""
TREE_ROUTES = """
      first.set_routes(x, y, x, true);
      second.set_routes(x, y, y, false);
"""
TREE_PES = """
const up = @import_module("<comm/ktree_pe>", .{ .role = first, .in_queues = [2]input_queue{ @get_input_queue(2), @get_input_queue(3) },
  .out_queues = [1]output_queue{ @get_output_queue(2) }%(task)s });
const down = @import_module("<comm/ktree_pe>", .{ .role = second, .in_queues = [2]input_queue{ @get_input_queue(%(in)d), @get_input_queue(5) },
  .out_queues = [1]output_queue{ @get_output_queue(%(out)d) }%(task)s });
"""


def errors(folder, layout: str, pe: str, arch: str = "wse3"):
    (folder / "layout.csl").write_text(layout)
    (folder / "pe.csl").write_text(pe)
    with pytest.raises(meshlang.MeshlangError) as found:
        meshlang.compile(folder / "layout.csl", arch=arch)
    return found.value.diagnostics


def trees(
    color=3,
    in_queue=4,
    out_queue=3,
    task="",
    type_="f16",
    run="  up.sum(f16, v_ptr, 8);\n  down.sum(f16, v_ptr, 8);\n  finished();",
):
    return (
        LAYOUT % {"modules": TREES % color, "second": "second.get_params(y)", "routes": TREE_ROUTES},
        PE % {"modules": TREE_PES % {"in": in_queue, "out": out_queue, "task": task}, "type": type_, "run": run},
    )


def test_without_mistakes(tmp_path):
    for name, text in zip(("layout.csl", "pe.csl"), trees(), strict=True):
        (tmp_path / name).write_text(text)
    for arch in ("wse2", "wse3"):
        with meshlang.compile(tmp_path / "layout.csl", arch=arch).start() as fabric:
            fabric.launch("run")


@pytest.mark.parametrize("arch", ["wse2", "wse3"])
def test_the_same_color_twice(tmp_path, arch):
    found = errors(tmp_path, *trees(color=0), arch=arch)
    assert any("color 0" in d.message and "PE" in d.message for d in found), [d.message for d in found]


@pytest.mark.parametrize("arch", ["wse2", "wse3"])
def test_the_same_queue_twice(tmp_path, arch):
    found = errors(tmp_path, *trees(in_queue=2), arch=arch)
    assert "MS0410" in {d.code for d in found} and any("input queue 2 is initialised twice" in d.message for d in found)
    found = errors(tmp_path, *trees(out_queue=2), arch=arch)
    assert "MS0410" in {d.code for d in found} and any(
        "output queue 2 is initialised twice" in d.message for d in found
    )


def test_the_same_task_twice(tmp_path):
    task = ", .task_id = @get_local_task_id(12), .done = finished"
    found = errors(tmp_path, *trees(task=task, run="  up.start_sum(f16, v_ptr, 8);\n  down.start_sum(f16, v_ptr, 8);"))
    assert any("12" in d.message for d in found), [d.message for d in found]


def test_asynchronous_without_a_task(tmp_path):
    found = errors(tmp_path, *trees(run="  up.start_sum(f16, v_ptr, 8);"))
    assert any("need task_id and done" in d.message for d in found)


def test_wrong_types(tmp_path):
    found = errors(tmp_path, *trees(type_="i16", run="  up.sum(i16, v_ptr, 8);"))
    assert any("moves f16 or f32" in d.message for d in found)
    found = errors(tmp_path, *trees(type_="f32", run="  up.sum(f16, v_ptr, 8);"))
    assert any("f16" in d.message and "f32" in d.message for d in found), [d.message for d in found]


MODULES = {  # layout module and arguments; PE module and arguments; what the message says of T = i16
    "reduce": (
        ".N = 3, .colors = [2]color{ c[0], c[1] }",
        "reduce",
        "T = i16, .n = 4, .in_queues = [2]input_queue{ q2, q3 }, .out_queue = out",
        "works on f16 or f32",
    ),
    "broadcast": (
        ".N = 3, .line_color = c[0]",
        "broadcast",
        "T = i16, .n = 4, .in_queue = q2, .out_queue = out",
        "moves f16 or f32",
    ),
    "shift": (
        ".N = 3, .colors = [3]color{ c[0], c[1], c[2] }",
        "shift",
        "T = i16, .n = 4, .in_queue = q2, .out_queue = out, .done = id",
        "moves f16 or f32",
    ),
    "star": (
        ".N = 3, .colors = [2]color{ c[0], c[1] }",
        "star",
        "T = i16, .n = 4, .in_queues = [2]input_queue{ q2, q3 }, .out_queue = out",
        "f16 or f32",
    ),
    "ring": (
        ".N = 3, .colors = [3]color{ c[0], c[1], c[2] }",
        "ring",
        "T = i16, .N = 3, .part = 4, .in_queue = q2, .out_queue = out, .task_id = id, .done = finished",
        "f16 or f32",
    ),
}


@pytest.mark.parametrize("name", sorted(MODULES))
def test_modules_refuse_integers(tmp_path, name):
    layout_args, pe_name, pe_args, message = MODULES[name]
    layout_name = "shift" if name == "ring" else name
    entry = {
        "reduce": "lib.reduce(v_ptr);",
        "broadcast": "lib.broadcast(v_ptr);",
        "shift": "lib.start(v_ptr, v_ptr);",
        "star": "lib.reduce(v_ptr);",
        "ring": "lib.start(0, v_ptr);",
    }[name]
    modules = f"""
const q2 = @get_input_queue(2);
const q3 = @get_input_queue(3);
const out = @get_output_queue(4);
const id = @get_local_task_id(12);
const lib = @import_module("<comm/{pe_name}_pe>", .{{ .role = first, .{pe_args} }});
"""
    layout = LAYOUT % {
        "modules": f'const first = @import_module("<comm/{layout_name}_layout>", .{{ {layout_args} }});',
        "second": "0",
        "routes": "",
    }
    found = errors(tmp_path, layout, PE % {"modules": modules, "type": "i16", "run": f"  {entry}"})
    assert any(message in d.message for d in found), [d.message for d in found]


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: placement.rectangle_a(np.zeros((0, 3)), 2, 2), "non-empty array of 2 dimensions"),
        (lambda: placement.rectangle_b(np.zeros(3), 2, 2), "non-empty array of 2 dimensions"),
        (lambda: placement.row_panels(np.zeros((2, 2, 2)), 2, 2), "non-empty array of 2 dimensions"),
        (lambda: placement.from_column_panels(np.zeros((2, 3, 5)), (4, 6)), "5 elements on each PE are no 2 panels"),
        (lambda: placement.from_column_panels(np.zeros((2, 3, 8)), (4, 6)), "do not make a 4 x 6 matrix"),
        (lambda: placement.untransposed(np.zeros((2, 3, 5)), (4, 6)), "do not make a 4 x 6 matrix"),
        (lambda: placement.rectangle_a(np.zeros((4, 4)), 1, 4), "a ring needs at least 2 places"),
    ],
)
def test_shapes_that_cannot_be_placed(call, message):
    with pytest.raises(meshlang.MeshlangError) as found:
        call()
    assert found.value.diagnostics[0].code == "MS0911" and message in found.value.diagnostics[0].message
