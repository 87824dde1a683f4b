"""@set_config and @get_config, actions of FIFOs, and a table of their own for control tasks."""

import numpy as np
import pytest

import meshlang
from meshlang.diag import MeshlangError

LAYOUT = """const memcpy = @import_module("<memcpy/get_params>", .{ .width = 3, .height = 1 });
const a = @get_color(5);
layout {
  @set_rectangle(3, 1);
  for (@range(u16, 3)) |x| { @set_tile_code(x, 0, "pe.csl", .{ .memcpy_params = memcpy.get_params(x), .a = a, .x = x }); }
  @set_color_config(0, 0, a, .{ .routes = .{ .rx = .{RAMP}, .tx = .{EAST} } });
  @set_color_config(1, 0, a, .{ .routes = .{ .rx = .{WEST}, .tx = .{RAMP} } });
  @set_color_config(2, 0, a, .{ .routes = .{ .rx = .{WEST}, .tx = .{RAMP} } });
  @export_name("got", [*]u32, true);
  @export_name("prepare", fn()void);
  @export_name("main", fn()void);
}
"""
HEAD = """param memcpy_params; param a: color; param x: u16;
const sys = @import_module("<memcpy/memcpy>", memcpy_params);
var got = @zeros([8]u32);
var got_ptr: [*]u32 = &got;
var data = [8]u32{ 1, 2, 3, 4, 5, 6, 7, 8 };
const all = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{8} -> data[i] });
const kept = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{8} -> got[i] });
const out = @get_dsd(fabout_dsd, .{ .extent = 8, .fabric_color = a, .output_queue = @get_output_queue(2) });
const in = @get_dsd(fabin_dsd, .{ .extent = 8, .fabric_color = a, .input_queue = @get_input_queue(2) });
comptime {
  @initialize_queue(@get_input_queue(2), .{ .color = a });
  @initialize_queue(@get_output_queue(2), .{ .color = a });
  @export_symbol(got_ptr, "got"); @export_symbol(prepare); @export_symbol(main);
}
"""


def start(folder, text: str, arch: str = "wse3"):
    (folder / "layout.csl").write_text(LAYOUT)
    (folder / "pe.csl").write_text(HEAD + text)
    return meshlang.compile(folder / "layout.csl", arch=arch).start()


def rows(fabric) -> np.ndarray:
    return fabric.read("got")[0]


@pytest.mark.parametrize("address", ["0x7f25", "@as(u16, 0x7f20) + n"])
def test_routes_through_the_configuration_space(tmp_path, address):
    """PE 1 reads its route of color 5 (in from W: bit 5, out to RAMP: bit 4), and passes the color on to the east
    instead."""
    fabric = start(
        tmp_path,
        f"""var n: u16 = 5; var route: u16 = 0;
fn prepare() void {{
  if (x == 1) {{ n = @get_int(a); route = @get_config({address}); @set_config({address}, 0x22); }}
  sys.unblock_cmd_stream();
}}
fn main() void {{
  if (x == 0) {{ @mov32(out, all); }}
  if (x == 1) {{ got[0] = route; got[1] = @get_config({address}); }}
  if (x == 2) {{ @mov32(kept, in); }}
  sys.unblock_cmd_stream();
}}
""",
    )
    fabric.launch("prepare")
    fabric.launch("main")
    assert rows(fabric)[1, :2].tolist() == [0x30, 0x22]
    assert rows(fabric)[2].tolist() == [1, 2, 3, 4, 5, 6, 7, 8]


def test_an_address_without_a_register(tmp_path):
    fabric = start(tmp_path, "var n: u16 = 0x7b82;\nfn prepare() void { @set_config(n, 1); }\nfn main() void {}\n")
    with pytest.raises(MeshlangError, match="MS0857.*0x7b82"):
        fabric.launch("prepare")


FIFO = """var buf = @zeros([4]u32);
const f = @allocate_fifo(buf, .{{ {config} }});
const done = @get_local_task_id(9);
task end() void {{ got[7] = 99; sys.unblock_cmd_stream(); }}
comptime {{ @bind_local_task(end, done); }}
fn prepare() void {{ sys.unblock_cmd_stream(); }}
fn main() void {{
  if (x == 0) {{ {body} }}
  else {{ if (x == 1) {{ {middle} }} sys.unblock_cmd_stream(); }}
}}
"""
PUMP = "@mov32(out, f, .{ .async = true }); const ok = @mov32(f, all); if (ok) { got[0] = 1; } else { got[0] = 2; } sys.unblock_cmd_stream();"


