"""The instruction table: every operation has a row that every user of the table can follow, and an implementation.

Run with MESHLANG_UPDATE_GOLDEN=1 to write docs/isa.md anew.
"""

from __future__ import annotations

import ast
import os
import sys
from pathlib import Path

import numpy as np
import pytest

import meshlang
from meshlang.fabric.engine import exceptions, opcodes, state
from meshlang.fabric.engine.faults import Fault
from meshlang.fabric.issue import operation_costs
from meshlang.fabric.machine import Machine
from meshlang.fabric.tables import build_tables
from meshlang.fabric.timing import load_profile
from meshlang.ir import isa, listing, reference, use
from meshlang.ir.dsdops import DSD_OPS, DsdOpCode
from meshlang.ir.isa import Effect, Flow, MathFn, Op, Operand, Role, Sys, Ty
from meshlang.ir.verify import verify
from meshlang.ir.words import DsrConfig, OperationRow

sys.path.insert(0, str(Path(__file__).parent.parent / "fabric"))
from asm import Tile, program

PACKAGE = Path(meshlang.__file__).parent
ENGINE = PACKAGE / "fabric" / "engine"
PAGE = Path(__file__).parents[2] / "docs" / "isa.md"


def test_page():
    if os.environ.get("MESHLANG_UPDATE_GOLDEN"):
        PAGE.write_text(reference.page(), encoding="utf-8")
    assert PAGE.read_text(encoding="utf-8") == reference.page(), "python -m meshlang.ir.reference docs/isa.md"


# ---------------------------------------------------------------- rows


@pytest.mark.parametrize("op", Op, ids=lambda op: op.name)
def test_rows(op):
    row = op.row
    assert row.doc and op < exceptions.CHECKED and set(row.faults) <= set(Fault.__members__)
    assert all(word.count == 1 or word.role is Role.READ for word in op.words)
    assert (row.flow in (Flow.JUMP, Flow.BRANCH)) == (use.target_word(op) is not None)
    assert (row.flow is Flow.CALL) == (op.words[1].role is Role.FRAME) == bool(row.effect & Effect.CALL)
    assert isinstance(row.types, tuple) and row.types in reference._TYPES


@pytest.mark.parametrize("profile", ["wse2", "wse3", "wse3-silicon"])
def test_costs_are_in_every_profile(profile):
    costs = operation_costs(load_profile(profile))
    assert all(costs[op] == load_profile(profile)[f"scalar.{op.row.cost}"] for op in Op if op.row.cost)


def test_numbers_of_the_engine():
    for op in Op:
        assert getattr(opcodes, op.name) == op
    for vector in DsdOpCode:
        assert getattr(opcodes, vector.name) == vector < 64
    for prefix, members in (("SYS_", Sys), ("M_", MathFn), ("", Ty), ("KIND_", isa.DsdKind), ("OPERAND_", Operand)):
        for member in members:
            assert getattr(opcodes, prefix + member.name) == member
    assert all(len(members) <= 64 for members in (Sys, MathFn, DsdOpCode))  # masks of them are 64 bits
    shared = set(opcodes._NAMES) & set(vars(state))
    assert not shared, f"the engine's files import both: {shared}"


# ---------------------------------------------------------------- implementations


def compared(path: Path, *functions: str) -> set[str]:
    """Names that functions of an engine file compare something with."""
    found = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef) and node.name in functions:
            for test in ast.walk(node):
                if isinstance(test, ast.Compare):
                    found |= {n.id for n in ast.walk(test) if isinstance(n, ast.Name)}
    return found


def test_every_operation_is_implemented():
    loop = compared(ENGINE / "core.py", "execute")
    values = compared(ENGINE / "instructions.py", "value_op", "checked") | compared(ENGINE / "dsd.py", "edit_dsd")
    special = compared(ENGINE / "instructions.py", "special")
    for op in Op:
        value = op in opcodes._VALUES
        assert op.name in loop | (values if value else special), f"nothing does {op.name}"
        assert op.name in values or not ("EXCEPTION" in op.row.faults and op.row.cost == "function")


def test_every_system_function_is_implemented():
    here = compared(ENGINE / "instructions.py", "special")
    timed, rest = compared(ENGINE / "system.py", "configure"), compared(ENGINE / "system.py", "system")
    for function in Sys:
        assert f"SYS_{function.name}" in here | (timed if function.row.timed else rest), function.name


def test_every_mathematical_function_is_implemented():
    one, two = compared(ENGINE / "scalar.py", "math1"), compared(ENGINE / "scalar.py", "math2")
    for function in MathFn:
        assert f"M_{function.name}" in (one if function.row.arguments == 1 else two), function.name


def test_every_vector_operation_is_implemented():
    elements = compared(ENGINE / "alu.py", "element")
    stepped, at_once = compared(ENGINE / "threads.py", "thread_step"), compared(ENGINE / "bulk.py", "run_in_memory")
    for op in DsdOpCode:
        assert op.name in elements | stepped and (op.name in elements | at_once or not op.forms), op.name
    raised = compared(ENGINE / "exceptions.py", "vector_exceptions")
    assert {"FMACH", "FMULS", "FS2H"} <= raised


# ---------------------------------------------------------------- users of the table


