"""Lint: for each warning a program that deserves it, and the same program put right, which does not."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from two_pes import MAIN, layout

from meshlang.cli import main
from meshlang.host.build import build
from meshlang.inspect.language.index import Index
from meshlang.inspect.lint import lint
from meshlang.inspect.lint.checks import _bytes, names_nothing
from meshlang.inspect.lint.facts import Dsd
from meshlang.ir.isa import DsdKind
from meshlang.ir.words import INFINITE
from meshlang.syntax.parser import parse_file

ROOT = Path(__file__).resolve().parents[2]
LAYOUT = layout(MAIN)
PE = """\
param memcpy_params;
param link: color;
param sends: bool;
const sys = @import_module("<memcpy/memcpy>", memcpy_params);
var x = @zeros([4]f32);
const x_dsd = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{4} -> x[i] });
const in = @get_dsd(fabin_dsd, .{ .extent = 4, .fabric_color = link, .input_queue = @get_input_queue(2) });
const out = @get_dsd(fabout_dsd, .{ .extent = 4, .fabric_color = link, .output_queue = @get_output_queue(2) });
const done = @get_local_task_id(8);
const other = @get_local_task_id(9);
fn main() void {
  if (sends) { @fmovs(out, x_dsd, .{ .async = true, .activate = done }); }
  else { @fmuls(x_dsd, in, 2.0, .{ .async = true, .activate = done }); }
}
task finish() void { @activate(other); }
task last() void { sys.unblock_cmd_stream(); }
comptime {
  @bind_local_task(finish, done);
  @bind_local_task(last, other);
  if (!sends) { @initialize_queue(@get_input_queue(2), .{ .color = link }); }
  if (sends and @is_arch("wse3")) { @initialize_queue(@get_output_queue(2), .{ .color = link }); }
  @export_symbol(main);
}
"""


def found(folder, pe=PE, layout=LAYOUT, arch="wse2"):
    (folder / "pe.csl").write_text(pe)
    (folder / "layout.csl").write_text(layout)
    return lint(build(str(folder / "layout.csl"), arch=arch))


def with_route(x, color, rx, tx):
    route = f"@set_color_config({x}, 0, @get_color({color}), .{{ .routes = .{{ .rx = .{{{rx}}}, .tx = .{{{tx}}} }} }});"
    return LAYOUT.replace("  @export_name", f"  {route}\n  @export_name")


def line_of(text, part):
    return next(i for i, line in enumerate(text.splitlines(), 1) if part in line)


@pytest.mark.parametrize("arch", ["wse2", "wse3"])
def test_nothing_to_warn_about(tmp_path, arch):
    assert found(tmp_path, arch=arch) == []


@pytest.mark.parametrize("name", ["hello", "gemv", "meshgemm", "meshgemv"])
def test_programs_of_the_repository(name):
    assert lint(build(str(ROOT / "programs" / name / "layout.csl"))) == []


def test_unused_color(tmp_path):
    layout = with_route(1, 5, "WEST", "RAMP")
    (warning,) = found(tmp_path, layout=layout)
    assert (
        warning.code == "MS1010"
        and "color 5" in warning.message
        and warning.notes == ["on PE (1, 0)"]
        and warning.severity == "warning"
    )


def test_a_color_that_only_a_queue_names_is_used(tmp_path):
    """WSE-3: a DSD without a color has that of its queue, of its own side."""
    pe = PE.replace(".fabric_color = link, .input_queue = @get_input_queue(2)", ".input_queue = @get_input_queue(3)")
    pe = pe.replace(".fabric_color = link, .output_queue", ".output_queue").replace(
        "@initialize_queue(@get_input_queue(2)", "@initialize_queue(@get_input_queue(3)"
    )
    assert found(tmp_path, pe=pe, arch="wse3") == []


def test_several_receive_directions(tmp_path):
    layout = LAYOUT.replace(".{ .rx = .{WEST}, .tx = .{RAMP} }", ".{ .rx = .{ WEST, EAST }, .tx = .{RAMP} }")
    (warning,) = found(tmp_path, layout=layout, arch="wse3")
    assert warning.code == "MS1017" and warning.span.line_col()[0] == line_of(layout, "WEST, EAST")
    assert warning.notes == ["on PE (1, 0)"]
    assert found(tmp_path, layout=layout, arch="wse2") == []


def test_receive_without_ramp(tmp_path):
    (warning,) = found(
        tmp_path, layout=LAYOUT.replace(".{ .rx = .{WEST}, .tx = .{RAMP} }", ".{ .rx = .{WEST}, .tx = .{EAST} }")
    )
    assert (
        warning.code == "MS1011"
        and warning.span.line_col()[0] == line_of(PE, "@fmuls")
        and warning.notes == ["on PE (1, 0)"]
    )


ROLES = PE.replace("if (sends) { @fmovs(out, x_dsd, .{ .async = true, .activate = done }); }\n  else {", "{").replace(
    "fn main() void {", "var role: i16 = 0;\nfn main() void {"
)


def test_receive_of_another_role(tmp_path):
    """PE 0 runs the same code and has no route to its ramp: a receive that it may leave out at run time is no mistake
    there."""
    always = found(tmp_path, pe=ROLES)
    assert [(w.code, w.notes) for w in always] == [("MS1011", ["on PE (0, 0)"])]
    sometimes = ROLES.replace("{ @fmuls", "if (role == 1) { @fmuls")
    assert sometimes != ROLES and found(tmp_path, pe=sometimes) == []
    early = ROLES.replace("  { @fmuls", "  if (role == 0) { sys.unblock_cmd_stream(); return; }\n  { @fmuls")
    assert early != ROLES and found(tmp_path, pe=early) == []
    called = ROLES.replace("  { @fmuls", "  if (role == 1) { take(); }\n}\nfn take() void {\n  { @fmuls")
    assert called != ROLES and found(tmp_path, pe=called) == []
    activated = ROLES.replace(
        "  { @fmuls",
        "  if (role == 1) { @activate(third); }\n}\nconst third = @get_local_task_id(10);\n"
        "task take() void {\n  { @fmuls",
    ).replace("comptime {", "comptime {\n  @bind_local_task(take, third);")
    assert activated != ROLES and found(tmp_path, pe=activated) == []
    assert [
        w.code
        for w in found(tmp_path, pe=activated.replace("if (role == 1) { @activate(third); }", "@activate(third);"))
    ] == ["MS1011"]
    # what no PE can receive is reported, condition or not
    nowhere = LAYOUT.replace(".{ .rx = .{WEST}, .tx = .{RAMP} }", ".{ .rx = .{WEST}, .tx = .{EAST} }")
    assert [(w.code, w.notes) for w in found(tmp_path, pe=sometimes, layout=nowhere)] == [
        ("MS1011", ["on 2 PEs, x 0..1, y 0..0"])
    ]


def test_data_task_without_ramp(tmp_path):
    pe = PE.replace("task last", "task got(v: f32) void { x[0] = v; }\ntask last").replace(
        "  @bind_local_task(finish",
        "  @bind_data_task(got, @get_data_task_id(@get_color(4)));\n  @bind_local_task(finish",
    )
    (warning,) = found(tmp_path, pe=pe)
    assert (
        warning.code == "MS1011"
        and "data task got" in warning.message
        and warning.notes == ["on 2 PEs, x 0..1, y 0..0"]
    )


def test_unreachable_task(tmp_path):
    pe = PE.replace("@activate(other);", "sys.unblock_cmd_stream();")
    (warning,) = found(tmp_path, pe=pe)
    assert warning.code == "MS1012" and "last (id 9)" in warning.message
    assert found(tmp_path, pe=pe.replace("comptime {", "comptime {\n  @activate(other);")) == []


def test_task_of_another_role(tmp_path):
    """Activated on PE 0 only; PE 1 binds it as well."""
    pe = PE.replace(
        "task finish() void { @activate(other); }",
        "task finish() void { if (sends) { @activate(other); } else { sys.unblock_cmd_stream(); } }",
    )
    assert pe != PE and found(tmp_path, pe=pe) == []


def test_unwaited_operation(tmp_path):
    pe = PE.replace(
        "@fmovs(out, x_dsd, .{ .async = true, .activate = done })",
        "@fmovs(out, x_dsd, .{ .async = true }); @activate(done)",
    )
    (warning,) = found(tmp_path, pe=pe)
    assert (
        warning.code == "MS1013"
        and warning.span.line_col()[0] == line_of(pe, "@fmovs")
        and warning.notes == ["on PE (0, 0)"]
    )
    assert found(tmp_path, pe=pe.replace(".{ .async = true });", ".{ .async = true, .unblock = done });")) == []
    endless = pe.replace("fabout_dsd, .{ .extent = 4", "fabout_dsd, .{ .extent = 0x7fff")
    assert "MS1013" not in {w.code for w in found(tmp_path, pe=endless)}


def test_operations_that_need_no_one_to_wait(tmp_path):
    unwaited = PE.replace(
        "@fmovs(out, x_dsd, .{ .async = true, .activate = done })",
        "@fmovs(out, x_dsd, .{ .async = true }); @activate(done)",
    )
    assert [w.code for w in found(tmp_path, pe=unwaited)] == ["MS1013"]
    # the host takes what it sends
    layout = LAYOUT.replace(".height = 1 }", ".height = 1, .MEMCPYD2H_1 = @get_color(7) }")
    streams = unwaited.replace(
        "fabout_dsd, .{ .extent = 4, .fabric_color = link", "fabout_dsd, .{ .extent = 4, .fabric_color = @get_color(7)"
    )
    assert "MS1013" not in {w.code for w in found(tmp_path, pe=streams, layout=layout)}
    # a task that runs once, and nothing else uses queue and memory
    once = (
        unwaited.replace("fn main() void {", "fn main() void { sys.unblock_cmd_stream(); }\ntask start() void {")
        .replace("task last() void { sys.unblock_cmd_stream(); }", "task last() void {}")
        .replace(
            "comptime {",
            "comptime {\n  @bind_local_task(start, @get_local_task_id(10)); @activate(@get_local_task_id(10));",
        )
    )
    assert found(tmp_path, pe=once) == []
    again = once.replace("task last() void {}", "task last() void { if (sends) { @fmovs(x_dsd, 1.0); } }")
    assert [w.code for w in found(tmp_path, pe=again)] == ["MS1013"]
    twice = once.replace("task last() void {}", "task last() void { @activate(@get_local_task_id(10)); }")
    assert [w.code for w in found(tmp_path, pe=twice)] == ["MS1013"]


RECEIVE = "@fmuls(x_dsd, in, 2.0, .{ .async = true, .activate = done });"
SEND = "@fmovs(out, x_dsd, .{ .async = true, .activate = done });"


@pytest.mark.parametrize(
    "before, behind, said",
    [
        (RECEIVE, "@fmovs(y_dsd, x_dsd);", "reads x, which an asynchronous operation may not have written"),
        (RECEIVE, "y[0] = x[1];", "reads x, which an asynchronous operation may not have written"),
        (RECEIVE, "y[1] = 1.0; y[0] = x[1];", "reads x"),  # what lies between does not wait
        (RECEIVE, "@fmovs(x_dsd, 0.0);", "writes x, which an asynchronous operation may not have written"),
        (RECEIVE, "x[3] = 1.0;", "writes x, which an asynchronous operation may not have written"),
        (SEND, "@fmovs(x_dsd, 0.0);", "writes x, which an asynchronous operation may not have read"),
        (SEND, "x[3] = 1.0;", "writes x, which an asynchronous operation may not have read"),
        (SEND, "@fmovs(y_dsd, x_dsd); y[0] = x[1];", None),  # both read
        (RECEIVE, "@fmovs(y_dsd, 1.0); y[0] = 2.0;", None),
        (RECEIVE, "if (role == 1) { y[0] = x[1]; }", None),  # role may say that the operation is over
        (RECEIVE, "for (@range(i16, 4)) |i| { y[i] = x[i]; }", "reads x"),  # unrolled
        (RECEIVE, "@fmovs(y_dsd, in3); @fmovs(y_dsd, x_dsd);", None),  # what is waited for may come behind the first
        # what a DSR holds is not known: it may be something that waits
        (RECEIVE, "@load_to_dsr(source, x_dsd); @fmovs(y_dsd, source); @fmovs(y_dsd, x_dsd);", None),
        (RECEIVE.replace(".async = true, .activate = done", ""), "@activate(done); @fmovs(y_dsd, x_dsd);", None),
        (RECEIVE, "@fmovs(even_dsd, odd_dsd);", "reads x"),
        (RECEIVE.replace("x_dsd", "even_dsd"), "@fmovs(odd_dsd, 1.0);", None),
    ],
)
def test_used_before_the_end(tmp_path, before, behind, said):
    """Memory of an asynchronous operation, in the code that comes next. In `main` other operations stand at other places."""
    more = """var y = @zeros([4]f32);
