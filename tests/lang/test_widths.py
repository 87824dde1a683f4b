"""Every pair of types and every operator: run time, compile time and a model of plain Python integers must agree.

Types of up to 8 bits are tried with all their values: for each operator, a row of a table per left operand is summed up in one number, so that a
program of a few lines checks some 65,000 results. Wider types are tried at the edges of their own range and of all others.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from compiling import compile_files
from reference_vm import ReferenceVM

from meshlang.diag import MeshlangError
from meshlang.sema.model import ops
from meshlang.sema.model import types as T
from meshlang.sema.model.values import Known

SMALL = ("u1", "i2", "u3", "i4", "u5", "i5", "u7", "i7", "u8", "i8")
WIDE = ("u12", "i12", "u16", "i16", "i20", "u31", "i31", "u32", "i32", "u33", "i48", "u63", "i63", "u64", "i64")
INTS = SMALL + WIDE
FLOATS = ("f16", "f32")
ARITHMETIC = ("+", "-", "*", "/", "%", "&", "|", "^", "<<", ">>")
COMPARISONS = ("==", "!=", "<", "<=", ">", ">=")


# ---------------------------------------------------------------- the model


def bounds(t: str) -> tuple[int, int]:
    bits = int(t[1:])
    return (-(1 << bits - 1), (1 << bits - 1) - 1) if t[0] == "i" else (0, (1 << bits) - 1)


def wrapped(v: int, t: str) -> int:
    low, _ = bounds(t)
    return (v - low) % (1 << int(t[1:])) + low


def operator(op: str, a: int, b: int, t: str) -> int:
    if op in ("/", "%"):
        q = abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)
        return wrapped(q if op == "/" else a - q * b, t)
    value = {
        "+": lambda: a + b,
        "-": lambda: a - b,
        "*": lambda: a * b,
        "&": lambda: a & b,
        "|": lambda: a | b,
        "^": lambda: a ^ b,
        "<<": lambda: a << b,
        ">>": lambda: a >> b,
    }.get(op)
    if value is not None:
        return wrapped(value(), t)
    return int({"==": a == b, "!=": a != b, "<": a < b, "<=": a <= b, ">": a > b, ">=": a >= b}[op])


def peer(a: str, b: str) -> str | None:
    """The type two operands find, if one of them has all values of the other."""
    (la, ha), (lb, hb) = bounds(a), bounds(b)
    if lb <= la and ha <= hb:
        return b
    return a if la <= lb and hb <= ha else None


def saturated(x: float, t: str) -> int:
    low, high = bounds(t)
    if math.isnan(x):
        return 0
    return low if x <= low else high if x >= high else math.trunc(x)


def rounded(x: float | int, t: str) -> float:
    with np.errstate(all="ignore"):
        return float((np.float16 if t == "f16" else np.float32)(x))


def bits_of(x: float, t: str) -> int:
    with np.errstate(all="ignore"):
        return int(np.float16(x).view(np.uint16)) if t == "f16" else int(np.float32(x).view(np.uint32))


def edges(t: str) -> list[int]:
    """Numbers around the ends of the ranges of all types, as far as `t` has them."""
    low, high = bounds(t)
    around = {end + d for other in INTS for end in bounds(other) for d in (-1, 0, 1)} | {low // 2, high // 2, high // 3}
    return sorted(v for v in around if low <= v <= high)


def text(v: int) -> str:
    """A literal; the most negative ones are written as a difference."""
    return f"({v})" if v < 0 else str(v)


# ---------------------------------------------------------------- small types, all values


ROWS = """
var sums: [%(rows)d]u32;
fn run() void {
  for (@range(u16, %(count)d)) |i| {
    const a = @as(%(a)s, @as(i16, i) + %(low)d);
    for (@range(u16, %(others)d)) |j| {
      const b = @as(%(b)s, @as(i16, j) + %(other_low)d);
      const weight = 2 * @as(u32, j) + 1;
%(body)s
    }
  }
}
fn main() void { run(); }
"""


def weight_of(results: list[int | None]) -> int:
    return sum((r & 0xFFFFFFFF) * (2 * j + 1) for j, r in enumerate(results) if r is not None) & 0xFFFFFFFF


def table(op: str, a: str, b: str) -> tuple[str, list[int]]:
    """A statement that adds up a row, and what each row's sum has to be."""
    t = a if op in ("<<", ">>") else peer(a, b)
    (la, ha), (lb, hb) = bounds(a), bounds(b)
    result = f"@as(u32, a {op} b)" if op in COMPARISONS else f"@as(u32, @as(i32, a {op} b))"
    guard = "b != 0" if op in ("/", "%") else f"b < {int(a[1:])}" if op in ("<<", ">>") else "true"
    sums = []
    for x in range(la, ha + 1):
        row: list[int | None] = []
        for y in range(lb, hb + 1):
            skip = op in ("/", "%") and y == 0 or op in ("<<", ">>") and y >= int(a[1:])
            row.append(None if skip else operator(op, x, y, t))
        sums.append(weight_of(row))
    return f"      if ({guard}) {{ sums[AT + i] += weight * {result}; }}", sums


