# ruff: noqa: F403, F405
"""The compute element: the scalar machine, tasks, and the main thread's state.

The main thread may run ahead of the clock: scalar code and operations in memory touch only their own PE, so a task runs without
stopping and counts its cycles, until it ends, meets an instruction that has to happen at its proper time (a fabric operation, the
end of a command, ...), or has used up its quantum. What a microthread writes meanwhile is not seen by a task that reads it
without waiting for completion: that is a race in the program.
"""

from __future__ import annotations

import numpy as np

from ..ir import isa
from .dsd import (
    F_ASYNC, KIND_FABIN, KIND_FABOUT, KIND_MEM1D, KIND_MEM4D, color_slot, decode, field, head_entry, load_bits, microthread_of,
    pop_input, prepare, push_output, run_in_memory, save_dsr, start_thread, store_bits, vector_phase, walk_length, walk_offset,
    object_of, OPERAND_DSD,
)
from .faults import Fault
from .jit import ctz, inline, jit
from .scalar import (
    F16, F32, U8, divide, equal, float_op, float_to_float, float_to_int, int_to_float, less, math1, math2, remainder, size_of,
    to_f64, wrap,
)
from .state import *  # noqa: F403
from .wheel import fail, wake_ce

(NOP, MOV, LDI, LDIH, SEL, LD, ST, COPY, ADD, SUB, MUL, DIV, REM, AND, OR, XOR, SHL, SHR, NEG, NOT, ADDI, MULI, WRAP, LNOT, EQ, NE, LT,
 LE, FADD, FSUB, FMUL, FDIV, FNEG, FUN1, FUN2, I2F, F2I, F2F, F2B, JMP, JZ, JNZ, CALL, CALLR, TCALL, RET, CHK, ASSERT, TRAP, DBASE,
 DINC, DLEN, DSTRIDE, BINS, DSRLD, DSRGET, DSRBASE, DSDOP, ELD, EST, DCOUNT, DSRADV, ACTIVATE, BLOCK, UNBLOCK, UTBLOCK, UTUNBLOCK,
 SYS, PRINT) = (int(o) for o in isa.Op)
(SYS_CMD_DONE, SYS_TSC, SYS_TSC_ENABLE, SYS_TSC_RESET, SYS_X, SYS_Y, SYS_RANDOM16, SYS_SET_PRNG, SYS_IQ_STATUS, SYS_OQ_STATUS,
 SYS_TASK_PRIORITY, SYS_PERF, SYS_MAIN_PRIORITY) = (int(s) for s in isa.Sys)
(E_BAD, E_LOAD, E_STORE, E_DIV, E_SHIFT, E_BOUNDS, E_ASSERT, E_TRAP, E_STACK, E_FUNCTION) = (int(f) for f in list(Fault)[1:11])
E_CMD, E_UT_BUSY, E_ASYNC, E_UT_UNKNOWN = int(Fault.CMD_DOUBLE), int(Fault.UT_BUSY), int(Fault.ASYNC_NO_FABRIC), int(Fault.UT_UNKNOWN)
E_NO_TASK, E_COPY, E_QUEUE, E_NO_COLOR = int(Fault.NO_TASK), int(Fault.COPY), int(Fault.QUEUE_BUSY), int(Fault.NO_COLOR)
E_OPERAND, E_UNSUPPORTED, E_WALK, E_NOWHERE = (
    int(Fault.OPERAND), int(Fault.UNSUPPORTED_DSD), int(Fault.WALK), int(Fault.WALK_NOWHERE))
COMMAND_TASK = 128
NEVER = 1 << 62

# results of helpers of the machine
OK_, WAIT, LATER, BAD = 0, 1, 2, -1


