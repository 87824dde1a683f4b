"""What hardware would do without a word, said with PE, color and source line. The table is in docs/conformance.md."""

import pytest

import meshlang
from meshlang.diag import Diagnostic, MeshlangError

TOP = """const memcpy = @import_module("<memcpy/get_params>", .{ .width = 3, .height = 1 });
const a = @get_color(1);
layout {
  @set_rectangle(3, 1);
  for (@range(u16, 3)) |x| {
    @set_tile_code(x, 0, if (x == 1) "middle.csl" else "side.csl", .{ .memcpy_params = memcpy.get_params(x), .a = a, .first = x == 0 });
  }
  @set_color_config(0, 0, a, .{ .routes = .{ .rx = .{RAMP}, .tx = .{EAST} } });
  @set_color_config(1, 0, a, .{ .routes = .{ .rx = .{MIDDLE}, .tx = .{RAMP} } });
  @set_color_config(2, 0, a, .{ .routes = .{ .rx = .{RAMP}, .tx = .{WEST} } });
  @export_name("main", fn()void);
}
"""
HEAD = """param memcpy_params; param a: color; param first: bool;
const sys = @import_module("<memcpy/memcpy>", memcpy_params);
var x: [8]f32;
const x_dsd = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{8} -> x[i] });
const four_dsd = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{4} -> x[i] });
const out = @get_dsd(fabout_dsd, .{ .extent = 8, .fabric_color = a, .output_queue = @get_output_queue(2) });
const in = @get_dsd(fabin_dsd, .{ .extent = 8, .fabric_color = a, .input_queue = @get_input_queue(2) });
comptime { @export_symbol(main); }
"""
SEND = "@fmovs(out, x_dsd);"
TAKE = "@fmovs(x_dsd, in);"
FOUR = "@get_dsd(fabin_dsd, .{ .extent = 4, .fabric_color = a, .input_queue = @get_input_queue(2) })"


def start(
    folder, side: str, middle: str, *, side_top: str = "", middle_top: str = "", rx: str = "WEST", arch: str = "wse2"
):
    """The outer PEs run `side`, the middle one `middle`; both end with unblock_cmd_stream unless they say otherwise."""

    def body(text: str, top: str) -> str:
        done = "" if "sys." in text + top or "// ends" in text else " sys.unblock_cmd_stream();"
        return f"{HEAD}{top}\nfn main() void {{\n  {text}{done}\n}}\n"

    (folder / "layout.csl").write_text(TOP.replace("MIDDLE", rx))
    (folder / "side.csl").write_text(body(side, side_top))
    (folder / "middle.csl").write_text(
        body(middle, middle_top + "\ncomptime { @initialize_queue(@get_input_queue(2), .{ .color = a }); }")
    )
    return meshlang.compile(folder / "layout.csl", arch=arch).start()


def fault(fabric, exit_code: int = 1) -> Diagnostic:
    with pytest.raises(MeshlangError) as caught:
        fabric.launch("main")
        fabric.run()
    assert caught.value.exit_code == exit_code
    return caught.value.diagnostics[0]


def line(d: Diagnostic) -> str:
    """The source line a diagnostic points at."""
    return d.span.file.line(d.span.line_col()[0]).strip()


ONE = "if (first) { @fmovs(out, x_dsd); }"


def test_a_wavelet_from_two_sides_at_once(tmp_path):
    d = fault(start(tmp_path, SEND, f"{TAKE} {TAKE}", rx="EAST, WEST"))
    assert d.code == "MS0814" and "PE (1, 0)" in d.message and "color 1" in d.message
    assert line(d).startswith("@set_color_config(1, 0, a")


def test_wavelets_left_in_a_queue(tmp_path):
    fabric = start(tmp_path, ONE, f"@fmovs(four_dsd, {FOUR});")
    fabric.launch("main")
    fabric.run()
    found = {w.code: w for w in fabric.warnings}
    assert set(found) == {"MS0854"}
    assert (
        "PE (1, 0): input queue 2 (color 1) holds 4 wavelets" in found["MS0854"].message
        and "color 1" in found["MS0854"].notes
    )


def test_wavelets_left_in_routers(tmp_path):
    """Nobody receives: the queue is full, and the rest waits on the way and in the sender's queue."""
    fabric = start(tmp_path, ONE, "")
    fabric.launch("main")
    fabric.run()
    assert {w.code for w in fabric.warnings} == {"MS0854"}
    assert any("stuck in the router" in w.message for w in fabric.warnings)


