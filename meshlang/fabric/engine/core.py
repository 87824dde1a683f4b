# ruff: noqa: F403, F405
"""The compute element: the scalar machine, and what a visit to a PE does.

The main thread may run ahead of the clock: scalar code and operations in memory touch only their own PE, so a task runs
without stopping and counts its cycles, until it ends, meets an instruction that has to happen at its proper time (a
fabric operation, the end of a command, ...), or has used up its quantum. What a microthread writes meanwhile is not
seen by a task that reads it without waiting for completion: that is a race in the program.
"""

from __future__ import annotations

import numpy as np

from .dsr import load_dsr
from .exceptions import CHECKED
from .express import enter_express, leave_express
from .faults import Fault
from .instructions import R_LAST, R_LATER, R_STALL, R_WAIT, special, value_op
from .jit import ctz, inline, jit
from .opcodes import *
from .quick import NOT_QUICK, run_quickly
from .scalar import equal, float_op, less, less_equal, size_of
from .state import *
from .switch import is_register, register_load, register_store
from .tasks import pick
from .threads import undisturbed, vector_phase
from .trace import trace_end, trace_inst, trace_later
from .wheel import fail, no_visit, wake_ce

E_LOAD, E_STORE, E_DIV, E_SHIFT, E_BOUNDS = (
    np.int64(f) for f in (Fault.LOAD, Fault.STORE, Fault.DIV_ZERO, Fault.SHIFT, Fault.BOUNDS)
)
E_ASSERT, E_TRAP, E_STACK = (np.int64(f) for f in (Fault.ASSERT, Fault.TRAP, Fault.STACK))
NEVER = np.int64(1 << 62)
ZERO, ONE, TWO, THREE = (np.int64(i) for i in range(4))


@inline
def normal(W, v, ty):
    """Normal form of an integer of type ty, without a branch: mask and sign come from a table."""
    sign = W[G_SIGN + ty]
    return ((v & W[G_MASK + ty]) ^ sign) - sign


@inline
def load_scalar(W, M8, M16, M32, at, ty, size):
    """LD: value in normal form."""
    if at & (size - 1) == 0 and size != 8:
        if size == 4:
            return normal(W, np.int64(M32[at >> 2]), ty)
        if size == 2:
            return normal(W, np.int64(M16[at >> 1]), ty)
        return normal(W, np.int64(M8[at]), ty)
    return normal(W, load_bytes(M8, at, size), ty)


@jit
def load_bytes(M8, at, size):
    r = np.int64(0)
    for i in range(size):
        r |= np.int64(M8[at + i]) << (8 * i)
    return r


@jit
def store_bytes(M8, at, size, v):
    for i in range(size):
        M8[at + i] = np.uint8((v >> (8 * i)) & 0xFF)


@inline
def store_scalar(M8, M16, M32, at, size, v):
    """ST."""
    if at & (size - 1) == 0 and size != 8:
        if size == 4:
            M32[at >> 2] = np.uint32(v & 0xFFFFFFFF)
        elif size == 2:
            M16[at >> 1] = np.uint16(v & 0xFFFF)
        else:
            M8[at] = np.uint8(v & 0xFF)
    else:
        store_bytes(M8, at, size, v)