@jit
def issue(I, U, C, T, M8, M16, M32, pe, row, fp, base, result, t):
    """DSDOP. Returns the cycles it costs the main thread, or -1 fault, -2 the main thread now waits, -3 come back at time t."""
    p = P0 + pe * PK
    now = I[G_NOW]
    v = np.int64(G_SCRATCH)
    kind = prepare(I, U, T, pe, v, row, fp, base)
    if kind < 0:
        return np.int64(-1)
    if kind == 0:
        if I[v + V_FLAGS] & F_ASYNC != 0:
            fail(I, E_ASYNC, pe, np.int64(0), np.int64(0), np.int64(0))
            return np.int64(-1)
        if result != fp:
            I[result] = 1
        return run_in_memory(I, T, M8, M16, M32, pe, v)
    if t > now:
        return np.int64(-3)
    if I[v + V_FLAGS] & F_ASYNC != 0:
        ut = microthread_of(I, U, v)
        tile = I[p + P_TILE]
        dense = np.int64(-1)
        if ut >= 0 and ut < 8:
            dense = np.int64(T[tile + TT_UTMAP + ut])
        if dense < 0:
            fail(I, E_UT_UNKNOWN, pe, ut, np.int64(0), np.int64(0))
            return np.int64(-1)
        if (I[p + P_UTMASK] >> dense) & 1 != 0:
            fail(I, E_UT_BUSY, pe, ut, np.int64(0), np.int64(0))
            return np.int64(-1)
        I[v + V_ID] = ut
        if not start_thread(I, U, T, pe, v, dense, now + I[G_FSETUP]):
            return np.int64(-1)
        if result != fp:
            I[result] = 1
        return I[G_ISSUE]
    I[v + V_ID] = -1
    I[v + V_RESULT] = result if result != fp else I[p + P_REG]      # the spare register below the stack takes what nobody wants
    if not start_thread(I, U, T, pe, v, np.int64(0), now + I[G_FSETUP]):
        return np.int64(-1)
    return np.int64(-2)


@jit
def element_address(I, T, pe, v, k, size):
    """Address of element k of a memory DSD, or -1 after a fault."""
    p = P0 + pe * PK
    tile = I[p + P_TILE]
    base = field(v, 4, 16)
    if v & 15 == KIND_MEM1D:
        at = base + k * (((field(v, 36, 16)) ^ 0x8000) - 0x8000) * size
    else:
        row = np.int64(T[tile + TT_MEM4D]) + field(v, 20, 16) * isa.M4_COLUMNS
        at = base + walk_offset(T, row, k, size)
    obj = object_of(T, tile, base)
    if obj < 0:
        fail(I, E_NOWHERE, pe, base, np.int64(0), np.int64(0))
        return np.int64(-1)
    if at < np.int64(T[obj]) or at + size > np.int64(T[obj]) + np.int64(T[obj + 1]):
        fail(I, E_WALK, pe, at, at + size, np.int64(T[obj]))
        return np.int64(-1)
    return at


@jit
def element_load(I, U, T, M8, M16, M32, pe, v, k, ty, result):
    """ELD: element k of a DSD into register index `result`. OK_, WAIT (nothing there yet) or BAD."""
    p = P0 + pe * PK
    size = size_of(ty)
    what = v & 15
    bits = np.int64(0)
    if what == KIND_MEM1D or what == KIND_MEM4D:
        at = element_address(I, T, pe, v, k, size)
        if at < 0:
            return BAD
        bits = load_bits(M8, M16, M32, I[p + P_MEM] + at, size)
    elif what == KIND_FABIN:
        o = np.int64(G_SCRATCH + V_OPERANDS)
        if not decode(I, T, pe, o, np.int64(OPERAND_DSD), v, size, np.int64(1)):
            return BAD
        q = I[o + O_QUEUE]
        if U[q + Q_USER] != 0:
            fail(I, E_QUEUE, pe, np.int64(U[q + Q_ID]), np.int64(0), np.int64(0))
            return BAD
        now = I[G_NOW]
        e = head_entry(U, q, now)
        if e < 0:
            return WAIT
        bits = np.int64(U[e + E_VALUE])
        if size == 2 and I[o + O_AUX] & 3 != 0:
            if k & 1 == 1 or k == I[o + O_LEN] - 1:
                pop_input(I, U, pe, q, now)
            bits = (bits >> 16) if k & 1 == 1 else bits & 0xffff
        else:
            pop_input(I, U, pe, q, now)
            if size == 2:
                bits &= 0xffff
    else:
        fail(I, E_OPERAND if what == 0 else E_UNSUPPORTED, pe, what, np.int64(0), np.int64(0))
        return BAD
    I[result] = wrap(bits, ty)
    return OK_


