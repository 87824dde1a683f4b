"""Switches, filters and teardown, by what arrives where."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from switching import run

from meshlang.diag import MeshlangError

ARCHS = pytest.mark.parametrize("arch", ["wse2", "wse3"])
# PE 1 sends to its two neighbours in turn
SIDES = """
  @set_color_config(0, 0, c, .{ .routes = .{ .rx = .{ EAST }, .tx = .{ RAMP } } });
  @set_color_config(1, 0, c, .{ .routes = .{ .rx = .{ RAMP }, .tx = .{ WEST } }, .switches = .{ .pos1 = .{ .tx = EAST }%s } });
  @set_color_config(2, 0, c, .{ .routes = .{ .rx = .{ WEST }, .tx = .{ RAMP } } });
"""
SENDER = """
fn main() void {
  if (x == 1) { %s } else { receive(%d); }
  sys.unblock_cmd_stream();
}
"""


@ARCHS
@pytest.mark.parametrize(
    "options, first, last",
    [
        (", .ring_mode = true", [1, 3], [2, 4]),
        ("", [1], [2, 3, 4]),
        (", .current_switch_pos = 1, .ring_mode = true", [2, 4], [1, 3]),
    ],
)
def test_positions(tmp_path, arch, options, first, last):
    n = {2: "2", 1: "if (x == 0) 1 else 3"}[len(first)]
    pe = SENDER % ("send(1); advance(); send(2); advance(); send(3); advance(); send(4);", 0)
    out = run(tmp_path, 3, SIDES % options, pe.replace("receive(0)", f"receive({n})"), arch)
    assert out[0, : len(first)].tolist() == first
    assert out[2, : len(last)].tolist() == last


def test_reset_goes_to_the_first_position(tmp_path):
    pe = SENDER % (
        "advance(); send(1); command(control.encode_single_payload(control.opcode.SWITCH_RST, true, {}, 0)); send(2);",
        1,
    )
    out = run(tmp_path, 3, SIDES % "", pe)
    assert out[:, 0].tolist() == [2, 0, 1]


def test_control_wavelet_takes_the_old_route_and_starts_its_task(tmp_path):
    pe = """
var n: u16 = 0;
task got(v: u16) void { out[n] = v; n += 1; }
fn main() void {
  if (x == 1) {
    command(control.encode_single_payload(ADV, false, @get_control_task_id(40), 7));
    command(control.encode_single_payload(ADV, false, @get_control_task_id(40), 8));
  }
  sys.unblock_cmd_stream();
}
comptime {
  @bind_control_task(got, @get_control_task_id(40));
  if (@is_arch("wse3")) { @unblock(iq); } else { @unblock(c); }
}
"""
    out = run(tmp_path, 3, SIDES % "", pe)
    assert out[:, 0].tolist() == [7, 0, 8]


@pytest.mark.parametrize(
    "pop, at", [("always_pop", 1), ("no_pop", None), ("pop_on_advance_nop", 1), ("pop_on_advance", None)]
)
def test_pop_modes(tmp_path, pop, at):
    """Commands nothing, advance: the second is for the second router, if the first one takes its own away."""
    switches = f".switches = .{{ .pos1 = .{{ .tx = RAMP }}, .pop_mode = .{{ .{pop} = true }} }}"
    layout = f"""
  @set_color_config(0, 0, c, .{{ .routes = .{{ .rx = .{{ RAMP }}, .tx = .{{ EAST }} }}, {switches} }});
  @set_color_config(1, 0, c, .{{ .routes = .{{ .rx = .{{ WEST }}, .tx = .{{ EAST }} }}, {switches} }});
  @set_color_config(2, 0, c, .{{ .routes = .{{ .rx = .{{ WEST }}, .tx = .{{ RAMP }} }} }});
"""
    pe = """
