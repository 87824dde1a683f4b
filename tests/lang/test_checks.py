"""Each check that docs/conformance.md lists, by a small program of its own: the code, the place, what it says. The page
and this file name the same checks with the same codes, or this fails."""

import re
from pathlib import Path

import pytest
from compiling import Chunk, diagnostics, parse_files
from test_run_time_checks import FOUR, ONE, SEND, TAKE, start

from meshlang.diag import Diagnostic, MeshlangError

PAGE = Path(__file__).parents[2] / "docs" / "conformance.md"


def listed(heading: str) -> dict[str, list[str]]:
    """check -> codes, of the table below a heading of the page."""
    text = PAGE.read_text(encoding="utf-8").split(f"### {heading}\n")[1].split("\n#")[0]
    rows = re.findall(r"^\| (.*?) \| ([MS\d, ]+?) \|$", text, re.MULTILINE)
    assert len(rows) == len({check for check, _ in rows})
    return {check: codes.split(", ") for check, codes in rows}


# ---------------------------------------------------------------- while compiling

# check -> what the message says, the program (the line is marked with <-), options. Without a layout block it is one
# PE's.
ONE_PE = 'layout { @set_rectangle(1, 1); @set_tile_code(0, 0, "pe.csl"); %s }\n//# file: pe.csl\n%s'
MEMCPY = """const memcpy = @import_module("<memcpy/get_params>", .{ .width = 1, .height = 1 });
layout { @set_rectangle(1, 1); @set_tile_code(0, 0, "pe.csl", .{ .memcpy_params = memcpy.get_params(0) }); @export_name("main", fn()void); }
//# file: pe.csl
param memcpy_params;
const sys = @import_module("<memcpy/memcpy>", memcpy_params);
task t() void { }
var x: [4]f32;
const m = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{4} -> x[i] });
%s
comptime { @export_symbol(main); }
"""
ROUTE = ".{ .routes = .{ .rx = .{RAMP}, .tx = .{EAST} } }"
FABRIC = """var x: [4]f32; var buf = @zeros([8]f32);
const m = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{4} -> x[i] });
const in = @get_dsd(fabin_dsd, .{ .extent = 4, .fabric_color = @get_color(1), .input_queue = @get_input_queue(2) });
const in2 = @get_dsd(fabin_dsd, .{ .extent = 4, .fabric_color = @get_color(2), .input_queue = @get_input_queue(3) });
const out = @get_dsd(fabout_dsd, .{ .extent = 4, .fabric_color = @get_color(3), .output_queue = @get_output_queue(2) });
const fifo = @allocate_fifo(buf);
fn same(v: f32) f32 { return v; }
comptime {
  @initialize_queue(@get_input_queue(2), .{ .color = @get_color(1) }); @initialize_queue(@get_input_queue(3), .{ .color = @get_color(2) });
  if (@is_arch("wse3")) { @initialize_queue(@get_output_queue(2), .{ .color = @get_color(3) }); }
}
fn main() void {
  %s // <-
}
"""
COMPILING: dict[str, tuple] = {
    "a color configured twice on a PE": (
        "color 1 of PE (0, 0) is configured twice",
        f"layout {{ @set_rectangle(1, 1); @set_color_config(0, 0, @get_color(1), {ROUTE});\n"
        f"@set_color_config(0, 0, @get_color(1), {ROUTE}); // <-\n}}",
    ),
    "a color configured by the layout and by the PE's code": (
        "color 1",
        ONE_PE
        % (
            f"@set_color_config(0, 0, @get_color(1), {ROUTE});",
            f"comptime {{ @set_local_color_config(@get_color(1), {ROUTE}); }} // <-",
        ),
    ),
    "a color configuration without routes": (
        "needs 'routes'",
        "layout { @set_rectangle(1, 1);\n@set_color_config(0, 0, @get_color(1), .{ .teardown = true }); // <-\n}",
    ),
    "PEs without code": (
        "without code",
        'layout { @set_rectangle(2, 1); // <-\n@set_tile_code(0, 0, "pe.csl"); }\n//# file: pe.csl\n',
    ),
    "the code of a PE given twice": (
        "gets its code twice",
        'layout { @set_rectangle(1, 1); @set_tile_code(0, 0, "pe.csl");\n@set_tile_code(0, 0, "pe.csl"); // <-\n}\n//# file: pe.csl\n',
    ),
    "a PE outside the rectangle": (
        "PE (1, 0) is outside",
        'layout { @set_rectangle(1, 1);\n@set_tile_code(1, 0, "pe.csl"); // <-\n}\n//# file: pe.csl\n',
    ),
    "`@set_rectangle` twice": ("called twice", "layout { @set_rectangle(1, 1);\n@set_rectangle(1, 1); // <-\n}"),
    "`@set_rectangle` after what needs it": (
        "@set_rectangle comes first",
        'layout {\n@set_tile_code(0, 0, "pe.csl"); // <-\n@set_rectangle(1, 1); }\n//# file: pe.csl\n',
    ),
    "two tasks on one id": (
        "task id 9 is bound twice",
        """task a() void {} task b() void {}
comptime { @bind_local_task(a, @get_local_task_id(9));
@bind_local_task(b, @get_local_task_id(9)); } // <-
""",
    ),
    "a data task and a local task on one id": (
        "task id 9 is bound twice: to 'b' and to 'a'",
        """task a() void {} task b(v: f32) void {}
comptime { @initialize_queue(@get_input_queue(2), .{ .color = @get_color(9) }); @bind_data_task(b, @get_data_task_id(@get_color(9)));
@bind_local_task(a, @get_local_task_id(9)); } // <-
""",
    ),
    "a control task and a local task on one id": (
        "data, local and control tasks share one table",
        """task a() void {} task b() void {}
comptime { @bind_local_task(a, @get_local_task_id(9));
@bind_control_task(b, @get_control_task_id(9)); } // <-
""",
    ),
    "a task bound outside a top-level comptime block": (
        "@bind_local_task can be used in a top-level comptime block",
        "task a() void {}\nfn main() void {\n@bind_local_task(a, @get_local_task_id(9)); // <-\n}",
    ),
    "a local task with parameters": (
        "'a' is bound as a local task",
        "task a(v: u16) void {}\ncomptime { @bind_local_task(a, @get_local_task_id(9)); } // <-",
    ),
    "a data task without parameters": (
        "'a' is bound as a data task",
        "task a() void {}\ncomptime { @bind_data_task(a, @get_data_task_id(@get_color(9))); } // <-",
    ),
    "a task with an 8-bit parameter": (
        "u8",
        "task a(v: u8) void {} // <-\ncomptime { @bind_data_task(a, @get_data_task_id(@get_color(9))); }",
    ),
    "a task with a 64-bit parameter": (
        "i64",
        "task a(v: i64) void {} // <-\ncomptime { @bind_data_task(a, @get_data_task_id(@get_color(9))); }",
    ),
    "`@activate` of an id that is not a local task's": (
        "local_task_id",
        "task a(v: f32) void {}\ncomptime { @bind_data_task(a, @get_data_task_id(@get_color(9))); }\nfn main() void {\n"
        "@activate(@get_data_task_id(@get_color(9))); // <-\n}",
    ),
    "`@activate` of an id without a task": (
        "task id 9",
        "fn main() void {\n@activate(@get_local_task_id(9)); // <-\n}",
    ),
    "a task called": ("task", "task a() void {}\nfn main() void {\na(); // <-\n}"),
    "a queue initialised twice": (
        "input queue 2 is initialised twice",
        """comptime { @initialize_queue(@get_input_queue(2), .{ .color = @get_color(9) });
@initialize_queue(@get_input_queue(2), .{ .color = @get_color(9) }); } // <-
""",
    ),
    "WSE-3: a data task on a queue that is not initialised": (
        "queue 2",
        "task a(v: f32) void {}\ncomptime {\n@bind_data_task(a, @get_data_task_id(@get_input_queue(2))); // <-\n}",
        {"arch": "wse3"},
    ),
    "an asynchronous operation without a fabric operand": (
        "no fabric operand",
        FABRIC % "@fmovs(m, 1.0, .{ .async = true });",
    ),
    "a fabin_dsd as destination": ("cannot be the destination", FABRIC % "@fmovs(in, m);"),
    "a fabout_dsd as source": ("cannot be a source", FABRIC % "@fmovs(m, out);"),
    "a FIFO as the first of two sources": ("a FIFO cannot be the first of two sources", FABRIC % "@fadds(m, fifo, m);"),
    "a FIFO in `@map`": ("@map cannot take a FIFO", FABRIC % "@map(same, fifo, m);"),
    "WSE-3: two fabin_dsd in one operation": (
        "one fabin_dsd at most",
        FABRIC % "@fadds(m, in, in2);",
        {"arch": "wse3"},
    ),
    "a tensor access of another rank than its array": (
        "has 2 dimensions, the access gives 1",
        "var x: [4, 4]f32;\nfn main() void {\n_ = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{4} -> x[i] }); // <-\n}",
    ),
    "a property of a DSD given twice": (
        "'extent' is given beside a tensor access",
        "var x: [4]f32;\nfn main() void {\n_ = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{4} -> x[i], .extent = 4 }); // <-\n}",
    ),
    "`@export_symbol` without its `@export_name`": (
        "the layout has no @export_name",
        ONE_PE % ("", "fn f() void {}\ncomptime { @export_symbol(f); } // <-"),
    ),
    "`@export_symbol` of another type than its `@export_name`": (
        "has the type",
        ONE_PE % ('@export_name("f", fn(i16)void);', "fn f() void {}\ncomptime { @export_symbol(f); } // <-"),
    ),
    "a switch that does not cover all cases": (
        "does not cover",
        "const E = enum(u16) { A, B };\nvar e: E = E.A;\nfn main() void {\nswitch (e) { E.A => {} } // <-\n}",
    ),
    "a case given twice": (
        "is given twice",
        "var e: u16 = 1;\nfn main() void { switch (e) {\n1 => {},\n1 => {}, // <-\nelse => {} } }",
    ),
    "a run-time variable of a type of compile time": (
        "a run-time variable cannot have the type",
        "fn main() void {\nvar n = 4; // <-\n}",
    ),
    "a value of run time where one of compile time is needed": (
        "must be known at compile time",
        "var n: u16 = 4;\nfn main() void {\nvar a: [n]u16; // <-\n}",
    ),
    "assignment to a const": ("'c' cannot be assigned to", "const c: u16 = 4;\nfn main() void {\nc = 5; // <-\n}"),
    "assignment to a param": ("'p' cannot be assigned to", "param p: u16 = 4;\nfn main() void {\np = 5; // <-\n}"),
    "assignment to a parameter of a function": (
        "'v' cannot be assigned to",
        "fn f(v: u16) void {\nv = 5; // <-\n}\nfn main() void { f(1); }",
    ),
    "a color outside 0 to 23": ("color 24", "const c = @get_color(24); // <-\nfn main() void { @block(c); }"),
    "WSE-2: a local task id outside 0 to 30": (
        "local task id 31",
        "const c = @get_local_task_id(31); // <-\nfn main() void { @block(c); }",
    ),
    "WSE-3: a local task id outside 8 to 30": (
        "local task id 7",
        "const c = @get_local_task_id(7); // <-\nfn main() void { @block(c); }",
        {"arch": "wse3"},
    ),
    "WSE-3: a switch on a color that has none": (
        "color 10 has no switch",
        ONE_PE
        % (
            "\n@set_color_config(0, 0, @get_color(10), .{ .routes = .{ .rx = .{RAMP}, .tx = .{RAMP} }, "
            ".switches = .{ .pos1 = .{ .tx = .{RAMP} } } }); // <-\n",
            "",
        ),
        {"arch": "wse3"},
    ),
    "an id that memcpy keeps for itself": (
        "is reserved for memcpy",
        MEMCPY % "fn main() void { sys.unblock_cmd_stream(); }\ncomptime {\n"
        "@bind_local_task(t, @get_local_task_id(28)); // <-\n}",
    ),
    "a queue that memcpy keeps for itself": (
        "input queue 0 belongs to memcpy",
        MEMCPY % "fn main() void { sys.unblock_cmd_stream(); }\ncomptime {\n"
        "@initialize_queue(@get_input_queue(0), .{ .color = @get_color(1) }); // <-\n}",
    ),
    "a DSR that memcpy keeps for itself": (
        "DSR 0 ",
        MEMCPY % "const d = @get_dsr(dsr_dest, 0); // <-\n"
        "fn main() void { @load_to_dsr(d, m); @fmovs(d, 1.0); sys.unblock_cmd_stream(); }",
    ),
}