def sample(op: Op) -> Tile:
    """A tile program that has one instruction of an operation, with something that exists for every word."""
    tile = Tile()
    tile.dsrs = [("dest", 0)]
    tile.configs = [DsrConfig.make()]
    tile.strings = ["text"]
    row = OperationRow.make(code=DSD_OPS["fmovs"], dst=Operand.DSD, ut=-1)
    row[OperationRow.src] = Operand.SCALAR
    tile.ops = [row]
    given = {
        Role.READ: 3,
        Role.WRITE: 2,
        Role.UPDATE: 2,
        Role.RESULT: 2,
        Role.IMMEDIATE: 5,
        Role.LIMIT: 1000,
        Role.FLAG: 1,
        Role.BITS: 4 | 8 << 8,
        Role.TARGET: "end",
        Role.FRAME: 20,
        Role.INTEGER: Ty.U16,
        Role.FLOAT: Ty.F16,
        Role.FUNCTION1: MathFn.ABS,
        Role.FUNCTION2: MathFn.POW,
        Role.SYSTEM: Sys.X,
        Role.PRINTED: isa.Print.DEC,
    }
    tile.function("main", params=2, export=True)
    tile.emit(op, *(given.get(word.role, 0) for word in op.words), op.row.types[0] if op.row.types else Ty.I64)
    tile.label("end")
    tile.ret()
    return tile


@pytest.mark.parametrize("op", Op, ids=lambda op: op.name)
def test_users_of_the_table(op):
    whole = program([[0]], [sample(op)])
    verify(whole)
    tile = whole.tiles[0]
    text = listing.instruction(tile, 0)
    assert text.split()[0].split(".")[0] == op.name.lower()
    assert len(text.split(",")) >= sum(word.role is not Role.UNUSED for word in op.words)
    tables = build_tables(whole, load_profile("wse3"))
    assert len(tables.C) == 8
    instruction = tile.code[0].tolist()
    registers = use.reads(instruction, tile) + use.writes(instruction, tile)
    assert all(0 <= r < tile.functions[0].frame for r in registers)
    assert use.is_pure(instruction) <= (not use.effect(instruction) and use.flow(instruction) is Flow.NEXT)


CHECKED_WORDS = [
    pytest.param(op, i, id=f"{op.name}-{'abc'[i]}")
    for op in Op
    for i, word in enumerate(op.words)
    if word.role not in (Role.UNUSED, Role.IMMEDIATE)
]


@pytest.mark.parametrize("op, i", CHECKED_WORDS)
def test_a_word_out_of_range_is_refused(op, i):
    for value in (-2, 1 << 20)[: 1 if op.words[i].role is Role.LIMIT else 2]:
        whole = program([[0]], [sample(op)])
        whole.tiles[0].code[0, 1 + i] = value
        with pytest.raises(meshlang.MeshlangError, match="MS0790"):
            verify(whole)


# ---------------------------------------------------------------- register use, against the engine

VALUES = (12, 9, 3, 7, 0x3C00, 0x4200, 2, 5, 11)  # of r1, r2, ...
FIRST = 1


def run(op: Op, ty: Ty, words: tuple[int, ...], values: tuple[int, ...]) -> np.ndarray:
    """The registers after one instruction."""
    tile = Tile()
    tile.dsrs = [("dest", 0)]
    out = tile.var("out", len(values), 8)
    tile.function("main", export=True)
    for r, value in enumerate(values, FIRST):
        tile.const(r, value)
    tile.emit(op, *words, ty)
    for r in range(FIRST, FIRST + len(values)):
        tile.emit(Op.ST, r, 0, out + 8 * (r - FIRST), Ty.I64)
    tile.done()
    tile.ret()
    machine = Machine(program([[0]], [tile]))
    machine.launch("main")
    machine.run("commands", 100_000)
    at = int(machine.mem_base[0]) + out
    return machine.memory[at : at + 8 * len(values)].view(np.int64).copy()


PURE = [op for op in Op if op.row.flow is Flow.NEXT and not op.row.effect]


@pytest.mark.parametrize("op", PURE, ids=lambda op: op.name)
def test_registers_that_are_read_and_written(op):
    """An instruction changes what `writes` says, and that depends on what `reads` says only."""
    instruction = next(w for w in sample(op).code if w[0] & 0xFF == op)
    ty = Ty(instruction[0] >> 8 & 15)
    tile = sample(op).build()
    used = {i: 2 + i for i, word in enumerate(op.words) if word.role.is_register}  # r2, r3, r4
    words = tuple(used.get(i, instruction[1 + i]) for i in range(3))
    if op is Op.ASSERT:
        words = (words[0], -1, 0)
    whole = [instruction[0], *words]
    reads, writes = set(use.reads(whole, tile)), set(use.writes(whole, tile))
    before = run(Op.NOP, Ty.I64, (0, 0, 0), VALUES)
    after = run(op, ty, words, VALUES)
    assert {FIRST + int(i) for i in np.flatnonzero(before != after)} <= writes
    for r in range(FIRST, FIRST + len(VALUES)):
        if r not in reads:
            changed = tuple(v + 1 if FIRST + i == r else v for i, v in enumerate(VALUES))
            again = run(op, ty, words, changed)
            assert all(again[w - FIRST] == after[w - FIRST] for w in writes), f"it reads r{r}, too"