@jit
def element_store(I, U, T, M8, M16, M32, pe, v, k, ty, bits):
    """EST: store into element k of a DSD."""
    p = P0 + pe * PK
    size = size_of(ty)
    what = v & 15
    if what == KIND_MEM1D or what == KIND_MEM4D:
        at = element_address(I, T, pe, v, k, size)
        if at < 0:
            return BAD
        store_bits(M8, M16, M32, I[p + P_MEM] + at, size, bits)
        return OK_
    if what == KIND_FABOUT:
        o = np.int64(G_SCRATCH + V_OPERANDS)
        if not decode(I, T, pe, o, np.int64(OPERAND_DSD), v, size, np.int64(0)):
            return BAD
        q = I[o + O_QUEUE]
        if U[q + Q_USER] != 0:
            fail(I, E_QUEUE, pe, np.int64(U[q + Q_ID]), np.int64(1), np.int64(0))
            return BAD
        if U[q + Q_COUNT] >= U[q + Q_CAP]:
            U[q + Q_WAITER] = np.uint32(1)
            return WAIT
        slot = color_slot(U, pe, I[o + O_STRIDE])
        if slot < 0:
            fail(I, E_NO_COLOR, pe, I[o + O_STRIDE], np.int64(0), np.int64(0))
            return BAD
        bits = bits & 0xffff if size == 2 else bits & 0xffffffff
        flags = ((I[o + O_AUX] >> 2) & 1) | (slot << 8)
        if size == 2 and I[o + O_AUX] & 3 != 0:
            # packed: the low half is held in the queue record of the PE until its partner comes
            if k & 1 == 0 and k != I[o + O_LEN] - 1:
                I[p + P_MISC] = bits
                return OK_
            if k & 1 == 1:
                bits = I[p + P_MISC] | (bits << 16)
        push_output(I, U, pe, q, bits, flags, I[G_NOW])
        return OK_
    fail(I, E_OPERAND if what == 0 else E_UNSUPPORTED, pe, what, np.int64(0), np.int64(0))
    return BAD


@jit
def queue_status(I, U, T, pe, outputs, full):
    """Bit mask over queue ids: which are empty, or full."""
    p = P0 + pe * PK
    tile = I[p + P_TILE]
    n = np.int64(T[tile + (TT_NOQ if outputs else TT_NIQ)])
    q = I[p + (P_OQ if outputs else P_IQ)]
    mask = np.int64(0)
    for i in range(n):
        count = np.int64(U[q + Q_COUNT])
        hit = count >= np.int64(U[q + Q_DEPTH]) if full != 0 else count == 0
        if hit and np.int64(U[q + Q_ID]) < 8:
            mask |= np.int64(1) << np.int64(U[q + Q_ID])
        q += QK
    return mask


@jit
def system(I, U, T, pe, function, argument, t):
    """SYS instructions that need no waiting."""
    p = P0 + pe * PK
    if function == SYS_TSC:
        if argument == 0:
            I[p + P_TSCVAL] = t - I[p + P_TSC] if I[p + P_TSCON] != 0 else I[p + P_TSC]
        return (I[p + P_TSCVAL] >> (16 * (argument & 3))) & 0xffff
    if function == SYS_TSC_ENABLE:
        if argument == 1:
            I[p + P_TSCON] = 1
            I[p + P_TSC] = t
        elif I[p + P_TSCON] != 0:
            I[p + P_TSCON] = 0
            I[p + P_TSC] = t - I[p + P_TSC]         # a stopped counter keeps its value
        return np.int64(0)
    if function == SYS_TSC_RESET:
        I[p + P_TSC] = t if I[p + P_TSCON] != 0 else np.int64(0)
        return np.int64(0)
    if function == SYS_X:
        return pe % I[G_WIDTH]
    if function == SYS_Y:
        return pe // I[G_WIDTH]
    if function == SYS_RANDOM16:
        # xorshift, period 2^64 - 1; the vendor's generator is not documented
        x = I[p + P_PRNG]
        if x == 0:
            x = np.int64(0x2545f4914f6cdd1d) ^ (pe + 1)
        x ^= x << 13
        x ^= (x >> 7) & 0x01ffffffffffffff
        x ^= x << 17
        I[p + P_PRNG] = x
        return (x >> 24) & 0xffff
    if function == SYS_SET_PRNG:
        I[p + P_PRNG] = argument ^ np.int64(0x2545f4914f6cdd1d)
        return np.int64(0)
    if function == SYS_TASK_PRIORITY:
        bit = np.int64(1) << (argument & 63)
        if (argument >> 8) != 0:
            I[p + P_TASKPRIO] |= bit
        else:
            I[p + P_TASKPRIO] &= ~bit
    return np.int64(0)


@jit
def stop_with(I, pe, pc, fault, a, b):
    fail(I, fault, pe, a, b, np.int64(0))
    I[G_FPC] = pc
    return np.int64(0)


