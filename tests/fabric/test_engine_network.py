"""Routers, queues, tasks and microthreads."""

import numpy as np
import pytest
from asm import E, N, R, S, Tile, W, fabin, fabout, mem, program

from meshlang.diag import MeshlangError
from meshlang.fabric.engine import state as s
from meshlang.fabric.machine import Machine
from meshlang.ir.isa import Action, Op, Ty
from meshlang.ir.words import INFINITE, DsrConfig


def words(machine, x, y, at, n, dtype=np.uint32):
    size = np.dtype(dtype).itemsize
    return machine.read_bytes(x, y, 1, 1, at, n * size).view(dtype).ravel().tolist()


def launch(machine, **kw):
    machine.launch("main")
    return machine.run("commands", max_cycles=100_000, **kw)


def sender(n, color=5, queue=2, values=None, **kw):
    tile = Tile("send.csl")
    values = np.arange(n, dtype=np.uint32) * 3 + 1 if values is None else values
    x = tile.var("x", n, values.dtype.itemsize, values)
    tile.outputs = [(queue, color)]
    tile.function("main", export=True)
    name = "mov16" if values.dtype.itemsize == 2 else "mov32"
    tile.op(name, ("dsd", fabout(n, queue, color, **kw)), ("dsd", mem(x, n, 1, values.dtype.itemsize)))
    tile.done()
    tile.ret()
    return tile


def receiver(n, color=5, queue=2, size=4, simd=0):
    tile = Tile("receive.csl")
    y = tile.var("y", n, size)
    tile.inputs = [(queue, color)]
    tile.blocked = 1 << queue | 1 << color
    tile.function("main", export=True)
    tile.op("mov16" if size == 2 else "mov32", ("dsd", mem(y, n, 1, size)), ("dsd", fabin(n, queue, color, simd=simd)))
    tile.done()
    tile.ret()
    return tile, y


@pytest.mark.parametrize("arch", ["wse2", "wse3"])
@pytest.mark.parametrize("n", [1, 5, 200])
def test_one_color_one_send(arch, n):
    b, y = receiver(n)
    machine = Machine(program([[0, 1]], [sender(n), b], {5: {(0, 0): (R, E), (1, 0): (W, R)}}, arch))
    launch(machine)
    assert words(machine, 1, 0, y, n) == [3 * i + 1 for i in range(n)]


def test_broadcast_takes_B_plus_P_plus_ramps():
    """Near-Optimal Wafer-Scale Reduce, broadcast: B + P + 2 T_R cycles, from the first wavelet sent to the last
    received (hop 1)."""

    def last(width, n):
        b, y = receiver(n)
        routes = {(0, 0): (R, E), **{(x, 0): (W, E | R) for x in range(1, width - 1)}, (width - 1, 0): (W, R)}
        machine = Machine(program([[0] + [1] * (width - 1)], [sender(n), b], {5: routes}, "wse2"))
        cycle = launch(machine).cycle
        for x in range(1, width):
            assert words(machine, x, 0, y, n) == [3 * i + 1 for i in range(n)]
        return cycle

    # the launch reaches each PE one cycle later too, so compare totals: one cycle per wavelet, one per hop
    assert last(16, 64) - last(16, 32) == 32
    assert last(24, 32) - last(16, 32) == 8


@pytest.mark.parametrize("hold", [50, 500])
def test_back_pressure_keeps_all(hold):
    """The receiver starts late: everything waits on the way, nothing is lost, order is kept."""
    n = 100
    a = sender(n)
    b = Tile()
    y = b.var("y", n, 4)
    b.inputs = [(2, 5)]
    b.blocked = 1 << 2
    b.function("main", export=True)
    b.const(1, 0)
    b.const(2, hold)
    b.label("wait")
    b.emit(Op.ADDI, 1, 1, 1, Ty.I32)
    b.emit(Op.LT, 3, 1, 2, Ty.I32)
    b.emit(Op.JNZ, 3, "wait")
    b.op("mov32", ("dsd", mem(y, n)), ("dsd", fabin(n, 2)))
    b.done()
    b.ret()
    machine = Machine(program([[0, 1]], [a, b], {5: {(0, 0): (R, E), (1, 0): (W, R)}}))
    launch(machine)
    assert words(machine, 1, 0, y, n) == [3 * i + 1 for i in range(n)]


