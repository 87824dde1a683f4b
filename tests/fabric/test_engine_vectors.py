"""Vector operations in memory against numpy: every operation, every form, strides, overlap, 4-D walks, reductions."""

import numpy as np
import pytest
from asm import E, R, Tile, W, fabin, fabout, mem, mem4, program
from hypothesis import given, settings
from hypothesis import strategies as st

from meshlang.fabric.machine import Machine
from meshlang.ir.dsdops import DSD_OPS
from meshlang.ir.isa import Op
from meshlang.ir.words import DsrConfig

SIZE = {"h": 2, "w": 2, "s": 4, "d": 4}
BITS = {2: np.uint16, 4: np.uint32}
FLOAT = {"h": np.float16, "s": np.float32}


def launch(tile, arch="wse3"):
    tile.done()
    tile.ret()
    machine = Machine(program([[0]], [tile], arch=arch))
    machine.launch("main")
    machine.run("commands", max_cycles=1_000_000)
    return machine


def read(machine, at, n, size):
    return machine.read_bytes(0, 0, 1, 1, at, n * size).view(BITS[size]).ravel()


def as_float(bits, letter):
    return np.asarray(bits, BITS[SIZE[letter]]).view(FLOAT[letter])


def s16(v):
    return np.asarray(v, np.uint16).view(np.int16).astype(np.int64)


def reference(name, a, b, c):
    """Elementwise meaning on arrays of bits."""
    op = DSD_OPS[name]
    ints = {
        "add16": lambda: a.astype(np.int64) + b,
        "sub16": lambda: a.astype(np.int64) - b,
        "and16": lambda: a & b,
        "or16": lambda: a | b,
        "xor16": lambda: a ^ b,
        "sll16": lambda: np.where(b < 16, a.astype(np.int64) << np.minimum(b, 16).astype(np.int64), 0),
        "slr16": lambda: np.where(b < 16, a.astype(np.int64) >> np.minimum(b, 16).astype(np.int64), 0),
        "sar16": lambda: s16(a) >> np.minimum(b, 15).astype(np.int64),
        "clz": lambda: np.array([16 - int(x).bit_length() for x in a]),
        "ctz": lambda: np.array([(int(x) & -int(x)).bit_length() - 1 if x else 16 for x in a]),
        "popcnt": lambda: np.array([int(x).bit_count() for x in a]),
        "mov16": lambda: a,
        "mov32": lambda: a,
        "fmovh": lambda: a,
        "fmovs": lambda: a,
    }
    with np.errstate(all="ignore"):
        if name == "addc16":
            out, carry = [], 0
            for x, y in zip(a.tolist(), b.tolist(), strict=True):
                r = x + y + carry
                carry = r >> 16
                out.append(r & 0xFFFF)
            return np.array(out, np.uint16)
        if name in ints:
            return (np.asarray(ints[name]()) & (0xFFFF if SIZE[op.dst] == 2 else 0xFFFFFFFF)).astype(BITS[SIZE[op.dst]])
        x = as_float(a, op.src[0]) if op.src[0] in FLOAT else a
        y = as_float(b, op.src[1]) if len(op.src) > 1 and op.src[1] in FLOAT else b
        if name.startswith("fmac"):
            r = as_float(a, op.src[0]).astype(np.float64) + y.astype(np.float64) * float(as_float([c], op.src[2])[0])
            r = r.astype(FLOAT[op.dst])
        elif name in ("fh2xp16", "fs2xp16"):
            v = np.clip(np.rint(np.nan_to_num(x.astype(np.float64), nan=0.0, posinf=1e9, neginf=-1e9)), -32768, 32767)
            return v.astype(np.int16).view(np.uint16)
        elif name in ("xp162fh", "xp162fs"):
            r = s16(a).astype(FLOAT[op.dst])
        elif name in ("fh2s", "fs2h"):
            r = x.astype(FLOAT[op.dst])
        elif name in ("fscaleh", "fscales"):
            r = np.ldexp(x.astype(np.float64), s16(b)).astype(FLOAT[op.dst])
        elif name in ("fnormh", "fnorms"):
            r = np.frexp(x.astype(np.float64))[0].astype(FLOAT[op.dst])
        else:
            kind = name[1:4]
            if name == "faddhs":
                r = x + y.astype(np.float32)
            elif kind in ("add", "sub", "mul"):
                r = {"add": np.add, "sub": np.subtract, "mul": np.multiply}[kind](x, y)
            elif kind == "max":
                r = np.fmax(x, y)
            elif kind == "neg":
                return a ^ BITS[SIZE[op.dst]](0x8000 if op.dst == "h" else 0x80000000)
            else:
                return a & BITS[SIZE[op.dst]](0x7FFF if op.dst == "h" else 0x7FFFFFFF)
    return r.view(BITS[SIZE[op.dst]])