@inline
def load_scalar(M8, M16, M32, at, ty):
    """LD: value in normal form."""
    size = size_of(ty)
    if size == 8:
        low = load_bits(M8, M16, M32, at, np.int64(4))
        return low | (load_bits(M8, M16, M32, at + 4, np.int64(4)) << 32)
    if size == 4 and at & 1 == 0:
        return wrap(load_bits(M8, M16, M32, at, size), ty)
    if size == 2 and at & 1 == 0:
        return wrap(load_bits(M8, M16, M32, at, size), ty)
    r = np.int64(0)
    for i in range(size):
        r |= np.int64(M8[at + i]) << (8 * i)
    return wrap(r, ty)


@inline
def store_scalar(M8, M16, M32, at, ty, v):
    size = size_of(ty)
    if at & 1 == 0 and size >= 2:
        if size == 2:
            M16[at >> 1] = np.uint16(v & 0xffff)
            return
        store_bits(M8, M16, M32, at, np.int64(4), v)
        if size == 8:
            store_bits(M8, M16, M32, at + 4, np.int64(4), v >> 32)
        return
    for i in range(size):
        M8[at + i] = np.uint8((v >> (8 * i)) & 0xff)


@jit
def convert(op, v, source, ty):
    if op == I2F:
        return int_to_float(v, source, ty)
    if op == F2I:
        return float_to_int(v, source, ty)
    return float_to_float(v, source, ty)


@jit
def edit_dsd(op, v, x, size):
    """DBASE, DINC, DLEN, DSTRIDE."""
    if op == DBASE:
        tag = np.int64(1) if size == 2 else np.int64(2) if size == 4 else np.int64(0)
        v = (v & ~((np.int64(0xffff) << 4) | (np.int64(3) << 52))) | ((x & 0xffff) << 4) | (tag << 52)
        return v
    if op == DINC:
        base = field(v, 4, 16) + x * size
        return (v & ~(np.int64(0xffff) << 4)) | ((base & 0xffff) << 4)
    if op == DLEN:
        return (v & ~(np.int64(0xffff) << 20)) | ((x & 0xffff) << 20)
    return (v & ~(np.int64(0xffff) << 36)) | ((x & 0xffff) << 36)


