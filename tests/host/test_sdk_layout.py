"""SdkLayout programs from Python to the result: routing, colors, streams, params, symbols."""

import json

import numpy as np
import pytest
from layout_programs import write_files

from meshlang.host.sdk.layout.artifacts import SdkCompileArtifacts
from meshlang.host.sdk.layout.color import Color
from meshlang.host.sdk.layout.directions import Edge, Route, RoutingPosition, get_edge_routing
from meshlang.host.sdk.layout.geometry import IntRectangle, IntVector
from meshlang.host.sdk.layout.platform import SdkTarget, SimfabConfig, get_platform, get_simulator
from meshlang.host.sdk.layout.sdklayout import SdkLayout
from meshlang.host.sdk.runtime import SdkRuntime

TO_RAMP = RoutingPosition().set_output([Route.RAMP])
FROM_RAMP = RoutingPosition().set_input([Route.RAMP])
TARGETS = list(SdkTarget)


def route(come: list[Route], go: list[Route]) -> RoutingPosition:
    return RoutingPosition().set_input(come).set_output(go)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_files(tmp_path)
    return tmp_path


@pytest.fixture(params=TARGETS, ids=lambda t: t.arch)
def layout(request):
    return SdkLayout(get_platform(None, SimfabConfig(), request.param))


def start(layout, **options) -> SdkRuntime:
    runtime = SdkRuntime(layout.compile("out", **options), layout.platform, memcpy_required=False)
    runtime.load()
    runtime.run()
    return runtime


def run(layout) -> SdkRuntime:
    runtime = start(layout)
    runtime.stop()
    return runtime


def sender(layout, name, at, n=4, first=1, edge=Edge.RIGHT, height=1):
    """A column of senders and their port; PE j sends n words from first + 100 * j on."""
    region = layout.create_code_region("send.csl", name, 1, height)
    color = region.color("tx")
    region.set_param_all("n", n)
    region.set_param_all(color)
    for j in range(height):
        region.set_param(IntVector(0, j), "first", first + 100 * j)
    region.place(*at)
    return region.create_output_port(color, edge, [FROM_RAMP], n)


def receiver(layout, name, at, n=4, edge=Edge.LEFT, height=1):
    region = layout.create_code_region("receive.csl", name, 1, height)
    color = region.color("rx")
    region.set_param_all("n", n)
    region.set_param_all(color)
    region.place(*at)
    return region.create_input_port(color, edge, [TO_RAMP], n)


def got(runtime, x, y):
    return runtime.read_symbol(x, y, "got", dtype="uint32").tolist()


@pytest.mark.parametrize("a, b", [((0, 0), (1, 0)), ((5, 3), (0, 0)), ((2, 2), (2, 7)), ((0, 4), (6, 0))])
def test_two_regions(layout, a, b):
    layout.connect(sender(layout, "a", a), receiver(layout, "b", b))
    assert got(run(layout), *b) == [1, 2, 3, 4]


def test_routes_cross(layout):
    for i in range(4):  # all pairs cross in the middle
        layout.connect(sender(layout, f"s{i}", (0, i), first=10 * i), receiver(layout, f"r{i}", (6, 3 - i)))
    runtime = run(layout)
    for i in range(4):
        assert got(runtime, 6, 3 - i) == [10 * i + k for k in range(4)]


@pytest.mark.parametrize("shift", [-3, -1, 0, 1, 4])
def test_wide_ports_are_connected_in_order(layout, shift):
    layout.connect(sender(layout, "a", (0, 4), height=4), receiver(layout, "b", (6, 4 + shift), height=4))
    runtime = run(layout)
    for j in range(4):
        assert got(runtime, 6, 4 + shift + j) == [1 + 100 * j + k for k in range(4)]


