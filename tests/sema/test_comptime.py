"""Comptime evaluation: programs whose assertions run while compiling. A failed assertion is a compile error."""

import pytest
from compiling import compile_files
from hypothesis import given, settings
from hypothesis import strategies as st

from meshlang.diag import MeshlangError
from meshlang.host.build import compile_program
from meshlang.sema.model.options import CompileOptions


def holds(tmp_path, source: str, **options) -> None:
    compile_files(tmp_path, source, **options)


def test_operators_bind_like_zig(tmp_path):
    """Facts 1.9: shifts bind tighter than `& ^ |` (one level), those tighter than comparison, `and` tighter than
    `or`."""
    holds(
        tmp_path,
        """
comptime {
  @comptime_assert(2 + 3 * 4 == 14);
  @comptime_assert(6 & 1 != 1);
  @comptime_assert(1 << 2 + 1 == 8);
  @comptime_assert(1 | 2 << 1 == 5);
  @comptime_assert(-3 - -2 == -1);
  @comptime_assert(10 - 4 - 3 == 3);
  @comptime_assert(100 / 10 / 5 == 2);
  @comptime_assert(7 % 4 * 2 == 6);
  @comptime_assert(true or false and false);
  @comptime_assert(!(1 == 2) and !false);
  @comptime_assert(1 ^ 3 & 2 == (1 ^ 3) & 2);
  @comptime_assert(~@as(u8, 1) & 3 == 2);
}""",
    )


def test_literals_have_no_width_and_typed_values_wrap(tmp_path):
    holds(
        tmp_path,
        """
const big = 1 << 70;
comptime {
  @comptime_assert(big / (1 << 68) == 4);
  @comptime_assert(-7 / 2 == -3 and -7 % 2 == -1 and 7 / -2 == -3 and 7 % -2 == 1);
  @comptime_assert(@as(u8, 255) + 1 == 0);
  @comptime_assert(@as(i8, 127) + 1 == -128);
  @comptime_assert(@as(u16, 3) - 4 == 65535);
  @comptime_assert(@as(i16, -5) >> 1 == -3 and @as(u16, 65531) >> 1 == 32765);
  @comptime_assert(@as(u8, @as(i16, 300)) == 44);
  @comptime_assert(@as(i32, -2.9) == -2 and @as(i32, 2.9) == 2);
  @comptime_assert(@as(bool, 3) and !@as(bool, 0.0) and @as(i16, true) == 1);
  @comptime_assert('a' == 97 and 0xff == 255 and 0b101 == 5);
  @comptime_assert(0.1 + 0.2 != 0.3);
  @comptime_assert(@as(f16, 0.1) == @as(f16, 0.09998));
  @comptime_assert(@as(f32, 16777217) == 16777216.0);
  @comptime_assert(@bitcast(u16, @as(f16, 1.0)) == 0x3c00 and @bitcast(f32, @as(u32, 0x40000000)) == 2.0);
}""",
    )


def test_the_three_16_bit_floats(tmp_path):
    """The encoding of 6.0 in each (facts 1.10)."""
    holds(
        tmp_path,
        """
comptime {
  @comptime_assert(@bitcast(u16, @as(f16, 6.0)) == 0x4600);
  @comptime_assert(@bitcast(u16, @as(bf16, 6.0)) == 0x40c0);
  @comptime_assert(@bitcast(u16, @as(cb16, 6.0)) == 0x5900);
  @comptime_assert(@is_same_type(@fp16(), f16));
}""",
    )


def test_conversions_that_are_allowed(tmp_path):
    holds(
        tmp_path,
        """
const small: u8 = 200;
const wide: u32 = small;            // widening
const fits: i16 = @as(u16, 300);    // known, and it fits
const f: f32 = 3;                   // a literal
const h: f16 = 0.5;
const w: f32 = h;
var a: [4]i16;
const p: *const [4]i16 = &a;
const q: [*]i16 = &a;
const r: [*]const i16 = q;
var m: [2, 3]f32;
const flat: [*]f32 = &m;            // rank above 1: a published @map example needs it
const one: *[1]i16 = &a[2];
comptime { @comptime_assert(wide == 200 and fits == 300 and f == 3.0 and w == 0.5); }
fn main() void { const x = p.*[0] + q[1] + r[2] + one.*[0]; const y = flat[5]; }
""",
    )


