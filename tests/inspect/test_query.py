"""Queries: the numbers they give, and that they change nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from meshlang.fabric import snapshot
from meshlang.fabric.waiting import Cause
from meshlang.host.build import build
from meshlang.inspect import arguments, names, query, routes, values
from meshlang.inspect.debugger import Debugger
from meshlang.inspect.why import explain

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module", params=["wse2", "wse3"])
def debugger(request):
    """programs/hello while wavelets are on their way."""
    d = Debugger(build(str(ROOT / "programs/hello/layout.csl"), arch=request.param))
    d.launch("main")
    d.run(until=[arguments.condition(d.machine, "wavelet 0 @ 1,0")])
    return d


def test_nothing_is_changed(debugger):
    m = debugger.machine
    before = [a.copy() for a in (m.state.W, m.state.U, m.state.T, m.state.M8)]
    for x in (0, 1):
        query.pe_view(m, x, 0)
        query.queues(m, x, 0)
        query.dsrs(m, x, 0)
        query.channel(m, 0, x, 0)
        for o in names.variables(names.tile_of(m, x)):
            values.object_value(m, x, o)
    explain(m)
    routes.upstream(m, 0, (1, 0))
    query.busy_cycles(m)
    for array, old in zip((m.state.W, m.state.U, m.state.T, m.state.M8), before):
        assert np.array_equal(array, old)


def test_every_wavelet_is_somewhere(debugger):
    m = debugger.machine
    found = []
    for x in (0, 1):
        found += query.channel(m, 0, x, 0).contents
        for q in query.queues(m, x, 0):
            found += q.contents
    sent = sorted(np.uint32(w.value).view(np.float32) for w in found)
    held = query.operations(m, 0)
    assert sent == [1.0, 2.0, 3.0, 4.0][: len(sent)] and len(sent) >= 1
    assert all(op.wait.operation == "fmovs" and op.wait.total == 4 for op in held)


def test_operation(debugger):
    (op,) = query.operations(debugger.machine, 1)
    assert (op.wait.thread is not None, op.wait.operation, op.wait.done, op.wait.total) == (True, "fmuls", 0, 4)
    assert op.wait.cause is Cause.EMPTY_QUEUE and op.wait.color == 0 and 0 < op.wait.since < debugger.machine.cycle
    assert [o.role for o in op.operands] == ["destination", "source 1", "source 2"]
    assert op.operands[0].text == "memory, next data[0]" and op.operands[1].color == 0
    assert names.place(op.span) == "right.csl:18"


def test_pe(debugger):
    view = query.pe_view(debugger.machine, 1, 0)
    assert view.tile == "right.csl" and view.command == "open" and view.received == 0


def test_routes(debugger):
    m = debugger.machine
    assert routes.upstream(m, 0, (1, 0)).ends == [(0, 0)]
    assert routes.downstream(m, 0, (0, 0)).ends == [(1, 0)]
    assert routes.breaks(m, 0, [(0, 0), (1, 0)]) == []


def test_values():
    assert values.shape_and_element("[2, 3]f16") == ((2, 3), "f16")
    assert values.shape_and_element("[*]f32") == ((), "[*]f32")
    assert values.scalar_text(np.float32(0.1)) == "0.1" and values.scalar_text(np.float16(-0.5)) == "-0.5"
    assert values.scalar_text(1e30) == "1e+30" and values.scalar_text(True) == "true"
    assert values.array_text(np.arange(3)) == "[0 1 2]"
    assert values.array_text(np.arange(6.0).reshape(2, 3)) == "[0.0 1.0 2.0; 3.0 4.0 5.0]"
    assert values.array_text(np.arange(100), 8).endswith("96 97 98 99] (100 elements)")


def test_places():
    assert query.places([(1, 2)]) == "PE 1,2"
    assert query.places([(x, y) for x in range(2, 4) for y in range(3)]) == "6 PEs 2:4,0:3"
    assert query.places([(0, 0), (2, 2)]) == "2 PEs 0,0 2,2"


def test_regions(debugger):
    m = debugger.machine
    assert arguments.region(m, "all") == (0, 0, 2, 1) == arguments.region(m, ":,:") == arguments.region(m, "0:2, 0")
    assert arguments.region(m, "1:,0") == (1, 0, 1, 1)
    assert arguments.split_place("a[1] + 2 @ 0:1,:") == ("a[1] + 2", "0:1,:")


def test_digest_tells_states_apart(debugger):
    m = debugger.machine
    before = snapshot.digest(m)
    shot = snapshot.take(m)
    m.state.M8[40] ^= 1
    assert snapshot.digest(m) != before
    snapshot.put(m, shot)
    assert snapshot.digest(m) == before
