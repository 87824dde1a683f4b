"""Where everything is: the layout of the machine's state.

State is a few flat arrays; every name below is an offset into one of them.

| array | type | holds |
|---|---|---|
| W | int64 | globals, PE records, registers, DSRs, threads of vector operations, channel extensions, FIFOs, wake-up bitmaps, logs |
| U | uint32 | router records, channels (one 64-byte record per PE and configured color), queues and their entries |
| M8, M16, M32 | views of one uint8 array | the memories of all PEs, one after the other |
| C | int32 | code of all tile programs |
| T | int32 | tables: operations, tiles, functions, tasks, memory objects |
| HP, HS | uint32, int64 | data streamed in by the host, and its segments |

Flat arrays with constant record sizes make an access a shift and a load; a wafer has no Python object per PE.
"""

from __future__ import annotations

import numpy as np

# ---------------------------------------------------------------- W: globals
G_NOW = 0  # current cycle
G_LIMIT = 1  # run until this cycle
G_NPE, G_WIDTH, G_HEIGHT = 2, 3, 4
G_FAULT = 5  # Fault number, 0 none
G_FPE, G_FPC, G_FCYCLE, G_FA, G_FB, G_FC = 6, 7, 8, 9, 10, 11
G_OCC_R, G_OCC_C = 12, 13  # which of the 64 slots of the wheel hold router / CE wake-ups
G_BITS_R, G_BITS_C = 14, 15  # their bitmaps
G_L0, G_L1 = 16, 17  # words per slot: one bit a PE, then one bit a word
G_CMDS = 18  # PEs that have not finished the outstanding command
# 1: stop when G_CMDS reaches 0; 2: stop when stream counter G_SCOLOR reaches G_STARGET; 0: run on 3: do nothing but
# bring operations up to date
G_UNTIL = 19
G_SCOLOR, G_STARGET = 20, 21
G_PLOG, G_PLOGN, G_PLOGCAP = 22, 23, 24  # print log: base, records, capacity
G_HLOG, G_HLOGN, G_HLOGCAP = 25, 26, 27  # host stream log
G_NHOUT = 28  # host stream channels: room the stream log must have for one cycle
G_INSTR = 29  # instructions executed
G_HOPS = 30  # link traversals
G_DELIVERED = 31  # wavelets handed to input queues
G_VISITS_R, G_VISITS_C = 32, 33
G_WSE3 = 34
G_EXPRESS = 35  # 1: receives may run in express mode (express.py)
G_VECTOR = 36  # vector elements processed
G_STEPS = 37  # cycles the loop visited
G_EXPRESSED = 38  # latest arrival of a wavelet that went the express way
G_EXPRESSING = 39  # PEs in express mode
# timing
G_HOP, G_RAMP = 40, 41
G_SETUP, G_SETUP_V, G_SETUP_S, G_FSETUP, G_ISSUE = 42, 43, 44, 45, 46
G_TASK_START, G_TASK_END, G_DONE, G_TAKEN, G_LAUNCH, G_LAUNCHHOP = 47, 48, 49, 50, 51, 52
G_SYNCDONE = 54
G_QUANTUM = 56
G_SETUP_DSR = 57
G_X = 58  # extension records of channels
G_STRICT = 59  # 1: an access past its variable is a fault even inside the PE's memory
# events and the flight recorder (trace.py)
# the buffer: base (0: none), records, capacity, records lost
G_EVENTS, G_EVENTN, G_EVENTCAP, G_EVENTSLOST = 240, 241, 242, 243
# what is recorded: masks, and the base of a bitmap of PEs;
G_EVENTKINDS, G_EVENTCOLORS, G_EVENTPES = 244, 245, 246
G_EVENTFROM, G_EVENTTO = 247, 248  # from which cycle on, up to which
G_EVENTPAUSE = 249  # 1: the loop stopped in the middle of a cycle
G_FLIGHT, G_FLIGHTN = 250, 251  # the ring, and how many entries have been written
# arguments of the outstanding command
G_ARGN, G_ARGS = 60, 61  # up to 15
G_NOTES = 76  # records of what the machine would not report
G_NOTED = 77  # which of them the last instruction made
G_LINES = 78  # in T: number of the source line of each instruction
# stream counters per color
G_SCOUNT = 80  # 32
# host_in color -> index, -1
G_HIN = 112  # 32
G_MASK, G_SIGN = 144, 208  # per type: normal form is ((v & mask) ^ sign) - sign
G_SCRATCH = 160  # one thread record for operations that run at once
P0 = 256  # PE records start here