@jit
def execute(I, U, C, T, M8, M16, M32, pe):
    """Run the main thread from its saved state. Saves a state again before it returns; nothing is returned."""
    p = P0 + pe * PK
    now = I[G_NOW]
    pc = I[p + P_PC]
    fp = I[p + P_FP]
    t = I[p + P_TIME]
    mem = I[p + P_MEM]
    memsize = I[p + P_MEMSIZE]
    start = t
    fuel = I[G_QUANTUM]
    quantum = fuel
    taken = I[G_TAKEN]
    I[p + P_ST] = ST_RUN
    I[p + P_STALL] = 0
    while True:
        x = pc * 4
        w = np.int64(C[x])
        a = np.int64(C[x + 1])
        b = np.int64(C[x + 2])
        c = np.int64(C[x + 3])
        op = w & 0xff
        pc += 1
        t += (w >> 16) & 0xffff
        fuel -= 1
        if fuel == 0:
            pc -= 1
            t -= (w >> 16) & 0xffff
            break
        ty = (w >> 8) & 15
        ra = fp + a
        if op == NOP:
            pass
        elif op == MOV:
            I[ra] = I[fp + b]
        elif op == LDI:
            I[ra] = b
        elif op == LDIH:
            I[ra] = (I[ra] & 0xffffffff) | (b << 32)
        elif op == SEL:
            if I[fp + b] == 0:
                I[ra] = I[fp + c]
        elif op == LD:
            at = I[fp + b] + c
            if at < 0 or at + size_of(ty) > memsize:
                stop_with(I, pe, pc - 1, E_LOAD, at, size_of(ty))
                break
            I[ra] = load_scalar(M8, M16, M32, mem + at, ty)
        elif op == ST:
            at = I[fp + b] + c
            if at < 0 or at + size_of(ty) > memsize:
                stop_with(I, pe, pc - 1, E_STORE, at, size_of(ty))
                break
            store_scalar(M8, M16, M32, mem + at, ty, I[ra])
        elif op == COPY:
            n = I[fp + c]
            to = I[ra]
            at = I[fp + b]
            if n < 0 or to < 0 or at < 0 or to + n > memsize or at + n > memsize:
                fail(I, E_COPY, pe, to, at, n)
                I[G_FPC] = pc - 1
                break
            for i in range(n):
                M8[mem + to + i] = M8[mem + at + i]
            t += n >> 2
        elif op == ADD:
            I[ra] = wrap(I[fp + b] + I[fp + c], ty)
        elif op == SUB:
            I[ra] = wrap(I[fp + b] - I[fp + c], ty)
        elif op == MUL:
            I[ra] = wrap(I[fp + b] * I[fp + c], ty)
        elif op == DIV:
            if I[fp + c] == 0:
                stop_with(I, pe, pc - 1, E_DIV, np.int64(0), np.int64(0))
                break
            I[ra] = divide(I[fp + b], I[fp + c], ty)
        elif op == REM:
            if I[fp + c] == 0:
                stop_with(I, pe, pc - 1, E_DIV, np.int64(0), np.int64(0))
                break
            I[ra] = remainder(I[fp + b], I[fp + c], ty)
        elif op == AND:
            I[ra] = I[fp + b] & I[fp + c]
        elif op == OR:
            I[ra] = I[fp + b] | I[fp + c]
        elif op == XOR:
            I[ra] = I[fp + b] ^ I[fp + c]
        elif op == SHL or op == SHR:
            n = I[fp + c]
            if n < 0 or n >= size_of(ty) * 8:
                stop_with(I, pe, pc - 1, E_SHIFT, n, size_of(ty) * 8)
                break
            v = I[fp + b]
            if op == SHL:
                I[ra] = wrap(v << n, ty)
            elif ty == 1 and n > 0:
                I[ra] = (v >> n) & ((np.int64(1) << (64 - n)) - 1)
            else:
                I[ra] = v >> n          # normal forms: zero- and sign-extended values shift alike
        elif op == NEG:
            I[ra] = wrap(-I[fp + b], ty)
        elif op == NOT:
            I[ra] = wrap(~I[fp + b], ty)
        elif op == ADDI:
            I[ra] = wrap(I[fp + b] + c, ty)
        elif op == MULI:
            I[ra] = wrap(I[fp + b] * c, ty)
        elif op == WRAP:
            if ty == U8 and c == 1:
                I[ra] = 1 if I[fp + b] != 0 else 0
            else:
                I[ra] = wrap(I[fp + b], ty)
        elif op == LNOT:
            I[ra] = 1 if I[fp + b] == 0 else 0
        elif op == EQ:
            if ty < F16:
                I[ra] = 1 if I[fp + b] == I[fp + c] else 0
            else:
                I[ra] = 1 if equal(I[fp + b], I[fp + c], ty) else 0
        elif op == NE:
            if ty < F16:
                I[ra] = 1 if I[fp + b] != I[fp + c] else 0
            else:
                I[ra] = 0 if equal(I[fp + b], I[fp + c], ty) else 1
        elif op == LT:
            if ty < F16 and ty != 1:
                I[ra] = 1 if I[fp + b] < I[fp + c] else 0
            else:
                I[ra] = 1 if less(I[fp + b], I[fp + c], ty, False) else 0
        elif op == LE:
            if ty < F16 and ty != 1:
                I[ra] = 1 if I[fp + b] <= I[fp + c] else 0
            else:
                I[ra] = 1 if less(I[fp + b], I[fp + c], ty, True) else 0
        elif op >= FADD and op <= FDIV:
            I[ra] = float_op(op - FADD, I[fp + b], I[fp + c], ty)
        elif op == FNEG:
            I[ra] = I[fp + b] ^ (0x80000000 if ty == F32 else 0x8000)
        elif op == FUN1:
            I[ra] = math1(c, I[fp + b], ty)
        elif op == FUN2:
            I[ra] = math2(c, I[fp + b], I[fp + b + 1], ty)
        elif op >= I2F and op <= F2F:
            I[ra] = convert(op, I[fp + b], c, ty)
        elif op == F2B:
            I[ra] = 1 if to_f64(I[fp + b], c if c >= F16 else ty) != 0.0 else 0
        elif op == JMP:
            pc = a
        elif op == JZ:
            if I[ra] == 0:
                pc = b
                t += taken
        elif op == JNZ:
            if I[ra] != 0:
                pc = b
                t += taken
        elif op == CALL or op == CALLR:
            f = a
            if op == CALLR:
                f = I[ra]
                tile = I[p + P_TILE]
                if f < 0 or f >= np.int64(T[tile + TT_NFUNCS]):
                    stop_with(I, pe, pc - 1, E_FUNCTION, f, np.int64(0))
                    break
                f = np.int64(T[tile + TT_FUNCS]) + f * FK
            if fp + b + np.int64(T[f + 2]) > I[p + P_REGEND]:
                stop_with(I, pe, pc - 1, E_STACK, I[p + P_REGEND] - I[p + P_REG], np.int64(0))
                break
            fp += b
            I[fp - 1] = pc
            I[fp] = 0
            pc = np.int64(T[f])
        elif op == TCALL:
            if fp + np.int64(T[a + 2]) > I[p + P_REGEND]:
                stop_with(I, pe, pc - 1, E_STACK, I[p + P_REGEND] - I[p + P_REG], np.int64(0))
                break
            pc = np.int64(T[a])
        elif op == RET:
            pc = I[fp - 1]
            if pc < 0:
                # end of the task
                t += I[G_TASK_END]
                I[p + P_ST] = ST_IDLE
                I[p + P_BUSY] += t - I[p + P_BUSYFROM]
                I[p + P_TASK] = -1
                break
            fp -= np.int64(C[pc * 4 - 2])        # word b of the call
        elif op == CHK:
            v = I[ra]
            if v < 0 or v >= b:
                stop_with(I, pe, pc - 1, E_BOUNDS, v, b)
                break
        elif op == ASSERT:
            if I[ra] == 0:
                stop_with(I, pe, pc - 1, E_ASSERT, b, np.int64(0))
                break
        elif op == TRAP:
            stop_with(I, pe, pc - 1, E_TRAP, a, np.int64(0))
            break
        elif op >= DBASE and op <= DSTRIDE:
            I[ra] = edit_dsd(op, I[fp + b], I[fp + c], size_of(ty))
        elif op == BINS:
            shift = c & 0xff
            width = (c >> 8) & 0xff
            m = np.int64(-1) if width >= 64 else ((np.int64(1) << width) - 1)
            I[ra] = (I[ra] & ~(m << shift)) | ((I[fp + b] & m) << shift)
        elif op == DSRLD:
            d = I[p + P_DSR] + a * 2
            I[d] = I[fp + b]
            I[d + 1] = 0
            if c >= 0:
                I[d + 1] = 1 | (c << 1)
                I[d + 1] |= ((I[fp + b + 1] & 0xff) << 32) if T[c + isa.RC_ACTION] != 0 else np.int64(0)
                I[d + 1] |= ((I[fp + b + 2] & 0xff) << 40) if T[c + isa.RC_ONCTRL_SET] != 0 else np.int64(0)
        elif op == DSRGET:
            I[ra] = I[I[p + P_DSR] + b * 2]
        elif op == DSRBASE:
            d = I[p + P_DSR] + a * 2
            I[d] = edit_dsd(np.int64(DBASE), I[d], I[fp + b], size_of(ty))
        elif op == DSDOP:
            I[p + P_PC] = pc - 1          # threads remember where they were started
            r = issue(I, U, C, T, M8, M16, M32, pe, a, fp, b, fp + c, t - ((w >> 16) & 0xffff))
            if r >= 0:
                t += r
            elif r == -3:
                pc -= 1
                t -= (w >> 16) & 0xffff
                break
            elif r == -2:
                I[p + P_ST] = ST_OP
                break
            else:
                I[G_FPC] = pc - 1
                break
        elif op == ELD or op == EST:
            v = I[fp + b]
            fabric = v & 15 == KIND_FABIN or v & 15 == KIND_FABOUT
            cost = (w >> 16) & 0xffff
            if fabric and t - cost > now:
                pc -= 1
                t -= cost
                break
            if op == ELD:
                r = element_load(I, U, T, M8, M16, M32, pe, v, I[fp + c], ty, ra)
            else:
                r = element_store(I, U, T, M8, M16, M32, pe, v, I[fp + c], ty, I[ra])
            if r == BAD:
                I[G_FPC] = pc - 1
                break
            if r == WAIT:
                pc -= 1
                t = now
                I[p + P_STALL] = 1
                break
        elif op == DCOUNT:
            v = I[fp + b]
            if v & 15 == KIND_MEM4D:
                row = np.int64(T[I[p + P_TILE] + TT_MEM4D]) + field(v, 20, 16) * isa.M4_COLUMNS
                I[ra] = walk_length(T, row)
            else:
                I[ra] = field(v, 20, 16)
        elif op == DSRADV:
            save_dsr(I, T, pe, a, I[fp + b])
        elif op == ACTIVATE:
            v = I[ra] & 63
            if np.int64(T[np.int64(T[I[p + P_TILE] + TT_TASKS]) + v * KK]) == 0:
                stop_with(I, pe, pc - 1, E_NO_TASK, v, np.int64(0))
                break
            I[p + P_ACTIVE] |= np.int64(1) << v
        elif op == BLOCK:
            I[p + P_BLOCKED] |= np.int64(1) << (I[ra] & 63)
        elif op == UNBLOCK:
            I[p + P_BLOCKED] &= ~(np.int64(1) << (I[ra] & 63))
        elif op == UTBLOCK or op == UTUNBLOCK:
            if t - ((w >> 16) & 0xffff) > now:
                pc -= 1
                t -= (w >> 16) & 0xffff
                break
            dense = np.int64(T[I[p + P_TILE] + TT_UTMAP + (I[ra] & 7)])
            if dense >= 0:
                if op == UTBLOCK:
                    I[p + P_UTBLOCK] |= np.int64(1) << dense
                else:
                    I[p + P_UTBLOCK] &= ~(np.int64(1) << dense)
                    wake_ce(I, pe, now + 1)
        elif op == SYS:
            if c == SYS_CMD_DONE or c == SYS_IQ_STATUS or c == SYS_OQ_STATUS:
                if t - ((w >> 16) & 0xffff) > now:
                    pc -= 1
                    t -= (w >> 16) & 0xffff
                    break
                if c == SYS_CMD_DONE:
                    if I[p + P_CMDOPEN] == 0:
                        stop_with(I, pe, pc - 1, E_CMD, np.int64(0), np.int64(0))
                        break
                    I[p + P_CMDOPEN] = 0
                    I[G_CMDS] -= 1
                    if I[G_UNTIL] == 1 and I[G_CMDS] == 0:
                        # leave the rest of the task for later: the clock stops at the end of this cycle
                        break
                else:
                    I[ra] = queue_status(I, U, T, pe, c == SYS_OQ_STATUS, I[fp + b])
            else:
                r = system(I, U, T, pe, c, I[fp + b], t)
                if a != 0:
                    I[ra] = r
        elif op == PRINT:
            if I[G_PLOGN] >= I[G_PLOGCAP]:
                pc -= 1                 # the loop hands the log over before the next cycle
                t -= (w >> 16) & 0xffff
                break
            log = I[G_PLOG] + I[G_PLOGN] * LK
            I[log] = t
            I[log + 1] = pe
            I[log + 2] = c | (ty << 8) | (b << 16)
            I[log + 3] = I[ra]
            I[G_PLOGN] += 1
        else:
            stop_with(I, pe, pc - 1, E_BAD, op, np.int64(0))
            break
    I[p + P_PC] = pc
    I[p + P_FP] = fp
    I[p + P_TIME] = t
    I[G_INSTR] += quantum - fuel