def same(name, got, want):
    op = DSD_OPS[name]
    if op.dst in FLOAT:
        g, w = as_float(got, op.dst), as_float(want, op.dst)
        ok = (got == want) | (np.isnan(g) & np.isnan(w))
        if name.startswith("fmax"):
            ok |= (g == 0) & (w == 0)
        if name == "fmacs":  # the reference rounds twice; the engine once
            ok |= np.isclose(g, w, rtol=3e-7, atol=0)
    else:
        ok = got == want
    assert ok.all(), (name, got[~ok][:4], want[~ok][:4])


def values(rng, letter, n, edge=True):
    dtype = BITS[SIZE[letter]]
    if letter in FLOAT:
        v = (rng.standard_normal(n) * 10.0 ** rng.integers(-4, 4, n)).astype(FLOAT[letter])
        if edge and n >= 8:
            v[:8] = [0, -0.0, np.inf, -np.inf, np.nan, 6e-8, 65504, -1]
            rng.shuffle(v)
        return v.view(dtype)
    v = rng.integers(0, 1 << 8 * SIZE[letter], n).astype(dtype)
    return v


@pytest.mark.parametrize("name", DSD_OPS)
def test_every_operation(name):
    """All forms, contiguous and strided, of one operation."""
    op = DSD_OPS[name]
    rng = np.random.default_rng(len(name) * 7 + ord(name[1]))
    tile = Tile()
    tile.function("main", export=True)
    checks = []
    for form in op.forms:
        for n, stride in ((1, 1), (37, 1), (300, 1), (40, 3), (20, -2)):
            if "P" in form and form not in ("PV", "Ps") and n > 100:
                n = 50
            size = SIZE[op.dst]
            dst = tile.var(f"d{len(checks)}", n * abs(stride), size)
            operands, arrays = [], []
            for letter, kind in zip(op.src, form[1:], strict=False):
                if kind == "V":
                    v = values(rng, letter, n)
                    if name.startswith("s") and name.endswith("16") and len(arrays) == 1 and name != "sub16":
                        v %= 20
                    spread = np.zeros(n * abs(stride), v.dtype)
                    spread[:: abs(stride)] = v if stride > 0 else v[::-1]
                    at = tile.var(f"s{len(checks)}_{len(arrays)}", len(spread), SIZE[letter], spread)
                    base = at if stride > 0 else at + (n - 1) * abs(stride) * SIZE[letter]
                    operands.append(("dsd", mem(base, n, stride, SIZE[letter])))
                    arrays.append(v)
                else:
                    v = values(rng, letter, 1)
                    if name.startswith("s") and len(arrays) == 1 and letter == "w":
                        v %= 20
                    operands.append(("scalar", int(v[0])))
                    arrays.append(np.repeat(v, n))
            a = arrays[0]
            b = arrays[1] if len(arrays) > 1 else None
            c = int(arrays[2][0]) if len(arrays) > 2 else 0
            if form[0] == "D":
                base = dst if stride > 0 else dst + (n - 1) * abs(stride) * size
                target = ("dsd", mem(base, n, stride, size))
                want = reference(name, a, b, c)
            else:
                target = ("pointer", dst)
                steps = n if "V" in form else 1
                if op.accumulates and form == "PsV":
                    acc = a[:1].copy()
                    for i in range(steps):
                        acc = reference(name, acc, b[i : i + 1], c)
                    want = acc
                else:
                    want = reference(name, a, b, c)[steps - 1 : steps]
            if name == "addc16":
                continue  # its carry is tested on its own
            tile.op(name, target, *operands)
            checks.append((form, n, stride, dst, want))
    machine = launch(tile)
    for form, n, stride, dst, want in checks:
        size = SIZE[op.dst]
        if form[0] == "P":
            got = read(machine, dst, 1, size)
        else:
            got = read(machine, dst, n * abs(stride), size)[:: abs(stride)]
            got = got if stride > 0 else got[::-1]
        same(name, got, want)


