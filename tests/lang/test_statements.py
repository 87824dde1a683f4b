"""Control flow, pointers, structs, arrays and functions at run time, against values worked out by hand."""

import numpy as np
import pytest
from reference_vm import Fault


def ints(machines, body: str, top: str = "") -> list[int]:
    """What the statements write to `out`; the engine and the reference interpreter must agree."""
    source = f"var out: [8]i32;\n{top}\nfn main() void {{\n{body}\n}}\n"
    return machines.run_both(source, {"out": "i32"})["out"].tolist()


def test_integers_wrap_and_divide_towards_zero(machines):
    got = machines.run(
        """
var a8: [6]i8; var b16: [6]u16; var c32: [6]i32;
fn main() void {
  var x: i8 = 100; var y: u16 = 65535; var z: i32 = 2147483647;
  a8[0] = x + x; a8[1] = x * 3; a8[2] = -x - x; a8[3] = x - 1;
  a8[4] = -7 / @as(i8, 2); x = -7; a8[5] = x % 2;
  b16[0] = y + 1; b16[1] = y * y; b16[2] = 0 - y; b16[3] = y / 7; b16[4] = y % 7; b16[5] = y >> 3;
  c32[0] = z + 1; c32[1] = z * 2; z = -17; c32[2] = z / 5; c32[3] = z % 5; c32[4] = z >> 2; c32[5] = ~z;
}""",
        "a8",
        "b16",
        "c32",
    )
    assert got[0].tolist() == [-56, 44, 56, 99, -3, -1]
    assert got[1].tolist() == [0, 1, 1, 9362, 1, 8191]
    assert got[2].tolist() == [-2147483648, -2, -3, -2, -5, 16]


def test_odd_widths_wrap_in_their_own_width(machines):
    got = machines.run(
        """
var u: [4]u16; var s: [4]i16;
fn main() void {
  var a: u5 = 31; var b: i5 = 15; var c: u12 = 4095;
  u[0] = a + 1; u[1] = a * 2; u[2] = c + 2; u[3] = ~a;
  s[0] = b + 1; s[1] = -b - 2; s[2] = b << 1; s[3] = b >> 1;
}""",
        "u",
        "s",
    )
    assert got[0].tolist() == [0, 30, 1, 0]
    assert got[1].tolist() == [-16, 15, -2, 7]


@pytest.mark.parametrize(
    "statement, fault",
    [
        ("out[0] = 7 / zero;", "division"),
        ("out[0] = 7 % zero;", "division"),
        ("out[0] = 7 << @as(u16, forty);", "shift"),
        ("out[forty] = 1;", "index"),
        ("@assert(zero == 1);", "zero == 1"),
    ],
)
def test_faults(machines, statement, fault):
    with pytest.raises(Fault, match=fault):
        ints(machines, statement, "var zero: i32 = 0; var forty: i32 = 40;")


def test_a_function_without_return_on_a_path(machines):
    with pytest.raises(Fault, match="without returning"):
        ints(machines, "out[0] = f(0);", "fn f(x: i32) i32 { if (x == 1) { return 2; } }")


def test_loops(machines):
    assert ints(
        machines,
        """
  var i: i32 = 0; var sum: i32 = 0;
  while (i < 10) : (i += 1) { if (i == 3) { continue; } if (i == 6) { break; } sum += i; }
  out[0] = sum; out[1] = i;
  outer: for (@range(i32, 1, 9, 2)) |a, n| {
    for (@range(i32, 5)) |b| {
      if (b == a) { continue :outer; }
      if (a == 7) { break :outer; }
      out[2] += 1;
    }
    out[3] = @as(i32, n);
  }
  for (@range(i32, 5, -5, -3)) |d| { out[4] = out[4] * 10 + d; }
  var stop: i32 = 4;
  for (@range(i32, stop)) |k| { out[5] += k; stop = 100; }
  for (table) |v, k| { out[6] += v * @as(i32, k); }
  for (@range(i32, 4, 1, 1)) |_| { out[7] = 1; }
""",
        "const table = [4]i32 { 1, 10, 100, 1000 };",
    ) == [12, 6, 1 + 3 + 5, 2, 5186, 6, 3210, 0]


