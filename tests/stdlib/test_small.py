"""<time>, <layout>, <directions>, <control>, <random>, <simprint>."""

from __future__ import annotations

import numpy as np


def test_time_counts_cycles(one_pe):
    out = one_pe(
        """
const time = @import_module("<time>");
var a: [3]u16;
var b: [3]u16;
fn main() void {
  time.enable_tsc();
  time.get_timestamp(&a);
  for (@range(u16, 1000)) |i| { words[6] += i; }
  time.get_timestamp(&b);
  for (@range(u16, 3)) |i| { words[i] = a[i]; words[i + 3] = b[i]; }
  sys.unblock_cmd_stream();
}
""",
        {"words": ("u16", 7)},
    )
    w = out["words"].astype(np.int64)
    cycles = (w[3] | w[4] << 16 | w[5] << 32) - (w[0] | w[1] << 16 | w[2] << 32)
    assert w[6] == sum(range(1000)) & 0xFFFF
    assert 1000 <= cycles <= 40_000  # a loop of a few instructions, each at least a cycle


def test_directions(one_pe):
    out = one_pe(
        """
const d = @import_module("<directions>");
fn code(x: direction) u16 {
  if (x == NORTH) { return 1; }
  if (x == EAST) { return 2; }
  if (x == SOUTH) { return 3; }
  if (x == WEST) { return 4; }
  return 5;
}
const comptime_flip = d.flip(WEST);
fn main() void {
  var n = NORTH;
  var e = EAST;
  r[0] = code(d.rotate_clockwise(n));
  r[1] = code(d.rotate_counterclockwise(n));
  r[2] = code(d.flip(n));
  r[3] = code(d.flip_vertical(n));
  r[4] = code(d.flip_horizontal(n));
  r[5] = code(d.flip_horizontal(e));
  r[6] = code(comptime_flip);
  r[7] = code(d.flip(RAMP));
  sys.unblock_cmd_stream();
}
""",
        {"r": ("u16", 8)},
    )
    assert out["r"].tolist() == [2, 4, 3, 3, 1, 4, 2, 5]


def test_control_payloads(one_pe):
    out = one_pe(
        """
const control = @import_module("<control>");
const teardown = control.encode_payload(8,
  [8]control.opcode{ control.opcode.TEARDOWN, control.opcode.NOP, control.opcode.NOP, control.opcode.NOP,
                     control.opcode.NOP, control.opcode.NOP, control.opcode.NOP, control.opcode.NOP },
  [8]bool{ true, true, true, true, true, true, true, true }, true, {});
const advance_twice = control.encode_payload(2, [2]control.opcode{ control.opcode.SWITCH_ADV, control.opcode.NOP },
  [2]bool{ true, true }, true, @get_control_task_id(0));
fn main() void {
  r[0] = control.encode_control_task_payload(43);
  r[1] = control.encode_single_payload(control.opcode.SWITCH_ADV, true, {}, 0);
  r[2] = control.encode_single_payload(control.opcode.NOP, false, @get_control_task_id(5), 0x1234);
  r[3] = teardown;
  r[4] = advance_twice;
  sys.unblock_cmd_stream();
}
""",
        {"r": ("u32", 5)},
    )
    # by the bit positions of a payload: opcode 22-23, ce_ignore 24, task id 16-21
    assert out["r"][0] == 43 << 16
    assert out["r"][1] == 5 << 22 | 31 << 16
    assert out["r"][2] == 5 << 16 | 0x1234
    # the published all-NOCE teardown payload without a task: 0x09df9249
    assert out["r"][3] == 0x09DF9249
    assert out["r"][4] >> 22 & 7 == 0b101 and out["r"][4] >> 25 & 7 == 0b100 and out["r"][4] >> 16 & 63 == 0


