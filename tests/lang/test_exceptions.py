"""<tile_config/exceptions>: which operations raise which exceptions, and that a masked one stops nothing."""

import numpy as np
import pytest

from meshlang.diag import MeshlangError

BITS = {"FP_UNDERFLOW": 3, "FP_OVERFLOW": 4, "FP_INEXACT": 5, "FP_INVALID": 6, "FP_DIV_BY_0": 7}
ALL = " & ".join(f"tile.exceptions.{name}" for name in BITS)
HEAD = """
const tile = @import_module("<tile_config>");
const math = @import_module("<math>");
"""
BODY = {
    # scalar code: an expression of a and b
    "scalar": "var a = @zeros([1]%(t)s); var b = @zeros([1]%(t)s); var r = @zeros([1]%(r)s);\n"
    "fn main() void { tile.exceptions.set_exception_mask(%(mask)s); const x = a[0]; const y = b[0]; r[0] = %(op)s; }\n",
    # a vector operation on one element each
    "vector": "var a = @zeros([1]%(t)s); var b = @zeros([1]%(t)s); var r = @zeros([1]%(r)s);\n"
    "const da = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{1} -> a[i] });\n"
    "const db = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{1} -> b[i] });\n"
    "const dr = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{1} -> r[i] });\n"
    "fn main() void { tile.exceptions.set_exception_mask(%(mask)s); %(op)s; a[0] = a[0]; b[0] = b[0]; r[0] = r[0]; }\n",
}


def raised(machines, kind: str, op: str, t: str, a: float, b: float, mask: str = ALL, result: str = "") -> set[str]:
    """The unmasked exceptions that stop the program, if any does."""
    dtype = {"f16": np.float16, "f32": np.float32}[t]
    source = HEAD + BODY[kind] % {"t": t, "r": result or t, "op": op, "mask": mask}
    fabric = machines.start(source, {"a": t, "b": t, "r": result or t}, "wse3")
    fabric.write("a", np.array([[[a]]], dtype))
    fabric.write("b", np.array([[[b]]], dtype))
    try:
        fabric.launch("run")
    except MeshlangError as error:
        diagnostic = error.diagnostics[0]
        assert diagnostic.code == "MS0859" and diagnostic.span is not None, diagnostic
        assert any("PE (0, 0)" in note for note in diagnostic.notes)
        return {name for name in BITS if name in diagnostic.message}
    return set()


CASES = [
    # expression, vector operation, a, b, exceptions
    ("x + y", "@fadd{s}(dr, da, db)", 1.0, 2.0, set()),
    ("x + y", "@fadd{s}(dr, da, db)", 1.0, 1e-7, {"FP_INEXACT"}),
    ("x + y", "@fadd{s}(dr, da, db)", np.inf, -np.inf, {"FP_INVALID"}),
    ("x + y", "@fadd{s}(dr, da, db)", np.nan, 1.0, set()),
    ("x + y", "@fadd{s}(dr, da, db)", "max", "max", {"FP_OVERFLOW", "FP_INEXACT"}),
    ("x - y", "@fsub{s}(dr, da, db)", np.inf, 1.0, set()),
    ("x - y", "@fsub{s}(dr, da, db)", np.inf, np.inf, {"FP_INVALID"}),
    ("x * y", "@fmul{s}(dr, da, db)", 1.5, 0.25, set()),
    ("x * y", "@fmul{s}(dr, da, db)", "tiny", 0.5, set()),
    ("x * y", "@fmul{s}(dr, da, db)", "tiny", 1e-4, {"FP_UNDERFLOW", "FP_INEXACT"}),
    ("x * y", "@fmul{s}(dr, da, db)", "max", 2.0, {"FP_OVERFLOW", "FP_INEXACT"}),
    ("x * y", "@fmul{s}(dr, da, db)", 0.0, np.inf, {"FP_INVALID"}),
    ("x / y", None, 1.0, 0.0, {"FP_DIV_BY_0"}),
    ("x / y", None, 0.0, 0.0, {"FP_INVALID"}),
    ("x / y", None, np.inf, 0.0, set()),
    ("x / y", None, 1.0, 3.0, {"FP_INEXACT"}),
    ("x / y", None, 3.0, 4.0, set()),
    ("math.sqrt(x)", None, -1.0, 0.0, {"FP_INVALID"}),
    ("math.sqrt(x)", None, 2.25, 0.0, set()),
    ("math.sqrt(x)", None, 2.0, 0.0, {"FP_INEXACT"}),
    ("math.log(x)", None, 0.0, 0.0, {"FP_DIV_BY_0"}),
    ("math.exp(x)", None, 200.0, 0.0, {"FP_OVERFLOW", "FP_INEXACT"}),
    (None, "@fmac{s}(dr, da, db, 3.0)", 1.0, 2.0, set()),
    (None, "@fmac{s}(dr, da, db, 3.0)", 1.0, 1e-7, {"FP_INEXACT"}),
    (None, "@fmac{s}(dr, da, db, 3.0)", "max", "max", {"FP_OVERFLOW", "FP_INEXACT"}),
    (None, "@fmax{s}(dr, da, db)", np.nan, 1.0, set()),
    (None, "@fneg{s}(dr, da)", np.inf, 1.0, set()),
]


@pytest.mark.parametrize("t", ["f16", "f32"])
@pytest.mark.parametrize(("scalar", "vector", "a", "b", "expected"), CASES)
def test_against_ieee(fresh_machines, t, scalar, vector, a, b, expected):
    dtype = {"f16": np.float16, "f32": np.float32}[t]
    special = {"max": np.finfo(dtype).max, "tiny": np.finfo(dtype).tiny}
    a, b = special.get(a, a), special.get(b, b)
    for kind, op in (("scalar", scalar), ("vector", vector)):
        if op is not None:
            assert raised(fresh_machines(), kind, op.format(s="h" if t == "f16" else "s"), t, a, b) == expected, kind


