"""Profiles: every busy cycle is accounted for, and for the right task, function and line."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from meshlang.cli import main
from meshlang.fabric.engine import state as s
from meshlang.fabric.machine import Machine
from meshlang.host.build import build
from meshlang.inspect.profile import Collector, listing, profile_options, report, speedscope
from meshlang.inspect.profile.report import (
    _someone,
    as_data,
    by_function,
    by_line,
    by_operation,
    by_pe,
    by_stall,
    by_task,
)

ROOT = Path(__file__).resolve().parents[2]
PE = """\
param memcpy_params;
const sys = @import_module("<memcpy/memcpy>", memcpy_params);
var a = @zeros([64]f32);
var n: u16 = 0;
const later = @get_local_task_id(9);
const a_dsd = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{64} -> a[i] });

fn leaf() void { n += 1; }
fn twice() void { leaf(); leaf(); }
fn main() void {
  twice();
  @activate(later);
}
task work() void {
  @fadds(a_dsd, a_dsd, 1.0);
  leaf();
  sys.unblock_cmd_stream();
}
comptime { @bind_local_task(work, later); @export_symbol(main); }
"""
LAYOUT = """\
const memcpy = @import_module("<memcpy/get_params>", .{ .width = 2, .height = 1 });
layout {
  @set_rectangle(2, 1);
  for (@range(u16, 2)) |x| { @set_tile_code(x, 0, "pe.csl", .{ .memcpy_params = memcpy.get_params(x) }); }
  @export_name("main", fn()void);
}
"""


def profiled(program, function="main", args=(), pes=None, cycles=None, room=None):
    m = Machine(program, trace=profile_options(pes, cycles))
    collector = Collector(m)
    if room is not None:
        m.state.W[s.Globals.eventcap] = s.EVENT_ROOM + room
    m.launch(function, args)
    m.run("commands")
    m.run()
    return collector.result(), m


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("profile")
    (path / "layout.csl").write_text(LAYOUT)
    (path / "pe.csl").write_text(PE)
    return path


@pytest.fixture(scope="module")
def small(folder):
    return profiled(build(str(folder / "layout.csl"), optimise=0))


@pytest.fixture(scope="module")
def mesh_program():
    return build(str(ROOT / "programs/meshgemm/layout.csl"), params={"P": 4, "Mt": 2, "Kt": 2, "Nt": 2})


@pytest.fixture(scope="module")
def mesh(mesh_program):
    return profiled(mesh_program, "run", (1,))


def test_every_busy_cycle_is_accounted_for(small, mesh):
    for profile, machine in (small, mesh):
        busy = machine.stats()["busy"]
        assert np.array_equal(profile.busy, busy) and profile.total == busy.sum() > 0
        assert sum(t["cycles"] for t in by_task(profile)) == profile.total
        assert sum(f["self"] for f in by_function(profile)) == profile.total
        assert sum(c for c, _ in by_line(profile).values()) == profile.total
        assert sum(t["starts"] for t in by_task(profile)) == machine.stats()["tasks"]
        assert [p["busy"] for p in by_pe(profile)] == busy.ravel().tolist()


def test_functions(small):
    profile, _ = small
    functions = {f["function"]: f for f in by_function(profile)}
    assert {n: f["calls"] for n, f in functions.items()} == {
        "main": 2,
        "work": 2,
        "twice": 2,
        "leaf": 6,
        "unblock_cmd_stream": 2,
    }
    leaf, twice, start = functions["leaf"], functions["twice"], functions["main"]
    assert leaf["self"] == leaf["total"] and leaf["self"] % 6 == 0
    assert twice["total"] == twice["self"] + leaf["self"] * 4 // 6
    assert start["total"] == start["self"] + twice["total"]
    tasks = {t["task"]: t for t in by_task(profile)}
    assert tasks["main (launched)"]["cycles"] == start["total"] and tasks["work (local task 9)"]["starts"] == 2


def test_functions_that_were_expanded_where_they_are_called(folder):
    profile, machine = profiled(build(str(folder / "layout.csl")))
    functions = {f["function"]: f for f in by_function(profile)}
    calls = {"main": 2, "work": 2, "leaf": 6, "unblock_cmd_stream": 2}  # `twice` has no instruction of its own
    assert {n: f["calls"] for n, f in functions.items()} == calls
    assert 0 < functions["leaf"]["self"] < functions["main"]["total"] + functions["work"]["total"]
    assert sum(f["self"] for f in functions.values()) == machine.stats()["busy"].sum()


def test_lines(small):
    profile, machine = small
    lines = {n: v for (f, n), v in by_line(profile).items() if f.endswith("pe.csl")}
    vector = next(i for i, line in enumerate(PE.splitlines(), 1) if "@fadds" in line)
    (operation,) = [o for o in by_operation(profile) if o["operation"] == "fadds"]
    assert (operation["times"], operation["elements"], operation["waited"]) == (2, 128, 0) and operation["cycles"] > 64
    # the line has the operation's cycles, those of the instructions that issue it, and what it takes to start the task
    assert operation["cycles"] < lines[vector][0] < operation["cycles"] + 60 and lines[vector][1] == 2
    leaf = next(i for i, line in enumerate(PE.splitlines(), 1) if "fn leaf" in line)
    assert lines[leaf][1] == 6


def test_small_batches_change_nothing(mesh_program, mesh):
    again, _ = profiled(mesh_program, "run", (1,), room=5)
    assert as_data(again) == as_data(mesh[0])


def test_part_of_the_fabric(mesh_program, mesh):
    part, machine = profiled(mesh_program, "run", (1,), pes=((1, 2, 2, 3),))
    assert part.total == machine.stats()["busy"][2, 1] and [(p["x"], p["y"]) for p in by_pe(part)] == [(1, 2)]
    early, _ = profiled(mesh_program, "run", (1,), cycles=(0, 400))
    assert 0 < early.total < mesh[0].total and early.last >= 400


def test_stalls():
    """In MeshGEMV's tree PEs wait for each other."""
    profile, machine = profiled(
        build(str(ROOT / "programs/meshgemv/layout.csl"), params={"P": 4, "Mt": 4, "Nt": 4}), "run", (1,)
    )
    rows = by_stall(profile)
    assert rows and {r["cause"] for r in rows} == {"input queue empty"}
    assert sum(r["cycles"] for r in rows) == sum(p["waited"] for p in by_pe(profile))