def test_add_with_carry():
    tile = Tile()
    x = tile.var("x", 3, 2, np.array([0xFFFF, 0xFFFF, 1], np.uint16))
    y = tile.var("y", 3, 2, np.array([1, 0, 1], np.uint16))
    d = tile.var("d", 3, 2)
    tile.function("main", export=True)
    tile.op("addc16", ("dsd", mem(d, 3, 1, 2)), ("dsd", mem(x, 3, 1, 2)), ("dsd", mem(y, 3, 1, 2)))
    assert read(launch(tile), d, 3, 2).tolist() == [0, 0, 3]


@settings(max_examples=15, deadline=None)
@given(
    st.integers(1, 600),
    st.integers(-5, 5),
    st.integers(0, 5),
    st.sampled_from(["faddh", "fadds", "add16", "fmovh", "mov32"]),
)
def test_overlap_is_in_element_order(n, shift, offset, name):
    """Windows of one array that overlap: element k is written before element k + 1 is read."""
    op = DSD_OPS[name]
    size = SIZE[op.dst]
    rng = np.random.default_rng(n)
    data = (
        rng.integers(0, 1000, n + 20)
        .astype(np.float32 if size == 4 else np.float16)
        .astype(FLOAT.get(op.dst, BITS[size]))
    )
    data = data.view(BITS[size])
    tile = Tile()
    at = tile.var("a", n + 20, size, data)
    tile.function("main", export=True)
    d0, a0, b0 = 5 + shift, 5, 5 + offset
    sources = [("dsd", mem(at + a0 * size, n, 1, size)), ("dsd", mem(at + b0 * size, n, 1, size))][: len(op.src)]
    tile.op(name, ("dsd", mem(at + d0 * size, n, 1, size)), *sources)
    want = data.copy()
    for k in range(n):
        b = want[b0 + k : b0 + k + 1] if len(op.src) > 1 else None
        want[d0 + k : d0 + k + 1] = reference(name, want[a0 + k : a0 + k + 1].copy(), b, 0)
    same(name, read(launch(tile), at, n + 20, size), want)


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(1, 4), min_size=1, max_size=4), st.data())
def test_four_dimensional_walks(extents, data):
    """Against numpy indexing, for natural coefficients turned into jump strides (facts A.1)."""
    coefficients = [data.draw(st.integers(0, 9)) for _ in extents]
    jumps, inner = [], 0
    for n, c in zip(reversed(extents), reversed(coefficients), strict=True):  # innermost first
        jumps.append(c - inner)
        inner += c * (n - 1)
    total = int(np.prod(extents))
    index = [sum(i * c for i, c in zip(where, coefficients, strict=True)) for where in np.ndindex(*extents)]
    tile = Tile()
    source = np.arange(200, dtype=np.uint32) * 3 + 1
    src, dst = tile.var("s", 200, 4, source), tile.var("d", total, 4)
    tile.m4.append([len(extents), *extents, *[0] * (4 - len(extents)), *jumps, *[0] * (4 - len(extents))])
    tile.function("main", export=True)
    tile.op("mov32", ("dsd", mem(dst, total)), ("dsd", mem4(src, 0)))
    # the same walk, element by element
    out = tile.var("o", total, 4)
    tile.const(1, mem4(src, 0))
    for k in range(total):
        tile.emit(Op.LDI, 2, k)
        tile.emit(Op.ELD, 3, 1, 2, 3)
        tile.emit(Op.LDI, 4, out + 4 * k)
        tile.emit(Op.ST, 3, 4, 0, 3)
    machine = launch(tile)
    assert read(machine, dst, total, 4).tolist() == source[index].tolist()
    assert read(machine, out, total, 4).tolist() == source[index].tolist()


def test_save_address_goes_on():
    tile = Tile()
    x = tile.var("x", 8, 4, np.arange(8, dtype=np.uint32))
    y = tile.var("y", 4, 4)
    tile.dsrs = [("src1", 1)]
    tile.configs = [DsrConfig.make(save=1, ut=-1)]
    tile.dsr_init = [(0, mem(x, 2), 0, 0, 0)]
    tile.function("main", export=True)
    for i in range(2):
        tile.op("mov32", ("dsd", mem(y + 8 * i, 2)), ("dsr", 0))
    assert read(launch(tile), y, 4, 4).tolist() == [0, 1, 2, 3]


