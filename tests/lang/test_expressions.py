"""Generated expressions: the run-time result, the comptime result and (bit for bit) the engine must agree.

Hypothesis makes expression trees over typed variables. One program evaluates each tree three times: on `var`s (run
time), on `const`s of the same values (compile time), and on a mixture. Trees whose evaluation would fault (division by
zero, oversize shift) are avoided by construction: divisors are or-ed with 1, shift amounts are masked.
"""

import os

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

INTS = {
    "i8": np.int8,
    "u8": np.uint8,
    "i16": np.int16,
    "u16": np.uint16,
    "i32": np.int32,
    "u32": np.uint32,
    "i64": np.int64,
    "u64": np.uint64,
}
ODD = ("u5", "i5", "u12", "i20")
EXAMPLES = int(os.environ.get("MESHLANG_TEST_EXAMPLES", "25"))
quick = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))


def bounds(t: str) -> tuple[int, int]:
    bits = int(t[1:])
    return (-(1 << bits - 1), (1 << bits - 1) - 1) if t[0] == "i" else (0, (1 << bits) - 1)


def int_value(t: str):
    low, high = bounds(t)
    edges = st.sampled_from([v for v in (low, low + 1, -1, 0, 1, 2, high - 1, high) if low <= v <= high])
    return edges | st.integers(low, high)


@st.composite
def int_tree(draw, t: str, depth: int) -> str:
    """An expression of type `t` over a, b, c (of that type) and n (u16)."""
    if depth == 0 or draw(st.integers(0, 5)) == 0:
        low, high = bounds(t)
        return draw(
            st.sampled_from(["a", "b", "c"]) | st.integers(max(low, -9), min(high, 9)).map(lambda v: f"@as({t}, {v})")
        )
    kind = draw(
        st.sampled_from(
            ["arith", "arith", "arith", "bits", "div", "shift", "unary", "if", "literal", "convert", "logic"]
        )
    )

    def sub(n: int = depth - 1) -> str:
        return draw(int_tree(t, n))

    if kind == "arith":
        return f"({sub()} {draw(st.sampled_from('+-*'))} {sub()})"
    if kind == "bits":
        return f"({sub()} {draw(st.sampled_from('&|^'))} {sub()})"
    if kind == "div":
        return f"({sub()} {draw(st.sampled_from('/%'))} ({sub()} | 1))"
    if kind == "shift":
        return f"({sub()} {draw(st.sampled_from(['<<', '>>']))} (n % {int(t[1:])}))"
    if kind == "unary":
        return f"({draw(st.sampled_from('-~'))}{sub()})"
    if kind == "literal":
        low, high = bounds(t)
        return f"({sub()} {draw(st.sampled_from('+-*'))} {draw(st.integers(max(low, -1000), min(high, 1000)))})"
    if kind == "convert":
        other = draw(st.sampled_from([*INTS, *ODD]))
        return f"@as({t}, @as({other}, {sub()}))"
    compare = f"({sub(1)} {draw(st.sampled_from(['==', '!=', '<', '<=', '>', '>=']))} {sub(1)})"
    if kind == "logic":
        compare = f"({compare} {draw(st.sampled_from(['and', 'or']))} !({sub(1)} == {sub(1)}))"
        return f"@as({t}, {compare})"
    return f"(if ({compare}) {sub()} else {sub()})"


def program(t: str, store: str, trees: list[str], values: list[tuple[int, int, int]], amounts: list[int]) -> str:
    """Results of tree k on values k: rows of `out` = run time, comptime, mixed (b and n known)."""
    n = len(trees)
    lines = [f"var out: [{3 * n}]{store};", f"fn keep(i: u16, v: {t}) void {{ out[i] = @as({store}, v); }}"]
    body = []
    for k, (tree, (a, b, c), amount) in enumerate(zip(trees, values, amounts)):
        lines += [
            f"var a{k}: {t} = {a}; var b{k}: {t} = {b}; var c{k}: {t} = {c}; var n{k}: u16 = {amount};",
            f"fn run{k}(a: {t}, b: {t}, c: {t}, n: u16) {t} {{ return {tree}; }}",
            f"fn mix{k}(a: {t}, comptime b: {t}, c: {t}, comptime n: u16) {t} {{ return {tree}; }}",
            f"const known{k}: {t} = run{k}({a}, {b}, {c}, {amount});",
        ]
        body += [
            f"  keep({k}, run{k}(a{k}, b{k}, c{k}, n{k}));",
            f"  keep({n + k}, known{k});",
            f"  keep({2 * n + k}, mix{k}(a{k}, {b}, c{k}, {amount}));",
        ]
    return "\n".join([*lines, "fn main() void {", *body, "}"])


