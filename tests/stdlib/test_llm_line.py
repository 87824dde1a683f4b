"""<llm/line_*>: sums and maxima along rows and columns, whole lines and groups, any length; its stated cost."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import meshlang

LAYOUT = """
param W: i16;
param H: i16;
param row_size: i16;
param column_size: i16;
param tree: bool;
param capacity: u16;
const memcpy = @import_module("<memcpy/get_params>", .{ .width = W, .height = H });
const c = [12]color{ @get_color(0), @get_color(1), @get_color(2), @get_color(3), @get_color(4), @get_color(5), @get_color(6),
  @get_color(7), @get_color(8), @get_color(9), @get_color(10), @get_color(11) };
const row = @import_module("<llm/line_layout>", .{ .N = W, .size = row_size, .tree = tree,
  .colors = [6]color{ c[0], c[1], c[2], c[3], c[4], c[5] } });
const column = @import_module("<llm/line_layout>", .{ .N = H, .size = column_size, .tree = tree,
  .colors = [6]color{ c[6], c[7], c[8], c[9], c[10], c[11] } });
layout {
  @set_rectangle(W, H);
  for (@range(i16, H)) |y| {
    for (@range(i16, W)) |x| {
      @set_tile_code(x, y, "pe.csl", .{ .memcpy_params = memcpy.get_params(0), .row_role = row.get_params(x),
        .column_role = column.get_params(y), .capacity = capacity });
      row.set_routes(x, y, x, true);
      column.set_routes(x, y, y, false);
    }
  }
  @export_name("h", [*]f16, true);
  @export_name("s", [*]f32, true);
  @export_name("run", fn(u16, u16, u16)void);
  @export_name("pass", fn(u16)void);
}
"""

PE = """
param memcpy_params;
param row_role;
param column_role;
param capacity: u16;
const sys = @import_module("<memcpy/memcpy>", memcpy_params);
const place = @import_module("<layout>");
const row = @import_module("<llm/line_pe>", .{ .role = row_role,
  .in_queues = [3]input_queue{ @get_input_queue(2), @get_input_queue(3), @get_input_queue(4) },
  .out_queues = [3]output_queue{ @get_output_queue(2), @get_output_queue(4), @get_output_queue(5) } });
const column = @import_module("<llm/line_pe>", .{ .role = column_role,
  .in_queues = [3]input_queue{ @get_input_queue(5), @get_input_queue(6), @get_input_queue(7) },
  .out_queues = if (@is_arch("wse3")) [3]output_queue{ @get_output_queue(3), @get_output_queue(6), @get_output_queue(7) }
    else [3]output_queue{ @get_output_queue(3), @get_output_queue(4), @get_output_queue(5) } });
var h: [capacity]f16;
var h_ptr: [*]f16 = &h;
var s: [capacity]f32;
var s_ptr: [*]f32 = &s;

inline fn one(line: anytype, what: u16, n: u16) void {
  if (what == 0) { line.sum(f16, h_ptr, n); line.sum(f32, s_ptr, n); }
  else if (what == 1) { line.maximum(f16, h_ptr, n); line.maximum(f32, s_ptr, n); }
  else { line.group_sum(f16, h_ptr, n); line.group_sum(f32, s_ptr, n); }
}
// what: sum, maximum, sum of the group
fn run(along_rows: u16, what: u16, n: u16) void {
  if (along_rows != 0) { one(row, what, n); } else { one(column, what, n); }
  sys.unblock_cmd_stream();
}
// Rows from `limit` on pass their first element to the row above.
fn pass(limit: u16) void {
  const y = place.get_y_coord();
  column.pass_inward(f32, y > limit, y >= limit and !last, s_ptr, @ptrcast([*]f32, &s[1]), 1);
  sys.unblock_cmd_stream();
}
const last = !column_role.more;
comptime {
  @export_symbol(h_ptr, "h");
  @export_symbol(s_ptr, "s");
  @export_symbol(run);
  @export_symbol(pass);
}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("llm_line")
    (root / "layout.csl").write_text(LAYOUT)
    (root / "pe.csl").write_text(PE)
    return root