const payload = control.encode_payload(2, [2]control.opcode{ control.opcode.NOP, ADV }, [2]bool{ true, true }, true, {});
task got(v: u32) void { out[0] = v; }
fn main() void {
  if (x == 0) {
    command(payload);
    send(5);
  }
  sys.unblock_cmd_stream();
}
comptime { @bind_data_task(got, @get_data_task_id(iq)); }
"""
    out = run(tmp_path, 3, layout, pe)
    assert out[:, 0].tolist() == [0, 5 if at else 0, 0 if at else 5]


@ARCHS
def test_a_side_that_is_not_open_waits(tmp_path, arch):
    """A gather: each PE sends as soon as it likes, and its router lets it through when its turn has come."""
    layout = """
  const gather = .{ .pos1 = .{ .rx = RAMP }, .ring_mode = true, .pop_mode = .{ .pop_on_advance = true } };
  @set_color_config(0, 0, c, .{ .routes = .{ .rx = .{ RAMP }, .tx = .{ EAST } }, .switches = gather });
  @set_color_config(1, 0, c, .{ .routes = .{ .rx = .{ WEST }, .tx = .{ EAST } }, .switches = gather });
  @set_color_config(2, 0, c, .{ .routes = .{ .rx = .{ WEST }, .tx = .{ EAST } }, .switches = gather });
  @set_color_config(3, 0, c, .{ .routes = .{ .rx = .{ WEST }, .tx = .{ RAMP } } });
"""
    pe = """
const payload = control.encode_payload(2, [2]control.opcode{ ADV, ADV }, [2]bool{ true, true }, true, {});
fn main() void {
  if (x == 3) { receive(9); } else {
    for (@range(u16, 3)) |i| { send(@as(u32, 10 * x + i)); }
    command(payload);
  }
  sys.unblock_cmd_stream();
}
"""
    out = run(tmp_path, 4, layout, pe, arch)
    assert out[3, :9].tolist() == [0, 1, 2, 10, 11, 12, 20, 21, 22]


def test_advance_switch_after_the_last_wavelet(tmp_path):
    pe = SENDER % (
        "@mov32(@get_dsd(fabout_dsd, .{ .extent = 2, .fabric_color = c, .output_queue = oq, .advance_switch = true }), 6);"
        " send(7);",
        0,
    )
    out = run(tmp_path, 3, SIDES % "", pe.replace("receive(0)", "receive(if (x == 0) 2 else 1)"))
    assert out[:, :2].tolist() == [[6, 6], [0, 0], [7, 0]]


def filtered(folder, fields, arch="wse3", wide=False):
    """What of 0..11 comes through a filter; wide: as the upper half."""
    layout = f"""
  @set_color_config(0, 0, c, .{{ .routes = .{{ .rx = .{{ RAMP }}, .tx = .{{ EAST }} }} }});
  @set_color_config(1, 0, c, .{{ .routes = .{{ .rx = .{{ WEST }}, .tx = .{{ RAMP }} }}, .filter = .{{ {fields} }} }});
"""
    pe = f"""
var n: u16 = 0;
task got(v: u32) void {{ out[n] = v >> {16 if wide else 0}; n += 1; out[15] = @as(u32, n); }}
fn main() void {{
  if (x == 0) {{ for (@range(u32, 12)) |i| {{ send(i << {16 if wide else 0}); }} }}
  sys.unblock_cmd_stream();
}}
comptime {{ @bind_data_task(got, if (@is_arch("wse3")) @get_data_task_id(iq) else @get_data_task_id(c)); }}
"""
    out = run(folder, 2, layout, pe, arch)[1]
    return out[: out[15]].tolist()


@ARCHS
@pytest.mark.parametrize(
    "fields, want",
    [
        (".limit1 = 3, .max_counter = 1", [0, 1, 4, 5, 8, 9]),
        (".limit1 = 3, .max_counter = 0, .init_counter = 3", [1, 5, 9]),
        (".limit1 = 3, .max_counter = 1, .init_counter = 2", [2, 3, 6, 7, 10, 11]),
    ],
)
def test_counter_filter(tmp_path, arch, fields, want):
    assert filtered(tmp_path, f".kind = .{{ .counter = true }}, .count_data = true, {fields}", arch) == want


def test_range_filter(tmp_path):
    assert filtered(tmp_path, ".kind = .{ .range = true }, .min_idx = 3, .max_idx = 5", wide=True) == [3, 4, 5]


def test_sparse_counter_filter_ends(tmp_path):
    """One round up to limit1, one up to limit2, then all pass."""
    assert filtered(
        tmp_path, ".kind = .{ .sparse_counter = true }, .count_data = true, .max_counter = 0, .limit1 = 2, .limit2 = 3"
    ) == [0, 3, 7, 8, 9, 10, 11]


TEARDOWN = """
  @set_color_config(0, 0, c, .{ .routes = .{ .rx = .{ RAMP }, .tx = .{ EAST } } });
  @set_color_config(1, 0, c, .{ .routes = .{ .rx = .{ WEST }, .tx = .{ RAMP } }%s });
  @set_color_config(2, 0, c, .{ .routes = .{ .rx = .{ WEST }, .tx = .{ RAMP } } });