def line(d: Diagnostic) -> str:
    return d.span.file.line(d.span.line_col()[0])


def test_the_page_lists_these_checks_while_compiling():
    assert set(listed("While compiling")) == set(COMPILING)


@pytest.mark.parametrize("check", COMPILING)
def test_while_compiling(check, tmp_path):
    says, program, *options = COMPILING[check]
    if "//# file:" in program:
        program = "//# file: layout.csl\n" + program
    found = diagnostics(tmp_path, Chunk(check, parse_files(program), [], options[0] if options else {}))
    codes = listed("While compiling")[check]
    assert [d.code for d in found] == codes, [f"{d.code} {d.message}" for d in found]
    for d in found:
        assert says in " ".join([d.message, *d.notes, d.help or ""]), d
        assert "// <-" in line(d), line(d)


# ---------------------------------------------------------------- while running

# check -> what the message says, PE, color or None, part of the line it points at, and the program of `start`: what the
# outer PEs (0, 0) and (2, 0) do, what the middle one does, options
WAIT = "const done = @get_local_task_id(9); task end() void { sys.unblock_cmd_stream(); } comptime { @bind_local_task(end, done); }"
OTHER = """const b = @get_color(2);
comptime { if (!first) { @set_local_color_config(b, .{ .routes = .{ .rx = .{RAMP}, .tx = .{EAST} } }); } }
const out_b = @get_dsd(fabout_dsd, .{ .extent = 1, .fabric_color = b, .output_queue = @get_output_queue(3) });
"""
DSRS = "const to = @get_dsr(dsr_dest, 3);\n" + WAIT
LOADED = "@load_to_dsr(to, x_dsd); _ = @fmovs(to, in, .{ .async = true, .activate = done });\n  "
RUNNING: dict[str, tuple] = {
    "a microthread started while it runs": (
        "microthread 2 is started while it still runs",
        (1, 0),
        None,
        "@fmovs(x_dsd, other",
        ONE,
        "@fmovs(x_dsd, in, .{ .async = true });\n  @fmovs(x_dsd, other, .{ .async = true });",
        {
            "middle_top": "const other = @get_dsd(fabin_dsd, .{ .extent = 8, .fabric_color = a, .input_queue = @get_input_queue(2) });"
        },
    ),
    "a queue used by two operations at once": (
        "input queue 2 is used by two operations at once",
        (1, 0),
        1,
        "@fmovs(x_dsd, in);",
        ONE,
        f"{TAKE[:-2]}, .{{ .async = true, .activate = done }});\n  {TAKE}\n  // ends",
        {"middle_top": WAIT},
    ),
    "a DSR loaded while an operation uses it": (
        "DSR 3 of dsr_dest is loaded while an asynchronous operation",
        (1, 0),
        None,
        "@load_to_dsr(to, four_dsd);",
        ONE,
        LOADED + "@load_to_dsr(to, four_dsd);\n  // ends",
        {"middle_top": DSRS},
    ),
    "the base address of a DSR set while an operation uses it": (
        "DSR 3 of dsr_dest is loaded while an asynchronous operation",
        (1, 0),
        None,
        "@set_dsr_base_addr(to, &x);",
        ONE,
        LOADED + "@set_dsr_base_addr(to, &x);\n  // ends",
        {"middle_top": DSRS},
    ),
    "an operation of another width than its DSD": (
        "works on 32-bit elements, and walks its destination",
        (1, 0),
        None,
        "@fmovs(h, 1.0);",
        "",
        "h = @set_dsd_length(h, n);\n  @fmovs(h, 1.0);\n  y[0] = y[0];",
        {
            "middle_top": "var y: [16]f16; var n: u16 = 2; var h = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{2} -> y[i] });"
        },
    ),
    "a vector that reads past its array": (
        "the vector reads elements 0 to 7 of y",
        (1, 0),
        None,
        "@fmovs(x_dsd, long);",
        "",
        "@fmovs(x_dsd, long);\n  z[0] = y[0];",
        {
            "middle_top": "var y: [4]f32; var z: [8]f32; const long = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{8} -> y[i] });"
        },
    ),
    "a vector that writes past its array": (
        "the vector writes elements 0 to 7 of y",
        (1, 0),
        None,
        "@fmovs(long, 0.0);",
        "",
        "@fmovs(long, 0.0);\n  z[0] = y[0];",
        {
            "middle_top": "var y: [4]f32; var z: [8]f32; const long = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{8} -> y[i] });"
        },
    ),
    "a vector that leaves the PE's memory": (
        "which leaves x ([8]f32, bytes",
        (1, 0),
        None,
        "@fmovs(long, 0.0);",
        "",
        "@fmovs(long, 0.0);",
        {"middle_top": "const long = @get_dsd(mem1d_dsd, .{ .base_address = &x, .extent = 20000 });"},
    ),
    "operands of different lengths": (
        "the operation has 4 elements, but its destination has 8",
        (1, 0),
        1,
        f"@fmovs(x_dsd, {FOUR});",
        "if (first) { @fmovs(@set_dsd_length(out, 4), four_dsd); }",
        f"@fmovs(x_dsd, {FOUR});",
        {},
    ),
    "wavelets from two enabled sides in one cycle": (
        "two wavelets of color 1 arrive at PE (1, 0) in the same cycle",
        (1, 0),
        1,
        "@set_color_config(1, 0, a",
        SEND,
        f"{TAKE} {TAKE}",
        {"rx": "EAST, WEST"},
    ),
    "a wavelet to a router without a route": (
        "a wavelet of color 2 leaves PE (0, 0) to the EAST, but the router there has no route",
        (0, 0),
        2,
        "@set_local_color_config(b",
        "if (first) { @fmovs(out_b, 1.0); }",
        "",
        {"side_top": OTHER.replace("if (!first) ", "if (first) ")},
    ),
    "a wavelet off the rectangle": (
        "leaves PE (2, 0) to the EAST, off the rectangle",
        (2, 0),
        2,
        "@set_local_color_config(b",
        "if (!first) { @fmovs(out_b, 1.0); }",
        "",
        {"side_top": OTHER},
    ),
    "a wavelet from a side that is not enabled": (
        "arrives at PE (1, 0) from the EAST, a side that is not in its rx",
        (1, 0),
        1,
        "@set_color_config(1, 0, a",
        "if (!first) { @fmovs(out, x_dsd); }",
        "",
        {},
    ),
    "a wavelet without a route at its own PE": (
        "the PE's own router has no route",
        (0, 0),
        None,
        "@fmovs(out_b, 1.0)",
        "if (first) { @fmovs(out_b, 1.0); }",
        "",
        {"side_top": OTHER},
    ),
    "WSE-3: an operation on a queue that is not initialised": (
        "has no output queue",
        (0, 0),
        None,
        "@fmovs(out, x_dsd)",
        "if (first) { @fmovs(out, x_dsd); }",
        "",
        {"arch": "wse3"},
    ),
    "wavelets left in a queue": (
        "input queue 2 (color 1) holds 4 wavelets",
        (1, 0),
        1,
        "",
        ONE,
        f"@fmovs(four_dsd, {FOUR});",
        {},
    ),
    "wavelets left in a router": ("stuck in the router", (1, 0), 1, "@set_color_config(1, 0, a", ONE, "", {}),
    "wavelets for a blocked task": (
        "the task for them is blocked",
        (1, 0),
        1,
        "@set_color_config(1, 0, a",
        ONE,
        "",
        {
            "middle_top": "task got(v: f32) void { x[0] += v; }\nconst id = @get_data_task_id(a);\ncomptime { @bind_data_task(got, id); @block(id); }"
        },
    ),
    "the command stream not unblocked": ("has returned on 1 PE", (1, 0), None, TAKE, ONE, TAKE + " // ends", {}),
    "the command stream unblocked twice": (
        "no command is outstanding",
        (1, 0),
        None,
        "sys.unblock_cmd_stream();",
        ONE,
        TAKE + " sys.unblock_cmd_stream(); sys.unblock_cmd_stream();",
        {},
    ),
    "a deadlock": ("waits for input queue 2", (1, 0), None, TAKE, "", TAKE, {}),
}