# ---------------------------------------------------------------- W: PE records
PK = 48
P_ST, P_PC, P_FP, P_TIME = 0, 1, 2, 3
P_ACTIVE, P_BLOCKED, P_RR = 4, 5, 6
P_CMD, P_CMDTIME, P_CMDOPEN = 7, 8, 9  # function row + 1 to start; when; 1 while the command is not finished
P_TSC, P_TSCON, P_TSCVAL = 10, 11, 12
P_BUSY, P_SENT, P_EXPRESS, P_TASKS = 13, 14, 15, 16  # P_EXPRESS: 1: the running operations are in express mode
P_TILE, P_MEM, P_MEMSIZE = 17, 18, 19
P_REG, P_REGEND = 20, 21
P_DSR = 22
P_UT = 23  # thread records: dense 0 is the main thread's
P_IQ, P_OQ = 24, 25  # first queue record (in U)
# P_NOEXPRESS: mask of threads that have to go step by step
P_UTMASK, P_UTBLOCK, P_NOEXPRESS, P_VBUSY = 26, 27, 28, 29
P_TASK = 30  # id of the running task: 0..63 data/local, 64.. control, 128 command
P_CARRY = 31
P_PRNG = 32
P_TASKPRIO = 33  # mask of high priority ids
P_STALL = 34  # 1: the instruction at pc waits (ELD/EST)
P_MISC = 35  # low half of a packed wavelet whose other element scalar code has not sent yet
P_BUSYFROM = 37  # start of the running task
P_TORN = 38  # mask of colors whose teardown was not taken notice of
P_SYSTEM = 39  # 1: the program has a task 29
P_FIFO = 40  # first FIFO record
P_FLUSHED = 41  # mask of queues that were flushed and ran empty: inputs, then outputs
P_ROTATE = 42  # 2: starts of a rotating task since its alternate
# address in M of the words of the configuration space that are plain storage, or 0
P_PLAIN = 44
P_TRANSFORM = 45  # what control_transform adds to the payload of a control wavelet
P_UNMASKED = 46  # exceptions that stop the PE: bits as isa.EXCEPTIONS numbers them

ST_IDLE, ST_RUN, ST_OP = 0, 1, 2

# ---------------------------------------------------------------- W: thread records
TK = 48
V_K, V_N, V_LAST, V_STEP = 0, 1, 2, 3  # elements done; elements in all; cycle of the last step; elements a step
V_OPERANDS = 4  # 4 records of 7: destination, sources 0..2
OK = 7
O_ADDR, O_STRIDE, O_SIZE, O_KIND, O_QUEUE, O_LEN, O_AUX = 0, 1, 2, 3, 4, 5, 6
V_START, V_RANK, V_RATE, V_CODE, V_FLAGS, V_ZERO, V_ONCTRL, V_ACC = 32, 33, 34, 35, 36, 37, 38, 39
# actions: kind | id << 4 | set << 12
V_ROW, V_ACTION, V_PC, V_TASK, V_ID, V_INDEX, V_RESULT = 40, 41, 42, 43, 44, 45, 46
V_STALLED = 47  # traced runs: cycle << 3 | cause of the stall that goes on, or 0
# kinds of operand in a thread
K_NONE, K_MEM, K_MEM4, K_SCALAR, K_POINTER, K_IN, K_OUT, K_FIFO = 0, 1, 2, 3, 4, 5, 6, 7
# O_ADDR: address in the PE's memory (next element), or the scalar, or the held half of a packed wavelet
# O_QUEUE: mem4d: row in T; fabric: queue record in U
# O_LEN: own length in elements; O_AUX: mem4d: counters, 16 bits each (of a ring, the first begins where the walk does);
# fabric: SIMD | control << 2 | index << 3 | priority << 4 | advance_switch << 6 | zero << 7 | control_transform << 9
# FIFO: O_ADDR its record, O_QUEUE its row in T, O_AUX the PE
F_ACCUMULATE = 1
F_ASYNC = 2
F_ENDLESS = 4
F_NOTED = 8  # there is something that the machine would not report
# a control wavelet may end it before it leaves a memory vector that is shorter than the operation
F_OPEN = 32
F_CHECKED = 16  # an exception may stop the PE
A_TRANSFORM = 1 << 9  # in O_AUX

# ---------------------------------------------------------------- W: what the machine would not report (see notes.py)
NOTES = 64  # records, in the order in which they came first
NK = 8  # then one bit a PE (G_L0 words)
N_KEY, N_CYCLE, N_PE, N_TASK, N_A, N_B, N_C, N_COUNT = 0, 1, 2, 3, 4, 5, 6, 7
# N_KEY: kind | what << 4 | source line (G_LINES) << 24; cycle, PE and task are those of the first time
N_READ, N_WRITE = 1, 2  # past a variable; what: its address; a, b: first byte and byte after the last; c: element size
# what: operand; a, b: elements of the operation and of the operand; c: color of the operation + 1
N_LENGTH = 3
N_WIDTH = 4  # what: operand; a, b: bytes of an element of the DSD and of the operation