def test_wide_ports_get_room_to_go_around(layout):
    # from the right side of one column to the left side of another one on its left: all paths go around both
    layout.connect(sender(layout, "a", (6, 0), height=4), receiver(layout, "b", (4, 0), height=4))
    runtime = run(layout)
    assert [got(runtime, 4, j) for j in range(4)] == [[1 + 100 * j + k for k in range(4)] for j in range(4)]


def test_routes_go_around_regions_or_through_them(layout):
    wall = layout.create_code_region("send.csl", "wall", 1, 3)  # two rows high: going around is shorter than through
    wall.place(2, 0)
    wall.set_param_all("n", 1)
    wall.set_param_all("first", 0)
    unused = wall.color("tx")
    wall.set_param_all(unused)
    wall.paint_all(
        unused,
        [route([Route.RAMP], [Route.SOUTH])],
        [get_edge_routing(Edge.BOTTOM, [route([Route.RAMP, Route.NORTH], [Route.EAST])])],
    )
    layout.connect(sender(layout, "a", (0, 1)), receiver(layout, "b", (4, 1)))
    from meshlang.host.sdk.layout.paths import connect_ports
    from meshlang.host.sdk.layout.plan import Plan

    plan = Plan(layout)
    connect_ports(plan)
    net = plan.net_of["a_tx"]
    used = {plan.coordinates(c) for c in np.flatnonzero(net.route >= 0)}
    assert (2, 3) in used and not any((2, y) in used for y in range(3))


def test_many_colors_share_values(layout):
    # a chain of 30 links: more colors than there are values, but only two meet at a PE
    port = sender(layout, "s", (0, 0))
    for i in range(29):
        region = layout.create_code_region("pass.csl", f"p{i}", 1, 1)
        region.place(1 + i, 0)
        rx, tx = region.color("rx"), region.color("tx")
        region.set_param_all("n", 4)
        region.set_param_all("add", i)
        region.set_param_all(rx)
        region.set_param_all("tx", tx)
        layout.connect(port, region.create_input_port(rx, Edge.LEFT, [TO_RAMP], 4))
        port = region.create_output_port(tx, Edge.RIGHT, [FROM_RAMP], 4)
    layout.connect(port, receiver(layout, "r", (30, 0)))
    runtime = run(layout)
    assert got(runtime, 30, 0) == [k + sum(range(29)) for k in (1, 2, 3, 4)]
    values = json.loads((layout_out() / "colors.json").read_text())
    assert values["p3_tx"] == values["p4_rx"] != values["p4_tx"]


def layout_out():
    from pathlib import Path

    return Path("out")


def test_given_values_are_kept(layout):
    region = layout.create_code_region("pass.csl", "p", 1, 1)
    region.place(3, 0)
    rx, tx = Color("rx", 7), region.color("tx")
    region.set_param_all("n", 4)
    region.set_param_all(rx)
    region.set_param_all(tx)
    assert (rx.get_value(), tx.get_value(), tx.get_global_name(), tx.get_local_param_name()) == (7, None, "p_tx", "tx")
    layout.connect(sender(layout, "a", (0, 0)), region.create_input_port(rx, Edge.LEFT, [TO_RAMP], 4))
    layout.connect(region.create_output_port(tx, Edge.RIGHT, [FROM_RAMP], 4), receiver(layout, "b", (5, 0)))
    runtime = run(layout)
    assert got(runtime, 5, 0) == [1, 2, 3, 4]
    assert tx.get_value() not in (None, 7) and rx.get_value() == 7


def relay(layout, at=(4, 2), n=8, add=1000):
    region = layout.create_code_region("pass.csl", "relay", 1, 1)
    region.place(*at)
    rx, tx = Color("rx"), Color("tx")
    region.set_param_all("n", n)
    region.set_param_all("add", add)
    region.set_param_all(rx)
    region.set_param_all(tx)
    return (
        region.create_input_port(rx, Edge.LEFT, [TO_RAMP], n),
        region.create_output_port(tx, Edge.RIGHT, [FROM_RAMP], n),
    )


