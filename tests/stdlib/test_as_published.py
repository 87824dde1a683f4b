"""What public programs take from the libraries beyond the tutorials: registers by name and address, seeds, messages of every type, memcpy's
parameters put together by hand, trees of many phases."""

import numpy as np
import pytest

import meshlang
from meshlang.diag import MeshlangError

LAYOUT = """const memcpy = @import_module("<memcpy/get_params>", .{ .width = 2, .height = 1 });
layout {
  @set_rectangle(2, 1);
  for (@range(u16, 2)) |x| { @set_tile_code(x, 0, "pe.csl", .{ .memcpy_params = memcpy.get_params(x), .x = x }); }
  @export_name("y", [*]TYPE, true);
  @export_name("main", fn()void);
}
"""
PE = """param memcpy_params; param x: u16;
const sys = @import_module("<memcpy/memcpy>", memcpy_params);
var y = @zeros([8]TYPE);
var y_ptr: [*]TYPE = &y;
BODY
comptime { @export_symbol(y_ptr, "y"); @export_symbol(main); }
"""


def start(folder, body: str, arch: str, t: str = "u16"):
    (folder / "layout.csl").write_text(LAYOUT.replace("TYPE", t))
    (folder / "pe.csl").write_text(PE.replace("TYPE", t).replace("BODY", body))
    return meshlang.compile(folder / "layout.csl", arch=arch).start()


def run(folder, body: str, arch: str, t: str = "u16") -> np.ndarray:
    with start(folder, body, arch, t) as fabric:
        fabric.launch("main")
        return fabric.read("y")[0]


ARCHS = pytest.mark.parametrize("arch", ["wse2", "wse3"])
ROUTE = "comptime { @set_local_color_config(@get_color(2), .{ .routes = .{ .rx = .{WEST}, .tx = .{RAMP} } }); }\n"


@ARCHS
def test_the_register_of_a_color_by_its_address(tmp_path, arch):
    """In from the west (bit 5), out to the ramp (bit 4): by a known pointer, one of run time, the name, and @get_config."""
    body = """const config = @import_module("<tile_config>");
var n: u16 = 2;
fn at(address: u16) u16 { return @bitcast(*u16, address).*; }
fn main() void {
  const address: u16 = 2 * (0x7f20 + 2);
  y[0] = @bitcast(*u16, address).*;
  y[1] = at(2 * (0x7f20 + n));
  y[2] = @bitcast([*]u16, @as(u16, config.target.addresses.COLOR_CONFIG))[n];
  y[3] = @get_config(@as(u16, config.addresses.COLOR_CONFIG) / config.word_size + 2);
  @bitcast(*u16, address).* = 0x22;
  y[4] = at(address);
  sys.unblock_cmd_stream();
}
"""
    assert run(tmp_path, ROUTE + body, arch)[:, :5].tolist() == [[0x30, 0x30, 0x30, 0x30, 0x22]] * 2


@ARCHS
def test_the_time_stamp_by_its_address(tmp_path, arch):
    """Three words; the lowest takes the sample. It agrees with <time>."""
    body = """const time = @import_module("<time>");
const config = @import_module("<tile_config>");
const stamp = @bitcast([*]u16, @as(u16, config.target.addresses.TIMESTAMP_COUNTER));
var t: [config.target.tsc_size_words]u16;
fn main() void {
  time.enable_tsc();
  for (@range(u16, config.target.tsc_size_words)) |i| { y[i] = stamp[i]; }
  y[3] = @get_config(@as(u16, config.addresses.TIMESTAMP_COUNTER) / config.word_size);
  time.get_timestamp(&t);
  y[4] = t[0];
  sys.unblock_cmd_stream();
}
"""
    y = run(tmp_path, body, arch)[0]
    assert 0 < y[0] < y[3] < y[4] < 200 and y[1] == y[2] == 0


