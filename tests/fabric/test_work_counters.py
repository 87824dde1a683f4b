"""Bytes read, bytes written and floating-point operations: small programs, counted by hand."""

from __future__ import annotations

import numpy as np
import pytest

import meshlang

LAYOUT = """
param width: i16;
const memcpy = @import_module("<memcpy/get_params>", .{ .width = width, .height = 1 });
layout {
  @set_rectangle(width, 1);
  for (@range(i16, width)) |x| {
    @set_tile_code(x, 0, "pe.csl", .{ .memcpy_params = memcpy.get_params(x), .x = x });
    if (width > 1) {
      @set_color_config(x, 0, @get_color(0),
        if (x == 0) .{ .routes = .{ .rx = .{RAMP}, .tx = .{EAST} } } else .{ .routes = .{ .rx = .{WEST}, .tx = .{RAMP} } });
    }
  }
  @export_name("main", fn()void);
}
"""
PE = """
param memcpy_params;
param x: i16;
const sys = @import_module("<memcpy/memcpy>", memcpy_params);
%s
comptime { @export_symbol(main); }
"""
VARIABLES = """
var a: [16]f16;
var b: [16]f16;
var wide: [16]f32;
var total: f32 = 0.0;
const a7 = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{7} -> a[i] });
const b7 = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{7} -> b[2 * i] });
const wide9 = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{9} -> wide[i] });
"""


def run(folder, source, width=1, launches=1):
    """What the counters of all PEs have gained by the last launch: [read, written, flops] of each."""
    (folder / "layout.csl").write_text(LAYOUT)
    (folder / "pe.csl").write_text(PE % source)
    program = meshlang.compile(str(folder / "layout.csl"), arch="wse3", params={"width": width})
    with program.start() as fabric:
        before = fabric.stats()
        for _ in range(launches):
            before = fabric.stats()
            fabric.launch("main")
        after = fabric.stats()
    names = ("read", "written", "computed")
    assert [after[n] for n in ("bytes_read", "bytes_written", "flops")] == [int(after[n].sum()) for n in names]
    return np.stack([after[n] - before[n] for n in names], 2)[0].tolist()


# what `main` does, and by hand: bytes read, bytes written, floating-point operations
PROGRAMS = {
    # 7 multiply-adds of f16: two vectors read, one written
    "@fmach(a7, a7, b7, 2.0);": (7 * 2 * 2, 7 * 2, 7 * 2),
    # a multiply-add of f16 to f32
    "@fmachs(wide9, wide9, @set_dsd_length(a7, 9), 0.5);": (9 * (4 + 2), 9 * 4, 9 * 2),
    # a sum: 9 additions, and its result is written once
    "@fadds(&total, 0.0, wide9);": (9 * 4, 4, 9),
    # a constant is no memory; moves, largest elements and conversions are no operations
    "@fmovs(wide9, 1.0);": (0, 9 * 4, 0),
    "@fmaxh(a7, a7, b7);": (7 * 2 * 2, 7 * 2, 0),
    "@fh2s(wide9, @set_dsd_length(a7, 9));": (9 * 2, 9 * 4, 0),
    # scalar instructions: three loads, two of them of halves, a store; one multiplication, one addition, one division
    "total = (total * @as(f32, a[3]) + wide[2]) / 3.0;": (4 + 2 + 4, 4, 3),
    "wide[1] = wide[0];": (4, 4, 0),
}


@pytest.mark.parametrize("statement", PROGRAMS)
def test_one_statement(statement, tmp_path):
    source = VARIABLES + "fn main() void { " + statement + " sys.unblock_cmd_stream(); }"
    assert run(tmp_path, source) == [list(PROGRAMS[statement])]


def test_a_loop_and_a_map(tmp_path):
    """5 rounds: each multiplies two neighbours and adds, and stores one: 6 f32 are loaded, for the optimiser keeps what the
    next round needs again; then 9 elements one by one, each read, doubled and written."""
    source = """
fn double(v: f32) f32 { return v + v; }
fn main() void {
  for (@range(u16, 5)) |i| { wide[i + 6] = wide[i] * wide[i + 1] + 1.0; }
  @map(double, wide9, wide9);
  sys.unblock_cmd_stream();
}
"""
    assert run(tmp_path, VARIABLES + source) == [[6 * 4 + 9 * 4, 5 * 4 + 9 * 4, 5 * 2 + 9]]


