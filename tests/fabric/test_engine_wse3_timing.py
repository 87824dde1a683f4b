"""Cycle counts on wse3 against the published WSE-3 measurements (docs/timing.md), where they follow from the model."""

import numpy as np
import pytest
from asm import E, R, Tile, W, fabin, fabout, mem, program

from meshlang.fabric.machine import Machine
from meshlang.ir.isa import Action, Op, Print, Sys, Ty


def marks(tile):
    """Record the cycle."""
    tile.emit(Op.PRINT, 0, -1, Print.TRACE_TIME)


def send_receive(n, width=2, arch="wse3"):
    """Cycles from the send instruction at PE 0 to the first instruction of the receiver's completion task."""
    a = Tile("a.csl")
    x = a.var("x", n, 4, np.arange(n, dtype=np.uint32))
    a.outputs = [(2, 5)]
    a.function("main", export=True)
    # start well after the receiver is ready
    a.const(1, 0)
    a.const(2, 100)
    a.label("wait")
    a.emit(Op.ADDI, 1, 1, 1, Ty.I32)
    a.emit(Op.LT, 3, 1, 2, Ty.I32)
    a.emit(Op.JNZ, 3, "wait")
    marks(a)
    a.op("mov32", ("dsd", fabout(n, 2, 5)), ("dsd", mem(x, n)), is_async=True)
    a.emit(Op.SYS, 0, 0, Sys.CMD_DONE)
    a.ret()
    b = Tile("b.csl")
    y = b.var("y", n, 4)
    b.inputs = [(2, 5)]
    b.blocked = 1 << 2 | 1 << 5
    b.task(9, "local", "ended")
    marks(b)
    b.done()
    b.ret()
    b.function("main", export=True)
    b.op("mov32", ("dsd", mem(y, n)), ("dsd", fabin(n, 2)), is_async=True, action=(Action.ACTIVATE, 9))
    b.ret()
    empty = Tile("empty.csl")
    empty.function("main", export=True)
    empty.done()
    empty.ret()
    between = (W, E)
    routes = {(0, 0): (R, E), **{(i, 0): between for i in range(1, width - 1)}, (width - 1, 0): (W, R)}
    machine = Machine(program([[0] + [2] * (width - 2) + [1]], [a, b, empty], {5: routes}, arch))
    machine.launch("main")
    machine.run("commands", max_cycles=100_000)
    machine.run()
    first, last = (r.cycle for r in machine.print_log)
    return last - first


LOADS = 4  # cycles of the two DSDs that are put into DSRs before the send is issued


def test_eight_words_over_one_hop_take_20_cycles():
    """From the issue of the send to the task that the receive starts. What is published adds up to 19: 7 to the link, 2
    for the hop, 7 more words, 3 to the task. The slope of store-and-forward, 16.1 a stage, asks for a cycle more (task.start)."""
    assert send_receive(8) - LOADS == 20


def test_a_hop_takes_two_cycles_and_a_wavelet_one():
    assert send_receive(8, 12) - send_receive(8, 2) == 20
    assert send_receive(40) - send_receive(8) == 32


@pytest.mark.parametrize("arch", ["wse2"])
def test_a_hop_takes_one_cycle_on_wse2(arch):
    assert send_receive(8, 12, arch) - send_receive(8, 2, arch) == 10
