"""Star, binary tree, scatter, gather, ring allreduce, reduce-scatter, allgather, all-to-all and transpose of
<comm/...>, against numpy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import meshlang

STAR, TREE, SCATTER, RING, ALL_TO_ALL, PIPELINE = range(6)

LAYOUT = """
param W: i16;
param H: i16;
param n: u16;
param what: i16;                    // 0 star, 1 binary tree, 2 scatter, 3 ring, 4 all-to-all, 5 pipeline
param single: bool = false;
param maximum: bool = false;
param rows: bool = true;            // along rows, else along columns
param root: i16 = 0;
param interleave: bool = true;
const N = if (rows) W else H;
const memcpy = @import_module("<memcpy/get_params>", .{ .width = W, .height = H });
const c = [7]color{ @get_color(5), @get_color(2), @get_color(7), @get_color(8), @get_color(9), @get_color(10), @get_color(11) };
const pattern = if (what == 0) @import_module("<comm/star_layout>", .{ .N = N, .root = root, .colors = [2]color{ c[0], c[1] } })
  else if (what == 1) @import_module("<comm/bintree_layout>", .{ .N = N, .colors = c })
  else if (what == 2) @import_module("<comm/broadcast_layout>", .{ .N = N, .root = root, .line_color = c[0] })
  else if (what == 5) @import_module("<comm/pipeline_layout>", .{ .N = N, .root = root, .colors = [3]color{ c[0], c[1], c[2] } })
  else @import_module("<comm/shift_layout>", .{ .N = N, .interleave = interleave, .colors = [3]color{ c[0], c[1], c[2] } });
layout {
  @set_rectangle(W, H);
  for (@range(i16, H)) |y| {
    for (@range(i16, W)) |x| {
      const i = if (rows) x else y;
      @set_tile_code(x, y, "pe.csl", .{ .memcpy_params = memcpy.get_params(0), .role = pattern.get_params(i), .n = n, .N = N, .what = what,
        .single = single, .maximum = maximum, .rows = rows, .root = root, .interleave = interleave });
      if (what < 2 or what == 5) { pattern.set_routes(x, y, i, rows); }
      if (what == 2) { @set_color_config(x, y, c[0], pattern.get_route(i, rows)); }
      if (what == 3 or what == 4) {
        const p = pattern.get_params(i);
        const r = pattern.get_routes(i, rows);
        @set_color_config(x, y, p.send, r.send);
        @set_color_config(x, y, p.recv, r.recv);
        if (pattern.passes(i)) { @set_color_config(x, y, pattern.via_color(i), r.via); }
      }
    }
  }
  const T = if (single) f32 else f16;
  @export_name("v", [*]T, true);
  @export_name("all", [*]T, true);
  for (.{ "first", "second", "third", "fourth" }) |name| { @export_name(name, fn()void); }
}
"""

PE = """
param memcpy_params;
param role;
param n: u16;
param N: i16;
param what: i16;
param single: bool;
param maximum: bool;
param rows: bool;
param root: i16;
param interleave: bool;
const T = if (single) f32 else f16;
const sys = @import_module("<memcpy/memcpy>", memcpy_params);
const place = @import_module("<layout>");
const count = @as(u16, N) * n;
const id = @get_local_task_id(12);
const lib = if (what == 0) @import_module("<comm/star_pe>", .{ .T = T, .n = n, .role = role, .maximum = maximum, .task_id = id, .done = finished,
    .in_queues = [2]input_queue{ @get_input_queue(2), @get_input_queue(3) }, .out_queue = @get_output_queue(4) })
  else if (what == 1) @import_module("<comm/bintree_pe>", .{ .T = T, .n = n, .role = role, .maximum = maximum, .task_id = id, .done = finished,
    .in_queues = [5]input_queue{ @get_input_queue(2), @get_input_queue(3), @get_input_queue(4), @get_input_queue(5), @get_input_queue(6) },
    .out_queue = @get_output_queue(4) })
  else if (what == 2) @import_module("<comm/scatter_pe>", .{ .T = T, .n = n, .N = @as(u16, N), .root = @as(u16, root), .role = role,
    .in_queue = @get_input_queue(2), .out_queue = @get_output_queue(3), .task_id = id, .done = finished })
  else if (what == 3) @import_module("<comm/ring_pe>", .{ .T = T, .N = N, .part = n, .interleave = interleave, .role = role, .maximum = maximum,
    .in_queue = @get_input_queue(2), .out_queue = @get_output_queue(3), .task_id = id, .done = finished })
  else if (what == 5) @import_module("<comm/pipeline_pe>", .{ .T = T, .n = n, .role = role, .maximum = maximum,
    .in_queues = [2]input_queue{ @get_input_queue(2), @get_input_queue(3) }, .out_queue = @get_output_queue(4),
    .task_ids = .{ id, @get_local_task_id(13) }, .done = finished })
  else @import_module("<comm/alltoall_pe>", .{ .T = T, .N = N, .n = n, .interleave = interleave, .role = role,
    .in_queue = @get_input_queue(2), .out_queue = @get_output_queue(3), .task_id = id, .done = finished });
