"""The door for saved states: every state that a run comes through is let in, and damage to what the engine follows is
not."""

import sys
from pathlib import Path

import numpy as np
import pytest

import meshlang
from meshlang.diag import MeshlangError
from meshlang.fabric import snapshot
from meshlang.fabric.engine import state as s
from meshlang.fabric.machine import Machine
from meshlang.ir.isa import Op

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent / "support")]
from asm import R, Tile, W, fabin, mem  # noqa: E402
from asm import program as assembled  # noqa: E402
from host_programs import write_program  # noqa: E402
from mode_program import build  # noqa: E402

ROOT = Path(__file__).parents[2]


def programs(folder):
    yield "wse2", build("wse2", 1), "main", []
    yield "wse3", build("wse3", 2), "main", []
    yield "host", meshlang.compile(write_program(folder), params={"W": 2, "H": 1}).ir, "echo", [2]
    yield "gemv", meshlang.compile(ROOT / "programs" / "gemv" / "layout.csl").ir, None, []


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    return {name: rest for name, *rest in programs(tmp_path_factory.mktemp("door"))}


def started(program, function, arguments) -> Machine:
    machine = Machine(program)
    if function is None:
        function = next(e.name for e in program.tiles[0].exports.values() if e.kind == "fn")
        arguments = [3] * program.tiles[0].functions[program.tiles[0].exports[function].function].params
    machine.launch(function, arguments)
    for color in machine.state.hin_index:
        machine.stream_in(color, 0, 0, 1, 1, np.array([[[7, 8]]], np.uint32))
    return machine


@pytest.mark.parametrize("name", ["wse2", "wse3", "host", "gemv"])
def test_states_of_a_run_are_let_in(compiled, name, tmp_path):
    program, function, arguments = compiled[name]
    machine = started(program, function, arguments)
    path = tmp_path / "state"
    for cycles in (1, 99, 3, 5, 7, 11, 2, 17, 23, 40, 100):
        machine.run(None, cycles)
        snapshot.save(path, machine)
        other = Machine(program)
        snapshot.restore(path, other)
        assert snapshot.digest(other) == snapshot.digest(machine), f"cycle {machine.cycle}"


@pytest.mark.parametrize("frames", [(10,), (10, 23), (10, 23, 11, 38)])
def test_a_state_within_calls_is_let_in(frames, tmp_path):
    """Frames are followed from the innermost outwards, whatever the distance of each: main calls a function, which calls the
    next, and the last waits for a wavelet that does not come."""
    tile = Tile()
    tile.inputs, tile.blocked = [(3, 6)], 1 << 3 | 1 << 6
    tile.function(f"f{len(frames)}")
    tile.op("fmovs", ("dsd", mem(tile.var("x", 1), 1)), ("dsd", fabin(1, 3, 6)))
    tile.ret()
    for k in range(len(frames) - 1, -1, -1):
        this = tile.function(f"f{k}", export=not k)
        tile.emit(Op.CALL, this - 1, frames[k])
        tile.done()
        tile.ret()
    machine = Machine(assembled([[0]], [tile], {6: {(0, 0): (W, R)}}))
    machine.launch("f0")
    machine.run(max_cycles=500)
    pe = machine.state.pes[0]
    assert pe["fp"] - pe["reg"] - 2 == sum(frames)
    snapshot.save(tmp_path / "state", machine)
    other = Machine(machine.program)
    snapshot.restore(tmp_path / "state", other)
    assert snapshot.digest(other) == snapshot.digest(machine)


def word(field, value, pe=0):
    """Damage to a field of a PE's record."""

    def change(arrays, machine):
        arrays["W"][s.P0 + pe * s.Pe.WORDS + s.Pe.FIELDS[field]] = value

    return change


def queue(field, value):
    def change(arrays, machine):
        arrays["U"][int(machine.state.pes[0]["iq"]) + s.Queue.FIELDS[field]] = value

    return change


def thread(field, value, more=0):
    def change(arrays, machine):
        running = int(machine.state.pes[0]["utmask"])
        dense = (running & -running).bit_length() - 1
        arrays["W"][int(machine.state.pes[0]["ut"]) + dense * s.Thread.WORDS + s.Thread.FIELDS[field] + more] = value

    return change


def link(arrays, machine):
    arrays["W"][int(machine.state.pes[0]["fp"]) - 1] = 1


def wake(arrays, machine):
    arrays["W"][int(machine.state.globals["bits_c"])] = -1


def walks_out(direction):
    """The operand in memory takes its next element inside, and a later one outside."""

    def change(arrays, machine):
        pe = machine.state.pes[0]
        running = int(pe["utmask"])
        at = int(pe["ut"]) + ((running & -running).bit_length() - 1) * s.Thread.WORDS
        W, first = arrays["W"], at + s.Thread.FIELDS["operands"]
        operand = next(
            o for o in range(first, first + 4 * s.Operand.WORDS, s.Operand.WORDS) if W[o + s.Operand.kind] == s.K_MEM
        )
        left = int(W[at + s.Thread.FIELDS["n"]] - W[at + s.Thread.FIELDS["k"]])
        room = int(W[operand + s.Operand.addr]) if direction < 0 else int(pe["memsize"] - W[operand + s.Operand.addr])
        assert left > 2
        W[operand + s.Operand.stride] = direction * (room // (left - 1) + 4)

    return change


DAMAGE = {
    "memory of a PE": (word("mem", 1 << 40), "'mem' of a pe"),
    "state of a PE": (word("st", 7), "'st' of a pe"),
    "threads": (word("utmask", 1 << 40), "'utmask' of a PE"),
    "command": (word("cmd", 5), "starts a function that does not exist"),
    "return link": (link, "returns to"),
    "wake-up": (wake, "a wake-up of a PE that does not exist"),
    "queue": (queue("head", 99), "the head of a queue"),
    "channel of a queue": (queue("channel", 3), "the channel of a queue"),
    "row": (thread("row", 1), "no row of the table"),
    "elements": (thread("n", -5), "how far an operation is"),
    "operand": (thread("operands", 99, s.Operand.kind), "an operand is of no kind"),
    "operand to below": (walks_out(-1), "an operand lies outside the memory"),
    "operand to above": (walks_out(1), "an operand lies outside the memory"),
    "router": (lambda a, m: a["U"].__setitem__(int(s.Router.mask), 1 << 30), "has to move what is not there"),
    "stream": (lambda a, m: a["segments"].__setitem__(0, 5), "data from the host begin nowhere"),
    "array": (lambda a, m: a.pop("U"), "U is not what it should be"),
}


@pytest.mark.parametrize("what", DAMAGE)
def test_damage_is_refused(compiled, what, tmp_path):
    change, text = DAMAGE[what]
    machine = started(*compiled["wse3"])
    path = tmp_path / "state"
    while not (machine.state.pes[0]["utmask"] and machine.state.pes[0]["st"]):
        assert machine.run(None, 1).reason == "max_cycles"
    snapshot.save(path, machine)
    with np.load(path) as file:
        arrays = {n: file[n] for n in file.files}
    change(arrays, machine)
    np.savez(path, **arrays)
    Path(f"{path}.npz").replace(path)
    with pytest.raises(MeshlangError) as caught:
        snapshot.restore(path, Machine(machine.program))
    found = caught.value.diagnostics[0]
    assert found.code == "MS0942" and text in found.message, found.message
