"""Unions and packed structs: bits, places, values in registers; at run time as at compile time."""

TYPES = """
const Any = union { a: u32, b: f32, c: i16 };
const Word = extern union { whole: u32, real: f32, halves: [2]u16 };
const Pair = packed struct { x: u8, y: u8 = 7 };
const Mixed = packed struct { low: u5, flag: bool, signed: i10, high: u16 };
const Both = packed union { whole: u16, parts: Pair };
"""


def ints(machines, body: str, top: str = "") -> list[int]:
    source = f"var out: [8]i32;\n{TYPES}\n{top}\nfn main() void {{\n{body}\n}}\n"
    return machines.run_both(source, {"out": "i32"})["out"].tolist()


def test_fields_of_a_packed_struct_share_a_word(machines):
    assert ints(machines, """
      g.low = 31; g.flag = true; g.signed = -3; g.high = 0xabcd;
      out[0] = @as(i32, @bitcast(u32, g) >> 16); out[1] = g.signed; out[2] = if (g.flag) 1 else 0;
      g.low += 1; out[3] = g.low; out[4] = g.signed;
      var copy = g; copy.signed = 7; out[5] = copy.signed; out[6] = g.signed;
      var p = &g; p.high = 4; out[7] = p.*.high;
    """, "var g: Mixed;") == [0xabcd, -3, 1, 0, -3, 7, -3, 4]


def test_a_union_shows_its_bits_through_every_field(machines):
    assert ints(machines, """
      g.real = 1.0; out[0] = @as(i32, g.whole >> 16); out[1] = g.halves[1];
      g.halves[0] = 1; out[2] = @as(i32, g.whole & 0xffff);
      var local = make(2.0); out[3] = @as(i32, local.whole >> 24); local.whole = 0x3f800000; out[4] = if (local.real == 1.0) 1 else 0;
      var any = Any { .c = -2 }; out[5] = any.c; any = Any { .b = 0.5 }; out[6] = if (any.b == 0.5) 1 else 0;
      both.parts.y = 1; out[7] = both.whole;
    """, "var g: Word;\nvar both = Both { .whole = 0x1234 };\nfn make(f: f32) Word { return Word { .real = f }; }") == [
        0x3f80, 0x3f80, 1, 0x40, 1, -2, 1, 0x134]


def test_literals_defaults_and_run_time_fields(machines):
    assert ints(machines, """
      var n: u8 = 9;
      var p: Pair = .{ .x = 5 }; out[0] = p.y; out[1] = @bitcast(u16, p);
      p = Pair { .x = n, .y = n + 1 }; out[2] = p.x; out[3] = p.y;
      table[0].x = n; out[4] = table[0].x; out[5] = table[0].y; out[6] = table[1].y;
      const back = @bitcast(Pair, @as(u16, 0x0102)); out[7] = back.x;
    """, "var table = [2]Pair { Pair { .x = 1, .y = 2 }, Pair { .x = 3, .y = 4 } };") == [7, 0x705, 9, 10, 9, 2, 4, 2]


def test_at_compile_time(machines):
    assert ints(machines, "out[0] = one; out[1] = two; out[2] = three;", """
const w = Word { .real = 1.0 };
const one: i32 = w.whole >> 16;
fn build() Mixed { var m = Mixed { .low = 3, .flag = true, .signed = -5, .high = 9 }; m.signed = -6; m.flag = false; return m; }
const made = build();
const two: i32 = made.signed;
const three: i32 = if (made.flag) 1 else made.high;
""")[:3] == [0x3f80, -6, 9]
