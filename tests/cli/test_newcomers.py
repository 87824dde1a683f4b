"""Mistakes that people make in their first hour: each is stopped, or warned about, at its place and with what to do.

The program is README.md's: the left PE sends four numbers to the right one.
"""

import re
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "support"))

from two_pes import MAIN as EXPORT_MAIN
from two_pes import layout

from meshlang.cli import main

LAYOUT = layout('@export_name("x", [*]f32, true);', EXPORT_MAIN)
PE = """\
param memcpy_params;
param link: color;
param sends: bool;
const sys = @import_module("<memcpy/memcpy>", memcpy_params);

var x: [4]f32;
var x_ptr: [*]f32 = &x;
const x_dsd = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{4} -> x[i] });
const in = @get_dsd(fabin_dsd, .{ .extent = 4, .fabric_color = link, .input_queue = @get_input_queue(2) });
const out = @get_dsd(fabout_dsd, .{ .extent = 4, .fabric_color = link, .output_queue = @get_output_queue(3) });

fn main() void {
  if (sends) {
    @fmovs(out, x_dsd, .{ .async = true, .activate = done });
  } else {
    @fmuls(x_dsd, in, 2.0, .{ .async = true, .activate = done });
  }
}

const done = @get_local_task_id(8);
task finish() void { sys.unblock_cmd_stream(); }

comptime {
  @bind_local_task(finish, done);
  @initialize_queue(@get_input_queue(2), .{ .color = link });
  if (@is_arch("wse3")) { @initialize_queue(@get_output_queue(3), .{ .color = link }); }
  @export_symbol(x_ptr, "x");
  @export_symbol(main);
}
"""
P, L = "pe.csl", "layout.csl"
MAIN = "fn main() void {\n"
TAKE = "    @fmuls(x_dsd, in, 2.0, .{ .async = true, .activate = done });"


@dataclass(frozen=True)
class Mistake:
    """In `file`, `right` becomes `wrong`. What is said: the code, words of message or help, and a place FILE:LINE, if there can
    be one. exit_code: 0 for what the machine would let pass, which is a warning."""

    file: str
    right: str
    wrong: str
    code: str
    words: str
    place: str | None
    exit_code: int = 1
    arch: str = "wse2"


def inside(text):
    """More at the beginning of `main`."""
    return (P, MAIN, MAIN + text)


