"""<collectives_2d>: every operation along x at the same time as every operation along y, for several roots, against
numpy."""

from __future__ import annotations

import numpy as np
import pytest

import meshlang

LAYOUT = """
param W: u16;
param H: u16;
const memcpy = @import_module("<memcpy/get_params>", .{ .width = W, .height = H });
const c2d = @import_module("<collectives_2d/params>");
layout {
  @set_rectangle(W, H);
  for (@range(u16, W)) |x| { for (@range(u16, H)) |y| {
    @set_tile_code(x, y, "pe.csl", .{ .memcpy_params = memcpy.get_params(x), .N = if (W > H) W else H,
      .axes = c2d.get_params(x, y, .{
        .x_colors = .{ @get_color(0), @get_color(1) }, .x_entrypoints = .{ @get_local_task_id(10), @get_local_task_id(11) },
        .y_colors = .{ @get_color(2), @get_color(3) }, .y_entrypoints = .{ @get_local_task_id(12), @get_local_task_id(13) } }) });
  } }
  for (.{ "x_in", "x_out", "y_in", "y_out" }) |name| { @export_name(name, [*]f32, true); }
  @export_name("main", fn(u16, u16, u16, u16)void);
}
"""
PE = """
param memcpy_params; param axes; param N: u16;
const sys = @import_module("<memcpy/memcpy>", memcpy_params);
const mpi_x = @import_module("<collectives_2d/pe>", .{ .dim_params = axes.x, .queues = [2]u16{ 2, 4 },
  .dest_dsr_ids = [1]u16{1}, .src0_dsr_ids = [1]u16{1}, .src1_dsr_ids = [1]u16{1} });
const mpi_y = @import_module("<collectives_2d/pe>", .{ .dim_params = axes.y, .queues = [2]u16{ 3, 5 } });
const K = 4;
const x_id = @get_local_task_id(15);
const y_id = @get_local_task_id(16);
var x_in: [N * K]f32;
var x_out: [N * K]f32;
var y_in: [N * K]f32;
var y_out: [N * K]f32;
var x_in_ptr: [*]f32 = &x_in;
var x_out_ptr: [*]f32 = &x_out;
var y_in_ptr: [*]f32 = &y_in;
var y_out_ptr: [*]f32 = &y_out;
var ready = false;
var left: u16 = 0;

fn start(comptime mpi: imported_module, op: u16, root: u16, in: [*]f32, out: [*]f32, id: local_task_id) void {
  const from = @ptrcast([*]u32, in);
  const to = @ptrcast([*]u32, out);
  switch (op) {
    0 => mpi.broadcast(root, to, K, id),
    1 => mpi.scatter(root, from, to, K, id),
    2 => mpi.gather(root, from, to, K, id),
    else => mpi.reduce_fadds(root, in, out, K, id),
  }
}

fn main(op_x: u16, root_x: u16, op_y: u16, root_y: u16) void {
  if (!ready) { mpi_x.init(); mpi_y.init(); ready = true; }
  left = 2;
  start(mpi_x, op_x, root_x, &x_in, &x_out, x_id);
  start(mpi_y, op_y, root_y, &y_in, &y_out, y_id);
}
fn one_less() void { left -= 1; if (left == 0) { sys.unblock_cmd_stream(); } }
task x_done() void { one_less(); }
task y_done() void { one_less(); }
comptime {
  @bind_local_task(x_done, x_id);
  @bind_local_task(y_done, y_id);
  @export_symbol(x_in_ptr, "x_in");
  @export_symbol(x_out_ptr, "x_out");
  @export_symbol(y_in_ptr, "y_in");
  @export_symbol(y_out_ptr, "y_out");
  @export_symbol(main);
}
"""
K = 4


def check(op: int, root: int, given: np.ndarray, before: np.ndarray, out: np.ndarray) -> None:
    """One line of PEs: what each had in its two buffers, and what stands in the second now."""
    n = len(given)
    if op == 0:
        assert (out[:, :K] == before[root, :K]).all()
    elif op == 1:
        np.testing.assert_array_equal(out[:, :K], given[root, : n * K].reshape(n, K))
    elif op == 2:
        np.testing.assert_array_equal(out[root, : n * K], given[:, :K].ravel())
    else:
        np.testing.assert_array_equal(out[root, :K], given[:, :K].sum(axis=0))


@pytest.mark.parametrize("arch", ["wse2", "wse3"])
def test_each_with_each(tmp_path, arch):
    W, H = 4, 3
    (tmp_path / "layout.csl").write_text(LAYOUT)
    (tmp_path / "pe.csl").write_text(PE)
    rng = np.random.default_rng(7)
    with meshlang.compile(str(tmp_path / "layout.csl"), arch=arch, params={"W": W, "H": H}).start() as fabric:
        for op_x in range(4):
            for op_y in range(4):
                data = {
                    n: rng.integers(-50, 50, (H, W, max(W, H) * K)).astype(np.float32)
                    for n in ("x_in", "x_out", "y_in", "y_out")
                }
                for name, values in data.items():
                    fabric.write(name, values)
                root_x, root_y = int(rng.integers(W)), int(rng.integers(H))
                fabric.launch("main", op_x, root_x, op_y, root_y)
                x_out, y_out = fabric.read("x_out"), fabric.read("y_out")
                for y in range(H):
                    check(op_x, root_x, data["x_in"][y], data["x_out"][y], x_out[y])
                for x in range(W):
                    check(op_y, root_y, data["y_in"][:, x], data["y_out"][:, x], y_out[:, x])
        assert not [w for w in fabric.warnings if w.code != "MS0851"]