PAIRS = [(a, b) for a in SMALL for b in SMALL if peer(a, b) is not None]


@pytest.mark.parametrize(("a", "b"), [p for p in PAIRS if int(p[0][1:]) + int(p[1][1:]) == 16 or p in PAIRS[::7]])
def test_all_values_of_small_types(machines, a, b):
    """On the engine: every operator for every two values."""
    (la, ha), (lb, hb) = bounds(a), bounds(b)
    count, others = ha - la + 1, hb - lb + 1
    body, want = [], []
    for op in (*ARITHMETIC, *COMPARISONS):
        if op in ("<<", ">>") and b[0] == "i":
            continue
        statement, sums = table(op, a, b)
        body.append(statement.replace("AT", str(len(want))))
        want += sums
    source = ROWS % {
        "rows": len(want), "count": count, "others": others, "a": a, "b": b, "low": la, "other_low": lb, "body": "\n".join(body),
    }  # fmt: skip
    got = machines.engine(source.replace("fn run()", "fn all()").replace("run();", "all();"), {"sums": "u32"})["sums"]
    assert got.tolist() == want


@pytest.mark.parametrize("a", SMALL)
def test_all_values_of_small_types_at_compile_time(a):
    for b in SMALL:
        t = peer(a, b)
        if t is None:
            continue
        ta, tb = T.named_type(a), T.named_type(b)
        for op in (*ARITHMETIC, *COMPARISONS):
            if op in ("<<", ">>") and b[0] == "i":
                continue
            (la, ha), (lb, hb) = bounds(a), bounds(b)
            step = 1 if int(a[1:]) + int(b[1:]) <= 10 else 29
            for x in range(la, ha + 1, step):
                for y in range(lb, hb + 1):
                    if op in ("/", "%") and y == 0 or op in ("<<", ">>") and y >= int(a[1:]):
                        continue
                    got = ops.binary(op, Known(ta, x), Known(tb, y))
                    want = operator(op, x, y, a if op in ("<<", ">>") else t)
                    assert int(got.v) == want and got.ty.name == (
                        "bool" if op in COMPARISONS else a if op in ("<<", ">>") else t
                    ), (
                        x,
                        op,
                        y,
                    )


# ---------------------------------------------------------------- conversions


def on_the_vm(folder, lines: list[str], body: list[str], n: int) -> list[int]:
    """The 64-bit results of a program."""
    source = "\n".join([f"var out: [{n}]i64;", *lines, "fn main() void {", *body, "}"])
    vm = ReferenceVM(compile_files(folder, {"pe.csl": source}).tiles[0])
    vm.call("main")
    return [int(v) for v in vm.read("out")]


def kept(t: str, expression: str) -> str:
    """An integer of any type as an i64 of the same bits."""
    return f"@bitcast(i64, {expression})" if t == "u64" else f"@as(i64, {expression})"


@pytest.mark.parametrize("target", INTS)
def test_every_integer_to_every_integer(tmp_path, target):
    lines, body, want = [], [], []
    for source in INTS:
        values = edges(source)[:: 1 if len(edges(source)) < 40 else 2]
        lines += [
            f"var from_{source} = [{len(values)}]{source}{{ {', '.join(map(text, values))} }};",
            f"const known_{source} = [{len(values)}]{source}{{ {', '.join(map(text, values))} }};",
        ]
        for i, v in enumerate(values):
            body.append(f"out[{len(want)}] = {kept(target, f'@as({target}, from_{source}[{i}])')};")
            body.append(f"out[{len(want) + 1}] = {kept(target, f'comptime @as({target}, known_{source}[{i}])')};")
            want += [wrapped(wrapped(v, target), "i64")] * 2
    assert on_the_vm(tmp_path, lines, body, len(want)) == want


def float_samples(t: str) -> list[float]:
    near = {float(e) for other in INTS for e in bounds(other)}
    found = {rounded(v + d, t) for v in near for d in (-1.5, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5)} | {
        0.0,
        -0.0,
        0.99,
        -0.99,
        2.5,
    }
    found |= {rounded(s * 10.0**e, t) for e in range(-8, 38, 3) for s in (-1, 1)}
    return sorted(found, key=lambda x: (x, math.copysign(1, x))) + [math.inf, -math.inf, math.nan]


@pytest.mark.parametrize("source", FLOATS)
@pytest.mark.parametrize("target", INTS)
def test_every_float_to_every_integer(tmp_path, source, target):
    """At run time it saturates to the range of its own type; at compile time what does not fit is refused."""
    values = float_samples(source)
    raw = "u16" if source == "f16" else "u32"
    lines = [f"var bits = [{len(values)}]{raw}{{ {', '.join(str(bits_of(v, source)) for v in values)} }};"]
    body = [
        f"for (@range(u16, {len(values)})) |i| {{ out[i] = {kept(target, f'@as({target}, @bitcast({source}, bits[i]))')}; }}"
    ]
    want = [wrapped(saturated(v, target), "i64") for v in values]
    got = on_the_vm(tmp_path, lines, body, len(values))
    assert [(v, g) for v, g, w in zip(values, got, want) if g != w] == []
    for v in values:
        known, t = Known(T.named_type(source), v), T.named_type(target)
        low, high = bounds(target)
        if math.isfinite(v) and low <= math.trunc(v) <= high:
            assert ops.convert(known, t).v == math.trunc(v)
        else:
            with pytest.raises(ops.Fail):
                ops.convert(known, t)


