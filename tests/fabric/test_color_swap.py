"""Color swaps (WSE-2): both colors of a pair or one, along one axis or both, on some PEs of a line only, under
back-pressure."""

import re

import numpy as np
import pytest

import meshlang
from meshlang.diag import MeshlangError

# A line of N PEs, eastwards or southwards: everyone hands c (color 2) and d (color 3) on; what arrives is kept in
# order.
LAYOUT = """
const memcpy = @import_module("<memcpy/get_params>", .{ .width = W, .height = H });
const c = @get_color(2); const d = @get_color(3);
layout {
  @set_rectangle(W, H);
  for (@range(u16, W)) |px| { for (@range(u16, H)) |py| {
    const at = px + py;
    @set_tile_code(px, py, "pe.csl", .{ .memcpy_params = memcpy.get_params(px), .at = at });
    const rx = if (at == 0) .{ RAMP } else .{ FROM };
    const tx = if (at == 0) .{ TO } else if (at == W + H - 2) .{ RAMP } else .{ RAMP, TO };
    @set_color_config(px, py, c, .{ .routes = .{ .rx = rx, .tx = tx C_SWAP } });
    @set_color_config(px, py, d, .{ .routes = .{ .rx = rx, .tx = tx D_SWAP } });
  } }
  @export_name("on_c", [*]u32, true); @export_name("on_d", [*]u32, true); @export_name("main", fn()void);
}
"""
PE = """
param memcpy_params; param at: u16;
const sys = @import_module("<memcpy/memcpy>", memcpy_params);
const c = @get_color(2); const d = @get_color(3);
var on_c = @zeros([32]u32); var on_d = @zeros([32]u32);
var on_c_ptr: [*]u32 = &on_c; var on_d_ptr: [*]u32 = &on_d;
var nc: u16 = 0; var nd: u16 = 0; var spent: f32 = 1.0;
const send_c = @get_dsd(fabout_dsd, .{ .extent = 1, .fabric_color = c, .output_queue = @get_output_queue(3) });
const send_d = @get_dsd(fabout_dsd, .{ .extent = 1, .fabric_color = d, .output_queue = @get_output_queue(2) });
fn wait(n: u16) void { for (@range(u16, n)) |_| { spent = spent / 1.5 + 1.0; } }
task got_c(v: u32) void { on_c[nc] = v; nc += 1; wait(SLOW_C); }
task got_d(v: u32) void { on_d[nd] = v; nd += 1; wait(SLOW_D); }
fn main() void { if (at == 0) { SENDS } sys.unblock_cmd_stream(); }
comptime {
  @initialize_queue(@get_input_queue(2), .{ .color = c }); @initialize_queue(@get_input_queue(3), .{ .color = d });
  @bind_data_task(got_c, @get_data_task_id(c)); @bind_data_task(got_d, @get_data_task_id(d));
  @export_symbol(on_c_ptr, "on_c"); @export_symbol(on_d_ptr, "on_d"); @export_symbol(main);
}
"""
NUMBERS = list(range(1, 31))
SEND = "for (@range(u16, 1, 31, 1)) |i| { @mov32(send_%s, @as(u32, i)); }"


def run(folder, layout: str, sends: str, axis: str = "x", n: int = 4, slow: tuple[int, int] = (0, 0)) -> list:
    """[(what came on c, what came on d)] of each PE of the line."""
    words = (
        {"W": str(n), "H": "1", "TO": "EAST", "FROM": "WEST"}
        if axis != "y"
        else {"W": "1", "H": str(n), "TO": "SOUTH", "FROM": "NORTH"}
    )
    for name, text in words.items():
        layout = re.sub(rf"\b{name}\b", text, layout)
    pe = PE
    for name, text in (("SLOW_C", str(slow[0])), ("SLOW_D", str(slow[1])), ("SENDS", sends)):
        pe = pe.replace(name, text)
    (folder / "layout.csl").write_text(layout)
    (folder / "pe.csl").write_text(pe)
    with meshlang.compile(folder / "layout.csl", arch="wse2").start() as fabric:
        fabric.launch("main")
        fabric.run()
        got = [fabric.read(name, count=32).reshape(n, 32) for name in ("on_c", "on_d")]
    return [tuple(row[: np.count_nonzero(row)].tolist() for row in (got[0][i], got[1][i])) for i in range(n)]


