"""trace and profile in the REPL: the past, recorded by a replay that leaves the session as it is."""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np
import pytest

from meshlang.fabric import snapshot
from meshlang.fabric.machine import Machine
from meshlang.fabric.recording import TraceOptions
from meshlang.inspect.repl import Repl

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture()
def repl(monkeypatch):
    monkeypatch.chdir(ROOT)
    repl = Repl(io.StringIO())
    assert repl.execute("load programs/meshgemv P=4")
    for line in ("write x 1", "write W 0.5", "launch run 1"):
        assert repl.execute(line)
    return repl


def said(repl: Repl, line: str) -> str:
    repl.out.seek(0)
    repl.out.truncate()
    repl.execute(line)
    return repl.out.getvalue()


def csv(path: Path) -> list[str]:
    return path.read_text().splitlines()


def test_a_trace_is_that_of_a_traced_run(repl, tmp_path):
    assert repl.execute("run")
    before = snapshot.digest(repl.debugger.machine)
    replayed = repl.debugger.replay(TraceOptions())
    assert snapshot.digest(repl.debugger.machine) == before and repl.debugger.cycle == replayed.cycle
    # the same commands, given to a machine that records from its beginning
    direct = Machine(repl.debugger.program, trace=TraceOptions())
    kept = repl.debugger.machine, repl.debugger.memory
    repl.debugger.machine, repl.debugger.memory = direct, type(kept[1])(repl.debugger.program, direct)
    for action in repl.debugger.actions:
        action.apply()
    repl.debugger.machine, repl.debugger.memory = kept
    direct.run("commands")
    events, wanted = replayed.recorder.events, direct.recorder.events
    # a run to the end of the command stops in the middle of its last cycle, a replay after it
    assert len(wanted) > 500 and np.array_equal(events[: len(wanted)], wanted)
    assert (events["cycle"][len(wanted) :] >= direct.cycle).all()
    assert said(repl, f"trace {tmp_path}/all.csv") == f"{len(events):,} events in {tmp_path}/all.csv\n"
    assert len(csv(tmp_path / "all.csv")) == len(events) + 1


def test_filters(repl, tmp_path):
    repl.execute("run")
    said(repl, f"trace {tmp_path}/some.csv 220:320 events=wavelet colors=3 @ 1:3,0")
    head, *rows = csv(tmp_path / "some.csv")
    columns = head.split(",")
    cycles = [int(r.split(",")[columns.index("cycle")]) for r in rows]
    assert rows and 220 <= min(cycles) and max(cycles) < 320
    assert {r.split(",")[columns.index("color")] for r in rows} == {"3"}
    text = said(repl, "profile 160:270 top=1 @ 0,0")
    assert (
        "1 PEs, cycles 160 to 270" in text and "busy  of time  waited  PE" in text and re.search(r"and \d more", text)
    )


def test_after_going_back_and_restoring(repl, tmp_path):
    """Only the past is recorded, and a restored fabric has its past from there on."""
    repl.execute("run")
    end = repl.debugger.cycle
    repl.execute("goto 200")
    # scalar code runs ahead of the clock
    assert repl.debugger.replay(TraceOptions()).recorder.events["cycle"].max() < 250
    repl.execute(f"save {tmp_path}/fabric.npz")
    repl.execute(f"restore {tmp_path}/fabric.npz")
    repl.execute("run")
    assert repl.debugger.cycle == end
    replayed = repl.debugger.replay(TraceOptions())
    assert 199 <= replayed.recorder.events["cycle"].min() and replayed.cycle == end
    assert np.array_equal(replayed.memory, repl.debugger.machine.memory)


def test_up_to_a_fault(monkeypatch, tmp_path):
    """The replay runs into the fault that ended the session's run, and the trace shows what came before."""
    monkeypatch.chdir(ROOT)
    (tmp_path / "layout.csl").write_text("""
const memcpy = @import_module("<memcpy/get_params>", .{ .width = 1, .height = 1 });
layout {
  @set_rectangle(1, 1);
  @set_tile_code(0, 0, "pe.csl", .{ .memcpy_params = memcpy.get_params(0) });
  @export_name("main", fn()void);
}
""")
    (tmp_path / "pe.csl").write_text("""
param memcpy_params;
const sys = @import_module("<memcpy/memcpy>", memcpy_params);
fn main() void { sys.unblock_cmd_stream(); @assert(memory == 1); }
var memory: i16 = 0;
comptime { @export_symbol(main); }
""")
    repl = Repl(io.StringIO())
    repl.execute(f"load {tmp_path}")
    repl.execute("launch main")
    assert not (repl.execute("run") and repl.execute("run"))
    assert "function" in said(repl, "profile") and "MS0807" not in repl.out.getvalue()
    assert "main" in repl.out.getvalue()


@pytest.mark.parametrize(
    "line, words",
    [
        ("trace", "trace needs the name of one file"),
        ("trace a.csv b.csv", "what is 'b.csv'?"),
        ("trace x.doc", "no trace format has the ending"),
        ("trace x.csv events=nothing", "there are no events 'nothing'"),
        ("trace x.csv 9:3", "expected a range of cycles"),
        ("trace 'x.csv", "the line is incomplete"),
        ("trace nowhere/x.csv", "cannot write nowhere/x.csv"),
        ("trace x.csv @ 9,9", "outside: the rectangle has columns 0 to 3"),
        ("profile all", "what is 'all'?"),
        ("profile top=no", "a number of rows"),
    ],
)
def test_mistakes(repl, line, words):
    assert words in said(repl, line) and repl.failed[-1] == line