def test_multicast_is_all_or_nothing():
    """Of two receivers one starts late; the other cannot run ahead by more than the buffers."""
    n = 60
    b, y = receiver(n)
    slow = Tile("slow.csl")
    z = slow.var("z", n, 4)
    slow.inputs = [(2, 5)]
    slow.blocked = 1 << 2
    slow.function("main", export=True)
    slow.const(1, 0)
    slow.const(2, 300)
    slow.label("wait")
    slow.emit(Op.ADDI, 1, 1, 1, Ty.I32)
    slow.emit(Op.LT, 3, 1, 2, Ty.I32)
    slow.emit(Op.JNZ, 3, "wait")
    slow.op("mov32", ("dsd", mem(z, n)), ("dsd", fabin(n, 2)))
    slow.done()
    slow.ret()
    routes = {(1, 1): (R, N | S), (1, 0): (S, R), (1, 2): (N, R)}
    machine = Machine(program([[-1, 1, -1], [-1, 0, -1], [-1, 2, -1]], [sender(n), b, slow], {5: routes}))
    machine.launch("main")
    machine.run(max_cycles=400)
    received = machine.stats()["received"]
    assert 0 < received[0, 1] < 25 and received[2, 1] == 0
    machine.run("commands", max_cycles=10_000)
    assert words(machine, 1, 0, y, n) == words(machine, 1, 2, z, n) == [3 * i + 1 for i in range(n)]


def test_two_colors_share_a_link_fairly():
    """One wavelet per link and cycle over all colors: two streams of n take about 2 n cycles, and neither waits for the
    other's end."""
    n = 200
    tile = Tile()
    x = tile.var("x", n, 4, np.arange(n, dtype=np.uint32))
    tile.outputs = [(2, 5), (3, 6)]
    tile.task(8, "local", "ended")
    tile.done()
    tile.ret()
    tile.function("main", export=True)
    tile.op("mov32", ("dsd", fabout(n, 2, 5)), ("dsd", mem(x, n)), is_async=True)
    tile.op("mov32", ("dsd", fabout(n, 3, 6)), ("dsd", mem(x, n)), is_async=True, action=(Action.ACTIVATE, 8))
    tile.ret()
    b = Tile()
    y, z = b.var("y", n, 4), b.var("z", n, 4)
    b.inputs = [(2, 5), (3, 6)]
    b.blocked = 1 << 2 | 1 << 3
    b.task(8, "local", "ended")
    b.done()
    b.ret()
    b.function("main", export=True)
    b.op("mov32", ("dsd", mem(y, n)), ("dsd", fabin(n, 2)), is_async=True)
    b.op("mov32", ("dsd", mem(z, n)), ("dsd", fabin(n, 3)), is_async=True, action=(Action.ACTIVATE, 8))
    b.ret()
    places = {(0, 0): (R, E), (1, 0): (W, R)}
    machine = Machine(program([[0, 1]], [tile, b], {5: places, 6: places}))
    machine.launch("main")
    arrives = machine.profile["fabric.launch_latency"] + 2
    machine.run(max_cycles=arrives + 200)
    half = machine.stats()["received"][0, 1]
    stop = machine.run("commands", max_cycles=10_000)
    assert words(machine, 1, 0, y, n) == words(machine, 1, 0, z, n) == list(range(n))
    assert 2 * n < stop.cycle - arrives < 2 * n + 28
    assert half > 150