def test_short_circuit_hides_what_is_not_evaluated(tmp_path):
    holds(
        tmp_path,
        """
param table = {};
const used = !@is_same_type(@type_of(table), void) and table.size > 3;
const either = @is_same_type(@type_of(table), void) or table.size > 3;
comptime { @comptime_assert(!used and either); }
fn main() void {
  if (used) { table.start(); }
  const n: u16 = if (used) table.size else 4;
  switch (@is_arch("wse3")) { true => missing(), false => {} }
}""",
    )


def test_functions_at_compile_time(tmp_path):
    holds(
        tmp_path,
        """
fn fib(n: u16) u16 { if (n < 2) { return n; } return fib(n - 1) + fib(n - 2); }
fn gcd(a: u32, b: u32) u32 {
  var x = a; var y = b;
  while (y != 0) { const t = x % y; x = y; y = t; }
  return x;
}
fn identity(comptime n: u16) [n, n]f32 {
  var m = @zeros([n, n]f32);
  for (@range(u16, n)) |i| { m[i, i] = 1.0; }
  return m;
}
fn first_above(limit: u16) u16 {
  var found: u16 = 0;
  outer: for (@range(u16, 100)) |i| {
    for (@range(u16, i)) |j| {
      if (j == 7) { continue :outer; }
      if (i * j > limit) { found = i * 100 + j; break :outer; }
    }
  }
  return found;
}
fn kind(x: anytype) comptime_string {
  return if (@is_same_type(@type_of(x), f32)) "float" else if (@is_same_type(@type_of(x), i16)) "int" else "other";
}
const eye = identity(3);
const word: comptime_string = switch (fib(7)) { 13 => "thirteen", else => "?" };
comptime {
  @comptime_assert(fib(12) == 144);
  @comptime_assert(gcd(84, 36) == 12);
  @comptime_assert(eye[1, 1] == 1.0 and eye[1, 2] == 0.0);
  @comptime_assert(first_above(20) == 504);
  @comptime_assert(@strlen(kind(@as(f32, 1))) == 5 and @strlen(kind(@as(i16, 1))) == 3);
  @comptime_assert(@strlen(word) == 8);
}""".replace("504", str(next(i * 100 + j for i in range(100) for j in range(min(i, 7)) if i * j > 20))),
    )


def test_constants_behind_pointers_have_their_value(tmp_path):
    holds(
        tmp_path,
        """
const a: i16 = 5;
const p = &a;
comptime {
  @comptime_assert(p.* == 5);
}""",
    )
    with pytest.raises(MeshlangError, match="MS0311"):
        holds(tmp_path, "var a: i16 = 5;\nconst p = &a;\ncomptime { @comptime_assert(p.* == 5); }")


BEHIND = """
const S = struct { x: i16, y: i32, z: [2]u16 };
const a = [3]i16{ 1, 2, 3 };
const b = [2, 2]f16{ 1, 2, 3, 4.5 };
const c = [2]S{ S{ .x = 4, .y = 5, .z = [2]u16{ 6, 7 } }, S{ .x = 8, .y = -9, .z = [2]u16{ 10, 11 } } };
const p = &a;
const q: [*]const i16 = &a;
const r = &b;
const s = &c;
var v: [p[2]]i16;
"""


def test_constants_behind_pointers_have_their_parts(tmp_path):
    """Elements and fields, of arrays of structs too; behind the end there is nothing, and what is between is nothing whole."""
    holds(
        tmp_path,
        BEHIND
        + """comptime {
  @comptime_assert(p.*[1] == 2 and p[2] == 3 and q[0] == 1 and r.*[1, 0] == 3.0 and r[1, 1] == 4.5);
  @comptime_assert(s[0].x == 4 and s[1].y == -9 and s.*[1].z[1] == 11 and s[0].z[0] == 6);
}""",
    )
    with pytest.raises(MeshlangError, match="MS0311.*no i16 at this place of 'a'"):
        holds(tmp_path, BEHIND + "comptime { @comptime_assert(q[3] == 2); }")
    with pytest.raises(MeshlangError, match="MS0311.*'v' is in memory"):
        holds(tmp_path, BEHIND + "comptime { @comptime_assert((&v)[1] == 0); }")


