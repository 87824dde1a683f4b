"""Every fault stops the machine and says where; a deadlock is found exactly and explained."""

import re

import numpy as np
import pytest
from asm import E, R, Tile, W, fabin, fabout, mem, mem4, program

from meshlang.diag import MeshlangError
from meshlang.fabric.engine.faults import Fault
from meshlang.fabric.loader import load
from meshlang.fabric.machine import Machine
from meshlang.fabric.timing import load_profile
from meshlang.ir.isa import DsdKind, Op, Sys, Ty
from meshlang.ir.program import TaskBinding
from meshlang.ir.words import INFINITE, Dsd

EAST = {5: {(0, 0): (R, E), (1, 0): (W, R)}}


def one(emit, *, grid=((0,),), routes=None, others=(), arch="wse3", prepare=None, strict=False):
    """Run `emit` as the body of main on tile 0; returns the diagnostic of the fault."""
    tile = Tile("pe.csl")
    if prepare:
        prepare(tile)
    tile.function("main", export=True)
    emit(tile)
    tile.done()
    tile.ret()
    machine = Machine(program([list(r) for r in grid], [tile, *others], routes, arch), strict=strict)
    machine.launch("main")
    with pytest.raises(MeshlangError) as caught:
        machine.run("commands", max_cycles=100_000)
        machine.run(max_cycles=100_000)  # what goes wrong after the command is done
    assert caught.value.exit_code == 1
    (diagnostic,) = caught.value.diagnostics
    assert any("cycle" in n and "PE (" in n for n in diagnostic.notes)
    return diagnostic


def idle():
    tile = Tile("idle.csl")
    tile.function("main", export=True)
    tile.done()
    tile.ret()
    return tile


def queues(tile):
    tile.outputs, tile.inputs = [(2, 5)], [(3, 6)]
    tile.blocked = 1 << 3


SCALAR = {
    Fault.LOAD: lambda t: (t.const(1, 100_000), t.emit(Op.LD, 2, 1, 0, Ty.U32)),
    Fault.STORE: lambda t: (t.const(1, -4), t.emit(Op.ST, 2, 1, 0, Ty.U32)),
    Fault.DIV_ZERO: lambda t: t.emit(Op.DIV, 1, 0, 0, Ty.I32),
    Fault.SHIFT: lambda t: (t.const(1, 16), t.emit(Op.SHL, 2, 1, 1, Ty.U16)),
    Fault.BOUNDS: lambda t: (t.const(1, 4), t.emit(Op.CHK, 1, 4)),
    Fault.ASSERT: lambda t: t.emit(Op.ASSERT, 0, -1),
    Fault.TRAP: lambda t: t.emit(Op.TRAP, -1),
    Fault.FUNCTION: lambda t: (t.const(1, 99), t.emit(Op.CALLR, 1, 10)),
    Fault.NO_TASK: lambda t: (t.const(1, 20), t.emit(Op.ACTIVATE, 1)),
    Fault.COPY: lambda t: (t.const(1, 16), t.const(2, 16), t.const(3, 100_000), t.emit(Op.COPY, 1, 2, 3)),
    Fault.ASYNC_NO_FABRIC: lambda t: t.op("mov32", ("dsd", mem(t.var("a", 4), 4)), ("scalar", 1), is_async=True),
    Fault.WIDTH: lambda t: t.op("mov32", ("dsd", mem(t.var("a", 8, 1), 4, 1, 1)), ("scalar", 1)),
    Fault.WALK: lambda t: t.op("mov32", ("dsd", mem(t.var("a", 4), 500)), ("scalar", 1)),
    Fault.WALK_NOWHERE: lambda t: t.op("mov32", ("dsd", mem(2, 1)), ("scalar", 1)),
    Fault.OPERAND: lambda t: t.op("mov32", ("dsd", 0), ("scalar", 1)),
    Fault.NO_QUEUE: lambda t: t.op("mov32", ("dsd", mem(t.var("a", 4), 4)), ("dsd", fabin(4, 7))),
    Fault.UNSUPPORTED_DSD: lambda t: t.op("mov32", ("dsd", 7), ("scalar", 1)),
    Fault.ENDLESS_WALK: lambda t: t.op("mov32", ("dsd", mem(t.var("a", 4), INFINITE)), ("scalar", 1)),
}