@pytest.mark.parametrize("places", [(None, None), (IntVector(0, 0), IntVector(9, 9))])
def test_streams(layout, places):
    rx, tx = relay(layout)
    to, back = layout.create_input_stream(rx, places[0]), layout.create_output_stream(tx, places[1], io_buffer_size=16)
    runtime = start(layout)
    out, more = np.zeros(8, np.uint32), np.zeros(8, np.int32)
    runtime.send(to, np.arange(8, dtype=np.uint32), nonblock=True)
    runtime.receive(back, out, 8, nonblock=False)
    assert out.tolist() == [1000 + i for i in range(8)]
    runtime.send(runtime.get_port_id(to), np.arange(100, 164, dtype=np.int64).astype(np.int32))
    task = runtime.receive(runtime.get_port_id(back), more, nonblock=True)
    runtime.task_wait(task)
    assert more.tolist() == [1100 + i for i in range(8)]
    halves = np.zeros(16, np.uint16)
    runtime.receive(back, halves, 8, nonblock=True)
    runtime.stop()
    assert halves.view(np.uint32).tolist() == [1108 + i for i in range(8)]


def test_a_buffer_decouples(layout):
    # the relay sends 8 words into a buffer that nobody empties yet, and can take the next 8
    rx, tx = relay(layout)
    to, back = layout.create_input_stream(rx), layout.create_output_stream(tx)
    runtime = start(layout)
    runtime.send(to, np.arange(64, dtype=np.uint32))
    runtime._live("test").settle()
    out = np.zeros(64, np.uint32)
    runtime.receive(back, out, 64)
    assert out.tolist() == [1000 + i for i in range(64)]
    runtime.stop()


def test_receive_to_a_file(layout, folder):
    rx, tx = relay(layout)
    to, back = layout.create_input_stream(rx), layout.create_output_stream(tx)
    runtime = start(layout)
    runtime.send(to, np.arange(8, dtype=np.uint32))
    runtime.receive_tofile(back, "first.bin")
    runtime.receive_tofile(back, "second.bin", nonblock=True)
    runtime.send(to, np.arange(16, dtype=np.uint32))
    runtime.stop()
    assert np.fromfile("first.bin", "<u4").tolist() == [1000 + i for i in range(8)]
    assert np.fromfile("second.bin", "<u4").tolist() == [1000 + i for i in range(16)]


@pytest.mark.parametrize("painted", [False, True])
def test_streams_attached_to_a_pe(layout, painted):
    region = layout.create_code_region("pass.csl", "relay", 1, 1)
    region.place(2, 3)
    rx, tx = Color("rx"), Color("tx")
    for name, value in (("n", 4), ("add", 5)):
        region.set_param_all(name, value)
    region.set_param_all(rx)
    region.set_param_all(tx)
    if painted:  # as for a PE at the edge of the wafer
        region.paint_all(rx, [route([Route.WEST], [Route.RAMP])])
        region.paint_all(tx, [route([Route.RAMP], [Route.EAST])])
    to = layout.create_input_stream_from_loc(IntVector(2, 3), rx, "in_")
    back = layout.create_output_stream_from_loc(IntVector(2, 3), tx, "out_")
    assert (to, back) == ("in_rx", "out_tx")
    runtime = start(layout)
    out = np.zeros(4, np.float32)
    runtime.send(to, np.array([1, 2, 3, 4], np.float32).view(np.uint32))
    runtime.receive(back, out)
    runtime.stop()
    assert (out.view(np.uint32) - np.array([1, 2, 3, 4], np.float32).view(np.uint32)).tolist() == [5] * 4


SHOW = """
param a: u16;
param b: i16 = -7;
param c = 3;
export var seen = @zeros([3]i16);
export var tile: [2, 3]i16;
const id = @get_local_task_id(28);
task start() void { seen[0] = @as(i16, a); seen[1] = b; seen[2] = @as(i16, c) + tile[1, 2]; }
comptime { @bind_local_task(start, id); @activate(id); }
"""


