"""The verifier: a program with one thing wrong in it never reaches the engine, which indexes its arrays unchecked."""

import copy
import sys
from pathlib import Path

import numpy as np
import pytest

from meshlang.diag import MeshlangError
from meshlang.ir import verify as verify_module
from meshlang.ir.isa import Op, Operand, Role
from meshlang.ir.program import ColorConfig, Export, Preload
from meshlang.ir.verify import verify
from meshlang.ir.words import RING, OperationRow, Walk

sys.path.insert(0, str(Path(__file__).parent.parent / "support"))
from compiling import compile_files

PE = """
var a: [8]f32;
var r: f32 = 0.0;
const line = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{8} -> a[i] });
const grid = @get_dsd(mem4d_dsd, .{ .tensor_access = |i, j|{2, 3} -> a[3 * i + j] });
const dest = @get_dsr(dsr_dest, 1);
const source = @get_dsr(dsr_src1, 1);
fn add(x: f32, n: u16) f32 { return if (n > 3) x + 1.0 else x * 2.0; }
fn main() void {
  for (@range(u16, 8)) |i| { a[i] = add(a[i], i); }
  @load_to_dsr(dest, line, .{ .save_address = true });
  @load_to_dsr(source, line);
  @fadds(dest, dest, source);
  @fmovs(line, grid);
  @fadds(&r, r, line);
}
task local() void { main(); }
task other(x: u16) void { r += @as(f32, x); }
task control() void { }
comptime {
  @bind_local_task(local, @get_local_task_id(9));
  @bind_rotating_tasks(other, control, @get_data_task_id(@get_input_queue(2)), .{ .init = 0, .limit = 2 });
  @initialize_queue(@get_input_queue(2), .{ .color = @get_color(0) });
}
"""


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    source = PE.replace("@fadds(dest, dest, source)", "@fadds(dest, line, source)").replace(
        "task control() void", "task control(x: u16) void"
    )
    program = compile_files(tmp_path_factory.mktemp("verify"), {"pe.csl": source}, arch="wse3", optimise=0)
    verify(program)
    return program


def places(tile, role: Role) -> list[tuple[int, int]]:
    """(instruction, word) of every word of a role."""
    return [
        (pc, i)
        for pc in range(len(tile.code))
        for i, word in enumerate(Op(int(tile.code[pc, 0]) & 0xFF).words, 1)
        if word.role is role
    ]


def first(tile, op: Op) -> int:
    return next(pc for pc in range(len(tile.code)) if int(tile.code[pc, 0]) & 0xFF == op)


def frame_of(tile, op: Op) -> int:
    """Registers of the function that holds the first such operation."""
    return next(f.frame for f in reversed(tile.functions) if f.entry <= first(tile, op))


def set_word(role: Role, value):
    def change(tile):
        pc, word = places(tile, role)[-1]
        tile.code[pc, word] = value(tile) if callable(value) else value

    return change


def set_op(op: Op, word: int, value: int):
    def change(tile):
        tile.code[first(tile, op), word] = value

    return change


def set_row(name: str, column: int, value: int):
    def change(tile):
        getattr(tile, name)[0, column] = value

    return change


def put(name: str, value):
    def change(tile):
        setattr(tile, name, value(tile) if callable(value) else value)

    return change


def dsr_operand(tile):
    row = next(r for r in tile.dsd_ops if Operand.DSR in [int(r[OperationRow.dst + i]) for i in range(4)])
    i = next(i for i in range(4) if int(row[OperationRow.dst + i]) == Operand.DSR)
    row[OperationRow.dst_dsr + i] = len(tile.dsrs)


def cut_end(tile):
    tile.code[-1, 0] = Op.NEG


def no_task(tile):
    tile.tasks[0].function = len(tile.functions)


def beyond(tile):
    tile.objects[-1].size += 1000