@jit
def begin(I, T, pe, function, task, t):
    """Open the empty frame of a task or command at time t."""
    p = P0 + pe * PK
    fp = I[p + P_REG] + 2           # below: a spare register and the return link
    I[fp - 1] = -1
    I[fp] = 0
    I[p + P_FP] = fp
    I[p + P_PC] = np.int64(T[function])
    I[p + P_ST] = ST_RUN
    I[p + P_TASK] = task
    I[p + P_BUSYFROM] = t
    I[p + P_TIME] = t + I[G_TASK_START]
    I[p + P_TASKS] += 1
    I[p + P_RR] = task & 63
    return fp


@jit
def pick(I, U, T, pe, now):
    """Start a task if one is ready: high priority first, then round robin over ids. True if one was started."""
    p = P0 + pe * PK
    if I[p + P_CMD] != 0 and I[p + P_CMDTIME] <= now:
        fp = begin(I, T, pe, I[p + P_CMD] - 1, np.int64(COMMAND_TASK), now)
        I[p + P_RR] = 0
        for i in range(I[G_ARGN]):
            I[fp + 1 + i] = I[G_ARGS + i]
        I[p + P_CMD] = 0
        return True
    tile = I[p + P_TILE]
    table = np.int64(T[tile + TT_TASKS])
    blocked = I[p + P_BLOCKED]
    ready = I[p + P_ACTIVE] & ~blocked
    control = np.int64(0)       # ids ready through a control wavelet
    nq = np.int64(T[tile + TT_NIQ])
    q = I[p + P_IQ]
    i = np.int64(0)
    while i < nq:
        e = head_entry(U, q, now)
        if e >= 0 and U[q + Q_USER] == 0:
            channel = np.int64(U[q + Q_ID]) if I[G_WSE3] != 0 else np.int64(U[q + Q_COLOR])
            if (blocked >> channel) & 1 == 0:
                if np.int64(U[e + E_FLAGS]) & 1 == 0:
                    if np.int64(T[table + channel * KK]) == 1:
                        ready |= np.int64(1) << channel
                else:
                    task = (np.int64(U[e + E_VALUE]) >> 16) & 63
                    if np.int64(T[table + (64 + task) * KK]) != 0:
                        control |= np.int64(1) << task
                    else:
                        pop_input(I, U, pe, q, now)     # nobody waits for this id: consumed
                        continue                        # look at the next entry of this queue
        q += QK
        i += 1
    both = ready | control
    if both == 0:
        return False
    if both & I[p + P_TASKPRIO] != 0:
        both &= I[p + P_TASKPRIO]
    first = (I[p + P_RR] + 1) & 63
    later = both & ~((np.int64(1) << first) - 1)
    task = ctz(later) if later != 0 else ctz(both)
    if (ready >> task) & 1 != 0:
        entry = table + task * KK
        if np.int64(T[entry]) == 2:             # local
            I[p + P_ACTIVE] &= ~(np.int64(1) << task)
            begin(I, T, pe, np.int64(T[entry + 1]), task, now)
            return True
    else:
        entry = table + (64 + task) * KK
    # find the wavelet
    q = I[p + P_IQ]
    wanted_control = (ready >> task) & 1 == 0
    for i in range(nq):
        e = head_entry(U, q, now)
        if e >= 0 and U[q + Q_USER] == 0:
            channel = np.int64(U[q + Q_ID]) if I[G_WSE3] != 0 else np.int64(U[q + Q_COLOR])
            is_control = np.int64(U[e + E_FLAGS]) & 1 != 0
            value = np.int64(U[e + E_VALUE])
            hit = (value >> 16) & 63 == task if is_control else channel == task
            if (blocked >> channel) & 1 == 0 and is_control == wanted_control and hit:
                pop_input(I, U, pe, q, now)
                fp = begin(I, T, pe, np.int64(T[entry + 1]), task + 64 if is_control else task, now)
                arguments(I, T, fp, entry, value)
                return True
        q += QK
    return False


