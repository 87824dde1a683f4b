"""Express delivery (fabric/express.py) changes nothing but the time it takes: random programs, once with it and once
step by step."""

from __future__ import annotations

import numpy as np
import pytest
from asm import E, R, Tile, W, fabin, fabout, mem, program

from meshlang.fabric.engine import state as s
from meshlang.fabric.machine import Machine
from meshlang.ir import isa
from meshlang.ir.isa import Action, Op, Ty

COLORS = (4, 5, 6)


def split(rng, total):
    """A number as a sum of one to three parts."""
    cuts = np.sort(rng.integers(1, max(total, 2), int(rng.integers(0, 3))))
    return [int(n) for n in np.diff([0, *cuts, total]) if n]


def wait(tile, turns):
    """A loop of so many turns."""
    label = f"wait{len(tile.code)}"
    tile.emit(Op.LDI, 1, 0)
    tile.emit(Op.LDI, 2, turns)
    tile.label(label)
    tile.emit(Op.ADDI, 1, 1, 1, Ty.I32)
    tile.emit(Op.LT, 3, 1, 2, Ty.I32)
    tile.emit(Op.JNZ, 3, label)


def chain(tile, first_task, starts):
    """Local tasks, each of which runs one of `starts`; the completion of its operation activates the next."""
    for i, start in enumerate(starts):
        tile.task(first_task + i, "local", f"step{first_task + i}")
        start((Action.ACTIVATE, first_task + i + 1))
        tile.ret()
    tile.task(first_task + len(starts), "local", f"end{first_task}")
    tile.ret()


def begin(tile, tasks):
    tile.function("main", export=True)
    for task in tasks:
        tile.emit(Op.LDI, 1, task)
        tile.emit(Op.ACTIVATE, 1)
    tile.done()
    tile.ret()


def source(rng, totals):
    tile = Tile("source.csl")
    tile.outputs = list(enumerate(COLORS))
    first = []
    for j, (color, total) in enumerate(zip(COLORS, totals, strict=True)):
        data = tile.var(f"x{j}", total, 4, rng.integers(0, 1 << 32, total, dtype=np.uint32))
        starts, at = [], data
        for n in split(rng, total):
            late = int(rng.integers(0, 40))

            def start(action, n=n, at=at, j=j, color=color, late=late):
                wait(tile, late)
                tile.op("mov32", ("dsd", fabout(n, j, color)), ("dsd", mem(at, n)), is_async=True, action=action)

            starts.append(start)
            at += 4 * n
        chain(tile, 8 + 5 * j, starts)
        first.append(8 + 5 * j)
    begin(tile, first)
    return tile


def sink(rng, totals):
    """Receives every color, in parts; most of them plain, some through arithmetic, some by a stop of the main
    thread."""
    tile = Tile("sink.csl")
    tile.inputs = list(enumerate(COLORS))
    tile.blocked = 0b111 | sum(1 << c for c in COLORS)
    first = []
    for j, (color, total) in enumerate(zip(COLORS, totals, strict=True)):
        starts = []
        for n in split(rng, total):
            kind = rng.choice(["mov32", "mov16", "simd", "fmovs", "add", "gap"], p=[0.3, 0.15, 0.25, 0.1, 0.1, 0.1])
            late, prio, alone = int(rng.integers(0, 30)), int(rng.integers(0, 4)), bool(rng.random() < 0.15)
            y = tile.var(f"y{j}_{len(starts)}", 4 * n, 4)

            def start(action, n=n, kind=kind, late=late, prio=prio, alone=alone, y=y, j=j, color=color):
                wait(tile, late)
                how = {"is_async": not alone, "action": None if alone else action, "prio": prio}
                if kind == "simd":
                    odd = 2 * n - (late & 1)
                    tile.op("mov16", ("dsd", mem(y, odd, 1, 2)), ("dsd", fabin(odd, j, color, simd=1)), **how)
                elif kind == "mov16":
                    tile.op("mov16", ("dsd", mem(y, n, 2, 2)), ("dsd", fabin(n, j, color)), **how)
                elif kind == "add":
                    tile.op("add16", ("dsd", mem(y, n, 1, 2)), ("dsd", fabin(n, j, color)), ("scalar", 3), **how)
                else:
                    name = "fmovs" if kind == "fmovs" else "mov32"
                    at, stride = (y + 4 * (n - 1), -1) if kind == "gap" else (y, 1)
                    tile.op(name, ("dsd", mem(at, n, stride)), ("dsd", fabin(n, j, color)), **how)
                if alone:
                    tile.emit(Op.LDI, 1, action[1])
                    tile.emit(Op.ACTIVATE, 1)

            starts.append(start)
        chain(tile, 8 + 5 * j, starts)
        first.append(8 + 5 * j)
    begin(tile, first)
    return tile


