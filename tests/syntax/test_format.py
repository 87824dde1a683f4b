"""The formatter: the same program, the same comments, one form, and nothing left to do the second time."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from meshlang.cli import main
from meshlang.diag import MeshlangError
from meshlang.syntax import ast
from meshlang.syntax.format import format_text
from meshlang.syntax.parser import parse_text
from meshlang.syntax.source import Span

ROOT = Path(__file__).resolve().parents[2]
SUITES = [
    os.environ[n] for n in ("MESHLANG_CSL_EXAMPLES", "MESHLANG_SDK_EXAMPLES", "MESHLANG_WAFERLLM") if os.environ.get(n)
]

BEFORE = """\


fn f(a:i16,
b : i16) void
{
if (a>1)
x=1
else
x = 2;
   while(a < 3):(a+=1)
for (@range(u16,3)) |i,j|
{ g( i , - j, & x, p .* ) ; }


  const k =
if (a > b) 1
else if (a == b) 2
else 3;
const v = a   // the sum
 + b * - c;  // and the product
             // of two
blk:{ break :blk 3 ; }
switch(x) {
1,2=>foo(),
3 =>
 bar(),
else=>{}
}
return a [0]*b[ 1 ];

}
  // the end
const p:*const [2] i16=&q; var s = struct{a:i16,b : fn (i16)void};
comptime{ // one

x=. {  // an empty line
  .a=1, .b = .{ RAMP }, .c=.{ EAST,WEST } };
 f(a,
  b);
}
// fmt: off
const    table = [4]i16{ 1,   2,

                         3,   4 };
// fmt: on
const   z=[1]i16{ 1 };
const m=@get_dsd(mem1d_dsd, .{.tensor_access=|i,j|{n,2}->A[i+j,2*i]});
task t()void{}"""

AFTER = """\
fn f(a: i16,
    b: i16) void
{
  if (a > 1)
    x = 1
  else
    x = 2;
  while (a < 3) : (a += 1)
    for (@range(u16, 3)) |i, j|
    { g(i, -j, &x, p.*); }

  const k =
    if (a > b) 1
    else if (a == b) 2
    else 3;
  const v = a  // the sum
    + b * -c;  // and the product
               // of two
  blk: { break :blk 3; }
  switch (x) {
    1, 2 => foo(),
    3 =>
      bar(),
    else => {}
  }
  return a[0] * b[1];
}
// the end
const p: *const [2]i16 = &q; var s = struct { a: i16, b: fn(i16)void };
comptime {  // one

  x = .{  // an empty line
    .a = 1, .b = .{RAMP}, .c = .{ EAST, WEST } };
  f(a,
    b);
}
// fmt: off
const    table = [4]i16{ 1,   2,

                         3,   4 };
