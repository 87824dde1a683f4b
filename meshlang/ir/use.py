"""What an instruction reads, writes and does, from its row of the table (isa.py): for passes, lint, `why`, the profile.

An instruction is a sequence of its four words. Registers are numbers of its own frame. What depends on tables of the
program (a vector operation reads the registers its row uses, a call those of its function's parameters) takes the
tile program, or anything else that has its tables.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np

from .isa import Action, Effect, Flow, Op, Operand, Role, Sys, Ty
from .words import DsrConfig, OperationRow

Instruction = Sequence[int]


class Parameters(Protocol):
    """A function, as far as a call of it needs it."""

    params: int
    results: int


class Tables(Protocol):
    """The tables of a tile program that instructions name (TileProgram has them). Rows as in words.py."""

    dsd_ops: Any
    dsr_configs: Any

    @property
    def functions(self) -> Sequence[Parameters]: ...


# asking an enumeration for a member by its number takes ten times as long, and every pass asks for every instruction
_OPS: dict[int, Op] = {int(op): op for op in Op}


def op_of(instruction: Instruction) -> Op:
    number = instruction[0] & 0xFF
    op = _OPS.get(number)
    return Op(number) if op is None else op


def type_of(instruction: Instruction) -> Ty:
    return Ty(instruction[0] >> 8 & 0xF)


def flow(instruction: Instruction) -> Flow:
    return op_of(instruction).row.flow


def target(instruction: Instruction) -> int | None:
    """Where a jump or branch goes, as a number of the function's (or program's) instructions; None for others."""
    word = target_word(op_of(instruction))
    return None if word is None else instruction[word]


@functools.cache
def target_word(op: Op) -> int | None:
    """Which word of the instruction (1 to 3) is its target; None if it has none."""
    return next((i for i, word in enumerate(op.words, 1) if word.role is Role.TARGET), None)


def reads(instruction: Instruction, tables: Tables) -> tuple[int, ...]:
    """The registers that it reads. Of a call: the arguments, too; of a call through a pointer: as many as any function
    takes; of RET: as many as any function gives back. r0 is a constant, but it is named."""
    op = op_of(instruction)
    if op is Op.DSDOP:
        return _operation_reads(tables.dsd_ops[instruction[1]], instruction[2])
    found = [
        number + i
        for word, number in zip(op.words, instruction[1:], strict=True)
        if word.role.is_read
        for i in range(_count(op, word.count, instruction, tables))
    ]
    if op.row.flow is Flow.CALL:
        base = instruction[2]
        found += range(base + 1, base + 1 + _callee(instruction, tables, "params"))
    elif op.row.flow is Flow.RETURN:
        found += range(1, 1 + max((f.results for f in tables.functions), default=0))
    return tuple(found)


def writes(instruction: Instruction, tables: Tables) -> tuple[int, ...]:
    """The registers that hold something of it afterwards. A call also leaves anything in the others of `clobbers`."""
    op = op_of(instruction)
    found = [instruction[i] for i, optional in _written(op) if not (optional and instruction[i] == 0)]
    if op.row.flow is Flow.CALL:
        base = instruction[2]
        found += range(base + 1, base + 1 + _callee(instruction, tables, "results"))
    return tuple(found)


@functools.cache
def _written(op: Op) -> tuple[tuple[int, bool], ...]:
    """Which words of an instruction (1 to 3) name registers that it writes; is 0 there no register?"""
    return tuple((i, word.role is Role.RESULT) for i, word in enumerate(op.words, 1) if word.role.is_written)


def clobbers(instruction: Instruction) -> int | None:
    """A call: the first register of which nothing is known afterwards (its results excepted); those below it are kept."""
    return instruction[2] - 1 if op_of(instruction).row.flow is Flow.CALL else None


def effect(instruction: Instruction) -> Effect:
    """What it does, and depends on, besides its registers."""
    op = op_of(instruction)
    return Sys(instruction[3]).row.effect if op is Op.SYS else op.row.effect


def may_fault(instruction: Instruction, exceptions: bool = False) -> bool:
    """May it stop the PE? Floating-point exceptions count if `exceptions` (see unmasks_exceptions)."""
    op = op_of(instruction)
    if op is Op.SYS and Sys(instruction[3]).row.effect is Effect.NONE:
        return False
    return any(exceptions or fault != "EXCEPTION" for fault in op.row.faults)


def is_pure(instruction: Instruction, exceptions: bool = False) -> bool:
    """Does it only compute registers from registers, always? Then it can go if nobody reads them, and need not run
    twice."""
    return flow(instruction) is Flow.NEXT and not effect(instruction) and not may_fault(instruction, exceptions)


def unmasks_exceptions(tile: Any) -> bool:
    """Can the program let floating-point exceptions stop a PE (<tile_config/exceptions>)?"""
    return tile.exceptions != 0xFFFF or bool(program_effect(tile.code) & Effect.UNMASK)


# ---------------------------------------------------------------- of whole programs


def code_of(tile: Any) -> np.ndarray:
    """The code of a tile program, int32 [n, 4]."""
    return np.asarray(tile.code, np.int32).reshape(-1, 4)


def where(code: np.ndarray, wanted: Callable[[Op], Any]) -> np.ndarray:
    """Which instructions are of an operation that `wanted` accepts: bool [n]."""
    return _operations(wanted)[code[:, 0] & 0xFF]


def having(code: np.ndarray, effect: Effect) -> np.ndarray:
    """Which instructions have an effect, or one of several; SYS as its row says, whatever the function: bool [n]."""
    return _with_effect(effect)[code[:, 0] & 0xFF]


def words_with(code: np.ndarray, *roles: Role) -> list[tuple[np.ndarray, int]]:
    """Where words of a role are: for each of the columns a, b, c that has some, the instructions (bool [n]) and the
    column."""
    kinds = code[:, 0] & 0xFF
    found = []
    for column, table in _with_role(roles):
        rows = table[kinds]
        if rows.any():
            found.append((rows, column))
    return found


def _operations(wanted: Callable[[Op], Any]) -> np.ndarray:
    """bool [256]: the operations, by number, that `wanted` accepts."""
    table = np.zeros(256, bool)
    table[[op for op in Op if wanted(op)]] = True
    return table


@functools.cache
def _with_effect(effect: Effect) -> np.ndarray:
    return _operations(lambda op: op.row.effect & effect)


@functools.cache
def _with_role(roles: tuple[Role, ...]) -> list[tuple[int, np.ndarray]]:
    """The columns in which some operation has a word of a role, and bool [256]: which have."""
    found = []
    for column in (1, 2, 3):
        table = np.zeros(256, bool)
        table[[op for op in Op if op.words[column - 1].role in roles]] = True
        if table.any():
            found.append((column, table))
    return found


@functools.cache
def _effects() -> tuple[np.ndarray, np.ndarray]:
    """int64 [256] each: what operations do, and functions of SYS, by number."""
    operations, functions = np.zeros(256, np.int64), np.zeros(256, np.int64)
    for op in Op:
        operations[op] = 0 if op is Op.SYS else op.row.effect.value
    for function in Sys:
        functions[function] = function.row.effect.value
    return operations, functions


def program_effect(code: np.ndarray) -> Effect:
    """Everything that some instruction of the code does."""
    code = np.asarray(code, np.int32).reshape(-1, 4)
    operations, functions = _effects()
    kinds = code[:, 0] & 0xFF
    total = np.bitwise_or.reduce(operations[kinds]) | np.bitwise_or.reduce(functions[code[kinds == Op.SYS, 3]])
    return Effect(int(total))


def _callee(instruction: Instruction, tables: Tables, what: str) -> int:
    """Parameters or results of the function that a call reaches; through a pointer: the most of any."""
    if op_of(instruction) is Op.CALL:
        return int(getattr(tables.functions[instruction[1]], what))
    return max((int(getattr(f, what)) for f in tables.functions), default=0)


def _count(op: Op, count: int, instruction: Instruction, tables: Tables) -> int:
    """How many registers from the one that is named it really reads."""
    if op is Op.SYS:
        return Sys(instruction[3]).row.arguments
    if op is Op.DSRLD and count > 1:
        if instruction[3] < 0:
            return 1
        config = tables.dsr_configs[instruction[3]]
        return 3 if config[DsrConfig.onctrl_set] else 2 if config[DsrConfig.action] != Action.NONE else 1
    return count


def _operation_reads(row: Any, base: int) -> tuple[int, ...]:
    """Registers that a vector operation reads: operands that are no DSRs, the wavelet index, ids of actions."""
    found = [base + i for i in range(4) if row[OperationRow.dst + i] not in (Operand.NONE, Operand.DSR)]
    found += [base + 4] if row[OperationRow.index] else []
    found += [base + 5] if row[OperationRow.action] != Action.NONE else []
    found += [base + 6] if row[OperationRow.onctrl_set] else []
    return tuple(int(r) for r in found)


__all__ = [
    "Instruction",
    "Tables",
    "clobbers",
    "code_of",
    "effect",
    "flow",
    "having",
    "is_pure",
    "may_fault",
    "op_of",
    "program_effect",
    "reads",
    "target",
    "target_word",
    "type_of",
    "unmasks_exceptions",
    "where",
    "words_with",
    "writes",
]