def test_a_hang_has_its_stalls(tmp_path):
    """A receive that never ends is charged until the run stops."""
    queue = "const in = @get_dsd(fabin_dsd, .{ .extent = 64, .fabric_color = @get_color(3), .input_queue = @get_input_queue(2) });"
    pe = PE.replace("fn main() void {\n", "fn main() void {\n  @fadds(a_dsd, a_dsd, in, .{ .async = true });\n")
    pe = pe.replace("fn leaf()", queue + "\nfn leaf()")
    pe = pe.replace("comptime {", "comptime { @initialize_queue(@get_input_queue(2), .{ .color = @get_color(3) });")
    route = "@set_color_config(x, 0, @get_color(3), .{ .routes = .{ .rx = .{WEST}, .tx = .{RAMP} } });"
    layout = LAYOUT.replace("  @export", f"  for (@range(u16, 2)) |x| {{ {route} }}\n  @export")
    (tmp_path / "pe.csl").write_text(pe)
    (tmp_path / "layout.csl").write_text(layout)
    profile, machine = profiled(build(str(tmp_path / "layout.csl")))
    (row,) = by_stall(profile)
    assert row["cause"] == "input queue empty" and 0 < row["cycles"] <= 2 * machine.cycle


def test_speedscope(mesh):
    """Against the rules of its JSON schema (file-format-schema.json): frames, sampled profiles, units."""
    data = json.loads(json.dumps(speedscope(mesh[0])))
    assert data["$schema"] == "https://www.speedscope.app/file-format-schema.json"
    assert set(data) <= {"$schema", "shared", "profiles", "name", "activeProfileIndex", "exporter"}
    frames = data["shared"]["frames"]
    assert all(isinstance(f["name"], str) and set(f) <= {"name", "file", "line", "col"} for f in frames)
    assert len(data["profiles"]) == 17  # all, and each of 16 PEs
    for profile in data["profiles"]:
        assert set(profile) == {"type", "name", "unit", "startValue", "endValue", "samples", "weights"}
        assert profile["type"] == "sampled" and profile["unit"] in {
            "none",
            "nanoseconds",
            "microseconds",
            "milliseconds",
            "seconds",
            "bytes",
        }
        assert len(profile["samples"]) == len(profile["weights"])
        assert all(0 <= i < len(frames) for sample in profile["samples"] for i in sample)
        assert sum(profile["weights"]) == profile["endValue"]
    assert data["profiles"][0]["endValue"] == mesh[0].total == sum(p["endValue"] for p in data["profiles"][1:])
    stacks = {tuple(frames[i]["name"] for i in sample) for sample in data["profiles"][0]["samples"]}
    assert any(stack[0] == "next (local task 12)" and stack[-1].startswith("tile.csl:") for stack in stacks)