def test_a_choice_at_run_time_ends_with_its_branches(tmp_path):
    """What comes behind one is under no run-time control any more, and what stands in the next one is."""
    code = """var n: i16 = 1;
fn main() void {
  comptime var k = 1;
  const a = if (n > 0) @as(i16, 1) else 2;
  k = 2;
  const b = switch (n) { 1 => @as(i16, 3), else => 4 };
  k = 3;
  if (n > 1) { n = a + b; MORE }
  @comptime_assert(k == 3);
}
"""
    holds(tmp_path, code.replace("MORE", ""))
    with pytest.raises(MeshlangError, match="'k' is a comptime variable: it cannot change under run-time control flow"):
        holds(tmp_path, code.replace("MORE", "k = 4;"))


def test_types_are_values(tmp_path):
    holds(
        tmp_path,
        """
fn Pair(comptime T: type) type { return struct { first: T, second: T }; }
fn Vector(comptime T: type, comptime n: u16) type { return [n]T; }
const P = Pair(f32);
const Mode = enum(u16) { idle, busy = 5, done, lost = 1 };
const Row = if (@is_arch("wse2")) Vector(f16, 8) else Vector(f32, 8);
comptime {
  @comptime_assert(@is_same_type(Pair(f32), P) and !@is_same_type(Pair(f16), P));
  @comptime_assert(Pair(f32) == P and Pair(f16) != P);
  @comptime_assert(@is_same_type(@element_type(Row), f16) and @element_count(Row) == 8 and @rank([2, 3]i16) == 2);
  @comptime_assert(@dimensions([2, 3]i16)[1] == 3);
  const p = P { .first = 1.0, .second = 2.0 };
  @comptime_assert(p.second == 2.0 and @has_field(p, "first") and !@has_field(p, "third"));
  // members without a value take the smallest free numbers (facts 1.12)
  @comptime_assert(@get_int(Mode.idle) == 0 and @get_int(Mode.done) == 2 and @as(u16, Mode.busy) == 5);
  @comptime_assert(@as(Mode, 1) == Mode.lost);
}""",
    )


def test_structs_tuples_and_comptime_variables(tmp_path):
    holds(
        tmp_path,
        """
const base = .{ .width = 4, .height = 2 };
const more = @concat_structs(base, .{ .depth = 3 });
const Box = struct { size: u16 = 7, name: comptime_string };
comptime {
  @comptime_assert(more.width * more.depth == 12);
  const t = .{ 1, 2.5, "three", .{ .x = 4 } };
  @comptime_assert(t[0] == 1 and t[1] == 2.5 and @strlen(t[2]) == 5 and t[3].x == 4);
  var s = base;
  s.width = 10;
  @comptime_assert(s.width == 10 and base.width == 4);
  @field(s, "height") = 20;
  @comptime_assert(s.height == 20);
  var a = [3]u16 { 1, 2, 3 };
  var b = a;
  b[1] = 50;
  @comptime_assert(a[1] == 2 and b[1] == 50);
  var sum: u16 = 0;
  for (b) |x, i| { sum += x * i; }
  @comptime_assert(sum == 56);
  const box = Box { .name = "b" };
  @comptime_assert(box.size == 7);
  const found = blk: { for (@range(u16, 9)) |i| { if (i * i == 49) { break :blk i; } } break :blk 0; };
  @comptime_assert(found == 7);
}""",
    )


def test_ranges_and_strings(tmp_path):
    holds(
        tmp_path,
        r"""
const text = @strcat("ab", "\n", "\x41");
comptime {
  var n: i32 = 0;
  for (@range(i16, 10, 0, -3)) |i| { n = n * 100 + i; }
  @comptime_assert(n == 10070401);
  for (@range(i16, 0, 5, -1)) |i| { n = 0; }
  for (@range(comptime_int, 3)) |i| { n += i; }
  @comptime_assert(n == 10070404);
  const r = @range(u16, 2, 11, 4);
  @comptime_assert(@range_start(r) == 2 and @range_stop(r) == 11 and @range_step(r) == 4);
  @comptime_assert(@strlen(text) == 4 and @get_array(text)[2] == 10 and @get_array(text)[3] == 'A');
  @comptime_assert(text == "ab\nA");
}""",
    )