@jit
def execute(W, U, C, T, M8, M16, M32, pe):
    """Run the main thread from its saved state, and save it again.

    The chain below tests one opcode at a time, by equality only: LLVM makes one jump table of it. (Ranges broke it into
    pieces and cost two thirds of the speed.)
    """
    p = P0 + pe * PK
    now = W[G_NOW]
    pc = W[p + P_PC]
    fp = W[p + P_FP]
    t = W[p + P_TIME]
    mem = W[p + P_MEM]
    memsize = W[p + P_MEMSIZE]
    fuel = W[G_QUANTUM]
    taken = W[TIME_SCALAR_TAKEN]
    fault = ZERO
    x = ZERO
    y = ZERO
    ra = ZERO
    cost = ZERO
    W[p + P_ST] = ST_RUN
    if W[p + P_STALL] != 0:
        t = now  # it waited for an element on the fabric until now
        W[p + P_STALL] = 0
    while fuel > 0:
        w = pc * 4
        a = np.int64(C[w + 1])
        b = np.int64(C[w + 2])
        c = np.int64(C[w + 3])
        w = np.int64(C[w])
        op = instruction_op(w)
        ty = instruction_ty(w)
        trace_inst(W, pe, t, pc, op & ~CHECKED)
        pc += 1
        cost = instruction_cost(w)
        t += cost
        fuel -= 1
        ra = fp + a
        if op == MOV:
            W[ra] = W[fp + b]
        elif op == LDI:
            W[ra] = b
        elif op == LDIH:
            W[ra] = (W[ra] & 0xFFFFFFFF) | (b << 32)
        elif op == SEL:
            if W[fp + b] == 0:
                W[ra] = W[fp + c]
        elif op == LD:
            x = W[fp + b] + c
            y = size_of(ty)
            if x < 0 or x > memsize - y:
                fault = E_LOAD
                break
            W[ra] = load_scalar(W, M8, M16, M32, mem + x, ty, y)
            W[p + P_READ] += y
        elif op == ST:
            x = W[fp + b] + c
            y = size_of(ty)
            if x < 0 or x > memsize - y:
                fault = E_STORE
                break
            store_scalar(M8, M16, M32, mem + x, y, W[ra])
            W[p + P_WRITTEN] += y
        elif op == ADD:
            W[ra] = normal(W, W[fp + b] + W[fp + c], ty)
        elif op == SUB:
            W[ra] = normal(W, W[fp + b] - W[fp + c], ty)
        elif op == MUL:
            W[ra] = normal(W, W[fp + b] * W[fp + c], ty)
        elif op == ADDI:
            W[ra] = normal(W, W[fp + b] + c, ty)
        elif op == MULI:
            W[ra] = normal(W, W[fp + b] * c, ty)
        elif op == AND:
            W[ra] = W[fp + b] & W[fp + c]
        elif op == OR:
            W[ra] = W[fp + b] | W[fp + c]
        elif op == XOR:
            W[ra] = W[fp + b] ^ W[fp + c]
        elif op == NEG:
            W[ra] = normal(W, -W[fp + b], ty)
        elif op == NOT:
            W[ra] = normal(W, ~W[fp + b], ty)
        elif op == SHL:
            x = W[fp + c]
            y = size_of(ty) * 8
            if x < 0 or x >= y:
                fault = E_SHIFT
                break
            W[ra] = normal(W, W[fp + b] << x, ty)
        elif op == SHR:
            x = W[fp + c]
            y = size_of(ty) * 8
            if x < 0 or x >= y:
                fault = E_SHIFT
                break
            # normal forms: zero- and sign-extended values shift alike; only U64 has its sign bit in the way
            v = W[fp + b] >> x
            if ty == U64 and x > 0:
                v &= (np.int64(1) << (64 - x)) - 1
            W[ra] = v
        elif op == WRAP:
            if c == 1:
                W[ra] = 1 if W[fp + b] != 0 else 0
            else:
                W[ra] = normal(W, W[fp + b], ty)
        elif op == LNOT:
            W[ra] = 1 if W[fp + b] == 0 else 0
        elif op == EQ:
            if ty < F16:
                W[ra] = 1 if W[fp + b] == W[fp + c] else 0
            else:
                W[ra] = 1 if equal(W[fp + b], W[fp + c], ty) else 0
        elif op == NE:
            if ty < F16:
                W[ra] = 1 if W[fp + b] != W[fp + c] else 0
            else:
                W[ra] = 0 if equal(W[fp + b], W[fp + c], ty) else 1
        elif op == LT:
            if ty < F16 and ty != U64:
                W[ra] = 1 if W[fp + b] < W[fp + c] else 0
            else:
                W[ra] = 1 if less(W[fp + b], W[fp + c], ty) else 0
        elif op == LE:
            if ty < F16 and ty != U64:
                W[ra] = 1 if W[fp + b] <= W[fp + c] else 0
            else:
                W[ra] = 1 if less_equal(W[fp + b], W[fp + c], ty) else 0
        elif op == FADD:
            W[ra] = float_op(ZERO, W[fp + b], W[fp + c], ty)
            W[p + P_FLOPS] += 1
        elif op == FSUB:
            W[ra] = float_op(ONE, W[fp + b], W[fp + c], ty)
            W[p + P_FLOPS] += 1
        elif op == FMUL:
            W[ra] = float_op(TWO, W[fp + b], W[fp + c], ty)
            W[p + P_FLOPS] += 1
        elif op == FDIV:
            W[ra] = float_op(THREE, W[fp + b], W[fp + c], ty)
            W[p + P_FLOPS] += 1
        elif op == FNEG:
            W[ra] = W[fp + b] ^ (0x80000000 if ty == F32 else 0x8000)
        elif op == JMP:
            pc = a
        elif op == JZ:
            if W[ra] == 0:
                pc = b
                if cost != 0:  # loops that the hardware counts
                    t += taken
        elif op == JNZ:
            if W[ra] != 0:
                pc = b
                if cost != 0:  # loops that the hardware counts
                    t += taken
        elif op == CALL:
            if fp + b + np.int64(T[a + FN_FRAME]) > W[p + P_REGEND]:
                x = W[p + P_REGEND] - W[p + P_REG]
                fault = E_STACK
                break
            fp += b
            W[fp - 1] = pc
            W[fp] = 0
            pc = np.int64(T[a + FN_ENTRY])
        elif op == RET:
            pc = W[fp - 1]
            if pc < 0:
                # end of the task
                t += W[TIME_TASK_END]
                trace_end(W, pe, t)
                W[p + P_ST] = ST_IDLE
                W[p + P_BUSY] += t - W[p + P_BUSYFROM]
                W[p + P_TASK] = -1
                break
            fp -= np.int64(C[pc * 4 - 2])  # word b of the call
        elif op == CHK:
            x = W[ra]
            y = b
            if x < 0 or x >= y:
                fault = E_BOUNDS
                break
        elif op == ASSERT:
            if W[ra] == 0:
                x = b
                fault = E_ASSERT
                break
        elif op == TRAP:
            x = a
            fault = E_TRAP
            break
        elif op == NOP:
            pass
        elif op == DIV or op == REM:
            if W[fp + c] == 0:
                fault = E_DIV
                break
            W[ra] = value_op(W, T, p, op, ty, fp, a, b, c)
        elif op < 64 and (VALUE_LOW >> op) & 1 != 0 or op >= 64 and op < CHECKED and (VALUE_HIGH >> (op - 64)) & 1 != 0:
            W[ra] = value_op(W, T, p, op, ty, fp, a, b, c)
        elif op == DSRLD and W[p + P_UTMASK] <= 1:
            load_dsr(W, T, p, a, fp, b, c)
        else:
            r = run_quickly(W, T, M16, M32, pe, a, fp, b) if op == DSDOP else NOT_QUICK
            if r >= 0:
                t += r
                if c != 0:
                    W[fp + c] = 1
                continue
            r = special(W, U, T, M8, M16, M32, pe, op, ty, a, b, c, fp, pc - 1, t - cost, cost)
            if op == CALLR and r >= 0:
                if fp + b + np.int64(T[r + FN_FRAME]) > W[p + P_REGEND]:
                    x = W[p + P_REGEND] - W[p + P_REG]
                    fault = E_STACK
                    break
                fp += b
                W[fp - 1] = pc
                W[fp] = 0
                pc = np.int64(T[r + FN_ENTRY])
            elif r >= 0:
                t += r
            elif r == R_LATER:
                pc -= 1
                t -= cost
                trace_later(W, pe, t, pc)
                break
            elif r == R_STALL:
                pc -= 1
                t = now
                W[p + P_STALL] = 1
                break
            elif r == R_WAIT:
                W[p + P_ST] = ST_OP
                break
            elif r == R_LAST:
                break
            else:
                W[G_FPC] = pc - 1
                break
    if (fault == E_LOAD or fault == E_STORE) and is_register(x, y):
        # not memory after all: a register of the router, in the cycle in which it is accessed
        if t - cost > now:
            pc -= 1
            t -= cost
        elif fault == E_LOAD:
            W[ra] = register_load(W, U, pe, x)
        else:
            register_store(W, U, pe, x, W[ra] & 0xFFFF)
        fault = ZERO
        if W[G_FAULT] != 0:
            W[G_FPC] = pc - 1
    if fault != 0:
        fail(W, fault, pe, x, y, ZERO)
        W[G_FPC] = pc - 1
    W[p + P_PC] = pc
    W[p + P_FP] = fp
    W[p + P_TIME] = t
    W[G_INSTR] += W[G_QUANTUM] - fuel


