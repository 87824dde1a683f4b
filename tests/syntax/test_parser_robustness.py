"""Whatever the text: a tree, or a MeshlangError whose diagnostics can be rendered."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from meshlang.diag import MeshlangError
from meshlang.diag.render import to_json, to_text
from meshlang.syntax.lexer import tokenize
from meshlang.syntax.parser import parse_expression, parse_text
from meshlang.syntax.source import SourceFile

PROGRAM = """\
param width: i16;
const route = .{ .routes = .{ .rx = .{ WEST }, .tx = .{ RAMP, EAST } }, .filter = Filter { .kind = 1 } };
const Pair = struct { a: i16, b: [2, 3]f32 };
const kind = enum(u16) { A, B = 4 };
var buffer: [4]f32 align(16) = @zeros([4]f32);
extern fn far(x: *const fn (i16) void) void;
export fn scale(p: [*]f32, n: i16, comptime T: type, f: anytype) f32 {
  for (@range(i16, n)) |i, k| { p[i] *= 2.0; }
  while (x < 3 and !done) : (x += 1) if (x == 1) continue else break;
  const d = @get_dsd(mem1d_dsd, .{ .tensor_access = |i, j|{n, 4} -> buffer[i + 2 * j] });
  switch (kind.A) { A, B => f(), else => { return; } }
  const y = if (n > 0) 1 else blk: { break :blk 'a'; };
  asm volatile ("nop" : : : "r1");
  return p[0] + @as(f32, "text\\n".*);
}
task t(x: u16) void { comptime { var z = -1; } }
comptime { @bind_local_task(t, t_id); };
layout { @set_rectangle(width, 0x1f); }
"""
TOKENS = (
    [t[1] for t in tokenize(SourceFile("p", PROGRAM))[0]]
    + list("(){}[]|;:=.,@#'\"\\?&*+-")
    + ["++", "/*", "..", "undefined"]
)


def check(parse, text):
    try:
        parse(text)
    except MeshlangError as e:
        assert e.diagnostics
        for d in e.diagnostics:
            assert d.code.startswith("MS01") and d.message
            assert 0 <= d.span.start <= d.span.end <= len(text) + 1
        assert to_text(e.diagnostics)
        assert len(to_json(e.diagnostics)) == len(e.diagnostics)


def test_the_seed_is_right():
    parse_text(PROGRAM)


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 6))
def test_mutated_program(seed, count):
    rng = random.Random(seed)
    text = PROGRAM
    for _ in range(count):
        at, to = sorted((rng.randrange(len(text) + 1), rng.randrange(len(text) + 1)))
        to = min(to, at + rng.randrange(30))
        text = text[:at] + rng.choice(["", " ", rng.choice(TOKENS), text[to : to + 20]]) + text[to:]
    check(parse_text, text)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(TOKENS), max_size=60))
def test_any_tokens(tokens):
    check(parse_text, " ".join(tokens))
    check(parse_expression, " ".join(tokens))


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=80))
def test_any_text(text):
    check(parse_text, text)
    check(parse_expression, text)