def build(seed):
    rng = np.random.default_rng(seed)
    width = int(rng.integers(3, 6))
    sent = [int(rng.integers(2, 60)) for _ in COLORS]
    # now and then more is expected than comes
    wanted = [n + int(rng.integers(1, 4)) if rng.random() < 0.15 else n for n in sent]
    tiles = [source(rng, sent)] + [sink(rng, wanted) for _ in range(width - 1)]
    route = {(0, 0): (R, E), **{(x, 0): (W, E | R) for x in range(1, width - 1)}, (width - 1, 0): (W, R)}
    return program([list(range(width))], tiles, dict.fromkeys(COLORS, route), "wse3" if seed % 2 else "wse2")


def outcome(machine, parts):
    """All that a program or a report can see in the end."""
    machine.launch("main")
    cycles = []
    for part in parts:
        cycles.append(machine.run(max_cycles=part).cycle)
    cycles.append(machine.run().cycle)
    waiting = [(g.wait, g.pes) for g in machine.waiting()]
    P = machine.pes
    return (
        cycles,
        waiting,
        machine.state.M8.tobytes(),
        machine.received().tolist(),
        P[["busy", "tasks", "time", "utmask"]].tolist(),
        int(machine.state.W[s.Globals.vector]),
    )


@pytest.mark.parametrize("first", range(0, 160, 20))
def test_same_as_step_by_step(first):
    saved = 0
    for seed in range(first, first + 20):
        parts = np.random.default_rng(seed).integers(1, 60, 6).tolist()
        fast, slow = Machine(build(seed)), Machine(build(seed))
        slow.step_by_step()
        assert fast.state.W[s.Globals.express] == 1
        a, b = outcome(fast, parts), outcome(slow, parts)
        # memory may be early by the ramp while wavelets are under way, never in the end
        assert a == b, f"seed {seed}"
        saved += int(slow.state.W[s.Globals.visits_c]) - int(fast.state.W[s.Globals.visits_c])
    assert saved > 1000


@pytest.mark.parametrize("seed", (90417001212, 90417002245, 90417002975, 90417006873))
def test_the_clock_stops_at_the_same_cycle(seed):
    """Whether something is visited in the last cycle of a run differs, also in vain; where the clock stands then does not."""
    parts = np.random.default_rng(seed).integers(1, 60, 6).tolist()
    fast, slow = Machine(build(seed)), Machine(build(seed))
    slow.step_by_step()
    ends = fast.cycle + np.cumsum(parts) + np.arange(1, 7)  # none of the six comes to rest
    found = outcome(fast, parts)
    assert found == outcome(slow, parts)
    assert found[0][:6] == ends.tolist()


@pytest.mark.parametrize("what", [(Op.SYS, isa.Sys.IQ_STATUS), (Op.UTBLOCK, 0), (Op.UTUNBLOCK, 0)])
def test_programs_that_look_at_queues_do_without(what):
    tile = Tile()
    tile.function("main", export=True)
    tile.emit(what[0], 1, 2, what[1])
    tile.done()
    tile.ret()
    assert Machine(program([[0]], [tile])).state.W[s.Globals.express] == 0