def test_loops_over_what_has_no_one_place_in_memory(machines):
    """Tuples, with fields of run time too, and arrays of types that exist at compile time only."""
    got = ints(
        machines,
        """
  var n: i32 = 5;
  for (.{ 1, n, 3 }) |v, i| { out[0] += v; out[1] += @as(i32, i); }
  for (floats) |v| { if (v == 2.5) { continue; } out[2] += @as(i32, v * 2.0); }
  for (names) |s| { if (@strlen(s) > 2) { break; } out[3] += @as(i32, @strlen(s)); }
  for (structs) |s| { if (n == 9) { break; } out[4] += s.k; n += 4; }
  outer: for (numbers) |k| { for (.{ 1, 2 }) |m| { if (n + m == 11) { continue :outer; } out[5] += k * m; } }""",
        top="""
const floats = .{ 1.5, 2.5, 4.0 }; const names = [3]comptime_string{ "ab", "abc", "d" };
const structs = [3]comptime_struct{ .{ .k = 5 }, .{ .k = 7 }, .{ .k = 9 } }; const numbers = [2]comptime_int{ 3, 4 };""",
    )
    assert got == [9, 3, 11, 2, 5, 7, 0, 0]


def test_a_step_known_at_run_time_only(machines):
    assert ints(
        machines,
        """
  for (@range(i32, a, b, step)) |i| { out[0] = out[0] * 10 + i; }
  step = -2;
  for (@range(i32, b, a, step)) |i| { out[1] = out[1] * 10 + i; }
""",
        "var a: i32 = 1; var b: i32 = 7; var step: i32 = 2;",
    )[:2] == [135, 753]


def test_choices(machines):
    assert ints(
        machines,
        """
  for (@range(i32, 6)) |i| {
    const v: i32 = switch (i) { 0 => 10, 1, 2 => 20 + i, 3 => blk: { out[6] += 1; break :blk 30; }, else => if (i == 4) 40 else 50 };
    out[@as(u16, i)] = v;
  }
  const m = Mode.busy;
  switch (mode) { Mode.idle => out[7] = 1, Mode.busy => { out[7] = 2; } }
  if (mode == m and out[6] == 1 or false) { out[7] += 10; } else if (out[6] == 5) { out[7] += 20; } else { out[7] += 30; }
""",
        "const Mode = enum(u16) { idle, busy }; var mode = Mode.busy;",
    ) == [10, 21, 22, 30, 40, 50, 1, 12]


def test_the_right_side_of_and_or_runs_only_when_needed(machines):
    assert ints(
        machines,
        """
  if (no and count()) { out[1] = 1; }
  if (!no or count()) { out[2] = 1; }
  const a = !no and count();
  const b = no or count();
  if (a and b) { out[3] = 1; }
""",
        "var no: bool = false; fn count() bool { out[0] += 1; return true; }",
    )[:4] == [2, 0, 1, 1]


def test_labelled_blocks(machines):
    assert ints(
        machines,
        """
  const v: i32 = find: {
    for (@range(i32, 10)) |i| { if (i * i > 20) { break :find i; } }
    break :find -1;
  };
  out[0] = v;
  done: { out[1] = 1; if (v == 5) { break :done; } out[1] = 2; }
  const known = blk: { out[2] += 1; break :blk 7; };
  var a: [known]i32;
  a[6] = 3; out[3] = a[6];
""",
    )[:4] == [5, 1, 1, 3]


def test_pointers(machines):
    assert ints(
        machines,
        """
  var local: i32 = 4;
  const p = &local;
  p.* += 1;
  bump(p);
  out[0] = local;
  const q: [*]i32 = &data;
  q[2] = 30;
  const r = &data[1];
  r.* = 20;
  out[1] = data[1] + data[2] + q[0];
  const whole: *[4]i32 = &data;
  whole[3] = 7;
  out[2] = whole.*[3] + (whole.*)[0];
  table = &data[2];
  out[3] = table.*;
  const pp = &table;
  pp.*.* = 99;
  out[4] = data[2];
  whole.* = [4]i32 { 9, 8, 7, 6 };
  out[5] = data[0] * 1000 + data[3];
  const c: [*]const i32 = &fixed;
  var i: u16 = 1;
  out[6] = c[i] + fixed[i + 1];
  const m: *[2, 3]i32 = &matrix;
  m.*[1, i] = 5;
  const flat: [*]i32 = &matrix;
  out[7] = flat[4];
""",
        """var data = [4]i32 { 1, 2, 3, 4 }; var table: *i32 = &data[0]; const fixed = [3]i32 { 5, 6, 7 }; var matrix: [2, 3]i32;
fn bump(p: *i32) void { p.* = p.* * 2; }""",
    ) == [10, 51, 8, 30, 99, 9006, 13, 5]