@pytest.mark.parametrize(
    ("config", "complete"),
    [
        ("", False),
        (".full_action = .{ .test_or_suspend = true }", False),
        (".full_action = .{ .terminate = true }", False),
        (".full_action = .{ .suspend = true }", True),
    ],
)
def test_a_full_fifo(tmp_path, config, complete):
    """Eight elements into a FIFO of four, in one synchronous operation, while a microthread takes them out again."""
    fabric = start(tmp_path, FIFO.format(config=config, body=PUMP, middle="@mov32(kept, in, .{ .async = true });"))
    fabric.launch("main")
    fabric.run()
    assert rows(fabric)[0, 0] == (1 if complete else 2)
    if complete:
        assert rows(fabric)[1].tolist() == [1, 2, 3, 4, 5, 6, 7, 8]


def test_an_empty_fifo_ends_a_microthread(tmp_path):
    """Three of eight elements are there: with `terminate` the operation ends, and its completion action happens."""
    body = "_ = @mov32(f, @set_dsd_length(all, 3)); @mov32(out, f, .{ .async = true, .activate = done });"
    config = ".empty_action = .{ .terminate = true }"
    fabric = start(tmp_path, FIFO.format(config=config, body=body, middle="@mov32(kept, in, .{ .async = true });"))
    fabric.launch("main")
    assert rows(fabric)[0, 7] == 99 and rows(fabric)[1].tolist() == [1, 2, 3, 0, 0, 0, 0, 0]


@pytest.mark.parametrize(
    ("config", "body", "state"),
    [
        (".full_action = .{ .fault = true }", "_ = @mov32(f, all);", "full"),
        (".empty_action = .{ .fault = true }", "_ = @mov32(kept, f);", "empty"),
        (".empty_action = .{ .fault = true }", "@mov32(out, f, .{ .async = true });", "empty"),
    ],
)
def test_a_fifo_that_faults(tmp_path, config, body, state):
    fabric = start(tmp_path, FIFO.format(config=config, body=body + " sys.unblock_cmd_stream();", middle=""))
    with pytest.raises(MeshlangError, match=f"MS0858.*{state}") as caught:
        fabric.launch("main")
        fabric.run()
    assert caught.value.diagnostics[0].span is not None


def test_control_tasks_with_a_table_of_their_own(tmp_path):
    """Local task 9 and control task 9, both started."""
    fabric = start(
        tmp_path,
        """const oq = @get_output_queue(2);
const stop = @get_dsd(fabout_dsd, .{ .extent = 1, .fabric_color = a, .output_queue = oq, .control = true });
task here() void { got[0] = 1; }
task far(v: u16) void { got[1] = v; }
comptime {
  @set_control_task_table(.{ .instructions = 8, .stride = 2 });
  @bind_local_task(here, @get_local_task_id(9));
  @bind_control_task(far, @get_control_task_id(9));
  @unblock(@get_data_task_id(@get_input_queue(2)));
}
fn prepare() void { sys.unblock_cmd_stream(); }
fn main() void {
  if (x == 0) { @mov32(stop, (9 << 16) | 77); }
  if (x == 1) { @activate(@get_local_task_id(9)); }
  sys.unblock_cmd_stream();
}
""",
    )
    fabric.launch("main")
    fabric.run()
    assert rows(fabric)[1, :2].tolist() == [1, 77]


def test_plain_words_hold_what_is_stored(tmp_path):
    """Stored before the start, a later block wins; read at compile time and at run time, through a known and through a
    computed address."""
    fabric = start(
        tmp_path,
        """var n: u16 = 0x7e00;
comptime { @set_config(0x7e01, 7); @set_config(0x7eff, 8); }
comptime { @set_config(0x7e01, @get_config(0x7e01) + 2); @comptime_assert(@get_config(0x7e02) == 0); }
fn prepare() void {
  got[0] = @get_config(0x7e01); got[1] = @get_config(n + 1); got[2] = @get_config(0x7eff); got[3] = @get_config(0x7e02);
  @set_config(0x7e02, x + 40); @set_config(n + 3, 0xffff);
  got[4] = @get_config(n + 2); got[5] = @get_config_unchecked(0x7e03);
  sys.unblock_cmd_stream();
}
fn main() void {}
""",
    )
    fabric.launch("prepare")
    assert rows(fabric)[:, :6].tolist() == [[9, 9, 8, 0, 40 + x, 0xFFFF] for x in range(3)]


def test_words_of_comptime_blocks_are_saved_with_the_program(tmp_path):
    (tmp_path / "layout.csl").write_text(LAYOUT)
    (tmp_path / "pe.csl").write_text(
        HEAD
        + """comptime { @set_config(0x7e10, 77); }
fn prepare() void { got[0] = @get_config(0x7e10); sys.unblock_cmd_stream(); }
fn main() void {}
"""
    )
    meshlang.compile(tmp_path / "layout.csl", arch="wse2").save(tmp_path / "out")
    fabric = meshlang.load(tmp_path / "out").start()
    fabric.launch("prepare")
    assert rows(fabric)[:, 0].tolist() == [77] * 3