CHANGES = {
    "frame": (lambda t: setattr(t.functions[0], "frame", 100_000), "has no room on the stack"),
    "arguments": (lambda t: setattr(t.functions[0], "params", 1000), "has no room for its arguments"),
    "type": (lambda t: t.code.__setitem__((0, 0), int(t.code[0, 0]) | 15 << 8), "has no opcode and type"),
    "table": (lambda t: setattr(t, "mem4d", t.mem4d[:, :5]), "is no table of 9 columns"),
    "stack": (put("stack_registers", 1 << 40), "there is no stack"),
    "mask": (put("active", -1), "is no mask of 64 bits"),
    "queue": (lambda t: setattr(t.inputs[0], "id", 31), "does not exist"),
    "two queues": (put("inputs", lambda t: t.inputs * 2), "is there twice"),
    "kind of task": (lambda t: setattr(t.tasks[0], "kind", "other"), "is of no kind"),
    "DSR file": (put("dsrs", lambda t: [("dst", 0), *t.dsrs[1:]]), "there is no DSR"),
    "DSR at the start": (put("dsr_init", [(99, 0, -1, -1, -1)]), "what a DSR holds"),
    "export": (put("exports", {"x": Export("x", "var", "u16", 1 << 15, "u16")}), "does not lie inside the memory"),
    "exported function": (
        put("exports", {"f": Export("f", "fn", "fn", function=99)}),
        "a function that does not exist",
    ),
    "FIFO": (
        put("fifos", np.array([[16, 60_000, 2, -1, -1, 0, 0]], np.int32)),
        "a FIFO does not lie inside the memory",
    ),
    "spans": (put("spans", lambda t: t.spans[:-1]), "spans for"),
    "function past the end": (lambda t: setattr(t.functions[-1], "entry", len(t.code)), "does not lie inside the code"),
    "function that runs on": (cut_end, "does not end"),
    "opcode": (lambda t: t.code.__setitem__((0, 0), 0xFF), "has no opcode"),
    "register read": (set_word(Role.READ, 2000), "a register that does not exist"),
    "register below zero": (set_word(Role.READ, -1), "a register that does not exist"),
    "register written": (set_word(Role.WRITE, 2000), "a register that does not exist"),
    "register zero": (set_word(Role.WRITE, 0), "a register that does not exist"),
    "jump": (set_word(Role.TARGET, lambda t: len(t.code)), "goes to where nothing is"),
    "jump into another function": (
        lambda t: set_word(
            Role.TARGET,
            t.functions[0].entry if places(t, Role.TARGET)[-1][0] >= t.functions[-1].entry else t.functions[-1].entry,
        )(t),
        "goes to where nothing is",
    ),
    "function number": (set_word(Role.FUNCTION, lambda t: len(t.functions)), "a function that does not exist"),
    "vector operation": (set_op(Op.DSDOP, 1, 99), "a vector operation that does not exist"),
    "registers of a vector operation": (
        lambda t: set_op(Op.DSDOP, 2, frame_of(t, Op.DSDOP) - 1)(t),
        "a register that does not exist",
    ),
    "DSR": (set_op(Op.DSRLD, 1, 99), "a DSR that does not exist"),
    "DSR configuration": (set_op(Op.DSRLD, 3, 99), "a DSR configuration that does not exist"),
    "kind of vector operation": (set_row("dsd_ops", OperationRow.code, 250), "does not exist with such operands"),
    "operand": (set_row("dsd_ops", OperationRow.dst, 99), "does not exist with such operands"),
    "scalar destination": (set_row("dsd_ops", OperationRow.dst, Operand.SCALAR), "does not exist with such operands"),
    "DSR operand": (dsr_operand, "an operand is a DSR that does not exist"),
    "action": (set_row("dsr_configs", 1, 99), "'action' cannot be 99"),
    "task": (no_task, "bound to what does not exist"),
    "rotating tasks": (put("rotating", lambda t: [(5, 0, 2)]), "rotating tasks"),
    "walk": (set_row("mem4d", Walk.rank, 7), "'rank' cannot be 7"),
    "steps of a walk": (set_row("mem4d", slice(Walk.ext, Walk.ext + 2), 0xFFFF), "has more than"),
    "ring": (set_row("mem4d", Walk.ext, RING), "a ring does not close"),
    "configuration word": (put("registers", [(0x10, 1)]), "configuration space"),
    "object": (beyond, "does not lie inside the memory"),
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_damaged_program_is_refused(compiled, what):
    change, text = CHANGES[what]
    damaged = copy.deepcopy(compiled)
    change(damaged.tiles[0])
    with pytest.raises(MeshlangError) as caught:
        verify(damaged)
    found = caught.value.diagnostics[0]
    assert found.code == "MS0790" and text in found.message, found.message


CHANGES_OF_THE_FABRIC = {
    "architecture": (lambda p: setattr(p, "arch", "wse4"), "architecture"),
    "rectangle": (lambda p: setattr(p.fabric, "width", 1 << 20), "no rectangle"),
    "color": (lambda p: p.fabric.color.__setitem__(30, p.fabric.tile - p.fabric.tile), "no color 30"),
    "configuration": (
        lambda p: p.fabric.color.__setitem__(2, np.full_like(p.fabric.tile, len(p.fabric.configs))),
        "do not fit the rectangle",
    ),
    "route": (lambda p: p.fabric.configs.append(ColorConfig(64, 1)), "directions that do not exist"),
    "switch": (lambda p: p.fabric.configs.append(ColorConfig(1, 16, position=2)), "a position that is not there"),
    "pop mode": (lambda p: p.fabric.configs.append(ColorConfig(1, 16, pop="sometimes")), "no pop mode"),
    "filter": (lambda p: p.fabric.configs.append(ColorConfig(1, 16, filter=("counter", ()))), "of no kind"),
    "stream": (lambda p: p.fabric.host_in.__setitem__(77, "in"), "no color 77"),
    "preload": (
        lambda p: p.preloads.append(Preload(0, 0, np.zeros((1, 1), np.int32), np.zeros((1, 1, 1 << 16), np.uint8))),
        "does not lie inside its memory",
    ),
    "preload outside": (
        lambda p: p.preloads.append(Preload(3, 0, np.zeros((1, 1), np.int32), np.zeros((1, 1, 2), np.uint8))),
        "outside the rectangle",
    ),
}


@pytest.mark.parametrize("what", CHANGES_OF_THE_FABRIC)
def test_a_damaged_fabric_is_refused(compiled, what):
    change, text = CHANGES_OF_THE_FABRIC[what]
    damaged = copy.deepcopy(compiled)
    change(damaged)
    with pytest.raises(MeshlangError) as caught:
        verify(damaged)
    found = caught.value.diagnostics[0]
    assert found.code == "MS0790" and text in found.message, found.message


def test_a_wavelet_to_the_host_is_of_a_stream(compiled):
    damaged = copy.deepcopy(compiled)
    damaged.fabric.configs.append(ColorConfig(16, 32))
    damaged.fabric.color[3] = np.full_like(damaged.fabric.tile, len(damaged.fabric.configs) - 1)
    with pytest.raises(MeshlangError, match="is not streamed out"):
        verify(damaged)
    damaged.fabric.host_out[3] = "out"
    verify(damaged)


@pytest.mark.parametrize("tile", [np.array([[1]], np.int32), np.array([[-2]], np.int32), np.zeros((2, 1), np.int32)])
def test_a_damaged_table_of_tiles_is_refused(compiled, tile):
    damaged = copy.deepcopy(compiled)
    damaged.fabric.tile = tile
    with pytest.raises(MeshlangError, match="MS0790"):
        verify(damaged)


@pytest.mark.parametrize(
    ("rank", "ext", "stride", "wrong"),
    [
        (2, (RING, 1, 0), (1, 0), ""),
        (2, (RING, 0x7FFF, 0x7FFF), (1, -0x7FFE), ""),
        (2, (RING, 0, 5), (1, 1), "there is no ring of such a length"),
        (2, (RING, 0x8000, 5), (1, -0x7FFF), "there is no ring of such a length"),
        (2, (RING, 5, -1), (1, -4), "a circular buffer has no such length"),
        (2, (RING, 5, 0x8000), (1, -4), "a circular buffer has no such length"),
        (2, (RING, 5, 5), (1, -5), "a ring does not close"),
        (2, (RING, 5, 5), (2, -4), "a ring does not close"),
        (1, (RING, 5, 5), (1, -4), "a ring has two dimensions"),
        (2, (0xFFFF, 0x7FFF), (1, 1), ""),
        (1, (0x10000,), (1,), "a dimension has an extent of 16 bits"),
        (1, (-1,), (1,), "a dimension has an extent of 16 bits"),
        (2, (0xFFFF, 0xFFFF), (1, 1), "a walk has more than 2147483647 steps"),
        (1, (2, 0xFFFF), (1,), ""),  # what is beyond the rank counts for nothing
    ],
)
def test_bounds_of_walks(rank, ext, stride, wrong):
    row = np.zeros((1, Walk.WORDS), np.int64)
    row[0, Walk.rank] = rank
    row[0, Walk.ext : Walk.ext + len(ext)] = ext
    row[0, Walk.stride : Walk.stride + len(stride)] = stride
    assert [text for found, text in verify_module._walks(row, np.zeros(1, np.int64), []) if found[0]][:1] == (
        [wrong] if wrong else []
    )