def test_structs_by_value(machines):
    assert ints(
        machines,
        """
  var a = Pair { .x = 1, .y = 2 };
  var b = a;
  b.x = 10;
  out[0] = a.x + b.x + b.y;
  const c = swap(a);
  out[1] = c.x * 10 + c.y;
  out[2] = total(swap(.{ .x = 3, .y = 5 }), 2);
  global = swap(b);
  out[3] = global.x * 100 + global.y;
  const p = &global;
  p.x += 1;
  out[4] = p.*.x + p.y;
  var nest = Nest { .p = a, .k = 7 };
  nest.p.y = 40;
  out[5] = nest.p.x + nest.p.y + nest.k;
  a = b;
  b = Pair { .x = 0, .y = 0 };
  out[6] = a.x;
  const t = both(2, 3);
  out[7] = t[0] * 10 + t[1];
""",
        """const Pair = struct { x: i32, y: i32 }; const Nest = struct { p: Pair, k: i32 }; var global: Pair;
fn swap(p: Pair) Pair { return Pair { .x = p.y, .y = p.x }; }
fn total(p: Pair, k: i32) i32 { return (p.x - p.y) * k; }
const Both = struct { i32, i32 };
fn both(a: i32, b: i32) Both { return .{ a + b, a * b }; }""",
    ) == [13, 21, 4, 210, 13, 48, 10, 56]


def test_defaults_beside_values_of_run_time(machines):
    """Fields that are left out have their defaults, whatever the others are and wherever the value goes."""
    got = ints(
        machines,
        """
  g.x = 1; n = 3;
  s = S{ .v = g }; out[0] = s.n; out[1] = s.k;
  s = mk(g); out[2] = s.n + s.v.x;
  out[3] = use(S{ .v = g, .n = n }) + use(.{ .v = g });
  const one = S{ .v = V{ .x = n } }; out[4] = one.v.y + one.n + one.v.x;
  var two: S = .{ .v = .{ .x = n }, .k = 1 }; two.n += 1; out[5] = two.v.y + two.n + two.k;
  many[n - 2] = S{ .v = g }; out[6] = many[1].n;
  s = if (n == 3) .{ .v = g, .n = 8 } else S{ .v = g }; out[7] = s.n + s.k;""",
        top="""
const V = struct { x: i32, y: i32 = 4 }; const S = struct { v: V, n: i32 = 2, k: i32 = -5 };
var g: V; var s: S; var n: i32; var many: [2]S;
fn mk(v: V) S { return .{ .v = v }; }
fn use(z: S) i32 { return z.n * 10 + z.k; }""",
    )
    assert got == [2, -5, 3, 40, 9, 8, 2, 3]


def test_a_call_with_two_values_of_its_own_parameters(machines):
    """Return registers are written while the parameters are still read."""
    assert (
        ints(
            machines,
            "const p = swap(3, 4); out[0] = p.a * 10 + p.b;",
            "const P = struct { a: i32, b: i32 }; fn swap(x: i32, y: i32) P { return .{ .a = y, .b = x }; }",
        )[0]
        == 43
    )


def test_arrays(machines):
    assert ints(
        machines,
        """
  var i: u16 = 2;
  var local = [4]i32 { 1, 2, @as(i32, i), 4 };
  local[i] += 10;
  out[0] = local[2];
  var copy: [4]i32;
  copy = local;
  local[0] = 77;
  out[1] = copy[0] + local[0];
  copy = @zeros([4]i32);
  out[2] = copy[2];
  copy = @constants([4]i32, 6);
  out[3] = copy[0] + copy[3];
  grid[1, i] = 8;
  out[4] = grid[1, 2] + flat[i];
  out[5] = fresh();
  out[6] = fresh();
  for (local) |v| { out[7] += v; }
""",
        """var grid: [2, 3]i32; const flat = [3]i32 { 1, 2, 3 };
fn fresh() i32 { var a: [2]i32 = @zeros([2]i32); a[1] += 5; return a[1]; }""",
    ) == [12, 78, 0, 12, 11, 5, 5, 95]


def test_recursion_and_function_pointers(machines):
    assert ints(
        machines,
        """
  out[0] = fact(6);
  out[1] = fib(10);
  out[2] = ack(2, 3);
  out[3] = apply(&twice, 4) + apply(&fact, 4);
  next = &twice;
  out[4] = next(8);
  var k: u16 = 1;
  out[5] = table.f(5) + pick(k == 1)(3);
""",
        """fn fact(n: i32) i32 { if (n < 2) { return 1; } return n * fact(n - 1); }
fn fib(n: i32) i32 { if (n < 2) { return n; } const a = fib(n - 1); const b = fib(n - 2); return a + b; }
fn ack(m: i32, n: i32) i32 { if (m == 0) { return n + 1; } if (n == 0) { return ack(m - 1, 1); } return ack(m - 1, ack(m, n - 1)); }
fn twice(n: i32) i32 { return 2 * n; }
const Fn = *const fn(i32)i32;
var next: Fn = &fact;
const table = .{ .f = &twice };
fn apply(f: Fn, n: i32) i32 { return f(n); }
fn pick(first: bool) Fn { if (first) { return &twice; } return &fact; }""",
    )[:6] == [720, 55, 9, 32, 16, 16]