@pytest.mark.parametrize("fault", SCALAR, ids=lambda f: f.name)
def test_faults_of_one_pe(fault):
    assert one(SCALAR[fault]).code == fault.code


# what hardware lets pass stops a strict run only
TOLERATED = {
    Fault.CMD_DOUBLE: lambda t: (t.done(), t.done()),
    Fault.LENGTH: lambda t: t.op("mov32", ("dsd", mem(t.var("a", 4), 4)), ("dsd", mem(t.var("b", 3), 3))),
}


@pytest.mark.parametrize("fault", TOLERATED, ids=lambda f: f.name)
def test_faults_of_a_strict_run(fault):
    assert one(TOLERATED[fault], strict=True).code == fault.code
    tile = Tile("pe.csl")
    tile.function("main", export=True)
    TOLERATED[fault](tile)
    tile.done()
    tile.ret()
    machine = Machine(program([[0]], [tile]))
    machine.launch("main")
    machine.run()
    assert fault.code in {w.code for w in machine.warnings}
    assert {w.severity for w in machine.warnings} == {"warning"}


def test_a_dsd_that_does_not_exist():
    """Words that were made while the program runs: a walk, and a FIFO, that the program does not have."""
    got = one(lambda t: t.op("mov32", ("dsd", mem4(t.var("a", 4), 3)), ("scalar", 1)))
    assert got.code == Fault.NO_DSD.code == "MS0835"
    fifo = Dsd.pack(kind=DsdKind.FIFO, fifo=2, len=1)
    assert one(lambda t: t.op("mov32", ("dsd", fifo), ("scalar", 1))).code == "MS0835"


def test_a_color_that_the_router_has_not():
    def emit(t):
        t.const(1, 5)
        t.emit(Op.SYS, 2, 1, Sys.FILTER_GET)

    got = one(emit, routes={5: {(0, 0): (R, E)}})
    assert got.code == Fault.NO_CHANNEL.code and "color 5" in got.message


def test_an_instruction_that_does_not_exist():
    """The door lets none in: it can only come from a damaged machine."""
    machine = Machine(program([[0]], [idle()]))
    machine.state.C[::4] = max(Op) + 1
    machine.launch("main")
    with pytest.raises(MeshlangError) as caught:
        machine.run("commands")
    (found,) = caught.value.diagnostics
    assert found.code == Fault.BAD_OPCODE.code and str(max(Op) + 1) in found.message


def test_a_microthread_that_was_never_prepared():
    """WSE-2: an asynchronous send that names no queue would run on the microthread of the loader's own queue."""

    def emit(t):
        t.op("mov32", ("dsd", fabout(4, None, 5)), ("scalar", 1), is_async=True)

    got = one(emit, routes={5: {(0, 0): (R, E)}}, arch="wse2")
    assert got.code == Fault.UT_UNKNOWN.code and "microthread 8" in got.message


@pytest.mark.parametrize("pointer", [False, True])
@pytest.mark.parametrize("apart", [10, 37])
def test_stack_overflow(pointer, apart):
    """A function that calls itself, by name or through a pointer, runs as often as frames fit on the stack."""
    tile = Tile()
    count = tile.var("count", 1)
    tile.function("main", export=True)
    tile.const(3, count)
    tile.emit(Op.LD, 4, 3, 0, Ty.U32)
    tile.emit(Op.ADDI, 4, 4, 1, Ty.U32)
    tile.emit(Op.ST, 4, 3, 0, Ty.U32)
    tile.const(5, 0)
    tile.emit(*((Op.CALLR, 5, apart) if pointer else (Op.CALL, 0, apart)))
    tile.ret()
    machine = Machine(program([[0]], [tile]))
    machine.launch("main")
    with pytest.raises(MeshlangError, match="MS0809"):
        machine.run("commands")
    pe = machine.state.pes[0]
    room = int(pe["regend"] - pe["reg"]) - 2 - machine.program.tiles[0].functions[0].frame
    (runs,) = machine.read_bytes(0, 0, 1, 1, count, 4).view(np.uint32).ravel()
    assert runs == 1 + room // apart