def test_length_rule_and_warning():
    """The first source with a length decides; other lengths are reported."""
    tile = Tile()
    x = tile.var("x", 8, 4, np.arange(8, dtype=np.uint32) + 1)
    y = tile.var("y", 8, 4)
    tile.function("main", export=True)
    tile.op("mov32", ("dsd", mem(y, 8)), ("dsd", mem(x, 3)))
    machine = launch(tile)
    assert read(machine, y, 8, 4).tolist() == [1, 2, 3, 0, 0, 0, 0, 0]
    (warning,) = machine.warnings
    assert warning.code == "MS0851" and "has 3 elements" in warning.message and "destination has 8" in warning.message
    assert "1 time on 1 PE" in warning.notes


TIMER = 6  # of the constant; the published kernels include it
STREAM = [
    ("fmovh", "V", 4, 10),
    ("faddh", "VV", 4, 12),
    ("fmulh", "Vs", 4, 11),
    ("fmach", "VVs", 4, 13),
    ("fmovs", "V", 2, 10),
    ("fmuls", "Vs", 1, 11),
    ("fmacs", "VVs", 1, 12),
]


@pytest.mark.parametrize(("name", "form", "width", "setup"), STREAM)
@pytest.mark.parametrize("n", [256, 1024])
def test_stream_cycles_of_the_vendors_simulator(name, form, width, setup, n):
    """STREAM rows, simulator: n / width + set-up cycles for one operation, on wse2."""
    size = SIZE[DSD_OPS[name].dst]

    def cycles(with_op):
        tile = Tile()
        arrays = [tile.var(f"v{i}", n + 1, size) for i in range(3)]  # so that sources lie in different banks
        tile.function("main", export=True)
        if with_op:
            operands = [
                ("dsd", mem(arrays[i + 1], n, 1, size)) if f == "V" else ("scalar", 0) for i, f in enumerate(form)
            ]
            tile.op(name, ("dsd", mem(arrays[0], n, 1, size)), *operands)
        return launch(tile, "wse2").cycle

    assert cycles(True) - cycles(False) == n // width + setup - TIMER


@pytest.mark.parametrize("arch", ["wse2", "wse3"])
@pytest.mark.parametrize(
    ("gap", "left", "right", "each"),
    [
        (0, 1, 1, 2),  # 16 words apart: one bank
        (1, 1, 1, 1),
        (4, 1, 1, 2),
        (0, 1, 2, 1.25),  # the first of four
        (1, 4, 4, 1),
    ],
)
def test_two_sources_in_one_bank(arch, gap, left, right, each):
    """f32: a read of each source in a cycle, unless both lie in one bank of 32 bits of four."""

    def cycles(with_op):
        tile = Tile()
        a = tile.var("a", 64, 4)
        b = tile.var("b", 64 + gap, 4)
        tile.function("main", export=True)
        if with_op:
            tile.op(
                "fmacs",
                ("dsd", mem(a, 16)),
                ("dsd", mem(a, 16, left)),
                ("dsd", mem(b + 4 * gap, 16, right)),
                ("scalar", 0),
            )
        return launch(tile, arch).cycle

    base = 3 * 2 + 1 - 1
    assert cycles(True) - cycles(False) == base + 16 * each


@pytest.mark.parametrize("second", [False, True])
def test_an_operand_that_comes_over_the_fabric_beside_one_in_memory(second):
    """In whichever place; what runs usual operations at once leaves such a one alone."""
    n = 6
    sender, receiver = Tile("left.csl"), Tile("right.csl")
    x = sender.var("x", n, 4, np.arange(n, dtype=np.float32))
    sender.outputs = [(2, 5)]
    sender.function("main", export=True)
    sender.op("fmovs", ("dsd", fabout(n, 2, 5)), ("dsd", mem(x, n)))
    sender.done()
    sender.ret()
    y, z = receiver.var("y", n), receiver.var("z", n, 4, np.full(n, 100, np.float32))
    receiver.inputs, receiver.blocked = [(3, 5)], 1 << 3
    receiver.function("main", export=True)
    operands = [("dsd", mem(z, n)), ("dsd", fabin(n, 3, 5))]
    receiver.op("fsubs", ("dsd", mem(y, n)), *(operands if second else operands[::-1]))
    receiver.done()
    receiver.ret()
    machine = Machine(program([[0, 1]], [sender, receiver], {5: {(0, 0): (R, E), (1, 0): (W, R)}}))
    machine.launch("main")
    machine.run("commands", max_cycles=2000)
    found = machine.read_bytes(1, 0, 1, 1, y, 4 * n).view(np.float32).ravel()
    difference = np.arange(n) - 100
    assert found.tolist() == (-difference if second else difference).tolist()
