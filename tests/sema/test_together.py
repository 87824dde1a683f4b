"""Loops of a layout evaluated for all rounds at once give what they give round by round: programs, numbering, messages."""

import operator
import random
from pathlib import Path

import numpy as np
import pytest

from meshlang import builtins, llama
from meshlang.diag import MeshlangError
from meshlang.sema.compiler import Compiler, deep_recursion
from meshlang.sema.model.options import CompileOptions
from meshlang.sema.model.together import Lanes

PROGRAMS = Path(__file__).parents[2] / "programs"
PE = """
param a: i16 = 0;
param b: bool = false;
param c: color = @get_color(3);
param t: comptime_struct = .{};
var r: i16 = a;
"""


def compiled(path, together, arch="wse2", **params):
    """What comes of a layout: a program or messages, and the loops that had to run round by round."""
    options = CompileOptions(arch=arch, params=params, together=together)
    compiler = Compiler(options, builtins)
    try:
        with deep_recursion(options):
            p = compiler.compile(str(path))
    except MeshlangError as error:
        lines = [(d.code, d.message, d.span and d.span.start, [n.text for n in d.labels]) for d in error.diagnostics]
        return lines, compiler.apart
    f = p.fabric
    return {
        "tile": f.tile.tolist(),
        "color": {c: grid.tolist() for c, grid in f.color.items()},
        "configs": f.configs,
        "spans": {k: span.start for k, span in f.spans.items()},
        "tiles": [(t.name, t.params, t.code.tolist(), t.image.tolist()) for t in p.tiles],
        "warnings": [(d.code, d.message, d.span and d.span.start) for d in p.warnings],
    }, compiler.apart


def both(tmp_path, body, before="", arch="wse2"):
    (tmp_path / "pe.csl").write_text(PE)
    path = tmp_path / "layout.csl"
    path.write_text(f"{ROUTES}{before}\nlayout {{ @set_rectangle(20, 18);\n{body}\n}}\n")
    together, apart = compiled(path, True, arch)
    assert together == compiled(path, False, arch)[0]
    return together, list(apart.values())


ROUTES = """
const TO_EAST = .{ .routes = .{ .rx = .{RAMP}, .tx = .{EAST} } };
const FROM_WEST = .{ .routes = .{ .rx = .{WEST}, .tx = .{RAMP} } };
const TO_NORTH = .{ .routes = .{ .rx = .{RAMP}, .tx = .{NORTH} } };
const FROM_SOUTH = .{ .routes = .{ .rx = .{SOUTH}, .tx = .{RAMP} } };
"""
EVERYWHERE = 'for (@range(u16, 18)) |y| { for (@range(u16, 20)) |x| { @set_tile_code(x, y, "pe.csl"); } }'

AT_ONCE = {
    "roles": """
        for (@range(i16, 18)) |y| { for (@range(i16, 20)) |x| {
          @set_tile_code(x, y, "pe.csl", .{ .b = x == 0, .a = if (y == 17) 7 else @as(i16, y % 3) });
          if (x < 19) { @set_color_config(x, y, @get_color(x % 2), TO_EAST); }
        } }""",
    "diagonal": """
        for (@range(i16, 18)) |y| { for (@range(i16, 20)) |x| {
          @set_tile_code(x, y, "pe.csl", .{ .b = x == y, .a = if (x + 2 * y > 30) @as(i16, 1) else (x - y) / 4 });
        } }""",
    "triangle": """
        for (@range(i16, 18)) |y| {
          for (@range(i16, y + 1)) |x| { @set_tile_code(x, y, "pe.csl", .{ .a = 1 }); }
          for (@range(i16, y + 1, 20, 1)) |x| { @set_tile_code(x, y, "pe.csl", .{ .a = 2 }); }
        }""",
    "backwards and with numbers": """
        for (@range(i16, 17, -1, -1)) |y, i| { for (@range(i16, 0, 20, 2)) |x, j| {
          @set_tile_code(x, y, "pe.csl", .{ .a = @as(i16, i) % 2 });
          @set_tile_code(x + 1, y, "pe.csl", .{ .a = @as(i16, j) / 5 });
        } }""",
    "functions, tables, switches": """
        for (@range(i16, 18)) |y| { for (@range(i16, 20)) |x| {
          const kind = kind_of(x, y);
          @set_tile_code(x, y, "pe.csl", .{ .a = kind, .c = names[@as(u16, x % 3)], .t = .{ .k = kind, .row = y == 0 } });
          switch (kind) {
            0 => { @set_color_config(x, y, names[@as(u16, y % 3)], route(x)); },
            1, 2 => {},
            else => { @set_color_config(x, y, names[0], route(y)); }
          }
        } }""",
    "continue": """
        for (@range(i16, 18)) |y| { for (@range(i16, 20)) |x| {
          @set_tile_code(x, y, "pe.csl");
          if (x % 3 == 1) { continue; }
          @set_color_config(x, y, @get_color(0), FROM_WEST);
        } }""",
    "three loops": """
        for (@range(i16, 18)) |y| { for (@range(i16, 4)) |k| { for (@range(i16, 5)) |j| {
          @set_tile_code(5 * k + j, y, "pe.csl", .{ .a = (k + y) % 2, .b = j == k });
        } } }""",
    "what stands between": """
        for (@range(i16, 18)) |y| {
          const odd = y % 2 == 1;
          @set_color_config(0, y, @get_color(4), TO_EAST);
          for (@range(i16, 20)) |x| { @set_tile_code(x, y, "pe.csl", .{ .b = odd and x > 10 }); }
          if (y > 9) { @set_color_config(19, y, @get_color(4), FROM_WEST); }
        }""",
    "widths": """
        for (@range(u8, 18)) |y| { for (@range(u16, 20)) |x| {
          const z = @as(u8, y * 15);
          @set_tile_code(x, y, "pe.csl", .{ .a = @as(i16, z >> 5) ^ @as(i16, (x << 2) & 8), .b = ~x > 65530 });
        } }""",
}
BEFORE = """
const names = [3]color{ @get_color(7), @get_color(9), @get_color(8) };
fn kind_of(x: i16, y: i16) i16 {
  var n: i16 = 0;
  var k: i16 = x;
  while (k > 12) : (k -= 3) { n += 1; }
  if (y > 15) { return n + 1; }
  return n;
}
fn route(k: i16) comptime_struct {
  if (k % 2 == 0) { return TO_NORTH; }
  return FROM_SOUTH;
}
"""


