"""Numbers of the instruction set and its tables (ir/isa.py), as the 64-bit constants that compiled code wants."""

from __future__ import annotations

import numpy as np

from ...ir import isa

(
    NOP,
    MOV,
    LDI,
    LDIH,
    SEL,
    LD,
    ST,
    COPY,
    ADD,
    SUB,
    MUL,
    DIV,
    REM,
    AND,
    OR,
    XOR,
    SHL,
    SHR,
    NEG,
    NOT,
    ADDI,
    MULI,
    WRAP,
    LNOT,
    EQ,
    NE,
    LT,
    LE,
    FADD,
    FSUB,
    FMUL,
    FDIV,
    FNEG,
    FUN1,
    FUN2,
    I2F,
    F2I,
    F2F,
    F2B,
    JMP,
    JZ,
    JNZ,
    CALL,
    CALLR,
    TCALL,
    RET,
    CHK,
    ASSERT,
    TRAP,
    DBASE,
    DINC,
    DLEN,
    DSTRIDE,
    BINS,
    DSRLD,
    DSRGET,
    DSRBASE,
    DSDOP,
    ELD,
    EST,
    DCOUNT,
    DSRADV,
    ACTIVATE,
    BLOCK,
    UNBLOCK,
    UTBLOCK,
    UTUNBLOCK,
    SYS,
    PRINT,
) = (np.int64(o) for o in list(isa.Op)[:69])
(
    SYS_CMD_DONE,
    SYS_TSC,
    SYS_TSC_ENABLE,
    SYS_TSC_RESET,
    SYS_X,
    SYS_Y,
    SYS_RANDOM16,
    SYS_SET_PRNG,
    SYS_IQ_STATUS,
    SYS_OQ_STATUS,
    SYS_TASK_PRIORITY,
    SYS_PERF,
    SYS_MAIN_PRIORITY,
    SYS_FIFO_READ,
    SYS_FIFO_WRITE,
    SYS_ROUTE_GET,
    SYS_ROUTE_SET,
    SYS_TORN,
    SYS_TEARDOWN_EXIT,
    SYS_FILTER_GET,
    SYS_FILTER_SET,
    SYS_FLUSH,
    SYS_FLUSHED,
    SYS_FLUSH_EXIT,
    SYS_QUEUE_COLOR,
    SYS_REGISTER_GET,
    SYS_REGISTER_SET,
    SYS_TRANSFORM,
    SYS_EXCEPTIONS,
) = (np.int64(s) for s in list(isa.Sys)[:29])
PLAIN, PLAIN_COUNT = np.int64(isa.PLAIN_REGISTERS), np.int64(isa.PLAIN_COUNT)

# what a DSD is (the low bits of its word), and what an operand of an operation is
(KIND_NONE, KIND_MEM1D, KIND_MEM4D, KIND_FABIN, KIND_FABOUT) = (np.int64(k) for k in list(isa.DsdKind)[:5])
KIND_FIFO, KIND_CIRCBUF = np.int64(isa.DsdKind.FIFO), np.int64(isa.DsdKind.CIRCBUF)
OPERAND_DSD, OPERAND_DSR, OPERAND_SCALAR, OPERAND_POINTER = (np.int64(i) for i in range(1, 5))
ENDLESS = np.int64(isa.INFINITE)

# columns of the tables: operations, configurations of DSRs, walks in several dimensions, FIFOs
OP_DST, OP_DST_DSR, OP_ASYNC, OP_ACTION, OP_ONCTRL, OP_ONCTRL_SET, OP_UT, OP_PRIO, OP_INDEX = (
    np.int64(i)
    for i in (
        isa.OP_DST,
        isa.OP_DST_DSR,
        isa.OP_ASYNC,
        isa.OP_ACTION,
        isa.OP_ONCTRL,
        isa.OP_ONCTRL_SET,
        isa.OP_UT,
        isa.OP_PRIO,
        isa.OP_INDEX,
    )
)
RC_ASYNC, RC_ACTION, RC_ONCTRL, RC_ONCTRL_SET, RC_UT, RC_PRIO, RC_SAVE = (
    np.int64(i)
    for i in (isa.RC_ASYNC, isa.RC_ACTION, isa.RC_ONCTRL, isa.RC_ONCTRL_SET, isa.RC_UT, isa.RC_PRIO, isa.RC_SAVE)
)
M4_RANK, M4_EXT, M4_STRIDE, M4_COLUMNS, M4_RING, M4_LENGTH = (
    np.int64(i) for i in (isa.M4_RANK, isa.M4_EXT, isa.M4_STRIDE, isa.M4_COLUMNS, isa.M4_RING, isa.M4_LENGTH)
)
FIFO_BASE, FIFO_CAPACITY, FIFO_SIZE, FIFO_PUSH, FIFO_POP, FIFO_ACTIONS, FIFO_COLUMNS = (
    np.int64(i)
    for i in (
        isa.FIFO_BASE,
        isa.FIFO_CAPACITY,
        isa.FIFO_SIZE,
        isa.FIFO_PUSH,
        isa.FIFO_POP,
        isa.FIFO_ACTIONS,
        isa.FIFO_COLUMNS,
    )
)
FIFO_TEST, FIFO_TERMINATE, FIFO_SUSPEND, FIFO_FAULT = (
    np.int64(i) for i in (isa.FIFO_TEST, isa.FIFO_TERMINATE, isa.FIFO_SUSPEND, isa.FIFO_FAULT)
)