def test_modules_are_instances_with_params(tmp_path):
    holds(
        tmp_path,
        """
const a = @import_module("lib.csl", .{ .n = 3 });
const b = @import_module("lib.csl", .{ .n = @as(u16, 5), .scale = 2.5 });
const again = a;
comptime {
  @comptime_assert(a.doubled == 6 and b.doubled == 10 and b.scale == 2.5 and a.scale == 1.0);
  @comptime_assert(a.row_type == [3]f32 and a.inner.x == 7);
}
fn main() void { a.count = 1; b.count += a.count; again.count += 1; a.bump(); }
//# file: lib.csl
param n: i16;
param scale: f32 = 1.0;
const doubled = twice(n);
const row_type = [n]f32;
const inner = @import_module("sub/inner.csl");
var count: i16;
fn twice(x: i16) i16 { return 2 * x; }
fn bump() void { count += 1; }
//# file: sub/inner.csl
const x = 7;
""",
    )
    program = compile_files(
        tmp_path,
        {
            "pe.csl": 'const a = @import_module("lib.csl", .{ .n = 1 });\nconst b = @import_module("lib.csl", '
            ".{ .n = 2 });\nfn main() void { a.count = 1; b.count = 2; }"
        },
    )
    assert [o.name for o in program.tiles[0].objects] == ["a.count", "b.count"]


def test_comptime_variables_steer_run_time_code(tmp_path):
    holds(
        tmp_path,
        """
var out: [4]i16;
fn main() void {
  comptime var n: u16 = 0;
  inline for (@range(u16, 4)) |i| { if (i % 2 == 0) { out[n] = @as(i16, i); n += 1; } }
  @comptime_assert(n == 2);
  inline while (n < 4) : (n += 1) { out[n] = -1; }
  @comptime_assert(n == 4);
  const x: i16 = blk: { n += 10; break :blk 3; };       // analysed once: the dry run for its type leaves no trace
  @comptime_assert(n == 14 and x == 3);
  const t = @type_of(out[comptime take(&n)]);
}
fn take(p: anytype) u16 { return 0; }
""".replace("  const t = @type_of(out[comptime take(&n)]);\n", "").replace(
            "fn take(p: anytype) u16 { return 0; }\n", ""
        ),
    )


def test_what_is_not_reached_is_not_analysed(tmp_path):
    holds(
        tmp_path,
        """
fn unused() void { nothing_of_this_name(); }
const unused_value = also_nothing;
fn main() void { if (@is_arch("wse3")) { @get_ut_id(99); } }
""",
    )


def test_a_value_of_a_dry_run_is_not_lost(tmp_path):
    """Errors in a labelled block, which is walked twice, are reported, and once."""
    with pytest.raises(MeshlangError) as e:
        holds(tmp_path, "var n: i16;\nfn main() void {\n  const x: i16 = blk: { n = 1.5; break :blk missing; };\n}\n")
    assert sorted(d.code for d in e.value.diagnostics) == ["MS0201", "MS0301"]


def test_static_storage_is_not_paid_twice(tmp_path):
    program = compile_files(
        tmp_path,
        """
var total: i16;
fn main() void { total = blk: { var row: [100]i16; row[0] = 3; total = row[1]; break :blk row[0]; }; }""",
    )
    assert sorted((o.name, o.size) for o in program.tiles[0].objects) == [("main.row", 200), ("total", 2)]


def test_params_of_the_top_file(tmp_path):
    files = {
        "top.csl": """
param P: u16;
param name = "none";
param shift: i16 = 3;
param c: color = @get_color(4);
layout {
  @set_rectangle(P, 1);
  @comptime_assert(@get_rectangle().width == P and name == "abc" and @get_int(c) == 9);
  for (@range(u16, P)) |x| { @set_tile_code(x, 0, "pe.csl"); }
}
""",
        "pe.csl": "fn f() void { }",
    }
    program = compile_files(tmp_path, files, params={"P": 5, "name": "abc"}, colors={"c": 9})
    assert program.params == {"P": "5", "name": "abc", "shift": "3", "c": "9"}
    assert program.fabric.width == 5


def test_comptime_print(tmp_path, capsys):
    holds(tmp_path, 'comptime { @comptime_print("n is", 4, .{ .a = 1, .b = EAST }, [2]i16 { 1, 2 }); }')
    assert capsys.readouterr().out == "n is 4 .{ .a = 1, .b = EAST } [2]i16 { 1, 2 }\n"


def test_json_values(tmp_path):
    (tmp_path / "sizes.json").write_text('{"width:u16": 4, "names": ["a", "b"], "scale:f32": 0.5}')
    holds(
        tmp_path,
        """
const v = @import_comptime_value(comptime_struct, "sizes.json");
comptime { @comptime_assert(v.width == 4 and v.names[1] == "b" and v.scale == 0.5 and @type_of(v.width) == u16); }""",
    )