def test_params_and_symbols(layout, folder):
    write_files(folder, show=SHOW)
    region = layout.create_code_region("show.csl", "show", 4, 2)
    region.set_param_all("a", 1)
    region.set_param_range(IntRectangle(IntVector(1, 0), IntVector(2, 2)), "a", 2)  # columns 1 and 2
    # too wide for a size: corners, column 3
    region.set_param_range(IntRectangle(IntVector(3, 0), IntVector(4, 2)), "c", 9)
    region.set_param(IntVector(2, 1), "b", np.int64(5))
    data = np.arange(4 * 12, dtype=np.int16).reshape(4, 12)
    region.set_symbol_all("tile", data.ravel(), 12, 4)
    runtime = run(layout)
    for y in range(2):
        for x in range(4):
            part = data[2 * y : 2 * y + 2, 3 * x : 3 * x + 3]
            assert np.array_equal(runtime.read_symbol(x, y, "tile", "int16"), part.ravel())
            expected = [2 if x in (1, 2) else 1, 5 if (x, y) == (2, 1) else -7, (9 if x == 3 else 3) + part[1, 2]]
            assert runtime.read_symbol(x, y, "seen", dtype="int16").tolist() == expected


def test_regions_share_code(layout, folder):
    write_files(folder, show=SHOW)
    regions = [layout.create_code_region("show.csl", f"r{i}", 2, 1) for i in range(4)]
    layout.vstack(regions)
    for i, region in enumerate(regions):
        region.set_param_all("a", i // 2)
    runtime = run(layout)
    assert [runtime.read_symbol(1, i, "seen", "int16")[0] for i in range(4)] == [0, 0, 1, 1]
    assert len(runtime._program.tiles) == 2


def test_stacks(layout):
    a, b, c = (layout.create_code_region("send.csl", n, w, h) for n, w, h in (("a", 2, 1), ("b", 3, 2), ("c", 1, 4)))
    a.place(5, 6)
    assert layout.hstack([a, b, c]) == 6
    assert [r.origin for r in (a, b, c)] == [(5, 6), (7, 6), (10, 6)]
    assert layout.vstack([a, b, c], IntVector(1, 0)) == 7
    assert [r.origin for r in (a, b, c)] == [(1, 0), (1, 1), (1, 3)]


def test_artifacts_can_be_loaded_again(layout, capsys):
    rx, tx = relay(layout)
    names = layout.create_input_stream(rx), layout.create_output_stream(tx)
    layout.compile("results/out", save_port_map=True)
    ports = json.loads((layout_out().parent / "results/out/port_map.json").read_text())
    assert [p["name"] for p in ports] == list(names)
    runtime = SdkRuntime(SdkCompileArtifacts("results/out"), get_simulator(target=layout.platform.target))
    runtime.report_port_infos()
    assert (
        f"{names[0]}: input, color {ports[0]['color']}, PE ({ports[0]['x']}, {ports[0]['y']})"
        in capsys.readouterr().out
    )
    with SdkRuntime("results/out") as again:
        out = np.zeros(8, np.uint32)
        again.send(names[0], np.zeros(8, np.uint32))
        again.receive(names[1], out)
    assert out.tolist() == [1000] * 8


PACKED = """
param tx: u16;
const q = @get_output_queue(2);
var data = [6]u16{ 1, 2, 3, 4, 5, 6 };
const from = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{6} -> data[i] });
const to = @get_dsd(fabout_dsd, .{ .extent = 6, .fabric_color = @get_color(tx), .output_queue = q });
const id = @get_local_task_id(28);
task start() void { @mov16(to, from, .{ .async = true }); }
comptime { @bind_local_task(start, id); @activate(id); @initialize_queue(q, .{ .color = @get_color(tx) }); }
"""


@pytest.mark.parametrize("newer", [False, True])
def test_the_dialect_is_told_by_the_params_of_colors(layout, folder, newer):
    old = PACKED.replace("param tx: u16", "param tx: color").replace("@get_color(tx)", "tx")
    write_files(folder, half=PACKED if newer else old)
    region = layout.create_code_region("half.csl", "half", 1, 1)
    tx = Color("tx")
    region.set_param_all(tx)
    stream = layout.create_output_stream(region.create_output_port(tx, Edge.RIGHT, [FROM_RAMP], 6))
    runtime = start(layout)
    out = np.zeros(3 if newer else 6, np.uint32)
    runtime.receive(stream, out, nonblock=True)
    runtime.stop()
    assert out.tolist() == ([1 | 2 << 16, 3 | 4 << 16, 5 | 6 << 16] if newer else [1, 2, 3, 4, 5, 6])


@pytest.mark.parametrize("text", ["@get_local_task_id(0)", "@get_local_task_id(zero)"])
def test_colors_keep_out_of_the_way_of_local_tasks(folder, text):
    # on WSE-2 a wavelet of color 0 would start the local task 0, whether the text says its number or not
    text = (folder / "receive.csl").read_text().replace("@get_local_task_id(28)", text) + "const zero = 0;"
    write_files(folder, low=text)
    layout = SdkLayout(SdkTarget.WSE2)
    region = layout.create_code_region("low.csl", "low", 1, 1)
    region.place(3, 0)
    rx = region.color("rx")
    region.set_param_all(rx)
    region.set_param_all("n", 4)
    layout.connect(sender(layout, "s", (0, 0)), region.create_input_port(rx, Edge.LEFT, [TO_RAMP], 4))
    assert got(run(layout), 3, 0) == [1, 2, 3, 4]
    assert rx.get_value() == 1


COUNT = """
param endless: u16;
export var n: u32 = 0;
const id = @get_local_task_id(28);
task step() void {
  for (@range(u16, 1000)) |_| { n += 1; }
  if (endless == 1 or n < 100000) { @activate(id); }
}
comptime { @bind_local_task(step, id); @activate(id); }
"""


def test_stop_waits_for_the_program_to_come_to_rest(layout, folder, monkeypatch, capsys):
    write_files(folder, count=COUNT)
    region = layout.create_code_region("count.csl", "count", 2, 1)
    region.set_param_all("endless", 0)
    runtime = run(layout)
    assert [runtime.read_symbol(x, 0, "n", "uint32")[0] for x in range(2)] == [100000, 100000]
    assert runtime._session.cycle > 500_000 and capsys.readouterr().err == ""
    region.set_param(IntVector(1, 0), "endless", 1)
    monkeypatch.setattr("meshlang.host.sdk.runtime.REST_CYCLES", 100_000)
    run(layout)
    assert "with the program still running" in capsys.readouterr().err


def test_a_compiled_layout_is_a_program_like_others(layout, folder):
    write_files(folder, show=SHOW)
    region = layout.create_code_region("show.csl", "show", 2, 1)
    region.place(1, 1)
    region.set_param_all("a", 1)
    region.set_symbol_all("tile", np.arange(12, dtype=np.int16).reshape(2, 6), 6, 2)
    layout.compile("out")
    import meshlang

    program = meshlang.load("out")
    assert (program.width, program.height) == (5, 4)
    with program.start() as fabric:
        fabric.run()
        address = next(o for o in program.ir.tiles[0].objects if o.name == "seen").address
        data = fabric.session.machine.read_bytes(1, 1, 2, 1, address, 6).view(np.int16)
    assert data.tolist() == [[[1, -7, 3 + 8], [1, -7, 3 + 11]]]


CORNER = """
param rx: color;
param n: u16;
const q = @get_input_queue(2);
const own = @get_color(0);
const oq = @get_output_queue(3);
const iq = @get_input_queue(4);
export var got: [2]u32;
var sent = [2]u32{ 7, 8 };
const to = @get_dsd(fabout_dsd, .{ .extent = 2, .fabric_color = own, .output_queue = oq });
const back = @get_dsd(fabin_dsd, .{ .extent = 2, .fabric_color = own, .input_queue = iq });
const from = @get_dsd(fabin_dsd, .{ .extent = n, .fabric_color = rx, .input_queue = q });
const mem = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{2} -> sent[i] });
const into = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{2} -> got[i] });
const start_id = @get_local_task_id(28);
const next_id = @get_local_task_id(29);
task start() void { @mov32(to, mem, .{ .async = true }); @mov32(into, from, .{ .async = true, .activate = next }); }
task next() void { @mov32(into, back, .{ .async = true }); }
comptime {
  @bind_local_task(start, start_id);
  @bind_local_task(next, next_id);
  @activate(start_id);
  @set_local_color_config(own, .{ .routes = .{ .rx = .{RAMP}, .tx = .{RAMP} } });
  @initialize_queue(q, .{ .color = rx });
  @initialize_queue(oq, .{ .color = own });
  @initialize_queue(iq, .{ .color = own });
}
"""


def test_colors_keep_out_of_the_way_of_colors_in_the_code(layout, folder):
    write_files(folder, corner=CORNER)
    region = layout.create_code_region("corner.csl", "corner", 1, 1)
    region.place(3, 0)
    rx = region.color("rx")
    region.set_param_all(rx)
    region.set_param_all("n", 2)
    layout.connect(sender(layout, "s", (0, 0), n=2), region.create_input_port(rx, Edge.LEFT, [TO_RAMP], 2))
    runtime = run(layout)
    assert runtime.read_symbol(3, 0, "got", "uint32").tolist() == [7, 8]
    assert rx.get_value() == 1


@pytest.mark.parametrize("newer", [False, True])
def test_params_without_a_type(layout, folder, newer):
    text = (folder / "receive.csl").read_text().replace("param rx: color;", "param rx;")
    write_files(folder, untyped=text.replace(" = rx", " = @get_color(rx)") if newer else text)
    if newer:
        write_files(
            folder,
            send=(folder / "send.csl")
            .read_text()
            .replace("tx: color", "tx: u16")
            .replace(" = tx", " = @get_color(tx)"),
        )
    region = layout.create_code_region("untyped.csl", "u", 1, 1)
    region.place(2, 0)
    rx = region.color("rx")
    region.set_param_all(rx)
    region.set_param_all("n", 4)
    layout.connect(sender(layout, "s", (0, 0)), region.create_input_port(rx, Edge.LEFT, [TO_RAMP], 4))
    assert got(run(layout), 2, 0) == [1, 2, 3, 4]


def test_warnings_are_shown(folder, capsys):
    text = (folder / "receive.csl").read_text().replace("@get_local_task_id(28)", "@get_local_task_id(9)")
    write_files(folder, low=text)
    layout = SdkLayout(SdkTarget.WSE2)
    region = layout.create_code_region("low.csl", "low", 1, 1)
    region.place(3, 0)
    rx = region.color("rx", 9)  # given: it stays
    region.set_param_all(rx)
    region.set_param_all("n", 4)
    layout.connect(sender(layout, "s", (0, 0)), region.create_input_port(rx, Edge.LEFT, [TO_RAMP], 4))
    layout.compile("out")
    assert "MS0413" in capsys.readouterr().err


def test_wavelets_that_nobody_takes(layout):
    port = sender(layout, "s", (0, 0), n=20)
    layout.connect(port, receiver(layout, "r", (3, 0), n=20))
    layout.regions[1].set_param_all("n", 4)
    runtime = run(layout)
    assert got(runtime, 3, 0) == [1, 2, 3, 4]
    left = [d for d in runtime._session.machine.warnings if d.code == "MS0854"]
    assert any("PE (3, 0)" in d.message for d in left)
    # the color's place is where the script gives it
    assert all(d.span.file.path == __file__ for d in left if d.span is not None) and any(
        d.span is not None for d in left
    )