MISTAKES = {
    # how it is written
    "no semicolon": Mistake(P, "var x: [4]f32;", "var x: [4]f32", "MS0101", "add the missing `;`", "pe.csl:6"),
    "a brace too few": Mistake(
        P, "  }\n}\n\nconst done", "  }\n\nconst done", "MS0103", "add the missing `}`", "pe.csl:12"
    ),
    "a loop of C": Mistake(
        *inside("  for (int i = 0; i < 4; i++) { x[i] = 0.0; }\n"), "MS0122", "write `for (@range", "pe.csl:13"
    ),
    "= for ==": Mistake(P, "if (sends) {", "if (sends = true) {", "MS0111", "write `==`", "pe.csl:13"),
    "a string in single quotes": Mistake(*inside("  x[0] = 'one';\n"), "MS0109", 'double quotes: "text"', "pe.csl:13"),
    "print": Mistake(*inside("  print(x[0]);\n"), "MS0201", "import <simprint>", "pe.csl:13"),
    "printf": Mistake(*inside('  printf("%f", x[0]);\n'), "MS0201", "import <simprint>", "pe.csl:13"),
    "console.log": Mistake(*inside("  console.log(x[0]);\n"), "MS0201", "import <simprint>", "pe.csl:13"),
    "@print": Mistake(*inside("  @print(x[0]);\n"), "MS0209", "import <simprint>", "pe.csl:13"),
    "outside a block": Mistake(P, "comptime {\n  @bind", "  @bind", "MS0123", "`comptime { }`", "pe.csl:23"),
    # names
    "a name mistyped": Mistake(
        P, "@fmovs(out, x_dsd", "@fmovs(out, x_dds", "MS0201", "did you mean 'x_dsd'?", "pe.csl:14"
    ),
    "a builtin mistyped": Mistake(P, "@fmovs(out", "@fmov(out", "MS0209", "did you mean '@fmovs'?", "pe.csl:14"),
    "a file mistyped": Mistake(L, '"pe.csl"', '"pes.csl"', "MS0215", "relative to the importing file", "layout.csl:7"),
    "a library mistyped": Mistake(
        P, "<memcpy/memcpy>", "<memcpy/memcopy>", "MS0215", "did you mean <memcpy/memcpy>?", "pe.csl:4"
    ),
    "a param mistyped": Mistake(L, ".sends = x", ".send = x", "MS0216", "did you mean 'sends'?", "layout.csl:7"),
    "a param left out": Mistake(L, ", .sends = x == 0", "", "MS0207", "give it in the import", "pe.csl:13"),
    "the width mistyped": Mistake(L, ".width = 2,", ".widht = 2,", "MS0216", "did you mean 'width'?", "layout.csl:1"),
    # types
    "i16 into f32": Mistake(*inside("  var i: i16 = 0;\n  x[0] = i;\n"), "MS0301", "@as(f32, value)", "pe.csl:14"),
    "f32 into f16": Mistake(*inside("  var h: f16 = x[0];\n  _ = h;\n"), "MS0301", "@as(f16, value)", "pe.csl:13"),
    "i32 into i16": Mistake(
        *inside("  var a: i32 = 7;\n  var b: i16 = a;\n  _ = b;\n"), "MS0301", "@as(i16, value)", "pe.csl:14"
    ),
    "a number too large": Mistake(
        *inside("  var s: i16 = 70000;\n  _ = s;\n"), "MS0302", "a type that holds it: u32", "pe.csl:13"
    ),
    "an f16 operation on f32": Mistake(
        P, "@fmuls(x_dsd, in", "@fmulh(x_dsd, in", "MS0505", "low 16 bits", "pe.csl:16", 0
    ),
    "const assigned to": Mistake(*inside("  const c: f32 = 1.0;\n  c = 2.0;\n"), "MS0328", "only 'var'", "pe.csl:14"),
    "an argument too few": Mistake(
        P,
        MAIN,
        "fn f(a: f32, b: f32) f32 { return a + b; }\n" + MAIN + "  x[0] = f(x[1]);\n",
        "MS0324",
        "its parameters are a, b",
        "pe.csl:14",
    ),
    "a value from void": Mistake(*inside("  return 1.0;\n"), "MS0301", "in place of void", "pe.csl:13"),
    "no return on one way": Mistake(
        P,
        MAIN,
        "fn f(a: f32) f32 { if (a > 9.0) { return a; } }\n" + MAIN + "  x[0] = f(x[1]);\n",
        "MS0341",
        "end every way",
        "pe.csl:12",
    ),
    "another type exported": Mistake(L, "[*]f32, true", "[*]f16, true", "MS0607", "write the same type", "pe.csl:27"),
    # comptime and run time
    "a var as an extent": Mistake(
        P,
        MAIN,
        "var n: u16 = 4;\nconst v = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{n} -> x[i] });\n"
        + MAIN
        + "  @fmovs(v, 1.0);\n",
        "MS0311",
        "use a const or a param",
        "pe.csl:13",
    ),
    "a var read while compiling": Mistake(
        P, "comptime {\n", "comptime {\n  const q: f32 = x[0];\n", "MS0311", "use a const or a param", "pe.csl:24"
    ),
    "a comptime var counts at run time": Mistake(
        *inside("  comptime var k: u16 = 0;\n  while (x[0] > 5.0) { k += 1; x[0] -= 1.0; }\n"),
        "MS0329",
        "leave out comptime",
        "pe.csl:14",
    ),
    # tasks
    "no @bind_local_task": Mistake(
        P, "  @bind_local_task(finish, done);\n", "", "MS0406", "@bind_local_task(task, id)", "pe.csl:14"
    ),
    "a task called": Mistake(*inside("  finish();\n"), "MS0402", "activate its id", "pe.csl:13"),
    "a task that nothing activates": Mistake(
        P, ", .activate = done });\n  }\n}", " });\n  }\n}", "MS0856", "activate that task", "pe.csl:16", 3
    ),
    "a task blocked for ever": Mistake(
        P, "comptime {\n", "comptime {\n  @block(done);\n", "MS0860", "unblock it", "pe.csl:25", 3
    ),
    "no unblock_cmd_stream": Mistake(
        P, "sys.unblock_cmd_stream();", "", "MS0856", "call unblock_cmd_stream()", "pe.csl:14", 3
    ),
    "unblock_cmd_stream twice": Mistake(
        P,
        "sys.unblock_cmd_stream();",
        "sys.unblock_cmd_stream(); sys.unblock_cmd_stream();",
        "MS0815",
        "the second call",
        "pe.csl:21",
        0,
    ),
    "an id twice": Mistake(
        P,
        "comptime {\n",
        "task more() void {}\ncomptime {\n  @bind_local_task(more, done);\n",
        "MS0405",
        "choose another id",
        "pe.csl:26",
    ),
    "an id of memcpy": Mistake(P, "task_id(8)", "task_id(30)", "MS1016", "Choose another one", "pe.csl:24", 0),
    "a data task without the wavelet": Mistake(
        P,
        "comptime {\n",
        "task got() void {}\ncomptime {\n  @bind_data_task(got, @get_data_task_id(link));\n",
        "MS0403",
        "write task got(data: f32) void",
        "pe.csl:25",
    ),
    # colors, queues, vectors
    "another color to receive": Mistake(
        P, "link, .input_queue", "@get_color(1), .input_queue", "MS0860", "another color than", "pe.csl:16", 3
    ),
    "another color of the queue": Mistake(
        P,
        "(@get_input_queue(2), .{ .color = link })",
        "(@get_input_queue(2), .{ .color = @get_color(1) })",
        "MS0407",
        "leave 'fabric_color' out",
        "pe.csl:16",
        3,
        "wse3",
    ),
    "a color too large": Mistake(
        L, "@get_color(0)", "@get_color(32)", "MS0404", "choose one from 0 to 23", "layout.csl:2"
    ),
    "a queue twice at once": Mistake(
        P, TAKE, TAKE.replace(", .activate = done", "") + "\n" + TAKE, "MS0816", "wait for the first", "pe.csl:17"
    ),
    "a queue not initialised": Mistake(
        P,
        "  @initialize_queue(@get_input_queue(2), .{ .color = link });\n",
        "",
        "MS0821",
        "@initialize_queue",
        "pe.csl:16",
        1,
        "wse3",
    ),
    "read before it is received": Mistake(
        P, TAKE, TAKE + "\n    @fmovs(x_dsd, x_dsd);", "MS1018", "wait for its end", "pe.csl:17", 0
    ),
    "sent and written over": Mistake(
        *inside("  if (sends) { @fmovs(out, x_dsd, .{ .async = true }); x[0] = 0.0; return; }\n"),
        "MS1018",
        "may not have read yet",
        "pe.csl:13",
        3,
    ),
    "fabout as a source": Mistake(
        P, "@fmuls(x_dsd, in,", "@fmuls(x_dsd, out,", "MS0504", "comes from a fabin_dsd", "pe.csl:16"
    ),
    "fabin as a destination": Mistake(
        P, "@fmovs(out,", "@fmovs(in,", "MS0503", "into memory or a fabout_dsd", "pe.csl:14"
    ),
    "one less received": Mistake(
        P,
        ".extent = 4, .fabric_color = link, .input",
        ".extent = 3, .fabric_color = link, .input",
        "MS0854",
        "disagree on the number",
        "layout.csl:10",
        0,
    ),
    "one more received": Mistake(
        P,
        ".extent = 4, .fabric_color = link, .input",
        ".extent = 5, .fabric_color = link, .input",
        "MS0860",
        "longer than what is sent",
        "pe.csl:16",
        3,
    ),
    "a vector longer than the array": Mistake(
        P, "|i|{4} -> x[i]", "|i|{8} -> x[i]", "MS0852", "check base address, length", "pe.csl:14", 0
    ),
    "an index too large": Mistake(*inside("  x[4] = 1.0;\n"), "MS0318", "indices are 0 to 3", "pe.csl:13"),
    "an index too large, at run time": Mistake(
        P, MAIN, "var k: u16 = 4000;\n" + MAIN + "  x[k] = 1.0;\n", "MS0806", "test the index", "pe.csl:14"
    ),
    "division by zero": Mistake(
        P, MAIN, "var z: i16 = 0;\n" + MAIN + "  z = 1 / z;\n", "MS0804", "test the divisor", "pe.csl:14"
    ),
    "receive first, on both sides": Mistake(
        *inside("  if (sends) { @fmovs(x_dsd, in); }\n"), "MS0860", "add RAMP", "pe.csl:13", 3
    ),
    # the layout
    "no @set_tile_code": Mistake(
        L,
        '    @set_tile_code(x, 0, "pe.csl", .{ .memcpy_params = memcpy.get_params(x), .link = link, .sends = x == 0 });\n',
        "    _ = x;\n",
        "MS0604",
        "call @set_tile_code once",
        "layout.csl:4",
    ),
    "no @set_rectangle": Mistake(
        L, "  @set_rectangle(2, 1);\n", "", "MS0601", "@set_rectangle comes first", "layout.csl:6"
    ),
    "a PE too many": Mistake(
        L, "@range(u16, 2)", "@range(u16, 3)", "MS0336", "column is outside the rectangle", "layout.csl:7"
    ),
    "no route at the receiver": Mistake(
        L,
        "  @set_color_config(1, 0, link, .{ .routes = .{ .rx = .{WEST}, .tx = .{RAMP} } });\n",
        "",
        "MS0811",
        "configure the color on both",
        "layout.csl:9",
    ),
    "sent to the wrong side": Mistake(
        L, ".tx = .{EAST}", ".tx = .{WEST}", "MS0812", "off the rectangle", "layout.csl:9", 3
    ),
    "received from the wrong side": Mistake(
        L, ".rx = .{WEST}", ".rx = .{EAST}", "MS0813", "add the side to rx", "layout.csl:10"
    ),
    "a direction as a text": Mistake(
        L, ".tx = .{EAST}", '.tx = .{"EAST"}', "MS0609", "NORTH, SOUTH, EAST", "layout.csl:9"
    ),
    "no @export_symbol": Mistake(
        P, "  @export_symbol(main);\n", "", "MS0914", "write @export_symbol(main); in a comptime block of pe.csl", None
    ),
    "no @export_name": Mistake(L, '  @export_name("main", fn()void);\n', "", "MS0607", "add @export_name", "pe.csl:28"),
}