# ---------------------------------------------------------------- U: routers
RK = 16  # router record of PE p at p * RK
R_BASE, R_N, R_MASK, R_RR, R_OQ, R_HIN, R_ORR = 0, 1, 2, 3, 4, 5, 6
R_IQ = 7  # the PE's first input queue record
R_TAKEN = 8  # wavelets the CE has taken from its input queues, modulo 2^32
# channel record, 16 words: 4 values, 4 arrival times, state, configuration, last pop, last push, neighbours N S E W
CH_VALUE, CH_TIME, CH_STATE, CH_CONFIG, CH_POP, CH_PUSH, CH_NEAR = 0, 4, 8, 9, 10, 11, 12
# CH_STATE: head (0-1), count (2-4), control bits (5-8), waiter (9), number of the extension record (10-31)
S_WAITER = 1 << 9
S_EXTENSION = 10
# CH_CONFIG: rx (0-5), tx (6-11), color (12-16), input queue (17-20, 15 = none), then what makes a channel special:
C_SPECIAL = 1 << 21  # has an extension record; its rx bits are 0 while it is closed
C_TEARDOWN = 1 << 22
C_FILTER = 1 << 23
C_SWAP = 1 << 24  # E/W or N/S arrivals come from the other color of the pair
C_TWIN_X = 1 << 25  # what arrives from E or W also comes to the other color of the pair, which alone has the swap
C_TWIN_Y = 1 << 26
C_PAIR = 1 << 27  # colors are swapped somewhere: what waits for a place here may have either color of the pair
C_RAMP = 1 << 28  # what comes from the ramp goes to the other color of the pair
C_RARE = 22  # bits from here on: not even a data wavelet takes the short way
NO_CHANNEL, OFF_RECTANGLE = 0xFFFFFFFF, 0xFFFFFFFE

# ---------------------------------------------------------------- W: extension records of channels (see switch.py)
XK = 20
X_ROUTE = 0  # packed as Sys.ROUTE_GET gives it, without state
X_POSITIONS = 1  # 4: rx | tx << 5 | valid << 10
X_CURRENT, X_RING, X_POP = 5, 6, 7
X_REACH = 8  # sides that some position, or the program at run time, may open
X_TURN = 9  # cycle of the last change
# entries of the channel that are data wavelets after which the switch advances (their control bit is set)
X_MARK = 10
X_FILTER = 11  # kind, and flags:
X_COUNTER, X_MAX, X_LIMIT, X_LIMIT2, X_MIN, X_MAXIDX = 12, 13, 14, 15, 16, 17
X_EATEN = 18  # wavelets the filter has kept from the CE
X_VALID = 1 << 10
X_COUNT_DATA, X_COUNT_CONTROL, X_FILTER_CONTROL = 16, 32, 64

# ---------------------------------------------------------------- W: FIFOs
FFK = 8
FF_HEAD, FF_COUNT, FF_READ, FF_WRITE = 0, 1, 2, 3  # READ, WRITE: length as an operand
FF_EMPTY, FF_FULL = 4, 5  # 1: a pop found it empty, a push found it full

# ---------------------------------------------------------------- U: queues
QK = 16
Q_BUF, Q_CAP, Q_HEAD, Q_COUNT, Q_CHANNEL, Q_COLOR, Q_ID, Q_WAITER, Q_USER, Q_DEPTH = range(10)
# of an input in express mode: wavelets that may still go that way (0: none), where the next element goes, an index of
# M16 or M32, (stride + 2^15) << 2 | two halves << 1 | 32 bits, arrival of the last one
Q_XLEFT, Q_XAT, Q_XMODE, Q_XLAST = 10, 11, 12, 13
# Q_WAITER: 1: someone waits for room; 2: task 29 waits for it to run empty
EK = 3  # queue entry
# flags of an output: control | advance the switch after it << 1 | channel slot << 8
E_VALUE, E_TIME, E_FLAGS = 0, 1, 2

# ---------------------------------------------------------------- T: tables
OI = 12  # operation info at code * OI
OI_DST, OI_S0, OI_S1, OI_S2, OI_RATE, OI_SETUP, OI_CLASS, OI_ACC, OI_REDUCE = range(9)
T_TILES = 64 * OI
TT = 24  # tile record
TT_FUNCS, TT_TASKS, TT_OBJS, TT_NOBJS, TT_MEM4D, TT_NIQ, TT_NOQ, TT_NUT, TT_UTMAP, TT_IQMAP, TT_OQMAP, TT_NDSR = (
    0,
    1,
    2,
    3,
    4,
    5,
    6,
    7,
    8,
    16,
    17,
    18,
)
TT_NFUNCS = 19
TT_FIFOS, TT_NFIFOS = 20, 21
TT_LIMIT = 22  # 2: limits of the counters of rotating tasks
FK = 4  # function: entry, params, frame
# task table, 64 data/local then 64 control: kind, function row, args, types | rotating pair + 1 << 16
KK = 4
ROW = 20  # vector operation rows: OP_COLUMNS
# print records: cycle, PE, kind | ty << 8 | string << 16, value
LK = 4
# event records: cycle; PE, kind, color, queue, thread; value, extra; instruction, task (inspect.trace.EVENT)
EVK = 4
# records that one visit of the run loop may write: two per instruction of a quantum, and some
EVENT_ROOM = 50_000

# Numba gives a plain int constant a literal type and resolves every operation with it twice; int64 constants halve type
# inference
globals().update({name: np.int64(value) for name, value in list(globals().items()) if isinstance(value, int)})
