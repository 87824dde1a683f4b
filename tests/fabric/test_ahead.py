"""What makes the engine fast changes nothing but the time it takes: vector units ahead of the clock (engine/core.py),
operations in memory without a thread record (quick.py), lines fetched ahead (ahead.py). Random programs, with and
without them."""

from __future__ import annotations

import numpy as np
import pytest
from asm import E, N, R, S, Tile, W, fabin, fabout, mem, program
from test_express import chain, split, wait

from meshlang.diag import MeshlangError
from meshlang.fabric.engine import state as s
from meshlang.fabric.machine import Machine
from meshlang.ir.isa import Op, Ty

WIDTH, HEIGHT = 8, 40  # five words of the wheel
DOWN, ALONG = (4, 5), (6, 7)  # colors: down the columns from row to row, and along the rows


def passing(rng, tile, first_task, count, take, send, data):
    """Receive, compute and send on; the last of a line stores."""
    starts = []
    for n in split(rng, count):
        how, late, prio = (
            rng.choice(["pass", "add", "mul", "halves"]),
            int(rng.integers(0, 25)),
            int(rng.integers(0, 4)),
        )

        def start(action, n=n, how=how, late=late, prio=prio):
            wait(tile, late)
            options = {"is_async": True, "action": action, "prio": prio}
            into = fabin(2 * n, take, simd=1) if how == "halves" else fabin(n, take)
            if send is None:
                if how == "halves":
                    tile.op("mov16", ("dsd", mem(data, 2 * n, 1, 2)), ("dsd", into), **options)
                elif how == "add":
                    tile.op("add16", ("dsd", mem(data, n, 2, 2)), ("dsd", into), ("scalar", 5), **options)
                else:
                    tile.op("mov32", ("dsd", mem(data, n)), ("dsd", into), **options)
                return
            if how == "halves":
                out = ("dsd", fabout(2 * n, send, simd=1))
                tile.op("add16", out, ("dsd", into), ("dsd", mem(data, 2 * n, 1, 2)), **options)
            elif how == "add":
                tile.op("add16", ("dsd", fabout(n, send)), ("dsd", into), ("dsd", mem(data, n, 1, 2)), **options)
            elif how == "mul":
                tile.op("fmuls", ("dsd", fabout(n, send)), ("dsd", into), ("scalar", 0x3F000000), **options)
            else:
                tile.op("mov32", ("dsd", fabout(n, send)), ("dsd", into), **options)

        starts.append(start)
    chain(tile, first_task, starts)


def busy_work(rng, tile):
    """The main thread computes in memory beside its microthreads."""
    x = tile.var("work", 40, 4, rng.integers(0, 1 << 32, 40, dtype=np.uint32))
    tile.emit(Op.LDI, 1, 0)
    tile.emit(Op.LDI, 2, int(rng.integers(1, 6)))
    tile.label("work")
    for _ in range(int(rng.integers(1, 5))):
        n = int(rng.integers(1, 20))
        tile.op("add16", ("dsd", mem(x, n, 1, 2)), ("dsd", mem(x + 2, n, 1, 2)), ("dsd", mem(x + 40, n, 2, 2)))
    tile.emit(Op.ADDI, 1, 1, 1, Ty.I32)
    tile.emit(Op.LT, 3, 1, 2, Ty.I32)
    tile.emit(Op.JNZ, 3, "work")


def kind(rng, row, column, counts, faulty=False):
    """A tile program: what a PE of a row and column does. Lines go down (queues 0 in, 2 out) and along (1 in, 3 out)."""
    tile = Tile(f"pe{len(counts)}.csl")
    first_row, last_row, first_column, last_column = row == 0, row == 2, column == 0, column == 2
    tasks = []
    for line, (begins, ends, colors, first_task) in enumerate(
        ((first_row, last_row, DOWN, 8), (first_column, last_column, ALONG, 16))
    ):
        data = tile.var(f"data{line}", counts[line] + 2, 4, rng.integers(0, 1 << 32, counts[line] + 2, dtype=np.uint32))
        here, there = colors[::-1] if (row, column)[line] in (0, 3) else colors
        if not begins:
            tile.inputs.append((line, here))
        if not ends:
            tile.outputs.append((2 + line, there))
        if begins:

            def start(action, n=counts[line], queue=2 + line, data=data):
                tile.op("mov32", ("dsd", fabout(n, queue)), ("dsd", mem(data, n)), is_async=True, action=action)

            chain(tile, first_task, [start])
        else:
            passing(rng, tile, first_task, counts[line], line, None if ends else 2 + line, data)
        tasks.append(first_task)
    tile.blocked = 0b1111
    tile.task(30, "local", "work")
    busy_work(rng, tile)
    if faulty:
        tile.strings.append("boom")
        tile.emit(Op.TRAP, 0)
    tile.ret()
    tile.function("main", export=True)
    for task in (*tasks, 30):
        tile.emit(Op.LDI, 1, task)
        tile.emit(Op.ACTIVATE, 1)
    wait(tile, int(rng.integers(0, 200)))
    tile.done()
    tile.ret()
    return tile