def run(folder, capsys, texts, arch):
    for name, text in texts.items():
        (folder / name).write_text(text)
    code = main(["run", "layout.csl", "--arch", arch, "--set", "x=1", "--launch", "main", "--get", "x"])
    said = capsys.readouterr()
    return code, said.out, said.err


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("arch", ["wse2", "wse3"])
def test_without_a_mistake(folder, capsys, arch):
    code, out, err = run(folder, capsys, {L: LAYOUT, P: PE}, arch)
    assert code == 0 and "2. 2. 2. 2." in out and "MS" not in err


@pytest.mark.parametrize("name", MISTAKES)
def test_it_is_stopped(folder, capsys, name):
    m = MISTAKES[name]
    texts = {L: LAYOUT, P: PE}
    assert texts[m.file].count(m.right) == 1
    texts[m.file] = texts[m.file].replace(m.right, m.wrong)
    code, _, err = run(folder, capsys, texts, m.arch)
    assert code == m.exit_code, err
    # the part of what is said that is about this code: up to the next message
    parts = re.split(r"(?m)^(?=(?:error|warning)\[)", err)
    about = [part for part in parts if part.startswith((f"error[{m.code}]", f"warning[{m.code}]"))]
    assert about, err
    assert any(m.words in " ".join(part.split()) for part in about), err
    if m.place is not None:
        assert any(re.search(rf"(?:-->|:::) {re.escape(m.place)}(?!\d)", part) for part in about), err