def test_inline_and_generic_functions(machines):
    assert ints(
        machines,
        """
  var n: i32 = 5;
  out[0] = square(n) + square(3);
  var a: [square(2)]i32;
  a[3] = 1;
  out[1] = max(i32, n, 7) + max(i16, 3, 2);
  out[2] = power(n, 3);
  out[3] = sum(.{ .a = n, .b = 2 });
  out[4] = early(n) + early(0);
  comptime var c = 1;
  inline for (@range(i32, 4)) |i| { c *= 2; out[5] += i * n + c; }
  out[6] = c;
  inline while (c > 3) { c -= 5; out[7] += 1; }
""",
        """inline fn square(x: i32) i32 { return x * x; }
fn max(comptime T: type, a: T, b: T) T { return if (a < b) b else a; }
fn power(x: i32, comptime k: u16) i32 { if (k == 0) { return 1; } else { return x * power(x, k - 1); } }
fn sum(s: anytype) i32 { return s.a + s.b; }
inline fn early(x: i32) i32 { if (x == 0) { return 100; } return x; }""",
    ) == [34, 10, 125, 7, 105, 60, 16, 3]


def test_arguments_are_evaluated_into_place(machines):
    """Calls inside the arguments of calls must not overwrite what is already in place."""
    assert ints(
        machines,
        """
  var a: i32 = 1; var b: i32 = 2; var c: i32 = 3;
  out[0] = three(a, three(b, c, a), three(c, three(a, b, c), b));
  out[1] = a + three(a, b, c) * b - three(c, b, a);
  out[2] = if (three(a, b, c) > 0) three(b, a, c) + a else c;
  const t: i32 = switch (three(a, b, c)) { 123 => three(c, c, c), else => a };
  out[3] = t;
""",
        "fn three(x: i32, y: i32, z: i32) i32 { var t: i32 = x * 100; t += y * 10; return t + z; }",
    )[:4] == [100 * 1 + 10 * 231 + (100 * 3 + 10 * 123 + 2), 1 + 123 * 2 - 321, 214, 333]


def test_assignment_operators(machines):
    assert ints(
        machines,
        """
  var a: i32 = 12; a += 3; a -= 1; a *= 4; a /= 3; out[0] = a;
  a %= 5; out[1] = a;
  a = 0b1100; a <<= 2; a |= 1; a ^= 0b11; a &= 0b111110; out[2] = a; a >>= 1; out[3] = a;
  out[4] = 5; out[4] *= out[4]; p.* -= 7; out[5] += 2;
""",
        "var p: *i32 = &out[5];",
    )[:6] == [18, 3, 50, 25, 25, -5]


def test_conversions(machines):
    got = machines.run(
        """
var i: [10]i32; var f: [4]f32; var h: [4]f16;
var x: f32 = -2.75; var big: f32 = 1.0e9; var n: i16 = -3; var u: u16 = 65533; var t: bool = true; var half: f16 = 1.5;
const E = enum(u16) { a, b = 5 };
var e = E.b;
fn main() void {
  i[0] = @as(i32, x); i[1] = @as(i32, @as(i16, u)); i[2] = @as(i32, u); i[3] = @as(i32, t); i[4] = @as(i32, @as(u8, n));
  i[5] = n; i[6] = @as(i32, e); i[7] = @as(i32, @as(i16, 4.9 + @as(f32, n))); i[8] = @as(i32, @as(bool, x)); i[9] = @as(i32, @as(E, u - 65528));
  f[0] = @as(f32, n); f[1] = half; f[2] = @as(f32, u); f[3] = @bitcast(f32, @as(u32, 0x40490fdb));
  h[0] = @as(f16, x); h[1] = @as(f16, big); h[2] = @as(f16, u); h[3] = half + 2;
}""",
        "i",
        "f",
        "h",
    )
    assert got[0].tolist() == [-2, -3, 65533, 1, 253, -3, 5, 1, 1, 5]
    assert got[1].tolist() == [-3.0, 1.5, 65533.0, float(np.float32(np.pi))]
    assert got[2].tolist() == [-2.75, np.inf, np.inf, 3.5]