def test_random_is_in_range_and_repeats(one_pe):
    source = """
const random = @import_module("<random>");
fn main() void {
  random.set_global_prng_seed(42);
  for (@range(u16, 200)) |i| { u[i] = random.random_f32(-1.0, 3.0); }
  for (@range(u16, 200)) |i| { n[i] = random.random_normal_f32(); }
  for (@range(u16, 200)) |i| { p[i] = random.random_pow_u32(4); }
  sys.unblock_cmd_stream();
}
"""
    arrays = {"u": ("f32", 200), "n": ("f32", 200), "p": ("u32", 200)}
    out = one_pe(source, arrays)
    assert (out["u"] >= -1).all() and (out["u"] < 3).all() and len(set(out["u"].tolist())) > 190
    assert abs(out["n"].mean()) < 0.3 and 0.7 < out["n"].std() < 1.3
    assert (out["p"] < 16).all() and len(set(out["p"].tolist())) == 16
    again = one_pe(source, arrays)
    np.testing.assert_array_equal(out["u"], again["u"])


def test_types_and_data_utils(one_pe):
    out = one_pe(
        """
const types = @import_module("<types>");
const data = @import_module("<data_utils>");
comptime {
  @comptime_assert(types.is_unsigned_int(u16) and !types.is_unsigned_int(i16));
  @comptime_assert(types.is_float(f32) and types.is_float16(f16) and !types.is_float(u32));
  @comptime_assert(types.is_dsd(fabin_dsd) and types.is_dsr(dsr_src0) and types.is_numeric(comptime_int));
  @comptime_assert(types.word_size_of(f32) == 2 and types.byte_size_of(u8) == 1 and types.bit_size_of(i64) == 64);
}
fn main() void {
  var x: u32 = 0x12345678;
  var y: u64 = @as(u64, x) << 32 | 0x9abcdef0;
  r[0] = data.lo16(x);
  r[1] = data.hi16(x);
  r[2] = data.hi32(y);
  r[3] = data.lo32(y);
  sys.unblock_cmd_stream();
}
""",
        {"r": ("u32", 4)},
    )
    assert out["r"].tolist() == [0x5678, 0x1234, 0x12345678, 0x9ABCDEF0]


def test_malloc(one_pe):
    out = one_pe(
        """
const pool = @import_module("<malloc>", .{ .buffer_num_words = 10 });
fn main() void {
  const a = pool.malloc(u16, 3);
  const b = pool.malloc_f32(2);
  for (@range(u16, 3)) |i| { a[i] = 100 + i; }
  b[0] = 1.5;
  b[1] = 2.5;
  r[0] = @as(f32, a[2]);
  r[1] = b[0] + b[1];
  r[2] = @as(f32, pool.has_enough_space(f32, 1));
  r[3] = @as(f32, pool.has_enough_words(3));
  pool.free();
  r[4] = @as(f32, pool.has_enough_words(10));
  sys.unblock_cmd_stream();
}
""",
        {"r": ("f32", 5)},
    )
    assert out["r"].tolist() == [102, 4, 1, 0, 1]


def test_timer(one_pe):
    out = one_pe(
        """
const time = @import_module("<time>");
const timer = @import_module("<timer>", .{ .timerCount = 2 });
var t: timer.timerType;
var s: u16 = 0;
fn work(n: u16) void { for (@range(u16, n)) |i| { s += i; } }
fn main() void {
  time.enable_tsc();
  timer.start(0);
  work(10);
  timer.start(1);
  work(100);
  timer.stop(1);
  timer.stop(0);
  for (@range(i16, 2)) |i| {
    timer.elapsed(i, &t);
    r[i] = @as(u32, t[0]) | @as(u32, t[1]) << 16;
  }
  r[2] = s;
  sys.unblock_cmd_stream();
}
""",
        {"r": ("u32", 3)},
    )
    assert out["r"][1] > 100 and out["r"][0] > out["r"][1]


def test_complex(one_pe):
    out = one_pe(
        """
const c = @import_module("<complex>");
fn main() void {
  var x = c.get_complex_64(1.0, 2.0);
  var y = c.get_complex(@as(f32, 3.0), -1.0);
  const p = c.multiply_complex_64(x, y);
  const s = c.add_complex(x, y);
  const d = c.subtract_complex_64(x, y);
  r[0] = p.real; r[1] = p.imag; r[2] = s.real; r[3] = s.imag; r[4] = d.real; r[5] = d.imag;
  sys.unblock_cmd_stream();
}
""",
        {"r": ("f32", 6)},
    )
    assert out["r"].tolist() == [5, 5, 4, 1, -2, 3]
