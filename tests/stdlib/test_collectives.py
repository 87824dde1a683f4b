"""<collectives_2d> against numpy: every operation, every root, both axes at once, one operation right after another."""

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
  for (@range(u16, W)) |x| {
    for (@range(u16, H)) |y| {
      @set_tile_code(x, y, "pe.csl", .{
        .memcpy_params = memcpy.get_params(x), .W = W, .H = H,
        .c2d_params = c2d.get_params(x, y, .{
          .x_colors = .{ @get_color(0), @get_color(1) }, .x_entrypoints = .{ @get_local_task_id(10), @get_local_task_id(11) },
          .y_colors = .{ @get_color(2), @get_color(3) }, .y_entrypoints = .{ @get_local_task_id(12), @get_local_task_id(13) } }) });
    }
  }
  @export_name("data", [*]f32, true);
  @export_name("bcast", [*]f32, true);
  @export_name("chunk", [*]f32, true);
  @export_name("all", [*]f32, true);
  @export_name("sum", [*]f32, true);
  @export_name("ysum", [*]f32, true);
  @export_name("main", fn(u16, u16)void);
}
"""
PE = """
param memcpy_params;
param c2d_params;
param W: u16;
param H: u16;
const sys = @import_module("<memcpy/memcpy>", memcpy_params);
const mpi_x = @import_module("<collectives_2d/pe>", .{ .dim_params = c2d_params.x });
const mpi_y = @import_module("<collectives_2d/pe>", .{ .dim_params = c2d_params.y });
const K = 3;
const x_id = @get_local_task_id(15);
const y_id = @get_local_task_id(16);
const end_id = @get_local_task_id(17);
var data: [W * K]f32;
var bcast: [K]f32;
var chunk: [K]f32;
var all: [W * K]f32;
var sum: [K]f32;
var ysum: [K]f32;
var data_ptr: [*]f32 = &data;
var bcast_ptr: [*]f32 = &bcast;
var chunk_ptr: [*]f32 = &chunk;
var all_ptr: [*]f32 = &all;
var sum_ptr: [*]f32 = &sum;
var ysum_ptr: [*]f32 = &ysum;
var root: u16 = 0;
var y_root: u16 = 0;
var step: u16 = 0;
var ready = false;

fn main(r: u16, ry: u16) void {
  if (!ready) { mpi_x.init(); mpi_y.init(); ready = true; }
  root = r;
  y_root = ry;
  step = 0;
  for (@range(u16, K)) |i| { bcast[i] = data[i]; }
  @block(end_id);
  mpi_y.reduce_fadds(y_root, &data, &ysum, K, y_id);      // at the same time as the first operation along x
  mpi_x.broadcast(root, @ptrcast([*]u32, &bcast), K, x_id);
}

task x_step() void {
  step += 1;
  switch (step) {
    1 => mpi_x.scatter(root, @ptrcast([*]u32, &data), @ptrcast([*]u32, &chunk), K, x_id),
    2 => mpi_x.gather(root, @ptrcast([*]u32, &chunk), @ptrcast([*]u32, &all), K, x_id),
    3 => mpi_x.reduce_fadds(W - 1 - root, &data, &sum, K, x_id),
    4 => mpi_x.broadcast(W - 1 - root, @ptrcast([*]u32, &sum), K, x_id),
    else => @activate(end_id),
  }
}
task y_step() void { @unblock(end_id); }
task finish() void { sys.unblock_cmd_stream(); }

comptime {
  @bind_local_task(x_step, x_id);
  @bind_local_task(y_step, y_id);
  @bind_local_task(finish, end_id);
  @export_symbol(data_ptr, "data");
  @export_symbol(bcast_ptr, "bcast");
  @export_symbol(chunk_ptr, "chunk");
  @export_symbol(all_ptr, "all");
  @export_symbol(sum_ptr, "sum");
  @export_symbol(ysum_ptr, "ysum");
  @export_symbol(main);
}
"""


@pytest.mark.parametrize("arch", ["wse2", "wse3"])
@pytest.mark.parametrize("W, H", [(1, 1), (2, 1), (3, 2), (5, 4), (12, 3)])
def test_collectives(tmp_path, arch, W, H):
    (tmp_path / "layout.csl").write_text(LAYOUT)
    (tmp_path / "pe.csl").write_text(PE)
    program = meshlang.compile(str(tmp_path / "layout.csl"), arch=arch, params={"W": W, "H": H})
    K = 3
    # sums are exact in any order
    data = np.random.default_rng(W * H).integers(-50, 50, (H, W, W * K)).astype(np.float32)
    with program.start() as fabric:
        fabric.write("data", data)
        for root in range(W):  # one run after another on the same fabric: routes are left clean
            y_root = root % H
            fabric.launch("main", root, y_root)
            assert (fabric.read("bcast", count=K) == data[:, root : root + 1, :K]).all()
            np.testing.assert_array_equal(fabric.read("chunk", count=K), data[:, root].reshape(H, W, K))
            np.testing.assert_array_equal(fabric.read("all", count=W * K)[:, root], data[:, root])
            want = data[:, :, :K].sum(axis=1, keepdims=True)
            assert (fabric.read("sum", count=K) == want).all()
            np.testing.assert_array_equal(fabric.read("ysum", count=K)[y_root], data[:, :, :K].sum(axis=0))