@jit
def arguments(I, T, fp, entry, value):
    """Split a payload equally among the arguments: low half first (facts 5.2)."""
    n = np.int64(T[entry + 2])
    types = np.int64(T[entry + 3])
    for i in range(n):
        ty = (types >> (4 * i)) & 15
        v = value
        if size_of(ty) == 2:
            v = (value >> (16 * i)) & 0xffff
        I[fp + 1 + i] = wrap(v, ty)


@jit
def compute(I, U, C, T, M8, M16, M32, pe, now):
    """One visit to a compute element: the vector unit moves, then the main thread goes on or picks a task."""
    p = P0 + pe * PK
    wake = np.int64(NEVER)
    if I[p + P_UTMASK] != 0:
        next_step = vector_phase(I, U, T, M8, M16, M32, pe, now)
        if I[G_FAULT] != 0:
            return
        if next_step > now and next_step < wake:
            wake = next_step
    threads = I[p + P_UTMASK]
    while True:
        state = I[p + P_ST]
        if state == ST_OP:
            break
        if I[p + P_TIME] > now:
            if I[p + P_TIME] < wake:
                wake = I[p + P_TIME]
            break
        if state == ST_IDLE:
            if not pick(I, U, T, pe, now):
                if I[p + P_CMD] != 0 and I[p + P_CMDTIME] < wake:
                    wake = I[p + P_CMDTIME]
                break
        execute(I, U, C, T, M8, M16, M32, pe)
        if I[G_FAULT] != 0:
            return
        if I[p + P_ST] == ST_RUN and I[p + P_TIME] <= now:
            if I[p + P_STALL] == 0:
                wake = now + 1          # free instructions only, a full log, or the end of the command: go on next cycle
            break
    started = I[p + P_UTMASK] & ~threads
    while started != 0:
        i = ctz(started)
        started &= started - 1
        at = I[I[p + P_UT] + i * TK + V_START]
        if at <= now:
            at = now + 1
        if at < wake:
            wake = at
    if wake < NEVER:
        wake_ce(I, pe, wake)