@pytest.mark.parametrize("n", [2, 7, 32])
def test_simd_packs_two_elements(n):
    """SIMD modes: two 16-bit elements in a wavelet, low half first; an odd last element is alone."""
    data = np.arange(n, dtype=np.uint16) + 100
    b, y = receiver(n, size=2, simd=1)
    machine = Machine(program([[0, 1]], [sender(n, values=data, simd=3), b], {5: {(0, 0): (R, E), (1, 0): (W, R)}}))
    launch(machine)
    assert words(machine, 1, 0, y, n, np.uint16) == data.tolist()
    assert machine.stats()["wavelets_sent"] == (n + 1) // 2
    # unpacked receiver: low halves, and a packed send seen as raw wavelets
    b, y = receiver((n + 1) // 2)
    machine = Machine(program([[0, 1]], [sender(n, values=data, simd=1), b], {5: {(0, 0): (R, E), (1, 0): (W, R)}}))
    launch(machine)
    padded = np.append(data, np.zeros(n % 2, np.uint16))
    assert words(machine, 1, 0, y, (n + 1) // 2) == padded.view(np.uint32).tolist()


@pytest.mark.parametrize("step_by_step", [False, True])
@pytest.mark.parametrize("simd", [0, 1])
@pytest.mark.parametrize("n", [1, 4, 5])
def test_a_receive_without_end_stays_in_its_vector(n, simd, step_by_step):
    """Also where a wavelet has two elements, and there is room for one."""
    data = np.arange(8, dtype=np.uint16) + 100
    tile = Tile("receive.csl")
    y, guard = tile.var("y", n, 2), tile.var("guard", 4, 2, np.full(4, 7, np.uint16))
    tile.inputs, tile.blocked = [(2, 5)], 1 << 2 | 1 << 5
    tile.function("main", export=True)
    tile.op("mov16", ("dsd", mem(y, n, 1, 2)), ("dsd", fabin(0x7FFF, 2, 5, simd=simd)))
    tile.done()
    tile.ret()
    machine = Machine(
        program([[0, 1]], [sender(8, values=data, simd=simd), tile], {5: {(0, 0): (R, E), (1, 0): (W, R)}})
    )
    if step_by_step:
        machine.step_by_step()
    with pytest.raises(MeshlangError, match=f"MS0832.*memory vector of {n} elements"):
        launch(machine)
    whole = n - n % 2 if simd else n
    assert words(machine, 1, 0, y, n, np.uint16) == [*data[:whole], *[0] * (n - whole)]
    assert words(machine, 1, 0, guard, 4, np.uint16) == [7] * 4


def test_sixteen_bits_go_alone_without_simd_and_carry_an_index():
    data = np.array([7, 8, 9], np.uint16)
    tile = Tile()
    x = tile.var("x", 3, 2, data)
    tile.outputs = [(2, 5)]
    tile.function("main", export=True)
    tile.op("mov16", ("dsd", fabout(3, 2, 5, wio=1)), ("dsd", mem(x, 3, 1, 2)), index=0x1234)
    tile.op("mov16", ("dsd", fabout(3, 2, 5)), ("dsd", mem(x, 3, 1, 2)))
    tile.done()
    tile.ret()
    b, y = receiver(6)
    machine = Machine(program([[0, 1]], [tile, b], {5: {(0, 0): (R, E), (1, 0): (W, R)}}))
    launch(machine)
    assert words(machine, 1, 0, y, 6) == [0x12340007, 0x12340008, 0x12340009, 7, 8, 9]


@pytest.mark.parametrize(
    ("args", "expected"),
    [(("u32",), [0x8001FFFE]), (("u16",), [0xFFFE]), (("i16",), [0xFFFFFFFE]), (("i16", "u16"), [0xFFFFFFFE, 0x8001])],
)
@pytest.mark.parametrize("arch", ["wse2", "wse3"])
def test_data_task(arch, args, expected):
    """One start per wavelet, payload split among the arguments."""
    a = sender(3, values=np.full(3, 0x8001FFFE, np.uint32))
    b = Tile()
    out = b.var("out", 8, 4)
    count = b.var("count", 1, 4)
    b.inputs = [(2, 5)]
    b.task(5 if arch == "wse2" else 2, "data", "take", args)
    for i in range(len(args)):
        b.emit(Op.LDI, 5, out + 4 * i)
        b.emit(Op.ST, 1 + i, 5, 0, Ty.U32)
    b.emit(Op.LDI, 5, count)
    b.emit(Op.LD, 6, 5, 0, Ty.U32)
    b.emit(Op.ADDI, 6, 6, 1, Ty.U32)
    b.emit(Op.ST, 6, 5, 0, Ty.U32)
    b.emit(Op.LDI, 7, 3)
    b.emit(Op.EQ, 7, 7, 6, Ty.U32)
    b.emit(Op.JZ, 7, "end")
    b.done()
    b.label("end")
    b.ret()
    b.function("main", export=True)
    b.ret()
    machine = Machine(program([[0, 1]], [a, b], {5: {(0, 0): (R, E), (1, 0): (W, R)}}, arch))
    launch(machine)
    assert words(machine, 1, 0, out, len(args)) == expected
    assert words(machine, 1, 0, count, 1) == [3]


def test_control_tasks():
    """Control wavelets start the task of their id; unbound ids are consumed; a blocked channel holds them."""
    payloads = np.array([40 << 16 | 11, 31 << 16, 41 << 16 | 22], np.uint32)
    a = sender(3, values=payloads, control=1)
    b = Tile()
    out = b.var("out", 2, 4)
    b.inputs = [(2, 5)]
    b.blocked = 1 << 2
    for i, ident in enumerate((40, 41)):
        b.task(ident, "control", f"c{ident}", ("u16",))
        b.emit(Op.LDI, 5, out + 4 * i)
        b.emit(Op.ST, 1, 5, 0, Ty.U32)
        if ident == 41:
            b.done()
        b.ret()
    b.task(9, "local", "open")
    b.emit(Op.LDI, 1, 2)
    b.emit(Op.UNBLOCK, 1)
    b.ret()
    b.function("main", export=True)
    b.emit(Op.LDI, 1, 9)
    b.emit(Op.ACTIVATE, 1)
    b.ret()
    machine = Machine(program([[0, 1]], [a, b], {5: {(0, 0): (R, E), (1, 0): (W, R)}}))
    launch(machine)
    assert words(machine, 1, 0, out, 2) == [11, 22]


def test_on_control_ends_an_operation():
    """A control wavelet ends the op before its extent, is consumed, and its action fires (not the completion
    action)."""
    a = Tile()
    x = a.var("x", 3, 4, np.array([1, 2, 3], np.uint32))
    c = a.var("c", 1, 4, np.array([31 << 16], np.uint32))
    a.outputs = [(2, 5)]
    a.function("main", export=True)
    a.op("mov32", ("dsd", fabout(3, 2, 5)), ("dsd", mem(x, 3)))
    a.op("mov32", ("dsd", fabout(1, 2, 5, control=1)), ("dsd", mem(c, 1)))
    a.done()
    a.ret()
    b = Tile()
    y = b.var("y", 10, 4)
    b.inputs = [(2, 5)]
    b.blocked = 1 << 2
    b.task(9, "local", "wrong")
    b.emit(Op.TRAP, -1)
    b.task(10, "local", "right")
    b.done()
    b.ret()
    b.function("main", export=True)
    b.op(
        "mov32",
        ("dsd", mem(y, 10)),
        ("dsd", fabin(10, 2)),
        is_async=True,
        action=(Action.ACTIVATE, 9),
        on_control=(Action.ACTIVATE, 10),
    )
    b.ret()
    machine = Machine(program([[0, 1]], [a, b], {5: {(0, 0): (R, E), (1, 0): (W, R)}}))
    launch(machine)
    assert words(machine, 1, 0, y, 4) == [1, 2, 3, 0]
    assert machine.run().reason == "quiescent"


@pytest.mark.parametrize("arch", ["wse2", "wse3"])
def test_asynchronous_join(arch):
    """block + activate + unblock: a task starts when a send and a receive are both complete."""
    n = 16
    tiles, places = [], {}
    for me, (out_color, in_color) in enumerate(((5, 6), (6, 5))):
        t = Tile(f"pe{me}.csl")
        x = t.var("x", n, 4, np.arange(n, dtype=np.uint32) + 100 * me)
        y = t.var("y", n, 4)
        t.outputs = [(2, out_color)]
        t.inputs = [(3, in_color)]
        t.blocked = 1 << 12 | 1 << 3 | 1 << in_color
        t.task(12, "local", "joined")
        t.done()
        t.ret()
        t.function("main", export=True)
        t.op("mov32", ("dsd", fabout(n, 2, out_color)), ("dsd", mem(x, n)), is_async=True, action=(Action.ACTIVATE, 12))
        t.op("mov32", ("dsd", mem(y, n)), ("dsd", fabin(n, 3, in_color)), is_async=True, action=(Action.UNBLOCK, 12))
        t.ret()
        tiles.append(t)
    places = {5: {(0, 0): (R, E), (1, 0): (W, R)}, 6: {(1, 0): (R, W), (0, 0): (E, R)}}
    machine = Machine(program([[0, 1]], tiles, places, arch))
    launch(machine)
    assert words(machine, 0, 0, y, n) == [100 + i for i in range(n)]
    assert words(machine, 1, 0, y, n) == list(range(n))


def test_compute_while_receiving_and_sending():
    """fabin -> operation -> fabout: a chain adds its own vector on the way, at full rate."""
    n = 50
    mid = Tile("mid.csl")
    v = mid.var("v", n, 4, np.full(n, 10, np.float32))
    mid.inputs, mid.outputs = [(2, 5), (4, 6)], [(3, 6), (5, 5)]
    mid.blocked = 1 << 2 | 1 << 4
    mid.function("main", export=True)
    mid.op("fadds", ("dsd", fabout(n, 3, 6)), ("dsd", mem(v, n)), ("dsd", fabin(n, 2, 5)))
    mid.done()
    mid.ret()
    data = np.arange(n, dtype=np.float32)
    first = sender(n, values=data.view(np.uint32))
    last, y = receiver(n, color=6, queue=4)
    machine = Machine(
        program(
            [[0, 1, 2]], [first, mid, last], {5: {(0, 0): (R, E), (1, 0): (W, R)}, 6: {(1, 0): (R, E), (2, 0): (W, R)}}
        )
    )
    launch(machine)
    assert np.array(words(machine, 2, 0, y, n), np.uint32).view(np.float32).tolist() == (data + 10).tolist()


def test_reduction_from_the_fabric():
    data = (np.arange(20) + 0.5).astype(np.float32)
    b = Tile()
    out = b.var("out", 1, 4)
    b.inputs = [(2, 5)]
    b.blocked = 1 << 2
    b.function("main", export=True)
    b.op("fadds", ("pointer", out), ("scalar", int(np.float32(3).view(np.uint32))), ("dsd", fabin(20, 2)))
    b.done()
    b.ret()
    machine = Machine(
        program([[0, 1]], [sender(20, values=data.view(np.uint32)), b], {5: {(0, 0): (R, E), (1, 0): (W, R)}})
    )
    launch(machine)
    assert np.array(words(machine, 1, 0, out, 1), np.uint32).view(np.float32).item() == data.sum() + 3


def test_operations_through_dsrs():
    """async, action and microthread come from @load_to_dsr."""
    n = 6
    a = Tile()
    x = a.var("x", n, 4, np.arange(n, dtype=np.uint32))
    a.outputs = [(2, 5)]
    a.dsrs = [("dest", 1), ("src1", 1)]
    row = DsrConfig.make(async_=1, action=Action.ACTIVATE, ut=6)
    a.configs = [row]
    a.task(9, "local", "ended")
    a.done()
    a.ret()
    a.function("main", export=True)
    a.const(1, fabout(n, 2, 5))
    a.emit(Op.LDI, 2, 9)
    a.emit(Op.DSRLD, 0, 1, 0)
    a.const(4, mem(x, n))
    a.emit(Op.DSRLD, 1, 4, -1)
    a.op("mov32", ("dsr", 0), ("dsr", 1))
    a.ret()
    b, y = receiver(n)
    machine = Machine(program([[0, 1]], [a, b], {5: {(0, 0): (R, E), (1, 0): (W, R)}}))
    launch(machine)
    assert words(machine, 1, 0, y, n) == list(range(n))


def test_element_access_on_the_fabric():
    """ELD and EST wait for wavelets and for room."""
    n = 30
    b = Tile()
    b.inputs, b.outputs = [(2, 5)], [(3, 6)]
    b.blocked = 1 << 2
    b.function("main", export=True)
    b.const(1, fabin(n, 2, 5))
    b.const(2, fabout(n, 3, 6))
    b.const(3, 0)
    b.const(4, n)
    b.label("next")
    b.emit(Op.ELD, 5, 1, 3, Ty.U32)
    b.emit(Op.MULI, 5, 5, 2, Ty.U32)
    b.emit(Op.EST, 5, 2, 3, Ty.U32)
    b.emit(Op.ADDI, 3, 3, 1, Ty.I32)
    b.emit(Op.LT, 6, 3, 4, Ty.I32)
    b.emit(Op.JNZ, 6, "next")
    b.done()
    b.ret()
    c, y = receiver(n, color=6, queue=4)
    machine = Machine(
        program(
            [[0, 1, 2]], [sender(n), b, c], {5: {(0, 0): (R, E), (1, 0): (W, R)}, 6: {(1, 0): (R, E), (2, 0): (W, R)}}
        )
    )
    launch(machine)
    assert words(machine, 2, 0, y, n) == [2 * (3 * i + 1) for i in range(n)]


def test_loopback_through_the_ramp():
    t = Tile()
    x, y = t.var("x", 12, 4, np.arange(12, dtype=np.uint32)), t.var("y", 12, 4)
    t.outputs, t.inputs = [(2, 5)], [(2, 5)]
    t.blocked = 1 << 2
    t.function("main", export=True)
    t.op("mov32", ("dsd", fabout(12, 2, 5)), ("dsd", mem(x, 12)), is_async=True)
    t.op("mov32", ("dsd", mem(y, 12)), ("dsd", fabin(12, 2)))
    t.done()
    t.ret()
    machine = Machine(program([[0]], [t], {5: {(0, 0): (R, R)}}))
    launch(machine)
    assert words(machine, 0, 0, y, 12) == list(range(12))


def test_endless_operation_pumps_what_comes():
    b = Tile()
    b.inputs, b.outputs = [(2, 5)], [(3, 6)]
    b.blocked = 1 << 2
    b.function("main", export=True)
    b.op("mov32", ("dsd", fabout(INFINITE, 3, 6)), ("dsd", fabin(INFINITE, 2)), is_async=True)
    b.done()
    b.ret()
    c, y = receiver(40, color=6, queue=4)
    machine = Machine(
        program(
            [[0, 1, 2]], [sender(40), b, c], {5: {(0, 0): (R, E), (1, 0): (W, R)}, 6: {(1, 0): (R, E), (2, 0): (W, R)}}
        )
    )
    launch(machine)
    assert words(machine, 2, 0, y, 40) == [3 * i + 1 for i in range(40)]


def test_blocked_microthread_waits():
    b, y = receiver(4)
    t = Tile()
    x = t.var("x", 4, 4, np.arange(4, dtype=np.uint32) * 3 + 1)
    t.outputs = [(2, 5)]
    t.ut_blocked = 1 << 6
    t.function("main", export=True)
    t.op("mov32", ("dsd", fabout(4, 2, 5)), ("dsd", mem(x, 4)), is_async=True, ut=6)
    t.done()
    t.ret()
    t.function("go", export=True)
    t.emit(Op.LDI, 1, 6)
    t.emit(Op.UTUNBLOCK, 1)
    t.done()
    t.ret()
    machine = Machine(program([[0, 1]], [t, b], {5: {(0, 0): (R, E), (1, 0): (W, R)}}))
    machine.launch("main")
    with pytest.raises(MeshlangError) as caught:
        machine.run("commands")
    assert "microthread 6" in str(caught.value.diagnostics[0].notes)
    assert words(machine, 1, 0, y, 4) == [0, 0, 0, 0]


def test_host_streams():
    """Streams in and out: values, order, back-pressure, and taking them in pieces."""
    t = Tile()
    t.inputs, t.outputs = [(2, 5)], [(3, 6)]
    t.blocked = 1 << 2
    t.active = 1 << 9
    t.task(9, "local", "start")
    t.op("add16", ("dsd", fabout(INFINITE, 3, 6)), ("dsd", fabin(INFINITE, 2)), ("scalar", 1), is_async=True)
    t.ret()
    machine = Machine(program([[0, 0], [0, 0]], [t], {}, host_in=[5], host_out=[6]))
    data = np.arange(2 * 2 * 50, dtype=np.uint32).reshape(2, 2, 50)
    machine.stream_in(5, 0, 0, 2, 2, data[:, :, :20])
    assert machine.run(("stream", 6, 0, 0, 2, 2, 20)).reason == "stream"
    machine.stream_in(5, 0, 0, 2, 2, data[:, :, 20:35])
    machine.stream_in(5, 0, 0, 2, 2, data[:, :, 35:])
    head = machine.stream_out_take(6, 0, 0, 2, 2, 10)
    assert machine.stream_out_available(6, 1, 1) == 10
    machine.run(("stream", 6, 0, 0, 2, 2, 40))
    rest = machine.stream_out_take(6, 0, 0, 2, 2, 40)
    assert (np.concatenate([head, rest], axis=2) == data + 1).all()
    assert machine.stream_in_pending(5) == 0


def test_same_run_twice_is_the_same():
    def once():
        machine = Machine(program(*mesh()))
        launch(machine)
        return machine.state.W.tobytes(), machine.state.U.tobytes(), machine.state.M8.tobytes()

    def mesh():
        n = 20
        a = sender(n)
        b, _ = receiver(n)
        routes = {(x, y): (W, E | R) if 0 < x < 7 else (R, E) if x == 0 else (W, R) for y in range(8) for x in range(8)}
        return [[0] + [1] * 7] * 8, [a, b], {5: routes}

    assert once() == once()


def test_long_clock():
    """Arrival times have 32 bits: a machine that runs past 2^32 cycles goes on working."""
    b, y = receiver(300)
    machine = Machine(program([[0, 1]], [sender(300), b], {5: {(0, 0): (R, E), (1, 0): (W, R)}}))
    machine.run()
    for quarter in range(1, 4):
        machine.state.W[s.Globals.now] = quarter << 30
        machine._bring_forward()
    machine.state.W[s.Globals.now] = (1 << 32) - 250
    launch(machine)
    assert machine.cycle > 1 << 32
    assert words(machine, 1, 0, y, 300) == [3 * i + 1 for i in range(300)]