var v: [n]T;
var v_ptr: [*]T = &v;
var all: [count]T;
var all_ptr: [*]T = &all;
const extra: u16 = if (what == 4) 2 * count else 1;
var buffers: [extra]T;
fn finished() void { sys.unblock_cmd_stream(); }
fn i() u16 { return if (rows) place.get_x_coord() else place.get_y_coord(); }
fn first() void {
  if (what == 0 or what == 1) { lib.reduce(v_ptr); finished(); }
  else if (what == 2) { lib.scatter(i(), all_ptr, v_ptr); finished(); }
  else if (what == 3) { lib.start(i(), all_ptr); }
  else if (what == 5) { lib.allreduce(v_ptr); finished(); }
  else { lib.start(i(), all_ptr, @ptrcast([*]T, &buffers[0]), @ptrcast([*]T, &buffers[count])); }
}
fn second() void {
  if (what == 0) { lib.start_reduce(v_ptr); }
  else if (what == 1 or what == 5) { lib.start(v_ptr); }
  else if (what == 2) { lib.start(i(), all_ptr, v_ptr); }
  else if (what == 3) { lib.start_reduce_scatter(i(), all_ptr); }
}
fn third() void {
  if (what == 0) { lib.gather(v_ptr, all_ptr); finished(); }
  else if (what == 3) { lib.start_allgather(i(), all_ptr); }
}
fn fourth() void {
  if (what == 0) { lib.start_gather(v_ptr, all_ptr); }
}
comptime {
  @export_symbol(v_ptr, "v");
  @export_symbol(all_ptr, "all");
  @export_symbol(first);
  @export_symbol(second);
  @export_symbol(third);
  @export_symbol(fourth);
}
"""

TRANSPOSE_LAYOUT = """
param P: i16;
param n: u16;
param single: bool = false;
const memcpy = @import_module("<memcpy/get_params>", .{ .width = P, .height = P });
const transpose = @import_module("<comm/transpose_layout>", .{ .P = P, .colors = [2]color{ @get_color(0), @get_color(1) } });
layout {
  @set_rectangle(P, P);
  for (@range(i16, P)) |y| {
    for (@range(i16, P)) |x| {
      @set_tile_code(x, y, "pe.csl", .{ .memcpy_params = memcpy.get_params(0), .P = P, .n = n, .single = single,
        .role = transpose.get_params(x, y) });
      transpose.set_routes(x, y);
    }
  }
  const T = if (single) f32 else f16;
  @export_name("v", [*]T, true);
  @export_name("w", [*]T, true);
  @export_name("run", fn()void);
}
"""

TRANSPOSE_PE = """
param memcpy_params;
param role;
param P: i16;
param n: u16;
param single: bool;
const T = if (single) f32 else f16;
const sys = @import_module("<memcpy/memcpy>", memcpy_params);
const place = @import_module("<layout>");
const lib = @import_module("<comm/transpose_pe>", .{ .T = T, .n = n, .P = P, .role = role, .in_queue = @get_input_queue(2),
  .out_queue = @get_output_queue(3), .task_ids = [2]local_task_id{ @get_local_task_id(12), @get_local_task_id(13) }, .done = finished });
