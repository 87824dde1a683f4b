"""The verifier: a program with one thing wrong in it never reaches the engine, which indexes its arrays unchecked."""

import copy
import sys
from pathlib import Path

import numpy as np
import pytest

from meshlang.diag import MeshlangError
from meshlang.ir.isa import Op, Operand
from meshlang.ir.listing import SHAPES
from meshlang.ir.verify import verify
from meshlang.ir.words import OperationRow

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
    program = compile_files(tmp_path_factory.mktemp("verify"), {"pe.csl": source}, arch="wse3")
    verify(program)
    return program


def places(tile, shape: str) -> list[tuple[int, int]]:
    """(instruction, word) of every operand of a shape of ir.listing.SHAPES."""
    return [
        (pc, 1 + i)
        for pc in range(len(tile.code))
        for i, s in enumerate(SHAPES[Op(int(tile.code[pc, 0]) & 0xFF)])
        if s == shape
    ]


def first(tile, op: Op) -> int:
    return next(pc for pc in range(len(tile.code)) if int(tile.code[pc, 0]) & 0xFF == op)


def frame_of(tile, op: Op) -> int:
    """Registers of the function that holds the first such operation."""
    return next(f.frame for f in reversed(tile.functions) if f.entry <= first(tile, op))


def set_word(shape: str, value):
    def change(tile):
        pc, word = places(tile, shape)[-1]
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
    "spans": (put("spans", lambda t: t.spans[:-1]), "spans for"),
    "function past the end": (lambda t: setattr(t.functions[-1], "entry", len(t.code)), "does not lie inside the code"),
    "function that runs on": (cut_end, "does not end"),
    "opcode": (lambda t: t.code.__setitem__((0, 0), 0xFF), "has no opcode"),
    "register read": (set_word("r", 2000), "names what does not exist"),
    "register below zero": (set_word("r", -1), "names what does not exist"),
    "register written": (set_word("w", 2000), "names what does not exist"),
    "jump": (set_word("t", lambda t: len(t.code)), "names what does not exist"),
    "jump into another function": (
        lambda t: set_word(
            "t", t.functions[0].entry if places(t, "t")[-1][0] >= t.functions[-1].entry else t.functions[-1].entry
        )(t),
        "names what does not exist",
    ),
    "function number": (set_word("f", lambda t: len(t.functions)), "names what does not exist"),
    "vector operation": (set_op(Op.DSDOP, 1, 99), "no such vector operation"),
    "registers of a vector operation": (
        lambda t: set_op(Op.DSDOP, 2, frame_of(t, Op.DSDOP) - 1)(t),
        "no such vector operation",
    ),
    "DSR": (set_op(Op.DSRLD, 1, 99), "no such DSR"),
    "DSR configuration": (set_op(Op.DSRLD, 3, 99), "no such DSR"),
    "kind of vector operation": (set_row("dsd_ops", OperationRow.code, 250), "no operation"),
    "operand": (set_row("dsd_ops", OperationRow.dst, 99), "no such operand"),
    "DSR operand": (dsr_operand, "names no DSR"),
    "action": (set_row("dsr_configs", 1, 99), "no such action"),
    "task": (no_task, "bound to what does not exist"),
    "rotating tasks": (put("rotating", lambda t: [(5, 0, 2)]), "rotating tasks"),
    "walk": (set_row("mem4d", 0, 7), "no such dimensions"),
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


@pytest.mark.parametrize("tile", [np.array([[1]], np.int32), np.array([[-2]], np.int32), np.zeros((2, 1), np.int32)])
def test_a_damaged_table_of_tiles_is_refused(compiled, tile):
    damaged = copy.deepcopy(compiled)
    damaged.fabric.tile = tile
    with pytest.raises(MeshlangError, match="MS0790"):
        verify(damaged)
