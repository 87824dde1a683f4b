"""Recording: a traced run is the same run; filters; the buffer; both modes of the engine."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from two_pes import MAIN, layout

from meshlang.diag import MeshlangError
from meshlang.fabric.engine import state as s
from meshlang.fabric.machine import Machine
from meshlang.fabric.recording import EVENT, GROUPS, KINDS, TraceOptions
from meshlang.fabric.recording.flight import FlightEntry, flight, flight_notes
from meshlang.host.build import build
from meshlang.ir.isa import Op

ROOT = Path(__file__).resolve().parents[2]
ALL = tuple(GROUPS)
DUMP = """
import sys
from meshlang.fabric.machine import Machine
from meshlang.fabric.recording import GROUPS, TraceOptions
from meshlang.host.build import build
m = Machine(build(sys.argv[1], arch=sys.argv[2]), trace=TraceOptions(groups=tuple(GROUPS)))
m.launch("main"); m.run("commands"); m.run()
sys.stdout.write("\\n".join(str(e.tolist()) for e in m.recorder.events))
"""


@pytest.fixture(scope="module")
def program():
    return build(str(ROOT / "programs/meshgemm/layout.csl"), arch="wse2", params={"P": 4, "Mt": 2, "Kt": 2, "Nt": 2})


def run(program, options=None, room=None, express=True):
    m = Machine(program, trace=options)
    if not express:
        m.step_by_step()
    if room is not None:
        m.state.W[s.Globals.eventcap] = s.EVENT_ROOM + room
    m.launch("run", (2,))
    m.run("commands")
    m.run()
    return m


def kinds(events):
    return {KINDS[k]: int((events["kind"] == k).sum()) for k in np.unique(events["kind"])}


@pytest.fixture(scope="module")
def traced(program):
    return run(program, TraceOptions(groups=ALL))


def test_the_run_is_the_same(program, traced):
    plain = run(program, express=False)
    assert traced.cycle == plain.cycle == run(program).cycle
    assert np.array_equal(traced.state.U, plain.state.U)
    assert np.array_equal(traced.state.M8, plain.state.M8)
    mine, other = traced.stats(), plain.stats()
    for name, value in other.items():
        assert np.array_equal(mine[name], value), name
    assert flight(traced) == flight(plain)


def test_operations_name_the_color_and_queue_of_their_wavelets(traced):
    """What a microthread sends or takes goes by the color and the queue that its operation was recorded with."""
    events = traced.recorder.events

    def places(*kinds):
        chosen = events[np.isin(events["kind"], [KINDS.index(k) for k in kinds]) & (events["thread"] < 8)]
        return {tuple(e.tolist()) for e in chosen[["pe", "thread", "color", "queue"]]}

    assert len(places("issue")) > 16
    assert places("issue") == places("done") == places("send", "take")


def test_events_stand_at_their_instruction(traced):
    """Operations of the main thread and of microthreads at the vector operation that they are of; tasks at a function's entry."""
    events, code = traced.recorder.events, traced.state.C.reshape(-1, 4)
    operations = events[np.isin(events["kind"], [KINDS.index(k) for k in ("op", "issue", "done")])]
    at = code[operations["pc"], 0] & 255
    assert len(np.unique(operations["pc"])) > 20 and (at == Op.DSDOP).all()
    entries = {
        traced.state.code_base[t] + f.entry for t, tile in enumerate(traced.program.tiles) for f in tile.functions
    }
    assert set(events["pc"][events["kind"] == KINDS.index("task")].tolist()) <= entries


def test_flight_recorder(program, traced):
    """The last task starts and completed operations, as the events have them; in express mode as well."""
    entries = flight(traced)
    assert len(entries) == 256
    expected = traced.recorder.events[
        np.isin(traced.recorder.events["kind"], [KINDS.index("task"), KINDS.index("done")])
    ]
    known = {(int(e["cycle"]), KINDS[e["kind"]], int(e["pe"]), int(e["pc"]), int(e["task"])) for e in expected}
    assert all((e.cycle, e.kind, e.pe, e.pc, e.task) in known for e in entries)
    assert {(e.pe, e.kind, e.pc) for e in flight(run(program))} == {(e.pe, e.kind, e.pc) for e in entries}