def build(seed, faults=0):
    """Every PE passes on what comes from the north and from the west. In a line the colors take turns: PE 0 sends on the
    first, PE 1 on the second."""
    rng = np.random.default_rng(seed)
    counts = [int(n) for n in rng.integers(2, 30, 2)]

    def place(i, n):
        """0: the first of a line, 2: the last, which takes the first color; 1 takes that, too, 3 the second."""
        return 0 if i == 0 else 2 if i == n - 1 else 1 if i % 2 else 3

    tiles, number, grid = [], {}, []
    for y in range(HEIGHT):
        grid.append([])
        for x in range(WIDTH):
            key = (place(y, HEIGHT), place(x, WIDTH))
            if key not in number:
                number[key] = len(tiles)
                tiles.append(kind(rng, *key, counts))
            grid[-1].append(number[key])
    for _ in range(faults):
        key = (1 + 2 * int(rng.integers(0, 2)), 1 + 2 * int(rng.integers(0, 2)))
        tiles.append(kind(rng, *key, counts, faulty=True))
        y = int(rng.choice([y for y in range(HEIGHT) if place(y, HEIGHT) == key[0]]))
        x = int(rng.choice([x for x in range(WIDTH) if place(x, WIDTH) == key[1]]))
        grid[y][x] = len(tiles) - 1
    routes = {color: {} for color in (*DOWN, *ALONG)}
    for y in range(HEIGHT):
        for x in range(WIDTH):
            for i, n, (a, b), back, on in ((y, HEIGHT, DOWN, N, S), (x, WIDTH, ALONG, W, E)):
                take, send = (a, b) if i % 2 else (b, a)
                if i > 0:
                    routes[take][x, y] = (back, R)
                if i < n - 1:
                    routes[send][x, y] = (R, on)
    return program(grid, tiles, routes, "wse3" if seed % 2 else "wse2")


def machines(built):
    """With everything that makes the engine fast, and with nothing of it."""
    fast, slow = Machine(built), Machine(built)
    assert fast.state.W[s.Globals.far] == 1
    slow.step_by_step()
    slow.state.W[s.Globals.far] = 0
    # an exception that nothing raises: operations go element by element
    slow.pes["unmasked"] = 1 << 15
    return fast, slow


def outcome(machine, parts):
    """All that a program or a report can see in the end."""
    machine.launch("main")
    cycles = [machine.run(max_cycles=part).cycle for part in parts]
    cycles += [machine.run("commands").cycle, machine.run().cycle]
    machine.launch("main")  # again: the state is what it was, too
    cycles += [machine.run("commands").cycle, machine.run().cycle]
    waiting = [(g.kind, g.text, g.pes) for g in machine.waiting()]
    routers = machine.state.routers[["mask", "oq", "orr", "taken", "rr"]].tolist()
    W = machine.state.W
    counters = [int(W[i]) for i in (s.Globals.vector, s.Globals.hops, s.Globals.delivered, s.Globals.instr)]
    P = machine.pes[
        [
            "busy",
            "tasks",
            "time",
            "utmask",
            "sent",
            "active",
            "blocked",
            "st",
            "vbusy",
            "carry",
            "read",
            "written",
            "flops",
        ]
    ].tolist()
    return cycles, waiting, machine.state.M8.tobytes(), routers, P, counters


@pytest.mark.parametrize("seed", range(40))
def test_same_as_step_by_step(seed):
    fast, slow = machines(build(seed))
    parts = np.random.default_rng(seed).integers(1, 90, 4).tolist()
    a, b = outcome(fast, parts), outcome(slow, parts)
    for what, one, other in zip(("cycles", "waiting", "memory", "routers", "PEs", "counters"), a, b, strict=True):
        assert one == other, what
    assert fast.stats()["ce_visits"] < slow.stats()["ce_visits"]


@pytest.mark.parametrize("seed", range(100, 120))
def test_the_first_fault_is_reported(seed):
    fast, slow = machines(build(seed, faults=5))
    found = []
    for machine in (fast, slow):
        machine.launch("main")
        with pytest.raises(MeshlangError) as caught:
            machine.run("commands")
        W = machine.state.W
        fault = [int(W[i]) for i in (s.Globals.fault, s.Globals.fpe, s.Globals.fpc, s.Globals.fcycle, s.Globals.fa)]
        found.append((fault, machine.cycle, caught.value.diagnostics[0].message))
    assert found[0] == found[1]