def build(folder, W, H, row_size, column_size, tree, arch, capacity=40):
    return meshlang.compile(
        folder / "layout.csl",
        arch=arch,
        params={"W": W, "H": H, "row_size": row_size, "column_size": column_size, "tree": tree, "capacity": capacity},
    )


@settings(max_examples=15, deadline=None)
@given(
    W=st.integers(1, 9),
    H=st.integers(1, 9),
    sizes=st.tuples(st.floats(0, 1), st.floats(0, 1)),
    tree=st.booleans(),
    arch=st.sampled_from(["wse2", "wse3"]),
    calls=st.lists(st.tuples(st.booleans(), st.integers(0, 2), st.integers(1, 39)), min_size=1, max_size=6),
)
@example(16, 16, (0.2, 0.4), True, "wse3", [(True, 0, 9), (False, 1, 39), (True, 2, 4)])
@example(16, 7, (0.2, 0.4), False, "wse2", [(True, 0, 9), (False, 1, 39), (True, 2, 4)])
def test_against_numpy(folder, W, H, sizes, tree, arch, calls):
    size = [1 + round(f * (n - 1)) for f, n in zip(sizes, (W, H), strict=True)]
    rng = np.random.default_rng(W * H)
    with build(folder, W, H, *size, tree, arch).start() as fabric:
        for rows, what, n in calls:
            data = rng.integers(-20, 21, (H, W, 40)).astype(np.float32)  # integers: exact in any order
            fabric.write("h", data.astype(np.float16))
            fabric.write("s", data)
            fabric.launch("run", int(rows), what, n)
            want = data.copy()
            axis, step = (1, size[0]) if rows else (0, size[1])
            length = data.shape[axis]
            for first in range(0, length, step if what == 2 else length):
                part = np.take(data, range(first, min(first + step, length) if what == 2 else length), axis)[..., :n]
                value = part.max(axis) if what == 1 else part.sum(axis)
                where = slice(first, first + step if what == 2 else length)
                if rows:
                    want[:, where, :n] = value[:, None]
                else:
                    want[where, :, :n] = value[None]
            assert np.array_equal(fabric.read("s"), want)
            assert np.array_equal(fabric.read("h"), want.astype(np.float16))


@pytest.mark.parametrize("arch", ["wse2", "wse3"])
@pytest.mark.parametrize("tree", [False, True])
def test_pass_inward(folder, tree, arch):
    H = 7
    for limit in range(H):
        data = np.arange(H * 2 * 40, dtype=np.float32).reshape(H, 2, 40)
        with build(folder, 2, H, 1, 3, tree, arch).start() as fabric:
            fabric.write("s", data)
            fabric.launch("pass", limit)
            got = fabric.read("s")
        want = data.copy()
        want[limit:-1, :, 1] = data[limit + 1 :, :, 0]
        assert np.array_equal(got, want)


def test_stated_cost(folder):
    for tree, colors, inputs in ((True, 12, 6), (False, 8, 4)):
        program = build(folder, 9, 16, 3, 4, tree, "wse3").ir
        assert len(program.fabric.color) == colors
        assert max(len(t.inputs) for t in program.tiles) == inputs
    # two levels and a head in the middle beat one chain
    cycles = []
    for tree in (True, False):
        with build(folder, 2, 64, 2, 6, tree, "wse2").start() as fabric:
            fabric.launch("run", 0, 0, 4)
            cycles.append(fabric.cycles)
    assert cycles[0] < 0.6 * cycles[1]


def test_a_long_line_costs_its_hops_once(folder):
    """Half the line to the head in the middle and half of it back: another PE is a hop more, not two there and two back."""
    cycles = []
    for H in (64, 256):
        with build(folder, 1, H, 1, 8, True, "wse2").start() as fabric:
            fabric.launch("run", 0, 0, 4)  # two sums: f16, and f32 behind it
            cycles.append(fabric.cycles)
    stages = 5 * (32 - 8) // 2  # between roots, beside the hop
    launch = 256 - 64  # the launch reaches farther PEs later
    assert cycles[1] - cycles[0] <= 2 * (256 - 64 + stages) + launch + 20


def test_mistakes(folder):
    with pytest.raises(meshlang.MeshlangError) as found:
        build(folder, 4, 4, 5, 1, True, "wse2")
    assert any("the groups of a line have 1 to N PEs" in d.message for d in found.value.diagnostics)