def test_report_and_listing(small, folder):
    text = report(small[0])
    for title in ("tasks", "functions", "source lines", "vector operations", "PEs"):
        assert f"\n{title}\n" in text
    lines = listing(small[0]).splitlines()
    (vector,) = [line for line in lines if "@fadds" in line]
    assert vector.split()[2] == "2" and str(folder / "pe.csl") in lines
    assert [line for line in lines if line.strip().endswith("}")]  # lines that did not run are there as well
    ran = {n for _, n in by_line(small[0])}
    for n, source in enumerate((folder / "pe.csl").read_text().splitlines(), 1):
        bare = f"{n:>35}  {source}".rstrip()  # with nothing in the columns of cycles, share and times
        assert (bare in lines) == (n not in ran), source


def test_command(folder, tmp_path, capsys):
    file = tmp_path / "stacks.json"
    assert main(["profile", str(folder / "layout.csl"), "--top", "3", "--lines", "--speedscope", str(file)]) == 0
    out = capsys.readouterr().out
    assert "work (local task 9)" in out and "@fadds(a_dsd, a_dsd, 1.0);" in out
    assert json.loads(file.read_text())["profiles"]
    assert main(["profile", str(folder / "layout.csl"), "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["ok"] and data["runs"][0]["busy_cycles"] == sum(t["cycles"] for t in data["runs"][0]["tasks"])
    assert main(["profile", str(ROOT / "programs/hello"), "--top", "2"]) == 0  # a host script
    assert "tasks" in capsys.readouterr().out
    assert main(["profile", str(folder / "layout.csl"), "--pes", "7,7"]) == 2
    assert "MS1001" in capsys.readouterr().err


def test_profile_of_a_fault(tmp_path, capsys):
    (tmp_path / "layout.csl").write_text(LAYOUT)
    (tmp_path / "pe.csl").write_text(PE.replace("n += 1;", "n += 1; if (n == 3) { @assert(false); }"))
    assert main(["profile", str(tmp_path / "layout.csl")]) == 1
    captured = capsys.readouterr()
    assert "leaf" in captured.out and "error[" in captured.err


def test_an_instruction_is_of_the_tile_program_that_holds_it():
    """Where PEs are not told apart, the first PE of that tile program stands for it."""
    tiles = [SimpleNamespace(spans=[None] * n) for n in (4, 3, 5)]
    trace = SimpleNamespace(
        code_base=[0, 4, 7], program=SimpleNamespace(tiles=tiles), tile_of=np.array([-1, 2, 0, 1, 1, 2])
    )
    profile = SimpleNamespace(trace=trace)
    assert [_someone(profile, -1, pc) for pc in range(12)] == [2] * 4 + [3] * 3 + [1] * 5
    assert _someone(profile, 4, 0) == 4