def test_a_fault_shows_the_flight_recorder(tmp_path):
    (tmp_path / "layout.csl").write_text("""layout {
  @set_rectangle(1, 1);
  @set_tile_code(0, 0, "pe.csl");
  @export_name("main", fn()void);
}
""")
    (tmp_path / "pe.csl").write_text("""var n: i16 = 0;
const later = @get_local_task_id(9);
fn main() void { @activate(later); }
task divide() void { n = @as(i16, 7) / n; }
comptime { @bind_local_task(divide, later); @export_symbol(main); }
""")
    m = Machine(build(str(tmp_path / "layout.csl")))
    m.launch("main")
    with pytest.raises(MeshlangError) as error:
        m.run()
    (note,) = [n for n in error.value.diagnostics[0].notes if n.startswith("what this PE did last")]
    assert "function main starts" in note and "local task divide (id 9) starts" in note


@pytest.mark.parametrize(("own", "others"), [(0, 0), (2, 1), (6, 3), (7, 4), (20, 9)])
def test_the_last_things_before_a_fault(program, monkeypatch, own, others):
    """Six of the PE at fault, three of others, those that came last."""
    entries = [FlightEntry(cycle, "task", 0 if cycle <= own else 5, 0, 9) for cycle in range(1, own + others + 1)]
    monkeypatch.setattr("meshlang.fabric.recording.flight.flight", lambda _: entries)
    notes = flight_notes(Machine(program), 0, lambda machine, tile, task: "work")
    told = [[int(c) for c in re.findall(r"cycle (\d+): work starts", note)] for note in notes]
    every = list(range(1, own + 1)), list(range(own + 1, own + others + 1))
    assert told == [found for found in (every[0][-6:], every[1][-3:]) if found]
    assert all(note.count("PE (1, 1)") == min(others, 3) for note in notes if note.startswith("what others"))


def test_counts_agree_with_the_counters(traced):
    found = kinds(traced.recorder.events)
    stats = traced.stats()
    assert found["task"] == found["end"] == stats["tasks"]
    # the engine counts an instruction put off twice
    assert 0.9 * stats["instructions"] < found["inst"] <= stats["instructions"]
    assert found["send"] == found["enter"] == stats["wavelets_sent"] > 0
    assert found["take"] == stats["wavelets_received"]
    moves = traced.recorder.events[traced.recorder.events["kind"] == KINDS.index("move")]
    sides = moves["extra"] >> 8
    assert sum(int((sides >> d & 1).sum()) for d in range(4)) == stats["hops"]
    assert int((sides >> 4 & 1).sum()) == stats["delivered"]
    assert found["issue"] == found["done"] > 0
    assert (np.diff(traced.recorder.events["cycle"]) >= 0).all()


def test_a_small_buffer_changes_nothing(program, traced):
    """The loop stops in the middle of a cycle, again and again."""
    m = run(program, TraceOptions(groups=ALL), room=3)
    assert m.recorder.lost == 0 and m.cycle == traced.cycle
    assert np.array_equal(m.recorder.events, traced.recorder.events)
    assert m.stats()["steps"] == traced.stats()["steps"]


def test_filters(program, traced):
    every = traced.recorder.events
    pes = {1 * 4 + 2, 2 * 4 + 2}
    m = run(program, TraceOptions(pes=((2, 3, 1, 3),), groups=("task", "op")))
    expected = every[
        np.isin(every["pe"], list(pes))
        & np.isin(every["kind"], [KINDS.index(k) for g in ("task", "op") for k in GROUPS[g]])
    ]
    assert len(expected) and np.array_equal(m.recorder.events, expected)

    color = int(every["color"][every["kind"] == KINDS.index("send")][0])
    m = run(program, TraceOptions(colors=frozenset({color}), groups=("wavelet", "task")))
    got = m.recorder.events
    expected = every[
        np.isin(every["kind"], [KINDS.index(k) for g in ("task", "wavelet") for k in GROUPS[g]])
        & ((every["color"] == color) | (every["color"] == 255))
    ]
    assert np.array_equal(got, expected)


