"""Operations on DSDs made for elements of another width: the operation counts in its own elements."""

import pytest

from meshlang.diag import MeshlangError


def test_pairs_of_16_bit_elements(machines):
    got = machines.engine(
        """
var a = [8]u16{ 1, 2, 3, 4, 5, 6, 7, 8 };
var forwards: [8]u16;
var backwards: [8]u16;
var low: [4]u32;
const from = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{3} -> a[i + 2] });
const to = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{3} -> forwards[i] });
const down = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{4} -> backwards[6 - i] });
const all = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{4} -> a[i] });
const wide = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{3} -> low[i + 1] });
fn main() void {
  @mov32(to, from);         // three pairs from a[2] on
  @mov32(down, all);        // the pairs in reverse order
  @mov16(wide, 7);          // the low halves of low[1] to low[3]
}
""",
        {"forwards": "u16", "backwards": "u16", "low": "u32"},
    )
    assert got["forwards"].tolist() == [3, 4, 5, 6, 7, 8, 0, 0]
    assert got["backwards"].tolist() == [7, 8, 5, 6, 3, 4, 1, 2]
    assert got["low"].tolist() == [0, 7, 7, 7]


RUN_TIME = """
var a = [8]u16{ 1, 2, 3, 4, 5, 6, 7, 8 };
var b: [8]u16;
var n: u16 = 1;
const from = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{1} -> a[i] });
const to = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{1} -> b[i] });
const dsr = @get_dsr(dsr_src1, 1);
fn main() void {
  var x = @set_dsd_length(@increment_dsd_offset(from, 2, u16), n + 1);      // not known while compiling
  var y = @set_dsd_length(to, n + 1);
  @mov32(y, x);
  @load_to_dsr(dsr, @set_dsd_length(from, n), .{ .save_address = true });
  y = @increment_dsd_offset(@set_dsd_length(to, n), 4, u16);
  @mov32(y, dsr);
  y = @increment_dsd_offset(y, 2, u16);
  @mov32(y, dsr);           // goes on with the next pair
}
"""


def test_widths_met_at_run_time(machines):
    fabric = machines.start(RUN_TIME, {"b": "u16"})
    fabric.launch("run")
    assert fabric.read("b")[0, 0].tolist() == [3, 4, 5, 6, 1, 2, 3, 4]
    warnings = fabric.warnings
    assert {w.code for w in warnings} == {"MS0871"} and len(warnings) == 3
    assert "walks its destination, a DSD of 16-bit elements" in warnings[0].message
    assert warnings[0].span.text() == "@mov32(y, x)" and any("1 time on 1 PE" in n for n in warnings[0].notes)


NARROW = """
var a = [8]u32{ 0x10001, 0x20002, 0x30003, 0x40004, 0x50005, 0x60006, 0x70007, 0x80008 };
var b: [8]u32;
var c = @constants([6]u32, 0xffff0000);
var d: [6]u32;
var s = @zeros([4]u16);
var n: u16 = 0;
const from = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{3} -> a[2 * i + 1] });
const to = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{3} -> b[7 - i] });
const grid = @get_dsd(mem4d_dsd, .{ .tensor_access = |i, j|{2, 3} -> a[4 * i + j] });
const flat = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{6} -> c[i] });
const other = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{6} -> d[i] });
const src = @get_dsr(dsr_src1, 1);
const kept = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{4} -> s[i] });
fn low(x: u16) u16 { return x; }
fn main() void {
  FIRST
  FLAT
  @load_to_dsr(src, @set_dsd_length(from, 2 + n), .{ .save_address = true });
  @mov16(@set_dsd_length(kept, 2), src);
  @mov16(@increment_dsd_offset(@set_dsd_length(kept, 2), 2, u16), src);        // goes on with a[5] and a[7]
  @map(low, @set_dsd_length(@increment_dsd_offset(from, n, u32), 3), other);
}
"""


@pytest.mark.parametrize(
    ("first", "flat"),
    [
        ("@mov16(to, from);", "@mov16(flat, grid);"),
        (
            "@mov16(@increment_dsd_offset(to, @as(i16, n), u32), @increment_dsd_offset(from, @as(i16, n), u32));",
            "@mov16(@increment_dsd_offset(flat, @as(i16, n), u32), @increment_dsd_offset(grid, @as(i16, n), u32));",
        ),
    ],
    ids=["known", "at run time"],
)
def test_the_low_half_of_each_element(machines, first, flat):
    """A 16-bit operation on a DSD of u32, with strides, in two dimensions, in DSRs and in @map: what is beside a low half stays."""
    source = NARROW.replace("FIRST", first).replace("FLAT", flat).replace("from, n, u32", "from, @as(i16, n), u32")
    got = machines.engine(source, {"b": "u32", "c": "u32", "d": "u32", "s": "u16"})
    assert got["b"].tolist() == [0, 0, 0, 0, 0, 6, 4, 2]
    assert got["c"].tolist() == [0xFFFF0000 + v for v in (1, 2, 3, 5, 6, 7)]
    assert got["s"].tolist() == [2, 4, 6, 8]
    assert got["d"].tolist() == [2, 4, 6, 0, 0, 0]


def test_strict_runs_stop(machines):
    fabric = machines.start(RUN_TIME, {"b": "u16"}, strict=True)
    with pytest.raises(MeshlangError) as e:
        fabric.launch("run")
    assert e.value.diagnostics[0].code == "MS0818"