@ARCHS
def test_what_is_not_modelled_is_refused_by_name(tmp_path, arch):
    head = 'const config = @import_module("<tile_config>");\n'
    access = "@get_config(@as(u16, config.addresses.PERF_COUNTER_CONTROL) / config.word_size)"
    with pytest.raises(MeshlangError, match="MS0416.*the register PERF_COUNTER_CONTROL"):
        start(tmp_path, head + f"fn main() void {{ y[0] = {access}; sys.unblock_cmd_stream(); }}\n", arch)
    body = (
        head + "fn main() void { @set_config(@as(u16, config.addresses.TIMESTAMP_COUNTER) / config.word_size, 1); }\n"
    )
    with pytest.raises(MeshlangError, match="MS0416.*the time stamp can be read at run time only"):
        start(tmp_path, body, arch)
    body = head + "fn main() void { @bitcast(*u16, @as(u16, config.addresses.TIMESTAMP_COUNTER)).* = 1; }\n"
    with start(tmp_path, body, arch) as fabric, pytest.raises(MeshlangError, match="MS0857"):
        fabric.launch("main")


@ARCHS
def test_a_seed_repeats_the_numbers(tmp_path, arch):
    """@set_active_prng reseeds nothing."""
    body = """const rnd = @import_module("<random>");
fn main() void {
  rnd.set_global_prng_seed(7);
  y[0] = @random16();
  y[1] = @random16();
  rnd.set_global_prng_seed(7);
  y[2] = @random16();
  @set_active_prng(0);
  y[3] = @random16();
  rnd.set_global_prng_seed(8);
  y[4] = @random16();
  sys.unblock_cmd_stream();
}
"""
    y = run(tmp_path, body, arch)[0].tolist()
    assert y[:2] == y[2:4] and y[0] != y[1] and y[4] != y[0]


MESSAGE = """const mp = @import_module("<message_passing>", .{ .input_queue_id = 4, .output_queue_id = 4, .enable_asserts = true, .bank_id = 0 });
const done = @get_local_task_id(9);
const gate = @get_local_task_id(10);
var sent = false;
task fin() void { sys.unblock_cmd_stream(); }
fn main() void {
  mp.init();
  if (x == 0) {
    for (@range(i16, 4)) |i| { y[i] = @as(TYPE, i) - @as(TYPE, 1); }
    SEND
  } else {
    RECEIVE
  }
}
comptime { @bind_local_task(fin, done); @bind_local_task(fin2, gate); @block(gate); @activate(gate); }
task fin2() void { sys.unblock_cmd_stream(); }
"""
DTYPES = {"i16": np.int16, "u16": np.uint16, "f16": np.float16, "i32": np.int32, "u32": np.uint32, "f32": np.float32}
ENDS = {
    "activate": (
        "mp.send_message(1, 0, &y, 4, .{ .activate = done });",
        "mp.recv_message(&y, .{ .activate = done });",
    ),
    "unblock": ("mp.send_message(1, 0, &y, 4, .{ .unblock = gate });", "mp.recv_message(&y, .{ .unblock = gate });"),
    "nothing": (
        "mp.send_message(1, 0, &y, 4, {}); sys.unblock_cmd_stream();",
        "mp.recv_message(&y, .{ .activate = done });",
    ),
}


@pytest.mark.parametrize(
    ("t", "end"),
    [
        ("i16", "activate"),
        ("u16", "unblock"),
        ("f16", "nothing"),
        ("i32", "unblock"),
        ("u32", "activate"),
        ("f32", "activate"),
    ],
)
def test_messages_of_every_type(tmp_path, t, end):
    send, receive = ENDS[end]
    body = MESSAGE.replace("TYPE", t).replace("SEND", send).replace("RECEIVE", receive)
    got = run(tmp_path, body, "wse3", t)
    values = np.arange(4).astype(DTYPES[t])
    want = values - values.dtype.type(1)
    assert got[0, :4].tolist() == got[1, :4].tolist() == want.tolist()