var v: [n]T;
var w: [n]T;
var v_ptr: [*]T = &v;
var w_ptr: [*]T = &w;
var again = false;
// Twice, the second time without the host in between: w is transposed back.
fn run() void { again = true; lib.start(place.get_x_coord(), place.get_y_coord(), v_ptr, w_ptr); }
fn finished() void {
  if (again) {
    again = false;
    lib.start(place.get_x_coord(), place.get_y_coord(), w_ptr, v_ptr);
  } else {
    sys.unblock_cmd_stream();
  }
}
comptime {
  @export_symbol(v_ptr, "v");
  @export_symbol(w_ptr, "w");
  @export_symbol(run);
}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("patterns")
    for name, layout, pe in (("line", LAYOUT, PE), ("transpose", TRANSPOSE_LAYOUT, TRANSPOSE_PE)):
        (root / name).mkdir()
        (root / name / "layout.csl").write_text(layout)
        (root / name / "pe.csl").write_text(pe)
    return root


def build(folder, what, arch="wse3", **params):
    return meshlang.compile(folder / "line/layout.csl", arch=arch, params={"what": what, **params})


def along(data: np.ndarray, rows: bool) -> np.ndarray:
    """[height, width, ...] -> [line, place, ...]"""
    return data if rows else data.swapaxes(0, 1)


@settings(max_examples=16, deadline=None, derandomize=True)
@given(
    what=st.sampled_from([STAR, TREE, SCATTER, PIPELINE]),
    N=st.integers(2, 9),
    lines=st.integers(1, 3),
    n=st.sampled_from([1, 2, 5]),
    rows=st.booleans(),
    where=st.floats(0, 1),
    single=st.booleans(),
    maximum=st.booleans(),
    arch=st.sampled_from(["wse2", "wse3"]),
)
@example(STAR, 16, 16, 2, True, 0.4, False, False, "wse3")
@example(TREE, 16, 5, 2, False, 0.0, True, True, "wse2")
@example(SCATTER, 16, 16, 1, False, 0.6, False, False, "wse2")
@example(PIPELINE, 16, 9, 2, True, 0.5, True, False, "wse3")
def test_to_and_from_a_root(folder, what, N, lines, n, rows, where, single, maximum, arch):
    W, H = (N, lines) if rows else (lines, N)
    root = 0 if what == TREE else round(where * (N - 1))
    rng = np.random.default_rng(N * n)
    dtype = np.float32 if single else np.float16
    reduce = np.max if maximum else np.sum
    with build(
        folder, what, arch, W=W, H=H, n=n, single=single, maximum=maximum, rows=rows, root=root
    ).start() as fabric:
        # blocking and asynchronous, each after the other
        for entry in ("first", "second", "first", "second"):
            v, everything = (
                rng.integers(-100, 100, (H, W, n)).astype(dtype),
                rng.integers(-100, 100, (H, W, N * n)).astype(dtype),
            )
            fabric.write("v", v)
            fabric.write("all", everything)
            fabric.launch(entry)
            got = along(fabric.read("v", count=n), rows)
            if what == SCATTER:
                assert np.array_equal(got, along(everything, rows)[:, root].reshape(-1, N, n))
            elif what == PIPELINE:
                assert np.array_equal(got, np.broadcast_to(reduce(along(v, rows), axis=1, keepdims=True), got.shape))
            else:
                assert np.array_equal(got[:, root], reduce(along(v, rows), axis=1))
        if what == STAR:
            for entry in ("third", "fourth", "third"):
                v = rng.integers(-100, 100, (H, W, n)).astype(dtype)
                fabric.write("v", v)
                fabric.launch(entry)
                assert np.array_equal(
                    along(fabric.read("all", count=N * n), rows)[:, root].reshape(-1, N, n), along(v, rows)
                )