def test_over_the_fabric(tmp_path):
    """Queues are no memory: the sender reads 8 f32, the receiver adds them to 8 of its own and writes 8. A launch has its
    difference: it is the second one that is looked at."""
    source = (
        VARIABLES
        + """
const out = @get_dsd(fabout_dsd, .{ .extent = 8, .fabric_color = @get_color(0), .output_queue = @get_output_queue(2) });
const in = @get_dsd(fabin_dsd, .{ .extent = 8, .fabric_color = @get_color(0), .input_queue = @get_input_queue(2) });
const wide8 = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{8} -> wide[i] });
fn main() void {
  if (x == 0) { @fmovs(out, wide8); } else { @fadds(wide8, wide8, in); }
  sys.unblock_cmd_stream();
}
comptime {
  if (x == 0) { @initialize_queue(@get_output_queue(2), .{ .color = @get_color(0) }); }
  else { @initialize_queue(@get_input_queue(2), .{ .color = @get_color(0) }); }
}
"""
    )
    assert run(tmp_path, source, width=2, launches=2) == [[8 * 4, 0, 0], [8 * 4, 8 * 4, 8]]


def test_a_plain_receive(tmp_path):
    """What the router stores while its PE sleeps (express delivery) counts like any other receive."""
    source = (
        VARIABLES
        + """
const out = @get_dsd(fabout_dsd, .{ .extent = 600, .fabric_color = @get_color(0), .output_queue = @get_output_queue(2) });
const in = @get_dsd(fabin_dsd, .{ .extent = 600, .fabric_color = @get_color(0), .input_queue = @get_input_queue(2) });
var many: [600]f32;
const all = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{600} -> many[i] });
fn main() void {
  if (x == 0) { @fmovs(out, all); } else { @fmovs(all, in); }
  sys.unblock_cmd_stream();
}
comptime {
  if (x == 0) { @initialize_queue(@get_output_queue(2), .{ .color = @get_color(0) }); }
  else { @initialize_queue(@get_input_queue(2), .{ .color = @get_color(0) }); }
}
"""
    )
    assert run(tmp_path, source, width=2) == [[2400, 0, 0], [0, 2400, 0]]


def test_a_fifo(tmp_path):
    """10 f16 go through a FIFO, which is memory: each is read and written twice."""
    source = """
var from: [10]f16;
var to: [10]f16;
var buffer: [16]f16;
const fifo = @allocate_fifo(buffer);
const source = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{10} -> from[i] });
const target = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{10} -> to[i] });
fn main() void {
  @fmovh(fifo, source);
  @fmovh(target, fifo);
  sys.unblock_cmd_stream();
}
"""
    assert run(tmp_path, source) == [[40, 40, 0]]


@pytest.mark.parametrize("once", [False, True])
def test_products_of_several_vectors(once, tmp_path):
    """5 vectors of 3 f16 times 3 x 4 weights (<llm/product>): a weight is read with an element of the sum, for each of the vectors; or it is read
    once for all of them, but then each of their elements with it. The sums are written as often, and as many operations are done."""
    source = """
const product = @import_module("<llm/product>", .{ .T = f16 });
var v: [15]f16;
var w: [12]f16;
var y: [20]f16;
inline fn v_ptr(i: u16) [*]f16 { return @ptrcast([*]f16, &v[i]); }
inline fn y_ptr(i: u16) [*]f16 { return @ptrcast([*]f16, &y[i]); }
fn main() void {
  %s
  sys.unblock_cmd_stream();
}
"""
    each = "inline for (@range(u16, 5)) |t| { product.add(v_ptr(3 * t), &w, y_ptr(4 * t), 3, 4); }"
    read = 3 * (4 * 2 + 4 * 5 * (2 + 2)) if once else 5 * (3 * 2 + 3 * 4 * (2 + 2))
    found = run(tmp_path, source % ("product.add_all(v_ptr(0), &w, y_ptr(0), 3, 4, 5);" if once else each))
    assert found == [[read, 5 * 3 * 4 * 2, 5 * 3 * 4 * 2]]
