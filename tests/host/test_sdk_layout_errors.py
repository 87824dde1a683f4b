"""Each misuse of SdkLayout has its diagnostic, with the place in the script."""

import numpy as np
import pytest
from layout_programs import write_files

from meshlang.diag import MeshlangError
from meshlang.host.sdk.layout.artifacts import SdkCompileArtifacts
from meshlang.host.sdk.layout.color import Color
from meshlang.host.sdk.layout.directions import Edge, Route, RoutingPosition, get_edge_routing
from meshlang.host.sdk.layout.geometry import IntRectangle, IntVector
from meshlang.host.sdk.layout.platform import FP16TYPE, SdkTarget, SimfabConfig, get_platform, get_simulator, get_system
from meshlang.host.sdk.layout.sdklayout import SdkLayout
from meshlang.host.sdk.runtime import SdkRuntime

IN, OUT = RoutingPosition().set_input([Route.RAMP]), RoutingPosition().set_output([Route.RAMP])
EAST = RoutingPosition().set_input([Route.RAMP]).set_output([Route.EAST])
WEST = RoutingPosition().set_input([Route.WEST]).set_output([Route.RAMP])
LEFT = RoutingPosition().set_input([Route.WEST]).set_output([Route.EAST])


@pytest.fixture()
def layout(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_files(tmp_path)
    return SdkLayout(SdkTarget.WSE3)


def region(layout, name="r", at=(0, 0), file="send.csl", width=1, height=1, params=("n", "first")):
    made = layout.create_code_region(file, name, width, height)
    made.place(*at)
    for p in params:
        made.set_param_all(p, 4)
    return made


def sender(layout, name="s", at=(0, 0), size=4, height=1, color=None):
    made = region(layout, name, at, height=height)
    color = color or made.color("tx")
    made.set_param_all("tx", color)
    return made.create_output_port(color, Edge.RIGHT, [IN], size)


def receiver(layout, name="r", at=(4, 0), size=4, height=1, color=None):
    made = region(layout, name, at, "receive.csl", 1, height, ("n",))
    color = color or made.color("rx")
    made.set_param_all("rx", color)
    return made.create_input_port(color, Edge.LEFT, [OUT], size)


def refused(code, *texts):
    """A context that expects the code, all texts in its message, help and notes, and a place in this file."""

    class Expect:
        def __enter__(self):
            return self

        def __exit__(self, kind, value, trace):
            assert kind is MeshlangError, value
            self.first = first = value.diagnostics[0]
            assert first.code == code, first
            whole = "\n".join([first.message, first.help or "", *first.notes, *(label.text for label in first.labels)])
            for text in texts:
                assert text in whole, whole
            if first.span is not None:
                assert first.span.file.path == __file__
            return True

    return Expect()


def line(diagnostic):
    return diagnostic.span.file.line(diagnostic.span.line_col()[0]).strip()


def test_regions_overlap(layout):
    region(layout, "a", (1, 1), width=3, height=2)
    region(layout, "b", (3, 0), width=1, height=4)
    with refused("MS0950", "'a' and 'b' overlap at PE (3, 1)", "'a' is 3 x 2 at (1, 1)") as info:
        layout.compile("out")
    assert line(info.first) == "made.place(*at)"
    assert info.first.labels[0].span.file.path == __file__


def test_region_that_is_not_placed(layout):
    layout.create_code_region("send.csl", "a", 1, 1)
    layout.create_code_region("send.csl", "b", 1, 1)
    with refused("MS0950", "'a' is not placed", "place(x, y)"):
        layout.compile("out")


@pytest.mark.parametrize(
    "at, target", [((-1, 0), SdkTarget.WSE3), ((0, 1172), SdkTarget.WSE3), ((757, 0), SdkTarget.WSE2)]
)
def test_region_outside_the_fabric(layout, at, target):
    layout = SdkLayout(target)
    region(layout, "a", at)
    with refused("MS0950", "outside the fabric", target.name):
        layout.compile("out")


def test_no_regions(layout):
    with refused("MS0951"):
        layout.compile("out")


def test_wrong_arguments(layout):
    code = region(layout)
    for call in (
        lambda: layout.create_code_region("send.csl", "x", 0, 1),
        lambda: layout.create_code_region("send.csl", "x", 1, "2"),
        lambda: SdkLayout(3),
        lambda: get_platform("", SimfabConfig(), "wse3"),
        lambda: get_simulator(5),
        lambda: layout.hstack([]),
        lambda: layout.hstack([SdkLayout(SdkTarget.WSE3).create_code_region("a.csl", "a", 1, 1)]),
        lambda: layout.compile("out", f16_type="f16"),
        lambda: SdkRuntime(7),
        lambda: code.create_output_port(Color("c"), Edge.RIGHT, [IN], 0),
    ):
        with refused("MS0951"):
            call()
    for call in (
        lambda: get_system("10.0.0.1:9000"),
        lambda: get_platform("10.0.0.1:9000"),
        lambda: SdkLayout("fabric.json"),
    ):
        with refused("MS0922"):
            call()
    with refused("MS0399"):
        layout.compile("out", f16_type=FP16TYPE.BF16)


def test_coordinates(layout):
    code = region(layout, width=3, height=2)
    for call in (
        lambda: code.set_param(IntVector(3, 0), "n", 1),
        lambda: code.paint(IntVector(0, -1), Color("c"), [EAST]),
        lambda: code.set_param_range(IntRectangle(IntVector(1, 0), IntVector(3, 3)), "n", 1),
        lambda: code.paint_range(IntRectangle(IntVector(0, 0), IntVector(0, 2)), Color("c"), [EAST]),
        lambda: code.set_param_range((0, 0, 1, 1), "n", 1),
        lambda: code.set_param(3, "n", 1),
        lambda: code.place(0.5, 1),
        lambda: IntVector("a", 1),
    ):
        with refused("MS0952"):
            call()


def test_routing_positions(layout):
    code, c = region(layout, width=2), Color("c")
    for call, text in (
        (lambda: code.paint_all(c, [IN]), "no output routes"),
        (lambda: code.paint_all(c, [OUT]), "no input routes"),
        (lambda: code.paint_all(c, []), "1 to 4 routing positions, found 0"),
        (lambda: code.paint_all(c, [EAST] * 5), "found 5"),
        (lambda: code.paint_all(c, [Route.EAST]), "a list of RoutingPosition"),
        (lambda: code.paint_all(c, [RoutingPosition().set_input([Route.EAST]).set_output([Route.EAST])]), "sends back"),
        (lambda: code.paint_all(c, [EAST], [WEST]), "get_edge_routing"),
        (lambda: code.create_output_port(c, Edge.RIGHT, [EAST], 4), "names output routes (EAST)"),
        (lambda: code.create_input_port(c, Edge.RIGHT, [WEST], 4), "names input routes (WEST)"),
        (lambda: code.create_input_port(c, "right", [OUT], 4), "expected an Edge"),
        (lambda: RoutingPosition().set_input(["RAMP"]), "expected a list of Route"),
        (lambda: get_edge_routing("LEFT", [EAST]), "takes an Edge"),
    ):
        with refused("MS0953", text):
            call()


def test_a_switch_position_changes_one_side_on_wse2(layout):
    for target in SdkTarget:
        layout = SdkLayout(target)
        code = region(layout, width=3)
        tx = code.color("tx")
        code.set_param_all(tx)
        code.paint_all(tx, [EAST, WEST])
        if target is SdkTarget.WSE2:
            with refused("MS0953", "r_tx", "on wse2 it changes one"):
                layout.compile("out")
        else:
            layout.compile("out")


def test_colors(layout):
    code = region(layout)
    for call in (
        lambda: Color("c", 24),
        lambda: Color("c", -1),
        lambda: Color(3),
        lambda: code.color("c", "red"),
        lambda: code.paint_all("c", [EAST]),
        lambda: code.create_output_port(3, Edge.RIGHT, [IN], 4),
        lambda: layout.create_input_stream_from_loc(IntVector(0, 0), 3),
    ):
        with refused("MS0954"):
            call()


def test_painted_twice(layout):
    def fresh():
        return region(layout, f"r{len(layout.regions)}", width=3, height=2), Color("c")

    code, c = fresh()
    code.paint(IntVector(1, 1), c, [EAST])
    code.paint(IntVector(1, 1), c, [EAST])  # the same again: nothing happens
    with refused("MS0955", "'c' is painted twice at PE (1, 1)", "first here"):
        code.paint(IntVector(1, 1), c, [WEST])
    with refused("MS0955", "by paint, then by paint_all"):
        code.paint_all(c, [WEST])
    code, c = fresh()
    code.paint_all(c, [EAST])
    with refused("MS0955"):
        code.paint_all(c, [WEST])
    code.paint_range(IntRectangle(IntVector(0, 0), IntVector(2, 2)), c, [WEST])
    code.paint_range(IntRectangle(IntVector(1, 0), IntVector(2, 2)), c, [LEFT])  # ranges may overlap
    code.create_output_port(c, Edge.RIGHT, [IN], 4)
    for call in (
        lambda: code.paint(IntVector(2, 0), c, [WEST]),
        lambda: code.create_input_port(c, Edge.BOTTOM, [OUT], 4, prefix="in"),  # both ports have PE (2, 1)
    ):
        with refused("MS0955", "a port"):
            call()


def test_two_colors_of_one_value_meet(layout):
    code = region(layout, width=2)
    for color, routes in ((Color("a", 5), [EAST]), (Color("b", 5), [WEST])):
        code.paint(IntVector(1, 0), color, routes)
    with refused("MS0955", "both have the value 5", "PE (1, 0) of code region 'r'"):
        layout.compile("out")


def test_two_colors_of_a_pe_become_one(layout):
    a = region(layout, "a", (0, 0), "pass.csl", params=("n",))
    b = region(layout, "b", (2, 0), "pass.csl", params=("n",))
    rx, tx = Color("rx"), Color("tx")
    for code in (a, b):
        code.set_param_all(rx)
        code.set_param_all(tx)
    ports = [
        (c.create_input_port(rx, Edge.LEFT, [OUT], 4), c.create_output_port(tx, Edge.RIGHT, [IN], 4)) for c in (a, b)
    ]
    layout.connect(ports[0][1], ports[1][0])
    layout.connect(ports[1][1], ports[0][0])
    with refused("MS0955", "'rx' and 'tx' are both painted", "one color"):
        layout.compile("out")


def test_names(layout):
    code = region(layout, "a")
    with refused("MS0956", "'a'", "created here"):
        layout.create_code_region("x.csl", "a", 1, 1)
    c = Color("c")
    code.create_output_port(c, Edge.RIGHT, [IN], 4)
    with refused("MS0956", "prefix"):
        code.create_input_port(c, Edge.LEFT, [OUT], 4)
    layout.create_input_stream_from_loc(IntVector(0, 0), c)
    with refused("MS0956"):
        layout.create_output_stream_from_loc(IntVector(0, 0), c)


def test_params(layout):
    code = region(layout, params=("n", "frist"))
    code.set_param_all(code.color("txx"))
    with pytest.raises(MeshlangError) as info:
        layout.compile("out")
    messages = [(d.code, d.help) for d in info.value.diagnostics]
    assert messages == [("MS0957", "did you mean 'first'?"), ("MS0957", "did you mean 'tx'?")]
    assert line(info.value.diagnostics[1]) == 'code.set_param_all(code.color("txx"))'
    for call in (
        lambda: code.set_param_all("n", 1.5),
        lambda: code.set_param_all("n", "1"),
        lambda: code.set_param_all(3, 4),
    ):
        with refused("MS0957"):
            call()


def test_param_that_does_not_fit(layout):
    code = region(layout)
    code.set_param_all(code.color("tx"))
    code.set_param_all("n", 70000)
    with pytest.raises(MeshlangError) as info:
        layout.compile("out")
    assert info.value.diagnostics[0].code == "MS0302"


def test_missing_file(layout):
    region(layout, file="nope.csl", params=())
    with refused("MS0901", "nope.csl") as info:
        layout.compile("out")
    assert "create_code_region" in line(info.first)


def test_symbols(layout, tmp_path):
    code = region(layout, file="receive.csl", params=("n",), width=2, height=2)
    code.set_param_all(code.color("rx"))
    for data, w, h, text in (
        (np.zeros(16, np.float64), 8, 2, "float64"),
        (np.zeros(15, np.uint32), 8, 2, "15 elements"),
        (np.zeros(16, np.uint32), 16, 1, "does not divide"),
    ):
        with refused("MS0958", text):
            code.set_symbol_all("got", data, w, h)
    code.set_symbol_all("got", np.zeros(8, np.uint32), 4, 2)  # 2 words a PE, not 4
    with refused("MS0958", "8 bytes", "[4]u32, 16 bytes") as info:
        layout.compile("out")
    assert "set_symbol_all" in line(info.first)
    code.symbols.clear()
    code.set_symbol_all("gott", np.zeros(16, np.uint32), 8, 2)
    with refused("MS0958", "no variable 'gott'", "did you mean 'got'?"):
        layout.compile("out")


def test_connections(layout):
    tx, rx = sender(layout), receiver(layout)
    with refused("MS0959", "output port first"):
        layout.connect(rx, tx)
    with refused("MS0959"):
        layout.connect("tx", rx)
    with refused("MS0959", "an input port"):
        layout.create_input_stream(tx)
    with refused("MS0959", "output port 's_tx' of code region 's' is not connected", "create_output_stream") as info:
        layout.compile("out")
    assert "create_output_port" in line(info.first)
    layout.connect(tx, rx)
    with refused("MS0959", "connected already"):
        layout.connect(tx, receiver(layout, "r2", (4, 4)))
    with refused("MS0959", "connected already"):
        layout.create_output_stream(tx)


def test_sizes(layout):
    tx = sender(layout, height=3)
    with refused("MS0960", "3 PEs and port 'r2_rx' has 2"):
        layout.connect(tx, receiver(layout, "r2", (4, 0), height=2))
    with refused("MS0960", "size 4", "5"):
        layout.connect(tx, receiver(layout, "r3", (6, 0), size=5, height=3))
    with refused("MS0960", "a stream takes a port of one PE"):
        layout.create_output_stream(tx)
    with refused("MS0960", "does not fit"):
        layout.create_output_stream(sender(layout, "one", (9, 9)), io_buffer_size=20000)


def test_values_that_must_be_equal(layout):
    layout.connect(sender(layout, color=Color("a", 3)), receiver(layout, color=Color("b", 4)))
    with refused("MS0961", "'b' has the value 4, and color 'a' 3"):
        layout.compile("out")
    layout = SdkLayout(SdkTarget.WSE3)
    code = region(layout, width=2)
    code.set_param(IntVector(0, 0), Color("tx", 1))
    code.set_param(IntVector(1, 0), Color("tx", 2))
    with refused("MS0961"):
        layout.compile("out")


def test_no_path(layout):
    # the color is painted all over the fabric between the ports
    c = Color("c")
    tx, rx = sender(layout, at=(0, 0), color=c), receiver(layout, at=(4, 0), color=c)
    wall = region(layout, "wall", (2, 0), height=3)
    wall.set_param_all("tx", c)
    wall.paint_all(c, [RoutingPosition().set_input([Route.RAMP]).set_output([Route.NORTH])])
    layout.connect(tx, rx)
    layout.compile("out")  # around the wall
    below = region(layout, "below", (2, 3), height=1172 - 3)
    below.set_param_all("tx", c)
    below.paint_all(c, [RoutingPosition().set_input([Route.RAMP]).set_output([Route.NORTH])])
    with refused(
        "MS0962", "from PE (0, 0) of code region 's' to PE (4, 0) of code region 'r'", "from port 's_c'"
    ) as info:
        layout.compile("out")
    assert line(info.first) == "layout.connect(tx, rx)"


def test_no_room_for_a_wide_port_that_goes_sideways(layout):
    layout.connect(sender(layout, at=(0, 2), height=4), receiver(layout, at=(2, 3), height=4))  # one column between
    with refused("MS0962", "no path left"):
        layout.compile("out")


def test_streams_that_cannot_be_attached(layout):
    code = region(layout, width=2)
    code.set_param_all(code.color("tx"))
    layout.create_output_stream_from_loc(IntVector(5, 5), Color("c"))
    with refused("MS0962", "no code at PE (5, 5)"):
        layout.compile("out")
    layout = SdkLayout(SdkTarget.WSE3)
    code = region(layout, width=2)
    tx = code.color("tx")
    code.set_param_all(tx)
    code.paint_all(tx, [EAST, LEFT])
    layout.create_output_stream_from_loc(IntVector(1, 0), tx)
    with refused("MS0962", "switch positions"):
        layout.compile("out")
    layout = SdkLayout(SdkTarget.WSE3)
    layout.create_output_stream(sender(layout, at=(3, 3)), IntVector(3, 3))
    with refused("MS0950", "overlap at PE (3, 3)"):
        layout.compile("out")
    layout = SdkLayout(SdkTarget.WSE3)
    layout.create_output_stream(sender(layout, at=(3, 3)), IntVector(-1, 3))
    with refused("MS0950", "the host's end of stream 's_tx'"):
        layout.compile("out")


def test_too_many_colors(layout):
    code = region(layout)
    for i in range(25):
        code.paint_all(Color(f"c{i}"), [EAST])
    with refused("MS0963", "no value is left", "24 other colors"):
        layout.compile("out")
    layout = SdkLayout(SdkTarget.WSE3)
    code = region(layout)
    for i in range(17):
        code.paint_all(Color(f"c{i}"), [EAST, LEFT])
    with refused("MS0963", "on wse3 only the colors 0, 1"):
        layout.compile("out")


def test_two_dialects(layout, tmp_path):
    text = (tmp_path / "receive.csl").read_text()
    write_files(tmp_path, newer=text.replace("param rx: color", "param rx: u16").replace(" = rx", " = @get_color(rx)"))
    tx = sender(layout)
    code = region(layout, "new", (3, 0), "newer.csl", params=("n",))
    rx = code.color("rx")
    code.set_param_all(rx)
    layout.connect(tx, code.create_input_port(rx, Edge.LEFT, [OUT], 4))
    with refused("MS0964", "newer.csl", "send.csl"):
        layout.compile("out")


def test_streams_of_the_host(layout):
    made = region(layout, "p", (2, 2), "pass.csl", params=("n",))
    rx, tx = made.color("rx"), made.color("tx")
    made.set_param_all(rx)
    made.set_param_all(tx)
    to = layout.create_input_stream(made.create_input_port(rx, Edge.LEFT, [OUT], 4))
    back = layout.create_output_stream(made.create_output_port(tx, Edge.RIGHT, [IN], 4))
    runtime = SdkRuntime(layout.compile("out"), layout.platform)
    with refused("MS0925"):
        runtime.send(to, np.zeros(4, np.uint32))
    runtime.load()
    runtime.run()
    for call, text in (
        (lambda: runtime.send("nope", np.zeros(4, np.uint32)), "no stream 'nope'"),
        (lambda: runtime.send(9, np.zeros(4, np.uint32)), "no stream 9"),
        (lambda: runtime.send(back, np.zeros(4, np.uint32)), "goes from the device"),
        (lambda: runtime.receive(to, np.zeros(4, np.uint32)), "goes to the device"),
        (lambda: runtime.get_port_id("x"), "no stream 'x'"),
        (lambda: runtime.send(to, [1, 2]), "numpy array"),
        (lambda: runtime.send(to, np.zeros(4, np.uint16)), "number of wavelets is needed"),
        (lambda: runtime.send(to, np.zeros(4, np.uint32), 5), "5 wavelets are 20 bytes, the array has 16"),
        (lambda: runtime.receive(back, np.zeros(4, np.uint16), 4), "the array has 8"),
        (lambda: runtime.receive(back, np.zeros(8, np.uint32)[::2], 4), "contiguous"),
        (lambda: runtime.receive(back, np.zeros(4, np.uint32), 0), "0 wavelets"),
    ):
        with refused("MS0965", text):
            call()
    with pytest.raises(MeshlangError) as info:  # nothing was sent
        runtime.receive(back, np.zeros(4, np.uint32))
    assert info.value.exit_code == 3 and info.value.diagnostics[0].code == "MS0860"


def test_platforms_differ(layout):
    region(layout).set_param_all(Color("tx"))
    artifacts = layout.compile("out")
    with refused("MS0951", "compiled for wse3, the platform is wse2"):
        SdkRuntime(artifacts, get_simulator(target=SdkTarget.WSE2))


def test_damaged_artifacts(layout, tmp_path):
    region(layout).set_param_all(Color("tx"))
    layout.compile("out")
    (tmp_path / "out" / "layout.json").write_text("{")
    with refused("MS0902"):
        SdkRuntime(SdkCompileArtifacts("out"))


def test_the_color_of_a_wrong_switch_position_is_named(layout):
    layout = SdkLayout(SdkTarget.WSE2)
    code = region(layout, width=3)
    for name, routes in (("fine", [EAST]), ("wrong", [EAST, WEST])):
        code.paint_all(Color(name), routes)
    code.set_param_all(code.color("tx"))
    with refused("MS0953", "color 'wrong'"):
        layout.compile("out")