def test_json_values_are_found_where_modules_are(tmp_path):
    """Beside the file that names them, else beside the top file, else in an import path: here the module is in a folder."""
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "sizes.csl").write_text(
        'const near = @import_comptime_value(comptime_struct, "near.json");\n'
        'const top = @import_comptime_value(comptime_struct, "top.json");\n'
    )
    for place, n in (("lib/near.json", 1), ("near.json", 2), ("top.json", 3)):
        (tmp_path / place).write_text(f'{{"n": {n}}}')
    holds(
        tmp_path,
        """
const m = @import_module("lib/sizes.csl");
comptime { @comptime_assert(m.near.n == 1 and m.top.n == 3); }""",
    )


def test_json_values_take_the_type_they_stand_in(tmp_path):
    (tmp_path / "taps.json").write_text('{"taps": [1, 2.5, -3], "m:[2, 2]i16": [[1, 2], [3, 4]], "inner": {"n": 7}}')
    (tmp_path / "list.json").write_text("[4, 5, 6]")
    holds(
        tmp_path,
        """
const T = struct { taps: [3]f32, m: [2, 2]i16, inner: struct { n: u8 } };
const v = @import_comptime_value(T, "taps.json");
const a = @import_comptime_value([3]u32, "list.json");
comptime {
  @comptime_assert(v.taps[1] == 2.5 and v.taps[2] == -3.0 and v.m[1, 0] == 3 and v.inner.n == 7 and @type_of(v.inner.n) == u8);
  @comptime_assert(a[2] == 6 and @element_count(@type_of(a)) == 3);
}""",
    )


@pytest.mark.parametrize(
    "text, ty, message",
    [
        ('{"width:u16": 70000}', "comptime_struct", "values.json: width: 70000 does not fit in u16"),
        ('{"width:u16": 1.5}', "comptime_struct", "values.json: width: expected u16, found comptime_float"),
        ('{"width:word": 1}', "comptime_struct", "the key 'width:word' names no type"),
        ('{"taps:[3]f32": [1, 2]}', "comptime_struct", r"values.json: taps: expected lists in the shape of \[3\]f32"),
        ("[[1, 2], [3]]", "[2, 2]i16", r"expected lists in the shape of \[2, 2\]i16"),
        ('{"a": 1}', "[2]i16", r"expected \[2\]i16, found struct"),
    ],
)
def test_json_values_of_another_type(tmp_path, text, ty, message):
    (tmp_path / "values.json").write_text(text)
    with pytest.raises(MeshlangError, match=rf"MS0218\]: .*{message}"):
        holds(tmp_path, f'const v = @import_comptime_value({ty}, "values.json");\ncomptime {{ @comptime_print(v); }}')


@settings(max_examples=30, deadline=None)
@given(st.integers(-(1 << 40), 1 << 40), st.integers(-(1 << 20), 1 << 20).filter(bool))
def test_division_truncates(tmp_path_factory, a, b):
    q = abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)
    holds(
        tmp_path_factory.mktemp("div"),
        f"comptime {{ @comptime_assert({a} / {b} == {q} and {a} % {b} == {a - q * b}); }}",
    )


def test_the_type_of_what_is_in_memory(tmp_path):
    """@type_of does not evaluate: comptime code may ask for the type of a variable, and of its parts."""
    holds(
        tmp_path,
        """
const S = struct { a: f32, b: [4]u16 };
var m = @zeros([3, 4]i16);
var s: S;
var p: *S = &s;
var like_m: @type_of(m) = @zeros(@type_of(m));
const count = @element_count(@type_of(like_m));
comptime {
  @comptime_assert(count == 12 and @rank(@type_of(m)) == 2);
  @comptime_assert(@is_same_type(@type_of(m[0, 0]), i16) and @is_same_type(@type_of(p.*.a), f32));
  @comptime_assert(@is_same_type(@element_type(@type_of(s.b)), u16));
}""",
    )


def test_a_comptime_assertion_evaluates_its_condition_at_compile_time(tmp_path):
    holds(
        tmp_path,
        """
fn twice(x: u16) u16 { return x * 2; }
fn main() void { @comptime_assert(twice(4) == 8); }
comptime { @export_symbol(main); }""",
    )