"""


@ARCHS
def test_traffic_waits_while_a_color_is_in_teardown(tmp_path, arch):
    pe = """
const tile_config = @import_module("<tile_config>");
fn main() void {
  if (x == 0) { send(4); }
  if (x == 1) {
    for (@range(u16, 200)) |i| { out[3] += @as(u32, i); }
    const before = tile_config.input_queue_status.get();
    out[1] = @as(u32, tile_config.input_queue_status.is_empty(before, iq));
    tile_config.teardown.exit(c);
    receive(1);
  }
  sys.unblock_cmd_stream();
}
"""
    out = run(tmp_path, 3, TEARDOWN % ", .teardown = true", pe, arch)
    assert out[1, :2].tolist() == [4, 1]


@ARCHS
def test_teardown_handler_changes_the_route(tmp_path, arch):
    """A teardown command; the handler turns the color from the own CE to the next PE, and lets it go on."""
    pe = """
const tile_config = @import_module("<tile_config>");
fn turn() void {
  if (x == 1) {
    out[2] = 1;
    tile_config.color_config.reset_routes(c, .{ .rx = WEST, .tx = EAST });
  }
  tile_config.teardown.exit(c);
}
fn main() void {
  if (x == 0) {
    send(1);
    command(control.encode_single_payload(control.opcode.TEARDOWN, true, {}, 0));
    send(2);
  } else { receive(1); }
  sys.unblock_cmd_stream();
}
comptime { @set_teardown_handler(turn, c); }
"""
    out = run(tmp_path, 3, TEARDOWN % "", pe, arch)
    assert out[:, 0].tolist() == [0, 1, 2]
    assert out[1, 2] == 1


def test_positions_are_set_at_run_time(tmp_path):
    """Positions are changes to the position before: pos1 follows a new base route."""
    pe = """
const sw = @import_module("<tile_config/switch_config>");
fn main() void {
  if (x == 1) {
    sw.set_invalid_for_all_switch_positions(c);
    sw.set_tx_switch_pos1(c, EAST);
    sw.set_ring_mode(c, sw.ring_mode.RING_MODE);
    send(1); advance(); send(2); advance(); send(3);
  } else { receive(if (x == 0) 2 else 1); }
  sys.unblock_cmd_stream();
}
"""
    out = run(tmp_path, 3, SIDES % "", pe)
    assert out[:, :2].tolist() == [[1, 3], [0, 0], [2, 0]]


def test_registers(tmp_path):
    """The switch of a color as a word of memory (WSE-2): 0x7f40 + color, positions W E S N RAMP or 5, 8 for the
    receiving side."""
    pe = """
fn register(n: u16) *u16 { return @bitcast(*u16, 2 * (n + @as(u16, @get_int(c)))); }
fn main() void {
  if (x == 1) {
    const before: u16 = register(0x7f40).*;
    const routes: u16 = register(0x7f20).*;
    register(0x7f40).* = 0x0550;        // position 1: tx WEST
    register(0x7f20).* = 0x0202;        // RAMP to EAST
    send(1); advance(); send(2);
    out[0] = @as(u32, before);
    out[1] = @as(u32, routes);
    out[2] = @as(u32, register(0x7f40).*);
  } else { receive(1); }
  sys.unblock_cmd_stream();
}
const tile_config = @import_module("<tile_config>");
fn leave() void { tile_config.teardown.exit(c); }
comptime { @set_teardown_handler(leave, c); }
"""
    out = run(tmp_path, 3, SIDES % "", pe, "wse2")
    assert out[:, 0].tolist() == [2, 0x0551, 1]
    assert out[1, 1:3].tolist() == [0x0201, 0x2550]


def test_color_swap(tmp_path):
    """Wavelets change their color at every router."""
    layout = """
  for (@range(u16, 4)) |x| {
    const rx = if (x == 0) .{ RAMP } else .{ WEST };
    const tx = if (x == 0) .{ EAST } else if (x == 3) .{ RAMP } else .{ RAMP, EAST };
    @set_color_config(x, 0, c, .{ .routes = .{ .rx = rx, .tx = tx, .color_swap_x = true } });
    @set_color_config(x, 0, d, .{ .routes = .{ .rx = rx, .tx = tx, .color_swap_x = true } });
  }