@st.composite
def int_program(draw, size: int = 6):
    t = draw(st.sampled_from([*INTS, *ODD]))
    trees = [draw(int_tree(t, 3)) for _ in range(size)]
    values = [(draw(int_value(t)), draw(int_value(t)), draw(int_value(t))) for _ in trees]
    return t, trees, values, [draw(st.integers(0, 63)) for _ in trees]


def storage(t: str) -> str:
    return t if t in INTS else ("i32" if t[0] == "i" else "u32")


@given(int_program())
@quick
def test_integers_at_run_time_and_at_compile_time(tmp_path_factory, fresh_machines, made):
    t, trees, values, amounts = made
    got = fresh_machines().run(program(t, storage(t), trees, values, amounts), "out").reshape(3, -1)
    for k, tree in enumerate(trees):
        assert got[0, k] == got[1, k] == got[2, k], (t, tree, values[k], amounts[k], got[:, k].tolist())


@st.composite
def float_tree(draw, depth: int) -> str:
    if depth == 0 or draw(st.integers(0, 5)) == 0:
        return draw(st.sampled_from(["a", "b", "c", "@as(T, 0.5)", "@as(T, 3.0)", "@as(T, -1.25)"]))

    def sub() -> str:
        return draw(float_tree(depth - 1))

    kind = draw(st.sampled_from(["arith", "arith", "arith", "neg", "if"]))
    if kind == "arith":
        return f"({sub()} {draw(st.sampled_from('+-*/'))} {sub()})"
    if kind == "neg":
        return f"(-{sub()})"
    return f"(if ({sub()} {draw(st.sampled_from(['==', '<', '<=', '>', '>=', '!=']))} a) {sub()} else {sub()})"


FLOATS = {"f16": (np.float16, np.uint16, 16), "f32": (np.float32, np.uint32, 32)}


def numpy_value(tree: str, f, a, b, c):
    """The same tree by numpy, every step rounded to its type."""
    import ast

    def ev(node):
        if isinstance(node, ast.Constant):
            return f(node.value)
        if isinstance(node, ast.Name):
            return {"a": a, "b": b, "c": c}[node.id]
        if isinstance(node, ast.Call):  # @as(T, value)
            return f(ast.literal_eval(node.args[1]))
        if isinstance(node, ast.UnaryOp):
            return -ev(node.operand)
        if isinstance(node, ast.IfExp):
            x, y = ev(node.test.left), ev(node.test.comparators[0])
            ok = {ast.Eq: x == y, ast.NotEq: x != y, ast.Lt: x < y, ast.LtE: x <= y, ast.Gt: x > y, ast.GtE: x >= y}[
                type(node.test.ops[0])
            ]
            return ev(node.body) if ok else ev(node.orelse)
        x, y = ev(node.left), ev(node.right)
        return {ast.Add: np.add, ast.Sub: np.subtract, ast.Mult: np.multiply, ast.Div: np.divide}[type(node.op)](x, y)

    with np.errstate(all="ignore"):
        return ev(ast.parse(to_python(tree).replace("@", "as_"), mode="eval").body)


def to_python(tree: str) -> str:
    """`(if (C) X else Y)` as Python's `(X if C else Y)`; everything else is the same."""
    out, i = "", 0
    while i < len(tree):
        if tree.startswith("(if (", i):
            cond, j = group(tree, i + 4)
            end = group(tree, i)[1]
            inner = tree[j : end - 1]
            depth = 0
            for k in range(len(inner)):
                depth += {"(": 1, ")": -1}.get(inner[k], 0)
                if depth == 0 and inner.startswith(" else ", k):
                    break
            out += f"(({to_python(inner[:k].strip())}) if ({to_python(cond[1:-1])}) else ({to_python(inner[k + 6 :])}))"
            i = end
        else:
            out += tree[i]
            i += 1
    return out


