"""Random layouts: whatever the places and widths, each receiver gets what its sender has sent, and nothing else
happens."""

import numpy as np
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from layout_programs import write_files

from meshlang.diag import MeshlangError
from meshlang.host.sdk.layout.color import Color
from meshlang.host.sdk.layout.directions import Edge, Route, RoutingPosition
from meshlang.host.sdk.layout.geometry import IntVector
from meshlang.host.sdk.layout.platform import SdkTarget
from meshlang.host.sdk.layout.sdklayout import SdkLayout
from meshlang.host.sdk.runtime import SdkRuntime

IN, OUT = RoutingPosition().set_input([Route.RAMP]), RoutingPosition().set_output([Route.RAMP])
N = 5


@st.composite
def links(draw):
    """(size, sender's place and edge, receiver's place and edge) of up to six links; an edge's direction is that of the
    region."""
    taken: set[tuple[int, int]] = set()

    def place(size):
        edge = draw(st.sampled_from(list(Edge)))
        w, h = (size, 1) if edge in (Edge.TOP, Edge.BOTTOM) else (1, size)
        for _ in range(20):
            x, y = draw(st.integers(0, 14)), draw(st.integers(0, 14))
            cells = {(x + i, y + j) for i in range(w) for j in range(h)}
            if not cells & taken:
                taken.update(cells)
                return (x, y), edge
        assume(False)

    return [(size, place(size), place(size)) for size in draw(st.lists(st.integers(1, 3), min_size=1, max_size=6))]


def region(layout, name, file, size, place, edge):
    (x, y) = place
    made = layout.create_code_region(file, name, *((size, 1) if edge in (Edge.TOP, Edge.BOTTOM) else (1, size)))
    made.place(x, y)
    made.set_param_all("n", N)
    return made


@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(links(), st.sampled_from(list(SdkTarget)), st.booleans())
def test_random_links(tmp_path_factory, found, target, fixed):
    folder = tmp_path_factory.mktemp("random")
    write_files(folder)
    layout = SdkLayout(target)
    for i, (size, (at, edge), (to, end)) in enumerate(found):
        s = region(layout, f"s{i}", str(folder / "send.csl"), size, at, edge)
        r = region(layout, f"r{i}", str(folder / "receive.csl"), size, to, end)
        tx, rx = (Color(f"tx{i}", i + 3) if fixed else s.color("tx")), r.color("rx")
        s.set_param_all("tx", tx)
        r.set_param_all("rx", rx)
        for k, (x, y) in enumerate(edge.pes(s.width, s.height)):
            s.set_param(IntVector(x, y), "first", 1000 * i + 100 * k)
        layout.connect(s.create_output_port(tx, edge, [IN], N), r.create_input_port(rx, end, [OUT], N))
    try:
        artifacts = layout.compile(str(folder / "out"))
    except MeshlangError as error:
        # wide ports may block themselves; a single PE can be enclosed by the regions around it only where nothing
        # crosses: never
        assert error.diagnostics[0].code == "MS0962" and any(size > 1 for size, *_ in found)
        assume(False)
    runtime = SdkRuntime(artifacts, layout.platform)
    runtime.load()
    runtime.run()
    runtime.stop()
    for i, (size, _, (to, end)) in enumerate(found):
        w, h = (size, 1) if end in (Edge.TOP, Edge.BOTTOM) else (1, size)
        for k, (x, y) in enumerate(end.pes(w, h)):
            words = runtime.read_symbol(to[0] + x, to[1] + y, "got", np.uint32)
            assert words.tolist() == [1000 * i + 100 * k + j for j in range(N)]
    assert runtime._session.machine.stats()["delivered"] == N * sum(size for size, *_ in found)