def test_wavelets_for_a_blocked_task(tmp_path):
    fabric = start(
        tmp_path,
        ONE,
        "",
        middle_top="task got(v: f32) void { x[0] += v; }\nconst id = @get_data_task_id(a);\n"
        "comptime { @bind_data_task(got, id); @block(id); }",
    )
    fabric.launch("main")
    fabric.run()
    assert "MS0855" in {w.code for w in fabric.warnings}
    (w,) = [w for w in fabric.warnings if w.code == "MS0855"]
    assert (
        "PE (1, 0)" in w.message
        and "the task for them is blocked" in w.message
        and line(w).startswith("@set_color_config(1, 0, a")
    )


def test_command_stream_not_unblocked(tmp_path):
    d = fault(start(tmp_path, ONE, TAKE + " // ends"), exit_code=3)
    assert d.code == "MS0856" and "'main' has returned on 1 PE, where" in d.message and line(d) == TAKE + " // ends"


def test_command_stream_unblocked_twice(tmp_path):
    fabric = start(tmp_path, ONE, TAKE + " sys.unblock_cmd_stream(); sys.unblock_cmd_stream();")
    fabric.launch("main")
    fabric.run()
    (w,) = fabric.warnings
    assert (w.code, w.severity) == ("MS0815", "warning") and any("PE (1, 0)" in n for n in w.notes)
    assert "sys.unblock_cmd_stream(); sys.unblock_cmd_stream();" in line(w)


def test_operands_of_different_lengths(tmp_path):
    fabric = start(tmp_path, "if (first) { @fmovs(out, four_dsd); }", f"@fmovs(x_dsd, {FOUR});")
    fabric.launch("main")
    sent, taken = sorted(fabric.warnings, key=lambda w: w.span.file.path, reverse=True)
    for w in (sent, taken):
        assert w.code == "MS0851" and "the operation has 4 elements, but its destination has 8" in w.message
        assert "color 1" in w.notes and "@fmovs" in line(w)
    assert any("PE (0, 0)" in n for n in sent.notes) and any("PE (1, 0)" in n for n in taken.notes)


def test_vectors_of_length_0(tmp_path):
    """They have no length: an operation of nothing else has one element, and warns, in memory and over the fabric."""
    n = "const n: u16 = 0; const none = @set_dsd_length(four_dsd, n);"
    fabric = start(
        tmp_path,
        f"{n} if (first) {{ @fmovs(@set_dsd_length(out, n), none); }}",
        f"{n} @fmovs(@set_dsd_length(x_dsd, n), 7.0);\n@fmovs(@set_dsd_length(in_y, n), @set_dsd_length({FOUR}, n));",
        middle_top="var y = @zeros([2]f32); var y_ptr: [*]f32 = &y; const in_y = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{2} -> y[i] });",
    )
    fabric.launch("main")
    assert [w.code for w in fabric.warnings] == ["MS0851"] * 3
    assert all("the operation has 1 elements" in w.message for w in fabric.warnings)


DSR = """const dest = @get_dsr(dsr_dest, 3); const src = @get_dsr(dsr_src1, 3);
var y: [8]f32;
const y_dsd = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{8} -> y[i] });
const sent = @get_local_task_id(9);
task next() void { @load_to_dsr(src, y_dsd); sys.unblock_cmd_stream(); }
comptime { @bind_local_task(next, sent); }
"""
ASYNC = (
    "@load_to_dsr(dest, out); @load_to_dsr(src, x_dsd);\n"
    "  if (first) { @fmovs(dest, src, .{ .async = true, .activate = sent }); } else { @activate(sent); }"
)


@pytest.mark.parametrize("again", ["@load_to_dsr(src, y_dsd);", "@set_dsr_base_addr(src, &y);"])
def test_a_dsr_is_loaded_while_in_use(tmp_path, again):
    d = fault(start(tmp_path, f"{ASYNC}\n  if (first) {{ {again} }}", TAKE, side_top=DSR))
    assert d.code == "MS0829" and "DSR 3 of dsr_src1" in d.message and again in line(d)
    assert "@fmovs(dest, src" in d.labels[0].span.text() and any("PE (0, 0)" in n for n in d.notes)


def test_a_dsr_may_be_loaded_when_the_operation_is_complete(tmp_path):
    fabric = start(tmp_path, ASYNC, TAKE, side_top=DSR)
    fabric.launch("main")
    assert fabric.warnings == []


def test_a_queue_is_used_twice(tmp_path):
    twice = "@fmovs(x_dsd, in, .{ .async = true, .activate = done }); @fmovs(x_dsd, in); sys.unblock_cmd_stream();"
    end = "const done = @get_local_task_id(9); task end() void {} comptime { @bind_local_task(end, done); }"
    d = fault(start(tmp_path, ONE, twice, middle_top=end))
    assert d.code == "MS0817" and "color 1" in d.notes and "@fmovs(x_dsd, in)" in line(d)