"""
    pe = """
task on_c(v: u32) void { out[0] += v; }
task on_d(v: u32) void { out[1] += v; }
fn main() void {
  if (x == 0) { for (@range(u16, 20)) |i| { send(1); } }
  sys.unblock_cmd_stream();
}
comptime {
  @bind_data_task(on_c, @get_data_task_id(c));
  @bind_data_task(on_d, @get_data_task_id(d));
}
"""
    out = run(tmp_path, 4, layout, pe, "wse2")
    assert out[:, :2].tolist() == [[0, 0], [0, 20], [20, 0], [0, 20]]


# ---------------------------------------------------------------- hangs


def hang(folder, layout, pe, width=3):
    with pytest.raises(MeshlangError) as e:
        run(folder, width, layout, pe)
    d = e.value.diagnostics[0]
    assert d.code == "MS0860"
    return "\n".join(d.notes)


def test_hang_with_the_switch_elsewhere(tmp_path):
    layout = """
  @set_color_config(0, 0, c, .{ .routes = .{ .rx = .{ RAMP }, .tx = .{ EAST } } });
  @set_color_config(1, 0, c, .{ .routes = .{ .rx = .{ RAMP }, .tx = .{ EAST } }, .switches = .{ .pos1 = .{ .rx = WEST } } });
  @set_color_config(2, 0, c, .{ .routes = .{ .rx = .{ WEST }, .tx = .{ RAMP } } });
"""
    notes = hang(tmp_path, layout, SENDER.replace("x == 1", "x == 0") % ("send(1);", 1))
    assert "the switch there is at position 0 and receives from RAMP, not from WEST" in notes


def test_hang_in_teardown(tmp_path):
    notes = hang(tmp_path, TEARDOWN % ", .teardown = true", SENDER.replace("x == 1", "x == 0") % ("send(1);", 1))
    assert "the color is in teardown there, and the program does not leave it" in notes


def test_hang_behind_a_filter(tmp_path):
    layout = (
        TEARDOWN % ", .filter = .{ .kind = .{ .counter = true }, .count_data = true, .limit1 = 9, .max_counter = 0 }"
    )
    notes = hang(tmp_path, layout, SENDER.replace("x == 1", "x == 0") % ("send(1); send(2); send(3);", 3))
    assert re.search(r"2 wavelets|kept 2", notes) and "filter" in notes


def test_a_side_that_no_position_opens_is_an_error(tmp_path):
    layout = TEARDOWN % ", .switches = .{ .pos1 = .{ .tx = EAST } }"
    layout = layout.replace("(1, 0, c, .{ .routes = .{ .rx = .{ WEST }", "(1, 0, c, .{ .routes = .{ .rx = .{ EAST }")
    with pytest.raises(MeshlangError) as e:
        run(tmp_path, 3, layout, SENDER.replace("x == 1", "x == 0") % ("send(1);", 1))
    assert e.value.diagnostics[0].code == "MS0813"


@ARCHS
def test_compiled_equals_uncompiled(arch):
    """Also with switches, filters, teardown and FIFOs, rings, marks, exceptions and color swaps the two modes leave the
    same bytes."""

    def digest(**env):
        script = Path(__file__).with_name("switch_mode_program.py")
        return subprocess.run(
            [sys.executable, str(script), arch], env={**os.environ, **env}, capture_output=True, text=True, check=True
        ).stdout

    compiled = digest()
    assert "[1, 2, 0, 0, " in compiled and str(0x2A << 26 | 0x001F0009) in compiled
    assert digest(NUMBA_DISABLE_JIT="1") == compiled