@pytest.mark.parametrize("target", FLOATS)
def test_every_integer_to_every_float(tmp_path, target):
    lines, body, want = [], [], []
    for source in INTS:
        values = edges(source)
        lines.append(f"var from_{source} = [{len(values)}]{source}{{ {', '.join(map(text, values))} }};")
        raw = "u16" if target == "f16" else "u32"
        body.append(
            f"for (@range(u16, {len(values)})) |i| {{ out[{len(want)} + i] = "
            f"@as(i64, @bitcast({raw}, @as({target}, from_{source}[i]))); }}"
        )
        for v in values:
            exact = nearest(v, target)
            want.append(bits_of(exact, target))
            assert bits_of(ops.convert(Known(T.named_type(source), v), T.named_type(target)).v, target) == want[-1]
    assert on_the_vm(tmp_path, lines, body, len(want)) == want


def nearest(v: int, t: str) -> float:
    """An integer rounded once, half to even."""
    digits, largest = (11, 65504) if t == "f16" else (24, (2**24 - 1) * 2**104)
    shift = max(0, abs(v).bit_length() - digits)
    q, rest = divmod(abs(v), 1 << shift)
    half = 1 << (shift - 1) if shift else 0
    q += shift > 0 and (rest > half or rest == half and q & 1 == 1)
    found = q << shift
    return math.copysign(math.inf if found > largest else float(found), v)


# ---------------------------------------------------------------- wide types


@pytest.mark.parametrize("t", WIDE)
def test_operators_of_wide_types(tmp_path, t):
    """Values at the edges, at run time and at compile time."""
    values = edges(t)
    values = sorted({*values[:3], *values[-3:], *values[:: max(1, len(values) // 8)]})
    n, bits = len(values), int(t[1:])
    lines, body = [f"var v = [{n}]{t}{{ {', '.join(map(text, values))} }};"], []
    cells: list[tuple[str, int, int]] = []
    want: list[int] = []
    for op in (*ARITHMETIC, *COMPARISONS):
        shift = op in ("<<", ">>")
        guard = "v[j] != 0" if op in ("/", "%") else f"v[j] >= 0 and v[j] < {bits}" if shift else "true"
        value = f"v[i] {op} {'@as(u16, v[j])' if shift else 'v[j]'}"
        result = f"@as(i64, {value})" if op in COMPARISONS else kept(t, value)
        body.append(
            f"for (@range(u16, {n})) |i| {{ for (@range(u16, {n})) |j| "
            f"{{ if ({guard}) {{ out[{len(want)} + {n} * i + j] = {result}; }} }} }}"
        )
        for x in values:
            for y in values:
                cells.append((op, x, y))
                if op in ("/", "%") and y == 0 or shift and not 0 <= y < bits:
                    want.append(0)
                    continue
                want.append(wrapped(operator(op, x, y, t), "i64"))
                right = T.U16 if shift else T.named_type(t)
                assert int(ops.binary(op, Known(T.named_type(t), x), Known(right, y)).v) == operator(op, x, y, t)
    got = on_the_vm(tmp_path, lines, body, len(want))
    assert [c for c, g, w in zip(cells, got, want) if g != w] == []


@pytest.mark.parametrize("a", INTS)
def test_which_types_meet(tmp_path, a):
    """Two operands of different types find the wider one, or are refused; each refusal is one message."""
    lines = [f"var x_{t}: {t}; const r_{t}: {t} = 0;" for t in INTS]
    body, refused = [], 0
    for b in INTS:
        t = peer(a, b)
        if t is None:
            body.append(f"_ = x_{a} + x_{b};")
            refused += 1
        else:
            body.append(f"@comptime_assert(@is_same_type(@type_of(x_{a} + x_{b}), {t}));")
    source = "\n".join([*lines, "fn main() void {", *body, "}"])
    if refused == 0:
        compile_files(tmp_path, {"pe.csl": source})
        return
    with pytest.raises(MeshlangError) as e:
        compile_files(tmp_path, {"pe.csl": source})
    assert [d.code for d in e.value.diagnostics] == ["MS0303"] * refused


def test_enums_of_odd_widths(tmp_path):
    """What is converted to an enum keeps the bits of its base, or saturates to its range."""
    lines = ["const E = enum(u5) { A, B = 31 };", "var n: u16 = 63; var f: f32 = 300.0; var low: f32 = -4.0;"]
    body = [f"out[{k}] = @as(i64, @as(u16, @as(E, {v})));" for k, v in enumerate(("n", "f", "low"))]
    assert on_the_vm(tmp_path, lines, body, 3) == [31, 31, 0]