@settings(max_examples=10, deadline=None, derandomize=True)
@given(
    what=st.sampled_from([RING, ALL_TO_ALL]),
    N=st.integers(2, 9),
    lines=st.integers(1, 3),
    n=st.sampled_from([1, 2, 5]),
    rows=st.booleans(),
    single=st.booleans(),
    maximum=st.booleans(),
    interleave=st.booleans(),
    arch=st.sampled_from(["wse2", "wse3"]),
)
@example(RING, 16, 16, 1, False, False, False, True, "wse3")
@example(ALL_TO_ALL, 16, 5, 2, True, True, False, True, "wse2")
def test_around_a_ring(folder, what, N, lines, n, rows, single, maximum, interleave, arch):
    W, H = (N, lines) if rows else (lines, N)
    rng = np.random.default_rng(N * n)
    dtype = np.float32 if single else np.float16
    reduce = np.max if maximum else np.sum
    with build(
        folder, what, arch, W=W, H=H, n=n, single=single, maximum=maximum, rows=rows, interleave=interleave
    ).start() as fabric:
        for entry in ("first", "first") if what == ALL_TO_ALL else ("first", "second", "third"):
            data = rng.integers(-100, 100, (H, W, N * n)).astype(dtype)
            fabric.write("all", data)
            fabric.launch(entry)
            got, had = (along(a, rows).reshape(lines, N, N, n) for a in (fabric.read("all", count=N * n), data))
            if what == ALL_TO_ALL:
                assert np.array_equal(got, had.swapaxes(1, 2))
            elif entry == "first":
                assert np.array_equal(got, np.broadcast_to(reduce(had, axis=1, keepdims=True), had.shape))
            elif entry == "second":
                assert np.array_equal(np.einsum("liin->lin", got), reduce(had, axis=1))
            else:
                assert np.array_equal(got, np.broadcast_to(np.einsum("liin->lin", had)[:, None], had.shape))


@pytest.mark.parametrize("arch", ["wse2", "wse3"])
@pytest.mark.parametrize("P, n, single", [(2, 1, True), (3, 3, False), (6, 2, True), (7, 5, False), (16, 3, False)])
def test_transpose(folder, P, n, single, arch):
    data = np.arange(P * P * n).reshape(P, P, n).astype(np.float32 if single else np.float16)
    program = meshlang.compile(folder / "transpose/layout.csl", arch=arch, params={"P": P, "n": n, "single": single})
    assert len(program.ir.fabric.color) == 2
    with program.start() as fabric:
        fabric.write("v", data)
        for _ in range(2):
            fabric.launch("run")
            assert np.array_equal(fabric.read("w", count=n), data.swapaxes(0, 1))
            assert np.array_equal(fabric.read("v", count=n), data)


COSTS = {  # colors, input queues, output queues, local tasks, elements beside the caller's vectors
    STAR: (2, 2, 1, 1),
    TREE: (4, 4, 1, 1),
    SCATTER: (1, 1, 1, 1),
    RING: (3, 1, 1, 1),
    ALL_TO_ALL: (3, 1, 1, 1),
    PIPELINE: (3, 2, 1, 2),
}


@pytest.mark.parametrize("what", sorted(COSTS))
def test_stated_cost(folder, what):
    N, n = 12, 4
    program = build(folder, what, W=N, H=1, n=n, root=0 if what == TREE else 5).ir
    colors, inputs, outputs, tasks = COSTS[what]
    assert len(program.fabric.color) == colors
    vectors = 2 * (n + N * n + (2 * N * n if what == ALL_TO_ALL else 1))
    assert max(len(t.inputs) for t in program.tiles) == inputs and max(len(t.outputs) for t in program.tiles) == outputs
    for tile in program.tiles:
        assert len(tile.tasks) == tasks
        assert max(o.address + o.size for o in tile.objects) <= vectors + 64


@pytest.mark.parametrize(
    "what, params, message",
    [
        (STAR, {"W": 1, "H": 2, "n": 1}, "a line of at least 2 PEs"),
        (STAR, {"W": 4, "H": 1, "n": 1, "root": 4}, "one of the places 0 to N - 1"),
        (TREE, {"W": 1, "H": 1, "n": 1}, "a line of at least 2 PEs"),
        (TREE, {"W": 33, "H": 1, "n": 1}, "more vectors than it has input queues"),
        (TREE, {"W": 129, "H": 1, "n": 1}, "log2 N colors"),
        (RING, {"W": 4, "H": 1, "n": 8192}, "1 to 32766 elements"),
    ],
)
def test_mistakes(folder, what, params, message):
    with pytest.raises(meshlang.MeshlangError) as found:
        build(folder, what, **params)
    assert any(message in d.message for d in found.value.diagnostics), found.value.diagnostics