def test_the_page_lists_these_checks_while_running():
    assert set(listed("While running")) == set(RUNNING)


def everything(d: Diagnostic) -> str:
    return "\n".join([d.message, *d.notes, *(label.text for label in d.labels)])


@pytest.mark.parametrize("check", RUNNING)
def test_while_running(check, tmp_path):
    says, pe, color, at, side, middle, options = RUNNING[check]
    (code,) = listed("While running")[check]
    fabric = start(tmp_path, side, middle, **options)
    try:
        fabric.launch("main")
        fabric.run()
        found = [w for w in fabric.warnings if w.code == code and says in everything(w)]
        assert found and all(w.severity == "warning" for w in found), [f"{w.code} {w.message}" for w in fabric.warnings]
    except MeshlangError as error:
        found = error.diagnostics[:1]
        assert found[0].code == code, found
    d = found[0]
    text = everything(d)
    assert says in text and f"PE ({pe[0]}, {pe[1]})" in text, text
    if color is not None:
        assert f"color {color}" in text
    # in a library: who called it
    lines = [line(d), *(label.span.file.line(label.span.line_col()[0]) for label in d.labels)]
    assert at == "" or any(at in text for text in lines), lines


def test_no_two_checks_say_the_same():
    said = [(tuple(listed("While compiling")[check]), row[0]) for check, row in COMPILING.items()]
    assert len(said) == len(set(said))