def test_uninitialised_variables_are_zero(machines):
    assert ints(
        machines,
        """
  { var used: i32 = 7; out[0] = used; }
  { var fresh: i32; out[1] = fresh; }
  var a: [3]i32;
  out[2] = a[1];
  out[3] = 5 + out[4];
  for (@range(i32, 2)) |i| { var t: i32; out[5] += t; t = 9; }
""",
    )[:6] == [7, 0, 0, 5, 0, 0]


def test_shadowed_registers_of_loops(machines):
    """A local declared in a loop body starts anew each time, and does not touch what is outside."""
    assert ints(
        machines,
        """
  var keep: i32 = 7;
  for (@range(i32, 3)) |i| { var t: i32 = i; t += keep; out[0] += t; { const inner = t * 2; out[1] += inner; } }
  out[2] = keep;
""",
    )[:3] == [24, 48, 7]


def test_a_dereferenced_function_pointer_is_called(machines):
    got = ints(
        machines,
        """
  var f: *const fn(i32)i32 = &twice;
  out[0] = f.*(4);
  f = &next;
  out[1] = f.*(4) + f(5) + (&twice).*(6);
""",
        "fn twice(x: i32) i32 { return 2 * x; }\nfn next(x: i32) i32 { return x + 1; }",
    )
    assert got[:2] == [8, 5 + 6 + 12]


def test_pointers_without_a_type(machines):
    assert ints(
        machines,
        """
  var x: i32 = 5; var y: [2]i32;
  store(&x, 6); out[0] = x;
  const p: *anyopaque = if (x == 6) keep(&y) else keep(&x);
  store(p, 7); out[1] = y[0];
""",
        """
fn store(p: *anyopaque, v: i32) void { const q = @ptrcast(*i32, p); q.* = v; }
fn keep(p: *anyopaque) *anyopaque { return p; }
""",
    )[:2] == [6, 7]


def test_as_converts_the_result_of_a_choice_of_bools_or_enums(machines):
    assert ints(
        machines,
        """
  out[0] = @as(i32, if (n > 2) yes else no); out[1] = @as(i32, if (n > 4) yes else no);
  out[2] = @as(i32, switch (n) { 3 => true, else => no }); out[3] = @as(i32, pick: { if (n == 3) { break :pick yes; } break :pick no; });
  out[4] = @as(i32, if (n > 2) e else E.A); out[5] = @as(i32, if (n > 4) e else E.A);
  out[6] = comptime @as(i32, if (3 > 2) true else false);
""",
        "var n: i32 = 3; var yes: bool = true; var no: bool = false; const E = enum(u16) { A = 5, B = 9 }; var e: E = E.B;",
    )[:7] == [1, 0, 1, 1, 9, 5, 1]


def test_constants_have_an_address_wherever_they_are_named(machines):
    """Their elements too, those of other modules, and by an index that is known or not."""
    (machines.folder / "engine").mkdir()
    (machines.folder / "engine/other.csl").write_text(
        "const t = [3]i16{ 7, 8, 9 };\nconst w: i16 = 10;\nconst s = .{ .part = [2]i16{ 11, 12 } };\n"
    )
    source = """
const other = @import_module("other.csl");
const a = [3]i16{ 1, 2, 3 };
const many: [*]const i16 = &a;
const S = struct { x: i16, y: i32, z: [2]u16 };
const whole = S{ .x = 4, .y = 5, .z = [2]u16{ 6, 7 } };
fn sum(it: *const S) i32 { return it.x + it.y + it.z[0] + it.z[1]; }
const p = &a[1];
const q = &other.t;
const r = &other.t[2];
const w = &other.w;
const s = &other.s.part[1];
const second = @get_dsd(mem1d_dsd, .{ .base_address = &a[1], .extent = 2 });
var to = @zeros([2]i16);
const all = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{2} -> to[i] });
var n: i16 = 2;
var out: [8]i32;
comptime { @comptime_assert(p.* == 2 and q[0] == 7 and r.* == 9 and w.* == 10 and s.* == 12 and (&many[2]).* == 3); }
fn main() void {
  @mov16(all, second);
  out[0] = to[0]; out[1] = to[1] + 100 * sum(&whole);
  out[2] = (&a[n]).*; out[3] = (&other.t[n]).*; out[4] = (&many[2]).*; out[5] = p.* + 10 * s.*; out[6] = q[0] + 10 * r.*; out[7] = w.*;
}
"""
    assert machines.engine(source, {"out": "i32"})["out"].tolist() == [2, 2203, 3, 9, 3, 122, 97, 10]