var role: i16 = 0;
const y_dsd = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{4} -> y[i] });
const even_dsd = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{2} -> x[2 * i] });
const odd_dsd = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{2} -> x[2 * i + 1] });
const source = @get_dsr(dsr_src1, 3);
const in3 = @get_dsd(fabin_dsd, .{ .extent = 4, .fabric_color = link, .input_queue = @get_input_queue(2) });
fn main()"""
    pe = PE.replace("fn main()", more).replace(before if before in PE else RECEIVE, f"{before} {behind}")
    here = line_of(pe, f"{before} {behind}")
    warnings = found(tmp_path, pe=pe)
    assert {w.code for w in warnings} == (set() if said is None else {"MS1018"}), warnings
    if said is not None:
        assert said in warnings[0].message and warnings[0].span.line_col()[0] == here
        assert warnings[0].labels[0].span.line_col()[0] == here


def test_shared_queue(tmp_path):
    second = "const out2 = @get_dsd(fabout_dsd, .{ .extent = 4, .fabric_color = @get_color(1), .output_queue = @get_output_queue(2) });\n"
    pe = PE.replace("const done", second + "const done").replace(
        "task finish() void {", "task finish() void { if (sends) { @fmovs(out2, x_dsd); }"
    )
    layout = with_route(0, 1, "RAMP", "EAST")
    (warning,) = found(tmp_path, pe=pe, layout=layout)
    assert warning.span.line_col()[0] in (line_of(pe, "@fmovs(out2"), line_of(pe, "@fmovs(out,"))
    assert warning.code == "MS1014" and "output queue 2 serves several colors: 0 and 1" in warning.message
    own = pe.replace(
        "@get_color(1), .output_queue = @get_output_queue(2)", "@get_color(1), .output_queue = @get_output_queue(3)"
    )
    assert found(tmp_path, pe=own, layout=layout) == []


def test_long_vector(tmp_path):
    pe = PE.replace("|i|{4} -> x[i]", "|i|{4} -> x[i + 1]")
    warnings = found(tmp_path, pe=pe)
    assert {w.code for w in warnings} == {"MS1015"} and all(
        "x, which is [4]f32 (16 bytes)" in w.message for w in warnings
    )


def test_a_vector_that_runs_backwards(tmp_path):
    """It begins at its last element: in the array, and one place below it."""
    assert found(tmp_path, pe=PE.replace("|i|{4} -> x[i]", "|i|{4} -> x[3 - i]")) == []
    warnings = found(tmp_path, pe=PE.replace("|i|{4} -> x[i]", "|i|{4} -> x[2 - i]"))
    assert {w.code for w in warnings} == {"MS1015"} and all("-1 elements apart" in w.message for w in warnings)


def test_reserved_ids(tmp_path):
    (warning,) = found(tmp_path, pe=PE.replace("@get_local_task_id(9)", "@get_local_task_id(27)"))
    assert warning.code == "MS1016" and "local task last has id 27" in warning.message
    (warning,) = found(tmp_path, pe=PE.replace("output_queue(2)", "output_queue(1)"), arch="wse3")
    assert warning.code == "MS1016" and "output queue 1" in warning.message
    assert found(tmp_path, pe=PE.replace("_queue(2)", "_queue(1)")) == []  # free on WSE-2
    # output queue 0 is shared; to initialise an input queue of memcpy is an error (MS0414)
    bound = PE.replace("  if (!sends) { @initialize_queue(@get_input_queue(2), .{ .color = link }); }\n", "")
    assert [w.message[:14] for w in found(tmp_path, pe=bound.replace("_queue(2)", "_queue(0)"))] == ["input queue 0 "]
    local = PE.replace("@get_local_task_id(9)", "@get_local_task_id(22)")
    assert [w.code for w in found(tmp_path, pe=local)] == ["MS1016"] and found(tmp_path, pe=local, arch="wse3") == []
    (warning,) = found(tmp_path, layout=LAYOUT.replace("@get_color(0)", "@get_color(22)"))
    assert warning.code == "MS1016" and "color 22" in warning.message


UNREACHED = """\
fn spare(n: i16, T: type) T {
  var sum: T = 0;
  outer: for (@range(i16, n)) |k, i| { if (k > i_max) { break :outer; } sum += @as(T, x[k]); }
  const part = @get_dsd(mem1d_dsd, .{ .tensor_access = |j|{2} -> x[j + first] });
  @fmul(part, part, sums);
  sys.no_such_member(NORTH, u17, .{ .sums = n });
  return sums;
}
task spare_task(n: Nat) void { sys.unblock_cmd_stream(); }
"""


def test_names_in_functions_that_nothing_calls(tmp_path):
    warnings = found(tmp_path, pe=PE + UNREACHED)
    assert {w.code for w in warnings} == {"MS1019"}
    got = sorted((w.span.line_col()[0] - PE.count("\n"), w.message, w.help) for w in warnings)
    away = "will not compile where it is called: define the name, or remove the function"
    assert got == [
        (3, "'i_max' is not defined", f"'spare' {away}"),
        (4, "'first' is not defined", f"'spare' {away}"),
        (5, "'sums' is not defined", "did you mean 'sum'?"),  # once in a function
        (5, "there is no builtin '@fmul'", "did you mean '@fmuls'?"),
        (9, "'Nat' is not defined", f"'spare_task' {away}"),
    ]
    marked = {
        UNREACHED.splitlines()[w.labels[0].span.line_col()[0] - PE.count("\n") - 1].split("(")[0] for w in warnings
    }
    assert marked == {"fn spare", "task spare_task"} and not any(w.notes for w in warnings)
    right = UNREACHED.replace("i_max", "i").replace("first", "n").replace("@fmul(", "@fmuls(").replace("sums", "sum")
    assert found(tmp_path, pe=PE + right.replace("Nat", "u16")) == []


def test_a_name_in_a_function_that_something_calls_is_for_the_compiler(tmp_path):
    """On one of the tile programs, while compiling, inline; a branch that is not taken is not looked at."""
    text = '{}fn number() i16 {{ if (@is_arch("wse1")) {{ return nowhere; }} return 1; }}\n'
    at_run_time = PE.replace("if (sends) { @fmovs", "if (sends) { x[0] = @as(f32, number()); @fmovs")
    assert found(tmp_path, pe=at_run_time + text.format("")) == []
    assert found(tmp_path, pe=at_run_time + text.format("inline ")) == []
    assert (
        found(tmp_path, pe=PE + "const one = number();\ncomptime { @comptime_assert(one == 1); }\n" + text.format(""))
        == []
    )
    assert [w.code for w in found(tmp_path, pe=PE + text.format(""))] == ["MS1019"]


def test_a_name_that_means_nothing_in_layouts_and_modules(tmp_path):
    (tmp_path / "own.csl").write_text("fn used() i16 { return 1; }\nfn unused() i16 { return usd(); }\n")
    module = PE.replace("var x =", 'const own = @import_module("own.csl");\nvar x =').replace(
        "x_dsd, .{", "x_dsd, .{", 1
    )
    module = module.replace("  if (sends) { @fmovs", "  if (sends) { x[0] = @as(f32, own.used()); @fmovs")
    both = found(tmp_path, pe=module, layout=LAYOUT + "fn helper() void { @set_rectangel(2, 1); }\n")
    assert [(Path(w.span.file.path).name, w.message, w.help) for w in both] == [
        ("layout.csl", "there is no builtin '@set_rectangel'", "did you mean '@set_rectangle'?"),
        ("own.csl", "'usd' is not defined", "did you mean 'used'?"),
    ]


def test_check_shows_names_that_mean_nothing(tmp_path, capsys):
    (tmp_path / "layout.csl").write_text(LAYOUT)
    (tmp_path / "pe.csl").write_text(PE + "fn spare() i16 { return nothing_of_the_kind; }\n")
    for command, code in (("check", 0), ("lint", 1)):
        for _ in range(2):  # the second time the program may be one that has been kept
            assert main([command, str(tmp_path)]) == code
            assert "warning[MS1019]: 'nothing_of_the_kind' is not defined" in capsys.readouterr().err
    (tmp_path / "pe.csl").write_text(PE + "fn spare() i16 { return nothing_of_the_kind; }  // noqa: MS1019\n")
    assert main(["lint", str(tmp_path)]) == 0


SUITES = ("MESHLANG_CSL_EXAMPLES", "MESHLANG_SDK_EXAMPLES", "MESHLANG_WAFERLLM")


@pytest.mark.parametrize("folder", ["programs", "stdlib", *SUITES])
def test_every_name_of_published_code_means_something(folder):
    """Functions that nothing calls, and all others: nothing that lint would take for a wrong name."""
    where = Path(os.environ.get(folder, "")) if folder in SUITES else ROOT / folder
    if folder in SUITES and not os.environ.get(folder):
        pytest.skip(f"{folder} is not set")
    files = sorted(where.rglob("*.csl"))
    assert len(files) > 20
    for file in files:
        tree = parse_file(str(file))
        assert [name for name, _, _ in names_nothing(Index(tree.span.file, tree))] == [], file


def test_equal_warnings_are_one(tmp_path):
    (warning,) = found(tmp_path, pe=PE.replace("@activate(other);", "sys.unblock_cmd_stream();"))
    assert warning.notes == ["on 2 PEs, x 0..1, y 0..0"]  # two tile programs


def test_command(tmp_path, capsys):
    (tmp_path / "layout.csl").write_text(LAYOUT)
    (tmp_path / "pe.csl").write_text(PE)
    assert main(["lint", str(tmp_path)]) == 0
    assert "nothing to warn about" in capsys.readouterr().out
    (tmp_path / "pe.csl").write_text(PE.replace("@activate(other);", "sys.unblock_cmd_stream();"))
    assert main(["lint", str(tmp_path)]) == 1
    captured = capsys.readouterr()
    assert "warning[MS1012]" in captured.err and "1 warning" in captured.out
    assert main(["lint", str(tmp_path), "--json"]) == 1
    data = json.loads(capsys.readouterr().out)
    assert [d["code"] for d in data["diagnostics"]] == ["MS1012"]


@pytest.mark.parametrize(
    ("dsd", "touched"),
    [
        (Dsd(DsdKind.MEM1D, 100, 3, 2, 2, None, None, False), [100, 101, 104, 105, 108, 109]),
        (Dsd(DsdKind.MEM1D, 100, 2, -1, 4, None, None, False), [100, 101, 102, 103, 96, 97, 98, 99]),
        (Dsd(DsdKind.MEM1D, 100, INFINITE, 1, 2, None, None, False), None),  # endless
        (Dsd(DsdKind.MEM1D, 100, 3, 1, 2, None, None, True), None),  # by a table
        (Dsd(DsdKind.MEM4D, 100, 3, 1, 2, None, None, False), None),
        (Dsd(DsdKind.FABIN, 100, 3, 1, 2, None, None, False), None),
    ],
)
def test_bytes_that_an_operand_touches(dsd, touched):
    """None where they are not those of one line."""
    found = _bytes(dsd)
    assert (None if found is None else found.tolist()) == touched