def group(text: str, at: int) -> tuple[str, int]:
    depth = 0
    for i in range(at, len(text)):
        depth += {"(": 1, ")": -1}.get(text[i], 0)
        if depth == 0:
            return text[at : i + 1], i + 1
    raise ValueError(text)


@st.composite
def float_program(draw, size: int = 6):
    t = draw(st.sampled_from(list(FLOATS)))
    width = FLOATS[t][2]
    value = st.floats(width=width, allow_nan=False, allow_infinity=False) | st.floats(-100, 100, width=width)
    return t, [draw(float_tree(3)) for _ in range(size)], [(draw(value), draw(value), draw(value)) for _ in range(size)]


@given(float_program())
@quick
def test_floats_at_run_time_at_compile_time_and_in_numpy(fresh_machines, made):
    t, trees, values = made
    f, u, _ = FLOATS[t]
    lines, body = [f"const T = {t}; var out: [{2 * len(trees)}]{t};"], []
    for k, (tree, abc) in enumerate(zip(trees, values)):
        bits = [int(np.array([v], dtype=f).view(u)[0]) for v in abc]
        args = ", ".join(f"@bitcast({t}, @as(u{FLOATS[t][2]}, {b}))" for b in bits)
        lines += [
            f"fn run{k}(a: {t}, b: {t}, c: {t}) {t} {{ const r: {t} = {tree}; return r; }}",
            f"const known{k}: {t} = run{k}({args});",
            *(f"var {n}{k}: {t} = @bitcast({t}, @as(u{FLOATS[t][2]}, {b}));" for n, b in zip("abc", bits)),
        ]
        body += [f"  out[{2 * k}] = run{k}(a{k}, b{k}, c{k});", f"  out[{2 * k + 1}] = known{k};"]
    got = fresh_machines().run("\n".join([*lines, "fn main() void {", *body, "}"]), "out").reshape(-1, 2)
    for k, (tree, (a, b, c)) in enumerate(zip(trees, values)):
        want = numpy_value(tree, f, f(a), f(b), f(c))
        assert np.array_equal(got[k], [want, want], equal_nan=True), (t, tree, values[k], got[k], want)


@pytest.mark.parametrize("t", ["i16", "u32", "i64", "f16", "f32"])
def test_the_engine_agrees(machines, t):
    """A fixed set of trees on the engine: the three results must also be those of the reference interpreter."""
    if t in INTS:
        trees = [
            "(a * b + c)",
            "(a / (b | 1))",
            "(a % (c | 1))",
            "((a << (n % 8)) ^ (b >> (n % 13)))",
            "(if (a < b) -c else ~a)",
            f"@as({t}, @as(u8, a * 77))",
            f"@as({t}, (a <= b) or (c == a))",
            "(a - 1000) * (b + 77)",
        ]
        low, high = bounds(t)
        values = [
            (low, high, 3),
            (high, -1 if low else 7, 2),
            (low + 1, 5, high),
            (12345 if high > 12345 else 77, high - 1, low),
        ] * 2
        source = program(t, t, trees, values, [5, 11, 3, 9] * 2)
    else:
        lines = [f"var a: {t} = 1.1; var b: {t} = -2.7; var c: {t} = 300.0; var out: [8]{t};"]
        trees = [
            "a + b",
            "a * b - c",
            "a / b",
            "c * c * c",
            "if (a < b) a else -b",
            "-a * 0.0",
            "c / 0.0",
            f"@as({t}, @as(i32, a * c + 0.5))",
        ]
        source = "\n".join([*lines, "fn main() void {", *(f"out[{k}] = {e};" for k, e in enumerate(trees)), "}"])
    machines.run_both(source, {"out": t} if t not in ("i64",) else {})
