"""<tile_config/control_transform>: what DSDs with control_transform do to control wavelets, and to no others."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "fabric"))
from switching import run

LINE = """
  @set_color_config(0, 0, c, .{ .routes = .{ .rx = .{ RAMP }, .tx = .{ EAST } } });
  @set_color_config(1, 0, c, .{ .routes = .{ .rx = .{ WEST }, .tx = .{ RAMP } } });
"""
PE = """
const tile = @import_module("<tile_config>");
const mark_out = @get_dsd(fabout_dsd, .{ .extent = 1, .fabric_color = c, .output_queue = oq, .control = true, .control_transform = true });
const data_mark_out = @get_dsd(fabout_dsd, .{ .extent = 1, .fabric_color = c, .output_queue = oq, .control_transform = true });
const all = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{3} -> out[i] });
const in = @get_dsd(fabin_dsd, .{ .extent = 3, .fabric_color = c, .input_queue = iq, .control_transform = RECEIVES });
INITIAL
fn main() void {
  MASK
  if (x == 0) { @mov32(data_mark_out, 0x5); @mov32(OUT, 0x001f0007); @mov32(data_out, 0x6); } else { RECEIVE }
  sys.unblock_cmd_stream();
}
"""
MARK = 0b100101 << 26


def received(
    folder,
    arch,
    out="mark_out",
    receives="true",
    mask="tile.control_transform.set_mask(0xffe5);",
    initial="",
    receive="@mov32(all, in);",
) -> list[int]:
    pe = PE
    for name, text in (
        ("RECEIVES", receives),
        ("OUT", out),
        ("INITIAL", initial),
        ("MASK", mask),
        ("RECEIVE", receive),
    ):
        pe = pe.replace(name, text)
    return run(folder, 2, LINE, pe, arch)[1, :3].tolist()


@pytest.mark.parametrize("arch", ["wse2", "wse3"])
@pytest.mark.parametrize(
    "out, receives, mark",
    [("mark_out", "false", MARK), ("ctrl_out", "true", MARK), ("ctrl_out", "false", 0), ("mark_out", "true", 0)],
)
def test_the_mask_marks_control_wavelets_only(tmp_path, arch, out, receives, mark):
    """Marked by the sender, by the receiver, by nobody, and twice, which is not at all."""
    assert received(tmp_path, arch, out, receives) == [5, 0x001F0007 | mark, 6]


def test_without_a_mask_nothing_changes(tmp_path):
    assert received(tmp_path, "wse3", mask="") == [5, 0x001F0007, 6]


def test_a_mask_from_the_start(tmp_path):
    initial = "comptime { tile.control_transform.set_mask(0x25); }"
    assert received(tmp_path, "wse3", out="ctrl_out", mask="", initial=initial) == [5, 0x001F0007 | MARK, 6]


def test_in_map(tmp_path):
    text = "@map(same, in, all);"
    pe = "fn same(v: u32) u32 { return v; }"
    assert received(tmp_path, "wse3", out="ctrl_out", initial=pe, receive=text) == [5, 0x001F0007 | MARK, 6]


def test_elements_of_16_bits_get_the_mark_in_the_upper_half(tmp_path):
    """Packed, two elements a wavelet: the mark is in the second of the two."""
    receive = """@mov16(@get_dsd(mem1d_dsd, .{ .base_address = @ptrcast([*]u16, &out), .extent = 6 }),
      @get_dsd(fabin_dsd, .{ .extent = 6, .fabric_color = c, .input_queue = iq, .control_transform = true, .simd_mode = .{ .simd_32 = true } }));"""
    assert received(tmp_path, "wse2", out="ctrl_out", receive=receive) == [5, 0x001F0007 | MARK, 6]