def test_a_walk_names_its_object():
    def emit(t):
        t.var("before", 8)
        a = t.var("module.data", 4)
        t.var("after", 8)
        t.op("mov32", ("dsd", mem(a + 8, 3)), ("scalar", 1))

    assert "module.data" in one(emit, strict=True).message


def test_routing_faults():
    def send(t):
        t.op("mov32", ("dsd", fabout(1, 2, 5)), ("scalar", 1))

    two = ((0, 1),)
    assert one(send, grid=two, routes={5: {(0, 0): (R, E)}}, others=[idle()], prepare=queues).code == "MS0811"
    assert one(send, routes={5: {(0, 0): (R, E)}}, prepare=queues, strict=True).code == "MS0812"
    got = one(send, grid=two, routes={5: {(0, 0): (R, E), (1, 0): (E, R)}}, others=[idle()], prepare=queues)
    assert got.code == "MS0813" and "WEST" in got.message and "PE (1, 0)" in got.message
    assert one(send, routes={}, prepare=queues).code == "MS0822"


def sends_one():
    """A tile whose `main` sends one wavelet of color 5."""
    sender = Tile()
    sender.outputs = [(2, 5)]
    sender.function("main", export=True)
    sender.op("mov32", ("dsd", fabout(1, 2, 5)), ("scalar", 1))
    sender.done()
    sender.ret()
    return sender


def test_two_sides_at_once():
    routes = {5: {(0, 0): (R, E), (1, 0): (W | E, R), (2, 0): (R, W)}}
    machine = Machine(program([[0, 1, 0]], [sends_one(), idle()], routes))
    machine.launch("main")
    machine.pes["cmdtime"][0] = machine.pes["cmdtime"][2]  # both start in the same cycle
    with pytest.raises(MeshlangError) as caught:
        machine.run()
    got = caught.value.diagnostics[0]
    assert got.code == "MS0814" and "PE (1, 0)" in got.message


def test_a_neighbour_and_the_own_ramp_at_once():
    """Whatever the distance of the two starts, but for the one at which both come in the same cycle, it goes well."""
    routes = {5: {(0, 0): (R, E), (1, 0): (W | R, E), (2, 0): (W, R)}}
    found = {}
    for later in range(6):
        machine = Machine(program([[0, 0, 1]], [sends_one(), idle()], routes))
        machine.launch("main")
        machine.pes["cmdtime"][1] = machine.pes["cmdtime"][0] + later
        try:
            machine.run(max_cycles=200)
        except MeshlangError as error:
            found[later] = error.diagnostics[0]
    ((_, got),) = found.items()
    assert got.code == "MS0814" and got.message.startswith("two wavelets of color 5 arrive at PE (1, 0)"), got.message


def test_reentry():
    def twice(t):
        t.op("mov32", ("dsd", mem(t.var("a", 4), 4)), ("dsd", fabin(4, 3)), is_async=True, ut=1)
        t.op("mov32", ("dsd", mem(t.var("b", 4), 4)), ("dsd", fabin(4, 3)), is_async=True, ut=1)

    got = one(twice, prepare=queues)
    assert got.code == "MS0816"
    # which operation holds it, how far it is, and since when
    assert re.search(r"another operation: mov32, 0 of 4 elements, since cycle \d+$", got.message)

    def shared(t):
        t.op("mov32", ("dsd", mem(t.var("a", 4), 4)), ("dsd", fabin(4, 3)), is_async=True, ut=1)
        t.op("mov32", ("dsd", mem(t.var("b", 4), 4)), ("dsd", fabin(4, 3)), is_async=True, ut=2)

    assert one(shared, prepare=queues).code == "MS0817"


def test_tasks_with_other_arguments_are_refused_at_load():
    t = idle()
    p = program([[0]], [t])
    p.tiles[0].tasks.append(TaskBinding(9, "data", 0, ("u64",), "wide"))
    with pytest.raises(MeshlangError, match="MS0850.*u64"):
        load(p, load_profile("wse3"))


