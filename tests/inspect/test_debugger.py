"""Time: going back equals a fresh run, breakpoints are exact and leave no trace, errors leave the fabric as it
stood."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import numpy as np
import pytest

from meshlang import MeshlangError
from meshlang.fabric import snapshot
from meshlang.host.build import build
from meshlang.inspect import arguments
from meshlang.inspect import debugger as module
from meshlang.inspect.debugger import Debugger

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def gemv():
    return build(str(ROOT / "programs/meshgemv/layout.csl"), params={"P": 4, "Mt": 4, "Nt": 4, "groups": 2})


@pytest.fixture(scope="module")
def hello():
    return build(str(ROOT / "programs/hello/layout.csl"))


def started(program, repeat: int = 3) -> Debugger:
    d = Debugger(program)
    for name, value in (("x", 0.5), ("W", 0.25)):
        n = 4 if name == "x" else 16
        d.write(name, (0, 0, 4, 4), np.full((4, 4, n), value, np.float16).view(np.uint8).reshape(4, 4, -1))
    d.launch("run", (repeat,))
    return d


def at(program, cycle: int) -> str:
    """The state of a fresh machine at a cycle."""
    d = started(program)
    snapshot.advance_to(d.machine, cycle)
    return snapshot.digest(d.machine)


def test_back_and_goto_equal_a_fresh_run(gemv):
    d = started(gemv)
    assert d.run().reason == "done"
    end = d.cycle
    for cycle in (end - 1, 370, 250, 251, 1, 300, 120):
        d.goto(cycle)
        assert d.cycle == cycle
        assert snapshot.digest(d.machine) == at(gemv, cycle), cycle
    assert d.run().cycle == end


def test_many_small_steps_equal_one_run(gemv):
    d = started(gemv)
    while d.cycle < 300:
        d.run(limit=7, stop_when_done=False)
    d.goto(300)
    assert snapshot.digest(d.machine) == at(gemv, 300)


def test_commands_are_replayed_and_a_new_one_makes_another_future(gemv):
    d = started(gemv, 1)
    first = d.run().cycle
    d.launch("run", (1,))
    second = d.run().cycle
    assert second > first
    whole = snapshot.digest(d.machine)
    d.goto(first - 50)
    assert d.applied == 3 and len(d.actions) == 4
    assert d.run().cycle == first  # stops where the first launch is done ...
    assert d.run().cycle == second  # ... and the second is repeated
    assert snapshot.digest(d.machine) == whole
    d.goto(first)
    assert d.applied == 4  # commands of a cycle have been given when it is shown
    d.goto(first - 1)
    d.run()
    d.poke("poke", 0, 0, 20, np.zeros(2, np.uint8))
    assert [a.text for a in d.actions][-1] == "poke" and len(d.actions) == 4


def test_checkpoints_are_thinned(gemv, monkeypatch):
    monkeypatch.setattr(module, "CHECKPOINT_BYTES", 1)
    d = started(gemv)
    for _ in range(60):
        d.run(limit=5, stop_when_done=False)
    assert len(d.checkpoints) < 20
    d.goto(77)
    assert snapshot.digest(d.machine) == at(gemv, 77)


def test_breakpoints_leave_no_trace(gemv):
    plain = started(gemv)
    end = plain.run().cycle
    whole = snapshot.digest(plain.machine)
    d = started(gemv)
    code = d.machine.state.C.copy()
    d.add_break(arguments.condition(d.machine, "pe.csl:42 @ 2,2"))
    stops = []
    while (outcome := d.run()).reason == "condition":
        assert outcome.text.startswith("PE 2,2 reaches pe.csl:42")
        stops.append(outcome.cycle)
        assert np.array_equal(d.machine.state.C, code)
    assert len(stops) == 3 == len(set(stops))  # three repetitions
    assert outcome.reason == "done" and d.cycle == end
    assert snapshot.digest(d.machine) == whole


def test_a_line_is_shown_before_it_is_executed(hello):
    d = Debugger(hello)
    d.launch("main")
    d.add_break(arguments.condition(d.machine, "line right.csl:23"))
    outcome = d.run()
    assert "PE 1,0 reaches right.csl:23" in outcome.text
    assert "in unblock_cmd_stream, called at right.csl:23" in outcome.text  # which has been expanded there
    assert d.machine.pes["cmdopen"][1] == 1  # line 23 unblocks the command stream
    assert [line.text for line in d.output.lines][-1].startswith("hello from the right")  # and line 22 is done
    assert d.run().reason == "done"
    assert len(d.output.lines) == 2  # nothing is printed twice


def test_what_holds_already_stops_nothing(hello):
    """`until` waits for a condition to become true: one that is true from the start must have been false before."""
    d = Debugger(hello)
    d.launch("main")
    first = arguments.condition(d.machine, "data[0] == 0.0 @ 1,0")
    assert d.run(until=[first]).reason == "done"
    d.goto(1)
    outcome = d.run(until=[arguments.condition(d.machine, "data[0] != 0.0 @ 1,0")])
    assert outcome.reason == "condition"
    again = d.run(until=[arguments.condition(d.machine, "data[0] != 0.0 @ 1,0")])
    assert again.reason == "done" and again.cycle > outcome.cycle


def test_task_and_wavelet(hello):
    d = Debugger(hello)
    d.launch("main")
    outcome = d.run(until=[arguments.condition(d.machine, "wavelet 0 @ 1,0")])
    first = outcome.cycle
    assert outcome.reason == "condition"
    channel = d.machine.state.channels[0][1]
    assert int(d.machine.state.buffer(channel)["push"]) == first - 1
    d.goto(first - 1)
    assert int(d.machine.state.buffer(channel)["push"]) == 0
    assert d.run(until=[arguments.condition(d.machine, "task done @ 0,0")]).text.startswith("PE 0,0 starts done")
    d.goto(first - 1)  # the elements have not come yet: a condition that holds already stops nothing
    assert d.run(until=[arguments.condition(d.machine, "data[0] == 2.0 and data[1] == 4.0 @ 1,0")]).text.endswith(
        "is true on PE 1,0"
    )


def test_a_fault_leaves_the_fabric_to_look_at(tmp_path):
    (tmp_path / "layout.csl").write_text("""