// fmt: on
const z = [1]i16{1};
const m = @get_dsd(mem1d_dsd, .{ .tensor_access = |i, j|{n, 2} -> A[i + j, 2 * i] });
task t() void {}
"""


def shape(value):
    """The tree without places."""
    if isinstance(value, Span):
        return None
    if isinstance(value, ast.Node):
        return (type(value).__name__, *(shape(getattr(value, s)) for s in value.__slots__))
    return [shape(v) for v in value] if isinstance(value, list) else value


def test_one_form():
    assert format_text(BEFORE) == AFTER
    assert format_text(AFTER) == AFTER
    assert shape(parse_text(BEFORE)) == shape(parse_text(AFTER))


@pytest.mark.parametrize(
    "before, after",
    [
        ("", ""),
        ("\n\n// only a comment\n\n\n", "// only a comment\n"),
        ('const a=1;\r\nconst b = "x  y"  ; // c  \r\n', 'const a = 1;\nconst b = "x  y";  // c\n'),
        ("const a = . // why\n{ 1, 2 };", "const a = .{  // why\n  1, 2 };\n"),
        ("const a = -(-1) - -2;", "const a = -(-1) - -2;\n"),
        ("const a = (*i16);", "const a = (*i16);\n"),
        ("fn f( ) [ * ]  const  f32 { return (x); }", "fn f() [*]const f32 { return (x); }\n"),
        ("var p: [*] align(4) f32 = x [ 1 ] [2];", "var p: [*]align(4) f32 = x[1][2];\n"),
        ("var p: [2]*f32 = [2]*f32{&a,&b};", "var p: [2]*f32 = [2]*f32{ &a, &b };\n"),
        ("const e = enum ( u8 ) { a, b=2 };", "const e = enum(u8) { a, b = 2 };\n"),
        ("const a = if(x) y [0] else f (1) (2);", "const a = if (x) y[0] else f(1)(2);\n"),
        ("color  c;", "color c;\n"),
        ("inline  fn f(comptime n: i16, x:anytype) void {}", "inline fn f(comptime n: i16, x: anytype) void {}\n"),
        (
            "comptime { for (@range(i16, 2)) |_| { continue; } }",
            "comptime { for (@range(i16, 2)) |_| { continue; } }\n",
        ),
    ],
)
def test_forms(before, after):
    assert format_text(before) == after
    assert format_text(after) == after


def test_what_cannot_be_read_is_not_formatted():
    with pytest.raises(MeshlangError):
        format_text("const = ;")


def sources():
    found = [p for folder in ("stdlib", "programs", "tests") for p in sorted((ROOT / folder).rglob("*.csl"))]
    return found + [p for suite in SUITES for p in sorted(Path(suite).rglob("*.csl"))]


def test_every_file_stays_the_same_program():
    """All of ours, and of the public suites where environment variables name them. Programs and library are in form."""
    looked_at = 0
    ours = (ROOT / "stdlib", ROOT / "programs")
    for path in sources():
        text = path.read_text(encoding="utf-8-sig")
        try:
            tree = parse_text(text, str(path))
        except MeshlangError:
            continue  # files of mistakes
        formatted = format_text(text, str(path))
        assert format_text(formatted, str(path)) == formatted, path
        assert shape(parse_text(formatted, str(path))) == shape(tree), path
        assert formatted == text or not any(path.is_relative_to(folder) for folder in ours), f"meshlang fmt {path}"
        looked_at += 1
    assert looked_at > 100


def test_command(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.csl").write_text("const a=1;\n")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "b.csl").write_text("const b = 1;\n")
    (tmp_path / "sub" / "wrong.csl").write_text("const = 1;\n")
    assert main(["fmt", "a.csl", "--check"]) == 1
    assert capsys.readouterr().out == "would format a.csl\n"
    assert main(["fmt", ".", "--diff"]) == 1
    out, err = capsys.readouterr()
    assert "-const a=1;\n+const a = 1;\n" in out and "b.csl" not in out and "wrong.csl:1" in err
    assert (tmp_path / "a.csl").read_text() == "const a=1;\n"
    assert main(["fmt", "a.csl", "sub/b.csl"]) == 0
    assert capsys.readouterr().out == "formatted a.csl\n"
    assert (tmp_path / "a.csl").read_text() == "const a = 1;\n"
    assert main(["fmt", ".", "--check"]) == 1  # wrong.csl
    assert main(["fmt", "a.csl", "sub/b.csl", "--check"]) == 0
    assert main(["fmt"]) == 2
    assert "MS0901" in (main(["fmt", "nothing.csl"]), capsys.readouterr().err)[1]


def test_a_mistake_of_the_formatter_changes_no_file(monkeypatch):
    from meshlang.syntax import format as module

    monkeypatch.setattr(module, "_joined", lambda indices, shape: "const b = 2;")
    with pytest.raises(AssertionError, match="would change"):
        format_text("const a = 1;")


def test_brackets_before_an_else():
    """Lines in them stand further in than the `else`."""
    text = """const lib = if (a) @import_module("<x>", .{ .n = n,
    .role = role, .id = id })
  else if (b) @import_module("<y>", .{ .n = n,
    .role = role })
  else @import_module("<z>", .{ .n = n,
    .role = role });
const down = if (a) @import_module("<x>", .{ .n = n,
    .role = role }) else {};
const more = @import_module("<x>", .{
  .queues = if (a) [2]output_queue{ b, c }
    else [2]output_queue{ d, e } });
fn f(x: i16) i16 {
  if (g(x,
    2)) { return 1; }
  return h(x,
    2);
}
"""
    assert format_text(text) == text
    assert format_text("\n".join(line.strip() for line in text.splitlines())) == text


def test_function_types_are_written_as_published_programs_write_them():
    assert (
        format_text('layout { @export_name("f", fn( u16 ) void); }') == 'layout { @export_name("f", fn(u16)void); }\n'
    )
    assert format_text("fn f() void {}\nvar p: *const fn(i16) f32;") == "fn f() void {}\nvar p: *const fn(i16)f32;\n"
