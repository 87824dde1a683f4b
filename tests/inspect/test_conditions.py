"""Where breakpoints on lines and tasks stop: at which instructions of which tile programs."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from meshlang.diag import MeshlangError
from meshlang.fabric.engine import state as s
from meshlang.fabric.machine import Machine
from meshlang.host.build import build
from meshlang.inspect import arguments
from meshlang.inspect import conditions as c

sys.path.insert(0, str(Path(__file__).parent.parent / "fabric"))
from asm import E, Tile, W, program

LAYOUT = """const memcpy = @import_module("<memcpy/get_params>", .{ .width = 2, .height = 1 });
layout {
  @set_rectangle(2, 1);
  @set_tile_code(0, 0, "left.csl", .{ .memcpy_params = memcpy.get_params(0) });
  @set_tile_code(1, 0, "right.csl", .{ .memcpy_params = memcpy.get_params(1) });
  @export_name("main", fn() void);
}
"""
PE = """param memcpy_params;
const sys = @import_module("<memcpy/memcpy>", memcpy_params);
var n: i16 = 0;
task later() void {
  n += 1;
}
fn main() void {
  n = 2; n += 3;
  @activate(@get_local_task_id(9));
  sys.unblock_cmd_stream();
}
comptime { @bind_local_task(later, @get_local_task_id(9)); @export_symbol(main); }
"""
ALL = (0, 0, 2, 1)


@pytest.fixture(scope="module")
def machine(tmp_path_factory):
    folder = tmp_path_factory.mktemp("conditions")
    (folder / "layout.csl").write_text(LAYOUT)
    (folder / "left.csl").write_text(PE)
    (folder / "right.csl").write_text("\n" + PE.replace("var n", "var other: i16 = 1; var n"))
    return Machine(build(str(folder / "layout.csl"), optimise=0))


def entries(machine, name):
    return [
        machine.state.code_base[t] + f.entry
        for t, tile in enumerate(machine.program.tiles)
        for f in tile.functions
        if f.name == name
    ]


@pytest.mark.parametrize("name", ["main", "later"])
def test_tasks_stop_at_their_entry(machine, name):
    """In every tile program that has one of the name."""
    trap = arguments.condition(machine, f"task {name}")
    found = entries(machine, name)
    assert trap.instructions(machine) == found and len(found) == 2 and found[1] > found[0] + 1
    assert trap.describe(machine, 1, found[1]) == f"PE 1,0 starts {name}"
    machine.pes["time"][1] = machine.cycle + 3
    assert trap.describe(machine, 1, found[1]).endswith(
        f"starts {name} (at cycle {machine.cycle + 3} of its own clock)"
    )
    machine.pes["time"][1] = 0


def test_a_task_that_is_not_there(machine):
    with pytest.raises(MeshlangError) as error:
        c.task_trap(machine, "latr", "task latr", ALL)
    (d,) = error.value.diagnostics
    assert d.message == "no task or exported function is called 'latr'; there are: later, main"
    assert d.help == "did you mean 'later'?"


def test_lines_stop_once_where_they_begin(machine):
    """Of two statements on a line the first; of each file its own."""
    first, second = (machine.state.code_base[t] for t in range(2))
    left = arguments.condition(machine, "left.csl:8").instructions(machine)
    right = arguments.condition(machine, "line right.csl:9").instructions(machine)
    assert left == [entries(machine, "main")[0]] and right == [entries(machine, "main")[1]]
    assert first <= left[0] < second <= right[0]
    later = arguments.condition(machine, "left.csl:5").instructions(machine)
    assert later == [entries(machine, "later")[0]]


@pytest.mark.parametrize(
    ("text", "message", "help"),
    [
        ("left.csl:6", "no instruction comes from left.csl:6", "the nearest line with code is 5"),
        ("left.csl:99", "no instruction comes from left.csl:99", None),
        ("none.csl:1", "no code comes from a file 'none.csl'", None),
        ("line 12", "'12' is no line", "write for example line pe.csl:12"),
        ("cycle", "`cycle` alone is no condition", None),
    ],
)
def test_lines_without_code(machine, text, message, help):
    with pytest.raises(MeshlangError) as error:
        arguments.condition(machine, text)
    (d,) = error.value.diagnostics
    assert d.message == message and (help is None or d.help == help)


@pytest.fixture
def row():
    """Five PEs in a row, with a color that goes through all routers."""
    tile = Tile()
    tile.function("main", export=True)
    tile.done()
    tile.ret()
    return Machine(program([[0] * 5], [tile], {3: {(x, 0): (W, E) for x in range(5)}}))


@pytest.mark.parametrize(
    ("came", "said"),
    [
        ((), ""),
        ((2,), "a wavelet of color 3 came into the router of PE 2,0"),
        ((0, 4), "a wavelet of color 3 came into the router of PE 0,0, and 1 more router"),
        ((1, 2, 4), "a wavelet of color 3 came into the router of PE 1,0, and 2 more routers"),
    ],
)
def test_wavelets_that_come_at_the_same_time(row, came, said):
    condition = c.OnWavelet(3, "", (0, 0, 5, 1), row)
    condition.start(row)
    assert condition.check(row) == ""
    for x in came:
        row.state.U[row.state.channels[3][x] + s.Channel.push] += 1
    assert condition.check(row) == said
    assert condition.check(row) == ""
