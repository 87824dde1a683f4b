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
    assert ints(
        machines,
        """
      g.low = 31; g.flag = true; g.signed = -3; g.high = 0xabcd;
      out[0] = @as(i32, @bitcast(u32, g) >> 16); out[1] = g.signed; out[2] = if (g.flag) 1 else 0;
      g.low += 1; out[3] = g.low; out[4] = g.signed;
      var copy = g; copy.signed = 7; out[5] = copy.signed; out[6] = g.signed;
      var p = &g; p.high = 4; out[7] = p.*.high;
    """,
        "var g: Mixed;",
    ) == [0xABCD, -3, 1, 0, -3, 7, -3, 4]


def test_a_union_shows_its_bits_through_every_field(machines):
    assert ints(
        machines,
        """
      g.real = 1.0; out[0] = @as(i32, g.whole >> 16); out[1] = g.halves[1];
      g.halves[0] = 1; out[2] = @as(i32, g.whole & 0xffff);
      var local = make(2.0); out[3] = @as(i32, local.whole >> 24); local.whole = 0x3f800000; out[4] = if (local.real == 1.0) 1 else 0;
      var any = Any { .c = -2 }; out[5] = any.c; any = Any { .b = 0.5 }; out[6] = if (any.b == 0.5) 1 else 0;
      both.parts.y = 1; out[7] = both.whole;
    """,
        "var g: Word;\nvar both = Both { .whole = 0x1234 };\nfn make(f: f32) Word { return Word { .real = f }; }",
    ) == [0x3F80, 0x3F80, 1, 0x40, 1, -2, 1, 0x134]


def test_literals_defaults_and_run_time_fields(machines):
    assert ints(
        machines,
        """
      var n: u8 = 9;
      var p: Pair = .{ .x = 5 }; out[0] = p.y; out[1] = @bitcast(u16, p);
      p = Pair { .x = n, .y = n + 1 }; out[2] = p.x; out[3] = p.y;
      table[0].x = n; out[4] = table[0].x; out[5] = table[0].y; out[6] = table[1].y;
      const back = @bitcast(Pair, @as(u16, 0x0102)); out[7] = back.x;
    """,
        "var table = [2]Pair { Pair { .x = 1, .y = 2 }, Pair { .x = 3, .y = 4 } };",
    ) == [7, 0x705, 9, 10, 9, 2, 4, 2]


def test_at_compile_time(machines):
    assert ints(
        machines,
        "out[0] = one; out[1] = two; out[2] = three;",
        """
const w = Word { .real = 1.0 };
const one: i32 = w.whole >> 16;
fn build() Mixed { var m = Mixed { .low = 3, .flag = true, .signed = -5, .high = 9 }; m.signed = -6; m.flag = false; return m; }
const made = build();
const two: i32 = made.signed;
const three: i32 = if (made.flag) 1 else made.high;
""",
    )[:3] == [0x3F80, -6, 9]


# ---------------------------------------------------------------- more than 64 bits: kept in memory

WIDE = """
const Wide = extern union { real: [3]f32, words: [3]u32, halves: [6]u16, first: u32 };
const Plain = union { a: i16, b: [5]u16 };
const Record = packed struct { flag: bool, low: u15, mid: i32, odd: i20, high: u44 = 5, last: u16 = 9 };
const Box = struct { before: i16, wide: Wide, after: i16 };
"""


def wide(machines, body: str, top: str = "") -> list[int]:
    source = f"var out: [8]i32;\n{WIDE}\n{top}\nfn main() void {{\n{body}\n}}\n"
    return machines.run_both(source, {"out": "i32"})["out"].tolist()


def test_a_wide_union_shows_its_bits_through_every_field(machines):
    assert wide(
        machines,
        """
      g.real[1] = 1.0; out[0] = @as(i32, g.words[1] >> 16); out[1] = g.halves[3];
      g.halves[0] = 7; out[2] = @as(i32, g.first);
      var copy = g; copy.words[2] = 11; out[3] = @as(i32, copy.halves[4]); out[4] = @as(i32, g.words[2]);
      g = copy; out[5] = @as(i32, g.words[2]);
      var p = &g; p.*.first = 99; out[6] = @as(i32, g.words[0]); out[7] = @as(i32, h.words[2]);
    """,
        "var g: Wide;\nvar h = Wide { .words = [3]u32 { 1, 2, 3 } };",
    ) == [0x3F80, 0x3F80, 7, 11, 0, 11, 99, 3]


def test_fields_of_a_wide_packed_struct(machines):
    """Fields inside bytes, across bytes and at the end; neighbours keep their bits."""
    assert wide(
        machines,
        """
      var n: i32 = -70000;
      g.flag = true; g.low = 0x7fff; g.mid = n; g.odd = -5; g.high = 0xfffffffffff; g.last = 0xabcd;
      out[0] = g.mid; out[1] = g.odd; out[2] = @as(i32, g.high >> 20); out[3] = g.last; out[4] = g.low;
      g.odd += 2; g.flag = false; g.high = 1; out[5] = g.odd; out[6] = @as(i32, g.high) + (if (g.flag) 100 else 0); out[7] = g.low + g.last;
    """,
        "var g: Record;",
    ) == [-70000, -5, 0xFFFFFF, 0xABCD, 0x7FFF, -3, 1, (0x7FFF + 0xABCD) & 0xFFFF]


def test_wide_literals_of_run_time_values(machines):
    assert wide(
        machines,
        """
      var n: i20 = -9;
      var r: Record = .{ .flag = true, .low = 3, .mid = -1, .odd = n };
      out[0] = r.odd; out[1] = @as(i32, r.high); out[2] = r.last; out[3] = r.low;
      const second = Record { .flag = false, .low = 4, .mid = 5, .odd = n + 1, .high = 6 };
      r.low = 20; out[4] = second.odd; out[5] = second.low;
      var p = Plain { .a = -2 }; out[6] = p.a; p = Plain { .b = [5]u16 { 1, 2, 3, 4, 5 } }; out[7] = p.b[4];
    """,
    ) == [-9, 5, 9, 3, -8, 4, -2, 5]


def test_wide_unions_inside_other_things(machines):
    assert wide(
        machines,
        """
      boxes[1].wide.words[2] = 5; boxes[1].before = 1; boxes[1].after = 2;
      out[0] = @as(i32, boxes[1].wide.halves[4]); out[1] = boxes[1].before + boxes[1].after;
      table[1].low = 17; table[2] = table[1]; out[2] = table[2].low; out[3] = table[0].low;
      fill(&table[0]); out[4] = table[0].mid; out[5] = @as(i32, table[0].last);
      var local: Wide; local.halves[5] = 4; out[6] = @as(i32, local.words[2] >> 16);
    """,
        """var boxes: [2]Box; var table: [3]Record;
fn fill(r: *Record) void { r.mid = -12; r.*.last = 60000; }""",
    )[:7] == [5, 3, 17, 0, -12, 60000, 4]


def test_wide_at_compile_time(machines):
    assert wide(
        machines,
        "out[0] = one; out[1] = two; out[2] = three; out[3] = w.halves[4];",
        """
const w = Wide { .real = [3]f32 { 1.0, 2.0, 3.0 } };
const one: i32 = w.words[0] >> 16;
fn build() Record { var r = Record { .flag = true, .low = 1, .mid = -3, .odd = 4 }; r.odd = -4; r.high += 1; return r; }
const made = build();
const two: i32 = made.odd;
const three: i32 = if (made.mid == -3) made.high / 2 else 0;
""",
    )[:4] == [0x3F80, -4, 3, 0]
