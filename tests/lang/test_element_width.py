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
  @mov16(wide, 7);          // three 16-bit words from low[1] on
}
""",
        {"forwards": "u16", "backwards": "u16", "low": "u32"},
    )
    assert got["forwards"].tolist() == [3, 4, 5, 6, 7, 8, 0, 0]
    assert got["backwards"].tolist() == [7, 8, 5, 6, 3, 4, 1, 2]
    assert got["low"].tolist() == [0, 7 | 7 << 16, 7, 0]


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


def test_strict_runs_stop(machines):
    fabric = machines.start(RUN_TIME, {"b": "u16"}, strict=True)
    with pytest.raises(MeshlangError) as e:
        fabric.launch("run")
    assert e.value.diagnostics[0].code == "MS0818"
