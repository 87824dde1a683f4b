"""Advertised symbols seen from the PE's own code: their numbers, values and tensors; and structs that the host reads
and writes."""

import numpy as np
import pytest

import meshlang
from meshlang.diag import MeshlangError

LAYOUT = """
const memcpy = @import_module("<memcpy/get_params>", .{ .width = 1, .height = 1 });
const sparse = @import_module("sparse.csl");
layout {
  @set_rectangle(1, 1);
  @set_tile_code(0, 0, "pe.csl", .{ .memcpy_params = memcpy.get_params(0) });
  @export_name("look", fn(u16)void);
  @export_name("A", [*]f32, true);
  @export_name("n", i16, true);
  @export_name("entries", [*]sparse.Entry, true);
  @export_name("out", [*]i32, true);
}
"""
SPARSE = "const Entry = struct { row: u16, col: u16, value: f32 };"
PE = """
param memcpy_params;
const sys = @import_module("<memcpy/memcpy>", memcpy_params);
const sparse = @import_module("sparse.csl");
var a = [3]f32 { 1, 2, 3 };
var a_ptr: [*]f32 = &a;
var n: i16 = -4;
var entries: [2]sparse.Entry;
var entries_ptr: [*]sparse.Entry = &entries;
var out: [10]i32;
var out_ptr: [*]i32 = &out;
fn look(number: u16) void {
  out[0] = @get_symbol_id(a_ptr);
  out[1] = @get_symbol_id(n);
  out[2] = @get_symbol_id(look);
  if (@has_exported_tensors()) { out[3] = 1; }
  out[4] = @get_symbol_value(i16, @get_symbol_id(n));
  @get_tensor_ptr(@get_symbol_id(a_ptr))[1] = 0x4040;
  out[5] = @get_symbol_value(i16, number);
  out[6] = @get_tensor_ptr(number - 1)[1];
  for (entries) |e| { out[7] += @as(i32, e.row) * 10 + e.col; }
  entries[1].value *= 2.0;
  sys.unblock_cmd_stream();
}
comptime {
  @export_symbol(look); @export_symbol(a_ptr, "A"); @export_symbol(n); @export_symbol(entries_ptr, "entries"); @export_symbol(out_ptr, "out");
}
"""


@pytest.fixture
def program(tmp_path):
    for name, text in {"layout.csl": LAYOUT, "sparse.csl": SPARSE, "pe.csl": PE}.items():
        (tmp_path / name).write_text(text)
    return lambda arch: meshlang.compile(str(tmp_path / "layout.csl"), arch=arch)


@pytest.mark.parametrize("arch", ["wse2", "wse3"])
def test_numbers_values_and_tensors(program, arch):
    entries = np.zeros(2, np.dtype([("row", "<u2"), ("col", "<u2"), ("value", "<f4")]))
    entries["row"], entries["col"], entries["value"] = (1, 3), (2, 4), (1.5, 2.5)
    with program(arch).start() as fabric:
        fabric.write("entries", entries.view(np.uint32).reshape(1, 1, -1))
        fabric.launch("look", np.uint16(2))
        assert fabric.read("out")[0, 0].tolist() == [1, 2, 0, 1, -4, -4, 0x4040, 12 + 34, 0, 0]
        assert fabric.read("A")[0, 0].tolist() == [3, 2, 3]
        assert fabric.read("entries")[0, 0].view(entries.dtype)["value"].tolist() == [1.5, 5]


@pytest.mark.parametrize("number, code", [(0, "MS0802"), (1, "MS0802"), (5, "MS0806")])
def test_a_number_of_no_such_symbol_is_a_fault(program, number, code):
    """0 is the function, 1 an f32 pointer where an i16 is asked for, 5 past the table."""
    with program("wse2").start() as fabric, pytest.raises(MeshlangError, match=code):
        fabric.launch("look", np.uint16(number))
