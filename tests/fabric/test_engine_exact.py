"""What the engine decides when several things could be next, in exact cycles or an exact order: tasks, microthreads, links, queues."""

import numpy as np
import pytest
from asm import E, R, S, Tile, W, fabin, fabout, mem, mem4, program

from meshlang.fabric.engine import state as s
from meshlang.fabric.machine import Machine
from meshlang.fabric.snapshot import advance_to
from meshlang.fabric.waiting import operation_wait
from meshlang.ir.isa import Action, Op, Sys, Ty
from meshlang.ir.words import DsrConfig, Walk


def words(machine, at, n, x=0, y=0):
    return machine.read_bytes(x, y, 1, 1, at, 4 * n).view(np.uint32).ravel().tolist()


def log(tile, at, value):
    """Append a value to the array at `at`, whose first word counts."""
    tile.const(10, at)
    tile.emit(Op.LD, 11, 10, 0, Ty.U32)
    tile.emit(Op.ADDI, 11, 11, 1, Ty.U32)
    tile.emit(Op.ST, 11, 10, 0, Ty.U32)
    tile.emit(Op.MULI, 11, 11, 4, Ty.U32)
    tile.emit(Op.ADD, 10, 10, 11, Ty.U32)
    tile.const(11, value)
    tile.emit(Op.ST, 11, 10, 0, Ty.U32)


def logged(machine, at):
    (n,) = words(machine, at, 1)
    return words(machine, at + 4, n)


def activate(tile, task):
    tile.const(12, task)
    tile.emit(Op.ACTIVATE, 12)


@pytest.mark.parametrize(
    ("starts", "expected"),
    [
        # {task: whom it activates}; 0 is main
        ({0: [9], 9: [8, 10], 10: [], 8: []}, [9, 10, 8]),  # from 9 on, and around: not from the lowest id
        ({0: [8, 9, 10], 8: [8], 9: [], 10: []}, [8, 9, 10, 8, 8, 8]),  # who starts itself again waits for the others
        ({0: [62, 8], 8: [], 62: [8, 9], 9: []}, [8, 62, 8, 9]),  # the highest id, and on from the lowest
    ],
)
def test_tasks_go_round(starts, expected):
    tile = Tile()
    at = tile.var("log", 16)
    for task, more in starts.items():
        if task == 0:
            continue
        tile.task(task, "local", f"t{task}")
        log(tile, at, task)
        tile.const(10, at)
        tile.emit(Op.LD, 11, 10, 0, Ty.U32)
        tile.const(13, len(expected) - 1)
        tile.emit(Op.LT, 13, 13, 11, Ty.U32)
        tile.emit(Op.JNZ, 13, f"end{task}")
        for other in more:
            activate(tile, other)
        tile.label(f"end{task}")
        tile.ret()
    tile.function("main", export=True)
    for task in starts[0]:
        activate(tile, task)
    tile.done()
    tile.ret()
    machine = Machine(program([[0]], [tile]))
    machine.launch("main")
    machine.run(max_cycles=5_000)
    assert logged(machine, at)[: len(expected)] == expected


def sends(prios, n=6, main=False):
    """One PE that sends on colors 5, 6 ... at once, with these priorities; main: the last by its main thread. The log has the
    order in which the operations end."""
    tile = Tile()
    at, x = tile.var("log", 8), tile.var("x", n, 4, np.arange(n, dtype=np.uint32))
    tile.outputs = [(2 + i, 5 + i) for i in range(len(prios))]
    for i in range(len(prios)):
        tile.task(8 + i, "local", f"ended{i}")
        log(tile, at, 5 + i)
        tile.ret()
    tile.function("main", export=True)
    for i, prio in enumerate(prios):
        mine = main and i == len(prios) - 1
        tile.op(
            "mov32",
            ("dsd", fabout(n, 2 + i, 5 + i)),
            ("dsd", mem(x, n)),
            is_async=not mine,
            prio=prio,
            action=None if mine else (Action.ACTIVATE, 8 + i),
        )
        if mine:
            log(tile, at, 5 + i)
    tile.done()
    tile.ret()
    routes = {5 + i: {(0, 0): (R, (E, S)[i % 2])} for i in range(len(prios))}
    sink = Tile("sink.csl")
    sink.inputs = [(2 + i, 5 + i) for i in range(len(prios))]
    sink.function("main", export=True)
    sink.done()
    sink.ret()
    for i in range(len(prios)):
        routes[5 + i][(1, 0) if i % 2 == 0 else (0, 1)] = ((W, 1)[i % 2], R)
    return Machine(program([[0, 1], [1, -1]], [tile, sink], routes)), at


def progress(machine, pe, threads, cycles):
    """How far operations of a PE are after each cycle: dense thread numbers. None: at rest."""
    found = []
    for _ in range(cycles):
        advance_to(machine, machine.cycle + 1)
        mask = int(machine.pes["utmask"][pe])
        found.append(tuple(operation_wait(machine, pe, t).done if mask >> t & 1 else None for t in threads))
    return [s for s in found if any(done is not None for done in s)]


LOW, MEDIUM, HIGH = 1, 2, 3