@pytest.mark.parametrize("name", AT_ONCE)
def test_at_once(tmp_path, name):
    result, apart = both(tmp_path, AT_ONCE[name], BEFORE)
    assert isinstance(result, dict) and not apart and len(result["tiles"]) > 1 or name in ("continue",)


ONE_BY_ONE = {
    "carried": ("var n: i16 = 0; for (@range(i16, 20)) |x| { n += 1; @set_color_config(x, 0, @get_color(n % 3), R); }", "outside"),
    "carried by an element": ("var n = @zeros([2]i16); for (@range(i16, 20)) |x| { n[0] += 1; "
    "@set_color_config(x, 0, @get_color(n[0] % 3), R); }", "outside"),
    "left": ("for (@range(i16, 20)) |x| { if (x == 12) { break; } @set_color_config(x, 0, @get_color(1), R); }", "ends the loop"),
    "all different": ('for (@range(i16, 20)) |x| { for (@range(i16, 18)) |y| { '
    '@set_color_config(x, y, @get_color(1), R); _ = @as(f32, x * 100 + y); } }', "own kind"),
    "twice": ("for (@range(i16, 20)) |x| { @set_color_config(x / 2, 0, @get_color(1), R); }", "twice"),
    "twice, later": ("@set_color_config(5, 0, @get_color(1), R); for (@range(i16, 20)) |x| { @set_color_config(x, 0, @get_color(1), R); }", "twice"),
    "outside": ("for (@range(i16, 30)) |x| { @set_color_config(x, 0, @get_color(1), R); }", "MS0602"),
    "assertion": ('for (@range(i16, 20)) |x| { @comptime_assert(x < 7, "too far"); @set_color_config(x, 0, @get_color(1), R); }', "MS0336"),
    "division": ("for (@range(i16, 20)) |x| { @set_color_config(x, 10 / (x - 4), @get_color(1), R); }", "MS0"),
    "printed": ("for (@range(i16, 20)) |x| { @comptime_print(x); @set_color_config(x, 0, @get_color(1), R); }", "@comptime_print"),
    "wrong color": ("for (@range(i16, 40)) |x| { @set_color_config(x / 2, x % 2, @get_color(x), R); }", "MS0404"),
}  # fmt: skip


@pytest.mark.parametrize("name", ONE_BY_ONE)
def test_one_by_one(tmp_path, name, capsys):
    body, why = ONE_BY_ONE[name]
    body = body.replace("R)", "TO_EAST)")
    _, apart = both(tmp_path, f"{EVERYWHERE}\n{body}")
    assert any(why in reason for reason in apart), apart


def test_warnings_are_the_same(tmp_path):
    route = ".{ .routes = .{ .rx = .{RAMP}, .tx = .{EAST} }, .switches = .{ .pos1 = .{ .tx = WEST } } }"
    body = f"for (@range(i16, 20)) |x| {{ @set_color_config(x, 0, @get_color(10 + x % 3), {route}); }}"
    result, apart = both(tmp_path, f"{EVERYWHERE}\n{body}", arch="wse3")
    assert not apart and [w[0] for w in result["warnings"]] == ["MS0608", "MS0608"][: len(result["warnings"])]


