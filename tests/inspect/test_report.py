"""`meshlang report`: its numbers against the machine's own counters and a slow reference, and its text.

Run pytest with MESHLANG_UPDATE_GOLDEN=1 to write the golden texts anew; read the difference before committing it.
"""

from __future__ import annotations

import itertools
import json
import math
import os
import re
import subprocess
import sys
from collections import defaultdict, deque
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import meshlang
from meshlang.cli import main
from meshlang.fabric.engine import state as s
from meshlang.fabric.recording import KINDS
from meshlang.host.context import RunContext, set_context
from meshlang.host.script import run_script
from meshlang.inspect.report import Collector, counting, summarize
from meshlang.inspect.report.collect import SIDES
from meshlang.ir.dsdops import DSD_OPS, DsdOpCode
from meshlang.ir.words import OperationRow

sys.path[:0] = [str(Path(__file__).parent.parent / folder) for folder in ("support", "fabric")]
from host_programs import write_program  # noqa: E402
from switching import row  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = Path(__file__).parent / "golden"
PARTS = ("compute", "communication", "stalled", "idle", "done")


class Kept(Collector):
    """A collector that keeps the events too, for the reference."""

    def _take(self, batch):
        self.__dict__.setdefault("kept", []).append(batch.copy())
        super()._take(batch)


def collect(program, observed=True, kind=Collector, **params):
    """Run a program of programs/ and return its collectors (or, not observed, its sessions)."""
    collectors = []

    def observe(session):
        collectors.append(kind.of(session))

    arch = params.pop("arch", None)
    sessions = []
    folder = ROOT / "programs" / program
    set_context(
        RunContext(
            params={k: str(v) for k, v in params.items()},
            options={"arch": arch} if arch else {},
            active=True,
            folder=folder,
            sessions=sessions,
            observe=observe if observed else None,
        )
    )
    try:
        assert run_script(folder / "run.py") == 0
    finally:
        set_context(RunContext())
    for collector in collectors:
        collector.finish()
    return collectors if observed else sessions


def check(collector):
    """What must be true of every run."""
    machine = collector.session.machine
    code = collector._code.reshape(machine.height, machine.width)
    stats = machine.stats()
    assert sum(p.cycles for p in collector.phases) == machine.cycle
    for p in collector.phases:
        parts = [getattr(p, part) for part in PARTS]
        assert all((part >= 0).all() for part in parts), p.name
        assert (sum(parts) == np.where(code, p.cycles, 0)).all(), p.name
        assert (p.communication <= p.moving).all() and (p.moving <= p.cycles).all()
        assert sum(t.compute for t in p.tasks) == p.compute.sum()
        assert sum(t.waiting for t in p.tasks) <= (p.communication + p.stalled + p.moving).sum()
        assert p.chain[0] >= 0 and p.links.max() <= p.cycles
    assert sum(int(p.links.sum()) for p in collector.phases) == stats["hops"] == sum(c.hops for c in collector.colors)
    assert sum(t.starts for p in collector.phases for t in p.tasks) == stats["tasks"]
    assert sum(c.sent for c in collector.colors) == stats["wavelets_sent"]
    # the shadow holds a history for each wavelet that is still in a router or queue, and no other
    first, end = machine.state.channel_region
    held = collector._shadow[first:end].reshape(-1, s.Channel.WORDS)[:, s.Channel.config]
    assert (held == s.ChannelState.count.get(machine.state.buffers["state"])).all()