def test_a_higher_rank_goes_first():
    """Three sends: whoever has the higher rank has the vector unit in every cycle, whatever was started first."""
    machine, _ = sends([LOW, HIGH, MEDIUM])
    machine.launch("main")
    low = [(0, None, None), *((k, 0, None) for k in range(1, 5))]  # alone until the operands of the others are there
    high = [(4, k, 0) for k in range(1, 6)]
    medium = [(4, None, k) for k in range(6)]
    assert list(dict.fromkeys(progress(machine, 0, (1, 2, 3), 200))) == low + high + medium + [
        (4, None, None),
        (5, None, None),
    ]


def test_equal_ranks_take_turns():
    """Of two sends of one rank the one goes that has waited longer: one step each, in turn."""
    machine, _ = sends([LOW, LOW], n=8)
    machine.launch("main")
    alone = [(0, None), *((k, 0) for k in range(1, 5))]  # until the operands of the second are there
    turns = [(4, 1), (5, 1), (5, 2), (6, 2), (6, 3), (7, 3), (7, 4), (None, 4)]
    assert list(dict.fromkeys(progress(machine, 0, (1, 2), 200))) == [*alone, *turns, *((None, k) for k in range(5, 8))]


def test_the_main_thread_goes_before_a_low_microthread_and_after_a_medium_one():
    for prio, main_first in ((LOW, True), (0, True), (MEDIUM, False), (HIGH, False)):
        machine, _ = sends([prio, 0], n=12, main=True)
        machine.launch("main")
        both = [s for s in progress(machine, 0, (0, 1), 200) if None not in s and s[0] + s[1] > 0]
        started = [s for s in both if s[0] > 0] if main_first else both
        # from when both are there, one of them does not move until the other has ended
        assert len({s[1] if main_first else s[0] for s in started}) == 1, (prio, both)
        assert max(s[0] if main_first else s[1] for s in both) == 11, (prio, both)


def test_an_operation_knows_its_instruction():
    """The one that started it, whatever the main thread runs meanwhile."""
    machine, _ = sends([LOW, MEDIUM, HIGH], n=30)
    machine.launch("main")
    state, tile = machine.state, machine.program.tiles[0]
    while int(state.pes[0]["utmask"]).bit_count() < 3:
        assert machine.cycle < 500
        advance_to(machine, machine.cycle + 1)
    started = [i for i, row in enumerate(tile.code) if int(row[0]) & 0xFF == Op.DSDOP]
    mask, at = int(state.pes[0]["utmask"]), int(state.pes[0]["ut"])
    threads = [t for t in range(1, 4) if mask >> t & 1]
    assert len(threads) == len(started)
    found = [int(state.W[at + t * s.Thread.WORDS + s.Thread.FIELDS["pc"]]) - int(state.code_base[0]) for t in threads]
    assert found == started


def relay(n):
    """(0,0) sends color 5 through (1,0), which sends color 6 itself: both leave (1,0) to the east, one wavelet a cycle."""
    far, near, sink = Tile("far.csl"), Tile("near.csl"), Tile("sink.csl")
    for tile, color in ((far, 5), (near, 6)):
        x = tile.var("x", n, 4, np.arange(n, dtype=np.uint32))
        tile.outputs = [(2, color)]
        tile.function("main", export=True)
        tile.op("mov32", ("dsd", fabout(n, 2, color)), ("dsd", mem(x, n)), is_async=True)
        tile.done()
        tile.ret()
    y, z = sink.var("y", n, 4), sink.var("z", n, 4)
    sink.inputs = [(2, 5), (3, 6)]
    sink.blocked = 1 << 2 | 1 << 3
    sink.function("main", export=True)
    sink.op("mov32", ("dsd", mem(y, n)), ("dsd", fabin(n, 2)), is_async=True)
    sink.op("mov32", ("dsd", mem(z, n)), ("dsd", fabin(n, 3)), is_async=True)
    sink.done()
    sink.ret()
    routes = {5: {(0, 0): (R, E), (1, 0): (W, E), (2, 0): (W, R)}, 6: {(1, 0): (R, E), (2, 0): (W, R)}}
    return Machine(program([[0, 1, 2]], [far, near, sink], routes))


def test_a_link_is_shared_by_two_senders():
    """While both have wavelets for the link they leave in turn, one a cycle: the far sender is not starved by the near one,
    nor the other way."""
    n = 60
    machine = relay(n)
    machine.step_by_step()
    machine.launch("main")
    both = [s for s in progress(machine, 2, (1, 2), 3 * n + 100) if None not in s and min(s) > 4]
    assert len(both) > 2 * n - 20
    assert {(c - a, d - b) for (a, b), (c, d) in zip(both, both[2:], strict=False)} == {(1, 1)}  # strictly in turn
    assert {c + d - a - b for (a, b), (c, d) in zip(both, both[1:], strict=False)} == {1}  # and the link never rests