class Random:
    """Layout bodies made of expressions over the loop variables."""

    def __init__(self, seed):
        self.r = random.Random(seed)

    def number(self, depth=2):
        if depth == 0:
            return self.r.choice(["x", "y", "x", "y", str(self.r.randint(0, 9))])
        a, b, n = self.number(depth - 1), self.number(depth - 1), self.r.randint(1, 7)
        return self.r.choice(
            [a, f"({a} + {b})", f"({a} - {b})", f"({a} * {n})", f"({a} / {n})", f"({a} % {n})", f"({a} & {n})",
             f"({a} ^ {b})", f"({a} << {n % 4})", f"({a} >> {n % 4})", f"(-{a})", f"(~{a})", f"pick({a})",
             f"(if ({self.truth(0)}) {a} else {b})", f"table[@as(u16, {a} & 7)]"]
        )  # fmt: skip

    def truth(self, depth=1):
        a, b = self.number(depth), self.number(depth)
        simple = f"{a} {self.r.choice(['<', '<=', '>', '>=', '==', '!='])} {b}"
        if depth == 0:
            return simple
        return self.r.choice(
            [simple, f"({self.truth(0)} and {simple})", f"({self.truth(0)} or {simple})", f"!({simple})"]
        )

    def body(self):
        color = f"@get_color(@as(i16, {self.number()} & 7))"
        one, other = self.r.sample(["TO_EAST", "FROM_WEST", "TO_NORTH", "FROM_SOUTH"], 2)
        return f"""
        for (@range(i16, 18)) |y| {{
          const m: i16 = {self.number().replace("x", "y")};
          for (@range(i16, 20)) |x| {{
            @set_tile_code(x, y, "pe.csl", .{{ .a = {self.number()} & 3, .b = {self.truth()}, .c = {color} }});
            if ({self.truth()}) {{ @set_color_config(x, y, @get_color((m + x) & 3), {one}); }}
            else if ({self.truth()}) {{ @set_color_config(x, y, {color}, {other}); }}
          }}
        }}"""


HELPERS = """
const table = [8]i16{ 3, 1, -4, 1, 5, -9, 2, 6 };
fn pick(n: i16) i16 { if (n < 0) { return -n; } return n / 2; }
"""


@pytest.mark.parametrize("seed", range(40))
def test_random_layouts(tmp_path, seed):
    both(tmp_path, Random(seed).body(), HELPERS)


PLACES = llama.Placement(
    llama.LlamaConfig(hidden_size=160, heads=20, kv_heads=5, head_size=8, feed_forward_size=320, layers=1), 20, 20,
    capacity=4, dtype="float16",
)  # fmt: skip


@pytest.mark.parametrize(
    "name, params",
    [
        ("meshgemm", {"P": 24}),
        ("meshgemv", {"P": 21, "K": 2}),
        ("meshgemv", {"P": 20, "K": 3, "along_rows": True}),
        ("compare_gemm", {"W": 18, "H": 20, "algorithm": 3}),
        ("decoder", PLACES.params(tree=True)),
    ],
)
def test_programs(name, params):
    path = PROGRAMS / name / "layout.csl"
    together, _ = compiled(path, True, **params)
    assert isinstance(together, dict) and together == compiled(path, False, **params)[0]


def test_a_wafer_of_roles_takes_a_walk_for_each(tmp_path):
    """Half a million PEs in seconds: what is walked is kinds of rounds, not rounds."""
    (tmp_path / "pe.csl").write_text(PE)
    path = tmp_path / "layout.csl"
    path.write_text(
        ROUTES + "layout { @set_rectangle(700, 700);" + AT_ONCE["roles"].replace("18", "700").replace("20", "700") + "}"
    )
    compiler = Compiler(CompileOptions(), builtins)
    calls = []
    plain = compiler.tile_path
    compiler.tile_path = lambda *args: calls.append(1) or plain(*args)
    with deep_recursion(compiler.options):
        compiler.compile(str(path))
    assert not compiler.apart and len(calls) < 100


@pytest.mark.parametrize("other", [-(1 << 70), -(1 << 63) - 1, -(1 << 63), -3, 0, 5, (1 << 63) - 1, 1 << 63, 1 << 70])
def test_numbers_of_any_size_compare(other):
    """Those beyond 64 bits, which no array holds, too."""
    numbers = [-(1 << 62), -3, 0, 5, 1 << 62]
    lanes = Lanes(None, np.array(numbers), 1 << 62)
    for compare in (operator.lt, operator.le, operator.gt, operator.ge):
        assert compare(lanes, other).a.tolist() == [compare(n, other) for n in numbers]