const memcpy = @import_module("<memcpy/get_params>", .{ .width = 1, .height = 1 });
layout { @set_rectangle(1, 1); @set_tile_code(0, 0, "pe.csl", .{ .memcpy_params = memcpy.get_params(0) }); @export_name("main", fn()void); }
""")
    (tmp_path / "pe.csl").write_text("""
param memcpy_params;
const sys = @import_module("<memcpy/memcpy>", memcpy_params);
var n: i16 = 0;
var x: i16 = 7;
fn main() void { x = 8; x = x / n; sys.unblock_cmd_stream(); }
comptime { @export_symbol(main); }
""")
    d = Debugger(build(str(tmp_path / "layout.csl")))
    d.launch("main")
    with pytest.raises(MeshlangError, match="MS0804"):
        d.run()
    from meshlang.inspect.expressions import evaluate, parse

    assert evaluate(d.machine, 0, 0, parse("x")) == 8
    for act in (d.run, lambda: d.launch("main"), lambda: d.step_one(lambda: False)):
        with pytest.raises(MeshlangError, match="a fault has stopped the fabric"):
            act()
    d.goto(d.cycle - 1)
    assert evaluate(d.machine, 0, 0, parse("x")) == 7
    with pytest.raises(MeshlangError, match="MS0804"):
        d.run()


def test_interrupt(gemv):
    import os
    import signal

    d = started(gemv, 60_000)
    threading.Timer(0.5, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
    began = time.monotonic()
    outcome = d.run()
    assert outcome.reason == "interrupted" and time.monotonic() - began < 5
    here = d.cycle
    d.goto(here - 3)
    d.goto(here)
    assert d.run(limit=10, stop_when_done=False).cycle == here + 10


def test_save_and_restore(gemv, hello, tmp_path):
    d = started(gemv)
    d.run(limit=200, stop_when_done=False)
    snapshot.save(tmp_path / "a.npz", d.machine)
    here = snapshot.digest(d.machine)
    other = Debugger(gemv)
    snapshot.restore(tmp_path / "a.npz", other.machine)
    other.restart_history()
    assert snapshot.digest(other.machine) == here
    assert other.run().cycle == d.run().cycle
    with pytest.raises(MeshlangError, match="MS0942"):
        snapshot.restore(tmp_path / "a.npz", Debugger(hello).machine)
    (tmp_path / "b.npz").write_text("nothing")
    with pytest.raises(MeshlangError, match="MS0942"):
        snapshot.restore(tmp_path / "b.npz", d.machine)


def test_continuing_from_a_breakpoint_into_a_deadlock():
    """The breakpoint lies on a call: the return finds its caller's frame although the call is a trap meanwhile."""
    d = Debugger(build(str(ROOT / "programs/short_send/layout.csl")))
    d.launch("main")
    d.add_break(arguments.condition(d.machine, "task on_sent"))
    assert d.run().reason == "condition"
    with pytest.raises(MeshlangError) as caught:
        d.run()
    assert caught.value.exit_code == 3
    fresh = Debugger(build(str(ROOT / "programs/short_send/layout.csl")))
    fresh.launch("main")
    with pytest.raises(MeshlangError):
        fresh.run()
    assert snapshot.digest(d.machine) == snapshot.digest(fresh.machine)