@pytest.mark.parametrize(
    ("op", "t", "result", "a", "expected"),
    [
        ("@as(i16, x)", "f32", "i16", 5.0, set()),
        ("@as(i16, x)", "f32", "i16", 5.5, {"FP_INEXACT"}),
        ("@as(i16, x)", "f32", "i16", 70000.0, {"FP_INVALID"}),
        ("@as(i16, x)", "f32", "i16", np.nan, {"FP_INVALID"}),
        ("@as(f16, x)", "f32", "f16", 0.1, {"FP_INEXACT"}),
        ("@as(f16, x)", "f32", "f16", 0.5, set()),
        ("@as(f16, x)", "f32", "f16", 1e9, {"FP_OVERFLOW", "FP_INEXACT"}),
        ("@as(f32, x)", "f16", "f32", 0.1, set()),
    ],
)
def test_conversions(machines, op, t, result, a, expected):
    assert raised(machines, "scalar", op, t, a, 0.0, result=result) == expected


def test_numbers_of_integers_round(machines):
    source = (
        HEAD
        + f"""var n: i32 = 16777217; var r = @zeros([1]f32);
fn main() void {{ tile.exceptions.set_exception_mask({ALL}); r[0] = @as(f32, n); }}"""
    )
    with pytest.raises(MeshlangError, match="MS0859.*FP_INEXACT"):
        machines.engine(source, {"r": "f32"})


@pytest.mark.parametrize(
    "mask", ["0xffff", "tile.exceptions.FP_INVALID & tile.exceptions.FP_OVERFLOW & tile.exceptions.PERF_CNT_0_OVERFLOW"]
)
@pytest.mark.parametrize("kind, op", [("scalar", "x / y"), ("vector", "@fadds(dr, da, 1e-10)")])
def test_what_is_masked_does_not_stop(machines, mask, kind, op):
    assert raised(machines, kind, op, "f32", 1.0, 0.0, mask) == set()


def test_a_mask_replaces_the_one_before(machines):
    source = (
        HEAD
        + f"""var r = @zeros([2]f32); var zero: f32 = 0.0;
fn main() void {{ tile.exceptions.set_exception_mask({ALL}); tile.exceptions.set_exception_mask(0xffff); r[0] = 1.0 / zero; r[1] = 5.0; }}"""
    )
    assert machines.engine(source, {"r": "f32"})["r"].tolist() == [np.inf, 5.0]


def test_results_are_those_of_the_ordinary_engine(machines):
    """An exception that does not come changes no number: 64 additions and a reduction, checked and not."""
    rng = np.random.default_rng(4)
    a, b = rng.normal(size=(2, 64)).astype(np.float32)
    text = ", ".join(map(repr, a.tolist())), ", ".join(map(repr, b.tolist()))
    source = (
        HEAD
        + f"""var a = [64]f32 {{ {text[0]} }}; var b = [64]f32 {{ {text[1]} }}; var r = @zeros([65]f32);
const da = @get_dsd(mem1d_dsd, .{{ .tensor_access = |i|{{64}} -> a[i] }}); const db = @get_dsd(mem1d_dsd, .{{ .tensor_access = |i|{{64}} -> b[i] }});
const dr = @get_dsd(mem1d_dsd, .{{ .tensor_access = |i|{{64}} -> r[i] }});
fn main() void {{
  tile.exceptions.set_exception_mask(tile.exceptions.FP_INVALID);
  @fmacs(dr, da, db, 0.3);
  @fadds(&r[64], 0.0, da);
}}"""
    )
    got = machines.engine(source, {"r": "f32"})["r"]
    want = (a.astype(np.float64) + b.astype(np.float64) * np.float64(np.float32(0.3))).astype(np.float32)
    total = np.float32(0)
    for v in a:
        total += v
    assert got[:64].tobytes() == want.tobytes() and got[64] == total


def test_in_an_operation_on_the_fabric(tmp_path):
    """A microthread adds what arrives: the place is the operation, not what the task does meanwhile."""
    from test_circbuf import run

    with pytest.raises(MeshlangError) as caught:
        run(
            tmp_path,
            """
const tile = @import_module("<tile_config>");
fn main() void {
  keep();
  if (x == 0) { @fmovh(out, 60000.0); } else {
    tile.exceptions.set_exception_mask(tile.exceptions.FP_OVERFLOW);
    @faddh(all, in, 50000.0, .{ .async = true, .activate = done });
    return;
  }
  sys.unblock_cmd_stream();
}
""",
            element="f16",
            arch="wse2",
        )
    diagnostic = caught.value.diagnostics[0]
    assert diagnostic.code == "MS0859" and "FP_OVERFLOW" in diagnostic.message and "@faddh" in diagnostic.span.text()
    assert any("PE (1, 0)" in note for note in diagnostic.notes)


def test_a_mask_from_the_start(machines):
    source = (
        HEAD
        + """var r = @zeros([1]f32); var zero: f32 = 0.0;
comptime { tile.exceptions.set_exception_mask(tile.exceptions.FP_DIV_BY_0); }
fn main() void { r[0] = 1.0 / zero; }"""
    )
    with pytest.raises(MeshlangError, match="MS0859.*FP_DIV_BY_0"):
        machines.engine(source, {"r": "f32"})
