"""Several threads (engine/bands.py, fabric/bands.py) change nothing: the same memory, cycles, counters, reports and faults as
one. Here one thread runs all bands by turns, which is the same code and depends on no other work of the machine; threads
proper have tests of their own below."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import test_ahead
from asm import E, R, Tile, fabin, fabout, mem, program

import meshlang
from meshlang.cli import main
from meshlang.diag import MeshlangError
from meshlang.fabric import bands as several
from meshlang.fabric import snapshot
from meshlang.fabric.bands import LEAST_ROWS, Bands, cuts
from meshlang.fabric.engine import loop
from meshlang.fabric.machine import Machine
from meshlang.fabric.mapped import PAGE, Mapped
from meshlang.fabric.recording.flight import flight
from meshlang.ir import isa
from meshlang.ir.isa import Op, Ty

ROOT = Path(__file__).resolve().parents[2]
COUNTS = pytest.mark.parametrize("count", [2, 3])
# how often a machine looks whether there is something to do depends on where calls of the run loop end, a matter of time
VISITS = ("router_visits", "ce_visits", "steps")


@pytest.fixture(autouse=True)
def always(monkeypatch):
    """Bands however small the mesh is, by turns."""
    monkeypatch.setattr(Bands, "always", True)
    monkeypatch.setattr(Bands, "turns", True)


def machine_of(built, count, **options):
    machine = Machine(built, threads=count, **options)
    bands = machine.state.bands
    assert (bands is None) if count == 1 else len(bands.bands) == count
    return machine


def everything(machine):
    """All that can be seen of a machine."""
    stats = {k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in machine.stats().items() if k not in VISITS}
    return {
        "stats": stats,
        "memory": machine.state.M8.tobytes(),
        # the oldest entries are lost in the order of visits, and a visit may be ahead of the clock
        "flight": flight(machine)[-128:],
        "prints": machine.print_log,
        "warnings": [(d.code, d.message, d.notes) for d in machine.warnings],
        "waiting": [(g.wait, g.pes) for g in machine.waiting()],
    }


def same(one, other):
    for what in one:
        assert one[what] == other[what], what


@COUNTS
@pytest.mark.parametrize("seed", range(4))
def test_random_programs(seed, count):
    """With stops in the middle, and a second command."""
    built = test_ahead.build(seed)
    parts = np.random.default_rng(seed).integers(1, 90, 4).tolist()
    machines = [machine_of(built, n) for n in (1, count)]
    one, other = (test_ahead.outcome(m, parts) for m in machines)
    for what, a, b in zip(("cycles", "waiting", "memory", "routers", "PEs", "counters"), one, other, strict=True):
        assert a == b, what
    same(*map(everything, machines))


@COUNTS
@pytest.mark.parametrize("seed", range(100, 108))
def test_the_first_fault_is_reported(seed, count):
    built = test_ahead.build(seed, faults=5)
    found = []
    for n in (1, count):
        machine = machine_of(built, n)
        machine.launch("main")
        with pytest.raises(MeshlangError) as caught:
            machine.run("commands")
        d = caught.value.diagnostics[0]
        G = machine.state.globals
        fault = [int(G[name]) for name in ("fault", "fpe", "fpc", "fcycle", "fa", "fb", "fc")]
        found.append((fault, machine.cycle, d.code, d.message, d.notes))
    assert found[0] == found[1]


@COUNTS
@pytest.mark.parametrize("rows", [(0, 16), (16,), (16, 17), (17, 30), (8, 15), (39,)], ids=str)
def test_faults_in_one_cycle(rows, count):
    """Rows of PEs, first ones of a band among them, fail at once: the first of them in the order of PEs is reported, what those
    before it have printed in that cycle, and nothing of those behind."""
    tiles = []
    for fails in (False, True):
        tile = Tile(f"pe{fails}.csl")
        tile.strings.append("boom")
        tile.active = 1 << 9
        tile.task(9, "local", "start")
        tile.emit(Op.PRINT, 1, -1, isa.Print.DEC, Ty.I32)
        if fails:
            tile.emit(Op.TRAP, 0)
        tile.ret()
        tiles.append(tile)
    grid = [[int(y in rows and x > 2) for x in range(8)] for y in range(40)]
    found = []
    for n in (1, count):
        machine = machine_of(program(grid, tiles, {}), n)
        with pytest.raises(MeshlangError) as caught:
            machine.run()
        d = caught.value.diagnostics[0]
        found.append((machine.cycle, d.code, d.message, d.notes, machine.print_log, flight(machine)[-16:]))
    assert found[0] == found[1] and f"(3, {rows[0]})" in found[0][3][0]
    assert len(found[0][4]) == 8 * rows[0] + 4


@COUNTS
def test_snapshots_go_from_one_to_several_threads_and_back(count):
    built = test_ahead.build(7)
    alone, bands, other = machine_of(built, 1), machine_of(built, count), machine_of(built, 1)
    for machine in (alone, bands):
        machine.launch("main")
        machine.run(max_cycles=300)
    other.launch("main")
    snapshot.put(other, snapshot.take(bands))
    before = snapshot.take(bands)
    for machine in (alone, bands, other):
        machine.run("commands")
        machine.run()
    same(everything(alone), everything(other))
    same(everything(alone), everything(bands))
    cycle = bands.cycle
    snapshot.put(bands, before)
    bands.run("commands")
    bands.run()
    assert bands.cycle == cycle
    same(everything(alone), everything(bands))


@COUNTS
def test_saved_states_are_of_no_number_of_threads(tmp_path, count):
    built = test_ahead.build(3)
    bands, alone = machine_of(built, count), machine_of(built, 1)
    bands.launch("main")
    bands.run(max_cycles=200)
    snapshot.save(tmp_path / "state.npz", bands)
    snapshot.restore(tmp_path / "state.npz", alone)
    for machine in (alone, bands):
        machine.run("commands")
        machine.run()
    same(everything(alone), everything(bands))


@pytest.mark.parametrize(
    "arguments",
    [
        ["meshgemm", "-p", "P=16", "--arch", "wse3"],
        ["meshgemm", "-p", "P=16", "-p", "cannon=true"],
        ["meshgemv", "-p", "P=16"],
        ["decoder", "-p", "W=4", "-p", "H=32", "-p", "hidden=64", "-p", "heads=4", "-p", "feed=64"],
    ],
    ids=["meshgemm", "cannon", "meshgemv", "decoder"],
)
def test_programs(arguments, capsys, monkeypatch, tmp_path):
    """What a command prints: results, cycles, what has been moved and computed."""
    loop.engine()  # from the usual cache
    monkeypatch.setenv("MESHLANG_CACHE_DIR", str(tmp_path))
    monkeypatch.setenv("MESHLANG_KEEP_PROGRAMS", "1")  # compiled once for all three
    texts, calls, run = [], [], Bands.run
    monkeypatch.setattr(Bands, "run", lambda self, *arguments: calls.append(len(self.bands)) or run(self, *arguments))
    for count in ("1", "2", "3"):
        assert main(["run", str(ROOT / "programs" / arguments[0]), *arguments[1:], "--threads", count]) == 0
        texts.append(capsys.readouterr())
    assert "cycles" in texts[0].out + texts[0].err
    assert texts[0] == texts[1] == texts[2] and calls


def talkative(rows):
    """PEs that print at cycles of their own, several of them in the same; now and then one reads past a variable, and
    wavelets leave the mesh."""
    tiles = []
    for kind in range(5):
        tile = Tile(f"pe{kind}.csl")
        x = tile.var("x", 4, 4, np.arange(4, dtype=np.uint32))
        y = tile.var("y", 8, 4)
        tile.outputs = [(2, 5)]
        tile.function("main", export=True)
        for k in range(6):
            for _ in range(3 + 7 * kind * k % 11):
                tile.emit(Op.ADDI, 1, 1, 1, Ty.I32)
            tile.emit(Op.PRINT, 1, -1, isa.Print.DEC, Ty.I32)
            if (k + kind) % 4 == 3:
                tile.op("mov32", ("dsd", mem(y, 6)), ("dsd", mem(x, 6)))
        if kind == 4:
            tile.op("mov32", ("dsd", fabout(3, 2, 5)), ("dsd", mem(x, 3)))
        tile.done()
        tile.ret()
        tiles.append(tile)
    grid = [[4 if x == 7 else (3 * x + y * y) % 4 for x in range(8)] for y in range(rows)]
    return program(grid, tiles, {5: {(7, y): (R, E) for y in range(rows)}})


@COUNTS
def test_prints_and_warnings(count):
    machines = [machine_of(talkative(24), n) for n in (1, count)]
    for machine in machines:
        machine.launch("main")
        machine.run("commands")
        machine.run()
        assert {d.code for d in machine.warnings} >= {"MS0852", "MS0812"} and len(machine.print_log) == 8 * 24 * 6
    same(*map(everything, machines))


@COUNTS
def test_full_print_logs(count, monkeypatch):
    """The run loop hands prints over in between."""
    monkeypatch.setattr("meshlang.fabric.loader.PLOG_RECORDS", 64)
    machines = [machine_of(talkative(24), n) for n in (1, count)]
    for machine in machines:
        machine.launch("main")
        machine.run("commands")
    assert machines[0].print_log == machines[1].print_log and len(machines[0].print_log) == 8 * 24 * 6


@COUNTS
def test_streams_of_the_host(count):
    tile = Tile()
    tile.inputs, tile.outputs = [(2, 5)], [(3, 6)]
    tile.blocked = 1 << 2
    tile.active = 1 << 9
    tile.task(9, "local", "start")
    endless = 0x7FFF
    tile.op("add16", ("dsd", fabout(endless, 3, 6)), ("dsd", fabin(endless, 2)), ("scalar", 1), is_async=True)
    tile.ret()
    data = np.arange(8 * 24 * 30, dtype=np.uint32).reshape(24, 8, 30) & 0xFFFF
    found = []
    for n in (1, count):
        machine = machine_of(program([[0] * 8] * 24, [tile], {}, host_in=[5], host_out=[6]), n)
        machine.stream_in(5, 0, 0, 8, 24, data[:, :, :20])
        stops = [machine.run(("stream", 6, 0, 0, 8, 24, 12)), machine.run("streams")]
        machine.stream_in(5, 0, 0, 8, 24, data[:, :, 20:])
        stops += [machine.run(("stream", 6, 0, 0, 8, 24, 30))]
        out = machine.stream_out_take(6, 0, 0, 8, 24, 30)
        assert (out == data + 1 & 0xFFFF).all()
        found.append((stops, everything(machine)))
    assert found[0][0] == found[1][0]
    same(found[0][1], found[1][1])


ROUTES = """
const memcpy = @import_module("<memcpy/get_params>", .{ .width = 16, .height = 16 });
const c = @get_color(2);
const d = @get_color(3);
layout {
  @set_rectangle(16, 16);
  for (@range(u16, 16)) |y| { for (@range(u16, 16)) |x| {
    const north = y % 4 == 3 and y < 15;  // of a pair of rows at a border
    const south = y % 4 == 0 and y > 0;
    @set_tile_code(x, y, "pe.csl", .{ .memcpy_params = memcpy.get_params(x), .late = (3 * x + 5 * y) % 8, .north = north, .south = south });
    if (north) {
      @set_color_config(x, y, c, .{ .routes = .{ .rx = .{ RAMP }, .tx = .{ SOUTH } } });
      @set_color_config(x, y, d, .{ .routes = .{ .rx = .{ RAMP }, .tx = .{ EAST } } });
    }
    if (south) {
      @set_color_config(x, y, d, .{ .routes = .{ .rx = .{ RAMP }, .tx = .{ NORTH } } });
      @set_color_config(x, y, c, .{ .routes = .{ .rx = .{ RAMP }, .tx = .{ EAST } } });
    }
  } }
  @export_name("out", [*]u32, true);
  @export_name("main", fn()void);
}
"""
ROUTES_PE = """
param memcpy_params;
param late: u16;
param north: bool;
param south: bool;
const sys = @import_module("<memcpy/memcpy>", memcpy_params);
const tile_config = @import_module("<tile_config>");
const c = @get_color(2);
const d = @get_color(3);
const iq = @get_input_queue(2);
const oq = @get_output_queue(3);
var out = @zeros([12]u32);
var out_ptr: [*]u32 = &out;
fn both(comptime there: color, comptime back: color, comptime side: direction) void {
  // more than the queue and the router hold: they wait, because the other side is closed
  @mov32(@get_dsd(fabout_dsd, .{ .extent = 11, .fabric_color = there, .output_queue = oq }), 100 + @as(u32, late),
         .{ .async = true });
  for (@range(u16, 10 + 3 * late)) |i| { out[11] += @as(u32, i); }
  tile_config.color_config.reset_routes(back, .{ .rx = side, .tx = RAMP });
  @mov32(@get_dsd(mem1d_dsd, .{ .tensor_access = |i|{11} -> out[i] }),
         @get_dsd(fabin_dsd, .{ .extent = 11, .fabric_color = back, .input_queue = iq }));
}
fn main() void {
  if (north) { both(c, d, SOUTH); }
  if (south) { both(d, c, NORTH); }
  sys.unblock_cmd_stream();
}
comptime {
  @export_symbol(out_ptr, "out");
  @export_symbol(main);
  if (north) { @initialize_queue(iq, .{ .color = d }); @initialize_queue(oq, .{ .color = c }); }
  if (south) { @initialize_queue(iq, .{ .color = c }); @initialize_queue(oq, .{ .color = d }); }
}
"""


@pytest.mark.parametrize("most", [4, 10_000])
def test_routes_that_change_at_the_border(tmp_path, most):
    """Compute elements of a first or last row open routes for which a router of another band waits; with stops between the
    cycle in which it is told and the one in which it reads that, and without."""
    (tmp_path / "layout.csl").write_text(ROUTES)
    (tmp_path / "pe.csl").write_text(ROUTES_PE)
    built = meshlang.compile(str(tmp_path / "layout.csl"), arch="wse3").ir
    machines = [machine_of(built, n) for n in (1, 2, 3)]
    cycles = []
    for machine in machines:
        machine.launch("main")
        rng = np.random.default_rng(0)
        while machine.commands_outstanding:
            machine.run("commands", max_cycles=int(rng.integers(0, most)))
        cycles.append((machine.cycle, machine.run().cycle))
    assert cycles[0] == cycles[1] == cycles[2]
    same(everything(machines[0]), everything(machines[1]))
    same(everything(machines[0]), everything(machines[2]))


# ---------------------------------------------------------------- threads


@COUNTS
def test_threads(count, monkeypatch):
    monkeypatch.setattr(Bands, "turns", False)
    built = test_ahead.build(1)
    machines = [machine_of(built, n) for n in (1, count)]
    for machine in machines:
        machine.launch("main")
        machine.run(max_cycles=400)
    same(*map(everything, machines))


def test_an_interrupt_waits_until_there_is_one_state(monkeypatch):
    """Ctrl-C while bands run: the machine can go on from there."""
    built = test_ahead.build(2)
    alone, bands = machine_of(built, 1), machine_of(built, 2)
    merge = Bands._merge

    def late(self, code, U):
        signal.raise_signal(signal.SIGINT)
        time.sleep(0.05)
        return merge(self, code, U)

    for machine in (alone, bands):
        machine.launch("main")
    with monkeypatch.context() as patch:
        patch.setattr(Bands, "_merge", late)
        before = signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever starts the tests may ignore it
        try:
            with pytest.raises(KeyboardInterrupt):
                bands.run(max_cycles=100)
        finally:
            signal.signal(signal.SIGINT, before)
    assert bands.state.globals["bands"] == 0
    alone.run(max_cycles=bands.cycle - 1 - alone.cycle)
    assert alone.cycle == bands.cycle
    for machine in (alone, bands):
        machine.run("commands")
        machine.run()
    same(everything(alone), everything(bands))


def test_few_cycles_and_few_visits_are_for_one_thread(monkeypatch):
    monkeypatch.setattr(Bands, "always", False)
    monkeypatch.setattr("meshlang.fabric.bands.COMPILED", True)
    monkeypatch.setattr("meshlang.fabric.bands.ready", lambda: True)
    machine = machine_of(test_ahead.build(0), 2)
    bands, G = machine.state.bands, machine.state.globals

    def pays(cycles, visits):
        bands.visits, G["limit"] = visits, G["now"] + cycles
        return bands.pays(G)

    assert pays(1000, 0) and pays(1000, 1e6)  # it is not known, and it is much
    assert not pays(10, 1e6) and not pays(1000, 5)
    bands.visits = 0
    machine.launch("main")
    machine.run("commands")  # whichever way: the next call knows
    assert 0 < bands.visits < 1000
    monkeypatch.setattr("meshlang.fabric.bands.ready", lambda: False)
    assert not pays(1000, 1e6)  # the engine is being compiled


# ---------------------------------------------------------------- parts


@pytest.mark.parametrize("width", [1, 8, 12, 64, 420, 660, 750])
@pytest.mark.parametrize("height", [1, 7, 8, 64, 100, 420])
def test_bands_begin_with_words_of_the_wheel(width, height):
    for count in (1, 2, 3, 16):
        rows = cuts(width, height, count)
        assert rows[0] == 0 and rows[-1] == height and len(rows) <= count + 1
        assert all(row * width % 64 == 0 for row in rows[:-1])
        assert len(rows) == 2 or (np.diff(rows) >= LEAST_ROWS).all()
    if width % 64 == 0 and height >= 64:
        assert np.ptp(np.diff(cuts(width, height, 4))) <= 1


def test_mapped_with_another_start():
    mapped = Mapped(4 * PAGE + 1)
    mapped.array[:] = np.arange(len(mapped.array))
    other = mapped.with_start(3 * PAGE, PAGE)
    assert len(other) == len(mapped.array) == 5 * PAGE
    assert other[0] == 3 * PAGE and (other[PAGE:] == mapped.array[PAGE:]).all()
    other[1], other[2 * PAGE] = -1, -2
    assert mapped.array[1] == 1 and mapped.array[3 * PAGE + 1] == -1 and mapped.array[2 * PAGE] == -2


def test_numbers_of_threads_that_are_none(monkeypatch, capsys):
    folder = str(ROOT / "programs" / "hello")
    assert main(["run", folder, "--threads", "0"]) == 2
    monkeypatch.setenv("MESHLANG_THREADS", "many")
    assert main(["run", folder]) == 1
    assert "MESHLANG_THREADS is 'many'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("pes", "processors", "expected"), [(65535, 8, 1), (65536, 8, 2), (500_000, 2, 2), (500_000, 1, 1)]
)
def test_threads_if_nobody_says_how_many(pes, processors, expected, monkeypatch):
    monkeypatch.setattr(several.os, "sched_getaffinity", lambda _: set(range(processors)), raising=False)
    assert several.usual(pes) == expected


def test_who_says_how_many_threads(monkeypatch):
    """The call, else the command, else the variable, else the size of the mesh."""
    from meshlang.host import context

    built = meshlang.compile(ROOT / "programs/hello/layout.csl").ir
    given = []
    monkeypatch.setattr("meshlang.host.session.Session", lambda *a: given.append(a[-1]) or SimpleNamespace())
    monkeypatch.setattr("meshlang.fabric.bands.usual", lambda pes: 100 + pes)
    monkeypatch.setattr(context, "_current", context.RunContext())
    monkeypatch.delenv("MESHLANG_THREADS", raising=False)
    context.open_session(built)
    monkeypatch.setenv("MESHLANG_THREADS", "5")
    context.open_session(built)
    context._current.threads = 4
    context.open_session(built)
    context.open_session(built, threads=3)
    assert given == [102, 5, 4, 3]