def swaps(c: str = "", d: str = "", axes: str = "x") -> str:
    """The layout with swaps: `c` and `d` are conditions on `at` under which the color has that of the axes."""
    layout = LAYOUT
    for name, condition in (("C_SWAP", c), ("D_SWAP", d)):
        layout = layout.replace(name, "".join(f", .color_swap_{a} = {condition}" for a in axes) if condition else "")
    return layout


def received(
    folder, c: str = "", d: str = "", sends: str = SEND % "d", axis: str = "x", slow: tuple[int, int] = (0, 0)
) -> list:
    """On a line along the axis; "xy": eastwards, with the swaps of both axes."""
    return run(folder, swaps(c, d, axis), sends, axis, slow=slow)


N, NO = NUMBERS, []
AXES = pytest.mark.parametrize("axis", ["x", "y"])
SLOW = pytest.mark.parametrize("slow", [(0, 0), (9, 0), (0, 9), (9, 4)])


@AXES
@SLOW
def test_both_colors_on_one_pe_of_the_line(tmp_path, axis, slow):
    assert received(tmp_path, "at == 2", "at == 2", axis=axis, slow=slow) == [(NO, NO), (NO, N), (N, NO), (N, NO)]


@AXES
@SLOW
def test_one_color_of_the_pair_takes_what_comes_for_the_other_too(tmp_path, axis, slow):
    """From PE 2 on, d is on its way on both: c takes a copy. Neither may lose or double a wavelet, whoever is slow."""
    assert received(tmp_path, "at == 2", axis=axis, slow=slow) == [(NO, NO), (NO, N), (N, N), (N, N)]


@AXES
def test_the_other_color_of_the_pair(tmp_path, axis):
    assert received(tmp_path, "", "at == 1", sends=SEND % "c", axis=axis) == [(NO, NO), (N, N), (N, N), (N, N)]


def test_what_comes_for_the_color_with_the_swap_has_nowhere_to_go(tmp_path):
    with pytest.raises(MeshlangError, match=r"MS0811.*color 2 leaves PE \(1, 0\) to the EAST"):
        received(tmp_path, "at == 2", sends=SEND % "c")


def test_the_swap_of_the_other_axis_does_nothing(tmp_path):
    assert run(tmp_path, swaps("true", "true", "y"), SEND % "d") == [(NO, NO), (NO, N), (NO, N), (NO, N)]


@SLOW
def test_both_axes_swap_what_comes_from_the_ramp(tmp_path, slow):
    """PE 0 swaps: what it sends on d is c from its own router on."""
    assert received(tmp_path, "at == 0", "at == 0", axis="xy", slow=slow) == [(NO, NO), (N, NO), (N, NO), (N, NO)]


@SLOW
def test_both_axes_of_one_color_copy_what_comes_from_the_ramp(tmp_path, slow):
    assert received(tmp_path, "at == 0", axis="xy", slow=slow) == [(NO, NO), (N, N), (N, N), (N, N)]


def test_both_axes_of_one_color_leave_no_way_for_its_own_wavelets(tmp_path):
    with pytest.raises(MeshlangError, match="MS0834.*color 2.*color 3"):
        received(tmp_path, "at == 0", sends=SEND % "c", axis="xy")


def test_a_copy_goes_in_only_where_its_color_takes_that_side(tmp_path):
    """c has the swap at PE 1, and receives from its ramp only: d passes, c does not get it."""
    layout = swaps("at == 1").replace(
        "c, .{ .routes = .{ .rx = rx", "c, .{ .routes = .{ .rx = if (at == 1) .{ RAMP } else rx"
    )
    assert run(tmp_path, layout, SEND % "d", n=3) == [(NO, NO), (NO, N), (NO, N)]


def test_a_color_of_its_pair_that_is_not_configured(tmp_path):
    """c has the swap at PE 1, where d has no route: what comes for d is c's."""
    layout = swaps("at == 1").replace("    @set_color_config(px, py, d", "    if (at == 0) @set_color_config(px, py, d")
    assert run(tmp_path, layout, SEND % "d", n=2) == [(NO, NO), (N, NO)]