def test_the_type_of_an_expression_of_run_time_values(tmp_path):
    """A return type, and a constant's, can be that of an expression over arguments and variables."""
    compile_files(
        tmp_path,
        {
            "pe.csl": """
var a: i16; var b: i32;
const T = @type_of(a + b);
fn add(x: anytype, y: anytype) @type_of(x + y) { return x + y; }
fn twice(x: anytype) @type_of(add(x, x)) { return add(x, x); }
fn main() void {
  @comptime_assert(@is_same_type(T, i32) and @is_same_type(@type_of(add(b, a)), i32) and @is_same_type(@type_of(twice(1.5)), comptime_float));
  b = twice(add(a, b));
}"""
        },
    )


def test_imports_beside_the_top_file(tmp_path):
    """A path is looked up beside the importing file first, then beside the top file, then in the import paths."""
    files = {
        "top.csl": 'layout { @set_rectangle(1, 1); @set_tile_code(0, 0, "code/pe.csl"); }',
        "code/pe.csl": 'const m = @import_module("lib/m.csl"); comptime { @comptime_assert(m.v == 12 and m.far == 3); }',
        "lib/m.csl": 'const near = @import_module("near.csl"); const f = @import_module("far.csl"); const v = near.v; const far = f.v;',
        "lib/near.csl": "const v = 12;",
        "near.csl": "const v = 13;",
        "elsewhere/far.csl": "const v = 3;",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    compile_program(str(tmp_path / "top.csl"), CompileOptions(import_paths=[str(tmp_path / "elsewhere")]))


def test_a_remembered_call_shares_nothing_that_changes(tmp_path):
    """Calls without effects are evaluated once for equal arguments; what a caller does to the result stays its own."""
    holds(
        tmp_path,
        """
const S = struct { a: u16, t: [2]u16 };
fn table(n: u16) [3]u16 { var t = @zeros([3]u16); for (@range(u16, 3)) |i| { t[i] = n * i; } return t; }
fn make(n: u16) S { return S{ .a = n, .t = [2]u16{ n, n + 1 } }; }
fn kind(x: anytype) u16 { return if (@is_same_type(@type_of(x), u16)) 16 else if (@is_same_type(@type_of(x), i16)) 15 else 0; }
comptime {
  var a = table(2);
  a[1] = 77;
  var b = table(2);
  @comptime_assert(a[1] == 77 and b[1] == 2 and table(2)[1] == 2 and table(3)[1] == 3);
  var s = make(4);
  s.a = 9;
  s.t[1] = 9;
  @comptime_assert(make(4).a == 4 and make(4).t[1] == 5);
  @comptime_assert(kind(@as(u16, 1)) == 16 and kind(@as(i16, 1)) == 15 and kind(1) == 0 and kind(true) == 0);
}""",
    )


def test_a_call_with_effects_happens_each_time(tmp_path, capsys):
    holds(
        tmp_path,
        """
fn inner(n: u16) u16 { @comptime_print("inner", n); return n; }
fn outer(n: u16) u16 { return inner(n) + 1; }
comptime { @comptime_assert(outer(3) == outer(3)); }""",
    )
    assert capsys.readouterr().out.count("inner 3") == 2


def test_a_comptime_const_has_its_value_at_compile_time(tmp_path):
    """In a function a plain const of a call is computed at run time; with `comptime` it can size an array."""
    holds(
        tmp_path,
        """
fn twice(n: u16) u16 { return n * 2; }
comptime const wide = twice(2);
var out: [4]u16;
fn main() void {
  comptime const n = twice(wide);
  const local = @zeros([n]u16);
  out[0] = local[n - 1] + n;
  @comptime_assert(n == 8 and wide == 4);
}
comptime { @export_symbol(main); }""",
    )


def test_what_is_printed_of_values_without_a_literal(tmp_path, capsys):
    holds(
        tmp_path,
        """
var a: [4]f32;
fn f(x: i16) i16 { return x; }
comptime { @comptime_print(f, &a, &a[1], @range(i16, 3), .{ f, true }); }""",
    )
    assert capsys.readouterr().out.strip() == "f &a &a + 4 bytes @range(i16, 0, 3, 1) .{ f, true }"


def test_arrays_of_structs(tmp_path):
    """An array of comptime_struct keeps each struct as it was given, and shares nothing with its copies."""
    holds(
        tmp_path,
        """
const S = struct { a: i16, b: i16 };
const Nested = struct { s: comptime_struct, n: u16 };
fn pick(x: u16) comptime_struct { if (x == 0) { return .{ .k = 5 }; } return .{ .k = 6, .z = 3 }; }
fn sum(items: [2]comptime_struct) u16 { var s: u16 = 0; for (items) |e| { s += e.k; } return s; }
const items = [2]comptime_struct{ .{ .k = 10 }, .{ .k = 20, .z = true } };
comptime {
  @comptime_assert(items[1].k == 20 and items[1].z);
  @comptime_assert(@has_field(items[1], "z") and !@has_field(items[0], "z"));
  @comptime_assert(sum(items) == 30);
  @comptime_assert(@concat_structs(items[1], .{ .q = 1 }).q == 1);
  var v = items;
  v[0].k = 7;
  @comptime_assert(v[0].k == 7 and items[0].k == 10);
  v[1] = .{ .q = 4 };
  @comptime_assert(v[1].q == 4 and !@has_field(v[1], "k"));
  const c = @constants([3]comptime_struct, pick(1));
  var d = c;
  d[1].k = 1;
  @comptime_assert(c[2].z == 3 and d[0].k == 6 and d[1].k == 1);
  var x: comptime_struct = .{ .k = 4 };
  x.k = 5;
  @comptime_assert(x.k == 5);
  x = pick(1);
  @comptime_assert(x.z == 3);
  var first = [2]S{ S{ .a = 1, .b = 2 }, S{ .a = 3, .b = 4 } };
  var second = first;
  second[0].a = 9;
  @comptime_assert(first[0].a == 1 and second[0].a == 9);
  var e: [2]comptime_struct;
  for (@range(u16, 2)) |i| { e[i] = @concat_structs(items[i], .{ .i = i }); }
  @comptime_assert(e[1].i == 1 and e[1].k == 20);
  var n = Nested{ .s = .{ .k = 3 }, .n = 1 };
  n.s.k = 4;
  @comptime_assert(n.s.k == 4);
}""",
    )


def test_an_array_of_structs_as_a_param(tmp_path):
    holds(
        tmp_path,
        {
            "layout.csl": """
const items = [2]comptime_struct{ .{ .k = 10 }, .{ .k = 20 } };
layout {
  @set_rectangle(2, 1);
  for (@range(u16, 2)) |x| {
    @set_tile_code(x, 0, "pe.csl", @concat_structs(items[x], .{ .all = items, .x = x }));
  }
}""",
            "pe.csl": """
param all: [2]comptime_struct; param k: u16; param x: u16;
comptime { @comptime_assert(k == 10 * (x + 1) and all[1].k == 20); }""",
        },
    )


def test_strings_are_bytes(tmp_path):
    holds(
        tmp_path,
        r"""
const a = @get_array("\x01\xff\x80\x7f");
comptime {
  @comptime_assert(@strlen("\xff") == 1 and @element_count(@type_of(a)) == 4);
  @comptime_assert(a[0] == 1 and a[1] == 255 and a[2] == 128 and a[3] == 127);
  @comptime_assert(@strlen("é") == 2 and @get_array("é")[0] == 0xc3 and @strlen("\u{e9}") == 2);
  @comptime_assert("\xc3\xa9" == "é" and "\xc3" != "é" and @strcat("\xc3", "\xa9") == "é");
  @comptime_assert('\xff' == 255 and '\x41' == 'A' and 'é' == 0xe9);
  @comptime_assert(@get_string_from_byte(255) == "\xff" and @get_array(@get_string_from_byte(0xc3))[0] == 0xc3);
}""",
    )


def test_comptime_in_front_of_choices_and_loops(tmp_path):
    holds(
        tmp_path,
        """
param last: bool = true;
const n = comptime if (last) 1 else 2;
const m = comptime (if (last) 1 else 2);
fn f(x: i16) i16 { return x + comptime if (last) 10 else 20; }
fn main() void {
  comptime var sum = 0;
  comptime for (@range(i16, 4)) |i| { sum += i; }
  comptime if (last) { sum += 1; } else { @comptime_assert(false); }
  comptime switch (sum) { 7 => sum = 8, else => sum = 9 }
  @comptime_assert(sum == 8 and n == 1 and m == 1);
  _ = f(sum);
}""",
    )


def test_noinline_reaches_the_program(tmp_path):
    program = compile_files(
        tmp_path,
        "noinline fn f() i16 { return 1; }\nvar y: i16;\nfn main() void { y = f(); }\n",
    )
    assert {f.name: f.noinline for f in program.tiles[0].functions} == {"main": False, "f": True}