def test_cycle_range(program, traced):
    every = traced.recorder.events
    moves = every["cycle"][every["kind"] == KINDS.index("move")]
    middle = int(moves[len(moves) // 2])  # wavelets are on their way
    m = run(program, TraceOptions(cycles=(middle, middle + 50), groups=ALL))
    assert np.array_equal(m.recorder.events, every[(every["cycle"] >= middle) & (every["cycle"] < middle + 50)])
    assert m.recorder.start.cycle == middle and not m.recorder.active
    assert sum(m.recorder.start.channels.values()) > 0


def test_limit(program):
    m = run(program, TraceOptions(groups=ALL, limit=500), room=10)
    assert m.recorder.full_at is not None and m.recorder.full_at < m.cycle and len(m.recorder.events) >= 500


@pytest.mark.parametrize("arch", ["wse2", "wse3"])
def test_both_modes_record_the_same(arch):
    path = str(ROOT / "programs/hello/layout.csl")
    out = []
    for env in ({}, {"NUMBA_DISABLE_JIT": "1"}):
        done = subprocess.run(
            [sys.executable, "-c", DUMP, path, arch],
            env={**os.environ, **env},
            capture_output=True,
            text=True,
            check=True,
        )
        out.append(done.stdout)
    assert out[0] == out[1] and len(out[0].splitlines()) > 30


def test_layout_of_the_record():
    assert EVENT.itemsize == 32 and EVENT.names[:2] == ("cycle", "pe")


ELEMENT_PE = """param memcpy_params;
param link: color;
param sends: bool;
const sys = @import_module("<memcpy/memcpy>", memcpy_params);
var x = @zeros([2]f32);
var n: i32 = 0;
const x_dsd = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{2} -> x[i] });
const in = @get_dsd(fabin_dsd, .{ .extent = 2, .fabric_color = link, .input_queue = @get_input_queue(2) });
const out = @get_dsd(fabout_dsd, .{ .extent = 2, .fabric_color = link, .output_queue = @get_output_queue(2) });
fn twice(a: f32) f32 { return a * 2.0; }
fn main() void {
  if (sends) { for (@range(i32, 50)) |i| { n += i * n; } @fmovs(out, x_dsd); } else { @map(twice, in, x_dsd); }
  sys.unblock_cmd_stream();
}
comptime {
  if (!sends) { @initialize_queue(@get_input_queue(2), .{ .color = link }); }
  @export_symbol(main);
}
"""


def test_waiting_for_an_element_takes_time(tmp_path):
    """A task that waits for an element goes on when the element is there, not when it began to wait."""
    (tmp_path / "layout.csl").write_text(layout(MAIN))
    (tmp_path / "pe.csl").write_text(ELEMENT_PE)
    m = Machine(build(str(tmp_path / "layout.csl")), trace=TraceOptions(groups=ALL))
    m.launch("main")
    m.run("commands")
    m.run()
    mine = m.recorder.events[m.recorder.events["pe"] == 1]
    took = mine["cycle"][mine["kind"] == KINDS.index("take")]
    (waited,) = mine[(mine["kind"] == KINDS.index("go")) & (mine["value"] > 50)]
    assert waited["cycle"] == took[0] and len(took) == 2
    (end,) = mine[mine["kind"] == KINDS.index("end")]
    assert end["cycle"] > took[-1] and end["extra"] > waited["value"]
    assert m.stats()["busy"][0, 1] == end["extra"]


def test_which_pes_are_traced(program):
    """Rectangles are half open; several are joined; one that begins outside of the program is refused."""
    m = Machine(program, trace=TraceOptions(pes=((0, 2, 1, 2), (3, 9, 3, 9))))
    expected = np.zeros((4, 4), bool)
    expected[1, :2] = expected[3, 3] = True
    assert np.array_equal(m.recorder.mask, expected)
    words = m.state.W[m.state.W[s.Globals.eventpes] :][:1].view(np.uint64)
    assert int(words[0]) == sum(1 << pe for pe in np.flatnonzero(expected))
    assert Machine(program, trace=TraceOptions()).recorder.mask.all()
    for pes in ((4, 5, 0, 1), (0, 1, 4, 5)):
        with pytest.raises(MeshlangError, match=r"MS1001.*4 x 4 PEs") as error:
            Machine(program, trace=TraceOptions(pes=(pes,)))
        assert error.value.exit_code == 2
    assert Machine(program, trace=TraceOptions(pes=((3, 4, 3, 4),))).recorder.mask.sum() == 1


def test_a_sink_gets_all_and_what_is_kept_ends_at_the_limit(program, traced):
    every = traced.recorder.events
    assert traced.recorder.count == len(every) and traced.recorder.lost == 0 and traced.recorder.full_at is None
    batches = []

    def recorded(keeps, limit):
        batches.clear()
        m = Machine(program, trace=TraceOptions(groups=ALL, limit=limit))
        m.recorder.sink, m.recorder.keeps = lambda batch: batches.append(batch.copy()), keeps
        m.state.W[s.Globals.eventcap] = s.EVENT_ROOM + 10
        m.launch("run", (2,))
        m.run("commands")
        m.run()
        assert np.array_equal(np.sort(np.concatenate(batches), order=EVENT.names), np.sort(every, order=EVENT.names))
        return m.recorder

    r = recorded(False, 500)
    assert r.count == len(every) and len(r.events) == 0 and r.full_at is None
    r = recorded(True, 500)
    assert 500 <= len(r.events) < len(every) and r.full_at <= every["cycle"][600] and not r.keeps and r.active
    r = recorded(True, len(every) + 1)
    assert np.array_equal(r.events, every) and r.full_at is None and r.keeps


def test_a_recording_that_was_stopped(program, traced):
    """What was there is kept, nothing comes any more, the run goes on the same."""
    m = Machine(program, trace=TraceOptions(groups=ALL))
    m.launch("run", (2,))
    m.run(max_cycles=300)
    assert m.recording and m.recorder.active
    m.recorder.stop()
    kept = len(m.recorder.events)
    assert kept > 0 and not m.recording and not m.recorder.active and m.state.W[s.Globals.eventkinds] == 0
    m.run("commands")
    m.run()
    m.recorder.stop()
    assert len(m.recorder.events) == m.recorder.count == kept and m.cycle == traced.cycle
    mine, every = m.recorder.events, traced.recorder.events
    assert np.array_equal(mine[mine["cycle"] < 300], every[every["cycle"] < 300]) and mine["cycle"].max() < 400


@pytest.mark.parametrize("middle", [226, 228, 230, 232])
def test_what_was_under_way_when_recording_began(program, middle):
    """Wavelets in the routers of the traced PEs and of those beside them, in their queues, and running tasks: as the
    machine has them in the cycle before."""
    before = Machine(program)
    before.step_by_step()
    before.launch("run", (2,))
    before.run(max_cycles=middle - before.cycle)
    first = middle + 1
    m = Machine(program, trace=TraceOptions(cycles=(first, first + 1), pes=((1, 3, 1, 2),), groups=ALL))
    m.launch("run", (2,))
    m.run("commands")
    m.run()
    start = m.recorder.start
    traced = {5, 6}
    beside = traced | {4, 7, 1, 2, 9, 10}
    st, counts = before.state, s.ChannelState.count
    channels = {}
    for color, grid in st.channels.items():
        for pe in range(16):
            n = int(counts.get(st.buffer(grid[pe : pe + 1])["state"])[0]) if grid[pe] >= 0 else 0
            if n and pe in beside:
                channels[pe, color] = n
    queues = [
        {(pe, int(q["id"])): int(q["count"]) for pe in sorted(traced) for q in st.queues(pe, output) if q["count"]}
        for output in (False, True)
    ]
    tasks = {
        pe: (int(before.pes["task"][pe]), int(before.pes["busyfrom"][pe]))
        for pe in sorted(traced)
        if before.pes["st"][pe] != s.ST_IDLE
    }
    assert start.cycle == first
    assert (start.channels, start.inputs, start.outputs, start.tasks) == (channels, *queues, tasks)
    assert tasks and (channels or queues[0] or queues[1])


def test_lost_events_are_counted_once(program):
    """Each time the machine's buffer is emptied, whether there are events in it or not."""
    m = Machine(program, trace=TraceOptions())
    for lost, so_far in ((3, 3), (0, 3), (2, 5)):
        m.state.W[s.Globals.eventslost] = lost
        m.recorder.drain()
        assert m.recorder.lost == so_far and m.state.W[s.Globals.eventslost] == 0