def test_code_is_checked_at_load():
    t = Tile()
    t.function("main", export=True)
    t.emit(Op.JMP, 99)
    with pytest.raises(MeshlangError, match="MS0790"):
        Machine(program([[0]], [t]))


def test_a_function_that_is_not_there():
    machine = Machine(program([[0]], [idle()]))
    with pytest.raises(MeshlangError, match="MS0846"):
        machine.launch("nothing")
    machine.launch("main")
    with pytest.raises(MeshlangError, match="MS0844"):
        machine.launch("main")


def deadlock(machine, until="commands"):
    with pytest.raises(MeshlangError) as caught:
        machine.run(until)
    assert caught.value.exit_code == 3
    return caught.value.diagnostics[0]


def test_deadlock_names_queue_color_and_progress():
    a = Tile("a.csl")
    x = a.var("x", 3)
    a.outputs = [(2, 5)]
    a.function("main", export=True)
    a.op("mov32", ("dsd", fabout(3, 2, 5)), ("dsd", mem(x, 3)))
    a.done()
    a.ret()
    b = Tile("b.csl")
    y = b.var("y", 8)
    b.inputs = [(2, 5)]
    b.blocked = 1 << 2
    b.function("main", export=True)
    b.op("mov32", ("dsd", mem(y, 8)), ("dsd", fabin(8, 2)))
    b.done()
    b.ret()
    rows = {(x, y): (R, E) if x == 0 else (W, R) for x in range(2) for y in range(3)}
    machine = Machine(program([[0, 1]] * 3, [a, b], {5: rows}))
    machine.launch("main")
    d = deadlock(machine)
    assert d.code == "MS0860" and "'main' has not finished on 3 PEs" in d.message
    (note,) = [n for n in d.notes if "main thread" in n]
    assert "3 PEs, x 1..1, y 0..2" in note and "mov32, 3 of 8 elements" in note and "input queue 2 (color 5)" in note


def test_deadlock_of_blocked_tasks_and_stuck_wavelets():
    a = Tile("a.csl")
    a.outputs = [(2, 5), (3, 6)]
    a.task(9, "local", "later")
    a.ret()
    a.blocked = 1 << 9
    a.active = 1 << 9
    a.function("main", export=True)
    a.op("mov32", ("dsd", fabout(30, 2, 5)), ("scalar", 1), is_async=True)
    a.op("mov32", ("dsd", fabout(1, 3, 6)), ("scalar", 1), is_async=True)
    a.ret()
    b = idle()
    b.inputs = [(2, 5)]
    b.blocked = 1 << 2
    machine = Machine(program([[0, 1]], [a, b], {**EAST, 6: {(0, 0): (R, E), (1, 0): (W, R)}}))
    machine.launch("main")
    text = "\n".join(deadlock(machine).notes)
    assert "waits for room in output queue 2" in text
    assert "local task later (id 9) is activated, but is blocked" in text
    assert "input queue 2 (color 5) holds" in text and "which no operation takes" in text
    assert "color 5 are stuck in the router" in text
    assert "wavelets of color 6 wait in the router: no input queue takes this color" in text


def test_quiescent_without_expectation_is_no_error():
    machine = Machine(program([[0]], [idle()]))
    assert machine.run().reason == "quiescent"
    machine.launch("main")
    assert machine.run("commands").reason == "commands_done"
    assert machine.run("commands").reason == "commands_done"


def test_unbound_pe_and_memory_limits():
    machine = Machine(program([[0, -1]], [idle()]))
    with pytest.raises(MeshlangError, match="MS0843"):
        machine.read_bytes(2, 0, 1, 1, 0, 4)
    with pytest.raises(MeshlangError, match="MS0847"):
        machine.read_bytes(0, 0, 2, 1, 0, 4)


def test_all_messages_are_well_formed():
    for fault in Fault:
        assert fault.code.startswith("MS08") and fault.message, fault
    assert len({fault.code for fault in Fault}) == len({fault.message for fault in Fault}) == len(Fault)
