"""Operations on DSDs made for elements of another width: the operation counts in its own elements."""


def test_pairs_of_16_bit_elements(machines):
    got = machines.engine("""
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
""", {"forwards": "u16", "backwards": "u16", "low": "u32"})
    assert got["forwards"].tolist() == [3, 4, 5, 6, 7, 8, 0, 0]
    assert got["backwards"].tolist() == [7, 8, 5, 6, 3, 4, 1, 2]
    assert got["low"].tolist() == [0, 7 | 7 << 16, 7, 0]