@pytest.mark.parametrize(
    ("program", "params"),
    [
        ("hello", {}),
        ("gemv", {"arch": "wse3"}),
        ("decoder", {}),
        ("meshgemm", {"P": 5, "cannon": True}),
        ("meshgemm", {"P": 4, "f32": True, "arch": "wse3"}),
        ("compare_gemm", {"sizes": "3,4"}),
    ],
)
def test_the_parts_add_up(program, params, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for collector in collect(program, **params):
        check(collector)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_the_parts_add_up_for_any_mesh(capsys, data):
    P = data.draw(st.integers(2, 9), "P")
    params = {
        "P": P,
        "M": data.draw(st.integers(1, 40), "M"),
        "N": data.draw(st.integers(1, 40), "N"),
        "arch": data.draw(st.sampled_from(("wse2", "wse3"))),
    }
    if data.draw(st.booleans(), "vector"):
        params |= {"groups": data.draw(st.integers(1, P)), "repeat": data.draw(st.integers(1, 3))}
        program = "meshgemv"
    else:
        params |= {"K": data.draw(st.integers(1, 40)), "cannon": data.draw(st.booleans())}
        program = "meshgemm"
    check(collect(program, **params)[0])


@pytest.mark.parametrize("arch", ["wse2", "wse3"])
def test_cycles_are_those_of_an_unobserved_run(arch, capsys):
    observed = collect("meshgemv", arch=arch)[0].session.machine
    plain = collect("meshgemv", observed=False, arch=arch)[0].machine
    assert observed.cycle == plain.cycle
    assert (observed.pes["busy"] == plain.pes["busy"]).all()


# ---------------------------------------------------------------- against a slow reference


def step_cycles(machine, pe, pc):
    """Cycles that the vector unit takes for a wavelet's elements."""
    tile = int(machine.state.tile_of[pe])
    program = machine.program.tiles[tile]
    row = np.asarray(program.code).reshape(-1, 4)[pc - machine.state.code_base[tile], 1]
    name = DsdOpCode(int(OperationRow.rows(program.dsd_ops)[row, OperationRow.code])).name.lower()
    elements = 1 if DSD_OPS[name].src[0] == "s" else 2
    return max(1, math.ceil(elements / machine.profile.get(f"dsd.width.{name}", 1)))


def reference(collector):
    """Compute, moving wavelets, and operations under way, cycle by cycle: bool [pe, cycle] each, from the events
    alone."""
    machine = collector.session.machine
    end = machine.cycle
    npe = machine.width * machine.height
    compute, moving, under_way = (np.zeros((npe, end + 400), bool) for _ in range(3))
    spans = defaultdict(list)
    running = {}
    ops = {}
    steps = {}
    for event in np.concatenate(collector.kept):
        pe, cycle, thread, kind = int(event["pe"]), int(event["cycle"]), int(event["thread"]), KINDS[event["kind"]]
        if kind == "task":
            running[pe] = cycle
        elif kind == "end":
            compute[pe, running.pop(pe) : cycle] = True
        elif kind == "issue":
            ops[pe, thread] = cycle
            steps[pe, thread] = step_cycles(machine, pe, int(event["pc"]))
        elif kind == "done":
            begun = ops.pop((pe, thread))
            under_way[pe, begun : cycle + 1] = True
            if thread == 0:
                spans[pe].append((begun, cycle + 1))
        elif kind in ("send", "take"):
            moving[pe, cycle : cycle + (steps[pe, thread] if (pe, thread) in ops else 1)] = True
    for pe, begun in running.items():
        compute[pe, begun:end] = True
    for (pe, _), begun in ops.items():
        under_way[pe, begun:end] = True
    for pe, waits in spans.items():
        for a, b in waits:
            compute[pe, a:b] = False
    return compute[:, :end], moving[:, :end], under_way[:, :end]


@pytest.mark.parametrize(
    ("program", "params"),
    [
        ("hello", {}),
        ("gemv", {}),
        ("meshgemv", {"P": 4, "arch": "wse3"}),
        ("meshgemv", {"P": 5, "repeat": 2}),
        ("meshgemm", {"P": 4}),
        ("decoder", {}),
    ],
)
def test_against_the_reference(program, params, capsys):
    collector = collect(program, kind=Kept, **params)[0]
    machine = collector.session.machine
    compute, moving, under_way = reference(collector)
    code = collector._code
    for p in collector.phases:
        window = slice(p.start, p.start + p.cycles)
        c, m, u = compute[:, window], moving[:, window], under_way[:, window]
        shape = machine.height, machine.width
        assert (p.compute.ravel() == c.sum(1)).all()
        assert (p.moving.ravel() == m.sum(1)).all()
        assert (p.communication.ravel() == (m & ~c).sum(1)).all()
        active = c | m | u
        last = np.where(active.any(1), p.cycles - active[:, ::-1].argmax(1), 0)
        assert (p.done == np.where(code, p.cycles - last, 0).reshape(shape)).all()
        assert (p.idle == np.where(code, last - active.sum(1), 0).reshape(shape)).all()


# ---------------------------------------------------------------- switches, streams, elements


def observed_row(folder, width, layout, pe, arch="wse3"):
    """A program on a row of PEs, run; its collector."""
    fabric = row(folder, width, layout, pe, arch)
    collector = Kept.of(fabric.session)
    with fabric:
        fabric.launch("main")
    collector.finish()
    check(collector)
    return collector


def test_switched_routes_are_counted_as_they_were(tmp_path):
    """Three wavelets: one ends at PE 1, one turns the switch there, one goes on to PE 2."""
    collector = observed_row(
        tmp_path,
        3,
        """
      @set_color_config(0, 0, c, .{ .routes = .{ .rx = .{RAMP}, .tx = .{EAST} } });
      @set_color_config(1, 0, c, .{ .routes = .{ .rx = .{WEST}, .tx = .{RAMP} }, .switches = .{ .pos1 = .{ .tx = EAST } } });
      @set_color_config(2, 0, c, .{ .routes = .{ .rx = .{WEST}, .tx = .{RAMP} } });
    """,
        """
    fn main() void {
      if (x == 0) { send(7); advance(); send(8); }
      else { receive(1); }
      sys.unblock_cmd_stream();
    }""",
    )
    (color,) = (c for c in collector.colors if c.sent)
    links = sum(p.links for p in collector.phases)
    assert color.sent == 3 and links[0, 0, SIDES.index("EAST")] == 3
    assert links[0, 1, SIDES.index("EAST")] == 1 and color.longest == 2


@pytest.mark.parametrize("arch", ["wse2", "wse3"])
def test_element_accesses_that_wait(tmp_path, arch):
    """PE 1 asks for elements long before PE 0 sends them: it waits, and does not compute."""
    collector = observed_row(
        tmp_path,
        2,
        """
      @set_color_config(0, 0, c, .{ .routes = .{ .rx = .{RAMP}, .tx = .{EAST} } });
      @set_color_config(1, 0, c, .{ .routes = .{ .rx = .{WEST}, .tx = .{RAMP} } });
    """,
        """
    var spin: u32 = 0;
    fn twice(v: u32) u32 { return v * 2; }
    fn main() void {
      if (x == 0) {
        for (@range(u16, 100)) |i| { spin += @as(u32, i) * 3; }
        for (@range(u16, 4)) |i| { send(@as(u32, i)); }
      } else {
        @map(twice, @get_dsd(fabin_dsd, .{ .extent = 4, .fabric_color = c, .input_queue = iq }),
             @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{4} -> out[i] }));
      }
      sys.unblock_cmd_stream();
    }""",
        arch,
    )
    p = next(p for p in collector.phases if "main" in p.name)
    assert p.compute[0, 0] > 500 and p.compute[0, 1] < 200
    assert p.stalled[0, 1] > p.compute[0, 0] - 200
    assert p.communication[0, 1] <= p.moving[0, 1] == 4


def test_streams_from_and_to_the_host(tmp_path):
    fabric = meshlang.compile(write_program(tmp_path / "p")).start(echo=False)
    collector = Collector.of(fabric.session)
    fabric.stream_in(1, np.arange(12, dtype=np.uint32).reshape(2, 3, 2))
    fabric.launch("echo", 1)
    assert fabric.stream_out(2, 2, w=3, h=2).ravel().tolist() == list(range(12))
    fabric.run()
    collector.finish()
    check(collector)
    colors = {c.color: c for c in collector.colors}
    assert (colors[1].from_host, colors[1].sent, colors[2].sent, colors[2].hops) == (12, 0, 12, 0)
    # chains begin anew with each command, and the words had come in before the launch
    assert max(p.chain for p in collector.phases) == (0, 0)
    assert [n for n in ("stream to color 1", "launch of 'echo'") if n not in [p.name for p in collector.phases]] == []
    assert any("stream of 2 wavelets" in p.name or "launch of 'echo'" in p.name for p in collector.phases)


# ---------------------------------------------------------------- chains and links


def test_chain_of_a_ring_of_shifts(capsys):
    """MeshGEMM shifts by at most two hops a step, and steps depend on one another: P messages, each but those at an end
    of two hops."""
    for P in (4, 8):
        p = collect("meshgemm", P=P)[0].phases[0]
        assert p.chain == (2 * P - 1, P)


def test_longest_way_of_a_wavelet(capsys):
    """Cannon's wrap-around link crosses the mesh; with interleaving no wavelet takes more than two hops."""
    for cannon, hops in ((False, 2), (True, 6)):
        assert max(c.longest for c in collect("meshgemm", P=7, cannon=cannon)[0].colors) == hops


def test_links_of_hello(capsys):
    r = summarize(collect("hello")[0])
    links = r["phases"][0]["links"]
    assert links["busiest"] == {
        "pe": [0, 0],
        "side": "EAST",
        "wavelets": 4,
        "utilisation": 4 / r["phases"][0]["cycles"],
    }
    assert (links["used"], links["links"]) == (1, 2) and links["mean"] == links["busiest"]["utilisation"] / 2


# ---------------------------------------------------------------- the command


@pytest.mark.parametrize(
    "arguments", [["hello"], ["meshgemv"], ["meshgemm"], ["meshgemm", "--wafer", "wse3"]], ids="_".join
)
def test_golden_report(arguments, capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    assert main(["report", f"programs/{arguments[0]}", *arguments[1:]]) == 0
    text = capsys.readouterr().out
    compare(text, f"report_{'_'.join(arguments).replace('--', '')}.txt")


def compare(text, name):
    if os.environ.get("MESHLANG_UPDATE_GOLDEN"):
        (GOLDEN / name).write_text(text)
    assert text == (GOLDEN / name).read_text()


def test_json_holds_what_the_text_says(capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    assert main(["report", "programs/meshgemm", "--json"]) == 0
    (r,) = json.loads(capsys.readouterr().out)["fabrics"]
    assert abs(sum(r["total"][part] for part in PARTS) - r["cycles"]) < 1e-6
    for p in r["phases"]:
        assert abs(sum(p[part] for part in PARTS) - p["cycles"]) < 1e-6
    letters = r["plmr"]["letters"]
    assert abs(letters["P"]["share"] + letters["L"]["share"] - 1) < 1e-9
    (m,) = r["memory"]
    assert m["used"] == m["data"] + m["code"] + m["system"]
    assert m["data"] == sum(v["size"] for v in m["variables"]) + m["between"] and m["between"] >= 0
    spans = sorted((v["address"], v["address"] + v["size"]) for v in m["variables"])
    assert all(a[1] <= b[0] for a, b in zip(spans, spans[1:]))


def test_bottlenecks():
    from meshlang.inspect.report.wafer import WAFERS, plmr

    total = {"cycles": 100, "compute": 60, "communication": 5, "stalled": 25, "idle": 5, "done": 5, "links": {}}
    base = {
        "ran": True,
        "total": total,
        "width": 8,
        "height": 8,
        "pes": 64,
        "hop": 1,
        "message": 4,
        "colors": [],
        "phases": [],
        "memory": [{"used": 20_000, "system": 4176}],
        "colors_per_pe": {"max": 6},
        "queues": [{"inputs": 2, "outputs": 2}],
    }
    found = plmr(base, WAFERS["wse2"])
    assert found["bottleneck"] == "P" and found["letters"]["P"]["share"] == pytest.approx(0.65)
    assert plmr(base | {"total": total | {"compute": 20, "stalled": 65}}, WAFERS["wse2"])["bottleneck"] == "L"
    assert plmr(base | {"memory": [{"used": 45_000, "system": 4176}]}, WAFERS["wse2"])["bottleneck"] == "M"
    assert plmr(base | {"colors_per_pe": {"max": 23}}, WAFERS["wse2"])["bottleneck"] == "R"
    five = base | {"queues": [{"inputs": 2, "outputs": 5}]}
    assert plmr(five, WAFERS["wse2"])["letters"]["R"]["scarce"] == "output queues"  # 6, of which memcpy takes one
    assert plmr(five, WAFERS["wse2"])["bottleneck"] == "R" and plmr(five, WAFERS["wse3"])["bottleneck"] == "P"
    for system, limits in ((4176, (7, 5)), (0, (8, 6))):  # memcpy takes a queue of each, where it is
        routing = plmr(base | {"memory": [{"used": 20_000, "system": system}]}, WAFERS["wse2"])["letters"]["R"]["all"]
        assert routing["input queues"] == {"used": 2, "limit": limits[0]}
        assert routing["output queues"] == {"used": 2, "limit": limits[1]}
    large = plmr(base | {"width": 800, "memory": [{"used": 50_000, "system": 4176}]}, WAFERS["wse2"])
    assert large["exceeded"] == ["memory: 50000 of 49152", "PEs: 800 x 8 of 750 x 994"]


def test_layout_without_a_host(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    assert main(["report", "programs/hello/layout.csl", "--launch", "main"]) == 0
    text = capsys.readouterr().out
    assert "launch of 'main'" in text and "bottleneck" in text
    assert main(["report", "programs/hello/layout.csl", "--launch", "none", "--json"]) == 0
    (r,) = json.loads(capsys.readouterr().out)["fabrics"]
    assert not r["ran"] and r["total"]["compute"] == 0
    assert main(["report", "programs/hello/layout.csl", "--launch", "none"]) == 0
    text = capsys.readouterr().out
    assert "nearest limit is R (routing)" in text and "would help" not in text and "no task ran" in text


def test_a_reader_that_goes_away():
    command = f"{sys.executable} -m meshlang report programs/hello/layout.csl --launch main"
    done = subprocess.run(["bash", "-c", f"{command} | true; exit ${{PIPESTATUS[0]}}"], cwd=ROOT, capture_output=True)
    assert done.returncode == 0 and done.stderr == b""


def test_report_of_a_run_that_fails(capsys, tmp_path):
    assert main(["report", str(ROOT / "programs/meshgemm"), "--max-cycles", "600"]) == 1
    out, err = capsys.readouterr()
    # the last step may end a little behind the limit
    assert "MS0919" in err and re.search(r"60\d cycles \(wse2 profile", out) and "launch of 'run'" in out
    assert main(["report", str(ROOT / "programs/meshgemm"), "--max-cycles", "600", "--json"]) == 1
    assert [d["code"] for d in json.loads(capsys.readouterr().out)["diagnostics"]] == ["MS0919"]


def test_mistakes(capsys, tmp_path):
    script = tmp_path / "nothing.py"
    script.write_text("print('done')\n")
    assert main(["report", str(script)]) == 1
    assert "MS1040" in capsys.readouterr().err
    assert main(["report", str(ROOT / "programs/hello"), "--fabric", "2"]) == 2
    assert "MS1041" in capsys.readouterr().err
    assert main(["report", str(ROOT / "programs/hello"), "--fabric", "0"]) == 2
    assert main(["report", str(tmp_path / "absent")]) == 1
    assert "MS0901" in capsys.readouterr().err
    script.write_text("raise SystemExit(7)\n")
    assert main(["report", str(script)]) == 7


def test_several_fabrics(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    script = tmp_path / "several.py"
    script.write_text(f"""
import meshlang
for name, function in (("hello", "main"), ("gemv", "compute"), ("hello", "main")):
    with meshlang.compile({str(ROOT)!r} + f"/programs/{{name}}/layout.csl").start(echo=False) as fabric:
        fabric.launch(function)
""")
    assert main(["report", str(script)]) == 0
    compare(capsys.readouterr().out, "report_several.txt")
    assert main(["report", str(script), "--fabric", "2"]) == 0
    text = capsys.readouterr().out
    assert "programs/gemv/layout.csl" in text and "longest way" in text and "fabrics;" not in text


@pytest.mark.parametrize("capacity", [1, 2, 5])
def test_histories_leave_a_queue_in_the_order_in_which_they_came(capacity):
    """The shadow of a queue against a deque, for any order of putting and getting; what does not fit replaces nothing."""
    queue, entries = 8, 40
    U, Z = np.zeros(200, np.uint32), np.zeros(200, np.int64)
    U[queue + s.Queue.FIELDS["buf"]], U[queue + s.Queue.FIELDS["cap"]] = entries, capacity
    put, get = (getattr(f, "py_func", f) for f in (counting.put, counting.get))
    expected, rng = deque(), np.random.default_rng(capacity)
    for history in range(1, 200):
        if len(expected) < capacity and rng.random() < 0.6:
            put(U, Z, queue, history)
            expected.append(history)
        elif expected:
            place = get(U, Z, queue)
            assert place >= entries and Z[place] == expected.popleft()
        else:
            assert get(U, Z, queue) == 0


@pytest.mark.parametrize(("hop", "message"), [(1, 100), (100, 1), (3, 7), (0, 1), (1, 0)])
def test_the_longer_of_two_histories(hop, message):
    """By what a hop and a message take, whatever takes more; of equal ones the first."""
    G = np.zeros(int(counting.VK), np.int64)
    G[counting.V_HOP], G[counting.V_MESSAGE] = hop, message
    longer = getattr(counting.longer, "py_func", counting.longer)
    for a, b in itertools.product(itertools.product(range(4), repeat=2), repeat=2):
        first, second = (np.int64(hops << 32 | messages) for hops, messages in (a, b))
        takes = [hops * hop + messages * message for hops, messages in (a, b)]
        assert longer(G, first, second) == (first if takes[0] >= takes[1] else second)


def test_uncompiled_counts_the_same(tmp_path):
    out = []
    for disabled in ("0", "1"):
        done = subprocess.run(
            [sys.executable, "-m", "meshlang", "report", str(ROOT / "programs/hello"), "--json"],
            capture_output=True,
            text=True,
            cwd=ROOT,
            env={**os.environ, "NUMBA_DISABLE_JIT": disabled},
            timeout=300,
        )
        assert done.returncode == 0, done.stderr
        out.append(json.loads(done.stdout))
    assert out[0] == out[1]


def test_run_prints_a_program_once(capsys, tmp_path):
    script = tmp_path / "twice.py"
    script.write_text(f"""
import meshlang
program = meshlang.compile({str(ROOT / "programs/hello/layout.csl")!r})
for _ in range(3):
    with program.start(echo=False) as fabric:
        fabric.launch("main")
""")
    assert main(["run", str(script)]) == 0
    text = capsys.readouterr().out
    assert text.count("tile program") == 1 and "3 fabrics with this program" in text