def test_a_message_of_another_type(tmp_path):
    body = "var bytes: [4]u8;\n" + MESSAGE.replace("TYPE", "u32").replace(
        "SEND", "mp.send_message(1, 0, &bytes, 4, {});"
    ).replace("RECEIVE", "")
    with pytest.raises(MeshlangError, match="MS0336.*i16, u16, f16, i32, u32 or f32"):
        start(tmp_path, body, "wse3", "u32")


@ARCHS
@pytest.mark.parametrize("library", ["memcpy", "memcpy_multi"])
def test_parameters_of_memcpy_put_together_by_hand(tmp_path, arch, library):
    """Early programs add LAUNCH, colors and data_type in the PE's file, or name every parameter. What the layout gives cannot be given again."""
    (tmp_path / "layout.csl").write_text(
        f'const memcpy = @import_module("<{library}/get_params>", .{{ .width = 2, .height = 1 }});\n'
        'layout { @set_rectangle(2, 1); @export_name("main", fn()void);\n'
        '  @set_tile_code(0, 0, "a.csl", .{ .memcpy_params = memcpy.get_params(0) });\n'
        '  @set_tile_code(1, 0, "b.csl", .{ .memcpy_params = memcpy.get_params(1) });\n}\n'
    )
    rest = "fn main() void { sys.unblock_cmd_stream(); }\ncomptime { @export_symbol(main); @rpc(launch); }\n"
    head = "param memcpy_params: comptime_struct;\nconst launch = @get_color(8);\n"
    (tmp_path / "a.csl").write_text(
        f'{head}const sys = @import_module("<{library}/memcpy>", @concat_structs(memcpy_params, '
        f".{{ .LAUNCH = launch, .MEMCPYH2D_1 = @get_color(3), .data_type = f32 }}));\n"
        "comptime { @comptime_assert(sys.LAUNCH == launch and sys.MEMCPYH2D_1 == @get_color(3)); }\n" + rest
    )
    named = ", ".join(
        f".{n} = memcpy_params.{n}" for n in ("first_pe", "last_pe", "MEMCPYH2D_1", "MEMCPYD2H_1", "LAUNCH")
    )
    (tmp_path / "b.csl").write_text(f'{head}const sys = @import_module("<{library}/memcpy>", .{{ {named} }});\n{rest}')
    meshlang.compile(tmp_path / "layout.csl", arch=arch)
    (tmp_path / "b.csl").write_text(
        head
        + "const twice = @concat_structs(@concat_structs(memcpy_params, .{ .LAUNCH = launch }), .{ .LAUNCH = launch });\n"
        f'const sys = @import_module("<{library}/memcpy>", twice);\n' + rest
    )
    with pytest.raises(MeshlangError, match="MS0334.*LAUNCH"):
        meshlang.compile(tmp_path / "layout.csl", arch=arch)


@pytest.mark.parametrize("phases", [8, 11])
def test_trees_of_many_phases(tmp_path, phases):
    """Two colors a phase: more than 16 bits of them."""
    (tmp_path / "layout.csl").write_text(f"""
fn pick() [2 * {phases} + 1]color {{
  var all = @constants([2 * {phases} + 1]color, @get_color(0));
  for (@range(u16, 2 * {phases} + 1)) |c| {{ all[c] = @get_color(c); }}
  return all;
}}
const tree = @import_module("<comm/ktree_layout>", .{{ .N = 24, .K = {phases}, .colors = pick() }});
fn receives(i: i16) u16 {{
  var count: u16 = 0;
  for (@range(u16, 2 * {phases})) |c| {{ if (tree.get_params(i).inputs >> c & 1 != 0) {{ count += 1; }} }}
  return count;
}}
layout {{
  @set_rectangle(24, 1);
  var edges: u16 = 0;
  for (@range(i16, 24)) |i| {{ edges += receives(i); @set_tile_code(i, 0, "pe.csl"); tree.set_routes(i, 0, i, true); }}
  @comptime_assert(edges >= 5);
}}
""")
    (tmp_path / "pe.csl").write_text("")
    assert meshlang.compile(tmp_path / "layout.csl", arch="wse3").width == 24