@pytest.mark.parametrize("express", [True, False])
def test_what_is_delivered_is_counted(express):
    """Every wavelet handed to an input queue counts once, stored at once or step by step."""
    machine = relay(30)
    if not express:
        machine.step_by_step()
    machine.launch("main")
    machine.run()
    stats = machine.stats()
    assert (stats["delivered"], stats["wavelets_sent"], stats["hops"]) == (60, 60, 30 * 2 + 30)


def test_a_full_queue_is_one_with_all_its_places_taken():
    """The status of queues, read while a sender fills one that nobody takes from."""
    sender, reader = Tile("send.csl"), Tile("read.csl")
    x = sender.var("x", 20, 4)
    sender.outputs = [(2, 5)]
    sender.function("main", export=True)
    sender.op("mov32", ("dsd", fabout(20, 2, 5)), ("dsd", mem(x, 20)), is_async=True)
    sender.done()
    sender.ret()
    at = reader.var("seen", 2 * 64)
    reader.inputs = [(4, 5)]
    reader.blocked = 1 << 4
    reader.function("main", export=True)
    for i in range(64):
        for k in (1, 0):  # what is full stays full, so that the status "empty" is read after it
            reader.const(1, k)
            reader.emit(Op.SYS, 3, 1, Sys.IQ_STATUS)
            reader.const(4, at + 8 * i + 4 * k)
            reader.emit(Op.ST, 3, 4, 0, Ty.U32)
    reader.done()
    reader.ret()
    machine = Machine(program([[0, 1]], [sender, reader], {5: {(0, 0): (R, E), (1, 0): (W, R)}}))
    (queue,) = machine.state.queues(1, False)
    depth, room = int(queue["depth"]), int(queue["cap"])
    machine.launch("main")
    held = []
    for _ in range(1200):
        machine.run(max_cycles=1)
        held.append(int(machine.state.queues(1, False)[0]["count"]))
    seen = np.array(words(machine, at, 128, x=1)).reshape(64, 2)
    assert max(held) == room > depth > 2  # the pipeline in front of it has places, too
    assert seen[0].tolist() == [0xFF, 0] and seen[-1].tolist() == [0xFF & ~(1 << 4), 1 << 4]
    assert {tuple(row) for row in seen.tolist()} <= {(0xFF, 0), (0xEF, 0), (0xEF, 0x10)}


def test_an_accumulation_that_a_control_wavelet_ends():
    """What has come is in the sum, and the action is that of the control wavelet."""
    a, b = Tile("send.csl"), Tile("sum.csl")
    data = np.array([1.5, 2.0, 4.0], np.float32)
    x, c = a.var("x", 3, 4, data.view(np.uint32)), a.var("c", 1, 4, np.array([31 << 16], np.uint32))
    a.outputs = [(2, 5)]
    a.function("main", export=True)
    a.op("mov32", ("dsd", fabout(3, 2, 5)), ("dsd", mem(x, 3)))
    a.op("mov32", ("dsd", fabout(1, 2, 5, control=1)), ("dsd", mem(c, 1)))
    a.done()
    a.ret()
    at, out = b.var("log", 4), b.var("out", 1, 4)
    b.inputs = [(2, 5)]
    b.blocked = 1 << 2
    for task in (9, 10):
        b.task(task, "local", f"t{task}")
        log(b, at, task)
        b.ret()
    b.function("main", export=True)
    b.op(
        "fadds",
        ("pointer", out),
        ("scalar", int(np.float32(8).view(np.uint32))),
        ("dsd", fabin(10, 2)),
        is_async=True,
        action=(Action.ACTIVATE, 9),
        on_control=(Action.ACTIVATE, 10),
    )
    b.done()
    b.ret()
    machine = Machine(program([[0, 1]], [a, b], {5: {(0, 0): (R, E), (1, 0): (W, R)}}))
    machine.launch("main")
    machine.run()
    (n,) = words(machine, at, 1, x=1)
    assert words(machine, at + 4, n, x=1) == [10]
    assert np.array(words(machine, out, 1, x=1), np.uint32).view(np.float32).item() == 15.5


def test_a_walk_in_more_dimensions_goes_on_where_it_was():
    """save_address of a mem4d: the next operation takes the elements after those of the one before, in both dimensions."""
    tile = Tile()
    x = tile.var("x", 24, 4, np.arange(24, dtype=np.uint32))
    y = tile.var("y", 12, 4)
    row = Walk.make()
    row[Walk.rank] = 2
    row[Walk.ext], row[Walk.ext + 1] = 2, 3
    row[Walk.stride], row[Walk.stride + 1] = 1, 4  # natural steps 1 and 6
    tile.m4 = [row]
    tile.dsrs = [("src1", 1)]
    tile.configs = [DsrConfig.make(save=1, ut=-1)]
    tile.dsr_init = [(0, mem4(x, 0), 0, 0, 0)]
    tile.function("main", export=True)
    for i in range(2):
        tile.op("mov32", ("dsd", mem(y + 24 * i, 6)), ("dsr", 0))
    tile.done()
    tile.ret()
    machine = Machine(program([[0]], [tile]))
    machine.launch("main")
    machine.run()
    assert words(machine, y, 6) == [0, 1, 2, 6, 7, 8]
    assert words(machine, y + 24, 6) == [12, 13, 14, 18, 19, 20]
