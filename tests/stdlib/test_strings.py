"""<string>, <types> and subsat."""

from __future__ import annotations

import numpy as np
import pytest

from meshlang.diag import MeshlangError


def test_strings(one_pe):
    one_pe(
        """
const string = @import_module("<string>");
comptime {
  @comptime_assert(string.comptime_int_to_string(0) == "0" and string.comptime_int_to_string(-1207) == "-1207");
  @comptime_assert(string.comptime_int_to_string(@as(u16, 65535)) == "65535");
  @comptime_assert(string.fmt("tile_{d}_{s}", .{ 5, "north" }) == "tile_5_north");
  @comptime_assert(string.fmt("{X} {b} {{{d}}}", .{ 0xbeef, 10, -3 }) == "BEEF 1010 {-3}");
  @comptime_assert(string.fmt("", .{}) == "");
}
fn main() void { sys.unblock_cmd_stream(); }
""",
        {},
    )


@pytest.mark.parametrize(
    "call, text",
    [
        ('fmt("{d", .{ 1 })', "one letter in braces"),
        ('fmt("}", .{})', "write }} for a brace"),
        ('fmt("{q}", .{ 1 })', "the specifiers are"),
        ('fmt("{s}", .{ 1 })', "takes a string"),
        ('fmt("{X}", .{ -1 })', "not negative"),
    ],
)
def test_wrong_formats(one_pe, call, text):
    with pytest.raises(MeshlangError) as e:
        one_pe(
            f'const string = @import_module("<string>");\nconst s = string.{call};\ncomptime {{ @comptime_assert(s == s); }}\n'
            "fn main() void { sys.unblock_cmd_stream(); }",
            {},
        )
    assert text in e.value.diagnostics[0].message


def test_types(one_pe):
    one_pe(
        """
const types = @import_module("<types>");
var a: [2]f16;
const d = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{2} -> a[i] });
comptime {
  @comptime_assert(types.has_dsd_type(d) and !types.has_dsd_type(3) and types.has_dsr_type(@get_dsr(dsr_dest, 1)));
  @comptime_assert(types.bits_type_of(f16) == u16 and types.bits_type_of(i64) == u64 and types.bits_type_of(bool) == u8);
  @comptime_assert(types.min_byte_align_of(f32) == 4 and types.min_word_align_of(u8) == 1 and types.min_byte_align_of(f16) == 2);
}
fn main() void { sys.unblock_cmd_stream(); }
""",
        {},
    )


@pytest.mark.parametrize("T", ["i8", "u8", "i16", "u16", "i32", "u32"])
def test_subsat_of_integers(one_pe, T):
    info = np.iinfo(
        {"i8": np.int8, "u8": np.uint8, "i16": np.int16, "u16": np.uint16, "i32": np.int32, "u32": np.uint32}[T]
    )
    points = [info.min, info.min + 1, info.max // 2, 0, 1, info.max - 1, info.max]
    x, y = (np.array(v, info.dtype) for v in zip(*[(a, b) for a in points for b in points]))
    out = one_pe(
        f"""
const math = @import_module("<math>");
fn main() void {{ for (@range(u16, {len(x)})) |i| {{ r[i] = math.subsat(x[i], y[i]); }} sys.unblock_cmd_stream(); }}
""",
        {"x": (T, len(x)), "y": (T, len(x)), "r": (T, len(x))},
        {"x": x, "y": y},
    )
    np.testing.assert_array_equal(
        out["r"], np.clip(x.astype(object) - y.astype(object), info.min, info.max).astype(info.dtype)
    )


def test_subsat_of_floats(one_pe):
    x = np.array([1.5, 3e38, -3e38, np.inf, 1.0], np.float32)
    y = np.array([2.5, -3e38, 3e38, 1.0, np.inf], np.float32)
    most = np.finfo(np.float32).max
    out = one_pe(
        """
const math = @import_module("<math>");
fn main() void {
  for (@range(u16, 5)) |i| { r[i] = math.subsat(x[i], y[i]); }
  h[0] = math.subsat_f16(60000.0, -60000.0);
  h[1] = math.subsat_f16(-60000.0, 60000.0);
  sys.unblock_cmd_stream();
}
""",
        {"x": ("f32", 5), "y": ("f32", 5), "r": ("f32", 5), "h": ("f16", 2)},
        {"x": x, "y": y},
    )
    assert out["r"].tolist() == [-1, most, -most, np.inf, -np.inf]
    assert out["h"].tolist() == [65504, -65504]