@inline
def compute(W, U, C, T, M8, M16, M32, pe, now):
    """One visit to a compute element: the vector unit moves, then the main thread goes on or picks a task."""
    p = P0 + pe * PK
    wake = np.int64(NEVER)
    if W[p + P_EXPRESS] != 0:
        leave_express(W, U, pe, now)
    # the vector unit goes ahead of the clock where nothing can interfere: several steps a visit
    at = now
    while W[p + P_UTMASK] != 0:
        next_step = vector_phase(W, U, T, M8, M16, M32, pe, at)
        if W[G_FAULT] != 0:
            return
        if next_step <= at:
            break
        wake = next_step
        if (
            next_step != W[p + P_VBUSY]  # nothing moved: what arrives meanwhile may be first
            or next_step > now + W[TIME_FABRIC_RAMP]
            or W[p + P_NOEXPRESS] == 0
            or W[G_EXPRESS] == 0
            or (W[p + P_ST] != ST_OP and W[p + P_TIME] <= next_step)
            or (at == now and not undisturbed(W, U, pe, now))
        ):
            break
        wake = np.int64(NEVER)
        at = next_step
        W[G_NOW] = at
        no_visit(W, pe, at)
        if at > W[G_EXPRESSED] + 1:  # it counts as a visit (loop.py)
            W[G_EXPRESSED] = at - 1
    W[G_NOW] = now
    threads = W[p + P_UTMASK]
    while True:
        state = W[p + P_ST]
        if state == ST_OP:
            break
        if W[p + P_TIME] > now:
            if W[p + P_TIME] < wake:
                wake = W[p + P_TIME]
            break
        if state == ST_IDLE:
            if not pick(W, U, T, pe, now):
                if W[p + P_CMD] != 0 and W[p + P_CMDTIME] < wake:
                    wake = W[p + P_CMDTIME]
                break
        execute(W, U, C, T, M8, M16, M32, pe)
        if W[G_FAULT] != 0:
            return
        if W[p + P_ST] == ST_RUN and W[p + P_TIME] <= now:
            if W[p + P_STALL] == 0:
                # free instructions only, a full log, or the end of the command: go on next cycle
                wake = now + 1
            break
    started = W[p + P_UTMASK] & ~threads
    while started != 0:
        i = ctz(started)
        started &= started - 1
        at = W[W[p + P_UT] + i * TK + V_START]
        if at <= now:
            at = now + 1
        if at < wake:
            wake = at
    if wake < NEVER:
        wake_ce(W, pe, wake)
    if W[p + P_NOEXPRESS] == 0 and W[p + P_UTMASK] != 0 and W[G_EXPRESS] != 0:
        enter_express(W, U, M16, M32, pe, now)
